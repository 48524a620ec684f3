"""The watch: what a plant put out in the last days beside what the weather should have given, and what is amiss."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, cast

import numpy as np
import polars as pl

from foretell.contract import EPOCH, Finding, Floats, History, Read, Severity
from foretell.domains.energy import physics
from foretell.domains.energy.physics import Light
from foretell.domains.energy.readings import Flags, Places, hours, plants
from foretell.domains.energy.schema import Settings, Trouble, WatchAnswer, WatchRequest
from foretell.domains.energy.tables import FORECASTS, OBSERVED, PLANTS, READINGS, WEATHER, Kind
from foretell.domains.energy.validation import recent
from foretell.domains.energy.weather import HOUR, runs
from foretell.errors import NotFound
from foretell.features.grid import micros

BEFORE = 60  # days before, by which it is known what the plant makes of the weather
LEAST = 48  # hours of them, below which physics is taken as it is
ALIVE = timedelta(days=30)  # since the last reading
DEAD = 0.03  # of what the weather gives, below which a plant stands still
STILL = 6  # such hours in a row (of light, of wind) are an outage
LESS = 0.9  # of its usual yield: a plant that stays below it through the days is watched
TOPPED = 0.7  # of capacity: a lower top that output keeps to, while `MORE` would be there, is curtailment
MORE, TWELVE = 0.1, 12  # in at least so many hours
READS = tuple(
    Read(table=table.name, window=timedelta(days=36500 if table is PLANTS else 130))
    for table in (PLANTS, READINGS, OBSERVED, FORECASTS)
)
What = Literal["outage", "soiling", "curtailment", "underperformance", "bad_readings"]


def about(request: WatchRequest) -> dict[str, list[str]]:
    """The plant."""
    return {"entity": [request.plant]}


def watched(history: History) -> list[str]:
    """The plants that are still read; of readings whose plant nobody told of nothing can be said."""
    known = pl.col("entity").is_in(list(plants(history).names))
    fresh = history[READINGS.name].filter(known & (pl.col("known_at") > history.now - ALIVE))
    return fresh["entity"].unique().sort().to_list()


def watch(request: WatchRequest, history: History) -> WatchAnswer:
    """How a plant did. Raises NotFound for one that isn't there."""
    found = plants(history)
    if request.plant not in found.names:
        brought = request.plant in history[READINGS.name]["entity"]
        there = ", but there are readings of it: energy.plants must tell what it is" if brought else ""
        raise NotFound(f"there is no plant {request.plant!r}{there}")
    place = found.names.index(request.plant)
    kind = cast("Kind", found.kinds[place])
    now = int(history.now.timestamp()) // 3600
    hour = np.arange(now - 24 * (request.days + BEFORE), now)
    share, should = _beside(kind, history, request.plant, hour)
    new = hour >= now - 24 * request.days
    usual = _usual(share[~new], should[~new])
    both = new & ~np.isnan(share) & ~np.isnan(should)
    capacity = float(found.sites.capacity[place])
    mine, other = share[both], np.minimum(should[both] * usual, 1.0)
    quality = recent(kind, history, [request.plant])
    troubles = _troubles(kind, hour[both], mine, other, capacity, request.days)
    if quality.warning:
        since = EPOCH + timedelta(hours=now - 24 * 30)
        troubles.append(
            Trouble(kind="bad_readings", severity="medium", words=quality.warning, since=since, lost_kwh=0, share=0)
        )
    price = cast("Settings", history.standpoint.settings).price_per_kwh
    return WatchAnswer(
        plant=request.plant, kind=kind, days=request.days, hours_compared=len(mine),
        output_kwh=float(mine.sum()) * capacity, usual_kwh=float(other.sum()) * capacity,
        lost_value=sum(one.lost_kwh for one in troubles) * price, quality=quality, troubles=troubles,
    )  # fmt: skip


