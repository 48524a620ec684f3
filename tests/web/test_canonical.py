"""Our own paths: each verb does over HTTP what it says, in the form that is described, for each tenant alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import polars as pl
import pytest
from tests.web.conftest import Running, ended, rows, tenancy
from tests.web.test_documented import conforms

from foretell.app import App
from foretell.domains.traffic.sample import END

LOAD = "/v1/traffic/load"
LATEST = {"as_of": "latest"}
DONATIONS = {"service": "donations"}
NUMBER = "00000000-0000-0000-0000-000000000000"

Tokens = Callable[..., str]


@pytest.fixture(scope="module")
def enter(server: Running, token: Tokens) -> Callable[..., httpx.Client]:
    """A client of a tenant in a role, each of whose answers is held to its description."""

    def make(tenant: str, role: str = "admin", *, user: str = "ayse") -> httpx.Client:
        client = server.client(token(tenant, role, user=user))
        client.event_hooks["response"] = [conforms]
        return client

    return make


@pytest.fixture
def client(enter: Callable[..., httpx.Client], tenant: str) -> Iterator[httpx.Client]:
    """A user of the tenant whose model is trained."""
    with enter(tenant, "user") as made:
        yield made


def good(told: httpx.Response) -> Any:
    assert told.status_code == 200, told.text
    assert told.headers["content-type"] == "application/json"
    return told.json()


def problem(told: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """A problem as RFC 9457 has it."""
    assert (told.status_code, told.headers["content-type"]) == (status, "application/problem+json"), told.text
    said: dict[str, Any] = told.json()
    assert set(said) == {"type", "title", "status", "code", "detail", "errors"}
    assert (said["type"], said["title"], said["status"], said["code"]) == ("about:blank", code, status, code)
    assert said["detail"]
    return said


def predicted(client: httpx.Client, body: Mapping[str, Any] = DONATIONS, **params: str) -> Any:
    return good(client.post(f"{LOAD}/predict", json=body, params=params or LATEST))


# ---------------------------------------------------------------- predict


def test_the_house_says_what_is_installed(client: httpx.Client, tenant: str) -> None:
    told = good(client.get("/v1"))
    assert told["tenant"] == tenant
    (traffic,) = (each for each in told["domains"] if each["name"] == "traffic")
    assert (traffic["tasks"], traffic["tables"]) == (["traffic.load"], ["traffic.metrics"])


def test_a_prediction_is_the_tasks_own_answer_and_what_it_rests_on(client: httpx.Client) -> None:
    told = predicted(client, {**DONATIONS, "hours": 24, "workload": {"current_replicas": 4, "capacity_per_pod": 50}})
    assert set(told) == {"task", "answer", "foretell"}
    assert told["task"] == "traffic.load"
    answer = told["answer"]
    assert answer["service"] == "donations"
    assert [hour["start"] for hour in answer["hours"][:2]] == ["2024-04-04T21:00:00Z", "2024-04-04T22:00:00Z"]
    assert len(answer["hours"]) == 24
    assert all(0 <= hour["low"] <= hour["expected"] <= hour["high"] for hour in answer["hours"])
    assert answer["scaling"]["requires_approval"] is True
    assert predicted(client)["answer"]["scaling"] is None


def test_the_basis_is_that_of_the_versions_card(client: httpx.Client) -> None:
    basis = predicted(client)["foretell"]
    (version,) = good(client.get(f"{LOAD}/models"))
    card = good(client.get(f"{LOAD}/models/{version['version']}"))
    scores, base = card["scores"][card["candidate"]], card["scores"][card["baseline"]]
    assert (basis["version"], basis["method"]) == (card["version"], card["candidate"])
    assert basis["fallback"] is None
    assert basis["interval"] == {"level": 0.8, "covered": scores["coverage"]}
    assert basis["skill"] == {
        "metric": "pinball", "value": scores["pinball"], "baseline": "weekly_naive",
        "baseline_value": base["pinball"], "scored": card["scored"],
    }  # fmt: skip
    assert UUID(basis["prediction_id"]).version == 4


def test_latest_is_when_the_newest_fact_became_known(client: httpx.Client) -> None:
    basis = predicted(client)["foretell"]
    assert basis["as_of"] == basis["freshness"]["known_at"] == "2024-04-04T21:00:00Z"
    assert basis["freshness"]["age_seconds"] == 0


def test_in_the_past_nothing_is_known_of_later(client: httpx.Client) -> None:
    told = predicted(client, as_of="2024-04-02T10:45:00Z")
    assert told["answer"]["measured_at"] == "2024-04-02T09:00:00Z"
    assert told["answer"]["hours"][0]["start"] == "2024-04-02T11:00:00Z"
    assert told["foretell"]["freshness"] == {"known_at": "2024-04-02T10:00:00Z", "age_seconds": 45 * 60}


def test_the_same_moment_is_the_same_however_it_is_written(client: httpx.Client) -> None:
    there, here = (predicted(client, as_of=at) for at in ("2024-03-02T12:00:00+03:00", "2024-03-02T09:00:00Z"))
    assert there["answer"] == here["answer"]
    assert there["foretell"]["as_of"] == here["foretell"]["as_of"] == "2024-03-02T09:00:00Z"


NO_MOMENTS = ["2024-04-02T10:00:00", "2024-04-02", "2999-01-01T00:00:00Z", "yesterday", "", "x" * 999]


@pytest.mark.parametrize("as_of", NO_MOMENTS)
def test_a_moment_that_is_none_is_refused_everywhere(client: httpx.Client, as_of: str) -> None:
    batch = {"requests": [{"task": "load", "request": DONATIONS}]}
    for told in (
        client.post(f"{LOAD}/predict", json=DONATIONS, params={"as_of": as_of}),
        client.post("/v1/traffic/predict", json=batch, params={"as_of": as_of}),
        client.get("/v1/traffic/facts/metrics", params={"as_of": as_of}),
    ):
        assert "as_of" in problem(told, 422, "InvalidRequest")["detail"]


def test_now_nothing_recent_is_known(client: httpx.Client) -> None:
    told = problem(client.post(f"{LOAD}/predict", json=DONATIONS), 409, "NotReady")
    assert "donations/requests_per_minute" in told["detail"]
    told = problem(client.post(f"{LOAD}/predict", json={"service": "x"}, params=LATEST), 409, "NotReady")
    assert "there is no x/requests_per_minute in traffic.metrics, which has donations/" in told["detail"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"hours": 0}, "hours"), ({"hours": 25}, "hours"), ({"hours": "many"}, "hours"), ({"service": 7}, "service"),
    ({"metric_type": "mood"}, "metric_type"), ({"workload": {"capacity_per_pod": 1}}, "workload.current_replicas"),
    ({"workload": {"current_replicas": 1, "capacity_per_pod": 0}}, "workload.capacity_per_pod"),
]  # fmt: skip


@pytest.mark.row("R13")
@pytest.mark.parametrize(("body", "field"), WRONG, ids=str)
def test_a_wrong_field_is_named(client: httpx.Client, body: dict[str, Any], field: str) -> None:
    told = problem(client.post(f"{LOAD}/predict", json=body), 422, "InvalidRequest")
    assert [error["field"] for error in told["errors"]] == [field]
    assert field in told["detail"]


def test_a_place_that_is_not_there_is_a_problem_too(client: httpx.Client) -> None:
    problem(client.get("/v1/traffic/mood"), 404, "NotFound")
    problem(client.delete(f"{LOAD}/predict"), 405, "MethodNotAllowed")
    told = problem(client.get(f"{LOAD}/models/20240101T000000-00000000"), 404, "NotFound")
    assert "there are 2024" in told["detail"]


# ---------------------------------------------------------------- many at once


def many(client: httpx.Client, *asked: dict[str, Any], task: str = "load") -> list[Any]:
    body = {"requests": [{"task": task, "request": each} for each in asked]}
    found: list[Any] = good(client.post("/v1/traffic/predict", json=body, params=LATEST))["predictions"]
    return found


def test_each_of_a_batch_gets_its_prediction_or_its_own_problem(client: httpx.Client) -> None:
    first, bad, unknown, last = many(client, DONATIONS, {"hours": 99}, {"service": "x"}, {**DONATIONS, "hours": 1})
    alone = predicted(client)
    assert first["answer"] == alone["answer"]
    assert {*first["foretell"]} == {*alone["foretell"]}
    assert len(last["answer"]["hours"]) == 1
    assert (bad["status"], bad["code"], unknown["status"], unknown["code"]) == (422, "InvalidRequest", 409, "NotReady")


@pytest.mark.parametrize("service", ["a\0b", "a\ud800b"], ids=["nul", "half a character"])
def test_what_can_not_be_stored_harms_no_other_of_its_batch(client: httpx.Client, service: str) -> None:
    content = '{"requests": [{"task": "load", "request": {"service": "a\\u%04xb"}}, {"task": "load", "request": %s}]}'
    told = client.post(
        "/v1/traffic/predict", content=content % (ord(service[1]), '{"service": "donations"}'),
        headers={"content-type": "application/json"}, params=LATEST,
    )  # fmt: skip
    bad, fine = good(told)["predictions"]
    assert bad["status"] in (409, 422)
    assert fine["task"] == "traffic.load"


def test_a_batch_has_one_to_a_thousand_requests(client: httpx.Client) -> None:
    assert len(many(client, *[{"hours": 99}] * 1000)) == 1000
    for requests in ([], [{"task": "load", "request": {}}] * 1001):
        told = client.post("/v1/traffic/predict", json={"requests": requests})
        assert [error["field"] for error in problem(told, 422, "InvalidRequest")["errors"]] == ["requests"]


# ---------------------------------------------------------------- the ledger


@pytest.fixture(scope="module")
def fresh(home: Any) -> Iterator[App]:
    """A tenant with facts and without a model."""
    with tenancy() as made:
        made.import_("traffic.metrics", rows().tail(24 * 60))
        yield made


@pytest.fixture
def admin(enter: Callable[..., httpx.Client], fresh: App) -> Iterator[httpx.Client]:
    with enter(fresh.tenant) as made:
        yield made


def ledger(client: httpx.Client, **params: Any) -> list[Any]:
    found: list[Any] = good(client.get(f"{LOAD}/predictions", params=params))
    return found


def test_before_the_first_training_it_says_what_it_falls_back_on(admin: httpx.Client) -> None:
    basis = predicted(admin)["foretell"]
    assert (basis["version"], basis["method"], basis["skill"]) == ("untrained", "weekly_naive", None)
    assert "no model of traffic.load has been trained yet" in basis["fallback"]
    assert basis["interval"] == {"level": 0.8, "covered": None}
    assert good(admin.get(f"{LOAD}/models")) == []


def test_the_same_again_is_cached_until_facts_change(admin: httpx.Client, fresh: App) -> None:
    body, at = {**DONATIONS, "hours": 7}, "2024-04-04T21:00:00Z"
    more = {**body, "workload": {"current_replicas": 4, "capacity_per_pod": 50.0}}
    asked = [predicted(admin, each, as_of=at) for each in (body, body, more)]
    assert [each["foretell"]["cached"] for each in asked] == [False, True, True]
    assert asked[0]["answer"] == asked[1]["answer"]
    assert len({each["foretell"]["prediction_id"] for each in asked}) == 3
    fresh.import_("traffic.metrics", rows().tail(1).with_columns(value=pl.lit(1234.0)))
    again = predicted(admin, body, as_of=at)
    assert again["foretell"]["cached"] is False
    assert again["answer"]["current"] == 1234.0


def test_every_answer_is_in_the_ledger_newest_first(admin: httpx.Client) -> None:
    told = [predicted(admin, {**DONATIONS, "hours": hours}) for hours in (1, 2, 2)]
    found = ledger(admin, limit=3)
    assert [each["prediction_id"] for each in found] == [each["foretell"]["prediction_id"] for each in told[::-1]]
    assert [each["request"]["hours"] for each in found] == [2, 2, 1]
    assert found[0]["answer"]["hours"] == told[-1]["answer"]["hours"]
    assert ledger(admin, limit=2, before=found[0]["predicted_at"]) == found[1:]


def test_a_page_of_the_ledger_has_one_to_a_thousand(admin: httpx.Client) -> None:
    for params in ({"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"before": "2024-01-01T00:00:00"}):
        (error,) = problem(admin.get(f"{LOAD}/predictions", params=params), 422, "InvalidRequest")["errors"]
        assert error["field"] in params


def test_feedback_stands_with_its_prediction(admin: httpx.Client) -> None:
    number = predicted(admin)["foretell"]["prediction_id"]
    for body in ({"outcome": 7.5, "helpful": True}, {"outcome": "calm", "note": "ok"}):
        assert admin.post(f"/v1/predictions/{number}/feedback", json=body).status_code == 204
    first, second = ledger(admin, limit=1)[0]["feedback"]
    assert (first["outcome"], first["helpful"], first["note"], first["given_by"]) == (7.5, True, None, "ayse")
    assert (second["outcome"], second["helpful"], second["note"]) == ("calm", None, "ok")


def test_feedback_on_nothing_and_without_anything_is_refused(admin: httpx.Client) -> None:
    number = predicted(admin)["foretell"]["prediction_id"]
    problem(admin.post(f"/v1/predictions/{number}/feedback", json={}), 422, "InvalidRequest")
    problem(admin.post(f"/v1/predictions/{number}/feedback", json={"helpful": "x"}), 422, "InvalidRequest")
    problem(admin.post("/v1/predictions/7/feedback", json={"helpful": True}), 422, "InvalidRequest")
    problem(admin.post(f"/v1/predictions/{NUMBER}/feedback", json={"helpful": True}), 404, "NotFound")


# ---------------------------------------------------------------- train, promote, pin, roll back


class Story:
    """Three versions of a task, one after the other, as an admin trains them."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.trained = [self.train(k) for k in range(3)]
        self.one, self.two, self.three = (each["version"] for each in self.trained)

    def train(self, k: int) -> Any:
        at = f"{END - timedelta(days=3) + timedelta(hours=k):%Y-%m-%dT%H:%M:%SZ}"
        how = {"budget": 0.1, "days": 40}
        job = ended(self.client, self.client.post(f"{LOAD}/train", json=how, params={"as_of": at}))
        assert (job["state"], job["kind"], job["subject"], job["progress"]) == ("done", "train", "traffic.load", 1.0)
        return job["result"]

    def does(self, deed: str, version: str = "", **body: str) -> str:
        path = f"{LOAD}/models/{version}/{deed}" if version else f"{LOAD}/{deed}"
        told = good(self.client.post(path, json=body or None))
        assert set(told) == {"version"}
        serves: str = told["version"]
        return serves

    def serves(self) -> str:
        """The version that answers."""
        found: str = predicted(self.client)["foretell"]["version"]
        return found

    def versions(self) -> dict[str, Any]:
        return {each["version"]: each for each in good(self.client.get(f"{LOAD}/models"))}


