"""Conformal calibration: bands that keep their promise, also after the world has changed.

Each quantile is moved by the recent errors of forecasts made out of sample. The error of a level is measured in
widths of the forecast's own band (CQR-r, Sesia & Candès 2020), and recent errors weigh more, halving every
`half_life` (nonexchangeable conformal prediction, Barber et al. 2023): under drift the old ones fade.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from foretell.contract import Block, Floats, Forecast, Quantity, quantile

LEAST = 50  # fewer errors than this say too little about a 10 % quantile


@dataclass(frozen=True, kw_only=True)
class Bands:
    """For each level, how many band widths to move its quantile; `counted` errors it was learned from."""

    target: Quantity
    shift: dict[str, float]
    least: float  # a narrower band than this counts as this wide: errors are not measured in slivers
    counted: int

    @classmethod
    def fit(cls, target: Quantity, rows: pl.DataFrame, value: Floats, age: Floats, half_life: float) -> Self:
        """Learn from forecasts `rows`, their outcomes and the outcomes' ages (same unit as `half_life`)."""
        said = {q: rows[q].to_numpy() for q in map(quantile, target.levels)}
        low, high = quantile(min(target.levels)), quantile(max(target.levels))
        if len(value) < LEAST:
            return cls(target=target, shift=dict.fromkeys(said, 0.0), least=1.0, counted=len(value))
        width = said[high] - said[low]
        least = float(np.median(width)) / 2 or float(np.abs(value - rows["point"].to_numpy()).mean()) or 1.0
        width = np.maximum(width, least)
        weight = 0.5 ** (age / half_life)
        shift = {
            quantile(level): _weighted_quantile((value - said[quantile(level)]) / width, weight, level)
            for level in target.levels
        }
        return cls(target=target, shift=shift, least=least, counted=len(value))

    def apply(self, forecast: Forecast) -> Forecast:
        """The same forecast with its quantiles moved; the point moves with the median, draws with the quantiles."""
        if not any(self.shift.values()):
            return forecast
        names = [quantile(level) for level in sorted(self.target.levels)]
        raw = np.array([forecast.rows[name].to_numpy() for name in names]).T
        width = np.maximum(raw[:, -1] - raw[:, 0], self.least)
        moved = np.sort(raw + width[:, None] * np.array([self.shift[name] for name in names]), axis=1)
        if self.target.lower is not None:
            moved = np.maximum(moved, self.target.lower)
        point = forecast.rows["point"].to_numpy()
        if "q50" in names:
            middle = names.index("q50")
            point = point + moved[:, middle] - raw[:, middle]
            point = point if self.target.lower is None else np.maximum(point, self.target.lower)
        rows = Block(("point", *names), np.column_stack([point, moved])).frame()
        draws = None if forecast.draws is None else _remap(forecast.draws, np.sort(raw, axis=1), moved)
        if draws is not None and self.target.lower is not None:
            draws = np.maximum(draws, self.target.lower)
        return Forecast(rows=rows, draws=draws, evidence=forecast.evidence)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"shift": self.shift, "least": self.least, "counted": self.counted}

    @classmethod
    def from_dict(cls, target: Quantity, stored: dict[str, Any]) -> Self:
        """Read back what `to_dict` gave."""
        return cls(target=target, **stored)


def _weighted_quantile(score: Floats, weight: Floats, level: float) -> float:
    """The smallest score with at least `level` of the weight at or below it, counting the unseen one.

    The next outcome itself has weight 1 and may lie anywhere: on the side away from the middle it is counted as
    worse than all seen, which is what makes the finite-sample guarantee (Barber et al. 2023, eq. 11).
    """
    order = np.argsort(score, kind="stable")
    score, weight = score[order], weight[order]
    total = weight.sum() + 1
    below = np.cumsum(weight) + (1 if level < 0.5 else 0.5 if level == 0.5 else 0)
    return float(score[min(np.searchsorted(below, level * total), len(score) - 1)])


def _remap(draws: Floats, raw: Floats, moved: Floats) -> Floats:
    """Carry each question's draws along the line through (raw, moved) quantiles, shifted beyond the ends.

    Where raw quantiles coincide, what sat on them goes to the mean of where they moved.
    """
    out = np.empty_like(draws)
    for k in range(len(draws)):
        knots, which = np.unique(raw[k], return_inverse=True)
        inside = np.interp(draws[k], knots, np.bincount(which, moved[k]) / np.bincount(which))
        below = np.minimum(draws[k] - raw[k, 0], 0)
        above = np.maximum(draws[k] - raw[k, -1], 0)
        out[k] = inside + below + above
    return out
