"""Old questions, asked with only the old knowledge.

For each fold every candidate is fitted on outcomes that were known when the fold began, and asked the fold's
questions. Features are computed once a fold, for all candidates. What was said is then calibrated day by day with
the outcomes known by that day, as it is in service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import (
    Forecast,
    Forecaster,
    Frame,
    History,
    Rolling,
    Study,
    Task,
)
from foretell.engine import apart
from foretell.engine.calibration import calibrate
from foretell.engine.model import checked
from foretell.engine.outcomes import join, settled
from foretell.engine.scores import score
from foretell.errors import NotReady

Progress = Callable[[str, int, int], None]
"""Told the candidate at work, the fits done and the fits to do."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One test window: what to learn from, what to ask; `learn` has the outcomes known at `start`."""

    start: datetime
    end: datetime
    learn: Study
    outcomes: Frame
    ask: Study


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """What every candidate said to the same settled questions.

    `asked` has the questions with `value`, `known_at` and `fold`; `raw` what each candidate said, `forecasts` the
    same after calibration, both in the order of `asked`.
    """

    task: Task
    asked: Frame
    raw: Mapping[str, Frame]
    forecasts: Mapping[str, Frame]
    skipped: Mapping[str, str]
    folds: tuple[tuple[datetime, datetime], ...]

    def scores(self, where: pl.Series | None = None) -> dict[str, dict[str, float | None]]:
        """Every metric of every candidate that ran, the baseline first; `where` keeps some of the questions."""
        if where is None:
            return self._scores
        forecasts = {name: rows.filter(where) for name, rows in self.forecasts.items()}
        return _scored(self.task, forecasts, self.asked["value"].filter(where))

    @cached_property
    def _scores(self) -> dict[str, dict[str, float | None]]:
        return _scored(self.task, self.forecasts, self.asked["value"])


def _scored(task: Task, forecasts: Mapping[str, Frame], value: pl.Series) -> dict[str, dict[str, float | None]]:
    base = forecasts[task.baseline]
    return {name: score(task.target, rows, value, baseline=base) for name, rows in forecasts.items()}


