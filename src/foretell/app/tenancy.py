"""A tenant's place in the house: what is declared, whose transactions, which moment, what was known then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from pydantic import BaseModel

from foretell.app.declared import task_of
from foretell.app.house import House
from foretell.contract import Domain, History, Standpoint, Table, Task
from foretell.engine.collect import Need
from foretell.errors import InvalidRequest, NotFound
from foretell.stores import facts, records

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

AsOf = datetime | Literal["latest"] | None
"""A moment, `latest` (when the newest fact became known), or None: now."""


@dataclass(frozen=True, kw_only=True)
class Tenancy:
    """One tenant in the house, and who acts for it; `told` are settings by domain, beside the defaults."""

    house: House
    tenant: str
    who: str
    told: Mapping[str, BaseModel] = field(default_factory=dict)

    def transaction(self, *, snapshot: bool = False, durable: bool = True) -> AbstractContextManager[Any]:
        """A transaction of the tenant; see `Database.tenant`."""
        return self.house.stores.database.tenant(self.tenant, snapshot=snapshot, durable=durable)

    def settings(self, domain: Domain) -> BaseModel:
        """The tenant's settings of a domain."""
        return self.told.get(domain.name) or domain.settings()

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

    def table(self, name: str) -> tuple[Domain, Table]:
        """A table by name, with its domain; raises NotFound."""
        domain = self.domain(name)
        tables = {f"{domain.name}.{table.name}": table for table in domain.tables}
        if name not in tables:
            raise NotFound(f"no table {name!r}; there are {', '.join(tables)}")
        return domain, tables[name]

    # ------------------------------------------------------------ what was known when

    def zone(self, connection: Any) -> str:
        """Whose clocks the tenant lives by; raises NotFound for no such tenant."""
        return self.there(records.tenants(connection).get(self.tenant))

    def there(self, zone: str | None) -> str:
        """The zone, if the tenant has one; else there is no such tenant, and NotFound says what to type."""
        if zone is None:
            add = f"type: foretell tenant add {self.tenant} --zone Europe/Athens"
            raise NotFound(f"there is no tenant {self.tenant}; {add}")
        return zone

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

    def history(
        self,
        connection: Any,
        domain: Domain,
        standing: tuple[datetime, str],
        narrow: Mapping[str, Need],
        recorded: datetime | None = None,
    ) -> History:
        """The history standing at a moment in a zone; where it is narrowed, of these tables alone and as far back."""
        now, zone = standing
        tables = {}
        for table in domain.tables:
            if narrow and table.name not in narrow:
                continue
            need = narrow.get(table.name)
            tables[table.name] = facts.read(
                connection, self.tenant, domain.name, table, known=now, recorded=recorded,
                window=need.window if need else None, only=need.only if need else None,
                sees=need.sees if need else lambda _: True,
            )  # fmt: skip
        return History(Standpoint(tenant=self.tenant, now=now, zone=zone, settings=self.settings(domain)), tables)


def as_of_told(text: str | None) -> AsOf:
    """What people write for a moment: ISO 8601 with an offset, or `latest`. Raises InvalidRequest."""
    if text is None or text == "latest":
        return cast("Literal['latest'] | None", text)
    try:
        found = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign that a URL made a space of
    except ValueError:
        raise InvalidRequest(f"as_of {text}: write 2026-03-01T12:00:00Z, or latest") from None
    if found.tzinfo is None:
        raise InvalidRequest(f"as_of {text} has no offset; write {text}Z for UTC, or {text}+03:00")
    return found


def instant(as_of: AsOf) -> AsOf:
    """The same in UTC. Raises InvalidRequest for a moment before 1970, which no history reaches."""
    if not isinstance(as_of, datetime):
        return as_of
    if as_of.year < 1971 and as_of < EPOCH:
        raise InvalidRequest(f"as_of {as_of} lies before 1970")
    try:
        return as_of.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest(f"as_of {as_of} lies in the future; leave it out to ask now") from None


def everything(domain: Domain, days: int | None) -> dict[str, Need]:
    """The need of a domain's tables, all of them, `days` back; of everything where that is None."""
    return {} if days is None else {t.name: Need(window=timedelta(days=days), only=None) for t in domain.tables}
