"""Predictions as the ledger has them: frames to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

import polars as pl
from pydantic import BaseModel

from foretell.contract import INSTANT, Frame, Task
from foretell.engine.predict import Prediction
from foretell.stores.records import Served


def entry(task: Task, request: BaseModel, said: Prediction, number: UUID, marks: Mapping[str, int]) -> Served:
    """What is written down of a prediction by its number, made from tables with these data marks."""
    confidence = getattr(said.answer, "confidence", None)
    return Served(
        model_name=task.name,
        version=said.card.version,
        method=said.method,
        fallback=said.fallback,
        as_of=said.as_of,
        request=request.model_dump(mode="json"),
        answer=said.answer.model_dump(mode="json"),
        questions=_told(said.questions),
        forecast=_told(said.forecast.rows),
        raw=_told(said.raw),
        marks=marks,
        own_facts=said.own_facts,
        prediction_count=said.questions.height,
        prediction_id=number,
        confidence=confidence if isinstance(confidence, float) else None,
    )


def _told(frame: Frame) -> dict[str, list[Any]]:
    """A frame by column, as JSON has it; instants in ISO 8601."""
    return {
        column.name: [moment.isoformat() for moment in column] if column.dtype == INSTANT else column.to_list()
        for column in frame
    }


def read(served: Sequence[Served], what: Literal["forecast", "raw"]) -> Frame:
    """The questions of predictions beside what was said to them, after or before calibration; one row a question."""
    rows = [pl.DataFrame({**one.questions, **getattr(one, what)}) for one in served]
    together = pl.concat(rows, how="diagonal_relaxed")
    instants = pl.col("as_of", "at").str.to_datetime("%+", time_zone="UTC", time_unit="us")
    return together.with_columns(instants)
