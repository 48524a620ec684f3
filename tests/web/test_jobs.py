"""Jobs and schedules over HTTP: a job is told of at once, looked at while it runs, and its end is its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.web.conftest import Running, ended, rows, tenancy

from foretell.app import App
from foretell.domains.traffic.sample import END

TRAIN = "/v1/traffic/load/train"
AS_OF = {"as_of": END.isoformat()}


@pytest.fixture(scope="module")
def app(home: str) -> Iterator[App]:
    with tenancy() as made:
        made.import_("traffic.metrics", rows())
        yield made


@pytest.fixture
def client(server: Running, app: App, token: Callable[..., str]) -> Iterator[httpx.Client]:
    with server.client(token(app.tenant)) as made:
        yield made


def problem(answer: httpx.Response, status: int, code: str) -> str:
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, code), answer.text
    return str(told["detail"])


def test_a_training_is_a_job_that_can_be_looked_at_until_its_end(client: httpx.Client, app: App) -> None:
    put = client.post(TRAIN, params=AS_OF, json={"budget": 0.5}, headers={"Idempotency-Key": "one"})
    told = put.json()
    assert (told["state"], told["kind"], told["subject"], told["asked_by"]) == (
        "waiting", "train", "traffic.load", "ayse"
    )  # fmt: skip
    assert put.headers["location"] == f"/v1/jobs/{told['job_id']}"
    again = client.post(TRAIN, params=AS_OF, json={"budget": 0.5}, headers={"Idempotency-Key": "one"})
    assert again.json()["job_id"] == told["job_id"]
    done = ended(client, put)
    assert (done["state"], done["error"], done["attempts"]) == ("done", None, 1)
    assert [each.version for each in app.models.list("traffic.load")] == [done["result"]["version"]]
    assert client.get("/v1/jobs", params={"state": "done"}).json()[0] == done
    assert client.get("/v1/jobs", params={"state": "failed"}).json() == []
    assert client.get("/v1/jobs", params={"before": done["created_at"]}).json() == []


def test_other_kinds_are_started_by_name(client: httpx.Client) -> None:
    done = ended(client, client.post("/v1/jobs", json={"kind": "retrain", "told": {"task": "traffic.load"}}))
    assert done["state"] == "done"
    assert {*done["result"]["decision"]} == {"train", "reason", "worse", "numbers"}
    assert "there are train, retrain" in problem(client.post("/v1/jobs", json={"kind": "dance"}), 404, "NotFound")
    assert "task: Field required" in problem(client.post("/v1/jobs", json={"kind": "train"}), 422, "InvalidRequest")
    problem(client.post(f"/v1/jobs/{done['job_id']}/cancel"), 409, "Refused")
    problem(client.get("/v1/jobs/00000000-0000-0000-0000-000000000000"), 404, "NotFound")


@pytest.mark.row("T9")
def test_the_documented_training_waits_and_answers_or_says_what_is_wrong(client: httpx.Client, app: App) -> None:
    told = client.post("/api/ml/train", params=AS_OF, json={"days_history": 60})
    assert told.status_code == 200, told.text
    newest = client.get("/v1/jobs").json()[0]
    assert (newest["kind"], newest["state"]) == ("train", "done")
    assert newest["result"]["version"] == told.json()["foretell"]["version"]
    short = client.post("/api/ml/train", params={"as_of": "2023-01-01T00:00:00Z"}, json={"days_history": 60})
    assert short.status_code == 400
    assert client.get("/v1/jobs").json()[0]["error"] == "NotReady"


def test_the_schedule_is_shown_and_changed(client: httpx.Client) -> None:
    there: list[dict[str, Any]] = client.get("/v1/schedule").json()
    names = {each["name"] for each in there}
    assert {"clean", "retrain:traffic.load", "detect:agile.anomalies"} <= names
    told = client.patch("/v1/schedule/retrain:traffic.load", json={"cron": "0 5 * * 2"}).json()
    assert (told["cron"], told["default"], told["enabled"]) == ("0 5 * * 2", "0 2 * * 1", True)
    off = client.patch("/v1/schedule/clean", json={"enabled": False}).json()
    assert (off["enabled"], off["next_due"]) == (False, None)
    problem(client.patch("/v1/schedule/clean", json={"cron": "soon"}), 422, "InvalidRequest")
    problem(client.patch("/v1/schedule/lunch", json={"enabled": True}), 404, "NotFound")
    problem(client.patch("/v1/schedule/clean", json={}), 422, "InvalidRequest")
