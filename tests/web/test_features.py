"""Features over HTTP: what a model learned from, what that is worth, values of somebody, and files to learn from."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from click.testing import CliRunner
from tests.web.conftest import Running, tenancy

from foretell.app import App
from foretell.cli import cli
from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.sample import END, sample

TASK, PATH = "realestate.move", "/v1/realestate/move"
AS_OF = {"as_of": END.isoformat()}
PERSON = {"person": "p0000042"}
READ: dict[str, Callable[[Any], pl.DataFrame]] = {
    "parquet": pl.read_parquet, "csv": partial(pl.read_csv, infer_schema_length=None),
    "json": partial(pl.read_json, infer_schema_length=None),
}  # fmt: skip


@pytest.fixture(scope="module")
def agency(home: object) -> Iterator[App]:
    """A tenant with the sample's people, and a model of who moves that looks at features."""
    with tenancy() as app:
        declared = {table.name: table for table in app.desk.domain("realestate").tables}
        for name, rows in sample(1).history.tables.items():
            if rows.height:
                app.import_(f"realestate.{name}", rows.select(c for c in rows.columns if c in declared[name].kinds))
        app.train(TASK, as_of=END, budget=3.0)
        yield app


@pytest.fixture(scope="module")
def client(server: Running, token: Callable[..., str], agency: App) -> Iterator[httpx.Client]:
    with server.client(token(agency.tenant)) as made:
        yield made


def told_by(*words: str) -> Any:
    """What a command says, as JSON."""
    done = CliRunner().invoke(cli, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.row("R3")
def test_from_training_set_to_importance(client: httpx.Client, agency: App, tmp_path: Path) -> None:
    # A training set, in each of three formats, over HTTP and by the command.
    want = agency.features.training_set(TASK, as_of=END)
    assert want.height > 1000
    names = [f"feature:{name}" for name in CATALOGUE.names()]
    for kind, read in READ.items():
        sent = client.get(f"{PATH}/training-set", params={**AS_OF, "format": kind})
        assert sent.status_code == 200, sent.text
        path = tmp_path / f"set.{kind}"
        there = ["--tenant", agency.tenant, "--as-of", END.isoformat(), "--to", str(path)]
        done = CliRunner().invoke(cli, ["features", "training-set", TASK, *there])
        assert done.exit_code == 0, done.output
        assert path.read_bytes() == sent.content
        found = read(io.BytesIO(sent.content))
        assert found["entity"].to_list() == want["entity"].to_list()
        assert found["value"].to_list() == want["value"].to_list()
        numbers = found.select(pl.col(names).cast(pl.Float64)).to_numpy()
        assert numbers == pytest.approx(want.select(pl.col(names).cast(pl.Float64)).to_numpy(), nan_ok=True)
    # The features that the model in service has, and their values for a prediction.
    model = client.get(f"{PATH}/features").json()
    assert model == told_by("features", "of", TASK, "--tenant", agency.tenant)
    assert [one["feature_name"] for one in model["features"]] == [*CATALOGUE.names()]
    said = {one["feature_name"]: one for one in model["features"]}["email_open_rate_30d"]
    assert said["description"] == "e-mails opened in the last 30 days for each that was sent"
    assert (said["category"], said["data_type"], said["entity_type"]) == ("behavioural", "number", "USER")
    rows = client.post(f"{PATH}/features", json=PERSON, params=AS_OF).json()["rows"]
    seen = agency.features.compute(TASK, [PERSON], as_of=END).row(0, named=True)
    assert [{**row, "as_of": seen["as_of"], "at": seen["at"]} for row in rows] == [seen]
    # What they are worth, one by one and in groups.
    worth = client.get(f"{PATH}/importance", params=AS_OF).json()
    assert worth == told_by("features", "importance", TASK, "--tenant", agency.tenant, "--as-of", END.isoformat())
    assert {one["name"] for one in worth["features"]} == {*CATALOGUE.names()}
    assert (worth["version"], worth["questions"], worth["metric"]) == (model["version"], "last fold", "log_loss")
    groups = client.get(f"{PATH}/importance", params={**AS_OF, "grouped": True}).json()["features"]
    assert {one["name"]: tuple(one["features"]) for one in groups} == {
        group: CATALOGUE.names(group) for group in ("behavioural", "property", "transactional", "market", "temporal")
    }
    assert groups[0]["importance"] > 2 * groups[0]["standard_error"]


def test_some_features_and_what_is_wrong(client: httpx.Client, agency: App) -> None:
    some = {**AS_OF, "feature": ["month", "session_count_30d"]}
    (row,) = client.post(f"{PATH}/features", json=PERSON, params=some).json()["rows"]
    assert [*row] == ["entity", "as_of", "at", "month", "session_count_30d"]
    unknown = client.post(f"{PATH}/features", json=PERSON, params={"feature": "luck"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "NotFound")
    for path in ("features", "importance"):
        untrained = client.get(f"/v1/realestate/value/{path}")
        assert (untrained.status_code, untrained.json()["code"]) == (409, "NotReady")
    assert client.get(f"{PATH}/features", params={"version": "x"}).status_code == 404
    bare = "/v1/realestate/contact/features"
    assert [client.get(bare, params=each).status_code for each in ({}, {"version": ""})] == [409, 404]
    assert client.get(f"{PATH}/training-set", params={"format": "xls"}).status_code == 422


def test_the_command_tells_people(agency: App) -> None:
    of = CliRunner().invoke(cli, ["features", "of", TASK, "--tenant", agency.tenant])
    assert len(of.output.splitlines()) == 1 + len(CATALOGUE.features)
    there = ["--tenant", agency.tenant, "--group", "--as-of", END.isoformat()]
    worth = CliRunner().invoke(cli, ["features", "importance", TASK, *there])
    assert len(worth.output.splitlines()) == 2 + 5, worth.output
    assert "of the same method fitted on what was known by then" in worth.output
