"""From requests about an issue to questions, and from what is forecast to answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import Ask, Forecast, Frame, History, at_most, instants, quantile
from foretell.domains.agile.models import HOURS, What, ended
from foretell.domains.agile.schema import (
    Badge,
    EffortAnswer,
    EffortRequest,
    IssueRequest,
    Method,
    PointsAnswer,
    Similar,
)
from foretell.errors import NotFound

NEW = "new issue"
METHODS: dict[str, Method] = {
    "median": "heuristic", "by_type": "heuristic", "majority": "heuristic", "jaccard": "similarity",
    "similar": "similarity",
}  # fmt: skip
NEAR = 1.5  # times more or less that still counts as right
WRITTEN = ("title", "description", "type", "priority", "component", "epic")
BARE = {"sprint": "", "due": None, "reporter": ""}


def about(request: Any) -> dict[str, list[str]]:
    """The project that a request, of whatever kind, is about."""
    return {"project": [request.project or ""]}


def ask(request: IssueRequest, history: History) -> Ask:
    """The question, and the issue where it is a new one. Raises NotFound for a project or issue that isn't there."""
    project = there(request.project or "", history)
    if request.issue is not None:
        known = history["issues"].filter(pl.col("entity") == request.issue, pl.col("project") == project)
        if known.is_empty():
            raise NotFound(f"project {project!r} has no issue {request.issue!r}")
        return Ask(questions=_question(history, request.issue, project))
    row: dict[str, Any] = {name: getattr(request, name) for name in WRITTEN}
    told = {name: getattr(request, name, None) for name in ("points", "estimate_hours")}
    common = {"issue": NEW, "entity": NEW, "project": project, "time": history.now, "known_at": history.now}
    facts = {"issues": _row(history, "issues", {**BARE, **row, **told, **common})}
    if assignee := getattr(request, "assignee", ""):
        facts["assignments"] = _row(history, "assignments", {**common, "person": assignee})
    return Ask(questions=_question(history, NEW, project), facts=facts)


def there(project: str, history: History) -> str:
    """The project, if anything is known of it. Raises NotFound."""
    tables = [history.tables[name] for name in ("projects", "issues") if name in history.tables]
    if not any((table["project"] == project).any() for table in tables):
        raise NotFound(
            f"there is no project {project!r}; bring it into agile.projects, or its issues into agile.issues"
        )
    return project


def _question(history: History, issue: str, project: str) -> Frame:
    now = instants("as_of", [history.now])
    return pl.DataFrame({"entity": [issue], "project": [project], "as_of": now, "at": now})


def _row(history: History, table: str, values: dict[str, Any]) -> Frame:
    """A row of a table, of the columns that are read of it."""
    schema = history[table].schema
    return pl.from_dicts([values], schema=schema)


def effort(forecast: Forecast, request: EffortRequest, history: History) -> EffortAnswer:
    """The hours, with their range and what alike issues took."""
    row = forecast.rows.row(0, named=True)
    project, method = request.project or "", _method(forecast)
    known, usual = history.stored.once(lambda past: _usual(past, project, "hours"), ("hours of", project))
    badge = _badge(forecast, project, "the plain median", usual, "hours")
    similar = [Similar.model_validate(one) for one in _alike(forecast)]
    hours = max(0.0, row["point"])
    return EffortAnswer(
        project=project, issue=request.issue, hours=hours, low=max(0.0, row["q10"]), high=max(0.0, row["q90"]),
        confidence=_near(row, hours), method=method,
        reasoning=_reasoning(forecast, method, known, "finished issues of this project with hours"),
        similar=similar, badge=badge,
    )  # fmt: skip


def _usual(history: History, project: str, what: What) -> tuple[int, float | None]:
    """How many finished issues of a project tell it, and what is usual: the median hours, the points given most."""
    past = ended(history, what).filter(pl.col("project") == project)[what].cast(pl.Float64)
    usual = past.median() if what == "hours" else past.mode().min()
    return len(past), usual if isinstance(usual, float) else None


def points(forecast: Forecast, request: IssueRequest, history: History) -> PointsAnswer:
    """The most likely points of the project's scale."""
    said = {name.removeprefix("p:"): float(p) for name, p in forecast.rows.row(0, named=True).items() if p > 0}
    scale = dict(sorted(said.items(), key=lambda one: float(one[0])))
    best = max(scale, key=lambda name: scale[name])
    project, method = request.project or "", _method(forecast)
    known, usual = history.stored.once(lambda past: _usual(past, project, "points"), ("points of", project))
    return PointsAnswer(
        project=project, issue=request.issue, points=float(best),
        expected=sum(float(name) * p for name, p in scale.items()), confidence=min(1.0, scale[best]),
        distribution=scale, method=method,
        reasoning=_reasoning(forecast, method, known, "finished issues of this project with points"),
        badge=_badge(forecast, project, "always saying what the project usually gives", usual, "points"),
    )  # fmt: skip


def _method(forecast: Forecast) -> Method:
    """What the document calls it; of issues alike there must be some."""
    method = METHODS.get(str(forecast.evidence["method"][0]), "ml_model")
    return "heuristic" if method == "similarity" and not _alike(forecast) else method


def _alike(forecast: Forecast) -> list[Any]:
    """The issues that it rests on, where it rests on some."""
    return (forecast.evidence["similar"].to_list()[0] or []) if "similar" in forecast.evidence.columns else []


def _near(row: dict[str, Any], hours: float) -> float:
    """The chance, by the quantiles, that it takes between `hours` / `NEAR` and `hours` x `NEAR`."""
    said = np.array([[max(0.0, row[quantile(level)]) for level in HOURS.levels]])
    return float((at_most(said, HOURS.levels, hours * NEAR) - at_most(said, HOURS.levels, hours / NEAR))[0])


def _reasoning(forecast: Forecast, method: Method, known: int, what: str) -> str:
    words = {
        "ml_model": "Prediction from a trained model",
        "similarity": "Based on finished issues that read alike",
        "heuristic": "What is usual in this project",
    }[method]
    why = forecast.record.reason if forecast.record else ""
    return f"{words}; {known} {what} are known. {why[:1].upper()}{why[1:]}".strip()


def _badge(forecast: Forecast, project: str, baseline: str, usual: float | None, unit: str) -> Badge:
    """What the method has been worth in this project, in figures and words."""
    worth = forecast.record.worth.get(project) if forecast.record else None
    if worth is None or not worth[2]:
        words = f"it has no track record on this project yet: compare it with {baseline}"
        return Badge(outcomes=0, better=None, baseline=usual, words=_with(words, usual, unit))
    n, error, base = worth
    better = 1 - error / base
    if better > 0:
        words = f"{better:.1%} better than {baseline} on {n} past issues of this project"
    else:
        words = f"on {n} past issues of this project it has not been better than {baseline}"
    return Badge(outcomes=n, better=better, baseline=usual, words=words if better > 0 else _with(words, usual, unit))


def _with(words: str, usual: float | None, unit: str) -> str:
    return words if usual is None or math.isnan(usual) else f"{words}, {usual:g} {unit}"


def effort_headline(answer: EffortAnswer) -> float:
    """The hours."""
    return answer.hours


def points_headline(answer: PointsAnswer) -> float:
    """The points."""
    return answer.points
