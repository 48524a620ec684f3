"""The day of an empty shelf, against a slow obvious simulation and in the cases that are easy to get wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.inventory import LAST, days, said, stockout
from tests.inventory.test_demand import weeks

from foretell.domains.inventory import STOCKOUT
from foretell.domains.inventory.schema import StockoutRequest
from foretell.domains.inventory.stockout import by, near, sure
from foretell.engine.predict import Prediction
from foretell.errors import InvalidRequest, NotReady
from foretell.models import paths
from foretell.models.stock import empty as emptied


def slow_paths(past: list[float], mean: list[float], luck: np.ndarray[Any, Any]) -> list[list[float]]:
    """What `paths` makes, one day of one world after the other: worlds x steps."""
    late = paths.recent(np.array(past)).tolist()
    shares = paths.weekdays(np.array(late))
    level = sum(late) / len(late)
    ratio = []
    for k, value in enumerate(late):
        usual = shares[(k - len(late)) % 7] * level
        ratio.append(value / usual if usual > 1e-9 else 0.0)
    average = sum(ratio) / len(ratio)
    ratio = [one / average for one in ratio]
    sums = [sum(ratio[k : k + 7]) for k in range(len(ratio) - 6)]
    changes = paths.changes(np.array(past), float(np.var(sums)) / 196)
    factors = []
    for world in luck:
        change = changes[int(world[0] * len(changes))]
        factors.append([change ** max(1.0, ((step + 1) / 28) ** 0.5) for step in range(len(mean))])
    out = []
    for world, factor in zip(luck, factors, strict=True):
        path = []
        for step, expected in enumerate(mean):
            begin = int(world[1 + step // 7] * (len(ratio) - 6))
            usual = sum(one[step] for one in factors) / len(factors)
            path.append(expected * ratio[begin + step % 7] * factor[step] / usual)
        out.append(path)
    return out


@pytest.mark.parametrize("length", [21, 60, 300])
def test_paths_are_those_of_the_slow_simulation(length: int) -> None:
    past = np.array(weeks(50)[:length])
    mean = np.linspace(3.0, 6.0, 40)
    made = paths.paths(past, mean, np.random.default_rng(5), worlds=30)
    luck = np.random.default_rng(5).random((30, 1 + -(-paths.LONGEST // 7)))
    np.testing.assert_allclose(made.T, slow_paths(past.tolist(), mean.tolist(), luck), rtol=1e-9)


def test_early_steps_are_the_same_however_many_are_asked_for() -> None:
    past, mean = np.array(weeks(20)), np.full(90, 5.0)
    short, long = (paths.paths(past, mean[:steps], np.random.default_rng(1)) for steps in (10, 90))
    np.testing.assert_array_equal(short, long[:10])


def test_days_until_are_counted_by_hand() -> None:
    random = np.random.default_rng(3)
    used = np.cumsum(random.poisson(2.0, (50, 200)), axis=0).astype(float)
    for stock in (0.5, 1.0, 17.0, 60.0, 1000.0):
        slow = [next((k + 1 for k in range(50) if used[k, w] >= stock), np.inf) for w in range(200)]
        assert emptied(used - stock).tolist() == slow


def test_dates_by_share_and_confidence_are_shares_of_futures() -> None:
    empty = np.array([10.0] * 10 + [20.0] * 45 + [30.0] * 35 + [np.inf] * 10)
    assert [by(empty, share, 60) for share in (0.1, 0.5, 0.9, 0.91)] == [10, 20, 30, None]
    assert by(empty, 0.5, 19) is None
    assert near(20) == 4
    assert near(2) == 3
    assert sure(empty, 20, 60) == 0.45
    assert sure(empty, None, 25) == 0.45


@pytest.mark.row("I3")
def test_the_answer_has_a_date_its_days_and_a_usage_for_every_day() -> None:
    answer = stockout(history=days(weeks(40)), current_stock_units=200, horizon_days=60)
    until = answer.days_until_stockout
    assert answer.predicted_stockout_date == LAST + timedelta(days=until)
    assert len(answer.daily_usage_forecast) == len(answer.out_by) == 60
    assert all(usage >= 0 for usage in answer.daily_usage_forecast)
    assert answer.dates["10"] <= answer.dates["50"] == answer.predicted_stockout_date <= answer.dates["90"]
    assert answer.out_by == sorted(answer.out_by)
    assert answer.out_by[until - 1] >= 0.5 > answer.out_by[until - 2]
    assert abs(until - 200 / 6.57) <= 4
    assert 0.8 < answer.confidence <= 1
    assert len(stockout(history=days(weeks(40)), current_stock_units=1).daily_usage_forecast) == 90


@pytest.mark.row("I3")
def test_date_and_days_are_null_when_the_stock_outlasts_the_horizon() -> None:
    answer = stockout(history=days(weeks(40)), current_stock_units=10_000, horizon_days=30)
    assert (answer.predicted_stockout_date, answer.days_until_stockout) == (None, None)
    assert len(answer.daily_usage_forecast) == 30
    assert answer.confidence == 1.0
    assert stockout(history=days([0.0] * 60), current_stock_units=1).days_until_stockout is None


def test_an_empty_shelf_is_empty() -> None:
    answer = stockout(history=days(weeks(40)), current_stock_units=0)
    assert (answer.predicted_stockout_date, answer.days_until_stockout) == (LAST, 0)
    assert answer.out_by[0] == answer.confidence == 1.0


def test_more_stock_lasts_longer() -> None:
    found = [
        stockout(history=days(weeks(40)), current_stock_units=units, horizon_days=365).days_until_stockout
        for units in (1, 50, 100, 400, 1500)
    ]
    assert found == sorted(found)
    assert len(set(found)) == 5


def test_a_constant_runs_out_on_its_day() -> None:
    answer = stockout(history=days([5.0] * 120), current_stock_units=50, horizon_days=30)
    assert answer.days_until_stockout == 10
    assert answer.confidence > 0.8  # levels may change


def test_the_same_request_has_the_same_answer() -> None:
    first, again = (stockout(history=days(weeks(20)), current_stock_units=90) for _ in range(2))
    assert first == again


def test_what_can_not_be_is_refused() -> None:
    for units in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValidationError):
            StockoutRequest.model_validate({"product": "it", "history": [], "current_stock_units": units})
    with pytest.raises(InvalidRequest, match=r"^horizon_days must be between 1 and 365$"):
        stockout(history=days(weeks(9)), current_stock_units=1, horizon_days=0)
    with pytest.raises(NotReady, match=r"Need at least 30 days, got 15"):
        stockout(history=days([1.0] * 15), current_stock_units=1)


@pytest.mark.row("I3")
def test_the_interval_holds_the_true_date_and_confidence_is_the_share_that_came_near() -> None:
    """On a hundred and twenty seeded series whose level walks, with the true date known to the test alone."""
    inside, told, right = [], [], []
    for seed in range(120):
        random = np.random.default_rng(seed)
        level = 8 * np.exp(np.cumsum(random.normal(0, 0.02, 360)))
        sold = random.poisson(level).astype(float)
        stock = 20 * sold[242:270].mean()
        true = int(np.argmax(np.cumsum(sold[270:]) >= stock)) + 1
        answer = stockout(history=days(sold[:270]), current_stock_units=stock, horizon_days=90, method="weekday_mean")
        first, last = ((answer.dates[share] - LAST).days for share in ("10", "90"))
        inside.append(first <= true <= last)
        told.append(answer.confidence)
        right.append(abs(true - answer.days_until_stockout) <= near(answer.days_until_stockout))
    assert 0.7 < np.mean(inside) < 0.92
    assert abs(np.mean(told) - np.mean(right)) < 0.1


def test_prophets_futures_add_up_to_what_it_expects() -> None:
    """Of a product that seldom sells, half of Prophet's days lie below zero: cut off there they must not add up."""
    seldom = [float(k % 5 == 0) * 6.0 for k in range(200)]
    one = said(STOCKOUT, history=days(seldom), method="prophet", current_stock_units=30, horizon_days=30)
    assert isinstance(one, Prediction)
    assert one.forecast.draws is not None
    expected = one.forecast.rows["point"].to_numpy()
    assert expected[-1] == pytest.approx(6 / 5 * len(expected), rel=0.2)
    assert one.forecast.draws.mean(axis=1)[-1] == pytest.approx(expected[-1], rel=0.02)
