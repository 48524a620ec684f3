"""The nearest of many points, by a tree of them (Bentley 1975)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats


def nearest(points: Floats, asked: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
    """The `count` nearest of `points` (n x d) to each of `asked` (m x d), the nearest first, and how far they are.

    Both are m x `count`; where there are fewer points, the rest has place -1 and is infinitely far.
    """
    from scipy.spatial import cKDTree

    if not len(points):
        return np.full((len(asked), count), -1), np.full((len(asked), count), np.inf)
    far, found = cKDTree(points).query(asked, k=np.arange(1, count + 1))
    return np.where(np.isinf(far), -1, found), far
