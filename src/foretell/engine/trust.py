"""How sure an answer is: the chance that it holds, learned from old answers and their outcomes, and how reliable it is.

The answers are those of a backtest, forecast out of sample. How good the chance is, is found in their order: each block
of answers is scored by what was learned from those whose outcome was known before the block began, beside the base rate
known by then. Where the factors do no better than the base rate, the base rate is what is said.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from foretell import metrics
from foretell.contract import Floats, Forecast, Frame, History, Task, Trust
from foretell.errors import BrokenDomain
from foretell.models.logistic import Logistic

LEAST = 40  # answers, with fewer nothing is learned
FIRST = 20  # answers whose outcome must be known before the first is scored
BLOCKS = 100
BINS = 5


class Bin(BaseModel):
    """Of answers about as sure: the chance said on average, the share that held, and how many they were."""

    model_config = ConfigDict(frozen=True)

    said: float
    happened: float
    count: int


class Reliability(BaseModel):
    """What a chance has been worth, out of sample: its Brier score beside that of the base rate known by then.

    `brier` and `bins` are of the chance by the factors, on the last `scored` of `answers` answers, of which the share
    `base_rate` held. `serves` is the better one of the two.
    """

    model_config = ConfigDict(frozen=True)

    meaning: str
    serves: Literal["factors", "base rate"]
    answers: int
    scored: int
    base_rate: float
    brier: float
    base_brier: float
    bins: tuple[Bin, ...]


def learn(task: Task, history: History, rows: Frame) -> tuple[Logistic, Reliability] | tuple[None, None]:
    """The chance that an answer of the task holds, and its reliability; None of both where too little can be told.

    `rows` are questions with what was said of them out of sample, and with `value` and `known_at`. Raises BrokenDomain
    as `factors` does.
    """
    trust = task.trust
    if trust is None:
        return None, None
    keys = ["entity", "as_of"]
    made = rows.select(keys).hstack(factors(task, trust, history, rows)[0].get_columns())
    told = trust.held(rows).filter(pl.col("held").is_not_null()).sort("as_of", "entity")
    answers = told.join(made.unique(keys, keep="first"), on=keys, how="left", maintain_order="left")
    if answers.height < LEAST:
        return None, None
    known, as_of = (answers[column].cast(pl.Int64).to_numpy() for column in ("known_at", "as_of"))
    x, y = answers.select(trust.names).to_numpy(), answers["held"].to_numpy()
    said, base = np.full((2, len(y)), np.nan)
    for block in np.array_split(np.arange(len(y)), min(len(y), BLOCKS)):
        before = known <= as_of[block[0]]
        if before.sum() >= FIRST:
            said[block] = Logistic.fit(x[before], y[before]).chance(x[block])
            base[block] = (y[before].sum() + 1) / (before.sum() + 2)  # as where no factor counts
    scored = ~np.isnan(said)
    if not scored.any():
        return None, None
    worth = _reliability(trust.meaning, len(y), said[scored], base[scored], y[scored])
    return Logistic.fit(x, y, flat=worth.serves == "base rate"), worth


def _reliability(meaning: str, answers: int, said: Floats, base: Floats, held: Floats) -> Reliability:
    brier, base_brier = metrics.brier(held, said), metrics.brier(held, base)
    parts = np.array_split(np.argsort(said, kind="stable"), BINS)
    return Reliability(
        meaning=meaning,
        serves="factors" if brier < base_brier else "base rate",
        answers=answers,
        scored=len(held),
        base_rate=float(held.mean()),
        brier=brier,
        base_brier=base_brier,
        bins=tuple(
            Bin(said=float(said[part].mean()), happened=float(held[part].mean()), count=len(part))
            for part in parts
            if len(part)
        ),
    )


def factors(task: Task, trust: Trust, history: History, said: Frame) -> tuple[Frame, Floats]:
    """The factors of questions with what was said of them, one row a question, as a frame and as an array.

    Raises BrokenDomain unless they are the declared ones, one row a question, and between 0 and 1.
    """
    made = trust.factors(history, said)
    if made.height != said.height or tuple(made.columns) != trust.names:
        raise BrokenDomain(
            f"{task.name}: trust gave {made.height} rows of {', '.join(made.columns)} for {said.height} questions; "
            f"one row a question of {', '.join(trust.names)}"
        )
    block = np.column_stack([column.to_numpy() for column in made])  # to_numpy of a frame wakes Polars' engine
    if not ((block >= 0) & (block <= 1)).all():
        raise BrokenDomain(f"{task.name}: trust gave a factor that is not between 0 and 1")
    return made, block


def trusted(task: Task, chance: Logistic | None, history: History, questions: Frame, said: Forecast) -> Forecast:
    """The forecast with the factors of its answer in its evidence; with the chance as `confidence`, if one is learned.

    Raises BrokenDomain as `factors` does.
    """
    if task.trust is None:
        return said
    made, block = factors(task, task.trust, history, questions.hstack(said.rows.get_columns()))
    columns = made.get_columns()
    if chance is not None:
        columns = [*columns, pl.Series("confidence", chance.chance(block))]
    return Forecast(rows=said.rows, draws=said.draws, evidence=said.evidence.hstack(columns))
