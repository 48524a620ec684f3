"""The board as it stands at a moment: every issue's newest state, and what past sprints delivered."""

from __future__ import annotations

from datetime import datetime

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
    rows = [_delivered(history, one) for one in past.iter_rows(named=True)]
    schema = {"committed": pl.Float64, "delivered": pl.Float64, "issues": pl.Int64, "completed": pl.Int64}
    return past.hstack(pl.DataFrame(rows, schema=schema, orient="row").get_columns())


def _delivered(history: History, sprint: dict[str, object]) -> tuple[float, float, int, int]:
    starts, ends, name = sprint["starts"], sprint["ends"], sprint["entity"]
    assert isinstance(starts, datetime)
    assert isinstance(ends, datetime)
    issues = history["issues"].sort("known_at", maintain_order=True)
    mine = issues.filter(pl.col("entity").is_in(issues.filter(pl.col("sprint") == name)["entity"].unique().implode()))
    planned, final = (
        mine.filter(pl.col("known_at") <= moment).group_by("entity").agg(pl.col("sprint", "points").last())
        for moment in (starts, ends)
    )
    planned, final = (frame.filter(pl.col("sprint") == name) for frame in (planned, final))
    done = history["status_changes"].filter(
        pl.col("category") == "done", pl.col("known_at") > starts, pl.col("known_at") <= ends
    )
    completed = final.filter(pl.col("entity").is_in(done["entity"].unique().implode()))
    return float(planned["points"].sum()), float(completed["points"].sum()), planned.height, completed.height
