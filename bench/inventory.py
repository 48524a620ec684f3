"""How wrong a month's demand is, and how often the true day of an empty shelf lies in the 80 % interval.

Every case is a product at a past day, asked as a request that brings its own history of up to two years before that
day; nothing after it is seen. Products are drawn by class, so that the rare classes are measured too. The interval of a
date is scored as in Gneiting & Raftery (2007): its width, and ten days for each day that the true date lies outside;
beyond the horizon counts as the day after it. An interval of whole days holds more of the futures it was made of than
the 80 % it is asked for; how many is `as it says`. Beside ours the same question is put to days of the last three
months drawn one by one (iid bootstrap), and for some to paths that a fitted AutoETS simulates, below zero cut off.

What was sold counts as the demand, before a standpoint and after it, on days with an empty shelf too: hardly any month
of freshretailnet is without one, and a date behind a day of unknown demand could not be told.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bench.data import MissingError
from bench.report import goal, met, number, table

from foretell.contract import Floats, Forecast, History, Standpoint
from foretell.domains.inventory import DEMAND, STOCKOUT, stockout
from foretell.domains.inventory.schema import Day, DemandAnswer, DemandRequest, Settings, StockoutRequest
from foretell.domains.inventory.tables import MOVEMENTS
from foretell.engine.predict import Prediction, predict
from foretell.models import paths
from foretell.models import stock as shelf
from foretell.settings import ForetellSettings

MONTH = 30
RIVALS = {"iid": "iid bootstrap", "ets": "AutoETS simulated"}
COVERS = (5, 10, 20, 40)  # days of stock on the shelf
CLASSES = ("smooth", "erratic", "intermittent", "lumpy", "new")
NOTHING = pl.DataFrame(
    schema={"entity": pl.String(), "time": pl.Datetime("us", "UTC"), "quantity": pl.Float64(), "kind": pl.String(),
            "known_at": pl.Datetime("us", "UTC")}
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A product standing at a day: what had been sold on each day before it, and what was on those from it on."""

    product: str
    day: date
    past: Floats
    future: Floats


@dataclass(frozen=True)
class Data:
    """A public set: its folder and file, the days before its end that are stood at, products drawn, days ahead."""

    folder: str
    file: str
    origins: tuple[int, ...]
    each: int  # cases of a class for dates
    horizon: int
    covers: tuple[int, ...]


SETS = {
    "uci": Data("uci_online_retail", "daily_sales_sparse.csv.gz", (270, 240, 210, 180, 150, 120, 90), 260, 90, COVERS),
    "fresh": Data("freshretailnet", "daily.csv.gz", (48, 44, 40, 35, 30), 340, 30, COVERS[:3]),
}
FEW = 60  # cases of a class that months and AutoETS, which take their time, are measured on
ENOUGH = 1000  # dates of a class that a verdict rests on
WORLDS = 400
LEVEL = 0.8


def measure(name: str) -> dict[str, Any]:
    """The tables of one set, printed; raises MissingError without its file."""
    chosen = SETS[name]
    cases = _drawn(chosen)
    took: list[float] = []
    rows, dates = [], []
    seen: Counter[str] = Counter()
    for kind, case in cases:
        seen[kind] += 1
        few = seen[kind] <= FEW
        if few:
            began = time.perf_counter()
            rows.append(_month(kind, case))
            took.append(time.perf_counter() - began)
        dates += _dates(kind, case, chosen, few=few)
    figures = {"months": _months(rows), "dates": _covered(dates), "confidence": _confidence(dates)}
    print(f"one forecast of 30 days, raced: median {1000 * float(np.median(took)):.0f} ms, "
          f"95 % within {1000 * float(np.quantile(took, 0.95)):.0f} ms\n")  # fmt: skip
    return figures | {"milliseconds": 1000 * float(np.median(took)), "goals": _goals(figures["dates"])}


def _read(chosen: Data) -> pl.DataFrame:
    folder = ForetellSettings().bench_data
    if folder is None:
        raise MissingError("the folder of the public data is not set; type: FORETELL_BENCH_DATA=<folder> make bench")
    path: Path = folder / "inventory" / chosen.folder / chosen.file
    if not path.is_file():
        raise MissingError(f"there is no {path}; name the folder that has it: FORETELL_BENCH_DATA=<folder> make bench")
    sent = pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)
    if "sku" in sent.columns:
        return sent.select(product=pl.col("sku").cast(pl.String), date="date", units=pl.col("units").cast(pl.Float64))
    ids = pl.concat_str("city_id", "store_id", "product_id", separator="/")
    return sent.select(product=ids, date="date", units=pl.col("units").cast(pl.Float64))


