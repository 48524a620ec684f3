"""The stored catalogue: one learner for all products, methods weighed product by product, offers known ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from statsforecast.models import TSB, CrostonSBA
from tests.inventory import STORED

from foretell.contract import INSTANT, Floats, Forecast, History, Standpoint, Study
from foretell.domains.inventory import DEMAND, STOCKOUT
from foretell.domains.inventory.catalogue import Catalogue, Learner, classed
from foretell.domains.inventory.features import framed, lines, offers, panel
from foretell.domains.inventory.patterns import kind
from foretell.domains.inventory.sample import sample
from foretell.domains.inventory.schema import Settings
from foretell.domains.inventory.tables import PRODUCTS, PROMOTIONS
from foretell.features import days
from foretell.features.ahead import Seen
from foretell.features.dates import number
from foretell.models.weights import weights

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
DAYS, NAMES = 200, [f"p{k:02d}" for k in range(30)]
NOW = FIRST + timedelta(days=DAYS)
ASKED = number(NOW, "UTC")
TRIPLED = [range(k, k + 4) for k in range(20, DAYS, 40)]  # days since the first on which all are promoted


def sold(seed: int = 3) -> Floats:
    """Demand of products of different levels, three times as high while they are promoted (products x days)."""
    random = np.random.default_rng(seed)
    level = np.geomspace(0.3, 30, len(NAMES))[:, None] * np.ones(DAYS)
    level[:, [day for span in TRIPLED for day in span]] *= 3
    found: Floats = random.poisson(level).astype(float)
    return found


def shop(demand: Floats, *, gone: range = range(0), planned: datetime | None = None) -> History:
    """The shop at `NOW`: out of stock on the days `gone`, the next four days promoted if that is planned."""
    rows = [(NAMES[k], FIRST + timedelta(days=int(day)), float(demand[k, day]), "sale")
            for k, day in np.argwhere(demand > 0) if day not in gone]  # fmt: skip
    rows += [(name, FIRST + timedelta(days=day), 0.0, "out_of_stock") for name in NAMES for day in gone]
    moved = pl.DataFrame([(*row, row[1]) for row in rows], schema=STORED, orient="row")
    spans = [(FIRST + timedelta(days=span[0]), FIRST + timedelta(days=span[-1] + 1), FIRST) for span in TRIPLED]
    spans += [(NOW, NOW + timedelta(days=4), planned)] if planned else []
    told = pl.DataFrame(
        [(name, *span, 0.2) for name in NAMES for span in spans],
        schema={"entity": pl.String, "time": INSTANT, "until": INSTANT, "known_at": INSTANT, "discount": pl.Float64},
        orient="row",
    )
    there = Standpoint(tenant="shop", now=NOW, zone="UTC", settings=Settings())
    return History(there, {"movements": moved, PROMOTIONS.name: told})


def studied(history: History, names: list[str], steps: int = 7) -> Study:
    """The next days of some products."""
    asked = framed([(name, ASKED, ASKED + step) for name in names for step in range(steps)], "UTC")
    return DEMAND.study(history, asked)


@cache
def fitted() -> Catalogue:
    """The catalogue's model."""
    return Catalogue().fit(studied(shop(sold()), NAMES), pl.DataFrame())


def points(said: Forecast) -> Floats:
    """What is expected."""
    return said.rows["point"].to_numpy()


def test_the_array_has_the_same_days_as_the_lines() -> None:
    history = sample(1).history
    every, day = panel(history), number(history.now, "Europe/Berlin")
    block = every.before(day, np.arange(len(every.names)))
    for row, name in zip(block, every.names, strict=True):
        line = lines(history)[name].until(day)
        assert line is not None
        assert np.array_equal(row[-len(line.value) :], line.value, equal_nan=True)
        assert np.isnan(row[: -len(line.value)]).all()
    assert classed(block) == [kind(lines(history)[name].until(day)).name for name in every.names]  # type: ignore[arg-type]


def test_the_quick_methods_are_those_of_statsforecast() -> None:
    block = np.full((3, days.WINDOW), np.nan)
    block[:, -300:] = sold()[[0, 15, 29]][:, np.arange(300) % DAYS]
    for k, row in enumerate(block[:, -300:]):
        assert days.croston(block)[k] == pytest.approx(CrostonSBA().forecast(y=row, h=1)["mean"][0])
        assert days.tsb(block)[k] == pytest.approx(TSB(alpha_p=0.05, alpha_d=0.1).forecast(y=row, h=1)["mean"][0])


