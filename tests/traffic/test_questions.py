"""Point in time: what a question may see, when its outcome is known, and that serving sees what training saw."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.traffic import DAY, ENTITY, HOUR, MINUTE, clock_hour, history, local, metrics, utc

from foretell import Frame, History
from foretell.contract import QUESTION
from foretell.domains.traffic import LOAD, features, schema
from foretell.domains.traffic.engineer import FeatureEngineer
from foretell.domains.traffic.models import weekly_naive
from foretell.engine.collect import narrowed
from foretell.engine.outcomes import join

ZONES = ["UTC", "Asia/Riyadh", "Asia/Kolkata", "Europe/Berlin"]


def world(zone: str, seed: int, days: int = 45) -> Frame:
    """Half-hourly rows of two services before and in Ramadan 2024, with holes and rows that come late."""
    random = np.random.default_rng(seed)
    first = local(zone, 2024, 2, 15)
    out = []
    for service, level in (("api", 100.0), ("web", 900.0)):
        rows = []
        for k in range(days * 48):
            if random.random() < 0.08 or 300 <= k < 360:
                continue
            start = first + 30 * MINUTE * k
            late = MINUTE * int(random.integers(0, 30)) if random.random() < 0.1 else timedelta(0)
            rows.append((start, float(level * random.lognormal()), start + 30 * MINUTE + late))
        out.append(metrics(rows, service=service))
    return pl.concat(out)


def asked(*triples: tuple[str, datetime, datetime]) -> Frame:
    return pl.DataFrame(list(triples), schema=QUESTION, orient="row")


def made(history: History, questions: Frame) -> Frame:
    return features.features(history, questions).frame()


def by_hand(frame: Frame, entity: str, zone: str) -> dict[datetime, float]:
    """Each hour's mean over the rows that became known in it (an interval's end belongs to the hour it closes)."""
    seen: dict[datetime, list[float]] = {}
    for time, value, known in frame.filter(pl.col("entity") == entity).select("time", "value", "known_at").iter_rows():
        moment = max(time, known - timedelta(microseconds=1))
        seen.setdefault(clock_hour(moment, zone), []).append(value)
    return {hour: sum(values) / len(values) for hour, values in seen.items()}


@pytest.mark.row("T2")
@pytest.mark.parametrize("zone", ZONES)
def test_the_first_step_s_nineteen_are_the_engineer_s_row_at_that_hour(zone: str) -> None:
    frame = world(zone, 1).filter(pl.col("entity") == "api/requests_per_minute")
    first = local(zone, 2024, 2, 15)
    whole = history(frame, first + 45 * DAY, zone)
    told = pl.DataFrame(
        list(by_hand(frame, "api/requests_per_minute", zone).items()),
        schema={"time": pl.Datetime("us", "UTC"), "value": pl.Float64}, orient="row",
    ).sort("time")  # fmt: skip
    engineer = FeatureEngineer(zone)
    for add in (
        engineer.add_time_features, engineer.add_ramadan_features, engineer.add_rolling_features,
        engineer.add_lag_features, engineer.add_prayer_features,
    ):  # fmt: skip
        told = add(told)
    moments = told.filter(pl.col("time") >= first + 10 * DAY)["time"].to_list()
    questions = asked(*(("api/requests_per_minute", moment, moment) for moment in moments))
    said = made(whole, questions)
    for name in schema.NINETEEN:
        wanted = told.filter(pl.col("time") >= first + 10 * DAY)[name].cast(pl.Float64).fill_null(math.nan)
        np.testing.assert_allclose(said[name].to_numpy(), wanted.to_numpy(), rtol=1e-9, atol=1e-6, err_msg=name)
    assert (said["step"] == 1).all()


@pytest.mark.row("T2")
@settings(max_examples=25)
@given(minute=st.integers(12 * 24 * 60, 44 * 24 * 60), zone=st.sampled_from(ZONES), hours=st.integers(0, 23))
def test_a_question_sees_nothing_that_became_known_later(minute: int, zone: str, hours: int) -> None:
    frame, first = world(zone, 2), local(zone, 2024, 2, 15)
    as_of = first + MINUTE * minute
    at = clock_hour(as_of - timedelta(microseconds=1), zone) + HOUR * (1 + hours)
    questions = asked(("api/requests_per_minute", as_of, at), ("web/requests_per_minute", as_of, at))
    whole = history(frame, first + 45 * DAY, zone)
    then = whole.cut(as_of)
    assert_frame_equal(made(whole, questions), made(then, questions), check_exact=True)
    served = narrowed(then, features.READS, questions)
    assert_frame_equal(made(whole, questions), made(served, questions), check_exact=True)


def test_what_is_measured_in_the_running_hour_changes_nothing() -> None:
    zone, frame = "Asia/Kolkata", world("Asia/Kolkata", 3)
    as_of = local(zone, 2024, 3, 20, 14, 40)
    question = asked(("api/requests_per_minute", as_of, local(zone, 2024, 3, 20, 15)))
    running = metrics([(local(zone, 2024, 3, 20, 14, k), 1e9) for k in range(40)], service="api", lasting=0 * HOUR)
    before = made(history(frame, as_of, zone), question)
    after = made(history(pl.concat([frame, running]), as_of, zone), question)
    assert_frame_equal(before, after)
    assert before["step"].to_list() == [2]
    lag = made(history(frame, as_of, zone), question)["lag_1h"][0]
    told = by_hand(frame, "api/requests_per_minute", zone).get(local(zone, 2024, 3, 20, 13))
    assert lag == pytest.approx(told)


def test_a_late_row_belongs_to_the_hour_in_which_it_became_known() -> None:
    start = utc(2024, 3, 1, 10)
    prompt, late = (start, 10.0, start + HOUR), (start + 50 * MINUTE, 99.0, start + HOUR + 10 * MINUTE)
    grid = features.hours(history(metrics([prompt, late]), utc(2024, 3, 2))).frame().drop_nulls()
    assert grid.select("time", "value").rows() == [(start, 10.0), (start + HOUR, 99.0)]
    known = history(metrics([prompt, late]), start + HOUR)
    assert features.hours(known).frame().drop_nulls()["value"].to_list() == [10.0]


@pytest.mark.parametrize("zone", ZONES)
def test_an_outcome_is_open_until_a_quarter_past_then_settled_or_void(zone: str) -> None:
    at, gap = local(zone, 2024, 3, 12, 9), local(zone, 2024, 3, 12, 10)
    rows = metrics([(at + 10 * MINUTE * k, 10.0 * k) for k in range(6)], lasting=10 * MINUTE)
    rows = pl.concat([rows, metrics([(at - 2 * DAY, 1.0), (gap + HOUR, 7.0)])])
    questions = asked((ENTITY, at - HOUR, at), (ENTITY, at - HOUR, gap))
    closing = at + HOUR + 15 * MINUTE
    early = join(LOAD, history(rows, closing - timedelta(seconds=1), zone), questions)
    assert early["state"].to_list() == ["open", "open"]
    assert early["value"].to_list() == [None, None]
    settled = join(LOAD, history(rows, closing, zone), questions)
    assert settled["state"].to_list() == ["settled", "open"]
    assert settled["value"][0] == pytest.approx(25.0)
    assert settled["known_at"][0] == closing
    later = join(LOAD, history(rows, closing + 5 * HOUR, zone), questions)
    assert later["state"].to_list() == ["settled", "void"]
    assert later["value"].to_list() == settled["value"].to_list()
    assert later["known_at"].to_list() == [closing, closing + HOUR]


def test_an_outcome_never_changes_once_it_is_settled() -> None:
    frame, zone = world("UTC", 4), "UTC"
    first = local(zone, 2024, 2, 15)
    at = [first + 20 * DAY + HOUR * k for k in range(48)]
    questions = asked(*(("web/requests_per_minute", first + 20 * DAY, hour) for hour in at))
    told = by_hand(frame, "web/requests_per_minute", zone)
    seen: dict[datetime, float | None] = {}
    for k in range(60):
        now = first + 20 * DAY + HOUR * k + 20 * MINUTE
        said = join(LOAD, history(frame, now, zone), questions)
        for hour, value, state in said.select("at", "value", "state").iter_rows():
            assert (state == "open") == (now < hour + HOUR + 15 * MINUTE)
            if state != "open":
                assert seen.setdefault(hour, value) == value
    for hour, value in seen.items():
        assert value == (None if hour not in told else pytest.approx(told[hour]))


@pytest.mark.parametrize("zone", ZONES)
def test_questions_stand_at_every_hour_after_a_week_and_ask_for_the_day(zone: str) -> None:
    frame, first = world(zone, 5, days=12), local(zone, 2024, 2, 15)
    whole = history(frame, first + 12 * DAY, zone)
    questions = features.questions(whole)
    assert questions.columns == ["entity", "as_of", "at"]
    assert set(questions["entity"]) == {"api/requests_per_minute", "web/requests_per_minute"}
    step = (questions["at"] - questions["as_of"]) / HOUR + 1
    one = questions.with_columns(step=step).filter(pl.col("entity") == "api/requests_per_minute")
    for (as_of,), group in one.partition_by("as_of", as_dict=True).items():
        assert isinstance(as_of, datetime)
        there = as_of.astimezone(ZoneInfo(zone))
        assert (there.minute, there.second) == (0, 0)
        steps = group["step"].to_list()
        assert steps[:5] == [1, 2, 3, 4, 5]
        assert 6 <= steps[5] <= 25
        assert len(steps) == 6
    standing = one["as_of"].unique().sort()
    assert standing[0] >= first + 7 * DAY + HOUR
    assert standing[-1] <= whole.now
    assert (standing.diff().drop_nulls() == HOUR).all()
    a_day = one.filter(pl.col("as_of") > standing[-24] - HOUR)["step"].unique()
    assert set(a_day) == set(range(1, 26)), "a day of standpoints covers the far steps"
    said = made(whole, questions)
    assert said.height == questions.height
    assert_frame_equal(said["step"].to_frame(), step.alias("step").to_frame())


def test_nothing_known_asks_nothing() -> None:
    none = history(world("UTC", 6).clear(), utc(2024, 3, 1))
    assert features.questions(none).height == 0
    assert features.outcomes(none, asked((ENTITY, utc(2024, 2, 1), utc(2024, 2, 1))))["value"].to_list() == [None]
    one = made(none, asked((ENTITY, utc(2024, 2, 1), utc(2024, 2, 1))))
    assert math.isnan(one["lag_1h"][0])
    assert one["hour"].to_list() == [0.0]


def test_an_unknown_entity_has_a_calendar_but_no_past() -> None:
    whole: History = history(world("UTC", 7, days=10), utc(2024, 3, 1))
    said = made(whole, asked(("nobody/requests_per_minute", utc(2024, 2, 20), utc(2024, 2, 20, 3))))
    assert math.isnan(said["lag_24h"][0])
    assert math.isnan(said["rolling_mean_24h"][0])
    assert said["hour"].to_list() == [3.0]


@pytest.mark.parametrize("ahead", range(1, 26))
def test_lags_of_far_steps_count_from_the_hour_asked_about(ahead: int) -> None:
    """A lag that is not complete at `as_of` is missing, never the newest instead."""
    frame, zone = world("UTC", 8), "UTC"
    told = by_hand(frame, "api/requests_per_minute", zone)
    as_of = utc(2024, 3, 20, 7)
    at = as_of + HOUR * (ahead - 1)
    later = history(frame, utc(2024, 3, 28))  # what came after must not be seen
    said = made(later, asked(("api/requests_per_minute", as_of, at)))
    day, week = at - DAY, at - 7 * DAY
    for name, hour in (("lag_24h", day), ("lag_168h", week)):
        wanted = told.get(hour, math.nan) if hour < as_of else math.nan
        assert said[name][0] == pytest.approx(wanted, nan_ok=True)
    assert said["lag_1h"][0] == pytest.approx(told.get(as_of - HOUR, math.nan), nan_ok=True)


@pytest.mark.row("T2")
def test_features_of_polar_days_and_nights() -> None:
    zone = "Arctic/Longyearbyen"
    for first in (utc(2024, 6, 10), utc(2024, 12, 10)):
        whole = history(metrics([(first + HOUR * k, 1.0 + k % 24) for k in range(240)]), first + 10 * DAY, zone)
        said = made(whole, asked(*((ENTITY, whole.now, whole.now + HOUR * k) for k in range(25))))
        assert said.height == 25
        assert said["is_ramadan"].to_list() == [0.0] * 25
        assert said["is_prayer_window"].is_in([0.0, 1.0]).all()
        assert said["lag_1h"].to_list() == [24.0] * 25


@pytest.mark.row("T2")
def test_the_days_on_which_the_clocks_change() -> None:
    """Berlin: 31 March 2024 has 23 hours, 27 October 25; lags go by elapsed hours, the clock by the wall's."""
    zone = "Europe/Berlin"
    for day, count in ((31, 23), (27, 25)):
        start = local(zone, 2024, 3 if count == 23 else 10, day)
        first = start - 9 * DAY
        whole = history(metrics([(first + HOUR * k, float(k)) for k in range(11 * 24)]), first + 11 * 24 * HOUR, zone)
        at = [start + HOUR * k for k in range(count)]
        said = made(whole, asked(*((ENTITY, hour, hour) for hour in at)))
        assert said["hour"].to_list() == [hour.astimezone(ZoneInfo(zone)).hour for hour in at]
        assert set(said["day_of_month"]) == {float(day)}
        for name, back in (("lag_1h", 1), ("lag_24h", 24), ("lag_168h", 168)):
            assert said[name].to_list() == [9.0 * 24 + k - back for k in range(count)]


