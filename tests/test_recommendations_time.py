"""Recommendations and the clock: when one is over, when the next may come, and how they are listed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from time import sleep
from uuid import UUID

import pytest
from tests.deciding import (
    HOUR,
    LOAD,
    METRICS,
    MINUTE,
    asked,
    audited,
    listed,
    moved,
    now,
    scaled,
    steady,
    tenancy,
)

from foretell.app import App
from foretell.errors import InvalidRequest, Refused


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


# ---------------------------------------------------------------- its time


def test_what_is_over_is_expired_and_a_new_one_takes_its_place(app: App, number: UUID, home: Path) -> None:
    moved(home, app, "expires_at", timedelta(seconds=1))
    assert app.recommendations.get(number).state == "expired"
    assert (listed(app, "pending"), listed(app, "expired")) == ([], [("api", 10, 30, "expired")])
    for verb in (app.recommendations.approve, app.recommendations.reject):
        with pytest.raises(Refused, match="is expired; only a pending one"):
            verb(number)
    newer = asked(app, 10).recommendation
    assert newer not in (None, number)
    assert listed(app) == [("api", 10, 30, "expired"), ("api", 10, 30, "pending")]
    moved(home, app, "expires_at", timedelta(seconds=1))
    assert asked(app, 30).recommendation is None
    assert {state for *_, state in listed(app)} == {"expired"}


# ---------------------------------------------------------------- cooldown


@pytest.mark.row("T8", "T17")
def test_after_an_approval_nothing_is_recommended_and_the_reason_says_why(app: App, number: UUID) -> None:
    decided = app.recommendations.approve(number).decided_at
    assert decided
    for running in (10, 12):
        said = asked(app, running)
        replicas, reason = scaled(said)
        assert (replicas, said.recommendation) == (running, None)
        assert f"a change was approved at {decided:%H:%M} UTC" in reason
        assert f"not before {decided + 5 * MINUTE:%H:%M}" in reason
    assert "approved" not in scaled(asked(app, 30))[1]
    assert asked(app, 10, service="shop").recommendation, "another service is another matter"
    assert listed(app) == [("api", 10, 30, "approved"), ("shop", 10, 30, "pending")]


@pytest.mark.row("T8")
def test_what_was_rejected_is_not_proposed_again_but_something_else_is(app: App, number: UUID, home: Path) -> None:
    """A rejection starts no cooldown. When the time of the rejected one is over, it may be proposed again."""
    app.recommendations.reject(number)
    assert asked(app, 10).recommendation is None
    assert asked(app, 11).recommendation not in (None, number)
    moved(home, app, "expires_at", timedelta(days=1))
    assert asked(app, 10).recommendation not in (None, number)


@pytest.mark.row("T8")
def test_when_the_cooldown_is_over_it_is_recommended_again(app: App, number: UUID, home: Path) -> None:
    app.recommendations.approve(number)
    assert asked(app, 10).recommendation is None
    moved(home, app, "decided_at", 4.9 * MINUTE)
    assert asked(app, 10).recommendation is None
    moved(home, app, "decided_at", 5.1 * MINUTE)
    assert asked(app, 10).recommendation not in (None, number)


def test_when_the_cooldown_is_over_what_was_said_in_it_is_not_said_again(app: App, number: UUID, home: Path) -> None:
    """Facts stay in memory for five minutes; the clock does not stop."""
    app.recommendations.approve(number)
    moved(home, app, "decided_at", 5 * MINUTE - timedelta(seconds=2))
    assert asked(app, 10).recommendation is None
    sleep(2.5)
    assert asked(app, 10).recommendation not in (None, number)


def test_the_cooldown_is_that_of_the_settings(app: App, number: UUID, home: Path) -> None:
    app.recommendations.approve(number)
    app.settings.change("traffic", {"cooldown_minutes": 0})
    assert asked(app, 12).recommendation
    app.settings.change("traffic", {"cooldown_minutes": 60})
    moved(home, app, "decided_at", 59 * MINUTE)
    assert asked(app, 10).recommendation is None
    moved(home, app, "decided_at", 61 * MINUTE)
    assert asked(app, 10).recommendation


@pytest.mark.row("T8", "T17")
def test_in_the_cooldown_none_can_be_approved(app: App, number: UUID, home: Path) -> None:
    """One that is open all the same: here because the cooldown became longer."""
    app.settings.change("traffic", {"cooldown_minutes": 0})
    app.recommendations.approve(number)
    second = asked(app, 12).recommendation
    assert second
    app.settings.change("traffic", {"cooldown_minutes": 5})
    with pytest.raises(Refused, match=r"a change of api was approved at .*; the next can be from .* on"):
        app.recommendations.approve(second)
    assert len(audited(app)) == 1
    moved(home, app, "decided_at", 6 * MINUTE)
    assert app.recommendations.get(second).state == "pending"
    assert app.recommendations.approve(second).state == "approved"


def test_the_past_knows_the_approvals_of_then(app: App, number: UUID, home: Path) -> None:
    app.recommendations.approve(number)
    moved(home, app, "decided_at", 2 * HOUR)
    request = {"service": "api", "workload": {"current_replicas": 10, "capacity_per_pod": 10}}

    def replicas(ago: timedelta) -> int:
        return scaled(app.predict(LOAD, request, as_of=now() - ago))[0]

    assert [replicas(2 * HOUR - k * MINUTE) for k in (-1, 1, 4, 6)] == [30, 10, 10, 30]


# ---------------------------------------------------------------- the list


def test_the_list_is_newest_first_and_goes_on_with_before(app: App) -> None:
    made = [asked(app, running).recommendation for running in (10, 11, 12, 13, 14)]
    assert [one.recommendation_id for one in app.recommendations.list()] == made[::-1]
    seen: list[UUID] = []
    before: datetime | None = None
    while page := app.recommendations.list(limit=2, before=before):
        seen += [one.recommendation_id for one in page]
        before = page[-1].made_at
    assert seen == made[::-1]
    assert [one.recommendation_id for one in app.recommendations.list(state="pending")] == made[-1:]
    assert len(app.recommendations.list(state="superseded", limit=3)) == 3
    assert app.recommendations.list(state="approved") == []


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_range_is_refused(app: App, limit: int) -> None:
    with pytest.raises(InvalidRequest, match="1 to 1,000"):
        app.recommendations.list(limit=limit)
