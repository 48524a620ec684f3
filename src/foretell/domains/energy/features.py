"""Questions, features and outcomes of a plant's hours: one truth for training, tests, serving and monitoring.

A question (`as_of`, `at`) is about the mean power of the hour that starts at `at`. It sees the readings known by
`as_of`, and of the weather for that hour and those about it the newest forecast issued by then (`weather`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import INSTANT, QUESTION, Block, Floats, Frame, History, Read
from foretell.domains.energy import physics
from foretell.domains.energy.physics import Columns, Light, Sites
from foretell.domains.energy.readings import WEEK, Hours, Places, hours, plants, standpoints
from foretell.domains.energy.schema import FEATURES, WEATHER_NUMBERS
from foretell.domains.energy.tables import FORECASTS, PLANTS, READINGS, WEATHER, Kind
from foretell.domains.energy.weather import HOUR, KEPT, MINUTE, runs
from foretell.features.grid import micros, moments

APART = 25  # hours between two old standpoints: they come by at every hour of the day
FAR, FARTHEST = 6, 168  # questions of a standpoint that are about later than the next one; and how late at most
MANY = 120_000  # old questions at most: of many plants standpoints are further apart
LATE = timedelta(days=7)  # a reading that comes later than that is none
ABOUT = np.arange(-6, 7)  # hours about the one asked about whose weather is looked at
LATELY = 72  # hours before the standpoint, of which is looked at how far physics was off
SAME = 14  # days of which the same hour is looked at
FADING = 18.0  # hours in which what the last reading tells of the wind fades to a third
READS = (
    Read(table=PLANTS.name, window=timedelta(days=36500), by="all"),
    Read(table=READINGS.name, window=timedelta(days=62), columns=("time", "output_kw")),
    Read(table=FORECASTS.name, window=KEPT, columns=("time", "provider", *WEATHER)),
)


def questions(kind: Kind, history: History) -> Frame:
    """Old standpoints of every plant of a kind, each with the hours until the next and some later ones.

    Only hours with some sun are asked about of solar plants: at night there is nothing to say.
    """
    found = hours(history)
    mine = set(plants(history).of_kind(kind))
    since = dict(zip(plants(history).names, _since(history), strict=True))
    spans = []
    for name, first, size in zip(found.grid.entities, found.grid.first, found.grid.size, strict=True):
        if name in mine:
            begin = max(int(first) // HOUR + 48, -(-since[name] // HOUR))
            spans.append((name, begin, int(first) // HOUR + int(size)))
    total = sum(max(0, end - begin) for _, begin, end in spans) * (1 + FAR / APART)
    apart = APART * max(1, int(np.ceil(total / MANY)))
    now = int(history.now.timestamp()) // 3600
    made = [_asked(name, np.arange(-(-begin // apart) * apart, min(end, now + 1), apart)) for name, begin, end in spans]
    asked = pl.concat(made) if made else pl.DataFrame(schema={**QUESTION, "plant": pl.String()})
    return asked.filter(pl.Series(lit(history, asked))) if kind == "solar" and asked.height else asked


def _since(history: History) -> list[int]:
    """When each plant began, microseconds."""
    rows = history[PLANTS.name].sort("known_at", maintain_order=True).unique("entity", keep="last").sort("entity")
    return [int(moment) for moment in micros(rows["since"])]


def _asked(name: str, standing: Places) -> Frame:
    """The questions of a plant's standpoints (hours since 1970)."""
    far = APART + (np.arange(FAR) * 18 + standing[:, None] // APART * 7) % (FARTHEST - APART)
    ahead = np.concatenate([np.broadcast_to(np.arange(APART), (len(standing), APART)), far], axis=1)
    at = (standing[:, None] + ahead).ravel() * HOUR
    return framed([name] * len(at), np.repeat(standing * HOUR, ahead.shape[1]), at)


def framed(entity: list[str], as_of: Places, at: Places) -> Frame:
    """Questions, of moments in microseconds."""
    times = [pl.Series(name, of, dtype=pl.Int64).cast(INSTANT) for name, of in (("as_of", as_of), ("at", at))]
    named = [pl.Series(name, entity, dtype=pl.String) for name in ("entity", "plant")]
    return pl.DataFrame([named[0], *times, named[1]])


def lit(history: History, asked: Frame) -> Any:
    """Whether the sun is up in any part of each question's hour."""
    found = plants(history)
    return Light(found.sites.of(found.places(asked["entity"])), micros(asked["at"])).part > 0


def outcomes(history: History, asked: Frame) -> Frame:
    """`value`, the hour's mean power in kW, known at its end or when the reading came.

    An hour without a reading that can be is void a week after its end.
    """
    found = hours(history)
    (at,) = found.grid.places(asked["entity"], micros(asked["at"]))
    value = np.append(np.where(np.isnan(found.share), np.nan, found.grid.value), np.nan)[at]  # the last: of no place
    late = micros(asked["at"]) + HOUR + LATE // timedelta(microseconds=1)
    minute = np.where(np.isnan(value), 2**50, np.append(found.known, 2**50)[at])
    prompt = minute <= late // MINUTE
    moment = pl.Series(np.where(prompt, minute * MINUTE, late)).cast(INSTANT)
    made = pl.DataFrame({"value": pl.Series(np.where(prompt, value, np.nan)).fill_nan(None), "known_at": moment})
    return made.select(
        pl.when(pl.col("known_at") <= history.now).then(pl.col(name)).alias(name) for name in made.columns
    )


def features(kind: Kind, history: History, asked: Frame) -> Block:
    """The features of `schema.FEATURES`, one row a question in the order asked; NaN where something is not known."""
    found = plants(history)
    sites, at, as_of = found.sites.of(found.places(asked["entity"])), micros(asked["at"]), micros(asked["as_of"])
    made = {"capacity": sites.capacity}
    made |= _clocks(sites, at, as_of)
    made |= _weather(history, asked["entity"], at, as_of)
    seen = {name: made.pop(f"about {name}") for name in WEATHER}
    here = {name: seen[name][:, -ABOUT[0]] for name in WEATHER}
    made |= {name: here[name] for name in WEATHER_NUMBERS}
    past = _readings(kind, history, asked["entity"], at, as_of)
    made |= past
    made |= _solar(sites, at, seen, past) if kind == "solar" else _wind(sites, seen, past)
    return Block.of_columns({name: made[name] for name in FEATURES[kind]})


def _clocks(sites: Sites, at: Places, as_of: Places) -> dict[str, Floats]:
    """Hours ahead, and where the sun's clock and the year stand at the hour asked about."""
    hour = (at / HOUR + 0.5 + sites.longitude / 15) % 24
    year = at / (HOUR * 24 * 365.2425) * 2 * np.pi
    turn = hour / 12 * np.pi
    return {
        "ahead": (at - as_of) / HOUR, "solar_hour": hour, "hour_sin": np.sin(turn), "hour_cos": np.cos(turn),
        "year_sin": np.sin(year), "year_cos": np.cos(year),
    }  # fmt: skip


def _weather(history: History, entity: pl.Series, at: Places, as_of: Places) -> dict[str, Floats]:
    """How old the forecast of the weather is, and `about <name>`: the weather of the hours `ABOUT` the one asked."""
    found = runs(history)
    places = found.places(entity, at[:, None] + ABOUT * HOUR, as_of)
    told = {f"about {name}": values for name, values in found.told(places, WEATHER).items()}
    mine = places[:, -ABOUT[0]]
    issued = np.where(mine >= 0, found.issued(mine), np.nan)
    return {**told, "weather_age": (as_of - issued) / HOUR, "weather_lead": (at - issued) / HOUR}


def _readings(kind: Kind, history: History, entity: pl.Series, at: Places, as_of: Places) -> dict[str, Floats]:
    """What was known of the plant's own output."""
    found = hours(history)
    start, place = found.grid.places(entity, as_of, at)
    minute = as_of // MINUTE
    first, which = standpoints(start, minute)
    made = _standing(found, start[first], minute[first])
    made |= _off(kind, history, entity.gather(first), as_of[first], made.pop("window"))
    made = {name: values[which] for name, values in made.items()}
    same, _ = found.days_before(place, minute, SAME)
    day = _newest(same)
    made |= {
        "lag_day": day, "lag_168h": same[:, 6], "same_hour_mean": moments(same[:, :7])[0],
        "same_hour_max": np.fmax.reduce(same, axis=1), "same_hour_min": np.fmin.reduce(same, axis=1),
    }  # fmt: skip
    made["gap"] = made["reading_age"] + (at - as_of) / HOUR
    return made


def _newest(window: Floats) -> Floats:
    """The first known number of each row."""
    there = ~np.isnan(window)
    found: Floats = np.where(there.any(axis=1), window[np.arange(len(window)), there.argmax(axis=1)], np.nan)
    return found


def _standing(found: Hours, start: Places, minute: Places) -> dict[str, Floats]:
    """What a standpoint knows of the last week."""
    window, clear = found.before(start, minute, WEEK)
    there = ~np.isnan(window)
    age = np.where(there.any(axis=1), there.argmax(axis=1) + 1.0, np.nan)
    mean, spread = moments(window[:, :24])
    return {
        "reading_age": age, "last": _newest(window), "mean_3h": moments(window[:, :3])[0], "mean_24h": mean,
        "std_24h": spread, "min_24h": np.fmin.reduce(window[:, :24], axis=1),
        "max_24h": np.fmax.reduce(window[:, :24], axis=1), "mean_168h": moments(window)[0],
        "max_168h": np.fmax.reduce(window, axis=1), "index_6h": _ratio(window[:, :6], clear[:, :6]),
        "index_24h": _ratio(window[:, :24], clear[:, :24]), "index_168h": _ratio(window, clear), "window": window,
    }  # fmt: skip


def _ratio(mine: Floats, other: Floats) -> Floats:
    """The sum of the one beside the other's, over what both know; NaN where there was next to nothing."""
    both = ~np.isnan(mine) & ~np.isnan(other)
    below = np.where(both, other, 0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(both, mine, 0).sum(axis=1) / below
    return np.where(below > 0.05, np.minimum(found, 3.0), np.nan)


def _off(kind: Kind, history: History, entity: pl.Series, as_of: Places, window: Floats) -> dict[str, Floats]:
    """How far physics was off lately, by the newest forecasts of those hours."""
    found, known = runs(history), plants(history)
    at = (as_of[:, None] // HOUR - np.arange(1, LATELY + 1)) * HOUR
    told = found.told(found.places(entity, at, as_of), WEATHER)
    flat = {name: values.ravel() for name, values in told.items()}
    sites = known.sites.of(np.repeat(known.places(entity), LATELY))
    said = physics.solar(sites, Light(sites, at.ravel()), flat) if kind == "solar" else physics.wind(sites, flat)
    said = said.reshape(at.shape)
    off = window[:, :LATELY] - said
    return {
        "off_last": _newest(off), "off_6h": moments(off[:, :6])[0], "off_24h": moments(off[:, :24])[0],
        "ratio_24h": _ratio(window[:, :24], said[:, :24]), "ratio_72h": _ratio(window[:, :LATELY], said),
    }  # fmt: skip


# ---------------------------------------------------------------- solar


def _solar(sites: Sites, at: Places, seen: Columns, past: Mapping[str, Floats]) -> dict[str, Floats]:
    """The sun, the light by the weather and what physics makes of it, in the hour and those about it."""
    near = np.arange(-3, 4)
    each = sites.of(np.repeat(np.arange(len(at)), len(near)))
    light = Light(each, (at[:, None] + near * HOUR).ravel())
    about = {name: seen[name][:, near - ABOUT[0]].ravel() for name in WEATHER}
    level = light.level(about)
    on_panels = light.on_panels(level, about)
    said = physics.panels(each, on_panels, about["temperature"], about["wind_speed_10m"])
    clear = physics.clear_sky(each, light)
    with np.errstate(divide="ignore", invalid="ignore"):
        index = np.where(light.clear > 5, np.minimum(level / light.clear, 2.0), np.nan)
        direct = np.where(
            level > 5, np.minimum(about["dni"] * np.sin(np.radians(light.sun.elevation)) / level, 2), np.nan
        )
    rows = {"level": level, "index": index, "physical": said, "clear_share": clear}
    rows = {name: values.reshape(len(at), len(near)) for name, values in rows.items()}
    rows["cloud"] = about["cloud_cover"].reshape(len(at), len(near))

    def now(values: Floats) -> Floats:
        return values.reshape(len(at), len(near))[:, 3]

    made = {
        "elevation": now(light.sun.elevation), "lit": now(light.part),
        "aside": (now(light.sun.azimuth) - sites.azimuth + 180) % 360 - 180, "clear_ghi": now(light.clear),
        "light": now(level), "on_panels": now(on_panels), "clear_index": now(index), "direct_share": now(direct),
        "clear_share": now(clear),
    }  # fmt: skip
    beside = {"level": (-3, -2, -1, 1, 2, 3), "index": (-2, -1, 1, 2), "physical": (-1, 1), "cloud": (-1, 1)}
    for name, offsets in beside.items():
        made |= {f"{name}_{offset:+d}h": rows[name][:, offset + 3] for offset in offsets}
    made["level_mean"], made["level_std"] = moments(rows["level"])
    made["index_mean"], made["index_std"] = moments(rows["index"])
    clearness = np.where(np.isnan(past["index_168h"]), physics.CLEARNESS, past["index_168h"])
    told = now(said)
    made["physical"] = np.where(np.isnan(told), made["clear_share"] * clearness, told)
    recent = np.where((past["gap"] <= 6) & ~np.isnan(past["index_6h"]), past["index_6h"], past["index_24h"])
    made["smart"] = made["clear_share"] * np.where(np.isnan(recent), clearness, recent)
    return made


# ---------------------------------------------------------------- wind


def _wind(sites: Sites, seen: Columns, past: Mapping[str, Floats]) -> dict[str, Floats]:
    """The wind at the hub, its height and turn, and what physics makes of it, in the hour and those about it."""
    many = len(sites.hub), len(ABOUT)
    each = sites.of(np.repeat(np.arange(many[0]), many[1]))
    flat = {name: values.ravel() for name, values in seen.items()}
    hub = physics.hub_speed(each, flat).reshape(many)
    said = physics.wind(each, flat).reshape(many)
    low, high = flat["wind_speed_10m"].reshape(many), flat["wind_speed_100m"].reshape(many)
    way = np.where(np.isnan(flat["wind_direction_100m"]), flat["wind_direction_10m"], flat["wind_direction_100m"])
    way = np.radians(way).reshape(many)
    mid = -int(ABOUT[0])
    ground = np.radians(seen["wind_direction_10m"][:, mid])
    with np.errstate(divide="ignore", invalid="ignore"):
        shear = high[:, mid] / np.maximum(low[:, mid], 0.1)
    air = {name: values[:, mid] for name, values in seen.items()}
    made = {
        "hub_speed": hub[:, mid], "hub_cube": hub[:, mid] ** 3, "density": physics.density(sites, air), "shear": shear,
        "turn": np.angle(np.exp(1j * (way[:, mid] - ground))), "way_sin": np.sin(way[:, mid]),
        "way_cos": np.cos(way[:, mid]), "east": hub[:, mid] * np.sin(way[:, mid]),
        "north": hub[:, mid] * np.cos(way[:, mid]),
        "turning": np.angle(np.exp(1j * (way[:, mid + 2] - way[:, mid - 2]))),
        "ramp": hub[:, mid + 1] - hub[:, mid - 1],
        "pressure_trend": seen["pressure"][:, mid + 3] - seen["pressure"][:, mid - 3],
    }  # fmt: skip
    made |= {f"hub_speed_{offset:+d}h": hub[:, mid + offset] for offset in (-6, -4, -3, -2, -1, 1, 2, 3, 4, 6)}
    made |= {f"low_speed_{offset:+d}h": low[:, mid + offset] for offset in (-2, -1, 1, 2)}
    made |= {f"physical_{offset:+d}h": said[:, mid + offset] for offset in (-1, 1)}
    seven = hub[:, mid - 3 : mid + 4]
    made["hub_mean_7h"], made["hub_std_7h"] = moments(seven)
    made["hub_mean_13h"], made["hub_std_13h"] = moments(hub)
    made |= {"hub_max_7h": np.fmax.reduce(seven, axis=1), "hub_min_7h": np.fmin.reduce(seven, axis=1)}
    made["physical_mean_7h"] = moments(said[:, mid - 3 : mid + 4])[0]
    usual = np.where(np.isnan(past["mean_168h"]), physics.USUAL_WIND, past["mean_168h"])
    told = said[:, mid]
    made["physical"] = np.where(np.isnan(told), usual, told)
    kept = np.exp(-past["gap"] / FADING)
    made["smart"] = np.where(np.isnan(past["last"]), usual, kept * past["last"] + (1 - kept) * usual)
    return made
