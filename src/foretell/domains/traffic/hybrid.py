"""The hybrid: the pattern learner where recent weeks say what is usual, the seasonal baseline where they don't yet."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from foretell.contract import Cost, Forecast, Frame, History, Standpoint, Study
from foretell.domains.traffic import calendars, decide
from foretell.domains.traffic.engineer import times_of
from foretell.domains.traffic.features import HOUR, features, outcomes, questions
from foretell.domains.traffic.models import MOST, RamadanPatternLearner, SeasonalBaselineModel
from foretell.domains.traffic.schema import METRICS, LoadRequest, Settings
from foretell.errors import InvalidRequest, NotReady
from foretell.features.grid import hour_of
from foretell.features.place import place


class HybridForecaster:
    """A candidate in the race; and, with `train` and `predict`, the documents' forecaster of one series."""

    needs_training = True
    cost = Cost(fit=0.05, forecast=0.02, most=MOST)

    def __init__(self, zone: str = "UTC", settings: Settings | None = None) -> None:
        """`zone` and `settings` are those of `train` and `predict`; in a race they come with the history."""
        self.zone, self.settings = zone, settings or Settings()
        self.learner, self.baseline = RamadanPatternLearner(), SeasonalBaselineModel()
        self.rows: Frame | None = None

    def fit(self, study: Study, known: Frame) -> Self:
        """Fit both; return self."""
        self.learner.fit(study, known)
        self.baseline.fit(study, known)
        return self

    def forecast(self, study: Study) -> Forecast:
        """The learner's forecast, or the baseline's for an hour of no recent week; evidence says whose."""
        learned = self.learner.forecast(study)
        usual = ~np.isnan(study.features["weeks_spread"])
        method = pl.Series("method", np.where(usual, "pattern_learner", "seasonal_baseline").tolist()).to_frame()
        if usual.all():
            return Forecast(rows=learned.rows, evidence=method)
        seasonal = self.baseline.forecast(study).rows
        rows = learned.rows.select(
            pl.when(pl.lit(pl.Series(usual))).then(pl.col(name)).otherwise(seasonal[name]).alias(name)
            for name in learned.rows.columns
        )
        return Forecast(rows=rows, evidence=method)

    def save(self, folder: Path) -> None:
        """Write both, each into a folder of its own."""
        for name, model in (("learner", self.learner), ("baseline", self.baseline)):
            (folder / name).mkdir()
            model.save(folder / name)

    def load(self, folder: Path) -> Self:
        """Read both."""
        self.learner.load(folder / "learner")
        self.baseline.load(folder / "baseline")
        return self

    def train(self, historical_df: Any) -> dict[str, Any]:
        """Learn from one series: a Polars frame with `time` (or `timestamp`) and `value`, or a pandas one by time.

        Returns what was done: `trained`, `forecast_horizon_hours`, `trigger_rules`, `days_of_data`. Raises NotReady for
        less than 14 days.
        """
        self.rows = _metrics(historical_df, self.zone)
        span, last = self.rows.select(pl.max("known_at") - pl.min("known_at"), last=pl.max("known_at")).row(0)
        if span is None or span + HOUR < timedelta(days=14):
            raise NotReady("training needs at least 14 days of metrics, and 60 to be good")
        # An hour's outcome waits for rows on their way; those of a finished frame have all come.
        history = self._history(self.rows, last + HOUR)
        asked = questions(history)
        known = outcomes(history, asked)
        settled = known["value"].is_not_null()
        asked = asked.filter(settled)
        self.fit(Study(history=history, questions=asked, features=features(history, asked)), known.filter(settled))
        days = (span + HOUR) / timedelta(days=1)
        return {"trained": True, "forecast_horizon_hours": 4, "trigger_rules": 3, "days_of_data": round(days)}

    def predict(self, current_timestamp: datetime, current_traffic: float) -> dict[str, Any]:
        """The next four hours after the one of `current_timestamp`, in which `current_traffic` was measured.

        Returns `predictions` (four means, in the metric's unit), `confidence` (0 to 1), `trigger` and `model_used`. A
        timestamp without a zone is a local time. Raises NotReady before `train`.
        """
        if self.rows is None:
            raise NotReady("nothing has been trained yet; call train first")
        newest = pl.DataFrame({"time": [current_timestamp], "value": [float(current_traffic)]})
        row = _metrics(newest, self.zone)
        start = hour_of(row["time"][0], self.zone)
        rows = pl.concat([self.rows.filter(pl.col("time") < start), row])
        history = self._history(rows, start + HOUR)  # the hour stands as it was measured
        request = LoadRequest()
        asked = decide.ask(request, history).questions
        said = self.forecast(Study(history=history, questions=asked, features=features(history, asked)))
        answer = decide.decide(said, request, history)
        here = place(self.zone, self.settings)
        return {
            "predictions": [hour.expected for hour in answer.hours],
            "confidence": answer.confidence,
            "trigger": calendars.trigger(row["time"][0], self.zone, here),
            "model_used": answer.method,
        }

    def _history(self, rows: Frame, now: datetime) -> History:
        standpoint = Standpoint(tenant="", now=now, zone=self.zone, settings=self.settings)
        return History(standpoint, {METRICS.name: rows})


def _metrics(df: Any, zone: str) -> Frame:
    """A frame of one series as rows of the metrics table; each value is known when it is stamped."""
    if "value" not in df.columns:
        raise InvalidRequest(f"a frame of metrics needs a column `value`; this one has {', '.join(df.columns)}")
    times = times_of(df, zone)
    value = pl.Series("value", df["value"].to_numpy(), dtype=pl.Float64)
    entity = METRICS.named("default", "requests_per_minute")
    frame = pl.DataFrame({"time": times, "value": value}).filter(pl.col("time").is_not_null() & value.is_finite())
    return frame.with_columns(known_at=pl.col("time"), entity=pl.lit(entity))
