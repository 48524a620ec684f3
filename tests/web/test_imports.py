"""Imports over HTTP: listed and taken back by administrators alone, and what a key of a request tells afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.web.conftest import Running, tenancy
from tests.web.test_facts import FIRST, HOUR, as_json, bring, hours, kept, refused, taken

from foretell.app import App

NOWHERE = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def app() -> Iterator[App]:
    """A tenant that nobody has used before."""
    with tenancy() as made:
        yield made


@pytest.fixture
def client(app: App, server: Running, token: Callable[..., str]) -> Iterator[httpx.Client]:
    """An administrator."""
    with server.client(token(app.tenant, "admin", user="ayse")) as asking:
        yield asking


def undo(client: httpx.Client, number: str) -> httpx.Response:
    return client.post(f"/v1/imports/{number}/undo")


@pytest.mark.parametrize("number", [10, 3000])  # in the process that answers, and in one for large bodies
def test_an_import_is_listed_and_taken_back(client: httpx.Client, number: int) -> None:
    first = bring(client, as_json(hours(5))).json()["import_id"]
    wrong = bring(client, as_json([*hours(number, first=FIRST + HOUR), {"time": "someday", "value": 1.0}]))
    assert taken(wrong) == (number - 4, 4, 0, 1)
    listed = client.get("/v1/imports", params={"table": "traffic.metrics"}).json()
    assert [one["import_id"] for one in listed] == [wrong.json()["import_id"], first]
    assert {name: listed[0][name] for name in ("table", "who", "source", "accepted", "revised", "rejected")} == {
        "table": "traffic.metrics", "who": "ayse", "source": "request", "accepted": number - 4, "revised": 4,
        "rejected": 1,
    }  # fmt: skip
    done = undo(client, wrong.json()["import_id"])
    assert done.status_code == 200, done.text
    assert done.json() == {
        "import_id": wrong.json()["import_id"], "table": "traffic.metrics", "removed": number - 4, "restored": 4,
        "stayed": 0, "released": 1,
    }  # fmt: skip
    assert [row["value"] for row in kept(client)] == [row["value"] for row in hours(5)]
    one, other = client.get("/v1/imports").json()
    assert (one["undone_by"], other["undone_by"]) == ("ayse", None)
    assert len(client.get("/v1/imports", params={"limit": 1}).json()) == 1


def test_a_key_does_not_swallow_what_is_brought_again(client: httpx.Client) -> None:
    sent = as_json(hours(10))
    first = bring(client, sent, key="a")
    assert bring(client, sent, key="a").json() == first.json()
    assert taken(bring(client, sent, key="b")) == (0, 0, 10, 0)
    assert undo(client, first.json()["import_id"]).status_code == 200
    assert kept(client) == []
    assert taken(bring(client, sent, key="b")) == (10, 0, 0, 0)
    again = bring(client, sent, key="a")
    assert taken(again) == (0, 0, 10, 0)
    assert again.json()["import_id"] != first.json()["import_id"]


def test_only_an_administrator_may(client: httpx.Client, app: App, server: Running, token: Callable[..., str]) -> None:
    for role in ("service", "user", "operator"):
        with server.client(token(app.tenant, role)) as asking:
            number = bring(asking if role == "service" else client, as_json(hours(3))).json()["import_id"]
            assert "admin" in refused(undo(asking, number), 403, "Forbidden")
            assert "admin" in refused(asking.get("/v1/imports"), 403, "Forbidden")
    assert len(kept(client)) == 3
    assert {one["undone_at"] for one in client.get("/v1/imports").json()} == {None}


def test_another_tenants_administrator_finds_none(
    client: httpx.Client, server: Running, token: Callable[..., str]
) -> None:
    number = bring(client, as_json(hours(3))).json()["import_id"]
    with tenancy() as other, server.client(token(other.tenant, "admin")) as asking:
        assert refused(undo(asking, number), 404, "NotFound") == "nothing was imported yet"
        assert asking.get("/v1/imports").json() == []
    assert len(kept(client)) == 3


def test_what_is_wrong_is_said(client: httpx.Client) -> None:
    number = bring(client, as_json(hours(3))).json()["import_id"]
    for wrong in (NOWHERE, "none", number[:8]):
        assert f"the last are {number} (traffic.metrics, request, " in refused(undo(client, wrong), 404, "NotFound")
    assert undo(client, number).status_code == 200
    assert "taken back already" in refused(undo(client, number), 409, "Refused")
    nowhere = client.get("/v1/imports", params={"table": "traffic.nothing"})
    assert "traffic.metrics" in refused(nowhere, 404, "NotFound")
    assert client.get("/v1/imports", params={"limit": 0}).status_code == 422
