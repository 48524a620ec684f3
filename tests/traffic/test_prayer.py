"""Prayer times against published tables, against a sunrise equation, and where the sun does not rise."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.traffic import DAY, FASTS, HOUR, MINUTE, local, sunset, utc

from foretell.domains.traffic.engineer import FeatureEngineer
from foretell.domains.traffic.schema import Settings
from foretell.features.place import place
from foretell.features.prayer import HighLatitudeName, MadhabName, MethodName, prayer_times

NAMES = ("fajr", "sunrise", "dhuhr", "asr", "maghrib", "isha")
DATA = Path(__file__).parent / "data"  # from batoulapps/adhan's shared test data (MIT)
MECCA = (21.4225, 39.8262)
RULES = get_args(HighLatitudeName)


def table(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


@pytest.mark.row("T2")
@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*.json")))
def test_published_tables_are_met_within_two_minutes(name: str) -> None:
    read = table(name)
    where, zone = read["params"], ZoneInfo(read["params"]["timezone"])
    assert read["times"]
    for row in read["times"]:
        day = date.fromisoformat(row["date"])
        madhab: MadhabName = "hanafi" if where["madhab"] == "Hanafi" else "shafi"
        said = prayer_times(day, where["latitude"], where["longitude"], where["method"], madhab=madhab)
        for prayer, moment in zip(NAMES, said, strict=True):
            told = datetime.strptime(f"{row['date']} {row[prayer]}", "%Y-%m-%d %I:%M %p").replace(tzinfo=zone)
            assert moment is not None
            assert abs(moment - told.astimezone(UTC)) <= 2 * MINUTE, (day, prayer, moment.astimezone(zone), told)


def test_every_table_was_read() -> None:
    assert len(list(DATA.glob("*.json"))) == 5


@pytest.mark.row("T2")
@pytest.mark.parametrize(
    ("day", "told"),
    [
        (date(2024, 3, 11), "05:17 06:33 18:29 20:29"),
        (date(2025, 3, 1), "05:25 06:41 18:25 20:25"),
        (date(2026, 2, 18), "05:33 06:49 18:20 20:20"),
    ],
)
def test_mecca_on_first_days_of_ramadan(day: date, told: str) -> None:
    said = prayer_times(day, *MECCA, "UmmAlQura", ramadan=True)
    clock = [said[k].astimezone(ZoneInfo("Asia/Riyadh")) for k in (0, 1, 4, 5)]  # type: ignore[union-attr]
    for moment, text in zip(clock, told.split(), strict=True):
        hour, minute = map(int, text.split(":"))
        wanted = moment.replace(hour=hour, minute=minute)
        assert moment.date() == day
        assert abs(moment - wanted) <= MINUTE
    usual = prayer_times(day, *MECCA, "UmmAlQura", ramadan=False)
    assert said[5] - said[4] == 120 * MINUTE  # type: ignore[operator]
    assert usual[5] - usual[4] == 90 * MINUTE  # type: ignore[operator]
    assert usual[:5] == said[:5]


@pytest.mark.row("T2")
def test_a_place_knows_when_isha_is_later() -> None:
    here = place("Asia/Riyadh", Settings())
    fast, usual = here.prayers(date(2024, 3, 11), ramadan=True), here.prayers(date(2024, 3, 11), ramadan=False)
    assert fast[5] - usual[5] == 30 * MINUTE  # type: ignore[operator]


@settings(max_examples=150)
@given(
    day=st.dates(date(2015, 1, 1), date(2035, 12, 31)),
    latitude=st.floats(-60, 60),
    longitude=st.floats(-180, 180),
)
def test_the_sun_rises_and_sets_when_the_textbook_says(day: date, latitude: float, longitude: float) -> None:
    said, told = prayer_times(day, latitude, longitude), sunset(day, latitude, longitude)
    assert told is not None
    noon = told[0] + (told[1] - told[0]) / 2
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - HOUR * (longitude / 15)
    at = midnight + 12 * HOUR - noon
    if abs(at) > 30 * MINUTE:  # the equation's day is the other one
        pytest.fail(f"the oracle itself is off: {at}")
    for moment, wanted in ((said[1], told[0]), (said[4], told[1])):
        assert moment is not None
        off = abs(moment - wanted)
        if abs(longitude) > 179:  # the day there is a matter of the zone
            off = min(off, abs(off - DAY))
        assert off <= 5 * MINUTE, (moment, wanted)


@settings(max_examples=150)
@given(
    day=st.dates(date(2015, 1, 1), date(2035, 12, 31)),
    latitude=st.floats(-47, 47),
    longitude=st.floats(-179, 179),
    method=st.sampled_from(get_args(MethodName)),
    madhab=st.sampled_from(get_args(MadhabName)),
    rule=st.sampled_from(RULES),
    ramadan=st.booleans(),
)
def test_prayers_come_in_order_everywhere(
    day: date,
    latitude: float,
    longitude: float,
    method: MethodName,
    madhab: MadhabName,
    rule: HighLatitudeName,
    ramadan: bool,
) -> None:
    said = [moment for moment in prayer_times(day, latitude, longitude, method, rule, madhab, ramadan) if moment]
    assert len(said) == 6
    assert said == sorted(said)
    assert said[-1] - said[0] < DAY
    assert all(moment.second == 0 and moment.tzinfo is UTC for moment in said)


CITIES = {"London": (51.51, -0.13), "Oslo": (59.91, 10.75), "Helsinki": (60.17, 24.94)}


@pytest.mark.row("T2")
@pytest.mark.parametrize("city", CITIES)
def test_each_rule_for_high_latitudes_gives_ordered_times_in_june(city: str) -> None:
    said = {}
    for rule in RULES:
        for day in (date(2024, 6, 1) + DAY * k for k in range(30)):
            times = [moment for moment in prayer_times(day, *CITIES[city], "MuslimWorldLeague", rule) if moment]
            assert len(times) == 6
            assert times == sorted(times)
            after = prayer_times(day + DAY, *CITIES[city], "MuslimWorldLeague", rule)[0]
            assert after is not None
            assert times[5] <= after + MINUTE, "Isha is not after the next Fajr"
            said[rule, day] = times
    day = date(2024, 6, 20)
    assert len({(said[rule, day][0], said[rule, day][5]) for rule in RULES}) == 3
    night = said[RULES[0], day + DAY][1] - said[RULES[0], day][4]
    # What the rules say of themselves: half of the night, a seventh of it, angle/60 of it, before sunrise.
    for rule, part in (("middle_of_the_night", 1 / 2), ("seventh_of_the_night", 1 / 7), ("twilight_angle", 18 / 60)):
        gap = said[rule, day][1] - said[rule, day][0]
        assert abs(gap - night * part) <= 4 * MINUTE, (rule, gap, night * part)
    for k in (1, 2, 3, 4):
        assert len({said[rule, day][k] for rule in RULES}) == 1, "the rules move only Fajr and Isha"


@pytest.mark.parametrize("city", CITIES)
def test_in_march_the_rules_agree_where_twilight_ends(city: str) -> None:
    day = date(2024, 3, 11)
    first = prayer_times(day, *CITIES[city], "MuslimWorldLeague", "middle_of_the_night")
    assert first == prayer_times(day, *CITIES[city], "MuslimWorldLeague", "twilight_angle")


@pytest.mark.row("T2")
@pytest.mark.parametrize("zone", ["Arctic/Longyearbyen", "Europe/Oslo"])
@pytest.mark.parametrize("method", ["MuslimWorldLeague", "UmmAlQura", "MoonsightingCommittee", "Tehran", "Turkey"])
def test_a_year_near_the_pole_has_features_for_every_hour(zone: str, method: MethodName) -> None:
    """Tromso and Longyearbyen: two months each without sunset and without sunrise."""
    own = Settings(prayer_method=method) if "Arctic" in zone else Settings(
        prayer_method=method, latitude=69.65, longitude=18.96
    )  # fmt: skip
    hours = pl.DataFrame({"time": pl.datetime_range(utc(2024, 1, 1), utc(2024, 12, 31, 23), "1h", eager=True)})
    engineer = FeatureEngineer(zone, own)
    said = engineer.add_prayer_features(engineer.add_ramadan_features(hours))
    assert said.select("is_ramadan", "ramadan_day", "days_until_ramadan", "is_prayer_window").null_count().row(0) == (
        (0,) * 4
    )
    fasting = said.filter(pl.col("is_ramadan") == 1)
    assert 29 * 24 - 24 <= fasting.height <= 30 * 24 + 24
    assert fasting["ramadan_day"].unique().sort().to_list() == list(range(1, 31))
    minutes = said["minutes_to_next_prayer"].drop_nulls()
    assert (minutes >= 0).all()
    june = local(zone, 2024, 6, 21, 12)
    times = place(zone, own).prayers(june.date(), ramadan=False)
    assert times[1] is times[4] is None, "the midsummer sun neither rises nor sets"
    assert times[2] is not None


def test_polar_night_invents_no_prayer() -> None:
    times = place("Arctic/Longyearbyen", Settings()).prayers(date(2024, 12, 21), ramadan=False)
    assert times[1] is None
    assert times[3] is None
    assert times[4] is None


@pytest.mark.row("T2")
@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/London", date(2024, 3, 31)),
        ("Europe/London", date(2024, 10, 27)),
        ("Africa/Cairo", date(2024, 4, 26)),
        ("Africa/Cairo", date(2024, 11, 1)),
    ],
)
def test_a_change_of_clocks_moves_the_clock_and_not_the_sun(zone: str, change: date) -> None:
    here = place(zone, Settings())
    by_day = [here.prayers(change + DAY * k, ramadan=False) for k in (-1, 0, 1)]
    for before, after in pairwise(by_day):
        for earlier, later in zip(before, after, strict=True):
            assert earlier is not None
            assert later is not None
            assert abs(later - earlier - DAY) <= 5 * MINUTE
    clock = [times[2].astimezone(ZoneInfo(zone)) for times in by_day]  # type: ignore[union-attr]
    moved = abs(clock[1].hour * 60 + clock[1].minute - clock[0].hour * 60 - clock[0].minute)
    assert 55 <= moved <= 65


ZONES = [
    "Asia/Riyadh",
    "Europe/Istanbul",
    "America/Los_Angeles",
    "Pacific/Auckland",
    "Pacific/Fiji",
    "Pacific/Pago_Pago",
    "Pacific/Kiritimati",
    "Pacific/Apia",
    "Pacific/Tongatapu",
    "Pacific/Chatham",
    "Asia/Shanghai",
    "Asia/Urumqi",
]


@pytest.mark.row("T2")
@pytest.mark.parametrize("zone", ZONES)
def test_prayers_fall_on_the_civil_day_they_are_asked_for(zone: str) -> None:
    here = place(zone, Settings())
    for day in (date(2024, 1, 1) + DAY * k for k in range(0, 366, 5)):
        times = here.prayers(day, ramadan=False)
        clock = [moment.astimezone(ZoneInfo(zone)) for moment in times if moment]
        assert [moment.date() for moment in clock[1:5]] == [day] * 4, clock
        assert 10 <= clock[2].hour <= 15


@pytest.mark.row("T2")
@pytest.mark.parametrize("zone", ["Pacific/Auckland", "Pacific/Fiji", "Pacific/Kiritimati", "Pacific/Apia", "UTC"])
def test_the_night_of_ramadan_s_eve_begins_at_sunset_in_every_zone(zone: str) -> None:
    """In Ramadan 2024 the eve is 10 March: not Ramadan at noon, Ramadan by 21 o'clock."""
    moments = [local(zone, 2024, 3, 10, 12), local(zone, 2024, 3, 10, 21), local(zone, 2024, 3, 11, 12)]
    said = FeatureEngineer(zone).add_ramadan_features(pl.DataFrame({"time": moments}))
    assert said["ramadan_day"].to_list() == [0, 1, 1]


