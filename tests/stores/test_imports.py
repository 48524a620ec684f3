"""Imports taken back, against an obvious oracle: all that was ever recorded, without what was taken back."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Connection
from tests.stores.test_facts import DEED, LAST, ORIGIN, THING, Row, batches, frame, meaning, now, ordered, thing, told
from tests.stores.toy import DEEDS, THINGS, YEARLY, marks

from foretell import Table
from foretell.errors import NotFound, Refused
from foretell.stores import facts, imports, quarantine, records
from foretell.stores.access import LOGIN, READER, url_of
from foretell.stores.database import Database
from foretell.stores.server import Server

Key = tuple[Any, ...]


def put(
    connection: Connection[Any],
    tenant: str,
    table: Table,
    rows: Sequence[Row],
    number: UUID | None = None,
    bad: int = 0,
) -> UUID:
    """A batch brought in and put on record, of an import of its own if none is named."""
    number = number or uuid4()
    done = facts.write(connection, tenant, "toy", table, frame(table, rows))
    imports.put(connection, tenant, number, f"toy.{table.name}", "me", ORIGIN, done, bad)
    return number


def undo(connection: Connection[Any], tenant: str, table: Table, number: UUID) -> imports.Undone:
    return imports.take_back(connection, tenant, "toy", table, number, "me")


def there(connection: Connection[Any], tenant: str, table: Table, recorded: datetime | None = None) -> list[Row]:
    return ordered(told(facts.read(connection, tenant, "toy", table, known=LAST, recorded=recorded), table), table)


@dataclass
class Oracle:
    """All that imports recorded, in order, and which of them were taken back."""

    table: Table
    events: list[tuple[int, Key, Row]] = field(default_factory=list)
    undone: set[int] = field(default_factory=set)

    def holds(self) -> dict[Key, Row]:
        return {key: row for number, key, row in self.events if number not in self.undone}

    def write(self, number: int, rows: Sequence[Row]) -> None:
        before = self.holds()
        for row in rows:
            key = tuple(row[name] for name in self.table.key)
            if key not in before or meaning(before[key]) != meaning(row):
                self.events.append((number, key, row))

    def undo(self, number: int) -> tuple[int, int, int]:
        """How many facts are gone, are as before, stay."""
        before, mine = self.holds(), {key for n, key, _ in self.events if n == number}
        self.undone.add(number)
        after = self.holds()
        gone = sum(key not in after and key in before for key in mine)
        restored = sum(key in after and meaning(after[key]) != meaning(before[key]) for key in mine)
        return gone, restored, len(mine) - gone - restored

    def rows(self) -> list[Row]:
        return ordered([meaning(row) for row in self.holds().values()], self.table)


def taken_back(database: Database, table: Table, sent: list[list[Row]], deeds: list[int]) -> None:
    """Bring batches in and take some back, in the database and by the oracle; another tenant only brings them in."""
    tenant, other, oracle = f"t{uuid4().hex[:12]}", f"t{uuid4().hex[:12]}", Oracle(table)
    whole, numbers, past = Oracle(table), list[UUID](), list[tuple[datetime, list[Row]]]()
    left = list(enumerate(sent))
    for deed in [*deeds, *[0] * len(sent)]:
        with database.tenant(tenant) as connection:
            open_ = [n for n in range(len(numbers)) if n not in oracle.undone]
            if deed and open_:
                number = open_[deed % len(open_)]
                done = undo(connection, tenant, table, numbers[number])
                assert (done.removed, done.restored, done.stayed) == oracle.undo(number)
            elif left:
                number, rows = left.pop(0)
                numbers.append(put(connection, tenant, table, rows))
                oracle.write(number, rows)
        with database.tenant(tenant) as connection:
            assert there(connection, tenant, table) == oracle.rows()
            past.append((now(connection), oracle.rows()))
    for number, rows in enumerate(sent):
        with database.tenant(other) as connection:
            put(connection, other, table, rows)
            whole.write(number, rows)
    with database.tenant(tenant) as connection:
        for moment, rows in past:  # what was on record then is what was read then
            assert there(connection, tenant, table, moment) == rows
        for n in sorted({*range(len(sent))} - oracle.undone):
            undo(connection, tenant, table, numbers[n])
        assert there(connection, tenant, table) == []
    with database.tenant(other) as connection:
        assert there(connection, other, table) == whole.rows()


DEEDS_DONE = st.lists(st.integers(0, 5), max_size=8)
"""In turn: 0 brings the next batch in, another number takes one back that was not yet."""


@settings(max_examples=25)
@given(sent=batches(THINGS, THING), deeds=DEEDS_DONE)
def test_what_holds_is_what_was_never_taken_back(database: Database, sent: list[list[Row]], deeds: list[int]) -> None:
    taken_back(database, THINGS, sent, deeds)


@settings(max_examples=10)
@given(sent=batches(YEARLY, THING), deeds=DEEDS_DONE)
def test_in_a_yearly_table_too(database: Database, sent: list[list[Row]], deeds: list[int]) -> None:
    taken_back(database, YEARLY, sent, deeds)


@settings(max_examples=15)
@given(sent=batches(DEEDS, DEED), deeds=DEEDS_DONE)
def test_and_of_facts_with_a_key_of_their_own(database: Database, sent: list[list[Row]], deeds: list[int]) -> None:
    taken_back(database, DEEDS, sent, deeds)


def figures(connection: Connection[Any], tenant: str) -> list[float]:
    return [row["number"] for row in there(connection, tenant, THINGS)]


@pytest.mark.parametrize("first", [0, 1])
def test_two_that_revised_the_same_can_be_taken_back_in_either_order(
    database: Database, tenant: str, first: int
) -> None:
    with database.tenant(tenant) as connection:
        put(connection, tenant, THINGS, [thing(number=1.0)])
    both = []
    for number in (2.0, 3.0):
        with database.tenant(tenant) as connection:
            both.append(put(connection, tenant, THINGS, [thing(number=number)]))
    with database.tenant(tenant) as connection:
        done = undo(connection, tenant, THINGS, both[first])
        assert (done.removed, done.restored, done.stayed) == ((0, 0, 1) if first == 0 else (0, 1, 0))
        assert figures(connection, tenant) == [3.0 if first == 0 else 2.0]
    with database.tenant(tenant) as connection:
        undo(connection, tenant, THINGS, both[1 - first])
        assert figures(connection, tenant) == [1.0]


def test_the_data_mark_moves_and_a_second_time_is_refused(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        number = put(connection, tenant, THINGS, [thing()])
    with database.tenant(tenant) as connection:
        before = marks(connection, tenant, ["toy.things"])["toy.things"]
        undo(connection, tenant, THINGS, number)
        assert marks(connection, tenant, ["toy.things"])["toy.things"] == before + 1
    with pytest.raises(Refused, match=r"already, at .* by me"), database.tenant(tenant) as connection:
        undo(connection, tenant, THINGS, number)
    with database.tenant(tenant) as connection:
        (one,) = imports.listed(connection, tenant, number=number)
        assert (one.accepted, one.undone_by) == (1, "me")
        assert one.undone_at
        assert marks(connection, tenant, ["toy.things"])["toy.things"] == before + 1


def test_nothing_more_of_an_import_goes_in_once_it_is_taken_back(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        number = put(connection, tenant, THINGS, [thing()])
    with database.tenant(tenant) as connection:
        undo(connection, tenant, THINGS, number)
    with pytest.raises(Refused, match="while it was running"), database.tenant(tenant) as connection:
        put(connection, tenant, THINGS, [thing(shelf="c")], number)
    with database.tenant(tenant) as connection:
        assert figures(connection, tenant) == []


def test_a_batch_that_is_on_its_way_is_waited_for_and_taken_back_too(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        number = put(connection, tenant, THINGS, [thing()])
    wrote = threading.Event()

    def second() -> None:
        with database.tenant(tenant) as connection:
            put(connection, tenant, THINGS, [thing(shelf="c")], number)
            wrote.set()
            time.sleep(0.3)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(second)
        assert wrote.wait(10)
        with database.tenant(tenant) as connection:
            assert undo(connection, tenant, THINGS, number).removed == 2
        running.result()
    with database.tenant(tenant) as connection:
        assert figures(connection, tenant) == []
        (one,) = imports.listed(connection, tenant, number=number)
        assert one.accepted == 2


def test_one_that_brought_nothing_new_is_on_record_and_takes_nothing_along(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        put(connection, tenant, THINGS, [thing()])
    with database.tenant(tenant) as connection:
        again = put(connection, tenant, THINGS, [thing()])
    with database.tenant(tenant) as connection:
        assert [one.unchanged for one in imports.listed(connection, tenant, limit=9)] == [1, 0]
        done = undo(connection, tenant, THINGS, again)
        assert (done.removed, done.restored, done.stayed) == (0, 0, 0)
        assert figures(connection, tenant) == [1.0]


def test_the_rows_that_it_put_into_quarantine_go_and_no_others(database: Database, tenant: str) -> None:
    def bad(connection: Connection[Any], *originals: str) -> None:
        rejected = pl.DataFrame({"rule": "r", "original": [*originals]})
        quarantine.reject(connection, tenant, "toy.things", rejected, ORIGIN)

    with database.tenant(tenant) as connection:
        put(connection, tenant, THINGS, [thing()], bad=1)
        bad(connection, "old")
    with database.tenant(tenant) as connection:
        number = put(connection, tenant, THINGS, [thing(shelf="c")], bad=2)
        bad(connection, "old", "new")
    with database.tenant(tenant) as connection:
        assert undo(connection, tenant, THINGS, number).released == 1
        assert quarantine.quarantined(connection, tenant)["original"].to_list() == ["old"]


def test_keys_of_requests_that_told_of_its_rows_are_forgotten_and_no_others(database: Database, tenant: str) -> None:
    told: dict[str, UUID] = {}

    def request(key: str, table: Table, *rows: Row) -> None:
        with database.tenant(tenant) as connection:
            told[key] = put(connection, tenant, table, rows)
            records.answer(connection, tenant, key, "print", {"import_id": str(told[key])})

    request("before", THINGS, thing(shelf="0"))
    request("its own", THINGS, thing())
    request("the same rows", THINGS, thing())
    request("others", THINGS, thing(shelf="2"))
    request("another table's", YEARLY, thing())
    request("the same of another table", YEARLY, thing())
    with database.tenant(tenant) as connection:
        undo(connection, tenant, THINGS, told["its own"])
        left = {key for key in told if records.answered(connection, tenant, key, "print")}
    assert left == {*told} - {"its own", "the same rows"}


# ---------------------------------------------------------------- whose


def test_another_tenant_can_neither_see_nor_take_it_back(database: Database, tenant: str) -> None:
    other = f"{tenant}x"
    with database.tenant(tenant) as connection:
        number = put(connection, tenant, THINGS, [thing()])
    with database.tenant(other) as connection:
        same = put(connection, other, THINGS, [thing()], number)  # by chance of that number too
        assert same == number
        assert imports.listed(connection, tenant, limit=9) == []
    with database.tenant(other) as connection:
        assert undo(connection, other, THINGS, number).removed == 1
    with database.tenant(tenant) as connection:
        (one,) = imports.listed(connection, tenant, limit=9)
        assert one.undone_at is None
        assert figures(connection, tenant) == [1.0]
    with pytest.raises(NotFound), database.tenant(other) as connection:
        undo(connection, other, THINGS, uuid4())


def test_who_only_reads_sees_them(server: Server, database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        number = put(connection, tenant, THINGS, [thing()])
    reading = Database(url_of(server, LOGIN), role=READER, size=1)
    with reading.tenant(tenant) as connection:
        assert [one.import_id for one in imports.listed(connection, tenant)] == [number]
    reading.close()


def test_views_for_people_show_what_holds(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        put(connection, tenant, THINGS, [thing(number=1.0)])
    with database.tenant(tenant) as connection:
        number = put(connection, tenant, THINGS, [thing(number=2.0), thing(shelf="c")])
    with database.tenant(tenant) as connection:
        undo(connection, tenant, THINGS, number)
        shown = connection.execute("SELECT shelf, number FROM toy.things_now").fetchall()
    assert shown == [("b", 1.0)]
