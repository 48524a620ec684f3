"""What the agile tasks are worth on generated workspaces: as raced and calibrated in service, out of sample.

Each workspace has five projects with fourteen sprints that are over: more than the generator makes if not told
otherwise, so that there are enough of them to learn from and to ask about. The last two fifths of the questions are
asked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from bench.report import goal, met, number, table

from foretell.contract import Frame, History, Standpoint
from foretell.domains.agile import DELIVERY, DURATION
from foretell.domains.agile.sample.world import world
from foretell.domains.agile.schema import Settings
from foretell.domains.agile.sprints import planned, promised, velocities
from foretell.engine.backtest import Backtest, backtest

NOW = datetime(2026, 3, 11, 13, tzinfo=UTC)
SEEDS, SPRINTS = range(1, 7), 16
ERROR, CORRELATION = 0.20, 0.75  # goals: of the days that a sprint takes, and of velocity


def measure() -> dict[str, Any]:
    """The tables, printed."""
    histories = [_history(seed) for seed in SEEDS]
    days, velocity = sprint_days(histories), velocities_told(histories)
    return {
        "days": days,
        "velocity": velocity,
        "goals": {
            "sprint days": goal(days["served"], days["served"] < ERROR),
            "velocity": goal(velocity["served"], velocity["served"] > CORRELATION),
        },
    }


def _history(seed: int) -> History:
    standing = Standpoint(tenant="bench", now=NOW, zone="UTC", settings=Settings())
    return History(standing, world(seed, NOW, sprints=SPRINTS).tables)


def _at_start(history: History, tested: Backtest) -> pl.Series:
    """Which questions were asked when their sprint began."""
    return planned(history, tested.asked)["starts"] >= tested.asked["as_of"]


def _served(tested: Backtest) -> dict[str, Frame]:
    """What each candidate said, and as `served` what the one with the least error on all questions said."""
    errors = {name: scores["mae"] or 0.0 for name, scores in tested.scores().items()}
    return {**tested.forecasts, "served": tested.forecasts[min(errors, key=errors.__getitem__)]}


def sprint_days(histories: list[History]) -> dict[str, float]:
    """How far the days are from what a sprint takes, asked at its start: mean of the errors relative to the truth."""
    errors: dict[str, list[float]] = {}
    for history in histories:
        tested = backtest(DURATION, history)
        here = _at_start(history, tested)
        value = tested.asked["value"].filter(here).to_numpy()
        for name, rows in _served(tested).items():
            errors.setdefault(name, []).extend(np.abs(rows["point"].filter(here).to_numpy() - value) / value)
        middle = pl.col("value").median().over("project")
        wrong = tested.asked.filter(here).select((middle - pl.col("value")).abs() / pl.col("value")).to_series()
        errors.setdefault("each project's median, in hindsight", []).extend(wrong.to_list())
    found = {name: float(np.mean(rows)) for name, rows in errors.items()}
    middle_ones = {name: float(np.median(rows)) for name, rows in errors.items()}
    lines = [[name, number(one), number(middle_ones[name])] for name, one in found.items()]
    table(["sprint days", "error / days: mean", "median"], lines)
    print(f"{len(errors['served'])} sprints; goal < {ERROR}: {met(found['served'] < ERROR)}\n")
    return found


def velocities_told(histories: list[History]) -> dict[str, float]:
    """How what sprints deliver, as told at their start, goes along with what they did deliver."""
    told: dict[str, list[float]] = {}
    for history in histories:
        tested = backtest(DELIVERY, history)
        here = _at_start(history, tested)
        asked = tested.asked.filter(here)
        truth = promised(history, asked)
        told.setdefault("delivered", []).extend(truth["delivered"])
        told.setdefault("committed", []).extend(truth["committed"])
        told.setdefault("average velocity", []).extend(velocities(history, asked))
        for name, rows in _served(tested).items():
            told.setdefault(name, []).extend(truth["committed"] + rows["point"].filter(here))
    delivered = np.array(told.pop("delivered"))
    known = ~np.isnan(np.array(told["average velocity"]))
    found = {name: float(np.corrcoef(np.array(rows)[known], delivered[known])[0, 1]) for name, rows in told.items()}
    table(["velocity", "correlation"], [[name, number(one)] for name, one in found.items()])
    print(f"{int(known.sum())} sprints; goal > {CORRELATION}: {met(found['served'] > CORRELATION)}\n")
    return found
