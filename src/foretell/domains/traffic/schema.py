"""Traffic's tables, settings, requests and answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from foretell.contract import Table
from foretell.features.place import Customs

MetricType = Literal[
    "requests_per_minute",
    "error_rate",
    "latency_p50",
    "latency_p95",
    "latency_p99",
    "cpu_usage",
    "memory_usage",
]


Name = Annotated[str, Field(min_length=1, max_length=200)]
Trigger = Literal["iftar_approaching", "taraweeh", "suhoor_window"]


class Metric(BaseModel):
    """One measurement. A value that stands for an interval (an hourly total) is stamped at its start."""

    time: AwareDatetime
    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    service: str = "default"
    metric_type: MetricType = "requests_per_minute"
    known_at: AwareDatetime | None = None  # the end of the interval; left out for a sample of a moment
    metadata: dict[str, Any] | None = None


METRICS = Table(
    name="metrics",
    row=Metric,
    key=("service", "metric_type", "time"),
    time="time",
    entity=("service", "metric_type"),
    known_at="known_at",
    late=timedelta(hours=1),
    daily=("value",),
)


FIRST, LAST = datetime(1971, 1, 1, tzinfo=UTC), datetime(2077, 1, 1, tzinfo=UTC)  # that the calendars reach


class Event(BaseModel):
    """An event of the tenant's own (a campaign, a launch), known beforehand."""

    model_config = ConfigDict(frozen=True)

    name: Name
    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _a_time(self) -> Self:
        if not (FIRST <= self.start < self.end <= LAST):
            raise ValueError(f"an event begins before it ends, from {FIRST:%Y} to {LAST:%Y}")
        return self


class Service(BaseModel):
    """What a replica of a service can do (of one metric) and costs, and how many there may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    capacity_per_pod: Annotated[float, Field(gt=0, le=1e15)] | None = None  # in the unit of
    metric_type: MetricType = "requests_per_minute"
    cost_per_replica_hour: Annotated[float, Field(gt=0, le=1e6)] | None = None
    min_replicas: Annotated[int, Field(ge=1, le=50)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=50)] = 50

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}")
        return self


ScaleIn = Literal["never", "forecast"]
"""Whether fewer replicas may be recommended because a forecast is low."""


class Settings(Customs):
    """A tenant's circumstances: where it is and what it keeps, its own events, and how it scales.

    `hourly_cost_cap` bounds what the replicas of a service may cost in an hour. After an approved change of a service
    nothing else is recommended for `cooldown_minutes`. Without a rule for `scale_in`, our own paths never recommend
    fewer replicas on a forecast alone, and the documented one follows its formula; `hysteresis` is how many fewer, as a
    share of those that run, it takes.
    """

    events: Annotated[tuple[Event, ...], Field(max_length=1000)] = ()
    safety_factor: Annotated[float, Field(ge=1, le=100)] = 3.0
    services: dict[Name, Service] = Field(default_factory=dict, max_length=1000)
    hourly_cost_cap: Annotated[float, Field(gt=0, le=1e9)] | None = None
    cooldown_minutes: Annotated[int, Field(ge=0, le=1440)] = 5
    scale_in: ScaleIn | None = None
    hysteresis: Annotated[float, Field(ge=0, lt=1)] = 0.1


class WorkloadConfig(BaseModel):
    """What runs now, and what a replica can do and costs: what is left out is that of the tenant's settings."""

    service_name: Name | None = None  # the service that is asked about
    current_replicas: Annotated[int, Field(ge=1, le=50)]
    capacity_per_pod: Annotated[float, Field(gt=0, le=1e15)] | None = None  # in the metric's unit
    cost_per_replica_hour: Annotated[float, Field(gt=0, le=1e6)] | None = None


