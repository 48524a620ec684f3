"""The paths of the traffic document: its fields, types and formats, its statuses, and nothing beside but `foretell`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import jsonschema_rs
import polars as pl
import pytest
from tests.web.conftest import PATIENCE, Running, rows, tenancy

from foretell.app import App
from foretell.domains.traffic.sample import END

ISO = "%Y-%m-%dT%H:%M:%SZ"
PREDICT, TRAIN = "/api/ml/predict", "/api/ml/train"
BODY = {
    "service_name": "donations", "current_replicas": 10, "capacity_per_pod": 50.0, "cost_per_replica_hour": 0.05,
}  # fmt: skip
IFTAR = "2024-04-03T13:30:00Z"  # within two hours of it in Riyadh

Tokens = Callable[..., str]

PREDICTED = {
    "tenant_id": str, "timestamp": str, "current_traffic": float,
    "predictions": {"values": [float, float, float, float], "confidence": float, "trigger": str, "model_used": str},
    "scaling_recommendation": {
        "current_replicas": int, "recommended_replicas": int, "cost_impact_hourly": float, "reason": str,
        "triggered_by": str, "requires_approval": bool,
    },
}  # fmt: skip
TRAINED = {
    "tenant_id": str, "training_timestamp": str,
    "data_stats": {
        "total_points": int, "date_range_start": str, "date_range_end": str, "days_of_data": int, "features_count": int,
    },
    "model_summaries": {"forecaster": {"trained": bool, "forecast_horizon_hours": int, "trigger_rules": int}},
    "saved_models": {"forecaster": str},
}  # fmt: skip


def shape(told: Any) -> Any:
    """The names and types of an answer."""
    if isinstance(told, dict):
        return {name: shape(value) for name, value in told.items()}
    return [shape(each) for each in told] if isinstance(told, list) else type(told)


def asked(
    client: httpx.Client, path: str, body: dict[str, Any] | None = None, *, status: int = 200, **params: str
) -> dict[str, Any]:
    """What a path says, with the status that it should have."""
    told = client.post(path, params=params, json=BODY if body is None else body)
    assert told.status_code == status, told.text
    answer: dict[str, Any] = told.json()
    return answer


def refused(
    client: httpx.Client, path: str, body: dict[str, Any] | None = None, *, status: int, **params: str
) -> dict[str, Any]:
    """An error in the document's dress: a `detail` that is a string, and nothing beside but `foretell`."""
    told = asked(client, path, body, status=status, **params)
    assert set(told) <= {"detail", "foretell"}
    assert isinstance(told["detail"], str)
    assert told["detail"]
    return told


# ---------------------------------------------------------------- every answer is as described


@cache
def described(url: str) -> dict[str, Any]:
    """What the server says of itself."""
    schema: dict[str, Any] = httpx.get(f"{url}/openapi.json", trust_env=False, timeout=PATIENCE).json()
    return schema


def operation(schema: dict[str, Any], method: str, path: str) -> Mapping[str, Any] | None:
    """What is said of a request, where there is such a path; paths without holes come first."""
    for template in sorted(schema["paths"], key=lambda path: path.count("{")):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found: Mapping[str, Any] | None = schema["paths"][template].get(method.lower())
            return found
    return None


def conforms(told: httpx.Response) -> None:
    """Hold an answer to its description."""
    told.read()
    url = told.request.url
    schema = described(f"{url.scheme}://{url.host}:{url.port}")
    said = operation(schema, told.request.method, url.path)
    if said is None:
        assert told.status_code in (404, 405)
        return
    answers = said["responses"]
    assert str(told.status_code) in answers, f"{url.path} is not said to answer {told.status_code}"
    if told.status_code == 204:
        return
    form = answers[str(told.status_code)]["content"][told.headers["content-type"]]
    rule = {**form["schema"], "components": schema["components"]}
    jsonschema_rs.validator_for(rule, validate_formats=True).validate(told.json())


@pytest.fixture(scope="module")
def enter(server: Running, token: Tokens) -> Callable[..., httpx.Client]:
    """A client of a tenant in a role, each of whose answers is held to its description."""

    def make(tenant: str, role: str = "admin") -> httpx.Client:
        client = server.client(token(tenant, role))
        client.event_hooks["response"] = [conforms]
        return client

    return make


@pytest.fixture
def user(enter: Callable[..., httpx.Client], tenant: str) -> Iterator[httpx.Client]:
    """A user of the tenant whose model is trained."""
    with enter(tenant, "user") as client:
        yield client


