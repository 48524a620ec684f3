"""Whether a newly trained model takes the champion's place."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from foretell.contract import History
from foretell.engine.model import Model
from foretell.engine.scores import score
from foretell.engine.train import Trained


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Promote or not, the reason in words, and the errors it rests on (null where none could be measured)."""

    promote: bool
    reason: str
    challenger: float | None = None
    champion: float | None = None


def judge(trained: Trained, champion: Model | None, history: History) -> Verdict:
    """Compare a challenger with the model in service on the same questions.

    Only questions asked after the champion was trained count: on older ones it would know the outcome. With fewer
    than the gate's `least` of them the newer model is promoted, for it knows more. The challenger must be better
    by the gate's `margin`.
    """
    if champion is None:
        return Verdict(promote=True, reason="nothing served before")
    task, tested = trained.model.task, trained.backtest
    since = tested.asked["as_of"] >= champion.card.trained_at
    if since.sum() < task.gate.least:
        return Verdict(
            promote=True,
            reason=f"only {since.sum()} outcomes are newer than the champion; too few to compare ({task.gate.least})",
        )
    asked = tested.asked.filter(since)
    said = champion.forecast(task.study(history, asked.select(pl.exclude("value", "known_at", "state", "fold"))))
    name = trained.model.card.candidate
    new, old = (
        score(task.target, rows, asked["value"], baseline=tested.forecasts[task.baseline].filter(since))
        for rows in (tested.forecasts[name].filter(since), said.rows)
    )
    challenger, held = new[task.gate.metric], old[task.gate.metric]
    if challenger is None or held is None:
        return Verdict(
            promote=False, reason=f"{task.gate.metric} could not be measured on {asked.height} newer outcomes"
        )
    better = challenger <= held * (1 - task.gate.margin)
    words = f"{task.gate.metric} {challenger:.4g} against the champion's {held:.4g} on {asked.height} newer outcomes"
    return Verdict(promote=better, reason=words, challenger=challenger, champion=held)
