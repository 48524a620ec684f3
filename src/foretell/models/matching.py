"""Who gets what, so that all together have the most of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats


def matched(scores: Floats) -> NDArray[np.int64]:
    """For each row of `scores` (things x takers) the taker, so that the sum of the scores is highest.

    The things are shared out evenly: nobody gets more than their number by that of the takers, rounded up. An optimal
    assignment (Crouse, 2016, as SciPy has it) with as many places for each.
    """
    from scipy.optimize import linear_sum_assignment

    each = -(-scores.shape[0] // scores.shape[1])
    _, places = linear_sum_assignment(np.repeat(scores, each, axis=1), maximize=True)
    return np.asarray(places // each, dtype=np.int64)
