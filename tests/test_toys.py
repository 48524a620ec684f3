"""One contract carries all of it: each toy is trained, asked, saved and watched by the same engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import BaseModel
from tests.toys import (
    DAY,
    HOUR,
    START,
    About,
    Number,
    ask,
    choice,
    fleet_sum,
    late_outcomes,
    mixed_batch,
    physical,
    sequence_network,
    series_in_request,
    table_learner,
    world,
)

from foretell import Forecast, Frame, History, Sample, Task
from foretell.engine.model import Model
from foretell.engine.monitor import watch
from foretell.engine.outcomes import counts, join, settled
from foretell.engine.predict import Prediction, predict
from foretell.engine.train import Trained, train
from foretell.errors import InvalidRequest


def asked(task: Task, request: BaseModel, history: History, *models: Model) -> Prediction:
    (said,) = predict([(task, request)], history, {model.task.name: model for model in models})
    assert isinstance(said, Prediction), said
    return said


def ledger(model: Model, history: History, questions: Frame) -> Frame:
    """What a model served to these questions, as a ledger keeps it."""
    return questions.hstack(model.forecast(model.task.study(history, questions)).rows)


def later(task: Task, history: History, since: History) -> Frame:
    """The questions asked after a moment."""
    return task.questions(history).filter(pl.col("as_of") > since.now).sort("as_of", "entity", "at")


def same_after_reload(model: Model, history: History, questions: Frame, folder: Path) -> None:
    model.save(folder)
    again = Model.load(model.task, folder)
    study = model.task.study(history, questions)
    before, after = model.forecast(study), again.forecast(study)
    assert_frame_equal(before.rows, after.rows, check_exact=True)
    assert (before.draws is None) == (after.draws is None)
    if before.draws is not None and after.draws is not None:
        np.testing.assert_array_equal(before.draws, after.draws)
    assert again.card == model.card


@cache
def learned(task: Callable[[], Task], sample: Callable[[int], Sample], days: int) -> tuple[Sample, History, Trained]:
    """A sample of seed 1, its history cut at a day, and what was learned there."""
    whole = sample(1)
    then = whole.history.cut(START + DAY * days)
    return whole, then, train(task(), then)


# ---------------------------------------------------------------- 1: a table learner


def deliveries() -> tuple[Sample, History, Trained]:
    return learned(lambda_minutes, table_learner.sample, 45)


def lambda_minutes() -> Task:
    return table_learner.TASK


def test_table_learner_learns_the_law_behind_the_table() -> None:
    whole, then, trained = deliveries()
    assert trained.model.card.candidate == "trees"
    assert "averages" in trained.model.card.scores
    for request in whole.requests["minutes"]:
        said = asked(table_learner.TASK, request, then, trained.model)
        assert isinstance(request, table_learner.NewOrder)
        assert isinstance(said.answer, Number)
        truth = table_learner.true_minutes(request.distance, then.now.hour, request.weight)
        assert said.answer.value == pytest.approx(truth, rel=0.15)
        assert said.answer.low < truth < said.answer.high
        assert said.method == "trees"
        assert said.fallback is None


def test_table_learner_is_watched_with_outcomes_that_came_later(tmp_path: Path) -> None:
    whole, then, trained = deliveries()
    questions = later(table_learner.TASK, whole.history, then)
    served = ledger(trained.model, whole.history, questions)
    what_if = ledger(trained.model, whole.history, questions.head(1).with_columns(entity=pl.lit("new")))
    seen = watch(table_learner.TASK, whole.history, pl.concat([served, what_if]))
    assert (seen["settled"], seen["void"]) == (questions.height - (seen["open"] or 0) + 1, 0)
    assert (seen["open"] or 0) >= 1  # the what-if never gets an outcome
    assert seen["mae"] is not None
    assert seen["mae"] < 0.8 * (trained.model.card.scores["averages"]["mae"] or 0)
    assert 0.7 < (seen["coverage"] or 0) < 0.9
    assert watch(table_learner.TASK, then, served)["settled"] == 0  # nothing of it was known then
    same_after_reload(trained.model, whole.history, questions, tmp_path)


# ---------------------------------------------------------------- 2: a series in the request


def brought(**changes: object) -> series_in_request.Series:
    return series_in_request.Series.model_validate({"values": series_in_request.values(1), "days": 4} | changes)


def test_series_in_request_is_raced_and_what_did_not_run_is_named() -> None:
    nothing = series_in_request.sample(1).history
    said = asked(series_in_request.TASK, brought(), nothing)
    assert said.method == "theta"
    assert said.fallback is None
    assert set(said.card.scores) == {"naive", "theta"}
    assert list(said.card.skipped) == ["ets"]
    assert "budget" in said.card.skipped["ets"]
    assert isinstance(said.answer, series_in_request.Days)
    truth = series_in_request.values(1, 74)[70:]
    assert said.answer.values == pytest.approx(truth, abs=4)
    after = [(START + DAY * k, truth[k], START + DAY * (k + 1)) for k in range(4)]
    facts = pl.DataFrame(after, schema=["time", "value", "known_at"], orient="row")
    known = world(START + 3 * DAY, series=facts.with_columns(entity=pl.lit("it")))
    seen = watch(series_in_request.TASK, known, said.questions.hstack(said.forecast.rows))
    assert (seen["settled"], seen["open"]) == (3, 1)
    assert (seen["mae"] or 0) < 4


def test_series_in_request_answers_with_the_method_asked_for_even_if_another_is_better() -> None:
    nothing = series_in_request.sample(1).history
    assert asked(series_in_request.TASK, brought(method="naive"), nothing).method == "naive"
    level = [float(value) for value in np.tile([5, 1, 4, 1, 5, 9, 2], 10)]  # nothing beats the naive here
    assert asked(series_in_request.TASK, brought(values=level), nothing).method == "naive"
    assert asked(series_in_request.TASK, brought(values=level, method="theta"), nothing).method == "theta"


def test_series_in_request_may_have_ended_some_time_ago() -> None:
    nothing = series_in_request.sample(1).history
    fresh, old = (asked(series_in_request.TASK, brought(ended=days), nothing) for days in (0, 90))
    assert old.answer == fresh.answer
    assert old.method == fresh.method


# ---------------------------------------------------------------- 3: nothing to train


def test_physical_model_answers_on_the_first_day_and_says_that_it_was_not_trained() -> None:
    cup = {"entity": "first", "time": START, "hot": 90.0, "room": 20.0, "known_at": START}
    readings = physical.sample(1).history["readings"].head(0)
    day_one = world(START + HOUR / 60, cups=pl.DataFrame([cup]), readings=readings)
    said = asked(physical.TASK, About(entity="first", at=START + HOUR), day_one)
    assert isinstance(said.answer, Number)
    assert said.answer.value == pytest.approx(20 + 70 * np.exp(-1.5))
    assert said.method == "newton"
    assert (said.card.version, said.card.scores) == ("untrained", {})
    assert said.fallback == "no model of coffee has been trained yet"


def test_physical_model_serves_from_the_race_where_averages_can_not_beat_it(tmp_path: Path) -> None:
    whole = physical.sample(1)
    then = whole.history.cut(START + 15 * DAY)
    model = train(physical.TASK, then).model
    assert model.card.candidate == "newton"
    assert "baseline" in model.card.reason
    assert (model.card.scores["averages"]["mae"] or 0) > 3 * (model.card.scores["newton"]["mae"] or 0)
    questions = later(physical.TASK, whole.history, then)
    seen = watch(physical.TASK, whole.history, ledger(model, whole.history, questions))
    assert (seen["mae"] or 9) < 0.6
    assert 0.72 < (seen["coverage"] or 0) < 0.88
    same_after_reload(model, whole.history, questions, tmp_path)
    request = whole.requests["coffee"][0]
    assert asked(physical.TASK, request, whole.history, model).fallback is None


# ---------------------------------------------------------------- 4: a sequence network


def sensor() -> Task:
    return sequence_network.TASK


def test_sequence_network_beats_the_last_value(tmp_path: Path) -> None:
    whole, then, trained = learned(sensor, sequence_network.sample, 24)
    assert trained.model.card.candidate == "echo"
    questions = later(sequence_network.TASK, whole.history, then)
    seen = watch(sequence_network.TASK, whole.history, ledger(trained.model, whole.history, questions))
    assert (seen["mae"] or 9) < 0.5 * (trained.model.card.scores["yesterday"]["mae"] or 0)
    said = asked(sequence_network.TASK, whole.requests["sensor"][0], whole.history, trained.model)
    assert said.method == "echo"
    same_after_reload(trained.model, whole.history, questions, tmp_path)


def test_sequence_network_reads_only_what_was_known_when_asked() -> None:
    whole, then, trained = learned(sensor, sequence_network.sample, 24)
    questions = later(sequence_network.TASK, whole.history, then)[::7]
    task = sequence_network.TASK
    together = trained.model.forecast(task.study(whole.history, questions)).rows
    for place, as_of in enumerate(questions["as_of"].head(12)):
        alone = trained.model.forecast(task.study(whole.history.cut(as_of), questions[place : place + 1])).rows
        assert_frame_equal(alone, together[place : place + 1], check_exact=True)


# ---------------------------------------------------------------- 5: a sum with an honest interval


def test_sum_over_a_fleet_keeps_its_promise_and_shortcuts_do_not() -> None:
    inside = dict.fromkeys(("draws", "added bounds", "independent"), 0)
    trials = 0
    for seed in range(4):
        past, future = 200, 120
        facts = fleet_sum.facts(seed, past + future)
        history = world(START + DAY * past, burnt=facts)
        model = train(fleet_sum.TASK, history).model
        assert model.card.candidate == "shared"
        days = [START + DAY * (past + k) for k in range(future)]
        batch = [(fleet_sum.TASK, fleet_sum.Fleet(day=day.date())) for day in days]
        totals = dict(facts.group_by("time").agg(pl.col("litres").sum()).iter_rows())
        for day, said in zip(days, predict(batch, history, {"fleet": model}), strict=True):
            assert isinstance(said, Prediction)
            assert said.forecast.draws is not None
            total, trials = totals[day], trials + 1
            mixed = np.random.default_rng(seed).permuted(said.forecast.draws, axis=1)  # each car its own worlds
            added = fleet_sum.decide(Forecast(rows=said.forecast.rows), batch[0][1], history)
            alone = fleet_sum.decide(replace(said.forecast, draws=mixed), batch[0][1], history)
            for name, answer in zip(inside, (said.answer, added, alone), strict=True):
                assert isinstance(answer, Number)
                inside[name] += answer.low <= total <= answer.high
    share = {name: count / trials for name, count in inside.items()}
    assert 0.74 <= share["draws"] <= 0.86, share
    assert share["added bounds"] > 0.95, share
    assert share["independent"] < 0.6, share


def test_sum_over_a_fleet_survives_reload_and_is_watched_car_by_car(tmp_path: Path) -> None:
    facts = fleet_sum.facts(9, 160)
    history, now = world(START + 120 * DAY, burnt=facts), world(START + 160 * DAY, burnt=facts)
    model = train(fleet_sum.TASK, history).model
    said = asked(fleet_sum.TASK, fleet_sum.Fleet(day=history.now.date()), history, model)
    row = said.questions.hstack(said.forecast.rows)
    assert watch(fleet_sum.TASK, history, row)["open"] == fleet_sum.CARS
    seen = watch(fleet_sum.TASK, now, ledger(model, now, later(fleet_sum.TASK, now, history)))
    assert seen["settled"] == 39 * fleet_sum.CARS
    assert 0.72 < (seen["coverage"] or 0) < 0.88
    same_after_reload(model, history, said.questions, tmp_path)


# ---------------------------------------------------------------- 6: late and void outcomes


def test_open_outcomes_are_never_zero_and_void_ones_are_dropped_and_counted() -> None:
    whole = late_outcomes.sample(1)
    orders, ends = whole.history["orders"], whole.history["ends"]
    joined = join(late_outcomes.TASK, whole.history, late_outcomes.TASK.questions(whole.history))
    cancelled = int((ends["how"] == "cancelled").sum())
    assert cancelled > 100
    assert counts(joined) == {
        "settled": ends.height - cancelled,
        "open": orders.height - ends.height,
        "void": cancelled,
    }
    assert joined.filter(pl.col("state") != "settled")["value"].is_null().all()
    assert late_outcomes.TASK.outcomes(whole.history, joined)["known_at"].max() <= whole.history.now  # type: ignore[operator]


def test_training_learns_only_from_what_was_settled_by_then(tmp_path: Path) -> None:
    whole = late_outcomes.sample(1)
    then = whole.history.cut(START + 90 * DAY)
    trained = train(late_outcomes.TASK, then)
    model = trained.model
    assert model.card.candidate == "shop"
    assert isinstance(model.forecaster, late_outcomes.Rate)
    fact = whole.history["ends"].filter(pl.col("known_at") <= then.now, pl.col("how") != "cancelled")
    seen = model.forecaster.learned
    assert seen["entity"].sort().equals(fact["entity"].sort())
    assert seen["value"].is_in([0, 1]).all()
    assert seen["known_at"].max() <= then.now  # type: ignore[operator]
    returned = (
        fact.join(whole.history["orders"], on="entity").group_by("shop").agg((pl.col("how") == "returned").mean())
    )
    rates = list(model.forecaster.rates.values())  # of the shops a and b
    assert rates == pytest.approx(returned.sort("shop")["how"].to_list())
    assert rates == pytest.approx([0.2, 0.6], abs=0.05)  # open as zero: 0.15 and 0.44
    assert model.card.outcomes["settled"] == fact.height
    assert model.card.outcomes["open"] == then["orders"].height - then["ends"].height > 0
    asked_then = trained.backtest.asked
    assert asked_then["known_at"].max() <= then.now  # type: ignore[operator]
    same_after_reload(model, whole.history, later(late_outcomes.TASK, whole.history, then), tmp_path)


def test_late_outcomes_change_what_is_watched_as_they_arrive() -> None:
    whole = late_outcomes.sample(1)
    then = whole.history.cut(START + 60 * DAY)
    model = train(late_outcomes.TASK, then).model
    month = later(late_outcomes.TASK, whole.history, then).filter(pl.col("as_of") < then.now + 28 * DAY)
    served = ledger(model, whole.history, month)
    seen = [watch(late_outcomes.TASK, whole.history.cut(then.now + DAY * d), served) for d in (0, 20, 40, 59)]
    assert [(s["open"] or 0) + (s["settled"] or 0) + (s["void"] or 0) for s in seen] == [month.height] * 4
    assert "brier" not in seen[0]  # nothing settled, nothing claimed
    assert [s["settled"] for s in seen] == sorted(s["settled"] or 0 for s in seen)
    assert seen[-1]["open"] == 0
    assert (seen[-1]["brier"] or 1) < 0.93 * (seen[-1]["base_rate_brier"] or 0)
    said = asked(late_outcomes.TASK, whole.requests["returns"][1], whole.history, model)
    assert 0 < said.forecast.rows["chance"][0] < 1


# ---------------------------------------------------------------- 7: classes from the history


def test_classes_come_from_the_history_and_a_new_one_is_learned_when_it_appears(tmp_path: Path) -> None:
    whole = choice.sample(1)
    before, after = (train(choice.TASK, whole.history.cut(START + DAY * day)) for day in (45, 75))
    assert set(before.backtest.raw["trees"].columns) == {"p:ann", "p:bob"}
    assert set(after.backtest.raw["trees"].columns) == {"p:ann", "p:bob", "p:cem"}
    assert after.model.card.candidate == "trees"
    first = after.backtest.asked["fold"] == 0  # fitted before the newcomer: no chance for cem there
    assert after.backtest.raw["trees"].filter(first)["p:cem"].max() == 0
    assert not after.backtest.asked.filter(first)["value"].is_in(["cem"]).all()
    for request, who in zip(whole.requests["who"], ("ann", "bob", "cem"), strict=True):
        said = asked(choice.TASK, request, whole.history.cut(START + 75 * DAY), after.model)
        assert isinstance(said.answer, choice.Who)
        assert said.answer.who == who
        assert sum(said.answer.others.values()) == pytest.approx(1)
        old = asked(choice.TASK, request, whole.history.cut(START + 75 * DAY), before.model)
        assert isinstance(old.answer, choice.Who)
        assert set(old.answer.others) == {"ann", "bob"}
    questions = later(choice.TASK, whole.history, whole.history.cut(START + 75 * DAY))
    seen = watch(choice.TASK, whole.history, ledger(after.model, whole.history, questions))
    assert (seen["accuracy"] or 0) > 0.8 > (seen["majority"] or 1)
    same_after_reload(after.model, whole.history, questions, tmp_path)


def test_a_ledger_of_two_versions_with_different_classes_can_be_watched() -> None:
    whole = choice.sample(1)
    served = []
    for day, end in ((45, 60), (75, 80)):
        then = whole.history.cut(START + DAY * day)
        model = train(choice.TASK, then).model
        questions = later(choice.TASK, whole.history.cut(START + DAY * end), then)
        served.append(ledger(model, whole.history, questions))
    both = pl.concat(served, how="diagonal")  # version one has no column for cem
    seen = watch(choice.TASK, whole.history, both)
    alone = [watch(choice.TASK, whole.history, rows) for rows in served]
    right = sum((s["accuracy"] or 0) * (s["settled"] or 0) for s in alone)
    assert seen["accuracy"] == pytest.approx(right / sum(s["settled"] or 0 for s in alone))
    assert np.isfinite(seen["log_loss"] or np.nan)


# ---------------------------------------------------------------- 8: a mixed batch


def test_a_mixed_batch_answers_like_one_by_one_and_only_the_bad_request_fails() -> None:
    sample = mixed_batch.sample(1)
    champions = {name: train(task, sample.history).model for name, task in mixed_batch.TASKS.items()}
    for models in (champions, {"minutes": champions["minutes"]}):
        batch = mixed_batch.batch(sample)
        together = predict(batch, sample.history, models)
        for place, (one, said) in enumerate(zip(batch, together, strict=True)):
            (alone,) = predict([one], sample.history, models)
            if place == 2:
                assert isinstance(said, InvalidRequest)
                assert isinstance(alone, InvalidRequest)
                assert "c404" in str(said)
                continue
            assert isinstance(said, Prediction)
            assert isinstance(alone, Prediction)
            assert said.answer == alone.answer
            assert (said.method, said.fallback) == (alone.method, alone.fallback)
            assert_frame_equal(said.forecast.rows, alone.forecast.rows, check_exact=True)
            assert_frame_equal(said.questions, alone.questions)
        assert len({repr(said.answer) for said in together if isinstance(said, Prediction)}) == 5


def test_a_what_if_is_seen_by_its_own_request_only() -> None:
    sample = mixed_batch.sample(1)
    model = train(table_learner.TASK, sample.history).model
    light, heavy = (table_learner.NewOrder(distance=5, weight=w) for w in (1, 19))
    first, second, third = predict([(table_learner.TASK, r) for r in (light, heavy, light)], sample.history, {
        "minutes": model
    })  # fmt: skip
    assert isinstance(first, Prediction)
    assert isinstance(second, Prediction)
    assert isinstance(third, Prediction)
    assert first.answer == third.answer
    assert isinstance(first.answer, Number)
    assert isinstance(second.answer, Number)
    assert second.answer.value > first.answer.value + 4
    assert "new" not in sample.history["orders"]["entity"]


@pytest.mark.parametrize(
    "toy",
    [table_learner, series_in_request, physical, sequence_network, fleet_sum, late_outcomes, choice, mixed_batch],
    ids=lambda toy: toy.__name__.rpartition(".")[2],
)
def test_a_toy_is_a_domain_whose_world_is_the_same_twice(toy: object) -> None:
    domain = toy.DOMAIN  # type: ignore[attr-defined]
    one, two = domain.sample(3), domain.sample(3)
    assert set(one.requests) == {task.name for task in domain.tasks}
    for name, frame in one.history.tables.items():
        assert_frame_equal(frame, two.history[name], check_exact=True)
        assert name in {table.name for table in domain.tables}


def test_every_question_of_a_toy_can_be_asked_again() -> None:
    """`settled` finds the same outcomes for the questions in any order."""
    history = late_outcomes.sample(2).history
    questions = late_outcomes.TASK.questions(history)
    straight = settled(late_outcomes.TASK, history, questions).sort("entity")
    shuffled = settled(late_outcomes.TASK, history, questions.sample(fraction=1, shuffle=True, seed=1)).sort("entity")
    assert_frame_equal(straight, shuffled)
    assert ask(["x"], [START], [START + timedelta(days=1)]).height == 1
