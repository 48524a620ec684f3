"""How sure: six named factors of a forecast, and the chance that is learned from them."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np

from foretell.contract import Block, Floats, Frame, History, Trust
from foretell.domains.traffic.features import HOUR, hours
from foretell.features.grid import hours_of, micros, newest
from foretell.features.peaks import kept, tops

MEANING = "the highest of the next four hours stays within ±15 % of the highest that was expected"
NEAR, SHARE, SPAN = 4, 0.15, 42 * 24
CHUNK = 1000  # answers whose six weeks are looked at together


class ConfidenceScorer:
    """How far a forecast can be trusted, 0 to 1, from six named factors (each 0 to 1).

    history       days of history, of the 42 that the features look at
    freshness     1 when the newest complete hour was measured, 0 when the last day was not
    completeness  share of the last 168 hours that were measured
    stability     how near the last six hours came to the same hours a week before
    regularity    how near the last week came to the week before
    band          how narrow the band is beside the forecast, at the highest of the first four hours

    The last three are 1 for no difference (no width), a half where it is 15 % of the level on average (half the width
    is 15 % of the forecast), and fall towards 0; they are 0 where nothing can be compared.
    """

    WEIGHTS: ClassVar = {
        "history": 0.15, "freshness": 0.15, "completeness": 0.15, "stability": 0.15, "regularity": 0.2, "band": 0.2,
    }  # fmt: skip

    def factors(self, past: Floats, rows: Frame) -> dict[str, float]:
        """The six factors, from six weeks' complete hours, newest first (NaN: not measured), and a forecast."""
        top = [rows.head(NEAR)["point"].arg_max() or 0]
        return dict(zip(self.WEIGHTS, _six(past[None, :], _width(rows)[top])[0].tolist(), strict=True))

    def score(self, factors: dict[str, float]) -> float:
        """The weighted mean of the factors: what is said where no chance has been learned."""
        return round(sum(self.WEIGHTS[name] * factor for name, factor in factors.items()), 4)


def factors(history: History, said: Frame) -> Frame:
    """The six factors of questions with what was said of them, one row a question, from what was known at `as_of`."""
    grid, (which, peak) = history.once(hours), tops(said, NEAR * HOUR)
    begun, width = hours_of(micros(said["as_of"]), history.standpoint.zone), _width(said)
    entity = said["entity"] if len(peak) > 1 else said["entity"].head(1)  # much faster than to gather one
    made = []
    for start in range(0, len(peak), CHUNK):
        part = peak[start : start + CHUNK]
        (past,) = newest(grid, [grid.value], entity[part] if len(peak) > 1 else entity, begun[part], SPAN)
        made.append(_six(past, width[part]))
    return Block(tuple(ConfidenceScorer.WEIGHTS), np.concatenate(made)[which]).frame()


TRUST = Trust(
    meaning=MEANING,
    names=tuple(ConfidenceScorer.WEIGHTS),
    factors=factors,
    held=partial(kept, hours=NEAR, share=SHARE),
)


def _width(rows: Frame) -> Floats:
    """Half the band's width relative to the forecast; infinite where that is not positive."""
    point, low, high = (rows[name].to_numpy() for name in ("point", "q10", "q90"))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(point > 0, (high - low) / 2 / point, np.inf)


def _six(past: Floats, width: Floats) -> Floats:
    """The factors of each row of past hours and of the band's width at the peak, in the order of their weights."""
    measured = ~np.isnan(past)
    late = np.where(measured[:, :24].any(axis=1), measured[:, :24].argmax(axis=1), 24)
    oldest = np.where(measured.any(axis=1), past.shape[1] - measured[:, ::-1].argmax(axis=1), 0)
    off = np.column_stack([_differ(past[:, :6], past[:, 168:174]), _differ(past[:, :168], past[:, 168:336]), width])
    told = [oldest / past.shape[1], 1 - late / 24, measured[:, :168].mean(axis=1)]
    return np.round(np.column_stack([*told, SHARE / (SHARE + off)]), 4)


def _differ(new: Floats, old: Floats) -> Floats:
    """Mean absolute difference relative to the old level; infinite where nothing can be compared."""
    both = ~np.isnan(new) & ~np.isnan(old)
    level = np.where(both, old, 0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(level > 0, np.where(both, np.abs(new - old), 0).sum(axis=1) / level, np.inf)
