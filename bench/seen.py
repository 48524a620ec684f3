"""What can be known of the seeded world's people by who knows its laws, and of each no more than what is on record.

Their true chances rest on what they are about, which nobody sees, and on moves whose deeds are not in yet. A filter
over both (a hidden Markov model's forward pass, Rabiner 1989) with the world's own numbers is the best that can be
said: a learner that does better had luck.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Floats, Frame
from foretell.domains.realestate import sample
from foretell.domains.realestate.sample import World

REST = np.eye(3)[0]  # what who has just moved is about
NEW = np.array([0.1])  # years at home of who moved lately: up to two, people move as seldom


def chances(made: World, mark: datetime) -> Frame:
    """Of each person (`entity`) the `chance` to move within the horizon, by what was known at a first of a month."""
    people = made.tables["people"].sort("entity")
    begin: datetime = people["time"][0]  # of all alike
    starts = pl.datetime_range(begin, mark, "1mo", eager=True).cast(INSTANT)
    who, years = people["entity"], _years(made, people["entity"], begin)
    likely = _likely(made, who, starts)
    moved = _counted(_moves(made).filter(pl.col("known_at") <= mark), who, starts) > 0
    # What each is about: of those who have not moved since the last deed, and of those who have, with no deed yet.
    old, new = np.tile(REST, (len(who), 1)), np.zeros((len(who), 3))
    late = sample.hazards(NEW)
    for month, told in enumerate(likely):
        old, new = old @ sample.STEP * told, new @ sample.STEP * told
        hazard = sample.hazards(years)
        gone = (old * hazard + new * late).sum(axis=1)
        old, new = old * (1 - hazard), new * (1 - late)
        new[:, 0] += gone * _unknown(starts[month], starts[month + 1], mark)
        every = (old + new).sum(axis=1, keepdims=True)
        old, new = old / every, new / every
        old[moved[month]], new[moved[month]] = REST, 0
        years = np.where(moved[month], 0, years + 1 / 12)
    chance = sum(
        old[:, k] * sample.ahead(np.full(len(who), k), years) + new[:, k] * sample.ahead(np.array([k]), NEW)
        for k in range(3)
    )
    return pl.DataFrame({"entity": who, "chance": np.asarray(chance)})


def _moves(made: World) -> Frame:
    """The deals of people who moved."""
    return made.tables["transactions"].filter(pl.col("kind").is_in(sample.KINDS[:2]) & (pl.col("entity") != ""))


def _years(made: World, who: pl.Series, begin: datetime) -> Floats:
    """How long each had lived at home when the world began."""
    since = made.tables["homes"].group_by("entity").agg(pl.col("time").min())
    there = who.to_frame().join(since, on="entity", how="left", maintain_order="left")["time"]
    years: Floats = (begin - there).dt.total_seconds().to_numpy() / 86_400 / 365.25
    return years


def _counted(rows: Frame, who: pl.Series, starts: pl.Series) -> Floats:
    """How many rows each person has in each month (months x people); those before and after are left out."""
    rows = rows.filter((pl.col("time") >= starts[0]) & (pl.col("time") < starts[-1]))
    month = starts.search_sorted(rows["time"], side="right").to_numpy() - 1
    made = np.zeros((len(starts) - 1, len(who)))
    np.add.at(made, (month, who.search_sorted(rows["entity"]).to_numpy()), 1)
    return made


def _likely(made: World, who: pl.Series, starts: pl.Series) -> Floats:
    """How likely what each did in each month is for whoever is about each of three things, beside the likeliest."""
    told: Floats = np.zeros((len(starts) - 1, len(who), 3))
    for name, share in sample.SEEN.items():
        rate = sample.VISITS * share
        told += _counted(made.tables[name], who, starts)[:, :, None] * np.log(rate) - rate
    for name in ("emails", "alerts"):
        events = (made.tables[name].filter(pl.col("event") == each) for each in ("sent", "open", "click"))
        sent, opened, clicked = (_counted(each, who, starts)[:, :, None] for each in events)
        told += opened * np.log(sample.OPENED) + (sent - opened) * np.log(1 - sample.OPENED)
        told += clicked * np.log(sample.CLICKED) + (opened - clicked) * np.log(1 - sample.CLICKED)
    return np.asarray(np.exp(told - told.max(axis=2, keepdims=True)))


def _unknown(start: datetime, end: datetime, mark: datetime) -> float:
    """The chance that the deed of a deal on some day between two moments is not in at the mark."""
    ago = (mark - start).days - np.arange((end - start).days) - 0.5
    least, most = sample.REGISTERED
    return float(np.clip((most - ago) / (most - least), 0, 1).mean())
