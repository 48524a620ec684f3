"""How sure: six named factors of a forecast, and what they come to."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from foretell.contract import Floats, Frame


class ConfidenceScorer:
    """How far a forecast can be trusted, 0 to 1, from six named factors (each 0 to 1).

    history       days of history, of the 42 that the features look at
    freshness     1 when the newest complete hour was measured, 0 when the last day was not
    completeness  share of the last 168 hours that were measured
    stability     1 − mean change from hour to hour of the last day relative to the same hours of the day before
    regularity    1 − mean difference of the last week to the week before, relative to its level
    band          1 − half the band's width relative to the forecast, at the highest hour
    """

    WEIGHTS: ClassVar = {
        "history": 0.15, "freshness": 0.15, "completeness": 0.15, "stability": 0.15, "regularity": 0.2, "band": 0.2,
    }  # fmt: skip

    def factors(self, past: Floats, rows: Frame) -> dict[str, float]:
        """The six factors, from six weeks' complete hours, newest first (NaN: not measured), and a forecast."""
        week, before, measured = past[:168], past[168:336], ~np.isnan(past)
        late = int(measured[:24].argmax()) if measured[:24].any() else 24
        oldest = int(np.flatnonzero(measured)[-1]) + 1 if measured.any() else 0
        top = int(rows["point"].arg_max() or 0)
        point, low, high = (float(rows[c][top]) for c in ("point", "q10", "q90"))
        return {
            "history": _unit(oldest / len(past)),
            "freshness": _unit(1 - late / 24),
            "completeness": _unit(float(measured[:168].mean())),
            "stability": _unit(1 - _differ(week[:24], week[24:48])),
            "regularity": _unit(1 - _differ(week, before)),
            "band": _unit(1 - (high - low) / 2 / point) if point > 0 else 0.0,
        }

    def score(self, factors: dict[str, float]) -> float:
        """The weighted mean of the factors."""
        return round(sum(self.WEIGHTS[name] * factor for name, factor in factors.items()), 4)


def _unit(number: float) -> float:
    return round(min(1.0, max(0.0, number)), 4)


def _differ(new: Floats, old: Floats) -> float:
    """Mean absolute difference relative to the old level; 1 where nothing can be compared."""
    both = ~np.isnan(new) & ~np.isnan(old)
    level = old[both].mean() if both.any() else 0.0
    return float(np.abs(new[both] - old[both]).mean() / level) if level > 0 else 1.0