@pytest.fixture
def admin(enter: Callable[..., httpx.Client], tenant: str) -> Iterator[httpx.Client]:
    """An admin of the tenant whose model is trained, who changes nothing."""
    with enter(tenant) as client:
        yield client


# ---------------------------------------------------------------- predict


@pytest.mark.row("T10")
def test_a_prediction_has_the_documents_fields_and_no_others(user: httpx.Client, tenant: str) -> None:
    told = asked(user, PREDICT, as_of=IFTAR)
    assert set(told) == {*PREDICTED, "foretell"}
    assert shape({name: told[name] for name in PREDICTED}) == PREDICTED
    assert told["tenant_id"] == tenant
    assert told["scaling_recommendation"]["requires_approval"] is True
    assert told["predictions"]["model_used"] == told["foretell"]["method"] == "pattern_learner"


@pytest.mark.row("T10")
def test_the_timestamp_is_the_last_metrics_and_the_traffic_its_value(user: httpx.Client) -> None:
    told = asked(user, PREDICT, as_of="2024-04-03T12:34:56Z")
    assert told["timestamp"] == "2024-04-03T11:00:00Z"
    (value,) = rows().filter(pl.col("time") == datetime(2024, 4, 3, 11, tzinfo=UTC))["value"]
    assert told["current_traffic"] == value


@pytest.mark.row("T10")
def test_the_four_values_are_those_of_our_own_path(user: httpx.Client) -> None:
    told = asked(user, PREDICT, as_of=IFTAR)["predictions"]
    ours = asked(user, "/v1/traffic/load/predict", {"service": "donations"}, as_of=IFTAR)["answer"]
    assert told["values"] == [hour["expected"] for hour in ours["hours"]]
    assert (told["confidence"], told["trigger"]) == (ours["confidence"], ours["trigger"])
    assert 0 <= told["confidence"] <= 1


@pytest.mark.row("T10")
@pytest.mark.parametrize(
    ("as_of", "trigger"),
    [(IFTAR, "iftar_approaching"), ("2024-04-03T17:30:00Z", "taraweeh"), ("2024-04-03T01:00:00Z", "suhoor_window"),
     ("2024-04-03T08:00:00Z", None)],
)  # fmt: skip
def test_the_trigger_is_what_the_hour_says_or_null(user: httpx.Client, as_of: str, trigger: str | None) -> None:
    told = asked(user, PREDICT, as_of=as_of)
    assert told["predictions"]["trigger"] == trigger
    assert told["scaling_recommendation"]["triggered_by"] == trigger or trigger is None


@pytest.mark.row("T10")
def test_the_recommendation_is_that_of_the_highest_value(user: httpx.Client) -> None:
    told = asked(user, PREDICT, {**BODY, "current_replicas": 3, "cost_per_replica_hour": 0.2}, as_of=IFTAR)
    scaling = told["scaling_recommendation"]
    values = told["predictions"]["values"]
    replicas = min(50, math.ceil(math.ceil(max(values) / 50.0) * 3))
    assert (scaling["current_replicas"], scaling["recommended_replicas"]) == (3, replicas)
    assert scaling["cost_impact_hourly"] == pytest.approx((replicas - 3) * 0.2, abs=1e-4)
    for words in (f"{max(values):.0f} requests/min", f"{told['current_traffic']:.0f}", "Iftar within 2 hours"):
        assert words in scaling["reason"]


def test_a_replica_costs_five_cents_where_nothing_is_said(user: httpx.Client) -> None:
    body = {name: value for name, value in BODY.items() if name != "cost_per_replica_hour"}
    assert (
        asked(user, PREDICT, body, as_of="latest")["scaling_recommendation"]
        == (asked(user, PREDICT, as_of="latest")["scaling_recommendation"])
    )


@pytest.mark.parametrize("capacity", [1e-3, 1e-300, 5e-324])
def test_fifty_replicas_are_the_most(user: httpx.Client, capacity: float) -> None:
    told = asked(user, PREDICT, {**BODY, "capacity_per_pod": capacity}, as_of="latest")
    assert told["scaling_recommendation"]["recommended_replicas"] == 50


WRONG: list[tuple[str, Any]] = [
    ("current_replicas", 0), ("current_replicas", 51), ("current_replicas", 1.5), ("current_replicas", None),
    ("capacity_per_pod", 0), ("capacity_per_pod", -1), ("capacity_per_pod", "many"), ("capacity_per_pod", None),
    ("cost_per_replica_hour", 0), ("cost_per_replica_hour", -0.05), ("service_name", 7), ("service_name", None),
]  # fmt: skip


