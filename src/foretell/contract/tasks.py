"""Tasks: from request to questions, from forecast to answer; and the domain that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from foretell.contract.facts import Frame, History, Read, Standpoint, Table
from foretell.contract.features import Catalogue
from foretell.contract.forecasts import Block, Forecast, Forecaster, Study, Target
from foretell.contract.replays import Replay
from foretell.contract.sources import Source
from foretell.errors import BrokenDomain, ForetellError


@dataclass(frozen=True, kw_only=True)
class Ask:
    """The questions behind a request.

    `history` replaces the stored facts (a series that came in the request); `facts` add to them (a what-if).
    `candidate` is a method asked for by name, or the one that the domain chose, and then `reason` says why.
    """

    questions: Frame
    history: Mapping[str, Frame] | None = None
    facts: Mapping[str, Frame] = field(default_factory=dict)
    candidate: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rolling:
    """How a backtest stands in the past: the last `folds` spans, each forecast by a model fitted before it.

    Of a task with a scope the first span is there to choose by, and is not scored. A `span` is a length of time or,
    where things come now often and now rarely, a share of the questions with a known outcome. `every` keeps only the
    first standpoint of an entity in each such span of time (since 1970, UTC); None keeps all.
    """

    folds: int
    span: timedelta | float
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


@dataclass(frozen=True, kw_only=True)
class Retrain:
    """When a task is trained again; each rule alone is enough, and with none of them it is not.

    The model is older than `age`; outcomes are `share` or `count` more than it learned from; what it served turned out
    worse than its backtest: the gate's metric by `worse` (0.05: five per cent), or, of a choice, the share of right
    answers by `accuracy`.
    """

    age: timedelta = timedelta(days=6)  # a weekly look finds what was trained after the last one
    share: float = 0.2
    count: int = 50
    worse: float = 0.05
    accuracy: float = 0.05


Request = Any  # an instance of the task's `request`; Python can't say so for a field of a dataclass
Answer = BaseModel


@dataclass(frozen=True, kw_only=True)
class Route:
    """A path that a document prints, as data: a verb of its task, or a report, in the document's own dress.

    `adapt_in` makes of the body what the verb takes (of predict the task's request, of train its options; of a
    report, whose body are the fields in the `url`, its request); `adapt_out` of the verb's answer as JSON the
    documented fields. Errors not in `statuses` are 500. With `trained` a model must have been trained before. Raises of
    both are the caller's to see. An error of ours is told after the words `failed`, where the document has some;
    `refused` makes of a problem's fields the error's body, where the document has its own. A `url` that ends in a slash
    is answered without it too, and the same is answered at the URLs in `also`. Of `health` there is no body. What
    stands at a field written `{name:path}` may hold slashes.
    """

    verb: Literal["predict", "train", "report", "health"]
    url: str
    summary: str
    request: type[BaseModel]
    answer: type[BaseModel]
    adapt_in: Callable[[Any], Mapping[str, Any]]
    adapt_out: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    statuses: Mapping[type[ForetellError], int]
    trained: bool = False
    failed: str | None = None
    methods: Sequence[Literal["GET", "POST"]] = ("POST",)
    refused: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    also: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """A path that a document prints, which takes requests to several of its others at once, up to `most`.

    The field `kind` of each says to which, by `of`: the name of the task, and its route. What is refused is told in the
    place of its answer and harms no other.
    """

    url: str
    summary: str
    kind: str
    of: Mapping[str, tuple[str, Route]]
    most: int
    also: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """A field of a request that is found in the facts where a request leaves it out (None).

    It is the `column` of the newest row of `table` whose column `by` has the value of the request's field `of`. Where
    there is no such row the request is refused; of an `optional` one it stays None, and where `of` is left out, too.
    """

    field: str
    table: str
    column: str
    by: str
    of: str
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Members:
    """Who may ask: a person whose newest row of `table` for what is asked about has a true `active`.

    `of` and `person` are columns of the table; what a request is about is told by its task's or report's `about`, by
    the column `of`. It holds for people (a token of role `user`), not for programs and administrators.
    """

    table: str
    of: str
    person: str
    active: str


@dataclass(frozen=True, kw_only=True)
class Count:
    """How often answers come out in a way, counted for operators by `label`; of None is not counted."""

    name: str
    words: str
    label: str
    of: Callable[[Any], str | None]


ModelStatus = Literal["serving", "pinned", "kept", "archived"]
"""Of a model's version: in service; there whatever training finds; one of the newest; older, and served once."""

