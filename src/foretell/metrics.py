"""How good a forecast was, each figure with its definition.

Every function takes plain arrays of the same length, oldest first, without missing values, and returns a
float in the unit of the outcomes unless its docstring says otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DEFINITIONS = {
    "mae": "mean absolute error of the point forecast",
    "rmse": "root of the mean squared error of the point forecast",
    "r2": "share of the outcomes' variance that is told; below 0: worse than always saying their mean",
    "mape": "mean absolute error in per cent of the outcome, zero outcomes left out",
    "mase": "mean absolute error divided by the baseline's on the same questions",
    "pinball": "mean pinball loss over the quantile levels (Koenker & Bassett 1978)",
    "coverage": "share of outcomes inside the 80 % band, or where there is none inside the widest",
    "interval_score": "width of the widest band plus the penalty for misses (Winkler 1972)",
    "brier": "mean squared error of the probability (Brier 1950)",
    "log_loss": "mean negative log probability of what happened, in nats",
    "calibration_error": "mean gap between probability and frequency over ten equal bins, weighted by count",
    "base_rate_brier": "Brier score of always saying the frequency seen",
    "auc": "chance that what happened was given a higher probability than what did not (Hanley & McNeil 1982)",
    "lift_10": "frequency in the tenth of questions given the highest probabilities, divided by that of all",
    "accuracy": "share of questions whose most probable class happened",
    "majority": "share of the most frequent class: what always naming it would reach",
}


def mae(value: Floats, point: Floats) -> float:
    """Mean absolute error."""
    return float(np.abs(value - point).mean())


def rmse(value: Floats, point: Floats) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.square(value - point).mean()))


def r2(value: Floats, point: Floats) -> float | None:
    """The share of the outcomes' variance that is told: 1 − squared errors / squared distances from their mean.

    None where all outcomes are the same.
    """
    spread = float(np.square(value - value.mean()).sum())
    return 1 - float(np.square(value - point).sum()) / spread if spread else None


def mape(value: Floats, point: Floats) -> float | None:
    """Mean absolute percentage error over non-zero outcomes, in per cent; None where all are zero."""
    some = value != 0
    if not some.any():
        return None
    return float(100 * (np.abs(value - point)[some] / np.abs(value[some])).mean())


def pinball(value: Floats, quantiles: Floats, levels: tuple[float, ...]) -> float:
    """Mean pinball loss: max(τ(y − q), (τ − 1)(y − q)) over questions and levels; `quantiles` is n x levels."""
    miss = value[:, None] - quantiles
    tau = np.asarray(levels)
    return float(np.maximum(tau * miss, (tau - 1) * miss).mean())


def coverage(value: Floats, low: Floats, high: Floats) -> float:
    """Share of outcomes with low ≤ value ≤ high, between 0 and 1."""
    return float(((value >= low) & (value <= high)).mean())


def interval_score(value: Floats, low: Floats, high: Floats, level: float) -> float:
    """Mean Winkler score of a central band meant to hold `level` (0.8) of the outcomes; lower is better."""
    alpha = 1 - level
    miss = np.clip(low - value, 0, None) + np.clip(value - high, 0, None)
    return float((high - low + 2 / alpha * miss).mean())


def brier(happened: Floats, chance: Floats) -> float:
    """Brier score: mean of (chance − happened)², between 0 and 1."""
    return float(np.square(chance - happened).mean())


def calibration_error(happened: Floats, chance: Floats, bins: int = 10) -> float:
    """Expected calibration error over equal bins of the probability (Naeini et al. 2015), 0 to 1."""
    which = np.minimum((chance * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    gap = np.abs(np.bincount(which, chance, bins) - np.bincount(which, happened, bins))
    return float((gap[count > 0]).sum() / len(chance))


def auc(happened: Floats, chance: Floats) -> float | None:
    """The area under the ROC curve, 0 to 1, ties counted half: pairs of one that happened and one that did not.

    None where all happened, or none.
    """
    yes = float(happened.sum())
    no = len(happened) - yes
    if not yes or not no:
        return None
    _, which, count = np.unique(chance, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # of equal chances the mean of their ranks
    return float((rank[which] @ happened - yes * (yes + 1) / 2) / (yes * no))


def lift(happened: Floats, chance: Floats, share: float = 0.1) -> float | None:
    """How much more often it happened in the most likely `share` of the questions (one at least) than in all.

    Equal chances at the edge count as the mean of them. None where it never happened.
    """
    if not happened.any():
        return None
    top = max(1, round(share * len(happened)))
    edge = np.sort(chance)[-top]
    above, level = chance > edge, chance == edge
    hits = happened[above].sum() + (top - above.sum()) * happened[level].mean()
    return float(hits / top / happened.mean())


def log_loss(of_what_happened: Floats) -> float:
    """Mean −log of the probability given to what happened; a zero counts as 1e-15."""
    return float(-np.log(np.clip(of_what_happened, 1e-15, 1)).mean())


def skill(error: float, baseline: float) -> float:
    """1 − error / baseline's error: 0.25 is a quarter less error; 0 when the baseline made none."""
    return 1 - error / baseline if baseline else 0.0
