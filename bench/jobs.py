"""Jobs under stress: workers that are killed all the time, and two hundred tenants whose models are trained again."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
from bench.load import Generator, Plan
from bench.report import goal, met, number, ranged, spread, table
from bench.service import COMMAND, TASK, Place, Served, family, memory, place, served

from foretell.app import App

SHOPS, PRODUCTS, HORIZONS, WORKERS = 4, 25, 10, 3  # a job for each product and horizon of each shop
BEAT = 0.5  # seconds between a worker's signs of life
TENANTS, DAYS = 200, 60
LONGEST = 3600.0  # seconds that anything may take
TOGETHER = 10  # tenants whose training is asked for at once


def chaos() -> dict[str, Any]:
    """A thousand jobs while a worker is killed every second: each done once in effect, none lost."""
    with place() as here, patch.dict(os.environ, here.environment), ExitStack() as opened:
        apps = [opened.enter_context(_shop(f"shop{k}")) for k in range(SHOPS)]
        for app in apps:
            for k in range(PRODUCTS):
                for days in range(1, HORIZONS + 1):
                    told = {"task": "inventory.demand", "whom": [f"p{k}"], "request": {"horizon_days": days}}
                    app.jobs.start("predict", told)
        asked = SHOPS * PRODUCTS * HORIZONS
        began, kills = time.perf_counter(), 0
        chance = random.Random(1)  # noqa: S311 - no secret
        workers = [_worker(here) for _ in range(WORKERS)]
        try:
            while any(app.jobs.list(states=["waiting", "running"], limit=1) for app in apps):
                if time.perf_counter() - began > LONGEST:
                    break
                time.sleep(1.0)
                k = chance.randrange(WORKERS)
                workers[k].kill()
                workers[k].wait()
                workers[k], kills = _worker(here), kills + 1
        finally:
            for each in workers:
                each.kill()
                each.wait()
        seconds = time.perf_counter() - began
        jobs = [job for app in apps for job in app.jobs.list(limit=1000)]
        effects = Counter(
            (app.tenant, one.served.request["product"], one.served.request["horizon_days"])
            for app in apps for one in app.predictions.list("inventory.demand", limit=1000)
        )  # fmt: skip
    states, again = Counter(job.state for job in jobs), sum(job.attempts > 1 for job in jobs)
    twice = sum(count > 1 for count in effects.values())
    rows: list[list[object]] = [
        ["jobs asked for", asked], ["done", states["done"]], ["with exactly one effect", len(effects) - twice],
        ["effects missing", asked - len(effects)], ["effects twice", twice], ["workers killed", kills],
        ["jobs taken up again", again], ["seconds", number(seconds)],
    ]  # fmt: skip
    table(["", ""], rows)
    goals = {
        "of 1,000 jobs done once in effect": goal(len(effects) - twice, len(effects) - twice == asked),
        "lost or failed = 0": goal(asked - states["done"], states["done"] == asked),
    }
    return {"states": states, "kills": kills, "again": again, "seconds": seconds, "twice": twice, "goals": goals}


@contextmanager
def _shop(name: str) -> Iterator[App]:
    """A tenant with a hundred days of sales, and the quickest method to answer for them."""
    chance = np.random.default_rng(sum(map(ord, name)))
    end = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    rows = [
        {"product": f"p{k}", "time": end - timedelta(days=d), "quantity": float(chance.poisson(4) + 1), "kind": "sale"}
        for k in range(PRODUCTS) for d in range(100, 0, -1)
    ]  # fmt: skip
    with App.open(name, zone="Europe/London") as app:
        app.import_("inventory.movements", pl.DataFrame(rows))
        app.train("inventory.demand", budget=0.1)
        yield app


def _worker(here: Place) -> subprocess.Popen[bytes]:
    with (here.folder / "workers.log").open("ab") as log:
        command = [*COMMAND, "worker", "--beat", f"{BEAT}"]
        return subprocess.Popen(command, env=here.environment, stdout=log, stderr=log)


# ---------------------------------------------------------------- many tenants


def tenants() -> dict[str, Any]:
    """Two hundred tenants' models trained again by a server's own worker: time, memory, and answers meanwhile.

    They are asked for ten at a time, and before each ten the server is looked at while idle: what else the machine
    does in an hour then weighs on both sides alike.
    """
    with place() as here, Generator() as generator:
        newest = here.tenants("bench", *(f"t{k}" for k in range(TENANTS)), later=DAYS)
        with served(here) as server, patch.dict(os.environ, here.environment):
            generator.run(_load(server, newest, 3.0))
            rounds = [_round(server, generator, newest, range(k, k + TOGETHER)) for k in range(0, TENANTS, TOGETHER)]
    ratio = spread([spread([one["p99"] for one in each["busy"]])["median"] / each["idle"]["p99"] for each in rounds])
    seconds, most = sum(each["seconds"] for each in rounds), max(each["memory"] for each in rounds)
    idle = spread([each["idle"]["p99"] for each in rounds])
    busy = spread([one["p99"] for each in rounds for one in each["busy"]])
    rows: list[list[object]] = [
        [f"{TENANTS} tenants of {DAYS} days trained again", f"{number(seconds / 60)} min", ""],
        ["one of them", f"{number(seconds / TENANTS)} s", ""],
        ["server and worker, most memory", f"{number(most)} MB", ""],
        ["answers while idle, p99", ranged(idle, " ms"), ""],
        ["answers meanwhile, p99", ranged(busy, " ms"), ""],
        ["of idle's just before", ranged(ratio, " x"), f"<= 2 x: {met(ratio['median'] <= 2)}"],
    ]
    table(["", "", "goal"], rows)
    goals = {
        "p99 while 200 tenants are trained, of idle's, <= 2": goal(ratio["median"], ratio["median"] <= 2),
    }
    return {"seconds": seconds, "memory": most, "ratio": ratio, "rounds": rounds, "goals": goals}


def _load(server: Served, newest: str, seconds: float) -> Plan:
    """Twenty requests a second for one tenant; made anew for each window, for a token is good for an hour."""
    return server.plan("bench", moment=newest, step=-3.0, seconds=seconds, rate=20.0)


def _round(server: Served, generator: Generator, newest: str, which: range) -> dict[str, Any]:
    """The server while idle, then while these tenants are trained, which is waited for.

    Raises RuntimeError where a training failed.
    """
    idle = generator.run(_load(server, newest, 20.0))
    asked = {"kind": "train", "told": {"task": TASK, "as_of": "latest"}}
    jobs = {f"t{k}": server.ask(f"t{k}", "/v1/jobs", asked) for k in which}
    busy: list[dict[str, Any]] = []
    most = 0.0
    while not all(job["ended_at"] for job in jobs.values()):
        busy.append(generator.run(_load(server, newest, 20.0)))
        most = max(most, sum(map(_resident, family(server.pid))))
        jobs = {name: server.ask(name, f"/v1/jobs/{job['job_id']}", method="GET") for name, job in jobs.items()}
    wrong = [job["message"] for job in jobs.values() if job["state"] != "done"]
    if wrong:
        raise RuntimeError(f"{len(wrong)} trainings failed, first {wrong[0]}")
    first, last = (
        min(_at(job["started_at"]) for job in jobs.values()),
        max(_at(job["ended_at"]) for job in jobs.values()),
    )
    told = {"idle": idle, "busy": busy, "memory": most, "seconds": last - first}
    later = [round(each["p99"]) for each in busy]
    print(f"{which.stop} of {TENANTS}: {last - first:.0f} s, p99 {idle['p99']:.0f}, then {later}", flush=True)
    return told


def _resident(pid: int) -> float:
    """A process's share of memory in MB; 0 where it has ended meanwhile, as a trial of a model does."""
    with suppress(OSError):
        return memory(pid)["pss"]
    return 0.0


def _at(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


PARTS: dict[str, Callable[[], dict[str, Any]]] = {"chaos": chaos, "tenants": tenants}
