"""Replays: decisions in sequence over an own past, what they would have cost and what they would have risked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from foretell.contract.facts import Frame, History

Part = Literal["earlier", "later", "whole"]
"""A half of the period, or all of it."""

OURS = "forecast"  # the family of the policies that decide by the candidate's forecasts: one of them is chosen


@dataclass(frozen=True, kw_only=True)
class Past:
    """What decisions are replayed over, from `start` (inclusive) to `end`; the halves meet at `middle`.

    `ours` and `baseline` hold what the candidate and the baseline said out of sample: the questions (`entity`, `as_of`,
    `at`) and the target's columns, ordered by `as_of` and `at`; nulls where nothing could be said. The `history` also
    holds what happened: only the simulated world may look at it before its time.
    """

    history: History
    subject: str
    ours: Frame
    baseline: Frame
    start: datetime
    middle: datetime
    end: datetime


class Policy(BaseModel):
    """A rule of deciding under its settings, and its figures, by part of the period and by name."""

    model_config = ConfigDict(frozen=True)

    name: str
    family: str
    settings: Mapping[str, float | str]
    figures: Mapping[Part, Mapping[str, float]]


class Played(BaseModel):
    """How all policies fared. The one chosen shall cost no more than the one named `against`.

    `assumed` are the simulated world's numbers by name, `notes` what a reader must know to judge the figures.
    """

    model_config = ConfigDict(frozen=True)

    policies: tuple[Policy, ...]
    against: str
    assumed: Mapping[str, float | str]
    notes: tuple[str, ...]


class Replayed(Played):
    """A replay: what every policy would have cost and risked, and the one that was chosen before the later half.

    `units` has the unit of each figure by name; `cost` and `risk` name the two that a choice weighs. `line` is what a
    manager reads, with the figures of the later half.
    """

    task: str
    subject: str
    candidate: str
    baseline: str
    start: datetime
    middle: datetime
    end: datetime
    units: Mapping[str, str]
    cost: str
    risk: str
    chosen: str
    line: str

    def policy(self, name: str) -> Policy:
        """The policy of that name; KeyError if there is none."""
        return {policy.name: policy for policy in self.policies}[name]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """How a task's decisions are replayed.

    Of the task's own questions those are asked that lie within `horizon`; with `questions` those that it makes of a
    request, where decisions come oftener than a task learns, or look as far as the request says. `subject` is the
    entity that a request is about; it raises NotFound where there is none such. `play` simulates.
    """

    request: type[BaseModel]
    horizon: timedelta
    units: Mapping[str, str]
    cost: str
    risk: str
    subject: Callable[[Any, History], str]
    play: Callable[[Any, Past], Played]
    questions: Callable[[Any, History], Frame] | None = None
