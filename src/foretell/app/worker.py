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
from foretell.errors import ForetellError, Unauthorized
from foretell.stores import queue, schedules
from foretell.stores.access import WORKER
from foretell.stores.database import Database

log = logging.getLogger("foretell")

TICK = 15.0  # seconds between two looks at the clock
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
    eyes = stores(domains(), role=WORKER, size=1).database

    async def beside() -> None:
        while True:
            await asyncio.to_thread(_look, house, eyes, own or {})
            await asyncio.sleep(TICK)

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


def _look(house: House, eyes: Database, own: Mapping[str, tuple[str, Deed]]) -> None:
    """Start what is due; what hinders it is said, and tried again at the next look."""
    now = datetime.now(UTC)
    try:
        tick(house, eyes, now)
        for name, (cron, deed) in own.items():
            _do(eyes, name, last_due(cron, "UTC", now.replace(second=0, microsecond=0)), deed)
    except Exception as error:
        log.warning("looking for what is due: %s", error)


def _do(eyes: Database, name: str, moment: datetime, deed: Deed) -> None:
    """Do what the house does for itself, if it is due and no other worker does."""
    with eyes.nobody() as connection:
        since = schedules.last_run(connection, name) or min(
            (clock.since for clock in schedules.clocks(connection).values()), default=None
        )
        if since is None or moment <= since or not schedules.run_begins(connection, name, moment):
            return
    told, error = None, None
    try:
        told = deed()
        log.info("%s: %s", name, told)
    except (ForetellError, OSError) as why:
        error = str(why)
        log.exception("%s failed", name)
    with eyes.nobody() as connection:
        schedules.run_ends(connection, name, moment, told=told, error=error)
