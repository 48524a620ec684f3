"""What a home is worth: questions, what is known of each, and what it was sold for.

Every sale with a price is asked about the day before it, and a year and three years before where the home was known
then. A price itself, and what a home was listed for, are never among what is known.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple, cast

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Block, Floats, Frame, History, Read
from foretell.domains.realestate.alike import around, mean
from foretell.domains.realestate.prices import NUMBERS, Deals, Ints, Standing, described, market, months
from foretell.domains.realestate.schema import Settings
from foretell.features.asof import newest

EVER = timedelta(days=36_525)
READS = tuple(
    Read(table=table, window=EVER, by="all", columns=columns)
    for table, columns in {
        "transactions": ("transaction", "time", "kind", "property", "area", "price"),
        "properties": ("property", "time", "area", "street", "kind", *NUMBERS),
        "markets": ("area", "time", "index"),
    }.items()
)
DAY, MONTH, YEAR = timedelta(days=1), timedelta(days=30), 365.25
BEFORE = (DAY, timedelta(days=365), timedelta(days=1095))  # a sale that it is asked about
FEW = 100  # deals that must be known before any is asked about, or a tenth of all where those are fewer
COLUMNS = (
    *(name for name in NUMBERS if name != "built"), "age", "like", "area", "street", "street_deals", "property",
    "property_deals", "near", "unlike", "alike", "since", "years", "ahead",
)  # fmt: skip
SAID = ("reference", "gain", "index", "compared")  # of prices now, and half of what they rose in a year


def questions(history: History) -> Frame:
    """Every sale, asked about before it; none before enough deals were known."""
    deals = Deals.of(history)
    if not len(deals.log):
        return pl.DataFrame(schema={"as_of": INSTANT, "at": INSTANT, "property": pl.String, "entity": pl.String})
    seen = [history[name].select("property", "known_at") for name in ("properties", "transactions")]
    known = pl.concat(seen).group_by("property").agg(pl.col("known_at").min())
    sold = deals.frame.select("property", at="time").join(known, on="property", how="left", maintain_order="left")
    asked = pl.concat([sold.with_columns(as_of=pl.col("at") - before) for before in BEFORE])
    first = deals.frame["known_at"][min(FEW, len(deals.log) // 10)]
    there = (pl.col("known_at") <= pl.col("as_of")) & (pl.col("as_of").dt.truncate("1mo") >= first)
    asked = asked.filter(there)
    return asked.select("as_of", "at", "property", entity="property").sort("as_of", "at", "entity")


def outcomes(history: History, asked: Frame) -> Frame:
    """`value`, the price of the home's first registered deal within a month of `at`; void where there is none."""
    late = timedelta(days=cast("Settings", history.standpoint.settings).deed_days)
    deals = Deals.of(history).frame.select("property", "time", "known_at", "price")
    rows = asked.select("property", "at").with_row_index("place")
    found = rows.join(deals, on="property").filter(
        pl.col("time") >= pl.col("at"), pl.col("time") <= pl.col("at") + MONTH,
        pl.col("known_at") <= pl.col("at") + MONTH + late,
    )  # fmt: skip
    found = found.sort("known_at", "time").unique("place", keep="first", maintain_order=True)
    rows = rows.join(found.select("place", "price", "known_at"), on="place", how="left", maintain_order="left")
    over = pl.col("at") + MONTH + late
    void = pl.when(over <= history.now).then(over)
    return rows.select(value=pl.col("price").cast(pl.Float64), known_at=pl.coalesce("known_at", void))


class Seen(NamedTuple):
    """Questions that look at the same prices: their places, the prices, their homes, the month and the area's index."""

    places: Ints
    standing: Standing
    homes: Frame
    month: Ints
    rise: Floats  # of the area's published index, as `market` gives it
    year: Floats  # of it in the last year


