"""A scale from answers to "which is bigger?"."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from foretell.domains.agile.sample import sample
from foretell.domains.agile.scale import scale
from foretell.domains.agile.schema import ScaleAnswer, ScaleRequest
from foretell.errors import InvalidRequest, NotFound
from foretell.models.pairs import strengths

HISTORY = sample(1).history
PROJECT = str(sorted(HISTORY["projects"]["project"])[0])
ISSUES = [
    str(name) for name in HISTORY["issues"].filter(HISTORY["issues"]["project"] == PROJECT)["issue"].unique().sort()
][:10]
TRUE = dict(zip(ISSUES, [1, 1, 2, 2, 3, 3, 5, 5, 8, 13], strict=True))


def answered(pairs: list[tuple[str, str]], **more: object) -> ScaleAnswer:
    told = [{"larger": a, "smaller": b} for a, b in pairs]
    return scale(ScaleRequest.model_validate({"project": PROJECT, "pairs": told, "issues": ISSUES, **more}), HISTORY)


def larger(a: str, b: str) -> tuple[str, str]:
    return (a, b) if TRUE[a] >= TRUE[b] else (b, a)


def test_what_is_asked_next_leads_to_a_scale_in_the_right_order() -> None:
    pairs: list[tuple[str, str]] = []
    while (said := answered(pairs)).next:
        pairs.append(larger(*said.next))
    assert 15 <= len(pairs) <= 20
    assert said.agreement is not None
    assert said.agreement > 0.9
    points = {one.issue: one.points for one in said.issues}
    order = np.corrcoef([np.log(TRUE[name]) for name in ISSUES], [np.log(points[name]) for name in ISSUES])[0, 1]
    assert order > 0.6
    assert set(points.values()) <= {1, 2, 3, 5, 8, 13}
    assert len(set(points.values())) > 2


def test_every_pair_answered_gives_the_order() -> None:
    said = answered([larger(a, b) for a, b in combinations(ISSUES, 2) if TRUE[a] != TRUE[b]])
    points = {one.issue: one.points for one in said.issues}
    for a, b in combinations(ISSUES, 2):
        assert (points[a] - points[b]) * (TRUE[a] - TRUE[b]) >= 0
    assert said.agreement == 1.0
    assert said.next is None


def test_without_answers_all_are_alike_and_the_newest_open_ones_are_asked_about() -> None:
    said = scale(ScaleRequest(project=PROJECT), HISTORY)
    assert len({one.points for one in said.issues}) == 1
    assert said.next is not None
    assert len(said.issues) == 10


def test_what_makes_no_sense_is_refused_in_words() -> None:
    with pytest.raises(NotFound, match="has no issue 'x'"):
        answered([], issues=["x", ISSUES[0]])
    with pytest.raises(InvalidRequest, match="not among"):
        answered([("x", ISSUES[0])])
    with pytest.raises(ValueError, match="itself"):
        answered([(ISSUES[0], ISSUES[0])])
    with pytest.raises(ValueError, match="least first"):
        answered([], scale=[3, 1])


def test_strengths_are_those_of_the_obvious_case() -> None:
    found = strengths([(0, 1)] * 30 + [(1, 0)] * 10, 2)
    assert found[0] - found[1] == pytest.approx(np.log(3), abs=0.05)
    assert strengths([], 3).tolist() == [0.0, 0.0, 0.0]
