"""Facts: the tables they belong in, what a task reads of them, and a history that can be cut at any moment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal, TypeVar

import polars as pl
from pydantic import BaseModel

Frame = pl.DataFrame

T = TypeVar("T")

KEPT = "kept features"  # the table of a history that has features of entities in the place of facts
REMEMBERED = 1000  # things that a history remembers to have made

INSTANT = pl.Datetime("us", "UTC")
QUESTION = {"entity": pl.String(), "as_of": INSTANT, "at": INSTANT}

EPOCH, MICRO = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def instants(name: str, moments: Iterable[datetime | None]) -> pl.Series:
    """A column of moments, UTC. By whole microseconds: Polars takes ten times as long to read moments themselves."""
    told = [None if moment is None else (moment - EPOCH) // MICRO for moment in moments]
    return pl.Series(name, told, dtype=pl.Int64).cast(INSTANT)


Kind = Literal["text", "number", "integer", "boolean", "date", "instant", "object"]
"""What a column holds. An object is the text of a JSON object."""

DTYPES: Mapping[Kind, pl.DataType] = {
    "text": pl.String(), "number": pl.Float64(), "integer": pl.Int64(), "boolean": pl.Boolean(), "date": pl.Date(),
    "instant": INSTANT, "object": pl.String(),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Where facts of one kind belong.

    `key` names the columns that identify a fact: a second row with the same key corrects the first.
    `entity` names the columns that, joined by "/", are whom the fact is about. A fact is known when it
    happened, unless `known_at` names the column that says otherwise (null there: when it happened).
    `rules` are conditions beyond the row's types, by the words a rejected row is given. A `yearly` table is
    stored in one part a year, by `time`: for so many rows that old years should not slow the new one down. Where
    facts are sure to become known at their time or at most `late` after it, a window is found by time.

    `persons` says which columns name a person, and as what (`{"assignee": "person"}`): of whom a tenant can have
    everything shown and erased. A fact is forgotten when it has happened and been on record for longer than `kept`
    (None: never), unless the tenant says otherwise. A view has the figures of each day of the columns in `daily`.
    `hints` say, by column, what to do about a value beyond its limits or choices; they stand behind the rule it broke.
    """

    name: str
    row: type[BaseModel]
    key: tuple[str, ...]
    time: str
    entity: tuple[str, ...] = ()
    known_at: str | None = None
    rules: Mapping[str, pl.Expr] = field(default_factory=dict)
    yearly: bool = False
    late: timedelta | None = None
    persons: Mapping[str, str] = field(default_factory=dict)
    kept: timedelta | None = None
    daily: tuple[str, ...] = ()
    hints: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """What each column of the row holds, in their order."""
        fields = self.row.model_json_schema()["properties"]
        return {name: _kind(schema) for name, schema in fields.items()}

    def named(self, *parts: str) -> str:
        """The entity that the values of the `entity` columns make: joined by "/", one inside a value escaped."""
        return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts) if len(parts) > 1 else parts[0]


def _kind(schema: Mapping[str, Any]) -> Kind:
    """The kind of a field by its JSON schema; an optional field's is that of its non-null half."""
    for half in schema.get("anyOf", ()):
        if half.get("type") != "null":
            return _kind(half)
    if schema.get("format") in ("date-time", "date"):
        return "instant" if schema["format"] == "date-time" else "date"
    kinds: dict[str, Kind] = {"integer": "integer", "number": "number", "boolean": "boolean", "object": "object"}
    return kinds.get(schema.get("type", "string"), "text")


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a task may look at: the last `window` of a table, of whom.

    `by` names a column that table and questions share ("entity" is the usual one); "all" reads
    everyone's. The window reaches back from each question's `as_of`. Of `columns` (None: all of them) only those are
    there, beside `entity`, `known_at` and the one of `by`.
    """

    table: str
    window: timedelta
    by: str = "entity"
    columns: tuple[str, ...] | None = None

    def sees(self, column: str) -> bool:
        """Whether a column of the table is there."""
        return self.columns is None or column in (*self.columns, self.by, "entity", "known_at")


@dataclass(frozen=True, kw_only=True)
class Approved:
    """An action that people approved, and when (UTC)."""

    at: datetime
    action: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Standpoint:
    """Who asks, when, in which time zone, under which settings (as known then).

    `approved` is, by subject, the last recommendation that was approved within the day before.
    """

    tenant: str
    now: datetime
    zone: str
    settings: BaseModel
    approved: Mapping[str, Approved] = field(default_factory=dict)


_NOTHING = object()  # was made: what is made may be None


class History:
    """One tenant's facts as known at its standpoint's `now`, cuttable at any earlier moment."""

    def __init__(self, standpoint: Standpoint, tables: Mapping[str, Frame], stored: History | None = None) -> None:
        """Hold `tables` by name; each frame has `known_at`, and `entity` where the table declares one.

        `stored` is the history without what came along with a request, where something did.
        """
        self.standpoint = standpoint
        self.tables = tables
        self.stored = stored or self
        self._made: OrderedDict[Hashable, Any] = OrderedDict()

    def once(self, make: Callable[[History], T], key: Hashable = None) -> T:
        """What `make` makes of this history, made once: facts don't change, so neither does what follows from them.

        Of a `make` that is not always the same function, `key` says what it makes. Of very many things those are made
        again that nobody has wanted for longest.
        """
        name = key or make
        made: T = self._made.get(name, _NOTHING)
        if made is _NOTHING:
            self._made[name] = made = make(self)
            while len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
        with suppress(KeyError):  # it may be forgotten meanwhile, by what another request wanted
            self._made.move_to_end(name)
        return made

    def has(self, key: Hashable) -> bool:
        """Whether what goes by this key was made before."""
        return key in self._made

    @property
    def now(self) -> datetime:
        """The moment up to which everything here was known, UTC."""
        return self.standpoint.now

    def __getitem__(self, table: str) -> Frame:
        return self.tables[table]

    def cut(self, moment: datetime) -> History:
        """The same history as it was known at `moment`; a later moment than `now` teaches nothing."""
        known = {name: frame.filter(pl.col("known_at") <= moment) for name, frame in self.tables.items()}
        return History(replace(self.standpoint, now=min(moment, self.now)), known)

    def plus(self, facts: Mapping[str, Frame]) -> History:
        """The history with `facts` added, table by table (a what-if, a new issue)."""
        added = {n: pl.concat([self.tables[n], f], how="diagonal") for n, f in facts.items()}
        return History(self.standpoint, {**self.tables, **added}, stored=self.stored)
