"""From request to questions, from forecast to answer: how sure, what set it off, how many replicas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Ask, Floats, Forecast, Frame, History
from foretell.domains.traffic import calendars
from foretell.domains.traffic.features import HOUR, hours, tenant_settings
from foretell.domains.traffic.place import place
from foretell.domains.traffic.schema import (
    METRICS,
    Hour,
    LoadAnswer,
    LoadRequest,
    ScalingRecommendation,
    Trigger,
    WorkloadConfig,
)
from foretell.errors import NotReady
from foretell.features.grid import hour_of, micros

RECENT = timedelta(days=7)  # what is forecast for the next hours must stand on something newer
EPOCH, MICRO = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
WORDS: dict[Trigger, str] = {
    "iftar_approaching": "Iftar within 2 hours",
    "taraweeh": "Taraweeh",
    "suhoor_window": "Suhoor, Fajr within 2 hours",
}
UNITS = {"requests_per_minute": "requests/min", "error_rate": "%", "cpu_usage": "%", "memory_usage": "MB"}


def about(request: LoadRequest) -> dict[str, list[str]]:
    """Whose metric a request may be about."""
    services = filter(None, (request.service, request.otherwise))
    return {"entity": [METRICS.named(service, request.metric_type) for service in services]}


def subject(request: LoadRequest, history: History) -> tuple[str, str, datetime, float]:
    """Whose metric it is about: service and entity, with the time and value of the newest measurement.

    Raises NotReady for one without any in the last week.
    """
    key = ("subject", request.service, request.otherwise, request.metric_type)
    return history.once(lambda history: _subject(request, history), key)


def _subject(request: LoadRequest, history: History) -> tuple[str, str, datetime, float]:
    metrics = history[METRICS.name]
    times, entities = micros(metrics["time"]), metrics["entity"]
    newest = None
    for service in filter(None, (request.service, request.otherwise)):
        entity = METRICS.named(service, request.metric_type)
        mine = np.flatnonzero((entities == entity).to_numpy())
        if len(mine):
            place = int(mine[times[mine].argmax()])
            newest = EPOCH + int(times[place]) * MICRO
            if newest > history.now - RECENT:
                return service, entity, newest, float(metrics["value"][place])
    entity = METRICS.named(request.service, request.metric_type)
    words = f": the newest is of {newest:%Y-%m-%d %H:%M} UTC; bring newer ones, or ask as of then" if newest else ""
    raise NotReady(f"there are no recent metrics of {entity}{words}")


def ask(request: LoadRequest, history: History) -> Ask:
    """The whole hours that begin from now on, as many as asked for. Raises NotReady as `subject` does."""
    _, entity, _, _ = subject(request, history)
    at = coming(request, history)
    asked = {"as_of": [history.now] * len(at), "at": at}
    # From whole microseconds: Polars reads eight datetimes ten times slower.
    times = [pl.Series(name, [(t - EPOCH) // MICRO for t in of]).cast(INSTANT) for name, of in asked.items()]
    return Ask(questions=pl.DataFrame([pl.Series("entity", [entity] * len(at)), *times]))


def coming(request: LoadRequest, history: History) -> list[datetime]:
    """The starts of the hours asked about: the whole ones from now on."""
    first = hour_of(history.now - timedelta(microseconds=1), history.standpoint.zone) + HOUR
    return [first + HOUR * k for k in range(request.hours)]


def decide(forecast: Forecast, request: LoadRequest, history: History) -> LoadAnswer:
    """The hours with their bands, confidence and trigger; with a workload, the replicas for the highest hour."""
    service, entity, measured_at, current = subject(request, history)
    rows = forecast.rows
    past, peak = _past(history, entity)
    here = place(history.standpoint.zone, tenant_settings(history))
    factors = ConfidenceScorer().factors(past, rows)
    trigger = calendars.trigger(history.now, history.standpoint.zone, here)
    scaling = None
    if request.workload:
        calculator = ScalingCalculator(safety_factor=tenant_settings(history).safety_factor)
        unit = UNITS.get(request.metric_type, "ms")
        scaling = calculator.calculate_scaling(
            rows["point"].to_list(), request.workload, current_traffic=current, trigger=trigger, unit=unit
        )
    return LoadAnswer(
        service=service, metric_type=request.metric_type, as_of=history.now, current=current, measured_at=measured_at,
        hours=[
            Hour(start=at, expected=point, low=low, high=high)
            for at, point, low, high in zip(
                coming(request, history), rows["point"], rows["q10"], rows["q90"], strict=True
            )
        ],
        peak_to_mean=_peak_to_mean(past, peak),
        confidence=ConfidenceScorer().score(factors),
        factors=factors,
        trigger=trigger,
        method=forecast.evidence["method"][0],
        scaling=scaling,
    )  # fmt: skip


def headline(answer: LoadAnswer) -> float:
    """The highest hour expected: it rises with the forecast, and the replicas with it."""
    replicas = answer.scaling.recommended_replicas if answer.scaling else 0
    return max(hour.expected for hour in answer.hours) + replicas


def _past(history: History, entity: str) -> tuple[Floats, Floats]:
    """Mean and peak of the last six weeks' complete hours, newest first; NaN where nothing was measured."""
    grid = history.once(hours)
    out = np.full((2, 42 * 24), np.nan)
    if entity in grid.entities:
        which = grid.entities.index(entity)
        end = int(hour_of(history.now, history.standpoint.zone).timestamp()) * 1_000_000
        rows = (end - int(grid.first[which])) // 3_600_000_000 - 1 - np.arange(out.shape[1])
        there = (rows >= 0) & (rows < grid.size[which])
        for k, column in enumerate((grid.value, grid.peak)):
            out[k, there] = column[grid.base[which] + rows[there]]
    return out[0], out[1]