@pytest.mark.row("T10")
@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_prediction_out_of_range_is_422_with_its_field(user: httpx.Client, field: str, value: Any) -> None:
    body = {name: given for name, given in {**BODY, field: value}.items() if given is not None}
    told = refused(user, PREDICT, body, status=422)
    assert field in told["detail"]
    assert [error["field"] for error in told["foretell"]["errors"]] == [field]
    assert all(error["message"] for error in told["foretell"]["errors"])


@pytest.mark.row("T10")
@pytest.mark.parametrize("replicas", [1, 50])
def test_one_to_fifty_replicas_may_run(user: httpx.Client, replicas: int) -> None:
    told = asked(user, PREDICT, {**BODY, "current_replicas": replicas}, as_of="latest")
    assert told["scaling_recommendation"]["current_replicas"] == replicas


def test_a_body_that_is_none_is_422_in_the_documents_dress(user: httpx.Client) -> None:
    for content in (b"", b"{", b"[]", b"null", b"\xff"):
        told = user.post(PREDICT, content=content, headers={"content-type": "application/json"})
        assert told.status_code == 422
        assert set(told.json()) == {"detail", "foretell"}
        assert isinstance(told.json()["detail"], str)


@pytest.mark.parametrize("as_of", ["2024-04-03T00:00:00", "2999-01-01T00:00:00Z", "yesterday"])
def test_a_moment_that_is_none_is_422(user: httpx.Client, as_of: str) -> None:
    assert "as_of" in refused(user, PREDICT, status=422, as_of=as_of)["detail"]


@pytest.mark.row("T10")
def test_without_recent_metrics_it_is_400(user: httpx.Client) -> None:
    """Now: the tenant's newest are of 2024."""
    assert "no recent metrics" in refused(user, PREDICT, status=400)["detail"]
    unknown = {**BODY, "service_name": "nobody"}
    assert "no recent metrics" in refused(user, PREDICT, unknown, status=400, as_of="latest")["detail"]


def test_the_anonymous_are_refused_in_the_documents_dress(server: Running) -> None:
    with server.client() as client:
        assert [refused(client, path, status=401)["foretell"]["errors"] for path in (PREDICT, TRAIN)] == [[], []]


# ---------------------------------------------------------------- train


@pytest.mark.row("T10")
@pytest.mark.parametrize("role", ["user", "service", "operator"])
def test_only_admins_train(enter: Callable[..., httpx.Client], tenant: str, role: str) -> None:
    with enter(tenant, role) as client:
        assert "admin" in refused(client, TRAIN, {"days_history": 90}, status=403)["detail"]


@pytest.mark.row("T10")
@pytest.mark.parametrize("days", [29, 366, 0, -60, 60.5, "many", None])
def test_days_out_of_range_are_422(admin: httpx.Client, days: Any) -> None:
    told = refused(admin, TRAIN, {"days_history": days}, status=422)
    assert [error["field"] for error in told["foretell"]["errors"]] == ["days_history"]


@pytest.mark.row("T9", "T10")
@pytest.mark.parametrize("days", [30, 45, 59])
def test_fewer_than_sixty_days_asked_for_are_400(admin: httpx.Client, days: int) -> None:
    assert "60" in refused(admin, TRAIN, {"days_history": days}, status=400, as_of="latest")["detail"]


@pytest.mark.row("T9")
def test_sixty_days_are_asked_for_where_nothing_is_said(admin: httpx.Client) -> None:
    """Now, there is nothing of the last 60 days."""
    assert "60" in refused(admin, TRAIN, {}, status=400)["detail"]


@pytest.mark.row("T9", "T10")
@pytest.mark.parametrize("days", [45, 59])
def test_too_little_history_is_400_and_no_model_404(enter: Callable[..., httpx.Client], days: int) -> None:
    with tenancy() as made, enter(made.tenant) as client:
        made.import_("traffic.metrics", rows().tail(24 * days))
        told = refused(client, TRAIN, {"days_history": 90}, status=400, as_of="latest")
        assert f"{days} days" in told["detail"]
        assert "train" in refused(client, PREDICT, status=404, as_of="latest")["detail"]
        assert client.get("/v1/traffic/load/models").json() == []


# ---------------------------------------------------------------- from metrics to answers


def ends(metrics: pl.DataFrame, form: str) -> tuple[str, str]:
    """When the first and the last metric were measured, as a document writes it."""
    written = metrics["time"].dt.strftime(form).to_list()
    return min(written), max(written)


