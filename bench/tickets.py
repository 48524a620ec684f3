"""What the agile document's operations take over HTTP: first answers and later ones, many at once, and training."""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
from bench.load import Generator, Plan
from bench.report import goal, met, number, ranged, spread, table
from bench.serve import figure_of, how_measured
from bench.service import Place, Served, place, said, served

from foretell.app import App
from foretell.domains.agile.sample.world import world

PEOPLE, SPRINTS, TEXTS = 54, 26, 200  # of a workspace with five projects; and how many issues are asked about
RUNS, SECONDS, RATE, CONNECTIONS, AT_ONCE = 3, 8.0, 10.0, 8, 25
COLD, STARTS = 20, 2  # answers with a model that is read from its files each, and of processes just started
MIXED = {"p50": 200, "p95": 800, "p99": 2000}  # the document's, of answers in milliseconds
EVERY = {"never": None, "every 5 s": 5.0, "every second": 1.0}  # how often the board changes
BASE = "/api/v1/ml"
TASKS = ("effort", "points", "assignment", "duration", "delivery")
LEARNED, NEW = "learned", "new"  # a tenant with models, and one with the same facts and none

Call = tuple[str, str, str]
"""Method, path and body of a request."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One of the document's table, asked of a tenant by `calls` in turn; its two figures in milliseconds.

    `method` is what its answers say, where they say one.
    """

    name: str
    calls: Sequence[Call]
    cold: float
    cached: float
    tenant: str = LEARNED
    method: str | None = None

    def plan(self, server: Served, **how: Any) -> Plan:
        """What to ask."""
        return plan_of(server, self.tenant, self.calls, **how)


def plan_of(server: Served, tenant: str, calls: Sequence[Call], **how: Any) -> Plan:
    """To ask a tenant by these calls in turn."""
    (method, path, body), *more = calls
    token = server.here.token(tenant, "service")
    return Plan(port=server.port, method=method, path=path, body=body, more=more, tokens=[token], **how)


def tickets() -> dict[str, Any]:
    """A generated workspace: each operation by itself, all of them at once, and what it takes to learn from it."""
    with place() as here, Generator() as generator:
        there = here.child("workspace", LEARNED, "trained", module="bench.tickets")[0]
        here.child("workspace", NEW, "bare", module="bench.tickets")
        with served(here) as server:
            operations = _operations(there, _learned(server, there))
            for each in operations:
                _checked(server, each)
            told = _measured(server, generator, operations)
        told["first"] = {each.name: _first(here, each) for each in operations}
    print(f"{there['issues']:,} issues of five projects, {there['done']:,} of them finished; one process,")
    print(
        f"{RATE:g} a second, {SECONDS:g} s a run unless said otherwise; no two of {TEXTS} issues asked about are alike"
    )
    print(
        "sprint, risks, summary and some assignments are asked again while nothing changes: later ones are remembered"
    )
    how_measured([run for runs in told["runs"].values() for run in runs])
    _told(operations, told)
    return {"world": there, **told, "goals": _goals(there, operations, told)}


def _learned(server: Served, there: dict[str, Any]) -> str:
    """A project whose hours trained trees tell. Raises RuntimeError where there is none."""
    said_by = {}
    for project in there["projects"]:
        body = json.loads(_issue(there["texts"][0], project))
        said_by[project] = server.ask(LEARNED, f"{BASE}/predict-effort/", body)["method"]
        if said_by[project] == "ml_model":
            return str(project)
    raise RuntimeError(f"no project's hours are told by a trained model: {said_by}")


def _issue(text: dict[str, Any], project: str) -> str:
    return json.dumps({**text, "project_id": project})