def _peak_to_mean(past: Floats, peak: Floats) -> float | None:
    """The last week's usual ratio of an hour's highest value to its mean; None where hours hold one value each."""
    value, peak = past[:168], peak[:168]
    higher = (value > 0) & (peak > value)
    return float(np.median(peak[higher] / value[higher])) if higher.any() else None


class ConfidenceScorer:
    """How far a forecast can be trusted, 0 to 1, from six named factors (each 0 to 1).

    history       days of history, of the 42 that the features look at
    freshness     1 when the newest complete hour was measured, 0 when the last day was not
    completeness  share of the last 168 hours that were measured
    stability     1 − mean change from hour to hour of the last day relative to the same hours of the day before
    regularity    1 − mean difference of the last week to the week before, relative to its level
    band          1 − half the band's width relative to the forecast, at the highest hour
    """

    WEIGHTS: ClassVar = {
        "history": 0.15, "freshness": 0.15, "completeness": 0.15, "stability": 0.15, "regularity": 0.2, "band": 0.2,
    }  # fmt: skip

    def factors(self, past: Floats, rows: Frame) -> dict[str, float]:
        """The six factors, from six weeks' complete hours, newest first (NaN: not measured), and a forecast."""
        week, before, measured = past[:168], past[168:336], ~np.isnan(past)
        late = int(measured[:24].argmax()) if measured[:24].any() else 24
        oldest = int(np.flatnonzero(measured)[-1]) + 1 if measured.any() else 0
        top = int(rows["point"].arg_max() or 0)
        point, low, high = (float(rows[c][top]) for c in ("point", "q10", "q90"))
        return {
            "history": _unit(oldest / len(past)),
            "freshness": _unit(1 - late / 24),
            "completeness": _unit(float(measured[:168].mean())),
            "stability": _unit(1 - _differ(week[:24], week[24:48])),
            "regularity": _unit(1 - _differ(week, before)),
            "band": _unit(1 - (high - low) / 2 / point) if point > 0 else 0.0,
        }

    def score(self, factors: dict[str, float]) -> float:
        """The weighted mean of the factors."""
        return round(sum(self.WEIGHTS[name] * factor for name, factor in factors.items()), 4)


def _unit(number: float) -> float:
    return round(min(1.0, max(0.0, number)), 4)


def _differ(new: Floats, old: Floats) -> float:
    """Mean absolute difference relative to the old level; 1 where nothing can be compared."""
    both = ~np.isnan(new) & ~np.isnan(old)
    level = old[both].mean() if both.any() else 0.0
    return float(np.abs(new[both] - old[both]).mean() / level) if level > 0 else 1.0


class ScalingCalculator:
    """Replicas for a forecast: ceil(ceil(peak / capacity) x safety factor), at least 1 and at most 50."""

    MIN_REPLICAS, MAX_REPLICAS = 1, 50

    def __init__(self, safety_factor: float = 3.0) -> None:
        """The documents' examples imply a factor of 3."""
        self.safety_factor = safety_factor

    def calculate_scaling(
        self,
        predictions: Sequence[float],
        config: WorkloadConfig,
        *,
        current_traffic: float | None = None,
        trigger: Trigger | None = None,
        unit: str = "requests/min",
    ) -> ScalingRecommendation:
        """The replicas for the highest of `predictions` (in the capacity's unit), their cost an hour more, and why."""
        peak = max(predictions)
        # Rounded first: 41.1 / 13.7 is 3, not a hair more.
        pods = math.ceil(min(round(peak / config.capacity_per_pod, 9), 1e9))
        needed = math.ceil(round(pods * self.safety_factor, 9))
        replicas = min(max(needed, self.MIN_REPLICAS), self.MAX_REPLICAS)
        if current_traffic is None:
            words = f"Predicted peak of {peak:.0f} {unit}"
        elif peak > current_traffic:
            words = f"Predicted surge from {current_traffic:.0f} to {peak:.0f} {unit}"
        else:
            words = f"Predicted peak of {peak:.0f} {unit}, not above the current {current_traffic:.0f}"
        if trigger:
            words += f" ({WORDS[trigger]})"
        if needed > replicas:
            words += f"; {needed} replicas would be needed, {self.MAX_REPLICAS} is the most"
        return ScalingRecommendation(
            current_replicas=config.current_replicas,
            recommended_replicas=replicas,
            cost_impact_hourly=round((replicas - config.current_replicas) * config.cost_per_replica_hour, 4),
            reason=words,
            triggered_by=trigger or "forecast",
        )
