"""Where weather comes from: NASA POWER, Open-Meteo and OpenWeather.

Whatever a provider stamps, a row is about the hour that starts at `time`, UTC: radiation is its mean, precipitation its
sum, the rest as at its start (of NASA its mean). What is observed is late, and says in `known_at` when it could be
known; a forecast is known since it was asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl

from foretell.contract import INSTANT, Frame, Get, Key, Quota, Source, Wanted
from foretell.errors import InvalidRequest
from foretell.features.intervals import preceding

HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=366)
TWICE_A_DAY = timedelta(hours=12)
MISSING = -99.0  # nothing that is told here is as low: -99 and -999 stand for what is missing
GRID = 1.0  # degrees by which the middle of a model's cell may lie beside a place
SAME = 0.05  # and by which a place itself, rounded


# ---------------------------------------------------------------- what is asked


def _sites(wanted: Wanted) -> Iterator[tuple[Mapping[str, str], Wanted]]:
    """The places that share coordinates, of each such, as a query tells them: what is wanted there."""
    for (latitude, longitude), some in wanted.places.group_by("latitude", "longitude", maintain_order=True):
        yield {"latitude": f"{latitude:.4f}", "longitude": f"{longitude:.4f}"}, replace(wanted, places=some)


def _spans(wanted: Wanted, longest: timedelta) -> Iterator[Wanted]:
    since = wanted.since
    while since < wanted.until:
        until = min(since + longest, wanted.until)
        yield replace(wanted, since=since, until=until)
        since = until


# ---------------------------------------------------------------- what is answered


def _json(body: bytes) -> Any:
    if body.lstrip()[:1] == b"<":
        raise InvalidRequest("its answer is HTML or XML, not JSON")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("its answer is not whole JSON") from None


def _at(told: Any, *path: str) -> Any:
    """What stands at a path of an answer. Raises InvalidRequest where nothing does."""
    for name in path:
        if not isinstance(told, dict) or name not in told:
            raise InvalidRequest(f"its answer has no {'.'.join(path)}")
        told = told[name]
    return told


def _numbers(name: str, values: Any) -> pl.Series:
    """A column of numbers; what stands for a missing one is null. Raises InvalidRequest for anything else."""
    there = (each for each in values if each is not None)
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in there):
        raise InvalidRequest(f"its answer has something else than numbers as {name}")
    numbers = pl.Series(name, [None if each is None else float(each) for each in values], dtype=pl.Float64)
    return numbers.set(numbers.is_nan() | (numbers <= MISSING), None)


def _times(stamps: Sequence[Any], form: str) -> pl.Series:
    try:
        return pl.Series("time", stamps, dtype=pl.String).str.to_datetime(form, time_unit="us", time_zone="UTC")
    except (pl.exceptions.PolarsError, TypeError):
        raise InvalidRequest("its answer has times in another form than documented") from None


def _here(get: Get, latitude: Any, longitude: Any, near: float) -> None:
    """Raise InvalidRequest for an answer about another place than asked for, by more than `near` degrees."""
    if not all(isinstance(each, int | float) for each in (latitude, longitude)):
        raise InvalidRequest("its answer does not say of which place it is")
    asked = get.wanted.places.row(0, named=True)
    east = (longitude - asked["longitude"] + 180) % 360 - 180
    east *= math.cos(math.radians(asked["latitude"]))
    if max(abs(latitude - asked["latitude"]), abs(east)) > near:
        place = f"{asked['latitude']:.4f}, {asked['longitude']:.4f}"
        raise InvalidRequest(f"its answer is of another place: {latitude}, {longitude} instead of {place}")


def _then(get: Get, weather: Frame) -> None:
    """Raise InvalidRequest for hours of other days than those that were asked for."""
    first, last = get.wanted.since.replace(hour=0), get.wanted.until.replace(hour=0) + DAY
    if not weather.select(pl.col("time").is_between(first, last, closed="left").all()).item():
        raise InvalidRequest("its answer is of another time than asked for")


def _rows(get: Get, weather: Frame, provider: str, **known: pl.Expr) -> Frame:
    """The weather of the hours that are wanted, of every plant there; of hours of which nothing is told, no row."""
    columns = [name for name in weather.columns if name not in ("time", *known)]
    some = weather.filter(
        pl.col("time").is_between(get.wanted.since, get.wanted.until, closed="left"),
        pl.any_horizontal(pl.col(name).is_not_null() for name in columns),
    )
    return get.wanted.places.select("plant").join(
        some.with_columns(**known, provider=pl.lit(provider)), how="cross", maintain_order="left_right"
    )


# ---------------------------------------------------------------- NASA POWER

NASA: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "ALLSKY_SFC_SW_DWN": ("ghi", {"Wh/m^2": 1.0, "W/m^2": 1.0}),  # an hour's energy is its mean power
    "ALLSKY_SFC_SW_DNI": ("dni", {"Wh/m^2": 1.0, "W/m^2": 1.0}),
    "ALLSKY_SFC_SW_DIFF": ("dhi", {"Wh/m^2": 1.0, "W/m^2": 1.0}),
    "T2M": ("temperature", {"C": 1.0}),
    "RH2M": ("humidity", {"%": 1.0}),
    "CLOUD_AMT": ("cloud_cover", {"%": 1.0}),
    "PS": ("pressure", {"kPa": 10.0, "hPa": 1.0}),
    "PRECTOTCORR": ("precipitation", {"mm/hour": 1.0, "mm/hr": 1.0, "mm/day": 1 / 24}),
    "WS10M": ("wind_speed_10m", {"m/s": 1.0}),
    "WD10M": ("wind_direction_10m", {"Degrees": 1.0, "degrees": 1.0}),
}
"""By NASA's name: ours, and what makes ours of it, by the units that it may come in."""
NASA_LATE = timedelta(days=7)


