"""Inventory's tables: what is sold, at which price, what is there and on its way."""

from __future__ import annotations

from typing import Annotated, Literal

import polars as pl
from pydantic import AwareDatetime, BaseModel, Field

from foretell.contract import Table

Product = Annotated[str, Field(min_length=1, max_length=200)]
Units = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
LeadDays = Annotated[float, Field(ge=0, le=365, allow_inf_nan=False)]
Kind = Literal["sale", "return", "receipt", "out_of_stock"]


class Movement(BaseModel):
    """Units of a product that went out, came back or came in. A daily total is stamped with its day.

    `line` tells apart what moved at the same time (an order line); without it, the same time again corrects. Of a day
    with `out_of_stock` the demand is unknown, whatever was sold.
    """

    product: Product
    time: AwareDatetime
    quantity: Units
    kind: Kind = "sale"
    line: Annotated[str, Field(max_length=200)] = ""


MOVEMENTS = Table(
    name="movements",
    row=Movement,
    key=("product", "time", "kind", "line"),
    time="time",
    entity=("product",),
    rules={"a quantity is not below zero": pl.col("quantity") >= 0},
    hints={"quantity": "what came back is kind=return with a quantity above 0"},
)


# ---------------------------------------------------------------- what is sold, and at which price


class Offered(BaseModel):
    """What a product is and costs from a time on; the newest known counts. A price to come has its `known_at`."""

    product: Product
    time: AwareDatetime
    category: Annotated[str, Field(max_length=200)] = ""
    price: Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)] | None = None
    known_at: AwareDatetime | None = None


class Promotion(BaseModel):
    """A time, `time` to `until`, in which a product is promoted; `discount` is the share off its price.

    `known_at` says since when it has been planned: only from then on do forecasts count on it.
    """

    product: Product
    time: AwareDatetime
    until: AwareDatetime
    kind: Annotated[str, Field(max_length=100)] = ""
    discount: Annotated[float, Field(ge=0, le=1)] = 0.0
    known_at: AwareDatetime | None = None


PRODUCTS = Table(
    name="products", row=Offered, key=("product", "time"), time="time", entity=("product",), known_at="known_at"
)
PROMOTIONS = Table(
    name="promotions",
    row=Promotion,
    key=("product", "time", "kind"),
    time="time",
    entity=("product",),
    known_at="known_at",
    rules={"a promotion ends after it begins": pl.col("until") > pl.col("time")},
)


# ---------------------------------------------------------------- supply: what is there, on its way, how long it takes


class Level(BaseModel):
    """What was on the shelf when it was counted."""

    product: Product
    time: AwareDatetime
    on_hand: Units


class Incoming(BaseModel):
    """An order under way, expected at `time`; the same order again corrects it (a quantity of 0: cancelled, or in)."""

    product: Product
    order: Annotated[str, Field(min_length=1, max_length=200)]
    time: AwareDatetime
    quantity: Units
    known_at: AwareDatetime  # when it was ordered, or told of


class LeadTime(BaseModel):
    """A delivery that came at `time`, so many days after it was ordered."""

    product: Product
    time: AwareDatetime
    days: LeadDays


STOCK_LEVELS = Table(name="stock_levels", row=Level, key=("product", "time"), time="time", entity=("product",))
INCOMING = Table(
    name="incoming", row=Incoming, key=("product", "order"), time="time", entity=("product",), known_at="known_at"
)
LEAD_TIMES = Table(name="lead_times", row=LeadTime, key=("product", "time"), time="time", entity=("product",))
