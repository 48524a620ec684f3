"""The paths of sources: how they are doing, and fetching what they tell now."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from typing import Any

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, Field

from foretell.app.collecting import Collected, Known
from foretell.contract import Domain
from foretell.web.office import Bringing, Reading, office


class Collecting(BaseModel):
    """What to collect: from one source alone, where it is named, and of a span of its own."""

    source: str | None = Field(None, max_length=200, description="The source's name, without its domain.")
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


def sources(made: APIRouter, domain: Domain) -> None:
    """The paths of a domain's sources, where it has some."""
    if not domain.sources:
        return
    name = domain.name

    @made.get(f"/{name}/sources", summary=f"Where facts of {name} come from", response_model=list[Known])
    def known(app: Reading) -> Any:
        return app.sources.list(name)

    @made.post(
        f"/{name}/collect", summary=f"Fetch what sources of {name} tell; answers when it is done",
        response_model=list[Collected],
    )  # fmt: skip
    async def collect(request: Request, app: Bringing, body: Collecting | None = None) -> Any:
        asked = body or Collecting()
        one = f"{name}.{asked.source}" if asked.source else name
        span = {"since": asked.since and asked.since.isoformat(), "until": asked.until and asked.until.isoformat()}
        return await office(request).heavy.do(app, "collect", name=one, **span)
