"""Agile's candidates: what is usual, what issues alike took, what a text says; and that none sees the future."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from foretell.contract import DTYPES, INSTANT, Forecaster, Frame, History, Standpoint, Study
from foretell.domains.agile import EFFORT, POINTS, features
from foretell.domains.agile.models import FEWEST
from foretell.domains.agile.schema import Settings
from foretell.domains.agile.tables import ASSIGNMENTS, ISSUES, STATUS_CHANGES, WORKLOGS

START = datetime(2025, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIZES = {"small": 1.0, "usual": 3.0, "large": 8.0}
THINGS = ("login", "invoice", "search", "report", "basket", "export")
COLUMNS = {
    table.name: {name: DTYPES[kind] for name, kind in table.kinds.items() if name != "time"}
    for table in (ISSUES, STATUS_CHANGES, ASSIGNMENTS, WORKLOGS)
}


class World:
    """Issues that are told one by one."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, object]]] = {name: [] for name in COLUMNS}

    def add(
        self,
        issue: str,
        project: str,
        hour: float,
        title: str,
        *,
        hours: float | None = None,
        points: float | None = None,
    ) -> None:
        """An issue written at an hour; with `hours` it was done two hours later, and took so many."""
        kind = "bug" if "fix" in title else "story"
        thing = title.rpartition(" ")[2]
        about = {"description": f"{title}, please", "type": kind, "points": points, "component": thing}
        self._put("issues", issue, project, hour, title=title, **about)
        self._put("assignments", issue, project, hour, person=f"person {hour % 3:g}")
        if hours is not None:
            for part in (0.25, 0.75):
                self._put("worklogs", issue, project, hour + 1 + part, person="ann", hours=hours * part)
            self._put("status_changes", issue, project, hour + 2, category="done")

    def _put(self, table: str, issue: str, project: str, hour: float, **values: object) -> None:
        self.rows[table].append({"issue": issue, "project": project, "at": START + HOUR * hour, **values})

    def history(self, hour: float) -> History:
        """As it is known at an hour."""
        tables = {}
        for name, columns in COLUMNS.items():
            frame = pl.DataFrame(self.rows[name], schema={**columns, "at": INSTANT})
            blank = [pl.col(one).fill_null("") for one, dtype in columns.items() if dtype == pl.String()]
            frame = frame.with_columns(*blank, entity="issue", known_at="at", time="at").drop("at")
            tables[name] = frame.sort("known_at", maintain_order=True)
        there = Standpoint(tenant="team", now=START + HOUR * 1e5, zone="UTC", settings=Settings())
        return History(there, tables).cut(START + HOUR * hour)


def asked(issue: str, project: str, hour: float) -> Frame:
    """A question."""
    at = START + HOUR * hour
    row = {"entity": [issue], "project": [project], "as_of": [at], "at": [at]}
    return pl.DataFrame(row, schema_overrides={"as_of": INSTANT, "at": INSTANT})


@cache
def team() -> History:
    """Two projects, of which one has a scale of 1, 3 and 8 points, the other of twice as much; words tell the size."""
    random, world = np.random.default_rng(4), World()
    for k in range(FEWEST + 160):
        project = "a" if k % 4 else "b"
        size = str(random.choice([*SIZES]))
        title = f"{'fix' if k % 3 else 'build'} the {size} {random.choice(THINGS)}"
        points = SIZES[size] * (2 if project == "b" else 1)
        hours = points * float(np.exp(random.normal(0, 0.3)))
        world.add(f"i{k}", project, 3.0 * k, title, points=points, hours=hours)
    world.add("new", "a", 3.0 * (FEWEST + 160), "fix the large login")
    return world.history(3.0 * (FEWEST + 161))


MAKE: Mapping[str, tuple[str, Callable[[], Forecaster]]] = {
    f"{task.name} {name}": (task.name, make) for task in (EFFORT, POINTS) for name, make in task.candidates.items()
}
TRAINED_OF_ALL = ("similar", "boosted", "own", "linear")
TASKS = {task.name: task for task in (EFFORT, POINTS)}


def split(history: History, task: str, hour: float) -> tuple[Study, Frame, Study]:
    """What is known at an hour to learn from, with outcomes; and the questions from then on."""
    there = START + HOUR * hour
    every = TASKS[task].questions(history)
    every = every.with_columns(TASKS[task].outcomes(history, every).get_columns())
    then = history.cut(there)
    past = every.filter(pl.col("known_at") <= there, pl.col("value").is_not_null())
    study = TASKS[task].study(then, past.drop("value", "known_at"))
    later = every.filter(pl.col("as_of") >= there).drop("value", "known_at")
    return study, past.select("value", "known_at"), TASKS[task].study(history, later)


