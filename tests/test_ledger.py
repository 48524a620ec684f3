"""Every prediction is on record when it is told, and nobody waits for the disk; what came of it is joined."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.deciding import LOAD, METRICS, above, steady, tenancy

from foretell.app import App

ASKED = {"service": "api"}
ROUNDS = 40


@pytest.fixture
def app(alone: Path) -> Iterator[App]:
    with tenancy("UTC") as made:
        made.import_(METRICS, steady(days=35))
        yield made


def on_disk(home: Path) -> tuple[int, int]:
    """How far the database has written its log, and how far that is on the disk, in bytes."""
    with above(home) as connection:
        row = connection.execute(
            "SELECT pg_current_wal_insert_lsn() - '0/0', pg_current_wal_flush_lsn() - '0/0'"
        ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


@pytest.mark.row("R7")
def test_a_prediction_is_on_record_when_it_is_told_and_its_way_to_the_disk_is_not_waited_for(
    app: App, alone: Path
) -> None:
    """Somebody's feedback is: it is on the disk when it is acknowledged."""
    said = app.predict(LOAD, ASKED)
    behind = kept = 0
    for _ in range(ROUNDS):
        said = app.predict(LOAD, ASKED, cache_bypass=True)
        written, flushed = on_disk(alone)
        behind += written > flushed
        assert app.predictions.list(LOAD, limit=1)[0].served.prediction_id == said.id
        assert said.id is not None
        app.predictions.feedback(said.id, helpful=True)
        written, flushed = on_disk(alone)
        kept += written == flushed
    assert behind > ROUNDS // 2
    assert kept > ROUNDS // 2  # the rest: something else of the database's own came in between


@pytest.mark.row("R7")
def test_what_came_of_predictions_is_joined_from_facts_and_from_feedback(app: App) -> None:
    said = app.predict(LOAD, ASKED, as_of=datetime.now(UTC) - timedelta(days=1))
    assert said.id is not None
    app.predictions.feedback(said.id, outcome=101.0, note="as the dashboard had it")
    (logged,) = app.predictions.list(LOAD)
    assert [(one.outcome, one.note) for one in logged.feedback] == [(101.0, "as the dashboard had it")]
    assert app.watch(LOAD)["settled"] == said.questions.height
