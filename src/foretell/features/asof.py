"""As-of parts: the newest row known by then, and what a group had been like by then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Floats, Frame

Numbers = NDArray[np.int64]


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


class Record:
    """What groups have been like: of each, how many rows had become known by a moment, and the mean of their values."""

    def __init__(self, groups: Sequence[str], known: Numbers, value: Floats) -> None:
        """Of rows: whose they are, when they became known (microseconds since 1970), and their value; no NaN."""
        self._codes = {name: k for k, name in enumerate(dict.fromkeys(groups))}
        self._times = np.unique(known)
        code = np.fromiter((self._codes[name] for name in groups), dtype=np.int64, count=len(known))
        key = code * (len(self._times) + 1) + np.searchsorted(self._times, known) + 1
        order = np.argsort(key, kind="stable")
        self._key, self._sum = key[order], np.concatenate([[0.0], np.cumsum(value[order])])

    @classmethod
    def of(cls, rows: Frame, group: str, value: str) -> Self:
        """Of the rows of a frame with `known_at` that have a value."""
        rows = rows.filter(pl.col(value).is_not_null())
        known = rows["known_at"].dt.epoch("us").to_numpy()
        return cls(rows[group].to_list(), known, rows[value].cast(pl.Float64).to_numpy())

    def at(self, groups: Iterable[str], moments: Numbers) -> tuple[Floats, Floats]:
        """How many rows of each group were known by its moment (microseconds), and their mean, NaN of none."""
        code = np.fromiter((self._codes.get(name, -1) for name in groups), dtype=np.int64, count=len(moments))
        first = np.searchsorted(self._key, code * (len(self._times) + 1), side="right")
        until = code * (len(self._times) + 1) + np.searchsorted(self._times, moments, side="right")
        last = np.where(code >= 0, np.searchsorted(self._key, until, side="right"), first)
        n = (last - first).astype(np.float64)
        total = self._sum[last] - self._sum[first]
        return n, np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
