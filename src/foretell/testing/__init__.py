"""The checks that every domain passes, ours and third parties': an executable contract, one sentence a check.

    from foretell.testing import check_domain

    def test_my_domain_keeps_the_contract():
        check_domain(DOMAIN)

Every check is a function with that sentence; what breaks it raises BrokenDomain, which names the domain and task, the
rule, the question and the two values that should be one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from foretell.contract import Domain, Forecaster, Frame, History, Study, Target
from foretell.engine.blame import blamed
from foretell.errors import BrokenDomain
from foretell.testing import answers, declared, exam, facts, reports, sources, tasks
from foretell.testing.exam import Exam, Places
from foretell.testing.trial import Trial

__all__ = ["check_domain", "check_model"]

T = TypeVar("T")


def check_domain(domain: Domain, *, seed: int = 1, deep: bool = True) -> None:
    """Hold a domain to the contract on its own sample; raises BrokenDomain at the first rule it breaks.

    Not `deep`: sample, questions, features and outcomes only, without its candidates, which takes a second.
    """
    sample = domain.sample(seed)
    world = facts.World(domain=domain, sample=sample, seed=seed)
    for whole in (*facts.CHECKS, *declared.CHECKS, *sources.CHECKS):
        _run(whole, world, domain.name, whole)
    for task in domain.tasks:
        where = f"{domain.name}, {task.name}"
        trial = Trial(where=where, task=task, sample=sample, seed=seed)
        for check in tasks.CHECKS:
            _run(check, trial, where, check)
        if not deep:
            continue
        for one in _run(lambda trial: trial.exams, trial, where, Trial).values():
            for look in exam.CHECKS:
                _run(look, one, one.where, look)
        for check in (*answers.VALID, *answers.RACE):
            _run(check, trial, where, check)
    for report in domain.reports:
        where = f"{domain.name}, {report.name}"
        for each in reports.CHECKS:
            _run(each, reports.Paper(where=where, report=report, sample=sample), where, each)


def check_model(
    make: Callable[[], Forecaster], study: Study, outcomes: Frame, target: Target, *, name: str = "", seed: int = 1
) -> None:
    """Hold a forecaster to the contract: it learns from `study` and its settled `outcomes`, and is asked its newest.

    Raises BrokenDomain, with `name`, at the first rule it breaks.
    """
    places = study.questions.with_row_index("place").sort("as_of", "entity", "at")["place"].to_numpy()[-24:]
    asked = exam.some(study, places.astype("int64"))

    def again(history: History, places: Places) -> Study:
        return Study(history=history, questions=asked.questions[places], features=asked.features.rows(places))

    where = f"model {name or getattr(make, '__name__', type(make).__name__)}"
    one = Exam(
        where=where, target=target, make=make, learn=study, outcomes=outcomes, asked=asked, again=again, seed=seed
    )
    for look in exam.CHECKS:
        _run(look, one, where, look)


R = TypeVar("R")


def _run(check: Callable[[T], R], on: T, where: str, named: Callable[..., object]) -> R:
    """Run a check; whatever stops it is told with the domain, the task and the check's own sentence."""
    sentence = (named.__doc__ or "").splitlines()[0]
    try:
        return check(on)
    except BrokenDomain as error:
        if str(error).startswith(where):
            raise
        told = str(error)
        for part in where.split(", "):  # the engine names the task itself
            told = told.removeprefix(f"{part}: ")
        raise BrokenDomain(f"{where}: {told} (checked: {sentence})") from error
    except Exception as error:
        owner = next((one for name in ("task", "domain", "report") if (one := getattr(on, name, None))), on)
        raise BrokenDomain(f"{where}: {blamed(error, owner)} (checked: {sentence})") from error
