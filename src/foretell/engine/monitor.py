"""Served questions whose outcome has arrived: the same join as in training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from foretell.contract import Frame, History, Task
from foretell.engine.model import Model, calibrate
from foretell.engine.outcomes import counts, join, settled
from foretell.engine.scores import score


def watch(task: Task, history: History, ledger: Frame) -> dict[str, float | None]:
    """How the served forecasts in `ledger` (questions with the target's columns) turned out.

    Returns every metric over the settled questions, beside the counts of open, settled and void ones.
    """
    joined = join(task, history, ledger)
    done = joined.filter(pl.col("state") == "settled")
    rows = done.select(c for c in done.columns if c in task.target.columns or c.startswith("p:"))
    return {**counts(joined), **score(task.target, rows, done["value"], baseline=rows)}


def recalibrate(model: Model, history: History, ledger: Frame) -> Model:
    """The same model, its calibration learned anew from raw forecasts in `ledger` and what happened since."""
    done = settled(model.task, history, ledger)
    rows = done.select(c for c in done.columns if c in model.task.target.columns or c.startswith("p:"))
    age = (pl.Series([history.now]) - done["known_at"]).dt.total_seconds().to_numpy() / 86400
    calibration = calibrate(model.task.target, rows, done["value"], np.asarray(age, dtype=float))
    return replace(model, calibration=calibration)
