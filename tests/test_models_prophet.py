"""Prophet as a method, against Prophet used by hand: what it expects, its band, its settings, what it leaves behind."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from tests.inventory import LAST, NOW, days, demand, said, stockout, world

from foretell import History, Standpoint
from foretell.contract import Floats
from foretell.domains.inventory import DEMAND
from foretell.domains.inventory.schema import Settings
from foretell.domains.inventory.tables import MOVEMENTS
from foretell.engine.predict import Prediction
from foretell.features.dates import EPOCH
from foretell.models.prophet import ahead

Mode = Literal["additive", "multiplicative"]
MODES: tuple[Mode, ...] = ("additive", "multiplicative")


def sold(count: int, seed: int = 1) -> Floats:
    """Weeks that grow, and a year of them goes up and down."""
    time = np.arange(count)
    level = (20 + 0.02 * time) * (1 + 0.3 * np.sin(2 * np.pi * time / 365.25)) * (1 + 0.4 * (time % 7 == 5))
    return np.asarray(np.random.default_rng(seed).poisson(level), dtype=np.float64)


def by_hand(past: Floats, steps: int, last: date, mode: Mode, width: float = 0.95) -> Any:
    """What Prophet's own documentation would do; a table with yhat, yhat_lower and yhat_upper."""
    logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
    pandas, prophet = import_module("pandas"), import_module("prophet")
    first = last - timedelta(days=len(past) - 1)
    model = prophet.Prophet(
        daily_seasonality=False, weekly_seasonality="auto", yearly_seasonality="auto", seasonality_mode=mode,
        interval_width=width, mcmc_samples=0, uncertainty_samples=4000,
    )  # fmt: skip
    model.fit(pandas.DataFrame({"ds": pandas.date_range(first, periods=len(past)), "y": past}))
    return model.predict(model.make_future_dataframe(periods=steps, include_history=False))


def under(settings: Settings) -> History:
    """Nothing stored, under a tenant's settings."""
    there = Standpoint(tenant="shop", now=NOW, zone="Europe/Berlin", settings=settings)
    return History(there, {MOVEMENTS.name: world()[MOVEMENTS.name]})


@pytest.mark.row("I4")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [200, 731])  # without and with a year
def test_it_expects_what_prophet_by_hand_expects(mode: Mode, count: int) -> None:
    past = sold(count)
    wanted = by_hand(past, 40, LAST, mode)
    own = under(Settings(prophet_seasonality_mode=mode))
    answer = demand(own, history=days(past), method="prophet", horizon_days=40)
    assert answer.method == "prophet"
    assert [day.expected for day in answer.predictions] == pytest.approx(wanted["yhat"].to_list(), abs=1e-6)
    assert ("yearly" in wanted.columns) == (count == 731)


@pytest.mark.row("I4")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", [0.8, 0.95])
def test_its_futures_are_as_wide_as_prophets_own_interval(mode: Mode, width: float) -> None:
    past = sold(731)
    wanted = by_hand(past, 90, LAST, mode, width)
    day = (LAST - EPOCH).days + 1
    mean, drawn = ahead(past, 90, day, mode=mode, random=np.random.default_rng(1), worlds=4000)
    assert mean == pytest.approx(wanted["yhat"].to_numpy(), abs=1e-6)
    assert drawn.shape == (90, 4000)
    low, high = np.quantile(drawn, [(1 - width) / 2, (1 + width) / 2], axis=1)
    wide = (wanted["yhat_upper"] - wanted["yhat_lower"]).to_numpy()
    assert np.abs(low - wanted["yhat_lower"].to_numpy()).max() < 0.1 * wide.mean()
    assert np.abs(high - wanted["yhat_upper"].to_numpy()).max() < 0.1 * wide.mean()
    assert (high - low).mean() == pytest.approx(wide.mean(), rel=0.02)


@pytest.mark.row("I4")
def test_what_is_forecast_rests_on_its_own_futures() -> None:
    """Before calibration moves the band so that it has held out of sample."""
    past = sold(400)
    one = said(DEMAND, history=days(past), method="prophet", horizon_days=30)
    assert isinstance(one, Prediction)
    wanted = by_hand(past, 30, LAST, "additive", 0.8)
    wide = (wanted["yhat_upper"] - wanted["yhat_lower"]).mean()
    assert (one.raw["q90"] - one.raw["q10"]).mean() == pytest.approx(wide, rel=0.05)


@pytest.mark.row("I4")
def test_the_band_follows_the_width_of_the_request_or_else_of_the_tenant() -> None:
    past = days(sold(200))
    wide, narrow = (demand(history=past, method="prophet", interval_width=width) for width in (0.95, 0.6))
    usual, own = (
        demand(under(settings), history=past, method="prophet")
        for settings in (Settings(), Settings(prophet_interval_width=0.6))
    )
    assert (usual.interval_width, own.interval_width) == (0.95, 0.6)
    assert (usual.predictions, own.predictions) == (wide.predictions, narrow.predictions)
    for one, other in zip(wide.predictions, narrow.predictions, strict=True):
        assert 0 <= one.low < other.low <= other.expected <= other.high < one.high
    asked = demand(under(Settings(prophet_interval_width=0.6)), history=past, method="prophet", interval_width=0.95)
    assert asked.predictions == wide.predictions


@pytest.mark.row("I4")
def test_nothing_it_says_is_below_zero() -> None:
    falling = np.maximum(np.random.default_rng(2).poisson(np.linspace(30, 1, 150)), 0).astype(float)
    assert by_hand(falling, 60, LAST, "additive")["yhat"].min() < 0
    for mode in MODES:
        own = under(Settings(prophet_seasonality_mode=mode))
        told = demand(own, history=days(falling), method="prophet", horizon_days=60)
        assert min(min(day.low, day.expected) for day in told.predictions) >= 0
        empty = stockout(own, history=days(falling), method="prophet", current_stock_units=5, horizon_days=60)
        assert min(empty.daily_usage_forecast) >= 0
        assert empty.method == "prophet"


def test_it_is_the_same_twice_and_leaves_nothing_behind(capfd: pytest.CaptureFixture[str]) -> None:
    import cmdstanpy

    past = sold(120)
    shared = repr(np.random.get_state())  # Prophet would draw from it
    before = {*Path(cmdstanpy._TMPDIR).iterdir()}
    first, again = (
        ahead(past, 20, 20_000, mode="additive", random=np.random.default_rng(4), worlds=50) for _ in range(2)
    )
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    few = ahead(past, 5, 20_000, mode="additive", random=np.random.default_rng(4), worlds=50)
    assert all(one[:5] == pytest.approx(other) for one, other in zip(first, few, strict=True))
    assert repr(np.random.get_state()) == shared
    assert {*Path(cmdstanpy._TMPDIR).iterdir()} == before
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
