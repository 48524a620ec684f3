"""The six factors against a slow and obvious oracle, what holding means, and the chance that is served."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.traffic import DAY, HOUR, MINUTE, clock_hour, history, metrics, utc

from foretell import Frame, History
from foretell.contract import QUESTION
from foretell.domains.traffic import LOAD
from foretell.domains.traffic.confidence import TRUST, ConfidenceScorer
from foretell.domains.traffic.sample import sample
from foretell.domains.traffic.schema import LoadAnswer, LoadRequest
from foretell.engine.collect import narrowed
from foretell.engine.model import Model
from foretell.engine.predict import Prediction, predict
from foretell.engine.train import train

NOW = utc(2024, 3, 1)
ZONE = "Asia/Kolkata"  # hours that begin at half past, UTC


def patchy(name: str, days: int, seed: int, step: timedelta = 20 * MINUTE) -> Frame:
    """A service measured for so many days, with gaps of all lengths and hours of zero."""
    rng = np.random.default_rng(seed)
    count = days * DAY // step
    gone = np.zeros(count, dtype=bool)
    for start in rng.integers(0, count, days // 2):
        gone[start : start + rng.integers(1, 200)] = True
    value = np.where(rng.random(count) < 0.05, 0.0, 100 * rng.lognormal(0, 0.3, count))
    return metrics(
        [(NOW - step * (count - k), float(value[k])) for k in range(count) if not gone[k]], service=name, lasting=step
    )


def said_of(asked: list[tuple[str, datetime, datetime]], seed: int = 1) -> Frame:
    """The questions with some forecast of them, in some order."""
    rng = np.random.default_rng(seed)
    point = rng.exponential(100, len(asked)).round(rng.integers(-2, 2))
    rows = {
        "point": point,
        "q10": point * rng.random(len(asked)),
        "q50": point,
        "q90": point + rng.random(len(asked)) * 80,
    }
    return (
        pl.DataFrame(asked, schema=QUESTION, orient="row")
        .hstack(pl.DataFrame(rows))
        .sample(fraction=1, shuffle=True, seed=seed)
    )


def oracle(cut: History, rows: Frame) -> dict[str, float]:
    """The factors of one answer (all its questions) by plain loops over what was known then."""
    entity, as_of = rows["entity"][0], rows["as_of"][0]
    hours: dict[datetime, list[float]] = {}
    for time, known, value, whom in cut["metrics"].select("time", "known_at", "value", "entity").iter_rows():
        if whom == entity:
            when = max(time, known - timedelta(microseconds=1))
            hours.setdefault(clock_hour(when, ZONE), []).append(value)
    end = clock_hour(as_of, ZONE)
    past = [hours.get(end - HOUR * k) for k in range(1, 42 * 24 + 1)]
    means = [None if values is None else sum(values) / len(values) for values in past]

    def near(ago: int, count: int) -> float:
        pairs = [(means[k], means[k + ago]) for k in range(count)]
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        level = sum(b for _, b in both)
        return 1 / (1 + sum(abs(a - b) for a, b in both) / level / 0.15) if level > 0 else 0.0

    late = next((k for k in range(24) if means[k] is not None), 24)
    first = [row for row in rows.iter_rows(named=True) if row["at"] < as_of + 4 * HOUR]
    top = max(first, key=lambda row: (row["point"], row["q90"] - row["q10"]))
    half = (top["q90"] - top["q10"]) / 2 / top["point"] if top["point"] > 0 else math.inf
    return {
        "history": max((k + 1 for k, mean in enumerate(means) if mean is not None), default=0) / len(means),
        "freshness": 1 - late / 24,
        "completeness": sum(mean is not None for mean in means[:168]) / 168,
        "stability": near(168, 6),
        "regularity": near(168, 168),
        "band": 1 / (1 + half / 0.15),
    }


@pytest.fixture(scope="module")
def world() -> History:
    frame = pl.concat([patchy("long", 80, 1), patchy("short", 12, 2, HOUR), patchy("gone", 60, 3)])
    silent = pl.col("entity").str.starts_with("gone") & (pl.col("time") > NOW - 30 * DAY)
    return history(frame.filter(~silent), NOW, ZONE)


@pytest.fixture(scope="module")
def said(world: History) -> Frame:
    """Standpoints on whole hours and inside them, of 1 to 24 hours, of three services and one without metrics."""
    rng, asked = np.random.default_rng(5), []
    for k in range(60):
        entity = f"{('long', 'short', 'gone', 'nobody')[k % 4]}/requests_per_minute"
        as_of = NOW - timedelta(minutes=int(rng.integers(0, 40 * 24 * 60)))
        as_of = clock_hour(as_of, ZONE) if k % 3 else as_of
        first = clock_hour(as_of - timedelta(microseconds=1), ZONE) + HOUR
        asked += [(entity, as_of, first + HOUR * j) for j in range(int(rng.choice([1, 3, 4, 24])))]
        if k % 5 == 0:
            asked.append((entity, as_of, first + 30 * HOUR))
    return said_of(asked)


@pytest.mark.row("T5")
def test_the_six_factors_are_those_of_plain_loops_over_what_was_known(world: History, said: Frame) -> None:
    """One row a question in any order, equal for those asked together; nothing of after `as_of` is looked at."""
    made = TRUST.factors(world, said)
    assert made.columns == list(TRUST.names)
    both = said.hstack(made.get_columns())
    for (_, as_of), rows in both.partition_by("entity", "as_of", as_dict=True).items():
        told = oracle(world.cut(as_of), rows)
        for name in TRUST.names:
            assert rows[name].n_unique() == 1
            assert rows[name][0] == pytest.approx(told[name], abs=1e-4), (name, as_of)
    assert made.min().row(0) != made.max().row(0)


@pytest.mark.row("T5")
def test_the_future_changes_no_factor_and_what_is_read_is_enough(world: History, said: Frame) -> None:
    made = TRUST.factors(world, said)
    both = said.hstack(made.get_columns())
    for (_, as_of), rows in both.partition_by("entity", "as_of", as_dict=True).items():
        plain = rows.drop(TRUST.names)
        cut = world.cut(as_of)
        narrow = narrowed(cut, LOAD.reads, plain.select(list(QUESTION)))
        for then in (cut, narrow):
            assert_frame_equal(TRUST.factors(then, plain), rows.select(TRUST.names), check_exact=True)


def test_the_documents_scorer_gives_the_same_factors() -> None:
    steady = metrics([(NOW - HOUR * k, 100.0 + 30 * math.sin(k) + k % 24) for k in range(1, 43 * 24)])
    there = history(steady, NOW)
    rows = said_of([("default/requests_per_minute", NOW, NOW + HOUR * k) for k in range(4)]).sort("at")
    past = np.array([100.0 + 30 * math.sin(k) + k % 24 for k in range(1, 42 * 24 + 1)])
    alone = ConfidenceScorer().factors(past, rows)
    assert TRUST.factors(there, rows).row(0, named=True) == pytest.approx(alone, abs=1e-4)


# ---------------------------------------------------------------- what holding means


def answer(points: list[float], values: list[float | None], missing: tuple[int, ...] = ()) -> Frame:
    """One answer of consecutive hours, some of them not there at all."""
    rows = pl.DataFrame(
        {
            "entity": "a", "as_of": [NOW] * len(points), "at": [NOW + HOUR * k for k in range(len(points))],
            "known_at": [NOW + HOUR * (k + 1) for k in range(len(points))], "point": points, "value": values,
        },
        schema_overrides={"value": pl.Float64},
    )  # fmt: skip
    return rows[[k for k in range(len(points)) if k not in missing]]


@pytest.mark.row("T5")
@pytest.mark.parametrize(
    ("points", "values", "told"),
    [
        ([80, 100, 90, 70], [10, 115, 20, 30], 1.0),
        ([80, 100, 90, 70], [10, 115.1, 20, 30], 0.0),
        ([80, 100, 90, 70], [85, 10, 20, 30], 1.0),  # the peak may come at another hour
        ([80, 100, 90, 70], [84.9, 10, 20, 30], 0.0),
        ([80, 100, 90, 70, 500], [100, 10, 20, 30, 1000], 1.0),  # the fifth hour does not count
        ([0, 0, 0, 0], [0, 0, 0, 0], 1.0),
        ([0, 0, 0, 0], [0, 0, 0.1, 0], 0.0),
        ([80, 100, 90, 70], [100, None, 20, 30], None),
        ([80, 100, 90], [100, 100, 20], None),
    ],
)
def test_an_answer_holds_where_the_peak_of_four_hours_is_within_15_per_cent(
    points: list[float], values: list[float | None], told: float | None
) -> None:
    held = TRUST.held(answer(points, values))
    assert held.select("entity", "as_of", "held").rows() == [("a", NOW, told)]
    if told is not None:
        assert held["known_at"].to_list() == [NOW + 4 * HOUR], "when the last of the four was known, not a later one"


def test_with_an_hour_missing_it_cannot_be_told() -> None:
    for gone in range(4):
        assert TRUST.held(answer([80, 100, 90, 70, 60], [80, 100, 90, 70, 60], (gone,)))["held"].to_list() == [None]
    rows = pl.concat([answer([80, 100, 90, 70], [100] * 4), answer([80, 100, 90, 70], [200] * 4)])
    two = rows.with_columns(entity=pl.Series(["b"] * 4 + ["a"] * 4))
    assert dict(TRUST.held(two.sample(fraction=1, shuffle=True, seed=1)).select("entity", "held").iter_rows()) == {
        "b": 1.0, "a": 0.0,
    }  # fmt: skip


# ---------------------------------------------------------------- served


@pytest.fixture(scope="module")
def past() -> History:
    return sample(1).history


@pytest.fixture(scope="module")
def model(past: History) -> Model:
    quick = replace(LOAD, candidates={name: LOAD.candidates[name] for name in ("weekly_naive", "seasonal_baseline")})
    return replace(train(quick, past).model, task=LOAD)


def told(history: History, model: Model | None, *requests: LoadRequest) -> list[LoadAnswer]:
    made = predict([(LOAD, request) for request in requests], history, {LOAD.name: model} if model else {})
    out: list[LoadAnswer] = []
    for one in made:
        assert isinstance(one, Prediction), one
        assert isinstance(one.answer, LoadAnswer)
        out.append(one.answer)
    return out


@pytest.mark.row("T5")
def test_a_trained_model_says_the_chance_and_an_untrained_one_says_that_it_does_not(
    past: History, model: Model
) -> None:
    request = LoadRequest(service="donations")
    assert model.chance is not None
    (sure,), (unsure,) = told(past, model, request), told(past, None, request)
    assert (sure.confidence_is, unsure.confidence_is) == ("calibrated", "uncalibrated")
    x = np.array([[sure.factors[name] for name in TRUST.names]])
    assert sure.confidence == pytest.approx(float(model.chance.chance(x)[0]), abs=1e-4)
    assert unsure.confidence == ConfidenceScorer().score(unsure.factors)
    assert model.card.trust is not None
    assert model.card.trust.answers == 2 * (21 * 6 - 1), "two services, three weeks, every fourth hour; one is open"


def test_an_answer_does_not_depend_on_what_else_is_asked(past: History, model: Model) -> None:
    """Of one service one hour, four and 24 in a batch: each has the band of its own first hours."""
    requests = [LoadRequest(service="donations", hours=n) for n in (1, 4, 24)] + [LoadRequest(service="checkout")]
    for when in (past, past.cut(past.now - 25 * MINUTE)):
        alone = [told(when.cut(when.now), model, request)[0] for request in requests]
        assert told(when, model, *requests) == alone
        assert alone[1].factors == alone[2].factors


@pytest.mark.parametrize(
    "worse",
    [
        lambda frame, now: frame.filter(pl.col("known_at") <= now - 9 * HOUR),
        lambda frame, now: frame.filter(pl.col("time") > now - 8 * DAY),
        lambda frame, now: frame.filter(~pl.col("time").dt.hour().is_between(3, 15)),
    ],
    ids=["silent", "short", "patchy"],
)
def test_on_worse_facts_than_any_learned_from_it_is_less_sure(
    past: History, model: Model, worse: Callable[[Frame, datetime], Frame]
) -> None:
    """Although no answer that it learned from was ever given on such facts."""
    poor = History(past.standpoint, {"metrics": worse(past["metrics"], past.now)})
    request = LoadRequest(service="donations")
    less, usual = (told(history, model, request)[0].confidence for history in (poor, past))
    assert less / (1 - less) < 0.8 * usual / (1 - usual)
