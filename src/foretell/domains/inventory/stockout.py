"""The day on which the shelf is empty, from whole possible futures of what goes out."""

from __future__ import annotations

import math

import numpy as np

from foretell.contract import Ask, Floats, Forecast, History
from foretell.domains.inventory.decide import asked_days, basis, known
from foretell.domains.inventory.features import dated
from foretell.domains.inventory.schema import StockoutAnswer, StockoutRequest
from foretell.errors import BrokenDomain

NEAR, LEAST = 0.2, 3  # of the days until then, and days: how close a date is that counts as right


def near(days: int) -> int:
    """By how many days a date so many days away may be missed and still counts as right."""
    return max(LEAST, math.ceil(NEAR * days))


def ask(request: StockoutRequest, history: History) -> Ask:
    """The days of the horizon, and those that lie near its end. Raises as `asked_days`."""
    return asked_days(request, history, request.horizon_days, more=near(request.horizon_days))


def decide(forecast: Forecast, request: StockoutRequest, history: History) -> StockoutAnswer:
    """The date by which half of the futures have used up the stock, with dates by other shares and the chance by day.

    Raises BrokenDomain for a forecast without draws.
    """
    if forecast.draws is None:
        raise BrokenDomain("inventory.stockout: a date can't be told without whole futures")
    horizon, stock = request.horizon_days, request.current_stock_units
    _, day = known(request, history)
    empty = days_until(forecast.draws, stock)
    shares = {name: by(empty, share, horizon) for name, share in (("10", 0.1), ("50", 0.5), ("90", 0.9))}
    until = shares["50"]
    total = np.maximum.accumulate(np.maximum(forecast.rows["point"].to_numpy()[:horizon], 0.0))
    dates = {name: None if days is None else dated(day - 1 + days) for name, days in shares.items()}
    return StockoutAnswer(
        **basis(forecast, request, history, None),
        current_stock_units=stock, horizon_days=horizon,
        predicted_stockout_date=dates["50"], days_until_stockout=until, dates=dates,
        out_by=[float((empty <= k).mean()) for k in range(1, horizon + 1)],
        confidence=sure(empty, until, horizon),
        daily_usage_forecast=np.diff(total, prepend=0.0).tolist(),
    )  # fmt: skip


def days_until(used: Floats, stock: float) -> Floats:
    """In each future the first day (1 is the first) on which as much as `stock` has gone out; infinite where never.

    `used` is what has gone out by each day, days x futures. 0 without any stock.
    """
    if stock <= 0:
        return np.zeros(used.shape[1])
    out = np.maximum.accumulate(used, axis=0) >= stock
    return np.where(out.any(axis=0), out.argmax(axis=0) + 1.0, np.inf)


def by(empty: Floats, share: float, horizon: int) -> int | None:
    """The first day by which at least `share` of the futures are out of stock; None beyond the horizon."""
    ranked = np.sort(empty)
    days = ranked[max(0, math.ceil(share * len(ranked)) - 1)]
    return int(days) if days <= horizon else None


def sure(empty: Floats, until: int | None, horizon: int) -> float:
    """The share of futures in which the date is near enough; where none was told, in which the stock lasts."""
    if until is None:
        return float((empty > horizon).mean())
    return float((np.abs(empty - until) <= near(until)).mean())


def headline(answer: StockoutAnswer) -> float:
    """What goes out within the horizon, and how surely that is too much."""
    return sum(answer.daily_usage_forecast) + sum(answer.out_by)
