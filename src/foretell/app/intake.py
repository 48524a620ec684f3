"""Facts on their way in: each batch checked, then stored in a transaction of its own, all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import polars as pl

from foretell.app import vectors
from foretell.app.opening import a_zone
from foretell.app.tenancy import Tenancy
from foretell.contract import Domain, Frame, Table
from foretell.engine.ingest import Ingested, ingest
from foretell.engine.mapping import Plan
from foretell.engine.quality import Quality, Tally
from foretell.errors import InvalidRequest, first_line
from foretell.stores import facts, files, imports, quarantine, records

ROWS = 100_000  # in a batch; two are in memory at once


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What became of rows: those that are new, that corrected one, that were there already, that broke a rule.

    `rules` says how many rows broke each rule, `notes` what else a human should know, `quality` how good the rows were.
    A row that a later one of the same batch replaced counts nowhere but in the notes and the quality. By its
    `import_id` the import can be taken back; null where nothing was put on record.
    """

    import_id: UUID | None
    accepted: int
    revised: int
    unchanged: int
    rejected: int
    rules: Mapping[str, int]
    notes: tuple[str, ...]
    quality: Quality

    def told(self) -> dict[str, Any]:
        """The same as plain JSON."""
        parts = {name: round(part, 4) for name, part in self.quality.parts.items()}
        quality = {"score": round(self.quality.score, 4), **parts}
        number = self.import_id and str(self.import_id)
        return {**asdict(self), "import_id": number, "notes": [*self.notes], "quality": quality}


@dataclass(kw_only=True)
class Intake:
    """Batches of one table for one tenant, which are one import; with `dry`, checked and not stored.

    `origin` says where the rows come from and how to read them, `notes` what was made of their columns.
    """

    desk: Tenancy
    domain: Domain
    table: Table
    origin: quarantine.Origin
    dry: bool = False
    notes: tuple[str, ...] = ()
    written: facts.Written = field(default_factory=lambda: facts.Written(accepted=0, revised=0, unchanged=0))
    import_id: UUID = field(default_factory=uuid4)
    begun: bool = False  # whether it is on record

    def __post_init__(self) -> None:
        self.tally = Tally(self.table)

    def check(self, rows: Any, *, ordered: bool = True) -> Ingested:
        """Hold a batch to its table's rules; rows not `ordered` as they were written leave doubled hours unread.

        `rows` are a Polars or pandas frame, or a list of mappings. Raises InvalidRequest for anything else.
        """
        try:
            return ingest(
                self.table, framed(rows), zone=self.origin.zone, now=datetime.now(UTC),
                interval=self.origin.interval, ordered=ordered,
            )  # fmt: skip
        except pl.exceptions.PanicException as error:
            raise InvalidRequest(f"the rows can't be read: {first_line(error)}") from None

    def planned(self, rows: Frame, plan: Plan) -> Ingested:
        """Hold a batch of a file, whose columns a plan names, to the table's rules; notes what the plan found bare."""
        done = self.check(plan.apply(rows))
        if not plan.bare or done.rows.is_empty():
            return done
        return replace(done, counted={**done.counted, plan.bare: done.rows.height})

    def store(self, done: Ingested, *, instead_of: Sequence[str] = ()) -> None:
        """Store a checked batch; `instead_of` rows in quarantine, by their fingerprints."""
        self.tally.add(done)
        if not self.dry:
            with self.desk.transaction() as connection:
                self._store(connection, done, instead_of)

    def store_once(self, done: Ingested, key: str, fingerprint: str) -> Mapping[str, Any]:
        """Store the one batch of a request; returns what is said of it, the first time as at every other.

        `key` names the request, `fingerprint` changes with what it says. Raises Refused as `records.answered` does.
        """
        self.tally.add(done)
        with self.desk.transaction() as connection:
            told = records.answered(connection, self.desk.tenant, key, fingerprint)
            if told is None:
                self._store(connection, done, ())
                told = self.done().told()
                records.answer(connection, self.desk.tenant, key, fingerprint, told)
        return told

    def _store(self, connection: Any, done: Ingested, instead_of: Sequence[str]) -> None:
        name, tenant = f"{self.domain.name}.{self.table.name}", self.desk.tenant
        still = {quarantine.named(name, *row) for row in done.rejected.select("rule", "original").iter_rows()}
        quarantine.release(connection, tenant, [each for each in instead_of if each not in still])
        became = facts.write(connection, tenant, self.domain.name, self.table, done.rows)
        bad = done.rejected.height
        imports.put(connection, tenant, self.import_id, name, self.desk.who, self.origin, became, bad)
        vectors.forget(self.desk, connection, self.domain, self.table, done.rows)
        quarantine.reject(connection, tenant, name, done.rejected, self.origin)
        written, sofar = asdict(became), asdict(self.written)
        told = {**written, "rejected": bad, "source": self.origin.source, "import_id": str(self.import_id)}
        records.audit(connection, tenant, self.desk.who, "import", name, told)
        self.begun = True
        self.written = facts.Written(**{each: number + written[each] for each, number in sofar.items()})

    def read(self, path: Path, plan: Plan, progress: Callable[[float], None] | None = None) -> None:
        """Store a file batch by batch; the next is read and checked while the database takes one in."""
        batches = files.batches(path, rows=ROWS)

        def following() -> tuple[Ingested, float] | None:
            batch = next(batches, None)
            return None if batch is None else (self.planned(batch.frame, plan), batch.done)

        with ThreadPoolExecutor(max_workers=1) as ahead:
            coming = ahead.submit(following)
            while (checked := coming.result()) is not None:
                coming = ahead.submit(following)
                self.store(checked[0])
                if progress:
                    progress(checked[1])

    def done(self) -> Imported:
        """What became of all batches; of a dry run, what was sound counts as unchanged."""
        written = {"accepted": 0, "revised": 0, "unchanged": self.tally.accepted} if self.dry else asdict(self.written)
        return Imported(
            import_id=self.import_id if self.begun else None,
            **written,
            rejected=self.tally.rejected,
            rules=dict(self.tally.rules),
            notes=(*self.notes, *self.tally.notes),
            quality=self.tally.quality(),
        )


