"""Providers of weather over real HTTP: each speaks its documented format, and misbehaves when it is told to.

The formats are made from the documents, which the parsers name. All tell one weather, `sky`, in their own stamps and
units; what is told is told of the hour that starts at `time`, as our tables have it.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import polars as pl

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KEY = "s3cret-key"

NASA = {
    "ALLSKY_SFC_SW_DWN": ("ghi", "Wh/m^2", 1.0), "ALLSKY_SFC_SW_DNI": ("dni", "Wh/m^2", 1.0),
    "ALLSKY_SFC_SW_DIFF": ("dhi", "Wh/m^2", 1.0), "T2M": ("temperature", "C", 1.0), "RH2M": ("humidity", "%", 1.0),
    "CLOUD_AMT": ("cloud_cover", "%", 1.0), "PS": ("pressure", "kPa", 0.1),
    "PRECTOTCORR": ("precipitation", "mm/hour", 1.0), "WS10M": ("wind_speed_10m", "m/s", 1.0),
    "WD10M": ("wind_direction_10m", "Degrees", 1.0),
}  # fmt: skip
OPEN_METEO = {
    "shortwave_radiation": ("ghi", "W/m²"), "direct_normal_irradiance": ("dni", "W/m²"),
    "diffuse_radiation": ("dhi", "W/m²"), "temperature_2m": ("temperature", "°C"),
    "relative_humidity_2m": ("humidity", "%"), "cloud_cover": ("cloud_cover", "%"),
    "surface_pressure": ("pressure", "hPa"), "precipitation": ("precipitation", "mm"),
    "wind_speed_10m": ("wind_speed_10m", "m/s"), "wind_speed_100m": ("wind_speed_100m", "m/s"),
    "wind_direction_10m": ("wind_direction_10m", "°"), "wind_direction_100m": ("wind_direction_100m", "°"),
}  # fmt: skip
PRECEDING = ("ghi", "dni", "dhi", "precipitation")

Sky = Callable[[datetime], Mapping[str, float | None]]


def sky(start: datetime) -> dict[str, float | None]:
    """The weather of the hour that starts then: straight between every third hour, so that all can tell it."""
    hour = (start - datetime(2020, 1, 1, tzinfo=UTC)) / HOUR
    three = 10 + abs(hour % 24 - 12)
    sun = max(0.0, 800 * math.cos((hour % 24 - 11.5) / 24 * 2 * math.pi))
    return {
        "ghi": round(sun, 2), "dni": round(0.8 * sun, 2), "dhi": round(0.3 * sun, 2), "temperature": three - 15,
        "humidity": 30 + three, "cloud_cover": 2 * three, "pressure": 960 + three, "precipitation": 0.25,
        "wind_speed_10m": three / 4, "wind_speed_100m": three / 3, "wind_direction_10m": 200.0,
        "wind_direction_100m": 210.0,
    }  # fmt: skip


def nasa(query: Mapping[str, str], seen: Sky = sky) -> dict[str, Any]:
    """GeoJSON by name and hour, stamped at its start; -999 where nothing is told, and one old -99."""
    first, last = (datetime.strptime(query[name], "%Y%m%d").replace(tzinfo=UTC) for name in ("start", "end"))
    hours = [first + k * HOUR for k in range(int((last + DAY - first) / HOUR))]
    shift = timedelta() if query.get("time-standard") == "UTC" else round(float(query["longitude"]) / 15) * HOUR

    def values(name: str) -> dict[str, float]:
        column, _, factor = NASA[name]
        told = {f"{hour:%Y%m%d%H}": seen(hour - shift).get(column) for hour in hours}
        return {stamp: -999.0 if value is None else round(value * factor, 6) for stamp, value in told.items()}

    names = query["parameters"].split(",")
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [float(query["longitude"]), float(query["latitude"]), 120.5]},
        "properties": {"parameter": {name: values(name) for name in names}},
        "header": {
            "title": "NASA/POWER Source Native Resolution Hourly Data",
            "api": {"version": "v2.8.0", "name": "POWER Hourly API"}, "sources": ["SYN1DEG", "MERRA2"],
            "fill_value": -999.0, "time_standard": query.get("time-standard", "LST"), "start": query["start"],
            "end": query["end"],
        },
        "messages": [],
        "parameters": {name: {"units": NASA[name][1], "longname": name} for name in names},
        "times": {"data": 0.5, "process": 0.05},
    }  # fmt: skip


def open_meteo(query: Mapping[str, str], seen: Sky = sky) -> dict[str, Any]:
    """A column a variable, stamped in the zone that is asked for; radiation and rain at the end of their hour."""
    first, last = (datetime.fromisoformat(query[name]).replace(tzinfo=UTC) for name in ("start_date", "end_date"))
    hours = [first + k * HOUR for k in range(int((last + DAY - first) / HOUR))]
    knots = {"ms": 1.0, "": 3.6}[query.get("wind_speed_unit", "")]
    columns: dict[str, Any] = {"time": [f"{hour:%Y-%m-%dT%H:%M}" for hour in hours]}
    units = {"time": "iso8601"}
    for name in query["hourly"].split(","):
        column, units[name] = OPEN_METEO[name.split("_previous_day")[0]]
        back, factor = HOUR if column in PRECEDING else timedelta(), knots if units[name] == "m/s" else 1.0
        told = [seen(hour - back).get(column) for hour in hours]
        columns[name] = [None if value is None else value * factor for value in told]
        units[name] = "km/h" if factor != 1.0 else units[name]
    return {
        "latitude": float(query["latitude"]) + 0.02, "longitude": float(query["longitude"]) - 0.03,
        "generationtime_ms": 0.1, "utc_offset_seconds": 0, "timezone": "GMT", "timezone_abbreviation": "GMT",
        "elevation": 38.0, "hourly_units": units, "hourly": columns,
    }  # fmt: skip


def openweather(query: Mapping[str, str], now: datetime, seen: Sky = sky) -> dict[str, Any]:
    """Forty stamps, three hours apart; rain of the three hours before each; K where °C was not asked for."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    first = hour + (3 - hour.hour % 3) * HOUR
    zero = 0.0 if query.get("units") == "metric" else 273.15

    def stamp(at: datetime) -> dict[str, Any]:
        told = {name: value or 0.0 for name, value in seen(at).items()}
        fell = sum(seen(at - k * HOUR)["precipitation"] or 0.0 for k in (1, 2, 3))
        return {
            "dt": int(at.timestamp()),
            "main": {
                "temp": told["temperature"] + zero, "pressure": 1020, "sea_level": 1020,
                "grnd_level": told["pressure"], "humidity": told["humidity"],
            },
            "weather": [{"id": 500, "main": "Rain", "description": "light rain", "icon": "10d"}],
            "clouds": {"all": told["cloud_cover"]},
            "wind": {"speed": told["wind_speed_10m"], "deg": told["wind_direction_10m"], "gust": 9.1},
            "visibility": 10000, "pop": 0.3, "sys": {"pod": "d"}, "dt_txt": f"{at:%Y-%m-%d %H:%M:%S}",
        } | ({"rain": {"3h": fell}} if fell else {})  # fmt: skip

    coord = {"lat": float(query["lat"]), "lon": float(query["lon"])}
    return {
        "cod": "200", "message": 0, "cnt": 40, "list": [stamp(first + 3 * k * HOUR) for k in range(40)],
        "city": {"id": 3163858, "name": "Zocca", "coord": coord, "country": "IT", "timezone": 7200},
    }  # fmt: skip


