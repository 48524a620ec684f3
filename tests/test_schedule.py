"""When things are due: by the clocks of a place, once each, whatever the clocks do and whoever looks at them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deciding import LOAD, METRICS, above, neighbour, steady, tenancy

from foretell.app import App
from foretell.app.opening import stores
from foretell.app.schedule import defaults, due, tick
from foretell.app.worker import _keep, _look, work
from foretell.engine.timetable import checked, last_due, next_due
from foretell.errors import InvalidRequest, NotFound, Unavailable
from foretell.stores.access import OPERATOR, WORKER
from foretell.stores.database import Database
from foretell.stores.schedules import Clock, Told

ZONES = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "America/Santiago",
    "Asia/Beirut", "UTC",
)  # fmt: skip
NIGHTLY, WEEKLY, SIX_HOURS = "0 3 * * *", "0 2 * * 1", "0 */6 * * *"
START = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = START + timedelta(days=365)
EYES = timedelta(seconds=15)


def slow(minute: int, hour: int, zone: str) -> list[datetime]:
    """Every day's time of the year: the first quarter of an hour at which the clocks show it or are past it.

    The oracle knows no rule of clock changes: it walks through the instants.
    """
    found, place = [], ZoneInfo(zone)
    day, moment = None, START - timedelta(days=2)
    while moment < YEAR:
        local = moment.astimezone(place)
        if local.date() != day and (local.hour, local.minute) >= (hour, minute):
            day = local.date()
            found.append(moment)
        moment += timedelta(minutes=15)
    return [each for each in found if START < each < YEAR]


# ---------------------------------------------------------------- by the clocks of a place


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("minute", "hour"), [(0, 2), (30, 2), (0, 3), (0, 0), (30, 23)])
def test_a_year_of_days_is_as_a_slow_walk_through_it(zone: str, minute: int, hour: int) -> None:
    found, moment = [], START
    while (moment := next_due(f"{minute} {hour} * * *", zone, moment)) < YEAR:
        found.append(moment)
    assert found == slow(minute, hour, zone)


@given(
    st.sampled_from(ZONES), st.sampled_from([NIGHTLY, WEEKLY, SIX_HOURS, "30 2 * * *", "15 * * * *", "0 0 31 * *"]),
    st.timedeltas(timedelta(days=-1500), timedelta(days=1500)),
)  # fmt: skip
def test_the_last_and_the_next_are_neighbours(zone: str, cron: str, later: timedelta) -> None:
    now = START + later
    last, coming = last_due(cron, zone, now), next_due(cron, zone, now)
    assert last <= now < coming
    assert next_due(cron, zone, last) == coming
    assert last_due(cron, zone, coming) == coming


@pytest.mark.parametrize(
    "told", ["", "x", "* * * *", "0 2 * * 1 7", "60 * * * *", "0 0 30 2 *", "@daily", "0 2 * * 1 *"]
)
def test_what_is_no_time_is_refused_with_one_that_is(told: str) -> None:
    with pytest.raises(InvalidRequest, match=r"write it as in '0 2 \* \* 1'"):
        checked(told)


# ---------------------------------------------------------------- a year of schedules


@pytest.mark.parametrize("zone", ZONES[:3])
def test_a_simulated_year_fires_each_run_once(zone: str) -> None:
    """Looked at every hour, with a month in which nobody looked: that is caught up once."""
    from foretell.app.declared import domains

    there = defaults(domains().values())
    fired: dict[str, list[datetime]] = {name: [] for name in there}
    told: dict[str, Told] = {}
    away, back = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, 0, 7, tzinfo=UTC)
    moment = START
    while moment < YEAR:
        for name, when in due(Clock(zone=zone, since=START, told=told), there, moment).items():
            fired[name].append(when)
            told[name] = Told(fired_at=when)
        moment = back if away <= moment < back else moment + timedelta(hours=1)
    place = ZoneInfo(zone)
    for name, times in fired.items():
        assert times == sorted(set(times)), name
        seen = [each for each in times if not away - timedelta(days=8) < each < back + timedelta(days=8)]
        local = [each.astimezone(place) for each in seen]
        if there[name].cron == WEEKLY:
            assert {(each.weekday(), each.hour) for each in local} <= {(0, 2), (0, 3)}
        if there[name].cron == NIGHTLY:
            assert len({each.date() for each in local}) == len(local)
        named, each = [], START
        while (each := next_due(there[name].cron, zone, each)) < YEAR:
            named.append(each)
        missed = [each for each in named if away < each <= back]
        assert times == [each for each in named if each not in missed[:-1]]
        gaps = [later - sooner for sooner, later in pairwise(times)]
        assert sum(gap > timedelta(days=20) for gap in gaps) == 1


# ---------------------------------------------------------------- for tenants


@pytest.fixture
def eyes(alone: Path) -> Iterator[Database]:
    opened = stores({}, role=WORKER, size=2).database
    yield opened
    opened.close()


@pytest.fixture
def app(alone: Path) -> Iterator[App]:
    """A tenant in Berlin, alone in the house."""
    with tenancy("Europe/Berlin") as made:
        with above(alone) as connection:
            connection.execute("DELETE FROM tenants WHERE tenant_id <> %s", [made.tenant])
            connection.execute("SET search_path TO foretell_queue, public")
            for table in ("schedules", "jobs", "house_runs", "procrastinate_jobs"):
                connection.execute(f"DELETE FROM {table}".encode())
        since(alone, made, timedelta(days=10))
        yield made


def since(alone: Path, app: App, ago: timedelta) -> None:
    """Say that a tenant is there for so long."""
    with above(alone) as connection:
        connection.execute("UPDATE tenants SET created_at = now() - %s WHERE tenant_id = %s", [ago, app.tenant])


def started(app: App) -> list[str]:
    return sorted(f"{each.kind} {each.subject}".strip() for each in app.jobs.list())


@pytest.mark.row("T13")
def test_every_tenants_tasks_with_facts_are_looked_at_weekly(app: App, alone: Path, eyes: Database) -> None:
    other = neighbour(app)
    since(alone, other, timedelta(days=10))
    for one in (app, other):
        one.import_(METRICS, steady(days=3))
    assert tick(app.house, eyes, datetime.now(UTC)) == 4
    assert started(app) == started(other) == ["clean", f"retrain {LOAD}"]
    assert {each.asked_by for each in app.jobs.list()} == {"the schedule"}
    assert tick(app.house, eyes, datetime.now(UTC)) == 0
    entry = next(each for each in app.schedule.list() if each.name == f"retrain:{LOAD}")
    assert (entry.cron, entry.zone) == (WEEKLY, "Europe/Berlin")
    assert entry.next_due
    assert entry.fired_at
    for moment in (entry.next_due, entry.fired_at):
        local = moment.astimezone(ZoneInfo("Europe/Berlin"))
        assert (local.weekday(), local.hour, local.minute) == (0, 2, 0)


def test_two_who_look_at_once_start_each_once(app: App, eyes: Database) -> None:
    app.import_(METRICS, steady(days=3))
    now = datetime.now(UTC)
    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(lambda _: tick(app.house, eyes, now), range(8))) == 2
    assert len(app.jobs.list()) == 2


def test_a_tenant_without_facts_is_left_alone_and_one_that_is_new_waits(app: App, alone: Path, eyes: Database) -> None:
    assert tick(app.house, eyes, datetime.now(UTC)) == 1
    assert started(app) == ["clean"]
    young = neighbour(app)
    assert tick(app.house, eyes, datetime.now(UTC)) == 0
    assert young.jobs.list() == []


def test_what_still_waits_is_not_started_again(app: App, alone: Path, eyes: Database) -> None:
    """Due every two minutes, and nobody works for an hour: one is waiting, and nothing is caught up afterwards."""
    app.import_(METRICS, steady(days=3))
    app.schedule.change("clean", cron="*/2 * * * *")
    start = datetime.now(UTC) + timedelta(minutes=2)
    assert sum(tick(app.house, eyes, start + timedelta(minutes=k)) for k in range(60)) == 2
    assert started(app) == ["clean", f"retrain {LOAD}"]
    fired = next(each.fired_at for each in app.schedule.list() if each.name == "clean")
    assert fired
    assert fired > start + timedelta(minutes=56)
    work(wait=False, beat=0.5)
    assert {each.state for each in app.jobs.list()} <= {"done", "failed"}
    for minutes in (60, 62):
        tick(app.house, eyes, start + timedelta(minutes=minutes))
    assert started(app).count("clean") == 2
    with above(alone) as connection:  # one that the queue lost does not hinder it for ever
        connection.execute("UPDATE jobs SET created_at = now() - interval '9 days' WHERE tenant_id = %s", [app.tenant])
    tick(app.house, eyes, start + timedelta(minutes=64))
    assert started(app).count("clean") == 3


def test_times_can_be_changed_put_off_and_put_back(app: App, eyes: Database) -> None:
    app.import_(METRICS, steady(days=3))
    name = f"retrain:{LOAD}"
    assert app.schedule.change("clean", enabled=False).next_due is None
    entry = app.schedule.change(name, cron="30 4 * * *")
    assert (entry.cron, entry.default, entry.enabled) == ("30 4 * * *", WEEKLY, True)
    assert tick(app.house, eyes, datetime.now(UTC)) == 0  # what was due by the old time is not caught up
    assert entry.next_due
    assert tick(app.house, eyes, entry.next_due + EYES) == 1
    assert tick(app.house, eyes, entry.next_due + 2 * EYES) == 0
    assert started(app) == [f"retrain {LOAD}"]
    assert app.schedule.change(name, enabled=False).cron == "30 4 * * *"
    assert tick(app.house, eyes, entry.next_due + timedelta(days=3)) == 0
    assert app.schedule.change(name, cron="default", enabled=True).cron == WEEKLY
    with pytest.raises(NotFound, match="there are clean, collect:energy"):
        app.schedule.change("lunch", enabled=False)
    with pytest.raises(InvalidRequest, match="nothing to set"):
        app.schedule.change(name)
    with pytest.raises(InvalidRequest, match="is no time"):
        app.schedule.change(name, cron="soon")
    assert neighbour(app).schedule.list()[0].enabled


def test_a_tenant_that_moved_lives_by_its_new_clocks(app: App) -> None:
    app.settings.change("tenant", {"zone": "Asia/Tokyo"})
    assert {each.zone for each in app.schedule.list()} == {"Asia/Tokyo"}
    coming = app.schedule.list()[0].next_due
    assert coming
    assert coming.astimezone(ZoneInfo("Asia/Tokyo")).hour == 3


# ---------------------------------------------------------------- for the house


def runs(alone: Path) -> list[tuple[Any, ...]]:
    with above(alone) as connection:
        return connection.execute("SELECT name, told, error FROM house_runs ORDER BY due").fetchall()


def test_what_the_house_does_for_itself_is_done_once(app: App, alone: Path, eyes: Database) -> None:
    done: list[int] = []

    def deed() -> dict[str, Any]:
        done.append(1)
        return {"number": len(done)}

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: _keep(eyes, {"backup": ("0 2 * * *", deed)}), range(6)))
    assert runs(alone) == [("backup", {"number": 1}, None)]
    with Database(eyes.url, role=OPERATOR, size=1).nobody() as connection:
        assert connection.execute("SELECT count(*) FROM house_runs").fetchone() == (1,)


def test_what_fails_there_is_on_record_and_hinders_nobody(app: App, alone: Path, eyes: Database) -> None:
    def deed() -> dict[str, Any]:
        raise Unavailable("the disk is full")

    _keep(eyes, {"backup": ("0 2 * * *", deed)})
    assert runs(alone) == [("backup", None, "the disk is full")]
    _look(app.house, eyes)
    assert started(app) == ["clean"]


LOST = """
import os, sys
from foretell.app.opening import stores
from foretell.app.worker import _keep
eyes = stores({}, role="foretell_worker", size=2).database
def deed():
    print("begun", flush=True)
    sys.stdin.read()
    os._exit(9)
