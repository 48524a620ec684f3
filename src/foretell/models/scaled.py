"""The simplest of forecasts: what is usual, what is among the features already, and that times its usual error."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from foretell.contract import Block, Cost, Forecast, Frame, Study, quantile
from foretell.errors import NotReady

SHRUNK = 3.0  # outcomes that all others count as beside a group's own
OWN = 5  # outcomes of a group that its own quantiles are taken of
LEAST = 0.2  # a forecast or outcome below that counts as so much: ratios of nothing say nothing


class Given:
    """Quantiles that are features, by level (0.5 among them) the name of the feature and what it is multiplied with.

    The point is the median's.
    """

    needs_training = False
    cost = Cost(forecast=0.01)

    def __init__(self, columns: Mapping[float, tuple[str, float]]) -> None:
        self.columns = dict(sorted(columns.items()))

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - all is in the features
        """Learn nothing; return self."""
        return self

    def forecast(self, study: Study) -> Forecast:
        """What the features say."""
        names, factors = zip(self.columns[0.5], *self.columns.values(), strict=True)
        said = study.features.of_names(names) * np.array(factors)
        return Forecast(rows=Block(("point", *map(quantile, self.columns)), said).frame())

    def save(self, folder: Path) -> None:
        """Nothing is learned."""

    def load(self, folder: Path) -> Self:  # noqa: ARG002
        """Return self."""
        return self


class Scaled(Given):
    """The same times the usual ratio of outcomes to it (geometric mean), of each value of the questions' column `by`.

    Few outcomes are drawn to the median ratio of all. Questions that differ in the feature `apart` (0 or 1) are learned
    apart.
    """

    needs_training = True

    def __init__(self, columns: Mapping[float, tuple[str, float]], *, by: str, apart: str) -> None:
        super().__init__(columns)
        self.by, self.apart = by, apart
        self.ratios: dict[str, float] = {}

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn the ratios; return self. Raises NotReady without outcomes."""
        if outcomes.is_empty():
            raise NotReady("no settled outcome to learn from; bring more history")
        said = super().forecast(study).rows["point"].to_numpy()
        value = outcomes["value"].cast(pl.Float64).to_numpy()
        wrong = np.log(np.maximum(value, LEAST) / np.maximum(said, LEAST))
        found: dict[str, list[float]] = {}
        for (part, name), one in zip(self._groups(study), wrong, strict=True):
            found.setdefault(part, []).append(one)
            found.setdefault(part + name, []).append(one)
        for group, logs in found.items():
            usual = float(np.median(found[group[0]]))
            self.ratios[group] = math.exp((sum(logs) + SHRUNK * usual) / (len(logs) + SHRUNK))
        return self

    def _groups(self, study: Study) -> list[tuple[str, str]]:
        """Each question's part, a digit, and its value of `by`."""
        parts = [f"{part:.0f}" for part in study.features[self.apart]]
        return list(zip(parts, study.questions[self.by].to_list(), strict=True))

    def forecast(self, study: Study) -> Forecast:
        """What the features say, times the ratio of the question's group; of its part, where there is none."""
        of = self.ratios
        ratio = [of.get(part + name, of.get(part, 1.0)) for part, name in self._groups(study)]
        return Forecast(rows=super().forecast(study).rows.select(pl.all() * pl.Series(ratio)))

    def save(self, folder: Path) -> None:
        """Write the ratios."""
        (folder / "scaled.json").write_text(json.dumps(self.ratios))

    def load(self, folder: Path) -> Self:
        """Read the ratios."""
        self.ratios = json.loads((folder / "scaled.json").read_text())
        return self


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
