"""Our own domains keep the contract: traffic and every toy pass every public check."""

from __future__ import annotations

import pytest
from tests.toys import (
    choice,
    fleet_sum,
    installed,
    late_outcomes,
    mixed_batch,
    physical,
    sequence_network,
    series_in_request,
    table_learner,
)

from foretell import Domain
from foretell.domains import traffic
from foretell.testing import check_domain

TOYS = [
    table_learner.DOMAIN,
    series_in_request.DOMAIN,
    physical.DOMAIN,
    sequence_network.DOMAIN,
    fleet_sum.DOMAIN,
    late_outcomes.DOMAIN,
    choice.DOMAIN,
    mixed_batch.DOMAIN,
]


@pytest.mark.parametrize("domain", TOYS, ids=lambda domain: domain.name)
def test_a_toy_keeps_the_contract(domain: Domain) -> None:
    check_domain(installed(domain))


def test_traffic_keeps_the_contract() -> None:
    check_domain(traffic.DOMAIN)


@pytest.mark.parametrize("seed", [2, 3])
def test_traffic_keeps_the_contract_of_its_facts_and_features_for_any_seed(seed: int) -> None:
    check_domain(traffic.DOMAIN, seed=seed, deep=False)
