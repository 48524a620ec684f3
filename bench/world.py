"""What the agile tasks are worth on generated workspaces: as raced and calibrated in service, out of sample.

Each workspace has five projects with fourteen sprints that are over: more than the generator makes if not told
otherwise, so that there are enough of them to learn from and to ask about. The last two fifths of the questions are
asked. Effort and points are those of other workspaces than the ones that methods were chosen on; of sprints, which are
few, all workspaces are asked.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from bench.report import goal, met, number, table

from foretell.contract import Floats, Frame, History, Standpoint
from foretell.domains.agile import DELIVERY, DURATION, EFFORT, POINTS
from foretell.domains.agile.sample.world import world
from foretell.domains.agile.schema import Settings
from foretell.domains.agile.sprints import planned, promised, velocities
from foretell.engine.backtest import Backtest, backtest
from foretell.engine.train import choose

NOW = datetime(2026, 3, 11, 13, tzinfo=UTC)
SEEDS, SPRINTS = range(1, 7), 16
ERROR, CORRELATION = 0.20, 0.75  # goals: of the days that a sprint takes, and of velocity
OTHERS = range(7, 19)  # workspaces on which nothing was chosen
OFF, SQUARED, EXPLAINED, BESIDE = 5.0, 8.0, 0.70, 1.15  # goals of effort: MAE and RMSE in hours, R2, MAE to the truth's
RIGHT, F1, SURE, HALF = 0.65, 0.60, 0.70, 0.5  # goals of points; a chance above `SURE` for half of them


def measure() -> dict[str, Any]:
    """The tables, printed."""
    others = [_made(seed) for seed in OTHERS]
    histories = [*(_made(seed)[0] for seed in SEEDS), *(history for history, _ in others)]
    days, velocity = sprint_days(histories), velocities_told(histories)
    effort, points = efforts_told(others), points_told([history for history, _ in others])
    return {
        "days": days,
        "velocity": velocity,
        "effort": effort,
        "points": points,
        "goals": {
            "sprint days": goal(days["served"], days["served"] < ERROR),
            "velocity": goal(velocity["served"], velocity["served"] > CORRELATION),
            f"effort: MAE < {OFF:g} h": goal(effort["mae"], effort["mae"] < OFF),
            f"effort: RMSE < {SQUARED:g} h": goal(effort["rmse"], effort["rmse"] < SQUARED),
            f"effort: R² > {EXPLAINED:.2f}": goal(effort["r2"], effort["r2"] > EXPLAINED),
            f"effort: MAE, of the truth's own <= {BESIDE}": goal(effort["beside"], effort["beside"] <= BESIDE),
            f"points: right > {RIGHT}": goal(points["right"], points["right"] > RIGHT),
            f"points: macro F1 > {F1:.2f}": goal(points["f1"], points["f1"] > F1),
            f"points: share with a chance above {SURE:.2f} > {HALF}": goal(points["sure"], points["sure"] > HALF),
        },
    }


def _made(seed: int) -> tuple[History, Frame]:
    """A workspace's history, and the truth about its issues."""
    standing = Standpoint(tenant="bench", now=NOW, zone="UTC", settings=Settings())
    made = world(seed, NOW, sprints=SPRINTS)
    return History(standing, made.tables), made.truth


def _served(tested: Backtest) -> dict[str, Frame]:
    """The forecasts of every fold but the first, and as `served` those of who would serve by the folds before."""
    fold = tested.asked["fold"]
    parts = []
    for k in fold.unique().sort()[1:]:
        rows = {name: said.filter(fold < k) for name, said in tested.forecasts.items()}
        winner, _ = choose(tested.task, replace(tested, asked=tested.asked.filter(fold < k), forecasts=rows))
        parts.append(tested.forecasts[winner].filter(fold == k))
    later = {name: rows.filter(fold > fold.min()) for name, rows in tested.forecasts.items()}
    return {**later, "served": pl.concat(parts, how="diagonal").fill_null(0.0)}


def _later(tested: Backtest) -> Frame:
    """The questions of every fold but the first, with what came of them."""
    return tested.asked.filter(pl.col("fold") > pl.col("fold").min())


