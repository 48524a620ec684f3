"""How good the rows of an import are: a score from 0 to 1, and the parts it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import prod

import polars as pl

from foretell.contract import INSTANT, Frame, Table
from foretell.engine.ingest import Ingested
from foretell.engine.spelling import alike

STEADY = 0.5  # a series is regular if more of its steps than this are the same
SERIES = {
    "entity": pl.String(),
    "first": INSTANT,
    "last": INSTANT,
    "rows": pl.Int64(),
    "steps": pl.Int64(),
    "step": pl.Duration("us"),
    "same": pl.Int64(),
}


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The share of what should be there that is there, once, and sound: the product of its parts, each from 0 to 1.

    `validity`     the share of the rows sent that were not rejected
    `uniqueness`   the share of the sound rows that no later row of the same batch with their key replaced
    `regularity`   of all steps between the first and the last stamp of each regular series, the share that has a row;
                   a series is regular if more than half of its steps are as long as its usual one; left out where
                   none is, or the table has no series

    Freshness is no part of it: it would change from day to day.
    """

    parts: Mapping[str, float]

    @property
    def score(self) -> float:
        """The product of the parts."""
        return prod(self.parts.values())


@dataclass
class Tally:
    """What batches of one file came to, added up as they pass; memory grows with the number of entities only."""

    table: Table
    accepted: int = 0
    rejected: int = 0
    repeated: int = 0
    rules: dict[str, int] = field(default_factory=dict)  # how many rows broke each
    counted: dict[str, int] = field(default_factory=dict)  # as in `Ingested`
    series: Frame = field(default_factory=lambda: pl.DataFrame(schema=SERIES))

    def add(self, done: Ingested) -> None:
        """Take one more batch in. Batches in the order of time give the surest regularity."""
        self.accepted += done.rows.height
        self.rejected += done.rejected.height
        self.repeated += done.repeated
        for rule, count in done.rejected["rule"].value_counts().iter_rows():
            self.rules[rule] = self.rules.get(rule, 0) + count
        for words, count in done.counted.items():
            told = next((each for each in self.counted if alike(each) == alike(words)), words)
            self.counted[told] = self.counted.get(told, 0) + count
        if self.table.entity and self.table.time in self.table.key and done.rows.height:
            self.series = _joined(self.series, done.rows.select("entity", time=pl.col(self.table.time)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a human should know of the whole, a line each."""
        return tuple(f"{count:,} {words}" for words, count in self.counted.items())

    def quality(self) -> Quality:
        """The quality of what was added so far; of nothing, nothing is wrong."""
        sound = self.accepted + self.repeated
        sent = sound + self.rejected
        parts = {"validity": sound / sent if sent else 1.0, "uniqueness": self.accepted / sound if sound else 1.0}
        regular = self.series.filter(pl.col("same") > pl.col("steps") * STEADY)
        if regular.height:
            span, step = pl.col("last") - pl.col("first"), pl.col("step")
            expected = regular.select(span.dt.total_microseconds() // step.dt.total_microseconds() + 1).to_series()
            there = regular.select(pl.min_horizontal("rows", expected)).to_series()
            parts["regularity"] = int(there.sum()) / int(expected.sum())
        return Quality(parts=parts)


def _joined(series: Frame, rows: Frame) -> Frame:
    """The tally of each series with the rows of one more batch.

    Of the steps of a series only one length is kept, with how many were seen of it since: another takes its place when
    a batch has more of that. So the memory of a series is fixed, and a step that most agree on is found.
    """
    steps = (
        pl.concat([series.select("entity", time="last"), rows])
        .sort("entity", "time")
        .with_columns(step=pl.col("time").diff().over("entity"))
        .filter(pl.col("step") > timedelta(0))
        .group_by("entity", "step")
        .agg(same=pl.len().cast(pl.Int64()))
    )
    usual = (
        steps.sort(pl.col("same"), "step", descending=[True, False])
        .group_by("entity", maintain_order=True)
        .agg(pl.col("step", "same").first(), steps=pl.col("same").sum())
    )
    new = rows.group_by("entity").agg(
        first=pl.col("time").min(), last=pl.col("time").max(), rows=pl.len().cast(pl.Int64())
    )
    both = (
        series.join(new.join(usual, on="entity", how="left"), on="entity", how="full", coalesce=True, suffix=" new")
        .join(steps, on=["entity", "step"], how="left", suffix=" more")
        .with_columns(same=pl.col("same").fill_null(0) + pl.col("same more").fill_null(0))
    )
    kept = pl.col("same") >= pl.col("same new").fill_null(0)
    return both.select(
        "entity",
        first=pl.min_horizontal("first", "first new"),
        last=pl.max_horizontal("last", "last new"),
        rows=pl.sum_horizontal("rows", "rows new"),
        steps=pl.sum_horizontal("steps", "steps new"),
        step=pl.when(kept & pl.col("step").is_not_null()).then("step").otherwise("step new"),
        same=pl.when(kept).then("same").otherwise("same new"),
    ).cast(pl.Schema(SERIES))
