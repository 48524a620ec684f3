"""What keeps the house going: stop, doctor, backup, restore, migrate; on the floor of `app`."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from foretell.contract import Table
from foretell.engine.timetable import last_due
from foretell.errors import ForetellError, Misconfigured, NotFound, Unavailable
from foretell.settings import NIGHTLY, ForetellSettings, source
from foretell.stores import blobs_in, checkup, launcher, outdated
from foretell.stores import migrate as migrating
from foretell.stores.access import APP, DATABASE, LOGIN, OPERATOR, OWNER, VISITOR, owner_of, url_of
from foretell.stores.archive import Told as Told  # noqa: PLC0414 - cli names it too
from foretell.stores.archive import manifest, opened
from foretell.stores.backup import backup as backed_up
from foretell.stores.backup import restore as restored
from foretell.stores.backup import verify
from foretell.stores.blobs import Blobs
from foretell.stores.database import Database, checked, connected, schema
from foretell.stores.migrations import HEAD
from foretell.stores.server import running

Tables = Mapping[str, Sequence[Table]]
"""The tables of the installed domains, by domain."""


@dataclass(kw_only=True)
class Health:
    """What a doctor sees. What can't be known while nothing runs is None."""

    foretell: str
    database: str  # where it is, without a password
    running: bool
    pid: int | None = None  # of our own server
    log: str | None = None  # of our own server
    postgres: int | None = None  # major version
    tables_version: str | None = None
    newest_version: str = HEAD  # of the tables, for this program
    size: int | None = None  # bytes; of the data folder where it is ours, else of the database
    blobs: str
    blobs_size: int | None = None  # bytes
    quarantined: int | None = None  # blobs that are set aside
    missing: list[str] | None = None  # models on record whose files are not there, those that serve first
    backup_at: str | None = None  # when a worker backs everything up, as cron writes it (UTC)
    backups: checkup.Backups | None = None  # how that went
    tenants: int | None = None
    rows: dict[str, int] = field(default_factory=dict)  # by table; about
    settings: dict[str, str] = field(default_factory=dict)  # those that the environment tells, by which name
    problems: list[str] = field(default_factory=list)  # each says what to type


def stop(settings: ForetellSettings) -> list[int] | None:
    """Shut our own PostgreSQL down; the processes of ours that were connected to it, None if it did not run.

    Raises Misconfigured where another one is used.
    """
    if settings.database:
        name = source("database") or "FORETELL_DATABASE"
        raise Misconfigured(f"{name} names a PostgreSQL that is not ours to stop; leave it out to stop ours")
    home, users = _home(settings), list[int]()
    with suppress(ForetellError):  # none of it keeps it from being stopped
        if server := running(home):
            users = connected(url_of(server, LOGIN))
    return users if launcher.stop(home) else None


def migrate(settings: ForetellSettings, tables: Tables) -> str:
    """Bring the database up to this program; the version of the engine's tables. Raises Misconfigured."""
    if settings.database:
        migrating.migrate(_owner(settings, "migrate"), tables, **_let_in(settings))
    else:
        server = launcher.start(_home(settings))
        migrating.embedded(server)
        migrating.migrate(url_of(server, OWNER), tables, **_let_in(settings))
    return HEAD


def backup(settings: ForetellSettings, file: Path) -> Told:
    """Write everything that is kept to a new file; what is in it. Raises what `stores.backup.backup` does."""
    if settings.database:
        admin = _owner(settings, "back up")
    else:
        home = _home(settings)
        if launcher.state(home).version is None:
            raise NotFound(f"nothing is kept in {home}; if it is elsewhere, type: FORETELL_HOME=… foretell backup …")
        admin = launcher.start(home).url(DATABASE)
    return backed_up(admin, Blobs(_blobs(settings)), file)


def backup_at(settings: ForetellSettings) -> str | None:
    """When everything is backed up without anybody asking, as cron writes it (UTC); None where it is not.

    If nothing is said it is at 02:00, unless the database is another one and nobody may back that up.
    """
    told = settings.backup_at
    if told == "off" or (told is None and settings.database and not settings.database_owner):
        return None
    return told or NIGHTLY


