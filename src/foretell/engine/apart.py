"""A champion for each project, plant or whatever a task's `scope` names: each is served by who has done best there.

It takes part in the race like any candidate. In a fold it knows of each scope only how the candidates did in the folds
before, as it would have in service.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Cost, Forecast, Forecaster, Frame, Study, Task
from foretell.engine import calibration
from foretell.engine.calibration import Calibration
from foretell.engine.scores import score

SHRUNK = 100.0  # outcomes of a scope that count as much as what the candidates are worth everywhere
HEAD = 5.0  # times the baseline's error: what all others must have gained in sum on who answers meanwhile


def name_of(task: Task) -> str | None:
    """What it is called in a race; None for a task without a scope."""
    return f"by {task.scope}" if task.scope else None


def made(task: Task, candidate: str) -> Forecaster:
    """A candidate as it is made, by its name in a race. Raises KeyError for one that the task doesn't have."""
    return Apart(task) if candidate == name_of(task) else task.candidates[candidate]()


class Apart:
    """Several candidates of a task, and which of them answers for which scope; `""` for one not known before.

    It has no draws: not all of them may have some, and an answer must not depend on what else is asked with it.
    """

    needs_training = True

    def __init__(
        self, task: Task, who: Mapping[str, str] | None = None, meant: Mapping[str, Calibration] | None = None
    ) -> None:
        self.task, self.who = task, {"": task.baseline, **(who or {})}
        self.meant = meant or {}  # by candidate: each is calibrated for itself
        self.of = {name: task.candidates[name]() for name in sorted({*self.who.values()})}
        costs = [one.cost for one in self.of.values()]
        self.cost = Cost(
            start=sum(one.start for one in costs),
            fit=sum(one.fit for one in costs),
            forecast=max(one.forecast for one in costs),
        )

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Fit each that needs it; return self."""
        self.of = {name: one.fit(study, outcomes) if one.needs_training else one for name, one in self.of.items()}
        return self

    def forecast(self, study: Study) -> Forecast:
        """What each says of its scopes; `method` in the evidence tells who."""
        chosen = np.array([self.who.get(scope, self.who[""]) for scope in scopes(self.task, study.questions)])
        places = {name: np.flatnonzero(chosen == name) for name in dict.fromkeys(chosen)}
        if len(places) == 1:
            return self._said(chosen[0], study)
        said = {}
        for name, place in places.items():
            asked, features = study.questions[place], study.features.rows(place)
            said[name] = self._said(name, Study(history=study.history, questions=asked, features=features))
        return together(said, np.argsort(np.concatenate([*places.values()])))

    def _said(self, name: str, study: Study) -> Forecast:
        """What a candidate means, signed by it."""
        said = self.of[name].forecast(study)
        said = self.meant[name].apply(said) if name in self.meant else said
        evidence = said.evidence
        if "method" not in evidence.columns:
            method = pl.Series("method", [name] * said.rows.height, dtype=pl.String)
            evidence = evidence.with_columns(method) if evidence.width else method.to_frame()
        return Forecast(rows=said.rows, evidence=evidence)

    def save(self, folder: Path) -> None:
        """Write who answers for whom, and each in a folder of its own."""
        meant = {name: one.to_dict() for name, one in self.meant.items()}
        (folder / "who.json").write_text(json.dumps({"who": self.who, "meant": meant}))
        for k, one in enumerate(self.of.values()):
            (folder / f"{k}").mkdir()
            one.save(folder / f"{k}")

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote."""
        told = json.loads((folder / "who.json").read_text())
        read = {name: calibration.read(self.task.target, one) for name, one in told["meant"].items()}
        meant = {name: one for name, one in read.items() if one is not None}
        found = type(self)(self.task, told["who"], meant)
        found.of = {name: one.load(folder / f"{k}") for k, (name, one) in enumerate(found.of.items())}
        return found


