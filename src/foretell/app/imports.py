"""The verb `imports`: what was brought in lately, and the way back from what should not have been."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from foretell.app import vectors
from foretell.app.tenancy import Tenancy
from foretell.errors import InvalidRequest, NotFound
from foretell.stores import imports, records
from foretell.stores.imports import Import as Import  # noqa: PLC0414 - web and cli name them too
from foretell.stores.imports import Undone as Undone  # noqa: PLC0414

MOST = 1000  # imports listed at once
TOLD = 5  # of them, to who names none of them


class Imports:
    """A tenant's imports: files, batches of rows, requests, and what was collected from a source."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def list(self, table: str | None = None, *, limit: int = 100) -> Sequence[Import]:
        """The last imports, into a table or into all, newest first; one that brought nothing new is among them.

        Raises NotFound for an unknown table, InvalidRequest for a limit that is none.
        """
        if not 1 <= limit <= MOST:
            raise InvalidRequest(f"a limit of {limit}: 1 to {MOST:,} imports are listed")
        if table:
            self.desk.table(table)
        with self.desk.inside() as connection:
            return imports.listed(connection, self.desk.tenant, name=table, limit=limit)

    def undo(self, import_id: UUID | str) -> Undone:
        """Take an import back: facts that it added are gone, those it revised are what they were before.

        A fact that a later import revised stays. What was on record until now can still be asked for (`recorded`), the
        ledger keeps its predictions, and the same rows can be brought again. A model that learned from them serves
        until it is trained again. Raises NotFound for no such import, Refused for one that was taken back already.
        """
        with self.desk.inside() as connection:
            there = (
                imports.listed(connection, self.desk.tenant, number=number) if (number := _number(import_id)) else []
            )
            if not there:
                raise self._nothing(import_id, imports.listed(connection, self.desk.tenant, limit=TOLD))
            domain, table = self.desk.table(there[0].table)
            done = imports.take_back(
                connection, self.desk.tenant, domain.name, table, there[0].import_id, self.desk.who
            )
            vectors.forget_table(self.desk, connection, domain, table)
            told = {**asdict(done), "import_id": str(done.import_id), "source": there[0].source}
            records.audit(connection, self.desk.tenant, self.desk.who, "undo import", done.table, told)
        return done

    def _nothing(self, import_id: UUID | str, last: Sequence[Import]) -> NotFound:
        known = "; ".join(f"{one.import_id} ({one.table}, {one.source}, {one.at:%Y-%m-%d %H:%M %Z})" for one in last)
        return NotFound(
            f"there is no import {import_id}; the last are {known}" if known else "nothing was imported yet"
        )


def _number(import_id: UUID | str) -> UUID | None:
    """The same as a number; None for what can't be one."""
    try:
        return UUID(str(import_id))
    except ValueError:
        return None
