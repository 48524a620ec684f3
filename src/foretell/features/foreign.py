"""What other programs write as JSON: read field by field, and refused in words that say which field is wanted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from foretell.errors import InvalidRequest

SHAPES = (KeyError, TypeError, ValueError, AttributeError)  # raised where something else than expected is read


def objects(content: bytes) -> list[dict[str, Any]]:
    """The JSON objects of a file: one, or a list of them. Raises InvalidRequest for anything else."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"this is not JSON: {error}") from None
    found = told if isinstance(told, list) else [told]
    if not all(isinstance(one, dict) for one in found):
        raise InvalidRequest("this is no page of JSON objects, nor a list of them")
    return found


@contextmanager
def blamed(thing: str, program: str) -> Iterator[None]:
    """Whatever is refused within is refused as being about a thing, which a program should have written otherwise."""
    try:
        yield
    except InvalidRequest as error:
        raise InvalidRequest(f"{thing}: {error}") from None
    except SHAPES:
        raise InvalidRequest(f"{thing}: a field is of another kind than {program} writes") from None


def at(told: Any, *path: str) -> Any:
    """What stands at a path. Raises InvalidRequest where nothing does."""
    found = told
    for name in path:
        if not isinstance(found, dict) or found.get(name) is None:
            raise InvalidRequest(f"it has no {'.'.join(path)}")
        found = found[name]
    return found


def number(told: Any, *path: str) -> float:
    """The number at a path. Raises InvalidRequest for anything else."""
    found = at(told, *path)
    try:
        return float(found)
    except (TypeError, ValueError):
        raise InvalidRequest(f"its {'.'.join(path)} is {found!r:.80}, and should be a number") from None


def moment(told: Any, *path: str) -> datetime:
    """The moment at a path; a day alone begins at midnight, and what has no offset is UTC. Raises InvalidRequest."""
    text = str(at(told, *path))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        wanted = "a moment such as 2024-03-01T09:30:00.000+0000"
        raise InvalidRequest(f"its {'.'.join(path)} is {text!r:.80}, and should be {wanted}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def plain(told: Any) -> str:
    """Plain text of a text that may be a tree of nodes (Atlassian Document Format)."""
    if told is None or isinstance(told, str):
        return told or ""
    if isinstance(told, list):
        return "".join(plain(each) for each in told)
    own = str(told.get("text", "")) + plain(told.get("content") or [])
    return own + ("\n" if told.get("type") in ("paragraph", "heading", "listItem", "codeBlock") else "")
