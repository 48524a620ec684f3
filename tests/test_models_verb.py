"""Which versions there are, which one serves, and how people change that; training lets old ones go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest

from foretell.app import App, shelf
from foretell.app.opening import add_tenant
from foretell.app.tenancy import Tenancy
from foretell.domains.traffic.sample import END, ZONE, sample
from foretell.errors import Damaged, NotFound, Refused, Unavailable
from foretell.stores import registry

LOAD = "traffic.load"


def rows() -> pl.DataFrame:
    recent = pl.col("time") > END - timedelta(days=28)
    return sample(1).history["metrics"].filter(recent, pl.col("service") == "donations").drop("entity")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """A tenant with facts and no model; what is trained here is not tried in a process of its own."""
    monkeypatch.setattr(shelf, "try_in_child", lambda *_, **__: None)
    with App.open(f"ngo-{uuid4().hex[:8]}", zone=ZONE) as made:
        made.import_("traffic.metrics", rows())
        yield made


def train(app: App, hours: int) -> str:
    """The version of a training that stood so many hours before the end."""
    trained, _ = app.train(LOAD, as_of=END - timedelta(hours=hours), budget=0.0)
    return trained.model.card.version


def answering(app: App) -> str:
    """The version that answers now."""
    return app.predict(LOAD, {"service": "donations"}, as_of="latest").card.version


def states(app: App) -> dict[str, str]:
    return {each.version: each.state for each in app.models.list(LOAD)}


def files(app: App) -> set[str]:
    """The versions whose files are there; there are no others."""
    there = app.house.stores.blobs.sizes(app.tenant)
    with app.desk.transaction() as connection:
        told = connection.execute("SELECT version, blob FROM ml_models").fetchall()
    assert {*there} <= {blob for _, blob in told}
    return {version for version, blob in told if blob in there}


def age(home: Path, app: App, days: float = 1.1) -> None:
    """Let the tenant's files be so old."""
    for file in (home / "blobs" / app.tenant / "blobs").rglob("*"):
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime - days * 86_400))


def audited(app: App) -> list[tuple[str, str, Any]]:
    with app.desk.transaction() as connection:
        told = connection.execute(
            "SELECT who, action, details ->> 'version' FROM audit WHERE subject = %s ORDER BY audit_id", [LOAD]
        ).fetchall()
    return [(who, action, version) for who, action, version in told]


def damage(home: Path, app: App, version: str) -> None:
    """Cut the end off a version's file, and forget what is in memory of it."""
    with app.desk.transaction() as connection:
        address = registry.model(connection, app.tenant, LOAD, version).blob
    file = home / "blobs" / app.tenant / "blobs" / address[:2] / address
    file.write_bytes(file.read_bytes()[:-600])
    app.house.models._drop((app.tenant, LOAD, version))


@pytest.mark.row("T12")
def test_the_last_three_versions_are_kept_those_that_served_are_archived_and_a_rollback_serves_them(
    home: Path, app: App
) -> None:
    one, two = train(app, 60), train(app, 50)
    assert states(app) == {two: "serving", one: "kept"}
    app.models.pin(LOAD, two)  # so that nothing below is promoted
    three, four, five = (train(app, hours) for hours in (40, 30, 20))
    assert states(app) == {five: "kept", four: "kept", three: "kept", two: "pinned", one: "archived"}
    age(home, app)
    six = train(app, 10)  # three is the fourth newest, and never served
    assert states(app) == {six: "kept", five: "kept", four: "kept", two: "pinned", one: "archived"}
    assert files(app) == {six, five, four, two, one}
    with pytest.raises(NotFound, match=f"no version {three}; there are {six}, {five}, {four}, {two}, {one}$"):
        app.models.promote(LOAD, three)
    assert answering(app) == two
    assert app.models.rollback(LOAD) == one
    assert answering(app) == one
    assert states(app) == {six: "kept", five: "kept", four: "kept", two: "archived", one: "serving"}
    with App.open(app.tenant) as other:  # another process, from the files
        assert answering(other) == one
    with pytest.raises(Refused, match="no version to roll back to: none served before the one in service"):
        app.models.rollback(LOAD)
    assert app.models.promote(LOAD, two) == answering(app) == two
    seven = train(app, 0)  # no pin any more
    assert states(app) == {seven: "serving", six: "kept", five: "kept", two: "archived", one: "archived"}
    assert files(app) == {seven, six, five, two, one}


