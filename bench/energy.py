"""How well the output of public plants is said, beside what was published and beside smart persistence.

Everything is out of sample and in time order. A task's candidates are fitted on the outcomes known at a mark, by the
engine's own lesson, and asked what comes after. `bench.plants` says what the weather is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
import polars as pl
from bench.plants import cut, file, gefcom_solar, gefcom_wind, haute_borne, newcastle
from bench.report import goal, met, number, table

from foretell import metrics
from foretell.contract import Floats, Forecast, Frame, History, Study, Task, quantile
from foretell.domains.energy import SOLAR, WIND, features
from foretell.domains.energy.features import framed
from foretell.domains.energy.models import LEVELS
from foretell.domains.energy.networks import MOST
from foretell.engine.model import Model
from foretell.engine.train import Lesson, train

HOUR = timedelta(hours=1)
NINETY_NINE = tuple(np.arange(1, 100) / 100)
TENTH = 0.1  # of capacity
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
    """The questions of a month with their outcomes, what was said of them by method, and the seconds it took to train.

    Learned is what was known at the month's start; its readings are not known, its weather is. `served` is what a
    tenant would be told: by whoever won the race of each plant, calibrated.
    """
    began = time.perf_counter()
    trained = train(task, history.cut(start))
    took = time.perf_counter() - began
    asked = _month(sorted(history["plants"]["plant"]), start)
    study = task.study(cut(history, start, weather=True), asked)
    value = task.outcomes(history, asked)["value"]
    taught, said = trained.lesson, {"served": trained.model.forecast(study)}
    for name in ("ensemble", "boosted", task.baseline, "physical"):
        said[name] = task.candidates[name]().fit(taught.study, taught.outcomes).forecast(study)
    capacity = pl.Series(study.features["capacity"])
    rows = {name: one.rows.select(pl.all() / capacity).with_columns(asked["entity"]) for name, one in said.items()}
    return asked.with_columns(value=value / capacity), rows, took


def pinball(value: Floats, rows: Frame) -> float:
    """The competition's score: the mean over 99 quantiles, on lines between those told and a little beyond."""
    said = np.clip(rows.select(map(quantile, LEVELS)).to_numpy(), 0, 1)
    low, high = 2 * said[:, :1] - said[:, 1:2], 2 * said[:, -1:] - said[:, -2:-1]
    edges, levels = np.clip(np.hstack([low, said, high]), 0, 1), (0.0, *LEVELS, 1.0)
    whole = np.array([np.interp(NINETY_NINE, levels, row) for row in edges])
    return metrics.pinball(value, whole, NINETY_NINE)


def _scored(asked: Frame, rows: dict[str, Frame]) -> dict[str, float]:
    """Each method's score, the mean over the zones."""
    out: dict[str, list[float]] = {name: [] for name in rows}
    there = asked["value"].is_not_null()
    for zone in asked["entity"].unique().sort():
        mine = there & (asked["entity"] == zone)
        value = asked["value"].filter(mine).to_numpy()
        for name, one in rows.items():
            told = one.filter(mine)
            out[name].append(pinball(value, told))
    return {name: float(np.mean(each)) for name, each in out.items()}


def _by_day(history: History, asked: Frame, rows: Frame) -> Frame:
    """The forecast as it is told: nothing at night."""
    lit = pl.Series(features.lit(history, asked))
    return rows.with_columns(pl.when(lit).then(pl.col(q)).otherwise(0.0).alias(q) for q in map(quantile, LEVELS))


def _published(name: str) -> dict[str, list[float]]:
    sent = pl.read_csv(file(f"{name}/published_pinball_by_task.csv"))
    return {row[0]: [float(each) if each is not None else float("nan") for each in row[1:]] for row in sent.iter_rows()}


def _gefcom_wind() -> dict[str, Any]:
    history = gefcom_wind()
    theirs = _published("gefcom2014_wind")
    rows: list[list[str]] = []
    ours: dict[str, list[float]] = {}
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
        print(rows[-1][0], f"{took:.0f} s", file=sys.stderr, flush=True)
    mean = {name: float(np.mean(each)) for name, each in ours.items()}
    beside = [float(np.mean(theirs[name][:14])) for name in ("kPower", "Benchmark - Wind")]
    rows.append(["mean", *(f"{score:.4f}" for score in (*mean.values(), *beside))])
    zones = history["plants"].height
    print(f"\nMean pinball over 99 quantiles of {zones} zones; theirs is over the ten of the competition.\n")
    table(["task", *mean, "kPower (1st)", "official benchmark"], rows)
    best = mean["served"]
    print(f"goal: a mean of at most 0.0385: {best:.4f}, {met(best <= 0.0385)}; trained in {seconds:.0f} s in all")
    return {"pinball": ours, "goals": {"mean pinball over 14 tasks, at most 0.0385": goal(best, best <= 0.0385)}}