def intake(
    desk: Tenancy,
    table: str,
    source: str,
    *,
    zone: str | None = None,
    interval: timedelta | None = None,
    dry: bool = False,
    notes: tuple[str, ...] = (),
) -> Intake:
    """The intake of a table (`traffic.metrics`); clock times are of `zone`, the tenant's if None. Raises NotFound."""
    domain, declared = desk.table(table)
    if zone:
        a_zone(zone)
    with desk.transaction() as connection:
        own = desk.zone(connection)
    origin = quarantine.Origin(source=source, zone=zone or own, interval=interval)
    return Intake(desk=desk, domain=domain, table=declared, origin=origin, dry=dry, notes=notes)


def framed(rows: Any) -> Frame:
    """Rows as a frame: a Polars one as it is, a pandas one, or a list of mappings. Raises InvalidRequest for others."""
    if isinstance(rows, pl.DataFrame):
        return rows
    try:
        if isinstance(rows, list | tuple):
            return pl.from_dicts(rows, infer_schema_length=None)
        if type(rows).__module__.partition(".")[0] == "pandas":
            return pl.from_pandas(rows)
    except (TypeError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
        raise InvalidRequest(f"the rows can't be read: {first_line(error)}") from None
    raise InvalidRequest(
        f"rows are a Polars or pandas frame, or a list of mappings, not {type(rows).__name__}; for a file there is"
        " import_file, with a plan of its columns"
    )


def again(quarantined: Frame) -> Frame:
    """Rows of a quarantine as they were sent, with `fingerprint`, save those too long to have been kept whole."""
    rows = []
    for fingerprint, original in quarantined.select("fingerprint", "original").iter_rows():
        try:
            sent = json.loads(original)
        except ValueError:
            continue
        plain = {name: json.dumps(each) if isinstance(each, dict) else each for name, each in sent.items()}
        texts = {name: each if isinstance(each, str | None) else str(each) for name, each in plain.items()}
        rows.append({**texts, "fingerprint": fingerprint})
    return pl.DataFrame(rows, infer_schema_length=None) if rows else pl.DataFrame()
