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
from foretell.features.asof import newest, record

SEEN = timedelta(days=1096)  # how far back a project is looked at
READS = (
    Read(table="projects", window=SEEN, by="project"),
    Read(table="issues", window=SEEN, by="project"),
    Read(table="status_changes", window=SEEN, by="project", columns=("issue", "status", "category")),
    Read(table="assignments", window=SEEN, by="project", columns=("issue", "person")),
    Read(table="worklogs", window=SEEN, by="project", columns=("issue", "person", "hours")),
)
TEXTS = ("title", "description", "type", "priority", "component", "epic", "sprint")
NUMBERS = ("points", "estimate_hours")
PRIORITIES = {
    "lowest": 1.0, "trivial": 1.0, "low": 2.0, "minor": 2.0, "medium": 3.0, "normal": 3.0, "major": 4.0, "high": 4.0,
    "critical": 5.0, "highest": 5.0, "urgent": 5.0, "blocker": 6.0,
}  # fmt: skip


def without_text(reads: Sequence[Read]) -> list[Read]:
    """The same reads, of issues without what is written in them."""
    columns = ("issue", "sprint", "points", "due")
    return [replace(read, columns=columns) if read.table == "issues" else read for read in reads]


def described(history: History, asked: Frame) -> Frame:
    """Each question's issue as it was known at `as_of`: `project`, `TEXTS` (never null), `NUMBERS`, and `assignee`."""
    issues = history["issues"]
    found = newest(asked, issues, "entity", ("project", *TEXTS, *NUMBERS))
    given = newest(asked, history["assignments"], "entity", ("person",))
    return found.with_columns(pl.col("project", *TEXTS).fill_null(""), assignee=given["person"].fill_null(""))


def finished(history: History) -> Frame:
    """Every issue that is done, as it was then: `described`, `known_at` (when), `hours` logged by then (null: none)."""
    return history.once(_finished)


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
    done = finished(history).with_columns(log_hours=pl.when(pl.col("hours") > 0).then(pl.col("hours").log()))
    return Block.of_columns({**_written(known), **_told(known), **_records(asked, known, done, "log_hours")})


def size(history: History, asked: Frame) -> Block:
    """The same for points, without the points and estimates that the issue has."""
    known = described(history, asked)
    done = finished(history).with_columns(log_points=(pl.col("points") + 1).log())
    return Block.of_columns({**_written(known), **_records(asked, known, done, "log_points")})


def _written(known: Frame) -> dict[str, Floats]:
    title, text = known["title"], known["description"]
    made = known.select(
        title_words=title.str.count_matches(r"\w+"),
        description_words=text.str.count_matches(r"\w+"),
        lines=text.str.count_matches(r"\n"),
        code=text.str.count_matches(r"\{code|```|^    ", literal=False),
        priority=pl.col("priority")
        .str.to_lowercase()
        .replace_strict(PRIORITIES, default=None, return_dtype=pl.Float64),
    )
    return {name: made[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in made.columns}


def _told(known: Frame) -> dict[str, Floats]:
    return {name: known[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in NUMBERS}


def _records(asked: Frame, known: Frame, done: Frame, value: str) -> dict[str, Floats]:
    """What the finished issues were like: all of the project, and those of the same type, component, person, epic."""
    out: dict[str, Floats] = {}
    for name, column in {
        "project": "",
        "type": "type",
        "component": "component",
        "person": "assignee",
        "epic": "epic",
    }.items():
        group = pl.concat_str("project", *([column] if column else []), separator="\n")
        here = asked.select("as_of").hstack([known.select(group.alias("group"))["group"]])
        rows = done.filter(pl.col(column) != "") if column else done
        n, mean = record(here, rows.select("known_at", value, group=group), "group", value)
        out[f"{name}_n"], out[f"{name}_mean"] = n, mean
    return out
