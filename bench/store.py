"""What the stores take: a million rows in, an entity's week out, the first start; beside what one would do instead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.child import peak
from bench.report import goal, met, number, ranged, spread, table

ROOT = Path(__file__).resolve().parent.parent
ROWS, SERVICES = 1_000_000, 10
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
READS, MANY = 1000, 25


@contextmanager
def _home() -> Iterator[Path]:
    """A folder of our own, which root's PostgreSQL reaches too; its server is stopped at the end."""
    from foretell.stores import launcher

    folder = Path(tempfile.mkdtemp(prefix="foretell-bench-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder / "home"
    finally:
        launcher.stop(folder / "home")
        shutil.rmtree(folder)


def _file(folder: Path, rows: int) -> Path:
    """A CSV of so many rows, ten services a minute apart."""
    import numpy as np
    import polars as pl

    place = np.arange(rows)
    moment = int(BEGIN.timestamp()) * 1_000_000 + place // SERVICES * 60_000_000
    frame = pl.DataFrame(
        {
            "timestamp": pl.Series(moment).cast(pl.Datetime("us", "UTC")),
            "value": np.random.default_rng(1).gamma(9.0, 10.0, rows).round(3),
            "service": pl.Series([f"service-{k}" for k in range(SERVICES)]).gather(place % SERVICES),
        }
    )
    frame.write_csv(folder / "metrics.csv")
    return folder / "metrics.csv"


def _child(name: str, home: Path, *more: str) -> dict[str, float]:
    """The figures of a fresh process."""
    command = [sys.executable, "-m", "bench.store", name, *more]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "FORETELL_HOME": str(home)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def take(file: str) -> dict[str, float]:
    """Import a file as `foretell import` does; seconds from opening the stores on, and the process's memory."""
    from foretell.app import App

    start = time.perf_counter()
    with App.open("bench", zone="UTC") as app:
        plan = app.plan("traffic.metrics", Path(file))
        done = app.import_file("traffic.metrics", Path(file), plan)
    told = {"seconds": time.perf_counter() - start, "memory": peak()}
    return told | {"accepted": done.accepted, "unchanged": done.unchanged, "rejected": done.rejected}


def copy(file: str) -> dict[str, float]:
    """The same file by COPY as superuser into a plain table with three such indexes: no checks, tenants, revisions."""
    import psycopg

    from foretell.stores import launcher

    server = launcher.start(Path(os.environ["FORETELL_HOME"]))
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(
            "DROP TABLE IF EXISTS plain; CREATE TABLE plain (time timestamptz, value float8, service text,"
            " tenant_id text DEFAULT 'bench', metric_type text DEFAULT 'requests_per_minute',"
            " PRIMARY KEY (tenant_id, service, metric_type, time));"
            "CREATE INDEX ON plain (tenant_id, time DESC); CREATE INDEX ON plain (tenant_id, metric_type, time DESC)"
        )
        start = time.perf_counter()
        with connection.cursor().copy("COPY plain (time, value, service) FROM STDIN (FORMAT csv, HEADER)") as into:
            into.write(Path(file).read_bytes())
        return {"seconds": time.perf_counter() - start}


def look() -> dict[str, float]:
    """Read an entity's 168 hours a thousand times: in a transaction, with one each, and as rows by psycopg alone."""
    import polars as pl
    import psycopg

    from foretell.app import App
    from foretell.stores import facts, launcher

    server = launcher.start(Path(os.environ["FORETELL_HOME"]))
    with App.open("week", zone="UTC") as app:
        hours = [BEGIN + timedelta(hours=k) for k in range(24 * 400)]
        whole = pl.DataFrame({"time": hours, "value": [float(k % 24) for k in range(len(hours))]})
        for k in range(MANY):
            rows = whole.with_columns(service=pl.lit(f"service {k}"))
            app.import_("traffic.metrics", rows, interval=timedelta(hours=1))
        with psycopg.connect(server.url("foretell"), autocommit=True) as connection:
            connection.execute("ANALYZE traffic.metrics")  # as PostgreSQL does by itself, minutes after an import
        database, metrics, now = app.house.stores.database, app.house.domains["traffic"].tables[0], hours[-1]

        def week(connection: Any) -> None:
            window, only = timedelta(hours=168), {"entity": ["service 1/requests_per_minute"]}
            rows = facts.read(connection, "week", "traffic", metrics, known=now, window=window, only=only)
            if rows.height != 168:
                raise SystemExit(f"{rows.height} rows, not 168")

        def alone() -> None:
            with database.tenant("week", snapshot=True) as connection:
                week(connection)

        def plainly(connection: Any) -> None:
            columns = "time, value, service, metric_type, metadata::text, entity, known_at"
            rows = connection.execute(
                f"SELECT {columns} FROM traffic.metrics WHERE tenant_id = %s AND entity = %s"  # noqa: S608
                " AND replaced_at = 'infinity' AND time > %s AND time <= %s ORDER BY known_at",
                ["week", "service 1/requests_per_minute", now - timedelta(hours=169), now],
            ).fetchall()
            pl.DataFrame(rows, schema=columns.replace("::text", "").split(", "), orient="row")

        with database.tenant("week", snapshot=True) as connection:
            inside, beside = _times(lambda: week(connection)), _times(lambda: plainly(connection))
        whole_trip = _times(alone)
    return {"p50": inside[0], "p99": inside[1], "trip_p50": whole_trip[0], "trip_p99": whole_trip[1], "rows": beside[0]}


def _times(did: Callable[[], None]) -> tuple[float, float]:
    """Milliseconds: the median and the 99th percentile of a thousand times, after fifty to warm up."""
    took = []
    for _ in range(50 + READS):
        start = time.perf_counter()
        did()
        took.append(1000 * (time.perf_counter() - start))
    took = sorted(took[50:])
    return took[READS // 2], took[READS * 99 // 100]


def begin() -> dict[str, float]:
    """Open the stores; imports apart, but for those that only a first start needs (Alembic)."""
    start = time.perf_counter()
    from foretell.app import App

    imported = time.perf_counter()
    with App.open("bench", zone="UTC"):  # which opens them twice: for the tenant, and to use them
        return {"import": imported - start, "seconds": time.perf_counter() - imported}


def imports() -> dict[str, Any]:
    """A million rows in, three times, and five million once for the memory."""
    told: dict[str, list[float]] = {"first": [], "again": [], "copy": [], "memory": []}
    for _ in range(3):
        with _home() as home:
            file = _file(home.parent, ROWS)
            begun = [_child("take", home, str(file)) for _ in range(2)]
            if (begun[0]["accepted"], begun[1]["unchanged"]) != (ROWS, ROWS):
                raise RuntimeError(f"not every row came in: {begun}")
            told["first"].append(begun[0]["seconds"])
            told["again"].append(begun[1]["seconds"])
            told["memory"].append(begun[0]["memory"])
            told["copy"].append(_child("copy", home, str(file))["seconds"])
    with _home() as home:
        large = _child("take", home, str(_file(home.parent, 5 * ROWS)))
    every = {name: spread(figures) for name, figures in told.items()}
    ratio = every["first"]["median"] / every["copy"]["median"]
    first, again = every["first"]["median"], every["again"]["median"]
    print("1,000,000 rows of a CSV, 10 services, every row checked; the server's start is in the first\n")
    rows: list[list[object]] = [
        ["import", ranged(every["first"], " s"), f"< 20 s: {met(first < 20)}"],
        ["the same file again", ranged(every["again"], " s"), f"< 12 s: {met(again < 12)}"],
        ["plain COPY as superuser, as many indexes", ranged(every["copy"], " s"), f"import takes {number(ratio)} x"],
        ["peak memory of the importing process", ranged(every["memory"], " MB"), ""],
        ["the same for 5,000,000 rows", f"{number(large['memory'])} MB", f"< 500 MB: {met(large['memory'] < 500)}"],
        ["5,000,000 rows", f"{number(large['seconds'])} s", ""],
    ]
    table(["", "", "goal"], rows)
    goals = {
        "1,000,000 rows imported < 20 s": goal(first, first < 20),
        "the same again < 12 s": goal(again, again < 12),
        "5,000,000 rows < 500 MB": goal(large["memory"], large["memory"] < 500),
    }
    return {**every, "ratio_of_copy": ratio, "large": large, "goals": goals}


def reads() -> dict[str, Any]:
    """One entity's week out."""
    with _home() as home:
        runs = [_child("look", home) for _ in range(5)]
    every = {name: spread([run[name] for run in runs]) for name in runs[0]}
    median = every["p50"]["median"]
    print(f"168 hours of one of {MANY} services of 400 days each, into Polars; five processes, 1,000 reads each\n")
    rows: list[list[object]] = [
        ["read, p50", ranged(every["p50"], " ms"), f"< 1 ms: {met(median < 1)}"],
        ["read, p99", ranged(every["p99"], " ms"), ""],
        ["with a transaction of its own, p50", ranged(every["trip_p50"], " ms"), ""],
        ["with a transaction of its own, p99", ranged(every["trip_p99"], " ms"), ""],
        ["the same rows by fetchall and pl.DataFrame, p50", ranged(every["rows"], " ms"), ""],
    ]
    table(["", "", "goal"], rows)
    return {**every, "goals": {"168 hours of one entity < 1 ms": goal(median, median < 1)}}


def starts() -> dict[str, Any]:
    """From nothing to open stores."""
    from foretell.stores import launcher

    told: dict[str, list[float]] = {"first": [], "later": [], "running": [], "import": []}
    for _ in range(5):
        with _home() as home:
            first = _child("begin", home)
            told["first"].append(first["seconds"])
            told["import"].append(first["import"])
            told["running"].append(_child("begin", home)["seconds"])
            launcher.stop(home)
            told["later"].append(_child("begin", home)["seconds"])
    every = {name: spread(figures) for name, figures in told.items()}
    first_, later = every["first"]["median"], every["later"]["median"]
    print("opening the stores in a fresh process; five times\n")
    rows: list[list[object]] = [
        ["first: data folder, roles, tables, tenant", ranged(every["first"], " s"), f"< 3 s: {met(first_ < 3)}"],
        ["later: the server is down", ranged(every["later"], " s"), f"< 0.5 s: {met(later < 0.5)}"],
        ["the server runs", ranged(every["running"], " s"), ""],
        ["imports, not in the above", ranged(every["import"], " s"), ""],
    ]
    table(["", "", "goal"], rows)
    goals = {"first start < 3 s": goal(first_, first_ < 3), "later start < 0.5 s": goal(later, later < 0.5)}
    return {**every, "goals": goals}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {"import": imports, "read": reads, "start": starts}

if __name__ == "__main__":
    children: dict[str, Callable[..., dict[str, float]]] = {one.__name__: one for one in (take, copy, look, begin)}
    print(json.dumps(children[sys.argv[1]](*sys.argv[2:])))
