"""How much worse a model's forecasts get without what a feature tells: permutation importance.

The values of a feature are dealt out anew among old questions, and the error is taken again (Breiman 2001; Fisher,
Rudin, Dominici 2019). Of two features that know the same, either stands in for the other, and each counts for little;
as a group they are dealt out together, and count for what both know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from foretell.contract import Block, Frame, History, Study, Task
from foretell.engine import apart
from foretell.engine.backtest import past_questions, rolled
from foretell.engine.model import Model, checked
from foretell.engine.outcomes import SETTLED, join, settled
from foretell.engine.scores import score
from foretell.errors import NotReady

REPEATS = 5  # times that a feature is dealt out
MOST = 2000  # questions that are asked
STRETCHES = 10  # of time, for the standard error: questions near each other fail alike
ALIKE = 0.8  # rank correlation from which on features count as alike

Places = NDArray[np.int64]
Groups = Callable[[Block], Mapping[str, Sequence[str]]]
"""Which features are dealt out together, by the name of the group."""


class FeatureImportance(BaseModel):
    """By how much the error grows without what these features tell, in the metric's unit, and its standard error."""

    name: str
    features: tuple[str, ...]
    importance: float
    standard_error: float


class Importance(BaseModel):
    """What the features of a model in service are worth, the most important first.

    `error` is the metric (lower is better) of `asked` questions, out of `settled` that there are; `words` say which.
    `later` ones were settled after the model had learned. Where they are too few, those of the backtest's last fold are
    asked of the same method, fitted on what was known before it: neither is in sample.
    """

    task: str
    version: str
    candidate: str
    metric: str
    error: float
    questions: Literal["later", "last fold"]
    words: str
    asked: int
    settled: int
    repeats: int
    features: tuple[FeatureImportance, ...]


@dataclass(frozen=True, kw_only=True)
class _Exam:
    """Questions with their outcomes, and who is asked."""

    model: Model
    study: Study
    value: pl.Series
    settled: int
    kind: Literal["later", "last fold"]
    words: str


def each(features: Block) -> Mapping[str, Sequence[str]]:
    """Every feature by itself."""
    return {name: [name] for name in features.names}


