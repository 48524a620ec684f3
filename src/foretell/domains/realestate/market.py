"""Where a market's prices go: its index in so many months, from how it grew before.

A month's index counts as it was first published, and from then on. How far a question looks ahead is counted from the
newest month that was known, in whole months.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal, Self, cast

import numpy as np
import polars as pl

from foretell.contract import (
    INSTANT,
    Ask,
    Block,
    Cost,
    Floats,
    Forecast,
    Forecaster,
    Frame,
    History,
    Quantity,
    Read,
    Study,
    quantile,
)
from foretell.domains.realestate.prices import Ints, months
from foretell.domains.realestate.schema import MarketAnswer, MarketRequest
from foretell.errors import NotFound, NotReady

READS = (Read(table="markets", window=timedelta(days=36_525), by="area", columns=("area", "time", "index")),)
INDEX = Quantity(unit="index", lower=0.0)
NAMES = ("point", *map(quantile, INDEX.levels))
AHEAD = (1, 3, 6, 12, 24, 36, 60)  # months that are learned
BACK = (1, 3, 6, 12, 24, 60)  # months of the past whose growth is looked at
RATES = tuple(f"rate_{back}m" for back in BACK)
MOST = 60_000  # questions to learn from
RIDGE = 30.0  # usual outcomes that growth going on counts as
FEW = 60  # outcomes so far ahead that their own quantiles are taken of
USUAL = 0.004  # growth of a month
EAST = timedelta(hours=13)  # by which a month may have begun before UTC's: by whose clock a day was meant, no row says
WHOLE = 1e5  # areas lie so many months apart in a book


def later(moment: datetime, count: int) -> datetime:
    """The same time of day `count` months later; the month's last day where it has no such day."""
    return cast("datetime", pl.Series([moment]).dt.offset_by(f"{count}mo")[0])


class Book:
    """The indices of all areas by month, as first published."""

    def __init__(self, history: History) -> None:
        told = history["markets"].filter(pl.col("index") > 0).sort("known_at", "time", maintain_order=True)
        told = told.with_columns(month=pl.Series(months(told["time"] + EAST)))
        told = told.unique(["area", "month"], keep="first", maintain_order=True)
        # The newest month known, as one became known: an old one that comes late is not the newest.
        self.told = told.with_columns(newest=pl.col("month").cum_max().over("area"))
        self.codes = {name: k for k, name in enumerate(told["area"].unique(maintain_order=True))}
        code = np.array([self.codes[name] for name in told["area"]], dtype=np.float64)
        key = code * WHOLE + told["month"].to_numpy()
        order = np.argsort(key)
        self.key, self.log = key[order], np.log(told["index"].cast(pl.Float64).to_numpy()[order])
        self.known = told["known_at"].dt.epoch("us").to_numpy()[order]

    def at(self, area: Ints, month: Ints, moment: Ints) -> Floats:
        """The logarithm of a month's index as known by a moment (microseconds since 1970); NaN where it was not."""
        if not len(self.key):
            return np.full(len(area), np.nan)
        key = area * WHOLE + month
        found = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        there = (self.key[found] == key) & (self.known[found] <= moment)
        return np.where(there, self.log[found], np.nan)

    def newest(self, asked: Frame) -> Ints:
        """The newest month of each area that was known by `as_of`; -1 without one."""
        rows = self.told.select("area", "newest", as_of="known_at")
        found = asked.select("area", "as_of").with_row_index("row").sort("as_of", maintain_order=True)
        found = found.join_asof(rows, on="as_of", by="area", check_sortedness=False).sort("row")
        return found["newest"].fill_null(-1).to_numpy().astype(np.int64)


def book(history: History) -> Book:
    """The indices of a history."""
    return history.once(Book)


def questions(history: History) -> Frame:
    """Every area each time a month of it was published, so many months ahead; of very many, some months only."""
    told = book(history).told
    step = 1 + told.height * len(AHEAD) // MOST
    last = told["month"].max() if told.height else 0
    told = told.filter((pl.lit(last) - pl.col("month")) % step == 0)
    begin = pl.col("known_at").dt.truncate("1mo")
    asked = [
        told.select("area", entity="area", as_of=pl.col("known_at").cast(INSTANT), at=begin.dt.offset_by(f"{ahead}mo"))
        for ahead in AHEAD
    ]
    return pl.concat(asked).sort("as_of", "at", "entity")


def outcomes(history: History, asked: Frame) -> Frame:
    """`value`, the index of the month of `at` as first published."""
    told = book(history).told.select("area", "month", "known_at", value=pl.col("index").cast(pl.Float64))
    rows = asked.select("area", "as_of").with_columns(month=pl.Series(months(asked["at"])))
    found = rows.join(told, on=("area", "month"), how="left", maintain_order="left")
    later_ = pl.col("known_at") > pl.col("as_of")
    return found.select(pl.when(later_).then(pl.col(name)).alias(name) for name in ("value", "known_at"))


def features(history: History, asked: Frame) -> Block:
    """The newest index known and how far ahead it looks, and past growth a month over spans of time (of logarithms).

    Where a span is longer than what is known the next shorter one stands in.
    """
    told = book(history)
    area = np.array([told.codes.get(name, -1) for name in asked["area"]], dtype=np.int64)
    newest, moment = told.newest(asked), asked["as_of"].dt.epoch("us").to_numpy()
    level = told.at(area, newest, moment)
    out = {"level": level, "ahead": (months(asked["at"]) - newest).astype(float)}
    rate = np.zeros(len(area))
    for back, name in zip(BACK, RATES, strict=True):
        grown = (level - told.at(area, newest - back, moment)) / back
        rate = np.where(np.isnan(grown), rate, grown)
        out[name] = rate
    return Block.of_columns(out)


