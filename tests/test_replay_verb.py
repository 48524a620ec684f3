"""The verb `replay` on a tenant's own facts: in Python and on the command line."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from click.testing import CliRunner

from foretell.app import App
from foretell.cli import cli
from foretell.domains.traffic.sample import END, ZONE, sample
from foretell.errors import ForetellError, InvalidRequest, NotFound, NotReady

TASK, NAIVE = "traffic.load", "weekly_naive"
START = END - timedelta(days=14)


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with App.open(f"replay-{uuid4().hex[:8]}", zone=ZONE) as made:
        hours = sample(1).history["metrics"].filter(pl.col("service") == "donations").drop("entity")
        made.import_("traffic.metrics", hours)
        yield made


def say(app: App, *arguments: str) -> str:
    done = CliRunner().invoke(cli, ["replay", TASK, "--tenant", app.tenant, "--as-of", "latest", *arguments])
    if isinstance(done.exception, ForetellError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_without_a_model_in_service_it_says_what_to_type_unless_a_method_is_named(app: App) -> None:
    with pytest.raises(NotReady, match=r"foretell train traffic\.load"):
        app.replay(TASK, as_of="latest")
    told = app.replay(TASK, as_of="latest", method=NAIVE, start=START)
    assert (told.start, told.end, told.candidate) == (START, END, NAIVE)
    assert {policy.family for policy in told.policies} >= {"forecast", "weekly_naive", "reactive", "fixed"}


def test_the_tenants_settings_are_those_of_the_simulated_world(app: App) -> None:
    service = {"capacity_per_pod": 25, "cost_per_replica_hour": 0.5, "min_replicas": 2, "max_replicas": 9}
    app.settings.change("traffic", {"services": {"donations": service}})
    told = app.replay(TASK, {"service": "donations"}, as_of="latest", method=NAIVE, start=START)
    assert told.assumed["capacity_per_pod"] == 25
    assert told.assumed["cost_per_replica_hour"] == 0.5
    hours = (told.end - told.middle) / timedelta(hours=1)
    for policy in told.policies:
        later = policy.figures["later"]
        assert 2 * hours - 1e-6 <= later["replica_hours"] <= 9 * hours + 1e-6
        assert later["cost"] == pytest.approx(0.5 * later["replica_hours"])
    app.settings.change("traffic", {"services": None})


def test_what_can_not_be_replayed_is_refused(app: App) -> None:
    with pytest.raises(InvalidRequest, match="colour"):
        app.replay(TASK, {"colour": "red"}, as_of="latest", method=NAIVE)
    with pytest.raises(NotFound, match="there are donations/requests_per_minute"):
        app.replay(TASK, {"service": "nobody"}, as_of="latest", method=NAIVE)
    with pytest.raises(InvalidRequest, match="can be asked about from"):
        app.replay(TASK, as_of="latest", method=NAIVE, start=END + timedelta(days=1))
    with pytest.raises(InvalidRequest, match="--from takes a moment"):
        say(app, "--from", "latest", "--method", NAIVE)


def test_the_command_shows_the_policies_near_the_chosen_one_and_draws(app: App, tmp_path: Path) -> None:
    picture = tmp_path / "replay.svg"
    asked = ["--method", NAIVE, "--from", START.isoformat(), "--plot", str(picture)]
    lines = say(app, *asked).splitlines()
    told: dict[str, Any] = json.loads(say(app, *asked, "--json"))
    (chosen,) = (line for line in lines if line.startswith("→"))
    assert told["chosen"] in chosen
    assert lines[-1] == told["line"]
    assert any(line.strip().startswith("reactive") for line in lines)
    texts = ["".join(node.itertext()) for node in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert any(told["chosen"] in text for text in texts)
