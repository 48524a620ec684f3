"""A small seeded world: four products of a shop in Berlin, with known demand.

`milk` sells every day and more at weekends, `coffee` grows by a half in seven months, `lamp` sells on one day in five,
`chair` rarely and then often several at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Floats, Frame, History, Sample, Standpoint
from foretell.domains.inventory.schema import Day, DemandRequest, Settings, StockoutRequest
from foretell.domains.inventory.tables import INCOMING, LEAD_TIMES, MOVEMENTS, PRODUCTS, PROMOTIONS, STOCK_LEVELS

ZONE = "Europe/Berlin"
NOON = datetime(2024, 6, 30, 12, tzinfo=ZoneInfo(ZONE))
END = NOON.astimezone(UTC) + timedelta(hours=3)
DAYS = 210
WEEK = np.array([0.8, 0.8, 0.9, 1.0, 1.3, 1.5, 0.7])  # Monday first


def demand(seed: int) -> dict[str, Floats]:
    """Units sold of each product on each of the days, oldest first; the last is today, and not over."""
    random = np.random.default_rng(seed)
    weekday = np.array([(NOON - timedelta(days=DAYS - 1 - k)).weekday() for k in range(DAYS)])
    return {
        "milk": random.poisson(40 * WEEK[weekday]).astype(float),
        "coffee": random.poisson(12 * (1 + 0.5 * np.arange(DAYS) / DAYS) * WEEK[weekday]).astype(float),
        "lamp": (random.random(DAYS) < 0.2) * 1.0,
        "chair": (random.random(DAYS) < 0.15) * random.geometric(0.25, DAYS).astype(float),
    }


def movements(seed: int) -> Frame:
    """The world's sales at noon, a return and a delivery now and then."""
    rows = []
    for product, sold in demand(seed).items():
        for k in np.flatnonzero(sold):
            time = NOON - timedelta(days=int(DAYS - 1 - k))
            rows.append((product, time, float(sold[k]), "sale"))
            if k % 40 == 7:
                rows.append((product, time + timedelta(hours=1), 1.0, "return"))
            if k % 14 == 3:
                rows.append((product, time - timedelta(hours=4), 500.0, "receipt"))
    products, times, quantities, kinds = (list(column) for column in zip(*rows, strict=True))
    when = pl.Series([moment.astimezone(UTC) for moment in times], dtype=INSTANT)
    return pl.DataFrame(
        {
            "product": products, "time": when, "quantity": quantities, "kind": kinds, "line": "", "known_at": when,
            "entity": products,
        }
    )  # fmt: skip


def offers() -> dict[str, Frame]:
    """What the products are, and a promotion of milk that begins tomorrow and was planned a week ago."""
    begun = (NOON - timedelta(days=DAYS)).astimezone(UTC)
    names = ["milk", "coffee", "lamp", "chair"]
    kinds, prices = ["food", "food", "home", "home"], [1.2, 6.0, 30.0, 80.0]
    products = pl.DataFrame({"product": names, "category": kinds, "price": prices, "entity": names})
    products = products.with_columns(pl.lit(begun, INSTANT).alias(name) for name in ("time", "known_at"))
    promotions = pl.DataFrame({"product": ["milk"], "kind": ["flyer"], "discount": [0.2], "entity": ["milk"]})
    when = {"time": END + timedelta(days=1), "until": END + timedelta(days=4), "known_at": END - timedelta(days=7)}
    promotions = promotions.with_columns(pl.lit(moment, INSTANT).alias(name) for name, moment in when.items())
    return {PRODUCTS.name: products, PROMOTIONS.name: promotions}


def supply(seed: int) -> dict[str, Frame]:
    """What the shop knows of its supply: counts of three products a week ago, an order under way, deliveries."""
    week_ago = END - timedelta(days=7)
    counts = [("milk", week_ago, 600.0), ("coffee", week_ago, 280.0), ("lamp", week_ago, 9.0)]
    took = np.random.default_rng([seed, 1]).integers(3, 9, 12).tolist()
    came = [
        (product, NOON - timedelta(days=9 + 14 * k), float(days))
        for k, days in enumerate(took)
        for product in ("milk", "coffee")
        if product == "milk" or k < 2
    ]
    coming = [("coffee", "17", NOON + timedelta(days=6), 120.0)]
    return {
        STOCK_LEVELS.name: _frame(counts, ["product", "time", "on_hand"]),
        LEAD_TIMES.name: _frame(came, ["product", "time", "days"]),
        INCOMING.name: _frame(coming, ["product", "order", "time", "quantity"], known=week_ago),
    }


def _frame(rows: Sequence[tuple[object, ...]], names: list[str], known: datetime | None = None) -> Frame:
    """Facts of products, known when they happened unless it is said when."""
    made = pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("time").dt.convert_time_zone("UTC"))
    made = made.with_columns(pl.col("time").cast(INSTANT), entity=pl.col("product"))
    return made.with_columns(known_at=pl.col("time") if known is None else pl.lit(known, INSTANT))


def sample(seed: int) -> Sample:
    """The world for a seed: the same seed gives the same rows."""
    standpoint = Standpoint(tenant="sample", now=END, zone=ZONE, settings=Settings())
    milk = demand(seed)["milk"]
    own = [Day(date=(NOON - timedelta(days=DAYS - 1 - k)).date(), quantity=float(milk[k])) for k in range(60, DAYS - 1)]
    return Sample(
        history=History(standpoint, {MOVEMENTS.name: movements(seed), **offers(), **supply(seed)}),
        requests={
            "inventory.demand": [
                DemandRequest(product="milk", horizon_days=14),
                DemandRequest(product="chair", interval_width=0.8),
                DemandRequest(product="mine", history=own, horizon_days=7),
            ],
            "inventory.stockout": [
                StockoutRequest(product="coffee", current_stock_units=300),
                StockoutRequest(product="lamp", current_stock_units=4, horizon_days=30),
                StockoutRequest(product="milk", lead_time_days=5, service_level=0.9),
                StockoutRequest(product="mine", history=own, current_stock_units=900, horizon_days=40),
            ],
        },
    )
