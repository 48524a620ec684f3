"""A backtest stands in the past and sees nothing after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.toys import DAY, HOUR, START, ask, plain, world
from tests.toys.plain import Told

from foretell import Block, Chance, Choice, Cost, Forecast, Frame, History, Quantity, Read, Rolling, Study
from foretell.engine.backtest import backtest
from foretell.engine.collect import narrowed
from foretell.errors import BrokenDomain, NotReady


def newest(frame: Frame, column: str = "known_at") -> datetime:
    moment = frame[column].max()
    assert isinstance(moment, datetime)
    return moment


@pytest.mark.parametrize("late", [HOUR, 3 * DAY])
def test_a_fold_does_not_see_the_future(late: timedelta) -> None:
    seen: list[tuple[str, Study, Frame | None]] = []
    history = plain.history(late=late)
    tested = backtest(plain.task({"zero": Told, "spy": lambda: Told(seen=seen)}), history)
    end = START + 10 * DAY - late + timedelta(microseconds=1)  # just after the newest question that can be asked
    edges = [end - 2 * DAY * k for k in (3, 2, 1, 0)]
    edges = edges if late == HOUR else edges[1:]  # of values that come three days late the first fold knows none
    assert tested.folds == tuple(pairwise(edges))
    assert len(seen) == 2 * len(tested.folds)
    for k, (start, end) in enumerate(tested.folds):
        (what, learn, outcomes), (asks, study, _) = seen[2 * k : 2 * k + 2]
        assert (what, asks) == ("fit", "forecast")
        assert outcomes is not None
        assert learn.history.now == start
        assert newest(learn.history["values"]) <= start
        assert newest(outcomes) <= start
        assert newest(outcomes) > start - 2 * HOUR  # and nothing known by then is held back
        assert learn.questions.height == len(learn.features) == outcomes.height
        assert newest(learn.questions, "as_of") < start
        assert study.history.now <= end
        assert newest(study.history["values"]) <= end
        assert study.questions["as_of"].is_between(start, end, closed="left").all()
        assert study.features["hour"].tolist() == [at.hour for at in study.questions["at"]]
        assert learn.features["hour"].tolist() == [at.hour for at in learn.questions["at"]]


@pytest.mark.parametrize("count", [1, 4])
def test_features_are_computed_once_a_fold_however_many_compete(count: int) -> None:
    asked: list[int] = []

    def features(history: History, questions: Frame) -> Frame:
        asked.append(questions.height)
        return questions.select(one=pl.repeat(1, pl.len()))

    backtest(plain.task({f"c{k}": Told for k in range(count)}, features=features), plain.history())
    assert len(asked) == 3


def test_every_keeps_the_questions_at_whole_multiples() -> None:
    rolling = Rolling(folds=2, span=2 * DAY, every=6 * HOUR)
    asked = backtest(plain.TASK, plain.history(), rolling=rolling).asked
    assert set(asked["as_of"].dt.hour()) == {0, 6, 12, 18}
    assert asked.height == 2 * 2 * 2 * 4
    assert asked["fold"].unique().sort().to_list() == [0, 1]


def test_what_was_said_stands_beside_what_was_asked() -> None:
    """Rows, outcomes and questions keep one order, also where questions arrive unsorted and some are open."""
    history = plain.history(late=30 * HOUR)

    def mark(study: Study) -> pl.Series:
        return study.questions.select(pl.col("at").dt.epoch("s") + (pl.col("entity") == "b").cast(pl.Int64)).to_series()

    shuffled = plain.task(
        {"mark": lambda: Told(mark)},
        questions=lambda h: plain.TASK.questions(h).sample(fraction=1, shuffle=True, seed=3),
    )
    tested = backtest(shuffled, history)
    wanted = tested.asked.select(pl.col("at").dt.epoch("s") + (pl.col("entity") == "b").cast(pl.Int64)).to_series()
    assert tested.raw["mark"]["point"].cast(pl.Int64).to_list() == wanted.to_list()
    true = history["values"].rename({"time": "at"}).select("entity", "at", truth="value")
    assert tested.asked.join(true, on=["entity", "at"], maintain_order="left")["truth"].equals(
        tested.asked["value"].alias("truth")
    )
    assert newest(tested.asked) <= history.now


def test_the_calibration_of_a_day_knows_only_that_day() -> None:
    """Doubling every outcome known after day 7 changes nothing that was said on day 7 or before."""
    history = plain.history(12)
    day = START + 7 * DAY
    bent = history["values"].with_columns(
        value=pl.when(pl.col("known_at") > day).then(pl.col("value") * 2).otherwise("value")
    )
    task = plain.task(rolling=Rolling(folds=4, span=2 * DAY))
    one, two = backtest(task, history), backtest(task, world(history.now, values=bent))
    before = one.asked["as_of"] < day + DAY
    early = [tested.forecasts["zero"].filter(before) for tested in (one, two)]
    late = [tested.forecasts["zero"].filter(~before) for tested in (one, two)]
    assert_frame_equal(*early, check_exact=True)
    assert not late[0].equals(late[1])
    last = one.forecasts["zero"].tail(24)  # raw: 0 ± 1 for values about 10; calibrated, it holds
    assert last["q50"].mean() == pytest.approx(10, abs=0.5)
    scores = one.scores(one.asked["as_of"] >= START + 6 * DAY)["zero"]
    assert 0.7 < (scores["coverage"] or 0) < 0.9
    assert one.raw["zero"]["point"].to_list() == [0.0] * one.asked.height


def test_scores_can_be_asked_of_some_questions() -> None:
    tested = backtest(plain.TASK, plain.history())
    only_a = tested.asked["entity"] == "a"
    value = tested.asked.filter(only_a)["value"]
    said = tested.forecasts["zero"].filter(only_a)["point"]
    assert tested.scores(only_a)["zero"]["mae"] == pytest.approx(float((value - said).abs().to_numpy().mean()))
    assert tested.scores()["zero"]["mase"] == 1


# ---------------------------------------------------------------- silence


def silent_about(entity: str, otherwise: float = 0.0) -> Any:
    def point(study: Study) -> pl.Series:
        return study.questions.select(pl.when(pl.col("entity") != entity).then(pl.lit(otherwise))).to_series()

    return lambda: Told(point)


def test_questions_the_baseline_cannot_answer_are_left_out_for_all() -> None:
    tested = backtest(plain.task({"base": silent_about("b"), "other": Told}), plain.history())
    assert set(tested.asked["entity"]) == {"a"}
    assert {rows.height for rows in [*tested.raw.values(), *tested.forecasts.values()]} == {tested.asked.height}
    assert set(tested.scores()) == {"base", "other"}


@pytest.mark.parametrize("target", [Quantity(unit="m"), Chance(event="it")])
def test_a_candidate_that_is_silent_is_out_and_named(target: Any) -> None:
    history = plain.history()
    zero_or_one = history["values"].with_columns(value=(pl.col("value") > 10).cast(pl.Int64))
    world_ = world(history.now, values=zero_or_one)
    task = plain.task(
        {"base": lambda: Told(0.5), "mute": silent_about("b", 0.5), "fine": lambda: Told(0.4)}, target=target
    )
    tested = backtest(task, world_)
    assert set(tested.forecasts) == {"base", "fine"}
    assert tested.skipped == {
        "mute": f"gave no forecast for {tested.asked.height // 2} of {tested.asked.height} questions"
    }


def test_questions_a_baseline_of_chances_cannot_answer_are_left_out_too() -> None:
    history = plain.history()
    zero_or_one = history["values"].with_columns(value=(pl.col("value") > 10).cast(pl.Int64))
    task = plain.task({"base": silent_about("b", 0.5)}, target=Chance(event="it"))
    assert set(backtest(task, world(history.now, values=zero_or_one)).asked["entity"]) == {"a"}


def test_a_baseline_without_any_answer_is_not_ready() -> None:
    def mute(study: Study) -> pl.Series:
        return pl.repeat(None, study.questions.height, dtype=pl.Float64, eager=True)

    with pytest.raises(NotReady):
        backtest(plain.task({"mute": lambda: Told(mute), "other": Told}), plain.history()).scores()


@pytest.mark.parametrize("days", [0, 1])
def test_without_settled_outcomes_nothing_can_be_tested(days: int) -> None:
    with pytest.raises(NotReady, match=r"times \d+ days.* have \d+ past questions and no outcome; bring more"):
        backtest(plain.TASK, plain.history(4, late=timedelta(days=30)) if days else plain.history(1).cut(START))


# ---------------------------------------------------------------- the contract


def broken(**changes: Any) -> Any:
    class Broken(Told):
        def forecast(self, study: Study) -> Forecast:
            return replace(super().forecast(study), **{k: change(study) for k, change in changes.items()})

    return plain.task({"zero": Told, "bad": Broken})


@pytest.mark.parametrize(
    "task",
    [
        broken(rows=lambda study: pl.DataFrame({"point": [1.0], "q10": [1.0], "q50": [1.0], "q90": [1.0]})),
        broken(rows=lambda study: study.questions.select(point=pl.repeat(1.0, pl.len()))),
        broken(draws=lambda study: np.zeros((study.questions.height + 1, 5))),
        broken(evidence=lambda study: pl.DataFrame({"why": ["one"]})),
    ],
    ids=["rows", "columns", "draws", "evidence"],
)
def test_a_forecast_that_breaks_the_contract_is_refused_by_name(task: Any) -> None:
    with pytest.raises(BrokenDomain, match=r"plain.*bad"):
        backtest(task, plain.history())


def test_features_must_have_one_row_a_question() -> None:
    def features(history: History, questions: Frame) -> Frame:
        return questions.filter(pl.col("entity") == "a").select(hour=pl.col("at").dt.hour())

    with pytest.raises(BrokenDomain, match="plain"):
        backtest(plain.task(features=features), plain.history())


def test_outcomes_must_have_one_row_a_question() -> None:
    def outcomes(history: History, questions: Frame) -> Frame:
        return plain.outcomes(history, questions).head(3)

    with pytest.raises(BrokenDomain, match="plain"):
        backtest(plain.task(outcomes=outcomes), plain.history())


def test_a_study_by_moment_covers_each_question_once_with_what_was_known() -> None:
    history = plain.history(3)
    moments = [START + HOUR * h for h in (30, 20, 30, 10)]
    questions = ask(list("abab"), moments, moments)
    study = Study(history=history, questions=questions, features=Block.of(pl.DataFrame({"place": range(4)})))
    places: list[int] = []
    for place, part in study.by_as_of():
        places += place.tolist()
        assert part.features["place"].tolist() == place.tolist()
        assert part.questions["as_of"].unique().to_list() == [part.history.now]
        assert newest(part.history["values"]) == part.history.now
    assert sorted(places) == [0, 1, 2, 3]
    bare = Study(
        history=history, questions=questions, features=plain.task(features=None).study(history, questions).features
    )
    assert sum(len(place) for place, _ in bare.by_as_of()) == 4


@given(st.integers(0, 240), st.integers(0, 240))
@settings(max_examples=25)
def test_cutting_twice_is_cutting_at_the_earlier_moment(one: int, two: int) -> None:
    history = plain.history(8)
    twice = history.cut(START + HOUR * one).cut(START + HOUR * two)
    once = history.cut(START + HOUR * min(one, two))
    assert twice.now == once.now <= history.now
    assert_frame_equal(twice["values"], once["values"])


def test_only_what_a_task_reads_is_seen() -> None:
    history = plain.history(5)
    questions = ask(["a"], [START + 4 * DAY], [START + 4 * DAY])
    narrow = narrowed(history, [Read(table="values", window=DAY)], questions)
    assert set(narrow["values"]["entity"]) == {"a"}
    assert narrow["values"]["known_at"].min() > START + 3 * DAY  # type: ignore[operator]
    wide = narrowed(
        history, [Read(table="values", window=DAY, by="all"), Read(table="values", window=2 * DAY)], questions
    )
    assert set(wide["values"]["entity"]) == {"a", "b"}
    assert wide["values"].is_duplicated().sum() == 0


# ---------------------------------------------------------------- the budget of a race


def test_a_budget_skips_what_would_overrun_it_and_says_so() -> None:
    def priced(fit: float) -> Any:
        return lambda: Told(cost=Cost(fit=fit))

    # three folds learn from 190 + 286 + 382 questions, the last fit is paid twice: 1,240 s, then 62, 6 and 7
    task = plain.task({"base": priced(1000), "dear": priced(50), "cheap": priced(5), "late": priced(6)})
    tested = backtest(task, plain.history(), budget=1_305)
    assert list(tested.raw) == ["base", "dear"]
    assert set(tested.skipped) == {"cheap", "late"}
    for words in tested.skipped.values():
        assert "would cost about" in words
        assert "of the budget were left" in words
    assert set(backtest(task, plain.history(), budget=0).raw) == {"base"}
    assert set(backtest(task, plain.history(), budget=1e9).raw) == {"base", "dear", "cheap", "late"}
    own = replace(task, budget=0.0)
    assert set(backtest(own, plain.history()).raw) == {"base"}


def test_progress_is_told_before_each_fit() -> None:
    told: list[tuple[str, int, int]] = []
    backtest(plain.task({"one": Told, "two": Told}), plain.history(), progress=lambda *step: told.append(step))
    assert told == [("one" if k < 3 else "two", k, 6) for k in range(6)]


def test_classes_of_a_later_fold_have_no_chance_in_an_earlier_one() -> None:
    history = plain.history(10)
    first = START + 6 * DAY
    words = history["values"].with_columns(
        value=pl.when(pl.col("time") < first).then(pl.lit("old")).otherwise(pl.lit("new"))
    )

    class Shares(Told):
        def fit(self, study: Study, outcomes: Frame) -> Shares:
            self.classes = sorted(set(outcomes["value"]))
            return self

        def forecast(self, study: Study) -> Forecast:
            share = 1 / len(self.classes)
            rows = {f"p:{name}": pl.repeat(share, study.questions.height, eager=True) for name in self.classes}
            return Forecast(rows=pl.DataFrame(rows))

    tested = backtest(plain.task({"shares": Shares}, target=Choice(of="age")), world(history.now, values=words))
    by_fold = tested.raw["shares"].with_columns(tested.asked["fold"]).group_by("fold").mean().sort("fold")
    assert by_fold["p:new"].to_list() == [0.0, 0.0, 0.5]
    assert by_fold["p:old"].to_list() == [1.0, 1.0, 0.5]
