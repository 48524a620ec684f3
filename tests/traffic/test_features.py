"""The 19 features by group, against slow loops over random series with gaps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.traffic import DAY, FASTS, HOUR, MINUTE, clock_hour, history, local, metrics, utc

from foretell import Frame
from foretell.domains.traffic import features, schema
from foretell.domains.traffic.engineer import FeatureEngineer
from foretell.domains.traffic.schema import Settings
from foretell.errors import InvalidRequest
from foretell.features.place import place

GROUPS = {
    "add_time_features": ["hour", "day_of_week", "is_weekend", "month", "day_of_month", "week_of_year"],
    "add_ramadan_features": ["is_ramadan", "ramadan_day", "days_until_ramadan", "is_last_10_nights"],
    "add_rolling_features": ["rolling_mean_24h", "rolling_std_24h", "rolling_min_24h", "rolling_max_24h"],
    "add_lag_features": ["lag_1h", "lag_24h", "lag_168h"],
    "add_prayer_features": ["is_prayer_window", "minutes_to_next_prayer"],
}
ZONES = ["UTC", "Asia/Riyadh", "Asia/Kolkata", "Europe/Berlin"]
WEEKEND = {"UTC": {5, 6}, "Asia/Riyadh": {4, 5}, "Asia/Kolkata": {5, 6}, "Europe/Berlin": {5, 6}}  # Monday is 0
FASTING = {"UTC": "", "Asia/Riyadh": "SA", "Asia/Kolkata": "IN", "Europe/Berlin": ""}


def series(zone: str, seed: int, days: int = 120, start: datetime | None = None) -> Frame:
    """Hours on the zone's clock from midwinter to spring, a tenth of them missing, some days whole."""
    random = np.random.default_rng(seed)
    first = start or local(zone, 2024, 1, 20)
    moments = [first + HOUR * k for k in range(24 * days)]
    gone = {int(day) for day in random.integers(0, days, 4)}
    kept = [m for k, m in enumerate(moments) if random.random() > 0.1 and k // 24 not in gone]
    value = random.gamma(4, 30, len(kept)).round(3)
    return pl.DataFrame({"time": kept, "value": value}, schema_overrides={"time": pl.Datetime("us", "UTC")})


def by_hour(rows: Sequence[tuple[datetime, float]], zone: str) -> dict[datetime, float]:
    """The mean of each hour on the zone's clock."""
    seen: dict[datetime, list[float]] = defaultdict(list)
    for moment, value in rows:
        seen[clock_hour(moment, zone)].append(value)
    return {hour: sum(values) / len(values) for hour, values in seen.items()}


def rolling(hours: dict[datetime, float], hour: datetime) -> tuple[float | None, ...]:
    window = [hours[h] for h in (hour - HOUR * k for k in range(1, 25)) if h in hours]
    if not window:
        return (None,) * 4
    middle = sum(window) / len(window)
    spread = None
    if len(window) > 1:
        spread = math.sqrt(sum((value - middle) ** 2 for value in window) / (len(window) - 1))
    return middle, spread, min(window), max(window)


def close(said: float | None, told: float | None) -> bool:
    if said is None or told is None:
        return said is told
    return math.isclose(said, told, rel_tol=1e-9, abs_tol=1e-6)


def both(said: Frame, columns: list[str], told: list[tuple[float | None, ...]], moments: list[datetime]) -> None:
    for moment, row, wanted in zip(moments, said.select(columns).iter_rows(), told, strict=True):
        assert all(close(a, b) for a, b in zip(row, wanted, strict=True)), (moment, row, wanted)


@pytest.mark.row("T2")
def test_nineteen_features_by_name_each_group_alone() -> None:
    frame = series("UTC", 0, days=10)
    together = frame
    for method, names in GROUPS.items():
        alone = getattr(FeatureEngineer("UTC"), method)(frame)
        assert alone.columns == ["time", "value", *names]
        assert alone.height == frame.height
        together = getattr(FeatureEngineer("UTC"), method)(together)
        assert_frame_equal(together.select(alone.columns), alone)
    assert sum(map(len, GROUPS.values())) == 19
    assert together.columns == ["time", "value", *(name for names in GROUPS.values() for name in names)]
    assert set(schema.NINETEEN) == {name for names in GROUPS.values() for name in names}


@pytest.mark.row("T2")
@pytest.mark.parametrize("zone", ZONES)
def test_time_features_are_those_of_the_local_clock(zone: str) -> None:
    frame = series(zone, 1, days=150)
    said = FeatureEngineer(zone).add_time_features(frame)
    for moment, row in zip(frame["time"], said.select(GROUPS["add_time_features"]).iter_rows(), strict=True):
        there = moment.astimezone(ZoneInfo(zone))
        weekend = there.weekday() in WEEKEND[zone]
        iso = there.isocalendar()
        assert row == (there.hour, there.weekday(), int(weekend), there.month, there.day, iso.week), moment


@pytest.mark.row("T2")
@pytest.mark.parametrize("zone", ZONES)
def test_ramadan_features_follow_the_announced_days_and_the_sun(zone: str) -> None:
    frame = series(zone, 2, days=120)
    said = FeatureEngineer(zone).add_ramadan_features(frame)
    fasts, here = FASTS[FASTING[zone]], place(zone, Settings())
    sets: dict[date, datetime | None] = {}
    for moment, row in zip(frame["time"], said.select(GROUPS["add_ramadan_features"]).iter_rows(), strict=True):
        day = moment.astimezone(ZoneInfo(zone)).date()
        if day not in sets:
            sets[day] = here.prayers(day, ramadan=False)[4]
        setting = sets[day]
        assert setting is not None
        hijri = day + DAY if moment >= setting else day
        told = next(((first, last) for first, last in fasts if first <= hijri <= last), None)
        number = (hijri - told[0]).days + 1 if told else 0
        until = 0 if told else next((first - hijri).days for first, _ in fasts if first > hijri)
        assert row == (int(number > 0), number, until, int(number >= 21)), moment


@pytest.mark.row("T2")
@pytest.mark.parametrize("zone", ZONES)
def test_rolling_and_lag_features_against_a_loop(zone: str) -> None:
    frame = series(zone, 3)
    hours = by_hour(list(frame.iter_rows()), zone)
    engineer = FeatureEngineer(zone)
    said = engineer.add_lag_features(engineer.add_rolling_features(frame))
    moments = frame["time"].to_list()
    both(said, GROUPS["add_rolling_features"], [rolling(hours, clock_hour(m, zone)) for m in moments], moments)
    lags = [tuple(hours.get(clock_hour(m, zone) - HOUR * k) for k in (1, 24, 168)) for m in moments]
    both(said, GROUPS["add_lag_features"], lags, moments)
    assert sum(lag[2] is not None for lag in lags) > 1000, "the oracle saw enough"


minutes = st.lists(
    st.tuples(st.integers(0, 60 * 24 * 9), st.floats(0, 1e6, allow_subnormal=False)),
    min_size=1, max_size=60, unique_by=lambda row: row[0],
)  # fmt: skip


@pytest.mark.row("T2")
@settings(max_examples=60)
@given(rows=minutes, zone=st.sampled_from(ZONES))
def test_rows_of_any_minute_get_the_features_of_their_hour(rows: list[tuple[int, float]], zone: str) -> None:
    told = [(local(zone, 2024, 3, 25) + MINUTE * minute, value) for minute, value in rows]
    frame = pl.DataFrame(told, schema={"time": pl.Datetime("us", "UTC"), "value": pl.Float64}, orient="row")
    hours = by_hour(told, zone)
    engineer = FeatureEngineer(zone)
    said = engineer.add_lag_features(engineer.add_rolling_features(frame))
    assert said["time"].to_list() == [moment for moment, _ in told], "same rows, same order"
    for (moment, _), row in zip(told, said.select(GROUPS["add_lag_features"]).iter_rows(), strict=True):
        wanted = [hours.get(clock_hour(moment, zone) - HOUR * k) for k in (1, 24, 168)]
        assert all(close(a, b) for a, b in zip(row, wanted, strict=True)), moment
    for (moment, _), row in zip(told, said.select("rolling_mean_24h", "rolling_min_24h").iter_rows(), strict=True):
        mean, _, least, _ = rolling(hours, clock_hour(moment, zone))
        assert close(row[0], mean)
        assert close(row[1], least)


@pytest.mark.row("T2")
@pytest.mark.parametrize("method", ["add_rolling_features", "add_lag_features"])
def test_a_row_s_features_do_not_see_its_own_hour_or_later(method: str) -> None:
    frame = series("Asia/Kolkata", 4, days=20)
    said = getattr(FeatureEngineer("Asia/Kolkata"), method)(frame)
    middle = frame["time"][200]
    spoilt = frame.with_columns(value=pl.when(pl.col("time") >= middle).then(1e9).otherwise("value"))
    again = getattr(FeatureEngineer("Asia/Kolkata"), method)(spoilt)
    before = pl.col("time") <= middle
    columns = ["time", *GROUPS[method]]
    assert_frame_equal(said.filter(before).select(columns), again.filter(before).select(columns))
    assert not said.select(columns).equals(again.select(columns))


def test_lags_count_hours_and_not_rows() -> None:
    frame = pl.DataFrame({"time": [utc(2024, 3, 1, 0), utc(2024, 3, 1, 5), utc(2024, 3, 1, 6)], "value": [1.0, 2, 3]})
    assert FeatureEngineer().add_lag_features(frame)["lag_1h"].to_list() == [None, None, 2.0]


def test_rows_in_any_order_and_twice() -> None:
    frame = series("UTC", 5, days=12)
    mixed = frame.sample(fraction=1, shuffle=True, seed=1)
    engineer = FeatureEngineer()
    said = engineer.add_lag_features(engineer.add_rolling_features(mixed))
    assert said["time"].to_list() == mixed["time"].to_list()
    straight = engineer.add_lag_features(engineer.add_rolling_features(frame))
    assert_frame_equal(said.sort("time"), straight, check_exact=False)


def test_another_column_and_a_missing_value() -> None:
    times = [utc(2024, 3, 1, k) for k in range(3)]
    frame = pl.DataFrame({"timestamp": times, "load": [1.0, None, 3.0]})
    said = FeatureEngineer().add_lag_features(frame, value_col="load")
    assert said["lag_1h"].to_list() == [None, 1.0, None]
    assert FeatureEngineer().add_rolling_features(frame, value_col="load")["rolling_mean_24h"].to_list() == [None, 1, 1]
    with pytest.raises(InvalidRequest, match="value"):
        FeatureEngineer().add_lag_features(frame)
    with pytest.raises(InvalidRequest, match="time"):
        FeatureEngineer().add_time_features(pl.DataFrame({"value": [1.0]}))


@pytest.mark.row("T2")
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("aware", [True, False])
def test_pandas_frames_get_the_same_numbers(zone: str, aware: bool) -> None:
    frame = series(zone, 6, days=70)
    there = frame["time"].dt.convert_time_zone(zone)
    frame = frame.filter(there.dt.replace_time_zone(None).is_first_distinct())
    index = pd.DatetimeIndex(frame["time"].dt.replace_time_zone(None).to_list(), tz="UTC").tz_convert(zone)
    if not aware:
        index = index.tz_localize(None)
    plain: Any = pd.DataFrame({"value": frame["value"].to_list()}, index=index)
    for method, names in GROUPS.items():
        said = getattr(FeatureEngineer(zone), method)(plain)
        assert isinstance(said, pd.DataFrame)
        assert said.index.equals(plain.index)
        assert list(said.columns) == ["value", *names]
        told = getattr(FeatureEngineer(zone), method)(frame).select(pl.col(names).cast(pl.Float64).fill_null(math.nan))
        np.testing.assert_allclose(said[names].to_numpy(dtype=float), told.to_numpy(), rtol=1e-12)
    assert list(plain.columns) == ["value"], "the caller's frame is left alone"


def test_naive_polars_times_are_local() -> None:
    naive = pl.DataFrame({"time": [datetime(2024, 3, 15, 20)]})  # noqa: DTZ001
    assert FeatureEngineer("Asia/Kolkata").add_time_features(naive)["hour"].to_list() == [20]
    aware = pl.DataFrame({"time": [utc(2024, 3, 15, 14, 30)]})
    assert FeatureEngineer("Asia/Kolkata").add_time_features(aware)["hour"].to_list() == [20]


@pytest.mark.row("T2")
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_minutes_are_resampled_to_the_hour_with_mean_and_peak(zone: str) -> None:
    random = np.random.default_rng(7)
    first = local(zone, 2024, 3, 1)
    rows = [(first + MINUTE * k, float(random.gamma(2, 50))) for k in range(60 * 30) if not 300 <= k < 420]
    frame = metrics(rows, lasting=timedelta(0))
    grid = features.hours(history(frame, first + 30 * HOUR, zone)).frame()
    told: dict[datetime, list[float]] = defaultdict(list)
    for moment, value in rows:
        told[clock_hour(moment, zone)].append(value)
    hours = [first + HOUR * k for k in range(30)]
    seen = grid.filter(pl.col("time") < first + 30 * HOUR)
    assert seen["time"].to_list() == hours
    for hour, mean, peak in seen.select("time", "value", "peak").iter_rows():
        if hour in told:
            assert mean == pytest.approx(sum(told[hour]) / len(told[hour]))
            assert peak == max(told[hour])
        else:
            assert mean is None
            assert peak is None
    assert sum(hour not in told for hour in hours) == 2
