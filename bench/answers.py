"""What an answer about a person takes over HTTP: of features that are kept, of given ones, and a thousand at once."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from bench.load import Generator, Plan
from bench.report import goal, met, number, ranged, spread, table
from bench.serve import figure_of, how_measured
from bench.service import Served, place, said, served

from foretell.app import App

PEOPLE, BATCH, RUNS = 1000, 1000, 3
SECONDS, RATE, CONNECTIONS = 10.0, 50.0, 8
PATH = "/v1/predict/move-probability"
TASK = "realestate.move"


def answers() -> dict[str, Any]:
    """A thousand people of the seeded world: one asked about at a time, as many as there can be, and all at once."""
    with place() as here, Generator() as generator:
        here.child("agency", "bench", module="bench.answers")
        with served(here) as server:
            told = _measured(server, generator)
    runs, batches = told["runs"], told["batches"]
    kept, given, most = runs["kept"], runs["given"], figure_of(runs["most"], "per_second")
    p50, p99, theirs = figure_of(kept, "p50"), figure_of(kept, "p99"), figure_of(given, "p99")
    p95, mean = figure_of(kept, "p95"), statistics.mean(told["one"])
    bare, why = spread(batches["bare"]), spread(batches["reasons"])
    print(f"{PEOPLE:,} people, 91 features, one process; {SECONDS:g} s a run, {RATE:g} a second unless said otherwise")
    how_measured([*kept, *given])
    rows: list[list[object]] = [
        ["features kept, p50", ranged(p50, " ms"), f"< 8 ms: {met(p50['median'] < 8)}"],
        ["  p99", ranged(p99, " ms"), f"< 25 ms: {met(p99['median'] < 25)}"],
        ["  p95", ranged(p95, " ms"), f"< 50 ms: {met(p95['median'] < 50)}"],
        ["features given, p50", ranged(figure_of(given, "p50"), " ms"), ""],
        ["  p99", ranged(theirs, " ms"), f"< 12 ms: {met(theirs['median'] < 12)}"],
        [f"{CONNECTIONS} connections without pause", ranged(most, "/s"), f">= 300/s: {met(most['median'] >= 300)}"],
        ["  p50", ranged(figure_of(runs["most"], "p50"), " ms"), ""],
        [
            f"each of {len(told['one'])} features of one person by itself, mean",
            f"{number(mean)} ms (the first, which reads the facts: {number(told['one'][0])} ms)",
            f"< 100 ms: {met(mean < 100)}",
        ],
        [f"a batch of {BATCH:,}", ranged(bare, " s"), f"< 0.7 s: {met(bare['median'] < 0.7)}"],
        ["  with reasons", ranged(why, " s"), f"< 3 s: {met(why['median'] < 3)}"],
    ]
    table(["", "", "goal"], rows)
    goals = {
        "features kept: p50 < 8 ms": goal(p50["median"], p50["median"] < 8),
        "features kept: p99 < 25 ms": goal(p99["median"], p99["median"] < 25),
        "features kept: p95 < 50 ms": goal(p95["median"], p95["median"] < 50),
        "one feature of one person < 100 ms": goal(mean, mean < 100),
        "one process: > 100 requests/s": goal(most["median"], most["median"] > 100),
        "a batch of 1,000 < 5 s": goal(bare["max"], bare["max"] < 5),
        "features given: p99 < 12 ms": goal(theirs["median"], theirs["median"] < 12),
        "one process: >= 300 requests/s": goal(most["median"], most["median"] >= 300),
        "a batch of 1,000 < 0.7 s": goal(bare["median"], bare["median"] < 0.7),
        "a batch of 1,000 with reasons < 3 s": goal(why["median"], why["median"] < 3),
    }
    return {**told, "goals": goals}


def _measured(server: Served, generator: Generator) -> dict[str, Any]:
    token = server.here.token("bench", "service")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    vector = said(connection, token, "/v1/realestate/move/predict", {"person": "p0000000"})
    assert vector["answer"]
    features = json.loads(server.here.child("vector", "bench", module="bench.answers")[0]["features"])

    def plan(body: dict[str, Any], **how: Any) -> Plan:
        asked = {"entity_id": "p{whom}", "prediction_type": "MOVE_PROBABILITY", **body}
        return Plan(port=server.port, path=PATH, body=json.dumps(asked), tokens=[token], people=PEOPLE, **how)

    plans = {
        "kept": plan({}, seconds=SECONDS, rate=RATE),
        "given": plan({"features": features}, seconds=SECONDS, rate=RATE),
        "most": plan({}, seconds=SECONDS, connections=CONNECTIONS),
    }
    batches = _batches(connection, token)  # which also makes everybody's features
    single = [_one(connection, token, name) for name in features]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in plans}
    for k in range(RUNS + 1):
        for name, one in plans.items():
            run = generator.run(one)
            if k:  # the first is to warm up
                runs[name].append(run)
    return {"runs": runs, "batches": batches, "one": single}


def _one(connection: http.client.HTTPConnection, token: str, feature: str) -> float:
    """Milliseconds that one feature of a person takes, worked out from the facts."""
    began = time.perf_counter()
    said(connection, token, f"/v1/realestate/move/features?feature={feature}", {"person": "p0000500"})
    return 1000 * (time.perf_counter() - began)


def _batches(connection: http.client.HTTPConnection, token: str) -> dict[str, list[float]]:
    told: dict[str, list[float]] = {"bare": [], "reasons": []}
    for k in range(RUNS + 1):
        for name, explain in (("bare", False), ("reasons", True)):
            more = {"prediction_type": "MOVE_PROBABILITY", "explain": explain}
            asked = [{"entity_id": f"p{n:07}", **more} for n in range(BATCH)]
            began = time.perf_counter()
            answer = said(connection, token, "/v1/predict/batch", {"requests": asked})
            took = time.perf_counter() - began
            wrong = [one for one in answer["predictions"] if "predicted_value" not in one]
            if wrong:
                raise RuntimeError(f"{len(wrong)} of a batch were refused, first {wrong[0]}")
            if k:
                told[name].append(took)
    return told


# ---------------------------------------------------------------- children


def agency(tenant: str) -> list[dict[str, Any]]:
    """A tenant with the people of the seeded world, as if it ended yesterday, and a model."""
    from foretell.domains.realestate.sample import END, world

    with App.open(tenant, zone="UTC") as app:
        declared = {one.name: one for one in app.desk.domain("realestate").tables}
        ago = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1) - END
        for name, rows in world(1, PEOPLE).tables.items():
            if rows.height:
                kept = rows.select(c for c in rows.columns if c in declared[name].kinds)
                app.import_(f"realestate.{name}", kept.with_columns(pl.col(pl.Datetime) + ago))
        trained, _ = app.train(TASK)
    return [{"candidate": trained.model.card.candidate}]


def vector(tenant: str) -> list[dict[str, Any]]:
    """Features as somebody would give them."""
    with App.open(tenant) as app:
        made = app.features.compute(TASK, [{"person": "p0000001"}]).drop("entity", "as_of", "at")
    return [{"features": json.dumps(made.row(0, named=True))}]


PARTS: dict[str, Callable[[], dict[str, Any]]] = {"serve": answers}

if __name__ == "__main__":
    import sys

    children: dict[str, Callable[..., list[dict[str, Any]]]] = {"agency": agency, "vector": vector}
    print(json.dumps(children[sys.argv[1]](*sys.argv[2:])))
