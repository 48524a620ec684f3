"""Facts against an obvious oracle: a list of all that was ever recorded, read with loops; and what may go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import polars as pl
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Connection
from tests.stores.toy import DEEDS, THINGS, YEARLY, marks

from foretell import Frame, Table
from foretell.contract import DTYPES
from foretell.domains.traffic.schema import METRICS
from foretell.errors import Unavailable
from foretell.stores import facts, quarantine
from foretell.stores.access import LOGIN, OWNER, url_of
from foretell.stores.database import Database
from foretell.stores.server import Server
from foretell.stores.shape import columns

ORIGIN = quarantine.Origin(source="s", zone="UTC", interval=None)

Row = dict[str, Any]
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
START = datetime(2024, 5, 1, tzinfo=UTC)
FIRST = datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def whole(table: Table, row: Row) -> Row:
    """A row as ingest hands it over: with `entity`, and `known_at`."""
    parts = [str(row[name]) for name in table.entity]
    if len(parts) > 1:
        parts = [part.replace("%", "%25").replace("/", "%2F") for part in parts]
    known = (row.get(table.known_at) if table.known_at else None) or row[table.time]
    return dict.fromkeys(columns(table)) | row | {"entity": "/".join(parts), "known_at": known}


def frame(table: Table, rows: Sequence[Row]) -> Frame:
    kinds = columns(table)
    return pl.DataFrame(
        [[row[name] for name in kinds] for row in rows],
        schema={name: DTYPES[kind] for name, kind in kinds.items()},
        orient="row",
    )


def thing(**changes: Any) -> Row:
    row = {"shop": "a", "shelf": "b", "at": START, "number": 1.0, "whole": 7} | changes
    return whole(THINGS, row)


def told(read: Frame, table: Table) -> list[Row]:
    """Rows of a frame, objects as what they mean."""
    objects = [name for name, kind in columns(table).items() if kind == "object"]
    assert read.schema == {name: DTYPES[kind] for name, kind in columns(table).items()}
    return [
        row | {name: None if row[name] is None else json.loads(row[name]) for name in objects}
        for row in read.to_dicts()
    ]


def now(connection: Connection[Any]) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row
    moment: datetime = row[0]
    return moment


@dataclass
class Oracle:
    """All that was ever recorded of a table, in order."""

    table: Table
    events: list[tuple[datetime, Row]] = field(default_factory=list)

    def write(self, rows: Sequence[Row], recorded: datetime) -> tuple[int, int, int]:
        """How many rows are new, correct another, change nothing."""
        accepted = revised = unchanged = 0
        there = self.newest(recorded)
        for row in rows:
            old = there.get(self.key(row))
            accepted += old is None
            revised += old is not None and meaning(old) != meaning(row)
            unchanged += old is not None and meaning(old) == meaning(row)
            if old is None or meaning(old) != meaning(row):
                self.events.append((recorded, row))
        return accepted, revised, unchanged

    def key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.table.key)

    def newest(self, recorded: datetime) -> dict[tuple[Any, ...], Row]:
        return {self.key(row): row for when, row in self.events if when <= recorded}

    def read(
        self,
        *,
        known: datetime,
        recorded: datetime | None = None,
        window: timedelta | None = None,
        only: Mapping[str, Sequence[str]] | None = None,
        between: tuple[datetime | None, datetime | None] = (None, None),
    ) -> list[Row]:
        first, last = between
        found = []
        for row in self.newest(recorded or LAST).values():
            fits = row["known_at"] <= known
            fits = fits and (window is None or row["known_at"] > known - window)
            fits = fits and all(row[name] in some for name, some in (only or {}).items())
            fits = fits and (first is None or row[self.table.time] >= first)
            fits = fits and (last is None or row[self.table.time] < last)
            if fits:
                found.append(meaning(row))
        return found


def meaning(row: Row) -> Row:
    return row | ({"more": json.loads(row["more"])} if row.get("more") is not None else {})


def ordered(rows: list[Row], table: Table) -> list[Row]:
    return sorted(rows, key=lambda row: tuple(str(row[name]) for name in table.key))


# ---------------------------------------------------------------- rows of every kind

ODD = (
    "", " ", '"', '""', "a,b", "a\nb", "a\r\nb", "\r", "\\.", "x\n\\.\ny", "\\N", "NULL", "null", "'; --", "%s", "{}",
    "$1", "ü", "\u0130", "😀", "\u2028", "\ufeff", "NaN", "a/b", "a%2Fb", "-infinity", "\x1d", "\x7f",
)  # fmt: skip
FREE = st.text(st.characters(exclude_characters="\0\x1e\x1f", exclude_categories=["Cs"]), max_size=8)
TEXT = st.sampled_from(ODD) | FREE
MOMENTS = st.one_of(
    st.sampled_from(
        [datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), START, START + timedelta(microseconds=1)]
    ),
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
FAR = st.sampled_from([LAST, datetime(2300, 1, 1, 0, 0, 0, 1, tzinfo=UTC), FIRST])
FLOATS = st.sampled_from([0.0, -0.0, 5e-324, 1.7976931348623157e308, -2.2e-308, 0.1 + 0.2, 1e16, 123456789.125]) | (
    st.floats(allow_nan=False, allow_infinity=False)
)
WHOLES = st.sampled_from([2**62, -(2**62), 2**63 - 1, 0, -1]) | st.integers(-(2**62), 2**62)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXT,
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(FREE, inside, max_size=2),
    max_leaves=4,
)
THING = st.fixed_dictionaries(
    {
        "shop": st.sampled_from(["", "b/c", 'ü%",\n']),
        "shelf": st.sampled_from(["", "\\."]),
        "at": st.sampled_from([START, START + DAY, datetime(1969, 7, 20, 20, 17, 40, 1, tzinfo=UTC), FIRST, LAST]),
        "told": st.none() | MOMENTS | FAR,
        "number": FLOATS,
        "maybe_number": st.none() | FLOATS,
        "whole": WHOLES,
        "maybe_whole": st.none() | WHOLES,
        "flag": st.none() | st.booleans(),
        "day": st.none() | st.dates(),
        "note": st.none() | TEXT,
        "more": st.none() | st.dictionaries(FREE, JSON, max_size=2).map(json.dumps),
    }
)
DEED = st.fixed_dictionaries(
    {
        "number": st.integers(-3, 3),
        "town": TEXT,
        "signed": MOMENTS | FAR,
        "known_at": MOMENTS,
        "price": FLOATS,
    }
)
THING_TIMES = [START, START + DAY, LAST]


def batches(table: Table, row: st.SearchStrategy[Row]) -> st.SearchStrategy[list[list[Row]]]:
    key = lambda each: tuple(each[name] for name in table.key)  # noqa: E731
    one = st.lists(row.map(lambda each: whole(table, each)), max_size=6, unique_by=key)
    figure = "number" if table is not DEEDS else "price"
    # A batch may come again, as it was or with some of its rows corrected.
    again = st.lists(st.tuples(st.integers(0, 3), st.lists(st.none() | FLOATS, min_size=6, max_size=6)), max_size=3)

    def repeated(sent: list[list[Row]], some: list[tuple[int, list[float | None]]]) -> list[list[Row]]:
        corrected = [
            [
                row if value is None else row | {figure: value}
                for row, value in zip(sent[n % len(sent)], values, strict=False)
            ]
            for n, values in some
        ]
        return [*sent, *corrected]

    return st.builds(repeated, st.lists(one, min_size=1, max_size=3), again)


def questions(table: Table, column: str) -> st.SearchStrategy[list[Row]]:
    some = st.lists(st.sampled_from(["", "b/c", 'ü%",\n', "\\.", "none"]), max_size=3)
    moment = st.sampled_from([*THING_TIMES, START - DAY]) | MOMENTS
    return st.lists(
        st.fixed_dictionaries(
            {"known": moment},
            optional={
                "window": st.sampled_from([timedelta(microseconds=1), DAY, 400 * DAY, 20_000 * DAY]),
                "only": st.fixed_dictionaries({column: some}),
                "between": st.tuples(st.none() | moment, st.none() | moment),
            },
        ),
        max_size=4,
    )


def compared(database: Database, table: Table, sent: list[list[Row]], asked: list[Row]) -> None:
    """Send batches and ask questions of the database and of the oracle."""
    tenant, oracle, name = f"t{uuid4().hex[:12]}", Oracle(table), f"toy.{table.name}"
    moments: list[datetime] = []
    for batch in sent:
        with database.tenant(tenant) as connection:
            before = marks(connection, tenant, [name])[name]
            done = facts.write(connection, tenant, "toy", table, frame(table, batch))
            after = marks(connection, tenant, [name])[name]
            moments.append(now(connection))
        expected = oracle.write(batch, moments[-1])
        assert (done.accepted, done.revised, done.unchanged) == expected
        assert (after > before) == (expected[:2] != (0, 0))
    with database.tenant(tenant, snapshot=True) as connection:
        for question in [{"known": LAST}, *asked]:
            for recorded in [None, *moments, START]:
                found = facts.read(connection, tenant, "toy", table, recorded=recorded, **question)
                expected_rows = oracle.read(recorded=recorded, **question)
                assert ordered(told(found, table), table) == ordered(expected_rows, table)
                assert found["known_at"].is_sorted()
        kept = connection.execute(f'SELECT count(*) FROM toy."{table.name}"'.encode()).fetchone()
        assert kept == (len(oracle.events),)
        newest = facts.latest(connection, tenant, "toy", table)
        assert newest == max((row["known_at"] for row in oracle.newest(LAST).values()), default=None)


@settings(max_examples=40)
@given(sent=batches(THINGS, THING), asked=questions(THINGS, "shop"))
def test_things_are_read_as_an_oracle_reads_them(database: Database, sent: list[list[Row]], asked: list[Row]) -> None:
    compared(database, THINGS, sent, asked)


@settings(max_examples=15)
@given(sent=batches(YEARLY, THING), asked=questions(YEARLY, "shelf"))
def test_a_yearly_table_reads_alike(database: Database, sent: list[list[Row]], asked: list[Row]) -> None:
    compared(database, YEARLY, sent, asked)


@settings(max_examples=25)
@given(sent=batches(DEEDS, DEED), asked=questions(DEEDS, "town"))
def test_deeds_are_read_as_an_oracle_reads_them(database: Database, sent: list[list[Row]], asked: list[Row]) -> None:
    compared(database, DEEDS, sent, asked)


# ---------------------------------------------------------------- single rows that are hard to store


@pytest.mark.parametrize(
    "changes",
    [
        {"note": ""},
        {"shop": "", "shelf": ""},
        {"note": "x\n\\.\ny"},
        {"note": "é" * 300_000},
        {"flag": True},
        {"number": -0.0, "maybe_number": 5e-324},
        {"told": LAST},
        {"day": date(9999, 12, 31)},
        {"day": date(1, 1, 1)},
        {"at": datetime(2300, 1, 1, 0, 0, 0, 1, tzinfo=UTC)},
        {"at": FIRST},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_a_row_comes_back_as_it_was(database: Database, tenant: str, changes: Row) -> None:
    row = thing(**changes)
    with database.tenant(tenant) as connection:
        facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [row]))
        assert told(facts.read(connection, tenant, "toy", THINGS, known=LAST), THINGS) == [row]


def test_two_instants_a_microsecond_apart_are_two_facts(database: Database, tenant: str) -> None:
    far = datetime(2300, 1, 1, tzinfo=UTC)
    rows = [thing(at=far), thing(at=far + timedelta(microseconds=1))]
    with database.tenant(tenant) as connection:
        assert facts.write(connection, tenant, "toy", THINGS, frame(THINGS, rows)).accepted == 2


def test_no_rows_change_nothing(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        done = facts.write(connection, tenant, "toy", THINGS, frame(THINGS, []))
        assert done == facts.Written(accepted=0, revised=0, unchanged=0)
        assert marks(connection, tenant, ["toy.things", "toy.none"]) == {"toy.things": 0, "toy.none": 0}
        assert told(facts.read(connection, tenant, "toy", THINGS, known=LAST), THINGS) == []
        assert facts.latest(connection, tenant, "toy", THINGS) is None
        assert facts.entities(connection, tenant, "toy", THINGS) == []


def test_a_rolled_back_batch_leaves_neither_rows_nor_a_mark(database: Database, tenant: str) -> None:
    with pytest.raises(ZeroDivisionError), database.tenant(tenant) as connection:  # noqa: PT012
        facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing()]))
        1 / 0  # noqa: B018
    with database.tenant(tenant) as connection:
        assert marks(connection, tenant, ["toy.things"]) == {"toy.things": 0}
        assert facts.read(connection, tenant, "toy", THINGS, known=LAST).is_empty()
        assert facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing()])).accepted == 1
        assert facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing(number=2.0)])).revised == 1


def test_the_first_entities_are_those_that_facts_have_now(database: Database, tenant: str) -> None:
    def deed(number: int, town: str) -> Row:
        return whole(DEEDS, {"number": number, "town": town, "signed": START, "price": 1.0})

    with database.tenant(tenant) as connection:
        facts.write(connection, tenant, "toy", DEEDS, frame(DEEDS, [deed(n, f"{n:02} ü/%") for n in range(12)]))
        assert facts.entities(connection, tenant, "toy", DEEDS, most=10) == [f"{n:02} ü/%" for n in range(10)]
        assert len(facts.entities(connection, tenant, "toy", DEEDS)) == 12
        assert facts.entities(connection, tenant, "toy", DEEDS, only=["11 ü/%", "Z"]) == ["11 ü/%"]
        assert facts.entities(connection, tenant, "toy", DEEDS, only=[]) == []
        facts.write(connection, tenant, "toy", DEEDS, frame(DEEDS, [deed(n, "Z") for n in range(11)]))
        assert facts.entities(connection, tenant, "toy", DEEDS) == ["11 ü/%", "Z"]


def test_a_share_of_the_entities_is_the_same_in_every_table(database: Database, tenant: str) -> None:
    names = [f"{n} ü" for n in range(400)]
    deeds = [
        whole(DEEDS, {"number": n, "town": f"{name}/b", "signed": START, "price": 1.0}) for n, name in enumerate(names)
    ]
    things = [thing(shop=name, at=START + HOUR * n) for name in names for n in range(3)]
    with database.tenant(tenant) as connection:
        facts.write(connection, tenant, "toy", THINGS, frame(THINGS, things))
        facts.write(connection, tenant, "toy", DEEDS, frame(DEEDS, deeds))
        assert facts.count(connection, tenant, "toy", THINGS) == 400

        def read(table: Table, share: float, *, others: bool = False) -> Frame:
            return facts.read(connection, tenant, "toy", table, known=LAST, share=share, others=others)

        quarter, half = read(THINGS, 0.25), read(THINGS, 0.5)
        some, more = ({*rows["entity"]} for rows in (quarter, half))
        assert some < more
        assert 60 < len(some) < 140
        assert 150 < len(more) < 250
        assert quarter.height == 3 * len(some)  # all that there is of each
        assert {*read(DEEDS, 0.25)["entity"]} == some
        assert quarter.equals(read(THINGS, 1.0).filter(pl.col("entity").is_in([*some])))
        every = read(DEEDS, 0.25, others=True).sort("number")
        assert {*every["entity"]} == {*some, ""}
        known, bare = read(DEEDS, 1.0).sort("number"), pl.when(pl.col("entity").is_in([*some])).then("entity")
        assert every.equals(known.with_columns(entity=bare.otherwise(pl.lit(""))))
        assert read(DEEDS, 0.0).is_empty()


def test_corrections_of_many_entities_find_their_rows(database: Database, tenant: str) -> None:
    times = [FIRST, START, LAST]
    sent = [thing(shop=f"'{n}%s\\", at=times[n % 3], number=float(n)) for n in range(300)]
    again = [row | {"number": -row["number"]} for row in sent]
    with database.tenant(tenant) as connection:
        assert facts.write(connection, tenant, "toy", THINGS, frame(THINGS, sent)).accepted == 300
        assert facts.write(connection, tenant, "toy", THINGS, frame(THINGS, again[:7])).revised == 6  # 0.0 is -0.0
        done = facts.write(connection, tenant, "toy", THINGS, frame(THINGS, again))
        assert done == facts.Written(accepted=0, revised=293, unchanged=7)
        found = facts.read(connection, tenant, "toy", THINGS, known=LAST)
        assert sorted(found["number"].to_list()) == sorted(row["number"] for row in again)


@pytest.mark.parametrize("table", [THINGS, YEARLY, METRICS], ids=lambda table: table.name)
def test_a_window_is_open_at_its_far_end_and_closed_at_its_near_one(
    database: Database, tenant: str, table: Table
) -> None:
    domain, tick = ("traffic" if table is METRICS else "toy"), timedelta(microseconds=1)
    plain = {"service": "a", "metric_type": "cpu_usage", "value": 1.0} if table is METRICS else thing()
    own = {name: each for name, each in plain.items() if name in table.kinds}
    rows = [whole(table, own | {table.time: START + timedelta(hours=hour)}) for hour in range(5)]
    with database.tenant(tenant) as connection:
        facts.write(connection, tenant, domain, table, frame(table, rows))
        for known, window, expected in (
            (3 * HOUR, 2 * HOUR, [2, 3]),
            (3 * HOUR - tick, 2 * HOUR, [1, 2]),
            (3 * HOUR, 2 * HOUR + tick, [1, 2, 3]),
            (2 * HOUR, tick, [2]),
            (2 * HOUR, timedelta(0), []),
            (-tick, 9 * HOUR, []),
        ):
            found = facts.read(connection, tenant, domain, table, known=START + known, window=window)
            assert found[table.time].to_list() == [START + timedelta(hours=hour) for hour in expected]


@pytest.mark.parametrize(
    "window",
    [5 * DAY, 2_000 * 366 * DAY, timedelta.max - DAY, timedelta.max],
    ids=lambda window: str(window.days),
)
def test_a_window_may_reach_back_before_time_began(database: Database, tenant: str, window: timedelta) -> None:
    row = whole(METRICS, {"time": START, "value": 1.0, "service": "a", "metric_type": "cpu_usage", "metadata": None})
    with database.tenant(tenant) as connection:
        facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing()]))
        facts.write(connection, tenant, "traffic", METRICS, frame(METRICS, [row]))
        assert facts.read(connection, tenant, "toy", THINGS, known=START, window=window).height == 1
        assert facts.read(connection, tenant, "traffic", METRICS, known=START, window=window).height == 1


def test_one_among_many_is_read_without_the_others_however_often(
    server: Server, database: Database, tenant: str
) -> None:
    names, hours = [f"service {k}" for k in range(30)], [START + k * HOUR for k in range(24 * 60)]
    known = {"time": hours, "known_at": hours, "value": 1.0, "metric_type": "cpu_usage", "metadata": None}
    whose = pl.DataFrame({"service": names, "entity": [METRICS.named(name, "cpu_usage") for name in names]})
    rows = whose.join(pl.DataFrame(known), how="cross").select(*columns(METRICS)).cast(frame(METRICS, []).schema)
    with database.tenant(tenant) as connection:
        facts.write(connection, tenant, "traffic", METRICS, rows)
    told = ", ".join(columns(METRICS))
    with psycopg.connect(url_of(server, OWNER), autocommit=True) as owner:  # and a thousand tenants of one day
        owner.execute(
            f"INSERT INTO traffic.metrics (tenant_id, {told}) SELECT 'small ' || k, {told} FROM traffic.metrics,"
            " generate_series(1, 1000) k WHERE tenant_id = %s AND service = 'service 1' AND time >= %s",
            [tenant, hours[-24]],
        )
        owner.execute("ANALYZE traffic.metrics")  # as PostgreSQL does by itself within minutes

    def touched(connection: Connection[Any]) -> int:
        query = "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables WHERE schemaname = 'traffic'"
        (count,) = connection.execute(query).fetchone() or (0,)
        return int(count)

    with database.tenant(tenant) as connection:
        for some in [whose["entity"][:n].to_list() for n in [8] * 6 + [1] * 24 + [8]]:
            before = touched(connection)
            found = facts.read(
                connection, tenant, "traffic", METRICS, known=hours[-1], window=30 * DAY, only={"entity": some}
            )
            assert found.height == 24 * 30 * len(some)
            assert touched(connection) - before <= found.height + len(some)


# ---------------------------------------------------------------- several at once


def test_two_batches_of_a_table_wait_for_each_other_and_both_land(database: Database, tenant: str) -> None:
    wrote, order = threading.Event(), list[str]()
    with database.tenant(tenant) as connection:
        facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing(number=0.0)]))

    def first() -> None:
        with database.tenant(tenant) as connection:
            facts.write(connection, tenant, "toy", THINGS, frame(THINGS, []))  # it is its turn from now on
            wrote.set()
            time.sleep(0.2)
            facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing(number=1.0)]))
            time.sleep(0.1)
            order.append("first")

    def second() -> facts.Written:
        wrote.wait(10)
        rows = [thing(number=2.0), thing(shelf="c")]
        with database.tenant(tenant) as connection:
            done = facts.write(connection, tenant, "toy", THINGS, frame(THINGS, rows))
            order.append("second")
        return done

    with ThreadPoolExecutor(2) as pool:
        begun, ended = pool.submit(first), pool.submit(second)
        done = ended.result()
        begun.result()
    assert order == ["first", "second"]
    assert done == facts.Written(accepted=1, revised=1, unchanged=0)
    with database.tenant(tenant) as connection:
        assert marks(connection, tenant, ["toy.things"]) == {"toy.things": 3}
        assert facts.read(connection, tenant, "toy", THINGS, known=LAST)["number"].to_list() == [2.0, 1.0]


def test_batches_of_two_tenants_or_tables_do_not_wait(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection, ThreadPoolExecutor(1) as pool:
        facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing()]))

        def other(whose: str, table: Table) -> int:
            with database.tenant(whose) as mine:
                return facts.write(mine, whose, "toy", table, frame(table, [whole(table, thing())])).accepted

        assert pool.submit(other, f"{tenant}b", THINGS).result(10) == 1
        assert pool.submit(other, tenant, YEARLY).result(10) == 1


def test_a_snapshot_sees_mark_and_facts_of_one_moment(database: Database, tenant: str) -> None:
    """Batch n writes n rows in all and moves the mark to n, so in each snapshot both are the same number."""
    stop = threading.Event()

    def writer() -> int:
        count = 0
        while not stop.is_set():
            with database.tenant(tenant) as connection:
                facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing(shelf=str(count))]))
            count += 1
        return count

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(writer)
        seen = set()
        try:
            for turn in range(60):
                with database.tenant(tenant, snapshot=True) as connection:
                    for _ in range(2):  # the mark first, or the facts first
                        mark = marks(connection, tenant, ["toy.things"])["toy.things"] if turn % 2 else None
                        height = facts.read(connection, tenant, "toy", THINGS, known=LAST).height
                        mark = marks(connection, tenant, ["toy.things"])["toy.things"] if mark is None else mark
                        assert mark == height
                    seen.add(height)
        finally:
            stop.set()
        assert running.result() >= max(seen) > min(seen)


def test_what_is_recorded_up_to_the_newest_mark_stays_while_a_batch_is_on_its_way(
    database: Database, tenant: str
) -> None:
    """A batch is recorded at its turn, not at its end: only up to the mark that is seen is nothing to come any more."""

    def seen(reading: Connection[Any], moment: datetime) -> list[float]:
        found = facts.read(reading, tenant, "toy", THINGS, known=LAST, recorded=moment)["number"]
        return [float(each) for each in found]

    with database.tenant(tenant) as connection:
        facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing()]))
    with database.tenant(tenant) as writing, database.tenant(tenant, snapshot=True) as reading:
        facts.write(writing, tenant, "toy", THINGS, frame(THINGS, [thing(number=2.0), thing(shelf="c")]))
        (mark,) = reading.execute("SELECT recorded_at FROM data_marks").fetchone() or (None,)
        assert mark
        assert seen(reading, mark) == [1.0]
    with database.tenant(tenant) as reading:
        assert seen(reading, mark) == [1.0]
        assert sorted(seen(reading, LAST)) == [1.0, 2.0]


# ---------------------------------------------------------------- a process that is killed

SERIES, EACH, KILLED = 20, 10, 10


def series(number: int) -> Frame:
    """The batch of a number: new rows, and a correction of one row of the batch before."""
    rows = [thing(shop=f"{number}", shelf=f"{n}", whole=number) for n in range(EACH)]
    rows += [thing(shop=f"{number - 1}", shelf="0", whole=number)] if number else []
    return frame(THINGS, rows)


def run(url: str, tenant: str, begun: Callable[[int], object] = id) -> int:
    """Import the series, each batch in a transaction; returns how many rows were new."""
    database = Database(url, size=1)
    new = 0
    for number in range(SERIES):
        begun(number)
        with database.tenant(tenant) as connection:
            new += facts.write(connection, tenant, "toy", THINGS, series(number)).accepted
            quarantine.reject(
                connection,
                tenant,
                "toy.things",
                rejected(str(number)),
                ORIGIN,
            )
    database.close()
    return new


# Forks of a process that has imported all, and done nothing with it yet; each tells when it begins which batch.
NURSERY = """
import os, signal, sys
from tests.stores.test_facts import run
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for tenant in map(str.strip, sys.stdin):
    if not os.fork():
        try:
            run(sys.argv[1], tenant, lambda number: print(tenant, os.getpid(), number, flush=True))
        finally:
            print(tenant, "ended", flush=True)
            os._exit(0)
