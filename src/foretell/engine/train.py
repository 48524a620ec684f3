"""A race, and what comes of it: the winner fitted on everything known, calibrated, with its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from foretell.contract import Chance, Frame, History, Study, Table, Task
from foretell.engine import apart
from foretell.engine.backtest import Backtest, Progress, backtest, epochs, past_questions
from foretell.engine.calibration import calibrate
from foretell.engine.model import Card, Model, Span, held, versioned
from foretell.engine.outcomes import OPEN, VOID, counts, join, settled
from foretell.engine.scores import gap, score
from foretell.engine.trust import learn
from foretell.errors import NotReady

SURE = 4.0  # standard errors by which who answers meanwhile must be beaten: of many candidates one is always lucky


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a model learns from: every settled question, and its outcome (`value`, `known_at`).

    `counts` are how many outcomes there were, the open and void ones too.
    """

    study: Study
    outcomes: Frame
    counts: Mapping[str, int]

    def frame(self) -> Frame:
        """The same as one frame: the question's columns, its features as `feature:<name>`, its outcome."""
        features = self.study.features
        named = pl.DataFrame({f"feature:{name}": features[name] for name in features.names})
        return pl.concat([self.study.questions, named, self.outcomes], how="horizontal")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model ready to be promoted, the backtest it won, and what it learned from."""

    model: Model
    backtest: Backtest
    lesson: Lesson


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
    outcomes; otherwise who answers `meanwhile` serves, or the baseline where that is better, and the card says why. Who
    answers `meanwhile` does so until another is surely better. Raises NotReady with too little history. `facts` are
    what there was of each table, for the card.
    """
    if task.fewest > 1:
        known = settled(task, history, past_questions(task, history))["entity"].n_unique()
        if known < task.fewest:
            raise NotReady(f"{task.name} needs {task.fewest} outcomes to learn from, and knows {known}; bring more")
    tested = backtest(task, history, budget=budget, progress=progress)
    winner, reason = choose(task, tested)
    taught = lesson(task, history)
    model = fit(task, history, winner, tested, reason, facts, taught, progress)
    return Trained(model=model, backtest=tested, lesson=taught)


def lesson(task: Task, history: History) -> Lesson:
    """Every question whose outcome is settled by now. Raises NotReady where there is none."""
    joined = join(task, history, past_questions(task, history))
    learned = joined.filter(pl.col("state") == "settled")
    if learned.is_empty():
        told = counts(joined)
        raise NotReady(
            f"{task.name}: no settled outcome to learn from: of {joined.height} past questions {told[OPEN]} have none"
            f" yet, {told[VOID]} never will; bring more history, or what tells how they came out"
        )
    study = task.study(history, learned.drop("value", "known_at", "state"))
    return Lesson(study=study, outcomes=learned.select("value", "known_at"), counts=counts(joined))


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
    usual = task.meanwhile
    if usual in measured and name != usual and not _surely(tested, name, usual):
        words = f"{name} has the least {metric} of {len(errors)}, {_figure(best)}, but not surely so"
        return usual, f"{words}: {usual}'s {_figure(measured[usual])} on {scored} outcomes may be chance"
    skill, why = 1 - best / base if base else 0.0, None
    if name == task.baseline:
        who = f"not even {each}" if each in measured else "no candidate"
        why = f"{who} has a lower {metric} than the baseline's {_figure(base)}"
    elif scored < gate.least:
        why = f"{scored} settled outcomes are too few to trust {name}; at least {gate.least} are needed"
    elif skill < gate.skill:
        why = f"{name} is only {skill:.1%} better than the baseline; {gate.skill:.0%} are asked for"
    if why:  # who answered so far goes on, unless the baseline is better than that, by its head start
        before = errors.get(usual or "")
        if usual and before is not None and before < base * (1 + apart.HEAD / scored):
            return usual, f"{why}; {usual} goes on, with {_figure(before)}"
        return task.baseline, why
    won = f"lowest {metric} of {len(errors)}"
    if name == each:
        won = f"each {task.scope} has who did best there, together {metric}"
    return name, f"{won}: {_figure(best)}, {skill:.0%} below the baseline's {_figure(base)}"


