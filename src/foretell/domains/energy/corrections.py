"""What a plant's own readings teach physics about it: each correction is a number that can be told in words.

Solar: the tilt and azimuth that fit best (of what it is told to be, unless others are clearly better), how much of what
physics says comes out, where its output is cut off, and which hours are in shade. Wind: by how much the wind at the
hub is more or less than the weather's, and what comes out at each speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from foretell.contract import Block, Floats, Study
from foretell.domains.energy import physics
from foretell.domains.energy.physics import Light, Sites
from foretell.domains.energy.readings import plants
from foretell.domains.energy.tables import Kind
from foretell.features.grid import micros

FEWEST = 14 * 8  # hours of light (or of wind) that corrections are learned from: two weeks
TILTS = np.array([0.0, 10.0, 20.0, 30.0, 40.0, 55.0, 90.0])
TURNS = np.arange(0.0, 360.0, 30.0)
BETTER = 0.97  # a tilt and azimuth are taken for others that leave at most this share of the error
SHADES = 12  # parts of the sky, by the sun's azimuth, that may be in shade
SHRUNK = 20.0  # hours that count for no shade at all
SPEEDS = np.arange(0.7, 1.45, 0.05)  # by how much the wind at the hub may be more than the weather's
STEPS = np.arange(0.0, 31.0, 1.0)  # m/s, where the output by speed is learned; between them it is a line
CUT = 0.97  # of the highest output, about which a plant that is cut off spends its sunniest hours


@dataclass(frozen=True)
class Correction:
    """What was learned of one plant; `hours` tells of how many. Ones where nothing was."""

    kind: Kind
    hours: int = 0
    tilt: float | None = None
    azimuth: float | None = None
    yields: float = 1.0  # of what physics says
    limit: float = 1.0  # share of capacity
    shade: tuple[float, ...] = (1.0,) * SHADES
    speed: float = 1.0
    by_speed: tuple[float, ...] = ()

    def words(self) -> list[str]:
        """What differs from the plant as it was told of, each in a sentence."""
        told = []
        if self.tilt is not None:
            told.append(f"its output fits panels of {self.tilt:.0f}° tilt that face {self.azimuth:.0f}°")
        if abs(self.yields - 1) >= 0.02:
            told.append(f"it yields {100 * abs(self.yields - 1):.0f} % {_way(self.yields)} than physics says")
        if self.limit < 0.99 and self.kind == "solar":
            told.append(f"its output is cut off at {100 * self.limit:.0f} % of capacity")
        for k, one in enumerate(self.shade):
            if one < 0.85:
                low, high = 360 * k // SHADES, 360 * (k + 1) // SHADES
                told.append(f"with the sun between {low}° and {high}° it yields {100 * (1 - one):.0f} % less: shade")
        if abs(self.speed - 1) >= 0.05:
            told.append(f"the wind at its hub is {100 * abs(self.speed - 1):.0f} % {_way(self.speed)} than forecast")
        return told


def _way(factor: float) -> str:
    return "less" if factor < 1 else "more"


def learned(kind: Kind, study: Study, share: Floats, places: Any) -> Correction:
    """What the outcomes (as shares of capacity) of some questions of one plant teach; nothing of too few of them."""
    seen = np.isfinite(study.features["weather_age"][places])
    places, share = places[seen], share[seen]
    if len(places) < FEWEST:
        return Correction(kind=kind)
    found = plants(study.history)
    sites = found.sites.of(found.places(study.questions["entity"].gather(places)))
    features = study.features.rows(places)
    if kind == "wind":
        return _wind(sites, features, share)
    return _solar(sites, Light(sites, micros(study.questions["at"].gather(places))), features, share)


def applied(correction: Correction, sites: Sites, light: Light | None, features: Block) -> Floats:
    """The share of capacity that corrected physics says, one plant's questions; theirs where no weather is known."""
    if not correction.hours:
        return features["physical"]
    if light is None:
        said = np.interp(_hub(features) * correction.speed, STEPS, correction.by_speed)
    else:
        said = _on_panels(correction, sites, light, features) * correction.yields
        said = np.minimum(said * np.array(correction.shade)[_part(light)], correction.limit)
    return np.where(np.isnan(said), features["physical"], said)


