"""The day on which the shelf is empty, from whole possible futures of what goes out."""

from __future__ import annotations

import math

import numpy as np

from foretell.contract import Ask, Floats, Forecast, History
from foretell.domains.inventory.decide import asked_days, basis, known
from foretell.domains.inventory.patterns import silent
from foretell.domains.inventory.schema import StockoutAnswer, StockoutRequest, Track, TrackRecord
from foretell.domains.inventory.supply import due, order, supply
from foretell.errors import BrokenDomain, InvalidRequest
from foretell.features.dates import EPOCH, dated
from foretell.models import stock as shelf

NEAR, LEAST = 0.2, 3  # of the days until then, and days: how close a date is that counts as right


def near(days: int) -> int:
    """By how many days a date so many days away may be missed and still counts as right."""
    return max(LEAST, math.ceil(NEAR * days))


def ask(request: StockoutRequest, history: History) -> Ask:
    """The days of the horizon, and those that lie near its end. Raises as `asked_days`."""
    return asked_days(request, history, request.horizon_days, more=near(request.horizon_days))


def decide(forecast: Forecast, request: StockoutRequest, history: History) -> StockoutAnswer:
    """The date by which half of the futures have used up the stock; when to order, how much, what is lost without.

    Raises BrokenDomain for a forecast without draws, as `supply` where no stock is known.
    """
    if forecast.draws is None:
        raise BrokenDomain("inventory.stockout: a date can't be told without whole futures")
    horizon = request.horizon_days
    line, day = known(request, history)
    point = np.maximum.accumulate(np.maximum(forecast.rows["point"].to_numpy(), 0.0))
    factor = uplifts(request, day, len(point))
    used = np.cumsum(np.diff(np.maximum.accumulate(forecast.draws), axis=0, prepend=0.0) * factor[:, None], axis=0)
    there = supply(request, history, day, len(used))
    short = used - (there.units + np.cumsum(there.arriving))[:, None]
    empty = shelf.empty(short) if there.units > 0 else np.zeros(short.shape[1])
    shares = {name: by(empty, share, horizon) for name, share in (("10", 0.1), ("50", 0.5), ("90", 0.9))}
    until = shares["50"]
    dates = {name: None if days is None else dated(day - 1 + days) for name, days in shares.items()}
    whole = line is not None and not np.mod(line.filled, 1).any()
    told = order(
        request, history, short, day, whole=whole, dead=next(silent(line), None) if line is not None else None
    )  # fmt: skip
    hypothetical = request.history is not None or what_if(request)
    return StockoutAnswer(
        **basis(forecast, request, history, None),
        current_stock_units=there.units, stock_counted_at=there.counted,
        incoming_units=float(there.arriving[:horizon].sum()), horizon_days=horizon,
        predicted_stockout_date=dates["50"], days_until_stockout=until, dates=dates,
        out_by=[float((empty <= k).mean()) for k in range(1, horizon + 1)],
        confidence=sure(empty, until, horizon),
        daily_usage_forecast=(np.diff(point, prepend=0.0) * factor)[:horizon].tolist(),
        expected_lost_sales=float(shelf.lost(short[:horizon]).mean()),
        order=told,
        track_record=track_record(forecast, request),
        what_if=hypothetical, proposes=due(told, dated(day)) and not hypothetical,
    )  # fmt: skip


def uplifts(request: StockoutRequest, first: int, days: int) -> Floats:
    """By how much the request's promotions multiply what goes out on each of the days from the number `first` on."""
    factor = np.ones(days)
    for one in request.uplifts:
        place = (one.date - EPOCH).days - first
        if not 0 <= place < days:
            raise InvalidRequest(f"uplifts has {one.date}; the days are {dated(first)} to {dated(first + days - 1)}")
        factor[place] = one.factor
    return factor


def what_if(request: StockoutRequest) -> bool:
    """Whether a request asks about a world that is not what is stored and set."""
    asked = (request.lead_time_days, request.service_level, request.cover_days)
    return bool(request.uplifts) or any(one is not None for one in asked)


def track_record(forecast: Forecast, request: StockoutRequest) -> TrackRecord:
    """How often the 80 % bands of old forecasts held; of an own history, the product's is all there is."""
    held = forecast.record.held if forecast.record else {}
    (n, share), (every, of_all) = (held.get(name, (0, None)) for name in (request.product, ""))
    return TrackRecord(product=Track(n=n, held=share), catalogue=Track(n=every, held=of_all))


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
