"""What promotions do to a daily series: how many times the usual was sold on days under one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats

WEEK = 7
WEEKS = 4  # before a day and after it, whose days of the same weekday say what is usual
DRAWN = 2.0  # days with demand that what is expected of a promotion counts as
MOST = 20.0  # times the usual that is believed at most

Flags = NDArray[np.bool_]


def usual(value: Floats, promoted: Flags) -> Floats:
    """What a day has without a promotion: the mean of its weekday in the weeks around; NaN where none is known."""
    reach = WEEK * WEEKS
    plain = np.pad(np.where(promoted, np.nan, value), reach, constant_values=np.nan)
    around = np.stack([plain[reach + k : reach + k + len(value)] for k in range(-reach, reach + 1, WEEK) if k])
    there = ~np.isnan(around)
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(there, around, 0.0).sum(axis=0) / there.sum(axis=0)
    return found


def uplift(value: Floats, promoted: Flags, expected: float = 1.0) -> float | None:
    """How many times the usual was sold on promoted days, drawn to what is `expected` of promotions.

    As if that had been seen on `DRAWN` more days with demand: a lucky day or two prove little. None where no promoted
    day can be compared with what is usual, or nothing is sold without a promotion.
    """
    plain = usual(value, promoted)
    compared = promoted & ~np.isnan(value) & ~np.isnan(plain)
    sizes = value[~promoted & (value > 0)]
    if not compared.any() or not len(sizes):
        return None
    drawn = DRAWN * float(sizes.mean())
    found = (float(value[compared].sum()) + expected * drawn) / (float(plain[compared].sum()) + drawn)
    return min(found, MOST)
