"""What is read of a tenant's facts to learn, and to see what came of what was said: what the task needs, of whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import numpy as np
import polars as pl
import pytest

from foretell.app import App, ledger
from foretell.app.declared import domains
from foretell.app.house import House
from foretell.app.opening import add_tenant, stores
from foretell.app.retraining import due
from foretell.app.tenancy import Tenancy
from foretell.domains.realestate import DOMAIN, contact
from foretell.domains.realestate.sample import END, ZONE, sample
from foretell.engine.monitor import watch
from foretell.engine.train import lesson

TASK = "realestate.move"
TOLD = {"accesses", "emails", "sessions", "alerts", "searches", "contacts"}
LEARNERS = 100  # of the sample's 300


@contextmanager
def agency(learners: int | None) -> Iterator[App]:
    """A tenant with the sample's people, whose tasks learn from so many."""
    tasks = [replace(task, learners=learners if task.learners else None) for task in DOMAIN.tasks]
    installed = {**domains(), "realestate": replace(DOMAIN, tasks=tasks)}
    opened = House(stores(installed), installed)
    try:
        name = f"t{uuid4().hex[:12]}"
        add_tenant(name, zone=ZONE)
        app = App(Tenancy(house=opened, tenant=name, who="a test"))
        declared = {table.name: table for table in DOMAIN.tables}
        for table, rows in sample(1).history.tables.items():
            if rows.height:
                app.import_(f"realestate.{table}", rows.select(c for c in rows.columns if c in declared[table].kinds))
        yield app
    finally:
        opened.close()


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with agency(LEARNERS) as made:
        yield made


def test_to_learn_a_task_its_own_tables_and_columns_are_read(app: App) -> None:
    assert {*app.desk.lessons("realestate.market").tables} == {"markets"}
    assert {*app.desk.lessons("realestate.contact").tables} == {*TOLD, "people"}
    assert {*app.history("realestate").tables} == {table.name for table in DOMAIN.tables}
    given = app.desk.lessons("agile.effort")["worklogs"]  # with when it happened, which is told on the card
    assert {*given.columns} == {"issue", "person", "hours", "project", "entity", "known_at", "time"}


def test_of_many_people_an_even_part_is_learned_from_as_if_there_were_no_others(app: App) -> None:
    task, whole, part = app.desk.task(TASK), app.history(TASK), app.desk.lessons(TASK)
    people = {*part["people"]["entity"]}
    assert LEARNERS / 2 < len(people) < LEARNERS * 2
    for name in (*TOLD, "homes"):
        assert part[name].equals(whole[name].filter(pl.col("entity").is_in([*people])).select(part[name].columns))
    for name in ("properties", "markets"):
        assert part[name].equals(whole[name].select(part[name].columns))
    deals = part["transactions"]  # of everybody, for what is dealt in an area; of the others as nobody's
    assert deals.height == whole["transactions"].height
    assert {*deals["entity"]} <= {*people, ""} < {*whole["transactions"]["entity"], *people}

    asked = task.questions(part)
    assert {*asked["entity"]} == people
    assert asked.equals(task.questions(whole).filter(pl.col("entity").is_in([*people])))
    assert task.outcomes(part, asked).equals(task.outcomes(whole, asked))
    some = asked.sample(200, seed=1)
    seen, known = (task.study(history, some).features for history in (part, whole))
    assert np.array_equal(seen.values, known.values, equal_nan=True)


def test_whether_enough_is_new_is_told_by_the_part_that_is_learned_from(app: App) -> None:
    trained, _ = app.train(TASK, as_of=END, budget=5.0)
    learned = trained.lesson.study.questions["entity"].n_unique()
    assert learned <= app.desk.lessons(TASK)["people"].height < 2 * LEARNERS
    assert trained.model.card.facts["people"].rows == app.desk.lessons(TASK, END)["people"].height
    assert due(app, TASK).numbers["outcomes"] == lesson(app.desk.task(TASK), app.desk.lessons(TASK)).outcomes.height
    assert len(app.features.training_set(TASK, as_of=END)) == trained.lesson.outcomes.height


def test_what_came_of_answers_is_told_by_the_facts_of_whom_they_were_about(app: App) -> None:
    before = END.replace(year=END.year - 1)
    task, people = app.desk.task(TASK), {*app.desk.lessons(TASK)["people"]["entity"]}
    whom = app.history(TASK)["people"]["entity"].to_list()[:40]
    assert {*whom} - people  # some of whom nothing is learned
    for name in whom:
        app.predict(TASK, {"person": name}, as_of=before)
    rows, _, _ = ledger.turned_out(app.desk, TASK, "forecast")
    seen = app.desk.reviewed(TASK, rows)
    assert {*seen["sessions"]["entity"]} <= {*whom}
    assert seen["transactions"].height < app.history(TASK)["transactions"].height
    assert watch(task, seen, rows) == watch(task, app.history(TASK), rows) == app.watch(TASK)


def test_of_many_times_that_people_were_active_those_of_a_part_of_them_are_asked_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not the newest, which would be those of a day: nothing has come of them yet."""
    history = sample(1).history
    every = contact.questions(history)
    monkeypatch.setattr(contact, "MOST", every.height // 10)
    some = contact.questions(history)
    assert 0.3 < some.height / contact.MOST < 3
    assert some["as_of"].max() - some["as_of"].min() > 0.9 * (every["as_of"].max() - every["as_of"].min())  # type: ignore[operator]
    whom = {*some["entity"]}
    assert some.equals(every.filter(pl.col("entity").is_in([*whom])))
