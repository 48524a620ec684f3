"""Which cores a process computes on: one that answers keeps its threads to a single one, and leaves others theirs.

Python lets one thread compute at a time. Threads that take turns on several cores hand the turn over between them, and
what one had at hand the next must fetch again; on one core they answer a quarter more in the same time.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARE = Path("/sys/fs/cgroup/cpu.max")  # microseconds of computing that a container may take in so many
CLAIM = "\0foretell-core-{}"  # a name that Linux frees when the process ends, however it does


@contextmanager
def one() -> Iterator[int | None]:
    """Keep the threads that run Python to a core that no other process has claimed; until the block ends.

    The core is given; None, and nothing is done, where all are claimed, there is one alone, or the system lets nobody
    choose. Others are seen on the same machine, or in the same container: a process in another one may claim the same
    core, which is why a free one is taken at random. Threads that are started meanwhile are kept to it too, and so are
    processes, which may leave it (`keep_to`); threads that libraries have started before stay where they may be.
    """
    may = allowed()
    claimed = _claimed(may) if len(may) > 1 else None
    if claimed is None:
        yield None
        return
    core, claim = claimed
    keep_to(frozenset({core}))
    try:
        yield core
    finally:
        keep_to(may)
        claim.close()


def allowed() -> frozenset[int]:
    """The cores that this thread may use; none where the system lets nobody choose (it is no Linux)."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def count() -> int:
    """How many cores' worth of computing there is for this process: those it may use, within its container's share."""
    cores = len(allowed()) or os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no Linux, no container, or no limit ("max")
        quota, period = map(int, SHARE.read_text().split())
        cores = min(cores, max(1, quota // period))
    return cores


def keep_to(cores: frozenset[int]) -> None:
    """Let the threads of this process that run Python use these cores alone; nothing is done for none."""
    for thread in threading.enumerate() if cores else ():
        with contextlib.suppress(OSError):  # it has ended, or the cores were taken away
            os.sched_setaffinity(thread.native_id or 0, cores)


def _claimed(cores: frozenset[int]) -> tuple[int, socket.socket] | None:
    """A core that nobody had claimed, at random, and what claims it as long as it is open; None if there is none."""
    for core in random.sample(sorted(cores), len(cores)):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(CLAIM.format(core))
        except OSError:
            claim.close()
        else:
            return core, claim
    return None
