"""What homes are worth and where markets go, beside what is simpler, on public sales and indices.

Everything is out of sample and in time order. Sales are brought in as a tenant would have them: what a home is like is
known a month before its sale, the deed two weeks (King County) or 45 days (England) after it. Asked about is every sale
of the last fifth, the day before it. What is `served` is fitted anew four times in that fifth and calibrated day by
day, as in service; what is `frozen` knows nothing of it. The method was made on the sixteen hundredths before that
fifth, whose figures were looked at once before the number of trees was set, on those sixteen hundredths too.
"""

from __future__ import annotations

import gzip
import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
from bench.data import MissingError
from bench.report import goal, number, table

from foretell import metrics
from foretell.contract import DTYPES, INSTANT, Floats, Frame, History, Rolling, Standpoint, Study, Table
from foretell.domains.realestate import MARKET, VALUE
from foretell.domains.realestate.prices import NUMBERS, TEXTS, described
from foretell.domains.realestate.schema import Settings
from foretell.domains.realestate.tables import MARKETS, PROPERTIES, TRANSACTIONS
from foretell.engine.backtest import Backtest, backtest
from foretell.settings import ForetellSettings

DAY = timedelta(days=1)
FOOT = 0.09290304  # m² of a square foot
YEARS = range(2004, 2018)  # in whose June markets are asked about


def file(name: str) -> Path:
    """A file of real estate's public data; raises MissingError where it is not there."""
    whole = ForetellSettings().bench_data
    path = None if whole is None else whole / "realestate" / name
    if path is None or not path.is_file():
        raise MissingError(f"there is no realestate/{name}; type: FORETELL_BENCH_DATA=<folder> make bench")
    return path


def facts(of: Table, sent: Frame) -> Frame:
    """Rows of a table; what is not told is blank."""
    blank = {
        name: pl.lit("" if kind == "text" else None, dtype=DTYPES[kind])
        for name, kind in of.kinds.items()
        if name not in (*sent.columns, "known_at")
    }
    rows = sent.select(*(name for name in of.kinds if name in sent.columns and name != "known_at"), "known_at")
    return rows.with_columns(**blank).with_columns(entity=pl.col(of.entity[0])).sort("known_at", *of.key)


def tenant(sold: Frame, late: timedelta) -> History:
    """A tenant with these sales, whose homes were known a month before."""
    early = pl.col("time") - timedelta(days=31)
    homes = sold.with_columns(time=early, known_at=early).unique(["property", "time"], maintain_order=True)
    deals = sold.with_columns(known_at=pl.col("time") + late, kind=pl.lit("BUY"))
    nothing = pl.DataFrame(schema={"area": pl.String, "time": INSTANT, "known_at": INSTANT, "index": pl.Float64})
    tables = {PROPERTIES: homes, TRANSACTIONS: deals, MARKETS: nothing}
    now = cast("datetime", deals["known_at"].max())
    there = Standpoint(tenant="bench", now=now, zone="UTC", settings=Settings())
    return History(there, {of.name: facts(of, rows) for of, rows in tables.items()})


def king_county() -> History:
    """Sales of King County, Washington, 2014 and 2015."""
    told = {"id": pl.String, "zipcode": pl.String}
    sent = pl.read_csv(file("king_county_sales/kc_house_data.csv.gz"), schema_overrides=told, infer_schema_length=None)
    metres = {"size": "sqft_living", "land": "sqft_lot", "basement": "sqft_basement", "around": "sqft_living15"}
    sold = sent.select(
        "price", "bedrooms", "bathrooms", "floors", "condition", "grade", "view", property="id", area="zipcode",
        built="yr_built", renovated=pl.when(pl.col("yr_renovated") > 0).then("yr_renovated"), latitude="lat",
        longitude="long", waterfront=pl.col("waterfront") == 1,
        time=pl.col("date").str.head(8).str.to_datetime("%Y%m%d", time_unit="us").dt.replace_time_zone("UTC"),
        **{name: pl.col(column).cast(pl.Float64) * FOOT for name, column in metres.items()},
    )  # fmt: skip
    named = sold.with_columns(transaction=pl.format("{}-{}", "property", pl.col("time").dt.date()))
    return tenant(named.sort("time", "property", maintain_order=True), timedelta(days=14))


