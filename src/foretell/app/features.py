"""The verb `features`: what is known of somebody in numbers, now or at any moment, as models see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl

from foretell.app.admission import admitted
from foretell.app.definitions import Definition, ModelFeatures
from foretell.app.histories import history_of, look_of
from foretell.app.importance import importance
from foretell.app.models import nothing_trained
from foretell.app.refreshing import lately
from foretell.app.requests import Body, request_of
from foretell.app.tenancy import AsOf, Tenancy, instant
from foretell.contract import Block, Catalogue, Frame, History, Request, Task
from foretell.engine.importance import Importance
from foretell.engine.model import card_read
from foretell.engine.train import lesson
from foretell.errors import ForetellError, InvalidRequest, NotFound
from foretell.stores import registry
from foretell.stores.vectors import Statistic

Format = Literal["parquet", "csv", "json"]
"""What a frame can be written as."""

FEW = 10  # questions whose features are remembered with the history that they are made of


class Features:
    """Features of a tenant's tasks. Every method raises NotFound for an unknown task or domain."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def catalogue(self, domain: str) -> Catalogue:
        """The features that a domain declares as data; raises NotFound where it declares none."""
        declared = self.desk.domain(domain).catalogue
        if declared is None:
            raise NotFound(f"{domain} declares no features; they are made in code, and training sets have their names")
        return declared

    def of(self, task: str, version: str | None = None) -> ModelFeatures:
        """The features that a version of a task's model learned from, with what the domain declares of each.

        Of the one in service if None. Raises NotReady before the first training, NotFound for an unknown version.
        """
        name, catalogue = self.desk.task(task).name, self.desk.domain(task).catalogue
        with self.desk.inside() as connection:
            deployed = registry.look(connection, self.desk.tenant, [name], []).deployed[name]
            if version is None and not deployed:
                raise nothing_trained(name)
            wanted = deployed[0] if version is None else version
            card = card_read(registry.model(connection, self.desk.tenant, name, wanted).card)
        told = [Definition.of(one, catalogue) for one in card.features]
        return ModelFeatures(task=name, version=card.version, candidate=card.candidate, features=told)

    def importance(self, task: str, *, as_of: AsOf = None, grouped: bool = False) -> Importance:
        """What features are worth to the model in service; see `importance.importance`."""
        return importance(self.desk, self.desk.task(task), as_of=as_of, grouped=grouped)

    def compute(
        self, task: str, requests: Sequence[Body], *, names: Sequence[str] | None = None, as_of: AsOf = None
    ) -> Frame:
        """The features of each request's questions as known at `as_of`: `entity`, `as_of`, `at`, then features.

        All of them, or those `names`; null where nothing is known. Raises NotFound for a feature or somebody unknown,
        InvalidRequest for a request that can't be read.
        """
        declared = self.desk.task(task)
        history, asked = self._stand(declared, requests, as_of)
        return _of(declared, history, [asked_at(declared, one, history) for one in asked], names)

    def backfill(
        self,
        task: str,
        requests: Sequence[Body],
        start: datetime,
        end: datetime,
        *,
        every: timedelta = timedelta(days=1),
        names: Sequence[str] | None = None,
    ) -> Frame:
        """The same at `start` and then `every` so long up to `end`, each as it was known then; one frame.

        Raises InvalidRequest where `end` lies before `start`, or `every` is no time.
        """
        if end < start or every <= timedelta():
            raise InvalidRequest(f"from {start} to {end} by {every}: give a start, a later end, and a step above zero")
        declared = self.desk.task(task)
        history, asked = self._stand(declared, requests, end)
        moments = (start + every * k for k in range((end - start) // every + 1))
        return _of(declared, history, list(_each(declared, history, asked, moments)), names)

    def training_set(self, task: str, *, as_of: AsOf = None, days: int | None = None) -> Frame:
        """Every old question whose outcome is known, its features as `feature:<name>`, its `value` and `known_at`.

        Of the facts of the last `days`, or all. Raises NotReady where no outcome is known.
        """
        return lesson(self.desk.task(task), self.desk.lessons(task, as_of, days=days)).frame()

    def statistics(self, task: str, *, days: int = 7) -> Sequence[Statistic]:
        """What a task's features were like in the last `days`, as its refreshes saw them: by day and name."""
        return lately(self.desk, self.desk.task(task), days)

    def validate(self, domain: str, values: Mapping[str, float | None]) -> tuple[bool, list[str]]:
        """Whether features may have these values, by what is declared of them; and what is wrong, in words."""
        wrong = self.catalogue(domain).wrong(values)
        return not wrong, wrong

    def _stand(self, task: Task, requests: Sequence[Body], as_of: AsOf) -> tuple[History, list[Request]]:
        """The facts that the requests look at as known then, and the requests, complete."""
        domain, at = self.desk.domain(task.name), instant(as_of)
        asked = {place: (task, request_of(task.request, body)) for place, body in enumerate(requests)}
        with self.desk.transaction(snapshot=True) as connection:
            look = look_of(self.desk, connection, [*asked.values()], at)
            found = admitted(self.desk, connection, domain, asked, self.desk.moment(connection, domain, at))
            for one in found.values():
                if isinstance(one, ForetellError):
                    raise one
            whole = [*found.values()]
            history = history_of(self.desk, connection, [(task, one) for one in whole], at, look)
        return history, whole


def asked_at(task: Task, request: Request, history: History) -> Frame:
    """The questions of a request."""
    return task.ask(request, history).questions


def _each(task: Task, history: History, asked: Sequence[Request], moments: Iterator[datetime]) -> Iterator[Frame]:
    for moment in moments:
        then = history.cut(moment)
        for request in asked:
            yield asked_at(task, request, then)


def _of(task: Task, history: History, asked: Sequence[Frame], names: Sequence[str] | None) -> Frame:
    questions = pl.concat(asked, how="diagonal")

    def made(seen: History) -> Block:
        return task.study(seen, questions).features

    # Who asks for one feature after the other has them all made once, as long as the history is remembered.
    few = questions.height <= FEW
    block = history.once(made, ("features", task.name, *questions.rows())) if few else made(history)
    if unknown := [name for name in names or () if name not in block.names]:
        raise NotFound(f"{task.name} has no feature {unknown[0]!r}; there are {', '.join(block.names)}")
    wanted = block.frame().fill_nan(None).select(names or block.names)
    return pl.concat([questions.select("entity", "as_of", "at"), wanted], how="horizontal")


def export(frame: Frame, path: Path) -> None:
    """Write a frame of features to a file, as its name ends: .parquet, .csv or .json (a list of rows).

    Raises InvalidRequest for another ending.
    """
    for kind in get_args(Format):
        if path.suffix == f".{kind}":
            path.write_bytes(written(frame, kind))
            return
    raise InvalidRequest(f"{path} ends in none of {', '.join('.' + one for one in get_args(Format))}")


def written(frame: Frame, kind: Format) -> bytes:
    """A frame of features as a file's content; of JSON a list of rows. What is not known is null, or empty."""
    frame, out = frame.fill_nan(None), BytesIO()
    write: dict[Format, Any] = {
        "parquet": frame.write_parquet, "csv": frame.write_csv, "json": frame.write_json,
    }  # fmt: skip
    write[kind](out)
    return out.getvalue()
