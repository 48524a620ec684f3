"""The documents' forecaster, and the task asked through the engine: four hours, confidence, trigger, method."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.traffic import DAY, HOUR, MINUTE, local, utc

from foretell import Frame, History
from foretell.contract import QUESTION
from foretell.domains.traffic import LOAD, sample
from foretell.domains.traffic.engineer import FeatureEngineer
from foretell.domains.traffic.hybrid import HybridForecaster
from foretell.domains.traffic.schema import LoadAnswer, LoadRequest, WorkloadConfig
from foretell.engine.model import Model
from foretell.engine.outcomes import settled
from foretell.engine.predict import Prediction, predict, untrained
from foretell.errors import InvalidRequest, NotReady

RIYADH = "Asia/Riyadh"
DONATIONS = "donations/requests_per_minute"
NOW = local(RIYADH, 2024, 3, 28)


@pytest.fixture(scope="module")
def world() -> History:
    """The sample's site, measured hourly, up to day 24 of the fast."""
    whole = sample.sample(1).history
    return History(whole.standpoint, {"metrics": whole["metrics"].filter(pl.col("entity") == DONATIONS)})


@pytest.fixture(scope="module")
def frame(world: History) -> Frame:
    return world["metrics"].filter(pl.col("time") < NOW).select("time", "value")


@pytest.fixture(scope="module")
def forecaster(frame: Frame) -> HybridForecaster:
    made = HybridForecaster(RIYADH)
    made.summary = made.train(frame)  # type: ignore[attr-defined]
    return made


@pytest.fixture(scope="module")
def model(world: History) -> Model:
    """The candidate of the race, learned from the same weeks."""
    past = world.cut(NOW)
    known = settled(LOAD, past, LOAD.questions(past))
    learned = LOAD.candidates["pattern_learner"]().fit(
        LOAD.study(past, known.select("entity", "as_of", "at")), known.select("value", "known_at")
    )
    card = untrained(LOAD, "weekly_naive", past).card.model_copy(update={"candidate": "pattern_learner"})
    return Model(task=LOAD, forecaster=learned, calibration=None, card=card)


def asked(whole: History, model: Model | None, **request: Any) -> LoadAnswer:
    said = predict([(LOAD, LoadRequest(service="donations", **request))], whole, {LOAD.name: model} if model else {})[0]
    assert isinstance(said, Prediction), said
    assert isinstance(said.answer, LoadAnswer)
    return said.answer


# ---------------------------------------------------------------- train and predict


@pytest.mark.row("T6")
def test_train_says_what_it_did(forecaster: HybridForecaster) -> None:
    summary = forecaster.summary  # type: ignore[attr-defined]
    assert summary["trained"] is True
    assert summary["forecast_horizon_hours"] == 4
    assert summary["trigger_rules"] == 3
    assert summary["days_of_data"] == 97  # from 21 December, 15 weeks before 5 April, to 28 March


@pytest.mark.row("T6")
@pytest.mark.parametrize(
    ("clock", "trigger"),
    [((2024, 3, 27, 17, 0), "iftar_approaching"), ((2024, 3, 27, 20, 30), "taraweeh"),
     ((2024, 3, 27, 4, 0), "suhoor_window"), ((2024, 3, 27, 12, 0), None), ((2024, 2, 27, 17, 0), None)],
)  # fmt: skip
def test_predict_gives_four_hours_confidence_trigger_and_method(
    forecaster: HybridForecaster, clock: tuple[int, ...], trigger: str | None
) -> None:
    said = forecaster.predict(current_timestamp=local(RIYADH, *clock), current_traffic=150.0)
    assert set(said) == {"predictions", "confidence", "trigger", "model_used"}
    assert len(said["predictions"]) == 4
    assert all(isinstance(number, float) and number > 0 for number in said["predictions"])
    assert 0 < said["confidence"] <= 1
    assert said["trigger"] == trigger
    assert said["model_used"] == "pattern_learner"


