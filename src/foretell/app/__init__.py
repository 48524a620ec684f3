"""The hallway: one tenant, the domains that are installed and the stores, behind the verbs.

This is the only room that opens the stores, and the only one that reads the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ValidationError

from foretell.app import ledger
from foretell.app.declared import domains, task_of
from foretell.app.intake import Imported, Intake, again
from foretell.app.opening import a_zone, add_tenant, stores
from foretell.app.shelf import Shelf
from foretell.contract import Domain, Frame, History, Rolling, Standpoint, Table, Task
from foretell.engine.backtest import Backtest, Progress, backtest
from foretell.engine.collect import Need, needs
from foretell.engine.mapping import Interval, Plan, guess
from foretell.engine.model import Model
from foretell.engine.monitor import recalibrate, watch
from foretell.engine.predict import Prediction, predict
from foretell.engine.promote import Verdict, judge
from foretell.engine.train import Trained, train
from foretell.errors import ForetellError, InvalidRequest, NotFound, NotReady, Refused
from foretell.stores import Stores, facts, files, quarantine, records

AsOf = datetime | Literal["latest"] | None
"""A moment, `latest` (when the newest fact became known), or None: now."""


class App:
    """One tenant's facts and champions, and what can be done with them."""

    def __init__(
        self,
        tenant: str,
        kept: Stores,
        installed: Mapping[str, Domain],
        *,
        settings: Mapping[str, BaseModel] | None = None,
        who: str = "somebody at this machine",
    ) -> None:
        """`settings` go by domain name; `who` is written down with what is done. Raises NotFound for no such tenant."""
        self.tenant, self.stores, self.domains, self.who = tenant, kept, installed, who
        with kept.database.tenant(tenant) as connection:
            zone = records.tenants(connection).get(tenant)
        if zone is None:
            raise NotFound(f"there is no tenant {tenant}; type: foretell tenant add {tenant} --zone Europe/Athens")
        self.zone = zone
        self.settings = {name: domain.settings() for name, domain in installed.items()} | dict(settings or {})
        self.shelf = Shelf(kept, tenant, who)

    @classmethod
    def open(cls, tenant: str, *, zone: str | None = None, settings: Mapping[str, BaseModel] | None = None) -> Self:
        """The app of a tenant, in the stores that the settings name (`FORETELL_HOME`, `FORETELL_DATABASE`).

        With `zone` a tenant that is not there yet is added. Raises NotFound, and what `stores` and `add_tenant` do.
        """
        installed = domains()
        kept = stores(installed)
        try:
            return cls(tenant, kept, installed, settings=settings)
        except NotFound:
            if zone is None:
                kept.database.close()
                raise
        with suppress(Refused):  # another process was quicker
            add_tenant(tenant, zone=zone)
        return cls(tenant, kept, installed, settings=settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stores.database.close()

    # ------------------------------------------------------------ facts

    def import_(
        self,
        table: str,
        rows: Frame,
        *,
        zone: str | None = None,
        interval: timedelta | None = None,
        source: str = "rows",
    ) -> Imported:
        """Take a batch of rows into a table (`traffic.metrics`), in one transaction.

        A row with the key of an earlier one corrects it; what was recorded before stays. Rows that break a rule are
        kept apart with it (`quarantine`). Clock times without a zone are of `zone`, the tenant's if None; with
        `interval` each value stands for that long from its stamp on, and is known at the end. `source` says where the
        rows come from.
        """
        intake = self._intake(table, source, zone=zone, interval=interval)
        intake.store(intake.check(rows))
        return intake.done()

    def plan(
        self, table: str, path: Path, given: Mapping[str, str] | None = None, *, interval: Interval = "auto"
    ) -> Plan:
        """Which column of a file (CSV, also .gz, or Parquet) feeds which of a table: `given`, and guessed for the rest.

        `interval` is how long each value stands for from its stamp on; `auto` guesses that too. Raises InvalidRequest.
        """
        first = next(files.batches(path))
        return guess(self._table(table)[1], first.frame, given or {}, interval=interval)

    def import_file(
        self,
        table: str,
        path: Path,
        plan: Plan,
        *,
        zone: str | None = None,
        dry: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> Imported:
        """Take a file in by a plan, batch by batch; what was taken in before an error stays.

        The same file again changes nothing. With `dry` nothing is stored. `progress` is told how far through it is,
        0 to 1. Raises InvalidRequest where the file can't be read.
        """
        intake = self._intake(table, path.name, zone=zone, interval=plan.interval, dry=dry)
        intake.read(path, plan, progress)
        return intake.done()

    def _intake(
        self, table: str, source: str, *, zone: str | None, interval: timedelta | None = None, dry: bool = False
    ) -> Intake:
        domain, declared = self._table(table)
        if zone:
            a_zone(zone)
        return Intake(
            stores=self.stores, tenant=self.tenant, who=self.who, domain=domain, table=declared,
            origin=quarantine.Origin(source=source, zone=zone or self.zone, interval=interval), dry=dry,
        )  # fmt: skip

    def facts(
        self,
        table: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        only: Mapping[str, Sequence[str]] | None = None,
        as_of: AsOf = None,
        recorded: datetime | None = None,
    ) -> Frame:
        """The facts of a table from `since` up to, not at, `until`, in the order of their times (UTC).

        `only` keeps the rows whose column has one of the values (`{"metric_type": ["cpu_usage"]}`); `as_of` those that
        were known then; with `recorded` they are as on record at that moment, before later corrections.
        """
        domain, declared = self._table(table)
        if unknown := [column for column in only or {} if column not in declared.kinds]:
            raise InvalidRequest(f"{table} has no column {unknown[0]}; its columns are {', '.join(declared.kinds)}")
        with self.stores.database.tenant(self.tenant, snapshot=True) as connection:
            known = self._moment(connection, domain, as_of)
            frame = facts.read(
                connection, self.tenant, domain.name, declared,
                known=known, recorded=recorded, only=only, between=(since, until),
            )  # fmt: skip
        return frame.sort(declared.time, *declared.key)

    def quarantine(self, table: str | None = None) -> Frame:
        """Rows that broke a rule, oldest first, with the columns that `stores.quarantine.quarantined` names."""
        if table:
            self._table(table)
        with self.stores.database.tenant(self.tenant) as connection:
            return quarantine.quarantined(connection, self.tenant, table)

    def erase(self, fingerprints: Sequence[str]) -> int:
        """Erase rows from the quarantine; returns how many there were."""
        with self.stores.database.tenant(self.tenant) as connection:
            erased = quarantine.release(connection, self.tenant, fingerprints)
            records.audit(connection, self.tenant, self.who, "erase", "quarantine", {"rows": erased})
        return erased

    def retry(self, table: str, *, zone: str | None = None) -> Imported:
        """Take the rows of a table that are in quarantine in again, read as they were; those still bad stay there.

        `zone` reads their clock times anew.
        """
        intake = self._intake(table, "quarantine", zone=zone)
        alike = self.quarantine(table).group_by("source", "zone", "seconds", maintain_order=True)
        for (source, own, seconds), some in alike:
            interval = None if seconds is None else timedelta(seconds=seconds)
            intake.origin = quarantine.Origin(source=source, zone=zone or own, interval=interval)
            rows = again(some)
            if not rows.is_empty():
                done = intake.check(rows.drop("fingerprint"), ordered=False)
                intake.store(done, instead_of=rows["fingerprint"].to_list())
        return intake.done()

    def history(self, name: str, as_of: AsOf = None, *, recorded: datetime | None = None) -> History:
        """All facts of a task's or table's domain as known at `as_of`; with `recorded`, as on record at that moment."""
        domain = self._domain(name)
        with self.stores.database.tenant(self.tenant, snapshot=True) as connection:
            now = self._moment(connection, domain, as_of)
            return self._history(connection, domain, now, {}, recorded)

    def _history(
        self,
        connection: Any,
        domain: Domain,
        now: datetime,
        narrow: Mapping[str, Need],
        recorded: datetime | None = None,
    ) -> History:
        """The history standing at `now`; where it is narrowed, of these tables alone and as far as they are needed."""
        tables = {}
        for table in domain.tables:
            if narrow and table.name not in narrow:
                continue
            need = narrow.get(table.name)
            tables[table.name] = facts.read(
                connection, self.tenant, domain.name, table, known=now, recorded=recorded,
                window=need.window if need else None, only=need.only if need else None,
            )  # fmt: skip
        standpoint = Standpoint(tenant=self.tenant, now=now, zone=self.zone, settings=self.settings[domain.name])
        return History(standpoint, tables)

    def _moment(self, connection: Any, domain: Domain, as_of: AsOf) -> datetime:
        now = datetime.now(UTC)
        if as_of == "latest":
            newest = (facts.latest(connection, self.tenant, domain.name, table) for table in domain.tables)
            return max((moment for moment in newest if moment), default=now)
        if as_of is not None and as_of > now:
            raise InvalidRequest(f"as_of {as_of} lies in the future; leave it out to ask now")
        return as_of or now

    # ------------------------------------------------------------ models

    def train(
        self, task: str, *, as_of: AsOf = None, budget: float | None = None, progress: Progress | None = None
    ) -> tuple[Trained, Verdict]:
        """Race a task's candidates within `budget` seconds; promote the winner if it beats the model in service.

        The facts are read at the start; model, run and deployment are written at the end, all of it or nothing.
        """
        declared, history = self._task(task), self.history(task, as_of)
        trained = train(declared, history, budget=budget, progress=progress)
        verdict = judge(trained, self.champion(task), history)
        card = trained.model.card
        kept = self.shelf.put(trained.model)
        with self.stores.database.tenant(self.tenant) as connection:
            records.keep(connection, self.tenant, kept)
            run = records.Run(
                model_name=task,
                version=card.version,
                as_of=history.now,
                parameters={"budget": budget, "skipped": kept.card["skipped"]},
                metrics=kept.card["scores"],
                promoted=verdict.promote,
                reason=verdict.reason,
            )
            records.experiment(connection, self.tenant, run)
            if verdict.promote:
                self.shelf.deploy(connection, trained.model, verdict.reason)
        return trained, verdict

    def champion(self, task: str) -> Model | None:
        """The model in service; None before the first."""
        with self.stores.database.tenant(self.tenant) as connection:
            return self.shelf.serving(connection, self._task(task))[0]

    def backtest(self, task: str, *, as_of: AsOf = None, rolling: Rolling | None = None) -> Backtest:
        """Ask every candidate of a task old questions, with the old knowledge."""
        return backtest(self._task(task), self.history(task, as_of), rolling=rolling)

    # ------------------------------------------------------------ predictions

    def predict(self, task: str, request: Mapping[str, Any], *, as_of: AsOf = None) -> Prediction:
        """Answer one request, standing at `as_of`. Raises what went wrong."""
        (said,) = self.predict_many([(task, request)], as_of=as_of)
        if isinstance(said, ForetellError):
            raise said
        return said

    def predict_many(
        self, requests: Sequence[tuple[str, Mapping[str, Any]]], *, as_of: AsOf = None
    ) -> list[Prediction | ForetellError]:
        """Answer many requests of one domain's tasks; each gets its prediction or its own error.

        Live versions, data marks and facts are read, and the ledger is written, in one transaction.
        """
        said: list[Prediction | ForetellError] = [NotReady("not asked")] * len(requests)
        asked: dict[int, tuple[Task, Any]] = {}
        for place, (name, body) in enumerate(requests):
            task = self._task(name)
            try:
                asked[place] = task, task.request.model_validate(dict(body))
            except ValidationError as error:
                said[place] = InvalidRequest("; ".join(_words(problem) for problem in error.errors()))
        if not asked:
            return said
        domain = self._domain(requests[0][0])
        if foreign := [task.name for task, _ in asked.values() if task not in domain.tasks]:
            raise InvalidRequest(f"{foreign[0]} is not of the domain {domain.name}; ask each domain for itself")
        with self.stores.database.tenant(self.tenant, snapshot=True, durable=False) as connection:
            tasks = {task.name: task for task, _ in asked.values()}
            serving = {name: self.shelf.serving(connection, task) for name, task in tasks.items()}
            narrow = needs([*asked.values()])
            marks = facts.marks(connection, self.tenant, [f"{domain.name}.{name}" for name in narrow])
            history = self._history(connection, domain, self._moment(connection, domain, as_of), narrow)
            champions = {name: model for name, (model, _) in serving.items() if model}
            answers = predict([*asked.values()], history, champions)
            for (place, (task, request)), answer in zip(asked.items(), answers, strict=True):
                if isinstance(answer, Prediction):
                    said[place] = _fallen(answer, serving[task.name][1])
                else:
                    said[place] = self._helped(connection, domain, answer, needs([(task, request)]), history)
            served = [
                ledger.entry(task, request, one, history.now, marks)
                for place, (task, request) in asked.items()
                if isinstance(one := said[place], Prediction)
            ]
            if served:
                records.log(connection, self.tenant, served)
        return said

    def _helped(
        self, connection: Any, domain: Domain, error: ForetellError, narrow: Mapping[str, Need], history: History
    ) -> ForetellError:
        """The error, with what there is, where a request is about somebody of whom nothing recent is known."""
        for name, need in narrow.items():
            wanted = {*(need.only or {}).get("entity", ())}
            if isinstance(error, NotReady) and wanted - {*history[name]["entity"]}:
                (table,) = (table for table in domain.tables if table.name == name)
                there = facts.entities(connection, self.tenant, domain.name, table)
                return NotReady(f"{error}; {domain.name}.{name} has {', '.join(there) or 'nothing yet'}")
        return error

    def watch(self, task: str, *, as_of: AsOf = None) -> dict[str, float | None]:
        """How the forecasts that were served turned out: every metric, beside the counts of open and void outcomes."""
        rows, first, last = self._ledger(task, "forecast")
        turned_out = watch(self._task(task), self.history(task, as_of), rows)
        with self.stores.database.tenant(self.tenant) as connection:
            records.monitored(connection, self.tenant, task, first, last, rows.height, turned_out)
        return turned_out

    def recalibrate(self, task: str, *, as_of: AsOf = None) -> Model:
        """Calibrate the champion anew with what happened to the forecasts it served; the new version serves."""
        champion = self.champion(task)
        if champion is None:
            raise NotReady(f"{task} has no champion yet; train first")
        rows, _, _ = self._ledger(task, "raw", champion.card.version)
        model = recalibrate(champion, self.history(task, as_of), rows)
        kept = self.shelf.put(model)
        with self.stores.database.tenant(self.tenant) as connection:
            records.keep(connection, self.tenant, kept)
            self.shelf.deploy(connection, model, model.card.reason)
        return model

    def _ledger(
        self, task: str, what: Literal["forecast", "raw"], version: str | None = None
    ) -> tuple[Frame, datetime, datetime]:
        """Questions served, with what was said to them, and the first and last moment they were asked at."""
        with self.stores.database.tenant(self.tenant) as connection:
            served = records.served(connection, self.tenant, self._task(task).name)
        served = [one for one in served if version in (None, one.version)]
        if not served:
            raise NotReady(f"no forecast of {task}{' by its champion' if version else ''} has been served yet")
        asked = [one.as_of for one in served]
        return ledger.read(served, what), min(asked), max(asked)

    # ------------------------------------------------------------ what is declared

    def _domain(self, name: str) -> Domain:
        domain = self.domains.get(name.split(".", maxsplit=1)[0])
        if domain is None:
            raise NotFound(f"no domain of {name!r}; there are {', '.join(sorted(self.domains))}")
        return domain

    def _task(self, name: str) -> Task:
        return task_of(self._domain(name), name)

    def _table(self, name: str) -> tuple[Domain, Table]:
        domain = self._domain(name)
        tables = {f"{domain.name}.{table.name}": table for table in domain.tables}
        if name not in tables:
            raise NotFound(f"no table {name!r}; there are {', '.join(tables)}")
        return domain, tables[name]


def _fallen(said: Prediction, why: str | None) -> Prediction:
    """A prediction that also says why it is not the model deployed last that answered, where it is not."""
    return replace(said, fallback="; ".join(filter(None, (said.fallback, why)))) if why else said


def _words(problem: Any) -> str:
    return f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
