"""How well story points are said from text, beside the plain median, on public projects.

Each set is brought in as a tenant would have it, and what is tested is the last fifth of each project in its order:
learned is from the first four fifths of all projects of the same set, and nothing of the last fifth is known, neither
points nor texts of others. Nothing is cut off: an issue of 100 points counts as one of 100. What is `served` is what a
tenant would get: for each project the winner of a race over the last two fifths of what was known, calibrated.

The sets say nothing of when an issue was done; the older one has no times at all, only an order. So every issue is
given an invented time: its place in its project's order, in days, the last fifth all at the same moment. It is done as
soon as it is written.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bench.data import MissingError
from bench.report import goal, met, number, table

from foretell import metrics
from foretell.contract import DTYPES, INSTANT, Floats, Frame, History, Standpoint, Table
from foretell.domains.agile import POINTS
from foretell.domains.agile.features import points, questions
from foretell.domains.agile.schema import Settings
from foretell.domains.agile.tables import ASSIGNMENTS, ISSUES, STATUS_CHANGES, WORKLOGS
from foretell.engine.train import train
from foretell.settings import ForetellSettings

SETS = ("deepse", "tawosi")
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
DAYS = 1000  # over which each project's issues are spread
MARK = EPOCH + timedelta(days=0.8 * DAYS)
OURS = "served"  # the race's winner of each project, calibrated
GOALS = {"deepse": 0.32, "tawosi": 0.20}
PUBLISHED = {
    "deepse": ("published_deepse_gpt2sp_mae.csv", "project", {"DeepSE_replication_uncut": "Deep-SE, uncut"}),
    "tawosi": ("published_tawosi_mae.csv", "key", {"Deep-SE": "Deep-SE", "TF/IDF-SVM": "TF/IDF-SVM"}),
}
FLOOR = "tfidf_ridge_rho"


def folder(name: str = "") -> Path:
    """The folder of agile's public data, or one in it; raises MissingError where it is not there."""
    whole = ForetellSettings().bench_data
    found = None if whole is None else whole / "agile" / name
    if found is None or not found.is_dir():
        raise MissingError(f"there is no folder agile/{name}; type: FORETELL_BENCH_DATA=<folder> make bench")
    return found


def read(name: str) -> Frame:
    """The issues of a set: `project`, `issue`, `title`, `description`, `type`, `component`, `points`, and `at`.

    `at` is the invented time: when it is asked about. Raises MissingError without the files.
    """
    paths = sorted(folder(f"{name}_storypoints").glob("*.parquet"))
    found = []
    for path in paths:
        sent = pl.read_parquet(path).sort("order")
        named = {"type": "type", "component": "components"}
        more = {ours: pl.col(one) if one in sent.columns else pl.lit("") for ours, one in named.items()}
        row, tested = pl.int_range(pl.len()), pl.int_range(pl.len()) >= pl.len() - (pl.len() * 0.2).floor()
        since = pl.duration(microseconds=row / pl.len() * DAYS * 86_400_000_000)
        at = pl.when(tested).then(pl.lit(MARK)).otherwise(pl.lit(EPOCH) + since).cast(INSTANT)
        told = {"description": pl.col("description"), **more}
        found.append(
            sent.select(
                "project",
                "title",
                issue="issuekey",
                points=pl.col("storypoint").cast(pl.Float64),
                at=at,
                **{name: one.cast(pl.String).fill_null("") for name, one in told.items()},
            )
        )
    return pl.concat(found)


def facts(table: Table, sent: Frame) -> Frame:
    """Rows of a table about issues, known at their `time`; what is not told of them is blank."""
    blank = {
        name: pl.lit("" if kind == "text" else None, dtype=DTYPES[kind])
        for name, kind in table.kinds.items()
        if name not in sent.columns
    }
    return sent.select(
        *(name for name in table.kinds if name in sent.columns), known_at="time", entity="issue", **blank
    )


def tenant(sent: Frame) -> History:
    """A tenant with these issues, those of the last fifth open at the mark and done a day later."""
    over = pl.when(pl.col("at") < MARK).then(pl.col("at") + timedelta(seconds=1)).otherwise(MARK + timedelta(days=1))
    nobody = sent.clear().with_columns(time="at")
    tables = {
        ISSUES: sent.with_columns(time="at"),
        STATUS_CHANGES: sent.select("issue", "project", time=over, category=pl.lit("done")),
        ASSIGNMENTS: nobody,
        WORKLOGS: nobody,
    }
    there = Standpoint(tenant="bench", now=MARK + timedelta(days=2), zone="UTC", settings=Settings())
    return History(there, {table.name: facts(table, rows) for table, rows in tables.items()})


