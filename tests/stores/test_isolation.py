"""One tenant never sees, touches or hinders another: asked politely, asked hostilely, and eight threads at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

import polars as pl
import psycopg
import pytest
from psycopg import Connection
from tests.stores.test_facts import frame, rejected, thing
from tests.stores.toy import THINGS, marks

from foretell import Frame
from foretell.domains.traffic.schema import METRICS
from foretell.engine.ingest import ingest
from foretell.errors import InvalidRequest, NotFound, Unavailable
from foretell.stores import facts, imports, quarantine, records, registry
from foretell.stores.access import DATABASE, LOGIN, OPERATOR, READER, url_of
from foretell.stores.database import Database
from foretell.stores.server import Server

ORIGIN = quarantine.Origin(source="s", zone="UTC", interval=None)

START = datetime(2024, 5, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, tzinfo=UTC)
T = TypeVar("T")


def metrics(*rows: dict[str, Any]) -> Frame:
    done = ingest(METRICS, pl.DataFrame(rows), zone="UTC")
    assert done.rejected.is_empty()
    return done.rows


def served(note: str = "") -> records.Served:
    return records.Served(
        model_name="load", version="1", method="m", fallback=None, as_of=START, request={"note": note}, answer={},
        questions={}, forecast={}, raw={}, marks={}, own_facts=False, prediction_count=1, confidence=None,
        latency_ms=None, prediction_id=uuid4(),
    )  # fmt: skip


def said(prediction: UUID, note: str = "") -> records.Feedback:
    return records.Feedback(prediction_id=prediction, given_by="me", outcome=1.5, helpful=True, note=note)


def fill(connection: Connection[Any], tenant: str) -> None:
    """Something in every table that a tenant has."""
    done = facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing(note=tenant)]))
    imports.put(connection, tenant, uuid4(), "toy.things", "me", ORIGIN, done, 0)
    facts.write(connection, tenant, "traffic", METRICS, metrics({"time": START, "value": 1.0}))
    quarantine.reject(connection, tenant, "toy.things", rejected(tenant), ORIGIN)
    registry.keep(
        connection,
        tenant,
        registry.Kept(
            model_name="load", version="1", candidate="c", card={"of": tenant}, blob="b", size=1, created_at=START
        ),
    )
    registry.deploy(connection, tenant, "load", "1", "me", "why")
    registry.experiment(
        connection,
        tenant,
        registry.Run(
            model_name="load", version="1", as_of=START, parameters={}, metrics={}, promoted=True, reason="why"
        ),
    )
    one = served(tenant)
    records.log(connection, tenant, [one])
    records.say(connection, tenant, said(one.prediction_id, tenant))
    records.answer(connection, tenant, "key", "print", {"of": tenant})
    records.monitored(connection, tenant, "load", START, START, 1, {})
    records.audit(connection, tenant, "me", "did", "it", {})


FILLED = {
    "traffic.metrics", "toy.things", "public.data_marks", "public.quarantine", "public.audit", "public.tenants",
    "public.ml_models", "public.ml_deployments", "public.ml_experiments", "public.ml_predictions",
    "public.ml_monitoring", "public.ml_feedback", "public.answered",
    "public.imports",
}  # fmt: skip


@pytest.fixture
def operator(server: Server) -> Iterator[Database]:
    opened = Database(url_of(server, LOGIN), role=OPERATOR, size=1)
    yield opened
    opened.close()


@pytest.fixture
def other(database: Database, operator: Database) -> str:
    """A tenant with something in every table."""
    name = f"other{uuid4().hex[:8]}"
    with operator.nobody() as connection:
        records.add_tenant(connection, name, "UTC")
    with database.tenant(name) as connection:
        fill(connection, name)
    return name


def readable(connection: Connection[Any]) -> list[str]:
    """The tables that have tenants' rows and that the role may read."""
    told = connection.execute(
        "SELECT nspname || '.' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND attname = 'tenant_id'"
        " WHERE relkind IN ('r', 'p') AND NOT relispartition AND has_table_privilege(c.oid, 'SELECT')"
    )
    return [name for (name,) in told]


