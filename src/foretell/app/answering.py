"""From requests to predictions that are on record: one transaction reads all that is needed and writes the ledger."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeGuard
from uuid import uuid4

from foretell.app import keeping, ledger, logs, shelf, vectors
from foretell.app.admission import admitted
from foretell.app.histories import history_of, look_of
from foretell.app.requests import Body, request_of
from foretell.app.tenancy import AsOf, Tenancy, instant
from foretell.contract import Domain, History, Request, Task
from foretell.engine.apart import made
from foretell.engine.collect import Need, brings, needs
from foretell.engine.model import Model
from foretell.engine.predict import Prediction, TooHeavy, predict
from foretell.errors import BrokenDomain, Damaged, ForetellError, InvalidRequest, NotFound, NotReady, Unavailable
from foretell.stores import facts, records, registry
from foretell.stores.vectors import Vector

NAMED = 10  # of those that there are, where one is asked about that there is not

Asked = dict[int, tuple[Task, Request]]
"""Requests that could be read, by their place in the batch."""

Serving = Mapping[str, tuple[Model | None, str | None]]
"""By task the model in service, and why it is not the last where that is so."""


def answer(
    desk: Tenancy,
    requests: Sequence[tuple[str, Body]],
    *,
    as_of: AsOf = None,
    trained: bool = False,
    light: bool = False,
    cache_bypass: bool = False,
) -> list[Prediction | ForetellError]:
    """One prediction or error a request of one domain's tasks, in order; every prediction is in the ledger.

    Of a task whose answers last it is the one of before, as long as that holds; with `cache_bypass` nothing that is
    remembered is used. With `trained`, NotFound is raised for a task whose model was never trained; with `light`,
    TooHeavy is in the place of each answer that takes a fit. Raises InvalidRequest for two domains, NotFound for an
    unknown task.
    """
    said, asked = _read(desk, requests)
    if not asked:
        return said
    domain = desk.domain(next(iter(asked.values()))[0].name)
    as_of = instant(as_of)
    if foreign := [task.name for task, _ in asked.values() if task not in domain.tasks]:
        raise InvalidRequest(f"{foreign[0]} is not of the domain {domain.name}; ask each domain for itself")
    day = datetime.now(UTC).date()  # taken first: what is made after midnight is then not found, and made again
    with desk.transaction(snapshot=True, durable=False) as connection:
        look = look_of(desk, connection, [*asked.values()], as_of)
        # Before anything is looked up: who names another home is not asked about as they are kept.
        plain = {} if as_of is not None or cache_bypass else {p: e for p, e in asked.items() if vectors.plain(*e)}
        known = _known(desk, connection, domain, plain)
        for place, error in _admit(desk, connection, domain, asked, as_of, _there(plain, known)).items():
            said[place] = error
        if not asked:
            return said
        serving = _serving(desk, connection, [*asked.values()], look, trained=trained)
        champions = {name: model for name, (model, _) in serving.items() if model}
        slots = keeping.slots(desk, connection, asked, look, champions) if as_of is None else {}
        held = {} if cache_bypass else keeping.again(desk, connection, slots, champions)
        rest = {place: each for place, each in asked.items() if place not in held}
        heavy = {  # seen before anything is read or made for them
            place: TooHeavy(f"{each[0].name} is fitted when asked")
            for place, each in rest.items()
            if light and brings(*each)
        }
        rest = {place: each for place, each in rest.items() if place not in heavy}
        how = {"remembered": not cache_bypass, "light": light}
        told = _Told(desk, connection, look, serving, as_of, **how)
        fresh, new = told.all(rest, known, {*plain}) if rest else ({}, {})
    for task, made_ in new.items():
        vectors.keep(desk, desk.task(task), day, made_, look.marks)
    for place, each in {**held, **heavy, **fresh}.items():
        said[place] = each
    made = [(slots[place], each) for place, each in fresh.items() if place in slots and isinstance(each, Prediction)]
    keeping.keep(desk, made, champions)
    return said


Kept = dict[str, dict[str, Vector]]
"""What is kept of those asked about, by task and entity."""


def _there(asked: Asked, known: Kept) -> set[int]:
    """The places of those of whom something is kept."""
    return {
        place
        for place, (task, request) in asked.items()
        if task.name in known and vectors.whose(task, request) in known[task.name]
    }


def _known(desk: Tenancy, connection: Any, domain: Domain, asked: Asked) -> Kept:
    """What is kept of those asked about, of tasks that keep something."""
    tasks = {task.name: task for task, _ in asked.values() if task.vector}
    now = datetime.now(UTC)
    return {
        name: vectors.found(desk, connection, domain, task, [one for t, one in asked.values() if t is task], now)
        for name, task in tasks.items()
    }


def _admit(
    desk: Tenancy, connection: Any, domain: Domain, asked: Asked, as_of: AsOf, kept: set[int]
) -> dict[int, ForetellError]:
    """Complete the requests in `asked`, and take out of it those that may not be asked; their errors, by place.

    Of those at the places `kept` nothing is looked up: it is kept with them.
    """
    wanting = [
        place
        for place, (task, _) in asked.items()
        if (desk.person and domain.members) or (task.lookups and place not in kept)
    ]
    if not wanting:
        return {}
    now = desk.moment(connection, domain, as_of)
    refused: dict[int, ForetellError] = {}
    for place, found in admitted(desk, connection, domain, {place: asked[place] for place in wanting}, now).items():
        if isinstance(found, ForetellError):
            refused[place] = found
            del asked[place]
        else:
            asked[place] = asked[place][0], found
    return refused


def _serving(
    desk: Tenancy, connection: Any, asked: Sequence[tuple[Task, Request]], look: registry.Look, *, trained: bool
) -> Serving:
    """The models in service, by task; with `trained`, raises NotFound or Damaged for a task that has none."""
    tasks = {task.name: task for task, _ in asked}
    serving = {name: shelf.serving(desk, connection, task, look.deployed[name]) for name, task in tasks.items()}
    if trained and (bare := [name for name, (model, _) in serving.items() if model is None]):
        if why := serving[bare[0]][1]:
            raise Damaged(why)
        raise NotFound(f"no trained model of {bare[0]} found for tenant '{desk.tenant}'; please train a model first")
    return serving


@dataclass(frozen=True)
class _Told:
    """What is answered in one transaction."""

    desk: Tenancy
    connection: Any
    look: registry.Look
    serving: Serving
    as_of: AsOf
    remembered: bool
    light: bool

    def all(self, asked: Asked, known: Kept, plain: set[int]) -> tuple[dict[int, Prediction | ForetellError], Kept]:
        """Predictions, which are put in the ledger, and errors, by place; and vectors that were made for them.

        What is kept is for those at the places `plain`.
        """
        said: dict[int, Prediction | ForetellError] = {}
        new: Kept = {}
        for name, kept in known.items():
            part = {place: each for place, each in asked.items() if place in plain and each[0].name == name}
            if part:
                said |= self._kept(part, kept, new.setdefault(name, {}))
        if rest := {place: each for place, each in asked.items() if place not in said}:
            said |= self.told(rest, time.perf_counter(), self._history(rest))
        return said, new

    def _kept(
        self, asked: Asked, kept: dict[str, Vector], new: dict[str, Vector]
    ) -> dict[int, Prediction | ForetellError]:
        """Those of one task about whom something is kept, or can be; what is made now goes into `new`."""
        start = time.perf_counter()
        task = next(iter(asked.values()))[0]
        if missing := {at: each for at, each in asked.items() if vectors.whose(task, each[1]) not in kept}:
            new |= vectors.made(task, self._history(missing), [request for _, request in missing.values()])
        have = kept | new
        some = {
            at: (task, vectors.completed(task, request, have[whose]))
            for at, (_, request) in asked.items()
            if (whose := vectors.whose(task, request)) in have
        }
        if not some:
            return {}
        domain = self.desk.domain(task.name)
        standing = self.desk.standpoint(self.connection, domain, self.as_of, self.look)
        return self.told(some, start, vectors.history_of(standing, domain, have))

    def _history(self, asked: Asked) -> History:
        each = [*asked.values()]
        return history_of(self.desk, self.connection, each, self.as_of, self.look, remembered=self.remembered)

    def told(self, asked: Asked, start: float, history: History) -> dict[int, Prediction | ForetellError]:
        """What is said of a history, which was looked for since `start`."""
        desk, connection = self.desk, self.connection
        domain = desk.domain(next(iter(asked.values()))[0].name)
        champions = {name: model for name, (model, _) in self.serving.items() if model}
        said: dict[int, Prediction | ForetellError] = {}
        served = []
        began = time.perf_counter()
        answers = predict([*asked.values()], history, champions, light=self.light)
        if fitted := {one.card.task for one in answers if isinstance(one, Prediction) and _fitted(desk, one)}:
            logs.trained(desk.tenant, ", ".join(sorted(fitted)), time.perf_counter() - began)
        took = (time.perf_counter() - start) * 1000 / len(asked)
        for (place, (task, request)), one in zip(asked.items(), answers, strict=True):
            if isinstance(one, Prediction):
                number = uuid4()
                said[place] = numbered = replace(one, fallback=_fallback(one, self.serving[task.name][1]), id=number)
                served.append(ledger.entry(task, request, numbered, number, self.look.marks, took))
            else:
                said[place] = _helped(desk, connection, domain, one, needs([(task, request)]), history)
        if served:
            records.log(connection, desk.tenant, served)
        broken = [(task.name, one.code) for (task, _), one in zip(asked.values(), answers, strict=True) if _ours(one)]
        if broken and not desk.house.reads:
            records.failed(connection, desk.tenant, broken)
        return said


def _ours(said: Prediction | ForetellError) -> TypeGuard[ForetellError]:
    """Whether an answer failed, and not by who asked."""
    return isinstance(said, BrokenDomain | Damaged | Unavailable)


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


def everybody(desk: Tenancy, task: Task) -> list[str]:
    """Whom the tables that a task reads have facts of, in order; raises NotReady without anybody."""
    domain, read = desk.domain(task.name), {read.table for read in task.reads if read.by == "entity"}
    with desk.inside() as connection:
        there = {
            name
            for table in domain.tables
            if table.name in read
            for name in facts.entities(connection, desk.tenant, domain.name, table)
        }
    if not there:
        raise NotReady(f"{task.name} knows nobody; bring facts into {', '.join(f'{domain.name}.{n}' for n in read)}")
    return sorted(there - {""})  # a fact may be nobody's


def _helped(
    desk: Tenancy, connection: Any, domain: Domain, error: ForetellError, narrow: Mapping[str, Need], history: History
) -> ForetellError:
    """The error, with what there is, where a request is about somebody of whom nothing recent is known."""
    for name, need in [*narrow.items()][:1]:  # what a task reads first is what it stands on
        wanted = {*(need.only or {}).get("entity", ())}
        if isinstance(error, NotReady) and name in history.tables and wanted - {*history[name]["entity"]}:
            (table,) = (table for table in domain.tables if table.name == name)
            newest = facts.latest(connection, desk.tenant, domain.name, table)
            if newest and facts.entities(connection, desk.tenant, domain.name, table, only=wanted):
                return NotReady(
                    f"{error}; the newest of {domain.name}.{name} became known {newest:%Y-%m-%d %H:%M} UTC: bring newer"
                    " ones, or ask as of then with as_of=latest"
                )
            if table.persons:  # who else is there is not told
                return error
            there = facts.entities(connection, desk.tenant, domain.name, table, most=NAMED + 1)
            if not there:
                return NotReady(f"{error}; {domain.name}.{name} has nothing yet")
            more = " and more" if len(there) > NAMED else ""  # to count them would take a look at every row
            return NotReady(
                f"{error}: there is no {', '.join(sorted(wanted))} in {domain.name}.{name}, which has"
                f" {', '.join(there[:NAMED])}{more}"
            )
    return error


def _fitted(desk: Tenancy, said: Prediction) -> bool:
    """Whether a method was fitted when it was asked, be it to facts that came along."""
    if said.cached or said.own_facts:
        return not said.cached
    return not made(desk.task(said.card.task), said.card.candidate).needs_training


def _fallback(said: Prediction, why: str | None) -> str | None:
    """Why it is not the model deployed last that answered, where it is not."""
    return "; ".join(filter(None, (said.fallback, why))) or None
