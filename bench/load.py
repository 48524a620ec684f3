"""A load generator: `python -m bench.load` reads plans as lines of JSON, and prints the figures of each as one.

Open loop (`rate`): request k is due k / rate seconds after the start, whether or not those before it are answered, and
its latency counts from then on: what a stalled server keeps waiting is counted too. Closed loop (no `rate`): each
connection asks again as soon as it is answered. It waits by `select`, which keeps time to some microseconds.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.child import yardstick

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 10.0  # seconds without any answer, after which a run is given up


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to ask, how often, for how long; a `{moment}` in the path is another one in each request.

    So is a `{whom}` in the body: one of so many `people` after the other. `more` is asked in turn with the request.
    """

    port: int
    path: str
    body: str
    seconds: float
    method: str = "POST"
    more: Sequence[Sequence[str]] = ()  # method, path and body of each
    rate: float | None = None
    connections: int = 16
    tokens: Sequence[str] = ()  # in turn
    moment: str = "2000-01-01T00:00:00Z"  # of the first request
    step: float = -7.0  # minutes from one request's to the next's
    people: int = 1
    count: int | None = None  # of requests without a rate; else as many as there can be in the time

    def request(self, place: int) -> bytes:
        """The bytes of a request."""
        moment = datetime.fromisoformat(self.moment) + timedelta(minutes=self.step * place)
        turn = place % (1 + len(self.more))
        method, path, sent = self.more[turn - 1] if turn else (self.method, self.path, self.body)
        body = sent.replace("{whom}", f"{place % self.people:07}").encode()
        head = [
            f"{method} {path.replace('{moment}', f'{moment:%Y-%m-%dT%H:%M:%SZ}')} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *([f"Authorization: Bearer {self.tokens[place % len(self.tokens)]}"] if self.tokens else []),
        ]
        return "\r\n".join([*head, "", ""]).encode() + body

    def later(self, requests: int) -> Plan:
        """The same, from the moment on that comes after so many requests."""
        moment = datetime.fromisoformat(self.moment) + timedelta(minutes=self.step * requests)
        return replace(self, moment=moment.isoformat())


class _Line:
    """A connection that is kept open; one request at a time."""

    def __init__(self, port: int) -> None:
        self.port, self.due, self.sent, self.told = port, 0.0, 0.0, bytearray()
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        return self.socket.fileno()

    def ask(self, request: bytes, due: float) -> None:
        if select.select([self], [], [], 0)[0]:  # nothing was asked: the server hung up
            self.socket.close()
            self._connect()
        self.due, self.sent = due, time.perf_counter()
        self.socket.sendall(request)

    def answer(self) -> tuple[int, bytes] | None:
        """Status and body, once all of it is there; status 0 where the server hung up instead."""
        try:
            some = self.socket.recv(1 << 16)
        except OSError:
            some = b""
        self.told += some
        head, found, body = self.told.partition(b"\r\n\r\n")
        if not some:
            return 0, b"the server hung up"
        if not found:
            return None
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) < int(length.split(b":")[1]):
            return None
        self.told = bytearray()
        return int(head.split(b" ", 2)[1]), bytes(body)


def run(plan: Plan) -> dict[str, Any]:
    """Do what is planned."""
    requests = [plan.request(k) for k in range(plan.count or int((plan.rate or 2000) * plan.seconds))]
    idle = deque(_Line(plan.port) for _ in range(plan.connections))
    busy: list[_Line] = []
    answers: list[tuple[int, bytes]] = []
    took: list[float] = []
    late: list[float] = []
    start = time.perf_counter() + 0.05
    asked = 0
    while True:
        now = time.perf_counter()
        over = asked == len(requests) or (not plan.rate and not plan.count and now > start + plan.seconds)
        due = start + asked / plan.rate if plan.rate else max(now, start)
        if idle and not over and due <= now:
            line = idle.popleft()
            line.ask(requests[asked], due)
            busy.append(line)
            late.append(1000 * (line.sent - due))
            asked += 1
            continue
        if over and not busy:
            break
        for line in _ready(busy, due - now if idle and not over else PATIENCE):
            said = line.answer()
            if said:
                took.append(1000 * (time.perf_counter() - line.due))
                answers.append(said)
                busy.remove(line)
                idle.append(line)
    return {
        **_times(took), "per_second": len(took) / (time.perf_counter() - start), "asked": asked,
        "late": sorted(late)[len(late) * 99 // 100], **_said(answers),
    }  # fmt: skip


def _ready(busy: Sequence[_Line], patience: float) -> list[_Line]:
    """Lines on which something came; none, if somebody is to be asked before."""
    ready = select.select(busy, [], [], min(max(0.0, patience), PATIENCE))[0]
    if busy and not ready and patience >= PATIENCE:
        raise TimeoutError(f"{len(busy)} requests have had no answer for {PATIENCE:g} s")
    return ready


def _times(took: Sequence[float]) -> dict[str, float]:
    took = sorted(took)
    at = {f"p{share}": took[len(took) * share // 100] for share in (50, 95, 99)}
    return {**at, "max": took[-1], "count": len(took)}


def _said(answers: Sequence[tuple[int, bytes]]) -> dict[str, Any]:
    """How many were refused (and how), and how many came from a forecast that was kept."""
    wrong = [(status, body) for status, body in answers if status != 200]
    right = [json.loads(body) for status, body in answers if status == 200]
    ours = [one["foretell"]["cached"] for one in right if "cached" in one.get("foretell", {})]
    first = f"{wrong[0][0]}: {wrong[0][1][:300].decode(errors='replace')}" if wrong else None
    return {"wrong": len(wrong), "first_wrong": first, "cached": sum(ours), "fresh": len(ours) - sum(ours)}


class Generator:
    """The generator in a process of its own, which stays: it has its imports behind it when a run begins."""

    def __init__(self) -> None:
        self.asked = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin and self.process.stdin.close()
        self.process.wait(timeout=60)

    def run(self, plan: Plan) -> dict[str, Any]:
        """The figures of a plan, at moments not asked before.

        Raises RuntimeError where a request was refused or the run broke off.
        """
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(asdict(plan.later(self.asked))) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator broke off; see above")
        told: dict[str, Any] = json.loads(line)
        self.asked += told["asked"]
        if told["wrong"]:
            raise RuntimeError(f"{told['wrong']} of {told['asked']} requests were refused, first {told['first_wrong']}")
        return told


def main() -> None:
    gc.disable()
    for line in sys.stdin:
        before = yardstick()
        told = run(Plan(**json.loads(line)))
        print(json.dumps({**told, "yardstick": (before + yardstick()) / 2}), flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
