"""PostgreSQL's own programs at work on a database: pg_dump, pg_restore and psql of the wheel, run as ourselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from foretell.errors import Damaged, Misconfigured, Refused, Unavailable
from foretell.stores.account import installed
from foretell.stores.server import complaint

NEWEST = 18  # that these programs understand

_SCRIPT = 3  # how psql ends when a statement fails
_HEAD = 4096  # bytes in which a script sets what it needs
_TIMEOUT = b"SET transaction_timeout = 0;\n"  # unknown to PostgreSQL 16
_DUMP = ("--format=custom", "--no-owner", "--no-tablespaces", "--no-publications", "--no-subscriptions")
_RESTORE = (
    "--file=-",
    "--no-owner",  # who restores owns
    "--no-tablespaces",
    "--no-comments",  # an extension's is its owner's
    "--no-security-labels",
    "--no-publications",
    "--no-subscriptions",
)


class Clients:
    """The programs for the database of a connection; `version` is its server's major version."""

    def __init__(self, connection: Connection[Any], url: str) -> None:
        """Raise Misconfigured where there are none that understand the server, or reach it."""
        self.version = connection.info.server_version // 10_000
        if self.version > NEWEST:
            raise Misconfigured(
                f"the database is PostgreSQL {self.version}, our pg_dump understands {NEWEST}; upgrade foretell"
            )
        told: dict[str, Any] = conninfo_to_dict(url)
        password = told.pop("password", None)
        self._database = f"--dbname={make_conninfo(**told)}"  # a command line is seen by everybody
        self._environment = {**os.environ, "LC_ALL": "C"} | ({"PGPASSWORD": str(password)} if password else {})
        if connection.pgconn.ssl_in_use:
            self._environment["LD_PRELOAD"] = str(_with_tls())

    @contextmanager
    def dumped(self, snapshot: str) -> Iterator[IO[bytes]]:
        """What pg_dump says of the database as of a snapshot; raises Unavailable unless it comes to a good end."""
        options = (*_DUMP, f"--snapshot={snapshot}", "--no-password", self._database)
        with self._run([_program("pg_dump", self.version), *options], stdin=subprocess.DEVNULL) as (dump, said):
            yield _pipe(dump.stdout)
            _ended(dump, "pg_dump", said)

    def load(self, dump: IO[bytes], *, made_by: int, last: str) -> None:
        """Do what a dump says and then `last`, as one transaction: all or nothing, however we end.

        `made_by` is the PostgreSQL that the dump is of. Raises Refused with what the database does not
        want, Damaged where the dump can't be read, and Unavailable.
        """
        version = max(self.version, made_by)  # an older pg_restore does not read it
        quiet = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--no-password", self._database)
        with (
            self._run([_program("pg_restore", version), *_RESTORE], stdin=subprocess.PIPE) as (script, script_said),
            self._run([_program("psql", version), *quiet], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as (
                psql,
                psql_said,
            ),
        ):
            feeder = threading.Thread(target=_feed, args=(dump, _pipe(script.stdin)), daemon=True)
            feeder.start()
            read, write = _pipe(script.stdout), _pipe(psql.stdin)
            with suppress(BrokenPipeError):  # psql has said why
                # If we are killed, psql sees an end without COMMIT.
                write.write(b"BEGIN;\n")
                head = read.read(_HEAD)
                write.write(head.replace(_TIMEOUT, b"", 1) if self.version < 17 else head)
                shutil.copyfileobj(read, write)
                _ended(script, "pg_restore", script_said)
                write.write(f"{last}\nCOMMIT;\n".encode())
                write.close()
            _ended(psql, "psql", psql_said)
            feeder.join()

    @contextmanager
    def _run(
        self, command: Sequence[str | Path], *, stdin: int, stdout: int = subprocess.PIPE
    ) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
        """A program, and what it complains of; killed if it is left running."""
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(  # noqa: S603 - our own command lines, no shell in between
                command, stdin=stdin, stdout=stdout, stderr=said, env=self._environment
            ) as program,
        ):
            try:
                yield program, said
            finally:
                if program.poll() is None:
                    program.kill()
                if program.stdin:
                    with suppress(BrokenPipeError):
                        program.stdin.close()


def _program(name: str, version: int) -> Path:
    """A program of the wheel that understands a server of this major version."""
    return installed(16 if version == 16 else NEWEST) / "bin" / name


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    if end is None:
        raise AssertionError("opened as a pipe")
    return end


def _feed(source: IO[bytes], pipe: IO[bytes]) -> None:
    # What goes wrong here leaves the reader with half a dump, and it says so.
    with suppress(Exception), pipe:
        shutil.copyfileobj(source, pipe)


def _ended(program: subprocess.Popen[bytes], name: str, said: IO[bytes]) -> None:
    """Wait for a program; raises what it complains of unless it comes to a good end."""
    if code := program.wait():
        said.seek(0)
        words = complaint(said.read().decode(errors="replace"))
        if name == "psql" and code == _SCRIPT:
            raise Refused(f"the database refuses what is in the backup, and nothing in it was changed: {words}")
        if name == "pg_restore":
            raise Damaged(f"the dump can't be read, and nothing in the database was changed: {words}")
        raise Unavailable(f"{name} gave up: {words}")


def _with_tls() -> Path:
    """The client library that our own connections use: the wheel's programs come with one that knows no TLS."""
    package = Path(psycopg.__file__).parent.parent
    found = sorted(package.glob("psycopg_binary.libs/libpq*.so*"))
    if not found:
        raise Misconfigured(
            "the database is reached by TLS, which our pg_dump does not know here; type: pip install 'psycopg[binary]'"
            " on Linux, or reach it without, over a tunnel: sslmode=disable"
        )
    return found[0]