def test_a_rollback_goes_back_step_by_step_and_from_the_first_no_further(app: App) -> None:
    one, two, three = (train(app, hours) for hours in (30, 20, 10))
    assert [app.models.rollback(LOAD), app.models.rollback(LOAD)] == [two, one]
    with pytest.raises(Refused):
        app.models.rollback(LOAD)
    assert answering(app) == one
    app.models.promote(LOAD, three)
    assert app.models.rollback(LOAD) == two  # as it was when three was new
    four = train(app, 0)
    assert answering(app) == four
    assert app.models.rollback(LOAD) == two


def test_before_anything_was_trained_there_is_nothing(app: App) -> None:
    assert app.models.list(LOAD) == []
    with pytest.raises(Refused, match="no version to roll back to"):
        app.models.rollback(LOAD)
    with pytest.raises(Refused, match=r"no version of traffic\.load is pinned"):
        app.models.unpin(LOAD)
    for deed in (app.models.promote, app.models.pin, app.models.card):
        with pytest.raises(NotFound, match=r"has no version x; there are none yet: train first"):
            deed(LOAD, "x")


def test_unknown_tasks_and_tenants_are_not_found(app: App) -> None:
    nobody = App(Tenancy(house=app.house, tenant="nobody-yet", who="me")).models
    for models, task, words in ((app.models, "traffic.nothing", r"traffic\.load"), (nobody, LOAD, "x|nobody|none")):
        for deed in (models.promote, models.pin, models.card):
            with pytest.raises(NotFound, match=words):
                deed(task, "x")
        with pytest.raises(NotFound, match=words):
            models.list(task)
    for deed_ in (app.models.rollback, app.models.unpin):
        with pytest.raises(NotFound, match=r"traffic\.load"):
            deed_("traffic.nothing")


def test_a_list_tells_of_each_version(app: App) -> None:
    one, two = train(app, 20), train(app, 10)
    app.models.promote(LOAD, one, reason="ü: it was better")
    newest, oldest = app.models.list(LOAD)
    assert (newest.version, oldest.version) == (two, one)
    assert (oldest.state, oldest.reason, oldest.deployed_by) == ("serving", "ü: it was better", app.desk.who)
    assert (newest.state, newest.reason) == (
        "kept",
        "only 7 outcomes are newer than the champion; too few to compare (100)",
    )
    assert newest.candidate == "weekly_naive"
    assert newest.size > 1000
    assert newest.created_at > oldest.created_at


def test_a_card_is_that_of_the_training(app: App) -> None:
    trained, _ = app.train(LOAD, as_of=END - timedelta(hours=20), budget=0.0)
    train(app, 10)
    assert app.models.card(LOAD, trained.model.card.version) == trained.model.card


def test_while_a_version_is_pinned_training_promotes_none(app: App) -> None:
    one = train(app, 40)
    app.models.pin(LOAD, one)
    trained, verdict = app.train(LOAD, as_of=END - timedelta(hours=30), budget=0.0)
    assert not verdict.promote
    assert verdict.reason.startswith(f"version {one} is pinned; ")
    assert (answering(app), states(app)[one]) == (one, "pinned")
    with app.desk.transaction() as connection:
        told = connection.execute("SELECT version, promoted, reason FROM ml_experiments ORDER BY created_at").fetchall()
    assert told[1] == (trained.model.card.version, False, verdict.reason)
    assert app.models.unpin(LOAD) == one
    assert states(app)[one] == "serving"
    assert train(app, 20) == answering(app) != one


