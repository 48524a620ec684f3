"""How wrong stored catalogues are forecast: all movements of a public set up to a day, one model for all of them.

At each standpoint the tenant's history ends the day before, the model is fitted on it, and every product with history
is asked about. What is forecast for comparison rests on the same history.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from bench.data import MissingError
from bench.report import goal, number, table

from foretell import metrics
from foretell.contract import Floats, Frame, History, Standpoint, Study, quantile
from foretell.domains.inventory import DEMAND
from foretell.domains.inventory.catalogue import Catalogue, experts
from foretell.domains.inventory.features import framed, panel
from foretell.domains.inventory.models import LEVELS, Local
from foretell.domains.inventory.schema import Settings
from foretell.domains.inventory.tables import MOVEMENTS, PRODUCTS, PROMOTIONS
from foretell.features.dates import Numbers
from foretell.features.dates import number as day_of
from foretell.features.days import Days, mean
from foretell.settings import ForetellSettings

SAMPLE = 150  # products that the slow methods are compared on, of the last standpoint
SLOW = ("ets", "prophet")
AHEAD = timedelta(days=7)  # how early promotions are planned, where a set is taken to have planned them
NAIVE = ("weekly naive", "28-day mean")


@dataclass(frozen=True)
class Data:
    """A public set: how it is read, the days before its end that are stood at, days ahead, and its goals.

    With `total` what is judged is the sum of the days ahead, else each day on its own.
    """

    read: Callable[[], Frame]  # product, category, date, units, out
    backs: tuple[int, ...]
    ahead: int
    total: bool
    what: str
    goals: Mapping[str, Callable[[Mapping[str, Mapping[str, float]]], tuple[float, bool]]]


def measure(name: str) -> dict[str, Any]:
    """The errors of one set, printed; raises MissingError without its file."""
    chosen = SETS[name]
    sent = chosen.read()
    end = sent["date"].max()
    assert isinstance(end, date)
    truth, sales = (panel(stored(one, end + timedelta(days=1))) for one in (sent, sent.with_columns(out=pl.lit(False))))
    said: dict[str, list[Floats]] = {}
    true, spent, slow = [], 0.0, {}
    for back in chosen.backs:
        began = time.process_time()
        now = end - timedelta(days=back - 1)
        history = stored(sent.filter(pl.col("date") < now), now, plans=sent)
        model = Catalogue(summed=chosen.total).fit(_study(history, framed([], "UTC")), pl.DataFrame())
        sold, points, rows = _forecast(model, history, truth, sales, chosen)
        spent += time.process_time() - began
        true.append(sold)
        for method, values in points.items():
            said.setdefault(method, []).append(values)
        if chosen.total and back == chosen.backs[-1]:
            slow = _beside(history, rows, sold, chosen.ahead)
    scores = _scores({method: np.concatenate(parts) for method, parts in said.items()}, np.concatenate(true))
    _print(chosen, scores, len(true), spent)
    goals = {words: goal(*held(scores)) for words, held in chosen.goals.items()}
    goals |= {words: goal(ratio, ratio < 1) for words, ratio in slow.items()}
    for words, one in goals.items():
        print(f"- {words}: {number(float(one['is']))}{'' if one['met'] else ' (NOT MET)'}")
    print()
    return {"scores": scores, "cpu_seconds": spent, "goals": goals}


def _read(folder: str, file: str) -> Frame:
    home = ForetellSettings().bench_data
    if home is None:
        raise MissingError("the folder of the public data is not set; type: FORETELL_BENCH_DATA=<folder> make bench")
    path = home / "inventory" / folder / file
    if not path.is_file():
        raise MissingError(f"there is no {path}; name the folder that has it: FORETELL_BENCH_DATA=<folder> make bench")
    return pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)


def _uci() -> Frame:
    return _read("uci_online_retail", "daily_sales_sparse.csv.gz").select(
        product=pl.col("sku").cast(pl.String), category=pl.lit(""), date="date", units=pl.col("units").cast(pl.Float64),
        out=pl.lit(False),
    )  # fmt: skip


def _fresh() -> Frame:
    return _read("freshretailnet", "daily.csv.gz").select(
        product=pl.concat_str("city_id", "store_id", "product_id", separator="/"),
        category=pl.col("third_category_id").cast(pl.String), date="date", units=pl.col("units").cast(pl.Float64),
        out=pl.col("stockout_hours_6_22") > 0,
    )  # fmt: skip


def _planned() -> Frame:
    sent = _read("freshretailnet", "daily.csv.gz")
    promoted = (pl.col("discount") < 1) | (pl.col("activity_flag") == 1)
    return _fresh().with_columns(sent.select(discount=pl.when(promoted).then(1 - pl.col("discount"))))


def _m5() -> Frame:
    wide = _read("m5_last84days", "wide_daily.csv.gz")
    columns = [name for name in wide.columns if name.startswith("d_")]
    first = date(2016, 3, 28)
    long = wide.select("id", "dept_id", *columns).unpivot(index=["id", "dept_id"], on=columns, value_name="units")
    days = pl.col("variable").str.strip_prefix("d_").cast(pl.Int64) - int(columns[0][2:])
    return long.select(
        product="id", category="dept_id", date=pl.lit(first) + pl.duration(days=days),
        units=pl.col("units").cast(pl.Float64), out=pl.lit(False),
    )  # fmt: skip


def stored(sent: Frame, now: date, plans: Frame | None = None) -> History:
    """What a tenant would have stored at the beginning of a day: sales by day, days out of stock, and promotions.

    Of promotions a tenant knows those of `plans` of the next `AHEAD` days.
    """
    day = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("time")
    whom = (pl.col("product").alias("entity"), day)
    sold = sent.filter(pl.col("units") > 0).select(*whom, quantity="units", kind=pl.lit("sale"))
    gone = sent.filter("out").select(*whom, quantity=pl.lit(0.0), kind=pl.lit("out_of_stock"))
    moved = pl.concat([sold, gone]).with_columns(known_at="time")
    kinds = (
        sent.filter(pl.col("category") != "").group_by("product", "category").agg(pl.col("date").min()).sort("product")
    )
    products = kinds.select(*whom, "category", price=pl.lit(None, pl.Float64)).with_columns(known_at="time")
    there = Standpoint(
        tenant="bench", now=datetime(now.year, now.month, now.day, tzinfo=UTC), zone="UTC", settings=Settings()
    )
    tables = {MOVEMENTS.name: moved, PRODUCTS.name: products}
    if plans is not None and "discount" in plans.columns:
        promoted = plans.filter(pl.col("discount").is_not_null(), pl.col("date") < now + AHEAD)
        tables[PROMOTIONS.name] = promoted.select(
            *whom, "discount", until=day.dt.offset_by("1d"), known_at=day.dt.offset_by(f"-{AHEAD.days}d")
        )
    return History(there, tables)


def _study(history: History, questions: Frame) -> Study:
    return DEMAND.study(history, questions)


def _forecast(
    model: Catalogue, history: History, truth: Days, sales: Days, chosen: Data
) -> tuple[Floats, dict[str, Floats], Frame]:
    """What happened, what each method said of it, and what the model said of totals with its quantiles.

    The naive ones take `sales` as they were, days out of stock or not.
    """
    every, day, steps = panel(history), day_of(history.now, "UTC"), np.arange(chosen.ahead)
    rows = np.searchsorted(truth.names, every.names)
    sold = truth.after(day, rows, chosen.ahead)
    block = sales.before(day, np.searchsorted(sales.names, every.names))
    assert model.found is not None
    said = dict(experts(history, model.found, every.names, history.now, chosen.ahead).said)
    said = {"weekly naive": block[:, steps % 7 - 7], "28-day mean": np.repeat(_mean(block), len(steps), axis=1)} | said
    asked: list[tuple[str, int, int]] = [(name, day, day + int(k)) for name in every.names for k in _asked(chosen)]
    forecast = model.forecast(_study(history, framed(asked, "UTC")))
    kept = ~forecast.rows["point"].is_null().to_numpy()
    if chosen.total:
        totals = {name: np.nan_to_num(one).sum(axis=1) for name, one in said.items()}
        ours = {"catalogue": forecast.rows["point"].to_numpy()}
        found = framed(asked, "UTC").hstack(forecast.rows.get_columns()).filter(pl.Series(kept))
        return sold.sum(axis=1)[kept], {name: v[kept] for name, v in (totals | ours).items()}, found
    points = said | {"catalogue": forecast.rows["point"].to_numpy().reshape(sold.shape)}
    there = ~np.isnan(sold) & kept.reshape(sold.shape)
    return sold[there], {name: np.nan_to_num(v)[there] for name, v in points.items()}, pl.DataFrame()


def _asked(chosen: Data) -> Numbers:
    return np.array([chosen.ahead - 1]) if chosen.total else np.arange(chosen.ahead)


def _mean(block: Floats) -> Floats:
    return np.nan_to_num(mean(block[:, -28:]))[:, None]


def _scores(said: Mapping[str, Floats], true: Floats) -> dict[str, dict[str, float]]:
    found = {}
    for method, values in said.items():
        wrong = values - true
        found[method] = {
            "wape": float(np.abs(wrong).sum() / true.sum()), "bias": float(wrong.sum() / true.sum()),
            "rmse": metrics.rmse(true, values),
        }  # fmt: skip
    return found


def _beside(history: History, ours: Frame, sold: Floats, ahead: int) -> dict[str, float]:
    """The quantile loss of totals as a ratio to that of methods too slow to ask about all."""
    drawn = np.random.default_rng(7).permutation(ours.height)[:SAMPLE]
    asked = ours[drawn].select("entity", "as_of", "at")
    columns = [quantile(level) for level in LEVELS]
    losses = {}
    for name in SLOW:
        rows = Local(name, summed=True).forecast(_study(history, asked)).rows
        losses[name] = metrics.pinball(sold[drawn], rows.select(columns).to_numpy(), LEVELS)
    mine = metrics.pinball(sold[drawn], ours[drawn].select(columns).to_numpy(), LEVELS)
    return {
        f"quantile loss of {ahead}-day totals / {name}'s, {len(drawn)} products": mine / losses[name] for name in SLOW
    }


def _print(chosen: Data, scores: Mapping[str, Mapping[str, float]], standpoints: int, spent: float) -> None:
    print(f"{chosen.what}; {standpoints} standpoints, {number(spent / standpoints)} s of one core each\n")
    keys = ("wape", "bias", "rmse")
    table(["", "WAPE", "bias", "RMSE"], [[name, *(number(of[key]) for key in keys)] for name, of in scores.items()])


def _naive(scores: Mapping[str, Mapping[str, float]], key: str) -> float:
    return min(scores[name][key] for name in NAIVE)


def _wape(most: float) -> Callable[[Mapping[str, Mapping[str, float]]], tuple[float, bool]]:
    def held(scores: Mapping[str, Mapping[str, float]]) -> tuple[float, bool]:
        ratio = scores["catalogue"]["wape"] / _naive(scores, "wape")
        return ratio, ratio <= most

    return held


def _bias(scores: Mapping[str, Mapping[str, float]]) -> tuple[float, bool]:
    best = min(NAIVE, key=lambda name: scores[name]["wape"])
    mine = abs(scores["catalogue"]["bias"])
    return mine, mine <= abs(scores[best]["bias"])


def _lowest(scores: Mapping[str, Mapping[str, float]]) -> tuple[float, bool]:
    ratio = scores["catalogue"]["rmse"] / min(of["rmse"] for name, of in scores.items() if name != "catalogue")
    return ratio, ratio < 1


def _unbiased(scores: Mapping[str, Mapping[str, float]]) -> tuple[float, bool]:
    return scores["catalogue"]["bias"], abs(scores["catalogue"]["bias"]) <= 0.03


def _rmse(scores: Mapping[str, Mapping[str, float]]) -> tuple[float, bool]:
    ratio = scores["catalogue"]["rmse"] / scores["28-day mean"]["rmse"]
    return ratio, ratio <= 0.95


SETS = {
    "uci": Data(
        _uci, (150, 120, 90, 60, 30), 30, True,
        "uci_online_retail: 30-day totals of all products with history, five monthly standpoints pooled",
        {"WAPE / the best naive's, at most 0.93": _wape(0.93), "bias no worse than that naive's": _bias,
         "RMSE / the least of any single method, below 1": _lowest},
    ),
    "fresh": Data(
        _fresh, (28, 21, 14, 7), 7, False,
        "freshretailnet: single days without stock-out of the last four weeks, a week ahead each; promotions not used",
        {"WAPE / the best naive's, at most 0.88": _wape(0.88), "bias within 3 %": _unbiased},
    ),
    "planned": Data(
        _planned, (28, 21, 14, 7), 7, False,
        "freshretailnet: the same, if its promotions and discounts of each day were planned a week ahead",
        {"WAPE / the best naive's, at most 0.88": _wape(0.88), "bias within 3 %": _unbiased},
    ),
    "m5": Data(
        _m5, (28,), 28, False,
        "m5_last84days, California: single days of the last four weeks, from 56 days of history",
        {"RMSE / the 28-day mean's, at most 0.95": _rmse},
    ),
}  # fmt: skip
