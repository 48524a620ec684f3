"""Replicas for a forecast, their cost, and the reason in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from foretell.domains.traffic.schema import ScalingRecommendation, Trigger, WorkloadConfig

WORDS: dict[Trigger, str] = {
    "iftar_approaching": "Iftar within 2 hours",
    "taraweeh": "Taraweeh",
    "suhoor_window": "Suhoor, Fajr within 2 hours",
}


class ScalingCalculator:
    """Replicas for a forecast: ceil(ceil(peak / capacity) x safety factor), at least 1 and at most 50."""

    MIN_REPLICAS, MAX_REPLICAS = 1, 50

    def __init__(self, safety_factor: float = 3.0) -> None:
        """The documents' examples imply a factor of 3."""
        self.safety_factor = safety_factor

    def calculate_scaling(
        self,
        predictions: Sequence[float],
        config: WorkloadConfig,
        *,
        current_traffic: float | None = None,
        trigger: Trigger | None = None,
        unit: str = "requests/min",
    ) -> ScalingRecommendation:
        """The replicas for the highest of `predictions` (in the capacity's unit), their cost an hour more, and why."""
        peak = max(predictions)
        # Rounded first: 41.1 / 13.7 is 3, not a hair more.
        pods = math.ceil(min(round(peak / config.capacity_per_pod, 9), 1e9))
        needed = math.ceil(round(pods * self.safety_factor, 9))
        replicas = min(max(needed, self.MIN_REPLICAS), self.MAX_REPLICAS)
        if current_traffic is None:
            words = f"Predicted peak of {peak:.0f} {unit}"
        elif peak > current_traffic:
            words = f"Predicted surge from {current_traffic:.0f} to {peak:.0f} {unit}"
        else:
            words = f"Predicted peak of {peak:.0f} {unit}, not above the current {current_traffic:.0f}"
        if trigger:
            words += f" ({WORDS[trigger]})"
        if needed > replicas:
            words += f"; {needed} replicas would be needed, {self.MAX_REPLICAS} is the most"
        return ScalingRecommendation(
            current_replicas=config.current_replicas,
            recommended_replicas=replicas,
            cost_impact_hourly=round((replicas - config.current_replicas) * config.cost_per_replica_hour, 4),
            reason=words,
            triggered_by=trigger or "forecast",
        )
