"""What a Hijri calendar is worth: the same learner with and without it, on a second Ramadan after one to learn from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from bench.data import HOUR, MONTH, TURKEY, TURKEY_LOAD, Series, public, stood
from bench.report import goal, met, number, table

from foretell.contract import Forecaster, Frame, History, Rolling, Task
from foretell.domains.traffic import LOAD, calendars, features
from foretell.domains.traffic.models import RELATIVE, SHAPE, RamadanPatternLearner
from foretell.domains.traffic.schema import CALENDAR, NINETEEN, PRAYER, RAMADAN
from foretell.engine.backtest import Backtest, backtest
from foretell.features.grid import micros
from foretell.models.boosted import BoostedQuantiles

GOAL = 0.75
SIX = {*RAMADAN, *PRAYER}
HIJRI = SIX | set(CALENDAR) - {"is_holiday", "is_event"}
PAIRS = {
    "pattern learner": ("pattern_learner", "pattern_learner_without"),
    "boosted on the 19 features": ("boosted_19", "boosted_19_without"),
}
SECOND_YEARS: dict[str, tuple[Series, datetime]] = {  # the first year is there to learn from
    TURKEY.name: (TURKEY, datetime(2018, 12, 31, 21, tzinfo=UTC)),
    TURKEY_LOAD.name: (TURKEY_LOAD, datetime(2017, 12, 31, 21, tzinfo=UTC)),
}


def _boosted(columns: list[str]) -> BoostedQuantiles:
    """As the candidate `boosted_19` is made, on other columns."""
    return BoostedQuantiles(columns=[*columns, "step"], levels=(0.1, 0.5, 0.9), rounds=80, shape=SHAPE, lower=0.0)


def _questions(history: History) -> Frame:
    """The questions of the task, and of every standpoint the one 24 hours ahead."""
    asked = features.questions(history)
    stood = asked.select("entity", "as_of").unique(maintain_order=True)
    return pl.concat([asked, stood.with_columns(at=pl.col("as_of") + 23 * HOUR)]).unique(maintain_order=True)


def _task() -> Task:
    candidates: dict[str, Any] = {
        "weekly_naive": LOAD.candidates["weekly_naive"],
        "pattern_learner": RamadanPatternLearner,
        "pattern_learner_without": partial(
            RamadanPatternLearner, [c for c in RELATIVE if c not in HIJRI], shaped=False
        ),
        "boosted_19": partial(_boosted, NINETEEN),
        "boosted_19_without": partial(_boosted, [c for c in NINETEEN if c not in SIX]),
    }
    made: dict[str, Forecaster] = {name: make() for name, make in candidates.items()}
    print({name: len(one.columns) for name, one in made.items() if isinstance(one, BoostedQuantiles)}, "columns each")
    return replace(LOAD, questions=_questions, candidates=candidates)


def measure(name: str) -> dict[str, Any]:
    """With and without the calendar, by kind of day and by how far ahead; printed."""
    series, end = SECOND_YEARS[name]
    history = stood(public(series), end)
    tested = backtest(_task(), history, rolling=Rolling(folds=12, span=MONTH), budget=float("inf"))
    step = (tested.asked["at"] - tested.asked["as_of"]).dt.total_hours() + 1
    there = calendars.hours(micros(tested.asked["at"]), series.zone, features.tenant_settings(history))
    eid = pl.Series(there["days_from_eid"])
    kinds = {
        "Ramadan": pl.Series(there["is_ramadan"]) == 1,
        "Eid al-Fitr and its eve": eid.is_between(-1, 2),
        "neither": (pl.Series(there["is_ramadan"]) != 1) & ~eid.is_between(-1, 2),
    }
    first, last = tested.folds[0][0], tested.folds[-1][1]
    print(f"{name}: {series.what}")
    print(f"{first:%Y-%m-%d} to {last:%Y-%m-%d}, refitted every month, every hour an origin; MAE in {series.unit}")
    print("Without the Hijri calendar and the prayer times, the learner still knows public holidays.")
    print("One Ramadan and one Eid to learn from, one to test on. 90 % intervals: days drawn again 2,000 times.\n")
    found: dict[str, Any] = {"goal": GOAL, "rows": []}
    for ahead, where in {"1 to 4 h": step <= 4, "24 h": step == 24}.items():
        for kind, days in kinds.items():
            found["rows"] += [_row(tested, where & days, series.zone, (ahead, kind, pair)) for pair in PAIRS]
    head = ["hours asked about", "ahead", "learner", "days", "questions"]
    head += ["weekly naive", "without", "with", "with / without", "90 %", "goal"]
    table(head, [_cells(row) for row in found["rows"]])
    found["goals"] = {
        f"{row['learner']}, Ramadan, {row['ahead']}: with ≤ {GOAL} x without": goal(row["ratio"], row["met"])
        for row in found["rows"]
        if row["met"] is not None
    }
    return found


def _row(tested: Backtest, where: pl.Series, zone: str, what: tuple[str, str, str]) -> dict[str, Any]:
    ahead, kind, pair = what
    value = tested.asked["value"].filter(where)
    wrong = {n: (f["point"].filter(where) - value).abs() for n, f in tested.forecasts.items()}
    with_, without = (wrong[name] for name in PAIRS[pair])
    day = tested.asked["at"].filter(where).dt.convert_time_zone(zone).dt.date()
    daily = pl.DataFrame({"day": day, "a": with_, "b": without}).group_by("day").sum().sort("day")
    drawn = np.random.default_rng(1).integers(0, daily.height, (2000, daily.height))
    ratio = float(daily["a"].to_numpy().sum() / daily["b"].to_numpy().sum())
    ratios = daily["a"].to_numpy()[drawn].sum(axis=1) / daily["b"].to_numpy()[drawn].sum(axis=1)
    return {
        "day": kind, "ahead": ahead, "learner": pair, "days": daily.height, "questions": len(value),
        "naive": wrong["weekly_naive"].mean(), "without": without.mean(), "with": with_.mean(), "ratio": ratio,
        "interval": [float(q) for q in np.quantile(ratios, (0.05, 0.95))],
        "met": ratio <= GOAL if kind == "Ramadan" else None,
    }  # fmt: skip


def _cells(row: dict[str, Any]) -> list[object]:
    low, high = row["interval"]
    sure = f"{low:.2f} to {high:.2f}" if row["days"] >= 10 else "too few days"
    verdict = "" if row["met"] is None else f"≤ {GOAL}: {met(row['met'])}"
    words = [row["day"], row["ahead"], row["learner"], row["days"], f"{row['questions']:,}"]
    return [*words, *(number(row[key]) for key in ("naive", "without", "with", "ratio")), sure, verdict]
