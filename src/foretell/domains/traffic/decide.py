"""From request to questions, from forecast to answer: how sure, what set it off, how many replicas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Ask, Forecast, History
from foretell.domains.traffic import calendars
from foretell.domains.traffic.confidence import ConfidenceScorer, factors
from foretell.domains.traffic.features import HOUR, hours, tenant_settings
from foretell.domains.traffic.scaling import Rules, ScalingCalculator, workload
from foretell.domains.traffic.schema import (
    METRICS,
    Hour,
    LoadAnswer,
    LoadRequest,
)
from foretell.errors import NotReady
from foretell.features.grid import hour_of, micros, newest
from foretell.features.place import place

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
    last = None
    for service in filter(None, (request.service, request.otherwise)):
        entity = METRICS.named(service, request.metric_type)
        mine = np.flatnonzero((entities == entity).to_numpy())
        if len(mine):
            place = int(mine[times[mine].argmax()])
            last = EPOCH + int(times[place]) * MICRO
            if last > history.now - RECENT:
                return service, entity, last, float(metrics["value"][place])
    entity = METRICS.named(request.service, request.metric_type)
    words = f": the newest is of {last:%Y-%m-%d %H:%M} UTC; bring newer ones, or ask as of then" if last else ""
    raise NotReady(f"there are no recent metrics of {entity}{words}")


def ask(request: LoadRequest, history: History) -> Ask:
    """The whole hours that begin from now on, as many as asked for. Raises NotReady as `subject` does."""
    _, entity, _, _ = subject(request, history)
    return history.once(lambda history: _asked(entity, request, history), ("ask", entity, request.hours))


def _asked(entity: str, request: LoadRequest, history: History) -> Ask:
    at = [(moment - EPOCH) // MICRO for moment in coming(request, history)]
    asked = {"as_of": [(history.now - EPOCH) // MICRO] * len(at), "at": at}
    # From whole microseconds: Polars reads eight datetimes ten times slower.
    times = [pl.Series(name, np.array(of)).cast(INSTANT) for name, of in asked.items()]
    return Ask(questions=pl.DataFrame([pl.Series("entity", [entity] * len(at)), *times]))


def coming(request: LoadRequest, history: History) -> list[datetime]:
    """The starts of the hours asked about: the whole ones from now on."""
    first = hour_of(history.now - timedelta(microseconds=1), history.standpoint.zone) + HOUR
    return [first + HOUR * k for k in range(request.hours)]


def decide(forecast: Forecast, request: LoadRequest, history: History) -> LoadAnswer:
    """The hours with their bands, confidence and trigger; with a workload, the replicas for the highest hour."""
    service, entity, measured_at, current = subject(request, history)
    rows, when = forecast.rows, coming(request, history)
    here = place(history.standpoint.zone, tenant_settings(history))
    trigger = calendars.trigger(history.now, history.standpoint.zone, here)
    config, scaling = None, None
    if request.workload:
        settings = tenant_settings(history)
        config = workload(request.workload, settings, request.service, request.metric_type)
        rules = Rules.of(history.standpoint, settings, config.service_name or request.service, request.scale_in)
        doubt = history.once(
            lambda history: calendars.doubt(when, history.standpoint.zone, here), ("doubt", request.hours)
        )
        scaling = ScalingCalculator(settings.safety_factor, rules).calculate_scaling(
            rows["q90" if doubt else "point"].to_list(), config, current_traffic=current, trigger=trigger,
            unit=UNITS.get(request.metric_type, "ms"), doubt=doubt and f"for the upper end of the band: {doubt}",
        )  # fmt: skip
    return LoadAnswer(
        service=service, metric_type=request.metric_type, as_of=history.now, current=current, measured_at=measured_at,
        hours=[  # nothing is measured below zero, and a band by past errors may reach there
            Hour(start=at, expected=max(0.0, point), low=max(0.0, low), high=max(0.0, high))
            for at, point, low, high in zip(
                when, *(rows[name].to_list() for name in ("point", "q10", "q90")), strict=True
            )
        ],
        peak_to_mean=history.once(lambda history: _peak_to_mean(history, entity), ("peak to mean", entity)),
        **_sure(forecast, request, history),
        trigger=trigger,
        method=forecast.evidence["method"][0],
        workload=config, scaling=scaling,
    )  # fmt: skip


def _sure(forecast: Forecast, request: LoadRequest, history: History) -> dict[str, Any]:
    """Confidence and its factors, as they stand beside the forecast; else by the same factors, not calibrated."""
    made = forecast.evidence
    if "band" not in made.columns:
        made = factors(history, ask(request, history).questions.hstack(forecast.rows.get_columns()))
    first = made.row(0, named=True)
    six = {name: first[name] for name in ConfidenceScorer.WEIGHTS}
    if "confidence" in first:
        return {"confidence": round(first["confidence"], 4), "confidence_is": "calibrated", "factors": six}
    return {"confidence": ConfidenceScorer().score(six), "confidence_is": "uncalibrated", "factors": six}


def headline(answer: LoadAnswer) -> float:
    """The highest hour expected: it rises with the forecast, and the replicas with it."""
    replicas = answer.scaling.recommended_replicas if answer.scaling else 0
    return max(hour.expected for hour in answer.hours) + replicas


def _peak_to_mean(history: History, entity: str) -> float | None:
    """The last week's usual ratio of an hour's highest value to its mean; None where hours hold one value each."""
    grid, now = history.once(hours), hour_of(history.now, history.standpoint.zone)
    if not (grid.peak > grid.value).any():
        return None
    until = np.array([(now - EPOCH) // MICRO])
    value, peak = (one[0] for one in newest(grid, [grid.value, grid.peak], pl.Series([entity]), until, 168))
    higher = (value > 0) & (peak > value)
    return float(np.median(peak[higher] / value[higher])) if higher.any() else None
