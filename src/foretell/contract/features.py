"""Features as data: what each is made of, over which rows, how far back, and in words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Literal

import polars as pl

from foretell.contract.facts import Frame, History

FeatureType = Literal["sum", "share", "since", "newest", "made"]
"""How a feature is worked out; see `Feature`."""

DataType = Literal["number", "integer", "boolean"]
"""What a feature's value is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Feature:
    """A number known of whom a question is about, at its `as_of`.

    It is made of the rows of `table` (or of a frame that its catalogue makes) whose column `by` is the question's, that
    were known by `as_of`, and became known within `window` (None: ever). Windows begin with a day, UTC: that of `as_of`
    less the window. So within a day a feature changes only when facts come. `of` is an expression over such a row:

    - `sum` adds it up (a count is the sum of ones; rows where it is null don't count): 0 without rows;
    - `share` divides its sum by that of `per`: null where that is 0;
    - `since` are the days of the calendar (UTC) since the `time` of the latest row where it is true;
    - `newest` is its value in the row of the latest `time` that has one;
    - `made` is an expression over features before it in the catalogue, and over the question's columns.

    An expression may look at rows of the same `by` that were known before its own, never at later ones; where it can't
    be worked out (a division by 0) it is null. `missing` says what null means, `low` and `high` between which values it
    lies. `guard` says for which protected attribute it may stand. One that is `deprecated` is still made, for models
    that know it; no new one learns from it.
    """

    name: str
    group: str
    part: str
    words: str
    how: FeatureType
    of: pl.Expr
    missing: str = "never: nothing counts as 0"
    per: pl.Expr | None = None
    table: str | None = None
    by: str = "entity"
    window: timedelta | None = None
    kind: DataType = "number"
    low: float | None = 0.0
    high: float | None = None
    guard: str | None = None
    owner: str = "foretell"
    version: int = 1
    deprecated: bool = False

    @property
    def computation(self) -> str:
        """How it is worked out, in words: from which rows, how far back, and the expressions."""
        if self.how == "made":
            return f"{self.of}, of other features and the question"
        back = "ever" if self.window is None else f"in the last {self.window.days} days"
        per = "" if self.per is None else f" per {self.per}"
        return f"{self.how} of {self.of}{per}, over rows of {self.table} by {self.by}, {back}"

    def wrong(self, value: float) -> Iterator[str]:
        """What is wrong with a value, in words."""
        if self.low is not None and value < self.low:
            yield f"{self.name} is {value:g}, and {self.low:g} at least"
        if self.high is not None and value > self.high:
            yield f"{self.name} is {value:g}, and {self.high:g} at most"
        if self.kind == "integer" and not float(value).is_integer():
            yield f"{self.name} is {value:g}, and a whole number"


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalogue:
    """Features of one kind of entity, in an order in which they can be made.

    `frames` make of a history what a feature's `table` names, where that is no table of the domain.
    """

    entity_type: str
    features: tuple[Feature, ...]
    frames: Mapping[str, Callable[[History], Frame]] = field(default_factory=dict)

    def wrong(self, values: Mapping[str, float | None]) -> list[str]:
        """What is wrong with values of features by their names, in words; one that is missing is none."""
        known, found = {one.name: one for one in self.features}, []
        for name, value in values.items():
            if name not in known:
                found.append(f"no feature is named {name!r}")
            elif value is not None:
                found += known[name].wrong(value)
        return found

    def names(self, *groups: str) -> tuple[str, ...]:
        """The features of these groups; without any, all."""
        return tuple(one.name for one in self.features if one.group in groups) if groups else self._names

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.features)

    @cached_property
    def form(self) -> str:
        """Which features there are, in which versions; another one where that is."""
        told = [(one.name, one.version) for one in self.features]
        return hashlib.sha256(f"{told}".encode()).hexdigest()[:16]

    def learned(self) -> tuple[str, ...]:
        """The features that a new model may learn from: all but those that are deprecated."""
        return tuple(one.name for one in self.features if not one.deprecated)
