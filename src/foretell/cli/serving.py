"""`foretell serve`, `token`, `rotate-secret`: the server, and who may ask it."""

from __future__ import annotations

import json

import click

from foretell.cli.facts import JSON


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 opens it to other machines.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that answer.")
def serve(host: str, port: int, workers: int) -> None:
    """Answer over HTTP until told to end; requests in flight are finished."""
    from foretell.web.server import serve as answer

    click.echo(f"foretell answers on http://{host}:{port}; Ctrl-C ends it", err=True)
    answer(host=host, port=port, workers=workers)


@click.command()
@click.option("--tenant", required=True, help="Whose data it opens.")
@click.option("--user", required=True, help="Who it is for; what is done with it is written down under this name.")
@click.option("--role", default="user", show_default=True, type=click.Choice(["admin", "user", "operator", "service"]))
@click.option("--days", default=30.0, show_default=True, help="How long it is good for.")
@JSON
def token(tenant: str, user: str, role: str, days: float, as_json: bool) -> None:
    """Print a token for a user of a tenant."""
    from foretell.app.opening import tenants
    from foretell.app.tokens import Keys, Who
    from foretell.errors import NotFound
    from foretell.settings import ForetellSettings

    if tenant not in (there := tenants()):
        names = ", ".join([*there][:10])
        add = f"type: foretell tenant add {tenant} --zone Europe/Athens"
        raise NotFound(f"there is no tenant {tenant}{f'; there are {names}' if names else ''}; {add}")
    who = Who(tenant=tenant, user=user, role=role)  # type: ignore[arg-type]
    made = Keys.of(ForetellSettings()).issue(who, days=days)
    click.echo(json.dumps({"token": made}) if as_json else made)


@click.command("rotate-secret")
def rotate_secret() -> None:
    """Sign new tokens with a new secret; those signed with the one before stay good until the next change."""
    from foretell.app.tokens import rotate
    from foretell.settings import ForetellSettings

    rotate(ForetellSettings())
    click.echo("new tokens are signed with a new secret; servers that run need a new start to know it")
