"""The VN2 cost game over its given weeks: what ours and the official rule would have paid.

The rules are the published ones: one order a week, placed at its end and there at the start of the third week after;
0.2 for each unit left at a week's end, 1.0 for each unit of demand not met, which is lost; six weeks of orders and two
more for the last to arrive. Each start is twelve weeks after a common beginning that the official rule played alone, so
that both take over the same shelves. What was sold in a week in stock is the demand; a product with a week out of stock
in a game does not take part in it, for nobody knows its demand.

The official rule, as its published code has it (`Official_Benchmark.py`): weekly seasonal factors of the mean of all
products, the mean of the last 13 weeks without them, times the factors of the next four weeks; order up to the sum.

Ours knows the same: the same factors; a level half of the last 13 weeks' and half of the last 26 weeks' mean; weeks
drawn from the last year, relative to their mean, make possible futures, and `models.stock.enough` says what to order
for the week of its arrival at the service level that the two costs imply, 1 / (1 + 0.2).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from bench.data import MissingError
from bench.report import goal, met, number, table

from foretell.contract import Floats
from foretell.models.stock import enough
from foretell.settings import ForetellSettings

HOLDING, SHORTAGE = 0.2, 1.0
LEAD, ORDERS, WEEKS, BEFORE = 2, 6, 8, 12
STARTS = range(85, 150, 8)  # weeks of the 157: a year and a half to learn from before the first
CHOSEN = 4  # games that settings were chosen on; the later ones are the test
WORLDS = 300
FILE = "vn2_weekly_stock/tidy_weekly.csv.gz"

Order = Callable[[int, Floats, Floats], Floats]


class Weeks:
    """Sales by series and week, NaN out of stock; and the numbers of the weeks in their years."""

    def __init__(self) -> None:
        """Raises MissingError without the file."""
        folder = ForetellSettings().bench_data
        path = folder and folder / "inventory" / FILE
        if path is None or not path.is_file():
            raise MissingError(f"there is no {path or FILE}; type: FORETELL_BENCH_DATA=<folder> make bench")
        sent = pl.read_csv(path, try_parse_dates=True).sort("week")
        units = pl.when(pl.col("in_stock")).then(pl.col("units"))
        wide = sent.with_columns(units=units).pivot(on="week", index=["Store", "Product"], values="units")
        self.sold: Floats = wide.sort("Store", "Product").drop("Store", "Product").to_numpy().astype(np.float64)
        weeks: list[date] = sent["week"].unique().sort().to_list()
        self.of_year = np.array([week.isocalendar().week for week in weeks])

    def factors(self, now: int) -> Floats:
        """By the number of a week of the year, what all products sold in it relative to the mean; known at `now`."""
        mean, found = np.nanmean(self.sold[:, :now], axis=0), np.full(54, np.nan)
        for week in np.unique(self.of_year[:now]):
            found[week] = mean[self.of_year[:now] == week].mean()
        found[53] = found[52] if np.isnan(found[53]) else found[53]
        relative: Floats = found / np.nanmean(found)
        return relative

    def ahead(self, factors: Floats, now: int, count: int) -> Floats:
        """The factors of the next weeks."""
        return np.array([factors[(int(self.of_year[now - 1]) + k) % 52 + 1] for k in range(count)])


def official(weeks: Weeks) -> Order:
    """The official rule."""

    def order(now: int, stock: Floats, coming: Floats) -> Floats:
        factors = weeks.factors(now)
        flat = weeks.sold[:, :now] / factors[weeks.of_year[:now]]
        level = np.nan_to_num(np.nanmean(flat[:, -13:], axis=1))
        wanted: Floats = level * weeks.ahead(factors, now, 4).sum() - stock - coming.sum(axis=1)
        return np.maximum(0.0, np.round(wanted))

    return order


def ours(weeks: Weeks) -> Order:
    """Futures of three weeks, and the order that meets the third with the chance that the costs imply."""

    def order(now: int, stock: Floats, coming: Floats) -> Floats:
        factors, wanted = weeks.factors(now), np.zeros(len(stock))
        ahead, wait = weeks.ahead(factors, now, LEAD + 1)[:, None], np.full(WORLDS, float(LEAD))
        for k, flat in enumerate(weeks.sold[:, now - 52 : now] / factors[weeks.of_year[now - 52 : now]]):
            year = flat[~np.isnan(flat)]
            if len(year) < 8 or year.mean() <= 0:
                continue
            quarter = flat[-13:][~np.isnan(flat[-13:])]
            level = (float((quarter if len(quarter) else year).mean()) + float(year[-26:].mean())) / 2
            drawn = np.random.default_rng([k, now]).choice(year / year.mean(), (LEAD + 1, WORLDS))
            there = stock[k] + np.cumsum([*coming[k], 0.0])
            short = np.cumsum(level * ahead * drawn, axis=0) - there[:, None]
            wanted[k] = round(enough(short, wait, 1, SHORTAGE / (SHORTAGE + HOLDING)))
        return wanted

    return order


def game(weeks: Weeks, start: int, order: Order) -> Floats:
    """Holding and shortage cost of each series (series x 2) in the eight weeks from `start` on."""
    official_rule, first = official(weeks), start - BEFORE
    usual = np.round(np.nan_to_num(np.nanmean(weeks.sold[:, first - 13 : first], axis=1)))
    stock, coming, cost = 2 * usual, np.column_stack([usual, usual]), np.zeros((len(usual), 2))
    for now in range(first, start + WEEKS):
        rule = official_rule if now < start else order
        wanted = rule(now, stock, coming) if now < start + ORDERS else np.zeros(len(stock))
        demand = np.nan_to_num(weeks.sold[:, now])
        stock = stock + coming[:, 0]
        coming = np.column_stack([coming[:, 1], wanted])
        if now >= start:
            cost += np.column_stack([HOLDING * np.maximum(stock - demand, 0), SHORTAGE * np.maximum(demand - stock, 0)])
        stock = np.maximum(stock - demand, 0)
    return cost


def measure() -> dict[str, Any]:
    """The games, one row each; raises MissingError without the file."""
    weeks = Weeks()
    rows, totals = [], np.zeros((2, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a product without a week in stock has no mean
        for place, start in enumerate(STARTS):
            known = ~np.isnan(weeks.sold[:, start : start + WEEKS]).any(axis=1)
            mine, theirs = (game(weeks, start, rule(weeks))[known].sum(axis=0) for rule in (ours, official))
            part = "chosen on" if place < CHOSEN else "test"
            totals[int(place >= CHOSEN)] += mine.sum(), theirs.sum()
            rows.append([f"week {start + 1}, {part}", int(known.sum()), *map(number, (*mine, *theirs)),
                         number(mine.sum() / theirs.sum())])  # fmt: skip
    print(f"{len(weeks.sold)} series of 157 weeks; nine games of eight weeks\n")
    table(["game", "series", "ours: holding", "shortage", "official: holding", "shortage", "ratio of cost"], rows)
    ratio = float(totals[1, 0] / totals[1, 1])
    goals = {"cost below the official rule's, over the games not chosen on": goal(ratio, ratio < 1)}
    table(["goal: ours, of the other's", "is", ""], [[w, number(g["is"]), met(g["met"])] for w, g in goals.items()])
    return {"totals": totals.tolist(), "goals": goals}
