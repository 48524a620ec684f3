"""Replays over HTTP: done in a process of the pool, for people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tests.web.conftest import Running

from foretell.domains.traffic.sample import END

PATH, LATEST = "/v1/traffic/load/replay", {"as_of": "latest"}


def test_a_replay_is_answered_with_every_policy_and_the_one_line(
    server: Running, token: Callable[..., str], tenant: str
) -> None:
    start = END - timedelta(days=10)
    body = {"method": "weekly_naive", "start": start.isoformat(), "request": {"capacity_per_pod": 20}}
    with server.client(token(tenant, "user")) as client:
        answer = client.post(PATH, json=body, params=LATEST)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["assumed"]["capacity_per_pod"] == 20
    assert told["chosen"] in told["line"]
    assert {part for policy in told["policies"] for part in policy["figures"]} == {"earlier", "later", "whole"}


def test_a_replay_is_not_for_services_and_wrong_fields_are_named(
    server: Running, token: Callable[..., str], tenant: str
) -> None:
    with server.client(token(tenant, "service")) as client:
        assert client.post(PATH, json={}, params=LATEST).status_code == 403
    with server.client(token(tenant, "admin")) as client:
        told = client.post(PATH, json={"request": {"startup_minutes": -1}}, params=LATEST)
        assert told.status_code == 422
        assert told.json()["errors"][0]["field"] == "request.startup_minutes"
        far = client.post(PATH, json={"start": "2031-01-01T00:00:00Z"}, params=LATEST)
        assert (far.status_code, far.json()["code"]) == (422, "InvalidRequest")
