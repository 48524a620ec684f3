"""`foretell features`: what is known of somebody in numbers, and what models learn from."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from foretell.cli.facts import JSON, TENANT
from foretell.cli.verbs import AS_OF, asked_of

REQUEST = click.option("--request", "requests", multiple=True, required=True, help='Whom, as JSON: {"person": "p1"}')
NAMES = click.option("--feature", "names", multiple=True, help="Only this one; may be given several times.")
TO = click.option("--to", type=click.Path(path_type=Path, dir_okay=False), help="A file: .parquet, .csv or .json.")


@click.group()
def features() -> None:
    """What is known of somebody in numbers, as models see it."""


@features.command("list")
@click.argument("domain")
def features_list(domain: str) -> None:
    """Show the features that DOMAIN declares, in words."""
    from foretell.app.declared import domains
    from foretell.errors import NotFound

    found = domains().get(domain)
    if found is None or found.catalogue is None:
        raise NotFound(f"{domain} declares no features")
    for one in found.catalogue.features:
        click.echo(f"{one.name:32} {one.group:14} {one.words}")


@features.command("of")
@click.argument("task")
@TENANT
@click.option("--version", help="Of this version; of the one in service if left out.")
@JSON
def features_of(task: str, tenant: str, version: str | None, as_json: bool) -> None:
    """Show the features that a model of TASK learned from."""
    from foretell.app import App

    with App.open(tenant) as app:
        told = app.features.of(task, version)
    if as_json:
        click.echo(told.model_dump_json())
        return
    click.echo(f"{told.candidate}, version {told.version}: {len(told.features)} features")
    for one in told.features:
        old = "  (deprecated)" if one.is_deprecated else ""
        click.echo(f"{one.feature_name:32} {one.category or '-':14} {one.description or '-'}{old}")


@features.command("importance")
@click.argument("task")
@TENANT
@click.option("--group", "grouped", is_flag=True, help="Those together that are declared as a group, or alike.")
@AS_OF
@JSON
def features_importance(task: str, tenant: str, grouped: bool, as_of: str | None, as_json: bool) -> None:
    """Show how much worse forecasts of TASK get without what a feature tells, and the standard error."""
    from foretell.app import App
    from foretell.app.tenancy import as_of_told

    with App.open(tenant) as app:
        told = app.features.importance(task, as_of=as_of_told(as_of), grouped=grouped)
    if as_json:
        click.echo(told.model_dump_json())
        return
    click.echo(
        f"{told.candidate}, version {told.version}: {told.metric} {told.error:.4g}, and by how much it grows without"
    )
    click.echo(f"{told.asked:,} of {told.settled:,} questions {told.words}")
    for one in told.features:
        click.echo(f"{one.name:40} {one.importance:+.4g} ± {one.standard_error:.2g}")


@features.command("compute")
@click.argument("task")
@TENANT
@REQUEST
@NAMES
@AS_OF
@TO
def features_compute(
    task: str, tenant: str, requests: tuple[str, ...], names: tuple[str, ...], as_of: str | None, to: Path | None
) -> None:
    """Show what TASK (realestate.move) sees of somebody."""
    from foretell.app import App
    from foretell.app.tenancy import as_of_told

    with App.open(tenant) as app:
        asked = [asked_of(one) for one in requests]
        _tell(app.features.compute(task, asked, names=names or None, as_of=as_of_told(as_of)), to)


@features.command("backfill")
@click.argument("task")
@TENANT
@REQUEST
@NAMES
@click.option("--from", "start", required=True, type=click.DateTime(), help="The first moment, UTC.")
@click.option("--until", "end", required=True, type=click.DateTime(), help="The last moment, UTC.")
@click.option("--days", default=1.0, show_default=True, help="Days between two moments.")
@TO
def features_backfill(
    task: str,
    tenant: str,
    requests: tuple[str, ...],
    names: tuple[str, ...],
    start: datetime,
    end: datetime,
    days: float,
    to: Path | None,
) -> None:
    """Show what TASK saw of somebody at moments of the past, each as it was known then."""
    from foretell.app import App

    with App.open(tenant) as app:
        asked, every = [asked_of(one) for one in requests], timedelta(days=days)
        span = (start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))
        _tell(app.features.backfill(task, asked, *span, every=every, names=names or None), to)


@features.command("training-set")
@click.argument("task")
@TENANT
@AS_OF
@click.option("--days", type=int, help="Of the facts of the last so many days.")
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), required=True, help=".parquet, .csv or .json.")
def features_training_set(task: str, tenant: str, as_of: str | None, days: int | None, to: Path) -> None:
    """Write what TASK learns from to a file: old questions, their features, what became of them."""
    from foretell.app import App
    from foretell.app.tenancy import as_of_told

    with App.open(tenant) as app:
        _tell(app.features.training_set(task, as_of=as_of_told(as_of), days=days), to)


@features.command("validate")
@click.argument("domain")
@click.argument("values")
@TENANT
def features_validate(domain: str, values: str, tenant: str) -> None:
    """Hold VALUES (JSON, by name) to what DOMAIN declares of its features; exit 1 where one may not be."""
    from foretell.app import App

    with App.open(tenant) as app:
        valid, wrong = app.features.validate(domain, asked_of(values, "VALUES", '{"a_feature": 1.5}'))
    for line in wrong:
        click.echo(line)
    if not valid:
        raise click.exceptions.Exit(1)
    click.echo("valid")


def _tell(frame: object, to: Path | None) -> None:
    """A frame as JSON, or in a file."""
    import polars as pl

    from foretell.app.features import export

    assert isinstance(frame, pl.DataFrame)
    if to is not None:
        export(frame, to)
        click.echo(f"{to}: {frame.height:,} rows, {frame.width} columns")
        return
    click.echo(json.dumps(json.loads(frame.write_json()), indent=1))