@cache
def fitted(name: str) -> tuple[Forecaster, Study]:
    """A candidate that learned until the last 60 issues, and the questions about those."""
    task, make = MAKE[name]
    study, outcomes, later = split(team(), task, 3.0 * (FEWEST + 100))
    return make().fit(study, outcomes), later


@pytest.mark.parametrize("name", MAKE)
def test_a_saved_candidate_says_the_same_to_the_last_bit(name: str, tmp_path: Path) -> None:
    model, later = fitted(name)
    model.save(tmp_path)
    said, again = model.forecast(later), MAKE[name][1]().load(tmp_path).forecast(later)
    assert again.rows.equals(said.rows)
    assert again.evidence.equals(said.evidence)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".npz", ".txt"}


@pytest.mark.parametrize("name", MAKE)
def test_two_fits_are_the_same(name: str) -> None:
    task, make = MAKE[name]
    model, later = fitted(name)
    study, outcomes, _ = split(team(), task, 3.0 * (FEWEST + 100))
    assert make().fit(study, outcomes).forecast(later).rows.equals(model.forecast(later).rows)


@pytest.mark.parametrize("name", MAKE)
def test_cutting_the_future_away_changes_no_forecast(name: str) -> None:
    model, later = fitted(name)
    whole = model.forecast(later).rows
    for place in (0, 20, 60):
        question = later.questions[place]
        then = TASKS[MAKE[name][0]].study(later.history.cut(question["as_of"][0]), question)
        alone = model.forecast(then).rows
        for column in whole.columns:
            if column in alone.columns:
                assert alone[column][0] == pytest.approx(whole[column][place], rel=1e-9, abs=1e-12)
            else:  # points that nobody had given by then
                assert whole[column][place] == 0


@pytest.mark.parametrize("name", [name for name in MAKE if name.endswith("similar")])
def test_trained_on_later_facts_nothing_of_them_is_said_of_an_earlier_question(name: str) -> None:
    """What a trained candidate keeps of issues is used of those alone that were known to the question."""
    model, _ = fitted(name)
    task = TASKS[MAKE[name][0]]
    early = task.study(team(), asked("i30", "a", 90.0))
    said = model.forecast(early)
    known = set(features.finished(team().cut(START + HOUR * 90.0))["entity"])
    assert 0 < len(said.evidence["similar"][0]) <= len(known)
    assert {one["id"] for one in said.evidence["similar"][0]} <= known


@pytest.mark.parametrize("name", [name for name in MAKE if name.startswith(POINTS.name)])
def test_only_points_of_the_projects_own_scale_have_a_chance(name: str) -> None:
    model, later = fitted(name)
    rows = model.forecast(later).rows
    assert rows.columns == ["p:1", "p:2", "p:3", "p:6", "p:8", "p:16"]
    assert rows.sum_horizontal().to_list() == pytest.approx([1.0] * rows.height)
    for project, foreign in {"a": ["p:2", "p:6", "p:16"], "b": ["p:1", "p:3", "p:8"]}.items():
        mine = rows.filter(later.questions["project"] == project)
        assert mine.height > 10
        assert mine.select(foreign).max().row(0) == (0, 0, 0)
        assert (mine.drop(foreign).to_numpy() > 0).all()


@pytest.mark.parametrize("name", MAKE)
def test_a_new_project_is_answered_by_what_was_learned_of_all_and_of_nobody_else(name: str) -> None:
    """A text without words in a project without anything finished; only that project's facts are read for it."""
    world = World()
    world.add("first", "elsewhere", 1e4, "??")
    model, _ = fitted(name)
    study = TASKS[MAKE[name][0]].study(world.history(2e4), asked("first", "elsewhere", 1e4))
    rows = model.forecast(study).rows
    if name.endswith(TRAINED_OF_ALL):
        assert np.isfinite(rows.to_numpy()).all()
    else:
        assert rows.select(pl.all_horizontal(pl.all().is_null())).item()


@pytest.mark.parametrize("name", MAKE)
def test_one_finished_issue_is_enough_to_learn_from(name: str) -> None:
    task, make = MAKE[name]
    world = World()
    world.add("one", "a", 0, "build the login", hours=4, points=5)
    world.add("two", "a", 50, "", hours=None)
    study, outcomes, later = split(world.history(60), task, 40)
    assert outcomes.height == 2  # when it was written, and when work on it began
    rows = make().fit(study, outcomes).forecast(later).rows
    assert rows.row(0) == ((1.0,) if task == POINTS.name else pytest.approx((4.0,) * 6))


def test_without_any_finished_issue_nothing_is_said() -> None:
    world = World()
    world.add("one", "a", 0, "build the login")
    study = EFFORT.study(world.history(9), asked("one", "a", 5))
    assert EFFORT.candidates["median"]().forecast(study).rows.null_count().row(0) == (1,) * 6


