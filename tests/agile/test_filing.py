"""Models and data sets are found under the names that the document gives them, in files and in S3."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.deciding import neighbour, tenancy
from tests.s3 import bucket

from foretell.app import App, filing, shelf
from foretell.domains.agile.sample import NOW, sample
from foretell.errors import Unavailable
from foretell.stores.blobs import NAME, Blobs

WORLD = sample(1).history
EFFORT, POINTS = "agile.effort", "agile.points"
MANIFEST = r"ml_models/effort_prediction/(\d+\.0\.0)/(\d{8}_\d{6})/model\.joblib"
TODAY = "20[0-9]{6}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trained here is not tried in a process of its own."""
    monkeypatch.setattr(shelf, "try_in_child", lambda *_, **__: None)


@contextmanager
def workspace() -> Iterator[App]:
    with tenancy() as app:
        for name, rows in WORLD.tables.items():
            app.import_(f"agile.{name}", rows.drop("entity", "known_at"))
        yield app


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    with workspace() as made:
        yield made


def train(app: App, task: str = EFFORT, hours: float = 1.0) -> str:
    """The version of a training that stood so many hours before the end."""
    return app.train(task, as_of=NOW - timedelta(hours=hours), budget=0.0)[0].model.card.version


def names(app: App, pattern: str = "") -> list[str]:
    return [name for name in app.house.stores.blobs.files(app.tenant) if re.match(pattern, name)]


def manifests(app: App) -> dict[str, dict[str, Any]]:
    """Those of the effort task, by their keys."""
    blobs, found = app.house.stores.blobs, names(app, "ml_models/")
    assert all(re.fullmatch(MANIFEST, name) for name in found)
    return {name: json.loads(blobs.read(app.tenant, name) or b"") for name in found}


def data_set(app: App, folder: str, kind: str = "effort_prediction") -> pl.DataFrame:
    (name,) = names(app, f"ml_datasets/{folder}/{kind}/training_set_{TODAY}.parquet$")
    content = app.house.stores.blobs.read(app.tenant, name)
    assert content is not None
    return pl.read_parquet(io.BytesIO(content))


@pytest.mark.row("A8")
@pytest.mark.parametrize("where", ["file", "s3"])
def test_models_and_data_sets_are_where_the_document_says(
    where: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket(monkeypatch) as url:
        monkeypatch.setenv("FORETELL_BLOBS", url if where == "s3" else tmp_path.as_uri())
        with workspace() as app:
            before = datetime.now(UTC).replace(microsecond=0)
            version, card = train(app), app.models.list(EFFORT)[0]
            ((name, told),) = manifests(app).items()
            number, made = re.fullmatch(MANIFEST, name).groups()  # type: ignore[union-attr]
            assert number == "1.0.0"
            assert datetime.fromisoformat(told["made_at"]) == card.created_at
            assert made == f"{card.created_at.astimezone(UTC):%Y%m%d_%H%M%S}" >= f"{before:%Y%m%d_%H%M%S}"
            assert (told["task"], told["version"], told["candidate"]) == (EFFORT, version, card.candidate)
            stored = app.house.stores.blobs._read(f"{app.tenant}/{told['blob']}")  # the stored object that it names
            assert stored is not None
            assert (hashlib.sha256(stored).hexdigest(), len(stored)) == (told["sha256"], told["size"])
            Blobs(url if where == "s3" else tmp_path.as_uri()).get(app.tenant, told["sha256"], tmp_path / "copy")
            assert json.loads((tmp_path / "copy" / "card.json").read_text())["version"] == version
            learned = data_set(app, "global")
            assert learned.height == app.models.card(EFFORT, version).outcomes["settled"] > 50
            assert {*learned["project"]} == {*WORLD["projects"]["project"]}
            for project in WORLD["projects"]["project"]:
                assert data_set(app, project).equals(learned.filter(pl.col("project") == project))


def test_a_data_set_has_questions_features_and_what_happened(app: App) -> None:
    version = train(app)
    learned = data_set(app, "global")
    features = app.models.card(EFFORT, version).features
    asked = ["entity", "project", "as_of", "at"]
    assert learned.columns == [*asked, *(f"feature:{name}" for name in features), "value", "known_at"]
    for row in learned.head(20).iter_rows(named=True):
        logged = WORLD["worklogs"].filter(pl.col("issue") == row["entity"], pl.col("known_at") <= row["known_at"])
        assert row["value"] == pytest.approx(logged["hours"].sum())
        assert row["as_of"] < row["known_at"]
    train(app, POINTS)
    points = data_set(app, "global", "story_points")
    assert points["value"].dtype == pl.String
    assert data_set(app, "global").equals(learned)


def test_a_version_has_its_manifest_as_long_as_it_is_on_record(home: Path, app: App) -> None:
    one = train(app, hours=60)
    app.models.pin(EFFORT, one)  # so that nothing below is promoted
    two, three, four = (train(app, hours=hours) for hours in (50, 40, 30))
    assert {told["version"] for told in manifests(app).values()} == {one, two, three, four}
    for file in (home / "blobs" / app.tenant).rglob("*"):
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 100_000))  # older than a sweep leaves alone
    five = train(app, hours=20)
    there = manifests(app)
    assert {told["version"] for told in there.values()} == {one, three, four, five}
    assert {name.split("/")[2] for name in there} == {"1.0.0", "3.0.0", "4.0.0", "5.0.0"}
    assert {told["sha256"] for told in there.values()} == {*app.house.stores.blobs.sizes(app.tenant)}
    assert train(app, hours=20) == five  # the same once more
    assert manifests(app) == there


