"""What `foretell serve` takes to answer over HTTP: with database and ledger, a process of its own, beside MLflow's."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from bench import beside
from bench.data import MissingError
from bench.load import Generator, Plan
from bench.report import goal, met, number, ranged, spread, table
from bench.service import ASKED, PATH, Served, family, memory, place, said, served, worker

RUNS, SECONDS, RATE, CONNECTIONS = 3, 20.0, 50.0, 8
TENANTS, SHORT = 50, 60  # tenants whose models are in use at once, and days of facts that each has
ROLLBACKS = 5

Runs = dict[str, list[dict[str, Any]]]
"""The figures of each run, by what was asked."""


def _rounds(generator: Generator, plans: dict[str, Plan]) -> Runs:
    """Every plan in turn, so many times, after a short run of each to warm up."""
    for plan in plans.values():
        generator.run(replace(plan, seconds=3.0))
    return _join({name: [generator.run(plan)] for name, plan in plans.items()} for _ in range(RUNS))


def _without_pause(plan: Plan) -> Plan:
    """The same as fast as the answers come, for half as long."""
    return replace(plan, rate=None, connections=CONNECTIONS, seconds=plan.seconds / 2)


def _join(rounds: Iterator[Runs]) -> Runs:
    told: Runs = {}
    for one in rounds:
        for name, runs in one.items():
            told[name] = told.get(name, []) + runs
    return told


def figure_of(runs: Sequence[dict[str, Any]], figure: str) -> dict[str, float]:
    return spread([run[figure] for run in runs])


def _all_fresh(runs: Sequence[dict[str, Any]]) -> None:
    if cached := sum(run["cached"] for run in runs):
        raise RuntimeError(f"{cached} answers of requests at different moments say that they were cached")


def how_measured(runs: Sequence[dict[str, Any]]) -> None:
    """How it was measured, and how fast the machine was just then."""
    loop, late = ranged(figure_of(runs, "yardstick"), " ms"), ranged(figure_of(runs, "late"), " ms")
    print(f"{len(runs)} runs; server, its PostgreSQL and the load generator share {os.cpu_count()} cores")
    print(f"a loop of a million steps in plain Python took {loop} beside it: how fast the machine was just then")
    print(f"latency counts from when a request was due; the last hundredth were sent {late} late\n")


def _under(of: dict[str, float], least: float, unit: str) -> str:
    return f"< {least:g} {unit}: {met(of['median'] < least)}"


def predict() -> dict[str, Any]:
    """One tenant's answers: not cached, cached, and as many as there can be."""
    with place() as here, Generator() as generator:
        newest = here.tenants("bench")
        with served(here) as server:
            plans = {
                "fresh": server.plan("bench", moment=newest, seconds=SECONDS, rate=RATE),
                "cached": server.plan("bench", seconds=SECONDS, rate=RATE),
            }
            plans["most"] = _without_pause(plans["fresh"])
            runs = _rounds(generator, plans)
            second = _second(generator, plans)
    _all_fresh([*runs["fresh"], *runs["most"]])
    if (fresh := sum(run["fresh"] for run in runs["cached"])) > SECONDS * RATE * RUNS / 100:
        raise RuntimeError(f"{fresh} answers to the same request say that they were not cached")
    p50, p99, most = (
        figure_of(runs["fresh"], "p50"),
        figure_of(runs["fresh"], "p99"),
        figure_of(runs["most"], "per_second"),
    )
    cached = figure_of(runs["cached"], "p99")
    print(f"`traffic.load`, four hours and replicas, 400 days of hourly facts, one worker; {SECONDS:g} s a run")
    how_measured([*runs["fresh"], *runs["cached"]])
    rows: list[list[object]] = [
        [f"each of another moment, {RATE:g}/s, p50", ranged(p50, " ms"), _under(p50, 10, "ms")],
        [f"each of another moment, {RATE:g}/s, p99", ranged(p99, " ms"), _under(p99, 25, "ms")],
        [f"the same request, cached, {RATE:g}/s, p50", ranged(figure_of(runs["cached"], "p50"), " ms"), ""],
        [f"the same request, cached, {RATE:g}/s, p99", ranged(cached, " ms"), _under(cached, 6, "ms")],
        [
            f"each of another moment, {CONNECTIONS} connections without pause",
            ranged(most, "/s"),
            f">= 250/s: {met(most['median'] >= 250)}",
        ],
        ["  p50", ranged(figure_of(runs["most"], "p50"), " ms"), ""],
        ["  p99", ranged(figure_of(runs["most"], "p99"), " ms"), ""],
    ]
    table(["", "", "goal"], rows)
    _compared(runs, second)
    goals = {
        "not cached, 50/s: p50 < 10 ms": goal(p50["median"], p50["median"] < 10),
        "not cached, 50/s: p99 < 25 ms": goal(p99["median"], p99["median"] < 25),
        "cached, 50/s: p99 < 6 ms": goal(cached["median"], cached["median"] < 6),
        "not cached, one process: >= 250 requests/s": goal(most["median"], most["median"] >= 250),
    }
    return {"runs": runs, "second": second, "goals": goals}