def owners(connection: Connection[Any]) -> dict[str, set[str]]:
    """Whose rows each table shows."""
    return {
        name: {tenant for (tenant,) in connection.execute(f"SELECT DISTINCT tenant_id FROM {name}".encode())}
        for name in readable(connection)
    }


# ---------------------------------------------------------------- nobody's transaction


def test_without_a_tenant_nothing_is_visible(server: Server, database: Database, other: str) -> None:
    reader = Database(url_of(server, LOGIN), role=READER, size=1)
    for opened in (database, reader):
        with opened.nobody() as connection:
            seen = owners(connection)
            assert {*seen} >= FILLED
            assert not any(seen.values())
            connection.execute("SELECT set_config('app.current_tenant', '', true)")
            assert not any(owners(connection).values())
    reader.close()
    with database.tenant(other) as connection:
        assert {name for name, whose in owners(connection).items() if whose == {other}} >= FILLED


@pytest.mark.parametrize("whose", ["", "somebody"])
def test_without_a_tenant_nothing_can_be_written(database: Database, whose: str) -> None:
    for write in (
        lambda c: facts.write(c, whose, "toy", THINGS, frame(THINGS, [thing()])),
        lambda c: quarantine.reject(c, whose, "toy.things", rejected("x"), ORIGIN),
        lambda c: records.log(c, whose, [served()]),
        lambda c: records.audit(c, whose, "me", "did", "it", {}),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"), database.nobody() as c:
            write(c)


@pytest.mark.parametrize("end", ["commit", "rollback", "error in SQL"])
def test_nothing_of_a_tenant_is_left_on_the_connection(server: Server, other: str, end: str) -> None:
    one = Database(url_of(server, LOGIN), size=1)
    with contextlib.suppress(ZeroDivisionError, psycopg.errors.UndefinedTable), one.tenant(other) as connection:
        pid = connection.info.backend_pid
        if end == "rollback":
            1 / 0  # noqa: B018
        if end == "error in SQL":
            connection.execute("SELECT FROM nowhere")
    with one.nobody() as connection:
        assert connection.info.backend_pid == pid
        assert connection.execute("SELECT current_setting('app.current_tenant', true)").fetchone() == ("",)
        assert connection.execute("SELECT current_user, session_user").fetchone() == ("foretell_app", "foretell")
        assert not any(owners(connection).values())
    one.close()


# ---------------------------------------------------------------- another's


def test_a_tenant_sees_nothing_of_another(database: Database, other: str, tenant: str) -> None:
    with database.tenant(tenant) as c:
        fill_without_tenants = {name: {tenant} for name in FILLED - {"public.tenants"}}
        fill(c, tenant)
        assert {name: whose for name, whose in owners(c).items() if whose} == fill_without_tenants
        # Nor does it help to ask for the other by name.
        assert facts.read(c, other, "toy", THINGS, known=LAST).is_empty()
        assert facts.latest(c, other, "toy", THINGS) is None
        assert facts.entities(c, other, "toy", THINGS) == []
        assert marks(c, other, ["toy.things"]) == {"toy.things": 0}
        assert quarantine.quarantined(c, other).is_empty()
        assert not registry.versions(c, other, "load")
        look = registry.look(c, other, ["load"], ["toy.things"])
        assert (look.zone, look.deployed, look.marks) == (None, {"load": ()}, {"toy.things": 0})
        assert registry.pinned(c, other, "load") is None
        assert registry.before(c, other, "load") is None
        with pytest.raises(NotFound, match="there are none yet"):
            registry.model(c, other, "load", "1")
        assert not records.served(c, other, "load")
        assert not records.newest(c, other, "load", limit=9, before=None)
        assert records.answered(c, other, "key", "print") is None
        assert imports.listed(c, other, limit=9) == []
        assert records.tenants(c) == {}


def test_a_tenant_can_write_nothing_for_another(database: Database, other: str, tenant: str) -> None:
    kept = registry.Kept(model_name="load", version="2", candidate="c", card={}, blob="b", size=1, created_at=START)
    run = registry.Run(model_name="load", version="2", as_of=START, parameters={}, metrics={}, promoted=True, reason="")
    for write in (
        lambda c: facts.write(c, other, "toy", THINGS, frame(THINGS, [thing(number=9.0)])),
        lambda c: quarantine.reject(c, other, "toy.things", rejected("x"), ORIGIN),
        lambda c: registry.keep(c, other, kept),
        lambda c: registry.deploy(c, other, "load", "1", "me", "why"),
        lambda c: registry.experiment(c, other, run),
        lambda c: records.log(c, other, [served()]),
        lambda c: records.log(c, other, [served(), served()]),
        lambda c: records.monitored(c, other, "load", START, START, 1, {}),
        lambda c: records.answer(c, other, "another key", "print", {}),
        lambda c: records.audit(c, other, "me", "did", "it", {}),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level"), database.tenant(tenant) as c:
            write(c)
    with database.tenant(tenant) as c:
        fill(c, tenant)
        assert quarantine.release(c, other, quarantine.quarantined(c, tenant)["fingerprint"].to_list()) == 0
        assert c.execute("UPDATE data_marks SET mark = 99").rowcount == 2
        assert c.execute("UPDATE toy.things SET replaced_at = now()").rowcount == 1
        assert c.execute("DELETE FROM quarantine").rowcount == 1
        assert c.execute("DELETE FROM answered").rowcount == 1
        assert c.execute("UPDATE imports SET undone_at = now()").rowcount == 1
    with database.tenant(other) as c:
        assert records.answered(c, other, "key", "print") == {"of": other}
        assert [one.undone_at for one in imports.listed(c, other, limit=9)] == [None]
        assert marks(c, other, ["toy.things"]) == {"toy.things": 1}
        assert facts.read(c, other, "toy", THINGS, known=LAST)["note"].to_list() == [other]
        assert quarantine.quarantined(c, other).height == 1


def test_a_model_of_another_can_not_be_let_serve(database: Database, other: str, tenant: str) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation), database.tenant(tenant) as connection:
        registry.deploy(connection, tenant, "load", "1", "me", "the other tenant has this version")


def test_a_model_of_another_can_not_be_deleted(database: Database, other: str, tenant: str) -> None:
    older = registry.Kept(model_name="load", version="0", candidate="c", card={}, blob="b0", size=1, created_at=START)
    with database.tenant(other) as c:  # five that never served: those that pruning would let go
        for day in range(5):
            registry.keep(c, other, replace(older, version=f"n{day}", created_at=START + timedelta(days=day)))
    with database.tenant(tenant) as c:
        registry.prune(c, other, "load")
        assert registry.needed(c, other) == set()
        assert c.execute("DELETE FROM ml_models").rowcount == 0
        registry.keep(c, tenant, older)
        assert c.execute("DELETE FROM ml_models").rowcount == 1
    with database.tenant(other) as c:
        assert len(registry.versions(c, other, "load")) == 6


def test_feedback_on_anothers_prediction_is_refused_as_on_none(database: Database, other: str, tenant: str) -> None:
    with database.tenant(other) as c:
        (theirs,) = records.served(c, other, "load")
    words = set()
    for whose in (tenant, other):  # also where the code should name the other by mistake
        for number in (theirs.prediction_id, uuid4()):
            with pytest.raises(NotFound) as refused, database.tenant(tenant) as c:
                records.say(c, whose, said(number, "stranger"))
            words.add(str(refused.value).replace(str(number), "…"))
    assert words == {"there is no prediction …"}
    with database.tenant(tenant) as c:
        assert records.feedback(c, tenant, [theirs.prediction_id]) == []
        assert records.feedback(c, other, [theirs.prediction_id]) == []
    with database.tenant(other) as c:
        assert [each.note for each in records.feedback(c, other, [theirs.prediction_id])] == [other]


def test_a_forged_row_of_feedback_is_not_shown_to_whose_prediction_it_is(
    database: Database, other: str, tenant: str
) -> None:
    with database.tenant(other) as c:
        (theirs,) = records.served(c, other, "load")
    with database.tenant(tenant) as c:
        c.execute(
            "INSERT INTO ml_feedback (tenant_id, prediction_id, given_by) VALUES (%s, %s, 'me')",
            [tenant, theirs.prediction_id],
        )
    with database.tenant(other) as c:
        assert [each.note for each in records.feedback(c, other, [theirs.prediction_id])] == [other]


def test_the_idempotency_keys_of_two_tenants_do_not_meet(database: Database, other: str, tenant: str) -> None:
    with database.tenant(other) as theirs:
        assert records.answered(theirs, other, "key", "print") == {"of": other}  # and holds the key till the end
        with database.tenant(tenant) as c:
            c.execute("SET LOCAL lock_timeout = '2s'")
            assert records.answered(c, tenant, "key", "a print of my own") is None
            records.answer(c, tenant, "key", "a print of my own", {"of": tenant})
    with database.tenant(tenant) as c:
        assert records.answered(c, tenant, "key", "a print of my own") == {"of": tenant}


HOSTILE = [
    "' or true --", "'; SET ROLE foretell_owner; --", "%", "_", "*", "", None, "x" * 10_000, "\\", "\\'", "NULL",
    "null", "default", '"', "$1", "%s", "{}", "\n", "ü\u202e", "t\u0301",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:30])
