"""Past outcomes, each with a weight: their quantiles, their mean, and the share of each value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from foretell.contract import Floats

SAME = 1e-9


def quantiles(value: Floats, weight: Floats, levels: Sequence[float]) -> Floats:
    """The quantiles of values under each row of weights (rows x levels); of a row without weight NaN.

    Halfway between two values where a level falls between them, so that equal weights give the plain median.
    """
    order = np.argsort(value, kind="stable")
    below, sorted_ = np.cumsum(weight[:, order], axis=1), value[order]
    below = below / np.maximum(below[:, -1:], 1e-300)
    found = np.empty((len(weight), len(levels)))
    for k, level in enumerate(levels):
        first = np.minimum((below < level - SAME).sum(axis=1), len(value) - 1)
        next_ = np.minimum((below <= level + SAME).sum(axis=1), len(value) - 1)
        found[:, k] = (sorted_[first] + sorted_[np.maximum(first, next_)]) / 2
    found[weight.sum(axis=1) == 0] = np.nan
    return found


def mean(value: Floats, weight: Floats) -> Floats:
    """The mean of values under each row of weights; of a row without weight NaN."""
    total = weight.sum(axis=1)
    return np.asarray(np.divide(weight @ value, total, out=np.full(len(weight), np.nan), where=total > 0))


def nearest(similar: Floats, count: int) -> Floats:
    """The same with all but the `count` highest above zero in each row set to zero; of equal ones the later stay."""
    if similar.shape[1] <= count:
        return similar
    kept = np.argsort(similar, axis=1, kind="stable")[:, -count:]
    found = np.zeros_like(similar)
    np.put_along_axis(found, kept, np.take_along_axis(similar, kept, axis=1), axis=1)
    return found


def by_name(names: Iterable[str], value: Floats, drawn: float) -> dict[str, float]:
    """The mean of each name's values, drawn to that of all as by so many more of them; values that are NaN are none."""
    there = ~np.isnan(value)
    usual = float(value[there].mean()) if there.any() else 0.0
    found: dict[str, list[float]] = {}
    for name, one in zip(names, value.tolist(), strict=True):
        if one == one:  # noqa: PLR0124 - not NaN
            found.setdefault(name, []).append(one)
    return {name: (sum(each) + drawn * usual) / (len(each) + drawn) for name, each in sorted(found.items())}
