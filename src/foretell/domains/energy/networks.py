"""Sequence networks of a plant's output: an LSTM for the sun, a GRU with attention for the wind.

They read the hours about the one asked about, with the weather as it was forecast for each, what physics makes of it
and the output as far as it was known, and say what is to be added to physics, in shares of capacity.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from foretell.contract import Cost, Floats, Forecast, Frame, Study
from foretell.domains.energy import physics
from foretell.domains.energy.features import ABOUT
from foretell.domains.energy.models import LEVELS, MIDDLE, Physical, shares, told
from foretell.domains.energy.physics import Light
from foretell.domains.energy.readings import hours, plants
from foretell.domains.energy.schema import AGE, INDEX, PAST, TIME
from foretell.domains.energy.tables import WEATHER, Kind
from foretell.domains.energy.weather import HOUR, MINUTE, runs
from foretell.features.grid import micros
from foretell.models.sequence import LACKING, Network

LEAST = 300  # questions that anything is learned from
MOST = 8000  # questions that are learned from; of more they are evenly thinned
STANDING = (*TIME, *AGE, *PAST, "physical", "smart")  # features that are the same in every hour of a window


class Sequences:
    """A network over windows of hours; without a forecast of the weather, or with too few outcomes, it is physics."""

    needs_training = True
    cost = Cost(start=15.0, fit=12.0, forecast=2.0, most=MOST, lacking=LACKING)

    def __init__(self, kind: Kind, **shape: Any) -> None:
        """`shape` is that of the network, where it is not the usual one."""
        self.kind: Kind = kind
        self.net = Network("lstm" if kind == "solar" else "gru", levels=LEVELS, **self._usual() | shape)

    def _usual(self) -> dict[str, Any]:
        return {"layers": 3 if self.kind == "solar" else 2}

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn from the questions with a forecast of the weather, oldest first; return self."""
        seen = np.flatnonzero(~np.isnan(study.features["weather_age"]))
        order = seen[np.argsort(micros(study.questions["as_of"])[seen], kind="stable")]
        order = order[np.linspace(0, len(order) - 1, min(len(order), MOST)).astype(int)]
        if len(order) < LEAST:
            return self
        some = _some(study, order)
        self.net.fit(windows(self.kind, some), shares(some, outcomes[order]) - some.features["physical"], study.told)
        return self

    def forecast(self, study: Study) -> Forecast:
        """Quantiles in kW; the point is the median."""
        said = Physical(self.kind).forecast(study).rows.to_numpy()
        seen = np.flatnonzero(~np.isnan(study.features["weather_age"]))
        if len(seen) and self.net.weights:
            some = _some(study, seen)
            share = self.net.quantiles(windows(self.kind, some)) + some.features["physical"][:, None]
            share = np.maximum(share, 0.0)
            if self.kind == "solar":  # without sun there is nothing
                share = share * (some.features["lit"] > 0)[:, None]
            said = said.copy()
            said[seen] = np.column_stack([share[:, MIDDLE], share]) * some.features["capacity"][:, None]
        return told(said)

    def save(self, folder: Path) -> None:
        """Write the network."""
        self.net.save(folder)

    def load(self, folder: Path) -> Self:
        """Read the network."""
        self.net.load(folder)
        return self


def _some(study: Study, places: Any) -> Study:
    return replace(study, questions=study.questions[places], features=study.features.rows(places))


def windows(kind: Kind, study: Study) -> Floats:
    """The hours `ABOUT` each question's, as known at its `as_of`: questions x hours x channels, NaN where unknown."""
    history, entity = study.history, study.questions["entity"]
    at, as_of = micros(study.questions["at"]), micros(study.questions["as_of"])
    when, shape = at[:, None] + ABOUT * HOUR, (len(at), len(ABOUT))
    found = runs(history)
    weather = found.told(found.places(entity, when, as_of), WEATHER)
    flat = {name: values.ravel() for name, values in weather.items()}
    known = plants(history)
    sites = known.sites.of(np.repeat(known.places(entity), len(ABOUT)))
    if kind == "solar":
        light = Light(sites, when.ravel())
        made = [physics.solar(sites, light, flat), physics.clear_sky(sites, light), light.sun.elevation, light.part]
    else:
        made = [physics.wind(sites, flat), physics.hub_speed(sites, flat), physics.density(sites, flat)]
    grid = hours(history)
    (place,) = grid.grid.places(entity, at)
    output, clear = grid.around(place, as_of // MINUTE, ABOUT)
    each = [*weather.values(), *(one.reshape(shape) for one in made), output, clear, ~np.isnan(output)]
    each.append(np.broadcast_to(ABOUT, shape))
    names = (*STANDING, *INDEX) if kind == "solar" else STANDING
    standing = np.broadcast_to(study.features.of_names(names)[:, None, :], (*shape, len(names)))
    return np.concatenate([np.stack(each, axis=2).astype(float), standing], axis=2)