def nasa_requests(wanted: Wanted) -> list[Get]:
    """A request a place and year, in UTC, which must be asked for: the default is local solar time.

    https://power.larc.nasa.gov/docs/services/api/temporal/hourly/
    """
    return [
        Get(
            path="/api/temporal/hourly/point",
            query={
                "parameters": ",".join(NASA), "community": "RE", **site, "format": "JSON", "time-standard": "UTC",
                "start": f"{part.since:%Y%m%d}", "end": f"{part.until - HOUR:%Y%m%d}",
            },
            wanted=part,
        )
        for site, here in _sites(wanted)
        for part in _spans(here, YEAR)
    ]  # fmt: skip


def nasa_rows(body: bytes, get: Get) -> Frame:
    """Rows of `observed` from GeoJSON: `properties.parameter` by name and hour (`2024010100`, the hour's start).

    It is known a week after the hour: so late radiation comes (CERES FLASHFlux). Raises InvalidRequest.
    """
    told = _json(body)
    if (standard := _at(told, "header", "time_standard")) != "UTC":
        raise InvalidRequest(f"its answer is in {standard}, not in UTC")
    where = _at(told, "geometry", "coordinates")
    if not isinstance(where, list) or len(where) < 2:
        raise InvalidRequest("its answer does not say of which place it is")
    _here(get, where[1], where[0], SAME)
    values = {name: _at(told, "properties", "parameter", name) for name in NASA}
    if not all(isinstance(each, dict) for each in values.values()):
        raise InvalidRequest("its answer has no values by hour")
    stamps = sorted(set().union(*values.values()))
    columns = [_times([f"{stamp}00" for stamp in stamps], "%Y%m%d%H%M")]
    for name, (column, units) in NASA.items():
        unit = _at(told, "parameters", name, "units")
        if unit not in units:
            raise InvalidRequest(f"{name} comes in {unit}, not in {' or '.join(units)}")
        columns.append(_numbers(column, [values[name].get(stamp) for stamp in stamps]) * units[unit])
    weather = pl.DataFrame(columns)
    _then(get, weather)
    return _rows(get, weather, "nasa_power", known_at=pl.col("time") + NASA_LATE)


# ---------------------------------------------------------------- Open-Meteo

OPEN_METEO: Mapping[str, tuple[str, str]] = {
    "shortwave_radiation": ("ghi", "W/m²"),
    "direct_normal_irradiance": ("dni", "W/m²"),
    "diffuse_radiation": ("dhi", "W/m²"),
    "temperature_2m": ("temperature", "°C"),
    "relative_humidity_2m": ("humidity", "%"),
    "cloud_cover": ("cloud_cover", "%"),
    "surface_pressure": ("pressure", "hPa"),
    "precipitation": ("precipitation", "mm"),
    "wind_speed_10m": ("wind_speed_10m", "m/s"),
    "wind_speed_100m": ("wind_speed_100m", "m/s"),
    "wind_direction_10m": ("wind_direction_10m", "°"),
    "wind_direction_100m": ("wind_direction_100m", "°"),
}
"""By Open-Meteo's name: ours, and the unit that it must come in."""
BEFORE = ("ghi", "dni", "dhi", "precipitation")  # stamped at the end of their hour: "preceding hour mean", or sum
ARCHIVE_LATE = timedelta(days=2)
OPEN_METEO_QUOTA = Quota(minute=600, day=10_000)  # of who has no key
RUNS = range(1, 8)  # days before the hour, of which earlier runs are kept
PUBLISHED = timedelta(hours=8)  # after a model's run began, it is out: the slowest takes seven


