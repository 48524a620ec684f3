"""What comes in, as its model has it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from foretell.contract import Request, Task
from foretell.errors import InvalidRequest

DEEPEST = 100  # levels of lists and objects in each other
MOST = 5  # things wrong with a request that are told

Body = Mapping[str, Any] | Request
"""A request as it came, or as its task's own model."""


def request_of(model: type[BaseModel], body: Body) -> Any:
    """A request as its model has it. Raises InvalidRequest, also for what no ledger can hold."""
    try:
        request = body if isinstance(body, model) else model.model_validate(body)
    except ValidationError as error:
        raise _refused(error) from None
    writable(request.model_dump())
    return request


def body_of(task: Task, url: str | None, sent: bytes) -> tuple[Body, bool]:
    """What a task is asked by a body in JSON, as our own path has it, or the documented one of this URL.

    And whether the document's own `cache_bypass` says that nothing kept will do. Raises InvalidRequest.
    """
    route = next((route for route in task.routes if route.url == url), None)
    try:
        body = (route.request if route else task.request).model_validate_json(sent)
    except ValidationError as error:
        raise _refused(error) from None
    return (route.adapt_in(body), getattr(body, "cache_bypass", False)) if route else (body, False)


def _refused(error: ValidationError) -> InvalidRequest:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return InvalidRequest("; ".join(_words(problem) for problem in problems[:MOST]))


def writable(value: Any, *, level: int = 0) -> None:
    """Raise InvalidRequest for plain values that no ledger can hold: a text with NUL or half a character, no number.

    And for what nests so deep that nothing could be done with it.
    """
    if level > DEEPEST:
        raise InvalidRequest(f"the request nests deeper than {DEEPEST} levels")
    if isinstance(value, dict | list | tuple | set):
        for each in value.values() if isinstance(value, dict) else value:
            writable(each, level=level + 1)
    elif isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise InvalidRequest("a text in the request holds NUL or half a character; leave it out")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest("a number in the request is not finite; leave it out")


def _words(problem: Any) -> str:
    return f"{'.'.join(map(str, problem['loc'])) or 'body'}: {wrong(problem)}"


WRONG = {
    "extra_forbidden": "there is no such field here",
    "timezone_aware": "it has no offset from UTC; write 2026-03-01T12:00:00Z, or +03:00 at its end",
}


def wrong(problem: Mapping[str, Any]) -> str:
    """What is wrong with a field, in words; `problem` is pydantic's."""
    return WRONG.get(problem["type"], str(problem["msg"]))
