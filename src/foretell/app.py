"""The hallway: one tenant, the domains that are installed, and its facts, behind the verbs.

Facts are kept in memory. This is the only room that reads the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
from pydantic import BaseModel, ValidationError

from foretell.contract import Domain, Frame, History, Rolling, Standpoint, Table, Task
from foretell.engine.backtest import Backtest, Progress, backtest
from foretell.engine.ingest import Ingested, ingest, latest
from foretell.engine.model import Model
from foretell.engine.monitor import recalibrate, watch
from foretell.engine.predict import Prediction, predict
from foretell.engine.promote import Verdict, judge
from foretell.engine.train import Trained, train
from foretell.errors import ForetellError, InvalidRequest, Misconfigured, NotFound, NotReady

AsOf = datetime | Literal["latest"] | None
"""A moment, `latest` (when the newest fact became known), or None: now."""


def domains() -> dict[str, Domain]:
    """The installed domains by name: ours and others', through the same entry points."""
    found = {point.name: point.load() for point in entry_points(group="foretell.domains")}
    for name, domain in found.items():
        if not isinstance(domain, Domain) or domain.name != name:
            raise Misconfigured(f"the entry point foretell.domains:{name} is not a Domain named {name!r}")
    return found


class App:
    """One tenant's facts and champions, and what can be done with them."""

    def __init__(self, tenant: str, *, zone: str = "UTC", settings: Mapping[str, BaseModel] | None = None) -> None:
        """`zone` is the tenant's IANA time zone; `settings` go by domain name. Raises Misconfigured for a bad zone."""
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise Misconfigured(f"no time zone {zone!r}; write it as in Europe/Athens") from None
        self.tenant, self.zone = tenant, zone
        self.domains = domains()
        self.settings = {name: domain.settings() for name, domain in self.domains.items()} | dict(settings or {})
        self.facts: dict[tuple[str, str], Frame] = {}  # by domain and table
        self.champions: dict[str, Model] = {}  # by task
        self.ledger: dict[str, list[Prediction]] = {}  # by task, as asked

    def import_(self, table: str, rows: Frame) -> Ingested:
        """Take rows into a table (`traffic.metrics`); good ones go in, bad ones come back with the rule they broke.

        A row with the key of an earlier one replaces it.
        """
        domain, declared = self._table(table)
        done = ingest(declared, rows, zone=self.zone)
        kept = self.facts.get((domain.name, declared.name))
        both = done.rows if kept is None else pl.concat([kept, done.rows]).unique(declared.key, keep="last")
        self.facts[domain.name, declared.name] = both.sort("known_at", *declared.key)
        return done

    def train(
        self, task: str, *, as_of: AsOf = None, budget: float | None = None, progress: Progress | None = None
    ) -> tuple[Trained, Verdict]:
        """Race a task's candidates within `budget` seconds; promote the winner if it beats the model in service."""
        declared, history = self._task(task), self.history(task, as_of)
        trained = train(declared, history, budget=budget, progress=progress)
        verdict = judge(trained, self.champions.get(task), history)
        if verdict.promote:
            self.champions[task] = trained.model
        return trained, verdict

    def backtest(self, task: str, *, as_of: AsOf = None, rolling: Rolling | None = None) -> Backtest:
        """Ask every candidate of a task old questions, with the old knowledge."""
        return backtest(self._task(task), self.history(task, as_of), rolling=rolling)

    def predict(self, task: str, request: Mapping[str, Any], *, as_of: AsOf = None) -> Prediction:
        """Answer one request, standing at `as_of`. Raises what went wrong."""
        (said,) = self.predict_many([(task, request)], as_of=as_of)
        if isinstance(said, ForetellError):
            raise said
        return said

    def predict_many(
        self, requests: Sequence[tuple[str, Mapping[str, Any]]], *, as_of: AsOf = None
    ) -> list[Prediction | ForetellError]:
        """Answer many requests of one domain's tasks; each gets its prediction or its own error."""
        out: list[Prediction | ForetellError] = []
        asked: list[tuple[Task, Any]] = []
        for task, body in requests:
            declared = self._task(task)
            try:
                asked.append((declared, declared.request.model_validate(dict(body))))
                out.append(NotReady("not asked"))
            except ValidationError as error:
                out.append(InvalidRequest("; ".join(_words(problem) for problem in error.errors())))
        said = predict(asked, self.history(requests[0][0], as_of), self.champions) if asked else []
        for (declared, _), one in zip(asked, said, strict=True):
            if isinstance(one, Prediction):
                self.ledger.setdefault(declared.name, []).append(one)
        rest = iter(said)
        return [one if isinstance(one, InvalidRequest) else next(rest) for one in out]

    def watch(self, task: str, *, as_of: AsOf = None) -> dict[str, float | None]:
        """How the forecasts that were served turned out: every metric, beside the counts of open and void outcomes."""
        served = self._served(task)
        rows = [one.questions.hstack(one.forecast.rows) for one in served]
        return watch(self._task(task), self.history(task, as_of), pl.concat(rows, how="diagonal"))

    def recalibrate(self, task: str, *, as_of: AsOf = None) -> Model:
        """Calibrate the champion anew with what happened to the forecasts it served."""
        champion = self.champions.get(task)
        served = [one for one in self._served(task) if champion and one.card.version == champion.card.version]
        if champion is None or not served:
            raise NotReady(f"the champion of {task} has served nothing yet")
        rows = pl.concat([one.questions.hstack(one.raw) for one in served], how="diagonal")
        self.champions[task] = recalibrate(champion, self.history(task, as_of), rows)
        return self.champions[task]

    def _served(self, task: str) -> list[Prediction]:
        if not self.ledger.get(self._task(task).name):
            raise NotReady(f"no forecast of {task} has been served yet")
        return self.ledger[task]

    def history(self, name: str, as_of: AsOf = None) -> History:
        """The facts of a task's or table's domain as known at `as_of`."""
        domain = self._domain(name)
        tables = {t.name: self.facts.get((domain.name, t.name), _empty(t)) for t in domain.tables}
        now = datetime.now(UTC)
        if as_of == "latest":
            now = latest(tables) or now
        elif as_of is not None:
            if as_of > now:
                raise InvalidRequest(f"as_of {as_of} lies in the future; leave it out to ask now")
            now = as_of
        standpoint = Standpoint(tenant=self.tenant, now=now, zone=self.zone, settings=self.settings[domain.name])
        return History(standpoint, tables).cut(now)

    def _domain(self, name: str) -> Domain:
        domain = self.domains.get(name.split(".", maxsplit=1)[0])
        if domain is None:
            raise NotFound(f"no domain of {name!r}; there are {', '.join(sorted(self.domains))}")
        return domain

    def _task(self, name: str) -> Task:
        tasks = {task.name: task for task in self._domain(name).tasks}
        if name not in tasks:
            raise NotFound(f"no task {name!r}; there are {', '.join(tasks)}")
        return tasks[name]

    def _table(self, name: str) -> tuple[Domain, Table]:
        domain = self._domain(name)
        tables = {f"{domain.name}.{table.name}": table for table in domain.tables}
        if name not in tables:
            raise NotFound(f"no table {name!r}; there are {', '.join(tables)}")
        return domain, tables[name]


def _empty(table: Table) -> Frame:
    """A table without rows, with its columns."""
    columns = {name: pl.Series([], dtype=pl.String) for name in table.row.model_fields}
    return ingest(table, pl.DataFrame(columns), zone="UTC").rows


def _words(problem: Any) -> str:
    return f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
