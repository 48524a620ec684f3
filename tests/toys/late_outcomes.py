"""Outcomes that arrive late, and some that never will: whether an order comes back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from pydantic import BaseModel
from tests.toys import DAY, START, About, Nothing, ask, world

from foretell import (
    Ask,
    Chance,
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


class Order(BaseModel):
    entity: str
    time: datetime
    shop: str


class End(BaseModel):
    entity: str
    time: datetime
    how: str


class Risk(BaseModel):
    chance: float


class Rate:
    """The share that came back, of all or of each shop."""

    needs_training = True
    cost = Cost()

    def __init__(self, by: str) -> None:
        self.by = by
        self.rates: dict[str, float] = {}
        self.learned: Frame = pl.DataFrame()  # for the tests: what it was given to learn from

    def fit(self, study: Study, outcomes: Frame) -> Self:
        self.learned = study.questions.with_columns(outcomes)
        seen = pl.DataFrame({"key": study.features[self.by], "value": outcomes["value"]})
        means = seen.group_by("key").agg(pl.col("value").mean()).sort("key")
        self.rates = {str(key): rate for key, rate in means.iter_rows()}
        return self

    def forecast(self, study: Study) -> Forecast:
        chance = [self.rates.get(str(key), 0.5) for key in study.features[self.by]]
        return Forecast(rows=pl.DataFrame({"chance": chance}))

    def save(self, folder: Path) -> None:
        (folder / "rate.json").write_text(json.dumps(self.rates))

    def load(self, folder: Path) -> Self:
        self.rates = json.loads((folder / "rate.json").read_text())
        return self


def features(history: History, questions: Frame) -> Frame:
    found = questions.join(history["orders"], on="entity", how="left", maintain_order="left")
    return found.select(shop=pl.col("shop") == "b", all=1)


def outcomes(history: History, questions: Frame) -> Frame:
    """Kept 0, returned 1; cancelled: known, and never to have a value; not ended: open."""
    value = pl.col("how").replace_strict({"kept": 0, "returned": 1}, default=None, return_dtype=pl.Int64)
    ends = history["ends"].select("entity", "known_at", value=value)
    return questions.join(ends, on="entity", how="left", maintain_order="left").select("value", "known_at")


TASK = Task(
    name="returns",
    target=Chance(event="the order comes back"),
    reads=[Read(table="orders", window=60 * DAY)],
    told_by=[Read(table="ends", window=60 * DAY)],
    request=About,
    answer=Risk,
    ask=lambda request, history: Ask(questions=ask([request.entity], [history.now], [request.at])),
    questions=lambda history: history["orders"].select("entity", as_of="time", at="time"),
    features=features,
    outcomes=outcomes,
    candidates={"all": lambda: Rate("all"), "shop": lambda: Rate("shop")},
    decide=lambda forecast, request, history: Risk(chance=forecast.rows["chance"][0]),
    headline=lambda answer: answer.chance,
    rolling=Rolling(folds=3, span=timedelta(days=14)),
    gate=Gate(metric="brier", skill=0.02),
)


def sample(seed: int, days: int = 120) -> Sample:
    """Half of all come to their end within ten days, the last after a month; a tenth is cancelled on the next day."""
    rng = np.random.default_rng(seed)
    orders, ends = [], []
    for k in range(days * 20):
        time = START + DAY * k / 20
        shop = "ab"[k % 2]
        back, cancelled = rng.random() < (0.2 if shop == "a" else 0.6), rng.random() < 0.1
        how = "cancelled" if cancelled else "returned" if back else "kept"
        end = time + DAY * (1 if cancelled else float(rng.choice([rng.uniform(5, 10), 30])))
        orders.append((f"o{k}", time, shop, time))
        ends.append((f"o{k}", end, how, end))
    tables = {
        "orders": pl.DataFrame(orders, schema=["entity", "time", "shop", "known_at"], orient="row"),
        "ends": pl.DataFrame(ends, schema=["entity", "time", "how", "known_at"], orient="row"),
    }
    now = START + DAY * days
    requests = [About(entity=f"o{days * 20 - k}", at=now) for k in (1, 2)]
    return Sample(history=world(now, **tables), requests={"returns": requests})


TABLES = [
    Table(name="orders", row=Order, key=("entity",), time="time", entity=("entity",)),
    Table(name="ends", row=End, key=("entity",), time="time", entity=("entity",)),
]
DOMAIN = Domain(
    name="returns", summary="Which orders come back.", settings=Nothing, tables=TABLES, tasks=[TASK], sample=sample
)
