"""Scaling replayed: on the forecast, on last week, on a fixed count, and as a reactive autoscaler would."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import polars as pl

from foretell.contract import OURS, History, Past, Played, Policy, Replay
from foretell.domains.traffic.features import tenant_settings
from foretell.domains.traffic.scaling import COST, Rules, ScalingCalculator, known
from foretell.domains.traffic.schema import METRICS, ReplayRequest, Settings
from foretell.errors import NotFound, NotReady
from foretell.features.grid import micros
from foretell.models.replicas import MINUTE, Decided, Load, Rule, figures, held, running, without_forecast

FACTORS = (1.0, 1.1, 1.25, 1.4, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0)
USUAL = "reactive, target 0.7"  # ours may cost as much
TYPICAL = 10  # replicas that the median load before the period is taken to need, where no capacity is known
REVIEW = 9  # o'clock: where people take replicas away once a day, it is then
UNITS = {
    "cost": "money", "replica_hours": "replica-hours", "minutes_under": "minutes under capacity",
    "requests_under": "load beyond capacity, metric x minutes", "changes": "changes of replicas",
}  # fmt: skip
NOTES = (
    "forecasts are made every hour, for the next two, by a model fitted before each half, not calibrated",
    "a reactive rule sees a measurement when it is complete, and acts from the next on: hourly ones make it two hours"
    " late, and flatter a forecast",
    "every proposal counts as approved at once; in daily: people take replicas away at 9 o'clock alone, in never: not"
    " at all; no cooldown, and no doubtful days",
    "time without measurements is left out",
)


def subject(request: ReplayRequest, history: History) -> str:
    """The entity of the service, or of the only one there is. Raises NotFound where there is none or a choice."""
    there = history[METRICS.name]["entity"].unique().sort()
    mine = there.filter(there.str.ends_with(f"/{request.metric_type}")).to_list()
    named = mine[0] if len(mine) == 1 else None
    wanted = named if request.service is None else METRICS.named(request.service, request.metric_type)
    if wanted not in mine:
        raise NotFound(f"name a service; with {request.metric_type} there are {', '.join(mine[:10]) or 'none'}")
    return str(wanted)


def play(request: ReplayRequest, past: Past) -> Played:
    """Every policy over simulated replicas. Raises NotReady where the period has no measurements."""
    settings, service = tenant_settings(past.history), past.subject.rpartition("/")[0]
    service = service.replace("%2F", "/").replace("%25", "%")
    own = known(settings, service, request.metric_type)
    price = request.cost_per_replica_hour or own.cost_per_replica_hour or COST
    load = _load(past, request.capacity_per_pod or own.capacity_per_pod)
    bounds = own.min_replicas, Rules.of(past.history.standpoint, settings, service, "forecast").bound(price)
    early = load.time < micros(pl.Series([past.middle]))[0]
    where = (("earlier", early), ("later", ~early), ("whole", early | ~early))
    policies = []
    for family, name, told, decided in (*_forecasting(load, past, bounds, settings), *without_forecast(load, *bounds)):
        replicas = running(load, decided, request.startup_minutes)
        found = {part: figures(load, replicas, price, which) for part, which in where}
        policies.append(Policy(name=f"{family}, {name}", family=family, settings=told, figures=found))
    assumed = {
        "capacity_per_pod": load.capacity, "cost_per_replica_hour": price, "startup_minutes": request.startup_minutes,
        "min_replicas": bounds[0], "max_replicas": bounds[1], "minutes_a_measurement": load.minutes,
    }  # fmt: skip
    return Played(policies=tuple(policies), against=USUAL, assumed=assumed, notes=NOTES)


def _load(past: Past, capacity: float | None) -> Load:
    """The period's measurements. Without a capacity, the median before the period is taken to need `TYPICAL`."""
    mine = past.history[METRICS.name].filter(pl.col("entity") == past.subject).sort("time")
    during = mine.filter(pl.col("time").is_between(past.start, past.end, closed="left"))
    if during.height < 2:
        raise NotReady(f"{past.subject} has no measurements from {past.start:%Y-%m-%d} to {past.end:%Y-%m-%d}")
    before = mine.filter(pl.col("known_at") <= past.start)["value"].to_numpy()
    capacity = capacity or float(np.median(before) or before.mean()) / TYPICAL
    if not capacity:
        raise NotReady(f"{past.subject} had no load before {past.start:%Y-%m-%d}: name capacity_per_pod")
    time, known = micros(during["time"]), micros(during["known_at"])
    step = float(np.median(np.diff(time))) / MINUTE
    return Load(time=time, known=known, value=during["value"].to_numpy(), minutes=step, capacity=capacity)


def _forecasting(load: Load, past: Past, bounds: tuple[int, int], settings: Settings) -> Iterator[Rule]:
    """Ours and last week's: the recommendation's formula at several factors, for the highest hour of the horizon."""
    zone = past.history.standpoint.zone
    for family, said in ((OURS, past.ours), ("weekly_naive", past.baseline)):
        peaks = said.drop_nulls("point").group_by("as_of", maintain_order=True).agg(pl.col("point").max())
        hour = peaks["as_of"].dt.convert_time_zone(zone).dt.hour()
        may = {"hourly": [True] * len(hour), "daily": (hour == REVIEW).to_list(), "never": [False] * len(hour)}
        for factor in sorted({*FACTORS, settings.safety_factor}):
            formula = ScalingCalculator(factor)
            needed = [formula.needed(peak, load.capacity) for peak in peaks["point"]]
            needed = np.clip(needed, *bounds).tolist()
            for rule, fewer in may.items():
                decided = Decided(at=micros(peaks["as_of"]), replicas=held(needed, fewer, settings.hysteresis))
                yield family, f"factor {factor:g}, in {rule}", {"factor": factor, "scale_in": rule}, decided


REPLAY = Replay(
    request=ReplayRequest, horizon=timedelta(hours=2), units=UNITS, cost="cost", risk="minutes_under",
    subject=subject, play=play,
)  # fmt: skip
