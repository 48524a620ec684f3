"""A race, and what comes of it: the winner fitted on everything known, calibrated, with its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from foretell.contract import Frame, History, Study, Table, Task
from foretell.engine import apart
from foretell.engine.backtest import Backtest, Progress, backtest, past_questions
from foretell.engine.calibration import calibrate
from foretell.engine.model import Card, Model, Span, held, versioned
from foretell.engine.outcomes import counts, join, settled
from foretell.engine.trust import learn
from foretell.errors import NotReady


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model ready to be promoted, and the backtest it won."""

    model: Model
    backtest: Backtest


def train(
    task: Task,
    history: History,
    *,
    facts: Mapping[str, Span] | None = None,
    budget: float | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Race the task's candidates over its rolling origins; fit the winner on every settled outcome.

    The winner has the least of the gate's metric, provided it beats the baseline by the gate's skill on enough
    outcomes; otherwise the baseline serves and the card says why. Raises NotReady with too little history. `facts`
    are what there was of each table, for the card.
    """
    known = settled(task, history, past_questions(task, history))["entity"].n_unique()
    if known < task.fewest:
        raise NotReady(
            f"{task.name} needs {task.fewest} with a known outcome to learn from, and has {known}; bring more"
        )
    tested = backtest(task, history, budget=budget, progress=progress)
    winner, reason = choose(task, tested)
    model = fit(task, history, winner, tested, reason, facts)
    return Trained(model=model, backtest=tested)


def choose(task: Task, tested: Backtest) -> tuple[str, str]:
    """The candidate that should serve, and the reason in words with its figures."""
    metric, gate = task.gate.metric, task.gate
    errors = {name: scores[metric] for name, scores in tested.scores().items()}
    base, scored = errors[task.baseline], tested.asked.height
    if base is None:
        return task.baseline, f"{metric} could not be measured on {scored} outcomes"
    measured = {name: error for name, error in errors.items() if error is not None}
    if (each := apart.name_of(task)) in measured:  # it has all of them to choose from, for each scope
        measured = {name: measured[name] for name in (task.baseline, each) if name}
    name = min(measured, key=lambda name: measured[name])  # the baseline is first: it wins a tie
    best = measured[name]
    if name == task.baseline:
        return task.baseline, f"no candidate has a lower {metric} than the baseline's {_figure(base)}"
    skill = 1 - best / base if base else 0.0
    if scored < gate.least:
        return (
            task.baseline,
            f"{scored} settled outcomes are too few to trust {name}; at least {gate.least} are needed",
        )
    if skill < gate.skill:
        return (
            task.baseline,
            f"{name} is only {skill:.1%} better than the baseline; {gate.skill:.0%} are asked for",
        )
    return (
        name,
        f"lowest {metric} of {len(errors)}: {_figure(best)}, {skill:.0%} below the baseline's {_figure(base)}",
    )


def fit(
    task: Task,
    history: History,
    candidate: str,
    tested: Backtest,
    reason: str,
    facts: Mapping[str, Span] | None = None,
) -> Model:
    """Fit one candidate on every outcome settled by now; calibrate it, and learn how sure it is, with its backtest."""
    joined = join(task, history, past_questions(task, history))
    learned = joined.filter(pl.col("state") == "settled")
    if learned.is_empty():
        raise NotReady(f"{task.name}: no settled outcome to learn from; bring more history")
    questions = learned.drop("value", "known_at", "state")
    study = task.study(history, questions)
    forecaster = apart.made(task, candidate)
    if isinstance(forecaster, apart.Apart):
        racing = {name: rows for name, rows in tested.forecasts.items() if name != candidate}
        who = apart.best(task, tested.asked, racing)
        meant = {name: calibrate(task.target, tested.raw[name], tested.asked, history.now) for name in {*who.values()}}
        forecaster = apart.Apart(task, who, meant)
    if forecaster.needs_training:
        forecaster = forecaster.fit(study, learned.select("value", "known_at"))
    raw = None if isinstance(forecaster, apart.Apart) else tested.raw.get(candidate)  # each in it has its own
    calibration = None if raw is None else calibrate(task.target, raw, tested.asked, history.now)
    said = tested.forecasts.get(candidate)
    chance, worth = (None, None) if said is None else learn(task, history, tested.asked.hstack(said.get_columns()))
    card = _card(task, history, candidate, tested, joined, study, reason, facts)
    return Model(
        task=task,
        forecaster=forecaster,
        calibration=calibration,
        card=versioned(card.model_copy(update={"trust": worth})),
        chance=chance,
        held={} if said is None else held(task.target, said, tested.asked),
        worth={}
        if said is None or not task.scope
        else apart.worth(task, tested.asked, said, tested.forecasts[task.baseline]),
    )


def spans(tables: Sequence[Table], task: Task, history: History) -> dict[str, Span]:
    """What there is of each table that a task reads, by the times of its facts."""
    out = {}
    for table in tables:
        if all(read.table != table.name for read in task.reads):
            continue
        when = history[table.name][table.time]
        days = when.dt.convert_time_zone(history.standpoint.zone).dt.date().n_unique()
        out[table.name] = Span.model_validate(
            {"rows": len(when), "first": when.min(), "last": when.max(), "days": days}
        )
    return out


def _card(
    task: Task,
    history: History,
    candidate: str,
    tested: Backtest,
    joined: Frame,
    study: Study,
    reason: str,
    facts: Mapping[str, Span] | None,
) -> Card:
    outcomes = counts(joined)
    first, last = study.questions["as_of"].min(), study.questions["as_of"].max()
    return Card.model_validate(
        {
            "task": task.name,
            "candidate": candidate,
            "baseline": task.baseline,
            "version": "",
            "trained_at": history.now,
            "facts": facts or {},
            "learned_from": (first, last),
            "outcomes": outcomes,
            "folds": tested.folds,
            "scored": tested.asked.height,
            "scores": tested.scores(),
            "skipped": dict(tested.skipped),
            "features": study.features.names,
            "reason": reason,
        }
    )


def _figure(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
