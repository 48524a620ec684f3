"""The verb `people`: everything that is kept of a person, shown or erased; and facts that are old enough, forgotten."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import polars as pl

from foretell.app.house import House
from foretell.app.jobs import Jobs
from foretell.app.opening import tenants
from foretell.app.tenancy import Tenancy
from foretell.app.tenant_settings import Settings
from foretell.contract import Domain
from foretell.errors import Damaged, Forbidden, InvalidRequest, NotFound
from foretell.stores import erasing, records, registry
from foretell.stores.access import ERASER
from foretell.stores.blobs import Blobs
from foretell.stores.database import READ_ONLY, Database
from foretell.stores.erasing import Whom

REGISTER = "erasures"  # the room of files that say whose facts were erased


@dataclass(frozen=True, kw_only=True)
class Erased:
    """What was erased of a person: rows by table, model versions, files of data sets; and the proof.

    `blanked` are facts about something else, which lost the name alone. `left` says in which tables rows still name
    them; it is empty. `erasure` is a checksum of who it was, under which the deed is in the audit.
    """

    erasure: str
    facts: Mapping[str, int]
    blanked: Mapping[str, int]
    written: Mapping[str, int]
    models: tuple[str, ...]
    data_sets: tuple[str, ...]
    left: Mapping[str, int]

    @property
    def anything(self) -> bool:
        """Whether there was anything of the person."""
        return bool([*self.models, *self.data_sets]) or any(
            sum(part.values()) for part in (self.facts, self.blanked, self.written)
        )


class People:
    """A tenant's people. Every method raises NotFound for an unknown domain, or one whose tables name nobody."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def export(self, domain: str, name: str, *, kind: str | None = None) -> dict[str, Any]:
        """Everything that is kept of a person: facts with their revisions by table, and what was written down.

        `kind` is what they are named as (`person`, `agent`); the first that the domain's tables know if None. Raises
        NotFound where nothing is kept.
        """
        declared, whom = self._whom(domain, name, kind)
        with _eraser(self.desk) as connection:
            facts = {
                f"{declared.name}.{table.name}": found
                for table in declared.tables
                if (found := erasing.facts_of(connection, whom, table))
            }
            written = {table: rows for table, rows in erasing.written_of(connection, whom).items() if rows}
            if not facts and not written:
                raise NotFound(f"nothing is kept of the {whom.kind} {name}")
            details = {"kind": whom.kind, "person": _checksum(whom)}
            records.audit(connection, self.desk.tenant, self.desk.who, "export person", declared.name, details)
        return {"tenant": whom.tenant, "domain": whom.domain, whom.kind: name, "facts": facts, "written": written}

    def erase(self, domain: str, name: str, *, kind: str | None = None) -> Erased:
        """Erase a person for good: facts and revisions, quarantine, features, predictions, jobs, models, data sets.

        What is in backups goes when they are restored. A task whose model knew the person by name is trained again by
        a job. Facts that are brought again afterwards are kept again. Raises NotFound where nothing is kept, and
        Forbidden where nothing may be changed.
        """
        declared, whom = self._whom(domain, name, kind)
        done = self._erase(declared, whom)
        if not done.anything:
            raise NotFound(f"nothing is kept of the {whom.kind} {name}")
        return done

    def replay(self) -> int:
        """Erase everybody again who is in the register: after a restore of what was older; how many there were."""
        register: dict[tuple[str, str], set[str]] = {}
        for file in self.desk.house.stores.blobs.files(self.desk.tenant):
            room, of, name = (*file.split("/"), "", "")[:3]
            domain, _, kind = of.partition(".")
            if room == REGISTER and domain in self.desk.house.domains:
                register.setdefault((domain, kind), set()).add(name.removesuffix(".json"))
        again = 0
        for (domain, kind), checksums in register.items():
            declared = self.desk.domain(domain)
            with _eraser(self.desk) as connection:
                names = {*erasing.everybody(connection, self.desk.tenant, domain, declared.tables, kind)}
            whoever = (Whom(tenant=self.desk.tenant, domain=domain, kind=kind, name=name) for name in sorted(names))
            for whom in whoever:
                if _checksum(whom) in checksums:
                    again += self._erase(declared, whom).anything
        return again

    def forget_old(self) -> dict[str, int]:
        """Forget facts that are older than their tables, or the tenant's settings, keep them; how many, by table."""
        told: Mapping[str, int] = getattr(Settings(self.desk).show(), "keep_facts_days")  # noqa: B009 - the tenant's own
        gone: dict[str, int] = {}
        with _eraser(self.desk) as connection:
            for domain in self.desk.house.domains.values():
                for table in domain.tables:
                    name = f"{domain.name}.{table.name}"
                    kept = timedelta(days=days) if (days := told.get(name)) else table.kept
                    if kept and (many := erasing.forget_facts(connection, self.desk.tenant, domain.name, table, kept)):
                        gone[name] = many
            if gone:
                records.audit(connection, self.desk.tenant, self.desk.who, "forget", "facts", gone)
        return gone

    def _whom(self, domain: str, name: str, kind: str | None) -> tuple[Domain, Whom]:
        declared = self.desk.domain(domain)
        kinds = list(dict.fromkeys(kind for table in declared.tables for kind in table.persons.values()))
        if declared.name != domain or not kinds:
            raise NotFound(f"the tables of {domain} name no people")
        if kind is not None and kind not in kinds:
            raise NotFound(f"{domain} names nobody as {kind!r}; it knows {', '.join(kinds)}")
        if not name:
            raise InvalidRequest("say whom: a name is empty")
        return declared, Whom(tenant=self.desk.tenant, domain=domain, kind=kind or kinds[0], name=name)

    def _erase(self, declared: Domain, whom: Whom) -> Erased:
        instead = f"erased-{secrets.token_hex(8)}"
        facts: dict[str, int] = {}
        blanked: dict[str, int] = {}
        with _eraser(self.desk) as connection:
            for table in declared.tables:
                gone, changed = erasing.take_facts(connection, whom, table, instead)
                facts |= {f"{declared.name}.{table.name}": gone} if gone else {}
                blanked |= {f"{declared.name}.{table.name}": changed} if changed else {}
            written = {name: rows for name, rows in erasing.take_written(connection, whom).items() if rows}
            left = erasing.left(connection, whom)
            models = self._models(connection, declared, whom)
            sets = self._data_sets(whom)
            done = Erased(
                erasure=_checksum(whom), facts=facts, blanked=blanked, written=written, models=models, data_sets=sets,
                left=left,
            )  # fmt: skip
            if done.anything:
                self._register(whom)  # before it is committed: who restores an older backup next finds it there
                details = {"kind": whom.kind, "person": done.erasure, "facts": facts, "blanked": blanked,
                           "written": written, "models": models, "data_sets": sets, "left": left}  # fmt: skip
                records.audit(connection, self.desk.tenant, self.desk.who, "erase person", declared.name, details)
        for memory in (self.desk.house.histories, self.desk.house.answers):
            memory.clear(self.desk.tenant)
        if models:
            self.desk.house.models.clear(self.desk.tenant)
        for task in dict.fromkeys(version.split(" ")[0] for version in models):
            Jobs(self.desk).start("train", {"task": task})
        return done

    def _register(self, whom: Whom) -> None:
        """Put a person into the register of erasures, where they are not in it yet."""
        blobs, file = self.desk.house.stores.blobs, f"{REGISTER}/{whom.domain}.{whom.kind}/{_checksum(whom)}.json"
        if blobs.read(self.desk.tenant, file) is None:
            told = {"erased_at": datetime.now(UTC).isoformat(), "by": self.desk.who}
            blobs.write(self.desk.tenant, file, json.dumps(told).encode())

    def _models(self, connection: Any, declared: Domain, whom: Whom) -> tuple[str, ...]:
        """Erase the files of model versions that know a person by name; which they were."""
        blobs, out = self.desk.house.stores.blobs, []
        for task in declared.tasks:
            for _, kept in registry.numbered(connection, self.desk.tenant, task.name):
                with TemporaryDirectory(prefix="foretell-") as folder, suppress(Damaged, NotFound):
                    blobs.get(self.desk.tenant, kept.blob, Path(folder))
                    if _knows(Path(folder), whom.name):
                        blobs.erase(self.desk.tenant, kept.blob, "knew somebody by name who was erased")
                        out.append(f"{task.name} {kept.version}")
        return tuple(out)

    def _data_sets(self, whom: Whom) -> tuple[str, ...]:
        """Take a person's rows out of stored data sets; which of them had any."""
        blobs, out = self.desk.house.stores.blobs, []
        for file in [file for file in blobs.files(self.desk.tenant) if file.endswith(".parquet")]:
            rows = pl.read_parquet(io.BytesIO(blobs.read(self.desk.tenant, file) or b""))
            texts = [pl.col(name) == whom.name for name, kind in rows.schema.items() if kind == pl.String]
            if texts and (kept := rows.filter(~pl.any_horizontal(texts).fill_null(value=False))).height < rows.height:
                content = io.BytesIO()
                kept.write_parquet(content)
                blobs.write(self.desk.tenant, file, content.getvalue())
                out.append(file)
        return tuple(out)


