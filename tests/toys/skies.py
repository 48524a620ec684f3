"""Facts that are fetched: plants somebody brings, and their weather from whoever tells it. Nothing is predicted."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import polars as pl
from pydantic import AwareDatetime, BaseModel, Field
from tests.toys import START, Nothing, world

from foretell import Domain, Sample, Table
from foretell.contract import Quota
from foretell.domains.energy.sources import SOURCES


class Plant(BaseModel):
    plant: str
    since: AwareDatetime
    kind: str
    latitude: float
    longitude: float


class Weather(BaseModel):
    plant: str
    time: AwareDatetime
    provider: str
    ghi: float | None = Field(None, ge=0, le=2000)
    dni: float | None = None
    dhi: float | None = None
    temperature: float | None = Field(None, ge=-90, le=65)
    humidity: float | None = None
    cloud_cover: float | None = None
    pressure: float | None = None
    precipitation: float | None = None
    wind_speed_10m: float | None = None
    wind_speed_100m: float | None = None
    wind_direction_10m: float | None = None
    wind_direction_100m: float | None = None


class Observed(Weather):
    known_at: AwareDatetime | None = None


class Issued(Weather):
    issued_at: AwareDatetime


TABLES = [
    Table(name="plants", row=Plant, key=("plant",), time="since", entity=("plant",)),
    Table(
        name="observed", row=Observed, key=("plant", "time", "provider"), time="time", entity=("plant",),
        known_at="known_at",
    ),
    Table(
        name="forecasts", row=Issued, key=("plant", "time", "issued_at", "provider"), time="time", entity=("plant",),
        known_at="issued_at",
    ),
]  # fmt: skip


def sample(seed: int) -> Sample:
    """As many plants as the seed says, and no weather yet."""
    since: list[datetime] = [START] * seed
    plants = pl.DataFrame(
        {
            "entity": [f"p{k}" for k in range(seed)], "plant": [f"p{k}" for k in range(seed)], "since": since,
            "kind": "solar", "latitude": [40.0 + k for k in range(seed)], "longitude": 10.0, "known_at": since,
        }
    )  # fmt: skip
    empty = pl.DataFrame(schema={"entity": pl.String, "time": pl.Datetime, "known_at": pl.Datetime})
    return Sample(history=world(START, plants=plants, observed=empty, forecasts=empty), requests={})


# In no hurry: a test that waits says so.
QUICK = [replace(source, quota=Quota(minute=1e9, day=source.quota.day)) for source in SOURCES]
DOMAIN = Domain(
    name="skies", summary="Weather over plants.", settings=Nothing, tables=TABLES, tasks=[], sample=sample,
    sources=QUICK,
)  # fmt: skip