"""


def test_killed_at_any_moment_each_batch_is_whole_or_absent_and_a_rerun_completes_it(
    server: Server, database: Database, tenant: str
) -> None:
    url, chance = url_of(server, LOGIN), Random(7)
    killed: dict[str, int] = {}
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY, url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as nursery:  # fmt: skip
        assert nursery.stdin
        assert nursery.stdout
        for turn in range(KILLED):
            whose, at = f"{tenant}{turn}", chance.randrange(SERIES // 2)
            print(whose, file=nursery.stdin, flush=True)
            child = 0
            for line in nursery.stdout:
                name, pid, *number = line.split()
                if name == whose and number == [str(at)]:
                    child = int(pid)
                    break
                assert (name, pid) != (whose, "ended"), "it failed, or nobody killed it"
            assert child  # 0 would be everybody
            time.sleep(chance.random() * 0.02)  # anywhere in this batch, or the next
            os.kill(child, signal.SIGKILL)
            gone(server, whose)
            killed[whose] = there(database, whose)
            assert at <= killed[whose] < SERIES
        nursery.stdin.close()
    for whose in [*killed][:3]:
        assert run(url, whose) == (SERIES - killed[whose]) * EACH
        assert there(database, whose) == SERIES


def gone(server: Server, tenant: str) -> None:
    """Wait until the server has noticed: the turn to write to the tenant's table is free."""
    with psycopg.connect(url_of(server, LOGIN)) as connection:
        connection.execute("SET ROLE foretell_app")
        connection.execute("SELECT set_config('app.current_tenant', %s, true)", [tenant])
        connection.execute("SET LOCAL lock_timeout = '20s'")
        connection.execute("SELECT FROM data_marks FOR UPDATE")


