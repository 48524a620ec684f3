"""The Hijri calendar as people live it: Umm al-Qura by table, announced dates by country, nights before days.

A month begins when it is announced. Where a country's announcement is on record (`announced.csv`) it counts;
elsewhere, and in future, the Umm al-Qura table does (`hijridate`, 1924-08 to 2077-11). Hijri days begin at sunset:
the night belongs to the day that follows. A Gregorian year may hold two Ramadans (2030), so nothing here asks
for "the year's Ramadan".
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files

import numpy as np
from hijridate import Hijri
from numpy.typing import NDArray

from foretell.errors import InvalidRequest

FIRST_YEAR, LAST_YEAR = 1343, 1500  # what hijridate knows
RAMADAN, SHAWWAL, HAJJ = 9, 10, 12

Announced = Mapping[tuple[int, int], date]
"""First day of a month by (Hijri year, month), where it was announced."""

Days = NDArray[np.int64]
"""Days since 1970-01-01."""


@dataclass(frozen=True)
class Calendar:
    """The starts of the months that matter, as days since 1970, one entry a Hijri year from `FIRST_YEAR` on."""

    ramadan: Days
    shawwal: Days
    hajj: Days
    open: Days  # 1 Ramadan, 1 Shawwal and 10 Dhu al-Hijja of the years for which none was announced, in order

    def doubtful(self, days: Days) -> NDArray[np.bool_]:
        """Whether a day may turn out to be the first of Ramadan or a feast, or not: a day around one not announced."""
        return np.abs(_nearest(self.open, days)) <= 1

    def ramadan_day(self, days: Days) -> Days:
        """1 to 30 in Ramadan, else 0, for Hijri days given as the civil day they share daylight with."""
        year = self._year(days)
        day = days - self.ramadan[year] + 1
        return np.where(days < self.shawwal[year], day, 0)

    def days_until_ramadan(self, days: Days) -> Days:
        """Days until the next Ramadan begins; 0 in Ramadan."""
        year = self._year(days)
        ahead = self.ramadan[np.minimum(year + 1, len(self.ramadan) - 1)] - days
        return np.where(days < self.shawwal[year], 0, ahead)

    def days_from_eid(self, days: Days) -> Days:
        """Days since the nearest 1 Shawwal (Eid al-Fitr): 0 on the feast, −1 on the last day of the fast."""
        return _nearest(self.shawwal, days)

    def days_from_adha(self, days: Days) -> Days:
        """Days since the nearest 10 Dhu al-Hijja (Eid al-Adha): 0 on the feast, −1 on Arafat."""
        return _nearest(self.hajj + 9, days)

    def _year(self, days: Days) -> Days:
        year = np.searchsorted(self.ramadan, days, side="right") - 1
        if len(days) and (year.min() < 0 or days.max() >= self.hajj[-1]):
            raise InvalidRequest("the Hijri calendar is known from 1925 to 2077; leave out rows of other years")
        return year.astype(np.int64)


def _nearest(starts: Days, days: Days) -> Days:
    after = np.clip(np.searchsorted(starts, days), 1, len(starts) - 1)
    since, until = days - starts[after - 1], days - starts[after]
    return np.where(since <= -until, since, until)


@cache
def announced(country: str | None) -> Announced:
    """The months' first days announced in a country (ISO 3166 code); empty where none is on record."""
    text = (files(__package__) / "announced.csv").read_text()
    return {
        (int(row["hijri_year"]), int(row["month"])): date.fromisoformat(row["start"])
        for row in csv.DictReader(text.splitlines())
        if row["country"] == country
    }


@cache
def calendar(country: str | None, own: tuple[tuple[int, int, date], ...] = ()) -> Calendar:
    """The calendar of a country, with `own` announcements (year, month, first day) above those on record.

    A month that was announced later moves the one after it, where that one was not announced: Ramadan has 29 or
    30 days. Raises InvalidRequest for an announcement more than three days from the Umm al-Qura table.
    """
    known = {**announced(country), **{(year, month): day for year, month, day in own}}
    starts: dict[int, list[int]] = {RAMADAN: [], SHAWWAL: [], HAJJ: []}
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        for month, days in starts.items():
            table = Hijri(year, month, 1).to_gregorian()
            start = known.get((year, month), date(table.year, table.month, table.day))
            if abs((start - date(table.year, table.month, table.day)).days) > 3:
                raise InvalidRequest(f"{start} is not the start of month {month} of {year}: that is about {table}")
            days.append((start - date(1970, 1, 1)).days)
        if (year, SHAWWAL) not in known:
            fast = starts[RAMADAN][-1]
            starts[SHAWWAL][-1] = min(max(starts[SHAWWAL][-1], fast + 29), fast + 30)
    ramadan, shawwal, hajj = (np.array(starts[month], dtype=np.int64) for month in (RAMADAN, SHAWWAL, HAJJ))
    told = {month: np.array([(y, month) in known for y in range(FIRST_YEAR, LAST_YEAR + 1)]) for month in starts}
    unsure = [ramadan[~told[RAMADAN]], shawwal[~told[SHAWWAL]], hajj[~told[HAJJ]] + 9]
    return Calendar(ramadan=ramadan, shawwal=shawwal, hajj=hajj, open=np.sort(np.concatenate(unsure)))
