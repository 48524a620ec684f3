"""The board as it stands at a moment: every issue's newest state, and what past sprints delivered."""

from __future__ import annotations

import polars as pl

from foretell.contract import Frame, History

SPRINT = ("project", "name", "starts", "ends", "state")


def board(history: History) -> Frame:
    """One row an issue, as it is at `now`, in the order of their names.

    `project`, `sprint`, `points`, `due`, `written` (when); `category` (`todo` before any change), `status`, `since`
    (of its last change of status), `done` (when it first was, null: never), `assignee`; `touched`, when anything was
    last told of it.
    """
    return history.once(_board)


def _board(history: History) -> Frame:
    issues = history["issues"].sort("known_at", maintain_order=True)
    last = issues.group_by("entity").agg(
        pl.col("project", "sprint", "points", "due").last(),
        written=pl.col("known_at").first(),
        told=pl.col("known_at").last(),
    )
    moved = history["status_changes"].sort("known_at", maintain_order=True)
    state = moved.group_by("entity").agg(
        pl.col("category", "status").last(),
        since=pl.col("known_at").last(),
        done=pl.col("known_at").filter(pl.col("category") == "done").first(),
    )
    given = history["assignments"].sort("known_at", maintain_order=True)
    whose = given.group_by("entity").agg(assignee=pl.col("person").last(), given=pl.col("known_at").last())
    worked = history["worklogs"].group_by("entity").agg(worked=pl.col("known_at").max())
    found = last
    for other in (state, whose, worked):
        found = found.join(other, on="entity", how="left")
    return found.sort("entity").select(
        "entity", "project", "sprint", "points", "due", "written", "status", "since", "done",
        category=pl.col("category").fill_null("todo"),
        assignee=pl.col("assignee").fill_null(""),
        touched=pl.max_horizontal("told", "since", "given", "worked"),
    )  # fmt: skip


def sprints(history: History) -> Frame:
    """Every sprint as it is at `now`: `entity`, `SPRINT`, in the order of their starts."""
    rows = history["sprints"].sort("known_at", maintain_order=True)
    return rows.group_by("entity").agg(pl.col(SPRINT).last()).sort("starts", "entity")


def over(history: History) -> Frame:
    """The sprints that are over, with what they had committed to at their start and delivered by their end.

    Points (`committed`, `delivered`) and issues (`issues`, `completed`); an issue without points counts none.
    """
    return history.once(_over)


def _over(history: History) -> Frame:
    past = sprints(history).filter((pl.col("ends") <= history.now) | (pl.col("state") == "completed"))
    issues = history["issues"].sort("known_at", maintain_order=True)
    states = issues.with_columns(until=pl.col("known_at").shift(-1).over("entity"))
    held = states.join(past.select("starts", "ends", sprint="entity"), on="sprint").with_columns(
        planned=_holds("starts"), final=_holds("ends")
    )
    done = history["status_changes"].filter(pl.col("category") == "done").select("entity", done="known_at")
    closed = held.join(done, on="entity").filter(pl.col("done") > pl.col("starts"), pl.col("done") <= pl.col("ends"))
    closed = closed.select("sprint", "entity", completed=pl.lit(True)).unique()
    held = held.join(closed, on=("sprint", "entity"), how="left").with_columns(
        completed=pl.col("final") & pl.col("completed").fill_null(False)
    )
    told = held.group_by("sprint").agg(
        committed=pl.col("points").filter("planned").sum(),
        delivered=pl.col("points").filter("completed").sum(),
        issues=pl.col("planned").sum().cast(pl.Int64),
        completed=pl.col("completed").sum().cast(pl.Int64),
    )
    told = past.join(told, left_on="entity", right_on="sprint", how="left", maintain_order="left")
    return told.with_columns(pl.col("committed", "delivered", "issues", "completed").fill_null(0))


def _holds(moment: str) -> pl.Expr:
    """Whether a state of an issue, known from `known_at` `until` the next one, is that at a moment."""
    return (pl.col("known_at") <= pl.col(moment)) & (pl.col("until") > pl.col(moment)).fill_null(True)
