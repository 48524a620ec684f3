"""A small seeded world: a donation site in Riyadh through Ramadan 2024, with known effects.

`donations` is measured hourly for 15 weeks, `checkout` every 20 minutes for 8. Load has a daily and a weekly shape
and grows slowly; in Ramadan the effects below multiply it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Floats, History, Sample, Standpoint
from foretell.domains.traffic.schema import METRICS, LoadRequest, Settings, WorkloadConfig
from foretell.features.place import place

ZONE = "Asia/Riyadh"
END = datetime(2024, 4, 4, 21, tzinfo=UTC)  # midnight in Riyadh, in the last ten nights
IFTAR = 0.55  # in the hour from Maghrib, of the usual load: people eat
TARAWEEH = 1.9  # in the two hours from Isha
SUHOOR = 2.6  # in the two hours before Fajr
FAST = 0.8  # in the daylight of a fast
NOISE = 0.06  # standard deviation of the log of a measurement


def effect(moments: list[datetime]) -> Floats:
    """What Ramadan multiplies the load of moments (UTC) by: 1 outside it."""
    here = place(ZONE, Settings())
    out = np.ones(len(moments))
    for k, moment in enumerate(moments):
        today = (moment + timedelta(hours=3)).date()
        number = (today - date(1970, 1, 1)).days
        day, night = here.calendar.ramadan_day(np.array([number, number + 1])) > 0
        if not (day or night):
            continue
        fajr, _, _, _, maghrib, isha = (t or moment for t in here.prayers(today, ramadan=bool(day)))
        two = timedelta(hours=2)
        if day and fajr - two <= moment < fajr:
            out[k] = SUHOOR
        elif day and fajr <= moment < maghrib:
            out[k] = FAST
        elif day and maghrib <= moment < maghrib + timedelta(hours=1):
            out[k] = IFTAR
        elif night and isha <= moment < isha + two:
            out[k] = TARAWEEH
    return out


def sample(seed: int) -> Sample:
    """The world for a seed: the same seed gives the same rows."""
    random = np.random.default_rng(seed)
    rows = [
        _service("donations", 200.0, timedelta(hours=1), timedelta(weeks=15), random),
        _service("checkout", 40.0, timedelta(minutes=20), timedelta(weeks=8), random),
    ]
    metrics = pl.concat(rows)
    standpoint = Standpoint(tenant="sample", now=END, zone=ZONE, settings=Settings())
    workload = WorkloadConfig(current_replicas=10, capacity_per_pod=50.0)
    requests = [
        LoadRequest(service="donations", workload=workload),
        LoadRequest(service="donations", hours=24),
        LoadRequest(service="checkout"),
    ]
    return Sample(history=History(standpoint, {METRICS.name: metrics}), requests={"traffic.load": requests})


def _service(name: str, level: float, step: timedelta, span: timedelta, random: np.random.Generator) -> pl.DataFrame:
    count = span // step
    moments = [END - step * (count - k) for k in range(count)]
    hour = np.array([(m + timedelta(hours=3)).hour + m.minute / 60 for m in moments])
    weekday = np.array([(m + timedelta(hours=3)).weekday() for m in moments])
    daily = 1 + 0.6 * np.sin((hour - 8) / 24 * 2 * np.pi) + 0.2 * np.sin((hour - 2) / 12 * 2 * np.pi)
    weekly = np.where(weekday == 4, 0.7, np.where(weekday == 5, 0.85, 1.0))
    growth = 1 + 0.3 * np.arange(count) / count
    usual = level * daily * weekly * growth
    value = usual * effect(moments) * np.exp(NOISE * random.standard_normal(count))
    time = pl.Series(moments, dtype=INSTANT)
    return pl.DataFrame(
        {
            "time": time,
            "value": value,
            "service": name,
            "metric_type": "requests_per_minute",
            "known_at": time + step,
            "metadata": pl.Series([None] * count, dtype=pl.String),
            "entity": METRICS.named(name, "requests_per_minute"),
        }
    )
