"""Our own domains keep the contract: traffic and every toy pass every public check."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.toys import (
    DAY,
    HOUR,
    choice,
    fleet_sum,
    late_outcomes,
    mixed_batch,
    physical,
    sequence_network,
    series_in_request,
    table_learner,
)

from foretell import Domain, Read, Task
from foretell.domains import traffic
from foretell.models.naive import SeasonalNaive
from foretell.testing import check_domain

LEVELS = (0.1, 0.5, 0.9)


def with_tasks(domain: Domain, *tasks: Task) -> Domain:
    return replace(domain, tasks=tasks)


def averages_first(task: Task) -> Task:
    """The law of cooling is to be shown better than averages: they are the baseline."""
    names = ["averages", "newton"]
    return replace(task, candidates={name: task.candidates[name] for name in names})


def late_values_too() -> Task:
    """Yesterday's value with the moment it arrived."""
    yesterday = SeasonalNaive(
        series=lambda history: history["values"].select("entity", "time", "value", "known_at"),
        season=3 * HOUR,
        step=3 * HOUR,
        levels=LEVELS,
        window=5 * DAY,
    )
    task = sequence_network.TASK
    candidates = {**task.candidates, "yesterday": lambda: yesterday}
    return replace(task, reads=[Read(table="values", window=30 * DAY)], candidates=candidates)


TOYS = [
    table_learner.DOMAIN,
    with_tasks(
        series_in_request.DOMAIN,
        replace(series_in_request.TASK, reads=[Read(table="series", window=120 * DAY)]),
    ),
    with_tasks(physical.DOMAIN, averages_first(physical.TASK)),
    with_tasks(sequence_network.DOMAIN, late_values_too()),
    fleet_sum.DOMAIN,
    late_outcomes.DOMAIN,
    choice.DOMAIN,
    with_tasks(mixed_batch.DOMAIN, table_learner.TASK, averages_first(physical.TASK)),
]


@pytest.mark.parametrize("domain", TOYS, ids=lambda domain: domain.name)
def test_a_toy_keeps_the_contract(domain: Domain) -> None:
    check_domain(domain)


def test_traffic_keeps_the_contract() -> None:
    check_domain(traffic.DOMAIN)


@pytest.mark.parametrize("seed", [2, 3])
def test_traffic_keeps_the_contract_of_its_facts_and_features_for_any_seed(seed: int) -> None:
    check_domain(traffic.DOMAIN, seed=seed, deep=False)
