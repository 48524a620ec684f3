"""Errors as callers get them: problem JSON (RFC 9457), or in the dress of a documented path."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from foretell import errors
from foretell.app.requests import wrong
from foretell.contract import Domain, Route
from foretell.errors import ForetellError, InvalidRequest

STATUS: dict[type[ForetellError], int] = {
    errors.InvalidRequest: 422,
    errors.TooLarge: 413,
    errors.TooMany: 429,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NotReady: 409,
    errors.Refused: 409,
    errors.Unavailable: 503,
}
RETRY = "5"  # seconds after which somebody may ask again
MEDIA = "application/problem+json"
OUR_FAULT = "something went wrong here; it is in the server's log"

log = logging.getLogger("foretell")


class FieldError(BaseModel):
    """What is wrong with a field of a request."""

    field: str
    message: str


class Problem(BaseModel):
    """What went wrong, and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldError] = []


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": words}
    for status, words in {
        401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "NotReady or Refused", 413: "TooLarge",
        429: "TooMany",
        422: "InvalidRequest", 500: "BrokenDomain, Damaged or InternalError", 503: "Unavailable",
    }.items()
}  # fmt: skip


class Documented:
    """The routes that documents print, by the paths that lead to them."""

    def __init__(self, domains: Collection[Domain]) -> None:
        tasks = [route for domain in domains for task in domain.tasks for route in task.routes]
        reports = [route for domain in domains for report in domain.reports for route in report.routes]
        routes = [(url, route) for route in (*tasks, *reports) for url in urls(route)]
        # A batch is refused as the first kind of request in it is.
        routes += [
            (url, next(iter(mixed.of.values()))[1])
            for domain in domains
            for mixed in domain.mixed
            for url in (mixed.url, *mixed.also)
        ]
        self._plain = {url: route for url, route in routes if "{" not in url}
        self._with_fields = [(compile_path(url)[0], route) for url, route in routes if "{" in url]

    def at(self, path: str) -> Route | None:
        """The one at a path, where there is one."""
        found = self._plain.get(path)
        return found or next((route for pattern, route in self._with_fields if pattern.match(path)), None)


def urls(route: Route) -> list[str]:
    """The paths of a route."""
    return [*([route.url, route.url[:-1]] if route.url.endswith("/") else [route.url]), *route.also]


def install(app: FastAPI) -> None:
    """Answer every error of the app in one of the two dresses."""
    app.add_exception_handler(ForetellError, _foretell)
    app.add_exception_handler(RequestValidationError, _fields)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def status_of(error: ForetellError) -> int:
    """The status of an error on our own paths; what is not the caller's is 500."""
    return STATUS.get(type(error), 500)


def problem(error: ForetellError) -> Problem:
    """An error as JSON; one that is ours is told by its code alone."""
    status = status_of(error)
    detail = str(error) if status != 500 or isinstance(error, errors.BrokenDomain | errors.Damaged) else OUR_FAULT
    return Problem(title=error.code, status=status, code=error.code, detail=detail)


async def _foretell(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ForetellError)
    told = problem(error)
    if told.status == 500:
        log.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
    return dressed(request.scope, told, type(error))


async def _fields(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [_field(each) for each in error.errors()]
    detail = "; ".join(f"{each.field}: {each.message}" for each in fields[:5])
    told = Problem(title="InvalidRequest", status=422, code="InvalidRequest", detail=detail, errors=fields)
    return dressed(request.scope, told, InvalidRequest)


def _field(told: Mapping[str, Any]) -> FieldError:
    """What is wrong where, without the part of the request that it is in."""
    if told["type"] == "json_invalid":
        return FieldError(field="body", message=f"it is not JSON: {told['msg'].removeprefix('Invalid JSON: ')}")
    where = told["loc"][1:] or told["loc"]
    return FieldError(field=".".join(map(str, where)), message=wrong(told))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ForetellError):  # raised while the body was read
        return await _foretell(request, error.__cause__)
    if isinstance(error.__cause__, ValueError | RecursionError):
        return await _foretell(request, InvalidRequest("the body can't be read as JSON"))
    words = {404: "there is no such path; /v1 lists what there is", 405: "this path does not take this method"}
    code = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "InvalidRequest")
    detail = words.get(error.status_code, str(error.detail))
    told = Problem(title=code, status=error.status_code, code=code, detail=detail)
    return dressed(request.scope, told, None, dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    told = Problem(title="InternalError", status=500, code="InternalError", detail=OUR_FAULT)
    return dressed(request.scope, told, None)


def dressed(
    scope: MutableMapping[str, Any],
    told: Problem,
    kind: type[ForetellError] | None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The answer that tells a problem, as the path's document has it or else as our own paths do."""
    route = scope["app"].state.documented.at(scope["path"])
    if route is not None and kind is not None:
        told.status = route.statuses.get(kind, told.status if told.status in (401, 403, 413, 429, 503) else 500)
    headers = headers or {}
    if told.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if told.status == 503:
        headers["Retry-After"] = RETRY
    if route is None:
        return JSONResponse(told.model_dump(), told.status, headers, media_type=MEDIA)
    if route.refused is not None:
        return JSONResponse(route.refused(told.model_dump()), told.status, headers)
    extra = {"code": told.code, "errors": [each.model_dump() for each in told.errors]}
    failed = route.failed or f"{route.verb.capitalize()} failed"
    detail = told.detail if told.status != 500 else f"{failed}: {told.detail}"
    return JSONResponse({"detail": detail, "foretell": extra}, told.status, headers)
