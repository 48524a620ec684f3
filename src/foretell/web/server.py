"""The server process: open everything, answer, close everything."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from tempfile import TemporaryDirectory
from typing import Any

import anyio.to_thread
import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from foretell.app import cores, logs
from foretell.app.declared import domains
from foretell.app.house import House
from foretell.app.rates import Limit
from foretell.app.tokens import Keys
from foretell.errors import Misconfigured
from foretell.settings import ForetellSettings
from foretell.web import api, cached, decisions, documented, jobs, problems
from foretell.web.door import Door
from foretell.web.meter import FOLDER
from foretell.web.office import THREADS, Office, operator
from foretell.web.quick import QuickRoute

PATIENCE = 120  # seconds that requests in flight have to finish when the server is told to end
WELL = 1.0  # seconds in which a database that is well answers
LAST = 65535  # of the ports
VERSION = version("foretell")


def prepare(settings: ForetellSettings) -> None:
    """Look for what hinders a server, before anything of it is started. Raises Misconfigured, and as `House.open`."""
    _free(settings)
    _sealed(settings)
    House.open().close()
    Keys.of(settings)


def _free(settings: ForetellSettings) -> None:
    """Raise Misconfigured where nothing can listen at the settings' host and port."""
    try:
        for family, kind, _, _, place in socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind) as probe:
                if os.name == "posix":  # what ended a moment ago hinders nobody
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(place)
    except socket.gaierror:
        raise Misconfigured(f"there is no address {settings.host} at this machine; type: --host 127.0.0.1") from None
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens there, perhaps another foretell" if taken else str(error.strerror)
        other = settings.port + 1 if settings.port < LAST else settings.port - 1
        instead = "--host 127.0.0.1" if error.errno == errno.EADDRNOTAVAIL else f"--port {other if taken else 8000}"
        where = f"{settings.host}:{settings.port}"
        raise Misconfigured(f"foretell can't answer on {where}: {why}; type: foretell serve {instead}") from None


def _sealed(settings: ForetellSettings) -> None:
    """Raise Misconfigured where certificate and key are not there, or do not belong together."""
    if not settings.tls_cert and not settings.tls_key:
        return
    try:
        if not settings.tls_cert or not settings.tls_key:
            raise FileNotFoundError(errno.ENOENT, "one of the two is not told")
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        type_ = "type: export FORETELL_TLS_CERT=<chain.pem> FORETELL_TLS_KEY=<key.pem>"
        raise Misconfigured(f"the certificate or its key can't be used: {error.strerror or error}; {type_}") from None


def serve(settings: ForetellSettings) -> None:
    """Answer until told to end; what hinders it was looked for with `prepare`."""
    with TemporaryDirectory(prefix="foretell-meters-") as folder:
        if settings.workers > 1:
            os.environ[FOLDER] = folder  # known before a worker first looks; one alone keeps its figures to itself
        for each in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again when it has ended: that is no failure
            signal.signal(each, lambda *_: None)
        uvicorn.run(
            "foretell.web.server:create", factory=True, host=settings.host, port=settings.port,
            workers=settings.workers, timeout_graceful_shutdown=PATIENCE, log_level=settings.log_level,
            access_log=settings.log_level == "debug", server_header=False, proxy_headers=False,
            ssl_certfile=settings.tls_cert, ssl_keyfile=settings.tls_key,
            loop="uvloop" if os.name != "nt" else "asyncio", http="httptools",
        )  # fmt: skip


class Api(FastAPI):
    """FastAPI, whose description tells the media type that problems are sent with."""

    def openapi(self) -> dict[str, Any]:
        """The description, as OpenAPI has it."""
        told = super().openapi()
        for operations in told["paths"].values():
            for operation in operations.values():
                for answer in operation["responses"].values():
                    content = answer.get("content", {})
                    for media in [*content]:
                        if content[media].get("schema", {}).get("$ref", "").endswith("/Problem"):
                            content[problems.MEDIA] = content.pop(media)
        return told