def england(name: str = "ppd_SW19_2010_2020") -> History:
    """Registered sales at market prices, homes linked by their address."""
    with gzip.open(file(f"uk_price_paid/{name}.csv.gz"), "rt", encoding="utf-8") as read:
        text = read.read().replace('linked_data_uri"', 'linked_data_uri\n"', 1)  # one header has no end
    sent = pl.read_csv(StringIO(text), infer_schema_length=0).filter(pl.col("transaction_category") == "A")
    address = pl.concat_str(
        [pl.col(part).fill_null("") for part in ("postcode", "paon", "saon", "street")], separator="|"
    )
    day = pl.col("deed_date").str.to_datetime("%Y-%m-%d", time_unit="us").dt.replace_time_zone("UTC")
    kinds = pl.concat_str("property_type", "estate_type", separator="/")
    sold = sent.select(
        transaction="unique_id", property=address, price=pl.col("price_paid").cast(pl.Float64), time=day,
        area=pl.col("postcode").fill_null("").str.split(" ").list.first(), street=pl.col("postcode").fill_null(""),
        kind=kinds, built=pl.when(pl.col("new_build") == "Y").then(day.dt.year().cast(pl.Int64)),
    )  # fmt: skip
    homes = sold.sort("time", "transaction")
    made = tenant(homes, timedelta(days=45))
    kind = homes.select("property", "kind", time=pl.col("time") - timedelta(days=31)).unique(["property", "time"])
    told = made["properties"].drop("kind").join(kind, on=["property", "time"], how="left", maintain_order="left")
    return History(made.standpoint, {**made.tables, "properties": told})


def simple(history: History, asked: Frame, learned: Frame, features: Any) -> Floats:
    """LightGBM as it comes, on logarithms: what homes are like, where, when, and the last price."""
    import lightgbm

    both = pl.concat([frame.select("property", "as_of", "at") for frame in (learned, asked)])
    homes = described(history, both)
    codes = homes.select(pl.col(*TEXTS).rank("dense"))
    numbers = homes.select(NUMBERS).with_columns(day=both["at"].dt.epoch("d"))
    past = np.column_stack([features["since"] + features["reference"], features["years"]])
    inputs = np.hstack([numbers.cast(pl.Float64).fill_null(np.nan).to_numpy(), codes.to_numpy(), past])
    shape = {"verbosity": -1, "num_threads": 1, "seed": 1, "deterministic": True}
    count, value = learned.height, np.log(learned["value"].to_numpy())
    data = lightgbm.Dataset(
        inputs[:count], value, categorical_feature=[numbers.width, numbers.width + 1, numbers.width + 2]
    )
    grown = lightgbm.train(shape, data, num_boost_round=100)
    return np.asarray(np.exp(grown.predict(inputs[count:], num_threads=1)))


def measure(name: str) -> dict[str, Any]:
    """The figures of one part, printed; raises MissingError without its files."""
    return zhvi() if name == "zhvi" else homes(name)


def homes(name: str) -> dict[str, Any]:
    """How near the value of sold homes is to what they were sold for."""
    history = king_county() if name == "king_county" else england()
    asked = VALUE.questions(history)
    day = asked.filter(pl.col("at") - pl.col("as_of") <= DAY)["as_of"].sort()
    mark, end = day[int(0.8 * len(day))], cast("datetime", day.max())
    began = time.perf_counter()
    tested = backtest(VALUE, history, rolling=Rolling(folds=6, span=(end - mark) / 4), budget=float("inf"))
    took = time.perf_counter() - began
    said = {f"{each}, served": rows for each, rows in tested.forecasts.items()}
    return _judged(name, history, tested, said, mark, took)


