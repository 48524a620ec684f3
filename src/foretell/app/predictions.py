"""The verb `predictions`: what was said, and what people say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from foretell.app.requests import writable
from foretell.app.tenancy import Tenancy
from foretell.errors import InvalidRequest
from foretell.stores import records

MOST = 1000  # predictions listed at once


@dataclass(frozen=True, kw_only=True)
class Said:
    """A prediction in the ledger, and the feedback on it."""

    served: records.Served
    feedback: Sequence[records.Feedback]


class Predictions:
    """A tenant's ledger."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def list(self, task: str, *, limit: int = 100, before: datetime | None = None) -> Sequence[Said]:
        """The last predictions of a task, newest first, those made before a moment where one is given.

        Raises NotFound for an unknown task, InvalidRequest for a limit beyond 1 to 1,000.
        """
        if not 1 <= limit <= MOST:
            raise InvalidRequest(f"limit {limit}: ask for 1 to {MOST:,} predictions, and on with `before`")
        name = self.desk.task(task).name
        with self.desk.inside() as connection:
            served = records.newest(connection, self.desk.tenant, name, limit=limit, before=before)
            told = records.feedback(connection, self.desk.tenant, [one.prediction_id for one in served])
        return [Said(served=one, feedback=[f for f in told if f.prediction_id == one.prediction_id]) for one in served]

    def feedback(
        self,
        prediction: UUID,
        *,
        outcome: float | str | None = None,
        helpful: bool | None = None,
        note: str | None = None,
    ) -> None:
        """Keep what happened, whether the prediction helped, or a note. Raises NotFound, InvalidRequest for nothing."""
        if outcome is None and helpful is None and not note:
            raise InvalidRequest("there is nothing in the feedback; give an outcome, helpful or a note")
        writable([outcome, note])
        said = records.Feedback(
            prediction_id=prediction, given_by=self.desk.who, outcome=outcome, helpful=helpful, note=note
        )
        with self.desk.inside() as connection:
            records.say(connection, self.desk.tenant, said)
