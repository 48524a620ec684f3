"""Days of demand, questions and outcomes: one truth for training, tests, serving and monitoring.

The demand of a product on a day, by the tenant's clock, is what was sold less what came back that day, not below zero.
It is known at the day's end. Days without a movement had no demand; days out of stock are unknown. A question
(`as_of`, `at`) sees the days that were over by `as_of`, back to the first with a movement and `WINDOW` days at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import INSTANT, Frame, History, Read
from foretell.domains.inventory.tables import MOVEMENTS, PRODUCTS, PROMOTIONS
from foretell.features.dates import Numbers, begins, number, numbers
from foretell.features.days import WINDOW, Days, Line
from foretell.features.offers import Offers

SPAN = 28  # days ahead that old questions are asked for, of a series that is long enough
SHORT = 7  # and of one that is not
ORIGINS = 4  # old standpoints, `SPAN` days apart
LEAST = 14  # days before the first standpoint
MANY = 250  # products that are asked about at most: a fixed few of a large catalogue judge the methods
LASTING = timedelta(days=3650)  # how long what a product is and costs is remembered
KEPT = 1096  # days of the past that a catalogue learns from
READS = (
    Read(
        table="movements",
        window=timedelta(days=WINDOW + 2),  # by any clock
        by="entity",
        columns=("time", "quantity", "kind"),
    ),
    Read(table="products", window=LASTING, by="entity", columns=("time", "category", "price")),
    Read(table="promotions", window=LASTING, by="entity", columns=("time", "until", "discount")),
)

NOTHING = {
    "place": pl.Int64(), "category": pl.String(), "time": INSTANT, "until": INSTANT, "known_at": INSTANT,
    "discount": pl.Float64(), "price": pl.Float64(),
}  # fmt: skip


def lines(history: History) -> Mapping[str, Line]:
    """The days of every product that has sales."""
    return history.once(_lines)


def _lines(history: History) -> dict[str, Line]:
    sent = history[MOVEMENTS.name].select("entity", "time", "quantity", "kind").filter(pl.col("kind") != "receipt")
    out: dict[str, Line] = {}
    for (entity,), part in sent.partition_by("entity", as_dict=True, maintain_order=True).items():
        day, kind = numbers(part["time"], history.standpoint.zone), part["kind"].to_numpy()
        sold = kind == "sale"
        if not sold.any():
            continue
        first = int(day[sold].min())
        place = day - first
        length = int(day[kind != "return"].max()) - first + 1
        inside = (place >= 0) & (place < length)
        signed = np.where(sold, 1.0, np.where(kind == "return", -1.0, 0.0)) * part["quantity"].to_numpy()
        total = np.bincount(place[inside], signed[inside], minlength=length)
        unknown = np.bincount(place[inside & (kind == "out_of_stock")], minlength=length) > 0
        moved = np.bincount(place[inside & sold], minlength=length) > 0
        out[str(entity)] = Line(first=first, value=np.where(unknown, np.nan, np.maximum(total, 0.0)), moved=moved)
    return out


def panel(history: History) -> Days:
    """The days of every product that has sales, as one array; the same days as `lines` has."""
    return history.once(_panel)


def _panel(history: History) -> Days:
    sent = history[MOVEMENTS.name].select("entity", "time", "quantity", "kind").filter(pl.col("kind") != "receipt")
    names = sent.filter(pl.col("kind") == "sale")["entity"].unique().sort()
    sent = sent.filter(pl.col("entity").is_in(names.implode()))
    day, kind = numbers(sent["time"], history.standpoint.zone), sent["kind"].to_numpy()
    last = int(day.max(initial=0))
    first = max(int(day.min(initial=last)), last - KEPT)
    late = day >= first
    row = sent["entity"].replace_strict(names, pl.Series(range(len(names)), dtype=pl.Int64)).to_numpy()
    shape = (len(names), last - first + 1 if len(names) else 0)
    place = row[late] * shape[1] + day[late] - first
    sold, back, gone = (kind[late] == name for name in ("sale", "return", "out_of_stock"))
    signed = np.where(sold, 1.0, np.where(back, -1.0, 0.0)) * sent["quantity"].to_numpy()[late]
    size = shape[0] * shape[1]
    total = np.maximum(np.bincount(place, signed, minlength=size), 0.0)
    unknown = np.bincount(place[gone], minlength=size) > 0
    moved = np.bincount(place[sold], minlength=size) > 0
    value = np.where(unknown, np.nan, total).reshape(shape)
    return Days(names=tuple(names), first=first, value=value, moved=moved.reshape(shape))


def standing(history: History) -> datetime:
    """Up to when days are over: now, or later where a history came along that has today as a whole day."""
    newest = history[MOVEMENTS.name]["known_at"].max()
    return max(history.now, newest) if isinstance(newest, datetime) else history.now


def ends(history: History) -> int:
    """The day after the last one that anything is known of, by the newest sale of all."""
    found = lines(history).values()
    over = number(standing(history), history.standpoint.zone)
    return min(over, max((line.last for line in found), default=over) + 1)


def questions(history: History) -> Frame:
    """The days after a few old standpoints, of every product with enough days before them.

    The standpoints are four weeks apart and ask for four weeks; where no product is old enough for that, a week apart,
    for a week. All products share them, for each costs a fit. Of more than `MANY` products a fixed few are asked about.
    """
    zone, end = history.standpoint.zone, ends(history)
    every = lines(history)
    few = sorted(every, key=lambda name: crc32(name.encode()))[:MANY]
    begun = {name: max(every[name].first, end - WINDOW) for name in few}
    oldest = min(begun.values(), default=end)
    long = end - oldest >= LEAST + SPAN * 2
    span = SPAN if long else SHORT
    asked: list[tuple[str, int, int]] = []
    for entity, first in begun.items():
        for k in range(ORIGINS if long else 2 * ORIGINS, 0, -1):
            origin = end - span * k
            if origin - first >= LEAST:
                asked += [(entity, origin, origin + step) for step in range(span)]
        # One that is over a week before any of them: a race begins where some outcome is known.
        if first == oldest and end - first > LEAST:
            asked.append((entity, first + 1, first + 1))
    return framed(asked, zone)


def totals(history: History) -> Frame:
    """The same standpoints, asked for what has gone out by the end of each week."""
    asked = questions(history)
    zone = history.standpoint.zone
    step = numbers(asked["at"], zone) - numbers(asked["as_of"], zone)
    return asked.filter(pl.Series(step % 7 == 6) | pl.Series(_alone(asked)))


def _alone(asked: Frame) -> NDArray[np.bool_]:
    """Whether a question is the only one of its standpoint: the one that is over before any other."""
    return (asked.select(pl.len().over("entity", "as_of")).to_series() == 1).to_numpy()


def framed(asked: list[tuple[str, int, int]], zone: str) -> Frame:
    """Questions from (entity, day it is asked at the beginning of, day asked about)."""
    days = {day: begins(day, zone) for _, *both in asked for day in both}
    return pl.DataFrame(
        {
            "entity": pl.Series([entity for entity, _, _ in asked], dtype=pl.String),
            "as_of": pl.Series([days[day] for _, day, _ in asked], dtype=INSTANT),
            "at": pl.Series([days[day] for _, _, day in asked], dtype=INSTANT),
        }
    )


def outcomes(history: History, asked: Frame) -> Frame:
    """`value`, the demand of the day `at`, known at its end; void where it is unknown."""
    return _outcomes(history, asked, summed=False)


def used(history: History, asked: Frame) -> Frame:
    """`value`, the demand from the day of `as_of` to the day `at`, known at its end; void with an unknown day in it."""
    return _outcomes(history, asked, summed=True)


def _outcomes(history: History, asked: Frame, *, summed: bool) -> Frame:
    zone, found, over = history.standpoint.zone, lines(history), standing(history)
    from_day, at = numbers(asked["as_of"], zone), numbers(asked["at"], zone)
    value = np.full(asked.height, np.nan)
    for k, entity in enumerate(asked["entity"]):
        line = found.get(entity)
        begin = int(from_day[k]) if summed else int(at[k])
        if line is None:
            value[k] = 0.0
        elif summed:
            low, high = np.clip(np.array([begin, at[k] + 1]) - line.first, 0, len(line.value))
            value[k] = line.value[low:high].sum()
        else:
            place = begin - line.first
            value[k] = line.value[place] if 0 <= place < len(line.value) else 0.0
    known = pl.Series([begins(int(day) + 1, zone) for day in at], dtype=INSTANT)
    closed = known <= over
    made = pl.DataFrame({"value": pl.Series(value).fill_nan(None), "known_at": known})
    return made.select(pl.when(closed).then(pl.col(name)).alias(name) for name in made.columns)


def offers(history: History, names: Sequence[str]) -> Offers:
    """The promotions and prices of products, by their places among `names`."""
    zone = history.standpoint.zone
    sales, prices = (_placed(history, table.name, names) for table in (PROMOTIONS, PRODUCTS))
    prices = prices.filter(pl.col("price").is_not_null()).sort("place", "time", "known_at")
    last = sales["until"].dt.offset_by("-1us")
    return Offers(
        promoted=_days(sales, zone) | {"last": numbers(last, zone)},
        discount=sales["discount"].to_numpy(),
        priced=_days(prices, zone),
        price=prices["price"].to_numpy(),
    )


def _placed(history: History, table: str, names: Sequence[str]) -> Frame:
    """The rows of a table that are about one of `names`, with its place among them."""
    frame = history.tables.get(table)
    if frame is None or frame.is_empty():
        return pl.DataFrame(schema=NOTHING)
    places = pl.DataFrame({"entity": names, "place": np.arange(len(names))}, schema_overrides={"entity": pl.String})
    return frame.join(places, on="entity", how="inner", maintain_order="left")


def _days(rows: Frame, zone: str) -> dict[str, Numbers]:
    known = rows["known_at"].cast(pl.Int64).to_numpy()
    return {"place": rows["place"].to_numpy(), "first": numbers(rows["time"], zone), "known": known}


def categories(history: History, names: Sequence[str], moment: datetime) -> list[str]:
    """The newest category that is known of each product at a moment; empty where none is."""
    rows = _placed(history, PRODUCTS.name, names).filter(pl.col("category") != "", pl.col("known_at") <= moment)
    found = ["" for _ in names]
    for place, category in rows.sort("place", "time", "known_at").select("place", "category").iter_rows():
        found[place] = category
    return found
