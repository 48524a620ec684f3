"""Facts over HTTP: rows of a table in and out, and what other programs export."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel

from foretell.app.upload import take
from foretell.contract import Format, Table
from foretell.engine.mapping import pairs_of
from foretell.engine.spelling import Order
from foretell.errors import InvalidRequest
from foretell.web.office import Bringing, Reading, Standing, office
from foretell.web.quick import HEAVY

ROWS = 100_000  # facts in an answer


class Taken(BaseModel):
    """What became of rows; by its number an import can be taken back."""

    import_id: UUID | None
    accepted: int
    revised: int
    unchanged: int
    rejected: int
    rules: dict[str, int]
    notes: list[str]
    quality: dict[str, float]


def bring(made: APIRouter, name: str, path: str, form: Format) -> None:
    """The path that takes in a format."""

    @made.post(path, summary=f"Bring {form.summary}", response_model=dict[str, Taken])
    async def brought(request: Request, app: Bringing) -> Any:
        return await office(request).heavy.do(app, "take_format", name=name, body=await request.body())


def table(made: APIRouter, name: str, path: str, table: Table) -> None:
    """The paths of a table: rows in, rows out."""
    rows = {"type": "object", "properties": {"rows": {"type": "array", "items": table.row.model_json_schema()}}}
    text, binary = {"schema": {"type": "string"}}, {"schema": {"type": "string", "format": "binary"}}
    bodies = {"application/json": {"schema": rows}, "text/csv": text, "application/vnd.apache.parquet": binary}
    kinds = {"application/json": "json", "text/csv": "csv", "application/vnd.apache.parquet": "parquet"}

    @made.post(
        path, summary=f"Bring facts into {name}", response_model=Taken,
        openapi_extra={"requestBody": {"required": True, "content": bodies}},
    )  # fmt: skip
    async def bring(
        request: Request,
        app: Bringing,
        zone: Annotated[str | None, Query(max_length=100)] = None,
        interval: Annotated[str, Query(max_length=20)] = "none",
        dates: Annotated[Order | None, Query(description="whether 02/03/2026 begins with its day or its month")] = None,
        map: Annotated[str | None, Query(max_length=2000, description="time=timestamp,value=y")] = None,  # noqa: A002
        idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
    ) -> Any:
        kind = kinds.get(request.headers.get("content-type", "").split(";")[0].strip().lower())
        if kind is None:
            raise InvalidRequest(f"send the rows with a Content-Type of {', '.join(kinds)}")
        given = pairs_of(map or "")
        body = await request.body()
        told = {"zone": zone, "interval": interval, "given": given, "dates": dates, "key": idempotency_key}
        if len(body) > HEAVY or kind == "parquet":  # of which few bytes can be many rows
            return await office(request).heavy.do(app, "take", table=name, body=body, kind=kind, **told)
        async with office(request).turns.of(app.tenant):
            return await run_in_threadpool(take, app.desk, name, body, kind, **told)  # type: ignore[arg-type]

    @made.get(path, summary=f"Facts of {name}, oldest first", response_model=None)
    def facts(
        app: Reading,
        as_of: Standing,
        since: AwareDatetime | None = None,
        until: AwareDatetime | None = None,
        limit: Annotated[int, Query(ge=1, le=ROWS)] = 10_000,
    ) -> Response:
        found = app.facts(name, since=since, until=until, as_of=as_of).head(limit)
        return Response(b'{"rows":%s}' % found.write_json().encode(), media_type="application/json")
