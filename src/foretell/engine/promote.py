"""Whether a newly trained model takes the champion's place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from foretell.contract import History
from foretell.engine.backtest import calibrated
from foretell.engine.model import Card, Model, checked, lost
from foretell.engine.scores import score
from foretell.engine.train import Trained

SHORTER = 0.8  # of the time that the champion learned from is too short to take its place unseen


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Promote or not, the reason in words, and the errors it rests on (null where none could be measured)."""

    promote: bool
    reason: str
    challenger: float | None = None
    champion: float | None = None


def judge(trained: Trained, champion: Model | None, history: History) -> Verdict:
    """Compare a challenger with the model in service on the same questions.

    Only questions asked after the champion was trained count (on older ones it would know the outcome), and that it has
    an answer to; one that learned from features that are gone has none. With fewer than the gate's `least` of them the
    newer model is promoted, for it knows more; unless it learned from a much shorter time. One that stands earlier than
    the champion is not promoted. Both are calibrated day by day on these questions alone; the challenger must be better
    by the gate's `margin`.
    """
    if champion is None:
        return Verdict(promote=True, reason="nothing served before")
    if plain := _plain(trained, champion):
        return plain
    task, tested = trained.model.task, trained.backtest
    name, metric = trained.model.card.candidate, task.gate.metric
    since = tested.asked["as_of"] >= champion.card.trained_at
    asked, new = tested.asked.filter(since), tested.raw[name].filter(since)
    old = new
    if asked.height >= task.gate.least:  # of fewer the champion need not be asked
        study = task.study(history, asked.drop("value", "known_at", "state", "fold"))
        old = checked(task, champion.card.candidate, study.questions, champion.forecaster.forecast(study)).rows
        known = ~old.select(pl.any_horizontal(pl.all().is_null())).to_series()
        asked, new, old = asked.filter(known), new.filter(known), old.filter(known)
    if asked.height < task.gate.least:
        words = f"only {asked.height} outcomes are newer than the champion; too few to compare ({task.gate.least})"
        mine, its = (_learned(model.card) for model in (trained.model, champion))
        if mine < SHORTER * its:
            return Verdict(
                promote=False, reason=f"{words}, and it learned from {mine.days} days, the champion from {its.days}"
            )
        return Verdict(promote=True, reason=words)
    said = calibrated(task, asked, {"new": new, "old": old})
    challenger, held = (score(task.target, rows, asked["value"]).get(metric) for rows in said.values())
    if challenger is None or held is None:
        return Verdict(promote=False, reason=f"{metric} could not be measured on {asked.height} newer outcomes")
    better = challenger <= held * (1 - task.gate.margin)
    words = f"{metric} {challenger:.4g} against the champion's {held:.4g} on {asked.height} newer outcomes"
    return Verdict(promote=better, reason=words, challenger=challenger, champion=held)


def _plain(trained: Trained, champion: Model) -> Verdict | None:
    """What needs no comparison."""
    if gone := lost(champion.card, trained.model.card.features):
        return Verdict(promote=True, reason=f"the champion learned from {', '.join(gone)}, which the task has no more")
    if champion.card.trained_at > trained.model.card.trained_at:
        then = f"{champion.card.trained_at:%Y-%m-%d %H:%M} UTC"
        return Verdict(promote=False, reason=f"the model in service was trained as of later, {then}")
    return None


def _learned(card: Card) -> timedelta:
    """How long a time a model learned from."""
    return card.learned_from[1] - card.learned_from[0] if card.learned_from else timedelta()
