"""How long a request may take: its end is known to whatever works for it, in threads and in other processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from foretell.errors import Unavailable

LATE = (
    "the request took longer than this server lets one take, and was given up; ask for less, or for more time:"
    " foretell serve --timeout"
)

_end: ContextVar[float | None] = ContextVar("end", default=None)


def end() -> float | None:
    """When the request that is worked for ends, by the clock that all processes share; None where nothing ends it."""
    return _end.get()


def begin(seconds: float) -> None:
    """Let the request of this context end so many seconds from now."""
    _end.set(time.monotonic() + seconds)


@contextmanager
def until(moment: float | None) -> Iterator[None]:
    """Work for a request that ends at a moment of `end`."""
    before = _end.set(moment)
    try:
        yield
    finally:
        _end.reset(before)


def left() -> float | None:
    """Seconds that are left for the request; None where nothing ends it. Raises Unavailable where none are."""
    moment = _end.get()
    if moment is None:
        return None
    seconds = moment - time.monotonic()
    if seconds <= 0:
        raise Unavailable(LATE)
    return seconds
