"""Who serves after a race: the least error, unless who answers meanwhile may have been unlucky."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from tests.toys import plain
from tests.toys.plain import Told

from foretell import Gate, Quantity, Rolling, Study
from foretell.engine import scores
from foretell.engine.backtest import Backtest
from foretell.engine.scores import BLOCKS, gap, score
from foretell.engine.train import choose, train

TARGET = Quantity(unit="m")


def errors(told: np.ndarray) -> pl.DataFrame:
    """Forecasts of zeros that are wrong by so much."""
    return pl.DataFrame({"point": told, "q10": told, "q50": told, "q90": told})


def asked(folds: int, entities: int, each: int) -> pl.DataFrame:
    rows = [(fold, f"{name:03}", 0.0) for fold in range(folds) for name in range(entities) for _ in range(each)]
    return pl.DataFrame(rows, schema=["fold", "entity", "value"], orient="row")


@pytest.mark.parametrize(("folds", "entities"), [(8, 1), (2, 10), (3, 3)])
def test_of_means_the_jackknife_is_the_usual_standard_error(folds: int, entities: int) -> None:
    """Of a mean over blocks of one length it is the deviation of the blocks' means over the root of their number."""
    random = np.random.default_rng(3)
    questions = asked(folds, entities, 4)
    one, other = random.normal(size=(2, questions.height))
    said = gap(TARGET, "mae", errors(one), errors(other), questions)
    means = (np.abs(one) - np.abs(other)).reshape(-1, 4).mean(axis=1)
    assert said is not None
    np.testing.assert_allclose(said, [means.mean(), means.std(ddof=1) / len(means) ** 0.5])


@pytest.mark.parametrize("metric", ["rmse", "mape", "pinball"])
def test_of_any_metric_a_block_at_a_time_is_left_out(metric: str) -> None:
    random = np.random.default_rng(4)
    questions = asked(9, 1, 3).with_columns(value=pl.Series(random.uniform(1, 2, 27)))
    one, other = (errors(random.normal(size=27)) for _ in range(2))
    left = []
    for fold in range(9):
        kept = questions["fold"] != fold
        mine, its = (score(TARGET, rows.filter(kept), questions["value"].filter(kept))[metric] for rows in (one, other))
        assert mine is not None
        assert its is not None
        left.append(mine - its)
    said = gap(TARGET, metric, one, other, questions)
    assert said is not None
    assert said[1] == pytest.approx((8 / 9 * np.square(np.array(left) - np.mean(left)).sum()) ** 0.5)


def test_blocks_are_no_more_than_needed_and_split_nobody_in_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "BLOCKS", 4)
    monkeypatch.setattr(scores, "FEWEST", 4)
    random = np.random.default_rng(5)
    questions = asked(2, 4, 3)
    one, other = random.normal(size=(2, 24))
    said = gap(TARGET, "mae", errors(one), errors(other), questions)
    means = (np.abs(one) - np.abs(other)).reshape(4, -1).mean(axis=1)
    assert said is not None
    assert said[1] == pytest.approx(means.std(ddof=1) / 2)


def test_of_few_blocks_nothing_is_known() -> None:
    questions = asked(1, 1, 30)
    assert gap(TARGET, "mae", errors(np.ones(30)), errors(np.zeros(30)), questions) is None
    assert gap(TARGET, "mae", errors(np.ones(70)), errors(np.zeros(70)), asked(7, 1, 10)) is None
    assert gap(TARGET, "mae", errors(np.ones(80)), errors(np.zeros(80)), asked(8, 1, 10)) == (1.0, 0.0)
    assert gap(TARGET, "mape", errors(np.ones(80)), errors(np.zeros(80)), asked(8, 1, 10)) is None  # all are zero


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
    rolling = Rolling(folds=4, span=timedelta(days=2))  # of two entities: eight blocks
    task = plain.task({"base": off(9.0, 0.0, 0), **candidates}, meanwhile="usual", target=target, rolling=rolling)
    card = train(task, plain.history()).model.card
    return card.candidate, card.reason


def test_who_answers_meanwhile_is_not_replaced_by_the_lucky() -> None:
    who, reason = served(usual=off(5.0, 0.0, 0), lucky=off(4.8, 2.0, 5))
    assert who == "usual"
    assert "lucky has the least mae of 3" in reason
    assert "may be chance" in reason


def test_four_standard_errors_of_eight_blocks_are_enough_and_no_less() -> None:
    for folds, above, sure in ((8, 4.1, True), (8, 3.9, False), (40, 4.1, True), (40, 3.9, False), (7, 99.0, False)):
        questions = asked(folds, 1, 10)
        spread = np.random.default_rng(6).normal(size=min(folds, BLOCKS))
        spread = (spread - spread.mean()) / spread.std(ddof=1)
        # Its mean lies so many standard errors above 100.
        wrong = np.repeat(100 + spread + above / len(spread) ** 0.5, questions.height // len(spread))
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


@pytest.mark.parametrize(
    ("base", "best", "gate", "who", "reason"),
    [
        (9.0, 4.9, Gate(metric="mae", least=1000), "usual", "80 settled outcomes are too few to trust by entity"),
        (9.0, 4.9, Gate(metric="mae", least=1, skill=0.9), "usual", "by entity is only 45.6% better"),
        (9.0, 9.5, Gate(metric="mae", least=1), "usual", "not even by entity has a lower mae than the baseline's 9"),
        (4.0, 4.5, Gate(metric="mae", least=1), "base", "not even by entity has a lower mae"),
        (4.95, 4.9, Gate(metric="mae", least=1000), "usual", "too few to trust by entity"),
        (4.6, 4.5, Gate(metric="mae", least=1000), "base", "too few to trust by entity"),
    ],
)
def test_where_nobody_may_take_over_who_answered_goes_on_but_for_a_baseline_that_is_better(
    base: float, best: float, gate: Gate, who: str, reason: str
) -> None:
    """Few outcomes are no reason to serve worse than before; of 80 the baseline must be a sixteenth better."""
    said = {name: errors(np.full(80, off)) for name, off in (("base", base), ("usual", 5.0), ("by entity", best))}
    candidates: dict[str, Callable[[], Told]] = dict.fromkeys(("base", "usual"), Told)
    task = plain.task(candidates, target=TARGET, meanwhile="usual", scope="entity", gate=gate)
    tested = Backtest(task=task, asked=asked(8, 1, 10), raw=said, forecasts=said, skipped={}, folds=())
    chosen, words = choose(task, tested)
    assert chosen == who
    assert reason in words