def _beside(kind: Kind, history: History, name: str, hour: Places) -> tuple[Floats, Floats]:
    """What was put out in each hour, and what physics says of its weather: as observed, else as last forecast."""
    found, share, entity = plants(history), hours(history).of(name, hour), pl.Series([name] * len(hour))
    now = np.full(len(hour), int(history.now.timestamp() * 1_000_000))
    last = np.minimum(now, (hour + 24 * 7) * HOUR)  # a run that old is still kept
    told = runs(history).told(runs(history).places(entity, hour * HOUR, last), WEATHER)
    seen = history[OBSERVED.name].filter(pl.col("entity") == name)
    place = micros(seen["time"]) // HOUR - hour[0]
    inside = (place >= 0) & (place < len(hour))
    for column in WEATHER:
        value = seen[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
        good = inside & ~np.isnan(value)
        told[column] = told[column].copy()
        told[column][place[good]] = value[good]
    sites = found.sites.of(np.full(len(hour), found.names.index(name)))
    if kind == "wind":
        return share, physics.wind(sites, told)
    light = Light(sites, hour * HOUR)
    return share, np.where(light.part > 0, physics.solar(sites, light, told), np.nan)


def _usual(share: Floats, should: Floats) -> float:
    """What a plant usually makes of what physics says; 1 where too little is known."""
    both = ~np.isnan(share) & ~np.isnan(should)
    if both.sum() < LEAST or should[both].sum() <= 0:
        return 1.0
    return float(np.clip(share[both].sum() / should[both].sum(), 0.2, 1.5))


def _troubles(kind: Kind, hour: Places, mine: Floats, other: Floats, capacity: float, days: int) -> list[Trouble]:
    """What is amiss, the dearest first: each hour's loss counts once."""
    found = []
    worth = other > 0.1  # hours in which the weather gives something
    still = _long(worth & (mine < DEAD * other))
    if still.any():
        found.append(_told("outage", still, hour, mine, other, capacity, days))
    left = worth & ~still
    held = _held(mine, other, left)
    rest = left & ~held
    if held.any() and mine[rest].sum() >= LESS * other[rest].sum():  # below the top it does as ever
        found.append(_told("curtailment", held, hour, mine, other, capacity, days))
        left = rest
    if left.sum() >= 24:
        ratio = float(mine[left].sum() / other[left].sum())
        daily = [
            float(mine[left & (hour // 24 == day)].sum() / other[left & (hour // 24 == day)].sum())
            for day in np.unique(hour[left] // 24)
        ]
        if ratio < LESS and float(np.mean(np.array(daily) < LESS + 0.05)) > 0.7:
            name: What = "soiling" if kind == "solar" else "underperformance"
            found.append(_told(name, left, hour, mine, other, capacity, days))
    return sorted(found, key=lambda one: -one.lost_kwh)


def _held(mine: Floats, other: Floats, left: Flags) -> Flags:
    """The hours in which output kept to one top, though there was more, and mostly did so since it first did."""
    best = np.zeros(len(mine), dtype=bool)
    for top in np.arange(0.05, TOPPED, 0.01):
        more = left & (other > top + MORE)
        kept = more & (np.abs(mine - top) < MORE / 6)
        since = more & (np.arange(len(mine)) >= int(kept.argmax()))
        if kept.sum() >= max(TWELVE, 0.6 * since.sum(), best.sum() + 1):
            best = kept
    return best


def _long(flag: Flags) -> Flags:
    """Of flagged hours those that come with at least `STILL` in a row."""
    run = np.cumsum(np.concatenate([[True], flag[1:] != flag[:-1]])) if len(flag) else np.zeros(0, dtype=int)
    long = np.bincount(run, minlength=int(run.max(initial=0)) + 1)[run] >= STILL
    found: Flags = flag & long
    return found


WORDS: dict[str, str] = {
    "outage": "it stood still for {hours} hours in which the weather gave something",
    "curtailment": "its output was held at a top below {top:.0%} of capacity for {hours} hours",
    "soiling": "it stays {less:.0%} below its usual yield, day after day, as dirty or failing panels do",
    "underperformance": "it stays {less:.0%} below its usual yield, day after day",
}


def _told(name: What, where: Flags, hour: Places, mine: Floats, other: Floats, capacity: float, days: int) -> Trouble:
    lost = float(np.maximum(other - mine, 0)[where].sum()) * capacity
    of_all = lost / max(float(other.sum()) * capacity, 1e-9)
    less = 1 - float(mine[where].sum() / max(other[where].sum(), 1e-9))
    words = WORDS[name].format(hours=int(where.sum()), top=float(mine[where].max()), less=less)
    grade: Severity = "critical" if of_all > 0.5 else "high" if of_all > 0.2 else "medium" if of_all > 0.08 else "low"
    return Trouble(
        kind=name, severity=grade, words=f"{words}; about {lost:,.0f} kWh lost in {days} days",
        since=EPOCH + timedelta(hours=int(hour[where][0])), lost_kwh=lost, share=round(of_all, 4),
    )  # fmt: skip


def findings(answer: WatchAnswer) -> Sequence[Finding]:
    """What is amiss, as findings."""
    return [
        Finding(
            kind=one.kind,
            severity=one.severity,
            words=f"{answer.plant}: {one.words}",
            evidence={"lost_kwh": round(one.lost_kwh, 1), "share": one.share, "since": one.since.isoformat()},
        )
        for one in answer.troubles
    ]
