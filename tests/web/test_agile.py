"""The paths of the agile document: its fields, types and errors, with and without the last slash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import polars as pl
import pytest
from tests.web.conftest import Running, tenancy
from tests.web.test_documented import shape

from foretell.app import App
from foretell.domains.agile.sample import NOW, sample

BASE = "/api/v1/ml"
AS_OF = {"as_of": "latest"}
EFFORT = {
    "predicted_hours": float, "confidence": float, "prediction_range": {"min": float, "max": float}, "method": str,
    "model_version": str, "reasoning": str, "similar_issues": list,
}  # fmt: skip
SUGGESTION = {
    "user_id": str, "user_name": str, "user_email": str, "total_score": float, "skill_score": float,
    "workload_score": float, "performance_score": float, "availability_score": float, "reasoning": list,
}  # fmt: skip
SUMMARY = {
    "completion": float, "velocity": float, "risk_score": float, "project_id": str, "generated_at": str,
    "metrics_breakdown": {
        "total_issues": int, "completed_issues": int, "sprints_analyzed": int, "unassigned_issues": int,
        "overdue_issues": int,
    },
}  # fmt: skip
WORLD = sample(1).history
PROJECT = str(WORLD["projects"]["project"][0])
SPRINT = str(WORLD["sprints"].sort("starts")["sprint"][-1])
RUNNING = str(WORLD["sprints"].filter(pl.col("state") == "active", pl.col("project") == PROJECT)["sprint"][-1])
OVER = str(WORLD["sprints"].filter(pl.col("state") == "completed").sort("starts")["sprint"][0])
ISSUE = str(WORLD["issues"].filter(WORLD["issues"]["project"] == PROJECT)["issue"][-1])
PERSON = str(WORLD["members"].filter(WORLD["members"]["project"] == PROJECT)["person"][0])
NEW = {"title": "Fix the login form", "description": "Users can't sign in", "issue_type": "bug", "project_id": PROJECT}


@pytest.fixture(scope="module")
def workspace(home: object) -> Iterator[App]:
    """A tenant with the sample's workspace and trained models."""
    with tenancy() as app:
        for name, rows in WORLD.tables.items():
            app.import_(f"agile.{name}", rows.drop("entity", "known_at"))
        for task in ("effort", "points"):
            app.train(f"agile.{task}", as_of=NOW - timedelta(hours=1))
        yield app


@pytest.fixture
def client(server: Running, workspace: App, token: Callable[..., str]) -> Iterator[httpx.Client]:
    with server.client(token(workspace.tenant)) as made:
        yield made


@pytest.fixture
def member(server: Running, workspace: App, token: Callable[..., str]) -> Iterator[httpx.Client]:
    with server.client(token(workspace.tenant, "user", user=PERSON)) as made:
        yield made


def post(client: httpx.Client, path: str, sent: Any, status: int = 200) -> dict[str, Any]:
    """The answer to a body, the same with and without the last slash."""
    answers = [client.post(f"{BASE}/{path}{slash}", json=sent, params=AS_OF) for slash in ("/", "")]
    assert [each.status_code for each in answers] == [status] * 2, answers[0].text
    told: dict[str, Any] = answers[0].json()
    assert shape(told) == shape(answers[1].json())
    return told


def flat(told: dict[str, Any]) -> dict[str, Any]:
    """The types of the fields, of a list its own alone."""
    return {name: list if isinstance(each, list) else shape(each) for name, each in told.items()}


@pytest.mark.row("A1")
def test_effort_has_the_documented_shape(client: httpx.Client) -> None:
    told = post(client, "predict-effort", NEW)
    extra = told.pop("foretell")
    assert flat(told | {"model_version": "1"}) == EFFORT
    assert told["method"] in ("ml_model", "similarity", "heuristic")
    assert told["prediction_range"]["min"] <= told["predicted_hours"] <= told["prediction_range"]["max"]
    assert 0 <= told["confidence"] <= 1
    assert extra["skill"]["baseline"] == "median"
    for alike in told["similar_issues"]:
        assert shape(alike) == {"id": str, "title": str, "actual_hours": float}


