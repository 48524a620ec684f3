"""Reports: what a domain computes from a tenant's history without learning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from foretell.app import logs
from foretell.app.admission import admitted
from foretell.app.requests import Body, request_of
from foretell.app.tenancy import AsOf, Tenancy, instant
from foretell.contract import Answer, History, Report
from foretell.engine.collect import needs
from foretell.engine.predict import newest
from foretell.errors import BrokenDomain, ForetellError
from foretell.stores import registry


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A report, when it was asked, and when the newest fact behind it became known."""

    answer: Answer
    as_of: datetime
    known_at: datetime | None


def report(desk: Tenancy, name: str, body: Body, *, as_of: AsOf = None) -> Reported:
    """A report by name, standing at `as_of`. Raises NotFound, InvalidRequest, Forbidden, and what the report does."""
    declared = desk.report(name)
    request, domain = request_of(declared.request, body), desk.domain(name)
    with desk.transaction(snapshot=True) as connection:
        at = instant(as_of)
        look = registry.look(connection, desk.tenant, [], [], at if isinstance(at, datetime) else None)
        standing = desk.standpoint(connection, domain, at, look)
        request = admitted(desk, connection, domain, declared, request, standing.now)
        with logs.queried(desk.tenant, name):
            history = desk.history(connection, domain, standing, needs([(declared, request)]))
    return Reported(answer=computed(declared, request, history), as_of=history.now, known_at=newest(history))


def computed(declared: Report, request: object, history: History) -> Answer:
    """What a report says; what its domain did not mean to raise is BrokenDomain."""
    try:
        return declared.compute(request, history)
    except ForetellError:
        raise
    except Exception as error:
        raise BrokenDomain(f"{declared.name}: {type(error).__name__}: {error}") from error
