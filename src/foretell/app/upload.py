"""Facts that come in one request's body: rows as JSON, CSV or Parquet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import polars as pl

from foretell.app.intake import intake
from foretell.app.tenancy import Tenancy
from foretell.contract import Frame
from foretell.engine.mapping import guess, interval_of
from foretell.engine.spelling import Order
from foretell.errors import InvalidRequest, TooLarge
from foretell.stores import files

Kind = Literal["json", "csv", "parquet"]

MOST = 100_000  # rows in a body,
WIDEST = 1000  # columns,
LARGEST = 200_000_000  # and bytes, unpacked
SLICE = 1000  # rows of a file that are unpacked before the next are
KEY = 200  # characters of an idempotency key


def take(  # noqa: PLR0913 - an option of a request each
    desk: Tenancy,
    table: str,
    body: bytes,
    kind: Kind,
    *,
    zone: str | None = None,
    interval: str = "none",
    given: Mapping[str, str] | None = None,
    dates: Order | None = None,
    key: str | None = None,
) -> Mapping[str, Any]:
    """Take a body's rows into a table in one transaction; returns what became of them, as plain JSON.

    `given` says which column feeds which of the table's; the rest is guessed, save `interval` and `dates` (whether
    the day comes first in 02/03/2026): what a single row means must not depend on those sent with it. With a `key`, a
    request that is sent again is answered as the first time. Raises InvalidRequest, NotFound, TooLarge, and Refused
    for a key that was another request's.
    """
    if key is not None and not 1 <= len(key) <= KEY:
        raise InvalidRequest(f"an idempotency key has 1 to {KEY} characters")
    if interval == "auto":
        raise InvalidRequest("interval=auto is for files; say none, or how long a value stands for: interval=1h")
    try:
        return _taken(desk, table, body, kind, zone=zone, interval=interval, given=given or {}, dates=dates, key=key)
    except InvalidRequest as error:
        raise InvalidRequest(_over_http(str(error))) from None


def _over_http(words: str) -> str:
    """An error in the words of who sent a request rather than typed a command."""
    for typed, sent in (("--map ", "map="), ("--interval ", "interval="), ("--dates ", "dates="),
                        ("body.csv", "the body"), ("body.parquet", "the body")):  # fmt: skip
        words = words.replace(typed, sent)
    return words


def _taken(  # noqa: PLR0913 - as in `take`
    desk: Tenancy,
    table: str,
    body: bytes,
    kind: Kind,
    *,
    zone: str | None,
    interval: str,
    given: Mapping[str, str],
    dates: Order | None,
    key: str | None,
) -> Mapping[str, Any]:
    rows = _rows(body) if kind == "json" else _file(body, kind)
    if rows.height > MOST:
        raise TooLarge(
            f"{MOST:,} rows at most in one request; put them into a file and type: foretell import {table} FILE"
            f" --tenant {desk.tenant}"
        )
    if rows.width > WIDEST:
        raise InvalidRequest(f"the rows have {rows.width:,} different columns; leave out those the table has not")
    if rows.is_empty():
        rows = pl.DataFrame(schema=dict.fromkeys(desk.table(table)[1].kinds, pl.String))
    plan = guess(desk.table(table)[1], rows, given, interval=interval_of(interval), dates=dates, commas=False)
    taken = intake(desk, table, "request", zone=zone, interval=plan.interval, notes=plan.guessed())
    done = taken.planned(rows, plan)
    if key is None:
        taken.store(done)
        return taken.done().told()
    how = [table, kind, zone, interval, sorted(given.items()), *([dates] if dates else [])]
    said = json.dumps([*how, hashlib.sha256(body).hexdigest()])
    return taken.store_once(done, key, hashlib.sha256(said.encode()).hexdigest())


def _rows(body: bytes) -> Frame:
    """The rows of `{"rows": [{…}, …]}`."""
    try:
        told = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON ({error})") from None
    rows = told.get("rows") if isinstance(told, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidRequest('the body must be {"rows": [{"column": value, …}, …]}')
    if len(rows) > MOST:
        return pl.DataFrame({"row": [None] * len(rows)})  # too many, whatever they say
    names = list(dict.fromkeys(name for row in rows for name in row))
    try:
        return pl.DataFrame([_column(name, [row.get(name) for row in rows]) for name in names])
    except UnicodeEncodeError:
        raise InvalidRequest("a text in the rows holds half a character; leave it out") from None


def _column(name: str, values: Sequence[Any]) -> pl.Series:
    """A column of plain JSON values: of one type as it is, of several as text."""
    plain = [json.dumps(each) if isinstance(each, dict | list) else each for each in values]
    kinds = {type(each) for each in plain if each is not None}
    if kinds <= {int, float} and all(abs(each) < 2**63 for each in plain if isinstance(each, int)):
        numbers = plain if kinds == {int} else [None if each is None else float(each) for each in plain]
        return pl.Series(name, numbers, dtype=pl.Int64 if kinds == {int} else pl.Float64)
    if kinds == {bool}:
        return pl.Series(name, plain, dtype=pl.Boolean)
    texts = [each if isinstance(each, str | None) else json.dumps(each) for each in plain]
    return pl.Series(name, texts, dtype=pl.String)


def _file(body: bytes, kind: Kind) -> Frame:
    """The rows of a CSV or Parquet body; one more than may come, where there are more."""
    with TemporaryDirectory(prefix="foretell-") as folder:
        path = Path(folder) / f"body.{kind}"
        path.write_bytes(body)
        parts: list[Frame] = []
        for batch in files.batches(path, rows=SLICE if kind == "parquet" else MOST + 1):
            parts.append(batch.frame)
            if sum(part.height for part in parts) > MOST:
                break
            if sum(part.estimated_size() for part in parts) > LARGEST:
                raise TooLarge(f"{LARGEST:,} bytes at most in one request, unpacked; put them into several")
        return pl.concat(parts) if parts else pl.DataFrame()
