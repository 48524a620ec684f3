"""The door: who asks is known, and how much they bring, before anything of a request is read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foretell.app import patience
from foretell.app.rates import Limit
from foretell.app.tokens import Who
from foretell.errors import ForetellError, TooLarge, TooMany, Unauthorized, Unavailable
from foretell.web.problems import dressed, problem

OPEN = {"/health", "/ready"}
AT_HOME = {"/docs", "/api/ml/docs", "/openapi.json"}  # open to those at this machine
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
LARGEST = 64_000_000  # bytes of a body of facts,
LARGER = 8_000_000  # of a request for a prediction, which may bring its history,
LARGE = 2_000_000  # and of any other
SCHEME = "bearer "

log = logging.getLogger("foretell")


class Door:
    """Lets in who may ask at all: those with a good token, and for a few paths everybody."""

    def __init__(self, app: ASGIApp, seconds: float, limit: Limit | None = None) -> None:
        """Lead to `app`, which has so many seconds for each request; without a limit a user may send any number."""
        self.app, self.seconds, self.limit = app, seconds, limit
        self._late: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its `who`, or answer that it may not come in."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            if scope["path"] not in OPEN and not (scope["path"] in AT_HOME and _at_home(scope, headers)):
                scope["who"] = who = _who(scope, headers)
                if self.limit:
                    await self.limit.count(who)
            receive = _limited(scope, headers, receive)
        except ForetellError as error:
            wait = {"Retry-After": f"{error.wait}"} if isinstance(error, TooMany) else {}
            await _refused(scope, error, wait)(scope, receive, send)
            return
        await self._answered(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; one that is not answered in time is given up, and what it waits for or holds is freed.

        What a thread computes for it goes on to its end, and is not kept; see `patience`.
        """
        began = late = False

        async def passed(message: Message) -> None:
            nonlocal began
            if not late:
                began = True
                await send(message)

        patience.begin(self.seconds)
        work: asyncio.Task[None] = asyncio.create_task(self.app(scope, receive, passed))  # type: ignore[arg-type]
        try:
            done, _ = await asyncio.wait({work}, timeout=self.seconds)
        except asyncio.CancelledError:
            work.cancel()
            raise
        if done or began:
            await work
            return
        late = True
        self._late.add(work)  # held until it has ended
        work.add_done_callback(self._ended)
        work.cancel()
        log.warning("%s %s was given up after %g s", scope["method"], scope["path"], self.seconds)
        await _refused(scope, Unavailable(patience.LATE))(scope, receive, send)

    def _ended(self, work: asyncio.Task[None]) -> None:
        self._late.discard(work)
        if not work.cancelled():
            work.exception()  # looked at, for nobody else does


def _who(scope: Scope, headers: Headers) -> Who:
    given = headers.get("authorization", "")
    if not given.lower().startswith(SCHEME):
        scheme, space, _ = given.partition(" ")  # of one without a scheme it would be the token itself
        came = f"{scheme[:20]} is not taken here" if space else "no token came with the request"
        raise Unauthorized(f"{came}; send Authorization: Bearer <token>, from: foretell token")
    who: Who = scope["app"].state.office.keys.read(given[len(SCHEME) :].strip())
    return who


def _at_home(scope: Scope, headers: Headers) -> bool:
    """Whether somebody at this machine asks; behind a proxy everybody seems to."""
    through = any(name in headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via"))
    host = headers.get("host", "").rsplit(":", 1)[0].strip("[]")
    client = (scope.get("client") or ("", 0))[0]
    return not through and {host, client} <= LOOPBACK


def _limited(scope: Scope, headers: Headers, receive: Receive) -> Receive:
    """What comes in, up to a limit. Raises TooLarge at once where the request says that it is larger."""
    limit, instead = LARGE, ""
    if "/facts/" in scope["path"] or "/import/" in scope["path"]:
        limit, instead = LARGEST, "; put the rows into a file: foretell import"
    elif scope["path"] in scope["app"].state.quick:
        limit, instead = LARGER, "; bring a longer history as facts"
    words = f"{limit:,} bytes at most in one request{instead}"
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(words)
    came = 0

    async def counted() -> Message:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        if came > limit:
            raise TooLarge(words)
        return message

    return counted


def _refused(
    scope: MutableMapping[str, Any], error: ForetellError, headers: dict[str, str] | None = None
) -> JSONResponse:
    return dressed(scope, problem(error), type(error), headers)
