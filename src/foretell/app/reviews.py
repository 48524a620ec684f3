"""The verb `reviews`: how features, models and drift did of late, and whether groups of people are treated alike."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from foretell.app import ledger
from foretell.app.tenancy import Tenancy
from foretell.contract import Chance
from foretell.engine.parity import Parity, parity
from foretell.errors import InvalidRequest, NotFound, NotReady
from foretell.stores import records, reviews
from foretell.stores.reviews import Drifted, FeatureQuality, Performance


class Review(BaseModel):
    """How it went since a moment (UTC): features, the worst null rate first; models by version; days of drift."""

    since: datetime
    features: list[FeatureQuality]
    models: list[Performance]
    drift: list[Drifted]


class Reviews:
    """What is looked at every week, and every once in a while."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def show(self, *, days: int = 7) -> Review:
        """How it went in the last `days`. Raises InvalidRequest for none."""
        since = _since(days)
        with self.desk.inside() as connection:
            return Review(
                since=since,
                features=reviews.quality(connection, self.desk.tenant, since),
                models=reviews.performance(connection, self.desk.tenant, since),
                drift=reviews.drifted(connection, self.desk.tenant, since),
            )

    def parity(self, task: str, *, by: str, days: int = 365) -> Parity:
        """What a task that says a chance said in the last `days`, by the values of a field of its requests (`area`).

        Raises NotFound for another task or field, NotReady where nothing was said, InvalidRequest for a field of many
        values in each request, or for no days.
        """
        declared, since = self.desk.task(task), _since(days)
        if not isinstance(declared.target, Chance):
            raise NotFound(f"{task} says no chance of anything, and parity is of chances")
        if by not in declared.request.model_fields:
            raise NotFound(f"requests of {task} have no {by!r}; they have {', '.join(declared.request.model_fields)}")
        with self.desk.inside() as connection:
            served = records.served(connection, self.desk.tenant, declared.name, since=since)
        if not served:
            raise NotReady(f"nothing was said of {task} in the last {days} days")
        rows = [one for one in served for _ in range(one.prediction_count)]
        values = [_text(one.request.get(by), by) for one in rows]
        high = [one.answer.get("level") == "HIGH" for one in rows]
        asked = ledger.read(served, "forecast")
        return parity(declared, self.desk.reviewed(task, asked), asked, (by, values), high)


def _since(days: int) -> datetime:
    if days < 1:
        raise InvalidRequest(f"the last {days} days are none; ask for 1 or more")
    return datetime.now(UTC) - timedelta(days=days)


def _text(value: Any, field: str) -> str | None:
    """A plain value as text; raises InvalidRequest for one of many parts."""
    if isinstance(value, dict | list):
        raise InvalidRequest(f"{field} has many values in a request; name a field that has one")
    return value if value is None or isinstance(value, str) else json.dumps(value)
