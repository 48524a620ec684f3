"""Orders replayed over a product's own past: on the forecast, on last week, on rules of thumb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np

from foretell.contract import OURS, Floats, Frame, History, Past, Played, Policy, Replay
from foretell.domains.inventory.decide import band
from foretell.domains.inventory.features import LEAST, ends, framed, lines
from foretell.domains.inventory.schema import ReplayRequest, rules
from foretell.errors import NotFound, NotReady
from foretell.features.dates import number, numbers
from foretell.features.days import WINDOW, Line
from foretell.models.stock import course

SERVICES = (0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
FACTORS = (1.0, 1.25, 1.5, 2.0, 3.0)
MONTH = 28  # days
USUAL = "cover, factor 1.5"  # ours may cost as much
UNITS = {
    "cost": "money", "holding": "money for what was left at the ends of days", "shortage": "money for lost demand",
    "lost_units": "units of demand lost", "mean_stock": "units left at the end of a day, on average",
}  # fmt: skip
NOTES = (
    "what was sold counts as the demand; a day out of stock as the usual one of its weekday",
    "every lead time is the same, every order is placed and comes in full; what is not met is lost",
    "all rules begin with the same stock: the usual of lead time and review",
    "forecasts are not calibrated",
)
Rule = tuple[str, str, dict[str, float | str], Callable[[int, float], float]]


def subject(request: ReplayRequest, history: History) -> str:
    """The product, or the only one there is. Raises NotFound where there is none or a choice."""
    there = sorted(lines(history))
    wanted = request.product or (there[0] if len(there) == 1 else None)
    if wanted not in there:
        raise NotFound(f"name a product; there are {', '.join(there[:10]) or 'none'}")
    return wanted


def assumed(request: ReplayRequest, history: History) -> tuple[int, int]:
    """Lead time and days between orders."""
    own = rules(history.standpoint)
    lead = round(own.lead_time_days) if request.lead_time_days is None else request.lead_time_days
    return lead, request.cover_days or own.cover_days


def questions(request: ReplayRequest, history: History) -> Frame:
    """At each day of an order: what goes out until the next one could arrive."""
    name, (lead, cover), end = subject(request, history), assumed(request, history), ends(history)
    first = max(lines(history)[name].first, end - WINDOW) + LEAST
    return framed([(name, day, day + lead + cover - 1) for day in range(first, end, cover)], history.standpoint.zone)


def play(request: ReplayRequest, past: Past) -> Played:
    """Every rule over a simulated shelf. Raises NotReady for a period without an order."""
    zone, (lead, cover) = past.history.standpoint.zone, assumed(request, past.history)
    days = np.unique(numbers(past.ours["as_of"], zone))
    line = lines(past.history)[past.subject]
    if not len(days):
        raise NotReady(f"no order of {past.subject} falls from {past.start:%Y-%m-%d} to {past.end:%Y-%m-%d}")
    first = int(days[0])
    demand = line.filled[first - line.first : number(past.end, zone) - line.first]
    before = line.filled[: first - line.first]
    early = np.arange(len(demand)) < number(past.middle, zone) - first
    stock = float(before[-MONTH:].mean()) * (lead + cover)
    policies = []
    for family, name, told, order in _rules(line, past, first, lead, cover):
        made = course(demand, order, stock=stock, lead=lead, every=cover)
        figures = {}
        for part, where in (("earlier", early), ("later", ~early), ("whole", early | ~early)):
            left, gone = made.left[where], float(made.lost[where].sum())
            holding, shortage = float(left.sum()) * request.holding_cost / 7, gone * request.shortage_cost
            figures[part] = {
                "cost": holding + shortage, "holding": holding, "shortage": shortage, "lost_units": gone,
                "mean_stock": float(left.mean()) if len(left) else 0.0,
            }  # fmt: skip
        policies.append(Policy.model_validate(
            {"name": f"{family}, {name}", "family": family, "settings": told, "figures": figures}
        ))  # fmt: skip
    told = {"lead_time_days": lead, "cover_days": cover, "holding_cost_a_week": request.holding_cost,
            "shortage_cost": request.shortage_cost, "stock_at_start": stock}  # fmt: skip
    return Played(policies=tuple(policies), against=USUAL, assumed=told, notes=NOTES)


def _rules(line: Line, past: Past, first: int, lead: int, cover: int) -> Iterator[Rule]:
    """Order-up-to on ours and on last week's bands, on what usually goes out, (s, S) once chosen, and last month's."""
    sold = np.concatenate([[0.0], np.cumsum(line.filled)])
    begin = first - line.first

    def usual(step: int) -> float:
        """The mean of a day in the month before a step."""
        low, high = max(0, begin + step - MONTH), begin + step
        return float(sold[high] - sold[low]) / (high - low)

    for family, rows in ((OURS, past.ours), ("weekly_naive", past.baseline)):
        for service in SERVICES:
            levels = band(rows, service)
            yield family, f"service level {service:g}", {"service_level": service}, _up_to(levels, cover)
    for factor in FACTORS:
        days = factor * (lead + cover)
        yield "cover", f"factor {factor:g}", {"factor": factor}, lambda k, got, d=days: d * usual(k) - got  # type: ignore[misc]
    for factor in FACTORS:
        low = factor * (lead + cover) * usual(0)
        told: dict[str, float | str] = {"s": low, "S": low + cover * usual(0)}
        yield "fixed", f"(s, S), factor {factor:g}", told, _between(low, low + cover * usual(0))
    yield "last month", "a month's share again", {}, lambda k, _: cover * usual(k)


def _up_to(levels: Floats, cover: int) -> Callable[[int, float], float]:
    return lambda step, got: float(levels[min(step // cover, len(levels) - 1)]) - got


def _between(low: float, high: float) -> Callable[[int, float], float]:
    return lambda _, got: high - got if got <= low else 0.0


REPLAY = Replay(
    request=ReplayRequest, horizon=timedelta(days=365), units=UNITS, cost="cost", risk="lost_units", subject=subject,
    play=play, questions=questions,
)  # fmt: skip
