"""The as-of join of a training set: ours, pandas' and Feast's, of the same rows for the same questions.

Feast makes no windows, it joins what its users have made. So every behavioural feature is made at each event before,
which is not timed. Beside the joins stands what we do instead: make the features at the questions' own moments.

`python -m bench.asof NAME FOLDER HALVED` does a part in a process of its own and prints its figures as a line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
from bench.beside import environment
from bench.report import goal, met, number, table
from bench.service import ROOT, memory
from bench.vectors import made

from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.features.asof import newest
from foretell.features.windows import DAY, vectors

FEAST = "0.67.0"
OURS = {"windows": "ours, features made and all", "joined": "ours, join alone", "merged": "pandas, merge_asof"}
THEIRS = {"duckdb": "Feast, DuckDB store", "dask": "Feast, file store (Dask)"}
MOST, LONGEST = 12_000.0, 600.0  # MB and seconds that a way may take: what takes more has not survived
HALVINGS = 5  # of the size, at most, until all survive
TABLES = ("accesses", "alerts", "emails", "searches", "sessions")
SINCE = {"accesses": "days_since_doc_access", "sessions": "days_since_session"}  # of any row, so of the newest


def measure() -> dict[str, Any]:
    """Seconds and memory of each way, printed; raises MissingError without Feast, RuntimeError where answers differ."""
    python = environment(f"feast-{FEAST}", f"feast[duckdb]=={FEAST}")
    theirs = {name: [str(python), str(ROOT / "bench" / "feasted.py"), name] for name in THEIRS}
    ways = {name: [sys.executable, "-m", "bench.asof", name] for name in OURS} | theirs
    runs = []
    for halved in range(HALVINGS + 1):
        with tempfile.TemporaryDirectory(prefix="foretell-bench-") as folder:
            more = [folder, str(halved)]
            size = _watched([sys.executable, "-m", "bench.asof", "rows", *more])
            told = {name: _watched([*command, *more]) for name, command in ways.items()}
            for name, one in told.items():
                if "seconds" in one:
                    one["answered"] = _answered(Path(folder), name)
        runs.append({"size": size, "ways": told})
        if all("seconds" in one for one in told.values()):
            break
    return _said(runs)


def _said(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of all sizes, printed; compared is each of Feast's stores at the largest size that it survived."""
    print(
        f"Feast {FEAST} is given every feature as made at each event, which is not timed, and finds the newest row of"
        f"\nfive tables. What takes more than {MOST:,.0f} MB or {LONGEST:g} s has not survived. All answers are the"
        "\nsame, question by question; its file store leaves out who has rows in a table, but none by then.\n"
    )
    rows: list[list[object]] = []
    goals: dict[str, Any] = {}
    for run in runs:
        of, ways = run["size"], run["ways"]
        rows.append([f"**{of['questions']:,} questions, {of['rows']:,} rows**", "", "", ""])
        for name, words in (OURS | THEIRS).items():
            one = ways[name]
            took = [number(one["seconds"]), f"{one['answered']:,}"] if "seconds" in one else [one["lost"], ""]
            rows.append([words, *took, number(one["memory"])])
        for name, words in THEIRS.items():
            if "seconds" in ways[name]:  # the largest size that it survived
                times = ways[name]["seconds"] / ways["joined"]["seconds"]
                goals.setdefault(f"our join beside {words}: as quick or quicker, times", goal(times, times >= 1))
    table(["", "seconds", "answered", "peak MB"], rows)
    table(["goal", "is", ""], [[words, number(one["is"]), met(one["met"])] for words, one in goals.items()])
    return {"runs": runs, "goals": goals}


def _watched(command: Sequence[str]) -> dict[str, Any]:
    """The figures of a process with its peak memory; `lost` in the place of seconds where it took too much."""
    start, most, lost = time.perf_counter(), 0.0, ""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as wrong:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=wrong)
        while process.poll() is None and not lost:
            time.sleep(0.1)
            with suppress(OSError, LookupError, StopIteration):  # it may just have ended
                most = max(most, memory(process.pid)["most"])
            if most > MOST:
                lost = f"above {MOST:,.0f} MB"
            elif time.perf_counter() - start > LONGEST:
                lost = f"above {LONGEST:g} s"
        if lost:
            process.kill()
            process.wait()
            return {"lost": lost, "memory": most}
        for text in (said, wrong):
            text.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {wrong.read()[-2000:]}")
        return {**json.loads(said.read().splitlines()[-1]), "memory": most}