class LoadRequest(BaseModel):
    """The next hours of one service's metric; with a workload, also the replicas for them.

    Of a service without metrics of its own, those of the one named `otherwise` are taken. `scale_in` holds where the
    tenant's settings have no rule for it.
    """

    model_config = ConfigDict(extra="forbid")

    service: Name = "default"
    otherwise: Name | None = None
    metric_type: MetricType = "requests_per_minute"
    hours: Annotated[int, Field(ge=1, le=24)] = 4
    workload: WorkloadConfig | None = None
    scale_in: ScaleIn = "never"


class ReplayRequest(BaseModel):
    """Whose scaling to replay, and the world it is simulated in. What is left out is that of the tenant's settings.

    Without a service it is the only one there is; without any capacity the usual load needs ten replicas. A new
    replica serves `startup_minutes` after the decision.
    """

    model_config = ConfigDict(extra="forbid")

    service: Name | None = None
    metric_type: MetricType = "requests_per_minute"
    capacity_per_pod: Annotated[float, Field(gt=0, le=1e15)] | None = None  # in the metric's unit
    cost_per_replica_hour: Annotated[float, Field(gt=0, le=1e6)] | None = None
    startup_minutes: Annotated[float, Field(ge=0, le=120)] = 5


class Hour(BaseModel):
    """What is expected of one hour: `expected` is the median, low to high should hold 80 of 100 hours."""

    start: datetime
    expected: float
    low: float
    high: float


class ScalingRecommendation(BaseModel):
    """A recommendation; nothing is executed."""

    current_replicas: int
    recommended_replicas: int
    cost_impact_hourly: float
    reason: str
    triggered_by: str
    requires_approval: Literal[True] = True


class LoadAnswer(BaseModel):
    """The forecast, how sure it is and why, and what to do."""

    service: str
    metric_type: MetricType
    as_of: datetime
    current: float  # the newest measurement,
    measured_at: datetime  # and when it was made
    hours: list[Hour]
    peak_to_mean: float | None  # the last week's usual ratio of an hour's highest value to its mean
    confidence: Annotated[
        float,
        Field(
            description="The chance that the highest of the hours asked about (of the first four, where more are) "
            "stays within ±15 % of the highest expected, learned on four hours; uncalibrated, a mean of the factors."
        ),
    ]
    confidence_is: Literal["calibrated", "uncalibrated"] = "uncalibrated"
    factors: dict[str, float]  # what it follows from, by name, each 0 to 1
    trigger: Trigger | None
    method: str
    workload: WorkloadConfig | None = None  # what `scaling` rests on
    scaling: ScalingRecommendation | None = None


# ---------------------------------------------------------------- features, by name

TIME = ["hour", "day_of_week", "is_weekend", "month", "day_of_month", "week_of_year"]
RAMADAN = ["is_ramadan", "ramadan_day", "days_until_ramadan", "is_last_10_nights"]
PRAYER = ["is_prayer_window", "minutes_to_next_prayer"]
CALENDAR = [
    "is_holiday", "is_event", "fasting_day", "days_from_eid", "days_from_adha", "ramadan_weeks", "feast_weeks",
    "ramadan_yesterday", "feast_yesterday", "hours_from_maghrib", "hours_from_fajr", "fasting_hours_from_maghrib",
    "fasting_hours_from_fajr",
]  # fmt: skip
ROLLING = ["rolling_mean_24h", "rolling_std_24h", "rolling_min_24h", "rolling_max_24h"]
LAGS = ["lag_1h", "lag_24h", "lag_168h"]
NINETEEN = [*TIME, *RAMADAN, *ROLLING, *LAGS, *PRAYER]
RECENT = [
    "step", "scale", "average", "level", "next", "last", "last_2", "last_3", "jump_24", "mean_3", "mean_6", "mean_24",
    "mean_168", "spread_24", "yesterday", "before", "ratio_24", "ratio_168", "ratio_week", "week_1", "week_2", "week_3",
    "week_4", "weeks_spread", "carried_24", "carried_168", "carried_days", "carried_week", "carried_least",
    "carried_most",
]  # fmt: skip
BEYOND = [*RECENT, *CALENDAR]
