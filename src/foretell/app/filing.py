"""What others find in the blobs by name: a manifest of each version, and what trainings learned from.

Of tasks that say so (`Task.filed_as`), in the tenant's room; `scope` is a project or the like, or `global`:

    ml_models/{filed_as}/{trainings}.0.0/{YYYYmmdd_HHMMSS}/model.joblib         JSON that names the version's blob
    ml_datasets/{scope}/{filed_as}/training_set_{YYYYmmdd}.parquet              questions, features, outcomes

Nothing here reads them: what serves is on record in the database. So one that can't be written fails no training; it is
logged, and a manifest is written at the task's next training. Times are UTC.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from datetime import UTC, datetime, timedelta

from foretell.app.tenancy import Tenancy
from foretell.contract import Frame, Task
from foretell.engine.train import Lesson
from foretell.errors import ForetellError
from foretell.stores import registry

log = logging.getLogger("foretell")

GLOBAL = "global"
SETS = 3  # newest data sets of a task and scope that are kept
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def file(desk: Tenancy, task: Task, lesson: Lesson | None = None) -> None:
    """Make a task's manifests those of its versions on record; keep the lesson of a training as its data sets."""
    if task.filed_as is None:
        return
    try:
        _manifests(desk, task, f"ml_models/{task.filed_as}/")
        if lesson:
            _data_sets(desk, task, lesson.frame())
    except ForetellError as error:
        log.warning("%s of %s is on record, but not filed for others: %s", task.name, desk.tenant, error)


def _manifests(desk: Tenancy, task: Task, start: str) -> None:
    blobs = desk.house.stores.blobs
    # First what is there, then what is on record: who files at the same time has put it on record before.
    there = {name for name in blobs.files(desk.tenant) if name.startswith(start)}
    with desk.transaction() as connection:
        versions = registry.numbered(connection, desk.tenant, task.name)
    wanted: dict[str, registry.Kept] = {}
    for number, kept in versions:
        made = kept.created_at.astimezone(UTC)
        while (name := f"{start}{number}.0.0/{made:%Y%m%d_%H%M%S}/model.joblib") in wanted:
            made += timedelta(seconds=1)  # another was made within the same second
        wanted[name] = kept
    for name in wanted.keys() - there:
        blobs.write(desk.tenant, name, _manifest(wanted[name]))
    for name in there - wanted.keys():
        blobs.forget(desk.tenant, name)


def _manifest(kept: registry.Kept) -> bytes:
    told = {
        "task": kept.model_name,
        "version": kept.version,
        "candidate": kept.candidate,
        "blob": f"blobs/{kept.blob[:2]}/{kept.blob}",
        "sha256": kept.blob,
        "size": kept.size,
        "made_at": kept.created_at.astimezone(UTC).isoformat(),
    }
    return json.dumps(told, indent=1).encode()


def _data_sets(desk: Tenancy, task: Task, learned: Frame) -> None:
    blobs, today = desk.house.stores.blobs, f"{datetime.now(UTC):%Y%m%d}"
    parts = {GLOBAL: learned}
    if task.scope:
        for (scope,), rows in learned.partition_by(task.scope, as_dict=True).items():
            parts[_folder(str(scope))] = rows
    there = [*blobs.files(desk.tenant)]
    for folder, rows in parts.items():
        start = f"ml_datasets/{folder}/{task.filed_as}/"
        name, content = f"{start}training_set_{today}.parquet", io.BytesIO()
        rows.write_parquet(content)
        blobs.write(desk.tenant, name, content.getvalue())
        for old in sorted({name, *(each for each in there if each.startswith(start))})[:-SETS]:
            blobs.forget(desk.tenant, old)


def _folder(scope: str) -> str:
    """A scope's folder: its name where that is a plain word, else the start of its SHA-256."""
    if PLAIN.fullmatch(scope) and scope != GLOBAL:
        return scope
    return hashlib.sha256(scope.encode()).hexdigest()[:32]
