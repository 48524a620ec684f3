"""Features as people get them: at any moment, of anybody, in files; and held to what is declared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from tests.web.conftest import tenancy

from foretell.app import App
from foretell.app.features import export
from foretell.cli import cli
from foretell.domains.realestate import MOVE, people
from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.sample import END, sample
from foretell.errors import InvalidRequest, NotFound, NotReady

TASK = "realestate.move"
WHO = [{"person": "p0000001"}, {"person": "p0000042"}]
THEN = datetime(2024, 3, 10, 15, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def agency() -> Iterator[App]:
    """A tenant with the sample's people."""
    with tenancy() as app:
        declared = {table.name: table for table in app.desk.domain("realestate").tables}
        for name, rows in sample(1).history.tables.items():
            if rows.height:
                app.import_(f"realestate.{name}", rows.select(c for c in rows.columns if c in declared[name].kinds))
        yield app


@pytest.mark.row("R2")
def test_features_of_a_moment_are_those_that_models_see(agency: App) -> None:
    names = ["doc_access_count_7d", "email_open_rate_30d", "property_size", "market_gain_3m", "month"]
    made = agency.features.compute(TASK, WHO, names=names, as_of=THEN)
    assert made.columns == ["entity", "as_of", "at", *names]
    history = agency.history(TASK, THEN)
    asked = pl.concat([MOVE.ask(MOVE.request(**one), history).questions for one in WHO])
    assert np.array_equal(
        made.select(names).fill_null(np.nan).to_numpy().astype(float),
        people.features(history, asked).of_names(names),
        equal_nan=True,
    )
    whole = agency.features.compute(TASK, WHO, as_of=THEN)
    assert whole.columns[3:] == [*CATALOGUE.names()]
    with pytest.raises(NotFound, match=r"no feature 'luck'; there are doc_access_count_7d"):
        agency.features.compute(TASK, WHO, names=["luck"])
    with pytest.raises(NotReady, match="nothing is known of nobody"):
        agency.features.compute(TASK, [{"person": "nobody"}])


@pytest.mark.row("R2")
def test_a_backfill_tells_each_moment_as_it_was_known_then(agency: App) -> None:
    start = THEN - timedelta(days=60)
    told = agency.features.backfill(TASK, WHO, start, THEN, every=timedelta(days=30))
    assert told["as_of"].unique().sort().to_list() == [start + timedelta(days=30 * k) for k in range(3)]
    for moment in told["as_of"].unique():
        then = agency.features.compute(TASK, WHO, as_of=moment)
        assert told.filter(pl.col("as_of") == moment).equals(then)
    with pytest.raises(InvalidRequest, match="a later end"):
        agency.features.backfill(TASK, WHO, THEN, start)


@pytest.mark.row("R2")
def test_values_are_held_to_what_is_declared(agency: App) -> None:
    assert agency.features.validate("realestate", {"email_open_rate_30d": 0.65, "month": 3}) == (True, [])
    valid, wrong = agency.features.validate(
        "realestate", {"doc_access_count_7d": -1, "month": 13, "session_count_30d": 1.5, "luck": 1.0, "quarter": None}
    )
    assert not valid
    assert wrong == [
        "doc_access_count_7d is -1, and 0 at least", "month is 13, and 12 at most",
        "session_count_30d is 1.5, and a whole number", "no feature is named 'luck'",
    ]  # fmt: skip
    with pytest.raises(NotFound, match="declares no features"):
        agency.features.validate("traffic", {})


def test_a_training_set_has_questions_features_and_outcomes_that_are_known(agency: App) -> None:
    told = agency.features.training_set(TASK, as_of=END)
    assert told["value"].is_in([0.0, 1.0]).all()
    assert (told["known_at"] > told["as_of"]).all()
    assert (told["known_at"] <= END).all()
    assert {f"feature:{name}" for name in CATALOGUE.names()} <= {*told.columns}


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_features_go_into_files(agency: App, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"features.{kind}"
    to = ["features", "compute", TASK, "--tenant", agency.tenant, "--as-of", "2024-03-10T15:30:00Z", "--to", str(path)]
    done = CliRunner().invoke(cli, [*to, "--request", json.dumps(WHO[0]), "--feature", "session_count_90d"])
    assert done.exit_code == 0, done.output
    read: dict[str, Callable[[Path], pl.DataFrame]] = {
        "parquet": pl.read_parquet, "csv": pl.read_csv, "json": pl.read_json,
    }  # fmt: skip
    there = read[kind](path)
    assert there["entity"].to_list() == ["p0000001"]
    want = agency.features.compute(TASK, WHO[:1], names=["session_count_90d"], as_of=THEN)["session_count_90d"]
    assert there["session_count_90d"].to_list() == want.to_list()
    with pytest.raises(InvalidRequest, match=r"ends in none of .parquet, .csv, .json"):
        export(there, tmp_path / "features.xls")


def test_the_command_lists_and_validates(agency: App) -> None:
    listed = CliRunner().invoke(cli, ["features", "list", "realestate"])
    assert listed.exit_code == 0
    assert len(listed.output.splitlines()) == len(CATALOGUE.features)
    bad = CliRunner().invoke(cli, ["features", "validate", "realestate", '{"month": 13}', "--tenant", agency.tenant])
    assert bad.exit_code == 1
    assert "12 at most" in bad.output


@pytest.mark.row("R14")
def test_the_page_of_features_says_everything_that_is_declared() -> None:
    page = (Path(__file__).parents[2] / "docs" / "features.md").read_text()
    for one in CATALOGUE.features:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{one.name}` |"))
        assert one.words in row
        assert one.missing in row
        assert (one.guard or "") in row
    counts = {"behavioural": 27, "property": 23, "transactional": 13, "market": 13, "temporal": 10}
    for group, least in counts.items():
        assert len(CATALOGUE.names(group)) >= least
        assert f"## realestate: {group} ({len(CATALOGUE.names(group))})" in page
