"""Where energy's weather comes from.

What is observed is late, and says in `known_at` when it could be known at the earliest; a forecast is known since it
was asked for, and one of an earlier run since that was published.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from foretell.contract import INSTANT, Frame, Get, Key, Quota, Source
from foretell.features import meteo

DAY, TWICE_A_DAY = timedelta(days=1), timedelta(hours=12)
OPEN_METEO_QUOTA = Quota(minute=600, day=10_000)  # of who has no key
NASA_LATE = timedelta(days=7)  # radiation comes so late (CERES FLASHFlux)
ARCHIVE_LATE = timedelta(days=2)
RUNS = range(1, 8)  # days before the hour, of which earlier runs are kept
EARLIER = [f"{name}_previous_day{day}" for day in RUNS for name in meteo.OPEN_METEO]
PUBLISHED = timedelta(hours=8)  # after a model's run began, it is out: the slowest takes seven


def nasa_rows(body: bytes, get: Get) -> Frame:
    """Rows of `observed` from NASA POWER. Raises InvalidRequest."""
    return _rows(get, meteo.nasa_weather(body, get), "nasa_power", known_at=pl.col("time") + NASA_LATE)


def archive_rows(body: bytes, get: Get) -> Frame:
    """Rows of `observed` from Open-Meteo's archive of weather models' analyses (ERA5, ECMWF). Raises InvalidRequest."""
    return _rows(get, meteo.open_meteo_weather(body, get), "open_meteo", known_at=pl.col("time") + ARCHIVE_LATE)


def forecast_rows(body: bytes, get: Get) -> Frame:
    """Rows of `forecasts` from Open-Meteo: issued when it was asked for, for nothing says which run it is.

    Raises InvalidRequest.
    """
    return _rows(get, meteo.open_meteo_weather(body, get), "open_meteo", issued_at=_now(get))


def openweather_rows(body: bytes, get: Get) -> Frame:
    """Rows of `forecasts` from OpenWeather: issued when it was asked for. Raises InvalidRequest."""
    return _rows(get, meteo.openweather_weather(body, get), "openweather", issued_at=_now(get))


def run_rows(body: bytes, get: Get) -> Frame:
    """Rows of `forecasts` from earlier runs: for each hour what was said of it 1 to 7 days before.

    `temperature_2m_previous_day1` is of the newest run that began 24 hours before its hour or earlier, and known when
    that was published: https://open-meteo.com/en/docs/previous-runs-api. Raises InvalidRequest.
    """
    runs = []
    for day in RUNS:
        issued = pl.col("time") - day * DAY + PUBLISHED
        weather = meteo.open_meteo_weather(body, get, f"_previous_day{day}")
        runs.append(_rows(get, weather, "open_meteo", issued_at=issued))
    return pl.concat(runs).filter(pl.col("issued_at") <= get.wanted.standing.now)


def _now(get: Get) -> pl.Expr:
    return pl.lit(get.wanted.standing.now, dtype=INSTANT)


def _rows(get: Get, weather: Frame, provider: str, **known: pl.Expr) -> Frame:
    """The weather of every plant at the place, in the tables' columns."""
    told = weather.with_columns(**known, provider=pl.lit(provider))
    return get.wanted.places.select("plant").join(told, how="cross", maintain_order="left_right")


SOURCES = (
    Source(
        name="open_meteo", summary="the weather forecast of Open-Meteo", provider="open_meteo",
        url="https://api.open-meteo.com", table="forecasts", places="plants", every=TWICE_A_DAY,
        back=timedelta(), ahead=8 * DAY, requests=meteo.open_meteo_requests("/v1/forecast", 16 * DAY),
        parse=forecast_rows, quota=OPEN_METEO_QUOTA, key=Key(name="apikey", needed=False), fallback="openweather",
    ),
    Source(
        name="openweather", summary="the five-day forecast of OpenWeather", provider="openweather",
        url="https://api.openweathermap.org", table="forecasts", places="plants", whose=None, every=TWICE_A_DAY,
        back=timedelta(), ahead=5 * DAY, requests=meteo.openweather_requests, parse=openweather_rows,
        quota=Quota(minute=60, day=1000), key=Key(name="appid"),
    ),
    Source(
        name="open_meteo_runs", summary="earlier forecasts, kept by Open-Meteo since 2024", provider="open_meteo",
        url="https://previous-runs-api.open-meteo.com", table="forecasts", places="plants", whose=None,
        every=TWICE_A_DAY, back=2 * DAY, ahead=timedelta(),
        requests=meteo.open_meteo_requests("/v1/forecast", 28 * DAY, EARLIER), parse=run_rows,
        quota=OPEN_METEO_QUOTA, key=Key(name="apikey", needed=False),
    ),
    Source(
        name="nasa_power", summary="sun and weather from satellites, by NASA POWER", provider="nasa_power",
        url="https://power.larc.nasa.gov", table="observed", places="plants", whose=pl.col("kind") == "solar",
        every=TWICE_A_DAY, back=14 * DAY, ahead=-NASA_LATE, requests=meteo.nasa_requests, parse=nasa_rows,
        quota=Quota(minute=30, day=5000), fallback="open_meteo_archive",
    ),
    Source(
        name="open_meteo_archive", summary="weather as models saw it, by Open-Meteo", provider="open_meteo",
        url="https://archive-api.open-meteo.com", table="observed", places="plants", whose=pl.col("kind") == "wind",
        every=TWICE_A_DAY, back=9 * DAY, ahead=-ARCHIVE_LATE,
        requests=meteo.open_meteo_requests("/v1/archive", meteo.YEAR), parse=archive_rows,
        quota=OPEN_METEO_QUOTA, key=Key(name="apikey", needed=False), fallback="nasa_power",
    ),
)  # fmt: skip
"""Observed weather comes from NASA for the sun, from Open-Meteo for the wind at 100 m; each stands in for the other."""
