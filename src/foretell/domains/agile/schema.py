"""What is asked about issues, sprints and projects, and what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from foretell.contract import Severity
from foretell.domains.agile.tables import Hours, Id, Points, Short, Text, Title

Share = Annotated[float, Field(ge=0, le=1)]
Method = Literal["ml_model", "similarity", "heuristic"]
HowLong = Literal["velocity_based", "usual_length", "planned_length"]


class Settings(BaseModel):
    """What counts as late, stale or too much."""

    stale_days: Annotated[int, Field(ge=1, le=365)] = 30  # without any change, until an open issue is stale
    unassigned_share: Share = 0.3  # of a sprint's or project's open issues from which on it is told
    overloaded: Annotated[int, Field(ge=1, le=1000)] = 10  # open issues of one person, more are too many
    behind: Share = 0.2  # of the expected progress that a sprint may lack
    scope_change: Share = 0.2  # of a sprint's issues that may come after its start
    velocity_drop: Annotated[float, Field(gt=0, le=10)] = 2.0  # robust standard deviations below the usual
    stuck: Share = 0.4  # of the open issues in one status from which on it is a bottleneck


class IssueRequest(BaseModel):
    """An issue that is on record, by its name; or a new one, by its project and what is written."""

    model_config = ConfigDict(extra="forbid")

    project: Id | None = None
    issue: Id | None = None
    title: Title = ""
    description: Text = ""
    type: Short = "task"
    priority: Short = ""
    component: Short = ""
    epic: Short = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.issue is None and (self.project is None or not self.title.strip()):
            raise ValueError("name an issue that is on record, or a project and the title of a new one")
        return self


class EffortRequest(IssueRequest):
    """The same; of a new issue also its points, people's own estimate and who is to do it, where they are known."""

    points: Points | None = None
    estimate_hours: Hours | None = None
    assignee: Short = ""


class Badge(BaseModel):
    """How much better than the plain baseline this method was on past issues of this project, out of sample.

    `better` is by which share its error was smaller, on `outcomes` issues; null without any. Where it is not above
    zero, `baseline` is as good a guess.
    """

    outcomes: int
    better: float | None
    baseline: float | None
    words: str


class Similar(BaseModel):
    """A finished issue that reads alike, and what it really took."""

    id: str
    title: str
    actual_hours: float


class EffortAnswer(BaseModel):
    """Hours that an issue will take until it is done.

    In four of five cases it takes between `low` and `high`; `confidence` is the chance that it takes between two thirds
    and one and a half times `hours`.
    """

    project: str
    issue: str | None
    hours: float
    low: float
    high: float
    confidence: Share
    method: Method
    reasoning: str
    similar: list[Similar]
    badge: Badge


class PointsAnswer(BaseModel):
    """The points that the team would give: the most likely ones, and how likely each step of its scale is."""

    project: str
    issue: str | None
    points: float
    expected: float
    confidence: Share
    distribution: dict[str, float]
    method: Method
    reasoning: str
    badge: Badge


class AssignmentRequest(BaseModel):
    """An issue that somebody shall do, or a sprint whose open issues shall be shared out."""

    model_config = ConfigDict(extra="forbid")

    project: Id | None = None
    issue: Id | None = None
    sprint: Id | None = None
    top_n: Annotated[int, Field(ge=1, le=100)] = 3

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.issue is None) == (self.sprint is None):
            raise ValueError("name an issue, or a sprint")
        return self


class Suggestion(BaseModel):
    """A person with the parts of the score; `chance` is that of this person finishing it, by the method that serves."""

    person: str
    name: str
    email: str
    total_score: Share
    skill_score: Share
    workload_score: Share
    performance_score: Share
    availability_score: Share
    chance: Share
    reasoning: list[str]


class Matched(BaseModel):
    """An issue and who should do it; `score` is what the method that serves gives the two."""

    issue: str
    person: str
    score: float


class AssignmentAnswer(BaseModel):
    """Who should do an issue, the best first; or who each issue of a sprint."""

    project: str
    issue: str | None
    sprint: str | None
    method: str
    suggestions: list[Suggestion]
    matched: list[Matched]


# ---------------------------------------------------------------- reports


class SprintRequest(BaseModel):
    """A sprint by its name."""

    model_config = ConfigDict(extra="forbid")

    sprint: Id
    project: Id | None = None


class Risk(BaseModel):
    """What endangers a sprint or project: the evidence for it, and what can be done."""

    risk_type: str
    severity: Severity
    description: str
    evidence: dict[str, int | float | str]
    mitigation_suggestions: list[str]


