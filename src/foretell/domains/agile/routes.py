"""The paths that the agile document prints, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from foretell.contract import Route
from foretell.domains.agile.schema import (
    AssignmentAnswer,
    Breakdown,
    DurationAnswer,
    EffortAnswer,
    PointsAnswer,
    SprintRisks,
    Summary,
)
from foretell.domains.agile.tables import Id, Short, Text, Title
from foretell.errors import Forbidden, InvalidRequest, NotFound, NotReady, Refused

STATUSES = {InvalidRequest: 400, NotReady: 400, Refused: 400, NotFound: 404, Forbidden: 403}
BASE = "/api/v1/ml"


def refused(problem: Mapping[str, Any]) -> Mapping[str, Any]:
    """An error: what went wrong in words, the fields it is about where there are some, and its code."""
    fields = "; ".join(f"{each['field']}: {each['message']}" for each in problem["errors"])
    return {"error": problem["detail"], "detail": fields or problem["detail"], "code": problem["code"]}


HOW: dict[str, Any] = {"statuses": STATUSES, "refused": refused}


class IssueBody(BaseModel):
    """A new issue."""

    title: Annotated[Title, Field(min_length=1)]
    description: Text | None = ""
    issue_type: Annotated[Short, Field(min_length=1)]
    project_id: Id


class Range(BaseModel):
    """Bounds, in hours."""

    min: float
    max: float


class SimilarIssue(BaseModel):
    """A finished issue that reads alike."""

    id: str
    title: str
    actual_hours: float


class EffortTold(BaseModel):
    """Hours for an issue."""

    predicted_hours: float
    confidence: float
    prediction_range: Range
    method: str
    model_version: str | None
    reasoning: str
    similar_issues: list[SimilarIssue]


class PointsTold(BaseModel):
    """Points for an issue."""

    recommended_points: int | float
    confidence: float
    probability_distribution: dict[str, float]
    reasoning: str
    method: str


class SprintBody(BaseModel):
    """A sprint; with `planned_issues` instead of what it holds."""

    sprint_id: Id
    planned_issues: Annotated[list[Id], Field(max_length=1000)] | None = None
    team_capacity_hours: Annotated[float, Field(ge=0, le=1e6)] | None = None


class SprintTold(BaseModel):
    """How long a sprint takes, in whole days."""

    estimated_days: int
    planned_days: int
    confidence: float
    average_velocity: float | None
    total_story_points: int | float
    risk_factors: list[str]
    method: str


class AssignmentBody(BaseModel):
    """An issue of a project."""

    issue_id: Id
    project_id: Id
    top_n: Annotated[int, Field(ge=1, le=100)] = 3


class SuggestionTold(BaseModel):
    """A person, with the parts of the score."""

    user_id: str
    user_name: str
    user_email: str
    total_score: float
    skill_score: float
    workload_score: float
    performance_score: float
    availability_score: float
    reasoning: list[str]


class AssignmentTold(BaseModel):
    """Who should do it, the best first."""

    suggestions: list[SuggestionTold]


class SprintPath(BaseModel):
    """The sprint in the path."""

    sprint_id: Id


class RiskTold(BaseModel):
    """A risk, with what its kind tells beside."""

    risk_type: str
    severity: Literal["low", "medium", "high"]
    description: str
    mitigation_suggestions: list[str]
    expected_completion: float | None = None
    actual_completion: float | None = None
    unassigned_count: int | None = None


class RisksTold(BaseModel):
    """A sprint's risks."""

    risks: list[RiskTold]


class ProjectPath(BaseModel):
    """The project in the path."""

    project_id: Id


class SummaryTold(BaseModel):
    """How a project does."""

    completion: float
    velocity: float
    risk_score: float
    project_id: str
    generated_at: str
    metrics_breakdown: Breakdown


def _issue(body: IssueBody) -> Mapping[str, Any]:
    return {
        "project": body.project_id, "title": body.title, "description": body.description or "",
        "type": body.issue_type,
    }  # fmt: skip