def _second(generator: Generator, plans: dict[str, Plan]) -> Runs:
    """The same by another load generator, as far as it can; nothing, if it is not there."""
    alike = {"most": plans["most"], "cached": replace(plans["cached"], connections=1)}
    told: Runs = {}
    try:
        for _ in range(RUNS):
            for name, plan in alike.items():
                run = beside.autocannon(replace(plan.later(generator.asked), seconds=int(SECONDS / 2)))
                generator.asked += run["asked"]
                told.setdefault(name, []).append(run)
    except MissingError as missing:
        print(f"no second load generator: {missing}\n")
    return told


def _compared(runs: Runs, second: Runs) -> None:
    if not second:
        return
    _all_fresh(second["most"])
    rows: list[list[object]] = []
    for words, name, figure, unit in (
        (f"{CONNECTIONS} connections without pause, not cached", "most", "per_second", "/s"),
        ("  p50", "most", "p50", " ms"),
        ("  p99", "most", "p99", " ms"),
        (f"cached, {RATE:g}/s, one connection in bursts, p50", "cached", "p50", " ms"),
        ("  p99", "cached", "p99", " ms"),
    ):
        theirs, ours = figure_of(second[name], figure), figure_of(runs[name], figure)
        rows.append([words, ranged(theirs, unit), f"{number(theirs['median'] / ours['median'])} x"])
    print(f"the same server by a second load generator, autocannon {beside.AUTOCANNON}\n")
    table(["", "", "of the first generator's"], rows)


def training() -> dict[str, Any]:
    """Answers while another tenant trains, beside answers while nobody does; in turn."""
    with place() as here, Generator() as generator:
        newest = here.tenants("bench", "other")
        with served(here) as server:
            plan = server.plan("bench", moment=newest, seconds=SECONDS, rate=RATE)
            generator.run(replace(plan, seconds=3.0))
            server.train("other", {"days": 90})
            runs: Runs = {"quiet": [], "busy": []}
            seconds: list[float] = []
            for _ in range(RUNS):
                runs["quiet"].append(generator.run(plan))
                with _trained(server, "other", seconds):
                    runs["busy"].append(generator.run(plan))
    _all_fresh([*runs["quiet"], *runs["busy"]])
    ratios = [busy["p99"] / quiet["p99"] for busy, quiet in zip(runs["busy"], runs["quiet"], strict=True)]
    print(f"answers of one tenant, not cached, {RATE:g}/s, while another trains on 90 days over and over; in turn")
    how_measured([*runs["quiet"], *runs["busy"]])
    ratio = spread(ratios)
    quiet, busy = figure_of(runs["quiet"], "p99"), figure_of(runs["busy"], "p99")
    rows: list[list[object]] = [
        ["nobody trains, p50", ranged(figure_of(runs["quiet"], "p50"), " ms"), ""],
        ["nobody trains, p99", ranged(quiet, " ms"), ""],
        ["another tenant trains, p50", ranged(figure_of(runs["busy"], "p50"), " ms"), ""],
        ["another tenant trains, p99", ranged(busy, " ms"), ""],
        ["p99 against nobody's", ranged(ratio, " x"), f"<= 2 x: {met(ratio['median'] <= 2)}"],
        [f"a training meanwhile ({len(seconds)})", ranged(spread(seconds), " s"), ""],
    ]
    table(["", "", "goal"], rows)
    goals = {"p99 while another tenant trains <= 2 x": goal(ratio["median"], ratio["median"] <= 2)}
    return {"runs": runs, "ratio": ratio, "trainings": seconds, "goals": goals}


