"""From requests to answers: ask, features, forecast, decide.

A batch may mix tasks. Requests of one task that look at the same facts are forecast together; facts that came
along with a request stay with that request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import polars as pl

from foretell.contract import INSTANT, Answer, Ask, Forecast, Frame, History, Record, Request, Task
from foretell.engine.apart import Apart
from foretell.engine.backtest import backtest
from foretell.engine.blame import blamed
from foretell.engine.model import Card, Model
from foretell.engine.train import fit, train
from foretell.errors import BrokenDomain, ForetellError, InvalidRequest, NotFound, NotReady

REMEMBERED = 440  # questions up to which a forecast is kept with its history
TOGETHER = 100  # requests of a batch that are forecast in one go, whose possible futures are in memory at once
HEAVY = 1.0  # seconds that a method expects for 1,000 questions, from which on it is no light one


class TooHeavy(ForetellError):  # noqa: N818 - no failure
    """The answer takes a fit, which has no place beside other requests."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """An answer, and what it rests on.

    `questions`, `forecast` and `raw` (what was said before calibration) are what the ledger keeps. `fallback` says why
    the method is not the one that was raced and promoted; null when it is. The `card` of a method that needed no
    training has no scores. With `own_facts` the facts came with the request, and stored outcomes say nothing about it.
    `as_of` is when it was asked, `known_at` when the newest fact behind it became known. A `cached` one was forecast
    before, and only decided now; a `repeated` one was even asked so before. `id` is its number in the ledger,
    `recommendation` that of the recommendation that is open then.
    """

    answer: Answer
    questions: Frame
    forecast: Forecast
    raw: Frame
    method: str
    card: Card
    fallback: str | None
    own_facts: bool
    as_of: datetime
    known_at: datetime | None
    cached: bool
    repeated: bool
    id: UUID | None = None
    recommendation: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """One request on its way: which facts it looks at and who will answer."""

    place: int
    task: Task
    request: Request
    ask: Ask
    history: History


def predict(
    asked: Sequence[tuple[Task, Request]], history: History, models: Mapping[str, Model], *, light: bool = False
) -> list[Prediction | ForetellError]:
    """One prediction a request, in order; a request that can't be answered gets its error and harms no other.

    `models` are the champions by task name. A task without one falls back to its first candidate that needs no
    training, and the prediction says so. With `light`, TooHeavy is in the place of each answer that takes a fit.
    """
    out: list[Prediction | ForetellError] = [NotReady("not asked")] * len(asked)
    together: dict[str, list[_Plan]] = {}
    for place, (task, request) in enumerate(asked):
        try:
            plan = _plan(place, task, request, history)
        except Exception as error:
            out[place] = _named(task, error)
            continue
        alone = plan.history is not history or plan.ask.candidate is not None
        together.setdefault(f"{place}" if alone else f"{task.name} {place // TOGETHER}", []).append(plan)
    for plans in together.values():
        for plan, said in zip(plans, _answers(plans, models, light=light), strict=True):
            out[plan.place] = said
    return out


def _plan(place: int, task: Task, request: Request, history: History) -> _Plan:
    ask = task.ask(request, history)
    if ask.questions.is_empty():
        raise InvalidRequest(f"{task.name}: the request asks nothing")
    if ask.history is not None:
        history = History(history.standpoint, {**history.tables, **ask.history})
    if ask.facts:
        history = history.plus(ask.facts)
    return _Plan(place=place, task=task, request=request, ask=ask, history=history)


def _answers(plans: list[_Plan], models: Mapping[str, Model], *, light: bool) -> list[Prediction | ForetellError]:
    """Forecast the plans in one go; if that fails, each alone, so that only the one at fault fails."""
    try:
        return list(_forecast(plans, models, light=light))
    except Exception as error:
        if len(plans) == 1:
            return [_named(plans[0].task, error)]
        return [said for plan in plans for said in _answers([plan], models, light=light)]


def _named(task: Task, error: Exception) -> ForetellError:
    """The error of a request; what a domain did not mean to raise is the domain's fault, and says so."""
    if isinstance(error, ForetellError):
        return error
    broken = BrokenDomain(f"{task.name}: {blamed(error, task)}")
    broken.__cause__ = error
    return broken


def _forecast(plans: list[_Plan], models: Mapping[str, Model], *, light: bool) -> list[Prediction]:
    task, history = plans[0].task, plans[0].history
    asked = [plan.ask.questions for plan in plans]
    questions = asked[0] if len(asked) == 1 else pl.concat(asked, how="diagonal")
    if light and plans[0].ask.history is not None:
        raise TooHeavy(f"{task.name}: a history that came along is fitted when asked")
    model, fallback = _who(plans[0], models)
    if light and model.forecaster.cost.forecast > HEAVY:
        raise TooHeavy(f"{task.name}: {model.card.candidate} is fitted when asked")
    key = _key(model.card, questions)
    cached = history.has(key)
    if key is None:
        raw, said = _said(task, model, history, questions)
    else:
        raw, said = history.once(lambda history: _said(task, model, history, questions), key)
    out, start = [], 0
    for plan in plans:
        length = plan.ask.questions.height
        part = _trusted(plan, model, said.slice(start, length), key if len(plans) == 1 else None)
        part = replace(part, record=_record(model, _method(model, part), fallback))
        asked_so = key and (*key, plan.request.model_dump_json())
        repeated = history.has(asked_so)
        out.append(
            Prediction(
                answer=task.decide(part, plan.request, history),
                questions=plan.ask.questions,
                forecast=part,
                raw=raw.rows.slice(start, length),
                method=_method(model, part),
                card=model.card,
                fallback=fallback,
                own_facts=plan.ask.history is not None or bool(plan.ask.facts),
                as_of=history.now,
                known_at=history.stored.once(newest),  # what came along is not on record
                cached=cached,
                repeated=repeated,
            )
        )
        if asked_so:
            history.once(lambda _: True, asked_so)
        start += length
    return out