@pytest.mark.parametrize("deed", ["promote", "promote the same", "rollback", "unpin"])
def test_what_people_decide_ends_a_pin(app: App, deed: str) -> None:
    one, two = train(app, 40), train(app, 30)
    app.models.pin(LOAD, two)
    if deed == "rollback":
        app.models.rollback(LOAD)
    elif deed == "unpin":
        app.models.unpin(LOAD)
    else:
        app.models.promote(LOAD, one if deed == "promote" else two)
    assert "pinned" not in states(app).values()
    with pytest.raises(Refused, match="is pinned"):
        app.models.unpin(LOAD)
    assert train(app, 20) == answering(app)


def test_pinned_is_what_was_pinned_last(app: App) -> None:
    one, two = train(app, 40), train(app, 30)
    app.models.pin(LOAD, one)
    app.models.pin(LOAD, two)
    assert states(app) == {two: "pinned", one: "kept"}
    assert app.models.unpin(LOAD) == two


def test_a_pin_is_the_tasks_and_the_tenants_own(app: App) -> None:
    app.models.pin(LOAD, train(app, 40))
    name = f"ngo-{uuid4().hex[:8]}"
    add_tenant(name, zone=ZONE)
    other = App(replace(app.desk, tenant=name))
    other.import_("traffic.metrics", rows())
    assert train(other, 30) == answering(other)


def test_no_verb_reaches_another_tenants_models(home: Path, app: App) -> None:
    mine, newer = train(app, 40), train(app, 30)
    name = f"ngo-{uuid4().hex[:8]}"
    add_tenant(name, zone=ZONE)
    other = App(replace(app.desk, tenant=name))
    other.import_("traffic.metrics", rows())
    assert other.models.list(LOAD) == []
    for deed in (other.models.promote, other.models.pin, other.models.card):
        with pytest.raises(NotFound, match="none yet"):
            deed(LOAD, mine)
    with pytest.raises(Refused):
        other.models.rollback(LOAD)
    age(home, app)
    for hours in (50, 40, 30, 20):
        train(other, hours)
    assert states(app) == {newer: "serving", mine: "kept"}
    assert files(app) == {newer, mine}
    assert answering(app) == newer


def test_every_deed_is_on_record_with_who_did_it(app: App) -> None:
    one, two = train(app, 40), train(app, 30)
    ayse = App(replace(app.desk, who="ayse"))
    ayse.models.pin(LOAD, one)
    ayse.models.unpin(LOAD)
    ayse.models.promote(LOAD, two)
    ayse.models.rollback(LOAD)
    with pytest.raises(NotFound):
        ayse.models.promote(LOAD, "none")
    us = app.desk.who
    assert audited(app) == [
        (us, "deploy", one), (us, "deploy", two), ("ayse", "pin", one), ("ayse", "unpin", one),
        ("ayse", "promote", two), ("ayse", "rollback", one),
    ]  # fmt: skip


def test_a_damaged_version_can_not_be_let_serve(home: Path, app: App) -> None:
    one, two, three = (train(app, hours) for hours in (40, 30, 20))
    damage(home, app, one)
    for deed in (app.models.promote, app.models.pin):
        with pytest.raises((Damaged, NotFound), match=r"damaged|quarantine"):
            deed(LOAD, one)
    app.models.rollback(LOAD)
    with pytest.raises(NotFound, match="quarantine"):
        app.models.rollback(LOAD)
    assert states(app) == {three: "kept", two: "serving", one: "kept"}
    assert answering(app) == two


def test_the_next_training_takes_the_place_of_a_damaged_version(home: Path, app: App) -> None:
    one, two = train(app, 40), train(app, 30)
    damage(home, app, two)
    said = app.predict(LOAD, {"service": "donations"}, as_of="latest")
    assert said.card.version == one
    assert said.fallback
    assert two in said.fallback
    three = train(app, 20)
    said = app.predict(LOAD, {"service": "donations"}, as_of="latest")
    assert (said.card.version, said.fallback) == (three, None)


def test_the_same_training_again_mends_a_damaged_version(home: Path, app: App) -> None:
    one, two = train(app, 40), train(app, 30)
    damage(home, app, two)
    assert answering(app) == one
    assert train(app, 30) == two
    said = app.predict(LOAD, {"service": "donations"}, as_of="latest")
    assert (said.card.version, said.fallback) == (two, None)


