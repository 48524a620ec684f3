"""What homes were sold for, and what that says of prices at a moment: parts that add up to the logarithm of a price.

A price is taken apart into what the market was, by month and area, what a home is like, where it stands, and what it
was sold for before that; each part is drawn to nothing by how little is known of it (a mixed model; Henderson 1975),
and found in turns (backfitting; Breiman & Friedman 1985). So the last price of a home counts as much as past prices
of homes have been worth, and a street with two deals less than one with twenty. It is worked out anew for each month,
UTC, from the deals known when the month began.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Floats, Frame, History
from foretell.domains.realestate.catalogue import dealt
from foretell.features.asof import newest

Ints = NDArray[np.int64]
MOST = 40_000  # deals, the newest ones, that a moment's prices are made of
TURNS = 6
FEW = 30  # deals, or homes sold again, that something is told by
STEP, TOLD_STEP = 0.012, 0.004  # usual change of prices in a month, and of what a published index leaves of it
FARTHEST = 2.5  # of the logarithm: what differs more from the middle price counts as so far
NUMBERS = (
    "bedrooms", "bathrooms", "size", "land", "floors", "built", "renovated", "condition", "grade", "view", "waterfront",
    "basement", "around", "latitude", "longitude",
)  # fmt: skip
TEXTS = ("area", "street", "kind")
PARTS = ("kind", "area", "street", "property", "year")  # what a deal is one of several of
NEW = "new home"
DESIGN = (  # what each column of `design` is made of
    "size", "size", "land", "around", "built", "built", "renovated", "bedrooms", "bathrooms", "floors", "condition",
    "grade", "grade", "grade", "view", "waterfront", "basement",
)  # fmt: skip


def _clean(found: Frame) -> Frame:
    texts = [pl.col(name).fill_null("") for name in TEXTS]
    return found.with_columns(pl.col(name).cast(pl.Float64) for name in NUMBERS).with_columns(texts)


def described(history: History, asked: Frame) -> Frame:
    """Each question's home as it was known at `as_of`: `NUMBERS` (null where unknown), `TEXTS` (never null)."""
    return _clean(newest(asked, history["properties"], "property", (*NUMBERS, *TEXTS)))


def months(times: pl.Series) -> Ints:
    """Months since the year 0, UTC."""
    return (times.dt.year().cast(pl.Int64) * 12 + times.dt.month().cast(pl.Int64) - 1).to_numpy()


