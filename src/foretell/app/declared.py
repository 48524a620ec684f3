"""The domains that are installed, ours and others', through the same door."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points

from foretell.contract import Domain, Report, Task
from foretell.errors import Misconfigured, NotFound, first_line, spot

GROUP = "foretell.domains"


def domains() -> dict[str, Domain]:
    """The installed domains by name. Raises Misconfigured for an entry point that is none, or can't be imported."""
    found, wrong = found_domains()
    if wrong:
        raise Misconfigured("; ".join(wrong))
    return found


def found_domains() -> tuple[dict[str, Domain], list[str]]:
    """The installed domains that can be used, by name; and what is wrong with each other one, with what to do."""
    found: dict[str, Domain] = {}
    wrong = []
    for point in entry_points(group=GROUP):
        try:
            domain = point.load()
        except Exception as error:
            wrong.append(_broken(point, error))
            continue
        if isinstance(domain, Domain) and domain.name == point.name:
            found[point.name] = domain
        else:
            wrong.append(f"the entry point {GROUP}:{point.name} is not a Domain named {point.name!r}")
    return found, wrong


def _broken(point: EntryPoint, error: Exception) -> str:
    """Why an entry point can't be imported, where in its own code, and what to do."""
    module = sys.modules.get(point.module)
    place = str(module.__file__) if module else point.value
    if found := spot(error, [point.module.partition(".")[0]]):
        place = f"{found.file}:{found.line}"
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}:{error.lineno}"
    package = point.dist.name if point.dist else "its package"
    version = f" {point.dist.version}" if point.dist else ""
    return (
        f"the domain {point.name} of the package {package}{version} can't be imported: {type(error).__name__}:"
        f" {first_line(error)} ({place}); mend it, or type: pip uninstall {package}"
    )


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
