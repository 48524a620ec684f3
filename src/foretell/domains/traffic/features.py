"""Questions, features and outcomes of hourly load: one truth for training, tests, serving and monitoring.

A step is an hour on the tenant's clock. A value belongs to the hour in which it became known, so an hour is complete
at its end and never changes. A question (`as_of`, `at`) sees the hours complete by `as_of`; `step` counts from the
newest of them to `at`: the next hour is step 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl

from foretell.contract import Block, Floats, Frame, History, Read
from foretell.domains.traffic import calendars
from foretell.domains.traffic.schema import BEYOND, LAGS, METRICS, NINETEEN, RECENT, ROLLING, Settings
from foretell.errors import InvalidRequest
from foretell.features.grid import (
    Grid,
    Places,
    back,
    hour_of,
    hours_of,
    mean,
    median,
    micros,
    moments,
    off_hour,
    over,
    share,
    turned,
)

HOUR = timedelta(hours=1)
LONGEST_WINDOW = 700  # hours that a lag or window may reach back on the grid
LONGEST = 25  # steps ahead: 24 hours asked for in the middle of an hour
SETTLE = timedelta(minutes=15)  # an hour's outcome waits this long for rows still on their way
READS = (Read(table="metrics", window=timedelta(days=43), by="entity", columns=("time", "value")),)
WEEKS = 168 * np.arange(1, 5)
AGO = np.concatenate([24 * np.arange(1, 8), WEEKS])  # hours before the one asked about: the days of a week, four weeks


def hours(history: History) -> Grid:
    """The complete hours of every service and metric."""
    zone, metrics = history.standpoint.zone, history[METRICS.name]
    when = np.maximum(micros(metrics["time"]), micros(metrics["known_at"]) - 1)
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
    (at,) = grid.places(asked["entity"], micros(asked["at"]))
    closed = pl.col("at") + HOUR + SETTLE <= history.now
    return asked.select("at", value=pl.Series(back(grid.value, at)).fill_nan(None)).select(
        value=pl.when(closed).then("value"), known_at=pl.when(closed).then(pl.col("at") + HOUR + SETTLE)
    )


def features(history: History, asked: Frame) -> Block:
    """The 19 features of the documents, and those beyond them; one row a question, in the order asked.

    Rolling windows and `lag_1h` end with the newest complete hour; `lag_24h` and `lag_168h` count from `at`. Ratios are
    relative to `scale`, the usual value of that hour of the week by the tenant's clocks: where they were set meanwhile,
    past days and weeks are an hour nearer or farther. A missing number is NaN.
    """
    zone, settings = history.standpoint.zone, tenant_settings(history)
    grid = history.once(hours)
    begun, when = hours_of(micros(asked["as_of"]), zone), micros(asked["at"])
    start, at = grid.places(asked["entity"], begun, when)
    step = (when - begun) // 3_600_000_000 + 1
    ago = [turned(moments, AGO, zone) for moments in (when, begun - 3_600_000_000)]
    made = windows(grid.value, start) | _recent(grid, (start, at, step), ago, zone)
    made |= calendars.hours(when, zone, settings)
    return Block.of_columns({name: made[name] for name in (*NINETEEN, *BEYOND)})


def tenant_settings(history: History) -> Settings:
    """The settings the history stands under, as traffic's."""
    settings = history.standpoint.settings
    if not isinstance(settings, Settings):
        raise InvalidRequest(f"traffic needs its own settings, not {type(settings).__name__}")
    return settings


def windows(value: Floats, places: Places) -> dict[str, Floats]:
    """The rolling features over the 24 hours that end before each place."""

    def rolling(window: Floats) -> list[Floats]:
        return [*moments(window), np.fmin.reduce(window, axis=1), np.fmax.reduce(window, axis=1)]

    return dict(zip(ROLLING, over([value], places, 24, rolling), strict=True))


def _usual(grid: Grid, first: int, zone: str) -> tuple[Floats, Floats]:
    """For each hour from the row `first` on: the mean of the four weeks before it, and the median of its weeks.

    The second is what is usual; where weeks are missing, the mean is. NaN in the rows before `first`.
    """
    value = grid.value
    average, usual = np.full((2, len(value)), np.nan)
    rows = np.arange(first, len(value))
    weekly = median(back(value, rows, turned(grid.times(rows), WEEKS, zone))) if len(rows) else np.zeros(0)
    begin = max(0, first - 672)
    average[first:] = mean(value[begin:], 672)[first - begin :]
    usual[first:] = np.fmax(np.where(np.isnan(weekly), average[first:], weekly), 0.02 * average[first:])
    return average, usual


def _recent(grid: Grid, places: tuple[Places, Places, Places], ago: Sequence[Places], zone: str) -> dict[str, Floats]:
    """The lags, and the recent past relative to the usual value of the hour asked about.

    `places` are the rows of standpoints and of hours asked about, and the steps between; `ago` is `AGO` by the clocks,
    from the hour asked about and from the newest complete one.
    """
    value, (start, at, step), (back_from, back_to) = grid.value, places, ago
    average, usual = _usual(grid, max(0, int(start.min(initial=len(value))) - 169), zone)
    past = over([value, usual], start, 169, _standing)
    now, normally, level = past[0], past[1], back(average, start)
    known = step[:, None] <= back_from  # so many hours before the one asked about that was complete at `as_of`
    there = np.where(known, back(value, at, back_from), np.nan)
    days, weeks = there[:, :7], there[:, 7:]
    lags = np.where(step[:, None] <= AGO[[0, 7]], back(value, at, AGO[[0, 7]]), np.nan)  # hours, as the documents count
    weekly = median(weeks)
    scale = np.fmax(np.where(np.isnan(weekly), level, weekly), 0.02 * level)
    with np.errstate(divide="ignore", invalid="ignore"):
        carried = _bounded(now[:, None] * there / back(value, start, 1 + back_to) / scale[:, None], 10)
        by_day, by_week = carried[:, :7], carried[:, 7:]
        ratios = _bounded(days / np.where(known[:, :7], back(usual, at, back_from[:, :7]), np.nan), 10)
        relative = weeks / scale[:, None]
        made = [
            now, *lags.T, step.astype(float), scale, level, scale / level,
            _bounded(scale / normally, 20), *past[2:],
            days[:, 0] / scale, days[:, 1] / scale, ratios[:, 0], ratios[:, 6], median(ratios), *relative.T,
            np.fmax.reduce(relative, axis=1) - np.fmin.reduce(relative, axis=1),
            by_day[:, 0], by_week[:, 0], median(by_day), median(by_week),
            np.fmin.reduce(by_week, axis=1), np.fmax.reduce(by_week, axis=1),
        ]  # fmt: skip
    return dict(zip((*LAGS, *RECENT), made, strict=True))


def _bounded(ratio: Floats, most: float) -> Floats:
    """A ratio of loads, not below 0 and not above the most that says anything; `np.clip` takes five times longer."""
    return np.minimum(np.maximum(ratio, 0.0), most)


def _standing(value: Floats, usual: Floats) -> list[Floats]:
    """What a standpoint sees of the last 169 hours: the newest value, its usual one, and the ratios of the two."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = _bounded(value[:, -25:] / usual[:, -25:], 10)
    means = [share(value[:, -n:], usual[:, -n:]) for n in (3, 6, 24, 168)]
    last = [ratio[:, -k] for k in (1, 2, 3)]
    return [value[:, -1], usual[:, -1], *last, last[0] - ratio[:, 0], *means, moments(ratio[:, 1:])[1]]
