"""A choice whose classes come from the history: who takes a ticket. One colleague joins midway."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from pydantic import BaseModel
from tests.toys import DAY, START, Nothing, ask, world

from foretell import (
    Ask,
    Choice,
    Cost,
    Domain,
    Forecast,
    Frame,
    Gate,
    History,
    Read,
    Rolling,
    Sample,
    Study,
    Table,
    Task,
)
from foretell.models.boosted import BoostedChoice


class Ticket(BaseModel):
    entity: str
    time: datetime
    kind: int


class Taken(BaseModel):
    entity: str
    time: datetime
    who: str


class NewTicket(BaseModel):
    kind: int


class Who(BaseModel):
    who: str
    chance: float
    others: dict[str, float]


class Frequency:
    """How often each class was seen."""

    needs_training = True
    cost = Cost()

    def __init__(self) -> None:
        self.shares: dict[str, float] = {}

    def fit(self, study: Study, outcomes: Frame) -> Self:
        count = outcomes["value"].value_counts().sort("value")
        self.shares = {name: n / outcomes.height for name, n in count.iter_rows()}
        return self

    def forecast(self, study: Study) -> Forecast:
        said = [pl.lit(share).alias(f"p:{name}") for name, share in self.shares.items()]
        return Forecast(rows=study.questions.select(pl.col("entity"), *said).drop("entity"))

    def save(self, folder: Path) -> None:
        (folder / "shares.json").write_text(json.dumps(self.shares))

    def load(self, folder: Path) -> Self:
        self.shares = json.loads((folder / "shares.json").read_text())
        return self


def what_if(request: NewTicket, history: History) -> Ask:
    ticket = {"entity": "new", "time": history.now, "kind": request.kind, "known_at": history.now}
    facts = pl.DataFrame([ticket], schema=history["tickets"].schema)
    return Ask(questions=ask(["new"], [history.now], [history.now]), facts={"tickets": facts})


def features(history: History, questions: Frame) -> Frame:
    return questions.join(history["tickets"], on="entity", how="left", maintain_order="left").select("kind")


def outcomes(history: History, questions: Frame) -> Frame:
    taken = history["taken"].select("entity", "known_at", value="who")
    return questions.join(taken, on="entity", how="left", maintain_order="left").select("value", "known_at")


def decide(forecast: Forecast, request: NewTicket, history: History) -> Who:
    said = {column.removeprefix("p:"): forecast.rows[column][0] for column in forecast.rows.columns}
    best = max(said, key=lambda name: said[name])
    return Who(who=best, chance=said[best], others=said)


TASK = Task(
    name="who",
    target=Choice(of="colleague"),
    reads=[Read(table="tickets", window=60 * DAY)],
    told_by=[Read(table="taken", window=60 * DAY)],
    request=NewTicket,
    answer=Who,
    ask=what_if,
    questions=lambda history: history["tickets"].select("entity", as_of="time", at="time"),
    features=features,
    outcomes=outcomes,
    candidates={
        "frequency": Frequency,
        "trees": lambda: BoostedChoice(columns=["kind"], rounds=25, shape={"num_threads": 1}),
    },
    decide=decide,
    headline=lambda answer: answer.chance,
    rolling=Rolling(folds=3, span=timedelta(days=10)),
    gate=Gate(metric="log_loss", skill=0.2),
)
JOINED = 50


def sample(seed: int, days: int = 80) -> Sample:
    """Kind 0 is ann's, kind 1 bob's, kind 2 whoever's; from day 50 on kind 2 is cem's. One in ten goes astray."""
    rng = np.random.default_rng(seed)
    tickets, taken = [], []
    for k in range(days * 15):
        time, kind = START + DAY * k / 15, int(rng.integers(3))
        there = ["ann", "bob"] + (["cem"] if k >= JOINED * 15 else [])
        who = there[kind] if kind < len(there) and rng.random() > 0.1 else str(rng.choice(there))
        tickets.append((f"t{k}", time, kind, time))
        taken.append((f"t{k}", time + DAY / 24, who, time + DAY / 24))
    tables = {
        "tickets": pl.DataFrame(tickets, schema=["entity", "time", "kind", "known_at"], orient="row"),
        "taken": pl.DataFrame(taken, schema=["entity", "time", "who", "known_at"], orient="row"),
    }
    requests = [NewTicket(kind=kind) for kind in range(3)]
    return Sample(history=world(START + DAY * days, **tables), requests={"who": requests})


TABLES = [
    Table(name="tickets", row=Ticket, key=("entity",), time="time", entity=("entity",)),
    Table(name="taken", row=Taken, key=("entity",), time="time", entity=("entity",)),
]
DOMAIN = Domain(
    name="tickets", summary="Who takes a ticket.", settings=Nothing, tables=TABLES, tasks=[TASK], sample=sample
)