def _gefcom_solar() -> dict[str, Any]:
    history = gefcom_solar()
    theirs = _published("gefcom2014_solar")
    start = datetime(2013, 4, 1, tzinfo=UTC)
    asked, said, took = _tested(SOLAR, history, start)
    scores = _scored(asked, {name: _by_day(history, asked, one) for name, one in said.items()})
    beside = {"Gang-gang (1st)": theirs["Gang-gang"][0], "official benchmark": theirs["Benchmark - Solar"][0]}
    print(f"Task 1 (April 2013), {history['plants'].height} zones; mean pinball over 99 quantiles, nights counted.\n")
    table(["method", "pinball"], [[name, f"{score:.4f}"] for name, score in {**scores, **beside}.items()])
    best = scores["served"]
    print(f"goal: at most 0.0135: {best:.4f}, {met(best <= 0.0135)}; trained in {took:.0f} s")
    return {"pinball": scores, "goals": {"pinball of task 1, at most 0.0135": goal(best, best <= 0.0135)}}


# ---------------------------------------------------------------- two sites, weather given


def _daily(history: History, first: datetime, last: datetime) -> Frame:
    """Every hour between two moments, each asked at the beginning of its day."""
    hours = np.arange(int(first.timestamp()) // 86400 * 24, int(last.timestamp()) // 86400 * 24)
    (name,) = history["plants"]["plant"]
    return framed([name] * len(hours), hours // 24 * 24 * 3_600_000_000, hours * 3_600_000_000)


def figures(value: Floats, point: Floats, low: Floats, high: Floats) -> dict[str, float]:
    """Errors of shares of capacity: as a share of capacity and of the output, in per cent of the hour's output, R²."""
    big = value > TENTH
    return {
        "nMAE": metrics.mae(value, point),
        "wMAPE %": 100 * float(np.abs(value - point).sum() / value.sum()),
        "MAPE % of hours above 10 %": metrics.mape(value[big], point[big]) or 0.0,
        "R²": metrics.r2(value, point) or 0.0,
        "80 % band held": metrics.coverage(value, low, high),
    }


def _site(task: Task, history: History) -> dict[str, Any]:
    """The last fifth of a site's hours, day ahead, by what a tenant would get; and its first month by physics alone."""
    first, last = (
        cast("datetime", of) for of in (history["readings"]["time"].min(), history["readings"]["time"].max())
    )
    mark = (first + (last - first) * 0.8).replace(hour=0, minute=0)
    began = time.perf_counter()
    trained = train(task, history.cut(mark))
    took = time.perf_counter() - began
    asked = _daily(history, mark, last)
    value = task.outcomes(history, asked)["value"]
    lit = np.ones(asked.height, dtype=bool) if task is WIND else ~_dark(history, asked)
    there = value.is_not_null() & pl.Series(lit)
    study = task.study(history, asked.filter(there))
    share = value.filter(there).to_numpy() / study.features["capacity"]
    told: dict[str, dict[str, float]] = {}
    base = task.candidates[task.baseline]().fit(trained.lesson.study, trained.lesson.outcomes)
    said = {task.baseline: base.forecast(study), "physical": task.candidates["physical"]().forecast(study)}
    for name, one in {**said, "served": trained.model.forecast(study)}.items():
        rows = one.rows.select(pl.all() / pl.Series(study.features["capacity"]))
        point, low, high = (np.clip(rows[column].to_numpy(), 0, 1) for column in ("point", "q10", "q90"))
        told[name] = figures(share, point, low, high)
        daily = pl.DataFrame({"day": study.questions["at"].dt.date(), "value": share, "said": point}).group_by("day")
        sums = daily.agg(pl.len(), pl.col("value", "said").sum()).filter(pl.col("value") > TENTH * pl.col("len"))
        told[name]["MAPE % of days above 10 %"] = metrics.mape(sums["value"].to_numpy(), sums["said"].to_numpy()) or 0.0
        told[name]["skill"] = 1 - told[name]["nMAE"] / told[task.baseline]["nMAE"]
    print(f"From {mark:%Y-%m-%d} on: {len(share):,} hours, day ahead, the weather as it was.\n")
    names = list(told["served"])
    table(["method", *names], [[name, *(number(one[each]) for each in names)] for name, one in told.items()])
    print(f"{trained.model.card.reason}; trained in {took:.1f} s on {trained.lesson.outcomes.height:,} outcomes\n")
    alone = _alone(task, trained.lesson, study, share)
    held = _sums(task, history, trained.model, mark, last)
    print(f"the 80 % band of a day's energy held {held:.0%} of the days")
    early = _first_days(task, history, first)
    return {
        "figures": told,
        "alone": alone,
        "first_month": early,
        "days_held": held,
        "goals": _goals(task, told["served"], early),
    }


def _alone(task: Task, taught: Lesson, study: Study, share: Floats) -> dict[str, dict[str, float]]:
    """Each learner by itself, not calibrated: its errors on the same hours, and the seconds it took to learn."""
    found = {}
    for name in ("corrected", "boosted", "ensemble", list(task.candidates)[-1]):
        began = time.perf_counter()
        fresh = replace(taught.study, history=History(taught.study.history.standpoint, taught.study.history.tables))
        said = task.candidates[name]().fit(fresh, taught.outcomes).forecast(study)
        took = time.perf_counter() - began
        rows = said.rows.to_numpy() / study.features["capacity"][:, None]
        point, low, high = (np.clip(rows[:, k], 0, 1) for k in (0, 1 + LEVELS.index(0.1), 1 + LEVELS.index(0.9)))
        scored = {"pinball": metrics.pinball(share, rows[:, 1:], LEVELS)}
        found[name] = {**scored, **figures(share, point, low, high), "seconds": took}
    print("Each learner by itself, not calibrated; pinball is the mean over its nine levels, as a share of capacity.\n")
    names = list(found["boosted"])
    table(["method", *names], [[name, *(number(one[each]) for each in names)] for name, one in found.items()])
    first, second = sorted(found, key=lambda name: found[name]["pinball"])[:2]
    print(f"least pinball: {first}, before {second}; the network learns from at most {MOST:,} outcomes\n")
    return found


def _dark(history: History, asked: Frame) -> Any:
    return ~features.lit(history, asked)


def _sums(task: Task, history: History, model: Model, first: datetime, last: datetime) -> float:
    """In how many days the band of the day's energy held it, of the days with all readings, every second asked."""
    asked = _daily(history, first, last)
    (name,) = history["plants"]["plant"]
    inside = []
    for day in asked["at"].dt.date().unique().sort()[:-1:2]:
        hours = asked.filter(pl.col("at").dt.date() == day)
        value = task.outcomes(history, hours)["value"]
        if value.null_count():
            continue
        then = history.cut(hours["as_of"][0])
        answer = task.decide(
            replace_method(model.forecast(task.study(then, hours))), task.request(plant=name, hours=24), then
        )
        band = answer.energy_kwh  # type: ignore[attr-defined]
        inside.append(band.low <= float(value.sum()) <= band.high)
    return float(np.mean(inside))


def replace_method(said: Forecast) -> Forecast:
    """The forecast with the name that the engine gives it."""
    method = pl.Series("method", ["served"] * said.rows.height)
    kept = said.evidence.drop("method", strict=False) if said.evidence.width else pl.DataFrame()
    return replace(said, evidence=kept.with_columns(method) if kept.width else method.to_frame())


def _first_days(task: Task, history: History, first: datetime) -> dict[str, float]:
    """The errors of the first month, from the second day on: physics without training, and what was a day before."""
    asked = _daily(history, first + timedelta(days=2), first + timedelta(days=32))
    if task is SOLAR:
        asked = asked.filter(pl.Series(features.lit(history, asked)))
    study = task.study(history, asked)
    share = task.outcomes(history, asked)["value"].to_numpy() / study.features["capacity"]
    day = study.features["lag_day"]
    good = ~np.isnan(share) & ~np.isnan(day) & ~np.isnan(study.features["weather_age"])
    physical = task.candidates["physical"]().forecast(study).rows["point"].to_numpy() / study.features["capacity"]
    said = {"physical": physical, "persistence": day, "smart_persistence": study.features["smart"]}
    found = {name: metrics.mae(share[good], one[good]) for name, one in said.items()}
    print("\nnMAE of the first month, from the third day on, nothing trained:\n")
    table(["method", "nMAE"], [[name, number(error)] for name, error in found.items()])
    return found


def _goals(task: Task, served: dict[str, float], early: dict[str, float]) -> dict[str, Any]:
    error, least = (25.0, 0.75) if task is WIND else (20.0, 0.80)
    hours, days = served["MAPE % of hours above 10 %"], served["MAPE % of days above 10 %"]
    better = early["physical"] / early["persistence"]
    return {
        f"MAPE of days above 10 % of capacity, below {error:.0f} %": goal(days, days < error),
        f"MAPE of hours above 10 % of capacity, below {error:.0f} %": goal(hours, hours < error),
        f"R² above {least}": goal(served["R²"], served["R²"] > least),
        "first month: physics' error beside persistence's, below 1": goal(better, better < 1),
    }
