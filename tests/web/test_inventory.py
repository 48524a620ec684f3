"""The paths of the inventory document: its fields, types and formats, and its errors; beside them only `foretell`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from tests.conftest import reachable
from tests.web.conftest import Running, started, tenancy
from tests.web.test_documented import asked, refused, shape

from foretell.app import App
from foretell.stores import launcher

DEMAND, STOCKOUT, OURS = "/forecast/demand", "/predict/stockout", "/v1/inventory/demand/predict"
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


BROKEN = """
from dataclasses import replace
from foretell.domains.inventory import DEMAND, DOMAIN
from foretell.domains.inventory.models import Local

class Stuck(Local):
    def forecast(self, study):
        raise RuntimeError("no convergence")

routes = [replace(DEMAND.routes[0], url="/broken/demand")]
demand = replace(DEMAND, name="broken.demand", candidates={"stuck": lambda: Stuck("weekly_naive")}, routes=routes)
BROKEN = replace(DOMAIN, name="broken", tasks=[demand])
"""


@pytest.mark.row("I2")
def test_a_failure_is_told_in_the_words_of_the_document(tmp_path: Path, token: Callable[..., str]) -> None:
    """By a domain of somebody else: the same paths with a method that always fails."""
    (tmp_path / "broken.py").write_text(BROKEN)
    told = tmp_path / "broken-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[foretell.domains]\nbroken = broken:BROKEN\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    with reachable() as home, pytest.MonkeyPatch.context() as change:
        change.setenv("FORETELL_HOME", str(home))
        try:
            with (
                tenancy() as app,
                started(tmp_path / "log", PYTHONPATH=path) as server,
                server.client(token(app.tenant)) as client,
            ):
                failed = refused(client, "/broken/demand", body(), status=500)
            assert (
                failed["detail"]
                == "Model training failed: broken.demand: RuntimeError: no convergence (broken.py:8 in forecast)"
            )
            assert failed["foretell"]["code"] == "BrokenDomain"
        finally:
            launcher.stop(home)


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


# ---------------------------------------------------------------- what is odd has a defined answer, or a clear error


def answered(client: httpx.Client, told: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    """The days forecast from these transactions; every bound holds its number and none is below zero."""
    days: list[dict[str, Any]] = asked(client, DEMAND, body(**more) | {"transaction_data": told})["predictions"]
    assert all(0 <= day["yhat_lower"] <= day["yhat"] <= day["yhat_upper"] < 1e9 for day in days)
    return days


def wrong(client: httpx.Client, row: str, path: str = DEMAND) -> str:
    """What is said of a history with one wrong row, written as it is in JSON."""
    some = {"product_id": "it", "transaction_data": rows(40), "current_stock_units": 1}
    text = json.dumps(some).replace('"transaction_data": [', f'"transaction_data": [{row}, ')
    told = client.post(path, content=text, headers={"Content-Type": "application/json"})
    assert told.status_code == 400, told.text
    return str(told.json()["detail"])


@pytest.mark.row("I2")
def test_dates_that_come_twice_are_added_up_in_any_order(client: httpx.Client) -> None:
    halves = [{**row, "quantity": row["quantity"] / 2} for row in rows(60)]
    sent = {"product_id": "it", "horizon_days": 5}
    twice = asked(client, DEMAND, sent | {"transaction_data": [*halves[::-1], *halves]})
    assert twice["predictions"] == asked(client, DEMAND, sent | {"transaction_data": rows(60)})["predictions"]


@pytest.mark.row("I2")
@pytest.mark.parametrize("path", [DEMAND, STOCKOUT])
def test_a_row_that_can_not_be_is_named(client: httpx.Client, path: str) -> None:
    for quantity in ("-1", "NaN", "Infinity", '"a few"', "null", "1e13"):
        assert "transaction_data.0.quantity" in wrong(client, f'{{"date": "2024-01-01", "quantity": {quantity}}}', path)
    assert "transaction_data.0.date" in wrong(client, '{"date": "2024-02-30", "quantity": 1}', path)
    for day in ("2999-01-01", "1700-01-01"):
        assert day in wrong(client, f'{{"date": "{day}", "quantity": 1}}', path)


@pytest.mark.row("I2")
def test_constants_zeros_and_a_lone_spike_are_answered(client: httpx.Client) -> None:
    level, none = ([{**row, "quantity": quantity} for row in rows(60)] for quantity in (7, 0))
    assert {day["yhat"] for day in answered(client, level, horizon_days=3)} == {7.0}
    assert {day["yhat_upper"] for day in answered(client, none, horizon_days=3)} == {0.0}
    assert len(answered(client, [*none[:50], {**none[50], "quantity": 1000}, *none[51:]], horizon_days=365)) == 365
    told = asked(client, STOCKOUT, {**body(current_stock_units=5), "transaction_data": none})
    assert told["predicted_stockout_date"] is told["days_until_stockout"] is None


@pytest.mark.row("I2")
def test_thirty_distinct_days_are_enough_and_twenty_nine_are_not(client: httpx.Client) -> None:
    assert asked(client, DEMAND, body(30, horizon_days=1))["model_metrics"]["training_samples"] == 30
    few = refused(client, DEMAND, {**body(), "transaction_data": rows(29) * 2}, status=400)
    assert few["detail"] == "Insufficient transaction data. Need at least 30 days, got 29"


@pytest.mark.row("I2")
def test_missing_days_are_zero_or_unknown_as_was_asked(client: httpx.Client) -> None:
    kept = [row for row in rows(100) if date.fromisoformat(row["date"]).weekday() != 2 or row["date"] > "2024-04-05"]
    sent = {"product": "it", "history": kept, "method": "weekday_mean", "horizon_days": 14}
    zero, unknown = (asked(client, OURS, sent | {"gaps": gaps})["answer"] for gaps in ("zero", "unknown"))
    assert zero["gap_days"] == unknown["gap_days"] == 100 - len(kept)
    wednesdays = [
        [day["expected"] for day in answer["predictions"] if date.fromisoformat(day["date"]).weekday() == 2]
        for answer in (zero, unknown)
    ]
    assert max(wednesdays[0]) < 2 < min(wednesdays[1])


@pytest.mark.row("I2")
def test_a_hundred_thousand_rows_are_answered_and_more_are_refused(client: httpx.Client) -> None:
    many = [{**row, "quantity": 1} for row in rows(1000)] * 100
    days = asked(client, DEMAND, {"product_id": "it", "transaction_data": many, "horizon_days": 2})["predictions"]
    assert [day["yhat"] for day in days] == pytest.approx([100.0, 100.0])
    more = refused(client, DEMAND, {"product_id": "it", "transaction_data": [*many, *rows(1)]}, status=400)
    assert "at most 100000 items" in more["detail"]
    bad = refused(client, DEMAND, {"product_id": "it", "transaction_data": [*many[:-1], {"date": "x"}]}, status=400)
    assert "transaction_data.99999.quantity" in bad["detail"]
    assert bad["foretell"]["code"] == "InvalidRequest"
    for path in (DEMAND, STOCKOUT, OURS):
        told = client.post(path, json={"product_id": "it", "transaction_data": many * 10})
        assert told.status_code == 413
        assert "8,000,000 bytes at most" in told.json()["detail"]


@pytest.mark.row("I2")
def test_requests_of_a_batch_may_bring_their_histories(client: httpx.Client) -> None:
    history = {"product": "it", "history": rows(60), "horizon_days": 3}
    sent = [
        {"task": "demand", "request": history},
        {"task": "demand", "request": history | {"history": rows(20)}},
        {"task": "demand", "request": {"product": "nobody knows it"}},
        {"task": "stockout", "request": history | {"current_stock_units": 40}},
    ]
    told = asked(client, "/v1/inventory/predict", {"requests": sent})["predictions"]
    alone = asked(client, OURS, history)["answer"]["predictions"]
    assert told[0]["answer"]["predictions"] == alone
    assert [one.get("code") for one in told] == [None, "NotReady", "NotReady", None]
    assert len(told[3]["answer"]["daily_usage_forecast"]) == 3


def test_own_facts_are_in_the_ledger_as_such(client: httpx.Client, tenant: str) -> None:
    told = asked(client, STOCKOUT, body(60, current_stock_units=7))
    number = told["foretell"]["prediction_id"]
    with App.open(tenant) as app, app.desk.transaction() as connection:
        found = connection.execute(
            "SELECT own_facts, prediction_count, confidence FROM ml_predictions WHERE prediction_id = %s", (number,)
        ).fetchone()
    assert found[:1] == (True,)
    assert found[2] == told["confidence"]
