"""Everybody's features made anew every day, and what they are like: how many are missing, how they lie and drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from foretell.app.admission import admitted
from foretell.app.answering import everybody
from foretell.app.definitions import Definition
from foretell.app.importance import on_record
from foretell.app.notices import tell
from foretell.app.requests import request_of
from foretell.app.tenancy import Tenancy
from foretell.app.vectors import found, keep, made, owner
from foretell.contract import Domain, Finding, Floats, Task
from foretell.engine.collect import needs
from foretell.engine.drift import Moments, drift, drifted
from foretell.errors import ForetellError
from foretell.stores import records, registry, vectors
from foretell.stores.records import Look
from foretell.stores.vectors import Statistic, Vector

AGAIN = timedelta(days=7)  # a drift lasts: it is told once a week
MANY = 5000  # entities that are made together; with fewer, the same pages and areas are read more often
COMPARED = 1e-9  # by how much what is kept may differ from what is made anew, of its size


def refresh(desk: Tenancy, task: Task, *, far: Callable[[str, float], None] | None = None) -> dict[str, Any]:
    """Make everybody's features anew and look at them: how many, and how many of those kept were found to be other.

    What the features are and are like is put on record, and what they are worth to the model in service: that is worked
    out once for each version. Of what drifted, and of what was kept and is not so, somebody hears. Raises NotReady
    where nobody is known.
    """
    whom, sums, differ, compared = everybody(desk, task), _Sums(), 0, 0
    domain, day = desk.domain(task.name), datetime.now(UTC).date()
    for start in range(0, len(whom), MANY):
        part = whom[start : start + MANY]
        before, new, marks = _part(desk, domain, task, part)
        for name, one in before.items():
            if name in new:
                compared += 1
                differ += _differs(one, new[name])
        sums.add(new)
        keep(desk, task, day, new, marks)
        if far:
            far(f"features of {min(start + MANY, len(whom)):,}", min(start + MANY, len(whom)) / len(whom))
    if far:
        far("what features are worth", 1.0)
    _tell(desk, domain, task, sums.told(day), day)
    if differ:
        words = f"{differ} of {compared} kept feature vectors are not what the facts make of them now"
        wrong = Finding(kind="differs", severity="high", words=words, evidence={"differ": differ, "compared": compared})
        with desk.transaction() as connection:
            tell(desk, connection, task.name, [wrong])
    return {"entities": len(whom), "compared": compared, "differ": differ}


def _tell(desk: Tenancy, domain: Domain, task: Task, seen: Sequence[Statistic], day: date) -> None:
    """Put on record what features are, are like on a day and are worth, and which drifted in the last thirty days."""
    name, worth = owner(task, domain), on_record(desk, task)
    defined = {one.feature_name: Definition.of(one.feature_name, domain.catalogue).model_dump() for one in seen}
    with desk.transaction() as connection:
        then = vectors.earlier(connection, desk.tenant, name, day)
        pairs = {
            one.feature_name: (_moments(then[one.feature_name]), _moments(one))
            for one in seen
            if one.feature_name in then
        }
        moved = {feature: by for feature, pair in pairs.items() if (by := drift(*pair)) is not None}
        told = [replace(one, drift=moved.get(one.feature_name)) for one in seen]
        vectors.tell(connection, desk.tenant, name, told, defined, worth)
        far = {feature: round(by, 3) for feature, by in moved.items() if drifted(*pairs[feature])}
        look = Look(day=day, entities=max((one.counted for one in seen), default=0), compared=len(moved), drifted=far)
        # Tasks that make the same features keep them once; each has a model of its own.
        if far:
            words = f"{len(far)} of {len(seen)} features lie elsewhere than up to thirty days before: {', '.join(far)}"
            drifting = Finding(kind="drift", severity="medium", words=words, evidence=far)
            tell(desk, connection, name, [drifting], once=AGAIN)
        records.looked(connection, desk.tenant, [one.name for one in domain.tasks if one.vector is task.vector], look)


def _moments(seen: Statistic) -> Moments:
    return Moments(count=round(seen.counted * (1 - seen.null_rate)), mean=seen.mean_value, deviation=seen.std_dev)


def _part(
    desk: Tenancy, domain: Domain, task: Task, whom: Sequence[str]
) -> tuple[dict[str, Vector], dict[str, Vector], Mapping[str, int]]:
    """What is kept of some, what is made of them now, and the data marks of the facts that it is made of."""
    asked = {place: (task, request_of(task.request, {str(task.whom): name})) for place, name in enumerate(whom)}
    names = [f"{domain.name}.{name}" for name in needs([*asked.values()])]
    with desk.transaction(snapshot=True) as connection:
        look = registry.look(connection, desk.tenant, [], names)
        standing = desk.standpoint(connection, domain, None, look)
        before = found(desk, connection, domain, task, [one for _, one in asked.values()], standing.now)
        whole = admitted(desk, connection, domain, asked, standing.now)
        there = [one for one in whole.values() if not isinstance(one, ForetellError)]
        history = desk.history(connection, domain, standing, needs([(task, one) for one in there]))
    return before, made(task, history, there), look.marks


def _differs(one: Vector, other: Vector) -> bool:
    """Whether two vectors say something else of anything."""
    for name, value in one.feature_values.items():
        now = other.feature_values.get(name)
        if value is None or now is None:
            if value is not now:
                return True
        elif abs(value - now) > COMPARED * max(1.0, abs(value)):
            return True
    return False


class _Sums:
    """What is needed of many vectors to say what each feature is like."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.parts: list[Floats] = []

    def add(self, new: Mapping[str, Vector]) -> None:
        if new:
            self.names = tuple(next(iter(new.values())).feature_values)
            rows = [[np.nan if v is None else v for v in one.feature_values.values()] for one in new.values()]
            self.parts.append(np.array(rows, dtype=np.float64))

    def told(self, day: date) -> list[Statistic]:
        """What each feature is like."""
        if not self.parts:
            return []
        values, out = np.concatenate(self.parts), []
        for k, name in enumerate(self.names):
            there = values[~np.isnan(values[:, k]), k]
            some = len(there) > 0
            out.append(
                Statistic(
                    feature_name=name, day=day, counted=len(values), null_rate=1 - len(there) / len(values),
                    mean_value=float(there.mean()) if some else None, std_dev=_spread(there) if some else None,
                    min_value=float(there.min()) if some else None, max_value=float(there.max()) if some else None,
                )
            )  # fmt: skip
        return out


def _spread(values: Floats) -> float:
    """The standard deviation; of values that are all the same none at all, whatever rounding makes of their mean."""
    return float(values.std()) if values.min() < values.max() else 0.0


def lately(desk: Tenancy, task: Task, days: int = 7) -> list[Statistic]:
    """What a task's features were like in the last days."""
    with desk.inside() as connection:
        since = (datetime.now(UTC) - timedelta(days=days)).date()
        return vectors.statistics(connection, desk.tenant, owner(task, desk.domain(task.name)), since)
