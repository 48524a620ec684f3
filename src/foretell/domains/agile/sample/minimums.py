"""Whether there is enough in a workspace to learn from, by the six minimum counts of the requirements."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from foretell.contract import Frame

LATE = 0.75  # of the points planned at its start a sprint delivers less
GREW = 0.18  # of its issues came later
UNASSIGNED = 0.1  # of its issues are nobody's
NARROW = 0.45  # of its issues are one person's, where several work on it
TWICE = 2.0  # as often as others somebody works on a component: specialised
MINIMUMS = {
    "effort": (100, "completed issues with logged effort", "generate more sprints or more people"),
    "points": (60, "completed issues with points and effort", "generate more sprints or more people"),
    "velocity": (15, "completed sprints with velocity", "generate more projects or more sprints"),
    "specialised": (50, "completed assignments that show specialisation", "generate more people or more sprints"),
    "risky": (8, "sprints with identifiable risk factors", "generate more projects or more sprints"),
    "health": (5, "projects of different health", "generate more projects"),
}
FACTORS = ("late", "grew", "unassigned", "narrow")


def lacking(tables: Mapping[str, Frame]) -> list[str]:
    """What is missing to learn from a workspace's tables, each in words with what to do; empty if nothing is."""
    found = counts(tables)
    return [
        f"{found[name]} {words}, at least {least} are needed: {advice}"
        for name, (least, words, advice) in MINIMUMS.items()
        if found[name] < least
    ]


def counts(tables: Mapping[str, Frame]) -> dict[str, int]:
    """How many there are of each of `MINIMUMS`."""
    done, sprints = _done(tables), _sprints(tables)
    logged = done.filter(pl.col("hours") > 0)
    return {
        "effort": logged.height,
        "points": logged.filter(pl.col("points").is_not_null()).height,
        "velocity": sprints.filter((pl.col("state") == "completed") & (pl.col("velocity") > 0)).height,
        "specialised": _specialised(done),
        "risky": sprints.filter(pl.any_horizontal(FACTORS)).height,
        "health": _health(done, sprints).height,
    }


def _done(tables: Mapping[str, Frame]) -> Frame:
    """Finished issues: `project`, `component`, `points`, first `estimate_hours`, `hours` logged, `person`, `over`."""
    over = (
        tables["status_changes"].filter(pl.col("category") == "done").group_by("issue").agg(over=pl.col("time").min())
    )
    first = tables["issues"].sort("time").group_by("issue").agg(
        pl.col("estimate_hours").drop_nulls().first(), pl.col("project", "component", "points").last()
    )  # fmt: skip
    hours = tables["worklogs"].group_by("issue").agg(pl.col("hours").sum())
    return (
        over.join(first, on="issue").join(hours, on="issue", how="left").join(_people(tables), on="issue", how="left")
    )


def _people(tables: Mapping[str, Frame]) -> Frame:
    """Who has each issue now; none where nobody does."""
    newest = tables["assignments"].sort("time").group_by("issue").agg(pl.col("person").last())
    return newest.filter(pl.col("person") != "")


def _sprints(tables: Mapping[str, Frame]) -> Frame:
    """Sprints that have begun: `sprint`, `project`, `state`, `velocity` (points finished in it), and `FACTORS`."""
    last = tables["sprints"].sort("time").group_by("sprint").agg(pl.col("project", "state", "starts", "ends").last())
    begun = last.filter(pl.col("state") != "planned")
    planned = tables["issues"].filter(pl.col("sprint") != "").sort("time").group_by("issue", "sprint")
    rows = planned.agg(since=pl.col("time").first(), points=pl.col("points").last().fill_null(0)).join(
        begun, on="sprint"
    )
    rows = rows.join(_done(tables).select("issue", "over"), on="issue", how="left")
    rows = rows.join(_people(tables), on="issue", how="left").with_columns(
        committed=pl.col("since") <= pl.col("starts"),
        delivered=(pl.col("over") > pl.col("starts")).fill_null(False) & (pl.col("over") <= pl.col("ends")),
    )
    points, committed = pl.col("points"), pl.col("committed")
    finished = (points * (pl.col("delivered") & committed)).sum()
    return rows.group_by("sprint", "project", "state").agg(
        velocity=(points * pl.col("delivered")).sum(),
        late=(finished < LATE * (points * committed).sum()) & (pl.col("state").first() == "completed"),
        grew=(~committed).sum() > GREW * committed.sum(),
        unassigned=pl.col("person").is_null().mean() > UNASSIGNED,
        narrow=(pl.col("person").drop_nulls().n_unique() > 2)
        & (pl.col("person").drop_nulls().value_counts().struct.field("count").max() > NARROW * pl.len()),
    )


def _specialised(done: Frame) -> int:
    """Finished issues of people who work on the component at least twice as often as the workspace does."""
    given = done.drop_nulls("person")
    own = pl.len().over("person", "component") / pl.len().over("person")
    usual = pl.len().over("component") / pl.len()
    return given.filter(own >= TWICE * usual).height


def _health(done: Frame, sprints: Frame) -> Frame:
    """The different ways that projects are.

    That is in how many quarters of the sprints each factor is, and the tenths of its first estimate that an issue takes
    in the middle.
    """
    factors = sprints.group_by("project").agg((pl.col(name).mean() * 4).round() for name in FACTORS)
    over = (pl.col("hours") / pl.col("estimate_hours")).median().round(1)
    taken = done.group_by("project").agg(overrun=over)
    return factors.join(taken, on="project", how="left").drop("project").unique()
