"""The choice of who takes a ticket, as a domain to be installed: its tables say that they name people."""

from __future__ import annotations

from dataclasses import replace

from tests.toys import choice

from foretell import Sample


def _sample(seed: int) -> Sample:
    made = choice.sample(seed)
    return replace(made, requests={f"tickets.{name}": asked for name, asked in made.requests.items()})


DOMAIN = replace(
    choice.DOMAIN,
    tables=[choice.TABLES[0], replace(choice.TABLES[1], persons={"who": "person"})],
    tasks=[replace(choice.TASK, name="tickets.who")],
    sample=_sample,
)
