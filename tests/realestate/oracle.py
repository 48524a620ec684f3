"""Every feature of a person, worked out slowly from what its words say: row by row, one question at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from foretell.contract import Frame

Row = Mapping[str, Any]
Told = dict[str, float | None]
Test = Callable[[Row], Any]


def day(moment: datetime) -> datetime:
    """The beginning of a moment's day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def divided(one: float | None, two: float | None) -> float | None:
    """One by two; nothing where either is missing, or two is 0."""
    return None if one is None or not two else one / two


class Person:
    """What one question could see."""

    def __init__(self, tables: Mapping[str, Frame], entity: str, as_of: datetime) -> None:
        self.tables = {name: frame.to_dicts() for name, frame in tables.items()}
        self.entity, self.as_of = entity, as_of
        home = self.last("homes", "entity", entity, as_of)
        self.property = home["property"] if home and home["active"] else None
        where = self.last("properties", "property", self.property, as_of, lambda row: row["area"] != "")
        self.area = where["area"] if where else None

    def seen(self, table: str | list[Row], by: str, whom: str | None, moment: datetime) -> list[Row]:
        """The rows about somebody that were known by a moment, in the order in which they became known."""
        rows = self.tables[table] if isinstance(table, str) else table
        return sorted(
            (row for row in rows if whom is not None and row[by] == whom and row["known_at"] <= moment),
            key=lambda row: row["known_at"],
        )

    def last(self, table: str, by: str, whom: str | None, moment: datetime, test: Test = lambda _: True) -> Row | None:
        """The row that became known last."""
        found = [row for row in self.seen(table, by, whom, moment) if test(row)]
        return found[-1] if found else None

    def within(self, rows: Iterable[Row], days: int | None) -> list[Row]:
        """Those that became known since the day so many days ago began."""
        first = None if days is None else day(self.as_of) - timedelta(days=days)
        return [row for row in rows if first is None or row["known_at"] >= first]

    def since(self, rows: list[Row], test: Test = lambda _: True) -> float | None:
        """Days of the calendar since the latest of them."""
        when = [row["time"] for row in rows if test(row)]
        return max(0.0, float((day(self.as_of) - day(max(when))).days)) if when else None

    def deals(self) -> list[Row]:
        """Deals that changed an owner, each once: as it was known first; with the home's size and price by index."""
        out: dict[tuple[str, datetime], dict[str, Any]] = {}
        for row in sorted(self.tables["transactions"], key=lambda row: row["known_at"]):
            if row["kind"] in ("BUY", "SELL", "INVESTMENT") and row["property"]:
                out.setdefault((row["property"], row["time"]), dict(row))
        for row in out.values():
            home = self.last("properties", "property", row["property"], row["known_at"])
            months = sorted(self.seen("markets", "area", row["area"], row["time"]), key=lambda r: r["time"])
            row["size"] = home and home["size"]
            row["relative"] = (
                divided(row["price"], max(months, key=known)["index"]) if months and row["price"] else None
            )
        return list(out.values())


def known(row: Row) -> tuple[datetime, datetime]:
    """By when it became known, then by what it is of."""
    return row["known_at"], row["time"]


