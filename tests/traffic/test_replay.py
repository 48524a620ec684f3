"""Simulated replicas against a slow oracle that goes measurement by measurement, and what the policies must keep."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.traffic import DAY, HOUR, history, local, metrics, utc

from foretell.contract import History, Past, Played, Replayed
from foretell.domains.traffic import LOAD
from foretell.domains.traffic.replay import FACTORS, play, subject
from foretell.domains.traffic.scaling import Rules, ScalingCalculator
from foretell.domains.traffic.schema import ReplayRequest, Service, Settings, WorkloadConfig
from foretell.engine.replay import replay
from foretell.errors import NotFound, NotReady
from foretell.features.grid import micros
from foretell.models.replicas import MINUTE, TARGETS, Decided, Load, figures, held, reactive, running

START = utc(2024, 1, 1)
ENTITY = "default/requests_per_minute"
NO_WAIT = Settings(hysteresis=0.0)
Values = st.lists(st.floats(0, 500), min_size=2, max_size=60)


def world(values: list[float], minutes: int = 60, **of: Any) -> History:
    """Values at regular intervals since `START`."""
    step = timedelta(minutes=minutes)
    rows = [(START + step * k, value) for k, value in enumerate(values)]
    return history(metrics(rows, lasting=step), START + step * len(values), **of)


def past(known: History, points: list[float], after: timedelta = timedelta(), *, ahead: int = 2) -> Past:
    """A past of which the forecasts are these: of so many hours ahead at each whole hour."""
    start = START + after
    asked = [(start + HOUR * k, start + HOUR * (k + j)) for k in range(len(points)) for j in range(ahead)]
    frame = pl.DataFrame(
        {"entity": ENTITY, "as_of": [a for a, _ in asked], "at": [b for _, b in asked]}
        | {"point": [points[min(k + j, len(points) - 1)] for k in range(len(points)) for j in range(ahead)]}
    )
    half = HOUR * (len(points) // 2)
    return Past(
        history=known, subject=ENTITY, ours=frame, baseline=frame, start=start, middle=start + half, end=known.now
    )


def load(values: list[float], minutes: int, capacity: float = 10.0) -> Load:
    rows = world(values, minutes)["metrics"]
    return Load(
        time=micros(rows["time"]), known=micros(rows["known_at"]), value=np.array(values), minutes=minutes,
        capacity=capacity,
    )  # fmt: skip


# ---------------------------------------------------------------- simulation


@settings(deadline=None, max_examples=60)
@given(
    values=Values, minutes=st.sampled_from([1, 5, 60]), lag=st.integers(0, 70),
    decided=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 50)), min_size=1, max_size=20),
)  # fmt: skip
def test_the_figures_are_those_of_going_step_by_step(
    values: list[float], minutes: int, lag: int, decided: list[tuple[int, int]]
) -> None:
    decided = sorted(dict(decided).items())
    there = load(values, minutes)
    at = np.array([there.time[0] + minute * MINUTE for minute, _ in decided])
    replicas = running(there, Decided(at=at, replicas=np.array([float(n) for _, n in decided])), lag)
    where = np.arange(len(values)) % 3 > 0
    hours = under = beyond = changes = 0.0
    before = None
    for k, value in enumerate(values):
        in_force = [n for minute, n in decided if minute + lag <= k * minutes]
        now = in_force[-1] if in_force else decided[0][1]
        if where[k]:
            hours += now * minutes / 60
            short = value - now * 10.0
            under += minutes if short > 1e-8 else 0
            beyond += short * minutes if short > 1e-8 else 0
            changes += before not in (None, now)
        before = now
    told = figures(there, replicas, 0.5, where)
    wanted = {"cost": hours / 2, "replica_hours": hours, "minutes_under": under, "requests_under": beyond}
    assert told == pytest.approx({**wanted, "changes": changes})


@settings(deadline=None, max_examples=60)
@given(points=Values, factor=st.sampled_from(FACTORS), hysteresis=st.sampled_from([0.0, 0.1, 0.5]))
def test_ours_follows_the_formula_of_the_recommendation(points: list[float], factor: float, hysteresis: float) -> None:
    known = world([*points, points[-1]], settings=Settings(safety_factor=factor, hysteresis=hysteresis))
    told = play(ReplayRequest(capacity_per_pod=10, startup_minutes=0), past(known, points))
    rules = Rules(scale_in="forecast", hysteresis=hysteresis)
    now, changes, hours = 0, 0, 0
    for k, pair in enumerate(zip(points, [*points[1:], points[-1]], strict=True)):
        config = WorkloadConfig(current_replicas=now or 1, capacity_per_pod=10)
        before, calculator = now, ScalingCalculator(factor, rules)
        now = calculator.calculate_scaling(list(pair), config).recommended_replicas
        changes += before != now and k > 0
        hours += now
    ours = named(told, f"forecast, factor {factor:g}, in hourly")
    assert ours["replica_hours"] == hours + now  # one measurement after the last decision
    assert ours["changes"] == changes


def named(told: Played, name: str, part: Any = "whole") -> dict[str, float]:
    return dict(next(policy for policy in told.policies if policy.name == name).figures[part])


@settings(deadline=None, max_examples=30)
@given(values=st.lists(st.floats(0, 490), min_size=48, max_size=96))
def test_a_perfect_forecast_is_never_under_capacity(values: list[float]) -> None:
    told = play(ReplayRequest(capacity_per_pod=10, startup_minutes=0), past(world(values), values, ahead=1))
    for rule in ("hourly", "daily"):
        assert named(told, f"forecast, factor 1, in {rule}")["minutes_under"] == 0


@settings(deadline=None, max_examples=30)
@given(values=Values, seed=st.integers(0, 99))
def test_a_greater_factor_never_saves_replicas_nor_takes_more_risk(values: list[float], seed: int) -> None:
    points = (np.array(values) * np.random.default_rng(seed).uniform(0.5, 1.5, len(values))).tolist()
    told = play(ReplayRequest(capacity_per_pod=10), past(world(values, settings=NO_WAIT), points))
    for rule in ("hourly", "daily"):
        rising = [named(told, f"forecast, factor {factor:g}, in {rule}") for factor in FACTORS]
        for less, more in pairwise(rising):
            assert less["replica_hours"] <= more["replica_hours"]
            assert less["minutes_under"] >= more["minutes_under"]
            assert less["requests_under"] >= more["requests_under"]


def test_in_daily_replicas_go_at_nine_on_the_tenants_clock() -> None:
    points = [100.0 if k % 24 == 20 else 20.0 for k in range(72)]
    known = world(points, zone="Asia/Riyadh")
    nine = [local("Asia/Riyadh", 2024, 1, day, 9) for day in (1, 2, 3)]
    wanted = held([math.ceil(p / 10) for p in points], [START + HOUR * k in nine for k in range(72)], 0.1)
    told = play(ReplayRequest(capacity_per_pod=10, startup_minutes=0), past(known, points, ahead=1))
    ours = named(told, "forecast, factor 1, in daily")
    assert ours["replica_hours"] == wanted.sum()
    assert wanted.tolist()[20:31] == [10.0] * 10 + [2.0]
    assert ours["changes"] == 5


# ---------------------------------------------------------------- the reactive rule


def autoscaled(values: list[float], minutes: int, target: float, least: int, most: int) -> list[int]:
    """Kubernetes' rule as its documents tell it: every recommendation kept, those of five minutes looked through."""
    replicas = min(max(math.ceil(round(values[0] / (10 * target), 9)), least), most)
    recommended: list[tuple[int, int]] = []
    out = []
    for k, value in enumerate(values):
        ratio = value / (replicas * 10) / target
        desired = replicas if abs(ratio - 1) <= 0.1 + 1e-9 else math.ceil(round(replicas * ratio, 9))
        desired = min(max(desired, least), most)
        recommended.append((k * minutes, desired))
        window = [n for minute, n in recommended if minute >= k * minutes - 5]
        replicas = desired if desired > replicas else min(replicas, max(window))
        out.append(replicas)
    return out


