"""Reports: what a domain computes from a tenant's history without learning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from foretell.app.admission import admitted_one
from foretell.app.histories import history_of, look_of
from foretell.app.requests import Body, request_of
from foretell.app.tenancy import AsOf, Tenancy, instant
from foretell.contract import Answer, History, Report, Request
from foretell.engine.blame import blamed
from foretell.engine.predict import newest
from foretell.errors import BrokenDomain, ForetellError, InvalidRequest, NotFound
from foretell.stores import anomalies
from foretell.stores.anomalies import Anomaly


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
        look = look_of(desk, connection, [(declared, request)], at)
        now = desk.moment(connection, domain, at)
        request = admitted_one(desk, connection, domain, declared, request, now)
        history = history_of(desk, connection, [(declared, request)], at, look)
    return Reported(answer=computed(declared, request, history), as_of=history.now, known_at=newest(history))


class Anomalies:
    """What reports find amiss: looked for, put on record, listed."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def detect(self, name: str, body: Body) -> list[Anomaly]:
        """Look now, and put on record what a report finds; those that are open now, newest first.

        What was found before and is no more is resolved. Raises as `report`, and NotFound for one without findings.
        """
        declared = self._declared(name)
        request = request_of(declared.request, body)
        said = report(self.desk, name, request)
        assert declared.findings is not None
        with self.desk.transaction() as connection:
            subject = str(getattr(request, declared.subject or ""))
            return anomalies.found(
                connection, self.desk.tenant, name, subject, declared.findings(said.answer), said.as_of
            )

    def list(self, name: str, *, subject: str | None = None, every: bool = False) -> list[Anomaly]:
        """Those of a report that are open, with `every` all there were, newest first. Raises as `detect`."""
        declared = self._declared(name)
        with self.desk.inside() as connection:
            if subject is not None and declared.subject:
                now = datetime.now(UTC)
                request = request_of(declared.request, {declared.subject: subject})
                admitted_one(self.desk, connection, self.desk.domain(name), declared, request, now)
            elif self.desk.person is not None:
                raise InvalidRequest(f"name the {declared.subject} whose anomalies are asked for")
            return anomalies.listed(connection, self.desk.tenant, report=name, subject=subject, every=every)

    def _declared(self, name: str) -> Report:
        declared = self.desk.report(name)
        if declared.findings is None:
            raise NotFound(f"the report {name} finds nothing amiss")
        return declared


def computed(declared: Report, request: Request, history: History) -> Answer:
    """What a report says, once for who asks the same of a history.

    What its domain did not mean to raise is BrokenDomain.
    """
    try:
        asked = ("reported", declared.name, request.model_dump_json())
        return history.once(lambda known: declared.compute(request, known), asked)
    except ForetellError:
        raise
    except Exception as error:
        raise BrokenDomain(f"{declared.name}: {blamed(error, declared)}") from error
