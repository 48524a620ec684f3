"""A sum over many questions with an honest interval: what a whole fleet burns on a day."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Self
from zlib import crc32

import numpy as np
import polars as pl
from pydantic import BaseModel
from tests.toys import DAY, START, Nothing, Number, ask, world

from foretell import Ask, Cost, Domain, Forecast, Frame, Gate, History, Quantity, Read, Rolling, Sample, Study, Table
from foretell.contract import Task, quantile
from foretell.models.averages import Averages

LEVELS = (0.1, 0.5, 0.9)
CARS, WORLDS = 20, 600
SHARED, OWN = 1.0, 2.0  # the day's weather moves all cars together, and each has its own luck


class Burnt(BaseModel):
    entity: str
    time: datetime
    litres: float


class Fleet(BaseModel):
    day: date


class Shared:
    """Each car's mean, a shock that all cars share on a day, and each car's own; as quantiles and as worlds."""

    needs_training = True
    cost = Cost()

    def __init__(self) -> None:
        self.mean: dict[str, float] = {}
        self.shared = self.own = 0.0

    def fit(self, study: Study, outcomes: Frame) -> Self:
        seen = study.questions.with_columns(value=outcomes["value"])
        means = seen.group_by("entity").agg(pl.col("value").mean()).sort("entity")
        self.mean = dict(means.iter_rows())
        rest = seen.with_columns(rest=pl.col("value") - pl.col("entity").replace_strict(self.mean))
        days = rest.with_columns(shock=pl.col("rest").mean().over("at"), cars=pl.len().over("at"))
        self.own = float((days["rest"] - days["shock"]).to_numpy().std()) * (CARS / (CARS - 1)) ** 0.5
        shock = days.unique("at")["shock"].to_numpy()
        self.shared = float(max(shock.var() - self.own**2 / CARS, 0)) ** 0.5
        return self

    def forecast(self, study: Study) -> Forecast:
        draws = np.empty((study.questions.height, WORLDS))
        for k, (entity, at) in enumerate(study.questions.select("entity", "at").iter_rows()):
            day = int(at.timestamp())  # the same day has the same shock in the same world, whoever asks
            together = np.random.default_rng(day).normal(0, self.shared, WORLDS)
            alone = np.random.default_rng([day, crc32(entity.encode())]).normal(0, self.own, WORLDS)
            draws[k] = self.mean[entity] + together + alone
        bands = {quantile(level): np.quantile(draws, level, axis=1) for level in LEVELS}
        return Forecast(rows=pl.DataFrame({"point": draws.mean(axis=1), **bands}), draws=draws)

    def save(self, folder: Path) -> None:
        (folder / "fleet.json").write_text(json.dumps([self.mean, self.shared, self.own]))

    def load(self, folder: Path) -> Self:
        self.mean, self.shared, self.own = json.loads((folder / "fleet.json").read_text())
        return self


def wish(request: Fleet, history: History) -> Ask:
    cars = history["burnt"]["entity"].unique().sort().to_list()
    at = datetime.combine(request.day, START.timetz())
    return Ask(questions=ask(cars, [history.now] * len(cars), [at] * len(cars)))


def outcomes(history: History, questions: Frame) -> Frame:
    found = history["burnt"].select("entity", "known_at", at="time", value="litres")
    return questions.join(found, on=["entity", "at"], how="left", maintain_order="left").select("value", "known_at")


def decide(forecast: Forecast, request: Fleet, history: History) -> Number:
    if forecast.draws is None:
        total = {name: float(forecast.rows[name].sum()) for name in ("point", "q10", "q90")}
        return Number(value=total["point"], low=total["q10"], high=total["q90"])
    worlds = forecast.draws.sum(axis=0)
    low, high = np.quantile(worlds, (0.1, 0.9))
    return Number(value=float(forecast.rows["point"].sum()), low=float(low), high=float(high))


TASK = Task(
    name="fleet",
    target=Quantity(unit="l"),
    reads=[Read(table="burnt", window=365 * DAY, by="all")],
    request=Fleet,
    answer=Number,
    ask=wish,
    questions=lambda history: history["burnt"].select("entity", as_of="time", at="time"),
    features=lambda history, questions: questions.select(one=pl.repeat(1, pl.len())),
    outcomes=outcomes,
    candidates={"averages": lambda: Averages(groups=[["one"]], levels=LEVELS), "shared": Shared},
    decide=decide,
    headline=lambda answer: answer.value,
    rolling=Rolling(folds=2, span=timedelta(days=20)),
    gate=Gate(metric="pinball", skill=0.1),
)


def facts(seed: int, days: int) -> Frame:
    rng = np.random.default_rng(seed)
    litres = 20 + 3 * np.arange(CARS) + rng.normal(0, SHARED, (days, 1)) + rng.normal(0, OWN, (days, CARS))
    cars, times = [f"car{k:02}" for k in range(CARS)], [START + DAY * k for k in range(days)]
    rows = [(car, time, litres[d, c], time + DAY) for d, time in enumerate(times) for c, car in enumerate(cars)]
    return pl.DataFrame(rows, schema=["entity", "time", "litres", "known_at"], orient="row")


def sample(seed: int, days: int = 200) -> Sample:
    now = START + DAY * days
    return Sample(history=world(now, burnt=facts(seed, days)), requests={"fleet": [Fleet(day=now.date())]})


TABLES = [Table(name="burnt", row=Burnt, key=("entity", "time"), time="time", entity=("entity",))]
DOMAIN = Domain(
    name="fleet", summary="What a fleet burns.", settings=Nothing, tables=TABLES, tasks=[TASK], sample=sample
)
