"""Answers that last a day: given again from the database while nothing that they rest on has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import polars as pl
import pytest
from tests.web.conftest import Running
from tests.web.test_documented import asked
from tests.web.test_inventory import body

from foretell.app import App
from foretell.app.intake import intake
from foretell.engine.predict import Prediction
from foretell.stores import facts

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DEMAND, STOCKOUT = "inventory.demand", "inventory.stockout"


def sold(product: str, days: int = 60, quantity: float = 5.0) -> pl.DataFrame:
    """A product that sold so much on each of the days before today."""
    times = [MIDNIGHT - timedelta(days=days - k) for k in range(days)]
    return pl.DataFrame({"product": product, "time": times, "quantity": [quantity + k % 7 for k in range(days)]})


def today(product: str, quantity: float) -> pl.DataFrame:
    """A sale of today."""
    return pl.DataFrame({"product": [product], "time": [MIDNIGHT], "quantity": [quantity]})


@pytest.fixture
def shop(home: Path) -> Iterator[App]:
    """A tenant with two products."""
    with App.open(f"shop-{uuid4().hex[:8]}", zone="UTC") as made:
        made.import_("inventory.movements", pl.concat([sold("milk"), sold("tea")]))
        yield made


def milk(shop: App, **how: Any) -> Prediction:
    return shop.predict(DEMAND, {"product": "milk", "horizon_days": 7}, **how)


@pytest.mark.row("I7")
def test_the_same_request_is_answered_from_the_database(shop: App) -> None:
    first, again = milk(shop), milk(shop)
    assert (again.id, again.cached, again.repeated) == (first.id, True, True)
    assert not first.repeated
    assert again.answer == first.answer
    assert again.questions.select(first.questions.columns).equals(first.questions)
    assert again.forecast.rows.select(first.forecast.rows.columns).equals(first.forecast.rows)
    assert (again.method, again.card, again.fallback) == (first.method, first.card, first.fallback)
    assert (again.as_of, again.known_at) == (first.as_of, first.known_at)
    assert len(shop.predictions.list(DEMAND)) == 1
    with App.open(shop.tenant) as another:  # that has nothing in memory
        assert milk(another).id == first.id


@pytest.mark.row("I7")
def test_another_request_has_an_answer_of_its_own(shop: App) -> None:
    ids = {
        milk(shop).id,
        shop.predict(DEMAND, {"product": "milk", "horizon_days": 8}).id,
        shop.predict(DEMAND, {"product": "tea", "horizon_days": 7}).id,
        shop.predict(STOCKOUT, {"product": "milk", "current_stock_units": 40}).id,
        shop.predict(STOCKOUT, {"product": "milk", "current_stock_units": 41}).id,
    }
    assert len(ids) == 5


@pytest.mark.row("I7")
def test_facts_of_a_product_end_its_answers_and_no_others(shop: App) -> None:
    first, tea = milk(shop), shop.predict(DEMAND, {"product": "tea"})
    shop.import_("inventory.movements", today("tea", 900.0))
    assert milk(shop).id == first.id
    assert shop.predict(DEMAND, {"product": "tea"}).id != tea.id
    shop.import_("inventory.movements", today("milk", 900.0))
    second = milk(shop)
    assert second.id not in (None, first.id)
    shop.import_("inventory.movements", today("milk", 900.0))  # what was there already changes nothing
    assert milk(shop).id == second.id
    shop.import_("inventory.movements", today("milk", 1.0))  # a correction does
    assert milk(shop).id != second.id


@pytest.mark.row("I7")
def test_facts_that_were_on_their_way_end_an_answer_too(shop: App) -> None:
    """An import that has begun before an answer, and is there only after it."""
    taken = intake(shop.desk, "inventory.movements", "rows")
    checked = taken.check(today("milk", 900.0))
    with shop.desk.transaction() as connection:
        domain, table = shop.desk.table("inventory.movements")
        facts.write(connection, shop.tenant, domain.name, table, checked.rows)
        with App.open(shop.tenant) as another:
            first = milk(another)
            assert milk(another).id == first.id
    second = milk(shop)
    assert second.id != first.id
    assert second.questions["as_of"][0] >= first.questions["as_of"][0]


@pytest.mark.row("I7")
def test_whoever_will_not_have_it_gets_a_new_one_which_is_kept_from_then_on(shop: App) -> None:
    first = milk(shop)
    second = milk(shop, cache_bypass=True)
    assert second.id != first.id
    assert not second.cached
    assert milk(shop).id == second.id
    at = milk(shop, as_of=datetime.now(UTC))
    assert at.id not in (first.id, second.id)
    assert milk(shop).id == second.id


@pytest.mark.row("I7")
def test_an_answer_lasts_a_day(shop: App) -> None:
    first = milk(shop)

    def move(by: str) -> None:
        with shop.desk.transaction() as connection:
            connection.execute("UPDATE kept_answers SET kept_until = kept_until - %s::interval", [by])

    move("23 hours 55 minutes")
    assert milk(shop).id == first.id
    move("6 minutes")
    second = milk(shop)
    assert second.id != first.id
    assert milk(shop).id == second.id
    with shop.desk.transaction() as connection:
        connection.execute("UPDATE kept_answers SET kept_until = now() - interval '1 hour'")
    shop.predict(DEMAND, {"product": "tea"})
    with shop.desk.transaction() as connection:
        row = connection.execute("SELECT count(*) FROM kept_answers").fetchone()
    assert row == (1,)  # what is over was let go


@pytest.mark.row("I7")
def test_other_settings_and_another_model_have_answers_of_their_own(shop: App) -> None:
    first = milk(shop)
    shop.settings.change("inventory", {"minimum_days": 20})
    second = milk(shop)
    assert second.id != first.id
    shop.train(DEMAND, budget=2.0)
    third = milk(shop)
    assert third.id not in (first.id, second.id)
    champion = shop.champion(DEMAND)
    assert champion
    assert third.card.version == champion.card.version
    assert milk(shop).id == third.id
    assert milk(shop).card == third.card


@pytest.mark.row("I7")
def test_what_came_with_a_request_is_kept_by_it(server: Running, shop: App, token: Callable[..., str]) -> None:
    sent = body(90)
    with server.client(token(shop.tenant)) as client:
        first, again = (asked(client, "/forecast/demand", sent) for _ in range(2))
        assert again == {**first, "foretell": {**first["foretell"], "cached": True}}
        longer = asked(client, "/forecast/demand", {**sent, "horizon_days": 31})
        assert _id(longer) != _id(first)
        sent["transaction_data"][-1]["quantity"] += 1
        changed = asked(client, "/forecast/demand", sent)
        assert _id(changed) != _id(first)
        shop.import_("inventory.movements", today("tea", 900.0))  # has nothing to do with it
        assert _id(asked(client, "/forecast/demand", sent)) == _id(changed)
        fresh = asked(client, "/forecast/demand", {**sent, "cache_bypass": True})
        assert _id(fresh) != _id(changed)
        assert _id(asked(client, "/forecast/demand", sent)) == _id(fresh)
        assert _id(client.post("/forecast/demand?cache_bypass=true", json=sent).json()) != _id(fresh)
        assert client.post("/forecast/demand?cache_bypass=maybe", json=sent).status_code == 400
    with App.open(f"shop-{uuid4().hex[:8]}", zone="UTC") as other, server.client(token(other.tenant)) as client:
        theirs = asked(client, "/forecast/demand", sent)
        assert not theirs["foretell"]["cached"]


def _id(told: dict[str, Any]) -> UUID:
    return UUID(told["foretell"]["prediction_id"])


@pytest.mark.row("I7")
def test_many_and_all_products_at_once(server: Running, shop: App, token: Callable[..., str]) -> None:
    shop.import_("inventory.movements", sold("new", days=10))
    with server.client(token(shop.tenant)) as client:
        told = each(client, {"horizon_days": 7})
        assert list(told) == ["milk", "new", "tea"]
        assert told["new"]["code"] == "NotReady"
        assert "got 10" in told["new"]["detail"]
        assert len(told["milk"]["answer"]["predictions"]) == 7
        assert _id(told["milk"]) == milk(shop).id
        some = each(client, {"horizon_days": 7, "product": ["tea", "nothing"]})
        assert list(some) == ["tea", "nothing"]
        assert _id(some["tea"]) == _id(told["tea"])
        assert some["nothing"]["status"] == 409
        anew = client.post("/v1/inventory/demand/predictions?cache_bypass=true", json={"horizon_days": 7}).json()
        assert _id(anew["predictions"]["tea"]) != _id(told["tea"])
        assert client.post("/v1/inventory/demand/predictions", json={"product": []}).status_code == 422
        assert client.post("/v1/inventory/demand/predictions", json={"horizon": 7}).status_code == 422
        assert client.post("/v1/traffic/load/predictions", json={}).status_code == 405


def each(client: httpx.Client, sent: dict[str, Any]) -> dict[str, Any]:
    told = client.post("/v1/inventory/demand/predictions", json=sent)
    assert told.status_code == 200, told.text
    predictions: dict[str, Any] = told.json()["predictions"]
    return predictions
