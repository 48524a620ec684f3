"""What the calendar says of an hour: clock and week, Ramadan and Eid, prayers, days off, the tenant's own events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import INSTANT, Floats, Frame
from foretell.domains.traffic.schema import CALENDAR, PRAYER, RAMADAN, TIME, Event, Settings, Trigger
from foretell.features.grid import Places, distinct, micros
from foretell.features.hijri import Days
from foretell.features.place import Place, place
from foretell.features.prayer import Times

NEEDS = {  # the columns of a day that a group of features is made from
    "time": ["is_weekend"],
    "ramadan": ["maghrib", *(f"{name}{half}" for name in RAMADAN[1:3] for half in ("", "_night"))],
}
FAR = 7  # an Eid further away than this many days says no more than "far"
RULE = timedelta(hours=2)  # that a rule for scaling lasts
BLOCK = 720  # hours of the calendar that are worked out and remembered together


def hours(micro: Places, zone: str, settings: Settings) -> dict[str, Floats]:
    """Every calendar feature, by name, of the zone's hours that start at these microseconds since 1970."""
    number, here = micro // 3_600_000_000, place(zone, settings)
    block, names = number // BLOCK, [*TIME, *RAMADAN, *PRAYER, *CALENDAR]
    out = np.empty((len(micro), len(names)))
    for one in distinct(block)[0]:
        which = block == one
        off = int(micro[which][0] % 3_600_000_000)
        out[which] = _block(int(one), off, here, settings.events)[number[which] % BLOCK]
    return {name: out[:, k] for k, name in enumerate(names)}


@lru_cache(maxsize=2000)
def _block(number: int, off: int, here: Place, events: tuple[Event, ...]) -> Floats:
    """The features of `BLOCK` hours in a row, the first `number * BLOCK` hours and `off` microseconds after 1970."""
    first = number * BLOCK * 3_600_000_000 + off
    micro = first + np.arange(BLOCK, dtype=np.int64) * 3_600_000_000
    moment = pl.col("time")
    frame = of_day(pl.DataFrame({"time": pl.Series(micro).cast(INSTANT)}), "time", here.zone, here)
    frame = frame.with_columns(
        *clock(),
        *ramadan(moment),
        *prayer(micro, here),
        event(moment, events),
        hours_from_maghrib=(moment - pl.col("maghrib")) / timedelta(hours=1),
        hours_from_fajr=(moment - pl.col("fajr")) / timedelta(hours=1),
    )
    fasting = pl.when(pl.col("is_ramadan") == 1)
    frame = frame.with_columns(
        fasting_day=fasting.then("ramadan_day"),
        fasting_hours_from_maghrib=fasting.then("hours_from_maghrib"),
        fasting_hours_from_fajr=fasting.then("hours_from_fajr"),
    )
    names = [*TIME, *RAMADAN, *PRAYER, *CALENDAR]
    return frame.select(pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in names).to_numpy()


def clock() -> list[pl.Expr]:
    """The time features of an hour on its clock, `is_weekend` left out. Needs the columns of `of_day`."""
    local = pl.col("local")
    return [
        local.dt.hour().alias("hour"),
        (local.dt.weekday() - 1).alias("day_of_week"),  # Monday is 0
        local.dt.month().alias("month"),
        local.dt.day().alias("day_of_month"),
        local.dt.week().alias("week_of_year"),
    ]


def days(dates: Sequence[date], here: Place) -> Frame:
    """One row a civil day: its days off, its Fajr and Maghrib in UTC, and the Hijri day of its daylight.

    Columns that end in `_night` are those of the Hijri day that begins at its sunset.
    """
    number = np.array([(day - date(1970, 1, 1)).days for day in dates], dtype=np.int64)
    calendar = here.calendar
    feast = {shift: _feast(here, number - shift) for shift in (1, 7, 14, 21, 28)}
    hijri = {
        "days_from_eid": np.clip(calendar.days_from_eid(number), -FAR, FAR),
        "days_from_adha": np.clip(calendar.days_from_adha(number), -FAR, FAR),
        "ramadan_weeks": np.sum([calendar.ramadan_day(number - 7 * k) > 0 for k in (1, 2, 3, 4)], axis=0),
        "feast_weeks": np.sum([feast[7 * k] for k in (1, 2, 3, 4)], axis=0),
        "ramadan_yesterday": calendar.ramadan_day(number - 1) > 0,
        "feast_yesterday": feast[1],
    }
    for suffix, which in (("", number), ("_night", number + 1)):
        hijri[f"ramadan_day{suffix}"] = calendar.ramadan_day(which)
        hijri[f"days_until_ramadan{suffix}"] = calendar.days_until_ramadan(which)
    sun = [(times[0], times[4]) for times in _prayers(number, here)]
    lights = pl.DataFrame(sun, schema={"fajr": INSTANT, "maghrib": INSTANT}, orient="row")
    return pl.concat([days_off(dates, here), pl.DataFrame(hijri), lights], how="horizontal")


def days_off(dates: Sequence[date], here: Place) -> Frame:
    """One row a civil day: whether it is a weekend day and whether a public holiday."""
    return pl.DataFrame([here.day_off(day) for day in dates], schema=["is_weekend", "is_holiday"], orient="row")


def _prayers(number: Days, here: Place) -> list[Times]:
    """The prayers of civil days (counted from 1970), each under the rule of its own Hijri day."""
    fasting = here.calendar.ramadan_day(number) > 0
    return [
        here.prayers(date(1970, 1, 1) + timedelta(days=day), ramadan=fast)
        for day, fast in zip(number.tolist(), fasting.tolist(), strict=True)
    ]


