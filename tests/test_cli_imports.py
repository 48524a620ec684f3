"""`foretell imports`: a file that was imported with the wrong zone is found, taken back and imported again."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest
from tests.test_cli_facts import ATHENS, TABLE, counts, hours, kept, say, take

from foretell.errors import NotFound, Refused


@pytest.fixture
def tenant() -> str:
    """A tenant that nobody has used before, on the clocks of Athens."""
    name = f"cli-{uuid4().hex[:8]}"
    say("tenant", "add", name, "--zone", ATHENS)
    return name


def test_a_wrong_zone_is_found_taken_back_and_put_right(tenant: str, tmp_path: Path) -> None:
    file = tmp_path / "hours.csv"
    hours(30).write_csv(file, datetime_format="%Y-%m-%d %H:%M")
    assert say("imports", "list", "--tenant", tenant).output == "nothing was imported yet\n"
    assert say("imports", "list", TABLE, "--tenant", tenant).output == f"nothing was imported into {TABLE} yet\n"
    done = take(file, tenant, "--timezone", "UTC")
    wrong = kept(tenant)
    listed = say("imports", "list", TABLE, "--tenant", tenant).output
    assert f"{TABLE}  30 accepted, 0 revised, 0 unchanged, 0 rejected\n    from hours.csv, clock times of UTC" in listed
    assert listed.startswith(done["import_id"])
    assert say("imports", "undo", done["import_id"], "--tenant", tenant).output == (
        f"{TABLE}: 30 facts removed, 0 restored\nwhat a model learned from them it knows until it is trained again\n"
    )
    assert kept(tenant).is_empty()
    assert "    taken back 20" in say("imports", "list", "--tenant", tenant).output
    assert counts(take(file, tenant)) == (30, 0, 0, 0)
    assert (wrong["time"] - kept(tenant)["time"]).unique().len() == 1
    with pytest.raises(Refused, match="taken back already"):
        say("imports", "undo", done["import_id"], "--tenant", tenant)


def test_it_says_what_became_of_the_facts_as_json_and_in_words(tenant: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.csv" for name in ("first", "wrong", "later")]
    for n, file in enumerate(files):
        rows = hours(30 - 10 * n).with_columns(y=n + 1.0)
        lines = rows.write_csv(datetime_format="%Y-%m-%d %H:%M") + ("someday,1,shop\n" if n == 1 else "")
        file.write_text(lines)
    first, wrong, _ = (take(file, tenant, "--timezone", "UTC") for file in files)
    said = say("imports", "undo", wrong["import_id"], "--tenant", tenant).output.splitlines()
    assert said[:3] == [
        f"{TABLE}: 0 facts removed, 10 restored",
        "  10 that a later import revised stay as they are",
        "  1 of its rows are in quarantine no more",
    ]
    told = json.loads(say("imports", "undo", first["import_id"], "--tenant", tenant, "--json").output)
    assert told == {
        "import_id": first["import_id"], "table": TABLE, "removed": 20, "restored": 0, "stayed": 10, "released": 0,
    }  # fmt: skip
    listed = json.loads(say("imports", "list", "--tenant", tenant, "--json").output)
    assert [(one["source"], one["undone_at"] is None) for one in listed] == [
        ("later.csv", True), ("wrong.csv", False), ("first.csv", False),
    ]  # fmt: skip


def test_a_number_that_is_none_is_answered_with_those_that_are(tenant: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing was imported yet"):
        say("imports", "undo", "none", "--tenant", tenant)
    file = tmp_path / "hours.csv"
    hours(3).write_csv(file)
    done = take(file, tenant)
    with pytest.raises(NotFound, match=rf"no import none; the last are {done['import_id']} \({TABLE}, hours.csv, "):
        say("imports", "undo", "none", "--tenant", tenant)
