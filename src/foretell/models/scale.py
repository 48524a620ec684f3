"""How likely each step of an ordered scale is: what is usual, leaned towards where a score points.

The chance of a step is its usual share times exp(lean x score x place − narrow x place² / 2), scaled to add up to 1:
adjacent-category logits with fixed places (Agresti 2010). Without a score that says anything it is what is usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats

EDGE = 0.01  # share beyond which a step is no further out
RIDGE = 1.0  # of lean and narrow, beside a sum over answers
STEPS = 50


def places(share: Floats) -> Floats:
    """Where each step of a scale is by the shares of the steps in their order (... x steps): normal scores, mean 0."""
    from scipy.special import ndtri

    found = ndtri(np.clip(np.cumsum(share, axis=-1) - share / 2, EDGE, 1 - EDGE))
    return np.asarray(found - (share * found).sum(axis=-1, keepdims=True))


class Answers(NamedTuple):
    """Scores of some answers on one scale, which step each was, and what was usual (adds up to 1) and where then."""

    usual: Floats
    place: Floats
    score: Floats
    step: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Leaning:
    """How much a score counts, and by how much answers lie closer together once it is known."""

    lean: float = 0.0
    narrow: float = 0.0

    @classmethod
    def of(cls, answers: Sequence[Answers]) -> Self:
        """What makes answers on several scales likeliest, a little drawn to nothing; never against the score."""
        found = np.zeros(2)
        for _ in range(STEPS):
            slope, curve = -RIDGE * found, RIDGE * np.eye(2)
            for one in answers:
                said = cls(lean=found[0], narrow=found[1]).said(one.usual, one.place, one.score)
                parts = np.stack([one.score[:, None] * one.place, np.broadcast_to(-(one.place**2) / 2, said.shape)])
                mean = (parts * said).sum(axis=2)
                slope = slope + (parts[:, np.arange(len(one.step)), one.step] - mean).sum(axis=1)
                curve = curve + np.einsum("ank,bnk,nk->ab", parts, parts, said) - mean @ mean.T
            step = np.linalg.solve(curve, slope)
            found = found + step * min(1.0, 1.0 / max(float(np.abs(step).max()), 1.0))
            if np.abs(step).max() < 1e-6:
                break
        return cls(lean=max(0.0, float(found[0])), narrow=max(0.0, float(found[1])))

    def said(self, usual: Floats, place: Floats, score: Floats) -> Floats:
        """The chance of each step (scores x steps); none where it is not usual at all."""
        log = np.log(np.maximum(usual, 1e-300)) + self.lean * score[:, None] * place - self.narrow * place**2 / 2
        chance = np.where(usual > 0, np.exp(log - log.max(axis=1, keepdims=True)), 0.0)
        return np.asarray(chance / chance.sum(axis=1, keepdims=True))