def test_a_hostile_name_sees_what_is_its_own_and_no_more(database: Database, other: str, name: str | None) -> None:
    with database.tenant(cast("str", name)) as connection:
        assert {each for whose in owners(connection).values() for each in whose} <= {name}
        if name:
            records.audit(connection, name, "me", "did", "it", {})
            facts.write(connection, name, "toy", THINGS, frame(THINGS, [thing(note=name[:100])]))
            found = facts.read(connection, name, "toy", THINGS, known=LAST)
            assert found["note"].to_list() == [name[:100]]


@pytest.mark.parametrize("sign", ["%", "%s"])
def test_a_name_with_a_per_cent_sign_can_write_too(database: Database, tenant: str, sign: str) -> None:
    name = tenant + sign
    with database.tenant(name) as connection:
        assert facts.write(connection, name, "toy", THINGS, frame(THINGS, [thing()])).accepted == 1


def test_names_that_look_alike_are_not_the_same(database: Database, other: str) -> None:
    for name in (other.upper(), f"{other} ", f" {other}", other[:-1], f"{other}%", f"{other}\u200b"):
        with database.tenant(name) as connection:
            assert not any(owners(connection).values())


def test_a_name_that_can_not_be_one_leaves_the_pool_sound(database: Database) -> None:
    with pytest.raises(InvalidRequest, match="holds what the database can't"), database.tenant("a\0b"):
        pass
    with database.tenant("sound") as connection:
        assert connection.execute("SELECT current_setting('app.current_tenant')").fetchone() == ("sound",)


