"""Whom we ask about, where they live, and what became of them: one truth for training, serving and monitoring.

Everybody is asked about at the beginning of each month, UTC. Whether they moved is known only when all deeds of the
time asked about should be in: those who moved are known of earlier than those who did not, and to learn from them as
soon as they are known would teach that everybody moves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

import numpy as np
import polars as pl

from foretell.contract import INSTANT, KEPT, Block, Frame, History, Read
from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.schema import Settings
from foretell.features.asof import newest
from foretell.features.windows import vectors

EVER = timedelta(days=36_525)
TOLD = ("accesses", "emails", "sessions", "alerts", "searches", "contacts")
READS = (
    Read(table="people", window=EVER),
    *(Read(table=name, window=EVER) for name in TOLD),
    Read(table="homes", window=EVER),
    Read(table="transactions", window=EVER),
    Read(table="transactions", window=EVER, by="property"),
    Read(table="transactions", window=EVER, by="area"),
    Read(table="properties", window=EVER, by="property"),
    Read(table="properties", window=EVER, by="area"),  # the sizes of the homes that were sold there
    Read(table="markets", window=EVER, by="area"),
)
READ_BY_PERSON = tuple(read.table for read in READS if read.by == "entity")
GIVEN = "given"  # the column of features that came with a request, as JSON; one that is null there is as facts tell
MOST = 150_000  # old questions that are learned from
LEARNERS = 30_000  # people that are learned from: half a year of them is more questions than that


def settings(history: History) -> Settings:
    """The tenant's settings."""
    return cast("Settings", history.standpoint.settings)


def lived(history: History, asked: Frame) -> Frame:
    """The questions with `property`, the home that was lived in at `as_of`, and its `area`; null where none is known.

    A `property` that the question names already is the one meant.
    """
    home = newest(asked, history["homes"], "entity", ("property", "active"))
    there = home.select(property=pl.when("active").then("property"))["property"]
    asked = asked.with_columns(there)
    where = newest(asked, history["properties"], "property", ("area",))
    return asked.with_columns(where.select(area=pl.when(pl.col("area") != "").then("area"))["area"])


def questions(history: History) -> Frame:
    """Everybody at the beginning of each month since they were first known; of very many an even part."""
    seen = [history[name].select("entity", "known_at") for name in ("people", *TOLD, "transactions")]
    first = pl.concat(seen).filter(pl.col("entity") != "").group_by("entity").agg(pl.col("known_at").min())
    if first.is_empty():
        return pl.DataFrame(schema={name: INSTANT if name in ("as_of", "at") else pl.String for name in COLUMNS})
    begin = cast("datetime", first["known_at"].min())
    months = pl.datetime_range(
        begin.replace(day=1, hour=0, minute=0, second=0, microsecond=0), history.now, "1mo", eager=True
    )
    asked = first.sort("entity").join(months.cast(INSTANT).to_frame("as_of"), how="cross")
    asked = asked.filter(pl.col("known_at") <= pl.col("as_of"))
    if asked.height > MOST:
        place = asked.select(pl.col("entity").hash(1) % 1000)["entity"]
        asked = asked.filter(place < 1000 * MOST // asked.height)
    days = timedelta(days=settings(history).move_days)
    asked = asked.select("entity", "as_of", at=pl.col("as_of") + days).sort("as_of", "entity")
    return lived(history, asked).select(COLUMNS)


COLUMNS = ("entity", "as_of", "at", "property", "area")


def vector(history: History, asked: Frame) -> Block:
    """Every feature of the catalogue, as facts tell it."""
    return vectors(CATALOGUE, history, lived(history, asked))


def _kept(history: History, asked: Frame) -> Block:
    """The same, as it was kept."""
    kept = history[KEPT]
    place = {name: k for k, name in enumerate(kept["entity"].to_list())}
    return Block(CATALOGUE.names(), kept["values"].to_numpy()[[place[name] for name in asked["entity"].to_list()]])


def known(history: History) -> set[str]:
    """Of whom anything is known."""
    return history.once(_known_people)


def _known_people(history: History) -> set[str]:
    there = (name for name in (*READ_BY_PERSON, KEPT) if name in history.tables)
    return {name for table in there for name in history[table]["entity"].unique().to_list()}


def features(history: History, asked: Frame) -> Block:
    """Every feature of the catalogue, save what the tenant leaves out; as given where a request gave it."""
    made = _kept(history, asked) if KEPT in history.tables else vector(history, asked)
    told = settings(history)
    left = {one.name for one in CATALOGUE.features if one.group in told.without or one.name in told.without_features}
    given = asked[GIVEN].to_list() if GIVEN in asked.columns else []
    if not left and not given:
        return made
    values, place = made.values.copy(), {name: k for k, name in enumerate(made.names)}
    for row, one in enumerate(given):
        for name, value in json.loads(one or "{}").items():
            if value is not None:
                values[row, place[name]] = value
    values[:, [place[name] for name in left]] = np.nan
    return Block(made.names, values)


def moved(history: History, asked: Frame) -> Frame:
    """`value`, 1 where a deal that counts as a move fell into the time asked about, else 0."""
    told = settings(history)
    found = _first(history, asked, told.moves)
    return _known(history, found, pl.col("kind").is_not_null().cast(pl.Float64))


def dealt(history: History, asked: Frame) -> Frame:
    """`value`, the kind of the first deal in the time asked about; void where there is none."""
    return _known(history, _first(history, asked, ["BUY", "SELL", "REFINANCE", "INVESTMENT"]), pl.col("kind"))


def _first(history: History, asked: Frame, kinds: Sequence[str]) -> Frame:
    """The questions with `kind`, that of the first deal after `as_of` up to `at` that was registered in time."""
    late = timedelta(days=settings(history).deed_days)
    deals = history["transactions"].filter(pl.col("kind").is_in(kinds)).select("entity", "time", "kind", "known_at")
    found = asked.select("entity", "as_of", "at").with_row_index("place").sort("as_of")
    found = found.join_asof(
        deals.sort("time").rename({"time": "done"}), left_on="as_of", right_on="done", by="entity", strategy="forward",
        allow_exact_matches=False, check_sortedness=False, coalesce=False,
    )  # fmt: skip
    in_time = (pl.col("done") <= pl.col("at")) & (pl.col("known_at") <= pl.col("at") + late)
    return found.with_columns(pl.when(in_time).then("kind").alias("kind")).sort("place")


def _known(history: History, found: Frame, value: pl.Expr) -> Frame:
    sure = pl.col("at") + timedelta(days=settings(history).deed_days)
    over = pl.when(sure <= history.now)
    return found.select(value=over.then(value), known_at=over.then(sure))
