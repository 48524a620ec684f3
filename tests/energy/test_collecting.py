"""The weather comes by itself twice a day: the schedule starts it, a worker fetches it, and what fails is told."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from uuid import uuid4

import numpy as np
import polars as pl
import pytest
from tests.deciding import above, tenancy
from tests.letters import chat, mails
from tests.providers import KEY, Providers, providers

from foretell.app import App, jobs
from foretell.app.collecting import Sources
from foretell.app.jobs import SCHEDULE
from foretell.app.opening import add_tenant, stores
from foretell.app.schedule import tick
from foretell.app.worker import work
from foretell.cli.demo_plants import PLANTS as SITES
from foretell.domains.energy import DOMAIN
from foretell.domains.energy.sources import ARCHIVE_LATE, NASA_LATE
from foretell.domains.energy.validation import DataValidator
from foretell.engine.timetable import next_due
from foretell.stores.access import WORKER
from foretell.stores.jobs import Job

PLANT = ("plant", "kind", "since", "latitude", "longitude", "capacity_kw")
FORECAST, SUN, AIR = "energy.open_meteo", "energy.nasa_power", "energy.open_meteo_archive"
DUE = {f"collect:{name}" for name in (FORECAST, SUN, AIR)}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Providers]:
    """Every provider of energy's weather, here."""
    with providers(datetime.now(UTC)) as running:
        for source in DOMAIN.sources:
            monkeypatch.setenv(f"FORETELL_URLS__{source.name.upper()}", running.url)
        monkeypatch.setenv("OPENWEATHER_API_KEY", KEY)
        yield running


@pytest.fixture
def app(alone: Path, server: Providers) -> Iterator[App]:
    """A tenant with a roof and a turbine, alone in the house for ten days."""
    with tenancy("UTC") as made:
        with above(alone) as connection:
            connection.execute("DELETE FROM tenants WHERE tenant_id <> %s", [made.tenant])
            connection.execute("UPDATE providers SET spent = 0, failures = 0, rests_until = NULL")
            connection.execute("UPDATE tenants SET created_at = now() - interval '10 days'")
            connection.execute("SET search_path TO foretell_queue, public")
            for table in ("schedules", "jobs", "house_runs", "procrastinate_jobs"):
                connection.execute(f"DELETE FROM {table}".encode())
        usual = {"since": "2024-01-01T00:00Z", "latitude": 55.0, "longitude": 9.0, "capacity_kw": 100.0}
        kinds = [{"plant": "roof", "kind": "solar"}, {"plant": "mill", "kind": "wind"}]
        made.import_("energy.plants", pl.DataFrame([usual | kind for kind in kinds]))
        yield made


def fetched(app: App) -> dict[str, Job]:
    """What the schedule has had collected, by source."""
    due = {each.name: each for each in app.schedule.list() if each.enabled}
    assert due.keys() > DUE
    database = stores({}, role=WORKER, size=2).database
    try:
        tick(app.house, database, datetime.now(UTC))
    finally:
        database.close()
    work(wait=False, beat=0.5)
    return {job.subject: job for job in app.jobs.list() if job.kind == "collect"}


def recorded(app: App) -> dict[str, tuple[int, int]]:
    """The rows of the audit, by source: how many places were wanted, and of how many something came."""
    with app.desk.inside() as connection:
        rows = connection.execute("SELECT subject, details FROM audit WHERE action = 'collect'").fetchall()
    return {subject: (told["wanted"], told["answered"]) for subject, told in rows}


@pytest.mark.row("E1")
def test_the_weather_is_due_twice_a_day(app: App) -> None:
    start = datetime(2026, 3, 3, tzinfo=UTC)
    for entry in (each for each in app.schedule.list() if each.name in DUE):
        times = [next_due(entry.cron, "UTC", start)]
        times.append(next_due(entry.cron, "UTC", times[0]))
        assert times[1] - times[0] == timedelta(hours=12)
        assert next_due(entry.cron, "UTC", times[1]) == times[0] + timedelta(days=1)


