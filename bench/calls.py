"""Who says yes on the telephone: a bank's calls, 2008 to 2010, by the learners of who moves.

Its columns are no facts of real estate, so the learners get them as they are, save how long a call took. Calls come in
the order of time, and what came of one is known when it ends. Twice: learned once, from the first four fifths; and as
in service, learned anew every 500 calls from the 8,000 before. That, and trees alone, were chosen on the fourth fifth;
the share who said yes in the 500 and 2,000 calls up to 200 before is a column too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from bench import deals
from bench.movers import Scores, score
from bench.report import goal, met, number, table
from numpy.typing import NDArray

from foretell.contract import Block, Floats, History, Standpoint, Study
from foretell.domains.realestate.models import SHAPE, Part
from foretell.domains.realestate.schema import Settings
from foretell.models.boosted import BoostedChance
from foretell.models.linear import LinearChance

NUMBERS = ("age", "campaign", "previous", "emp.var.rate", "cons.price.idx", "cons.conf.idx", "euribor3m", "nr.employed")
WORDS = ("job", "marital", "education", "default", "housing", "loan", "contact", "poutcome", "month", "day_of_week")
TEST, STEP, RECENT, LAG = 0.8, 500, 8000, 200
Places = NDArray[np.int64]


def measure() -> dict[str, Any]:
    """The figures, printed; raises MissingError without the file."""
    path = deals.file("bank_marketing/bank-additional-full.csv.gz")
    sent = pl.read_csv(path, separator=";", infer_schema_length=None)
    happened = (sent["y"] == "yes").cast(pl.Float64).to_numpy()
    block = _columns(sent, happened)
    first = int(TEST * len(happened))
    test = happened[first:]
    once = {
        name: _said(block, happened, np.arange(first), np.arange(first, len(happened)), name)
        for name in ("line", "trees")
    }
    once["line and trees"] = (once["line"] + once["trees"]) / 2
    found: dict[str, Scores] = {f"{name}, learned once": score(test, _chance(odds)) for name, odds in once.items()}
    found["trees, as in service"] = score(test, _chance(_rolling(block, happened, first)))
    head = ["last fifth of the calls", *found["trees, as in service"]]
    table(head, [[name, *map(number, one.values())] for name, one in found.items()])
    print(f"{len(test):,} calls, of which {test.mean():.1%} a yes; {happened[:first].mean():.1%} before\n")
    auc = found["trees, as in service"]["AUC"] or 0.0
    goals = {"AUC >= 0.72": goal(auc, auc >= 0.72)}
    table(["goal", "is", ""], [[words, number(one["is"]), met(one["met"])] for words, one in goals.items()])
    return {"figures": found, "goals": goals}


def _columns(sent: pl.DataFrame, happened: Floats) -> Block:
    told = {name: sent[name].cast(pl.Float64).to_numpy() for name in NUMBERS}
    told["pdays"] = sent.select(pl.when(pl.col("pdays") != 999).then("pdays").cast(pl.Float64)).to_series().to_numpy()
    for name in WORDS:
        told |= {f"{name}={one}": (sent[name] == one).cast(pl.Float64).to_numpy() for one in sent[name].unique().sort()}
    total = np.concatenate([[0.0], np.cumsum(happened)])
    last = np.maximum(np.arange(len(happened)) - LAG, 0)
    for width in (500, 2000):
        begin = np.maximum(last - width, 0)
        count = last - begin
        told[f"yes in {width}"] = np.where(count > 0, (total[last] - total[begin] + 1) / (count + 10), np.nan)
    return Block.of_columns(told)


def _study(block: Block, places: Places) -> Study:
    asked = pl.DataFrame({"as_of": places, "at": places})
    nobody = History(Standpoint(tenant="bench", now=deals.EARLY, zone="UTC", settings=Settings()), {})
    return Study(history=nobody, questions=asked, features=block.rows(places))


def _said(block: Block, happened: Floats, learn: Places, ask: Places, name: str) -> Floats:
    """The log-odds of the calls asked about."""
    part: Part = LinearChance(columns=block.names)
    if name == "trees":
        part = BoostedChance(columns=block.names, rounds=100, most=60_000, shape=SHAPE)
    part.fit(_study(block, learn), pl.DataFrame({"value": happened[learn]}))
    return part.odds(_study(block, ask))


def _chance(odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-odds)))


def _rolling(block: Block, happened: Floats, first: int) -> Floats:
    """Learned anew before every so many calls, from those just before."""
    out = []
    for start in range(first, len(happened), STEP):
        ask = np.arange(start, min(start + STEP, len(happened)))
        out.append(_said(block, happened, np.arange(start - RECENT, start), ask, "trees"))
    return np.concatenate(out)
