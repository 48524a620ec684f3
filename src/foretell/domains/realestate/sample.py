"""A seeded world of people, homes and what they do, in which the true chance of a move is known.

Each month a person is at rest, curious or about to move. What they are about is seen in how much they visit, search,
read and open; it changes at the beginning of months, by fixed chances, and with it the chance to move in that month,
which is higher for those who have lived long in their home. Deeds are registered weeks after a deal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import INSTANT, Floats, Frame, History, Sample, Standpoint
from foretell.domains.realestate.prices import NUMBERS
from foretell.domains.realestate.schema import (
    ContactRequest,
    HomeDescribed,
    MarketRequest,
    PersonRequest,
    Settings,
    ValueRequest,
)

Whole = NDArray[np.int64]
ZONE = "America/Chicago"
END = datetime(2024, 7, 1, tzinfo=UTC)
PEOPLE, MONTHS = 300, 34
STEP = np.array([[0.93, 0.06, 0.01], [0.25, 0.60, 0.15], [0.10, 0.20, 0.70]])  # from one month's state to the next
HAZARD = np.array([0.002, 0.012, 0.11])  # chance to move in a month of that state, after seven years at home
VISITS = np.array([0.8, 4.0, 12.0])  # a month
SEEN = {"sessions": 1.0, "searches": 0.5, "accesses": 0.4}  # of each so many to a visit
OPENED, CLICKED = np.array([0.15, 0.35, 0.6]), np.array([0.1, 0.25, 0.5])  # of mails, and of those that were opened
REGISTERED = 7, 90  # days from a deal to its deed
KINDS = ("SELL", "BUY", "REFINANCE", "INVESTMENT")
HORIZON = 6  # months
AREAS = 12
SOLD = 500  # homes of strangers that are sold
HOURS = np.array([0, 0, 0, 0, 0, 0, 1, 2, 3, 3, 3, 3, 4, 3, 3, 3, 3, 4, 6, 8, 8, 6, 3, 1], dtype=float)


@dataclass(frozen=True, kw_only=True)
class World:
    """The tables, and by person and month the `true` chance to move within six months, as known at its beginning.

    `worth` is what each home for sale would usually be sold for at the end (property, worth).
    """

    tables: Mapping[str, Frame]
    truth: Frame  # entity, as_of, true
    worth: Frame


def world(seed: int, people: int = PEOPLE, months: int = MONTHS, end: datetime = END) -> World:
    """A world of so many people, over so many months up to `end` (a first of a month, UTC)."""
    chance = np.random.default_rng(seed)
    starts = pl.datetime_range(
        datetime(end.year - months // 12 - 1, end.month, 1, tzinfo=UTC), end, "1mo", eager=True, time_zone="UTC"
    ).tail(months + 1)
    names = pl.Series([f"p{k:07}" for k in range(people)])
    life = _lives(chance, people, months)
    tables = _homes(chance, names, life.years, starts)
    tables |= _events(chance, names, life.state, starts)
    rate = tables["properties"]["loan_rate"].to_numpy()
    tables |= _deals(chance, names, life, rate, starts)
    index = _indices(chance, starts)
    tables["markets"] = _markets(index, starts)
    homes, sold, worth = _sold(chance, index, starts)
    tables["properties"] = pl.concat([tables["properties"], homes]).sort("known_at", "property")
    tables["transactions"] = pl.concat([tables["transactions"], sold]).sort("known_at", "transaction")
    truth = [
        pl.DataFrame({"entity": names, "true": life.true[m - 1]}).with_columns(as_of=pl.lit(starts[m], INSTANT))
        for m in range(1, months)
    ]
    return World(tables=tables, truth=pl.concat(truth), worth=worth)


@dataclass(frozen=True, kw_only=True)
class _Lives:
    """By month and person: the `state`, whether they `moved` in it, and the `true` chance as known after it.

    `years` is how long each had lived in their home when the world begins.
    """

    state: Whole
    moved: NDArray[np.bool_]
    true: Floats
    years: Floats


def hazards(years: Floats) -> Floats:
    """The chance to move in a month for each state (people x states), after so many years in their home."""
    return np.asarray(np.minimum(HAZARD * np.clip(years / 7, 0.3, 2.5)[:, None], 0.9))


def _lives(chance: np.random.Generator, people: int, months: int) -> _Lives:
    began = chance.gamma(2.0, 4.0, people)
    years, state = began.copy(), np.zeros(people, dtype=np.int64)
    shape = (months, people)
    states, moved, true = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool), np.zeros(shape)
    for m in range(months):
        draw = chance.random(people)
        state = (draw[:, None] > np.cumsum(STEP[state], axis=1)).sum(axis=1)
        moved[m] = chance.random(people) < hazards(years)[np.arange(people), state]
        states[m] = state
        years = np.where(moved[m], 0.0, years + 1 / 12)
        state = np.where(moved[m], 0, state)
        true[m] = ahead(state, years)
    return _Lives(state=states, moved=moved, true=true, years=began)


def ahead(state: Whole, years: Floats) -> Floats:
    """The chance to move within the next months, of who is in that state and has lived there so long."""
    stay = np.eye(3)[state]
    for k in range(HORIZON):
        stay = (stay @ STEP) * (1 - hazards(years + k / 12))
    return np.asarray(1 - stay.sum(axis=1))


def _times(chance: np.random.Generator, start: datetime, end: datetime, habit: Floats) -> pl.Series:
    """Moments within a month, at hours of the day around each one's habit, UTC."""
    count, days = len(habit), (end - start).days
    spread = np.round(habit + chance.normal(0, 1.5, count)).astype(np.int64) % 24
    usual = chance.choice(24, count, p=HOURS / HOURS.sum())
    hour = np.where(chance.random(count) < 0.6, spread, usual)
    seconds = chance.integers(0, days, count) * 86_400 + hour * 3600 + chance.integers(0, 3600, count)
    base = int(start.timestamp() * 1e6)
    micros = base + seconds * 1_000_000 + chance.integers(0, 1_000_000, count)
    return pl.Series(micros, dtype=pl.Int64).cast(INSTANT)


