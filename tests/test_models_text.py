"""Text in numbers, scales leaned on, past outcomes weighed: each against a slow and obvious way."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from foretell.contract import Floats
from foretell.models import text, weighed
from foretell.models.cases import Asked, Cases, Part, choices, names, numbers, shares
from foretell.models.scale import Answers, Leaning, places

TEXTS = [
    "Fix the login page",
    "fix the LOGIN, the login!",
    "",
    "Übergröße prüfen: 12 Schränke",
    "write a page about logins",
]


def test_a_text_is_told_in_the_same_numbers_alone_and_among_others() -> None:
    for kind in ("words", "pairs", "pieces"):
        every = text.bag(TEXTS, "t", kind)
        assert (text.bag([*TEXTS, *TEXTS], "t", kind)[len(TEXTS) :] != every).nnz == 0
        for k, one in enumerate(TEXTS):
            alone = text.bag([one], "t", kind)
            assert (alone != every[[k]]).nnz == 0
    assert text.bag(["the login the"], "t").data.tolist() in ([1, 2], [2, 1])
    assert text.bag(TEXTS, "t")[[0]].indices.tolist() != text.bag(TEXTS, "d")[[0]].indices.tolist()


def test_pairs_know_the_order_of_words() -> None:
    one, two = (text.bag([said], "t", "pairs") for said in ("red green", "green red"))
    assert one.nnz == two.nnz == 3
    assert len({*one.indices} & {*two.indices}) == 2


def test_shared_words_are_those_of_the_sets() -> None:
    bags = text.bag(TEXTS, "t")
    found = text.shared(bags.sign(), bags.sign())
    sets = [set(text.WORD.findall(one.lower())) for one in TEXTS]
    for k, mine in enumerate(sets):
        for n, theirs in enumerate(sets):
            assert found[k, n] == pytest.approx(len(mine & theirs) / len(mine | theirs) if mine | theirs else 0)


def test_rare_words_weigh_more_and_those_of_one_text_nothing() -> None:
    bags = [text.bag(["the login", "the login", "the basket", "the unique"], "t")]
    told = text.Weighed.of(bags).told(bags, (1.0,))
    the, login = (text.bag([one], "t").indices[0] for one in ("the", "login"))
    assert 0 < told[0, the] < told[0, login]
    assert text.bag(["unique"], "t").indices[0] not in told[[3]].indices
    assert np.sqrt((told.data[: told.indptr[1]] ** 2).sum()) == pytest.approx(1)


def test_the_ridge_solves_its_equations() -> None:
    random = np.random.default_rng(1)
    bags = text.bag([" ".join(random.choice(["ab", "cd", "ef", "gh", "ij"], 3)) for _ in range(40)], "t")
    value, weight = random.normal(size=40), random.uniform(0.2, 1, 40)
    line = text.ridge(bags, value, weight, 2.0)
    used = np.unique(bags.indices)
    dense = bags[:, used].toarray().astype(float)
    exact = np.linalg.solve(dense.T @ (weight[:, None] * dense) + 2 * np.eye(len(used)), dense.T @ (weight * value))
    assert line[used] == pytest.approx(exact, abs=5e-3)
    assert np.abs(np.delete(line, used)).max() == 0


def test_few_numbers_keep_what_sets_texts_apart() -> None:
    said = ["open the door"] * 20 + ["close a window"] * 20
    bags = [text.bag(said, "t")]
    few = text.Reduced.of(bags, (1.0,), 2).told(bags, (1.0,))
    assert few.shape == (40, 2)
    assert np.ptp(few[:20], axis=0).max() < 1e-5
    assert np.linalg.norm(few[0] - few[20]) == pytest.approx(np.sqrt(2), abs=1e-4)  # as far apart as the texts
    assert text.Reduced.of(bags, (1.0,), 50).told(bags, (1.0,)).shape == (40, 50)  # more than there are


def test_texts_that_say_nothing_are_told_in_zeros() -> None:
    for texts in (
        [""] * 5,
        ["red", "green", "blue", "white", "black"],
    ):  # no word, and none that stands in a second text
        bags = [text.bag(texts, "t")]
        assert np.array_equal(text.Reduced.of(bags, (1.0,), 4).told(bags, (1.0,)), np.zeros((5, 4)))


def test_quantiles_of_equal_weights_are_the_plain_ones_and_no_weight_says_nothing() -> None:
    random = np.random.default_rng(2)
    for count in (1, 2, 5, 8, 101):
        value = random.normal(size=count)
        found = weighed.quantiles(value, np.ones((1, count)), (0.1, 0.5, 0.9))[0]
        assert found[1] == pytest.approx(np.median(value))
        assert found[0] <= found[1] <= found[2]
    weight = np.array([[1.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    assert weighed.quantiles(np.array([5.0, 1.0, 2.0]), weight, (0.5, 0.9))[0].tolist() == [2.0, 5.0]
    assert np.isnan(weighed.quantiles(np.array([5.0, 1.0, 2.0]), weight, (0.5,))[1, 0])
    assert weighed.mean(np.array([5.0, 1.0, 2.0]), weight)[0] == pytest.approx(11 / 4)
    assert weighed.nearest(np.array([[0.1, 0.9, 0.5, 0.0]]), 2).tolist() == [[0, 0.9, 0.5, 0]]


def test_places_lie_around_what_is_usual() -> None:
    share = np.array([0.5, 0.3, 0.2])
    found = places(share)
    assert (np.diff(found) > 0).all()
    assert (share * found).sum() == pytest.approx(0)


def test_how_far_to_lean_is_found_again() -> None:
    random = np.random.default_rng(3)
    usual = np.array([0.4, 0.3, 0.2, 0.1])
    true, score = Leaning(lean=1.2, narrow=0.4), random.normal(size=6000)
    chance = true.said(np.tile(usual, (6000, 1)), places(usual), score)
    step = (random.random(6000)[:, None] > chance.cumsum(axis=1)).sum(axis=1)
    found = Leaning.of([Answers(usual, places(usual), score, step)])
    assert found.lean == pytest.approx(1.2, abs=0.1)
    assert found.narrow == pytest.approx(0.4, abs=0.1)
    against = Leaning.of([Answers(usual, places(usual), -score, step)])
    assert against.lean == 0
    assert Leaning.of([]).said(usual[None], places(usual), np.ones(1))[0] == pytest.approx(usual)
    none = true.said(np.array([[0.5, 0.0, 0.5]]), places(np.array([[0.5, 0.0, 0.5]])), np.ones(1))
    assert none[0, 1] == 0


def test_cases_count_only_once_they_are_known_and_never_for_themselves() -> None:
    column = pl.Series(["a", "b", "c", "d"])
    past = Cases(
        names(column), column.to_list(), names(pl.Series(["x", "x", "y", "x"])), names(column),
        np.array([1, 2, 3, 9]), np.array([10.0, 20.0, 30.0, 90.0]),
    )  # fmt: skip
    asked = Asked(
        names(pl.Series(["q", "q", "b", "q"])), names(pl.Series(["x", "x", "x", "y"])), np.array([1, 5, 5, 2])
    )

    def weigh(part: Part) -> tuple[Floats, None]:
        return part.there, None

    said = numbers(asked, past, weigh, (0.5,), None, mean=True)
    assert said.rows["point"].to_list() == [10, 15, 10, None]
    chance = choices(asked, past, weigh, shares, None).rows
    assert chance.columns == ["p:10", "p:20", "p:30", "p:90"]
    assert chance.row(1) == (0.5, 0.5, 0, 0)
