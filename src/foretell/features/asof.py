"""As-of parts: the newest row known by then, and what a group had been like by then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from foretell.contract import Floats, Frame


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
        .join_asof(wanted.sort("as_of", maintain_order=True), on="as_of", by=by, strategy="backward")
        .sort("place")
        .select(columns)
    )


def record(asked: Frame, rows: Frame, by: str, value: str) -> tuple[Floats, Floats]:
    """How many of `rows` with the same `by` were known by each question's `as_of`, and the mean of their `value`.

    Rows have `known_at`. The mean of none is NaN.
    """
    known = (
        rows.filter(pl.col(value).is_not_null())
        .sort("known_at", maintain_order=True)
        .select(
            by,
            "known_at",
            n=pl.int_range(1, pl.len() + 1).over(by).cast(pl.Float64),
            total=pl.col(value).cast(pl.Float64).cum_sum().over(by),
        )
    )
    found = newest(asked, known, by, ("n", "total"))
    n = found["n"].fill_null(0.0).to_numpy()
    total = found["total"].fill_null(0.0).to_numpy()
    return n, np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