def _drawn(chosen: Data) -> list[tuple[str, Case]]:
    """Cases by class, as many of each as there are and should be."""
    random = np.random.default_rng(7)
    found: dict[str, list[Case]] = {}
    sent = _read(chosen)
    products = sent["product"].unique(maintain_order=True).to_list()
    kept = set(random.permutation(products)[:4500].tolist())
    for kind, case in _cases(sent.filter(pl.col("product").is_in(list(kept))), chosen):
        found.setdefault(kind, []).append(case)
    out = []
    for kind in CLASSES:
        some = found.get(kind, [])
        out += [(kind, some[int(k)]) for k in random.permutation(len(some))[: chosen.each]]
    return out


def _cases(sent: pl.DataFrame, chosen: Data) -> Iterator[tuple[str, Case]]:
    from foretell.domains.inventory.patterns import kind
    from foretell.features.days import Line

    first, last = sent["date"].min(), sent["date"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    length = (last - first).days + 1
    for (product,), part in sent.partition_by("product", as_dict=True).items():
        units = np.zeros(length)
        np.add.at(units, (part["date"] - first).dt.total_days().to_numpy(), part["units"].to_numpy())
        begin = int(np.flatnonzero(units)[0]) if units.any() else length
        for back in chosen.origins:
            past, future = units[begin : length - back], units[length - back :]
            if len(past) < 42 or past[-28:].sum() <= 0:  # a product that moves: else there is nothing to ask
                continue
            name = kind(Line(first=0, value=past, moved=past > 0)).name
            yield name, Case(str(product), first + timedelta(days=length - back), past, future)


def _request(case: Case) -> list[Day]:
    count = len(case.past)
    return [Day(date=case.day - timedelta(days=count - k), quantity=float(case.past[k])) for k in range(count)]


def _history(case: Case) -> History:
    now = datetime(case.day.year, case.day.month, case.day.day, tzinfo=UTC)
    there = Standpoint(tenant="bench", now=now, zone="UTC", settings=Settings(minimum_days=30))
    return History(there, {MOVEMENTS.name: NOTHING})


def _said(task: Any, request: Any, case: Case) -> Prediction:
    (said,) = predict([(task, request)], _history(case), {})
    if not isinstance(said, Prediction):
        raise said
    return said


def _month(kind: str, case: Case) -> dict[str, Any]:
    request = DemandRequest(product=case.product, history=_request(case), horizon_days=MONTH, interval_width=0.8)
    answer = _said(DEMAND, request, case).answer
    assert isinstance(answer, DemandAnswer)
    actual = case.future[:MONTH]
    inside = [day.low <= y <= day.high for day, y in zip(answer.predictions, actual, strict=True)]
    return {
        "kind": kind, "method": answer.method, "actual": float(actual.sum()),
        "ours": sum(day.expected for day in answer.predictions),
        "naive": float(np.resize(case.past[-7:], MONTH).sum()), "mean28": float(case.past[-28:].mean() * MONTH),
        "inside": float(np.mean(inside)),
    }  # fmt: skip


def _dates(kind: str, case: Case, chosen: Data, *, few: bool) -> list[dict[str, Any]]:
    """One row for each cover: whether the true date lay in the interval, and near the predicted one; and the scores."""
    history = _request(case)
    ask = StockoutRequest(product=case.product, history=history, current_stock_units=1, horizon_days=chosen.horizon)
    said = _said(STOCKOUT, ask, case)
    forecast: Forecast = said.forecast
    assert forecast.draws is not None
    used = np.cumsum(case.future[: chosen.horizon])
    random = paths.generator(case.product, case.day.toordinal())
    others = {"iid": np.cumsum(random.choice(case.past[-91:], (chosen.horizon, WORLDS)), axis=0)}
    if few:
        others["ets"] = _simulated(case, chosen.horizon)
    out = []
    for cover in chosen.covers:
        stock = max(1.0, cover * float(case.past[-28:].mean()))
        true = float(np.argmax(used >= stock) + 1) if (used >= stock).any() else np.inf
        empty = shelf.empty(forecast.draws - stock)
        low, until, high = (stockout.by(empty, share, chosen.horizon) for share in (0.1, 0.5, 0.9))
        rivals = {name: _scored(shelf.empty(each - stock), true, chosen.horizon) for name, each in others.items()}
        right = true == np.inf if until is None else abs(true - until) <= stockout.near(until)
        out.append({
            "kind": kind, "cover": cover, "inside": (low or np.inf) <= true <= (high or np.inf),
            "early": true < (low or np.inf), "late": true > (high or np.inf),
            "said": float(((empty >= (low or np.inf)) & (empty <= (high or np.inf))).mean()),
            "width": min(high or chosen.horizon, chosen.horizon) - min(low or chosen.horizon, chosen.horizon),
            "sure": stockout.sure(empty, until, chosen.horizon), "right": bool(right), "told": until is not None,
            "score": _scored(empty, true, chosen.horizon)[1], "rivals": rivals,
        })  # fmt: skip
    return out


def _scored(empty: Floats, true: float, horizon: int) -> tuple[bool, float]:
    """Whether the 80 % interval of the date holds the true one, and its interval score in days."""
    end = horizon + 1
    low, high = (stockout.by(empty, share, horizon) or end for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    day = min(true, end)
    return low <= day <= high, high - low + 2 / (1 - LEVEL) * (max(0, low - day) + max(0, day - high))


def _simulated(case: Case, horizon: int) -> Floats:
    """What goes out by each day in paths of an AutoETS, weekly season, of the last year; a constant goes on."""
    from statsforecast.models import AutoETS

    late = case.past[-364:]
    if late.min() == late.max():
        return np.cumsum(np.full((horizon, WORLDS), late[-1]), axis=0)
    made = AutoETS(season_length=7).fit(late).simulate(h=horizon, n_paths=WORLDS, seed=1)
    return np.cumsum(np.maximum(np.nan_to_num(np.asarray(made).T), 0.0), axis=0)


def _months(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for kind in (*CLASSES, "all"):
        some = pl.DataFrame([row for row in rows if kind in (row["kind"], "all")])
        if some.is_empty():
            continue
        of = {name: some[name].to_numpy() for name in ("naive", "mean28", "ours", "actual", "inside")}
        sold = float(of["actual"].sum())
        wape = {name: float(np.abs(of[name] - of["actual"]).sum()) / sold for name in ("naive", "mean28", "ours")}
        bias = float((of["ours"] - of["actual"]).sum()) / sold
        methods = some["method"].value_counts(sort=True)["method"].to_list()
        figures = {**wape, "bias": bias, "covered": float(of["inside"].mean())}
        found[kind] = {"cases": some.height, "methods": methods[:3], "figures": figures}
    print("30-day totals, WAPE\n")
    head = ["class", "cases", "weekly naive", "28-day mean", "auto", "bias of auto", "80 % bounds of days cover"]
    keys = ("naive", "mean28", "ours", "bias", "covered")
    table(head, [[kind, one["cases"], *(number(one["figures"][key]) for key in keys)] for kind, one in found.items()])
    return found


def _covered(dates: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[dict[str, Any]]] = {kind: [d for d in dates if d["kind"] == kind] for kind in CLASSES}
    groups |= {f"{c} days of cover": [d for d in dates if d["cover"] == c] for c in COVERS} | {"all": dates}
    for name, some in groups.items():
        if some:
            mean = {
                key: float(np.mean([d[key] for d in some]))
                for key in ("inside", "said", "early", "late", "width", "score")
            }
            found[name] = {"cases": len(some), **mean, "beside": _beside(some)}
    print("dates of an empty shelf: the 80 % interval\n")
    keys = ("inside", "said", "early", "late", "width", "score")
    head = ["", "cases", "covers", "as it says", "truth earlier", "truth later", "days wide", "interval score"]
    table(head, [[name, of["cases"], *(number(of[key]) for key in keys)] for name, of in found.items()])
    print("interval scores beside others on the same cases (and what theirs cover)\n")
    rows = []
    for name, of in found.items():
        cells = [[of["beside"].get(rival, {}).get(key) for key in ("ours", "theirs", "covers")] for rival in RIVALS]
        rows.append([name, *("-" if cell is None else number(cell) for each in cells for cell in each)])
    table(["", *(cell for words in RIVALS.values() for cell in ("ours", words, "covers"))], rows)
    return found


def _goals(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Of the classes with a thousand dates, that the interval covers what it says and has the lower score."""
    goals = {}
    for kind in CLASSES:
        if kind == "new" or found.get(kind, {}).get("cases", 0) < ENOUGH:
            continue
        covers = found[kind]["inside"]
        goals[f"{kind}: the 80 % interval of the date covers 0.76 to 0.84"] = goal(covers, 0.76 <= covers <= 0.84)
        for rival, of in found[kind]["beside"].items():
            ratio = of["ours"] / of["theirs"]
            goals[f"{kind}: interval score, of {RIVALS[rival]}'s < 1"] = goal(ratio, ratio < 1)
    table(["goal", "is", ""], [[words, number(g["is"]), met(g["met"])] for words, g in goals.items()])
    return goals


def _beside(some: list[dict[str, Any]]) -> dict[str, Any]:
    """Ours and each rival on the cases that the rival has."""
    found = {}
    for rival in RIVALS:
        both = [(d["score"], *d["rivals"][rival]) for d in some if rival in d["rivals"]]
        if both:
            ours, covers, theirs = (float(np.mean(column)) for column in zip(*both, strict=True))
            found[rival] = {"cases": len(both), "ours": ours, "theirs": theirs, "covers": covers}
    return found


def _confidence(dates: list[dict[str, Any]]) -> dict[str, Any]:
    said, right = (np.array([float(d[key]) for d in dates]) for key in ("sure", "right"))
    brier, base = float(np.square(said - right).mean()), float(np.square(right.mean() - right).mean())
    parts = np.array_split(np.argsort(said, kind="stable"), 5)
    print(f"confidence in the date: Brier {number(brier)}; of always saying the share that was right {number(base)}\n")
    table(["said", "was right", "cases"], [[number(said[p].mean()), number(right[p].mean()), len(p)] for p in parts])
    return {"brier": brier, "base_brier": base}