def _answered(folder: Path, name: str) -> int:
    """How many questions a way answered; raises RuntimeError for none, or where it says other than our join."""
    joined, found = (pl.read_parquet(folder / f"answer-{one}.parquet") for one in ("joined", name))
    ours = joined
    if name == "windows":
        today = pl.read_parquet(folder / "questions.parquet")["event_timestamp"].dt.epoch("us") // DAY
        ours = joined.select((today - pl.col(f"{of}_day")).alias(one) for of, one in SINCE.items())
    elif "place" in found.columns:
        found = found.sort("place")
        ours = joined[found["place"].to_list()]
    if found.is_empty() or not ours.equals(found.select(pl.col(ours.columns).cast(pl.Float64).fill_nan(None))):
        raise RuntimeError(f"{name} says something else than our join")
    return found.height


# ---------------------------------------------------------------- children


def rows(folder: Path, halved: int) -> dict[str, Any]:
    """The questions, and of each table its features as made at each event, with the day of that event; as Parquet."""
    history, asked = made(halved)
    asked.select("entity", pl.int_range(pl.len()).alias("place"), event_timestamp="as_of").write_parquet(
        folder / "questions.parquet"
    )
    count = 0
    for name in TABLES:
        events = history[name].select("entity", as_of="known_at")
        day = history[name].select((pl.col("time").dt.epoch("us") // DAY).cast(pl.Float64).alias(f"{name}_day"))
        block = vectors(CATALOGUE, history, events.with_columns(at="as_of"), _names(name))
        whole = [events.rename({"as_of": "event_timestamp"}), block.frame().fill_nan(None), day]
        pl.concat(whole, how="horizontal").write_parquet(folder / f"rows-{name}.parquet")
        count += events.height
    return {"questions": asked.height, "rows": count}


def _names(table_name: str) -> list[str]:
    """The behavioural features of a table; what is made of others is made of visits."""
    some = (one for one in CATALOGUE.features if one.group == "behavioural")
    return [one.name for one in some if (one.table or "sessions") == table_name]


def windows(folder: Path, halved: int) -> dict[str, Any]:
    """Every behavioural feature, made at the questions' moments of the events themselves."""
    history, asked = made(halved)
    start = time.perf_counter()
    found = vectors(CATALOGUE, history, asked, CATALOGUE.names("behavioural"))
    seconds = time.perf_counter() - start
    found.frame().fill_nan(None).write_parquet(folder / "answer-windows.parquet")
    return {"seconds": seconds}


def joined(folder: Path, _: int) -> dict[str, Any]:
    """The newest row of each table for each question, as models see it."""
    asked = pl.read_parquet(folder / "questions.parquet").rename({"event_timestamp": "as_of"})
    start = time.perf_counter()
    parts = []
    for name in TABLES:
        made = pl.read_parquet(folder / f"rows-{name}.parquet").rename({"event_timestamp": "known_at"})
        parts.append(newest(asked, made, "entity", made.columns[2:]))
    found = pl.concat(parts, how="horizontal")
    seconds = time.perf_counter() - start
    found.write_parquet(folder / "answer-joined.parquet")
    return {"seconds": seconds}


def merged(folder: Path, _: int) -> dict[str, Any]:
    """The same by pandas."""
    import pandas as pd

    asked = pd.read_parquet(folder / "questions.parquet")
    start = time.perf_counter()
    found = asked.sort_values("event_timestamp")
    for name in TABLES:
        made = pd.read_parquet(folder / f"rows-{name}.parquet").sort_values("event_timestamp")
        found = pd.merge_asof(found, made, on="event_timestamp", by="entity")
    seconds = time.perf_counter() - start
    found.to_parquet(folder / "answer-merged.parquet")
    return {"seconds": seconds}


if __name__ == "__main__":
    parts: dict[str, Callable[[Path, int], dict[str, Any]]] = {
        "rows": rows, "windows": windows, "joined": joined, "merged": merged
    }  # fmt: skip
    print(json.dumps(parts[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))))
