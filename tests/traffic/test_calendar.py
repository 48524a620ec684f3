"""The Hijri calendar: announced starts, nights before days, years with two Ramadans, no holes anywhere."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hijridate import Hijri
from tests.traffic import DAY, FASTS, HOUR, local

from foretell import Frame
from foretell.domains.traffic.engineer import FeatureEngineer
from foretell.domains.traffic.schema import Settings
from foretell.errors import InvalidRequest
from foretell.features.hijri import Calendar, Days, announced, calendar
from foretell.features.place import Announcement

# The first day of the fast, 2015 to 2026, by country: as announced by Diyanet, the Saudi court, Egypt's Dar al-Ifta,
# Pakistan's Ruet-e-Hilal committee, Indonesia's ministry.
STARTS = {
    "TR": "2015-06-18 2016-06-06 2017-05-27 2018-05-16 2019-05-06 2020-04-24 "
    "2021-04-13 2022-04-02 2023-03-23 2024-03-11 2025-03-01 2026-02-19",
    "SA": "2015-06-18 2016-06-06 2017-05-27 2018-05-17 2019-05-06 2020-04-24 "
    "2021-04-13 2022-04-02 2023-03-23 2024-03-11 2025-03-01 2026-02-18",
    "AE": "2015-06-18 2016-06-06 2017-05-27 2018-05-17 2019-05-06 2020-04-24 "
    "2021-04-13 2022-04-02 2023-03-23 2024-03-11 2025-03-01 2026-02-18",
    "QA": "2015-06-18 2016-06-06 2017-05-27 2018-05-17 2019-05-06 2020-04-24 "
    "2021-04-13 2022-04-02 2023-03-23 2024-03-11 2025-03-01 2026-02-18",
    "EG": "2015-06-18 2016-06-06 2017-05-27 2018-05-17 2019-05-06 2020-04-24 "
    "2021-04-13 2022-04-02 2023-03-23 2024-03-11 2025-03-01 2026-02-19",
    "PK": "2015-06-19 2016-06-07 2017-05-28 2018-05-17 2019-05-07 2020-04-25 "
    "2021-04-14 2022-04-03 2023-03-23 2024-03-12 2025-03-02 2026-02-19",
    "ID": "2015-06-18 2016-06-06 2017-05-27 2018-05-17 2019-05-06 2020-04-24 "
    "2021-04-13 2022-04-03 2023-03-23 2024-03-12 2025-03-01 2026-02-19",
    "MA": "2015-06-18 2016-06-07 2017-05-27 2018-05-17 2019-05-07 2020-04-25 "
    "2021-04-14 2022-04-03 2023-03-23 2024-03-12 2025-03-02 2026-02-19",
}
EIDS = {
    "TR": "2015-07-17 2016-07-05 2017-06-25 2018-06-15 2019-06-04 2020-05-24 "
    "2021-05-13 2022-05-02 2023-04-21 2024-04-10 2025-03-30 2026-03-20",
    "SA": "2015-07-17 2016-07-06 2017-06-25 2018-06-15 2019-06-04 2020-05-24 "
    "2021-05-13 2022-05-02 2023-04-21 2024-04-10 2025-03-30 2026-03-20",
}


def numbers(first: date, last: date) -> Days:
    return np.arange((first - date(1970, 1, 1)).days, (last - date(1970, 1, 1)).days + 1, dtype=np.int64)


def asked(*moments: datetime, zone: str, settings: Settings | None = None) -> Frame:
    said: Frame = FeatureEngineer(zone, settings or Settings()).add_ramadan_features(
        pl.DataFrame({"time": list(moments)})
    )
    return said


def first_days(here: Calendar, first: date, last: date) -> list[date]:
    days = numbers(first, last)
    return [date(1970, 1, 1) + DAY * int(n) for n in days[here.ramadan_day(days) == 1]]


@pytest.mark.row("T2")
@pytest.mark.parametrize("country", STARTS)
def test_ramadan_begins_when_it_was_announced(country: str) -> None:
    begun = first_days(calendar(country), date(2015, 1, 1), date(2026, 12, 31))
    assert begun == [date.fromisoformat(day) for day in STARTS[country].split()]


@pytest.mark.row("T2")
@pytest.mark.parametrize("country", EIDS)
def test_the_feast_is_the_day_after_the_fast(country: str) -> None:
    days = numbers(date(2015, 1, 1), date(2026, 12, 31))
    here = calendar(country)
    fasting = here.ramadan_day(days) > 0
    feasts = [date(1970, 1, 1) + DAY * int(n) for n in days[1:][fasting[:-1] & ~fasting[1:]]]
    assert feasts == [date.fromisoformat(day) for day in EIDS[country].split()]
    on_the_day = days[here.days_from_eid(days) == 0]
    assert [date(1970, 1, 1) + DAY * int(n) for n in on_the_day] == feasts


@pytest.mark.row("T2")
@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [
        ("Europe/Istanbul", date(2017, 5, 27), date(2017, 6, 24)),
        ("Europe/Istanbul", date(2018, 5, 16), date(2018, 6, 14)),
        ("Asia/Riyadh", date(2018, 5, 17), date(2018, 6, 14)),
    ],
)
def test_the_fast_from_first_to_last_noon(zone: str, first: date, last: date) -> None:
    days = [first + DAY * k for k in range(-2, (last - first).days + 3)]
    said = asked(*(local(zone, d.year, d.month, d.day, 12) for d in days), zone=zone)
    count = (last - first).days + 1
    assert said["is_ramadan"].to_list() == [0, 0] + [1] * count + [0, 0]
    assert said["ramadan_day"].to_list() == [0, 0, *range(1, count + 1), 0, 0]
    assert said["days_until_ramadan"].to_list()[:3] == [2, 1, 0]
    assert said["is_last_10_nights"].to_list() == [0] * 22 + [1] * (count - 20) + [0, 0]


def test_saudi_arabia_began_a_day_after_its_table_in_2018() -> None:
    table = Hijri(1439, 9, 1).to_gregorian()
    assert first_days(calendar(None), date(2018, 1, 1), date(2018, 12, 31)) == [table]
    assert first_days(calendar("SA"), date(2018, 1, 1), date(2018, 12, 31)) == [table + DAY]


@pytest.mark.row("T2")
def test_both_ramadans_of_2030_and_the_days_between_them() -> None:
    zone = "Asia/Riyadh"
    moments = [local(zone, 2029, 12, 1, 12) + DAY * k for k in range(420)]
    said = asked(*moments, zone=zone)
    first, second = date(2030, 1, 5), date(2030, 12, 26)
    feasts = {first: date(2030, 2, 4), second: Hijri(1452, 10, 1).to_gregorian(), date(2031, 12, 15): date(2032, 1, 13)}
    for moment, is_ramadan, number, until, _ in said.iter_rows():
        day = moment.date()
        coming = next(start for start, feast in feasts.items() if day < feast)
        if is_ramadan:
            assert number == (day - coming).days + 1
            assert until == 0
        else:
            assert until == (coming - day).days > 0
    fasted = [m.date() for m, f in zip(moments, said["is_ramadan"], strict=True) if f]
    assert first in fasted
    assert first - DAY not in fasted
    assert second in fasted
    assert second - DAY not in fasted
    assert sum(said["ramadan_day"] == 1) == 2
    told = FeatureEngineer(zone).add_ramadan_features(pl.DataFrame({"time": moments}), year=2030)
    assert told.equals(said), "the year passed by the documents changes nothing"


@pytest.mark.row("T2")
def test_the_night_belongs_to_the_day_that_follows() -> None:
    zone = "Asia/Riyadh"  # Ramadan 2024: 11 March to 9 April; the sun sets a little after six
    said = asked(
        local(zone, 2024, 3, 10, 12),
        local(zone, 2024, 3, 10, 21),
        local(zone, 2024, 3, 11, 2),
        local(zone, 2024, 3, 11, 21),
        local(zone, 2024, 4, 9, 12),
        local(zone, 2024, 4, 9, 21),
        zone=zone,
    )
    assert said["is_ramadan"].to_list() == [0, 1, 1, 1, 1, 0]
    assert said["ramadan_day"].to_list() == [0, 1, 1, 2, 30, 0]
    assert said["days_until_ramadan"].to_list()[:4] == [1, 0, 0, 0]
    assert said["days_until_ramadan"][5] == (date(2025, 3, 1) - date(2024, 4, 10)).days
    assert said["days_until_ramadan"][4] == 0


@pytest.mark.row("T2")
def test_the_last_ten_nights_begin_on_the_evening_before_day_21() -> None:
    zone = "Asia/Riyadh"
    day_20 = date(2024, 3, 30)
    moments = [local(zone, day_20.year, day_20.month, day_20.day) + HOUR * k for k in range(30)]
    said = asked(*moments, zone=zone)
    since = next(m for m, last in zip(moments, said["is_last_10_nights"], strict=True) if last)
    assert since == local(zone, 2024, 3, 30, 19)  # sunset in Riyadh on that day: 18:11
    assert said["is_last_10_nights"].to_list() == [0] * 19 + [1] * 11
    assert said["ramadan_day"].to_list() == [20] * 19 + [21] * 11


@pytest.mark.row("T2")
def test_a_tenant_s_own_announcement_moves_the_month() -> None:
    zone = "Asia/Riyadh"
    own = Settings(announced=(Announcement(hijri_year=1448, month=9, start=date(2027, 2, 9)),))
    noon = [local(zone, 2027, 2, 8, 12), local(zone, 2027, 2, 9, 12)]
    assert asked(*noon, zone=zone)["ramadan_day"].to_list() == [1, 2]
    assert asked(*noon, zone=zone, settings=own)["ramadan_day"].to_list() == [0, 1]
    later = Settings(announced=(Announcement(hijri_year=1448, month=10, start=date(2027, 3, 10)),))
    eve = local(zone, 2027, 3, 9, 12)
    assert asked(eve, zone=zone)["ramadan_day"].to_list() == [0]
    assert asked(eve, zone=zone, settings=later)["ramadan_day"].to_list() == [30]
    with pytest.raises(InvalidRequest, match="2027-03-01 is not the start of month 9 of 1448"):
        calendar("SA", ((1448, 9, date(2027, 3, 1)),))


@pytest.mark.parametrize("country", [None, "SA", "TR", "PK", "ID"])
def test_an_announcement_a_day_later_leaves_a_fast_of_29_or_30_days(country: str | None) -> None:
    for shift in (-1, 0, 1):
        table = Hijri(1450, 9, 1).to_gregorian()
        start = date(table.year, table.month, table.day) + DAY * shift
        here = calendar(country, ((1450, 9, start),))
        days = numbers(start - 40 * DAY, start + 60 * DAY)
        assert (here.ramadan_day(days) > 0).sum() in (29, 30)
        assert first_days(here, start - 40 * DAY, start + 60 * DAY) == [start]


@pytest.mark.parametrize("moment", [datetime(1924, 6, 1), datetime(2078, 1, 1), datetime(1900, 1, 1)])  # noqa: DTZ001
def test_years_that_nobody_has_a_table_of_are_refused(moment: datetime) -> None:
    with pytest.raises(InvalidRequest, match="1925 to 2077"):
        FeatureEngineer("Asia/Riyadh").add_ramadan_features(pl.DataFrame({"time": [moment]}))


@pytest.mark.parametrize("moment", [datetime(1925, 6, 1), datetime(2077, 6, 1)])  # noqa: DTZ001
def test_the_first_and_the_last_year_are_there(moment: datetime) -> None:
    said = FeatureEngineer("Asia/Riyadh").add_ramadan_features(pl.DataFrame({"time": [moment]}))
    assert said["is_ramadan"].is_in([0, 1]).all()


@pytest.mark.row("T2")
@pytest.mark.parametrize("country", [None, "SA", "TR", "EG", "PK", "ID", "MA", "IN"])
def test_every_fast_has_29_or_30_days_without_holes_and_the_wait_falls_by_one_a_day(country: str | None) -> None:
    here = calendar(country)
    days = numbers(date(1925, 6, 1), date(2077, 6, 30))
    fast, until = here.ramadan_day(days), here.days_until_ramadan(days)
    started, fasts = 0, 0
    for before, now, wait_before, wait in zip(fast[:-1], fast[1:], until[:-1], until[1:], strict=True):
        if now > 1:
            assert before == now - 1
        elif now == 1:
            started += 1
            assert wait_before == 1
            assert before == 0
        elif before:
            fasts += 1
            assert before in (29, 30)
            assert 320 < wait < 330
        else:
            assert wait == wait_before - 1
        assert (wait == 0) == (now > 0)
    assert started == fasts
    assert started in (156, 157)  # 152 years of 365.25 days hold so many of 354.37


def test_the_record_is_whole_and_near_the_table() -> None:
    """Each announced month: within two days of Umm al-Qura, 29 or 30 days of fast."""
    for country in FASTS:
        record = announced(country or None)
        for (year, month), day in record.items():
            table = Hijri(year, month, 1).to_gregorian()
            assert abs((day - date(table.year, table.month, table.day)).days) <= 2, (country, year, month)
            if month == 9 and (year, 10) in record:
                assert record[year, 10] - day in (timedelta(days=29), timedelta(days=30)), (country, year)
