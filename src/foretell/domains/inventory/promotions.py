"""What stored promotions do to the methods that know a product's own days alone.

They learn its level from days without a promotion, and days under a planned one are so many times as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from foretell.contract import Floats, History
from foretell.domains.inventory.tables import PROMOTIONS
from foretell.features.dates import Numbers, micros, numbers
from foretell.features.days import Flags, Line
from foretell.models.uplift import uplift

PLAIN = 14  # days without a promotion that a level is learned from at least


@dataclass(frozen=True)
class Promoted:
    """The promotions of one product: from which day to which, and since when each is known (microseconds)."""

    first: Numbers
    last: Numbers
    known: Numbers

    def on(self, day: int, count: int, now: int) -> Flags:
        """On which of `count` days from `day` on there is one, as far as was known."""
        days = np.arange(day, day + count)[:, None]
        each = (self.first <= days) & (days <= self.last) & (self.known <= now)
        return np.asarray(each.any(axis=1))


def promoted(history: History) -> Mapping[str, Promoted]:
    """The promotions of every product that has some. `until` is the moment at which one is over."""
    return history.once(_promoted)


def _promoted(history: History) -> dict[str, Promoted]:
    frame = history.tables.get(PROMOTIONS.name)
    if frame is None or frame.is_empty():
        return {}
    zone = history.standpoint.zone
    return {
        str(entity): Promoted(
            first=numbers(part["time"], zone),
            last=numbers(part["until"].dt.offset_by("-1us"), zone),
            known=part["known_at"].cast(pl.Int64).to_numpy(),
        )
        for (entity,), part in frame.partition_by("entity", as_dict=True, maintain_order=True).items()
    }


def apart(history: History, entity: str, as_of: datetime, line: Line, steps: int) -> tuple[Floats, Floats | None]:
    """The days before a standpoint as without promotions, and how many times as much the next `steps` have.

    Promotions count as far as they were known then. Without any in the past, or with too few days without, the days
    are as they were, and there is no factor.
    """
    spans = promoted(history).get(entity)
    if spans is None:
        return line.filled, None
    day, now = line.first + len(line.value), micros(as_of)
    before = spans.on(line.first, len(line.value), now)
    if not before.any() or np.count_nonzero(~np.isnan(line.value[~before])) < PLAIN:
        return line.filled, None
    times = uplift(line.value, before)
    if times is None:
        return line.filled, None
    plain = replace(line, value=np.where(before, np.nan, line.value))
    return plain.filled, np.where(spans.on(day, steps, now), times, 1.0)