@contextmanager
def _trained(server: Served, tenant: str, seconds: list[float]) -> Iterator[None]:
    """A tenant trains over and over until the block ends; waits for the last training."""
    over, wrong = threading.Event(), []

    def again() -> None:
        while not over.is_set():
            start = time.perf_counter()
            try:
                server.train(tenant, {"days": 90})
            except (RuntimeError, OSError) as error:
                wrong.append(error)
                return
            seconds.append(time.perf_counter() - start)

    thread = threading.Thread(target=again)
    thread.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        over.set()
        thread.join()
    if wrong:
        raise wrong[0]


@dataclass(frozen=True)
class _Seen:
    """An answer: when it was asked for and came, by which process, and the version that it names."""

    sent: float
    came: float
    process: int | None
    version: str


def rollback() -> dict[str, Any]:
    """How long until nobody is answered by the version that was rolled back, with two workers."""
    with place() as here:
        here.tenants("bench")
        with served(here, workers=2) as server:
            path = f"{PATH}/models"
            (first,) = server.ask("bench", path, method="GET")
            second = server.train("bench", {"days": 120})
            runs = []
            with _watched(server, "bench") as seen:
                for _ in range(ROLLBACKS):
                    server.ask("bench", f"{path}/{second['version']}/promote", {})
                    time.sleep(1.0)
                    start = time.perf_counter()
                    back = server.ask("bench", f"{PATH}/rollback")
                    answered = time.perf_counter()
                    time.sleep(2.5)
                    if back["version"] != first["version"]:
                        raise RuntimeError(f"rolled back to {back['version']}, not {first['version']}")
                    runs.append(_gone([*seen], second["version"], start, answered))
    processes = {one.process for one in seen}
    took, stale = spread([run["seconds"] for run in runs]), int(sum(run["stale"] for run in runs))
    there = "an unknown number of" if None in processes else len(processes)
    print(f"{ROLLBACKS} rollbacks over HTTP while {len(seen):,} answers came from {there} processes of two workers\n")
    rows: list[list[object]] = [
        ["until the last answer by the version before", ranged(took, " s"), f"< 2 s: {met(took['max'] < 2)}"],
        ["the rollback itself", ranged(spread([run["call"] for run in runs]), " s"), ""],
        ["requests sent after it was answered that still got the old one", stale, ""],
    ]
    table(["", "", "goal"], rows)
    if len(processes) < 2 and None not in processes:
        raise RuntimeError("every answer came from the same process")
    goals = {"a rollback is seen by every worker in < 2 s": goal(took["max"], took["max"] < 2)}
    return {"seconds": took, "stale": stale, "answers": len(seen), "processes": len(processes), "goals": goals}


def _gone(seen: Sequence[_Seen], version: str, start: float, answered: float) -> dict[str, float]:
    """Seconds from a rollback's start to the last answer by `version`; and how many asked after its end got it."""
    old = [one for one in seen if one.came > start and one.version == version]
    if not any(one.came < start and one.version == version for one in seen):
        raise RuntimeError(f"{version} did not serve before it was rolled back")
    return {
        "seconds": max((one.came - start for one in old), default=0.0),
        "call": answered - start,
        "stale": sum(one.sent > answered for one in old),
    }


@contextmanager
def _watched(server: Served, tenant: str) -> Iterator[list[_Seen]]:
    """Ask every worker again and again, two connections each, until the block ends; what was seen."""
    lines: dict[int | None, list[http.client.HTTPConnection]] = {}
    for _ in range(64):
        line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        said(line, server.here.token(tenant), "/health", method="GET")
        lines.setdefault(worker(server, line), []).append(line)
    asked = [(process, line) for process, those in lines.items() for line in those[: 2 if len(lines) > 1 else 8]]
    over, seen, token = threading.Event(), list[_Seen](), server.here.token(tenant)
    plan = server.plan(tenant, seconds=0)

    def watch(process: int | None, line: http.client.HTTPConnection) -> None:
        while not over.wait(0.01):
            start = time.perf_counter()
            told = said(line, token, plan.path, ASKED)
            seen.append(_Seen(start, time.perf_counter(), process, told["foretell"]["version"]))

    for _, line in asked:  # a process's first answer takes longer: it reads the model
        said(line, token, plan.path, ASKED)
    threads = [threading.Thread(target=watch, args=one) for one in asked]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


