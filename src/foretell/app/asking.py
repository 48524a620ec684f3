"""One source, asked for what is wanted of it: patiently, within its quota, and not while it is down.

A request is sent again after a wait that doubles each time and is partly drawn by lot, or after as long as the provider
says. What a provider counts, and whether it is down, is known of all tenants and processes together.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl
from pydantic import BaseModel

from foretell.app.intake import Intake, intake
from foretell.app.tenancy import Tenancy
from foretell.contract import Domain, Frame, Get, Source, Wanted
from foretell.errors import BrokenDomain, InvalidRequest, Unavailable
from foretell.settings import ForetellSettings
from foretell.stores import providers
from foretell.stores.outside import Getting, Said

log = logging.getLogger("foretell")

TRIES = 4  # of a request, the first included
BACKOFF = 1.0  # seconds before the second, at most; twice as many before each further one
PATIENCE = timedelta(minutes=1)  # a provider that wants to be asked later than that is left alone until then
PASSING = (408, 425, 429)  # statuses after which it may go well, as after those from 500 on
OF_ALL = (401, 403)  # those that every other request would get too
ROWS = 50_000  # that are stored at once


class Tried(BaseModel):
    """What came of asking one source: of so many places wanted so many were answered, with `requests` in all.

    `retries` of them were sent again. `why` says by reason how many of what was asked came to nothing.
    """

    source: str
    provider: str
    wanted: int = 0
    answered: int = 0
    requests: int = 0
    retries: int = 0
    accepted: int = 0
    revised: int = 0
    unchanged: int = 0
    rejected: int = 0
    why: dict[str, int] = {}
    seconds: float = 0.0


class _MissedError(Exception):
    """A request that came to nothing, and why."""


@dataclass(kw_only=True)
class Asking:
    """Asks a source of a domain for a tenant, by `get`; `now` and `sleep` are the clock's."""

    desk: Tenancy
    domain: Domain
    source: Source
    get: Getting
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    tried: Tried = field(init=False)

    def __post_init__(self) -> None:
        told, source = ForetellSettings(), self.source
        self.tried = Tried(source=f"{self.domain.name}.{source.name}", provider=source.provider)
        self._url, self._key = told.urls.get(source.name, source.url), told.keys.get(source.provider)
        self._sent = float("-inf")

    def ask(self, wanted: Wanted) -> Frame:
        """Ask, and store what comes; returns the places that were not answered. `tried` tells the rest.

        Raises BrokenDomain where the source does not keep the contract, and what the stores raise.
        """
        began, tried = time.perf_counter(), self.tried
        taken = intake(self.desk, f"{self.domain.name}.{self.source.table}", tried.source)
        parts: list[Frame] = []
        good, bad = [wanted.places.clear()], [wanted.places.clear()]
        for get in self._gets(wanted):
            try:
                parts.append(self._rows(get))
                good.append(get.wanted.places)
            except _MissedError as missed:
                tried.why[str(missed)] = tried.why.get(str(missed), 0) + 1
                bad.append(get.wanted.places)
            if sum(part.height for part in parts) >= ROWS:
                self._store(taken, parts)
        self._store(taken, parts)
        became = taken.done()
        tried.accepted, tried.revised = became.accepted, became.revised
        tried.unchanged, tried.rejected = became.unchanged, became.rejected
        every = wanted.places.columns
        answered = pl.concat(good).join(pl.concat(bad), on=every, how="anti", nulls_equal=True)
        left = wanted.places.join(answered, on=every, how="anti", nulls_equal=True)
        tried.wanted, tried.answered = wanted.places.height, wanted.places.height - left.height
        tried.seconds = round(time.perf_counter() - began, 3)
        return left

    def _gets(self, wanted: Wanted) -> list[Get]:
        """The requests; none, and why, where they would be in vain."""
        key = self.source.key
        if key and key.needed and self._key is None:
            name = f"FORETELL_KEYS__{self.source.provider.upper()}"
            self.tried.why[f"it needs a key; type: export {name}=…"] = 1
            return []
        if wanted.since >= wanted.until:
            self.tried.why["it knows nothing of that time yet"] = 1
            return []
        try:
            return [*self.source.requests(wanted)]
        except Exception as error:
            raise self._broken("requests", error) from error

    def _rows(self, get: Get) -> Frame:
        body = self._body(get)
        try:
            rows = self.source.parse(body, get)
        except InvalidRequest as error:
            self._failed(None, str(error))
            raise _MissedError(str(error)) from None
        except Exception as error:
            raise self._broken("parse", error) from error
        with self.desk.transaction(durable=False) as connection:
            providers.answered(connection, self.source.provider)
        return rows

    def _store(self, taken: Intake, parts: list[Frame]) -> None:
        """Take in what came so far, by the same door as what is brought."""
        rows = [part for part in parts if part.height]
        parts.clear()
        if rows:
            try:
                checked = taken.check(pl.concat(rows, how="diagonal"))
            except InvalidRequest as error:
                raise self._broken("parse", error) from error
            taken.store(checked)

    def _broken(self, what: str, error: Exception) -> BrokenDomain:
        return BrokenDomain(f"{self.tried.source}: {what}: {type(error).__name__}: {error}")

    # ------------------------------------------------------------ over the wire

    def _body(self, get: Get) -> bytes:
        """What is answered in the end. Raises _MissedError."""
        words, later = "", timedelta()
        for attempt in range(TRIES):
            if attempt:
                backoff = BACKOFF * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all ask at once
                self.sleep(max(later.total_seconds(), backoff))
                self.tried.retries += 1
            said = self._once(get)
            if isinstance(said, Said):
                if said.status == 200:
                    return said.body
                words, later = f"HTTP {said.status}", said.later or timedelta()
                if said.status < 500 and said.status not in PASSING:
                    if said.status in OF_ALL:
                        self._failed(None, words)
                    raise _MissedError(words)
                if later > PATIENCE:
                    break
            else:
                words, later = said, timedelta()
        self._failed(later if later > PATIENCE else None, words)
        raise _MissedError(words)

    def _once(self, get: Get) -> Said | str:
        """An answer, or why there is none. Raises _MissedError where it may not be asked for now."""
        quota, now = self.source.quota, self.now()
        with self.desk.transaction(durable=False) as connection:
            if not providers.spend(connection, self.source.provider, cost=get.cost, quota=quota.day, now=now):
                raise _MissedError(self._why_not(providers.known(connection, self.source.provider), now))
        gap = self._sent + 60.0 * get.cost / quota.minute - time.monotonic()
        if gap > 0:
            self.sleep(gap)
        self._sent = time.monotonic()
        self.tried.requests += 1
        query, headers = dict(get.query), {"User-Agent": "foretell"}
        if self.source.key and self._key:
            told = query if self.source.key.place == "query" else headers
            told[self.source.key.name] = self._key.get_secret_value()
        try:
            return self.get(f"{self._url}{get.path}", query, headers)
        except Unavailable as error:
            return str(error)

    def _why_not(self, known: providers.Provider | None, now: datetime) -> str:
        if known and known.rests_until and known.rests_until > now:
            return (
                f"{self.source.provider} is left alone until {known.rests_until:%Y-%m-%d %H:%M %Z}: it failed too often"
            )
        return f"the {self.source.quota.day:g} requests that {self.source.provider} takes a day are used up"

    def _failed(self, later: timedelta | None, why: str) -> None:
        """Count it; where the provider is left alone from now on, that is said once, for all tenants."""
        with self.desk.transaction(durable=False) as connection:
            until = providers.failed(connection, self.source.provider, now=self.now(), later=later)
        if until:
            log.warning(
                "%s is left alone by all tenants until %s: %s",
                self.source.provider, f"{until:%Y-%m-%d %H:%M %Z}", why,
            )  # fmt: skip
