"""What plants take: to train one; two days of five hundred; over HTTP of one, and ten thousand requests."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from typing import Any

import polars as pl
from bench.child import peak
from bench.load import Generator, Plan
from bench.report import goal, met, number, ranged, spread, table
from bench.serve import figure_of, how_measured
from bench.service import Served, place, served

from foretell.app import App
from foretell.cli.demo_plants import PLANTS as SITES
from foretell.errors import ForetellError

PLANTS, DAYS, AHEAD = 20, 120, timedelta(days=5)
FLEET, QUICK = 500, 30.0  # plants that are all asked about, and seconds that it may take
TWICE, LONGEST = 800, 15.0  # days of the packaged plants, twice; seconds that a training may take
REQUESTS, AT_ONCE = 10_000, 100
RUNS, SECONDS, RATE = 3, 10.0, 10.0
TASK = "energy.wind"
PATH = "/v1/energy/wind/predict"


def outlooks() -> dict[str, Any]:
    """Twenty wind farms of a tenant: the next 48 hours of one, worked out anew, and under load as answers last."""
    with place() as here, Generator() as generator:
        told = here.child("farms", "bench", str(PLANTS), module="bench.outlooks")[0]
        with served(here) as server:
            runs, load, health = _measured(server, generator)
    fresh, p95 = figure_of(runs, "p99"), load["p95"]
    print(f"{PLANTS} wind farms of {DAYS} days, 48 hours ahead, by {told['candidate']}; one process")
    how_measured(runs)
    slow = sorted(health)[len(health) * 95 // 100]
    rows: list[list[object]] = [
        [f"worked out anew, {RATE:g}/s, p50", ranged(figure_of(runs, "p50"), " ms"), ""],
        ["  p99", ranged(fresh, " ms"), f"< 60 ms: {met(fresh['median'] < 60)}"],
        [f"{REQUESTS:,} requests, {AT_ONCE} at once: errors", load["wrong"], f"0: {met(not load['wrong'])}"],
        ["  p50", f"{number(load['p50'])} ms", ""],
        ["  p95", f"{number(p95)} ms", f"< 500 ms: {met(p95 < 500)}"],
        ["  a second", number(load["per_second"]), ""],
        [f"  /health meanwhile, p95 of {len(health)}", f"{number(slow)} ms", f"< 100 ms: {met(slow < 100)}"],
    ]
    table(["", "", "goal"], rows)
    goals = {
        "48 hours of a plant anew: p99 < 60 ms": goal(fresh["median"], fresh["median"] < 60),
        "10,000 requests, 100 at once: errors": goal(load["wrong"], load["wrong"] == 0),
        "10,000 requests, 100 at once: p95 < 500 ms": goal(p95, p95 < 500),
        "/health meanwhile: p95 < 100 ms": goal(slow, slow < 100),
    }
    return {"runs": runs, "load": load, "health": health, "goals": goals}


def _measured(server: Served, generator: Generator) -> tuple[list[dict[str, Any]], dict[str, Any], list[float]]:
    """Answers that are worked out anew, run by run; the load; milliseconds of each look at the server's health."""
    token = server.here.token("bench", "service")

    def plan(query: str, **how: Any) -> Plan:
        body = json.dumps({"plant": "farm{whom}", "hours": 48})
        return Plan(port=server.port, path=f"{PATH}{query}", body=body, tokens=[token], people=PLANTS, **how)

    anew = plan("?cache_bypass=true", seconds=SECONDS, rate=RATE)
    runs = [generator.run(anew) for _ in range(RUNS + 1)][1:]  # the first is to warm up
    generator.run(plan("", seconds=2.0, rate=PLANTS))
    looks: list[float] = []
    over = threading.Event()
    looking = threading.Thread(target=_look, args=(server.port, looks, over))
    looking.start()
    try:
        load = generator.run(plan("", seconds=1.0, connections=AT_ONCE, count=REQUESTS))
    finally:
        over.set()
        looking.join()
    return runs, load, looks


def _look(port: int, looks: list[float], over: threading.Event) -> None:
    """Ask whether the server is well, ten times a second."""
    while not over.wait(0.1):
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/health")
        if connection.getresponse().status != 200:
            raise RuntimeError("the server is not well")
        connection.close()
        looks.append(1000 * (time.perf_counter() - began))


def training() -> dict[str, Any]:
    """One plant of each kind, two years of its hours: from its facts to a model in service, without networks."""
    with place() as here:
        told = {file: here.child("alone", file, module="bench.outlooks")[0] for file in SITES}
    print(
        f"the packaged {TWICE // 2} days twice, cut to two years; {RUNS} trainings of each, in a process of its own\n"
    )
    rows, goals = [], {}
    for file, one in told.items():
        took = spread(one["seconds"])
        rows.append([
            f"{SITES[file]['kind']}, {one['hours']:,} hours, {one['candidate']} won", ranged(took, " s"),
            f"{number(spread(one['cpu'])['median'])} s", f"{number(one['memory'])} MB",
            f"< {LONGEST:g} s: {met(took['median'] < LONGEST)}",
        ])  # fmt: skip
        goals[f"a {SITES[file]['kind']} plant of two years < {LONGEST:g} s"] = goal(
            took["median"], took["median"] < LONGEST
        )
    table(["", "seconds", "of CPU", "peak", "goal"], rows)
    return {"told": told, "goals": goals}