def _events(chance: np.random.Generator, names: pl.Series, state: Whole, starts: pl.Series) -> dict[str, Frame]:
    """Visits, searches, looks at documents, and mails with what came of them."""
    habit = chance.choice(24, len(names), p=HOURS / HOURS.sum()).astype(float)
    parts: dict[str, list[Frame]] = {name: [] for name in ("sessions", "searches", "accesses", "emails", "alerts")}
    for m in range(len(state)):
        month, until, now = starts[m], starts[m + 1], state[m]
        for name, share in SEEN.items():
            who = np.repeat(np.arange(len(names)), chance.poisson(VISITS[now] * share))
            parts[name].append(_told(name, chance, names, who, _times(chance, month, until, habit[who])))
        for name in ("emails", "alerts"):
            sent = chance.random(len(names)) < (0.9 if name == "emails" else 0.3)
            parts[name].append(_mail(name, chance, names, np.flatnonzero(sent), (month, now, habit)))
    return {name: pl.concat(some).sort("known_at", "entity") for name, some in parts.items()}


def _told(name: str, chance: np.random.Generator, names: pl.Series, who: Whole, when: pl.Series) -> Frame:
    rows = _rows(names.gather(who), when)
    count = len(when)
    if name == "sessions":
        return rows.with_columns(
            seconds=pl.Series(chance.exponential(240.0, count).round()),
            pages=pl.Series(1.0 + chance.poisson(3.0, count)), device=pl.lit("web"),
        )  # fmt: skip
    if name == "searches":
        action = chance.choice(["search", "view", "save", "mark"], count, p=[0.55, 0.3, 0.1, 0.05])
        return rows.with_columns(action=pl.Series(action), area=pl.lit(""), price=pl.lit(None, pl.Float64))
    action = chance.choice(["view", "download", "share"], count, p=[0.8, 0.15, 0.05])
    return rows.with_columns(
        document=pl.lit("d-") + pl.col("person"), action=pl.Series(action),
        seconds=pl.Series(chance.exponential(60.0, count).round()),
    )  # fmt: skip


def _rows(entity: pl.Series, when: pl.Series) -> Frame:
    return pl.DataFrame({"person": entity, "time": when, "known_at": when, "entity": entity})


def _mail(
    name: str, chance: np.random.Generator, names: pl.Series, who: Whole, month: tuple[datetime, Whole, Floats]
) -> Frame:
    """Mails or alerts of a month, those that were opened, and those that were followed."""
    start, state, habit = month
    sent = pl.Series(np.full(len(who), int(start.timestamp()) + 7 * 86_400 + 15 * 3600) * 1_000_000).cast(INSTANT)
    key = "email" if name == "emails" else "alert"
    opened = chance.random(len(who)) < OPENED[state[who]]
    later = sent + pl.Series(
        (chance.integers(0, 4, len(who)) * 86_400 + (habit[who].astype(np.int64) - 15) * 3600) * 1_000_000
    ).cast(pl.Duration("us"))
    later = later.zip_with(later > sent, sent + timedelta(hours=1))
    clicked = opened & (chance.random(len(who)) < CLICKED[state[who]])
    said = [("sent", np.full(len(who), fill_value=True), sent), ("open", opened, later)]
    said.append(("click", clicked, later + timedelta(minutes=1)))
    frames = []
    for event, some, when in said:
        rows = _rows(names.gather(who), when).filter(pl.Series(some))
        number = pl.lit(f"{name[0]}{start:%Y%m}-") + pl.col("person")
        extra = {"campaign" if key == "email" else "kind": pl.lit("")}
        frames.append(rows.with_columns(number.alias(key), event=pl.lit(event), **extra))
    return pl.concat(frames)


