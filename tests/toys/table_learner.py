"""Features → boosted trees: how many minutes a delivery takes, from distance, hour and weight."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from pydantic import BaseModel
from tests.toys import DAY, START, Nothing, Number, ask, number, world

from foretell import Ask, Domain, Forecast, Frame, Gate, History, Quantity, Read, Rolling, Sample, Table, Task
from foretell.models.averages import Averages
from foretell.models.boosted import BoostedQuantiles

LEVELS = (0.1, 0.5, 0.9)
ONE = {"num_threads": 1}
COLUMNS = ["distance", "hour", "weight"]


class Order(BaseModel):
    entity: str
    time: datetime
    distance: float
    weight: float


class Done(BaseModel):
    entity: str
    time: datetime
    minutes: float


class NewOrder(BaseModel):
    distance: float
    weight: float


def what_if(request: NewOrder, history: History) -> Ask:
    order = {"entity": "new", "time": history.now, "known_at": history.now, **request.model_dump()}
    facts = pl.DataFrame([order], schema=history["orders"].schema)
    return Ask(questions=ask(["new"], [history.now], [history.now]), facts={"orders": facts})


def features(history: History, questions: Frame) -> Frame:
    found = questions.join(history["orders"], on="entity", how="left", maintain_order="left")
    hour = pl.col("time").dt.hour().cast(pl.Int64)
    return found.select("distance", hour.alias("hour"), "weight", far=(pl.col("distance") > 5).cast(pl.Int64))


def outcomes(history: History, questions: Frame) -> Frame:
    done = history["done"].select("entity", "known_at", value="minutes")
    return questions.join(done, on="entity", how="left", maintain_order="left").select("value", "known_at")


def decide(forecast: Forecast, request: NewOrder, history: History) -> Number:
    return number(forecast.rows)


TASK = Task(
    name="minutes",
    target=Quantity(unit="minutes", lower=0),
    reads=[Read(table="orders", window=DAY)],
    told_by=[Read(table="done", window=DAY)],
    request=NewOrder,
    answer=Number,
    ask=what_if,
    questions=lambda history: history["orders"].select("entity", as_of="time", at="time"),
    features=features,
    outcomes=outcomes,
    candidates={
        "averages": lambda: Averages(groups=[["far"]], levels=LEVELS),
        "trees": lambda: BoostedQuantiles(columns=COLUMNS, levels=LEVELS, rounds=60, lower=0, shape=ONE),
    },
    decide=decide,
    headline=lambda answer: answer.value,
    rolling=Rolling(folds=2, span=timedelta(days=10)),
    gate=Gate(metric="pinball", skill=0.1),
)


def true_minutes(distance: float, hour: int, weight: float) -> float:
    return 5 + distance * (6 if 7 <= hour < 10 else 3) + weight / 2


def sample(seed: int, days: int = 60, each: int = 25) -> Sample:
    rng = np.random.default_rng(seed)
    orders, done = [], []
    for k in range(days * each):
        time = START + DAY * float(rng.uniform(0, days))
        distance, weight = float(rng.uniform(1, 10)), float(rng.uniform(0, 20))
        minutes = true_minutes(distance, time.hour, weight) * float(rng.lognormal(0, 0.1))
        orders.append((f"o{k}", time, distance, weight, time))
        done.append((f"o{k}", time + timedelta(minutes=minutes), minutes, time + timedelta(minutes=minutes)))
    order_row, done_row = (
        ["entity", "time", "distance", "weight", "known_at"],
        ["entity", "time", "minutes", "known_at"],
    )
    tables = {
        "orders": pl.DataFrame(orders, schema=order_row, orient="row"),
        "done": pl.DataFrame(done, schema=done_row, orient="row"),
    }
    requests = [NewOrder(distance=d, weight=w) for d, w in ((2, 1), (8, 1), (8, 18))]
    return Sample(history=world(START + DAY * days, **tables), requests={"minutes": requests})


TABLES = [
    Table(name="orders", row=Order, key=("entity",), time="time", entity=("entity",)),
    Table(name="done", row=Done, key=("entity",), time="time", entity=("entity",)),
]
DOMAIN = Domain(
    name="deliveries",
    summary="How long a delivery takes.",
    settings=Nothing,
    tables=TABLES,
    tasks=[TASK],
    sample=sample,
)
