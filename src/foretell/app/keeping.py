"""Answers that are given again while nothing that they rest on has changed, up to `Task.lasting`."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from foretell.app import ledger
from foretell.app.tenancy import Tenancy
from foretell.app.tenant_settings import in_force
from foretell.contract import Request, Task
from foretell.engine.collect import needs
from foretell.engine.model import Card, Model
from foretell.engine.predict import Prediction
from foretell.errors import Unavailable
from foretell.stores import kept, records
from foretell.stores.registry import Look

log = logging.getLogger("foretell")

ANSWER = 20_000  # bytes that an answer may take in memory beside its frames, about

Champions = Mapping[str, Model | None]

VERSION = importlib.metadata.version("foretell")


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Where the answer to a request is kept: by what it rests on, and what facts of which tables that is."""

    task: Task
    request: Request
    name: str
    seen: Mapping[str, str | None]  # by table: up to which moment it was on record when it was asked


def slots(
    desk: Tenancy, connection: Any, asked: Mapping[int, tuple[Task, Request]], look: Look, champions: Champions
) -> dict[int, Slot]:
    """A slot for each request of a task whose answers last, by its place in the batch.

    It goes by the request itself, the model in service, zone and settings, what was approved, and this program's
    version: where one of them is another, so is the slot.
    """
    lasting = {place: each for place, each in asked.items() if each[0].lasting}
    if not lasting:
        return {}
    declared = desk.domain(next(iter(lasting.values()))[0].name)
    domain, settings = declared.name, in_force(declared.settings, declared.name, look.settings)  # defaults may change
    recorded = kept.recorded(connection, desk.tenant, [f"{domain}.{name}" for name in needs([*lasting.values()])])
    out = {}
    for place, (task, request) in lasting.items():
        champion = champions.get(task.name)
        rests_on = [
            VERSION, task.name, champion.card.version if champion else None, look.zone, look.approved,
            settings.model_dump(mode="json"), request.model_dump(mode="json"),
        ]  # fmt: skip
        name = hashlib.sha256(json.dumps(rests_on, sort_keys=True).encode()).hexdigest()
        seen = {table: recorded.get(f"{domain}.{table}") for table in needs([(task, request)])}
        out[place] = Slot(task=task, request=request, name=name, seen=seen)
    return out


def again(desk: Tenancy, connection: Any, found: Mapping[int, Slot], champions: Champions) -> dict[int, Prediction]:
    """The answers that are kept and still hold, by their place in the batch."""
    if not found:
        return {}
    there = kept.find(connection, desk.tenant, [slot.name for slot in found.values()])
    good = {
        place: (slot, one)
        for place, slot in found.items()
        if (one := there.get(slot.name)) and not _changed(desk, connection, slot, one.seen)
    }
    # A number's prediction never changes: what was read of the ledger lately need not be read and made again.
    memory, out = desk.house.answers, {}
    for place, (_, one) in good.items():
        if said := memory.found((desk.tenant, one.prediction_id)):
            out[place] = said
    rest = {place: each for place, each in good.items() if place not in out}
    if not rest:
        return out
    on_record = records.numbered(connection, desk.tenant, [one.prediction_id for _, one in rest.values()])
    for place, (slot, one) in rest.items():
        served, champion = on_record.get(one.prediction_id), champions.get(slot.task.name)
        card = Card.model_validate(one.card) if one.card else champion.card if champion else None
        if served and card:
            out[place] = said = ledger.again(slot.task, served, card, one.known_at)
            size = sum(frame.estimated_size() for frame in (said.questions, said.raw, said.forecast.rows))
            memory.keep((desk.tenant, one.prediction_id), said, ANSWER + round(size), whose=desk.tenant)
    return out


def _changed(desk: Tenancy, connection: Any, slot: Slot, seen: Mapping[str, str | None]) -> bool:
    """Whether facts came that the answer would rest on."""
    domain = desk.domain(slot.task.name)
    for name, need in needs([(slot.task, slot.request)]).items():
        only = need.only
        if slot.seen[name] == seen.get(name) or (only is not None and not any(only.values())):
            continue  # nothing at all, or nobody's: the facts came with the request
        since = seen.get(name)
        (table,) = (table for table in domain.tables if table.name == name)
        each = [{by: values} for by, values in (only or {}).items() if values] or [{}]
        if since is None or any(kept.changed(connection, desk.tenant, domain.name, table, since, o) for o in each):
            return True
    return False


def keep(desk: Tenancy, said: Sequence[tuple[Slot, Prediction]], champions: Champions) -> None:
    """Keep answers that are on record; where that can't be done they are as good, and thought out again next time."""
    if not said:
        return
    rows: list[kept.Row] = []
    for slot, one in said:
        champion = champions.get(slot.task.name)
        own = None if champion and champion.card.version == one.card.version else one.card.model_dump(mode="json")
        rows.append((slot.name, one.id, slot.seen, own, one.known_at))
    lasting = min(slot.task.lasting or timedelta() for slot, _ in said)
    try:
        with desk.transaction(durable=False) as connection:
            kept.keep(connection, desk.tenant, lasting, rows)
    except Unavailable as error:
        log.warning("%d answers to %s were not kept: %s", len(rows), desk.tenant, error)