@pytest.mark.row("T6")
def test_the_four_hours_are_those_after_the_current_one(forecaster: HybridForecaster, world: History) -> None:
    """Right hour by hour: forecasts of the days after training meet what happened, four hours ahead."""
    told = dict(world["metrics"].select("time", "value").iter_rows())
    error: list[float] = []
    shifted: list[float] = []
    for k in range(0, 48, 3):
        now = NOW - 3 * DAY + HOUR * k
        said = forecaster.predict(now, told[now])["predictions"]
        actual = [told[now + HOUR * j] for j in range(7)]
        error += [abs(a - b) / b for a, b in zip(said, actual[1:5], strict=True)]
        shifted += [abs(a - b) / b for a, b in zip(said, actual[0:4], strict=True)]
    assert np.mean(error) < 0.12
    assert np.mean(error) < 0.5 * np.mean(shifted), "they are not the hours from the current one on"


@pytest.mark.row("T6")
def test_predict_looks_at_the_traffic_it_is_told_and_at_nothing_later(forecaster: HybridForecaster) -> None:
    now = NOW - 5 * DAY + 10 * HOUR
    usual = forecaster.predict(now, 200.0)
    spoilt = copy.copy(forecaster)
    assert forecaster.rows is not None
    spoilt.rows = forecaster.rows.with_columns(value=pl.when(pl.col("time") >= now).then(1e7).otherwise("value"))
    assert spoilt.predict(now, 200.0) == usual


@pytest.mark.row("T6")
def test_where_load_persists_more_traffic_now_means_more_later() -> None:
    random, level = np.random.default_rng(5), 100.0
    values = []
    for k in range(24 * 60):
        level *= float(random.lognormal(0, 0.1))
        level = 100 * (level / 100) ** 0.98
        values.append(level * (1.5 if k % 24 > 12 else 1.0))
    times = [utc(2024, 5, 1) + HOUR * k for k in range(len(values))]
    made = HybridForecaster()
    made.train(pl.DataFrame({"time": times, "value": values}))
    usual, higher = (made.predict(times[-1], values[-1] * times_) for times_ in (1.0, 1.6))
    assert sum(higher["predictions"]) > 1.2 * sum(usual["predictions"])


@pytest.mark.row("T6")
def test_the_forecaster_and_the_race_s_candidate_say_the_same(
    forecaster: HybridForecaster, model: Model, world: History, frame: Frame
) -> None:
    last = frame["time"].max()
    assert isinstance(last, datetime)
    value = frame.filter(pl.col("time") == last)["value"][0]
    alone = forecaster.predict(last, value)
    served = asked(world.cut(NOW), model)
    assert [hour.start for hour in served.hours] == [NOW + HOUR * k for k in range(4)]
    assert alone["predictions"] == pytest.approx([hour.expected for hour in served.hours], rel=0.1)
    assert alone["model_used"] == served.method == "pattern_learner"
    assert alone["confidence"] == pytest.approx(served.confidence, abs=0.05)


@pytest.mark.row("T6")
def test_pandas_and_local_times_are_welcome(forecaster: HybridForecaster, frame: Frame) -> None:
    index = pd.DatetimeIndex(frame["time"].dt.convert_time_zone(RIYADH).dt.replace_time_zone(None).to_list())
    plain: Any = pd.DataFrame({"value": frame["value"].to_list()}, index=index)
    engineer = FeatureEngineer(RIYADH)  # the documents' service adds features first
    plain = engineer.add_ramadan_features(engineer.add_time_features(plain), year=2024)
    again = HybridForecaster(RIYADH)
    assert again.train(plain)["days_of_data"] == 97
    now = datetime(2024, 3, 27, 17)  # noqa: DTZ001
    told = forecaster.predict(local(RIYADH, 2024, 3, 27, 17), 150.0)
    for stamp in (now, pd.Timestamp(now), pd.Timestamp(now, tz=RIYADH)):
        assert again.predict(current_timestamp=stamp, current_traffic=np.float64(150.0)) == told


