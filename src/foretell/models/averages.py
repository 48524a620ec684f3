"""Averages by group, from the finest group that has been seen often enough: seasonal shapes, means by type."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from foretell.contract import Cost, Forecast, Frame, Study, quantile


class Averages:
    """Mean and quantiles of past outcomes in the same group of features.

    `groups` goes from fine to coarse: the first group of a question with `least` past outcomes speaks; behind
    the coarsest stands everything. With `scale` (a feature) outcomes are averaged relative to it.
    """

    needs_training = True
    cost = Cost(fit=0.004, forecast=0.01)

    def __init__(
        self,
        *,
        groups: Sequence[Sequence[str]],
        levels: tuple[float, ...],
        least: int = 8,
        scale: str | None = None,
    ) -> None:
        self.groups = [list(group) for group in groups]
        self.levels, self.least, self.scale = levels, least, scale
        self.tables: list[Frame] = []

    @property
    def _columns(self) -> list[str]:
        return ["point", *(quantile(q) for q in self.levels)]

    def _keyed(self, study: Study) -> Frame:
        features, keys = study.features, sorted({key for group in self.groups for key in group})
        plain = [pl.Series(key, features[key]).fill_nan(None).cast(pl.Int64) for key in keys]
        scale = features[self.scale] if self.scale else np.ones(len(features))
        return pl.DataFrame([*plain, pl.Series("_scale", np.where(scale > 0, scale, np.nan)).fill_nan(None)])

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Average the outcomes of every group, those without a scale left out; return self."""
        seen = self._keyed(study).with_columns(value=outcomes["value"] / 1.0).drop_nulls("_scale")
        seen = seen.with_columns(pl.col("value") / pl.col("_scale"))
        says = [
            pl.col("value").mean().alias("point"),
            *(pl.col("value").quantile(q, "linear").alias(quantile(q)) for q in self.levels),
        ]
        self.tables = [
            seen.drop_nulls(group).group_by(group).agg(*says, pl.len().alias("_n")).filter(pl.col("_n") >= self.least)
            .drop("_n").sort(group)
            for group in self.groups
        ]  # fmt: skip
        self.tables.append(seen.select(*says))
        return self

    def forecast(self, study: Study) -> Forecast:
        """The finest group's mean and quantiles, in the unit of the outcomes; null without a scale."""
        asked = self._keyed(study)
        found = []
        for depth, (group, table) in enumerate(zip(self.groups, self.tables, strict=False)):
            named = table.rename({c: f"{c}_{depth}" for c in self._columns})
            asked = asked.join(named, on=group, how="left", maintain_order="left")
            found.append(depth)
        whole = self.tables[-1]
        rows = asked.select(
            (pl.coalesce(*(f"{c}_{d}" for d in found), pl.lit(whole[c][0])) * pl.col("_scale")).alias(c)
            for c in self._columns
        )
        return Forecast(rows=rows)

    def save(self, folder: Path) -> None:
        """Write the averages as JSON."""
        (folder / "averages.json").write_text(json.dumps([t.to_dict(as_series=False) for t in self.tables]))

    def load(self, folder: Path) -> Self:
        """Read the averages."""
        floats: dict[str, pl.DataType] = {column: pl.Float64() for column in self._columns}
        keys: list[dict[str, pl.DataType]] = [{key: pl.Int64() for key in group} for group in [*self.groups, []]]
        stored = json.loads((folder / "averages.json").read_text())
        self.tables = [pl.DataFrame(t, schema=k | floats) for t, k in zip(stored, keys, strict=True)]
        return self
