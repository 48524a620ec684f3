"""Inventory's settings, requests and answers."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from foretell.contract import Standpoint
from foretell.domains.inventory.tables import LeadDays, Product, Units

Class = Literal["smooth", "intermittent", "erratic", "lumpy", "new", "dead"]
Gaps = Literal["zero", "unknown"]
Width = Annotated[float, Field(ge=0.5, le=0.99)]
Service = Annotated[float, Field(ge=0.5, le=0.995)]
Review = Annotated[int, Field(ge=1, le=180)]

ROWS = 100_000  # of a history that comes with a request: 270 years of days
LONGEST = 365  # days ahead


class Receipt(BaseModel):
    """What arrives on a day, before anything is sold on it."""

    model_config = ConfigDict(frozen=True)

    date: date
    quantity: Units


class Uplift(BaseModel):
    """A promotion: on that day so many times the usual is sold."""

    model_config = ConfigDict(frozen=True)

    date: date
    factor: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]


# ---------------------------------------------------------------- settings and requests


class Settings(BaseModel):
    """A tenant's own rules.

    On `minimum_days` distinct days something must have moved before a forecast is given. Orders are placed every
    `cover_days`, take about `lead_time_days` to arrive where no delivery is known, and shall keep the shelf from being
    empty with a chance of `service_level`. Bounds hold `prophet_interval_width` of days, of every method, where a
    request asks for no other share; Prophet's seasons are added to its trend or multiply it, by
    `prophet_seasonality_mode`.
    """

    model_config = ConfigDict(frozen=True)

    minimum_days: Annotated[int, Field(ge=14, le=365)] = 30
    service_level: Service = 0.95
    lead_time_days: LeadDays = 7.0
    cover_days: Review = 7
    prophet_seasonality_mode: Literal["additive", "multiplicative"] = "additive"
    prophet_interval_width: Width = 0.95


def rules(standpoint: Standpoint) -> Settings:
    """The tenant's own rules, or the usual ones where it has none."""
    return standpoint.settings if isinstance(standpoint.settings, Settings) else Settings()


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
    """The demand of each of the next `horizon_days` days, 1 to 365, with bounds that hold `interval_width` of days.

    Without `interval_width`, they hold as much as the tenant's settings say.
    """

    horizon_days: int = 30
    interval_width: Width | None = None


class StockoutRequest(Series):
    """The day on which what is on the shelf now is used up, looked for in the next `horizon_days` days, 1 to 365.

    Without `current_stock_units` the newest stored count is moved on by what came and went since. `receipts` are under
    way beside the stored ones. What may be: `uplifts` of promotions, another mean `lead_time_days`, `service_level` or
    `cover_days` than what is stored and set.
    """

    current_stock_units: Units | None = None
    horizon_days: int = 90
    receipts: Annotated[list[Receipt], Field(max_length=LONGEST)] = []
    uplifts: Annotated[list[Uplift], Field(max_length=LONGEST)] = []
    lead_time_days: LeadDays | None = None
    service_level: Service | None = None
    cover_days: Review | None = None


class ReplayRequest(BaseModel):
    """Whose shelf, and what is assumed of it.

    Orders are placed every `cover_days` and arrive `lead_time_days` later, both as the settings have them if left out.
    A unit left at the end of each day of a week costs `holding_cost`, one of demand not met `shortage_cost`.
    """

    model_config = ConfigDict(extra="forbid")

    product: Product | None = None
    lead_time_days: Annotated[int, Field(ge=0, le=180)] | None = None
    cover_days: Review | None = None
    holding_cost: Annotated[float, Field(gt=0, le=1e6)] = 0.2
    shortage_cost: Annotated[float, Field(gt=0, le=1e6)] = 1.0


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


class Regular(BaseModel):
    """How strong something regular is, 0 to 1, and the chance `p` that no more than luck looks so.

    `p` is null, and the strength 0, where the history is too short to tell. Seasons are looked for together, which `p`
    allows for. `detected` says that it is below 0.01.
    """

    strength: float
    p: float | None
    detected: bool