def alike(features: Block) -> Mapping[str, Sequence[str]]:
    """Features whose ranks go together (Spearman's correlation of `ALIKE` or more, either way), also through others."""
    ranks = features.frame().fill_nan(None).select(pl.all().rank().fill_null(strategy="mean").fill_null(0.0)).to_numpy()
    spread = ranks.std(axis=0)
    scaled = (ranks - ranks.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    near = np.abs(scaled.T @ scaled) / len(ranks) >= ALIKE
    np.fill_diagonal(near, val=True)
    first = np.arange(len(near))
    while (found := np.where(near, first, len(near)).min(axis=1)).tolist() != first.tolist():
        first = found
    groups: dict[int, list[str]] = {}
    for place, name in zip(first.tolist(), features.names, strict=True):
        groups.setdefault(place, []).append(name)
    return {some[0] if len(some) == 1 else f"{some[0]} and {len(some) - 1} more": some for some in groups.values()}


def importance(model: Model, history: History, groups: Groups = each, *, seed: int = 1) -> Importance:
    """What the features that a model looks at are worth, one by one or in `groups`, standing at the history's `now`.

    At most `MOST` questions are asked, drawn with the `seed`; each group is dealt out `REPEATS` times. The standard
    error is the jackknife's over `STRETCHES` of time (Tukey 1958). Raises NotReady for a model that looks at no
    features, and where no outcome is known.
    """
    task, draw = model.task, np.random.default_rng(seed)
    if not model.card.features:
        raise NotReady(f"{task.name} has no features in columns: there are none to weigh")
    exam = _answered(_later(model, history, draw) or _last_fold(model, history, draw))
    study, count = exam.study, len(exam.value)
    orders = [draw.permutation(count) for _ in range(REPEATS)]
    said = exam.model.forecast(study).rows

    def dealt(some: Sequence[str]) -> list[Frame]:
        return [exam.model.forecast(_dealt(study, some, order)).rows for order in orders]

    if all(rows.equals(said) for rows in dealt(study.features.names)):
        raise NotReady(f"{task.name} is answered by {model.card.candidate}, which looks at no features")
    before = _errors(task, [said] * REPEATS, exam.value)

    def worth(group: tuple[str, Sequence[str]]) -> FeatureImportance:
        name, some = group
        worse = _errors(task, dealt(some), exam.value) - before
        left = worse[1:] - worse[1:].mean()
        error = float(np.sqrt((len(left) - 1) / len(left) * (left**2).sum()))
        return FeatureImportance(name=name, features=tuple(some), importance=float(worse[0]), standard_error=error)

    with ThreadPoolExecutor(max_workers=2) as pool:  # a forecast happens inside libraries that leave Python alone
        weighed = list(pool.map(worth, groups(study.features).items()))
    return Importance(
        task=task.name, version=model.card.version, candidate=model.card.candidate, metric=task.gate.metric,
        error=float(before[0]), questions=exam.kind, words=exam.words, asked=count, settled=exam.settled,
        repeats=REPEATS, features=tuple(sorted(weighed, key=lambda one: -one.importance)),
    )  # fmt: skip


def _later(model: Model, history: History, draw: np.random.Generator) -> _Exam | None:
    """Questions settled after the model had learned; None where they are too few for the task's gate."""
    task, since = model.task, model.card.trained_at
    known = settled(task, history, past_questions(task, history)).filter(pl.col("known_at") > since)
    if known.height < max(task.gate.least, STRETCHES):
        return None
    some = known[_some(known.height, draw)]
    return _Exam(
        model=model, study=task.study(history, some.drop("value", "known_at")), value=some["value"],
        settled=known.height, kind="later",
        words=f"settled after {since:%Y-%m-%d %H:%M} UTC, when the model had learned",
    )  # fmt: skip


def _last_fold(model: Model, history: History, draw: np.random.Generator) -> _Exam:
    """The questions of the last fold, for the method as it is fitted before them."""
    task = model.task
    folds = rolled(task, history, replace(task.rolling, folds=1))
    joined = [join(task, history, fold.ask.questions) for fold in folds[-1:]]
    known = (joined[0]["state"] == SETTLED).arg_true().to_numpy().astype(np.int64) if joined else np.zeros(0, np.int64)
    if len(known) < STRETCHES:
        raise NotReady(
            f"{task.name}: {len(known)} settled outcomes are too few to weigh features by; bring more history"
        )
    fold, places = folds[-1], known[_some(len(known), draw)]
    forecaster = model.forecaster
    if forecaster.needs_training:
        if isinstance(forecaster, apart.Apart):
            forecaster = apart.Apart(task, forecaster.who, forecaster.meant)
        else:
            forecaster = apart.made(task, model.card.candidate)
        forecaster = forecaster.fit(fold.learn, fold.outcomes)
    study = replace(fold.ask, questions=fold.ask.questions[places], features=fold.ask.features.rows(places))
    return _Exam(
        model=replace(model, forecaster=forecaster), study=study, value=joined[0]["value"][places], settled=len(known),
        kind="last fold",
        words=f"asked from {fold.start:%Y-%m-%d %H:%M} UTC on, of the same method fitted on what was known by then",
    )  # fmt: skip


def _some(count: int, draw: np.random.Generator) -> Places:
    """The places of `MOST` of so many questions, in their order; of all where there are no more."""
    return np.sort(draw.choice(count, min(count, MOST), replace=False)).astype(np.int64)


def _answered(exam: _Exam) -> _Exam:
    """The same without the questions that the model has no answer to. Raises NotReady where none is left."""
    model, study = exam.model, exam.study
    said = checked(model.task, model.card.candidate, study.questions, model.forecaster.forecast(study)).rows
    places = (~said.select(pl.any_horizontal(pl.all().is_null())).to_series()).arg_true().to_numpy().astype(np.int64)
    if len(places) < STRETCHES:
        raise NotReady(f"{model.card.candidate} has too little history to answer the questions of {model.task.name}")
    study = replace(study, questions=study.questions[places], features=study.features.rows(places))
    return replace(exam, study=study, value=exam.value[places])


def _dealt(study: Study, names: Sequence[str], order: Places) -> Study:
    """The study with some features dealt out anew, all in the same order: what they tell of each other stays."""
    values = study.features.values.copy()
    places = [study.features.names.index(name) for name in names]
    values[:, places] = values[np.ix_(order, np.array(places))]
    return replace(study, features=Block(study.features.names, values))


def _errors(task: Task, said: Sequence[Frame], value: pl.Series) -> NDArray[np.float64]:
    """The gate's metric of what was said, time and again, of the same questions: of all, and without each stretch."""
    rows, values = pl.concat(said), pl.concat([value] * len(said))
    stretch = np.tile(np.arange(len(value)) * STRETCHES // len(value), len(said))
    found = [score(task.target, rows, values).get(task.gate.metric)]
    for left in range(STRETCHES):
        kept = pl.Series(stretch != left)
        found.append(score(task.target, rows.filter(kept), values.filter(kept)).get(task.gate.metric))
    if any(one is None for one in found):
        raise NotReady(f"{task.name}: {task.gate.metric} could not be measured on {len(value)} outcomes")
    return np.array(found, dtype=np.float64)