@pytest.mark.row("E1")
def test_a_worker_fetches_what_is_due_of_each_kind_of_plant_though_a_provider_stumbles(
    app: App, server: Providers
) -> None:
    server.orders.extend(["503", "truncated"])
    jobs = fetched(app)
    assert {name: job.state for name, job in jobs.items()} == dict.fromkeys((FORECAST, SUN, AIR), "done")
    assert recorded(app) == dict.fromkeys((FORECAST, SUN, AIR), (2, 2))
    assert set(app.facts("energy.forecasts")["plant"]) == {"roof", "mill"}
    assert set(app.facts("energy.observed")["plant"]) == {"roof", "mill"}


@pytest.mark.row("E1")
def test_what_fails_at_every_go_is_told_by_mail_and_in_a_chat_once_a_day(
    app: App, server: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.always = {"/": "503"}
    monkeypatch.setattr(jobs, "FIRST", 0.0)
    monkeypatch.setattr(jobs, "LONGEST", timedelta())  # nobody who is left alone is waited for
    with mails() as post, chat() as room:
        monkeypatch.setenv("FORETELL_MAIL", f"smtp://127.0.0.1:{post.port}")
        monkeypatch.setenv("FORETELL_CHATS", room.origin)
        app.settings.change("tenant", {"notify_mail": ["sun@example.org"], "notify_chat": f"{room.origin}/hook"})
        failed = fetched(app)
        assert {job.state for job in failed.values()} == {"failed"}
        told = {mail["Subject"] for _, mail in post.got}
        assert told == {f"[foretell {app.tenant}] high: {name}" for name in (FORECAST, SUN, AIR)}
        assert all("foretell sources says from whom, and why" in mail.get_content() for _, mail in post.got)
        assert len(room.got) == len(post.got) == 3
        for name in failed:
            App(replace(app.desk, who=SCHEDULE)).jobs.start("collect", {"source": name})
        work(wait=False, beat=0.5)
        assert len(room.got) == len(post.got) == 3


def at_once(alone: Path) -> None:
    """Whatever is to be tried again later is to be tried now."""
    with above(alone) as connection:
        connection.execute("SET search_path TO foretell_queue")
        connection.execute("UPDATE procrastinate_jobs SET scheduled_at = now(), priority = 0 WHERE status = 'todo'")


@pytest.mark.row("E1")
def test_a_provider_that_is_away_is_waited_for_and_said_once(
    app: App, alone: Path, server: Providers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server.always = {"/": "503"}
    monkeypatch.setattr("foretell.app.asking.BACKOFF", 0.0)
    monkeypatch.setattr(jobs, "FIRST", 0.0)
    others = [App(replace(app.desk, tenant=f"t{uuid4().hex[:12]}")) for _ in range(3)]
    for other in others:
        add_tenant(other.tenant, zone="UTC")
        other.import_("energy.plants", app.facts("energy.plants").select(PLANT))
    with above(alone) as connection:
        connection.execute("UPDATE tenants SET created_at = now() - interval '10 days'")
    with caplog.at_level(logging.WARNING, logger="foretell"):
        waiting = [*fetched(app).values()]
        for _ in range(jobs.ATTEMPTS + 1):  # they look in vain more often than they may try
            at_once(alone)
            work(wait=False, beat=0.5)
    everybody = [app, *others]
    told = [job for one in everybody for job in one.jobs.list() if job.kind == "collect"]
    assert len(told) == len(DUE) * len(everybody)
    assert {(job.state, job.error) for job in told} == {("waiting", "Unavailable")}
    assert max(job.attempts for job in told) > jobs.ATTEMPTS
    assert [one.notices.list() for one in everybody] == [[]] * len(everybody)
    said = [each.message for each in caplog.records if "left alone by all tenants until" in each.message]
    assert len(said) == 3  # providers
    assert len(caplog.records) <= len(said) + 4  # what happened before they rested
    with above(alone) as connection:
        late = "SELECT scheduled_at, priority FROM foretell_queue.procrastinate_jobs WHERE args ->> 'tenant' = %s"
        rests = connection.execute("SELECT min(rests_until), max(rests_until) FROM providers").fetchone()
        assert rests
        for when, priority in connection.execute(late, [app.tenant]).fetchall():
            assert rests[0] <= when <= rests[1] + timedelta(seconds=jobs.SPREAD)
            assert priority < -1_000_000
        connection.execute("UPDATE providers SET rests_until = now()")
    server.always = {}
    looked = app.jobs.start("detect", {"report": "energy.watch"})  # nobody's turn is kept by one that waits so
    work(wait=False, beat=0.5)
    assert app.jobs.get(looked.job_id).state == "done"
    at_once(alone)
    work(wait=False, beat=0.5)
    assert {app.jobs.get(job.job_id).state for job in waiting} == {"done"}


@pytest.mark.row("E1")
def test_a_provider_that_stays_away_is_waited_for_some_hours(
    app: App, alone: Path, server: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.always = {"/": "503"}
    monkeypatch.setattr("foretell.app.asking.BACKOFF", 0.0)
    monkeypatch.setattr(jobs, "FIRST", 0.0)
    assert {job.state for job in fetched(app).values()} == {"waiting"}
    with above(alone) as connection:
        connection.execute("UPDATE jobs SET started_at = now() - interval '8 hours' WHERE kind = 'collect'")
    at_once(alone)
    work(wait=False, beat=0.5)
    told = [job for job in app.jobs.list() if job.kind == "collect"]
    assert {(job.state, job.error) for job in told} == {("failed", "Unavailable")}
    assert len(app.notices.list()) == len(DUE)


@pytest.mark.row("E1")
def test_what_fails_is_in_the_log_in_the_audit_and_at_the_job_which_is_tried_again(
    app: App, server: Providers, caplog: pytest.LogCaptureFixture
) -> None:
    server.always = {"/": "html"}
    with caplog.at_level(logging.WARNING, logger="foretell"):
        jobs = fetched(app)
    (job,) = (job for job in jobs.values() if job.attempts)  # the others come after it
    assert (job.state, job.error) == ("waiting", "Unavailable")
    assert "nothing came for some places" in str(job.message)
    assert recorded(app) == {job.subject: (2, 0)}
    assert f"{job.subject} of {app.tenant}: nothing came for 2 of 2 places" in caplog.text
    (known,) = (one for one in app.sources.list("energy") if one.source == job.subject)
    assert known.success == 0.0


@pytest.mark.row("E14")
def test_two_weeks_of_misanswered_requests_lose_nothing(app: App, server: Providers) -> None:
    """Twice a day, and of the requests of all providers every fifth is misanswered in one way or another."""
    random, start = np.random.default_rng(5), datetime(2026, 3, 2, 0, 5, tzinfo=UTC)
    hows = ["503", "500", "429", "truncated", "html", "cut"]
    for k in range(28):
        server.now = moment = start + timedelta(hours=12 * k)
        server.orders = deque(str(random.choice(hows)) if random.random() < 0.2 else None for _ in range(500))
        sources = Sources(desk=app.desk, now=lambda at=moment: at, sleep=lambda _: None)  # type: ignore[misc]
        done = sources.collect("energy")
        assert all(one.tried for one in done)
    known = {one.source: one.success for one in sources.list("energy") if one.success is not None}
    assert {*known} == {FORECAST, SUN, AIR}
    assert min(known.values()) > 0.95
    late = {
        "forecasts": {"roof": timedelta(), "mill": timedelta()},
        "observed": {"roof": NASA_LATE, "mill": ARCHIVE_LATE},
    }
    with app.desk.inside() as connection:
        for table, of in late.items():
            rows = connection.execute(f"SELECT plant, time FROM energy.{table}_now".encode()).fetchall()
            for plant, behind in of.items():  # every hour that could be known by then is there
                until = moment.replace(minute=0) - behind
                hours = {until - timedelta(hours=k) for k in range(1, (until - start) // timedelta(hours=1) + 1)}
                assert hours <= {time for name, time in rows if name == plant}, (table, plant)
    assert app.quarantine.list("energy.forecasts").is_empty()
    assert app.quarantine.list("energy.observed").is_empty()


@pytest.mark.row("E14")
@pytest.mark.parametrize("name", SITES)
def test_readings_of_real_plants_are_of_a_quality_above_nine_tenths(name: str) -> None:
    site = SITES[name]
    with as_file(files("foretell") / "samples" / f"{name}.csv.gz") as path:
        rows = pl.read_csv(path).with_columns(pl.col("time").str.to_datetime(time_zone="UTC"))
    told = {key: site[key] for key in ("latitude", "longitude")}
    validator = DataValidator(site["kind"], capacity_kw=site["capacity_kw"], **told)
    _, report = validator.validate_dataframe(rows)
    assert report["data_quality_score"] > 0.9, report