def _operations(there: dict[str, Any], project: str) -> list[Operation]:
    """The document's table, asked about a project."""
    whose = there["projects"][project]
    sprint, issues, texts = whose["sprint"], whose["issues"], there["texts"]

    def posted(path: str, *bodies: str) -> list[Call]:
        return [("POST", f"{BASE}/{path}/", body) for body in bodies]

    written = [_issue(text, project) for text in texts]
    unlike = [_issue({**text, "title": f"Zzyzx{k}", "description": ""}, project) for k, text in enumerate(texts)]
    people = [json.dumps({"issue_id": issue, "project_id": project}) for issue in issues]
    lasting = json.dumps({"sprint_id": sprint})
    return [
        Operation(name="effort, by the model", calls=posted("predict-effort", *written), cold=800, cached=50,
                  method="ml_model"),
        Operation(name="effort, by similarity", calls=posted("predict-effort", *written), cold=250, cached=250,
                  tenant=NEW, method="similarity"),
        Operation(name="effort, by the heuristic", calls=posted("predict-effort", *unlike), cold=50, cached=50,
                  tenant=NEW, method="heuristic"),
        Operation(name="sprint duration", calls=posted("estimate-sprint-duration", lasting), cold=200, cached=200),
        Operation(name="story points", calls=posted("recommend-story-points", *written), cold=300, cached=300),
        Operation(name="assignment", calls=posted("suggest-assignment", *people), cold=400, cached=400),
        Operation(name="sprint risks", calls=[("GET", f"{BASE}/{sprint}/sprint-risk/", "")], cold=500, cached=500),
        Operation(name="project summary", calls=[("GET", f"{BASE}/{project}/project-summary/", "")], cold=600,
                  cached=600),
    ]  # fmt: skip


def _checked(server: Served, operation: Operation) -> None:
    """Raises RuntimeError where an operation is not answered, or not by the method that it is named for."""
    for method, path, body in operation.calls[:10]:
        told = server.ask(operation.tenant, path, json.loads(body) if body else None, method=method)
        if operation.method not in (None, told.get("method")):
            raise RuntimeError(f"{operation.name}: the answer to {body} is by {told['method']}")


def _measured(server: Served, generator: Generator, operations: Sequence[Operation]) -> dict[str, Any]:
    plans = {each.name: each.plan(server, seconds=SECONDS, rate=RATE) for each in operations}
    effort, mine = operations[0], [each for each in operations if each.tenant == LEARNED]
    plans["most"] = effort.plan(server, seconds=SECONDS, connections=CONNECTIONS)
    plans["mixed"] = _in_turn(server, mine)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in plans}
    for k in range(RUNS + 1):
        for name, one in plans.items():
            run = generator.run(one)
            if k:  # the first is to warm up
                runs[name].append(run)
    models = server.ask(LEARNED, "/v1/models/cache", method="GET")
    again: dict[str, float] = {}
    cold = {each.name: _cold(server, each) for each in operations}
    for task in TASKS:
        began = time.perf_counter()
        server.train(LEARNED, {}, path=f"/v1/agile/{task}")
        again[task] = time.perf_counter() - began
    return {"runs": runs, "hits": models["hit_rate"], "cold": cold, "again": again}


def _in_turn(server: Served, operations: Sequence[Operation]) -> Plan:
    turns = [each.calls[k % len(each.calls)] for k in range(TEXTS) for each in operations]
    return plan_of(server, LEARNED, turns, seconds=SECONDS, connections=AT_ONCE)


def _cold(server: Served, operation: Operation) -> list[float]:
    """Milliseconds of each answer for which the model, if it needs one, had to be read from its files."""
    took = []
    for k in range(COLD):
        cleared = server.ask(operation.tenant, "/v1/models/cache", method="DELETE")["cleared"]
        if k and operation.method == "ml_model" and not cleared:
            raise RuntimeError("there was no model in memory to forget")
        took.append(1000 * _asked(server, operation, *operation.calls[k % len(operation.calls)]))
    return took


