"""Whose code an error is from: what a domain did not mean to raise is told with its place in the domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from foretell.errors import spot

OURS = "foretell"


def blamed(error: BaseException, owner: object) -> str:
    """An error in words, with the innermost place in the code of its owner: a task, a report or a domain."""
    place = spot(error, set(_packages(owner)))
    return f"{type(error).__name__}: {error}{f' ({place.short})' if place else ''}"


def _packages(owner: object) -> Iterator[str]:
    """The packages that the owner's functions and classes are from: of ours only a domain's counts."""
    declared = [*vars(owner).values()]
    declared += [one for each in declared if isinstance(each, Mapping) for one in each.values()]
    for each in declared:
        parts = str(getattr(each, "__module__", "")).split(".") if callable(each) else []
        if parts[:2] == [OURS, "domains"]:
            yield ".".join(parts[:3])
        elif parts and parts[0] != OURS:
            yield parts[0]
