"""The paths for people: settings of a tenant, recommendations to approve or reject, and replays to trust them."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model

from foretell.app.tenant_settings import TENANT, TenantSettings
from foretell.contract import Domain, RecommendationState, Replayed, Task
from foretell.errors import InvalidRequest
from foretell.web.office import Approving, Managing, Reading, Replaying, Standing, office
from foretell.web.problems import ERRORS


class Told(BaseModel):
    """A setting that was told; `value` null is its default again."""

    field: str
    value: Any
    changed_at: datetime
    changed_by: str


class Recommendation(BaseModel):
    """An action for people to approve or reject, and what became of it. Nothing is executed."""

    recommendation_id: UUID
    task: str
    subject: str
    prediction_id: UUID
    action: dict[str, Any]
    reason: str
    made_at: datetime
    expires_at: datetime
    state: RecommendationState
    decided_at: datetime | None
    decided_by: str | None
    decided_why: str | None
    approved: dict[str, Any] | None


class Why(BaseModel):
    """Why somebody decides so."""

    reason: str | None = Field(None, max_length=1000)


def router(domains: Mapping[str, Domain]) -> APIRouter:
    """The paths of settings and recommendations."""
    made = APIRouter(prefix="/v1", responses=ERRORS)
    _recommendations(made)
    _settings(made, TENANT, "/settings", TenantSettings)
    for name, domain in domains.items():
        _settings(made, name, f"/{name}/settings", domain.settings)
        for task in domain.tasks:
            if task.replay is not None:
                _replay(made, task, task.replay.request)
    return made


def _replay(made: APIRouter, task: Task, request: type[BaseModel]) -> None:
    options = create_model(
        f"{request.__name__}Options",
        __config__=ConfigDict(extra="forbid"),
        request=(request, request()),
        start=(AwareDatetime | None, Field(None, description="From when; half of the history, a year at most.")),
        end=(AwareDatetime | None, Field(None, description="To when; the end of the history.")),
        method=(
            str | None,
            Field(None, max_length=200, description="By whose forecasts; the one in service."),
        ),
    )

    async def replay(request: Request, body: BaseModel, app: Replaying, as_of: Standing) -> Any:
        told = body.model_dump(mode="json", exclude_unset=True)
        told = {"start": None, "end": None, **told}
        return await office(request).heavy.do(app, "replay", task=task.name, as_of=as_of, **told)

    replay.__annotations__["body"] = options
    made.post(
        f"/{task.name.replace('.', '/')}/replay", response_model=Replayed,
        summary=f"What the decisions of {task.name} would have cost and risked in the past",
    )(replay)  # fmt: skip


def _settings(made: APIRouter, name: str, path: str, kind: type[BaseModel]) -> None:
    whose = "the tenant" if name == TENANT else name

    @made.get(path, summary=f"Settings of {whose}", response_model=kind)
    def show(app: Reading, as_of: Standing) -> Any:
        if as_of == "latest":
            raise InvalidRequest("settings have no newest fact to stand at; give a moment, or leave as_of out")
        return app.settings.show(name, at=as_of)

    @made.patch(path, summary=f"Change settings of {whose}, field by field", response_model=kind)
    def change(app: Managing, body: dict[str, Any]) -> Any:
        return app.settings.change(name, body)

    @made.get(f"{path}/history", summary=f"What was told of the settings of {whose}", response_model=list[Told])
    def history(app: Reading) -> Any:
        return [vars(each) for each in app.settings.history(name)]


def _recommendations(made: APIRouter) -> None:
    @made.get("/recommendations", summary="Recommendations, newest first", response_model=list[Recommendation])
    def recommendations(
        app: Reading,
        state: RecommendationState | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: AwareDatetime | None = None,
    ) -> Any:
        return [vars(each) for each in app.recommendations.list(state=state, limit=limit, before=before)]

    @made.get("/recommendations/{recommendation_id}", summary="A recommendation", response_model=Recommendation)
    def recommendation(recommendation_id: UUID, app: Reading) -> Any:
        return vars(app.recommendations.get(recommendation_id))

    @made.post(
        "/recommendations/{recommendation_id}/approve", summary="Approve a recommendation; people only",
        response_model=Recommendation,
    )  # fmt: skip
    def approve(recommendation_id: UUID, app: Approving, body: Why | None = None) -> Any:
        return vars(app.recommendations.approve(recommendation_id, reason=body.reason if body else None))

    @made.post(
        "/recommendations/{recommendation_id}/reject", summary="Reject a recommendation; people only",
        response_model=Recommendation,
    )  # fmt: skip
    def reject(recommendation_id: UUID, app: Approving, body: Why | None = None) -> Any:
        return vars(app.recommendations.reject(recommendation_id, reason=body.reason if body else None))
