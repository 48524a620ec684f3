"""`foretell serve` as it is run: in a folder of its own, with tenants of the packaged series, asked over HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.child import RACE
from bench.data import APPSERVER, HOUR, packaged, racing, stood
from bench.load import Plan

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [str(Path(sys.executable).with_name("foretell"))]
TASK = "traffic.load"
PATH = "/v1/traffic/load"
ASKED = {"service": APPSERVER.name, "workload": {"current_replicas": 8, "capacity_per_pod": 90_000}}
DAYS = 400  # of facts that a tenant has
PATIENCE = 180.0  # seconds for a start, a training, an end


@dataclass(frozen=True)
class Place:
    """A home folder, and what the programs that use it are told."""

    folder: Path
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        """What the programs are told."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FORETELL_")}
        return kept | {"FORETELL_HOME": str(self.folder / "home"), "FORETELL_SECRET": self.secret}

    def token(self, tenant: str, role: str = "admin") -> str:
        """A token as another program would issue it, good for an hour."""
        claims = {"sub": "bench", "tenant": tenant, "role": role, "iss": "foretell", "aud": "foretell"}
        parts: list[dict[str, Any]] = [{"alg": "HS256", "typ": "JWT"}, {**claims, "exp": int(time.time()) + 3600}]
        said = ".".join(_b64(json.dumps(part).encode()) for part in parts)
        return f"{said}.{_b64(hmac.digest(self.secret.encode(), said.encode(), hashlib.sha256))}"

    def tenants(self, *names: str, later: int = DAYS) -> str:
        """Add tenants with a model each; those after the first have so many days of the packaged series.

        When its newest row became known is returned.
        """
        newest: str = self.child("tenants", str(later), *names)[0]["newest"]
        return newest

    def child(self, *arguments: str, module: str = "bench.service") -> list[dict[str, Any]]:
        """What a child of a module prints."""
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
        told: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
        return told


def _b64(some: bytes) -> str:
    return base64.urlsafe_b64encode(some).rstrip(b"=").decode()


@contextmanager
def place() -> Iterator[Place]:
    """A folder of our own, which root's PostgreSQL reaches too; its server is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="foretell-bench-", dir="/tmp"))
    folder.chmod(0o755)
    here = Place(folder, secrets.token_hex(32))
    try:
        yield here
    finally:
        subprocess.run([*COMMAND, "stop"], env=here.environment, capture_output=True, check=True)
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    port: int
    pid: int
    here: Place

    def plan(self, *tenants: str, **more: Any) -> Plan:
        """What to ask of tenants in turn: as of the newest fact, or with `moment` as of another one each."""
        as_of = "{moment}" if "moment" in more else "latest"
        tokens = [self.here.token(tenant, "service") for tenant in tenants]
        return Plan(port=self.port, path=f"{PATH}/predict?as_of={as_of}", body=json.dumps(ASKED), tokens=tokens, **more)

    def ask(self, tenant: str, path: str, body: Any = None, *, method: str = "POST") -> Any:
        """An answer; raises RuntimeError for one that is neither 200 nor 202."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            return said(connection, self.here.token(tenant), path, body, method=method)
        finally:
            connection.close()

    def train(self, tenant: str, body: Any, *, path: str = PATH) -> Any:
        """What came of a training, when it is done; raises RuntimeError for one that failed."""
        job = self.ask(tenant, f"{path}/train?as_of=latest", body)
        while not job["ended_at"]:
            time.sleep(0.1)
            job = self.ask(tenant, f"/v1/jobs/{job['job_id']}", method="GET")
        if job["state"] != "done":
            raise RuntimeError(f"the training of {tenant} {job['state']}: {job['message']}")
        return job["result"]


def said(
    connection: http.client.HTTPConnection, token: str, path: str, body: Any = None, *, method: str = "POST"
) -> Any:
    """The answer to a request on an open connection; raises RuntimeError for one that is neither 200 nor 202."""
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), head)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status not in (200, 202):
        raise RuntimeError(f"{method} {path}: {answer.status}: {text[:500]}")
    return json.loads(text)


