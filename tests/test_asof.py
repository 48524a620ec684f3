"""As-of parts say what a slow and obvious loop says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from foretell.contract import INSTANT, History, Standpoint
from foretell.features.asof import Record, latest, newest

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
    median = record.median([name for name, _ in asked], micros([hour for _, hour in asked]))
    beside = record.median([name for name, _ in asked], micros([hour for _, hour in asked]), 0.5)
    for k, (name, hour) in enumerate(asked):
        known = [v for other, when, v in rows if other == name and when <= hour]
        assert n[k] == len(known)
        assert mean[k] == pytest.approx(np.mean(known)) if known else np.isnan(mean[k])
        assert median[k] == np.median(known) if known else np.isnan(median[k])
        assert beside[k] == np.median([*known, 0.5])


class Nothing(BaseModel):
    """A domain's settings without any."""


def told(rows: list[tuple[str, int, int]]) -> pl.DataFrame:
    """The rows as facts."""
    columns = {"entity": [n for n, *_ in rows], "known_at": [at(h) for _, h, _ in rows], "value": [v for *_, v in rows]}
    return pl.DataFrame(columns, schema={"entity": pl.String, "known_at": INSTANT, "value": pl.Int64})


def questions(asked: list[tuple[str, int]]) -> pl.DataFrame:
    """What is asked, as a frame."""
    columns = {"entity": [n for n, _ in asked], "as_of": [at(h) for _, h in asked]}
    return pl.DataFrame(columns, schema_overrides={"as_of": INSTANT})


def obvious(rows: list[tuple[str, int, int]], asked: list[tuple[str, int]]) -> list[int | None]:
    """The value of the newest row of each question, looked for one by one."""
    found: list[int | None] = []
    for name, hour in asked:
        known = [(when, k, v) for k, (other, when, v) in enumerate(rows) if other == name and when <= hour]
        found.append(max(known)[2] if known else None)
    return found


@given(rows=ROWS, asked=ASKED)
def test_the_newest_row_is_the_last_that_was_known_by_then(
    rows: list[tuple[str, int, int]], asked: list[tuple[str, int]]
) -> None:
    found = newest(questions(asked), told(rows), "entity", ("value",))
    assert found["value"].to_list() == obvious(rows, asked)


@given(rows=ROWS, more=ROWS, asked=ASKED)
def test_the_latest_row_of_a_history_is_the_newest_of_its_own_and_of_those_that_came_along(
    rows: list[tuple[str, int, int]], more: list[tuple[str, int, int]], asked: list[tuple[str, int]]
) -> None:
    there = Standpoint(tenant="t", now=at(30), zone="UTC", settings=Nothing())
    stored = History(there, {"facts": told(rows)})
    for history, whole in ((stored, rows), (stored.plus({"facts": told(more)}), rows + more)):
        found = latest(history, questions(asked), "facts", ("value",))
        assert found["value"].to_list() == obvious(whole, asked)
        both = questions(asked).with_columns(value=found["value"])
        found = latest(history, both, "facts", ("value",), by=("entity", "value"))
        assert found["value"].to_list() == obvious(whole, asked)
