"""How often somebody asks in any minute: counted in this process, or in a Redis for all that count there."""

from __future__ import annotations

from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from foretell.errors import Unavailable, first_line

WAIT = 0.25  # seconds for a Redis to answer


class Rates:
    """Counts of requests, for the tasks of one event loop; keys in Redis begin with `foretell`."""

    def __init__(self, per_minute: int, url: str | None = None) -> None:
        """Let somebody send so many requests a minute; counted in the Redis at `url`, or here."""
        told: dict[str, Any] = {
            "implementation": "redispy", "wrap_exceptions": True, "key_prefix": "foretell",
            "socket_timeout": WAIT, "socket_connect_timeout": WAIT, "retry": Retry(NoBackoff(), 0),
        }  # fmt: skip
        # A window that moves: at no time have more come within a minute, and one who was refused is not counted.
        storage = storage_from_string(f"async+{url}", **told) if url else storage_from_string("async+memory://")
        self._limiter = MovingWindowRateLimiter(storage)
        self._item = RateLimitItemPerMinute(per_minute)

    async def take(self, *whose: str) -> float | None:
        """Count a request of somebody; None, or the moment (Unix seconds) from which on they may ask again.

        Raises Unavailable where the Redis does not answer.
        """
        try:
            if await self._limiter.hit(self._item, *whose):
                return None
            return (await self._limiter.get_window_stats(self._item, *whose)).reset_time
        except StorageError as error:
            raise Unavailable(f"the Redis that counts requests does not answer ({first_line(error)})") from error
