"""`foretell settings`, `recommendations` and `replay`: what people decide, and what they trust it for."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from foretell.cli.facts import JSON, TENANT
from foretell.cli.verbs import AS_OF, asked_of
from foretell.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from foretell.contract import RecommendationState, Replayed

NEAR = 4  # policies of a family that are shown
REASON = click.option("--reason", help="Why.")


@click.group()
def settings() -> None:
    """Show and change a tenant's settings; DOMAIN is traffic, … or tenant for what is of none (the zone)."""


@settings.command("show")
@click.argument("domain", default="tenant")
@TENANT
@click.option("--as-of", "as_of", help="In force when: a moment with its offset; now if left out.")
@JSON
def settings_show(domain: str, tenant: str, as_of: str | None, as_json: bool) -> None:
    """Show the settings of a DOMAIN."""
    from foretell.app import App
    from foretell.app.tenancy import as_of_told

    at = as_of_told(as_of)
    if at == "latest":
        raise InvalidRequest("settings have no newest fact to stand at; give a moment, or leave --as-of out")
    with App.open(tenant) as app:
        click.echo(app.settings.show(domain, at=at).model_dump_json(indent=None if as_json else 2))


@settings.command("set")
@click.argument("domain")
@click.argument("values", nargs=-1, required=True, metavar="FIELD=VALUE…")
@TENANT
@JSON
def settings_set(domain: str, values: Sequence[str], tenant: str, as_json: bool) -> None:
    """Change settings of a DOMAIN from now on: safety_factor=2, country=TR, services='{"api": {…}}', country=null."""
    from foretell.app import App

    with App.open(tenant) as app:
        made = app.settings.change(domain, dict(_told(each) for each in values))
        click.echo(made.model_dump_json(indent=None if as_json else 2))


def _told(text: str) -> tuple[str, Any]:
    """A field and its value: as JSON where it is JSON, else the text itself."""
    field, equals, value = text.partition("=")
    if not (field and equals):
        raise InvalidRequest(f"{text}: write field=value, as in safety_factor=2")
    try:
        return field, json.loads(value)
    except (ValueError, RecursionError):
        return field, value


@settings.command("history")
@click.argument("domain", default="tenant")
@TENANT
@JSON
def settings_history(domain: str, tenant: str, as_json: bool) -> None:
    """Show what was told of the settings of a DOMAIN, when and by whom."""
    from foretell.app import App

    with App.open(tenant) as app:
        told = app.settings.history(domain)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in told], default=str))
        return
    for each in told:
        click.echo(f"{each.changed_at:%Y-%m-%d %H:%M:%S}  {each.changed_by}  {each.field} = {json.dumps(each.value)}")
    if not told:
        click.echo(f"nothing was told of the settings of {domain}: they are the defaults")


@click.command()
@click.argument("task")
@TENANT
@click.option("--request", default="{}", help='Of whom, at what price, as JSON: {"service": "donations"}')
@click.option("--from", "start", help="A moment with its offset; half of the history, a year at most, if left out.")
@click.option("--to", "end", help="A moment with its offset; the end of the history if left out.")
@click.option("--method", help="By whose forecasts; those of the one in service if left out.")
@AS_OF
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw cost against risk into this SVG.")
@JSON
def replay(  # noqa: PLR0913, PLR0917 - an option each
    task: str, tenant: str, request: str, start: str | None, end: str | None, method: str | None, as_of: str | None,
    plot: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Replay the decisions of a TASK such as traffic.load over its own past: what they would have cost and risked."""
    from foretell.app import App
    from foretell.app.tenancy import as_of_told

    with App.open(tenant) as app:
        told = app.replay(
            task, asked_of(request), start=_moment("--from", start), end=_moment("--to", end), method=method,
            as_of=as_of_told(as_of),
        )  # fmt: skip
    if plot:
        from foretell.cli.picture import curve

        plot.write_text(curve(told))
    click.echo(told.model_dump_json() if as_json else "\n".join(lines_of(told)))


def _moment(option: str, text: str | None) -> datetime | None:
    from foretell.app.tenancy import as_of_told

    told = as_of_told(text)
    if told == "latest":
        raise InvalidRequest(f"{option} takes a moment, as in 2026-03-01T00:00:00Z")
    return told


def lines_of(told: Replayed) -> list[str]:
    """A replay for people: what was assumed, figures of the later half, and the one line.

    Of each family the policies are shown that cost about what the chosen one does.
    """
    names, chosen = list(told.units), told.policy(told.chosen).figures["later"][told.cost]
    families = {policy.family: [p for p in told.policies if p.family == policy.family] for policy in told.policies}
    near = {
        policy.name
        for family in families.values()
        for policy in sorted(family, key=lambda policy: abs(policy.figures["later"][told.cost] - chosen))[:NEAR]
    }
    wide = max(map(len, near)) + 2
    lines = [
        f"{told.task} of {told.subject}, {told.candidate} beside {told.baseline};"
        f" chosen on {told.start:%d %b %Y} to {told.middle:%d %b %Y}, judged up to {told.end:%d %b %Y}",
        "assumed: " + ", ".join(f"{name} {_short(value)}" for name, value in told.assumed.items()),
        " " * (wide + 2) + "  ".join(f"{name:>14}" for name in names),
    ]
    for policy in (policy for policy in told.policies if policy.name in near):
        mark = "→ " if policy.name == told.chosen else "  "
        figures = "  ".join(f"{policy.figures['later'][name]:>14,.0f}" for name in names)
        lines.append(f"{mark}{policy.name:<{wide}}{figures}")
    return [*lines, *(f"note: {note}" for note in told.notes), told.line]


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.4g}"


@click.group()
def recommendations() -> None:
    """Show recommendations, approve and reject them. Nothing is executed."""


@recommendations.command("list")
@TENANT
@click.option("--state", type=click.Choice(["pending", "approved", "rejected", "expired", "superseded"]))
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@JSON
def recommendations_list(tenant: str, state: RecommendationState | None, limit: int, as_json: bool) -> None:
    """Show the last recommendations, newest first."""
    from foretell.app import App

    with App.open(tenant) as app:
        found = app.recommendations.list(state=state, limit=limit)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], default=str))
        return
    for each in found:
        _say(each)
    if not found:
        click.echo("there are none: a prediction as of now makes one where it proposes a change")


@recommendations.command("approve")
@click.argument("number", type=click.UUID)
@TENANT
@REASON
@JSON
def recommendations_approve(number: UUID, tenant: str, reason: str | None, as_json: bool) -> None:
    """Approve the recommendation of that NUMBER; its cost is worked out again."""
    from foretell.app import App

    with App.open(tenant) as app:
        _decided(app.recommendations.approve(number, reason=reason), as_json)


@recommendations.command("reject")
@click.argument("number", type=click.UUID)
@TENANT
@REASON
@JSON
def recommendations_reject(number: UUID, tenant: str, reason: str | None, as_json: bool) -> None:
    """Reject the recommendation of that NUMBER."""
    from foretell.app import App

    with App.open(tenant) as app:
        _decided(app.recommendations.reject(number, reason=reason), as_json)


def _decided(one: Any, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(one), default=str))
    else:
        _say(one)


def _say(one: Any) -> None:
    action = ", ".join(f"{name} {value}" for name, value in (one.approved or one.action).items())
    click.echo(f"{one.recommendation_id}  {one.made_at:%Y-%m-%d %H:%M}  {one.state:10}  {one.task} {one.subject}")
    click.echo(f"    {action}: {one.reason}")
