"""Who finishes an incident, told when it is opened: the incident log of a service desk.

Brought in as a tenant would have it: an incident is an issue, who opened it its reporter, its category the component
and its symptom the type; who resolved it is a member since the first one. Learned is from the first four fifths in
time, as far as they were resolved by then. The last fifth is asked about at opening; and once more with the group that
resolved it as the project, and those who have resolved any there as its members.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from bench.data import MissingError
from bench.report import goal, met, number, table
from bench.storypoints import folder

from foretell.contract import INSTANT, Block, Frame, History, Standpoint, Study
from foretell.domains.agile.assignment import Experience, assigned
from foretell.domains.agile.features import questions
from foretell.domains.agile.schema import Settings

FILE = "servicenow_incidents/events_before_2016-05.parquet"
GOALS = {"opening": 0.52, "group": 0.68}
PARTS = {"opening": "from what is known at opening", "group": "once the group is known"}
# How often each person was right, by the same fields.
FLOORS = {"opening": (0.38, 0.48, 0.52), "group": (0.38, 0.65, 0.74)}


def read() -> Frame:
    """An incident a row, oldest first: as it was opened, who resolved it and when, and the group it ended in."""
    path = folder() / FILE
    if not path.exists():
        raise MissingError(f"there is no {FILE}; type: FORETELL_BENCH_DATA=<folder> make bench")
    names = ("sys_updated_at", "opened_at", "resolved_at")
    moments = [pl.col(c).str.strptime(pl.Datetime("us"), "%d/%m/%Y %H:%M", strict=False) for c in names]
    log = pl.read_parquet(path).with_columns(each.dt.replace_time_zone("UTC") for each in moments)
    log = log.sort("sys_updated_at", maintain_order=True)
    last = log.group_by("number").agg(group=pl.col("assignment_group").last())
    first = log.unique("number", keep="first", maintain_order=True).join(last, on="number")
    known = (pl.col("resolved_by") != "?") & pl.col("opened_at").is_not_null()
    return first.filter(known, pl.col("resolved_at") > pl.col("opened_at")).sort("opened_at", "number")


def tenant(sent: Frame, project: pl.Expr) -> History:
    """A tenant with these incidents."""
    common = {"issue": pl.col("number"), "entity": pl.col("number"), "project": project}
    bare = {name: pl.lit("") for name in ("title", "description", "sprint", "epic")}
    numbers = {name: pl.lit(None, dtype=pl.Float64) for name in ("points", "estimate_hours")}
    issues = sent.select(
        **common, **bare, **numbers, known_at="opened_at", reporter="opened_by", type="u_symptom", priority="priority",
        component=pl.concat_str("category", "category.1", separator=", "),
    )  # fmt: skip
    done = sent.select(**common, known_at="resolved_at", category=pl.lit("done"))
    given = sent.select(**common, known_at="resolved_at", person="resolved_by")
    since = given.group_by("project", "person").agg(pl.col("known_at").min())
    members = since.with_columns(entity="person", active=pl.lit(True), name=pl.lit(""), email=pl.lit(""))
    logs = pl.DataFrame(schema={"entity": pl.String, "known_at": INSTANT, "hours": pl.Float64, "person": pl.String})
    now = sent["resolved_at"].max()
    there = Standpoint(tenant="bench", now=now + timedelta(days=1), zone="UTC", settings=Settings())  # type: ignore[operator, arg-type]
    tables = {"issues": issues, "status_changes": done, "assignments": given, "members": members, "worklogs": logs}
    return History(there, tables)


def measure() -> dict[str, Any]:
    """How often the right person is first, among three and five; raises MissingError without the file."""
    sent = read()
    mark = sent["opened_at"][int(0.8 * sent.height)]
    rows: list[list[object]] = []
    found = {}
    for part, project in {"opening": pl.lit("desk"), "group": pl.col("group")}.items():
        history = tenant(sent, project.alias("project"))
        every = questions(history)
        every = every.with_columns(assigned(history, every))
        learned, test = every.filter(pl.col("known_at") <= mark), every.filter(pl.col("as_of") >= mark)
        then, past, asked = history.cut(mark), learned.drop("value", "known_at"), test.drop("value", "known_at")
        study, ask = (
            Study(history=seen, questions=those, features=Block((), np.empty((those.height, 0))))
            for seen, those in ((then, past), (history, asked))
        )
        said = Experience().fit(study, learned.select("value", "known_at")).forecast(ask).rows.fill_null(0.0)
        names = np.array([column.removeprefix("p:") for column in said.columns])
        order = names[np.argsort(-said.to_numpy(), axis=1, kind="stable")]
        right = [(order[:, :most] == test["value"].to_numpy()[:, None]).any(axis=1).mean() for most in (1, 3, 5)]
        rows += [[PARTS[part], asked.height, *map(number, right)], ["*frequency table*", "", *map(str, FLOORS[part])]]
        found[part] = float(right[1])
    table(["", "asked", "first", "among three", "among five"], rows)
    goals = {
        f"right person among three, {PARTS[part]} >= {least}": goal(found[part], found[part] >= least)
        for part, least in GOALS.items()
    }
    table(["goal", "is", ""], [[words, number(g["is"]), met(g["met"])] for words, g in goals.items()])
    return {"among_three": found, "goals": goals}