def oracle(moment: datetime, zone: str) -> tuple[int, int]:
    """Whether any prayer's first half hour touches the hour from `moment`, and whole minutes to the next prayer."""
    here, today = place(zone, Settings()), moment.astimezone(ZoneInfo(zone)).date()
    prayers = []
    for day in (today - DAY, today, today + DAY):
        fasting = any(first <= day <= last for first, last in FASTS.get(here.country or "", FASTS[""]))
        times = here.prayers(day, ramadan=fasting)
        prayers += [prayer for k, prayer in enumerate(times) if k != 1 and prayer]
    inside = any(prayer < moment + HOUR and moment < prayer + timedelta(minutes=30) for prayer in prayers)
    return int(inside), min((prayer - moment) // MINUTE for prayer in prayers if prayer >= moment)


@pytest.mark.row("T2")
@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Asia/Riyadh", utc(2024, 3, 9)),
        ("Asia/Kolkata", utc(2024, 3, 9, 0, 30)),
        ("UTC", utc(2024, 3, 9)),
        ("Europe/Istanbul", utc(2024, 6, 20)),
        ("Europe/London", utc(2024, 6, 20)),
        ("Europe/Paris", utc(2024, 6, 20)),  # Isha after midnight on the clock
        ("Europe/Berlin", utc(2024, 6, 20)),
        ("Europe/Oslo", utc(2024, 6, 20)),
    ],
)
def test_prayer_features_against_a_list_of_all_prayers(zone: str, start: datetime) -> None:
    moments = [start + timedelta(minutes=20) * k for k in range(3 * 72)]
    said = FeatureEngineer(zone).add_prayer_features(pl.DataFrame({"time": moments}))
    for moment, row in zip(moments, said.select("is_prayer_window", "minutes_to_next_prayer").iter_rows(), strict=True):
        assert row == oracle(moment, zone), moment
