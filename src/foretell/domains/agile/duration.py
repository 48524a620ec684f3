"""How long a sprint takes: from request to questions, from what is forecast to the answer."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Ask, Forecast, Frame, History, at_most, quantile
from foretell.domains.agile.board import over
from foretell.domains.agile.schema import Dropped, DurationAnswer, DurationRequest, HowLong, SprintRequest
from foretell.domains.agile.sprints import DAYS, WEEK, features, held, past
from foretell.errors import NotFound, Refused
from foretell.features.asof import latest

LARGEST = 5  # issues of which it is told what changes without them
NEAR = 0.2  # of the estimate that it may be wrong by, and still counts as right
SAID = {"50": 0.5, "85": 0.85, "95": 0.95}
LIKELY = 0.5  # a chance below that is told as a risk
METHODS: dict[str, HowLong] = {"planned": "planned_length", "usual": "usual_length"}
FEW = 3  # sprints that are over, with fewer of them little is known


def question(request: SprintRequest, history: History, *, late: bool = False) -> Frame:
    """The sprint as it is now. Raises NotFound for one that is not there, Refused for one that is over.

    With `late` one that is active after its end is not over.
    """
    known = history["sprints"].filter(pl.col("entity") == request.sprint, pl.col("project") == (request.project or ""))
    if known.is_empty():
        raise NotFound(f"there is no sprint {request.sprint!r}; bring it into agile.sprints")
    ends, state = known.sort("known_at", maintain_order=True).select("ends", "state").row(-1)
    if state == "completed" or (ends <= history.now and not (late and state == "active")):
        raise Refused(_became(request.sprint, ends, history))
    moments = {"as_of": history.now, "at": max(ends, history.now)}
    return pl.DataFrame(
        {"entity": request.sprint, "project": request.project, **moments},
        schema={"entity": pl.String, "project": pl.String, "as_of": INSTANT, "at": INSTANT},
    )


def _became(sprint: str, ends: datetime, history: History) -> str:
    """What became of a sprint that is over, in words."""
    told = over(history).filter(entity=sprint).row(0, named=True)
    points = f"of {told['committed']:g} points committed at its start {told['delivered']:g} points were delivered"
    return (
        f"sprint {sprint!r} is over since {ends:%Y-%m-%d %H:%M} UTC: {points}; name one that is not, or a moment in it"
        " (as_of)"
    )


def ask(request: DurationRequest, history: History) -> Ask:
    """The sprint as it is, and without each of its largest open issues. Raises NotFound for what is not there."""
    if request.planned_issues is None:
        return Ask(questions=_questions(request, history))
    facts = {"issues": _replanned(request, history)}
    return Ask(questions=_questions(request, history.plus(facts)), facts=facts)


def _questions(request: DurationRequest, history: History) -> Frame:
    """The sprint, and again without each of its largest open issues; found once for who asks the same."""

    def made(known: History) -> Frame:
        asked = question(request, known, late=True)
        without = pl.Series("without", [None, *_largest(known, asked)["entity"]], dtype=pl.String)
        return pl.concat([asked] * len(without)).with_columns(without)

    return history.once(made, ("asked", request.model_dump_json()))


def _replanned(request: DurationRequest, history: History) -> Frame:
    """Rows that take issues into the sprint, and those out of it that are not planned."""
    planned = set(request.planned_issues or ())
    issues = history["issues"].filter(pl.col("project") == request.project)
    if unknown := sorted(planned - set(issues["entity"])):
        raise NotFound(f"project {request.project!r} has no issue {', '.join(map(repr, unknown[:5]))}")
    last = issues.sort("known_at", maintain_order=True).group_by("entity", maintain_order=True).last()
    inside = pl.col("entity").is_in(sorted(planned))
    moved = last.filter(inside | (pl.col("sprint") == request.sprint)).with_columns(
        sprint=pl.when(inside).then(pl.lit(request.sprint)).otherwise(pl.lit("")),
        known_at=pl.lit(history.now, INSTANT),
    )
    moved = moved.with_columns(time="known_at") if "time" in moved.columns else moved
    return moved.select(issues.columns)


def _largest(history: History, asked: Frame, count: int | None = LARGEST) -> Frame:
    """The sprint's open issues, `entity` and `points`, the largest first; so many of them, None: all."""
    rows = held(history, asked, asked["as_of"]).filter(pl.col("category") != "done").select("entity", "points")
    rows = rows.sort(pl.col("points").fill_null(0.0), "entity", descending=[True, False])
    return rows if count is None else rows.head(count)


