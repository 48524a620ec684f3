"""Every metric equals a slow, obvious oracle."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell import Chance, Choice, Quantity, metrics
from foretell.engine.scores import score
from foretell.metrics import Floats

NUMBER = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
PAIRS = st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=20)
CHANCES = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.floats(0, 1), st.integers(0, 10).map(lambda k: k / 10))),
    min_size=1,
    max_size=30,
)


def columns(rows: list[Any]) -> list[Floats]:
    return [np.array(column, dtype=float) for column in zip(*rows, strict=True)]


def near(one: float | None, two: float) -> bool:
    return one is not None and math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-9)


@given(PAIRS)
@settings(max_examples=60)
def test_errors_of_a_point(pairs: list[tuple[float, float]]) -> None:
    value, point = columns(pairs)
    assert near(metrics.mae(value, point), sum(abs(y - p) for y, p in pairs) / len(pairs))
    assert near(metrics.rmse(value, point), math.sqrt(sum((y - p) ** 2 for y, p in pairs) / len(pairs)))
    some = [abs(y - p) / abs(y) for y, p in pairs if y != 0]
    mape = metrics.mape(value, point)
    if some:
        assert near(mape, 100 * sum(some) / len(some))
    else:
        assert mape is None


@given(st.lists(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER), min_size=1, max_size=20))
@settings(max_examples=60)
def test_errors_of_quantiles(rows: list[tuple[float, float, float, float]]) -> None:
    levels = (0.1, 0.5, 0.9)
    value, *said = columns([(y, *sorted(q)) for y, *q in rows])
    loss = 0.0
    for k, level in enumerate(levels):
        for y, q in zip(value, said[k], strict=True):
            loss += level * (y - q) if y >= q else (1 - level) * (q - y)
    assert near(metrics.pinball(value, np.column_stack(said), levels), loss / (3 * len(value)))
    inside, winkler = 0, 0.0
    for y, low, _, high in zip(value, *said, strict=True):
        inside += low <= y <= high
        winkler += high - low
        if y < low:
            winkler += 2 / 0.2 * (low - y)
        if y > high:
            winkler += 2 / 0.2 * (y - high)
    assert near(metrics.coverage(value, said[0], said[2]), inside / len(value))
    assert near(metrics.interval_score(value, said[0], said[2], 0.8), winkler / len(value))


@given(CHANCES)
@settings(max_examples=100)
def test_errors_of_a_chance(pairs: list[tuple[int, float]]) -> None:
    happened, chance = columns(pairs)
    assert near(metrics.brier(happened, chance), sum((p - y) ** 2 for y, p in pairs) / len(pairs))
    gap = 0.0
    for k in range(10):
        inside = [(y, p) for y, p in pairs if k == min(int(p * 10), 9)]
        if inside:
            said = sum(p for _, p in inside) / len(inside)
            seen = sum(y for y, _ in inside) / len(inside)
            gap += len(inside) / len(pairs) * abs(said - seen)
    assert near(metrics.calibration_error(happened, chance), gap)
    nats = [-math.log(max(p if y else 1 - p, 1e-15)) for y, p in pairs]
    rows, value = pl.DataFrame({"chance": chance}), pl.Series([y for y, _ in pairs])
    scored = score(Chance(event="it"), rows, value, baseline=rows)
    assert near(scored["log_loss"], sum(nats) / len(nats))
    share = sum(y for y, _ in pairs) / len(pairs)
    assert near(scored["base_rate_brier"], share * (1 - share))


@given(CHANCES)
@settings(max_examples=100)
def test_the_order_of_chances(pairs: list[tuple[int, float]]) -> None:
    """Every pair of what happened and what did not is compared; ties at the edge of the top are drawn in every way."""
    chance = np.array([p for _, p in pairs])
    beaten = [1.0 if p > q else 0.5 if p == q else 0.0 for y, p in pairs if y for z, q in pairs if not z]
    frame = pl.DataFrame({"chance": chance})
    scored = score(Chance(event="it"), frame, pl.Series([y for y, _ in pairs]), baseline=frame)
    if beaten:
        assert near(scored["auc"], sum(beaten) / len(beaten))
    else:
        assert scored["auc"] is None
    top = max(1, round(len(pairs) / 10))
    edge = sorted(chance)[-top]
    tied = [y for y, p in pairs if p == edge]
    free = top - sum(p > edge for _, p in pairs)
    drawn = [sum(some) for some in combinations(tied, free)] if len(tied) <= 12 else [free * sum(tied) / len(tied)]
    hits = sum(y for y, p in pairs if p > edge) + sum(drawn) / len(drawn)
    if any(y for y, _ in pairs):
        assert near(scored["lift_10"], hits / top / (sum(y for y, _ in pairs) / len(pairs)))
    else:
        assert scored["lift_10"] is None


@given(st.lists(st.tuples(st.sampled_from("abcx"), st.tuples(*[st.floats(0.01, 1)] * 3)), min_size=1, max_size=20))
@settings(max_examples=60)
def test_errors_of_a_choice(rows: list[tuple[str, tuple[float, float, float]]]) -> None:
    """A class that was never named (x) counts as given no chance at all, and as missed."""
    said = [{name: p / sum(ps) for name, p in zip("abc", ps, strict=True)} for _, ps in rows]
    frame = pl.DataFrame([{f"p:{name}": p for name, p in one.items()} for one in said])
    value = pl.Series([what for what, _ in rows])
    scored = score(Choice(of="it"), frame, value, baseline=frame)
    nats = [-math.log(max(one.get(what, 0.0), 1e-15)) for one, what in zip(said, value, strict=True)]
    right = [max(one, key=lambda name: one[name]) == what for one, what in zip(said, value, strict=True)]
    assert near(scored["log_loss"], sum(nats) / len(nats))
    assert near(scored["accuracy"], sum(right) / len(right))
    assert near(scored["majority"], max(list(value).count(name) for name in "abcx") / len(value))


def test_scores_of_a_quantity_name_every_defined_metric_and_none_else() -> None:
    target = Quantity(unit="m", levels=(0.9, 0.1, 0.5))  # in any order
    rows = pl.DataFrame({"point": [1.0, 2], "q10": [0.0, 1], "q50": [1.0, 2], "q90": [2.0, 3]})
    base = pl.DataFrame({"point": [3.0, 2]})
    scored = score(target, rows, pl.Series([1.0, 4.0]), baseline=base)
    assert set(scored) <= set(metrics.DEFINITIONS)
    assert scored["mae"] == 1.0
    assert scored["mase"] == pytest.approx(1 / 2)
    assert scored["coverage"] == 0.5
    assert scored["interval_score"] == pytest.approx((2 + 2 + 10 * 1) / 2)
    assert scored["pinball"] == pytest.approx(((0.1 + 0 + 0.1) + (0.3 + 1.0 + 0.9)) / 6)


def test_every_metric_that_can_be_scored_is_defined() -> None:
    rows, value = pl.DataFrame({"chance": [0.2, 0.7]}), pl.Series([0, 1])
    assert set(score(Chance(event="it"), rows, value, baseline=rows)) <= set(metrics.DEFINITIONS)
    some = pl.DataFrame({"p:a": [0.2, 0.7], "p:b": [0.8, 0.3]})
    assert set(score(Choice(of="it"), some, pl.Series(["a", "b"]), baseline=some)) <= set(metrics.DEFINITIONS)
    assert score(Chance(event="it"), rows.head(0), value.head(0), baseline=rows) == {}


def test_skill_is_the_share_of_error_saved() -> None:
    assert metrics.skill(3.0, 4.0) == 0.25
    assert metrics.skill(4.0, 2.0) == -1
    assert metrics.skill(0.0, 0.0) == 0