def _judged(
    name: str, history: History, tested: Backtest, said: dict[str, Frame], mark: datetime, took: float
) -> dict[str, Any]:
    whole = tested.asked.drop("fold", "state")
    past = VALUE.questions(history)
    past = past.hstack(VALUE.outcomes(history, past)).filter(pl.col("known_at") <= mark, pl.col("value").is_not_null())
    both = VALUE.study(history, pl.concat([past.select(whole.columns), whole]).drop("value", "known_at"))
    study, ask = (some(both, np.arange(*part)) for part in ((0, past.height), (past.height, both.questions.height)))
    frozen = VALUE.candidates["trees"]().fit(study, past.select("value", "known_at")).forecast(ask).rows
    plain = simple(history, whole, past.filter(pl.col("at") - pl.col("as_of") <= DAY), _only(both.features, past))
    said = {
        "LightGBM as it comes, frozen": pl.DataFrame({"point": plain}), "trees, frozen": frozen, **said,
    }  # fmt: skip
    ahead, sold = whole["at"] - whole["as_of"], pl.Series(~np.isnan(ask.features["since"]))
    since = whole["as_of"] >= mark
    parts = {
        "all, today": since & (ahead <= DAY), "sold before, today": since & (ahead <= DAY) & sold,
        "a year ahead": since & (ahead > 300 * DAY) & (ahead < 500 * DAY),
        "three years ahead": since & (ahead > 900 * DAY),
    }  # fmt: skip
    rows: list[list[object]] = []
    found: dict[str, dict[str, dict[str, float]]] = {}
    for part, where in parts.items():
        if where.sum() < 100:
            continue
        for each, one in said.items():
            figures = _figures(whole["value"].filter(where).to_numpy(), one.filter(where))
            found.setdefault(part, {})[each] = figures
            rows.append([f"{part}: {each}", int(where.sum()), *(number(of) for of in figures.values())])
    print(f"Asked from {mark:%Y-%m-%d} on; {history['transactions'].height:,} deals, raced in {took:.0f} s\n")
    table(["", "asked", "MAPE", "MdAPE", "R²", "80 % band held"], rows)
    return {"figures": found, "goals": _goals(name, found)}


def some(study: Study, places: Any) -> Study:
    """The study of some of its questions."""
    return Study(history=study.history, questions=study.questions[places], features=study.features.rows(places))


def _only(features: Any, past: Frame) -> Any:
    """The features of the sales asked about the day before, and of what is asked."""
    near = np.flatnonzero((past["at"] - past["as_of"] <= DAY).to_numpy())
    return features.rows(np.concatenate([near, np.arange(past.height, len(features))]))


def _figures(value: Floats, rows: Frame) -> dict[str, float]:
    point = rows["point"].to_numpy()
    wrong = np.abs(point / value - 1)
    held = metrics.coverage(value, rows["q10"].to_numpy(), rows["q90"].to_numpy()) if rows.width > 1 else None
    return {
        "mape": float(wrong.mean()), "mdape": float(np.median(wrong)), "r2": metrics.r2(value, point) or 0.0,
        "held": held,  # type: ignore[dict-item]
    }  # fmt: skip