def seen(history: History, asked: Frame) -> list[Seen]:
    """The questions by the month they are asked in; homes as known at `as_of`, prices as at the month's beginning."""
    deals = Deals.of(history)
    homes = described(history, asked.select("property", "as_of")).with_columns(asked["property"])
    sold = newest(asked, deals.frame, "property", ("area",))["area"].fill_null("")
    homes = homes.with_columns(area=pl.when(pl.col("area") == "").then(sold).otherwise("area"))
    areas = homes.select("area").with_columns(asked["as_of"])
    index = market(history, areas)
    year = index - market(history, areas.with_columns(pl.col("as_of") - BEFORE[1]))
    month, start = months(asked["as_of"]), asked["as_of"].dt.truncate("1mo").dt.epoch("us").to_numpy()
    out = []
    for each in np.unique(month):
        places = np.flatnonzero(month == each)
        standing = stood(history, int(each), int(start[places[0]]))
        out.append(Seen(places, standing, homes[places], month[places], index[places], year[places]))
    return out


def stood(history: History, month: int, start: int) -> Standing:
    """Prices as they stood when a month began, at `start` (microseconds since 1970); made once for a history."""
    deals = Deals.of(history)
    return history.once(lambda _: Standing(deals, deals.at(start), month), ("prices", month))


def features(history: History, asked: Frame) -> Block:
    """What is known of each home at `as_of`, in numbers; of prices logarithms, and what they differ by."""
    found: dict[str, Floats] = {}
    for one in seen(history, asked):
        for name, column in _features(one).items():
            found.setdefault(name, np.full(asked.height, np.nan))[one.places] = column
    ahead = (asked["at"] - asked["as_of"]).dt.total_days().cast(pl.Float64).to_numpy() / YEAR
    if not found:
        return Block.of_columns({name: np.zeros(0) for name in (*COLUMNS, *SAID)})
    return Block.of_columns({name: found.get(name, ahead) for name in (*COLUMNS, *SAID)})


def _features(one: Seen) -> dict[str, Floats]:
    standing, homes = one.standing, one.homes
    parts = standing.parts(homes, one.month, one.rise)
    about = around(standing, homes, parts)
    reference = standing.level + sum(parts[name] for name in ("like", "market", "area", "street", "property"))
    near = mean(stands(standing, about.near), (about.near >= 0) / (0.3 + about.near_far))
    weight = np.exp(-np.minimum(about.unlike, 50.0)) * (about.alike >= 0)
    compared = standing.level + parts["market"] + parts["like"] + mean(stands(standing, about.alike), weight)
    previous, years = last(one, parts["market"])
    usual = standing.level + parts["market"] + standing.usual(homes)
    out = {name: homes[name].fill_null(np.nan).to_numpy() for name in NUMBERS if name != "built"}
    return out | {
        "age": one.month / 12 - homes["built"].fill_null(np.nan).to_numpy(),
        **{name: parts[name] for name in ("like", "area", "street", "street_deals", "property", "property_deals")},
        "near": near, "unlike": np.minimum(about.unlike[:, 0], 50.0), "alike": compared - reference,
        "since": previous - reference, "years": years, "reference": np.asarray(reference), "gain": gained(one) / 2,
        "index": np.where(np.isnan(previous), usual, previous),
        "compared": np.where(np.isnan(compared), usual, compared),
    }  # fmt: skip


def stands(standing: Standing, places: Ints) -> Floats:
    """What is left of the prices of some deals without the market and what their homes are like; 0 of -1."""
    if not len(standing.rows):
        return np.zeros(places.shape)
    return np.where(places >= 0, standing.stands[places], 0.0)


def gained(one: Seen) -> Floats:
    """By how much the logarithm of prices rose in the last year."""
    return np.asarray(one.year + 12 * one.standing.gain)


def last(one: Seen, now: Floats) -> tuple[Floats, Floats]:
    """The logarithm of each home's last price, as the market is `now`, and how many years ago; NaN without one."""
    standing, deals = one.standing, one.standing.deals
    codes = deals.code["property"][standing.rows]
    newest_ = np.full(len(deals.codes["property"]), -1)
    newest_[codes] = np.arange(len(codes))  # of several the last counts
    code = np.array([deals.codes["property"].get(name, -1) for name in one.homes["property"]], dtype=np.int64)
    place = np.where(code >= 0, newest_[code], -1) if len(newest_) else code
    if not len(standing.rows):
        return np.full(len(code), np.nan), np.full(len(code), np.nan)
    row = standing.rows[place]
    price = deals.log[row] + now - standing.then[place]
    ago = (one.month - deals.month[row]) / 12
    return np.where(place >= 0, price, np.nan), np.where(place >= 0, ago, np.nan)
