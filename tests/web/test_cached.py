"""The models in memory over HTTP: for administrators, of their own tenant alone, and counted for operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.web.conftest import Running, started, tenancy

CACHE, LOAD = "/v1/models/cache", "traffic.load"
pytestmark = pytest.mark.row("A9")


@pytest.fixture(scope="module")
def fresh(home: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that has answered nobody yet."""
    with started(tmp_path_factory.mktemp("fresh") / "log") as running:
        yield running


def told(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_it_is_looked_at_filled_used_and_emptied(fresh: Running, token: Callable[..., str], tenant: str) -> None:
    figures: dict[str, float] = {}

    def predict() -> None:
        told(client.post("/v1/traffic/load/predict", json={"service": "donations"}, params={"as_of": "latest"}))

    with fresh.client(token(tenant)) as client, fresh.client(token(tenant, "operator")) as operator:
        assert told(client.get(CACHE)) == {"cached": 0, "bytes": 0, "hits": 0, "misses": 0, "hit_rate": None}
        versions = told(client.post(f"{CACHE}/preload", json={"tasks": [LOAD]}))["versions"]
        assert versions == {LOAD: told(client.get(f"/v1/traffic/load/models/{versions[LOAD]}"))["version"]}
        assert told(client.post(f"{CACHE}/preload"))["versions"][LOAD] == versions[LOAD]  # all, and it is there
        predict()
        predict()
        found = told(client.get(CACHE))
        assert found.pop("bytes") > 1000
        assert found == {"cached": 1, "hits": 3, "misses": 1, "hit_rate": 0.75}
        for family in text_string_to_metric_families(operator.get("/metrics").text):
            if family.name.startswith("ml_model_cache"):
                figures |= {each.name: each.value for each in family.samples if not each.name.endswith("_created")}
        assert figures.pop("ml_model_cache_bytes") > 1000
        assert figures == {
            "ml_model_cache_models": 1, "ml_model_cache_hits_total": 3, "ml_model_cache_misses_total": 1
        }  # fmt: skip
        assert told(client.delete(CACHE)) == {"cleared": 1}
        assert told(client.get(CACHE))["cached"] == 0
        predict()
        assert told(client.get(CACHE))["misses"] == 2
        assert "no task" in client.post(f"{CACHE}/preload", json={"tasks": ["traffic.lod"]}).json()["detail"]


def test_another_tenants_administrator_sees_and_clears_nothing_of_it(
    fresh: Running, token: Callable[..., str], tenant: str
) -> None:
    with tenancy() as other, fresh.client(token(tenant)) as mine, fresh.client(token(other.tenant)) as theirs:
        told(mine.post(f"{CACHE}/preload", json={"tasks": [LOAD]}))
        assert told(theirs.get(CACHE))["cached"] == 0
        assert told(theirs.delete(CACHE)) == {"cleared": 0}
        assert told(mine.get(CACHE))["cached"] == 1
