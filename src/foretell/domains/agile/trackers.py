"""What issue trackers export, as rows of our tables: Jira's REST JSON, and GitHub's issues.

A tracker tells an issue as it is now, and Jira what changed when. The past is told back from there: an issue's first
row has what every change since took away. Of GitHub no changes are known: what is written counts from the creation on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from foretell.contract import Frame
from foretell.domains.agile.tables import TABLES
from foretell.errors import InvalidRequest
from foretell.features.foreign import at, blamed, moment, number, objects, plain

Row = dict[str, Any]
Rows = dict[str, list[Row]]

POINTS = ("story points", "story point estimate")  # what Jira calls its field
FIELD = "customfield_10016"  # of story points in Jira's cloud, where no name is told
HOUR = 3600.0
MOMENT = timedelta(seconds=1)
DONE = {"done", "closed", "resolved", "complete", "completed", "released", "cancelled", "won't do", "fixed"}
TODO = {"", "to do", "todo", "open", "backlog", "new", "reopened", "selected for development", "created", "planned"}
CATEGORIES = {"new": "todo", "undefined": "todo", "indeterminate": "in_progress", "done": "done"}  # Jira's
KINDS = {"bug": "bug", "enhancement": "story", "feature": "story", "story": "story", "task": "task", "docs": "task"}
WRITTEN = re.compile(r"(\w+)=(.*?)(?=,\w+=|$)", re.DOTALL)  # a field of a sprint in Jira Server, and its value
LABELLED = re.compile(r"^(?:story )?(?:points?|sp|estimate|size)\s*[:/= -]\s*(\d+(?:\.\d+)?)$", re.IGNORECASE)
NAMES = {
    "summary": "title", "description": "description", "issuetype": "type", "priority": "priority",
    "component": "component", "sprint": "sprint", "epic link": "epic", "parent": "epic",
    **dict.fromkeys(POINTS, "points"), "timeoriginalestimate": "estimate_hours", "duedate": "due",
}  # fmt: skip
"""Which field of a change in Jira is which column of ours."""


def jira(content: bytes) -> dict[str, Frame]:
    """Rows of our tables from pages of Jira's search (`expand=changelog,names`) or of a changelog.

    The content is a page, or a list of pages. Sprint and person are named by their id in Jira. Raises InvalidRequest
    for anything else.
    """
    pages = objects(content)
    issues = [(issue, page.get("names") or {}) for page in pages for issue in page.get("issues") or ()]
    changes: dict[str, list[Row]] = {}
    for page in pages:
        if "issues" not in page:
            key = re.search(r"/issue/([^/]+)/changelog", str(page.get("self", "")))
            if "values" not in page or key is None:
                other = "; it looks like GitHub's list of issues, which is agile.github" if "html_url" in page else ""
                raise InvalidRequest(f"this is no page of Jira's search or of a changelog: it has no issues{other}")
            changes.setdefault(key.group(1), []).extend(page["values"])
    with blamed("its issues", "Jira"):
        known = {each for issue, _ in issues for each in (issue.get("key"), issue.get("id"))}
        categories = _categories(issue for issue, _ in issues)
    if unknown := sorted(set(changes) - known):
        raise InvalidRequest(f"the changelog of {unknown[0]} came without its issue; put both into one file, as a list")
    rows: Rows = {}
    for place, (issue, names) in enumerate(issues, start=1):
        with blamed(f"issue {issue.get('key') or f'number {place}'}", "Jira"):
            mine = [*changes.get(str(issue.get("key")), ()), *changes.get(str(issue.get("id")), ())]
            _issue(rows, issue, names, mine, categories)
    return _frames(rows)


def _categories(issues: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What each status counts as, as far as an issue is in it now."""
    statuses = [(issue.get("fields") or {}).get("status") or {} for issue in issues]
    return {
        str(one["name"]).lower(): CATEGORIES.get(str((one.get("statusCategory") or {}).get("key")), "")
        for one in statuses
        if "name" in one
    }


def _category(status: str, categories: Mapping[str, str]) -> str:
    name = status.lower()
    return categories.get(name) or ("done" if name in DONE else "todo" if name in TODO else "in_progress")


def _issue(
    rows: Rows,
    issue: Mapping[str, Any],
    names: Mapping[str, str],
    changes: Sequence[Row],
    categories: Mapping[str, str],
) -> None:
    fields, written = at(issue, "fields"), moment(issue, "fields", "created")
    common = {"issue": str(at(issue, "key")), "project": str(at(issue, "fields", "project", "key"))}
    history = _history(issue, changes)
    now = _fields(fields, names)
    status = str((fields.get("status") or {}).get("name", ""))
    person = _person(fields.get("assignee"))
    told: list[Row] = []  # newest first: each change undone
    moves: list[Row] = []
    for change in reversed(history):
        when, moved = moment(change, "created"), False
        for item in reversed(change.get("items") or ()):
            field = str(item.get("field", "")).lower()
            if field == "status":
                moves.append({**common, "time": when, "status": status})
                status = str(item.get("fromString") or "")
            elif field == "assignee":
                rows.setdefault("assignments", []).append({**common, "time": when, "person": person})
                person = str(item.get("from") or "")
            elif field in NAMES:
                if not moved:
                    told.append({**common, "time": when, **now})
                now, moved = {**now, **_before(NAMES[field], item)}, True
    rows.setdefault("issues", []).extend([{**common, "time": written, **now}, *reversed(told)])
    if not moves and _category(status, categories) == "done" and (over := _resolved(issue, changes)):
        moves, status = [{**common, "time": max(over, written + MOMENT), "status": status}], ""
    moves.append({**common, "time": written, "status": status})
    rows.setdefault("status_changes", []).extend(
        {**move, "category": _category(move["status"], categories)} for move in moves
    )
    if person:
        rows.setdefault("assignments", []).append({**common, "time": written, "person": person})
    _around(rows, fields, common, names)


