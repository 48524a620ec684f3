"""What a stamp stands for: values of intervals, at the start of theirs, whatever their publisher stamps.

Everything here is about one place's rows, one an interval; of rows with the same stamp the last counts. Columns that
are not named are values of the stamp itself, and stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from foretell.contract import Frame

HOUR = timedelta(hours=1)
ROUNDING = 0.05  # of a sum, by which it may seem to fall: small ones were packed into few bits


def preceding(rows: Frame, columns: Sequence[str], *, time: str = "time", length: timedelta = HOUR) -> Frame:
    """The rows with `columns`, which tell the interval before their stamp, moved to the interval's start.

    They are null where the row that tells the interval, `length` later, is not there: in the last one, and before gaps.
    """
    rows = rows.unique(time, keep="last", maintain_order=True)
    moved = rows.select(pl.col(time) - length, *columns)
    return rows.drop(columns).join(moved, on=time, how="left", maintain_order="left").select(rows.columns)


def accumulated(rows: Frame, columns: Sequence[str], *, time: str = "time", length: timedelta = HOUR) -> Frame:
    """The rows with `columns`, which tell what has come since midnight (UTC), as what came in each interval.

    It stands at the interval's start, like `preceding`; a stamp at midnight ends the day before. So weather models tell
    rain, and radiation in J/m²: divided by the 3,600 s of an hour it is the mean in W/m². Null where the stamp before
    is not there, and where a sum fell by more than a twentieth; a smaller fall is rounding, and nothing came.
    """
    rows = rows.unique(time, keep="last", maintain_order=True)
    start = pl.col(time) - length
    before = rows.select(pl.col(time) + length, *(pl.col(name).alias(f"before {name}") for name in columns))
    both = rows.join(before, on=time, how="left", maintain_order="left")
    came = []
    for name in columns:
        sofar = pl.when(start.dt.truncate("1d") == start).then(0.0).otherwise(f"before {name}")
        rose = pl.col(name) - sofar
        came.append(pl.when(rose >= -ROUNDING * sofar).then(rose.clip(0.0)).alias(name))
    return preceding(both.with_columns(came).select(rows.columns), columns, time=time, length=length)
