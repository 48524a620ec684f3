"""Replicas under a tenant's rules: never past a bound, never fewer for a higher forecast, and the reason is true."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.traffic import MINUTE, utc

from foretell.contract import Approved, Standpoint
from foretell.domains.traffic.scaling import Rules, ScalingCalculator, workload
from foretell.domains.traffic.schema import (
    MetricType,
    ScalingRecommendation,
    Service,
    Settings,
    WorkloadConfig,
)
from foretell.errors import InvalidRequest

NOW = utc(2026, 3, 4, 10)
FORMULA = Rules(scale_in="forecast")


def config(current: int = 10, capacity: float | None = 50.0, cost: float | None = 0.05) -> WorkloadConfig:
    return WorkloadConfig(
        service_name="donation-api", current_replicas=current, capacity_per_pod=capacity, cost_per_replica_hour=cost
    )


def scaled(
    peak: float, current: int = 10, rules: Rules = FORMULA, *, factor: float = 3.0, cost: float = 0.05, **more: Any
) -> ScalingRecommendation:
    return ScalingCalculator(factor, rules).calculate_scaling([peak], config(current, cost=cost), **more)


def cooling(until: datetime = NOW + 3 * MINUTE, **more: Any) -> Rules:
    return Rules(settled=until, approved=until - 5 * MINUTE, **more)


# ---------------------------------------------------------------- the formula


@pytest.mark.row("T8")
@pytest.mark.parametrize(
    ("predictions", "replicas", "cost", "reason"),
    [
        ([180, 220, 250, 200], 15, 0.25, "Predicted surge from 150 to 250 requests/min (Iftar within 2 hours)"),
        ([180, 220, 280, 240], 18, 0.40, "Predicted surge from 150 to 280 requests/min (Iftar within 2 hours)"),
    ],
)
def test_the_documents_examples_to_the_cent(predictions: list[float], replicas: int, cost: float, reason: str) -> None:
    said = ScalingCalculator().calculate_scaling(
        predictions, config(), current_traffic=150.0, trigger="iftar_approaching"
    )
    assert said.model_dump() == {
        "current_replicas": 10,
        "recommended_replicas": replicas,
        "cost_impact_hourly": cost,
        "reason": reason,
        "triggered_by": "iftar_approaching",
        "requires_approval": True,
    }


def test_who_takes_replicas_away_speaks_of_no_surge() -> None:
    said = ScalingCalculator(1).calculate_scaling([120.0], config(), current_traffic=115.0)
    assert said.reason == "Predicted peak of 120 requests/min, 115 now, needs fewer replicas"
    assert said.recommended_replicas < said.current_replicas


@pytest.mark.row("T8")
@pytest.mark.parametrize(
    ("peak", "factor", "replicas"),
    [(0.0, 3, 1), (0.001, 1, 1), (50.0, 1, 1), (50.1, 1, 2), (50.0, 1.5, 2), (101.0, 1.5, 5), (1e12, 1, 50)],
)
def test_rounded_up_twice_with_a_floor_of_1_and_a_cap_of_50(peak: float, factor: float, replicas: int) -> None:
    assert scaled(peak, factor=factor).recommended_replicas == replicas


@pytest.mark.row("T8")
def test_a_cap_that_bites_is_told_with_what_would_be_needed() -> None:
    said = scaled(1000.0, 50)
    assert (said.recommended_replicas, said.cost_impact_hourly) == (50, 0.0)
    assert "60 replicas would be needed at a safety factor of 3, 50 is the most" in said.reason
    assert "the most" not in scaled(800.0).reason


def test_nothing_of_the_reason_is_there_twice_or_empty() -> None:
    assert scaled(280.0).reason == "Predicted peak of 280 requests/min"
    assert scaled(280.0, current_traffic=280.0).reason.endswith("not above the current 280")


def test_without_a_capacity_the_line_to_type_is_told() -> None:
    with pytest.raises(InvalidRequest, match="foretell settings set traffic 'services="):
        ScalingCalculator().calculate_scaling([1.0], config(capacity=None))


def test_a_replica_costs_five_cents_where_nobody_says() -> None:
    assert ScalingCalculator().calculate_scaling([280.0], config(cost=None)).cost_impact_hourly == 0.4


# ---------------------------------------------------------------- properties

COST = st.one_of(st.sampled_from([0.05, 0.1, 0.3, 1.0, 1e6]), st.floats(1e-4, 1e3))
EACH = st.fixed_dictionaries(
    {
        "least": st.integers(1, 50),
        "most": st.integers(1, 50),
        "cost_cap": st.one_of(st.none(), st.floats(0.01, 100.0)),
        "scale_in": st.sampled_from(["never", "forecast"]),
        "hysteresis": st.sampled_from([0.0, 0.1, 0.5, 0.99]),
        "cooling": st.booleans(),
    }
)


def ruled(told: dict[str, Any]) -> Rules:
    told = dict(told)
    rules = cooling() if told.pop("cooling") else Rules()
    told["least"], told["most"] = sorted((told["least"], told["most"]))
    return replace(rules, **told)


@pytest.mark.row("T8")
@settings(max_examples=400)
@given(
    told=EACH, current=st.integers(1, 50), cost=COST, factor=st.floats(1, 10),
    peaks=st.lists(st.floats(0, 1e5), min_size=2, max_size=8),
)  # fmt: skip
def test_within_every_bound_and_never_fewer_for_more(
    told: dict[str, Any], current: int, cost: float, factor: float, peaks: list[float]
) -> None:
    rules = ruled(told)
    cap = math.inf if rules.cost_cap is None else rules.cost_cap
    try:
        said = [scaled(peak, current, rules, factor=factor, cost=cost) for peak in sorted(peaks)]
    except InvalidRequest as error:
        said, refused = [], str(error)
    if not said:
        assert rules.least * cost > cap
        assert "foretell settings set traffic hourly_cost_cap=" in refused
    for one in said:
        assert rules.least <= one.recommended_replicas <= rules.most
        assert one.recommended_replicas * cost <= cap * (1 + 1e-6) + 1e-9
        assert one.cost_impact_hourly == pytest.approx((one.recommended_replicas - current) * cost, abs=5.1e-5)
        assert one.current_replicas == current
    assert all(low.recommended_replicas <= high.recommended_replicas for low, high in pairwise(said))


@settings(max_examples=200)
@given(told=EACH, current=st.integers(1, 50), peak=st.floats(0, 1e5))
def test_a_rule_that_never_takes_away_takes_away_only_what_a_bound_forbids(
    told: dict[str, Any], current: int, peak: float
) -> None:
    rules = replace(ruled(told), scale_in="never", cost_cap=None)
    said = scaled(peak, current, rules).recommended_replicas
    assert said >= min(current, rules.most)


@pytest.mark.parametrize("cost", [5e-324, 1e-300, 1e-9])
def test_a_price_of_next_to_nothing_is_never_over_a_cap(cost: float) -> None:
    assert scaled(280.0, 10, Rules(cost_cap=1e9), cost=cost).recommended_replicas == 18


# ---------------------------------------------------------------- the cost cap


@pytest.mark.row("T8")
@pytest.mark.parametrize(("cap", "replicas"), [(0.9, 18), (0.89, 17), (0.5, 10), (0.3, 6), (0.05, 1)])
def test_the_cost_cap_bounds_the_total_of_an_hour(cap: float, replicas: int) -> None:
    said = scaled(280.0, 10, Rules(cost_cap=cap))
    assert said.recommended_replicas == replicas
    assert ("cost cap" in said.reason) == (replicas < 18)
    assert said.cost_impact_hourly == pytest.approx((replicas - 10) * 0.05)


def test_a_cost_cap_below_the_least_says_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match=r"0\.1 an hour does not pay for 3 replicas at 0\.05; an admin can raise"):
        scaled(280.0, 10, Rules(cost_cap=0.1, least=3))


def test_the_tighter_of_two_bounds_is_named() -> None:
    assert "8 is the most" in scaled(280.0, 10, Rules(cost_cap=0.5, most=8)).reason
    assert "the cost cap pays for 10" in scaled(280.0, 10, Rules(cost_cap=0.5, most=12)).reason


# ---------------------------------------------------------------- scale-in and hysteresis


@pytest.mark.row("T8")
def test_our_own_path_takes_none_away_on_a_forecast_alone() -> None:
    said = scaled(10.0, 10, Rules(scale_in="never"))
    assert (said.recommended_replicas, said.cost_impact_hourly) == (10, 0.0)
    assert "3 would do, but none is taken away on a forecast alone" in said.reason
    assert scaled(280.0, 10, Rules(scale_in="never")).recommended_replicas == 18


@pytest.mark.row("T8")
@pytest.mark.parametrize(("current", "hysteresis", "said"), [
    (19, 0.1, 19), (20, 0.1, 18), (21, 0.1, 18), (36, 0.5, 18), (35, 0.5, 35), (17, 0.5, 18), (19, 0.0, 18),
])  # fmt: skip
def test_a_few_fewer_are_left_alone(current: int, hysteresis: float, said: int) -> None:
    """18 are needed; 18 of 20 is a tenth fewer, which is enough."""
    told = scaled(280.0, current, Rules(hysteresis=hysteresis))
    assert told.recommended_replicas == said
    assert ("fewer" in told.reason) == (said == current)


def test_what_a_bound_takes_away_is_not_called_needed() -> None:
    """Three would do: that the twenty that run are past a bound does not make them needed."""
    said = scaled(10.0, 20, Rules(scale_in="never", cost_cap=0.5))
    assert said.recommended_replicas == 10
    assert "20 replicas would be needed" not in said.reason
    said = scaled(10.0, 20, Rules(scale_in="never", most=8))
    assert said.recommended_replicas == 8
    assert "20 replicas would be needed" not in said.reason


# ---------------------------------------------------------------- cooldown


@pytest.mark.row("T8")
@pytest.mark.parametrize("peak", [10.0, 280.0])
def test_while_a_change_settles_nothing_else_is_recommended(peak: float) -> None:
    said = scaled(peak, 10, cooling())
    assert said.recommended_replicas == 10
    assert "a change was approved at 09:58 UTC: not before 10:03" in said.reason


def test_what_would_not_change_anyway_says_nothing_of_the_cooldown() -> None:
    assert "approved" not in scaled(280.0, 18, cooling()).reason


def test_at_the_most_there_is_nothing_that_the_cooldown_hinders() -> None:
    """50 run, more there can't be: without the cooldown nothing would be recommended either."""
    assert "would be recommended" not in scaled(1000.0, 50, cooling()).reason


