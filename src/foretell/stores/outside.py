"""HTTP requests to others, one at a time. Nothing that is said of one holds its URL or headers: they may hold a key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from foretell.errors import Unavailable

if TYPE_CHECKING:
    import httpx

CONNECT = 5.0  # seconds for a connection,
LARGEST = 50_000_000  # bytes of an answer, unpacked


@dataclass(frozen=True, kw_only=True)
class Said:
    """An answer: its status and body, and how much later it wants to be asked again, where it says so."""

    status: int
    body: bytes
    later: timedelta | None


Getting = Callable[[str, Mapping[str, str], Mapping[str, str]], Said]
"""A URL without a query, the query, headers → what is answered. Raises Unavailable where nothing whole comes back."""


@contextmanager
def getting(*, silence: float, whole: float, clock: Callable[[], float]) -> Iterator[Getting]:
    """Ask others: no longer than `silence` seconds without a byte, and `whole` for an answer, by a `clock` in seconds.

    Redirections are not followed: a key goes to nobody it was not meant for.
    """
    import httpx

    _hushed()
    with httpx.Client(timeout=httpx.Timeout(silence, connect=min(CONNECT, silence))) as client:

        def get(url: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Said:
            end = clock() + whole
            try:
                with client.stream("GET", url, params=dict(query), headers=dict(headers)) as answer:
                    body = bytearray()
                    for part in answer.iter_bytes():
                        body += part
                        if len(body) > LARGEST:
                            raise Unavailable(f"the answer has more than {LARGEST:,} bytes")
                        if clock() > end:
                            raise Unavailable(f"the answer takes longer than {whole:g} s")
                    return Said(status=answer.status_code, body=bytes(body), later=_later(answer))
            except httpx.TimeoutException:
                raise Unavailable(f"no answer within {silence:g} s") from None
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
                raise Unavailable(f"no whole answer ({type(error).__name__})") from None

        yield get


def posted(url: str, body: Mapping[str, Any], *, silence: float) -> Said:
    """What is answered to JSON; as what `getting` gives, without redirections and with the same errors."""
    import httpx

    _hushed()
    try:
        answer = httpx.post(url, json=dict(body), timeout=httpx.Timeout(silence, connect=min(CONNECT, silence)))
    except httpx.TimeoutException:
        raise Unavailable(f"no answer within {silence:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise Unavailable(f"no whole answer ({type(error).__name__})") from None
    return Said(status=answer.status_code, body=answer.content, later=_later(answer))


def _hushed() -> None:
    """Let nobody write down whole URLs."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _later(answer: httpx.Response) -> timedelta | None:
    """What `Retry-After` says: seconds, or a date, from which the answer's own is taken (RFC 9110, section 10.2.3)."""
    told = answer.headers.get("retry-after", "").strip()
    if told.isdecimal():
        return timedelta(seconds=min(int(told), 86_400))
    try:
        return max(timedelta(), parsedate_to_datetime(told) - parsedate_to_datetime(answer.headers.get("date", "")))
    except (ValueError, TypeError):
        return None
