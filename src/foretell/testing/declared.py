"""What a domain declares must lead somewhere: its names, what its tasks read, whom they ask about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from foretell.contract import Report, Task
from foretell.engine.scores import GATES
from foretell.errors import BrokenDomain
from foretell.testing.facts import World

NAME = re.compile(r"[a-z][a-z0-9_]*")


def every_name_leads_to_it(world: World) -> None:
    """Names are small letters, digits and underscores, each once; tasks and reports have the domain's before theirs."""
    domain = world.domain
    _plain(domain.name, "domain", domain.name)
    for table in domain.tables:
        _plain(domain.name, "table", table.name)
    asked = _asked(world)
    for one in asked:
        first, dot, rest = one.name.partition(".")
        if not dot or first != domain.name:
            better = f"{domain.name}.{one.name.rpartition('.')[2]}"
            raise BrokenDomain(
                f"{domain.name}: a task or report is named {one.name!r}, by which nobody finds it; name it {better!r}"
            )
        _plain(domain.name, "task or report", rest)
    for names in ([table.name for table in domain.tables], [one.name for one in asked]):
        if double := [name for name, count in Counter(names).items() if count > 1]:
            raise BrokenDomain(f"{domain.name}: {double[0]!r} is there twice; only one of them would be found")


def _plain(domain: str, what: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise BrokenDomain(
            f"{domain}: a {what} is named {name!r}; write it in small letters, digits and underscores, a letter first"
        )


def _asked(world: World) -> Sequence[Task | Report]:
    return [*world.domain.tasks, *world.domain.reports]


def what_is_read_is_there(world: World) -> None:
    """Every table that a task or report reads is one of the domain's."""
    tables = [table.name for table in world.domain.tables]
    for one in _asked(world):
        for read in (*one.reads, *(one.told_by if isinstance(one, Task) else ())):
            if read.table not in tables:
                raise BrokenDomain(
                    f"{world.domain.name}, {one.name}: there is no table {read.table!r} to read; there are"
                    f" {', '.join(tables) or 'none'}"
                )


def whom_requests_are_about_is_read(world: World) -> None:
    """A request says whom it is about by columns that the reads name, or everybody would be read for it."""
    members = world.domain.members
    for one in _asked(world):
        by = {read.by for read in one.reads} | ({members.of} if members else set())
        for request in world.sample.requests[one.name]:
            if one.about and (foreign := sorted(set(one.about(request)) - by)):
                raise BrokenDomain(
                    f"{world.domain.name}, {one.name}: about names {foreign[0]!r}, which no read has as its `by`; the"
                    f" reads have {', '.join(sorted(by)) or 'none'}"
                )


def the_gate_can_be_measured(world: World) -> None:
    """The metric of each task's gate is measured of such a target, and lower is better."""
    for task in world.domain.tasks:
        there = GATES[type(task.target)]
        if task.gate.metric not in there:
            raise BrokenDomain(
                f"{world.domain.name}, {task.name}: the gate's metric is {task.gate.metric!r}; for a"
                f" {type(task.target).__name__} there are {', '.join(there)}"
            )


CHECKS: tuple[Callable[[World], None], ...] = (
    every_name_leads_to_it,
    what_is_read_is_there,
    whom_requests_are_about_is_read,
    the_gate_can_be_measured,
)
