"""Heavy work leaves the process: backtests, fits and large bodies have processes of their own, kept warm."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime
from typing import Any, Literal

from foretell.app import App, cores, logs, patience, upload
from foretell.app.basis import Told
from foretell.app.features import Format, written
from foretell.app.house import House
from foretell.app.requests import body_of
from foretell.app.tenancy import AsOf, Tenancy
from foretell.errors import ForetellError, Unavailable

Verb = Literal[
    "backtest",
    "replay",
    "parity",
    "take",
    "take_format",
    "collect",
    "predict",
    "predict_each",
    "importance",
    "training_set",
]

NICER = 10  # by which processes give way to those that answer,
AWAITED = 5  # and those whose work is an answer that somebody waits for
CONNECTIONS = 2  # of each process
AGAIN = 1.0  # seconds after which work that has outlasted its end is told so again


class Pool:
    """Processes that do one piece of work each at a time. A dead one is replaced, and its work named as undone."""

    def __init__(self, size: int, *, answering: bool = False) -> None:
        """Start `size` processes, spawned: a forked Polars hangs. With `answering` they are for answers: see `AWAITED`.

        Those have made every fit once before they are warm: the first would take ten seconds longer.
        """
        self.size, self._answering = size, answering
        self._cores = cores.allowed()  # now: who starts a process in place of a dead one may be kept to fewer
        self._lock = threading.Lock()
        self._pool = self._fresh()
        self._warmed = [self._pool.submit(_warm, answering) for _ in range(size)]

    def _fresh(self) -> ProcessPoolExecutor:
        context, nicer = multiprocessing.get_context("spawn"), AWAITED if self._answering else NICER
        told = nicer, self._cores
        return ProcessPoolExecutor(max_workers=self.size, mp_context=context, initializer=_begin, initargs=told)

    def warmed(self) -> bool:
        """Whether every process has started; raises what hindered one."""
        return all(each.done() and each.result() for each in self._warmed)

    def do(self, verb: Verb, desk: Tenancy, told: Mapping[str, Any]) -> Future[Any]:
        """What will come of a verb for a tenant, as plain JSON; its errors are those of `App`, and Unavailable."""
        asking = {"tenant": desk.tenant, "who": desk.who, "person": desk.person}
        with self._lock:
            try:
                given = self._pool.submit(_do, verb, asking, told, patience.end())
            except BrokenProcessPool:
                self._pool = self._fresh()
                given = self._pool.submit(_do, verb, asking, told, patience.end())
        answer: Future[Any] = Future()
        given.add_done_callback(lambda done: _pass(done, answer))
        return answer

    def close(self) -> None:
        """Wait for what is being done, then end."""
        self._pool.shutdown(wait=True)


def _pass(done: Future[Any], answer: Future[Any]) -> None:
    """Hand over what came of a piece of work, unless nobody waits any more."""
    if not answer.set_running_or_notify_cancel():
        return
    error = done.exception()
    if isinstance(error, BrokenProcessPool):
        error = Unavailable("the process that did it was ended; nothing of it was written: ask again")
    if error is None:
        answer.set_result(done.result())
    else:
        answer.set_exception(error)


# ---------------------------------------------------------------- in a process of the pool

_houses: list[House] = []
_nicer: list[int] = []  # by how much this process will give way


def _begin(nicer: int, may: frozenset[int]) -> None:
    """Leave signals to the parent, use the cores that one may, and end when the parent has ended."""
    logs.begin()
    cores.keep_to(may)
    _nicer.append(nicer)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)

    end_with_parent()


def end_with_parent() -> None:
    """End this process when the one that started it has ended, however that ended."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _warm(answering: bool) -> bool:
    _house().warm()
    if answering:
        _house().rehearse()
    _give_way()  # only now: until all are warm nobody answers whom this keeps waiting
    return True


def _give_way() -> None:
    """From now on, give way to who answers."""
    while _nicer:
        with contextlib.suppress(OSError):
            os.nice(_nicer.pop())


def _house() -> House:
    if not _houses:
        _houses.append(House.open(size=CONNECTIONS))
    return _houses[0]


class _Ended(KeyboardInterrupt):
    """The request that is worked for has ended: no `except Exception` goes on, and psycopg cancels its statement."""