def _homes(chance: np.random.Generator, names: pl.Series, years: Floats, starts: pl.Series) -> dict[str, Frame]:
    """People, their homes since they moved in, and what these are like."""
    count, start = len(names), starts[0]
    since = pl.Series((start.timestamp() * 1e6 - years * 365.25 * 86_400e6).astype(np.int64)).cast(INSTANT)
    begin = pl.Series([start]).cast(INSTANT).new_from_index(0, count)
    homes = names.str.replace("p", "h")
    size = chance.normal(120, 35, count).clip(30, 400).round()
    properties = pl.DataFrame(
        {
            "property": homes, "time": since, "known_at": since, "entity": homes,
            "area": pl.Series([f"a{k}" for k in chance.integers(0, AREAS, count)]),
            "bedrooms": (size / 35).round().clip(1, 8), "bathrooms": (size / 70).round().clip(1, 5), "size": size,
            "land": (size * 4).round(), "floors": np.ones(count), "built": chance.integers(1920, 2020, count),
            "condition": 1.0 + chance.integers(0, 5, count), "grade": 3.0 + chance.integers(0, 7, count),
            "loan": (size * 1500).round(), "loan_rate": chance.normal(3.5, 0.6, count).round(2),
        }
    )  # fmt: skip
    lived = pl.DataFrame({"person": names, "property": homes, "time": since, "known_at": since, "entity": names})
    people = pl.DataFrame({"person": names, "time": begin, "known_at": begin, "entity": names})
    return {
        "people": people.with_columns(agent=pl.lit("agent")),
        "homes": lived.with_columns(owner=pl.lit(value=True), active=pl.lit(value=True)),
        "properties": _blank(properties),
    }


def _deals(
    chance: np.random.Generator, names: pl.Series, life: _Lives, rate: Floats, starts: pl.Series
) -> dict[str, Frame]:
    """Deals of those who moved, in that month, and of some who stayed; deeds come weeks later.

    Who has long lived there sells, others buy first; who pays a high rate takes a new loan, others invest.
    """
    rows: list[Frame] = []
    sells, renews = np.where(life.years > 7, 0.9, 0.3), np.where(rate > 3.5, 0.9, 0.2)
    for m, moved in enumerate(life.moved):
        days = (starts[m + 1] - starts[m]).days
        stay = (chance.random(len(names)) < 0.006) & ~moved
        for some, kinds, share in ((moved, KINDS[:2], sells), (stay, KINDS[2:], renews)):
            who = np.flatnonzero(some)
            first = chance.random(len(who)) < share[who]
            base = int(starts[m].timestamp()) + chance.integers(0, days * 86_400, len(who))
            when = pl.Series(base * 1_000_000).cast(INSTANT)
            known = pl.Series((base + chance.integers(*REGISTERED, len(who)) * 86_400) * 1_000_000).cast(INSTANT)
            frame = pl.DataFrame({"person": names.gather(who), "time": when, "known_at": known})
            rows.append(frame.with_columns(kind=pl.Series(np.where(first, *kinds), dtype=pl.String)))
    deals = pl.concat(rows).sort("known_at", "person")
    deals = deals.with_columns(
        entity="person", transaction=pl.format("t{}", pl.int_range(pl.len())), property=pl.lit(""), area=pl.lit(""),
        price=pl.lit(None, pl.Float64), agent=pl.lit(""),
    )  # fmt: skip
    return {"transactions": deals.filter(pl.col("known_at") <= starts[len(starts) - 1])}


def _indices(chance: np.random.Generator, starts: pl.Series) -> Floats:
    """The price index of each area by month (areas x months)."""
    return np.asarray(100 * np.exp(np.cumsum(chance.normal(0.004, 0.004, (AREAS, len(starts))), axis=1)))


def _markets(index: Floats, starts: pl.Series) -> Frame:
    """The markets of the areas by month, published five weeks after it began."""
    rows = [
        (f"a{k}", start, float(index[k, m]), 5 + 1.5 * float(np.sin(m / 6)))
        for k in range(AREAS)
        for m, start in enumerate(starts)
    ]
    frame = pl.DataFrame(rows, schema=["area", "time", "index", "mortgage_rate"], orient="row")
    published = pl.col("time") + timedelta(days=35)
    empty = {name: pl.lit(None, pl.Float64) for name in ("median_price", "sales", "listings", "days_on_market")}
    return (
        frame.with_columns(pl.col("time").cast(INSTANT)).with_columns(
            entity="area", known_at=published, unemployment=pl.lit(4.0), **empty
        )
        .filter(pl.col("known_at") <= starts[len(starts) - 1]).sort("known_at", "area")
    )  # fmt: skip


