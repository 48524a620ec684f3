"""Files of rows: CSV (also compressed) and Parquet, read piece by piece, so that a file may be larger than memory.

CSV is read as RFC 4180 has it, with any of , ; tab | between the fields. Every column of it is text, an empty field
null; Parquet keeps its types. What is not such a file is refused with the line to look at or to type.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Frame
from foretell.errors import InvalidRequest, first_line

ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
SEPARATORS = ",;\t|"
BLOCK = 8 * 2**20  # bytes of text looked at together
LOOKED = 64 * 2**10  # bytes that show how a file is laid out
LONGEST = 64 * 2**20  # bytes a single row may have
HELD = 128 * 2**20  # bytes a batch may have before it has all its rows
VALUE = re.compile(r"[+-]?[\d.,]+|\d{4}-\d\d?-\d\d?([T ].*)?")  # in the first line: it holds no names
FOREIGN = {
    b"\x1f\x8b": "it is compressed: name it .csv.gz",
    b"PAR1": "it is Parquet: name it .parquet",
    b"PK": "it is a spreadsheet or an archive: save it as CSV",
    b"\xff\xfe": "it is UTF-16; type: iconv -f UTF-16 -t UTF-8 {name} > utf8.csv",
    b"\xfe\xff": "it is UTF-16; type: iconv -f UTF-16 -t UTF-8 {name} > utf8.csv",
}

Flags = NDArray[np.uint8]


class Batch(NamedTuple):
    """Some rows of a file, and how far through it they end, from 0 to 1 (by bytes for CSV, by rows for Parquet)."""

    frame: Frame
    done: float


def batches(path: Path, *, rows: int = 200_000) -> Iterator[Batch]:
    """The rows of a file in its order, `rows` at a time; fewer at the end, or where rows are very long.

    A file of no rows yields one batch without any, for its columns. Raises InvalidRequest, which says what to do, where
    the file can't be read: an unknown ending, nothing in it, no names in its first line, another encoding than UTF-8, a
    row with more or fewer fields than the first line, quotes that don't close, damage. It may come in the middle: what
    was yielded before is sound.
    """
    if not path.is_file():
        raise InvalidRequest(f"there is no file {path}")
    if not path.name.lower().endswith(ENDINGS):
        raise InvalidRequest(f"{path.name}: the name must end in one of {', '.join(ENDINGS)}")
    if not path.stat().st_size:
        raise InvalidRequest(f"{path.name} is empty")
    return _regular(_parquet(path, rows) if path.suffix.lower() == ".parquet" else _text(path), rows)


def _regular(pieces: Iterator[Batch], rows: int) -> Iterator[Batch]:
    """The same rows, `rows` at a time, unless that many would not fit."""
    held: list[Frame] = []
    done = 0.0
    first = True
    for piece in pieces:
        if piece.frame.height or first:
            held.append(piece.frame)
        first = False
        height = sum(frame.height for frame in held)
        large = sum(frame.estimated_size() for frame in held) > HELD
        if height >= rows or large:
            whole = pl.concat(held)
            end = height if large else height - height % rows
            for start in range(0, end, rows):
                share = min(start + rows, end) / height
                yield Batch(whole[start : min(start + rows, end)], done + (piece.done - done) * share)
            held = [whole[end:]] if end < height else []
            done = piece.done
    if held:
        yield Batch(pl.concat(held), 1.0)


# ---------------------------------------------------------------- Parquet


def _parquet(path: Path, rows: int) -> Iterator[Batch]:
    try:
        scan = pl.scan_parquet(path, glob=False)
        total = scan.select(pl.len()).collect().item()
        if not total:
            yield Batch(scan.collect(), 1.0)
        # slices and not Polars' own batches, which hold a whole row group: there a file may have only one
        for start in range(0, total, rows):
            yield Batch(scan.slice(start, rows).collect(), min(1.0, (start + rows) / total))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidRequest(f"{path.name} can't be read as Parquet; write it again ({first_line(error)})") from None


# ---------------------------------------------------------------- text


class _Source:
    """The bytes of a text file, unpacked where they are packed."""

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        self.name, self.raw, self.size = path.name, raw, path.stat().st_size
        self.stream: IO[bytes] = raw
        if path.suffix.lower() == ".gz":
            self.stream = gzip.GzipFile(fileobj=raw)  # type: ignore[assignment]

    @property
    def done(self) -> float:
        """The share of the stored bytes that was read."""
        return min(1.0, self.raw.tell() / self.size)

    def read(self) -> bytes:
        """The next bytes; none at the end."""
        try:
            return self.stream.read(BLOCK)
        except EOFError:
            raise InvalidRequest(f"{self.name} ends in the middle; fetch or write it again") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InvalidRequest(f"{self.name} can't be unpacked; fetch or write it again ({error})") from None


@contextmanager
def _opened(path: Path) -> Iterator[_Source]:
    with path.open("rb") as raw:
        yield _Source(path, raw)


class _Form(NamedTuple):
    """How a text file is laid out."""

    file: str
    separator: str
    names: Sequence[str]


def _text(path: Path) -> Iterator[Batch]:
    with _opened(path) as source:
        head = source.read()
        _native(head, source.name)
        head = head.removeprefix(b"\xef\xbb\xbf")
        separator = _separator(head)
        form: _Form | None = None
        for line, block, fields in _blocks(source, head, separator):
            text = _decoded(block, line, source.name)
            start = 0
            if form is None:
                form, skipped = _header(text, separator, source.name)
                start = _after(block, skipped)
            cuts = fields - (len(form.names) - 1 if start else 0)
            yield Batch(_frame(block[start:], text, cuts, line, form), source.done)


def _native(head: bytes, name: str) -> None:
    """Refuse what is plainly no text in UTF-8."""
    if not head:
        raise InvalidRequest(f"{name} is empty")
    for start, words in FOREIGN.items():
        if head.startswith(start):
            raise InvalidRequest(f"{name} can't be read as CSV: {words.format(name=name)}")
    if b"\r" in head and b"\n" not in head:
        raise InvalidRequest(f"{name} ends its lines in an old way; type: tr '\\r' '\\n' < {name} > lines.csv")


def _separator(head: bytes) -> str:
    """What stands between the fields: what cuts the first lines into equally many, and into most."""
    start = head[:LOOKED]
    if len(head) >= min(LOOKED, BLOCK):  # its last line may have been cut off
        start = start[: start.rfind(b"\n") + 1] or start
    text = start.decode(errors="replace")

    def cut(by: str) -> tuple[bool, bool, int]:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=by)
        widths = [len(row) for row, _ in zip(lines, range(10), strict=False) if row] or [0]
        return widths[0] > 1, len(set(widths)) == 1, widths[0]

    return max(SEPARATORS, key=cut)


def _header(text: str, separator: str, file: str) -> tuple[_Form, int]:
    """The form of a file by its first line, and how many lines that took."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names = [name.strip() for name in next((row for row in reader if row), [])]
    if not any(names):
        raise InvalidRequest(f"{file} is empty")
    if any(VALUE.fullmatch(name) for name in names):
        first = separator.join(names)
        raise InvalidRequest(f"{file}: the first line must name the columns; it holds values ({first:.80})")
    if "" in names:
        raise InvalidRequest(f"{file}: column {names.index('') + 1} has no name in the first line")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidRequest(f"{file}: the first line names {', '.join(twice)} twice; rename one")
    return _Form(file, separator, names), reader.line_num


