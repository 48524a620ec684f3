"""Models of series, against slow and obvious oracles."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.toys import DAY, START, ask, world

from foretell import Block, Frame, History, Study
from foretell.contract import Floats
from foretell.errors import NotFound
from foretell.models import daily
from foretell.models.averages import Averages
from foretell.models.naive import SeasonalNaive
from foretell.models.statistical import METHODS, Statistical, ahead

LEVELS = (0.1, 0.5, 0.9)
WEEK = 7 * DAY


def series(history: History) -> Frame:
    return history["values"].select("entity", "time", "value").sort("entity", "time")


def study(history: History, questions: Frame) -> Study:
    return Study(history=history, questions=questions, features=Block((), np.empty((questions.height, 0))))


def facts(values: dict[str, list[float | None]], late: dict[tuple[str, int], int] | None = None) -> Frame:
    """Daily values known at the end of their day, or some days late."""
    delay = late or {}
    rows = [
        (name, START + DAY * k, value, START + DAY * (k + 1 + delay.get((name, k), 0)))
        for name, column in values.items()
        for k, value in enumerate(column)
    ]
    schema = {"entity": pl.String(), "time": pl.Datetime("us", "UTC"), "value": pl.Float64()}
    return pl.DataFrame(rows, schema=schema | {"known_at": pl.Datetime("us", "UTC")}, orient="row")


def naive(window: timedelta = 30 * DAY, tries: int = 4) -> SeasonalNaive:
    return SeasonalNaive(series=series, season=WEEK, step=DAY, levels=LEVELS, window=window, tries=tries)


def oracle_point(frame: Frame, entity: str, as_of: datetime, at: datetime, tries: int) -> float | None:
    """The newest value whole weeks before `at` whose day had ended; then up to `tries` weeks in all."""
    known = {
        time: value
        for name, time, value, when in frame.iter_rows()
        if name == entity and when <= as_of and value is not None
    }
    first = next(k for k in range(1, 99) if at - k * WEEK + DAY <= as_of)
    for k in range(first, first + tries):
        if at - k * WEEK in known:
            return float(known[at - k * WEEK])
    return None


def oracle_band(column: list[float | None], as_of: int, steps: int) -> list[float]:
    """At the newest day with enough errors: quantiles of the last `steps` seasonal errors, nulls left out."""
    errors = [
        None
        if k < 7 or column[k] is None or column[k - 7] is None
        else float(column[k] or 0) - float(column[k - 7] or 0)
        for k in range(as_of)
    ]
    for last in range(as_of, 0, -1):
        inside = [e for e in errors[max(0, last - steps) : last] if e is not None]
        if len(inside) >= 24:
            return [float(np.quantile(inside, level)) for level in LEVELS]
    raise AssertionError("too short a series for this oracle")


VALUES = st.lists(st.one_of(st.none(), st.integers(0, 50).map(float)), min_size=15, max_size=40)


@given(st.data())
@settings(max_examples=40)
def test_seasonal_naive_says_what_was_a_week_before(data: st.DataObject) -> None:
    values = {name: data.draw(VALUES) for name in "ab"}
    frame = facts(values)
    asked = data.draw(
        st.lists(st.tuples(st.sampled_from("abx"), st.integers(1, 42), st.integers(-3, 20)), min_size=1, max_size=8)
    )
    questions = ask(
        [e for e, *_ in asked], [START + DAY * d for _, d, _ in asked], [START + DAY * (d + h) for _, d, h in asked]
    )
    said = naive(tries=3).forecast(study(world(START + 60 * DAY, values=frame), questions)).rows["point"].to_list()
    assert said == [oracle_point(frame, e, as_of, at, 3) for e, as_of, at in questions.iter_rows()]


def test_seasonal_naive_never_says_a_value_that_arrived_later() -> None:
    column: list[float | None] = [float(k) for k in range(40)]
    frame = facts({"a": column}, late={("a", 23): 5})
    as_of, at = START + 26 * DAY, START + 30 * DAY  # day 23 is a week before, and arrives on day 29
    model = SeasonalNaive(
        series=lambda history: history["values"], season=WEEK, step=DAY, levels=LEVELS, window=30 * DAY
    )  # a series that says when its values became known
    questions = ask(["a", "a"], [as_of, START + 29 * DAY], [at, at])
    said = model.forecast(study(world(START + 40 * DAY, values=frame), questions)).rows["point"].to_list()
    assert said == [oracle_point(frame, e, when, about, 4) for e, when, about in questions.iter_rows()] == [16, 23]


def test_the_band_of_the_seasonal_naive_is_its_own_past_errors() -> None:
    rng = np.random.default_rng(1)
    column: list[float | None] = [float(v) for v in rng.normal(50, 10, 90)]
    for gap in (40, 41, 60, 77):
        column[gap] = None
    frame = facts({"a": column, "b": [1.0] * 90})
    for day in (45, 62, 90):
        questions = ask(["b", "a"], [START + DAY * day] * 2, [START + DAY * day] * 2)
        said = naive().forecast(study(world(START + 90 * DAY, values=frame), questions)).rows
        assert said["q10"][0] == said["q90"][0] == 1.0
        band = [said[f"q{level * 100:g}"][1] - said["point"][1] for level in LEVELS]
        assert band == pytest.approx(oracle_band(column, day, 30))


def test_seasonal_naive_is_silent_without_a_season_and_keeps_the_order_of_the_questions() -> None:
    frame = facts({"new": [1.0, 2.0], "old": [float(k) for k in range(20)]})
    questions = ask(["old", "new", "old"], [START + 20 * DAY] * 3, [START + DAY * d for d in (21, 20, 20)])
    said = naive().forecast(study(world(START + 20 * DAY, values=frame), questions)).rows["point"].to_list()
    assert said == [14.0, None, 13.0]


# ---------------------------------------------------------------- averages


@given(st.data())
@settings(max_examples=40)
def test_averages_speak_from_the_finest_group_that_was_seen_often_enough(data: st.DataObject) -> None:
    key = st.one_of(st.none(), st.integers(0, 2))
    scale = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0, 4.0]))
    row = st.tuples(key, key, scale, st.integers(-20, 20).map(float))
    seen: list[Any] = data.draw(st.lists(row, min_size=1, max_size=40))
    asked: list[Any] = data.draw(st.lists(row, min_size=1, max_size=6))
    schema = {"day": pl.Int64(), "hour": pl.Int64(), "usual": pl.Float64(), "value": pl.Float64()}
    past, new = (pl.DataFrame(rows, schema=schema, orient="row") for rows in (seen, asked))
    model = Averages(groups=[["day", "hour"], ["day"]], levels=LEVELS, least=3, scale="usual")
    empty = ask(["x"] * len(seen), [START] * len(seen), [START] * len(seen))
    nothing = world(START)
    model.fit(Study(history=nothing, questions=empty, features=Block.of(past)), past.select("value"))
    said = model.forecast(Study(history=nothing, questions=empty, features=Block.of(new))).rows
    for place, (day, hour, usual, _) in enumerate(asked):
        relative = [(d, h, v / u) for d, h, u, v in seen if u]
        fine = [v for d, h, v in relative if None not in (d, h) and (d, h) == (day, hour)]
        coarse = [v for d, _, v in relative if d is not None and d == day]
        group = next((g for g in (fine, coarse) if len(g) >= 3), [v for *_, v in relative])
        if not usual or not group:  # relative to what?
            assert said.row(place) == (None,) * 4
            continue
        expect = [np.mean(group), *np.quantile(group, LEVELS)]
        assert list(said.row(place)) == pytest.approx([usual * float(v) for v in expect], abs=1e-9)


# ---------------------------------------------------------------- statistical


@pytest.fixture(scope="module")
def quiet() -> None:
    """statsforecast is imported once, here, so that no single test is slow."""
    import statsforecast.models  # noqa: F401


def statistical(method: str, **settings_: object) -> Statistical:
    seasonal = method not in FLAT
    extra: dict[str, Any] = {"season_length": 7} if seasonal else PARTS.get(method, {})
    return Statistical(method, series=series, step=DAY, window=100 * DAY, levels=LEVELS, lower=0, **extra, **settings_)


FLAT = {"CrostonClassic", "CrostonSBA", "TSB", "ADIDA", "IMAPA", "SimpleExponentialSmoothing"}  # without a season
PARTS: dict[str, dict[str, float]] = {
    "TSB": {"alpha_d": 0.2, "alpha_p": 0.2},
    "SimpleExponentialSmoothing": {"alpha": 0.1},
}
SHAPE = [20.0, 30, 40, 50, 40, 30, 10]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("method", METHODS)
def test_each_method_answers_a_seasonal_and_an_intermittent_series(method: str) -> None:
    rng = np.random.default_rng(1)
    weekly: list[float | None] = [SHAPE[k % 7] + float(rng.normal(0, 1)) for k in range(84)]
    seldom: list[float | None] = [float(rng.random() < 0.25) * float(rng.integers(1, 9)) for k in range(84)]
    frame = facts({"weekly": weekly, "seldom": seldom})
    now = START + 84 * DAY
    asked = [("weekly", 3), ("seldom", 0), ("weekly", 6), ("none", 0)]
    questions = ask([e for e, _ in asked], [now] * 4, [now + DAY * h for _, h in asked])
    forecaster = statistical(method)
    said = forecaster.forecast(study(world(now + 9 * DAY, values=frame), questions)).rows
    assert said.row(3) == (None,) * 4
    assert not said.head(3).select(pl.any_horizontal(pl.all().is_null())).to_series().any()
    assert (said["q10"][:3] <= said["q50"][:3]).all()
    assert (said["q50"][:3] <= said["q90"][:3]).all()
    assert (said["q90"][:3] > said["q10"][:3]).all()
    assert 0 <= said["point"][1] <= 8
    if method in FLAT:
        assert said["point"][0] == pytest.approx(np.mean(SHAPE), abs=6)
        assert said["point"][1] == pytest.approx(float(np.mean([v or 0 for v in seldom])), abs=0.8)
    else:
        assert said["point"][0] == pytest.approx(SHAPE[3], abs=3)
        assert said["point"][2] == pytest.approx(SHAPE[6], abs=3)


@pytest.mark.usefixtures("quiet")
def test_statistical_reads_only_what_was_known_and_fits_at_each_moment() -> None:
    column: list[float | None] = [SHAPE[k % 7] if k < 60 else 999.0 for k in range(70)]
    frame = facts({"a": column})
    moments = [START + DAY * day for day in (50, 55, 60)]
    questions = ask(["a"] * 3, moments, moments)
    forecaster = statistical("AutoETS")
    said = forecaster.forecast(study(world(START + 70 * DAY, values=frame), questions)).rows["point"]
    assert said.to_list() == pytest.approx([SHAPE[day % 7] for day in (50, 55, 60)], abs=1)


@pytest.mark.usefixtures("quiet")
def test_days_without_a_value_do_not_shift_the_season() -> None:
    """Missing days inside the series and at its end: the step asked for is still counted from the last day."""
    whole: list[float | None] = [SHAPE[k % 7] for k in range(70)]
    inside: list[float | None] = [None if k == 40 else value for k, value in enumerate(whole)]
    at_end: list[float | None] = [None if k >= 67 else value for k, value in enumerate(whole)]
    now = START + 70 * DAY
    frame = facts({"whole": whole, "inside": inside, "at end": at_end})
    questions = ask(["whole", "inside", "at end"], [now] * 3, [now + 3 * DAY] * 3)
    forecaster = statistical("AutoETS")
    said = forecaster.forecast(study(world(now, values=frame), questions)).rows["point"]
    assert said.to_list() == pytest.approx([SHAPE[73 % 7]] * 3, abs=2)


def test_an_unknown_method_is_refused_with_those_that_exist() -> None:
    with pytest.raises(NotFound, match=r"AutoETS.*IMAPA"):
        statistical("Prophet")


# ---------------------------------------------------------------- one daily series


def demand(often: float, size: float, days: int, seed: int) -> Floats:
    """Days with demand by lot, of sizes about a mean."""
    random = np.random.default_rng(seed)
    return np.where(random.random(days) < often, random.poisson(size - 1, days) + 1.0, 0.0)


@pytest.mark.parametrize("often", [0.1, 0.3, 1.0])
def test_crostons_has_lost_its_bias_however_long_the_intervals(often: float) -> None:
    """On average it says what is asked for; as it was published, it says too much where intervals are long."""
    series_ = [demand(often, 5.0, 364, seed) for seed in range(300)]
    said = np.mean([daily.croston(one, 7, 0).mean() for one in series_])
    error = np.std([daily.croston(one, 7, 0).mean() for one in series_]) / 300**0.5
    assert said == pytest.approx(5.0 * often, abs=3 * error)
    plain = np.mean([ahead("CrostonClassic", one, 1)[0] for one in series_])
    assert plain - said == pytest.approx(5.0 * often * (1 - often) / 19, rel=0.15, abs=1e-9)


def test_a_lone_order_is_no_level() -> None:
    usual = demand(0.3, 5.0, 200, 1)
    once = usual.copy()
    once[20] = 25_000.0
    assert daily.ensemble(once, 28, 0).sum() < 1.5 * daily.ensemble(usual, 28, 0).sum()


def test_the_ensemble_foresees_what_never_changes() -> None:
    np.testing.assert_allclose(daily.ensemble(np.full(90, 7.0), 28, 0), 7.0)
    np.testing.assert_allclose(daily.ensemble(np.zeros(90), 28, 0), 0.0)


def test_what_was_fitted_is_not_fitted_again_and_can_not_be_spoiled() -> None:
    past = demand(0.9, 20.0, 120, 2)
    first = daily.ets(past, 14, 0)
    assert daily.ets(past.copy(), 14, 0) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1.0
