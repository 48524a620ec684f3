"""`foretell agile`: the commands of the agile document, by their names and flags."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from foretell.cli.facts import JSON, TENANT
from foretell.cli.reports import say
from foretell.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foretell.app import App
    from foretell.contract import Frame

RECENT = timedelta(days=30)
PROJECT = click.option("--project", help="One project's; every training learns each project's own beside the global.")


@click.group()
def agile() -> None:
    """The commands of the agile document: train, list, detect, generate, analyse, test the storage."""


@agile.command("train_ml_model")
@click.argument("model")
@TENANT
@PROJECT
@click.option("--force", is_flag=True, help="Train even if the model is younger than 30 days.")
def train_ml_model(model: str, tenant: str, project: str | None, force: bool) -> None:
    """Train a MODEL (effort_prediction, story_points, sprint_duration); the better one serves."""
    from foretell.app import App

    with App.open(tenant) as app:
        task = _types(app, model)[model]
        champion = app.champion(task)
        if champion and not force and datetime.now(UTC) - champion.card.trained_at < RECENT:
            click.echo(f"version {champion.card.version} is younger than 30 days; type --force to train anyway")
            return
        click.echo(f"Starting training for {model} model...\n  Scope: {f'project {project}' if project else 'global'}")
        done, verdict = app.train(task)
    card = done.model.card
    if project and project not in done.model.worth:
        raise NotFound(f"nothing could be measured in project {project!r}; it is served by the global model")
    click.echo(f"Version: {card.version} ({'serves' if verdict.promote else 'does not serve'}: {verdict.reason})")
    click.echo(f"  Training samples: {card.outcomes['settled']}")
    for metric, value in card.scores[card.candidate].items():
        click.echo(f"  {metric.upper()}: {'-' if value is None else f'{value:.4g}'}")
    for name, (n, error, base) in done.model.worth.items():
        if project in (None, name):
            click.echo(f"  {name}: {n} outcomes, error {error:.4g}, the baseline's {base:.4g}")


@agile.command("list_ml_models")
@TENANT
@click.option("--active-only", is_flag=True, help="Only those that serve.")
@click.option("--type", "kind", help="Of one type: effort_prediction.")
@PROJECT
@JSON
def list_ml_models(tenant: str, active_only: bool, kind: str | None, project: str | None, as_json: bool) -> None:
    """List the models there are, newest first."""
    from foretell.app import App

    rows = []
    with App.open(tenant) as app:
        for name, task in _types(app, kind).items():
            champion = app.champion(task)
            for one in app.models.list(task):
                active = one.state in ("serving", "pinned")
                known = project is None or (active and champion is not None and project in champion.worth)
                if known and (active or not active_only):
                    status, since = "active" if active else one.state, f"{one.created_at:%Y-%m-%d %H:%M}"
                    told = {"version": one.version, "status": status, "candidate": one.candidate, "created_at": since}
                    rows.append({"type": name, **told})
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo("  ".join(f"{value:<18}" for value in row.values()))
    if not rows:
        click.echo("there is none; type: foretell agile train_ml_model effort_prediction")


def _types(app: App, wanted: str | None) -> dict[str, str]:
    """The tasks by the document's names of their models; of the one that is wanted, all if None. Raises NotFound."""
    types = {task.filed_as: task.name for task in app.desk.domain("agile").tasks if task.filed_as}
    if wanted is not None and wanted not in types:
        raise NotFound(f"no model {wanted!r}; there are {', '.join(types)}")
    return {name: task for name, task in types.items() if wanted in (None, name)}


@agile.command("detect_anomalies")
@TENANT
@click.option("--project", help="Of this project.")
@click.option("--sprint", help="The risks of this sprint.")
@click.option("--all", "every", is_flag=True, help="Of every project that is active.")
@JSON
def detect_anomalies(tenant: str, project: str | None, sprint: str | None, every: bool, as_json: bool) -> None:
    """Look for what is unusual, and put it on record."""
    from foretell.app import App

    if sum((project is not None, sprint is not None, every)) != 1:
        raise InvalidRequest("say --project, --sprint or --all")
    with App.open(tenant) as app:
        if sprint is not None:
            said = app.report("agile.sprint_risk", {"sprint": sprint})
            click.echo(said.answer.model_dump_json(indent=None if as_json else 2))
            return
        projects = [project] if project is not None else _active(app)
        say([one for name in projects for one in app.anomalies.detect("agile.anomalies", {"project": name})], as_json)


