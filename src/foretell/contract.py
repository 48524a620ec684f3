"""What a domain declares, and nothing above it.

Standing at `as_of`, knowing only what was known by then, what do we say about `entity` at `at`?
That triple is a question. A domain is a value made of the frozen dataclasses below; nothing here is
inherited from. Instants are UTC (`Datetime("us", "UTC")`); frames are Polars.

Column names with a fixed meaning, in every frame that crosses the contract:

    entity     about whom (text)
    as_of      standing when
    at         about when
    known_at   when a fact or an outcome became known
    value      the outcome; null while it is open, and for ever if it is void
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from foretell.errors import BrokenDomain

Frame = pl.DataFrame
Floats = NDArray[np.float64]

T = TypeVar("T")

INSTANT = pl.Datetime("us", "UTC")
QUESTION = {"entity": pl.String(), "as_of": INSTANT, "at": INSTANT}


# ---------------------------------------------------------------- facts

Kind = Literal["text", "number", "integer", "boolean", "date", "instant", "object"]
"""What a column holds. An object is the text of a JSON object."""

DTYPES: Mapping[Kind, pl.DataType] = {
    "text": pl.String(), "number": pl.Float64(), "integer": pl.Int64(), "boolean": pl.Boolean(), "date": pl.Date(),
    "instant": INSTANT, "object": pl.String(),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Where facts of one kind belong.

    `key` names the columns that identify a fact: a second row with the same key corrects the first.
    `entity` names the columns that, joined by "/", are whom the fact is about. A fact is known when it
    happened, unless `known_at` names the column that says otherwise (null there: when it happened).
    `rules` are conditions beyond the row's types, by the words a rejected row is given. A `yearly` table is
    stored in one part a year, by `time`: for so many rows that old years should not slow the new one down. Where
    facts are sure to become known at their time or at most `late` after it, a window is found by time.
    """

    name: str
    row: type[BaseModel]
    key: tuple[str, ...]
    time: str
    entity: tuple[str, ...] = ()
    known_at: str | None = None
    rules: Mapping[str, pl.Expr] = field(default_factory=dict)
    yearly: bool = False
    late: timedelta | None = None

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """What each column of the row holds, in their order."""
        fields = self.row.model_json_schema()["properties"]
        return {name: _kind(schema) for name, schema in fields.items()}

    def named(self, *parts: str) -> str:
        """The entity that the values of the `entity` columns make: joined by "/", one inside a value escaped."""
        return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts) if len(parts) > 1 else parts[0]


def _kind(schema: Mapping[str, Any]) -> Kind:
    """The kind of a field by its JSON schema; an optional field's is that of its non-null half."""
    for half in schema.get("anyOf", ()):
        if half.get("type") != "null":
            return _kind(half)
    if schema.get("format") in ("date-time", "date"):
        return "instant" if schema["format"] == "date-time" else "date"
    kinds: dict[str, Kind] = {"integer": "integer", "number": "number", "boolean": "boolean", "object": "object"}
    return kinds.get(schema.get("type", "string"), "text")


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a task may look at: the last `window` of a table, of whom.

    `by` names a column that table and questions share ("entity" is the usual one); "all" reads
    everyone's. The window reaches back from each question's `as_of`.
    """

    table: str
    window: timedelta
    by: str = "entity"


@dataclass(frozen=True, kw_only=True)
class Standpoint:
    """Who asks, when, in which time zone, under which settings (as known then)."""

    tenant: str
    now: datetime
    zone: str
    settings: BaseModel


class History:
    """One tenant's facts as known at its standpoint's `now`, cuttable at any earlier moment."""

    def __init__(self, standpoint: Standpoint, tables: Mapping[str, Frame]) -> None:
        """Hold `tables` by name; each frame has `known_at`, and `entity` where the table declares one."""
        self.standpoint = standpoint
        self.tables = tables
        self._made: dict[Callable[[History], Any], Any] = {}

    def once(self, make: Callable[[History], T]) -> T:
        """What `make` makes of this history, made once: facts don't change, so neither does what follows from them."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    @property
    def now(self) -> datetime:
        """The moment up to which everything here was known, UTC."""
        return self.standpoint.now

    def __getitem__(self, table: str) -> Frame:
        return self.tables[table]

    def cut(self, moment: datetime) -> History:
        """The same history as it was known at `moment`; a later moment than `now` teaches nothing."""
        known = {name: frame.filter(pl.col("known_at") <= moment) for name, frame in self.tables.items()}
        return History(replace(self.standpoint, now=min(moment, self.now)), known)

    def plus(self, facts: Mapping[str, Frame]) -> History:
        """The history with `facts` added, table by table (a what-if, a new issue)."""
        added = {n: pl.concat([self.tables[n], f], how="diagonal") for n, f in facts.items()}
        return History(self.standpoint, {**self.tables, **added})


