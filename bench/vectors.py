"""Half a million questions, two million events: what was known of each at its moment, all behavioural features.

`python -m bench.vectors NAME` does it in a process of its own and prints its figures as a line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bench import deals
from bench.child import peak
from bench.report import goal, met, number, table

from foretell.contract import INSTANT, Frame, History
from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.schema import Settings
from foretell.features.windows import vectors

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS, EVENTS, PEOPLE, DAYS = 500_000, 2_000_000, 50_000, 730
END = datetime(2024, 7, 1, tzinfo=UTC)
COUNTS = {"accesses": ("doc_access_count", (7, 30, 90)), "sessions": ("session_count", (7, 30, 90, 365))}


def _moments(chance: np.random.Generator, count: int) -> pl.Series:
    span = DAYS * 86_400_000_000
    end = int(END.timestamp()) * 1_000_000
    return pl.Series(end - chance.integers(1, span, count), dtype=pl.Int64).cast(INSTANT)


def made(halved: int = 0) -> tuple[History, Frame]:
    """The events, a fifth of each kind, and the questions: people and moments drawn evenly; all `halved` so often."""
    chance = np.random.default_rng(1)
    some, crowd, questions = EVENTS // 5 >> halved, PEOPLE >> halved, QUESTIONS >> halved
    said = {"event": ["sent", "open", "click"], "action": ["view", "download", "share"]}
    told = {}
    for name, key, kind in (
        ("accesses", "document", "action"), ("emails", "email", "event"), ("sessions", "", ""),
        ("alerts", "alert", "event"), ("searches", "", ""),
    ):  # fmt: skip
        who = pl.Series(chance.integers(0, crowd, some)).cast(pl.String)
        rows = pl.DataFrame({"person": who, "time": _moments(chance, some)})
        if key:
            number_of = pl.Series(chance.integers(0, 40, some)).cast(pl.String)
            rows = rows.with_columns(number_of.alias(key), pl.Series(kind, chance.choice(said[kind], some)))
        if name == "sessions":
            rows = rows.with_columns(seconds=pl.Series(chance.exponential(240, some)), pages=pl.lit(3.0))
        told[name] = rows.with_columns(action=pl.lit("search")) if name == "searches" else rows
    asked = pl.DataFrame({"entity": pl.Series(chance.integers(0, crowd, questions)).cast(pl.String)})
    asked = asked.with_columns(as_of=_moments(chance, questions))
    return deals.history(told, END, Settings()), asked.with_columns(at=pl.col("as_of") + timedelta(days=183))


def ours() -> dict[str, Any]:
    """All behavioural features by one pass of each table."""
    history, asked = made()
    before, start = peak(), time.perf_counter()
    names = CATALOGUE.names("behavioural")
    found = vectors(CATALOGUE, history, asked, names)
    seconds = time.perf_counter() - start
    sums = {f"{name}_{k}d": float(found[f"{name}_{k}d"].sum()) for name, days in COUNTS.values() for k in days}
    return {"seconds": seconds, "memory": peak(), "memory_before": before, "features": len(names), "sums": sums}


def pandas() -> dict[str, Any]:
    """Counts of two tables by `merge_asof` with running counts, one for the moment and one for each window's begin."""
    history, asked = made()
    tables = {name: history[name].select("entity", "known_at").to_pandas() for name in COUNTS}
    questions = asked.select("entity", "as_of").to_pandas()
    import pandas as pd

    before, start = peak(), time.perf_counter()
    sums: dict[str, float] = {}
    for table_name, (name, windows) in COUNTS.items():
        events = tables[table_name].sort_values("known_at")
        events["count"] = events.groupby("entity").cumcount() + 1

        def until(moments: Any, events: Any = events) -> Any:
            left = questions[["entity"]].assign(known_at=moments).sort_values("known_at")
            return pd.merge_asof(left, events, on="known_at", by="entity").set_index(left.index)["count"].fillna(0)

        now = until(questions["as_of"])
        for days in windows:
            begin = questions["as_of"].dt.floor("D") - pd.Timedelta(days=days, microseconds=1).as_unit("us")
            sums[f"{name}_{days}d"] = float((now - until(begin)).sum())
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "memory": peak(), "memory_before": before, "features": len(sums), "sums": sums}


def measure() -> dict[str, Any]:
    """Seconds and memory of fresh processes, ours and pandas', printed."""
    told = {name: _child(name) for name in ("ours", "pandas")}
    for name, total in told["pandas"]["sums"].items():
        if abs(total - told["ours"]["sums"][name]) > 1e-6 * total:
            raise RuntimeError(f"{name}: pandas counts {total}, ours {told['ours']['sums'][name]}")
    print(f"{QUESTIONS:,} questions, {EVENTS:,} events of {PEOPLE:,} people; the counts of both are the same\n")
    head = ["", "features", "seconds", "seconds a feature", "peak MB", "of it before"]
    keys = ("features", "seconds", "each", "memory", "memory_before")
    each = {name: one | {"each": one["seconds"] / one["features"]} for name, one in told.items()}
    table(head, [[name, *(number(one[key]) for key in keys)] for name, one in each.items()])
    seconds, memory = told["ours"]["seconds"], told["ours"]["memory"]
    goals = {
        "seconds for all behavioural features, < 20": goal(seconds, seconds < 20),
        "peak memory in MB, < 3,000": goal(memory, memory < 3000),
    }
    table(["goal", "is", ""], [[words, number(one["is"]), met(one["met"])] for words, one in goals.items()])
    return {"figures": each, "goals": goals}


def _child(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.vectors", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bench.vectors {name} failed: {done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    print(json.dumps({"ours": ours, "pandas": pandas}[sys.argv[1]]()))
