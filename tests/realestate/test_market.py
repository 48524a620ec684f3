"""Where markets go: what was published then, growth that goes on or is learned, bands so far ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from foretell.contract import INSTANT, Floats, Frame, History, Standpoint
from foretell.domains.realestate import MARKET, market
from foretell.domains.realestate.sample import sample
from foretell.domains.realestate.schema import MarketAnswer, MarketRequest, Settings
from foretell.engine.backtest import backtest
from foretell.engine.predict import Prediction, predict
from foretell.engine.train import train
from foretell.errors import NotFound

START = datetime(2010, 1, 1, tzinfo=UTC)


def made(index: Floats, late: int = 35) -> History:
    """Markets by month (areas x months), each published `late` days after its month began."""
    rows = [
        {"area": f"a{k}", "entity": f"a{k}", "time": market.later(START, m), "index": float(one)}
        for k, row in enumerate(index)
        for m, one in enumerate(row)
    ]
    told = pl.DataFrame(rows).with_columns(pl.col("time").cast(INSTANT))
    told = told.with_columns(known_at=pl.col("time") + timedelta(days=late)).sort("known_at", "area")
    there = Standpoint(tenant="t", now=market.later(START, index.shape[1] + 1), zone="UTC", settings=Settings())
    return History(there, {"markets": told})


@cache
def waves() -> History:
    """Growth that comes and goes: after much there is little."""
    random = np.random.default_rng(1)
    month = np.arange(180)
    shift = random.uniform(0, 60, 12)[:, None]
    growth = 0.003 + 0.006 * np.sin(2 * np.pi * (month + shift) / 60) + random.normal(0, 0.001, (12, 180))
    return made(100 * np.exp(np.cumsum(growth, axis=1)))


def question(area: str, as_of: datetime, ahead: int) -> Frame:
    at = market.later(as_of.replace(day=1), ahead)
    frame = pl.DataFrame({"entity": [area], "area": [area], "as_of": [as_of], "at": [at]})
    return frame.with_columns(pl.col("as_of", "at").cast(INSTANT))


def answer(history: History, **request: Any) -> MarketAnswer:
    model = train(MARKET, history).model
    (one,) = predict([(MARKET, MarketRequest(**request))], history, {MARKET.name: model})
    if not isinstance(one, Prediction):
        raise one
    assert isinstance(one.answer, MarketAnswer)
    return one.answer


def test_growth_is_of_the_months_that_were_published_then() -> None:
    history = made(100 * 1.01 ** np.arange(40.0)[None])
    as_of = datetime(2012, 3, 1, tzinfo=UTC)  # published is January 2012, the 25th month
    seen = market.features(history, question("a0", as_of, 12))
    assert seen["level"][0] == pytest.approx(np.log(100 * 1.01**24))
    assert seen["ahead"][0] == 14
    assert seen["rate_12m"][0] == pytest.approx(np.log(1.01))
    assert seen["rate_60m"][0] == pytest.approx(np.log(1.01))  # five years are not known: two stand in
    high = history["markets"].with_columns(index=pl.when(pl.col("known_at") > as_of).then(1e6).otherwise("index"))
    other = History(history.standpoint, {"markets": high})
    assert np.array_equal(market.features(other, question("a0", as_of, 12)).values, seen.values)


def test_an_old_month_that_comes_late_is_not_the_newest_and_what_was_first_published_counts() -> None:
    history = made(100 + np.arange(30.0)[None])
    told = history["markets"]
    late = told[5:6].with_columns(known_at=told["known_at"][20] + timedelta(days=1))
    anew = told[10:11].with_columns(index=pl.lit(999.0), known_at=told["known_at"][20] + timedelta(days=1))
    rows = pl.concat([told[:5], told[6:], late, anew])
    seen = market.features(
        History(history.standpoint, {"markets": rows}), question("a0", told["known_at"][20] + timedelta(days=2), 12)
    )
    assert seen["level"][0] == pytest.approx(np.log(120))
    asked = question("a0", told["known_at"][3], 7)  # of the 11th month
    assert market.outcomes(History(history.standpoint, {"markets": rows}), asked)["value"][0] == 110 + 1


def test_an_outcome_is_open_until_it_is_published() -> None:
    history = made(100 + np.arange(30.0)[None])
    asked = question("a0", datetime(2011, 1, 10, tzinfo=UTC), 6)
    known = datetime(2011, 7, 1, tzinfo=UTC) + timedelta(days=35)
    assert market.outcomes(history.cut(known - timedelta(days=1)), asked)["value"][0] is None
    outcome = market.outcomes(history.cut(known), asked)
    assert outcome["value"][0] == 118
    assert outcome["known_at"][0] == known


def test_what_is_learned_beats_growth_that_goes_on_where_growth_comes_and_goes() -> None:
    scores = backtest(MARKET, waves()).scores()
    assert (scores["learned"]["mape"] or 9) < 0.6 * (scores["continued"]["mape"] or 0)
    assert 0.65 < (scores["learned"]["coverage"] or 0) < 0.95


def test_steady_growth_goes_on_for_all_but_the_flat() -> None:
    history = made(100 * np.exp(0.004 * np.arange(120.0))[None] * np.array([[1.0], [2.0]]))
    scores = backtest(MARKET, history).scores()
    assert (scores["continued"]["mape"] or 0) < 0.01
    assert (scores["learned"]["mape"] or 9) < 0.1
    assert (scores["flat"]["mape"] or 0) > 1


def test_an_answer_tells_the_newest_index_and_a_wider_range_farther_ahead() -> None:
    history = sample(1).history
    near, far = (answer(history, area="a3", months=months) for months in (1, 60))
    newest = history["markets"].filter(pl.col("area") == "a3").sort("time").tail(1)
    assert near.index_known == newest["index"][0]
    assert near.known == newest["time"][0]
    assert (near.at, far.at) == (datetime(2024, 8, 1, tzinfo=UTC), datetime(2029, 7, 1, tzinfo=UTC))
    assert 0 < near.low < near.index < near.high
    assert (far.high - far.low) / far.index > 2 * (near.high - near.low) / near.index
    assert near.growth == pytest.approx(near.index / near.index_known - 1)
    with pytest.raises(NotFound, match=r"realestate\.markets"):
        answer(history, area="nowhere")


@pytest.mark.parametrize("hours", [0, -3, -12, 8])
def test_a_month_is_the_one_that_begins_about_then_by_whatever_clock(hours: int) -> None:
    """Its first day by the clocks of Athens is the day before in UTC."""
    steady = made(100 * np.exp(0.005 * np.arange(60))[None, :].repeat(3, axis=0))
    moved = steady["markets"].with_columns(pl.col("time", "known_at") + timedelta(hours=hours))
    said, usual = (
        answer(one, area="a1", months=12) for one in (History(steady.standpoint, {"markets": moved}), steady)
    )
    assert said.index_known == usual.index_known
    assert said.index == pytest.approx(usual.index, rel=1e-6)
