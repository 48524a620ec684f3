"""The paths of the energy document, over a real server and store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from tests.web.conftest import Running, tenancy

from foretell.app import App
from foretell.domains.energy.sample import sample

AS_OF = {"as_of": "latest"}
ROOF = {"location_lat": 40.41, "location_lng": -3.71}


@pytest.fixture(scope="module")
def plants(home: object) -> Iterator[App]:
    """A tenant with the sample's plants, and a trained model of the solar ones."""
    with tenancy() as app:
        for name, rows in sample(1).history.tables.items():
            done = app.import_(f"energy.{name}", rows.drop("entity", "known_at"))
            assert done.rejected == 0, name
        app.train("energy.solar", as_of="latest")
        yield app


@pytest.fixture
def client(server: Running, plants: App, token: Callable[..., str]) -> Iterator[httpx.Client]:
    with server.client(token(plants.tenant)) as made:
        yield made


@pytest.mark.row("E9", "E8")
def test_the_documented_path_names_the_nearest_plant(client: httpx.Client) -> None:
    answer = client.get("/api/v1/predict/solar", params={**ROOF, "hours": 24, **AS_OF})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert {"predictions", "confidence_intervals", "metadata", "foretell"} == set(told)
    assert len(told["predictions"]) == len(told["confidence_intervals"]) == 24
    for one, band in zip(told["predictions"], told["confidence_intervals"], strict=True):
        assert one["timestamp"] == band["timestamp"]
        assert band["lower"] <= one["value"] <= band["upper"]
    assert max(one["value"] for one in told["predictions"]) > 20
    assert told["metadata"]["historical_context"] is True
    assert told["metadata"]["plant"] == "roof"
    assert told["metadata"]["weather_providers"] == ["sample"]
    assert told["metadata"]["weather_age_hours"] > 0
    assert told["metadata"]["reasons"]
    again = client.get("/api/v1/predict/solar", params={**ROOF, "hours": 24, **AS_OF}).json()
    assert again["predictions"] == told["predictions"]


@pytest.mark.row("E9")
def test_elsewhere_it_answers_for_a_kw_without_history(client: httpx.Client) -> None:
    for kind in ("solar", "wind"):
        told = client.get(f"/api/v1/predict/{kind}", params={"location_lat": 48, "location_lng": 2, **AS_OF}).json()
        assert told["metadata"]["historical_context"] is False
        assert told["metadata"]["plant"] is None
        assert told["metadata"]["unit"] == "kW per installed kW"
        assert 0 < max(one["value"] for one in told["predictions"]) <= 1
        assert len(told["predictions"]) == 24


@pytest.mark.row("E9")
@pytest.mark.parametrize(
    "wrong", [{"hours": 0}, {"hours": 169}, {"location_lat": 91}, {"location_lng": "east"}, {"location_lat": None}]
)
def test_a_query_out_of_range_is_422(client: httpx.Client, wrong: dict[str, Any]) -> None:
    asked: dict[str, Any] = {**ROOF, **AS_OF} | wrong
    asked = {name: value for name, value in asked.items() if value is not None}
    answer = client.get("/api/v1/predict/solar", params=asked)
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.text


def test_the_paths_are_described_with_their_parameters(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"]["/api/v1/predict/wind"]["get"]
    assert {"location_lat", "location_lng", "hours"} <= {one["name"] for one in described["parameters"]}
    assert "requestBody" not in described


@pytest.mark.row("E15")
def test_a_plant_is_asked_about_with_a_what_if_on_our_own_path(client: httpx.Client) -> None:
    body = {"plant": "field", "hours": 24, "what_if": {"tilt": 10}}
    answer = client.post("/v1/energy/solar/predict", params=AS_OF, json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()["answer"]
    assert told["what_if"]["tilt"] == 10
    assert told["energy_kwh"]["expected"] > 0


def test_files_whose_columns_are_of_another_unit_or_unknown_say_so(
    server: Running, token: Callable[..., str], tmp_path: Path
) -> None:
    times = [f"2026-06-01T{hour:02}:00:00Z" for hour in range(24)]
    sky = [
        {"plant": "it", "time": at, "issued_at": times[0], "provider": "p", "ghi_wm2": 500.0, "temp": 20.5}
        for at in times
    ]
    note = "24 rows without any number: none was recognised as ghi, dni, dhi, "
    with tenancy() as app, server.client(token(app.tenant, "service")) as asking:
        told = asking.post("/v1/energy/facts/forecasts", json={"rows": sky}).json()
        assert told["accepted"] == 24
        (said,) = (one for one in told["notes"] if one.startswith(note))
        assert said.endswith("; not used: ghi_wm2, temp")
        path = tmp_path / "sky.csv"
        pl.DataFrame(sky).write_csv(path)
        done = app.import_file("energy.forecasts", path, app.plan("energy.forecasts", path))
        assert list(done.notes) == told["notes"]
        given = app.plan("energy.forecasts", path, {"ghi": "ghi_wm2"})
        assert app.import_file("energy.forecasts", path, given).notes == ()
        wrong = asking.post("/v1/energy/facts/readings", json={"rows": [{"plant": "it", "time": times[0], "kwh": 4.0}]})
        assert wrong.status_code == 422
        assert "kwh looks like kwh, and output_kw is in kw" in wrong.text
        assert "map=output_kw=kwh" in wrong.text