def _history(issue: Mapping[str, Any], pages: Sequence[Row]) -> list[Row]:
    """Its changes, the oldest first. Raises InvalidRequest where Jira has told but some of them."""
    own = issue.get("changelog") or {}
    told = {str(one.get("id", f"#{k}")): one for k, one in enumerate([*(own.get("histories") or ()), *pages])}
    if len(told) < (every := own.get("total") or 0):
        raise InvalidRequest(
            f"only {len(told)} of its {every} changes are told; put the pages of its changelog into the file, as a list"
        )
    return sorted(told.values(), key=lambda one: moment(one, "created"))


def _resolved(issue: Mapping[str, Any], pages: Sequence[Row]) -> datetime | None:
    """Since when it is done, where no change of its status tells; None where there was none since it was written."""
    if issue["fields"].get("resolutiondate"):
        return moment(issue, "fields", "resolutiondate")
    if "changelog" not in issue and not pages:
        raise InvalidRequest("it is done, and nothing tells since when; ask Jira with expand=changelog")
    return None


def _around(rows: Rows, fields: Mapping[str, Any], common: Row, names: Mapping[str, str]) -> None:
    """The project, its people, its sprints and the hours worked, as far as an issue tells them."""
    project, written = fields["project"], moment(fields, "created")
    rows.setdefault("projects", []).append(
        {"project": common["project"], "time": written, "name": str(project.get("name", ""))}
    )
    for one in (fields.get("assignee"), fields.get("reporter"), fields.get("creator")):
        if one and (person := _person(one)):
            told = {"name": str(one.get("displayName", "")), "email": str(one.get("emailAddress", ""))}
            rows.setdefault("members", []).append(
                {"project": common["project"], "person": person, "time": written, **told}
            )
    for sprint in _sprints(fields, names):
        if sprint.get("startDate") and sprint.get("endDate"):
            state, starts, ends = (
                str(sprint.get("state")).lower(),
                moment(sprint, "startDate"),
                moment(sprint, "endDate"),
            )
            over = moment(sprint, "completeDate") if sprint.get("completeDate") else ends if state == "closed" else None
            row = {"sprint": str(sprint["id"]), "project": common["project"], "name": str(sprint.get("name", ""))}
            _sprint(rows, {**row, "state": "active" if over or state == "active" else "planned"}, starts, ends, over)
    for log in (fields.get("worklog") or {}).get("worklogs") or ():
        began, hours = moment(log, "started"), number(log, "timeSpentSeconds") / HOUR
        rows.setdefault("worklogs", []).append(
            {
                **common, "time": began + timedelta(hours=hours), "person": _person(log.get("author")), "hours": hours,
                "log": str(at(log, "id")),
            }
        )  # fmt: skip


def _sprint(rows: Rows, row: Row, starts: datetime, ends: datetime, over: datetime | None) -> None:
    """A sprint from its start on, as it was planned; and from when it was closed on, with that as its end."""
    least = starts + timedelta(hours=1)
    told = rows.setdefault("sprints", [])
    told.append({**row, "time": starts, "starts": starts, "ends": max(ends, least)})
    if over:
        over = max(over, least)
        told.append({**row, "time": over, "starts": starts, "ends": over, "state": "completed"})


def _fields(fields: Mapping[str, Any], names: Mapping[str, str]) -> Row:
    """An issue's columns as its fields have them now."""
    points = next((field for field, name in names.items() if str(name).lower() in POINTS), FIELD)
    seconds, sprints = fields.get("timeoriginalestimate"), _sprints(fields, names)
    return {
        "title": str(fields.get("summary") or "")[:1000],
        "description": plain(fields.get("description"))[:20_000],
        "type": str((fields.get("issuetype") or {}).get("name", "task")).lower(),
        "priority": str((fields.get("priority") or {}).get("name", "")),
        "component": ", ".join(str(one.get("name", "")) for one in fields.get("components") or ())[:200],
        "epic": str((fields.get("parent") or {}).get("key", "")),
        "sprint": str(sprints[-1]["id"]) if sprints else "",
        "points": None if fields.get(points) is None else number(fields, points),
        "estimate_hours": None if seconds is None else number(fields, "timeoriginalestimate") / HOUR,
        "due": moment(fields, "duedate") if fields.get("duedate") else None,
        "reporter": _person(fields.get("reporter")),
    }


