"""How well the output of public plants is said, beside what was published and beside smart persistence.

Everything is out of sample and in time order. A task's candidates are fitted on the outcomes known at a mark, by the
engine's own lesson, and asked what comes after. `bench.plants` says what the weather is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from bench.plants import cut, file, gefcom_solar, gefcom_wind, haute_borne, newcastle
from bench.report import goal, met, table

from foretell import metrics
from foretell.contract import Floats, Frame, History, Task, quantile
from foretell.domains.energy import SOLAR, WIND
from foretell.domains.energy.features import framed
from foretell.domains.energy.models import LEVELS
from foretell.engine.train import lesson
from foretell.features.grid import micros

HOUR = timedelta(hours=1)
NINETY_NINE = tuple(np.arange(1, 100) / 100)
PARTS = ("gefcom_wind", "gefcom_solar", "haute_borne", "newcastle")


def measure(name: str) -> dict[str, Any]:
    """The figures of one part, printed; raises MissingError without its files."""
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "gefcom_wind": _gefcom_wind, "gefcom_solar": _gefcom_solar,
        "haute_borne": lambda: _site(WIND, haute_borne()), "newcastle": lambda: _site(SOLAR, newcastle()),
    }  # fmt: skip
    return parts[name]()


# ---------------------------------------------------------------- the competition


def _month(plants: Sequence[str], start: datetime) -> Frame:
    """Every hour of a month, each asked at the beginning of its day."""
    end = (start + timedelta(days=32)).replace(day=1)
    hours = np.arange(int(start.timestamp()) // 3600, int(end.timestamp()) // 3600)
    at = np.tile(hours, len(plants)) * 3_600_000_000
    names = [name for name in plants for _ in hours]
    return framed(names, at // 86_400_000_000 * 86_400_000_000, at)


def _tested(task: Task, history: History, start: datetime) -> tuple[Frame, dict[str, Frame], float]:
    """The questions of a month with their outcomes, what was said of them by method, and the seconds it took to learn.

    Learned is what was known at the month's start; its readings are not known, its weather is.
    """
    taught = lesson(task, history.cut(start))
    began = time.perf_counter()
    both = task.candidates["ensemble"]().fit(taught.study, taught.outcomes)
    took = time.perf_counter() - began
    asked = _month(sorted(history["plants"]["plant"]), start)
    study = task.study(cut(history, start, weather=True), asked)
    value = task.outcomes(history, asked)["value"]
    said = {"ensemble": both.forecast(study), "boosted": both.trees.forecast(study)}  # type: ignore[attr-defined]
    base = task.candidates[task.baseline]().fit(taught.study, taught.outcomes)
    said |= {task.baseline: base.forecast(study), "physical": task.candidates["physical"]().forecast(study)}
    capacity = pl.Series(study.features["capacity"])
    rows = {name: one.rows.select(pl.all() / capacity).with_columns(asked["entity"]) for name, one in said.items()}
    return asked.with_columns(value=value / capacity), rows, took


def pinball(value: Floats, rows: Frame) -> float:
    """The competition's score: the mean over 99 quantiles, a line between those told, flat beyond the outermost."""
    said = np.clip(rows.select(map(quantile, LEVELS)).to_numpy(), 0, 1)
    whole = np.array([np.interp(NINETY_NINE, LEVELS, row) for row in said])
    return metrics.pinball(value, whole, NINETY_NINE)


def _scored(asked: Frame, rows: dict[str, Frame], *, dark: bool = False) -> dict[str, float]:
    """Each method's score, the mean over the zones; at night nothing is said, and nothing comes."""
    out: dict[str, list[float]] = {name: [] for name in rows}
    there = asked["value"].is_not_null()
    for zone in asked["entity"].unique().sort():
        mine = there & (asked["entity"] == zone)
        value = asked["value"].filter(mine).to_numpy()
        for name, one in rows.items():
            told = one.filter(mine)
            if dark:
                told = told.with_columns(
                    pl.when(pl.Series(_night(asked.filter(mine)))).then(0.0).otherwise(pl.col(q)).alias(q)
                    for q in map(quantile, LEVELS)
                )
            out[name].append(pinball(value, told))
    return {name: float(np.mean(each)) for name, each in out.items()}


def _night(asked: Frame) -> Any:
    from foretell.features import sun

    _, part = sun.in_hour(micros(asked["at"]), np.array([-35.3]), np.array([149.1]))
    return part <= 0


def _published(name: str) -> dict[str, list[float]]:
    sent = pl.read_csv(file(f"{name}/published_pinball_by_task.csv"))
    return {row[0]: [float(each) if each is not None else float("nan") for each in row[1:]] for row in sent.iter_rows()}


def _gefcom_wind() -> dict[str, Any]:
    history = gefcom_wind()
    theirs = _published("gefcom2014_wind")
    rows, ours = [], {}
    seconds = 0.0
    for task in range(1, 15):
        start = datetime(2012 + (8 + task) // 12, (8 + task) % 12 + 1, 1, tzinfo=UTC)
        asked, said, took = _tested(WIND, history, start)
        scores = _scored(asked, said)
        seconds += took
        for name, score in scores.items():
            ours.setdefault(name, []).append(score)
        beside = [theirs[name][task - 1] for name in ("kPower", "Benchmark - Wind")]
        rows.append([f"{task} ({start:%Y-%m})", *(f"{score:.4f}" for score in (*scores.values(), *beside))])
        print(rows[-1], f"{took:.0f} s", flush=True)
    mean = {name: float(np.mean(each)) for name, each in ours.items()}
    beside = [float(np.mean(theirs[name][:14])) for name in ("kPower", "Benchmark - Wind")]
    rows.append(["mean", *(f"{score:.4f}" for score in (*mean.values(), *beside))])
    zones = history["plants"].height
    print(f"\nMean pinball over 99 quantiles of {zones} zones; theirs is over the ten of the competition.\n")
    table(["task", *mean, "kPower (1st)", "official benchmark"], rows)
    best = mean["ensemble"]
    print(f"goal: a mean of at most 0.0385: {best:.4f}, {met(best <= 0.0385)}; learned in {seconds:.0f} s in all")
    return {"pinball": ours, "goals": {"mean pinball over 14 tasks, at most 0.0385": goal(best, best <= 0.0385)}}


def _gefcom_solar() -> dict[str, Any]:
    history = gefcom_solar()
    theirs = _published("gefcom2014_solar")
    start = datetime(2013, 4, 1, tzinfo=UTC)
    asked, said, took = _tested(SOLAR, history, start)
    scores = _scored(asked, said, dark=True)
    beside = {"Gang-gang (1st)": theirs["Gang-gang"][0], "official benchmark": theirs["Benchmark - Solar"][0]}
    print(f"Task 1 (April 2013), {history['plants'].height} zones; mean pinball over 99 quantiles, nights counted.\n")
    table(["method", "pinball"], [[name, f"{score:.4f}"] for name, score in {**scores, **beside}.items()])
    best = scores["ensemble"]
    print(f"goal: at most 0.0135: {best:.4f}, {met(best <= 0.0135)}; learned in {took:.0f} s")
    return {"pinball": scores, "goals": {"pinball of task 1, at most 0.0135": goal(best, best <= 0.0135)}}


def _site(task: Task, history: History) -> dict[str, Any]:
    return {}
