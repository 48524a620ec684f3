"""`foretell jobs`, `schedule` and `worker`: what is done without anybody waiting, when, and by whom."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from foretell.cli.facts import JSON, TENANT
from foretell.cli.verbs import asked_of

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from foretell.app.jobs import Job
    from foretell.app.schedule import Entry
    from foretell.settings import ForetellSettings

AGAIN = 1.0  # seconds until a worker that was lost is started again
GRACE = 10.0  # seconds that it has to finish its job when the server ends
QUEUES = ("ml_training", "ml_analysis", "maintenance")
LIKE = '{"task": "traffic.load"}'
NUMBER = click.argument("job", type=click.UUID)


@click.group()
def jobs() -> None:
    """Show, start and cancel jobs: work that is put on record and done by a worker."""


@jobs.command("list")
@TENANT
@click.option("--state", "states", multiple=True, help="waiting, running, done, failed or cancelled; all if left out.")
@click.option("--limit", default=20, show_default=True)
@JSON
def jobs_list(tenant: str, states: Sequence[Any], limit: int, as_json: bool) -> None:
    """Show a tenant's jobs, newest first."""
    from foretell.app import App
    from foretell.app.jobs import STATES

    with App.open(tenant) as app:
        found = app.jobs.list(states=states or STATES, limit=limit)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], default=str))
        return
    for each in found:
        click.echo(line_of(each))
    if not found:
        click.echo(f"there are no such jobs of {tenant}")


@jobs.command("show")
@NUMBER
@TENANT
@JSON
def jobs_show(job: UUID, tenant: str, as_json: bool) -> None:
    """Show a JOB: how far it is, what came of it."""
    from foretell.app import App

    with App.open(tenant) as app:
        found = app.jobs.get(job)
    click.echo(json.dumps(asdict(found), default=str) if as_json else line_of(found))
    if found.result and not as_json:
        told = {name: value for name, value in found.result.items() if name != "card"}
        click.echo(json.dumps(told, indent=2))


@jobs.command("start")
@click.argument("kind")
@click.option("--told", default="{}", help=f"What it is about, as JSON: {LIKE}")
@click.option("--key", help="A second job with the same key is the first.")
@TENANT
@JSON
def jobs_start(kind: str, told: str, key: str | None, tenant: str, as_json: bool) -> None:
    """Start a job of a KIND: train, retrain, predict, refresh, detect, collect, notify or clean."""
    from foretell.app import App

    with App.open(tenant) as app:
        made = app.jobs.start(kind, asked_of(told, "--told", LIKE), run_key=key)
    click.echo(json.dumps(asdict(made), default=str) if as_json else line_of(made))


@jobs.command("cancel")
@NUMBER
@TENANT
def jobs_cancel(job: UUID, tenant: str) -> None:
    """Let a JOB end: at once one that waits, at its next step one that runs."""
    from foretell.app import App

    with App.open(tenant) as app:
        click.echo(line_of(app.jobs.cancel(job)))


def line_of(job: Job) -> str:
    """A job in one line."""
    far = f" {job.progress:.0%}{f', {job.doing}' if job.doing else ''}" if job.state == "running" else ""
    wrong = f": {job.error}: {job.message}" if job.error else ""
    ending = ", to be cancelled" if job.cancelled and job.state == "running" else ""
    return (
        f"{job.job_id}  {job.created_at:%Y-%m-%d %H:%M:%S}  {job.kind:<8} {job.subject:<20} {job.state}{far}{ending}"
        f"  ({job.asked_by}){wrong}"
    )


# ---------------------------------------------------------------- schedule


@click.group()
def schedule() -> None:
    """Show and change when a tenant's jobs are due, by its own clocks."""


@schedule.command("list")
@TENANT
@JSON
def schedule_list(tenant: str, as_json: bool) -> None:
    """Show what is due, and when next."""
    from foretell.app import App

    with App.open(tenant) as app:
        found = app.schedule.list()
    click.echo(json.dumps([asdict(e) for e in found], default=str) if as_json else "\n".join(map(_when, found)))


