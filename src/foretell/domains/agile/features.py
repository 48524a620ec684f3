"""Issues as they were, questions about them, and what became of them: one truth for training, serving and monitoring.

An issue is asked about when it is written, and again when work on it begins, with what was known then. It is over when
it first comes into a status that counts as done; what is logged or changed later is not part of its outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl

from foretell.contract import Block, Floats, Frame, History, Read
from foretell.features.asof import Record, latest, remembered

SEEN = timedelta(days=1096)  # how far back a project is looked at
READS = (
    Read(table="projects", window=SEEN, by="project"),
    Read(table="issues", window=SEEN, by="project"),
    Read(table="status_changes", window=SEEN, by="project", columns=("issue", "status", "category")),
    Read(table="assignments", window=SEEN, by="project", columns=("issue", "person")),
    Read(table="worklogs", window=SEEN, by="project", columns=("issue", "person", "hours")),
)
TEXTS = ("title", "description", "type", "priority", "component", "epic", "sprint", "reporter")
NUMBERS = ("points", "estimate_hours")
PRIORITIES = {
    "lowest": 1.0, "trivial": 1.0, "low": 2.0, "minor": 2.0, "medium": 3.0, "normal": 3.0, "major": 4.0, "high": 4.0,
    "critical": 5.0, "highest": 5.0, "urgent": 5.0, "blocker": 6.0,
}  # fmt: skip


GROUPS = {"type": "type", "component": "component", "person": "assignee", "epic": "epic"}


def without_text(reads: Sequence[Read]) -> list[Read]:
    """The same reads, of issues without what is written in them."""
    columns = ("issue", "sprint", "points", "due")
    return [replace(read, columns=columns) if read.table == "issues" else read for read in reads]


def described(history: History, asked: Frame) -> Frame:
    """Each question's issue as it was known at `as_of`: `project`, `TEXTS` (never null), `NUMBERS`, and `assignee`.

    Type and priority are in small letters: a `Bug` is a `bug`.
    """
    return remembered(history, asked[["entity", "as_of"]], _described)


def _described(history: History, asked: Frame) -> Frame:
    found = latest(history, asked, "issues", ("project", *TEXTS, *NUMBERS))
    given = latest(history, asked, "assignments", ("person",))["person"].alias("assignee")
    texts = {name: pl.col(name).fill_null("") for name in ("project", *TEXTS, "assignee")}
    texts |= {name: texts[name].str.to_lowercase() for name in ("type", "priority")}
    return found.hstack([given]).with_columns(**texts)


def finished(history: History) -> Frame:
    """Every issue that is done, as it was then: `described`, `known_at` (when), `hours` logged by then (null: none).

    An issue that comes along with a request is not.
    """
    return history.stored.once(_finished)


def _finished(history: History) -> Frame:
    done = (
        history["status_changes"]
        .filter(pl.col("category") == "done")
        .group_by("entity")
        .agg(pl.col("known_at").min())
        .sort("known_at", "entity")
    )
    logged = (
        history["worklogs"]
        .join(done.rename({"known_at": "over"}), on="entity")
        .filter(pl.col("known_at") <= pl.col("over"))
        .group_by("entity")
        .agg(hours=pl.col("hours").sum())
    )
    asked = done.select("entity", as_of="known_at")
    return done.hstack(described(history, asked).get_columns()).join(
        logged, on="entity", how="left", maintain_order="left"
    )


def questions(history: History) -> Frame:
    """Every issue when it was written, and when work on it began; none that was done by then."""
    written = history["issues"].group_by("entity").agg(pl.col("known_at").min(), pl.col("project").first())
    begun = pl.concat(
        [
            history["status_changes"].filter(pl.col("category") == "in_progress").select("entity", "known_at"),
            history["worklogs"].select("entity", "known_at"),
        ]
    )
    begun = begun.group_by("entity").agg(pl.col("known_at").min())
    begun = begun.join(written.rename({"known_at": "written"}), on="entity").filter(
        pl.col("known_at") > pl.col("written")
    )
    over = finished(history).select("entity", over="known_at")
    both = pl.concat([frame.select("entity", "project", "known_at") for frame in (written, begun)])
    both = both.join(over, on="entity", how="left").filter(
        pl.col("over").is_null() | (pl.col("over") > pl.col("known_at"))
    )
    return both.select("entity", "project", as_of="known_at", at="known_at").sort("as_of", "entity")


def hours(history: History, asked: Frame) -> Frame:
    """`value`, the hours logged on the issue until it was done, known then; void where none were."""
    return _outcome(history, asked, pl.when(pl.col("hours") > 0).then(pl.col("hours")))


def points(history: History, asked: Frame) -> Frame:
    """`value`, the points that the issue had when it was done (`3`, `0.5`), known then; void where it had none."""
    return _outcome(history, asked, pl.col("points").map_elements(lambda one: f"{one:g}", return_dtype=pl.String))


def _outcome(history: History, asked: Frame, value: pl.Expr) -> Frame:
    over = finished(history).select("entity", "known_at", value=value)
    found = asked.select("entity", "as_of").join(over, on="entity", how="left", maintain_order="left")
    closed = pl.col("known_at") > pl.col("as_of")
    return found.select(pl.when(closed).then(pl.col(name)).alias(name) for name in ("value", "known_at"))


def effort(history: History, asked: Frame) -> Block:
    """What is known of an issue in numbers; logarithms of hours; records are of the project's issues done by then."""
    known = described(history, asked)
    numbers = {name: known[name].to_numpy() for name in NUMBERS}  # NaN where there is none
    return Block.of_columns({**_written(known), **numbers, **_records(history, asked, known, "hours")})


