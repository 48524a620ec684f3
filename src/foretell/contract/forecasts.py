"""What is predicted, what a forecast says, and what can be in a race."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract.facts import Frame, History

Floats = NDArray[np.float64]


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


@dataclass(frozen=True, kw_only=True)
class Record:
    """What the method that answers has been worth out of sample, beside the others of its race.

    `scores` are metrics by candidate, on `scored` outcomes; `skipped` says by candidate why it did not run, `reason`
    why this `method` answers. Without a race scores are empty. `held` is the method's track record by entity, and of
    all under "": of how many old questions the outcome is known, and in what share of them its 80 % band held it.
    """

    method: str
    reason: str
    scored: int
    scores: Mapping[str, Mapping[str, float | None]]
    skipped: Mapping[str, str]
    held: Mapping[str, tuple[int, float]] = field(default_factory=dict)


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


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a forecaster sees: questions, their features (same order), and the history behind them."""

    history: History
    questions: Frame
    features: Frame

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
                    features=self.features[place],
                ),
            )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a candidate is expected to cost, in seconds on two cores, so that a race can keep a budget.

    Importing libraries is left out: a process that answers has them.
    """

    fit: float = 0.0  # for 1,000 questions to learn from
    forecast: float = 0.0  # for 1,000 questions to answer
    most: int | None = None  # questions that a fit learns from at most

    def seconds(self, learned: int, answered: int) -> float:
        """Expected seconds to fit on `learned` questions and answer `answered`."""
        learned = learned if self.most is None else min(learned, self.most)
        return (self.fit * learned + self.forecast * answered) / 1000


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