def scopes(task: Task, asked: Frame) -> pl.Series:
    """The scope of each question."""
    return asked[task.scope or "entity"]


def together(said: Mapping[str, Forecast], order: NDArray[np.int64]) -> Forecast:
    """Forecasts below each other, in an order; of a class that one has not there was no chance with it."""
    rows = pl.concat([one.rows for one in said.values()], how="diagonal")
    if rows.columns[0].startswith("p:"):  # a class that one of them did not know had no chance with it
        rows = rows.fill_null(0.0)
    evidence = pl.concat([one.evidence for one in said.values()], how="diagonal")
    return Forecast(rows=rows[order], evidence=evidence[order] if evidence.width else evidence)


def best(task: Task, asked: Frame, said: Mapping[str, Frame]) -> dict[str, str]:
    """Who has the least of the gate's metric in each scope (`""`: everywhere), of `asked` with outcomes.

    What a candidate is worth beside the baseline in a scope is drawn to what it is worth everywhere.
    """
    everywhere = _handicapped(task, asked, said)
    who = {"": min(everywhere, key=everywhere.__getitem__, default=task.baseline)}
    for scope, n in scopes(task, asked).value_counts().iter_rows():
        here = scopes(task, asked) == scope
        found = _worth(task, asked.filter(here), {name: rows.filter(here) for name, rows in said.items()})
        drawn = {
            name: (n * found.get(name, usual) + SHRUNK * usual) / (n + SHRUNK) for name, usual in everywhere.items()
        }
        who[scope] = min(drawn, key=drawn.__getitem__, default=task.baseline)
    return who


def _worth(task: Task, asked: Frame, said: Mapping[str, Frame]) -> dict[str, float]:
    """Each candidate's error as a share of the baseline's, the baseline first."""
    errors = {name: score(task.target, rows, asked["value"]).get(task.gate.metric) for name, rows in said.items()}
    base = errors[task.baseline]
    return {name: error / base for name, error in errors.items() if error is not None} if base else {}


def _handicapped(task: Task, asked: Frame, said: Mapping[str, Frame]) -> dict[str, float]:
    """The same, with the `HEAD` start of who answers `meanwhile` where the task names somebody."""
    late = HEAD / asked.height if task.meanwhile in said else 0.0
    return {name: share + late * (name != task.meanwhile) for name, share in _worth(task, asked, said).items()}


def raced(task: Task, asked: Frame, said: Mapping[str, Frame]) -> Frame:
    """What it would have said to `asked`: in each fold by who was best in the folds before.

    In the first who answers `meanwhile` says it, or the baseline.
    """
    first = task.meanwhile if task.meanwhile in said else task.baseline
    chosen = np.full(asked.height, first, dtype=object)
    fold = asked["fold"].to_numpy()
    for now in np.unique(fold)[1:]:
        past = pl.Series(fold < now)
        who = best(task, asked.filter(past), {name: rows.filter(past) for name, rows in said.items()})
        here = np.flatnonzero(fold == now)
        chosen[here] = [who.get(scope, who[""]) for scope in scopes(task, asked)[here]]
    places = {name: np.flatnonzero(chosen == name) for name in dict.fromkeys(chosen)}
    return together(
        {name: Forecast(rows=said[name][place]) for name, place in places.items()},
        np.argsort(np.concatenate([*places.values()])),
    ).rows


def worth(task: Task, asked: Frame, said: Frame, base: Frame) -> dict[str, tuple[int, float, float]]:
    """By scope how many outcomes there were, and the gate's metric of what was `said` of them and of the baseline's."""
    out = {}
    for scope in scopes(task, asked).unique().sort():
        here = scopes(task, asked) == scope
        mine, its = (score(task.target, rows.filter(here), asked["value"].filter(here)) for rows in (said, base))
        error, usual = mine.get(task.gate.metric), its.get(task.gate.metric)
        if error is not None and usual is not None:
            out[scope] = int(here.sum()), error, usual
    return out