def test_no_more_than_the_most_would_be_recommended() -> None:
    assert "60 replicas would be recommended" not in scaled(1000.0, 10, cooling()).reason


def standing(own: Settings, ago: Any = None, service: str = "donation-api", now: datetime = NOW) -> Standpoint:
    action = {"from_replicas": 10, "to_replicas": 18, "cost_per_replica_hour": 0.05}
    approved = {} if ago is None else {service: Approved(at=now - ago, action=action)}
    return Standpoint(tenant="t", now=now, zone="Asia/Riyadh", settings=own, approved=approved)


@pytest.mark.row("T8")
@pytest.mark.parametrize(("minutes", "ago", "settles"), [
    (5, 0, True), (5, 4.99, True), (5, 5, False), (0, 0, False), (1440, 1439, True), (5, None, False),
])  # fmt: skip
def test_the_cooldown_counts_from_the_last_approved_change(minutes: int, ago: float | None, settles: bool) -> None:
    stood = standing(Settings(cooldown_minutes=minutes), None if ago is None else ago * MINUTE)
    assert (Rules.of(stood, Settings(cooldown_minutes=minutes), "donation-api", "never").settled is not None) == settles


def test_the_cooldown_is_that_of_the_service_alone_and_five_minutes_unless_told() -> None:
    assert Settings().cooldown_minutes == 5
    stood = standing(Settings(), MINUTE)
    assert Rules.of(stood, Settings(), "donation-api", "never").settled == NOW + 4 * MINUTE
    assert Rules.of(stood, Settings(), "checkout", "never").settled is None


