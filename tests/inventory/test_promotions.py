"""Promotions that are stored, for the methods that know a product's own days: worlds whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from tests.inventory import NOW, days, demand, stockout, world
from tests.inventory.test_demand import weeks

from foretell.contract import INSTANT, Floats, History
from foretell.domains.inventory import DEMAND
from foretell.domains.inventory.features import framed
from foretell.domains.inventory.models import Local
from foretell.domains.inventory.tables import PROMOTIONS
from foretell.features.dates import number
from foretell.models.daily import METHODS
from foretell.models.uplift import DRAWN, MOST, uplift, usual

DAY = timedelta(days=1)
LENGTH, LEVEL, LIFT = 365, 20.0, 2.5
BEGUN = NOW.replace(hour=11) - DAY * LENGTH  # noon in Berlin on the first day; the day after the last one is today
PAST = [range(k, k + 4) for k in (60, 120, 180, 240, 348)]
AHEAD = range(LENGTH + 3, LENGTH + 8)  # the fourth day forecast to the eighth
TOLD = BEGUN - DAY
SCHEMA = {
    "entity": pl.String(), "time": INSTANT, "until": INSTANT, "known_at": INSTANT, "discount": pl.Float64(),
}  # fmt: skip


def sold(times: float = LIFT, seed: int = 5) -> list[float]:
    """A year of a product that sells so many times its level while it is promoted."""
    level = np.full(LENGTH, LEVEL)
    level[[day for span in PAST for day in span]] *= times
    return [float(each) for each in np.random.default_rng(seed).poisson(level)]


def shop(values: Sequence[float], *spans: tuple[range, datetime], names: Sequence[str] = ("it",)) -> History:
    """The shop now, with promotions on spans of days since the first, each known since a moment."""
    history = world(
        (name, BEGUN + DAY * k, value, "sale") for name in names for k, value in enumerate(values) if value > 0
    )
    midnight = BEGUN.replace(hour=23) - DAY  # in Berlin
    rows = [("it", midnight + DAY * span[0], midnight + DAY * (span[-1] + 1), known, 0.2) for span, known in spans]
    return History(history.standpoint, {**history.tables, PROMOTIONS.name: pl.DataFrame(rows, SCHEMA, orient="row")})


def expected(history: History, method: str = "ensemble") -> Floats:
    """The mean of each of the next 14 days."""
    return np.array([day.expected for day in demand(history, method=method, horizon_days=14).predictions])


ONCE = [(span, TOLD) for span in PAST]
ON = np.array([LENGTH + k in AHEAD for k in range(14)])


@pytest.mark.parametrize("method", [*METHODS])
def test_a_planned_promotion_is_counted_on_by_what_promotions_did(method: str) -> None:
    said = expected(shop(sold(), *ONCE, (AHEAD, NOW - DAY)), method)
    assert said[ON].mean() == pytest.approx(LEVEL * LIFT, rel=0.15)
    assert said[~ON].mean() == pytest.approx(LEVEL, rel=0.15)
    assert said[ON].min() > 1.2 * said[~ON].max()


def test_the_level_is_learned_from_days_without_a_promotion() -> None:
    """The last one ended two weeks ago: unknown to a method, it would still raise its level."""
    known, unknown = (expected(shop(sold(4.0), *spans)).mean() for spans in (ONCE, ()))
    assert known == pytest.approx(LEVEL, rel=0.07)
    assert unknown > 1.1 * known


def test_the_empty_shelf_comes_as_early_as_the_promotion_has_it() -> None:
    stock = LEVEL * (3 + 5 * LIFT + 2.5)  # three usual days, five promoted ones and half of the third day after
    plain, planned = (
        stockout(shop(sold(), *ONCE, *more), current_stock_units=stock, method="ensemble", horizon_days=60)
        for more in ([], [(AHEAD, NOW - DAY)])
    )
    assert planned.days_until_stockout == pytest.approx(11, abs=1)
    assert plain.days_until_stockout == pytest.approx(18, abs=2)
    assert planned.dates["10"] < planned.dates["90"] < plain.dates["50"]
    assert planned.daily_usage_forecast[4] > 2 * plain.daily_usage_forecast[4]


def test_what_becomes_known_later_is_not_counted_on_before() -> None:
    values = sold()
    usual_, secret = (expected(shop(values, *ONCE, *more)) for more in ([], [(AHEAD, NOW + DAY / 24)]))
    assert usual_.tolist() == secret.tolist()
    late = [*ONCE[:-1], (PAST[-1], NOW + DAY / 24)]  # the last promotion of the past is entered only then
    assert expected(shop(values, *late)).tolist() == expected(shop(values, *ONCE[:-1])).tolist()


def test_an_old_standpoint_sees_what_was_known_and_sold_then() -> None:
    then = number(NOW, "Europe/Berlin") - 65  # the day 300; a promotion is planned for the days 302 to 305
    asked = framed([("it", then, then + k) for k in range(7)], "Europe/Berlin")
    plan = range(302, 306)

    def said(values: Sequence[float], known: datetime) -> list[float]:
        history = shop(values, *ONCE, (plan, known))
        found: list[float] = Local("ensemble").forecast(DEMAND.study(history, asked)).rows["point"].to_list()
        return found

    values = sold()
    early, late = (said(values, BEGUN + DAY * day) for day in (299, 302))
    assert early[2:6] == pytest.approx([LEVEL * LIFT] * 4, rel=0.25)
    assert late[2:6] == pytest.approx([LEVEL] * 4, rel=0.25)
    assert said([*values[:300], *(9 * value for value in values[300:])], BEGUN + DAY * 299) == early


@pytest.mark.parametrize("method", ["ensemble", "weekly_naive", "weekday_mean"])
def test_without_a_promotion_of_its_own_nothing_changes(method: str) -> None:
    alone = shop(sold(), names=["other"])
    beside = shop(sold(), *ONCE, (AHEAD, TOLD), names=["it", "other"])
    for ask in (demand, stockout):
        more = {} if ask is demand else {"current_stock_units": 300}
        one, two = (ask(history, product="other", method=method, **more) for history in (alone, beside))
        assert one == two
    first = shop(sold(), (AHEAD, TOLD))  # what a first promotion will do, nobody knows
    assert expected(first, method).tolist() == expected(shop(sold()), method).tolist()


def test_a_history_that_comes_along_knows_no_stored_promotion() -> None:
    sent = {"history": days(weeks(40)), "method": "ensemble"}
    assert demand(shop(sold(), *ONCE, (AHEAD, TOLD)), **sent) == demand(**sent)


# ---------------------------------------------------------------- how many times


def test_few_days_are_drawn_to_what_is_expected_of_promotions() -> None:
    value, on = np.full(100, 10.0), np.zeros(100, dtype=bool)
    found = []
    for count in (1, 5, 20):
        on[40 : 40 + count] = True
        value[on] = 30.0
        found.append(uplift(value, on))
        assert found[-1] == pytest.approx((count * 3 + DRAWN) / (count + DRAWN))
        assert uplift(value, on, 2.0) == pytest.approx((count * 3 + 2 * DRAWN) / (count + DRAWN))
    assert 1 < found[0] < found[1] < found[2] < 3  # type: ignore[operator]


def test_usual_is_what_the_weekday_had_around() -> None:
    week = np.array([1.0, 2, 3, 4, 5, 6, 7])
    value, on = np.concatenate([np.tile(week, 6), 10 * np.tile(week, 6)]), np.zeros(84, dtype=bool)
    on[[3, 80]] = True
    assert usual(value, on)[[3, 80]].tolist() == [4.0, 40.0]  # of its own time, too
    on[3::7] = True  # a weekday that is always promoted can't be compared
    assert np.isnan(usual(value, on)[3])


def test_where_nothing_can_be_compared_there_is_no_factor() -> None:
    on = np.arange(60) % 7 == 3
    assert uplift(np.full(60, 5.0), on) is None
    spike = np.arange(60) == 30
    assert uplift(np.where(spike, 9.0, 0.0), spike) is None  # nothing is sold without one
    assert uplift(np.where(spike, np.nan, 2.0), spike) is None  # the shelf was empty
    assert uplift(np.where(spike, 1e9, 2.0), spike) == MOST
