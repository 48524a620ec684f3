"""Triggers at their edges, confidence factor by factor, replicas to the cent."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date, datetime, timedelta
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.traffic import DAY, HOUR, MINUTE, history, local, metrics, utc

from foretell import Forecast, Frame
from foretell.contract import Floats
from foretell.domains.traffic import decide
from foretell.domains.traffic.calendars import trigger
from foretell.domains.traffic.confidence import ConfidenceScorer
from foretell.domains.traffic.scaling import ScalingCalculator
from foretell.domains.traffic.schema import LoadAnswer, LoadRequest, Settings, WorkloadConfig
from foretell.errors import NotReady
from foretell.features.place import place

# ---------------------------------------------------------------- triggers

MECCA = Settings(latitude=21.4225, longitude=39.8262)
RIYADH = "Asia/Riyadh"


def at(moment: datetime, zone: str = RIYADH, own: Settings = MECCA) -> str | None:
    return trigger(moment, zone, place(zone, own))


@pytest.mark.row("T7")
@pytest.mark.parametrize(
    ("clock", "name"),
    [
        ("00:30", None),
        ("03:16", None),
        ("03:17", "suhoor_window"),  # Fajr 05:17
        ("05:16", "suhoor_window"),
        ("05:17", None),
        ("12:00", None),
        ("16:28", None),
        ("16:29", "iftar_approaching"),  # Maghrib 18:29
        ("18:28", "iftar_approaching"),
        ("18:29", None),
        ("20:28", None),
        ("20:29", "taraweeh"),  # Isha 20:29
        ("22:28", "taraweeh"),
        ("22:29", None),
    ],
)
def test_the_first_fast_in_mecca_minute_by_minute(clock: str, name: str | None) -> None:
    """2024-03-11: the published times are 05:17, 18:29, 20:29."""
    hour, minute = map(int, clock.split(":"))
    assert at(local(RIYADH, 2024, 3, 11, hour, minute)) == name


@pytest.mark.row("T7")
def test_the_eve_has_taraweeh_and_suhoor_and_no_iftar() -> None:
    assert at(local(RIYADH, 2024, 3, 10, 17, 30)) is None
    assert at(local(RIYADH, 2024, 3, 10, 21)) == "taraweeh"
    assert at(local(RIYADH, 2024, 3, 11, 4)) == "suhoor_window"
    assert at(local(RIYADH, 2024, 3, 10, 4)) is None


@pytest.mark.row("T7")
def test_the_last_day_has_iftar_and_no_taraweeh() -> None:
    assert at(local(RIYADH, 2024, 4, 9, 4)) == "suhoor_window"
    assert at(local(RIYADH, 2024, 4, 9, 17, 30)) == "iftar_approaching"
    assert at(local(RIYADH, 2024, 4, 8, 21, 30)) == "taraweeh"
    assert at(local(RIYADH, 2024, 4, 9, 21, 30)) is None
    assert at(local(RIYADH, 2024, 4, 10, 4)) is None
    assert at(local(RIYADH, 2024, 4, 10, 17, 30)) is None


@pytest.mark.row("T7")
def test_taraweeh_goes_on_past_midnight_where_isha_is_late() -> None:
    """Istanbul in June 2017: Isha at 22:36, Fajr before 03:30."""
    zone = "Europe/Istanbul"
    assert at(local(zone, 2017, 6, 10, 0, 10), zone, Settings()) == "taraweeh"
    assert at(local(zone, 2017, 6, 10, 1, 0), zone, Settings()) is None
    assert at(local(zone, 2017, 6, 10, 2, 30), zone, Settings()) == "suhoor_window"
    assert at(local(zone, 2017, 6, 24, 0, 10), zone, Settings()) == "taraweeh"
    assert at(local(zone, 2017, 6, 25, 0, 10), zone, Settings()) is None
    assert at(local(zone, 2017, 5, 26, 23, 0), zone, Settings()) == "taraweeh"
    assert at(local(zone, 2017, 5, 26, 0, 10), zone, Settings()) is None


@pytest.mark.row("T7")
@pytest.mark.parametrize(("zone", "own"), [(RIYADH, MECCA), ("UTC", Settings()), ("Asia/Kolkata", Settings())])
def test_each_trigger_lasts_two_hours_a_day_in_ramadan(zone: str, own: Settings) -> None:
    start = local(zone, 2024, 3, 20, 12)
    seen = Counter(at(start + MINUTE * k, zone, own) for k in range(24 * 60))
    assert seen["taraweeh"] == 120
    assert abs(seen["iftar_approaching"] - 120) <= 2  # sunset moves from day to day
    assert abs(seen["suhoor_window"] - 120) <= 2


@pytest.mark.row("T7")
def test_no_trigger_outside_ramadan() -> None:
    zone = "Europe/Istanbul"
    for first, days in ((date(2024, 1, 10), 60), (date(2024, 4, 10), 60)):
        start = local(zone, first.year, first.month, first.day)
        here = place(zone, Settings())
        assert {trigger(start + timedelta(minutes=40) * k, zone, here) for k in range(36 * days)} == {None}


# ---------------------------------------------------------------- confidence

FACTORS = {"history", "freshness", "completeness", "stability", "regularity", "band"}


def steady(level: float = 100.0) -> Floats:
    """Six weeks, newest first, the same day again and again."""
    hour = np.arange(42 * 24)
    past: Floats = level * (1 + 0.5 * np.sin(hour / 24 * 2 * np.pi))
    return past


def rows(point: float = 100.0, half: float = 10.0) -> Frame:
    points = np.array([0.8, 1.0, 0.9, 0.7]) * point
    return pl.DataFrame({"point": points, "q10": points - half, "q50": points, "q90": points + half})


def factors(past: Floats, said: Frame | None = None) -> dict[str, float]:
    return ConfidenceScorer().factors(past, rows() if said is None else said)


@pytest.mark.row("T5")
def test_six_named_factors_and_a_score_between_them() -> None:
    best = factors(steady(), rows(half=0.0))
    assert set(best) == FACTORS
    assert all(factor == pytest.approx(1.0) for factor in best.values())
    assert ConfidenceScorer().score(best) == pytest.approx(1.0)
    assert ConfidenceScorer().score(dict.fromkeys(FACTORS, 0.0)) == 0.0
    for name in FACTORS:
        assert ConfidenceScorer().score({**best, name: 0.0}) < 0.9, "each factor counts"


def fresh_gone(past: Floats) -> Floats:
    return np.concatenate((np.full(6, np.nan), past[:-6]))


def with_gaps(past: Floats) -> Floats:
    out = past.copy()
    out[3:168:4] = np.nan
    return out


def noisy(past: Floats, until: int) -> Floats:
    out = past.copy()
    out[:until] *= np.random.default_rng(1).lognormal(0, 0.5, until)
    return out


def short(past: Floats) -> Floats:
    out = past.copy()
    out[20 * 24 :] = np.nan
    return out


@pytest.mark.row("T5")
@pytest.mark.parametrize(
    ("worse", "name"),
    [
        (fresh_gone(steady()), "freshness"),
        (with_gaps(steady()), "completeness"),
        (noisy(steady(), 24), "stability"),
        (noisy(steady(), 168), "regularity"),
        (short(steady()), "history"),
    ],
    ids=["older", "gaps", "restless", "irregular", "short"],
)
def test_what_makes_a_forecast_doubtful_lowers_its_factor_and_the_score(worse: Floats, name: str) -> None:
    good, bad = factors(steady()), factors(worse)
    assert bad[name] < good[name] - 0.02
    assert ConfidenceScorer().score(bad) < ConfidenceScorer().score(good)


@pytest.mark.row("T5")
def test_the_worse_it_is_the_lower_the_factor() -> None:
    past = steady()
    older = [factors(np.concatenate((np.full(k, np.nan), past[: len(past) - k])))["freshness"] for k in range(26)]
    assert older == sorted(older, reverse=True)
    assert older[0] == 1.0
    assert older[24] == 0.0
    bands = [factors(past, rows(half=half))["band"] for half in (0, 10, 30, 60, 100, 500)]
    assert bands == pytest.approx([15 / (15 + half) for half in (0, 10, 30, 60, 100, 500)], abs=1e-4)
    lengths = [factors(np.where(np.arange(1008) < 24 * d, past, np.nan))["history"] for d in (0, 7, 21, 42)]
    assert lengths == pytest.approx([0, 1 / 6, 1 / 2, 1], abs=0.001)
    gaps = [factors(np.where(np.arange(1008) % 10 < k, np.nan, past))["completeness"] for k in range(10)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[5] == pytest.approx(0.5, abs=0.02)


@pytest.mark.row("T5")
@settings(max_examples=150)
@given(
    seed=st.integers(0, 1000),
    gone=st.floats(0, 1),
    level=st.sampled_from([0.0, 1e-9, 1.0, 1e9]),
    point=st.sampled_from([0.0, 1e-6, 100.0, 1e9]),
    half=st.sampled_from([0.0, 1.0, 1e12]),
)
def test_factors_stay_between_0_and_1_whatever_comes(
    seed: int, gone: float, level: float, point: float, half: float
) -> None:
    random = np.random.default_rng(seed)
    past = np.where(random.random(1008) < gone, np.nan, level * random.exponential(1, 1008))
    said = factors(past, rows(point, half))
    assert set(said) == FACTORS
    assert all(0 <= factor <= 1 for factor in said.values())
    assert 0 <= ConfidenceScorer().score(said) <= 1


def test_confidence_does_not_depend_on_the_unit() -> None:
    past = noisy(steady(), 200)
    assert factors(past) == pytest.approx(factors(past * 1000, rows(100_000.0, 10_000.0)), abs=1e-3)


# ---------------------------------------------------------------- replicas


def config(current: int = 10, capacity: float = 50.0, cost: float = 0.05) -> WorkloadConfig:
    return WorkloadConfig(
        service_name="donation-api", current_replicas=current, capacity_per_pod=capacity, cost_per_replica_hour=cost
    )


def test_the_documents_two_examples_to_the_cent() -> None:
    """ceil(250 / 50) x 3 = 15 and ceil(280 / 50) x 3 = 18, against 10 replicas of 0.05."""
    one = ScalingCalculator().calculate_scaling(
        predictions=[180, 220, 250, 200], config=config(), current_traffic=150.0, trigger="iftar_approaching"
    )
    assert (one.recommended_replicas, one.cost_impact_hourly) == (15, 0.25)
    assert one.reason.startswith("Predicted surge from 150 to 250 requests/min")
    assert one.triggered_by == "iftar_approaching"
    two = ScalingCalculator().calculate_scaling(
        predictions=[180, 220, 280, 240], config=config(), current_traffic=150.0, trigger="iftar_approaching"
    )
    assert (two.recommended_replicas, two.cost_impact_hourly) == (18, 0.4)
    assert two.reason.startswith("Predicted surge from 150 to 280 requests/min (Iftar")
    assert two.requires_approval is True
    plain = ScalingCalculator().calculate_scaling(predictions=[180, 220, 250, 200], config=config())
    assert (plain.recommended_replicas, plain.cost_impact_hourly) == (15, 0.25)


def test_at_least_one_replica_and_at_most_fifty() -> None:
    calculator = ScalingCalculator()
    none = calculator.calculate_scaling([0.0, 0.0], config(current=10))
    assert (none.recommended_replicas, none.cost_impact_hourly) == (1, -0.45)
    many = calculator.calculate_scaling([1e6], config(current=50))
    assert (many.recommended_replicas, many.cost_impact_hourly) == (50, 0.0)
    assert "60000" in many.reason.replace(",", "")
    assert "50" in many.reason


def test_reasons_say_from_to_and_cause() -> None:
    calculator = ScalingCalculator()
    falling = calculator.calculate_scaling([80, 90], config(), current_traffic=150.0)
    assert "surge" not in falling.reason
    assert "90" in falling.reason
    assert "150" in falling.reason
    for name, word in (("taraweeh", "Taraweeh"), ("suhoor_window", "Suhoor"), ("iftar_approaching", "Iftar")):
        said = calculator.calculate_scaling([300], config(), current_traffic=150.0, trigger=name)  # type: ignore[arg-type]
        assert word in said.reason
        assert said.triggered_by == name
    assert "%" in calculator.calculate_scaling([80], config(), current_traffic=50.0, unit="%").reason


@settings(max_examples=500)
@given(
    pods=st.integers(0, 60),
    capacity=st.integers(1, 20_000),
    more=st.sampled_from([0, 0, 1, -1]),
    factor=st.sampled_from(["1", "1.05", "1.1", "1.2", "1.25", "1.3", "1.5", "1.7", "2", "2.2", "3"]),
    current=st.integers(1, 50),
)
def test_replicas_are_those_of_exact_arithmetic(pods: int, capacity: int, more: int, factor: str, current: int) -> None:
    """Tenths a person writes: 2.1 needs three pods of 0.7, not four because of the sixteenth digit."""
    peak = max(0, pods * capacity + more)
    load, each = Fraction(peak, 10), Fraction(capacity, 10)
    told = min(50, max(1, math.ceil(math.ceil(load / each) * Fraction(factor))))
    said = ScalingCalculator(float(factor)).calculate_scaling([peak / 10], config(current, capacity / 10))
    assert said.recommended_replicas == told
    assert said.cost_impact_hourly == pytest.approx((told - current) * 0.05, abs=1e-9)


@settings(max_examples=100)
@given(load=st.lists(st.floats(0, 1e6), min_size=1, max_size=24), more=st.floats(0, 1e5))
def test_more_load_never_means_fewer_replicas(load: list[float], more: float) -> None:
    calculator = ScalingCalculator(1.3)
    less = calculator.calculate_scaling(load, config())
    high = calculator.calculate_scaling([*load[:-1], load[-1] + more], config())
    assert high.recommended_replicas >= less.recommended_replicas


# ---------------------------------------------------------------- the answer


def answer(
    now: datetime, request: LoadRequest, frame: Frame | None = None, own: Settings | None = None, *, least: float = 100
) -> LoadAnswer:
    first = now - 20 * DAY
    whole = frame if frame is not None else metrics([(first + HOUR * k, 100.0 + k % 24) for k in range(480)])
    stood = history(whole, now, RIYADH, own)
    asked = decide.ask(request, stood).questions
    points = np.linspace(least, 250, asked.height)
    said = pl.DataFrame({"point": points, "q10": points - 10, "q50": points, "q90": points + 20})
    evidence = pl.DataFrame({"method": ["x"] * asked.height})
    return decide.decide(Forecast(rows=said, evidence=evidence), request, stood)


def test_the_hours_asked_about_are_the_whole_ones_from_now_on() -> None:
    sharp = answer(utc(2024, 3, 20, 10), LoadRequest())
    assert [hour.start for hour in sharp.hours] == [utc(2024, 3, 20, 10 + k) for k in range(4)]
    middle = answer(utc(2024, 3, 20, 10, 20), LoadRequest(hours=24))
    assert [hour.start for hour in middle.hours] == [utc(2024, 3, 20, 11) + HOUR * k for k in range(24)]
    assert middle.hours[0].expected == 100
    assert (middle.hours[-1].low, middle.hours[-1].high) == (240, 270)


def test_no_band_reaches_below_zero() -> None:
    said = answer(utc(2024, 3, 20, 10), LoadRequest(), least=5)
    assert (said.hours[0].low, said.hours[0].expected, said.hours[0].high) == (0, 5, 25)


@pytest.mark.row("T7")
def test_an_answer_carries_trigger_confidence_and_current() -> None:
    said = answer(local(RIYADH, 2024, 3, 20, 17), LoadRequest(workload=config()))
    assert said.trigger == "iftar_approaching"
    assert said.scaling is not None
    assert said.scaling.recommended_replicas == 15
    assert said.scaling.triggered_by == "iftar_approaching"
    assert said.current == 100.0 + 479 % 24
    assert set(said.factors) == FACTORS
    assert said.confidence == ConfidenceScorer().score(said.factors)
    assert said.method == "x"
    quiet = answer(
        local(RIYADH, 2024, 3, 20, 12),
        LoadRequest(workload=config()),
        own=Settings(safety_factor=1.0, scale_in="forecast"),
    )
    assert quiet.trigger is None
    assert quiet.scaling is not None
    assert quiet.scaling.recommended_replicas == 5
    assert answer(local(RIYADH, 2024, 3, 20, 12), LoadRequest()).scaling is None


@pytest.mark.row("T5")
def test_an_answer_on_older_or_patchier_facts_is_less_sure() -> None:
    now = utc(2024, 3, 20, 10)
    rows_ = [(now - HOUR * k, 100.0 + k % 24) for k in range(1, 42 * 24 + 1)]
    full = answer(now, LoadRequest(), metrics(rows_))
    old = answer(now, LoadRequest(), metrics(rows_[12:]))
    patchy = answer(now, LoadRequest(), metrics(rows_[::3]))
    brief = answer(now, LoadRequest(), metrics(rows_[: 7 * 24]))
    assert old.factors["freshness"] < full.factors["freshness"] == 1
    assert patchy.factors["completeness"] == pytest.approx(1 / 3, abs=0.01)
    assert brief.factors["history"] == pytest.approx(1 / 6, abs=0.01)
    assert max(old.confidence, patchy.confidence, brief.confidence) < full.confidence


def test_the_usual_peak_of_an_hour_is_measured_against_its_mean() -> None:
    now = utc(2024, 3, 20, 10)
    finer = [(now - 10 * MINUTE * k, 300.0 if k % 6 == 3 else 60.0) for k in range(1, 6 * 24 * 8)]
    assert answer(now, LoadRequest(), metrics(finer, lasting=10 * MINUTE)).peak_to_mean == pytest.approx(3.0)
    assert answer(now, LoadRequest()).peak_to_mean is None


def test_an_unknown_service_is_named() -> None:
    stood = history(metrics([(utc(2024, 3, 1), 1.0)]), utc(2024, 3, 2))
    with pytest.raises(NotReady, match="nobody/requests_per_minute"):
        decide.ask(LoadRequest(service="nobody"), stood)