@contextmanager
def served(here: Place, *more: str, workers: int = 1) -> Iterator[Served]:
    """`foretell serve` until the block ends."""
    port = free_port()
    command = [*COMMAND, "serve", "--port", str(port), "--workers", str(workers), *more]
    with program(command, here.folder / "serve.log", here.environment) as process:
        ready(process, port, "/ready", here.folder / "serve.log")
        yield Served(port, process.pid, here)


@contextmanager
def program(command: Sequence[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the block ends; what it says goes into `log`."""
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            print(f"{command[0]} had to be killed: it was asked to end {PATIENCE:g} s before")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def ready(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    """Wait until a path answers 200; raises RuntimeError, with what the program said, where it doesn't."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        connection.close()
        time.sleep(0.05)
    raise RuntimeError(f"no server on port {port}; it said: {log.read_text(errors='replace')[-3000:]}")


# ---------------------------------------------------------------- processes, on Linux


def worker(server: Served, connection: http.client.HTTPConnection) -> int | None:
    """The process that took a connection; None where the system does not say so (it is asked by /proc)."""
    ours = connection.sock.getsockname()[1]
    with suppress(OSError):
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ports = {f"{server.port:04X} {ours:04X}"}
        inode = {x[9] for x in lines if f"{x[1].partition(':')[2]} {x[2].partition(':')[2]}" in ports}
        owners = [pid for pid in family(server.pid) if inode & {*_sockets(pid)}]
        return min(owners, default=None)  # a child may hold what it was born with
    return None


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _sockets(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            target = str(link.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]


def memory(pid: int) -> dict[str, float]:
    """Resident memory of a process in MB (a million bytes): now, its share where pages are shared, and the most."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    share = next(line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    sizes = {"rss": status["VmRSS"], "pss": share.partition(":")[2], "most": status["VmHWM"]}
    return {name: int(size.split()[0]) * 1024 / 1e6 for name, size in sizes.items()}


# ---------------------------------------------------------------- children


def tenants(later: str, *names: str) -> list[dict[str, Any]]:
    """Tenants with the end of the packaged series; what the first one trained serves all of them, a file each."""
    from foretell.app import App

    whole, wanted = packaged(), ["time", "value", "service", "known_at"]
    told: list[dict[str, Any]] = []
    with ExitStack() as copied:
        for name in names:
            with App.open(name, zone=APPSERVER.zone) as app:
                rows = stood(whole, days=int(later) if told else DAYS)["metrics"].select(wanted)
                app.import_("traffic.metrics", rows, interval=HOUR)
                domain = app.house.domains["traffic"]
                app.house.domains = {"traffic": replace(domain, tasks=(racing(*RACE),))}
                trained, _ = app.train(TASK, as_of="latest", days=90)
                if trained.model.card.candidate != RACE[-1]:
                    raise SystemExit(f"{trained.model.card.candidate} won the race, not {RACE[-1]}")
                newest = app.history(TASK, "latest").now
            told.append({"tenant": name, "newest": f"{newest:%Y-%m-%dT%H:%M:%SZ}"})
            if name == names[0]:
                copied.enter_context(patch("foretell.app.train", return_value=trained))
                copied.enter_context(patch("foretell.app.shelf.try_in_child", return_value=None))
    return told


def trees(tenant: str, folder: str) -> list[dict[str, Any]]:
    """The champion's boosters as LightGBM's text, for another server to serve them."""
    from foretell.app import App

    with App.open(tenant) as app:
        champion = app.champion(TASK)
        learner = getattr(champion and champion.forecaster, "learner", None)
        if learner is None:
            raise SystemExit(f"the champion has no boosters: {champion and champion.card.candidate}")
        learner.save(Path(folder))
    return [{"columns": learner.columns, "trees": len(learner.boosters), "rounds": learner.rounds}]


if __name__ == "__main__":
    children: dict[str, Callable[..., list[dict[str, Any]]]] = {"tenants": tenants, "trees": trees}
    print(json.dumps(children[sys.argv[1]](*sys.argv[2:])))
