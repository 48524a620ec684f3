"""`foretell imports`: what was brought in lately, and the way back from what should not have been."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from foretell.cli.facts import JSON, TENANT

if TYPE_CHECKING:
    from foretell.app.imports import Import


@click.group()
def imports() -> None:
    """Show what was imported lately, and take an import back."""


@imports.command("list")
@click.argument("table", required=False)
@TENANT
@click.option("--limit", default=20, show_default=True)
@JSON
def imports_list(table: str | None, tenant: str, limit: int, as_json: bool) -> None:
    """Show the last imports into a TABLE, or into all, newest first."""
    from foretell.app import App

    with App.open(tenant) as app:
        found = app.imports.list(table, limit=limit)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], default=str))
        return
    for each in found:
        click.echo(line_of(each))
    if not found:
        click.echo(f"nothing was imported{f' into {table}' if table else ''} yet")


@imports.command("undo")
@click.argument("import_id")
@TENANT
@JSON
def imports_undo(import_id: str, tenant: str, as_json: bool) -> None:
    """Take an import back by its IMPORT_ID: what it added goes, what it revised is again what it was."""
    from foretell.app import App

    with App.open(tenant) as app:
        done = app.imports.undo(import_id)
    if as_json:
        click.echo(json.dumps(asdict(done), default=str))
        return
    click.echo(f"{done.table}: {done.removed:,} facts removed, {done.restored:,} restored")
    if done.stayed:
        click.echo(f"  {done.stayed:,} that a later import revised stay as they are")
    if done.released:
        click.echo(f"  {done.released:,} of its rows are in quarantine no more")
    click.echo("what a model learned from them it knows until it is trained again")


def line_of(one: Import) -> str:
    """An import in two lines, and one more if it was taken back."""
    counts = (
        f"{one.accepted:,} accepted, {one.revised:,} revised, {one.unchanged:,} unchanged, {one.rejected:,} rejected"
    )
    lines = [
        f"{one.import_id}  {one.at:%Y-%m-%d %H:%M:%S}  {one.table}  {counts}",
        f"    from {one.source}, clock times of {one.zone}, by {one.who}",
    ]
    if one.undone_at:
        lines.append(f"    taken back {one.undone_at:%Y-%m-%d %H:%M:%S} by {one.undone_by}")
    return "\n".join(lines)