def _do(verb: Verb, asking: Mapping[str, Any], told: Mapping[str, Any], end: float | None) -> Any:
    _give_way()
    try:
        with _until(end):
            return _VERBS[verb](App(Tenancy(house=_house(), **asking)), **told)
    except _Ended:
        while _houses:  # whatever was being done with it
            _houses.pop().close()
        raise Unavailable(patience.LATE) from None


@contextlib.contextmanager
def _until(end: float | None) -> Iterator[None]:
    """Work until a moment; what is not done then is left, wherever it is."""
    with patience.until(end):
        seconds = patience.left()
        if seconds is None or not hasattr(signal, "setitimer"):  # Windows: its work goes on, and nothing of it is kept
            yield
            return
        signal.signal(signal.SIGALRM, _ring)
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(*_: object) -> None:
    raise _Ended


def backtested(app: App, *, task: str, **told: Any) -> dict[str, Any]:
    """Backtest; every candidate's scores, as plain JSON."""
    tested = app.backtest(task, **told)
    return {
        "task": task,
        "folds": [[first.isoformat(), last.isoformat()] for first, last in tested.folds],
        "scored": tested.asked.height,
        "scores": {name: dict(scores) for name, scores in tested.scores().items()},
        "skipped": dict(tested.skipped),
    }


def replayed(app: App, *, task: str, start: str | None, end: str | None, **told: Any) -> dict[str, Any]:
    """Replay; every policy's figures and the line, as plain JSON."""
    period = {name: datetime.fromisoformat(each) for name, each in (("start", start), ("end", end)) if each}
    return app.replay(task, **period, **told).model_dump(mode="json")  # type: ignore[arg-type]


def weighed(app: App, *, task: str, as_of: AsOf, grouped: bool) -> dict[str, Any]:
    """What features are worth, as plain JSON."""
    return app.features.importance(task, as_of=as_of, grouped=grouped).model_dump(mode="json")


def training_set(app: App, *, task: str, kind: Format, as_of: AsOf, days: int | None) -> bytes:
    """What a task learns from, as a file."""
    return written(app.features.training_set(task, as_of=as_of, days=days), kind)


def compared(app: App, **told: Any) -> dict[str, Any]:
    """Compare what groups were told; as plain JSON."""
    return app.reviews.parity(**told).model_dump(mode="json")


def taken(app: App, *, table: str, body: bytes, kind: upload.Kind, **told: Any) -> Mapping[str, Any]:
    """Take a body's rows in; what became of them."""
    return upload.take(app.desk, table, body, kind, **told)


def taken_format(app: App, *, name: str, body: bytes) -> dict[str, Any]:
    """Take in what another program exported; what became of the rows, by table."""
    return {table: one.told() for table, one in app.import_format(name, body).items()}


def collected(app: App, *, name: str, since: str | None, until: str | None) -> list[dict[str, Any]]:
    """Fetch what sources tell; what came of each, as plain JSON."""
    span = {word: datetime.fromisoformat(each) for word, each in (("since", since), ("until", until)) if each}
    return [one.model_dump(mode="json") for one in app.sources.collect(name, **span)]


def predicted(
    app: App, *, task: str, url: str | None, body: bytes, cache_bypass: bool = False, **told: Any
) -> dict[str, Any]:
    """Predict by a fit, from a body as it came to a path; the answer as callers get it."""
    declared = app.desk.task(task)
    request, afresh = body_of(declared, url, body)
    said = app.predict(task, request, cache_bypass=cache_bypass or afresh, **told)
    return Told.of(declared, said).model_dump(mode="json")


def predicted_each(app: App, *, task: str, **told: Any) -> list[tuple[str, str | ForetellError]]:
    """Predict for each of many; by name what callers get, as JSON, or the error."""
    declared = app.desk.task(task)
    return [
        (name, said if isinstance(said, ForetellError) else Told.of(declared, said).model_dump_json())
        for name, said in app.predict_each(task, **told)
    ]


_VERBS: Mapping[Verb, Callable[..., Any]] = {
    "backtest": backtested, "replay": replayed, "parity": compared, "take": taken, "take_format": taken_format,
    "collect": collected, "predict": predicted, "predict_each": predicted_each, "importance": weighed,
    "training_set": training_set,
}  # fmt: skip
