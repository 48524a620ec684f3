"""A small seeded world: two solar plants in Spain and two wind plants in Denmark, whose truth is known.

`roof` stands as it is told to. `field` is told to face south and faces `FACES`, and loses `SHADE` of what it yields
while the sun is in the south-west. `shore` has 8 % more wind than is forecast. `hill` is two weeks old. The weather is
forecast twice a day for `REACH` hours, the worse the farther ahead; what becomes of it differs by `LUCK`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Floats, Frame, History, Sample, Standpoint
from foretell.domains.energy import physics
from foretell.domains.energy.physics import Light, Sites
from foretell.domains.energy.readings import Places
from foretell.domains.energy.schema import OutputRequest, Settings, WatchRequest, WhatIf
from foretell.domains.energy.tables import FORECASTS, OBSERVED, PLANTS, READINGS, WEATHER
from foretell.domains.energy.weather import HOUR
from foretell.features.sun import Sun

END = datetime(2026, 6, 20, 9, 20, tzinfo=UTC)
DAYS, YOUNG = 130, 14
REACH = 48
FACES, SHADE = 120.0, 0.4
MORE_WIND = 1.08
LUCK = 0.03
SITES: dict[str, dict[str, Any]] = {
    "roof": {"kind": "solar", "latitude": 40.4, "longitude": -3.7, "capacity_kw": 80.0, "tilt": 25.0, "azimuth": 180.0},
    "field": {
        "kind": "solar", "latitude": 37.3, "longitude": -5.9, "capacity_kw": 2000.0, "tilt": 30.0, "azimuth": 180.0,
        "inverter_limit_kw": 1600.0,
    },
    "shore": {
        "kind": "wind", "latitude": 55.5, "longitude": 8.2, "capacity_kw": 6000.0, "hub_height_m": 90.0,
        "rotor_m": 112.0, "count": 2,
    },
    "hill": {"kind": "wind", "latitude": 56.3, "longitude": 9.8, "capacity_kw": 3000.0, "hub_height_m": 100.0},
}  # fmt: skip


def plants() -> Frame:
    """The plants as their owner tells of them."""
    rows = [{"plant": name, **site} for name, site in SITES.items()]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    began = [END - timedelta(days=(YOUNG if name == "hill" else DAYS) + 1) for name in SITES]
    since = pl.Series(began, dtype=INSTANT).dt.truncate("1h")
    return frame.with_columns(
        pl.lit(None, pl.Float64).alias("altitude"), since=since, tracking=pl.lit("fixed"), turbine_type=pl.lit(""),
        count=pl.col("count").fill_null(1), known_at=since, entity=pl.col("plant"),
    )  # fmt: skip


def _walk(random: np.random.Generator, count: int, keep: float) -> Floats:
    """A random walk that comes back, of spread 1."""
    out = np.empty(count)
    luck = random.standard_normal(count) * np.sqrt(1 - keep**2)
    out[0] = random.standard_normal()
    for k in range(1, count):
        out[k] = keep * out[k - 1] + luck[k]
    return out


def _weather(
    random: np.random.Generator, site: dict[str, Any], hour: Places, sun: Sun, clear: Floats
) -> dict[str, Floats]:
    """The weather as it really is."""
    count = len(hour)
    cloud = np.clip(50 + 45 * _walk(random, count, 0.94), 0, 100)
    blow = 8.5 * np.exp(0.45 * _walk(random, count, 0.95))
    way = (230 + 70 * _walk(random, count, 0.97)) % 360
    made = {name: np.full(count, np.nan) for name in WEATHER}
    warm = 14 + 6 * np.sin(np.radians(np.maximum(sun.elevation, -20))) + 3 * _walk(random, count, 0.98)
    made |= {"cloud_cover": cloud, "temperature": warm, "humidity": np.clip(65 + cloud / 5 - warm / 2, 5, 100),
             "pressure": 1008 + 8 * _walk(random, count, 0.99)}  # fmt: skip
    if site["kind"] == "solar":
        return made | {"ghi": clear * (1 - 0.75 * (cloud / 100) ** 3.4), "wind_speed_10m": blow * 0.4}
    return made | {"wind_speed_10m": blow * 0.72, "wind_speed_100m": blow, "wind_direction_100m": way}


def _output(random: np.random.Generator, name: str, sites: Sites, light: Light, weather: dict[str, Floats]) -> Floats:
    """The share of capacity that really comes out."""
    if name == "field":
        turned = light.on_panels(light.level(weather), None, (sites.tilt, np.full_like(sites.azimuth, FACES)))
        shaded = np.where((light.sun.azimuth > 210) & (light.sun.azimuth < 240), 1 - SHADE, 1.0)
        share = physics.panels(sites, turned, weather["temperature"], weather["wind_speed_10m"]) * shaded
    elif SITES[name]["kind"] == "solar":
        share = physics.solar(sites, light, weather)
    else:
        more = MORE_WIND if name == "shore" else 1.0
        share = physics.wind(
            sites, {**weather, **{k: weather[k] * more for k in ("wind_speed_10m", "wind_speed_100m")}}
        )
    noisy = share * (1 + LUCK * random.standard_normal(len(share)))
    return np.clip(np.where(light.part > 0, noisy, 0.0) if SITES[name]["kind"] == "solar" else noisy, 0, sites.limit)


def _issued(random: np.random.Generator, hour: Places, weather: dict[str, Floats], now: int) -> Frame:
    """Forecasts at 00 and 12 UTC, for `REACH` hours each; their errors grow with the hours ahead."""
    first = int(hour[0])
    runs = np.arange(-(-first // 12) * 12, now + 1, 12)
    parts = []
    for run in runs.tolist():
        place = np.arange(run, min(run + REACH, int(hour[-1]) + 1)) - first
        steps = np.arange(len(place))
        off = np.sqrt((steps + 1) / REACH) * random.standard_normal()
        told = {name: weather[name][place] for name in WEATHER}
        told["cloud_cover"] = np.clip(told["cloud_cover"] + 12 * off, 0, 100)
        told["ghi"] = np.maximum(told["ghi"] * (1 - 0.12 * off), 0)
        for name in ("wind_speed_10m", "wind_speed_100m"):
            told[name] = np.maximum(told[name] * (1 + 0.1 * off), 0)
        parts.append({"time": hour[place], "issued": np.full(len(place), run), **told})
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    issued = pl.Series(joined.pop("issued") * HOUR, dtype=pl.Int64).cast(INSTANT)
    times = pl.Series(joined.pop("time") * HOUR, dtype=pl.Int64).cast(INSTANT)
    frame = pl.DataFrame({name: pl.Series(value).fill_nan(None) for name, value in joined.items()})
    return frame.with_columns(time=times, issued_at=issued, known_at=issued, provider=pl.lit("sample"))


def world(seed: int) -> dict[str, Frame]:
    """The tables of the world."""
    sites, now = Sites.read(plants()), int(END.timestamp()) // 3600
    readings, forecasts, observed = [], [], []
    for k, name in enumerate(SITES):
        random = np.random.default_rng([seed, k])
        days = YOUNG if name == "hill" else DAYS
        hour = np.arange(now - 24 * days, now + REACH)
        mine = sites.of(np.full(len(hour), k))
        light = Light(mine, hour * HOUR)
        weather = _weather(random, SITES[name], hour, light.sun, light.clear)
        share = _output(random, name, mine, light, weather)
        named = {"plant": pl.lit(name), "entity": pl.lit(name)}
        times = pl.Series(hour * HOUR, dtype=pl.Int64).cast(INSTANT)
        over = slice(0, now - int(hour[0]))
        told = pl.DataFrame({"time": times[over], "output_kw": (share * mine.capacity)[over]})
        readings.append(told.with_columns(known_at=pl.col("time") + timedelta(hours=1), **named))
        forecasts.append(_issued(random, hour, weather, now).with_columns(**named))
        seen = pl.DataFrame({column: pl.Series(value[over]).fill_nan(None) for column, value in weather.items()})
        observed.append(seen.with_columns(time=times[over], known_at=times[over], provider=pl.lit("sample"), **named))
    made = {READINGS: readings, FORECASTS: forecasts, OBSERVED: observed}
    return {
        PLANTS.name: plants(),
        **{table.name: pl.concat(parts, how="diagonal_relaxed") for table, parts in made.items()},
    }


def sample(seed: int) -> Sample:
    """The world for a seed: the same seed gives the same rows."""
    standpoint = Standpoint(tenant="sample", now=END, zone="Europe/Madrid", settings=Settings(price_per_kwh=0.05))
    return Sample(
        history=History(standpoint, world(seed)),
        requests={
            "energy.solar": [
                OutputRequest(plant="roof", hours=24),
                OutputRequest(plant="field", hours=60, what_if=WhatIf(capacity_kw=2500, tilt=20)),
                OutputRequest(),
                OutputRequest(latitude=41.0, longitude=-3.7, hours=12),
            ],
            "energy.wind": [
                OutputRequest(plant="shore", hours=48, what_if=WhatIf(extra_turbines=1)),
                OutputRequest(plant="hill", hours=24),
                OutputRequest(latitude=55.52, longitude=8.2, hours=6),
            ],
            "energy.watch": [WatchRequest(plant="roof"), WatchRequest(plant="shore", days=30)],
        },
    )