# ---------------------------------------------------------------- what is predicted


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
class Forecast:
    """What a forecaster says: one row a question, in the order of the questions.

    `rows` hold the target's columns. `draws` (questions x worlds) are whole possible futures: the same
    column is the same world for every question, so that sums and dates over questions are honest.
    `evidence` holds, one row a question, what a human may want to see: `method`, which the engine fills in where the
    forecaster does not, similar cases, reasons.
    """

    rows: Frame
    draws: Floats | None = None
    evidence: Frame = field(default_factory=pl.DataFrame)

    def slice(self, start: int, length: int) -> Forecast:
        """The forecast of `length` questions from `start` on."""
        return Forecast(
            rows=self.rows.slice(start, length),
            draws=None if self.draws is None else self.draws[start : start + length],
            evidence=self.evidence.slice(start, length),
        )


# ---------------------------------------------------------------- what can be in a race


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


# ---------------------------------------------------------------- from request to answer


@dataclass(frozen=True, kw_only=True)
class Ask:
    """The questions behind a request.

    `history` replaces the stored facts (a series that came in the request); `facts` add to them (a what-if).
    `candidate` is a method asked for by name.
    """

    questions: Frame
    history: Mapping[str, Frame] | None = None
    facts: Mapping[str, Frame] = field(default_factory=dict)
    candidate: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rolling:
    """How a backtest stands in the past: the last `folds` spans, each forecast by a model fitted before it.

    `every` keeps only the questions asked at whole multiples of it (since 1970, UTC); None keeps all.
    """

    folds: int
    span: timedelta
    every: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a candidate must show before it serves.

    `metric` orders the race (lower is better); `skill` is the least improvement over the baseline
    (0.05: five per cent less error); `margin` the least improvement over the champion in service, on the same
    questions; `least` the fewest settled outcomes a verdict may rest on.
    """

    metric: str
    skill: float = 0.0
    margin: float = 0.0
    least: int = 30


Request = Any  # an instance of the task's `request`; Python can't say so for a field of a dataclass
Answer = BaseModel


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something a domain learns to predict.

    The first candidate is the baseline to beat. `about` says whom a request is about, by the column that `reads` name
    (`entity`); a task without it reads everyone. `headline` is the figure of an answer that must not fall when
    the forecast rises; the checks hold `decide` to it.
    """

    name: str
    target: Target
    reads: Sequence[Read]
    request: type[BaseModel]
    answer: type[BaseModel]
    ask: Callable[[Request, History], Ask]
    questions: Callable[[History], Frame]
    features: Callable[[History, Frame], Frame] | None
    outcomes: Callable[[History, Frame], Frame]
    candidates: Mapping[str, Callable[[], Forecaster]]
    decide: Callable[[Forecast, Request, History], Answer]
    headline: Callable[[Any], float]
    rolling: Rolling
    gate: Gate
    about: Callable[[Request], Mapping[str, Sequence[str]]] | None = None
    budget: float = 60.0  # seconds a race may cost by the candidates' own estimates

    @property
    def baseline(self) -> str:
        """The name of the candidate to beat."""
        return next(iter(self.candidates))

    def study(self, history: History, questions: Frame) -> Study:
        """The questions with their features, as every forecaster sees them; without any, the questions' own columns.

        Raises BrokenDomain unless there is one row of features a question.
        """
        features = self.features(history, questions) if self.features else questions
        if features.height != questions.height:
            raise BrokenDomain(f"{self.name}: {features.height} rows of features for {questions.height} questions")
        return Study(history=history, questions=questions, features=features)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A small world to try a domain on: a history, and requests for each task by name."""

    history: History
    requests: Mapping[str, Sequence[BaseModel]]


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A domain, as a value: what comes in, what is predicted, and a seeded world to try it on."""

    name: str
    summary: str
    settings: type[BaseModel]
    tables: Sequence[Table]
    tasks: Sequence[Task]
    sample: Callable[[int], Sample]
