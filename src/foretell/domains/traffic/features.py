"""Questions, features and outcomes of hourly load: one truth for training, tests, serving and monitoring.

A step is an hour on the tenant's clock. A value belongs to the hour in which it became known, so an hour is complete
at its end and never changes. A question (`as_of`, `at`) sees the hours complete by `as_of`; `step` counts from the
newest of them to `at`: the next hour is step 1.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from foretell.contract import Floats, Frame, History, Read
from foretell.domains.traffic import calendars
from foretell.domains.traffic.schema import METRICS, Settings
from foretell.errors import InvalidRequest
from foretell.features.grid import (
    Grid,
    Places,
    back,
    deviation,
    hour_of,
    hours_of,
    lagged,
    least,
    mean,
    median,
    most,
    off_hour,
    share,
    table,
)

HOUR = timedelta(hours=1)
LONGEST_WINDOW = 700  # hours that a lag or window may reach back on the grid
LONGEST = 25  # steps ahead: 24 hours asked for in the middle of an hour
SETTLE = timedelta(minutes=15)  # an hour's outcome waits this long for rows still on their way
READS = (Read(table="metrics", window=timedelta(days=43), by="entity"),)
WEEKS = (1, 2, 3, 4)

ROLLING = ["rolling_mean_24h", "rolling_std_24h", "rolling_min_24h", "rolling_max_24h"]
LAGS = ["lag_1h", "lag_24h", "lag_168h"]
NINETEEN = [*calendars.TIME, *calendars.RAMADAN, *ROLLING, *LAGS, *calendars.PRAYER]


def hours(history: History) -> Grid:
    """The complete hours of every service and metric."""
    zone, metrics = history.standpoint.zone, history[METRICS.name]
    time, known = (metrics[name].to_physical().to_numpy() for name in ("time", "known_at"))
    when = np.maximum(time, known - 1)
    entity, value = metrics["entity"], metrics["value"].to_numpy()
    end = int(hour_of(history.now, zone).timestamp()) * 1_000_000
    complete = when < end
    if not complete.all():
        entity, when, value = entity.filter(pl.Series(complete)), when[complete], value[complete]
    off = off_hour(zone)
    return Grid.of(entity, when, value, step=HOUR, offset=off, behind=LONGEST_WINDOW, ahead=LONGEST, until=end)


def series(history: History) -> Frame:
    """The complete hours as a regular series: `entity`, `time`, `value`; missing ones null."""
    frame = history.once(hours).frame()
    last = pl.col("time").filter(pl.col("value").is_not_null()).max().over("entity")
    return frame.filter(pl.col("time") <= last).select("entity", "time", "value")


def questions(history: History) -> Frame:
    """Every complete hour, after an entity's first week, as a standpoint.

    Each is asked for the next five hours and for one of the rest of the day; the far ones take turns, so that a day of
    standpoints covers them all.
    """
    standing = series(history).select("entity", "time")
    standing = standing.filter(pl.col("time") >= pl.col("time").min().over("entity") + timedelta(days=7))
    far = 6 + pl.col("time").dt.epoch("s") // 3600 * 7 % (LONGEST - 5)
    asked = standing.with_columns(step=pl.concat_list([*(pl.lit(k, pl.Int64) for k in range(1, 6)), far])).explode(
        "step"
    )
    return asked.select("entity", as_of=pl.col("time") + HOUR, at=pl.col("time") + HOUR * pl.col("step"))


def outcomes(history: History, asked: Frame) -> Frame:
    """`value`, the mean over the hour `at`, known a quarter of an hour after its end; void if nothing was measured."""
    grid = history.once(hours)
    (at,) = grid.places(asked, "at")
    closed = pl.col("at") + HOUR + SETTLE <= history.now
    return asked.select("at", value=pl.Series(back(grid.value, at)).fill_nan(None)).select(
        value=pl.when(closed).then("value"), known_at=pl.when(closed).then(pl.col("at") + HOUR + SETTLE)
    )


def features(history: History, asked: Frame) -> Frame:
    """The 19 features of the documents, and those beyond them; one row a question, in the order asked.

    Rolling windows and `lag_1h` end with the newest complete hour; `lag_24h` and `lag_168h` count from `at`. Ratios are
    relative to `scale`, the usual value of that hour of the week. A missing number is NaN.
    """
    zone, settings = history.standpoint.zone, tenant_settings(history)
    grid = history.once(hours)
    framed = asked.select("entity", "at", hours_of(asked["as_of"], zone).alias("start"))
    start, at = grid.places(framed, "start", "at")
    step = (framed["at"] - framed["start"]).to_physical().to_numpy() // 3_600_000_000 + 1
    past = windows(grid.value, start) | _recent(grid.value, start, at, step)
    there = calendars.hours(framed["at"], zone, settings)
    names = [*NINETEEN, *BEYOND]
    return table({name: there[name] if name in there else past[name] for name in names})


def tenant_settings(history: History) -> Settings:
    """The settings the history stands under, as traffic's."""
    settings = history.standpoint.settings
    if not isinstance(settings, Settings):
        raise InvalidRequest(f"traffic needs its own settings, not {type(settings).__name__}")
    return settings