def decide(forecast: Forecast, request: DurationRequest, history: History) -> DurationAnswer:
    """The days, how sure they are, what endangers them, and what changes without an issue."""
    asked = _questions(request, history)
    made = features(history, asked)
    known = dict(zip(made.names, made.values[0].tolist(), strict=True))
    days = np.maximum.accumulate(np.maximum(forecast.rows.select(map(quantile, DAYS.levels)).to_numpy(), 0.0), axis=1)
    pace, off = _what_if(request, history, known)
    days = days * (known["issues"] > 0) / pace + off * (made["issues"] > 0)[:, None]
    point = (max(0.0, forecast.rows["point"][0]) / pace + off) * (known["issues"] > 0)
    left = known["left"] if asked["at"][0] > history.now else 0.0
    by_end = (at_most(days, DAYS.levels, left) if known["issues"] else np.ones(len(days))).tolist()
    near = [float(at_most(days[:1], DAYS.levels, point * share)[0]) for share in (1 - NEAR, 1 + NEAR)]
    late = days[:, DAYS.levels.index(0.85)]
    open_ = _largest(history, asked.head(1), count=None)
    largest = open_.head(LARGEST)
    now = largest.with_columns(as_of=pl.lit(history.now, INSTANT))
    titles = latest(history, now, "issues", ("title",))["title"]
    dropped = [
        Dropped(
            issue=issue, title=titles[k - 1], points=points, days_saved=max(0.0, float(late[0] - late[k])),
            chance_gained=max(0.0, by_end[k] - by_end[0]),
        )
        for k, (issue, points) in enumerate(largest.iter_rows(), start=1)
    ]  # fmt: skip
    return DurationAnswer(
        project=request.project or "", sprint=request.sprint, estimated_days=point, planned_days=known["length"],
        days={name: float(days[0, DAYS.levels.index(level)]) for name, level in SAID.items()}, by_end=by_end[0],
        confidence=near[1] - near[0], method=METHODS.get(str(forecast.evidence["method"][0]), "velocity_based"),
        average_velocity=None if np.isnan(known["velocity"]) else known["velocity"],
        total_story_points=known["points"], open_issues=int(known["issues"]),
        risk_factors=_risks(request, history, known, by_end[0], open_["points"]),
        without=sorted(dropped, key=lambda one: one.days_saved, reverse=True),
    )  # fmt: skip


def _what_if(request: DurationRequest, history: History, known: dict[str, float]) -> tuple[float, float]:
    """How many times as fast the team is as the hours it logged say, and the days that it rests, with their weekends.

    Both change every estimate alike: what an issue saves stays comparable.
    """
    weeks, pace = known["weeks"], 1.0
    if request.team_capacity_hours is not None and weeks:
        logged = history["worklogs"].filter(
            pl.col("project") == request.project, pl.col("known_at") > history.now - weeks * WEEK
        )
        usual = float(logged["hours"].sum()) / weeks * (known["length"] / 7)
        pace = min(max(request.team_capacity_hours / usual, 0.1), 10.0) if usual else 1.0
    return pace, request.days_off * 7 / known["workdays"]


def _risks(
    request: DurationRequest, history: History, known: dict[str, float], by_end: float, points: pl.Series
) -> list[str]:
    """What endangers the sprint, or makes the estimate a guess, in words; `points` are those of its open issues."""
    ended = past(history).filter(pl.col("project") == request.project)
    capacity, hours = request.team_capacity_hours, history["worklogs"].height
    unsized, of = points.null_count(), known["velocity"]
    said = {
        "No open issues": not known["issues"],
        "No historical data": ended.is_empty() and not known["weeks"],
        f"Only {ended.height} sprints are over": 0 < ended.height < FEW,
        f"{known['points']:g} points are open; the last sprints delivered {of:.3g} on average": known["points"] > of,
        f"{unsized} of {len(points)} open issues have no points": unsized * 2 > len(points),
        f"Done by its end with a chance of {by_end:.0%} only": by_end < LIKELY,
        "Capacity is not counted in: no hours are logged": capacity is not None and not hours,
    }
    return [words for words, holds in said.items() if holds]


def headline(answer: DurationAnswer) -> float:
    """The days."""
    return answer.estimated_days