def _goals(name: str, found: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    ours = found["all, today"]["trees, served"]
    held = goal(ours["held"], 0.77 <= ours["held"] <= 0.83)
    if name == "king_county":
        told = {"frozen": found["all, today"]["trees, frozen"], "served": ours}
        nearer = {f"{how}: MAPE ≤ 0.118": goal(of["mape"], of["mape"] <= 0.118) for how, of in told.items()}
        better = {f"{how}: R² ≥ 0.90": goal(of["r2"], of["r2"] >= 0.90) for how, of in told.items()}
        return {**nearer, **better, "served: 80 % band holds 77 to 83 %": held}
    again = found["sold before, today"]
    best = again["trees, served"]
    out: dict[str, Any] = {}
    for words, base in {
        "LightGBM as it comes": "LightGBM as it comes, frozen",
        "last price x index": "index, served",
    }.items():
        for figure in ("mape", "mdape"):
            share = best[figure] / again[base][figure]
            out[f"homes sold before, {figure}: of that of {words}, below 1"] = goal(share, share < 1)
    return out | {"served: 80 % band holds 77 to 83 %": held}


# ---------------------------------------------------------------- markets


def metros() -> History:
    """Price indices of American metropolitan areas, each month known at its end."""
    sent = pl.read_parquet(file("zhvi_metro/zhvi_metro_to_2019-06.parquet"))
    named = ("RegionID", "SizeRank", "RegionName", "RegionType", "StateName")
    rows = sent.unpivot(index=named, variable_name="month", value_name="index").drop_nulls("index")
    end = pl.col("month").str.to_datetime("%Y-%m-%d", time_unit="us").dt.replace_time_zone("UTC")
    told = rows.select("index", area=pl.col("RegionID").cast(pl.String), time=end.dt.truncate("1mo"), known_at=end)
    there = Standpoint(tenant="bench", now=cast("datetime", told["known_at"].max()), zone="UTC", settings=Settings())
    return History(there, {"markets": facts(MARKETS, told)})


def zhvi() -> dict[str, Any]:
    """How near indices a year and two years ahead are, asked each June; learned is what was known by then."""
    history = metros()
    past = MARKET.questions(history)
    past = past.hstack(MARKET.outcomes(history, past))
    learned = MARKET.study(history, past.drop("value", "known_at"))
    wrong: dict[str, dict[str, list[float]]] = {}
    held: dict[str, list[float]] = {}
    for year in YEARS:
        june = history["markets"].filter(pl.col("time") == datetime(year, 6, 1, tzinfo=UTC))
        known = (past["known_at"] <= june["known_at"][0]).fill_null(value=False).arg_true().to_numpy().astype(np.int64)
        study = Study(history=history, questions=learned.questions[known], features=learned.features.rows(known))
        for ahead in (12, 24):
            at = pl.col("time").dt.offset_by(f"{ahead}mo")
            asked = june.select("area", entity="area", as_of="known_at", at=at)
            value = MARKET.outcomes(history, asked)["value"]
            ask = MARKET.study(history, asked.filter(value.is_not_null()))
            truth = value.drop_nulls().to_numpy()
            half = ask.features["level"] + ahead / 2 * ask.features["rate_12m"]
            said = {"half of the growth": pl.DataFrame({"point": np.exp(half)})}
            for name, make in MARKET.candidates.items():
                said[name] = make().fit(study, past[known].select("value", "known_at")).forecast(ask).rows
            for name, rows in said.items():
                error = float(np.abs(rows["point"].to_numpy() / truth - 1).mean())
                wrong.setdefault(f"{ahead} months: {name}", {}).setdefault("mape", []).append(error)
            low, high = (said["learned"][of].to_numpy() for of in ("q10", "q90"))
            held.setdefault(f"{ahead} months: learned", []).append(metrics.coverage(truth, low, high))
    print(f"Asked each June, {YEARS[0]} to {YEARS[-1]}; MAPE of the areas, mean and worst over the years\n")
    told = [
        [name, number(float(np.mean(of["mape"]))), number(max(of["mape"])), number(_mean(held.get(name)))]
        for name, of in wrong.items()
    ]
    table(["", "MAPE", "worst year", "80 % band held"], told)
    goals = {}
    for ahead in (12, 24):
        ours, base = (float(np.mean(wrong[f"{ahead} months: {name}"]["mape"])) for name in ("learned", "continued"))
        goals[f"{ahead} months: MAPE / continued growth's, below 1"] = goal(ours / base, ours < base)
    return {"mape": {name: of["mape"] for name, of in wrong.items()}, "held": held, "goals": goals}


def _mean(shares: list[float] | None) -> float | None:
    return None if shares is None else float(np.mean(shares))


PARTS = ("king_county", "uk_value", "zhvi")
