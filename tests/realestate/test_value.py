"""What a home is worth: known then, near the truth of the sample, and told with what it rests on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from foretell.contract import INSTANT, Block, Frame, History
from foretell.domains.realestate import DOMAIN, VALUE, value
from foretell.domains.realestate.alike import around
from foretell.domains.realestate.prices import Deals
from foretell.domains.realestate.sample import END, sample, world
from foretell.domains.realestate.schema import HomeDescribed, ValueAnswer, ValueRequest
from foretell.domains.realestate.tables import TRANSACTIONS
from foretell.engine.backtest import Backtest, backtest
from foretell.engine.ingest import ingest
from foretell.engine.model import Model
from foretell.engine.predict import Prediction, predict
from foretell.engine.train import train
from foretell.errors import BrokenDomain, InvalidRequest, NotFound, NotReady
from foretell.models.nearest import Points
from foretell.testing import check_domain

DAY = timedelta(days=1)
MID = datetime(2023, 9, 15, tzinfo=UTC)


@cache
def history() -> History:
    return sample(1).history


@cache
def race() -> Backtest:
    return backtest(VALUE, history())


@cache
def model() -> Model:
    return train(VALUE, history()).model


def asked(name: str, as_of: datetime, at: datetime) -> Frame:
    frame = pl.DataFrame({"entity": [name], "as_of": [as_of], "at": [at], "property": [name]})
    return frame.with_columns(pl.col("as_of", "at").cast(INSTANT))


def with_deal(seen: History, **told: Any) -> History:
    """The history with a deal more."""
    row = {"transaction": "x", "kind": "BUY", "person": "", "entity": "", "agent": "", "area": "a3", **told}
    times = [pl.col(name).cast(INSTANT) for name in ("time", "known_at")]
    return seen.plus({"transactions": pl.DataFrame([row]).with_columns(times)})


def answer(seen: History | None = None, **request: Any) -> ValueAnswer:
    (one,) = predict([(VALUE, ValueRequest(**request))], seen or history(), {VALUE.name: model()})
    if not isinstance(one, Prediction):
        raise one
    assert isinstance(one.answer, ValueAnswer)
    return one.answer


def numbers(seen: History, question: Frame) -> np.ndarray[Any, Any]:
    made = value.features(seen, question)
    assert isinstance(made, Block)
    return made.values


# ---------------------------------------------------------------- known then


def test_a_deed_changes_nothing_before_it_is_known() -> None:
    late = MID + timedelta(days=60)
    more = with_deal(history(), property="s0007", price=9e9, time=MID - timedelta(days=30), known_at=late)
    early, after = asked("s0007", MID, MID + DAY), asked("s0007", late + timedelta(days=31), late + timedelta(days=32))
    assert np.array_equal(numbers(more, early), numbers(history(), early), equal_nan=True)
    changed = value.features(more, after)["index"] - value.features(history(), after)["index"]
    assert changed[0] > 1


def test_a_price_is_no_input_of_its_own_question() -> None:
    question = value.questions(history()).tail(50)
    dear = history()["transactions"].with_columns(
        price=pl.when(pl.col("time") >= question["as_of"].min()).then(pl.col("price") * 10).otherwise("price")
    )
    other = History(history().standpoint, {**history().tables, "transactions": dear})
    assert np.array_equal(numbers(other, question[:1]), numbers(history(), question[:1]), equal_nan=True)


def test_a_planted_price_among_the_features_is_caught() -> None:
    def leak(seen: History, question: Frame) -> Block:
        made = value.features(seen, question)
        price = value.outcomes(seen, question)["value"].fill_null(float("nan")).to_numpy()
        return Block((*made.names, "list_price"), np.column_stack([made.values, price]))

    def only(seed: int) -> Any:
        made = sample(seed)
        return replace(made, requests={VALUE.name: made.requests[VALUE.name]})

    leaking = replace(DOMAIN, tasks=[replace(VALUE, features=leak)], mixed=[], sample=only)
    with pytest.raises(BrokenDomain, match="future"):
        check_domain(leaking, deep=False)


def test_a_list_price_has_no_place_in_a_request_and_no_deal_is_known_before_it_is_done() -> None:
    with pytest.raises(ValidationError, match="list_price"):
        HomeDescribed.model_validate({"area": "a3", "list_price": 1})
    row = {"transaction": "t", "time": MID, "kind": "BUY", "property": "h", "price": 1.0, "known_at": MID - DAY}
    done = ingest(TRANSACTIONS, pl.DataFrame([row]), zone="UTC")
    assert done.rows.is_empty()
    assert done.rejected.height == 1


def test_a_deal_told_twice_counts_once() -> None:
    row = history()["transactions"].filter(pl.col("property") == "s0007").tail(1)
    twin = row.with_columns(transaction=pl.lit("again"), kind=pl.lit("SELL"), person=pl.lit("p"), entity=pl.lit("p"))
    both = history().plus({"transactions": twin})
    assert len(Deals.of(both).log) == len(Deals.of(history()).log)
    assert value.questions(both).equals(value.questions(history()))


def test_an_outcome_is_the_first_deal_known_within_a_month_and_void_after_that() -> None:
    at = END - timedelta(days=300)
    question = asked("s0007", at - DAY, at)
    bare = history()["transactions"].filter(pl.col("property") != "s0007")
    none = History(history().standpoint, {**history().tables, "transactions": bare})
    sold = with_deal(none, property="s0007", price=5.0, time=at + 10 * DAY, known_at=at + 50 * DAY)
    for seen, moment, price, known in (
        (sold, at + 49 * DAY, None, False), (sold, at + 50 * DAY, 5.0, True), (none, at + 149 * DAY, None, False),
        (none, at + 150 * DAY, None, True),
    ):  # fmt: skip
        told = value.outcomes(seen.cut(moment), question)
        assert told["value"][0] == price
        assert (told["known_at"][0] is not None) == known
    too_late = with_deal(none, property="s0007", price=5.0, time=at + 10 * DAY, known_at=at + 200 * DAY)
    assert value.outcomes(too_late, question)["value"][0] is None


# ---------------------------------------------------------------- near the truth


def test_homes_are_worth_what_they_truly_are() -> None:
    truth = world(1).worth.filter(pl.col("property").is_in(history()["transactions"]["property"].implode()))
    some = truth[::25]
    wrong = [answer(property=name).value_today / worth - 1 for name, worth in some.iter_rows()]
    assert len(wrong) >= 15
    assert float(np.median(np.abs(wrong))) < 0.08
    assert abs(float(np.mean(wrong))) < 0.05


def test_who_serves_beats_the_last_price_and_the_band_holds() -> None:
    scores = race().scores()
    best = min(scores.values(), key=lambda one: one["mape"] or 0)
    mape, base, held = best["mape"], scores["index"]["mape"], best["coverage"]
    assert mape is not None
    assert base is not None
    assert held is not None
    assert mape < 0.9 * base
    assert 0.7 <= held <= 0.9


def test_money_is_never_negative_and_bands_widen_with_the_horizon() -> None:
    for rows in race().forecasts.values():
        assert (rows["q10"] >= 0).all()
        assert (rows["point"] > 0).all()
    near, far = (answer(property="s0007", horizon_months=months) for months in (0, 120))
    assert 0 <= far.low <= far.value <= far.high
    assert (far.high - far.low) / far.value > 1.3 * (near.high - near.low) / near.value
    assert near.value == pytest.approx(near.value_today)


# ---------------------------------------------------------------- the answer


def test_comparables_are_other_homes_of_the_area_that_were_known() -> None:
    seen = history().cut(MID)
    told = answer(seen, property="s0007")
    area = seen["properties"].filter(pl.col("property") == "s0007")["area"][0]
    known = seen["transactions"].filter(pl.col("known_at") <= MID).select("property", "time", "price").rows()
    assert len(told.comparables) >= 3
    for one in told.comparables:
        assert one.property != "s0007"
        assert one.area == area
        assert (one.property, one.sold, one.price) in known
        assert one.today == pytest.approx(told.value_today, rel=0.5)
    assert [one.alike for one in told.comparables] == sorted((one.alike for one in told.comparables), reverse=True)


def test_the_last_price_is_moved_with_the_market_and_reasons_multiply_to_the_value() -> None:
    sold = history()["transactions"].filter(pl.col("property") == "s0007", pl.col("known_at") <= MID).sort("time")
    told = answer(history().cut(MID), property="s0007")
    assert told.last_price == sold["price"][-1]
    assert told.last_sold == sold["time"][-1]
    assert told.last_price_today is not None
    assert told.last_price is not None
    assert 0.9 < told.last_price_today / told.last_price < 1.3
    product = told.usual * float(np.prod([reason.factor for reason in told.reasons]))
    assert product == pytest.approx(told.value_today, rel=1e-6)
    assert any(reason.words.startswith("size ") for reason in told.reasons)


def test_a_home_that_is_not_on_record_is_valued_by_what_it_is_like() -> None:
    small, large = (answer(home={"area": "a3", "size": size, "grade": 6, "built": 1980}) for size in (60, 200))
    assert small.property is None
    assert small.last_price is None
    assert 1.5 < large.value_today / small.value_today < 4  # truly 200/60 to the power of 0.8: 2.6
    assert {one.area for one in large.comparables} == {"a3"}
    nothing = answer(home={})
    assert nothing.low < nothing.value < nothing.high


def test_an_area_without_deals_is_said_and_confidence_is_what_the_range_held() -> None:
    there, nowhere = (answer(home={"area": area, "size": 100}) for area in ("a3", "Nowhere"))
    words = "no deal is known in area Nowhere"
    assert words in [one.words for one in nowhere.reasons]
    assert not any(one.words.startswith("no deal is known") for one in there.reasons)
    count, share = model().held[""]
    assert count >= 100
    assert there.confidence == share


def test_what_is_not_there_is_refused_with_what_to_type() -> None:
    with pytest.raises(NotFound, match="describe a home"):
        answer(property="nowhere")
    nobody = History(history().standpoint, {**history().tables, "transactions": history()["transactions"].clear()})
    with pytest.raises(NotReady, match=r"realestate\.transactions"):
        answer(nobody, property="s0007")
    wrongs: tuple[dict[str, Any], ...] = ({}, {"property": "s0007", "home": {}})
    for wrong in wrongs:
        with pytest.raises(InvalidRequest, match="one of the two"):
            answer(**wrong)


# ---------------------------------------------------------------- near and alike


def test_the_nearest_are_those_that_looking_at_all_finds() -> None:
    random = np.random.default_rng(3)
    points, some = random.normal(size=(200, 3)), random.normal(size=(20, 3))
    found, far = Points(points).nearest(some, 4)
    all_ = np.linalg.norm(some[:, None] - points[None], axis=2)
    assert np.array_equal(found, np.argsort(all_, axis=1)[:, :4])
    assert far == pytest.approx(np.sort(all_, axis=1)[:, :4])
    few, away = Points(points[:2]).nearest(some, 4)
    assert (few[:, 2:] == -1).all()
    assert np.isinf(away[:, 2:]).all()


def test_homes_of_other_areas_are_no_comparables_unless_it_is_known_where_they_stand() -> None:
    question = asked("s0007", MID, MID)
    (one,) = value.seen(history(), question)
    found = around(one.standing, one.homes, one.standing.parts(one.homes, one.month, one.rise))
    past = one.standing.deals.frame[one.standing.rows[found.alike[0][found.alike[0] >= 0]]]
    assert past["area"].unique().to_list() == one.homes["area"].to_list()
    placed = history()["properties"].with_columns(
        latitude=47.0 + pl.int_range(pl.len()) * 1e-4, longitude=pl.lit(-122.0)
    )
    there = History(history().standpoint, {**history().tables, "properties": placed})
    (two,) = value.seen(there, question)
    near = around(two.standing, two.homes, two.standing.parts(two.homes, two.month, two.rise))
    past = two.standing.deals.frame[two.standing.rows[near.near[0][near.near[0] >= 0]]]
    assert past["area"].n_unique() > 1


def test_a_published_index_says_how_prices_rose_and_go_on() -> None:
    told = answer(property="s0007")
    seen = history()["markets"].filter(pl.col("area") == told.comparables[0].area).sort("time")["index"]
    published = seen[-1] / seen[-13] - 1
    assert told.market_year == pytest.approx(published, abs=0.02)
    made = value.features(history(), asked("s0007", END, END))
    assert made["gain"][0] == pytest.approx(np.log1p(told.market_year) / 2)