def test_the_same_moment_trained_otherwise_mends_a_damaged_version_too(home: Path, app: App) -> None:
    train(app, 40)
    damage(home, app, train(app, 30))
    trained, _ = app.train(LOAD, as_of=END - timedelta(hours=30), budget=0.1)  # the same winner, another card
    said = app.predict(LOAD, {"service": "donations"}, as_of="latest")
    assert (said.card, said.fallback) == (trained.model.card, None)
    files(app)


def test_what_a_training_returns_is_what_is_on_record(app: App) -> None:
    for budget in (0.0, 0.1):
        trained, _ = app.train(LOAD, as_of=END - timedelta(hours=30), budget=budget)
        assert app.models.card(LOAD, trained.model.card.version) == trained.model.card
    files(app)


def test_while_a_version_is_pinned_none_is_recalibrated(app: App) -> None:
    one = train(app, 60)
    for hours in range(30, 54):
        app.predict(LOAD, {"service": "donations"}, as_of=END - timedelta(hours=hours))
    app.models.pin(LOAD, one)
    with pytest.raises(Refused, match=f"version {one} of traffic.load is pinned; type: foretell models unpin"):
        app.recalibrate(LOAD, as_of="latest")
    assert states(app) == {one: "pinned"}
    app.models.unpin(LOAD)
    two = app.recalibrate(LOAD, as_of="latest").card.version
    assert states(app) == {two: "serving", one: "kept"}


def test_files_are_forgotten_a_day_after_they_were_put_where_nobody_needs_them(home: Path, app: App) -> None:
    app.models.pin(LOAD, train(app, 60))
    for hours in (50, 40, 30):
        train(app, hours)
    age(home, app, 0.9)
    train(app, 20)  # the second is let go
    assert len(app.house.stores.blobs.sizes(app.tenant)) == 5
    age(home, app, 0.2)
    train(app, 10)
    assert len(files(app)) == 4


def test_files_that_can_not_be_forgotten_fail_no_training(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise Unavailable("the store of blobs fails; try again")

    monkeypatch.setattr(app.house.stores.blobs, "sweep", fails)
    version = train(app, 20)
    assert states(app) == {version: "serving"}


def test_trainings_at_once_all_come_through(home: Path, app: App) -> None:
    app.models.pin(LOAD, train(app, 60))
    for hours in (50, 40, 30, 20):
        train(app, hours)
    age(home, app)
    with ThreadPoolExecutor(3) as pool:
        made = [*pool.map(lambda hours: train(app, hours), (15, 10, 5))]
    assert {*made} <= {*states(app)}
    train(app, 0)
    assert len(states(app)) == 4


def test_a_pin_set_while_a_training_ends_is_not_overtaken(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    one, real = train(app, 40), registry.pinned
    with ThreadPoolExecutor(1) as pool:
        pinning: list[Future[str]] = []

        def pinned(*told: Any) -> str | None:
            found = real(*told)
            pinning.append(pool.submit(app.models.pin, LOAD, one))
            wait(pinning, 1.0)  # it is done now, or waits for the training's end
            return found

        monkeypatch.setattr(registry, "pinned", pinned)
        train(app, 30)
        assert pinning[0].result() == one
    assert states(app)[one] == "pinned"


def test_what_is_in_memory_and_was_let_go_by_another_process_is_not_found(app: App) -> None:
    one = train(app, 60)
    app.models.pin(LOAD, one)
    two = train(app, 50)
    with app.desk.transaction() as connection:  # as a promotion does that fails before its end
        shelf.load(app.desk, connection, app.desk.task(LOAD), two)
    with App.open(app.tenant) as other:
        for hours in (40, 30, 20):
            train(other, hours)
    for deed in (app.models.promote, app.models.pin):
        with pytest.raises(NotFound, match=f"no version {two}"):
            deed(LOAD, two)
    assert answering(app) == one
