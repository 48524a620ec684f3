"""What a process keeps in memory: never more than the limit, the least used goes first, each thing made once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.app import memory
from foretell.app.memory import Memory, Stats


class Maker:
    """Makes things and counts how often; each has its key's name and a number."""

    def __init__(self, kept: Memory[str]) -> None:
        self.kept, self.made = kept, Counter[str]()

    def get(self, key: str, size: int = 1, whose: str = "") -> str:
        def make() -> tuple[str, int]:
            self.made[key] += 1
            return f"{key}{self.made[key]}", size

        return self.kept.once(key, make, whose=whose)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


# ---------------------------------------------------------------- how much, and for how long


def test_what_is_kept_is_made_once() -> None:
    maker = Maker(Memory(10))
    assert [maker.get("a"), maker.get("a"), maker.get("b"), maker.get("a")] == ["a1", "a1", "b1", "a1"]


def test_what_was_used_longest_ago_goes_first() -> None:
    maker = Maker(Memory(3))
    for key in "abc":
        maker.get(key)
    maker.get("a")  # used again: now b is the oldest
    maker.get("d")
    assert [maker.get(key) for key in "acd"] == ["a1", "c1", "d1"]
    assert maker.get("b") == "b2"
    assert maker.kept.held == 3


def test_as_many_go_as_must() -> None:
    maker = Maker(Memory(10))
    for key in "abcde":
        maker.get(key, 2)
    maker.get("big", 7)
    assert maker.kept.held == 9
    assert [maker.get("e", 2), maker.get("d", 2)] == ["e1", "d2"]


def test_what_just_fits_is_kept() -> None:
    maker = Maker(Memory(10))
    maker.get("a", 4)
    maker.get("b", 6)
    assert (maker.get("a", 4), maker.get("b", 6), maker.kept.held) == ("a1", "b1", 10)
    maker.get("all", 10)
    assert (maker.get("all", 10), maker.kept.held) == ("all1", 10)


def test_what_is_larger_than_the_limit_is_made_each_time_and_drives_nothing_out() -> None:
    maker = Maker(Memory(10))
    maker.get("a", 4)
    assert [maker.get("giant", 11), maker.get("giant", 11)] == ["giant1", "giant2"]
    assert maker.kept.held == 4
    assert maker.get("a", 4) == "a1"


def test_nothing_weighs_nothing() -> None:
    maker = Maker(Memory(0))
    assert [maker.get("a", 0), maker.get("a", 0), maker.get("b", 1), maker.get("b", 1)] == ["a1", "a1", "b1", "b2"]


def test_nothing_is_kept_longer_than_it_may(clock: Clock) -> None:
    maker = Maker(Memory(10, lasting=300.0))
    maker.get("a", 4)
    clock.now += 300.0
    assert maker.get("a", 4) == "a1"  # to be used does not make it younger
    clock.now += 0.1
    assert maker.get("a", 4) == "a2"
    assert maker.kept.held == 4


def test_without_an_end_it_is_kept_for_ever(clock: Clock) -> None:
    maker = Maker(Memory(10))
    maker.get("a")
    clock.now += 1e9
    assert maker.get("a") == "a1"


DEEDS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 12), st.sampled_from([0.0, 1.0, 4.0])), max_size=40
)


@given(deeds=DEEDS, limit=st.integers(0, 20), lasting=st.sampled_from([None, 0.0, 3.0]))
def test_it_always_holds_what_a_plain_list_would(
    deeds: list[tuple[str, int, float]], limit: int, lasting: float | None
) -> None:
    """An oracle: things with size and birth, the one used last at the end."""
    clock, maker, plain = Clock(), Maker(Memory(limit, lasting=lasting)), list[tuple[str, str, int, float]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "time", SimpleNamespace(monotonic=clock.monotonic))
        for key, size, pause in deeds:
            clock.now += pause
            known = [each for each in plain if each[0] == key and (lasting is None or clock.now - each[3] <= lasting)]
            before = maker.made[key]
            said = maker.get(key, size)
            plain = [each for each in plain if each[0] != key]
            if known:
                assert (said, maker.made[key]) == (known[0][1], before)
                plain += known
            else:
                assert (said, maker.made[key]) == (f"{key}{before + 1}", before + 1)
                if size <= limit:
                    while sum(each[2] for each in plain) + size > limit:
                        del plain[0]
                    plain.append((key, said, size, clock.now))
            assert maker.kept.held == sum(each[2] for each in plain) <= limit


