"""A champion for each scope: who did best there answers there, and its worth there is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.toys import DAY, HOUR, About, plain
from tests.toys.plain import Told

from foretell import History, Rolling, Study, Task
from foretell.app.basis import Basis
from foretell.engine import apart
from foretell.engine.backtest import backtest
from foretell.engine.model import Model
from foretell.engine.predict import Prediction, predict
from foretell.engine.promote import judge
from foretell.engine.train import train


def told(**off: float) -> Any:
    """Is off from 10, the level of both entities, by so much for each, now above and now below."""

    def says(study: Study) -> pl.Series:
        sign = pl.when(pl.col("at").dt.hour() % 2 == 0).then(1.0).otherwise(-1.0)
        return study.questions.select(10 + sign * pl.col("entity").replace_strict(off, default=1.0)).to_series()

    return lambda: Told(says)


BASE, OF_A, OF_B, BOTH = told(a=8.0, b=8.0), told(a=0.0, b=4.0), told(a=4.0, b=0.0), told(a=2.0, b=2.0)


@pytest.fixture
def task() -> Task:
    return plain.task({"base": BASE, "of_a": OF_A, "of_b": OF_B}, scope="entity")


@pytest.fixture
def history() -> History:
    return plain.history()


def asked(entity: str, history: History) -> About:
    return About(entity=entity, at=history.now + HOUR)


def one(task: Task, history: History, model: Model, entity: str) -> Prediction:
    (said,) = predict([(task, asked(entity, history))], history, {"plain": model})
    assert isinstance(said, Prediction), said
    return said


def test_each_scope_is_served_by_who_did_best_there(task: Task, history: History) -> None:
    trained = train(task, history)
    assert trained.model.card.candidate == "by entity"
    assert trained.model.card.reason.startswith("each entity has who did best there")
    said = {entity: one(task, history, trained.model, entity) for entity in ("a", "b")}
    assert {entity: each.method for entity, each in said.items()} == {"a": "of_a", "b": "of_b"}
    assert [each.forecast.rows["point"][0] for each in said.values()] == pytest.approx([10.0, 10.0], abs=0.5)


def test_trained_again_with_nothing_new_it_is_let_serve_again(task: Task, history: History) -> None:
    trained = train(task, history)
    verdict = judge(trained, trained.model, history)
    assert verdict.promote
    assert "only 0 outcomes are newer" in verdict.reason


def test_in_a_fold_only_the_folds_before_choose(task: Task, history: History) -> None:
    """Of the first fold nothing is known to choose by, so it is not scored; a bad choice in it costs nothing."""
    tested = train(task, history).backtest
    assert tested.asked["fold"].unique().to_list() == [1, 2]
    wrong = (tested.forecasts["by entity"]["point"] - tested.asked["value"]).abs()
    assert float(wrong.mean()) < 1  # type: ignore[arg-type]
    rows = {name: frame for name, frame in tested.forecasts.items() if name != "by entity"}
    first = tested.asked["fold"] == 1
    chosen = apart.raced(task, tested.asked, rows)
    assert_frame_equal(
        chosen.filter(first), rows["base"].filter(first)
    )  # what nothing is known before, the baseline says


def test_what_it_has_been_worth_there_is_told(task: Task, history: History) -> None:
    model = train(task, history).model
    said = one(task, history, model, "a")
    skill = Basis.of(task, said).skill
    assert skill is not None
    n, error, base = model.worth["a"]
    assert (skill.scored, skill.value, skill.baseline_value) == (n, error, base)
    assert n == (train(task, history).backtest.asked["entity"] == "a").sum()
    assert error < base


def test_a_scope_nobody_knew_is_served_by_who_is_best_everywhere(history: History) -> None:
    task = plain.task({"base": BASE, "of_a": OF_A, "both": BOTH}, scope="entity")
    forecaster = train(task, history).model.forecaster
    assert isinstance(forecaster, apart.Apart)
    assert (forecaster.who[""], forecaster.who["a"], forecaster.who["b"]) == ("both", "of_a", "both")
    study = task.study(history, pl.DataFrame({"entity": ["new"], "as_of": [history.now], "at": [history.now]}))
    assert forecaster.forecast(study).evidence["method"].to_list() == ["both"]


def test_a_scope_in_which_nobody_beats_the_baseline_has_the_baseline(history: History) -> None:
    task = plain.task({"of_a": OF_A, "of_b": OF_B}, scope="entity")
    forecaster = train(task, history).model.forecaster
    assert isinstance(forecaster, apart.Apart)
    assert (forecaster.who["a"], forecaster.who["b"]) == ("of_a", "of_b")  # for a nobody beats the baseline


def test_a_few_outcomes_of_a_scope_do_not_outweigh_what_is_usual(history: History) -> None:
    task = plain.task({"base": BASE, "of_a": OF_A, "both": BOTH}, scope="entity")
    asked = plain.TASK.questions(history).filter(pl.col("entity") == "a").head(2)
    many = plain.TASK.questions(history).filter(pl.col("entity") == "b").head(200)
    both = pl.concat([asked, many]).with_columns(value=10.0)
    made = {name: make() for name, make in task.candidates.items()}
    study = task.study(history, both.drop("value"))
    said = {name: each.forecast(study).rows for name, each in made.items()}
    assert apart.best(task, both, said)["a"] == "both"


def test_who_answers_meanwhile_has_a_head_start(history: History) -> None:
    """`other` errs by 3 of the baseline's 4 less: it takes over when it has gained five such errors, of 7 outcomes."""
    candidates = {"base": told(a=4.0, b=4.0), "usual": told(a=4.0, b=4.0), "other": told(a=1.0, b=1.0)}
    task = plain.task(candidates, scope="entity", meanwhile="usual")
    few = plain.TASK.questions(history).filter(pl.col("entity") == "a").with_columns(value=10.0).head(7)
    said = {name: make().forecast(task.study(history, few.drop("value"))).rows for name, make in candidates.items()}
    for n, who in ((1, "usual"), (6, "usual"), (7, "other")):
        rows = {name: each.head(n) for name, each in said.items()}
        assert apart.best(task, few.head(n), rows) == {"": who, "a": who}
    nobody = plain.task(candidates, scope="entity")
    assert apart.best(nobody, few.head(1), {name: each.head(1) for name, each in said.items()})["a"] == "other"
    folds = few.with_columns(fold=pl.int_range(7))
    assert_frame_equal(apart.raced(task, folds, said), said["usual"])
    fewer = {name: each for name, each in said.items() if name != "usual"}  # it could not run
    assert_frame_equal(apart.raced(task, folds, fewer)[:1], said["base"][:1])
    assert_frame_equal(apart.raced(task, folds, fewer)[1:], said["other"][1:])


def test_it_is_saved_and_loaded_to_the_last_bit(task: Task, history: History, tmp_path: Path) -> None:
    model = train(task, history).model
    model.save(tmp_path)
    again = Model.load(task, tmp_path)
    questions = plain.TASK.questions(history).tail(20)
    study: Study = task.study(history, questions)
    assert_frame_equal(again.forecast(study).rows, model.forecast(study).rows)
    assert_frame_equal(again.forecast(study).evidence, model.forecast(study).evidence)
    assert again.worth == model.worth


def test_a_share_is_of_the_questions_whose_outcome_is_known() -> None:
    """However many of the newest are still open."""
    late = plain.history(days=20, late=5 * DAY)
    task = plain.task({"base": BASE, "both": BOTH}, rolling=Rolling(folds=3, span=0.1))
    settled = plain.TASK.questions(late).filter(pl.col("as_of") <= late.now - 5 * DAY).height
    sizes = backtest(task, late).asked["fold"].value_counts()["count"]
    assert len(sizes) == 3
    assert all(abs(size - 0.1 * settled) <= 4 for size in sizes)
