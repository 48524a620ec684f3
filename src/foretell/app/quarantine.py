"""The verb `quarantine`: rows that broke a rule, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from foretell.app.intake import Imported, again, intake
from foretell.app.tenancy import Tenancy
from foretell.contract import Frame
from foretell.stores import quarantine, records


class Quarantine:
    """A tenant's rows that broke a rule."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def list(self, table: str | None = None) -> Frame:
        """The rows, oldest first, with the columns that `stores.quarantine.quarantined` names."""
        if table:
            self.desk.table(table)
        with self.desk.inside() as connection:
            return quarantine.quarantined(connection, self.desk.tenant, table)

    def erase(self, fingerprints: Sequence[str]) -> int:
        """Erase rows; returns how many there were."""
        with self.desk.inside() as connection:
            erased = quarantine.release(connection, self.desk.tenant, fingerprints)
            records.audit(connection, self.desk.tenant, self.desk.who, "erase", "quarantine", {"rows": erased})
        return erased

    def retry(self, table: str, *, zone: str | None = None) -> Imported:
        """Take the rows of a table in again, read as they were; those still bad stay. `zone` reads clock times anew."""
        taken = intake(self.desk, table, "quarantine", zone=zone)
        alike = self.list(table).group_by("source", "zone", "seconds", maintain_order=True)
        for (source, own, seconds), some in alike:
            interval = None if seconds is None else timedelta(seconds=seconds)
            taken.origin = quarantine.Origin(source=source, zone=zone or own, interval=interval)
            rows = again(some)
            if not rows.is_empty():
                done = taken.check(rows.drop("fingerprint"), ordered=False)
                taken.store(done, instead_of=rows["fingerprint"].to_list())
        return taken.done()
