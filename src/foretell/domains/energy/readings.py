"""What plants put out, hour by hour as shares of their capacity: what was known of it when, and what can't be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Floats, History
from foretell.domains.energy import physics
from foretell.domains.energy.physics import Light, Sites
from foretell.domains.energy.tables import PLANTS, READINGS
from foretell.domains.energy.weather import HOUR, MINUTE, codes
from foretell.features.grid import Grid, distinct, micros

Places = NDArray[np.int64]
Flags = NDArray[np.bool_]
STEP = timedelta(hours=1)
BEHIND, AHEAD = 24 * 15, 24 * 9  # hours that a lag reaches back, and that may be asked about
WEEK = 168
NEVER = np.iinfo(np.int64).max
TOLERANCE = 0.02  # of capacity: that a meter may show at night, or below zero
OVER = 1.1  # of capacity: more can't be


@dataclass(frozen=True)
class Plants:
    """The plants of a history: their names, kinds and sites, in one order."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    sites: Sites

    def places(self, entity: pl.Series) -> Places:
        """Where each plant stands in that order; -1 for one that is not there."""
        return codes(entity, self.names)

    def of_kind(self, kind: str) -> list[str]:
        """The names of the plants of a kind."""
        return [name for name, one in zip(self.names, self.kinds, strict=True) if one == kind]


def plants(history: History) -> Plants:
    """The plants as they were last told of."""
    return history.once(_plants)


def _plants(history: History) -> Plants:
    rows = history[PLANTS.name].sort("known_at", maintain_order=True).unique("entity", keep="last").sort("entity")
    return Plants(tuple(rows["entity"]), tuple(rows["kind"]), Sites.read(rows))


@dataclass(frozen=True)
class Hours:
    """Every hour of each plant with readings: `share` of capacity, and the minute since 1970 from which it is known.

    `told` is the share as it was read; `share` is NaN where that can't be. `clear` is what a clear sky would give, 0
    for wind.
    """

    grid: Grid
    told: Floats
    share: Floats
    known: Places
    clear: Floats

    def of(self, name: str, hour: Places, *, told: bool = False) -> Floats:
        """The shares of a plant's hours (since 1970), as read where they are to be `told`; NaN where there is none."""
        (place,) = self.grid.places(pl.Series([name] * len(hour), dtype=pl.String), hour * HOUR)
        found = np.full(len(hour), np.nan)
        found[place >= 0] = (self.told if told else self.share)[place[place >= 0]]
        return found

    def before(self, start: Places, minute: Places, steps: int) -> tuple[Floats, Floats]:
        """The shares of the `steps` hours before each place, newest first, and those of a clear sky.

        NaN where there is no reading, or it was not known at the `minute`.
        """
        return self._back(start, minute, np.arange(1, steps + 1))

    def days_before(self, at: Places, minute: Places, days: int) -> tuple[Floats, Floats]:
        """The same of the hour as it was 1, 2, … days before each place."""
        return self._back(at, minute, 24 * np.arange(1, days + 1))

    def around(self, at: Places, minute: Places, steps: Places) -> tuple[Floats, Floats]:
        """The same of the hours `steps` after each place (before it where they are negative)."""
        return self._back(at, minute, -steps)

    def _back(self, places: Places, minute: Places, steps: Places) -> tuple[Floats, Floats]:
        if not len(self.share):
            nothing = np.full((len(places), len(steps)), np.nan)
            return nothing, nothing
        rows = np.where(places[:, None] < 0, 0, np.maximum(places[:, None] - steps, 0))
        known = self.known[rows] <= minute[:, None]
        return np.where(known, self.share[rows], np.nan), np.where(known, self.clear[rows], np.nan)


def impossible(share: Floats, dark: Flags) -> dict[str, Flags]:
    """What can't be of shares of capacity, by name; it is `dark` where the sun is down all the hour."""
    return {
        "below zero": share < -TOLERANCE, "above capacity": share > OVER, "output at night": dark & (share > TOLERANCE),
    }  # fmt: skip


def hours(history: History) -> Hours:
    """The hours of a history."""
    return history.once(_hours)


def _hours(history: History) -> Hours:
    found, rows = plants(history), history[READINGS.name]
    rows = rows.filter(pl.col("entity").is_in(list(found.names))) if rows.height else rows
    when = micros(rows["time"])
    now = int(history.now.timestamp() * 1_000_000)
    grid = Grid.of(
        rows["entity"], when, rows["output_kw"].to_numpy(), step=STEP, behind=BEHIND, ahead=AHEAD, until=now
    )  # fmt: skip
    known = np.full(len(grid.value), NEVER)
    (places,) = grid.places(rows["entity"], when)
    minute = -(-np.maximum(micros(rows["known_at"]), when // HOUR * HOUR + HOUR) // MINUTE)
    fresh = np.full(len(grid.value), -1)
    np.maximum.at(fresh, places, minute)
    known = np.where(fresh >= 0, fresh, known)
    which = np.repeat(np.arange(len(grid.size)), grid.size)
    since = np.arange(len(which)) - np.repeat(np.cumsum(grid.size) - grid.size, grid.size)
    full = grid.base[which] + since
    code = found.places(pl.Series(grid.entities, dtype=pl.String))
    told, clear = np.full((2, len(grid.value)), np.nan)
    sites = found.sites.of(code[which])
    told[full] = grid.value[full] / sites.capacity
    solar = np.array([kind == "solar" for kind in found.kinds], dtype=bool)[code[which]]
    clear[full], dark = 0.0, np.zeros(len(told), dtype=bool)
    sunny = np.flatnonzero(solar)
    if len(sunny):
        lit = sites.of(sunny)
        light = Light(lit, (grid.first[which] + since * HOUR)[sunny])
        clear[full[sunny]], dark[full[sunny]] = physics.clear_sky(lit, light), light.part <= 0
    share = np.where(np.any([*impossible(told, dark).values()], axis=0), np.nan, told)
    return Hours(grid=grid, told=told, share=share, known=known, clear=clear)


def standpoints(start: Places, minute: Places) -> tuple[Places, Places]:
    """The first row of each distinct standpoint (place and minute), and which of them each row has."""
    _, which = distinct(start * 2**26 + minute)
    first = np.full(int(which.max(initial=-1)) + 1, len(start))
    np.minimum.at(first, which, np.arange(len(start)))
    return first, which
