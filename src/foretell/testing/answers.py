"""What a task's answers and its race must keep, one sentence a check."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from foretell.contract import Answer, Choice, Floats, Forecast, Quantity, Target, quantile
from foretell.engine.blame import blamed
from foretell.engine.calibration import calibrate
from foretell.engine.model import Model, checked
from foretell.engine.predict import untrained
from foretell.errors import BrokenDomain
from foretell.testing.compare import apart, flat, same
from foretell.testing.exam import some
from foretell.testing.files import pickles
from foretell.testing.trial import Plan, Trial


def _decide(trial: Trial, plan: Plan, said: Forecast) -> Answer:
    """The answer, which must be the task's, be valid, and stay what it is when dumped and validated."""
    answer, wanted = trial.task.decide(said, plan.request, plan.history), trial.task.answer
    if not isinstance(answer, wanted):
        kind = type(answer).__name__
        raise BrokenDomain(f"{trial.where}: decide gives a {kind}, not a {wanted.__name__}, for {plan.words}")
    try:
        again = wanted.model_validate(answer.model_dump(warnings=False))
        wanted.model_validate_json(answer.model_dump_json(warnings=False))
    except ValueError as error:
        raise BrokenDomain(f"{trial.where}: the answer to {plan.words} is not valid: {error}") from error
    if again != answer:
        told = apart(answer.model_dump(), again.model_dump()) or f"{answer!r} and {again!r}"
        raise BrokenDomain(f"{trial.where}: the answer to {plan.words} changes when dumped and validated: {told}")
    return answer


def _headline(trial: Trial, plan: Plan, answer: Answer) -> float:
    figure = trial.task.headline(answer)
    if not math.isfinite(figure):
        raise BrokenDomain(f"{trial.where}: the headline of the answer to {plan.words} is {figure!r}")
    return float(figure)


def every_answer_is_valid(trial: Trial) -> None:
    """Every answer is an instance of the task's answer, with a finite headline, and survives a round trip."""
    for _, plan, said in trial.said:
        _headline(trial, plan, _decide(trial, plan, said))


def the_answer_reads_no_more(trial: Trial) -> None:
    """The declared lookback is true for answers: with what the reads allow its questions, a request gets the same."""
    for name, plan, said in trial.said:
        narrow = trial.narrowed(plan)
        where = f"{trial.where}, candidate {name}"
        told = ("with what is read", "on the whole history")
        words = "the declared reads are too narrow: they change {column}"
        try:
            again = trial.forecast(name, narrow)
            answer = _decide(trial, narrow, said)
        except Exception as error:
            why = blamed(error, trial.task)
            raise BrokenDomain(f"{where}: the declared reads are too narrow for {plan.words}: {why}") from error
        if again is None:
            raise BrokenDomain(f"{where}: the declared reads are too narrow: no forecast for {plan.words}")
        same(where, words, plan.ask.questions, flat(again), flat(said), said=told)
        before = _decide(trial, plan, said)
        if differ := apart(before.model_dump(), answer.model_dump()):
            raise BrokenDomain(
                f"{where}: the declared reads are too narrow: they change the answer to {plan.words}; {differ}"
            )


def the_answer_follows_the_forecast(trial: Trial) -> None:
    """An answer's headline does not fall when the forecast rises, and somewhere it rises with it."""
    target = trial.task.target
    if isinstance(target, Choice):
        _each_class_answers(trial)
        return
    moved, seen = False, set()
    for name, plan, said in trial.said:
        if id(plan) in seen:
            continue
        seen.add(id(plan))
        before = _headline(trial, plan, _decide(trial, plan, said))
        for words, higher in risen(target, said):
            after = _headline(trial, plan, _decide(trial, plan, higher))
            if after < before - 1e-9 * abs(before):
                raise BrokenDomain(
                    f"{trial.where}: the answer moves the wrong way: its headline falls from {before!r} to {after!r} "
                    f"when the forecast of {name} is {words}, for {plan.words}"
                )
            moved |= after > before + 1e-9 * abs(before)
    if not moved:
        raise BrokenDomain(
            f"{trial.where}: the answer never moves: the headline of all {len(seen)} requests of the sample stays the "
            "same when the forecast rises"
        )


