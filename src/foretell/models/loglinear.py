"""A positive number from what is written and from other numbers: a line through its logarithm.

It is a ridge regression (Hoerl & Kennard 1970) done twice: what told little the first time is drawn in more the second
(an adaptive ridge, after Zou 2006), for of thousands of words few tell anything. Numbers go in with their sign and the
logarithm of their size, in standard deviations from their mean; one that is missing counts as usual, and that it is
missing is a number of its own. How far off it is, is learned of later outcomes than the line that is judged by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats
from foretell.models import text
from foretell.models.cases import Names
from foretell.models.text import Sparse, Weighed

RIDGE, AGAIN = 10.0, 20.0  # penalties of the two; like the next chosen on generated workspaces
SHARE = 0.2  # a standard deviation of a number, beside a text of length 1
JUDGED = 0.75  # share of the outcomes after which the line is judged by those that follow
FEW = 20  # outcomes by which it is judged at least; without so many by those it was drawn through


@dataclass(frozen=True, eq=False)
class LogLinear:
    """What was learned: what columns of texts weigh, how numbers are usual, the line, and how far off it is."""

    weighed: Weighed
    mean: Floats
    spread: Floats
    line: NDArray[np.float32]
    level: float
    errors: Floats  # quantiles of the logarithm, beside the line

    @classmethod
    def of(
        cls, bags: Sequence[Sparse], lengths: Sequence[float], numbers: Floats, value: Floats, whose: Names,
        levels: Sequence[float],
    ) -> Self:  # fmt: skip
        """Learned from the parts of texts, numbers beside them (NaN: none) and positive values, oldest first.

        Texts of the same name in `whose` are about the same; what one of them came to does not judge another.
        """
        log = np.log(value)
        first = np.arange(len(log)) < JUDGED * len(log)
        later = ~first & ~np.isin(whose, whose[first])
        found = cls._drawn(bags, lengths, numbers, log)
        judged, rows = found, np.ones(len(log), dtype=bool)
        if later.sum() >= FEW:
            judged, rows = cls._drawn([one[first] for one in bags], lengths, numbers[first], log[first]), later
        off = log[rows] - judged._along([one[rows] for one in bags], lengths, numbers[rows])
        return replace(found, errors=np.quantile(off, levels))

    @classmethod
    def _drawn(cls, bags: Sequence[Sparse], lengths: Sequence[float], numbers: Floats, log: Floats) -> Self:
        there = ~np.isnan(scaled := _logs(numbers))
        count = np.maximum(there.sum(axis=0), 1)
        mean = np.where(there, scaled, 0).sum(axis=0) / count
        spread = np.sqrt((np.where(there, scaled - mean, 0) ** 2).sum(axis=0) / count)
        level = float(log.mean())
        made = cls(Weighed.of(bags), mean, spread, np.zeros(0, dtype=np.float32), level, np.zeros(0))
        inputs, even = text.beside(*made._parts(bags, lengths, numbers)), np.ones(len(log))
        told = np.abs(text.ridge(inputs, log - level, even, RIDGE))
        size = np.bincount(inputs.indices, inputs.data.astype(np.float64) ** 2, inputs.shape[1])
        told *= np.sqrt(size.sum() / max((size * told**2).sum(), 1e-30))  # altogether as long as before
        inputs.data = inputs.data * told[inputs.indices]
        return replace(made, line=text.ridge(inputs, log - level, even, AGAIN) * told)

    def _parts(self, bags: Sequence[Sparse], lengths: Sequence[float], numbers: Floats) -> tuple[Sparse, Floats]:
        """What is written, and the numbers beside it."""
        apart = _logs(numbers) - self.mean
        scaled = np.divide(apart, self.spread, out=np.zeros_like(apart), where=self.spread > 1e-9)
        beside = np.hstack([np.clip(np.nan_to_num(scaled), -4, 4), np.isnan(numbers)])
        return self.weighed.told(bags, lengths), SHARE * beside

    def _along(self, bags: Sequence[Sparse], lengths: Sequence[float], numbers: Floats) -> Floats:
        told, beside = self._parts(bags, lengths, numbers)
        return text.along(told, self.line) + beside @ self.line[text.WIDTH :] + self.level

    def said(self, bags: Sequence[Sparse], lengths: Sequence[float], numbers: Floats) -> Floats:
        """The number in the middle, and its quantiles in rising order (n x 1 + levels)."""
        middle = self._along(bags, lengths, numbers)[:, None]
        return np.exp(np.hstack([middle, middle + self.errors]))

    def save(self, folder: Path) -> None:
        """Write all as npz, of the line what is not 0."""
        kept = asdict(self) | {"weighed": self.weighed.weight, "columns": np.flatnonzero(self.line)}
        np.savez(folder / "line.npz", **kept | {"line": self.line[kept["columns"]], "width": len(self.line)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read it."""
        with np.load(folder / "line.npz") as kept:
            found = dict(kept)
        line = np.zeros(int(found.pop("width")), dtype=np.float32)
        line[found.pop("columns")] = found.pop("line")
        return cls(Weighed(found.pop("weighed")), line=line, level=float(found.pop("level")), **found)


def _logs(numbers: Floats) -> Floats:
    return np.asarray(np.sign(numbers) * np.log1p(np.abs(numbers)))
