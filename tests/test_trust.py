"""How sure an answer is: learned from old answers only, no better said than it was, and kept to the last bit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.toys import DAY, HOUR, START, plain, world

from foretell import Frame, History, Task
from foretell.app.basis import Basis
from foretell.contract import Floats, Trust
from foretell.engine.model import Model
from foretell.engine.predict import Prediction, predict
from foretell.engine.train import train
from foretell.engine.trust import FIRST, LEAST, learn
from foretell.errors import BrokenDomain
from foretell.models.logistic import Logistic
from foretell.testing.files import pickles

KEYS = ["entity", "as_of"]


def held(rows: Frame) -> Frame:
    """An answer holds where its value is above the level; a negative value tells nothing."""
    value = pl.when(pl.col("value") >= 0).then((pl.col("value") > 10).cast(pl.Float64))
    return rows.select(*KEYS, "known_at", held=value)


def hinted(history: History, said: Frame) -> Frame:
    """Two factors from the table of hints: one that tells of the value, one that is noise."""
    found = said.select("entity", time="as_of").join(
        history["hints"], on=["entity", "time"], how="left", maintain_order="left"
    )
    return found.select("hint", "noise")


TRUST = Trust(meaning="the value is above ten", names=("hint", "noise"), factors=hinted, held=held)
TASK = plain.task(trust=TRUST)


def told(days: int = 10, *, use: float = 1.0, seed: int = 1) -> History:
    """The plain world, with a hint of each value: `use` 1 tells it well, 0 not at all."""
    history, rng = plain.history(days, seed=seed), np.random.default_rng(seed)
    values = history["values"]
    above = (values["value"].to_numpy() > 10).astype(float)
    drawn, noise = rng.random((2, len(above)))
    hint = np.where(rng.random(len(above)) < use, 0.25 + above / 2 + (drawn - 0.5) / 2, drawn)
    hints = values.select("entity", "time", "known_at").with_columns(hint=pl.Series(hint), noise=pl.Series(noise))
    return world(history.now, values=values, hints=hints.with_columns(known_at=pl.col("time")))


def answers(count: int, *, seed: int = 1, chance: Floats | None = None) -> tuple[Frame, History]:
    """Old answers of one entity, an hour apart, and the hints of them; `chance` is that of each to hold."""
    rng = np.random.default_rng(seed)
    hint = rng.random(count)
    value = np.where(rng.random(count) < (hint if chance is None else chance), 11.0, 9.0)
    as_of = [START + HOUR * k for k in range(count)]
    rows = pl.DataFrame({"entity": "a", "as_of": as_of, "at": as_of, "value": value, "point": 10.0})
    rows = rows.with_columns(known_at=pl.col("as_of") + HOUR)
    hints = pl.DataFrame({"entity": "a", "time": as_of, "known_at": as_of, "hint": hint, "noise": rng.random(count)})
    return rows, world(START + HOUR * (count + 1), hints=hints)


# ---------------------------------------------------------------- the chance by factors


def test_a_logistic_finds_the_chances_that_made_the_outcomes() -> None:
    rng = np.random.default_rng(3)
    x = rng.random((20_000, 3))
    true = 1 / (1 + np.exp(-(-2 + 3 * x[:, 0] + 1.5 * x[:, 1])))
    found = Logistic.fit(x, (rng.random(len(x)) < true).astype(float))
    assert np.abs(found.chance(x) - true).max() < 0.03
    assert found.slopes[2] == pytest.approx(0, abs=0.2)


def test_it_is_the_least_of_the_penalised_loss() -> None:
    """By a slow and obvious search about what was found."""
    rng = np.random.default_rng(4)
    x = rng.random((60, 2))
    y = (rng.random(60) < x[:, 0]).astype(float)
    found = Logistic.fit(x, y)
    start = np.log((y.sum() + 1) / (len(y) + 1 - y.sum()))

    def loss(intercept: float, slopes: Floats) -> float:
        line = intercept + (x - x.mean(axis=0)) @ slopes
        penalty = 0.1 * ((intercept - start) ** 2 + (slopes**2).sum())
        return float((np.log1p(np.exp(line)) - y * line).sum() + penalty)

    best = loss(found.intercept, np.array(found.slopes))
    for k in range(3):
        for step in (-0.05, 0.05):
            moved = np.array([found.intercept, *found.slopes])
            moved[k] += step
            if (moved[1:] >= 0).all():
                assert loss(moved[0], moved[1:]) > best


def test_no_factor_lowers_the_chance() -> None:
    rng = np.random.default_rng(5)
    x = rng.random((500, 2))
    found = Logistic.fit(x, (rng.random(500) < 0.2 + 0.3 * x[:, 0] + 0.3 * (1 - x[:, 1])).astype(float))
    assert found.slopes[0] > 0
    assert found.slopes[1] == 0


def test_worse_than_all_that_was_seen_is_less_sure() -> None:
    """Also by the base rate alone, and by a factor that never moved."""
    x = np.column_stack([np.ones(100), np.linspace(0.4, 0.8, 100)])
    for flat in (True, False):
        found = Logistic.fit(x, np.tile([1.0, 1.0, 0.0, 1.0], 25), flat=flat)
        chance = found.chance(np.array([[1.0, 0.6], [0.5, 0.6], [1.0, 0.1], [0.0, 0.6]]))
        usual, late, narrow, zero = chance / (1 - chance)
        assert late == pytest.approx(usual / 4)
        assert narrow <= usual / 16 + 1e-12
        assert zero == 0


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 1000), count=st.integers(1, 80), rate=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    grain=st.sampled_from([0, 1, 4]),
)  # fmt: skip
def test_a_chance_is_one_whatever_it_was_learned_from(seed: int, count: int, rate: float, grain: int) -> None:
    """All held, none did, factors that never move or are all 0: still above 0 and below 1 where they were seen."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.random((count, 6)), grain)
    found = Logistic.fit(x, (rng.random(count) < rate).astype(float))
    assert ((found.chance(x) > 0) & (found.chance(x) < 1)).all()
    assert min(found.slopes) >= 0
    assert Logistic.from_dict(found.to_dict()) == found
    assert [float(found.chance(x[k : k + 1])[0]) for k in range(count)] == found.chance(x).tolist(), "each alone"


