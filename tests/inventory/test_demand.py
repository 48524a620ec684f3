"""Daily demand: what is asked, what is answered, and what is refused, for usual series and for odd ones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.inventory import LAST, days, demand, said, world

from foretell.contract import quantile
from foretell.domains.inventory import DEMAND, DOMAIN
from foretell.domains.inventory.decide import band
from foretell.domains.inventory.models import LEVELS
from foretell.domains.inventory.schema import ROWS, DemandRequest
from foretell.engine.predict import Prediction
from foretell.errors import InvalidRequest, NotFound, NotReady
from foretell.models.daily import METHODS
from foretell.testing import check_domain

WEEK = np.array([5.0, 5, 6, 7, 9, 12, 2])


def weeks(count: int, seed: int = 1) -> list[float]:
    """Noisy weeks."""
    random = np.random.default_rng(seed)
    found: list[float] = random.poisson(np.tile(WEEK, count)).astype(float).tolist()
    return found


def test_the_domain_keeps_the_contract() -> None:
    check_domain(DOMAIN)


@pytest.mark.row("I2")
def test_day_one_is_the_day_after_the_last_transaction() -> None:
    answer = demand(history=days(weeks(20)), horizon_days=10)
    assert [day.date for day in answer.predictions] == [LAST + timedelta(days=k) for k in range(1, 11)]
    assert (answer.last_day, answer.horizon_days) == (LAST, 10)
    assert len(demand(history=days(weeks(20))).predictions) == 30


@pytest.mark.row("I2")
@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_every_method_has_bounds_at_the_width_and_none_below_zero(method: str) -> None:
    history = days(weeks(30))
    wide, narrow = (
        demand(history=history, method=method, horizon_days=21, interval_width=width).predictions
        for width in (0.95, 0.6)
    )
    for one, other in zip(wide, narrow, strict=True):
        assert 0 <= one.low <= other.low <= other.expected <= other.high <= one.high
        assert one.expected == other.expected
    assert sum(day.high - day.low for day in wide) > 1.3 * sum(day.high - day.low for day in narrow)


@pytest.mark.row("I2")
def test_the_bounds_hold_their_share_of_days_to_come() -> None:
    """On forty seeded series whose next four weeks are known to the test alone."""
    inside: dict[float, list[bool]] = {0.5: [], 0.8: [], 0.95: []}
    for seed in range(40):
        told = weeks(30, seed)
        for width, found in inside.items():
            answer = demand(history=days(told[:-28]), method="weekday_mean", horizon_days=28, interval_width=width)
            pairs = zip(answer.predictions, told[-28:], strict=True)
            found += [day.low - 1e-9 <= y <= day.high + 1e-9 for day, y in pairs]
    for width, found in inside.items():
        assert width - 0.05 < np.mean(found) < width + 0.08, (width, np.mean(found))


def test_a_width_between_the_levels_lies_between_their_bounds() -> None:
    import polars as pl

    rows = pl.DataFrame({quantile(level): [float(k)] for k, level in enumerate(LEVELS)})
    assert [float(band(rows, level)[0]) for level in LEVELS] == pytest.approx(range(len(LEVELS)))
    shares = [band(rows, share)[0] for share in np.linspace(0.005, 0.995, 50)]
    assert (np.diff(shares) > 0).all()


@pytest.mark.row("I2")
def test_fewer_than_thirty_distinct_days_are_refused_in_the_words_of_the_document() -> None:
    words = r"^Insufficient transaction data. Need at least 30 days, got 15$"
    fifteen = days([3.0] * 15)
    with pytest.raises(NotReady, match=words):
        demand(history=fifteen * 3)  # as often as they come
    with pytest.raises(NotReady, match="got 0"):
        demand(history=[])
    with pytest.raises(NotReady, match="got 0"):
        demand()  # nothing is stored
    noon = datetime(2026, 2, 10, 12, tzinfo=UTC)
    with pytest.raises(NotReady, match=words):
        demand(world([("it", noon + timedelta(days=k), 1.0, "sale") for k in range(15)]))
    assert demand(history=days([3.0] * 30)).predictions


@pytest.mark.row("I2")
@pytest.mark.parametrize("horizon", [-1, 0, 366, 10**12])
def test_a_horizon_out_of_range_is_refused_in_the_words_of_the_document(horizon: int) -> None:
    with pytest.raises(InvalidRequest, match=r"^horizon_days must be between 1 and 365$"):
        demand(history=days(weeks(10)), horizon_days=horizon)


@pytest.mark.parametrize("horizon", [1, 365])
def test_the_ends_of_the_range_are_answered(horizon: int) -> None:
    assert len(demand(history=days(weeks(10)), horizon_days=horizon).predictions) == horizon


def test_dates_that_come_twice_are_added_up_and_their_order_is_nothing() -> None:
    told = days(weeks(20))
    halves = [{**row, "quantity": row["quantity"] / 2} for row in told]
    mixed = [*halves[::-1], *halves]
    assert demand(history=mixed).predictions == demand(history=told).predictions


def test_missing_days_are_zero_or_unknown_as_was_asked() -> None:
    told = days(weeks(20))
    kept = [row for row in told if row["date"].weekday() != 2 or row["date"] == LAST]
    zero, unknown = (demand(history=kept, gaps=gaps, method="ensemble") for gaps in ("zero", "unknown"))
    assert (zero.gaps, unknown.gaps) == ("zero", "unknown")
    assert zero.gap_days == unknown.gap_days == len(told) - len(kept)
    wednesdays = [
        np.mean([day.expected for day in answer.predictions if day.date.weekday() == 2]) for answer in (zero, unknown)
    ]
    assert wednesdays[0] < 1.5 < wednesdays[1]
    with pytest.raises(InvalidRequest, match="gaps"):
        demand(gaps="unknown")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0, "a few", None])
def test_a_quantity_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        DemandRequest.model_validate(
            {"product": "it", "history": [*days([1.0] * 30), {"date": LAST, "quantity": wrong}]}
        )


@pytest.mark.parametrize("day", [date(2026, 3, 4), date(9999, 12, 31), date(1, 1, 1)])
def test_a_date_that_cannot_be_is_refused(day: date) -> None:
    with pytest.raises(InvalidRequest, match=str(day)):
        demand(history=[*days([1.0] * 40), {"date": day, "quantity": 1.0}])


def test_today_may_be_in_a_history() -> None:
    answer = demand(history=days(weeks(20), last=date(2026, 3, 2)))
    assert answer.predictions[0].date == date(2026, 3, 3)
    assert answer.metrics.measured_on == "this product"


def test_too_many_rows_are_refused() -> None:
    row = {"date": LAST, "quantity": 1.0}
    with pytest.raises(ValidationError, match=f"at most {ROWS}"):
        DemandRequest.model_validate({"product": "it", "history": [row] * (ROWS + 1)})


def test_a_century_of_days_is_answered_by_its_last_years() -> None:
    answer = demand(history=days(weeks(5000)), horizon_days=7)
    assert answer.metrics.training_samples == 731


@pytest.mark.parametrize("value", [0.0, 7.0, 1e-9, 1e12])
def test_a_constant_is_foreseen(value: float) -> None:
    answer = demand(history=days([value] * 90), horizon_days=14)
    for day in answer.predictions:
        assert day.expected == pytest.approx(value, rel=1e-6, abs=1e-9)
        assert day.low <= day.expected <= day.high
    assert not answer.metrics.seasonality_detected
    assert (answer.metrics.mape is None) == (value == 0.0)
    assert answer.series.name == ("dead" if value == 0 else "smooth")


@pytest.mark.parametrize("place", [0, 45, 89])
@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_single_spike_is_answered(place: int, method: str) -> None:
    told = [0.0] * 90
    told[place] = 1000.0
    answer = demand(history=days(told), horizon_days=14, method=method)
    most = 4 * max(1000.0, *(day.expected for day in answer.predictions))
    assert all(0 <= day.low <= day.expected <= day.high <= most for day in answer.predictions)


@pytest.mark.row("I4")
def test_a_method_is_asked_for_by_name() -> None:
    for method in METHODS:
        answer = demand(history=days(weeks(20)), method=method, horizon_days=3)
        assert (answer.method, answer.why) == (method, f"{method} was asked for by name")
        assert set(answer.race) == {"weekly_naive", method}
    with pytest.raises(NotFound, match="there are auto, weekly_naive"):
        demand(history=days(weeks(20)), method="crystal_ball")


@pytest.mark.row("I6")
def test_the_errors_are_those_of_the_race_out_of_sample() -> None:
    told = weeks(30)
    answer = demand(history=days(told))
    mine = answer.race[answer.method]
    assert (answer.metrics.mape, answer.metrics.rmse) == (mine["mape"], mine["rmse"])
    assert answer.metrics.training_samples == len(told)
    assert answer.metrics.seasonality_detected
    assert answer.method == "ensemble"  # what has a lower error on so few outcomes has it by chance, and that is said
    least = min(answer.race, key=lambda name: answer.race[name]["rmse"])
    assert least == "ensemble" or f"{least} has the least rmse" in answer.why
    assert 2.0 < answer.metrics.rmse < 4.0  # the noise is Poisson's with a mean of 6.6


@pytest.mark.row("I6")
def test_an_error_in_per_cent_is_null_where_nothing_was_sold() -> None:
    metrics = demand(history=days([0.0] * 60)).metrics
    assert (metrics.mape, metrics.rmse) == (None, 0.0)


def test_what_the_time_did_not_allow_is_named() -> None:
    from dataclasses import replace

    hurried = replace(DEMAND, waiting=0.05)
    one = said(hurried, history=days(weeks(30)))
    assert isinstance(one, Prediction)
    assert "of the budget were left" in one.answer.skipped["theta"]  # type: ignore[attr-defined]
    assert "theta" not in one.answer.race  # type: ignore[attr-defined]


def test_the_same_request_has_the_same_answer() -> None:
    first, again = (demand(history=days(weeks(20))) for _ in range(2))
    assert first == again


def test_stored_movements_are_sales_less_returns_by_the_clock_of_the_tenant() -> None:
    from foretell.domains.inventory.features import lines
    from foretell.features.dates import EPOCH

    night = datetime(2026, 1, 1, 23, 30, tzinfo=UTC)  # in Berlin already the second
    history = world([
        ("it", night, 5.0, "sale"), ("it", night, 2.0, "return"), ("it", night, 99.0, "receipt"),
        ("it", night + timedelta(days=1), 1.0, "sale"), ("it", night + timedelta(days=1), 4.0, "return"),
        ("it", night + timedelta(days=2), 1.0, "sale"), ("it", night + timedelta(days=2), 0.0, "out_of_stock"),
        ("it", night + timedelta(days=4), 3.0, "sale"),
    ])  # fmt: skip
    line = lines(history)["it"]
    assert line.first == (date(2026, 1, 2) - EPOCH).days
    assert line.value.tolist()[:2] == [3.0, 0.0]
    assert np.isnan(line.value[2])
    assert line.value.tolist()[3:] == [0.0, 3.0]


def test_what_is_stored_is_forecast_from_today_on() -> None:
    noon = datetime(2025, 12, 1, 12, tzinfo=UTC)
    rows = [("it", noon + timedelta(days=k), value, "sale") for k, value in enumerate(weeks(12))]
    answer = demand(world(rows), horizon_days=5)
    assert answer.predictions[0].date == date(2026, 3, 2)
    assert answer.metrics.measured_on == "nothing"
    assert (answer.method, answer.why) == ("ensemble", "no model of inventory.demand has been trained yet")
