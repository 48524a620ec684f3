"""`foretell import`, `export`, `quarantine` and `tenant`: facts in and out."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from foretell.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from foretell.app.intake import Imported
    from foretell.engine.spelling import Order

TENANT = click.option("--tenant", default="default", show_default=True, help="Whose facts.")
ZONE = click.option("--timezone", "zone", help="Of clock times without an offset; the tenant's own if left out.")
JSON = click.option("--json", "as_json", is_flag=True, help="Say it as JSON.")
FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def tenant() -> None:
    """Add, list and remove tenants."""


@tenant.command("add")
@click.argument("names", nargs=-1)
@click.option("--zone", help="Whose clocks the tenants live by, as in Europe/Athens.")
@click.option("--from", "file", type=FILE, help="A CSV file of tenant,zone a line; with --zone the names will do.")
@JSON
def tenant_add(names: tuple[str, ...], zone: str | None, file: Path | None, as_json: bool) -> None:
    """Add tenants. What hinders one hinders no other; it is said, and the command ends with 1.

    Those in a file that are there already are told, and are no error: the same file again adds what is new in it.
    """
    from foretell.app.opening import add_tenants

    if not (names or file) or (names and zone is None):
        raise click.UsageError("type: foretell tenant add shop --zone Europe/Athens, or --from FILE")
    named = [*((name, zone or "") for name in names), *(_listed(file, zone) if file else [])]
    if not named:
        raise InvalidRequest(f"{file} names no tenants: write tenant,zone a line")
    done = [(name, zone, wrong) for (name, zone), (_, wrong) in zip(named, add_tenants(named), strict=True)]
    if len(done) == 1 and done[0][2] and not file:
        raise done[0][2]
    if as_json:
        told = [
            {"tenant": name, "zone": zone, **({"error": str(wrong)} if wrong else {})} for name, zone, wrong in done
        ]
        click.echo(json.dumps(told if len(names) != 1 or file else told[0]))
    else:
        for name, its, wrong in done:
            click.echo(f"tenant {name}: {wrong}" if wrong else f"tenant {name} added, on the clocks of {its}")
    if any(wrong and not (file and wrong.code == "Refused" and name not in names) for name, _, wrong in done):
        sys.exit(1)


def _listed(file: Path, zone: str | None) -> list[tuple[str, str]]:
    """The tenants that a file names, each with its zone, or with `zone` where its line has none."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} can't be read ({error})") from error
    rows = [[field.strip() for field in row] for row in csv.reader(text.splitlines())]
    rows = [row for row in rows if any(row) and row not in (["tenant", "zone"], ["tenant"])]
    if wrong := [row for row in rows if len(row) > 2]:
        raise InvalidRequest(f"{file}: {','.join(wrong[0])} is no tenant,zone")
    named = [(row[0], (row[1] if len(row) > 1 else "") or zone or "") for row in rows]
    if wanting := [name for name, its in named if not its]:
        raise InvalidRequest(f"{file}: {wanting[0]} has no time zone; say it: --zone Europe/Athens")
    return named


@tenant.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Don't ask for the name again.")
@JSON
def tenant_remove(name: str, yes: bool, as_json: bool) -> None:
    """Take a tenant away for good: its facts, models, predictions, jobs, audit, and every file.

    Nothing begins for it from then on. Backups that were made before keep it. What was interrupted goes on when the
    same is typed again. With FORETELL_DATABASE, FORETELL_DATABASE_OWNER is the URL of the role that owns the tables.
    """
    from foretell.app.opening import remove_tenant

    if not yes and click.prompt(f"All that {name} has goes for good. Type its name again", err=True) != name:
        raise InvalidRequest("that is another name; nothing was removed")
    done = remove_tenant(name)
    told = {"tenant": name, "rows": dict(done.rows), "files": done.files}
    rows = sum(done.rows.values())
    click.echo(json.dumps(told) if as_json else f"tenant {name} removed: {rows:,} rows and {done.files:,} files")


