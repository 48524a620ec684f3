"""A person's rights: everything that is kept of them is shown, and goes for good, and stays away after a restore."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from tests.conftest import reachable
from tests.plugged import plugged
from tests.toys import rostered

from foretell import upkeep
from foretell.app import App
from foretell.app.people import Erased
from foretell.cli import cli
from foretell.errors import InvalidRequest, NotFound
from foretell.settings import ForetellSettings
from foretell.stores import launcher
from foretell.stores.access import DATABASE

ANA = 'Ana "Ωq" 100%_\\ x/y'  # everything that a name can have in it and a pattern could trip over
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
OF_REALESTATE: dict[str, list[dict[str, Any]]] = {
    "people": [{"agent": "a1"}],
    "homes": [{"property": "h1"}],
    "documents": [{"document": "d1"}],
    "accesses": [{"document": "d1", "seconds": 30.0}],
    "emails": [{"email": "e1", "event": "open"}],
    "sessions": [{"pages": 3.0}],
    "alerts": [{"alert": "l1"}],
    "searches": [{"area": "x"}],
    "contacts": [{"agent": "a1", "answered": True}],
    "transactions": [
        {"transaction": "t1", "kind": "BUY", "property": "h1", "area": "x", "price": 300_000.0, "agent": "a1"}
    ],
}


def bring(app: App, person: str, days: int = 40) -> None:
    """Facts of a person in every table; what was said of their sessions is corrected once."""
    for table, rows in OF_REALESTATE.items():
        time = NOW - days * DAY
        own = {
            "transaction": f"t-{person[:3]}",
            "document": f"d-{person[:3]}",
            "property": f"h-{person[:3]}",
            "area": f"x-{person[:3]}",
        }
        told = [{"person": person, "time": time, **row} for row in rows]
        told = [{name: own.get(name, value) for name, value in row.items()} for row in told]
        app.import_(f"realestate.{table}", pl.DataFrame(told))
    app.import_("realestate.sessions", pl.DataFrame({"person": [person], "time": [time], "pages": [4.0]}))


def everything(home: Path) -> str:
    """Every row of every table of the database, by its owner's owner, and every file beside it."""
    url = launcher.start(home).url(DATABASE)
    out = []
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
        ).fetchall()
        for name in tables:
            found = connection.execute(sql.SQL("SELECT to_jsonb(t)::text FROM {} t").format(sql.Identifier(*name)))
            out += [f"{'.'.join(name)}: {json.loads(row)!r}" for (row,) in found]
    files = [each for each in (home / "blobs").rglob("*") if each.is_file()]
    return "\n".join([*out, *(each.read_bytes().decode("utf-8", "replace") for each in files)])


def named(home: Path, name: str) -> list[str]:
    """The lines of everything that hold a name, however often it was quoted."""
    forms = {name, repr(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1]}
    forms |= {json.dumps(each, ensure_ascii=False)[1:-1] for each in {*forms}} | {repr(each)[1:-1] for each in {*forms}}
    return [line for line in everything(home).splitlines() if any(form in line for form in forms)]


@pytest.fixture(scope="module")
def agency(alone: Path) -> Iterator[App]:
    """A tenant with people of whom much is kept."""
    with App.open("agency", zone="Europe/Athens") as app:
        yield app


@pytest.fixture(scope="module")
def erased(agency: App, alone: Path) -> Erased:
    """Ana is erased, of whom everything had been kept that can be."""
    for person in (ANA, "Bob"):
        bring(agency, person)
        bad = agency.import_("realestate.sessions", pl.DataFrame({"person": [person], "time": [NOW], "pages": [-1.0]}))
        assert bad.rejected == 1
        said = agency.predict("realestate.move", {"person": person})
        assert isinstance(said.id, UUID)
        agency.predictions.feedback(said.id, outcome=None, helpful=True, note=f"{person} called")
        agency.predict("realestate.contact", {"person": person})
    agency.jobs.start("predict", {"task": "realestate.move", "whom": [ANA, "Bob"]})
    assert agency.people.export("realestate", ANA)["facts"].keys() == {f"realestate.{name}" for name in OF_REALESTATE}
    with App.open("other", zone="UTC") as other:
        bring(other, ANA)
    assert named(alone, ANA)
    return agency.people.erase("realestate", ANA)


def test_everything_of_a_person_is_shown(agency: App, erased: Erased) -> None:
    told = agency.people.export("realestate", "Bob")
    assert {name: len(rows) for name, rows in told["facts"].items()} == {
        **{f"realestate.{name}": 1 for name in OF_REALESTATE},
        "realestate.sessions": 2,  # with what was corrected
    }
    assert {name: len(rows) for name, rows in told["written"].items()} == {
        "ml_predictions": 2, "ml_feedback": 1, "ml_feature_values": 1, "quarantine": 1,
    }  # fmt: skip
    assert "tenant_id" not in json.dumps(told)
    assert json.loads(json.dumps(told, ensure_ascii=False)) == told