def risen(target: Target, said: Forecast) -> list[tuple[str, Forecast]]:
    """The same forecast, higher: each way with its words."""
    ways: dict[str, Callable[[Floats, Floats], Floats]]
    if isinstance(target, Quantity):
        low, high = (said.rows[quantile(pick(target.levels))].to_numpy() for pick in (min, max))
        width = np.where(high > low, high - low, 1.0)
        ways = {
            "made half as high again": lambda x, _: x + 0.5 * np.abs(x),
            "moved up by its spread": lambda x, wide: x + wide,
        }
    else:
        width = np.ones(said.rows.height)
        ways = {
            "moved half way to certain": lambda x, _: x + 0.5 * (1 - x),
            "almost certain": lambda x, _: x + 0.98 * (1 - x),
        }
    columns = [name for name in target.columns if name in said.rows.columns]
    return [
        (
            words,
            replace(
                said,
                rows=said.rows.with_columns(pl.Series(c, move(said.rows[c].to_numpy(), width)) for c in columns),
                draws=None if said.draws is None else move(said.draws, width[:, None]),
            ),
        )
        for words, move in ways.items()
    ]


def _each_class_answers(trial: Trial) -> None:
    """Whichever class almost all of the chance is given to, there is a valid answer, and not always the same."""
    answers, classes = set(), set()
    for _, plan, said in trial.said:
        names = [name for name in said.rows.columns if name.startswith("p:")]
        classes |= set(names)
        for best in names:
            rest = 0.02 / max(1, len(names) - 1)
            rows = said.rows.with_columns(pl.lit(0.98 if name == best else rest).alias(name) for name in names)
            answer = _decide(trial, plan, replace(said, rows=rows))
            _headline(trial, plan, answer)
            answers.add(answer.model_dump_json())
    if len(classes) > 1 and len(answers) < 2:
        raise BrokenDomain(
            f"{trial.where}: the answer never moves: it is {answers.pop()} whichever of {', '.join(sorted(classes))} "
            "is almost certain"
        )


def some_candidate_beats_the_baseline(trial: Trial) -> None:
    """Some candidate beats the baseline on the sample, by the metric of the gate."""
    task, metric = trial.task, trial.task.gate.metric
    errors = {name: scores.get(metric) for name, scores in trial.tested.scores().items()}
    base = errors.pop(task.baseline)
    if base is None:
        raise BrokenDomain(f"{trial.where}: the baseline {task.baseline} has no {metric} on the sample")
    measured = {name: error for name, error in errors.items() if error is not None}
    if not any(error < base for error in measured.values()):
        best = ", ".join(f"{name} {error:.6g}" for name, error in sorted(measured.items(), key=lambda e: e[1]))
        skipped = "".join(f"; {name} {why}" for name, why in trial.tested.skipped.items())
        raise BrokenDomain(
            f"{trial.where}: no candidate beats the baseline: {metric} {base:.6g} of {task.baseline}, "
            f"{best or 'nothing'} of the others on {trial.tested.asked.height} outcomes{skipped}"
        )


def a_reloaded_model_says_the_same(trial: Trial) -> None:
    """A saved and reloaded model, with calibration and card, says the same to the last bit, without a pickle."""
    for name, exam in trial.exams.items():
        rows = checked(trial.task, name, trial.few, exam.fitted.forecast(exam.asked)).rows
        answered = rows.select(~pl.any_horizontal(pl.all().is_null())).to_series().arg_true()
        study = some(exam.asked, answered.to_numpy().astype(np.int64)[-8:])
        raw, asked, now = trial.tested.raw.get(name), trial.tested.asked, trial.history.now
        model = Model(
            task=trial.task,
            forecaster=exam.fitted,
            calibration=None if raw is None else calibrate(trial.task.target, raw, asked, now),
            card=untrained(trial.task, name, trial.history).card,
        )
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder))
            if found := pickles(Path(folder)):
                raise BrokenDomain(f"{exam.where} saves a pickle: {', '.join(found)}")
            loaded = Model.load(trial.task, Path(folder))
        one, two = (flat(each.forecast(study)) for each in (model, loaded))
        words, told = "saving and loading the model changes {column}", ("after loading", "before saving")
        same(exam.where, words, study.questions, two, one, said=told, exact=True)


VALID: tuple[Callable[[Trial], None], ...] = (
    every_answer_is_valid,
    the_answer_reads_no_more,
    the_answer_follows_the_forecast,
)
RACE: tuple[Callable[[Trial], None], ...] = (some_candidate_beats_the_baseline, a_reloaded_model_says_the_same)