class Providers(ThreadingHTTPServer):
    """All three, at one address. `orders` are how the next requests are misanswered, one each; None: as they should.

    `always` holds for every request that no order is left for.
    """

    daemon_threads = True

    def __init__(self, now: datetime) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.now = now
        self.orders: deque[str | None] = deque()
        self.always: Mapping[str, str] = {}  # by the beginning of a path
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for path, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Providers

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        told = urlsplit(self.path)
        query = dict(parse_qsl(told.query))
        self.server.asked.append((told.path, query))
        usual = next((how for path, how in self.server.always.items() if told.path.startswith(path)), None)
        order = self.server.orders.popleft() if self.server.orders else usual
        if told.path.startswith("/data/") and query.get("appid") != KEY:
            self._say(401, b'{"cod":401, "message": "Invalid API key."}')
        elif order in OF_HTTP:
            OF_HTTP[order](self)
        else:
            body = self._body(told.path, query)
            self._say(200, WRONG[order](body) if order else json.dumps(body).encode())

    def _body(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        if path == "/api/temporal/hourly/point":
            return nasa(query)
        if path == "/data/2.5/forecast":
            return openweather(query, self.server.now)
        assert path in ("/v1/forecast", "/v1/archive"), path
        return open_meteo(query)

    def _say(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def later(self, **headers: str) -> None:
        self._say(429, b'{"error":true,"reason":"Minutely API request limit exceeded."}', **headers)

    def dated(self) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        self.send_response_only(429)
        self.send_header("Date", format_datetime(now, usegmt=True))
        self.send_header("Retry-After", format_datetime(now + timedelta(seconds=30), usegmt=True))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def silent(self) -> None:
        """Nothing comes until the test has ended."""
        self.server.ended.wait(30)
        self.close_connection = True

    def drip(self) -> None:
        """A byte now and then, for ever."""
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.server.ended.is_set():
            try:
                self.wfile.write(b" ")
            except OSError:
                break
            time.sleep(0.05)
        self.close_connection = True

    def cut(self) -> None:
        """The connection ends in the middle."""
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b'{"latitude": 5')
        self.close_connection = True

    def moved(self) -> None:
        self._say(302, b"", Location="http://127.0.0.1:1/elsewhere")


OF_HTTP: Mapping[str | None, Callable[[Handler], None]] = {
    "429": Handler.later,
    "429 in 7 s": lambda one: one.later(Retry_After="7"),
    "429 in an hour": lambda one: one.later(Retry_After="3600"),
    "429 by date": Handler.dated,
    "500": lambda one: one._say(500, b"oops"),
    "503": lambda one: one._say(503, b"<html>Service Unavailable</html>"),
    "400": lambda one: one._say(400, b'{"error":true,"reason":"Latitude must be in range"}'),
    "404": lambda one: one._say(404, b"{}"),
    "403": lambda one: one._say(403, b"{}"),
    "silent": Handler.silent,
    "drip": Handler.drip,
    "cut": Handler.cut,
    "moved": Handler.moved,
}


def _fahrenheit(body: dict[str, Any]) -> bytes:
    """Other units than documented, and their name with them where there is one."""
    if "hourly_units" in body:
        name = next(name for name in body["hourly_units"] if name.startswith("temperature_2m"))
        body["hourly_units"][name] = "°F"
    elif "parameters" in body:
        body["parameters"]["ALLSKY_SFC_SW_DWN"]["units"] = "MJ/hr"
    else:
        for stamp in body["list"]:
            stamp["main"]["temp"] += 273.15
    return json.dumps(body).encode()


def _local(body: dict[str, Any]) -> bytes:
    """Local times of Berlin, in which the clocks change: an hour is there twice, or missing."""
    if "hourly" in body:
        body |= {"utc_offset_seconds": 7200, "timezone": "Europe/Berlin", "timezone_abbreviation": "GMT+2"}
    else:
        body["header"]["time_standard"] = "LST"
    return json.dumps(body).encode()


def _elsewhere(body: dict[str, Any]) -> bytes:
    if "hourly" in body:
        body["latitude"] = -body["latitude"]
    elif "geometry" in body:
        body["geometry"]["coordinates"][0] += 1
    else:
        body["city"]["coord"]["lon"] += 20
    return json.dumps(body).encode()


def _yesterday(body: dict[str, Any]) -> bytes:
    if "hourly" in body:
        body["hourly"]["time"] = [f"2001{each[4:]}" for each in body["hourly"]["time"]]
    elif "list" in body:
        body["list"][7]["dt"] -= 9e8
    else:
        parameters = body["properties"]["parameter"]
        for name, values in parameters.items():
            parameters[name] = {f"2001{stamp[4:]}": value for stamp, value in values.items()}
    return json.dumps(body).encode()


def _twice(body: dict[str, Any]) -> bytes:
    """Some hours twice, the later one right."""
    columns = body["hourly"]
    for name, values in columns.items():
        wrong = values[3:6] if name == "time" else [None if each is None else each + 1 for each in values[3:6]]
        columns[name] = [*values[:3], *wrong, *values[3:]]
    return json.dumps(body).encode()


def _missing(body: dict[str, Any]) -> bytes:
    """Temperatures that are missing, by both of the old codes, and by null."""
    if "hourly" in body:
        body["hourly"]["temperature_2m"][:3] = [-999.0, -99, None]
    else:
        values = body["properties"]["parameter"]["T2M"]
        for stamp, code in zip([*values], (-999.0, -99, None), strict=False):
            values[stamp] = code
    return json.dumps(body).encode()


def _words(body: dict[str, Any]) -> bytes:
    if "hourly" in body:
        next(column for name, column in body["hourly"].items() if name.startswith("temperature"))[0] = "n/a"
    elif "properties" in body:
        body["properties"]["parameter"]["T2M"] = dict.fromkeys(body["properties"]["parameter"]["T2M"], "n/a")
    else:
        body["list"][0]["main"]["temp"] = True
    return json.dumps(body).encode()


WRONG: Mapping[str, Callable[[dict[str, Any]], bytes]] = {
    "html": lambda _: b"\n<!DOCTYPE html><html><body>Log in to the hotel's network</body></html>",
    "truncated": lambda body: json.dumps(body).encode()[:-200],
    "nothing": lambda _: b"",
    "null": lambda _: b"null",
    "an error": lambda _: b'{"error": true, "reason": "Cannot initialize"}',
    "units": _fahrenheit,
    "local": _local,
    "elsewhere": _elsewhere,
    "another year": _yesterday,
    "twice": _twice,
    "missing": _missing,
    "words": _words,
}


@contextmanager
def providers(now: datetime) -> Iterator[Providers]:
    """They answer, at `now`, until the end."""
    server = Providers(now)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def seen_by(frame: pl.DataFrame) -> Sky:
    """The weather of a frame, by `time` (UTC); of other hours nothing."""
    rows = {row.pop("time").replace(tzinfo=UTC): row for row in frame.iter_rows(named=True)}
    return lambda at: rows.get(at, {})
