"""How well the hours of tasks are said, beside the human plan, on a public set of teams that kept time.

Every task is brought in as a tenant would have it: written and given to a person when work on it began, done when it
was completed, its hours logged then. The phase is its type, the team its component; there is no text. What is tested is
the last fifth in time, two and a half years, as in service: learned is twice a year from what was done before, the band
is calibrated with what was done until the day before, and what tasks of the project took is known when they are done.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from bench.report import goal, met, number, table
from bench.storypoints import facts, folder

from foretell import metrics
from foretell.contract import Floats, Frame, History, Rolling, Standpoint
from foretell.domains.agile import EFFORT
from foretell.domains.agile.schema import Settings
from foretell.domains.agile.tables import ASSIGNMENTS, ISSUES, STATUS_CHANGES, WORKLOGS
from foretell.engine.backtest import backtest, past_questions

FORMAT = "%m/%d/%Y %H:%M"
RACE = ("median", "by_type", "boosted", "own", "linear")  # without text nothing reads alike
OURS = "boosted"
REFITS, BEFORE = 5, 2  # fits in the last fifth, and of the same span before it, to calibrate the first


def read() -> Frame:
    """The tasks with both a plan and hours, in the order of their starts; raises MissingError without the file."""
    when = {
        name: pl.col(f"task_actual_{name}_date").str.to_datetime(FORMAT, time_unit="us", time_zone="UTC", strict=False)
        for name in ("start", "complete")
    }
    sent = pl.read_parquet(folder("cesaw") / "task_fact.parquet").with_columns(**when)
    took, plan = pl.col("task_actual_time_minutes"), pl.col("task_plan_time_minutes")
    sent = sent.filter(took > 0, plan > 0, pl.col("start").dt.year() > 1990).sort("start", maintain_order=True)
    over = pl.col("complete").fill_null(
        pl.col("start") + pl.duration(minutes=took)
    )  # it is not told of one in a hundred
    names = {"project": "project_key", "person": "person_key", "component": "team_key", "type": "phase_short_name"}
    return sent.with_row_index("row").select(
        issue=pl.format("task {}", "row"),
        time="start",
        over=pl.max_horizontal(over, pl.col("start") + timedelta(minutes=1)),
        hours=took / 60,
        plan=plan / 60,
        **{ours: pl.col(theirs).cast(pl.String) for ours, theirs in names.items()},
    )


def tenant(sent: Frame, *, planned: bool) -> History:
    """A tenant with these tasks; with `planned` they have the human plan as estimate."""
    done = sent.with_columns(time="over", category=pl.lit("done"))
    tables = {
        ISSUES: sent.rename({"plan": "estimate_hours"} if planned else {}),
        ASSIGNMENTS: sent,
        WORKLOGS: done,
        STATUS_CHANGES: done,
    }
    now = sent["over"].max()
    assert isinstance(now, datetime)
    there = Standpoint(tenant="bench", now=now, zone="UTC", settings=Settings())
    return History(there, {table.name: facts(table, rows) for table, rows in tables.items()})


def measure() -> dict[str, Any]:
    """The errors with and without the plan, printed; raises MissingError without the file."""
    sent = read()
    found: dict[str, Any] = {"goals": {}}
    for planned in (True, False):
        words = "with the plan as input" if planned else "without the plan"
        said, test = _said(tenant(sent, planned=planned))
        since = test["as_of"].dt.strftime("%Y-%m-%d")[0]
        print(f"{words}: {test.height:,} tasks asked about, from {since} on; hours\n")
        scores = _scores(test["value"].to_numpy(), {**_plain(sent, test), **said})
        found[words] = scores
        found["goals"] |= _goals(scores, words, planned=planned)
    table(["goal", "is", ""], [[words, number(g["is"]), met(g["met"])] for words, g in found["goals"].items()])
    return found


def _said(history: History) -> tuple[dict[str, Frame], Frame]:
    """What each candidate said of the last fifth, and the questions with their outcomes."""
    every = past_questions(EFFORT, history)["as_of"]
    start, end = every[int(0.8 * len(every))], every.max()
    assert isinstance(end, datetime)
    task = replace(EFFORT, candidates={name: EFFORT.candidates[name] for name in RACE}, scope=None)
    rolling = Rolling(folds=BEFORE + REFITS, span=(end - start) / REFITS)
    tested = backtest(task, history, rolling=rolling, budget=float("inf"))
    last = tested.asked["as_of"] >= start
    return {name: rows.filter(last) for name, rows in tested.forecasts.items()}, tested.asked.filter(last)


def _plain(sent: Frame, test: Frame) -> dict[str, Frame]:
    """The human plan, and the median by phase of what was done before the test."""
    asked = test.select(issue="entity").join(sent, on="issue", how="left", maintain_order="left")
    past = sent.filter(pl.col("over") <= test["as_of"].min())
    medians = past.group_by("type").agg(usual=pl.col("hours").median())
    usual = asked.join(medians, on="type", how="left", maintain_order="left")["usual"]
    said = usual.fill_null(past["hours"].median()).alias("point").to_frame()
    return {"human plan": asked.select(point="plan"), "median by phase": said}


def _scores(value: Floats, said: dict[str, Frame]) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for name, rows in said.items():
        point = rows["point"].to_numpy()
        within = np.abs(np.log(np.maximum(point, 1e-9) / value)) <= np.log(1.25)
        found[name] = {
            "mae": metrics.mae(value, point), "rmse": metrics.rmse(value, point), "within": float(within.mean()),
            "coverage": None,
        }  # fmt: skip
        if "q10" in rows.columns:
            found[name]["coverage"] = metrics.coverage(value, rows["q10"].to_numpy(), rows["q90"].to_numpy())
    head = ["", "MAE", "RMSE", "within a quarter", "80 % band covers"]
    table(head, [[name, *(number(figure) for figure in of.values())] for name, of in found.items()])
    return found


def _goals(scores: dict[str, dict[str, float | None]], words: str, *, planned: bool) -> dict[str, Any]:
    other = "human plan" if planned else "median by phase"
    ratio = (scores[OURS]["mae"] or 0.0) / (scores[other]["mae"] or 1.0)
    covers = scores[OURS]["coverage"] or 0.0
    return {
        f"{words}: {OURS}'s MAE, of the {other}'s < 1": goal(ratio, ratio < 1),
        f"{words}: its 80 % band covers 0.77 to 0.83": goal(covers, 0.77 <= covers <= 0.83),
    }