class Story:
    """A tenant of the document: 60 days of metrics that name no service; a small model serves, then one is trained."""

    def __init__(self, app: App, client: httpx.Client) -> None:
        self.app, self.client, self.tenant = app, client, app.tenant
        self.metrics = rows().tail(24 * 60).select("time", "value")
        app.import_("traffic.metrics", self.metrics)
        self.first, _ = app.train("traffic.load", as_of=END - timedelta(days=3), budget=0.1)
        self.before = asked(client, PREDICT, as_of=self.moment)
        self.began = datetime.now(UTC)
        self.trained = asked(client, TRAIN, {"days_history": 60}, as_of=self.moment)
        self.ended = datetime.now(UTC)
        self.after = asked(client, PREDICT, as_of=self.moment)

    @property
    def moment(self) -> str:
        """When the last metric was known."""
        return ends(self.metrics, ISO)[1]


@pytest.fixture(scope="module")
def story(enter: Callable[..., httpx.Client]) -> Iterator[Story]:
    with tenancy() as made, enter(made.tenant) as client:
        yield Story(made, client)


@pytest.mark.row("T9", "T10")
def test_a_training_on_sixty_days_has_the_documents_fields_and_no_others(story: Story) -> None:
    told = story.trained
    assert set(told) == {*TRAINED, "foretell"}
    assert shape({name: told[name] for name in TRAINED}) == TRAINED
    assert told["tenant_id"] == story.tenant
    summary = {"trained": True, "forecast_horizon_hours": 4, "trigger_rules": 3}
    assert told["model_summaries"] == {"forecaster": summary}


@pytest.mark.row("T10")
def test_a_training_says_when_it_was(story: Story) -> None:
    at = datetime.strptime(story.trained["training_timestamp"], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    assert story.began - timedelta(seconds=1) <= at <= story.ended


@pytest.mark.row("T9", "T10")
def test_a_training_says_what_it_learned_from(story: Story) -> None:
    first, last = ends(story.metrics, "%Y-%m-%d %H:%M:%S")
    assert story.trained["data_stats"] == {
        "total_points": 24 * 60,
        "date_range_start": first,
        "date_range_end": last,
        "days_of_data": story.trained["data_stats"]["days_of_data"],
        "features_count": 19,
    }
    assert story.trained["data_stats"]["days_of_data"] in (59, 60)  # whole ones between its ends, or those it touches


@pytest.mark.row("T9")
def test_a_training_makes_a_version_that_answers_from_then_on(story: Story) -> None:
    version = story.trained["foretell"]["version"]
    assert version in story.trained["saved_models"]["forecaster"]
    assert story.tenant in story.trained["saved_models"]["forecaster"]
    newest, oldest = story.client.get("/v1/traffic/load/models").json()
    assert (newest["version"], newest["state"]) == (version, "serving")
    assert (oldest["version"], oldest["state"]) == (story.first.model.card.version, "kept")
    assert story.before["foretell"]["version"] == oldest["version"]
    assert story.after["foretell"]["version"] == version
    assert story.after["predictions"]["model_used"] == story.trained["foretell"]["candidate"]


@pytest.mark.row("T10")
def test_metrics_that_name_no_service_answer_for_every_service(story: Story) -> None:
    bodies = ({**BODY, "service_name": name} for name in ("default", "donation-api"))
    named, other = (asked(story.client, PREDICT, body, as_of=story.moment) for body in bodies)
    assert named["predictions"] == other["predictions"]
    assert named["timestamp"] == other["timestamp"] == story.moment


@pytest.mark.row("T10")
def test_a_service_with_metrics_of_its_own_is_answered_from_those(story: Story) -> None:
    mine = story.metrics.tail(24 * 40).with_columns(value=pl.lit(7.0), service=pl.lit("search"))
    story.app.import_("traffic.metrics", mine)
    told = asked(story.client, PREDICT, {**BODY, "service_name": "search"}, as_of=story.moment)
    assert told["current_traffic"] == 7.0
    other = asked(story.client, PREDICT, {**BODY, "service_name": "donation-api"}, as_of=story.moment)
    assert other["current_traffic"] == story.after["current_traffic"]


@pytest.mark.row("T10")
def test_without_as_of_it_is_about_now(story: Story) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    recent = story.metrics.tail(24 * 14).with_columns(time=pl.col("time") + (now - END), service=pl.lit("live"))
    story.app.import_("traffic.metrics", recent)
    told = asked(story.client, PREDICT, {**BODY, "service_name": "live"})
    assert told["timestamp"] == ends(recent, ISO)[1]
    assert len(told["predictions"]["values"]) == 4
