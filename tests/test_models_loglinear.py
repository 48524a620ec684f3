"""A line through logarithms, against a slow and obvious way; how far off it says it is, and categories in numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foretell.contract import Floats
from foretell.models import loglinear, text, weighed
from foretell.models.loglinear import LogLinear
from foretell.models.text import Sparse

LEVELS = (0.1, 0.5, 0.9)
SIZES = {"small": 1.0, "medium": 4.0, "large": 16.0}


def made(count: int, noise: float = 0.2, seed: int = 1) -> tuple[list[Sparse], Floats, Floats]:
    """Texts of a size among words that say nothing, a number that doubles it (or is missing), and what they came to."""
    random = np.random.default_rng(seed)
    sizes = random.choice([*SIZES], count)
    idle = random.choice([*"abcdefghijklmnopqrstuvwxyz"], (count, 4))
    said = [f"{size} {' '.join(letter * 3 for letter in row)}" for size, row in zip(sizes, idle, strict=True)]
    number = random.choice([1.0, 20.0, np.nan], count)
    value = np.array([SIZES[size] for size in sizes]) * np.where(number > 1, 2.0, 1.0)
    return [text.bag(said, "t")], number[:, None], value * np.exp(random.normal(0, noise, count))


def test_it_finds_what_words_and_numbers_are_worth() -> None:
    bags, numbers, value = made(600)
    line = LogLinear.of(bags, (1.0,), numbers, value, np.arange(600).astype(str), LEVELS)
    bags, numbers, truth = made(200, noise=0.0, seed=2)
    said = line.said(bags, (1.0,), numbers)
    usual = np.abs(np.log(truth) - np.log(value).mean()).mean()
    assert np.abs(np.log(said[:, 0] / truth)).mean() < 0.2 * usual
    _, _, later = made(200, noise=0.2, seed=2)
    assert (np.diff(said[:, 1:], axis=1) > 0).all()
    assert 0.7 < ((later > said[:, 1]) & (later < said[:, 3])).mean() < 0.95


def test_it_is_an_adaptive_ridge_to_the_letter() -> None:
    bags, numbers, value = made(60)
    line = LogLinear.of(bags, (1.0,), numbers, value, np.arange(60).astype(str), LEVELS)
    logs = np.log1p(numbers[:, 0])
    mean, spread = np.nanmean(logs), np.nanstd(logs)
    beside = np.column_stack([np.nan_to_num((logs - mean) / spread), np.isnan(logs)])
    inputs = np.hstack([text.Weighed.of(bags).told(bags, (1.0,)).toarray(), loglinear.SHARE * beside])
    used = inputs.any(axis=0)
    inputs, goal = inputs[:, used], np.log(value) - np.log(value).mean()

    def ridge(inputs: Floats, penalty: float) -> Floats:
        found: Floats = np.linalg.solve(inputs.T @ inputs + penalty * np.eye(inputs.shape[1]), inputs.T @ goal)
        return found

    told = np.abs(ridge(inputs, loglinear.RIDGE))
    told *= np.sqrt((inputs**2).sum() / ((inputs * told) ** 2).sum())
    exact = ridge(inputs * told, loglinear.AGAIN) * told
    assert line.line[used] == pytest.approx(exact, abs=5e-3)
    assert not line.line[~used].any()
    assert line.said(bags, (1.0,), numbers)[:, 0] == pytest.approx(
        np.exp(inputs @ exact + np.log(value).mean()), rel=0.01
    )


def test_it_is_judged_by_later_outcomes_of_others() -> None:
    """Later ones that spread more say how far off it is; those about the same as earlier ones say nothing."""
    bags, numbers, value = made(400, noise=0.05)
    wild = np.arange(400) >= 300
    value[wild] *= np.exp(np.random.default_rng(3).normal(0, 1.0, wild.sum()))
    apart, same = np.arange(400).astype(str), (np.arange(400) % 300).astype(str)
    wide, narrow = (LogLinear.of(bags, (1.0,), numbers, value, whose, LEVELS).errors for whose in (apart, same))
    assert np.ptp(wide) > 2
    assert np.ptp(narrow) < 0.7 * np.ptp(wide)  # in line with all, wild ones and others


def test_one_outcome_and_texts_without_a_word() -> None:
    bags = [text.bag([""], "t")]
    nothing = np.full((1, 2), np.nan)
    line = LogLinear.of(bags, (1.0,), nothing, np.array([3.0]), np.array(["one"]), LEVELS)
    assert line.said(bags, (1.0,), nothing) == pytest.approx(np.full((1, 4), 3.0))


def test_a_saved_line_says_the_same_to_the_last_bit(tmp_path: Path) -> None:
    bags, numbers, value = made(100)
    line = LogLinear.of(bags, (1.0,), numbers, value, np.arange(100).astype(str), LEVELS)
    line.save(tmp_path)
    again = LogLinear.load(tmp_path)
    assert np.array_equal(again.said(bags, (1.0,), numbers), line.said(bags, (1.0,), numbers))


def test_few_of_a_name_are_drawn_to_what_is_usual() -> None:
    found = weighed.by_name(["a", "b", "a", "", "b"], np.array([1.0, 5.0, 3.0, 1.0, np.nan]), 2.0)
    usual = (1 + 5 + 3 + 1) / 4
    assert found == {"": (1 + 2 * usual) / 3, "a": (4 + 2 * usual) / 4, "b": (5 + 2 * usual) / 3}
    assert weighed.by_name([], np.array([]), 2.0) == {}
    assert weighed.by_name(["a"], np.array([np.nan]), 2.0) == {}
