"""How well the packaged plants' output is said, day ahead, the weather known, by the definitions of docs/energy.md."""

from __future__ import annotations

from datetime import datetime
from importlib.resources import as_file, files
from typing import cast

import numpy as np
import polars as pl
import pytest
from tests.energy import history, read

from foretell.cli.demo_plants import BEFORE, PLANTS
from foretell.contract import Floats, Frame, History, Task
from foretell.domains.energy import SOLAR, WIND
from foretell.domains.energy.features import framed
from foretell.domains.energy.tables import WEATHER
from foretell.engine.train import lesson
from foretell.metrics import mape, r2

TENTH = 0.1  # of capacity


def plant(name: str) -> History:
    """A packaged plant with the weather as it was, as if it had been forecast a week before."""
    with as_file(files("foretell") / "samples" / f"{name}.csv.gz") as path:
        rows = pl.read_csv(path).with_columns(time=pl.col("time").str.to_datetime(time_zone="UTC"))
    told = [weather for weather in WEATHER if weather in rows.columns]
    issued = pl.col("time") - BEFORE
    weather = rows.select("time", *told, plant=pl.lit(name), issued_at=issued, known_at=issued)
    output = read(name, rows["time"].to_list(), rows["output_kw"].cast(pl.Float64).fill_null(np.nan).to_numpy())
    return history(
        {name: {**PLANTS[name], "since": output[0]["time"]}}, output, weather.to_dicts(), now=output[-1]["known_at"]
    )


def day_ahead(task: Task, name: str) -> Frame:
    """The hours of the last fifth, each asked at midnight of its day: `day`, and shares of capacity.

    `value` is what came, `said` what the ensemble says that has learned from the first four fifths.
    """
    world = plant(name)
    first, last = cast("datetime", world["readings"]["time"].min()), world.now
    mark = (first + (last - first) * 0.8).replace(hour=0, minute=0)
    taught = lesson(task, world.cut(mark))
    learned = task.candidates["ensemble"]().fit(taught.study, taught.outcomes)
    hours = np.arange(int(mark.timestamp()) // 3600, int(last.timestamp()) // 3600 // 24 * 24)
    asked = framed([name] * len(hours), hours // 24 * 24 * 3_600_000_000, hours * 3_600_000_000)
    asked = asked.with_columns(value=task.outcomes(world, asked)["value"]).drop_nulls("value")
    study = task.study(world, asked.drop("value"))
    said = learned.forecast(study).rows["point"].to_numpy() / study.features["capacity"]
    return asked.select(day=pl.col("at").dt.date(), value=pl.col("value") / study.features["capacity"][0], said=said)


def both(rows: Frame) -> tuple[Floats, Floats]:
    return rows["value"].to_numpy(), rows["said"].to_numpy()


@pytest.mark.row("E7")
def test_of_the_packaged_panels_hours_are_said_within_20_per_cent() -> None:
    hours = day_ahead(SOLAR, "au_newcastle_pv")
    assert hours["day"].n_unique() > 70
    assert mape(*both(hours.filter(pl.col("value") > TENTH))) < 20  # type: ignore[operator]
    assert r2(*both(hours.filter(pl.col("value") > 0))) > 0.80  # type: ignore[operator]


@pytest.mark.row("E7")
def test_of_the_packaged_turbines_days_are_said_within_25_per_cent() -> None:
    hours = day_ahead(WIND, "la_haute_borne_wind")
    days = hours.group_by("day").agg(pl.len(), pl.col("value", "said").mean()).filter(pl.col("len") == 24)
    assert days.height > 60
    assert mape(*both(days.filter(pl.col("value") > TENTH))) < 25  # type: ignore[operator]
    assert r2(*both(days)) > 0.75  # type: ignore[operator]
    assert r2(*both(hours)) > 0.75  # type: ignore[operator]
