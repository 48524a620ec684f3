"""From a race to service: the gate, the verdict, the batch, the saved model, and what is watched."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import BaseModel
from tests.toys import DAY, HOUR, START, About, ask, choice, late_outcomes, plain, table_learner, world
from tests.toys.plain import Said, Told

from foretell import Ask, Forecast, Frame, Gate, History, Quantity, Standpoint, Study, Task
from foretell.contract import Floats
from foretell.engine.backtest import Backtest
from foretell.engine.model import Model
from foretell.engine.monitor import recalibrate, watch
from foretell.engine.predict import Prediction, predict, untrained
from foretell.engine.promote import judge
from foretell.engine.scores import score
from foretell.engine.train import Trained, choose, train
from foretell.errors import BrokenDomain, ForetellError, InvalidRequest, NotFound, NotReady

# ---------------------------------------------------------------- choose


def raced(gate: Gate, count: int = 100, **errors: float) -> tuple[str, str]:
    """A race in which each candidate is always off by so much."""
    task = plain.task(dict.fromkeys(errors, Told), gate=gate)
    value = np.arange(float(count)) + 1
    rows = {name: quantity(value + error) for name, error in errors.items()}
    asked = pl.DataFrame({"value": value})
    return choose(task, Backtest(task=task, asked=asked, raw=rows, forecasts=rows, skipped={}, folds=()))


def quantity(point: Floats) -> Frame:
    return pl.DataFrame({"point": point, "q10": point - 1, "q50": point, "q90": point + 1})


def test_the_lowest_error_wins_whatever_its_place() -> None:
    winner, reason = raced(Gate(metric="mae", skill=0.1), base=4.0, fair=3.0, best=2.0)
    assert winner == "best"
    assert "50%" in reason
    assert raced(Gate(metric="mae"), base=4.0, best=2.0, fair=3.0)[0] == "best"


@pytest.mark.parametrize(("skill", "winner"), [(0.24, "better"), (0.25, "better"), (0.26, "base")])
def test_too_little_skill_keeps_the_baseline(skill: float, winner: str) -> None:
    chosen, reason = raced(Gate(metric="mae", skill=skill), base=4.0, better=3.0)
    assert chosen == winner
    assert "25" in reason


@pytest.mark.parametrize(("count", "winner"), [(29, "base"), (30, "better")])
def test_too_few_outcomes_keep_the_baseline(count: int, winner: str) -> None:
    chosen, reason = raced(Gate(metric="mae", least=30), count, base=4.0, better=3.0)
    assert chosen == winner
    assert (f"{count} settled outcomes are too few" in reason) == (winner == "base")


def test_a_baseline_that_nobody_beats_serves_and_the_reason_says_so() -> None:
    winner, reason = raced(Gate(metric="mae"), base=1.0, worse=2.0)
    assert winner == "base"
    assert "no candidate has a lower mae" in reason
    assert raced(Gate(metric="rmse"), base=0.0, worse=2.0)[0] == "base"


def test_a_tie_keeps_the_baseline() -> None:
    assert raced(Gate(metric="mae"), base=2.0, also=2.0, zoe=2.0)[0] == "base"


def test_a_metric_that_could_not_be_measured_keeps_the_baseline() -> None:
    """MAPE of outcomes that are all zero does not exist."""
    history = plain.history(level=0, noise=0)
    trained = train(plain.task({"zero": Told, "other": lambda: Told(1.0)}, gate=Gate(metric="mape")), history)
    assert trained.model.card.candidate == "zero"


def test_the_winner_learns_from_everything_settled_and_its_card_tells_all() -> None:
    history = plain.history(late=30 * HOUR)
    task = plain.task({"zero": Told, "ten": lambda: Told(10.0, width=0.2)}, gate=Gate(metric="mae", skill=0.2))
    trained = train(task, history)
    model, card = trained.model, trained.model.card
    assert (card.candidate, card.baseline, card.task) == ("ten", "zero", "plain")
    assert isinstance(model.forecaster, Told)
    assert model.forecaster.learned == card.outcomes["settled"] == history["values"].height
    assert card.scored == trained.backtest.asked.height
    assert set(card.scores) == {"zero", "ten"}
    assert card.scores["ten"]["mase"] == pytest.approx(
        (card.scores["ten"]["mae"] or 0) / (card.scores["zero"]["mae"] or 1)
    )
    assert card.features == ("hour",)
    assert card.trained_at == history.now
    assert card.learned_from is not None
    assert card.learned_from[0] == START
    assert train(task, history).model.card.version == card.version  # the same training has the same name
    assert train(task, history.cut(history.now - HOUR)).model.card.version != card.version
    said = model.forecast(task.study(history, ask(["a"], [history.now], [history.now]))).rows
    assert said["q90"][0] - said["q10"][0] == pytest.approx(2.56, abs=0.5)  # as wide as the noise, not 0.2


# ---------------------------------------------------------------- promote


def trained_at(day: int, point: float, history: History, **gate: Any) -> Trained:
    task = plain.task({"told": lambda: swinging(point)}, gate=Gate(metric="mae", **gate))
    return train(task, history.cut(START + DAY * day))


def swinging(point: float) -> Told:
    """Off by 10 - point, above in one hour and below in the next: no calibration can mend that."""

    def said(study: Study) -> pl.Series:
        return pl.Series(10 + (10 - point) * (1 - 2 * (study.features["hour"] % 2)))

    return Told(said)


def uncalibrated(trained: Trained) -> Trained:
    tested = replace(trained.backtest, forecasts=trained.backtest.raw)
    return Trained(model=replace(trained.model, calibration=None), backtest=tested, lesson=trained.lesson)


@pytest.mark.parametrize(
    ("old", "new", "margin", "promoted"),
    [
        (0.0, 9.0, 0.0, True),
        (9.0, 0.0, 0.0, False),
        (5.0, 6.0, 0.0, True),
        (5.0, 5.5, 0.3, False),
        (5.0, 8.0, 0.3, True),
    ],
)
def test_a_challenger_must_be_better_by_the_margin(old: float, new: float, margin: float, promoted: bool) -> None:
    history = plain.history(12, noise=0.1)
    champion = uncalibrated(trained_at(8, old, history)).model
    verdict = judge(uncalibrated(trained_at(12, new, history, margin=margin)), champion, history)
    assert verdict.promote is promoted
    assert verdict.challenger == pytest.approx(10 - new, abs=0.15)
    assert verdict.champion == pytest.approx(10 - old, abs=0.15)
    assert "newer outcomes" in verdict.reason
    assert (
        f"{2 * 24 * 4 - 2} " in verdict.reason or f"{2 * 24 * 4} " in verdict.reason
    )  # asked since day 8, and no older


def test_the_first_model_and_one_with_too_few_newer_outcomes_are_promoted() -> None:
    history = plain.history(12)
    challenger = trained_at(12, 0.0, history, least=60)
    assert judge(challenger, None, history).promote
    fresh = judge(challenger, trained_at(11, 9.0, history).model, history)
    assert fresh.promote
    assert fresh.challenger is None
    assert "too few to compare (60)" in fresh.reason
    assert not judge(uncalibrated(challenger), uncalibrated(trained_at(10, 9.0, history)).model, history).promote


def test_a_verdict_without_a_figure_is_no_crash() -> None:
    history = plain.history(12, level=0, noise=0)
    challenger = replace(trained_at(12, 0.0, history), backtest=trained_at(12, 0.0, history).backtest)
    task = replace(challenger.model.task, gate=Gate(metric="mape"))
    verdict = judge(
        replace(challenger, model=replace(challenger.model, task=task)), trained_at(8, 1.0, history).model, history
    )
    assert not verdict.promote


# ---------------------------------------------------------------- predict


def by_request(request: About, history: History) -> Ask:
    """Each entity has its own way to fail, or its method."""
    match request.entity.split(":"):
        case ["nothing"]:
            return Ask(questions=ask([], [], []))
        case ["refused"]:
            raise InvalidRequest("no")
        case ["crash"]:
            raise ZeroDivisionError("a mistake in a domain")
        case ["by", name]:
            return Ask(questions=ask(["a"], [history.now], [request.at]), candidate=name)
        case [name]:
            return Ask(
                questions=ask(
                    [name] * (1 if name == "a" else 2),
                    [history.now] * (1 if name == "a" else 2),
                    [request.at] * (1 if name == "a" else 2),
                )
            )
    raise AssertionError


def letter(study: Study) -> pl.Series:
    """a is 1, b is 2, c is unknown."""
    return study.questions["entity"].replace_strict({"a": 1.0, "b": 2.0}, default=None, return_dtype=pl.Float64)


def decide(forecast: Forecast, request: About, history: History) -> Said:
    if request.entity == "b" and request.at == START:
        raise ZeroDivisionError("a mistake in a domain")
    return Said(said=forecast.rows["point"].to_list())


MENU = {
    "trained": lambda: Told(letter),
    "rule": lambda: Told(letter, trains=False),
    "other": lambda: Told(70.0, trains=False),
}
SERVED = plain.task(MENU, ask=by_request, decide=decide)


def request(entity: str) -> tuple[Task, BaseModel]:
    return SERVED, About(entity=entity, at=START + DAY * 10)


def champion(history: History) -> dict[str, Model]:
    return {"plain": replace(train(SERVED, history).model, calibration=None)}


def test_a_batch_answers_in_order_and_each_error_stays_with_its_request() -> None:
    history = plain.history()
    batch = [request(name) for name in ("b", "nothing", "a", "c", "refused", "by:nobody", "a", "b")]
    said = predict(batch, history, champion(history))
    assert [one.answer for one in said if isinstance(one, Prediction)] == [
        Said(said=[2.0, 2.0]), Said(said=[1.0]), Said(said=[1.0]), Said(said=[2.0, 2.0])
    ]  # fmt: skip
    errors = {k: type(one) for k, one in enumerate(said) if isinstance(one, ForetellError)}
    assert errors == {1: InvalidRequest, 3: NotReady, 4: InvalidRequest, 5: NotFound}
    assert "c" in str(said[3])
    assert predict([], history, {}) == []


@pytest.mark.parametrize("where", ["ask", "decide"])
def test_a_mistake_in_a_domain_harms_no_other_request(where: str) -> None:
    history = plain.history()
    bad = request("crash") if where == "ask" else (SERVED, About(entity="b", at=START))
    first, second, third = predict([request("a"), bad, request("a")], history, champion(history))
    assert isinstance(second, BrokenDomain)
    assert "plain" in str(second)
    assert isinstance(first, Prediction)
    assert isinstance(third, Prediction)


def test_a_mistake_in_a_domain_is_told_with_its_place() -> None:
    (said,) = predict([(SERVED, About(entity="b", at=START))], plain.history(), champion(plain.history()))
    assert re.fullmatch(
        r"plain: ZeroDivisionError: a mistake in a domain \(test_engine_serving\.py:\d+ in decide\)", str(said)
    )

    def deep(forecast: Forecast, request: About, history: History) -> Said:
        return Said(said=json.loads("{"))  # the innermost place is not its own

    (said,) = predict([(replace(SERVED, decide=deep), About(entity="a", at=START))], plain.history(), {})
    assert str(said).endswith(f"(test_engine_serving.py:{deep.__code__.co_firstlineno + 1} in deep)")
    assert str(Path(__file__).parent) not in str(said)


def test_a_model_that_learned_from_a_feature_that_is_gone_says_so_and_gives_way() -> None:
    """As after an update of a domain: the stored model's task is the new one."""
    history = plain.history()
    old = champion(history)["plain"]
    renamed = replace(SERVED, features=lambda history, questions: questions.select(day=pl.col("at").dt.day()))
    served = {"plain": replace(old, task=renamed)}
    (said,) = predict([(renamed, About(entity="a", at=START))], history, served)
    assert isinstance(said, NotReady)
    assert f"version {old.card.version} of plain learned from hour, which the task has no more" in str(said)
    assert "foretell train plain" in str(said)
    verdict = judge(train(renamed, history), served["plain"], history)
    assert (verdict.promote, verdict.reason) == (True, "the champion learned from hour, which the task has no more")
    more = replace(SERVED, features=lambda history, questions: questions.select(hour=pl.col("at").dt.hour(), day=1.0))
    (said,) = predict([(more, About(entity="a", at=START))], history, {"plain": replace(old, task=more)})
    assert isinstance(said, Prediction)