@pytest.mark.row("R13")
def test_nothing_is_left_of_a_person_and_it_is_proved(erased: Erased, alone: Path, agency: App) -> None:
    assert erased.left == {}
    assert erased.facts["realestate.sessions"] == 2
    assert erased.facts.keys() == {f"realestate.{name}" for name in OF_REALESTATE} - {"realestate.transactions"}
    assert erased.blanked == {"realestate.transactions": 1}
    assert erased.written.keys() >= {
        "ml_predictions",
        "ml_feedback",
        "ml_feature_values",
        "quarantine",
        "jobs",
        "audit",
    }
    left = named(alone, ANA)
    assert left
    assert [line for line in left if "'tenant_id': 'other'" not in line] == []
    with pytest.raises(NotFound, match="nothing is kept of the person"):
        agency.people.erase("realestate", ANA)
    with App.open("other") as other:
        assert other.people.export("realestate", ANA)["facts"].keys() == {f"realestate.{n}" for n in OF_REALESTATE}


def test_what_is_about_something_else_stays_without_the_name(agency: App, erased: Erased) -> None:
    deals = agency.facts("realestate.transactions").sort("person")
    assert deals.select("person", "entity", "price").rows() == [("", "", 300_000.0), ("Bob", "Bob", 300_000.0)]
    (job,) = agency.jobs.list(limit=1)
    assert job.told["whom"] == ["Bob"]


def test_the_deed_is_in_the_audit_without_the_name(agency: App, erased: Erased) -> None:
    with agency.desk.transaction() as connection:
        told = connection.execute("SELECT who, details FROM audit WHERE action = 'erase person'").fetchall()
    assert [(who, details["person"]) for who, details in told] == [("somebody at this machine", erased.erasure)]
    assert told[0][1]["facts"] == dict(erased.facts)


def test_an_agent_is_erased_as_one(agency: App, erased: Erased) -> None:
    agency.import_("realestate.agents", pl.DataFrame({"agent": ["a1", "Bob"], "time": [NOW, NOW], "name": ["A", "B"]}))
    done = agency.people.erase("realestate", "a1", kind="agent")
    assert done.facts == {"realestate.agents": 1}
    assert {*done.blanked} == {"realestate.people", "realestate.contacts", "realestate.transactions"}
    assert done.left == {}
    assert agency.facts("realestate.agents")["agent"].to_list() == ["Bob"]
    assert agency.people.export("realestate", "Bob")["facts"].keys() == {f"realestate.{n}" for n in OF_REALESTATE}


@pytest.mark.parametrize(
    ("domain", "name", "kind", "error", "words"),
    [
        ("realestate", "nobody", None, NotFound, "nothing is kept of the person nobody"),
        ("realestate", "Bob", "pet", NotFound, "it knows person, agent"),
        ("realestate", "", None, InvalidRequest, "a name is empty"),
        ("energy", "Bob", None, NotFound, "name no people"),
        ("realestate.move", "Bob", None, NotFound, "name no people"),
    ],
)
def test_who_is_not_there_is_said_so(
    agency: App, domain: str, name: str, kind: str | None, error: type[Exception], words: str
) -> None:
    before = agency.house.stores.blobs.files("agency")
    for verb in (agency.people.export, agency.people.erase):
        with pytest.raises(error, match=words):
            verb(domain, name, kind=kind)
    assert agency.house.stores.blobs.files("agency") == before  # nobody is in the register who was not erased


def test_worked_hours_stay_and_are_nobodys(agency: App) -> None:
    times = [NOW - 3 * DAY, NOW - 2 * DAY]
    facts: dict[str, dict[str, Any]] = {
        "projects": {"project": "p", "lead": ANA},
        "members": {"project": "p", "person": ANA, "name": "Ana", "email": "ana@example.com"},
        "issues": {"issue": "i", "project": "p", "title": "Fix it", "reporter": ANA},
        "assignments": {"issue": "i", "project": "p", "person": ANA},
        "worklogs": {"issue": "i", "project": "p", "person": ANA, "hours": 2.0},
    }
    for table, row in facts.items():
        agency.import_(f"agile.{table}", pl.DataFrame([{**row, "time": time} for time in times]))
    content = io.BytesIO()
    pl.DataFrame({"entity": ["i", "j"], "person": [ANA, "Bob"], "value": [1.0, 2.0]}).write_parquet(content)
    agency.house.stores.blobs.write(
        "agency", "ml_datasets/global/effort/training_set_20260101.parquet", content.getvalue()
    )
    done = agency.people.erase("agile", ANA)
    assert done.facts == {"agile.members": 2}
    assert done.blanked == {f"agile.{name}": 2 for name in ("projects", "issues", "assignments", "worklogs")}
    assert done.left == {}
    assert done.data_sets == ("ml_datasets/global/effort/training_set_20260101.parquet",)
    kept = agency.house.stores.blobs.read("agency", done.data_sets[0])
    assert pl.read_parquet(io.BytesIO(kept or b""))["person"].to_list() == ["Bob"]
    hours = agency.facts("agile.worklogs")
    assert hours["hours"].to_list() == [2.0, 2.0]
    (other,) = set(hours["person"])
    assert other.startswith("erased-")
    assert agency.facts("agile.assignments")["person"].to_list() == ["", ""]


