"""Public plants as tenants would have them: their readings, and the weather in the data as issued forecasts.

The weather of an hour is given as a forecast issued `BEFORE` it, so that every question within a week sees it: what is
measured is what plants put out under weather that is known. That of GEFCom is a real day-ahead forecast, that of the
others is not (a reanalysis, and weather as recorded), so theirs are the errors left when the forecast is perfect.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from bench.data import MissingError

from foretell.contract import DTYPES, INSTANT, Frame, History, Standpoint, Table
from foretell.domains.energy.schema import Settings
from foretell.domains.energy.tables import FORECASTS, OBSERVED, PLANTS, READINGS
from foretell.settings import ForetellSettings

BEFORE = timedelta(days=7, hours=12)
HOUR = timedelta(hours=1)
MM82 = {"kind": "wind", "latitude": 48.4525, "longitude": 5.5874, "altitude": 411.0, "capacity_kw": 8200.0,
        "hub_height_m": 80.0, "rotor_m": 82.0, "count": 4, "turbine_type": "Senvion MM82"}  # fmt: skip
NEWCASTLE = {"kind": "solar", "latitude": -32.95, "longitude": 151.72, "capacity_kw": 82.41}
CANBERRA = {  # as the competition's paper has them (Hong et al. 2016); the place is not told
    "1": {"altitude": 595.0, "tilt": 36.0, "azimuth": 38.0, "capacity_kw": 1.56},
    "2": {"altitude": 602.0, "tilt": 35.0, "azimuth": 327.0, "capacity_kw": 4.94},
    "3": {"altitude": 951.0, "tilt": 21.0, "azimuth": 31.0, "capacity_kw": 4.0},
}
FULL = 1000.0
SOMEWHERE = {"kind": "wind", "latitude": -35.3, "longitude": 149.1, "capacity_kw": FULL}


def file(name: str) -> Path:
    """A file of the public data on energy; raises MissingError where it is not there."""
    whole = ForetellSettings().bench_data
    found = None if whole is None else whole / "energy" / name
    if found is None or not found.is_file():
        raise MissingError(f"there is no file energy/{name}; type: FORETELL_BENCH_DATA=<folder> make bench")
    return found


def tenant(plants: dict[str, dict[str, Any]], readings: Frame, weather: Frame) -> History:
    """A tenant with these plants, `readings` (plant, time, output_kw), and `weather` by plant and time."""
    first, last = readings["time"].min(), readings["time"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    sites = pl.DataFrame([{"plant": name, "since": first - timedelta(days=1), **of} for name, of in plants.items()])
    issued = weather.with_columns(issued_at=pl.col("time") - BEFORE, provider=pl.lit("the data"))
    made = {
        PLANTS: sites.with_columns(known_at="since"),
        READINGS: readings.drop_nulls("output_kw").with_columns(known_at=pl.col("time") + HOUR),
        FORECASTS: issued.with_columns(known_at="issued_at"),
        OBSERVED: issued.clear().with_columns(known_at="time"),
    }
    now = last.astimezone(UTC) + HOUR
    there = Standpoint(tenant="bench", now=now, zone="UTC", settings=Settings())
    return History(there, {table.name: _facts(table, rows) for table, rows in made.items()})


def _facts(table: Table, rows: Frame) -> Frame:
    blank = {
        name: pl.lit("" if kind == "text" else None, dtype=DTYPES[kind])
        for name, kind in table.kinds.items()
        if name not in rows.columns and name != table.known_at
    }
    usual = {"tracking": pl.lit("fixed"), "count": pl.lit(1, pl.Int64)} if table is PLANTS else {}
    blank |= {name: value for name, value in usual.items() if name not in rows.columns}
    rows = rows.with_columns(entity=pl.col("plant"), **blank)
    kept = [name for name in table.kinds if name != table.known_at]
    rows = rows.select(*kept, "entity", "known_at")
    return rows.with_columns(pl.selectors.datetime().dt.cast_time_unit("us").cast(INSTANT))


def _toward(east: str, north: str) -> pl.Expr:
    """Where a wind comes from, degrees."""
    return (pl.arctan2(-pl.col(east), -pl.col(north)).degrees() % 360).alias("way")


def haute_borne() -> History:
    """Four turbines in France, with ERA5."""
    sent = pl.read_csv(file("la_haute_borne_wind/plant_hourly_scada_era5.csv.gz"), try_parse_dates=True)
    sent = sent.with_columns(time=pl.col("timestamp_utc").dt.replace_time_zone("UTC"), plant=pl.lit("la_haute_borne"))
    moments = ("u_100", "v_100", "t_2m", "surf_pres", "ws_100m")  # of the hour: the mean of its start and its end
    hourly = sent.with_columns((pl.col(name) + pl.col(name).shift(-1).fill_null(pl.col(name))) / 2 for name in moments)
    weather = hourly.select(
        "plant", "time", temperature=pl.col("t_2m") - 273.15, pressure=pl.col("surf_pres") / 100,
        wind_speed_100m="ws_100m", wind_direction_100m=_toward("u_100", "v_100"),
    )  # fmt: skip
    whole = pl.col("n_valid_10min_of_24") >= 12
    readings = sent.filter(whole).select("plant", "time", output_kw="power_kw")
    return tenant({"la_haute_borne": MM82}, readings, weather)


def newcastle() -> History:
    """Panels in Newcastle, New South Wales; the clock is the local one, and the weather's stamp ends its hour."""
    sent = pl.read_csv(file("au_newcastle_pv/solar_hourly.csv.gz"), try_parse_dates=True, infer_schema_length=None)
    local = sent["timestamp_utc10"].cast(pl.Datetime("us"))
    twice = local.is_duplicated() & ~local.is_first_distinct()
    zone = "Australia/Sydney"
    early, late = (local.dt.replace_time_zone(zone, ambiguous=of, non_existent="null") for of in ("earliest", "latest"))
    sent = sent.with_columns(time=late.zip_with(twice, early).dt.convert_time_zone("UTC"), plant=pl.lit("newcastle"))
    sent = sent.filter(pl.col("time").is_not_null())
    weather = sent.select(
        "plant", "ghi", "dni", "dhi", "humidity", "pressure", time=pl.col("time") - HOUR,
        temperature=pl.col("temp_k") - 273.15, cloud_cover="clouds_all", precipitation="rain_1h",
        wind_speed_10m="wind_speed", wind_direction_10m=pl.col("wind_deg").cast(pl.Float64),
    )  # fmt: skip
    weather = weather.filter(pl.col("ghi").is_not_null()).unique(["plant", "time"], keep="first")
    return tenant({"newcastle": NEWCASTLE}, sent.select("plant", "time", output_kw="power_kw"), weather)