def _surely(tested: Backtest, name: str, usual: str) -> bool:
    """Whether a candidate's error is lower than that of the `usual` one by more than chance would have it."""
    task, said = tested.task, tested.forecasts
    found = gap(task.target, task.gate.metric, said[usual], said[name], tested.asked)
    return found is not None and found[0] > SURE * found[1]


def fit(
    task: Task,
    history: History,
    candidate: str,
    tested: Backtest,
    reason: str,
    facts: Mapping[str, Span] | None = None,
    taught: Lesson | None = None,
    progress: Progress | None = None,
) -> Model:
    """Fit one candidate on every outcome settled by now; calibrate it, and learn how sure it is, with its backtest."""
    taught = taught or lesson(task, history)
    forecaster = apart.made(task, candidate)
    if isinstance(forecaster, apart.Apart):
        racing = {name: rows for name, rows in tested.forecasts.items() if name != candidate}
        who = apart.best(task, tested.asked, racing)
        meant = {name: calibrate(task.target, tested.raw[name], tested.asked, history.now) for name in {*who.values()}}
        forecaster = apart.Apart(task, who, meant)
    heard: list[int] = []
    if forecaster.needs_training:
        study = replace(taught.study, told=_epochs(candidate, tested, progress, heard))
        forecaster = forecaster.fit(study, taught.outcomes)
    raw = None if isinstance(forecaster, apart.Apart) else tested.raw.get(candidate)  # each in it has its own
    if raw is not None and isinstance(task.target, Chance) and not _helped(tested, candidate):
        raw = None
    calibration = None if raw is None else calibrate(task.target, raw, tested.asked, history.now)
    said = tested.forecasts.get(candidate)
    chance, worth = (None, None) if said is None else learn(task, history, tested.asked.hstack(said.get_columns()))
    card = _card(task, history, candidate, tested, taught, reason, facts)
    return Model(
        task=task,
        forecaster=forecaster,
        calibration=calibration,
        card=versioned(card.model_copy(update={"trust": worth, "epochs": max(heard, default=None)})),
        chance=chance,
        held={} if said is None else held(task.target, said, tested.asked),
        worth={}
        if said is None or not task.scope
        else apart.worth(task, tested.asked, said, tested.forecasts[task.baseline]),
    )


def _epochs(
    candidate: str, tested: Backtest, progress: Progress | None, heard: list[int]
) -> Callable[[int, int], None]:
    """What is told of the epochs of the last fit: `progress` hears it, and `heard` keeps which there were."""
    fits = len(tested.raw) * len(tested.folds)
    onward = epochs(candidate, fits, fits, progress)

    def told(epoch: int, most: int) -> None:
        heard.append(epoch)
        onward(epoch, most)

    return told


def _helped(tested: Backtest, candidate: str) -> bool:
    """Whether chances were better calibrated than as they were said, each with the outcomes known by its day.

    Where outcomes come so late that none was known, nobody can tell: what is said stays.
    """
    target, value = tested.task.target, tested.asked["value"]
    losses = [score(target, of[candidate], value)["log_loss"] for of in (tested.forecasts, tested.raw)]
    return losses[0] is not None and losses[1] is not None and losses[0] < losses[1]


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
    taught: Lesson,
    reason: str,
    facts: Mapping[str, Span] | None,
) -> Card:
    asked = taught.study.questions["as_of"]
    return Card.model_validate(
        {
            "task": task.name,
            "candidate": candidate,
            "baseline": task.baseline,
            "version": "",
            "trained_at": history.now,
            "facts": facts or {},
            "learned_from": (asked.min(), asked.max()),
            "outcomes": taught.counts,
            "folds": tested.folds,
            "scored": tested.asked.height,
            "scores": tested.scores(),
            "skipped": dict(tested.skipped),
            "features": taught.study.features.names,
            "reason": reason,
        }
    )


def _figure(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
