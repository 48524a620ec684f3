"""What a process keeps in memory, up to so many bytes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Memory(Generic[V]):
    """Things by key; those used longest ago go first when there are more than `limit` bytes. For many threads."""

    def __init__(self, limit: int, *, lasting: float | None = None) -> None:
        """Nothing is kept longer than `lasting` seconds, where it is given."""
        self.limit, self.lasting, self.held = limit, lasting, 0
        self._kept: OrderedDict[Hashable, tuple[V, int, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, tuple[threading.Lock, int]] = {}  # and how many wait for it or hold it

    def once(self, key: Hashable, make: Callable[[], tuple[V, int]], *, lasting: float | None = None) -> V:
        """What is kept by this key; else what `make` makes (with its bytes), by one thread while others wait for it.

        What is older than `lasting` seconds is made again; without it, what is older than the memory's own.
        """
        lasting = self.lasting if lasting is None else lasting
        if (found := self._found(key, lasting)) is not None:
            return found
        with self._lock:
            turn, users = self._making.get(key) or (threading.Lock(), 0)
            self._making[key] = turn, users + 1
        try:
            with turn:
                if (found := self._found(key, lasting)) is not None:
                    return found
                made, size = make()
                self._keep(key, made, size)
                return made
        finally:
            with self._lock:
                _, users = self._making.pop(key)
                if users > 1:
                    self._making[key] = turn, users - 1

    def _found(self, key: Hashable, lasting: float | None) -> V | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            if lasting is not None and time.monotonic() - kept[2] > lasting:
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            return kept[0]

    def _keep(self, key: Hashable, value: V, size: int) -> None:
        with self._lock:
            self._drop(key)
            if size > self.limit:
                return
            while self.held + size > self.limit:
                self._drop(next(iter(self._kept)))
            self._kept[key] = (value, size, time.monotonic())
            self.held += size

    def _drop(self, key: Hashable) -> None:
        if key in self._kept:
            self.held -= self._kept.pop(key)[1]