class Growth:
    """Growth that goes on, that stops, or that is learned from all areas, and what was left of it so far ahead.

    What is learned is by how much growth differs from that of the last year, as a line in past growth, for some months
    ahead each (ridge; Hoerl & Kennard 1970), and between them.
    """

    needs_training = True
    cost = Cost(fit=0.01, forecast=0.005)

    def __init__(self, how: Literal["continued", "flat", "learned"]) -> None:
        self.how = how
        self.slopes = np.zeros((len(AHEAD), len(BACK) + 1))
        self.left = np.zeros((len(AHEAD), len(INDEX.levels)))

    def _grown(self, features: Block) -> Floats:
        """By how much the logarithm grows."""
        ahead = features["ahead"]
        if self.how == "flat":
            return np.zeros(len(ahead))
        rate = features["rate_12m"]
        if self.how == "learned":
            rate = rate + (_inputs(features) * _between(self.slopes, ahead)).sum(axis=1)
        return np.asarray(ahead * rate)

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn the lines and what is left; return self. Raises NotReady without outcomes."""
        if outcomes.is_empty():
            raise NotReady("no published index to learn from; bring more of realestate.markets")
        features, ahead = study.features, study.features["ahead"]
        grown = np.log(outcomes["value"].cast(pl.Float64).to_numpy()) - features["level"]
        near = np.abs(np.log(np.maximum(ahead, 1))[:, None] - np.log(AHEAD)).argmin(axis=1)
        inputs, wrong = _inputs(features), grown / np.maximum(ahead, 1) - features["rate_12m"]
        for k in range(len(AHEAD)):
            x, y = inputs[near == k], wrong[near == k]
            drawn = RIDGE * np.diag([0.1, *[1.0] * len(BACK)]) * max(float(np.mean(x**2)) if len(x) else 1.0, 1e-9)
            self.slopes[k] = np.linalg.solve(x.T @ x + drawn, x.T @ y)
        rest = (grown - self._grown(features)) / np.sqrt(np.maximum(ahead, 1))
        usual = np.quantile(rest, INDEX.levels)
        for k in range(len(AHEAD)):
            mine = rest[near == k]
            self.left[k] = np.quantile(mine, INDEX.levels) if len(mine) >= FEW else usual
        return self

    def forecast(self, study: Study) -> Forecast:
        """The index, with its quantiles about what is expected; null of an area without an index."""
        ahead = study.features["ahead"]
        point = (study.features["level"] + self._grown(study.features))[:, None]
        spread = _between(self.left, ahead) * np.sqrt(np.maximum(ahead, 1))[:, None]
        logs = np.hstack([point, point + np.minimum(spread[:, :1], 0), point, point + np.maximum(spread[:, -1:], 0)])
        return Forecast(rows=Block(NAMES, np.exp(logs)).frame().fill_nan(None))

    def save(self, folder: Path) -> None:
        """Write what was learned as JSON."""
        (folder / "growth.json").write_text(json.dumps({"slopes": self.slopes.tolist(), "left": self.left.tolist()}))

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote; return self."""
        told = json.loads((folder / "growth.json").read_text())
        self.slopes, self.left = np.array(told["slopes"]), np.array(told["left"])
        return self


def _inputs(features: Block) -> Floats:
    """Past growth a month, beside what is always the same, of the size of a usual one."""
    return np.column_stack([np.full(len(features), USUAL), features.of_names(RATES)])


def _between(rows: Floats, ahead: Floats) -> Floats:
    """The row for so many months ahead, on lines between those of `AHEAD` by its logarithm."""
    at = np.log(np.clip(ahead, AHEAD[0], AHEAD[-1]))
    return np.column_stack([np.interp(at, np.log(AHEAD), column) for column in rows.T])


CANDIDATES: Mapping[str, Callable[[], Forecaster]] = {
    "continued": partial(Growth, "continued"),
    "flat": partial(Growth, "flat"),
    "learned": partial(Growth, "learned"),
}


def about(request: MarketRequest) -> Mapping[str, list[str]]:
    """The area whose facts are read."""
    return {"area": [request.area]}


def ask(request: MarketRequest, history: History) -> Ask:
    """One question. Raises NotFound for an area without an index."""
    if not (history["markets"]["area"] == request.area).any():
        raise NotFound(f"there is no market {request.area!r}; bring its index into realestate.markets")
    asked = {"entity": [request.area], "area": [request.area], "as_of": [history.now], "at": [_at(request, history)]}
    return Ask(questions=pl.DataFrame(asked).with_columns(pl.col("as_of", "at").cast(INSTANT)))


def _at(request: MarketRequest, history: History) -> datetime:
    begin = history.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return later(begin, request.months)


def decide(forecast: Forecast, request: MarketRequest, history: History) -> MarketAnswer:
    """The index then, beside the newest one known, and how it grew."""
    row = forecast.rows.row(0, named=True)
    told = book(history).told.filter(pl.col("area") == request.area, pl.col("known_at") <= history.now)
    known = told.sort("month").tail(13)
    value, month = float(known["index"][-1]), known["month"]
    before = known.filter(month == month[-1] - 12)["index"]
    return MarketAnswer(
        area=request.area, at=_at(request, history), known=known["time"][-1], index_known=value, index=row["point"],
        low=min(row["q10"], row["point"]), high=max(row["q90"], row["point"]), growth=row["point"] / value - 1,
        growth_last_year=value / float(before[0]) - 1 if len(before) else None,
    )  # fmt: skip


def headline(answer: MarketAnswer) -> float:
    """The index."""
    return answer.index
