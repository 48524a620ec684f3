"""The queue: hands the numbers of jobs to workers, one worker each, a lost worker's to another.

It is procrastinate's, in the same PostgreSQL, in a schema of its own that only workers see.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import procrastinate
from procrastinate import signals
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.worker import Worker
from psycopg import AsyncConnection

from foretell.stores.access import QUEUE, WORKER
from foretell.stores.jobs import Again

log = logging.getLogger("foretell")


class _Later(BaseRetryStrategy):
    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:  # noqa: ARG002
        if not isinstance(exception, Again):
            return None
        # The library hands out none of a tenant's jobs behind one that waits, unless that one is of a lower priority;
        # so those that wait aside are below all others, and the one that is due later below the one that is sooner.
        below = -int(exception.aside.timestamp() / 10) if exception.aside else None
        return RetryDecision(retry_in={"seconds": int(exception.seconds)}, priority=below)


async def _enter(connection: AsyncConnection[Any]) -> None:
    await connection.execute(f"SET ROLE {WORKER}".encode())
    await connection.execute(f"SET search_path TO {QUEUE}".encode())
    await connection.commit()


async def work(
    url: str,
    do: Callable[[str, str, str], None],
    *,
    beat: float,
    beside: Callable[[], Awaitable[None]],
    lanes: Sequence[Sequence[str]],
    wait: bool = True,
) -> None:
    """Take jobs until told to end (SIGINT, SIGTERM), or, unless it shall `wait`, until there is none.

    Each of the `lanes` does the jobs of its queues one at a time, whatever the others do. `do` gets tenant, number and
    seal, in a thread of its own, and may raise Again. A lane says every `beat` seconds that it lives; the jobs of one
    that has not for three of them are given to others. `beside` runs along.
    """
    connector = procrastinate.PsycopgConnector(conninfo=url, configure=_enter, min_size=1, max_size=1 + 2 * len(lanes))
    app = procrastinate.App(connector=connector)

    @app.task(name="job", retry=_Later())
    def take(tenant: str, job: str, seal: str) -> None:
        do(tenant, job, seal)

    async with app.open_async():
        along = [asyncio.create_task(each) for each in (_rescue(app, beat), _along(beside))]
        try:
            await _work([_lane(app, queues, beat, wait) for queues in lanes], wait)
        finally:
            for each in along:
                each.cancel()


def _lane(app: procrastinate.App, queues: Sequence[str], beat: float, wait: bool) -> Worker:
    return Worker(
        app, queues=queues, concurrency=1, wait=wait, delete_jobs="always", update_heartbeat_interval=beat,
        stalled_worker_timeout=3 * beat, fetch_job_polling_interval=min(5.0, beat), install_signal_handlers=False,
    )  # fmt: skip


async def _work(lanes: Sequence[Worker], wait: bool) -> None:
    """Run lanes until they are told to end or have nothing to do. Where one breaks, all end: half a worker is none."""

    def end() -> None:
        for each in lanes:
            each.stop()  # type: ignore[no-untyped-call]

    with signals.on_stop(end) if wait else nullcontext():
        running = [asyncio.create_task(each.run()) for each in lanes]  # type: ignore[no-untyped-call]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED if wait else asyncio.ALL_COMPLETED)
        finally:
            end()
            await asyncio.gather(*running)


async def _along(beside: Callable[[], Awaitable[None]]) -> None:
    await beside()


async def _rescue(app: procrastinate.App, beat: float) -> None:
    """Give the jobs of workers that are gone to others."""
    while True:
        try:
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=3 * beat):
                with suppress(ConnectorException):  # another worker was quicker
                    await app.job_manager.retry_job(job)
                    log.warning("a worker was lost; its job %s goes to another", job.task_kwargs.get("job"))
        except ConnectorException as error:
            log.warning("looking for lost workers: %s", error)
        await asyncio.sleep(beat)
