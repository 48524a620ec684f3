"""Whether a feature's values lie elsewhere than they did: by how much its mean moved, and whether that can be luck."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

FAR = 0.25  # standard deviations: nearer than that, nine tenths of the two distributions lie on each other
SURE = 4.0  # standard errors: of a hundred features looked at every day, about two a year pass it by luck
FEW = 30  # values; of fewer a mean says nothing


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What a feature was like: how many values were there, their mean and standard deviation, None without any."""

    count: int
    mean: float | None
    deviation: float | None


def drift(then: Moments, now: Moments) -> float | None:
    """By how many standard deviations of then the mean has moved.

    None where there were no values, or all of then were alike: what is the same for everybody, as the time of year is,
    moves with the calendar and says nothing of the people.
    """
    if then.mean is None or now.mean is None or not then.deviation:
        return None
    return (now.mean - then.mean) / then.deviation


def drifted(then: Moments, now: Moments) -> bool:
    """Whether the mean has moved far (`FAR`), and farther than samples of this size differ by luck (`SURE`).

    Who is in both samples is counted as two: the means then differ less by luck than is allowed for. Below `FEW` values
    nothing has drifted.
    """
    moved = drift(then, now)
    if moved is None or min(then.count, now.count) < FEW:
        return False
    spread = (now.deviation or 0.0) / (then.deviation or 1.0)
    luck = sqrt(1 / then.count + spread**2 / now.count)
    return abs(moved) > max(FAR, SURE * luck)
