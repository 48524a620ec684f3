"""A chance from a few factors: logistic regression, drawn to the base rate and never against a factor's sense.

Ridge logistic regression (le Cessie & van Houwelingen 1992) by Newton's steps. Every coefficient is drawn to where no
factor counts and the chance is the share of what happened (with Laplace's two more, one of each). A factor is meant to
raise the chance: one that would lower it is left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from foretell.contract import Floats

RIDGE = 0.2  # of factors from 0 to 1; found on public series of load, a tenth to a half do as well
STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """What was learned: a line in the factors about their `centre`, from `counted` answers.

    Below the `least` that was seen of a factor nothing is known but that it is worse: at half of it the odds are a
    quarter, at none of it there is no chance. So an answer on stale facts is less sure, though none was learned from.
    """

    intercept: float
    slopes: list[float]
    centre: list[float]
    least: list[float]
    counted: int

    @classmethod
    def fit(cls, factors: Floats, happened: Floats, *, flat: bool = False) -> Self:
        """Learn from factors (answers x factors, 0 to 1) and what happened (0 or 1); `flat`: the base rate alone."""
        centre = factors.mean(axis=0)
        design = np.column_stack([np.ones(len(factors)), factors - centre])
        rate = (happened.sum() + 1) / (len(happened) + 2)
        start = np.zeros(design.shape[1])
        start[0] = np.log(rate / (1 - rate))
        found, free = start, np.full(len(start), not flat)
        while free.any():
            found = _newton(design, happened, start, found, free)
            wrong = found < 0
            wrong[0] = False
            if not wrong.any():
                break
            free &= ~wrong
            found = np.where(wrong, 0.0, found)
        return cls(
            intercept=float(found[0]), slopes=found[1:].tolist(), centre=centre.tolist(),
            least=factors.min(axis=0).tolist(), counted=len(happened),
        )  # fmt: skip

    def chance(self, factors: Floats) -> Floats:
        """The chance of each row of factors, 0 to 1."""
        line = self.intercept + ((factors - self.centre) * self.slopes).sum(axis=1)
        least = np.array(self.least)
        within = np.where(least > 0, factors / np.where(least > 0, least, 1.0), 1.0).min(axis=1)
        odds = np.exp(line) * np.square(np.minimum(within, 1.0))
        chance: Floats = odds / (1 + odds)
        return chance

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        """Read back what `to_dict` gave."""
        return cls(**stored)


def _newton(design: Floats, happened: Floats, start: Floats, begin: Floats, free: Any) -> Floats:
    """The coefficients of the least penalised loss, looked for from `begin`; those not `free` stay as there."""
    columns, found = design[:, free], begin.copy()
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-(design @ found)))
        slope = columns.T @ (happened - chance) - RIDGE * (found - start)[free]
        curve = (columns * (chance * (1 - chance))[:, None]).T @ columns + RIDGE * np.eye(columns.shape[1])
        step = np.linalg.solve(curve, slope)
        step *= min(1.0, 3.0 / max(float(np.abs(step).max()), 3.0))  # a longer one may overshoot
        found[free] += step
        if np.abs(step).max() < 1e-8:  # the next one would be its square
            break
    return found