def _on_panels(one: Correction, sites: Sites, light: Light, features: Block) -> Floats:
    """What physics says of the panels as they were found to stand."""
    if one.tilt is None or one.azimuth is None:
        return physics.panels(sites, features["on_panels"], features["temperature"], features["wind_speed_10m"])
    at = np.full(len(features), one.tilt), np.full(len(features), one.azimuth)
    on = light.on_panels(features["light"], None, at)
    return physics.panels(sites, on, features["temperature"], features["wind_speed_10m"])


def _part(light: Light) -> Any:
    """The part of the sky in which the sun stands."""
    return (light.sun.azimuth // (360 / SHADES)).astype(np.int64) % SHADES


def _solar(sites: Sites, light: Light, features: Block, share: Floats) -> Correction:
    def error(one: Correction) -> tuple[float, float]:
        said = _on_panels(one, sites, light, features)
        yields = float((said * share).sum() / max((said * said).sum(), 1e-9))
        return float(np.abs(said * yields - share).sum()), yields

    plain = Correction(kind="solar", hours=len(share))
    (left, yields), best = error(plain), plain
    if sites.fixed.all():
        tried = [replace(plain, tilt=float(t), azimuth=float(a)) for t in TILTS for a in (TURNS if t else TURNS[:1])]
        errors = [error(one) for one in tried]
        place = int(np.argmin([one for one, _ in errors]))
        if errors[place][0] < BETTER * left:
            best, yields = _nearer(tried[place], error), 1.0
            yields = error(best)[1]
    yields = float(np.clip(yields, 0.2, 1.5))
    said = _on_panels(best, sites, light, features) * yields
    top = float(np.quantile(share, 0.998))
    sunny = said > top
    limit = top if sunny.sum() >= 20 and float((share[sunny] > CUT * top).mean()) > 0.5 else 1.0
    part, said = _part(light), np.minimum(said, limit)
    usual = [(said[part == k].sum(), share[part == k].sum(), (part == k).sum()) for k in range(SHADES)]
    mean = float(said.mean())
    shade = [float(np.clip((y + SHRUNK * mean) / (s + SHRUNK * mean), 0.1, 1.3)) if n else 1.0 for s, y, n in usual]
    return replace(best, yields=yields, limit=limit, shade=tuple(shade))


def _nearer(one: Correction, error: Any) -> Correction:
    """The best tilt and azimuth a little about one."""
    assert one.tilt is not None
    assert one.azimuth is not None
    tried = [
        replace(one, tilt=float(np.clip(one.tilt + t, 0, 90)), azimuth=(one.azimuth + a) % 360)
        for t in (-6, 0, 6)
        for a in (-15, 0, 15)
    ]
    return min(tried, key=lambda each: error(each)[0])


def _hub(features: Block) -> Floats:
    """The wind at the hub as it would be at standard density."""
    found: Floats = features["hub_speed"] * (features["density"] / physics.DENSITY) ** (1 / 3)
    return found


def _wind(sites: Sites, features: Block, share: Floats) -> Correction:
    hub = _hub(features)
    errors = [float(np.abs(physics.curve(hub * speed, sites.specific) - share).sum()) for speed in SPEEDS]
    speed = round(float(SPEEDS[int(np.argmin(errors))]), 2)
    steps = STEPS[:, None]
    near = np.maximum(1 - np.abs(hub * speed - steps), 0.0)  # each hour counts for the two whole speeds about it
    told = physics.curve(STEPS, np.full(len(STEPS), float(sites.specific[0])))
    by_speed = ((near * share).sum(axis=1) + SHRUNK * told) / (near.sum(axis=1) + SHRUNK)
    said = np.interp(hub * speed, STEPS, told)
    yields = float(share.sum() / max(said.sum(), 1e-9))
    return Correction(kind="wind", hours=len(share), speed=speed, by_speed=tuple(by_speed.tolist()), yields=yields)


def to_dict(corrections: Mapping[str, Correction]) -> dict[str, Any]:
    """Corrections by plant, as plain JSON values."""
    return {name: asdict(one) for name, one in corrections.items()}


def read(stored: Mapping[str, dict[str, Any]]) -> dict[str, Correction]:
    """What `to_dict` gave."""
    return {
        name: Correction(**(one | {key: tuple(one[key]) for key in ("shade", "by_speed")}))
        for name, one in stored.items()
    }