def test_requests_of_one_task_are_forecast_together() -> None:
    seen: list[tuple[str, Study, Frame | None]] = []
    history = plain.history()
    task = plain.task({"rule": lambda: Told(letter, trains=False, seen=seen)}, ask=by_request)
    models = {"plain": replace(train(task, history).model, calibration=None)}
    seen.clear()
    predict([(task, About(entity=e, at=history.now)) for e in "abab"], history, models)
    assert [study.questions.height for _, study, _ in seen] == [6]


def test_without_a_champion_the_first_rule_answers_and_says_so() -> None:
    history = plain.history()
    (said,) = predict([request("a")], history, {})
    assert isinstance(said, Prediction)
    assert (said.method, said.fallback) == ("rule", "no model of plain has been trained yet")
    assert (said.card.candidate, said.card.version, said.card.scores) == ("rule", "untrained", {})
    needy = plain.task({"trained": lambda: Told(letter)}, ask=by_request)
    (refused,) = predict([(needy, About(entity="a", at=history.now))], history, {})
    assert isinstance(refused, NotReady)
    assert "training" in str(refused)


def test_who_answers_meanwhile_does_so_untrained_and_where_no_race_is_possible() -> None:
    history = plain.history()
    asked = About(entity="a", at=history.now)
    rules = {"base": lambda: Told(1.0, trains=False), "usual": lambda: Told(2.0, trains=False)}

    def own(request: About, history: History) -> Ask:
        brought = {"values": history["values"].head(1)}
        return Ask(questions=ask([request.entity], [history.now], [history.now]), history=brought)

    for task, why in (
        (plain.task(rules, meanwhile="usual"), "no model of plain has been trained yet"),
        (plain.task(rules, meanwhile="usual", ask=own), "no race was possible"),
    ):
        (said,) = predict([(task, asked)], history, {})
        assert isinstance(said, Prediction)
        assert said.method == "usual"
        assert said.fallback is not None
        assert said.fallback.startswith(why)


