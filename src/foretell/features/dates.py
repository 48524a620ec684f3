"""Calendar days as numbers, counted from 1970 by a zone's clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import INSTANT

DAY = timedelta(days=1)
EPOCH = date(1970, 1, 1)

Numbers = NDArray[np.int64]


def number(moment: datetime, zone: str) -> int:
    """The day of an instant by a zone's clock, counted from 1970."""
    return (moment.astimezone(ZoneInfo(zone)).date() - EPOCH).days


def begins(day: int, zone: str) -> datetime:
    """When a day begins by a zone's clock, UTC."""
    return datetime.combine(EPOCH + DAY * day, time(), ZoneInfo(zone)).astimezone(UTC)


def dated(day: int) -> date:
    """The date of a day counted from 1970."""
    return EPOCH + DAY * day


def micros(moment: datetime) -> int:
    """An instant in microseconds since 1970."""
    found: int = pl.Series([moment], dtype=INSTANT).cast(pl.Int64)[0]
    return found


def numbers(moments: pl.Series, zone: str) -> Numbers:
    """The same as `number`, for a column."""
    return moments.dt.convert_time_zone(zone).dt.date().cast(pl.Int32).cast(pl.Int64).to_numpy()
