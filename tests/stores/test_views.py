"""Views for people and their tools: what holds now, each day's figures, forecasts by question; each tenant's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.deciding import LOAD, METRICS, neighbour, steady, tenancy

from foretell.app import App
from foretell.domains.energy.tables import READINGS
from foretell.errors import BrokenDomain
from foretell.stores import views
from foretell.stores.access import READER

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def app(home: object) -> Iterator[App]:
    with tenancy("Asia/Kolkata") as made:  # half past five ahead of UTC: its days begin at 18:30
        yield made


def asked(app: App, query: str) -> list[tuple[Any, ...]]:
    """What a query answers in a transaction of the tenant, as one who only reads."""
    with app.desk.transaction() as connection:
        connection.execute(f"SET LOCAL ROLE {READER}".encode())
        found: list[tuple[Any, ...]] = connection.execute(query.encode()).fetchall()
    return found


def plant(app: App) -> None:
    """A roof with two days of readings, of which one was corrected."""
    site = {"plant": "roof", "since": START - timedelta(days=9), "kind": "solar", "latitude": 20.0, "longitude": 77.0}
    app.import_("energy.plants", pl.DataFrame([site | {"capacity_kw": 100.0}]))
    hours = [START + timedelta(hours=k) for k in range(48)]
    rows = pl.DataFrame({"plant": "roof", "time": hours, "output_kw": [float(k) for k in range(48)]})
    app.import_("energy.readings", rows)
    app.import_("energy.readings", rows.head(1).with_columns(output_kw=pl.lit(50.0)))


@pytest.mark.row("E2")
def test_a_plant_s_readings_as_they_hold_now_and_by_the_days_of_its_clocks(app: App) -> None:
    plant(app)
    assert asked(app, "SELECT count(*), max(output_kw) FROM energy.readings_now") == [(48, 50.0)]
    assert asked(app, "SELECT count(*) FROM energy.readings") == [(49,)]
    found = asked(app, "SELECT plant, day, facts, output_kw_avg, output_kw_min, output_kw_max, output_kw_sum"
                       " FROM energy.readings_daily ORDER BY day")  # fmt: skip
    local = (
        app.facts("energy.readings")
        .with_columns(day=pl.col("time").dt.convert_time_zone("Asia/Kolkata").dt.date())
        .group_by("day").agg(
            pl.len(), pl.col("output_kw").mean().alias("avg"), pl.col("output_kw").min().alias("min"),
            pl.col("output_kw").max().alias("max"), pl.col("output_kw").sum().alias("sum"),
        ).sort("day")
    )  # fmt: skip
    assert found == [("roof", *row) for row in local.iter_rows()]
    assert [row[1] for row in found] == [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)]


@pytest.mark.row("E2")
def test_the_documented_query_of_a_plant_s_capacity_factor_answers(app: App) -> None:
    plant(app)
    query = (
        "SELECT plant, day, output_kw_avg / capacity_kw AS capacity_factor"
        " FROM energy.readings_daily JOIN energy.plants_now USING (tenant_id, plant) ORDER BY day"
    )
    assert query.replace(" FROM", "\nFROM").replace(" ORDER BY", "\nORDER BY") in documented()
    factors = [row[2] for row in asked(app, query)]
    assert len(factors) == 3
    assert factors[1] == pytest.approx(sum(range(19, 43)) / 24 / 100)


def documented() -> str:
    return (Path(__file__).parents[2] / "docs" / "stores.md").read_text()


def test_days_follow_the_clocks_that_the_tenant_moved_to(app: App) -> None:
    plant(app)
    app.settings.change("tenant", {"zone": "UTC"})
    assert asked(app, "SELECT zone FROM tenant_zones") == [("UTC",)]
    assert [row[0] for row in asked(app, "SELECT facts FROM energy.readings_daily ORDER BY day")] == [24, 24]
    app.settings.change("tenant", {"zone": None})
    assert asked(app, "SELECT zone FROM tenant_zones") == [("Asia/Kolkata",)]


@pytest.mark.row("E2")
def test_forecasts_are_a_row_a_question_and_meet_what_happened(app: App) -> None:
    app.settings.change("tenant", {"zone": "UTC"})  # whose hours are those of the facts
    app.import_(METRICS, steady(days=35))
    app.train(LOAD, budget=0.5)
    moment = datetime.now(UTC) - timedelta(days=1)
    said = app.predict(LOAD, {"service": "api"}, as_of=moment)
    rows = asked(
        app,
        "SELECT f.prediction_id, f.at, f.forecast, m.value FROM ml_forecasts f"
        " JOIN traffic.metrics_now m ON m.tenant_id = f.tenant_id AND m.entity = f.entity AND m.time = f.at"
        " ORDER BY f.at",
    )
    assert len(rows) == said.questions.height
    want = said.forecast.rows
    for (number, at, forecast, value), told, question in zip(
        rows, want.iter_rows(named=True), said.questions.iter_rows(named=True), strict=True
    ):
        assert (number, at, forecast, value) == (said.id, question["at"], told, 100.0)


@pytest.mark.row("E2")
def test_nobody_sees_another_s_rows_through_a_view(app: App) -> None:
    plant(app)
    app.import_(METRICS, steady(days=35))
    app.predict(LOAD, {"service": "api"}, as_of="latest")
    other = neighbour(app)
    with app.desk.transaction() as connection:
        there = [
            name
            for (name,) in connection.execute(
                "SELECT format('%I.%I', schemaname, viewname) FROM pg_views"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND schemaname NOT LIKE 'pg_%'"
            )
            if "procrastinate" not in name
        ]
    assert {"energy.readings_now", "energy.readings_daily", "public.ml_forecasts", "public.tenant_zones"} <= {*there}
    for name in there:
        assert asked(other, f"SELECT count(*) FROM {name}") == [(1 if name == "public.tenant_zones" else 0,)], name
    assert asked(app, "SELECT count(*) FROM energy.readings_daily") == [(3,)]


def test_only_numbers_have_figures_of_a_day() -> None:
    wrong = replace(READINGS, daily=("plant",))
    with pytest.raises(BrokenDomain, match="daily names 'plant'"):
        list(views.of("energy", wrong))
