"""What decisions look at beside a forecast: the physics of the hours asked about, and what hangs together.

Bands of single hours don't add up. A sum is taken over worlds: each is a stretch of the plants' own past of the same
length and hour of the day, and says which hours were high and which low together (Schaake shuffle, Clark et al. 2004).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Floats, Frame, History
from foretell.domains.energy import physics
from foretell.domains.energy.features import framed
from foretell.domains.energy.models import LEVELS
from foretell.domains.energy.physics import Light, Sites
from foretell.domains.energy.readings import Places, hours, plants
from foretell.domains.energy.schema import WhatIf
from foretell.domains.energy.tables import WEATHER, Kind
from foretell.domains.energy.weather import HOUR, runs
from foretell.features.grid import micros
from foretell.models.paths import generator

PAST = 60  # days back that worlds are taken from
FEWEST = 12  # worlds; with fewer all hours are taken to be high or low together
TOGETHER = 40  # worlds then
TIMES = 4  # worlds made of each past stretch
SHARED = 0.4  # of the variance of what a forecast leaves; so that bands of a day's energy hold on public plants


@dataclass(frozen=True)
class Outlook:
    """The physics behind questions, one element each: shares of capacity, and which run of the weather was used."""

    sites: Sites
    said: Floats  # by the weather; NaN without any
    clear: Floats  # under a clear sky; for wind NaN
    dark: NDArray[np.bool_]  # whether the sun is down all the hour; for wind never
    wind: Floats  # m/s at the hub; for solar NaN
    run: Places  # -1 where there is none


def outlook(kind: Kind, history: History, asked: Frame, what_if: WhatIf | None = None) -> Outlook:
    """The physics behind questions, of the plants as they are or as they might be."""
    found = plants(history)
    sites = changed(found.sites, what_if).of(found.places(asked["entity"]))
    at = micros(asked["at"])
    run = runs(history).places(asked["entity"], at, micros(asked["as_of"]))
    weather = runs(history).told(run, WEATHER)
    nothing, never = np.full(len(at), np.nan), np.zeros(len(at), dtype=bool)
    if kind == "wind":
        hub = physics.hub_speed(sites, weather)
        return Outlook(sites, physics.wind(sites, weather), nothing, never, hub, run)
    light = Light(sites, at)
    clear = physics.clear_sky(sites, light)
    return Outlook(sites, physics.solar(sites, light, weather), clear, light.part <= 0, nothing, run)


def changed(sites: Sites, what_if: WhatIf | None) -> Sites:
    """The sites as they might be; an inverters' limit stays what it is in kW where there was one."""
    if what_if is None:
        return sites
    one = sites
    if what_if.capacity_kw is not None:
        told = sites.limit < 1
        factor = what_if.capacity_kw / sites.capacity
        limit = np.where(told, np.minimum(sites.limit / factor, 1.0), 1.0)
        one = replace(one, capacity=sites.capacity * factor, limit=limit)
    if what_if.tilt is not None:
        one = replace(one, tilt=np.full_like(sites.tilt, what_if.tilt), fixed=np.ones_like(sites.fixed))
    if what_if.azimuth is not None:
        one = replace(one, azimuth=np.full_like(sites.azimuth, what_if.azimuth), fixed=np.ones_like(sites.fixed))
    return one


def factors(before: Outlook, after: Outlook) -> Floats:
    """By how much what a plant puts out is multiplied where it is changed: physics of the one beside the other's."""
    one, other = (np.where(np.isnan(each.said), each.clear, each.said) for each in (before, after))
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(one > 1e-3, np.minimum(other / one, 10.0), 1.0)
    found: Floats = np.where(np.isnan(factor), 1.0, factor) * after.sites.capacity / before.sites.capacity
    return found


# ---------------------------------------------------------------- worlds


def worlds(history: History, names: list[str], first: int, count: int, said: Floats) -> Floats:
    """Possible outputs of `count` hours from `first` (hours since 1970) of plants: (plants x hours) x worlds.

    `said` are the quantiles of each plant's hours, plant by plant. Each hour's worlds have its quantiles; which are
    high together is as in the past, so far as the forecast did not know it: `SHARED` is what is left of that.
    """
    past = _past(history, names, first, count)
    many = past.shape[-1]
    if many < FEWEST:
        return _at(said, np.broadcast_to((np.arange(TOGETHER) + 0.5) / TOGETHER, (len(said), TOGETHER)))
    normal, mean = np.array([NormalDist().inv_cdf((k + 0.5) / many) for k in range(many)]), past.mean(axis=(0, 1))
    score = np.empty((len(said), many))
    for k, row in enumerate(past.reshape(-1, many)):
        score[k, np.lexsort((mean, row))] = normal
    luck = np.concatenate([generator(name, first).standard_normal((count, TIMES * many)) for name in names])
    mixed = np.sqrt(SHARED) * np.tile(score, TIMES) + np.sqrt(1 - SHARED) * luck
    return _at(said, (mixed.argsort(axis=1).argsort(axis=1) + 0.5) / mixed.shape[1])


def _past(history: History, names: list[str], first: int, count: int) -> Floats:
    """The same stretch of the day on past days (plants x hours x worlds), those alone that all plants have readings of.

    A plant that has none of its own goes with the others.
    """
    found = hours(history)
    starts = first - 24 * np.arange(1 + count // 24, PAST + 1)
    past = (starts[None, :] + np.arange(count)[:, None]).ravel()
    whole = np.array([found.of(name, past).reshape(count, len(starts)) for name in names])
    has = ~np.isnan(whole).all(axis=(1, 2))
    if not has.any():
        return np.zeros((len(names), count, 0))
    whole = np.where(has[:, None, None], whole, whole[has].mean(axis=0))
    return whole[:, :, ~np.isnan(whole).any(axis=(0, 1))]


def _at(said: Floats, rank: Floats) -> Floats:
    """The value at each rank (0 to 1) of each row's quantiles; beyond the outermost a line to a little further."""
    low = np.maximum(said[:, :1] - (said[:, 1:2] - said[:, :1]), 0.0)
    high = said[:, -1:] + (said[:, -1:] - said[:, -2:-1]) / 2
    edges = np.hstack([low, said, high])
    levels = np.array([0.0, *LEVELS, 1.0])
    return np.array([np.interp(rank[k], levels, edges[k]) for k in range(len(said))])


def as_frame(names: list[str], first: int, count: int, now: int) -> Frame:
    """The questions about `count` hours from `first` on of each plant, asked at `now` (microseconds)."""
    at = np.tile(np.arange(first, first + count), len(names)) * HOUR
    entity = [name for name in names for _ in range(count)]
    return framed(entity, np.full(len(at), now), at)


def seen(history: History, run: Places) -> tuple[list[str], int | None]:
    """The providers of the runs used, and when the newest was issued (microseconds); None where there was none."""
    used = np.unique(run[run >= 0])
    if not len(used):
        return [], None
    found = runs(history)
    return sorted(found.provider.gather(used).unique().to_list()), int(found.issued(used).max())


def has_readings(history: History, names: list[str]) -> pl.Series:
    """Whether there is any reading of each plant."""
    return pl.Series(names, dtype=pl.String).is_in(list(hours(history).grid.entities))