def efforts_told(worlds: list[tuple[History, Frame]]) -> dict[str, float]:
    """How far the hours told are from what issues took, beside the hours they take without noise: the truth's."""
    said: dict[str, list[Floats]] = {}
    was: list[Floats] = []
    each: list[list[str]] = []
    for seed, (history, truth) in zip(OTHERS, worlds, strict=True):
        tested = backtest(EFFORT, history)
        later = _later(tested)
        value = later["value"].cast(pl.Float64).to_numpy()
        real = later.join(truth, left_on="entity", right_on="issue", how="left", maintain_order="left")["hours"]
        told = {"truth": real.to_numpy()}
        told |= {name: rows["point"].to_numpy() for name, rows in _served(tested).items()}
        for name, rows in told.items():
            said.setdefault(name, []).append(rows)
        was.append(value)
        mine, best = _errors(told["served"], value), _errors(told["truth"], value)
        each.append([str(seed), str(len(value)), *(number(one) for one in (*mine, mine[0] / best[0]))])
    value = np.concatenate(was)
    errors = {name: _errors(np.concatenate(rows), value) for name, rows in said.items()}
    lines = [[name, *(number(x) for x in (*one, one[0] / errors["truth"][0]))] for name, one in errors.items()]
    table(["effort", "MAE, hours", "RMSE", "R²", "MAE, of the truth's"], lines)
    table(["served, by workspace", "questions", "MAE, hours", "RMSE", "R²", "MAE, of the truth's"], each)
    mae, rmse, r2 = errors["served"]
    return {"mae": mae, "rmse": rmse, "r2": r2, "beside": mae / errors["truth"][0], "questions": float(len(value))}


def _errors(said: Floats, value: Floats) -> tuple[float, float, float]:
    """MAE, RMSE and R2 of what was said."""
    off = said - value
    share = float((off**2).sum() / ((value - value.mean()) ** 2).sum())
    return float(np.abs(off).mean()), float(np.sqrt((off**2).mean())), 1 - share


def points_told(histories: list[History]) -> dict[str, float]:
    """How often the points with most chance are those an issue had, their macro F1, and how often that is sure."""
    said: list[Frame] = []
    for history in histories:
        tested = backtest(POINTS, history)
        rows = _served(tested)["served"]
        names = [name for name in rows.columns if name.startswith("p:")]
        chances = rows.select(names).to_numpy()
        value = _later(tested)["value"]
        best = np.array([name[2:] for name in names])[chances.argmax(axis=1)]
        said.append(pl.DataFrame({"value": value, "said": best, "chance": chances.max(axis=1)}))
    every = pl.concat(said)
    hit = pl.col("value") == pl.col("said")
    scores = []
    for one in every["value"].unique().sort():
        both = every.filter(hit & (pl.col("value") == one)).height
        scores.append(2 * both / (every.filter(pl.col("value") == one).height + (every["said"] == one).sum()))
    mean: dict[str, float] = every.select(right=hit.mean(), sure=(pl.col("chance") > SURE).mean()).row(0, named=True)
    found = {**mean, "f1": float(np.mean(scores)), "questions": float(every.height)}
    table(
        ["points", "questions", "right", "macro F1", f"a chance above {SURE:.2f}"],
        [["served", f"{every.height:,}", *(number(found[name]) for name in ("right", "f1", "sure"))]],
    )
    return found


def _at_start(history: History, asked: Frame) -> pl.Series:
    """Which questions were asked when their sprint began."""
    return planned(history, asked)["starts"] >= asked["as_of"]


def sprint_days(histories: list[History]) -> dict[str, float]:
    """How far the days are from what a sprint takes, asked at its start: mean of the errors relative to the truth."""
    errors: dict[str, list[float]] = {}
    for history in histories:
        tested = backtest(DURATION, history)
        later = _later(tested)
        here = _at_start(history, later)
        value = later["value"].filter(here).to_numpy()
        for name, rows in _served(tested).items():
            errors.setdefault(name, []).extend(np.abs(rows["point"].filter(here).to_numpy() - value) / value)
        middle = pl.col("value").median().over("project")
        wrong = later.filter(here).select((middle - pl.col("value")).abs() / pl.col("value")).to_series()
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
        later = _later(tested)
        here = _at_start(history, later)
        asked = later.filter(here)
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
