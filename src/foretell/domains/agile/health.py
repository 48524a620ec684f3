"""Reports: what endangers a sprint, and how a project does, by rules that anybody can check on the board."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import numpy as np
import polars as pl

from foretell.contract import Frame, History, Read, Severity
from foretell.domains.agile.board import board, over, sprints
from foretell.domains.agile.decide import there
from foretell.domains.agile.features import READS as OF_ISSUES
from foretell.domains.agile.features import SEEN, without_text
from foretell.domains.agile.schema import (
    Anomalies,
    Breakdown,
    ProjectRequest,
    Risk,
    Settings,
    SprintRequest,
    SprintRisks,
    Summary,
)
from foretell.errors import NotFound

READS = (
    *without_text(OF_ISSUES),
    Read(table="sprints", window=SEEN, by="project"),
)
LED = (Read(table="projects", window=SEEN, by="project"), Read(table="members", window=SEEN, by="project"))
WEIGHT = {"low": 0.05, "medium": 0.15, "high": 0.3, "critical": 0.45}  # of a project that is at risk, by each
RANK: tuple[Severity, ...] = ("low", "medium", "high", "critical")
LAST = 5  # sprints whose velocity is told
FEWEST = 4  # sprints from which a usual velocity can be told, and issues from which on a status is crowded
ACTIVE = timedelta(days=30)  # since the last thing that was told of any of its issues
SIGMA = 1.4826  # times the median absolute deviation is the standard deviation of a normal distribution
GONE = 0.33  # of a sprint without any change, after which a begun issue in it is stale


@dataclass(frozen=True, kw_only=True)
class Look:
    """What rules look at: issues as they are, the sprint where there is one, the sprints that are over."""

    now: datetime
    settings: Settings
    issues: Frame
    past: Frame
    sprint: dict[str, Any] | None = None

    @property
    def open(self) -> Frame:
        """The issues that are not done."""
        return self.issues.filter(pl.col("category") != "done")


Rule = Callable[[Look], Iterable[Risk]]


def _graded(value: float, medium: float) -> Severity:
    """How grave a value is that is `medium` from there on: low below, high from twice, critical from three times it."""
    return RANK[min(3, 1 + int(value >= 2 * medium) + int(value >= 3 * medium))] if value >= medium else "low"


def burndown(look: Look) -> Iterable[Risk]:
    """Less is done than the time that has gone by asks for; high from the settings' `behind` on."""
    sprint = look.sprint
    if sprint is None or not sprint["starts"] < look.now or look.issues.is_empty():
        return
    gone = min(1.0, (look.now - sprint["starts"]) / (sprint["ends"] - sprint["starts"]))
    weight = look.issues["points"].fill_null(0.0).to_numpy()
    weight = weight if weight.sum() > 0 else np.ones(look.issues.height)
    done = float(weight[(look.issues["category"] == "done").to_numpy()].sum() / weight.sum())
    behind = gone - done
    if behind >= look.settings.behind / 2:
        yield Risk(
            risk_type="burndown_velocity", severity="high" if behind >= look.settings.behind else "medium",
            description=f"Sprint is {behind:.0%} behind expected progress",
            evidence={"expected_completion": round(gone * 100, 1), "actual_completion": round(done * 100, 1)},
            mitigation_suggestions=["Consider reducing sprint scope", "Identify and remove blockers"],
        )  # fmt: skip


def overcommitted(look: Look) -> Iterable[Risk]:
    """A sprint holds more points than the team usually delivers."""
    usual = look.past.tail(LAST)["delivered"].median()
    total = float(look.issues["points"].fill_null(0.0).sum())
    if look.sprint is None or not isinstance(usual, float) or usual <= 0 or total <= usual * 1.2:
        return
    yield Risk(
        risk_type="overcommitment", severity="high" if total > usual * 1.5 else "medium",
        description=f"Sprint holds {total:g} points; {usual:g} are usually delivered",
        evidence={"planned_points": total, "usual_velocity": usual},
        mitigation_suggestions=["Move the least important issues to a later sprint"],
    )  # fmt: skip


def scope_change(look: Look) -> Iterable[Risk]:
    """Issues came into a running sprint."""
    sprint = look.sprint
    if sprint is None or look.issues.is_empty():
        return
    added = look.issues.filter(pl.col("joined") > sprint["starts"])
    share = added.height / look.issues.height
    if added.height and share >= look.settings.scope_change / 2:
        yield Risk(
            risk_type="scope_change", severity="high" if share >= look.settings.scope_change * 2 else "medium",
            description=f"{added.height} of {look.issues.height} issues were added after the sprint had started",
            evidence={"added_count": added.height, "added_share": round(share, 3), "issues": _some(added)},
            mitigation_suggestions=["Agree on what leaves the sprint for what came in", "Protect the sprint goal"],
        )  # fmt: skip


