"""`foretell check DOMAIN`."""

from __future__ import annotations

import click

from foretell.app.declared import domains
from foretell.errors import NotFound
from foretell.testing import check_domain


def run(name: str, seed: int) -> None:
    """Run every check on an installed domain; raises the first rule it breaks."""
    installed = domains()
    if name not in installed:
        raise NotFound(f"no domain {name!r}; there are {', '.join(sorted(installed))}")
    check_domain(installed[name], seed=seed)
    click.echo(f"{name}: every check passed (sample world {seed})")
