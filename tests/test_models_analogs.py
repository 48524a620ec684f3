"""Analogs: what came of an entity's own most similar situations, held against sorting all of them by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from foretell.contract import Block, Floats, History, Standpoint, Study
from foretell.domains.energy.schema import Settings
from foretell.models.analogs import LEAST, Analogs

LEVELS = (0.1, 0.5, 0.9)
COLUMNS = {"wind": 2.0, "hour": 0.5}


def study(entity: list[str], wind: Floats, hour: Floats) -> Study:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    asked = pl.DataFrame({"entity": entity, "as_of": [now] * len(entity), "at": [now] * len(entity)})
    block = Block.of_columns({"hour": hour, "none": wind * 0, "wind": wind})
    return Study(
        history=History(Standpoint(tenant="t", zone="UTC", settings=Settings(), now=now), {}),
        questions=asked,
        features=block,
    )


@pytest.fixture(scope="module")
def past() -> tuple[Study, Floats]:
    random = np.random.default_rng(1)
    wind, hour = random.uniform(0, 20, 900), random.uniform(0, 24, 900)
    return study(["a"] * 400 + ["b"] * 450 + ["c"] * 50, wind, hour), wind + random.normal(0, 1, 900)


def test_they_are_the_nearest_of_the_entitys_own(past: tuple[Study, Floats]) -> None:
    learned, value = past
    said = Analogs(COLUMNS, LEVELS).fit(learned, value).quantiles(study(["b", "a"], np.array([5, 9.0]), np.ones(2)))
    for row, (name, wind) in zip(said, (("b", 5.0), ("a", 9.0)), strict=True):
        mine = (learned.questions["entity"] == name).to_numpy()
        features = {column: learned.features[column][mine] for column in COLUMNS}
        away = ((features["wind"] - wind) / features["wind"].std() * 2) ** 2
        away += ((features["hour"] - 1) / features["hour"].std() / 2) ** 2
        near = value[mine][np.argsort(away)[: round(mine.sum() ** 0.5)]]
        assert row == pytest.approx(np.quantile(near, LEVELS))


def test_there_are_none_of_a_stranger_of_few_outcomes_and_of_what_is_not_known(past: tuple[Study, Floats]) -> None:
    analogs = Analogs(COLUMNS, LEVELS).fit(*past)
    asked = study(["a", "a", "c", "stranger"], np.array([5, np.nan, 5, 5]), np.ones(4))
    assert [bool(np.isnan(row).all()) for row in analogs.quantiles(asked)] == [False, True, True, True]
    assert LEAST > 50


def test_situations_that_lack_a_feature_or_an_outcome_are_no_analogs(past: tuple[Study, Floats]) -> None:
    learned, value = past
    wind, hour = learned.features["wind"].copy(), learned.features["hour"]
    wind[0], missing = np.nan, value.copy()
    missing[1] = np.nan
    lacking = study(learned.questions["entity"].to_list(), wind, hour)
    whole = np.arange(2, 900)
    without = study(lacking.questions["entity"][2:].to_list(), wind[whole], hour[whole])
    asked = study(["a"] * 5, np.arange(5.0), np.ones(5))
    first, second = [
        Analogs(COLUMNS, LEVELS).fit(*of).quantiles(asked) for of in ((lacking, missing), (without, value[whole]))
    ]
    assert np.array_equal(first, second)


def test_a_feature_that_never_changes_makes_nothing_less_alike(past: tuple[Study, Floats]) -> None:
    learned, value = past
    asked = study(["a"] * 5, np.arange(5.0), np.ones(5))
    first, second = [
        Analogs(columns, LEVELS).fit(learned, value).quantiles(asked) for columns in (COLUMNS, COLUMNS | {"none": 9})
    ]
    assert np.array_equal(first, second)


def test_what_was_written_says_the_same(past: tuple[Study, Floats], tmp_path: Path) -> None:
    analogs = Analogs(COLUMNS, LEVELS).fit(*past)
    analogs.save(tmp_path)
    asked = study(["a", "b"] * 20, np.linspace(0, 20, 40), np.linspace(0, 24, 40))
    assert np.array_equal(Analogs(COLUMNS, LEVELS).load(tmp_path).quantiles(asked), analogs.quantiles(asked))