def unassigned(look: Look) -> Iterable[Risk]:
    """Open issues that nobody has."""
    bare = look.open.filter(pl.col("assignee") == "")
    if not bare.height:
        return
    share = bare.height / look.open.height
    yield Risk(
        risk_type="unassigned_issues", severity=_graded(share, look.settings.unassigned_share),
        description=f"{bare.height} of {look.open.height} open issues have no assignee",
        evidence={"unassigned_count": bare.height, "unassigned_share": round(share, 3), "issues": _some(bare)},
        mitigation_suggestions=["Assign them, or take them out of the plan"],
    )  # fmt: skip


def overloaded(look: Look) -> Iterable[Risk]:
    """Somebody has more open issues than the settings' `overloaded`."""
    each = (
        look.open.filter(pl.col("assignee") != "").group_by("assignee").len().sort("len", "assignee", descending=True)
    )
    for person, count in each.filter(pl.col("len") > look.settings.overloaded).iter_rows():
        yield Risk(
            risk_type="overloaded_member", severity=_graded(count, look.settings.overloaded),
            description=f"{person} has {count} open issues",
            evidence={"person": person, "open_issues": count},
            mitigation_suggestions=[f"Give some of {person}'s issues to others", "Limit work in progress"],
        )  # fmt: skip


def stale(look: Look) -> Iterable[Risk]:
    """Open issues that nothing was told of for long; in a sprint, begun ones for a third of its length."""
    limit = timedelta(days=look.settings.stale_days)
    issues = look.open
    if look.sprint is not None:
        limit = min(limit, (look.sprint["ends"] - look.sprint["starts"]) * GONE)
        issues = issues.filter(pl.col("category") == "in_progress")
    old = issues.filter(look.now - pl.col("touched") > limit)
    if not old.height:
        return
    share = old.height / look.open.height
    longest = cast("datetime", old["touched"].min())
    yield Risk(
        risk_type="stale_issues", severity=_graded(share, 0.2),
        description=f"{old.height} open issues have had no update for more than {limit / timedelta(days=1):.0f} days",
        evidence={"stale_count": old.height, "longest_days": (look.now - longest).days, "issues": _some(old)},
        mitigation_suggestions=["Close what nobody will do", "Ask what blocks the others"],
    )  # fmt: skip


def bottleneck(look: Look) -> Iterable[Risk]:
    """Most begun issues wait in one status."""
    begun = look.open.filter(pl.col("category") == "in_progress", pl.col("status").fill_null("") != "")
    if begun.height < FEWEST or begun["status"].n_unique() < 2:
        return
    status, count = begun.group_by("status").len().sort("len", "status", descending=True).row(0)
    share = count / begun.height
    if share > look.settings.stuck and count >= FEWEST:
        yield Risk(
            risk_type="status_bottleneck", severity="high" if share >= 0.7 else "medium",
            description=f"{count} of {begun.height} begun issues are in {status}",
            evidence={"status": status, "count": count, "share": round(share, 3)},
            mitigation_suggestions=[f"Finish what is in {status} before anything new is begun"],
        )  # fmt: skip


def velocity_drop(look: Look) -> Iterable[Risk]:
    """The last sprint delivered far less than the ones before it, by a robust z-score."""
    told = look.past["delivered"].to_numpy()
    if len(told) <= FEWEST:
        return
    before, last = told[:-1], float(told[-1])
    usual = float(np.median(before))
    spread = SIGMA * float(np.median(np.abs(before - usual))) or 0.1 * usual
    z = (usual - last) / spread if spread else 0.0
    if z >= look.settings.velocity_drop:
        yield Risk(
            risk_type="velocity_drop", severity=_graded(z, look.settings.velocity_drop),
            description=f"The last sprint delivered {last:g} points; {usual:g} are usual",
            evidence={"last_velocity": last, "usual_velocity": usual, "z_score": round(-z, 2)},
            mitigation_suggestions=["Ask the team what was different", "Plan the next sprint with the lower velocity"],
        )  # fmt: skip


def overdue(look: Look) -> Iterable[Risk]:
    """Open issues whose day has passed."""
    late = look.open.filter(pl.col("due") < look.now)
    if late.height:
        yield Risk(
            risk_type="overdue_issues", severity=_graded(late.height / look.open.height, 0.15),
            description=f"{late.height} open issues are overdue",
            evidence={"overdue_count": late.height, "issues": _some(late)},
            mitigation_suggestions=["Set new dates that hold, or do them first"],
        )  # fmt: skip


def _some(issues: Frame) -> str:
    return ", ".join(issues["entity"].head(5)) + (", …" if issues.height > 5 else "")


OF_SPRINT: tuple[Rule, ...] = (
    burndown, overcommitted, scope_change, unassigned, overloaded, stale, bottleneck
)  # fmt: skip
OF_PROJECT: tuple[Rule, ...] = (velocity_drop, unassigned, overloaded, stale, bottleneck, overdue)


