"""Opening the stores that the settings name, and the tenants in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from foretell.app.declared import domains
from foretell.contract import Domain
from foretell.errors import InvalidRequest
from foretell.settings import ForetellSettings
from foretell.stores import Stores, opened, records
from foretell.stores.access import APP, OPERATOR, READER
from foretell.stores.blobs import checked


def stores(installed: Mapping[str, Domain], *, role: str | None = None, size: int = 10) -> Stores:
    """The stores that the settings name, with up to `size` connections; raises what `foretell.stores.opened` does.

    Without a `role` it is the app's, or the reader's where the settings say so.
    """
    told = ForetellSettings()
    role = role or (READER if told.read_only else APP)
    tables = {name: domain.tables for name, domain in installed.items()}
    return opened(tables, database=told.database, home=told.home, blobs=told.blobs, role=role, size=size)


def tenants() -> dict[str, str]:
    """Every tenant, with its time zone."""
    with as_operator() as connection:
        return records.tenants(connection)


def add_tenant(tenant: str, *, zone: str) -> None:
    """Add a tenant whose clocks show `zone` (an IANA name).

    Raises Refused where there is one of that name, InvalidRequest for a bad name or zone.
    """
    a_zone(zone)
    checked(tenant)
    with as_operator() as connection:
        records.add_tenant(connection, tenant, zone)


@contextmanager
def as_operator() -> Iterator[Any]:
    """A transaction of an operator: it sees the tenants, and none of their data."""
    kept = stores(domains(), role=OPERATOR)
    try:
        with kept.database.nobody() as connection:
            yield connection
    finally:
        kept.database.close()


def a_zone(zone: str) -> None:
    """Raise InvalidRequest unless `zone` is the name of a time zone."""
    try:
        ZoneInfo(zone)
        pl.Series([datetime(2000, 1, 1)]).dt.replace_time_zone(zone)  # noqa: DTZ001 - it knows fewer names
    except (ZoneInfoNotFoundError, ValueError, OSError, pl.exceptions.ComputeError):
        raise InvalidRequest(f"no time zone {zone!r}; write it as in Europe/Athens") from None
