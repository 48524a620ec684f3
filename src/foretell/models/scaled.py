"""The simplest of forecasts: what is usual, and what is among the features already."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Self

import numpy as np
import polars as pl

from foretell.contract import Block, Cost, Forecast, Frame, Study, quantile
from foretell.errors import NotReady

OWN = 5  # outcomes of a group that its own quantiles are taken of


class Untrained:
    """What learns nothing: all that it says is in the history, or in the features."""

    needs_training = False
    cost = Cost(forecast=0.01)

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002
        """Learn nothing; return self."""
        return self

    def save(self, folder: Path) -> None:
        """Nothing is learned."""

    def load(self, folder: Path) -> Self:  # noqa: ARG002
        """Return self."""
        return self


class Given(Untrained):
    """Quantiles that are features: by level (0.5 among them) the feature's name. The point is the median's."""

    def __init__(self, columns: Mapping[float, str]) -> None:
        self.columns = dict(sorted(columns.items()))

    def forecast(self, study: Study) -> Forecast:
        """What the features say."""
        said = study.features.of_names([self.columns[0.5], *self.columns.values()])
        return Forecast(rows=Block(("point", *map(quantile, self.columns)), said).frame())


class Around(Given):
    """A feature, and quantiles around it: log-normal, as wide as another feature says (of the logarithm)."""

    def __init__(self, column: str, *, wide: str, levels: Sequence[float]) -> None:
        self.column, self.wide, self.levels = column, wide, tuple(levels)

    def forecast(self, study: Study) -> Forecast:
        """What the features say."""
        middle = study.features[self.column]
        away = np.array([0.0, *(NormalDist().inv_cdf(level) for level in self.levels)])
        said = middle[:, None] * np.exp(np.outer(study.features[self.wide], away))
        return Forecast(rows=Block(("point", *map(quantile, self.levels)), said).frame())


class Usual:
    """The median and quantiles of the outcomes, of each value of the questions' column `by` that has enough of them."""

    needs_training = True
    cost = Cost(fit=0.01, forecast=0.01)

    def __init__(self, *, levels: Sequence[float], by: str) -> None:
        self.levels, self.by = tuple(levels), by
        self.said: dict[str, list[float]] = {}

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn the quantiles; return self. Raises NotReady without outcomes."""
        if outcomes.is_empty():
            raise NotReady("no settled outcome to learn from; bring more history")
        value = outcomes["value"].cast(pl.Float64).to_numpy()
        group = study.questions[self.by].to_numpy()
        rows = {name: value[group == name] for name in np.unique(group)}
        kept = {"": value} | {name: one for name, one in rows.items() if len(one) >= OWN}
        self.said = {name: np.quantile(one, (0.5, *self.levels)).tolist() for name, one in kept.items()}
        return self

    def forecast(self, study: Study) -> Forecast:
        """The same for all of a group."""
        said = np.array([self.said.get(name, self.said[""]) for name in study.questions[self.by]])
        return Forecast(rows=Block(("point", *map(quantile, self.levels)), said).frame())

    def save(self, folder: Path) -> None:
        """Write the quantiles."""
        (folder / "usual.json").write_text(json.dumps(self.said))

    def load(self, folder: Path) -> Self:
        """Read the quantiles."""
        self.said = json.loads((folder / "usual.json").read_text())
        return self
