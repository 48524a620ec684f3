"""Plants by physics alone: golden numbers, limits, and what is done where the weather is not told."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from tests.energy import PANELS, TURBINE, history

from foretell.contract import Floats
from foretell.domains.energy import physics
from foretell.domains.energy.outlook import changed
from foretell.domains.energy.physics import Light, Sites
from foretell.domains.energy.readings import plants
from foretell.domains.energy.schema import WhatIf
from foretell.domains.energy.tables import WEATHER

NOON = int(datetime(2026, 6, 20, 11, 30, tzinfo=UTC).timestamp() * 1_000_000)


def site(**told: object) -> Sites:
    base = TURBINE if told.pop("wind", False) else PANELS
    return plants(history({"it": {**base, **told}})).sites


def weather(**told: float) -> dict[str, Floats]:
    return {name: np.array([told.get(name, np.nan)]) for name in WEATHER}


def solar(sites: Sites, at: int = NOON, **told: float) -> float:
    return float(physics.solar(sites, Light(sites, np.array([at])), weather(**told))[0])


def test_panels_under_a_bright_noon_put_out_what_a_hand_calculation_says() -> None:
    """900 W/m² on the level at 73° of sun, 25 °C, no wind: about 890 on the panels, 61 °C, less 14 % of losses."""
    share = solar(site(), ghi=900.0, temperature=25.0, wind_speed_10m=0.0)
    assert share == pytest.approx(0.66, abs=0.03)


def test_panels_obey_the_night_the_inverter_and_the_clouds() -> None:
    midnight = NOON - 12 * 3_600_000_000
    assert solar(site(), midnight, ghi=0.0) == 0
    assert solar(site(inverter_limit_kw=40.0), ghi=900.0) == pytest.approx(0.4)
    assert solar(site(), cloud_cover=100.0) < 0.5 * solar(site(), cloud_cover=0.0)
    assert np.isnan(solar(site()))


def test_a_tracker_gets_more_in_the_morning_than_panels_that_stand() -> None:
    morning = NOON - 5 * 3_600_000_000
    assert solar(site(tracking="single_axis"), morning, ghi=400.0) > 1.2 * solar(site(), morning, ghi=400.0)


def test_what_is_left_out_of_a_plant_is_usual() -> None:
    north, south = site(tilt=None, azimuth=None), site(tilt=None, azimuth=None, latitude=-40.0)
    assert (north.azimuth[0], south.azimuth[0]) == (180, 0)
    assert 25 < north.tilt[0] < 40


def test_the_power_curve_starts_rises_and_stops() -> None:
    speed = np.array([2.0, 4.0, 6.0, 8.0, 10.0, 14.0, 40.0])
    share = physics.curve(speed, np.full(7, 388.0))
    assert share[0] < 0.01
    assert (np.diff(share[:6]) > 0).all()
    assert share[5] == pytest.approx(1 - physics.WAKES, abs=0.01)
    assert share[6] == 0
    # Senvion MM82 at 8 m/s: 750 of 2050 kW by its data sheet
    assert share[3] / (1 - physics.WAKES) == pytest.approx(750 / 2050, abs=0.08)


def test_thin_air_carries_less() -> None:
    low = physics.wind(site(wind=True), weather(wind_speed_100m=8.0, temperature=5.0, pressure=1015.0))
    high = physics.wind(site(wind=True), weather(wind_speed_100m=8.0, temperature=25.0, pressure=850.0))
    assert high[0] < 0.9 * low[0]


def test_the_wind_at_the_hub_comes_from_whichever_height_is_told() -> None:
    told = {"wind_speed_10m": 5.0, "wind_speed_100m": 8.0}
    assert physics.hub_speed(site(wind=True), weather(**told))[0] == pytest.approx(8.0)
    low = physics.hub_speed(site(wind=True), weather(wind_speed_10m=5.0))[0]
    assert low == pytest.approx(5 * 10 ** (1 / 7))
    assert physics.hub_speed(site(wind=True, hub_height_m=50.0), weather(**told))[0] < 8.0


@pytest.mark.parametrize(
    ("what_if", "factor"), [(WhatIf(capacity_kw=200.0), 2.0), (WhatIf(tilt=30.0), 1.0), (WhatIf(azimuth=0.0), None)]
)
def test_a_plant_as_it_might_be_is_another_site(what_if: WhatIf, factor: float | None) -> None:
    sites = site()
    one = changed(sites, what_if)
    before, after = (solar(each, ghi=600.0) * float(each.capacity[0]) for each in (sites, one))
    assert after < 0.9 * before if factor is None else after == pytest.approx(factor * before)


def test_inverters_keep_their_limit_when_panels_are_added() -> None:
    one = changed(site(inverter_limit_kw=50.0), WhatIf(capacity_kw=200.0))
    assert one.limit[0] * one.capacity[0] == pytest.approx(50.0)


def test_plants_are_read_in_one_order_with_the_newest_word() -> None:
    found = plants(history({"b": PANELS, "a": TURBINE}))
    assert found.names == ("a", "b")
    assert found.places(pl.Series(["b", "x", "a"])).tolist() == [1, -1, 0]
