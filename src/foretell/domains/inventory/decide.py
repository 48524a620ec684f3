"""Daily demand: from request to questions, from forecast to answer; and what both tasks share."""

from __future__ import annotations

from datetime import timedelta
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Ask, Floats, Forecast, Frame, History, quantile
from foretell.domains.inventory import patterns
from foretell.domains.inventory.catalogue import candidates
from foretell.domains.inventory.features import framed, lines
from foretell.domains.inventory.models import LEVELS
from foretell.domains.inventory.schema import (
    LONGEST,
    DemandAnswer,
    DemandRequest,
    Expected,
    Metrics,
    Series,
    StockoutRequest,
    rules,
)
from foretell.domains.inventory.tables import MOVEMENTS, PROMOTIONS
from foretell.errors import InvalidRequest, NotFound, NotReady
from foretell.features.dates import EPOCH, begins, dated, number
from foretell.features.days import Line
from foretell.models.paths import MOST

AHEAD = timedelta(hours=14)  # by so much the earliest clock on Earth is ahead of UTC
EARLIEST = EPOCH.replace(year=1900)
FIGURES = ("mae", "rmse", "mape", "mase", "coverage")


def about(request: Series) -> dict[str, list[str]]:
    """Whose stored movements a request is about; nobody's where it brings its own."""
    return {"entity": [request.product] if request.history is None else []}


def ask(request: DemandRequest, history: History) -> Ask:
    """The days after the history. Raises as `asked_days`."""
    return asked_days(request, history, request.horizon_days, more=0)


def asked_days(request: DemandRequest | StockoutRequest, history: History, days: int, *, more: int) -> Ask:
    """Questions for so many days (and `more` beyond them) after the history that came, or from today on.

    Raises InvalidRequest for a horizon or dates that can't be, NotFound for an unknown method, NotReady with fewer
    distinct days of transactions than the tenant's minimum.
    """
    if not 1 <= days <= LONGEST:
        raise InvalidRequest(f"horizon_days must be between 1 and {LONGEST}")
    candidate = _method(request.method)
    brought = None
    if request.history is not None:
        brought = _brought(request, history)
        history = History(history.standpoint, {**history.tables, **brought})
    elif request.gaps != "zero":
        raise InvalidRequest("gaps are for a history that comes with the request; for stored movements, bring rows of"
                             " kind out_of_stock for the days that are unknown")  # fmt: skip
    line, day = known(request, history)
    _enough(line, history)
    zone = history.standpoint.zone
    questions = framed([(request.product, day, day + k) for k in range(days + more)], zone)
    if brought is None:
        questions = questions.with_columns(as_of=pl.lit(history.now, INSTANT))
    return Ask(questions=questions, history=brought, candidate=candidate)


def _method(name: str) -> str | None:
    if name == "auto":
        return None
    if name not in (there := candidates()):
        raise NotFound(f"there is no method {name!r}; there are auto, {', '.join(there)}")
    return name


def _enough(line: Line | None, history: History) -> None:
    least = rules(history.standpoint).minimum_days
    got = int(line.moved.sum()) if line else 0
    if got < least:
        raise NotReady(f"Insufficient transaction data. Need at least {least} days, got {got}")


def _brought(request: Series, history: History) -> dict[str, Frame]:
    """The history of a request as movements: a row for each date; with unknown gaps one for each day between, too.

    Stored promotions are of the stored product, whatever it is called here: there are none. Raises InvalidRequest for a
    date that is over nowhere yet, or before 1900.
    """
    latest = (history.now + AHEAD).date()
    total: dict[int, float] = {}
    for one in request.history or ():
        if not EARLIEST <= one.date <= latest:
            raise InvalidRequest(f"history has the date {one.date}; send days from {EARLIEST} to {latest}")
        day = (one.date - EPOCH).days
        total[day] = total.get(day, 0.0) + one.quantity
    days = sorted(total)
    gone = sorted({*range(days[0], days[-1])} - {*days}) if days and request.gaps == "unknown" else []
    zone = history.standpoint.zone
    every = [*days, *gone]
    frame = pl.DataFrame(
        {
            "entity": pl.Series([request.product] * len(every), dtype=pl.String),
            "time": pl.Series([begins(day, zone) for day in every], dtype=INSTANT),
            "quantity": pl.Series([total.get(day, 0.0) for day in every], dtype=pl.Float64),
            "kind": pl.Series(["sale"] * len(days) + ["out_of_stock"] * len(gone), dtype=pl.String),
            "known_at": pl.Series([begins(day + 1, zone) for day in every], dtype=INSTANT),
        }
    )
    stored = history.tables.get(PROMOTIONS.name)
    return {MOVEMENTS.name: frame} | ({} if stored is None else {PROMOTIONS.name: stored.clear()})


