"""A server that only reads: predictions are made and kept, and everything else that writes is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.deciding import LOAD, METRICS, above, steady, tenancy
from tests.web.conftest import Running, started
from tests.web.test_inventory import body

from foretell.app import App

PREDICT = "/v1/traffic/load/predict"
WORKLOAD = {"current_replicas": 10, "capacity_per_pod": 10}
OF_ISSUES = ("effort", "points", "assignment")
TASKS = (
    "traffic/load", "inventory/demand", "inventory/stockout", "agile/effort", "agile/points", "agile/assignment",
    "agile/duration", "agile/delivery", "energy/solar", "energy/wind", "realestate/move", "realestate/transaction_type",
    "realestate/contact", "realestate/market", "realestate/value",
)  # fmt: skip
OF_PEOPLE = ("move", "transaction_type", "contact", "market", "value")
READS = {  # what is asked with a POST and changes nothing but the ledger
    "/v1/traffic/predict", PREDICT, "/v1/traffic/load/backtest", "/v1/traffic/load/replay",
    "/v1/inventory/stockout/replay", "/v1/inventory/predict",
    "/v1/inventory/demand/predict", "/v1/inventory/demand/backtest", "/v1/inventory/stockout/predict",
    "/v1/inventory/stockout/backtest", "/v1/inventory/demand/predictions", "/v1/inventory/stockout/predictions",
    *(f"/v1/{task}/features" for task in TASKS),
    "/v1/models/cache", "/v1/models/cache/preload",  # memory alone
    "/api/ml/predict", "/forecast/demand", "/predict/stockout", "/v1/agile/predict",
    *(f"/v1/agile/{task}/{verb}" for task in (*OF_ISSUES, "duration", "delivery") for verb in ("predict", "backtest")),
    *(f"/v1/agile/{report}/report" for report in ("sprint_risk", "project_summary", "anomalies", "scale")),
    *(f"/api/v1/ml/{path}/" for path in (
        "predict-effort", "recommend-story-points", "suggest-assignment", "estimate-sprint-duration"
    )),
    "/api/v1/ml/{project_id}/project-summary/",
    "/v1/energy/predict", "/v1/energy/watch/report", "/v1/realestate/predict",
    *(f"/v1/realestate/{task}/{verb}" for task in OF_PEOPLE for verb in ("predict", "predictions", "backtest")),
    *(f"/v1/predict/{path}" for path in (
        "move-probability", "transaction-type", "contact-timing", "property-value", "batch"
    )),
    *(f"/v1/energy/{task}/{verb}" for task in ("solar", "wind") for verb in ("predict", "predictions", "backtest")),
}  # fmt: skip


@pytest.fixture(scope="module")
def app(home: Path) -> Iterator[App]:
    """A tenant of now, with a model, whom a server that may write would tell to scale."""
    with tenancy() as made:
        made.import_(METRICS, steady(days=35))
        made.train(LOAD, budget=0.0)
        yield made


@pytest.fixture(scope="module")
def reader(app: App, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(tmp_path_factory.mktemp("reader") / "log", "--read-only", FORETELL_LOG_LEVEL="debug") as running:
        yield running


@pytest.fixture
def client(reader: Running, app: App, token: Callable[..., str]) -> Iterator[httpx.Client]:
    with reader.client(token(app.tenant)) as made:
        yield made


def counted(home: Path) -> dict[str, int]:
    """How many rows each table has, and how often one of them was changed or deleted."""
    with above(home) as connection:
        names = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema'"
            " AND tablename <> 'procrastinate_workers'"  # where another server's says that it lives
        ).fetchall()
        counts = {}
        for (name,) in names:
            row = connection.execute(f"SELECT count(*), coalesce(max(xmin::text::bigint), 0) FROM {name}".encode())
            counts[name] = row.fetchone()
        return counts  # type: ignore[return-value]


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name for name in before | after if before.get(name) != after.get(name)}


def operations(client: httpx.Client) -> set[tuple[str, str]]:
    """Every path and method that is no GET, of those the server tells of."""
    paths = client.get("/openapi.json").json()["paths"]
    return {(path, method) for path, told in paths.items() for method in told if method != "get"}


@pytest.mark.row("I9")
def test_whatever_writes_is_refused_and_changes_nothing(client: httpx.Client, home: Path) -> None:
    before, refused = counted(home), set()
    for path, method in operations(client):
        if path in READS:
            continue
        at = re.sub(r"\{\w+\}", str(uuid4()), path)
        told = client.request(method, at, json={})
        assert told.status_code == 403, (method, path, told.text)
        assert "only reads" in told.json()["detail"]
        refused.add(path)
    assert {re.sub(r".*/", "", path) for path in refused} >= {
        "train", "promote", "pin", "unpin", "rollback", "settings", "approve", "reject", "metrics", "movements",
        "feedback",
    }  # fmt: skip
    assert {path for path, _ in operations(client)} == READS | refused
    assert changed(before, counted(home)) == set()


@pytest.mark.row("I9")
def test_predictions_are_made_and_kept_and_nothing_else(client: httpx.Client, app: App, home: Path) -> None:
    before = counted(home)
    asked: list[tuple[str, dict[str, Any]]] = [
        (PREDICT, {"service": "api", "workload": WORKLOAD}),
        ("/v1/traffic/predict", {"requests": [{"task": "load", "request": {"service": "api"}}]}),
        ("/api/ml/predict", {"service_name": "api", "cost_per_replica_hour": 0.05, **WORKLOAD}),
        ("/forecast/demand", body(40, horizon_days=3)),
        ("/predict/stockout", body(40, horizon_days=3, current_stock_units=9)),
    ]
    for count, (path, sent) in enumerate(asked, 1):
        told = client.post(path, json=sent)
        assert told.status_code == 200, told.text
        after = counted(home)
        # The answers that are kept for a while are predictions too: which of the ledger's, and until when.
        assert changed(before, after) - {"public.kept_answers"} == {"public.ml_predictions"}, path
        assert after["public.ml_predictions"][0] - before["public.ml_predictions"][0] == count  # type: ignore[index]
    listed = client.get("/v1/traffic/load/predictions").json()
    assert len(listed) == 3


@pytest.mark.row("I9")
def test_no_recommendation_is_made_and_the_log_says_so(client: httpx.Client, app: App, reader: Running) -> None:
    told = client.post(PREDICT, json={"service": "api", "workload": WORKLOAD}).json()
    assert told["answer"]["scaling"]["recommended_replicas"] > WORKLOAD["current_replicas"]
    assert told["foretell"]["recommendation_id"] is None
    assert client.get("/v1/recommendations").json() == []
    said = reader.log.read_text()
    assert "recommendations are not made" in said
    assert f"prediction {told['foretell']['prediction_id']} of {app.tenant} makes no recommendation" in said


def test_old_questions_are_asked_as_ever(client: httpx.Client, home: Path) -> None:
    before = counted(home)
    told = client.post("/v1/traffic/load/backtest", json={"budget": 0.01})
    assert told.status_code == 200, told.text
    assert changed(before, counted(home)) == set()


def test_where_a_route_forgets_it_the_database_refuses(home: Path, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    from foretell.errors import Forbidden

    monkeypatch.setenv("FORETELL_READ_ONLY", "1")
    before = counted(home)
    with App.open(app.tenant) as mine:
        for write in (
            lambda: mine.import_(METRICS, steady(days=1, value=7.0)),
            lambda: mine.settings.change("traffic", {"hourly_cost_cap": 5.0}),
            lambda: mine.models.promote(LOAD, mine.models.list(LOAD)[0].version),
        ):
            with pytest.raises(Forbidden, match="--read-only"):
                write()
    assert changed(before, counted(home)) == set()
