"""Who or what it was in each kind of case, from the broadest kind to the narrowest that is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from foretell.contract import Floats, Frame


@dataclass(frozen=True)
class Nested:
    """How often, by weight, each name was it, in each kind."""

    counts: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, kinds: Sequence[Sequence[str]], names: Sequence[str], weights: Sequence[float]) -> Self:
        """Of cases: the kinds that each is of, what it was, and how much it counts."""
        counts: dict[str, dict[str, float]] = {}
        for each, name, weight in zip(kinds, names, weights, strict=True):
            for kind in each:
                of = counts.setdefault(kind, {})
                of[name] = of.get(name, 0.0) + weight
        return cls(counts)

    def share(self, kinds: Sequence[str], name: str, drawn: float, least: float) -> float:
        """A name's share of the narrowest kind, each drawn to the next broader one's as so many cases count.

        `least` is its share where nothing is known.
        """
        found = least
        for kind in kinds:
            of = self.counts.get(kind, {})
            found = (of.get(name, 0.0) + drawn * found) / (sum(of.values()) + drawn)
        return found

    def save(self, folder: Path) -> None:
        """Write the counts."""
        (folder / "nested.json").write_text(json.dumps(self.counts))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(json.loads((folder / "nested.json").read_text()))


def named(place: pl.Series, name: pl.Series, weight: Floats, count: int) -> Frame:
    """Weights of names as chances, `p:<name>`, that sum to one in each of `count` places; null where none has any."""
    names = name.unique().sort().to_list() or [""]
    column = {one: k for k, one in enumerate(names)}
    table = np.zeros((count, len(names)))
    table[place.to_numpy(), [column[one] for one in name]] = weight
    total = table.sum(axis=1, keepdims=True)
    share = np.divide(table, total, out=np.full(table.shape, np.nan), where=total > 0)
    return pl.DataFrame({f"p:{one}": share[:, k] for k, one in enumerate(names)}).fill_nan(None)
