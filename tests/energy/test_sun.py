"""The sun's formulas beside pvlib's, which are the oracle."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest

from foretell.contract import INSTANT
from foretell.features import sun
from foretell.features.grid import micros

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pvlib

START = datetime(2025, 1, 1, tzinfo=UTC)
TIMES = [START + timedelta(minutes=97 * k) for k in range(5000)]
PLACES = [(40.4, -3.7), (-32.95, 151.7), (65.0, 25.5), (0.0, 0.0)]


def moments() -> sun.Micros:
    return micros(pl.Series(TIMES, dtype=INSTANT))


@pytest.mark.parametrize(("latitude", "longitude"), PLACES)
def test_the_sun_stands_where_pvlib_says_within_a_few_minutes_of_arc(latitude: float, longitude: float) -> None:
    theirs = pvlib.solarposition.get_solarposition(pd.DatetimeIndex(TIMES), latitude, longitude, method="nrel_numpy")
    ours = sun.position(moments(), np.array(latitude), np.array(longitude))
    assert np.abs(ours.elevation - theirs["elevation"].to_numpy()).max() < 0.05
    high = (theirs["elevation"].to_numpy() > 0) & (theirs["elevation"].to_numpy() < 80)
    turn = (ours.azimuth - theirs["azimuth"].to_numpy() + 180) % 360 - 180
    assert np.abs(turn[high]).max() < 0.2


def test_radiation_is_what_pvlib_makes_of_it() -> None:
    elevation = np.linspace(5, 85, 60)
    zenith = 90 - elevation
    assert np.allclose(sun.clear(elevation), pvlib.clearsky.haurwitz(pd.Series(zenith))["ghi"])
    level, beyond = 0.6 * sun.clear(elevation), np.full(60, float(pvlib.irradiance.get_extra_radiation(172)))
    beam, sky = sun.split(level, elevation, beyond)
    theirs = pvlib.irradiance.erbs(level, zenith, 172, max_zenith=90)
    assert np.abs(sky - theirs["dhi"]).max() < 0.5
    assert np.allclose(beam * np.sin(np.radians(elevation)) + sky, level)


@pytest.mark.parametrize(("tilt", "azimuth"), [(0.0, 180.0), (30.0, 180.0), (35.0, 90.0), (90.0, 300.0)])
def test_what_falls_on_a_plane_is_hay_and_davies(tilt: float, azimuth: float) -> None:
    elevation, where = np.linspace(5, 70, 40), np.linspace(60, 300, 40)
    level = 0.7 * sun.clear(elevation)
    beyond = np.full(40, 1400.0)
    light = sun.split(level, elevation, beyond)
    plane = np.full(40, tilt), np.full(40, azimuth)
    ours = sun.on_plane(sun.Sun(elevation, where), level, light, beyond, plane)
    theirs = pvlib.irradiance.get_total_irradiance(
        tilt, azimuth, 90 - elevation, where, light[0], level, light[1], dni_extra=beyond, albedo=0.2, model="haydavies"
    )["poa_global"]
    assert np.allclose(ours, theirs, rtol=0.02, atol=1.0)


def test_a_tracker_turns_as_pvlib_turns_it() -> None:
    theirs = pvlib.tracking.singleaxis(
        pd.Series(np.linspace(85, 15, 30)), pd.Series(np.linspace(80, 170, 30)), axis_tilt=0, axis_azimuth=180,
        max_angle=60, backtrack=False,
    )  # fmt: skip
    tilt, azimuth = sun.tracked(sun.Sun(np.linspace(5, 75, 30), np.linspace(80, 170, 30)))
    assert np.allclose(tilt, theirs["surface_tilt"], atol=1e-6)
    assert np.allclose(azimuth, theirs["surface_azimuth"], atol=1e-6)


def test_the_hour_of_sunrise_counts_only_its_light_part() -> None:
    start = micros(pl.Series([START + timedelta(hours=k) for k in range(24)], dtype=INSTANT))
    where, part = sun.in_hour(start, np.full(24, 40.0), np.full(24, 0.0))
    assert part.min() == 0
    assert part.max() == 1
    assert ((part > 0) & (part < 1)).sum() == 2
    assert (where.elevation[part > 0] > 0).all()


def test_clouds_take_what_kasten_and_czeplak_say() -> None:
    assert np.allclose(sun.cloudy(np.array([800.0, 800.0]), np.array([0.0, 100.0])), [800, 200])