@tenant.command("list")
@JSON
def tenant_list(as_json: bool) -> None:
    """List the tenants."""
    from foretell.app.opening import tenants

    found = tenants()
    lines = [f"{name}  {zone}" for name, zone in found.items()]
    click.echo(json.dumps(found) if as_json else "\n".join(lines) or "there are none; type: foretell tenant add")


@click.command("import")
@click.argument("table")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@TENANT
@click.option("--map", "given", help="Which column of the file feeds which of the table: time=timestamp,value=y")
@ZONE
@click.option(
    "--interval",
    default="auto",
    show_default=True,
    help="How long a value stands for from its stamp on (15m, 1h, 1d), or none: it is a sample of that moment.",
)
@click.option(
    "--dates",
    type=click.Choice(["dmy", "mdy"]),
    help="Whether the day or the month comes first in dates such as 02/03/2026; by all of them if left out.",
)
@click.option("--dry-run", is_flag=True, help="Check all rows and store none.")
@JSON
@click.pass_context
def import_(  # noqa: PLR0913, PLR0917 - an option each
    context: click.Context,
    table: str,
    file: Path,
    tenant: str,
    given: str | None,
    zone: str | None,
    interval: str,
    dates: Order | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take a FILE (.csv, .csv.gz, .parquet) into a TABLE such as traffic.metrics.

    In the place of the table may stand a format that another program exports in, such as agile.jira. It exits with 1
    where there were rows and none of them could be taken.
    """
    from foretell.app import App
    from foretell.engine.mapping import interval_of, pairs_of

    with App.open(tenant) as app:
        if table in app.desk.formats(table):
            if given or zone or interval != "auto" or dates or dry_run:
                raise InvalidRequest(f"{table} says itself what its columns are: leave the other options out")
            each = app.import_format(table, _content(file))
            if as_json:
                click.echo(json.dumps({name: one.told() for name, one in each.items()}))
            for name, one in each.items() if not as_json else ():
                click.echo(f"{name}:")
                _say(one, tenant, as_json)
            context.exit(_fruitless(each.values()))
        plan = app.plan(table, file, pairs_of(given or ""), interval=interval_of(interval), dates=dates or "auto")
        click.echo("\n".join(plan.lines()), err=True)
        with _progress(file.name) as told:
            done = app.import_file(table, file, plan, zone=zone, dry=dry_run, progress=told)
    _say(done, tenant, as_json, dry=dry_run)
    context.exit(_fruitless([done]))


def _fruitless(each: Iterable[Imported]) -> int:
    """The exit code of an import: 1 where rows were rejected and none was taken, so that a script can tell."""
    done = [*each]
    taken = any(one.accepted or one.revised or one.unchanged for one in done)
    return int(not taken and any(one.rejected for one in done))


def _content(file: Path) -> bytes:
    """What is in a file. Raises InvalidRequest where it can't be read."""
    try:
        return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file}: {error.strerror or error}") from None


