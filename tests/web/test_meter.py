"""What operators see: the metrics that the documents name, of all processes together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.web.conftest import Running, rows, started, tenancy

from foretell.app import App, shelf
from foretell.domains.traffic.sample import END
from foretell.engine.backtest import backtest
from foretell.engine.train import fit
from foretell.stores import registry

pytestmark = pytest.mark.row("T15")

LATENCY, CONFIDENCE = "ml_prediction_latency_seconds", "ml_prediction_confidence"
AGE, SCALED = "ml_model_age_hours", "ml_scaling_recommendations"
KINDS = {LATENCY: "histogram", CONFIDENCE: "gauge", AGE: "gauge", SCALED: "counter"}
IFTAR = "2024-04-03T13:30:00Z"  # within two hours of it in Riyadh
CALM = "2024-04-03T06:00:00Z"
TIMES = 8  # new connections, so that each of two processes answers some of them


class Operator:
    """Somebody who asks for metrics, each time over a new connection, and may predict."""

    def __init__(self, running: Running, token: Callable[..., str], tenant: str) -> None:
        self.running, self.tenant = running, tenant
        self.sees, self.asks = token(tenant, "operator"), token(tenant, "user")

    def families(self) -> dict[str, Metric]:
        """Every metric by its name."""
        with self.running.client(self.sees) as client:
            told = client.get("/metrics")
        assert told.status_code == 200
        assert told.headers["content-type"].startswith("text/plain; version=0.0.4")
        return {family.name: family for family in text_string_to_metric_families(told.text)}

    def value(self, name: str, **labels: str) -> float:
        """A figure; 0 where there is none."""
        family = self.families().get(name.removesuffix("_count").removesuffix("_total"))
        samples = family.samples if family else []
        return sum(each.value for each in samples if each.name == name and each.labels == labels)

    def mine(self, name: str, **labels: str) -> float:
        """A figure of the tenant."""
        return self.value(name, tenant_id=self.tenant, **labels)

    def scaled(self, trigger: str) -> float:
        return self.mine(f"{SCALED}_total", trigger=trigger)

    def predicted(self, as_of: str, *, replicas: int = 4, path: str = "/api/ml/predict", **body: Any) -> dict[str, Any]:
        """A prediction that was made."""
        asked = body or {"service_name": "donations", "current_replicas": replicas, "capacity_per_pod": 50.0}
        with self.running.client(self.asks) as client:
            told = client.post(path, params={"as_of": as_of}, json=asked)
        assert told.status_code == 200, told.text
        answer: dict[str, Any] = told.json()
        return answer


@pytest.fixture(scope="module")
def two(home: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of two processes."""
    with started(tmp_path_factory.mktemp("two") / "log", "--workers", "2") as running:
        yield running


@pytest.fixture
def operator(two: Running, token: Callable[..., str], tenant: str) -> Operator:
    return Operator(two, token, tenant)


def test_only_operators_see_metrics(two: Running, token: Callable[..., str], tenant: str) -> None:
    for role, status in (("operator", 200), ("admin", 403), ("user", 403), ("service", 403)):
        with two.client(token(tenant, role)) as client:
            assert client.get("/metrics").status_code == status


def test_the_metrics_of_the_document_are_there_by_name_kind_and_label(operator: Operator) -> None:
    operator.predicted(IFTAR)
    told = operator.families()
    assert {name: told[name].type for name in KINDS} == KINDS
    for name, labels in ((CONFIDENCE, {"tenant_id"}), (AGE, {"tenant_id"}), (SCALED, {"tenant_id", "trigger"})):
        assert {*told[name].samples[0].labels} == labels
    assert {sample.name for sample in told[SCALED].samples} >= {f"{SCALED}_total"}
    assert all(family.documentation for name, family in told.items() if name in KINDS)


def test_every_answer_of_either_process_is_measured_once(operator: Operator) -> None:
    before = operator.value(f"{LATENCY}_count")
    for k in range(TIMES):
        operator.predicted(CALM, replicas=k + 1)
    assert {operator.value(f"{LATENCY}_count") for _ in range(TIMES)} == {before + TIMES}


def test_a_request_that_was_refused_is_no_prediction(operator: Operator) -> None:
    before = operator.value(f"{LATENCY}_count")
    with operator.running.client(operator.asks) as client:
        assert client.post("/api/ml/predict", json={}).status_code == 422
        assert client.post("/v1/traffic/load/predict", json={"service": "donations"}).status_code == 409
    assert operator.value(f"{LATENCY}_count") == before


