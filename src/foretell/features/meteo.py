"""Providers of weather: what NASA POWER, Open-Meteo and OpenWeather are asked, and what their answers say.

Whatever a provider stamps, weather is told of hours by their start, `time`, UTC: radiation (W/m²) is the hour's mean,
precipitation (mm) its sum, the rest as at its start (of NASA its mean): °C, %, hPa at the ground, m/s, degrees from
north. Places have `latitude` and `longitude`. Everything here is pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl

from foretell.contract import INSTANT, Frame, Get, Wanted
from foretell.errors import InvalidRequest
from foretell.features.intervals import preceding

HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=366)
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
        return json.loads(body, parse_int=float)
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
    if any(each is not None and (not isinstance(each, float) or math.isinf(each)) for each in values):
        raise InvalidRequest(f"its answer has something else than numbers as {name}")
    numbers = pl.Series(name, values, dtype=pl.Float64)
    return numbers.set(numbers.is_nan() | (numbers <= MISSING), None)


def _times(stamps: Sequence[Any], form: str) -> pl.Series:
    try:
        return pl.Series("time", stamps, dtype=pl.String).str.to_datetime(form, time_unit="us", time_zone="UTC")
    except (pl.exceptions.PolarsError, TypeError):
        raise InvalidRequest("its answer has times in another form than documented") from None


def _here(get: Get, latitude: Any, longitude: Any, near: float) -> None:
    """Raise InvalidRequest for an answer about another place than asked for, by more than `near` degrees."""
    if not all(isinstance(each, float) for each in (latitude, longitude)):
        raise InvalidRequest("its answer does not say of which place it is")
    asked = get.wanted.places.row(0, named=True)
    east = (longitude - asked["longitude"] + 180) % 360 - 180
    east *= math.cos(math.radians(asked["latitude"]))
    if not (abs(latitude - asked["latitude"]) <= near and abs(east) <= near):
        place = f"{asked['latitude']:.4f}, {asked['longitude']:.4f}"
        raise InvalidRequest(f"its answer is of another place: {latitude}, {longitude} instead of {place}")


def _then(get: Get, weather: Frame) -> Frame:
    """The weather; raises InvalidRequest where it has hours of other days than those that were asked for."""
    first, last = get.wanted.since.replace(hour=0), get.wanted.until.replace(hour=0) + DAY
    if not weather.select(pl.col("time").is_between(first, last, closed="left").all()).item():
        raise InvalidRequest("its answer is of another time than asked for")
    return weather


def _there(get: Get, weather: Frame) -> Frame:
    """The hours that are wanted, as far as something is told of them."""
    wanted = pl.col("time").is_between(get.wanted.since, get.wanted.until, closed="left")
    return weather.filter(wanted, pl.any_horizontal(pl.exclude("time").is_not_null()))


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


def nasa_weather(body: bytes, get: Get) -> Frame:
    """The weather by hour in GeoJSON: `properties.parameter` by name and hour (`2024010100`, the hour's start).

    Raises InvalidRequest.
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
    return _there(get, _then(get, pl.DataFrame(columns)))


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


def open_meteo_requests(
    path: str, longest: timedelta, names: Sequence[str] = tuple(OPEN_METEO)
) -> Callable[[Wanted], list[Get]]:
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


def open_meteo_weather(body: bytes, get: Get, suffix: str = "") -> Frame:
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
    return _there(get, preceding(_then(get, pl.DataFrame(columns)), BEFORE))


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


def openweather_weather(body: bytes, get: Get) -> Frame:
    """The weather by hour: between the stamps (`dt`, seconds since 1970) values are drawn straight.

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
    seconds, now = _numbers("time", [_at(each, "dt") for each in stamps]), get.wanted.standing.now.timestamp()
    if not seconds.is_between(now - DAY.total_seconds(), now + 7 * DAY.total_seconds()).fill_null(False).all():
        raise InvalidRequest("its answer is of another time than asked for")
    weather = pl.DataFrame(
        [
            (seconds * 1e6).cast(pl.Int64).cast(INSTANT),
            *(_numbers(name, [_at(each, *path) for each in stamps]) for name, path in columns.items()),
            sum((_fell(kind, stamps) for kind in ("rain", "snow")), start=pl.Series("precipitation", [0.0])),
        ]
    )
    if weather.select(~pl.col("temperature").is_between(-90, 65).all()).item():
        raise InvalidRequest("main.temp comes in something else than °C")
    return _there(get, _by_hour(weather))


def _fell(kind: str, stamps: Sequence[Any]) -> pl.Series:
    """Rain or snow of the three hours before each stamp, mm; none where it is not told."""
    told = [each.get(kind) for each in stamps]
    return _numbers(kind, [each.get("3h", 0.0) if isinstance(each, dict) else 0.0 for each in told])


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
