"""The deals about a home: those nearest to it, and those of homes that are near and alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretell.contract import Floats, Frame
from foretell.domains.realestate.prices import Ints, Standing
from foretell.models.nearest import Points

NEAR, ALIKE, KEPT = 20, 8, 5  # deals that say what a place is worth, that are compared, and that are named
EARTH = 6371.0  # km
APART = 1e4  # between homes that can't be compared: of other areas, where it is not known where they stand
# How far apart homes are that differ by so much: km, the logarithm of prices of their like, of sizes, years, years ago.
KM, LIKE, SIZE, BUILT, AGO = 0.5, 0.2, 0.2, 30.0, 1.0


class Around(NamedTuple):
    """The deals about each home, by their place among those of the standing; -1 where there are fewer."""

    near: Ints
    near_far: Floats
    alike: Ints
    unlike: Floats


def around(standing: Standing, homes: Frame, parts: dict[str, Floats]) -> Around:
    """The deals nearest to each home, its own among them, and those of other homes near and alike, best first."""
    deals, rows = standing.deals, standing.rows
    past = deals.frame[rows]
    code = {name: k for k, name in enumerate(deals.codes["area"])}
    place, mine = (
        _stands(frame, where, code)
        for frame, where in (
            (past, standing.effects["street"][deals.code["street"][rows]]), (homes, parts["street"])
        )
    )  # fmt: skip
    ago = (standing.month - deals.month[rows])[:, None] / 12 / AGO
    now = np.zeros((len(homes), 1))
    near, near_far = Points(np.hstack([place, ago / 5])).nearest(np.hstack([mine, now]), NEAR)
    points = np.hstack([place, ago, _like(past, standing.like)])
    asked = np.hstack([mine, now, _like(homes, parts["like"])])
    found, far = Points(points).nearest(asked, ALIKE + KEPT)
    own = deals.codes["property"]
    whose = np.array([own.get(name, -1) for name in homes["property"]])
    others = (found >= 0) & (far < APART) & (deals.code["property"][rows][np.maximum(found, 0)] != whose[:, None])
    order = np.argsort(~others, axis=1, kind="stable")[:, :ALIKE]
    found, far, others = (np.take_along_axis(each, order, axis=1) for each in (found, far, others))
    return Around(
        near=np.where((near >= 0) & (near_far < APART), near, -1), near_far=near_far,
        alike=np.where(others, found, -1), unlike=np.where(others, far, np.inf),
    )  # fmt: skip


def _stands(homes: Frame, street: Floats, code: dict[str | None, int]) -> Floats:
    """Where homes stand, as points: by coordinates; else by area, and in it by how much its street is worth."""
    north, east = (homes[name].fill_null(np.nan).to_numpy() for name in ("latitude", "longitude"))
    blind = np.isnan(north) | np.isnan(east)
    degree = np.pi / 180 * EARTH / KM
    area = np.array([code.get(name or None, -1) for name in homes["area"]]) + 1.0
    return np.column_stack(
        [np.where(blind, street / LIKE, north * degree),
         np.where(blind, 0.0, east * degree * np.cos(np.radians(np.round(north)))),
         np.where(blind, (area + 1) * APART, 0.0)]
    )  # fmt: skip


def _like(homes: Frame, like: Floats) -> Floats:
    """What homes are like, as points; what is not known of one is as usual."""
    size, built = (homes[name].fill_null(np.nan).to_numpy() for name in ("size", "built"))
    size = np.log(np.where(size > 0, size, 120.0))
    return np.column_stack([like / LIKE, size / SIZE, np.where(np.isnan(built), 1970.0, built) / BUILT])


def kilometres(homes: Frame, others: Frame) -> Floats:
    """The distance of each home to another of the same row, km; NaN where it is not known where they stand."""
    (north, east), (there, yonder) = (
        [frame[name].fill_null(np.nan).to_numpy() for name in ("latitude", "longitude")] for frame in (homes, others)
    )
    return np.asarray(np.hypot(north - there, (east - yonder) * np.cos(np.radians(north))) * (np.pi / 180 * EARTH))


def mean(values: Floats, weight: Floats) -> Floats:
    """The mean of each row, so weighed; NaN where nothing weighs."""
    whole = weight.sum(axis=1)
    total = (values * weight).sum(axis=1)
    return np.asarray(np.divide(total, whole, out=np.full(len(values), np.nan), where=whole > 0))
