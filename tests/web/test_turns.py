"""Turns: a tenant that asks for too much waits for itself, and others are answered."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Any

import httpx
import pytest
from tests.web.conftest import PATIENCE, Running, rows, tenancy

from foretell.app import App
from foretell.domains.traffic.sample import END
from foretell.web.office import HEAVY

PREDICT, BACKTEST = (f"/v1/traffic/load/{verb}" for verb in ("predict", "backtest"))
MANY = "/v1/traffic/predict"
AS_OF = {"as_of": END.isoformat()}
ASKED = {"service": "donations"}
FLOOD = 40


class Order:
    """Who was answered, in order."""

    def __init__(self) -> None:
        self._lock, self.names = Lock(), list[str]()

    def ask(self, name: str, client: httpx.Client, path: str, body: Any) -> httpx.Response:
        """Ask, and note whose answer came."""
        answer = client.post(path, params=AS_OF, json=body)
        with self._lock:
            self.names.append(name)
        return answer


@pytest.fixture
def order() -> Order:
    return Order()


@pytest.fixture
def other() -> Iterator[App]:
    """A tenant with a month of hours that nobody else asks for."""
    with tenancy() as made:
        made.import_("traffic.metrics", rows().tail(24 * 28))
        yield made


def slow(number: int) -> dict[str, Any]:
    """A batch that takes its time: each request decides anew."""
    workloads = ({"current_replicas": 10, "capacity_per_pod": 1.0 + number + k} for k in range(150))
    asked = ({**ASKED, "hours": 24, "workload": workload} for workload in workloads)
    return {"requests": [{"task": "load", "request": each} for each in asked]}


def test_a_tenant_that_floods_does_not_keep_another_waiting(
    server: Running, token: Callable[..., str], tenant: str, other: App, order: Order
) -> None:
    with (
        ThreadPoolExecutor(FLOOD) as threads,
        server.client(token(tenant)) as flooding,
        server.client(token(other.tenant, "user")) as client,
    ):
        assert client.post(PREDICT, params=AS_OF, json=ASKED).status_code == 200
        flood = [threads.submit(order.ask, "flood", flooding, MANY, slow(k)) for k in range(FLOOD)]
        while not order.names:
            wait(flood, timeout=0.01)
        for _ in range(5):
            assert order.ask("other", client, PREDICT, ASKED).status_code == 200
        assert {each.result().status_code for each in flood} == {200}
    before_the_last = order.names[: len(order.names) - 1 - order.names[::-1].index("other")]
    assert before_the_last.count("flood") < FLOOD // 2, order.names


def test_a_tenant_that_trains_does_not_keep_another_waiting(
    server: Running, token: Callable[..., str], other: App, tenant: str, order: Order
) -> None:
    with (
        ThreadPoolExecutor(8) as threads,
        server.client(token(other.tenant)) as training,
        server.client(token(tenant)) as client,
    ):
        flood = [threads.submit(order.ask, "flood", training, BACKTEST, {"budget": 3.0}) for _ in range(8)]
        while not order.names:
            assert order.ask("other", client, PREDICT, ASKED).status_code == 200
        for _ in range(3):
            assert order.ask("other", client, PREDICT, ASKED).status_code == 200
        assert {each.result().status_code for each in flood} == {200}
    assert order.names[-1] == "flood"


def test_another_tenants_backtest_is_not_the_last(
    server: Running, token: Callable[..., str], other: App, order: Order
) -> None:
    with (
        tenancy() as third,
        ThreadPoolExecutor(13) as threads,
        server.client(token(other.tenant)) as flooding,
        server.client(token(third.tenant)) as client,
    ):
        third.import_("traffic.metrics", rows().tail(24 * 28))
        flood = [threads.submit(order.ask, "flood", flooding, BACKTEST, {"budget": 3.0}) for _ in range(12)]
        while not order.names:
            wait(flood, timeout=0.01)
        assert order.ask("other", client, BACKTEST, {"budget": 0.01}).status_code == 200
        assert {each.result().status_code for each in flood} == {200}
    assert order.names.index("other") < 10, order.names


def test_too_many_backtests_at_once_are_told_to_come_again(
    server: Running, token: Callable[..., str], other: App, order: Order
) -> None:
    paths = [BACKTEST] * (HEAVY + 4)
    with ThreadPoolExecutor(len(paths)) as threads, server.client(token(other.tenant)) as client:
        asked: list[tuple[str, Future[httpx.Response]]] = [
            (path, threads.submit(order.ask, path, client, path, {"budget": 0.5})) for path in paths
        ]
        answers = [(path, answer.result()) for path, answer in asked]
        statuses = Counter(answer.status_code for _, answer in answers)
        assert statuses.keys() == {200, 503}
        assert statuses[503] <= 4
        for _, answer in answers:
            if answer.status_code == 503:
                assert answer.json()["code"] == "Unavailable"
                assert int(answer.headers["Retry-After"]) > 0
        assert client.post(BACKTEST, params=AS_OF, json={"budget": 0.01}).status_code == 200


def test_who_went_away_leaves_the_place_to_others(
    server: Running, token: Callable[..., str], other: App
) -> None:  # fmt: skip
    admin = token(other.tenant)

    def leave(_: int) -> str:
        with server.client(admin) as client, pytest.raises(httpx.ReadTimeout) as left:
            client.post(BACKTEST, params=AS_OF, json={"budget": 1.0}, timeout=httpx.Timeout(PATIENCE, read=0.1))
        return str(left.type)

    with ThreadPoolExecutor(HEAVY) as threads:
        assert len([*threads.map(leave, range(HEAVY))]) == HEAVY
    end = time.monotonic() + PATIENCE
    with server.client(admin) as client:
        while (answer := client.post(BACKTEST, params=AS_OF, json={"budget": 0.01})).status_code != 200:
            assert answer.status_code == 503
            assert time.monotonic() < end, "the places are never free again"
            time.sleep(0.2)
