"""Replicas in an answer: by which path, on which day, after which approval; and what becomes of a proposal."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.traffic import DAY, HOUR, MINUTE, history, local, metrics, utc
from tests.traffic.test_scaling import standing

from foretell.contract import Approved, Forecast, History
from foretell.domains.traffic import decide
from foretell.domains.traffic.calendars import doubt
from foretell.domains.traffic.routes import PREDICT, PredictionRequest
from foretell.domains.traffic.scaling import PROPOSING, proposed
from foretell.domains.traffic.schema import LoadAnswer, LoadRequest, Service, Settings, WorkloadConfig
from foretell.errors import InvalidRequest, Refused
from foretell.features.place import Announcement, place

# ---------------------------------------------------------------- the answer

QUIET = WorkloadConfig(current_replicas=30, capacity_per_pod=50.0)


def answered(
    now: datetime, own: Settings | None = None, zone: str = "Asia/Riyadh", approved: Any = None, **asked: Any
) -> LoadAnswer:
    """Points of 100 to 250, of which the upper end is 100 higher."""
    frame = metrics([(now - 20 * DAY + HOUR * k, 100.0 + k % 24) for k in range(480)])
    stood = history(frame, now, zone, own)
    if approved:
        stood = History(replace(stood.standpoint, approved=approved), stood.tables)
    request = LoadRequest.model_validate({"workload": QUIET} | asked)
    rows = decide.ask(request, stood).questions
    points = np.linspace(100, 250, rows.height)
    said = pl.DataFrame({"point": points, "q10": points - 10, "q50": points, "q90": points + 100})
    return decide.decide(Forecast(rows=said, evidence=pl.DataFrame({"method": ["x"] * rows.height})), request, stood)


def replicas(said: LoadAnswer) -> int:
    assert said.scaling
    return said.scaling.recommended_replicas


@pytest.mark.row("T8")
def test_the_documented_path_follows_the_formula_and_ours_does_not_scale_in() -> None:
    now = utc(2024, 6, 20, 10)
    body = PredictionRequest(service_name="default", current_replicas=30, capacity_per_pod=50.0)
    documented = LoadRequest.model_validate(PREDICT.adapt_in(body)).model_dump()
    assert replicas(answered(now, **documented)) == 15
    assert replicas(answered(now)) == 30
    assert replicas(answered(now, Settings(scale_in="forecast"))) == 15
    assert replicas(answered(now, Settings(scale_in="never"), **documented)) == 30
    assert replicas(answered(now, Settings(scale_in="forecast", hysteresis=0.6), **documented)) == 30


def test_an_answer_knows_the_settings_of_its_service() -> None:
    now = utc(2024, 6, 20, 10)
    own = Settings(services={"default": Service(capacity_per_pod=10.0, max_replicas=40, cost_per_replica_hour=0.1)})
    said = answered(now, own, workload={"current_replicas": 30})
    assert replicas(said) == 40
    assert said.scaling
    assert said.scaling.cost_impact_hourly == 1.0
    assert said.workload == WorkloadConfig(
        service_name="default", current_replicas=30, capacity_per_pod=10.0, cost_per_replica_hour=0.1
    )
    with pytest.raises(InvalidRequest, match="capacity_per_pod"):
        answered(now, workload={"current_replicas": 30})


def test_an_answer_after_an_approval_waits() -> None:
    now = utc(2024, 6, 20, 10)
    approved = {"default": Approved(at=now - 2 * MINUTE, action={})}
    less = WorkloadConfig(current_replicas=3, capacity_per_pod=50.0)
    assert replicas(answered(now, workload=less)) == 15
    said = answered(now, workload=less, approved=approved)
    assert replicas(said) == 3
    assert said.scaling
    assert "approved at 09:58 UTC: not before 10:03" in said.scaling.reason
    assert replicas(answered(now, Settings(cooldown_minutes=2), workload=less, approved=approved)) == 15


# ---------------------------------------------------------------- doubtful days

EID = date(2027, 3, 9)  # about 1 Shawwal 1448, which nobody has announced yet


def doubted(zone: str, day: date, own: Settings | None = None) -> bool:
    return doubt([local(zone, day.year, day.month, day.day, 12)], zone, place(zone, own or Settings())) is not None


@pytest.mark.row("T8")
@pytest.mark.parametrize("zone", ["Asia/Riyadh", "Europe/Istanbul", "Africa/Cairo", "Asia/Karachi", "Asia/Singapore"])
def test_days_on_which_the_moon_decides_are_sized_on_the_upper_end(zone: str) -> None:
    now = local(zone, 2027, 3, 9, 10)
    less = WorkloadConfig(current_replicas=3, capacity_per_pod=50.0)
    said = answered(now, zone=zone, workload=less)
    assert replicas(said) == 21
    assert said.scaling
    assert "for the upper end of the band: the start of the Hijri month is not announced yet" in said.scaling.reason
    assert "350" in said.scaling.reason
    assert max(hour.expected for hour in said.hours) == 250, "what is expected is still told as it is"
    told = Settings(announced=(Announcement(hijri_year=1448, month=10, start=date(2027, 3, 9)),))
    said = answered(now, told, zone, workload=less)
    assert replicas(said) == 15
    assert said.scaling
    assert "Hijri" not in said.scaling.reason


@pytest.mark.row("T8")
@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York", "Europe/Athens", "UTC"])
def test_where_eid_is_no_public_holiday_no_day_is_doubtful(zone: str) -> None:
    assert not doubted(zone, EID)


@pytest.mark.row("T8")
@pytest.mark.parametrize(("zone", "day"), [
    ("Europe/London", date(2022, 5, 2)),  # Early May, a bank holiday for a reason of its own
    ("America/New_York", date(2033, 12, 23)),  # two days before Christmas
])  # fmt: skip
def test_a_holiday_that_falls_on_eid_does_not_make_eid_one(zone: str, day: date) -> None:
    assert not doubted(zone, day)


@pytest.mark.row("T8")
def test_days_announced_on_record_are_not_doubtful_and_those_around_open_ones_are() -> None:
    for day in ((2024, 3, 11), (2024, 4, 10), (2024, 6, 16), (2026, 3, 20)):
        assert not doubted("Europe/Istanbul", date(*day))
    found = [k for k in range(-6, 7) if doubted("Europe/Istanbul", EID + timedelta(days=k))]
    assert len(found) == 3
    assert 0 in found
    assert not doubted("Europe/Istanbul", date(2027, 6, 30))


# ---------------------------------------------------------------- what is proposed, and reviewed


def test_what_is_proposed_holds_until_the_highest_hour_is_over() -> None:
    now = utc(2024, 6, 20, 10, 20)
    said = answered(now, workload=WorkloadConfig(current_replicas=3, capacity_per_pod=50.0))
    proposal = proposed(said)
    assert proposal
    assert proposal.subject == "default"
    assert proposal.until == utc(2024, 6, 20, 15)
    assert proposal.action == {
        "from_replicas": 3, "to_replicas": 15, "cost_per_replica_hour": 0.05, "cost_impact_hourly": 0.6,
        "triggered_by": "forecast",
    }  # fmt: skip
    assert said.scaling
    assert proposal.reason == said.scaling.reason
    same = proposed(answered(now))
    assert same
    assert same.action is None
    assert proposed(answered(now, workload=None)) is None


ACTION = {"from_replicas": 10, "to_replicas": 18, "cost_per_replica_hour": 0.05, "cost_impact_hourly": 0.4}


def test_a_review_works_the_cost_out_again() -> None:
    assert PROPOSING.review("api", ACTION, standing(Settings())) == ACTION
    own = Settings(services={"api": Service(cost_per_replica_hour=0.2)})
    told = PROPOSING.review("api", ACTION, standing(own))
    assert (told["cost_per_replica_hour"], told["cost_impact_hourly"]) == (0.2, 1.6)


@pytest.mark.row("T8")
@pytest.mark.parametrize(("own", "words"), [
    (Settings(hourly_cost_cap=0.89), "cost cap"), (Settings(services={"api": Service(max_replicas=17)}), "17"),
    (Settings(services={"api": Service(min_replicas=19)}), "19"),
    (Settings(hourly_cost_cap=1, services={"api": Service(cost_per_replica_hour=0.1)}), "cost cap of 1 an hour"),
])  # fmt: skip
def test_a_review_refuses_what_a_rule_of_now_forbids(own: Settings, words: str) -> None:
    with pytest.raises(Refused, match=words):
        PROPOSING.review("api", ACTION, standing(own))


@pytest.mark.row("T8")
def test_a_review_refuses_while_another_change_settles() -> None:
    with pytest.raises(Refused, match=r"approved at 09:57 UTC; the next can be from 10:02 on"):
        PROPOSING.review("api", ACTION, standing(Settings(), 3 * MINUTE, "api"))
    assert PROPOSING.review("api", ACTION, standing(Settings(), 3 * MINUTE, "other")) == ACTION