def newest(rows: list[Row], value: Callable[[Row], float | None]) -> float | None:
    """The value in the latest row that has one; of rows of one time in that which became known last."""
    there = [row for row in rows if value(row) is not None]
    return value(max(enumerate(there), key=lambda pair: (pair[1]["time"], pair[0]))[1]) if there else None


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are there."""
    there = [value for value in values if value is not None]
    return divided(math.fsum(there), len(there))


def first_of(rows: list[Row], key: str, event: str) -> list[Row]:
    """Each mail's or alert's first event of the kind."""
    seen: set[str] = set()
    out = []
    for row in rows:
        if row["event"] == event and row[key] not in seen:
            seen.add(row[key])
            out.append(row)
    return out


def told(tables: Mapping[str, Frame], entity: str, as_of: datetime) -> Told:
    """Every feature by name."""
    one = Person(tables, entity, as_of)
    out = _documents(one) | _sent(one, "emails", "email") | _sent(one, "alerts", "alert") | _platform(one)
    out |= _market(one)
    out |= _property(one, out["market_index"])
    return out | _transactions(one) | _agent(one) | _temporal(as_of)


def _documents(one: Person) -> Told:
    rows = one.seen("accesses", "entity", one.entity, one.as_of)
    last = {days: one.within(rows, days) for days in (7, 30, 90)}
    return {
        **{f"doc_access_count_{days}d": len(some) for days, some in last.items()},
        "doc_download_count_30d": sum(row["action"] == "download" for row in last[30]),
        "doc_share_count_90d": sum(row["action"] == "share" for row in last[90]),
        "doc_active_days_30d": len({day(row["time"]) for row in last[30]}),
        "days_since_doc_access": one.since(rows),
    }


def _sent(one: Person, table: str, key: str) -> Told:
    rows = one.seen(table, "entity", one.entity, one.as_of)

    def count(event: str, days: int) -> int:
        return sum(row["event"] == event for row in one.within(rows, days))

    def rate(event: str, days: int) -> float | None:
        return divided(len(one.within(first_of(rows, key, event), days)), count("sent", days))

    out: Told = {f"{key}_open_rate_30d": rate("open", 30), f"{key}_click_rate_90d": rate("click", 90)}
    if key == "alert":
        clicked = one.since(rows, lambda row: row["event"] == "click")
        return out | {"alert_count_30d": count("sent", 30), "days_since_alert_click": clicked}
    return out | {
        "email_open_rate_90d": rate("open", 90),
        "email_click_count_30d": count("click", 30),
        "email_reply_count_90d": count("reply", 90),
        "days_since_email_open": one.since(rows, lambda row: row["event"] in ("open", "click")),
    }


def _platform(one: Person) -> Told:
    rows = one.seen("sessions", "entity", one.entity, one.as_of)
    looked = one.seen("searches", "entity", one.entity, one.as_of)
    last = {days: one.within(rows, days) for days in (7, 30, 90, 365)}

    def searched(days: int, *actions: str) -> int:
        return sum(row["action"] in actions for row in one.within(looked, days))

    return {
        **{f"session_count_{days}d": len(some) for days, some in last.items()},
        "session_minutes_30d": sum((row["seconds"] or 0) / 60 for row in last[30]),
        "session_pages_30d": mean(row["pages"] for row in last[30]),
        "session_active_days_30d": len({day(row["time"]) for row in last[30]}),
        "days_since_session": one.since(rows),
        "session_trend_90d": divided(3 * len(last[30]), len(last[90])),
        "search_count_7d": searched(7, "search"),
        "search_count_30d": searched(30, "search"),
        "saved_search_count_90d": searched(90, "save"),
        "listing_view_count_30d": searched(30, "view", "mark"),
    }


def _property(one: Person, index: float | None) -> Told:
    states = one.seen("properties", "property", one.property, one.as_of)
    deals = one.deals()
    sold = one.seen(deals, "property", one.property, one.as_of)
    around = one.seen(deals, "area", one.area, one.as_of)
    names = ("bedrooms", "bathrooms", "size", "land", "condition", "grade", "built", "loan", "loan_rate")
    out: Told = {f"property_{name}": newest(states, lambda row, name=name: row[name]) for name in names}  # type: ignore[misc]
    built, price = out["property_built"], newest(sold, lambda row: row["price"])
    relative = newest(sold, lambda row: row["relative"])
    value = None if relative is None or index is None else relative * index
    area_price = mean(divided(row["price"], row["size"]) for row in one.within(around, 365))
    gain, owed, per_size = (
        divided(value, price),
        divided(out["property_loan"], value),
        divided(value, out["property_size"]),
    )
    return out | {
        "property_age": None if built is None else one.as_of.year - built,
        "property_price": price,
        "property_relative_price": relative,
        "property_value_by_index": value,
        "property_gain": None if gain is None else gain - 1,
        "property_equity_share": None if owed is None else 1 - owed,
        "area_price_per_size_365d": area_price,
        "area_deals_90d": len(one.within(around, 90)),
        "area_deals_365d": len(one.within(around, 365)),
        "property_price_per_size": per_size,
        "property_price_to_area": divided(per_size, area_price),
        "property_deals": len(sold),
        "days_since_property_deal": one.since(sold),
        "days_at_home": one.since(one.seen("homes", "entity", one.entity, one.as_of), lambda row: row["active"]),
    }


def _transactions(one: Person) -> Told:
    rows = one.seen("transactions", "entity", one.entity, one.as_of)
    apart = [abs(two["time"] - row["time"]).days * (1 if two["time"] > row["time"] else -1)
             for row, two in pairwise(rows)]  # fmt: skip
    return {
        "transaction_count": len(rows),
        **{f"{kind.lower()}_count": sum(row["kind"] == kind for row in rows)
           for kind in ("BUY", "SELL", "REFINANCE", "INVESTMENT")},
        "days_since_transaction": one.since(rows),
        "transaction_count_365d": len(one.within(rows, 365)),
        "transaction_count_5y": len(one.within(rows, 5 * 365)),
        "transaction_mean_price": mean(row["price"] for row in rows),
        "transaction_mean_gap": mean(apart),
    }  # fmt: skip


def _agent(one: Person) -> Told:
    rows = one.seen("contacts", "entity", one.entity, one.as_of)
    return {
        "contact_count_90d": len(one.within(rows, 90)),
        "contact_answer_rate_365d": mean(float(row["answered"]) for row in one.within(rows, 365)),
        "days_since_contact": one.since(rows),
    }


def _market(one: Person) -> Told:
    rows = sorted(one.seen("markets", "area", one.area, one.as_of), key=known)

    def before(k: int, months: int, name: str) -> float | None:
        return rows[k - months][name] if k >= months else None

    def made(value: Callable[[int], float | None]) -> float | None:
        return newest(
            [{"time": row["time"], "value": value(k)} for k, row in enumerate(rows)], lambda row: row["value"]
        )

    def plain(name: str) -> float | None:
        return made(lambda k: rows[k][name])

    def gain(months: int) -> float | None:
        def of(k: int) -> float | None:
            share = divided(rows[k]["index"], before(k, months, "index"))
            return None if share is None else share - 1

        return made(of)

    def to_mean(name: str, months: int = 0) -> float | None:
        def of(k: int) -> float | None:
            year: list[Any] = [rows[j][name] for j in range(k - 11, k + 1)] if k >= 11 else [None]
            return None if None in year else divided(before(k, months, name), math.fsum(year) / 12)

        return made(of)

    def change(k: int) -> float | None:
        now, then = rows[k]["mortgage_rate"], before(k, 12, "mortgage_rate")
        return None if now is None or then is None else now - then

    return {
        "market_index": plain("index"),
        "market_gain_3m": gain(3),
        "market_gain_12m": gain(12),
        "market_days": plain("days_on_market"),
        "market_listings": plain("listings"),
        "mortgage_rate": plain("mortgage_rate"),
        "mortgage_rate_change_12m": made(change),
        "unemployment": plain("unemployment"),
        "market_supply_months": made(lambda k: divided(rows[k]["listings"], rows[k]["sales"])),
        "market_sales_to_mean": to_mean("sales"),
        "market_listings_to_mean": to_mean("listings"),
        "market_days_to_mean": to_mean("days_on_market"),
        "market_sales_last_year": to_mean("sales", 11),
    }


def _temporal(as_of: datetime) -> Told:
    out: Told = {
        "month": as_of.month, "quarter": (as_of.month + 2) // 3, "day_of_month": as_of.day,
        "day_of_week": as_of.isoweekday(), "week_of_year": as_of.isocalendar().week,
        "is_weekend": float(as_of.isoweekday() >= 6),
    }  # fmt: skip
    of_year = as_of.timetuple().tm_yday
    for name, part, length in (
        ("month", as_of.month, 12), ("day_of_week", as_of.isoweekday(), 7), ("day_of_year", of_year, 365.25)
    ):  # fmt: skip
        out[f"{name}_sin"] = math.sin(2 * math.pi * part / length)
        out[f"{name}_cos"] = math.cos(2 * math.pi * part / length)
    return out