def measure(name: str) -> dict[str, Any]:
    """The errors of one set, printed; raises MissingError without its files."""
    history = tenant(read(name))
    every = questions(history)
    every = every.with_columns(points(history, every))
    learned, test = every.filter(pl.col("known_at") <= MARK), every.filter(pl.col("as_of") >= MARK)
    then, asked, past = history.cut(MARK), test.drop("value", "known_at"), learned.drop("value", "known_at")
    study, ask = POINTS.study(then, past), POINTS.study(then, asked)
    print(
        f"{name}: {past.height:,} issues of {asked['project'].n_unique()} projects to learn from, the last fifth of "
        f"each, {asked.height:,}, asked about\n"
    )
    said, spent = {}, {}
    for candidate, make in POINTS.candidates.items():
        began = time.process_time()
        said[candidate] = make().fit(study, learned.select("value", "known_at")).forecast(ask).rows
        spent[candidate] = time.process_time() - began
    began = time.process_time()
    model = train(POINTS, then, budget=float("inf")).model
    said[OURS], spent[OURS] = model.forecast(ask).rows, time.process_time() - began
    value = test["value"].cast(pl.Float64).to_numpy()
    projects = _projects(past.with_columns(learned["value"].cast(pl.Float64)), asked, value, said)
    _beside(name, projects, list(said))
    pooled = _pooled(said, test["value"], spent)
    return {"projects": projects, "pooled": pooled, "goals": _goals(name, projects, pooled)}


def scale_of(rows: Frame) -> Floats:
    """The points of the columns of a forecast."""
    return np.array([float(name.removeprefix("p:")) for name in rows.columns])


def _projects(past: Frame, asked: Frame, value: Floats, said: dict[str, Frame]) -> dict[str, dict[str, Any]]:
    """By project: the MAE of the plain median, of each candidate's median relative to it, and Spearman of its mean."""
    from scipy.stats import spearmanr

    found: dict[str, dict[str, Any]] = {}
    for project in asked["project"].unique().sort():
        here = (asked["project"] == project).to_numpy()
        y, known = value[here], past.filter(pl.col("project") == project)["value"].to_numpy()
        plain = metrics.mae(y, np.full(len(y), np.median(known)))
        one: dict[str, Any] = {"asked": len(y), "median": plain}
        for name, rows in said.items():
            chance, scale = rows.to_numpy()[here], scale_of(rows)
            middle = scale[(np.cumsum(chance, axis=1) < 0.5 - 1e-9).sum(axis=1).clip(max=len(scale) - 1)]
            mean = chance @ scale
            rho = float(spearmanr(mean, y).statistic) if np.ptp(mean) > 1e-9 and np.ptp(y) else 0.0
            one[name] = {"mae": metrics.mae(y, middle) / plain, "rho": rho}
        found[project] = one
    return found


def _beside(name: str, projects: dict[str, dict[str, Any]], said: list[str]) -> None:
    file, key, columns = PUBLISHED[name]
    told = {row[key]: row for row in pl.read_csv(folder() / file).iter_rows(named=True)}
    floors = pl.read_csv(folder() / "floors_storypoints.csv")
    floors = floors.filter(pl.col("src") == f"{name}_storypoints")
    floor = dict(zip(floors["project"], floors[FLOOR], strict=True))
    print("MAE of the distribution's median in points, relative to that of the plain median of the first four fifths;\n"
          "Spearman of its mean; others as published, of tests that were not cut off, in points\n")  # fmt: skip
    head = ["project", "asked", "median: MAE", *(f"{c}: of it" for c in said), f"{OURS}: Spearman", "TF-IDF's",
            *columns.values()]  # fmt: skip
    rows = [
        [project, of["asked"], number(of["median"]), *(number(of[c]["mae"]) for c in said),
         number(of[OURS]["rho"]), number(floor.get(project)), *(number(told.get(project, {}).get(c)) for c in columns)]
        for project, of in projects.items()
    ]  # fmt: skip
    table(head, rows)


def _pooled(said: dict[str, Frame], value: pl.Series, spent: dict[str, float]) -> dict[str, dict[str, float]]:
    found = {}
    for name, rows in said.items():
        classes = [column.removeprefix("p:") for column in rows.columns]
        chance, place = rows.to_numpy(), {one: k for k, one in enumerate(classes)}
        which = np.array([place.get(one, -1) for one in value])
        given = np.where(which >= 0, chance[np.arange(len(which)), which], 0.0)
        right = (chance.argmax(axis=1) == which).astype(np.float64)
        found[name] = {
            "log_loss": metrics.log_loss(given), "accuracy": float(right.mean()),
            "calibration_error": metrics.calibration_error(right, chance.max(axis=1)),
            "never_given": float((given == 0).mean()), "seconds": spent[name],
        }  # fmt: skip
    print("all projects together\n")
    head = ["", "log loss", "right", "calibration error", "points never given before", "CPU seconds"]
    table(head, [[name, *(number(figure) for figure in of.values())] for name, of in found.items()])
    return found


def _goals(name: str, projects: dict[str, dict[str, Any]], pooled: dict[str, dict[str, float]]) -> dict[str, Any]:
    ratios, rhos = ([of[OURS][key] for of in projects.values()] for key in ("mae", "rho"))
    ratio, worst, rho = float(np.mean(ratios)), max(ratios), float(np.mean(rhos))
    ours, base = pooled[OURS], pooled["majority"]
    loss, error = ours["log_loss"] / base["log_loss"], ours["calibration_error"]
    goals = {
        "mean over projects of MAE relative to the median's <= 0.97": goal(ratio, ratio <= 0.97),
        "no project above 1.05": goal(worst, worst <= 1.05),
        f"mean over projects of Spearman >= {GOALS[name]:.2f}": goal(rho, rho >= GOALS[name]),
        "expected calibration error <= 0.06": goal(error, error <= 0.06),
        "log loss, of the base rate's < 1": goal(loss, loss < 1),
    }
    table([f"{OURS}'s goal", "is", ""], [[words, number(g["is"]), met(g["met"])] for words, g in goals.items()])
    return goals
