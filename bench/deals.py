"""Public records of who did what, as facts of real estate: a purchase is a visit and a deal, a home a person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from bench.data import MissingError

from foretell.contract import DTYPES, INSTANT, Frame, History, Standpoint
from foretell.domains.realestate.schema import Settings
from foretell.domains.realestate.tables import TABLES
from foretell.settings import ForetellSettings

EARLY = datetime(2008, 5, 1, tzinfo=UTC)


def file(name: str) -> Path:
    """A file of the public data; raises MissingError where it is not there."""
    folder = ForetellSettings().bench_data
    path = None if folder is None else folder / "realestate" / name
    if path is None or not path.exists():
        raise MissingError(f"there is no {name}; type: FORETELL_BENCH_DATA=<folder> make bench")
    return path


def history(told: Mapping[str, Frame], now: datetime, settings: Settings) -> History:
    """A tenant with these facts, each known at its `time`; columns and tables that are not told are empty."""
    frames = {}
    for table in TABLES:
        types: dict[str, Any] = {name: DTYPES[kind] for name, kind in table.kinds.items()} | {"known_at": INSTANT}
        rows = told.get(table.name, pl.DataFrame(schema={"time": INSTANT}))
        if "known_at" not in rows.columns:
            rows = rows.with_columns(known_at="time")
        blank = {name: "" if kind == "text" else None for name, kind in table.kinds.items()}
        rows = rows.with_columns(pl.lit(blank[name]).alias(name) for name in types if name not in rows.columns)
        rows = rows.select(pl.col(name).cast(dtype) for name, dtype in types.items())
        frames[table.name] = rows.with_columns(entity=pl.col(*table.entity)).sort("known_at", *table.key)
    return History(Standpoint(tenant="bench", now=now, zone="UTC", settings=settings), frames)


def _purchases(rows: Frame) -> dict[str, Frame]:
    """Of baskets (person, time, price, pages): people since their first one, a visit and a deal each."""
    deals = rows.with_columns(transaction=pl.concat_str("person", "time"), kind=pl.lit("BUY"))
    people = rows.group_by("person").agg(pl.col("time").min())
    return {"people": people, "sessions": rows.select("person", "time", "pages"), "transactions": deals}


def online_retail(settings: Settings) -> History:
    """A wholesaler's web shop, December 2009 to December 2010; what a customer sends back is a document passed on."""
    rows = pl.read_parquet(file("online_retail_2/online_retail_2009-12_2010-12.parquet"))
    rows = rows.filter(pl.col("Customer ID").is_not_null()).select(
        person=pl.col("Customer ID").cast(pl.Int64).cast(pl.String),
        time=pl.col("InvoiceDate").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC"),
        bought=pl.col("Quantity") > 0,
        price=pl.col("Quantity") * pl.col("Price"),
        document="Invoice",
    )
    baskets = rows.filter("bought").group_by("person", "time").agg(pl.col("price").sum(), pages=pl.len())
    back = rows.filter(~pl.col("bought")).unique(["person", "time", "document"])
    now: Any = rows["time"].max()
    returned = back.select("person", "time", "document", action=pl.lit("share"))
    return history({**_purchases(baskets), "accesses": returned}, now, settings)


def cdnow(settings: Settings) -> History:
    """Purchases of 23,570 customers of a record shop who all came in the first quarter of 1997, to June 1998."""
    import gzip

    with gzip.open(file("cdnow/CDNOW_master.txt.gz"), "rt") as lines:
        told = [line.split() for line in lines if line.strip()]
    rows = pl.DataFrame(told[1:], schema=["person", "day", "pages", "price"], orient="row").with_columns(
        time=pl.col("day").str.to_datetime("%Y%m%d", time_unit="us", time_zone="UTC"),
        price=pl.col("price").cast(pl.Float64),
        pages=pl.col("pages").cast(pl.Float64),
    )
    baskets = rows.group_by("person", "time").agg(pl.col("price").sum(), pl.col("pages").sum())
    now: Any = rows["time"].max()
    return history(_purchases(baskets), now, settings)


def resales(settings: Settings) -> History:
    """Every registered sale in London SW19, 2010 to 2020: each home as a person who sells, at the home of that name."""
    rows = pl.read_csv(file("uk_price_paid/ppd_SW19_2010_2020.csv.gz"), infer_schema=False).filter(
        pl.col("transaction_category") == "A", pl.col("property_type") != "O"
    )
    rows = rows.select(
        person=pl.concat_str(pl.col("postcode", "paon", "saon", "street").fill_null(""), separator="|"),
        time=pl.col("deed_date").str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC"),
        price=pl.col("price_paid").cast(pl.Float64),
        transaction="unique_id",
        new=(pl.col("new_build") == "Y").cast(pl.Float64),
        kind_of="property_type",
        lease=(pl.col("estate_type") == "L").cast(pl.Float64),
        area=pl.col("postcode").str.split(" ").list.first(),
    ).sort("time", "transaction")
    # How a home was described at its first sale: what the tables have numbers for.
    grade = pl.col("kind_of").replace_strict({"F": 0.0, "T": 1.0, "S": 2.0, "D": 3.0}, return_dtype=pl.Float64)
    homes = rows.select("time", "area", grade=grade, condition="new", view="lease", property="person")
    lived = rows.group_by("person").agg(pl.col("time").min()).with_columns(property="person", active=pl.lit(value=True))
    deals = rows.select("person", "time", "price", "transaction", "area", property="person", kind=pl.lit("SELL"))
    now: Any = rows["time"].max()
    return history(
        {"people": lived.select("person", "time"), "homes": lived, "properties": homes, "transactions": deals},
        now,
        settings,
    )
