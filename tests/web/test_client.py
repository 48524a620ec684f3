"""The TypeScript client: type-checked, built, and run by node against a real server and one that fails as planned."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jsonschema_rs
import polars as pl
import pytest
from tests.web.conftest import Running, tenancy
from tests.web.test_agile import NEW, PROJECT, WORLD
from tools.client import typed, written

from foretell.app import App
from foretell.web.server import create

SOURCE = Path(__file__).parents[2] / "clients" / "typescript"
BIN = Path(sys.executable).parent
PATIENCE = 300  # seconds for a program to end
PRELUDE = """
import { ForetellClient, ForetellError } from "foretell-client";
import { MockClient } from "foretell-client/mock";
const [url, token = "", ...more] = process.argv.slice(1);
const client = new ForetellClient({ url, token: () => token });
const refused = ({ status, error, detail, code }) => ({ status, error, detail, code });
const say = (told) => console.log(JSON.stringify(told));
"""
REFUSED: dict[str, Any] = {"error": "No", "detail": "so planned", "code": "Planned"}
RIGHT = """
import { ForetellClient, type PredictEffortRequest } from "./client.js";
const client = new ForetellClient({ url: "", token: async () => "" });
const issue: PredictEffortRequest = { title: "a", issue_type: "bug", project_id: "web" };
export const hours: number = (await client.predictEffort(issue)).prediction_range.max;
export const done: number = (await client.projectSummary("web", { refresh: true })).metrics_breakdown.completed_issues;
export const high = (await client.sprintRisk("7")).risks.filter((risk) => risk.severity === "high");
export const days: number = (await client.predict("agile.duration", { sprint: "7" })).answer.planned_days;
"""
WRONG = [
    'await client.predictEffort({ title: "a", issue_type: "bug" });',
    'await client.predictEffort({ ...issue, project: "web" });',
    "await client.predictEffort({ ...issue, title: 7 });",
    "await client.suggestAssignment(issue);",
    "await client.projectSummary(7);",
    "(await client.projectSummary('web')).metrics_breakdown.late_issues;",
    "(await client.sprintRisk('7')).risks.filter((risk) => risk.severity === 'critical');",
    "(await client.estimateSprintDuration({ sprint_id: '7' })).average_velocity.toFixed(1);",
    'await client.predict("agile.hours", issue);',
    'await client.predict("agile.duration", issue);',
    'new ForetellClient({ url: "", token: "secret" });',
]


def run(package: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A program of the node that came with the development tools, in the folder of the package."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=package, env=os.environ | {"PATH": path}, text=True,
        capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed from its lock and built, in a folder of its own."""
    made = tmp_path_factory.mktemp("client") / "typescript"
    shutil.copytree(SOURCE, made, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"]):
        done = run(made, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    return made


def told(package: Path, script: str, *arguments: str) -> Any:
    """What a program that uses the built client says."""
    done = run(package, "node", "--input-type=module", "--eval", PRELUDE + script, "--", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass
class Planned:
    """A server that answers with these statuses in turn, the last again and again; 0 is no answer at all."""

    statuses: list[int]
    url: str = ""
    asked: list[tuple[float, str, str]] = field(default_factory=list)  # when, for what, and by whom

    def next(self, path: str, authorization: str) -> int:
        self.asked.append((time.monotonic(), path, authorization))
        return self.statuses[min(len(self.asked), len(self.statuses)) - 1]


@contextmanager
def planned(*statuses: int, seconds: float = 0) -> Iterator[Planned]:
    plan = Planned([*statuses])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = plan.next(self.path, self.headers["Authorization"])
            time.sleep(seconds)
            if status == 0:
                return
            body = {"risks": []} if status == 200 else REFUSED
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        plan.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield plan
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.row("A18")
def test_right_uses_type_check_and_wrong_ones_do_not(package: Path) -> None:
    assert run(package, "npm", "run", "check").returncode == 0  # the client, its mock and its example
    use = package / "src" / "use.ts"
    lines = [*RIGHT.splitlines(), *WRONG]
    try:
        use.write_text("\n".join(lines))
        found = run(package, "npm", "run", "check")
    finally:
        use.unlink()
    assert found.returncode != 0
    wrong = {lines[int(line) - 1] for line in re.findall(r"^src/use\.ts\((\d+),", found.stdout, re.MULTILINE)}
    assert wrong == {*WRONG}, found.stdout


@pytest.mark.row("A18")
def test_the_types_are_the_server_s(package: Path) -> None:
    schema = package / "src" / "schema.ts"
    kept = schema.read_text()
    description = create().openapi()
    assert written(description) == kept  # also in `make check`
    properties = description["components"]["schemas"]["EffortToldTold"]["properties"]
    properties["hours"] = properties.pop("predicted_hours")
    try:
        schema.write_text(written(description))
        found = run(package, "npm", "run", "check")
    finally:
        schema.write_text(kept)
    assert found.returncode != 0
    assert "predicted_hours" in found.stdout


def test_a_schema_that_has_no_type_here_is_refused() -> None:
    assert typed(
        {"anyOf": [{"enum": ["a", 1]}, {"type": "array", "items": {"$ref": "#/x/Day"}}, {"type": "null"}]}
    ) == ('"a" | 1 | Array<Day> | null')
    assert typed({"type": "object", "additionalProperties": {"type": "integer"}}) == "Record<string, number>"
    assert typed({"title": "Any"}) == "unknown"
    for strange in ({"oneOf": [{"type": "string"}]}, {"type": "array", "prefixItems": [{"type": "string"}]}):
        with pytest.raises(KeyError):
            typed(strange)


@pytest.mark.row("A18")
def test_the_mock_answers_as_the_server_would(package: Path) -> None:
    answers = told(
        package,
        """
        const mock = new MockClient();
        const began = performance.now();
        const told = {
          "POST /api/v1/ml/predict-effort/": await mock.predictEffort(),
          "POST /api/v1/ml/estimate-sprint-duration/": await mock.estimateSprintDuration(),
          "POST /api/v1/ml/recommend-story-points/": await mock.recommendStoryPoints(),
          "POST /api/v1/ml/suggest-assignment/": await mock.suggestAssignment(),
          "GET /api/v1/ml/{sprint_id}/sprint-risk/": await mock.sprintRisk("7"),
          "GET /api/v1/ml/{project_id}/project-summary/": await mock.projectSummary("shop"),
        };
        say({ told, took: performance.now() - began });
        """,
    )
    assert answers["took"] >= 6 * 299
    description = create().openapi()
    for name, answer in answers["told"].items():
        method, path = name.split()
        content = description["paths"][path][method.lower()]["responses"]["200"]["content"]
        schema = {**content["application/json"]["schema"], "components": description["components"]}
        jsonschema_rs.validate(schema, answer)
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(schema, {})
    assert answers["told"]["GET /api/v1/ml/{project_id}/project-summary/"]["project_id"] == "shop"


@pytest.fixture(scope="module")
def board(home: object) -> Iterator[App]:
    """A tenant with one project of the sample's workspace."""
    with tenancy() as app:
        for name, rows in WORLD.tables.items():
            mine = rows.filter(pl.col("project") == PROJECT) if "project" in rows.columns else rows
            app.import_(f"agile.{name}", mine.drop("entity", "known_at"))
        yield app


@pytest.mark.row("A18")
def test_it_asks_a_real_server(package: Path, server: Running, token: Callable[..., str], board: App) -> None:
    script = """
        import { dashboard, suggestedHours } from "./dist/example.js";
        const [project, issue] = [more[0], JSON.parse(more[1])];
        say({
          hours: await suggestedHours(client, project, issue.title),
          unknown: await suggestedHours(client, "nothing", issue.title),
          effort: await client.predictEffort(issue),
          task: await client.predict("agile.effort", { project, title: issue.title, type: issue.issue_type }),
          dashboard: await dashboard(client, project),
          summary: await client.projectSummary(project),
          missing: await client.projectSummary("nothing").catch(refused),
          wrong: await client.predict("agile.effort", { project }).catch(refused),
          nobody: await new ForetellClient({ url, token: () => "x" }).predictEffort(issue).catch(refused),
        });
        """
    said = told(package, script, server.url, token(board.tenant), PROJECT, json.dumps(NEW))
    assert said["hours"]["low"] <= said["hours"]["hours"] <= said["hours"]["high"]
    assert said["effort"]["predicted_hours"] == pytest.approx(said["task"]["answer"]["hours"], abs=0.01)
    assert "unknown" not in said  # undefined
    assert said["summary"]["project_id"] == PROJECT
    assert said["dashboard"][0] == f"{said['summary']['completion']:g} %"
    assert (said["missing"]["status"], said["missing"]["code"]) == (404, "NotFound")
    assert (said["wrong"]["status"], said["wrong"]["code"]) == (422, "InvalidRequest")
    assert "title" in said["wrong"]["detail"]
    assert (said["nobody"]["status"], said["nobody"]["code"]) == (401, "Unauthorized")
    assert all(said["nobody"].values())


@pytest.mark.row("A18")
@pytest.mark.parametrize(
    ("statuses", "tries", "ends"),
    [
        ((503, 200), 2, 200), ((500, 200), 2, 200), ((429, 200), 2, 200), ((0, 200), 2, 200),
        ((500, 503, 200), 2, 503), ((0, 0, 200), 2, 0), ((400, 200), 1, 400), ((404, 200), 1, 404), ((200,), 1, 200),
    ],
)  # fmt: skip
def test_it_tries_again_once_after_two_seconds(package: Path, statuses: tuple[int, ...], tries: int, ends: int) -> None:
    with planned(*statuses) as plan:
        said = told(package, 'say(await client.sprintRisk("7/8").catch(refused));', plan.url, "abc")
    assert len(plan.asked) == tries
    assert {(path, who) for _, path, who in plan.asked} == {("/api/v1/ml/7%2F8/sprint-risk/", "Bearer abc")}
    if tries == 2:
        assert 1.99 <= plan.asked[1][0] - plan.asked[0][0] < 10
    if ends == 200:
        assert said == {"risks": []}
    elif ends == 0:
        assert (said["status"], said["code"]) == (0, "Unreachable")
    else:
        assert said == {"status": ends, **REFUSED}


@pytest.mark.row("A18")
def test_a_summary_is_asked_for_once_in_five_minutes(package: Path) -> None:
    script = """
        import { mock } from "node:test";
        mock.timers.enable({ apis: ["Date"], now: 0 });
        const summary = (project, options) => client.projectSummary(project, options);
        await Promise.all([summary("web"), summary("web"), summary("web")]);
        mock.timers.tick(299_999);
        await summary("web");
        await summary("shop");
        mock.timers.tick(1);
        await summary("web");
        await summary("web");
        await summary("web", { refresh: true });
        say(null);
        """
    with planned(200) as plan:
        told(package, script, plan.url)
    assert [path.split("/")[4] for _, path, _ in plan.asked] == ["web", "shop", "web", "web"]


def test_a_refused_summary_is_not_kept(package: Path) -> None:
    script = 'say([await client.projectSummary("web").catch(refused), await client.projectSummary("web")]);'
    with planned(404, 200) as plan:
        first, second = told(package, script, plan.url)
    assert (first["status"], second) == (404, {"risks": []})


def test_a_call_can_be_ended(package: Path) -> None:
    script = """
        const soon = () => ({ signal: AbortSignal.timeout(200) });
        const [mine, theirs] = await Promise.allSettled([
          client.projectSummary("web", soon()), client.projectSummary("web"),
        ]);
        const asking = await client.sprintRisk("7", soon()).catch((error) => error.name);
        const gone = await client.sprintRisk("7", { signal: AbortSignal.abort() }).catch((error) => error.name);
        say({ mine: mine.reason.name, theirs: theirs.value, asking, gone });
        """
    with planned(200, seconds=1) as plan:
        said = told(package, script, plan.url)
    assert said == {"mine": "TimeoutError", "theirs": {"risks": []}, "asking": "TimeoutError", "gone": "AbortError"}
    assert len(plan.asked) == 2


def test_a_call_can_be_ended_while_it_waits_to_try_again(package: Path) -> None:
    script = """
        const began = performance.now();
        const reason = await client.sprintRisk("7", { signal: AbortSignal.timeout(500) }).catch((error) => error.name);
        say({ reason, took: performance.now() - began });
        """
    with planned(503, 200) as plan:
        said = told(package, script, plan.url)
    assert said["reason"] == "TimeoutError"
    assert said["took"] < 1_900
    assert len(plan.asked) == 1