def known(request: Series, history: History) -> tuple[Line | None, int]:
    """The product's days, up to the day before the first one forecast; and the number of that one."""
    line = lines(history).get(request.product)
    day = number(history.now, history.standpoint.zone)
    if request.history is not None and line:
        day = line.last + 1
    return line and line.until(day), day


def decide(forecast: Forecast, request: DemandRequest, history: History) -> DemandAnswer:
    """Each day with its bounds, errors out of sample, and what is to be known about the series."""
    line, day = _line(request, history)
    figures, measured_on = _figures(forecast, request)
    told = basis(forecast, request, history, figures.get("mape"))
    point = forecast.rows["point"].to_numpy()
    width = request.interval_width or rules(history.standpoint).prophet_interval_width
    low, high = (band(forecast.rows, (1 + side * width) / 2) for side in (-1, 1))
    # After a lone spike the widest bounds know no end.
    high = np.minimum(high, MOST * max(float(line.filled.max()), float(point.max())))
    days = [
        Expected(date=dated(day + k), expected=float(p), low=float(min(a, p)), high=float(max(b, p)))
        for k, (p, a, b) in enumerate(zip(point, low, high, strict=True))
    ]
    metrics = Metrics(
        mape=figures.get("mape"), rmse=figures.get("rmse"), training_samples=len(line.value),
        seasonality_detected=told["pattern"].seasonal, measured_on=measured_on,
    )  # fmt: skip
    return DemandAnswer(
        **told, horizon_days=request.horizon_days, interval_width=width, predictions=days,
        metrics=metrics,
    )  # fmt: skip


def headline(answer: DemandAnswer) -> float:
    """The demand of all days together."""
    return sum(day.expected for day in answer.predictions)


def band(rows: Frame, share: float) -> Floats:
    """The quantile at `share`, between those of the target's levels as if the day were normal there."""
    z = NormalDist().inv_cdf
    knots = np.array([z(level) for level in LEVELS])
    said = np.column_stack([rows[quantile(level)].to_numpy() for level in LEVELS])
    at = float(np.clip(z(share), knots[0], knots[-1]))
    k = int(np.clip(np.searchsorted(knots, at), 1, len(knots) - 1))
    part = (at - knots[k - 1]) / (knots[k] - knots[k - 1])
    found: Floats = said[:, k - 1] * (1 - part) + said[:, k] * part
    return found


def _line(request: Series, history: History) -> tuple[Line, int]:
    line, day = known(request, history)
    if line is None:
        raise NotReady("Insufficient transaction data. Need at least one day, got 0")
    return line, day


def _figures(forecast: Forecast, request: Series) -> tuple[dict[str, float | None], Any]:
    """The method's errors out of sample, and what they were measured on."""
    record = forecast.record
    found = dict(record.scores.get(record.method, {})) if record else {}
    on = "nothing" if not found else "this product" if request.history is not None else "all products"
    return found, on


def basis(forecast: Forecast, request: Series, history: History, mape: float | None) -> dict[str, Any]:
    """What an answer rests on, by the names of its fields; `mape` is that of single days, where it is known."""
    line, day = _line(request, history)
    record = forecast.record
    pattern = patterns.pattern(line)
    reasons = patterns.reasons(line, pattern, mape)
    return {
        "product": request.product,
        "generated_at": history.now,
        "first_day": dated(line.first),
        "last_day": dated(day - 1),
        "gaps": request.gaps,
        "gap_days": int((~line.moved).sum()),
        "method": forecast.evidence["method"][0] if "method" in forecast.evidence.columns else "unknown",
        "why": record.reason if record else "",
        "race": {
            name: {figure: scores.get(figure) for figure in FIGURES}
            for name, scores in (record.scores if record else {}).items()
        },
        "skipped": dict(record.skipped) if record else {},
        "pattern": pattern,
        "series": patterns.kind(line),
        "manual_only": bool(reasons),
        "reasons": reasons,
    }
