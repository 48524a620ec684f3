"""From a home to questions about its value, and from what is forecast to an answer with its reasons."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Ask, Forecast, Frame, History
from foretell.domains.realestate.alike import KEPT, around, kilometres
from foretell.domains.realestate.market import later
from foretell.domains.realestate.prices import NEW
from foretell.domains.realestate.schema import Comparable, ValueAnswer, ValueReason, ValueRequest
from foretell.domains.realestate.value import Seen, gained, last, seen, stands
from foretell.domains.realestate.valuers import OUTER
from foretell.errors import InvalidRequest, NotFound, NotReady

TOLD = 8  # reasons
ENOUGH = 100  # old sales, with fewer of which nobody knows what the range holds
WITHIN = round(OUTER[1] - OUTER[0], 9)  # share of sales that the range is made to hold
LEAST = 0.005  # a factor nearer to 1 is no reason


def ask(request: ValueRequest, history: History) -> Ask:
    """What it is worth now and at the horizon; a home that is described comes along.

    Raises InvalidRequest for no home or two, NotFound for a property of which nothing is on record, NotReady where no
    price is.
    """
    if (request.property is None) == (request.home is None):
        raise InvalidRequest("name a property that is on record, or describe a home: one of the two")
    deals = history["transactions"].filter(pl.col("price") > 0, pl.col("property") != "")
    if deals.is_empty():
        raise NotReady("no deal with a price is known; bring some into realestate.transactions")
    name = request.property or NEW
    if request.home is not None:
        row = request.home.model_dump() | {"property": NEW, "entity": NEW, "time": history.now, "known_at": history.now}
        schema = history["properties"].schema
        home = pl.DataFrame({column: [row.get(column)] for column in schema}, schema=schema)
        return Ask(questions=_question(history, name, request), facts={"properties": home})
    if not any((table["property"] == name).any() for table in (history["properties"], deals)):
        raise NotFound(
            f"there is no property {name!r}; bring it into realestate.properties, or describe a home: "
            '{"home": {"area": …, "size": …}}'
        )
    return Ask(questions=_question(history, name, request))


def _question(history: History, name: str, request: ValueRequest) -> Frame:
    moments = [history.now, later(history.now, request.horizon_months)]
    asked = {"entity": [name] * 2, "as_of": [history.now] * 2, "at": moments, "property": [name] * 2}
    return pl.DataFrame(asked).with_columns(pl.col("as_of", "at").cast(INSTANT))


def decide(forecast: Forecast, request: ValueRequest, history: History) -> ValueAnswer:
    """The values, what they rest on, and why."""
    today = float(forecast.rows["point"][0])
    row = forecast.rows.row(1, named=True)
    (one,) = seen(history, _question(history, request.property or NEW, request).head(1))
    standing = one.standing
    parts = standing.parts(one.homes, one.month, one.rise)
    usual = float(np.exp(standing.level + parts["market"][0]))
    previous, _ = last(one, parts["market"])
    sold = standing.deals.frame.filter(
        pl.col("property") == (request.property or NEW), pl.col("known_at") <= history.now
    ).tail(1)
    return ValueAnswer(
        property=request.property,
        at=later(history.now, request.horizon_months), months=request.horizon_months,
        value_today=today, value=row["point"],
        low=min(row["q10"], row["point"]), high=max(row["q90"], row["point"]), confidence=_held(forecast),
        last_price=_only(sold["price"]), last_sold=_only(sold["time"]),
        last_price_today=None if np.isnan(previous[0]) else float(np.exp(previous[0])),
        usual=usual, market_year=float(np.expm1(gained(one)[0])), deals=len(standing.rows),
        comparables=_comparables(one, parts, history.now), reasons=_reasons(one, parts, today / usual),
    )  # fmt: skip


def _held(forecast: Forecast) -> float:
    """The share of old sales that the range held, where there are enough; else what it is made to hold."""
    count, share = forecast.record.held.get("", (0, WITHIN)) if forecast.record else (0, WITHIN)
    return share if count >= ENOUGH else WITHIN


def _only(column: pl.Series) -> Any:
    return column[0] if len(column) else None


def _comparables(one: Seen, parts: Any, now: datetime) -> list[Comparable]:
    """The deals of other homes that are most alike, best first."""
    standing = one.standing
    about = around(standing, one.homes, parts)
    places = about.alike[0][about.alike[0] >= 0][:KEPT]
    rows = standing.deals.frame[standing.rows[places]]
    level = standing.level + parts["market"][0] + parts["like"][0]
    today = np.exp(level + stands(standing, places))
    away = kilometres(one.homes[np.zeros(len(places), dtype=np.int64)], rows)
    return [
        Comparable(
            property=row["property"], area=row["area"], sold=row["time"], price=row["price"], today=float(price),
            distance_km=None if np.isnan(km) else round(float(km), 3), alike=float(np.exp(-unlike / 4)),
        )
        for row, price, km, unlike in zip(
            rows.iter_rows(named=True), today, away, about.unlike[0][: len(places)], strict=True
        )
        if row["known_at"] <= now
    ]  # fmt: skip


def _reasons(one: Seen, parts: Any, whole: float) -> list[ValueReason]:
    """By what each part of its price makes it other than the usual home, the strongest first; the rest last."""
    homes = one.homes.row(0, named=True)
    found = {_words(name, homes): added for name, added in one.standing.why(one.homes, one.month).items()}
    found |= {
        f"{homes['kind'] or 'its kind'}": parts["kind"][0], f"area {homes['area']}": parts["area"][0],
        f"street {homes['street']}": parts["street"][0],
        "what it was sold for before, beside homes like it": parts["property"][0],
    }  # fmt: skip
    best = sorted(found.items(), key=lambda part: -abs(part[1]))[:TOLD]
    told = [ValueReason(words=words, factor=float(np.exp(added))) for words, added in best if abs(added) > LEAST]
    left = whole / float(np.prod([one.factor for one in told]))
    if not (one.standing.deals.frame["area"] == homes["area"]).any():
        told.append(ValueReason(words=f"no deal is known in area {homes['area'] or 'of no name'}", factor=1.0))
    return [*told, ValueReason(words="everything else, deals nearby among it", factor=left)]


def _words(name: str, homes: dict[str, Any]) -> str:
    value = homes[name]
    if value is None:
        return f"{name} is not known"
    if name == "waterfront":
        return "at the water" if value else "not at the water"
    units = {"size": " m²", "land": " m²", "around": " m² usual about it", "basement": " m²"}
    return f"{name} {value:.6g}{units.get(name, '')}"


def headline(answer: ValueAnswer) -> float:
    """The value at the horizon."""
    return answer.value
