"""How long work takes, by whole weeks of a team's own past: busy days, free ones and bad weeks stay together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats

WEEKS, WORLDS = 12, 400  # weeks of the past that are drawn from, and possible futures
MOST = 60  # weeks that are played
IDLE = 0.05  # of the busiest weekday's work: on a weekday with less nobody works


def sizes(done: Floats, todo: Sequence[float | None]) -> tuple[Floats, float]:
    """How large each thing done was, and all to do together; counted, where most of those done have no size (NaN)."""
    bare = np.isnan(done)
    if bare.sum() * 2 > len(done) or not np.nansum(done):
        return np.ones(len(done)), float(len(todo))
    usual = float(np.nanmean(done))
    return np.where(bare, usual, done), float(sum(usual if one is None else one for one in todo))


def weekly(ago: Floats, sizes: Floats, spans: Floats) -> Floats:
    """What was done on each day of the last `WEEKS` (weeks x 7, the oldest first), fewer where the past is shorter.

    `ago` says how many days ago each thing was done, `sizes` how large it was. `spans` (from, to; days ago) is when
    there was something to do: a day without says nothing of how fast the team is, and counts as its weekday does.
    """
    day = np.floor(ago).astype(np.int64)
    seen = (day >= 0) & (day < WEEKS * 7)
    if not seen.any():
        return np.zeros((1, 7))
    weeks = max(1, min(WEEKS, (int(day.max()) + 1) // 7))
    daily = np.bincount(day[seen], sizes[seen].astype(np.float64), minlength=WEEKS * 7).astype(np.float64)
    something = np.zeros(WEEKS * 7, dtype=bool)
    for since, until in spans:
        something[max(0, int(np.floor(until))) : max(0, int(np.ceil(since)))] = True
    made, busy = (one[: weeks * 7][::-1].reshape(weeks, 7) for one in (daily, something))
    known = busy.sum(axis=0)
    usual = np.divide((made * busy).sum(axis=0), known, out=made.mean(axis=0), where=known > 0)
    return np.where(busy | (known == 0), made, usual)


def worked(past: Floats) -> NDArray[np.bool_]:
    """On which days of a week anybody works, of what was done on each day (weeks x 7)."""
    each = past.mean(axis=0)
    return np.asarray(each > IDLE * each.max())


def days(past: Floats, todo: float, *, weeks: int, random: np.random.Generator) -> Floats:
    """Days until `todo` is done in each of `WORLDS`, made of weeks drawn from `past` (weeks x 7, some of it positive).

    Beyond the `weeks` that are drawn, `MOST` at most, work goes on as it does on average. With the same source of
    chance more to do never takes less.
    """
    drawn: NDArray[np.int64] = random.integers(0, len(past), (WORLDS, min(weeks, MOST)))
    work = past[drawn].reshape(WORLDS, -1)
    done = np.cumsum(work, axis=1)
    world, last = np.arange(WORLDS), np.minimum((done < todo).sum(axis=1), work.shape[1] - 1)
    share = (todo - (done[world, last] - work[world, last])) / np.maximum(work[world, last], 1e-12)
    rest = np.maximum(todo - done[:, -1], 0.0) / past.mean(axis=0).mean()
    found: Floats = np.where(rest > 0, work.shape[1] + rest, last + np.clip(share, 0.0, 1.0))
    return found
