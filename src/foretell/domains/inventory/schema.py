"""Inventory's table, settings, requests and answers."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from foretell.contract import Table

Product = Annotated[str, Field(min_length=1, max_length=200)]
Units = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Kind = Literal["sale", "return", "receipt", "out_of_stock"]
Class = Literal["smooth", "intermittent", "erratic", "lumpy", "new", "dead"]
Gaps = Literal["zero", "unknown"]

ROWS = 100_000  # of a history that comes with a request: 270 years of days
LONGEST = 365  # days ahead


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
)


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


class Settings(BaseModel):
    """A tenant's own rules: on how many distinct days something must have moved before a forecast is given."""

    model_config = ConfigDict(frozen=True)

    minimum_days: Annotated[int, Field(ge=14, le=365)] = 30


class Day(BaseModel):
    """What was sold on a day."""

    model_config = ConfigDict(frozen=True)

    date: date
    quantity: Units


class Series(BaseModel):
    """Whose demand is asked about, and on what history.

    With `history` the answer rests on it alone and nothing is stored: its dates may come in any order, those that come
    twice are added up, and those that are missing are days without demand (`gaps` zero) or unknown. Without it, the
    stored movements count. `method` is "auto", which races all methods on this history, or the name of one.
    """

    model_config = ConfigDict(extra="forbid")

    product: Product
    history: Annotated[list[Day], Field(max_length=ROWS)] | None = None
    method: Annotated[str, Field(min_length=1, max_length=100)] = "auto"
    gaps: Gaps = "zero"


class DemandRequest(Series):
    """The demand of each of the next `horizon_days` days, 1 to 365, with bounds that hold `interval_width` of days."""

    horizon_days: int = 30
    interval_width: Annotated[float, Field(ge=0.5, le=0.99)] = 0.95


class StockoutRequest(Series):
    """The day on which what is on the shelf now is used up, looked for in the next `horizon_days` days, 1 to 365."""

    current_stock_units: Units
    horizon_days: int = 90


class Expected(BaseModel):
    """A day's demand: `expected` is the mean, never outside `low` to `high`.

    `high` is at most four times the most that was ever seen or is expected.
    """

    date: date
    expected: float
    low: float
    high: float


class Metrics(BaseModel):
    """Errors of a day's demand out of sample, of this product alone or of all that were learned from (`measured_on`).

    `mape` is in per cent of days with demand, null where there was none; both are null where nothing could be measured.
    """

    mape: float | None
    rmse: float | None
    training_samples: int  # days, those without demand counted
    seasonality_detected: bool
    measured_on: Literal["this product", "all products", "nothing"]


class Pattern(BaseModel):
    """Trend and week of a series.

    `trend` is the change over four weeks relative to the mean, and null where it could be chance (p ≥ 0.01);
    `weekly_strength` the share of variance that the weekday explains, adjusted for chance, 0 to 1, and `weekly_p` how
    likely as much is by chance. `weekdays`, Monday first, are relative to the mean; null without a weekly season.
    """

    trend: float | None
    trend_p: float | None
    weekly_strength: float
    weekly_p: float | None
    weekdays: list[float] | None


class Kinds(BaseModel):
    """What kind of series it is: the mean interval between days with demand, and CV² of their sizes."""

    name: Class
    interval: float | None
    size_cv2: float | None


class Basis(BaseModel):
    """What an answer on a series rests on.

    `manual_only` says that people should decide about this product, and `reasons` why.
    """

    product: str
    generated_at: datetime
    first_day: date  # of the history
    last_day: date  # the day before the first one forecast
    gaps: Gaps
    gap_days: int  # days without a transaction between the first and the last
    method: str
    why: str
    race: dict[str, dict[str, float | None]]  # by method, by metric; out of sample
    skipped: dict[str, str]  # methods that did not run, and why
    pattern: Pattern
    series: Kinds
    manual_only: bool
    reasons: list[str]


class DemandAnswer(Basis):
    """The next days, and how wrong such forecasts were."""

    horizon_days: int
    interval_width: float
    predictions: list[Expected]
    metrics: Metrics


CONFIDENCE = (
    "The chance that the shelf is empty within 20 % of `days_until_stockout` (at least 3 days) of the predicted date; "
    "where none is predicted, that it is not empty within the horizon."
)


class StockoutAnswer(Basis):
    """When the shelf is empty: half of the possible futures have used up the stock by `predicted_stockout_date`.

    `days_until_stockout` is 1 on the first day forecast, 0 with nothing on the shelf. Both are null when the stock
    outlasts the horizon in most futures. `dates` are by the share of futures that are out of stock by then; null beyond
    the horizon. `out_by` has that share for each day.
    """

    current_stock_units: float
    horizon_days: int
    predicted_stockout_date: date | None
    days_until_stockout: int | None
    dates: dict[Literal["10", "50", "90"], date | None]
    out_by: list[float]
    confidence: Annotated[float, Field(ge=0, le=1, description=CONFIDENCE)]
    daily_usage_forecast: list[float]
