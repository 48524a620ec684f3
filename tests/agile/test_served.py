"""Served: a champion for each project, the document's order of methods, and too little to learn from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import polars as pl
import pytest

from foretell.contract import History, Sample, Standpoint
from foretell.domains.agile import DOMAIN, EFFORT, POINTS
from foretell.domains.agile.decide import NEW
from foretell.domains.agile.sample import sample
from foretell.domains.agile.sample.world import world
from foretell.domains.agile.schema import EffortAnswer, EffortRequest, Settings
from foretell.engine.apart import Apart
from foretell.engine.predict import Prediction, predict
from foretell.engine.train import Trained, train
from foretell.errors import BrokenDomain, NotFound, NotReady
from foretell.testing import check_domain

NOW = datetime(2026, 3, 11, 13, 20, tzinfo=UTC)


@cache
def history() -> History:
    there = Standpoint(tenant="t", now=NOW, zone="UTC", settings=Settings())
    return History(there, world(3, NOW, projects=3, sprints=10).tables)


@cache
def trained() -> Trained:
    return train(EFFORT, history())


def answer(request: EffortRequest, *, model: bool = False, seen: History | None = None) -> EffortAnswer:
    models = {EFFORT.name: trained().model} if model else {}
    (said,) = predict([(EFFORT, request)], seen or history(), models)
    assert isinstance(said, Prediction), said
    assert isinstance(said.answer, EffortAnswer)
    return said.answer


def like(place: int) -> EffortRequest:
    """A request for an issue that reads as one on record."""
    row = history()["issues"].row(place, named=True)
    return EffortRequest(project=row["project"], title=row["title"], description=row["description"], type=row["type"])


@pytest.mark.row("A19")
def test_each_project_is_served_by_who_did_best_there_and_the_answer_says_what_that_was_worth() -> None:
    model = trained().model
    assert isinstance(model.forecaster, Apart)
    assert set(model.worth) <= set(history()["projects"]["project"])
    assert "own" in EFFORT.candidates  # trees of the project's own, beside those of all
    for project, (n, error, base) in model.worth.items():
        said = answer(EffortRequest(project=project, title="Fix the login form"), model=True)
        assert said.badge.outcomes == n
        assert said.badge.better == pytest.approx(1 - error / base)
        assert ("better than" in said.badge.words) == (error < base or "not been better" in said.badge.words)


def test_a_type_is_the_same_in_capitals() -> None:
    names = ("type", "priority")
    loud = history()["issues"].with_columns(pl.col(names).str.to_uppercase())
    shouted = History(history().standpoint, {**history().tables, "issues": loud})
    project = history()["projects"]["project"][0]
    small, large = (
        EffortRequest(project=project, title="Fix the login form", type=kind, priority=rank)
        for kind, rank in (("bug", "high"), ("Bug", "High"))
    )
    told = answer(small)
    assert answer(large) == answer(large, seen=shouted) == told
    assert answer(small, model=True) == answer(large, model=True) == answer(large, model=True, seen=shouted)
    for asked in (history(), shouted):
        questions = EFFORT.questions(asked).tail(50)
        known = EFFORT.study(asked, questions).features
        assert known.values.tobytes() == EFFORT.study(history(), questions).features.values.tobytes()


@pytest.mark.row("A10")
def test_the_last_fifth_in_time_is_what_is_told() -> None:
    card = trained().model.card
    asked = EFFORT.questions(history()).sort("as_of")
    first = asked["as_of"][int(0.79 * asked.height)]
    assert card.folds[0][0] >= first - timedelta(days=30)
    assert card.scored <= 0.21 * asked.height
    assert {"mae", "rmse", "r2"} <= set(card.scores[card.candidate])


@pytest.mark.row("A10")
def test_fewer_than_fifty_finished_issues_train_nothing() -> None:
    over = (
        history()["status_changes"]
        .filter(pl.col("category") == "done")
        .sort("known_at")["entity"]
        .unique(maintain_order=True)
    )
    kept = history()["status_changes"].filter(
        (pl.col("category") != "done") | pl.col("entity").is_in(over.head(49).implode())
    )
    few = History(history().standpoint, {**history().tables, "status_changes": kept})
    with pytest.raises(NotReady, match="needs 50"):
        train(EFFORT, few)


@pytest.mark.row("A1")
def test_before_the_first_training_issues_alike_answer_and_where_there_are_none_what_is_usual() -> None:
    near = answer(like(0))
    assert near.method == "similarity"
    worklogs = history()["worklogs"].group_by("issue").agg(pl.col("hours").sum())
    took = dict(worklogs.iter_rows())
    assert near.similar
    for one in near.similar:
        assert one.actual_hours == pytest.approx(took[one.id])
    strange = answer(EffortRequest(project=near.project, title="zzzz qqqq"))
    assert (strange.method, strange.similar) == ("heuristic", [])
    assert answer(like(0), model=True).method in ("ml_model", "similarity")


def test_a_project_that_nobody_knows_is_told_so() -> None:
    with pytest.raises(NotFound, match="no project 'nowhere'"):
        EFFORT.ask(EffortRequest(project="nowhere", title="x"), history())


def test_more_to_do_takes_longer_and_a_new_issue_leaves_the_past_alone() -> None:
    asked = EFFORT.ask(like(0), history())
    assert asked.questions["entity"].to_list() == [NEW]
    assert NEW not in history()["issues"]["entity"]


# ---------------------------------------------------------------- planted leaks


def caught(task: str, change: object) -> str:
    """What the checks say to a domain with one thing changed."""
    tasks = [replace(each, **change) for each in DOMAIN.tasks if each.name == task]  # type: ignore[arg-type]

    def some(seed: int) -> Sample:
        made = sample(seed)
        return Sample(history=made.history, requests={task: made.requests[task]})

    with pytest.raises(BrokenDomain) as raised:
        check_domain(replace(DOMAIN, tasks=tasks, reports=[], sample=some), deep=False)
    return str(raised.value)


def test_points_of_a_sister_issue_that_come_later_are_caught() -> None:
    def leaking(seen: History, asked: pl.DataFrame) -> pl.DataFrame:
        sisters = seen["issues"].group_by("epic").agg(sister=pl.col("points").mean())
        mine = seen["issues"].unique("entity", keep="first", maintain_order=True).select("entity", "epic")
        found = asked.join(mine, on="entity", how="left", maintain_order="left")
        return found.join(sisters, on="epic", how="left", maintain_order="left").select("sister")

    assert "cutting the future away changes feature sister" in caught(POINTS.name, {"features": leaking})


def test_what_is_only_known_at_the_end_is_caught_at_the_beginning() -> None:
    def leaking(seen: History, asked: pl.DataFrame) -> pl.DataFrame:
        logged = seen["worklogs"].group_by("entity").agg(spent=pl.col("hours").sum())
        return asked.join(logged, on="entity", how="left", maintain_order="left").select(pl.col("spent").fill_null(0.0))

    assert "cutting the future away changes feature spent" in caught(EFFORT.name, {"features": leaking})
