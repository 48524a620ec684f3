"""Energy's features by name, settings, requests and answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from foretell.contract import Severity
from foretell.domains.energy.tables import Degrees, Kilowatts, Kind, Latitude, Longitude, Plant, Tilt
from foretell.errors import InvalidRequest

LONGEST = 168  # hours ahead

# ---------------------------------------------------------------- features, by name

TIME = ("ahead", "solar_hour", "hour_sin", "hour_cos", "year_sin", "year_cos")
AGE = ("weather_age", "weather_lead")
WEATHER_NUMBERS = (
    "temperature", "humidity", "cloud_cover", "pressure", "precipitation", "wind_speed_10m", "wind_speed_100m",
)  # fmt: skip
PAST = (
    "reading_age", "gap", "last", "mean_3h", "mean_24h", "std_24h", "min_24h", "max_24h", "mean_168h", "max_168h",
    "lag_day", "lag_168h", "same_hour_mean", "same_hour_max", "same_hour_min", "off_last", "off_6h", "off_24h",
    "ratio_24h", "ratio_72h",
)  # fmt: skip
SUN = (
    "elevation", "lit", "aside", "clear_ghi", "light", "on_panels", "clear_index", "direct_share", "clear_share",
    "level_-3h", "level_-2h", "level_-1h", "level_+1h", "level_+2h", "level_+3h", "index_-2h", "index_-1h",
    "index_+1h", "index_+2h", "physical_-1h", "physical_+1h", "cloud_-1h", "cloud_+1h", "level_mean", "level_std",
    "index_mean", "index_std", "index_6h", "index_24h", "index_168h",
)  # fmt: skip
AIR = (
    "hub_speed", "hub_cube", "density", "shear", "turn", "way_sin", "way_cos", "east", "north", "turning", "ramp",
    "pressure_trend", "hub_speed_-6h", "hub_speed_-4h", "hub_speed_-3h", "hub_speed_-2h", "hub_speed_-1h",
    "hub_speed_+1h", "hub_speed_+2h", "hub_speed_+3h", "hub_speed_+4h", "hub_speed_+6h", "low_speed_-2h",
    "low_speed_-1h", "low_speed_+1h", "low_speed_+2h", "physical_-1h", "physical_+1h", "physical_mean_7h",
    "hub_mean_7h", "hub_std_7h", "hub_mean_13h", "hub_std_13h", "hub_max_7h", "hub_min_7h",
)  # fmt: skip
INDEX = SUN[-3:]
OWN = ("capacity", "physical", "smart")
SEEN: Mapping[Kind, tuple[str, ...]] = {"solar": (*AGE, *WEATHER_NUMBERS, *SUN[3:9], *SUN[9:27]),
                                        "wind": (*AGE, *WEATHER_NUMBERS, *AIR)}  # fmt: skip
"""Features that a forecast of the weather is behind."""
FEATURES: Mapping[Kind, tuple[str, ...]] = {
    "solar": (*TIME, *AGE, *WEATHER_NUMBERS, *PAST, *SUN, *OWN),
    "wind": (*TIME, *AGE, *WEATHER_NUMBERS, *PAST, *AIR, *OWN),
}


class Settings(BaseModel):
    """A tenant's rules: how far a plant may be from a place that is asked about, and what a kWh is worth."""

    model_config = ConfigDict(frozen=True)

    nearby_km: Annotated[float, Field(gt=0, le=500)] = 25.0
    price_per_kwh: Annotated[float, Field(ge=0, le=100)] = 0.0


# ---------------------------------------------------------------- what is asked


CHANGES: Mapping[Kind, tuple[str, ...]] = {
    "solar": ("capacity_kw", "tilt", "azimuth"),
    "wind": ("capacity_kw", "extra_turbines"),
}


