"""What happened: the same join for training, backtest and monitoring."""

from __future__ import annotations

import polars as pl

from foretell.contract import Frame, History, Task
from foretell.errors import BrokenDomain

OPEN, SETTLED, VOID = "open", "settled", "void"


def join(task: Task, history: History, questions: Frame) -> Frame:
    """The questions with `value`, `known_at` and `state`, as known at the history's `now`.

    open: not known yet (`known_at` null); settled: known; void: known that there will never be a value.
    """
    outcomes = task.outcomes(history, questions)
    if outcomes.height != questions.height or {"value", "known_at"} - set(outcomes.columns):
        raise BrokenDomain(f"{task.name}: outcomes must give `value` and `known_at`, one row a question")
    known, value = pl.col("known_at").is_not_null(), pl.col("value").is_not_null()
    state = pl.when(~known).then(pl.lit(OPEN)).when(value).then(pl.lit(SETTLED)).otherwise(pl.lit(VOID))
    return questions.with_columns(outcomes["value"], outcomes["known_at"]).with_columns(state=state)


def settled(task: Task, history: History, questions: Frame) -> Frame:
    """The questions whose outcome is known to have a value, with it: what may be learned from or scored."""
    return join(task, history, questions).filter(pl.col("state") == SETTLED).drop("state")


def counts(joined: Frame) -> dict[str, int]:
    """How many outcomes are open, settled and void."""
    return {state: int((joined["state"] == state).sum()) for state in (SETTLED, OPEN, VOID)}