def test_a_batch_counts_each_of_its_predictions(operator: Operator) -> None:
    before = operator.value(f"{LATENCY}_count")
    asked = [{"task": "load", "request": {"service": "donations", "hours": hours}} for hours in (1, 2, 99)]
    operator.predicted(CALM, path="/v1/traffic/predict", requests=asked)
    assert operator.value(f"{LATENCY}_count") == before + 2


def test_confidence_is_that_of_the_last_answer(operator: Operator) -> None:
    for as_of in ("2024-01-20T06:00:00Z", "2024-03-20T06:00:00Z"):
        told = operator.predicted(as_of)["predictions"]["confidence"]
        assert {operator.mine(CONFIDENCE) for _ in range(TIMES)} == {told}


def test_the_age_is_that_of_the_model_in_hours(operator: Operator) -> None:
    operator.predicted(CALM)
    trained = END - timedelta(days=2)
    assert operator.mine(AGE) == pytest.approx((datetime.now(UTC) - trained) / timedelta(hours=1), abs=0.1)


# ---------------------------------------------------------------- recommendations


@pytest.fixture
def own(two: Running, token: Callable[..., str], tenant: str) -> Iterator[Operator]:
    """Of a tenant that nobody has asked about yet, without a model."""
    with tenancy() as made:
        made.import_("traffic.metrics", rows().tail(24 * 30))
        yield Operator(two, token, made.tenant)


def recommended(operator: Operator, as_of: str) -> bool:
    """Ask for one over our own path; whether the forecast was there already."""
    workload = {"current_replicas": 4, "capacity_per_pod": 50.0}
    told = operator.predicted(as_of, path="/v1/traffic/load/predict", service="donations", workload=workload)
    cached: bool = told["foretell"]["cached"]
    return cached


def test_recommendations_are_counted_by_what_set_them_off(own: Operator) -> None:
    recommended(own, IFTAR)
    recommended(own, CALM)
    recommended(own, "2024-04-03T07:00:00Z")
    assert (own.scaled("iftar_approaching"), own.scaled("forecast")) == (1, 2)


def test_a_forecast_without_a_workload_recommends_nothing(own: Operator) -> None:
    own.predicted(CALM, path="/v1/traffic/load/predict", service="donations")
    assert own.scaled("forecast") == 0


def test_a_cached_answer_makes_no_second_recommendation(server: Running, own: Operator) -> None:
    """Asked of a server of one process, for each process has a memory of its own."""
    alone = Operator(server, lambda *_: "", own.tenant)
    alone.sees, alone.asks = own.sees, own.asks
    assert [recommended(alone, IFTAR) for _ in range(3)] == [False, True, True]
    assert alone.scaled("iftar_approaching") == 1


def test_the_first_recommendation_on_a_forecast_known_before_is_one(server: Running, own: Operator) -> None:
    alone = Operator(server, lambda *_: "", own.tenant)
    alone.sees, alone.asks = own.sees, own.asks
    alone.predicted(IFTAR, path="/v1/traffic/load/predict", service="donations")
    assert recommended(alone, IFTAR)
    assert alone.scaled("iftar_approaching") == 1


def test_what_has_no_model_has_no_age(own: Operator) -> None:
    recommended(own, CALM)
    assert own.mine(CONFIDENCE) > 0
    ages = own.families().get(AGE)  # none at all where nobody has been answered by a trained model yet
    assert not [each for each in (ages.samples if ages else ()) if each.labels == {"tenant_id": own.tenant}]


# ---------------------------------------------------------------- a model that fits when it is asked


def let_serve(app: App, candidate: str) -> None:
    """Train one candidate, whether it would win or not."""
    task = app.desk.task("traffic.load")
    history = app.history("traffic.load", END)
    model = fit(task, history, candidate, backtest(task, history, budget=0.1), "for a test")
    kept = shelf.put(app.desk, model)
    with app.desk.transaction() as connection:
        registry.keep(connection, app.tenant, kept)
        shelf.deploy(app.desk, connection, task.name, model.card.version, "for a test")


def test_a_model_that_fits_when_it_is_asked_is_measured_too(two: Running, token: Callable[..., str]) -> None:
    with tenancy() as app:
        app.import_("traffic.metrics", rows().tail(24 * 60))
        let_serve(app, "theta")
        operator = Operator(two, token, app.tenant)
        before = operator.value(f"{LATENCY}_count")
        told = operator.predicted(IFTAR)
    assert told["foretell"]["method"] == "theta"
    assert operator.value(f"{LATENCY}_count") == before + 1
    assert operator.mine(CONFIDENCE) == told["predictions"]["confidence"]
    assert operator.scaled("iftar_approaching") == 1
    assert operator.mine(AGE) > 0
