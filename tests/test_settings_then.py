"""Settings and the clock: what is asked of then is answered as was told then, also by an older program."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.deciding import HOUR, LOAD, METRICS, above, asked, now, scaled, steady, tenancy, traffic, zone

from foretell.app import App
from foretell.domains.traffic.schema import Settings
from foretell.engine.predict import Prediction
from foretell.errors import Refused

OTHER = "Asia/Kathmandu"  # a quarter of an hour off everybody else


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    with tenancy() as made:
        yield made


def told(app: App, home: Path, ago: timedelta, domain: str, **values: Any) -> datetime:
    """Change settings as if so long ago; returns when."""
    before = len(app.settings.history(domain))
    app.settings.change(domain, values)
    when = now() - ago
    with above(home) as connection:
        connection.execute(
            "UPDATE settings_changes SET changed_at = %s WHERE change_id IN (SELECT change_id FROM settings_changes"
            " WHERE tenant_id = %s AND domain = %s ORDER BY change_id OFFSET %s)",
            [when, app.tenant, domain, before],
        )
    return when


def replicas(said: Prediction) -> int:
    return scaled(said)[0]


# ---------------------------------------------------------------- then and now


def test_the_settings_of_then_hold_then(app: App, home: Path) -> None:
    first = told(app, home, timedelta(days=9), "traffic", safety_factor=2, country="TR")
    second = told(app, home, timedelta(days=5), "traffic", safety_factor=None)
    third = told(app, home, timedelta(days=1), "traffic", safety_factor=4)
    for moment, factor in (
        (first - timedelta(days=900), 2), (first, 2), (second - HOUR, 2), (second, 3), (third - HOUR, 3), (third, 4),
        (now(), 4), (now() + HOUR, 4),
    ):  # fmt: skip
        assert traffic(app, moment) == Settings(safety_factor=factor, country="TR")
    assert traffic(app) == Settings(safety_factor=4, country="TR")
    told(app, home, timedelta(hours=9), "traffic", hysteresis=0.5)
    assert traffic(app, first).hysteresis == 0.5, "told once, it is what was meant all along"


def test_a_moment_is_the_same_in_every_zone(app: App, home: Path) -> None:
    told(app, home, timedelta(days=9), "traffic", safety_factor=2)
    moment = told(app, home, timedelta(days=5), "traffic", safety_factor=4)
    there = moment.astimezone(UTC) + timedelta(microseconds=0)
    assert traffic(app, there).safety_factor == 4
    assert traffic(app, there - timedelta(microseconds=1)).safety_factor == 2


def test_old_questions_are_answered_by_the_settings_of_then(app: App, home: Path) -> None:
    app.import_(METRICS, steady())
    told(app, home, timedelta(days=9), "traffic", safety_factor=2, services={"api": {"capacity_per_pod": 50}})
    told(app, home, timedelta(hours=30), "traffic", safety_factor=4)
    request = {"service": "api", "workload": {"current_replicas": 1}}
    then = now() - timedelta(days=2)
    assert replicas(app.predict(LOAD, request, as_of=then)) == 4
    assert [replicas(app.predict(LOAD, request, as_of=when)) for when in (None, "latest")] == [8, 8]
    app.settings.change("traffic", {"safety_factor": 1})
    assert [replicas(app.predict(LOAD, request, as_of=when)) for when in (None, "latest")] == [2, 2]
    assert replicas(app.predict(LOAD, request, as_of=then)) == 4
    assert replicas(app.predict(LOAD, request, as_of=then + timedelta(hours=19))) == 8


def test_latest_stands_among_old_facts_under_the_settings_of_now(app: App, home: Path) -> None:
    app.import_(METRICS, steady())
    told(app, home, timedelta(days=9), "traffic", safety_factor=2)
    app.settings.change("traffic", {"safety_factor": 5})
    workload = {"current_replicas": 1, "capacity_per_pod": 50}
    said = app.predict(LOAD, {"service": "api", "workload": workload}, as_of="latest")
    assert scaled(said)[0] == 10
    assert said.recommendation is None


def test_the_zone_of_then_holds_then_and_the_hours_with_it(app: App, home: Path) -> None:
    """Kathmandu's hours begin at a quarter past those of Riyadh."""
    app.import_(METRICS, steady())
    told(app, home, timedelta(days=9), "tenant", zone="Asia/Riyadh")
    told(app, home, timedelta(hours=30), "tenant", zone=OTHER)
    assert zone(app) == OTHER
    assert zone(app, now() - timedelta(days=2)) == "Asia/Riyadh"

    def minute(as_of: Any) -> int:
        found: datetime = app.predict(LOAD, {"service": "api"}, as_of=as_of).questions["at"][0]
        return found.minute

    assert minute(now() - timedelta(days=2)) == 0
    assert [minute(now() - timedelta(hours=20)), minute("latest"), minute(None)] == [15, 15, 15]


def test_a_change_of_another_process_is_seen_at_once(app: App) -> None:
    app.import_(METRICS, steady())
    assert replicas(asked(app, 1, 50.0)) == 6
    with App.open(app.tenant) as other:
        other.settings.change("traffic", {"safety_factor": 1})
    assert replicas(asked(app, 1, 50.0)) == 2


# ---------------------------------------------------------------- what an older foretell took


def test_a_value_that_is_no_longer_taken_is_told_and_can_be_told_anew(app: App, home: Path) -> None:
    app.settings.change("traffic", {"country": "TR"})
    with above(home) as connection:
        connection.execute("UPDATE settings_changes SET value = '\"turkey\"' WHERE tenant_id = %s", [app.tenant])
    with pytest.raises(Refused, match="traffic: is no longer taken; an admin can tell another: country"):
        traffic(app)
    app.settings.change("traffic", {"country": "SA"})
    assert traffic(app).country == "SA"


def test_a_field_that_is_no_longer_there_can_be_taken_back(app: App, home: Path) -> None:
    app.settings.change("traffic", {"country": "TR"})
    with above(home) as connection:
        connection.execute("UPDATE settings_changes SET field = 'land' WHERE tenant_id = %s", [app.tenant])
    try:
        assert traffic(app) == Settings()
    except Refused:
        app.settings.change("traffic", {"land": None})
        assert traffic(app) == Settings()