# ---------------------------------------------------------------- learned from a backtest


@pytest.mark.row("T5")
def test_factors_that_tell_are_believed_and_beat_the_base_rate() -> None:
    model = train(TASK, told()).model
    worth = model.card.trust
    assert model.chance is not None
    assert worth is not None
    assert worth.serves == "factors"
    assert worth.meaning == TRUST.meaning
    assert worth.brier < 0.7 * worth.base_brier
    assert worth.answers == 2 * 24 * 6
    assert FIRST < worth.scored < worth.answers
    assert sum(each.count for each in worth.bins) == worth.scored
    assert [each.said for each in worth.bins] == sorted(each.said for each in worth.bins)
    assert sum(b.said * b.count for b in worth.bins) == pytest.approx(worth.base_rate * worth.scored, rel=0.1)
    assert sum(b.happened * b.count for b in worth.bins) == pytest.approx(worth.base_rate * worth.scored)


def test_of_noise_the_base_rate_is_served_and_the_card_says_so() -> None:
    rows, history = answers(400, chance=np.full(400, 0.7), seed=8)
    chance, worth = learn(TASK, history, rows)
    assert chance is not None
    assert worth is not None
    assert worth.brier >= worth.base_brier
    assert worth.serves == "base rate"
    assert chance.slopes == [0.0, 0.0]
    x = np.array([[0.9, 0.1], [0.5, 0.9]])
    happened = (rows["value"] > 10).sum()
    assert chance.chance(x).tolist() == pytest.approx([(happened + 1) / 402] * 2)


@pytest.mark.row("T5")
def test_it_means_what_it_says() -> None:
    """Out of sample, in every fifth the share that held is about the chance that was said."""
    rows, history = answers(6000)
    _, worth = learn(TASK, history, rows)
    assert worth is not None
    assert len(worth.bins) == 5
    for each in worth.bins:
        assert each.happened == pytest.approx(each.said, abs=0.05)
    assert worth.brier == pytest.approx(1 / 6, abs=0.01), "the mean of p (1 - p), the least there can be"
    assert worth.base_brier == pytest.approx(1 / 4, abs=0.01)