def _after(block: bytes, lines: int) -> int:
    """Where the text after so many lines starts."""
    at = 0
    for _ in range(lines):
        at = block.find(b"\n", at) + 1 or len(block)
    return at


def _blocks(source: _Source, head: bytes, separator: str) -> Iterator[tuple[int, bytes, int]]:
    """The text in blocks that end where a row does: the number of the first line, the block, its separators."""
    line, data, ended = 1, head, False
    while data:
        quotes = _inside(data, separator, line, source.name) if b'"' in data else None
        if ended:
            end = len(data)
            if quotes is not None and quotes[-1]:
                at = line + data.count(b"\n", 0, data.rfind(b'"'))
                raise InvalidRequest(f"{source.name}, line {at}: the quotes that open here are never closed")
        else:
            end = _last_row(data, quotes)
        if end:
            yield line, data[:end], _separators(data, end, separator, quotes)
        elif len(data) > LONGEST:
            raise InvalidRequest(f"{source.name}: the row that starts in line {line} does not end; are quotes closed?")
        line += data.count(b"\n", 0, end)
        more = b"" if ended else source.read()
        ended = not more
        data = data[end:] + more


def _inside(data: bytes, separator: str, line: int, file: str) -> Flags:
    """For each byte whether it stands inside quotes. Raises InvalidRequest for quotes in the middle of a field."""
    text = np.frombuffer(data, dtype=np.uint8)
    marks = text == ord('"')
    places = np.flatnonzero(marks)
    edges = np.zeros(256, dtype=bool)
    edges[[ord(separator), *b'\r\n"']] = True
    opening = places[0::2]
    closing = places[1::2]
    closing = closing[closing < len(text) - 1]
    wrong = np.concatenate([opening[~edges[text[opening - 1]] & (opening > 0)], closing[~edges[text[closing + 1]]]])
    if len(wrong):
        at = line + data.count(b"\n", 0, int(wrong.min()))
        raise InvalidRequest(
            f'{file}, line {at}: a quotation mark inside a field; put the field in quotes and write the mark twice ("")'
        )
    return np.bitwise_xor.accumulate(marks.view(np.uint8))


