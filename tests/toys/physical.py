"""A law instead of learning: a cup of coffee cools as Newton said, and answers from the first day."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from pydantic import BaseModel
from tests.toys import DAY, START, About, Nothing, Number, ask, number, world

from foretell import Ask, Cost, Domain, Forecast, Frame, Gate, History, Quantity, Read, Rolling, Sample, Study, Table
from foretell.contract import Task
from foretell.errors import InvalidRequest
from foretell.models.averages import Averages

LEVELS = (0.1, 0.5, 0.9)
RATE = 1 / 40  # a minute


class Cup(BaseModel):
    entity: str
    time: datetime
    hot: float
    room: float


class Reading(BaseModel):
    entity: str
    time: datetime
    degrees: float


class Newton:
    """The difference to the room falls exponentially; the thermometer errs by half a degree."""

    needs_training = False
    cost = Cost()

    def fit(self, study: Study, outcomes: Frame) -> Self:
        raise AssertionError("there is nothing to train")

    def forecast(self, study: Study) -> Forecast:
        point = pl.col("room") + (pl.col("hot") - pl.col("room")) * (-RATE * pl.col("minutes")).exp()
        rows = study.features.frame().select(point=point)
        bands = {
            f"q{100 * level:g}": rows["point"] + 0.5 * z for level, z in zip(LEVELS, (-1.28, 0, 1.28), strict=True)
        }
        return Forecast(rows=rows.with_columns(**bands))

    def save(self, folder: Path) -> None:
        """Nothing learned, nothing to keep."""

    def load(self, folder: Path) -> Self:
        return self


def wish(request: About, history: History) -> Ask:
    if request.entity not in history["cups"]["entity"]:
        raise InvalidRequest(f"there is no cup {request.entity}")
    return Ask(questions=ask([request.entity], [history.now], [request.at]))


def features(history: History, questions: Frame) -> Frame:
    found = questions.join(history["cups"], on="entity", how="left", maintain_order="left")
    minutes = (pl.col("at") - pl.col("time")).dt.total_microseconds() / 60e6
    return found.select("hot", "room", minutes=minutes, quarter=(minutes / 15).floor().cast(pl.Int64))


def outcomes(history: History, questions: Frame) -> Frame:
    read = history["readings"].select("entity", "known_at", at="time", value="degrees")
    return questions.join(read, on=["entity", "at"], how="left", maintain_order="left").select("value", "known_at")


def past(history: History) -> Frame:
    cups = history["cups"].select("entity", as_of="time")
    return history["readings"].join(cups, on="entity").select("entity", "as_of", at="time")


TASK = Task(
    name="coffee",
    target=Quantity(unit="°C"),
    reads=[Read(table="cups", window=DAY)],
    told_by=[Read(table="readings", window=DAY)],
    request=About,
    answer=Number,
    ask=wish,
    questions=past,
    features=features,
    outcomes=outcomes,
    candidates={"averages": lambda: Averages(groups=[["quarter"]], levels=LEVELS), "newton": Newton},
    decide=lambda forecast, request, history: number(forecast.rows),
    headline=lambda answer: answer.value,
    rolling=Rolling(folds=2, span=timedelta(days=5)),
    gate=Gate(metric="mae"),
)


def true_degrees(hot: float, room: float, minutes: float) -> float:
    return room + (hot - room) * float(np.exp(-RATE * minutes))


def sample(seed: int, days: int = 20) -> Sample:
    rng = np.random.default_rng(seed)
    cups, readings = [], []
    for k in range(days * 10):
        time, hot, room = START + DAY * k / 10, float(rng.uniform(70, 95)), float(rng.uniform(16, 26))
        cups.append((f"c{k}", time, hot, room, time))
        for minutes in (10, 30, 60):
            when = time + timedelta(minutes=minutes)
            readings.append((f"c{k}", when, true_degrees(hot, room, minutes) + float(rng.normal(0, 0.5)), when))
    tables = {
        "cups": pl.DataFrame(cups, schema=["entity", "time", "hot", "room", "known_at"], orient="row"),
        "readings": pl.DataFrame(readings, schema=["entity", "time", "degrees", "known_at"], orient="row"),
    }
    now = START + DAY * days
    requests = [About(entity=f"c{days * 10 - k}", at=now + timedelta(minutes=10)) for k in (1, 2)]
    return Sample(history=world(now, **tables), requests={"coffee": requests})


TABLES = [
    Table(name="cups", row=Cup, key=("entity",), time="time", entity=("entity",)),
    Table(name="readings", row=Reading, key=("entity", "time"), time="time", entity=("entity",)),
]
DOMAIN = Domain(
    name="coffee", summary="When the coffee can be drunk.", settings=Nothing, tables=TABLES, tasks=[TASK], sample=sample
)
