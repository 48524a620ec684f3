"""The commands that fetch facts and say how that goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
from click.testing import CliRunner, Result
from tests.plugged import plugged
from tests.providers import Providers, providers
from tests.toys.skies import DOMAIN

from foretell.app import App
from foretell.cli import cli
from foretell.errors import InvalidRequest, NotFound


@pytest.fixture
def server() -> Iterator[Providers]:
    with providers(datetime.now(UTC)) as running:
        yield running


@pytest.fixture
def tenant(home: Path, tmp_path: Path, server: Providers, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tenant with a solar plant, where the toy is installed and its sources are at the local server."""
    plugged(tmp_path, skies="tests.toys.skies:DOMAIN")
    monkeypatch.syspath_prepend(str(tmp_path))
    for source in DOMAIN.sources:
        monkeypatch.setenv(f"FORETELL_URLS__{source.name.upper()}", server.url)
    name = f"t{uuid4().hex[:12]}"
    plant = {"plant": "p", "since": "2024-01-01T00:00Z", "kind": "solar", "latitude": 52.5, "longitude": 13.4}
    with App.open(name, zone="Europe/Berlin") as app:
        app.import_("skies.plants", pl.DataFrame([plant]))
        with app.house.stores.database.nobody() as connection:
            connection.execute("UPDATE providers SET failures = 0, rests_until = NULL")
    return name


def say(*words: str) -> Result:
    done = CliRunner().invoke(cli, [*words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_what_came_is_told_in_lines_and_as_json(tenant: str) -> None:
    done = say("collect", "skies", "--tenant", tenant)
    assert done.exit_code == 0
    assert "skies.open_meteo: 1 of 1 places" in done.output
    assert "192 new, 0 revised, 0 unchanged (1 requests, 0 of them again" in done.output
    assert "skies.nasa_power: 1 of 1 places" in done.output
    since = (datetime.now(UTC) - timedelta(days=400)).strftime("%Y-%m-%d")
    told = json.loads(
        say("collect", "skies.nasa_power", "--tenant", tenant, "--since", since, "--json").stdout
    )  # fmt: skip
    assert told[0]["tried"][0]["requests"] == 2
    assert 385 * 24 < told[0]["tried"][0]["accepted"] <= 387 * 24  # the last seven days were there


def test_it_ends_with_one_where_nothing_came_and_tells_the_age_of_what_is_there(tenant: str, server: Providers) -> None:
    say("collect", "skies", "--tenant", tenant)
    server.always = {"/": "400"}
    done = say("collect", "skies.open_meteo", "--tenant", tenant)
    assert done.exit_code == 1
    assert "0 of 1 places" in done.output
    assert "1 x HTTP 400" in done.output
    assert "type: export FORETELL_KEYS__OPENWEATHER=…" in done.output
    assert "nothing came for 1 places; the newest of skies.forecasts became known at" in done.output


def test_sources_are_shown_with_how_each_went(tenant: str) -> None:
    assert "never asked, has no key; 0 of 1000 requests today" in say("sources", "skies", "--tenant", tenant).output
    say("collect", "skies", "--tenant", tenant)
    lines = say("sources", "skies", "--tenant", tenant).output.splitlines()
    assert len(lines) == 5
    assert "the weather forecast of Open-Meteo: 100.0 % answered, last " in lines[0]
    told = json.loads(say("sources", "skies", "--tenant", tenant, "--json").stdout)
    assert {one["source"]: one["success"] for one in told} == {
        "skies.open_meteo": 1.0, "skies.openweather": None, "skies.open_meteo_runs": None, "skies.nasa_power": 1.0,
        "skies.open_meteo_archive": None,
    }  # fmt: skip


def test_who_names_no_source_is_refused(tenant: str) -> None:
    with pytest.raises(NotFound, match=r"skies.nasa_power"):
        say("collect", "skies.nasa", "--tenant", tenant)
    with pytest.raises(InvalidRequest, match="a span is for one source"):
        say("collect", "skies", "--tenant", tenant, "--since", "2026-01-01")


def test_without_plants_there_is_nothing_to_ask_about(tenant: str) -> None:
    name = f"t{uuid4().hex[:12]}"
    App.open(name, zone="UTC").house.close()
    assert "there is nothing yet to ask the sources of skies about" in say("collect", "skies", "--tenant", name).output