def test_a_fading_mean_forgets_and_a_spike_is_told_from_steady_days() -> None:
    few = np.full((1, days.YEAR), np.nan)
    few[0, -3:] = [1.0, np.nan, 4.0]
    assert days.fading(few, 2)[0] == pytest.approx((0.25 * 1 + 1 * 4) / 1.25)
    assert np.isnan(days.fading(np.full((1, 9), np.nan), 2)[0])
    flat = np.ones((2, days.WINDOW))
    assert days.spiked(flat) == 1.0
    flat[0, -5] = 50.0
    usual = (days.YEAR - 1 + 50) / days.YEAR
    assert days.spiked(flat) == pytest.approx((181 + 50) / (181 + days.USUAL * usual))
    assert days.spiked(np.zeros((2, days.WINDOW))) == 1.0


def test_a_day_out_of_stock_is_unknown_and_never_zero() -> None:
    gone = range(DAYS - 10, DAYS)
    history = shop(sold(), gone=gone)
    every = panel(history)
    block = every.before(ASKED, np.arange(len(NAMES)))
    assert np.isnan(block[:, -10:]).all()
    state = days.state(block)
    assert np.isnan(state["mean7"]).all()
    level = sold()[:, : DAYS - 10][:, -18:].mean(axis=1)
    assert state["mean28"] * days.scale(block) == pytest.approx(level)
    other = shop(
        np.where(np.arange(DAYS) >= DAYS - 10, 7777.0, sold()), gone=gone
    )  # what it would have been is nothing
    assert np.array_equal(panel(other).value, every.value, equal_nan=True)
    assert DEMAND.outcomes(history, framed([("p00", ASKED - 12, ASKED - 5)], "UTC"))["value"].to_list() == [None]
    model = Catalogue().fit(studied(history, NAMES), pl.DataFrame())
    ratio = points(model.forecast(studied(history, NAMES))).sum() / points(
        fitted().forecast(studied(shop(sold()), NAMES))
    ).sum()  # fmt: skip
    assert 0.8 < ratio < 1.25


def test_a_promotion_raises_demand_where_it_was_known() -> None:
    usual, promoted, secret = (
        points(fitted().forecast(studied(shop(sold(), planned=planned), NAMES))).reshape(len(NAMES), 7)
        for planned in (None, NOW - timedelta(days=9), NOW + timedelta(hours=1))
    )
    lift = promoted[:, :4].sum() / usual[:, :4].sum()
    assert 2.0 < lift < 4.0
    assert promoted.sum() / usual.sum() > 1.2  # and the week has more, not only other days of it
    assert promoted[:, 4:].sum() < promoted[:, :4].sum()
    assert np.array_equal(usual, secret)


def test_the_price_to_come_is_compared_with_the_last_and_the_usual() -> None:
    history = shop(sold())
    known = NOW - timedelta(days=1)
    prices = [("p00", FIRST, 10.0, FIRST), ("p00", NOW + timedelta(days=2), 5.0, known)]
    frame = pl.DataFrame(
        prices, schema={"entity": pl.String, "time": INSTANT, "price": pl.Float64, "known_at": INSTANT}, orient="row"
    ).with_columns(category=pl.lit(""))
    told = offers(History(history.standpoint, {**history.tables, PRODUCTS.name: frame}), NAMES)
    now = int(NOW.timestamp() * 1e6)
    last, usual = told.known(now).ahead(np.array([0, 0, 1]), ASKED, np.array([1, 2, 2]))[4:]
    assert last == pytest.approx([0.0, np.log(0.5), np.nan], nan_ok=True)
    assert usual == pytest.approx([0.0, np.log(0.5), np.nan], nan_ok=True)
    before = told.known(now - 2 * 86_400_000_000).ahead(np.array([0]), ASKED, np.array([2]))[4]
    assert before == pytest.approx([0.0])


