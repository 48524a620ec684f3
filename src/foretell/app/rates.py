"""How many requests a user may send: of all processes together where there is a Redis, else to each of them."""

from __future__ import annotations

import logging
import math
import time

from foretell.app.tokens import Who
from foretell.errors import TooMany, Unavailable
from foretell.stores.rates import Rates

RESTS = 5.0  # seconds that a Redis is left alone after it did not answer

log = logging.getLogger("foretell")


class Limit:
    """What a user may send in any minute."""

    def __init__(self, per_minute: int, redis: str | None) -> None:
        """Count in the Redis at a URL and, where there is none or it does not answer, in this process."""
        self.per_minute = per_minute
        self._here = Rates(per_minute)
        self._shared = Rates(per_minute, redis) if redis else None
        self._rests_until = 0.0

    async def count(self, who: Who) -> None:
        """Count a request. Raises TooMany, which tells when to ask again, where there were enough within a minute."""
        until = await self._counted(who.tenant, who.user)
        if until is not None:
            wait = max(1, math.ceil(until - time.time()))
            raise TooMany(f"{self.per_minute} requests a minute are taken of one user; ask again in {wait} s", wait)

    async def _counted(self, *whose: str) -> float | None:
        """When they may ask again; None where they may now."""
        if self._shared and time.monotonic() >= self._rests_until:
            try:
                until = await self._shared.take(*whose)
            except Unavailable as error:
                if not self._rests_until:
                    log.warning("%s; each process counts for itself until it does", error)
                self._rests_until = time.monotonic() + RESTS
            else:
                if self._rests_until:
                    log.warning("the Redis that counts requests answers again")
                self._rests_until = 0.0
                return until
        return await self._here.take(*whose)
