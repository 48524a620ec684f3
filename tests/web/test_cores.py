"""A server's threads keep to one core, which no other server of the machine takes; its other processes use all."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from tests.web.conftest import PATIENCE
from tests.web.test_kill import alive, children, command

from foretell.app import cores
from foretell.cli.jobs import beside
from foretell.settings import ForetellSettings
from foretell.web.server import create

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux lets a process choose")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims that no server of another test sees."""
    monkeypatch.setattr(cores, "CLAIM", f"\0foretell-test-{uuid4().hex}-{{}}")


def kept() -> frozenset[int]:
    """The cores of this process's threads that run Python, of which they all have the same."""
    (found,) = {frozenset(os.sched_getaffinity(each.native_id or 0)) for each in threading.enumerate()}
    return found


@contextmanager
def free(*may: int) -> Iterator[None]:
    """This process may use these cores alone."""
    before = cores.allowed()
    cores.keep_to(frozenset(may))
    try:
        yield
    finally:
        cores.keep_to(before)


def test_every_core_is_claimed_once_and_free_again_when_its_claim_ends() -> None:
    with ExitStack() as held:
        claimed = {}
        for _ in range(3):
            found = cores._claimed(frozenset({0, 1, 2}))
            assert found is not None
            claimed[found[0]] = held.enter_context(found[1])
        assert {*claimed} == {0, 1, 2}
        assert cores._claimed(frozenset({0, 1, 2})) is None
        claimed[1].close()
        again = cores._claimed(frozenset({0, 1, 2}))
        assert again is not None
        assert held.enter_context(again[1])
        assert again[0] == 1


@pytest.mark.parametrize(
    ("told", "count"), [("max 100000", 2), ("400000 100000", 2), ("150000 100000", 1), ("50000 100000", 1)]
)
def test_no_more_computing_is_counted_on_than_a_container_may_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str, count: int
) -> None:
    monkeypatch.setattr(cores, "SHARE", tmp_path / "cpu.max")
    with free(0, 1):
        assert cores.count() == 2
        (tmp_path / "cpu.max").write_text(f"{told}\n")
        assert cores.count() == count


def test_a_claim_ends_with_its_process() -> None:
    script = (
        f"from foretell.app import cores; import os; cores.CLAIM = {cores.CLAIM!r};"
        " claimed = cores._claimed(frozenset({0})); again = cores._claimed(frozenset({0}));"
        " os._exit(0 if claimed and not again else 1)"  # nothing is closed
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    found = cores._claimed(frozenset({0}))
    assert found is not None
    found[1].close()


def test_threads_keep_to_one_core_until_the_end_and_so_do_those_started_meanwhile() -> None:
    before = cores.allowed()
    told: list[frozenset[int]] = []
    with cores.one() as core:
        thread = threading.Thread(target=lambda: told.append(cores.allowed()))
        thread.start()
        thread.join()
        assert told == [kept()]
        assert kept() == (before if core is None else {core})
        assert (core is None) == (len(before) == 1)
    assert kept() == before


def test_who_has_one_core_alone_claims_none() -> None:
    with free(min(cores.allowed())), cores.one() as core:
        assert core is None
        found = cores._claimed(cores.allowed())
        assert found is not None
        found[1].close()


def test_a_server_keeps_to_one_core_and_its_processes_for_heavy_work_do_not(home: Path) -> None:
    before = cores.allowed()

    async def live() -> None:
        app = create()
        async with app.router.lifespan_context(app):
            office, end = app.state.office, time.monotonic() + PATIENCE
            while not office.warmed():
                assert time.monotonic() < end
                await asyncio.sleep(0.1)
            assert len(kept()) == 1
            pools = [each for each in children(os.getpid()) if "spawn_main" in command(each)]
            assert len(pools) >= 2
            assert all(os.sched_getaffinity(each) == before for each in pools)
            again = office.heavy.pool._fresh()  # in the place of a dead one, by who keeps to the core
            assert await asyncio.wrap_future(again.submit(cores.allowed)) == before
            again.shutdown()

    asyncio.run(live())
    assert kept() == before


def test_a_worker_beside_a_server_uses_every_core_though_its_starter_does_not(home: Path) -> None:
    before = cores.allowed()
    with beside(ForetellSettings()):
        first = _worker()
        with free(min(before)):
            os.kill(first, signal.SIGKILL)
            end = time.monotonic() + PATIENCE
            while (second := _worker()) == first or os.sched_getaffinity(second) != before:
                assert time.monotonic() < end
                time.sleep(0.1)


def _worker() -> int:
    """The number of the process that works beside this one, when it is there."""
    end = time.monotonic() + PATIENCE
    while not (there := [each for each in children(os.getpid()) if "spawn_main" in command(each) and alive(each)]):
        assert time.monotonic() < end
        time.sleep(0.1)
    return max(there)
