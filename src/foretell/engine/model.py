"""A trained model: a forecaster, the calibration of what it says, and the card that tells all about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from foretell.contract import (
    Choice,
    Forecast,
    Forecaster,
    Frame,
    History,
    Study,
    Target,
    Task,
    quantile,
)
from foretell.engine.apart import made
from foretell.engine.calibration import Calibration, read
from foretell.engine.trust import Reliability, trusted
from foretell.errors import BrokenDomain, Damaged, NotReady
from foretell.models.logistic import Logistic

Held = Mapping[str, tuple[int, float]]  # as in a Record
Worth = Mapping[str, tuple[int, float, float]]  # likewise


class Span(BaseModel):
    """The facts of a table that were there to learn from."""

    model_config = ConfigDict(frozen=True)

    rows: int
    first: datetime | None
    last: datetime | None
    days: int  # on which there is one, by the tenant's clock


class Card(BaseModel):
    """Everything known about a trained model."""

    model_config = ConfigDict(frozen=True)

    task: str
    candidate: str
    baseline: str
    version: str
    trained_at: datetime
    facts: Mapping[str, Span]  # by table
    learned_from: tuple[datetime, datetime] | None
    outcomes: Mapping[str, int]  # settled, open, void
    folds: tuple[tuple[datetime, datetime], ...]
    scored: int  # settled outcomes behind `scores`
    scores: Mapping[str, Mapping[str, float | None]]  # by candidate, by metric
    skipped: Mapping[str, str]  # candidates that did not run, and why
    features: tuple[str, ...]
    reason: str  # why this candidate serves
    epochs: int | None = None  # that it learned in, where it learns in some
    trust: Reliability | None = None  # what the chance that an answer holds has been worth; None: too little to tell


@dataclass(frozen=True, kw_only=True)
class Model:
    """What serves."""

    task: Task
    forecaster: Forecaster
    calibration: Calibration | None
    card: Card
    chance: Logistic | None = None  # that an answer holds, by the factors of the task's trust
    held: Held = field(default_factory=dict)
    worth: Worth = field(default_factory=dict)

    def forecast(self, study: Study) -> Forecast:
        """What the model says, calibrated, one row a question; raises as `raw` does."""
        return self.calibrated(self.raw(study))

    def calibrated(self, said: Forecast) -> Forecast:
        """What is meant by what the forecaster said."""
        return self.calibration.apply(said) if self.calibration else said

    def trusted(self, history: History, questions: Frame, said: Forecast) -> Forecast:
        """What is meant by one answer's forecast, with how sure it is in its evidence; raises as `factors` of trust."""
        return trusted(self.task, self.chance, history, questions, said)

    def raw(self, study: Study) -> Forecast:
        """What the forecaster says; raises NotReady where it has no answer, BrokenDomain where it breaks a rule.

        It has none either where it learned from features that its task, which came anew, no longer has.
        """
        if study.features.names != self.card.features and (gone := lost(self.card, study.features.names)):
            raise NotReady(
                f"version {self.card.version} of {self.task.name} learned from {', '.join(gone)}, which the task has no"
                f" more; train again: foretell train {self.task.name}"
            )
        said = checked(self.task, self.card.candidate, study.questions, self.forecaster.forecast(study))
        if any(column.null_count() for column in said.rows.get_columns()):
            missing = said.rows.select(pl.any_horizontal(pl.all().is_null())).to_series()
            whom = study.questions.filter(missing)["entity"].unique().sort().to_list()
            raise NotReady(
                f"too little is known to answer about {', '.join(whom[:5])}, even for {self.card.candidate}: bring more"
                f" facts that {self.task.name} rests on ({', '.join({read.table: None for read in self.task.reads})})"
            )
        return said

    def save(self, folder: Path) -> None:
        """Write forecaster, calibration, chance and card into an existing, empty folder."""
        (folder / "forecaster").mkdir()
        self.forecaster.save(folder / "forecaster")
        calibration = self.calibration.to_dict() if self.calibration else None
        (folder / "calibration.json").write_text(json.dumps(calibration))
        (folder / "trust.json").write_text(json.dumps(self.chance.to_dict() if self.chance else None))
        (folder / "held.json").write_text(json.dumps({"held": self.held, "worth": self.worth}))
        (folder / "card.json").write_text(self.card.model_dump_json(indent=1))

    @staticmethod
    def card_of(folder: Path) -> Card:
        """The card of a saved model; raises Damaged as `card_read` does."""
        return card_read(json.loads((folder / "card.json").read_text()))

    @classmethod
    def load(cls, task: Task, folder: Path) -> Model:
        """Read what `save` wrote."""
        card = cls.card_of(folder)
        stored = json.loads((folder / "calibration.json").read_text())
        forecaster = made(task, card.candidate).load(folder / "forecaster")
        calibration = read(task.target, stored)
        chance = json.loads((folder / "trust.json").read_text()) if (folder / "trust.json").exists() else None
        record = json.loads((folder / "held.json").read_text())
        return cls(
            task=task, forecaster=forecaster, calibration=calibration, card=card,
            chance=Logistic.from_dict(chance) if chance else None,
            held={entity: (n, share) for entity, (n, share) in record["held"].items()},
            worth={scope: (n, error, base) for scope, (n, error, base) in record["worth"].items()},
        )  # fmt: skip


