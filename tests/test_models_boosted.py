"""Boosted trees: order, scale, and the same after a reload to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.toys import START, ask, world

from foretell import Block, Frame, Study
from foretell.errors import NotReady
from foretell.models.averages import Averages
from foretell.models.boosted import BoostedChance, BoostedChoice, BoostedQuantiles

LEVELS = (0.1, 0.5, 0.9)
ONE: dict[str, Any] = {"num_threads": 1, "min_data_in_leaf": 10}


def study(features: Frame) -> Study:
    when = [START] * features.height
    questions = ask(["x"] * features.height, when, when)
    return Study(history=world(START), questions=questions, features=Block.of(features))


def data(count: int = 600) -> tuple[Study, Frame]:
    rng = np.random.default_rng(1)
    x, load = rng.uniform(0, 1, count), rng.choice([1.0, 8.0], count)
    value = load * (1 + 3 * (x > 0.5) + rng.exponential(0.3, count))
    return study(pl.DataFrame({"x": x, "load": load})), pl.DataFrame({"value": value})


def quantiles(**changes: Any) -> BoostedQuantiles:
    settings: dict[str, Any] = {"columns": ["x"], "levels": LEVELS, "rounds": 25, "shape": ONE} | changes
    return BoostedQuantiles(**settings)


def chance() -> BoostedChance:
    return BoostedChance(columns=["x", "load"], rounds=20, shape=ONE)


def choice() -> BoostedChoice:
    return BoostedChoice(columns=["x", "load"], rounds=20, shape=ONE)


def averages() -> Averages:
    return Averages(groups=[["bin"]], levels=LEVELS, scale="load")


@pytest.mark.parametrize("levels", [(0.1, 0.5, 0.9), (0.5, 0.9, 0.1)])
def test_quantiles_are_in_order_under_their_own_names(levels: tuple[float, ...]) -> None:
    seen, outcomes = data()
    said = quantiles(levels=levels, scale="load", rounds=80).fit(seen, outcomes).forecast(seen).rows
    assert (said["q10"] <= said["q50"]).all()
    assert (said["q50"] <= said["q90"]).all()
    assert said["point"].equals(said["q50"].alias("point"))
    for level in levels:
        share = float((outcomes["value"] <= said[f"q{level * 100:g}"]).to_numpy().mean())
        assert share == pytest.approx(level, abs=0.06)


def test_learning_relative_to_a_scale_is_the_same_at_every_scale() -> None:
    seen, outcomes = data()
    larger = study(seen.features.frame().with_columns(pl.col("load") * 1024))
    once = quantiles(scale="load").fit(seen, outcomes).forecast(seen).rows
    again = quantiles(scale="load").fit(larger, outcomes * 1024).forecast(larger).rows
    assert_frame_equal(once * 1024, again, check_exact=True)
    plain = quantiles().fit(seen, outcomes)  # without the scale, eight times the load is not understood
    heavy = study(pl.DataFrame({"x": [0.9], "load": [80.0]}))
    assert quantiles(scale="load").fit(seen, outcomes).forecast(heavy).rows["point"][0] > 300
    assert plain.forecast(heavy).rows["point"][0] < 60


def test_a_missing_scale_falls_back_to_the_usual_outcome() -> None:
    seen, outcomes = data()
    model = quantiles(scale="load").fit(seen, outcomes)
    new = study(pl.DataFrame({"x": [0.2, 0.2, 0.2], "load": [None, 0.0, float(outcomes["value"].mean() or 0)]}))  # type: ignore[arg-type]
    said = model.forecast(new).rows["point"].to_list()
    assert said[0] == said[1] == pytest.approx(said[2])


def test_counts_are_never_below_their_bound() -> None:
    seen, outcomes = data()
    said = quantiles(lower=2.0).fit(seen, outcomes).forecast(seen).rows
    assert said.min_horizontal().min() == 2.0


def test_few_outcomes_still_grow_a_tree_and_none_are_refused() -> None:
    seen, outcomes = data(12)
    assert quantiles().fit(seen, outcomes).forecast(seen).rows.height == 12
    with pytest.raises(NotReady, match="bring more history"):
        quantiles().fit(study(seen.features.frame().head(0)), outcomes.head(0))


@pytest.mark.parametrize("kind", ["quantiles", "chance", "choice", "averages"])
def test_a_reload_changes_no_bit(kind: str, tmp_path: Path) -> None:
    seen, outcomes = data()
    bins = study(seen.features.frame().with_columns(bin=(pl.col("x") * 7).cast(pl.Int64)))
    high = pl.col("value") > 8
    happened, words = outcomes.select(high.cast(pl.Int64)), seen.features.frame().hstack(outcomes)
    word = pl.when(pl.col("x") > 0.7).then(pl.lit("ä/b")).when(high).then(pl.lit("b")).otherwise(pl.lit("c"))
    made: dict[str, tuple[Any, Any, Frame]] = {
        "quantiles": (quantiles(scale="load"), quantiles(scale="load"), outcomes),
        "chance": (chance(), chance(), happened),
        "choice": (choice(), choice(), words.select(value=word)),
        "averages": (averages(), averages(), outcomes),
    }  # fmt: skip
    model, fresh, value = made[kind]
    model.fit(bins, value).save(tmp_path)
    said, again = model.forecast(bins).rows, fresh.load(tmp_path).forecast(bins).rows
    assert_frame_equal(said, again, check_exact=True)
    assert said.unique().height > 1  # not merely a constant
    assert not [path for path in tmp_path.iterdir() if path.suffix not in {".txt", ".json", ".npz"}]


def test_a_chance_is_between_nought_and_one_and_right_on_average() -> None:
    seen, outcomes = data()
    happened = outcomes.select((pl.col("value") > 8).cast(pl.Int64))
    said = BoostedChance(columns=["x", "load"], rounds=30, shape=ONE).fit(seen, happened).forecast(seen).rows["chance"]
    assert said.is_between(0, 1).all()
    assert float(said.mean() or 0) == pytest.approx(float(happened["value"].mean() or 0), abs=0.02)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_classes_are_those_of_the_history_and_sum_to_one(count: int) -> None:
    seen, _ = data()
    names = pl.Series("value", [f"k{min(int(x * count), count - 1)}" for x in seen.features["x"]])
    said = BoostedChoice(columns=["x"], rounds=20, shape=ONE).fit(seen, names.to_frame()).forecast(seen).rows
    assert said.columns == [f"p:k{k}" for k in range(count)]
    assert said.sum_horizontal().to_list() == pytest.approx([1.0] * said.height)
    best = said.to_numpy().argmax(axis=1)
    assert float(np.mean([f"k{k}" for k in best] == names.to_numpy())) > 0.97
