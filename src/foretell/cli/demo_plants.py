"""The demo's plants: four turbines in France and a roof of panels in Australia, hour by hour."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib.resources import as_file, files
from typing import Any

import polars as pl
from rich.console import Console

from foretell.app import App
from foretell.cli.skill import race
from foretell.domains.energy.schema import OutputAnswer

BEFORE = timedelta(days=7)  # the weather is what it was: it is given as if it had been forecast so long before
PLANTS: dict[str, dict[str, Any]] = {
    "la_haute_borne_wind": {
        "kind": "wind", "latitude": 48.4525, "longitude": 5.5874, "altitude": 411.0, "capacity_kw": 8200.0,
        "hub_height_m": 80.0, "rotor_m": 82.0, "count": 4, "turbine_type": "Senvion MM82",
    },
    "au_newcastle_pv": {"kind": "solar", "latitude": -32.95, "longitude": 151.72, "capacity_kw": 82.41},
}  # fmt: skip


def plants(console: Console) -> None:
    """Load, race, show skill against smart persistence, answer: the next day of each plant, and what it rests on."""
    for file, site in PLANTS.items():
        console.rule(f"[bold]{file.replace('_', ' ')}: {site['capacity_kw']:,.0f} kW, the weather known")
        with App.open(f"demo-{file.replace('_', '-')}", zone="UTC") as app:
            as_of = _load(app, file, site, console)
            race(console, app, f"energy.{site['kind']}", as_of)
            said = app.predict(f"energy.{site['kind']}", {"plant": file, "hours": 24}, as_of=as_of)
        answer = OutputAnswer.model_validate(said.answer)
        energy = answer.energy_kwh
        console.print(
            f"the next 24 hours: [bold]{energy.expected:,.0f} kWh[/] (80 of 100 such days: {energy.low:,.0f} to"
            f" {energy.high:,.0f}), by {said.method}",
            *(f"  {reason.words}: {reason.effect_kwh:+,.0f} kWh" for reason in answer.reasons),
            *(f"  learned: {words}" for words in answer.corrections),
            sep="\n",
        )


def _load(app: App, file: str, site: dict[str, Any], console: Console) -> datetime:
    """Import plant, readings and weather; the moment a day before they end."""
    with as_file(files("foretell") / "samples" / f"{file}.csv.gz") as path:
        hours = pl.read_csv(path).with_columns(
            time=pl.col("time").str.to_datetime(time_zone="UTC"), plant=pl.lit(file), provider=pl.lit("the data")
        )
    since = pl.DataFrame([{"plant": file, **site}]).with_columns(since=hours["time"].min() - BEFORE)  # type: ignore[operator]
    app.import_("energy.plants", since, source="the plant's data sheet")
    readings = hours.select("plant", "time", "output_kw").drop_nulls()
    done = app.import_("energy.readings", readings, source=f"{file}.csv.gz")
    weather = hours.drop("output_kw").with_columns(issued_at=pl.col("time") - BEFORE)
    app.import_("energy.forecasts", weather, source=f"{file}.csv.gz")
    console.print(f"tenant {app.tenant}: {done.accepted:,} readings accepted, {done.unchanged:,} there already")
    last: datetime = hours["time"].max()  # type: ignore[assignment]
    return last - timedelta(days=1)
