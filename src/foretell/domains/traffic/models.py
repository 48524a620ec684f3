"""Traffic's candidates: last week, hourly averages, trees on the 19 features, trees on ratios, theta."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from foretell.contract import Quantity
from foretell.domains.traffic.features import BEYOND, HOUR, NINETEEN, series
from foretell.models.averages import Averages
from foretell.models.boosted import BoostedQuantiles
from foretell.models.naive import SeasonalNaive
from foretell.models.statistical import Statistical

LOAD = Quantity(unit="the metric's own", levels=(0.1, 0.5, 0.9), lower=0.0)

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
    """Boosted trees on ratios to recent weeks: learns what Iftar, Taraweeh and Suhoor do to an hour's usual load."""

    def __init__(self, columns: list[str] = RELATIVE) -> None:
        super().__init__(
            columns=columns, levels=LOAD.levels, scale="scale", rounds=80, most=60_000, shape=SHAPE, lower=0.0
        )


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
