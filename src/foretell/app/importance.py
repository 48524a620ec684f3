"""What the features of the model in service are worth: read, weighed, and kept on record by the daily refresh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from foretell.app import shelf
from foretell.app.models import nothing_trained
from foretell.app.tenancy import AsOf, Tenancy
from foretell.app.vectors import owner
from foretell.contract import Block, Domain, Task
from foretell.engine.importance import Groups, Importance, alike, each
from foretell.engine.importance import importance as weighed
from foretell.errors import NotReady
from foretell.stores import registry, vectors


def importance(desk: Tenancy, task: Task, *, as_of: AsOf = None, grouped: bool = False) -> Importance:
    """What the features are worth to the model in service; `grouped` as the domain groups them, else those alike.

    Raises NotReady before the first training, and as `engine.importance` does.
    """
    with desk.inside() as connection:
        deployed = registry.look(connection, desk.tenant, [task.name], []).deployed[task.name]
        model, _ = shelf.serving(desk, connection, task, deployed)
    if model is None:
        raise nothing_trained(task.name)
    return weighed(model, desk.lessons(task.name, as_of), _groups(desk.domain(task.name)) if grouped else each)


def _groups(domain: Domain) -> Groups:
    """How features are grouped: by what the domain declares of them all, else by how alike they are."""
    declared = {one.name: one.group for one in domain.catalogue.features} if domain.catalogue else {}

    def of(features: Block) -> Mapping[str, Sequence[str]]:
        if not {*features.names} <= {*declared}:
            return alike(features)
        found: dict[str, list[str]] = {}
        for name in features.names:
            found.setdefault(declared[name], []).append(name)
        return found

    return of


def on_record(desk: Tenancy, task: Task) -> tuple[str | None, Mapping[str, float]]:
    """The version in service, and what each feature is worth to it; worked out where it is not on record yet.

    No version before the first training, and nothing worth anything to a model that looks at no features.
    """
    with desk.inside() as connection:
        deployed = registry.look(connection, desk.tenant, [task.name], []).deployed[task.name]
        if not deployed:
            return None, {}
        known = vectors.importance(connection, desk.tenant, owner(task, desk.domain(task.name)), deployed[0])
    if not known:
        with suppress(NotReady):
            told = importance(desk, task)
            return told.version, {one.name: one.importance for one in told.features}
    return deployed[0], known
