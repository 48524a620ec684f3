"""What is on the shelf and under way, how long orders take, and what to order for people to approve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import Floats, Frame, History, Proposal, Proposing, Read, Standpoint
from foretell.domains.inventory.schema import Order, Settings, StockoutAnswer, StockoutRequest, rules
from foretell.domains.inventory.tables import INCOMING, LEAD_TIMES, MOVEMENTS, STOCK_LEVELS
from foretell.errors import InvalidRequest, NotReady, Refused
from foretell.features.dates import EPOCH, begins, dated, number, numbers
from foretell.features.days import WINDOW
from foretell.models import stock as shelf
from foretell.models.paths import WORLDS

REACH = timedelta(days=WINDOW + 2)
READS = (
    Read(table=STOCK_LEVELS.name, window=REACH, columns=("time", "on_hand")),
    Read(table=INCOMING.name, window=REACH, columns=("order", "time", "quantity")),
    Read(table=LEAD_TIMES.name, window=timedelta(days=365), by="all", columns=("time", "days")),
)
SIGNS = {"sale": -1.0, "return": 1.0, "receipt": 1.0}


@dataclass(frozen=True)
class Supply:
    """What there is to sell: `units` now (counted at `counted`, None: said), and what arrives on each day to come."""

    units: float
    counted: datetime | None
    arriving: Floats


def asked(request: StockoutRequest, history: History) -> tuple[float, int, Settings]:
    """The service level and the days an order shall last, and the tenant's settings behind them."""
    own = rules(history.standpoint)
    return request.service_level or own.service_level, request.cover_days or own.cover_days, own


def supply(request: StockoutRequest, history: History, first: int, days: int) -> Supply:
    """What there is to sell on so many days from the number `first` on.

    Raises NotReady where no stock is known, InvalidRequest for a receipt before the first day.
    """
    arriving = np.zeros(days)
    for one in request.receipts:
        place = (one.date - EPOCH).days - first
        if place < 0:
            raise InvalidRequest(f"receipts has {one.date}; what came before {dated(first)} is in the stock already")
        if place < days:
            arriving[place] += one.quantity
    if request.history is None:
        arriving += _under_way(request, history, first, days)
    if request.current_stock_units is not None:
        return Supply(request.current_stock_units, None, arriving)
    return Supply(*_counted(request, history), arriving)


def _under_way(request: StockoutRequest, history: History, first: int, days: int) -> Floats:
    """The stored orders that are expected from the first day on; and one approved within the day, not told of yet.

    What was expected before is taken to have come: who knows better corrects its time.
    """
    mine = _of(history, INCOMING.name, request.product)
    place = numbers(mine["time"], history.standpoint.zone) - first
    inside = (place >= 0) & (place < days)
    arriving = np.zeros(days)
    np.add.at(arriving, place[inside], mine["quantity"].to_numpy()[inside])
    approved = history.standpoint.approved.get(request.product)
    if approved and mine.filter(pl.col("known_at") >= approved.at).is_empty():
        on = (date.fromisoformat(approved.action["arrives"]) - EPOCH).days - first
        arriving[min(max(on, 0), days - 1)] += approved.action["order"]
    return arriving


def _counted(request: StockoutRequest, history: History) -> tuple[float, datetime]:
    """The newest count, moved on by the movements after it, and when it was."""
    counts = _of(history, STOCK_LEVELS.name, request.product).filter(pl.col("time") <= history.now).sort("time")
    if request.history is not None or counts.is_empty():
        raise NotReady(
            f"no stock of {request.product} is known: send current_stock_units, or bring a count: foretell import"
            " inventory.stock_levels FILE"
        )
    when, units = counts["time"][-1], float(counts["on_hand"][-1])
    since = _of(history, MOVEMENTS.name, request.product).filter(pl.col("time") > when)
    signs = since["kind"].replace_strict(SIGNS, default=0.0, return_dtype=pl.Float64)
    return max(0.0, units + float((since["quantity"] * signs).sum())), when


def _of(history: History, table: str, product: str) -> Frame:
    return history[table].filter(pl.col("entity") == product)


def lead_times(request: StockoutRequest, history: History) -> tuple[Floats, int]:
    """How many days an order takes in each future, and how many own deliveries of the product that rests on."""
    *_, own = asked(request, history)
    took, mine = np.zeros(0), np.zeros(0, dtype=bool)
    if request.history is None:
        took = history[LEAD_TIMES.name]["days"].to_numpy()
        mine = (history[LEAD_TIMES.name]["entity"] == request.product).to_numpy()
    lead = shelf.lead_times(took[mine], took, own.lead_time_days, WORLDS, request.lead_time_days)
    return lead, int(mine.sum())


