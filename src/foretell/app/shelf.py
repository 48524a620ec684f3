"""A tenant's trained models: their files in the blobs, what serves in the database, those in use in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from foretell.app.declared import domains, task_of
from foretell.contract import Task
from foretell.engine.model import Model
from foretell.errors import Damaged, NotFound
from foretell.stores import Stores, records
from foretell.stores.blobs import try_in_child

TRIAL = 60.0  # seconds that a new model's files may take to be loaded and asked in a process of their own


class Shelf:
    """Models of one tenant; `who` is written down with what is deployed."""

    def __init__(self, kept: Stores, tenant: str, who: str) -> None:
        self.stores, self.tenant, self.who = kept, tenant, who
        self._loaded: dict[tuple[str, str], Model] = {}  # by task and version

    def put(self, model: Model) -> records.Kept:
        """Store a model's files, tried once in a process of their own; returns what to put on record.

        Raises Damaged, and serves nobody with them, where the trial fails.
        """
        with TemporaryDirectory(prefix="foretell-") as folder:
            model.save(Path(folder))
            blob = self.stores.blobs.put(self.tenant, Path(folder))
            if why := try_in_child("foretell.app.shelf:try_model", Path(folder), seconds=TRIAL):
                self.stores.blobs.quarantine(self.tenant, blob.address, why)
                raise Damaged(f"the files of the new model of {model.card.task} can't be used: {why}")
        return records.Kept(
            model_name=model.card.task,
            version=model.card.version,
            candidate=model.card.candidate,
            card=model.card.model_dump(mode="json"),
            blob=blob.address,
            size=blob.size,
            created_at=datetime.now(UTC),
        )

    def deploy(self, connection: Any, model: Model, reason: str) -> None:
        """Let a model that is on record serve from now on, in the connection's transaction."""
        task, version = model.card.task, model.card.version
        records.deploy(connection, self.tenant, task, version, self.who, reason)
        records.audit(connection, self.tenant, self.who, "deploy", task, {"version": version, "reason": reason})

    def serving(self, connection: Any, task: Task) -> tuple[Model | None, str | None]:
        """The model in service, and why it is not the one deployed last where that one's files are damaged."""
        why = None
        for version in records.deployed(connection, self.tenant, task.name):
            try:
                return self._load(connection, task, version), why
            except (Damaged, NotFound) as error:
                why = why or f"version {version} can't be loaded: {error}"
        return None, why

    def _load(self, connection: Any, task: Task, version: str) -> Model:
        found = self._loaded.get((task.name, version))
        if found is None:
            address = records.blob_of(connection, self.tenant, task.name, version)
            with TemporaryDirectory(prefix="foretell-") as folder:
                self.stores.blobs.get(self.tenant, address, Path(folder))
                found = Model.load(task, Path(folder))
            self._loaded[task.name, version] = found
        return found


def try_model(folder: Path) -> None:
    """Load a saved model and ask it something of its domain's sample world: run on new files in a child process."""
    name = Model.card_of(folder).task
    domain = domains()[name.split(".", maxsplit=1)[0]]
    task, history = task_of(domain, name), domain.sample(1).history
    asked = task.questions(history).sort("as_of").tail(8)
    Model.load(task, folder).forecaster.forecast(task.study(history, asked))
