"""Imports that should not have been: taken back, everything is as if they never had been, and the right ones go in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from tests.deciding import LOAD, METRICS, steady, tenancy
from tests.web.test_kept import milk, sold, today

from foretell.app import App
from foretell.app.imports import Undone
from foretell.app.intake import ROWS, Imported, intake
from foretell.errors import InvalidRequest, NotFound, Refused
from foretell.stores import imports, records

ATHENS = "Europe/Athens"
HOUR = timedelta(hours=1)
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
REQUEST = {"service": "api", "workload": {"current_replicas": 10, "capacity_per_pod": 10}}


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    with tenancy(ATHENS) as made:
        yield made


@pytest.fixture
def other(home: Path) -> Iterator[App]:
    """Another tenant, on the same clocks."""
    with tenancy(ATHENS) as made:
        yield made


def written(days: int = 30, value: float = 100.0) -> pl.DataFrame:
    """Hours of a service as its clocks in Athens showed them, without an offset."""
    rows = steady(days=days, value=value).drop("known_at")
    rows = rows.with_columns(pl.col("value") + pl.int_range(pl.len()) % 24)
    local = pl.col("time").dt.convert_time_zone(ATHENS).dt.replace_time_zone(None)
    return rows.with_columns(local.dt.strftime("%Y-%m-%d %H:%M")).filter(pl.struct("time").is_unique())


def take(app: App, rows: pl.DataFrame, zone: str | None = None) -> Imported:
    return app.import_(METRICS, rows, zone=zone, interval=HOUR)


def back(app: App, done: Imported) -> Undone:
    """Take an import back."""
    assert done.import_id
    return app.imports.undo(done.import_id)


def asked(app: App, as_of: datetime) -> Any:
    return app.predict(LOAD, REQUEST, as_of=as_of)


def test_after_a_wrong_zone_is_taken_back_the_right_one_answers_as_if_it_had_never_been(app: App, other: App) -> None:
    wrong, right = take(app, written(), zone="UTC"), take(other, written())
    assert not app.facts(METRICS).equals(other.facts(METRICS))
    assert asked(app, datetime.now(UTC)).id
    done = back(app, wrong)
    assert (done.removed, done.restored, done.stayed) == (wrong.accepted, 0, 0)
    assert app.facts(METRICS).is_empty()
    assert take(app, written()).accepted == right.accepted
    assert app.facts(METRICS).equals(other.facts(METRICS))
    as_of = datetime.now(UTC)
    mine, theirs = asked(app, as_of), asked(other, as_of)
    assert mine.answer.model_dump() == theirs.answer.model_dump()
    assert mine.forecast.rows.equals(theirs.forecast.rows)
    assert (mine.known_at, mine.method) == (theirs.known_at, theirs.method)


def test_a_model_that_is_trained_afterwards_has_not_seen_it(app: App, other: App) -> None:
    rows = written(days=40)
    take(other, rows)
    take(app, rows)
    wrong = app.import_(METRICS, steady(days=40, value=9000.0))  # the same hours, in another unit, known at their end
    assert app.facts(METRICS)["value"].max() == 9000.0
    back(app, wrong)
    as_of = datetime.now(UTC)
    mine, _ = app.train(LOAD, as_of=as_of, budget=0.0)
    theirs, _ = other.train(LOAD, as_of=as_of, budget=0.0)
    assert mine.model.card.scores == theirs.model.card.scores
    assert asked(app, as_of).forecast.rows.equals(asked(other, as_of).forecast.rows)


def test_what_it_revised_is_as_before_and_what_was_on_record_can_still_be_asked(app: App) -> None:
    first = steady(days=2, value=10.0)
    app.import_(METRICS, first)
    before = app.facts(METRICS)
    wrong = app.import_(METRICS, steady("api", "web", days=2, value=20.0))
    between, seen = datetime.now(UTC), app.facts(METRICS)
    done = app.imports.undo(str(wrong.import_id))
    assert (done.removed, done.restored, done.stayed) == (48, 48, 0)
    assert app.facts(METRICS).equals(before)
    assert app.facts(METRICS, recorded=between).equals(seen)
    assert app.facts(METRICS, as_of=between).equals(before)


def test_later_corrections_stay(app: App) -> None:
    app.import_(METRICS, steady(days=2, value=10.0))
    wrong = app.import_(METRICS, steady(days=2, value=20.0))
    app.import_(METRICS, steady(days=1, value=30.0))
    done = back(app, wrong)
    assert (done.removed, done.restored, done.stayed) == (0, 24, 24)
    assert app.facts(METRICS)["value"].to_list() == [10.0] * 24 + [30.0] * 24


def test_another_tenants_rows_are_untouched(app: App, other: App) -> None:
    wrong = app.import_(METRICS, steady(days=2))
    other.import_(METRICS, steady(days=2))
    kept = other.facts(METRICS)
    with pytest.raises(NotFound, match="there is no import"):
        back(other, wrong)
    back(app, wrong)
    assert other.facts(METRICS).equals(kept)
    assert [one.undone_at for one in other.imports.list()] == [None]


def test_a_file_of_several_batches_is_one_import_and_can_come_again(app: App, tmp_path: Path) -> None:
    file, many = tmp_path / "wrong.csv", ROWS + 20_000
    times = pl.Series("time", [SINCE + timedelta(minutes=k) for k in range(many)]).dt.strftime("%Y-%m-%d %H:%M")
    pl.DataFrame([times, pl.Series("value", range(many))]).with_columns(service=pl.lit("api")).write_csv(file)
    plan = app.plan(METRICS, file)
    done = app.import_file(METRICS, file, plan, zone="UTC")
    (one,) = app.imports.list(METRICS)
    assert (one.import_id, one.source, one.zone, one.who) == (done.import_id, "wrong.csv", "UTC", app.desk.who)
    assert one.accepted == done.accepted == many
    assert back(app, done).removed == many
    again = app.import_file(METRICS, file, plan, zone="UTC")
    assert (again.accepted, again.unchanged) == (many, 0)
    assert [each.undone_at is None for each in app.imports.list(METRICS)] == [True, False]


def test_a_dry_run_and_a_format_and_rows_tried_again(app: App, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    written(days=2).write_csv(file)
    dry = app.import_file(METRICS, file, app.plan(METRICS, file, interval=HOUR), dry=True)
    assert (dry.import_id, app.imports.list()) == (None, [])
    app.import_(METRICS, [{"time": "2024-06-01T00:00:00", "value": 1.0}], zone="UTC")
    app.import_(METRICS, [{"time": "2024-03-31T03:30:00", "value": 1.0}])  # which does not exist in Athens
    tried = app.quarantine.retry(METRICS, zone="UTC")
    assert (tried.accepted, [one.source for one in app.imports.list()]) == (1, ["rows"] * 3)
    assert back(app, tried).removed == 1


def test_one_that_is_not_there_is_answered_with_those_that_are(app: App) -> None:
    with pytest.raises(NotFound, match="nothing was imported yet"):
        app.imports.undo(uuid4())
    done = app.import_(METRICS, steady(days=1), source="a file")
    for wrong in (uuid4(), "", "no number", str(done.import_id)[:-1]):
        with pytest.raises(NotFound, match=rf"the last are {done.import_id} \({METRICS}, a file, "):
            app.imports.undo(wrong)
    with pytest.raises(NotFound, match=METRICS):
        app.imports.list("traffic.nothing")
    with pytest.raises(InvalidRequest, match="limit"):
        app.imports.list(limit=0)


def test_it_is_audited_and_a_second_time_says_so(app: App) -> None:
    done = app.import_(METRICS, steady(days=1), source="a file")
    back(app, done)
    with pytest.raises(Refused, match=f"{done.import_id} into {METRICS} was taken back already"):
        back(app, done)
    with app.desk.transaction() as connection:
        ((_, table, told),) = records.audited(connection, app.tenant, "undo import", SINCE)
        ((_, _, came),) = records.audited(connection, app.tenant, "import", SINCE)
    assert (table, told["import_id"], told["removed"], told["source"]) == (METRICS, str(done.import_id), 24, "a file")
    assert came["import_id"] == str(done.import_id)


def test_the_ledger_keeps_what_was_said(app: App) -> None:
    done = app.import_(METRICS, steady(days=30))
    said = app.predict(LOAD, REQUEST)
    back(app, done)
    assert [each.served.prediction_id for each in app.predictions.list(LOAD)] == [said.id]


def test_an_answer_that_is_given_again_is_thought_out_anew(home: Path) -> None:
    with App.open(f"shop-{uuid4().hex[:8]}", zone="UTC") as shop:
        shop.import_("inventory.movements", pl.concat([sold("milk"), sold("tea")]))
        wrong = shop.import_("inventory.movements", today("milk", 900.0))
        first, tea = milk(shop), shop.predict("inventory.demand", {"product": "tea"})
        assert milk(shop).id == first.id
        back(shop, wrong)
        second = milk(shop)
        assert second.id != first.id
        assert second.answer != first.answer
        assert shop.predict("inventory.demand", {"product": "tea"}).id == tea.id


def test_an_import_that_is_taken_back_while_it_runs_ends(app: App) -> None:
    running = intake(app.desk, METRICS, "rows")
    running.store(running.check(steady(days=1)))
    app.imports.undo(running.import_id)
    with pytest.raises(Refused, match="while it was running"):
        running.store(running.check(steady("web", days=1)))
    assert app.facts(METRICS).is_empty()


def test_old_ones_are_forgotten_and_those_that_were_taken_back_stay(app: App) -> None:
    gone = take(app, written(2))
    back(app, gone)
    take(app, written(3))
    with app.desk.transaction() as connection:
        assert imports.clean(connection, app.tenant, timedelta(days=90)) == 0
        assert imports.clean(connection, app.tenant, timedelta()) == 1
    assert [one.import_id for one in app.imports.list()] == [gone.import_id]
