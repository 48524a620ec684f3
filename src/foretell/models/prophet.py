"""Prophet's expectation of a daily series."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from importlib import import_module

import numpy as np

from foretell.contract import Floats

YEARLY = 730  # days from the first to the last, from which on there is a yearly season to be seen


def _nothing(_: logging.LogRecord) -> bool:
    return False


def expected(past: Floats, steps: int, day: int) -> Floats:
    """What Prophet expects of each of the next `steps` days, of which the first is `day` (since 1970).

    `past` is the daily series before it, without missing values. Additive weekly season, and a yearly one of two years.
    """
    for talkative in ("prophet.plot", "cmdstanpy"):  # about plots that nobody makes, and every fit
        logging.getLogger(talkative).addFilter(_nothing)
    pandas, prophet = import_module("pandas"), import_module("prophet")
    first = date(1970, 1, 1) + timedelta(days=day - len(past))
    days = pandas.date_range(first, periods=len(past) + steps, freq="D")
    model = prophet.Prophet(
        daily_seasonality=False, weekly_seasonality=True, yearly_seasonality=len(past) > YEARLY,
        seasonality_mode="additive", uncertainty_samples=0,
    )  # fmt: skip
    model.fit(pandas.DataFrame({"ds": days[: len(past)], "y": past}), seed=1)
    return np.asarray(model.predict(pandas.DataFrame({"ds": days[len(past) :]}))["yhat"], dtype=np.float64)
