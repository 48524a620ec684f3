"""Eight toy tasks: the one contract carries each of them. What they share is here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
from pydantic import BaseModel

from foretell import Domain, Frame, History, Sample, Standpoint
from foretell.contract import QUESTION

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Nothing(BaseModel):
    """No settings."""


class About(BaseModel):
    """A request about somebody at some time."""

    entity: str
    at: datetime


class Number(BaseModel):
    """A number with its 80 % interval."""

    value: float
    low: float
    high: float


def world(now: datetime, **tables: Frame) -> History:
    """A toy tenant's history as known at `now`."""
    there = Standpoint(tenant="toy", now=now, zone="UTC", settings=Nothing())
    instants = pl.selectors.datetime().cast(pl.Datetime("us", "UTC"))
    return History(there, {name: frame.with_columns(instants) for name, frame in tables.items()}).cut(now)


def ask(entity: Sequence[str], as_of: Sequence[datetime], at: Sequence[datetime]) -> Frame:
    """Questions."""
    return pl.DataFrame({"entity": entity, "as_of": as_of, "at": at}, schema=QUESTION)


def number(rows: Frame) -> Number:
    """The first row of a quantity's forecast as an answer."""
    return Number(value=rows["point"][0], low=rows["q10"][0], high=rows["q90"][0])


def installed(domain: Domain) -> Domain:
    """A toy with its tasks named as they must be where it is installed."""

    def sample(seed: int) -> Sample:
        made = domain.sample(seed)
        return replace(made, requests={f"{domain.name}.{task}": asked for task, asked in made.requests.items()})

    tasks = [replace(task, name=f"{domain.name}.{task.name}") for task in domain.tasks]
    return replace(domain, tasks=tasks, sample=sample)
