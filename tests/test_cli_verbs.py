"""The verbs on the command line: predictions, trainings, models and tokens, as words and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import polars as pl
import pytest
from click.testing import CliRunner, Result

from foretell.app import App
from foretell.app.tokens import Keys, Who
from foretell.cli import cli
from foretell.domains.traffic.sample import END, ZONE, sample
from foretell.errors import Damaged, InvalidRequest, NotFound, NotReady, Refused, Unauthorized
from foretell.settings import ForetellSettings

TASK = "traffic.load"
AS_OF = ("--as-of", "2024-04-04T21:00:00Z")
ASKED = ("--request", '{"service": "donations"}')
QUICK = ("--budget", "0.5")


@dataclass(frozen=True)
class Taught:
    """A tenant with two versions, of which the newer serves."""

    tenant: str
    older: str
    newer: str


@pytest.fixture
def taught(trained: Taught) -> Iterator[Taught]:
    """The trained tenant, which serves the newer version before and after the test."""
    yield trained
    with App.open(trained.tenant) as app:
        app.models.promote(TASK, trained.older)
        app.models.promote(TASK, trained.newer)


@pytest.fixture(scope="module")
def trained() -> Taught:
    with App.open(f"verbs-{uuid4().hex[:8]}", zone=ZONE) as app:
        history = sample(1).history["metrics"].filter(pl.col("service") == "donations").drop("entity").tail(24 * 63)
        app.import_("traffic.metrics", history)
        versions = []
        for days in (9, 2):
            done, _ = app.train(TASK, as_of=END - timedelta(days=days), budget=0.5)
            versions.append(done.model.card.version)
            app.models.promote(TASK, versions[-1])
        return Taught(app.tenant, *versions)


def run(*words: str) -> Result:
    done = CliRunner().invoke(cli, [*words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def say(tenant: str, *words: str) -> str:
    """What a command says about a tenant; raises what it refuses with."""
    done = run(*words, "--tenant", tenant)
    assert done.exit_code == 0, done.output
    return done.stdout


def told(tenant: str, *words: str) -> Any:
    """The same as JSON, on one line."""
    said = say(tenant, *words, "--json")
    assert said.count("\n") == 1
    return json.loads(said)


def misused(*words: str) -> str:
    """What is said to who types it wrong."""
    done = CliRunner().invoke(cli, [*words])
    assert done.exit_code == 2, done.output
    return done.output


def program(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("foretell")), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def serving(tenant: str) -> str:
    with App.open(tenant) as app:
        model = app.champion(TASK)
    assert model
    return model.card.version


# ---------------------------------------------------------------- predict


def test_a_prediction_is_told_as_over_http(taught: Taught) -> None:
    said = told(taught.tenant, "predict", TASK, *ASKED, *AS_OF)
    assert said["task"] == TASK
    assert (said["answer"]["service"], len(said["answer"]["hours"])) == ("donations", 4)
    assert (said["foretell"]["version"], said["foretell"]["fallback"]) == (taught.newer, None)
    shown = json.loads(say(taught.tenant, "predict", TASK, *ASKED, *AS_OF))
    assert shown["answer"] == said["answer"]
    assert shown["foretell"]["prediction_id"] != said["foretell"]["prediction_id"]


def test_a_prediction_stands_where_it_is_told_to(taught: Taught) -> None:
    latest = told(taught.tenant, "predict", TASK, *ASKED, "--as-of", "latest")
    assert latest["foretell"]["as_of"] == "2024-04-04T21:00:00Z"
    there = told(taught.tenant, "predict", TASK, *ASKED, "--as-of", "2024-04-05T00:00:00+03:00")
    assert there["answer"]["hours"][0]["expected"] == latest["answer"]["hours"][0]["expected"]
    with pytest.raises(NotReady, match="no recent metrics of donations"):
        say(taught.tenant, "predict", TASK, *ASKED)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("2024-04-04T21:00:00", "has no offset"),
        ("2024-04-04", "has no offset"),
        ("yesterday", "write 2026-03-01T12:00:00Z, or latest"),
        ("", "write 2026-03-01T12:00:00Z, or latest"),
        ("9999-12-31T23:59:59-14:00", "lies in the future"),
    ],
)
@pytest.mark.parametrize("verb", ["predict", "train", "backtest"])
def test_a_moment_that_is_none_is_refused(taught: Taught, verb: str, moment: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        say(taught.tenant, verb, TASK, "--as-of", moment)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("{", "not JSON"),
        ("[]", "must be a JSON object"),
        ("1", "must be a JSON object"),
        ('{"service": 1}', "service: Input should be a valid string"),
        ('{"hours": 25}', "hours: Input should be less than or equal to 24"),
        ('{"workload": {"current_replicas": 0}}', "workload.current_replicas"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_request_that_is_none_is_refused(taught: Taught, request_: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        say(taught.tenant, "predict", TASK, "--request", request_, *AS_OF)


# ---------------------------------------------------------------- what is not there


@pytest.mark.parametrize("verb", ["predict", "train", "backtest", "models list", "models unpin", "predictions list"])
def test_an_unknown_task_is_answered_with_those_there_are(taught: Taught, verb: str) -> None:
    with pytest.raises(NotFound, match=r"no task 'traffic\.nothing'; there are traffic\.load"):
        say(taught.tenant, *verb.split(), "traffic.nothing")
    with pytest.raises(NotFound, match=r"no domain of 'nothing\.load'"):
        say(taught.tenant, *verb.split(), "nothing.load")


@pytest.mark.parametrize("verb", ["predict", "train", "backtest", "models rollback", "predictions list"])
def test_an_unknown_tenant_is_answered_with_the_line_to_type(verb: str) -> None:
    with pytest.raises(NotFound, match="type: foretell tenant add nobody-yet --zone"):
        say("nobody-yet", *verb.split(), TASK)


@pytest.mark.parametrize(
    "words",
    [
        ("predict",), ("predict", TASK, "--nothing"), ("train", TASK, "--days", "0"), ("train", TASK, "--days", "x"),
        ("train", TASK, "--budget", "x"), ("models",), ("models", "nothing"), ("models", "card", TASK),
        ("predictions", "feedback", "x"), ("predictions", "list", TASK, "--limit", "x"),
        ("token", "--tenant", "x"), ("token", "--user", "x"),
        ("token", "--tenant", "x", "--user", "x", "--role", "king"),
        ("serve", "--port", "0"), ("serve", "--port", "65536"), ("serve", "--workers", "0"),
    ],
)  # fmt: skip
def test_what_is_typed_wrong_is_shown_how_to_type(words: Sequence[str]) -> None:
    assert "Usage: " in misused(*words)


# ---------------------------------------------------------------- train, backtest


def test_a_training_says_who_won_and_whether_it_serves(taught: Taught) -> None:
    said = say(taught.tenant, "train", TASK, "--as-of", "2024-04-03T21:00:00Z", *QUICK)
    assert "weekly_naive" in said
    assert " will answer: " in said
    assert said.count("→") == 1
    (line,) = (each for each in said.splitlines() if each.startswith("version "))
    assert " serves: " in line or " does not serve: " in line


def test_a_training_is_told_as_json(taught: Taught) -> None:
    done = told(taught.tenant, "train", TASK, "--days", "40", "--as-of", "2024-04-01T21:00:00Z", *QUICK)
    assert done["card"]["version"] == done["version"]
    assert done["card"]["candidate"] in done["card"]["scores"]
    assert isinstance(done["promoted"], bool)
    assert done["version"] in {each["version"] for each in told(taught.tenant, "models", "list", TASK)}


def test_a_training_needs_history(taught: Taught) -> None:
    with pytest.raises(NotReady, match="bring more history"):
        say(taught.tenant, "train", TASK, "--days", "1", *AS_OF)


def test_a_backtest_scores_every_candidate(taught: Taught) -> None:
    done = told(taught.tenant, "backtest", TASK, *AS_OF, *QUICK)
    assert done["scored"] > 0
    assert "weekly_naive" in done["scores"]
    assert not done["scores"].keys() & done["skipped"].keys()
    said = say(taught.tenant, "backtest", TASK, *AS_OF, *QUICK)
    assert f"{done['scored']:,} questions, 2024-" in said
    assert "→" not in said


# ---------------------------------------------------------------- models


def test_versions_are_listed_newest_first(taught: Taught) -> None:
    states = {each["version"]: each["state"] for each in told(taught.tenant, "models", "list", TASK)}
    assert states[taught.newer] == "serving"
    assert [*states].index(taught.newer) < [*states].index(taught.older)
    lines = say(taught.tenant, "models", "list", TASK).splitlines()
    assert len(lines) == len(states)
    assert any(each.startswith(f"{taught.newer}  serving ") for each in lines)


def test_a_version_is_promoted_pinned_and_rolled_back(taught: Taught) -> None:
    tenant, older, newer = taught.tenant, taught.older, taught.newer
    assert say(tenant, "models", "rollback", TASK) == f"version {older} serves\n"
    assert serving(tenant) == older
    assert say(tenant, "models", "promote", TASK, newer, "--reason", "by hand, again") == f"version {newer} serves\n"
    assert serving(tenant) == newer
    listed = {each["version"]: each for each in told(tenant, "models", "list", TASK)}
    assert listed[newer]["reason"] == "by hand, again"
    assert say(tenant, "models", "pin", TASK, older) == f"version {older} serves, and is pinned\n"
    assert {e["version"]: e["state"] for e in told(tenant, "models", "list", TASK)}[older] == "pinned"
    done = told(tenant, "train", TASK, *AS_OF, *QUICK)
    assert (done["promoted"], serving(tenant)) == (False, older)
    assert f"version {older} is pinned" in done["reason"]
    assert say(tenant, "models", "unpin", TASK) == f"version {older} serves, and is no longer pinned\n"
    with pytest.raises(Refused, match=r"no version of traffic\.load is pinned"):
        say(tenant, "models", "unpin", TASK)


def test_each_change_is_told_as_json(taught: Taught) -> None:
    tenant, older, newer = taught.tenant, taught.older, taught.newer
    assert told(tenant, "models", "rollback", TASK)["version"] == older
    assert told(tenant, "models", "promote", TASK, newer)["version"] == newer
    assert told(tenant, "models", "pin", TASK, older)["version"] == older
    assert told(tenant, "models", "unpin", TASK)["version"] == older


def test_a_card_is_json_as_it_is(taught: Taught) -> None:
    card = json.loads(say(taught.tenant, "models", "card", TASK, taught.newer))
    assert (card["task"], card["version"]) == (TASK, taught.newer)
    assert told(taught.tenant, "models", "card", TASK, taught.newer) == card


@pytest.mark.parametrize("verb", ["card", "promote", "pin"])
def test_an_unknown_version_is_answered_with_those_there_are(taught: Taught, verb: str) -> None:
    with pytest.raises(NotFound, match=taught.newer):
        say(taught.tenant, "models", verb, TASK, "1")
    assert serving(taught.tenant) == taught.newer


def test_who_trained_nothing_has_nothing_to_roll_back_to() -> None:
    name = f"verbs-{uuid4().hex[:8]}"
    run("tenant", "add", name, "--zone", ZONE)
    assert told(name, "models", "list", TASK) == told(name, "predictions", "list", TASK) == []
    assert say(name, "models", "list", TASK) == ""
    for verb in ("rollback", "unpin"):
        with pytest.raises(Refused):
            say(name, "models", verb, TASK)
    with pytest.raises(NotFound, match="train first"):
        say(name, "models", "promote", TASK, "1")


def test_a_damaged_version_is_not_promoted(taught: Taught, home: Path) -> None:
    mine = (file for file in home.rglob("*") if {taught.tenant, "blobs"} <= {*file.parts})
    kept = {file: file.read_bytes() for file in mine if file.is_file()}
    assert len(kept) >= 2
    try:
        for file, whole in kept.items():
            file.write_bytes(whole[:-1] + b"?")
        with pytest.raises((Damaged, NotFound)):
            say(taught.tenant, "models", "promote", TASK, taught.older)
    finally:
        for file, whole in kept.items():
            file.write_bytes(whole)
    assert say(taught.tenant, "models", "promote", TASK, taught.older)


# ---------------------------------------------------------------- predictions


def test_feedback_is_listed_with_its_prediction(taught: Taught) -> None:
    number = told(taught.tenant, "predict", TASK, *ASKED, *AS_OF)["foretell"]["prediction_id"]
    assert say(taught.tenant, "predictions", "feedback", number, "--outcome", "12.5", "--helpful") == "kept\n"
    say(taught.tenant, "predictions", "feedback", number, "--outcome", "late", "--not-helpful", "--note", "too high")
    newest = told(taught.tenant, "predictions", "list", TASK, "--limit", "1")
    assert [each["prediction_id"] for each in newest] == [number]
    assert [(f["outcome"], f["helpful"], f["note"]) for f in newest[0]["feedback"]] == [
        (12.5, True, None), ("late", False, "too high"),
    ]  # fmt: skip
    assert newest[0]["request"]["service"] == "donations"
    (line,) = say(taught.tenant, "predictions", "list", TASK, "--limit", "1").splitlines()
    assert line.startswith(number)
    assert line.endswith(", 2 said something of it")


def test_feedback_must_say_something_of_something(taught: Taught) -> None:
    number = told(taught.tenant, "predict", TASK, *ASKED, *AS_OF)["foretell"]["prediction_id"]
    with pytest.raises(InvalidRequest, match="give an outcome, helpful or a note"):
        say(taught.tenant, "predictions", "feedback", number)
    with pytest.raises(NotFound, match="there is no prediction"):
        say(taught.tenant, "predictions", "feedback", str(uuid4()), "--helpful")
    with pytest.raises(InvalidRequest):
        say(taught.tenant, "predictions", "feedback", number, "--outcome", "nan")
    assert told(taught.tenant, "predictions", "feedback", number, "--helpful")


@pytest.mark.parametrize("limit", ["0", "-1", "1001"])
def test_a_limit_out_of_range_is_refused(taught: Taught, limit: str) -> None:
    with pytest.raises(InvalidRequest, match="1 to 1,000"):
        say(taught.tenant, "predictions", "list", TASK, "--limit", limit)


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize("role", ["user", "admin", "service", "operator"])
def test_a_token_says_who_may_do_what(taught: Taught, role: str) -> None:
    made = say(taught.tenant, "token", "--user", "ayse", "--role", role, "--days", "0.5").strip()
    who = Keys.of(ForetellSettings()).read(made)
    assert (who.tenant, who.user, who.role) == (taught.tenant, "ayse", role)
    claims = jwt.decode(made, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 12 * 3600


def test_a_token_is_of_a_user_unless_told_otherwise(taught: Taught) -> None:
    made = say(taught.tenant, "token", "--user", "ayse").strip()
    assert Keys.of(ForetellSettings()).read(made).role == "user"


def test_a_token_is_told_as_json(taught: Taught) -> None:
    made = told(taught.tenant, "token", "--user", "ayse")
    assert Keys.of(ForetellSettings()).read(made["token"]).tenant == taught.tenant


@pytest.mark.parametrize("days", ["0", "-1", "3651", "nan", "inf"])
def test_a_token_is_good_for_a_time(taught: Taught, days: str) -> None:
    with pytest.raises(InvalidRequest, match="days"):
        say(taught.tenant, "token", "--user", "ayse", "--days", days)


def test_a_token_needs_a_tenant_and_a_user(taught: Taught) -> None:
    with pytest.raises(NotFound, match="foretell tenant add nobody-yet"):
        say("nobody-yet", "token", "--user", "ayse")
    with pytest.raises(InvalidRequest, match="needs a user"):
        say(taught.tenant, "token", "--user", " ")


def test_the_secret_is_changed_and_tokens_of_before_stay_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_HOME", str(tmp_path / "home"))

    def issued() -> str:
        return Keys.of(ForetellSettings()).issue(Who(tenant="ngo", user="ayse", role="user"), days=1)

    tokens = [issued()]
    for _ in range(2):
        assert "new secret" in run("rotate-secret").stdout
        tokens.append(issued())
    keys = Keys.of(ForetellSettings())
    assert {keys.read(each).user for each in tokens[1:]} == {"ayse"}
    with pytest.raises(Unauthorized, match="another secret"):
        keys.read(tokens[0])


def test_a_refused_program_ends_with_1_and_a_line_that_is_no_result(taught: Taught) -> None:
    done = program("predict", "traffic.nothing", "--tenant", taught.tenant, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "foretell: NotFound: no task 'traffic.nothing'; there are traffic.load\n"


def test_the_program_says_json_and_nothing_else(taught: Taught) -> None:
    done = program("predict", TASK, *ASKED, *AS_OF, "--tenant", taught.tenant, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["foretell"]["version"] == taught.newer
