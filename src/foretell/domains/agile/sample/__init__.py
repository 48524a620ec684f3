"""A small seeded world: two projects of a shop and the six people who work on them, as `world` makes them."""

from __future__ import annotations

from datetime import UTC, datetime

from foretell.contract import History, Sample, Standpoint
from foretell.domains.agile.sample.world import world
from foretell.domains.agile.schema import (
    AssignmentRequest,
    DurationRequest,
    EffortRequest,
    IssueRequest,
    ProjectRequest,
    ScaleRequest,
    Settings,
    SprintRequest,
)

NOW = datetime(2024, 6, 12, 15, tzinfo=UTC)


def sample(seed: int) -> Sample:
    """The world for a seed: the same seed gives the same rows."""
    standpoint = Standpoint(tenant="sample", now=NOW, zone="Europe/Berlin", settings=Settings())
    made = world(seed, NOW, projects=2, crew=6, sprints=6)
    projects = sorted(made.tables["projects"]["project"])
    first = projects[0]
    issues, sprints = (
        made.tables[name].filter(made.tables[name]["project"] == first) for name in ("issues", "sprints")
    )
    stored = {"project": first, "issue": str(issues.sort("time")["issue"][-1])}
    new = {"project": first, "title": "Fix the login form", "description": "Users can't sign in.", "type": "bug"}
    now = str(sprints.filter(sprints["state"] == "active").sort("time")["sprint"][-1])
    return Sample(
        history=History(standpoint, made.tables),
        requests={
            "agile.effort": [EffortRequest(**new, estimate_hours=6.0), EffortRequest(**new), EffortRequest(**stored)],
            "agile.points": [IssueRequest(**new), IssueRequest(**stored)],
            "agile.assignment": [
                AssignmentRequest(**stored), AssignmentRequest(project=first, sprint=now),
            ],
            "agile.duration": [
                DurationRequest(project=first, sprint=now), DurationRequest(project=first, sprint=now, days_off=2),
            ],
            "agile.delivery": [SprintRequest(project=first, sprint=now)],
            "agile.sprint_risk": [SprintRequest(project=first, sprint=now)],
            "agile.scale": [ScaleRequest(project=first)],
            "agile.project_summary": [ProjectRequest(project=name) for name in projects],
            "agile.anomalies": [ProjectRequest(project=name) for name in projects],
        },
    )  # fmt: skip
