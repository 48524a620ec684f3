"""A hundred thousand people of the seeded world: everybody's features made anew, tasks trained, as a worker does.

`python -m bench.daily NAME TENANT …` does a part in a process of its own and prints its figures as a line of JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
from bench.child import peak
from bench.report import goal, met, number, table
from bench.service import Place, place

from foretell.app import App, refreshing
from foretell.domains.realestate.people import TOLD
from foretell.domains.realestate.sample import END, world
from foretell.domains.realestate.tables import TABLES

PEOPLE = 100_000
TASK = "realestate.move"
LEARNED = ("realestate.move", "realestate.contact", "realestate.value")
LONGEST = 180.0  # seconds that a night's refresh may take; the document says an hour
LATER = timedelta(days=1)  # of facts that come between two nights


def measure() -> dict[str, Any]:
    """Seconds and memory of refreshes (the first, the next after a day's facts, one more) and trainings; printed."""
    with place() as here:
        told = measured(here)
    came, runs = told["came"], told["runs"]
    print(
        f"{PEOPLE:,} people, {came['rows']:,} facts, {came['events']:,} of them events; PostgreSQL shares the machine,"
        "\nits memory is not counted; no model is trained, and so what features are worth to one is not worked out\n"
    )
    rows: list[list[object]] = [["all facts taken in", number(came["seconds"]), "", "", "", ""]]
    for name, one in told["learned"].items():
        words = f"training {name}, from {one['outcomes']:,} outcomes of {one['entities']:,}"
        rows.append([words, number(one["seconds"]), number(one["memory"]), "", "", ""])
    for words, one in runs.items():
        told_of = (f"{one[key]:,}" for key in ("entities", "compared", "drifts"))
        rows.append([words, number(one["seconds"]), number(one["memory"]), *told_of])
    table(["", "seconds", "peak MB", "people", "compared", "features whose drift is told"], rows)
    slowest = max(one["seconds"] for one in runs.values())
    differ = sum(one["differ"] for one in runs.values())
    goals = {
        f"slowest refresh in seconds, < {LONGEST:g}": goal(slowest, slowest < LONGEST),
        "and an hour, as the document has it, < 3,600": goal(slowest, slowest < 3600),
        "kept features that differ from those made anew = 0": goal(differ, differ == 0),
    }
    table(["goal", "is", ""], [[words, number(one["is"]), met(one["met"])] for words, one in goals.items()])
    return {**told, "goals": goals}


def measured(here: Place) -> dict[str, Any]:
    """What came in, and what the refreshes took, each in a process of its own."""
    (came,) = here.child("people", "bench", str(here.folder), module="bench.daily")
    runs = {}
    runs["the first night"] = here.child("refresh", "bench", "1", module="bench.daily")[0]
    (later,) = here.child("come", "bench", str(here.folder), "later", module="bench.daily")
    runs[f"the next, after {later['rows']:,} facts"] = here.child("refresh", "bench", "0", module="bench.daily")[0]
    runs["again that day"] = here.child("refresh", "bench", "0", module="bench.daily")[0]
    learned = {name: here.child("learn", "bench", name, module="bench.daily")[0] for name in LEARNED}
    return {"came": came, "later": later, "runs": runs, "learned": learned}


# ---------------------------------------------------------------- children


def people(tenant: str, folder: str) -> list[dict[str, Any]]:
    """A tenant with the seeded world as if it ended yesterday, but for its last day, which is kept in files."""
    tables = dict(world(1, PEOPLE).tables)
    ago = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1) - END
    for one in TABLES:
        if one.name in tables:
            rows = tables.pop(one.name)
            rows = rows.select(name for name in rows.columns if name in one.kinds)
            rows = rows.with_columns(pl.col(pl.Datetime) + ago)
            late = pl.col("known_at" if "known_at" in rows.columns else one.time) > END + ago - LATER
            for when, some in (("first", rows.filter(~late)), ("later", rows.filter(late))):
                if some.height:
                    some.write_parquet(Path(folder) / f"{when}-{one.name}.parquet")
    return come(tenant, folder, "first")


def come(tenant: str, folder: str, when: str) -> list[dict[str, Any]]:
    """Take files in as `foretell import` does: how many rows, how many of them events, and how long that took."""
    taken, start = {}, time.perf_counter()
    with App.open(tenant, zone="UTC") as app:
        for path in sorted(Path(folder).glob(f"{when}-*.parquet")):
            name = path.stem.removeprefix(f"{when}-")
            done = app.import_file(f"realestate.{name}", path, app.plan(f"realestate.{name}", path))
            taken[name] = done.accepted
            if done.rejected:
                raise RuntimeError(f"{done.rejected} rows of {name} were rejected: {done.rules}")
    seconds = time.perf_counter() - start
    events = sum(count for name, count in taken.items() if name in TOLD)
    return [{"rows": sum(taken.values()), "events": events, "seconds": seconds}]


def refresh(tenant: str, ago: str) -> list[dict[str, Any]]:
    """What the job `refresh` does, put on record as of so many days ago."""
    day = datetime.now(UTC) - timedelta(days=int(ago))
    with App.open(tenant) as app, patch.object(refreshing, "datetime") as clock:
        clock.now.return_value = day
        start = time.perf_counter()
        done = refreshing.refresh(app.desk, app.desk.task(TASK))
        seconds = time.perf_counter() - start
        clock.now.return_value = datetime.now(UTC)
        told = [one for one in app.features.statistics(TASK, days=3) if one.day == day.date()]
    drifts = sum(one.drift is not None for one in told)
    return [{**done, "seconds": seconds, "memory": peak(), "features": len(told), "drifts": drifts}]


def learn(tenant: str, task: str) -> list[dict[str, Any]]:
    """A task is trained, and what is worth knowing is that it can be: how long it takes, and how much memory."""
    with App.open(tenant) as app:
        start = time.perf_counter()
        trained, _ = app.train(task)
        seconds = time.perf_counter() - start
    entities, outcomes = trained.lesson.study.questions["entity"].n_unique(), trained.lesson.outcomes.height
    return [{"seconds": seconds, "memory": peak(), "entities": entities, "outcomes": outcomes}]


if __name__ == "__main__":
    import sys

    children: dict[str, Callable[..., list[dict[str, Any]]]] = {
        "people": people, "come": come, "refresh": refresh, "learn": learn,
    }  # fmt: skip
    print(json.dumps(children[sys.argv[1]](*sys.argv[2:])))
