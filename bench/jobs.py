"""Jobs under stress: workers that are killed all the time, and two hundred tenants whose models are trained again."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
from bench.load import Generator
from bench.report import goal, met, number, ranged, spread, table
from bench.service import COMMAND, TASK, Place, family, memory, place, served

from foretell.app import App

SHOPS, PRODUCTS, HORIZONS, WORKERS = 4, 25, 10, 3  # a job for each product and horizon of each shop
BEAT = 0.5  # seconds between a worker's signs of life
TENANTS, DAYS = 200, 60
LONGEST = 3600.0  # seconds that anything may take
LOOKED = 200.0  # seconds that two hundred tenants' training is looked at; what is left then is said


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
    """Two hundred tenants' models trained again by a server's own worker: time, memory, and answers meanwhile."""
    with place() as here, Generator() as generator:
        newest = here.tenants("bench", *(f"t{k}" for k in range(TENANTS)), later=DAYS)
        with served(here) as server, patch.dict(os.environ, here.environment):
            plan = server.plan("bench", moment=newest, seconds=20.0, rate=20.0)
            generator.run(replace(plan, seconds=3.0))
            idle = [generator.run(plan) for _ in range(3)]
            began = time.perf_counter()
            for k in range(TENANTS):
                server.ask(f"t{k}", "/v1/jobs", {"kind": "train", "told": {"task": TASK, "as_of": "latest"}})
            busy: list[dict[str, Any]] = []
            most, left = 0.0, TENANTS
            while left and time.perf_counter() - began < LOOKED:
                if len(busy) < 6:
                    busy.append(generator.run(plan))
                else:
                    time.sleep(10)
                most = max(most, sum(memory(pid)["pss"] for pid in family(server.pid)))
                left = _left(server)
            seconds = time.perf_counter() - began
    ratio = spread([each["p99"] / spread([one["p99"] for one in idle])["median"] for each in busy])
    rows: list[list[object]] = [
        [f"of {TENANTS} tenants of {DAYS} days trained again in {number(seconds)} s", TENANTS - left, ""],
        ["one of them", f"{number(seconds / max(1, TENANTS - left))} s", ""],
        ["all of them, at that pace", f"{number(seconds / max(1, TENANTS - left) * TENANTS / 60)} min", ""],
        ["server and worker, most memory", f"{number(most)} MB", ""],
        ["answers meanwhile, p99 against idle", ranged(ratio, " x"), f"<= 2 x: {met(ratio['median'] <= 2)}"],
    ]
    table(["", "", "goal"], rows)
    goals = {
        "p99 while 200 tenants are trained, of idle's, <= 2": goal(ratio["median"], ratio["median"] <= 2),
    }
    return {
        "seconds": seconds,
        "left": left,
        "memory": most,
        "ratio": ratio,
        "idle": idle,
        "busy": busy,
        "goals": goals,
    }


def _left(server: Any) -> int:
    """Tenants whose job has not ended."""
    jobs = (server.ask(f"t{k}", "/v1/jobs?limit=1", method="GET")[0] for k in range(TENANTS))
    return sum(not job["ended_at"] for job in jobs)


PARTS: dict[str, Callable[[], dict[str, Any]]] = {"chaos": chaos, "tenants": tenants}