def test_a_method_asked_for_by_name_answers_and_others_are_listed() -> None:
    history = plain.history()
    models = champion(history)
    serving = models["plain"].card.candidate
    other, own, unknown = predict([request(f"by:{n}") for n in ("other", serving, "nobody")], history, models)
    assert isinstance(other, Prediction)
    assert (other.answer, other.method) == (Said(said=[70.0]), "other")
    assert other.fallback == "other was asked for by name"
    assert (other.card.version, other.card.scores) == ("untrained", {})
    assert isinstance(own, Prediction)
    assert own.fallback is None
    assert own.card == models["plain"].card
    assert isinstance(unknown, NotFound)
    assert all(name in str(unknown) for name in MENU)
    (untrained,) = predict([request("by:trained")], history, {})
    assert isinstance(untrained, NotReady)
    assert "trained needs training" in str(untrained)


def test_a_trained_method_that_is_not_in_service_says_who_can_be_asked() -> None:
    history = plain.history()
    models = {"plain": untrained(champion(history)["plain"].task, "other", history)}
    (refused,) = predict([request("by:trained")], history, models)
    assert isinstance(refused, NotReady)
    words, _, named = str(refused).partition("; of stored facts ask for one of: ")
    assert words == "trained needs training and is not the one in service"
    assert named.startswith("other")
    for name in named.split(", "):
        (answered,) = predict([request(f"by:{name}")], history, models)
        assert isinstance(answered, Prediction)


