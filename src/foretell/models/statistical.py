"""statsforecast's models as one family: fitted at ask time to the recent past of each series."""

from __future__ import annotations

import json
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from foretell.contract import Cost, Floats, Forecast, Frame, Study, quantile
from foretell.errors import NotFound
from foretell.models.naive import Series

METHODS = {  # seconds for one fit to about 700 values, measured on two cores
    "AutoETS": 0.2,
    "AutoTheta": 0.05,
    "DynamicOptimizedTheta": 0.025,
    "SeasonalExponentialSmoothingOptimized": 0.01,
    "SimpleExponentialSmoothing": 0.0004,
    "CrostonClassic": 0.0004,
    "CrostonSBA": 0.0004,
    "TSB": 0.0004,
    "ADIDA": 0.0004,
    "IMAPA": 0.0004,
}


def ahead(method: str, past: Floats, steps: int, **settings: Any) -> Floats:
    """The mean that one of `METHODS` expects of each of the next `steps`; `settings` go to it.

    `past` is a regular series without missing values, oldest first. Raises NotFound for a method not in the family.
    """
    if method not in METHODS:
        raise NotFound(f"no statistical method {method!r}; there are {', '.join(METHODS)}")
    model = getattr(import_module("statsforecast.models"), method)(**settings)
    return np.asarray(model.forecast(y=past, h=steps)["mean"], dtype=np.float64)


class Statistical:
    """One of `METHODS`, fitted to the last `window` of a series each time it is asked."""

    needs_training = False

    def __init__(
        self,
        method: str,
        *,
        series: Series,
        step: timedelta,
        window: timedelta,
        levels: tuple[float, ...],
        lower: float | None = None,
        **settings: Any,
    ) -> None:
        """`settings` go to the method (`season_length`, …). `levels` must be symmetric about 0.5.

        Raises NotFound for a method that is not in the family.
        """
        if method not in METHODS:
            raise NotFound(f"no statistical method {method!r}; there are {', '.join(METHODS)}")
        self.method, self.series, self.step, self.window = method, series, step, window
        self.levels, self.lower, self.settings = levels, lower, settings
        # Four questions share a fit: a forecast of four steps.
        self.cost = Cost(forecast=METHODS[method] * 250)

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - fitted at ask time
        """Learn nothing yet; return self."""
        return self

    def forecast(self, study: Study) -> Forecast:
        """Point and quantiles from a fit at each `as_of`; null for an entity without history."""
        columns = ["point", *(quantile(q) for q in self.levels)]
        said = np.full((study.questions.height, len(columns)), np.nan)
        for places, known in study.by_as_of():
            recent = self.series(known.history).filter(pl.col("time") >= known.history.now - self.window)
            past = {key: part for (key,), part in recent.partition_by("entity", as_dict=True).items()}
            asked = known.questions.with_columns(place=places).partition_by("entity", as_dict=True)
            for (entity,), part in asked.items():
                if entity in past and past[entity]["value"].count() >= 3:
                    said[part["place"].to_numpy()] = self._one(past[entity].sort("time"), part)
        if self.lower is not None:
            said = np.maximum(said, self.lower)
        return Forecast(rows=pl.DataFrame({c: said[:, k] for k, c in enumerate(columns)}).fill_nan(None))

    def _one(self, past: Frame, asked: Frame) -> Floats:
        """Fit one series (gaps interpolated) and read off the steps asked: rows x (point, levels…)."""
        past = past.slice(0, int(past["value"].is_not_null().arg_true()[-1]) + 1)  # steps count from the last value
        values = past["value"].interpolate().drop_nulls().to_numpy().astype(np.float64)
        ahead = asked.select(((pl.col("at") - past["time"][-1]) / self.step).round().cast(pl.Int64)).to_series()
        steps = np.maximum(ahead.to_numpy(), 1) - 1
        widths = sorted({round(abs(2 * q - 1) * 100, 6) for q in self.levels if q != 0.5})
        model = getattr(import_module("statsforecast.models"), self.method)(**self.settings)
        said = model.forecast(y=values, h=int(steps.max()) + 1, **self._level(widths))
        bands = [self._quantile(said, values, q)[steps] for q in self.levels]
        return np.column_stack([np.asarray(said["mean"])[steps], *bands])

    def _level(self, widths: list[float]) -> dict[str, Any]:
        """Prediction intervals, where the method has its own."""
        own = self.method in {"AutoETS", "AutoTheta", "DynamicOptimizedTheta"}
        return {"level": widths} if own and widths else {}

    def _quantile(self, said: dict[str, Any], values: Floats, level: float) -> Floats:
        mean = np.asarray(said["mean"], dtype=np.float64)
        if level == 0.5:
            return mean
        name = f"{'lo' if level < 0.5 else 'hi'}-{round(abs(2 * level - 1) * 100, 6):g}"
        for key, column in said.items():
            if key.replace(".0", "") == name:
                return np.asarray(column, dtype=np.float64)
        # No interval of its own: the spread of the recent values about their mean stands in.
        return mean + float(np.quantile(values - values.mean(), level))

    def save(self, folder: Path) -> None:
        """Write the method's name: everything else is in the history."""
        (folder / "statistical.json").write_text(json.dumps({"method": self.method}))

    def load(self, folder: Path) -> Self:  # noqa: ARG002
        """Return self."""
        return self
