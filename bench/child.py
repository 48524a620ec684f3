"""What is timed, each in a process of its own: `python -m bench.child NAME` prints its figures as a line of JSON."""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

RACE = ("weekly_naive", "seasonal_baseline", "pattern_learner")
CALLS = 1000
ORIGINS = 60


def peak() -> float:
    """The most resident memory this process has had, in MB (a million bytes)."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def yardstick() -> float:
    """Milliseconds of a fixed loop in plain Python: how fast this core is just now, to compare runs with."""
    start = time.perf_counter()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    return 1000 * (time.perf_counter() - start)


def _imported() -> float:
    """Seconds to import all that training needs."""
    start = time.perf_counter()
    import lightgbm  # noqa: F401

    import foretell.app
    import foretell.domains.traffic  # noqa: F401

    return time.perf_counter() - start


def train(*candidates: str) -> dict[str, float]:
    """Train on the last 90 days of one service; before it, to warm up, on three weeks of the year before."""
    imported = _imported()
    from bench.data import packaged, racing, stood

    from foretell.domains.traffic import LOAD
    from foretell.engine import train as engine

    task = racing(*candidates) if candidates else LOAD
    whole = packaged()
    engine.train(task, stood(whole, whole.now - timedelta(days=365), days=21))
    history = stood(whole, days=90)
    before = peak()
    start = time.perf_counter()
    trained = engine.train(task, history)
    seconds = time.perf_counter() - start
    if candidates and trained.model.card.candidate != candidates[-1]:
        raise SystemExit(f"{trained.model.card.candidate} won the race, not {candidates[-1]}")
    return {
        "import": imported, "seconds": seconds, "memory": peak(), "memory_before": before,
        "rows": float(history["metrics"].height), "ran": float(len(trained.backtest.raw)),
    }  # fmt: skip


def raced() -> dict[str, float]:
    """The race of the weekly naive, the seasonal baseline and the pattern learner."""
    return train(*RACE)


def features() -> dict[str, float]:
    """The 19 features of a million rows of one service, a minute apart; once as they come, once again."""
    import numpy as np
    import polars as pl

    from foretell.domains.traffic.engineer import FeatureEngineer

    def frame(rows: int, step: str, year: int) -> pl.DataFrame:
        start = pl.datetime(year, 1, 1)
        times = pl.datetime_range(start, start.dt.offset_by(f"{rows * int(step[:-1])}{step[-1]}"), step, closed="left")
        random = np.random.default_rng(1)
        return pl.select(time=times.dt.replace_time_zone("UTC")).with_columns(value=random.gamma(9.0, 10.0, rows))

    engineer = FeatureEngineer("Asia/Riyadh")

    def all_of(rows: pl.DataFrame) -> float:
        start = time.perf_counter()
        rows = engineer.add_time_features(rows)
        rows = engineer.add_ramadan_features(rows)
        rows = engineer.add_prayer_features(rows)
        rows = engineer.add_rolling_features(rows)
        rows = engineer.add_lag_features(rows)
        seconds = time.perf_counter() - start
        if rows.width != 2 + 19:
            raise SystemExit(f"{rows.width - 2} features, not 19")
        return seconds

    all_of(frame(10_000, "1m", 2020))
    minutes = frame(1_000_000, "1m", 2022)
    first, again = all_of(minutes), all_of(minutes)
    services = [frame(8_760, "1h", 2024) for _ in range(114)]
    hourly = sum(all_of(one) for one in services)
    return {"first": first, "again": again, "hourly": hourly, "hourly_rows": 114 * 8760.0, "memory": peak()}


def predict() -> dict[str, float]:
    """Answer 1,000 requests, each of its own hour with a fresh history of 43 days; training and slicing untimed."""
    from bench.data import HOUR, packaged, racing, stood

    from foretell.contract import History
    from foretell.domains.traffic.schema import LoadRequest, WorkloadConfig
    from foretell.engine import predict as engine
    from foretell.engine.train import train

    task, whole = racing(*RACE), packaged()
    start = whole.now - CALLS * HOUR
    model = train(task, stood(whole, start, days=180)).model
    if model.card.candidate != RACE[-1]:
        raise SystemExit(f"{model.card.candidate} won the race, not {RACE[-1]}")
    request = LoadRequest(
        service="appserver_cluster", workload=WorkloadConfig(current_replicas=8, capacity_per_pod=90_000)
    )
    known = [stood(whole, start + k * HOUR, days=43) for k in range(CALLS)]
    champions = {task.name: model}

    def ask(one: History) -> float:
        began = time.perf_counter()
        (said,) = engine.predict([(task, request)], History(one.standpoint, one.tables), champions)
        took = time.perf_counter() - began
        if isinstance(said, Exception):
            raise said
        return took

    for one in known[:100]:
        ask(one)
    gc.collect()
    took = sorted(1000 * ask(one) for one in known)
    return {"p50": took[CALLS // 2], "p99": took[CALLS * 99 // 100], "min": took[0], "max": took[-1], "memory": peak()}


def prophet() -> dict[str, float | str]:
    """Sixty origins of the last sixty days, four hours each: Prophet fitted at each, ours trained once before."""
    import numpy as np
    from bench.data import APPSERVER, HOUR, packaged, racing, stood

    from foretell.domains.traffic.schema import LoadRequest
    from foretell.engine import predict as engine
    from foretell.engine import train as training

    task, whole = racing(*RACE), packaged()
    value = dict(whole["metrics"].select("time", "value").iter_rows())
    # One origin a day; the hour of the day moves on by seven, so that all of them come.
    origins = [whole.now - timedelta(days=k) + ((7 * k) % 24 - 24) * HOUR for k in range(ORIGINS - 1, -1, -1)]
    trained, seconds = [], []
    for _ in range(3):
        model, took = _timed(training.train, task, stood(whole, origins[0], days=90))
        trained.append(model.model)
        seconds.append(took)
    champions, request = {task.name: trained[0]}, LoadRequest(service=APPSERVER.name)
    wrong: dict[str, list[float]] = {"prophet": [], "naive": [], "ours": []}
    took_prophet, took_ours = [], []
    for origin in origins:
        history = stood(whole, origin, days=90)
        at = [origin + k * HOUR for k in range(4)]
        (said,), took = _timed(engine.predict, [(task, request)], history, champions)
        took_ours.append(took)
        points = {"ours": [hour.expected for hour in said.answer.hours]}
        points["prophet"], took = _timed(_by_prophet, *_tables(history, at, APPSERVER.zone))
        took_prophet.append(took)
        points["naive"] = [value.get(moment - timedelta(days=7), np.nan) for moment in at]
        actual = np.array([value.get(moment, np.nan) for moment in at])
        for name, errors in wrong.items():
            errors += list(np.abs(np.asarray(points[name]) - actual))
    there = ~np.isnan(np.sum(list(wrong.values()), axis=0))
    return {
        **{f"mae_{name}": float(np.array(errors)[there].mean()) for name, errors in wrong.items()},
        "ours": trained[0].card.candidate,
        "forecasts": float(there.sum()),
        "prophet_each": float(np.median(took_prophet)),
        "ours_each": float(np.median(took_ours)),
        "ours_train": float(np.median(seconds)),
    }


def _timed(did: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    return did(*arguments), time.perf_counter() - start


def _tables(history: Any, at: list[datetime], zone: str) -> tuple[Any, Any]:
    """What Prophet is given: known hours and hours asked for, on the local clock that ours looks at too."""
    import polars as pl

    clock = pl.col("time").dt.convert_time_zone(zone).dt.replace_time_zone(None).alias("ds")
    return history["metrics"].select(clock, y="value").to_pandas(), pl.DataFrame({"time": at}).select(clock).to_pandas()


def _by_prophet(known: Any, then: Any) -> Any:
    from prophet import Prophet

    return Prophet(weekly_seasonality=True, daily_seasonality=True).fit(known).predict(then)["yhat"].to_numpy()


def full() -> dict[str, float]:
    """The race as it is declared, all candidates."""
    return train()


if __name__ == "__main__":
    before = yardstick()
    told: dict[str, Any] = {one.__name__: one for one in (raced, full, features, predict, prophet)}[sys.argv[1]]()
    print(json.dumps({**told, "yardstick": (before + yardstick()) / 2}))