def test_with_too_few_answers_there_is_no_chance() -> None:
    for count in (LEAST - 1, LEAST):
        rows, history = answers(count)
        assert (learn(TASK, history, rows) == (None, None)) == (count < LEAST)
    rows, history = answers(60)
    late = rows.with_columns(known_at=pl.lit(history.now))
    assert learn(TASK, history, late) == (None, None), "nothing was known in time to score anything"
    unknown = rows.with_columns(value=pl.when(pl.col("as_of") < START + 30 * HOUR).then("value").otherwise(-1.0))
    assert learn(TASK, history, unknown) == (None, None), "what can't be told does not count"
    assert learn(plain.TASK, history, rows) == (None, None)


def test_a_block_is_scored_by_what_was_known_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes that come a week late are learned from a week later, and no sooner."""
    rows, history = answers(1000)
    rows = rows.with_columns(known_at=pl.col("as_of") + 7 * DAY)
    learned: list[tuple[list[float], bool]] = []
    fit = Logistic.fit

    def spy(x: Floats, y: Floats, *, flat: bool = False) -> Logistic:
        learned.append((y.tolist(), flat))
        return fit(x, y, flat=flat)

    monkeypatch.setattr(Logistic, "fit", spy)
    learn(TASK, history, rows)
    wanted = []
    for begin in range(0, 1000, 10):
        now = START + HOUR * begin
        known = [float(v > 10) for v, at in rows.select("value", "known_at").iter_rows() if at <= now]
        if len(known) >= FIRST:
            wanted.append((known, False))
    assert learned[:-1] == wanted
    assert len(learned[-1][0]) == 1000, "what is served has learned from all"


def test_factors_must_be_those_declared() -> None:
    rows, history = answers(50)
    for wrong, words in (
        (lambda h, said: hinted(h, said).head(3), "one row a question"),
        (lambda h, said: hinted(h, said).rename({"hint": "other"}), "hint, noise"),
        (lambda h, said: hinted(h, said) * 2, "between 0 and 1"),
        (lambda h, said: hinted(h, said).with_columns(hint=pl.lit(None, pl.Float64)), "between 0 and 1"),
    ):
        with pytest.raises(BrokenDomain, match=words):
            learn(replace(TASK, trust=replace(TRUST, factors=wrong)), history, rows)


# ---------------------------------------------------------------- kept and served


def served(task: Task, history: History, model: Model | None, *entities: str) -> list[Prediction]:
    asked = [(task, task.request(entity=entity, at=history.now)) for entity in entities]
    said = predict(asked, history, {task.name: model} if model else {})
    out = [one for one in said if isinstance(one, Prediction)]
    assert len(out) == len(said), said
    return out


@pytest.fixture(scope="module")
def model() -> Model:
    return train(TASK, told()).model


def test_it_says_the_same_after_a_reload_to_the_last_bit(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path)
    assert not pickles(tmp_path)
    again = Model.load(TASK, tmp_path)
    assert again.chance == model.chance
    assert again.card == model.card
    (tmp_path / "trust.json").unlink()
    assert Model.load(TASK, tmp_path).chance is None, "one that was written before there was a chance"


def test_the_chance_stands_beside_the_forecast_and_its_worth_beside_the_answer(model: Model) -> None:
    assert model.chance is not None
    history = told()
    history = world(history.now - HOUR, **history.tables)  # a standpoint that has a hint
    for one, entity in zip(served(TASK, history, model, "a", "b", "a"), "aba", strict=True):
        hint = history["hints"].filter((pl.col("entity") == entity) & (pl.col("time") == history.now))
        x = hint.select("hint", "noise").to_numpy()
        assert one.forecast.evidence["hint"].to_list() == x[:, 0].tolist()
        assert one.forecast.evidence["confidence"].to_list() == model.chance.chance(x).tolist()
        basis, worth = Basis.of(TASK, one), model.card.trust
        assert basis.confidence is not None
        assert worth is not None
        assert basis.confidence.model_dump().items() <= worth.model_dump().items()


def test_without_a_model_there_are_factors_and_no_chance() -> None:
    history = told()
    history = world(history.now - timedelta(hours=1), **history.tables)
    task = replace(TASK, candidates={"zero": lambda: plain.Told(trains=False)})
    (one,) = served(task, history, None, "a")
    assert "hint" in one.forecast.evidence.columns
    assert "confidence" not in one.forecast.evidence.columns
    assert Basis.of(task, one).confidence is None
