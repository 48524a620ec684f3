"""Two tasks over one history, asked in one batch: deliveries and coffee."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel
from tests.toys import About, Nothing, physical, table_learner, world

from foretell import Domain, Sample, Task

TASKS = {"minutes": table_learner.TASK, "coffee": physical.TASK}


def sample(seed: int) -> Sample:
    """Both worlds side by side, until the earlier of both ends."""
    deliveries, coffee = table_learner.sample(seed, days=20), physical.sample(seed)
    tables = {**deliveries.history.tables, **coffee.history.tables}
    requests = {**deliveries.requests, **coffee.requests}
    return Sample(history=world(coffee.history.now, **tables), requests=requests)


def batch(sample: Sample) -> list[tuple[Task, BaseModel]]:
    """What-ifs and plain requests of both tasks, shuffled; the third asks about a cup that is not there."""
    minutes, coffee = sample.requests["minutes"], sample.requests["coffee"]
    lost = About(entity="c404", at=sample.history.now + timedelta(minutes=1))
    order = [("minutes", minutes[0]), ("coffee", coffee[0]), ("coffee", lost), ("minutes", minutes[1])]
    order += [("coffee", coffee[1]), ("minutes", minutes[2])]
    return [(TASKS[name], request) for name, request in order]


DOMAIN = Domain(
    name="mixed",
    summary="Deliveries, with coffee.",
    settings=Nothing,
    tables=[*table_learner.TABLES, *physical.TABLES],
    tasks=list(TASKS.values()),
    sample=sample,
)