def size(history: History, asked: Frame) -> Block:
    """The same for points, without the points and estimates that the issue has."""
    known = described(history, asked)
    return Block.of_columns({**_written(known), **_records(history, asked, known, "points")})


def _written(known: Frame) -> dict[str, Floats]:
    titles, texts = known["title"].to_list(), known["description"].to_list()
    columns = {
        "title_words": [len(title.split()) for title in titles],
        "description_words": [len(text.split()) for text in texts],
        "lines": [text.count("\n") for text in texts],
        "code": [text.count("{code") + text.count("```") for text in texts],
        "priority": [PRIORITIES.get(name.lower(), np.nan) for name in known["priority"].to_list()],
    }
    return {name: np.array(column, dtype=np.float64) for name, column in columns.items()}


LOGARITHMS = {
    "hours": pl.when(pl.col("hours") > 0).then(pl.col("hours").log()),
    "points": (pl.col("points") + 1).log(),
}


def records(history: History, value: str) -> dict[str, Record]:
    """The record of finished issues in the logarithm of a value: of each project, and in it of each of `GROUPS`."""
    return history.stored.once(lambda stored: _made(stored, value), ("records", value))


def _made(history: History, value: str) -> dict[str, Record]:
    done = finished(history).with_columns(log=LOGARITHMS[value])
    made = {"project": Record.of(done, "project", "log")}
    for name, column in GROUPS.items():
        group = pl.concat_str("project", column, separator="\n")
        made[name] = Record.of(done.filter(pl.col(column) != "").with_columns(group=group), "group", "log")
    return made


def _records(history: History, asked: Frame, known: Frame, value: str) -> dict[str, Floats]:
    """What finished issues were like by then: all of the project, those of the same type, component, person, epic."""
    moments, projects = asked["as_of"].dt.epoch("us").to_numpy(), known["project"].to_list()
    out: dict[str, Floats] = {}
    for name, record in records(history, value).items():
        groups = projects
        if name in GROUPS:
            groups = [f"{a}\n{b}" for a, b in zip(projects, known[GROUPS[name]].to_list(), strict=True)]
        out[f"{name}_n"], out[f"{name}_mean"] = record.at(groups, moments)
    return out