def test_what_a_request_brings_is_joined_to_the_stored_facts() -> None:
    """A what-if adds to the history; a series in the request replaces only the table it names."""
    history = plain.history(3)

    def own(request: About, history: History) -> Ask:
        fact = history["values"].head(1).with_columns(entity=pl.lit(request.entity), known_at=pl.lit(history.now))
        return Ask(questions=ask([request.entity], [history.now], [history.now]), facts={"values": fact})

    def count(study: Study) -> float:
        return float(study.history["values"]["entity"].n_unique())

    task = plain.task({"rule": lambda: Told(count, trains=False)}, ask=own)
    said = predict([(task, About(entity=e, at=history.now)) for e in ("x", "y", "a")], history, {})
    assert [one.answer for one in said if isinstance(one, Prediction)] == [Said(said=[n]) for n in (3.0, 3.0, 2.0)]
    assert history["values"]["entity"].n_unique() == 2


def test_chances_stay_as_said_where_a_calibration_would_not_have_helped() -> None:
    """In the toy they mean their number as they are; early on, with few outcomes, one was better by chance."""
    history = late_outcomes.sample(2).history
    for days, helped in ((40, True), (90, False)):
        trained = train(late_outcomes.TASK, history.cut(START + DAY * days))
        name, tested = trained.model.card.candidate, trained.backtest
        raw, meant = (
            score(tested.task.target, of[name], tested.asked["value"])["log_loss"] or 0.0
            for of in (tested.raw, tested.forecasts)
        )
        assert (meant < raw) is helped
        assert (trained.model.calibration is not None) is helped


# ---------------------------------------------------------------- save and load