# ---------------------------------------------------------------- figures, and whose


def test_hits_and_misses_are_counted_by_whose_they_were() -> None:
    kept = Memory[str](10)
    assert kept.stats("a") == Stats(cached=0, bytes=0, hits=0, misses=0)
    assert kept.stats("a").hit_rate is None
    for key, whose, size in (("1", "a", 2), ("1", "a", 2), ("2", "a", 3), ("3", "b", 4), ("1", "a", 2)):
        kept.once(key, lambda size=size: ("x", size), whose=whose)  # type: ignore[misc]
    assert kept.stats("a") == Stats(cached=2, bytes=5, hits=2, misses=2)
    assert kept.stats("b") == Stats(cached=1, bytes=4, hits=0, misses=1)
    assert kept.stats() == Stats(cached=3, bytes=9, hits=2, misses=3)
    assert (kept.stats("a").hit_rate, kept.stats().hit_rate) == (0.5, 0.4)


def test_what_is_cleared_is_made_again_and_nobody_elses_is() -> None:
    maker = Maker(Memory(10))
    for key, whose in (("a", "me"), ("b", "me"), ("c", "you")):
        maker.get(key, 2, whose)
    assert (maker.kept.clear("me"), maker.kept.clear("me"), maker.kept.held) == (2, 0, 2)
    assert [maker.get(key, 2, whose) for key, whose in (("a", "me"), ("c", "you"))] == ["a2", "c1"]
    assert (maker.kept.stats("me").misses, maker.kept.stats("you").hits) == (3, 1)


def test_what_is_too_old_goes_though_nobody_asks_for_it(clock: Clock) -> None:
    maker = Maker(Memory(10, lasting=300.0))
    maker.get("a", 4)
    clock.now += 200
    maker.get("b", 3)
    clock.now += 100.1
    maker.kept.expire()
    assert maker.kept.held == 3
    clock.now += 200
    assert (maker.kept.stats().cached, maker.kept.held) == (0, 0)


# ---------------------------------------------------------------- what fails


def failing() -> tuple[str, int]:
    raise ZeroDivisionError


def test_what_fails_leaves_no_trace() -> None:
    maker = Maker(Memory(10))
    maker.get("b", 4)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            maker.kept.once("a", failing)
    assert maker.kept.held == 4
    assert [maker.get("a"), maker.get("b", 4)] == ["a1", "b1"]


def test_what_is_interrupted_leaves_no_trace() -> None:
    def interrupted() -> tuple[str, int]:
        raise KeyboardInterrupt

    maker = Maker(Memory(10))
    with pytest.raises(KeyboardInterrupt):
        maker.kept.once("a", interrupted)
    assert maker.get("a") == "a1"


def test_no_lock_outlives_its_use() -> None:
    maker = Maker(Memory(10))
    for number in range(100):
        maker.get(f"{number}")
        with pytest.raises(ZeroDivisionError):
            maker.kept.once(f"bad {number}", failing)
    assert not maker.kept._making


# ---------------------------------------------------------------- many threads

THREADS = 16


def together(deed: Callable[[int], str]) -> list[str]:
    """What sixteen threads get that begin at one moment."""
    barrier = threading.Barrier(THREADS)

    def begin(number: int) -> str:
        barrier.wait(10)
        return deed(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return [*pool.map(begin, range(THREADS))]


class Busy:
    """Slow makers of things, and how many of one thing were at work at once."""

    def __init__(self, kept: Memory[str], size: int = 1) -> None:
        self.kept, self.size, self.lock = kept, size, threading.Lock()
        self.now, self.most, self.made = Counter[str](), Counter[str](), Counter[str]()

    def get(self, key: str, *, fails: int = 0) -> str:
        def make() -> tuple[str, int]:
            with self.lock:
                self.made[key] += 1
                number = self.made[key]
                self.now[key] += 1
                self.most[key] = max(self.most[key], self.now[key])
            threading.Event().wait(0.02)
            with self.lock:
                self.now[key] -= 1
            if number <= fails:
                raise ZeroDivisionError
            return f"{key}{number}", self.size

        return self.kept.once(key, make)


def test_sixteen_threads_make_a_thing_once() -> None:
    for _ in range(10):
        busy = Busy(Memory(10))
        assert together(lambda number, busy=busy: busy.get("a")) == ["a1"] * THREADS  # type: ignore[misc]
        assert busy.made == {"a": 1}


def test_one_things_making_does_not_keep_another_waiting() -> None:
    kept, inside = Memory[str](10), threading.Barrier(2)

    def make(key: str) -> tuple[str, int]:
        inside.wait(10)  # both are being made at one moment
        return key, 1

    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(lambda key: kept.once(key, lambda: make(key)), "ab")] == ["a", "b"]


