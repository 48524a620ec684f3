"""Is it well, is it ready."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from tests.conftest import reachable
from tests.web.conftest import Running, started

from foretell.stores import launcher
from foretell.stores.server import own_pid

SOON = 5.0  # seconds: far more than the one that a database has, far less than a caller's patience


def test_health_is_open_to_all(server: Running) -> None:
    with server.client() as client:
        told = client.get("/health")
    assert told.status_code == 200
    assert told.json()["status"] == "healthy"


@pytest.mark.row("I1")
def test_health_says_what_runs_in_which_version_and_when(server: Running) -> None:
    with server.client() as client:
        told = client.get("/health").json()
    at = datetime.fromisoformat(told.pop("timestamp"))
    assert told == {"status": "healthy", "service": "foretell", "version": version("foretell")}
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)


def test_a_server_that_takes_requests_is_ready(server: Running) -> None:
    with server.client() as client:
        told = client.get("/ready")
    assert (told.status_code, told.json()) == (200, {"status": "ready"})


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    """A server with a database of its own, in which nobody else is harmed."""
    with reachable() as home:
        try:
            with started(tmp_path_factory.mktemp("lonely") / "log", FORETELL_HOME=str(home)) as running:
                yield running, home
        finally:
            launcher.stop(home)


def processes(home: Path) -> list[int]:
    """The database's processes, the first one first."""
    first = own_pid(home)
    assert first is not None
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(first)], capture_output=True, text=True, check=False)
    return [first, *map(int, told.stdout.split())]


@contextmanager
def hanging(home: Path) -> Iterator[None]:
    """The database takes connections and answers nothing."""
    stopped = processes(home)
    for each in stopped:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in stopped:
            os.kill(each, signal.SIGCONT)


def until(client: httpx.Client, status: int) -> httpx.Response:
    """What health says as soon as it says this."""
    for _ in range(40):
        told = client.get("/health", timeout=SOON)
        if told.status_code == status:
            return told
        time.sleep(0.1)  # what was felt within the last second is said again
    raise AssertionError(f"health says {told.status_code} and not {status}")


@pytest.mark.row("I1")
def test_health_is_unhealthy_while_the_database_hangs_and_well_again_after(lonely: tuple[Running, Path]) -> None:
    running, home = lonely
    with running.client() as client:
        assert client.get("/health", timeout=SOON).status_code == 200
        with hanging(home):
            until(client, 503)
            for _ in range(3):
                told = client.get("/health", timeout=SOON)
                assert told.status_code == 503
                assert told.json()["status"] == "unhealthy"
                assert set(told.json()) == {"status", "service", "version", "timestamp"}
        assert until(client, 200).json()["status"] == "healthy"


def test_health_is_unhealthy_while_there_is_no_database(lonely: tuple[Running, Path]) -> None:
    running, home = lonely
    launcher.stop(home)
    with running.client() as client:
        until(client, 503)
        launcher.start(home)
        assert until(client, 200).json()["status"] == "healthy"