def there(database: Database, tenant: str) -> int:
    """How many batches of the series are there; each whole, with its mark and what it rejected."""
    with database.tenant(tenant, snapshot=True) as connection:
        found = facts.read(connection, tenant, "toy", THINGS, known=LAST)
        rejected = quarantine.quarantined(connection, tenant)
        mark = marks(connection, tenant, ["toy.things"])["toy.things"]
    count = rejected.height
    assert sorted(rejected["original"].to_list(), key=int) == [str(number) for number in range(count)]
    assert found.height == count * EACH
    assert set(found["shop"].to_list()) == {str(number) for number in range(count)}
    assert mark >= count
    corrected = found.filter(pl.col("whole").cast(pl.String) != pl.col("shop"))
    assert corrected.height == max(0, count - 1)
    return count


# ---------------------------------------------------------------- quarantine


def rejected(*originals: str, rule: str = "number is missing") -> Frame:
    return pl.DataFrame({"rule": [rule] * len(originals), "original": [*originals]})


def test_a_row_rejected_twice_is_kept_once_and_can_be_released(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        odd = rejected('{"a": "ü\\n😀"}', "'; DROP TABLE quarantine --", "", "")
        assert (
            quarantine.reject(
                connection, tenant, "toy.things", odd, quarantine.Origin(source="first.csv", zone="UTC", interval=None)
            )
            == 3
        )
        assert (
            quarantine.reject(
                connection, tenant, "toy.things", odd, quarantine.Origin(source="second.csv", zone="UTC", interval=None)
            )
            == 0
        )
        assert (
            quarantine.reject(
                connection,
                tenant,
                "toy.things",
                rejected("", rule="another rule"),
                ORIGIN,
            )
            == 1
        )
        assert quarantine.reject(connection, tenant, "toy.deeds", rejected(""), ORIGIN) == 1
        assert quarantine.reject(connection, tenant, "toy.deeds", rejected(), ORIGIN) == 0
        kept = quarantine.quarantined(connection, tenant, "toy.things")
        assert set(kept["source"]) == {"first.csv", "s"}
        assert sorted(kept["original"].to_list()) == ["", "", "'; DROP TABLE quarantine --", '{"a": "ü\\n😀"}']
        assert kept.schema["first_seen"] == DTYPES["instant"]
        assert quarantine.quarantined(connection, tenant).height == 5
        gone = kept.filter(pl.col("source") == "first.csv")["fingerprint"].to_list()
        assert quarantine.release(connection, tenant, [*gone, gone[0], "no such"]) >= 3
        assert quarantine.release(connection, tenant, gone) == 0
        assert quarantine.release(connection, tenant, []) == 0
        assert quarantine.quarantined(connection, tenant, "toy.things")["source"].to_list() == ["s"]


def test_releasing_a_row_of_one_table_leaves_that_of_another(database: Database, tenant: str) -> None:
    """The same broken text sent to two tables is two rows."""
    with database.tenant(tenant) as connection:
        for name in ("toy.things", "toy.deeds"):
            quarantine.reject(connection, tenant, name, rejected("same"), ORIGIN)
        kept = quarantine.quarantined(connection, tenant, "toy.things")
        quarantine.release(connection, tenant, kept["fingerprint"].to_list())
        assert quarantine.quarantined(connection, tenant)["table_name"].to_list() == ["toy.deeds"]


def test_quarantine_of_a_table_is_bounded(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        many = [str(number) for number in range(quarantine.KEPT + 5)]
        assert (
            quarantine.reject(
                connection,
                tenant,
                "toy.things",
                rejected(*many),
                ORIGIN,
            )
            == quarantine.KEPT
        )
        assert (
            quarantine.reject(
                connection,
                tenant,
                "toy.things",
                rejected("more"),
                ORIGIN,
            )
            == 0
        )
        assert (
            quarantine.reject(
                connection,
                tenant,
                "toy.deeds",
                rejected("more"),
                ORIGIN,
            )
            == 1
        )
        first = quarantine.quarantined(connection, tenant, "toy.things")["fingerprint"].to_list()
        assert len(first) == quarantine.KEPT
        quarantine.release(connection, tenant, first[:2])
        assert (
            quarantine.reject(
                connection,
                tenant,
                "toy.things",
                rejected("a", "b", "c"),
                ORIGIN,
            )
            == 2
        )


def test_a_place_that_is_free_goes_to_a_new_row_not_to_one_that_is_there(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        many = [str(number) for number in range(quarantine.KEPT - 1)]
        quarantine.reject(connection, tenant, "toy.things", rejected(*many), ORIGIN)
        assert (
            quarantine.reject(
                connection,
                tenant,
                "toy.things",
                rejected("0", "1", "new"),
                ORIGIN,
            )
            == 1
        )


# ---------------------------------------------------------------- what can't be written says so


def test_a_row_too_large_for_the_key_does_not_blame_the_connection(database: Database, tenant: str) -> None:
    row = thing(shop="".join(uuid4().hex for _ in range(300)))
    try:
        with database.tenant(tenant) as connection:
            facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [row]))
    except Unavailable as error:
        pytest.fail(f"to try again will not help: {error}")
    except psycopg.Error:
        pass
