"""What the sources of a domain must keep, one sentence a check. Nobody is asked anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from foretell.contract import Get, Source, Wanted
from foretell.errors import BrokenDomain, InvalidRequest
from foretell.testing.facts import World

NONE = (b"", b"<html>Service Unavailable</html>", b"{", b"null")  # what is no answer to anything


def every_source_leads_somewhere(world: World) -> None:
    """Every source is of a table, about the rows of one that is there, and is stood in for by one of the same table."""
    tables = {table.name for table in world.domain.tables}
    sources = {source.name: source for source in world.domain.sources}
    if len(sources) < len(world.domain.sources):
        raise BrokenDomain(f"{world.domain.name}: two sources have the same name")
    for name, source in sources.items():
        where = f"{world.domain.name}, source {name}"
        if unknown := {source.table, *([source.places] if source.places else [])} - tables:
            raise BrokenDomain(f"{where}: there is no table {', '.join(sorted(unknown))}")
        other = sources.get(source.fallback) if source.fallback else source
        if other is None or other.table != source.table:
            raise BrokenDomain(f"{where}: {source.fallback} is no source of {source.table} to stand in for it")
        if source.back <= -source.ahead:
            raise BrokenDomain(f"{where}: nothing lies between {source.back} before now and {source.ahead} after it")


def every_request_is_pure(world: World) -> None:
    """Requests for the sample's places are the same twice, about those places alone, and hold no key."""
    for where, source, wanted in _wanted(world):
        gets, again = source.requests(wanted), source.requests(wanted)
        if [(get.path, get.query) for get in gets] != [(get.path, get.query) for get in again]:
            raise BrokenDomain(f"{where}: its requests are not the same twice")
        for get in gets:
            if not get.path.startswith("/") or (source.key and source.key.name in get.query):
                raise BrokenDomain(f"{where}: {get.path} {dict(get.query)}: a path begins with /, and the key is added")
            foreign = get.wanted.places.join(wanted.places, on=wanted.places.columns, how="anti", nulls_equal=True)
            if foreign.height:
                raise BrokenDomain(f"{where}: a request is about {foreign.row(0)}, which is not wanted")


def what_is_no_answer_is_refused(world: World) -> None:
    """A parser raises InvalidRequest, and nothing else, for what is no answer to its request."""
    for where, source, wanted in _wanted(world):
        for get in source.requests(wanted)[:1]:
            for body in NONE:
                _refused(where, source, get, body)


def _refused(where: str, source: Source, get: Get, body: bytes) -> None:
    try:
        rows = source.parse(body, get)
    except InvalidRequest:
        return
    raise BrokenDomain(f"{where}: {body!r} is no answer, and gives {rows.height} rows")


def _wanted(world: World) -> Iterator[tuple[str, Source, Wanted]]:
    """Each source, and what is wanted of it standing at the sample's now."""
    history = world.sample.history
    now = history.now.replace(minute=0, second=0, microsecond=0)
    for source in world.domain.sources:
        places = history[source.places] if source.places else pl.DataFrame({"place": ["everywhere"]})
        wanted = Wanted(standing=history.standpoint, places=places, since=now - source.back, until=now + source.ahead)
        yield f"{world.domain.name}, source {source.name}", source, wanted


CHECKS: tuple[Callable[[World], None], ...] = (
    every_source_leads_somewhere,
    every_request_is_pure,
    what_is_no_answer_is_refused,
)
