"""Our own PostgreSQL, for whoever has none: its binaries from a wheel, its data in one folder, shared by processes.

Under the home folder:

    postgres/       the data; it is there whole, or not at all
    password        of the superuser, readable by the server's account alone
    postgres.log    what the server says
    socket/         the only door; under /tmp where this path would be too long for a socket
    lock            held while somebody starts or stops the server, never while it just runs
    alive           held by the server itself until its last process has ended
    bin-…/          a copy of the binaries, where the server's account can't go to the wheel's

The system frees `alive` whatever ends a server, so unlike the number in `postmaster.pid` it can't be stale, nor mean
another process that has the same number today. The server outlives the process that started it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from foretell.errors import Misconfigured
from foretell.stores import account as accounts
from foretell.stores.account import OWN, ROOT_HOME, UNFINISHED, Account
from foretell.stores.locks import held, locked, ticks
from foretell.stores.server import (
    PATIENCE,
    SUPERUSER,
    Server,
    alive,
    complaint,
    own_pid,
    running,
    settled,
    tail,
    version_of,
)

NEWEST = 18

_PORT = 5432  # names the socket; nothing listens on the network
_LONGEST = 100  # bytes of a socket's path: 107 fit on Linux, 103 on macOS
_LOG_LIMIT = 10_000_000  # bytes
_SPACE = 500_000_000  # bytes below which the doctor worries
_INITDB = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions")
_SETTINGS = {
    "listen_addresses": "",
    "port": _PORT,
    "unix_socket_permissions": "0700",
    "max_connections": 300,
    "shared_buffers": "128MB",
    "wal_level": "minimal",  # nobody replicates it, and nothing has to wait for that
    "max_wal_senders": 0,
    "max_logical_replication_workers": 0,
    "jit": "off",
    "client_connection_check_interval": "5s",  # a statement whose process was killed ends too
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "lc_messages": "C",  # we read some of them
}


@dataclass(frozen=True, kw_only=True)
class State:
    """What a doctor sees of a home folder."""

    home: Path
    running: bool
    pid: int | None
    version: int | None  # major, of the data; None where there is none
    size: int  # bytes of the data folder
    log: Path
    socket: Path | None  # the folder of the socket, while it runs
    problems: tuple[str, ...]  # each says what to type


def default_home() -> Path:
    """The platform's place for a user's data; root's is one that an unprivileged account can reach."""
    if sys.platform != "win32" and os.geteuid() == 0:
        return ROOT_HOME
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "foretell"
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".local" / "share") / "foretell"


def start(home: Path, *, version: int | None = None) -> Server:
    """The server of `home`: the one that runs, else started, after making its data folder if there is none.

    A new data folder gets PostgreSQL `version` (16 or 18; 18 if None); one that exists keeps its own. Waits up to a
    minute for a server that recovers from a crash. Raises Misconfigured, with the line to type, when it can't be.
    """
    home = _resolved(home)
    with _explained(home):
        if server := running(home):
            return server
        account = accounts.server_account(home / "postgres")
        accounts.open_home(home, account)
        with locked(home / "lock", 2 * PATIENCE) as lock:
            found = settled(home)
            if isinstance(found, Server):
                return found
            try:
                said_before = _launch(home, version or NEWEST, account, lock=lock, turn=found)
            finally:
                os.close(found)
            found = settled(home)
            if isinstance(found, Server):
                return found
            os.close(found)
    raise Misconfigured(f"PostgreSQL ended while it started: {tail(home, said_before)}; {OWN}")


def stop(home: Path) -> bool:
    """Shut the server of `home` down, and wait until it has ended; False if it did not run.

    Connections are cut and open transactions rolled back. Raises Misconfigured when it can't be ended from here.
    """
    home = _resolved(home)
    with _explained(home):
        if not (home / "lock").exists():
            return False
        with locked(home / "lock", 2 * PATIENCE):
            if not alive(home):
                return False
            if told := own_pid(home, moved=held(home / "alive")):
                os.kill(told, signal.SIGINT)
            for _ in ticks(PATIENCE if told else 5.0):  # without a postmaster its children end by themselves
                if not alive(home):
                    return True
    raise Misconfigured(
        f"the server of {home} does not end: {tail(home)}; if another container runs it, type there: foretell stop"
    )


def state(home: Path) -> State:
    """What runs in `home`, and what is wrong with it; starts nothing, changes nothing, never raises."""
    home = _resolved(home)
    data = home / "postgres"
    server: Server | None = None
    problems: list[str] = []
    try:
        with _explained(home):
            server = running(home)
            problems += _problems(home, server)
    except Misconfigured as error:
        problems.append(str(error))
    return State(
        home=home,
        running=server is not None,
        pid=server.pid if server else None,
        version=version_of(data),
        size=_size(data),
        log=home / "postgres.log",
        socket=server.socket if server else None,
        problems=tuple(problems),
    )


# ---------------------------------------------------------------- to start it


