"""What the engine writes down comes back as it was, of the right task and tenant, in order, and stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import Connection

from foretell.errors import NotFound, Refused
from foretell.stores import records
from foretell.stores.access import LOGIN, OPERATOR, READER, url_of
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


def kept(version: str = "1", **changes: Any) -> records.Kept:
    made = records.Kept(
        model_name="load", version=version, candidate="boosted", card=ODD, blob="f" * 64, size=2**40, created_at=START
    )
    return replace(made, **changes)


def served(**changes: Any) -> records.Served:
    made = records.Served(
        model_name="load", version="1", method="boosted", fallback=None, as_of=START, request=ODD, answer=ODD,
        questions={"entity": ["a", "ü"]}, forecast={"q10": [0.1, None]}, raw={}, marks={"traffic.metrics": 2**40},
        own_facts=False, prediction_count=2, confidence=0.1 + 0.2,
    )  # fmt: skip
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


# ---------------------------------------------------------------- models


def test_models_come_back_newest_first_each_version_once(database: Database, tenant: str) -> None:
    made = [kept(str(number), created_at=START + timedelta(hours=number % 3)) for number in range(5)]
    other = kept("1", model_name="other", card={})
    with database.tenant(tenant) as connection:
        for each in [*made, other]:
            records.keep(connection, tenant, each)
        records.keep(connection, tenant, replace(made[0], blob="another", card={}))
        assert records.models(connection, tenant, "load") == [made[2], made[4], made[1], made[3], made[0]]
        assert records.models(connection, tenant, "other") == [other]
        assert records.models(connection, tenant, "none") == []
        assert len(records.models(connection, tenant)) == 6
        assert records.blob_of(connection, tenant, "load", "0") == "f" * 64
        for name, version in (("load", "9"), ("none", "1"), ("", "")):
            with pytest.raises(NotFound, match=f"{name} has no version {version}"):
                records.blob_of(connection, tenant, name, version)


def test_what_was_let_serve_last_serves(database: Database, tenant: str) -> None:
    def deploy(*versions: str) -> None:
        for version in versions:  # each in a transaction of its own, and two in one
            with database.tenant(tenant) as connection:
                records.deploy(connection, tenant, "load", version, "me", "ü 'why'")

    with database.tenant(tenant) as connection:
        for version in "123":
            records.keep(connection, tenant, kept(version))
        records.keep(connection, tenant, kept("1", model_name="other"))
        records.deploy(connection, tenant, "load", "1", "me", "first")
        records.deploy(connection, tenant, "load", "2", "me", "second")
    deploy("3", "1", "2", "2")
    with database.tenant(tenant) as connection:
        assert records.deployed(connection, tenant, "load") == ["2", "1", "3"]
        assert records.deployed(connection, tenant, "other") == []
    deploy("1")  # back to the one before
    with database.tenant(tenant) as connection:
        assert records.deployed(connection, tenant, "load") == ["1", "2", "3"]
        assert rows(connection, "SELECT count(*) FROM ml_deployments") == [(7,)]
        told = rows(connection, "SELECT version, deployed_by, reason FROM ml_deployments ORDER BY deployment_id")
        assert told[2] == ("3", "me", "ü 'why'")


def test_only_a_model_on_record_can_be_let_serve(database: Database, tenant: str) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation), database.tenant(tenant) as connection:
        records.deploy(connection, tenant, "load", "none", "me", "why")


def test_a_version_is_of_a_task(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        records.keep(connection, tenant, kept("1", model_name="other"))
    with pytest.raises(psycopg.errors.ForeignKeyViolation), database.tenant(tenant) as connection:
        records.deploy(connection, tenant, "load", "1", "me", "why")


def test_a_run_is_written_down_as_it_was(database: Database, tenant: str) -> None:
    run = records.Run(
        model_name="load", version="1", as_of=START, parameters=ODD, metrics=ODD, promoted=False, reason="ü 'why'"
    )
    with database.tenant(tenant) as connection:
        records.experiment(connection, tenant, run)
        records.experiment(connection, tenant, replace(run, promoted=True))
        told = rows(
            connection,
            f"SELECT {', '.join(vars(run))} FROM ml_experiments ORDER BY promoted",
        )
        assert [records.Run(**dict(zip(vars(run), each, strict=True))) for each in told] == [
            run,
            replace(run, promoted=True),
        ]
        assert rows(connection, "SELECT count(DISTINCT run_id), count(DISTINCT created_at) FROM ml_experiments") == [
            (2, 1)
        ]


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
    with pytest.raises(psycopg.DataError), database.tenant(tenant) as connection:
        records.log(connection, tenant, [served(), served(answer={"value": float("nan")})])
    with database.tenant(tenant) as connection:
        assert records.served(connection, tenant, "load") == []


def test_a_reader_logs_predictions_and_writes_nothing_else(server: Server, database: Database, tenant: str) -> None:
    reader = Database(url_of(server, LOGIN), role=READER, size=1)
    with database.tenant(tenant) as connection:
        records.keep(connection, tenant, kept())
        records.deploy(connection, tenant, "load", "1", "me", "why")
    with reader.tenant(tenant, snapshot=True, durable=False) as connection:
        assert records.deployed(connection, tenant, "load") == ["1"]
        assert records.models(connection, tenant) == [kept()]
        records.log(connection, tenant, [served()])
    writes: list[Callable[[Connection[Any]], None]] = [
        lambda c: records.keep(c, tenant, kept("2")),
        lambda c: records.deploy(c, tenant, "load", "1", "me", "why"),
        lambda c: records.audit(c, tenant, "me", "did", "it", {}),
        lambda c: records.monitored(c, tenant, "load", START, START, 1, {}),
    ]
    for write in writes:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), reader.tenant(tenant) as connection:
            write(connection)
    reader.close()
    with database.tenant(tenant) as connection:
        assert len(records.served(connection, tenant, "load")) == 1


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
