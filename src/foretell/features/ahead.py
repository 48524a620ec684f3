"""What is known of some series at a standpoint, as features of single days ahead and of the mean of spans of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from foretell.contract import Floats
from foretell.features import days
from foretell.features.days import HORIZON, Ints
from foretell.features.offers import Offers


@dataclass(frozen=True)
class Seen:
    """Some series at the beginning of a day: the days before, a number for the category of each, what is planned.

    `rows` are their places among those that the offers are about. The time of year counts only where it is `yearly`.
    """

    block: Floats
    codes: Floats
    planned: Offers
    rows: Ints
    day: int
    yearly: bool

    @cached_property
    def _state(self) -> dict[str, Floats]:
        return days.state(self.block)

    @cached_property
    def level(self) -> Floats:
        """The level that each series is measured by, as `days.scale`."""
        return days.scale(self.block)

    def days(self, place: Ints, step: Ints) -> Floats:
        """Features of single days: of the series at `place`, `step` days from now, one row each."""
        offered = self.planned.ahead(self.rows[place], self.day, step)
        known = days.ahead(self.block, self._state, place, self.day, step, yearly=self.yearly)
        return np.column_stack([known, *offered, self.codes[place]])

    def spans(self, span: Ints) -> Floats:
        """Features of the mean of the next `span` days of each series, `HORIZON` at most, one row each."""
        count, step = len(self.rows), np.arange(HORIZON)
        offered = self.planned.ahead(np.repeat(self.rows, HORIZON), self.day, np.tile(step, count))
        inside = step < span[:, None]
        mean = [days.mean(np.where(inside, one.reshape(count, HORIZON), np.nan)) for one in offered]
        known = days.coming(self.block, self._state, self.day, span, yearly=self.yearly)
        return np.column_stack([known, *mean, self.codes])
