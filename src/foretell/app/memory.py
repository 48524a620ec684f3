"""What a process keeps in memory, up to so many bytes."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass(frozen=True, kw_only=True)
class Stats:
    """How many things are kept and their bytes; how often one was found there (`hits`) or had to be made (`misses`)."""

    cached: int
    bytes: int
    hits: int
    misses: int

    @property
    def hit_rate(self) -> float | None:
        """The share of hits, 0 to 1; None where nobody has asked yet."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


class Memory(Generic[V]):
    """Things by key; those used longest ago go first when there are more than `limit` bytes. For many threads."""

    def __init__(self, limit: int, *, lasting: float | None = None) -> None:
        """Nothing is kept longer than `lasting` seconds, where it is given."""
        self.limit, self.lasting, self.held = limit, lasting, 0
        self._kept: OrderedDict[Hashable, tuple[V, int, float, str]] = OrderedDict()
        self._hits, self._misses = Counter[str](), Counter[str]()  # by whose they were
        self._lock = threading.Lock()
        self._making: dict[Hashable, tuple[threading.Lock, int]] = {}  # and how many wait for it or hold it

    def once(
        self, key: Hashable, make: Callable[[], tuple[V, int]], *, lasting: float | None = None, whose: str = ""
    ) -> V:
        """What is kept by this key; else what `make` makes (with its bytes), by one thread while others wait for it.

        What is older than `lasting` seconds is made again; without it, what is older than the memory's own. `whose` it
        is tells `stats` and `clear`.
        """
        lasting = self.lasting if lasting is None else lasting
        if (found := self._found(key, lasting, whose)) is not None:
            return found
        with self._lock:
            turn, users = self._making.get(key) or (threading.Lock(), 0)
            self._making[key] = turn, users + 1
        try:
            with turn:
                if (found := self._found(key, lasting, whose)) is not None:
                    return found
                with self._lock:
                    self._misses[whose] += 1
                made, size = make()
                self.keep(key, made, size, whose=whose)
                return made
        finally:
            with self._lock:
                _, users = self._making.pop(key)
                if users > 1:
                    self._making[key] = turn, users - 1

    def stats(self, whose: str | None = None) -> Stats:
        """The figures of what is somebody's, of all if None; what is too old is forgotten first."""
        with self._lock:
            self._expire()
            mine = [size for _, size, _, owner in self._kept.values() if whose in (None, owner)]
            hits, misses = (count.total() if whose is None else count[whose] for count in (self._hits, self._misses))
        return Stats(cached=len(mine), bytes=sum(mine), hits=hits, misses=misses)

    def clear(self, whose: str) -> int:
        """Forget what is somebody's; returns how many things that were. What is being made is kept when it is made."""
        with self._lock:
            mine = [key for key, (_, _, _, owner) in self._kept.items() if owner == whose]
            for key in mine:
                self._drop(key)
        return len(mine)

    def expire(self) -> None:
        """Forget what is older than the memory's own `lasting`, whether or not anybody asks for it again."""
        with self._lock:
            self._expire()

    def _expire(self) -> None:
        if self.lasting is not None:
            born = time.monotonic() - self.lasting
            for key in [key for key, (_, _, since, _) in self._kept.items() if since < born]:
                self._drop(key)

    def found(self, key: Hashable) -> V | None:
        """What is kept by this key, None where nothing is; it counts as neither found nor made."""
        return self._found(key, self.lasting, None)

    def keep(self, key: Hashable, value: V, size: int, *, whose: str) -> None:
        """Keep something of so many bytes by a key, instead of what was there; nothing that is larger than all."""
        with self._lock:
            self._drop(key)
            if size > self.limit:
                return
            while self.held + size > self.limit:
                self._drop(next(iter(self._kept)))
            self._kept[key] = (value, size, time.monotonic(), whose)
            self.held += size

    def _found(self, key: Hashable, lasting: float | None, whose: str | None) -> V | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            if lasting is not None and time.monotonic() - kept[2] > lasting:
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            if whose is not None:
                self._hits[whose] += 1
            return kept[0]

    def _drop(self, key: Hashable) -> None:
        if key in self._kept:
            self.held -= self._kept.pop(key)[1]