@pytest.mark.row("A3")
def test_points_have_the_documented_shape(client: httpx.Client) -> None:
    told = post(client, "recommend-story-points", NEW)
    told.pop("foretell")
    chances = told["probability_distribution"]
    assert sum(chances.values()) == pytest.approx(1, abs=0.01)
    assert chances[f"{told['recommended_points']:g}"] == max(chances.values()) == told["confidence"]
    assert set(told) == {"recommended_points", "confidence", "probability_distribution", "reasoning", "method"}


@pytest.mark.row("A4")
def test_suggestions_have_the_documented_shape(client: httpx.Client) -> None:
    told = post(client, "suggest-assignment", {"issue_id": ISSUE, "project_id": PROJECT})
    assert len(told["suggestions"]) == 3
    for each in told["suggestions"]:
        assert flat(each) == SUGGESTION
        assert each["total_score"] == pytest.approx(
            0.4 * each["skill_score"] + 0.3 * each["workload_score"]
            + 0.2 * each["performance_score"] + 0.1 * each["availability_score"], abs=1e-3,
        )  # fmt: skip


def test_a_sprint_is_shared_out_without_naming_its_project(client: httpx.Client) -> None:
    asked = [client.post("/v1/agile/assignment/predict", json=each, params=AS_OF) for each in (
        {"sprint": RUNNING}, {"sprint": RUNNING, "project": PROJECT}, {"issue": ISSUE}, {"sprint": "nowhere"}
    )]  # fmt: skip
    assert [each.status_code for each in asked] == [200, 200, 200, 404], asked[0].text
    first, second, third, _ = [each.json().get("answer") for each in asked]
    assert first == second
    assert {each["issue"] for each in first["matched"]}
    assert (first["project"], third["project"]) == (PROJECT, PROJECT)
    assert "agile.sprints has no sprint 'nowhere'" in asked[3].json()["detail"]


@pytest.mark.row("A2")
def test_a_sprint_s_length_has_the_documented_shape(client: httpx.Client) -> None:
    told = post(client, "estimate-sprint-duration", {"sprint_id": RUNNING})
    told.pop("foretell")
    assert flat(told) == {
        "estimated_days": int, "planned_days": int, "confidence": float, "average_velocity": float,
        "total_story_points": int, "risk_factors": list, "method": str,
    }  # fmt: skip
    less = post(client, "estimate-sprint-duration", {"sprint_id": RUNNING, "planned_issues": [ISSUE]})
    assert less["total_story_points"] <= told["total_story_points"]
    assert less["estimated_days"] <= told["estimated_days"]


@pytest.mark.row("A5")
def test_risks_have_the_documented_shape(client: httpx.Client) -> None:
    told = client.get(f"{BASE}/{SPRINT}/sprint-risk/", params=AS_OF).json()
    assert client.get(f"{BASE}/{SPRINT}/sprint-risk", params=AS_OF).json()["risks"] == told["risks"]
    assert told["risks"]
    for risk in told["risks"]:
        assert {"risk_type", "severity", "description", "mitigation_suggestions"} <= set(risk)
        assert risk["severity"] in ("low", "medium", "high")


@pytest.mark.row("A6")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_summary_has_the_documented_shape(client: httpx.Client, method: str) -> None:
    for slash in ("/", ""):
        answer = client.request(method, f"{BASE}/{PROJECT}/project-summary{slash}", params=AS_OF)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        told.pop("foretell")
        assert shape(told) == SUMMARY
        assert 0 <= told["risk_score"] <= 100


