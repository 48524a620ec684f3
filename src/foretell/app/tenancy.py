"""A tenant's place in the house: what is declared, whose transactions, which moment, what was known then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

import polars as pl

from foretell.app import logs, patience
from foretell.app.declared import report_of, task_of
from foretell.app.house import House
from foretell.app.tenant_settings import TENANT, TenantSettings, in_force
from foretell.app.work import Work
from foretell.contract import EPOCH, Approved, Domain, Format, Frame, History, Report, Standpoint, Table, Task
from foretell.engine.collect import Need, lessons, reviewed
from foretell.errors import InvalidRequest, NotFound
from foretell.stores import facts, registry
from foretell.stores.database import nobody

LONGEST = 50  # characters that anybody writes a moment in

Moment = datetime | Literal["latest"] | None
AsOf = Moment | str
"""A moment (ISO 8601 with an offset, if it is text), `latest` (when the newest fact became known), or None: now."""


@dataclass(frozen=True, kw_only=True)
class Tenancy:
    """One tenant in the house, and who acts for it.

    `person` is who may ask only about what they are a member of, where a domain has members; None may about all. What
    is done for a job is its `work`.
    """

    house: House
    tenant: str
    who: str
    person: str | None = None
    work: Work | None = None

    @contextmanager
    def transaction(self, *, snapshot: bool = False, durable: bool = True) -> Iterator[Any]:
        """A transaction of the tenant; see `Database.tenant`. Of a request that ended meanwhile, nothing is kept.

        Raises NotFound where there is no such tenant (any more); where it is a `snapshot`, which looks the tenant's
        zone up in the same moment, `there` does.
        """
        opened, seconds = self.house.stores.database, patience.left()
        with opened.tenant(
            self.tenant, snapshot=snapshot, durable=durable, seconds=seconds, there=not snapshot
        ) as connection:
            yield connection
            patience.left()
            if self.work:
                self.work.hold(connection, self.tenant)

    def note(self, **told: Any) -> None:
        """Of a job, what another worker must know to go on after the transaction that this is said in."""
        if self.work:
            self.work.note(**told)

    # ------------------------------------------------------------ what is declared

    def domain(self, name: str) -> Domain:
        """The domain of a task or table, or of that name itself; raises NotFound."""
        domain = self.house.domains.get(name.split(".", maxsplit=1)[0])
        if domain is None:
            raise NotFound(f"no domain of {name!r}; there are {', '.join(sorted(self.house.domains))}")
        return domain

    def task(self, name: str) -> Task:
        """A task by name; raises NotFound."""
        return task_of(self.domain(name), name)

    def report(self, name: str) -> Report:
        """A report by name; raises NotFound."""
        return report_of(self.domain(name), name)

    def formats(self, name: str) -> dict[str, Format]:
        """The formats of a domain, of a task or table, or of that name itself, by their names (`agile.jira`)."""
        domain = self.domain(name)
        return {f"{domain.name}.{one.name}": one for one in domain.formats}

    def table(self, name: str) -> tuple[Domain, Table]:
        """A table by name, with its domain; raises NotFound."""
        domain = self.domain(name)
        tables = {f"{domain.name}.{table.name}": table for table in domain.tables}
        if name not in tables:
            formats = f"; formats to import: {', '.join(self.formats(name))}" if domain.formats else ""
            raise NotFound(f"no table {name!r}; there are {', '.join(tables)}{formats}")
        return domain, tables[name]

    # ------------------------------------------------------------ what was known when

    def zone(self, connection: Any) -> str:
        """Whose clocks the tenant lives by; raises NotFound for no such tenant."""
        return self.there(registry.look(connection, self.tenant, [], []))

    def there(self, look: registry.Look) -> str:
        """The zone in force; without any there is no such tenant, and NotFound says what to type."""
        if look.zone is None:
            raise nobody(self.tenant)
        told = cast("TenantSettings", in_force(TenantSettings, TENANT, look.settings))
        return told.zone or look.zone

    @contextmanager
    def inside(self, *, snapshot: bool = False) -> Iterator[Any]:
        """A transaction of a tenant that is there; raises NotFound for no such one."""
        with self.transaction(snapshot=snapshot) as connection:
            self.zone(connection)
            yield connection

    def moment(self, connection: Any, domain: Domain, as_of: AsOf) -> datetime:
        """The moment meant, UTC; raises InvalidRequest for one in the future, or before 1970."""
        now, as_of = datetime.now(UTC), instant(as_of)
        if as_of == "latest":
            newest = (facts.latest(connection, self.tenant, domain.name, table) for table in domain.tables)
            return max((moment for moment in newest if moment), default=now)
        if as_of is not None and as_of > now:
            raise InvalidRequest(f"as_of {as_of} lies in the future; leave it out to ask now")
        return as_of or now

    def standpoint(self, connection: Any, domain: Domain, as_of: AsOf, look: registry.Look) -> Standpoint:
        """Where the tenant stands: the moment meant, with zone and settings of `look`, and what was approved by then.

        For `latest` zone and settings are those of now. Raises as `moment` does, and NotFound for no such tenant.
        """
        zone, settings = self.there(look), in_force(domain.settings, domain.name, look.settings)
        now = self.moment(connection, domain, as_of)
        approved = {
            subject: Approved(at=datetime.fromtimestamp(seconds, UTC), action=action)
            for subject, (seconds, action) in json.loads(look.approved).items()
            if seconds <= now.timestamp()
        }
        return Standpoint(tenant=self.tenant, now=now, zone=zone, settings=settings, approved=approved)

    def known(
        self, name: str, as_of: AsOf = None, *, days: int | None = None, recorded: datetime | None = None
    ) -> History:
        """The facts of a task's or table's domain as known at `as_of`, in a transaction; see `App.history`."""
        domain = self.domain(name)
        return self._read(name, as_of, lambda _: everything(domain, days), recorded)

    def lessons(self, name: str, as_of: AsOf = None, *, days: int | None = None) -> History:
        """What a task learns from, as known at `as_of`: the tables and columns that it reads, the last `days` or all.

        Of more entities than it learns from it is an even part.
        """
        domain, task = self.domain(name), self.task(name)
        return self._read(
            name, as_of, lambda connection: lessons(task, domain.tables, days, self._share(connection, domain, task))
        )

    def reviewed(self, name: str, asked: Frame, as_of: AsOf = None) -> History:
        """What tells at `as_of` what came of a task's questions `asked`."""
        return self._read(name, as_of, lambda _: reviewed(self.task(name), self.domain(name).tables, asked))

    def _share(self, connection: Any, domain: Domain, task: Task) -> float:
        """The share of the entities that a task learns from, by the first table that it reads of each."""
        by_entity = [read.table for read in task.reads if read.by == "entity"]
        if task.learners is None or not by_entity:
            return 1.0
        (table,) = (table for table in domain.tables if table.name == by_entity[0])
        return min(1.0, task.learners / max(1, facts.count(connection, self.tenant, domain.name, table)))

    def _read(
        self,
        name: str,
        as_of: AsOf,
        narrow: Callable[[Any], Mapping[str, Need]],
        recorded: datetime | None = None,
    ) -> History:
        domain, as_of = self.domain(name), instant(as_of)
        with self.transaction(snapshot=True) as connection:
            at = as_of if isinstance(as_of, datetime) else None
            look = registry.look(connection, self.tenant, [], [], at)
            standing = self.standpoint(connection, domain, as_of, look)
            with logs.queried(self.tenant, name):
                return self.history(connection, domain, standing, narrow(connection), recorded)

    def history(
        self,
        connection: Any,
        domain: Domain,
        standing: Standpoint,
        narrow: Mapping[str, Need],
        recorded: datetime | None = None,
    ) -> History:
        """The history standing there; where it is narrowed, of these tables alone and as far back."""
        tables = {}
        for table in domain.tables:
            if narrow and table.name not in narrow:
                continue
            need = narrow.get(table.name) or Need(window=None)
            read = [
                facts.read(
                    connection, self.tenant, domain.name, table, known=standing.now, recorded=recorded,
                    window=need.window, only=only, sees=need.sees, share=need.share, others=need.others,
                )
                for only in (({by: values} for by, values in need.only.items()) if need.only else [None])
            ]  # fmt: skip
            # One row may be found by several columns.
            both = read[0] if len(read) == 1 else pl.concat(read).unique(maintain_order=True).sort("known_at")
            tables[table.name] = both
        return History(standing, tables)