def backtest(
    task: Task,
    history: History,
    *,
    rolling: Rolling | None = None,
    budget: float | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Ask every candidate the same old questions.

    Candidates whose expected cost (their own estimate) would overrun `budget` seconds, the task's if None, are
    skipped and named with the reason; the baseline always runs. Raises NotReady without settled outcomes to score.
    """
    rolling = rolling or task.rolling
    folds = rolled(task, history, rolling)
    joined = [join(task, history, f.ask.questions).with_columns(fold=pl.lit(k)) for k, f in enumerate(folds)]
    asked = pl.concat(joined) if joined else pl.DataFrame({"value": []})
    if asked["value"].is_null().all():
        span = rolling.span
        long = f"{span / timedelta(days=1):g} days" if isinstance(span, timedelta) else f"{span:.0%} of the questions"
        raise NotReady(
            f"{task.name}: no settled outcome to test on: the newest {rolling.folds} times {long}, with something"
            f" before them to learn from, have {asked.height} past questions and no outcome; bring more history, or"
            " what tells how they came out"
        )
    chosen, skipped = _within(task, folds, task.budget if budget is None else budget)
    raw = {name: _joined(said) for name, said in race(task, chosen, folds, progress).items()}
    if asked["value"].null_count():
        keep = asked["value"].is_not_null()
        raw, asked = {name: rows.filter(keep) for name, rows in raw.items()}, asked.filter(keep)
    raw, asked = _answered(task, raw, asked, skipped)
    forecasts = calibrated(task, asked, raw)
    if (each := apart.name_of(task)) and len(raw) > 1 and asked["fold"].n_unique() > 1:
        raw[each] = forecasts[each] = apart.raced(task, asked, forecasts)
        later = asked["fold"] > asked["fold"].min()  # the first fold is there to choose by
        asked = asked.filter(later)
        raw, forecasts = ({name: rows.filter(later) for name, rows in of.items()} for of in (raw, forecasts))
    return Backtest(
        task=task,
        asked=asked,
        raw=raw,
        forecasts=forecasts,
        skipped=skipped,
        folds=tuple((fold.start, fold.end) for fold in folds),
    )


def rolled(task: Task, history: History, rolling: Rolling) -> list[Fold]:
    """The folds of the last spans."""
    questions = past_questions(task, history)
    newest = questions["as_of"].max()
    if not isinstance(newest, datetime):
        return []
    end = min(newest, history.now) + timedelta(
        microseconds=1
    )  # where the questions end: a series may have stopped a while ago
    span = rolling.span
    if isinstance(span, timedelta):
        edges = [end - span * k for k in range(rolling.folds, -1, -1)]
    else:
        known = settled(task, history, questions)["as_of"]  # of those still open there may be many, all of them new
        places = [int(len(known) * max(0.0, 1 - span * k)) for k in range(rolling.folds, 0, -1)]
        edges = sorted({*(known[place] for place in places), end}) if len(known) else [end]
    return folded(task, history, questions, edges, rolling.every)


def past_questions(task: Task, history: History) -> Frame:
    """The questions that could have been asked, in order of `as_of`, entity and `at`; made once for a history."""
    return history.once(lambda history: task.questions(history).sort("as_of", "entity", "at"), ("questions", task.name))


def folded(
    task: Task, history: History, questions: Frame, edges: Sequence[datetime], every: timedelta | None
) -> list[Fold]:
    """The test windows between the edges, oldest first; those with nothing to learn from or to ask are left out.

    `questions`, in order of `as_of`, are those to learn from and to ask; `every` is that of a Rolling.
    """
    asked = questions
    if every:
        span = pl.col("as_of").dt.epoch("s") // int(every.total_seconds())
        asked = questions.filter(pl.col("as_of") == pl.col("as_of").min().over("entity", span))
    moments = np.array([edge.astimezone(UTC).replace(tzinfo=None) for edge in edges], dtype="datetime64[us]")
    before, places = (np.searchsorted(frame["as_of"].to_numpy(), moments).tolist() for frame in (questions, asked))
    made = []
    for k, (start, end) in enumerate(pairwise(edges)):
        if places[k] == places[k + 1]:
            continue
        past, test = questions.head(before[k]), asked[places[k] : places[k + 1]]
        then = history.cut(start)
        learned = settled(task, then, past)
        if learned.is_empty():
            continue
        past, outcomes = learned.drop("value", "known_at"), learned.select("value", "known_at")
        both = task.study(history.cut(end), pl.concat([past, test]))
        made.append(
            Fold(
                start=start,
                end=end,
                learn=Study(history=then, questions=past, features=both.features.rows(slice(past.height))),
                outcomes=outcomes,
                ask=replace(both, questions=test, features=both.features.rows(slice(past.height, None))),
            )
        )
    return made


def _within(task: Task, folds: list[Fold], budget: float) -> tuple[dict[str, Callable[[], Forecaster]], dict[str, str]]:
    """The candidates that nothing is lacking for and a budget allows, in their order, by their own estimates."""
    chosen: dict[str, Callable[[], Forecaster]] = {}
    skipped: dict[str, str] = {}
    spent = 0.0
    for name, make in task.candidates.items():
        made = make()
        if made.cost.lacking:
            skipped[name] = made.cost.lacking
            continue
        folds_cost = (made.cost.seconds(fold.outcomes.height, fold.ask.questions.height) for fold in folds)
        last = made.cost.seconds(folds[-1].outcomes.height, 0)
        cost = sum(folds_cost) + last
        if chosen and spent + cost > budget:
            skipped[name] = f"would cost about {cost:.1f} s; {max(0.0, budget - spent):.1f} s of the budget were left"
        else:
            chosen[name] = make
            spent += cost
    return chosen, skipped


def race(
    task: Task, chosen: Mapping[str, Callable[[], Forecaster]], folds: list[Fold], progress: Progress | None
) -> dict[str, list[Frame]]:
    """What every candidate said in every fold.

    Two fits at a time: nearly all of a fit happens inside libraries that leave Python alone and keep to one core.
    """
    said: dict[str, list[Frame]] = {name: [] for name in chosen}
    jobs = [(name, make, fold) for name, make in chosen.items() for fold in folds]
    with ThreadPoolExecutor(max_workers=2) as pool:
        running = []
        for place, (name, make, fold) in enumerate(jobs):
            learn = replace(fold.learn, told=epochs(name, place, len(jobs), progress))
            running.append(pool.submit(_say, task, name, make(), replace(fold, learn=learn)))
        try:
            for place, ((name, _, _), job) in enumerate(zip(jobs, running, strict=True)):
                if progress:
                    progress(name, place, len(jobs))
                said[name].append(job.result())
        finally:
            pool.shutdown(cancel_futures=True)
    return said


def epochs(name: str, done: int, fits: int, progress: Progress | None) -> Callable[[int, int], None]:
    """What a candidate that learns in epochs tells of them, so that `progress` hears it."""

    def told(epoch: int, most: int) -> None:
        if progress:
            progress(f"{name}, epoch {epoch} of {most}", done, fits)

    return told


def _say(task: Task, name: str, forecaster: Forecaster, fold: Fold) -> Frame:
    if forecaster.needs_training:
        forecaster = forecaster.fit(fold.learn, fold.outcomes)
    return checked(task, name, fold.ask.questions, forecaster.forecast(fold.ask)).rows


def _joined(said: list[Frame]) -> Frame:
    """The folds' forecasts in one frame; a class that was not yet in the history of a fold had no chance there."""
    columns = list(dict.fromkeys(column for rows in said for column in rows.columns))
    return pl.concat(
        rows.select(pl.col(c) if c in rows.columns else pl.lit(0.0).alias(c) for c in columns) for rows in said
    )


def _answered(
    task: Task, raw: dict[str, Frame], asked: Frame, skipped: dict[str, str]
) -> tuple[dict[str, Frame], Frame]:
    """Questions the baseline has no answer to are left out; a candidate silent on any other is out of the race."""
    if (silent := _silent(raw[task.baseline])) is not None:
        if silent.all():
            raise NotReady(f"{task.name}: the baseline {task.baseline} has too little history to answer; bring more")
        raw, asked = {name: rows.filter(~silent) for name, rows in raw.items()}, asked.filter(~silent)
    for name in list(raw):
        if (silent := _silent(raw[name])) is not None:
            skipped[name] = f"gave no forecast for {silent.sum()} of {raw[name].height} questions"
            del raw[name]
    return raw, asked


def _silent(rows: Frame) -> pl.Series | None:
    """Which questions have no answer; None where all of them have one."""
    if not any(column.null_count() for column in rows):
        return None
    return rows.select(pl.any_horizontal(pl.all().is_null())).to_series()


def calibrated(task: Task, asked: Frame, said: Mapping[str, Frame]) -> dict[str, Frame]:
    """What each candidate would have said of `asked` (with outcomes) with the calibration of each day."""
    as_of, known = asked["as_of"].to_numpy(), asked["known_at"].to_numpy()
    day = as_of.astype("datetime64[D]")
    out: dict[str, list[Frame]] = {name: [] for name in said}
    places = [np.flatnonzero(day == moment) for moment in np.unique(day)]
    for today in places:
        seen = np.flatnonzero(known <= day[today[0]])
        moment, then = (
            asked["as_of"][int(today[0])].replace(hour=0, minute=0, second=0, microsecond=0),
            _at(asked, seen),
        )
        for name, rows in said.items():
            calibration = calibrate(task.target, _at(rows, seen), then, moment)
            out[name].append(calibration.apply(Forecast(rows=_at(rows, today))).rows)
    if len(places) < 2:
        return {name: out[name][0] if places else rows for name, rows in said.items()}
    order = np.argsort(np.concatenate(places))
    return {name: _at(pl.concat(parts), order) for name, parts in out.items()}


def _at(rows: Frame, places: NDArray[np.int64]) -> Frame:
    """The rows at these places; without a copy where they follow each other."""
    if len(places) and (np.diff(places) == 1).all():
        return rows.slice(int(places[0]), len(places))
    return rows[places]
