"""What is meant by what a forecaster said: learned from its own errors out of sample, the newer the more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import Floats, Frame, Quantity, Target
from foretell.models.conformal import Bands
from foretell.models.isotonic import Isotonic

DAY = 86_400_000_000  # microseconds
HALF_LIFE = 30.0  # days: an error half as old again counts half as much

Calibration = Bands | Isotonic


def calibrate(target: Target, rows: Frame, settled: Frame, now: datetime) -> Calibration:
    """Learn a calibration, standing at `now`, from out-of-sample forecasts and the settled questions behind them."""
    value = settled["value"]
    then = np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "us")
    age: Floats = (then - settled["known_at"].to_numpy().astype("datetime64[us]")).astype(np.int64) / DAY
    age = age - age.min() if len(age) else age  # against the newest: an old series is calibrated like a fresh one
    if isinstance(target, Quantity):
        return Bands.fit(target, rows, value.cast(pl.Float64).to_numpy(), age, HALF_LIFE)
    return Isotonic.fit(target, rows, value, age, HALF_LIFE)


def read(target: Target, told: dict[str, Any] | None) -> Calibration | None:
    """A calibration from the plain JSON of its `to_dict`; None of None."""
    if not told:
        return None
    return Bands.from_dict(target, told) if isinstance(target, Quantity) else Isotonic.from_dict(target, told)
