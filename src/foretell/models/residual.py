"""Bands about a point: what was left of it before, of points as high and as far ahead."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from foretell.contract import Floats

LEAST = 60  # leftovers that a group's own quantiles are taken of
BINS = 8
NEAR = (3.0, 12.0, 36.0)  # edges of how far ahead


class Leftovers:
    """Quantiles of what outcomes were beside a point (outcome − point), by how high it is and how far ahead it looks.

    A group with fewer than `LEAST` of its own takes those of all as high; where those are few too, of all.
    """

    def __init__(self, levels: tuple[float, ...]) -> None:
        self.levels = levels
        self.edges: Floats = np.zeros(0)
        self.left: Floats = np.zeros((1, 1, len(levels)))  # height x ahead x level

    def fit(self, point: Floats, ahead: Floats, value: Floats) -> Self:
        """Learn from points, how far ahead they looked, and the outcomes; return self."""
        self.edges = np.unique(np.quantile(point, np.arange(1, BINS) / BINS))
        high, far = self._groups(point, ahead)
        wrong = value - point
        self.left = np.empty((len(self.edges) + 1, len(NEAR) + 1, len(self.levels)))
        for k in range(len(self.left)):
            usual = wrong[high == k] if (high == k).sum() >= LEAST else wrong
            for m in range(len(NEAR) + 1):
                mine = wrong[(high == k) & (far == m)]
                self.left[k, m] = np.quantile(mine if len(mine) >= LEAST else usual, self.levels)
        return self

    def _groups(self, point: Floats, ahead: Floats) -> tuple[Any, Any]:
        return np.searchsorted(self.edges, point), np.searchsorted(NEAR, ahead)

    def about(self, point: Floats, ahead: Floats) -> Floats:
        """Quantiles about points (n x levels)."""
        high, far = self._groups(point, ahead)
        said: Floats = point[:, None] + self.left[high, far]
        return said

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"edges": self.edges.tolist(), "left": self.left.tolist()}

    def read(self, stored: dict[str, Any]) -> Self:
        """Take what `to_dict` gave; return self."""
        self.edges, self.left = np.array(stored["edges"]), np.array(stored["left"])
        return self
