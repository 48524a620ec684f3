"""The chance of an event from a line in many numbers: ridge logistic regression (le Cessie & van Houwelingen 1992).

Each number goes in as its logarithm, sign kept, in standard deviations from its mean. One that is missing counts as
usual, and that it is missing is a number of its own. What is asked about again before it is over is drawn in more, as
many questions then tell of the same event.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from foretell.contract import Block, Cost, Floats, Frame, Study

STEPS = 50
MOST = 60_000  # questions to learn from
SELDOM = 0.005  # share that must be missing, or there, for that to be told apart


class LinearChance:
    """The chance, and what each column adds to its log-odds against the usual question."""

    cost = Cost(fit=0.01, forecast=0.002, most=MOST)

    def __init__(self, *, columns: Sequence[str], ridge: float = 60.0) -> None:
        self.columns, self.ridge = list(columns), ridge
        self.mean = self.spread = self.slopes = self.gaps = np.zeros(0)
        self.level = 0.0

    def _design(self, features: Block) -> tuple[Floats, Floats]:
        """Numbers in standard deviations, 0 where missing; and which are missing."""
        raw = features.of_names(self.columns)
        missing = np.isnan(raw)
        return np.where(missing, np.nan, np.sign(raw) * np.log1p(np.abs(raw))), missing.astype(np.float64)

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn from outcomes 0 and 1 (Newton's steps); return self."""
        rows = np.linspace(0, outcomes.height - 1, min(outcomes.height, MOST)).astype(np.int64)
        numbers, missing = self._design(study.features.rows(rows))
        happened = outcomes["value"].cast(float).to_numpy()[rows]
        there = ~np.isnan(numbers)
        count = np.maximum(there.sum(axis=0), 1)
        self.mean = np.where(there, numbers, 0).sum(axis=0) / count
        apart = np.where(there, numbers - self.mean, 0)
        self.spread = np.sqrt((apart**2).sum(axis=0) / count)
        seldom = missing.mean(axis=0)
        gaps = np.where((seldom > SELDOM) & (seldom < 1 - SELDOM), missing - seldom, 0.0)
        scaled = np.divide(apart, self.spread, out=np.zeros_like(apart), where=self.spread > 1e-9)
        design = np.column_stack([np.ones(len(rows)), scaled, gaps])
        found = _newton(design, happened, self.ridge * _asked_again(study.questions))
        half = len(self.columns)
        self.slopes, self.gaps = found[1 : half + 1], found[half + 1 :]
        self.level = float(found[0] - self.gaps @ np.where(self.gaps != 0, seldom, 0.0))
        return self

    def parts(self, features: Block) -> tuple[Floats, float]:
        """What each column adds to the log-odds (questions x columns), and the log-odds without any."""
        numbers, missing = self._design(features)
        apart = np.where(missing > 0, 0.0, numbers - self.mean)
        scaled = np.divide(apart, self.spread, out=np.zeros_like(apart), where=self.spread > 1e-9)
        return np.clip(scaled, -5, 5) * self.slopes + missing * self.gaps, self.level

    def odds(self, study: Study) -> Floats:
        """The log-odds of each question."""
        added, level = self.parts(study.features)
        return np.asarray(added.sum(axis=1) + level)

    def save(self, folder: Path) -> None:
        """Write what was learned as JSON."""
        told = {name: getattr(self, name).tolist() for name in ("mean", "spread", "slopes", "gaps")}
        (folder / "linear.json").write_text(json.dumps(told | {"level": self.level, "columns": self.columns}))

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote; return self."""
        told = json.loads((folder / "linear.json").read_text())
        self.level, self.columns = told.pop("level"), told.pop("columns", self.columns)
        for name, values in told.items():
            setattr(self, name, np.array(values))
        return self


def _asked_again(questions: Frame) -> float:
    """How many of the moments asked at lie in the time that a question is about; 1 at least."""
    moments = questions["as_of"].unique().sort()
    if len(moments) < 2:
        return 1.0
    step: Any = (moments[-1] - moments[0]) / (len(moments) - 1)
    ahead: Any = (questions["at"] - questions["as_of"]).median()
    return max(1.0, float(ahead / step))


def _newton(design: Floats, happened: Floats, ridge: float) -> Floats:
    rate = (happened.sum() + 1) / (len(happened) + 2)
    found = np.zeros(design.shape[1])
    found[0] = np.log(rate / (1 - rate))
    drawn = np.full(len(found), ridge)
    drawn[0] = 1e-6
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        slope = design.T @ (happened - chance) - drawn * np.where(np.arange(len(found)) > 0, found, 0)
        curve = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(drawn)
        step = np.linalg.solve(curve, slope)
        step *= min(1.0, 3.0 / max(float(np.abs(step).max()), 3.0))
        found = found + step
        if np.abs(step).max() < 1e-7:
            break
    return np.asarray(found)
