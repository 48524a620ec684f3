"""Many requests that bring their history: all are answered, others are not kept waiting, and memory does not grow."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import timedelta
from itertools import cycle
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.web.conftest import Running, tenancy
from tests.web.test_inventory import DEMAND, FIRST, STOCKOUT, body
from tests.web.test_turns import AS_OF, ASKED, PREDICT

from foretell.app import App
from foretell.models.daily import METHODS
from foretell.web.office import FITS

REQUESTS, AT_ONCE = 100, 10
WARM, MORE = 60, 200  # forecasts until memory is looked at, and then
GROWN = 25_000_000  # bytes; a history or its futures kept by each forecast would be 70 million


@pytest.fixture(scope="module")
def shops(home: Path) -> Iterator[list[App]]:
    """As many tenants as may ask at once."""
    with ExitStack() as opened:
        yield [opened.enter_context(tenancy()) for _ in range(AT_ONCE)]


@pytest.mark.row("I11")
def test_a_hundred_requests_ten_at_once_are_all_answered_and_others_meanwhile(
    server: Running, token: Callable[..., str], tenant: str, shops: list[App]
) -> None:
    clients = [server.client(token(shop.tenant, "service")) for shop in shops]
    paths = {DEMAND: {"horizon_days": 90}, STOCKOUT: {"horizon_days": 90, "current_stock_units": 300}}
    sent = [
        (client, path, body(730, **more))
        for _, client, (path, more) in zip(range(REQUESTS), cycle(clients), cycle(paths.items()), strict=False)
    ]
    with ThreadPoolExecutor(AT_ONCE) as threads, server.client(token(tenant, "user")) as other:
        came = [threads.submit(client.post, path, json=one) for client, path, one in sent]
        meanwhile = 0
        while wait(came, timeout=0.1).not_done:
            assert other.post(PREDICT, params=AS_OF, json=ASKED).status_code == 200
            meanwhile += 1
    for client in clients:
        client.close()
    answers = [each.result() for each in came]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["productId"] for answer in answers} == {one["product_id"] for _, _, one in sent}
    assert meanwhile > REQUESTS / AT_ONCE  # threads that wait for fits would let nobody else in


def test_too_many_of_one_tenant_are_told_to_come_again(
    server: Running, token: Callable[..., str], shops: list[App]
) -> None:
    with server.client(token(shops[0].tenant)) as client, ThreadPoolExecutor(FITS + 6) as threads:
        client.timeout = httpx.Timeout(None)
        sent = body(40)
        answers = [*threads.map(lambda _: client.post(DEMAND, json=sent), range(FITS + 6))]
    late = [answer for answer in answers if answer.status_code != 200]
    assert len(late) <= 6
    assert {answer.status_code for answer in late} <= {503}
    assert all("Retry-After" in answer.headers for answer in late)


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.row("I14")
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_does_not_grow_with_forecasts(home: Path) -> None:
    names = cycle(METHODS)
    with tenancy() as app:

        def ask(k: int) -> None:
            quantity = np.random.default_rng(k).poisson(np.resize([5.0, 6, 7, 8, 9, 12, 3], 120))
            history = [{"date": FIRST + timedelta(days=d), "quantity": float(q)} for d, q in enumerate(quantity)]
            asked = {"product": f"it {k}", "history": history, "current_stock_units": 300, "method": next(names)}
            assert app.predict("inventory.stockout", asked).own_facts

        for k in range(WARM):
            ask(k)
        gc.collect()
        before = resident()
        for k in range(MORE):
            ask(WARM + k)
        gc.collect()
        assert resident() - before < GROWN