def fleet() -> dict[str, Any]:
    """Five hundred wind farms of a tenant: the next 48 hours of each, and of all of them together."""
    with place() as here:
        told = here.child("farms", "bench", str(FLEET), module="bench.outlooks")[0]
        said = here.child("everyone", "bench", module="bench.outlooks")[0]
    each, together = spread(said["each"]), spread(said["together"])
    trained = f"{told['candidate']} won, trained in {number(told['seconds'])} s"
    print(f"{FLEET} wind farms of {DAYS} days, 48 hours ahead; {trained}; one process, {RUNS} runs\n")
    rows = [
        ["each by itself", ranged(each, " s"), f"< {QUICK:g} s: {met(each['median'] < QUICK)}"],
        ["all together", ranged(together, " s"), ""],
        ["peak memory", f"{number(said['memory'])} MB", ""],
    ]
    table(["", "", "goal"], rows)
    goals = {f"48 hours of {FLEET} plants < {QUICK:g} s": goal(each["median"], each["median"] < QUICK)}
    return {"told": told, "said": said, "goals": goals}


# ---------------------------------------------------------------- children


def everyone(tenant: str) -> list[dict[str, Any]]:
    """All plants of a tenant with a model, worked out anew: each by itself, and together."""
    each, together = [], []
    with App.open(tenant) as app:
        for _ in range(RUNS + 1):
            began = time.perf_counter()
            answers = [said for _, said in app.predict_each(TASK, {"hours": 48}, cache_bypass=True)]
            each.append(time.perf_counter() - began)
            if wrong := [said for said in answers if isinstance(said, ForetellError)]:
                raise wrong[0]
            began = time.perf_counter()
            app.predict(TASK, {"hours": 48}, cache_bypass=True)
            together.append(time.perf_counter() - began)
    return [{"each": each[1:], "together": together[1:], "memory": peak()}]


def alone(file: str) -> list[dict[str, Any]]:
    """A tenant with one of the packaged plants, trained over and over."""
    site = SITES[file]
    with as_file(files("foretell") / "samples" / f"{file}.csv.gz") as path:
        hours = pl.read_csv(path).with_columns(pl.col("time").str.to_datetime(time_zone="UTC"), plant=pl.lit(file))
    before = hours.with_columns(pl.col("time") - timedelta(days=TWICE // 2))
    hours = pl.concat([before, hours]).tail(2 * 365 * 24)
    seconds, cpu = [], []
    with App.open("bench", zone="UTC") as app:
        app.import_("energy.plants", pl.DataFrame([{"plant": file, "since": hours["time"][0], **site}]))
        app.import_("energy.readings", hours.select("plant", "time", "output_kw").drop_nulls())
        weather = hours.drop("output_kw").with_columns(
            issued_at=pl.col("time") - timedelta(days=7), provider=pl.lit("it")
        )
        app.import_("energy.forecasts", weather)
        for _ in range(RUNS + 1):
            began, used = time.perf_counter(), time.process_time()
            trained, _ = app.train(f"energy.{site['kind']}", as_of=hours["time"][-1])
            seconds.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
    told = {"seconds": seconds[1:], "cpu": cpu[1:], "hours": hours.height, "memory": peak()}
    return [{**told, "candidate": trained.model.card.candidate}]


def farms(tenant: str, count: str) -> list[dict[str, Any]]:
    """A tenant with copies of the packaged wind farm, whose weather is known five days ahead of now, and a model."""
    site = SITES["la_haute_borne_wind"]
    with as_file(files("foretell") / "samples" / "la_haute_borne_wind.csv.gz") as path:
        hours = pl.read_csv(path).with_columns(pl.col("time").str.to_datetime(time_zone="UTC"))
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    last: datetime = hours["time"].max()  # type: ignore[assignment]
    hours = hours.with_columns(pl.col("time") + (now + AHEAD - last)).filter(
        pl.col("time") > now - timedelta(days=DAYS)
    )
    names = pl.DataFrame({"plant": [f"farm{k:07}" for k in range(int(count))]})
    each = names.join(hours, how="cross")
    with App.open(tenant, zone="UTC") as app:
        since = hours["time"].min()
        app.import_("energy.plants", names.with_columns(since=pl.lit(since), **{n: pl.lit(v) for n, v in site.items()}))
        past = each.filter(pl.col("time") < now - timedelta(hours=1))
        app.import_("energy.readings", past.select("plant", "time", "output_kw").drop_nulls())
        weather = each.drop("output_kw").with_columns(
            issued_at=pl.col("time") - timedelta(days=7), provider=pl.lit("it")
        )
        app.import_("energy.forecasts", weather)
        began = time.perf_counter()
        trained, _ = app.train(TASK)
    return [{"candidate": trained.model.card.candidate, "seconds": time.perf_counter() - began}]


PARTS: dict[str, Callable[[], dict[str, Any]]] = {"train": training, "serve": outlooks, "fleet": fleet}

CHILDREN: dict[str, Callable[..., list[dict[str, Any]]]] = {"farms": farms, "everyone": everyone, "alone": alone}

if __name__ == "__main__":
    print(json.dumps(CHILDREN[sys.argv[1]](*sys.argv[2:])))
