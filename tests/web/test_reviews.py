"""The weekly review and parity over HTTP: who may see them, and that they are what the verbs say."""

from __future__ import annotations

from collections.abc import Callable

from tests.realestate.test_reviews import plant
from tests.realestate.test_vectors import TASK, bring
from tests.web.conftest import Running, tenancy

from foretell.app.refreshing import refresh

PARITY = "/v1/realestate/move/parity"


def test_review_and_parity_are_what_the_verbs_say(server: Running, token: Callable[..., str]) -> None:
    with tenancy() as app:
        bring(app)
        plant(app)
        refresh(app.desk, app.desk.task(TASK))
        with server.client(token(app.tenant, "user")) as client:
            told = client.get("/v1/review", params={"days": 3})
            assert told.status_code == 200
            assert told.json() | {"since": ""} == app.reviews.show(days=3).model_dump(mode="json") | {"since": ""}
            assert len(told.json()["features"]) > 80
            assert client.get("/v1/review", params={"days": 0}).status_code == 422
            assert client.get(PARITY, params={"by": "area"}).status_code == 403
        with server.client(token(app.tenant)) as client:
            found = client.get(PARITY, params={"by": "area"})
            assert found.status_code == 200, found.text
            assert found.json() == app.reviews.parity(TASK, by="area").model_dump(mode="json")
            assert {one["value"]: one["flagged"] for one in found.json()["groups"]} == {
                "loud": True, "quiet": True, "few": None,
            }  # fmt: skip
            assert client.get(PARITY).status_code == 422
            assert client.get(PARITY, params={"by": "street"}).status_code == 404