def test_a_cheap_function_in_a_filter_is_shown_no_foreign_row(database: Database, other: str, tenant: str) -> None:
    shown: list[str | None] = []
    with database.tenant(tenant) as connection:
        fill(connection, tenant)
        connection.add_notice_handler(lambda notice: shown.append(notice.message_primary))
        connection.execute(
            "CREATE FUNCTION pg_temp.leak(text) RETURNS bool COST 0.0000001 LANGUAGE plpgsql"
            " AS 'BEGIN RAISE NOTICE ''saw %', $1; RETURN true; END'".replace("%'", "%''")
        )
        for table in sorted(FILLED):
            connection.execute(f"SELECT FROM {table} WHERE pg_temp.leak(tenant_id)".encode())
        connection.execute("DROP FUNCTION pg_temp.leak")
    assert set(shown) == {f"saw {tenant}"}


def test_copy_and_statistics_show_no_foreign_row(database: Database, other: str, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        fill(connection, tenant)
        with connection.cursor().copy("COPY toy.things TO STDOUT") as copy:
            out = b"".join(bytes(part) for part in copy)
        assert tenant.encode() in out
        assert other.encode() not in out
        told = connection.execute(
            "SELECT tablename, most_common_vals::text, histogram_bounds::text FROM pg_stats"
            " WHERE attname = 'tenant_id' AND schemaname <> 'pg_catalog'"
        ).fetchall()
        assert told == []


# ---------------------------------------------------------------- the question the traffic document asks


@pytest.mark.row("T1")
def test_one_type_of_metric_between_two_dates_in_time_order(database: Database, tenant: str) -> None:
    hours = [START + timedelta(hours=hour) for hour in range(48)]
    other = f"{tenant}b"
    for whose, sign in ((tenant, 1.0), (other, 1000.0)):
        rows = [
            {"time": time, "value": sign * place, "metric_type": kind}
            for place, time in enumerate(hours)
            for kind in ("requests_per_minute", "cpu_usage")
        ]
        Random(whose).shuffle(rows)
        with database.tenant(whose) as connection:
            facts.write(connection, whose, "traffic", METRICS, metrics(*rows))
    with database.tenant(tenant) as connection:
        found = facts.read(
            connection, tenant, "traffic", METRICS, known=LAST,
            only={"metric_type": ["requests_per_minute"]}, between=(hours[10], hours[30]),
        )  # fmt: skip
        assert found["time"].to_list() == hours[10:30]
        assert found["value"].to_list() == [float(place) for place in range(10, 30)]
        assert set(found["metric_type"]) == {"requests_per_minute"}
        assert connection.execute("SELECT DISTINCT tenant_id FROM metrics").fetchall() == [(tenant,)]
        assert facts.read(connection, other, "traffic", METRICS, known=LAST).is_empty()


# ---------------------------------------------------------------- many at once


class Thrown(Exception):  # noqa: N818
    """What goes wrong on purpose in the middle of a transaction."""


class Worker:
    """One of the threads: does things for the two tenants in turn, and keeps count of what it was told is done.

    A transaction that ends with Unavailable may or may not have been committed; it is done again where doing it twice
    is doing it once, else it may count or not.
    """

    def __init__(self, database: Database, tenants: list[str], number: int) -> None:
        self.database, self.tenants, self.number = database, tenants, number
        self.chance = Random(number)
        self.written: dict[str, set[str]] = {tenant: set() for tenant in tenants}
        self.rejected: dict[str, set[str]] = {tenant: set() for tenant in tenants}
        self.logged: dict[str, set[str]] = {tenant: set() for tenant in tenants}
        self.perhaps: dict[str, set[str]] = {tenant: set() for tenant in tenants}
        self.done: Counter[str] = Counter()

    def work(self, turns: int) -> Worker:
        for turn in range(turns):
            tenant = self.chance.choice(self.tenants)
            deed = self.chance.choices(
                [self.write, self.read, self.log, self.ledger, self.reject, self.throw], [2, 4, 3, 1, 1, 1]
            )[0]
            word = f"{tenant}/{self.number}/{turn}"
            again = deed != self.log
            for _ in range(50 if again else 1):
                try:
                    deed(tenant, word)
                except Unavailable:
                    self.done["unavailable"] += 1
                    if not again:
                        self.perhaps[tenant].add(word)
                else:
                    self.done[deed.__name__] += 1
                    break
        return self

    def write(self, tenant: str, word: str) -> None:
        row = thing(shop=word, shelf=str(self.number), note=tenant)
        with self.database.tenant(tenant) as connection:
            facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [row]))
        self.written[tenant].add(word)

    def read(self, tenant: str, word: str) -> None:
        with self.database.tenant(tenant, snapshot=self.chance.random() < 0.5) as connection:
            found = facts.read(connection, tenant, "toy", THINGS, known=LAST, only={"shelf": [str(self.number)]})
            whose = connection.execute("SELECT DISTINCT tenant_id FROM toy.things").fetchall()
        assert set(found["note"]) <= {tenant}
        assert self.written[tenant] <= set(found["shop"])
        assert whose in ([(tenant,)], [])

    def log(self, tenant: str, word: str) -> None:
        with self.database.tenant(tenant, durable=False) as connection:
            records.log(connection, tenant, [served(word)])
        self.logged[tenant].add(word)

    def ledger(self, tenant: str, word: str) -> None:
        with self.database.tenant(tenant) as connection:
            found = {cast("str", one.request["note"]) for one in records.served(connection, tenant, "load")}
        assert {note.split("/")[0] for note in found} <= {tenant}
        assert self.logged[tenant] <= found

    def reject(self, tenant: str, word: str) -> None:
        with self.database.tenant(tenant) as connection:
            quarantine.reject(
                connection,
                tenant,
                "toy.things",
                rejected(word),
                ORIGIN,
            )
            found = quarantine.quarantined(connection, tenant)["original"]
        self.rejected[tenant].add(word)
        assert {note.split("/")[0] for note in found} <= {tenant}

    def throw(self, tenant: str, word: str) -> None:
        """Everything at once, and then it goes wrong: of this nothing may ever be seen."""
        with contextlib.suppress(Thrown, psycopg.errors.UndefinedTable), self.database.tenant(tenant) as connection:
            facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing(shop=f"thrown {word}")]))
            records.log(connection, tenant, [served(f"{tenant}/thrown")])
            quarantine.reject(
                connection,
                tenant,
                "toy.things",
                rejected(f"{tenant}/thrown"),
                ORIGIN,
            )
            if self.chance.random() < 0.5:
                raise Thrown
            connection.execute("SELECT FROM nowhere")


