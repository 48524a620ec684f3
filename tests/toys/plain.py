"""The plainest task, to take the engine apart with: two entities, a value an hour, forecasters that are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from pydantic import BaseModel
from tests.toys import DAY, HOUR, START, About, ask, world

from foretell import Ask, Cost, Forecast, Frame, Gate, History, Quantity, Read, Rolling, Study, Task


class Said(BaseModel):
    """All that was forecast."""

    said: list[float]


Says = Callable[[Study], pl.Series | float]


class Told:
    """Says what it is told: a number, or what a function makes of the study; remembers what it was shown."""

    def __init__(
        self, point: Says | float = 0.0, *, width: float = 2.0, trains: bool = True, cost: Cost | None = None,
        seen: list[tuple[str, Study, Frame | None]] | None = None, name: str = "chance",
    ) -> None:  # fmt: skip
        self.point, self.width, self.needs_training, self.cost = point, width, trains, cost or Cost()
        self.seen = [] if seen is None else seen
        self.name = name  # of the column of a chance
        self.learned = 0.0

    def fit(self, study: Study, outcomes: Frame) -> Self:
        self.seen.append(("fit", study, outcomes))
        self.learned = float(outcomes.height)
        return self

    def forecast(self, study: Study) -> Forecast:
        self.seen.append(("forecast", study, None))
        said = self.point(study) if callable(self.point) else self.point
        point = said if isinstance(said, pl.Series) else pl.repeat(said, study.questions.height, eager=True)
        point = point.cast(pl.Float64)
        half = self.width / 2
        rows = {"point": point, "q10": point - half, "q50": point, "q90": point + half, self.name: point}
        return Forecast(rows=pl.DataFrame(rows))

    def save(self, folder: Path) -> None:
        (folder / "told.json").write_text(json.dumps(self.learned))

    def load(self, folder: Path) -> Self:
        self.learned = json.loads((folder / "told.json").read_text())
        return self


def outcomes(history: History, questions: Frame) -> Frame:
    found = history["values"].select("entity", "known_at", "value", at="time")
    return questions.join(found, on=["entity", "at"], how="left", maintain_order="left").select("value", "known_at")


TASK = Task(
    name="plain",
    target=Quantity(unit="m"),
    reads=[Read(table="values", window=DAY)],
    request=About,
    answer=Said,
    ask=lambda request, history: Ask(questions=ask([request.entity], [history.now], [request.at])),
    questions=lambda history: history["values"].select("entity", as_of="time", at="time"),
    features=lambda history, questions: questions.select(hour=pl.col("at").dt.hour()),
    outcomes=outcomes,
    candidates={"zero": Told},
    decide=lambda forecast, request, history: Said(said=forecast.rows.to_series(0).to_list()),
    headline=lambda answer: answer.said[0],
    rolling=Rolling(folds=3, span=timedelta(days=2)),
    gate=Gate(metric="mae"),
)


def task(candidates: dict[str, Callable[[], Any]] | None = None, **changes: Any) -> Task:
    """The plain task with other candidates, or other anything."""
    return replace(TASK, candidates=candidates or TASK.candidates, **changes)


def history(
    days: int = 10, *, level: float = 10.0, late: timedelta = HOUR, seed: int = 1, noise: float = 1.0
) -> History:
    """Two entities with a value an hour about a level, each known `late` after its time."""
    rng = np.random.default_rng(seed)
    times = [START + HOUR * k for k in range(24 * days)]
    rows = [(e, t, level + noise * float(rng.normal()), t + late) for t in times for e in ("a", "b")]
    frame = pl.DataFrame(rows, schema=["entity", "time", "value", "known_at"], orient="row")
    return world(START + DAY * days, values=frame)
