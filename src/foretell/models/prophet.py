"""Prophet on one daily series: what it expects, and whole futures as it thinks of them (Taylor & Letham 2018)."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from foretell.contract import Floats

Mode = Literal["additive", "multiplicative"]


def _nothing(_: logging.LogRecord) -> bool:
    return False


def ahead(
    past: Floats, steps: int, day: int, *, mode: Mode, random: np.random.Generator, worlds: int
) -> tuple[Floats, Floats]:
    """What Prophet expects of each of the next `steps` days, and possible futures (steps x `worlds`) about that.

    `past` is the daily series before the first of them, `day` (since 1970), without missing values. Weekly and yearly
    season are Prophet's 'auto': from two weeks and from two years on; there is no season within a day, and the fit is
    the most likely one (no MCMC). The futures are drawn from Prophet's own predictive distribution, changes of its
    trend and noise, by `random`: Prophet itself would draw from a generator that the whole process shares. Their early
    steps are the same however many are asked for.
    """
    for talkative in ("prophet", "prophet.plot", "cmdstanpy"):  # about seasons, plots that nobody makes, and every fit
        logging.getLogger(talkative).addFilter(_nothing)
    pandas, prophet = import_module("pandas"), import_module("prophet")
    first = date(1970, 1, 1) + timedelta(days=day - len(past))
    days = pandas.date_range(first, periods=len(past) + steps, freq="D")
    model = prophet.Prophet(
        daily_seasonality=False, weekly_seasonality="auto", yearly_seasonality="auto", seasonality_mode=mode,
        mcmc_samples=0, uncertainty_samples=0,
    )  # fmt: skip
    with TemporaryDirectory() as folder:  # else what Stan writes stays until the process ends
        model.fit(pandas.DataFrame({"ds": days[: len(past)], "y": past}), seed=1, output_dir=folder)
    asked = pandas.DataFrame({"ds": days[len(past) :]})
    said = model.predict(asked)
    mean, trend, plus, times = (
        said[name].to_numpy(dtype=np.float64) for name in ("yhat", "trend", "additive_terms", "multiplicative_terms")
    )
    noise = float(model.params["sigma_obs"].item()) * model.y_scale * random.spawn(1)[0].normal(size=(steps, worlds))
    trend = trend[:, None] + _bends(model, random, (steps, worlds))
    return mean, trend * (1 + times[:, None]) + plus[:, None] + noise


def _bends(model: Any, random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """How far the trend bends away: at each step it may change its slope, as often and as much as it did before.

    As `Prophet._sample_uncertainty` has it for linear growth.
    """
    whether, which = random.spawn(2)
    step = float(model.history["t"].diff().mean())  # a day, on the scale of the fit
    often, much = len(model.changepoints_t) * step, float(np.abs(model.params["delta"]).mean()) + 1e-8
    shift = which.laplace(0.0, much, shape) * (whether.random(shape) < often)
    shift = (shift + np.pad(shift, ((1, 0), (0, 0)))[:-1]) / 2
    bends: Floats = shift.cumsum(axis=0).cumsum(axis=0) * step * model.y_scale
    return bends
