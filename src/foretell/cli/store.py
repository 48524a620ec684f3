"""`foretell stop`, `doctor`, `backup`, `restore` and `migrate`: the place where everything is kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from foretell.contract import Table
    from foretell.upkeep import Health, Told

SHOWN = 20  # model files that a backup lacks
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
def stop() -> None:
    """Shut our own PostgreSQL down; the next command that needs it starts it again."""
    from foretell import upkeep
    from foretell.settings import ForetellSettings

    users = upkeep.stop(ForetellSettings())
    click.echo("nothing was running" if users is None else "stopped")
    if users:
        told = ", ".join(map(str, users))
        click.echo(
            f"servers, workers or programs (process {told}) had it open, and can do nothing until it runs again: end"
            " them, or start it, as with foretell tenant list"
        )


@click.command()
def migrate() -> None:
    """Bring the database's tables up to this program.

    For a PostgreSQL of your own (FORETELL_DATABASE), with FORETELL_DATABASE_OWNER as the URL of a role that may make
    roles and tables in it. Our own is brought up to date by itself.
    """
    from foretell import upkeep
    from foretell.settings import ForetellSettings

    version = upkeep.migrate(ForetellSettings(), _tables())
    click.echo(f"the tables are of version {version}")


@click.command()
@click.argument("file", type=FILE)
def backup(file: Path) -> None:
    """Write everything to FILE: the database and the model files, as of one moment, while others go on.

    With FORETELL_DATABASE, FORETELL_DATABASE_OWNER must be the URL of a role that row security does not hold.
    """
    from foretell import upkeep
    from foretell.settings import ForetellSettings

    told = upkeep.backup(ForetellSettings(), file)
    click.echo(f"{file} ({_bytes(file.stat().st_size)}): {_inside(told)}")
    _lacking(told, "not in it")
    if told.missing:
        click.echo(
            "these models can't serve: bring their files back and back up again, or train their tasks anew; an older"
            " backup may have them"
        )


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--erased",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="The home that this one takes the place of: whom it had erased is erased here too.",
)
def restore(file: Path, erased: Path | None) -> None:
    """Put what is in FILE into an empty database: all of it or nothing, after every part was verified.

    Who had been erased by then, or is in the register of the home named by --erased, is erased again.

    With FORETELL_DATABASE, FORETELL_DATABASE_OWNER is the URL of the role that is to own the tables.
    """
    from foretell import upkeep
    from foretell.app.people import replayed
    from foretell.settings import ForetellSettings

    told = upkeep.restore(ForetellSettings(), _tables(), file)
    click.echo(f"restored, as of {told.made_at:%Y-%m-%d %H:%M:%S %Z}: {_inside(told)}")
    _lacking(told, "it was not in the backup")
    if again := replayed(erased):
        click.echo(f"erased again: {_many(again, 'person')}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Say it as JSON.")
def doctor(as_json: bool) -> None:
    """Say what runs, how large it is, what is wrong and what to type; ends with 1 if something is. Starts nothing."""
    from foretell import upkeep
    from foretell.app.declared import found_domains
    from foretell.settings import ForetellSettings

    installed, wrong = found_domains()  # a doctor looks on where every other command refuses
    seen = upkeep.doctor(ForetellSettings(), {name: domain.tables for name, domain in installed.items()})
    seen.problems[:0] = wrong
    click.echo(json.dumps(asdict(seen), default=str) if as_json else "\n".join(_lines(seen)))
    if seen.problems:
        sys.exit(1)


def _tables() -> dict[str, Sequence[Table]]:
    from foretell.app.declared import domains

    return {name: domain.tables for name, domain in domains().items()}


def _lacking(told: Told, words: str) -> None:
    """Say which model files a backup does not have, the first of many; its manifest names all."""
    for each in (lacks := [*told.missing, *told.quarantined])[:SHOWN]:
        click.echo(f"{words}: {each}")
    if len(lacks) > SHOWN:
        click.echo(f"{words}: {len(lacks) - SHOWN} more, which its manifest.json names")


def _inside(told: Told) -> str:
    rows = sum(told.rows.values())
    return (
        f"{_many(told.tenants, 'tenant')}, {_many(rows, 'row')} in {_many(len(told.rows), 'table')},"
        f" {_many(told.blobs, 'model file')}"
    )


def _lines(seen: Health) -> list[str]:
    runs = f"runs (process {seen.pid})" if seen.pid else "answers" if seen.running else "does not run"
    version = f"PostgreSQL {seen.postgres} " if seen.postgres else ""
    lines = [
        f"foretell   {seen.foretell}",
        f"database   {version}{runs}: {seen.database}{'' if seen.size is None else f', {_bytes(seen.size)}'}",
        f"blobs      {seen.blobs}{'' if seen.blobs_size is None else f', {_bytes(seen.blobs_size)}'}"
        + (f", {seen.quarantined} in quarantine" if seen.quarantined else ""),
    ]
    if seen.log:
        lines.append(f"log        {seen.log}")
    if seen.tables_version:
        lines.append(f"tables     version {seen.tables_version}, this program's is {seen.newest_version}")
    if seen.missing:
        more = ", …" if len(seen.missing) > 5 else ""
        gone = ", ".join(seen.missing[:5])
        lines.append(f"missing    the files of {_many(len(seen.missing), 'model')} on record: {gone}{more}")
    if seen.backups:
        lines.append(f"backup     {_backup(seen)}")
    if seen.tenants is not None:
        lines.append(f"tenants    {seen.tenants}")
    if seen.settings:
        lines.append(f"settings   {', '.join(f'{name} from {told}' for name, told in seen.settings.items())}")
    lines += [f"           {name}  about {_many(rows, 'row')}" for name, rows in seen.rows.items() if rows]
    well = [] if seen.problems or seen.missing else ["all is well"]
    return [*lines, *(f"wrong:     {each}" for each in seen.problems), *well]


def _backup(seen: Health) -> str:
    """When the last backup that nobody asked for was made, and how it ended."""
    told, when = seen.backups, f"due at {seen.backup_at!r} (UTC)" if seen.backup_at else "none is scheduled"
    if told is None or told.due is None:
        return f"none was made yet; {when}"
    day = f"{told.due:%Y-%m-%d %H:%M} UTC"
    if told.error:
        return f"{day} failed; {when}"
    if told.told is None:
        return f"{day} was begun and has not ended; {when}"
    lacks = " and ".join(
        f"{told.told[each]} model files {words}"
        for each, words in (("missing", "that are not there"), ("quarantined", "in quarantine"))
        if told.told.get(each)
    )
    return f"{day}: {told.told['file']} ({_bytes(told.told['bytes'])}){f' without {lacks}' if lacks else ''}; {when}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _bytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