def test_a_model_that_knew_the_name_goes_and_is_made_anew(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged(tmp_path, tickets="tests.toys.rostered:DOMAIN")
    monkeypatch.syspath_prepend(str(tmp_path))
    with App.open("desk", zone="UTC") as app:
        for name, rows in rostered.DOMAIN.sample(1).history.tables.items():
            app.import_(f"tickets.{name}", rows.drop("known_at"))
        trained, _ = app.train("tickets.who", as_of="latest")
        version = trained.model.card.version
        assert app.champion("tickets.who")
        done = app.people.erase("tickets", "ann")
        assert done.models == (f"tickets.who {version}",)
        assert done.left == {}
        (job,) = app.jobs.list(limit=1)
        assert (job.kind, job.subject, job.state) == ("train", "tickets.who", "waiting")
        assert app.champion("tickets.who") is None
        assert [line for line in named(alone, "ann") if "'ann'" in line or '"ann"' in line] == []


# ---------------------------------------------------------------- after a restore


def run(*command: str) -> str:
    told = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.output


@pytest.mark.parametrize("moved", [False, True], ids=["the register is here", "it lies in the home that was before"])
def test_a_restore_brings_nobody_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool) -> None:
    with reachable() as one, reachable() as two:
        monkeypatch.setenv("FORETELL_HOME", str(one))
        with App.open("agency", zone="UTC") as app:
            for person in (ANA, "Bob"):
                bring(app, person)
                app.predict("realestate.move", {"person": person})
        run("backup", str(tmp_path / "before.zip"))
        shown = run("people", "export", "realestate", ANA, "--tenant", "agency", "--to", str(tmp_path / "ana.json"))
        assert "everything that realestate keeps" in shown
        assert json.loads((tmp_path / "ana.json").read_text())["person"] == ANA
        assert "nothing is left" in run("people", "erase", "realestate", ANA, "--tenant", "agency", "--yes")
        run("backup", str(tmp_path / "after.zip"))
        launcher.stop(one)
        monkeypatch.setenv("FORETELL_HOME", str(two))
        if not moved:  # what is in use now knows of the erasure, as it does where only the database was lost
            two.mkdir()
            (one / "blobs").rename(two / "blobs")
        told = run("restore", str(tmp_path / "before.zip"), *(["--erased", str(one)] if moved else []))
        assert "erased again: 1 person" in told
        assert not named(two, ANA)
        assert named(two, "Bob")
        launcher.stop(two)


def test_a_backup_knows_of_whom_was_erased_before_it(alone: Path, agency: App, erased: Erased, tmp_path: Path) -> None:
    told = upkeep.backup(ForetellSettings(), tmp_path / "it.zip")
    assert f"files/agency/erasures/realestate.person/{erased.erasure}.json" in told.parts
    assert (
        subprocess.run(["grep", "-c", ANA, str(tmp_path / "it.zip")], check=False, capture_output=True).returncode == 1
    )


# ---------------------------------------------------------------- facts that are old enough


@pytest.mark.row("R13")
def test_facts_are_kept_as_long_as_the_tenant_says(agency: App, alone: Path) -> None:
    with App.open("tidy", zone="UTC") as app:
        bring(app, "Eve", days=40)
        bring(app, "Eve", days=10)
        app.predict("realestate.move", {"person": "Eve"})
        app.settings.change("tenant", {"keep_facts_days": {"realestate.sessions": 30}})
        with pytest.raises(NotFound, match="no table"):
            app.settings.change("tenant", {"keep_facts_days": {"realestate.nothing": 30}})
        assert app.people.forget_old() == {}  # they came just now: who brings old facts means to use them
        url = launcher.start(alone).url(DATABASE)
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE realestate.sessions SET recorded_at = recorded_at - interval '31 days'")
        assert app.people.forget_old() == {"realestate.sessions": 2}
        assert app.facts("realestate.sessions")["time"].to_list() == [NOW - 10 * DAY]
        assert app.facts("realestate.searches").height == 2
        with app.desk.transaction() as connection:
            (kept,) = connection.execute("SELECT count(*) FROM ml_feature_values").fetchone()
        assert kept == 0  # made of what is no longer there
        assert app.people.forget_old() == {}
    assert agency.facts("realestate.sessions").height > 0


def test_readings_are_kept_for_two_years(agency: App, alone: Path) -> None:
    times = [NOW - 800 * DAY, NOW - 700 * DAY]
    rows = pl.DataFrame({"plant": ["a", "a"], "time": times, "output_kw": [1.0, 1.0]})
    agency.import_("energy.readings", rows)
    with psycopg.connect(launcher.start(alone).url(DATABASE)) as connection:
        connection.execute("UPDATE energy.readings SET recorded_at = recorded_at - interval '800 days'")
    assert agency.people.forget_old() == {"energy.readings": 1}
    assert agency.facts("energy.readings")["time"].to_list() == times[1:]