def found(rules: Iterable[Rule], look: Look) -> list[Risk]:
    """What the rules find, the gravest first."""
    risks = [risk for rule in rules for risk in rule(look)]
    return sorted(risks, key=lambda risk: -RANK.index(risk.severity))


def sprint_risks(request: SprintRequest, history: History) -> SprintRisks:
    """What endangers a sprint. Raises NotFound for one that isn't there."""
    rows = sprints(history).filter(pl.col("entity") == request.sprint)
    if rows.is_empty():
        raise NotFound(f"there is no sprint {request.sprint!r}; bring it into agile.sprints")
    project = str(rows["project"][0])
    risks = found(OF_SPRINT, _of_sprint(history, rows.row(0, named=True)))
    for risk in risks:  # the document knows three
        risk.severity = "high" if risk.severity == "critical" else risk.severity
    return SprintRisks(project=project, sprint=request.sprint, risks=risks)


def _of_sprint(history: History, sprint: dict[str, Any]) -> Look:
    joined = (
        history["issues"]
        .filter(pl.col("sprint") == sprint["entity"])
        .group_by("entity")
        .agg(joined=pl.col("known_at").min())
    )
    issues = board(history).filter(pl.col("sprint") == sprint["entity"]).join(joined, on="entity", how="left")
    past = over(history).filter(pl.col("project") == sprint["project"], pl.col("entity") != sprint["entity"])
    return Look(now=history.now, settings=_settings(history), issues=issues, past=past, sprint=sprint)


def _settings(history: History) -> Settings:
    return cast("Settings", history.standpoint.settings)


def summary(request: ProjectRequest, history: History) -> Summary:
    """How a project does. Raises NotFound for one that isn't there."""
    project = there(request.project, history)
    risks = project_risks(project, history)
    look = _of_project(project, history)
    total, done = look.issues.height, look.issues.height - look.open.height
    kept = float(np.prod([1 - WEIGHT[risk.severity] for risk in risks]))
    recent = look.past.tail(LAST)["delivered"].mean()
    return Summary(
        project=project,
        completion=round(100 * done / total, 1) if total else 0.0,
        velocity=round(recent, 1) if isinstance(recent, float) else 0.0,
        risk_score=round(100 * (1 - kept), 1),
        metrics_breakdown=Breakdown(
            total_issues=total, completed_issues=done, sprints_analyzed=min(LAST, look.past.height),
            unassigned_issues=look.open.filter(pl.col("assignee") == "").height,
            overdue_issues=look.open.filter(pl.col("due") < look.now).height,
        ),
        risks=risks,
        generated_at=history.now,
    )  # fmt: skip


def _of_project(project: str, history: History) -> Look:
    return Look(
        now=history.now, settings=_settings(history),
        issues=board(history).filter(pl.col("project") == project),
        past=over(history).filter(pl.col("project") == project),
    )  # fmt: skip


def anomalies(request: ProjectRequest, history: History) -> Anomalies:
    """What is unusual in a project, one of a kind. Raises NotFound for one that isn't there."""
    project = there(request.project, history)
    kinds: dict[str, Risk] = {}
    for risk in project_risks(project, history):
        kinds.setdefault(risk.risk_type, risk)
    return Anomalies(project=project, anomalies=[*kinds.values()])


def active(history: History) -> list[str]:
    """The projects in which anything was told of an issue lately."""
    fresh = board(history).filter(pl.col("touched") > history.now - ACTIVE)
    return fresh["project"].unique().sort().to_list()


def lead(history: History, project: str) -> list[str]:
    """The mail address of who leads a project by what is known now, where both are told."""
    told = history["projects"].filter(project=project).sort("known_at", maintain_order=True)["lead"].tail(1)
    people = history["members"].filter(project=project, person=told.item() if len(told) else "")
    address = people.sort("known_at", maintain_order=True)["email"].tail(1)
    return [each for each in address if each]


def project_risks(project: str, history: History) -> list[Risk]:
    """What is unusual in a project: its own risks, and one for each running sprint that is in high danger."""
    risks = found(OF_PROJECT, _of_project(project, history))
    running = sprints(history).filter(
        pl.col("project") == project, pl.col("starts") <= history.now, pl.col("ends") > history.now,
        pl.col("state") != "completed",
    )  # fmt: skip
    for sprint in running.iter_rows(named=True):
        grave = [
            risk for risk in found(OF_SPRINT, _of_sprint(history, sprint)) if risk.severity in ("high", "critical")
        ]
        if grave:
            severity: Severity = "critical" if len(grave) > 2 else "high"
            risks.append(
                Risk(
                    risk_type="sprint_risk",
                    severity=severity,
                    description=f"Sprint {sprint['name'] or sprint['entity']}: {grave[0].description}",
                    evidence={"sprint": sprint["entity"], "risks": ", ".join(risk.risk_type for risk in grave)},
                    mitigation_suggestions=grave[0].mitigation_suggestions,
                )
            )
    return sorted(risks, key=lambda risk: -RANK.index(risk.severity))
