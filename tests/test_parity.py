"""Who is called high more often than others of whom it is no more true is flagged; of a few nothing is claimed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from tests.toys import DAY, START, world
from tests.toys.late_outcomes import TASK

from foretell import Frame, History
from foretell.engine.parity import FEW, Parity, parity

NORTH, SOUTH, FEWER = 400, 400, FEW - 1
AREAS = ["north"] * NORTH + ["south"] * SOUTH + ["few"] * FEWER
NAMES = [f"o{k}" for k in range(len(AREAS))]


def history(open_: int = 0) -> History:
    """Of every four in a row the last has come back; of the last `open_` nobody knows yet."""
    count = len(NAMES) - open_
    ends = [(name, START + DAY, "returned" if k % 4 == 3 else "kept") for k, name in enumerate(NAMES[:count])]
    frame = pl.DataFrame(ends, schema=["entity", "known_at", "how"], orient="row")
    return world(START + 30 * DAY, ends=frame)


def asked(chance: float | Sequence[float] = 0.25) -> Frame:
    told = np.broadcast_to(chance, len(NAMES))
    return pl.DataFrame({"entity": NAMES, "chance": told}).with_columns(
        as_of=pl.lit(START).cast(pl.Datetime("us", "UTC")), at=pl.lit(START + DAY).cast(pl.Datetime("us", "UTC"))
    )


def high(**shares: float) -> list[bool]:
    """Who is called high: of each area such a share."""
    place = {area: AREAS.index(area) for area in shares}
    return [k - place[area] < shares[area] * AREAS.count(area) for k, area in enumerate(AREAS)]


def groups(found: Parity) -> dict[str | None, tuple[int, float, bool | None]]:
    return {one.value: (one.entities, round(one.high, 3), one.flagged) for one in found.groups}


def test_who_is_called_high_more_often_at_the_same_outcomes_is_flagged() -> None:
    found = parity(TASK, history(), asked(), ("area", AREAS), high(north=0.4, south=0.1, few=1.0))
    assert (found.task, found.by, found.since, found.called) == ("returns", "area", START, "HIGH")
    assert groups(found) == {"north": (400, 0.4, True), "south": (400, 0.1, True), "few": (29, 1.0, None)}
    north, south, few = found.groups
    usual = found.overall.high
    assert usual == pytest.approx((160 + 40 + 29) / 829)
    assert [one.ratio for one in found.groups] == [pytest.approx(share / usual) for share in (0.4, 0.1, 1.0)]
    assert north.happened == south.happened == 0.25
    assert (north.known, few.known) == (400, 29)
    assert north.gap == pytest.approx(0)


def test_like_shares_are_not_flagged_nor_are_unlike_ones_of_so_few_that_it_may_be_luck() -> None:
    found = parity(TASK, history(), asked(), ("area", AREAS), high(north=0.2, south=0.22, few=0.2))
    assert [one.flagged for one in found.groups] == [False, False, None]
    areas = ["far"] * 40 + AREAS[40:]
    found = parity(TASK, history(), asked(), ("area", areas), high(north=0.05, south=0.04, few=0.0))
    (far,) = (one for one in found.groups if one.value == "far")
    assert far.ratio is not None
    assert far.ratio > 5
    assert far.flagged  # twenty of forty, where two are usual
    found = parity(
        TASK, history(), asked(), ("area", areas), [k in (0, 1, 2, 500, 600, 700, 800) or k > 790 for k in range(829)]
    )
    (far,) = (one for one in found.groups if one.value == "far")
    assert far.flagged is False  # three of forty, where two are usual


def test_who_is_asked_about_often_counts_once() -> None:
    once = parity(TASK, history(), asked(), ("area", AREAS), high(north=0.4, south=0.1, few=1.0))
    some = [*range(len(NAMES)), *[k for k in range(10) for _ in range(500)]]
    called = high(north=0.4, south=0.1, few=1.0)
    often = parity(
        TASK, history(), asked()[some], ("area", [AREAS[k] for k in some]), [called[k] for k in some]
    )  # fmt: skip
    assert often.overall.asked == once.overall.asked + 5000
    assert groups(often) == groups(once)
    assert often.groups[0].happened == pytest.approx(once.groups[0].happened)


def test_more_said_than_came_is_a_gap_and_what_is_open_counts_in_neither() -> None:
    chance = [0.45 if area == "north" else 0.25 for area in AREAS]
    found = parity(TASK, history(open_=FEWER + 100), asked(chance), ("area", AREAS), high(north=0, south=0, few=0))
    by = {one.value: one for one in found.groups}
    assert by["north"].gap == pytest.approx(0.2)
    assert by["south"].gap == pytest.approx(0)
    assert (by["south"].known, by["south"].entities) == (300, 400)
    assert (by["few"].known, by["few"].happened, by["few"].gap) == (0, None, None)


def test_where_nobody_is_called_high_the_most_likely_fifth_is() -> None:
    chance = [0.3 if k % 2 else 0.2 if area == "north" else 0.1 for k, area in enumerate(AREAS)]
    chance = [value + k * 1e-6 for k, value in enumerate(chance)]
    found = parity(TASK, history(), asked(chance), ("area", AREAS), [False] * len(AREAS))
    assert found.called == "the most likely 20%"
    assert found.overall.high == pytest.approx(0.2, abs=0.002)
    same = parity(TASK, history(), asked(), ("area", AREAS), [False] * len(AREAS))
    assert same.overall.high == 0
    assert [(one.ratio, one.flagged) for one in same.groups] == [(None, None)] * 3


def test_who_has_no_value_is_a_group_too() -> None:
    found = parity(TASK, history(), asked(), ("area", [None, *AREAS[1:]]), high(north=0.1, south=0.1, few=0.1))
    assert {one.value: one.entities for one in found.groups} == {"south": 400, "north": 399, "few": 29, None: 1}