def _sold(chance: np.random.Generator, index: Floats, starts: pl.Series) -> tuple[Frame, Frame, Frame]:
    """Homes of strangers that were sold, some of them twice; their deals; and what each is worth at the end.

    The logarithm of a worth is a line in what a home is like, its area and what is its own, times the area's index.
    """
    first = starts.to_numpy().astype("datetime64[us]").astype(np.int64)
    area, size = chance.integers(0, AREAS, SOLD), chance.normal(120, 35, SOLD).clip(30, 400).round()
    grade, built = chance.integers(3, 10, SOLD).astype(float), chance.integers(1920, 2020, SOLD)
    like = 7.5 + 0.8 * np.log(size) + 0.08 * grade + 0.002 * (built - 1970) + chance.normal(0, 0.3, AREAS)[area]
    own = like + chance.normal(0, 0.08, SOLD)
    names = pl.Series([f"s{k:04}" for k in range(SOLD)])
    who = np.concatenate([np.arange(SOLD), chance.integers(0, SOLD, SOLD // 2)])
    month = chance.integers(0, len(first) - 1, len(who))
    time = first[month] + chance.integers(0, 28 * 86_400, len(who)) * 1_000_000
    price = np.exp(own[who] + np.log(index[area[who], month]) + chance.normal(0, 0.06, len(who))).round(-2)
    late = chance.integers(*REGISTERED, len(who)) * 86_400_000_000
    sold = pl.DataFrame(
        {
            "person": [""] * len(who), "time": pl.Series(time).cast(INSTANT),
            "known_at": pl.Series(time + late).cast(INSTANT), "kind": ["BUY"] * len(who), "entity": [""] * len(who),
            "transaction": [f"s{k}" for k in range(len(who))], "property": names.gather(who),
            "area": pl.Series([f"a{k}" for k in area[who]]), "price": price, "agent": [""] * len(who),
        }
    ).filter(pl.col("known_at") <= starts[len(starts) - 1])  # fmt: skip
    homes = {
        "property": names, "time": starts.gather([0] * SOLD), "known_at": starts.gather([0] * SOLD), "entity": names,
        "area": pl.Series([f"a{k}" for k in area]), "size": size, "grade": grade, "built": built,
    }  # fmt: skip
    worth = pl.DataFrame({"property": names, "worth": np.exp(own + np.log(index[area, -1]))})
    return _blank(pl.DataFrame(homes)), sold, worth


def _blank(homes: Frame) -> Frame:
    """Homes with every column of their table, in its order."""
    texts: dict[str, pl.Expr] = {"street": pl.lit(""), "kind": pl.lit("house"), "waterfront": pl.lit(None, pl.Boolean)}
    told = [*homes.columns, *texts]
    empty = {
        name: pl.lit(None, pl.Int64 if name == "renovated" else pl.Float64)
        for name in (*NUMBERS, "loan", "loan_rate")
        if name not in told
    }
    made = homes.with_columns(**texts, **empty)
    return made.select(sorted(made.columns))


def _empty(history: Mapping[str, Frame]) -> dict[str, Frame]:
    """The tables that this world has nothing in, by their columns."""
    times: dict[str, Any] = {"time": INSTANT, "known_at": INSTANT, "entity": pl.String}
    return {
        "documents": pl.DataFrame(schema={"document": pl.String, "person": pl.String, **times}),
        "contacts": pl.DataFrame(schema={"person": pl.String, "answered": pl.Boolean, **times}),
        "agents": pl.DataFrame(schema={"agent": pl.String, **times}),
        **history,
    }


def sample(seed: int) -> Sample:
    """Three hundred people over nearly three years, and requests about some of them."""
    made = world(seed)
    standing = Standpoint(tenant="sample", now=END, zone=ZONE, settings=Settings())
    whom = ["p0000001", "p0000042", "p0000299"]
    lived = made.tables["homes"].join(made.tables["properties"], on="property").select("person", "property", "area")
    where = {person: (home, area) for person, home, area in lived.iter_rows()}
    # As they are once the app has looked the home up: then its market and the deals about it are read.
    of_person = [PersonRequest(person=name, property=where[name][0], area=where[name][1]) for name in whom]
    return Sample(
        history=History(standing, _empty(made.tables)),
        requests={
            "realestate.move": of_person,
            "realestate.transaction_type": of_person,
            "realestate.contact": [ContactRequest(person=name) for name in whom],
            "realestate.market": [MarketRequest(area="a3"), MarketRequest(area="a7", months=30)],
            "realestate.value": [
                ValueRequest(property="s0007"),
                ValueRequest(property="h0000001", horizon_months=60),
                ValueRequest(home=HomeDescribed(area="a3", size=140, grade=8, built=1990), horizon_months=0),
            ],
        },
    )
