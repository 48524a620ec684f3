"""What can be in a race for effort and points: what is usual, what issues alike took, what a text and a record say.

All speak of the project's finished issues as they were known when a question was asked. What is learned is learned of
all projects, and of each; so a project that is new is answered by trees, by a line and by issues alike alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, Self

import numpy as np
import polars as pl

from foretell.contract import Block, Cost, Floats, Forecast, Forecaster, Frame, History, Quantity, Study
from foretell.domains.agile.features import described, finished
from foretell.models import cases, text, weighed
from foretell.models.boosted import BoostedQuantiles
from foretell.models.cases import Asked, Cases, Names, Part, names
from foretell.models.graded import Graded, fresh
from foretell.models.loglinear import LogLinear
from foretell.models.scaled import Untrained
from foretell.models.text import Sparse

HOURS = Quantity(unit="hours", levels=(0.1, 0.25, 0.5, 0.75, 0.9), lower=0.0)
What = Literal["hours", "points"]
TOOK = {"hours": "actual_hours", "points": "points"}
NEAR = 10  # issues alike that count
LENGTHS = (1.0, 0.5, 1.5, 0.5)  # of the parts of `written`; like what follows chosen on the middle of public sets
LINED = (1.5, 0.5, 1.0, 1.0)  # the same to a line through hours; chosen on generated workspaces
DIRECTIONS = 24  # numbers that texts are told in to the trees
FEWEST = 300  # outcomes of a project that trees of its own are grown on
ROUNDS = 80
SHAPE = {"learning_rate": 0.06, "num_leaves": 15, "min_data_in_leaf": 60, "feature_fraction": 0.6,
         "bagging_fraction": 0.7, "bagging_freq": 1, "max_bin": 63}  # fmt: skip
RANKED = ("type", "component", "assignee")
SETTLED = 20.0  # outcomes of a category that are worth as much as what is usual


def ended(history: History, what: What) -> Frame:
    """The finished issues that took hours, or have points."""
    known = pl.col("hours") > 0 if what == "hours" else pl.col("points").is_not_null()
    return history.stored.once(lambda past: finished(past).filter(known), ("ended", what))


def past_of(history: History, what: What) -> Cases:
    """The same as cases."""
    return history.stored.once(lambda past: _cases(ended(past, what), what), ("past", what))


def _cases(done: Frame, what: What) -> Cases:
    return Cases(
        entity=names(done["entity"]), title=done["title"].to_list(), group=names(done["project"]),
        kind=names(done["type"]), known_at=done["known_at"].dt.epoch("us").to_numpy(),
        value=done[what].cast(pl.Float64).to_numpy(),
    )  # fmt: skip


def asked_of(study: Study, known: Frame) -> Asked:
    """The questions, of the issues as they were `known`."""
    asked = study.questions
    return Asked(names(asked["entity"]), names(known["project"]), asked["as_of"].dt.epoch("us").to_numpy())


class Usual(Untrained):
    """What is usual in the project: the median of hours, how often each points was given.

    With `by_type` it is the mean of hours of the issues of the same type, where there are any.
    """

    names_alike = False
    cost = Cost(forecast=0.3)

    def __init__(self, what: What, *, by_type: bool = False) -> None:
        self.what, self.by_type = what, by_type

    def forecast(self, study: Study) -> Forecast:
        """Quantiles of hours, or a chance of each points."""
        known, past = described(study.history, study.questions), past_of(study.history, self.what)
        weigh = partial(self._weigh, past, names(known["type"]))
        return self._told(asked_of(study, known), past, weigh, mean=self.by_type)

    def _weigh(self, past: Cases, types: Names, part: Part) -> tuple[Floats, None]:
        if not self.by_type:
            return part.there, None
        same = part.there * (past.kind[part.rows] == types[part.places, None])
        return np.where(same.any(axis=1, keepdims=True), same, part.there), None

    def _told(self, asked: Asked, past: Cases, weigh: cases.Weigh, *, mean: bool) -> Forecast:
        took = TOOK[self.what] if self.names_alike else None
        if self.what == "hours":
            return cases.numbers(asked, past, weigh, HOURS.levels, took, mean=mean)
        return cases.choices(asked, past, weigh, cases.shares, took)


class Jaccard(Usual):
    """What the finished issues took whose titles share most words with the one asked about; hours as their mean."""

    names_alike = True
    cost = Cost(forecast=1.0)
    DRAWN = 1.0  # what all finished issues count together, beside those alike with the square of how alike they are

    def forecast(self, study: Study) -> Forecast:
        """As what is usual; as evidence `similar`, the issues most alike with what they really took."""
        known, past = described(study.history, study.questions), past_of(study.history, self.what)
        theirs = study.history.stored.once(lambda history: _titles(ended(history, self.what)), ("titles", self.what))
        weigh = partial(self._near, text.shared, _titles(known), theirs)
        return self._told(asked_of(study, known), past, weigh, mean=True)

    def _near(
        self, alike: Callable[[Sparse, Sparse], Floats], mine: Sparse, theirs: Sparse, part: Part
    ) -> tuple[Floats, Floats]:
        found = weighed.nearest(alike(mine[part.places], theirs[part.rows]) * part.there, NEAR)
        every = self.DRAWN * part.there / part.there.sum(axis=1, keepdims=True)
        return found**2 + every, found


class _Unnamed(Jaccard):
    """The same without naming the issues alike: to name them of all past questions takes as long as to find them."""

    names_alike = False


def _titles(known: Frame) -> Sparse:
    """Which words are in each title."""
    return text.bag(known["title"].to_list(), "title").sign()


def written(known: Frame) -> list[Sparse]:
    """What is written in issues: words and pieces of titles, words of descriptions, and what they are marked as."""
    title, description = known["title"].to_list(), known["description"].to_list()
    names = ("type", "priority", "component", "epic", "assignee")
    marked = [
        [f"{name} {value}" for name, value in zip(names, row, strict=True) if value]
        + [f"title {text.length(title[k])}", f"description {text.length(description[k])}"]
        for k, row in enumerate(known.select(names).iter_rows())
    ]
    return [
        text.bag(title, "title", "pairs"),
        text.bag(title, "piece", "pieces"),
        text.bag(description, "description", "pairs"),
        text.marks(marked),
    ]


class Similar(Jaccard):
    """What the finished issues took that read most like the one asked about, by the cosine of their TF-IDF."""

    needs_training = True
    cost = Cost(fit=0.3, forecast=1.0)
    DRAWN = 0.3

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - they are in the history
        """Keep the finished issues and what they say; return self."""
        done = ended(study.history, self.what)
        bags = _said(done)
        self.past = replace(past_of(study.history, self.what), whole=True)
        self.weighed = text.Weighed.of(bags)
        self.told = self.weighed.told(bags, (0.5, 0.5))
        return self

    def forecast(self, study: Study) -> Forecast:
        """As what is usual; as evidence `similar`, the issues most alike with what they really took."""
        known = described(study.history, study.questions)
        mine = self.weighed.told(_said(known), (0.5, 0.5))
        weigh = partial(self._near, text.alike, mine, self.told)
        return self._told(asked_of(study, known), self.past, weigh, mean=True)

    def save(self, folder: Path) -> None:
        """Write issues and what they say."""
        self.past.save(folder)
        told = {name: getattr(self.told, name) for name in ("data", "indices", "indptr")}
        np.savez(folder / "similar.npz", weight=self.weighed.weight, **told)

    def load(self, folder: Path) -> Self:
        """Read them."""
        self.past = Cases.load(folder)
        with np.load(folder / "similar.npz") as kept:
            self.weighed = text.Weighed(kept["weight"])
            self.told = text.whole(kept["data"], kept["indices"], kept["indptr"])
        return self


def _said(known: Frame) -> list[Sparse]:
    return [text.bag(known[name].to_list(), name) for name in ("title", "description")]


class Written(Usual):
    """A distribution over the project's own scale: what is usual, leaned towards what is written."""

    needs_training = True
    cost = Cost(fit=1.5, forecast=1.0)

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn from the newest question about each issue; return self."""
        asked = study.questions.with_columns(outcomes["value"].cast(pl.Float64)).sort("as_of", "entity", "at")
        asked = asked.unique("entity", keep="last", maintain_order=True)
        known = described(study.history, asked)
        self.graded = Graded.of(written(known), LENGTHS, known["project"].to_list(), asked["value"].to_numpy())
        return self

    def forecast(self, study: Study) -> Forecast:
        """A chance of each points."""
        known, past = described(study.history, study.questions), past_of(study.history, "points")
        score = self.graded.score(written(known), LENGTHS, known["project"].to_list())

        def say(part: Part, given: Floats) -> Floats:
            return self.graded.chance(score[part.places], given, part.there.sum(axis=1))

        asked = asked_of(study, known)
        return cases.choices(asked, past, lambda part: (fresh(part.there), None), say, None)

    def save(self, folder: Path) -> None:
        """Write what was learned."""
        self.graded.save(folder)

    def load(self, folder: Path) -> Self:
        """Read it."""
        self.graded = Graded.load(folder)
        return self


class Linear(Usual):
    """Quantiles of hours by a line through their logarithms, in what is written and in an issue's record."""

    needs_training = True
    cost = Cost(fit=0.6, forecast=1.0)

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Draw the line; return self."""
        asked, value = study.questions, outcomes["value"].cast(pl.Float64).to_numpy()
        bags, numbers = written(described(study.history, asked)), study.features.values
        self.line = LogLinear.of(bags, LINED, numbers, value, names(asked["entity"]), HOURS.levels)
        return self

    def forecast(self, study: Study) -> Forecast:
        """Quantiles in rising order; as evidence `similar`, as of Jaccard."""
        known = described(study.history, study.questions)
        said = self.line.said(written(known), LINED, study.features.values)
        rows = Block(tuple(HOURS.columns), said).frame()
        return Forecast(rows=rows, evidence=Jaccard("hours").forecast(study).evidence)

    def save(self, folder: Path) -> None:
        """Write the line."""
        self.line.save(folder)

    def load(self, folder: Path) -> Self:
        """Read it."""
        self.line = LogLinear.load(folder)
        return self


class Boosted:
    """Quantiles of hours by boosted trees on an issue's record, what is written, its categories, and issues alike.

    They are learned relative to people's estimate; without one to what is usual for its type or project. With `own`
    each project with at least `FEWEST` outcomes has trees of its own, beside those of all.
    """

    needs_training = True
    cost = Cost(fit=1.0, forecast=1.0)
    reduced: text.Reduced
    codes: Mapping[str, Mapping[str, float]]

    def __init__(self, *, own: bool = False) -> None:
        self.own = own
        self.trees: dict[str, BoostedQuantiles] = {}
        self.seen: Study | None = None

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Grow the trees; return self. Those of all projects are grown once for whoever asks."""
        asked = int(study.questions.select("entity", "as_of").hash_rows().sum())
        grown = study.history.once(lambda _: Boosted()._grow(study, outcomes), ("grown", study.questions.height, asked))
        self.reduced, self.codes = grown.reduced, grown.codes
        self.trees, seen = dict(grown.trees), grown.seen
        assert seen is not None
        projects = study.questions["project"]
        for name, count in sorted(projects.value_counts().iter_rows()) if self.own else ():
            if count >= FEWEST:
                rows = np.flatnonzero(projects == name)
                mine = replace(seen, questions=seen.questions[rows], features=seen.features.rows(rows))
                self.trees[name] = self._trees(seen.features.names).fit(mine, outcomes[rows])
        return self

    def _grow(self, study: Study, outcomes: Frame) -> Self:
        """The trees of all projects, and in `seen` what they were grown on."""
        known = described(study.history, study.questions)
        bags, value = written(known)[:3], np.log(outcomes["value"].cast(pl.Float64).to_numpy())
        self.reduced = text.Reduced.of(bags, LENGTHS[:3], DIRECTIONS)
        self.codes = {name: weighed.by_name(known[name], value, SETTLED) for name in RANKED}
        self.seen = seen = self._seen(study, known, bags, _Unnamed("hours").forecast(study))
        self.trees = {"": self._trees(seen.features.names).fit(seen, outcomes)}
        return self

    def _trees(self, names: Sequence[str]) -> BoostedQuantiles:
        columns = [name for name in names if name != "scale"]
        return BoostedQuantiles(
            columns=columns, levels=HOURS.levels, scale="scale", rounds=ROUNDS, shape=SHAPE, lower=0.0
        )

    def _seen(self, study: Study, known: Frame, bags: list[Sparse], alike: Forecast) -> Study:
        """The study with the numbers that the trees see."""
        said = self.reduced.told(bags, LENGTHS[:3])
        more = {f"text_{k}": said[:, k] for k in range(said.shape[1])}
        for name, codes in self.codes.items():
            more[f"rank of {name}"] = np.array([codes.get(one, np.nan) for one in known[name]])
        record = study.features
        estimate, scale = record["estimate_hours"], np.exp(record["type_mean"])
        scale = np.where(np.isnan(scale), np.exp(record["project_mean"]), scale)
        more["alike"] = np.log(alike.rows["point"].to_numpy())
        more["scale"] = np.where(np.nan_to_num(estimate) > 0, estimate, scale)
        values = np.column_stack([record.values, *more.values()])
        return replace(study, features=Block((*record.names, *more), values))

    def forecast(self, study: Study) -> Forecast:
        """Quantiles in rising order, by the trees of the project where it has some."""
        known, alike = described(study.history, study.questions), Jaccard("hours").forecast(study)
        seen = self._seen(study, known, written(known)[:3], alike)
        whose = np.array([name if name in self.trees else "" for name in known["project"]])
        said = np.empty((len(known), 1 + len(HOURS.levels)))
        for name in dict.fromkeys(whose.tolist()):
            rows = np.flatnonzero(whose == name)
            mine = replace(seen, questions=seen.questions[rows], features=seen.features.rows(rows))
            said[rows] = self.trees[name].forecast(mine).rows.to_numpy()
        return Forecast(rows=Block(tuple(HOURS.columns), said).frame(), evidence=alike.evidence)

    def save(self, folder: Path) -> None:
        """Write directions as npz, the trees as LightGBM text, the rest as JSON."""
        self.reduced.save(folder)
        names = next(iter(self.trees.values())).columns
        (folder / "boosted.json").write_text(
            json.dumps({"codes": self.codes, "columns": names, "projects": list(self.trees)})
        )
        for k, trees in enumerate(self.trees.values()):
            (folder / str(k)).mkdir()
            trees.save(folder / str(k))

    def load(self, folder: Path) -> Self:
        """Read them."""
        self.reduced = text.Reduced.load(folder)
        told = json.loads((folder / "boosted.json").read_text())
        self.codes = told["codes"]
        self.trees = {
            name: self._trees(told["columns"]).load(folder / str(k)) for k, name in enumerate(told["projects"])
        }
        return self


EFFORT: Mapping[str, Callable[[], Forecaster]] = {
    "median": partial(Usual, "hours"),
    "by_type": partial(Usual, "hours", by_type=True),
    "jaccard": partial(Jaccard, "hours"),
    "similar": partial(Similar, "hours"),
    "linear": partial(Linear, "hours"),
    "boosted": Boosted,
    "own": partial(Boosted, own=True),
}
POINTS: Mapping[str, Callable[[], Forecaster]] = {
    "majority": partial(Usual, "points"),
    "jaccard": partial(Jaccard, "points"),
    "similar": partial(Similar, "points"),
    "ridge": partial(Written, "points"),
}
