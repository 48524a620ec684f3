"""Our own PostgreSQL as it is found: whether one runs in a home folder, whether it answers, what its log says."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg

from foretell.errors import Misconfigured
from foretell.stores.locks import held, hold, ticks

SUPERUSER = "foretell_super"
PATIENCE = 60.0  # seconds: a server that crashed replays its log first
WRONG = re.compile(r"\b(PANIC|FATAL|ERROR|error|DETAIL|HINT): ")


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server, and how to log in as its superuser."""

    home: Path
    data: Path
    socket: Path  # the folder of the socket
    port: int
    user: str
    password: str = field(repr=False)
    version: int  # major
    pid: int

    def url(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """A `postgresql://` URL of a database, for the superuser unless another user is given with its password."""
        name, secret = (self.user, self.password) if user is None else (user, password)
        login = quote(name, safe="") + ("" if secret is None else f":{quote(secret, safe='')}")
        return (
            f"postgresql://{login}@/{quote(database, safe='')}?host={quote(str(self.socket), safe='')}&port={self.port}"
        )


def running(home: Path) -> Server | None:
    """The server of `home` if it lets us in."""
    data = home / "postgres"
    try:
        lines = os.fsdecode((data / "postmaster.pid").read_bytes()).split("\n")
        if lines[1] != str(data) or lines[7].strip() != "ready":  # not this folder's: it came along in a copy
            return None
        server = Server(
            home=home,
            data=data,
            socket=Path(lines[4]),
            port=int(lines[3]),
            user=SUPERUSER,
            password=(home / "password").read_text(encoding="ascii"),
            version=int((data / "PG_VERSION").read_text(encoding="ascii")),
            pid=int(lines[0]),
        )
    except (FileNotFoundError, NotADirectoryError, ValueError, IndexError):
        return None
    return server if _answers(server) else None


def _answers(server: Server) -> bool:
    try:
        psycopg.connect(server.url(), connect_timeout=20).close()
    except psycopg.errors.ConnectionTimeout as error:
        raise Misconfigured(f"the server of {server.home} (process {server.pid}) hangs; type: foretell stop") from error
    except psycopg.OperationalError as error:
        said = str(error)
        if "password authentication failed" in said:
            raise Misconfigured(
                f"{server.home / 'password'} is not the password of {SUPERUSER}; put back the one made with the data"
            ) from error
        return "too many clients" in said or "connection slots" in said
    return True


def settled(home: Path) -> Server | int:
    """The server as soon as it answers; else, when none is alive, the right to be the next: `alive`, open and held."""
    for _ in ticks(PATIENCE):
        if server := running(home):
            return server
        if (turn := hold(home / "alive")) is not None:
            return turn
    raise Misconfigured(
        f"a PostgreSQL holds {home} but does not answer: {tail(home)}; wait if it recovers, or type: foretell stop"
    )


def alive(home: Path) -> bool:
    """Whether any process of a server of `home` is left."""
    return held(home / "alive") or own_pid(home) is not None


def own_pid(home: Path, *, moved: bool = False) -> int | None:
    """The number of the server's first process, if there is one and it is the server's.

    A path that is not this folder's came along in a copy, unless the folder was `moved` under a running server.
    """
    data = home / "postgres"
    try:
        lines = os.fsdecode((data / "postmaster.pid").read_bytes()).split("\n")
        pid, where = int(lines[0]), lines[1]
        if where != str(data) and not moved:
            return None
        if Path("/proc/self").exists():
            command = os.fsdecode((Path("/proc") / str(pid) / "cmdline").read_bytes()).split("\0")
            return pid if where in command else None
        asked = subprocess.run(  # noqa: S603 - macOS has no /proc
            ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
    except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
        return None
    return pid if where in asked.stdout else None


def version_of(data: Path) -> int | None:
    """The major version of a data folder; None if there is none, or it is not one."""
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def tail(home: Path, begins: int = 0) -> str:
    """The last lines of the server's log, of what it said at or after byte `begins`, as one."""
    try:
        with (home / "postgres.log").open("rb") as log:
            log.seek(max(begins, log.seek(0, os.SEEK_END) - 4000))
            return _ending(log.read().decode(errors="replace").splitlines())
    except FileNotFoundError:
        return "it has no log"


def complaint(text: str) -> str:
    """The last lines of a program's output that say what went wrong, as one; the last of all where none does."""
    lines = text.splitlines()
    return _ending([line for line in lines if WRONG.search(line)] or lines)


def _ending(lines: list[str]) -> str:
    return " / ".join([line.strip() for line in lines if line.strip()][-5:]) or "it said nothing"
