"""Every metric of a set of forecasts, by the kind of target; the definitions are in `metrics`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from foretell import metrics
from foretell.contract import Chance, Choice, Frame, Quantity, Target, quantile

GATES: Mapping[type[Target], tuple[str, ...]] = {
    Quantity: ("pinball", "mae", "rmse", "mape", "interval_score"),
    Chance: ("brier", "log_loss", "calibration_error"),
    Choice: ("log_loss", "calibration_error"),
}
"""What a gate may measure, by the kind of target: lower is better, and no baseline is needed."""

BLOCKS, FEWEST = 20, 8  # that a standard error is found with at most, and at least


def score(target: Target, rows: Frame, value: pl.Series, *, baseline: Frame | None = None) -> dict[str, float | None]:
    """The metrics of forecasts `rows` for settled outcomes `value`; `baseline` answered the same questions.

    Empty without outcomes. Without a baseline there is no `mase`.
    """
    if not len(value):
        return {}
    if isinstance(target, Quantity):
        return _quantity(target, rows, value, baseline)
    if isinstance(target, Chance):
        return _chance(target, rows, value)
    return _choice(target, rows, value)


def gap(target: Target, metric: str, one: Frame, other: Frame, asked: Frame) -> tuple[float, float] | None:
    """By how much a metric of `one` lies above that of the `other`, and the standard error of it.

    `asked` are the questions with outcomes that both answered. It is the jackknife that leaves out a block at a time
    (Künsch 1989), of `BLOCKS` at most: what is asked of an entity in a fold stays together. None where there are fewer
    than `FEWEST` blocks, or the metric can't be told without each.
    """
    of = asked.select(pl.struct("fold", "entity").rank("dense") - 1).to_series().to_numpy()
    cells = int(of.max()) + 1
    block = of * min(cells, BLOCKS) // cells

    def above(where: pl.Series) -> float | None:
        value = asked["value"].filter(where)
        errors = [score(target, rows.filter(where), value).get(metric) for rows in (one, other)]
        return None if errors[0] is None or errors[1] is None else errors[0] - errors[1]

    left = [above(pl.Series(block != k)) for k in np.unique(block)]
    known, whole = [each for each in left if each is not None], above(pl.Series(block >= 0))
    if whole is None or len(known) < max(FEWEST, len(left)):
        return None
    return whole, float(np.std(known)) * (len(known) - 1) ** 0.5


def _quantity(target: Quantity, rows: Frame, value: pl.Series, baseline: Frame | None) -> dict[str, float | None]:
    y, point = value.cast(pl.Float64).to_numpy(), rows["point"].to_numpy()
    levels = tuple(sorted(target.levels))
    said = rows.select(map(quantile, levels)).to_numpy()
    base = None if baseline is None else metrics.mae(y, baseline["point"].to_numpy())
    relative = {} if base is None else {"mase": metrics.mae(y, point) / base if base else None}
    return {
        "mae": metrics.mae(y, point),
        "rmse": metrics.rmse(y, point),
        "r2": metrics.r2(y, point),
        "mape": metrics.mape(y, point),
        **relative,
        "pinball": metrics.pinball(y, said, levels),
        "coverage": metrics.coverage(y, *(rows[quantile(level)].to_numpy() for level in target.band)),
        "interval_score": metrics.interval_score(y, said[:, 0], said[:, -1], levels[-1] - levels[0]),
    }


def _chance(_: Chance, rows: Frame, value: pl.Series) -> dict[str, float | None]:
    y, chance = value.cast(pl.Float64).to_numpy(), rows["chance"].to_numpy()
    return {
        "brier": metrics.brier(y, chance),
        "base_rate_brier": metrics.brier(y, np.full(len(y), y.mean())),
        "log_loss": metrics.log_loss(np.where(y == 1, chance, 1 - chance)),
        "calibration_error": metrics.calibration_error(y, chance),
        "auc": metrics.auc(y, chance),
        "lift_10": metrics.lift(y, chance),
    }


def _choice(_: Choice, rows: Frame, value: pl.Series) -> dict[str, float | None]:
    names = [column.removeprefix("p:") for column in rows.columns]
    said, place = rows.to_numpy(), {name: k for k, name in enumerate(names)}
    which = np.array([place.get(name, -1) for name in value])
    given = np.where(which >= 0, said[np.arange(len(which)), which], 0.0)
    best = said.argmax(axis=1)
    frequency = value.value_counts()["count"].max()
    return {
        "log_loss": metrics.log_loss(given),
        "accuracy": float((best == which).mean()),
        "majority": float(np.asarray(frequency, dtype=float) / len(value)),
        "calibration_error": metrics.calibration_error((best == which).astype(float), said.max(axis=1)),
    }
