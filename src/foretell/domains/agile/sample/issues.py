"""Issues of the generated workspace: what is to be done, how long that takes, and how far people see it coming."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from numpy.random import Generator

from foretell.domains.agile.sample import words
from foretell.domains.agile.sample.team import Person, Project
from foretell.domains.agile.sample.words import POINTS, one, weighted

SIZES = tuple(
    enumerate((0.12, 0.15, 0.16, 0.16, 0.19, 0.22))
)  # how much work is of each of `POINTS`, before some is split
HOURS = (1.5, 3.0, 5.0, 9.0, 16.0, 30.0)  # of each of `POINTS`, for a story in the backend
OF_KIND = {"backend": 1.0, "frontend": 0.9, "qa": 0.8, "devops": 1.2, "design": 0.85}
OF_TYPE = {"story": 1.0, "bug": 1.15, "task": 0.9}
ASTRAY = 0.1  # of the points are not in line with the effort
STRANGER = 1.15  # how many times as long takes who is not at home in the work
BEHIND, GROSSLY = 1.5, 2.0  # how many times as long as thought takes the project behind schedule, and the epic
STEPS = 2  # on the scale of points: what `GROSSLY` is


@dataclass(kw_only=True, eq=False)
class Issue:
    """An issue and where it stands. Hours: `thought` is what its words say, `hours` what it takes without noise."""

    project: Project
    kind: str
    noun: str
    type: str
    title: str
    description: str
    component: str
    priority: str
    size: int  # of `POINTS`, as its words and the team have it
    created: datetime
    thought: float
    hours: float = 0.0
    actual: float = 0.0
    left: float = 0.0
    points: float | None = None
    in_line: float = 0.0  # what the points would be, were they in line with the effort
    estimate: float | None = None
    person: Person | None = None
    sprint: int | None = None
    first: int = 0  # the sprint it was first planned for
    due: datetime | None = None
    changed: datetime = field(init=False)  # when its newest row was written
    begun: bool = False
    over: datetime | None = None
    again: bool = False  # whether it was estimated again
    id: str = ""

    def __post_init__(self) -> None:
        self.changed = self.created


def noise(random: Generator, hours: float) -> float:
    """By what the hours that work takes are multiplied, for what nobody could know; 1 in the middle.

    Of cesaw's 4,942 parts of work with 1 to 40 planned hours the logarithm of actual / plan spreads by 0.54
    (interquartile range / 1.349; 0.67 at 1-2 h, 0.62 at 2-4, 0.54 at 4-8, 0.46 at 8-16, 0.47 at 16-40), with 0.0 in
    the middle. That is the plan's error and the work's own together. How steady people are shows what can be the
    work's: within person and phase the steadiest quarter of people stay at 0.42, 0.35 and 0.26 for tasks from one,
    two and four hours on, the middle one at 0.64, 0.55 and 0.38. This lies between: 0.50 at one hour, 0.44 at two,
    0.37 at six, 0.31 from sixteen on; with the errors of `Person.spread` it adds up to cesaw's figures. The tails
    there are heavier: a controlled figure.
    """
    return math.exp(random.normal(0, 0.5 * min(max(hours, 1.0), 16.0) ** -0.17))


def written(random: Generator, project: Project, kind: str, start: datetime, most: float) -> Issue:
    """A new issue of a kind of work, created at working hours two to five weeks before a sprint's `start`.

    Work that is thought to take more than `most` hours is split before it is written.
    """
    noun, type_ = one(random, project.nouns), weighted(random, words.TYPES[kind])
    size, hour = weighted(random, SIZES), OF_KIND[kind] * OF_TYPE[type_]
    while size and HOURS[size] * hour > most:
        size -= 1
    component = one(random, tuple(words.COMPONENTS[kind]))
    thing = one(random, words.COMPONENTS[kind][component])
    title, description = words.write(random, f"{noun} {thing}", kind, size, bug=type_ == "bug")
    back, minutes = timedelta(days=int(random.integers(16, 35))), int(random.integers(8 * 60))
    return Issue(
        project=project,
        kind=kind,
        noun=noun,
        type=type_,
        title=title,
        description=description,
        component=component,
        priority=weighted(random, words.PRIORITIES),
        size=size,
        created=start - back + timedelta(minutes=minutes),
        thought=HOURS[size] * hour,
    )


def seen(random: Generator, issue: Issue, person: Person, *, takes: float, known: bool) -> None:
    """Give an issue to a person, who estimates it. It takes `takes` times what was thought; whether that is `known`."""
    pace = person.pace * (STRANGER if person.skill != issue.kind else 1.0)
    issue.person = person
    issue.hours = issue.thought * takes * pace
    issue.actual = issue.left = max(round(issue.hours * noise(random, issue.hours) * 4) / 4, 0.25)
    step = min(issue.size + STEPS, len(POINTS) - 1) if known else issue.size
    issue.in_line = POINTS[step]
    if random.random() < ASTRAY:
        step = one(random, [k for k in (step - 2, step - 1, step + 1, step + 2) if 0 <= k < len(POINTS)])
    issue.points = POINTS[step]
    expected = issue.thought * pace * (takes if known else 1.0)
    issue.estimate = halves(expected * math.exp(random.normal(0, person.spread)))


def estimated_again(random: Generator, issue: Issue, expected: float) -> None:
    """Estimate an issue under way anew, at about `expected` hours; points go with it, a step on their scale."""
    before, issue.estimate = issue.estimate or expected, halves(expected * math.exp(random.normal(0, 0.1)))
    step = POINTS.index(issue.points or POINTS[0]) + (issue.estimate > 1.4 * before) - (issue.estimate < before / 1.4)
    issue.points, issue.again = POINTS[min(max(step, 0), len(POINTS) - 1)], True


def halves(hours: float) -> float:
    """Hours as people say them: in halves, at least one."""
    return max(round(hours * 2) / 2, 0.5)


def numbered(issues: Sequence[Issue]) -> list[Issue]:
    """The issues by their creation, each with its `id`: the project's name and a number."""
    ordered, counts = sorted(issues, key=lambda one: one.created), dict[str, int]()
    for issue in ordered:
        counts[issue.project.id] = counts.get(issue.project.id, 0) + 1
        issue.id = f"{issue.project.id}-{counts[issue.project.id]}"
    return ordered
