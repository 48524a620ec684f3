"""What is predicted, what a forecast says, and what can be in a race."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract.facts import Frame, History
from foretell.errors import BrokenDomain

Floats = NDArray[np.float64]
FEW = 16  # rows up to which plain Python makes a frame sooner than Polars' engine wakes


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number. Forecast rows hold `point` and one column `q10`, `q50`, … for each level."""

    unit: str
    levels: tuple[float, ...] = (0.1, 0.5, 0.9)
    lower: float | None = None

    @property
    def columns(self) -> list[str]:
        """The columns every forecast of this quantity has."""
        return ["point", *(quantile(level) for level in self.levels)]

    @property
    def band(self) -> tuple[float, float]:
        """The levels of the 80 % band; of the widest where they are not among the quantity's."""
        return (0.1, 0.9) if {0.1, 0.9} <= {*self.levels} else (min(self.levels), max(self.levels))


@dataclass(frozen=True, kw_only=True)
class Chance:
    """Whether something happens; outcomes are 0 or 1. Forecast rows hold `chance`."""

    event: str

    @property
    def columns(self) -> list[str]:
        """The columns every forecast of this chance has."""
        return ["chance"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several classes, which come from the history. Forecast rows hold `p:<class>` for each."""

    of: str

    @property
    def columns(self) -> list[str]:
        """No column is sure beforehand: the classes come from the history."""
        return []


Target = Quantity | Chance | Choice


def quantile(level: float) -> str:
    """The column of a quantile: 0.1 → `q10`, 0.975 → `q97.5`."""
    return f"q{level * 100:g}"


def at_most(said: Floats, levels: Sequence[float], most: float) -> Floats:
    """The chance of at most so much of each row of quantiles at `levels`; beyond the outermost none, or certainty."""
    apart = np.maximum.accumulate(said, axis=1) + 1e-9 * np.arange(len(levels))
    return np.array([np.interp(most, row, levels, left=0.0, right=1.0) for row in apart])


@dataclass(frozen=True, kw_only=True)
class Record:
    """What the method that answers has been worth out of sample, beside the others of its race.

    `scores` are metrics by candidate, on `scored` outcomes; `skipped` says by candidate why it did not run, `reason`
    why this `method` answers. Without a race scores are empty. `held` is the method's track record by entity, and of
    all under "": of how many old questions the outcome is known, and in what share of them its 80 % band held it.
    `worth` is, by scope, on how many old questions its error in the gate's metric was what, and the baseline's what.
    """

    method: str
    reason: str
    scored: int
    scores: Mapping[str, Mapping[str, float | None]]
    skipped: Mapping[str, str]
    held: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    worth: Mapping[str, tuple[int, float, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a forecaster says: one row a question, in the order of the questions.

    `rows` hold the target's columns. `draws` (questions x worlds) are whole possible futures: the same
    column is the same world for every question, so that sums and dates over questions are honest.
    `evidence` holds, one row a question, what a human may want to see: `method`, which the engine fills in where the
    forecaster does not, similar cases, reasons. The `record` is the engine's to fill in, before a task decides.
    """

    rows: Frame
    draws: Floats | None = None
    evidence: Frame = field(default_factory=pl.DataFrame)
    record: Record | None = None

    def slice(self, start: int, length: int) -> Forecast:
        """The forecast of `length` questions from `start` on."""
        return Forecast(
            rows=self.rows.slice(start, length),
            draws=None if self.draws is None else self.draws[start : start + length],
            evidence=self.evidence.slice(start, length),
            record=self.record,
        )


@dataclass(frozen=True, eq=False)
class Block:
    """Numbers by name, one row a question; NaN where one is missing. To be read, not written."""

    names: tuple[str, ...]
    values: Floats  # questions x names

    @classmethod
    def of(cls, frame: Frame) -> Self:
        """The numbers of a frame, truths as 0 and 1, nulls as NaN. Raises BrokenDomain for any other column."""
        for name, dtype in frame.schema.items():
            if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
                raise BrokenDomain(f"{name} is no number but {dtype}")
        return cls(tuple(frame.columns), frame.cast(pl.Float64).fill_null(np.nan).to_numpy())

    @classmethod
    def of_columns(cls, columns: Mapping[str, Floats]) -> Self:
        """The columns, all of one length, side by side."""
        return cls(tuple(columns), np.array(list(columns.values())).T)

    @cached_property
    def _place(self) -> Mapping[str, int]:
        return {name: k for k, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> Floats:
        column: Floats = self.values[:, self._place[name]]
        return column

    def of_names(self, names: Sequence[str]) -> Floats:
        """The numbers of these columns (questions x names)."""
        return self.values[:, [self._place[name] for name in names]]

    def rows(self, places: NDArray[np.int64] | slice) -> Block:
        """The rows of some questions, in the order of `places`."""
        return Block(self.names, self.values[places])

    def frame(self) -> Frame:
        """The same as a frame."""
        if 0 < len(self) <= FEW:
            return pl.from_dicts([dict(zip(self.names, row, strict=True)) for row in self.values.tolist()])
        array = pl.Series(self.values, dtype=pl.Array(pl.Float64, len(self.names)))
        return array.arr.to_struct(fields=[*self.names]).struct.unnest()


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a forecaster sees: questions, their features (same order), and the history behind them.

    Who learns in epochs tells `told` of each that is done, and how many there are at most.
    """

    history: History
    questions: Frame
    features: Block
    told: Callable[[int, int], None] | None = None

    def by_as_of(self) -> Iterator[tuple[NDArray[np.int64], Study]]:
        """For each distinct `as_of`: the positions of its questions, and the study as known then."""
        places = self.questions.select("as_of").with_row_index("place").partition_by("as_of", as_dict=True)
        for (as_of,), group in places.items():
            place = group["place"].to_numpy().astype(np.int64)
            yield (
                place,
                Study(
                    history=self.history.cut(as_of),
                    questions=self.questions[place],
                    features=self.features.rows(place),
                ),
            )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a candidate is expected to cost, in seconds on two cores, so that a race can keep a budget.

    Importing libraries is left out: a process that answers has them.
    """

    start: float = 0.0  # for a fit, before anything is learned
    fit: float = 0.0  # for 1,000 questions to learn from
    forecast: float = 0.0  # for 1,000 questions to answer
    most: int | None = None  # questions that a fit learns from at most
    lacking: str | None = None  # what has to be installed before it can be fitted, with the line to type

    def seconds(self, learned: int, answered: int) -> float:
        """Expected seconds to fit on `learned` questions and answer `answered`."""
        learned = learned if self.most is None else min(learned, self.most)
        return self.start + (self.fit * learned + self.forecast * answered) / 1000


class Forecaster(Protocol):
    """What a race is run between.

    `fit` sees settled outcomes only (column `value`, in the order of the questions). `save` writes plain
    files (JSON, LightGBM text, npz), never a pickle; `load` on a fresh instance restores it to the last bit.
    """

    needs_training: bool  # False: serves from the first day
    cost: Cost

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn from questions whose outcomes are settled; return self."""

    def forecast(self, study: Study) -> Forecast:
        """One row a question, in the order asked, from what was known at each question's `as_of`."""

    def save(self, folder: Path) -> None:
        """Write everything `fit` learned into an existing, empty folder."""

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote; return self."""