@pytest.mark.parametrize(
    ("toy", "days"), [(table_learner, 40), (late_outcomes, 40), (choice, 75)], ids=["quantity", "chance", "choice"]
)
def test_a_saved_model_says_the_same_to_the_last_bit(toy: Any, days: int, tmp_path: Path) -> None:
    history = toy.sample(2).history
    model = train(toy.TASK, history.cut(START + DAY * days)).model
    questions = toy.TASK.questions(history).sort("as_of").tail(200)
    before = model.forecast(toy.TASK.study(history, questions)).rows
    raw = replace(model, calibration=None).forecast(toy.TASK.study(history, questions)).rows
    assert not before.equals(raw)  # the calibration is part of what is kept
    model.save(tmp_path)
    again = Model.load(toy.TASK, tmp_path)
    assert_frame_equal(again.forecast(toy.TASK.study(history, questions)).rows, before, check_exact=True)
    assert again.card == model.card
    assert again.calibration == model.calibration
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".txt", ".npz"}


def test_a_model_refuses_to_answer_for_somebody_it_knows_nothing_of() -> None:
    history = plain.history()
    model = champion(history)["plain"]
    questions = ask(["a", "zoe", "c"], [history.now] * 3, [history.now] * 3)
    with pytest.raises(NotReady, match="c, zoe"):
        model.forecast(SERVED.study(history, questions))


# ---------------------------------------------------------------- monitor


def told_ledger(history: History, point: float) -> Frame:
    questions = plain.TASK.questions(history)
    return questions.hstack(quantity(np.full(questions.height, point)))


def test_watch_scores_what_settled_and_counts_what_did_not() -> None:
    history = plain.history(4)
    void = history["values"].with_columns(value=pl.when(pl.col("entity") == "a").then("value"))
    half = world(history.now, values=void).cut(START + 2 * DAY)
    ledger = told_ledger(history, 9.0)
    seen = watch(plain.TASK, half, ledger)
    assert (seen["settled"], seen["open"], seen["void"]) == (48, 96, 48)
    value = half["values"].drop_nulls("value")["value"].to_numpy()
    assert seen["mae"] == pytest.approx(float(np.abs(value - 9).mean()))
    assert seen["coverage"] == pytest.approx(float(((value >= 8) & (value <= 10)).mean()))
    assert watch(plain.TASK, half, ledger.head(0)) == {"settled": 0, "open": 0, "void": 0}


def test_watch_does_not_claim_an_error_relative_to_a_baseline_it_has_not_seen() -> None:
    """The ledger holds no baseline's forecasts, so a MASE would be 1 by construction."""
    history = plain.history(4)
    assert watch(plain.TASK, history, told_ledger(history, 0.0)).get("mase") is None


def test_recalibration_follows_a_shift_and_leaves_the_forecaster_alone() -> None:
    before, after = plain.history(10), plain.history(10, level=14, seed=2)
    model = train(plain.TASK, before).model
    later = world(before.now, values=after["values"])
    questions = ask(["a"], [before.now], [before.now])
    old = model.forecast(plain.TASK.study(before, questions)).rows
    new = recalibrate(model, later, told_ledger(later, 0.0))
    moved = new.forecast(plain.TASK.study(before, questions)).rows
    assert old["q50"][0] == pytest.approx(10, abs=0.4)
    assert moved["q50"][0] == pytest.approx(14, abs=0.4)
    assert moved["q90"][0] - moved["q10"][0] == pytest.approx(2.56, abs=0.5)
    assert new.forecaster is model.forecaster
    assert new.card.version != model.card.version
    assert new.card.candidate == model.card.candidate
    few = recalibrate(model, later, told_ledger(later, 0.0).head(10))
    assert few.calibration is not None
    assert few.calibration.counted == 10


def test_recalibration_learns_only_from_what_is_known() -> None:
    history = plain.history(10)
    model = train(plain.TASK, history).model
    half = history.cut(START + 5 * DAY)
    new = recalibrate(model, half, told_ledger(history, 0.0))
    assert new.calibration is not None
    assert new.calibration.counted == half["values"].height


def test_targets_name_their_columns() -> None:
    assert Quantity(unit="m", levels=(0.025, 0.5, 0.975)).columns == ["point", "q2.5", "q50", "q97.5"]
    assert Standpoint(tenant="t", now=START, zone="UTC", settings=About(entity="a", at=START)).now == START
    assert timedelta(days=1) == DAY
