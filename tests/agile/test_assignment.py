"""Who should do an issue: what is said of each is true of that person, and tells why they come in this order."""

from __future__ import annotations

import re

import polars as pl
import pytest

from foretell.domains.agile import ASSIGNMENT, assignment
from foretell.domains.agile.sample import sample
from foretell.domains.agile.schema import AssignmentAnswer, AssignmentRequest, Suggestion
from foretell.engine.outcomes import settled

WORLD = sample(1).history


def suggested(method: str) -> list[Suggestion]:
    """Everybody, for an issue of the sample."""
    issue = WORLD["issues"].row(-1, named=True)
    asked = AssignmentRequest(project=issue["project"], issue=issue["issue"], top_n=100)
    learned = settled(ASSIGNMENT, WORLD, ASSIGNMENT.questions(WORLD))
    study = ASSIGNMENT.study(WORLD, learned.drop("value", "known_at"))
    one = ASSIGNMENT.candidates[method]().fit(study, learned.select("value", "known_at"))
    said = one.forecast(ASSIGNMENT.study(WORLD, ASSIGNMENT.ask(asked, WORLD).questions))
    said = type(said)(rows=said.rows, evidence=pl.DataFrame({"method": [method]}))
    answer = ASSIGNMENT.decide(said, asked, WORLD)
    assert isinstance(answer, AssignmentAnswer)
    return answer.suggestions


@pytest.mark.parametrize("method", ["weighted", "experience"])
def test_reasons_are_figures_of_the_person_and_say_what_the_order_is_by(method: str) -> None:
    people = suggested(method)
    assert len(people) > 3
    assert len({"; ".join(one.reasoning) for one in people}) > len(people) / 2
    key = "total_score" if method == "weighted" else "chance"
    order = [getattr(one, key) for one in people]
    assert order == sorted(order, reverse=True)
    for one in people:
        first = one.reasoning[0]
        by = f"Finishes it with a chance of {one.chance:.0%}; the order is by this"
        assert (first == by) == (method == "experience")
        (words,) = [each for each in one.reasoning if "finished issues were of type" in each]
        same, every = map(int, re.findall(r"\d+", words))
        assert one.skill_score == pytest.approx(min(1.0, 2 * same / every) if every else 0.0)
        assert words.startswith("Strong") == (same >= assignment.MANY and same * 2 >= every)
