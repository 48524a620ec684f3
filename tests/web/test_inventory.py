"""The paths of the inventory document: its fields, types and formats, and its errors; beside them only `foretell`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from tests.web.conftest import Running
from tests.web.test_documented import asked, refused, shape

from foretell.app import App

DEMAND, STOCKOUT = "/forecast/demand", "/predict/stockout"
FIRST = date(2024, 1, 1)
FORECAST = {
    "productId": str,
    "predictions": [{"ds": str, "yhat": float, "yhat_lower": float, "yhat_upper": float}] * 30,
    "model_metrics": {"mape": float, "rmse": float, "training_samples": int, "seasonality_detected": bool},
    "generated_at": str, "horizon_days": int,
}  # fmt: skip
STOCK = {
    "productId": str, "predicted_stockout_date": str, "days_until_stockout": int, "confidence": float,
    "daily_usage_forecast": [float] * 90, "generated_at": str,
}  # fmt: skip


def rows(count: int) -> list[dict[str, Any]]:
    """Transactions of a document's kind, on so many days."""
    sold = np.random.default_rng(1).poisson(np.resize([5, 6, 7, 8, 9, 12, 3], count))
    return [{"date": f"{FIRST + timedelta(days=k)}", "quantity": int(sold[k])} for k in range(count)]


def body(count: int = 90, **more: Any) -> dict[str, Any]:
    return {"product_id": f"{uuid4()}", "transaction_data": rows(count), **more}


@pytest.fixture
def client(server: Running, tenant: str, token: Callable[..., str]) -> Iterator[httpx.Client]:
    with server.client(token(tenant)) as made:
        yield made


@pytest.mark.row("I2", "I6")
def test_demand_has_the_documented_shape(client: httpx.Client) -> None:
    sent = body(horizon_days=30)
    told = asked(client, DEMAND, sent)
    extra = told.pop("foretell")
    assert shape(told) == FORECAST
    assert (told["productId"], told["horizon_days"]) == (sent["product_id"], 30)
    assert told["predictions"][0]["ds"] == "2024-03-31"  # the last transaction is of the thirtieth
    made = datetime.strptime(told["generated_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=2)
    assert told["model_metrics"]["training_samples"] == 90
    assert extra["method"]
    assert shape(asked(client, DEMAND, body()) | {"foretell": None}) == {**FORECAST, "foretell": type(None)}


@pytest.mark.row("I3")
def test_stockout_has_the_documented_shape(client: httpx.Client) -> None:
    told = asked(client, STOCKOUT, body(current_stock_units=200, horizon_days=90))
    told.pop("foretell")
    assert shape(told) == STOCK
    until = date(2024, 3, 30) + timedelta(days=told["days_until_stockout"])
    assert told["predicted_stockout_date"] == f"{until}"
    lasting = asked(client, STOCKOUT, body(current_stock_units=10**6, horizon_days=7))
    assert lasting["predicted_stockout_date"] is lasting["days_until_stockout"] is None
    assert len(lasting["daily_usage_forecast"]) == 7


@pytest.mark.row("I2")
@pytest.mark.parametrize("path", [DEMAND, STOCKOUT])
def test_the_errors_are_those_of_the_document(client: httpx.Client, path: str) -> None:
    few = refused(client, path, body(15, current_stock_units=1), status=400)
    assert few["detail"] == "Insufficient transaction data. Need at least 30 days, got 15"
    for horizon in (0, 366):
        far = refused(client, path, body(current_stock_units=1, horizon_days=horizon), status=400)
        assert far["detail"] == "horizon_days must be between 1 and 365"
    for wrong in ({"transaction_data": [{"date": "tomorrow", "quantity": 1}]}, {"product_id": ""}):
        told = refused(client, path, {**body(current_stock_units=1), **wrong}, status=400)
        assert told["foretell"]["code"] == "InvalidRequest"


@pytest.mark.row("I2")
def test_a_failure_is_told_in_the_words_of_the_document() -> None:
    import json
    from types import SimpleNamespace

    from foretell.domains.inventory.routes import FORECAST as ROUTE
    from foretell.errors import BrokenDomain
    from foretell.web.problems import dressed, problem

    state = SimpleNamespace(documented={ROUTE.url: ROUTE})
    error = BrokenDomain("inventory.demand: no convergence")
    told = dressed({"app": SimpleNamespace(state=state), "path": ROUTE.url}, problem(error), BrokenDomain)
    assert told.status_code == 500
    assert json.loads(bytes(told.body))["detail"] == "Model training failed: inventory.demand: no convergence"


def test_stored_movements_are_learned_from_and_serve(home: object) -> None:
    with App.open(f"shop-{uuid4().hex[:8]}", zone="Europe/Berlin") as app:
        import polars as pl

        sent = [
            {"product": product, "time": f"{row['date']}", "quantity": float(row["quantity"] * k)}
            for k, product in enumerate(("pen", "cup"), 1)
            for row in rows(200)
        ]
        done = app.import_("inventory.movements", pl.DataFrame(sent))
        again = app.import_("inventory.movements", pl.DataFrame(sent))
        assert (done.accepted, again.unchanged) == (400, 400)
        app.train("inventory.demand", as_of="latest")
        said = app.predict("inventory.demand", {"product": "cup", "horizon_days": 7}, as_of="latest")
        assert said.answer.metrics.measured_on == "all products"  # type: ignore[attr-defined]
        assert said.fallback is None
        assert len(said.answer.predictions) == 7  # type: ignore[attr-defined]
