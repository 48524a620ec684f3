"""Where a tenant is: country and coordinates from the zone, settings above them, weekends by country and year."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from tests.traffic import local

from foretell.domains.traffic.engineer import FeatureEngineer
from foretell.domains.traffic.schema import Settings
from foretell.features.place import place


@pytest.mark.parametrize(
    ("zone", "country", "latitude", "longitude", "method"),
    [
        ("Asia/Riyadh", "SA", 24.65, 46.72, "UmmAlQura"),
        ("Europe/Istanbul", "TR", 41.02, 28.97, "Turkey"),
        ("Africa/Cairo", "EG", 30.05, 31.25, "Egyptian"),
        ("Asia/Kolkata", "IN", 22.53, 88.37, "Karachi"),
        ("Europe/London", "GB", 51.51, -0.13, "MoonsightingCommittee"),
        ("America/New_York", "US", 40.71, -74.01, "NorthAmerica"),
        ("Asia/Tehran", "IR", 35.67, 51.43, "Tehran"),
        ("Asia/Qatar", "QA", 25.28, 51.53, "Qatar"),
        ("Europe/Berlin", "DE", 52.5, 13.37, "MuslimWorldLeague"),
        ("Pacific/Auckland", "NZ", -36.87, 174.77, "MuslimWorldLeague"),
        ("America/Argentina/Buenos_Aires", "AR", -34.6, -58.45, "MuslimWorldLeague"),
    ],
)
def test_a_zone_s_city_gives_country_coordinates_and_method(
    zone: str, country: str, latitude: float, longitude: float, method: str
) -> None:
    here = place(zone, Settings())
    assert here.country == country
    assert here.latitude == pytest.approx(latitude, abs=0.02)
    assert here.longitude == pytest.approx(longitude, abs=0.02)
    assert here.method == method


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "Etc/GMT-3"])
def test_a_zone_without_a_city_stands_in_mecca_and_has_no_country(zone: str) -> None:
    here = place(zone, Settings())
    assert here.country is None
    assert (here.latitude, here.longitude) == pytest.approx((21.42, 39.83), abs=0.01)
    assert here.day_off(date(2024, 3, 15)) == (False, False)  # a Friday
    assert here.day_off(date(2024, 3, 16)) == (True, False)


@pytest.mark.parametrize(
    ("old", "country"), [("Asia/Calcutta", "IN"), ("Turkey", "TR"), ("Asia/Istanbul", "TR"), ("US/Eastern", "US")]
)
def test_an_older_name_of_a_zone_is_the_same_place(old: str, country: str) -> None:
    """IANA keeps older names as links (browsers still send Asia/Calcutta): not a reason to move to Mecca."""
    assert place(old, Settings()).country == country


def test_settings_stand_above_the_city() -> None:
    own = Settings(country="TR", latitude=39.93, longitude=32.82, prayer_method="Turkey", madhab="hanafi")
    here = place("UTC", own)
    assert (here.country, here.latitude, here.longitude) == ("TR", 39.93, 32.82)
    assert (here.method, here.madhab) == ("Turkey", "hanafi")
    moved = place("Asia/Riyadh", Settings(latitude=21.4225, longitude=39.8262))
    assert (moved.country, moved.latitude, moved.method) == ("SA", 21.4225, "UmmAlQura")
    assert place("UTC", Settings(country="SA")).method == "UmmAlQura"
    zero = place("Asia/Riyadh", Settings(latitude=0.0, longitude=0.0))
    assert (zero.latitude, zero.longitude) == (0.0, 0.0), "the equator is a place too"


WEEKENDS = [  # ISO weekdays
    ("SA", date(2024, 3, 4), {5, 6}),
    ("SA", date(2012, 3, 5), {4, 5}),  # until June 2013
    ("TR", date(2024, 3, 4), {6, 7}),
    ("AE", date(2021, 3, 1), {5, 6}),
    ("AE", date(2022, 3, 7), {6, 7}),
    ("EG", date(2024, 3, 4), {5, 6}),
    ("QA", date(2024, 3, 4), {5, 6}),
    ("GB", date(2024, 3, 4), {6, 7}),
]


@pytest.mark.row("T2")
@pytest.mark.parametrize(("country", "monday", "weekend"), WEEKENDS)
def test_the_weekend_follows_the_country(country: str, monday: date, weekend: set[int]) -> None:
    frame = pl.DataFrame({"time": [local("UTC", monday.year, monday.month, monday.day + k, 12) for k in range(7)]})
    said = FeatureEngineer("UTC", Settings(country=country)).add_time_features(frame)
    assert {k + 1 for k, off in enumerate(said["is_weekend"]) if off} == weekend
    assert said["day_of_week"].to_list() == list(range(7))


@pytest.mark.row("T2")
def test_the_weekend_of_a_year_does_not_depend_on_what_was_asked_before() -> None:
    here = place("Asia/Dubai", Settings())
    friday_before, friday_after = date(2019, 3, 1), date(2025, 3, 7)
    assert here.day_off(friday_before)[0]
    assert not here.day_off(friday_after)[0]
    assert here.day_off(date(2019, 3, 8))[0], "2019 again, after 2025"
    assert not here.day_off(date(2019, 3, 10))[0]
    assert here.day_off(date(2025, 3, 9))[0]
    saudi = place("Asia/Riyadh", Settings())
    assert saudi.day_off(date(2024, 3, 15))[0]
    assert saudi.day_off(date(2012, 3, 8))[0], "a Thursday before 2013"
    assert not saudi.day_off(date(2024, 3, 14))[0]
    assert saudi.day_off(date(2012, 3, 1))[0]


def test_public_holidays_are_the_country_s() -> None:
    assert place("Europe/Istanbul", Settings()).day_off(date(2024, 10, 29)) == (False, True)  # Republic Day
    assert place("Asia/Riyadh", Settings()).day_off(date(2024, 10, 29)) == (False, False)
    assert place("Asia/Riyadh", Settings()).day_off(date(2024, 9, 23)) == (False, True)  # National Day


def test_a_country_that_nobody_keeps_holidays_of_has_saturday_and_sunday() -> None:
    here = place("UTC", Settings(country="ZZ"))
    assert here.day_off(date(2024, 3, 16)) == (True, False)
    assert here.day_off(date(2024, 3, 15)) == (False, False)


def test_the_settings_customs_reach_the_prayers() -> None:
    day = date(2024, 6, 20)
    usual = place("Europe/Istanbul", Settings()).prayers(day, ramadan=False)
    hanafi = place("Europe/Istanbul", Settings(madhab="hanafi")).prayers(day, ramadan=False)
    assert usual[3] is not None
    assert hanafi[3] is not None
    assert timedelta(minutes=30) < hanafi[3] - usual[3] < timedelta(minutes=120), "Asr at a shadow twice as long"
    assert hanafi[:3] == usual[:3]
    middle = place("Europe/Oslo", Settings()).prayers(day, ramadan=False)
    seventh = place("Europe/Oslo", Settings(high_latitude="seventh_of_the_night")).prayers(day, ramadan=False)
    assert middle[0] is not None
    assert seventh[0] is not None
    assert seventh[0] > middle[0] + timedelta(minutes=30)
