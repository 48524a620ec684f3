"""The simplest of forecasts: what is usual, what is among the features already, and that times its usual error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Block, Cost, Floats, Forecast, Frame, Study, quantile
from foretell.errors import NotReady

Names = NDArray[np.str_]

SHRUNK = 3.0  # outcomes that all others count as beside a group's own
OWN = 5  # outcomes of a group that its own quantiles are taken of
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
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


class Scaled:
    """Two such forecasts between each other, times what the outcome usually was beside that (geometric means).

    The ratio is that of each value of the questions' column `by`; few outcomes are drawn to the median of all. How near
    to which of the two is learned, too, and all of it apart for questions that differ in the feature `apart` (0 or 1).
    """

    needs_training = True
    cost = Cost(fit=0.05, forecast=0.02)

    def __init__(self, one: Given, other: Given, *, by: str, apart: str) -> None:
        self.both, self.by, self.apart = (one, other), by, apart
        self.shares: dict[str, float] = {}
        self.ratios: dict[str, float] = {}

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn shares and ratios; return self. Raises NotReady without outcomes."""
        if outcomes.is_empty():
            raise NotReady("no settled outcome to learn from; bring more history")
        value = np.log(np.maximum(outcomes["value"].cast(pl.Float64).to_numpy(), LEAST))
        one, other = (said[:, 0] for said in self._logs(study))
        parts, names = self._groups(study)
        for part in np.unique(parts):
            here = parts == part
            tried = {share: _ratios((value - share * one - (1 - share) * other)[here], names[here]) for share in SHARES}
            self.shares[part] = min(tried, key=lambda share: tried[share][0])
            self.ratios |= {part + name: ratio for name, ratio in tried[self.shares[part]][1].items()}
        return self

    def _logs(self, study: Study) -> list[Floats]:
        """What the two say, in logarithms."""
        return [np.log(np.maximum(one.forecast(study).rows.to_numpy(), LEAST)) for one in self.both]

    def _groups(self, study: Study) -> tuple[Names, Names]:
        """Each question's part, a digit, and its value of `by`."""
        part = np.array([f"{part:.0f}" for part in study.features[self.apart]])
        return part, study.questions[self.by].to_numpy()

    def forecast(self, study: Study) -> Forecast:
        """What is between the two, times the ratio of the question's group; of its part, where there is none."""
        parts, names = self._groups(study)
        share = np.array([self.shares.get(part, 0.5) for part in parts])[:, None]
        usual = [self.ratios.get(part, 0.0) for part in parts]
        ratio = [self.ratios.get(part + name, mid) for part, name, mid in zip(parts, names, usual, strict=True)]
        one, other = self._logs(study)
        said = np.exp(share * one + (1 - share) * other + np.array(ratio)[:, None])
        columns = self.both[0].forecast(study).rows.columns
        return Forecast(rows=Block(tuple(columns), said).frame())

    def save(self, folder: Path) -> None:
        """Write shares and ratios."""
        (folder / "scaled.json").write_text(json.dumps({"shares": self.shares, "ratios": self.ratios}))

    def load(self, folder: Path) -> Self:
        """Read shares and ratios."""
        told = json.loads((folder / "scaled.json").read_text())
        self.shares, self.ratios = told["shares"], told["ratios"]
        return self


def _ratios(wrong: Floats, names: Names) -> tuple[float, dict[str, float]]:
    """The error that is left, and what is taken off in logarithms: the usual `wrong` (""), and that of each name."""
    usual = float(np.median(wrong))
    mine = {name: wrong[names == name] for name in np.unique(names)}
    found = {name: float((one.sum() + SHRUNK * usual) / (len(one) + SHRUNK)) for name, one in mine.items()}
    left = sum(float(np.abs(one - found[name]).sum()) for name, one in mine.items())
    return left, {"": usual, **found}


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