@pytest.fixture(scope="module")
def story(enter: Callable[..., httpx.Client], fresh: App) -> Iterator[Story]:
    with enter(fresh.tenant, user="deniz") as client:
        yield Story(client)


def test_training_says_what_came_of_it(story: Story, fresh: App) -> None:
    told = story.trained[0]
    assert (told["tenant"], told["task"], told["candidate"]) == (fresh.tenant, "traffic.load", "weekly_naive")
    assert told["promoted"] is True
    assert told["reason"]
    assert told["card"] == good(story.client.get(f"{LOAD}/models/{told['version']}"))
    assert told["card"]["facts"]["metrics"]["rows"] == 24 * 40
    assert datetime.now(UTC) - datetime.fromisoformat(told["made_at"]) < timedelta(hours=1)


def test_the_versions_are_listed_newest_first_with_who_let_them_serve(story: Story) -> None:
    listed = story.versions()
    assert [*listed] == [story.three, story.two, story.one]
    assert [each["state"] for each in listed.values()] == ["serving", "kept", "kept"]
    assert {each["deployed_by"] for each in listed.values()} == {"deniz"}
    assert story.serves() == story.three


def test_rolled_back_the_version_before_serves_from_the_next_request_on(story: Story) -> None:
    assert story.does("promote", story.three) == story.three
    assert [story.does("rollback"), story.serves()] == [story.two] * 2
    assert [story.does("rollback"), story.serves()] == [story.one] * 2
    problem(story.client.post(f"{LOAD}/rollback"), 409, "Refused")
    assert story.versions()[story.one]["reason"] == "rolled back by hand"


