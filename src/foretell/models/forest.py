"""A random forest that says the whole distribution of a number: what became of the cases in the same leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from foretell.contract import Block, Cost, Floats, Forecast, Frame, Study, quantile
from foretell.models.boosted import Trees

TREES, WORLDS = 200, 200
KEPT = 8  # outcomes of a leaf that are remembered, drawn among all of them
GROWN: dict[str, Any] = {
    "boosting": "rf", "bagging_fraction": 0.63, "bagging_freq": 1, "feature_fraction": 0.5, "num_leaves": 64,
    "min_data_in_leaf": 15, "lambda_l2": 0.0,
}  # fmt: skip


class Forest(Trees):
    """Quantiles of a number by a quantile regression forest (Meinshausen 2006); the point is the median.

    It learns and says outcomes relative to the feature `scale` (positive). Few large outcomes must not lead the trees:
    they grow on the relative outcome within `bounds`, and remember it whole. The draws are `WORLDS` quantiles of each
    question, of even chances.
    """

    cost = Cost(fit=0.6, forecast=0.4, most=24_000)

    def __init__(
        self, *, columns: Sequence[str], levels: tuple[float, ...], scale: str, bounds: tuple[float, float]
    ) -> None:
        super().__init__(columns=columns, rounds=TREES, most=24_000, shape=GROWN)
        self.levels, self.scale, self.bounds = tuple(sorted(levels)), scale, bounds
        self.leaves = np.empty((0, 0, KEPT))  # tree, leaf, remembered: relative outcomes

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Grow the trees and remember outcomes by leaf; return self."""
        features, outcomes = self._sample(study, outcomes)
        relative = outcomes["value"].cast(pl.Float64).to_numpy() / features[self.scale]
        inputs = features.of_names(self.columns)
        self._grow(inputs, np.clip(relative, *self.bounds), [{"objective": "regression"}])
        self.leaves = _remembered(self._leaf(features), relative)
        return self

    def forecast(self, study: Study) -> Forecast:
        """Quantiles and draws of each question."""
        leaf = self._leaf(study.features)
        found = self.leaves[np.arange(leaf.shape[1]), leaf].reshape(len(leaf), -1)
        scale = study.features[self.scale][:, None]
        said = np.quantile(found, self.levels, axis=1).T * scale
        middle = np.median(found, axis=1)[:, None] * scale
        draws = np.quantile(found, (np.arange(WORLDS) + 0.5) / WORLDS, axis=1).T * scale
        names = ("point", *map(quantile, self.levels))
        return Forecast(rows=Block(names, np.hstack([middle, said])).frame(), draws=draws)

    def _leaf(self, features: Block) -> Any:
        """The number of the leaf of each question in each tree."""
        said = self.boosters[0].predict(features.of_names(self.columns), pred_leaf=True, num_threads=1)
        return said.reshape(len(features), -1).astype(np.int64)

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM text, the outcomes in their leaves as npz."""
        self._save_trees(folder)
        np.savez(folder / "leaves.npz", leaves=self.leaves)

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote."""
        self._load_trees(folder)
        with np.load(folder / "leaves.npz", allow_pickle=False) as told:
            self.leaves = told["leaves"]
        return self


def _remembered(leaf: Any, relative: Floats) -> Floats:
    """`KEPT` outcomes of each leaf of each tree, in a fixed order of chance; those of a small leaf more than once."""
    random = np.random.default_rng(1)
    out = np.zeros((leaf.shape[1], int(leaf.max()) + 1, KEPT))
    for tree in range(leaf.shape[1]):
        order = random.permutation(len(relative))
        order = order[np.argsort(leaf[order, tree], kind="stable")]
        names, first, count = np.unique(leaf[order, tree], return_index=True, return_counts=True)
        place = first[:, None] + np.arange(KEPT) % count[:, None]
        out[tree, names] = relative[order[place]]
    return out