def _active(app: App) -> list[str]:
    """The projects in which anything changed within 30 days, and that are not closed."""
    since = datetime.now(UTC) - RECENT
    changed = {
        name for table in ("issues", "status_changes") for name in app.facts(f"agile.{table}", since=since)["project"]
    }
    last = app.facts("agile.projects").group_by("project", maintain_order=True).last()
    return sorted(changed - {name for name, active in last.select("project", "active").iter_rows() if not active})


@agile.command("generate_quality_training_data")
@TENANT
@click.option("--workspace", required=True, help="The workspace that the projects come into.")
@click.option("--user", required=True, help="Who does it.")
@click.option("--preserve-project", required=True, help="A project that stays as it is.")
@click.option("--num-projects", default=5, show_default=True, type=click.IntRange(1, 20))
@click.option("--seed", default=1, show_default=True)
@click.option("--confirm", is_flag=True, help="Do it; without it only what would be done is told.")
@click.option("--verbose", is_flag=True, help="Tell what goes wrong on purpose, and where.")
def generate_quality_training_data(
    *, tenant: str, workspace: str, user: str, preserve_project: str, num_projects: int, seed: int, confirm: bool,
    verbose: bool,
) -> None:  # fmt: skip
    """Make a coherent workspace to learn from: projects, people, sprints in past, present and future, issues, hours.

    It is a dry run unless --confirm is given. Nothing that is there is changed: all that is made has names of its own.
    """
    from foretell.app import App
    from foretell.domains.agile.sample.minimums import lacking
    from foretell.domains.agile.sample.world import world

    made = world(seed, datetime.now(UTC), projects=num_projects, workspace=workspace, prefix=f"{workspace}-{seed}-")
    with App.open(tenant) as app:
        there = {*app.facts("agile.projects")["project"]}
        if there and preserve_project not in there:
            raise NotFound(
                f"there is no project {preserve_project!r} to preserve; there are {', '.join(sorted(there))}"
            )
        new = {*made.tables["projects"]["project"]}
        if preserve_project in new:
            raise InvalidRequest(f"the project {preserve_project!r} was generated; take another --seed")
        for name, rows in made.tables.items():
            click.echo(f"{'' if confirm else 'would add '}{rows.height:,} rows to agile.{name}")
        _minimums(lacking(made.tables))
        if verbose:
            for trouble, where in made.troubles.items():
                click.echo(f"  {trouble}: {', '.join(where)}")
        if not confirm:
            click.echo(f"dry run: nothing was stored, and {preserve_project} stays as it is; type --confirm to do it")
            return
        for name, rows in made.tables.items():
            app.import_(f"agile.{name}", rows.drop("entity", "known_at"), source=f"generated for {user}")
    click.echo(f"{len(new)} projects were added; {preserve_project} is as it was")


def _minimums(missing: list[str]) -> None:
    for each in missing:
        click.echo(f"  too few: {each}")
    if not missing:
        click.echo("  enough of everything to learn from")


@agile.command("analyze_workspace_data")
@TENANT
def analyze_workspace_data(tenant: str) -> None:
    """Tell whether there is enough to learn from, by the document's six minimum counts."""
    from foretell.app import App
    from foretell.domains.agile.sample.minimums import MINIMUMS, counts, lacking

    with App.open(tenant) as app:
        tables: Mapping[str, Frame] = app.history("agile").tables
    for name, count in counts(tables).items():
        least, words, _ = MINIMUMS[name]
        click.echo(f"{count:>7,}  {words} (at least {least})")
    _minimums(lacking(tables))


@agile.command("test_s3")
@TENANT
def test_s3(tenant: str) -> None:
    """Write, read and forget a file in the place where models are kept."""
    from foretell.app import App

    with App.open(tenant) as app, tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, "one"), Path(folder, "two")
        for each in (one, two):
            each.mkdir()
        (one / "note.txt").write_text(f"written at {datetime.now(UTC)}")
        blobs = app.house.stores.blobs
        kept = blobs.put(tenant, one)
        blobs.get(tenant, kept.address, two)
        if (two / "note.txt").read_text() != (one / "note.txt").read_text():
            raise NotFound("what was read is not what was written")
    click.echo(f"wrote and read {kept.size} bytes; nothing refers to them, and they are swept in a day")
