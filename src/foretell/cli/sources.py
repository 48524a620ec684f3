"""`foretell collect` and `foretell sources`: facts that are fetched, and how that goes."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from foretell.cli.facts import JSON, TENANT, utc

if TYPE_CHECKING:
    from datetime import datetime

    from foretell.app.collecting import Collected, Known


@click.command()
@click.argument("name")
@TENANT
@click.option("--since", type=click.DateTime(), help="Of times from this one on (UTC); of one source alone.")
@click.option("--until", type=click.DateTime(), help="Up to this time (UTC), itself left out.")
@JSON
def collect(name: str, tenant: str, since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """Fetch what the sources of a domain tell, such as energy, or the one of that NAME: energy.nasa_power.

    Ends with 1 where something came from nobody.
    """
    from foretell.app import App

    with App.open(tenant) as app:
        done = app.sources.collect(name, since=utc(since), until=utc(until))
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in done]))
    else:
        click.echo("\n".join(_told(one) for one in done) or f"there is nothing yet to ask the sources of {name} about")
    if any(one.answered < one.wanted for one in done):
        sys.exit(1)


def _told(one: Collected) -> str:
    span = f"{one.since:%Y-%m-%d %H:%M} to {one.until:%Y-%m-%d %H:%M} UTC"
    lines = [f"{one.source}: {one.answered} of {one.wanted} places, {span}, into {one.table}"]
    for tried in one.tried:
        rows = f"{tried.accepted:,} new, {tried.revised:,} revised, {tried.unchanged:,} unchanged"
        rows += f", {tried.rejected:,} rejected" if tried.rejected else ""
        sent = f"{tried.requests} requests, {tried.retries} of them again, {tried.seconds:.1f} s"
        lines.append(f"  {tried.source}: {tried.answered} of {tried.wanted} places; {rows} ({sent})")
        lines += [f"    {count} x {words}" for words, count in tried.why.items()]
    if one.answered < one.wanted:
        newest = f"; the newest of {one.table} became known at {one.newest:%Y-%m-%d %H:%M} UTC" if one.newest else ""
        lines.append(f"  nothing came for {one.wanted - one.answered} places{newest}")
    return "\n".join(lines)


@click.command()
@click.argument("name")
@TENANT
@JSON
def sources(name: str, tenant: str, as_json: bool) -> None:
    """Show the sources of a domain, such as energy, and how each went within 30 days."""
    from foretell.app import App

    with App.open(tenant) as app:
        known = app.sources.list(name)
    told = [one.model_dump(mode="json") for one in known]
    click.echo(json.dumps(told) if as_json else "\n".join(_line(one) for one in known))


def _line(one: Known) -> str:
    how = "never asked" if one.success is None else f"{100 * one.success:.1f} % answered"
    last = f", last {one.collected_at:%Y-%m-%d %H:%M} UTC" if one.collected_at else ""
    rest = f", left alone until {one.rests_until:%H:%M} UTC" if one.rests_until else ""
    key = "" if one.ready else ", has no key"
    return f"{one.source}  {one.summary}: {how}{last}{rest}{key}; {one.spent:g} of {one.quota:g} requests today"
