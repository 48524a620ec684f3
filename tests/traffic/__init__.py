"""What the tests of traffic share: frames of metrics, histories, announced dates, a sun of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from foretell import Frame, History, Standpoint
from foretell.contract import INSTANT
from foretell.domains.traffic.schema import Settings

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
ENTITY = "default/requests_per_minute"

# First and last day of the fast, as announced (Diyanet; Saudi Press Agency; India's moon committees; Umm al-Qura).
FASTS: dict[str, list[tuple[date, date]]] = {
    "TR": [
        (date(2017, 5, 27), date(2017, 6, 24)),
        (date(2018, 5, 16), date(2018, 6, 14)),
        (date(2023, 3, 23), date(2023, 4, 20)),
        (date(2024, 3, 11), date(2024, 4, 9)),
        (date(2025, 3, 1), date(2025, 3, 29)),
        (date(2026, 2, 19), date(2026, 3, 19)),
    ],
    "SA": [
        (date(2017, 5, 27), date(2017, 6, 24)),
        (date(2018, 5, 17), date(2018, 6, 14)),
        (date(2023, 3, 23), date(2023, 4, 20)),
        (date(2024, 3, 11), date(2024, 4, 9)),
        (date(2025, 3, 1), date(2025, 3, 29)),
        (date(2026, 2, 18), date(2026, 3, 19)),
    ],
    "IN": [
        (date(2023, 3, 24), date(2023, 4, 21)),
        (date(2024, 3, 12), date(2024, 4, 10)),
        (date(2025, 3, 2), date(2025, 3, 30)),
    ],
    "": [  # Umm al-Qura, where nobody announces
        (date(2023, 3, 23), date(2023, 4, 20)),
        (date(2024, 3, 11), date(2024, 4, 9)),
        (date(2025, 3, 1), date(2025, 3, 29)),
        (date(2026, 2, 18), date(2026, 3, 19)),
    ],
}


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def local(zone: str, *parts: int) -> datetime:
    """A clock time of a zone, as an instant."""
    return datetime(*parts, tzinfo=ZoneInfo(zone)).astimezone(UTC)  # type: ignore[misc,arg-type]


def clock_hour(moment: datetime, zone: str) -> datetime:
    """The start of the hour on the zone's clock that holds an instant."""
    there = moment.astimezone(ZoneInfo(zone))
    return moment - timedelta(minutes=there.minute, seconds=there.second, microseconds=there.microsecond)


def metrics(
    rows: Iterable[tuple[datetime, float] | tuple[datetime, float, datetime]],
    service: str = "default",
    lasting: timedelta = HOUR,
) -> Frame:
    """Rows of the metrics table: (time, value), known when the interval ends, or (time, value, known_at)."""
    whole = [(row[0], row[1], row[2] if len(row) == 3 else row[0] + lasting) for row in rows]
    frame = pl.DataFrame(whole, schema={"time": INSTANT, "value": pl.Float64, "known_at": INSTANT}, orient="row")
    name = pl.lit("requests_per_minute")
    return frame.with_columns(
        service=pl.lit(service), metric_type=name, entity=pl.lit(f"{service}/requests_per_minute")
    )


def history(frame: Frame, now: datetime, zone: str = "UTC", settings: Settings | None = None) -> History:
    """What is known at `now`."""
    standpoint = Standpoint(tenant="t", now=now, zone=zone, settings=settings or Settings())
    return History(standpoint, {"metrics": frame.filter(pl.col("known_at") <= now)})


def sunset(day: date, latitude: float, longitude: float) -> tuple[datetime, datetime] | None:
    """Sunrise and sunset of the day whose noon is nearest 12:00 by the longitude: the textbook sunrise equation."""
    noon_day = (datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - utc(2000, 1, 1, 12)) / DAY
    mean = noon_day - longitude / 360
    anomaly = math.radians((357.5291 + 0.98560028 * mean) % 360)
    centre = 1.9148 * math.sin(anomaly) + 0.02 * math.sin(2 * anomaly) + 0.0003 * math.sin(3 * anomaly)
    ecliptic = math.radians((math.degrees(anomaly) + centre + 180 + 102.9372) % 360)
    transit = mean + 0.0053 * math.sin(anomaly) - 0.0069 * math.sin(2 * ecliptic)
    decline = math.asin(math.sin(ecliptic) * math.sin(math.radians(23.4397)))
    phi = math.radians(latitude)
    cosine = (math.sin(math.radians(-0.833)) - math.sin(phi) * math.sin(decline)) / (math.cos(phi) * math.cos(decline))
    if not -1 < cosine < 1:
        return None
    half = math.degrees(math.acos(cosine)) / 360
    start = utc(2000, 1, 1, 12)
    return start + DAY * (transit - half), start + DAY * (transit + half)
