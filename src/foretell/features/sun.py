"""Where the sun stands, and how much of it falls on a plane: plain formulas on arrays, many places at once.

Angles are degrees; azimuths count from north over east; instants are microseconds since 1970, UTC; radiation is W/m².
Every array may be a number, and they broadcast.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats

Micros = NDArray[np.int64]
DAY = 86_400_000_000
NOON_2000 = 946_728_000_000_000  # J2000, the epoch of the formulas
PARALLAX = 6371.01 / 149_597_890
SOLAR = 1366.1  # W/m² outside the air, at the mean distance
ALBEDO = 0.2
LOWEST = 0.065  # cosine of the zenith below which a beam is not reckoned from what falls on the level
TURNS = 60.0  # degrees to which a tracker turns from the level


class Sun(NamedTuple):
    """Its elevation and azimuth, degrees."""

    elevation: Floats
    azimuth: Floats


def position(moment: Micros, latitude: Floats, longitude: Floats) -> Sun:
    """Where the sun stands, within a minute of arc, without refraction (PSA: Blanco-Muriel et al. 2001)."""
    days = (moment - NOON_2000) / DAY
    hour = moment % DAY / 3_600_000_000
    omega = 2.1429 - 0.0010394594 * days
    mean = 4.8950630 + 0.017202791698 * days
    anomaly = 6.2400600 + 0.0172019699 * days
    along = mean + 0.03341607 * np.sin(anomaly) + 0.00034894 * np.sin(2 * anomaly)
    along = along - 0.0001134 - 0.0000203 * np.sin(omega)
    tilt = 0.4090928 - 6.2140e-9 * days + 0.0000396 * np.cos(omega)
    ascension = np.arctan2(np.cos(tilt) * np.sin(along), np.cos(along))
    declination = np.arcsin(np.sin(tilt) * np.sin(along))
    sidereal = np.radians((6.6974243242 + 0.0657098283 * days + hour) * 15 + longitude)
    angle, north = sidereal - ascension, np.radians(latitude)
    high = np.cos(north) * np.cos(angle) * np.cos(declination) + np.sin(declination) * np.sin(north)
    zenith = np.arccos(np.clip(high, -1, 1))
    zenith = zenith + PARALLAX * np.sin(zenith)
    azimuth = np.arctan2(-np.sin(angle), np.tan(declination) * np.cos(north) - np.sin(north) * np.cos(angle))
    return Sun(90 - np.degrees(zenith), np.degrees(azimuth) % 360)


def in_hour(start: Micros, latitude: Floats, longitude: Floats) -> tuple[Sun, Floats]:
    """Where the sun stands in the middle of the part of an hour in which it is up, and how large that part is (0 to 1).

    Where it is not up at all, its place in the middle of the hour.
    """
    tenths = (np.arange(6) * 2 + 1) * 300_000_000  # the middles of ten minutes each
    every = position(start[:, None] + tenths, np.atleast_1d(latitude)[:, None], np.atleast_1d(longitude)[:, None])
    up = every.elevation > 0
    part = up.mean(axis=1)
    middle = np.where(part > 0, (up * tenths).sum(axis=1) / np.maximum(up.sum(axis=1), 1), 1_800_000_000)
    return position(start + middle.astype(np.int64), latitude, longitude), part


def outside(moment: Micros) -> Floats:
    """The sun's beam outside the air (Spencer 1971)."""
    turn = 2 * np.pi * ((moment // DAY) % 365.25) / 365.25
    near = 1.00011 + 0.034221 * np.cos(turn) + 0.00128 * np.sin(turn)
    found: Floats = SOLAR * (near + 0.000719 * np.cos(2 * turn) + 0.000077 * np.sin(2 * turn))
    return found


def clear(elevation: Floats) -> Floats:
    """What falls on the level under a clear sky (Haurwitz 1945)."""
    high = np.maximum(np.sin(np.radians(elevation)), 0.0)
    found: Floats = np.where(high > 0, 1098 * high * np.exp(-0.059 / np.maximum(high, 1e-3)), 0.0)
    return found


def cloudy(clear_sky: Floats, cover: Floats) -> Floats:
    """What falls on the level under clouds that cover so many per cent of the sky (Kasten & Czeplak 1980)."""
    found: Floats = clear_sky * (1 - 0.75 * (cover / 100) ** 3.4)
    return found


def split(level: Floats, elevation: Floats, beyond: Floats) -> tuple[Floats, Floats]:
    """What falls on the level as the direct beam (on a plane that faces it) and as light of the sky (Erbs et al. 1982).

    `beyond` is the beam outside the air.
    """
    high = np.maximum(np.sin(np.radians(elevation)), LOWEST)
    index = np.clip(level / (beyond * high), 0, 1)
    middling = 0.9511 - 0.1604 * index + 4.388 * index**2 - 16.638 * index**3 + 12.336 * index**4
    share = np.where(index <= 0.22, 1 - 0.09 * index, np.where(index <= 0.8, middling, 0.165))
    sky = level * share
    beam = np.where(elevation > 0, np.minimum((level - sky) / high, beyond), 0.0)
    return beam, sky


def facing(sun: Sun, tilt: Floats, azimuth: Floats) -> Floats:
    """The cosine of the angle between the sun and what a plane looks at; below 0 behind it."""
    zenith, lean = np.radians(90 - sun.elevation), np.radians(tilt)
    across = np.cos(np.radians(sun.azimuth - azimuth))
    found: Floats = np.cos(zenith) * np.cos(lean) + np.sin(zenith) * np.sin(lean) * across
    return found


def tracked(sun: Sun) -> tuple[Floats, Floats]:
    """Tilt and azimuth of a plane that turns about a level axis from north to south to follow the sun."""
    zenith = np.radians(90 - sun.elevation)
    east = np.sin(zenith) * np.sin(np.radians(sun.azimuth))
    turn = np.clip(np.degrees(np.arctan2(east, np.maximum(np.cos(zenith), 1e-6))), -TURNS, TURNS)
    return np.abs(turn), np.where(turn > 0, 90.0, 270.0)


def on_plane(
    sun: Sun, level: Floats, light: tuple[Floats, Floats], beyond: Floats, at: tuple[Floats, Floats]
) -> Floats:
    """What falls on a plane of a tilt and azimuth (`at`): beam, sky by Hay & Davies 1980, and the ground.

    `level` is what falls on the level, `light` the beam and the sky's as `split` gives them.
    """
    beam, sky = light
    tilt, azimuth = at
    angle = np.maximum(facing(sun, tilt, azimuth), 0.0)
    high = np.maximum(np.sin(np.radians(sun.elevation)), 0.01745)
    straight = beam / beyond
    lean = np.cos(np.radians(tilt))
    round_the_sun = straight * np.minimum(angle / high, 10.0)
    found: Floats = (
        beam * angle + sky * (round_the_sun + (1 - straight) * (1 + lean) / 2) + level * ALBEDO * (1 - lean) / 2
    )
    return found
