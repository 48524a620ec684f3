"""The verb `schedule`: what is done for a tenant without anybody asking, and when, by the tenant's clocks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from foretell.app.house import House
from foretell.app.jobs import SCHEDULE, put
from foretell.app.kinds import KINDS
from foretell.app.tenancy import Tenancy
from foretell.app.vectors import owner
from foretell.contract import Domain
from foretell.engine.timetable import checked, last_due, next_due
from foretell.errors import ForetellError, InvalidRequest, NotFound
from foretell.stores import jobs, records, registry, schedules
from foretell.stores.database import Database
from foretell.stores.schedules import Clock, Told

log = logging.getLogger("foretell")

NOTHING = Told()
FORGOTTEN = timedelta(days=8)  # for which one that waits keeps the next from being started: longer, the queue lost it


@dataclass(frozen=True, kw_only=True)
class Default:
    """A job that is due at times, if nothing else is said; of tenants alone that have facts in one of its `tables`."""

    cron: str
    kind: str
    told: Mapping[str, Any]
    tables: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A schedule as it is for a tenant; what is due, and was last due and started, in UTC."""

    name: str
    cron: str
    enabled: bool
    default: str  # its cron, if nothing else were said
    zone: str
    next_due: datetime | None
    fired_at: datetime | None


def defaults(domains: Iterable[Domain]) -> dict[str, Default]:
    """What is due when, by name."""
    found = {"clean": Default(cron="0 3 * * *", kind="clean", told={})}
    for domain in domains:
        for task in domain.tasks:
            tables = tuple(dict.fromkeys(f"{domain.name}.{read.table}" for read in task.reads))
            found[f"retrain:{task.name}"] = Default(
                cron="0 2 * * 1", kind="retrain", told={"task": task.name}, tables=tables
            )
            if task.vector and task.name == owner(task, domain):
                # Vectors hold for a UTC day: the second look of a day compares what the first one kept with what would
                # be made now, and makes anew what facts have undone meanwhile.
                found[f"refresh:{task.name}"] = Default(
                    cron="0 2,14 * * *", kind="refresh", told={"task": task.name}, tables=tables
                )
        for report in (report for report in domain.reports if report.watched):
            tables = tuple(dict.fromkeys(f"{domain.name}.{read.table}" for read in report.reads))
            found[f"detect:{report.name}"] = Default(
                cron="0 */6 * * *", kind="detect", told={"report": report.name}, tables=tables
            )
        for source in (source for source in domain.sources if source.whose is not None):
            name = f"{domain.name}.{source.name}"
            hours = max(1, min(24, round(source.every / timedelta(hours=1))))
            tables = (f"{domain.name}.{source.places}",) if source.places else ()
            found[f"collect:{name}"] = Default(
                cron=f"5 */{hours} * * *" if hours < 24 else "5 0 * * *", kind="collect", told={"source": name},
                tables=tables,
            )  # fmt: skip
    return dict(sorted(found.items()))


class Schedule:
    """What is due for a tenant, and when."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def list(self) -> Sequence[Entry]:
        """Every schedule, by name."""
        now = datetime.now(UTC)
        with self.desk.inside() as connection:
            clock = schedules.clocks(connection)[self.desk.tenant]
        return [
            Entry(
                name=name, cron=(cron := told.cron or default.cron), enabled=(on := told.enabled is not False),
                default=default.cron, zone=clock.zone, next_due=next_due(cron, clock.zone, now) if on else None,
                fired_at=_last(told),
            )
            for name, default in defaults(self.desk.house.domains.values()).items()
            for told in [clock.told.get(name, NOTHING)]
        ]  # fmt: skip

    def change(self, name: str, *, cron: str | None = None, enabled: bool | None = None) -> Entry:
        """Say when something is due (None: as before; `default`), and whether it is. Returns it as it is now.

        Raises NotFound for no such schedule, InvalidRequest for a time that is none.
        """
        there = defaults(self.desk.house.domains.values())
        if name not in there:
            raise NotFound(f"no schedule {name!r}; there are {', '.join(there)}")
        if cron is None and enabled is None:
            raise InvalidRequest("there is nothing to set; give a time (0 2 * * 1), or on or off")
        with self.desk.inside() as connection:
            before = schedules.clocks(connection)[self.desk.tenant].told.get(name, NOTHING)
            new = {None: before.cron, "default": None}.get(cron, cron)
            told = Told(cron=new and checked(new), enabled=before.enabled if enabled is None else enabled)
            schedules.tell(connection, self.desk.tenant, name, told)
            details = {"cron": told.cron, "enabled": told.enabled}
            records.audit(connection, self.desk.tenant, self.desk.who, "schedule", name, details)
        (entry,) = (each for each in self.list() if each.name == name)
        return entry


def _last(told: Told) -> datetime | None:
    """When what was due was last started: on a whole minute, as any time of cron's.

    Another moment is when the tenant changed the time, from which on it counts; nothing was started then.
    """
    fired = told.fired_at
    return fired if fired and fired == fired.replace(second=0, microsecond=0) else None


def due(clock: Clock, there: Mapping[str, Default], now: datetime) -> dict[str, datetime]:
    """By name, what was last due and has not been started; of what was missed more than once, the last.

    What is due is due from the tenant's beginning on, or from when its time was last changed.
    """
    found = {}
    for name, default in there.items():
        told = clock.told.get(name, NOTHING)
        if told.enabled is False:
            continue
        last = last_due(told.cron or default.cron, clock.zone, now)
        if last > (told.fired_at or clock.since):
            found[name] = last
    return found


def tick(house: House, eyes: Database, now: datetime) -> int:
    """Start what is due for every tenant; how many jobs. `eyes` is a worker's database, that sees all their clocks."""
    there, started = defaults(house.domains.values()), 0
    now = now.replace(second=0, microsecond=0)
    with eyes.nobody() as connection:
        clocks = schedules.clocks(connection)
    for tenant, clock in clocks.items():
        if waiting := due(clock, there, now):
            try:
                started += _start(Tenancy(house=house, tenant=tenant, who=SCHEDULE), there, waiting)
            except ForetellError as error:  # the others' turn must not wait; it is still due at the next tick
                log.warning("what is due for %s was not started: %s", tenant, error)
    return started


def _start(desk: Tenancy, there: Mapping[str, Default], waiting: Mapping[str, datetime]) -> int:
    """Put on record what is due, in one transaction; not what still waits from before, whose moment is over with it."""
    started = 0
    with desk.transaction() as connection:
        tables = sorted({table for name in waiting for table in there[name].tables})
        marks = registry.look(connection, desk.tenant, [], tables).marks
        for name, moment in waiting.items():
            default = there[name]
            if not schedules.fire(connection, desk.tenant, name, moment):
                continue
            if default.tables and not any(marks[table] for table in default.tables):
                continue
            kind = KINDS[default.kind]
            told = kind.told.model_validate(default.told)
            if jobs.awaited(connection, desk.tenant, default.kind, kind.subject(told), FORGOTTEN):
                continue
            put(desk, connection, default.kind, told, f"{name} {moment.isoformat()}")
            started += 1
    return started
