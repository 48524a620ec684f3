"""The hallway: one tenant, the domains that are installed and the stores, behind the verbs.

This is the only room that opens the stores, and the only one that reads the clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from foretell.app import answering, filing, ledger, logs, shelf
from foretell.app.collecting import Sources
from foretell.app.features import Features
from foretell.app.house import House
from foretell.app.imports import Imports
from foretell.app.intake import Imported, intake
from foretell.app.jobs import Jobs
from foretell.app.models import Models, nothing_trained
from foretell.app.notices import Notices
from foretell.app.opening import add_tenant
from foretell.app.people import People
from foretell.app.predictions import Predictions
from foretell.app.quarantine import Quarantine
from foretell.app.recommendations import Recommendations, recommend
from foretell.app.reports import Anomalies, Reported, report
from foretell.app.requests import Body, request_of
from foretell.app.reviews import Reviews
from foretell.app.schedule import Schedule
from foretell.app.tenancy import AsOf, Tenancy
from foretell.app.tenant_settings import Settings
from foretell.contract import Frame, History, Replayed, Rolling
from foretell.engine.backtest import Backtest, Progress, backtest
from foretell.engine.mapping import Dates, Interval, Plan, guess
from foretell.engine.model import Model
from foretell.engine.monitor import recalibrate, watch
from foretell.engine.predict import Prediction
from foretell.engine.promote import Verdict, judge
from foretell.engine.replay import replay
from foretell.engine.train import Trained, spans, train
from foretell.errors import ForetellError, InvalidRequest, NotFound, NotReady, Refused, Unavailable
from foretell.stores import facts, files, records, registry

log = logging.getLogger("foretell")

TOGETHER = 100  # requests of a long row that are answered at once


class App:
    """One tenant's facts and champions, and what can be done with them.

    `models`, `predictions`, `recommendations`, `settings`, `anomalies`, `quarantine`, `imports`, `sources`, `jobs`,
    `schedule`, `features`, `people`, `reviews` and `notices` have verbs of their own.
    """

    def __init__(self, desk: Tenancy) -> None:
        self.desk, self.tenant, self.house, self.sources = desk, desk.tenant, desk.house, Sources(desk=desk)
        self.models, self.predictions, self.quarantine = Models(desk), Predictions(desk), Quarantine(desk)
        self.recommendations, self.settings, self.anomalies = Recommendations(desk), Settings(desk), Anomalies(desk)
        self.jobs, self.schedule, self.notices, self.imports = Jobs(desk), Schedule(desk), Notices(desk), Imports(desk)
        self.features, self.people, self.reviews = Features(desk), People(desk), Reviews(desk)

    @classmethod
    def open(cls, tenant: str, *, zone: str | None = None) -> Self:
        """The app of a tenant, in the stores that the settings name (`FORETELL_HOME`, `FORETELL_DATABASE`).

        With `zone` a tenant that is not there yet is added. Raises NotFound, and what `stores` and `add_tenant` do.
        """
        house = House.open()
        desk = Tenancy(house=house, tenant=tenant, who="somebody at this machine")
        try:
            with desk.transaction() as connection:
                desk.zone(connection)
        except NotFound:
            if zone is None:
                house.close()
                raise
            with suppress(Refused):  # another process was quicker
                add_tenant(tenant, zone=zone)
        return cls(desk)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.house.close()

    # ------------------------------------------------------------ facts

    def import_(
        self,
        table: str,
        rows: Any,
        *,
        zone: str | None = None,
        interval: timedelta | None = None,
        source: str = "rows",
    ) -> Imported:
        """Take a batch of rows (a Polars or pandas frame, a list of mappings) into a table, in one transaction.

        A row with the key of an earlier one corrects it; what was recorded before stays. Rows that break a rule are
        kept apart with it (`quarantine`). Clock times without a zone are of `zone`, the tenant's if None; with
        `interval` each value stands for that long from its stamp on, known at its end. `source` says whence they come.
        """
        taken = intake(self.desk, table, source, zone=zone, interval=interval)
        taken.store(taken.check(rows))
        return taken.done()

    def plan(
        self, table: str, path: Path, given: Mapping[str, str] | None = None, *, interval: Interval = "auto",
        dates: Dates = "auto",
    ) -> Plan:  # fmt: skip
        """Which column of a file (CSV, also .gz, or Parquet) feeds which of a table: `given`, and guessed for the rest.

        `interval` is how long a value stands for from its stamp on, `dates` whether 02/03/2026 begins with the day
        (`dmy`) or the month; `auto` guesses that too. Raises InvalidRequest.
        """
        wanted = self.desk.table(table)[1]
        return guess(wanted, next(files.batches(path)).frame, given or {}, interval=interval, dates=dates)

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
        taken = intake(self.desk, table, path.name, zone=zone, interval=plan.interval, dry=dry, notes=plan.spelled)
        taken.read(path, plan, progress)
        return taken.done()

    def import_format(self, name: str, content: bytes) -> dict[str, Imported]:
        """Take in what another program exported (`agile.jira`); what became of the rows, by table.

        Each table's rows go in in one transaction. Raises NotFound for no such format, InvalidRequest for another one.
        """
        formats, domain = self.desk.formats(name), self.desk.domain(name).name
        if name not in formats:
            raise NotFound(f"no format {name!r}; there are {', '.join(formats) or 'none'}")
        tables = {f"{domain}.{table}": rows for table, rows in formats[name].parse(content).items()}
        return {table: self.import_(table, rows, source=name) for table, rows in tables.items()}

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
        domain, declared = self.desk.table(table)
        if unknown := [column for column in only or {} if column not in declared.kinds]:
            raise InvalidRequest(f"{table} has no column {unknown[0]}; its columns are {', '.join(declared.kinds)}")
        with self.desk.inside(snapshot=True) as connection:
            known = self.desk.moment(connection, domain, as_of)
            frame = facts.read(
                connection, self.tenant, domain.name, declared,
                known=known, recorded=recorded, only=only, between=(since, until),
            )  # fmt: skip
        return frame.sort(declared.time, *declared.key)

    def history(
        self, name: str, as_of: AsOf = None, *, days: int | None = None, recorded: datetime | None = None
    ) -> History:
        """The facts of a task's or table's domain as known at `as_of`: all of them, or of the last `days`.

        With `recorded`, as on record at that moment.
        """
        return self.desk.known(name, as_of, days=days, recorded=recorded)

    # ------------------------------------------------------------ models

    def train(
        self,
        task: str,
        *,
        as_of: AsOf = None,
        days: int | None = None,
        least: int = 0,
        budget: float | None = None,
        progress: Progress | None = None,
    ) -> tuple[Trained, Verdict]:
        """Race a task's candidates within `budget` seconds; promote the winner if it beats the model in service.

        It learns from the facts of the last `days`, all of them if None. The facts are read at the start; model, run
        and deployment are written at the end, all of it or nothing. Raises NotReady, also for facts of fewer than
        `least` days.
        """
        declared, history = self.desk.task(task), self.desk.lessons(task, as_of, days=days)
        there = spans(self.desk.domain(task).tables, declared, history)
        for name, span in there.items():
            if span.days < least:
                raise NotReady(f"{name} has facts of {span.days} days; {least} are needed: bring, or ask for, more")
        began = time.perf_counter()
        trained = train(declared, history, facts=there, budget=budget, progress=progress)
        logs.trained(self.tenant, task, time.perf_counter() - began)
        champion, live = self._serving(task)
        verdict = judge(trained, champion, history)
        kept = shelf.put(self.desk, trained.model)
        with self.desk.transaction() as connection:
            registry.alone(connection, self.tenant, task)
            if pinned := registry.pinned(connection, self.tenant, task):
                verdict = Verdict(promote=False, reason=f"version {pinned} is pinned; {verdict.reason}")
            elif registry.look(connection, self.tenant, [task], []).deployed[task] != live:
                verdict = Verdict(promote=False, reason="another version was let serve while this one was trained")
            registry.keep(connection, self.tenant, kept)
            run = registry.Run(
                model_name=task,
                version=kept.version,
                as_of=history.now,
                parameters={
                    "budget": budget,
                    "days": days,
                    "skipped": kept.card["skipped"],
                    "epochs": kept.card["epochs"],
                },
                metrics=kept.card["scores"],
                promoted=verdict.promote,
                reason=verdict.reason,
            )
            registry.experiment(connection, self.tenant, run)
            if verdict.promote:
                shelf.deploy(self.desk, connection, task, kept.version, verdict.reason)
            registry.prune(connection, self.tenant, task)
            self.desk.note(version=kept.version, promoted=verdict.promote, reason=verdict.reason)
        shelf.tidy(self.desk)
        filing.file(self.desk, declared, trained.lesson)
        return trained, verdict

    def champion(self, task: str) -> Model | None:
        """The model in service; None before the first."""
        return self._serving(task)[0]

    def _serving(self, task: str) -> tuple[Model | None, Sequence[str]]:
        """The model in service, and the versions that were let serve, newest first."""
        with self.desk.transaction() as connection:
            deployed = registry.look(connection, self.tenant, [task], []).deployed[task]
            return shelf.serving(self.desk, connection, self.desk.task(task), deployed)[0], deployed

    def backtest(
        self, task: str, *, as_of: AsOf = None, rolling: Rolling | None = None, budget: float | None = None
    ) -> Backtest:
        """Ask every candidate of a task old questions, with the old knowledge."""
        return backtest(self.desk.task(task), self.desk.lessons(task, as_of), rolling=rolling, budget=budget)

    def replay(
        self,
        task: str,
        request: Body | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        method: str | None = None,
        as_of: AsOf = None,
        progress: Progress | None = None,
    ) -> Replayed:
        """What a task's decisions from `start` to `end` would have cost and risked, beside what else one could do.

        They rest on forecasts of then by `method`, a candidate of the task; by the one in service if None. `request` is
        the task's own for it (whom, at what price). Raises NotReady with too little history or nothing in service,
        NotFound for a task without decisions, InvalidRequest for a period without history.
        """
        declared = self.desk.task(task)
        if declared.replay is None:
            raise NotFound(f"{task} has no decisions to replay")
        asked = request_of(declared.replay.request, request or {})
        history = self.history(task, as_of)
        champion = self.champion(task) if method is None else None
        if method is None and champion is None:
            raise nothing_trained(task)
        candidate = method or (champion.card.candidate if champion else "")
        return replay(declared, history, candidate, request=asked, start=start, end=end, progress=progress)

    # ------------------------------------------------------------ predictions

    def predict(
        self,
        task: str,
        request: Body,
        *,
        as_of: AsOf = None,
        trained: bool = False,
        light: bool = False,
        cache_bypass: bool = False,
    ) -> Prediction:
        """Answer one request, standing at `as_of`. Raises what went wrong.

        An answer that lasts (`Task.lasting`) is given again; with `cache_bypass` it is worked out anew. With `trained`,
        NotFound before the first training; with `light`, TooHeavy where the answer takes a fit.
        """
        (said,) = answering.answer(
            self.desk, [(task, request)], as_of=as_of, trained=trained, light=light, cache_bypass=cache_bypass
        )
        if isinstance(said, ForetellError):
            raise said
        return self._proposed(task, said, as_of)

    def predict_many(
        self, requests: Sequence[tuple[str, Body]], *, as_of: AsOf = None, light: bool = False
    ) -> list[Prediction | ForetellError]:
        """Answer many requests of one domain's tasks; each gets its prediction or its own error.

        Live versions, data marks and facts are read, and the ledger is written, in one transaction. With `light`,
        TooHeavy is the error of each whose answer takes a fit.
        """
        answers = answering.answer(self.desk, requests, as_of=as_of, light=light)
        return [
            said if isinstance(said, ForetellError) else self._proposed(name, said, as_of)
            for (name, _), said in zip(requests, answers, strict=True)
        ]

    def predict_each(
        self,
        task: str,
        request: Mapping[str, Any],
        whom: Sequence[str] | None = None,
        *,
        as_of: AsOf = None,
        cache_bypass: bool = False,
    ) -> Iterator[tuple[str, Prediction | ForetellError]]:
        """Answer the same request about each of many: `whom` is named, everybody there is if None; with their names.

        It goes so many at a time, each batch in a transaction of its own. Raises NotFound for a task whose requests are
        not about one entity by name (`Task.whom`), and NotReady without anybody.
        """
        declared = self.desk.task(task)
        if declared.whom is None:
            raise NotFound(f"{task} has no requests about one by name; ask for each with predict")
        everybody = answering.everybody(self.desk, declared) if whom is None else list(whom)
        for first in range(0, len(everybody), TOGETHER):
            some = everybody[first : first + TOGETHER]
            asked = [(task, {**request, declared.whom: name}) for name in some]
            self.desk.note(after=some[-1])
            answers = answering.answer(self.desk, asked, as_of=as_of, cache_bypass=cache_bypass)
            for name, said in zip(some, answers, strict=True):
                yield name, said if isinstance(said, ForetellError) else self._proposed(task, said, as_of)

    def _proposed(self, task: str, said: Prediction, as_of: AsOf) -> Prediction:
        """The prediction with the recommendation that it makes; one about another moment than now makes none."""
        if as_of is not None:
            return said
        if self.house.reads:
            log.debug("prediction %s of %s makes no recommendation: the database is only read", said.id, self.tenant)
            return said
        try:
            return replace(said, recommendation=recommend(self.desk, self.desk.task(task), said))
        except Unavailable as error:  # the answer is on record, and good without it; the next one proposes it again
            log.warning("prediction %s of %s made no recommendation: %s", said.id, self.tenant, error)
            return said

    def report(self, name: str, request: Body, *, as_of: AsOf = None) -> Reported:
        """What a report says, standing at `as_of`; raises as `reports.report` does."""
        return report(self.desk, name, request, as_of=as_of)

    def watch(self, task: str, *, as_of: AsOf = None) -> dict[str, float | None]:
        """How the forecasts that were served turned out: every metric, beside the counts of open and void outcomes."""
        rows, first, last = ledger.turned_out(self.desk, task, "forecast")
        turned_out = watch(self.desk.task(task), self.desk.reviewed(task, rows, as_of), rows)
        with self.desk.transaction() as connection:
            records.monitored(connection, self.tenant, task, first, last, rows.height, turned_out)
        return turned_out

    def recalibrate(self, task: str, *, as_of: AsOf = None) -> Model:
        """Calibrate the champion anew with what happened to the forecasts it served; the new version serves."""
        champion = self.champion(task)
        if champion is None:
            raise nothing_trained(task)
        rows, _, _ = ledger.turned_out(self.desk, task, "raw", champion.card.version)
        model = recalibrate(champion, self.desk.reviewed(task, rows, as_of), rows)
        kept = shelf.put(self.desk, model)
        with self.desk.transaction() as connection:
            registry.alone(connection, self.tenant, task)
            if pinned := registry.pinned(connection, self.tenant, task):
                raise Refused(f"version {pinned} of {task} is pinned; type: foretell models unpin {task}")
            registry.keep(connection, self.tenant, kept)
            shelf.deploy(self.desk, connection, task, model.card.version, model.card.reason)
            registry.prune(connection, self.tenant, task)
        filing.file(self.desk, self.desk.task(task))
        return model
