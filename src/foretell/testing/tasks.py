"""What a task's features and outcomes must keep, one sentence a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from foretell.contract import Choice, Frame, History, Quantity, Study
from foretell.engine.blame import blamed
from foretell.engine.collect import narrowed
from foretell.engine.outcomes import join
from foretell.errors import BrokenDomain
from foretell.testing.compare import about, same
from foretell.testing.exam import groups
from foretell.testing.trial import MANY, Trial

WHOLE = "on the whole history"


def who_answers_meanwhile_can(trial: Trial) -> None:
    """Who answers meanwhile is a candidate that needs no training."""
    name = trial.task.meanwhile
    if name is None:
        return
    if name not in trial.task.candidates:
        there = ", ".join(trial.task.candidates)
        raise BrokenDomain(f"{trial.where}: meanwhile is {name!r}, which is no candidate; there are {there}")
    if trial.task.candidates[name]().needs_training:
        raise BrokenDomain(f"{trial.where}: {name}, which is to answer meanwhile, needs training")


def no_past_question_is_there_twice(trial: Trial) -> None:
    """No past question is there twice: its outcome would count double."""
    double = trial.questions.filter(trial.questions.is_duplicated())
    if double.height:
        raise BrokenDomain(
            f"{trial.where}: {double.height} of {trial.questions.height} past questions are there more than once; the"
            f" first is {about(double, 0)}"
        )


def outcomes_are_the_targets(trial: Trial) -> None:
    """Outcomes are what the target says: of a quantity finite numbers, of a chance 0 or 1."""
    asked = trial.pick(MANY)
    value, target = _outcomes(trial, trial.history, asked)["value"], trial.task.target
    if isinstance(target, Choice):
        return
    kind = type(target).__name__
    if not (value.dtype.is_numeric() or value.dtype in (pl.Boolean, pl.Null)):
        raise BrokenDomain(f"{trial.where}: the outcomes are {value.dtype}; those of a {kind} are numbers")
    number = value.cast(pl.Float64)
    wrong = ~number.is_finite() if isinstance(target, Quantity) else ~number.is_in([0.0, 1.0])
    if wrong.any():
        k = int(wrong.arg_true()[0])
        said = "finite" if isinstance(target, Quantity) else "0 or 1"
        raise BrokenDomain(
            f"{trial.where}: the outcomes of a {kind} are {said}; for {about(asked, k)} it is {value[k]!r}"
        )


def one_row_a_question_in_any_order(trial: Trial) -> None:
    """One row per question, in any order: shuffled questions, one of them twice, get the same features and outcomes."""
    asked = trial.pick(MANY)
    order = np.random.default_rng(trial.seed).permutation(asked.height)
    order = np.append(order, order[0]).astype(np.int64)
    shuffled, told = asked[order], ("shuffled", "in order")
    made = {
        "feature": [_features(trial.task.study(trial.history, q)) for q in (asked, shuffled)],
        "the outcome's": [_outcomes(trial, trial.history, q) for q in (asked, shuffled)],
    }
    for what, (straight, mixed) in made.items():
        words = f"the order of the questions changes {what} {{column}}"
        same(trial.where, words, shuffled, mixed, straight[order], said=told)


def _features(study: Study) -> Frame:
    """The features as a frame; without any, the questions."""
    return study.features.frame() if study.features.names else study.questions


def no_feature_is_infinite(trial: Trial) -> None:
    """Every feature of a settled question is finite, or declared missing (null or NaN)."""
    asked = join(trial.task, trial.history, trial.pick(MANY)).filter(pl.col("state") == "settled")
    asked = asked.drop("value", "known_at", "state")
    features = trial.task.study(trial.history, asked).features
    wrong = np.argwhere(np.isinf(features.values))
    if len(wrong):
        row, column = wrong[0]
        raise BrokenDomain(f"{trial.where}: feature {features.names[column]} is infinite for {about(asked, row)}")


def the_future_changes_no_feature(trial: Trial) -> None:
    """Cutting the future away changes no feature."""
    told, whole = ("as known then", WHOLE), _features(trial.study)
    for places, then in trial.study.by_as_of():
        features = _features(trial.task.study(then.history, then.questions))
        words = "cutting the future away changes feature {column}"
        same(trial.where, words, then.questions, features, whole[places], said=told)


def the_reads_are_enough(trial: Trial) -> None:
    """The declared lookback is true: with what the reads allow a question, alone or among others, same features."""
    asked, told, whole = trial.few, ("with what is read", WHOLE), _features(trial.study)
    for places in groups(asked.height):
        narrow = narrowed(trial.history, trial.task.reads, asked[places])
        features = _read(trial, narrow, asked[places])
        words = "the declared reads are too narrow: they change feature {column}"
        same(trial.where, words, asked[places], features, whole[places], said=told)


def _read(trial: Trial, narrow: History, asked: Frame) -> Frame:
    with _enough(trial, f"no features for {about(asked, 0)}"):
        return _features(trial.task.study(narrow, asked))


@contextmanager
def _enough(trial: Trial, missing: str) -> Iterator[None]:
    """Raise BrokenDomain where the block can't do with what is read."""
    try:
        yield
    except Exception as error:
        words = blamed(error, trial.task)
        raise BrokenDomain(f"{trial.where}: the declared reads are too narrow: {missing}: {words}") from error


