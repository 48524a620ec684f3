"""Classes, week, trend and reasons, against slow obvious counts and series made to have them."""

from __future__ import annotations

import math
from itertools import combinations, groupby

import numpy as np
import pytest
from tests.inventory import days, demand
from tests.inventory.test_demand import weeks

from foretell.domains.inventory.features import Line
from foretell.domains.inventory.patterns import kind, pattern, reasons, trend, weekly


def line(values: list[float], first: int = 20_000) -> Line:
    value = np.array(values, dtype=float)
    return Line(first=first, value=value, moved=value > 0)


def slow_kind(values: list[float]) -> tuple[str, float, float]:
    """Syntetos & Boylan by the book, one day after the other."""
    sizes = [value for value in values if value > 0]
    interval = len(values) / len(sizes)
    mean = sum(sizes) / len(sizes)
    cv2 = sum((size - mean) ** 2 for size in sizes) / len(sizes) / mean**2
    often, alike = interval < 1.32, cv2 < 0.49
    return (
        {(True, True): "smooth", (True, False): "erratic", (False, True): "intermittent"}.get((often, alike), "lumpy"),
        interval,
        cv2,
    )


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.74, 0.78, 1.0])
@pytest.mark.parametrize("spread", [0.0, 0.5, 0.7, 0.9, 1.5])
def test_classes_are_those_of_the_slow_count(chance: float, spread: float) -> None:
    random = np.random.default_rng(11)
    values = ((random.random(200) < chance) * np.exp(random.normal(1, spread, 200))).tolist()
    name, interval, cv2 = slow_kind(values)
    found = kind(line(values))
    assert found.name == name
    assert found.interval == pytest.approx(interval)
    assert found.size_cv2 == pytest.approx(cv2)


def test_new_and_dead_products() -> None:
    assert kind(line([3.0] * 59)).name == "new"
    assert kind(line([3.0] * 60)).name == "smooth"
    assert kind(line([3.0] * 60 + [0.0] * 90)).name == "dead"
    assert kind(line([3.0] * 60 + [0.0] * 89)).name != "dead"
    assert kind(line([0.0] * 40)).name == "dead"


def slow_friedman(block: list[list[float]]) -> float:
    """Kendall's W with its correction for ties, by ranks that are counted one by one."""
    ranks = [[sum(o < v for o in week) + (sum(o == v for o in week) + 1) / 2 for v in week] for week in block]
    sums = [sum(week[k] for week in ranks) for k in range(7)]
    mean = sum(sums) / 7
    spread = sum((one - mean) ** 2 for one in sums)
    ties = 0
    for week in block:
        for _, same in groupby(sorted(week)):
            count = len(list(same))
            ties += count**3 - count
    return 12 * spread / (len(block) ** 2 * (7**3 - 7) - len(block) * ties)


@pytest.mark.row("I5")
def test_the_week_is_found_by_friedmans_test() -> None:
    random = np.random.default_rng(2)
    for values in (random.poisson(2, 84), random.normal(10, 1, 70), np.array(weeks(12))):
        past = np.asarray(values, dtype=float)
        count = len(past) // 7
        agreement = slow_friedman(past.reshape(-1, 7).tolist())
        strength, p = weekly(past)
        assert strength == pytest.approx(max(0.0, (agreement * count - 1) / (count - 1)))
        half = count * 6 * agreement / 2
        assert p == pytest.approx(math.exp(-half) * (1 + half + half * half / 2))


@pytest.mark.row("I5")
def test_a_week_and_a_trend_are_found_where_they_are_and_by_chance_as_rarely_as_said() -> None:
    random = np.random.default_rng(4)
    found = [(weekly(noise)[1], trend(noise)[1]) for noise in random.poisson(5, (400, 182)).astype(float)]
    for tests in zip(*found, strict=True):
        assert np.mean([p is not None and p < 0.05 for p in tests]) < 0.09
    growing = 20 + 0.1 * np.arange(182) + random.normal(0, 2, 182)
    change, p = trend(growing)
    assert p is not None
    assert p < 0.001
    assert change == pytest.approx(0.1 * 28 / growing.mean(), rel=0.2)


def slow_trend(total: list[float]) -> float:
    slopes = sorted((b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(total), 2))
    middle = len(slopes) // 2
    return slopes[middle] if len(slopes) % 2 else (slopes[middle - 1] + slopes[middle]) / 2


@pytest.mark.row("I5")
def test_the_slope_is_the_median_of_all_slopes() -> None:
    past = np.array(weeks(20, seed=9))
    total = past.reshape(-1, 7).sum(axis=1)
    assert trend(past)[0] == pytest.approx(slow_trend(total.tolist()) * 4 / total.mean())


@pytest.mark.row("I5")
def test_season_and_trend_are_told_with_the_right_weekdays() -> None:
    told = demand(history=days(weeks(30)), method="ensemble")  # ends on a Friday: the last of WEEK is one
    assert told.metrics.seasonality_detected
    assert told.pattern.weekdays is not None
    assert int(np.argmin(told.pattern.weekdays)) == 4  # Monday is 0
    assert int(np.argmax(told.pattern.weekdays)) == 3
    assert told.pattern.trend is None
    flat = np.random.default_rng(1).poisson(6, 210).astype(float)
    assert not demand(history=days(flat), method="ensemble").metrics.seasonality_detected


@pytest.mark.row("I12")
def test_what_speaks_against_a_forecast_is_named() -> None:
    random = np.random.default_rng(6)
    calm = (50 + random.poisson(5, 200)).astype(float)
    assert reasons(line(calm.tolist()), 12.0) == []
    assert not demand(history=days(calm), method="ensemble").manual_only
    gap = calm.copy()
    gap[100:120] = 0
    spike = calm.copy()
    spike[150] = 700
    jump = calm.copy()
    jump[-28:] *= 3
    for values, mape, words in (
        (gap, 12.0, "a gap of 20 days"), (spike, 12.0, "ten times the usual"),
        (jump, 12.0, "the level rose four weeks ago"), (calm, 41.0, "41 % wrong"),
    ):  # fmt: skip
        (reason,) = reasons(line(values.tolist()), mape)
        assert words in reason
    lumpy = (random.random(200) < 0.15) * random.geometric(0.1, 200)
    answer = demand(history=days(lumpy.astype(float)), method="ensemble")
    assert answer.manual_only
    assert answer.series.name == "lumpy"


def test_a_pattern_of_a_short_or_empty_series_is_none() -> None:
    for values in ([0.0] * 100, [5.0] * 100, [1.0] * 10):
        found = pattern(line(values))
        assert (found.trend, found.weekdays) == (None, None)
