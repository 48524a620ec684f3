"""What all tenants of a process share: the stores, the installed domains, and what is kept in memory."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Self

from foretell.app.declared import domains
from foretell.app.memory import Memory
from foretell.app.opening import stores
from foretell.app.tenant_settings import check_defaults
from foretell.app.tokens import Keys
from foretell.models.boosted import warm
from foretell.settings import ForetellSettings
from foretell.stores.access import READER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foretell.contract import Domain, History
    from foretell.engine.model import Model
    from foretell.engine.predict import Prediction
    from foretell.stores import Stores

log = logging.getLogger("foretell")

MODELS = 128_000_000  # bytes of models in memory, by the size of their files times `UNPACKED`
HISTORIES = 32_000_000  # bytes of histories read lately, with the forecasts made on them
ANSWERS = 16_000_000  # and of answers that are given again
LASTING = 300.0  # seconds that a forecast may be used again


class House:
    """Open stores and memory; one for a process, however many tenants it serves."""

    def __init__(self, kept: Stores, installed: Mapping[str, Domain]) -> None:
        """Hold what is open; `close` closes it."""
        self.stores, self.domains = kept, installed
        self.models: Memory[Model] = Memory(MODELS, lasting=ForetellSettings().cache_ttl)
        self.histories: Memory[History] = Memory(HISTORIES, lasting=LASTING)
        self.answers: Memory[Prediction] = Memory(ANSWERS, lasting=LASTING)

    @classmethod
    def open(cls, *, size: int = 10) -> Self:
        """The house in the stores that the settings name, with up to `size` connections; raises as `stores` does."""
        installed = domains()
        check_defaults(installed.values())
        return cls(stores(installed, size=size), installed)

    @cached_property
    def keys(self) -> Keys:
        """What tokens and jobs are signed with. Raises Misconfigured."""
        return Keys.of(ForetellSettings())

    @property
    def reads(self) -> bool:
        """Whether the database lets nothing but predictions be written."""
        return self.stores.database.role == READER

    def warm(self) -> None:
        """Import now what takes seconds, rather than when somebody asks first."""
        warm()

    def rehearse(self) -> None:
        """Let every method that may fit while somebody waits say something of its domain's sample world."""
        for domain in self.domains.values():
            for task in (task for task in domain.tasks if task.waiting):
                history = domain.sample(1).history
                study = task.study(history, task.questions(history).sort("as_of").tail(1))
                for name, make in task.candidates.items():
                    try:
                        if not (made := make()).needs_training:
                            made.forecast(study)
                    except Exception:  # who asks for it will be told
                        log.exception("%s of %s fails on its domain's sample", name, task.name)

    def well(self) -> bool:
        """Whether the database answers; returns when it does, or can't."""
        return self.stores.database.answers()

    def close(self) -> None:
        """Close every connection."""
        self.stores.database.close()
