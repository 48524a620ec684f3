"""What a stamp stands for: values of intervals moved to the start of theirs, and sums since midnight taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.features.intervals import accumulated, preceding
from foretell.settings import ForetellSettings

HOUR = timedelta(hours=1)
FIRST = datetime(2024, 3, 30, tzinfo=UTC)
DATA = ForetellSettings().bench_data
public = pytest.mark.skipif(DATA is None, reason="the public data are not here: FORETELL_BENCH_DATA=<folder>")


def hours(values: Sequence[float | None], **more: list[float]) -> pl.DataFrame:
    times = [FIRST + k * HOUR for k in range(len(values))]
    return pl.DataFrame({"time": times, "sun": values, **more}, schema_overrides={"sun": pl.Float64})


def test_what_is_stamped_at_the_end_of_its_hour_goes_to_the_start_and_the_rest_stays() -> None:
    moved = preceding(hours([0.0, 10.0, 20.0], warm=[1.0, 2.0, 3.0]), ["sun"])
    assert moved.columns == ["time", "sun", "warm"]
    assert moved["sun"].to_list() == [10.0, 20.0, None]
    assert moved["warm"].to_list() == [1.0, 2.0, 3.0]


def test_before_a_gap_nothing_is_known_and_of_the_same_stamp_the_last_counts() -> None:
    rows = hours([0.0, 10.0, 20.0, 30.0, 40.0])
    told = pl.concat([rows[:1], rows[1:2].with_columns(sun=99.0), rows[1:2], rows[3:]])
    assert preceding(told, ["sun"]).select("sun").to_series().to_list() == [10.0, None, 40.0, None]


@given(st.lists(st.floats(0, 1e7), min_size=2, max_size=60), st.integers(0, 23))
def test_sums_since_midnight_are_what_came(came: list[float], start: int) -> None:
    """Whatever came in each hour, from any hour of the day on: it is found again, but for the first told."""
    rows = hours(came).with_columns(pl.col("time") + start * HOUR)
    day = pl.col("time").dt.date()
    sums = rows.select(pl.col("time") + HOUR, sun=pl.col("sun").cum_sum().over(day))
    again = accumulated(sums, ["sun"])
    assert again["time"].to_list() == sums["time"].to_list()
    assert again["sun"][:-1].to_list() == pytest.approx(rows[1:]["sun"].to_list(), abs=1e-3)
    assert again["sun"][-1] is None


def test_a_sum_that_falls_a_little_is_rounding_and_one_that_falls_is_not_known() -> None:
    sums = hours([0.0, 100.0, 99.0, 120.0, 20.0, 30.0])
    assert accumulated(sums, ["sun"])["sun"].to_list() == [100.0, 0.0, 21.0, None, 10.0, None]


def test_without_the_stamp_before_nothing_is_known_save_after_midnight() -> None:
    sums = hours([7.0, 100.0, 150.0, 160.0, 170.0])
    told = sums.filter(pl.col("time") != FIRST + 2 * HOUR)
    assert accumulated(told, ["sun"])["sun"].to_list() == [100.0, None, 10.0, None]


# ---------------------------------------------------------------- on what others published


def noon(rows: pl.DataFrame, sun: str, *, middle: float) -> float:
    """The middle of the light, hours after midnight (UTC), of values that stand for the hour from their time on."""
    hour = (pl.col("time").dt.hour() + 0.5 - middle + 12) % 24
    return float(rows.select((hour * pl.col(sun)).sum() / pl.col(sun).sum()).item()) - 12 + middle


@public
def test_ecmwf_radiation_of_gefcom_has_its_noon_when_the_sun_has(pytestconfig: pytest.Config) -> None:
    """Accumulated J/m² since 00 UTC, three plants at about UTC+10: noon is at two."""
    assert DATA
    told = pl.read_csv(DATA / "energy" / "gefcom2014_solar" / "solar_hourly.csv.gz", try_parse_dates=True)
    told = told.rename({"timestamp_utc": "time"}).filter(pl.col("VAR169").is_not_null())
    for (site,), rows in told.partition_by("site_id", as_dict=True).items():
        came = accumulated(rows.sort("time"), ["VAR169", "VAR178", "VAR228"])
        assert came.select(pl.col("VAR169", "VAR178").null_count()).row(0) == (1, 1), site
        assert came["VAR228"].null_count() <= 2
        power = came.with_columns(pl.col("VAR169") / 3600).drop_nulls("VAR169")
        assert power["VAR169"].max() < 1200  # type: ignore[operator]
        assert noon(power, "VAR169", middle=2) == pytest.approx(2.0, abs=0.3)
        days = power.group_by(pl.col("time").dt.date()).agg(pl.col("VAR169").sum() * 3600, pl.len())
        whole = rows.filter(pl.col("time").dt.hour() == 0)
        ends = whole.select((pl.col("time") - HOUR).dt.date().alias("time"), total="VAR169")
        both = days.filter(pl.col("len") == 24).join(ends, on="time")
        assert both.height > 390
        assert (both["VAR169"] - both["total"]).abs().max() < 2000  # type: ignore[operator] # J/m², of 2e7: rounding


@public
@pytest.mark.parametrize(
    ("file", "longitude", "late"),
    [("pvgis_tmy_test.csv", 8.0, timedelta()), ("test_psm3_2017.csv", -108.54, timedelta(hours=7))],
)
def test_a_year_of_sun_is_the_same_in_every_convention(file: str, longitude: float, late: timedelta) -> None:
    """PVGIS (UTC) and NSRDB (UTC-7): stamped at the end or summed since midnight, they come back, and noon is noon."""
    assert DATA
    truth = published(DATA / "energy" / "weather_api_fixtures" / file, late)
    ends = truth.with_columns(pl.col("time") + HOUR)
    moved = preceding(ends, ["sun"]).drop_nulls().join(truth, on="time")
    assert moved.height >= truth.height - 12  # the months of PVGIS are of different years
    assert moved["sun"].to_list() == moved["sun_right"].to_list()
    sums = truth.select(pl.col("time") + HOUR, sun=(3600 * pl.col("sun")).cum_sum().over(pl.col("time").dt.date()))
    again = accumulated(sums, ["sun"]).with_columns(pl.col("sun") / 3600)
    both = again.join(truth, on="time").drop_nulls()
    assert both.height >= truth.height - 2 * 12
    assert (both["sun"] - both["sun_right"]).abs().max() < 1e-6  # type: ignore[operator]
    assert noon(truth, "sun", middle=12 - longitude / 15) == pytest.approx(12 - longitude / 15, abs=0.6)


def published(path: Path, late: timedelta) -> pl.DataFrame:
    """Hours of global radiation (W/m²) in UTC, by the start of each."""
    if path.name.startswith("pvgis"):
        told = pl.read_csv(path, truncate_ragged_lines=True, infer_schema_length=0)
        time = pl.col("time(UTC)").str.to_datetime("%Y%m%d:%H%M")
        return told.select(time=time, sun=pl.col("G(h)").cast(pl.Float64)).sort("time")
    told = pl.read_csv(path)
    time = pl.datetime("Year", "Month", "Day", "Hour") + late
    return told.select(time=time, sun="GHI").group_by("time").agg(pl.col("sun").mean().round(3)).sort("time")