def replayed(register: Path | None = None) -> int:
    """Erase everybody again, of all tenants, who is in the register; how many were there again.

    `register` is the home, or the folder of blobs, of a house that this one takes the place of: who was erased there is
    erased here too. Raises what `House.open` does.
    """
    house, again = House.open(size=2), 0
    try:
        for tenant in tenants():
            if register:
                _merge(house, tenant, register / "blobs" if (register / "blobs").is_dir() else register)
            again += People(Tenancy(house=house, tenant=tenant, who="restore")).replay()
    finally:
        house.close()
    return again


def _merge(house: House, tenant: str, folder: Path) -> None:
    """Take another house's register over."""
    if not folder.is_dir():
        raise NotFound(f"{folder} is no folder")
    other = Blobs(f"file://{quote(str(folder.resolve()))}")
    for file in other.files(tenant):
        if file.startswith(f"{REGISTER}/") and (told := other.read(tenant, file)) is not None:
            house.stores.blobs.write(tenant, file, told)


def _checksum(whom: Whom) -> str:
    """Who it is, for whom knows the name: the register of erasures keeps no names."""
    return hashlib.sha256("\n".join((whom.tenant, whom.domain, whom.kind, whom.name)).encode()).hexdigest()


def _knows(folder: Path, name: str) -> bool:
    """Whether a saved model holds a name, as its JSON has it."""
    told = json.dumps(name, ensure_ascii=False).encode()
    return any(told in path.read_bytes() for path in folder.rglob("*") if path.is_file())


@contextmanager
def _eraser(desk: Tenancy) -> Iterator[Any]:
    """A transaction of the tenant as the one who may take facts away. Raises Forbidden where nothing may be changed."""
    if desk.house.reads:
        raise Forbidden(READ_ONLY)
    with desk.inside():
        pass
    database = Database(desk.house.stores.database.url, role=ERASER, size=1)
    try:
        with database.tenant(desk.tenant) as connection:
            yield connection
    finally:
        database.close()
