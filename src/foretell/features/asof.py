"""As-of parts: the newest row known by then, and what a group had been like by then."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Self, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Floats, Frame, History
from foretell.features.grid import micros

Numbers = NDArray[np.int64]
By = str | tuple[str, ...]
"""The column that says whose a row is, or the columns that do together."""
T = TypeVar("T")
FEW = 64  # questions up to which what is made of them is remembered: serving looks at it several times


def remembered(history: History, asked: Frame, make: Callable[[History, Frame], T]) -> T:
    """What a function makes of a history and of questions; of a few questions it is made once."""
    if asked.height > FEW:
        return make(history, asked)
    return history.once(lambda _: make(history, asked), (make, *asked.columns, *asked.rows()))


def newest(asked: Frame, rows: Frame, by: str, columns: Sequence[str]) -> Frame:
    """`columns` of the newest of `rows` with the same `by` that was known by each question's `as_of`, in their order.

    Of rows that became known together the last in the frame counts. Null where there is none.
    """
    wanted = rows.filter(pl.col(by).is_in(asked[by].unique().implode())).select(
        by, pl.col("known_at").alias("as_of"), *columns
    )
    return (
        asked.select(by, "as_of")
        .with_row_index("place")
        .sort("as_of")
        .join_asof(
            wanted.sort("as_of", maintain_order=True), on="as_of", by=by, strategy="backward", check_sortedness=False
        )
        .sort("place")
        .select(columns)
    )


def latest(history: History, asked: Frame, table: str, columns: Sequence[str], by: By = "entity") -> Frame:
    """What `newest` finds in a table of a history, for those who look often: stored rows are put in order once."""
    rows, stored = history[table][[*columns]], history.stored
    groups, moments = _groups(asked, by), micros(asked["as_of"])
    place, known = stored.once(lambda past: Known.of(past[table], by), ("known", table, by)).last(groups, moments)
    if more := rows.height - (count := stored[table].height):  # what came along with the request
        own, later = Known.of(history[table].tail(more), by).last(groups, moments)
        theirs = (own >= 0) & ((place < 0) | (later >= known))
        if theirs.all():
            return rows.tail(more)[own]
        place = np.where(theirs, own + count, place)
    if (place >= 0).all():
        return rows[place]
    there = pl.Series(np.maximum(place, 0), dtype=pl.UInt32).set(pl.Series(place < 0), None)
    return rows.select(pl.col(columns).gather(there))


def _groups(rows: Frame, by: By) -> Sequence[Hashable]:
    return rows[by].to_list() if isinstance(by, str) else rows.select(by).rows()


class Known:
    """Rows of groups, in each in the order in which they became known; of those known together the last counts."""

    def __init__(self, groups: Sequence[Hashable], known: Numbers) -> None:
        """Of rows: whose they are, and when they became known (microseconds since 1970)."""
        self._codes = {name: k for k, name in enumerate(dict.fromkeys(groups))}
        self._times = np.unique(known)
        code = np.fromiter((self._codes[name] for name in groups), dtype=np.int64, count=len(known))
        key = code * (len(self._times) + 1) + np.searchsorted(self._times, known) + 1
        self.order = np.argsort(key, kind="stable")
        self._key, self._known = key[self.order], known[self.order]

    @classmethod
    def of(cls, rows: Frame, by: By) -> Self:
        """Of the rows of a frame with `known_at`."""
        return cls(_groups(rows, by), micros(rows["known_at"]))

    def until(self, groups: Iterable[Hashable], moments: Numbers) -> tuple[Numbers, Numbers]:
        """Where in `order` the rows of each group begin, and where those end that were known by its moment."""
        code = np.fromiter((self._codes.get(name, -1) for name in groups), dtype=np.int64, count=len(moments))
        first = np.searchsorted(self._key, code * (len(self._times) + 1), side="right")
        until = code * (len(self._times) + 1) + np.searchsorted(self._times, moments, side="right")
        return first, np.where(code >= 0, np.searchsorted(self._key, until, side="right"), first)

    def last(self, groups: Iterable[Hashable], moments: Numbers) -> tuple[Numbers, Numbers]:
        """The place of each group's newest row, -1 without one, and when that became known."""
        first, last = self.until(groups, moments)
        if not len(self.order):
            return np.full(len(first), -1), np.zeros(len(first), dtype=np.int64)
        before = np.maximum(last - 1, 0)
        return np.where(last > first, self.order[before], -1), self._known[before]


class Record:
    """What groups have been like: of each, how many rows had become known by a moment, and the mean of their values."""

    def __init__(self, groups: Sequence[Hashable], known: Numbers, value: Floats) -> None:
        """Of rows: whose they are, when they became known (microseconds since 1970), and their value; no NaN."""
        self._known = Known(groups, known)
        self._value = value[self._known.order]
        self._sum = np.concatenate([[0.0], np.cumsum(self._value)])

    @classmethod
    def of(cls, rows: Frame, group: str, value: str) -> Self:
        """Of the rows of a frame with `known_at` that have a value."""
        rows = rows.filter(pl.col(value).is_not_null())
        return cls(rows[group].to_list(), micros(rows["known_at"]), rows[value].cast(pl.Float64).to_numpy())

    def at(self, groups: Iterable[Hashable], moments: Numbers) -> tuple[Floats, Floats]:
        """How many rows of each group were known by its moment (microseconds), and their mean, NaN of none."""
        first, last = self._known.until(groups, moments)
        n = (last - first).astype(np.float64)
        total = self._sum[last] - self._sum[first]
        return n, np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)

    def median(self, groups: Iterable[Hashable], moments: Numbers, *more: float) -> Floats:
        """The median of the values of each group that were known by its moment, and of `more`; NaN of none."""
        first, last = self._known.until(groups, moments)
        known = [[*self._value[a:b], *more] for a, b in zip(first, last, strict=True)]
        return np.array([np.median(values) if values else np.nan for values in known])
