"""The generated workspace day by day: sprints are planned and closed, people work as long as they have hours."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from numpy.random import Generator

from foretell.domains.agile.sample.issues import BEHIND, GROSSLY, STEPS, Issue, estimated_again, halves, seen, written
from foretell.domains.agile.sample.team import FORTNIGHT, Person, Project, Troubles
from foretell.domains.agile.sample.words import POINTS, one

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
LEAST = 2.0  # hours; for less nothing is planned
LOAD = (0.5, 0.7)  # of the hours of a sprint are planned: days off and surprises take the rest
OFF = 0.03  # of a person's days: holidays and illness
HELPED = 0.06  # of the issues go to somebody who is not at home in the work
AGAIN = 0.03  # of the evenings with an issue under way it is estimated anew
NARROW, OVERLOAD = 0.6, 2.0  # what goes to the bottleneck: of the others' issues, and at most of its own capacity
ADDED = 0.22  # of a sprint's issues, twice, is scope creep
SHUFFLED = 0.2  # of a sprint's issues, twice a sprint, is given up for others where priorities shift
BLOCKED = 8  # days of ten on which nothing can be done in a sprint of outlying velocity
REVIEWED = 0.7  # of the issues that are more than a trifle
IDEAS = 3  # issues of each project that nobody has planned
RANK = {"critical": 0, "high": 1, "medium": 2, "low": 3}


class Play:
    """A workspace under way: `issue_rows`, `statuses`, `given` and `logs` are what happens, some of it after `now`."""

    def __init__(
        self, random: Generator, projects: Sequence[Project], team: Sequence[Person], wrong: Troubles, now: datetime
    ) -> None:
        self.random, self.projects, self.team, self.wrong, self.now = random, projects, team, wrong, now
        self.issues: list[Issue] = []
        self.backlog: list[list[Issue]] = [[] for _ in projects]  # given up, for a later sprint
        self.current: list[list[Issue]] = [[] for _ in projects]  # in the sprint under way
        self.spent: dict[tuple[str, int], float] = defaultdict(float)
        self.replanned = False
        self.issue_rows: list[tuple[Issue, datetime, tuple[object, ...]]] = []
        self.statuses: list[tuple[Issue, datetime, str, str]] = []
        self.given: list[tuple[Issue, datetime, str]] = []
        self.logs: list[tuple[Issue, datetime, str, float]] = []

    def until_now(self) -> None:
        """Play all days up to today, then plan the sprints to come."""
        today = min(project.starts[0] for project in self.projects)
        while today <= self.now:
            if today.weekday() < 5:
                for project in self.projects:
                    self.morning(project, today)
                for person in self.team:
                    self.workday(person, today)
            today += DAY
        for project in self.projects:
            self.plan(project, len(project.starts) - 1)
            for _ in range(IDEAS):
                kind = one(self.random, [person.skill for person in self.team if project.index in person.projects])
                self.note(written(self.random, project, kind, project.starts[-1], math.inf))

    def morning(self, project: Project, today: datetime) -> None:
        """What a project decides before work begins: a sprint ends and another starts, or plans change amid one."""
        number, day = divmod((today - project.starts[0]) // DAY, 14)
        if number < 0 or number >= len(project.starts):
            return
        if day == 0:
            self.turn(project, number)
        at = today - 20 * MINUTE
        if day in (3, 8) and (project.index, number) == self.wrong.creep:
            self.bring(project, number, at, round(ADDED * len(self.current[project.index])))
        if day in (3, 8) and project.index == self.wrong.churn:
            self.shuffle(project, number, at)
        late = day >= 3 and number >= min(2, len(project.starts) - 2)
        if late and project.index == self.wrong.epic[0] and not self.replanned:
            self.replan(project, at)

    def turn(self, project: Project, number: int) -> None:
        """Move what the last sprint did not finish into the next, and plan that one."""
        start = project.starts[number]
        self.current[project.index] = [issue for issue in self.current[project.index] if not issue.over]
        for issue in list(self.current[project.index]):
            self.put(issue, number, start - 30 * MINUTE)
        self.plan(project, number)

    def plan(self, project: Project, number: int) -> None:
        """Fill a sprint: for each person work of their kind for the hours they have, less what is left over."""
        load, narrow = self.random.uniform(*LOAD), self.wrong.bottleneck
        carried = list(self.current[project.index]) if number < len(project.starts) - 1 else []
        rest = {p.id: p.pace * sum(i.thought for i in carried if i.person is p) for p in self.team}
        room = {p.id: self.capacity(p) * load - rest[p.id] for p in self.team}
        for person in (p for p in self.team if project.index in p.projects):
            mine = room[person.id]
            while mine > LEAST:
                special = project.index == narrow[0] and person is not narrow[1] and self.random.random() < NARROW
                special = special and room[narrow[1].id] > (load - OVERLOAD) * self.capacity(narrow[1])
                whose = narrow[1] if special else person
                issue = self.next(project, whose.skill, project.starts[number], mine)
                if not special and self.random.random() < HELPED:
                    whose = one(self.random, [p for p in self.team if project.index in p.projects])
                self.give(issue, whose)
                self.put(issue, number, self.before(issue, project.starts[number]))
                room[whose.id] -= issue.thought * whose.pace
                mine -= issue.thought * whose.pace

    def capacity(self, person: Person) -> float:
        """The hours that a person has in a sprint for each of their projects."""
        return person.hours * 2 / len(person.projects)

    def before(self, issue: Issue, start: datetime) -> datetime:
        """A moment before a sprint's start and `now`, after all that happened to the issue until then."""
        first = max(issue.changed + MINUTE, start - FORTNIGHT - DAY)
        last = max(min(start, self.now) - HOUR, first)
        return first + MINUTE * int((last - first) / MINUTE * self.random.random())

    def next(self, project: Project, kind: str, start: datetime, most: float) -> Issue:
        """Work of a kind, of at most so many hours: what was given up before, or an issue created before `start`."""
        waiting = self.backlog[project.index]
        for issue in waiting:
            if issue.kind == kind and issue.thought <= most:
                waiting.remove(issue)
                return issue
        return self.note(written(self.random, project, kind, start, most))

    def note(self, issue: Issue) -> Issue:
        """Take in an issue that is nobody's yet."""
        issue.hours, issue.in_line = issue.thought * self.takes(issue), POINTS[issue.size]
        self.issues.append(issue)
        self.tell(issue, issue.created)
        self.statuses.append((issue, issue.created, "to do", "todo"))
        return issue

    def takes(self, issue: Issue) -> float:
        """How many times as long as thought an issue takes by where it is."""
        epic = (issue.project.index, issue.noun) == self.wrong.epic
        return (GROSSLY if epic else 1.0) * (BEHIND if issue.project.index == self.wrong.behind else 1.0)

    def give(self, issue: Issue, person: Person) -> None:
        """Give an issue to a person; who has it keeps it."""
        if not issue.person:
            epic = (issue.project.index, issue.noun) == self.wrong.epic
            seen(self.random, issue, person, takes=self.takes(issue), known=epic and self.replanned)

    def put(self, issue: Issue, number: int | None, at: datetime) -> None:
        """Put an issue into a sprint, or out of any; when it is first planned it becomes known whose it is."""
        current, starts = self.current[issue.project.index], issue.project.starts
        if number is not None and number < len(starts) - 1 and issue not in current:
            current.append(issue)
        if number is not None and RANK[issue.priority] < 2:
            issue.due = starts[number] + FORTNIGHT - HOUR
        if issue.person and issue.changed == issue.created:
            self.given.append((issue, at + MINUTE * int(self.random.integers(1, 15)), issue.person.id))
            issue.first = issue.first if number is None else number
        issue.sprint = number
        self.tell(issue, at)

    def tell(self, issue: Issue, at: datetime) -> None:
        """Write down how an issue is from a moment on."""
        issue.changed = at
        sprint = "" if issue.sprint is None else issue.project.sprint(issue.sprint)
        row = (issue.priority, sprint, issue.points, issue.estimate, issue.due)
        self.issue_rows.append((issue, at, row))

    def bring(self, project: Project, number: int, at: datetime, count: int) -> None:
        """Take issues into the sprint under way."""
        able = [person for person in self.team if project.index in person.projects]
        for _ in range(count):
            person = one(self.random, able)
            issue = self.next(project, person.skill, project.starts[number], self.capacity(person) / 2)
            issue.priority = "high"
            self.give(issue, person)
            self.put(issue, number, at)

    def shuffle(self, project: Project, number: int, at: datetime) -> None:
        """Give up issues that nobody has begun, and take others instead."""
        current = self.current[project.index]
        idle = [issue for issue in current if not issue.begun]
        order = self.random.permutation(len(idle))[: round(SHUFFLED * len(current))]
        for issue in (out := [idle[int(k)] for k in order]):
            issue.priority = "low"
            current.remove(issue)
            self.put(issue, None, at)
        self.bring(project, number, at, len(out))
        self.backlog[project.index] += out

    def replan(self, project: Project, at: datetime) -> None:
        """See that the epic was misestimated, as soon as some of it is open, and estimate that anew."""
        for issue in self.current[project.index]:
            if issue.noun == self.wrong.epic[1] and not issue.over and issue.changed < at:
                self.replanned = True
                step = min(issue.size + STEPS, len(POINTS) - 1)
                issue.points, issue.estimate = POINTS[step], halves(issue.hours)
                issue.in_line = POINTS[step]
                self.tell(issue, at)

    def workday(self, person: Person, today: datetime) -> None:
        """Work on what is under way, then on what is most urgent, until the day's hours are used."""
        if self.random.random() < OFF:
            return
        room, used, issue = int(person.hours / 5 * self.random.uniform(0.88, 1) * 4) / 4, 0.0, None
        while used < room and (issue := self.pick(person, today)):
            if not issue.begun:
                issue.begun = True
                self.statuses.append((issue, today + 8 * HOUR * used / room, "in progress", "in_progress"))
            worked = min(room - used, issue.left)
            used, issue.left = used + worked, issue.left - worked
            at = today + 8 * HOUR * used / room
            self.logs.append((issue, at, person.id, worked))
            self.spent[person.id, issue.project.index] += worked
            if not issue.left:
                self.finish(issue, at)
        if issue and issue.left and not issue.again and self.random.random() < AGAIN:
            estimated_again(self.random, issue, issue.actual)
            self.tell(issue, today + 8 * HOUR + 10 * MINUTE)

    def pick(self, person: Person, today: datetime) -> Issue | None:
        """A person's next issue: what they have begun, else of the project that had least of them, by priority."""
        mine = [i for p in person.projects if not self.blocked(p, today) for i in self.current[p] if i.person is person]
        open_ = [issue for issue in mine if issue.left]

        def order(issue: Issue) -> tuple[object, ...]:
            spent = self.spent[person.id, issue.project.index]
            return not issue.begun, spent, issue.first, RANK[issue.priority], issue.created

        return min(open_, key=order, default=None)

    def blocked(self, project: int, today: datetime) -> bool:
        """Whether nothing can be done in a project on a day."""
        number, day = divmod((today - self.projects[project].starts[0]) // DAY, 14)
        return (project, number) in self.wrong.outliers and day - 2 * (day >= 7) < BLOCKED

    def finish(self, issue: Issue, at: datetime) -> None:
        """An issue is done, often after a review on the same day."""
        issue.over = at
        if issue.size > 0 and self.random.random() < REVIEWED:
            issue.over = at + HOUR * self.random.uniform(0.5, 1.5)
            self.statuses.append((issue, at, "in review", "in_progress"))
        self.statuses.append((issue, issue.over, "done", "done"))
