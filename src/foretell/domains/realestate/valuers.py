"""What can be in a race for what a home is worth: its last price, homes alike, and trees."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from foretell.contract import Block, Cost, Floats, Forecast, Forecaster, Frame, Quantity, Study, quantile
from foretell.domains.realestate.value import COLUMNS
from foretell.errors import NotReady
from foretell.models.boosted import BoostedSpread
from foretell.models.residual import Leftovers

MONEY = Quantity(unit="money", lower=0.0)
NAMES = ("point", *map(quantile, MONEY.levels))
OUTER = (MONEY.levels[0], MONEY.levels[-1])
LASTING = 3.0  # years over which the last rise of prices fades
ROUGH = 0.3  # of the logarithm: a third more or less
INPUTS = tuple(name for name in COLUMNS if name != "area")
SHAPE: dict[str, Any] = {
    "learning_rate": 0.05, "num_leaves": 16, "min_data_in_leaf": 20, "feature_fraction": 0.5, "lambda_l2": 5.0,
    "bagging_fraction": 0.7, "bagging_freq": 1, "max_bin": 127,
}  # fmt: skip


def risen(features: Block) -> Floats:
    """By how much the logarithm of prices rises until `at`: as it did, less and less."""
    return np.asarray(features["gain"] * LASTING * (1 - np.exp(-features["ahead"] / LASTING)))


def _values(outcomes: Frame) -> Floats:
    if outcomes.is_empty():
        raise NotReady("no sale with a price to learn from; bring more history")
    return np.asarray(np.log(np.maximum(outcomes["value"].cast(pl.Float64).to_numpy(), 1e-6)))


def _told(logs: Floats, ahead: Floats, longest: float) -> Forecast:
    """Money of logarithms (n x point, low, high); wider where it looks farther ahead than was ever seen (a walk)."""
    wider = np.sqrt(np.maximum(ahead / max(longest, 1.0), 1.0))[:, None]
    point = logs[:, :1]
    low, high = (point + wider * (logs[:, k : k + 1] - point) for k in (1, 2))
    rows = np.exp(np.hstack([point, np.minimum(low, point), point, np.maximum(high, point)]))
    return Forecast(rows=Block(NAMES, rows).frame())


class Moved:
    """A price that is known, moved with the market: the feature `of`, and what was usually left of it."""

    needs_training = True
    cost = Cost(fit=0.01, forecast=0.01)

    def __init__(self, of: str) -> None:
        self.of, self.left, self.longest = of, Leftovers(OUTER), 0.0

    def point(self, features: Block) -> Floats:
        """The logarithm of the value of each question."""
        return np.asarray(features[self.of] + risen(features))

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn what is left; return self. Raises NotReady without outcomes."""
        ahead = study.features["ahead"]
        self.left.fit(self.point(study.features), ahead * 12, _values(outcomes))
        self.longest = float(ahead.max())
        return self

    def forecast(self, study: Study) -> Forecast:
        """Money, with its quantiles."""
        point, ahead = self.point(study.features), study.features["ahead"]
        return _told(np.column_stack([point, self.left.about(point, ahead * 12)]), ahead, self.longest)

    def save(self, folder: Path) -> None:
        """Write what is left as JSON."""
        (folder / "moved.json").write_text(json.dumps({"left": self.left.to_dict(), "longest": self.longest}))

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote; return self."""
        told = json.loads((folder / "moved.json").read_text())
        self.left, self.longest = self.left.read(told["left"]), told["longest"]
        return self


class Rough:
    """What homes alike were sold for, moved with the market, as unsure as such guesses are; before anything is learned.

    Four of five sales lie within a third of it: what the rough range is where nothing tells more.
    """

    needs_training = False
    cost = Cost(forecast=0.01)

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - nothing to learn
        """Learn nothing; return self."""
        return self

    def forecast(self, study: Study) -> Forecast:
        """Money, with its quantiles."""
        point = study.features["compared"] + risen(study.features)
        return _told(np.column_stack([point, point - ROUGH, point + ROUGH]), study.features["ahead"], 1.0)

    def save(self, folder: Path) -> None:
        """Nothing is learned."""

    def load(self, folder: Path) -> Self:  # noqa: ARG002
        """Return self."""
        return self


class Grown:
    """Trees on what the parts of a price leave of it."""

    needs_training = True
    cost = Cost(fit=0.4, forecast=0.05, most=40_000)

    def __init__(self) -> None:
        self.trees = BoostedSpread(levels=OUTER, rounds=480, most=40_000, near=0.1, shape=SHAPE)
        self.longest = 0.0

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Grow the trees; return self. Raises NotReady without outcomes."""
        features = study.features
        left = _values(outcomes) - features["reference"] - risen(features)
        order = np.argsort(study.questions["as_of"].to_numpy(), kind="stable")
        self.trees.learn(features.of_names(INPUTS)[order], left[order])
        self.longest = float(features["ahead"].max())
        return self

    def forecast(self, study: Study) -> Forecast:
        """Money, with its quantiles."""
        features = study.features
        said = self.trees.said(features.of_names(INPUTS)) + (features["reference"] + risen(features))[:, None]
        return _told(said, features["ahead"], self.longest)

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM text, the rest as JSON."""
        self.trees.save(folder)
        (folder / "grown.json").write_text(json.dumps({"longest": self.longest}))

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote; return self."""
        self.trees.load(folder)
        self.longest = json.loads((folder / "grown.json").read_text())["longest"]
        return self


VALUE: Mapping[str, Callable[[], Forecaster]] = {
    "index": partial(Moved, "index"),
    "rough": Rough,
    "comparables": partial(Moved, "compared"),
    "trees": Grown,
}
