"""Settings and recommendations over HTTP: who may, what is answered, and that nothing is decided but by people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from tests.deciding import KEPT, LOAD, METRICS, listed, moved, now, steady
from tests.web.conftest import Running, tenancy

from foretell.app import App
from foretell.domains.traffic.sample import ZONE
from foretell.domains.traffic.schema import Settings

PREDICT, DOCUMENTED = "/v1/traffic/load/predict", "/api/ml/predict"
TRAFFIC, RECOMMENDATIONS = "/v1/traffic/settings", "/v1/recommendations"
ROLES = ("user", "service", "admin")
FIELDS = {
    "recommendation_id", "task", "subject", "prediction_id", "action", "reason", "made_at", "expires_at", "state",
    "decided_at", "decided_by", "decided_why", "approved",
}  # fmt: skip

Enter = Callable[[str], httpx.Client]


@pytest.fixture
def app(home: Any) -> Iterator[App]:
    """Thirty replicas of 10 are needed, six of 50."""
    with tenancy() as made:
        made.import_(METRICS, steady())
        yield made


@pytest.fixture
def enter(server: Running, token: Callable[..., str], app: App) -> Iterator[Enter]:
    """Somebody of a role comes in, whose name is that of the role."""
    came: list[httpx.Client] = []

    def come(role: str) -> httpx.Client:
        came.append(server.client(token(app.tenant, role, user=role)))
        return came[-1]

    yield come
    for each in came:
        each.close()


def told(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, words: str) -> None:
    problem = told(answer, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in problem["detail"]


def asked(client: httpx.Client, running: int = 10, **params: str) -> Any:
    body = {"service": "api", "workload": {"current_replicas": running, "capacity_per_pod": 10}}
    return told(client.post(PREDICT, json=body, params=params))["foretell"]["recommendation_id"]


def taught(app: App) -> None:
    """The documented path asks for a model."""
    app.import_(METRICS, steady(days=35))
    app.train(LOAD, budget=0.0)


# ---------------------------------------------------------------- settings


def test_settings_are_shown_to_all_and_changed_by_admins_alone(enter: Enter, app: App) -> None:
    for role in ROLES:
        assert told(enter(role).get("/v1/settings")) == {"zone": ZONE, **KEPT}
        assert told(enter(role).get(TRAFFIC)) == Settings().model_dump(mode="json")
        assert told(enter(role).get(f"{TRAFFIC}/history")) == []
    for role in ("user", "service", "operator"):
        for path, patch in ((TRAFFIC, {"country": "TR"}), ("/v1/settings", {"zone": "Europe/Istanbul"})):
            refused(enter(role).patch(path, json=patch), 403, role)
    assert [*app.settings.history("traffic"), *app.settings.history()] == []
    admin = enter("admin")
    assert told(admin.patch(TRAFFIC, json={"country": "TR"})) == Settings(country="TR").model_dump(mode="json")
    assert told(admin.patch("/v1/settings", json={"zone": "Europe/Istanbul"})) == {"zone": "Europe/Istanbul", **KEPT}
    assert told(enter("user").get(TRAFFIC))["country"] == "TR"


def test_a_patch_is_merged_and_history_says_who_and_when(enter: Enter) -> None:
    admin, began = enter("admin"), now()
    media = {"content-type": "application/merge-patch+json"}
    told(admin.patch(TRAFFIC, json={"services": {"a": {"capacity_per_pod": 5}}, "safety_factor": 2}))
    told(admin.patch(TRAFFIC, content=b'{"services": {"b": {"capacity_per_pod": 6}}}', headers=media))
    made = told(admin.patch(TRAFFIC, json={"services": {"a": None}, "safety_factor": None}))
    assert ([*made["services"]], made["safety_factor"]) == (["b"], 3.0)
    history = told(enter("user").get(f"{TRAFFIC}/history"))
    assert [each["field"] for each in history] == ["services", "safety_factor", "services", "services", "safety_factor"]
    assert history[-1]["value"] is None
    assert {each["changed_by"] for each in history} == {"admin"}
    assert all(began - timedelta(seconds=1) <= datetime.fromisoformat(each["changed_at"]) <= now() for each in history)
    assert told(enter("user").get("/v1/settings/history")) == []


def test_settings_of_then_are_shown(enter: Enter) -> None:
    admin = enter("admin")
    told(admin.patch(TRAFFIC, json={"safety_factor": 2}))
    between = now().isoformat()
    told(admin.patch(TRAFFIC, json={"safety_factor": 4}))
    assert told(admin.get(TRAFFIC, params={"as_of": between}))["safety_factor"] == 2
    assert told(admin.get(TRAFFIC, params={"as_of": "1999-01-01T00:00:00Z"}))["safety_factor"] == 2
    assert told(admin.get("/v1/settings", params={"as_of": between})) == {"zone": ZONE, **KEPT}
    for moment in ("latest", "yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00"):
        assert admin.get(TRAFFIC, params={"as_of": moment}).status_code in (200, 422)
    refused(admin.get(TRAFFIC, params={"as_of": "latest"}), 422, "as_of")


@pytest.mark.parametrize(("path", "patch", "words"), [
    (TRAFFIC, {"colour": 1}, "no setting colour; there are country"), (TRAFFIC, {}, "nothing to set"),
    (TRAFFIC, {"safety_factor": 0}, "safety_factor"), (TRAFFIC, {"zone": ZONE}, "no setting zone"),
    (TRAFFIC, {"services": {"a": {"max_replicas": 51}}}, "services.a.max_replicas"),
    ("/v1/settings", {"zone": "Mars/Olympus"}, "no time zone"), ("/v1/settings", {"country": "TR"}, "there are zone"),
])  # fmt: skip
def test_what_can_not_be_is_422_and_names_the_field(enter: Enter, app: App, path: str, patch: Any, words: str) -> None:
    refused(enter("admin").patch(path, json=patch), 422, words)
    assert [*app.settings.history("traffic"), *app.settings.history()] == []


@pytest.mark.parametrize("content", [
    b"", b"[]", b"null", b"7", b"{", b'{"safety_factor": NaN}', b'{"hourly_cost_cap": 1e999}', b"\xff",
    b'{"services": {"a\\u0000b": {}}}', b'{"services": {"\\ud800": {}}}',
    b'{"events": [{"name": "\\ud800", "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}]}',
    b'{"events": [{"name": "\\u0000", "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}]}',
    b'{"safety_factor": ' + b"9" * 5000 + b"}", b'{"services":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    b'{"services":' + b'{"a":' * 900 + b"1" + b"}" * 901, b'{"services":' + b"[" * 900 + b"]" * 900 + b"}",
])  # fmt: skip
def test_a_body_that_is_none_is_422(enter: Enter, app: App, content: bytes) -> None:
    answer = enter("admin").patch(TRAFFIC, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert [*app.settings.history("traffic")] == []


# ---------------------------------------------------------------- recommendations


@pytest.mark.row("T17")
@pytest.mark.parametrize(("verb", "state"), [("approve", "approved"), ("reject", "rejected")])
@pytest.mark.parametrize("role", ["user", "admin"])
def test_people_decide_and_services_do_not(enter: Enter, app: App, verb: str, state: str, role: str) -> None:
    number = asked(enter("service"))
    path = f"{RECOMMENDATIONS}/{number}"
    for other in ("service", "operator"):
        refused(enter(other).post(f"{path}/{verb}", json={"reason": "x"}), 403, other)
    before = told(enter("service").get(path))
    assert (before["state"], before["decided_by"]) == ("pending", None)
    one = told(enter(role).post(f"{path}/{verb}", json={"reason": "Iftar"}))
    assert {*one} == FIELDS
    assert (one["state"], one["decided_by"], one["decided_why"]) == (state, role, "Iftar")
    assert one["approved"] == (one["action"] if state == "approved" else None)
    assert told(enter("service").get(path)) == one
    for again in ("approve", "reject"):
        refused(enter(role).post(f"{path}/{again}"), 409, f"is {state}")
    with app.desk.inside() as connection:
        deeds = connection.execute("SELECT who, action, subject FROM audit WHERE action = %s", [verb]).fetchall()
    assert deeds == [(role, verb, LOAD)]


def test_a_reason_may_be_left_out_and_must_be_one(enter: Enter) -> None:
    user = enter("user")
    number = asked(user)
    path = f"{RECOMMENDATIONS}/{number}/reject"
    for body in (b'{"reason": 7}', b"[]", b"{", b'{"reason": "' + b"x" * 1001 + b'"}', b'{"reason": "\\u0000"}'):
        answer = user.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422, answer.text
    assert told(user.post(path))["decided_why"] is None
    number = asked(user, 11)
    assert told(user.post(f"{RECOMMENDATIONS}/{number}/reject", json={}))["decided_why"] is None


@pytest.mark.row("T17")
def test_anothers_recommendation_is_not_there(server: Running, token: Callable[..., str], enter: Enter) -> None:
    number = asked(enter("user"))
    with tenancy() as other, server.client(token(other.tenant, "admin")) as stranger:
        for wanted in (number, str(uuid4())):
            path = f"{RECOMMENDATIONS}/{wanted}"
            refused(stranger.get(path), 404, f"there is no recommendation {wanted}")
            for verb in ("approve", "reject"):
                refused(stranger.post(f"{path}/{verb}"), 404, f"there is no recommendation {wanted}")
        assert told(stranger.get(RECOMMENDATIONS)) == []
        assert told(stranger.get(f"{RECOMMENDATIONS}/x"), 422)
    assert told(enter("user").get(f"{RECOMMENDATIONS}/{number}"))["state"] == "pending"


def test_the_list_is_newest_first_by_state_and_in_pages(enter: Enter) -> None:
    user = enter("user")
    made = [asked(user, running) for running in (10, 11, 12)]
    found = told(user.get(RECOMMENDATIONS))
    assert [one["recommendation_id"] for one in found] == made[::-1]
    assert [one["state"] for one in found] == ["pending", "superseded", "superseded"]
    assert all({*one} == FIELDS for one in found)
    assert told(user.get(RECOMMENDATIONS, params={"state": "pending"})) == found[:1]
    assert told(user.get(RECOMMENDATIONS, params={"state": "approved"})) == []
    assert told(user.get(RECOMMENDATIONS, params={"limit": 2})) == found[:2]
    assert told(user.get(RECOMMENDATIONS, params={"before": found[1]["made_at"]})) == found[2:]
    for params in ({"limit": 0}, {"limit": 1001}, {"state": "open"}, {"before": "2026-01-01"}, {"before": "x"}):
        assert told(user.get(RECOMMENDATIONS, params=params), 422)["code"] == "InvalidRequest"


def test_an_expired_one_can_not_be_decided(enter: Enter, app: App, home: Any) -> None:
    user = enter("user")
    number = asked(user)
    moved(home, app, "expires_at", timedelta(seconds=1))
    assert told(user.get(f"{RECOMMENDATIONS}/{number}"))["state"] == "expired"
    refused(user.post(f"{RECOMMENDATIONS}/{number}/approve"), 409, "is expired")


# ---------------------------------------------------------------- answers


def test_answers_carry_the_number_of_the_open_one(enter: Enter, app: App) -> None:
    user = enter("user")
    number = asked(user)
    assert UUID(number)
    assert asked(user) == number
    assert asked(user, as_of="latest") is None
    assert asked(user, 30) is None
    body = {"service": "api", "workload": {"current_replicas": 11, "capacity_per_pod": 10}}
    batch = told(user.post("/v1/traffic/predict", json={"requests": [{"task": "load", "request": body}]}))
    (told_,) = batch["predictions"]
    assert listed(app, "pending") == [("api", 11, 30, "pending")]
    (one,) = app.recommendations.list(state="pending")
    assert told_["foretell"]["recommendation_id"] == str(one.recommendation_id)
    assert told_["foretell"]["prediction_id"] == str(one.prediction_id)


def test_many_who_ask_at_once_over_http_open_one(enter: Enter, app: App) -> None:
    user = enter("user")
    with ThreadPoolExecutor(8) as pool:
        numbers = {*pool.map(lambda k: asked(user, 10), range(24))}
    assert [str(one.recommendation_id) for one in app.recommendations.list()] == [*numbers]


@pytest.mark.row("T10", "T17")
def test_the_documented_path_has_its_shape_and_scales_in_unless_a_rule_says_otherwise(enter: Enter, app: App) -> None:
    taught(app)
    user, admin = enter("user"), enter("admin")
    body = {"service_name": "api", "current_replicas": 10, "capacity_per_pod": 50}
    said = told(user.post(DOCUMENTED, json=body))
    assert {*said} == {
        "tenant_id", "timestamp", "current_traffic", "predictions", "scaling_recommendation", "foretell",
    }  # fmt: skip
    scaling = said["scaling_recommendation"]
    assert {*scaling} == {
        "current_replicas", "recommended_replicas", "cost_impact_hourly", "reason", "triggered_by", "requires_approval",
    }  # fmt: skip
    assert (scaling["recommended_replicas"], scaling["cost_impact_hourly"]) == (6, -0.2)
    assert scaling["requires_approval"] is True
    (one,) = app.recommendations.list()
    assert said["foretell"]["recommendation_id"] == str(one.recommendation_id)
    told(admin.patch(TRAFFIC, json={"scale_in": "never"}))
    kept = told(user.post(DOCUMENTED, json=body))
    assert (kept["scaling_recommendation"]["recommended_replicas"], kept["foretell"]["recommendation_id"]) == (10, None)


@pytest.mark.row("T8", "T17")
def test_after_an_approval_the_documented_path_waits_too(enter: Enter, app: App) -> None:
    taught(app)
    user = enter("user")
    body = {"service_name": "api", "current_replicas": 10, "capacity_per_pod": 10}
    number = told(user.post(DOCUMENTED, json=body))["foretell"]["recommendation_id"]
    told(user.post(f"{RECOMMENDATIONS}/{number}/approve"))
    after = told(user.post(DOCUMENTED, json=body))
    assert after["scaling_recommendation"]["recommended_replicas"] == 10
    assert "a change was approved at" in after["scaling_recommendation"]["reason"]
    assert after["foretell"]["recommendation_id"] is None


def test_a_cost_cap_that_pays_for_nothing_says_what_to_do_on_either_path(enter: Enter, app: App) -> None:
    taught(app)
    told(enter("admin").patch(TRAFFIC, json={"hourly_cost_cap": 0.01}))
    body = {"service_name": "api", "current_replicas": 10, "capacity_per_pod": 10}
    assert "hourly_cost_cap" in told(enter("user").post(DOCUMENTED, json=body), 422)["detail"]
    ours = {"service": "api", "workload": {"current_replicas": 10, "capacity_per_pod": 10}}
    refused(enter("user").post(PREDICT, json=ours), 422, "hourly_cost_cap")


def test_a_price_of_next_to_nothing_is_no_500(enter: Enter, app: App) -> None:
    taught(app)
    told(enter("admin").patch(TRAFFIC, json={"hourly_cost_cap": 1}))
    body = {"service_name": "api", "current_replicas": 10, "capacity_per_pod": 10, "cost_per_replica_hour": 1e-320}
    assert enter("user").post(DOCUMENTED, json=body).status_code in (200, 422)
