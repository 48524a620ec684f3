"""Routes that must be quick: FastAPI describes them, and its layers between a request and its answer are left out."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, get_args

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from foretell.app.tenancy import as_of_told
from foretell.web.office import READERS, allowed, office

HEAVY = 100_000  # bytes of a body from which on it is read in a process of its own

_BOOLEAN = TypeAdapter(bool)


class QuickRoute(APIRoute):
    """A route whose endpoint takes `request`, a `body`, the reader's `app`, `as_of`, `cache_bypass`; gives a Response.

    An annotated `body` is made of the query.
    It does what FastAPI would do of the same signature, at once: resolving these through its dependencies takes as long
    as a prediction. The `body` of a large request is None: reading it would keep everybody waiting.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        endpoint, told = self.endpoint, self.endpoint.__annotations__["body"]
        model, *by_query = get_args(told) or (told,)

        async def handler(request: Request) -> Response:
            who = allowed(request, READERS)
            if by_query:
                body: BaseModel | None = _queried(model, request)
            else:
                try:
                    sent = await request.body()
                except ClientDisconnect:
                    return Response(status_code=400)  # nobody is there to read it
                _json(request.headers.get("content-type", ""))
                body = _read(model, sent) if len(sent) <= HEAVY else None
            as_of = as_of_told(request.query_params.get("as_of"))
            cache_bypass = _flag("cache_bypass", request.query_params.get("cache_bypass", "false"))
            said: Response = await endpoint(request, body, office(request).app(who), as_of, cache_bypass)
            return said

        return handler


def _json(media: str) -> None:
    """Raises RequestValidationError, as FastAPI does, for a body that is not said to be JSON."""
    kind = media.partition(";")[0].strip().lower()
    if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
        words = "send JSON, with a Content-Type of application/json"
        raise RequestValidationError([{"type": "media_type", "loc": ("body",), "msg": words, "input": None}])


def _read(model: type[BaseModel], body: bytes) -> BaseModel:
    """The body as its model. Raises RequestValidationError, as FastAPI does."""
    try:
        return model.model_validate_json(body or b"null")
    except ValidationError as error:
        raise _wrong("body", error) from None


def _queried(model: type[BaseModel], request: Request) -> BaseModel:
    """The query as a model of plain fields. Raises RequestValidationError, as FastAPI does."""
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise _wrong("query", error) from None


def _wrong(where: str, error: ValidationError) -> RequestValidationError:
    wrong = error.errors(include_url=False, include_input=False, include_context=False)
    return RequestValidationError([{**each, "loc": (where, *each["loc"])} for each in wrong])


def _flag(name: str, told: str) -> bool:
    """A yes or no of the query. Raises RequestValidationError, as FastAPI does."""
    try:
        return _BOOLEAN.validate_python(told)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([{**each, "loc": ("query", name)} for each in wrong]) from None