def _open_meteo(path: str, longest: timedelta, names: Sequence[str]) -> Callable[[Wanted], list[Get]]:
    """Makes requests of these variables, one a place and span, in UTC and m/s: the default is km/h.

    A day more is asked for than wanted, for the last hour's radiation. How much a request counts depends on its days
    and variables (https://open-meteo.com/en/pricing).
    """

    def cost(part: Wanted) -> float:
        days = (part.until.date() - part.since.date()).days + 1
        return max(1.0, len(names) / 10 * max(1.0, days / 14))

    def requests(wanted: Wanted) -> list[Get]:
        return [
            Get(
                path=path,
                query={
                    **site, "hourly": ",".join(names), "wind_speed_unit": "ms", "timezone": "UTC",
                    "start_date": f"{part.since:%Y-%m-%d}", "end_date": f"{part.until:%Y-%m-%d}",
                },
                wanted=part,
                cost=cost(part),
            )
            for site, here in _sites(wanted)
            for part in _spans(here, longest)
        ]  # fmt: skip

    return requests


def _hourly(body: bytes, get: Get, suffix: str = "") -> Frame:
    """The weather by hour in an answer, or of the earlier run that its names end in. Raises InvalidRequest.

    https://open-meteo.com/en/docs: `hourly` holds a column for each variable, `hourly_units` their units.
    """
    told = _json(body)
    if (offset := _at(told, "utc_offset_seconds")) != 0:
        raise InvalidRequest(f"its answer is {offset} s beside UTC")
    _here(get, _at(told, "latitude"), _at(told, "longitude"), GRID)
    stamps = _at(told, "hourly", "time")
    if not isinstance(stamps, list):
        raise InvalidRequest("its answer has no values by hour")
    columns = [_times(stamps, "%Y-%m-%dT%H:%M")]
    for name, (column, unit) in OPEN_METEO.items():
        values, given = _at(told, "hourly", name + suffix), _at(told, "hourly_units", name + suffix)
        if given != unit:
            raise InvalidRequest(f"{name}{suffix} comes in {given}, not in {unit}")
        if not isinstance(values, list) or len(values) != len(stamps):
            raise InvalidRequest(f"{name}{suffix} does not have as many values as there are hours")
        columns.append(_numbers(column, values))
    weather = pl.DataFrame(columns)
    _then(get, weather)
    return preceding(weather, BEFORE)


def archive_rows(body: bytes, get: Get) -> Frame:
    """Rows of `observed` from the archive: weather models' analyses (ERA5, ECMWF), known two days after the hour.

    https://open-meteo.com/en/docs/historical-weather-api. Raises InvalidRequest.
    """
    return _rows(get, _hourly(body, get), "open_meteo", known_at=pl.col("time") + ARCHIVE_LATE)


def forecast_rows(body: bytes, get: Get) -> Frame:
    """Rows of `forecasts` from the forecast of now: issued when it was asked for, for nothing says which run it is.

    https://open-meteo.com/en/docs. Raises InvalidRequest.
    """
    return _rows(get, _hourly(body, get), "open_meteo", issued_at=_now(get))


def run_rows(body: bytes, get: Get) -> Frame:
    """Rows of `forecasts` from earlier runs: for each hour what was said of it 1 to 7 days before.

    `temperature_2m_previous_day1` is of the newest run that began 24 hours before its hour or earlier, and known when
    that was published: https://open-meteo.com/en/docs/previous-runs-api. Raises InvalidRequest.
    """
    runs = []
    for day in RUNS:
        issued = pl.col("time") - day * DAY + PUBLISHED
        runs.append(_rows(get, _hourly(body, get, f"_previous_day{day}"), "open_meteo", issued_at=issued))
    return pl.concat(runs).filter(pl.col("issued_at") <= get.wanted.standing.now)


def _now(get: Get) -> pl.Expr:
    return pl.lit(get.wanted.standing.now, dtype=INSTANT)


# ---------------------------------------------------------------- OpenWeather

THREE = 3  # hours between two stamps


def openweather_requests(wanted: Wanted) -> list[Get]:
    """A request a place for five days in steps of three hours, which the free key may ask: it is in K without `units`.

    https://openweathermap.org/forecast5
    """
    return [
        Get(
            path="/data/2.5/forecast",
            query={"lat": site["latitude"], "lon": site["longitude"], "units": "metric"},
            wanted=here,
        )
        for site, here in _sites(wanted)
    ]


