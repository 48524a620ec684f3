"""Traffic's candidates: last week, hourly averages, trees on the 19 features, trees on ratios, theta."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from foretell.contract import Floats, Forecast, Frame, Quantity, Study
from foretell.domains.traffic import ramadan
from foretell.domains.traffic.features import HOUR, series
from foretell.domains.traffic.schema import BEYOND, NINETEEN
from foretell.models.averages import Averages
from foretell.models.boosted import BoostedQuantiles
from foretell.models.naive import SeasonalNaive
from foretell.models.statistical import Statistical

LOAD = Quantity(unit="the metric's own", levels=(0.1, 0.5, 0.9), lower=0.0)

MOST = 100_000  # questions that the pattern learner learns from: years of hours thinned, months whole
SHAPE: dict[str, Any] = {"learning_rate": 0.1, "num_leaves": 31, "max_bin": 63, "feature_fraction": 0.5}
RELATIVE = [
    *(name for name in BEYOND if name not in ("scale", "average", "fasting_day")),
    "hour",
    "day_of_week",
    "is_weekend",
    "is_ramadan",
    "ramadan_day",
    "is_last_10_nights",
]


def weekly_naive() -> SeasonalNaive:
    """The baseline to beat: the same hour a week ago, its band from how wrong that was in the last four weeks."""
    return SeasonalNaive(
        series=series, season=timedelta(days=7), step=HOUR, levels=LOAD.levels, window=timedelta(days=28)
    )


class SeasonalBaselineModel(Averages):
    """Hourly averages per day of Ramadan, and per day of the week; relative to the last four weeks' level."""

    def __init__(self) -> None:
        groups = [["fasting_day", "hour"], ["is_ramadan", "day_of_week", "hour"], ["day_of_week", "hour"], ["hour"]]
        super().__init__(groups=groups, levels=LOAD.levels, least=4, scale="average")


class RamadanPatternLearner(BoostedQuantiles):
    """Boosted trees on ratios to recent weeks, and the shape that Ramadan gives to the hours of a day.

    Learns what Iftar, Taraweeh and Suhoor do to an hour's usual load. With `shaped` False the trees are left alone with
    it.
    """

    def __init__(self, columns: list[str] = RELATIVE, *, shaped: bool = True) -> None:
        super().__init__(
            columns=columns, levels=LOAD.levels, scale="scale", rounds=80, most=MOST, shape=SHAPE, lower=0.0
        )
        self.shaped = shaped
        self.effect: Floats = np.zeros(24)

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn the effect by hour, then grow the trees on what it leaves; return self."""
        if self.shaped:
            self.effect = ramadan.learn(study.features, outcomes["value"].cast(pl.Float64).to_numpy())
        return super().fit(self._undone(study), outcomes)

    def forecast(self, study: Study) -> Forecast:
        """Quantiles in rising order."""
        return super().forecast(self._undone(study))

    def _undone(self, study: Study) -> Study:
        return replace(study, features=ramadan.undo(study.features, self.effect)) if self.shaped else study

    def save(self, folder: Path) -> None:
        """Write trees and effect."""
        super().save(folder)
        (folder / "ramadan.json").write_text(json.dumps(self.effect.tolist()))

    def load(self, folder: Path) -> Self:
        """Read trees and effect."""
        self.effect = np.array(json.loads((folder / "ramadan.json").read_text()))
        return super().load(folder)


def boosted_19() -> BoostedQuantiles:
    """Boosted trees on the documents' 19 features as they are, and how far ahead is asked."""
    return BoostedQuantiles(columns=[*NINETEEN, "step"], levels=LOAD.levels, rounds=80, shape=SHAPE, lower=0.0)


def theta() -> Statistical:
    """The optimised theta method on the last four weeks, daily season."""
    return Statistical(
        "DynamicOptimizedTheta",
        series=series,
        step=HOUR,
        window=timedelta(days=28),
        levels=LOAD.levels,
        lower=0.0,
        season_length=24,
    )
