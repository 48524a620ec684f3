"""`foretell people`: everything that is kept of a person, shown or erased."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from foretell.cli.facts import JSON, TENANT

KIND = click.option("--kind", help="What they are named as (person, agent); the first that the tables know, if not.")


@click.group()
def people() -> None:
    """Everything that is kept of a person, shown or erased."""


@people.command("export")
@click.argument("domain")
@click.argument("name")
@TENANT
@KIND
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), help="A file, written as JSON.")
def people_export(domain: str, name: str, tenant: str, kind: str | None, to: Path | None) -> None:
    """Show everything that DOMAIN keeps of the person NAME, as JSON."""
    from foretell.app import App

    with App.open(tenant) as app:
        told = json.dumps(app.people.export(domain, name, kind=kind), indent=1, ensure_ascii=False)
    if to is None:
        click.echo(told)
        return
    to.write_text(f"{told}\n", encoding="utf-8")
    click.echo(f"{to}: everything that {domain} keeps of {name}")


@people.command("erase")
@click.argument("domain")
@click.argument("name")
@TENANT
@KIND
@click.option("--yes", is_flag=True, help="Don't ask: there is no way back.")
@JSON
def people_erase(domain: str, name: str, tenant: str, kind: str | None, yes: bool, as_json: bool) -> None:
    """Erase the person NAME from DOMAIN for good: facts, quarantine, features, predictions, jobs, models, data sets."""
    from foretell.app import App

    if not yes:
        click.confirm(f"Erase {name} from {domain} of {tenant}? There is no way back.", abort=True)
    with App.open(tenant) as app:
        done = app.people.erase(domain, name, kind=kind)
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    for words, rows in (("erased", {**done.facts, **done.written}), ("without the name now", done.blanked)):
        for table, count in rows.items():
            click.echo(f"{words}: {count:,} of {table}")
    for version in done.models:
        click.echo(f"erased: {version} knew the name; it is trained again")
    for file in done.data_sets:
        click.echo(f"rewritten: {file}")
    click.echo("; ".join(f"LEFT: {count:,} in {table}" for table, count in done.left.items()) or "nothing is left")
