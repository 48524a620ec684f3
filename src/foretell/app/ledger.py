"""Predictions as the ledger has them: frames to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import polars as pl
from pydantic import BaseModel

from foretell.contract import EPOCH, INSTANT, MICRO, Forecast, Frame, Task
from foretell.engine.model import Card
from foretell.engine.predict import Prediction
from foretell.errors import NotReady
from foretell.stores import records
from foretell.stores.records import Served

if TYPE_CHECKING:
    from foretell.app.tenancy import Tenancy


def entry(
    task: Task, request: BaseModel, said: Prediction, number: UUID, marks: Mapping[str, int], took: float | None
) -> Served:
    """What is written down of a prediction by its number, made from tables with these data marks in `took` ms."""
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
        latency_ms=took,
    )


def again(task: Task, served: Served, card: Card, known_at: datetime | None) -> Prediction:
    """The prediction that was written down, as far as callers are told it; its possible futures are gone."""
    return Prediction(
        answer=task.answer.model_validate(served.answer),
        questions=_timed(pl.DataFrame(served.questions)),
        forecast=Forecast(rows=pl.DataFrame(served.forecast)),
        raw=pl.DataFrame(served.raw),
        method=served.method,
        card=card,
        fallback=served.fallback,
        own_facts=served.own_facts,
        as_of=served.as_of,
        known_at=known_at,
        cached=True,
        repeated=True,
        id=served.prediction_id,
    )


def _told(frame: Frame) -> dict[str, list[Any]]:
    """A frame by column, as JSON has it; instants in ISO 8601."""
    return {
        column.name: [(EPOCH + MICRO * micro).isoformat() for micro in column.cast(pl.Int64).to_list()]
        if column.dtype == INSTANT
        else column.to_list()
        for column in frame.get_columns()
    }


def turned_out(
    desk: Tenancy, task: str, what: Literal["forecast", "raw"], version: str | None = None
) -> tuple[Frame, datetime, datetime]:
    """Questions of a task that were served, with what was said to them, and the first and last moment they were asked.

    Of a `version` those that it answered. Raises NotReady where there are none.
    """
    with desk.transaction() as connection:
        served = records.served(connection, desk.tenant, desk.task(task).name)
    served = [one for one in served if version in (None, one.version)]
    if not served:
        raise NotReady(f"no forecast of {task}{' by its champion' if version else ''} has been served yet")
    asked = [one.as_of for one in served]
    return read(served, what), min(asked), max(asked)


def read(served: Sequence[Served], what: Literal["forecast", "raw"]) -> Frame:
    """The questions of predictions beside what was said to them, after or before calibration; one row a question."""
    rows = [pl.DataFrame({**one.questions, **getattr(one, what)}) for one in served]
    return _timed(pl.concat(rows, how="diagonal_relaxed"))


def _timed(frame: Frame) -> Frame:
    return frame.with_columns(pl.col("as_of", "at").str.to_datetime("%+", time_zone="UTC", time_unit="us"))
