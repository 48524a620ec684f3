"""The verb `models`: which versions there are, which one serves, and how people change that."""

from __future__ import annotations

from collections.abc import Sequence

from foretell.app import shelf
from foretell.app.memory import Stats
from foretell.app.tenancy import Tenancy
from foretell.engine.model import Card, card_read
from foretell.errors import NotReady, Refused
from foretell.stores import records, registry


class Models:
    """Versions of a tenant's models. Every method raises NotFound for an unknown task."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def list(self, task: str) -> Sequence[registry.Version]:
        """A task's versions, newest first, each with its state."""
        name = self.desk.task(task).name
        with self.desk.inside() as connection:
            return registry.versions(connection, self.desk.tenant, name)

    def card(self, task: str, version: str) -> Card:
        """Everything known about a version. Raises NotFound, with the versions there are."""
        name = self.desk.task(task).name
        with self.desk.inside() as connection:
            return card_read(registry.model(connection, self.desk.tenant, name, version).card)

    def health(self, task: str) -> records.Health:
        """How a task's model does, counted from what is on record."""
        name = self.desk.task(task).name
        with self.desk.inside() as connection:
            return records.health(connection, self.desk.tenant, name)

    def promote(self, task: str, version: str, *, reason: str = "promoted by hand") -> str:
        """Let a version serve; a pin ends. Returns the version. Raises NotFound, Damaged where it can't be loaded."""
        return self._serve(task, version, reason, "promote")

    def pin(self, task: str, version: str, *, reason: str = "pinned by hand") -> str:
        """Let a version serve, and no training change that until `unpin`. Returns the version. Raises as `promote`."""
        return self._serve(task, version, reason, "pin")

    def unpin(self, task: str) -> str:
        """Let training promote again; the version goes on serving. Returns it. Raises Refused where none is pinned."""
        name = self.desk.task(task).name
        with self.desk.inside() as connection:
            registry.alone(connection, self.desk.tenant, name)
            version = registry.pinned(connection, self.desk.tenant, name)
            if version is None:
                raise Refused(f"no version of {task} is pinned")
            shelf.deploy(self.desk, connection, name, version, "no longer pinned", deed="unpin")
        return version

    def rollback(self, task: str) -> str:
        """Let the version serve that served before the one in service was first let serve. Returns it.

        A pin ends. Raises Refused where there is none before it; Damaged or NotFound where its files are broken.
        """
        name = self.desk.task(task).name
        with self.desk.inside() as connection:
            registry.alone(connection, self.desk.tenant, name)
            version = registry.before(connection, self.desk.tenant, name)
            if version is None:
                raise Refused(f"{task} has no version to roll back to: none served before the one in service")
            shelf.load(self.desk, connection, self.desk.task(task), version)
            shelf.deploy(self.desk, connection, name, version, "rolled back by hand", deed="rollback")
        return version

    # ------------------------------------------------------------ in memory

    def cache(self) -> Stats:
        """How many of the tenant's models this process has in memory, and how often they were found there."""
        with self.desk.inside():
            return self.desk.house.models.stats(self.desk.tenant)

    def preload(self, tasks: Sequence[str] | None = None) -> dict[str, str | None]:
        """Load what serves of these tasks (of all, if None) into this process's memory.

        By task the version that answers now; None where there is none yet, or none whose files can be read.
        """
        names = (
            tasks if tasks is not None else [t.name for each in self.desk.house.domains.values() for t in each.tasks]
        )
        declared = [self.desk.task(name) for name in names]
        with self.desk.inside() as connection:
            deployed = registry.look(connection, self.desk.tenant, names, []).deployed
            loaded = {
                task.name: shelf.serving(self.desk, connection, task, deployed[task.name])[0] for task in declared
            }
        return {name: model.card.version if model else None for name, model in loaded.items()}

    def clear(self) -> int:
        """Forget the tenant's models in this process's memory; returns how many. The next to be asked is loaded."""
        with self.desk.inside():
            return self.desk.house.models.clear(self.desk.tenant)

    def _serve(self, task: str, version: str, reason: str, deed: str) -> str:
        declared = self.desk.task(task)
        with self.desk.inside() as connection:
            registry.alone(connection, self.desk.tenant, declared.name)
            registry.model(connection, self.desk.tenant, declared.name, version)  # memory may know one that was let go
            shelf.load(self.desk, connection, declared, version)
            shelf.deploy(self.desk, connection, declared.name, version, reason, deed=deed, pinned=deed == "pin")
        return version


def nothing_trained(task: str) -> NotReady:
    """The error of who needs a model where there is none yet."""
    return NotReady(f"{task} has no champion yet; type: foretell train {task}")
