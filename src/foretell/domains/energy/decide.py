"""From request to questions, from forecast to answer: hours in kW, energy in kWh, and what it all rests on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from foretell.contract import EPOCH, INSTANT, MICRO, Ask, Floats, Forecast, Frame, History, quantile
from foretell.domains.energy.models import LEVELS, MIDDLE
from foretell.domains.energy.outlook import Outlook, as_frame, factors, has_readings, outlook, seen, worlds
from foretell.domains.energy.physics import CLEARNESS, USUAL_WIND
from foretell.domains.energy.readings import plants
from foretell.domains.energy.schema import (
    Band,
    Day,
    Hour,
    OutputAnswer,
    OutputRequest,
    Reason,
    Settings,
    Track,
    WeatherBasis,
    WhatIf,
)
from foretell.domains.energy.tables import FORECASTS, PLANTS, Kind
from foretell.domains.energy.validation import recent
from foretell.errors import NotFound

HOUR = timedelta(hours=1)
EARTH = 6371.0  # km
LOW, HIGH = LEVELS.index(0.1), LEVELS.index(0.9)


class Subject(NamedTuple):
    """Whom a request is about: stored plants, or a kW at a place (`there`); with the distance of the nearest plant."""

    names: list[str]
    nearest: str | None = None
    distance: float | None = None
    there: bool = False


def about(request: OutputRequest) -> dict[str, list[str]]:
    """The plant a request names; of others, everyone's facts are read."""
    return {"entity": [request.plant]} if request.plant is not None else {}


def subject(kind: Kind, request: OutputRequest, history: History) -> Subject:
    """Whom it is about. Raises NotFound for a plant that is not there (it names others), and for none."""
    mine = plants(history.stored).of_kind(kind)
    if request.plant is not None:
        if request.plant not in mine:
            there = f"there are {', '.join(mine[:20])}" if mine else "there is none; bring plants first"
            raise NotFound(f"no {kind} plant is called {request.plant!r}; {there}")
        return Subject([request.plant])
    if request.latitude is None or request.longitude is None:
        if not mine:
            raise NotFound(f"there is no {kind} plant; bring plants first, or ask about a place")
        return Subject(mine)
    place = f"1 kW at {request.latitude:.3f}, {request.longitude:.3f}"  # it may be among the facts, brought along
    name, away = _nearest(history, request.latitude, request.longitude, [one for one in mine if one != place])
    if name is not None and away <= _settings(history).nearby_km:
        return Subject([name], name, away)
    return Subject([place], name, away if name else None, there=True)


def _settings(history: History) -> Settings:
    return cast("Settings", history.standpoint.settings)


def _nearest(history: History, latitude: float, longitude: float, names: list[str]) -> tuple[str | None, float]:
    """The nearest of some plants, and how far away it is in km (great circle)."""
    if not names:
        return None, float("inf")
    found = plants(history.stored)
    sites = found.sites.of(found.places(pl.Series(names)))
    here, there = np.radians(latitude), np.radians(sites.latitude)
    east = np.radians(sites.longitude - longitude)
    half = np.sin((there - here) / 2) ** 2 + np.cos(there) * np.cos(here) * np.sin(east / 2) ** 2
    away = 2 * EARTH * np.arcsin(np.sqrt(np.minimum(half, 1.0)))
    return names[int(away.argmin())], float(away.min())