def test_promoted_a_version_serves_for_the_reason_given(story: Story) -> None:
    assert [story.does("promote", story.two, reason="Ramadan"), story.serves()] == [story.two] * 2
    assert story.versions()[story.two]["reason"] == "Ramadan"
    problem(story.client.post(f"{LOAD}/models/{story.two}x/promote"), 404, "NotFound")


def test_while_one_is_pinned_training_promotes_none(story: Story) -> None:
    assert story.does("pin", story.one) == story.one
    assert story.versions()[story.one]["state"] == "pinned"
    told = story.train(5)
    assert told["promoted"] is False
    assert f"version {story.one} is pinned" in told["reason"]
    assert story.serves() == story.one
    assert story.does("unpin") == story.one
    problem(story.client.post(f"{LOAD}/unpin"), 409, "Refused")
    assert [story.versions()[story.one]["state"], story.serves()] == ["serving", story.one]


def test_a_backtest_shows_every_candidates_errors(admin: httpx.Client) -> None:
    told = good(admin.post(f"{LOAD}/backtest", json={"budget": 0.1}, params=LATEST))
    assert len(told["folds"]) == 3
    assert told["scored"] > 100
    assert told["scores"]["weekly_naive"]["pinball"] > 0
    assert {*told["scores"]} | {*told["skipped"]} >= {"weekly_naive", "pattern_learner", "theta"}


