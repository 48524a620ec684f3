"""Served questions whose outcome has arrived: the same join as in training."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from foretell.contract import Choice, Frame, History, Task
from foretell.engine.calibration import calibrate
from foretell.engine.model import Model, versioned
from foretell.engine.outcomes import SETTLED, counts, join, settled
from foretell.engine.scores import score


def watch(task: Task, history: History, ledger: Frame) -> dict[str, float | None]:
    """How the served forecasts in `ledger` (questions with the target's columns) turned out.

    Returns every metric over the settled questions, beside the counts of open, settled and void ones.
    """
    joined = join(task, history, ledger)
    done = joined.filter(pl.col("state") == SETTLED)
    return {**counts(joined), **score(task.target, _said(task, done), done["value"])}


def recalibrate(model: Model, history: History, ledger: Frame) -> Model:
    """The same model as a new version, its calibration learned anew from raw forecasts in `ledger`."""
    done = settled(model.task, history, ledger)
    calibration = calibrate(model.task.target, _said(model.task, done), done, history.now)
    reason = f"{model.card.version}, calibrated at {history.now} with {done.height} outcomes of what it served"
    card = versioned(model.card.model_copy(update={"reason": reason}))
    return replace(model, calibration=calibration, card=card)


def _said(task: Task, ledger: Frame) -> Frame:
    """What was forecast; a class that a version did not know had no chance with it."""
    if isinstance(task.target, Choice):
        return ledger.select(pl.col("^p:.*$").fill_null(0.0))
    return ledger.select(task.target.columns)
