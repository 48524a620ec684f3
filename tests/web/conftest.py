"""A real server, its tenants and who may ask it."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import polars as pl
import pytest

from foretell.app import App
from foretell.app.tokens import Keys, Role, Who
from foretell.domains.traffic.sample import END, ZONE, sample
from foretell.settings import ForetellSettings

PATIENCE = 180.0  # seconds for a server to be ready


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    url: str
    process: subprocess.Popen[str]
    log: Path
    verify: ssl.SSLContext | bool = True  # whom it must prove to be

    def client(self, token: str | None = None) -> httpx.Client:
        """Somebody who asks."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, trust_env=False, verify=self.verify)


@contextmanager
def started(log: Path, *more: str, verify: Any = True, **environment: Any) -> Iterator[Running]:
    """`foretell serve` on a free port; told to end at the end, and killed if it does not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("foretell")), "serve", "--port", str(port), *more]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, text=True, env=os.environ | environment)
        scheme = "https" if "FORETELL_TLS_CERT" in environment else "http"
        running = Running(f"{scheme}://127.0.0.1:{port}", process, log, verify)
        try:
            _wait(running)
            yield running
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def _wait(running: Running) -> None:
    end = time.monotonic() + PATIENCE
    with running.client() as client:
        while time.monotonic() < end:
            if running.process.poll() is not None:
                break
            try:
                if client.get("/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError(f"the server is not ready:\n{running.log.read_text()}")


@pytest.fixture(scope="session")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of one worker, for all tests that do not harm it."""
    with started(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def token(home: Path) -> Callable[..., str]:
    """Makes tokens: `token(tenant, "admin")`."""

    def make(tenant: str, role: Role = "admin", *, user: str = "ayse", days: float = 1.0) -> str:
        return Keys.of(ForetellSettings()).issue(Who(tenant=tenant, user=user, role=role), days=days)

    return make


def ended(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """What became of the job that an answer tells of, when it has ended."""
    assert answer.status_code == 202, answer.text
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        job: dict[str, Any] = client.get(answer.headers["Location"]).json()
        if job["ended_at"]:
            return job
        time.sleep(0.05)
    raise AssertionError(f"the job does not end: {job}")


def rows() -> pl.DataFrame:
    """One service's hours of the sample world, months of them that end at `END`."""
    return sample(1).history["metrics"].filter(pl.col("service") == "donations").drop("entity")


@contextmanager
def tenancy() -> Iterator[App]:
    """A tenant that nobody has used before."""
    with App.open(f"ngo-{uuid4().hex[:8]}", zone=ZONE) as made:
        yield made


@pytest.fixture(scope="session")
def tenant(home: Path) -> Iterator[str]:
    """A tenant with the sample's hours and a trained model, which tests only read."""
    with tenancy() as made:
        made.import_("traffic.metrics", rows())
        made.train("traffic.load", as_of=END - timedelta(days=2), budget=3.0)
        yield made.tenant
