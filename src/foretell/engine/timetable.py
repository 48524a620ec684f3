"""When something is due by the clocks of a place: cron's five fields, read in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter

from foretell.errors import InvalidRequest


def checked(cron: str) -> str:
    """Cron's five fields (minute, hour, day of the month, month, day of the week), if they are; else InvalidRequest."""
    try:
        croniter(cron, datetime(2024, 1, 1)).get_next(datetime)  # noqa: DTZ001 - 30 February never comes
    except ValueError:
        good = False
    else:
        good = len(cron.split()) == 5
    if not good:
        raise InvalidRequest(f"{cron!r} is no time: write it as in '0 2 * * 1', Mondays at 02:00")
    return cron


@lru_cache(maxsize=10_000)
def last_due(cron: str, zone: str, now: datetime) -> datetime:
    """The last moment up to `now` (UTC) that `cron` names by the clocks of `zone`, UTC.

    A time that the clocks show twice is due the first time; one that they leave out, when they have moved on.
    """
    clocks = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    # From an hour later on: what the clocks left out is named later than it is due.
    times = croniter(cron, clocks + timedelta(hours=1, microseconds=1))
    while True:
        due = _instant(times.get_prev(datetime), zone)
        if due <= now:
            return due


@lru_cache(maxsize=10_000)
def next_due(cron: str, zone: str, now: datetime) -> datetime:
    """The first moment after `now` (UTC) that `cron` names by the clocks of `zone`, UTC; read as `last_due`'s."""
    clocks = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    times = croniter(cron, clocks - timedelta(hours=1))
    while True:
        due = _instant(times.get_next(datetime), zone)
        if due > now:
            return due


def _instant(clocks: datetime, zone: str) -> datetime:
    """When the clocks of a zone show a time: for the first time, or where they leave it out as they jump past it."""
    local = clocks.replace(tzinfo=ZoneInfo(zone), fold=0)
    moment = local.astimezone(UTC)
    if moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == clocks:
        return moment
    # PEP 495: before the jump's offset puts it as far after the jump as it lies in the gap; due is the jump itself.
    before, after = local.utcoffset(), local.replace(fold=1).utcoffset()
    assert before is not None
    assert after is not None
    gap = after - before
    return _jump(moment - gap, moment, ZoneInfo(zone))


def _jump(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """The first minute after `early` that has the offset of `late`."""
    while late - early > timedelta(minutes=1):
        middle = early + (late - early) / 2
        if middle.astimezone(zone).utcoffset() == late.astimezone(zone).utcoffset():
            late = middle
        else:
            early = middle
    return late.replace(second=0, microsecond=0)
