"""A recurrent network: an echo state network reads each sensor's past, strictly as known when asked."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from pydantic import BaseModel
from tests.toys import DAY, HOUR, START, About, Nothing, Number, ask, number, world

from foretell import Ask, Cost, Domain, Forecast, Frame, Gate, History, Quantity, Read, Rolling, Sample, Study, Table
from foretell.contract import Floats, Task, quantile
from foretell.models.naive import SeasonalNaive

LEVELS = (0.1, 0.5, 0.9)
LENGTH, SIZE = 16, 60


class Value(BaseModel):
    entity: str
    time: datetime
    value: float
    arrived: datetime


class Echo:
    """A fixed random reservoir with a ridge readout; the band is the spread of its errors in training."""

    needs_training = True
    cost = Cost(fit=0.2, forecast=0.2)

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        inner = rng.normal(0, 1, (SIZE, SIZE))
        self.inner: Floats = inner * 0.7 / float(np.abs(np.linalg.eigvals(inner)).max())
        self.enter: Floats = rng.uniform(-1, 1, (SIZE, 2))
        self.out: Floats = np.zeros(SIZE + 1)
        self.spread: Floats = np.zeros(len(LEVELS))

    def _states(self, study: Study) -> Floats:
        read = np.zeros((study.questions.height, LENGTH))
        for places, known in study.by_as_of():
            newest = known.history["values"].sort("time").group_by("entity").agg(pl.col("value").tail(LENGTH))
            past = dict(newest.iter_rows())
            for place, entity in zip(places, known.questions["entity"], strict=True):
                sequence = past.get(entity, [])
                read[place, LENGTH - len(sequence) :] = sequence
        state = np.zeros((len(read), SIZE))
        for step in range(LENGTH):
            entered = np.column_stack([read[:, step], np.ones(len(read))])
            state = np.tanh(np.einsum("nk,sk->ns", entered, self.enter) + np.einsum("nk,sk->ns", state, self.inner))
        return np.column_stack([state, np.ones(len(read))])

    def fit(self, study: Study, outcomes: Frame) -> Self:
        states, value = self._states(study), outcomes["value"].to_numpy()
        self.out = np.linalg.solve(states.T @ states + 1e-4 * np.eye(SIZE + 1), states.T @ value)
        self.spread = np.quantile(value - np.einsum("nk,k->n", states, self.out), LEVELS)
        return self

    def forecast(self, study: Study) -> Forecast:
        point = np.einsum("nk,k->n", self._states(study), self.out)
        bands = {quantile(level): point + self.spread[k] for k, level in enumerate(LEVELS)}
        return Forecast(rows=pl.DataFrame({"point": point, **bands}))

    def save(self, folder: Path) -> None:
        np.savez(folder / "echo.npz", out=self.out, spread=self.spread)

    def load(self, folder: Path) -> Self:
        with np.load(folder / "echo.npz", allow_pickle=False) as stored:
            self.out, self.spread = stored["out"], stored["spread"]
        return self


def outcomes(history: History, questions: Frame) -> Frame:
    found = history["values"].select("entity", "known_at", "value", at="time")
    return questions.join(found, on=["entity", "at"], how="left", maintain_order="left").select("value", "known_at")


def regular(history: History) -> Frame:
    """Every three hours up to now, null where nothing has arrived; each with the moment it did."""
    values, step = history["values"].select("entity", "time", "value", "known_at"), 3 * HOUR
    every = pl.datetime_ranges(pl.col("time").min(), pl.lit(history.now - step), step).alias("time")
    grid = values.group_by("entity").agg(every.first()).explode("time", empty_as_null=False, keep_nulls=False)
    joined = grid.join(values, on=["entity", "time"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("known_at").fill_null(pl.col("time") + step))


TASK = Task(
    name="sensor",
    target=Quantity(unit="V"),
    reads=[Read(table="values", window=30 * DAY)],
    request=About,
    answer=Number,
    ask=lambda request, history: Ask(questions=ask([request.entity], [history.now], [request.at])),
    questions=lambda history: history["values"].select("entity", as_of="time", at="time"),
    features=None,
    outcomes=outcomes,
    candidates={
        "yesterday": lambda: SeasonalNaive(
            series=regular,
            season=3 * HOUR,
            step=3 * HOUR,
            levels=LEVELS,
            window=5 * DAY,
        ),
        "echo": Echo,
    },
    decide=lambda forecast, request, history: number(forecast.rows),
    headline=lambda answer: answer.value,
    rolling=Rolling(folds=2, span=4 * DAY),
    gate=Gate(metric="mae", skill=0.2),
)


def sample(seed: int, steps: int = 240) -> Sample:
    """Three sensors that follow the Hénon map, a value every three hours; each tenth arrives a day late."""
    rng = np.random.default_rng(seed)
    rows = []
    for sensor in range(3):
        x, y = rng.uniform(-0.1, 0.1, 2)
        for k in range(steps):
            x, y = 1 - 1.4 * x * x + y, 0.3 * x
            time = START + 3 * HOUR * k
            known = time + 3 * HOUR + (DAY if k % 10 == 9 else 0 * HOUR)
            rows.append((f"s{sensor}", time, float(x + rng.normal(0, 0.002)), known))
    values = pl.DataFrame(rows, schema=["entity", "time", "value", "known_at"], orient="row")
    now = START + 3 * HOUR * steps
    requests = [About(entity=f"s{k}", at=now) for k in range(3)]
    return Sample(history=world(now, values=values), requests={"sensor": requests})


TABLES = [Table(name="values", row=Value, key=("entity", "time"), time="time", entity=("entity",), known_at="arrived")]
DOMAIN = Domain(
    name="sensors", summary="The next value of a sensor.", settings=Nothing, tables=TABLES, tasks=[TASK], sample=sample
)
