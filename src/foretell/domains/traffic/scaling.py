"""Replicas for a forecast under a tenant's rules: how many, what they cost, why, and for people to approve."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from foretell.contract import Proposal, Proposing, Standpoint
from foretell.domains.traffic.schema import (
    LoadAnswer,
    MetricType,
    ScaleIn,
    ScalingRecommendation,
    Service,
    Settings,
    Trigger,
    WorkloadConfig,
)
from foretell.errors import InvalidRequest, Refused

COST = 0.05  # of a replica in an hour, where nothing else is said: the documents' own
WORDS: dict[Trigger, str] = {
    "iftar_approaching": "Iftar within 2 hours",
    "taraweeh": "Taraweeh",
    "suhoor_window": "Suhoor, Fajr within 2 hours",
}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What bounds a recommendation. With `settled` nothing else is recommended before: a change was just approved."""

    least: int = 1
    most: int = 50
    cost_cap: float | None = None  # of all replicas in an hour
    scale_in: ScaleIn = "forecast"
    hysteresis: float = 0.0
    settled: datetime | None = None
    approved: datetime | None = None  # when the change was approved

    @classmethod
    def of(cls, standing: Standpoint, settings: Settings, service: str, scale_in: ScaleIn) -> Self:
        """A service's rules; `scale_in` where the tenant has none for it."""
        own, last = settings.services.get(service) or Service(), standing.approved.get(service)
        settled = last.at + timedelta(minutes=settings.cooldown_minutes) if last else None
        cooling = settled is not None and settled > standing.now
        return cls(
            least=own.min_replicas, most=own.max_replicas, cost_cap=settings.hourly_cost_cap,
            scale_in=settings.scale_in or scale_in,
            hysteresis=settings.hysteresis if settings.scale_in else 0.0,  # the documents' formula knows none
            settled=settled if cooling else None, approved=last.at if last and cooling else None,
        )  # fmt: skip

    def bound(self, cost: float) -> int:
        """The most replicas at this cost each. Raises InvalidRequest where the cap does not pay for the least."""
        # Bounded first: next to nothing for a replica is no reason to count further than the most.
        paid = self.most if self.cost_cap is None else math.floor(round(min(self.cost_cap / cost, 1e9), 9))
        if paid < self.least:
            raise InvalidRequest(
                f"the cost cap of {self.cost_cap:g} an hour does not pay for {self.least} replicas at {cost:g};"
                " an admin can raise it: foretell settings set traffic hourly_cost_cap=…"
            )
        return min(self.most, paid)


class ScalingCalculator:
    """Replicas for a forecast: ceil(ceil(peak / capacity) x safety factor), within the rules.

    Never fewer than the least, more than the most, or dearer than the cost cap; never fewer for a higher forecast.
    """

    def __init__(self, safety_factor: float = 3.0, rules: Rules | None = None) -> None:
        """The documents' examples imply a factor of 3."""
        self.safety_factor, self.rules = safety_factor, rules or Rules()

    def needed(self, peak: float, capacity: float) -> int:
        """The formula alone."""
        # Rounded first: 41.1 / 13.7 is 3, not a hair more.
        pods = math.ceil(min(round(peak / capacity, 9), 1e9))
        return math.ceil(round(pods * self.safety_factor, 9))

    def calculate_scaling(
        self,
        predictions: Sequence[float],
        config: WorkloadConfig,
        *,
        current_traffic: float | None = None,
        trigger: Trigger | None = None,
        unit: str = "requests/min",
        doubt: str | None = None,
    ) -> ScalingRecommendation:
        """The replicas for the highest of `predictions` (in the capacity's unit), their cost an hour more, and why.

        `doubt` says why the predictions are higher than what is expected. Raises InvalidRequest without a capacity, and
        for a cost cap that does not pay for the least replicas.
        """
        if config.capacity_per_pod is None:
            raise InvalidRequest(
                "no capacity_per_pod is known of the service: send it, or let an admin tell it once: foretell settings"
                ' set traffic \'services={"donation-api": {"capacity_per_pod": 50}}\''
            )
        cost = COST if config.cost_per_replica_hour is None else config.cost_per_replica_hour
        current, peak = config.current_replicas, max(predictions)
        replicas, notes = self._within(self.needed(peak, config.capacity_per_pod), current, cost)
        if current_traffic is None:
            words = f"Predicted peak of {peak:.0f} {unit}"
        elif peak > current_traffic and replicas < current:
            words = f"Predicted peak of {peak:.0f} {unit}, {current_traffic:.0f} now, needs fewer replicas"
        elif peak > current_traffic:
            words = f"Predicted surge from {current_traffic:.0f} to {peak:.0f} {unit}"
        else:
            words = f"Predicted peak of {peak:.0f} {unit}, not above the current {current_traffic:.0f}"
        if trigger:
            words += f" ({WORDS[trigger]})"
        return ScalingRecommendation(
            current_replicas=current,
            recommended_replicas=replicas,
            cost_impact_hourly=round((replicas - current) * cost, 4),
            reason="; ".join(filter(None, (words, doubt, *notes))),
            triggered_by=trigger or "forecast",
        )

    def _within(self, needed: int, current: int, cost: float) -> tuple[int, list[str]]:
        """The replicas that the rules allow, and which of them bite."""
        rules, bound = self.rules, self.rules.bound(cost)
        why = f"{bound} is the most" if bound == rules.most else f"the cost cap pays for {bound}"
        wanted = min(max(needed, rules.least), bound)
        held = self._held(wanted, current)
        replicas = min(max(current, rules.least), bound) if held else wanted
        notes = [held] if held else []
        if needed > bound:
            notes.append(f"{needed} replicas would be needed at a safety factor of {self.safety_factor:g}, {why}")
        elif held and current > bound:
            notes.append(why)
        return replicas, notes

    def _held(self, wanted: int, current: int) -> str | None:
        """Why those that run should stay, whatever is wanted."""
        rules = self.rules
        if wanted != current and rules.settled and rules.approved:
            return (
                f"{wanted} replicas would be recommended, but a change was approved at {rules.approved:%H:%M} UTC: not"
                f" before {rules.settled:%H:%M}"
            )
        if wanted < current and rules.scale_in == "never":
            return f"{wanted} would do, but none is taken away on a forecast alone"
        if current * (1 - rules.hysteresis) < wanted < current:
            return f"{wanted} would do, which is not {rules.hysteresis:.0%} fewer"
        return None


