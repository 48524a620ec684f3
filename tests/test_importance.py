"""What a feature is worth is what the forecasts lose without it; the truth of a toy is known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import pytest
from tests.toys import DAY, HOUR, START, plain, world
from tests.toys.plain import Told

from foretell import Block, Cost, Forecast, Frame, History, Rolling, Study, Task
from foretell.engine.importance import MOST, FeatureImportance, Importance, alike, importance
from foretell.engine.train import train
from foretell.errors import NotReady

SLOPE = 3.0
MAE = np.sqrt(2 / np.pi)  # of a normal error of 1


class Line:
    """Least squares, of the least length: two columns that say the same share what they say evenly."""

    needs_training = True
    cost = Cost()

    def __init__(self) -> None:
        self.slopes = np.zeros(3)

    def fit(self, study: Study, outcomes: Frame) -> Self:
        self.slopes = np.linalg.lstsq(study.features.values, outcomes["value"].to_numpy(), rcond=None)[0]
        return self

    def forecast(self, study: Study) -> Forecast:
        point = pl.Series(study.features.values @ self.slopes)
        return Forecast(rows=pl.DataFrame({"point": point, "q10": point - 1, "q50": point, "q90": point + 1}))

    def save(self, folder: Path) -> None:
        (folder / "line.json").write_text(json.dumps(self.slopes.tolist()))

    def load(self, folder: Path) -> Self:
        self.slopes = np.array(json.loads((folder / "line.json").read_text()))
        return self


def history(days: int, *, seed: int = 1) -> History:
    """The first days of a world of a value an hour: three times what one number says; another number says nothing."""
    rng = np.random.default_rng(seed)
    count = 24 * 150
    strong, luck = rng.normal(size=count), rng.normal(size=count)
    times = [START + HOUR * k for k in range(count)]
    told = pl.DataFrame({"time": times, "known_at": times, "strong": strong, "luck": luck})
    value = {
        "time": times,
        "known_at": [time + HOUR for time in times],
        "value": SLOPE * strong + rng.normal(size=count),
    }
    return world(START + DAY * days, values=pl.DataFrame(value).with_columns(entity=pl.lit("a")), told=told)


def features(history: History, questions: Frame) -> Frame:
    found = questions.join(history["told"], left_on="at", right_on="time", how="left", maintain_order="left")
    return found.select("strong", "luck", copy="strong")


def toy(**candidates: Any) -> Task:
    rolling = Rolling(folds=2, span=timedelta(days=20))
    return plain.task({"zero": Told, **(candidates or {"line": Line})}, features=features, rolling=rolling)


def by_name(told: Importance) -> dict[str, FeatureImportance]:
    return {one.name: one for one in told.features}


def near(one: FeatureImportance, truth: float) -> bool:
    return one.standard_error > 0 and abs(one.importance - truth) < 3 * one.standard_error


@pytest.mark.parametrize(("until", "questions"), [(60, "last fold"), (61, "last fold"), (90, "later")])
def test_it_is_the_true_loss(until: int, questions: str) -> None:
    """Each of two that say the same stands in for the other; together they are missed more than both one by one."""
    task = toy()
    model = train(task, history(60)).model
    assert model.card.candidate == "line"
    told = importance(model, history(until))
    assert (told.questions, told.metric, told.version) == (questions, "mae", model.card.version)
    assert told.asked == told.settled == (24 * 30 if questions == "later" else 24 * 20)
    assert told.error == pytest.approx(MAE, rel=0.1)
    one, each = by_name(told), MAE * (np.sqrt(1 + 2 * (SLOPE / 2) ** 2) - 1)
    assert near(one["strong"], each)
    assert near(one["copy"], each)
    assert abs(one["luck"].importance) < 2 * one["luck"].standard_error < 0.05
    assert told.features[-1].name == "luck"
    together = by_name(importance(model, history(until), alike))
    assert {name: each.features for name, each in together.items()} == {
        "strong and 1 more": ("strong", "copy"), "luck": ("luck",),
    }  # fmt: skip
    both = together["strong and 1 more"]
    assert near(both, MAE * (np.sqrt(1 + 2 * SLOPE**2) - 1))
    assert both.importance > one["strong"].importance + one["copy"].importance


def test_the_standard_error_is_how_far_off_it_is() -> None:
    """In many worlds, of a forecaster that says what is true."""
    task = toy(knows=lambda: Told(lambda study: pl.Series(SLOPE * study.features["strong"]), trains=False))
    truth, off = MAE * (np.sqrt(1 + 2 * SLOPE**2) - 1), []
    for seed in range(25):
        there = history(45, seed=seed)
        one = by_name(importance(train(task, there).model, there))
        off.append((one["strong"].importance - truth) / one["strong"].standard_error)
        assert (one["luck"].importance, one["luck"].standard_error) == (0, 0)  # nobody looked at it
    assert 0.6 < np.sqrt(np.mean(np.square(off))) < 1.5


def test_of_many_questions_a_seeded_part_is_asked_and_it_says_so() -> None:
    model, there = train(toy(), history(30)).model, history(150)
    told = importance(model, there)
    assert (told.asked, told.settled) == (MOST, 24 * 120)
    assert importance(model, there) == told
    assert importance(model, there, seed=2) != told


def test_of_the_last_fold_the_same_method_is_asked_as_it_was_fitted_before() -> None:
    """What the model in service learned from it is not in it."""
    seen: list[tuple[str, Study, Frame | None]] = []
    task = toy(spy=lambda: Told(lambda study: pl.Series(SLOPE * study.features["strong"]), seen=seen))
    there = history(60)
    model = train(task, there).model
    seen.clear()
    told = importance(model, there)
    assert told.questions == "last fold"
    ((_, _, outcomes),) = [one for one in seen if one[0] == "fit"]
    assert outcomes is not None
    first = pl.concat([study.questions for what, study, _ in seen if what == "forecast"])["as_of"].min()
    assert (outcomes["known_at"] <= first).all()
    assert "fitted on what was known by then" in told.words


def test_who_looks_at_no_features_has_none_to_weigh_nor_has_who_was_asked_too_little() -> None:
    there = history(60)
    task = toy(best=lambda: Told(lambda study: pl.Series(study.questions["at"].dt.hour() * 0.0)))
    with pytest.raises(NotReady, match="plain is answered by zero, which looks at no features"):
        importance(train(task, there).model, there)
    few = replace(train(toy(), history(60)).model, task=replace(toy(), rolling=Rolling(folds=1, span=9 * HOUR)))
    with pytest.raises(NotReady, match="plain: 9 settled outcomes are too few"):
        importance(few, history(60))
    nothing = plain.task(features=None)
    with pytest.raises(NotReady, match="has no features in columns"):
        importance(train(nothing, plain.history()).model, plain.history())


def test_questions_that_the_model_has_no_answer_to_are_left_out() -> None:
    def says(study: Study) -> pl.Series:
        point = pl.Series(SLOPE * study.features["strong"])
        return pl.select(pl.when(study.questions["at"].dt.hour() > 5).then(point)).to_series()

    model = train(toy(), history(60)).model
    silent = replace(model, forecaster=Told(says, trains=False))
    assert importance(silent, history(90)).asked == 30 * 18


def test_features_alike_are_found_through_others_and_constants_stand_alone() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=500)
    b = a + 0.55 * rng.normal(size=500)
    c = b + 0.55 * rng.normal(size=500)
    hole = np.where(np.arange(500) % 7 == 0, np.nan, -np.exp(a))
    columns = {"flat": np.ones(500), "a": a, "alone": rng.normal(size=500), "b": b, "c": c, "hole": hole,
               "none": np.full(500, np.nan)}  # fmt: skip
    assert abs(np.corrcoef(a, c)[0, 1]) < 0.8
    assert [*alike(Block.of_columns(columns)).values()] == [["flat"], ["a", "b", "c", "hole"], ["alone"], ["none"]]
