"""Validation finds what was planted, changes nothing else, and its score moves as it should."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.energy import PANELS, TURBINE, history, hours, read

from foretell.contract import INSTANT, Floats
from foretell.domains.energy.engineer import FeatureEngineer
from foretell.domains.energy.features import features, framed, outcomes
from foretell.domains.energy.physics import Light, clear_sky
from foretell.domains.energy.readings import hours as shares
from foretell.domains.energy.readings import plants
from foretell.domains.energy.schema import FEATURES
from foretell.domains.energy.tables import Kind
from foretell.domains.energy.validation import DataValidator, recent
from foretell.errors import InvalidRequest
from foretell.features.grid import micros

TIMES = hours(24 * 60)


def good() -> Floats:
    """Sixty days of a clear sky over the panels, with some luck."""
    sites = plants(history({"it": PANELS})).sites.of(np.zeros(len(TIMES), dtype=np.int64))
    clear = clear_sky(sites, Light(sites, micros(pl.Series(TIMES, dtype=INSTANT))))
    return 100 * clear * np.random.default_rng(1).uniform(0.5, 1.0, len(TIMES))


def validated(output: Floats, times: list[Any] = TIMES, kind: Kind = "solar", **more: Any) -> tuple[pl.DataFrame, Any]:
    frame = pl.DataFrame({"time": pl.Series(times, dtype=INSTANT), "output_kw": output, **more})
    validator = DataValidator(kind, capacity_kw=100.0, latitude=40.0, longitude=0.0)
    return validator.validate_dataframe(frame)


@pytest.mark.row("E3")
def test_good_readings_are_believed() -> None:
    clean, report = validated(good())
    assert report["data_quality_score"] > 0.99
    assert report["problems"] == {}
    assert report["warnings"] == []
    assert clean["output_kw"].null_count() == 0


@pytest.mark.row("E3")
@pytest.mark.parametrize(
    ("problem", "where", "value"),
    [
        ("output at night", TIMES.index(next(t for t in TIMES if t.hour == 1)), 30.0),
        ("above capacity", TIMES.index(next(t for t in TIMES if t.hour == 12)), 180.0),
        ("below zero", TIMES.index(next(t for t in TIMES if t.hour == 12)), -40.0),
    ],
)
def test_what_can_not_be_is_found_there_and_only_there(problem: str, where: int, value: float) -> None:
    output = good()
    output[where] = value
    clean, report = validated(output)
    assert report["problems"][problem] == 1
    assert clean["output_kw"].is_null().arg_true().to_list() == [where]


@pytest.mark.row("E3")
def test_flat_lines_spikes_gaps_and_doubles_are_found() -> None:
    output = np.random.default_rng(2).uniform(20, 40, len(TIMES))
    output[100:110] = 33.3
    output[500] = 99.0
    _, report = validated(output, kind="wind")
    assert report["problems"] == {"flat": 10, "spike": 1}
    kept = [k for k in range(len(TIMES)) if not 200 <= k < 296]
    _, report = validated(output[[*kept, 7]], [TIMES[k] for k in [*kept, 7]], kind="wind")
    assert report["missing_hours"] == 96
    assert report["duplicates"] == 1
    assert report["parts"]["complete"] == pytest.approx(1 - 96 / 1440, abs=0.001)


@pytest.mark.row("E3")
def test_a_clock_that_jumps_is_found_when_it_jumped() -> None:
    output = good()
    output[720:] = np.roll(output, 2)[720:]
    _, report = validated(output)
    (jump,) = report["clock_jumps"]
    assert abs((jump - TIMES[720]).total_seconds()) < 5 * 86400
    assert report["parts"]["clock"] < 1


@pytest.mark.row("E3")
def test_weather_out_of_range_is_null_and_a_poor_frame_warns() -> None:
    cold = np.where(np.arange(len(TIMES)) % 2, -273.0, 20.0)
    clean, report = validated(good(), temperature=cold)
    assert report["problems"]["temperature out of range"] == len(TIMES) // 2
    assert clean["temperature"].null_count() == len(TIMES) // 2
    assert report["data_quality_score"] < 0.7
    assert report["warnings"]


@pytest.mark.row("E3")
def test_a_pandas_frame_comes_back_as_one() -> None:
    frame = pd.DataFrame({"timestamp": pd.DatetimeIndex(TIMES), "energy_output": good()})
    clean, report = DataValidator("solar").validate_dataframe(frame)
    assert isinstance(clean, pd.DataFrame)
    assert report["rows"] == len(TIMES)
    assert 0.9 < report["data_quality_score"] <= 1


def test_without_times_or_of_no_kind_it_refuses() -> None:
    with pytest.raises(InvalidRequest, match="time"):
        DataValidator("wind").validate_dataframe(pl.DataFrame({"x": [1.0]}))
    with pytest.raises(InvalidRequest, match="tidal"):
        DataValidator("tidal")  # type: ignore[arg-type]


def test_poor_readings_widen_what_is_said() -> None:
    whole = recent("solar", history({"it": PANELS}, read("it", TIMES, good())), ["it"])
    assert whole.widened == pytest.approx(1, abs=0.01)
    gappy = good()
    gappy[-400:-20] = np.nan
    poor = recent("solar", history({"it": PANELS}, read("it", TIMES, gappy)), ["it"])
    assert poor.widened > 1.3
    assert poor.warning
    assert "complete" in poor.warning
    none = recent("solar", history({"it": PANELS}), ["it"])
    assert none.score == 0


@pytest.mark.row("E3")
@pytest.mark.parametrize(("kw", "kept"), [(9999.0, False), (-1500.0, False), (2190.0, True), (-30.0, True)])
def test_what_can_not_be_is_neither_learned_from_nor_scored(kw: float, kept: bool) -> None:
    """The same reading is believed, or not, by the validator, by outcomes, by features and by the score."""
    site = {**TURBINE, "capacity_kw": 2000.0}
    output = np.random.default_rng(3).uniform(200, 400, len(TIMES))
    output[1200] = kw
    seen = history({"it": site}, read("it", TIMES, output))
    at = micros(pl.Series(TIMES, dtype=INSTANT))
    value = outcomes(seen, framed(["it"] * len(at), at, at))["value"]
    assert value[:1200].to_list() == output[:1200].tolist()
    assert value[1200] == (kw if kept else None)
    (last,) = features("wind", seen, framed(["it"], at[1201:1202], at[1201:1202])).frame()["last"]
    assert last == pytest.approx((kw if kept else output[1199]) / 2000)
    assert np.isnan(shares(seen).of("it", at[1200:1201] // 3_600_000_000)).tolist() == [not kept]
    frame = pl.DataFrame({"time": pl.Series(TIMES, dtype=INSTANT), "output_kw": output})
    clean, _ = DataValidator("wind", capacity_kw=2000.0).validate_dataframe(frame)
    spiked = kw == 2190.0  # unlikely, and possible
    assert (clean["output_kw"][1200] is not None) == (kept and not spiked)
    score = recent("wind", seen, ["it"])
    assert (score.parts["complete"], score.score == 1) == (1, kept and not spiked)  # no gap, but a poor reading


@pytest.mark.row("E3")
def test_output_at_night_is_not_learned_from_and_a_correction_is() -> None:
    night = next(k for k, t in enumerate(TIMES) if k > 800 and t.hour == 1)
    output = good()
    output[night] = 30.0
    asked = framed(["it"], micros(pl.Series(TIMES[night : night + 1], dtype=INSTANT)),
                   micros(pl.Series(TIMES[night : night + 1], dtype=INSTANT)))  # fmt: skip
    rows = read("it", TIMES, output)
    (void,) = outcomes(history({"it": PANELS}, rows), asked).rows()
    assert void[0] is None
    assert void[1] == TIMES[night] + timedelta(days=7, hours=1)
    rows[night] |= {"output_kw": 0.0, "known_at": TIMES[night] + timedelta(days=3)}
    assert outcomes(history({"it": PANELS}, rows), asked)["value"].to_list() == [0.0]


@pytest.mark.row("E4")
@pytest.mark.parametrize("kind", ["solar", "wind"])
def test_more_than_fifty_features_by_name_on_a_frame(kind: Kind) -> None:
    count = len(TIMES)
    weather = {"ghi": good() * 8, "temperature": np.full(count, 20.0), "wind_speed_10m": np.full(count, 5.0),
               "wind_speed_100m": np.full(count, 8.0)}  # fmt: skip
    frame = pl.DataFrame({"timestamp": pl.Series(TIMES, dtype=INSTANT), "energy_output": good(), **weather})
    engineer = FeatureEngineer(kind, latitude=40.0, longitude=0.0, capacity_kw=100.0)
    made = engineer.engineer_all_features(frame, "energy_output")
    assert made.height == count
    assert len(FEATURES[kind]) > 50
    assert set(FEATURES[kind]) <= set(made.columns)
    assert made["energy_output"].equals(frame["energy_output"])
    later = made[200]
    assert later["last"].item() == pytest.approx(frame["energy_output"][199] / 100)
    assert later["lag_day"].item() == pytest.approx(frame["energy_output"][176] / 100)
    assert later["mean_24h"].item() == pytest.approx(frame["energy_output"][176:200].mean() / 100)  # type: ignore[operator]
    told = engineer.engineer_all_features(frame.to_pandas(), "energy_output")
    assert isinstance(told, pd.DataFrame)
    assert np.allclose(told["physical"], made["physical"])


@pytest.mark.row("E4")
def test_a_feature_knows_nothing_of_its_own_hour() -> None:
    frame = pl.DataFrame({"time": pl.Series(TIMES, dtype=INSTANT), "output_kw": good()})
    engineer = FeatureEngineer("solar", latitude=40.0, capacity_kw=100.0)
    plain = engineer.engineer_all_features(frame, "output_kw")
    other = frame.with_columns(output_kw=pl.when(pl.int_range(pl.len()) >= 700).then(0.0).otherwise("output_kw"))
    changed = engineer.engineer_all_features(other, "output_kw")
    names = list(FEATURES["solar"])
    assert plain[:701].select(names).equals(changed[:701].select(names))
    assert not plain[701:720].select(names).equals(changed[701:720].select(names))