def _sprints(fields: Mapping[str, Any], names: Mapping[str, str]) -> list[Mapping[str, Any]]:
    field = next((field for field, name in names.items() if str(name).lower() == "sprint"), "customfield_10020")
    found = [_written(one) if isinstance(one, str) else one for one in fields.get(field) or ()]
    return [one for one in found if isinstance(one, dict) and "id" in one]


def _written(sprint: str) -> dict[str, str]:
    """A sprint as Jira Server writes it: `…Sprint@1f[id=7,state=CLOSED,name=Sprint 7,startDate=…,goal=<null>]`."""
    inside = sprint[sprint.find("[") + 1 :].removesuffix("]")
    return {name: value for name, value in WRITTEN.findall(inside) if value != "<null>"}


def _before(column: str, item: Mapping[str, Any]) -> Row:
    """What a column was before a change."""
    if column in ("points", "estimate_hours"):
        field = "fromString" if column == "points" else "from"
        told = number(item, field) / (HOUR if column == "estimate_hours" else 1.0) if item.get(field) else None
        return {column: told}
    if column == "due":
        return {column: moment(item, "from") if item.get("from") else None}
    if column == "sprint":
        return {column: str(item.get("from") or "").split(",")[-1].strip()}
    text = str(item.get("fromString") or "")
    return {column: text.lower() if column == "type" else text}


def _person(told: Any) -> str:
    return str(told.get("accountId") or told.get("name") or told.get("key") or "") if isinstance(told, dict) else ""


def github(content: bytes) -> dict[str, Frame]:
    """Rows of our tables from GitHub's list of issues (`state=all`); pull requests are left out.

    The project is `owner/name`, a milestone that is due is a sprint, points are read from labels such as `points: 3`.
    Raises InvalidRequest for anything else.
    """
    rows: Rows = {}
    for place, one in enumerate(objects(content), start=1):
        if "issues" in one or "fields" in one:
            raise InvalidRequest("this is no list of GitHub's issues; it looks like Jira's search, which is agile.jira")
        if "pull_request" not in one:
            with blamed(f"issue {one.get('number') or f'at place {place}'}", "GitHub"):
                _github(rows, one)
    return _frames(rows)


def _github(rows: Rows, one: Mapping[str, Any]) -> None:
    project = re.sub(
        r"^.*/repos/|^https://[^/]+/|/issues/.*$", "", str(one.get("repository_url") or at(one, "html_url"))
    )
    written = moment(one, "created_at")
    common = {"issue": f"{project}#{at(one, 'number')}", "project": project, "time": written}
    labels = [str(each["name"] if isinstance(each, dict) else each) for each in one.get("labels") or ()]
    points = [float(found.group(1)) for label in labels if (found := LABELLED.match(label.strip()))]
    kinds = [KINDS[label.lower()] for label in labels if label.lower() in KINDS]
    milestone = one.get("milestone") or {}
    rows.setdefault("projects", []).append({"project": project, "time": written, "name": project})
    rows.setdefault("issues", []).append(
        {
            **common, "title": str(at(one, "title"))[:1000], "description": str(one.get("body") or "")[:20_000],
            "type": kinds[0] if kinds else "task", "points": points[0] if points else None,
            "component": ", ".join(label for label in labels if label.lower() not in KINDS)[:200],
            "sprint": f"{project}/{milestone['number']}" if milestone.get("due_on") else "",
            "reporter": str((one.get("user") or {}).get("login", "")),
        }
    )  # fmt: skip
    rows.setdefault("status_changes", []).append({**common, "status": "open", "category": "todo"})
    if one.get("closed_at"):
        over = {**common, "time": moment(one, "closed_at"), "status": "closed", "category": "done"}
        rows["status_changes"].append(over)
    for person in {str(each["login"]) for each in (*(one.get("assignees") or ()), one.get("assignee")) if each}:
        rows.setdefault("assignments", []).append({**common, "person": person})
        rows.setdefault("members", []).append({"project": project, "person": person, "time": written, "name": person})
    if milestone.get("due_on"):
        starts, ends = moment(milestone, "created_at"), moment(milestone, "due_on")
        closed = moment(milestone, "closed_at") if milestone.get("closed_at") else None
        row = {"sprint": f"{project}/{milestone['number']}", "project": project, "name": str(milestone.get("title"))}
        if ends > starts:
            _sprint(rows, {**row, "state": "active"}, starts, ends, closed)


def _frames(rows: Rows) -> dict[str, Frame]:
    """The rows as frames with all columns of their tables; of a project or a person the first row that tells of it."""
    if "issues" not in rows:
        raise InvalidRequest("there is no issue in it")
    tables = {table.name: table for table in TABLES}
    out = {}
    for name, each in rows.items():
        table = tables[name]
        blank = {column: field.default for column, field in table.row.model_fields.items() if not field.is_required()}
        frame = pl.DataFrame([{**blank, **one} for one in each], infer_schema_length=None)
        once = name in ("projects", "members")
        key = [column for column in table.key if not once or column != table.time]
        out[name] = frame.sort(table.time).unique(key, keep="first", maintain_order=True)
    return out
