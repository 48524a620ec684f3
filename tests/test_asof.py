"""As-of parts say what a slow and obvious loop says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.features.asof import Record, newest

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.integers(-5, 5)), max_size=30)
ASKED = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-1, 22)), min_size=1, max_size=20)


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def micros(hours: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([int(at(hour).timestamp() * 1e6) for hour in hours], dtype=np.int64)


@given(rows=ROWS, asked=ASKED)
def test_a_record_is_what_was_known_by_then(rows: list[tuple[str, int, int]], asked: list[tuple[str, int]]) -> None:
    record = Record(
        [name for name, *_ in rows], micros([hour for _, hour, _ in rows]), np.array([float(v) for *_, v in rows])
    )
    n, mean = record.at([name for name, _ in asked], micros([hour for _, hour in asked]))
    for k, (name, hour) in enumerate(asked):
        known = [v for other, when, v in rows if other == name and when <= hour]
        assert n[k] == len(known)
        assert mean[k] == pytest.approx(np.mean(known)) if known else np.isnan(mean[k])


@given(rows=ROWS, asked=ASKED)
def test_the_newest_row_is_the_last_that_was_known_by_then(
    rows: list[tuple[str, int, int]], asked: list[tuple[str, int]]
) -> None:
    moment = pl.Datetime("us", "UTC")
    frame = pl.DataFrame(
        {"entity": [n for n, *_ in rows], "known_at": [at(h) for _, h, _ in rows], "value": [v for *_, v in rows]},
        schema={"entity": pl.String, "known_at": moment, "value": pl.Int64},
    )
    questions = pl.DataFrame(
        {"entity": [n for n, _ in asked], "as_of": [at(h) for _, h in asked]}, schema_overrides={"as_of": moment}
    )
    found = newest(questions, frame, "entity", ("value",))["value"].to_list()
    for (name, hour), said in zip(asked, found, strict=True):
        known = [(when, k, v) for k, (other, when, v) in enumerate(rows) if other == name and when <= hour]
        assert said == (max(known)[2] if known else None)
