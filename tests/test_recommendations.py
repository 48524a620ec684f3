"""What answers recommend is for people to decide: one open at most, nothing executed, every decision on record."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from time import sleep
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.deciding import (
    HOUR,
    LOAD,
    METRICS,
    MINUTE,
    above,
    asked,
    audited,
    listed,
    neighbour,
    now,
    scaled,
    steady,
    tenancy,
)

from foretell.app import App
from foretell.domains.traffic.schema import LoadAnswer
from foretell.engine.predict import Prediction
from foretell.errors import InvalidRequest, NotFound, Refused
from foretell.stores import decisions
from foretell.stores.decisions import Recommendation


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    """Two services of 100 requests in every hour until now: 30 replicas of 10, six of 50."""
    with tenancy() as made:
        made.import_(METRICS, steady("api", "shop"))
        yield made


@pytest.fixture
def number(app: App) -> UUID:
    """A recommendation to go from 10 to 30."""
    made = asked(app, 10).recommendation
    assert made
    return made


# ---------------------------------------------------------------- how one is made


@pytest.mark.row("T17")
def test_an_answer_of_now_makes_one_that_waits_for_people(app: App) -> None:
    began = now()
    said = asked(app, 10)
    assert isinstance(said.answer, LoadAnswer)
    assert said.answer.scaling
    (one,) = app.recommendations.list()
    assert said.recommendation == one.recommendation_id
    assert asdict(one) == asdict(
        Recommendation(
            recommendation_id=one.recommendation_id, task=LOAD, subject="api", prediction_id=said.id or uuid4(),
            action={
                "from_replicas": 10, "to_replicas": 30, "cost_per_replica_hour": 0.05, "cost_impact_hourly": 1.0,
                "triggered_by": said.answer.scaling.triggered_by,
            },
            reason=said.answer.scaling.reason, made_at=one.made_at, expires_at=one.expires_at, state="pending",
            decided_at=None, decided_by=None, decided_why=None, approved=None,
        )
    )  # fmt: skip
    assert began - MINUTE / 60 <= one.made_at <= now()
    peak = max(said.answer.hours, key=lambda hour: hour.expected)
    assert one.expires_at == peak.start + HOUR
    assert app.recommendations.get(one.recommendation_id) == one
    assert audited(app) == []


@pytest.mark.parametrize("as_of", ["latest", timedelta(hours=2), timedelta(0)])
def test_an_answer_about_another_moment_than_now_makes_none(app: App, as_of: Any) -> None:
    when: Any = as_of if isinstance(as_of, str) else now() - as_of
    request = {"service": "api", "workload": {"current_replicas": 10, "capacity_per_pod": 10}}
    said = app.predict(LOAD, request, as_of=when)
    assert (scaled(said)[0], said.recommendation) == (30, None)
    (batch,) = app.predict_many([(LOAD, request)], as_of=when)
    assert isinstance(batch, Prediction)
    assert batch.recommendation is None
    assert app.recommendations.list() == []


def test_without_a_workload_or_with_enough_replicas_there_is_none(app: App) -> None:
    assert app.predict(LOAD, {"service": "api"}).recommendation is None
    assert asked(app, 30).recommendation is None
    assert asked(app, 50).recommendation is None, "our own path takes none away"
    assert app.recommendations.list() == []


def test_the_same_again_keeps_the_open_one(app: App, number: UUID) -> None:
    before = app.recommendations.get(number)
    assert [asked(app, 10).recommendation for _ in range(3)] == [number] * 3
    assert app.recommendations.list() == [before]
    with App.open(app.tenant) as other:
        assert asked(other, 10).recommendation == number


def test_a_forecast_alone_leaves_the_open_one(app: App, number: UUID) -> None:
    app.predict(LOAD, {"service": "api"})
    app.predict(LOAD, {"service": "api", "workload": {"current_replicas": 1, "capacity_per_pod": 10}}, as_of="latest")
    assert listed(app) == [("api", 10, 30, "pending")]


@pytest.mark.row("T17")
def test_a_newer_one_takes_the_place_of_the_open_one(app: App, number: UUID) -> None:
    newer = asked(app, 12).recommendation
    assert newer not in (None, number)
    assert listed(app) == [("api", 10, 30, "superseded"), ("api", 12, 30, "pending")]
    old = app.recommendations.get(number)
    assert old.decided_at
    assert (old.decided_by, old.decided_why, old.approved) == (None, None, None)
    assert old.decided_at >= old.made_at
    for decide in (app.recommendations.approve, app.recommendations.reject):
        with pytest.raises(Refused, match="is superseded; only a pending one"):
            decide(number)


def test_where_nothing_should_change_any_more_the_open_one_is_closed(app: App, number: UUID) -> None:
    assert asked(app, 30).recommendation is None
    assert listed(app) == [("api", 10, 30, "superseded")]
    assert asked(app, 10).recommendation not in (None, number)


def test_each_service_and_each_tenant_has_its_own(app: App, number: UUID) -> None:
    shop = asked(app, 10, service="shop").recommendation
    assert shop not in (None, number)
    other = neighbour(app)
    other.import_(METRICS, steady())
    theirs = asked(other, 12).recommendation
    assert listed(other) == [("api", 12, 30, "pending")]
    assert listed(app, "pending") == [("api", 10, 30, "pending"), ("shop", 10, 30, "pending")]
    assert theirs not in (number, shop)


def test_a_batch_makes_them_as_well(app: App) -> None:
    bodies = [(name, running) for name in ("api", "shop") for running in (10, 12)]
    batch = [
        (LOAD, {"service": name, "workload": {"current_replicas": running, "capacity_per_pod": 10}})
        for name, running in bodies
    ]
    said = app.predict_many([*batch, (LOAD, {"service": "nobody"})])
    numbers = [one.recommendation for one in said if isinstance(one, Prediction)]
    assert len({*numbers}) == 4
    assert None not in numbers
    assert listed(app, "pending") == [("api", 12, 30, "pending"), ("shop", 12, 30, "pending")]


# ---------------------------------------------------------------- at once


@pytest.mark.row("T17")
def test_at_most_one_is_open_however_many_ask_at_once(app: App) -> None:
    with App.open(app.tenant) as other, ThreadPoolExecutor(8) as pool:
        apps = [app, other]
        said = [*pool.map(lambda k: asked(apps[k % 2], 10 + k % 3), range(48))]
        assert all(one.recommendation for one in said)
        assert len(app.recommendations.list(state="pending")) == 1
        same = [*pool.map(lambda k: asked(apps[k % 2], 20).recommendation, range(24))]
        assert len({*same}) == 1
    found = app.recommendations.list()
    assert {one.state for one in found} == {"pending", "superseded"}
    assert {one.recommendation for one in said} | {*same} == {one.recommendation_id for one in found}


def test_of_many_who_decide_at_once_one_does(app: App, number: UUID) -> None:
    def decide(k: int) -> str:
        verb = app.recommendations.approve if k % 2 else app.recommendations.reject
        try:
            return verb(number, reason=str(k)).state
        except Refused:
            return ""

    with ThreadPoolExecutor(8) as pool:
        done = [state for state in pool.map(decide, range(16)) if state]
    assert [*done] == [app.recommendations.get(number).state]
    assert len(audited(app)) == 1


def test_who_decides_while_others_ask_decides_on_what_is_open(app: App) -> None:
    done = []
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(asked, app, 10 + k % 3) for k in range(24)]
        for each in asking:
            number = each.result().recommendation
            if number:
                with suppress(Refused):
                    done.append(app.recommendations.reject(number))
    assert len(app.recommendations.list(state="pending")) <= 1
    assert len(audited(app)) == len(done) == len(app.recommendations.list(state="rejected"))


def test_nothing_is_decided_before_it_was_made(app: App, number: UUID) -> None:
    """Somebody who waited for their turn supersedes what was made while they waited."""
    with ThreadPoolExecutor(1) as pool:
        with app.desk.inside() as connection:
            decisions.alone(connection, app.tenant, f"{LOAD} api")
            asking = pool.submit(asked, app, 12)
            sleep(1)
            decisions.decide(connection, app.tenant, number, "superseded")
            action = {"from_replicas": 11, "to_replicas": 30}
            decisions.recommend(
                connection, app.tenant, LOAD, "api",
                prediction=uuid4(), action=action, reason="", until=now() + HOUR,
            )  # fmt: skip
        asking.result()
    assert all(one.decided_at >= one.made_at for one in app.recommendations.list() if one.decided_at)


def test_who_asked_before_an_approval_opens_nothing_after_it(app: App, number: UUID) -> None:
    """The answer was made before, and is written down when the change has just been approved."""
    with ThreadPoolExecutor(1) as pool:
        with app.desk.inside() as connection:
            decisions.alone(connection, app.tenant, f"{LOAD} api")
            asking = pool.submit(asked, app, 10)
            sleep(1)
            decisions.decide(connection, app.tenant, number, "approved", who="ayse", approved={})
        asking.result()
    assert listed(app) == [("api", 10, 30, "approved")]


# ---------------------------------------------------------------- approve, reject


@pytest.mark.row("T17")
@pytest.mark.parametrize(("verb", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_who_decided_what_when_and_why_is_kept_and_audited_together(
    app: App, number: UUID, verb: str, state: str
) -> None:
    ayse = App(replace(app.desk, who="ayse"))
    began = now()
    one = getattr(ayse.recommendations, verb)(number, reason="Iftar is at 18:29")
    assert one == app.recommendations.get(number)
    assert (one.state, one.decided_by, one.decided_why) == (state, "ayse", "Iftar is at 18:29")
    assert began - MINUTE / 60 <= one.decided_at <= now()
    assert one.approved == (one.action if state == "approved" else None)
    ((who, action, subject, details),) = audited(app)
    assert (who, action, subject) == ("ayse", verb, LOAD)
    assert details["number"] == str(number)
    assert details["reason"] == "Iftar is at 18:29"
    assert details["subject"] == "api"
    assert details["action"] == one.action
    with app.desk.inside() as connection:
        deed = connection.execute("SELECT xmin::text FROM audit WHERE action = %s", [verb]).fetchone()
        kept = connection.execute("SELECT xmin::text FROM recommendations").fetchone()
    assert deed == kept


@pytest.mark.row("T17")
@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_where_no_audit_row_can_be_written_nothing_is_decided(app: App, number: UUID, home: Path, verb: str) -> None:
    with above(home) as connection:
        connection.execute(
            f"ALTER TABLE audit ADD CONSTRAINT no CHECK (tenant_id <> '{app.tenant}') NOT VALID".encode()
        )
        try:
            with pytest.raises(Exception, match="violates check constraint"):
                getattr(app.recommendations, verb)(number)
        finally:
            connection.execute("ALTER TABLE audit DROP CONSTRAINT no")
    assert app.recommendations.get(number).state == "pending"


@pytest.mark.row("T17")
@pytest.mark.parametrize("first", ["approve", "reject"])
@pytest.mark.parametrize("second", ["approve", "reject"])
def test_a_decision_is_made_once(app: App, number: UUID, first: str, second: str) -> None:
    one = getattr(app.recommendations, first)(number)
    with pytest.raises(Refused, match=f"recommendation {number} is {one.state}; only a pending one can be"):
        getattr(app.recommendations, second)(number)
    assert app.recommendations.get(number) == one
    assert len(audited(app)) == 1


def test_the_cost_is_that_of_the_settings_of_now(app: App, number: UUID) -> None:
    app.settings.change("traffic", {"services": {"api": {"cost_per_replica_hour": 0.2}}})
    one = app.recommendations.approve(number)
    assert one.approved
    assert one.approved == {**one.action, "cost_per_replica_hour": 0.2, "cost_impact_hourly": 4.0}
    assert one.action["cost_impact_hourly"] == 1.0
    assert audited(app)[0][3]["action"] == one.approved


@pytest.mark.parametrize(("values", "words"), [
    ({"hourly_cost_cap": 1.49}, "cost cap of 1.49"), ({"services": {"api": {"max_replicas": 29}}}, "1 to 29"),
])  # fmt: skip
def test_what_the_settings_of_now_forbid_stays_open(app: App, number: UUID, values: Any, words: str) -> None:
    app.settings.change("traffic", values)
    with pytest.raises(Refused, match=words):
        app.recommendations.approve(number)
    assert app.recommendations.get(number).state == "pending"
    assert audited(app) == []
    assert app.recommendations.reject(number).state == "rejected"


@pytest.mark.parametrize("reason", ["a\0b", "\ud800"])
def test_a_reason_that_can_not_be_written_is_refused(app: App, number: UUID, reason: str) -> None:
    for verb in (app.recommendations.approve, app.recommendations.reject):
        with pytest.raises(InvalidRequest):
            verb(number, reason=reason)
    assert app.recommendations.get(number).state == "pending"


def test_what_is_not_there_or_anothers_is_not_found(app: App, number: UUID) -> None:
    other = neighbour(app)
    for each, wanted in ((app, uuid4()), (other, number)):
        verbs = each.recommendations
        for verb in (verbs.get, verbs.approve, verbs.reject):
            with pytest.raises(NotFound, match=f"no recommendation {wanted}"):
                verb(wanted)
    assert other.recommendations.list() == []
    assert app.recommendations.get(number).state == "pending"
    nobody = App(replace(app.desk, tenant=f"ngo-{uuid4().hex[:8]}"))
    with pytest.raises(NotFound, match="foretell tenant add"):
        nobody.recommendations.list()
    with pytest.raises(NotFound, match="foretell tenant add"):
        nobody.recommendations.get(number)
