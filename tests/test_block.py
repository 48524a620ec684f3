"""A block of numbers: what a frame of features becomes, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.toys import START, ask, plain

from foretell import Block
from foretell.contract import at_most
from foretell.errors import BrokenDomain
from foretell.features.grid import alike, distinct, mean


def test_a_frame_of_numbers_and_truths_becomes_a_block_with_nan_for_what_is_missing() -> None:
    frame = pl.DataFrame({"x": [1.5, None, math.nan], "n": [1, 2, None], "so": [True, None, False]})
    block = Block.of(frame)
    assert block.names == ("x", "n", "so")
    np.testing.assert_array_equal(block["n"], [1.0, 2.0, math.nan])
    np.testing.assert_array_equal(block.of_names(["so", "x"]), [[1, 1.5], [math.nan] * 2, [0, math.nan]])
    np.testing.assert_array_equal(block.rows(np.array([2, 0]))["so"], [0, 1])
    with pytest.raises(KeyError):
        block["y"]


@pytest.mark.parametrize("count", [1, 3, 16, 17, 500])
def test_a_block_is_the_same_frame_however_many_rows_it_has(count: int) -> None:
    values = np.random.default_rng(count).normal(size=(count, 3))
    frame = Block(("a", "b", "c"), values).frame()
    assert_frame_equal(frame, pl.DataFrame({name: values[:, k] for k, name in enumerate("abc")}), check_exact=True)
    np.testing.assert_array_equal(Block.of(frame).values, values)


def test_a_feature_that_is_no_number_is_refused_by_name() -> None:
    task = replace(plain.TASK, features=lambda _, questions: questions.select("entity"))
    with pytest.raises(BrokenDomain, match="plain: feature entity is no number but String"):
        task.study(plain.history(), ask(["a"], [START], [START]))


def test_without_features_there_is_an_empty_row_a_question() -> None:
    study = replace(plain.TASK, features=None).study(plain.history(), ask(["a", "b"], [START] * 2, [START] * 2))
    assert (len(study.features), study.features.names) == (2, ())


@pytest.mark.parametrize("places", [[], [7], [3, 3, 3], [5, 3, 5, -1]])
def test_distinct_numbers_and_where_each_is(places: list[int]) -> None:
    there = np.array(places, dtype=np.int64)
    numbers, which = distinct(there)
    assert numbers.tolist() == sorted({*places})
    assert numbers[which].tolist() == places
    assert alike(pl.Series(places, dtype=pl.Int64)) == (len({*places}) == 1)


@pytest.mark.parametrize("steps", [1, 5, 24, 40])
def test_a_mean_of_the_rows_before_against_a_loop(steps: int) -> None:
    random = np.random.default_rng(steps)
    column = np.where(random.random(30) < 0.3, np.nan, random.integers(0, 9, 30).astype(float))
    seen = [[x for x in column[max(0, k - steps) : k].tolist() if not math.isnan(x)] for k in range(30)]
    np.testing.assert_array_equal(mean(column, steps), [sum(x) / len(x) if x else math.nan for x in seen])


def test_the_chance_of_at_most_so_much_is_told_by_quantiles() -> None:
    said, levels = np.array([[1.0, 2.0, 4.0], [3.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), (0.1, 0.5, 0.9)
    for most, wanted in ((0.5, [0, 0, 1]), (1.0, [0.1, 0, 1]), (3.0, [0.7, 0.1, 1]), (3.1, [0.72, 1, 1])):
        assert at_most(said, levels, most) == pytest.approx(wanted, abs=1e-6)  # the second row crosses: never falling
