"""`foretell serve`, `token`, `rotate-secret`: the server, and who may ask it."""

from __future__ import annotations

import json
import os

import click

from foretell.cli.facts import JSON
from foretell.cli.jobs import beside


@click.command()
@click.option("--host", help="0.0.0.0 opens it to other machines.  [FORETELL_HOST, HOST; 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="[FORETELL_PORT, ML_PORT; 8000]")
@click.option(
    "--workers", type=click.IntRange(1, 64), help="Processes that answer.  [FORETELL_WORKERS, WORKER_COUNT; 1]"
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86_400, min_open=True),
    help="Seconds that a request may take.  [FORETELL_TIMEOUT, WORKER_TIMEOUT; 300]",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    help="From which on it says things.  [FORETELL_LOG_LEVEL, LOG_LEVEL; info]",
)
@click.option("--jobs/--no-jobs", default=None, help="Whether a worker runs beside it.  [FORETELL_JOBS; --jobs]")
@click.option("--read-only", is_flag=True, default=None, help="Predict, and change nothing.  [FORETELL_READ_ONLY]")
def serve(**options: str | float | bool | None) -> None:
    """Answer over HTTP until told to end; requests in flight are finished."""
    from foretell.settings import ForetellSettings
    from foretell.web.server import prepare
    from foretell.web.server import serve as answer

    # Over the environment, for the processes that answer are started with it.
    os.environ |= {f"FORETELL_{name.upper()}": str(value) for name, value in options.items() if value is not None}
    settings = ForetellSettings()
    prepare(settings)
    with beside(settings):
        scheme = "https" if settings.tls_cert else "http"
        click.echo(f"foretell answers on {scheme}://{settings.host}:{settings.port}; Ctrl-C ends it", err=True)
        answer(settings)


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
