"""Candidates on the sample, whose truth is known: what is learned is what is true there."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest

from foretell.contract import Floats, Forecast, Frame, History, Study
from foretell.domains.energy import SOLAR, WIND
from foretell.domains.energy.features import features, questions
from foretell.domains.energy.models import (
    BESIDE_ALL,
    BESIDE_OWN,
    LEVELS,
    Corrected,
    Ensemble,
    Physical,
    Repeated,
    Trees,
)
from foretell.domains.energy.sample import FACES, SHADE, sample
from foretell.domains.energy.tables import Kind
from foretell.engine.train import train
from foretell.models.residual import Leftovers


@cache
def world() -> History:
    return sample(1).history


@cache
def studied(kind: Kind) -> tuple[Study, Frame, Study, Floats]:
    """What to learn from, and the last twelve days with what came of them."""
    task = SOLAR if kind == "solar" else WIND
    asked = questions(kind, world())
    asked = asked.hstack(task.outcomes(world(), asked)).filter(pl.col("value").is_not_null())
    cut = asked["as_of"].sort()[int(0.9 * asked.height)]
    old, new = asked.filter(pl.col("known_at") <= cut), asked.filter(pl.col("as_of") > cut)
    made = [
        Study(history=world(), questions=part.drop("value", "known_at"), features=features(kind, world(), part))
        for part in (old, new)
    ]
    return made[0], old.select("value", "known_at"), made[1], new["value"].to_numpy()


def error(said: Forecast, study: Study, value: Floats) -> float:
    return float(np.abs((said.rows["point"].to_numpy() - value) / study.features["capacity"]).mean())


@pytest.mark.parametrize("kind", ["solar", "wind"])
def test_physics_beats_persistence_untrained_and_learning_beats_physics(kind: Kind) -> None:
    learn, outcomes, ask, value = studied(kind)
    smart = error(Repeated("smart").fit(learn, outcomes).forecast(ask), ask, value)
    physical = error(Physical(kind).forecast(ask), ask, value)
    corrected = error(Corrected(kind).fit(learn, outcomes).forecast(ask), ask, value)
    together = error(Ensemble(kind).fit(learn, outcomes).forecast(ask), ask, value)
    assert physical < smart
    assert corrected < physical
    assert together < physical


def test_what_a_plant_really_is_comes_out_and_is_told() -> None:
    learn, outcomes, ask, _ = studied("solar")
    corrected = Corrected("solar").fit(learn, outcomes)
    field, roof = corrected.learned["field"], corrected.learned["roof"]
    assert field.azimuth is not None
    assert abs(field.azimuth - FACES) <= 20
    assert field.shade[7] < 1 - SHADE / 2  # the sun between 210 and 240 degrees
    assert any("that face" in words for words in field.words())
    assert any("shade" in words for words in field.words())
    assert roof.tilt is None
    assert 0.9 < roof.yields < 1.1
    told = corrected.forecast(ask).evidence.with_columns(ask.questions["entity"])
    assert told.filter(pl.col("entity") == "field")["corrections"][0] == "; ".join(field.words())


def test_more_wind_than_forecast_is_learned() -> None:
    learn, outcomes, _, _ = studied("wind")
    corrected = Corrected("wind").fit(learn, outcomes)
    assert 1.0 < corrected.learned["shore"].speed < 1.2
    assert corrected.learned["shore"].hours > 1000


def test_too_few_readings_teach_nothing() -> None:
    learn, outcomes, ask, _ = studied("wind")
    few = np.flatnonzero((learn.questions["entity"] == "shore").to_numpy())[:50]
    part = Study(history=world(), questions=learn.questions[few], features=learn.features.rows(few))
    corrected = Corrected("wind").fit(part, outcomes[few])
    assert corrected.learned["shore"].words() == []
    assert np.allclose(corrected.point(ask), ask.features["physical"])


@pytest.mark.parametrize("kind", ["solar", "wind"])
def test_trees_have_something_to_say_without_the_weather(kind: Kind) -> None:
    learn, outcomes, ask, value = studied(kind)
    trees = Trees(kind).fit(learn, outcomes)
    blind, _ = trees._blinded(ask, pl.DataFrame({"value": value}))
    some = np.arange(ask.questions.height, blind.questions.height)
    lost = Study(history=world(), questions=blind.questions[some], features=blind.features.rows(some))
    truth = value[:: (ask.questions.height - 1) // (len(some) - 1)][: len(some)]
    mean = np.full(len(some), float(outcomes["value"].mean()))  # type: ignore[arg-type]
    said = trees.forecast(lost).rows["point"].to_numpy()
    assert np.isfinite(said).all()
    assert np.abs(said - truth).mean() < 1.3 * np.abs(mean - truth).mean()


def test_trees_are_grown_once_for_all_who_learn_the_same() -> None:
    learn, outcomes, _, _ = studied("wind")
    assert Trees("wind").fit(learn, outcomes).grown is Ensemble("wind").fit(learn, outcomes).trees.grown


def test_analogs_speak_beside_the_trees_of_later_hours_with_a_forecast_of_the_wind() -> None:
    learn, outcomes, ask, _ = studied("wind")
    both = Ensemble("wind").fit(learn, outcomes)
    said, trees = both._learned(ask), both.trees.forecast(ask).rows.to_numpy()
    assert both.analogs is not None
    alike = both.analogs.quantiles(ask) * ask.features["capacity"][:, None]
    near, blind = both.trees.near(ask), np.isnan(ask.features["weather_age"])
    assert near.any()
    assert blind.any()
    assert np.isnan(alike[blind]).all()
    alone = near | np.isnan(alike[:, 0])
    assert 0 < alone.sum() < len(alone)
    assert np.array_equal(said[alone], trees[alone])
    own = ask.questions["entity"].is_in(both.trees.grown.keys()).to_numpy()[:, None]
    share = np.where(own, BESIDE_OWN, BESIDE_ALL)
    assert np.allclose(said[~alone, 1:], ((1 - share) * trees[:, 1:] + share * alike)[~alone])


def test_leftovers_are_those_of_points_as_high_and_as_far() -> None:
    random = np.random.default_rng(1)
    point, ahead = random.uniform(0, 1, 20_000), random.choice([1.0, 50.0], 20_000)
    value = point + random.normal(0, 0.01 + 0.1 * point * (ahead > 36))
    left = Leftovers(LEVELS).fit(point, ahead, value)
    near, far = (left.about(np.array([0.9]), np.array([hours]))[0] for hours in (1.0, 50.0))
    assert near[-2] - near[1] == pytest.approx(2 * 1.28 * 0.01, rel=0.2)
    assert far[-2] - far[1] == pytest.approx(2 * 1.28 * 0.1, rel=0.2)
    again = Leftovers(LEVELS).read(left.to_dict())
    assert np.array_equal(again.about(point, ahead), left.about(point, ahead))


@pytest.mark.row("E6")
@pytest.mark.parametrize("task", [SOLAR, WIND], ids=["solar", "wind"])
def test_a_training_is_on_record_and_each_plant_has_who_did_best(task: object) -> None:
    trained = train(task, world())  # type: ignore[arg-type]
    card = trained.model.card
    assert len(card.features) > 50
    assert card.outcomes["settled"] > 1000
    served = card.scores[card.candidate]
    assert {"mae", "rmse", "r2", "mape"} <= set(served)
    assert served["pinball"] < card.scores["smart_persistence"]["pinball"]  # type: ignore[operator]
    assert card.candidate == "by plant"
    assert set(trained.model.worth) <= {"roof", "field", "shore", "hill"}
