"""What is known ahead of an entity: the promotions that are planned for it, and the price it will have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from foretell.contract import Floats
from foretell.features.days import Flags, Ints

MONTH = 28  # days of the past that a promotion or a price is compared with
FAR = 1 << 20  # more days than a calendar here has


@dataclass(frozen=True)
class Offers:
    """Promotions and prices of some entities, by their places: what held from which day to which, known when."""

    promoted: Mapping[str, Ints]  # place, first, last (days since 1970), known (microseconds)
    discount: Floats
    priced: Mapping[str, Ints]  # place, first, known; in order
    price: Floats

    def known(self, now: int) -> Offers:
        """Those that were known at a moment, in microseconds since 1970."""
        sold, cost = self.promoted["known"] <= now, self.priced["known"] <= now
        return replace(
            self,
            promoted={name: column[sold] for name, column in self.promoted.items()},
            discount=self.discount[sold],
            priced={name: column[cost] for name, column in self.priced.items()},
            price=self.price[cost],
        )

    def on(self, place: int, day: int, count: int) -> Flags:
        """On which of `count` days from `day` on the entity at a place is promoted."""
        return np.asarray(self._daily(np.array([place]), day, count, np.ones(len(self.discount)))[0] > 0)

    def ahead(self, place: Ints, day: int, step: Ints) -> list[Floats]:
        """Of the entity at `place`, `step` days after the standpoint `day`, one row each.

        Whether it is promoted and its discount then, both less those of the last four weeks on average; and by how
        much its price then differs from the last one and from the usual one (logarithms; NaN without a price).
        """
        days = MONTH + int(step.max(initial=0)) + 1
        rows, where = np.unique(place, return_inverse=True)
        on, off = (self._daily(rows, day - MONTH, days, what) for what in (np.ones(len(self.discount)), self.discount))
        usual = [block[:, :MONTH].mean(axis=1)[where] for block in (on, off)]
        now = [block[where, MONTH + step] for block in (on, off)]
        then, last = self._price(place, day + step), self._price(place, np.full(len(place), day - 1))
        before = [self._price(place, np.full(len(place), day - back)) for back in (MONTH, 2 * MONTH, 3 * MONTH)]
        with np.errstate(invalid="ignore"):
            mean = np.exp(np.mean(np.log([last, *before]), axis=0))
            costs = [np.log(then / last), np.log(then / mean)]
        return [*now, now[0] - usual[0], now[1] - usual[1], *costs]

    def _daily(self, rows: Ints, first: int, days: int, what: Floats) -> Floats:
        """The sum of `what` of the promotions on each day, 1 at most (rows x days)."""
        place = np.searchsorted(rows, self.promoted["place"])
        hit = np.minimum(place, len(rows) - 1) if len(rows) else place
        mine = (rows[hit] == self.promoted["place"]) if len(rows) else np.zeros(0, dtype=bool)
        begin = np.clip(self.promoted["first"] - first, 0, days)[mine]
        end = np.clip(self.promoted["last"] + 1 - first, 0, days)[mine]
        steps = np.zeros((len(rows), days + 1))
        np.add.at(steps, (hit[mine], begin), what[mine])
        np.add.at(steps, (hit[mine], end), -what[mine])
        # Rounded: adding and taking away leaves slivers that depend on what else was there.
        return np.clip(np.cumsum(steps, axis=1)[:, :-1].round(6), 0.0, 1.0)

    def _price(self, place: Ints, day: Ints) -> Floats:
        """The price on a day; NaN where none is known."""
        if not len(self.price):
            return np.full(len(place), np.nan)
        key = self.priced["place"] * FAR + self.priced["first"]
        found = np.searchsorted(key, place * FAR + day, side="right") - 1
        mine = (found >= 0) & (self.priced["place"][np.maximum(found, 0)] == place)
        return np.where(mine, self.price[np.maximum(found, 0)], np.nan)