def test_the_median_is_the_plain_median_of_the_projects_issues_known_by_then() -> None:
    history = team()
    model, later = fitted(f"{EFFORT.name} median")
    said, done = model.forecast(later).rows, features.finished(history)
    for place, (project, as_of) in enumerate(later.questions.select("project", "as_of").iter_rows()):
        hours = done.filter(pl.col("project") == project, pl.col("known_at") <= as_of)["hours"].to_numpy()
        assert said["point"][place] == pytest.approx(np.median(hours))
        assert (hours <= said["q10"][place]).mean() == pytest.approx(0.1, abs=0.03)
        assert (hours <= said["q90"][place]).mean() == pytest.approx(0.9, abs=0.03)


def test_by_type_is_the_mean_of_the_type_and_of_the_project_where_the_type_is_new() -> None:
    world = World()
    for k, (title, hours) in enumerate([("fix it", 2.0), ("fix that", 4.0), ("build it", 9.0)]):
        world.add(f"i{k}", "a", 3.0 * k, title, hours=hours)
    world.add("bug", "a", 20, "fix more")
    study = EFFORT.study(world.history(30), asked("bug", "a", 20))
    by_type = EFFORT.candidates["by_type"]()
    assert by_type.forecast(study).rows["point"][0] == pytest.approx(3.0)
    only = {
        name: rows.filter(pl.col("entity") != "i0", pl.col("entity") != "i1")
        for name, rows in study.history.tables.items()
    }
    study = EFFORT.study(History(study.history.standpoint, only), asked("bug", "a", 20))
    assert by_type.forecast(study).rows["point"][0] == pytest.approx(9.0)


@pytest.mark.parametrize("method", ["jaccard", "similar"])
def test_issues_alike_are_named_with_what_they_really_took(method: str) -> None:
    history, (model, later) = team(), fitted(f"{EFFORT.name} {method}")
    logged = dict(history["worklogs"].group_by("entity").agg(pl.col("hours").sum()).iter_rows())
    titles = dict(history["issues"].select("entity", "title").iter_rows())
    named = model.forecast(later).evidence["similar"]
    assert len(named) == later.questions.height
    for entity, alike in zip(later.questions["entity"], named, strict=True):
        assert 0 < len(alike) <= 5
        for one in alike:
            assert one["actual_hours"] == pytest.approx(logged[one["id"]])
            assert one["title"] == titles[one["id"]]
            assert one["id"] != entity
    mine = [titles[one["id"]] for one in named[later.questions["entity"].to_list().index("new")]]
    assert mine[0] == "fix the large login"


@pytest.mark.parametrize("name", [name for name in MAKE if name.endswith(("jaccard", *TRAINED_OF_ALL, "ridge"))])
def test_what_is_written_tells_the_size(name: str) -> None:
    """A word tells the size here, so whoever reads must know better than what is usual."""
    task = TASKS[MAKE[name][0]]
    model, later = fitted(name)
    kept = later.questions["entity"] != "new"
    value = task.outcomes(team(), later.questions)["value"].filter(kept)
    usual, _ = fitted(f"{task.name} {task.baseline}")
    said, base = (one.forecast(later).rows.filter(kept) for one in (model, usual))
    if task is EFFORT:
        true = value.to_numpy()
        mine, its = (np.abs(rows["point"].to_numpy() - true).mean() for rows in (said, base))
        assert mine < 0.75 * its
    else:
        mine, its = (np.mean([-np.log(rows[f"p:{one}"][k]) for k, one in enumerate(value)]) for rows in (said, base))
        assert mine < 0.9 * its


def test_a_projects_own_trees_answer_it_and_those_of_all_the_others() -> None:
    own, later = fitted(f"{EFFORT.name} own")
    every, _ = fitted(f"{EFFORT.name} boosted")
    said, general = own.forecast(later).rows, every.forecast(later).rows
    few = (later.questions["project"] == "b").to_numpy()
    assert said.filter(pl.Series(few)).equals(general.filter(pl.Series(few)))
    assert not said.filter(pl.Series(~few)).equals(general.filter(pl.Series(~few)))


def test_points_and_estimates_that_an_issue_has_do_not_tell_its_points() -> None:
    model, _ = fitted(f"{POINTS.name} ridge")
    history, one = team(), asked("new", "a", 3.0 * (FEWEST + 160))
    new = pl.col("entity") == "new"
    told = history["issues"].with_columns(
        points=pl.when(new).then(99.0).otherwise("points"), estimate_hours=pl.when(new).then(99.0)
    )
    changed = History(history.standpoint, {**history.tables, "issues": told})
    was, now = (model.forecast(POINTS.study(past, one)).rows for past in (history, changed))
    assert now.equals(was)