def use() -> dict[str, Any]:
    """Memory of the process that answers, with the models of many tenants in use; and a training over HTTP."""
    names = [f"tenant-{k}" for k in range(TENANTS)]
    with place() as here, Generator() as generator:
        newest = here.tenants("long", *names, later=SHORT)
        with served(here) as server:
            line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            said(line, here.token("long"), "/health", method="GET")
            process = worker(server, line)
            if process is None:
                raise MissingError("this system has no /proc to read a process's memory from")
            told = {"start": memory(process)}
            plan = server.plan(*names, moment=newest, step=-1.0, seconds=SECONDS, rate=RATE)
            generator.run(plan)
            run = generator.run(plan)
            told["used"] = memory(process)
            start = time.perf_counter()
            server.train("long", {"days": 90})
            seconds = time.perf_counter() - start
            told["trained"] = memory(process)
            others = {pid: memory(pid) for pid in family(server.pid) if pid != process}
    most, training = told["trained"]["most"], max(one["most"] for one in others.values())
    print(f"{TENANTS} tenants of {SHORT} days each, every one asked {2 * run['asked'] // TENANTS} times; one worker\n")
    rows: list[list[object]] = [
        ["the web process, ready", f"{number(told['start']['rss'])} MB", ""],
        [f"with the models of {TENANTS} tenants in use", f"{number(told['used']['rss'])} MB", ""],
        [f"  their answers at {RATE:g}/s, in turn, not cached, p50", f"{number(run['p50'])} ms", ""],
        ["  p99", f"{number(run['p99'])} ms", f"< 200 ms: {met(run['p99'] < 200)}"],
        ["the most it had, a training later", f"{number(most)} MB", f"< 512 MB: {met(most < 512)}"],
        ["its other processes (training), their share", f"{number(sum(one['pss'] for one in others.values()))} MB", ""],
        ["  the most that one of them had", f"{number(training)} MB", f"< 2,000 MB: {met(training < 2000)}"],
        ["training on 90 days over HTTP", f"{number(seconds)} s", f"<= 60 s: {met(seconds <= 60)}"],
    ]
    table(["", "", "goal"], rows)
    goals = {
        f"web process with {TENANTS} tenants' models < 512 MB": goal(most, most < 512),
        f"answers of {TENANTS} tenants in turn: p99 < 200 ms": goal(run["p99"], run["p99"] < 200),
        "training on 90 days over HTTP <= 60 s": goal(seconds, seconds <= 60),
        "a process that trains < 2,000 MB": goal(training, training < 2000),
    }
    return {"memory": told, "others": [*others.values()], "run": run, "train_seconds": seconds, "goals": goals}


def mlflow() -> dict[str, Any]:
    """Beside `mlflow models serve` with the same boosters, in turn."""
    with place() as here, Generator() as generator:
        newest = here.tenants("bench")
        with beside.mlflow(here, "bench") as theirs, served(here) as server:
            ours = server.plan("bench", moment=newest, seconds=SECONDS, rate=RATE)
            plans = {"ours": ours, "theirs": replace(theirs, seconds=SECONDS, rate=RATE)}
            plans |= {f"{name}_most": _without_pause(plan) for name, plan in plans.items()}
            runs = _rounds(generator, plans)
    _all_fresh([*runs["ours"], *runs["ours_most"]])
    print(f"the same three boosters behind `mlflow models serve` (mlflow {beside.MLFLOW}, one worker), in turn")
    how_measured([*runs["ours"], *runs["theirs"]])
    print("MLflow's is given four rows of features, and says three quantiles of each. It knows no caller, reads no")
    print("database, makes no features, calibrates and decides nothing and keeps no ledger; ours does all of it.\n")
    ratios: dict[str, float] = {}
    rows: list[list[object]] = []
    for words, name, figure, unit in (
        (f"{RATE:g}/s, p50", "", "p50", " ms"),
        (f"{RATE:g}/s, p99", "", "p99", " ms"),
        (f"{CONNECTIONS} connections without pause", "_most", "per_second", "/s"),
    ):
        mine, other = figure_of(runs[f"ours{name}"], figure), figure_of(runs[f"theirs{name}"], figure)
        ratios[figure] = mine["median"] / other["median"]
        rows.append([words, ranged(mine, unit), ranged(other, unit), f"{number(ratios[figure])} x"])
    table(["", "foretell, not cached", "MLflow", "foretell's of MLflow's"], rows)
    return {"runs": runs, "ratios": ratios}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "predict": predict,
    "training": training,
    "rollback": rollback,
    "memory": use,
    "mlflow": mlflow,
}