def nightly(settings: ForetellSettings, now: datetime) -> dict[str, Any]:
    """Back everything up into the folder of backups, and delete the oldest there; what was done. Raises as `backup`.

    The newest that lacks no model file stays, however old: it may be all that is left of what the others lack.
    """
    folder = settings.backups or _home(settings) / "backups"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"foretell-{now:%Y%m%d-%H%M%S}.zip"
    told = backup(settings, file)
    files = sorted(folder.glob("foretell-*.zip"))
    old = files[: -settings.backups_kept]
    if old and told.missing:
        whole = next((each for each in reversed(files) if _lacks_nothing(each)), None)
        old = [each for each in old if each != whole]
    for each in old:
        each.unlink()
    return {
        "file": str(file), "bytes": file.stat().st_size, "tenants": told.tenants, "deleted": [e.name for e in old],
        "missing": len(told.missing), "quarantined": len(told.quarantined),
    }  # fmt: skip


def _lacks_nothing(file: Path) -> bool:
    """Whether a backup says that every model file is in it, but those in quarantine."""
    with suppress(ForetellError), opened(file) as archive:
        return not manifest(archive, file).missing
    return False


def restore(settings: ForetellSettings, tables: Tables, file: Path) -> Told:
    """Put what is in a file into an empty database and bring that up to this program; what was in it.

    Raises what `stores.backup.restore` does; a file that is not whole starts nothing.
    """
    verify(file)
    if settings.database:
        owner, instead = _owner(settings, "restore"), None
    else:
        home = _home(settings)
        server = launcher.start(home)
        migrating.embedded(server)
        owner = url_of(server, OWNER)
        instead = (
            f"to put it aside, type: foretell stop && mv '{home}' '{home}.old', then restore with --erased '{home}.old'"
        )
    logins = _let_in(settings)
    told = restored(file, owner, Blobs(_blobs(settings)), login=logins.get("login"), instead=instead)
    migrating.migrate(owner, tables, **logins)
    return told


# ---------------------------------------------------------------- the doctor


def doctor(settings: ForetellSettings, tables: Tables) -> Health:
    """Look at everything, start nothing, change nothing; what is wrong is in `problems`, never raised."""
    home = _home(settings)
    seen = Health(
        foretell=importlib.metadata.version("foretell"),
        database=_shown(settings.database) if settings.database else str(home / "postgres"),
        running=False,
        blobs=_blobs(settings),
        backup_at=backup_at(settings),
        settings={name: told for name in ForetellSettings.model_fields if (told := source(name))},
    )
    tenants: list[str] | None = None
    try:
        if url := settings.database or _own(home, seen):
            tenants = _examine(seen, url, tables, own=not settings.database)
    except Unavailable as error:
        name = source("database") or "FORETELL_DATABASE"
        seen.problems.append(f"{error}; {f'is {name} right?' if settings.database else MADE}")
    except ForetellError as error:
        seen.problems.append(str(error))
    try:
        _weigh(seen, tenants)
        if tenants and (url := settings.database or _running(home)):
            _compare(seen, checkup.on_record(url, tenants))
    except (ForetellError, OSError) as error:
        seen.problems.append(f"{error}; is FORETELL_BLOBS right?")
    return seen


MADE = "if that is because there is none yet, type: foretell migrate"


def _own(home: Path, seen: Health) -> str | None:
    """The URL of our own database, if it runs."""
    state = launcher.state(home)
    seen.pid, seen.postgres, seen.size, seen.running = state.pid, state.version, state.size, state.running
    seen.log = str(state.log) if state.log.exists() else None
    seen.problems += state.problems
    return _running(state.home) if state.running else None


def _running(home: Path) -> str | None:
    """The URL of our own database; None where its server does not run."""
    server = running(home)
    return url_of(server, LOGIN) if server else None


def _examine(seen: Health, url: str, tables: Tables, *, own: bool) -> list[str]:
    """Ask the database as an operator; the tenants."""
    checked(url, OPERATOR)
    seen.running = True
    seen.tables_version, _ = schema(url, OPERATOR)
    if not own and (old := outdated(url, tables, OPERATOR)):  # our own is brought up to date when it is next used
        seen.problems.append(f"{old}; type: foretell migrate")
    if seen.tables_version is None:
        return []
    database = Database(url, role=OPERATOR, size=1)
    try:
        with database.nobody() as connection:
            return _asked(seen, connection, own=own)
    finally:
        database.close()


def _asked(seen: Health, connection: Any, *, own: bool) -> list[str]:
    size, version, broken = connection.execute(SIZE).fetchone()
    seen.postgres = version // 10_000
    seen.size = seen.size if own else size
    seen.rows = dict(connection.execute(ROWS).fetchall())
    if broken:
        seen.problems.append(
            f"{broken} pages of the database failed their checksum: the disk is going; type: foretell backup FILE,"
            " with FILE on another disk"
        )
    seen.problems += [
        f"{name} is not closed to other tenants; type in psql: ALTER TABLE {name} ENABLE ROW LEVEL SECURITY,"
        f" FORCE ROW LEVEL SECURITY"
        for (name,) in connection.execute(OPEN, [APP]).fetchall()
    ]
    tenants = [tenant for (tenant,) in connection.execute("SELECT tenant_id FROM tenants ORDER BY 1").fetchall()]
    seen.tenants = len(tenants)
    seen.backups = checkup.backups(connection)
    seen.problems += _late(seen.backups, seen.backup_at)
    return tenants


