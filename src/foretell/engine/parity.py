"""Whether some are told a high chance more often than others of whom it is no more true."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import sqrt
from typing import cast

import polars as pl
from pydantic import BaseModel, ConfigDict

from foretell.contract import Frame, History, Task
from foretell.engine.outcomes import join

HIGHEST = 0.2  # the share of questions that count as high where no answer was called so
FAIR = 0.8  # four fifths: a rate below that of another's is taken for a sign of adverse impact (29 CFR 1607.4 D)
FEW = 30  # entities; of fewer nothing is claimed
SURE = 3.0  # standard errors: of many groups looked at together, a few lie farther than two from all by luck


class Group(BaseModel):
    """What was said of those with a `value`, and what became of them; every entity counts once, however often asked.

    `chance` is the mean chance said, `high` the share called high, `ratio` that over the share of all. Of `known`
    entities an outcome is known: of them it happened to the share `happened`, and `gap` is by how much more was said.
    `flagged` is null where nothing is claimed.
    """

    model_config = ConfigDict(frozen=True)

    value: str | None
    asked: int
    entities: int
    chance: float
    high: float
    ratio: float | None
    known: int
    happened: float | None
    gap: float | None
    flagged: bool | None


class Parity(BaseModel):
    """A task's predictions by the values of a field of its requests, those of most entities first.

    The first was asked at `since` (UTC). `called` says what counts as high.
    """

    model_config = ConfigDict(frozen=True)

    task: str
    by: str
    since: datetime
    called: str
    overall: Group
    groups: list[Group]


def parity(
    task: Task, history: History, asked: Frame, by: tuple[str, Sequence[str | None]], high: Sequence[bool]
) -> Parity:
    """Compare what was said of a task's questions (`asked`, with `chance`), by the name and the values of a field.

    `high` says which were called so; where none was, those of the most likely fifth. A value is flagged where its share
    is less than four fifths of all's, or more than five fourths, by more than luck (29 CFR 1607.4 D has the fraction,
    of the rate of whoever has the highest, and the caution about small numbers).
    """
    joined = join(task, history, asked)
    name, values = by
    rows = joined.select(
        "entity", "chance", "as_of",
        value=pl.Series(values, dtype=pl.String),
        high=pl.Series(high, dtype=pl.Boolean),
        outcome=pl.col("value").cast(pl.Float64),
    )  # fmt: skip
    called = "HIGH"
    if not rows["high"].any():
        called = f"the most likely {HIGHEST:.0%}"
        rows = rows.with_columns(high=pl.col("chance").rank("average") > (1 - HIGHEST) * pl.len())
    (whole,) = _measured(rows.with_columns(value=pl.lit(None, pl.String)))
    groups = [_judged(each, whole.high) for each in _measured(rows)]
    return Parity(
        task=task.name, by=name, since=cast("datetime", rows["as_of"].min()), called=called,
        overall=_judged(whole, whole.high), groups=sorted(groups, key=lambda one: (-one.entities, one.value or "")),
    )  # fmt: skip


def _measured(rows: Frame) -> list[Group]:
    """Each value's figures, not yet compared."""
    happened = pl.col("outcome").is_not_null()
    people = rows.group_by("value", "entity").agg(
        pl.col("chance", "high").mean(), asked=pl.len(), happened=pl.col("outcome").mean(),
        said=pl.col("chance").filter(happened).mean(),
    )  # fmt: skip
    found = people.group_by("value").agg(
        pl.col("asked").sum(), pl.col("chance", "high", "happened").mean(), entities=pl.len(),
        known=pl.col("happened").count(), gap=pl.col("said").mean() - pl.col("happened").mean(),
    )  # fmt: skip
    return [Group(ratio=None, flagged=None, **row) for row in found.iter_rows(named=True)]


def _judged(group: Group, usual: float) -> Group:
    """A value's figures beside the usual share of those called high."""
    ratio = group.high / usual if usual else None
    flagged = None
    if group.entities >= FEW and ratio is not None:
        luck = sqrt(usual * (1 - usual) / group.entities)
        flagged = not FAIR <= ratio <= 1 / FAIR and abs(group.high - usual) > SURE * luck
    return group.model_copy(update={"ratio": ratio, "flagged": flagged})
