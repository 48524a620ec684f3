"""`foretell notices`: what somebody should hear of, and whether it was sent."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from foretell.cli.facts import JSON, TENANT

if TYPE_CHECKING:
    from foretell.app.notices import Notice


@click.group()
def notices() -> None:
    """Show what somebody should hear of: grave findings, failed jobs, drift. Sent by mail and to a chat."""


@notices.command("list")
@TENANT
@click.option("--limit", default=20, show_default=True)
@JSON
def notices_list(tenant: str, limit: int, as_json: bool) -> None:
    """Show a tenant's notices, newest first, and to how many each was sent."""
    from foretell.app import App

    with App.open(tenant) as app:
        found = app.notices.list(limit=limit)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], default=str))
        return
    for each in found:
        click.echo(line_of(each))
    if not found:
        click.echo(f"there are no notices of {tenant}")


@notices.command("try")
@TENANT
@JSON
def notices_try(tenant: str, as_json: bool) -> None:
    """Have a notice sent that says nothing else than that notices arrive; a worker sends it."""
    from foretell.app import App

    with App.open(tenant) as app:
        made = app.notices.trial()
    click.echo(json.dumps(asdict(made), default=str) if as_json else line_of(made))


def line_of(notice: Notice) -> str:
    """A notice in a line, and one more for each of its findings."""
    ways = ", ".join(f"{way} {count}" for way, count in sorted((notice.sent or {}).items()))
    how = "not sent yet" if notice.sent is None else f"sent: {ways}" if ways else "sent to nobody"
    about = " ".join(filter(None, (notice.about, notice.subject)))
    wrong = f" ({notice.error})" if notice.error else ""
    head = f"{notice.created_at:%Y-%m-%d %H:%M:%S}  {notice.severity:<8} {about}  {how}{wrong}"
    return "\n".join([head, *(f"    {one['severity']} {one['kind']}: {one['words']}" for one in notice.findings)])
