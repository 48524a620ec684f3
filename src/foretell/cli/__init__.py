"""The command line: one file a group of commands. Heavy parts are imported when a command runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from foretell.cli import (
    agile,
    decisions,
    facts,
    features,
    imports,
    jobs,
    notices,
    people,
    reports,
    reviews,
    serving,
    sources,
    store,
    verbs,
)
from foretell.errors import ForetellError, Misconfigured


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="foretell")
def cli() -> None:
    """Honest predictions for application backends, from the history they already have."""


@cli.command()
@click.option("--once", is_flag=True, help="End when all is shown.")
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("foretell-demo"),
    show_default=True,
    help="The folder to draw into.",
)
def demo(once: bool, pictures: Path) -> None:
    """Run the whole job on packaged real data: load, race, forecast, replicas, replay, pictures, server."""
    from foretell.cli.demo import run

    run(pictures, once=once)


@cli.command()
@click.argument("domain")
@click.option("--seed", default=1, show_default=True, help="Seed of the domain's sample world.")
def check(domain: str, seed: int) -> None:
    """Hold an installed domain to every rule of the contract."""
    from foretell.cli.check import run

    run(domain, seed)


for command in (
    facts.tenant, facts.import_, facts.export, facts.quarantine, imports.imports, sources.collect, sources.sources,
    verbs.predict, verbs.train, verbs.backtest, verbs.models, verbs.predictions,
    decisions.settings, decisions.recommendations, decisions.replay, reports.report, reports.anomalies,
    features.features, people.people, agile.agile, reviews.review, reviews.parity,
    jobs.jobs, jobs.schedule, jobs.worker, notices.notices, serving.serve, serving.token, serving.rotate_secret,
    store.stop, store.doctor, store.backup, store.restore, store.migrate,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Run the command line; a refusal is one line, with exit code 2 for set-up and 1 for the rest."""
    try:
        cli()
    except ForetellError as error:
        click.echo(f"foretell: {error.code}: {error}", err=True)
        sys.exit(2 if isinstance(error, Misconfigured) else 1)
