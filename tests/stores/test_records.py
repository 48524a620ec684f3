"""What the engine writes down comes back as it was, of the right task and tenant, in order, and stays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import Connection

from foretell.errors import Forbidden, InvalidRequest, NotFound, Refused
from foretell.stores import records, registry
from foretell.stores.access import DATABASE, LOGIN, OPERATOR, READER, url_of
from foretell.stores.database import Database
from foretell.stores.server import Server

START = datetime(2024, 5, 1, 12, 0, 0, 123_456, tzinfo=UTC)
ODD: dict[str, Any] = {
    "ü 😀 \u2028": ["\"'\\", "a\nb\t", "%s {} $1", ""],
    "numbers": [0, -1, 2**53, 0.1 + 0.2, 5e-324, 1e22, -2.5],
    "nothing": None,
    "deep": {"a": {"b": [True, False, None, {}, []]}},
    "": {"2024-05-01T00:00:00Z": "\x1e\x1f\x7f"},
}


def served(**changes: Any) -> records.Served:
    """A prediction with a number of its own."""
    made = records.Served(
        model_name="load", version="1", method="boosted", fallback=None, as_of=START, request=ODD, answer=ODD,
        questions={"entity": ["a", "ü"]}, forecast={"q10": [0.1, None]}, raw={}, marks={"traffic.metrics": 2**40},
        own_facts=False, prediction_count=2, confidence=0.1 + 0.2, prediction_id=uuid4(), latency_ms=1.5,
    )  # fmt: skip
    return replace(made, **changes)


def said(prediction: UUID, **changes: Any) -> records.Feedback:
    made = records.Feedback(prediction_id=prediction, given_by="ü", outcome=None, helpful=None, note=None)
    return replace(made, **changes)


def rows(connection: Connection[Any], query: str) -> list[Any]:
    return connection.execute(query.encode()).fetchall()


@pytest.fixture
def operator(server: Server) -> Iterator[Database]:
    opened = Database(url_of(server, LOGIN), role=OPERATOR, size=2)
    yield opened
    opened.close()


# ---------------------------------------------------------------- tenants


def test_an_operator_adds_tenants_and_sees_them_all(database: Database, operator: Database, tenant: str) -> None:
    with operator.nobody() as connection:
        records.add_tenant(connection, tenant, "Europe/Athens")
        records.add_tenant(connection, f"{tenant}b", "Asia/Riyadh")
        known = records.tenants(connection)
    assert known[tenant] == "Europe/Athens"
    assert known[f"{tenant}b"] == "Asia/Riyadh"
    assert [*known] == sorted(known)
    with database.tenant(tenant) as connection:
        assert records.tenants(connection) == {tenant: "Europe/Athens"}
    with database.nobody() as connection:
        assert records.tenants(connection) == {}


def test_a_tenant_can_not_be_added_twice(operator: Database, tenant: str) -> None:
    with operator.nobody() as connection:
        records.add_tenant(connection, tenant, "UTC")
    with pytest.raises(Refused, match=f"there is a tenant {tenant} already"), operator.nobody() as connection:
        records.add_tenant(connection, tenant, "Asia/Riyadh")
    with operator.nobody() as connection:
        assert records.tenants(connection)[tenant] == "UTC"


def test_the_app_adds_no_tenant_not_even_itself(database: Database, tenant: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.tenant(tenant) as connection:
        records.add_tenant(connection, tenant, "UTC")


# ---------------------------------------------------------------- predictions


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_a_ledger_gives_back_what_it_was_given(database: Database, tenant: str, count: int) -> None:
    sent = [served(version=str(number), as_of=START + timedelta(hours=number)) for number in range(count)]
    with database.tenant(tenant) as connection:
        records.log(connection, tenant, sent)
    with database.tenant(tenant) as connection:
        found = records.served(connection, tenant, "load")
    assert all(each.predicted_at and each.predicted_at.utcoffset() == timedelta(0) for each in found)
    assert sorted((replace(each, predicted_at=None) for each in found), key=lambda each: int(each.version)) == sent


def test_the_ledger_is_told_oldest_first_and_by_task(database: Database, tenant: str) -> None:
    for number in range(3):
        with database.tenant(tenant, durable=False) as connection:
            records.log(connection, tenant, [served(version=str(number)), served(model_name="other")])
    with database.tenant(tenant) as connection:
        found = records.served(connection, tenant, "load")
        assert [each.version for each in found] == ["0", "1", "2"]
        moments = [each.predicted_at for each in found if each.predicted_at]
        assert moments == sorted(set(moments))
        assert len(records.served(connection, tenant, "other")) == 3
        assert records.served(connection, tenant, "none") == []


def test_predictions_on_facts_of_their_own_are_kept_but_not_told(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        records.log(connection, tenant, [served(own_facts=True), served(version="2"), served(own_facts=True)])
        assert [each.version for each in records.served(connection, tenant, "load")] == ["2"]
        assert rows(connection, "SELECT own_facts, count(*) FROM ml_predictions GROUP BY 1 ORDER BY 1") == [
            (False, 1),
            (True, 2),
        ]


def test_what_may_be_missing_is_missing(database: Database, tenant: str) -> None:
    sent = [served(fallback=None, confidence=None), served(fallback="ü", confidence=0.0)]
    with database.tenant(tenant) as connection:
        records.log(connection, tenant, sent)
        found = records.served(connection, tenant, "load")
    assert {(each.fallback, each.confidence) for each in found} == {(None, None), ("ü", 0.0)}


def test_of_a_batch_that_can_not_be_logged_nothing_is(database: Database, tenant: str) -> None:
    with pytest.raises(psycopg.DataError), database.tenant(tenant) as connection:  # no caller's fault
        records.log(connection, tenant, [served(), served(answer={"value": float("nan")})])
    with database.tenant(tenant) as connection:
        assert records.served(connection, tenant, "load") == []


def test_a_reader_logs_predictions_and_writes_nothing_else(server: Server, database: Database, tenant: str) -> None:
    reader = Database(url_of(server, LOGIN), role=READER, size=1)
    kept = registry.Kept(model_name="load", version="1", candidate="c", card=ODD, blob="b", size=1, created_at=START)
    one = served()
    with database.tenant(tenant) as connection:
        registry.keep(connection, tenant, kept)
        registry.deploy(connection, tenant, "load", "1", "me", "why")
        records.answer(connection, tenant, "key", "print", {"a": 1})
    with reader.tenant(tenant, snapshot=True, durable=False) as connection:
        assert registry.look(connection, tenant, ["load"], []).deployed == {"load": ["1"]}
        assert registry.model(connection, tenant, "load", "1") == kept
        assert len(registry.versions(connection, tenant, "load")) == 1
        records.log(connection, tenant, [one])
        assert records.feedback(connection, tenant, [one.prediction_id]) == []
    writes: list[Callable[[Connection[Any]], object]] = [
        lambda c: registry.keep(c, tenant, replace(kept, version="2")),
        lambda c: registry.prune(c, tenant, "load"),
        lambda c: records.say(c, tenant, said(one.prediction_id)),
        lambda c: records.answered(c, tenant, "key", "print"),
        lambda c: records.answer(c, tenant, "another", "print", {}),
        lambda c: registry.deploy(c, tenant, "load", "1", "me", "why"),
        lambda c: records.audit(c, tenant, "me", "did", "it", {}),
        lambda c: records.monitored(c, tenant, "load", START, START, 1, {}),
    ]
    for write in writes:
        with pytest.raises(Forbidden, match="--read-only"), reader.tenant(tenant) as connection:
            write(connection)
    reader.close()
    with database.tenant(tenant) as connection:
        assert len(records.served(connection, tenant, "load")) == 1


def test_a_prediction_is_told_by_its_number(database: Database, tenant: str) -> None:
    one = served()
    with database.tenant(tenant) as connection:
        records.log(connection, tenant, [one, served()])
        found = rows(connection, f"SELECT version FROM ml_predictions WHERE prediction_id = '{one.prediction_id}'")
        assert found == [("1",)]
    with pytest.raises(psycopg.errors.UniqueViolation), database.tenant(tenant) as connection:
        records.log(connection, tenant, [one])


def test_the_last_predictions_come_newest_first_page_by_page(database: Database, tenant: str) -> None:
    for number in range(5):
        with database.tenant(tenant) as connection:
            records.log(connection, tenant, [served(version=str(number)), served(model_name="other")])
    with database.tenant(tenant) as connection:
        records.log(connection, tenant, [served(version="own", own_facts=True)])
    pages, before = [], None
    with database.tenant(tenant) as connection:
        while page := records.newest(connection, tenant, "load", limit=2, before=before):
            pages.append([each.version for each in page])
            before = page[-1].predicted_at
        assert records.newest(connection, tenant, "none", limit=2, before=None) == []
    assert pages == [["own", "4"], ["3", "2"], ["1", "0"]]


# ---------------------------------------------------------------- feedback


def test_feedback_comes_back_as_it_was_oldest_first(database: Database, tenant: str) -> None:
    one, other = served(), served()
    with database.tenant(tenant) as connection:
        records.log(connection, tenant, [one, other])
    sent = [
        said(one.prediction_id, outcome=0.1 + 0.2),
        said(one.prediction_id, outcome="ü 'late'", helpful=False),
        said(other.prediction_id, outcome=0.0, helpful=True, note="%s {} $1"),
        said(one.prediction_id, note="\u2028"),
        said(one.prediction_id, note="\u2028"),
    ]
    for each in sent:
        with database.tenant(tenant) as connection:
            records.say(connection, tenant, each)
    with database.tenant(tenant) as connection:
        found = records.feedback(connection, tenant, [other.prediction_id, one.prediction_id, uuid4()])
        assert records.feedback(connection, tenant, []) == []
        assert len(records.feedback(connection, tenant, [one.prediction_id])) == 4
    assert [replace(each, given_at=None) for each in found] == sent
    moments = [each.given_at for each in found if each.given_at]
    assert moments == sorted(set(moments))


def test_no_outcome_is_stored_as_none(database: Database, tenant: str) -> None:
    one = served()
    with database.tenant(tenant) as connection:
        records.log(connection, tenant, [one])
        records.say(connection, tenant, said(one.prediction_id, note="a note"))
        assert rows(connection, "SELECT count(*) FROM ml_feedback WHERE outcome IS NULL") == [(1,)]


def test_feedback_on_no_prediction_is_refused(database: Database, tenant: str) -> None:
    nobody = uuid4()
    with pytest.raises(NotFound, match=f"^there is no prediction {nobody}$"), database.tenant(tenant) as connection:
        records.say(connection, tenant, said(nobody, helpful=True))


@pytest.mark.parametrize("bad", [{"outcome": "a\0b"}, {"note": "a\0b"}, {"note": "\ud800"}])
def test_feedback_that_can_not_be_stored_is_the_senders_fault(
    database: Database, tenant: str, bad: dict[str, Any]
) -> None:
    one = served()
    with database.tenant(tenant) as connection:
        records.log(connection, tenant, [one])
    with pytest.raises(InvalidRequest), database.tenant(tenant) as connection:
        records.say(connection, tenant, said(one.prediction_id, **bad))


# ---------------------------------------------------------------- requests sent twice


def asked(database: Database, tenant: str, key: str, told: dict[str, Any], fingerprint: str = "print") -> records.Json:
    """What a request is answered: as before where there was one, else `told`."""
    with database.tenant(tenant) as connection:
        known = records.answered(connection, tenant, key, fingerprint)
        if known is None:
            records.answer(connection, tenant, key, fingerprint, told)
        return known or told


def test_a_request_sent_again_is_answered_as_the_first_time(database: Database, tenant: str) -> None:
    assert asked(database, tenant, "key", ODD) == ODD
    assert asked(database, tenant, "key", {"second": 2}) == ODD
    assert asked(database, tenant, "Key", {"third": 3}) == {"third": 3}
    for odd in ("", "ü 😀", "%s", "x" * 1000, "' or true --", "a\nb"):
        assert asked(database, tenant, odd, {"of": odd}) == asked(database, tenant, odd, {}) == {"of": odd}


def test_a_key_of_another_request_is_refused(database: Database, tenant: str) -> None:
    asked(database, tenant, "key", {"first": 1})
    with pytest.raises(Refused, match="the idempotency key 'key' was another request's; take a new one"):
        asked(database, tenant, "key", {"second": 2}, "another print")
    assert asked(database, tenant, "key", {}) == {"first": 1}


def test_a_second_request_waits_for_the_first_and_gets_its_answer(database: Database, tenant: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        with database.tenant(tenant) as first:
            assert records.answered(first, tenant, "key", "print") is None
            second = pool.submit(asked, database, tenant, "key", {"second": 2})
            assert asked(database, tenant, "another", {"other": 3}) == {"other": 3}  # which nobody waits for
            with pytest.raises(TimeoutError):
                second.result(0.5)
            records.answer(first, tenant, "key", "print", {"first": 1})
        assert second.result() == {"first": 1}


def test_a_second_request_goes_on_where_the_first_is_undone(database: Database, tenant: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        with contextlib.suppress(ZeroDivisionError), database.tenant(tenant) as first:
            assert records.answered(first, tenant, "key", "print") is None
            records.answer(first, tenant, "key", "print", {"first": 1})
            second = pool.submit(asked, database, tenant, "key", {"second": 2}, "another print")
            with pytest.raises(TimeoutError):
                second.result(0.5)
            1 / 0  # noqa: B018
        assert second.result() == {"second": 2}


def test_of_sixteen_requests_at_once_one_is_done(database: Database, tenant: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        told = [*pool.map(lambda number: asked(database, tenant, "key", {"number": number}), range(16))]
    assert len({each["number"] for each in told}) == 1


@pytest.mark.parametrize(("hours", "forgotten"), [(23.9, False), (24.1, True)])
def test_a_key_is_forgotten_after_a_day(server: Server, tenant: str, hours: float, forgotten: bool) -> None:
    database = Database(url_of(server, LOGIN), size=1)
    asked(database, tenant, "key", {"first": 1})
    with psycopg.connect(server.url(DATABASE), autocommit=True) as superuser:
        age = timedelta(hours=hours)
        superuser.execute("UPDATE answered SET answered_at = answered_at - %s WHERE tenant_id = %s", [age, tenant])
    asked(database, tenant, "another", {})
    with database.tenant(tenant) as connection:
        assert rows(connection, "SELECT count(*) FROM answered") == [(1 if forgotten else 2,)]
    fingerprint = "another print" if forgotten else "print"
    assert asked(database, tenant, "key", {"second": 2}, fingerprint) == ({"second": 2} if forgotten else {"first": 1})
    database.close()


# ---------------------------------------------------------------- what came of it


def test_a_period_is_written_down_as_it_was(database: Database, tenant: str) -> None:
    end = START + timedelta(days=7)
    with database.tenant(tenant) as connection:
        records.monitored(connection, tenant, "load", START, end, 7, ODD)
        told = rows(
            connection, "SELECT model_id, period_start, period_end, prediction_count, metrics FROM ml_monitoring"
        )
    assert told == [("load", START, end, 7, ODD)]


def test_a_deed_and_its_audit_stand_or_fall_together(database: Database, tenant: str) -> None:
    who = f"ü {uuid4().hex}"
    with database.tenant(tenant) as connection:
        records.audit(connection, tenant, who, "import", "toy.things", ODD)
        records.audit(connection, tenant, who, "deploy", "load", {})
    with pytest.raises(ZeroDivisionError), database.tenant(tenant) as connection:  # noqa: PT012
        records.audit(connection, tenant, who, "undone", "load", {})
        1 / 0  # noqa: B018
    with database.tenant(tenant) as connection:
        told = rows(connection, "SELECT who, action, subject, details FROM audit ORDER BY audit_id")
        assert told == [(who, "import", "toy.things", ODD), (who, "deploy", "load", {})]
        assert rows(connection, "SELECT count(DISTINCT at) FROM audit") == [(1,)]
