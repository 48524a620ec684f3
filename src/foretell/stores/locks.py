"""Locks between processes, which the system frees however their holder ends, and waiting for them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foretell.errors import Misconfigured


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[int]:
    """Hold the lock `path`, waiting up to `seconds` for whoever has it; Misconfigured if that is not enough."""
    for _ in ticks(seconds):
        if (lock := hold(path)) is not None:
            break
    else:
        raise Misconfigured(f"another process does not let go of {path}; to see which, type: fuser '{path}'")
    try:
        yield lock
    finally:
        os.close(lock)


def hold(path: Path) -> int | None:
    """The file, open and locked until it and all its copies are closed; None if somebody has it."""
    import fcntl  # not on Windows

    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def held(path: Path) -> bool:
    """Whether somebody has it locked; those who only ask are not in each other's way."""
    import fcntl

    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def ticks(seconds: float) -> Iterator[None]:
    """Come back every few milliseconds, later more rarely, for about `seconds`."""
    pause = 0.002
    while seconds > 0:
        yield
        time.sleep(pause)
        seconds -= pause
        pause = min(1.1 * pause, 0.1)
