"""Who works in the generated workspace on what, and what will trouble them: decided before anything happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.random import Generator

from foretell.domains.agile.sample import words
from foretell.domains.agile.sample.words import one

FORTNIGHT = timedelta(days=14)
SHRINKING = 0.62  # the size of a project beside the one before it
OUTLIERS = 0.03  # of the sprints: their velocity is far from the others'
LEVELS = (("junior", 1.12), ("mid", 1.0), ("senior", 0.9))  # and how long they take, beside others
WEEKS = (32.0, 30.0, 28.0, 24.0, 20.0)  # hours a week that are left beside meetings; the last two work part-time
# How far estimates are off: the spread of their logarithm, of people who estimate steadily and of those who don't.
# See `issues.noise` for what it adds up to.
STEADY, WIDE = 0.2, 0.6
WIDELY = 0.4  # of the people


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody with `hours` a week for all their `projects` together, who takes `pace` times as long as others."""

    id: str
    name: str
    skill: str
    level: str
    hours: float
    pace: float
    spread: float
    projects: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project: the `nouns` of its issues, which are its epics, and when its sprints start."""

    index: int
    id: str
    name: str
    nouns: tuple[str, ...]
    starts: tuple[datetime, ...]

    def sprint(self, number: int) -> str:
        """The name of a sprint, the first is 0."""
        return f"{self.id}-sprint-{number + 1}"


@dataclass(frozen=True, kw_only=True)
class Troubles:
    """What goes wrong: in which project, in which sprint of one, with whom, and in which epic."""

    behind: int
    creep: tuple[int, int]
    churn: int
    bottleneck: tuple[int, Person]
    epic: tuple[int, str]
    outliers: frozenset[tuple[int, int]]


def portfolio(now: datetime, count: int, sprints: int, prefix: str) -> tuple[Project, ...]:
    """Projects that belong together, each in its last sprint but one at `now`; every other is a week ahead."""
    monday = (now - timedelta(hours=9)).replace(hour=9, minute=0, second=0, microsecond=0)
    monday -= timedelta(days=monday.weekday())
    made = []
    for index in range(count):
        key, name, nouns = words.PORTFOLIO[index % len(words.PORTFOLIO)]
        again = index // len(words.PORTFOLIO)
        first = monday - timedelta(days=7 * (index % 2)) - FORTNIGHT * (sprints - 2)
        made.append(
            Project(
                index=index,
                id=f"{prefix}{key}" + (f"-{again + 1}" if again else ""),
                name=name + (f" {again + 1}" if again else ""),
                nouns=nouns,
                starts=tuple(first + FORTNIGHT * k for k in range(sprints)),
            )
        )
    return tuple(made)


def people(random: Generator, count: int, projects: int, prefix: str) -> tuple[Person, ...]:
    """People of all skills, more of them in larger projects; those of a rare skill share their hours among projects."""
    skills = [words.SKILLS[k % len(words.SKILLS)] for k in range(count)]
    wide = set(random.permutation(count)[: round(WIDELY * count)].tolist())
    names = random.permutation(len(words.FIRST) * len(words.LAST))
    where = _places(skills, projects)
    made = []
    for k, skill in enumerate(skills):
        level, pace = one(random, LEVELS)
        first, last = divmod(int(names[k]), len(words.LAST))
        made.append(
            Person(
                id=f"{prefix}person-{k + 1:02}",
                name=f"{words.FIRST[first]} {words.LAST[last]}",
                skill=skill,
                level=level,
                hours=one(random, WEEKS),
                pace=pace * float(np.exp(random.normal(0, 0.04))),
                spread=WIDE if k in wide else STEADY,
                projects=tuple(sorted(where[k])),
            )
        )
    return tuple(made)


def _places(skills: Sequence[str], projects: int) -> list[list[int]]:
    """The projects of each person: people of a skill go where most of it is missing, and where nobody has it."""
    share = np.array([SHRINKING**k for k in range(projects)])
    share /= share.sum()
    where: list[list[int]] = [[] for _ in skills]
    for skill in sorted(set(skills)):
        able = [k for k, has in enumerate(skills) if has == skill]
        wanted = share * len(able)
        for k in able:
            where[k].append(int(wanted.argmax()))
            wanted[where[k][0]] -= 1
        for project in range(projects):
            if not any(project in where[k] for k in able):
                where[min(reversed(able), key=lambda k: len(where[k]))].append(project)
    return where


def troubles(random: Generator, projects: Sequence[Project], team: Sequence[Person], sprints: int) -> Troubles:
    """What will go wrong, each in a project of its own where there are enough of them, in sprints that are over."""
    drawn = [int(k) for k in np.resize(random.permutation(len(projects)), 5)]
    narrow = max(drawn)  # in a small team, where one can be a bottleneck
    drawn.remove(narrow)
    behind, creep, churn, epic = drawn
    over = max(sprints - 2, 1)
    crept = (creep, int(random.integers(1, over)) if over > 1 else 0)
    calm = [k for k in range(1, over) if k != 2]
    steady = [(p, k) for p in (creep, epic) for k in calm if p != creep or k not in (crept[1], crept[1] + 1)]
    count = min(round(OUTLIERS * len(projects) * sprints), len(steady))
    outliers = random.permutation(len(steady))[:count]
    return Troubles(
        behind=behind,
        creep=crept,
        churn=churn,
        bottleneck=(narrow, max((one for one in team if narrow in one.projects), key=_share)),
        epic=(epic, one(random, projects[epic].nouns)),
        outliers=frozenset(steady[int(k)] for k in outliers),
    )


def _share(person: Person) -> float:
    return person.hours / len(person.projects)
