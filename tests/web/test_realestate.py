"""The paths of the real-estate document: its fields, types and errors, under both of their prefixes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.web.conftest import Running, tenancy
from tests.web.test_documented import shape

from foretell.app import App
from foretell.domains.realestate.sample import END, sample

AS_OF = {"as_of": "latest"}
PERSON = "p0000042"
PREDICTION = {
    "prediction_id": str, "entity_id": str, "prediction_type": str, "predicted_class": str, "confidence": float,
    "prediction_date": str, "model_version": str, "latency_ms": float,
}  # fmt: skip
PATHS = {
    "move-probability": {**PREDICTION, "predicted_value": float, "top_features": list},
    "transaction-type": {**PREDICTION, "predicted_value": str, "probabilities": dict, "top_features": list},
    "contact-timing": {
        **PREDICTION, "predicted_value": str, "optimal_day": str, "optimal_hour": int, "alternatives": list,
        "top_features": list,
    },
    "property-value": {
        **PREDICTION, "predicted_value": float, "current_value": float, "horizon_months": int, "interval": dict,
        "top_features": list,
    },
}  # fmt: skip
TASKS = {
    "move-probability": "realestate.move", "transaction-type": "realestate.transaction_type",
    "contact-timing": "realestate.contact", "property-value": "realestate.value",
}  # fmt: skip
HOME = "h0000042"
KINDS = {
    "MOVE_PROBABILITY": "move-probability",
    "TRANSACTION_TYPE": "transaction-type",
    "CONTACT_TIMING": "contact-timing",
    "PROPERTY_VALUE": "property-value",
}


@pytest.fixture(scope="module")
def agency(home: object) -> Iterator[App]:
    """A tenant with the sample's people, and a model of who moves."""
    with tenancy() as app:
        for name, rows in sample(1).history.tables.items():
            declared = {table.name: table for table in app.desk.domain("realestate").tables}[name]
            if rows.height:
                app.import_(f"realestate.{name}", rows.select(c for c in rows.columns if c in declared.kinds))
        app.train("realestate.move", as_of=END - timedelta(hours=1))
        yield app


@pytest.fixture
def client(server: Running, agency: App, token: Callable[..., str]) -> Iterator[httpx.Client]:
    with server.client(token(agency.tenant)) as made:
        yield made


@pytest.mark.row("R5")
@pytest.mark.parametrize("prefix", ["", "/api/ml"])
@pytest.mark.parametrize("path", PATHS)
def test_a_documented_path_answers_with_every_field_of_its_document(
    client: httpx.Client, prefix: str, path: str
) -> None:
    of, kind = (HOME, "PROPERTY") if path == "property-value" else (PERSON, "USER")
    body = {"entity_id": of, "entity_type": kind, "features": None}
    answer = client.post(f"{prefix}/v1/predict/{path}", json=body, params=AS_OF)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    basis = told.pop("foretell")
    assert shape(told) == shape_of(PATHS[path], told)
    assert told["entity_id"] == of
    assert told["prediction_id"] == basis["prediction_id"]


@pytest.mark.parametrize("path", PATHS)
def test_ledger_document_and_answer_are_as_sure_as_each_other(client: httpx.Client, agency: App, path: str) -> None:
    of, kind = (HOME, "PROPERTY") if path == "property-value" else (PERSON, "USER")
    told = client.post(f"/v1/predict/{path}", json={"entity_id": of, "entity_type": kind}, params=AS_OF).json()
    (logged,) = (
        one.served
        for one in agency.predictions.list(TASKS[path])
        if str(one.served.prediction_id) == told["prediction_id"]
    )
    assert logged.confidence == logged.answer["confidence"] == told["confidence"]
    assert 0 < told["confidence"] <= 1


def shape_of(wanted: dict[str, Any], told: dict[str, Any]) -> Any:
    """The wanted shape, of lists and maps as they came."""
    return {name: shape(told[name]) if kind in (list, dict) else kind for name, kind in wanted.items()}


@pytest.mark.row("R6")
def test_reasons_have_a_contribution_and_the_value_of_the_feature(client: httpx.Client, agency: App) -> None:
    ask = {"entity_id": PERSON, "as_of_date": f"{END - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"}
    told = client.post("/v1/predict/move-probability", json=ask).json()
    assert len(told["top_features"]) == 5
    strengths = [abs(one["contribution"]) for one in told["top_features"]]
    assert strengths == sorted(strengths, reverse=True)
    assert all({*one} == {"feature_name", "contribution", "value"} for one in told["top_features"])
    # What is said of a feature is what the facts say.
    seen = {one["feature_name"]: one["value"] for one in told["top_features"]}
    given = client.post("/v1/predict/move-probability", json=ask | {"features": seen}).json()
    assert given["predicted_value"] == pytest.approx(told["predicted_value"])
    without = client.post("/v1/predict/move-probability", json=ask | {"explain": False}).json()
    assert without["top_features"] == []
    assert without["predicted_value"] == pytest.approx(told["predicted_value"])


