"""Forecasts of histories that come with the request: how fast one is, many at once, and what they leave in memory."""

from __future__ import annotations

import gc
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from bench.child import yardstick
from bench.data import MissingError
from bench.load import Generator
from bench.report import goal, met, number, ranged, spread, table
from bench.service import ROOT, Served, family, memory, place, said, served

DEMAND, STOCKOUT, OURS = "/forecast/demand", "/predict/stockout", "/v1/inventory/demand/predict"
DAYS, HORIZON, LAST = 730, 90, date(2025, 12, 31)
ONE_BY_ONE = 40  # requests of each kind
REQUESTS, AT_ONCE, RATE = 100, 10, 50.0
FORECASTS, SETTLED, STEP = 5000, 500, 500  # forecasts in one process, those before memory is looked at, and how often


def history(seed: int, days: int = DAYS) -> list[dict[str, Any]]:
    """Days of a product up to `LAST`: a week, a year, a trend, and chance."""
    random = np.random.default_rng(seed)
    day = np.arange(days)
    level = random.uniform(2, 30) * (
        1 + 0.3 * np.sin(2 * np.pi * day / 365.25) + random.uniform(-0.3, 0.5) * day / days
    )
    sold = random.poisson(level * np.resize([0.8, 0.8, 0.9, 1.0, 1.3, 1.5, 0.7], days))
    return [{"date": f"{LAST - timedelta(days=int(days - 1 - k))}", "quantity": int(sold[k])} for k in day]


def _documented(seed: int) -> dict[str, Any]:
    return {"product_id": f"product {seed}", "horizon_days": HORIZON, "transaction_data": history(seed)}


def _kinds() -> dict[str, tuple[str, Callable[[int], dict[str, Any]], float | None]]:
    """What is asked: path, body of a request by its seed, and the goal of its p95 in seconds."""

    def named(method: str) -> Callable[[int], dict[str, Any]]:
        return lambda seed: {
            "product": f"product {seed}", "horizon_days": HORIZON, "history": history(seed), "method": method,
        }  # fmt: skip

    return {
        "demand, auto": (DEMAND, _documented, 0.7),
        "stockout, auto": (STOCKOUT, lambda seed: _documented(seed) | {"current_stock_units": 500}, 0.7),
        "demand, prophet": (OURS, named("prophet"), 1.2),
        "demand, weekday_mean": (OURS, named("weekday_mean"), None),
    }


def _asked(line: http.client.HTTPConnection, token: str, path: str, body: dict[str, Any]) -> float:
    start = time.perf_counter()
    said(line, token, path, body)
    return time.perf_counter() - start


def _share(took: list[float], share: float) -> float:
    ranked = sorted(took)
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))]


@contextmanager
def _line(server: Served) -> Iterator[http.client.HTTPConnection]:
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        yield line
    finally:
        line.close()


def latency() -> dict[str, Any]:
    """One request after the other on one connection, each of another product; and the first one of a server."""
    with place() as here:
        here.tenants("shop", later=60)
        began = time.perf_counter()
        with served(here) as server, _line(server) as line:
            ready = time.perf_counter() - began
            token = here.token("shop", "service")
            first = _asked(line, token, DEMAND, _documented(0))
            before = yardstick()
            took = {
                name: [_asked(line, token, path, body(k)) for k in range(1, ONE_BY_ONE + 1)]
                for name, (path, body, _) in _kinds().items()
            }
            loop = (before + yardstick()) / 2
    print(f"{DAYS} days of history in the request, {HORIZON} days ahead, {ONE_BY_ONE} requests of each one by one")
    print(f"a loop of a million steps in plain Python took {number(loop)} ms beside it\n")
    goals = {
        f"{name}: p95 < {limit:g} s": goal(_share(took[name], 0.95), _share(took[name], 0.95) < limit)
        for name, (_, _, limit) in _kinds().items()
        if limit
    }
    rows: list[list[object]] = [["until the server is ready", f"{number(ready)} s", "", ""]]
    rows.append(["the first request", f"{number(first)} s", "", ""])
    for name, (_, _, limit) in _kinds().items():
        p95 = _share(took[name], 0.95)
        verdict = f"< {limit:g} s: {met(p95 < limit)}" if limit else ""
        rows.append([name, f"{number(_share(took[name], 0.5))} s", f"{number(p95)} s", verdict])
    table(["", "p50", "p95", "goal"], rows)
    return {"took": took, "first": first, "ready": ready, "yardstick": loop, "goals": goals}


def _flood(server: Served, tokens: list[str], took: list[float], wrong: list[str]) -> None:
    """So many requests, as many at once as there are tokens; the seconds of each, and what was refused."""
    lock = threading.Lock()

    def ask(k: int) -> None:
        path, body, _ = list(_kinds().values())[k % 2]
        with _line(server) as line:
            try:
                seconds = _asked(line, tokens[k % len(tokens)], path, body(k))
            except (RuntimeError, OSError) as error:
                with lock:
                    wrong.append(str(error))
                return
        with lock:
            took.append(seconds)

    with ThreadPoolExecutor(len(tokens)) as threads:
        list(threads.map(ask, range(REQUESTS)))


def load() -> dict[str, Any]:
    """A hundred requests, ten at once and each of another tenant, while another tenant's traffic is predicted."""
    shops = [f"shop-{k}" for k in range(AT_ONCE)]
    took: list[float] = []
    wrong: list[str] = []
    with place() as here, Generator() as generator:
        newest = here.tenants("bench", *shops, later=60)
        with served(here) as server:
            plan = server.plan("bench", moment=newest, seconds=10.0, rate=RATE)
            generator.run(replace(plan, seconds=5.0, rate=5.0))  # to warm up
            quiet = generator.run(plan)
            runs: list[dict[str, Any]] = []
            began = time.perf_counter()
            flood = threading.Thread(target=_flood, args=(server, [here.token(s) for s in shops], took, wrong))
            flood.start()
            time.sleep(0.5)
            while flood.is_alive():
                runs.append(generator.run(plan))
            flood.join()
            seconds = time.perf_counter() - began
            sizes = _sizes(server)
    return _loaded(took, wrong, seconds, quiet, runs[:-1] or runs, sizes)


