"""What a server says of itself: a line each, from the level that the settings name on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from foretell.settings import ForetellSettings

SLOW = 0.1  # seconds from which on a query is told at the default level; quicker ones only to who debugs

log = logging.getLogger("foretell")


def begin() -> None:
    """Say things on stderr from now on, in this process."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s:     %(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(ForetellSettings().log_level.upper())


@contextmanager
def queried(tenant: str, what: str) -> Iterator[None]:
    """Tell how long the facts of a tenant took to be read, for a task or a table."""
    began = time.perf_counter()
    yield
    took = time.perf_counter() - began
    level = logging.INFO if took >= SLOW else logging.DEBUG
    log.log(level, "Query time: %.1f ms tenant=%s task=%s", took * 1000, tenant, what)


def trained(tenant: str, task: str, seconds: float) -> None:
    """Tell how long a task's race or fits took, in training or when asked."""
    log.info("Training time: %.1f ms tenant=%s task=%s", seconds * 1000, tenant, task)
