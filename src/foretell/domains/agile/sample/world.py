"""A coherent workspace to learn and to test with, made from a seed, and the truth behind it.

Its projects belong together; its sprints are over, under way or planned; its people have skills, limits and habits.
What they write tells what is to be done and about how large it is. Some of it is not as it should be, in known
shares: issues without assignee, points not in line with effort, sprints of outlying velocity, estimates made again
amid the work. And five troubles are in it, as real workspaces have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from foretell.contract import DTYPES, INSTANT, Frame, Table
from foretell.domains.agile import tables
from foretell.domains.agile.sample.issues import Issue, numbered
from foretell.domains.agile.sample.play import DAY, HOUR, MINUTE, Play
from foretell.domains.agile.sample.team import FORTNIGHT, Person, Project, Troubles, people, portfolio, troubles

UNASSIGNED = 0.05  # of all issues wait for somebody who has time
LEAD_TIME = FORTNIGHT + DAY + HOUR  # a sprint is planned so long before it starts
BEGUN = timedelta(days=40)  # before a project's first sprint


@dataclass(frozen=True, kw_only=True)
class World:
    """A generated workspace.

    `tables` are as a History has them. `truth` has of every `issue` the `hours` that it takes without noise (in the
    middle of what it can take; of an issue that is nobody's, for a usual person), the `points` that are in line with
    the effort, and the skill it needs (`kind`). `troubles` names what goes wrong: the project `behind`, the sprint
    with scope `creep`, the project with a `bottleneck` and who that is, the project with `churn`, the project and
    name of the misestimated `epic`, the `outliers` among sprints.
    """

    tables: Mapping[str, Frame]
    truth: Frame
    troubles: Mapping[str, tuple[str, ...]]


def world(
    seed: int,
    now: datetime,
    *,
    projects: int = 5,
    crew: int = 24,
    sprints: int = 8,
    workspace: str = "commerce",
    prefix: str = "",
) -> World:
    """The workspace as it is known at `now`: the same for the same arguments.

    `sprints` (3 or more) are those of each project: one planned, one under way, the others over. What projects,
    sprints, issues and people go by begins with `prefix`, so that it is nobody else's.
    """
    random, now = np.random.default_rng(seed), now.astimezone(UTC)
    plans, team = portfolio(now, projects, sprints, prefix), people(random, crew, projects, prefix)
    wrong = troubles(random, plans, team, sprints)
    play = Play(random, plans, team, wrong, now)
    play.until_now()
    issues = numbered(play.issues)
    waiting = _waiting(random, issues)
    leads = {plan.id: _lead(plan, team) for plan in plans}
    rows: dict[Table, list[tuple[object, ...]]] = {
        tables.WORKSPACES: [(workspace, min(p.starts[0] for p in plans) - BEGUN - DAY, "Commerce")],
        tables.PROJECTS: [(p.id, p.starts[0] - BEGUN, workspace, p.name, _lead(p, team), True) for p in plans],
        tables.MEMBERS: list(_members(plans, team)),
        tables.SPRINTS: list(_sprints(plans)),
        tables.ISSUES: [
            (
                i.id,
                i.project.id,
                at,
                i.title,
                i.description,
                i.type,
                priority,
                i.component,
                i.noun.capitalize(),
                *rest,
                leads[i.project.id],
            )
            for i, at, (priority, *rest) in play.issue_rows
        ],
        tables.STATUS_CHANGES: [(i.id, i.project.id, *rest) for i, *rest in play.statuses],
        tables.ASSIGNMENTS: [(i.id, i.project.id, *rest) for i, *rest in play.given if i.id not in waiting],
        tables.WORKLOGS: [(i.id, i.project.id, *rest, "") for i, *rest in play.logs],
    }
    return World(
        tables={table.name: _frame(table, made, now) for table, made in rows.items()},
        truth=_truth(issues),
        troubles=_named(plans, wrong),
    )


def _waiting(random: np.random.Generator, issues: Sequence[Issue]) -> set[str]:
    """Issues of today's and the next sprint that nobody has: with those never planned `UNASSIGNED` of all."""
    idle = [issue for issue in issues if issue.person and not issue.begun and issue.sprint is not None]
    count = round(UNASSIGNED * len(issues)) - sum(issue.person is None for issue in issues)
    return {idle[int(k)].id for k in random.permutation(len(idle))[: max(count, 0)]}


def _lead(project: Project, team: Sequence[Person]) -> str:
    """The most experienced person of a project."""
    return min((p for p in team if project.index in p.projects), key=lambda p: (p.pace, p.id)).id


def _members(plans: Sequence[Project], team: Sequence[Person]) -> Iterable[tuple[object, ...]]:
    for person in team:
        email = f"{person.name.lower().replace(' ', '.')}@example.com"
        for k in person.projects:
            since = plans[k].starts[0] - BEGUN + HOUR
            role = f"{person.level} {person.skill}"
            yield plans[k].id, person.id, since, person.name, email, role, person.skill, person.hours, True


def _sprints(plans: Sequence[Project]) -> Iterable[tuple[object, ...]]:
    for project in plans:
        for number, start in enumerate(project.starts):
            end = start + FORTNIGHT - HOUR
            for state, at in (("planned", start - LEAD_TIME), ("active", start), ("completed", end + 15 * MINUTE)):
                yield project.sprint(number), project.id, at, start, end, f"Sprint {number + 1}", state


def _truth(issues: Sequence[Issue]) -> Frame:
    return pl.DataFrame(
        {
            "issue": [issue.id for issue in issues],
            "project": [issue.project.id for issue in issues],
            "kind": [issue.kind for issue in issues],
            "hours": [issue.hours for issue in issues],
            "points": [issue.in_line for issue in issues],
        }
    )


def _named(plans: Sequence[Project], wrong: Troubles) -> dict[str, tuple[str, ...]]:
    return {
        "behind": (plans[wrong.behind].id,),
        "creep": (plans[wrong.creep[0]].sprint(wrong.creep[1]),),
        "bottleneck": (plans[wrong.bottleneck[0]].id, wrong.bottleneck[1].id),
        "churn": (plans[wrong.churn].id,),
        "epic": (plans[wrong.epic[0]].id, wrong.epic[1].capitalize()),
        "outliers": tuple(sorted(plans[p].sprint(k) for p, k in wrong.outliers)),
    }


def _frame(table: Table, rows: Sequence[tuple[object, ...]], now: datetime) -> Frame:
    """Facts of a table in the order of its row's fields, those of after `now` left out, in the order of time."""
    schema = {name: DTYPES[kind] for name, kind in table.kinds.items()}
    made = pl.DataFrame(rows, schema=schema, orient="row").filter(pl.col("time") <= pl.lit(now, INSTANT))
    return made.with_columns(entity=pl.col(table.entity[0]), known_at=pl.col("time")).sort("time", *table.key)