@pytest.mark.parametrize(("zone", "day"), [("Europe/Athens", (2025, 10, 26)), ("America/New_York", (2025, 3, 9))])
def test_what_is_usual_goes_by_the_clocks_after_they_were_set(zone: str, day: tuple[int, int, int]) -> None:
    """A load that is the same every day by the clocks is told to the hour in the weeks after they were set."""

    def load(moment: datetime) -> float:
        return 36.0 + 400.0 * (moment.astimezone(ZoneInfo(zone)).hour == 2)

    turn = local(zone, *day) + 12 * HOUR
    first = turn - 50 * DAY
    hours = [first + HOUR * k for k in range(24 * 80)]
    frame = metrics([(hour, load(hour), hour + HOUR) for hour in hours], service="batch")
    for after in (1, 3, 10, 27):
        now = clock_hour(turn + after * DAY, zone)
        seen = history(frame.filter(pl.col("known_at") <= now), now, zone)
        questions = asked(*(("batch/requests_per_minute", now, now + HOUR * k) for k in range(24)))
        told = made(seen, questions)
        truth = [load(at) for at in questions["at"].to_list()]
        assert np.allclose(told["scale"].to_numpy(), truth), after
        study = LOAD.study(seen, questions)
        assert weekly_naive().forecast(study).rows["point"].to_list() == truth
        assert told["lag_168h"].to_list() == [load(at - 168 * HOUR) for at in questions["at"].to_list()]