def order(
    request: StockoutRequest, history: History, short: Floats, first: int, *, whole: bool, dead: str | None = None
) -> Order | None:
    """When to order and how much, in `whole` units or parts of them; None where the futures are too short to tell.

    `short` is what has gone out by the end of each day less what was there for it, days x futures. Of a `dead` product
    nothing is ordered; it is in words why it is one.
    """
    service, cover, _ = asked(request, history)
    lead, deliveries = lead_times(request, history)
    empty = shelf.empty(short)
    last = np.inf if dead else shelf.latest(empty, lead, service)
    wait = max(1, int(last)) - 1 if np.isfinite(last) else None  # days from the first one on

    def enough(wait: int) -> float:
        """What to order so many days after the first one; infinite where the futures are too short."""
        wanted = shelf.enough(short, lead + wait, cover, service)
        return float(np.ceil(round(wanted, 6))) if whole and np.isfinite(wanted) else wanted

    quantity = 0.0 if dead else enough(0)
    if not np.isfinite(quantity):
        return None
    later = enough(wait) if wait and not quantity else np.inf
    by = None if wait is None else dated(first + wait)
    return Order(
        by=by, until=begins(first + (wait or 0) + 1, history.standpoint.zone),
        in_time=float((1 + lead <= empty).mean()),
        quantity=quantity, later=later if np.isfinite(later) else None,
        reason=f"nothing to order: {dead}" if dead else _words(by, quantity, later),
        service_level=service, cover_days=cover, lead_time_days=float(lead.mean()),
        lead_time_high=float(np.quantile(lead, service, method="inverted_cdf")), deliveries=deliveries,
    )  # fmt: skip


def _words(by: date | None, quantity: float, later: float) -> str:
    if by is None:
        return "nothing to order: the shelf lasts for all the days looked at"
    if quantity:
        return f"order {quantity:,.6g} by {by}"
    much = f"{later:,.6g}" if np.isfinite(later) else "something"
    return f"nothing to order now; order {much} by {by}"


def due(order: Order | None, first: date) -> bool:
    """Whether something is to be ordered before the next review, from the first day forecast on."""
    return bool(
        order and order.quantity > 0 and order.by is not None and order.by < first + timedelta(days=order.cover_days)
    )


# ---------------------------------------------------------------- for people to approve


def proposed(answer: StockoutAnswer) -> Proposal | None:
    """What an answer proposes: an order, where one is due before the next review; none where it asks what if."""
    due = answer.order
    if due is None or answer.what_if:
        return None
    by = due.by or answer.last_day + timedelta(days=1)
    reason = (
        f"{answer.current_stock_units:g} on the shelf and {answer.incoming_units:g} under way; empty by "
        f"{answer.dates['10'] or 'later than the horizon'} in one future of ten, and an order takes "
        f"{due.lead_time_days:g} days, {due.lead_time_high:g} with a chance of {due.service_level:g}"
    )
    action = {
        "order": due.quantity, "by": f"{by}", "arrives": f"{by + timedelta(days=round(due.lead_time_days))}",
        "service_level": due.service_level, "cover_days": due.cover_days,
    }  # fmt: skip
    return Proposal(subject=answer.product, action=action if answer.proposes else None, reason=reason, until=due.until)


def review(product: str, action: Mapping[str, Any], standing: Standpoint) -> Mapping[str, Any]:
    """The action as it can be approved now: an order is placed today at the earliest.

    Raises Refused after another approved order that is not among the incoming yet, and where the settings have changed.
    """
    settings = rules(standing)
    if last := standing.approved.get(product):
        raise Refused(
            f"an order of {product} was approved at {last.at:%H:%M} UTC; bring it to inventory.incoming and ask again"
        )
    if (settings.service_level, settings.cover_days) != (action["service_level"], action["cover_days"]):
        raise Refused("service_level or cover_days of the settings have changed since: ask again for a new quantity")
    late = max(0, number(standing.now, standing.zone) - (date.fromisoformat(action["by"]) - EPOCH).days)
    moved = {name: f"{date.fromisoformat(action[name]) + timedelta(days=late)}" for name in ("by", "arrives")}
    return {**action, **moved}


PROPOSING = Proposing(of=proposed, review=review)