# ---------------------------------------------------------------- settings

RPM: MetricType = "requests_per_minute"


def test_a_service_has_its_own_bounds_and_the_request_comes_first() -> None:
    own = Settings(
        services={"api": Service(capacity_per_pod=20, cost_per_replica_hour=0.2, min_replicas=3, max_replicas=7)}
    )
    rules = Rules.of(standing(own), own, "api", "never")
    assert (rules.least, rules.most) == (3, 7)
    told = workload(WorkloadConfig(current_replicas=4), own, "api", RPM)
    assert told == WorkloadConfig(
        service_name="api", current_replicas=4, capacity_per_pod=20, cost_per_replica_hour=0.2
    )
    assert workload(config(), own, "api", RPM) == config()
    mine = WorkloadConfig(current_replicas=4, capacity_per_pod=9, service_name="api")
    assert workload(mine, own, "other", RPM).capacity_per_pod == 9
    assert workload(mine, own, "other", RPM).cost_per_replica_hour == 0.2
    assert workload(WorkloadConfig(current_replicas=4), Settings(), "other", RPM).cost_per_replica_hour == 0.05


def test_a_capacity_for_requests_says_nothing_about_memory() -> None:
    own = Settings(services={"api": Service(capacity_per_pod=20, cost_per_replica_hour=0.2)})
    told = workload(WorkloadConfig(current_replicas=4), own, "api", "memory_usage")
    assert (told.capacity_per_pod, told.cost_per_replica_hour) == (None, 0.2)


@pytest.mark.parametrize("values", [
    {"services": {"a": {"min_replicas": 4, "max_replicas": 3}}}, {"services": {"a": {"max_replicas": 51}}},
    {"services": {"a": {"min_replicas": 0}}}, {"services": {"a": {"capacity_per_pod": 0}}}, {"services": {"": {}}},
    {"services": {"a": {"cpu": 1}}}, {"hourly_cost_cap": 0}, {"hourly_cost_cap": math.nan}, {"scale_in": "always"},
    {"cooldown_minutes": -1}, {"cooldown_minutes": 1441}, {"hysteresis": 1}, {"hysteresis": -0.1},
    {"safety_factor": 0.99}, {"safety_factor": math.inf}, {"country": "tr"}, {"latitude": 91}, {"nothing": 1},
])  # fmt: skip
def test_settings_that_can_not_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Settings.model_validate(values)


@pytest.mark.row("T8")
@pytest.mark.parametrize(("rule", "path", "scale_in", "hysteresis"), [
    (None, "never", "never", 0.0), (None, "forecast", "forecast", 0.0),
    ("never", "forecast", "never", 0.3), ("forecast", "never", "forecast", 0.3),
])  # fmt: skip
def test_the_tenants_rule_goes_before_that_of_the_path(rule: Any, path: Any, scale_in: str, hysteresis: float) -> None:
    own = Settings(scale_in=rule, hysteresis=0.3)
    rules = Rules.of(standing(own), own, "api", path)
    assert (rules.scale_in, rules.hysteresis) == (scale_in, hysteresis)