def _effort(told: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = EffortAnswer.model_validate(told["answer"])
    return {
        "predicted_hours": round(answer.hours, 2), "confidence": round(answer.confidence, 4),
        "prediction_range": {"min": round(answer.low, 2), "max": round(answer.high, 2)}, "method": answer.method,
        "model_version": told["foretell"]["version"] if answer.method == "ml_model" else None,
        "reasoning": f"{answer.reasoning}. This method: {answer.badge.words}",
        "similar_issues": [one.model_dump() for one in answer.similar],
    }  # fmt: skip


def _points(told: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = PointsAnswer.model_validate(told["answer"])
    return {
        "recommended_points": _whole(answer.points),
        "confidence": round(answer.confidence, 4),
        "probability_distribution": {name: round(p, 4) for name, p in answer.distribution.items()},
        "reasoning": f"{answer.reasoning}. This method: {answer.badge.words}", "method": answer.method,
    }  # fmt: skip


def _sprint(told: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = DurationAnswer.model_validate(told["answer"])
    return {
        "estimated_days": round(answer.estimated_days), "planned_days": round(answer.planned_days),
        "confidence": round(answer.confidence, 4), "total_story_points": _whole(answer.total_story_points),
        "average_velocity": None if answer.average_velocity is None else round(answer.average_velocity, 2),
        "risk_factors": answer.risk_factors, "method": answer.method,
    }  # fmt: skip


def _whole(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _assignment(told: Mapping[str, Any]) -> Mapping[str, Any]:
    people = AssignmentAnswer.model_validate(told["answer"]).suggestions
    parts = ("total_score", "skill_score", "workload_score", "performance_score", "availability_score")
    return {
        "suggestions": [
            {
                "user_id": one.person, "user_name": one.name, "user_email": one.email,
                **{part: round(getattr(one, part), 4) for part in parts}, "reasoning": one.reasoning,
            }
            for one in people
        ]
    }  # fmt: skip


def _risks(told: Mapping[str, Any]) -> Mapping[str, Any]:
    risks = SprintRisks.model_validate(told["answer"]).risks
    beside = ("expected_completion", "actual_completion", "unassigned_count")
    return {
        "risks": [
            {
                **risk.model_dump(exclude={"evidence"}),
                **{name: risk.evidence[name] for name in beside if name in risk.evidence},
            }
            for risk in risks
        ]
    }


def _summary(told: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = Summary.model_validate(told["answer"])
    return {
        "completion": answer.completion, "velocity": answer.velocity, "risk_score": answer.risk_score,
        "project_id": answer.project, "generated_at": f"{answer.generated_at:%Y-%m-%dT%H:%M:%SZ}",
        "metrics_breakdown": answer.metrics_breakdown.model_dump(),
    }  # fmt: skip


EFFORT = Route(
    verb="predict",
    url=f"{BASE}/predict-effort/",
    summary="Hours that an issue will take",
    request=IssueBody,
    answer=EffortTold,
    adapt_in=_issue,
    adapt_out=_effort,
    **HOW,
)
POINTS = Route(
    verb="predict",
    url=f"{BASE}/recommend-story-points/",
    summary="Story points for an issue",
    request=IssueBody,
    answer=PointsTold,
    adapt_in=_issue,
    adapt_out=_points,
    **HOW,
)
DURATION = Route(
    verb="predict",
    url=f"{BASE}/estimate-sprint-duration/",
    summary="How long a sprint takes",
    request=SprintBody,
    answer=SprintTold,
    adapt_in=lambda body: {
        "sprint": body.sprint_id, "planned_issues": body.planned_issues,
        "team_capacity_hours": body.team_capacity_hours,
    },
    adapt_out=_sprint,
    **HOW,
)  # fmt: skip
ASSIGNMENT = Route(
    verb="predict",
    url=f"{BASE}/suggest-assignment/",
    summary="Who should do an issue",
    request=AssignmentBody,
    answer=AssignmentTold,
    adapt_in=lambda body: {"project": body.project_id, "issue": body.issue_id, "top_n": body.top_n},
    adapt_out=_assignment,
    **HOW,
)
SPRINT_RISK = Route(
    verb="report",
    url=f"{BASE}/{{sprint_id:path}}/sprint-risk/",
    methods=("GET",),
    summary="What endangers a sprint",
    request=SprintPath,
    answer=RisksTold,
    adapt_in=lambda body: {"sprint": body.sprint_id},
    adapt_out=_risks,
    **HOW,
)
SUMMARY = Route(
    verb="report",
    url=f"{BASE}/{{project_id:path}}/project-summary/",
    methods=("GET", "POST"),
    summary="How a project does",
    request=ProjectPath,
    answer=SummaryTold,
    adapt_in=lambda body: {"project": body.project_id},
    adapt_out=_summary,
    **HOW,
)
