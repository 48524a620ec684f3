"""Classes, patterns and reasons, against slow obvious counts, noise, and series made to have them."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from tests.inventory import LAST, days, demand, stockout
from tests.inventory.test_demand import weeks

from foretell.contract import Floats
from foretell.domains.inventory.patterns import kind, pattern, reasons
from foretell.domains.inventory.schema import Pattern
from foretell.features import seasons
from foretell.features.dates import EPOCH
from foretell.features.days import Line

FIRST = date(2024, 3, 1)  # a Friday
DAYS = 731
Random = np.random.Generator


def line(values: Sequence[float] | Floats, first: date = FIRST) -> Line:
    value = np.array(values, dtype=float)
    return Line(first=(first - EPOCH).days, value=value, moved=value > 0)


def dates(count: int) -> list[date]:
    return [FIRST + timedelta(days=k) for k in range(count)]


def smooth(random: Random, mean: Floats) -> Floats:
    return random.poisson(mean).astype(float)


def lumpy(random: Random, mean: Floats) -> Floats:
    """On one day in six as much as would be sold in six."""
    sold: Floats = (random.random(len(mean)) < 1 / 6) * random.geometric(1 / np.maximum(6 * mean, 1.0)).astype(float)
    return sold


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


def test_people_decide_about_a_dead_product() -> None:
    for values, words in (
        ([3.0] * 60 + [0.0] * 90, ["nothing was sold for 90 days"]),
        ([3.0] * 60 + [0.0] * 89, []),
        ([0.0] * 40, ["nothing was sold for 40 days"]),
    ):
        one = line(values)
        assert [each for each in reasons(one, pattern(one), None) if "nothing" in each] == words


def slow_repeated(blocks: list[list[float]], harmonics: int) -> tuple[float, float]:
    """The mean of all correlations of two periods, and Z² counted vote by vote."""
    pairs = [float(np.corrcoef(one, other)[0, 1]) for one, other in combinations(blocks, 2)]
    total = 0.0
    for k in range(1, harmonics + 1):
        votes = 0j
        for block in blocks:
            wave = sum(value * cmath.exp(-2j * math.pi * k * j / len(block)) for j, value in enumerate(block))
            votes += wave / abs(wave)
        total += 2 * abs(votes) ** 2 / len(blocks)
    return sum(pairs) / len(pairs), float(stats.chi2.sf(total, 2 * harmonics))


@pytest.mark.row("I5")
def test_a_season_is_what_periods_repeat_by_the_slow_count() -> None:
    random = np.random.default_rng(2)
    for blocks in (random.poisson(4, (12, 7)), random.normal(10, 1, (5, 7)), np.reshape(weeks(9), (9, 7))):
        strength, p = slow_repeated(blocks.tolist(), 3)
        found = seasons.repeated(blocks.astype(float), 3)
        assert found.strength == pytest.approx(max(0.0, strength))
        assert found.p == pytest.approx(p)
    assert seasons.repeated(np.ones((9, 7)), 3) == seasons.repeated(np.ones((3, 7)), 3) == seasons.Found()


@pytest.mark.row("I5")
def test_the_tail_of_the_years_test_is_that_of_f() -> None:
    """The share unsaid of ten waves against twelve is a ratio of chi-squared."""
    for ratio in (0.3, 1.0, 2.5, 8.0):
        unsaid = 12 / (12 + 10 * ratio)
        assert seasons._tail(unsaid, 6, 5) == pytest.approx(float(stats.f.sf(ratio, 10, 12)))


def slow_trend(total: list[float]) -> tuple[float, float, float]:
    """Theil and Sen's slope, Kendall's tau of pairs that differ or not, and its p by the book (Mann & Kendall)."""
    pairs = list(combinations(enumerate(total), 2))
    slope = float(np.median([(b - a) / (j - i) for (i, a), (j, b) in pairs]))
    score = sum((b > a) - (b < a) for (_, a), (_, b) in pairs)
    n = len(total)
    variance = n * (n - 1) * (2 * n + 5)
    for value in {*total}:
        same = total.count(value)
        variance -= same * (same - 1) * (2 * same + 5)
    z = (abs(score) - 1) / math.sqrt(variance / 18) if score else 0.0
    return slope, abs(score) / len(pairs), 2 * float(stats.norm.sf(z))


@pytest.mark.row("I5")
def test_a_trend_is_the_median_of_all_slopes_and_mann_kendalls() -> None:
    growing = 20 + 0.1 * np.arange(182) + np.random.default_rng(4).normal(0, 2, 182)
    for past in (np.array(weeks(20, seed=9)), growing):
        total = past.reshape(-1, 7).sum(axis=1)
        slope, tau, p = slow_trend(total.tolist())
        change, found = seasons.trend(past)
        assert change == pytest.approx(slope * 4 / total.mean())
        assert found.strength == pytest.approx(tau)
        assert found.p == pytest.approx(p)
    change, found = seasons.trend(growing)
    assert found.p is not None
    assert found.p < 0.001
    assert change == pytest.approx(0.1 * 28 / growing.mean(), rel=0.2)


def nothing(random: Random, name: str, count: int) -> Floats:
    """Noise that has no season, no trend and no change of level, of a kind."""
    if name == "smooth":
        return smooth(random, np.full(count, 6.0))
    if name == "erratic":
        return random.lognormal(2, 1, count)
    if name == "intermittent":
        return (random.random(count) < 0.3).astype(np.float64)
    if name == "lumpy":
        return lumpy(random, np.full(count, 3.0))
    wander = random.normal(0, 1, count)  # each day like the one before
    for k in range(1, count):
        wander[k] += 0.7 * wander[k - 1]
    sticky: Floats = np.maximum(20 + 3 * wander, 0.0)
    return sticky


@pytest.mark.row("I5")
@pytest.mark.parametrize("name", ["smooth", "erratic", "intermittent", "lumpy", "sticky"])
def test_noise_is_rarely_said_to_be_regular(name: str) -> None:
    found = [
        pattern(line(nothing(np.random.default_rng([k, count]), name, count)))
        for count in (84, 200, DAYS)
        for k in range(100)
    ]
    assert np.mean([each.seasonal for each in found]) <= 0.02
    assert np.mean([each.trend.detected for each in found]) <= 0.04
    assert np.mean([bool(each.changes) for each in found]) <= 0.03
    if name in ("smooth", "intermittent"):  # others have days of ten times the usual
        assert not any(each.outliers for each in found)


def test_a_level_that_wanders_or_a_trend_has_no_year() -> None:
    found = []
    for k in range(100):
        random = np.random.default_rng(k)
        level = np.exp(np.cumsum(random.normal(0, 0.03, DAYS)))
        found.append(pattern(line(level * random.gamma(4, 5, DAYS))).yearly.detected)
        found.append(pattern(line(smooth(random, np.linspace(5, 15, DAYS)))).seasonal)
        found.append(pattern(line(smooth(random, np.where(np.arange(DAYS) < 330, 5.0, 12.0)))).seasonal)
    assert np.mean(found) <= 0.02


Made = Callable[[Random], Floats]


def of_week(random: Random) -> Floats:
    return smooth(random, np.array([2.0 if day.weekday() == 6 else 8.0 for day in dates(120)]))


def of_week_and_trend(random: Random) -> Floats:
    return of_week(random) + np.round(np.linspace(0, 8, 120))


def of_month(random: Random) -> Floats:
    return smooth(random, np.array([16.0 if day.day <= 3 else 8.0 for day in dates(400)]))


def of_months_end(random: Random) -> Floats:
    ends = [(day + timedelta(days=2)).month != day.month for day in dates(400)]
    return smooth(random, np.where(ends, 20.0, 8.0))


def of_year(random: Random) -> Floats:
    return smooth(random, 8 * (1 + 0.4 * np.cos(2 * np.pi * np.arange(DAYS) / 365.25)))


def of_december(random: Random) -> Floats:
    return smooth(random, np.array([24.0 if day.month == 12 else 8.0 for day in dates(DAYS)]))


@pytest.mark.row("I5")
@pytest.mark.parametrize(
    ("made", "which"),
    [(of_week, "weekly"), (of_week_and_trend, "weekly"), (of_month, "monthly"), (of_months_end, "monthly"),
     (of_year, "yearly"), (of_december, "yearly")],
)  # fmt: skip
def test_a_season_is_found_where_it_is_and_no_other_one(made: Made, which: str) -> None:
    found = [pattern(line(made(np.random.default_rng(k)))) for k in range(20)]
    for name in ("weekly", "monthly", "yearly"):
        there = np.mean([getattr(each, name).detected for each in found])
        assert there >= 0.9 if name == which else there <= 0.05, name
    strongest = [max(("weekly", "monthly", "yearly"), key=lambda name: getattr(each, name).strength) for each in found]
    assert strongest.count(which) >= 18
    assert all(0 <= getattr(each, which).strength <= 1 for each in found)


@pytest.mark.row("I5")
def test_a_year_is_looked_for_in_two_years_a_month_in_six_and_a_week_in_four() -> None:
    random = np.random.default_rng(3)
    for name, least in (("yearly", 730), ("monthly", 31 + 30 + 31 + 30 + 31 + 31), ("weekly", 28)):
        short, long = (pattern(line(smooth(random, np.full(count, 9.0)))) for count in (least - 1, least))
        assert getattr(short, name).p is None
        assert not getattr(short, name).detected
        assert getattr(long, name).p is not None


@pytest.mark.row("I5")
def test_changes_of_level_are_found_with_their_days_and_sizes() -> None:
    for count, changed, before, after in (
        (200, 100, 8, 16),
        (DAYS, 300, 8, 4),
        (200, 172, 50, 150),
        (DAYS, 600, 20, 30),
    ):
        found = []
        for k in range(20):
            level = np.where(np.arange(count) < changed, float(before), float(after))
            found.append(pattern(line(smooth(np.random.default_rng(k), level))).changes)
        once = [each[0] for each in found if len(each) == 1]
        assert len(once) >= 16, (count, changed)
        for change in once:
            assert abs((change.date - FIRST).days - changed) <= 10
            assert change.before == pytest.approx(before, rel=0.25)
            assert change.after == pytest.approx(after, rel=0.25)


def test_neither_a_trend_nor_a_year_is_a_change_of_level() -> None:
    for made in (of_year, lambda random: smooth(random, np.linspace(5, 15, 200))):
        found = [pattern(line(made(np.random.default_rng(k)))).changes for k in range(20)]
        assert sum(map(bool, found)) <= 2


@pytest.mark.row("I5")
def test_outliers_are_named_by_date_and_what_is_regular_is_none() -> None:
    for made in (of_week, of_month, of_year, lambda random: lumpy(random, np.full(200, 3.0))):
        past = made(np.random.default_rng(8))
        assert [each for each in pattern(line(past)).outliers if each.value < 10 * each.usual] == []
        busy = int(np.flatnonzero(past)[60 if (past == 0).mean() < 0.5 else 10])
        usual = float(np.median(past[past > 0]))
        past[busy] = 25 * usual
        (outlier,) = [each for each in pattern(line(past)).outliers if each.date == dates(DAYS)[busy]]
        assert outlier.value == 25 * usual
        assert usual / 2.5 < outlier.usual < usual * 2.5
    closed = smooth(np.random.default_rng(1), np.full(200, 40.0))
    closed[[50, 51]] = 0  # of a product that sells every day
    assert [each.date for each in pattern(line(closed)).outliers] == dates(52)[50:]


def test_unknown_days_are_neither_outliers_nor_a_gap_in_the_season() -> None:
    past = of_week(np.random.default_rng(5))
    past[[40, 41, 60]] = np.nan
    found = pattern(line(past))
    assert found.weekly.detected
    assert found.outliers == []


@pytest.mark.row("I5", "I6")
def test_season_and_trend_are_told_with_the_right_weekdays() -> None:
    told = demand(history=days(weeks(30)), method="ensemble")  # ends on a Friday: the last of WEEK is one
    assert told.metrics.seasonality_detected
    assert told.pattern.weekdays is not None
    assert int(np.argmin(told.pattern.weekdays)) == 4  # Monday is 0
    assert int(np.argmax(told.pattern.weekdays)) == 3
    assert not told.pattern.trend.detected
    flat = np.random.default_rng(1).poisson(6, 210).astype(float)
    assert not demand(history=days(flat), method="ensemble").metrics.seasonality_detected


@pytest.mark.row("I6")
def test_any_season_is_seasonality() -> None:
    end = LAST - timedelta(days=DAYS - 1)
    yearly = smooth(np.random.default_rng(1), 9 + 6 * np.cos(2 * np.pi * np.arange(DAYS) / 365.25))
    answer = demand(history=days(yearly), method="weekday_mean")
    assert not answer.pattern.weekly.detected
    assert answer.pattern.yearly.detected
    assert answer.metrics.seasonality_detected
    assert answer.first_day == end


def spoken(values: Floats, mape: float | None = 12.0) -> list[str]:
    one = line(values)
    return reasons(one, pattern(one), mape)


def test_sums_of_weeks_are_told_from_days() -> None:
    weeks = np.zeros(140)
    weeks[2::7] = 20 + np.arange(20) % 3
    day = dates(140)[2]
    assert [each for each in spoken(weeks) if "sums of weeks" in each] == [
        f"all 20 days with transactions are {day:%A}s: if they are sums of weeks, spread each over its days, for they"
        " count as demand of that day alone"
    ]
    weeks[50] = 1
    assert not [each for each in spoken(weeks) if "sums of weeks" in each]
    assert not [each for each in spoken(weeks[:50]) if "sums of weeks" in each]


@pytest.mark.row("I12")
def test_what_speaks_against_a_forecast_is_named() -> None:
    calm = (50 + np.random.default_rng(6).poisson(5, 200)).astype(float)
    assert spoken(calm) == []
    gap, spike, jump = calm.copy(), calm.copy(), calm.copy()
    gap[100:120] = 0
    spike[150] = 700
    jump[-28:] *= 3
    for values, mape, words in (
        (gap, 12.0, f"a gap of 20 days without a transaction from {dates(200)[100]} on"),
        (spike, 12.0, f"1 days had ten times the usual or more: {dates(200)[150]} (700 against 5"),
        (jump, 12.0, f"the level rose on {dates(200)[172]}, from 55"), (calm, 41.0, "41 % wrong"),
    ):  # fmt: skip
        (reason,) = spoken(values, mape)
        assert words in reason
    jump[100:] = calm[100:] * 3  # long enough ago to be learned
    assert spoken(jump) == []


@pytest.mark.row("I12")
def test_reasons_agree_with_the_patterns_and_every_flagged_series_has_an_interval() -> None:
    random = np.random.default_rng(6)
    calm = (50 + random.poisson(5, 200)).astype(float)
    assert not demand(history=days(calm), method="ensemble").manual_only
    spike, fall, gap = calm.copy(), calm.copy(), calm.copy()
    spike[150], fall[-35:], gap[100:130] = 700, 5, 0
    heaps = (random.random(200) < 0.25) * random.geometric(0.1, 200).astype(float)
    for values in (spike, fall, gap, heaps):
        history = [day for day in days(values) if day["quantity"] > 0]
        answer = demand(history=history, method="ensemble")
        assert answer.manual_only
        assert bool(answer.reasons) == answer.manual_only
        assert all(0 <= day.low <= day.expected <= day.high for day in answer.predictions)
        assert any(day.low < day.high for day in answer.predictions)
        assert any("ten times" in reason for reason in answer.reasons) == any(
            each.value >= 10 * each.usual for each in answer.pattern.outliers
        )
        dated = stockout(history=history, method="ensemble", current_stock_units=float(values[-20:].sum()) + 1)
        assert dated.manual_only
        assert dated.dates["10"] is None or dated.dates["10"] > LAST
    level = demand(history=days(fall), method="ensemble")
    assert level.pattern.changes[-1].date == LAST - timedelta(days=34)
    assert any(str(level.pattern.changes[-1].date) in reason for reason in level.reasons)


def test_a_pattern_of_a_short_or_empty_series_is_none() -> None:
    for values in ([0.0] * 100, [5.0] * 100, [1.0] * 10, [0.0] * DAYS, [1e-9] * DAYS, [1e12] * DAYS, [3.0]):
        found: Pattern = pattern(line(values))
        assert (found.trend.detected, found.seasonal) == (False, False)
        assert (found.weekdays, found.changes, found.outliers) == (None, [], [])


def test_a_pattern_is_the_same_in_any_unit() -> None:
    past = of_year(np.random.default_rng(2))
    past[400] = 300
    plain, small = pattern(line(past)), pattern(line(past * 1e-6))
    assert small.yearly.p == pytest.approx(plain.yearly.p)
    assert small.weekly.p == pytest.approx(plain.weekly.p)
    assert [each.date for each in small.outliers] == [each.date for each in plain.outliers]
    assert [each.date for each in small.changes] == [each.date for each in plain.changes]