def _last_row(data: bytes, quotes: Flags | None) -> int:
    """Where the last row that is whole ends; 0 where none is."""
    end = data.rfind(b"\n") + 1
    while quotes is not None and end and quotes[end - 1]:
        end = data.rfind(b"\n", 0, end - 1) + 1
    return end


def _separators(data: bytes, end: int, separator: str, quotes: Flags | None) -> int:
    if quotes is None:
        return data.count(separator.encode(), 0, end)
    found = np.frombuffer(data, dtype=np.uint8, count=end) == ord(separator)
    return int(np.count_nonzero(found & (quotes[:end] == 0)))


def _decoded(block: bytes, line: int, file: str) -> str:
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        at = line + block.count(b"\n", 0, error.start)
        raise InvalidRequest(
            f"{file}, line {at}: not UTF-8; type, with the encoding it was written in:"
            f" iconv -f WINDOWS-1252 -t UTF-8 {file} > utf8.csv"
        ) from None


def _frame(block: bytes, text: str, separators: int, line: int, form: _Form) -> Frame:
    """The rows of a block without blank lines. `text` is the block with the header, if it had one, from `line` on."""
    schema = {name: pl.String() for name in form.names}
    block = block.lstrip(b"\r\n")
    if not block:
        return pl.DataFrame(schema=schema)
    try:
        frame = pl.read_csv(block, has_header=False, schema=schema, separator=form.separator, raise_if_empty=False)
    except pl.exceptions.PolarsError as error:
        _full_rows(text, line, form)
        raise InvalidRequest(f"{form.file}, from line {line} on: {first_line(error)}") from None
    if len(schema) == 1:
        return frame.drop_nulls()
    if separators == frame.height * (len(schema) - 1):
        return frame  # for no row has too many fields, so none has too few
    full = _full_rows(text, line, form)[-frame.height :]
    return frame.filter(pl.Series(full, dtype=pl.Boolean))


def _full_rows(text: str, line: int, form: _Form) -> list[bool]:
    """For each line's row whether it is more than a blank line. Raises InvalidRequest for the first uneven one."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=form.separator)
    full: list[bool] = []
    start = line
    for row in reader:
        if row and len(row) != len(form.names):
            raise InvalidRequest(
                f"{form.file}, line {start}: {len(row)} fields where the first line names {len(form.names)}"
            )
        full.append(bool(row))
        start = line + reader.line_num
    return full
