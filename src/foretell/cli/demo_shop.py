"""The demo's shop: what is left of a year of an online shop's sales in four weeks' time."""

from __future__ import annotations

from importlib.resources import as_file, files

import polars as pl
from rich.console import Console

from foretell.app import App
from foretell.cli.skill import race
from foretell.domains.inventory.schema import DemandAnswer, StockoutAnswer

FILE, ZONE = "online_retail", "Europe/London"
PRODUCT, STOCK = "22150", 400.0  # a bunting that sells on four days in five, and what may lie on the shelf

BUDGET = 10.0  # seconds for each race: who takes longer is named


def shop(console: Console) -> None:
    """Load, race, show skill against the baselines, answer: a product's next weeks, and its last day in stock."""
    console.rule("[bold]72 products of an online shop for gifts, a year of daily sales, 2010")
    with App.open(f"demo-{FILE}", zone=ZONE) as app:
        with as_file(files("foretell") / "samples" / f"{FILE}.csv.gz") as path:
            sold = pl.read_csv(path, schema_overrides={"sku": pl.String})
        sent = sold.select(product="sku", time="date", quantity="units")
        done = app.import_("inventory.movements", sent, source=f"{FILE}.csv.gz")
        console.print(f"tenant {app.tenant}: {done.accepted:,} rows accepted, {done.unchanged:,} there already")
        for task in ("inventory.demand", "inventory.stockout"):
            race(console, app, task, "latest", budget=BUDGET)
        _demand(console, app)
        _stockout(console, app)


def _demand(console: Console, app: App) -> None:
    said = app.predict("inventory.demand", {"product": PRODUCT, "horizon_days": 28}, as_of="latest")
    answer = DemandAnswer.model_validate(said.answer)
    console.print(f"demand for {PRODUCT} ({answer.series.name}), by {answer.method}:")
    for day in answer.predictions[:7]:
        console.print(
            f"  {day.date:%a %d %b %Y}  {day.expected:>6.1f} units"
            f"   (95 of 100 such days: {day.low:,.0f} to {day.high:,.0f})"
        )
    console.print(f"  four weeks together: {sum(day.expected for day in answer.predictions):,.0f} units")


def _stockout(console: Console, app: App) -> None:
    request = {"product": PRODUCT, "current_stock_units": STOCK, "horizon_days": 60}
    answer = StockoutAnswer.model_validate(app.predict("inventory.stockout", request, as_of="latest").answer)
    early, date, late = (answer.dates[share] or "a later day" for share in ("10", "50", "90"))
    console.print(
        f"with {STOCK:,.0f} on the shelf it is empty on [bold]{date}[/]"
        f" (80 of 100 futures: {early} to {late}); confidence {answer.confidence:.2f}\n"
    )