def openweather_rows(body: bytes, get: Get) -> Frame:
    """Rows of `forecasts`: between the stamps (`dt`, seconds since 1970) values are drawn straight, by the hour.

    Rain and snow are of the three hours before their stamp; there is no radiation. No units are told: a temperature
    that can't be in °C is noticed. Raises InvalidRequest.
    """
    told = _json(body)
    where = _at(told, "city", "coord")
    _here(get, _at(where, "lat"), _at(where, "lon"), GRID)
    stamps = _at(told, "list")
    if not isinstance(stamps, list) or not stamps:
        raise InvalidRequest("its answer has no stamps")
    columns = {
        "temperature": ("main", "temp"), "humidity": ("main", "humidity"), "cloud_cover": ("clouds", "all"),
        "pressure": ("main", "grnd_level"), "wind_speed_10m": ("wind", "speed"), "wind_direction_10m": ("wind", "deg"),
    }  # fmt: skip
    seconds = _numbers("time", [_at(each, "dt") for each in stamps])
    weather = pl.DataFrame(
        [
            (seconds * 1e6).cast(pl.Int64).cast(INSTANT),
            *(_numbers(name, [_at(each, *path) for each in stamps]) for name, path in columns.items()),
            _numbers("precipitation", [_fell(each) for each in stamps]),
        ]
    )
    if weather.select(~pl.col("temperature").is_between(-90, 65).all()).item():
        raise InvalidRequest("main.temp comes in something else than °C")
    return _rows(get, _by_hour(weather), "openweather", issued_at=_now(get))


def _fell(stamp: Any) -> float:
    """Rain and snow of three hours, mm: what did not fall is not told."""
    parts = [stamp.get(kind, {}) for kind in ("rain", "snow")]
    return sum(float(part.get("3h", 0.0)) for part in parts if isinstance(part, dict))


def _by_hour(weather: Frame) -> Frame:
    """Every hour from the first stamp to the last; directions turn the shorter way."""
    angle = pl.col("wind_direction_10m").radians()
    spread = (
        weather.unique("time", keep="last").sort("time").with_columns(east=angle.sin(), north=angle.cos())
        .drop("wind_direction_10m").upsample("time", every="1h")
    )  # fmt: skip
    drawn = spread.with_columns(pl.exclude("time", "precipitation").interpolate())
    fell = pl.col("precipitation").shift(-1).fill_null(strategy="backward", limit=THREE - 1) / THREE
    turned = pl.arctan2("east", "north").degrees() % 360
    return drawn.with_columns(precipitation=fell, wind_direction_10m=turned).drop("east", "north")


# ---------------------------------------------------------------- the sources

SOURCES = (
    Source(
        name="open_meteo", summary="the weather forecast of Open-Meteo", provider="open_meteo",
        url="https://api.open-meteo.com", table="forecasts", places="plants", every=TWICE_A_DAY,
        back=timedelta(), ahead=8 * DAY, requests=_open_meteo("/v1/forecast", 16 * DAY, [*OPEN_METEO]),
        parse=forecast_rows, quota=OPEN_METEO_QUOTA, key=Key(name="apikey", needed=False), fallback="openweather",
    ),
    Source(
        name="openweather", summary="the five-day forecast of OpenWeather", provider="openweather",
        url="https://api.openweathermap.org", table="forecasts", places="plants", whose=None, every=TWICE_A_DAY,
        back=timedelta(), ahead=5 * DAY, requests=openweather_requests, parse=openweather_rows,
        quota=Quota(minute=60, day=1000), key=Key(name="appid"),
    ),
    Source(
        name="open_meteo_runs", summary="earlier forecasts, kept by Open-Meteo since 2024", provider="open_meteo",
        url="https://previous-runs-api.open-meteo.com", table="forecasts", places="plants", whose=None,
        every=TWICE_A_DAY, back=2 * DAY, ahead=timedelta(),
        requests=_open_meteo("/v1/forecast", 28 * DAY, [f"{n}_previous_day{d}" for d in RUNS for n in OPEN_METEO]),
        parse=run_rows, quota=OPEN_METEO_QUOTA, key=Key(name="apikey", needed=False),
    ),
    Source(
        name="nasa_power", summary="sun and weather from satellites, by NASA POWER", provider="nasa_power",
        url="https://power.larc.nasa.gov", table="observed", places="plants", whose=pl.col("kind") == "solar",
        every=TWICE_A_DAY, back=14 * DAY, ahead=-NASA_LATE, requests=nasa_requests, parse=nasa_rows,
        quota=Quota(minute=30, day=5000), fallback="open_meteo_archive",
    ),
    Source(
        name="open_meteo_archive", summary="weather as models saw it, by Open-Meteo", provider="open_meteo",
        url="https://archive-api.open-meteo.com", table="observed", places="plants", whose=pl.col("kind") == "wind",
        every=TWICE_A_DAY, back=9 * DAY, ahead=-ARCHIVE_LATE,
        requests=_open_meteo("/v1/archive", YEAR, [*OPEN_METEO]), parse=archive_rows, quota=OPEN_METEO_QUOTA,
        key=Key(name="apikey", needed=False), fallback="nasa_power",
    ),
)  # fmt: skip
"""Observed weather comes from NASA for the sun, from Open-Meteo for the wind at 100 m; each stands in for the other."""
