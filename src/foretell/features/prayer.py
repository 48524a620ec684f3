"""Prayer times of one day at one place, in UTC, by the methods that countries publish.

The astronomy is al-falak's. Added here: the methods of Turkey and Tehran, Isha of Umm al-Qura in Ramadan, days on
which a prayer does not exist (polar day and night: None, never an invented time), and places near the date line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from alfalak import (
    CalculationMethod,
    CalculationParameters,
    Coordinates,
    HighLatitudeRule,
    Madhab,
    PolarCircleRule,
    PrayerAdjustments,
    PrayerTimes,
)
from alfalak.astronomy.SolarTime import SolarTime
from alfalak.exceptions import AstronomicalError
from alfalak.util.DateComponents import DateComponents

MethodName = Literal[
    "MuslimWorldLeague",
    "Egyptian",
    "Karachi",
    "UmmAlQura",
    "Dubai",
    "MoonsightingCommittee",
    "NorthAmerica",
    "Kuwait",
    "Qatar",
    "Singapore",
    "Tehran",
    "Turkey",
]
HighLatitudeName = Literal["middle_of_the_night", "seventh_of_the_night", "twilight_angle"]
MadhabName = Literal["shafi", "hanafi"]

Times = tuple[datetime | None, ...]
"""fajr, sunrise, dhuhr, asr, maghrib, isha, UTC; None where the day has none."""


@dataclass(frozen=True)
class _Method:
    preset: CalculationMethod | None = None
    fajr: float = 0.0
    isha: float = 0.0
    maghrib: float = 0.0  # the sun's depression at maghrib, degrees; 0 is sunset
    minutes: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)

    def parameters(self) -> CalculationParameters:
        """The library's parameters; a polar day raises there instead of being made up."""
        if self.preset is not None:
            return CalculationParameters(method=self.preset, polar_circle_rule=PolarCircleRule.NONE)
        return CalculationParameters(
            fajr_angle=self.fajr,
            isha_angle=self.isha,
            method_adjustments=PrayerAdjustments(*self.minutes),
            polar_circle_rule=PolarCircleRule.NONE,
        )


_METHODS: dict[str, _Method] = {
    "MuslimWorldLeague": _Method(CalculationMethod.MUSLIM_WORLD_LEAGUE),
    "Egyptian": _Method(CalculationMethod.EGYPTIAN),
    "Karachi": _Method(CalculationMethod.KARACHI),
    "UmmAlQura": _Method(CalculationMethod.UMM_AL_QURA),
    "Dubai": _Method(CalculationMethod.DUBAI),
    "MoonsightingCommittee": _Method(CalculationMethod.MOON_SIGHTING_COMMITTEE),
    "NorthAmerica": _Method(CalculationMethod.NORTH_AMERICA),
    "Kuwait": _Method(CalculationMethod.KUWAIT),
    "Qatar": _Method(CalculationMethod.QATAR),
    "Singapore": _Method(CalculationMethod.SINGAPORE),
    "Tehran": _Method(fajr=17.7, isha=14.0, maghrib=4.5),
    "Turkey": _Method(fajr=18.0, isha=17.0, minutes=(0, -7, 5, 4, 7, 0)),  # Diyanet's margins
}
_HIGH_LATITUDE: dict[str, HighLatitudeRule] = {
    "middle_of_the_night": HighLatitudeRule.MIDDLE_OF_THE_NIGHT,
    "seventh_of_the_night": HighLatitudeRule.SEVENTH_OF_THE_NIGHT,
    "twilight_angle": HighLatitudeRule.TWILIGHT_ANGLE,
}


