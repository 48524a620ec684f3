"""Settings and recommendations on the command line, as words and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from tests.deciding import KEPT, METRICS, asked, listed, now, steady, tenancy, traffic, zone

from foretell.app import App
from foretell.cli import cli
from foretell.domains.traffic.sample import ZONE
from foretell.domains.traffic.schema import Service, Settings
from foretell.errors import InvalidRequest, NotFound, Refused


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    with tenancy() as made:
        made.import_(METRICS, steady())
        yield made


def run(*words: str) -> Result:
    done = CliRunner().invoke(cli, [*words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def say(app: App, *words: str) -> str:
    """What a command says about a tenant; raises what it refuses with."""
    done = run(*words, "--tenant", app.tenant)
    assert done.exit_code == 0, done.output
    return done.stdout


def told(app: App, *words: str) -> Any:
    """The same as JSON, on one line."""
    said = say(app, *words, "--json")
    assert said.count("\n") == 1
    return json.loads(said)


# ---------------------------------------------------------------- settings


def test_settings_are_shown_set_and_told_of(app: App) -> None:
    assert told(app, "settings", "show", "traffic") == Settings().model_dump(mode="json")
    assert told(app, "settings", "show") == told(app, "settings", "show", "tenant") == {"zone": ZONE, **KEPT}
    assert say(app, "settings", "history", "traffic") == (
        "nothing was told of the settings of traffic: they are the defaults\n"
    )
    assert told(app, "settings", "history", "traffic") == []
    made = told(app, "settings", "set", "traffic", "safety_factor=2", "country=TR")
    assert made == Settings(safety_factor=2, country="TR").model_dump(mode="json")
    assert traffic(app) == Settings(safety_factor=2, country="TR")
    say(app, "settings", "set", "traffic", "country=null", 'services={"api": {"capacity_per_pod": 50}}')
    say(app, "settings", "set", "traffic", 'services={"shop": {"capacity_per_pod": 20}}')
    assert traffic(app) == Settings(
        safety_factor=2, services={"api": Service(capacity_per_pod=50), "shop": Service(capacity_per_pod=20)}
    )
    assert json.loads(say(app, "settings", "show", "traffic")) == told(app, "settings", "show", "traffic")
    history = told(app, "settings", "history", "traffic")
    assert [(each["field"], each["value"]) for each in history][:3] == [
        ("safety_factor", 2), ("country", "TR"), ("country", None),
    ]  # fmt: skip
    assert {each["changed_by"] for each in history} == {app.desk.who}
    assert all(datetime.fromisoformat(each["changed_at"]).tzinfo for each in history)
    lines = say(app, "settings", "history", "traffic").splitlines()
    assert len(lines) == len(history)
    assert lines[2].endswith("country = null")


def test_the_zone_is_set(app: App) -> None:
    assert told(app, "settings", "set", "tenant", "zone=Europe/Istanbul") == {"zone": "Europe/Istanbul", **KEPT}
    assert zone(app) == "Europe/Istanbul"


def test_settings_of_then_are_shown(app: App) -> None:
    say(app, "settings", "set", "traffic", "safety_factor=2")
    between = now().isoformat()
    say(app, "settings", "set", "traffic", "safety_factor=4")
    assert told(app, "settings", "show", "traffic", "--as-of", between)["safety_factor"] == 2
    for moment in ("latest", "yesterday", "2026-01-01T00:00:00"):
        with pytest.raises(InvalidRequest):
            say(app, "settings", "show", "traffic", "--as-of", moment)


@pytest.mark.parametrize(("words", "said"), [
    (("traffic", "safety_factor"), "write field=value"), (("traffic", "=2"), "write field=value"),
    (("traffic", "safety_factor="), "safety_factor"), (("traffic", "safety_factor=0"), "safety_factor"),
    (("traffic", "safety_factor=NaN"), "safety_factor|finite"), (("traffic", "colour=red"), "no setting colour"),
    (("traffic", "services={"), "services"), (("traffic", "services=" + "[" * 100_000), "services"),
    (("tenant", "zone=Mars/Olympus"), "no time zone"), (("tenant", "country=TR"), "there are zone"),
])  # fmt: skip
def test_what_can_not_be_set_is_refused(app: App, words: Sequence[str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        say(app, "settings", "set", *words)
    assert [*app.settings.history("traffic"), *app.settings.history()] == []


@pytest.mark.parametrize("verb", [("show",), ("history",), ("set", "safety_factor=2")])
def test_an_unknown_domain_is_answered_with_those_there_are(app: App, verb: Sequence[str]) -> None:
    with pytest.raises(NotFound, match=r"no domain of 'weather'; there are"):
        say(app, "settings", verb[0], "weather", *verb[1:])


@pytest.mark.parametrize(
    "words", [("settings", "show"), ("settings", "history"), ("recommendations", "list"), ("settings", "set", "tenant",
    "zone=Europe/Athens"), ("recommendations", "approve", str(uuid4())), ("recommendations", "reject", str(uuid4()))]
)  # fmt: skip
def test_an_unknown_tenant_is_answered_with_the_line_to_type(home: Path, words: Sequence[str]) -> None:
    with pytest.raises(NotFound, match="type: foretell tenant add nobody-yet --zone"):
        run(*words, "--tenant", "nobody-yet")


@pytest.mark.parametrize(
    "words", [("settings",), ("settings", "set", "traffic", "--tenant", "x"), ("settings", "set", "--tenant", "x"),
    ("settings", "nothing"), ("recommendations",), ("recommendations", "approve"),
    ("recommendations", "approve", "x", "--tenant", "x"), ("recommendations", "list", "--tenant", "x", "--limit", "0"),
    ("recommendations", "list", "--tenant", "x", "--state", "open")]
)  # fmt: skip
def test_what_is_typed_wrong_is_shown_how_to_type(words: Sequence[str]) -> None:
    done = CliRunner().invoke(cli, [*words])
    assert done.exit_code == 2, done.output
    assert "Usage: " in done.output


# ---------------------------------------------------------------- recommendations


def test_they_are_listed_newest_first(app: App) -> None:
    assert told(app, "recommendations", "list") == []
    assert say(app, "recommendations", "list").startswith("there are none")
    made = [str(asked(app, running).recommendation) for running in (10, 11, 12)]
    found = told(app, "recommendations", "list")
    assert [one["recommendation_id"] for one in found] == made[::-1]
    assert found[0]["action"]["to_replicas"] == 30
    assert told(app, "recommendations", "list", "--state", "pending") == found[:1]
    assert told(app, "recommendations", "list", "--limit", "2") == found[:2]
    said = say(app, "recommendations", "list", "--state", "pending")
    for words in (made[-1], "pending", "traffic.load api", "to_replicas 30", "Predicted peak of 100 requests/min"):
        assert words in said


@pytest.mark.row("T17")
@pytest.mark.parametrize(("verb", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_one_is_decided_with_a_reason(app: App, verb: str, state: str) -> None:
    number = str(asked(app, 10).recommendation)
    one = told(app, "recommendations", verb, number, "--reason", "Iftar")
    assert (one["recommendation_id"], one["state"], one["decided_why"]) == (number, state, "Iftar")
    assert one["decided_by"] == app.desk.who
    assert told(app, "recommendations", "list", "--state", state) == [one]
    with pytest.raises(Refused, match=f"is {state}; only a pending one"):
        say(app, "recommendations", verb, number)


def test_one_is_decided_in_words(app: App) -> None:
    number = str(asked(app, 10).recommendation)
    said = say(app, "recommendations", "approve", number)
    assert said.startswith(number)
    assert "approved" in said
    assert listed(app) == [("api", 10, 30, "approved")]


def test_the_cost_that_was_approved_is_the_one_that_is_said(app: App) -> None:
    number = str(asked(app, 10).recommendation)
    say(app, "settings", "set", "traffic", 'services={"api": {"cost_per_replica_hour": 0.2}}')
    assert "cost_impact_hourly 4.0" in say(app, "recommendations", "approve", number)


def test_one_that_is_not_there_is_not_found(app: App) -> None:
    for verb in ("approve", "reject"):
        with pytest.raises(NotFound, match="there is no recommendation"):
            say(app, "recommendations", verb, str(uuid4()))


def test_a_refused_program_ends_with_1_and_a_line_that_is_no_result(app: App) -> None:
    command = [str(Path(sys.executable).with_name("foretell")), "settings", "set", "traffic", "colour=red"]
    done = subprocess.run([*command, "--tenant", app.tenant, "--json"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("foretell: InvalidRequest: traffic has no setting colour; there are country")