_keep(eyes, {"backup": ("0 2 * * *", deed)})
"""


def test_what_a_worker_was_lost_with_is_done_by_another_and_given_up_in_the_end(
    app: App, alone: Path, eyes: Database
) -> None:
    done: list[int] = []

    def deed() -> dict[str, Any]:
        done.append(1)
        return {"number": len(done)}

    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", LOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout
            assert other.stdout.readline() == b"begun\n"
            _keep(eyes, {"backup": ("0 2 * * *", deed)})  # it lives, and is not disturbed
            assert runs(alone) == [("backup", None, None)]
            assert other.stdin
            other.stdin.close()
            assert other.wait(30) == 9
    _keep(eyes, {"backup": ("0 2 * * *", deed)})
    assert (done, runs(alone)) == ([], [("backup", None, None)])  # it would go on killing workers
    with above(alone) as connection:
        connection.execute("UPDATE house_runs SET attempts = 2")
    _keep(eyes, {"backup": ("0 2 * * *", deed)})
    _keep(eyes, {"backup": ("0 2 * * *", deed)})
    assert (done, runs(alone)) == ([1], [("backup", {"number": 1}, None)])


def test_nothing_that_is_due_waits_for_the_house(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that takes as long as it likes, and a tenant whose job is due and done meanwhile."""
    monkeypatch.setattr("foretell.app.worker.TICK", 0.1)
    app.schedule.change("clean", enabled=False)
    begun, seen = threading.Event(), threading.Event()

    def deed() -> dict[str, Any]:
        begun.set()
        return {"seen": seen.wait(100)}

    def watch() -> None:
        assert begun.wait(60)
        app.schedule.change("clean", enabled=True, cron="* * * * *")
        end = time.monotonic() + 100
        while time.monotonic() < end and not any(each.state == "done" for each in app.jobs.list()):
            time.sleep(0.1)
        if app.jobs.list():
            seen.set()
        signal.raise_signal(signal.SIGTERM)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work(beat=0.5, own={"backup": ("0 2 * * *", deed)})
    watcher.join()
    assert seen.is_set()
    assert "clean" in started(app)
