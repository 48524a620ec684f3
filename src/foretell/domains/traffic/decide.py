"""From request to questions, from forecast to answer: how sure, what set it off, how many replicas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Ask, Floats, Forecast, History
from foretell.domains.traffic import calendars
from foretell.domains.traffic.confidence import ConfidenceScorer
from foretell.domains.traffic.features import HOUR, hours, tenant_settings
from foretell.domains.traffic.place import place
from foretell.domains.traffic.scaling import ScalingCalculator
from foretell.domains.traffic.schema import (
    METRICS,
    Hour,
    LoadAnswer,
    LoadRequest,
)
from foretell.errors import NotReady
from foretell.features.grid import hour_of, micros

RECENT = timedelta(days=7)  # what is forecast for the next hours must stand on something newer
EPOCH, MICRO = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
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
