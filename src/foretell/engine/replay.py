"""Replay before you trust: a task's decisions over its own past, with the knowledge of then.

The candidate is fitted at the start of the period on what was known before it, and again in its middle; what it said in
between goes to the domain's simulation beside the baseline's. Which policy to take is chosen on the earlier half, and
judged on the later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl

from foretell.contract import OURS, Frame, History, Past, Played, Policy, Replay, Replayed, Request, Task
from foretell.engine.backtest import Fold, Progress, folded, race
from foretell.errors import InvalidRequest, NotFound, NotReady

LONGEST = timedelta(days=365)  # of a period that nobody chose
SHORTEST = timedelta(days=2)
LEARNED = timedelta(days=365)  # before each half, that it learns from: a year tells the seasons, and the wait is short
STEP = timedelta(hours=1)  # the edges of a period are whole ones


def replay(
    task: Task,
    history: History,
    candidate: str,
    *,
    request: Request = None,
    start: datetime | None = None,
    end: datetime | None = None,
    progress: Progress | None = None,
) -> Replayed:
    """What every policy would have cost and risked from `start` to `end`, with the candidate's forecasts of then.

    Without a start it is the later half of what can be asked, a year at most. Candidate and baseline learn from the
    subject's own facts, of the year before each half. Raises NotFound for a task without replay, an unknown candidate
    or subject, InvalidRequest for a period outside the history, NotReady where there is too little to learn from.
    """
    if task.replay is None:
        raise NotFound(f"{task.name} has no decisions to replay")
    if candidate not in task.candidates:
        raise NotFound(f"{task.name} has no method {candidate!r}; there are {', '.join(task.candidates)}")
    request = task.replay.request() if request is None else request
    subject = task.replay.subject(request, history)
    near = pl.col("at") < pl.col("as_of") + task.replay.horizon
    asked = task.replay.questions(request, history) if task.replay.questions else task.questions(history)
    questions = asked.filter(near, pl.col("entity") == subject).sort("as_of", "at")
    edges = _edges(task, subject, history, questions, start, end)
    folds = _folds(task, history, questions, edges)
    chosen = {name: make for name, make in task.candidates.items() if name in (candidate, task.baseline)}
    _affordable(task, candidate, folds)
    said = race(task, chosen, folds, progress)
    asked = pl.concat([fold.ask.questions.select("entity", "as_of", "at") for fold in folds])
    rows = {name: asked.hstack(pl.concat(halves)) for name, halves in said.items()}
    for name, told in rows.items():
        if told.drop_nulls().is_empty():
            raise NotReady(f"{name} has too little history of {subject} to answer; start later, or bring more")
    past = Past(
        history=history, subject=subject, ours=rows[candidate], baseline=rows[task.baseline],
        start=edges[0], middle=edges[1], end=edges[2],
    )  # fmt: skip
    return _told(task, task.replay, candidate, past, task.replay.play(request, past))


def choose(played: Played, cost: str, risk: str) -> Policy:
    """Of our policies the one that risked least in the earlier half, for no more than the one it stands against cost.

    Where none cost so little, the cheapest.
    """
    ours = [policy for policy in played.policies if policy.family == OURS]
    figures = {policy.name: policy.figures["earlier"] for policy in played.policies}
    paid = [policy for policy in ours if figures[policy.name][cost] <= figures[played.against][cost]]
    first, then = (risk, cost) if paid else (cost, risk)
    return min(paid or ours, key=lambda policy: (figures[policy.name][first], figures[policy.name][then]))


def _told(task: Task, plan: Replay, candidate: str, past: Past, played: Played) -> Replayed:
    replayed = Replayed(
        **dict(played), task=task.name, subject=past.subject, candidate=candidate, baseline=task.baseline,
        start=past.start, middle=past.middle, end=past.end, units=plan.units, cost=plan.cost, risk=plan.risk,
        chosen=choose(played, plan.cost, plan.risk).name, line="",
    )  # fmt: skip
    return replayed.model_copy(update={"line": _line(replayed)})


def _line(replayed: Replayed) -> str:
    """What the chosen policy comes to in the later half, beside the nearest in cost of every other family."""
    later = {policy.name: policy.figures["later"] for policy in replayed.policies}
    cost, risk, spent = replayed.cost, replayed.risk, later[replayed.chosen][replayed.cost]
    others: dict[str, list[str]] = {}
    for policy in replayed.policies:
        if policy.family != OURS:
            others.setdefault(policy.family, []).append(policy.name)
    near = (min(names, key=lambda name: abs(later[name][cost] - spent)) for names in others.values())

    def told(name: str) -> str:
        return f"{name}: {cost} {later[name][cost]:,.0f} and {later[name][risk]:,.0f} {replayed.units[risk]}"

    return (
        f"{replayed.middle:%d %b %Y} to {replayed.end:%d %b %Y}, chosen before: {told(replayed.chosen)}; nearest in "
        f"cost: {'; '.join(map(told, near))}"
    )


def _edges(
    task: Task, subject: str, history: History, questions: Frame, start: datetime | None, end: datetime | None
) -> list[datetime]:
    """Start, middle and end of the period."""
    first, last = questions["as_of"].min(), questions["as_of"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        raise NotReady(f"{task.name}: {subject} has too little history to ask anything of; bring more")
    last = min(last + STEP, history.now)
    if end is not None and not first < end <= history.now:
        raise InvalidRequest(f"the replay ends at {end:%Y-%m-%d %H:%M} UTC; {_there(subject, first, last)}")
    end = _whole(min(end or last, last))
    if start is None:
        start = max(end - LONGEST, first + (end - first) / 2)
    elif not first < start < end:
        raise InvalidRequest(f"the replay starts at {start:%Y-%m-%d %H:%M} UTC; {_there(subject, first, end)}")
    start = _whole(start)
    if end - start < SHORTEST:
        words = f"{SHORTEST.days} days at least are replayed, and as many before them learned from"
        raise NotReady(f"{task.name}: {words}; {_there(subject, first, end)}")
    return [start, _whole(start + (end - start) / 2), end]


def _there(subject: str, first: datetime, last: datetime) -> str:
    return f"{subject} can be asked about from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _whole(moment: datetime) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() // STEP.total_seconds() * STEP.total_seconds(), UTC)


def _folds(task: Task, history: History, questions: Frame, edges: Sequence[datetime]) -> list[Fold]:
    """The two halves, each with what is learned before it. Raises NotReady unless both have enough."""
    folds = []
    for pair in pairwise(edges):
        recent = questions.filter(pl.col("as_of") >= pair[0] - LEARNED)
        folds += folded(task, history, recent, pair, None)
    least = min((fold.outcomes.height for fold in folds), default=0) if len(folds) == len(edges) - 1 else 0
    if least < task.gate.least:
        raise NotReady(
            f"{task.name}: {least} settled outcomes before {edges[0]:%Y-%m-%d} are too few to learn from; at least "
            f"{task.gate.least} are needed: start later, or bring more history"
        )
    return folds


def _affordable(task: Task, candidate: str, folds: list[Fold]) -> None:
    """Raise InvalidRequest for a candidate that would take longer than the task's budget, by its own estimate."""
    cost = task.candidates[candidate]().cost
    seconds = sum(cost.seconds(fold.outcomes.height, fold.ask.questions.height) for fold in folds)
    if seconds > task.budget:
        raise InvalidRequest(
            f"{candidate} would take about {seconds:.0f} s, and {task.budget:.0f} s is the most; replay fewer days"
        )
