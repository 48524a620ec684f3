"""When to order and how much, against shelves whose futures are known, and in the cases that are easy to get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from tests.inventory import LAST, NOW, days, said, stockout, world
from tests.inventory.test_demand import weeks

from foretell.app import App
from foretell.contract import INSTANT, Approved, Floats, Forecast, History, Replayed, quantile
from foretell.domains.inventory import STOCKOUT
from foretell.domains.inventory import stockout as task
from foretell.domains.inventory.models import LEVELS
from foretell.domains.inventory.schema import ReplayRequest, StockoutAnswer, StockoutRequest
from foretell.domains.inventory.supply import PROPOSING
from foretell.domains.inventory.tables import INCOMING, LEAD_TIMES, STOCK_LEVELS
from foretell.engine.predict import Prediction
from foretell.engine.replay import replay
from foretell.errors import InvalidRequest, NotFound, NotReady, Refused
from foretell.models import stock as shelf

FIRST = LAST + timedelta(days=1)  # day one of a forecast on a history that ends on LAST
TODAY = NOW.date()
DAY = timedelta(days=1)


def known(daily: Floats, **request: Any) -> StockoutAnswer:
    """The answer where what goes out is known: days, or days x worlds; no delivery has taken anything but its usual."""
    worlds = daily[:, None] if daily.ndim == 1 else daily
    used = np.cumsum(np.repeat(worlds, 400 // worlds.shape[1], axis=1), axis=0)
    columns = {name: used.mean(axis=1) for name in ("point", *map(quantile, LEVELS))}
    body = {"product": "it", "history": days([5.0] * 60), "horizon_days": len(daily), **request}
    asked, stored = StockoutRequest.model_validate(body), world()
    history = History(stored.standpoint, {**stored.tables, **(task.ask(asked, stored).history or {})})
    return task.decide(Forecast(rows=pl.DataFrame(columns), draws=used), asked, history)


def sold(values: list[float], last: datetime = NOW) -> list[tuple[str, datetime, float, str]]:
    """A sale of the product on each of the days before the last."""
    return [("it", last - DAY * (len(values) - k), value, "sale") for k, value in enumerate(values)]


def facts(history: History, table: str, *rows: dict[str, Any]) -> History:
    """The history with rows of a table, of the product, known when they happened unless said otherwise."""
    full = [{"entity": "it", "known_at": row["time"], **row} for row in rows]
    frame = pl.DataFrame(full).with_columns(pl.col("time", "known_at").dt.convert_time_zone("UTC").cast(INSTANT))
    return History(history.standpoint, {**history.tables, table: frame})


# ---------------------------------------------------------------- known worlds


def test_of_a_constant_all_is_exact() -> None:
    answer = known(np.full(40, 5.0), current_stock_units=50, lead_time_days=0, cover_days=7)
    assert answer.days_until_stockout == 10
    assert answer.predicted_stockout_date == answer.dates["10"] == answer.dates["90"] == LAST + 10 * DAY
    assert answer.expected_lost_sales == pytest.approx(150)
    assert answer.order
    assert answer.order.by == LAST + 10 * DAY  # it is there at once, before the last are sold
    assert (answer.order.in_time, answer.order.quantity) == (1.0, 0.0)
    short = known(np.full(40, 5.0), current_stock_units=20, lead_time_days=0, cover_days=7).order
    assert short
    assert short.quantity == 15.0  # seven days of five, less twenty


def test_an_order_covers_lead_time_and_review_less_what_is_there_and_under_way() -> None:
    used = np.cumsum(np.full((40, 400), 5.0), axis=0)
    for stock, lead, cover, coming, wanted in (
        (50.0, 4, 7, 0.0, 5.0), (0.0, 4, 7, 0.0, 35.0), (20.0, 4, 7, 0.0, 35.0), (50.0, 4, 7, 5.0, 0.0),
        (20.0, 0, 1, 0.0, 0.0), (0.0, 0, 1, 0.0, 5.0), (50.0, 9, 10, 0.0, 45.0),
    ):  # fmt: skip
        got = shelf.enough(used - stock - coming, np.full(400, float(lead)), cover, 0.95)
        assert got == pytest.approx(wanted), (stock, lead, cover, coming)
    assert shelf.latest(shelf.empty(used - 50.0), np.full(400, 4.0), 0.95) == 6  # there on the tenth, the last day
    assert shelf.latest(shelf.empty(used - 50.0), np.full(400, 12.0), 0.95) == -2
    assert shelf.latest(shelf.empty(used - 500.0), np.full(400, 4.0), 0.95) == np.inf
    assert shelf.enough(used - 50.0, np.full(400, 35.0), 7, 0.95) == np.inf


def test_a_service_level_is_a_share_of_the_futures() -> None:
    """In three worlds of four two go out a day, in one of them four."""
    daily = np.tile([2.0, 2.0, 2.0, 4.0], (40, 1))
    asked = {"current_stock_units": 24, "lead_time_days": 0, "cover_days": 10}
    assert known(daily, **asked, service_level=0.7).order.quantity == 0.0  # type: ignore[union-attr]
    sure = known(daily, **asked, service_level=0.8).order
    assert sure
    assert (sure.quantity, sure.by) == (16.0, LAST + 6 * DAY)
    assert known(daily, **asked, service_level=0.7).order.by == LAST + 12 * DAY  # type: ignore[union-attr]


def test_receipts_count_on_their_day_before_anything_is_sold() -> None:
    on = {"current_stock_units": 20, "receipts": [{"date": FIRST + 3 * DAY, "quantity": 10}]}
    assert known(np.full(40, 5.0), **on).days_until_stockout == 6
    late = known(np.full(40, 5.0), current_stock_units=20, receipts=[{"date": FIRST + 4 * DAY, "quantity": 10}])
    assert (late.days_until_stockout, late.incoming_units) == (4, 10.0)  # empty on the fourth, whatever comes then
    gap = {"current_stock_units": 20, "receipts": [{"date": FIRST + 6 * DAY, "quantity": 1000}]}
    assert known(np.full(40, 5.0), **gap).expected_lost_sales == pytest.approx(10)  # days five and six, for good
    with pytest.raises(InvalidRequest, match="what came before 2026-02-28 is in the stock already"):
        known(np.full(40, 5.0), current_stock_units=1, receipts=[{"date": LAST, "quantity": 1}])


def test_a_promotion_multiplies_what_goes_out_on_its_day() -> None:
    answer = known(np.full(40, 5.0), current_stock_units=50, uplifts=[{"date": FIRST + DAY, "factor": 5}])
    assert answer.days_until_stockout == 6
    assert answer.daily_usage_forecast[:3] == [5.0, 25.0, 5.0]
    assert not answer.proposes
    with pytest.raises(InvalidRequest, match="uplifts has 2026-02-27; the days are 2026-02-28 to "):
        known(np.full(40, 5.0), current_stock_units=1, uplifts=[{"date": LAST, "factor": 5}])


def test_too_few_days_for_lead_time_and_review_are_no_order() -> None:
    assert known(np.full(10, 5.0), current_stock_units=50, lead_time_days=9, cover_days=7).order is None
    assert known(np.full(40, 5.0), current_stock_units=50, lead_time_days=9, cover_days=7).order is not None


# ---------------------------------------------------------------- properties

DEMANDS = st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=30, max_size=30).map(
    lambda rows: np.cumsum(np.array(rows, dtype=float), axis=0)
)


def end(value: date | None) -> date:
    return value or date.max


@given(DEMANDS, st.integers(0, 99), st.integers(0, 50))
@given_settings(max_examples=60)
def test_more_stock_never_runs_out_earlier_and_a_receipt_loses_no_more(used: Floats, stock: int, more: int) -> None:
    less, full = used - stock, used - stock - more
    assert (shelf.empty(full) >= shelf.empty(less)).all()
    late = used - stock - np.where(np.arange(30) >= 9, more, 0)[:, None]
    assert (shelf.lost(late) <= shelf.lost(less)).all()
    assert (shelf.lost(full) <= shelf.lost(late)).all()
    lead = np.full(4, 3.0)
    assert shelf.enough(full, lead, 5, 0.75) <= shelf.enough(less, lead, 5, 0.75)


@given(DEMANDS, st.integers(1, 99), st.floats(0, 20), st.floats(0, 20), st.lists(st.floats(0, 15), max_size=6))
@given_settings(max_examples=60)
def test_a_longer_lead_time_never_orders_later(
    used: Floats, stock: int, one: float, other: float, took: list[float]
) -> None:
    empty, seen = np.repeat(shelf.empty(used - stock), 100), np.array(took)
    short, long = (
        shelf.latest(empty, shelf.lead_times(seen, seen, 7.0, 400, mean), 0.9) for mean in sorted((one, other))
    )
    assert long <= short


@given(DEMANDS, st.integers(0, 60), st.integers(0, 5), st.integers(1, 8))
@given_settings(max_examples=60)
def test_the_quantity_is_what_a_shelf_needs_and_no_more(used: Floats, stock: int, lead: int, cover: int) -> None:
    """Played day by day: with it no world runs short from its arrival on, with a unit less some do."""
    quantity = shelf.enough(used - stock, np.full(4, float(lead)), cover, 1.0)

    def misses(ordered: float) -> bool:
        daily, arriving = np.diff(used, axis=0, prepend=0.0)[: lead + cover], np.zeros(lead + 1)
        arriving[lead] = ordered
        played = [shelf.course(row, lambda *_: 0.0, stock=stock, lead=0, arriving=arriving.tolist()) for row in daily.T]
        return any(one.lost[lead:].sum() > 0 for one in played)

    assert not misses(quantity)
    assert quantity == 0 or misses(quantity - 1)


@given(DEMANDS, st.integers(0, 60))
@given_settings(max_examples=30)
def test_lost_sales_are_those_of_a_shelf_played_day_by_day(used: Floats, stock: int) -> None:
    daily = np.diff(used, axis=0, prepend=0.0)
    played = [shelf.course(row, lambda *_: 0.0, stock=stock, lead=0).lost.sum() for row in daily.T]
    assert shelf.lost(used - stock).tolist() == played


# ---------------------------------------------------------------- lead times


def test_few_deliveries_are_drawn_to_those_of_all_and_to_the_usual() -> None:
    none, all_took = np.zeros(0), np.full(100, 20.0)
    assert shelf.lead_times(none, none, 10.0, 400).mean() == pytest.approx(10, abs=0.3)
    means = [shelf.lead_times(np.full(n, 4.0), all_took, 10.0, 400).mean() for n in (0, 1, 4, 20, 100)]
    assert means == sorted(means, reverse=True)
    assert means[0] == pytest.approx((4 * 20 + 10) / 5, abs=0.3)
    assert means[4] == pytest.approx(4, abs=1)
    assert shelf.lead_times(np.full(9, 4.0), all_took, 10.0, 400, 3.0).mean() == pytest.approx(3, abs=0.3)
    assert shelf.lead_times(none, none, 0.0, 400, 6.0).tolist() == [6.0] * 400


def test_stored_deliveries_say_how_long_an_order_takes() -> None:
    stored = world(sold([5.0] * 60))
    slow = facts(stored, LEAD_TIMES.name, *({"time": NOW - DAY * k, "days": 20.0} for k in range(1, 40)))
    usual, longer = (stockout(one, current_stock_units=300).order for one in (stored, slow))
    assert (usual.deliveries, longer.deliveries) == (0, 39)
    assert usual.lead_time_days == pytest.approx(7, abs=0.2)
    assert longer.lead_time_days == pytest.approx(20, abs=0.7)
    assert longer.by < usual.by
    assert longer.quantity >= usual.quantity


# ---------------------------------------------------------------- what is there


def counted(history: History, units: float, before: timedelta) -> History:
    return facts(history, STOCK_LEVELS.name, {"time": NOW - before, "on_hand": units})


def test_without_a_stock_the_newest_count_is_moved_on() -> None:
    rows = [
        *sold([5.0] * 60),
        ("it", NOW - timedelta(hours=5), 3.0, "sale"), ("it", NOW - timedelta(hours=4), 1.0, "return"),
        ("it", NOW - timedelta(hours=3), 50.0, "receipt"), ("it", NOW - timedelta(hours=2), 9.0, "out_of_stock"),
    ]  # fmt: skip
    answer = stockout(counted(world(rows), 80, timedelta(hours=36)))
    assert answer.current_stock_units == 80 - 5 - 3 + 1 + 50
    assert answer.stock_counted_at == NOW - timedelta(hours=36)
    assert stockout(counted(world(rows), 80, timedelta(hours=1))).current_stock_units == 80
    assert stockout(counted(world(rows), 5, timedelta(days=19))).current_stock_units == 0  # never below
    given_ = stockout(counted(world(rows), 80, timedelta(hours=1)), current_stock_units=7)
    assert (given_.current_stock_units, given_.stock_counted_at) == (7, None)


def test_no_known_stock_says_what_to_type() -> None:
    with pytest.raises(NotReady, match=r"send current_stock_units, .* foretell import inventory.stock_levels FILE"):
        stockout(world(sold([5.0] * 60)))
    with pytest.raises(NotReady, match="no stock of it is known"):
        stockout(counted(world(), 5, DAY), history=days(weeks(9)))  # an own history is not about the stored shelf


def test_orders_under_way_are_the_stored_and_the_sent() -> None:
    stored = facts(
        counted(world(sold([5.0] * 60)), 50, timedelta(0)), INCOMING.name,
        {"order": "1", "time": NOW + 3 * DAY, "quantity": 20.0, "known_at": NOW - DAY},
        {"order": "2", "time": NOW - 3 * DAY, "quantity": 500.0, "known_at": NOW - 9 * DAY},  # taken to have come
    )  # fmt: skip
    alone = stockout(stored)
    both = stockout(stored, receipts=[{"date": TODAY + 4 * DAY, "quantity": 30}])
    assert (alone.incoming_units, both.incoming_units) == (20.0, 50.0)
    assert alone.days_until_stockout < both.days_until_stockout
    assert both.expected_lost_sales < alone.expected_lost_sales
    assert stockout(stored, history=days(weeks(9)), current_stock_units=1).incoming_units == 0.0


# ---------------------------------------------------------------- for people to approve


def low() -> History:
    """Two days of stock, and a week to wait for more."""
    return counted(world(sold([5.0] * 60)), 10, timedelta(0))


def test_an_order_that_is_due_is_proposed() -> None:
    answer = stockout(low())
    proposal = PROPOSING.of(answer)
    assert proposal
    assert proposal.action
    assert (proposal.subject, proposal.action["order"]) == ("it", answer.order.quantity)
    assert proposal.action["by"] == f"{TODAY}"
    assert proposal.until == answer.order.until == datetime(2026, 3, 2, 23, tzinfo=NOW.tzinfo)  # midnight in Berlin
    assert "10 on the shelf" in proposal.reason
    enough = PROPOSING.of(stockout(counted(world(sold([5.0] * 60)), 500, timedelta(0))))
    assert enough
    assert enough.action is None


def test_an_order_says_in_words_what_is_to_be_done_and_when() -> None:
    enough = counted(world(sold([5.0] * 60)), 90, timedelta(0))
    wait = stockout(enough)
    assert wait.order.by >= TODAY + 7 * DAY
    assert (wait.order.quantity, wait.proposes, wait.what_if) == (0.0, False, False)
    assert wait.order.later > 0
    assert wait.order.reason == f"nothing to order now; order {wait.order.later:g} by {wait.order.by}"
    now = stockout(low())
    assert (now.proposes, now.order.later) == (True, None)
    assert now.order.reason == f"order {now.order.quantity:g} by {TODAY}"
    never = stockout(counted(world(sold([5.0] * 60)), 9000, timedelta(0)))
    assert (never.order.by, never.order.later, never.proposes) == (None, None, False)
    assert never.order.reason == "nothing to order: the shelf lasts for all the days looked at"


def test_what_an_order_would_be_on_its_day_is_known_exactly_of_a_constant() -> None:
    order_ = known(np.full(40, 5.0), current_stock_units=50, lead_time_days=0, cover_days=7).order
    assert order_
    assert (order_.by, order_.later) == (LAST + 10 * DAY, 30.0)  # seven days of five, less the five of the tenth
    short = known(np.full(14, 5.0), current_stock_units=50, lead_time_days=0, cover_days=7).order
    assert short
    assert (short.later, short.reason) == (None, f"nothing to order now; order something by {LAST + 10 * DAY}")


def test_of_a_dead_product_nothing_is_ordered() -> None:
    """Whatever it is that methods expect of it, and people are asked to look."""
    silent = counted(world(sold([20.0] * 60, NOW - 150 * DAY)), 1, timedelta(0))
    for service in (0.95, None):
        answer = stockout(silent, service_level=service)
        assert (answer.series.name, answer.manual_only) == ("dead", True)
        assert "nothing was sold for 150 days" in answer.reasons
        assert (answer.order.quantity, answer.order.by, answer.proposes) == (0.0, None, False)
        assert answer.order.reason == "nothing to order: nothing was sold for 150 days"
    withdrawn = PROPOSING.of(answer)
    assert withdrawn
    assert withdrawn.action is None  # an order that was proposed before gives way


@pytest.mark.parametrize(
    "asked",
    [{"lead_time_days": 9}, {"service_level": 0.8}, {"cover_days": 3}, {"uplifts": [{"date": TODAY, "factor": 2}]},
     {"history": days(weeks(9)), "current_stock_units": 1}],
)  # fmt: skip
def test_what_if_and_an_own_history_propose_nothing(asked: dict[str, Any]) -> None:
    assert PROPOSING.of(stockout(low(), **asked)) is None


def test_an_approved_order_is_under_way_until_it_is_told_of() -> None:
    first = PROPOSING.of(stockout(low()))
    assert first
    assert first.action
    history = low()
    standing = replace(history.standpoint, approved={"it": Approved(at=NOW, action=first.action)})
    approved = History(standing, history.tables)
    after = stockout(approved)
    assert after.incoming_units == first.action["order"]
    assert after.order.quantity < first.action["order"] / 3
    row = {"order": "1", "time": NOW + 7 * DAY, "quantity": first.action["order"], "known_at": NOW}
    assert stockout(facts(approved, INCOMING.name, row)).incoming_units == first.action["order"]
    with pytest.raises(Refused, match=r"an order of it was approved at 09:00 UTC; bring it to inventory.incoming"):
        PROPOSING.review("it", first.action, standing)


def test_review_places_the_order_today_under_the_settings_of_now() -> None:
    action = PROPOSING.of(stockout(low())).action  # type: ignore[union-attr]
    assert action
    standing = world().standpoint
    assert PROPOSING.review("it", action, standing) == action
    later = PROPOSING.review("it", action, replace(standing, now=NOW + 2 * DAY))
    arrives = date.fromisoformat(action["arrives"]) + 2 * DAY
    assert later == {**action, "by": f"{TODAY + 2 * DAY}", "arrives": f"{arrives}"}
    stricter = standing.settings.model_copy(update={"service_level": 0.99})
    with pytest.raises(Refused, match="settings have changed since"):
        PROPOSING.review("it", action, replace(standing, settings=stricter))


def test_the_track_record_of_an_own_history_is_its_own() -> None:
    one = said(STOCKOUT, history=days(weeks(40)), current_stock_units=200)
    assert isinstance(one, Prediction)
    assert isinstance(one.answer, StockoutAnswer)
    record = one.answer.track_record
    assert record.product == record.catalogue
    assert record.product.n == one.card.scored >= 16
    assert record.product.held is not None
    assert 0.5 <= record.product.held <= 1


# ---------------------------------------------------------------- on a server's floor


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    with App.open(f"shop-{uuid4().hex[:8]}", zone="Europe/Berlin") as made:
        yield made


def brought(app: App) -> None:
    now = datetime.now(NOW.tzinfo)
    random = np.random.default_rng(1)
    rows = [
        {"product": product, "time": now - DAY * k, "quantity": float(random.poisson(5))}
        for product in ("pen", "cup")
        for k in range(1, 200)
    ]
    app.import_("inventory.movements", pl.DataFrame(rows))
    app.import_("inventory.stock_levels", pl.DataFrame({"product": ["pen"], "time": [now], "on_hand": [12.0]}))
    coming = {"product": ["pen"], "order": ["7"], "time": [now + 9 * DAY], "quantity": [3.0], "known_at": [now]}
    app.import_("inventory.incoming", pl.DataFrame(coming))
    took = {"product": ["pen", "cup"], "time": [now, now], "days": [4.0, 6.0]}
    app.import_("inventory.lead_times", pl.DataFrame(took))


def test_what_if_is_decided_on_the_forecast_that_was_made(app: App) -> None:
    brought(app)
    first = app.predict("inventory.stockout", {"product": "pen"})
    again = app.predict("inventory.stockout", {"product": "pen", "lead_time_days": 30, "service_level": 0.8})
    assert (first.cached, again.cached) == (False, True)
    one, other = first.answer, again.answer
    assert isinstance(one, StockoutAnswer)
    assert isinstance(other, StockoutAnswer)
    assert (one.current_stock_units, one.incoming_units) == (12.0, 3.0)
    assert one.order
    assert other.order
    assert (one.order.deliveries, one.order.service_level, other.order.service_level) == (1, 0.95, 0.8)
    assert other.order.lead_time_days > one.order.lead_time_days
    assert (other.out_by, other.dates) == (one.out_by, one.dates)
    assert first.recommendation is not None
    assert again.recommendation is None
    (open_one,) = app.recommendations.list()
    assert (open_one.subject, open_one.action["order"]) == ("pen", one.order.quantity)
    assert app.recommendations.approve(open_one.recommendation_id).state == "approved"


def test_a_dead_product_is_not_ordered_by_a_trained_model_either(app: App) -> None:
    brought(app)
    now = datetime.now(NOW.tzinfo)
    rows = [{"product": "ink", "time": now - DAY * k, "quantity": 20.0} for k in range(120, 400)]
    app.import_("inventory.movements", pl.DataFrame(rows))
    app.train("inventory.stockout", as_of="latest", budget=1.0)
    told = app.predict("inventory.stockout", {"product": "ink", "current_stock_units": 0})
    answer = told.answer
    assert isinstance(answer, StockoutAnswer)
    assert answer.order
    assert (answer.manual_only, answer.order.quantity, answer.proposes) == (True, 0.0, False)
    assert told.recommendation is None
    assert app.recommendations.list() == []


def test_a_model_in_service_tells_its_record_of_the_product_and_of_all(app: App) -> None:
    brought(app)
    app.train("inventory.stockout", as_of="latest", budget=1.0)
    told = app.predict("inventory.stockout", {"product": "pen"}).answer
    assert isinstance(told, StockoutAnswer)
    product, catalogue = told.track_record.product, told.track_record.catalogue
    assert 0 < product.n < catalogue.n
    assert catalogue.n == 2 * product.n
    assert product.held is not None


# ---------------------------------------------------------------- replay


def replayed(rows: list[tuple[str, datetime, float, str]], **request: Any) -> Replayed:
    return replay(STOCKOUT, world(rows), "weekday_mean", request=ReplayRequest(product="it", **request))


def test_orders_are_replayed_beside_rules_of_thumb() -> None:
    told = replayed(sold(weeks(60)), lead_time_days=5)
    assert {policy.family for policy in told.policies} == {"forecast", "weekly_naive", "cover", "fixed", "last month"}
    ours = [policy for policy in told.policies if policy.family == "forecast"]
    lost = [policy.figures["whole"]["lost_units"] for policy in ours]
    stock = [policy.figures["whole"]["mean_stock"] for policy in ours]
    assert lost == sorted(lost, reverse=True)
    assert stock == sorted(stock)
    assert told.policy(told.chosen).family == "forecast"
    for policy in told.policies:
        for figures in policy.figures.values():
            assert figures["cost"] == pytest.approx(figures["holding"] + figures["shortage"])
    assert told.assumed["lead_time_days"] == 5


def test_what_a_replay_forecasts_knows_nothing_of_what_came_then() -> None:
    """Up to the end of the earlier half all is the same, whatever is sold after it."""
    one = replayed(sold(weeks(60)))
    values = weeks(60)
    after = int((one.middle - (NOW - DAY * len(values))) / DAY) + 1
    other = replayed(sold([*values[:after], *(9 * value for value in values[after:])]))
    assert (one.start, one.middle) == (other.start, other.middle)
    for policy in one.policies:
        assert policy.figures["earlier"] == other.policy(policy.name).figures["earlier"]
        assert policy.figures["later"] != other.policy(policy.name).figures["later"]


def test_a_shelf_of_a_constant_costs_what_it_must() -> None:
    told = replayed(sold([7.0] * 300), lead_time_days=0, cover_days=1, holding_cost=7.0)
    exact = told.policy("cover, factor 1").figures["whole"]
    assert (exact["lost_units"], exact["mean_stock"], exact["cost"]) == (0.0, 0.0, 0.0)
    twice = told.policy("cover, factor 2").figures["whole"]
    assert twice["mean_stock"] == pytest.approx(7.0)
    with pytest.raises(NotFound, match="name a product; there are it"):
        replay(STOCKOUT, world(sold([1.0] * 300)), "weekday_mean", request=ReplayRequest(product="other"))