def kill(server: Server, stop: threading.Event) -> int:
    """Cut one of the login's connections, now and then."""
    count = 0
    with psycopg.connect(server.url(DATABASE), autocommit=True) as connection:
        while not stop.wait(0.15):
            count += connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'foretell' AND application_name = 'many' ORDER BY random() LIMIT 1"
            ).rowcount
    return count


def whole(database: Database, tenant: str) -> tuple[Frame, Counter[str], list[str], int]:
    with database.tenant(tenant) as connection:
        return (
            facts.read(connection, tenant, "toy", THINGS, known=LAST),
            Counter(cast("str", one.request["note"]) for one in records.served(connection, tenant, "load")),
            quarantine.quarantined(connection, tenant)["original"].to_list(),
            marks(connection, tenant, ["toy.things"])["toy.things"],
        )


def patiently(deed: Callable[[], T], times: int = 50) -> T:
    """The pool may still hold connections that were cut: each of them fails once."""
    for _ in range(times):
        with contextlib.suppress(Unavailable):
            return deed()
    return deed()


THREADS, TURNS = 8, 250


def test_eight_threads_and_two_tenants_through_one_pool_never_mix(server: Server, tenant: str) -> None:
    tenants, stop = [f"{tenant}a", f"{tenant}b"], threading.Event()
    database = Database(f"{url_of(server, LOGIN)}&application_name=many", size=5)
    began = time.monotonic()
    with ThreadPoolExecutor(THREADS + 1) as pool:
        killing = pool.submit(kill, server, stop)
        running = [pool.submit(Worker(database, tenants, number).work, TURNS) for number in range(THREADS)]
        try:
            workers = [each.result() for each in running]
        finally:
            stop.set()
    done = sum((worker.done for worker in workers), Counter[str]())
    assert killing.result() > 3
    assert done["unavailable"] > 0
    assert done.total() - done["unavailable"] > 0.9 * THREADS * TURNS, (done, time.monotonic() - began)
    for each in tenants:
        written = set[str]().union(*(worker.written[each] for worker in workers))
        bad = set[str]().union(*(worker.rejected[each] for worker in workers))
        logged = set[str]().union(*(worker.logged[each] for worker in workers))
        perhaps = set[str]().union(*(worker.perhaps[each] for worker in workers))
        found, ledger, kept, mark = patiently(partial(whole, database, each))
        assert set(found["note"]) == {each}
        assert sorted(found["shop"].to_list()) == sorted(written)
        assert mark == len(written)
        assert sorted(kept) == sorted(bad)
        assert set(ledger.values()) == {1}
        assert logged <= {*ledger} <= logged | perhaps
    database.close()
