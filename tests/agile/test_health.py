"""What is amiss in a project: each kind is found where it is planted, as grave as it is, and nowhere else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.agile.test_sprints import DAY, LENGTH, MONDAY, Row, history, issue, moved, sprint

from foretell.contract import History
from foretell.domains.agile import health

NOW = MONDAY + 6 * LENGTH + 7 * DAY  # in the middle of the seventh sprint


def project(*, last: float = 5.0, bare: int = 0, old: int = 0, waiting: int = 0) -> History:
    """Six sprints of five points an issue, the last of `last`; then ten open issues of somebody's, fresh and in order.

    Of those so many are nobody's, so many untold of for sixty days, and so many wait for a review.
    """
    rows: dict[str, list[Row]] = {"sprints": [], "issues": [], "status_changes": [], "assignments": []}
    for k in range(6):
        starts = MONDAY + k * LENGTH
        rows["sprints"].append(sprint(f"s{k}", starts) | {"state": "completed"})
        for n in range(4):
            points = last if k == 5 else 5.0 + n % 2
            rows["issues"].append(issue(f"s{k}-{n}", f"s{k}", points, starts - 2 * DAY))
            rows["status_changes"].append(moved(f"s{k}-{n}", "done", starts + 3 * DAY))
    for n in range(10):
        told = NOW - (60 * DAY if n < old else 2 * DAY)
        rows["issues"].append(issue(f"open-{n}", "", 3.0, told))
        status = "review" if n < waiting else f"doing {n}"
        rows["status_changes"].append(moved(f"open-{n}", "in_progress", told) | {"status": status})
        person = "" if n >= 10 - bare else f"p{n}"
        rows["assignments"].append({"issue": f"open-{n}", "project": "shop", "time": told, "person": person})
    return history(rows, NOW)


def found(**planted: Any) -> dict[str, str]:
    """The severity of each kind that is found."""
    return {one.risk_type: one.severity for one in health.project_risks("shop", project(**planted))}


@pytest.mark.row("A7")
def test_nothing_is_amiss_where_nothing_is_planted() -> None:
    assert found() == {}


@pytest.mark.row("A7")
@pytest.mark.parametrize(
    ("planted", "kind", "severity"),
    [
        ({"last": 4.0}, "velocity_drop", "medium"), ({"last": 0.0}, "velocity_drop", "critical"),
        ({"bare": 2}, "unassigned_issues", "low"), ({"bare": 3}, "unassigned_issues", "medium"),
        ({"bare": 6}, "unassigned_issues", "high"), ({"bare": 10}, "unassigned_issues", "critical"),
        ({"old": 1}, "stale_issues", "low"), ({"old": 4}, "stale_issues", "high"),
        ({"old": 7}, "stale_issues", "critical"),
        ({"waiting": 5}, "status_bottleneck", "medium"), ({"waiting": 8}, "status_bottleneck", "high"),
    ],
)  # fmt: skip
def test_each_kind_is_found_as_grave_as_it_is(planted: dict[str, Any], kind: str, severity: str) -> None:
    assert found(**planted) == {kind: severity}


@pytest.mark.row("A7")
def test_a_sprint_in_high_danger_is_told_and_projects_that_rest_are_not_looked_at() -> None:
    starts = NOW - 12 * DAY
    rows: dict[str, list[Row]] = {
        "sprints": [sprint("now", starts) | {"state": "active"}],
        "issues": [issue(f"i{k}", "now", 5.0, starts - DAY) for k in range(6)],
        "assignments": [
            {"issue": f"i{k}", "project": "shop", "time": starts - DAY, "person": f"p{k}"} for k in range(6)
        ],
    }
    seen = history(rows, NOW)
    told = {one.risk_type: one for one in health.project_risks("shop", seen)}
    assert told["sprint_risk"].severity == "high"
    assert told["sprint_risk"].evidence["risks"] == "burndown_velocity"
    assert health.active(seen) == ["shop"]
    assert health.active(history(rows, NOW + timedelta(days=31))) == []