@click.command()
@click.argument("table")
@click.argument("file", type=FILE)
@TENANT
@click.option("--since", type=click.DateTime(), help="From this time on (UTC).")
@click.option("--until", type=click.DateTime(), help="Up to this time (UTC), itself left out.")
@click.option("--as-of", type=click.DateTime(), help="As known at this moment (UTC).")
@JSON
def export(
    table: str, file: Path, tenant: str, since: datetime | None, until: datetime | None, as_of: datetime | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Write the facts of a TABLE into a FILE (.csv or .parquet)."""
    from foretell.app import App

    if file.suffix not in (".csv", ".parquet"):
        raise InvalidRequest(f"{file.name}: the name must end in .csv or .parquet")
    if not file.parent.is_dir():
        raise InvalidRequest(f"there is no folder {file.parent}")
    with App.open(tenant) as app:
        rows = app.facts(table, since=utc(since), until=utc(until), as_of=utc(as_of))
    rows.write_parquet(file) if file.suffix == ".parquet" else rows.write_csv(file)
    told = {"table": table, "file": str(file), "rows": rows.height}
    click.echo(json.dumps(told) if as_json else f"{rows.height:,} rows of {table} written to {file}")


@click.group()
def quarantine() -> None:
    """Rows that broke a rule."""


@quarantine.command("list")
@click.argument("table", required=False)
@TENANT
@JSON
def quarantine_list(table: str | None, tenant: str, as_json: bool) -> None:
    """Show them, with the rule each broke."""
    from foretell.app import App

    with App.open(tenant) as app:
        rows = app.quarantine.list(table)
    if as_json:
        click.echo(rows.write_json())
        return
    for row in rows.iter_rows(named=True):
        click.echo(f"{row['fingerprint'][:12]}  {row['table_name']}  {row['rule']}\n    {row['original']}")
    click.echo(f"{rows.height:,} rows in quarantine", err=True)


@quarantine.command("retry")
@click.argument("table")
@TENANT
@ZONE
@JSON
def quarantine_retry(table: str, tenant: str, zone: str | None, as_json: bool) -> None:
    """Take the rows of a TABLE in again; those that still break a rule stay."""
    from foretell.app import App

    with App.open(tenant) as app:
        done = app.quarantine.retry(table, zone=zone)
    _say(done, tenant, as_json)


@quarantine.command("erase")
@click.argument("fingerprints", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every row of the tenant.")
@TENANT
@JSON
def quarantine_erase(fingerprints: tuple[str, ...], everything: bool, tenant: str, as_json: bool) -> None:
    """Erase rows by the beginning of their FINGERPRINTS, for ever."""
    from foretell.app import App

    if everything == bool(fingerprints) or not all(fingerprints):
        raise InvalidRequest("name rows by the beginning of their fingerprints, or say --all")
    with App.open(tenant) as app:
        there = app.quarantine.list()["fingerprint"].to_list()
        named = [each for each in there if everything or any(each.startswith(start) for start in fingerprints)]
        erased = app.quarantine.erase(named)
    click.echo(json.dumps({"erased": erased}) if as_json else f"{erased:,} rows erased")


def utc(moment: datetime | None) -> datetime | None:
    """A moment that was told in UTC, with its zone."""
    from datetime import UTC

    return moment.replace(tzinfo=UTC) if moment else None


@contextmanager
def _progress(what: str) -> Iterator[Callable[[float], None] | None]:
    """A bar for people; nothing for pipes."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        job = bar.add_task(what, total=1.0)
        yield lambda done: bar.update(job, completed=done)


def _say(done: Imported, tenant: str, as_json: bool, *, dry: bool = False) -> None:
    """What became of the rows."""
    if as_json:
        click.echo(json.dumps(done.told()))
        return
    if dry:
        click.echo(f"dry run: {done.unchanged:,} rows would be stored, {done.rejected:,} rejected; nothing was stored")
    else:
        click.echo(
            f"{done.accepted:,} rows accepted, {done.revised:,} revised, {done.unchanged:,} unchanged,"
            f" {done.rejected:,} rejected"
        )
    for rule, count in sorted(done.rules.items(), key=lambda each: -each[1]):
        click.echo(f"  rejected {count:,}: {rule}")
    for note in done.notes:
        click.echo(f"  {note}")
    parts = ", ".join(f"{name} {100 * part:.1f} %" for name, part in done.quality.parts.items())
    click.echo(f"quality {100 * done.quality.score:.1f} % ({parts})")
    if done.accepted or done.revised:
        click.echo(f"to take it back, type: foretell imports undo {done.import_id} --tenant {tenant}")
    if done.rejected and not dry:
        seen = f"foretell quarantine list --tenant {tenant}"
        click.echo(f"rejected rows are kept, up to 10,000 of a table; to see them, type: {seen}")
