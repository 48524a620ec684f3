"""`foretell report` and `foretell anomalies`: what domains compute without learning, and what they find amiss."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from foretell.cli.facts import JSON, TENANT
from foretell.cli.verbs import AS_OF, asked_of

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST = click.option("--request", default="{}", help='What is asked, as JSON: {"project": "shop"}')


@click.command()
@click.argument("name")
@TENANT
@REQUEST
@AS_OF
@JSON
def report(name: str, tenant: str, request: str, as_of: str | None, as_json: bool) -> None:
    """Show the report NAME, such as agile.project_summary."""
    from foretell.app import App
    from foretell.app.tenancy import as_of_told

    asked = asked_of(request)
    with App.open(tenant) as app:
        said = app.report(name, asked, as_of=as_of_told(as_of))
    click.echo(said.answer.model_dump_json(indent=None if as_json else 2))


@click.group()
def anomalies() -> None:
    """What reports find amiss, and since when."""


@anomalies.command("detect")
@click.argument("name")
@TENANT
@REQUEST
@JSON
def anomalies_detect(name: str, tenant: str, request: str, as_json: bool) -> None:
    """Look now, and put on record what the report NAME (agile.anomalies) finds."""
    from foretell.app import App

    asked = asked_of(request)
    with App.open(tenant) as app:
        say(app.anomalies.detect(name, asked), as_json)


@anomalies.command("list")
@click.argument("name")
@TENANT
@click.option("--subject", help="Of one subject alone: a project.")
@click.option("--all", "every", is_flag=True, help="Those that are resolved too.")
@JSON
def anomalies_list(name: str, tenant: str, subject: str | None, every: bool, as_json: bool) -> None:
    """Show what the report NAME found, newest first."""
    from foretell.app import App

    with App.open(tenant) as app:
        say(app.anomalies.list(name, subject=subject, every=every), as_json)


def say(found: Sequence[Any], as_json: bool) -> None:
    """Anomalies, a line each, or as JSON."""
    if as_json:
        click.echo(json.dumps([vars(each) for each in found], default=str))
        return
    for each in found:
        over = f", until {each.resolved_at:%Y-%m-%d %H:%M}" if each.resolved_at else ""
        since = f"since {each.detected_at:%Y-%m-%d %H:%M}{over}"
        click.echo(f"{each.severity:<8}  {each.subject}  {each.anomaly_type}: {each.description} ({since})")
    if not found:
        click.echo("nothing is amiss")
