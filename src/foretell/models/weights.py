"""Which methods have served a series best: shares for a mean of them, series by series, drawn to those of its class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foretell.contract import Floats

TRUST = 100.0  # judgements of its class that a series' own are weighed against
SHRUNK = 20.0  # judgements of all that those of a class are weighed against
SHARP = 12.0
LITTLE = 0.05
LED = 0.5  # the share of the first method before any judgement
LEAST = 1e-9


def weights(
    wrong: Floats, methods: Sequence[str], names: Sequence[str], kinds: Sequence[str]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Shares of each method by class and by series, from squared errors (standpoints x series x methods; NaN: none).

    A series' own errors are weighed against those of its class, and those of a class against those of all: a mean over
    methods, each by its mean error to the power of -`SHARP`. One with a share below `LITTLE` has none. `LED` of it all
    is the first method's anyway.
    """
    count = (~np.isnan(wrong)).sum(axis=0)
    total = np.nansum(wrong, axis=0)
    kind = np.array(kinds)
    classes: dict[str, dict[str, float]] = {}
    score = np.full(total.shape, np.nan)
    whole = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1)
    for name in sorted(set(kinds)):
        mine = kind == name
        usual = (total[mine].sum(axis=0) + SHRUNK * whole) / (count[mine].sum(axis=0) + SHRUNK)
        score[mine] = (total[mine] + TRUST * usual) / (count[mine] + TRUST)
        classes[name] = _shared(usual, methods)
    return classes, {name: _shared(score[k], methods) for k, name in enumerate(names)}


def _shared(score: Floats, methods: Sequence[str]) -> dict[str, float]:
    """Shares of methods by their errors; those of less than `LITTLE` have none."""
    weight = np.maximum(score, LEAST) ** -SHARP
    weight = np.where(weight < LITTLE * weight.sum(), 0.0, weight)
    shares = (1 - LED) * weight / weight.sum() + LED * (np.arange(len(methods)) == 0)
    return {m: round(float(share), 3) for m, share in zip(methods, shares, strict=True) if share > 0}
