"""Whether a task is trained again: by the rules that it declares, on figures that are told with the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from foretell.contract import Choice, Task
from foretell.engine.model import Card


@dataclass(frozen=True, kw_only=True)
class Decision:
    """To train or not, why in words, and the figures that it rests on (null where one could not be told).

    `worse` says so where what was served turned out worse than promised; else it is null.
    """

    train: bool
    reason: str
    worse: str | None = None
    numbers: Mapping[str, float | None]


def decide(
    task: Task, card: Card | None, *, now: datetime, outcomes: int, served: Mapping[str, float | None]
) -> Decision:
    """Whether to train again the model with this card, `None` where there is none yet.

    `outcomes` are those known now; `served` is how what it served turned out (`monitor.watch`), empty where nobody can
    tell yet. What it served counts from the gate's fewest outcomes on.
    """
    if card is None:
        return Decision(train=True, reason="nothing was trained before", numbers={"outcomes": outcomes})
    rule, known = task.retrain, card.outcomes.get("settled", 0)
    age = (now - card.trained_at).total_seconds() / 86_400
    metric = "accuracy" if isinstance(task.target, Choice) else task.gate.metric
    tested, found = card.scores.get(card.candidate, {}).get(metric), served.get(metric)
    if (served.get("settled") or 0) < task.gate.least:
        found = None
    why, worse = [], None
    if age >= rule.age.total_seconds() / 86_400:
        why.append(f"it is {age:.0f} days old ({rule.age.days} are allowed)")
    if outcomes - known >= min(rule.count, max(1, round(rule.share * known))):
        why.append(f"{outcomes - known} outcomes are new, it learned from {known}")
    if tested is not None and found is not None:
        fell = tested - found if metric == "accuracy" else found - tested
        if fell > (rule.accuracy if metric == "accuracy" else rule.worse * tested):
            why.append(worse := f"{metric} of what it served is {found:.4g}, {tested:.4g} in its backtest")
    numbers = {
        "age_days": round(age, 2), "outcomes": outcomes, "learned_from": known,
        f"{metric}_served": found, f"{metric}_backtest": tested,
    }  # fmt: skip
    return Decision(train=bool(why), reason="; ".join(why) or "no rule asks for it", worse=worse, numbers=numbers)