def test_what_is_recalibrated_has_the_number_of_its_training(app: App) -> None:
    train(app, hours=600)
    issues = WORLD["issues"].filter(pl.col("time") < NOW - timedelta(hours=600)).sort("time").tail(40)
    for issue, project in issues.select("issue", "project").unique().iter_rows():
        app.predict(EFFORT, {"project": project, "issue": issue}, as_of=NOW - timedelta(hours=500))
    again = app.recalibrate(EFFORT, as_of=NOW).card.version
    assert [(name.split("/")[2], told["version"]) for name, told in manifests(app).items()][-1] == ("1.0.0", again)
    assert len(manifests(app)) == 2


def test_the_newest_three_data_sets_of_a_task_and_project_are_kept(app: App) -> None:
    blobs, project = app.house.stores.blobs, WORLD["projects"]["project"][0]
    others = ["ml_datasets/closed/effort_prediction/training_set_20200101.parquet"]
    others += [f"ml_datasets/global/story_points/training_set_2020010{day}.parquet" for day in range(1, 6)]
    olds = [
        f"ml_datasets/{folder}/effort_prediction/training_set_2020010{day}.parquet"
        for folder in ("global", project)
        for day in range(1, 6)
    ]
    for name in (*olds, *others):
        blobs.write(app.tenant, name, b"old")
    train(app)
    for folder in ("global", project):
        found = names(app, f"ml_datasets/{folder}/effort_prediction/")
        assert [name[-12:-8] for name in found[:2]] == ["0104", "0105"]
        assert len(found) == 3
    assert {*others} <= {*names(app)}


def test_nobody_else_has_them_and_other_tasks_have_none(app: App) -> None:
    train(app)
    other = neighbour(app)
    assert app.house.stores.blobs.files(other.tenant) == {}
    before = names(app)
    train(app, "agile.assignment")
    assert names(app) == before


def test_what_can_not_be_filed_fails_no_training_and_is_filed_with_the_next(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise Unavailable("the store of blobs fails; try again")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "foretell"):
        patch.setattr(app.house.stores.blobs, "write", fails)
        one = train(app, hours=2)
    assert f"agile.effort of {app.tenant} is on record, but not filed for others: the store" in caplog.text
    assert [each.version for each in app.models.list(EFFORT)] == [one]
    assert names(app) == []
    two = train(app, hours=1)
    assert {told["version"] for told in manifests(app).values()} == {one, two}
    assert data_set(app, "global").height > 50


@pytest.mark.parametrize("scope", ["../..", "", "a/b", "global", ".hidden", "ü", "x" * 200, "a b"])
def test_a_project_of_any_name_has_a_folder_of_its_own(scope: str) -> None:
    folder = filing._folder(scope)
    assert NAME.fullmatch(f"ml_datasets/{folder}/effort_prediction/training_set_20240101.parquet")
    assert folder != "global"
    assert filing._folder("SHOP-1.x") == "SHOP-1.x"
