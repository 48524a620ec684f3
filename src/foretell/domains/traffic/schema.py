"""Traffic's tables, settings, requests and answers."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from foretell.contract import Table
from foretell.features.prayer import HighLatitudeName, MadhabName, MethodName

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
)


class Event(BaseModel):
    """An event of the tenant's own (a campaign, a launch), known beforehand."""

    model_config = ConfigDict(frozen=True)

    name: str
    start: AwareDatetime
    end: AwareDatetime


class Announcement(BaseModel):
    """The announced first day of a Hijri month, where it is not on record."""

    model_config = ConfigDict(frozen=True)

    hijri_year: int
    month: Literal[9, 10, 12]
    start: date


class Settings(BaseModel):
    """A tenant's circumstances. Country and place default to those of the time zone's city."""

    model_config = ConfigDict(frozen=True)

    country: Annotated[str, Field(pattern="^[A-Z]{2}$")] | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    prayer_method: MethodName | None = None
    high_latitude: HighLatitudeName = "middle_of_the_night"
    madhab: MadhabName = "shafi"
    announced: tuple[Announcement, ...] = ()
    events: tuple[Event, ...] = ()
    safety_factor: Annotated[float, Field(ge=1)] = 3.0


class WorkloadConfig(BaseModel):
    """What runs now, and what a replica can do and costs."""

    service_name: Name = "default"
    current_replicas: Annotated[int, Field(ge=1, le=50)]
    capacity_per_pod: Annotated[float, Field(gt=0, le=1e15)]  # in the metric's unit
    cost_per_replica_hour: Annotated[float, Field(gt=0, le=1e6)] = 0.05


class LoadRequest(BaseModel):
    """The next hours of one service's metric; with a workload, also the replicas for them.

    Of a service without metrics of its own, those of the one named `otherwise` are taken.
    """

    service: Name = "default"
    otherwise: Name | None = None
    metric_type: MetricType = "requests_per_minute"
    hours: Annotated[int, Field(ge=1, le=24)] = 4
    workload: WorkloadConfig | None = None


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
    confidence: float
    factors: dict[str, float]
    trigger: Trigger | None
    method: str
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
