"""The nearest of many points, by a tree of them (Bentley 1975)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats


class Points:
    """Points (n x d) that are asked about; their tree is made once, by the first who asks."""

    def __init__(self, points: Floats) -> None:
        self.points = points

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self.points)

    def nearest(self, asked: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
        """The `count` nearest of them to each of `asked` (m x d), the nearest first, and how far they are.

        Both are m x `count`; where there are fewer points, the rest has place -1 and is infinitely far.
        """
        if not len(self.points):
            return np.full((len(asked), count), -1), np.full((len(asked), count), np.inf)
        far, found = self._tree.query(asked, k=np.arange(1, count + 1))
        return np.where(np.isinf(far), -1, found), far