def _feast(here: Place, number: Days) -> NDArray[np.bool_]:
    """Whether a day is one of the three of Eid al-Fitr or the four of Eid al-Adha."""
    fitr, adha = here.calendar.days_from_eid(number), here.calendar.days_from_adha(number)
    return ((fitr >= 0) & (fitr < 3)) | ((adha >= 0) & (adha < 4))


def of_day(frame: Frame, time: str, zone: str, here: Place, only: Sequence[str] | None = None) -> Frame:
    """`frame` with what the zone's clock shows (`local`, naive) and the columns of `days`, or `only` those."""
    local = frame[time].dt.convert_time_zone(zone)
    day = local.dt.date().to_physical()
    known = day.drop_nulls().unique().sort()
    if known.is_empty():
        known = pl.Series([0], dtype=pl.Int32)
    made = days_off if only == NEEDS["time"] else days  # prayers take half a millisecond a day
    table = made(known.cast(pl.Date).to_list(), here)
    row = pl.Series(np.searchsorted(known.to_numpy(), day.fill_null(known[0]).to_numpy()), dtype=pl.UInt32)
    if day.null_count():
        row = row.set(day.is_null(), None)
    return frame.with_columns(
        local.dt.replace_time_zone(None).alias("local"), *table.select(pl.col(only or table.columns).gather(row))
    )


def night(time: pl.Expr) -> pl.Expr:
    """Whether the sun has set: from Maghrib, or 18 o'clock where the sun does not set, to midnight."""
    evening = pl.col("local").dt.hour() >= 18
    return pl.when(pl.col("maghrib").is_null()).then(evening).otherwise(time >= pl.col("maghrib"))


def ramadan(time: pl.Expr) -> list[pl.Expr]:
    """The Ramadan features; nights belong to the Hijri day that follows. Needs the columns of `of_day`."""
    dark = night(time)
    day = pl.when(dark).then("ramadan_day_night").otherwise("ramadan_day")
    until = pl.when(dark).then("days_until_ramadan_night").otherwise("days_until_ramadan")
    return [
        (day > 0).cast(pl.Int64).alias("is_ramadan"),
        day.alias("ramadan_day"),
        until.alias("days_until_ramadan"),
        (day > 20).cast(pl.Int64).alias("is_last_10_nights"),
    ]


def prayer(micro: Places, here: Place) -> list[pl.Series]:
    """Whether people pray in the hour from each moment (each prayer counts for 30 minutes), and minutes to the next.

    Null where the next prayer is more than a day away, as near the poles.
    """
    minute, day = 60_000_000, 86_400_000_000
    around = np.unique(np.unique(micro // day)[:, None] + np.array([-1, 0, 1]))
    held = [prayer for fajr, _, *rest in _prayers(around, here) for prayer in (fajr, *rest) if prayer]
    moments = np.append(np.sort(micros(pl.Series(held, dtype=INSTANT))), np.iinfo(np.int64).max)
    ahead = moments[np.searchsorted(moments, micro)] - micro
    inside = moments[np.searchsorted(moments, micro - 30 * minute, side="right")] < micro + 60 * minute
    return [
        pl.Series("is_prayer_window", inside).cast(pl.Int64),
        pl.Series("minutes_to_next_prayer", ahead // minute).set(pl.Series(ahead > day), None),
    ]


def event(time: pl.Expr, events: Sequence[Event]) -> pl.Expr:
    """1 in an hour from `time` that one of the tenant's own events touches, else 0."""
    hour = timedelta(hours=1)
    touched = [(time < e.end) & (time + hour > e.start) for e in events]
    return (pl.any_horizontal(touched) if touched else pl.lit(False)).cast(pl.Int64).alias("is_event")


def trigger(moment: datetime, zone: str, here: Place) -> Trigger | None:
    """The rule that a moment (UTC) sets off in Ramadan, or None.

    `iftar_approaching`: the two hours before Maghrib; `taraweeh`: the two hours from Isha; `suhoor_window`: the two
    hours before Fajr.
    """
    today, day = moment.astimezone(ZoneInfo(zone)).date(), timedelta(days=1)
    near = (rule for each in (today - day, today, today + day) for rule in _rules(each, here))
    return next((name for name, start in near if start <= moment < start + RULE), None)


@lru_cache(maxsize=10_000)
def _rules(day: date, here: Place) -> tuple[tuple[Trigger, datetime], ...]:
    """The rules that a local day sets off, and when each begins."""
    number = (day - date(1970, 1, 1)).days
    fasting, night = (here.calendar.ramadan_day(np.array([number, number + 1])) > 0).tolist()
    fajr, _, _, _, maghrib, isha = here.prayers(day, ramadan=fasting)
    rules: tuple[tuple[Trigger, bool, datetime | None], ...] = (
        ("iftar_approaching", fasting, maghrib and maghrib - RULE),
        ("suhoor_window", fasting, fajr and fajr - RULE),
        ("taraweeh", night, isha),
    )
    return tuple((name, start) for name, holds, start in rules if holds and start is not None)


def doubt(moments: Sequence[datetime], zone: str, here: Place) -> str | None:
    """Why it is not sure what days these moments (UTC) are, where the moon has yet to be announced; else None.

    Only where Eid is a public holiday: elsewhere it changes little.
    """
    days = {moment.astimezone(ZoneInfo(zone)).date() for moment in moments}
    number = np.array(sorted((day - date(1970, 1, 1)).days for day in days))
    if not here.calendar.doubtful(number).any():
        return None
    near = int(np.abs(here.calendar.shawwal - number[0]).argmin())
    # Of three years, for any other holiday may fall on one year's Eid.
    feasts = here.calendar.shawwal[max(near - 1, 0) : near + 2].tolist()
    if not all(any(here.day_off(date(1970, 1, 1) + timedelta(days=day + k))[1] for k in range(3)) for day in feasts):
        return None
    return "the start of the Hijri month is not announced yet"