def test_too_little_to_learn_from_is_a_conflict(admin: httpx.Client) -> None:
    job = ended(admin, admin.post(f"{LOAD}/train", json={"days": 3}, params=LATEST))
    assert (job["state"], job["error"], job["result"]) == ("failed", "NotReady", None)
    assert "bring" in job["message"]
    problem(admin.post(f"{LOAD}/backtest", params={"as_of": "2023-01-01T00:00:00Z"}), 409, "NotReady")
    problem(admin.post(f"{LOAD}/train", json={"days": 0}), 422, "InvalidRequest")


# ---------------------------------------------------------------- each tenant alone


def test_nothing_of_another_tenant_can_be_reached(
    enter: Callable[..., httpx.Client], client: httpx.Client, story: Story, tenant: str
) -> None:
    (theirs,) = good(client.get(f"{LOAD}/models"))
    number = predicted(client)["foretell"]["prediction_id"]
    before = ledger(client, limit=1)
    with tenancy() as nobody, enter(nobody.tenant) as stranger:
        for other in (stranger, story.client):
            for deed in ("", "/promote", "/pin"):
                path = f"{LOAD}/models/{theirs['version']}{deed}"
                told = problem(other.request("POST" if deed else "GET", path), 404, "NotFound")
                assert "traffic.load has no version" in told["detail"]
            problem(other.post(f"/v1/predictions/{number}/feedback", json={"note": "mine"}), 404, "NotFound")
            assert number not in {each["prediction_id"] for each in ledger(other)}
        assert (ledger(stranger), good(stranger.get(f"{LOAD}/models"))) == ([], [])
        assert good(stranger.get("/v1/traffic/facts/metrics")) == {"rows": []}
        problem(stranger.post(f"{LOAD}/predict", json=DONATIONS, params=LATEST), 409, "NotReady")
    assert ledger(client, limit=1) == before
    assert good(client.get(f"{LOAD}/models")) == [theirs]


def test_a_field_that_a_request_does_not_have_is_refused(client: httpx.Client) -> None:
    answer = client.post(f"{LOAD}/predict", params={"as_of": "latest"}, json={"service": "donations", "hour": 12})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "hour: there is no such field here"
