"""The quality of an import: each part by hand, and the same however the rows are cut into batches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from foretell import Frame, Table
from foretell.engine.ingest import ingest
from foretell.engine.quality import Tally

START = datetime(2024, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Row(BaseModel):
    site: str
    time: datetime
    value: float


TABLE = Table(name="rows", row=Row, key=("site", "time"), time="time", entity=("site",))
ALONE = Table(name="rows", row=Row, key=("site", "time"), time="time")


def rows(*hours: int, site: str = "a", step: timedelta = HOUR) -> Frame:
    return pl.DataFrame({"site": site, "time": [START + step * n for n in hours], "value": [1.0] * len(hours)})


def tally(*batches: Frame, table: Table = TABLE) -> Tally:
    made = Tally(table)
    for batch in batches:
        made.add(ingest(table, batch, zone="UTC"))
    return made


def test_a_sound_series_has_full_marks() -> None:
    quality = tally(rows(*range(48))).quality()
    assert quality.parts == {"validity": 1.0, "uniqueness": 1.0, "regularity": 1.0}
    assert quality.score == 1.0


def test_each_part_counts_what_is_missing_of_it() -> None:
    bad = rows(100, 101).with_columns(value=pl.lit(float("nan")))
    made = tally(pl.concat([rows(0, 1, 1, 2, 3, 5, 6, 7, 9), bad]))
    quality = made.quality()
    assert quality.parts == {"validity": 9 / 11, "uniqueness": 8 / 9, "regularity": 8 / 10}
    assert quality.score == pytest.approx(9 / 11 * 8 / 9 * 8 / 10)
    assert (made.accepted, made.rejected, made.repeated) == (8, 2, 1)
    assert made.rules == {"value is not a finite number": 2}
    assert made.notes == ("1 rows repeat the key of a later row; the later one counts",)


def test_series_have_steps_of_their_own() -> None:
    both = pl.concat([rows(*range(10)), rows(*range(0, 20, 2), site="b", step=HOUR / 60)])
    assert tally(both.sort("time")).quality().parts["regularity"] == 1.0


def test_what_comes_now_and_then_is_not_called_irregular() -> None:
    assert "regularity" not in tally(rows(0, 1, 3, 7, 15, 31, 63)).quality().parts
    assert "regularity" not in tally(rows(5)).quality().parts
    assert "regularity" not in tally(rows(*range(48)), table=ALONE).quality().parts


def test_nothing_has_nothing_wrong_with_it() -> None:
    assert Tally(TABLE).quality().score == 1.0
    assert tally(rows()).quality().score == 1.0
    assert tally(rows(0).with_columns(value=pl.lit("none"))).quality().parts == {"validity": 0.0, "uniqueness": 1.0}


def test_notes_and_rules_of_batches_are_added_up() -> None:
    made = tally(*[rows(n, n).with_columns(value=pl.Series([1.0, 1.0])) for n in range(3)])
    assert made.notes == ("3 rows repeat the key of a later row; the later one counts",)


@given(
    lost=st.sets(st.integers(1, 118), max_size=25),
    cuts=st.lists(st.integers(1, 239), max_size=8),
    by_time=st.booleans(),
)
@settings(max_examples=80)
def test_the_same_rows_have_the_same_quality_however_they_are_cut(
    lost: set[int], cuts: list[int], by_time: bool
) -> None:
    there = [n for n in range(120) if n not in lost]
    sent = pl.concat([rows(*there, site="a"), rows(*there, site="b", step=HOUR / 4)])
    sent = sent.sort("time") if by_time else sent
    edges = sorted({0, *cuts, sent.height})
    parts = [sent[start:end] for start, end in pairwise(edges)]
    made = tally(*parts)
    assert made.series.height == 2
    assert made.quality() == tally(sent).quality()
    assert made.quality().parts["regularity"] == pytest.approx(len(there) / 120)


def test_an_unusual_start_is_outvoted() -> None:
    """The first batch has two-hour steps by chance; the usual step is learned from what follows."""
    made = tally(rows(0, 2, 4), rows(*range(5, 60)))
    assert made.quality().parts["regularity"] == pytest.approx(58 / 60)


def test_a_file_sent_twice_is_not_more_than_whole() -> None:
    assert tally(rows(*range(48)), rows(*range(48))).quality().parts["regularity"] == 1.0


def test_memory_grows_with_series_only() -> None:
    made = tally(*[rows(*range(n, n + 500)) for n in range(0, 5000, 500)])
    assert made.series.height == 1
    assert made.series.row(0, named=True)["rows"] == 5000
