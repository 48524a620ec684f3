"""What past cases came to, each weighed: quantiles of their numbers, or the chance of each of their values.

A case counts only where it was known when a question was asked. A question of a group (a project) is answered by the
group's cases; where those of all groups are at hand (`Cases.whole`), by them where none of its own was known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Block, Floats, Forecast, Frame, quantile
from foretell.models import weighed

Places = NDArray[np.int64]
Names = NDArray[np.str_]
CELLS = 4_000_000  # questions x cases that are weighed at a time
TOLD = 5  # cases alike that are named


def names(column: pl.Series) -> Names:
    """A column of texts as an array that is quick to compare."""
    return column.to_numpy().astype(np.str_)


@dataclass(frozen=True, eq=False)
class Cases:
    """Past cases in the order in which they became known, at `known_at` (microseconds since 1970).

    `whole` says that all groups' cases are always there, whoever asks.
    """

    entity: Names
    title: list[str]
    group: Names
    kind: Names
    known_at: Places
    value: Floats
    whole: bool = False

    def save(self, folder: Path) -> None:
        """Write them as npz, their titles as JSON."""
        kept = {name: getattr(self, name) for name in ("entity", "group", "kind", "known_at", "value")}
        (folder / "titles.json").write_text(json.dumps(self.title))
        np.savez(folder / "cases.npz", **kept)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read them, `whole`."""
        with np.load(folder / "cases.npz") as kept:
            return cls(title=json.loads((folder / "titles.json").read_text()), whole=True, **kept)


class Asked(NamedTuple):
    """Questions: about whom, of which group, and when they are asked (microseconds since 1970)."""

    entity: Names
    group: Names
    as_of: Places


class Part(NamedTuple):
    """Some questions beside the cases (`rows`) that are spoken of in their answers.

    `there` (questions x rows; 0 or 1) tells which were known when a question was asked, its own entity's left out.
    """

    places: Places
    rows: Places
    there: Floats


Weigh = Callable[[Part], tuple[Floats, Floats | None]]
"""What each case counts, and how alike it is where that is told (both questions x rows)."""
Say = Callable[[Part, Floats], Floats]
"""From the weight of each value to its chance."""


def parts(asked: Asked, cases: Cases) -> Iterator[Part]:
    """The questions in parts, each beside its cases; none of questions that no case was known to."""
    for group in dict.fromkeys(asked.group.tolist()):
        left = np.flatnonzero(asked.group == group)
        every = [np.arange(len(cases.value))] if cases.whole else []
        for rows in (np.flatnonzero(cases.group == group), *every):
            silent = []
            for places in np.array_split(left, len(left) * max(1, len(rows)) // CELLS + 1):
                there = cases.known_at[rows] <= asked.as_of[places, None]
                there &= cases.entity[rows] != asked.entity[places, None]
                some = there.any(axis=1)
                if some.any():
                    yield Part(places[some], rows, there[some].astype(np.float64))
                silent.append(places[~some])
            left = np.concatenate(silent)
            if not len(left):
                break


def numbers(
    asked: Asked, cases: Cases, weigh: Weigh, levels: Sequence[float], took: str | None, *, mean: bool
) -> Forecast:
    """Quantiles of what the weighed cases came to; the point is their median, with `mean` their mean.

    Null where no case was known. The evidence `similar` names the cases most alike, where `weigh` tells how alike they
    are: `id`, `title`, and under `took` what they came to. Without `took` there is no evidence.
    """
    rows, alike = np.full((len(asked.entity), 1 + len(levels)), np.nan), _Alike(cases, took)
    for part in parts(asked, cases):
        weight, similar = weigh(part)
        value = cases.value[part.rows]
        found = weighed.quantiles(value, weight, (0.5, *levels))
        if mean:
            found[:, 0] = weighed.mean(value, weight)
        rows[part.places] = found
        alike.add(part, similar)
    columns = ("point", *map(quantile, levels))
    return Forecast(rows=_frame(columns, rows), evidence=alike.frame(len(rows)))


def choices(asked: Asked, cases: Cases, weigh: Weigh, say: Say, took: str | None) -> Forecast:
    """The chance of each value that any case has (`p:3`); null and evidence as of `numbers`."""
    scale = np.unique(cases.value)
    if not len(scale):  # no class is known: one of no name, without an answer
        return Forecast(rows=pl.DataFrame({"p:": [None] * len(asked.entity)}, schema={"p:": pl.Float64}))
    step = np.searchsorted(scale, cases.value)
    rows, alike = np.full((len(asked.entity), len(scale)), np.nan), _Alike(cases, took)
    for part in parts(asked, cases):
        weight, similar = weigh(part)
        rows[part.places] = say(part, np.array([np.bincount(step[part.rows], one, len(scale)) for one in weight]))
        alike.add(part, similar)
    columns = tuple(f"p:{one:g}" for one in scale)
    return Forecast(rows=_frame(columns, rows), evidence=alike.frame(len(rows)))


def _frame(columns: tuple[str, ...], rows: Floats) -> Frame:
    frame = Block(columns, rows).frame()
    return frame.fill_nan(None) if np.isnan(rows).any() else frame


def shares(_: Part, weight: Floats) -> Floats:
    """The share of each value."""
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


class _Alike:
    """The cases most alike of each question."""

    def __init__(self, cases: Cases, took: str | None) -> None:
        self.cases, self.took = cases, took
        self.found: dict[int, list[dict[str, Any]]] = {}

    def add(self, part: Part, similar: Floats | None) -> None:
        for place, row in zip(part.places.tolist(), () if similar is None else similar, strict=similar is not None):
            best = np.argsort(-row, kind="stable")[:TOLD]
            self.found[place] = [self._told(k) for k in part.rows[best[row[best] > 0]].tolist()]

    def _told(self, k: int) -> dict[str, Any]:
        cases = self.cases
        return {"id": str(cases.entity[k]), "title": cases.title[k], str(self.took): float(cases.value[k])}

    def frame(self, count: int) -> Frame:
        if self.took is None:
            return pl.DataFrame()
        dtype = pl.List(pl.Struct({"id": pl.String, "title": pl.String, self.took: pl.Float64}))
        return pl.DataFrame({"similar": pl.Series([self.found.get(k, []) for k in range(count)], dtype=dtype)})