def known(settings: Settings, service: str, metric: MetricType) -> Service:
    """What the tenant's settings know of a service; a capacity for another metric is none."""
    own = settings.services.get(service) or Service()
    return own if own.metric_type == metric else own.model_copy(update={"capacity_per_pod": None})


def workload(config: WorkloadConfig, settings: Settings, service: str, metric: MetricType) -> WorkloadConfig:
    """What runs, with what the tenant's settings know of the service."""
    name = config.service_name or service
    own = known(settings, name, metric)
    return WorkloadConfig(
        service_name=name,
        current_replicas=config.current_replicas,
        capacity_per_pod=config.capacity_per_pod or own.capacity_per_pod,
        cost_per_replica_hour=config.cost_per_replica_hour or own.cost_per_replica_hour or COST,
    )


# ---------------------------------------------------------------- for people to approve


def proposed(answer: LoadAnswer) -> Proposal | None:
    """What an answer proposes: a change of replicas until the highest hour is over; nothing without a workload."""
    scaling, config = answer.scaling, answer.workload
    if scaling is None or config is None or config.service_name is None:
        return None
    peak = max(answer.hours, key=lambda hour: hour.expected)
    action = {
        "from_replicas": scaling.current_replicas, "to_replicas": scaling.recommended_replicas,
        "cost_per_replica_hour": config.cost_per_replica_hour, "cost_impact_hourly": scaling.cost_impact_hourly,
        "triggered_by": scaling.triggered_by,
    }  # fmt: skip
    changed = scaling.recommended_replicas != scaling.current_replicas
    return Proposal(
        subject=config.service_name, action=action if changed else None, reason=scaling.reason,
        until=peak.start + timedelta(hours=1),
    )  # fmt: skip


def review(service: str, action: Mapping[str, Any], standing: Standpoint) -> Mapping[str, Any]:
    """The action as it can be approved now, its cost worked out again at the price in the tenant's settings.

    Raises Refused while another change of the service settles, and for what the cost cap no longer pays.
    """
    settings = standing.settings
    assert isinstance(settings, Settings)
    refused = next(_against(service, action, standing, settings), None)
    if refused:
        raise Refused(refused)
    cost = _cost(service, action, settings)
    change = action["to_replicas"] - action["from_replicas"]
    return {**action, "cost_per_replica_hour": cost, "cost_impact_hourly": round(change * cost, 4)}


def _against(service: str, action: Mapping[str, Any], standing: Standpoint, settings: Settings) -> Iterator[str]:
    rules = Rules.of(standing, settings, service, "forecast")
    if rules.settled and rules.approved:
        yield (
            f"a change of {service} was approved at {rules.approved:%H:%M} UTC; the next can be from"
            f" {rules.settled:%H:%M} on (cooldown_minutes of the settings)"
        )
    to, cost = action["to_replicas"], _cost(service, action, settings)
    if rules.cost_cap is not None and round(to * cost, 9) > rules.cost_cap:
        yield f"{to} replicas at {cost:g} cost more than the cost cap of {rules.cost_cap:g} an hour"
    if not rules.least <= to <= rules.most:
        yield f"{to} replicas are not within the {rules.least} to {rules.most} that {service} may have"


def _cost(service: str, action: Mapping[str, Any], settings: Settings) -> float:
    """The price of a replica now: that of the settings, else what was said when the recommendation was made."""
    own = settings.services.get(service)
    return float((own and own.cost_per_replica_hour) or action["cost_per_replica_hour"])


PROPOSING = Proposing(of=proposed, review=review)
