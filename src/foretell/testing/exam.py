"""What a forecaster must keep, one sentence a check; the same for a domain's candidates and for a model alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Choice, Forecast, Forecaster, Frame, History, Quantity, Read, Study, Target, quantile
from foretell.engine.collect import narrowed
from foretell.errors import BrokenDomain
from foretell.testing.compare import about, flat, same
from foretell.testing.files import pickles

Places = NDArray[np.int64]


@dataclass(kw_only=True)
class Exam:
    """One forecaster before its checks.

    It learns from `learn` and `outcomes`, and is asked `asked`; `again` studies some of those questions on another
    history. Where `reads` are declared they must be enough.
    """

    where: str
    target: Target
    make: Callable[[], Forecaster]
    learn: Study
    outcomes: Frame
    asked: Study
    again: Callable[[History, Places], Study]
    reads: Sequence[Read] | None = None
    seed: int = 1

    def fit(self) -> Forecaster:
        """A fresh forecaster, fitted if it needs to be."""
        fresh = self.make()
        return fresh.fit(self.learn, self.outcomes) if fresh.needs_training else fresh

    @cached_property
    def fitted(self) -> Forecaster:
        """The forecaster, fitted once."""
        return self.fit()

    @cached_property
    def whole(self) -> Frame:
        """All it says to the questions on the whole history."""
        return self.say(self.asked)

    @property
    def newest(self) -> Study:
        """The last few of the questions, for the checks that ask often."""
        last = np.arange(max(0, self.asked.questions.height - 8), self.asked.questions.height)
        return some(self.asked, last)

    def say(self, study: Study, forecaster: Forecaster | None = None) -> Frame:
        """All a forecaster says, flat; one row a question."""
        return flat(one_row_each(self, study, (forecaster or self.fitted).forecast(study)))


def some(study: Study, places: Places) -> Study:
    """The study of some of its questions, in the order of `places`."""
    return Study(history=study.history, questions=study.questions[places], features=study.features.rows(places))


def one_row_each(exam: Exam, study: Study, said: Forecast) -> Forecast:
    """The forecast, which must have one row a question, and everything that goes with the rows as well."""
    asked = study.questions.height
    parts = {"rows": said.rows.height, "draws": None if said.draws is None else len(said.draws)}
    parts["evidence"] = said.evidence.height if said.evidence.width else None
    for part, height in parts.items():
        if height is not None and height != asked:
            raise BrokenDomain(f"{exam.where} gives {height} {part} for {asked} questions; one row a question")
    return said


def nothing_given_is_changed(exam: Exam) -> None:
    """Fitting and forecasting change nothing of what they were given."""
    before = {name: frame.clone() for name, frame in _given(exam)}
    tables = {id(study): dict(study.history.tables) for study in (exam.learn, exam.asked)}
    _ = exam.whole
    for name, frame in _given(exam):
        if name in before and (frame.schema != before[name].schema or not frame.equals(before[name])):
            words = _first_change(before[name], frame)
            raise BrokenDomain(f"{exam.where} changes what it was given: {name}, {words}")
    for study in (exam.learn, exam.asked):
        held = tables[id(study)]
        changed = [n for n in {**held, **study.history.tables} if held.get(n) is not study.history.tables.get(n)]
        if changed:
            raise BrokenDomain(f"{exam.where} changes what it was given: table {changed[0]} of the history")


def _given(exam: Exam) -> Iterator[tuple[str, Frame]]:
    yield "the outcomes", exam.outcomes
    for name, study in {"learned from": exam.learn, "asked": exam.asked}.items():
        yield f"the questions {name}", study.questions
        if study.features.names:
            yield f"the features of the questions {name}", study.features.frame()
        for table, frame in study.history.tables.items():
            yield f"table {table} of the history {name}", frame


def _first_change(before: Frame, after: Frame) -> str:
    if other := set(before.columns) ^ set(after.columns):
        return f"column {sorted(other)[0]} was {'added' if sorted(other)[0] in after.columns else 'taken away'}"
    if before.height != after.height:
        return f"{before.height} rows before, {after.height} after"
    for name in before.columns:
        unequal = (~before[name].eq_missing(after[name])).arg_true()
        if len(unequal):
            return f"column {name}: {before[name][unequal[0]]!r} before, {after[name][unequal[0]]!r} after"
    return "its columns in another order or of another type"


def rows_keep_the_form(exam: Exam) -> None:
    """Quantiles rise, a chance lies within 0 and 1, the chances of all classes sum to 1, and something is said."""
    asked, said = exam.asked.questions, exam.whole
    target, columns = exam.target, exam.target.columns
    if isinstance(target, Choice):
        columns = [name for name in said.columns if name.startswith("p:")]
    if missing := [name for name in columns if name not in said.columns]:
        raise BrokenDomain(f"{exam.where} gives no column {', '.join(missing)}")
    rows = said.select(columns).select(pl.all().cast(pl.Float64)).to_numpy()
    silent = np.isnan(rows).any(axis=1)
    if not columns or silent.all():
        raise BrokenDomain(f"{exam.where} says nothing to any of {asked.height} questions")
    _none(exam, np.isinf(rows).any(axis=1), "gives an infinite forecast", said.select(columns))
    if isinstance(target, Quantity):
        levels = [quantile(level) for level in sorted(target.levels)]
        ranked = said.select(levels).select(pl.all().cast(pl.Float64)).to_numpy()
        room = 1e-9 * np.abs(ranked[:, 1:])
        falls = (np.diff(ranked, axis=1) < -room).any(axis=1)
        _none(exam, falls & ~silent, "gives quantiles that cross", said.select(levels))
        return
    outside = ((rows < 0) | (rows > 1)).any(axis=1)
    _none(exam, outside & ~silent, "gives a chance outside 0 to 1", said.select(columns))
    if isinstance(target, Choice):
        total = np.abs(rows.sum(axis=1) - 1) > 1e-6
        _none(exam, total & ~silent, "gives classes whose chances do not sum to 1", said.select(columns))


def _none(exam: Exam, broken: NDArray[np.bool_], what: str, rows: Frame) -> None:
    if broken.any():
        place = int(broken.argmax())
        told = ", ".join(f"{name} {value!r}" for name, value in rows.row(place, named=True).items())
        raise BrokenDomain(f"{exam.where} {what}; for {about(exam.asked.questions, place)}: {told}")


def any_order_is_the_same(exam: Exam) -> None:
    """One row a question, in any order: shuffled questions, one of them twice, get the same forecasts."""
    order = np.random.default_rng(exam.seed).permutation(exam.asked.questions.height)
    order = np.append(order, order[0]).astype(np.int64)
    shuffled = some(exam.asked, order)
    words = "the order of the questions changes {column}"
    told = ("shuffled", "in order")
    same(exam.where, words, shuffled.questions, exam.say(shuffled), exam.whole[order], said=told)


def the_future_changes_nothing(exam: Exam) -> None:
    """Cutting the future away changes no forecast."""
    for places, _ in exam.asked.by_as_of():
        moment = exam.asked.questions["as_of"][int(places[0])]
        then = exam.again(exam.asked.history.cut(moment), places)
        words, told = "cutting the future away changes {column}", ("as known then", "on the whole history")
        same(exam.where, words, then.questions, exam.say(then), exam.whole[places], said=told)


def the_reads_are_enough(exam: Exam) -> None:
    """The declared lookback is true: a question alone, with what the reads allow it, gets the same forecast."""
    if exam.reads is None:
        return
    words = "the declared reads are too narrow: they change {column}"
    told = ("with what is read", "on the whole history")
    for places in groups(exam.asked.questions.height):
        narrow = narrowed(exam.asked.history, exam.reads, exam.asked.questions[places])
        study = exam.again(narrow, places)
        same(exam.where, words, study.questions, exam.say(study), exam.whole[places], said=told)


def groups(height: int) -> list[Places]:
    """All places at once, and a good part of them one by one, the last ones among them."""
    alone = sorted({*range(0, height, max(1, height // 8)), *range(max(0, height - 3), height)})
    return [np.arange(height), *(np.array([place]) for place in alone)]


def saying_is_repeatable(exam: Exam) -> None:
    """The same model asked twice says the same to the last bit; one fitted twice says the same."""
    study = exam.newest
    first = exam.say(study)
    told = ("the second time", "the first time")
    same(exam.where, "asking twice changes {column}", study.questions, exam.say(study), first, said=told, exact=True)
    if exam.fitted.needs_training:
        words = "fitting twice changes {column}"
        same(exam.where, words, study.questions, exam.say(study, exam.fit()), first, said=told)


def saving_keeps_the_last_bit(exam: Exam) -> None:
    """A saved and reloaded model says the same to the last bit, and no pickle is in its folder."""
    study = exam.newest
    with tempfile.TemporaryDirectory() as name:
        exam.fitted.save(Path(name))
        if found := pickles(Path(name)):
            raise BrokenDomain(f"{exam.where} saves a pickle: {', '.join(found)}; write JSON, text or plain npz")
        loaded = exam.make().load(Path(name))
    words, told = "saving and loading changes {column}", ("after loading", "before saving")
    same(exam.where, words, study.questions, exam.say(study, loaded), exam.say(study), said=told, exact=True)


CHECKS: tuple[Callable[[Exam], None], ...] = (
    nothing_given_is_changed,
    rows_keep_the_form,
    any_order_is_the_same,
    the_future_changes_nothing,
    the_reads_are_enough,
    saying_is_repeatable,
    saving_keeps_the_last_bit,
)