def design(homes: Frame, month: Ints) -> Floats:
    """What homes are like in numbers on which prices lie about on lines (homes x columns; NaN where unknown)."""
    get = {name: homes[name].fill_null(np.nan).to_numpy() for name in NUMBERS}
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.where(get["size"] > 0, np.log(get["size"]), np.nan)
        land = np.where(get["land"] > 0, np.log(get["land"]), np.nan)
        around = np.where(get["around"] > 0, np.log(get["around"]), np.nan)
        age = np.clip(month / 12 - get["built"], 0, 150) / 50
        fresh = np.where(get["renovated"] > 0, np.exp(-np.clip(month / 12 - get["renovated"], 0, 100) / 15), 0.0)
        grade, basement = get["grade"], np.log1p(get["basement"])
        return np.column_stack(
            [size, size**2, land, around, age, age**2, fresh, np.log1p(get["bedrooms"]), get["bathrooms"],
             get["floors"], get["condition"], grade, grade**2, grade * size, get["view"], get["waterfront"],
             basement]
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Deals:
    """Every deal with a price, in the order in which they became known."""

    frame: Frame  # property, time, known_at, price, and the home as it was known then
    known: Ints  # microseconds since 1970
    month: Ints
    log: Floats  # logarithm of the price
    market: Floats  # logarithm of the area's published index then, 0 at its beginning, and where there is none
    design: Floats
    codes: dict[str, dict[Any, int]]
    code: dict[str, Ints]

    @classmethod
    def of(cls, history: History) -> Deals:
        """The deals of a history."""
        return history.once(cls._made)

    @classmethod
    def _made(cls, history: History) -> Deals:
        sold = dealt(history).filter(pl.col("price") > 0).sort("known_at", "time", "property", maintain_order=True)
        asked = sold.select("property", as_of="known_at")
        homes = described(history, asked)
        area = pl.when(homes["area"] == "").then(sold["area"].fill_null("")).otherwise(homes["area"])
        homes = homes.with_columns(area=area)
        frame = sold.select("property", "time", "known_at", "price").hstack(homes.get_columns())
        month = months(frame["time"])
        names = groups(frame, month)
        codes = {part: {name: k for k, name in enumerate(dict.fromkeys(each))} for part, each in names.items()}
        code = {
            part: np.fromiter((codes[part][name] for name in each), np.int64, len(each)) for part, each in names.items()
        }
        return cls(
            frame=frame, known=frame["known_at"].dt.epoch("us").to_numpy().astype(np.int64), month=month,
            log=np.log(frame["price"].cast(pl.Float64).to_numpy()),
            market=market(history, frame.select("area", as_of="time")), design=design(frame, month), codes=codes,
            code=code,
        )  # fmt: skip

    def at(self, moment: int) -> int:
        """How many deals were known by a moment, microseconds since 1970."""
        return int(np.searchsorted(self.known, moment, side="right"))


def groups(homes: Frame, month: Ints) -> dict[str, list[Any]]:
    """What each home is one of, by part; None where that is not known."""
    area, street, kind = (homes[name].to_list() for name in ("area", "street", "kind"))
    return {
        "kind": [(one or None) for one in kind],
        "area": [(one or None) for one in area],
        "street": [(a, s, k) if s else None for a, s, k in zip(area, street, kind, strict=True)],
        "property": homes["property"].to_list(),
        "year": [(a, int(m) // 12) if a else None for a, m in zip(area, month, strict=True)],
    }


def market(history: History, asked: Frame) -> Floats:
    """The logarithm of each area's published index as known at `as_of`, against its first; 0 where there is none."""
    told = history["markets"].filter(pl.col("index") > 0).sort("known_at", "time", maintain_order=True)
    first = told.group_by("area").agg(first=pl.col("index").first())
    rise = told.join(first, on="area").select("area", "known_at", rise=(pl.col("index") / pl.col("first")).log())
    return (
        newest(asked, rise.sort("known_at", maintain_order=True), "area", ("rise",))["rise"].fill_null(0.0).to_numpy()
    )


class Standing:
    """Prices as they stood when a month began."""

    def __init__(self, deals: Deals, count: int, month: int) -> None:
        """From the first `count` of the deals (the newest `MOST` of them), standing in `month`."""
        self.deals, self.month = deals, month
        self.rows = np.arange(max(0, count - MOST), count)
        self.first = int(deals.month[self.rows].min(initial=month))
        when = np.clip(deals.month[self.rows] - self.first, 0, month - self.first)
        self.last = int(when.max(initial=0))
        raw = deals.design[self.rows]
        there = ~np.isnan(raw)
        known = np.maximum(there.sum(axis=0), 1)
        self.mean = np.where(there, raw, 0).sum(axis=0) / known
        self.spread = np.sqrt((np.where(there, raw - self.mean, 0) ** 2).sum(axis=0) / known)
        inputs = self._inputs(raw)
        y = deals.log[self.rows] - deals.market[self.rows]
        self.level = float(np.median(y)) if len(y) else 0.0
        self.slopes: Floats = np.zeros(inputs.shape[1])
        self.time = np.zeros(month - self.first + 1)
        self.effects = {part: np.zeros(len(deals.codes[part])) for part in PARTS}
        self.counts = {
            part: np.bincount(deals.code[part][self.rows], minlength=len(deals.codes[part])) for part in PARTS
        }
        self.noise, told = 0.1, deals.market[self.rows] != 0
        self.step = TOLD_STEP if len(told) and told.mean() > 0.5 else STEP
        self.drawn: dict[str, float] = {}  # deals that nothing counts as beside a group's own, by part
        if len(y):
            self._found(inputs, when, np.clip(y - self.level, -FARTHEST, FARTHEST))

    def _inputs(self, raw: Floats) -> Floats:
        missing = np.isnan(raw)
        scaled = np.divide(raw - self.mean, self.spread, out=np.zeros_like(raw), where=(self.spread > 1e-9) & ~missing)
        return np.column_stack([np.clip(scaled, -6, 6), missing])

    def _found(self, inputs: Floats, when: Ints, y: Floats) -> None:
        """Each part in turns, from what the others leave; a home's own is noise to its street, that to its area."""
        curve = inputs.T @ inputs + np.eye(inputs.shape[1])
        parts: dict[str, Floats] = {part: np.zeros(len(y)) for part in (*PARTS, "like", "time")}
        for _ in range(TURNS):
            left = y - parts["time"] - parts["year"]
            rest = left - parts["kind"] - parts["area"] - parts["street"]
            self.slopes = np.asarray(np.linalg.solve(curve, inputs.T @ rest))
            parts["like"] = inputs @ self.slopes
            left = left - parts["like"]
            parts["kind"] = self._drawn("kind", left - parts["area"] - parts["street"])
            left = left - parts["kind"]
            for part in ("area", "street"):
                parts[part] = self._drawn(part, left)
                left = left - parts[part]
            parts["property"] = self._drawn("property", left)
            left = left + parts["time"]
            self.time = self._moved(when, left)
            parts["time"] = self.time[when]
            left = left - parts["time"]
            parts["property"] = self._drawn("property", left)
            parts["year"] = self._drawn("year", left - parts["property"] + parts["year"])

    def _moved(self, when: Ints, left: Floats) -> Floats:
        """Prices by month, beside homes that keep what they were sold for (repeat sales; Bailey, Muth & Nourse 1963).

        What is a home's own is found together with them, for a market that rises is no home's own.
        """
        code, count = self.deals.code["property"][self.rows], self.counts["property"]
        share = 1 / (count + self.drawn["property"])
        total = np.bincount(code, left, len(count))
        many = np.flatnonzero(count > 1)
        place = np.full(len(count), -1)
        place[many] = np.arange(len(many))
        seen = np.zeros((len(many), len(self.time)))
        again = place[code] >= 0
        np.add.at(seen, (place[code[again]], when[again]), 1.0)
        alone = np.where(again, 1.0, 1.0 - share[code])
        times = np.bincount(when, alone, len(self.time))
        bend = np.diff(np.eye(len(times)), axis=0)
        curve = np.diag(times) - seen.T @ (share[many][:, None] * seen) + bend.T @ bend * self.noise / self.step**2
        drawn = left - (share * total)[code]
        return np.asarray(np.linalg.solve(curve + 1e-6 * np.eye(len(times)), np.bincount(when, drawn, len(times))))

    def _drawn(self, part: str, left: Floats) -> Floats:
        """The part of each deal: the mean of its group, drawn to nothing by how much deals differ within groups."""
        code, count = self.deals.code[part][self.rows], self.counts[part]
        total = np.bincount(code, left, len(count))
        mean = np.divide(total, count, out=np.zeros(len(count)), where=count > 0)
        groups_, spare = int((count > 0).sum()), len(left) - int((count > 0).sum())
        square = float(np.mean(left**2))
        within = float(np.sum((left - mean[code]) ** 2)) / spare if spare >= FEW else square / 2
        between = max((float(np.sum(count * mean**2)) - groups_ * within) / len(left), square / 1000, 1e-6)
        effect = total / (count + within / between)
        unknown = self.deals.codes[part].get(None)
        if unknown is not None:
            effect[unknown] = 0.0
        self.effects[part] = effect
        if part == "property":
            self.noise = max(within, 1e-4)
        self.drawn[part] = within / between
        return np.asarray(effect[code])

    @property
    def gain(self) -> float:
        """By how much the logarithm of prices rose in a month of the last year, beside what a published index says."""
        before = max(0, self.last - 12)
        return float(self.time[self.last] - self.time[before]) / 12

    def rise(self, month: Ints, index: Floats, area: list[Any]) -> Floats:
        """What the market was in each month: its part of the logarithm of a price.

        The year after the last deal goes on as the one before: deeds come late.
        """
        when = np.clip(month - self.first, 0, len(self.time) - 1)
        codes, counts, effect = self.deals.codes["year"], self.counts["year"], self.effects["year"]
        year = [_last(codes, counts, (name, int(each) // 12)) for name, each in zip(area, month, strict=True)]
        own = np.array([effect[k] if k >= 0 else 0.0 for k in year])
        return np.asarray(self.time[when] + self.gain * np.clip(when - self.last, 0, 12) + index + own)

    @cached_property
    def then(self) -> Floats:
        """What the market was at each deal."""
        area = self.deals.frame["area"].to_list()
        return self.rise(self.deals.month[self.rows], self.deals.market[self.rows], [area[k] for k in self.rows])

    @cached_property
    def like(self) -> Floats:
        """What each deal's home is like: its part of the logarithm of the price."""
        kind = self.effects["kind"][self.deals.code["kind"][self.rows]]
        return self._inputs(self.deals.design[self.rows]) @ self.slopes + kind

    @cached_property
    def stands(self) -> Floats:
        """What is left of each deal's price without the market and what the home is like."""
        return self.deals.log[self.rows] - self.level - self.then - self.like

    def why(self, homes: Frame, month: Ints) -> dict[str, float]:
        """What each attribute of the first of some homes adds to the logarithm of its price, beside the usual home."""
        added = (self._inputs(design(homes, month)) * self.slopes)[0]
        return {
            name: float(sum(added[k] for k, column in enumerate(DESIGN * 2) if column == name))
            for name in dict.fromkeys(DESIGN)
        }

    def usual(self, homes: Frame) -> Floats:
        """What homes of an area usually stand at: the median of its deals, a square metre where the size is known."""
        sold = self.deals.frame["size"].fill_null(np.nan).to_numpy()[self.rows]
        bare = self.deals.log[self.rows] - self.level - self.then
        names = self.deals.frame["area"].to_numpy()[self.rows]
        asked, found = homes["size"].fill_null(np.nan).to_numpy(), np.zeros(len(homes))
        with np.errstate(divide="ignore", invalid="ignore"):
            per, size = bare - np.log(sold), np.log(asked)
        for area in homes["area"].unique():
            mine, here = (homes["area"] == area).to_numpy(), names == area
            here = here if here.sum() >= FEW else np.ones(len(names), dtype=bool)
            whole = float(np.median(bare[here])) if here.any() else 0.0
            some = here & np.isfinite(per)
            each = float(np.median(per[some])) if some.any() else np.nan
            found[mine] = np.where(np.isfinite(each + size[mine]), each + size[mine], whole)
        return found

    def parts(self, homes: Frame, month: Ints, index: Floats) -> dict[str, Floats]:
        """The parts of the logarithm of the price of homes (with `property`), and of how many deals each is known.

        `month` is that they are asked in, `index` the area's published one then, as `market` gives it.
        """
        names = groups(homes, month)
        found = {"like": self._inputs(design(homes, month)) @ self.slopes}
        for part in ("kind", "area", "street", "property"):
            codes = self.deals.codes[part]
            code = np.array([-1 if one is None else codes.get(one, -1) for one in names[part]], dtype=np.int64)
            found[part] = np.where(code >= 0, self.effects[part][code], 0.0)
            found[f"{part}_deals"] = np.where(code >= 0, self.counts[part][code], 0).astype(float)
        found["like"] += found["kind"]
        found["market"] = self.rise(month, index, homes["area"].to_list())
        return found


def _last(codes: dict[Any, int], counts: Ints, of: tuple[Any, int]) -> int:
    """The code of an area's year, or of the one before where nothing was sold in it; -1 without."""
    for year in (of[1], of[1] - 1):
        code = codes.get((of[0], year), -1)
        if code >= 0 and counts[code]:
            return code
    return -1
