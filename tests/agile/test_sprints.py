"""Sprints: what became of them, how long they take, what they deliver; on small boards that are counted by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from foretell.contract import DTYPES, Block, Forecaster, Frame, History, Standpoint, Study
from foretell.domains.agile import DELIVERY, DURATION, delivery, sprints
from foretell.domains.agile.board import over
from foretell.domains.agile.schema import DeliveryAnswer, DurationAnswer, DurationRequest, Settings, SprintRequest
from foretell.domains.agile.tables import TABLES
from foretell.engine.outcomes import join, settled
from foretell.engine.predict import Prediction, predict
from foretell.errors import NotFound, Refused
from foretell.models import throughput
from foretell.models.forest import Forest

MONDAY = datetime(2026, 1, 5, 9, tzinfo=UTC)
DAY = timedelta(days=1)
LENGTH = 14 * DAY
Row = dict[str, Any]
COUNTED = ("start", "added", "removed", *delivery.STATES)


def history(rows: dict[str, list[Row]], now: datetime) -> History:
    """Facts by table; what a row leaves out is null, its `time` is when it was known."""
    made = {}
    for table in TABLES:
        schema = {name: DTYPES[kind] for name, kind in table.kinds.items()}
        frame = pl.DataFrame([{**dict.fromkeys(schema), **row} for row in rows.get(table.name, [])], schema=schema)
        texts = [pl.col(name).fill_null("") for name, kind in table.kinds.items() if kind == "text"]
        made[table.name] = frame.with_columns(texts).with_columns(entity=pl.col(table.entity[0]), known_at="time")
    standing = Standpoint(tenant="here", now=now, zone="UTC", settings=Settings())
    return History(standing, made).cut(now)


def sprint(name: str, starts: datetime) -> Row:
    return {"sprint": name, "project": "shop", "time": starts - DAY, "starts": starts, "ends": starts + LENGTH}


def issue(name: str, where: str, points: float | None, time: datetime) -> Row:
    return {"issue": name, "project": "shop", "time": time, "title": name, "sprint": where, "points": points}


def moved(name: str, category: str, time: datetime) -> Row:
    return {"issue": name, "project": "shop", "time": time, "category": category}


def team(count: int = 8, now: datetime | None = None, *, last: Sequence[float | None] = (3, 5, 8, 2)) -> History:
    """Sprints of a team that does a point or two each working day, and one to come with the issues of `last`."""
    random = np.random.default_rng(7)
    rows: dict[str, list[Row]] = {"sprints": [], "issues": [], "status_changes": [], "worklogs": []}
    for k in range(count):
        starts = MONDAY + k * LENGTH
        rows["sprints"].append(sprint(f"s{k}", starts))
        for n, day in enumerate([0, 1, 2, 3, 4, 7, 8, 9, 10, 11][: 8 + k % 3]):
            name, over = f"s{k}-{n}", starts + day * DAY + timedelta(hours=6)
            rows["issues"].append(issue(name, f"s{k}", float(random.integers(1, 4)), starts - 2 * DAY))
            rows["status_changes"].append(moved(name, "done", over))
            log = {"issue": name, "project": "shop", "person": "ann", "hours": 5.0, "time": over}
            rows["worklogs"].append(log)
    starts = MONDAY + count * LENGTH
    rows["sprints"].append(sprint("next", starts))
    rows["issues"] += [issue(f"n{k}", "next", points, starts - 2 * DAY) for k, points in enumerate(last)]
    return history(rows, now or starts)


def said(facts: History, **request: Any) -> DurationAnswer:
    asked = DurationRequest(**{"sprint": "next", "project": "shop", **request})
    found = predict([(DURATION, asked)], facts, {})[0]
    assert isinstance(found, Prediction), found
    assert isinstance(found.answer, DurationAnswer)
    return found.answer


def board(now: datetime) -> History:
    """A sprint with an issue done, one taken out, one carried over and done, and one that came later."""
    starts = MONDAY
    return history(
        {
            "sprints": [sprint("one", starts)],
            "issues": [
                issue("done", "one", 3, starts - DAY),
                issue("out", "one", 5, starts - DAY),
                issue("late", "one", 2, starts - DAY),
                issue("out", "", 5, starts + 4 * DAY),
                issue("came", "one", 8, starts + 5 * DAY),
                issue("late", "two", 2, starts + LENGTH + timedelta(minutes=30)),
            ],
            "status_changes": [
                moved("done", "in_progress", starts + DAY),
                moved("done", "done", starts + 2 * DAY),
                moved("came", "done", starts + 6 * DAY),
                moved("out", "done", starts + 30 * DAY),
                moved("late", "done", starts + 20 * DAY),
            ],
        },
        now,
    )


def test_a_sprint_lasts_until_what_it_held_is_done_wherever_it_was_carried() -> None:
    facts = board(MONDAY + 50 * DAY)
    known = join(DURATION, facts, sprints.questions(facts))
    assert known["as_of"].to_list() == [MONDAY, MONDAY + 7 * DAY]
    assert known["value"].to_list() == [20.0, 13.0]
    assert known["known_at"].to_list() == [MONDAY + 20 * DAY] * 2
    before = board(MONDAY + 20 * DAY - timedelta(seconds=1))
    assert join(DURATION, before, sprints.questions(before))["state"].to_list() == ["open", "open"]


def test_a_sprint_that_is_never_done_is_void_and_one_that_only_lost_issues_too() -> None:
    rows = {"sprints": [sprint("a", MONDAY), sprint("b", MONDAY)]}
    rows["issues"] = [issue("x", "a", 1, MONDAY - DAY), issue("y", "b", 1, MONDAY - DAY)]
    rows["issues"].append(issue("y", "", 1, MONDAY + 3 * DAY))
    facts = history(rows, MONDAY + 60 * DAY)
    known = join(DURATION, facts, sprints.questions(facts)).filter(pl.col("as_of") == MONDAY).sort("entity")
    assert known["state"].to_list() == ["void", "void"]
    assert known["known_at"].to_list() == [MONDAY + 3 * LENGTH, MONDAY + 3 * DAY]


def test_an_issue_left_out_is_not_waited_for() -> None:
    facts = board(MONDAY + 50 * DAY)
    asked = sprints.questions(facts).head(1).with_columns(without=pl.lit("late"))
    assert sprints.outcomes(facts, asked)["value"].to_list() == [2.0]


def test_a_board_tells_what_sprints_had_promised_and_what_they_delivered() -> None:
    early, late, ends = MONDAY - DAY, MONDAY + DAY, MONDAY + LENGTH
    rows = {
        "sprints": [sprint("one", MONDAY), sprint("bare", MONDAY), sprint("running", ends)],
        "issues": [
            issue("kept", "one", 3.0, early), issue("sized anew", "one", 1.0, early),
            issue("sized anew", "one", 2.0, late), issue("sized anew", "one", 5.0, late),  # at once: the last counts
            issue("without points", "one", None, early), issue("came", "one", 8.0, late),
            issue("left", "one", 13.0, early), issue("left", "", 13.0, late),
            issue("done too late", "one", 21.0, early), issue("done before", "one", 34.0, early),
            issue("next", "running", 1.0, early),
        ],
        "status_changes": [
            *(moved(name, "done", ends) for name in ("kept", "sized anew", "without points", "came", "left")),
            moved("kept", "done", late), moved("done too late", "done", ends + DAY),
            moved("done before", "done", MONDAY), moved("next", "done", ends + DAY),
        ],
    }  # fmt: skip
    told = over(history(rows, ends + 2 * DAY)).select("entity", "committed", "delivered", "issues", "completed")
    assert told.rows() == [("bare", 0.0, 0.0, 0, 0), ("one", 72.0, 16.0, 6, 4)]


def test_what_is_delivered_is_told_beside_what_is_held_at_the_moment() -> None:
    facts = board(MONDAY + 50 * DAY)
    known = join(DELIVERY, facts, delivery.questions(facts))
    assert [round((moment - MONDAY) / LENGTH, 2) for moment in known["as_of"]] == [0.0, 0.3, 0.5, 0.8]
    assert known["value"].to_list() == [
        11 - 10,
        11 - 5,
        11 - 13,
        11 - 13,
    ]  # one was out after four days, another came after five
    assert known["known_at"].unique().to_list() == [MONDAY + LENGTH]
    told = delivery.features(facts, delivery.questions(facts))
    assert told["scale"].tolist() == [11.0, 6.0, 14.0, 14.0]


@pytest.mark.parametrize("task", [DURATION, DELIVERY], ids=["duration", "delivery"])
def test_the_future_changes_nothing(task: Any) -> None:
    facts = team(6)
    asked = task.questions(facts)
    whole = task.study(facts, asked).features
    for k in range(0, asked.height, 3):
        then = facts.cut(asked["as_of"][k])
        np.testing.assert_array_equal(task.study(then, asked[k]).features.values[0], whole.values[k])
    known = join(task, facts, asked)
    assert known.filter(pl.col("known_at") <= pl.col("as_of")).is_empty()
    assert known["value"].drop_nulls().len() > 6
    for moment in (MONDAY + 30 * DAY, MONDAY + 45 * DAY):
        past = known.filter(pl.col("as_of") <= moment)
        known_then = join(task, facts.cut(moment), past.select(asked.columns))
        for old, new in zip(known_then.iter_rows(named=True), past.iter_rows(named=True), strict=True):
            assert old["value"] == (new["value"] if new["known_at"] and new["known_at"] <= moment else None)


def test_days_are_those_of_the_slow_simulation() -> None:
    past = np.array([[2.0, 0, 3, 1, 0, 0, 0], [1.0, 4, 0, 0, 2, 0, 0], [0.0, 1, 1, 1, 1, 0, 0]])
    for todo in (7.0, 7.5, 300.0):
        found = throughput.days(past, todo, weeks=3, random=np.random.default_rng(3))
        drawn = np.random.default_rng(3).integers(0, 3, (throughput.WORLDS, 3))
        for world in range(50):
            left, took = todo, 0.0
            for day, work in enumerate(past[drawn[world]].ravel()):
                if left > 0:
                    took = day + (left / work if work > 0 and left <= work else 1.0)
                left -= work
            took += max(left, 0.0) / past.mean() if left > 0 else 0.0
            assert found[world] == pytest.approx(took)


def test_a_day_with_nothing_to_do_says_nothing_of_how_fast_a_team_is() -> None:
    ago = np.array([13.5, 12.5, 11.5, 6.5, 5.5])  # two Mondays and Tuesdays, and one Wednesday
    sizes = np.array([2.0, 4.0, 6.0, 2.0, 4.0])
    spans = np.array([[14.0, 11.0], [7.0, 5.0]])  # the second week's work was over on Tuesday
    assert throughput.weekly(ago, sizes, spans).tolist() == [[2, 4, 6, 0, 0, 0, 0], [2, 4, 6, 0, 0, 0, 0]]
    assert throughput.weekly(ago, sizes, np.array([[14.0, 0.0]]))[1].tolist() == [2, 4, 0, 0, 0, 0, 0]


def test_more_work_fewer_hands_and_days_off_take_longer() -> None:
    facts = team()
    plain = said(facts)
    assert 5 < plain.estimated_days < 14
    assert plain.days["50"] <= plain.days["85"] <= plain.days["95"]
    assert said(team(last=(3, 5, 8, 13))).estimated_days > plain.estimated_days
    assert said(facts, days_off=3).estimated_days > plain.estimated_days
    assert said(facts, team_capacity_hours=20).estimated_days > plain.estimated_days
    assert said(facts, team_capacity_hours=400).by_end >= plain.by_end
    fewer = said(facts, planned_issues=["n0", "n3"])
    assert (fewer.total_story_points, fewer.open_issues) == (5, 2)
    assert fewer.estimated_days < plain.estimated_days
    assert said(facts, planned_issues=["n0", "n1", "n2", "n3"]) == plain


@pytest.mark.parametrize("method", ["usual", "played", "velocity", "planned"])
def test_what_ifs_change_all_days_alike_and_what_an_issue_saves_stays_comparable(method: str) -> None:
    facts = team(last=(1, 2, 3, 5, 8, 13, None))

    def of(**request: Any) -> DurationAnswer:
        asked = DurationRequest(**{"sprint": "next", "project": "shop", **request})
        learned = settled(DURATION, facts, sprints.questions(facts))
        learn = DURATION.study(facts, learned.drop("value", "known_at"))
        one = DURATION.candidates[method]().fit(learn, learned.select("value", "known_at"))
        study = DURATION.study(facts, DURATION.ask(asked, facts).questions)
        evidence = pl.DataFrame({"method": [method] * study.questions.height})
        answer = DURATION.decide(replace(one.forecast(study), evidence=evidence), asked, facts)
        assert isinstance(answer, DurationAnswer)
        return answer

    plain, saved = of(), {one.issue: one.days_saved for one in of().without}
    for off in (1, 2, 3, 5, 10):  # the team works five days a week
        rested = of(days_off=off)
        assert rested.estimated_days == pytest.approx(plain.estimated_days + off * 7 / 5)
        assert rested.days["85"] == pytest.approx(plain.days["85"] + off * 7 / 5)
        assert {one.issue: one.days_saved for one in rested.without} == pytest.approx(saved)
    usual = 2 * 5.0 * 5  # hours in two weeks: as many as the team logged, but for some longer sprints
    for hours, least, most in ((usual / 2, 1.7, 2.3), (usual, 0.85, 1.15), (usual * 2, 0.42, 0.58)):
        fewer = of(team_capacity_hours=hours)
        share = fewer.estimated_days / plain.estimated_days
        assert least < share < most
        assert {one.issue: one.days_saved / share for one in fewer.without} == pytest.approx(saved)


def test_the_answer_has_what_the_document_asks_for() -> None:
    answer = said(team())
    assert answer.planned_days == 14
    assert answer.total_story_points == 18
    assert answer.method == "usual_length"
    over = sprints.past(team())["delivered"].to_list()[-5:]
    assert answer.average_velocity == pytest.approx(sum(over) / 5)
    assert "18 points are open" not in " ".join(said(team(last=(1, 1))).risk_factors)
    assert any(risk.startswith("80 points are open") for risk in said(team(last=(40, 40))).risk_factors)


def test_dropping_an_issue_never_lengthens() -> None:
    facts = team(last=(1, 2, 3, 5, 8, 13, None))
    answer = said(facts)
    assert [one.issue for one in answer.without] == ["n5", "n4", "n3", "n2", "n1"]
    assert all(one.days_saved >= 0 and one.chance_gained >= 0 for one in answer.without)
    assert answer.without[0].days_saved > 0
    asked = DURATION.ask(DurationRequest(sprint="next", project="shop"), facts).questions
    study, learned = DURATION.study(facts, asked), settled(DURATION, facts, sprints.questions(facts))
    learn = DURATION.study(facts, learned.drop("value", "known_at"))
    for make in DURATION.candidates.values():
        one = make().fit(learn, learned.select("value", "known_at"))
        days = one.forecast(study).rows["q85"].to_list()
        assert all(without <= days[0] + 1e-9 for without in days[1:])


def test_what_is_not_there_is_not_found() -> None:
    facts = team(3)
    found = predict(
        [
            (DURATION, DurationRequest(sprint="nowhere", project="shop")),
            (DURATION, DurationRequest(sprint="next", project="shop", planned_issues=["n0", "gone"])),
            (DELIVERY, SprintRequest(sprint="nowhere", project="shop")),
        ],
        facts,
        {},
    )
    assert [type(one) for one in found] == [NotFound] * 3
    assert "'gone'" in str(found[1])


@pytest.mark.parametrize("state", ["", "planned", "active", "completed"])
def test_a_sprint_that_is_over_is_not_forecast_but_told(state: str) -> None:
    facts = board(MONDAY + 50 * DAY)
    rows = facts["sprints"].with_columns(state=pl.lit(state))
    facts = History(facts.standpoint, {**facts.tables, "sprints": rows})
    asked = [(DELIVERY, SprintRequest(sprint="one", project="shop"))]
    late, became = (DURATION, DurationRequest(sprint="one", project="shop")), "of 10 points .* 11 points were delivered"
    for told in predict([*asked, *([late] if state != "active" else [])], facts, {}):
        assert isinstance(told, Refused)
        assert re.search(f"sprint 'one' is over since 2026-01-19 09:00 UTC: {became}", str(told))
    if state == "active":
        assert isinstance(predict([late], facts, {})[0], Prediction)
    early = facts.tables["sprints"].with_columns(ends=pl.lit(MONDAY + 30 * DAY))  # closed before its planned end
    closed = History(board(MONDAY + 8 * DAY).standpoint, {**board(MONDAY + 8 * DAY).tables, "sprints": early})
    assert isinstance(predict(asked, closed, {})[0], Refused if state == "completed" else Prediction)


def test_without_a_past_the_plan_is_told_and_that_it_is_a_guess() -> None:
    answer = said(team(0))
    assert answer.risk_factors[0] == "No historical data"
    assert answer.estimated_days == pytest.approx(14)
    assert answer.average_velocity is None
    assert answer.days["95"] > answer.days["50"]


def test_a_sprint_without_open_issues_is_done() -> None:
    answer = said(team(last=()))
    assert (answer.estimated_days, answer.by_end) == (0.0, 1.0)
    assert "No open issues" in answer.risk_factors


@pytest.mark.parametrize("task", [DURATION, DELIVERY], ids=["duration", "delivery"])
def test_a_reloaded_model_says_the_same_to_the_last_bit(task: Any, tmp_path: Path) -> None:
    facts = team()
    learned = settled(task, facts, task.questions(facts))
    study = task.study(facts, learned.drop("value", "known_at"))
    for name, make in task.candidates.items():
        (tmp_path / name).mkdir()
        one: Forecaster = make().fit(study, learned.select("value", "known_at"))
        one.save(tmp_path / name)
        before, after = one.forecast(study), make().load(tmp_path / name).forecast(study)
        assert before.rows.equals(after.rows)
        assert before.rows.columns == task.target.columns
        if before.draws is not None:
            np.testing.assert_array_equal(before.draws, after.draws)


def made_up(count: int, columns: dict[str, Any], project: Sequence[str]) -> Study:
    moments = pl.Series([MONDAY + k * DAY for k in range(count)], dtype=pl.Datetime("us", "UTC"))
    asked: Frame = pl.DataFrame({"entity": list(project), "project": list(project), "as_of": moments, "at": moments})
    facts = history({}, MONDAY + count * DAY)
    return Study(history=facts, questions=asked, features=Block.of_columns(columns))


@pytest.mark.parametrize("late", [0.5, 1.0, 1.6])
def test_a_team_is_told_what_its_sprints_took_beside_their_plan(late: float) -> None:
    """Each held as much and took so many times its two weeks, but for two; from two on that is what is said.

    But for a tenth: how much a sprint holds is told in days of the team's own few weeks.
    """
    sizes = [2.0, 3.0, 4.0]
    said_of: list[float] = []
    for count in (0, 1, 2, 3, 8):
        rows: dict[str, list[Row]] = {"sprints": [], "issues": [], "status_changes": []}
        for k in range(count + 1):
            starts, took = MONDAY + 2 * k * LENGTH, 1.0 if k in (4, 6) else late
            rows["sprints"].append(sprint(f"s{k}", starts))
            rows["issues"] += [issue(f"s{k}-{n}", f"s{k}", size, starts - DAY) for n, size in enumerate(sizes)]
            over = [starts + took * share * LENGTH for share in (0.2, 0.6, 1.0)]
            rows["status_changes"] += [moved(f"s{k}-{n}", "done", one) for n, one in enumerate(over) if k < count]
        facts = history(rows, MONDAY + 2 * count * LENGTH)
        block = sprints.features(facts, sprints.asked_at(facts, (0.0,)).tail(1))
        said_of.append(float(block["usual"][0] / 14))
    assert said_of == pytest.approx([1.0, late**0.5, late, late, late], rel=0.12)


def test_what_is_usual_is_longer_where_more_is_in_the_sprint_and_shorter_where_less_is() -> None:
    facts = team()
    usual = [said(team(last=sizes)).estimated_days for sizes in ((1,), (6, 6), (6, 6, 6), (12, 12, 12, 12, 12, 12))]
    assert usual == sorted(usual)
    assert usual[2] < usual[1] * 1.2  # within what is usual it matters little
    assert usual[3] > usual[2] * 2  # beyond it all of it counts
    days = [said(facts, days_off=off).estimated_days for off in (0, 2, 5)]
    assert days[1] > days[0] + 1
    assert days[2] > days[1] + 2


def test_a_forest_knows_the_spread_and_the_chance() -> None:
    random = np.random.default_rng(2)
    calm, size = random.integers(0, 2, 800).astype(float), random.uniform(1, 100, 800)
    share = np.where(calm == 1, -0.1, random.uniform(-1.0, 0.4, 800))
    study = made_up(800, {"calm": calm, "size": size}, ["shop"] * 800)
    make: dict[str, Any] = {"columns": ["calm"], "levels": (0.1, 0.5, 0.9), "scale": "size", "bounds": (-1.0, 1.0)}
    forest = Forest(**make).fit(study, pl.DataFrame({"value": share * size}))
    said = forest.forecast(study)
    rows = said.rows.with_columns(pl.all() / pl.Series(size))
    wild = rows.filter(pl.Series(calm == 0)).mean()
    assert rows.filter(pl.Series(calm == 1))["q90"].max() == pytest.approx(-0.1)
    assert wild["q10"][0] == pytest.approx(-0.86, abs=0.08)
    assert wild["q90"][0] == pytest.approx(0.26, abs=0.08)
    chance = delivery.under(said)
    assert chance[calm == 1].min() == 1.0
    assert chance[calm == 0].mean() == pytest.approx(1 / 1.4, abs=0.08)


def test_burning_goes_on_as_it_did() -> None:
    columns = dict.fromkeys(("planned_days", "elapsed", "team"), np.array([14.0, 14.0, 14.0]))
    counts = {f"{name}{kind}": np.zeros(3) for name in COUNTED for kind in ("", "_issues")}
    counts |= {"todo": np.array([10.0, 8.0, 2.0]), "done": np.array([0.0, 2.0, 8.0])}
    counts |= columns | {"elapsed": np.array([0.0, 0.5, 0.5])}
    usual = {name: np.full(3, one) for name, one in delivery.RECORD.items()}
    study = Study(history=team(0), questions=pl.DataFrame(), features=delivery.told(counts, usual))
    rows = delivery.CANDIDATES["burn_rate"]().forecast(study).rows
    assert rows["point"].to_list() == pytest.approx([-3.0, -6.0, 0.0])  # seven of ten; four of ten; all
    assert rows["q10"].to_list() == pytest.approx([-3 - 0.8 * 7, -6 - 0.8 * 2, -0.8 * 2])
    assert rows["q90"].to_list() == pytest.approx([-0.6, -1.2, 0.0])


def test_a_sprint_is_told_what_it_will_deliver() -> None:
    facts = team(now=MONDAY + 8 * LENGTH + 3 * DAY)
    found = predict([(DELIVERY, SprintRequest(sprint="next", project="shop"))], facts, {})[0]
    assert isinstance(found, Prediction)
    answer = found.answer
    assert isinstance(answer, DeliveryAnswer)
    assert answer.committed == 18
    assert 0 <= answer.low <= answer.delivered <= answer.high
    assert answer.delivered == answer.committed + answer.difference
    assert answer.under > 0.9  # nothing is done after three days