class SprintRisks(BaseModel):
    """A sprint's risks, the gravest first."""

    project: str
    sprint: str
    risks: list[Risk]


class ProjectRequest(BaseModel):
    """A project by its name."""

    model_config = ConfigDict(extra="forbid")

    project: Id


class Anomalies(BaseModel):
    """What is unusual in a project, the gravest first."""

    project: str
    anomalies: list[Risk]


class Larger(BaseModel):
    """Of two issues the one that is more work."""

    larger: Id
    smaller: Id


class ScaleRequest(BaseModel):
    """Answers to "which is bigger?", of issues of a project that has no points yet, and the points that there are."""

    model_config = ConfigDict(extra="forbid")

    project: Id
    pairs: Annotated[list[Larger], Field(max_length=1000)] = []
    issues: Annotated[list[Id], Field(max_length=100)] | None = None  # to compare; the newest open ones if left out
    scale: Annotated[list[Points], Field(min_length=2, max_length=20)] = [1, 2, 3, 5, 8, 13]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if sorted(set(self.scale)) != self.scale or self.scale[0] <= 0:
            raise ValueError("a scale has different points above 0, the least first")
        if any(one.larger == one.smaller for one in self.pairs):
            raise ValueError("an issue is not larger than itself")
        return self


class Sized(BaseModel):
    """An issue with the points that the answers give it; `answers` is in how many it was."""

    issue: str
    title: str
    points: float
    answers: int


class ScaleAnswer(BaseModel):
    """Points for each issue compared, and which two to ask about next; null where enough is known.

    The issue in the middle has the middle of the scale, and the others as many times that as they are larger. It is a
    beginning to talk about, not a measurement: `agreement` is the share of the answers that it agrees with.
    """

    project: str
    issues: list[Sized]
    agreement: float | None
    next: list[str] | None
    asked_enough: bool


class Breakdown(BaseModel):
    """Counts behind a summary."""

    total_issues: int
    completed_issues: int
    sprints_analyzed: int
    unassigned_issues: int
    overdue_issues: int


class Summary(BaseModel):
    """How a project does: the share of its issues that are done, points a sprint, and how much is at risk (0 to 100).

    `velocity` is the mean of the points done in each of the last sprints; `risk_score` says of what `risks` it is made.
    """

    project: str
    completion: Annotated[float, Field(ge=0, le=100)]
    velocity: float
    risk_score: Annotated[float, Field(ge=0, le=100)]
    metrics_breakdown: Breakdown
    risks: list[Risk]
    generated_at: datetime


# ---------------------------------------------------------------- sprints


class DurationRequest(SprintRequest):
    """A sprint, with what it shall hold instead of what it holds; what its team can give, and when it does not work.

    `team_capacity_hours` are those of the planned length; they are set against the hours that the team usually logs.
    """

    planned_issues: Annotated[list[Id], Field(max_length=1000)] | None = None
    team_capacity_hours: Annotated[float, Field(gt=0, le=1e5)] | None = None
    days_off: Annotated[int, Field(ge=0, le=60)] = 0


class Dropped(BaseModel):
    """What changes without an issue: days fewer until all is done in 85 % of cases, and more of a chance by the end."""

    issue: str
    title: str
    points: float | None
    days_saved: float
    chance_gained: float


class DurationAnswer(BaseModel):
    """Days from the sprint's start (or now, if it runs) until the issues it holds are all done.

    `estimated_days` is as likely too much as too little, `confidence` the chance that it is
    right within a fifth.
    `planned_days` is the sprint's whole length, `by_end` the chance that all is done when it ends.
    `total_story_points` are those of the open issues.
    """

    project: str
    sprint: str
    estimated_days: float
    planned_days: float
    days: dict[Literal["50", "85", "95"], float]
    by_end: Share
    confidence: Share
    method: HowLong
    average_velocity: float | None
    total_story_points: float
    open_issues: int
    risk_factors: list[str]
    without: list[Dropped]


class DeliveryAnswer(BaseModel):
    """The points that a sprint will have delivered when it ends, and their difference to those that it holds now.

    In four of five cases `delivered` is between `low` and `high`; `under` is the chance that the difference is below 0.
    """

    project: str
    sprint: str
    ends: datetime
    committed: float
    delivered: float
    difference: float
    low: float
    high: float
    under: Share
    method: str
    reasoning: str
