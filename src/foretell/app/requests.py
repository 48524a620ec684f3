"""What comes in, as its model has it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from foretell.contract import Request
from foretell.errors import InvalidRequest

Body = Mapping[str, Any] | Request
"""A request as it came, or as its task's own model."""


def request_of(model: type[BaseModel], body: Body) -> Any:
    """A request as its model has it. Raises InvalidRequest, also for what no ledger can hold."""
    try:
        request = body if isinstance(body, model) else model.model_validate(body)
    except ValidationError as error:
        raise InvalidRequest("; ".join(_words(problem) for problem in error.errors())) from None
    writable(request.model_dump())
    return request


def writable(value: Any) -> None:
    """Raise InvalidRequest for plain values that no ledger can hold: a text with NUL or half a character, no number."""
    if isinstance(value, dict):
        for each in value.values():
            writable(each)
    elif isinstance(value, list | tuple | set):
        for each in value:
            writable(each)
    elif isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise InvalidRequest("a text in the request holds NUL or half a character; leave it out")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest("a number in the request is not finite; leave it out")


def _words(problem: Any) -> str:
    return f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
