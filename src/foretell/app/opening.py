"""Opening the stores that the settings name, and the tenants in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from foretell.app.declared import domains
from foretell.contract import Domain
from foretell.errors import Forbidden, ForetellError, InvalidRequest, NotReady, Refused
from foretell.settings import ForetellSettings
from foretell.stores import Stores, launcher, opened, records, removing
from foretell.stores.access import APP, OPERATOR, OWNER, READER, owner_of, url_of
from foretell.stores.blobs import REMOVING, checked
from foretell.stores.database import READ_ONLY, nobody


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

    Raises Refused where there is one of that name, NotReady where one was not removed whole, InvalidRequest for a bad
    name or zone.
    """
    ((_, wrong),) = add_tenants([(tenant, zone)])
    if wrong:
        raise wrong


def add_tenants(named: Iterable[tuple[str, str]]) -> list[tuple[str, ForetellError | None]]:
    """Add tenants, each with the zone of its clocks, in one go; of each what hindered it, None where it is added.

    What hinders one hinders no other; it is what `add_tenant` raises.
    """
    out: list[tuple[str, ForetellError | None]] = []
    with _operating() as kept, kept.database.nobody() as connection:
        for tenant, zone in named:
            try:
                a_zone(zone)
                _free(kept, tenant)
                records.add_tenant(connection, tenant, zone)
            except (InvalidRequest, NotReady, Refused) as error:
                out.append((tenant, error))
            else:
                out.append((tenant, None))
    return out


def _free(kept: Stores, tenant: str) -> None:
    """Raise NotReady for a name whose tenant of before is not gone yet."""
    if kept.blobs.read(tenant, REMOVING) is not None:
        raise NotReady(f"{tenant} was not removed whole; first type: foretell tenant remove {tenant}")


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What was taken away of a tenant: rows by table, and how many files."""

    rows: Mapping[str, int]
    files: int


def remove_tenant(tenant: str) -> Removed:
    """Take a tenant away for good: all its rows and files. What was interrupted goes on when it is called again.

    From its first step on nothing begins for the tenant, and what began before is waited for, a backup too. Backups
    that were made before keep it. Raises NotFound for no such tenant, Unavailable where a transaction of before does
    not end, Forbidden where nothing may be changed, and Misconfigured without the owner of a database that is not ours.
    """
    settings = ForetellSettings()
    if settings.read_only:
        raise Forbidden(READ_ONLY)
    checked(tenant)
    with _operating() as kept:
        with kept.database.nobody() as connection:
            there = tenant in records.tenants(connection)
        begun = kept.blobs.files(tenant) or kept.blobs.sizes(tenant)  # also what a training that ran then has left
        if not there and not begun:
            raise nobody(tenant)
        if settings.database:
            owner = owner_of(settings.database, settings.database_owner, "remove a tenant")
        else:
            owner = url_of(launcher.start(settings.home or launcher.default_home()), OWNER)
        kept.blobs.write(tenant, REMOVING, b"{}")  # until it goes, the name is not given to another
        rows = removing.remove(owner, tenant)
        return Removed(rows=rows, files=kept.blobs.remove(tenant) - 1)


@contextmanager
def as_operator() -> Iterator[Any]:
    """A transaction of an operator: it sees the tenants, and none of their data."""
    with _operating() as kept, kept.database.nobody() as connection:
        yield connection


@contextmanager
def _operating() -> Iterator[Stores]:
    kept = stores(domains(), role=OPERATOR)
    try:
        yield kept
    finally:
        kept.database.close()


@lru_cache(maxsize=1000)
def a_zone(zone: str) -> None:
    """Raise InvalidRequest unless `zone` is the name of a time zone."""
    try:
        ZoneInfo(zone)
        pl.Series([datetime(2000, 1, 1)]).dt.replace_time_zone(zone)  # noqa: DTZ001 - it knows fewer names
    except (ZoneInfoNotFoundError, ValueError, OSError, pl.exceptions.ComputeError):
        raise InvalidRequest(f"no time zone {zone!r}; write it as in Europe/Athens") from None
