"""Files of rows: nothing lost or bent whatever the size of a batch; what can't be read says what to do."""

from __future__ import annotations

import csv
import gzip
import io
import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foretell.errors import InvalidRequest
from foretell.stores import files
from foretell.stores.files import batches


def put(folder: Path, content: bytes | str, name: str = "rows.csv") -> Path:
    path = folder / name
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw, mtime=0) if name.endswith(".gz") else raw)
    return path


def whole(path: Path, rows: int = 200_000) -> pl.DataFrame:
    return pl.concat([batch.frame for batch in batches(path, rows=rows)])


# ---------------------------------------------------------------- what is read

PIECES = ["a", "b", " ", ",", ";", "|", "\t", '"', "\n", "\r\n", "é"]
CELL = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)


@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), max_size=30),
    size=st.integers(1, 40),
    block=st.sampled_from([16, 40, 200, 2**20]),
    separator=st.sampled_from(files.SEPARATORS),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    packed=st.booleans(),
)
@example(rows=[("", "", "")], size=1, block=16, separator=",", end="\n", last=False, packed=False)
@settings(max_examples=300)
def test_what_was_written_is_read_in_batches_of_any_size(
    rows: list[tuple[str, str, str]], size: int, block: int, separator: str, end: str, last: bool, packed: bool
) -> None:
    text = io.StringIO()
    write = csv.writer(text, delimiter=separator, lineterminator=end)
    write.writerows([("first", "second", "third"), *rows])
    content = text.getvalue() if last else text.getvalue().removesuffix(end)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK", block)
        path = put(Path(folder), content, "rows.csv.gz" if packed else "rows.csv")
        read = list(batches(path, rows=size))
    assert [row for batch in read for row in batch.frame.rows()] == [tuple(c or None for c in row) for row in rows]
    assert all(batch.frame.schema == dict.fromkeys(("first", "second", "third"), pl.String) for batch in read)
    assert all(batch.frame.height == size for batch in read[:-1])
    done = [batch.done for batch in read]
    assert done == sorted(done)
    assert done[-1] == 1.0


def test_every_column_of_text_stays_text(tmp_path: Path) -> None:
    path = put(tmp_path, 'time,value,note\n2024-05-01,007,"said ""no"""\n,,""\n')
    assert whole(path).rows() == [("2024-05-01", "007", 'said "no"'), (None, None, "")]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_by_looking(tmp_path: Path, separator: str) -> None:
    rows = [("time", "value, in MW" if separator != "," else "value"), ("2024-05-01 12:00", "1;5|x".strip())]
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    assert whole(put(tmp_path, text.getvalue())).rows(named=True) == [dict(zip(*rows, strict=True))]


def test_a_decimal_comma_does_not_cut_a_field(tmp_path: Path) -> None:
    path = put(tmp_path, "time;value\n2024-05-01;1,5\n2024-05-02;2,5\n")
    assert whole(path).rows() == [("2024-05-01", "1,5"), ("2024-05-02", "2,5")]


def test_a_byte_order_mark_and_blanks_are_no_part_of_a_name(tmp_path: Path) -> None:
    assert whole(put(tmp_path, b"\xef\xbb\xbftime, value\n1,2\n")).columns == ["time", "value"]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = put(tmp_path, "\n\na,b\n\n1,2\n\r\n\n,\n3,4\n\n\n")
    for size in (1, 2, 10):
        assert whole(path, size).rows() == [("1", "2"), (None, None), ("3", "4")]


def test_a_file_may_have_one_column(tmp_path: Path) -> None:
    assert whole(put(tmp_path, "a\n1\n\n2\n\n\n")).rows() == [("1",), ("2",)]


def test_a_file_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    for content in ("a,b", "a,b\n", "a,b\n\n"):
        (batch,) = batches(put(tmp_path, content))
        assert (batch.frame.columns, batch.frame.height, batch.done) == (["a", "b"], 0, 1.0)


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    start = datetime(2024, 5, 1, tzinfo=UTC)
    frame = pl.DataFrame({"time": [start + timedelta(hours=n) for n in range(1000)], "value": [1.5] * 1000})
    frame = frame.with_columns(more=pl.struct(n=pl.int_range(1000)))
    frame.write_parquet(path, row_group_size=170)
    for size in (1, 99, 1000, 5000):
        read = list(batches(path, rows=size))
        assert pl.concat([batch.frame for batch in read]).equals(frame)
        assert [batch.frame.height for batch in read[:-1]] == [size] * (len(read) - 1)
        assert read[-1].done == 1.0
    frame.clear().write_parquet(path)
    (only,) = batches(path)
    assert (only.frame.schema, only.done) == (frame.schema, 1.0)