@schedule.command("set")
@click.argument("name")
@click.argument("cron")
@TENANT
def schedule_set(name: str, cron: str, tenant: str) -> None:
    """Let NAME (retrain:traffic.load, clean, …) be due at CRON ('0 2 * * 1'), or by `default`."""
    _change(tenant, name, cron=cron, enabled=True)


@schedule.command("on")
@click.argument("name")
@TENANT
def schedule_on(name: str, tenant: str) -> None:
    """Let NAME be due again."""
    _change(tenant, name, enabled=True)


@schedule.command("off")
@click.argument("name")
@TENANT
def schedule_off(name: str, tenant: str) -> None:
    """Let NAME never be due."""
    _change(tenant, name, enabled=False)


def _change(tenant: str, name: str, **told: Any) -> None:
    from foretell.app import App

    with App.open(tenant) as app:
        click.echo(_when(app.schedule.change(name, **told)))


def _when(entry: Entry) -> str:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(entry.zone)
    then = f"next {entry.next_due.astimezone(zone):%a %Y-%m-%d %H:%M}" if entry.next_due else "off"
    last = f", last {entry.fired_at.astimezone(zone):%Y-%m-%d %H:%M}" if entry.fired_at else ""
    return f"{entry.name:<28} {entry.cron:<14} {entry.zone:<18} {then}{last}"


# ---------------------------------------------------------------- worker


@click.command()
@click.option("--once", is_flag=True, help="End when no job is waiting.")
@click.option(
    "--beat", type=click.FloatRange(0.1, 300),
    help="Seconds between signs of life; after three without, its job goes to another.  [FORETELL_BEAT; 5]",
)  # fmt: skip
@click.option(
    "--queue", "queues", multiple=True, type=click.Choice(QUEUES),
    help="Do the jobs of this queue alone; may be given several times.  [all]",
)  # fmt: skip
def worker(once: bool, beat: float | None, queues: Sequence[str]) -> None:
    """Do jobs and start what is due, until told to end; run as many as you like, on any host.

    One training at a time, and beside it one job of the other queues. `foretell serve` runs one beside it.
    """
    from foretell.app import logs
    from foretell.app.worker import work
    from foretell.settings import ForetellSettings

    logs.begin()
    settings = ForetellSettings()
    work(beat=beat or settings.beat, wait=not once, own=own(settings), queues=queues or QUEUES)


@contextmanager
def beside(settings: ForetellSettings) -> Iterator[None]:
    """A worker in a process of its own, started again when it is lost; ended at the end."""
    if not settings.jobs or settings.read_only:
        yield
        return
    from foretell.app import cores

    may = cores.allowed()  # now: the thread that starts a worker again may be kept to fewer
    ended, running = threading.Event(), [_started(may)]

    def keep() -> None:
        while not ended.is_set():
            running[0].join(AGAIN)
            if running[0].exitcode is not None and not ended.wait(AGAIN):
                running[0] = _started(may)

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()
        running[0].terminate()
        running[0].join(GRACE)
        running[0].kill()  # its job goes to another, or is taken up at the next start


def _started(may: frozenset[int]) -> SpawnProcess:
    made = multiprocessing.get_context("spawn").Process(target=_beside, args=[may])
    made.start()
    return made


def _beside(may: frozenset[int]) -> None:
    """Work beside a server, on the cores that one may use, giving way to it, for as long as it lives."""
    from foretell.app import cores, logs
    from foretell.app.pool import NICER, end_with_parent
    from foretell.app.worker import work
    from foretell.settings import ForetellSettings

    cores.keep_to(may)
    end_with_parent()
    with suppress(OSError, AttributeError):  # Windows
        os.nice(NICER)
    logs.begin()
    settings = ForetellSettings()
    work(beat=settings.beat, own=own(settings))


def own(settings: ForetellSettings) -> dict[str, tuple[str, Callable[[], Mapping[str, Any]]]]:
    """What a worker does for the house, and when (UTC): the nightly backup, unless it is off."""
    from foretell import upkeep

    at = upkeep.backup_at(settings)
    return {"backup": (at, lambda: upkeep.nightly(settings, datetime.now(UTC)))} if at else {}