def as_of_told(text: str | None) -> Moment:
    """What people write for a moment: ISO 8601 with an offset, or `latest`. Raises InvalidRequest."""
    if text is None or text == "latest":
        return cast("Literal['latest'] | None", text)
    if len(text) > LONGEST:
        raise InvalidRequest(f"as_of has {len(text)} characters: write 2026-03-01T12:00:00Z, or latest")
    try:
        found = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign that a URL made a space of
    except ValueError:
        raise InvalidRequest(f"as_of {text}: write 2026-03-01T12:00:00Z, or latest") from None
    return _offset(found)


def _offset(moment: datetime) -> datetime:
    """The same, if it says how far it is from UTC. Raises InvalidRequest."""
    if moment.tzinfo is None:
        plain = moment.isoformat()
        raise InvalidRequest(f"as_of {plain} has no offset; write {plain}Z for UTC, or {plain}+03:00")
    return moment


def instant(as_of: AsOf) -> Moment:
    """The same in UTC, text as `as_of_told` reads it.

    Raises InvalidRequest for a moment without an offset, or before 1970, which no history reaches.
    """
    if isinstance(as_of, str):
        as_of = as_of_told(as_of)
    if not isinstance(as_of, datetime):
        return as_of
    if _offset(as_of).year < 1971 and as_of < EPOCH:
        raise InvalidRequest(f"as_of {as_of} lies before 1970")
    try:
        return as_of.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest(f"as_of {as_of} lies in the future; leave it out to ask now") from None


def everything(domain: Domain, days: int | None) -> dict[str, Need]:
    """The need of a domain's tables, all of them, `days` back; of everything where that is None."""
    return {} if days is None else {t.name: Need(window=timedelta(days=days)) for t in domain.tables}