def create() -> FastAPI:
    """The app of one process. What it needs is opened when it starts, and closed when it ends."""
    installed = domains()
    app = Api(
        title="foretell", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None, lifespan=_living,
        summary="Honest predictions for application backends, from the history they already have.",
    )  # fmt: skip
    app.state.documented = problems.Documented(installed.values())
    settings = ForetellSettings()
    limit = Limit(settings.per_minute, settings.redis) if settings.per_minute else None
    app.add_middleware(Door, seconds=settings.timeout, limit=limit)
    if settings.origins:  # before the door: a browser asks without a token whether it may ask
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.origins.split(), allow_methods=["*"], expose_headers=["Retry-After"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
        )  # fmt: skip
    problems.install(app)
    _upkeep(app)
    made = [*(each.router(installed) for each in (api, decisions, cached, documented)), jobs.router()]
    routes = [route for each in made for route in each.routes]
    # Among the app's own, those that must be quick before others: an included router looks through all of its routes
    # twice for each request, which takes longer than a prediction.
    app.router.routes.extend(sorted(routes, key=lambda route: not isinstance(route, QuickRoute)))
    app.state.quick = {route.path for route in routes if isinstance(route, QuickRoute)}
    return app


@asynccontextmanager
async def _living(app: FastAPI) -> AsyncIterator[None]:
    office = await anyio.to_thread.run_sync(_opened, app)
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    gc.collect()
    gc.freeze()  # what is there now stays: looking through it for garbage would take as long as ten predictions
    office.open = True
    try:
        with cores.one():  # only now: what was opened, other processes among it, may use every core
            yield
    finally:
        office.open = False
        await anyio.to_thread.run_sync(office.close)


def _opened(app: FastAPI) -> Office:
    """Open the stores and start the pools; what hinders it ends the server with the line to type."""
    logs.begin()
    house, settings = House.open(size=THREADS), ForetellSettings()
    app.state.office = office = Office.of(house, Keys.of(settings), settings.workers)
    house.warm()  # beside the pools, which do the same
    if house.reads:
        logs.log.info("the database is open for reading alone: predictions are kept, recommendations are not made")
    app.state.pulse = Pulse(house)
    return office


class Pulse:
    """Whether the database answers; asked by a thread of its own, so that a server with all hands full still knows."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pulse")
        self._asked: Future[bool] | None = None
        self._since = 0.0

    async def felt(self) -> bool:
        """Whether it answers within a second, or did so within the last; one that hangs is not asked again meanwhile.

        To ask takes a connection of its own, and is not to be done as often as anybody wants to know.
        """
        now = time.monotonic()
        if self._asked is None or (self._asked.done() and now - self._since > WELL):
            self._asked, self._since = self._thread.submit(self._house.well), now
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._asked)), WELL)
        except TimeoutError:
            return False


def _upkeep(app: FastAPI) -> None:
    @app.get("/health", summary="Whether it is well")
    async def health() -> JSONResponse:
        well = await app.state.pulse.felt()
        told = {
            "status": "healthy" if well else "unhealthy",
            "service": "foretell",
            "version": VERSION,
            "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        return JSONResponse(told, 200 if well else 503)

    @app.get("/ready", summary="Whether requests are taken")
    async def ready() -> JSONResponse:
        office: Office = app.state.office
        taken = office.open and office.warmed()
        return JSONResponse({"status": "ready" if taken else "not ready"}, 200 if taken else 503)

    refusals: Any = {status: problems.ERRORS[status] for status in (401, 403)}

    @app.get(
        "/metrics", summary="Figures for Prometheus", dependencies=[operator()], response_class=PlainTextResponse,
        responses=refusals,
    )  # fmt: skip
    def metrics() -> Response:
        office: Office = app.state.office
        return Response(office.meter.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Any:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    @app.get("/api/ml/docs", include_in_schema=False)  # where a document looks for it
    async def docs() -> Response:
        return get_swagger_ui_html(openapi_url="/openapi.json", title="foretell")
