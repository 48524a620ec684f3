"""Agile's tables: who works where, what there is to do, and what became of it.

What changes is told by a row a change, each with its time: an issue is as its newest row says, in a status, assigned to
somebody, since the newest row of these says so. So the past can be asked as it was.
"""

from __future__ import annotations

from typing import Annotated, Literal

import polars as pl
from pydantic import AwareDatetime, BaseModel, Field

from foretell.contract import Table

Id = Annotated[str, Field(min_length=1, max_length=200)]
Short = Annotated[str, Field(max_length=200)]
Title = Annotated[str, Field(max_length=1000)]
Text = Annotated[str, Field(max_length=20_000)]
Hours = Annotated[float, Field(ge=0, le=1e5, allow_inf_nan=False)]
Points = Annotated[float, Field(ge=0, le=1e4, allow_inf_nan=False)]
Category = Literal["todo", "in_progress", "done"]


class Workspace(BaseModel):
    """A workspace, as it is called from a time on."""

    workspace: Id
    time: AwareDatetime
    name: Short = ""


class Project(BaseModel):
    """A project, as it is from a time on; the newest known counts. `lead` is the person to tell."""

    project: Id
    time: AwareDatetime
    workspace: Short = ""
    name: Short = ""
    lead: Short = ""
    active: bool = True


class Member(BaseModel):
    """A person with access to a project from a time on; with `active` false, no longer.

    `skill` is what they are best at (`backend`), `hours_per_week` what they can give to all their projects together.
    """

    project: Id
    person: Id
    time: AwareDatetime
    name: Short = ""
    email: Short = ""
    role: Short = ""
    skill: Short = ""
    hours_per_week: Annotated[float, Field(ge=0, le=168)] | None = None
    active: bool = True


class Sprint(BaseModel):
    """A sprint, as planned or changed at a time: from `starts` to `ends`, and its state then."""

    sprint: Id
    project: Id
    time: AwareDatetime
    starts: AwareDatetime
    ends: AwareDatetime
    name: Short = ""
    state: Literal["planned", "active", "completed"] = "planned"


class Issue(BaseModel):
    """An issue, as it is from a time on: written, or changed. Its first row is its creation.

    `sprint` is the one it is planned for; empty where none. `estimate_hours` is what people expect it to take.
    """

    issue: Id
    project: Id
    time: AwareDatetime
    title: Title
    description: Text = ""
    type: Short = "task"
    priority: Short = ""
    component: Short = ""
    epic: Short = ""
    sprint: Short = ""
    points: Points | None = None
    estimate_hours: Hours | None = None
    due: AwareDatetime | None = None
    reporter: Short = ""


class StatusChange(BaseModel):
    """An issue came into a status, which counts as to do, in progress or done."""

    issue: Id
    project: Id
    time: AwareDatetime
    status: Short = ""
    category: Category


class Assignment(BaseModel):
    """An issue was given to a person; to nobody where that is empty."""

    issue: Id
    project: Id
    time: AwareDatetime
    person: Short = ""


class Worklog(BaseModel):
    """Hours that a person worked on an issue, up to a time. `log` tells apart what ended at the same time."""

    issue: Id
    project: Id
    time: AwareDatetime
    person: Short = ""
    hours: Hours
    log: Short = ""


WORKSPACES = Table(name="workspaces", row=Workspace, key=("workspace", "time"), time="time", entity=("workspace",))
PROJECTS = Table(
    name="projects", row=Project, key=("project", "time"), time="time", entity=("project",), persons={"lead": "person"}
)
MEMBERS = Table(
    name="members",
    row=Member,
    key=("project", "person", "time"),
    time="time",
    entity=("person",),
    persons={"person": "person"},
)
SPRINTS = Table(
    name="sprints",
    row=Sprint,
    key=("sprint", "time"),
    time="time",
    entity=("sprint",),
    rules={"a sprint ends after it starts": pl.col("ends") > pl.col("starts")},
)
ISSUES = Table(
    name="issues", row=Issue, key=("issue", "time"), time="time", entity=("issue",), persons={"reporter": "person"}
)
STATUS_CHANGES = Table(name="status_changes", row=StatusChange, key=("issue", "time"), time="time", entity=("issue",))
ASSIGNMENTS = Table(
    name="assignments",
    row=Assignment,
    key=("issue", "time"),
    time="time",
    entity=("issue",),
    persons={"person": "person"},
)
WORKLOGS = Table(
    name="worklogs",
    row=Worklog,
    key=("issue", "person", "time", "log"),
    time="time",
    entity=("issue",),
    persons={"person": "person"},
)
TABLES = (WORKSPACES, PROJECTS, MEMBERS, SPRINTS, ISSUES, STATUS_CHANGES, ASSIGNMENTS, WORKLOGS)
