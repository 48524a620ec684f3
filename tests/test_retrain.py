"""Whether to train again: by declared rules, each alone, on figures that are told; and what becomes of the decision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.deciding import LOAD, METRICS, above, steady, tenancy
from tests.test_jobs import counted, sealed

from foretell import Retrain
from foretell.app import App
from foretell.app.declared import domains
from foretell.app.jobs import run
from foretell.app.retraining import due
from foretell.contract import Task
from foretell.engine.model import Card
from foretell.engine.retrain import decide

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)


def task(name: str) -> Task:
    return next(each for domain in domains().values() for each in domain.tasks if each.name == name)


def card(declared: Task, *, days: float = 1.0, learned: float = 1000, **scores: float) -> Card:
    """Of a model that is so many days old and learned from so many outcomes."""
    return Card.model_validate(
        {
            "task": declared.name, "candidate": "mine", "baseline": declared.baseline, "version": "1",
            "trained_at": NOW - timedelta(days=days), "facts": {}, "learned_from": None,
            "outcomes": {"settled": int(learned), "open": 0, "void": 0}, "folds": (), "scored": 100,
            "scores": {"mine": scores}, "skipped": {}, "features": (), "reason": "",
        }
    )  # fmt: skip


@pytest.mark.row("A11")
@pytest.mark.parametrize(
    ("days", "more", "served", "why"),
    [
        (29.9, 0, {}, ""),
        (30.0, 0, {}, "it is 30 days old"),
        (1, 49, {}, ""),
        (1, 50, {}, "50 outcomes are new, it learned from 1000"),
        (1, 0, {"settled": 100, "mae": 2.09}, ""),
        (1, 0, {"settled": 100, "mae": 2.11}, "mae of what it served is 2.11, 2 in its backtest"),
        (1, 0, {"settled": 49, "mae": 9.0}, ""),  # too few to tell
        (1, 0, {"settled": 100, "mae": None}, ""),
    ],
)
def test_effort_is_trained_again_by_each_of_the_documents_rules(
    days: float, more: int, served: dict[str, float | None], why: str
) -> None:
    effort = task("agile.effort")
    said = decide(effort, card(effort, days=days, mae=2.0), now=NOW, outcomes=1000 + more, served=served)
    assert said.train is bool(why)
    assert why in said.reason
    assert said.numbers["age_days"] == pytest.approx(days, abs=0.01)
    assert (said.numbers["outcomes"], said.numbers["learned_from"]) == (1000 + more, 1000)


@pytest.mark.row("A11")
def test_a_fifth_more_is_enough_where_that_is_fewer_than_fifty() -> None:
    effort = task("agile.effort")
    for more, train in ((19, False), (20, True)):
        said = decide(effort, card(effort, learned=100, mae=2.0), now=NOW, outcomes=100 + more, served={})
        assert said.train is train


@pytest.mark.row("A11")
def test_of_a_choice_the_share_of_right_answers_counts() -> None:
    points = task("agile.points")
    for accuracy, train in ((0.56, False), (0.54, True)):
        served = {"settled": 100.0, "accuracy": accuracy, "log_loss": 9.0}
        known = card(points, accuracy=0.6, log_loss=1.0)
        said = decide(points, known, now=NOW, outcomes=1000, served=served)
        assert (said.train, said.numbers["accuracy_served"]) == (train, accuracy)


@pytest.mark.row("T13", "E13")
@pytest.mark.parametrize("name", [LOAD, "inventory.demand", "energy.solar", "energy.wind"])
def test_what_was_trained_at_the_last_weekly_look_is_trained_again(name: str) -> None:
    """It took an hour then, so that it is not quite seven days old."""
    weekly = task(name)
    known = card(weekly, days=7 - 1 / 24, **{weekly.gate.metric: 1.0})
    assert decide(weekly, known, now=NOW, outcomes=1000, served={}).train
    assert not decide(weekly, card(weekly, days=1), now=NOW, outcomes=1000, served={}).train


def test_what_was_never_trained_is_trained_and_other_rules_can_be_declared() -> None:
    load = task(LOAD)
    assert decide(load, None, now=NOW, outcomes=3, served={}).reason == "nothing was trained before"
    never = Retrain(age=timedelta(days=9999), share=9.0, count=10_000)
    lazy = replace(load, retrain=never)
    assert not decide(lazy, card(load, days=400, pinball=1.0), now=NOW, outcomes=5000, served={}).train


# ---------------------------------------------------------------- on what a tenant has


def waves(days: int) -> pl.DataFrame:
    """Hours until now whose load has a day."""
    hour = pl.col("time").dt.hour()
    return steady(days=days).with_columns(value=100.0 + 20.0 * (hour - 12).abs() + hour % 3)


@pytest.fixture
def app(alone: Path) -> Iterator[App]:
    with tenancy() as made:
        made.import_(METRICS, waves(30))
        yield made


def done(app: App) -> dict[str, Any]:
    put = app.jobs.start("retrain", {"task": LOAD})
    run(app.house, *sealed(app, put.job_id))
    told = app.jobs.get(put.job_id)
    assert told.state == "done", told
    return dict(told.result or {})


def audited(app: App) -> list[dict[str, Any]]:
    with app.desk.inside() as connection:
        rows = connection.execute("SELECT details FROM audit WHERE action = 'retrain?' ORDER BY audit_id").fetchall()
    return [row[0] for row in rows]


@pytest.mark.row("A11", "E13")
def test_every_decision_is_on_record_with_its_numbers_also_not_to(app: App, alone: Path) -> None:
    first = done(app)
    assert first["decision"]["reason"] == "nothing was trained before"
    assert first["trained"]["promoted"] is True
    second = done(app)
    assert second == {"decision": second["decision"]}
    assert second["decision"]["train"] is False
    assert second["decision"]["numbers"]["learned_from"] == second["decision"]["numbers"]["outcomes"] > 0
    assert audited(app) == [first["decision"], second["decision"]]
    assert counted(app, "ml_experiments") == 1


def test_what_is_missing_is_told_and_is_no_failure(alone: Path) -> None:
    with tenancy() as app:
        app.import_(METRICS, waves(1))
        told = done(app)
        assert (told["decision"]["train"], told["trained"]) == (True, None)
        assert "bring more history" in told["missing"]


@pytest.mark.row("R10")
def test_what_was_served_is_looked_at(app: App, alone: Path) -> None:
    """Forecasts made ten days ago of a load that has since doubled: their error is worse than the backtest's."""
    app.train(LOAD, as_of=datetime.now(UTC) - timedelta(days=12), budget=0.0)
    for hours in range(0, 72, 2):
        app.predict(LOAD, {"service": "api"}, as_of=datetime.now(UTC) - timedelta(days=10, hours=-hours))
    assert "of what it served" not in due(app, LOAD).reason
    with app.desk.inside() as connection:
        (version,) = {each.version for each in app.models.list(LOAD)}
        assert connection.execute("SELECT count(*) FROM ml_predictions WHERE version = %s", [version]).fetchone() == (
            36,
        )
    doubled = waves(30).with_columns(value=2 * pl.col("value"))
    app.import_(METRICS, doubled.filter(pl.col("time") > datetime.now(UTC) - timedelta(days=11)))
    said = due(app, LOAD)
    assert said.train
    assert "pinball of what it served" in said.reason
    with above(alone) as connection:
        assert connection.execute("SELECT count(*) FROM jobs WHERE tenant_id = %s", [app.tenant]).fetchone() == (0,)
    told = done(app)
    (notice,) = app.notices.list()
    assert (notice.about, notice.severity, notice.findings[0]["kind"]) == (LOAD, "high", "worse")
    assert notice.findings[0]["words"].startswith("pinball of what it served is")
    assert told["trained"]["version"] in notice.findings[0]["words"]