@settings(deadline=None, max_examples=100)
@given(values=Values, minutes=st.sampled_from([1, 2, 5, 60]), target=st.sampled_from(TARGETS))
def test_the_reactive_rule_is_that_of_kubernetes(values: list[float], minutes: int, target: float) -> None:
    there = load(values, minutes)
    decided = reactive(there, target, 2, 40)
    assert decided.replicas.tolist() == autoscaled(values, minutes, target, 2, 40)
    assert (decided.at == there.known).all()


def test_it_goes_out_at_once_comes_in_after_five_minutes_and_rests_within_a_tenth() -> None:
    values = [70.0, 140.0, *[70.0] * 8, 76.0, 64.0, 78.0]
    decided = reactive(load(values, 1), 0.7, 1, 50)
    assert decided.replicas.tolist() == [10, 20, 20, 20, 20, 20, 20, 10, 10, 10, 10, 10, 12]


# ---------------------------------------------------------------- the world


def test_the_tenants_settings_make_the_world() -> None:
    own = Service(capacity_per_pod=20, cost_per_replica_hour=2, min_replicas=3, max_replicas=9)
    known = world([100.0] * 48, settings=Settings(services={"default": own}, hourly_cost_cap=15))
    told = play(ReplayRequest(), past(known, [100.0] * 24, DAY))
    assert told.assumed == {
        "capacity_per_pod": 20, "cost_per_replica_hour": 2, "startup_minutes": 5, "min_replicas": 3,
        "max_replicas": 7, "minutes_a_measurement": 60,
    }  # fmt: skip
    assert named(told, "forecast, factor 3, in hourly")["cost"] == 24 * 7 * 2
    told = play(ReplayRequest(capacity_per_pod=50, cost_per_replica_hour=1), past(known, [100.0] * 24, DAY))
    assert told.assumed["capacity_per_pod"] == 50
    assert named(told, "fixed, 3 replicas", "later")["cost"] == 12 * 3


