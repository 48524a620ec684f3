"""The verb `sources`: facts are fetched from whoever tells them, and how that went is on record.

A provider that is down raises nothing: what came of it is told, another source stands in, and what was stored before
stays. A row in the audit says of each source what was wanted, who was asked how often, and what came.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from pydantic import AwareDatetime, BaseModel

from foretell.app.asking import Asking, Tried
from foretell.app.tenancy import Tenancy
from foretell.contract import Domain, Frame, Source, Standpoint, Wanted
from foretell.errors import InvalidRequest, NotFound
from foretell.settings import ForetellSettings
from foretell.stores import facts, providers, records, registry
from foretell.stores.outside import Getting, getting

log = logging.getLogger("foretell")

SILENCE, WHOLE = 20.0, 120.0  # seconds that may pass without a byte, and for a whole answer
MONTH = timedelta(days=30)
EVERYWHERE = pl.DataFrame({"place": ["everywhere"]})  # what a source without places is asked about


class Collected(BaseModel):
    """What came of collecting from a source: who was `tried`, it first, then those that stood in for it.

    Of so many places `wanted` so many were `answered` by anybody; of the others the last good data stay. `newest` is
    when the newest fact of the table became known.
    """

    source: str
    table: str
    since: AwareDatetime
    until: AwareDatetime
    wanted: int
    answered: int
    newest: AwareDatetime | None
    tried: list[Tried]


class Known(BaseModel):
    """A source, and how it went within 30 days: `success` is the share of places wanted that anybody answered.

    `ready` is false where it needs a key that the settings don't tell. Its provider had `spent` requests of its `quota`
    today (UTC), and is left alone until `rests_until`.
    """

    source: str
    summary: str
    provider: str
    table: str
    every_hours: float
    fallback: str | None
    ready: bool
    collected_at: AwareDatetime | None
    success: float | None
    newest: AwareDatetime | None
    rests_until: AwareDatetime | None
    spent: float
    quota: float


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(kw_only=True)
class Sources:
    """Where a tenant's facts come from by themselves. Every method raises NotFound for a domain without sources."""

    desk: Tenancy
    now: Callable[[], datetime] = _now
    sleep: Callable[[float], None] = time.sleep
    silence: float = SILENCE
    whole: float = WHOLE

    def list(self, name: str) -> Sequence[Known]:
        """The sources of a domain, with how each went within 30 days."""
        domain, sources = self._named(name)
        now, keys, out = self.now(), ForetellSettings().keys, []
        with self.desk.inside() as connection:
            done = records.audited(connection, self.desk.tenant, "collect", now - MONTH)
            for named, source in sources.items():
                went = [(at, told) for at, subject, told in done if subject == named]
                wanted = sum(told["wanted"] for _, told in went)
                one = providers.known(connection, source.provider)
                resting = one.rests_until if one else None
                out.append(
                    Known(
                        source=named, summary=source.summary, provider=source.provider,
                        table=f"{domain.name}.{source.table}", every_hours=source.every / timedelta(hours=1),
                        fallback=source.fallback and f"{domain.name}.{source.fallback}",
                        ready=not (source.key and source.key.needed) or source.provider in keys,
                        collected_at=went[-1][0] if went else None,
                        success=sum(told["answered"] for _, told in went) / wanted if wanted else None,
                        newest=self._newest(connection, domain, source),
                        rests_until=resting if resting and resting > now else None,
                        spent=one.spent if one and one.day == now.date() else 0.0, quota=source.quota.day,
                    )
                )  # fmt: skip
        return out

    def collect(
        self, name: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Collected]:
        """Fetch what the sources of a domain tell now, or the one source of that name; what came of each.

        One alone may be asked for a span of its own, from `since` up to, not at, `until`. Raises InvalidRequest for a
        span of several, or one of which nothing can be known; BrokenDomain.
        """
        domain, sources = self._named(name)
        if (since or until) and name not in sources:
            raise InvalidRequest(f"a span is for one source: {', '.join(sources)}")
        with self.desk.inside(snapshot=True) as connection:
            look = registry.look(connection, self.desk.tenant, [], [])
            standing = replace(self.desk.standpoint(connection, domain, None, look), now=self.now())
            places = {
                table.name: facts.read(connection, self.desk.tenant, domain.name, table, known=standing.now)
                for table in domain.tables
                if table.name in {source.places for source in sources.values()}
            }
        done = []
        with getting(silence=self.silence, whole=self.whole, clock=time.monotonic) as get:
            for source in [sources[name]] if name in sources else sources.values():
                there = places[source.places] if source.places else EVERYWHERE
                if name not in sources:
                    there = there.clear() if source.whose is None else there.filter(source.whose)
                if there.height:
                    done.append(self._chain(get, domain, source, _wanted(source, standing, there, since, until)))
        return done

    def rest(self, asked: Iterable[str]) -> datetime | None:
        """When the first of these providers that are left alone now is asked again; None where none is left alone."""
        now = self.now()
        with self.desk.transaction() as connection:
            known = [providers.known(connection, each) for each in dict.fromkeys(asked)]
        return min(
            (one.rests_until for one in known if one and one.rests_until and one.rests_until > now), default=None
        )

    def _chain(self, get: Getting, domain: Domain, source: Source, wanted: Wanted) -> Collected:
        """Ask a source, then those that stand in for it about the places that it does not answer; put it on record."""
        named, sources = f"{domain.name}.{source.name}", {each.name: each for each in domain.sources}
        left, link = wanted.places, source
        tried: dict[str, Tried] = {}
        while left.height and link.name not in tried:
            asking = Asking(desk=self.desk, domain=domain, source=link, get=get, now=self.now, sleep=self.sleep)
            until = min(wanted.until, _hour(wanted.standing.now + link.ahead))
            left = asking.ask(replace(wanted, places=left, until=until))
            tried[link.name] = asking.tried
            link = sources.get(link.fallback or "", link)
        with self.desk.transaction() as connection:
            done = Collected(
                source=named, table=f"{domain.name}.{source.table}", since=wanted.since, until=wanted.until,
                wanted=wanted.places.height, answered=wanted.places.height - left.height,
                newest=self._newest(connection, domain, source), tried=[*tried.values()],
            )  # fmt: skip
            records.audit(connection, self.desk.tenant, self.desk.who, "collect", named, done.model_dump(mode="json"))
        if left.height:
            why = "; ".join(f"{one.source}: {words}" for one in done.tried for words in one.why)
            # That a provider is left alone is said once, not of every tenant.
            resting = self.rest(one.provider for one in done.tried) is not None
            log.log(
                logging.DEBUG if resting else logging.WARNING,
                "%s of %s: nothing came for %d of %d places (%s); the newest of %s became known at %s",
                named, self.desk.tenant, left.height, done.wanted, why, done.table, done.newest,
            )  # fmt: skip
        return done

    def _named(self, name: str) -> tuple[Domain, dict[str, Source]]:
        """The domain that is named, or whose source is, and its sources by name."""
        domain = self.desk.domain(name)
        sources = {f"{domain.name}.{source.name}": source for source in domain.sources}
        if name not in (*sources, domain.name) or not sources:
            raise NotFound(f"no source {name!r}; there are {', '.join(sources) or f'none of {domain.name}'}")
        return domain, sources

    def _newest(self, connection: Any, domain: Domain, source: Source) -> datetime | None:
        _, table = self.desk.table(f"{domain.name}.{source.table}")
        return facts.latest(connection, self.desk.tenant, domain.name, table)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _wanted(
    source: Source, standing: Standpoint, places: Frame, since: datetime | None, until: datetime | None
) -> Wanted:
    """What is wanted of a source: what can be known of the span that is told, else of the source's own."""
    first = _hour(since or standing.now - source.back)
    known = _hour(standing.now + source.ahead)
    last = min(known, _hour(until)) if until else known
    if first >= last:
        raise InvalidRequest(
            f"{source.name} tells now what is before {known:%Y-%m-%d %H:%M} UTC; nothing is in that span"
        )
    return Wanted(standing=standing, places=places, since=first, until=last)
