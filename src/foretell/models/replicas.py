"""Replicas over time: what they cost, where they are too few, and what a reactive autoscaler would run.

A decision takes effect after a lag: it is in force from the first measurement that begins then or later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats

Moments = NDArray[np.int64]
MINUTE = 60_000_000  # microseconds
TOLERANCE = 0.1 + 1e-9  # of Kubernetes' horizontal pod autoscaler: no change for less,
STABLE = 5 * MINUTE  # and none taken away that was recommended so recently
TARGETS = (0.5, 0.6, 0.7, 0.8, 0.9)  # utilisations that a reactive autoscaler may aim at


@dataclass(frozen=True, kw_only=True)
class Load:
    """Measurements of one service, in order of time; moments are microseconds since 1970.

    Each stands for `minutes` from its `time` on and is seen when it is `known`. A replica can do `capacity`, in the
    unit of `value`.
    """

    time: Moments
    known: Moments
    value: Floats
    minutes: float
    capacity: float


@dataclass(frozen=True, kw_only=True)
class Decided:
    """How many replicas were decided on, and when."""

    at: Moments
    replicas: Floats


Rule = tuple[str, str, dict[str, float | str], Decided]
"""A family, a name in it, settings, and what was decided under them."""


def running(load: Load, decided: Decided, lag: float) -> Floats:
    """The replicas in each measurement, `lag` minutes after a decision; before the first is in force, as many as it."""
    place = np.searchsorted(decided.at + round(lag * MINUTE), load.time, side="right") - 1
    return decided.replicas[np.maximum(place, 0)]


def figures(load: Load, replicas: Floats, price: float, where: NDArray[np.bool_]) -> dict[str, float]:
    """What they come to in the measurements `where`, at the price of a replica in an hour.

    `requests_under` is the load beyond capacity, summed over minutes; `changes` count from measurement to measurement.
    """
    short = load.value / load.capacity - replicas
    short = np.where(short > 1e-9, short, 0.0) * load.capacity
    changed = np.diff(replicas, prepend=replicas[:1]) != 0
    hours = float(replicas[where].sum()) * load.minutes / 60
    return {
        "cost": hours * price,
        "replica_hours": hours,
        "minutes_under": float((short[where] > 0).sum()) * load.minutes,
        "requests_under": float(short[where].sum()) * load.minutes,
        "changes": float(changed[where].sum()),
    }


def held(needed: Sequence[int], may: Sequence[bool], hysteresis: float) -> Floats:
    """Replicas that follow what is needed: out at once, in where it `may` be and not for less than the hysteresis."""
    now, out = needed[0], []
    for wanted, fewer in zip(needed, may, strict=True):
        if wanted > now or (fewer and wanted <= now * (1 - hysteresis)):
            now = wanted
        out.append(now)
    return np.array(out, dtype=np.float64)


def reactive(load: Load, target: float, least: int, most: int) -> Decided:
    """What Kubernetes' horizontal pod autoscaler would run to keep each replica at the target utilisation (0 to 1).

    As its documents have it: replicas x (utilisation / target), rounded up; within a tenth of the target nothing
    changes; out at once; in only to the most recommended within five minutes. It decides whenever a measurement is
    known, unless a newer one was before, and sees load beyond capacity too, which a measurement of CPU would hide.
    """
    seen = load.known <= np.minimum.accumulate(load.known[::-1])[::-1]
    known, usual = load.known[seen], load.value[seen] / (load.capacity * target)
    wanted = np.ceil(np.round(usual, 9)).clip(least, most).astype(int).tolist()
    recent: deque[tuple[int, int]] = deque()  # when and how many: falling, so that the first is the most
    now, out = wanted[0], []
    for moment, want, at_target in zip(known.tolist(), wanted, usual.tolist(), strict=True):
        said = now if abs(at_target / now - 1) <= TOLERANCE else want
        while recent and recent[0][0] < moment - STABLE:
            recent.popleft()
        while recent and recent[-1][1] <= said:
            recent.pop()
        recent.append((moment, said))
        now = max(said, min(now, recent[0][1]))
        out.append(now)
    return Decided(at=known, replicas=np.array(out, dtype=np.float64))


def without_forecast(load: Load, least: int, most: int) -> Iterator[Rule]:
    """What needs no forecast: a reactive autoscaler at several targets, and each fixed count that was ever needed."""
    for target in TARGETS:
        yield "reactive", f"target {target:g}", {"target": target}, reactive(load, target, least, most)
    needed = np.ceil(np.round(load.value / load.capacity, 9)).clip(least, most).astype(int)
    for count in range(int(needed.min()), int(needed.max()) + 1):
        decided = Decided(at=load.time[:1], replicas=np.array([float(count)]))
        yield "fixed", f"{count} replicas", {"replicas": count}, decided