def test_without_a_capacity_the_usual_load_before_needs_ten_replicas() -> None:
    known = world([100.0] * 24 + [300.0] * 24)
    assert play(ReplayRequest(), past(known, [300.0] * 24, DAY)).assumed["capacity_per_pod"] == 10
    with pytest.raises(NotReady, match="name capacity_per_pod"):
        play(ReplayRequest(), past(world([0.0] * 24 + [300.0] * 24), [300.0] * 24, DAY))
    with pytest.raises(NotReady, match="no measurements"):
        play(ReplayRequest(), past(world([1.0] * 24), [300.0] * 24, DAY))


def test_without_a_forecast_what_runs_goes_on() -> None:
    values = [100.0] * 24
    known = past(world(values), values)
    silent = pl.when(known.ours["as_of"].dt.hour() >= 6).then(None).otherwise("point")
    dumb = Past(**{**vars(known), "ours": known.ours.with_columns(point=silent)})
    request = ReplayRequest(capacity_per_pod=10)
    assert play(request, dumb) == play(request, known)


def test_a_measurement_that_comes_after_a_newer_one_moves_nothing() -> None:
    rows = [(START + HOUR * k, 100.0, START + HOUR * (k + 1)) for k in range(48)]
    rows[30] = (START + HOUR * 30, 200.0, START + HOUR * 40)
    known = past(history(metrics(rows), START + 2 * DAY), [100.0] * 24, DAY)
    told = play(ReplayRequest(capacity_per_pod=10), known)
    assert named(told, "reactive, target 0.5")["replica_hours"] == 24 * 20


def test_the_service_is_named_unless_it_is_the_only_one() -> None:
    one, two = metrics([(START, 1.0)]), metrics([(START, 1.0)], service="shop/eu")
    both = history(pl.concat([one, two.with_columns(entity=pl.lit("shop%2Feu/requests_per_minute"))]), START + HOUR)
    assert subject(ReplayRequest(), history(one, START + HOUR)) == ENTITY
    assert subject(ReplayRequest(service="shop/eu"), both) == "shop%2Feu/requests_per_minute"
    for request in (ReplayRequest(), ReplayRequest(service="shop"), ReplayRequest(metric_type="cpu_usage")):
        with pytest.raises(NotFound, match="name a service"):
            subject(request, both)


# ---------------------------------------------------------------- the whole


def _weeks(change: float = 1.0, after: datetime | None = None) -> History:
    """Six weeks of a daily shape, every quarter of an hour; after a moment `change` times as much."""
    rng = np.random.default_rng(3)
    rows = []
    for k in range(6 * 7 * 96):
        moment = START + timedelta(minutes=15) * k
        value = 100 + 60 * math.sin(k / 96 * 2 * math.pi) + 10 * rng.normal()
        late = after is not None and moment >= after
        rows.append((moment, max(0.0, value * (change if late else 1.0))))
    return history(metrics(rows, lasting=timedelta(minutes=15)), START + 42 * DAY)


def _replayed(known: History) -> Replayed:
    return replay(LOAD, known, "seasonal_baseline")


def test_the_later_half_changes_neither_choice_nor_earlier_figures() -> None:
    one = _replayed(_weeks())
    two = _replayed(_weeks(2.5, one.middle))
    assert one.chosen == two.chosen
    assert one.assumed == two.assumed
    earlier = {policy.name: policy.figures["earlier"] for policy in two.policies}
    for policy in one.policies:
        if policy.name in earlier:
            assert earlier[policy.name] == policy.figures["earlier"]
    assert one.policy(one.chosen).figures["later"] != two.policy(two.chosen).figures["later"]


def test_a_manager_reads_one_line() -> None:
    told = _replayed(_weeks())
    ours = told.policy(told.chosen).figures["later"]
    assert told.line.startswith(
        f"{told.middle:%d %b %Y} to 12 Feb 2024, chosen before: {told.chosen}: cost {ours['cost']:,.0f} and "
        f"{ours['minutes_under']:,.0f} minutes under capacity; nearest in cost: weekly_naive, factor "
    )
    for other in ("; reactive, target 0.", "; fixed, "):
        assert other in told.line
    assert {policy.family for policy in told.policies} == {"forecast", "weekly_naive", "fixed", "reactive"}
    for policy in told.policies:
        earlier, later, whole = (policy.figures[part] for part in ("earlier", "later", "whole"))
        assert {name: earlier[name] + later[name] for name in told.units} == pytest.approx(dict(whole))
