"""Energy's tables: the plants, what they put out, and their weather as observed and as it was forecast."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

import polars as pl
from pydantic import AwareDatetime, BaseModel, Field

from foretell.contract import Table

Plant = Annotated[str, Field(min_length=1, max_length=200)]
Kind = Literal["solar", "wind"]
Tracking = Literal["fixed", "single_axis"]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Kilowatts = Annotated[float, Field(gt=0, le=1e8, allow_inf_nan=False)]
Degrees = Annotated[float, Field(ge=0, le=360)]
Tilt = Annotated[float, Field(ge=0, le=90)]  # 0 lies flat
Irradiance = Annotated[float, Field(ge=0, le=2000)]
Speed = Annotated[float, Field(ge=0, le=120)]
Percent = Annotated[float, Field(ge=0, le=100)]


class Site(BaseModel):
    """What a plant is, from `since` on. `capacity_kw` is that of the whole plant; azimuth 180 looks south.

    What is left out is taken as usual: a fixed tilt towards the equator, a hub at 100 m, a rotor that suits the
    capacity.
    """

    plant: Plant
    since: AwareDatetime
    kind: Kind
    latitude: Latitude
    longitude: Longitude
    capacity_kw: Kilowatts
    altitude: Annotated[float, Field(ge=-500, le=6000)] | None = None  # metres
    tilt: Tilt | None = None
    azimuth: Degrees | None = None
    tracking: Tracking = "fixed"
    inverter_limit_kw: Kilowatts | None = None
    turbine_type: Annotated[str, Field(max_length=200)] = ""
    hub_height_m: Annotated[float, Field(ge=5, le=300)] | None = None
    rotor_m: Annotated[float, Field(ge=1, le=400)] | None = None
    count: Annotated[int, Field(ge=1, le=10_000)] = 1


class Reading(BaseModel):
    """The mean power of the hour that starts at `time`; known at its end, or at `known_at` where that is later."""

    plant: Plant
    time: AwareDatetime
    output_kw: Annotated[float, Field(ge=-1e8, le=1e8, allow_inf_nan=False)]
    known_at: AwareDatetime | None = None


class Weather(BaseModel):
    """Weather at a plant in the hour that starts at `time`: radiation is the hour's mean, the rest its usual value."""

    plant: Plant
    time: AwareDatetime
    provider: Annotated[str, Field(min_length=1, max_length=100)]
    ghi: Irradiance | None = None  # W/m², on the level; of the sun's direct beam; of the sky
    dni: Irradiance | None = None
    dhi: Irradiance | None = None
    temperature: Annotated[float, Field(ge=-90, le=65)] | None = None  # °C
    humidity: Percent | None = None
    cloud_cover: Percent | None = None
    pressure: Annotated[float, Field(ge=400, le=1100)] | None = None  # hPa, at the ground there
    precipitation: Annotated[float, Field(ge=0, le=1000)] | None = None  # mm
    wind_speed_10m: Speed | None = None  # m/s
    wind_speed_100m: Speed | None = None
    wind_direction_10m: Degrees | None = None  # where it comes from
    wind_direction_100m: Degrees | None = None


class Observed(Weather):
    """Weather as it was; known at its time, or at `known_at`."""

    known_at: AwareDatetime | None = None


class Issued(Weather):
    """Weather as it was forecast at `issued_at`, when it became known."""

    issued_at: AwareDatetime


KEPT = timedelta(days=730)  # as long as the document says that readings and weather are kept

CELSIUS = {"temperature": "it is in °C: of kelvin take 273.15 off, of °F 32, and five ninths of the rest"}
PLANTS = Table(name="plants", row=Site, key=("plant",), time="since", entity=("plant",))
READINGS = Table(
    name="readings",
    row=Reading,
    key=("plant", "time"),
    time="time",
    entity=("plant",),
    known_at="known_at",
    yearly=True,
    kept=KEPT,
    daily=("output_kw",),
)
OBSERVED = Table(
    name="observed",
    hints=CELSIUS,
    row=Observed,
    key=("plant", "time", "provider"),
    time="time",
    entity=("plant",),
    known_at="known_at",
    yearly=True,
    kept=KEPT,
)
FORECASTS = Table(
    name="forecasts",
    hints=CELSIUS,
    row=Issued,
    key=("plant", "time", "issued_at", "provider"),
    time="time",
    entity=("plant",),
    known_at="issued_at",
    rules={"weather of hours long past is no forecast": pl.col("time") > pl.col("issued_at") - pl.duration(days=7)},
    yearly=True,
    kept=KEPT,
)
WEATHER = (
    "ghi", "dni", "dhi", "temperature", "humidity", "cloud_cover", "pressure", "precipitation", "wind_speed_10m",
    "wind_speed_100m", "wind_direction_10m", "wind_direction_100m",
)  # fmt: skip
