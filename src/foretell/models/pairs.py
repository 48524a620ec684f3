"""How large things are, from which of two is the larger: Bradley & Terry (1952), a little drawn to equal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foretell.contract import Floats

RIDGE = 0.1  # of the strengths, beside a sum over answers: without it who always wins would be infinitely large
STEPS = 100


def strengths(pairs: Sequence[tuple[int, int]], count: int) -> Floats:
    """The logarithm of how large each of `count` things is, 0 on average, from pairs of a larger and a smaller.

    The chance that one is called the larger is its size over the sum of both. Found by Newton's steps.
    """
    more, less = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    found = np.zeros(count)
    for _ in range(STEPS):
        surprise = 1 / (1 + np.exp(found[more] - found[less]))
        slope = -RIDGE * found
        np.add.at(slope, more, surprise)
        np.add.at(slope, less, -surprise)
        curve = RIDGE * np.eye(count)
        weight = surprise * (1 - surprise)
        for rows, columns, sign in ((more, more, 1), (less, less, 1), (more, less, -1), (less, more, -1)):
            np.add.at(curve, (rows, columns), sign * weight)
        step = np.linalg.solve(curve, slope)
        found = found + step
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return np.asarray(found - found.mean())


def telling(size: Floats, asked: Floats, pairs: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The two to compare next: those compared least, and of these the closest that were not compared with each other.

    `size` is the strength of each thing, `asked` how often it was compared.
    """
    done = {frozenset(pair) for pair in pairs}
    every = [(a, b) for a in range(len(size)) for b in range(a + 1, len(size))]
    left = [pair for pair in every if frozenset(pair) not in done] or every
    return min(left, key=lambda pair: (asked[pair[0]] + asked[pair[1]], abs(size[pair[0]] - size[pair[1]]), pair))
