"""Histories read lately, used again by whoever asks for the same while nothing has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from foretell.app import logs
from foretell.app.tenancy import AsOf, Tenancy
from foretell.contract import History, Report, Request, Task
from foretell.engine.collect import Need, brings, needs
from foretell.stores import registry

SETTLING = 1.0  # seconds that a history is used again while a day has not passed since an approval
FORECASTS = 1_000_000  # bytes that what is worked out on a history may come to take in memory, about


Asked = Sequence[tuple[Task | Report, Request]]
"""Requests of one domain's tasks, or of a report of it."""


def look_of(desk: Tenancy, connection: Any, asked: Asked, as_of: AsOf) -> registry.Look:
    """What requests look up first, with the data marks of what they rest on; raises NotFound for no such tenant."""
    domain = desk.domain(asked[0][0].name)
    # The newest fact of all is in any table; else those that are read say whether anything has changed.
    tables = [t.name for t in domain.tables] if as_of == "latest" else needs(asked)
    names, at = [f"{domain.name}.{name}" for name in tables], as_of if isinstance(as_of, datetime) else None
    look = registry.look(connection, desk.tenant, list({task.name: None for task, _ in asked}), names, at)
    desk.there(look)
    return look


def history_of(
    desk: Tenancy,
    connection: Any,
    asked: Asked,
    as_of: AsOf,
    look: registry.Look,
    *,
    remembered: bool = True,
) -> History:
    """The facts that requests of one domain need; where `remembered`, as read within minutes if none has changed since.

    Raises as `Tenancy.standpoint` does.
    """
    domain, narrow = desk.domain(asked[0][0].name), needs(asked)

    def read() -> tuple[History, int]:
        standing = desk.standpoint(connection, domain, as_of, look)
        with logs.queried(desk.tenant, ", ".join(sorted({task.name for task, _ in asked}))):
            history = desk.history(connection, domain, standing, narrow)
        return history, FORECASTS + sum(int(table.estimated_size()) for table in history.tables.values())

    # Who brings all facts gains nothing by standing where somebody stood.
    if not remembered or all(brings(*one) for one in asked):
        return read()[0]
    key = (
        desk.tenant, domain.name, as_of, look.zone, tuple(look.marks.items()), _hashable(narrow), look.settings,
        look.approved,
    )  # fmt: skip
    # After an approval a cooldown runs, and who asks again wants to know whether it is over.
    lasting = None if look.approved == "{}" else SETTLING
    return desk.house.histories.once(key, read, lasting=lasting, whose=desk.tenant)


def _hashable(narrow: Mapping[str, Need]) -> tuple[Any, ...]:
    return tuple(
        (name, need.window, need.only and tuple(need.only.items()), need.reads) for name, need in narrow.items()
    )