def windows(value: Floats, places: Places) -> dict[str, Floats]:
    """The rolling features over the 24 hours that end before each place."""
    middle, low, high = (back(of(value, 24), places) for of in (mean, least, most))
    return dict(zip(ROLLING, (middle, deviation(value, 24, places), low, high), strict=True))


BEYOND = [
    "step", "scale", "average", "level", "next", "last", "last_2", "last_3", "jump_24", "mean_3", "mean_6", "mean_24",
    "mean_168", "spread_24", "yesterday", "before", "ratio_24", "ratio_168", "ratio_week", "week_1", "week_2", "week_3",
    "week_4", "weeks_spread", "carried_24", "carried_168", "carried_days", "carried_week", "carried_least",
    "carried_most", *calendars.BEYOND,
]  # fmt: skip


def _recent(value: Floats, start: Places, at: Places, step: Floats) -> dict[str, Floats]:
    """The lags, and the recent past relative to the usual value of the hour asked about."""
    weekly = median([lagged(value, 168 * k) for k in WEEKS])
    average = mean(value, 672)
    usual = np.fmax(np.where(np.isnan(weekly), average, weekly), 0.02 * average)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(value / usual, 0, 10)
        means = {n: share(value, usual, n) for n in (3, 6, 24, 168)}

    def begun(column: Floats, ago: int) -> Floats:
        """At the newest complete hour, `ago` hours before it."""
        return back(column, start, 1 + ago)

    def there(column: Floats, ago: int) -> Floats:
        """`ago` hours before the hour asked about, where that was complete at `as_of`."""
        return np.where(step <= ago, back(column, at, ago), np.nan)

    now, level = begun(value, 0), back(average, start, 0)
    scale = np.fmax(np.where(np.isnan(weekly_at := back(weekly, at, 0)), level, weekly_at), 0.02 * level)
    with np.errstate(divide="ignore", invalid="ignore"):
        days = [there(value, 24 * k) for k in range(1, 8)]
        carried = {24 * k: np.clip(now * days[k - 1] / begun(value, 24 * k) / scale, 0, 10) for k in range(1, 8)}
        weeks = [there(value, 168 * k) for k in WEEKS]
        by_week = [
            np.clip(now * week / begun(value, 168 * k) / scale, 0, 10) for k, week in zip(WEEKS, weeks, strict=True)
        ]
        relative = [week / scale for week in weeks]
        return {
            "lag_1h": now,
            "lag_24h": days[0],
            "lag_168h": weeks[0],
            "step": step.astype(float),
            "scale": scale,
            "average": level,
            "level": scale / level,
            "next": np.clip(scale / begun(usual, 0), 0, 20),
            "last": begun(ratio, 0),
            "last_2": begun(ratio, 1),
            "last_3": begun(ratio, 2),
            "jump_24": begun(ratio, 0) - begun(ratio, 24),
            **{f"mean_{n}": back(column, start) for n, column in means.items()},
            "spread_24": deviation(ratio, 24, start),
            "yesterday": days[0] / scale,
            "before": days[1] / scale,
            "ratio_24": there(ratio, 24),
            "ratio_168": there(ratio, 168),
            "ratio_week": median([there(ratio, 24 * k) for k in range(1, 8)]),
            **{f"week_{k}": week for k, week in zip(WEEKS, relative, strict=True)},
            "weeks_spread": np.fmax.reduce(relative) - np.fmin.reduce(relative),
            "carried_24": carried[24],
            "carried_168": by_week[0],
            "carried_days": median(list(carried.values())),
            "carried_week": median(by_week),
            "carried_least": np.fmin.reduce(by_week),
            "carried_most": np.fmax.reduce(by_week),
        }
