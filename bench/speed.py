"""How long it takes, and what memory: every repetition in a fresh process, medians with their range."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.report import goal, met, number, ranged, spread, table

ROOT = Path(__file__).resolve().parent.parent
REPEAT = 7


def _repeat(name: str, runs: int = REPEAT) -> dict[str, Any]:
    """The figures of so many fresh processes, one after the other."""
    told = []
    for _ in range(runs):
        command = [sys.executable, "-m", "bench.child", name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
        told.append(json.loads(done.stdout.splitlines()[-1]))
    every = {key: [one[key] for one in told] for key in told[0]}
    loop = ranged(spread([one["yardstick"] for one in told]), " ms")
    print(f"{runs} fresh processes, {os.cpu_count()} cores shared with whatever else runs: median (least to most)")
    print(f"a loop of a million steps in plain Python took {loop} beside it: how fast the machine was just then\n")
    return {key: ", ".join(sorted(set(of))) if isinstance(of[0], str) else spread(of) for key, of in every.items()}


def train() -> dict[str, Any]:
    """Training on 90 days of one service."""
    raced = _repeat("raced")
    rows: list[list[object]] = [
        [
            "train: race of 3 over 3 weeks, winner fitted",
            ranged(raced["seconds"], " s"),
            _under(raced["seconds"], 3, "s"),
        ],
        ["peak resident memory of the process", ranged(raced["memory"], " MB"), _under(raced["memory"], 450, "MB")],
        ["of it before: imports, data, warm-up", ranged(raced["memory_before"], " MB"), ""],
        ["imports, not in the above time", ranged(raced["import"], " s"), ""],
    ]
    print(f"90 days, {number(raced['rows']['median'])} hourly rows of one service; libraries imported and warm\n")
    table(["", "", "goal"], rows)
    full = _repeat("full", 3)
    print(f"the race as declared, {full['ran']['median']:.0f} candidates ran\n")
    table(
        ["", ""],
        [["train", ranged(full["seconds"], " s")], ["peak resident memory", ranged(full["memory"], " MB")]],
    )
    goals = {
        "training takes < 3 s (median)": goal(raced["seconds"]["median"], raced["seconds"]["median"] < 3),
        "peak memory < 450 MB (median)": goal(raced["memory"]["median"], raced["memory"]["median"] < 450),
    }
    return {"raced": raced, "full": full, "goals": goals}


def features() -> dict[str, Any]:
    """The 19 features of a million rows."""
    told = _repeat("features")
    rows: list[list[object]] = [
        [
            "1,000,000 rows a minute apart (694 days), one service",
            ranged(told["first"], " s"),
            _under(told["first"], 1, "s"),
        ],
        ["the same rows again (calendar days remembered)", ranged(told["again"], " s"), ""],
        ["998,640 hourly rows: 114 services x 365 days, one by one", ranged(told["hourly"], " s"), ""],
        ["peak resident memory of the process", ranged(told["memory"], " MB"), ""],
    ]
    table(["FeatureEngineer, all 19 features", "", "goal"], rows)
    return {
        **told,
        "goals": {"1,000,000 rows < 1 s (median)": goal(told["first"]["median"], told["first"]["median"] < 1)},
    }


def predict() -> dict[str, Any]:
    """One answer."""
    told = _repeat("predict")
    rows: list[list[object]] = [
        ["p50", ranged(told["p50"], " ms"), _under(told["p50"], 4, "ms")],
        ["p99", ranged(told["p99"], " ms"), ""],
        ["fastest of 1,000", ranged(told["min"], " ms"), ""],
        ["slowest of 1,000", ranged(told["max"], " ms"), ""],
    ]
    print("request → answer in Python: four hours and replicas, 43 days of hourly history, no store and no HTTP\n")
    table(["predict, champion pattern_learner, 1,000 calls", "", "goal"], rows)
    return {**told, "goals": {"p50 < 4 ms (median)": goal(told["p50"]["median"], told["p50"]["median"] < 4)}}


def prophet() -> dict[str, Any]:
    """Beside Prophet, on the same series in the same run."""
    told = _repeat("prophet", 3)
    mid = {key: of["median"] for key, of in told.items() if key != "ours"}
    ratios = {
        "mae_of_prophet": mid["mae_ours"] / mid["mae_prophet"],
        "mae_of_naive": mid["mae_ours"] / mid["mae_naive"],
        "prophet_of_predict": mid["prophet_each"] / mid["ours_each"],
        "train_of_prophet": mid["ours_train"] / mid["prophet_each"],
    }
    print("application servers, 60 origins in the last 60 days, 4 h ahead, 90 days of history at each;")
    print("Prophet is fitted at each origin (weekly and daily seasonality, else its defaults, clock time as ours);")
    print(f"ours is trained once, before the first; {mid['forecasts']:.0f} forecasts\n")
    rows: list[list[object]] = [
        ["Prophet", number(mid["mae_prophet"]), "1", f"fit and predict {ranged(told['prophet_each'], ' s')}"],
        ["weekly naive", number(mid["mae_naive"]), number(mid["mae_naive"] / mid["mae_prophet"]), "-"],
        [
            told["ours"], number(mid["mae_ours"]), number(ratios["mae_of_prophet"]),
            f"predict {ranged({k: 1000 * v if k != 'runs' else v for k, v in told['ours_each'].items()}, ' ms')}",
        ],
        ["  its training, once", "", "", ranged(told["ours_train"], " s")],
    ]  # fmt: skip
    table(["", "MAE, requests/h", "of Prophet's", "time at an origin"], rows)
    print(f"Prophet's fit and predict takes {number(ratios['prophet_of_predict'])} x our predict;")
    print(
        f"our training (race of three) takes {number(ratios['train_of_prophet'])} x one fit and predict of Prophet's\n"
    )
    return {**told, "ratios": ratios}


def _under(of: dict[str, float], least: float, unit: str) -> str:
    return f"< {least:g} {unit}: {met(of['median'] < least)}"


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "train": train,
    "features": features,
    "predict": predict,
    "prophet": prophet,
}