def test_what_is_kept_is_found_while_another_is_made() -> None:
    kept, begun, go = Memory[str](10), threading.Event(), threading.Event()
    kept.once("a", lambda: ("a", 1))

    def slow() -> tuple[str, int]:
        begun.set()
        go.wait(10)
        return "b", 1

    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(kept.once, "b", slow)
        begun.wait(10)
        assert kept.once("a", failing) == "a"
        go.set()
        assert making.result() == "b"


def test_after_a_failure_those_who_waited_try_themselves_one_at_a_time() -> None:
    def get(number: int) -> str:
        try:
            return busy.get("a", fails=3)
        except ZeroDivisionError:
            return "failed"

    busy = Busy(Memory(10))
    assert Counter(together(get)) == {"failed": 3, "a4": THREADS - 3}
    assert (busy.made, busy.most) == ({"a": 4}, {"a": 1})
    assert not busy.kept._making


def test_who_comes_after_a_failure_waits_for_whom_waited_before() -> None:
    """A fails while B waits; B makes; C comes meanwhile, and makes nothing."""
    kept, begun, turns = Memory[str](10), [threading.Event() for _ in "ABC"], [threading.Event() for _ in "ABC"]

    def make(place: int) -> tuple[str, int]:
        begun[place].set()
        assert turns[place].wait(10)
        if place == 0:
            raise ZeroDivisionError
        return "ABC"[place], 1

    with ThreadPoolExecutor(3) as pool:
        a = pool.submit(kept.once, "key", lambda: make(0))
        assert begun[0].wait(10)
        b = pool.submit(kept.once, "key", lambda: make(1))
        assert not begun[1].wait(0.1)
        turns[0].set()
        assert begun[1].wait(10)
        with pytest.raises(ZeroDivisionError):
            a.result(10)
        c = pool.submit(kept.once, "key", lambda: make(2))
        two_at_once = begun[2].wait(0.2)
        turns[1].set()
        turns[2].set()
        assert (b.result(10), two_at_once, c.result(10)) == ("B", False, "B")


def test_what_is_too_large_to_keep_is_made_by_one_thread_at_a_time() -> None:
    busy = Busy(Memory(10), size=11)
    together(lambda number: busy.get("a"))
    assert busy.most == {"a": 1}
    assert busy.kept.held == 0
    assert not busy.kept._making


def test_threads_and_many_things_keep_the_limit() -> None:
    kept, seen = Memory[str](50), list[int]()

    def use(number: int) -> str:
        for turn in range(300):
            key = f"{(number * 7 + turn * turn) % 23}"
            assert kept.once(key, lambda key=key: (key, int(key))) == key  # type: ignore[misc]
            seen.append(kept.held)
        return ""

    together(use)
    assert max(seen) <= 50
    assert kept.held == sum(size for _, size, *_ in kept._kept.values())
    assert not kept._making


def test_threads_that_ask_look_and_clear_keep_the_figures_right() -> None:
    kept, made = Memory[str](50, lasting=1e-4), Counter[str]()

    def use(number: int) -> str:
        whose = "ab"[number % 2]
        for turn in range(200):
            key = f"{whose}{turn % 7}"

            def make(key: str = key) -> tuple[str, int]:
                made[key] += 1  # one thread at a time makes a thing
                return key, 3

            assert kept.once(key, make, whose=whose) == key
            if turn % 20 == number:
                kept.clear(whose)
            assert kept.stats(whose).bytes <= kept.stats().bytes + 50
        return ""

    together(use)
    both = kept.stats()
    assert (both.hits + both.misses, both.misses) == (THREADS * 200, made.total())
    assert kept.held == sum(size for _, size, *_ in kept._kept.values())