def first_hour(now: datetime) -> int:
    """The first whole hour that begins now or later, hours since 1970."""
    return -((EPOCH - now) // HOUR)


def ask(kind: Kind, request: OutputRequest, history: History) -> Ask:
    """The whole hours that begin from now on, of each plant. Raises as `subject` and `WhatIf.check`.

    A place without a plant near is answered by physics alone, with the weather of a plant of any kind that is near.
    """
    who = subject(kind, request, history)
    if request.what_if is not None:
        request.what_if.check(kind)
    asked = as_frame(who.names, first_hour(history.now), request.hours, (history.now - EPOCH) // MICRO)
    if not who.there:
        return Ask(questions=asked)
    why = f"no {kind} plant is within {_settings(history).nearby_km:g} km: what a kW there would put out, by physics"
    return Ask(questions=asked, facts=_there(kind, who.names[0], request, history), candidate="physical", reason=why)


def _there(kind: Kind, name: str, request: OutputRequest, history: History) -> dict[str, Frame]:
    """A plant of a kW at a place, and the weather of the nearest plant near enough."""
    latitude, longitude = cast("float", request.latitude), cast("float", request.longitude)
    site = {"plant": name, "kind": kind, "latitude": latitude, "longitude": longitude, "capacity_kw": 1.0,
            "tracking": "fixed", "count": 1, "entity": name}  # fmt: skip
    now = pl.lit(history.now, INSTANT)
    facts = {PLANTS.name: pl.DataFrame([site]).with_columns(since=now, known_at=now, count=pl.lit(1, pl.Int64))}
    near, away = _nearest(history, latitude, longitude, list(plants(history).names))
    if near is not None and away <= _settings(history).nearby_km:
        borrowed = history[FORECASTS.name].filter(pl.col("entity") == near)
        facts[FORECASTS.name] = borrowed.with_columns(
            pl.lit(name).alias(c) for c in ("plant", "entity") if c in borrowed.columns
        )
    return facts


# ---------------------------------------------------------------- the answer


def decide(kind: Kind, forecast: Forecast, request: OutputRequest, history: History) -> OutputAnswer:
    """The hours with their bands, the energy of days and of all, and what it rests on. Raises as `subject`."""
    who = subject(kind, request, history)
    first, now = first_hour(history.now), (history.now - EPOCH) // MICRO
    asked = as_frame(who.names, first, request.hours, now)
    before = outlook(kind, history, asked)
    after = outlook(kind, history, asked, request.what_if) if request.what_if else before
    quality = None if who.there else recent(kind, history, who.names)
    more = _turbines(request, history)
    said, point = _shaped(forecast, before, after, quality.widened if quality else 1.0, more)
    made = worlds(history, who.names, first, request.hours, said)
    each = made.reshape(len(who.names), request.hours, -1).sum(axis=0)
    expected = point.reshape(len(who.names), request.hours).sum(axis=0)
    alone = len(who.names) == 1
    low, high = (said[:, LOW], said[:, HIGH]) if alone else np.quantile(each, (0.1, 0.9), axis=1)
    hourly = np.column_stack([expected, np.minimum(low, expected), np.maximum(high, expected)])
    covered: Any = (before.run >= 0).reshape(len(who.names), -1).all(axis=0)
    starts = [EPOCH + HOUR * (first + k) for k in range(request.hours)]
    providers, issued = seen(history, before.run)
    issued_at = None if issued is None else EPOCH + issued * MICRO
    energy, known = _band(expected, each), not who.there and bool(has_readings(history, who.names).any())
    plain = float(_shaped(forecast, before, before, 1.0, 1.0)[1].sum())
    reasons = [*_reasons(kind, before, plain, known), *_changed(request.what_if, energy.expected - plain)]
    held = forecast.record.held if forecast.record else {}
    count, share = held.get(who.names[0] if alone else "", (0, None))
    words = forecast.evidence["corrections"][0] if alone and "corrections" in forecast.evidence.columns else None
    return OutputAnswer(
        kind=kind, plants=who.names, nearest=who.nearest,
        distance_km=None if who.distance is None else round(who.distance, 1),
        historical_context=known,
        as_of=history.now, capacity_kw=float(after.sites.capacity[:: request.hours].sum()) * more,
        hours=[
            Hour(start=start, expected_kw=row[0], low_kw=row[1], high_kw=row[2], weather="forecast" if ok else "none")
            for start, row, ok in zip(starts, hourly.tolist(), covered.tolist(), strict=True)
        ],
        energy_kwh=energy, days=_days(starts, expected, each),
        weather=WeatherBasis(
            providers=providers, issued_at=issued_at,
            age_hours=None if issued_at is None else round((history.now - issued_at) / HOUR, 2),
            hours_covered=int(covered.sum()), hours_asked=request.hours,
        ),
        quality=quality, reasons=reasons, what_if=request.what_if,
        corrections=words.split("; ") if words else [], track_record=Track(hours=count, held=share),
        method=forecast.evidence["method"][0],
    )  # fmt: skip


def _shaped(forecast: Forecast, before: Outlook, after: Outlook, widened: float, more: float) -> tuple[Floats, Floats]:
    """Quantiles and points in kW, of the plant as asked about; wider where readings are poor, none at night."""
    said = forecast.rows.select(map(quantile, LEVELS)).to_numpy()
    point = forecast.rows["point"].to_numpy()
    middle = said[:, MIDDLE : MIDDLE + 1]
    said = middle + (said - middle) * widened
    if after is not before:
        factor = factors(before, after)
        said, point = said * factor[:, None], point * factor
    most = (after.sites.capacity * after.sites.limit)[:, None] * more
    said = np.clip(np.sort(said * more, axis=1), 0, most)
    point = np.clip(point * more, 0, most[:, 0])
    said[after.dark], point[after.dark] = 0.0, 0.0
    return said, point


def _turbines(request: OutputRequest, history: History) -> float:
    """By how much extra turbines multiply a plant's output; 1 without any."""
    extra = request.what_if.extra_turbines if request.what_if else None
    if not extra:
        return 1.0
    rows = history[PLANTS.name].filter(pl.col("entity") == request.plant)
    return 1 + extra / int(rows["count"][-1])


def _band(expected: Floats, each: Floats) -> Band:
    """The energy of hours: the sum of what is expected of each, in a band by worlds (hours x worlds)."""
    total, (low, high) = float(expected.sum()), np.quantile(each.sum(axis=0), (0.1, 0.9)).tolist()
    return Band(expected=total, low=min(low, total), high=max(high, total))


def _days(starts: list[datetime], expected: Floats, each: Floats) -> list[Day]:
    """The energy of each day."""
    dates = np.array([start.date() for start in starts])
    return [
        Day(date=one, hours=int((dates == one).sum()), energy_kwh=_band(expected[dates == one], each[dates == one]))
        for one in sorted(set(dates))
    ]


def _reasons(kind: Kind, before: Outlook, expected: float, known: bool) -> list[Reason]:
    """From what would be usual, over what the weather makes of it, to what is expected: effects that add up to it.

    Only where it is `known` are there readings of the plants themselves.
    """
    capacity, blind = before.sites.capacity, np.isnan(before.said)
    given = float((before.said * capacity)[~blind].sum())
    told = []
    if kind == "solar":
        clear = before.clear * capacity
        seen, unseen = float(clear[~blind].sum()), float(clear[blind].sum())
        told.append((f"a clear sky would give {_kwh(seen + unseen)}", seen + unseen))
        if seen > 0:
            less, weather = 1 - given / seen, "clouds and heat take" if given <= seen else "the weather adds"
            told.append((f"{weather} {abs(less):.0%}", given - seen))
        usual = unseen * (CLEARNESS - 1)
    else:
        usual = float(capacity[blind].sum()) * USUAL_WIND
        if not blind.all():
            at_hub = f"wind of {before.wind[~blind].mean():.1f} m/s on average at the hub"
            told.append((f"{at_hub} gives {_kwh(given)} of {_kwh(capacity[~blind].sum())} at full power", given))
    if blind.any():
        told.append((f"of {int(blind.sum())} hours nobody has forecast the weather: they count as usual", usual))
    left = expected - sum(effect for _, effect in told)
    if known or round(left, 3):
        whose = "readings of its own" if known else "older readings, or those of others,"
        told.append((f"by what {whose} have taught it is {_more(left)}", left))
    return [Reason(words=words, effect_kwh=round(effect, 3)) for words, effect in told]


def _changed(what_if: WhatIf | None, effect: float) -> list[Reason]:
    """What a plant as it might be gives beside the plant as it is."""
    named = ", ".join(f"{name} {value:,.10g}" for name, value in what_if.told().items()) if what_if else ""
    return [Reason(words=f"with {named} it is {_more(effect)}", effect_kwh=round(effect, 3))] if named else []


def _more(effect: float) -> str:
    return f"{_kwh(abs(effect))} {'less' if effect < 0 else 'more'}"


def _kwh(energy: float) -> str:
    return f"{energy:,.{0 if energy >= 100 else 2}f} kWh"


def headline(answer: OutputAnswer) -> float:
    """The energy expected."""
    return answer.energy_kwh.expected