def test_one_artifact_has_all_products_and_says_the_same_when_reloaded(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    learners = {f"{part}/{name}" for part in ("days", "spans") for name in ("trees-0.txt", "columns.json")}
    assert files == {*learners, "learned.json", "catalogue.json"}
    study = studied(shop(sold(), planned=NOW - timedelta(days=1)), NAMES)
    again = Catalogue().load(tmp_path).forecast(study)
    assert again.rows.equals(fitted().forecast(study).rows)
    assert set(fitted().weights) == set(NAMES)


def test_what_is_said_of_a_product_is_the_same_alone_and_among_others() -> None:
    history = shop(sold())
    among = fitted().forecast(studied(history, NAMES)).rows[7 * 7 : 8 * 7]
    narrow = {name: frame.filter(pl.col("entity") == NAMES[7]) for name, frame in history.tables.items()}
    alone = fitted().forecast(studied(History(history.standpoint, narrow), [NAMES[7]])).rows
    assert alone.equals(among)


def test_the_answer_names_the_methods_behind_a_product() -> None:
    said = fitted().forecast(studied(shop(sold()), ["p03"], 1))
    by = said.evidence["method"][0]
    assert set(fitted().weights["p03"]) == {part.split()[0] for part in by.split(", ")}
    assert "learner" in Learner().fit(studied(shop(sold()), NAMES), pl.DataFrame()).forecast(
        studied(shop(sold()), ["p03"], 1)
    ).evidence["method"][0]  # fmt: skip


def test_the_learner_s_days_add_up_to_what_it_learned_of_a_week_and_of_four() -> None:
    history, found = shop(sold()), fitted().found
    assert found is not None
    block = panel(history).before(ASKED, np.arange(len(NAMES)))
    planned = offers(history, NAMES).known(int(NOW.timestamp() * 1e6))
    said = found.ahead(block, [""] * len(NAMES), planned, ASKED, 35)
    seen = Seen(block, np.full(len(NAMES), np.nan), planned, np.arange(len(NAMES)), ASKED, False)
    for span in (7, 28):
        learned = found.spans.mean(seen.spans(np.full(len(NAMES), span))) * seen.level
        assert said[:, :span].mean(axis=1) == pytest.approx(learned)


def test_whole_paths_go_with_the_sums() -> None:
    model = STOCKOUT.candidates["catalogue"]().fit(studied(shop(sold()), NAMES), pl.DataFrame())
    said = model.forecast(studied(shop(sold()), ["p20"], 30))
    assert said.draws is not None
    assert (np.diff(said.draws, axis=0) >= 0).all()
    assert said.draws.mean(axis=1)[-1] == pytest.approx(points(said)[-1], rel=0.1)


def test_it_is_better_than_its_baseline_and_close_to_the_truth() -> None:
    """The next four weeks of Poisson demand at known levels: nothing is closer than the levels themselves."""
    said = points(fitted().forecast(studied(shop(sold()), NAMES, 28))).reshape(len(NAMES), 28).mean(axis=1)
    level = np.geomspace(0.3, 30, len(NAMES))
    month = sold()[:, -28:].mean(axis=1)
    assert np.abs(said - level).sum() < np.abs(month - level).sum()


def test_too_few_products_say_nothing() -> None:
    history = shop(sold())
    few = {name: frame.filter(pl.col("entity").is_in(NAMES[:2])) for name, frame in history.tables.items()}
    alone = History(history.standpoint, few)
    said = Catalogue().fit(studied(alone, NAMES[:2]), pl.DataFrame()).forecast(studied(alone, NAMES[:2]))
    assert said.rows["point"].null_count() == said.rows.height


def test_a_product_is_weighed_by_its_own_errors_and_its_class() -> None:
    wrong = np.full((3, 4, 2), 1.0)
    wrong[:, 0] = [1.2, 0.8]
    wrong[:, 3] = np.nan  # a product that could not be judged
    classes, mine = weights(wrong, ("one", "other"), NAMES[:4], ["smooth", "smooth", "lumpy", "lumpy"])
    assert mine["p00"]["other"] > classes["smooth"]["other"] > classes["lumpy"]["other"]
    assert mine["p00"]["one"] > 0.5  # the first has half of it anyway
    assert mine["p03"] == classes["lumpy"]
    assert sum(mine["p00"].values()) == pytest.approx(1.0, abs=0.01)
