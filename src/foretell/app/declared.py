"""The domains that are installed, ours and others', through the same door."""

from __future__ import annotations

from importlib.metadata import entry_points

from foretell.contract import Domain, Report, Task
from foretell.errors import Misconfigured, NotFound


def domains() -> dict[str, Domain]:
    """The installed domains by name. Raises Misconfigured for an entry point that is none."""
    found = {point.name: point.load() for point in entry_points(group="foretell.domains")}
    for name, domain in found.items():
        if not isinstance(domain, Domain) or domain.name != name:
            raise Misconfigured(f"the entry point foretell.domains:{name} is not a Domain named {name!r}")
    return found


def report_of(domain: Domain, name: str) -> Report:
    """A domain's report by name; raises NotFound with those there are."""
    reports = {report.name: report for report in domain.reports}
    if name not in reports:
        raise NotFound(f"no report {name!r}; there are {', '.join(reports) or 'none'}")
    return reports[name]


def task_of(domain: Domain, name: str) -> Task:
    """A domain's task by name; raises NotFound with those there are."""
    tasks = {task.name: task for task in domain.tasks}
    if name not in tasks:
        raise NotFound(f"no task {name!r}; there are {', '.join(tasks)}")
    return tasks[name]