@lru_cache(maxsize=100_000)
def prayer_times(
    day: date,
    latitude: float,
    longitude: float,
    method: MethodName = "MuslimWorldLeague",
    high_latitude: HighLatitudeName = "middle_of_the_night",
    madhab: MadhabName = "shafi",
    ramadan: bool = False,
    zone: str | None = None,
) -> Times:
    """(fajr, sunrise, dhuhr, asr, maghrib, isha) of the local `day`, in UTC, to the minute.

    `ramadan` makes Isha of Umm al-Qura 120 instead of 90 minutes after Maghrib. Above about 48° twilight may last
    all night: `high_latitude` says what stands in for it (MoonsightingCommittee has a rule of its own). The day is
    that of the clocks of `zone`, an IANA name; without one, of the sun.
    """
    chosen, where = _METHODS[method], Coordinates(latitude, longitude)
    asked, solar, added = _solar_day(day, where, ZoneInfo(zone) if zone else timezone(timedelta(hours=longitude / 15)))
    parameters = chosen.parameters()
    parameters.high_latitude_rule = _HIGH_LATITUDE[high_latitude]
    parameters.madhab = Madhab[madhab.upper()]
    parameters.is_ramadan = ramadan
    shadow = abs(latitude - solar.solar.declination) < 90  # without the sun at noon there is no Asr
    try:
        times = PrayerTimes(where, _midnight(asked), calculation_parameters=parameters)
    except AstronomicalError:
        found: Times = _polar(asked, solar, parameters, shadow=shadow)
    else:
        maghrib = times.maghrib
        if chosen.maghrib:
            dusk = _utc(asked, solar.hour_angle(-chosen.maghrib, True))
            if dusk is not None and maghrib < dusk < times.isha:
                maghrib = dusk
        # A method's margins of minutes can cross where the night lasts only minutes.
        fajr, isha = min(times.fajr, times.sunrise), max(times.isha, maghrib)
        found = (fajr, times.sunrise, times.dhuhr, times.asr if shadow else None, maghrib, isha)
    return tuple(None if time is None else time.replace(tzinfo=UTC) + added for time in found)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _utc(day: date, hours: float, minutes: int = 0) -> datetime | None:
    """`hours` after 00:00 UTC of `day`, to the nearest minute; None for NaN."""
    if math.isnan(hours):
        return None
    return _midnight(day) + timedelta(minutes=math.floor(hours * 60 + minutes + 0.5))


def _solar(day: date, where: Coordinates) -> SolarTime:
    return SolarTime(DateComponents(day.year, day.month, day.day), where)


def _solar_day(day: date, where: Coordinates, local: tzinfo) -> tuple[date, SolarTime, timedelta]:
    """The date to ask the library for, and what to add to its answers, so that noon falls on the local day.

    The library puts solar noon into the UTC date it is given. Far from Greenwich that noon may belong to the local
    day before or after, and near 180° it jumps by a day when it crosses 00:00 UTC.
    """
    for added in (0, -1, 1):
        for shift in (0, -1, 1, -2, 2):
            asked = day + timedelta(days=shift)
            solar = _solar(asked, where)
            noon = _midnight(asked) + timedelta(days=added, hours=solar.transit)
            if noon.astimezone(local).date() != day:
                continue
            near_midnight = not 1 / 30 < solar.transit < 24 - 1 / 30
            if near_midnight and abs(_solar(asked + timedelta(days=1), where).transit - solar.transit) > 1:
                continue
            return asked, solar, timedelta(days=added)
    return day, _solar(day, where), timedelta(0)


def _polar(asked: date, solar: SolarTime, parameters: CalculationParameters, *, shadow: bool) -> Times:
    """What is left of a day without sunrise or sunset: Fajr and Isha only if the sun reaches their angle."""
    noon, more = solar.transit, parameters.method_adjustments
    rise = solar.sunrise if noon - 12 < solar.sunrise < noon else math.nan
    fall = solar.sunset if noon < solar.sunset < noon + 12 else math.nan
    afternoon = solar.afternoon(parameters.madhab.get_shadow_length()) if shadow else math.nan
    if afternoon < noon or afternoon > fall:
        afternoon = math.nan
    dawn = solar.hour_angle(-parameters.fajr_angle, False)
    dusk = math.nan if parameters.isha_interval else solar.hour_angle(-parameters.isha_angle, True)
    return (
        _utc(asked, dawn, more.fajr),
        _utc(asked, rise, more.sunrise),
        _utc(asked, noon, more.dhuhr),
        _utc(asked, afternoon, more.asr),
        _utc(asked, fall, more.maghrib),
        _utc(asked, dusk, more.isha),
    )