def test_very_long_rows_come_in_smaller_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 1000)
    monkeypatch.setattr(files, "HELD", 5000)
    path = put(tmp_path, "a,b\n" + "".join(f"{n},{'x' * 500}\n" for n in range(100)))
    read = list(batches(path, rows=50))
    assert pl.concat([batch.frame for batch in read])["a"].to_list() == [str(n) for n in range(100)]
    assert max(batch.frame.height for batch in read) < 50


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "rows.csv", "rows.csv is empty"),
        (b"", "rows.csv.gz", "rows.csv.gz is empty"),
        (b"\n\n", "rows.csv", "rows.csv is empty"),
        (b"a,b\n1,2\n", "rows.txt", "rows.txt: the name must end in one of .csv, .csv.gz,"),
        (b"a,b\n1,2\n3\n4,5\n", "rows.csv", "line 3: 1 fields where the first line names 2"),
        (b"a,b\n1,2\n3,4,5\n4,5\n", "rows.csv", "line 3: 3 fields where the first line names 2"),
        (b"a,b\n1\n", "rows.csv", "line 2: 1 fields where the first line names 2"),
        (b"a,b\n1,2,3\n3\n", "rows.csv", "line 2: 3 fields where the first line names 2"),
        (b'a,b\n"1\n\n1",2\n\n3\n', "rows.csv", "line 6: 1 fields where the first line names 2"),
        (b'a,b\n"x,y",2\n3,4,5\n', "rows.csv", "line 3: 3 fields where the first line names 2"),
        (b"2024-05-01T12:00,17\n2024-05-01T13:00,18\n", "rows.csv", "the first line must name the columns; it holds"),
        (b"requests,17.5\n", "rows.csv", "the first line must name the columns; it holds values"),
        (b"a,,c\n1,2,3\n", "rows.csv", "column 2 has no name in the first line"),
        (b"a,b,a\n1,2,3\n", "rows.csv", "the first line names a twice; rename one"),
        ("a,b\n1,Zürich\n".encode("latin-1"), "rows.csv", "line 2: not UTF-8; type, .*iconv -f WINDOWS-1252 -t UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "rows.csv", "it is UTF-16; type: iconv -f UTF-16 -t UTF-8 rows.csv"),
        (b"a,b\r1,2\r", "rows.csv", r"type: tr '\\r' '\\n' < rows.csv"),
        (b'a,b\n1,"2\n3,4\n', "rows.csv", "line 2: the quotes that open here are never closed"),
        (b"a,b\n1,2\n  \n", "rows.csv", "line 3: 1 fields where the first line names 2"),
        (b'a,b\n1,5" pipe\n3,4\n', "rows.csv", "line 2: a quotation mark inside a field"),
        (b'a,b\n1,2\n"3"x,4\n', "rows.csv", "line 3: a quotation mark inside a field"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "rows.csv", "it is compressed: name it .csv.gz"),
        (b"PK\x03\x04 and so on", "rows.csv", "it is a spreadsheet or an archive: save it as CSV"),
        (b"PAR1 and so on", "rows.csv", "it is Parquet: name it .parquet"),
        (b"no parquet", "rows.parquet", "rows.parquet can't be read as Parquet; write it again"),
    ],
)
@pytest.mark.parametrize("block", [8, 2**20])
def test_what_can_not_be_read_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, name: str, words: str, block: int
) -> None:
    if b"\n" in content[:block]:  # the first line is looked at with what follows it
        monkeypatch.setattr(files, "BLOCK", block)
    with pytest.raises(InvalidRequest, match=words):
        list(batches(put(tmp_path, content, name)))


def test_a_missing_file_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"there is no file .*none\.csv"):
        batches(tmp_path / "none.csv")
    with pytest.raises(InvalidRequest, match="there is no file"):
        batches(tmp_path)


@pytest.mark.parametrize("left", [1, 5, 20, 400, -9, -1])
def test_a_compressed_file_that_was_cut_off_is_refused(tmp_path: Path, left: int) -> None:
    dice = random.Random(1)
    text = "a,b\n" + "".join(f"{dice.random()},{dice.random()}\n" for _ in range(500))
    path = put(tmp_path, text, "rows.csv.gz")
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(InvalidRequest, match="fetch or write it again"):
        list(batches(path))


def test_a_compressed_file_that_was_damaged_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "a,b\n" + "1,2\n" * 500, "rows.csv.gz")
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(InvalidRequest, match="can't be unpacked"):
        list(batches(path))
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(InvalidRequest, match="can't be unpacked"):
        list(batches(path))


def test_a_parquet_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"a": range(1000)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InvalidRequest, match="can't be read as Parquet"):
        list(batches(path))


def test_what_came_before_a_bad_line_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 100)
    path = put(tmp_path, "a,b\n" + "1,2\n" * 200 + "3\n")
    read: list[pl.DataFrame] = []
    with pytest.raises(InvalidRequest, match="line 202"):
        read.extend(batch.frame for batch in batches(path, rows=10))
    assert sum(frame.height for frame in read) >= 150


def test_a_row_that_never_ends_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 100)
    monkeypatch.setattr(files, "LONGEST", 1000)
    path = put(tmp_path, 'a,b\n1,"' + "x\n" * 5000)
    with pytest.raises(InvalidRequest, match="the row that starts in line 2 does not end; are quotes closed"):
        list(batches(path))


# ---------------------------------------------------------------- memory

PEAK = """
import sys
from pathlib import Path
from foretell.stores.files import batches
rows = sum(batch.frame.height for batch in batches(Path(sys.argv[1])))
# not getrusage, whose peak a child has from its parent
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(rows, int(peak) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    """Two million rows, 90 MB of text, in less than is needed to hold them."""
    count = 2_000_000
    start = pl.datetime(2020, 1, 1)
    frame = pl.select(
        time=(start + pl.duration(minutes=pl.int_range(count))).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        service=pl.lit("service-") + (pl.int_range(count) % 50).cast(pl.String),
        value=(pl.int_range(count) * 7919 % 100_003 / 7).round(3).cast(pl.String),
    )
    path = tmp_path / name
    if name.endswith(".parquet"):
        frame.write_parquet(path, row_group_size=count)  # the worst case: nothing to stop at
    else:
        frame.write_csv(tmp_path / "rows.csv")
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes(), 1))
    del frame
    child = [sys.executable, "-c", PEAK, str(path)]
    alike = os.environ | {"POLARS_MAX_THREADS": "2"}  # on any machine
    out = subprocess.run(child, capture_output=True, text=True, check=True, env=alike).stdout
    rows, peak = map(int, out.split())
    assert rows == count
    assert peak < 240, peak  # megabytes, 80 of them Python with Polars; all rows held are 255 and more
