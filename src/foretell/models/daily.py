"""Methods for one daily series: last week, levels by weekday, smoothing, and the classics for lumpy demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from foretell.contract import Floats
from foretell.models import paths
from foretell.models.statistical import ahead

SPIKE = 10.0  # times the median of days with demand that a day counts at most in the ensemble
FITTED = 364  # days that the methods that optimise look back on: more make them slow, not better

Mean = Callable[[Floats, int, int], Floats]
"""What is expected of each of the coming days: from the days so far, how many to say, and the number of the first."""


def last_week(past: Floats, steps: int, day: int) -> Floats:  # noqa: ARG001
    """The same weekday of last week."""
    return np.resize(past[-7:], steps)


def _shaped(past: Floats, steps: int, level: float) -> Floats:
    """A level, shaped by the weekdays of the last eight weeks."""
    shaped: Floats = np.resize(paths.weekdays(past[-56:]), steps) * level
    return shaped


def weekday_mean(past: Floats, steps: int, day: int) -> Floats:  # noqa: ARG001
    """The mean of the last four weeks, shaped by the weekdays of the last eight."""
    return _shaped(past, steps, float(past[-28:].mean()))


def _flat(method: str, **settings: float) -> Mean:
    """A method that says one level."""

    def mean(past: Floats, steps: int, day: int) -> Floats:  # noqa: ARG001
        late = past[-FITTED:]
        return _shaped(past, steps, float(ahead(method, late, 1, **settings)[0]))

    return mean


def smoothed(past: Floats, steps: int, day: int) -> Floats:  # noqa: ARG001
    """Exponential smoothing, by a tenth, of days that their weekday's share is taken out of: else it follows the week.

    A share fitted to the series would be near 1 for many, whose level is then near zero after a few quiet days.
    """
    late = past[-FITTED:]
    shares = np.maximum(paths.weekdays(past[-56:]), 0.25)[(np.arange(len(late)) - len(late)) % 7]
    return _shaped(past, steps, float(ahead("SimpleExponentialSmoothing", late / shares, 1, alpha=0.1)[0]))


def croston(past: Floats, steps: int, day: int) -> Floats:  # noqa: ARG001
    """Croston's, less its bias: the more the longer the intervals are, and none where demand comes every day.

    With intervals of p days and a smoothing of a tenth it says 1 + (1 - 1/p) / 19 times what it should (Syntetos &
    Boylan 2001).
    """
    late = past[-FITTED:]
    often = np.count_nonzero(late) / len(late)
    return _shaped(past, steps, float(ahead("CrostonClassic", late, 1)[0]) / (1 + (1 - often) / 19))


def _seasonal(method: str, **settings: object) -> Mean:
    @lru_cache(maxsize=64)  # what is fitted for a method of its own is not fitted again for the ensemble
    def fitted(late: bytes, steps: int) -> Floats:
        said = ahead(method, np.frombuffer(late), steps, season_length=7, **settings)
        said.setflags(write=False)
        return said

    def mean(past: Floats, steps: int, day: int) -> Floats:  # noqa: ARG001
        late = past[-FITTED:]
        if late.min() == late.max():  # nothing to optimise
            return np.full(steps, late[-1])
        return fitted(late.tobytes(), steps)

    return mean


croston_sba = _flat("CrostonSBA")
tsb = _flat("TSB", alpha_d=0.1, alpha_p=0.05)
adida = _flat("ADIDA")
imapa = _flat("IMAPA")
ets = _seasonal("AutoETS", model="ANA")
theta = _seasonal("DynamicOptimizedTheta", decomposition_type="additive")


def ensemble(past: Floats, steps: int, day: int) -> Floats:
    """The mean of four that err differently: smoothing, demand by its intervals, by blocks of days, and AutoETS.

    On days that count at most so much: a lone order is no level.
    """
    sizes = past[-FITTED:][past[-FITTED:] > 0]
    steady = np.minimum(past, SPIKE * float(np.median(sizes))) if len(sizes) else past
    said = [np.maximum(each(steady, steps, day), 0.0) for each in (smoothed, croston, imapa, ets)]
    return np.asarray(np.mean(said, axis=0), dtype=np.float64)


@dataclass(frozen=True)
class Method:
    """How a method's mean is made, and the seconds that one fit of a year takes; without a mean, by its own futures."""

    mean: Mean | None
    seconds: float = 0.002


METHODS: Mapping[str, Method] = {
    "weekly_naive": Method(last_week),
    "weekday_mean": Method(weekday_mean),
    "croston_sba": Method(croston_sba),
    "tsb": Method(tsb),
    "adida": Method(adida),
    "imapa": Method(imapa),
    "ensemble": Method(ensemble, 0.022),
    "ets": Method(ets, 0.02),
    "theta": Method(theta, 0.03),
    "prophet": Method(None, 0.25),
}