def _asked(server: Served, operation: Operation, method: str, path: str, body: str) -> float:
    """Seconds until a call is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    token = server.here.token(operation.tenant, "service")
    connection.connect()
    began = time.perf_counter()
    said(connection, token, path, json.loads(body) if body else None, method=method)
    took = time.perf_counter() - began
    connection.close()
    return took


def _first(here: Place, operation: Operation) -> list[float]:
    """Seconds of the very first answer of a process, in some processes."""
    took = []
    for k in range(STARTS):
        with served(here) as server:
            took.append(_asked(server, operation, *operation.calls[k % len(operation.calls)]))
    return took


def _told(operations: Sequence[Operation], told: dict[str, Any]) -> None:
    """The document's table with our figures beside its own; printed."""
    rows: list[list[object]] = []
    for each in operations:
        runs, first = told["runs"][each.name], spread([1000 * one for one in told["first"][each.name]])
        later = [number(figure_of(runs, name)["median"]) for name in ("p50", "p95", "p99")]
        cold = ranged(spread(told["cold"][each.name]))
        rows.append([each.name, f"{each.cold:g}", cold, ranged(first), f"{each.cached:g}", *later])
    head = ["milliseconds", "document, cold", "no model in memory", "first of a process", "document, later"]
    head += ["p50", "p95", "p99"]
    table(head, rows)


def _rate(took: Sequence[float]) -> float:
    """Answers a second, of milliseconds each."""
    return 1000 / statistics.mean(took)


def _goals(there: dict[str, Any], operations: Sequence[Operation], told: dict[str, Any]) -> dict[str, Any]:
    """Every goal and whether it is met, printed as a table too."""
    runs = told["runs"]
    effort, mixed, most = runs["effort, by the model"], runs["mixed"], figure_of(runs["most"], "per_second")
    first, cold = told["first"]["effort, by the model"], told["cold"]
    wrong = sum(run["wrong"] for run in mixed) / sum(run["asked"] for run in mixed)
    turns = f"six operations in turn, {AT_ONCE} connections without pause"
    wanted: list[tuple[str, dict[str, float], str, str, float]] = [
        ("effort by the model, p50", figure_of(effort, "p50"), " ms", "<", 8),
        ("effort by the model, p99", figure_of(effort, "p99"), " ms", "<", 25),
        ("  first of a process", spread([1000 * each for each in first]), " ms", "<", 400),
        (f"  model read from its files, {COLD} times", spread(cold["effort, by the model"]), " ms", "<", 400),
        ("  so read, one after the other", spread([_rate(cold["effort, by the model"])]), "/s", ">=", 5),
        (f"  {CONNECTIONS} connections without pause", most, "/s", ">=", 200),
        *((f"{each.name}, no model in memory", spread(cold[each.name]), " ms", "<", each.cold) for each in operations),
        *(
            (f"{each.name}, later, p50", figure_of(runs[each.name], "p50"), " ms", "<", each.cached)
            for each in operations
        ),
        *((f"{turns}, {name}", figure_of(mixed, name), " ms", "<", bound) for name, bound in MIXED.items()),
        ("  in turn, answers", figure_of(mixed, "per_second"), "/s", ">=", 50),
        ("  in turn, errors", spread([100 * wrong]), " %", "<", 1),
        ("  in turn, models found in memory", spread([100 * told["hits"]]), " %", ">=", 70),
        ("training on hours, once", spread([there["seconds"]["effort"]]), " s", "<", 20),
        ("training all five tasks again, over HTTP", spread([sum(told["again"].values())]), " s", "<", 300),
    ]
    goals, rows = {}, []
    for words, of, unit, way, bound in wanted:
        holds = of["median"] < bound if way == "<" else of["median"] >= bound
        figure = ranged(of, unit) if of["runs"] > 1 else f"{number(of['median'])}{unit}"
        rows.append([words, figure, f"{way} {bound:g}{unit}: {met(holds)}"])
        goals[f"{words.strip()} {way} {bound:g}{unit}"] = goal(of["median"], holds)
    table(["", "", "goal"], rows)
    return goals


# ---------------------------------------------------------------- while the board changes


