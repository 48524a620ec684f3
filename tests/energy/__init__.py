"""What the tests of energy share: small worlds of one plant whose truth is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import DTYPES, INSTANT, Floats, Frame, History, Standpoint, Table
from foretell.domains.energy.schema import Settings
from foretell.domains.energy.tables import FORECASTS, OBSERVED, PLANTS, READINGS

NOW = datetime(2026, 6, 20, 9, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
PANELS = {"kind": "solar", "latitude": 40.0, "longitude": 0.0, "capacity_kw": 100.0, "tilt": 30.0, "azimuth": 180.0}
TURBINE = {"kind": "wind", "latitude": 55.0, "longitude": 8.0, "capacity_kw": 3000.0, "hub_height_m": 100.0}


def facts(table: Table, rows: list[dict[str, Any]]) -> Frame:
    """Rows of a table as a history holds them: what is not told is null."""
    blank = {"tracking": "fixed", "count": 1, "turbine_type": "", "provider": "p"}
    known = table.known_at
    whole = [
        {name: row.get(name, blank.get(name)) for name in table.kinds}
        | {"known_at": row.get(known or "", row.get("known_at", row[table.time])), "entity": row["plant"]}
        for row in rows
    ]
    schema = {name: DTYPES[kind] for name, kind in table.kinds.items()} | {"known_at": INSTANT, "entity": pl.String()}
    return pl.DataFrame(whole, schema=schema)


def history(
    plants: dict[str, dict[str, Any]],
    readings: list[dict[str, Any]] = [],  # noqa: B006 - read only
    forecasts: list[dict[str, Any]] = [],  # noqa: B006
    observed: list[dict[str, Any]] = [],  # noqa: B006
    *,
    now: datetime = NOW,
) -> History:
    """A tenant with these facts; plants since long ago."""
    sites = [{"plant": name, "since": datetime(2020, 1, 1, tzinfo=UTC), **site} for name, site in plants.items()]
    there = Standpoint(tenant="t", now=now, zone="UTC", settings=Settings())
    made = {PLANTS: sites, READINGS: readings, FORECASTS: forecasts, OBSERVED: observed}
    return History(there, {table.name: facts(table, rows) for table, rows in made.items()})


def hours(count: int, end: datetime = NOW) -> list[datetime]:
    """The last whole hours that are over by `end`, oldest first."""
    last = end.replace(minute=0, second=0, microsecond=0)
    return [last - HOUR * k for k in range(count, 0, -1)]


def read(plant: str, times: list[datetime], output: Floats) -> list[dict[str, Any]]:
    """Readings, each known at its hour's end."""
    return [
        {"plant": plant, "time": at, "output_kw": float(kw), "known_at": at + HOUR}
        for at, kw in zip(times, output, strict=True)
        if not np.isnan(kw)
    ]