RecommendationState = Literal["pending", "approved", "rejected", "expired", "superseded"]
"""What became of a recommendation: nobody has decided yet, people did, its time is over, a newer one took its place."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """An action for people to approve or reject, until `until`; without an `action` nothing should change.

    There is at most one open for a `subject`; a newer one takes its place.
    """

    subject: str
    action: Mapping[str, Any] | None
    reason: str
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Proposing:
    """What answers propose. Nothing is executed.

    `of` an answer about no action is None. `review` makes of a proposed action on a subject what is approved, under the
    settings and after the approvals of now; it raises Refused where that can't be.
    """

    of: Callable[[Any], Proposal | None]
    review: Callable[[str, Mapping[str, Any], Standpoint], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Trust:
    """How sure an answer is: named factors, from which the chance is learned that what was said of it holds.

    `meaning` says in words what the chance is of. `factors` takes a history and questions with what was said of them
    (`point`, `q10`, …), and gives one row a question, in order, with the columns `names`, each 0 to 1, made from what
    was known at the question's `as_of`; equal for those that were asked together (same `entity` and `as_of`). No factor
    is meant to lower the chance. `held` takes such rows with `value` and `known_at`, and gives one row an answer:
    `entity`, `as_of`, `known_at`, and `held`, 1.0 or 0.0, or null where it can't be told.
    """

    meaning: str
    names: tuple[str, ...]
    factors: Callable[[History, Frame], Frame]
    held: Callable[[Frame], Frame]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something a domain learns to predict.

    The first candidate is the baseline to beat. `about` says whom a request is about, by the column that `reads` name
    (`entity`); a task without it reads everyone. `headline` is the figure of an answer that must not fall when
    the forecast rises; the checks hold `decide` to it. `features` are numbers: a frame, or a block where it must be
    quick. What `vector` makes of an entity, whoever asks, is the same all day (UTC) until facts come that `reads` name:
    it is kept, and the history of a question then has it in the table `KEPT`, a row an entity with its `values` in the
    order of the domain's catalogue, and no facts.
    """

    name: str
    target: Target
    reads: Sequence[Read]
    request: type[BaseModel]
    answer: type[BaseModel]
    ask: Callable[[Request, History], Ask]
    questions: Callable[[History], Frame]
    features: Callable[[History, Frame], Frame | Block] | None
    outcomes: Callable[[History, Frame], Frame]
    candidates: Mapping[str, Callable[[], Forecaster]]
    decide: Callable[[Forecast, Request, History], Answer]
    headline: Callable[[Any], float]
    rolling: Rolling
    gate: Gate
    about: Callable[[Request], Mapping[str, Sequence[str]]] | None = None
    lookups: Sequence[Lookup] = ()
    told_by: Sequence[Read] = ()  # what outcomes and past questions are taken from, beside `reads`
    fewest: int = 1  # entities whose outcome is known, with fewer nothing is trained
    learners: int | None = None  # entities that are learned from at most: of more an even part; None: all
    # Who answers until a model is trained, and then until one is surely better; None: the first who needs no training,
    # and then who has the lowest error.
    meanwhile: str | None = None
    budget: float = 60.0  # seconds a race may cost by the candidates' own estimates
    waiting: float | None = None  # the same while somebody waits: over facts that came with a request; None: `budget`
    routes: Sequence[Route] = ()
    counts: Sequence[Count] = ()
    trust: Trust | None = None
    scope: str | None = None  # a column of the questions (a project, a plant): who did best there answers there
    whom: str | None = None  # the request's field that names the one entity it is about, where there is one
    lasting: timedelta | None = None  # how long an answer is given again while its facts, model and settings stay
    proposing: Proposing | None = None
    replay: Replay | None = None
    retrain: Retrain = Retrain()
    vector: Callable[[History, Frame], Block] | None = None
    filed_as: str | None = None  # a plain word: its models and data sets are found in the blobs under this name

    @property
    def baseline(self) -> str:
        """The name of the candidate to beat."""
        return next(iter(self.candidates))

    def study(self, history: History, questions: Frame) -> Study:
        """The questions with their features, as every forecaster sees them.

        Raises BrokenDomain unless there is one row of features a question, all of them numbers.
        """
        made = self.features(history, questions) if self.features else Block((), np.empty((questions.height, 0)))
        if not isinstance(made, Block | Frame):
            raise BrokenDomain(f"{self.name}: features are of {type(made).__name__}; give a polars frame, or a Block")
        try:
            features = made if isinstance(made, Block) else Block.of(made)
        except BrokenDomain as error:
            raise BrokenDomain(f"{self.name}: feature {error}") from None
        if len(features) != questions.height:
            raise BrokenDomain(f"{self.name}: {len(features)} rows of features for {questions.height} questions")
        return Study(history=history, questions=questions, features=features)


Severity = Literal["low", "medium", "high", "critical"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something amiss, of a kind, with its evidence."""

    kind: str
    severity: Severity
    words: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Something a domain computes from history without learning; `reads`, `about` and `lookups` as a task's.

    Where a report has `findings`, they are what its answer finds amiss with its subject: `subject` is the request's
    field that names it. They can be put on record, and stay open until the report no longer finds them. `watched` are
    the subjects that are looked at regularly. `audience` are the mail addresses of who hears first of what is grave
    there; the tenant's own are told where it names nobody.
    """

    name: str
    summary: str
    reads: Sequence[Read]
    request: type[BaseModel]
    answer: type[BaseModel]
    compute: Callable[[Request, History], Answer]
    about: Callable[[Request], Mapping[str, Sequence[str]]] | None = None
    lookups: Sequence[Lookup] = ()
    routes: Sequence[Route] = ()
    subject: str | None = None
    findings: Callable[[Any], Sequence[Finding]] | None = None
    watched: Callable[[History], Sequence[str]] | None = None
    audience: Callable[[History, str], Sequence[str]] | None = None


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format that other programs export in: `parse` makes of a file's content rows of the domain's tables, by name.

    It raises InvalidRequest for what is not in the format. A row that breaks a rule of its table is kept apart later.
    """

    name: str
    summary: str
    parse: Callable[[bytes], Mapping[str, Frame]]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A small world to try a domain on: a history, and requests for each task and report by name."""

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
    reports: Sequence[Report] = ()
    formats: Sequence[Format] = ()
    sources: Sequence[Source] = ()
    mixed: Sequence[Mixed] = ()
    catalogue: Catalogue | None = None  # features as data, where it declares them so
    members: Members | None = None  # None: every person of the tenant may ask about everything
