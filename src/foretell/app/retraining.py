"""Whether a tenant's model of a task is trained again, on what is known now."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from foretell.app import ledger
from foretell.engine.backtest import past_questions
from foretell.engine.monitor import watch
from foretell.engine.outcomes import counts, join
from foretell.engine.retrain import Decision, decide
from foretell.errors import NotReady

if TYPE_CHECKING:
    from foretell.app import App


def due(app: App, task: str) -> Decision:
    """The decision by the task's own rules. Raises as `App.train` does."""
    declared, champion, history = app.desk.task(task), app.champion(task), app.desk.lessons(task)
    known = counts(join(declared, history, past_questions(declared, history)))["settled"]
    turned_out: dict[str, float | None] = {}
    if champion:
        with suppress(NotReady):  # it has not served anything yet
            served, _, _ = ledger.turned_out(app.desk, task, "forecast", champion.card.version)
            turned_out = watch(declared, app.desk.reviewed(task, served), served)
    card = champion.card if champion else None
    return decide(declared, card, now=history.now, outcomes=known, served=turned_out)
