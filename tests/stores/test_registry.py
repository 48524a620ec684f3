"""Which models there are, which of them serves, which served before it, and which may go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from tests.stores.test_facts import frame, thing
from tests.stores.toy import THINGS

from foretell.errors import NotFound
from foretell.stores import facts, records, registry
from foretell.stores.access import LOGIN, OPERATOR, url_of
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


def kept(version: str = "1", **changes: Any) -> registry.Kept:
    made = registry.Kept(
        model_name="load", version=version, candidate="boosted", card=ODD, blob="f" * 64, size=2**40, created_at=START
    )
    return replace(made, **changes)


def aged(version: str, day: int, **changes: Any) -> registry.Kept:
    """A version made on a day, with a blob of its own."""
    return kept(version, blob=f"blob {version}", created_at=START + timedelta(days=day), **changes)


def rows(connection: Connection[Any], query: str) -> list[Any]:
    return connection.execute(query.encode()).fetchall()


def deploy(connection: Connection[Any], tenant: str, *versions: str, pinned: bool = False) -> None:
    for version in versions:
        registry.deploy(connection, tenant, "load", version, "me", f"because {version}", pinned=pinned)


def deployed(connection: Connection[Any], tenant: str, name: str = "load") -> Sequence[str]:
    return registry.look(connection, tenant, [name], []).deployed[name]


def states(connection: Connection[Any], tenant: str) -> dict[str, str]:
    return {each.version: each.state for each in registry.versions(connection, tenant, "load")}


@pytest.fixture
def connection(database: Database, tenant: str) -> Iterator[Connection[Any]]:
    """A transaction of the tenant."""
    with database.tenant(tenant) as opened:
        yield opened


# ---------------------------------------------------------------- models on record


def test_versions_come_back_newest_first_each_once(connection: Connection[Any], tenant: str) -> None:
    made = [kept(str(number), created_at=START + timedelta(hours=number % 3)) for number in range(5)]
    other = kept("1", model_name="other", card={})
    for each in [*made, other]:
        registry.keep(connection, tenant, each)
    registry.keep(connection, tenant, replace(made[0], blob="another", card={}))
    found = registry.versions(connection, tenant, "load")
    assert [each.version for each in found] == ["2", "4", "1", "3", "0"]
    assert found[0] == registry.Version(
        version="2", candidate="boosted", created_at=made[2].created_at, size=2**40, state="kept",
        deployed_at=None, deployed_by=None, reason=None,
    )  # fmt: skip
    assert [each.version for each in registry.versions(connection, tenant, "other")] == ["1"]
    assert registry.versions(connection, tenant, "none") == []


def test_a_model_comes_back_as_it_was(connection: Connection[Any], tenant: str) -> None:
    for each in (kept("0"), kept("1"), kept("1", model_name="other", card={})):
        registry.keep(connection, tenant, each)
    registry.keep(connection, tenant, kept("0", blob="another", card={}))
    assert registry.model(connection, tenant, "load", "0") == kept("0")
    assert registry.model(connection, tenant, "other", "1") == kept("1", model_name="other", card={})


def test_a_version_that_is_not_there_is_told_with_those_that_are(connection: Connection[Any], tenant: str) -> None:
    for each in (aged("a", 1), aged("b", 2), aged("c", 3, model_name="other")):
        registry.keep(connection, tenant, each)
    with pytest.raises(NotFound, match=r"^load has no version c; there are b, a$"):
        registry.model(connection, tenant, "load", "c")
    for name, version in (("none", "1"), ("", ""), ("load' --", "%s")):
        with pytest.raises(NotFound, match=f"^{name} has no version {version}; there are none yet: train first$"):
            registry.model(connection, tenant, name, version)


def test_a_run_is_written_down_as_it_was(connection: Connection[Any], tenant: str) -> None:
    run = registry.Run(
        model_name="load", version="1", as_of=START, parameters=ODD, metrics=ODD, promoted=False, reason="ü 'why'"
    )
    registry.experiment(connection, tenant, run)
    registry.experiment(connection, tenant, replace(run, promoted=True))
    names = [each.name for each in fields(registry.Run)]
    told = rows(connection, f"SELECT {', '.join(names)} FROM ml_experiments ORDER BY promoted")
    assert [registry.Run(**dict(zip(names, each, strict=True))) for each in told] == [run, replace(run, promoted=True)]
    assert rows(connection, "SELECT count(DISTINCT run_id), count(DISTINCT created_at) FROM ml_experiments") == [(2, 1)]


# ---------------------------------------------------------------- what serves


def test_what_was_let_serve_last_serves(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        for version in "123":
            registry.keep(connection, tenant, kept(version))
        registry.keep(connection, tenant, kept("1", model_name="other"))
        deploy(connection, tenant, "1", "2")  # two in one transaction
    for version in "3122":  # each in a transaction of its own
        with database.tenant(tenant) as connection:
            deploy(connection, tenant, version)
    with database.tenant(tenant) as connection:
        assert deployed(connection, tenant) == ["2", "1", "3"]
        assert deployed(connection, tenant, "other") == ()
        deploy(connection, tenant, "1")  # back to the one before
        assert deployed(connection, tenant) == ["1", "2", "3"]
        told = rows(connection, "SELECT version, deployed_by, reason FROM ml_deployments ORDER BY deployment_id")
        assert [version for version, _, _ in told] == [*"1231221"]
        assert told[2] == ("3", "me", "because 3")


def test_only_a_model_on_record_can_be_let_serve(database: Database, tenant: str) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation), database.tenant(tenant) as connection:
        deploy(connection, tenant, "none")


def test_a_version_is_of_a_task(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        registry.keep(connection, tenant, kept("1", model_name="other"))
    with pytest.raises(psycopg.errors.ForeignKeyViolation), database.tenant(tenant) as connection:
        deploy(connection, tenant, "1")


def test_one_look_tells_zone_versions_and_marks(server: Server, database: Database, tenant: str) -> None:
    operator = Database(url_of(server, LOGIN), role=OPERATOR, size=1)
    with operator.nobody() as connection:
        records.add_tenant(connection, tenant, "Asia/Riyadh")
    operator.close()
    with database.tenant(tenant) as connection:
        for name in ("load", "other", "third"):
            for version in "123":
                registry.keep(connection, tenant, kept(version, model_name=name))
        deploy(connection, tenant, "1", "3")
        registry.deploy(connection, tenant, "third", "2", "me", "why")
        facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing()]))
        look = registry.look(
            connection, tenant, ["third", "load", "other", "none"], ["toy.yearly", "toy.things", "no.table"]
        )
        assert look.zone == "Asia/Riyadh"
        assert look.deployed == {"third": ["2"], "load": ["3", "1"], "other": (), "none": ()}
        assert look.marks == {"toy.yearly": 0, "toy.things": 1, "no.table": 0}
        assert [*look.marks] == ["toy.yearly", "toy.things", "no.table"]  # what is made of it can be a key
        facts.write(connection, tenant, "toy", THINGS, frame(THINGS, [thing(number=2.5)]))
        assert registry.look(connection, tenant, [], ["toy.things"]).marks == {"toy.things": 2}


def test_a_look_for_no_tenant_finds_no_zone(connection: Connection[Any], tenant: str) -> None:
    look = registry.look(connection, tenant, ["load"], ["toy.things"])
    assert (look.zone, look.deployed, look.marks) == (None, {"load": ()}, {"toy.things": 0})
    assert registry.look(connection, tenant, [], []) == registry.Look(
        zone=None, deployed={}, marks={}, settings="{}", approved="{}"
    )


def test_a_look_in_a_snapshot_is_of_its_beginning(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as writing:
        for version in "12":
            registry.keep(writing, tenant, kept(version))
        deploy(writing, tenant, "1")
    with database.tenant(tenant, snapshot=True) as reading:
        before = registry.look(reading, tenant, ["load"], ["toy.things"])
        with database.tenant(tenant) as writing:
            deploy(writing, tenant, "2")
            facts.write(writing, tenant, "toy", THINGS, frame(THINGS, [thing()]))
        assert registry.look(reading, tenant, ["load"], ["toy.things"]) == before
    with database.tenant(tenant) as reading:
        after = registry.look(reading, tenant, ["load"], ["toy.things"])
    assert (after.deployed, after.marks) == ({"load": ["2", "1"]}, {"toy.things": 1})


# ---------------------------------------------------------------- states


def test_the_newest_three_are_kept_though_none_served(connection: Connection[Any], tenant: str) -> None:
    for day, version in enumerate("abcd"):
        registry.keep(connection, tenant, aged(version, day))
    assert registry.KEPT == 3
    assert [*states(connection, tenant).values()][:3] == ["kept"] * 3


def test_an_older_version_that_served_is_archived(connection: Connection[Any], tenant: str) -> None:
    for day, version in enumerate("abcde"):
        registry.keep(connection, tenant, aged(version, day))
    deploy(connection, tenant, "a", "b", "d")
    assert states(connection, tenant) == {"e": "kept", "d": "serving", "c": "kept", "b": "archived", "a": "archived"}


def test_a_version_in_service_says_so_however_old(connection: Connection[Any], tenant: str) -> None:
    for day, version in enumerate("abcde"):
        registry.keep(connection, tenant, aged(version, day))
    deploy(connection, tenant, "e", "a")
    assert states(connection, tenant) == {"e": "kept", "d": "kept", "c": "kept", "b": "archived", "a": "serving"}
    deploy(connection, tenant, "a", pinned=True)
    assert states(connection, tenant)["a"] == "pinned"
    deploy(connection, tenant, "e")
    assert states(connection, tenant)["a"] == "archived"  # it was pinned, and is no more


def test_one_version_at_most_is_in_service(connection: Connection[Any], tenant: str) -> None:
    for day, version in enumerate("abc"):
        registry.keep(connection, tenant, aged(version, day))
        deploy(connection, tenant, version, pinned=True)
    assert states(connection, tenant) == {"c": "pinned", "b": "kept", "a": "kept"}


def test_a_version_tells_of_its_last_deployment(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        registry.keep(connection, tenant, kept("1"))
        registry.deploy(connection, tenant, "load", "1", "ü", "first")
    with database.tenant(tenant) as connection:
        (first,) = registry.versions(connection, tenant, "load")
        registry.deploy(connection, tenant, "load", "1", "me", "second")
        (second,) = registry.versions(connection, tenant, "load")
    assert (first.deployed_by, first.reason) == ("ü", "first")
    assert (second.deployed_by, second.reason) == ("me", "second")
    assert first.deployed_at
    assert second.deployed_at
    assert first.deployed_at < second.deployed_at


# ---------------------------------------------------------------- pins


def test_a_pin_lasts_until_something_else_is_let_serve(connection: Connection[Any], tenant: str) -> None:
    for version in "12":
        registry.keep(connection, tenant, kept(version))
    registry.keep(connection, tenant, kept("1", model_name="other"))
    assert registry.pinned(connection, tenant, "load") is None
    deploy(connection, tenant, "1")
    assert registry.pinned(connection, tenant, "load") is None
    deploy(connection, tenant, "2", pinned=True)
    assert registry.pinned(connection, tenant, "load") == "2"
    assert registry.pinned(connection, tenant, "other") is None
    deploy(connection, tenant, "2")
    assert registry.pinned(connection, tenant, "load") is None


# ---------------------------------------------------------------- what served before


def back(connection: Connection[Any], tenant: str) -> str | None:
    """Go back to what served before, as `rollback` does."""
    version = registry.before(connection, tenant, "load")
    if version:
        deploy(connection, tenant, version)
    return version


def test_going_back_again_and_again_ends_at_the_first(connection: Connection[Any], tenant: str) -> None:
    assert registry.before(connection, tenant, "load") is None
    for version in "123":
        registry.keep(connection, tenant, kept(version))
        deploy(connection, tenant, version)
    assert [back(connection, tenant) for _ in range(4)] == ["2", "1", None, None]
    assert deployed(connection, tenant) == ["1", "2", "3"]


def test_from_a_version_let_serve_again_it_goes_back_to_the_same_as_the_first_time(
    connection: Connection[Any], tenant: str
) -> None:
    for version in "123":
        registry.keep(connection, tenant, kept(version))
        deploy(connection, tenant, version)
    assert [back(connection, tenant), back(connection, tenant)] == ["2", "1"]
    deploy(connection, tenant, "3")
    assert [back(connection, tenant), back(connection, tenant), back(connection, tenant)] == ["2", "1", None]


def test_a_new_version_goes_back_to_what_it_replaced_not_to_what_was_rolled_back(
    connection: Connection[Any], tenant: str
) -> None:
    for version in "123":
        registry.keep(connection, tenant, kept(version))
    deploy(connection, tenant, "1", "2")
    assert back(connection, tenant) == "1"
    deploy(connection, tenant, "3")
    assert back(connection, tenant) == "1"


def test_to_deploy_or_pin_the_same_again_changes_nothing_of_the_way_back(
    connection: Connection[Any], tenant: str
) -> None:
    for version in "12":
        registry.keep(connection, tenant, kept(version))
    deploy(connection, tenant, "1", "1", "2", "2")
    deploy(connection, tenant, "2", pinned=True)
    assert registry.before(connection, tenant, "load") == "1"


def test_the_way_back_is_the_tasks_own(connection: Connection[Any], tenant: str) -> None:
    for version in "12":
        registry.keep(connection, tenant, kept(version, model_name="other"))
        registry.deploy(connection, tenant, "other", version, "me", "why")
    registry.keep(connection, tenant, kept("3"))
    deploy(connection, tenant, "3")
    assert registry.before(connection, tenant, "load") is None
    assert registry.before(connection, tenant, "other") == "1"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(deeds=st.lists(st.sampled_from([*"abcde", "back"]), max_size=12))
def test_the_way_back_always_ends(connection: Connection[Any], tenant: str, deeds: list[str]) -> None:
    """Whatever was deployed and rolled back: never to the one in service, and at the last to the very first."""
    with connection.transaction(force_rollback=True):
        log: list[str] = []
        for version in "abcde":
            registry.keep(connection, tenant, kept(version))
        for deed in deeds:
            if deed == "back":
                went = back(connection, tenant)
                assert went == (log[log.index(log[-1]) - 1] if log and log.index(log[-1]) else None)
                log += [went] if went else []
            else:
                deploy(connection, tenant, deed)
                log.append(deed)
        way = [back(connection, tenant) for _ in range(6)]
        steps = [each for each in way if each]
        assert way == steps + [None] * (6 - len(steps))
        assert len({*steps, *log[-1:]}) == len(steps) + bool(log)  # no version twice
        assert [*log[-1:], *steps][-1:] == log[:1]


# ---------------------------------------------------------------- what may go


def test_of_versions_that_never_served_the_newest_three_stay(connection: Connection[Any], tenant: str) -> None:
    for day, version in enumerate("abcde"):
        registry.keep(connection, tenant, aged(version, day))
        registry.keep(connection, tenant, aged(version, day, model_name="other"))
    for _ in range(2):
        registry.prune(connection, tenant, "load")
        registry.prune(connection, tenant, "none")
        assert [*states(connection, tenant)] == [*"edc"]
    assert len(registry.versions(connection, tenant, "other")) == 5


def test_what_ever_served_stays(connection: Connection[Any], tenant: str) -> None:
    for day, version in enumerate("abcdefg"):
        registry.keep(connection, tenant, aged(version, day))
    deploy(connection, tenant, "a", "c", "g")
    registry.prune(connection, tenant, "load")
    kept = {"g": "serving", "f": "kept", "e": "kept", "c": "archived", "a": "archived"}
    assert states(connection, tenant) == kept


def test_the_files_of_every_version_of_every_task_are_needed(connection: Connection[Any], tenant: str) -> None:
    assert registry.needed(connection, tenant) == set()
    for day, version in enumerate("abcd"):
        registry.keep(connection, tenant, aged(version, day))
    registry.keep(connection, tenant, aged("x", 0, model_name="other"))
    registry.keep(connection, tenant, replace(aged("e", 9), blob="blob b"))  # two versions have it
    registry.prune(connection, tenant, "load")
    assert registry.needed(connection, tenant) == {"blob b", "blob c", "blob d", "blob x"}


def test_what_ever_served_can_not_be_deleted_at_all(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        registry.keep(connection, tenant, kept("1"))
        deploy(connection, tenant, "1")
    with pytest.raises(psycopg.errors.ForeignKeyViolation), database.tenant(tenant) as connection:
        connection.execute("DELETE FROM ml_models")
    with database.tenant(tenant) as connection:
        assert states(connection, tenant) == {"1": "serving"}


def test_of_versions_made_at_one_moment_the_same_three_are_kept_and_shown(
    connection: Connection[Any], tenant: str
) -> None:
    for version in "dbaec":
        registry.keep(connection, tenant, aged(version, 0))
    shown = [version for version, state in states(connection, tenant).items() if state == "kept"]
    registry.prune(connection, tenant, "load")
    assert [*states(connection, tenant)] == shown == [*"edc"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(days=st.lists(st.integers(0, 5), max_size=8), served=st.lists(st.integers(0, 7), max_size=4))
def test_pruning_keeps_what_its_words_say(
    connection: Connection[Any], tenant: str, days: list[int], served: list[int]
) -> None:
    made = {str(place): aged(str(place), day) for place, day in enumerate(days)}
    with connection.transaction(force_rollback=True):
        for each in made.values():
            registry.keep(connection, tenant, each)
        ever = [str(number) for number in served if str(number) in made]
        deploy(connection, tenant, *ever)
        before = states(connection, tenant)
        registry.prune(connection, tenant, "load")
        after, needed = states(connection, tenant), registry.needed(connection, tenant)
    newest = sorted(made, key=lambda version: (made[version].created_at, version), reverse=True)
    stays = {*newest[:3], *ever}
    assert {*after} == stays
    assert after == {version: state for version, state in before.items() if version in stays}
    assert [state in ("serving", "pinned") for state in after.values()].count(True) == bool(ever)
    assert needed == {made[version].blob for version in stays}


def four(database: Database, tenant: str) -> None:
    """Versions of which one may go."""
    with database.tenant(tenant) as connection:
        for day, version in enumerate("abcd"):
            registry.keep(connection, tenant, aged(version, day))


def test_what_is_let_go_can_not_be_let_serve_meanwhile(database: Database, tenant: str) -> None:
    four(database, tenant)

    def promote() -> None:
        with database.tenant(tenant) as connection:
            deploy(connection, tenant, "a")

    with ThreadPoolExecutor(1) as pool:
        with database.tenant(tenant) as connection:
            registry.prune(connection, tenant, "load")
            promoting = pool.submit(promote)
            with pytest.raises(TimeoutError):  # it waits
                promoting.result(0.3)
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            promoting.result()
    with database.tenant(tenant) as connection:
        assert states(connection, tenant) == {"d": "kept", "c": "kept", "b": "kept"}


def test_what_is_let_serve_meanwhile_does_not_go_and_harms_nothing_else(database: Database, tenant: str) -> None:
    four(database, tenant)

    def train() -> None:
        with database.tenant(tenant) as connection:
            registry.keep(connection, tenant, aged("e", 9))
            registry.prune(connection, tenant, "load")

    with ThreadPoolExecutor(1) as pool:
        with database.tenant(tenant) as connection:
            deploy(connection, tenant, "a")
            training = pool.submit(train)
            with pytest.raises(TimeoutError):
                training.result(0.3)
        training.result()
    with database.tenant(tenant) as connection:
        assert {"e", "a"} < {*states(connection, tenant)}
        registry.prune(connection, tenant, "load")
        assert states(connection, tenant) == {"e": "kept", "d": "kept", "c": "kept", "a": "serving"}
