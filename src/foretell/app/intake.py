"""Facts on their way in: each batch checked, then stored in a transaction of its own, all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from foretell.contract import Domain, Frame, Table
from foretell.engine.ingest import Ingested, ingest
from foretell.engine.mapping import Plan
from foretell.engine.quality import Quality, Tally
from foretell.stores import Stores, facts, files, quarantine, records

ROWS = 100_000  # in a batch; two are in memory at once


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What became of rows: those that are new, that corrected one, that were there already, that broke a rule.

    `rules` says how many rows broke each rule, `notes` what else a human should know, `quality` how good the rows were.
    A row that a later one of the same batch replaced counts nowhere but in the notes and the quality.
    """

    accepted: int
    revised: int
    unchanged: int
    rejected: int
    rules: Mapping[str, int]
    notes: tuple[str, ...]
    quality: Quality


@dataclass(kw_only=True)
class Intake:
    """Batches of one table for one tenant; with `dry`, checked and not stored.

    `origin` says where the rows come from and how to read them, `who` brought them.
    """

    stores: Stores
    tenant: str
    who: str
    domain: Domain
    table: Table
    origin: quarantine.Origin
    dry: bool = False
    written: facts.Written = field(default_factory=lambda: facts.Written(accepted=0, revised=0, unchanged=0))

    def __post_init__(self) -> None:
        self.tally = Tally(self.table)

    def check(self, rows: Frame, *, ordered: bool = True) -> Ingested:
        """Hold a batch to its table's rules; rows not `ordered` as they were written leave doubled hours unread."""
        return ingest(
            self.table, rows, zone=self.origin.zone, now=datetime.now(UTC),
            interval=self.origin.interval, ordered=ordered,
        )  # fmt: skip

    def store(self, done: Ingested, *, instead_of: Sequence[str] = ()) -> None:
        """Store a checked batch; `instead_of` rows in quarantine, by their fingerprints."""
        name = f"{self.domain.name}.{self.table.name}"
        self.tally.add(done)
        if self.dry:
            return
        with self.stores.database.tenant(self.tenant) as connection:
            still = {quarantine.named(name, *row) for row in done.rejected.select("rule", "original").iter_rows()}
            quarantine.release(connection, self.tenant, [each for each in instead_of if each not in still])
            written = facts.write(connection, self.tenant, self.domain.name, self.table, done.rows)
            quarantine.reject(connection, self.tenant, name, done.rejected, self.origin)
            told = {**asdict(written), "rejected": done.rejected.height, "source": self.origin.source}
            records.audit(connection, self.tenant, self.who, "import", name, told)
        self.written = facts.Written(
            **{each: number + asdict(written)[each] for each, number in asdict(self.written).items()}
        )

    def read(self, path: Path, plan: Plan, progress: Callable[[float], None] | None = None) -> None:
        """Store a file batch by batch; the next is read and checked while the database takes one in."""
        batches = files.batches(path, rows=ROWS)

        def following() -> tuple[Ingested, float] | None:
            batch = next(batches, None)
            return None if batch is None else (self.check(plan.apply(batch.frame)), batch.done)

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
            **written,
            rejected=self.tally.rejected,
            rules=dict(self.tally.rules),
            notes=self.tally.notes,
            quality=self.tally.quality(),
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
