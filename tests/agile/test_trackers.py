"""What Jira and GitHub export becomes rows of our tables, with the past told back from the changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from foretell.domains.agile.tables import TABLES
from foretell.domains.agile.trackers import github, jira
from foretell.errors import InvalidRequest
from foretell.features.foreign import plain


def day(number: int, hour: int = 9) -> str:
    return f"2024-03-{number:02d}T{hour:02d}:00:00.000+0200"


def moment(number: int, hour: int = 9) -> datetime:
    return datetime(2024, 3, number, hour - 2, tzinfo=UTC)


def change(number: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"{number}", "created": day(number), "author": {"accountId": "u9"}, "items": [*items]}


def item(field: str, before: str | None, after: str | None, **ids: str | None) -> dict[str, Any]:
    return {"field": field, "fieldtype": "jira", "fromString": before, "toString": after, **ids}


ADF = {
    "type": "doc", "version": 1,
    "content": [
        {"type": "paragraph", "content": [{"type": "text", "text": "Can't "}, {"type": "text", "text": "log in"}]},
        {"type": "paragraph", "content": [{"type": "text", "text": "since Monday"}]},
    ],
}  # fmt: skip
CHANGES = [
    change(4, item("Story Points", None, "3")),
    change(5, item("status", "Selected", "Doing"), item("assignee", None, "Ayse", **{"from": None, "to": "u1"})),
    change(6, item("Story Points", "3", "8"), item("Sprint", "", "Sprint 7", **{"from": "", "to": "7"})),
    change(8, item("status", "Doing", "Done")),
]
ISSUE: dict[str, Any] = {
    "id": "10001", "key": "SHOP-1",
    "fields": {
        "summary": "Fix login", "description": ADF, "created": day(1), "issuetype": {"name": "Bug"},
        "priority": {"name": "High"}, "project": {"key": "SHOP", "name": "The shop"}, "components": [{"name": "auth"}],
        "status": {"name": "Done", "statusCategory": {"key": "done"}},
        "assignee": {"accountId": "u1", "displayName": "Ayse", "emailAddress": "ayse@shop.example"},
        "customfield_10044": 8.0, "timeoriginalestimate": 7200, "duedate": "2024-03-20",
        "customfield_10020": [
            {"id": 7, "name": "Sprint 7", "state": "closed", "startDate": day(3), "endDate": day(17),
             "completeDate": day(18)}
        ],
        "worklog": {"worklogs": [
            {"id": "1", "author": {"accountId": "u1"}, "started": day(5, 10), "timeSpentSeconds": 5400}
        ]},
    },
    "changelog": {"histories": CHANGES},
}  # fmt: skip
NAMES = {"customfield_10044": "Story Points", "customfield_10020": "Sprint"}


def told(*pages: Any) -> dict[str, pl.DataFrame]:
    return jira(json.dumps(pages[0] if len(pages) == 1 else pages).encode())


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    return told({"issues": [ISSUE], "names": NAMES})


def test_an_issue_is_told_back_from_its_changes(tables: dict[str, pl.DataFrame]) -> None:
    rows = tables["issues"].select("time", "points", "sprint").rows()
    assert [points for _, points, _ in rows] == [None, 3.0, 8.0]
    assert [sprint for *_, sprint in rows] == ["", "", "7"]
    assert [time.astimezone(UTC) for time, *_ in rows] == [moment(1), moment(4), moment(6)]


def test_what_is_written_comes_along(tables: dict[str, pl.DataFrame]) -> None:
    first = tables["issues"].row(0, named=True)
    assert first["description"] == "Can't log in\nsince Monday\n"
    assert (first["title"], first["type"], first["priority"], first["component"]) == (
        "Fix login",
        "bug",
        "High",
        "auth",
    )
    assert first["estimate_hours"] == 2.0
    assert first["due"] == datetime(2024, 3, 20, tzinfo=UTC)


def test_statuses_count_as_what_jira_says_or_their_names(tables: dict[str, pl.DataFrame]) -> None:
    rows = tables["status_changes"].sort("time").select("status", "category").rows()
    assert rows == [("Selected", "in_progress"), ("Doing", "in_progress"), ("Done", "done")]
    new = {**ISSUE, "key": "SHOP-2", "changelog": {}}
    new["fields"] = {**ISSUE["fields"], "status": {"name": "Selected", "statusCategory": {"key": "new"}}}
    rows = (
        told({"issues": [ISSUE, new], "names": NAMES})["status_changes"].sort("issue", "time").select("category").rows()
    )
    assert rows == [("todo",), ("in_progress",), ("done",), ("todo",)]


def test_people_sprints_and_hours_come_along(tables: dict[str, pl.DataFrame]) -> None:
    assert tables["assignments"].select("person").rows() == [("u1",)]
    assert tables["members"].select("person", "name", "email").rows() == [("u1", "Ayse", "ayse@shop.example")]
    sprints = tables["sprints"].select("sprint", "state", "time", "starts", "ends").rows()
    assert [(name, state, *(each.astimezone(UTC) for each in times)) for name, state, *times in sprints] == [
        ("7", "active", moment(3), moment(3), moment(17)),
        ("7", "completed", moment(18), moment(3), moment(18)),
    ]
    log = tables["worklogs"].row(0, named=True)
    assert (log["hours"], log["person"]) == (1.5, "u1")
    assert log["time"].astimezone(UTC) == datetime(2024, 3, 5, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sprint", "states"),
    [
        ({"state": "future", "startDate": day(3), "endDate": day(17)}, ["planned"]),
        ({"state": "active", "startDate": day(3), "endDate": day(17)}, ["active"]),
        ({"state": "closed", "startDate": day(3), "endDate": day(17)}, ["active", "completed"]),
        ({"state": "future", "startDate": None, "endDate": None}, []),
    ],
)
def test_how_a_sprint_ended_is_told_when_it_ended(sprint: dict[str, Any], states: list[str]) -> None:
    fields = {**ISSUE["fields"], "customfield_10020": [{"id": 8, "name": "S", **sprint}]}
    tables = told({"issues": [{**ISSUE, "fields": fields}, {**ISSUE, "key": "SHOP-2", "fields": fields}]})
    rows = tables["sprints"] if states else pl.DataFrame({"state": [], "ends": []})
    assert rows["state"].to_list() == states
    assert [ends.astimezone(UTC) for ends in rows["ends"]] == [moment(17)] * len(states)


def test_sprints_of_jira_server_are_read(tables: dict[str, pl.DataFrame]) -> None:
    written = (
        "com.atlassian.greenhopper.service.sprint.Sprint@1f[id=7,rapidViewId=3,state=CLOSED,name=Sprint 7,"
        f"goal=<null>,startDate={day(3)},endDate={day(17)},completeDate={day(18)},sequence=7]"
    )
    named = written.replace("name=Sprint 7", "name=Login, [and] more").replace("id=7", "id=8")
    fields = {**ISSUE["fields"], "customfield_10020": [written, named]}
    found = told({"issues": [{**ISSUE, "fields": fields}], "names": NAMES})
    assert found["sprints"].filter(sprint="7").rows() == tables["sprints"].rows()
    assert found["sprints"].filter(sprint="8")["name"].unique().to_list() == ["Login, [and] more"]
    assert found["issues"]["sprint"][-1] == "8"


def test_pages_of_a_changelog_belong_to_their_issue(tables: dict[str, pl.DataFrame]) -> None:
    bare = {**ISSUE, "changelog": {"histories": CHANGES[:2]}}
    page = {"self": "https://x.example/rest/api/3/issue/SHOP-1/changelog?startAt=2", "values": CHANGES[2:]}
    again = told({"issues": [bare], "names": NAMES}, page)
    assert {name: frame.rows() for name, frame in again.items()} == {
        name: frame.rows() for name, frame in tables.items()
    }


def test_an_issue_without_its_changes_was_done_when_it_was_resolved() -> None:
    bare = {name: value for name, value in ISSUE.items() if name != "changelog"}
    with pytest.raises(InvalidRequest, match=r"issue SHOP-1: it is done, .*; ask Jira with expand=changelog"):
        told({"issues": [bare], "names": NAMES})
    solved = {**bare, "fields": {**ISSUE["fields"], "resolutiondate": day(9)}}
    for issue in (solved, {**solved, "changelog": {"histories": []}}):
        rows = told({"issues": [issue], "names": NAMES})["status_changes"].sort("time")
        assert rows.select("status", "category").rows() == [("", "todo"), ("Done", "done")]
        assert [time.astimezone(UTC) for time in rows["time"]] == [moment(1), moment(9)]
    fields = {**ISSUE["fields"], "status": {"name": "Doing", "statusCategory": {"key": "indeterminate"}}}
    rows = told({"issues": [{**bare, "fields": fields}], "names": NAMES})["status_changes"]
    assert rows["category"].to_list() == ["in_progress"]


def test_changes_that_jira_left_out_are_asked_for(tables: dict[str, pl.DataFrame]) -> None:
    cut = {**ISSUE, "changelog": {"histories": CHANGES[:2], "total": 4}}
    with pytest.raises(InvalidRequest, match="issue SHOP-1: only 2 of its 4 changes are told"):
        told({"issues": [cut], "names": NAMES})
    page = {"self": "https://x.example/rest/api/3/issue/SHOP-1/changelog", "values": CHANGES}  # two of them again
    again = told({"issues": [cut], "names": NAMES}, page)
    assert {name: frame.rows() for name, frame in again.items()} == {
        name: frame.rows() for name, frame in tables.items()
    }


def test_every_row_is_valid_in_its_table(tables: dict[str, pl.DataFrame]) -> None:
    shapes = {table.name: table.row for table in TABLES}
    for name, frame in tables.items():
        for row in frame.iter_rows(named=True):
            shapes[name].model_validate(row)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"{", "not JSON"),
        (b"[1]", "no page of JSON objects"),
        (b'{"total": 3}', "no page of Jira"),
        (b'{"issues": []}', "no issue in it"),
        (b'{"issues": [{"key": "A-1", "fields": {"project": {"key": "A"}}}]}', "issue A-1: it has no fields.created"),
        (b'{"issues": [{}, {}]}', "issue number 1: it has no fields"),
        (b'{"issues": [1]}', "its issues: a field is of another kind than Jira writes"),
        (b'[{"number": 7, "html_url": "https://github.com/a/b/issues/7"}]', "looks like GitHub's .* agile.github"),
        (b'{"self": "x/issue/A-1/changelog", "values": []}', "came without its issue"),
    ],
)
def test_what_is_no_export_is_refused_in_words(sent: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        jira(sent)


def test_plain_text_of_older_jira_stays() -> None:
    assert plain("as it is") == "as it is"
    assert plain(None) == ""


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in ISSUE["fields"].items() if name != field}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (without("project"), "issue SHOP-1: it has no fields.project.key$"),
        ({**ISSUE["fields"], "project": "SHOP"}, "issue SHOP-1: it has no fields.project.key$"),
        ({**ISSUE["fields"], "created": "01/Mar/24"}, "its fields.created is '01/Mar/24', and should be a moment such"),
        ({**ISSUE["fields"], "customfield_10044": "five"}, "its customfield_10044 is 'five', and should be a number"),
        ({**ISSUE["fields"], "components": ["auth"]}, "SHOP-1: a field is of another kind than Jira writes"),
    ],
)
def test_a_malformed_issue_is_told_by_its_name_and_field(fields: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        told({"issues": [{**ISSUE, "fields": fields}], "names": NAMES})


GITHUB = [
    {
        "number": 7, "title": "Crash at start", "body": "It crashes.", "created_at": "2024-03-01T10:00:00Z",
        "closed_at": "2024-03-05T10:00:00Z", "labels": [{"name": "bug"}, {"name": "points: 3"}, {"name": "ui"}],
        "assignee": {"login": "ayse"}, "assignees": [{"login": "ayse"}],
        "repository_url": "https://api.github.com/repos/acme/shop",
        "milestone": {"number": 2, "title": "v2", "created_at": "2024-02-20T00:00:00Z",
                      "due_on": "2024-03-10T00:00:00Z", "state": "open"},
    },
    {"number": 8, "title": "A change", "pull_request": {}, "created_at": "2024-03-02T10:00:00Z"},
    {"number": 9, "title": "Idea", "body": None, "created_at": "2024-03-03T10:00:00Z", "closed_at": None, "labels": [],
     "html_url": "https://github.com/acme/shop/issues/9", "milestone": None, "assignees": []},
]  # fmt: skip


def test_issues_of_github() -> None:
    tables = github(json.dumps(GITHUB).encode())
    assert tables["issues"].select("issue", "project", "type", "points", "sprint").rows() == [
        ("acme/shop#7", "acme/shop", "bug", 3.0, "acme/shop/2"), ("acme/shop#9", "acme/shop", "task", None, ""),
    ]  # fmt: skip
    assert tables["status_changes"].sort("issue", "time")["category"].to_list() == ["todo", "done", "todo"]
    assert tables["assignments"]["person"].to_list() == ["ayse"]
    assert tables["sprints"]["sprint"].to_list() == ["acme/shop/2"]
    shapes = {table.name: table.row for table in TABLES}
    for name, frame in tables.items():
        for row in frame.iter_rows(named=True):
            shapes[name].model_validate(row)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"issues": [ISSUE]}, "looks like Jira's search, which is agile.jira"),
        ([{**GITHUB[0], "title": None}], "issue 7: it has no title"),
        ([{**GITHUB[2], "html_url": None}], "issue 9: it has no html_url"),
        (
            [{"html_url": "https://github.com/a/b/issues/1", "title": "?", "created_at": "soon"}],
            "issue at place 1: its created_at is 'soon', and should be a moment",
        ),
        ([{**GITHUB[0], "labels": 3}], "issue 7: a field is of another kind than GitHub writes"),
    ],
)
def test_what_is_no_list_of_github_is_refused_in_words(sent: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        github(json.dumps(sent).encode())


def test_a_milestone_is_over_when_it_was_closed() -> None:
    milestone: Any = GITHUB[0]["milestone"]
    closed = {**milestone, "state": "closed", "closed_at": "2024-03-08T00:00:00Z"}
    rows = github(json.dumps([{**GITHUB[0], "milestone": closed}]).encode())["sprints"]
    assert rows.select(pl.col("time", "ends").dt.day(), "state").rows() == [(20, 10, "active"), (8, 8, "completed")]