def test_features_that_are_given_count_instead_of_what_is_known(client: httpx.Client) -> None:
    path, chances = "/v1/predict/move-probability", []
    busy = {"session_count_30d": 30, "session_count_7d": 9, "session_count_90d": 40, "days_since_session": 0}
    quiet = {"session_count_30d": 0, "session_count_7d": 0, "session_count_90d": 0, "days_since_session": 200}
    for features in (busy, quiet):
        answer = client.post(path, json={"entity_id": PERSON, "features": features}, params=AS_OF)
        chances.append(answer.json()["predicted_value"])
    assert chances[0] > chances[1]
    wrong = client.post(path, json={"entity_id": PERSON, "features": {"no_such_feature": 1.0}}, params=AS_OF)
    assert wrong.status_code == 422
    assert "no_such_feature" in str(wrong.json())
    never = client.post(path, json={"entity_id": PERSON, "features": {"session_count_30d": -4}}, params=AS_OF)
    assert never.status_code == 422
    assert "session_count_30d is -4, and 0 at least" in never.json()["detail"]


@pytest.mark.row("R5")
def test_a_bad_request_of_a_batch_fails_alone(client: httpx.Client) -> None:
    requests: list[dict[str, Any]] = [
        {"entity_id": PERSON, "prediction_type": "MOVE_PROBABILITY"},
        {"entity_id": PERSON, "prediction_type": "NO_SUCH_TYPE"},
        {"prediction_type": "MOVE_PROBABILITY"},
        {"entity_id": "p0000007", "prediction_type": "TRANSACTION_TYPE", "explain": False},
        {"entity_id": PERSON, "prediction_type": "CONTACT_TIMING", "as_of_date": "2024-03-01T00:00:00Z"},
        {"entity_id": PERSON, "prediction_type": "CONTACT_TIMING", "as_of_date": "2094-03-01T00:00:00Z"},
        {"entity_id": HOME, "prediction_type": "PROPERTY_VALUE", "horizon_months": 24},
        {"entity_id": HOME, "prediction_type": "PROPERTY_VALUE", "entity_type": "USER"},
    ]
    answer = client.post("/api/ml/v1/predict/batch", json={"requests": requests}, params=AS_OF)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["count"], told["failed"]) == (8, 4)
    assert ["error" in one for one in told["predictions"]] == [False, True, True, False, False, True, False, True]
    for one, sent in zip(told["predictions"], requests, strict=True):
        if "error" not in one:
            one.pop("foretell")
            assert shape(one) == shape_of(PATHS[KINDS[sent["prediction_type"]]], one)
            assert one["prediction_type"] == sent["prediction_type"]
    assert "MOVE_PROBABILITY" in told["predictions"][1]["error"]["detail"]  # what there is


@pytest.mark.row("R5")
def test_a_batch_has_a_thousand_requests_at_most(client: httpx.Client) -> None:
    one = {"entity_id": PERSON, "prediction_type": "MOVE_PROBABILITY", "explain": False}
    assert client.post("/v1/predict/batch", json={"requests": [one] * 1001}).status_code == 422
    assert client.post("/v1/predict/batch", json={"requests": []}).status_code == 422
    told = client.post("/v1/predict/batch", json={"requests": [one] * 1000}, params=AS_OF).json()
    assert (told["count"], told["failed"]) == (1000, 0)


@pytest.mark.row("R5")
@pytest.mark.parametrize("prefix", ["", "/api/ml"])
def test_health_is_counted_from_what_is_on_record(client: httpx.Client, agency: App, prefix: str) -> None:
    path = f"{prefix}/v1/models/move_probability_model/health"
    before = client.get(path).json()
    client.post("/v1/predict/move-probability", json={"entity_id": "p0000003"}, params=AS_OF)
    told = client.get(path).json()
    assert told["prediction_count"] == before["prediction_count"] + 1
    assert told["avg_latency_ms"] > 0
    assert told["error_rate"] == 0
    assert told["status"] == "DEPLOYED"
    assert told["model_version"] == agency.models.list("realestate.move")[0].version
    assert {*told} == {
        "model_name", "model_version", "status", "deployed_at", "prediction_count", "avg_latency_ms", "error_rate",
        "drift_detected", "last_prediction_at", "foretell",
    }  # fmt: skip
    untrained = client.get(f"{prefix}/v1/models/contact_timing_model/health").json()
    assert (untrained["status"], untrained["model_version"]) == ("NOT_TRAINED", None)


@pytest.mark.row("R5")
def test_the_document_s_description_is_where_it_says(client: httpx.Client) -> None:
    assert client.get("/api/ml/docs").status_code == 200


def test_somebody_of_whom_nothing_is_known_is_not_made_up(client: httpx.Client) -> None:
    for path in ("move-probability", "contact-timing"):
        answer = client.post(f"/v1/predict/{path}", json={"entity_id": "nobody"}, params=AS_OF)
        assert answer.status_code == 422
        detail = answer.json()["detail"]
        assert "nothing is known of nobody; bring them into realestate.people" in detail
        assert "p00000" not in detail  # who else there is, is nobody's business
