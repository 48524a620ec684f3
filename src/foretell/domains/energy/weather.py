"""Which forecast of the weather was at hand: for each plant and hour the newest that was issued by a moment.

What was observed is no forecast: of an hour to come only what was issued by then is known. A run older than `KEPT`
counts as none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Floats, Frame, History
from foretell.domains.energy.tables import FORECASTS, WEATHER
from foretell.features.grid import micros

Places = NDArray[np.int64]
KEPT = timedelta(days=8)
MINUTE, HOUR = 60_000_000, 3_600_000_000  # microseconds
HOURS, MINUTES = 2**20, 2**26  # more than there are of either from 1970 to 2089
OLDEST = KEPT // timedelta(minutes=1) - 2


@dataclass(frozen=True)
class Runs:
    """Every forecast of a history, in the order of plant, hour and issue: `key` is the three in one number."""

    plants: tuple[str, ...]
    key: Places
    values: Floats  # forecasts x WEATHER
    provider: pl.Series

    @classmethod
    def of(cls, rows: Frame) -> Runs:
        """The runs of a frame of forecasts."""
        names = tuple(rows["entity"].unique().sort())
        code = codes(rows["entity"], names)
        issued = -(-micros(rows["known_at"]) // MINUTE)
        key = (code * HOURS + micros(rows["time"]) // HOUR) * MINUTES + issued
        order = np.lexsort((rows["provider"].to_numpy(), key)) if rows["provider"].n_unique() > 1 else np.argsort(key)
        values = rows.select(pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in WEATHER).to_numpy()
        return cls(plants=names, key=key[order], values=values[order], provider=rows["provider"].gather(order))

    def places(self, entity: pl.Series, at: Places, as_of: Places) -> Places:
        """The place of the newest run of each hour (`at`) known `as_of` (both microseconds); -1 where there is none."""
        if not len(self.key):
            return np.full(at.shape, -1)
        code = codes(entity, self.plants)
        code, minute = (each if at.ndim == 1 else each[:, None] for each in (code, as_of // MINUTE))
        hour = np.maximum(code, 0) * HOURS + at // HOUR
        place = np.searchsorted(self.key, hour * MINUTES + minute, side="right") - 1
        found = self.key[np.maximum(place, 0)]
        there = (place >= 0) & (code >= 0) & (found // MINUTES == hour) & (found % MINUTES >= minute - OLDEST)
        return np.where(there, place, -1)

    def told(self, places: Places, columns: Sequence[str]) -> dict[str, Floats]:
        """The weather at these places, by column; NaN where there is none."""
        which = [WEATHER.index(name) for name in columns]
        if not len(self.key):
            return {name: np.full(places.shape, np.nan) for name in columns}
        rows = np.maximum(places, 0)
        return {
            name: np.where(places >= 0, self.values[rows, k], np.nan) for name, k in zip(columns, which, strict=True)
        }

    def issued(self, places: Places) -> Places:
        """When the runs at these places were issued, microseconds; what stands where there is none means nothing."""
        found: Places = self.key[np.maximum(places, 0)] % MINUTES * MINUTE if len(self.key) else places
        return found


def codes(entity: pl.Series, names: Sequence[str]) -> Places:
    """The position of each entity in `names`; -1 where it is not there."""
    places = pl.Series(range(len(names)), dtype=pl.Int64)
    found: Places = entity.replace_strict(pl.Series(names, dtype=pl.String), places, default=-1).to_numpy()
    return found


def runs(history: History) -> Runs:
    """The forecasts of a history."""
    return history.once(_runs)


def _runs(history: History) -> Runs:
    return Runs.of(history[FORECASTS.name])
