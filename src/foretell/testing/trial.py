"""A task of a domain before its checks: its sample, its questions, its requests, its fitted candidates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import QUESTION, Ask, Forecast, Frame, History, Sample, Study, Task
from foretell.engine.backtest import Backtest, backtest
from foretell.engine.collect import narrowed
from foretell.engine.model import checked
from foretell.engine.outcomes import settled
from foretell.errors import BrokenDomain
from foretell.testing.exam import Exam, Places

FEW, MANY, LEARNED = 16, 600, 1500  # questions asked of every candidate, of features and outcomes, and learned from


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A request of the sample, and the questions and facts behind it."""

    request: Any
    ask: Ask
    history: History

    @property
    def words(self) -> str:
        """The request in words."""
        return f"request {self.request!r}"


@dataclass(kw_only=True)
class Trial:
    """A task and the sample it is tried on."""

    where: str
    task: Task
    sample: Sample
    seed: int

    @cached_property
    def plans(self) -> list[Plan]:
        """What the sample's requests ask; facts that come with a request are in its history."""
        stored, made = self.sample.history, []
        for request in self.sample.requests[self.task.name]:
            ask = self.task.ask(request, stored)
            if ask.questions.is_empty():
                raise BrokenDomain(f"{self.where}: the sample's request {request!r} asks nothing")
            history = History(stored.standpoint, {**stored.tables, **(ask.history or {})})
            made.append(Plan(request=request, ask=ask, history=history.plus(ask.facts) if ask.facts else history))
        return made

    @cached_property
    def history(self) -> History:
        """The history with past questions: the stored one, or that of a request that brings its own."""
        for history in (self.sample.history, *(plan.history for plan in self.plans)):
            if self.task.questions(history).height:
                return history
        raise BrokenDomain(f"{self.where}: the sample has no past question to learn from")

    @cached_property
    def questions(self) -> Frame:
        """Every past question, oldest first."""
        questions = self.task.questions(self.history)
        for name, dtype in QUESTION.items():
            if questions.schema.get(name) != dtype:
                raise BrokenDomain(f"{self.where}: questions need a column {name} of {dtype}")
            if questions[name].null_count():
                raise BrokenDomain(f"{self.where}: a question has no {name}")
        return questions.sort("as_of", "entity", "at")

    def pick(self, count: int) -> Frame:
        """Some of the questions, oldest first: spread over the sample, and the first and the last ones."""
        height = self.questions.height
        drawn = np.random.default_rng(self.seed).choice(height, min(height, count), replace=False)
        last = np.arange(max(0, height - 4), height)
        return self.questions[np.unique([0, *drawn, *last]).astype(np.int64)]

    @cached_property
    def few(self) -> Frame:
        """The questions that every candidate is asked."""
        return self.pick(FEW)

    @cached_property
    def study(self) -> Study:
        """Those questions on the whole history."""
        return self.task.study(self.history, self.few)

    @cached_property
    def learned(self) -> tuple[Study, Frame]:
        """What the candidates learn from: settled questions, of the first four fifths if they are enough."""
        moment = self.questions["as_of"][int(0.8 * self.questions.height)]
        for history in (self.history.cut(moment), self.history):
            done = settled(self.task, history, self.task.questions(history).sort("as_of", "entity", "at"))
            if done.height:
                drawn = np.random.default_rng(self.seed).choice(done.height, min(done.height, LEARNED), replace=False)
                done = done[np.sort(drawn)]
                study = self.task.study(history, done.drop("value", "known_at"))
                return study, done.select("value", "known_at")
        raise BrokenDomain(f"{self.where}: the sample has no settled outcome to learn from")

    @cached_property
    def exams(self) -> dict[str, Exam]:
        """Every candidate before its checks; one that lacks what it learns with can't be tried."""
        return {name: self._exam(name) for name, make in self.task.candidates.items() if not make().cost.lacking}

    def _exam(self, name: str) -> Exam:
        learn, outcomes = self.learned

        def again(history: History, places: Places) -> Study:
            return self.task.study(history, self.few[places])

        return Exam(
            where=f"{self.where}, candidate {name}",
            target=self.task.target,
            make=self.task.candidates[name],
            learn=learn,
            outcomes=outcomes,
            asked=self.study,
            again=again,
            reads=self.task.reads,
            seed=self.seed,
        )

    @cached_property
    def tested(self) -> Backtest:
        """The race of the candidates."""
        return backtest(self.task, self.history)

    @cached_property
    def said(self) -> list[tuple[str, Plan, Forecast]]:
        """What every candidate says to every request that it has an answer to."""
        made = []
        for plan in self.plans:
            said = [(name, plan, one) for name in self.exams if (one := self.forecast(name, plan))]
            if not said:
                raise BrokenDomain(f"{self.where}: no candidate has an answer to the sample's {plan.words}")
            made += said
        return made

    def forecast(self, name: str, plan: Plan) -> Forecast | None:
        """What a candidate says to a request; None where it has no answer."""
        said = self.exams[name].fitted.forecast(self.task.study(plan.history, plan.ask.questions))
        said = checked(self.task, name, plan.ask.questions, said)
        return None if said.rows.select(pl.any_horizontal(pl.all().is_null())).to_series().any() else said

    def narrowed(self, plan: Plan) -> Plan:
        """The same request with no more history than the reads allow."""
        return replace(plan, history=narrowed(plan.history, self.task.reads, plan.ask.questions))
