"""The secrets that tokens are signed with, in the data folder: the first signs, the second is the one before."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from foretell.errors import Misconfigured, NotFound
from foretell.stores.locks import locked

FILE = "token-secrets"
SHORTEST = 32  # characters of a secret
WAIT = 10.0  # seconds for another process that makes or changes them


def kept(home: Path) -> list[str]:
    """The secrets of a data folder, made where there are none. Raises Misconfigured for a file that holds none."""
    path = home / FILE
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        with locked(home / f"{FILE}.lock", WAIT):
            if not path.exists():
                _write(path, [secrets.token_urlsafe(48)])
    return _read(path)


def rotated(home: Path) -> None:
    """Make a new secret; the one before stays good, those before it end. Raises NotFound where there is none yet."""
    if not (home / FILE).exists():
        raise NotFound(f"there is no secret in {home} yet; foretell token and foretell serve make one")
    with locked(home / f"{FILE}.lock", WAIT):
        _write(home / FILE, [secrets.token_urlsafe(48), _read(home / FILE)[0]])


def _read(path: Path) -> list[str]:
    found = path.read_bytes().split()
    if not found or any(len(each) < SHORTEST or not each.isascii() for each in found):
        raise Misconfigured(f"{path} holds no secret; to make a new one (old tokens end), type: rm '{path}'")
    return [each.decode() for each in found]


def _write(path: Path, lines: list[str]) -> None:
    """All or nothing, for the owner alone."""
    half = path.with_name(f"{path.name}.new")
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
