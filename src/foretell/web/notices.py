"""The paths of notices: what somebody should hear of, and a trial of how it is sent."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel

from foretell.contract import Severity
from foretell.web.office import Keeping, Managing


class Found(BaseModel):
    """What a notice is about."""

    kind: str
    severity: Severity
    words: str
    evidence: dict[str, Any]


class Notice(BaseModel):
    """What somebody should hear of, and to how many it was sent by which way; null while it is not sent."""

    notice_id: UUID
    about: str
    subject: str
    severity: Severity
    findings: list[Found]
    created_at: datetime
    sent_at: datetime | None
    sent: dict[str, int] | None
    error: str | None


def noticed(made: APIRouter) -> None:
    """The paths of notices."""

    @made.get("/notices", summary="What somebody should hear of, newest first", response_model=list[Notice])
    def notices(
        app: Keeping, limit: Annotated[int, Query(ge=1, le=1000)] = 100, before: AwareDatetime | None = None
    ) -> Any:
        return [vars(each) for each in app.notices.list(before=before, limit=limit)]

    @made.post(
        "/notices/trial", summary="Have a notice sent, to see that it arrives", status_code=202, response_model=Notice
    )
    def trial(app: Managing) -> Any:
        return vars(app.notices.trial())
