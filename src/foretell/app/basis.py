"""What a prediction rests on, as callers are told it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, SerializeAsAny

from foretell.contract import Quantity, Task
from foretell.engine.predict import Prediction


class Interval(BaseModel):
    """The 80 % band of every number, whatever an answer shows, and which share of outcomes it held in the backtest.

    Of a task without that band it is the widest.
    """

    level: float
    covered: float | None


class Freshness(BaseModel):
    """When the newest fact behind it became known, and how old that was when it was asked."""

    known_at: datetime
    age_seconds: float


class Skill(BaseModel):
    """The error in the backtest beside the baseline's, on so many outcomes; lower is better.

    Of a task with a scope (a project, a plant) they are those of the scope that is asked about, where it has some.
    """

    metric: str
    value: float | None
    baseline: str
    baseline_value: float | None
    scored: int


class Confidence(BaseModel):
    """What an answer's confidence is the chance of, and what it was worth out of sample on the tenant's own past.

    `brier` is that of the chance by the factors, `base_brier` that of always saying the share that had held by then;
    the answer has the better one, as `serves` says.
    """

    meaning: str
    serves: str
    scored: int
    base_rate: float
    brier: float
    base_brier: float


class Basis(BaseModel):
    """Which version said it by which method, why not the champion if so, and what that has been worth.

    With `hindsight` the version learned from what came after `as_of`: such an answer about the past proves nothing.
    """

    prediction_id: UUID | None
    recommendation_id: UUID | None
    version: str
    trained_at: datetime | None
    method: str
    fallback: str | None
    as_of: datetime
    hindsight: bool = False
    cached: bool
    interval: Interval | None
    freshness: Freshness | None
    skill: Skill | None
    confidence: Confidence | None = None

    @classmethod
    def of(cls, task: Task, said: Prediction) -> Self:
        """What a prediction of a task rests on."""
        card, target = said.card, task.target
        mine = card.scores.get(card.candidate, {})
        interval = skill = freshness = None
        if isinstance(target, Quantity):
            low, high = target.band
            interval = Interval(level=round(high - low, 9), covered=mine.get("coverage"))
        if card.scores:
            metric = task.gate.metric
            base = card.scores.get(card.baseline, {}).get(metric)
            scored, error, usual = _there(task, said) or (card.scored, mine.get(metric), base)
            skill = Skill(metric=metric, value=error, baseline=card.baseline, baseline_value=usual, scored=scored)
        if said.known_at is not None:
            age = (said.as_of - said.known_at).total_seconds()
            freshness = Freshness(known_at=said.known_at, age_seconds=age)
        return cls(
            prediction_id=said.id, recommendation_id=said.recommendation, version=card.version,
            trained_at=card.trained_at if card.scores else None,
            method=said.method, fallback=said.fallback, as_of=said.as_of, cached=said.cached,
            hindsight=card.learned_from is not None and card.learned_from[1] >= said.as_of,
            interval=interval, freshness=freshness, skill=skill,
            confidence=card.trust and Confidence.model_validate(card.trust, from_attributes=True),
        )  # fmt: skip


def _there(task: Task, said: Prediction) -> tuple[int, float, float] | None:
    """What it has been worth in the scope that is asked about, where the task has one and something is known."""
    record = said.forecast.record
    return record.worth.get(said.questions[task.scope][0]) if record and task.scope else None


class Told(BaseModel):
    """A prediction as callers get it."""

    task: str
    answer: SerializeAsAny[BaseModel]
    foretell: Basis

    @classmethod
    def of(cls, task: Task, said: Prediction) -> Self:
        """A prediction of a task."""
        return cls(task=task.name, answer=said.answer, foretell=Basis.of(task, said))

    @classmethod
    def again(cls, task: Task, told: Mapping[str, Any]) -> Self:
        """A prediction of a task from its plain JSON."""
        return cls(
            task=task.name,
            answer=task.answer.model_validate(told["answer"]),
            foretell=Basis.model_validate(told["foretell"]),
        )
