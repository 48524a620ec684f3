"""What came of the most similar situations of an entity's own past: an analog ensemble (Delle Monache et al. 2013)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from foretell.contract import Floats, Study
from foretell.models.nearest import Points

LEAST = 100  # outcomes of an entity that analogs are looked for among


class Past(NamedTuple):
    """An entity's old situations, each feature beside its `spread`, and the `value` that came of each."""

    situations: Points
    spread: Floats
    value: Floats

    def like(self, asked: Floats) -> Floats:
        """What came of those most like each situation asked, the square root of all there are (asked x outcomes)."""
        near, _ = self.situations.nearest(asked / self.spread, round(len(self.value) ** 0.5))
        found: Floats = self.value[near]
        return found


class Analogs:
    """Quantiles of the outcomes of an entity's old questions that were most like the one asked.

    How alike is reckoned by features, each beside its spread and times its weight; a question that lacks one of them
    has no analogs, and is none.
    """

    def __init__(self, columns: Mapping[str, float], levels: tuple[float, ...]) -> None:
        """`columns` are the features to be alike in, with their weights."""
        self.columns, self.levels = dict(columns), levels
        self.past: dict[str, Past] = {}  # by entity

    def fit(self, study: Study, value: Floats) -> Self:
        """Keep questions with the `value` that came of each; return self."""
        features, names = study.features.of_names(list(self.columns)), study.questions["entity"].to_numpy()
        whole = np.isfinite(features).all(axis=1) & np.isfinite(value)
        for name in sorted({*names}):
            mine = np.flatnonzero(whole & (names == name))
            if len(mine) >= LEAST:
                spread = features[mine].std(axis=0) / np.array(list(self.columns.values()))
                spread = np.where(spread > 0, spread, 1.0)
                self.past[name] = Past(Points(features[mine] / spread), spread, value[mine])
        return self

    def quantiles(self, study: Study) -> Floats:
        """Quantiles of what came of each question's analogs (n x levels); NaN where there are none."""
        said = np.full((len(study.features), len(self.levels)), np.nan)
        features, names = study.features.of_names(list(self.columns)), study.questions["entity"].to_numpy()
        whole = np.isfinite(features).all(axis=1)
        for name in sorted({*names} & {*self.past}):
            mine = np.flatnonzero(whole & (names == name))
            said[mine] = np.quantile(self.past[name].like(features[mine]), self.levels, axis=1).T
        return said

    def save(self, folder: Path) -> None:
        """Write the arrays, and the entities' names as JSON."""
        (folder / "entities.json").write_text(json.dumps([*self.past]))
        kept: dict[str, Floats] = {}
        for k, one in enumerate(self.past.values()):
            kept |= {f"points{k}": one.situations.points, f"spread{k}": one.spread, f"value{k}": one.value}
        np.savez(folder / "past.npz", **kept)  # type: ignore[arg-type]  # its stub takes them for its own options

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote; return self."""
        names = json.loads((folder / "entities.json").read_text())
        with np.load(folder / "past.npz", allow_pickle=False) as kept:
            self.past = {
                name: Past(Points(kept[f"points{k}"]), kept[f"spread{k}"], kept[f"value{k}"])
                for k, name in enumerate(names)
            }
        return self
