"""From requests to predictions that are on record: one transaction reads all that is needed and writes the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from foretell.app import ledger, shelf
from foretell.app.requests import Body, request_of
from foretell.app.tenancy import AsOf, Tenancy, instant
from foretell.contract import Domain, History, Request, Task
from foretell.engine.collect import Need, needs
from foretell.engine.model import Model
from foretell.engine.predict import Prediction, predict
from foretell.errors import Damaged, ForetellError, InvalidRequest, NotFound, NotReady
from foretell.stores import facts, records, registry

Asked = dict[int, tuple[Task, Request]]
"""Requests that could be read, by their place in the batch."""

HEAVY = 2.0  # seconds that a model expects for 1,000 questions, from which on it is no light one
SETTLING = 1.0  # seconds that a history is used again while a day has not passed since an approval
FORECASTS = 200_000  # bytes that a history's forecasts and grids may come to take in memory, about


@dataclass(frozen=True, kw_only=True)
class _Ground:
    """What a batch stands on: the models in service (and why one of them is not the last), facts and their marks."""

    serving: Mapping[str, tuple[Model | None, str | None]]
    history: History
    marks: Mapping[str, int]


class TooHeavy(Exception):  # noqa: N818 - no failure
    """A model in service fits when it is asked, which has no place beside other requests."""


def answer(
    desk: Tenancy,
    requests: Sequence[tuple[str, Body]],
    *,
    as_of: AsOf = None,
    trained: bool = False,
    light: bool = False,
) -> list[Prediction | ForetellError]:
    """One prediction or error a request of one domain's tasks, in order; every prediction is in the ledger.

    With `trained`, NotFound is raised for a task whose model was never trained; with `light`, TooHeavy before
    anything is done where one fits when it is asked. Raises InvalidRequest for two domains, NotFound for an unknown
    task.
    """
    said, asked = _read(desk, requests)
    if not asked:
        return said
    domain = desk.domain(next(iter(asked.values()))[0].name)
    as_of = instant(as_of)
    if foreign := [task.name for task, _ in asked.values() if task not in domain.tasks]:
        raise InvalidRequest(f"{foreign[0]} is not of the domain {domain.name}; ask each domain for itself")
    with desk.transaction(snapshot=True, durable=False) as connection:
        ground = _ground(desk, connection, domain, [*asked.values()], as_of)
        champions = {name: model for name, (model, _) in ground.serving.items() if model}
        if trained and (bare := [name for name in ground.serving if name not in champions]):
            if why := ground.serving[bare[0]][1]:
                raise Damaged(why)
            raise NotFound(
                f"no trained model of {bare[0]} found for tenant '{desk.tenant}'; please train a model first"
            )
        if light and any(model.forecaster.cost.forecast > HEAVY for model in champions.values()):
            raise TooHeavy
        answers = predict([*asked.values()], ground.history, champions)
        for (place, (task, request)), one in zip(asked.items(), answers, strict=True):
            if isinstance(one, Prediction):
                said[place] = replace(one, fallback=_fallback(one, ground.serving[task.name][1]), id=uuid4())
            else:
                said[place] = _helped(desk, connection, domain, one, needs([(task, request)]), ground.history)
        served = [
            ledger.entry(task, request, one, one.id, ground.marks)
            for place, (task, request) in asked.items()
            if isinstance(one := said[place], Prediction) and one.id
        ]
        if served:
            records.log(connection, desk.tenant, served)
    return said


def _read(desk: Tenancy, requests: Sequence[tuple[str, Body]]) -> tuple[list[Prediction | ForetellError], Asked]:
    """The requests that can be read; in the place of each other one its error."""
    said: list[Prediction | ForetellError] = [NotReady("not asked")] * len(requests)
    asked: Asked = {}
    for place, (name, body) in enumerate(requests):
        try:
            task = desk.task(name)
            asked[place] = task, request_of(task.request, body)
        except (NotFound, InvalidRequest) as error:
            said[place] = error
    return said, asked


def _ground(
    desk: Tenancy, connection: Any, domain: Domain, asked: Sequence[tuple[Task, Request]], as_of: AsOf
) -> _Ground:
    """Look up what there is. Facts that were read within minutes and have not changed since are those in memory."""
    tasks = {task.name: task for task, _ in asked}
    narrow = needs(asked)
    # The newest fact of all is in any table; else those that are read say whether anything has changed.
    names = [f"{domain.name}.{name}" for name in ([t.name for t in domain.tables] if as_of == "latest" else narrow)]
    at = as_of if isinstance(as_of, datetime) else None
    look = registry.look(connection, desk.tenant, [*tasks], names, at)
    desk.there(look)
    serving = {name: shelf.serving(desk, connection, task, look.deployed[name]) for name, task in tasks.items()}

    def read() -> tuple[History, int]:
        standing = desk.standpoint(connection, domain, as_of, look)
        history = desk.history(connection, domain, standing, narrow)
        return history, FORECASTS + sum(int(table.estimated_size()) for table in history.tables.values())

    key = (
        desk.tenant, domain.name, as_of, look.zone, tuple(look.marks.items()), _hashable(narrow), look.settings,
        look.approved,
    )  # fmt: skip
    # After an approval a cooldown runs, and who asks again wants to know whether it is over.
    lasting = None if look.approved == "{}" else SETTLING
    return _Ground(serving=serving, history=desk.house.histories.once(key, read, lasting=lasting), marks=look.marks)


def _hashable(narrow: Mapping[str, Need]) -> tuple[Any, ...]:
    return tuple(
        (name, need.window, need.only and tuple(need.only.items()), need.reads) for name, need in narrow.items()
    )


def _helped(
    desk: Tenancy, connection: Any, domain: Domain, error: ForetellError, narrow: Mapping[str, Need], history: History
) -> ForetellError:
    """The error, with what there is, where a request is about somebody of whom nothing recent is known."""
    for name, need in narrow.items():
        wanted = {*(need.only or {}).get("entity", ())}
        if isinstance(error, NotReady) and wanted - {*history[name]["entity"]}:
            (table,) = (table for table in domain.tables if table.name == name)
            there = facts.entities(connection, desk.tenant, domain.name, table)
            newest = facts.latest(connection, desk.tenant, domain.name, table)
            if newest and wanted & {*there}:
                return NotReady(
                    f"{error}; the newest of {domain.name}.{name} became known {newest:%Y-%m-%d %H:%M} UTC: bring newer"
                    " ones, or ask as of then with as_of=latest"
                )
            return NotReady(f"{error}; {domain.name}.{name} has {', '.join(there) or 'nothing yet'}")
    return error


def _fallback(said: Prediction, why: str | None) -> str | None:
    """Why it is not the model deployed last that answered, where it is not."""
    return "; ".join(filter(None, (said.fallback, why))) or None