def _sizes(server: Served) -> dict[str, float]:
    """MB that the server's processes share, without the database's."""
    if not Path("/proc").exists():
        raise MissingError("this system has no /proc to read a process's memory from")
    names = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family(server.pid)}
    return {f"{pid}": memory(pid)["pss"] for pid, name in names.items() if b"postgres" not in name}


def _loaded(
    took: list[float],
    wrong: list[str],
    seconds: float,
    quiet: dict[str, Any],
    runs: list[dict[str, Any]],
    sizes: dict[str, float],
) -> dict[str, Any]:
    p95, p99, errors = _share(took, 0.95), _share(took, 0.99), len(wrong) / REQUESTS
    traffic, whole = spread([run["p99"] for run in runs]), sum(sizes.values())
    print(
        f"{REQUESTS} requests with {DAYS} days of history, {AT_ONCE} at once, demand and stock-outs in turn; meanwhile"
    )
    print(f"another tenant's traffic at {RATE:g}/s; server, PostgreSQL and both load generators share")
    print(f"{os.cpu_count()} cores; a loop of a million steps in plain Python took {number(runs[0]['yardstick'])} ms\n")
    rows: list[list[object]] = [
        ["p50", f"{number(_share(took, 0.5))} s", ""],
        ["p95", f"{number(p95)} s", f"< 6 s: {met(p95 < 6)} (document: 30 s)"],
        ["p99", f"{number(p99)} s", f"< 45 s: {met(p99 < 45)}"],
        ["refused", f"{100 * errors:g} %", f"< 5 %: {met(errors < 0.05)}"],
        ["answers a second", number(len(took) / seconds), ""],
        ["another tenant's traffic without them, p99", f"{number(quiet['p99'])} ms", ""],
        ["meanwhile, p99", ranged(traffic, " ms"), f"< 50 ms: {met(traffic['median'] < 50)}"],
        ["the server's processes afterwards, together", f"{number(whole)} MB", f"< 2,000 MB: {met(whole < 2000)}"],
    ]
    table(["", "", "goal"], rows)
    for words in wrong[:1]:
        print(f"first refused: {words}")
    goals = {
        "100 requests, 10 at once: p95 < 6 s": goal(p95, p95 < 6),
        "100 requests, 10 at once: p99 < 45 s": goal(p99, p99 < 45),
        "100 requests, 10 at once: errors < 5 %": goal(errors, errors < 0.05),
        "traffic of others meanwhile: p99 < 50 ms": goal(traffic["median"], traffic["median"] < 50),
        "the server's processes < 2 GB": goal(whole, whole < 2000),
    }
    return {"took": took, "wrong": wrong, "quiet": quiet, "traffic": runs, "sizes": sizes, "goals": goals}


def use() -> dict[str, Any]:
    """Memory of a process that makes forecasts one after the other, every method in turn."""
    command = [sys.executable, "-m", "bench.stateless"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    settled, end = told["memory"][f"{SETTLED}"], told["memory"][f"{FORECASTS}"]
    grown = end / settled - 1
    print(f"{FORECASTS:,} forecasts in one process, {HORIZON} days ahead of 60 to {DAYS} days, every method in turn\n")
    rows: list[list[object]] = [
        [f"after {int(count):,}", f"{number(size)} MB", ""] for count, size in told["memory"].items()
    ]
    rows.append(["grown since", f"{100 * grown:.1f} %", f"<= 5 %: {met(grown <= 0.05)}"])
    table(["", "", "goal"], rows)
    return {**told, "goals": {"memory flat within 5 % after 500 forecasts": goal(grown, grown <= 0.05)}}


def forecasts() -> dict[str, Any]:
    """The child of `use`: resident memory in MB after every so many forecasts."""
    from foretell.contract import History, Standpoint
    from foretell.domains.inventory import DOMAIN
    from foretell.domains.inventory.schema import Settings
    from foretell.domains.inventory.tables import MOVEMENTS
    from foretell.engine.predict import Prediction, predict
    from foretell.models.daily import METHODS

    nothing = {MOVEMENTS.name: DOMAIN.sample(1).history[MOVEMENTS.name].clear()}
    methods, sizes = cycle(["auto", *METHODS]), {}
    began = time.perf_counter()
    for k, task, method in zip(range(1, FORECASTS + 1), cycle(DOMAIN.tasks), methods, strict=False):
        asked = {
            "product": f"product {k}",
            "horizon_days": HORIZON,
            "method": method,
            "history": history(k, 60 + 67 * (k % 11)),
        }
        request = task.request.model_validate(asked | ({"current_stock_units": 500} if "stockout" in task.name else {}))
        standing = Standpoint(tenant="bench", now=datetime.now(UTC), zone="Europe/Berlin", settings=Settings())
        (one,) = predict([(task, request)], History(standing, nothing), {})
        if not isinstance(one, Prediction):
            raise one
        if k % STEP == 0:
            gc.collect()
            sizes[f"{k}"] = memory(os.getpid())["rss"]
            print(k, sizes[f"{k}"], file=sys.stderr)
    return {"memory": sizes, "seconds": time.perf_counter() - began}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {"latency": latency, "load": load, "memory": use}

if __name__ == "__main__":
    print(json.dumps(forecasts()))