def gefcom_wind() -> History:
    """The competition's wind farms, with day-ahead forecasts at two heights; a stamp ends its hour."""
    sent = pl.read_csv(file("gefcom2014_wind/wind_hourly.csv.gz"), try_parse_dates=True)
    sent = sent.with_columns(
        time=pl.col("timestamp_utc").dt.replace_time_zone("UTC") - HOUR,
        plant=pl.format("zone {}", pl.col("site_id")),
        output_kw=pl.col("power_norm") * FULL,
    )
    weather = sent.select(
        "plant", "time",
        *(pl.Expr.sqrt(pl.col(f"u{m}_fc") ** 2 + pl.col(f"v{m}_fc") ** 2).alias(f"wind_speed_{m}m") for m in (10, 100)),
        *(_toward(f"u{m}_fc", f"v{m}_fc").alias(f"wind_direction_{m}m") for m in (10, 100)),
    )  # fmt: skip
    zones = sorted(sent["plant"].unique())
    return tenant(dict.fromkeys(zones, SOMEWHERE), sent.select("plant", "time", "output_kw"), weather)


def gefcom_solar() -> History:
    """The competition's panels, with forecasts for the first thirteen months; radiation is summed up from 00 UTC."""
    sent = pl.read_csv(file("gefcom2014_solar/solar_hourly.csv.gz"), try_parse_dates=True, infer_schema_length=None)
    sent = sent.with_columns(
        time=pl.col("timestamp_utc").dt.replace_time_zone("UTC") - HOUR, plant=pl.col("site_id").cast(pl.String)
    ).sort("plant", "time")

    def hourly(name: str) -> pl.Expr:
        """What was added in the hour that ends at the stamp; the first of a run (01 UTC) has only itself."""
        before = pl.when(pl.col("time").dt.hour() == 0).then(0.0).otherwise(pl.col(name).shift(1).over("plant"))
        return (pl.col(name) - before).clip(0)

    weather = sent.select(
        "plant", "time", ghi=hourly("VAR169") / 3600, temperature=pl.col("VAR167") - 273.15,
        humidity=pl.col("VAR157").clip(0, 100), cloud_cover=100 * pl.col("VAR164").clip(0, 1),
        pressure=pl.col("VAR134") / 100, precipitation=1000 * hourly("VAR228"),
        wind_speed_10m=(pl.col("VAR165") ** 2 + pl.col("VAR166") ** 2).sqrt(),
        wind_direction_10m=_toward("VAR165", "VAR166"),
    ).filter(pl.col("ghi").is_not_null() & pl.col("ghi").is_not_nan())  # fmt: skip
    readings = sent.join(
        pl.DataFrame({"plant": [*CANBERRA], "full": [one["capacity_kw"] for one in CANBERRA.values()]}), on="plant"
    ).select("plant", "time", output_kw=pl.col("power_norm") * pl.col("full"))
    there = {name: CANBERRA[name] for name in sorted(sent["plant"].unique())}
    sites = {name: {"kind": "solar", "latitude": -35.3, "longitude": 149.1, **one} for name, one in there.items()}
    return tenant(sites, readings, weather)


def cut(history: History, moment: datetime, *, weather: bool = False) -> History:
    """The history as known at a moment; with `weather` its forecasts go on, and it stands where they end."""
    then = history.cut(moment)
    if not weather:
        return then
    return History(history.standpoint, {**then.tables, FORECASTS.name: history[FORECASTS.name]})