@pytest.mark.parametrize("slash", ["/", "%2F", "%2f"])
def test_names_with_slashes_are_asked_as_they_are_or_encoded(client: httpx.Client, workspace: App, slash: str) -> None:
    row = {"project": "acme/shop", "time": NOW - timedelta(days=9)}
    sprint = {**row, "sprint": "acme/shop/2", "starts": NOW - timedelta(days=8), "ends": NOW + timedelta(days=6)}
    issue = {**row, "issue": "acme/shop#7", "title": "Crash", "sprint": "acme/shop/2"}
    for name, one in (("projects", row), ("sprints", sprint), ("issues", issue)):
        workspace.import_(f"agile.{name}", pl.DataFrame([one]))
    for ending in ("", "/"):
        told = client.get(f"{BASE}/acme{slash}shop/project-summary{ending}", params=AS_OF)
        assert (told.status_code, told.json()["project_id"]) == (200, "acme/shop")
        told = client.get(f"{BASE}/acme{slash}shop{slash}2/sprint-risk{ending}", params=AS_OF)
        assert told.status_code == 200
        assert "unassigned_issues" in {risk["risk_type"] for risk in told.json()["risks"]}
    told = client.get(f"{BASE}/acme{slash}nowhere/project-summary/")
    assert (told.status_code, set(told.json())) == (404, {"error", "detail", "code"})
    assert client.get(f"{BASE}//project-summary/").status_code == 400
    paths = client.get("/openapi.json").json()["paths"]
    assert {f"{BASE}/{{project_id}}/project-summary/", f"{BASE}/{{sprint_id}}/sprint-risk/"} <= set(paths)


@pytest.mark.row("A15")
def test_every_error_has_the_documented_shape(client: httpx.Client, server: Running) -> None:
    def told(answer: httpx.Response, status: int) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        assert set(found) == {"error", "detail", "code"}
        return found

    path = f"{BASE}/predict-effort/"
    assert told(client.post(path, json={**NEW, "title": ""}), 400)["detail"].startswith("title: ")
    assert told(client.post(path, content=b"{"), 400)["code"] == "InvalidRequest"
    assert told(client.post(path, json={**NEW, "project_id": "nowhere"}), 404)["code"] == "NotFound"
    assert told(client.get(f"{BASE}/nowhere/sprint-risk/"), 404)["code"] == "NotFound"
    assert told(client.get(f"{BASE}/nowhere/project-summary"), 404)["code"] == "NotFound"
    over = told(client.post(f"{BASE}/estimate-sprint-duration", json={"sprint_id": OVER}), 400)
    assert over["code"] == "Refused"
    assert "points were delivered" in over["error"]
    with server.client() as nobody:
        for asked in (nobody.post(path, json=NEW), nobody.get(f"{BASE}/{SPRINT}/sprint-risk/")):
            assert told(asked, 401)["code"] == "Unauthorized"


@pytest.mark.row("A15")
def test_a_person_asks_about_their_own_projects_alone(
    member: httpx.Client, server: Running, workspace: App, token: Callable[..., str]
) -> None:
    assert member.post(f"{BASE}/predict-effort/", json=NEW, params=AS_OF).status_code == 200
    assert member.get(f"{BASE}/{PROJECT}/project-summary/", params=AS_OF).status_code == 200
    with server.client(token(workspace.tenant, "user", user="stranger")) as stranger:
        for answer in (
            stranger.post(f"{BASE}/predict-effort/", json=NEW, params=AS_OF),
            stranger.get(f"{BASE}/{SPRINT}/sprint-risk/", params=AS_OF),
            stranger.get(f"{BASE}/{PROJECT}/project-summary/", params=AS_OF),
        ):
            assert answer.status_code == 403, answer.text
            assert answer.json()["code"] == "Forbidden"
        batch = [{"task": "effort", "request": {"project": PROJECT, "title": "Fix it"}}]
        (one,) = stranger.post("/v1/agile/predict", json={"requests": batch}, params=AS_OF).json()["predictions"]
        assert one["code"] == "Forbidden"


@pytest.mark.row("A14")
def test_anomalies_are_put_on_record_and_resolved(client: httpx.Client) -> None:
    found = client.post("/v1/agile/anomalies/detect", json={"project": PROJECT}).json()
    assert found
    assert {each["subject"] for each in found} == {PROJECT}
    again = client.post("/v1/agile/anomalies/detect", json={"project": PROJECT}).json()
    assert [each["anomaly_id"] for each in again] == [each["anomaly_id"] for each in found]
    listed = client.get("/v1/agile/anomalies/findings", params={"subject": PROJECT}).json()
    assert listed == again
