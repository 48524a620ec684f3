"""The queue: hands the numbers of jobs to workers, one worker each, a lost worker's to another.

It is procrastinate's, in the same PostgreSQL, in a schema of its own that only workers see.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import procrastinate
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from psycopg import AsyncConnection

from foretell.stores.access import QUEUE, WORKER
from foretell.stores.jobs import Again

log = logging.getLogger("foretell")


class _Later(BaseRetryStrategy):
    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:  # noqa: ARG002
        return RetryDecision(retry_in={"seconds": int(exception.seconds)}) if isinstance(exception, Again) else None


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
    wait: bool = True,
) -> None:
    """Take jobs one at a time until told to end (SIGINT, SIGTERM), or, unless it shall `wait`, until there is none.

    `do` gets tenant, number and seal, in a thread of its own, and may raise Again. A worker says every `beat` seconds
    that it lives; the jobs of one that has not for three of them are given to others. `beside` runs along.
    """
    connector = procrastinate.PsycopgConnector(conninfo=url, configure=_enter, min_size=1, max_size=3)
    app = procrastinate.App(connector=connector)

    @app.task(name="job", retry=_Later())
    def take(tenant: str, job: str, seal: str) -> None:
        do(tenant, job, seal)

    async with app.open_async():
        along = [asyncio.create_task(each) for each in (_rescue(app, beat), _along(beside))]
        try:
            await app.run_worker_async(
                concurrency=1, wait=wait, delete_jobs="always", update_heartbeat_interval=beat,
                stalled_worker_timeout=3 * beat, fetch_job_polling_interval=min(5.0, beat),
                install_signal_handlers=wait,
            )  # fmt: skip
        finally:
            for each in along:
                each.cancel()


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
