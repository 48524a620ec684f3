"""Isotonic calibration: probabilities that mean their number (Zadrozny & Elkan 2002).

The frequency of what happened is fitted as a rising step function of what was said, on forecasts made out of
sample. Of several classes all are first made as sharp as they should be, by one number (temperature scaling: Guo et al.
2017), which few outcomes tell; then each that came often enough is fitted against the rest, and they sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from foretell.contract import Chance, Choice, Floats, Forecast

LEAST = 100  # with fewer outcomes, or of a choice fewer of a class, the steps are noise
LUCK = 1.92  # half the 95 % quantile of chi squared of one degree: a gain in log likelihood that luck gives that rarely
SMALLEST = 1e-6  # a share below it surprises as much as it
SHARPEST = 4.0  # the power that shares are raised to at most, and one over it the least


@dataclass(frozen=True, kw_only=True)
class Isotonic:
    """For each column of the forecast, the knots of a rising line from what was said to what is meant.

    Before that the shares of a choice are raised to `power`: above 1 they had been too cautious, below it too sure.
    """

    target: Chance | Choice
    knots: dict[str, tuple[list[float], list[float]]]
    counted: int
    power: float = 1.0

    @classmethod
    def fit(cls, target: Chance | Choice, rows: pl.DataFrame, value: pl.Series, age: Floats, half_life: float) -> Self:
        """Learn from forecasts `rows`, what happened (0/1, or class names) and the ages of the outcomes."""
        if len(value) < LEAST:
            return cls(target=target, knots={}, counted=len(value))
        weight = 0.5 ** (age / half_life)
        power = _power(rows, value, weight) if isinstance(target, Choice) else 1.0
        rows, knots = _raised(rows, power), {}
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
        return cls(target=target, knots=knots, counted=len(value), power=power)

    def apply(self, forecast: Forecast) -> Forecast:
        """The same forecast with calibrated probabilities; a class scored too seldom keeps its own.

        A class that was given no chance, and never happened then, has none: it is not on the scale of that project.
        """
        if not self.knots and self.power == 1.0:
            return forecast
        said = _raised(forecast.rows, self.power)
        rows = said.with_columns(
            pl.Series(column, np.interp(said[column].to_numpy(), *self.knots[column]))
            for column in said.columns
            if column in self.knots
        )
        if isinstance(self.target, Choice):
            total = pl.sum_horizontal(rows.columns)
            rows = rows.select(pl.col(column) / total for column in rows.columns)
        return Forecast(rows=rows, draws=forecast.draws, evidence=forecast.evidence)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        knots = {name: list(pair) for name, pair in self.knots.items()}
        return {"knots": knots, "counted": self.counted, "power": self.power}

    @classmethod
    def from_dict(cls, target: Chance | Choice, stored: dict[str, Any]) -> Self:
        """Read back what `to_dict` gave."""
        return cls(
            target=target,
            knots={n: (x, y) for n, (x, y) in stored["knots"].items()},
            counted=stored["counted"],
            power=stored["power"],
        )


def _power(rows: pl.DataFrame, value: pl.Series, weight: Floats) -> float:
    """The power of the shares with which what happened was the least surprise (log loss).

    1, unless another is better by more than luck (likelihood ratio, one time in twenty).
    """
    from scipy.optimize import minimize_scalar

    place = {column.removeprefix("p:"): k for k, column in enumerate(rows.columns)}
    logs = np.log(np.maximum(rows.to_numpy(), SMALLEST))
    came = np.array([place.get(name, -1) for name in value.to_list()])
    # What was given no chance, and came, is no matter of sharpness: a class that was not known yet.
    there = (came >= 0) & (logs[np.arange(len(came)), came] > np.log(SMALLEST))
    logs, came, weight = logs[there], came[there], weight[there]

    def surprise(told: float) -> float:
        raised = np.exp(told) * logs
        whole = np.logaddexp.reduce(raised, axis=1)
        return float(weight @ (whole - raised[np.arange(len(came)), came]))

    if not len(came):
        return 1.0
    bound = float(np.log(SHARPEST))
    found = minimize_scalar(surprise, bounds=(-bound, bound), method="bounded")
    return float(np.exp(found.x)) if surprise(0.0) - found.fun > LUCK else 1.0


def _raised(rows: pl.DataFrame, power: float) -> pl.DataFrame:
    """Shares raised to a power, to sum to 1 again; what has none stays without."""
    if power == 1.0:
        return rows
    values = rows.to_numpy() ** power
    return pl.DataFrame(values / values.sum(axis=1, keepdims=True), schema=rows.columns)


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
