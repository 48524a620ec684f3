"""Where a tenant is: country, coordinates and customs, as it tells them, or else from its time zone's city."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from foretell.errors import InvalidRequest
from foretell.features.hijri import Calendar, calendar
from foretell.features.prayer import HighLatitudeName, MadhabName, MethodName, Times, prayer_times

MECCA = (21.4225, 39.8262)  # what a zone without a city (UTC) is given

_METHODS: dict[str, MethodName] = {  # the method of each country's own timetables
    "SA": "UmmAlQura",
    "TR": "Turkey",
    "EG": "Egyptian",
    "QA": "Qatar",
    "KW": "Kuwait",
    "AE": "Dubai",
    "IR": "Tehran",
    "PK": "Karachi",
    "IN": "Karachi",
    "BD": "Karachi",
    "AF": "Karachi",
    "US": "NorthAmerica",
    "CA": "NorthAmerica",
    "GB": "MoonsightingCommittee",
    "SG": "Singapore",
    "MY": "Singapore",
    "ID": "Singapore",
}


class Announcement(BaseModel):
    """The announced first day of a Hijri month, where it is not on record."""

    model_config = ConfigDict(frozen=True)

    hijri_year: Annotated[int, Field(ge=1391, le=1500)]
    month: Literal[9, 10, 12]
    start: date


class Customs(BaseModel):
    """Where people live and what they keep, as far as it is told: the settings of a domain that asks begin with it.

    Country and place default to those of the time zone's city.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    country: Annotated[str, Field(pattern="^[A-Z]{2}$")] | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    prayer_method: MethodName | None = None
    high_latitude: HighLatitudeName = "middle_of_the_night"
    madhab: MadhabName = "shafi"
    announced: Annotated[tuple[Announcement, ...], Field(max_length=500)] = ()

    @field_validator("announced")
    @classmethod
    def _of_a_calendar(cls, told: tuple[Announcement, ...], info: ValidationInfo) -> tuple[Announcement, ...]:
        try:
            calendar(info.data.get("country"), tuple((each.hijri_year, each.month, each.start) for each in told))
        except InvalidRequest as error:
            raise ValueError(str(error)) from None
        return told


@dataclass(frozen=True)
class Place:
    """One tenant's place on earth and in custom."""

    zone: str
    country: str | None
    latitude: float
    longitude: float
    method: MethodName
    high_latitude: HighLatitudeName
    madhab: MadhabName
    own: tuple[tuple[int, int, date], ...]

    @property
    def calendar(self) -> Calendar:
        """The Hijri calendar lived here."""
        return calendar(self.country, self.own)

    def prayers(self, day: date, *, ramadan: bool) -> Times:
        """fajr, sunrise, dhuhr, asr, maghrib, isha of a local day, UTC; None where the day has none."""
        return prayer_times(
            day, self.latitude, self.longitude, self.method, self.high_latitude, self.madhab, ramadan, self.zone
        )

    def day_off(self, day: date) -> tuple[bool, bool]:
        """Whether a local day is a weekend day here, and whether it is a public holiday."""
        return _days_off(self.country, day)


def place(zone: str, customs: Customs) -> Place:
    """The place of a tenant in `zone` (an IANA name) with these customs."""
    country, latitude, longitude = _city(zone)
    country = customs.country or country
    return Place(
        zone=zone,
        country=country,
        latitude=latitude if customs.latitude is None else customs.latitude,
        longitude=longitude if customs.longitude is None else customs.longitude,
        method=customs.prayer_method or _METHODS.get(country or "SA", "MuslimWorldLeague"),
        high_latitude=customs.high_latitude,
        madhab=customs.madhab,
        own=tuple((a.hijri_year, a.month, a.start) for a in customs.announced),
    )


@cache
def _city(zone: str) -> tuple[str | None, float, float]:
    """Country and coordinates of the zone's city, from the time zone database's own table."""
    folder = files("tzdata") / "zoneinfo"
    lines = (line.split("\t") for line in (folder / "zone.tab").read_text().splitlines() if not line.startswith("#"))
    cities = {fields[2]: (fields[0], *_degrees(fields[1])) for fields in lines}
    links = (line.split() for line in (folder / "tzdata.zi").read_text().splitlines() if line.startswith("L "))
    today = {old: new for _, new, old in links}  # names that go on as links: Asia/Calcutta is Asia/Kolkata
    return cities.get(zone) or cities.get(today.get(zone, "")) or (None, *MECCA)


def _degrees(text: str) -> tuple[float, float]:
    """ISO 6709 (±DDMM±DDDMM or ±DDMMSS±DDDMMSS) as degrees."""
    split = max(text.rfind("+"), text.rfind("-"))
    both = []
    for part, whole in ((text[:split], 3), (text[split:], 4)):
        minutes = int(part[whole : whole + 2]) / 60 + int(part[whole + 2 :] or 0) / 3600
        both.append((abs(int(part[:whole])) + minutes) * (-1 if part[0] == "-" else 1))
    return both[0], both[1]


@cache
def _holidays(country: str) -> Any:
    import holidays

    try:
        return holidays.country_holidays(country)
    except NotImplementedError:  # a country the library does not know has Saturday, Sunday and no holidays
        return None


@cache
def _days_off(country: str | None, day: date) -> tuple[bool, bool]:
    known = _holidays(country) if country else None
    if known is None:
        return day.weekday() >= 5, False
    holiday = day in known  # first: looking a day up makes the library read that year's customs
    return bool(known.is_weekend(day)), holiday
