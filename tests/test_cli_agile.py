"""The agile document's commands, by their names and flags; and reports and formats on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
from click.testing import CliRunner, Result
from tests.agile.test_trackers import ISSUE, NAMES

from foretell.app import App
from foretell.cli import cli
from foretell.errors import InvalidRequest, NotFound

Run = Callable[..., Result]
PRESERVED = "kept"
WORKSPACE = ("--workspace", "w1", "--user", "11", "--preserve-project", PRESERVED)


@pytest.fixture(scope="module")
def tenant() -> Iterator[str]:
    name = f"agile-{uuid4().hex[:8]}"
    with App.open(name, zone="Europe/Berlin"):
        yield name


@pytest.fixture
def run(tenant: str) -> Run:
    """Runs a command of `foretell` for the tenant; raises what it raises."""

    def run(*words: str) -> Result:
        done = CliRunner().invoke(cli, [*words, "--tenant", tenant])
        if done.exception is not None:
            raise done.exception
        return done

    return run


def counts(tenant: str) -> dict[str, int]:
    with App.open(tenant) as app:
        return {table.name: app.facts(f"agile.{table.name}").height for table in app.desk.domain("agile").tables}


@pytest.mark.row("A13")
def test_generating_is_a_dry_run_until_it_is_confirmed_and_keeps_a_project(run: Run, tenant: str) -> None:
    with App.open(tenant) as app:
        for name, row in {
            "projects": {"project": PRESERVED, "time": "2024-01-01T00:00:00Z", "name": "Kept"},
            "issues": {"issue": "K-1", "project": PRESERVED, "time": "2024-01-02T00:00:00Z", "title": "Kept"},
        }.items():
            app.import_(f"agile.{name}", pl.DataFrame([row]))
    before = counts(tenant)
    told = run("agile", "generate_quality_training_data", *WORKSPACE, "--num-projects", "5").output
    assert "dry run" in told
    assert "enough of everything" in told
    assert counts(tenant) == before
    with pytest.raises(NotFound, match="to preserve"):
        run("agile", "generate_quality_training_data", *WORKSPACE[:-1], "nothing")
    told = run("agile", "generate_quality_training_data", *WORKSPACE, "--confirm", "--verbose").output
    assert "5 projects were added" in told
    assert "bottleneck" in told
    after = counts(tenant)
    assert all(after[name] > before[name] for name in after)
    with App.open(tenant) as app:
        assert app.facts("agile.issues", only={"project": [PRESERVED]}).height == 1
    again = run("agile", "analyze_workspace_data").output
    assert "enough of everything" in again
    assert "completed sprints with velocity" in again


@pytest.mark.row("A10", "A13")
def test_training_tells_its_errors_and_keeps_a_young_model(run: Run, tenant: str) -> None:
    told = run("agile", "train_ml_model", "story_points").output
    assert "Training samples: " in told
    with pytest.raises(NotFound, match="effort_prediction, story_points, sprint_duration"):
        run("agile", "train_ml_model", "weather")
    again = run("agile", "train_ml_model", "story_points").output
    assert "--force" in again
    rows = json.loads(run("agile", "list_ml_models", "--active-only", "--type=story_points", "--json").output)
    assert [row["status"] for row in rows] == ["active"]
    assert run("agile", "list_ml_models", "--type=effort_prediction").output.startswith("there is none")
    with App.open(tenant) as app:
        (project, *_) = app.champion("agile.points").worth  # type: ignore[union-attr]
    assert json.loads(run("agile", "list_ml_models", "--project", project, "--json").output)


@pytest.mark.row("A13")
def test_anomalies_are_detected_for_a_project_a_sprint_and_all(run: Run, tenant: str) -> None:
    every = json.loads(run("agile", "detect_anomalies", "--all", "--json").output)
    assert {one["severity"] for one in every} <= {"low", "medium", "high", "critical"}
    subjects = {one["subject"] for one in every}
    assert len(subjects) > 1
    assert PRESERVED not in subjects  # nothing happened there within 30 days
    (subject, *_) = sorted(subjects)
    one = json.loads(run("agile", "detect_anomalies", "--project", subject, "--json").output)
    assert {each["anomaly_id"] for each in one} == {each["anomaly_id"] for each in every if each["subject"] == subject}
    listed = json.loads(run("anomalies", "list", "agile.anomalies", "--subject", subject, "--json").output)
    assert {each["anomaly_id"] for each in listed} == {each["anomaly_id"] for each in one}
    with App.open(tenant) as app:
        sprint = str(app.facts("agile.sprints")["sprint"][-1])
    assert json.loads(run("agile", "detect_anomalies", "--sprint", sprint, "--json").output)["sprint"] == sprint
    with pytest.raises(InvalidRequest, match="--project, --sprint or --all"):
        run("agile", "detect_anomalies")


@pytest.mark.row("A13")
def test_the_storage_is_tried(run: Run) -> None:
    assert "wrote and read" in run("agile", "test_s3").output


def test_a_report_and_an_export_of_a_tracker(run: Run, tenant: str, tmp_path: Path) -> None:
    page = tmp_path / "search.json"
    page.write_text(json.dumps({"issues": [ISSUE], "names": NAMES}))
    told = json.loads(run("import", "agile.jira", str(page), "--json").output)
    assert told["agile.issues"]["accepted"] == 3
    assert json.loads(run("import", "agile.jira", str(page), "--json").output)["agile.issues"]["unchanged"] == 3
    with pytest.raises(InvalidRequest, match="leave the other options out"):
        run("import", "agile.jira", str(page), "--map", "title=summary")
    with pytest.raises(NotFound, match=r"agile\.worklogs; formats to import: agile\.jira, agile\.github$"):
        run("import", "agile.jiraa", str(page))
    said = json.loads(run("report", "agile.project_summary", "--request", '{"project": "SHOP"}', "--json").output)
    assert said["metrics_breakdown"]["completed_issues"] == 1
    then = (datetime(2024, 3, 7, tzinfo=UTC) + timedelta()).isoformat()
    asked = ("--request", '{"project": "SHOP"}', "--as-of", then, "--json")
    before = json.loads(run("report", "agile.project_summary", *asked).output)
    assert before["metrics_breakdown"]["completed_issues"] == 0
    with pytest.raises(NotFound, match="no project 'nowhere'"):
        run("report", "agile.project_summary", "--request", '{"project": "nowhere"}')
