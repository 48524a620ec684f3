"""Trained models: their files in the blobs, what serves in the database, those in use in memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from foretell.app.declared import domains, task_of
from foretell.app.tenancy import Tenancy
from foretell.contract import Task
from foretell.engine.model import Model
from foretell.errors import Damaged, NotFound, Unavailable
from foretell.models.boosted import warm
from foretell.stores import records, registry
from foretell.stores.trial import try_in_child

TRIAL = 60.0  # seconds that a new model's files may take to be loaded and asked in a process of their own
UNUSED = timedelta(days=1)  # that files which nobody needs are left alone
UNPACKED = 2  # bytes in memory for one of a model's files


def put(desk: Tenancy, model: Model) -> registry.Kept:
    """Store a model's files, tried once in a process of their own; returns what to put on record.

    Raises Damaged, and serves nobody with them, where the trial fails.
    """
    blobs = desk.house.stores.blobs
    with TemporaryDirectory(prefix="foretell-") as folder:
        model.save(Path(folder))
        blob = blobs.put(desk.tenant, Path(folder))
        if why := try_in_child("foretell.app.shelf:try_model", Path(folder), seconds=TRIAL):
            blobs.quarantine(desk.tenant, blob.address, why)
            raise Damaged(f"the files of the new model of {model.card.task} can't be used: {why}")
    return registry.Kept(
        model_name=model.card.task,
        version=model.card.version,
        candidate=model.card.candidate,
        card=model.card.model_dump(mode="json"),
        blob=blob.address,
        size=blob.size,
        created_at=datetime.now(UTC),
    )


def deploy(
    desk: Tenancy, connection: Any, task: str, version: str, reason: str, *, deed: str = "deploy", pinned: bool = False
) -> None:
    """Let a version that is on record serve from now on, in the connection's transaction."""
    registry.deploy(connection, desk.tenant, task, version, desk.who, reason, pinned=pinned)
    records.audit(connection, desk.tenant, desk.who, deed, task, {"version": version, "reason": reason})


def serving(desk: Tenancy, connection: Any, task: Task, deployed: Sequence[str]) -> tuple[Model | None, str | None]:
    """The model in service, and why it is not the one deployed last where that one's files are damaged."""
    why = None
    for version in deployed:
        try:
            return load(desk, connection, task, version), why
        except (Damaged, NotFound) as error:
            why = why or f"version {version} can't be loaded: {error}"
    return None, why


def load(desk: Tenancy, connection: Any, task: Task, version: str) -> Model:
    """A version's model, from memory or else from its files. Raises Damaged and NotFound."""

    def made() -> tuple[Model, int]:
        kept = registry.model(connection, desk.tenant, task.name, version)
        desk.house.models.expire()  # what nobody asks for any more goes now: to load one takes longer
        with TemporaryDirectory(prefix="foretell-") as folder:
            desk.house.stores.blobs.get(desk.tenant, kept.blob, Path(folder))
            try:
                return Model.load(task, Path(folder)), UNPACKED * kept.size
            except (KeyError, TypeError, ValueError, FileNotFoundError) as error:
                told = f"{type(error).__name__}: {error}"
                raise Damaged(f"this foretell can't read what another one made ({told}); train again") from None

    return desk.house.models.once((desk.tenant, task.name, version), made, whose=desk.tenant)


def tidy(desk: Tenancy) -> None:
    """Forget the files that no version on record needs, if they are a day old; what fails is left for later.

    A trial that failed, a run that died and a version that was let go leave such files; so, for a while, does a run
    that is not on record yet.
    """
    with suppress(Unavailable), desk.transaction() as connection:
        if (needed := registry.needed(connection, desk.tenant)) is not None:
            desk.house.stores.blobs.sweep(desk.tenant, needed, before=datetime.now(UTC) - UNUSED)


def try_model(folder: Path) -> None:
    """Load a saved model and ask it something of its domain's sample world: run on new files in a child process."""
    if any(folder.rglob("trees-*.txt")):
        warm()
    name = Model.card_of(folder).task
    domain = domains()[name.split(".", maxsplit=1)[0]]
    task, history = task_of(domain, name), domain.sample(1).history
    asked = task.questions(history).sort("as_of").tail(8)
    Model.load(task, folder).forecaster.forecast(task.study(history, asked))
