"""What the tests of decisions share: a tenant of now whose load is always the same, and a look past the policies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import psycopg
from psycopg import Connection

from foretell.app import App
from foretell.app.opening import add_tenant
from foretell.app.tenant_settings import TenantSettings
from foretell.domains.traffic.sample import ZONE
from foretell.domains.traffic.schema import LoadAnswer, Settings
from foretell.engine.predict import Prediction
from foretell.stores import launcher
from foretell.stores.access import DATABASE

LOAD, METRICS = "traffic.load", "traffic.metrics"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
KEPT = {
    "keep_predictions_days": 365,
    "keep_facts_days": {},
    "notify_mail": [],
    "notify_chat": None,
}  # of a tenant's settings, beside the zone


def now() -> datetime:
    return datetime.now(UTC)


def steady(*services: str, days: int = 10, value: float = 100.0) -> pl.DataFrame:
    """The same load in every hour until now; with 10 of capacity it takes 30 replicas, with 50 six."""
    end = now().replace(minute=0, second=0, microsecond=0)
    times = [end - HOUR * k for k in range(days * 24, 0, -1)]
    each = [
        pl.DataFrame({"time": times, "value": value, "service": name, "known_at": [time + HOUR for time in times]})
        for name in services or ("api",)
    ]
    return pl.concat(each)


@contextmanager
def tenancy(zone: str = ZONE) -> Iterator[App]:
    """A tenant that nobody has used before."""
    with App.open(f"ngo-{uuid4().hex[:8]}", zone=zone) as made:
        yield made


def neighbour(app: App) -> App:
    """Another tenant of the same process."""
    name = f"ngo-{uuid4().hex[:8]}"
    add_tenant(name, zone=ZONE)
    return App(replace(app.desk, tenant=name))


def asked(app: App, running: int, capacity: float = 10.0, service: str = "api", **more: Any) -> Prediction:
    """What is said now, where so many replicas run."""
    workload = {"current_replicas": running, "capacity_per_pod": capacity}
    return app.predict(LOAD, {"service": service, "workload": workload} | more)


@contextmanager
def above(home: Path) -> Iterator[Connection[Any]]:
    """The database as no policy holds it; what is written stays."""
    with psycopg.connect(launcher.start(home).url(DATABASE), autocommit=True) as connection:
        yield connection


def listed(app: App, state: Any = None) -> list[tuple[str, int, int, str]]:
    """Subject, from, to and state, oldest first."""
    found = app.recommendations.list(state=state)
    return [(one.subject, one.action["from_replicas"], one.action["to_replicas"], one.state) for one in reversed(found)]


def scaled(said: Prediction) -> tuple[int, str]:
    assert isinstance(said.answer, LoadAnswer)
    assert said.answer.scaling
    return said.answer.scaling.recommended_replicas, said.answer.scaling.reason


def moved(home: Path, app: App, column: str, ago: timedelta) -> None:
    """Say of all recommendations of the tenant that something was so long ago."""
    with above(home) as connection:
        connection.execute(
            f"UPDATE recommendations SET {column} = now() - %s WHERE tenant_id = %s".encode(), [ago, app.tenant]
        )


def audited(app: App) -> list[tuple[Any, ...]]:
    with app.desk.inside() as connection:
        found: list[tuple[Any, ...]] = connection.execute(
            "SELECT who, action, subject, details FROM audit WHERE action IN ('approve', 'reject') ORDER BY audit_id"
        ).fetchall()
    return found


def traffic(app: App, at: datetime | None = None) -> Settings:
    shown = app.settings.show("traffic", at=at)
    assert isinstance(shown, Settings)
    return shown


def zone(app: App, at: datetime | None = None) -> str | None:
    shown = app.settings.show(at=at)
    assert isinstance(shown, TenantSettings)
    return shown.zone
