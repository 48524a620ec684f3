"""A shelf under many possible futures: when it is empty, what is lost, when and how much to order; and one simulated.

Demand is a matrix, steps x worlds; a step is a day or a week. Step 1 is the first. What arrives in a step comes before
what is sold in it. Demand that the shelf does not hold is lost: it does not come back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from foretell.contract import Floats

USUAL = np.array([0.67, 0.85, 1.0, 1.15, 1.33])  # tenths, thirds and middle of lead times whose spread nobody knows
DRAWN = 4.0  # deliveries that those of all products count as, beside a product's own
STATED = 1.0  # and that a usual lead time counts as


def empty(short: Floats) -> Floats:
    """In each world the first step at whose end nothing is left; infinite where that does not come.

    `short` is what has been asked for by the end of each step less what was there for it: stock, and arrivals so far.
    """
    out = short >= -1e-9
    first: Floats = np.where(out.any(axis=0), out.argmax(axis=0) + 1.0, np.inf)
    return first


def lost(short: Floats) -> Floats:
    """In each world the demand that was not met by the last step (steps x worlds as in `empty`).

    Lindley's recursion in closed form: what is lost by a step is the most that was ever short until then.
    """
    most: Floats = short.max(axis=0, initial=0.0)
    return most


def lead_times(own: Floats, others: Floats, usual: float, worlds: int, mean: float | None = None) -> Floats:
    """A lead time in whole steps for each world: evenly spread over what deliveries took, in no order.

    Those of others count as `DRAWN` deliveries together and `usual` ones as `STATED`, so that they matter where a
    product has few of its own. With a `mean`, all are so many times as long or short.
    """
    steps = np.concatenate([own, others, usual * USUAL])
    weight = np.concatenate([
        np.ones(len(own)), np.full(len(others), DRAWN / max(1, len(others))), np.full(len(USUAL), STATED / len(USUAL)),
    ])  # fmt: skip
    if mean is not None:
        now = float(np.average(steps, weights=weight))
        steps = steps * (mean / now) if now else np.full(len(steps), mean)
    order = np.argsort(steps, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    # Multiples of the golden ratio fill the unit evenly, whichever of them are looked at.
    luck = (np.arange(worlds) + 0.5) * 0.6180339887498949 % 1.0
    found: Floats = np.rint(steps[order][np.minimum(np.searchsorted(share, luck), len(steps) - 1)])
    return found


def latest(empty: Floats, lead: Floats, service: float) -> float:
    """The last step in which an order still arrives, with a chance of `service`, by the step that empties the shelf.

    Below 1 where it is too late for that; infinite where the shelf lasts.
    """
    reach = np.sort(empty - lead)[::-1]
    return float(reach[_place(service, len(reach))])


def enough(short: Floats, lead: Floats, cover: int, service: float) -> float:
    """The least that, ordered in step 1, keeps the shelf from running short in the `cover` steps from its arrival on.

    With a chance of `service`; what is lost before it arrives no order can help. 0 where nothing is needed; infinite
    where the futures are too short to tell. It is the order-up-to level of periodic review with lost sales, found on
    whole paths rather than by a formula of mean and variance (Silver, Pyke & Thomas 2017, chapter 6).
    """
    need = np.full(short.shape[1], np.inf)
    for wait in np.unique(lead[lead + cover <= len(short)]).astype(int):
        which = lead == wait
        before = lost(short[:wait, which])
        need[which] = short[wait : wait + cover, which].max(axis=0) - before
    return max(0.0, float(np.sort(need)[_place(service, len(need))]))


def _place(service: float, count: int) -> int:
    """Where in a sorted row at least a share `service` of it lies up to."""
    return min(count, max(1, math.ceil(round(service * count, 6)))) - 1


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a simulated shelf came to, step by step: what was left at its end, what was lost, what was ordered in it."""

    left: Floats
    lost: Floats
    ordered: Floats


def course(
    demand: Floats,
    order: Callable[[int, float], float],
    *,
    stock: float,
    lead: int,
    every: int = 1,
    arriving: Sequence[float] = (),
) -> Course:
    """A shelf over a known `demand`. Every so many steps, `order` is asked before the step for what to order.

    It is told the step (0 is the first) and what is there and under way, and what it says arrives `lead` steps later.
    `arriving` are the arrivals of the first steps.
    """
    coming = np.zeros(len(demand) + lead + 1)
    coming[: len(arriving)] = arriving
    left, gone, ordered = (np.zeros(len(demand)) for _ in range(3))
    for step, wanted in enumerate(demand):
        if step % every == 0:
            ordered[step] = max(0.0, order(step, stock + float(coming[step:].sum())))
            coming[step + lead] += ordered[step]
        stock += coming[step]
        gone[step] = max(0.0, wanted - stock)
        left[step] = stock = max(0.0, stock - wanted)
    return Course(left=left, lost=gone, ordered=ordered)
