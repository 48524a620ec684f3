"""A whole catalogue in one process: a model learned, 30 days of each product with intervals, the empty shelf's date.

The race that chooses the method is not in it: the catalogue's own model is fitted and asked. AutoETS and Prophet are
asked about a sample of the same products, totals and their quantiles alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bench import catalogue
from bench.child import peak
from bench.report import goal, met, number, table

from foretell import metrics
from foretell.contract import Floats, Frame, History, quantile
from foretell.domains.inventory import DEMAND, STOCKOUT, stockout
from foretell.domains.inventory.catalogue import Catalogue
from foretell.domains.inventory.features import framed, panel
from foretell.domains.inventory.models import LEVELS, Local
from foretell.engine.predict import TOGETHER
from foretell.features.dates import number as day_of
from foretell.models import stock as shelf

ROOT = Path(__file__).resolve().parent.parent
DAYS, COVER, SAMPLE = 30, 20, 40


def measure() -> dict[str, Any]:
    """Seconds and memory of a fresh process, and ratios to AutoETS and Prophet; raises MissingError without data."""
    sent = catalogue.SETS["uci"].read()
    done = subprocess.run([sys.executable, "-m", "bench.scale"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bench.scale failed: {done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    beside = _beside(sent, told)
    print(f"uci_online_retail, a year: {told['products']:,} products x {DAYS} days, one process; the race not in it\n")
    rows = [[words, number(told[key]), f"{unit}"] for words, key, unit in (
        ("learning", "learn", "s"), ("days with intervals", "days", "s"), ("dates of the empty shelf", "dates", "s"),
        ("all of it", "seconds", "s"), ("peak memory", "memory", "MB"))]  # fmt: skip
    table(["", "", ""], rows)
    head = ["beside, the same products", "seconds each / ours", "quantile loss of totals: ours / its"]
    table(head, [[name, number(of["times"]), number(of["loss"])] for name, of in beside.items()])
    goals = {
        "seconds for 4,000 products, < 120": goal(told["seconds"], told["seconds"] < 120),
        "peak memory in MB, < 1,500": goal(told["memory"], told["memory"] < 1500),
    }
    table(["goal", "is", ""], [[words, number(one["is"]), met(one["met"])] for words, one in goals.items()])
    return {**told, "beside": beside, "goals": goals}


def _stood(sent: Frame) -> tuple[History, list[str], int]:
    """The history up to a month before the end, the products that have two weeks of it, and the day it is."""
    now = _over(sent) - timedelta(days=DAYS)
    history = catalogue.stored(sent.filter(pl.col("date") < now), now)
    every, day = panel(history), day_of(history.now, "UTC")
    old = (~np.isnan(every.before(day, np.arange(len(every.names))))).sum(axis=1) >= 14
    return history, [name for name, kept in zip(every.names, old, strict=True) if kept], day


def _over(sent: Frame) -> date:
    last = sent["date"].max()
    assert isinstance(last, date)
    return last + timedelta(days=1)


def whole() -> dict[str, float]:
    """Seconds of each part and peak memory in MB, of this process."""
    history, names, day = _stood(catalogue.SETS["uci"].read())
    history = History(history.standpoint, dict(history.tables))  # nothing of it worked out yet
    began = time.perf_counter()
    alone, summed = Catalogue(), Catalogue(summed=True)
    for task, model in ((DEMAND, alone), (STOCKOUT, summed)):
        model.fit(task.study(history, framed([], "UTC")), pl.DataFrame())
    learned = time.perf_counter()
    spent = {"days": 0.0, "dates": 0.0}
    for some in (names[k : k + TOGETHER] for k in range(0, len(names), TOGETHER)):
        asked = framed([(name, day, day + k) for name in some for k in range(DAYS)], "UTC")
        start = time.perf_counter()
        alone.forecast(DEMAND.study(history, asked))
        half = time.perf_counter()
        draws = summed.forecast(STOCKOUT.study(history, asked)).draws
        assert draws is not None
        for one in draws.reshape(len(some), DAYS, -1):
            empty = shelf.empty(one - COVER * float(one[-1].mean()) / DAYS)
            [stockout.by(empty, share, DAYS) for share in (0.1, 0.5, 0.9)]
        spent = {"days": spent["days"] + half - start, "dates": spent["dates"] + time.perf_counter() - half}
    total = time.perf_counter() - began
    return {"products": len(names), "learn": learned - began, **spent, "seconds": total, "memory": peak()}


def _beside(sent: Frame, told: dict[str, float]) -> dict[str, dict[str, float]]:
    """Of AutoETS and Prophet their time for a product relative to ours, and our loss relative to theirs."""
    history, names, day = _stood(sent)
    truth = panel(catalogue.stored(sent, _over(sent)))
    drawn = [names[k] for k in np.sort(np.random.default_rng(7).permutation(len(names))[:SAMPLE])]
    sold = truth.after(day, np.searchsorted(truth.names, drawn), DAYS).sum(axis=1)
    study = STOCKOUT.study(history, framed([(name, day, day + DAYS - 1) for name in drawn], "UTC"))

    def loss(rows: Frame) -> float:
        said: Floats = rows.select(quantile(level) for level in LEVELS).to_numpy()
        return metrics.pinball(sold, said, LEVELS)

    mine = loss(Catalogue(summed=True).fit(study, pl.DataFrame()).forecast(study).rows)
    found = {}
    for name in catalogue.SLOW:
        start = time.perf_counter()
        rows = Local(name, summed=True).forecast(study).rows
        each = (time.perf_counter() - start) / len(drawn)
        found[name] = {"times": each / (told["seconds"] / told["products"]), "loss": mine / loss(rows)}
    return found


if __name__ == "__main__":
    print(json.dumps(whole()))