def the_reads_are_enough_to_learn(trial: Trial) -> None:
    """What is learned from is read: the same questions with no other tables, the same outcomes with no other facts."""
    reads, whole = (*trial.task.reads, *trial.task.told_by), trial.history
    with _enough(trial, "no past questions"):
        there = {
            name: whole[name].select(
                c for c in whole[name].columns if any(read.table == name and read.sees(c) for read in reads)
            )
            for name in {read.table: None for read in reads}
        }
        asked = trial.task.questions(History(whole.standpoint, there))
    if not asked.equals(trial.task.questions(whole)):
        raise BrokenDomain(f"{trial.where}: the declared reads are too narrow: they change the past questions")
    few, told = trial.few, _outcomes(trial, whole, trial.few)
    for places in groups(few.height):
        with _enough(trial, f"no outcome of {about(few[places], 0)}"):
            found = _outcomes(trial, narrowed(whole, reads, few[places]), few[places])
        words = "the declared reads are too narrow: they change the outcome's {column}"
        same(trial.where, words, few[places], found, told[places], said=("with what is read", WHOLE))


def an_outcome_comes_after_its_question(trial: Trial) -> None:
    """No outcome is known at its own as_of."""
    known = trial.questions.with_columns(_outcomes(trial, trial.history, trial.questions))
    early = known.filter(pl.col("known_at") <= pl.col("as_of"))
    if early.height:
        raise BrokenDomain(
            f"{trial.where}: an outcome is known at its own as_of, {early.height} of {known.height}; for "
            f"{about(early, 0)}: {early['value'][0]!r} known at {early['known_at'][0]}"
        )


def an_outcome_never_changes(trial: Trial) -> None:
    """A known outcome never changes later; an open one is null; a void one stays void."""
    asked = trial.pick(MANY)
    last = _outcomes(trial, trial.history, asked)
    _open_is_null(trial, asked, last, trial.history.now)
    if not last["value"].is_not_null().any():
        raise BrokenDomain(f"{trial.where}: not one of {asked.height} questions of the sample has an outcome")
    for moment in _moments(asked, last):
        before = asked["as_of"] <= moment
        questions, later = asked.filter(before), last.filter(before)
        then = _outcomes(trial, trial.history.cut(moment), questions)
        _open_is_null(trial, questions, then, moment)
        known = (later["known_at"] <= moment).fill_null(False)
        unlike = known & (~then["value"].eq_missing(later["value"]) | ~then["known_at"].eq_missing(later["known_at"]))
        early = ~known & then["known_at"].is_not_null()
        for wrong, words in (
            (unlike, "a known outcome changes later"),
            (early, "an outcome that was known is open later, or known anew"),
        ):
            if wrong.any():
                k = int(wrong.arg_true()[0])
                told = [f"{f['value'][k]!r} (known at {f['known_at'][k]})" for f in (then, later)]
                raise BrokenDomain(
                    f"{trial.where}: {words}; for {about(questions, k)}: {told[0]} as known at {moment}, "
                    f"{told[1]} as known at {trial.history.now}"
                )


def _moments(asked: Frame, last: Frame) -> list[datetime]:
    """When to look: as an outcome became known, just before, and as some question was asked."""
    settled = last["known_at"].drop_nulls().sort()
    edges = [settled[int(share * (len(settled) - 1))] for share in (0.1, 0.35, 0.6, 0.85, 1.0)]
    asked_at = [asked["as_of"][int(share * (asked.height - 1))] for share in (0.25, 0.5, 0.9)]
    return sorted({*edges, *(edge - timedelta(microseconds=1) for edge in edges), *asked_at})


def _open_is_null(trial: Trial, asked: Frame, known: Frame, moment: datetime) -> None:
    """Raise BrokenDomain where an outcome that is not known at `moment` has a value."""
    still = known["known_at"].is_null() | (known["known_at"] > moment)
    wrong = still & (known["value"].is_not_null() | known["known_at"].is_not_null())
    if wrong.any():
        k = int(wrong.arg_true()[0])
        raise BrokenDomain(
            f"{trial.where}: an open outcome is not null; for {about(asked, k)}: {known['value'][k]!r}, known at "
            f"{known['known_at'][k]}, where null was due at {moment}"
        )


def _outcomes(trial: Trial, history: History, asked: Frame) -> Frame:
    return join(trial.task, history, asked).select("value", "known_at")


CHECKS: tuple[Callable[[Trial], None], ...] = (
    who_answers_meanwhile_can,
    no_past_question_is_there_twice,
    one_row_a_question_in_any_order,
    outcomes_are_the_targets,
    no_feature_is_infinite,
    the_future_changes_no_feature,
    the_reads_are_enough,
    the_reads_are_enough_to_learn,
    an_outcome_comes_after_its_question,
    an_outcome_never_changes,
)