class WhatIf(BaseModel):
    """A plant as it might be; what is left out stays. A plant has tilt and azimuth (solar) or turbines (wind)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    capacity_kw: Kilowatts | None = None
    tilt: Tilt | None = None
    azimuth: Degrees | None = None
    extra_turbines: Annotated[int, Field(ge=1, le=1000)] | None = None

    def told(self) -> dict[str, float]:
        """What is changed, by name."""
        return self.model_dump(exclude_none=True)

    def check(self, kind: Kind) -> None:
        """Raise InvalidRequest for what a plant of the kind does not have."""
        if wrong := [name for name in self.told() if name not in CHANGES[kind]]:
            there = ", ".join(CHANGES[kind])
            raise InvalidRequest(f"what_if: a {kind} plant has no {', '.join(wrong)}; what can be changed is {there}")


class OutputRequest(BaseModel):
    """The next hours of a plant, of all plants of the kind together (neither plant nor place), or of a place.

    A place is answered by the nearest plant within the settings' `nearby_km`; else by what a kW there would put out.
    """

    model_config = ConfigDict(extra="forbid")

    plant: Plant | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    hours: Annotated[int, Field(ge=1, le=LONGEST)] = 48
    what_if: WhatIf | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("a place is a latitude and a longitude")
        if self.plant is not None and self.latitude is not None:
            raise ValueError("ask about a plant or a place, not both")
        if self.what_if is not None and self.plant is None:
            raise ValueError("what_if is about a plant: name it")
        return self


# ---------------------------------------------------------------- what is told


class Band(BaseModel):
    """The energy of hours: the sum of what is expected of each, and a band that holds 80 % of what may come of all."""

    expected: float
    low: float
    high: float


class Hour(BaseModel):
    """The mean power of the hour that starts at `start`, kW, which is as many kWh; `weather` tells what it rests on.

    `expected_kw` is the median, of several plants the sum of theirs: what is expected adds up. Bounds don't.
    """

    start: AwareDatetime
    expected_kw: float
    low_kw: float
    high_kw: float
    weather: Literal["forecast", "none"]


class Day(BaseModel):
    """The energy of the hours asked about that lie on a day (UTC), kWh."""

    date: date
    hours: int
    energy_kwh: Band


class WeatherBasis(BaseModel):
    """Which weather the answer rests on: by the newest run used, and of how many hours there was any."""

    providers: list[str]
    issued_at: AwareDatetime | None
    age_hours: float | None
    hours_covered: int
    hours_asked: int


class Quality(BaseModel):
    """How good the readings of the last weeks are, 0 to 1, with its parts; bands are wider by `widened`."""

    score: float
    parts: dict[str, float]
    warning: str | None
    widened: float


class Reason(BaseModel):
    """What moved the energy told, in words, and by how many kWh."""

    words: str
    effect_kwh: float


class Track(BaseModel):
    """Of how many old hours (out of sample) the 80 % band held what share; of the method in service."""

    hours: int
    held: float | None


class OutputAnswer(BaseModel):
    """What plants will put out. `historical_context` is false where no plant's readings are behind it (per kW)."""

    kind: Kind
    plants: list[str]
    nearest: Plant | None = None
    distance_km: float | None = None
    historical_context: bool
    as_of: AwareDatetime
    capacity_kw: float
    hours: list[Hour]
    energy_kwh: Band
    days: list[Day]
    weather: WeatherBasis
    quality: Quality | None
    reasons: list[Reason]
    corrections: list[str]
    what_if: WhatIf | None = None
    track_record: Track
    method: str


# ---------------------------------------------------------------- the watch


class WatchRequest(BaseModel):
    """How a plant has done in the last days beside what the weather should have given."""

    model_config = ConfigDict(extra="forbid")

    plant: Plant
    days: Annotated[int, Field(ge=3, le=60)] = 14


class Trouble(BaseModel):
    """Something amiss: what it looks like, since when, and the energy it has cost so far."""

    kind: Literal["outage", "soiling", "curtailment", "underperformance", "bad_readings"]
    severity: Severity
    words: str
    since: AwareDatetime
    lost_kwh: float
    share: float


class WatchAnswer(BaseModel):
    """What a plant put out beside what the weather should have given, kWh, and what is amiss."""

    plant: Plant
    kind: Kind
    days: int
    hours_compared: int
    output_kwh: float
    usual_kwh: float
    lost_value: float
    quality: Quality
    troubles: list[Trouble]
