"""What a server process holds, and who may come in: tokens, and turns, so that no tenant takes another's."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from foretell.app import App, cores
from foretell.app.house import House
from foretell.app.pool import Pool, Verb
from foretell.app.tenancy import Moment, Tenancy, as_of_told
from foretell.app.tokens import Keys, Role, Who
from foretell.errors import Forbidden, Unavailable
from foretell.web.meter import Meter

THREADS = 8  # requests answered at once in a process, each with a database connection
EACH = 3  # of them one tenant's: two wait for the database while one computes
HEAVY = 16  # backtests and the like of one tenant that may wait for each other,
FITS = 64  # and answers that take a fit
MOST = 8  # processes for each of the two: one takes 150 to 350 MB, and two connections

_BEARER = HTTPBearer(auto_error=False, description="A token, as `foretell token` makes it.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


class Turns:
    """So many of each tenant's requests at once; its others wait without holding a thread."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._of: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def of(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it."""
        turn, users = self._of.get(tenant) or (asyncio.Semaphore(self._each), 0)
        self._of[tenant] = turn, users + 1
        try:
            async with turn:
                yield
        finally:
            _, users = self._of[tenant]
            if users == 1:
                del self._of[tenant]  # a thousand tenants may come by
            else:
                self._of[tenant] = turn, users - 1


class Shop:
    """Where heavy work is done: a pool, with turns of tenants for it. Up to `most` things of each may be under way."""

    def __init__(self, pool: Pool, each: int, most: int, what: str) -> None:
        self.pool, self.most, self.what = pool, most, what
        self._turns = Turns(each)
        self._of: dict[str, int] = defaultdict(int)

    async def do(self, app: App, verb: Verb, **told: Any) -> Any:
        """Have work done for a tenant in a process of its own. Raises Unavailable for too much at once."""
        if self._of[app.tenant] >= self.most:
            raise Unavailable(f"{self.most} {self.what} of {app.tenant} are waiting already; ask later")
        self._of[app.tenant] += 1
        try:
            async with self._turns.of(app.tenant):
                return await asyncio.wrap_future(self.pool.do(verb, app.desk, told))
        finally:
            self._of[app.tenant] -= 1
            if not self._of[app.tenant]:
                del self._of[app.tenant]


@dataclass
class Office:
    """Open stores, the shops for heavy work, keys and meters of one process.

    `heavy` are backtests and the like, one of a tenant at a time; `fits` answers that take a fit, which never wait for
    those.
    """

    house: House
    heavy: Shop
    fits: Shop
    keys: Keys
    meter: Meter
    turns: Turns = field(default_factory=lambda: Turns(EACH))
    open: bool = False  # whether requests are taken

    @classmethod
    def of(cls, house: House, keys: Keys, workers: int) -> Self:
        """An office in a house, with its share of half the cores for each kind of heavy work, as one of `workers`."""
        size = min(max(1, cores.count() // 2 // workers), MOST)
        heavy = Shop(Pool(size), 1, HEAVY, "backtests and the like")
        fits = Shop(Pool(size, answering=True), size, FITS, "requests that take a fit")
        return cls(
            house=house, heavy=heavy, fits=fits, keys=keys, meter=Meter(house.domains.values(), house.models.stats)
        )

    def warmed(self) -> bool:
        """Whether every process for heavy work has started; raises what hindered one."""
        return self.heavy.pool.warmed() and self.fits.pool.warmed()

    def close(self) -> None:
        """Wait for the heavy work that is being done, then end."""
        self.heavy.pool.close()
        self.fits.pool.close()
        self.house.close()

    def app(self, who: Who) -> App:
        """The app of whoever asks; programs and administrators may ask about everybody."""
        person = who.user if who.role == "user" else None
        return App(Tenancy(house=self.house, tenant=who.tenant, who=who.user, person=person))


def office(request: Request) -> Office:
    """The office of the process that answers."""
    held: Office = request.app.state.office
    return held


def allowed(request: Request, roles: tuple[Role, ...]) -> Who:
    """Who asks, if they are of one of these roles; raises Forbidden."""
    who: Who = request.scope["who"]  # from the door
    if who.role not in roles:
        raise Forbidden(f"a token of role {who.role} may not do this; it takes {' or '.join(roles)}")
    return who


def _may_write(request: Request) -> None:
    """Raise Forbidden where nothing may be changed."""
    if office(request).house.reads:
        raise Forbidden(
            "this server only reads (--read-only): it predicts, and changes nothing; ask one that may write"
        )


def _quick(*roles: Role, writes: bool = False) -> Any:
    """The app of the tenant that asks, with a turn of it; of these roles alone, and not to write where none may."""

    async def dependency(request: Request, _: Credentials) -> AsyncIterator[App]:
        who = allowed(request, roles)
        if writes:
            _may_write(request)
        async with office(request).turns.of(who.tenant):
            yield office(request).app(who)

    return Depends(dependency)


def _slow(*roles: Role, writes: bool = False) -> Any:
    """The app of the tenant that asks, for work that is done elsewhere; as `_quick` otherwise."""

    async def dependency(request: Request, _: Credentials) -> App:
        who = allowed(request, roles)
        if writes:
            _may_write(request)
        return office(request).app(who)

    return Depends(dependency)


def operator() -> Any:
    """An operator, and nobody else."""

    async def dependency(request: Request, _: Credentials) -> None:
        allowed(request, ("operator",))

    return Depends(dependency)


READERS: tuple[Role, ...] = ("user", "service", "admin")
Reading = Annotated[App, _quick(*READERS)]
Telling = Annotated[App, _quick(*READERS, writes=True)]
Bringing = Annotated[App, _slow("service", "admin", writes=True)]
Keeping = Annotated[App, _quick("admin")]
Managing = Annotated[App, _quick("admin", writes=True)]
Approving = Annotated[App, _quick("user", "admin", writes=True)]
Learning = Annotated[App, _slow("admin", writes=True)]
Testing = Annotated[App, _slow("admin")]
Replaying = Annotated[App, _slow("user", "admin")]
Working = Annotated[App, _slow(*READERS)]
"""The app of whoever asks, by what they want to do."""


async def _standing(  # async, for a plain one would go through the thread pool
    as_of: Annotated[str | None, Query(max_length=50, description="A moment with its offset, or `latest`.")] = None,
) -> Moment:
    return as_of_told(as_of)


Standing = Annotated[Moment, Depends(_standing)]
"""Standing when: now if nothing is said."""


async def _bypass(
    cache_bypass: Annotated[bool, Query(description="Work it out anew, whatever is kept.")] = False,
) -> bool:
    return cache_bypass


Bypassing = Annotated[bool, Depends(_bypass)]
"""Whether an answer that is kept will not do."""