def changing() -> dict[str, Any]:
    """The operations in turn while facts arrive: whatever was remembered of the board doesn't hold after each."""
    told: dict[str, list[dict[str, Any]]] = {}
    with place() as here, Generator() as generator:
        there = here.child("workspace", LEARNED, "trained", module="bench.tickets")[0]
        with served(here) as server:
            operations = _operations(there, _learned(server, there))
            plan = _in_turn(server, [each for each in operations if each.tenant == LEARNED])
            generator.run(plan)  # to warm up
            for words, every in EVERY.items():
                with _moving(server, there["projects"], every):
                    told[words] = [generator.run(plan) for _ in range(RUNS)]
    print(f"{there['issues']:,} issues of five projects; {AT_ONCE} connections without pause, {SECONDS:g} s a run")
    how_measured([run for runs in told.values() for run in runs])
    rows, goals = [], {}
    for words, runs in told.items():
        figures = {name: figure_of(runs, name) for name in (*MIXED, "per_second")}
        held = all(figures[name]["median"] < bound for name, bound in MIXED.items())
        wrong = sum(run["wrong"] for run in runs)
        rows.append([words, *(ranged(of) for of in figures.values()), wrong, met(held and not wrong)])
        for name, bound in MIXED.items():
            median = figures[name]["median"]
            goals[f"in turn, {words}: {name} < {bound} ms"] = goal(median, median < bound)
    bounds = [f"{name} (< {bound} ms)" for name, bound in MIXED.items()]
    table(["an issue comes into a status", *bounds, "answers a second", "errors", "goals"], rows)
    return {"runs": told, "goals": goals}


@contextmanager
def _moving(server: Served, projects: dict[str, Any], every: float | None) -> Iterator[None]:
    """Meanwhile an open issue comes into progress, or back, every so many seconds; of one project after the other."""
    if every is None:
        yield
        return
    turns = [(project, issue) for of in zip(*(each["issues"] for each in projects.values()), strict=False)
             for project, issue in zip(projects, of, strict=True)]  # fmt: skip
    over = threading.Event()

    def move() -> None:
        k = 0
        while not over.wait(every):
            project, issue = turns[k % len(turns)]
            status = ("in_progress", "todo")[k // len(turns) % 2]
            row = {"issue": issue, "project": project, "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"}
            server.ask(LEARNED, "/v1/agile/facts/status_changes", {"rows": [row | {"category": status}]})
            k += 1

    with ThreadPoolExecutor(max_workers=1) as pool:
        moving = pool.submit(move)
        try:
            yield
        finally:
            over.set()
            moving.result()


# ---------------------------------------------------------------- a child


def workspace(tenant: str, how: str) -> list[dict[str, Any]]:
    """A tenant with a generated workspace as it is now; `trained` where models shall be too.

    Told are seconds of each training, by project its sprint under way and open issues, and texts of issues.
    """
    made = world(1, datetime.now(UTC), crew=PEOPLE, sprints=SPRINTS).tables
    seconds = {}
    with App.open(tenant, zone="UTC") as app:
        for name, rows in made.items():
            app.import_(f"agile.{name}", rows.drop("entity", "known_at"))
        for task in TASKS if how == "trained" else ():
            began = time.perf_counter()
            app.train(f"agile.{task}")
            seconds[task] = time.perf_counter() - began
    issues = made["issues"].unique("issue", keep="last", maintain_order=True)
    done = made["status_changes"].filter(pl.col("category") == "done")["issue"].unique()
    running = made["sprints"].filter(pl.col("state") == "active").unique("project", keep="last")
    open_ = issues.filter(~pl.col("issue").is_in(done.implode()))
    projects = {
        project: {"sprint": sprint, "issues": open_.filter(pl.col("project") == project)["issue"].to_list()}
        for project, sprint in running.select("project", "sprint").sort("project").iter_rows()
    }
    texts = issues.select("title", "description", issue_type="type").unique(maintain_order=True).tail(TEXTS).to_dicts()
    return [{"issues": issues.height, "done": len(done), "seconds": seconds, "projects": projects, "texts": texts}]


PARTS: dict[str, Callable[[], dict[str, Any]]] = {"serve": tickets, "changing": changing}

if __name__ == "__main__":
    print(json.dumps({"workspace": workspace}[sys.argv[1]](*sys.argv[2:])))
