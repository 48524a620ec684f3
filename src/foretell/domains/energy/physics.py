"""What physics says that a plant puts out, as a share of its capacity: panels under the sun, rotors in the wind.

Plain arrays, one element a plant and hour; what is missing of the weather is NaN. Nothing is learned here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats, Frame
from foretell.features import sun
from foretell.features.sun import Micros

Columns = Mapping[str, Floats]

LOSSES = 0.14  # of panels: soiling, wiring, mismatch, inverter (PVWatts 5, Dobos 2014)
WARMTH = -0.004  # of a panel's power for each degree above 25 °C
FAIMAN = (25.0, 6.84)  # how a panel sheds heat, still and for each m/s of wind (Faiman 2008)
GLASS = 0.05  # reflected at slanting angles (ASHRAE)
CLEARNESS = 0.65  # of a clear sky's light that usually comes through, where nothing is known of the weather
WAKES = 0.08  # of a wind plant: its turbines' shadows, stops
DENSITY = 1.225  # kg/m³ that power curves are told for
GAS = 287.05  # J/(kg K), of dry air
POWER = 0.44  # of the wind's power that a rotor takes below its rated speed
CUT_IN, CUT_OUT = 3.0, 25.0  # m/s
GUSTS = 0.12  # spread of the wind within an hour and across a plant, as a share of its speed
USUAL_WIND = 0.25  # of capacity, where nothing is known of the weather
ROTOR = 330.0  # W/m² of a turbine whose rotor is not told
HUB = 100.0  # m


@dataclass(frozen=True)
class Sites:
    """Plants, one element each (or one a question, after `of`); `fixed` is 0 where the panels follow the sun."""

    latitude: Floats
    longitude: Floats
    altitude: Floats
    capacity: Floats  # kW
    limit: Floats  # of the inverters, as a share of capacity
    tilt: Floats
    azimuth: Floats
    fixed: Floats
    hub: Floats  # m
    specific: Floats  # W of capacity for each m² of rotor

    @classmethod
    def read(cls, rows: Frame) -> Self:
        """Of rows of the table of plants, in their order; what is left out as it usually is."""

        def number(name: str, usual: float | Floats) -> Floats:
            told = rows[name].cast(float).fill_null(float("nan")).to_numpy()
            return np.where(np.isnan(told), usual, told)

        latitude, capacity = number("latitude", 0.0), number("capacity_kw", np.nan)
        rotor = number("rotor_m", np.nan)
        specific = capacity * 1000 / number("count", 1) / (np.pi * (rotor / 2) ** 2)
        return cls(
            latitude=latitude,
            longitude=number("longitude", 0.0),
            altitude=number("altitude", 0.0),
            capacity=capacity,
            limit=np.minimum(number("inverter_limit_kw", capacity) / capacity, 1.0),
            tilt=number("tilt", np.minimum(0.76 * np.abs(latitude) + 3.1, 60.0)),  # what yields most in a year
            azimuth=number("azimuth", np.where(latitude >= 0, 180.0, 0.0)),
            fixed=(rows["tracking"] != "single_axis").cast(float).to_numpy(),
            hub=number("hub_height_m", HUB),
            specific=np.where(np.isnan(specific), ROTOR, specific),
        )

    def of(self, places: NDArray[np.int64]) -> Self:
        """Those at these places."""
        return replace(self, **{each.name: getattr(self, each.name)[places] for each in fields(self)})


class Light:
    """The sun over plants in the hours that start at `start` (microseconds since 1970)."""

    def __init__(self, sites: Sites, start: Micros) -> None:
        self.sites, self.start = sites, start
        self.sun, self.part = sun.in_hour(start, sites.latitude, sites.longitude)
        self.beyond = sun.outside(start)

    @cached_property
    def clear(self) -> Floats:
        """W/m² on the level under a clear sky, the mean of the hour."""
        return sun.clear(self.sun.elevation) * self.part

    def level(self, weather: Columns) -> Floats:
        """W/m² on the level by the weather: as told, else by the clouds; NaN where neither is known."""
        return np.where(np.isnan(weather["ghi"]), sun.cloudy(self.clear, weather["cloud_cover"]), weather["ghi"])

    def on_panels(
        self, level: Floats, weather: Columns | None = None, at: tuple[Floats, Floats] | None = None
    ) -> Floats:
        """W/m² on the panels, or on others of a tilt and azimuth (`at`), of what falls on the level.

        How much of it is the beam is as the weather tells; else as it usually is under so much light.
        """
        up = np.maximum(self.part, 1e-3)  # what falls in the hour falls while the sun is up
        beam, sky = sun.split(level / up, self.sun.elevation, self.beyond)
        if weather is not None:
            told = ~np.isnan(weather["dni"]) & ~np.isnan(weather["dhi"])
            beam = np.where(told, np.minimum(weather["dni"] / up, self.beyond), beam)
            sky = np.where(told, weather["dhi"] / up, sky)
        tilt, azimuth = sun.tracked(self.sun)
        fixed = self.sites.fixed > 0
        mine = at or (np.where(fixed, self.sites.tilt, tilt), np.where(fixed, self.sites.azimuth, azimuth))
        slant = np.clip(sun.facing(self.sun, *mine), 0.05, 1)
        beam = beam * np.clip(1 - GLASS * (1 / slant - 1), 0, 1)
        found: Floats = np.where(self.part > 0, sun.on_plane(self.sun, level / up, (beam, sky), self.beyond, mine), 0.0)
        return np.maximum(found, 0.0) * self.part


def panels(sites: Sites, light: Floats, temperature: Floats, wind: Floats) -> Floats:
    """The share of capacity that panels put out under so much light (W/m²) at a temperature (°C) and wind (m/s).

    PVWatts 5 with Faiman's temperature; 20 °C and 2 m/s where they are not known. The inverters' limit holds.
    """
    still, blown = FAIMAN
    heat = light / (still + blown * np.where(np.isnan(wind), 2.0, wind))
    warm = np.where(np.isnan(temperature), 20.0, temperature) + heat - 25
    found: Floats = np.clip(light / 1000 * (1 + WARMTH * warm) * (1 - LOSSES), 0, sites.limit)
    return found


def solar(sites: Sites, light: Light, weather: Columns) -> Floats:
    """The share of capacity that the weather gives; NaN without any."""
    on_panels = light.on_panels(light.level(weather), weather)
    return panels(sites, on_panels, weather["temperature"], weather["wind_speed_10m"])


def clear_sky(sites: Sites, light: Light) -> Floats:
    """The share of capacity under a clear sky on a mild day."""
    nothing = np.full(len(light.part), np.nan)
    return panels(sites, light.on_panels(light.clear), nothing, nothing)


# ---------------------------------------------------------------- wind


def hub_speed(sites: Sites, weather: Columns) -> Floats:
    """m/s at the hub: by the power law between (and beyond) the heights told; NaN without any."""
    low, high = weather["wind_speed_10m"], weather["wind_speed_100m"]
    with np.errstate(divide="ignore", invalid="ignore"):
        shear = np.clip(np.log(np.maximum(high, 0.1) / np.maximum(low, 0.1)) / np.log(10), 0.0, 0.6)
    shear = np.where(np.isnan(shear), 1 / 7, shear)
    found: Floats = np.where(
        np.isnan(high), low * (sites.hub / 10) ** shear, high * (sites.hub / 100) ** np.minimum(shear, 0.4)
    )
    return found


def density(sites: Sites, weather: Columns) -> Floats:
    """kg/m³ of the air at the hub; where temperature or pressure are not told, of the standard atmosphere there."""
    height = sites.altitude + sites.hub
    kelvin = 273.15 + np.where(np.isnan(weather["temperature"]), 15 - 0.0065 * height, weather["temperature"])
    usual = 1013.25 * (1 - 2.25577e-5 * height) ** 5.25588
    at_hub = weather["pressure"] - sites.hub / 8.3  # a hPa for each 8.3 m
    found: Floats = np.where(np.isnan(at_hub), usual, at_hub) * 100 / (GAS * kelvin)
    return found


def curve(speed: Floats, specific: Floats) -> Floats:
    """The share of capacity that turbines put out in an hour of a mean speed (m/s, at standard density).

    Below the rated speed the rotor takes `POWER` of the wind's power. The wind of an hour and a plant varies, so the
    curve is the mean over seven speeds about the mean.
    """
    steps = np.array([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5])
    weight = np.exp(-(steps**2) / 2)
    speeds = speed[..., None] * (1 + GUSTS * steps)
    power = np.minimum(0.5 * DENSITY * POWER * speeds**3 / specific[..., None], 1.0)
    power = np.where((speeds < CUT_IN) | (speeds > CUT_OUT), 0.0, power)
    found: Floats = (power * weight).sum(axis=-1) / weight.sum() * (1 - WAKES)
    return np.where(np.isnan(speed), np.nan, found)


def wind(sites: Sites, weather: Columns) -> Floats:
    """The share of capacity that the weather gives; NaN without any."""
    return curve(hub_speed(sites, weather) * (density(sites, weather) / DENSITY) ** (1 / 3), sites.specific)
