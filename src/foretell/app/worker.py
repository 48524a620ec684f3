"""A worker: does jobs, trainings beside all others, and starts what is due; any number of them, on any hosts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from foretell.app.declared import domains
from foretell.app.house import House
from foretell.app.jobs import refuse, run
from foretell.app.kinds import QUEUES
from foretell.app.opening import stores
from foretell.app.schedule import tick
from foretell.engine.timetable import last_due
from foretell.errors import ForetellError, Unauthorized, Unavailable
from foretell.stores import queue, schedules
from foretell.stores.access import WORKER
from foretell.stores.database import Database
from foretell.stores.jobs import Again

log = logging.getLogger("foretell")

TICK = 15.0  # seconds between two looks at the clock
LATER = 30.0  # seconds until a job is taken up again whose record the database did not show
LONG = "ml_training"  # whose jobs take so long that no other queue's may wait for them

Deed = Callable[[], Mapping[str, Any]]


def work(
    *,
    beat: float,
    wait: bool = True,
    own: Mapping[str, tuple[str, Deed]] | None = None,
    queues: Sequence[str] = QUEUES,
) -> None:
    """Do the jobs of `queues` until told to end (SIGINT, SIGTERM) or, unless it shall `wait`, until none is waiting.

    One training at a time, and beside it one of all others; unless it shall `wait`, one after the other. `own` is what
    the house does for itself: by name the time, as cron writes it (UTC), and the deed, whose figures are kept. A worker
    says every `beat` seconds that it lives. Raises what `House.open` does.
    """
    lanes = _lanes(queues) if wait else [list(queues)]
    house = House.open(size=2 * len(lanes))
    house.keys  # noqa: B018 - without a secret no job can be believed
    house.warm()
    eyes = stores(domains(), role=WORKER, size=2).database

    async def beside() -> None:  # a backup takes long, and what is due for tenants does not wait for it
        await asyncio.gather(_again(_look, house, eyes), _again(_keep, eyes, own or {}))

    try:
        asyncio.run(
            queue.work(
                eyes.url, lambda tenant, job, seal: _take(house, tenant, job, seal), beat=beat, beside=beside,
                lanes=lanes, wait=wait,
            )
        )  # fmt: skip
    finally:
        eyes.close()
        house.close()


async def _again(look: Callable[..., None], *told: object) -> None:
    """Look, in a thread of its own, and look again a while after it is done."""
    while True:
        await asyncio.to_thread(look, *told)
        await asyncio.sleep(TICK)


def _lanes(queues: Sequence[str]) -> list[list[str]]:
    """Queues that are worked on one beside the other: that of trainings, and all others together."""
    long, short = [each for each in queues if each == LONG], [each for each in queues if each != LONG]
    return [each for each in (long, short) if each]


def _take(house: House, tenant: str, job: str, seal: str) -> None:
    """Do a job; one whose seal does not hold fails with those words, or it would stay on record for ever."""
    try:
        run(house, tenant, job, seal)
    except Unauthorized as error:
        log.warning("job %s of %s is refused: %s", job, tenant, error)
        refuse(house, tenant, job, error)
    except Unavailable as error:  # of the record, not of the job: the queue must not forget what is still on it
        log.warning("job %s of %s is taken up later: %s", job, tenant, error)
        raise Again(LATER) from error


def _look(house: House, eyes: Database) -> None:
    """Start what is due for tenants; what hinders it is said, and tried again at the next look."""
    try:
        tick(house, eyes, datetime.now(UTC))
    except Exception as error:
        log.warning("looking for what is due: %s", error)


def _keep(eyes: Database, own: Mapping[str, tuple[str, Deed]]) -> None:
    """Do what is due for the house itself, however long it takes; what hinders it is tried again at the next look."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    for name, (cron, deed) in own.items():
        try:
            _do(eyes, name, last_due(cron, "UTC", now), deed)
        except Exception as error:
            log.warning("looking for what is due for the house: %s", error)


def _do(eyes: Database, name: str, moment: datetime, deed: Deed) -> None:
    """Do what the house does for itself, if it is due and no other worker does; also where one was lost with it."""
    if not _due(eyes, name, moment):
        return
    with schedules.alone(eyes.url, eyes.role, name) as alone:
        if not alone or not _due(eyes, name, moment):
            return
        with eyes.nobody() as connection:
            go = schedules.run_begins(connection, name, moment)
        if go > 1:
            log.warning("%s: the worker that did it was lost; it is done anew (%d of %d)", name, go, schedules.GOES)
        told, error = None, None
        try:
            told = deed()
            log.info("%s: %s", name, told)
        except (ForetellError, OSError) as why:
            error = str(why)
            log.exception("%s failed", name)
        with eyes.nobody() as connection:
            schedules.run_ends(connection, name, moment, told=told, error=error)


def _due(eyes: Database, name: str, moment: datetime) -> bool:
    """Whether what the house does for itself has not come to an end since that moment, nor since there are tenants."""
    with eyes.nobody() as connection:
        since = schedules.last_run(connection, name) or min(
            (clock.since for clock in schedules.clocks(connection).values()), default=None
        )
    return since is not None and moment > since