def lost(card: Card, names: Sequence[str]) -> list[str]:
    """The features that a model learned from and that are not among these."""
    return [name for name in card.features if name not in names]


def checked(task: Task, candidate: str, questions: Frame, said: Forecast) -> Forecast:
    """The forecast, held to the contract: one row a question, the target's columns, no NaN."""
    if said.rows.height != questions.height:
        raise BrokenDomain(
            f"{task.name}: candidate {candidate} gave {said.rows.height} rows for {questions.height} questions"
        )
    wanted = task.target.columns
    if isinstance(task.target, Choice):
        wanted = [c for c in said.rows.columns if c.startswith("p:")]
    missing = [c for c in wanted if c not in said.rows.columns]
    if missing or not wanted:
        raise BrokenDomain(f"{task.name}: candidate {candidate} gave no column {', '.join(missing or ['p:…'])}")
    evidence = said.evidence if said.evidence.width else pl.Series("method", [candidate] * len(questions)).to_frame()
    for what, other in {"draws": said.draws, "evidence": evidence}.items():
        if other is not None and len(other) != questions.height:
            raise BrokenDomain(f"{task.name}: candidate {candidate} gave {what} for {len(other)} questions")
    rows = said.rows if said.rows.columns == wanted else said.rows.select(wanted)
    if any(dtype != pl.Float64 for dtype in rows.dtypes):
        rows = rows.cast(pl.Float64)
    numbers = np.array([column.to_numpy() for column in rows.get_columns()])
    if np.isnan(numbers).any():
        rows = rows.fill_nan(None)
    if np.isinf(numbers).any():
        raise BrokenDomain(f"{task.name}: candidate {candidate} gave an infinite forecast")
    if "method" not in evidence.columns:
        evidence = evidence.with_columns(method=pl.lit(candidate))
    return Forecast(rows=rows, draws=said.draws, evidence=evidence)


def held(target: Target, rows: Frame, settled: Frame) -> Held:
    """Of what was said out of sample of settled questions, how often the 80 % band held, by entity and of all."""
    low, high = quantile(0.1), quantile(0.9)
    if low not in target.columns or high not in target.columns:
        return {}
    inside = settled["value"].cast(pl.Float64).is_between(rows[low], rows[high])
    told = settled.select("entity", inside=inside.cast(pl.Float64))
    told = pl.concat([told, told.with_columns(entity=pl.lit(""))])
    each = told.group_by("entity", maintain_order=True).agg(pl.len().alias("n"), pl.col("inside").mean())
    return {entity: (n, share) for entity, n, share in each.iter_rows()}


def card_read(told: Mapping[str, Any]) -> Card:
    """A card from plain JSON. Raises Damaged for one that another version of foretell wrote, and this can't read."""
    try:
        return Card.model_validate(told)
    except ValidationError as error:
        raise Damaged(f"another foretell made it, with {error.error_count()} things otherwise; train again") from None


def versioned(card: Card) -> Card:
    """The card with its version: a short name that changes with the moment and with all that the card tells."""
    told = card.model_dump_json(exclude={"version"})
    name = f"{card.trained_at:%Y%m%dT%H%M%S}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
    return card.model_copy(update={"version": name})
