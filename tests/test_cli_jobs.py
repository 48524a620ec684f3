"""`foretell jobs`, `schedule` and `worker`, and the nightly backup that a worker makes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.conftest import reachable
from tests.deciding import LOAD, METRICS, above, steady

from foretell import upkeep
from foretell.app import App
from foretell.app.kinds import KINDS, QUEUES
from foretell.app.opening import add_tenant
from foretell.cli import cli, jobs
from foretell.cli.jobs import own
from foretell.errors import ForetellError, InvalidRequest, Misconfigured, NotFound
from foretell.settings import ForetellSettings
from foretell.stores import launcher

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def place(alone: Path) -> Path:
    """A home with one tenant."""
    add_tenant("acme", zone="Europe/Berlin")
    with App.open("acme") as app:
        app.import_(METRICS, steady(days=3))
    return alone


@pytest.fixture
def run(place: Path) -> Run:
    def do(*arguments: str) -> Result:
        done = CliRunner().invoke(cli, [*arguments])
        if isinstance(done.exception, ForetellError):
            raise done.exception
        return done

    return do


def told(done: Result) -> Any:
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_jobs_are_started_done_by_a_worker_and_shown(run: Run) -> None:
    put = told(run("jobs", "start", "clean", "--tenant", "acme", "--json"))
    bad = told(run("jobs", "start", "train", "--told", f'{{"task": "{LOAD}"}}', "--tenant", "acme", "--json"))
    gone = told(run("jobs", "start", "clean", "--key", "k", "--tenant", "acme", "--json"))
    assert "cancelled" in run("jobs", "cancel", gone["job_id"], "--tenant", "acme").output
    assert len(run("jobs", "list", "--state", "waiting", "--tenant", "acme").output.splitlines()) == 2
    assert run("worker", "--once", "--beat", "0.5").exit_code == 0
    shown = run("jobs", "show", put["job_id"], "--tenant", "acme").output
    assert "clean" in shown
    assert "done" in shown
    assert '"predictions": 0' in shown
    line = run("jobs", "show", bad["job_id"], "--tenant", "acme").output
    assert "failed" in line
    assert "NotReady: " in line
    states = [each["state"] for each in told(run("jobs", "list", "--tenant", "acme", "--json"))]
    assert states == ["cancelled", "failed", "done"]
    assert "no such jobs" in run("jobs", "list", "--state", "running", "--tenant", "acme").output


def test_a_worker_does_the_jobs_of_the_queues_it_is_told(run: Run) -> None:
    put = told(run("jobs", "start", "clean", "--tenant", "acme", "--json"))
    for queues, state in ((["ml_training", "ml_analysis"], "waiting"), (["maintenance"], "done")):
        assert run("worker", "--once", *(word for name in queues for word in ("--queue", name))).exit_code == 0
        assert told(run("jobs", "show", put["job_id"], "--tenant", "acme", "--json"))["state"] == state
    assert run("worker", "--queue", "lunch").exit_code == 2
    assert QUEUES == jobs.QUEUES


def test_what_a_job_is_told_must_be_json_and_the_kinds_are_listed(run: Run) -> None:
    for bad, words in (("{", "--told is not JSON"), ("[]", '--told must be a JSON object: {"task": "traffic.load"}')):
        with pytest.raises(InvalidRequest) as refused:
            run("jobs", "start", "train", "--told", bad, "--tenant", "acme")
        assert str(refused.value).startswith(words)
    usage, page = run("jobs", "start", "--help").output, (Path(__file__).parents[1] / "docs" / "jobs.md").read_text()
    for kind in KINDS:
        assert kind in usage
        assert f"| `{kind}` |" in page


def test_schedules_are_shown_and_changed(run: Run) -> None:
    lines = run("schedule", "list", "--tenant", "acme").output.splitlines()
    (line,) = (each for each in lines if each.startswith(f"retrain:{LOAD}"))
    assert "0 2 * * 1" in line
    assert "Europe/Berlin" in line
    assert "next Mon" in line
    assert "next Tue" in run("schedule", "set", f"retrain:{LOAD}", "30 4 * * 2", "--tenant", "acme").output
    assert "  off" in run("schedule", "off", "clean", "--tenant", "acme").output
    assert "next" in run("schedule", "on", "clean", "--tenant", "acme").output
    assert "last" not in run("schedule", "list", "--tenant", "acme").output  # a change is no start
    names = {each["name"]: each["cron"] for each in told(run("schedule", "list", "--tenant", "acme", "--json"))}
    assert names[f"retrain:{LOAD}"] == "30 4 * * 2"
    with pytest.raises(NotFound):
        run("schedule", "off", "lunch", "--tenant", "acme")


@pytest.mark.row("I13")
def test_a_worker_backs_everything_up_at_night_and_keeps_the_newest(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with above(place) as connection:
        connection.execute("UPDATE tenants SET created_at = now() - interval '2 days'")
    folder = tmp_path / "backups"
    for name, value in (("BACKUP_AT", "0 2 * * *"), ("BACKUPS", str(folder)), ("BACKUPS_KEPT", "2")):
        monkeypatch.setenv(f"FORETELL_{name}", value)
    settings = ForetellSettings()
    (at, deed) = own(settings)["backup"]
    assert at == "0 2 * * *"
    began = datetime.now(UTC)
    for days in (3, 2, 1):
        upkeep.nightly(settings, began - timedelta(days=days))
    done = deed()
    time.sleep(1.1)  # the next is of another second
    assert [each.name for each in sorted(folder.iterdir())] == [
        f"foretell-{began - timedelta(days=1):%Y%m%d-%H%M%S}.zip", Path(str(done["file"])).name
    ]  # fmt: skip
    assert done["tenants"] == 1
    assert run("doctor").exit_code in (0, 1)
    run("worker", "--once")
    with above(place) as connection:
        (row,) = connection.execute("SELECT due, told, error FROM house_runs").fetchall()
    assert (row[0].hour, row[0].minute, row[2]) == (2, 0, None)
    assert row[1]["tenants"] == 1
    with reachable() as other, monkeypatch.context() as there:
        there.setenv("FORETELL_HOME", str(other))
        assert run("restore", str(row[1]["file"])).exit_code == 0
        try:
            assert "clean" in run("schedule", "list", "--tenant", "acme").output
        finally:
            launcher.stop(other)


def test_when_backups_are_made_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORETELL_BACKUP_AT")
    assert upkeep.backup_at(ForetellSettings()) == "0 2 * * *"
    other = "postgresql://a:b@localhost/c"
    assert upkeep.backup_at(ForetellSettings(database=other)) is None  # nobody may
    assert upkeep.backup_at(ForetellSettings(database=other, database_owner=other)) == "0 2 * * *"
    assert upkeep.backup_at(ForetellSettings(backup_at="off")) is None
    with pytest.raises(Misconfigured, match=r"export FORETELL_BACKUP_AT='0 2 \* \* \*'"):
        upkeep.backup_at(ForetellSettings(backup_at="at night"))


@pytest.mark.parametrize("command", ["serve", "worker", "doctor"])
def test_a_time_of_backups_that_is_none_is_refused_before_anything_starts(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FORETELL_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("FORETELL_BACKUP_AT", "never")
    done = CliRunner().invoke(cli, [command])
    assert isinstance(done.exception, Misconfigured)
    assert str(done.exception).startswith("FORETELL_BACKUP_AT: 'never' is no time: write it as in '0 2 * * 1'")
    assert "type: export FORETELL_BACKUP_AT='0 2 * * *', or off" in str(done.exception)
    assert done.output == ""
    assert list(tmp_path.iterdir()) == []
