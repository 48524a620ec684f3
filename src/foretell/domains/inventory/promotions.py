"""What stored promotions do to the methods that know a product's own days alone.

They learn its level from days without a promotion, and days under a planned one are so many times as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np

from foretell.contract import Floats, History
from foretell.domains.inventory.features import offers
from foretell.domains.inventory.tables import PROMOTIONS
from foretell.features.dates import micros
from foretell.features.days import Line
from foretell.features.offers import Offers
from foretell.models.uplift import uplift

PLAIN = 14  # days without a promotion that a level is learned from at least


def _planned(history: History) -> tuple[Mapping[str, int], Offers]:
    """The promotions of all products that have some, and these products' places in them."""
    frame = history.tables.get(PROMOTIONS.name)
    names = [] if frame is None else frame["entity"].unique().sort().to_list()
    return {name: place for place, name in enumerate(names)}, offers(history, names)


def apart(history: History, entity: str, as_of: datetime, line: Line, steps: int) -> tuple[Floats, Floats | None]:
    """The days before a standpoint as without promotions, and how many times as much the next `steps` have.

    Promotions count as far as they were known then. Without any in the past, or with too few days without, the days
    are as they were, and there is no factor.
    """
    places, planned = history.once(_planned)
    place = places.get(entity)
    if place is None:
        return line.filled, None
    now = micros(as_of)
    known, day = history.once(lambda _: planned.known(now), ("planned", now)), line.first + len(line.value)
    before = known.on(place, line.first, len(line.value))
    if not before.any() or np.count_nonzero(~np.isnan(line.value[~before])) < PLAIN:
        return line.filled, None
    times = uplift(line.value, before)
    if times is None:
        return line.filled, None
    plain = replace(line, value=np.where(before, np.nan, line.value))
    return plain.filled, np.where(known.on(place, day, steps), times, 1.0)