def _late(told: checkup.Backups, cron: str | None) -> list[str]:
    """What is wrong with the backups that nobody has to ask for."""
    if cron is None:
        return []
    if told.error:
        return [f"the backup of {told.due:%Y-%m-%d %H:%M} UTC failed: {told.error}; try it: foretell backup FILE"]
    last = told.good or told.since
    if last and told.now - last > checkup.OLD and last < last_due(cron, "UTC", told.now - checkup.STARTING):
        made = f"the last backup is of {last:%Y-%m-%d %H:%M} UTC" if told.good else "no backup was ever made"
        return [
            f"{made}, and one is due at {cron!r}; workers make them: does one run (foretell serve, foretell worker)?"
        ]
    return []


def _compare(seen: Health, named: Sequence[checkup.Named]) -> None:
    """Look whether the files of all models are there; to train anew mends one that serves, nothing one that served."""
    gone = sorted(checkup.gone(seen.blobs, named), key=lambda one: not one.serving)
    seen.missing = [f"{one.task} {one.version} of {one.tenant}" for one in gone]
    if serving := [one for one in gone if one.serving]:
        first, more = serving[0], f" and {len(serving) - FEW} more" if len(serving) > FEW else ""
        names = ", ".join(seen.missing[: min(FEW, len(serving))])
        seen.problems.append(
            f"models that should serve have no files: {names}{more}; bring them back into {seen.blobs}, or train anew:"
            f" foretell train {first.task} --tenant {first.tenant}"
        )


FEW = 5  # models that are named where many are meant


SIZE = (
    "SELECT pg_database_size(current_database()), current_setting('server_version_num')::int,"
    " (SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database())"
)
ROWS = (
    "SELECT n.nspname || '.' || c.relname, sum(greatest(s.n_live_tup, part.reltuples::bigint, 0))::bigint"
    " FROM pg_class part LEFT JOIN pg_stat_all_tables s ON s.relid = part.oid"
    " JOIN pg_class c ON c.oid = coalesce(pg_partition_root(part.oid), part.oid)"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE part.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' GROUP BY 1 ORDER BY 1"
)
OPEN = (
    "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE a.attname = 'tenant_id' AND NOT a.attisdropped AND c.relkind IN ('r', 'p')"
    " AND (c.relispartition OR has_table_privilege(%s, c.oid, 'SELECT'))"
    " AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY 1"
)


def _weigh(seen: Health, tenants: list[str] | None) -> None:
    """How much the blobs are, where they can be listed without making a place for them."""
    if seen.blobs.startswith("file:"):
        folder = Path(unquote(urlsplit(seen.blobs).path))
        seen.blobs_size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
        seen.quarantined = sum(len(each.name) == 64 for each in folder.glob("*/quarantine/*"))
    elif tenants is not None:
        blobs = Blobs(seen.blobs)
        kept = (each(tenant).values() for tenant in tenants for each in (blobs.sizes, blobs.files))
        seen.blobs_size = sum(map(sum, kept))
        seen.quarantined = sum(len(blobs.quarantined(tenant)) for tenant in tenants)


# ---------------------------------------------------------------- the settings


def _home(settings: ForetellSettings) -> Path:
    return settings.home or launcher.default_home()


def _blobs(settings: ForetellSettings) -> str:
    return settings.blobs or blobs_in(_home(settings))


def _owner(settings: ForetellSettings, deed: str) -> str:
    """The URL of who may make roles and tables in the database that is not ours."""
    return owner_of(settings.database or "", settings.database_owner, deed)


def _let_in(settings: ForetellSettings) -> dict[str, str | None]:
    """The logins to be let in: all of our own server's; of another PostgreSQL the one that is named."""
    if settings.database is None:
        return {"login": LOGIN, "visitor": VISITOR}
    name = urlsplit(settings.database).username
    return {"visitor" if settings.read_only else "login": unquote(name) if name else None}


def _shown(url: str) -> str:
    """A URL without its password, wherever it stands."""
    told = urlsplit(url)
    return f"{told.scheme}://{f'{told.username}@' if told.username else ''}{told.netloc.rpartition('@')[2]}{told.path}"
