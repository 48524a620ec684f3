"""Inventory's local candidates: what a product's own days say, by the methods for daily series."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import polars as pl

from foretell.contract import Cost, Floats, Forecast, Frame, Quantity, Study, quantile
from foretell.domains.inventory import promotions
from foretell.domains.inventory.features import SPAN, lines
from foretell.domains.inventory.schema import Settings, rules
from foretell.features.dates import number, numbers
from foretell.features.days import Line
from foretell.models import paths, prophet
from foretell.models.daily import METHODS

LEVELS = (0.005, 0.025, 0.1, 0.25, 0.75, 0.9, 0.975, 0.995)
DEMAND = Quantity(unit="units a day", levels=LEVELS, lower=0.0)
USED = Quantity(unit="units", levels=LEVELS, lower=0.0)
AT_LEAST = 14  # days

Around = Callable[[Floats, Floats, np.random.Generator], Floats]


class Expected(NamedTuple):
    """A product's expected days, by which method, and its own possible futures (days x worlds) where it has them."""

    mean: Floats
    by: str
    worlds: Floats | None = None


Said = Callable[[str, datetime, int, Floats, int], Expected | None]
"""What is expected of a product: its name, when it is asked, the number of that day, the days before it, and how many
to say. None where there is no answer."""

Apart = Callable[[str, datetime, Line, int], tuple[Floats, Floats | None]]
"""The days of a product that its level is learned from, and how many times that level each of the next days has."""


def as_they_are(_: str, __: datetime, line: Line, ___: int) -> tuple[Floats, None]:
    """All days, and no factor: for methods that know of promotions themselves."""
    return line.filled, None


def told(
    study: Study, said: Said, *, summed: bool, around: Around = paths.paths, apart: Apart = as_they_are
) -> Forecast:
    """Mean and quantiles from possible futures, those `around` what is `said` or its own; the method as evidence.

    What is said rests on the days that were set `apart`, and is multiplied by the factor of each day to come. With
    `summed` it is what has gone out from the standpoint to the day asked about, and draws are whole paths. Null for a
    product with fewer than `AT_LEAST` days before the standpoint.
    """
    asked, zone = study.questions, study.history.standpoint.zone
    found, at = lines(study.history), numbers(study.questions["at"], study.history.standpoint.zone)
    rows = np.full((asked.height, 1 + len(LEVELS)), np.nan)
    draws = np.full((asked.height, paths.WORLDS), np.nan) if summed else None
    by = np.full(asked.height, "unknown", dtype=object)
    groups = asked.select("entity", "as_of").with_row_index("place").partition_by("entity", "as_of", as_dict=True)
    for (entity, as_of), group in groups.items():
        day = number(as_of, zone)
        line = found.get(str(entity))
        known = line and line.until(day)
        if known is None or len(known.value) < AT_LEAST:
            continue
        place = group["place"].to_numpy()
        step = np.maximum(at[place] - day, 0)
        past, factor = apart(str(entity), as_of, known, int(step.max()) + 1)
        one = said(str(entity), as_of, day, past, int(step.max()) + 1)
        if one is None:
            continue
        mean, worlds = np.maximum(one.mean, 0.0), one.worlds
        if factor is not None:
            mean, worlds = mean * factor, None if worlds is None else worlds * factor[:, None]
        if worlds is None:
            worlds = around(past, mean, paths.generator(str(entity), day))
        worlds, mean = (np.cumsum(worlds, axis=0), np.cumsum(mean)) if summed else (worlds, mean)
        rows[place, 0], rows[place, 1:], by[place] = mean[step], np.quantile(worlds[step], LEVELS, axis=1).T, one.by
        if draws is not None:
            draws[place] = worlds[step]
    columns = ["point", *map(quantile, LEVELS)]
    frame = pl.DataFrame({name: rows[:, k] for k, name in enumerate(columns)}).fill_nan(None)
    return Forecast(rows=frame, draws=draws, evidence=pl.DataFrame({"method": pl.Series(list(by), dtype=pl.String)}))


class Local:
    """One of `METHODS`, fitted to a product's own days each time it is asked, with bounds from whole paths about it.

    Days under a promotion teach no level, and those of a planned one are multiplied by what promotions did before.
    `summed` is that of `told`.
    """

    needs_training = False

    def __init__(self, method: str, *, summed: bool = False) -> None:
        self.method, self.summed = method, summed
        answered = SPAN // 7 if summed else SPAN  # questions of one standpoint, which share a fit
        self.cost = Cost(forecast=METHODS[method].seconds * 1000 / answered)

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - fitted when asked
        """Learn nothing; return self."""
        return self

    def forecast(self, study: Study) -> Forecast:
        """As `told`."""
        own = rules(study.history.standpoint)
        around = paths.errors_around if self.method == "weekly_naive" else paths.paths
        planned = partial(promotions.apart, study.history)
        return told(study, partial(self._said, own), summed=self.summed, around=around, apart=planned)

    def _said(self, own: Settings, entity: str, _: datetime, day: int, past: Floats, steps: int) -> Expected:
        mean = METHODS[self.method].mean
        if mean is not None:
            return Expected(mean(past, steps, day), self.method)
        random, mode = paths.generator(entity, day), own.prophet_seasonality_mode
        expected, worlds = prophet.ahead(past, steps, day, mode=mode, random=random, worlds=paths.WORLDS)
        worlds = np.maximum(worlds, 0.0)
        if self.summed:  # what is cut off below zero would add up to a total far above what is expected
            worlds = worlds * (np.maximum(expected, 0.0) / np.maximum(worlds.mean(axis=1), 1e-12))[:, None]
        return Expected(expected, self.method, worlds)

    def save(self, folder: Path) -> None:
        """Write the method's name: all else is in the history."""
        (folder / "local.json").write_text(json.dumps({"method": self.method}))

    def load(self, folder: Path) -> Self:  # noqa: ARG002
        """Return self."""
        return self


def candidates(*, summed: bool = False) -> dict[str, Callable[[], Local]]:
    """Every method, the baseline first."""
    return {name: partial(Local, name, summed=summed) for name in METHODS}
