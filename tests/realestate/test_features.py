"""Every feature equals the slow oracle's on random histories, and knows nothing of the future."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.realestate.oracle import told

from foretell.contract import DTYPES, INSTANT, Frame, History, Standpoint
from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.people import features, questions
from foretell.domains.realestate.sample import sample
from foretell.domains.realestate.schema import Settings
from foretell.domains.realestate.tables import TABLES

NOW = datetime(2024, 3, 10, 12, 30, 15, 250, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
WHO, HOMES, AREAS = ("ann", "bo", "cy"), ("h1", "h2"), ("north", "south")
MOMENTS = (NOW, NOW.replace(hour=0, minute=0, second=0, microsecond=0), NOW - 20 * DAY, NOW + 31 * DAY)


def when(draw: random.Random) -> datetime:
    """A moment that is likely to lie at an edge of something."""
    base = draw.choice(MOMENTS)
    if draw.random() < 0.4:
        base = base.replace(hour=0, minute=0, second=0, microsecond=0)
    back = draw.choice((0, 1, 7, 7, 30, 30, 90, 365, 5 * 365, draw.randrange(60), draw.randrange(800)))
    return base - back * DAY + draw.choice((0, 0, -1, 1)) * TICK


def money(draw: random.Random) -> float | None:
    return draw.choice((None, 0.0, 1e5, 3.3e5, draw.uniform(1e4, 1e6)))


def event(draw: random.Random) -> dict[str, Any]:
    return {"person": draw.choice(WHO), "time": when(draw)}


def row(name: str, draw: random.Random, k: int) -> dict[str, Any]:
    """One row of a table, whatever it may hold."""
    some = draw.choice
    few: dict[str, Any] = {n: some((None, 0.0, 1.0, draw.uniform(0, 90))) for n in ("bedrooms", "bathrooms", "size",
                           "land", "condition", "grade", "loan", "loan_rate")}  # fmt: skip
    kind, property_, area = some(("BUY", "SELL", "REFINANCE", "INVESTMENT")), some((*HOMES, "")), some((*AREAS, ""))
    said = ("sent", "sent", "open", "open", "click", "reply", "bounce")
    built: dict[str, Any] = {
        "people": event(draw),
        "homes": event(draw) | {"property": some(HOMES), "active": draw.random() < 0.8},
        "properties": {"property": some(HOMES), "time": when(draw), "area": area, **few,
                       "built": some((None, 1900, 2001))},
        "documents": event(draw) | {"document": f"{k}"},
        "accesses": event(draw) | {"document": some("ab"), "action": some(("view", "download", "share"))},
        "emails": event(draw) | {"email": some("abc"), "event": some(said)},
        "sessions": event(draw) | {"seconds": money(draw), "pages": some((None, 0.0, 3.0))},
        "alerts": event(draw) | {"alert": some("abc"), "event": some(said)},
        "searches": event(draw) | {"action": some(("search", "save", "view", "mark"))},
        "contacts": event(draw) | {"answered": draw.random() < 0.5},
        "agents": {"agent": "x", "time": when(draw)},
        "transactions": event(draw) | {"transaction": f"{k}", "kind": kind, "property": property_, "area": area,
                                       "price": money(draw), "known_at": None},
    }  # fmt: skip
    made: dict[str, Any] = built[name]
    if name == "transactions":
        made["known_at"] = max(when(draw), made["time"]) if draw.random() < 0.7 else made["time"]
    return made


def markets(draw: random.Random) -> list[dict[str, Any]]:
    """Months of each area; some published late, some after the next, some not at all."""
    out = []
    for area in AREAS:
        for m in range(draw.choice((0, 2, 14, 30))):
            start = datetime(2021 + (m + 10) // 12, (m + 10) % 12 + 1, 1, tzinfo=UTC)
            figures = {n: draw.choice((0.0, draw.uniform(1, 9), draw.uniform(1, 9), draw.uniform(1, 9), None))
                       if draw.random() < 0.3 else draw.uniform(1, 9)
                       for n in ("sales", "listings", "days_on_market", "mortgage_rate", "unemployment")}  # fmt: skip
            late = draw.choice((35, 35, 35, 80)) * DAY + draw.choice((0, 1)) * TICK
            if draw.random() < 0.95:
                out.append(
                    {"area": area, "time": start, "known_at": start + late, "index": draw.uniform(50, 200), **figures}
                )
    return out


def history(tables: Mapping[str, list[dict[str, Any]]]) -> History:
    """As the store would give it: every column, whom it is about, when it was known; in the order it was known."""
    frames = {}
    for table in TABLES:
        rows = tables.get(table.name, [])
        schema: dict[str, Any] = {name: DTYPES[kind] for name, kind in table.kinds.items()} | {"known_at": INSTANT}
        blank = {name: "" for name, kind in table.kinds.items() if kind == "text"}
        frame = pl.DataFrame([dict.fromkeys(schema) | blank | one for one in rows], schema=schema)
        frame = frame.with_columns(known_at=pl.col("known_at").fill_null(pl.col("time")), entity=pl.col(*table.entity))
        frames[table.name] = frame.unique(table.key, keep="first", maintain_order=True).sort("known_at", *table.key)
    standing = Standpoint(tenant="t", now=max(MOMENTS) + 900 * DAY, zone="UTC", settings=Settings())
    return History(standing, frames)


def random_history(seed: int) -> History:
    draw = random.Random(seed)
    tables = {
        table.name: [row(table.name, draw, k) for k in range(draw.choice((0, 1, 5, 25, 60)))]
        for table in TABLES
        if table.name != "markets"
    }
    return history({**tables, "markets": markets(draw)})


def asked() -> Frame:
    """Everybody, and one nobody knows, at every moment."""
    rows = [(who, moment, moment + 183 * DAY) for moment in MOMENTS for who in (*WHO, "nobody")]
    return pl.DataFrame(rows, schema={"entity": pl.String, "as_of": INSTANT, "at": INSTANT}, orient="row")


def same(one: float | None, two: float) -> bool:
    """Sums are kept in millionths."""
    return np.isnan(two) if one is None else abs(one - two) <= 1e-5 + 1e-9 * abs(one)


@pytest.mark.parametrize("seed", range(24))
def test_every_feature_is_what_its_words_say(seed: int) -> None:
    past = random_history(seed)
    every = asked()
    made = features(past, every)
    assert made.names == CATALOGUE.names()
    for k, (entity, as_of, _) in enumerate(every.iter_rows()):
        slow = told(past.tables, entity, as_of)
        assert slow.keys() == {*made.names}
        wrong = {n: (slow[n], made[n][k]) for n in made.names if not same(slow[n], float(made[n][k]))}
        assert not wrong, (entity, as_of, wrong)


@cache
def known() -> tuple[History, Frame]:
    """The sample, and questions of it at every month."""
    past = sample(3).history
    return past, questions(past)


def alike(one: Any, two: Any) -> bool:
    return np.array_equal(one, two, equal_nan=True)


def test_there_are_as_many_of_each_group_as_are_asked_for() -> None:
    groups: dict[str, set[str]] = {}
    for one in CATALOGUE.features:
        groups.setdefault(one.group, set()).add(one.part)
    count = {group: len(CATALOGUE.names(group)) for group in groups}
    assert count["behavioural"] >= 27
    assert groups["behavioural"] == {"documents", "email", "platform", "alerts", "search"}
    assert (count["property"], count["transactional"], count["market"]) == (23, 13, 13)
    assert count["temporal"] >= 10
    assert len(set(CATALOGUE.names())) == sum(count.values())
    assert {"doc_access_count_7d", "email_open_rate_30d"} <= {*CATALOGUE.names("behavioural")}
    assert all(one.words and one.missing and one.owner and one.version for one in CATALOGUE.features)


def test_values_lie_where_they_are_said_to_and_are_missing_only_where_told() -> None:
    past, every = known()
    made = features(past, every)
    for one in CATALOGUE.features:
        values = made[one.name]
        there = values[~np.isnan(values)]
        assert one.low is None or (there >= one.low).all(), one.name
        assert one.high is None or (there <= one.high).all(), one.name
        assert one.kind == "number" or (there == np.round(there)).all(), one.name
        assert not one.missing.startswith("never") or len(there) == len(values), one.name


def test_cutting_the_future_away_changes_nothing_nor_does_the_order_of_questions() -> None:
    past, every = known()
    made = features(past, every)
    mixed = np.random.default_rng(1).permutation(every.height)
    assert alike(features(past, every[mixed]).values, made.values[mixed])
    for moment in (datetime(2022, 6, 1, tzinfo=UTC), datetime(2023, 11, 1, tzinfo=UTC)):
        then = every.filter(pl.col("as_of") == moment)
        assert not then.is_empty()
        places = (every["as_of"] == moment).arg_true().to_numpy()
        assert alike(features(past.cut(moment), then).values, made.values[places])


@pytest.mark.parametrize("table", ["accesses", "emails", "sessions", "alerts", "searches", "contacts", "transactions"])
def test_what_is_planted_after_a_moment_is_not_seen_at_it(table: str) -> None:
    """A deed is planted too: of a deal long done, and registered a microsecond too late."""
    at = pl.DataFrame({"entity": ["ann"], "as_of": [NOW], "at": [NOW]}, schema=asked().schema)
    before = random_history(4)
    moment, done = NOW + TICK, NOW - 100 * DAY if table == "transactions" else NOW + TICK
    facts = {**row(table, random.Random(1), 999), "person": "ann", "time": done, "action": "search"}
    facts["event"] = "sent" if table == "alerts" else "click"
    planted = history({table: [facts | ({"known_at": moment} if table == "transactions" else {})]})
    added = pl.concat([before[table], planted[table]]).sort("known_at", maintain_order=True)
    after = History(before.standpoint, {**before.tables, table: added})
    assert alike(features(after, at).values, features(before, at).values)
    later = at.with_columns(as_of=pl.lit(moment, INSTANT))
    assert not alike(features(after, later).values, features(before, later).values)