def _method(model: Model, said: Forecast) -> str:
    """The candidate that answers: the one in service, or of those that share the service the one for this scope."""
    return str(said.evidence["method"][0]) if isinstance(model.forecaster, Apart) else model.card.candidate


def _record(model: Model, method: str, fallback: str | None) -> Record:
    """What the method of a model has been worth."""
    card = model.card
    return Record(
        method=method, reason=fallback or card.reason, scored=card.scored, scores=card.scores,
        skipped=card.skipped, held=model.held, worth=model.worth,
    )  # fmt: skip


def _key(card: Card, questions: Frame) -> tuple[Any, ...] | None:
    """What a forecast is remembered by, where it is a small one: version and questions."""
    if questions.height > REMEMBERED:
        return None
    asked = tuple(  # bytes of instants: a list of them takes ten times longer
        (column.name, column.to_numpy().tobytes()) if column.dtype == INSTANT else (column.name, *column.to_list())
        for column in questions.get_columns()
    )
    return card.task, card.candidate, card.version, asked


def _said(task: Task, model: Model, history: History, questions: Frame) -> tuple[Forecast, Forecast]:
    """The forecast before and after calibration."""
    raw = model.raw(task.study(history, questions))
    return raw, model.calibrated(raw)


def _trusted(plan: _Plan, model: Model, said: Forecast, key: tuple[Any, ...] | None) -> Forecast:
    """What was said to one request, with how sure it is; `key` is that of its questions, if it is known."""
    questions = plan.ask.questions
    key = key or _key(model.card, questions)
    if key is None:
        return model.trusted(plan.history, questions, said)
    return plan.history.once(lambda history: model.trusted(history, questions, said), ("trusted", *key))


def newest(history: History) -> datetime | None:
    """When the newest fact of a history became known; None where it has none."""
    return max((moment for table in history.tables.values() if (moment := table["known_at"].max())), default=None)  # type: ignore[return-value]


def _who(plan: _Plan, models: Mapping[str, Model]) -> tuple[Model, str | None]:
    """The model that answers, and the reason if it is not the champion."""
    task, wanted = plan.task, plan.ask.candidate
    if wanted is not None and wanted not in task.candidates:
        raise NotFound(f"{task.name} has no method {wanted!r}; there are {', '.join(task.candidates)}")
    champion = models.get(task.name)
    if plan.ask.history is not None:
        if wanted is None:
            return _raced(task, plan.history)
        tested = backtest(_only(task, wanted), plan.history)
        reason = plan.ask.reason or f"{wanted} was asked for by name"
        return fit(task, plan.history, wanted, tested, reason), reason
    if champion is not None and wanted in (None, champion.card.candidate):
        return champion, None
    for name in _meanwhile(task) if wanted is None else _ready(task):
        if wanted in (None, name):
            named = plan.ask.reason or f"{name} was asked for by name"
            reason = named if wanted else f"no model of {task.name} has been trained yet"
            return untrained(task, name, plan.history), reason
    if champion is None:
        raise NotReady(f"{wanted or task.name} needs training and has had none")
    others = ", ".join(dict.fromkeys([champion.card.candidate, *_ready(task)]))
    raise NotReady(f"{wanted} needs training and is not the one in service; of stored facts ask for one of: {others}")


def _raced(task: Task, history: History) -> tuple[Model, str | None]:
    """The winner of a race over facts that came in the request; without enough for a race, who needs none."""
    try:
        return train(task, history, budget=task.waiting).model, None
    except NotReady as error:
        ready = _meanwhile(task)
        if not ready:
            raise
        return untrained(task, ready[0], history), f"no race was possible: {error}"


def _ready(task: Task) -> list[str]:
    """The candidates that need no training."""
    return [name for name, make in task.candidates.items() if not make().needs_training]


def _meanwhile(task: Task) -> list[str]:
    """Who answers without a race, the first of them; nobody, where all need training."""
    return [task.meanwhile] if task.meanwhile else _ready(task)


def _only(task: Task, candidate: str) -> Task:
    """The task with one candidate, beside the baseline that any race has."""
    kept = {name: make for name, make in task.candidates.items() if name in (task.baseline, candidate)}
    return replace(task, candidates=kept)


def untrained(task: Task, candidate: str, history: History) -> Model:
    """A candidate that serves as it is made: no training, no calibration, no track record."""
    card = Card(
        task=task.name,
        candidate=candidate,
        baseline=task.baseline,
        version="untrained",
        trained_at=history.now,
        facts={},
        learned_from=None,
        outcomes={},
        folds=(),
        scored=0,
        scores={},
        skipped={},
        features=(),
        reason="needs no training",
    )
    return Model(task=task, forecaster=task.candidates[candidate](), calibration=None, card=card)
