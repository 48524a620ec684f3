"""Sources: where facts come from without anybody bringing them.

What to ask for, and what an answer says, is the domain's; when and how it is asked, and who else, is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import polars as pl

from foretell.contract.facts import Frame, Standpoint


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """Facts about `places`, of times from `since` up to, not at, `until` (UTC, on the hour), wanted from a standpoint.

    `places` are rows of the source's table of places; a single row where it has none.
    """

    standing: Standpoint
    places: Frame
    since: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True, eq=False)
class Get:
    """A plain HTTP GET of a path below the source's URL, and the part of what is wanted that its answer tells.

    It never holds the key. `cost` is how many requests the provider counts it as.
    """

    path: str
    query: Mapping[str, str]
    wanted: Wanted
    cost: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Key:
    """How a provider is told who asks: by a parameter of the `query`, or a header."""

    name: str
    place: Literal["query", "header"] = "query"
    needed: bool = True


@dataclass(frozen=True, kw_only=True)
class Quota:
    """How many requests a provider takes of us, in a minute and in a day (UTC)."""

    minute: float
    day: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Facts of a `table` that a provider tells over HTTP.

    `requests` makes the requests for what is wanted; `parse` makes of an answer's body, and the request that it
    answers, rows of the table. It raises InvalidRequest for an answer that is not what was asked for: not in its
    format, of another place or time, in other units. Both are pure: no clock, no input or output.

    What is wanted reaches from `back` before now to `ahead` after it, which is below zero where a provider is late. It
    is asked about every row of the table `places` for which `whose` holds (None: about none, unless it is named, or
    stands in for another), and without such a table once. Where it fails, the `fallback`, another source of the same
    table, is asked in its place. Sources of one provider share its quota, and its key: the setting `keys` of its name.
    """

    name: str
    summary: str
    provider: str
    url: str
    table: str
    requests: Callable[[Wanted], Sequence[Get]]
    parse: Callable[[bytes, Get], Frame]
    every: timedelta
    back: timedelta
    ahead: timedelta
    quota: Quota
    places: str | None = None
    whose: pl.Expr | None = field(default_factory=lambda: pl.lit(True))
    key: Key | None = None
    fallback: str | None = None