def _launch(home: Path, version: int, account: Account, *, lock: int, turn: int) -> int:
    """Start the server, first making what is missing; it takes `turn` over. Returns where in the log it begins."""
    data = home / "postgres"
    for left in home.glob(f"{UNFINISHED}*"):  # of a start that was killed
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    if data.exists():
        version = _kept(home)
    programs = accounts.binaries(version, home, account)
    if not data.exists():
        _make_data(home, programs, version, account, lock)
    socket = _socket(home, account)
    accounts.private_folder(socket, account)
    # Nothing is alive, so both are of a server that was killed; their number may by now be another process's, and
    # then PostgreSQL would refuse to start.
    if own_pid(home) is None:
        (data / "postmaster.pid").unlink(missing_ok=True)
        for left in socket.glob(f".s.PGSQL.{_PORT}*"):
            left.unlink(missing_ok=True)
    quoted = str(socket).replace('"', '""')
    settings = {**_SETTINGS, "unix_socket_directories": f'"{quoted}"'}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with _log(home) as log:
        begins = os.fstat(log).st_size
        # A shell in between, so that the server is not our child: nobody has to wait for it when it ends.
        account.run(
            ["/bin/sh", "-c", '"$@" &', "sh", programs / "postgres", "-D", data, *options],
            keep=turn,
            output=log,
            session=True,
        )
    return begins


def _kept(home: Path) -> int:
    """The version of a data folder that is there; refuses one that can't be started or logged in to."""
    data, password = home / "postgres", home / "password"
    if (version := version_of(data)) is None:
        raise Misconfigured(f"{data} is not PostgreSQL's; type: mv '{data}' '{data}.old'")
    me, owner = os.geteuid(), data.stat().st_uid
    if not owner or (me and owner != me):
        name = Account(uid=me, gid=os.getegid()).name if me else accounts.NAME
        raise Misconfigured(f"{data} belongs to another user; type: sudo chown -R {name} '{data}' '{password}'")
    if not password.exists():
        raise Misconfigured(
            f"{password} is gone, and nobody gets in without it; put it back, or begin anew: mv '{data}' '{data}.old'"
        )
    return version


def _make_data(home: Path, programs: Path, version: int, account: Account, lock: int) -> None:
    password = home / "password"
    accounts.secret_file(password, secrets.token_urlsafe(24), account)  # first: data without it is lost
    new = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=home))
    if account.borrowed:
        os.chown(new, account.uid, account.gid)
    by_code_point = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if version > 16 else []
    made = account.run(
        [programs / "initdb", "-D", new, "-U", SUPERUSER, f"--pwfile={password}", *_INITDB, *by_code_point],
        keep=lock,  # should we be killed, the next start waits until this one has ended too
    )
    if made.returncode:
        shutil.rmtree(new, ignore_errors=True)
        raise Misconfigured(f"PostgreSQL could not make its data folder in {home}: {complaint(made.stdout)}; {OWN}")
    new.rename(home / "postgres")
    accounts.sync(home)


def _socket(home: Path, account: Account) -> Path:
    """The folder for the socket: in `home`, else a short one; libpq takes a comma for the end of a name."""
    inside = home / "socket"
    if len(os.fsencode(inside / f".s.PGSQL.{_PORT}")) <= _LONGEST and "," not in str(inside):
        return inside
    key = hashlib.sha256(os.fsencode(home)).hexdigest()[:10]
    return Path("/tmp") / f"foretell-{account.uid}-{key}"  # noqa: S108 - verified before it is used


# ---------------------------------------------------------------- what to say of it


def _resolved(home: Path) -> Path:
    with suppress(RuntimeError):  # nobody's home is known: then a folder named ~ it is
        home = home.expanduser()
    return Path(os.path.realpath(home))


@contextmanager
def _explained(home: Path) -> Iterator[None]:
    """Say what the system refused in our words: a full disk, a folder that we may not write, a missing shell."""
    if os.name == "nt":
        raise Misconfigured(f"our own PostgreSQL does not run on Windows; {OWN}")
    try:
        yield
    except OSError as error:
        raise Misconfigured(
            f"{home} can't be used ({error}); use a folder that you may write: FORETELL_HOME=… — {OWN}"
        ) from error


def _size(folder: Path) -> int:
    size = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # gone since
                size += (Path(where) / name).lstat().st_size
    return size


def _problems(home: Path, server: Server | None) -> Iterator[str]:
    if not home.exists():
        return
    data, password = home / "postgres", home / "password"
    if home.stat().st_mode & 0o022:
        yield f"others may write in {home}; type: chmod go-w '{home}'"
    if password.exists() and password.stat().st_mode & 0o077:
        yield f"others may read {password}; type: chmod 600 '{password}'"
    if server is None and alive(home):
        yield f"a PostgreSQL holds {home} but does not answer: {tail(home)}; type: foretell stop"
    if (free := shutil.disk_usage(home).free) < _SPACE:
        yield f"only {free // 1_000_000} MB are free on the disk; to see how much of it is ours, type: du -sh '{home}'"
    if data.exists():
        accounts.installed(_kept(home))


@contextmanager
def _log(home: Path) -> Iterator[int]:
    handle = os.open(home / "postgres.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if os.fstat(handle).st_size > _LOG_LIMIT:
            os.truncate(handle, 0)
        yield handle
    finally:
        os.close(handle)
