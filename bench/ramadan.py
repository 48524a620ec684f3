"""What a Hijri calendar is worth: the same learner with and without it, on a second Ramadan after one to learn from.

How much it could be worth at most is shown by a third, which is told what the tested Ramadan did to each hour before it
came; and how hard the days of Ramadan are by those around it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

import numpy as np
import polars as pl
from bench.data import HOUR, MONTH, TURKEY, TURKEY_LOAD, Series, public, stood
from bench.report import goal, met, number, table

from foretell.contract import Floats, Forecaster, Frame, History, Rolling, Study, Task
from foretell.domains.traffic import LOAD, calendars, features, ramadan
from foretell.domains.traffic.models import RELATIVE, SHAPE, RamadanPatternLearner
from foretell.domains.traffic.schema import CALENDAR, NINETEEN, PRAYER, RAMADAN
from foretell.engine.backtest import Backtest, backtest
from foretell.engine.train import lesson
from foretell.features.grid import micros
from foretell.models.boosted import BoostedQuantiles

GOAL = 0.75
SIX = {*RAMADAN, *PRAYER}
HIJRI = SIX | set(CALENDAR) - {"is_holiday", "is_event"}
PAIRS = {
    "pattern learner": ("pattern_learner", "pattern_learner_without"),
    "the same, told this Ramadan's effect": ("pattern_learner_told", "pattern_learner_without"),
    "boosted on the 19 features": ("boosted_19", "boosted_19_without"),
}
BOUND = "pattern_learner_told"  # no forecast: it knows what nobody could
AROUND = np.timedelta64(30, "D")
SECOND_YEARS: dict[str, tuple[Series, datetime]] = {  # the first year is there to learn from
    TURKEY.name: (TURKEY, datetime(2018, 12, 31, 21, tzinfo=UTC)),
    TURKEY_LOAD.name: (TURKEY_LOAD, datetime(2017, 12, 31, 21, tzinfo=UTC)),
}


class Told(RamadanPatternLearner):
    """The pattern learner, which is told the effect by hour rather than learns it."""

    def __init__(self, effect: Floats) -> None:
        super().__init__()
        self.effect = effect

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Grow the trees on what the effect leaves; return self."""
        return super(RamadanPatternLearner, self).fit(self._undone(study), outcomes)


def _boosted(columns: list[str]) -> BoostedQuantiles:
    """As the candidate `boosted_19` is made, on other columns."""
    return BoostedQuantiles(columns=[*columns, "step"], levels=(0.1, 0.5, 0.9), rounds=80, shape=SHAPE, lower=0.0)


def _questions(history: History) -> Frame:
    """The questions of the task, and of every standpoint the one 24 hours ahead."""
    asked = features.questions(history)
    stood = asked.select("entity", "as_of").unique(maintain_order=True)
    return pl.concat([asked, stood.with_columns(at=pl.col("as_of") + 23 * HOUR)]).unique(maintain_order=True)


def _effect(history: History, since: datetime) -> Floats:
    """What Ramadan did to each hour from a moment on, from the outcomes themselves."""
    taught = lesson(LOAD, History(history.standpoint, history.tables))  # which keeps questions of its own
    late = (taught.study.questions["as_of"] >= since).to_numpy()
    return ramadan.learn(taught.study.features.rows(np.flatnonzero(late)), taught.outcomes["value"].to_numpy()[late])


def _task(effect: Floats) -> Task:
    candidates: dict[str, Any] = {
        "weekly_naive": LOAD.candidates["weekly_naive"],
        "pattern_learner": RamadanPatternLearner,
        "pattern_learner_without": partial(
            RamadanPatternLearner, [c for c in RELATIVE if c not in HIJRI], shaped=False
        ),
        BOUND: partial(Told, effect),
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
    task = _task(_effect(history, end - 12 * MONTH))
    tested = backtest(task, history, rolling=Rolling(folds=12, span=MONTH), budget=float("inf"))
    step = (tested.asked["at"] - tested.asked["as_of"]).dt.total_hours() + 1
    there = calendars.hours(micros(tested.asked["at"]), series.zone, features.tenant_settings(history))
    eid = pl.Series(there["days_from_eid"])
    fasting, feast = pl.Series(there["is_ramadan"]) == 1, eid.is_between(-1, 2)
    at = tested.asked["at"].to_numpy()
    begin, over = at[fasting.to_numpy()].min(), at[fasting.to_numpy()].max()
    around = pl.Series((at >= begin - AROUND) & (at <= over + AROUND))
    kinds = {
        "Ramadan": fasting,
        "Eid al-Fitr and its eve": feast,
        "the 30 days before and after": around & ~fasting & ~feast,
        "neither": ~fasting & ~feast,
    }
    first, last = tested.folds[0][0], tested.folds[-1][1]
    print(f"{name}: {series.what}")
    print(f"{first:%Y-%m-%d} to {last:%Y-%m-%d}, refitted every month, every hour an origin; MAE in {series.unit}")
    print("Without the Hijri calendar and the prayer times, the learner still knows public holidays.")
    print("One Ramadan and one Eid to learn from, one to test on. 90 % intervals: days drawn again 2,000 times.")
    print("Told: what the tested Ramadan did to each hour, which nobody could know; no forecast, but a bound.\n")
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
        "met": ratio <= GOAL if kind == "Ramadan" and BOUND not in PAIRS[pair] else None,
    }  # fmt: skip


def _cells(row: dict[str, Any]) -> list[object]:
    low, high = row["interval"]
    sure = f"{low:.2f} to {high:.2f}" if row["days"] >= 10 else "too few days"
    verdict = "" if row["met"] is None else f"≤ {GOAL}: {met(row['met'])}"
    words = [row["day"], row["ahead"], row["learner"], row["days"], f"{row['questions']:,}"]
    return [*words, *(number(row[key]) for key in ("naive", "without", "with", "ratio")), sure, verdict]
