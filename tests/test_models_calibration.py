"""Bands keep their promise, also when the world changes; probabilities mean their number."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell import Chance, Choice, Forecast, Frame, Quantity
from foretell.contract import Floats
from foretell.metrics import brier, coverage
from foretell.models.conformal import Bands
from foretell.models.isotonic import Isotonic

TARGET = Quantity(unit="m")
FOREVER = 1e9


def rows(centre: Floats, width: float) -> Frame:
    return pl.DataFrame({"point": centre, "q10": centre - width / 2, "q50": centre, "q90": centre + width / 2})


def share(value: Floats, said: Frame) -> float:
    return coverage(value, said["q10"].to_numpy(), said["q90"].to_numpy())


# ---------------------------------------------------------------- bands


@pytest.mark.parametrize("width", [0.05, 0.5, 20.0, 0.0])
def test_bands_far_too_narrow_or_wide_come_to_hold_eighty_per_cent(width: float) -> None:
    rng = np.random.default_rng(1)
    centre = rng.normal(100, 10, 22_000)
    value = centre + 0.7 + rng.gamma(2, 1, 22_000)  # skewed, and off by a level
    said = rows(centre, width)
    bands = Bands.fit(TARGET, said[:2000], value[:2000], np.zeros(2000), 30)
    raw, new = said[2000:], bands.apply(Forecast(rows=said[2000:])).rows
    assert not 0.6 < share(value[2000:], raw) < 0.95
    assert 0.77 <= share(value[2000:], new) <= 0.83
    for level, column in ((0.1, "q10"), (0.5, "q50"), (0.9, "q90")):
        assert float((value[2000:] <= new[column].to_numpy()).mean()) == pytest.approx(level, abs=0.03)
    assert bands.counted == 2000


def test_the_guarantee_holds_on_average_over_small_samples_too() -> None:
    """Sixty errors say little about a 10 % quantile: the finite-sample rule keeps coverage at 80 %, not below."""
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(300):
        value = rng.normal(0, 1, 160)
        said = rows(np.zeros(160), 1.0)
        bands = Bands.fit(TARGET, said[:60], value[:60], np.zeros(60), 30)
        inside.append(share(value[60:], bands.apply(Forecast(rows=said[60:])).rows))
    assert 0.795 <= float(np.mean(inside)) <= 0.84


def test_too_few_errors_leave_a_forecast_as_it_was() -> None:
    said = rows(np.zeros(49), 1.0)
    bands = Bands.fit(TARGET, said, np.full(49, 7.0), np.zeros(49), 30)
    assert bands.apply(Forecast(rows=said)).rows.equals(said)
    assert Bands.fit(TARGET, said.head(0), np.zeros(0), np.zeros(0), 30).counted == 0


def test_under_drift_daily_bands_recover_and_frozen_ones_do_not() -> None:
    """Halfway the noise doubles and the level shifts by three; half-life ten days, forty outcomes a day."""
    rng = np.random.default_rng(3)
    days, each, half_life = 200, 40, 10.0
    day = np.repeat(np.arange(days), each).astype(float)
    late = day >= days / 2
    value = np.where(late, 3 + rng.normal(0, 2, len(day)), rng.normal(0, 1, len(day)))
    said = rows(np.zeros(len(day)), 2.0)
    daily, frozen, before = [], [], []
    fixed = Bands.fit(TARGET, said.filter(~late), value[~late], days / 2 - day[~late], half_life)
    for today in range(60, days):
        now, past = day == today, day < today
        bands = Bands.fit(TARGET, said.filter(past), value[past], today - day[past], half_life)
        held = share(value[now], bands.apply(Forecast(rows=said.filter(now))).rows)
        if today < days / 2:
            before.append(held)
        elif today >= days / 2 + 5 * half_life:
            daily.append(held)
            frozen.append(share(value[now], fixed.apply(Forecast(rows=said.filter(now))).rows))
    assert 0.77 <= float(np.mean(before)) <= 0.83
    assert 0.77 <= float(np.mean(daily)) <= 0.83
    assert float(np.mean(frozen)) < 0.5


def test_draws_are_carried_along_with_the_quantiles() -> None:
    rng = np.random.default_rng(4)
    centre, worlds = np.array([10.0, 50.0]), 20_001
    shock = rng.normal(0, 1, worlds)
    draws = centre[:, None] + np.vstack([shock, 2 * shock])
    quantiles = np.quantile(draws, (0.1, 0.5, 0.9), axis=1)
    said = pl.DataFrame({"point": centre, "q10": quantiles[0], "q50": quantiles[1], "q90": quantiles[2]})
    bands = Bands(target=TARGET, shift={"q10": -0.5, "q50": 0.1, "q90": 1.0}, least=1.0, counted=99)
    moved = bands.apply(Forecast(rows=said, draws=draws))
    assert moved.draws is not None
    again = np.quantile(moved.draws, (0.1, 0.5, 0.9), axis=1)
    for k, column in enumerate(("q10", "q50", "q90")):
        np.testing.assert_allclose(again[k], moved.rows[column].to_numpy(), rtol=1e-3)
    assert (np.diff(moved.draws[:, np.argsort(shock)], axis=1) >= 0).all()  # the order of the worlds is kept
    assert moved.rows["point"].to_list() == pytest.approx(
        (centre + 0.1 * (quantiles[2] - quantiles[0])).tolist(), abs=1e-6
    )
    np.testing.assert_array_equal(draws[0], centre[0] + shock)  # and what came in was not touched


def test_draws_stay_above_the_lower_bound_like_the_quantiles() -> None:
    target = Quantity(unit="pieces", lower=0)
    said = pl.DataFrame({"point": [3.0], "q10": [1.0], "q50": [3.0], "q90": [5.0]})
    draws = np.linspace(0, 6, 101)[None, :]
    bands = Bands(target=target, shift={"q10": -0.5, "q50": -0.5, "q90": -0.5}, least=1.0, counted=99)
    moved = bands.apply(Forecast(rows=said, draws=draws))
    assert moved.rows["q10"][0] == 0
    assert moved.rows["point"][0] >= 0
    assert moved.draws is not None
    assert moved.draws.min() >= 0


def test_draws_of_a_forecast_without_width_get_the_width_of_its_quantiles() -> None:
    """A forecaster that is too sure (one value in every world) must not stay sure in a sum."""
    said = pl.DataFrame({"point": [3.0], "q10": [3.0], "q50": [3.0], "q90": [3.0]})
    bands = Bands(target=TARGET, shift={"q10": -1.0, "q50": 0.0, "q90": 1.0}, least=2.0, counted=99)
    moved = bands.apply(Forecast(rows=said, draws=np.full((1, 100), 3.0)))
    assert (moved.rows["q10"][0], moved.rows["q90"][0]) == (1.0, 5.0)
    assert moved.draws is not None
    assert moved.draws.mean() == pytest.approx(3.0)


@given(st.lists(st.tuples(*[st.floats(-50, 50)] * 4), min_size=50, max_size=80), st.floats(0.1, 100))
@settings(max_examples=30)
def test_quantiles_stay_in_order_and_survive_json(said: list[tuple[float, ...]], half_life: float) -> None:
    value = np.array([row[0] for row in said])
    low, middle, high = np.sort([row[1:] for row in said], axis=1).T
    frame = pl.DataFrame({"point": middle, "q10": low, "q50": middle, "q90": high})
    bands = Bands.fit(TARGET, frame, value, np.arange(len(said), dtype=float), half_life)
    new = bands.apply(Forecast(rows=frame)).rows
    assert (new["q10"] <= new["q50"]).all()
    assert (new["q50"] <= new["q90"]).all()
    again = Bands.from_dict(TARGET, json.loads(json.dumps(bands.to_dict())))
    assert again.apply(Forecast(rows=frame)).rows.equals(new)


# ---------------------------------------------------------------- isotonic

CHANCE, CHOICE = Chance(event="it"), Choice(of="it")


def overconfident(count: int) -> tuple[Floats, pl.Series]:
    rng = np.random.default_rng(5)
    true = rng.uniform(0.05, 0.95, count)
    logit = np.log(true / (1 - true))
    return 1 / (1 + np.exp(-3 * logit)), pl.Series((rng.random(count) < true).astype(int))


def test_isotonic_rises_and_improves_a_miscalibrated_stream() -> None:
    said, happened = overconfident(6000)
    learn, test = slice(0, 3000), slice(3000, 6000)
    fitted = Isotonic.fit(CHANCE, pl.DataFrame({"chance": said[learn]}), happened[learn], np.zeros(3000), 30)
    new = fitted.apply(Forecast(rows=pl.DataFrame({"chance": said[test]}))).rows["chance"].to_numpy()
    value = happened[test].to_numpy().astype(float)
    assert brier(value, new) < brier(value, said[test]) - 0.01
    grid = fitted.apply(Forecast(rows=pl.DataFrame({"chance": np.linspace(0, 1, 501)}))).rows["chance"].to_numpy()
    assert (np.diff(grid) >= 0).all()
    assert 0 < grid.min() < grid.max() < 1
    again = Isotonic.from_dict(CHANCE, json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted


def test_isotonic_pools_equal_forecasts() -> None:
    """A forecast of two values: each must come to mean its frequency, whatever the order of what happened."""
    said = np.repeat([0.3, 0.6], 400)
    happened = pl.Series(([0] * 300 + [1] * 100) + ([0] * 100 + [1] * 300))
    for order in (np.arange(800), np.arange(800)[::-1].copy(), np.random.default_rng(1).permutation(800)):
        rows_ = pl.DataFrame({"chance": said[order]})
        fitted = Isotonic.fit(CHANCE, rows_, happened[order], np.zeros(800), FOREVER)
        new = fitted.apply(Forecast(rows=pl.DataFrame({"chance": [0.3, 0.6]}))).rows["chance"].to_list()
        assert new == pytest.approx([0.25, 0.75], abs=0.01)


def test_isotonic_forgets_what_is_long_ago() -> None:
    said = np.random.default_rng(6).uniform(0.4, 0.6, 2000)
    happened = pl.Series([0] * 1000 + [k % 10 != 0 for k in range(1000)]).cast(pl.Int64)
    age = np.r_[np.full(1000, 300.0), np.zeros(1000)]
    fitted = Isotonic.fit(CHANCE, pl.DataFrame({"chance": said}), happened, age, 30)
    new = fitted.apply(Forecast(rows=pl.DataFrame({"chance": said}))).rows["chance"].to_numpy()
    assert float(new.mean()) == pytest.approx(0.9, abs=0.05)


def test_few_outcomes_leave_a_chance_as_it_was() -> None:
    rows_ = pl.DataFrame({"chance": np.full(99, 0.3)})
    fitted = Isotonic.fit(CHANCE, rows_, pl.Series([1] * 99), np.zeros(99), 30)
    assert fitted.apply(Forecast(rows=rows_)).rows.equals(rows_)


def test_choices_still_sum_to_one_and_a_new_class_keeps_its_own() -> None:
    rng = np.random.default_rng(7)
    said = rng.dirichlet([1, 1], 500)
    happened = pl.Series(np.where(rng.random(500) < 0.5 * said[:, 0], "a", "b"))
    frame = pl.DataFrame({"p:a": said[:, 0], "p:b": said[:, 1]})
    fitted = Isotonic.fit(CHOICE, frame, happened, np.zeros(500), 30)
    new = fitted.apply(Forecast(rows=frame)).rows
    assert new.sum_horizontal().to_list() == pytest.approx([1.0] * 500)
    assert float(new["p:a"].to_numpy().mean()) == pytest.approx(float((happened == "a").to_numpy().mean()), abs=0.04)
    three = fitted.apply(Forecast(rows=pl.DataFrame({"p:a": [0.5], "p:b": [0.3], "p:c": [0.2]}))).rows
    assert three.columns == ["p:a", "p:b", "p:c"]
    assert three["p:c"][0] > 0.1
    assert three.sum_horizontal()[0] == pytest.approx(1)


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_shares_that_are_too_cautious_or_too_sure_are_made_as_sharp_as_they_are_right(power: float) -> None:
    """Of nine classes, each too rare for steps of its own; in the last outcomes one that was given no chance."""
    rng = np.random.default_rng(10)
    right = rng.dirichlet([0.3] * 9, 800)
    said = right**power / (right**power).sum(axis=1, keepdims=True)
    names = [f"{k}" for k in range(9)]
    happened = pl.Series([str(rng.choice(names, p=row)) for row in right])
    frame = pl.DataFrame(said, schema=[f"p:{name}" for name in names]).with_columns(pl.lit(0.0).alias("p:new"))
    happened = pl.concat([happened[:-40], pl.Series(["new"] * 40)])
    fitted = Isotonic.fit(CHOICE, frame, happened, np.zeros(800), FOREVER)
    assert fitted.power == pytest.approx(1 / power, rel=0.15)
    new = fitted.apply(Forecast(rows=frame)).rows
    assert np.abs(new.drop("p:new").to_numpy() - right).mean() < 0.3 * np.abs(said - right).mean()
    assert (new["p:new"] < 0.06).all()  # as often as it came
    assert new.sum_horizontal().to_list() == pytest.approx([1.0] * 800)
    assert Isotonic.from_dict(CHOICE, json.loads(json.dumps(fitted.to_dict()))) == fitted


def test_shares_that_are_right_are_left_as_they_are() -> None:
    left = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        said = rng.dirichlet([0.5] * 6, 150)
        happened = pl.Series([str(rng.choice(list("abcdef"), p=row)) for row in said])
        frame = pl.DataFrame(said, schema=[f"p:{name}" for name in "abcdef"])
        left += Isotonic.fit(CHOICE, frame, happened, np.zeros(150), FOREVER).power == 1.0
    assert left >= 35


def test_what_never_had_a_chance_keeps_none_and_what_is_rare_its_own() -> None:
    """Two groups with scales of their own, one class of which is too rare to tell what is meant by its chance."""
    rng = np.random.default_rng(9)
    first = np.arange(1200) % 2 == 0
    chance = np.where(first[:, None], [0.6, 0.38, 0.02, 0.0], [0.0, 0.0, 0.3, 0.7])
    happened = pl.Series([str(rng.choice(["a", "b", "c", "d"], p=row)) for row in chance])
    frame = pl.DataFrame(chance, schema=["p:a", "p:b", "p:c", "p:d"])
    frame = frame.with_columns(pl.Series("p:e", np.where(first, 0.0, 0.01)))
    fitted = Isotonic.fit(CHOICE, frame, happened, np.zeros(1200), FOREVER)
    new = fitted.apply(Forecast(rows=frame)).rows
    assert new["p:a"].filter(pl.Series(~first)).max() == 0
    assert new["p:d"].filter(pl.Series(first)).max() == 0
    assert new["p:e"].filter(pl.Series(~first)).min() == pytest.approx(0.01, rel=0.1)
    assert new["p:a"].filter(pl.Series(first)).mean() == pytest.approx(0.6, abs=0.05)


def test_a_class_that_came_though_it_had_no_chance_gets_one() -> None:
    frame = pl.DataFrame({"p:a": np.ones(400), "p:b": np.zeros(400)})
    fitted = Isotonic.fit(CHOICE, frame, pl.Series(["a"] * 380 + ["b"] * 20), np.zeros(400), FOREVER)
    assert fitted.apply(Forecast(rows=frame)).rows["p:b"][0] == pytest.approx(0.05, abs=0.01)
