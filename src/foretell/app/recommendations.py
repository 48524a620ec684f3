"""The verb `recommendations`: what answers propose, and what people make of it. Nothing is executed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from foretell.app.requests import writable
from foretell.app.tenancy import Tenancy
from foretell.contract import RecommendationState, Task
from foretell.engine.predict import Prediction
from foretell.errors import InvalidRequest, Refused
from foretell.stores import decisions, records, registry
from foretell.stores.decisions import Recommendation

MOST = 1000  # recommendations listed at once


def recommend(desk: Tenancy, task: Task, said: Prediction) -> UUID | None:
    """Write down what an answer on record proposes; the number of the recommendation that is open then, if one is.

    An open one that proposes the same stays; of another subject's nothing changes; any other open one gives way, also
    to a proposal that nothing should change.
    """
    proposal = task.proposing and task.proposing.of(said.answer)
    if not proposal or said.id is None:
        return None
    with desk.transaction() as connection:
        decisions.alone(connection, desk.tenant, f"{task.name} {proposal.subject}")
        last = decisions.decided_last(connection, desk.tenant, task.name, proposal.subject)
        if last and last.state == "approved" and last.decided_at and last.decided_at > said.as_of:
            return None  # it was thought out before that was approved
        if last and last.state == "rejected" and last.action == proposal.action and last.expires_at > said.as_of:
            return None  # people have said no to it
        before = decisions.open_of(connection, desk.tenant, task.name, proposal.subject)
        if before and before.state == "pending" and before.action == proposal.action:
            return before.recommendation_id
        if before:
            state: RecommendationState = "expired" if before.state == "expired" else "superseded"
            decisions.decide(connection, desk.tenant, before.recommendation_id, state)
        if proposal.action is None:
            return None
        return decisions.recommend(
            connection, desk.tenant, task.name, proposal.subject,
            prediction=said.id, action=proposal.action, reason=proposal.reason, until=proposal.until,
        )  # fmt: skip


class Recommendations:
    """A tenant's recommendations."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def list(
        self, *, state: RecommendationState | None = None, limit: int = 100, before: datetime | None = None
    ) -> Sequence[Recommendation]:
        """The last recommendations, newest first, of one state if given, made before a moment if one is given.

        Raises InvalidRequest for a limit beyond 1 to 1,000.
        """
        if not 1 <= limit <= MOST:
            raise InvalidRequest(f"limit {limit}: ask for 1 to {MOST:,} recommendations, and on with `before`")
        with self.desk.inside() as connection:
            return decisions.recommendations(connection, self.desk.tenant, state=state, limit=limit, before=before)

    def get(self, number: UUID) -> Recommendation:
        """A recommendation by its number; raises NotFound."""
        with self.desk.inside() as connection:
            return decisions.recommendation(connection, self.desk.tenant, number)

    def approve(self, number: UUID, *, reason: str | None = None) -> Recommendation:
        """Approve a pending recommendation, its figures worked out again under the settings of now. Returns it.

        Approval and audit row are one transaction. Raises NotFound; Refused for one that is no longer pending, or that
        the task refuses now (a cooldown).
        """
        return self._decided(number, "approved", reason)

    def reject(self, number: UUID, *, reason: str | None = None) -> Recommendation:
        """Reject a pending recommendation. Returns it. Raises NotFound; Refused for one that is no longer pending."""
        return self._decided(number, "rejected", reason)

    def _decided(self, number: UUID, state: RecommendationState, reason: str | None) -> Recommendation:
        writable(reason)
        with self.desk.inside() as connection:
            subject = decisions.recommendation(connection, self.desk.tenant, number)
            # Before it is held: who makes a newer one takes the same turns.
            decisions.alone(connection, self.desk.tenant, f"{subject.task} {subject.subject}")
            one = decisions.recommendation(connection, self.desk.tenant, number, hold=True)
            if one.state != "pending":
                raise Refused(f"recommendation {number} is {one.state}; only a pending one can be {state}")
            action = self._reviewed(connection, one) if state == "approved" else None
            decisions.decide(
                connection, self.desk.tenant, number, state, who=self.desk.who, why=reason, approved=action
            )
            details = {"subject": one.subject, "action": action or one.action, "reason": reason, "number": str(number)}
            deed = "approve" if state == "approved" else "reject"
            records.audit(connection, self.desk.tenant, self.desk.who, deed, one.task, details)
            return decisions.recommendation(connection, self.desk.tenant, number)

    def _reviewed(self, connection: Any, one: Recommendation) -> dict[str, Any]:
        task = self.desk.task(one.task)
        if task.proposing is None:
            raise Refused(f"{one.task} no longer proposes anything")
        look = registry.look(connection, self.desk.tenant, [task.name], [])
        standing = self.desk.standpoint(connection, self.desk.domain(task.name), None, look)
        return dict(task.proposing.review(one.subject, one.action, standing))
