"""The demo's people: customers of an online shop, whose purchases stand in for deals."""

from __future__ import annotations

from importlib.resources import as_file, files

import polars as pl
from rich.console import Console

from foretell.app import App
from foretell.cli.skill import race
from foretell.domains.realestate.schema import ContactAnswer, MoveAnswer

FILE, ZONE = "online_customers", "Europe/London"
PERSON = "13078"  # bought in the last weeks, and often before


def people(console: Console) -> None:
    """Load, race, show skill against the base rate, answer: whether somebody buys within 30 days, and when to call."""
    console.rule("[bold]2,161 customers of an online shop: who buys within 30 days, and when to call")
    with App.open(f"demo-{FILE}", zone=ZONE) as app:
        app.settings.change("realestate", {"move_days": 30, "deed_days": 0, "moves": ["BUY"]})
        _load(console, app)
        for task in ("realestate.move", "realestate.contact"):
            race(console, app, task, "latest")
        move = MoveAnswer.model_validate(app.predict("realestate.move", {"person": PERSON}, as_of="latest").answer)
        call = ContactAnswer.model_validate(
            app.predict("realestate.contact", {"person": PERSON}, as_of="latest").answer
        )
    console.print(f"customer {PERSON}: [bold]{move.words}[/] ({move.level})")
    for sign, reasons in (("+", move.reasons[:3]), ("-", move.against[:2])):
        for one in reasons:
            known = "nothing known" if one.value is None else f"{one.value:,.4g}"
            console.print(f"  {sign} {one.words}: {known} ({100 * one.contribution:+.0f} of 100)")
    console.print(f"  {call.words}\n")


def _load(console: Console, app: App) -> None:
    """A purchase is a visit and a deal, a return a visit; what was bought is left out."""
    with as_file(files("foretell") / "samples" / f"{FILE}.csv.gz") as path:
        baskets = pl.read_csv(path, schema_overrides={"customer": pl.String})
    visits = baskets.select(person="customer", time="time", pages="lines")
    done = app.import_("realestate.sessions", visits, source=f"{FILE}.csv.gz")
    bought = baskets.filter(pl.col("amount") > 0).select(
        transaction=pl.format("{}-{}", "customer", "time"), time="time", kind=pl.lit("BUY"), person="customer",
        price="amount",
    )  # fmt: skip
    app.import_("realestate.transactions", bought, source=f"{FILE}.csv.gz")
    console.print(f"tenant {app.tenant}: {done.accepted:,} visits accepted, {done.unchanged:,} there already")
