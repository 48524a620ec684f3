"""Isotonic calibration: probabilities that mean their number (Zadrozny & Elkan 2002).

The frequency of what happened is fitted as a rising step function of what was said, on forecasts made out of
sample; several classes are fitted one against the rest and scaled to sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from foretell.contract import Chance, Choice, Floats, Forecast

LEAST = 100  # with fewer outcomes, or of a choice fewer of a class, the steps are noise


@dataclass(frozen=True, kw_only=True)
class Isotonic:
    """For each column of the forecast, the knots of a rising line from what was said to what is meant."""

    target: Chance | Choice
    knots: dict[str, tuple[list[float], list[float]]]
    counted: int

    @classmethod
    def fit(cls, target: Chance | Choice, rows: pl.DataFrame, value: pl.Series, age: Floats, half_life: float) -> Self:
        """Learn from forecasts `rows`, what happened (0/1, or class names) and the ages of the outcomes."""
        if len(value) < LEAST:
            return cls(target=target, knots={}, counted=len(value))
        weight = 0.5 ** (age / half_life)
        knots = {}
        for column in rows.columns:
            happened = value if isinstance(target, Chance) else value == column.removeprefix("p:")
            said, came = rows[column].to_numpy(), happened.cast(pl.Float64).to_numpy()
            never = isinstance(target, Choice) and not came[said == 0].any()  # given no chance, it never happened
            if isinstance(target, Choice) and never and weight @ came < LEAST:
                continue
            x, y = _steps(said, came, weight)
            if never and (said == 0).any():
                knots[column] = ([0.0, *x], [0.0, *y]) if x[0] > 0 else (x, [0.0, *y[1:]])
            else:
                knots[column] = x, y
        return cls(target=target, knots=knots, counted=len(value))

    def apply(self, forecast: Forecast) -> Forecast:
        """The same forecast with calibrated probabilities; a class scored too seldom keeps its own.

        A class that was given no chance, and never happened then, has none: it is not on the scale of that project.
        """
        if not self.knots:
            return forecast
        rows = forecast.rows.with_columns(
            pl.Series(column, np.interp(forecast.rows[column].to_numpy(), *self.knots[column]))
            for column in forecast.rows.columns
            if column in self.knots
        )
        if isinstance(self.target, Choice):
            total = pl.sum_horizontal(rows.columns)
            rows = rows.select(pl.col(column) / total for column in rows.columns)
        return Forecast(rows=rows, draws=forecast.draws, evidence=forecast.evidence)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"knots": {name: list(pair) for name, pair in self.knots.items()}, "counted": self.counted}

    @classmethod
    def from_dict(cls, target: Chance | Choice, stored: dict[str, Any]) -> Self:
        """Read back what `to_dict` gave."""
        return cls(
            target=target,
            knots={n: (x, y) for n, (x, y) in stored["knots"].items()},
            counted=stored["counted"],
        )


def _steps(said: Floats, happened: Floats, weight: Floats) -> tuple[list[float], list[float]]:
    """Knots (said, frequency), one at the weighted middle of each step, kept off 0 and 1 by the sample's size."""
    from scipy.optimize import isotonic_regression

    edge = 1 / (len(said) + 2)
    said, which = np.unique(said, return_inverse=True)  # equal forecasts are one knot
    mass = np.bincount(which, weight)
    fitted = isotonic_regression(np.bincount(which, weight * happened) / mass, weights=mass).x
    starts = np.flatnonzero(np.r_[True, np.diff(fitted) > 0])
    middle = np.add.reduceat(mass * said, starts) / np.add.reduceat(mass, starts)
    return middle.tolist(), np.clip(fitted[starts], edge, 1 - edge).tolist()