def test_saved_and_loaded_it_says_the_same(model: Model, world: History, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = Model.load(LOAD, tmp_path)
    past = world.cut(NOW)
    questions = pl.DataFrame([(DONATIONS, NOW, NOW + HOUR * k) for k in range(24)], schema=QUESTION, orient="row")
    study = LOAD.study(past, questions)
    assert_frame_equal(again.forecast(study).rows, model.forecast(study).rows, check_exact=True)


def test_before_training_there_is_no_answer() -> None:
    with pytest.raises(NotReady, match="train"):
        HybridForecaster().predict(utc(2024, 3, 1), 1.0)


def rising(days: float) -> Frame:
    times = [utc(2024, 1, 1) + HOUR * k for k in range(int(24 * days))]
    return pl.DataFrame({"time": times, "value": [100.0 + 50 * (k % 24 > 12) for k in range(len(times))]})


@pytest.mark.parametrize("days", [0, 1, 10, 13])
def test_less_than_two_weeks_are_refused(days: int) -> None:
    frame = rising(days).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    with pytest.raises(NotReady, match="14 days"):
        HybridForecaster().train(frame)


def test_two_whole_weeks_are_two_weeks() -> None:
    """336 hours are 14 days, though the first and the last of their stamps are 13 days 23 hours apart."""
    made = HybridForecaster()
    assert made.train(rising(14))["days_of_data"] == 14
    assert made.predict(utc(2024, 1, 14, 23), 150.0)["predictions"] == pytest.approx([100.0] * 4, rel=0.25)


def test_a_frame_without_values_is_refused_with_its_columns() -> None:
    with pytest.raises(InvalidRequest, match="load"):
        HybridForecaster().train(rising(20).rename({"value": "load"}))


# ---------------------------------------------------------------- the task


@pytest.mark.row("T6")
def test_the_next_four_hours_with_band_confidence_trigger_and_method(model: Model, world: History) -> None:
    now = local(RIYADH, 2024, 3, 27, 17)
    workload = WorkloadConfig(current_replicas=10, capacity_per_pod=50.0, cost_per_replica_hour=0.05)
    said = asked(world.cut(now), model, workload=workload)
    assert [hour.start for hour in said.hours] == [now + HOUR * k for k in range(4)]
    assert all(0 <= hour.low <= hour.expected <= hour.high for hour in said.hours)
    assert said.trigger == "iftar_approaching"
    assert said.method == "pattern_learner"
    assert 0.5 < said.confidence <= 1
    told = dict(world["metrics"].select("time", "value").iter_rows())
    assert said.current == told[now - HOUR]
    assert said.scaling is not None
    peak = max(hour.expected for hour in said.hours)
    assert said.scaling.recommended_replicas == min(50, int(np.ceil(np.ceil(peak / 50) * 3)))


@pytest.mark.row("T6")
def test_asked_in_the_middle_of_an_hour_it_means_the_next_whole_ones(model: Model, world: History) -> None:
    now = local(RIYADH, 2024, 3, 27, 17, 25)
    said = asked(world.cut(now), model)
    assert [hour.start for hour in said.hours] == [local(RIYADH, 2024, 3, 27, 18) + HOUR * k for k in range(4)]
    sharp = asked(world.cut(local(RIYADH, 2024, 3, 27, 17)), model, hours=5)
    for late, early in zip(said.hours, sharp.hours[1:], strict=True):
        assert late.expected == pytest.approx(early.expected, rel=0.15), "what is known is the same"


@pytest.mark.row("T6")
def test_a_whole_day_can_be_asked_for(model: Model, world: History) -> None:
    said = asked(world.cut(NOW), model, hours=24)
    told = dict(world["metrics"].select("time", "value").iter_rows())
    assert len(said.hours) == 24
    actual = np.array([told[hour.start] for hour in said.hours])
    expected = np.array([hour.expected for hour in said.hours])
    assert np.abs(expected - actual).mean() < 0.2 * actual.mean()


@pytest.mark.row("T6")
@pytest.mark.parametrize("days", [7, 2, 1])
def test_a_week_or_a_day_of_context_degrades_and_does_not_crash(model: Model, world: History, days: int) -> None:
    past, told = world.cut(NOW), dict(world["metrics"].select("time", "value").iter_rows())
    recent = History(past.standpoint, {"metrics": past["metrics"].filter(pl.col("known_at") > NOW - DAY * days)})
    said, full = asked(recent, model), asked(past, model)
    assert len(said.hours) == 4
    assert said.confidence < full.confidence
    assert said.method == ("pattern_learner" if days == 7 else "seasonal_baseline")
    for hour in said.hours:
        assert told[hour.start] / 3 < hour.expected < told[hour.start] * 3
        assert hour.low <= hour.expected <= hour.high


@pytest.mark.row("T6")
@pytest.mark.parametrize("silent", [5, 30, 24 * 7, 24 * 20])
def test_after_days_of_silence_it_is_unsure_but_not_absurd(model: Model, world: History, silent: int) -> None:
    """The site went silent: an answer of the right size and little confidence, or none at all."""
    past = world.cut(NOW)
    old = History(past.standpoint, {"metrics": past["metrics"].filter(pl.col("known_at") <= NOW - HOUR * silent)})
    said = predict([(LOAD, LoadRequest(service="donations"))], old, {LOAD.name: model})[0]
    if isinstance(said, NotReady):
        return
    assert isinstance(said, Prediction), said
    assert isinstance(said.answer, LoadAnswer)
    assert said.answer.confidence < asked(past, model).confidence
    assert said.answer.factors["freshness"] == pytest.approx(max(0, 1 - silent / 24), abs=0.001)
    for hour in said.answer.hours:
        assert 30 < hour.expected < 3000, "the site's load lies between 60 and 900"


@pytest.mark.row("T3", "T6")
def test_a_model_falls_back_to_the_seasonal_baseline_and_says_so(model: Model, world: History) -> None:
    past = world.cut(NOW)
    recent = History(past.standpoint, {"metrics": past["metrics"].filter(pl.col("known_at") > NOW - 30 * HOUR)})
    questions = pl.DataFrame([(DONATIONS, NOW, NOW + HOUR * k) for k in range(4)], schema=QUESTION, orient="row")
    study = LOAD.study(recent, questions)
    assert isinstance(model.forecaster, HybridForecaster)
    said = model.forecaster.forecast(study)
    assert said.evidence["method"].to_list() == ["seasonal_baseline"] * 4
    told = model.forecaster.baseline.forecast(study).rows
    assert_frame_equal(said.rows.select(told.columns), told)


def test_without_a_model_last_week_answers_and_says_why(world: History) -> None:
    past = world.cut(NOW)
    said = predict([(LOAD, LoadRequest(service="donations"))], past, {})[0]
    assert isinstance(said, Prediction)
    assert said.method == "weekly_naive"
    assert said.fallback is not None
    told = dict(past["metrics"].select("time", "value").iter_rows())
    assert [h.expected for h in said.answer.hours] == [told[NOW + HOUR * k - 7 * DAY] for k in range(4)]  # type: ignore[attr-defined]


def test_hours_in_a_zone_half_an_hour_off_begin_on_its_clock(model: Model, world: History) -> None:
    """A site in India: questions and answers start at half past, UTC."""
    past = world.cut(NOW)
    moved = past["metrics"].with_columns(pl.col("time", "known_at") + timedelta(minutes=30))
    standpoint = replace(past.standpoint, zone="Asia/Kolkata", now=NOW + 40 * MINUTE)
    there = History(standpoint, {"metrics": moved})
    said = asked(there, model)
    assert [hour.start for hour in said.hours] == [NOW + 90 * MINUTE + HOUR * k for k in range(4)]