class Trend(Regular):
    """The trend of the last half year: by what share of the mean demand grows or shrinks within four weeks."""

    change: float


class Change(BaseModel):
    """A day from which on demand has another level, and how many units a day it had and has."""

    date: date
    before: float
    after: float


class Outlier(BaseModel):
    """A day that is out of line with the days around it, their week and their month; and what would have been usual."""

    date: date
    value: float
    usual: float


class Pattern(BaseModel):
    """What is regular in a series, and what is not.

    `weekly` is by the weekday, of the last half year; `monthly` by the day of the month, of at least six complete ones;
    `yearly` of the last two years. `weekdays`, Monday first, are relative to the mean; null without a weekly season.
    """

    trend: Trend
    weekly: Regular
    monthly: Regular
    yearly: Regular
    weekdays: list[float] | None
    changes: list[Change]
    outliers: list[Outlier]

    @property
    def seasonal(self) -> bool:
        """Whether there is a season of any length."""
        return self.weekly.detected or self.monthly.detected or self.yearly.detected


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


class Order(BaseModel):
    """When to order and how much, so that the shelf is not empty with a chance of `service_level`.

    `by` is the last day on which an order still arrives on the day that empties the shelf, or before; the first day
    forecast where that is over already, and null where no order is needed within the days looked at, or the product is
    dead. `in_time` is the chance that one placed on the first day forecast arrives so. `quantity`, ordered on that day,
    lasts for `cover_days` from its arrival on, beside the stock and what is under way; 0 where that is enough, and it
    can wait: what an order on the day of `by` would be then is `later`, null where the futures are too short for that,
    where something is to be ordered now, or nothing at all. `reason` says all of it in words.
    """

    by: date | None
    in_time: float
    quantity: float
    later: float | None = None
    reason: str = ""
    service_level: float
    cover_days: int
    lead_time_days: float  # the mean of what was reckoned with,
    lead_time_high: float  # what it stays within with a chance of `service_level`,
    deliveries: int  # and the product's own deliveries among it
    until: datetime  # when the day of `by` is over, or else the first one: figures are stale then


class Track(BaseModel):
    """Of `n` old forecasts of what goes out in one to four weeks, the share whose 80 % band `held` it.

    Out of sample. A band of what goes out by a day is one of the day by which so much has gone out.
    """

    n: int
    held: float | None


class TrackRecord(BaseModel):
    """The method in service on this product, and on all that it was measured on."""

    product: Track
    catalogue: Track


class StockoutAnswer(Basis):
    """When the shelf is empty: half of the possible futures have used up the stock by `predicted_stockout_date`.

    Out of stock is the first day at whose end nothing is left; what is under way arrives on the day expected, before
    anything is sold on it. `days_until_stockout` is 1 on the first day forecast, 0 with nothing on the shelf now. Both
    are null when the stock outlasts the horizon in most futures. `dates` are by the share of futures that are out of
    stock by then; null beyond the horizon. `out_by` has that share for each day. `expected_lost_sales` is the demand
    within the horizon that is not met if nothing is ordered, on average; it does not come back.

    `stock_counted_at` is when the stock was last counted; null where the request said it. `incoming_units` are under
    way within the horizon. `order` is null where the futures are too short for lead time and cover: ask for more days.
    It `proposes` the order where one is due before the next review, `cover_days` from now: where `quantity` is above 0
    and `by` lies before that. An answer that rests on an own history or asks `what_if` proposes nothing.
    """

    current_stock_units: float
    stock_counted_at: datetime | None
    incoming_units: float
    horizon_days: int
    predicted_stockout_date: date | None
    days_until_stockout: int | None
    dates: dict[Literal["10", "50", "90"], date | None]
    out_by: list[float]
    confidence: Annotated[float, Field(ge=0, le=1, description=CONFIDENCE)]
    daily_usage_forecast: list[float]
    expected_lost_sales: float
    order: Order | None
    track_record: TrackRecord
    what_if: bool = False  # or on an own history
    proposes: bool
