"""Who serves after a race: the least error, unless who answers meanwhile may have been unlucky."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from tests.toys import plain
from tests.toys.plain import Told

from foretell import Quantity, Study
from foretell.engine import scores
from foretell.engine.backtest import Backtest
from foretell.engine.scores import gap, score
from foretell.engine.train import choose, train

TARGET = Quantity(unit="m")


def errors(told: np.ndarray) -> pl.DataFrame:
    """Forecasts of zeros that are wrong by so much."""
    return pl.DataFrame({"point": told, "q10": told, "q50": told, "q90": told})


def asked(folds: int, entities: int, each: int) -> pl.DataFrame:
    rows = [(fold, f"{name:03}", 0.0) for fold in range(folds) for name in range(entities) for _ in range(each)]
    return pl.DataFrame(rows, schema=["fold", "entity", "value"], orient="row")


@pytest.mark.parametrize(("folds", "entities"), [(5, 1), (2, 10), (3, 1)])
def test_of_means_the_jackknife_is_the_usual_standard_error(folds: int, entities: int) -> None:
    """Of a mean over blocks of one length it is the deviation of the blocks' means over the root of their number."""
    random = np.random.default_rng(3)
    questions = asked(folds, entities, 4)
    one, other = random.normal(size=(2, questions.height))
    said = gap(TARGET, "mae", errors(one), errors(other), questions)
    means = (np.abs(one) - np.abs(other)).reshape(-1, 4).mean(axis=1)
    assert said is not None
    np.testing.assert_allclose(said, [means.mean(), means.std(ddof=1) / len(means) ** 0.5, folds * entities])


@pytest.mark.parametrize("metric", ["rmse", "mape", "pinball"])
def test_of_any_metric_a_block_at_a_time_is_left_out(metric: str) -> None:
    random = np.random.default_rng(4)
    questions = asked(7, 1, 3).with_columns(value=pl.Series(random.uniform(1, 2, 21)))
    one, other = (errors(random.normal(size=21)) for _ in range(2))
    left = []
    for fold in range(7):
        kept = questions["fold"] != fold
        mine, its = (score(TARGET, rows.filter(kept), questions["value"].filter(kept))[metric] for rows in (one, other))
        assert mine is not None
        assert its is not None
        left.append(mine - its)
    said = gap(TARGET, metric, one, other, questions)
    assert said is not None
    assert said[1] == pytest.approx((6 / 7 * np.square(np.array(left) - np.mean(left)).sum()) ** 0.5)


def test_blocks_are_no_more_than_needed_and_split_nobody_in_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "BLOCKS", 4)
    random = np.random.default_rng(5)
    questions = asked(2, 4, 3)
    one, other = random.normal(size=(2, 24))
    said = gap(TARGET, "mae", errors(one), errors(other), questions)
    means = (np.abs(one) - np.abs(other)).reshape(4, -1).mean(axis=1)
    assert said is not None
    assert said[1] == pytest.approx(means.std(ddof=1) / 2)


def test_of_one_block_nothing_is_known() -> None:
    questions = asked(1, 1, 30)
    assert gap(TARGET, "mae", errors(np.ones(30)), errors(np.zeros(30)), questions) is None
    assert gap(TARGET, "mape", errors(np.ones(60)), errors(np.zeros(60)), asked(2, 1, 30)) is None  # all are zero


def off(far: float, spread: float, seed: int) -> Callable[[], Told]:
    """A candidate that is so far off, by more or less from fold to fold."""

    def point(study: Study) -> pl.Series:
        day = study.questions["at"].dt.epoch("d").to_numpy()
        wrong = far + spread * np.array([np.random.default_rng([seed, int(d)]).normal() for d in np.unique(day)])
        truth = study.questions.join(
            plain.history()["values"].rename({"time": "at"}), on=["entity", "at"], how="left", maintain_order="left"
        )["value"]
        return truth + pl.Series(wrong[np.searchsorted(np.unique(day), day)])

    return lambda: Told(point)


def served(**candidates: Callable[[], Told]) -> tuple[str, str]:
    target = Quantity(unit="m", levels=(0.1, 0.9))  # without a median no point is moved
    task = plain.task({"base": off(9.0, 0.0, 0), **candidates}, meanwhile="usual", target=target)
    card = train(task, plain.history()).model.card
    return card.candidate, card.reason


def test_who_answers_meanwhile_is_not_replaced_by_the_lucky() -> None:
    who, reason = served(usual=off(5.0, 0.0, 0), lucky=off(4.8, 2.0, 5))
    assert who == "usual"
    assert "lucky has the least mae of 3" in reason
    assert "may be chance" in reason


def test_of_few_blocks_more_is_asked_for() -> None:
    """As sure as three standard errors are of many: 1 in 740 by chance, of four blocks 9.2 and of twelve 3.85."""
    for folds, student, near in ((4, 9.22, 2.0), (12, 3.85, 0.05), (20, 3.45, 0.05)):
        questions = asked(folds, 1, 10)
        spread = np.random.default_rng(6).normal(size=folds)
        spread = np.repeat((spread - spread.mean()) / spread.std(ddof=1), 10)
        for above, sure in ((student + near, True), (student - near - 0.3, False)):
            wrong = 100 + spread + above / folds**0.5  # its mean lies so many standard errors above 100
            said = {"base": errors(wrong + 9), "usual": errors(wrong), "other": errors(np.full(len(wrong), 100.0))}
            task = plain.task(dict.fromkeys(said, Told), target=TARGET, meanwhile="usual")
            tested = Backtest(task=task, asked=questions, raw=said, forecasts=said, skipped={}, folds=())
            assert choose(task, tested)[0] == ("other" if sure else "usual")


def test_who_is_surely_better_serves() -> None:
    assert served(usual=off(5.0, 0.0, 0), better=off(3.0, 0.1, 1))[0] == "better"


def test_the_baseline_too_must_be_surely_better_than_who_answers_meanwhile() -> None:
    assert served(usual=off(9.1, 2.0, 1))[0] == "usual"
    assert served(usual=off(19.0, 0.1, 1))[0] == "base"


def test_without_anybody_meanwhile_the_least_error_serves() -> None:
    task = plain.task(
        {"base": off(5.0, 0.0, 0), "lucky": off(4.8, 2.0, 5)}, target=Quantity(unit="m", levels=(0.1, 0.9))
    )
    assert train(task, plain.history()).model.card.candidate == "lucky"
