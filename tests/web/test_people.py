"""A person's rights over HTTP: an administrator sees and erases what is kept of somebody of the tenant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import polars as pl
from tests.web.conftest import Running, tenancy

NAME = "Ana/É 1"


def test_somebody_is_shown_and_erased(server: Running, token: Callable[..., str]) -> None:
    with tenancy() as app:
        rows = {"person": [NAME, "Bob"], "time": [datetime(2025, 1, 1, tzinfo=UTC)] * 2}
        app.import_("realestate.sessions", pl.DataFrame(rows))
        path = f"/v1/realestate/people/{quote(NAME, safe='')}"
        with server.client(token(app.tenant)) as client:
            assert client.post("/v1/realestate/move/predict", json={"person": NAME}).status_code == 200
            told = client.get(path)
            assert told.status_code == 200
            assert [row["person"] for row in told.json()["facts"]["realestate.sessions"]] == [NAME]
            assert len(told.json()["written"]["ml_predictions"]) == 1
            assert client.get(path, params={"kind": "agent"}).json()["facts"] == {}
            assert client.get(path, params={"kind": "cat"}).status_code == 404
            done = client.delete(path)
            assert done.status_code == 200
            assert done.json()["facts"] == {"realestate.sessions": 1}
            assert done.json()["left"] == {}
            for again in (client.get(path), client.delete(path)):
                assert again.status_code == 404
                assert again.json()["detail"] == f"nothing is kept of the person {NAME}"
            assert client.get("/v1/realestate/people/Bob").status_code == 200
        assert app.facts("realestate.sessions")["person"].to_list() == ["Bob"]
