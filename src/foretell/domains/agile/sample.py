"""A small seeded world: two projects of a shop and the six people who work on them, as `world` makes them."""

from __future__ import annotations

from datetime import UTC, datetime

from foretell.contract import History, Sample, Standpoint
from foretell.domains.agile.schema import Settings
from foretell.domains.agile.world import world

NOW = datetime(2024, 6, 12, 15, tzinfo=UTC)


def sample(seed: int) -> Sample:
    """The world for a seed: the same seed gives the same rows."""
    standpoint = Standpoint(tenant="sample", now=NOW, zone="Europe/Berlin", settings=Settings())
    made = world(seed, NOW, projects=2, crew=6, sprints=6)
    return Sample(history=History(standpoint, made.tables), requests={})
