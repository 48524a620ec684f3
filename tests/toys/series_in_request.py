"""A series comes in the request; statistical models are raced on it in memory, within a budget."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel
from tests.toys import DAY, START, Nothing, ask, world

from foretell import Ask, Domain, Forecast, Frame, Gate, History, Quantity, Read, Rolling, Sample, Table, Task
from foretell.contract import INSTANT
from foretell.models.naive import SeasonalNaive
from foretell.models.statistical import Statistical

LEVELS = (0.1, 0.5, 0.9)
WEEK = timedelta(days=7)


class Point(BaseModel):
    entity: str
    time: datetime
    value: float


class Series(BaseModel):
    """Daily values, the last one of yesterday; `ended` days ago if the series stopped earlier."""

    values: list[float]
    days: int
    method: str | None = None
    ended: int = 0


class Days(BaseModel):
    values: list[float]


def brought(request: Series, history: History) -> Ask:
    end = history.now - DAY * request.ended
    times = [end - DAY * k for k in range(len(request.values), 0, -1)]
    frame = pl.DataFrame({"entity": "it", "time": times, "value": request.values}, schema_overrides={"time": INSTANT})
    days = [end + DAY * k for k in range(request.days)]
    questions = ask(["it"] * len(days), [end] * len(days), days)
    series = frame.with_columns(known_at=pl.col("time") + DAY)
    return Ask(questions=questions, history={"series": series}, candidate=request.method)


def questions(history: History) -> Frame:
    """Each day after three weeks, about the next four days."""
    past = history["series"].filter(pl.col("time") >= pl.col("time").min().over("entity") + 3 * WEEK)
    ahead = pl.DataFrame({"ahead": range(4)})
    return past.join(ahead, how="cross").select(
        "entity", as_of="time", at=pl.col("time") + pl.duration(days=pl.col("ahead"))
    )


def outcomes(history: History, questions: Frame) -> Frame:
    found = history["series"].select("entity", "known_at", "value", at="time")
    return questions.join(found, on=["entity", "at"], how="left", maintain_order="left").select("value", "known_at")


def series(history: History) -> Frame:
    return history["series"].select("entity", "time", "value").sort("entity", "time")


def statistical(method: str, **settings: Any) -> Statistical:
    window = timedelta(days=60)
    return Statistical(method, series=series, step=DAY, window=window, levels=LEVELS, season_length=7, **settings)


TASK = Task(
    name="series",
    target=Quantity(unit="pieces"),
    reads=[Read(table="series", window=timedelta(days=120))],
    request=Series,
    answer=Days,
    ask=brought,
    questions=questions,
    features=None,
    outcomes=outcomes,
    candidates={
        "naive": lambda: SeasonalNaive(series=series, season=WEEK, step=DAY, levels=LEVELS, window=timedelta(days=60)),
        "theta": lambda: statistical("DynamicOptimizedTheta", decomposition_type="additive"),
        "ets": lambda: statistical("AutoETS"),
    },
    decide=lambda forecast, request, history: decide(forecast),
    headline=lambda answer: sum(answer.values),
    rolling=Rolling(folds=2, span=timedelta(days=7)),
    gate=Gate(metric="mae", skill=0.05),
    budget=1.0,
)


def decide(forecast: Forecast) -> Days:
    return Days(values=forecast.rows["point"].to_list())


def values(seed: int, days: int = 70) -> list[float]:
    """A weekly shape on a steep trend: last week's value is always too low."""
    rng = np.random.default_rng(seed)
    day = np.arange(days)
    shape = np.array([0.0, 3, 5, 4, 2, -6, -8])[day % 7]
    found: list[float] = (50 + 2.0 * day + shape + rng.normal(0, 1, days)).tolist()
    return found


def sample(seed: int) -> Sample:
    stored = {"entity": pl.String(), "time": INSTANT, "value": pl.Float64(), "known_at": INSTANT}
    nothing = pl.DataFrame(schema=stored)
    return Sample(history=world(START, series=nothing), requests={"series": [Series(values=values(seed), days=4)]})


TABLES = [Table(name="series", row=Point, key=("entity", "time"), time="time", entity=("entity",))]
DOMAIN = Domain(
    name="series", summary="Any series that is brought along.", settings=Nothing, tables=TABLES, tasks=[TASK],
    sample=sample,
)  # fmt: skip
