"""The commands that take facts in and give them back, on real files in a real house."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from click.testing import CliRunner, Result

from foretell.app import App
from foretell.cli import cli, main
from foretell.engine.reading import UNKNOWN
from foretell.errors import ForetellError, InvalidRequest, NotFound, Refused
from foretell.stores import quarantine, registry

HOUR = timedelta(hours=1)
ATHENS = "Europe/Athens"
TABLE = "traffic.metrics"


def say(*words: str | Path, code: int = 0) -> Result:
    """What a command says; raises what it refuses with."""
    done = CliRunner().invoke(cli, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def take(file: Path, tenant: str, *words: str, table: str = TABLE, code: int = 0) -> Any:
    """What became of a file's rows, as JSON tells it; it exits with `code`, 1 where none of them could be taken."""
    return json.loads(say("import", table, file, "--tenant", tenant, "--json", *words, code=code).stdout)


def counts(done: Any) -> tuple[int, int, int, int]:
    return done["accepted"], done["revised"], done["unchanged"], done["rejected"]


def kept(tenant: str) -> pl.DataFrame:
    with App.open(tenant) as app:
        return app.facts(TABLE)


def bad(tenant: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(say("quarantine", "list", TABLE, "--tenant", tenant, "--json").stdout)
    return told


def last(tenant: str) -> str:
    """The number of the last import."""
    (one,) = json.loads(say("imports", "list", "--limit", "1", "--tenant", tenant, "--json").stdout)
    return str(one["import_id"])


def program() -> str:
    found = shutil.which("foretell", path=str(Path(sys.executable).parent))
    assert found, "foretell is not installed beside Python"
    return found


@pytest.fixture
def tenant() -> str:
    """A tenant that nobody has used before, on the clocks of Athens."""
    name = f"cli-{uuid4().hex[:8]}"
    assert say("tenant", "add", name, "--zone", ATHENS).output == f"tenant {name} added, on the clocks of {ATHENS}\n"
    return name


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., Path]:
    """Writes lines into a CSV file."""

    def write(*lines: str, name: str = "rows.csv") -> Path:
        file = tmp_path / name
        file.write_text("\n".join(lines) + "\n")
        return file

    return write


def hours(number: int, *, services: Sequence[str] = ("shop",), day: int = 1) -> pl.DataFrame:
    """So many hours of some services from a day of June 2024 on, in UTC."""
    stamps = [datetime(2024, 6, day, tzinfo=UTC) + HOUR * k for k in range(number)]
    rows = [(stamp, 10.125 * k + n, name) for n, name in enumerate(services) for k, stamp in enumerate(stamps)]
    schema = {"timestamp": pl.Datetime("us", "UTC"), "y": pl.Float64(), "service": pl.String()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def plain(rows: pl.DataFrame, stamp: str = "time", value: str = "value") -> list[tuple[Any, ...]]:
    return sorted(rows.select(stamp, value, "service").iter_rows())


# ---------------------------------------------------------------- tenants


def test_a_tenant_is_added_once_and_listed(tenant: str) -> None:
    with pytest.raises(Refused, match=tenant):
        say("tenant", "add", tenant, "--zone", ATHENS)
    assert f"{tenant}  {ATHENS}\n" in say("tenant", "list").output
    assert json.loads(say("tenant", "list", "--json").output)[tenant] == ATHENS


def test_a_tenant_needs_a_zone_and_a_plain_name() -> None:
    before = say("tenant", "list").output
    for zone in ("Mars/Olympus", "", "../etc"):
        with pytest.raises(InvalidRequest, match=ATHENS):
            say("tenant", "add", "ngo", "--zone", zone)
    for name in ("../etc", "Ngo", "", "a b", "x" * 64):
        with pytest.raises(InvalidRequest, match="can't be a tenant"):
            say("tenant", "add", name, "--zone", ATHENS)
    assert CliRunner().invoke(cli, ["tenant", "add", "ngo"]).exit_code == 2
    assert say("tenant", "list").output == before


@pytest.mark.parametrize("zone", ["Europe", "localtime"])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(InvalidRequest):
        say("tenant", "add", f"odd-{uuid4().hex[:8]}", "--zone", zone)


def test_a_refusal_ends_with_a_line_and_a_code(
    tenant: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*words: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["foretell", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        return stop.value.code, said.err

    code, words = ends("tenant", "add", tenant, "--zone", ATHENS)
    assert (code, words.startswith("foretell: Refused: ")) == (1, True)
    code, words = ends("tenant", "add", "ngo", "--zone", "Mars")
    assert (code, words.startswith("foretell: InvalidRequest: ")) == (1, True)
    code, words = ends("quarantine", "list", "--tenant", "nobody-yet")
    assert (code, "type: foretell tenant add nobody-yet --zone" in words) == (1, True)
    code, words = ends("import", "traffic.nothing", "x.csv", "--tenant", tenant)
    assert code == 1


# ---------------------------------------------------------------- in


def test_csv_packed_csv_and_parquet_come_to_the_same(tenant: str, tmp_path: Path) -> None:
    rows = hours(30, services=("shop", "pay"))
    texts = rows.write_csv()
    plain_file, packed, parquet = tmp_path / "a.csv", tmp_path / "b.csv.gz", tmp_path / "c.parquet"
    plain_file.write_text(texts)
    packed.write_bytes(gzip.compress(texts.encode(), mtime=0))
    rows.write_parquet(parquet)
    assert counts(take(plain_file, tenant, "--map", "time=timestamp,value=y")) == (60, 0, 0, 0)
    assert counts(take(packed, tenant)) == (0, 0, 60, 0)
    assert counts(take(parquet, tenant, "--map", "value=y")) == (0, 0, 60, 0)
    stored = kept(tenant)
    assert plain(stored) == plain(rows, "timestamp", "y")
    assert stored["known_at"].equals(stored["time"] + HOUR, check_names=False)


def test_the_plan_is_shown_before_its_result(tenant: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    hours(5).with_columns(note=pl.lit("x")).write_csv(file)
    done = say("import", TABLE, file, "--tenant", tenant, "--map", "service=service")
    assert done.stderr.splitlines() == [
        "time    ← timestamp (a usual name for it)",
        "value   ← y (a usual name for it)",
        "service ← service (given)",
        "not used: note",
        "each value is taken to stand for the hour from its stamp, known at its end;"
        " --interval none if it is a sample of that moment",
    ]
    assert done.stdout.splitlines() == [
        "5 rows accepted, 0 revised, 0 unchanged, 0 rejected",
        "quality 100.0 % (validity 100.0 %, uniqueness 100.0 %, regularity 100.0 %)",
        f"to take it back, type: foretell imports undo {last(tenant)} --tenant {tenant}",
    ]
    assert done.output.index("←") < done.output.index("accepted")  # in the order they were said


def test_what_is_unclear_is_asked_with_the_words_to_type(tenant: str, csv: Callable[..., Path]) -> None:
    file = csv("time,cpu,mem", "2024-06-01 00:00,1,2", "2024-06-01 01:00,3,4")
    with pytest.raises(InvalidRequest, match=r"cpu and mem .* choose: --map value=cpu or --map value=mem"):
        say("import", TABLE, file, "--tenant", tenant)
    assert kept(tenant).is_empty()
    assert counts(take(file, tenant, "--map", "value=mem")) == (2, 0, 0, 0)
    assert kept(tenant)["value"].to_list() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("value", "'value' names no column; write time=timestamp,value=y"),
        ("value=", "'value' names no column"),
        ("=y", "'' names no column"),
        ("value=z", "the file has no column z; it has time, y"),
        ("load=y", "table metrics has no column load; it has time, value"),
    ],
)
def test_a_wrong_map_is_refused(tenant: str, csv: Callable[..., Path], given: str, words: str) -> None:
    file = csv("time,y", "2024-06-01 00:00,1")
    with pytest.raises(InvalidRequest, match=words):
        say("import", TABLE, file, "--tenant", tenant, "--map", given)


def test_a_column_that_is_given_twice_is_named(tenant: str, csv: Callable[..., Path]) -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        say("import", TABLE, csv("time,y", "2024-06-01,1"), "--tenant", tenant, "--map", "value=y,value=time")


def test_a_dry_run_checks_all_and_stores_none(tenant: str, csv: Callable[..., Path]) -> None:
    file = csv("time,value", "2024-06-01 00:00,1", "2024-06-01 01:00,-1", "2024-06-01 02:00,3")
    said = say("import", TABLE, file, "--tenant", tenant, "--dry-run").stdout
    assert said.startswith("dry run: 2 rows would be stored, 1 rejected; nothing was stored\n")
    assert "rejected 1: value must be ≥ 0" in said
    assert "are kept" not in said
    assert counts(take(file, tenant, "--dry-run")) == (0, 0, 2, 1)
    assert kept(tenant).is_empty()
    assert bad(tenant) == []
    assert counts(take(file, tenant)) == (2, 0, 0, 1)


def test_the_same_file_changes_nothing_and_a_corrected_one_revises(tenant: str, tmp_path: Path) -> None:
    first, mended = tmp_path / "a.csv", tmp_path / "b.csv"
    hours(30).write_csv(first)
    hours(32).with_columns(y=pl.when(pl.col("y") == 20.25).then(7.5).otherwise("y")).write_csv(mended)
    assert counts(take(first, tenant)) == (30, 0, 0, 0)
    before = datetime.now(UTC)
    assert counts(take(first, tenant)) == (0, 0, 30, 0)
    said = say("import", TABLE, mended, "--tenant", tenant).stdout
    assert said.startswith("2 rows accepted, 1 revised, 29 unchanged, 0 rejected\n")
    assert counts(take(mended, tenant)) == (0, 0, 32, 0)
    with App.open(tenant) as app:
        now, then = app.facts(TABLE), app.facts(TABLE, recorded=before)
    assert (now.height, now["value"][2]) == (32, 7.5)
    assert (then.height, then["value"][2]) == (30, 20.25)


def test_quality_has_its_parts(tenant: str, csv: Callable[..., Path]) -> None:
    there = [0, 1, 2, 3, 4, 6, 7, 8, 9, 3]  # the fifth is missing, the third comes twice, the seventh is negative
    file = csv("time,value", *(f"2024-06-01 {hour:02}:00,{-1 if hour == 7 else hour}" for hour in there))
    done = take(file, tenant)
    assert counts(done) == (8, 0, 0, 1)
    assert done["quality"] == {"score": 0.64, "validity": 0.9, "uniqueness": 0.8889, "regularity": 0.8}
    assert done["rules"] == {"value must be ≥ 0": 1}
    assert done["notes"] == ["1 rows repeat the key of a later row; the later one counts"]
    said = say("import", TABLE, file, "--tenant", tenant).stdout
    assert "quality 64.0 % (validity 90.0 %, uniqueness 88.9 %, regularity 80.0 %)" in said


@pytest.mark.parametrize(
    ("given", "known"), [("1h", HOUR), ("15m", HOUR / 4), ("none", timedelta(0)), ("auto", HOUR), ("0060m", HOUR)]
)
def test_how_long_a_value_stands(tenant: str, csv: Callable[..., Path], given: str, known: timedelta) -> None:
    file = csv("time,value", *(f"2024-06-01 {hour:02}:00,{hour}" for hour in range(5)))
    assert counts(take(file, tenant, "--interval", given)) == (5, 0, 0, 0)
    stored = kept(tenant)
    assert stored["known_at"].equals(stored["time"] + known, check_names=False)


@pytest.mark.parametrize("given", ["1w", "h", "", "1.5h", "-1h", "0h", "one"])
def test_a_wrong_interval_is_refused(tenant: str, csv: Callable[..., Path], given: str) -> None:
    with pytest.raises(InvalidRequest, match="interval"):
        say("import", TABLE, csv("time,value", "2024-06-01,1"), "--tenant", tenant, "--interval", given)
    assert kept(tenant).is_empty()


@pytest.mark.parametrize("given", ["9999999999999d", "²h"])
def test_an_interval_that_is_no_length_is_refused(tenant: str, csv: Callable[..., Path], given: str) -> None:
    with pytest.raises(InvalidRequest, match="interval"):
        say("import", TABLE, csv("time,value", "2024-06-01,1"), "--tenant", tenant, "--interval", given)


def test_a_daily_file_is_refused_whole_with_what_to_do(tenant: str, csv: Callable[..., Path]) -> None:
    file = csv("time,value", *(f"2024-06-0{day},{day}" for day in range(1, 8)))
    with pytest.raises(InvalidRequest, match="bring finer values"):
        take(file, tenant)
    assert kept(tenant).is_empty()


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        (["import", "traffic.nothing", "FILE"], NotFound, "no table 'traffic.nothing'; there are traffic.metrics"),
        (
            ["import", "nothing.metrics", "FILE"],
            NotFound,
            "no domain of 'nothing.metrics'; there are agile, energy, inventory, realestate, traffic",
        ),
        (["import", TABLE, "FILE", "--tenant", "nobody-yet"], NotFound, "type: foretell tenant add nobody-yet"),
        (["import", TABLE, "none.csv"], InvalidRequest, "there is no file none.csv"),
        (["import", TABLE, "FILE", "--timezone", "Mars"], InvalidRequest, "no time zone 'Mars'"),
        (["export", "traffic.nothing", "x.csv"], NotFound, r"there are traffic\.metrics"),
        (["export", "nothing.metrics", "x.csv"], NotFound, "there are agile, energy, inventory, realestate, traffic"),
        (["export", TABLE, "x.csv", "--tenant", "nobody-yet"], NotFound, "type: foretell tenant add nobody-yet"),
        (["export", TABLE, "x.xlsx"], InvalidRequest, r"must end in \.csv or \.parquet"),
        (["export", TABLE, "x.csv.gz"], InvalidRequest, r"must end in \.csv or \.parquet"),
        (["export", TABLE, "x.csv", "--as-of", "2999-01-01"], InvalidRequest, "future"),
        (["quarantine", "list", "--tenant", "nobody-yet"], NotFound, "type: foretell tenant add nobody-yet"),
        (["quarantine", "retry", "traffic.nothing"], NotFound, r"there are traffic\.metrics"),
        (["quarantine", "erase", "--all", "--tenant", "nobody-yet"], NotFound, "foretell tenant add nobody-yet"),
        (["quarantine", "retry", TABLE, "--timezone", "Mars"], InvalidRequest, "no time zone 'Mars'"),
        pytest.param(
            ["quarantine", "list", "traffic.nothing"],
            NotFound,
            r"there are traffic\.metrics",
        ),
        pytest.param(
            ["export", TABLE, "no/such/folder/x.csv"],
            ForetellError,
            "folder",
        ),
    ],
)
def test_refusals_name_what_there_is(
    tenant: str, csv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, words: list[str], error: type, told: str
) -> None:
    file = csv("time,value", "2024-06-01 00:00,1")
    monkeypatch.chdir(file.parent)
    given = [file.name if word == "FILE" else word for word in words]
    with pytest.raises(error, match=told) as refused:
        say(*given, *([] if "--tenant" in given else ["--tenant", tenant]))
    assert "\n" not in str(refused.value)
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_damaged_file_is_refused_with_its_line(tenant: str, csv: Callable[..., Path]) -> None:
    file = csv("time,value,service", *(f"2024-06-01 {hour:02}:00,1,shop" for hour in range(9)), "2024-06-01 09:00,1")
    with pytest.raises(InvalidRequest, match="line 11: 2 fields where the first line names 3"):
        say("import", TABLE, file, "--tenant", tenant)
    assert kept(tenant).is_empty()


# ---------------------------------------------------------------- clocks


def test_an_hour_lived_twice_comes_in_as_two(tenant: str, csv: Callable[..., Path]) -> None:
    first = datetime(2024, 10, 26, 18, tzinfo=UTC)  # at 01:00 UTC of the next day, 04:00 becomes 03:00
    stamps = [first + HOUR * k for k in range(12)]
    local = pl.Series(stamps).dt.convert_time_zone(ATHENS).dt.to_string("%Y-%m-%d %H:%M").to_list()
    assert local.count("2024-10-27 03:00") == 2
    file = csv("time,value", *(f"{stamp},{k}" for k, stamp in enumerate(local)))
    done = say("import", TABLE, file, "--tenant", tenant, "--timezone", ATHENS)
    assert done.stdout.startswith("12 rows accepted, 0 revised, 0 unchanged, 0 rejected\n")
    assert f"2 local times exist twice in {ATHENS}" in done.stdout
    assert "the first was taken as the earlier" in done.stdout
    stored = kept(tenant)
    assert list(stored.select("time", "value").iter_rows()) == [(stamp, k) for k, stamp in enumerate(stamps)]
    assert counts(take(file, tenant)) == (0, 0, 12, 0)


def test_an_hour_that_may_be_either_is_rejected_and_told(tenant: str, csv: Callable[..., Path]) -> None:
    file = csv("time,value", "2024-10-27 02:00,2", "2024-10-27 03:00,3", "2024-10-27 04:00,4")
    done = take(file, tenant, "--interval", "1h")
    assert counts(done) == (2, 0, 0, 1)
    assert any("don't show which is meant; they were rejected" in note for note in done["notes"])
    (row,) = bad(tenant)
    assert row["rule"].startswith(f"time exists twice in {ATHENS} (clocks set back); send it with its offset")
    mended = csv("time,value", "2024-10-27 03:00+03:00,3", "2024-10-27T03:00:00+02:00,5")
    assert counts(take(mended, tenant, "--interval", "1h")) == (2, 0, 0, 0)
    assert [stamp.hour for stamp in kept(tenant)["time"]] == [23, 0, 1, 2]


def test_an_hour_that_never_was_is_rejected_and_told(tenant: str, csv: Callable[..., Path]) -> None:
    file = csv("time,value", *(f"2024-03-31 {hour:02}:00,{hour}" for hour in range(8)))
    done = say("import", TABLE, file, "--tenant", tenant)
    assert done.stdout.startswith("7 rows accepted, 0 revised, 0 unchanged, 1 rejected\n")
    assert f"rejected 1: time does not exist in {ATHENS} (clocks set forward)" in done.stdout
    assert "1 local times do not exist" in done.stdout
    (row,) = bad(tenant)
    assert json.loads(row["original"]) == {"time": "2024-03-31 03:00", "value": "3"}
    elsewhere = take(file, tenant, "--timezone", "UTC")
    assert elsewhere["rejected"] == 0


def test_a_day_without_midnight_is_that_day(csv: Callable[..., Path]) -> None:
    tenant = f"cli-{uuid4().hex[:8]}"
    say("tenant", "add", tenant, "--zone", "America/Sao_Paulo")
    days = [f"sku1,2014-10-{day},{day}" for day in (18, 19, 20)]
    done = take(csv("product,time,quantity", *days), tenant, table="inventory.movements")
    assert counts(done) == (3, 0, 0, 0)
    with App.open(tenant) as app:
        times = app.facts("inventory.movements")["time"].dt.convert_time_zone("America/Sao_Paulo")
    assert [f"{time:%d %H:%M}" for time in times] == ["18 00:00", "19 01:00", "20 00:00"]


# ---------------------------------------------------------------- how people write


def test_dates_are_read_one_way_and_it_is_told(tenant: str, csv: Callable[..., Path]) -> None:
    file = csv("time,value", "02/03/2024 10:00,1", "21/03/2024 10:00,2")
    done = say("import", TABLE, file, "--tenant", tenant, "--interval", "none")
    words = "time was read so: the day comes first in its dates (21/07/2014)"
    assert words in done.stderr
    assert words in done.stdout
    assert [f"{time:%m-%d}" for time in kept(tenant)["time"]] == ["03-02", "03-21"]


def test_dates_that_may_be_either_are_asked_about(tenant: str, csv: Callable[..., Path]) -> None:
    file = csv("time,value", "02/03/2024 10:00,1", "04/03/2024 10:00,2")
    with pytest.raises(InvalidRequest, match=r"holds dates such as '02/03/2024 10:00' for time.*--dates dmy"):
        say("import", TABLE, file, "--tenant", tenant)
    assert counts(take(file, tenant, "--dates", "mdy", "--interval", "none")) == (2, 0, 0, 0)
    assert [f"{time:%m-%d}" for time in kept(tenant)["time"]] == ["02-03", "04-03"]


def test_a_large_file_is_read_one_way_throughout(tenant: str, csv: Callable[..., Path]) -> None:
    """Its later batches hold no day above 12, or one that contradicts the first, which is rejected."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    first = [f"{start + HOUR * k / 60:%d/%m/%Y %H:%M},1" for k in range(200_000)]
    done = take(csv("time,value", *first, "05/06/2024 10:00,7", "06/23/2024 10:00,8"), tenant, "--timezone", "UTC")
    assert counts(done) == (200_001, 0, 0, 1)
    assert kept(tenant)["time"][-1] == datetime(2024, 6, 5, 10, tzinfo=UTC)


def test_a_decimal_comma_is_read_and_told(tenant: str, csv: Callable[..., Path]) -> None:
    file = csv("time;value;note", "01.03.2024 10:00;1,5;a", "01.03.2024 11:00;1.234,25;b", "01.03.2024 12:00;2.000;c")
    done = take(file, tenant)
    assert counts(done) == (3, 0, 0, 0)
    assert done["notes"] == ["value was read so: a comma is the decimal mark of its numbers (1.234,5)"]
    assert kept(tenant)["value"].to_list() == [1.5, 1234.25, 2000.0]


@pytest.mark.parametrize(
    ("table", "lines", "rule"),
    [
        (
            "inventory.movements",
            ("product,time,quantity", "a,2024-06-01,-4"),
            "quantity must be ≥ 0; what came back is kind=return with a quantity above 0",
        ),
        (
            "realestate.transactions",
            ("transaction,property,person,time,kind", "1,1,p,2024-06-01,sale"),
            "kind must be one of BUY, SELL, REFINANCE, INVESTMENT; a sale is SELL, a purchase BUY",
        ),
        (
            "energy.observed",
            ("plant,time,temperature,provider", "a,2024-06-01 12:00,288.5,own"),
            "temperature must be ≤ 65; it is in °C: of kelvin take 273.15 off, of °F 32, and five ninths of the rest",
        ),
    ],
)
def test_a_rule_says_what_to_do(
    tenant: str, csv: Callable[..., Path], table: str, lines: tuple[str, ...], rule: str
) -> None:
    assert take(csv(*lines), tenant, "--interval", "none", table=table, code=1)["rules"] == {rule: 1}


@pytest.mark.parametrize("words", [[], ["--json"], ["--dry-run"]])
def test_an_import_of_which_nothing_could_be_taken_fails(
    tenant: str, csv: Callable[..., Path], words: list[str]
) -> None:
    file = csv("time,value", "2024-06-01 00:00,-1", "2024-06-01 01:00,x")
    say("import", TABLE, file, "--tenant", tenant, *words, code=1)
    say(
        "import", TABLE, csv("time,value"), "--map", "time=time,value=value", "--tenant", tenant, *words
    )  # nothing sent
    good = csv("time,value", "2024-06-01 00:00,-1", "2024-06-01 01:00,2")
    say("import", TABLE, good, "--tenant", tenant, *words)
    say("import", TABLE, good, "--tenant", tenant, *words)  # unchanged, which is no failure


# ---------------------------------------------------------------- quarantine

BAD = {
    "2024-06-01 01:00,-1,,": "value must be ≥ 0",
    "2024-06-01 02:00,NaN,,": "value is not a finite number",
    "2024-06-01 03:00,inf,,": "value is not a finite number",
    "2024-06-01 04:00,many,,": "value can't be read as a number",
    "2024-06-01 05:00,,,": "value is missing",
    "2999-06-01 06:00,6,,": "known_at lies in the future",
    "2024-03-31 03:30,7,,": f"time does not exist in {ATHENS} (clocks set forward)",
    "someday,8,,": f"time {UNKNOWN}",
    ",9,,": "time is missing",
    "2024-06-01 10:00,10,,speed": "metric_type must be one of requests_per_minute, error_rate",
    "2024-06-01 11:00,-11,,speed": "value must be ≥ 0",
}


@pytest.fixture
def mixed(tenant: str, csv: Callable[..., Path]) -> Path:
    """A file with all kinds of bad rows among two good ones."""
    good = ["2024-06-01 00:00,1,,", "2024-06-01 12:00,5,shop,cpu_usage"]
    return csv("time,value,service,metric_type", good[0], *BAD, good[1], name="mixed.csv")


def test_bad_rows_are_kept_with_the_rule_and_what_was_sent(tenant: str, mixed: Path) -> None:
    done = take(mixed, tenant, "--interval", "1h")
    assert counts(done) == (2, 0, 0, len(BAD))
    assert sum(done["rules"].values()) == len(BAD)
    assert done["rules"]["value must be ≥ 0"] == 2
    assert done["quality"]["validity"] == pytest.approx(2 / 13, abs=1e-4)
    rules = {}
    for row in bad(tenant):
        sent = json.loads(row["original"])
        rules[",".join(each or "" for each in sent.values())] = row["rule"]
        assert (row["table_name"], row["source"]) == (TABLE, "mixed.csv")
    assert rules.keys() == BAD.keys()
    assert all(rules[line].startswith(rule) for line, rule in BAD.items()), rules
    shown = say("quarantine", "list", "--tenant", tenant)
    assert shown.stderr == "11 rows in quarantine\n"
    assert "value can't be read as a number\n" in shown.stdout
    assert '"value":"many"' in shown.stdout
    assert len(shown.stdout.splitlines()) == 2 * len(BAD)
    assert counts(take(mixed, tenant, "--interval", "1h")) == (0, 0, 2, len(BAD))
    assert len(bad(tenant)) == len(BAD)


def test_numbers_of_parquet_that_are_none_are_kept_as_sent(tenant: str, tmp_path: Path) -> None:
    rows = hours(4).with_columns(y=pl.Series([1.0, float("nan"), float("inf"), None]))
    rows.write_parquet(tmp_path / "a.parquet")
    assert counts(take(tmp_path / "a.parquet", tenant)) == (1, 0, 0, 3)
    originals = [json.loads(row["original"]) for row in bad(tenant)]
    assert {str(each["value"]) for each in originals} == {"NaN", "inf", "None"}
    assert counts(json.loads(say("quarantine", "retry", TABLE, "--tenant", tenant, "--json").stdout))[3] == 3
    assert len(bad(tenant)) == 3


def test_a_retry_of_what_is_still_wrong_keeps_it(tenant: str, mixed: Path) -> None:
    take(mixed, tenant, "--interval", "none")
    before, stored = {row["fingerprint"] for row in bad(tenant)}, kept(tenant)
    said = say("quarantine", "retry", TABLE, "--tenant", tenant).stdout
    assert said.startswith(f"0 rows accepted, 0 revised, 0 unchanged, {len(BAD)} rejected\n")
    assert {row["fingerprint"] for row in bad(tenant)} == before
    assert kept(tenant).equals(stored)


def test_a_retry_forgets_nothing(tenant: str, mixed: Path) -> None:
    take(mixed, tenant, "--interval", "none")
    before = bad(tenant)
    say("quarantine", "retry", TABLE, "--tenant", tenant)
    assert bad(tenant) == before


def test_a_retry_takes_in_what_is_sound_by_now(tenant: str, csv: Callable[..., Path]) -> None:
    file = csv("time,value", "2024-03-31 03:00,3", "2024-03-31 03:15,-3")
    assert counts(take(file, tenant, "--interval", "none", code=1)) == (0, 0, 0, 2)
    done = json.loads(say("quarantine", "retry", TABLE, "--tenant", tenant, "--timezone", "UTC", "--json").stdout)
    assert counts(done) == (1, 0, 0, 1)
    assert [row["rule"] for row in bad(tenant)] == ["value must be ≥ 0"]
    assert kept(tenant)["time"].to_list() == [datetime(2024, 3, 31, 3, tzinfo=UTC)]
    assert say("quarantine", "erase", "--all", "--tenant", tenant).output == "1 rows erased\n"
    done = json.loads(say("quarantine", "retry", TABLE, "--tenant", tenant, "--json").stdout)
    assert counts(done) == (0, 0, 0, 0)


def test_a_retry_knows_how_long_a_value_stands(tenant: str, csv: Callable[..., Path]) -> None:
    take(csv("time,value", *(f"2024-03-31 {hour:02}:00,{hour}" for hour in range(8))), tenant)
    say("quarantine", "retry", TABLE, "--tenant", tenant, "--timezone", "UTC")
    stored = kept(tenant)
    assert stored["known_at"].equals(stored["time"] + HOUR, check_names=False)


def test_a_retry_guesses_no_half_of_a_doubled_hour(tenant: str, csv: Callable[..., Path]) -> None:
    take(csv("time,value", "2024-10-27 02:00,-5"), tenant, "--interval", "1h", code=1)
    take(csv("time,value", "2024-10-27 03:00,1", "2024-10-27 03:00,2"), tenant, "--interval", "1h", code=1)
    done = json.loads(say("quarantine", "retry", TABLE, "--tenant", tenant, "--json").stdout)
    assert counts(done) == (0, 0, 0, 3)


def test_rows_are_erased_by_the_beginning_of_their_name(tenant: str, mixed: Path) -> None:
    take(mixed, tenant)
    names = [row["fingerprint"] for row in bad(tenant)]
    assert len({name[:12] for name in names}) == len(names)
    shown = say("quarantine", "list", "--tenant", tenant).stdout
    assert all(name[:12] in shown for name in names)
    assert say("quarantine", "erase", "none", "--tenant", tenant).output == "0 rows erased\n"
    assert say("quarantine", "erase", names[0][:12], names[1], "--tenant", tenant).output == "2 rows erased\n"
    assert [row["fingerprint"] for row in bad(tenant)] == names[2:]
    assert say("quarantine", "erase", "--all", "--tenant", tenant).output == f"{len(names) - 2} rows erased\n"
    assert bad(tenant) == []


def test_no_beginning_erases_nothing(tenant: str, mixed: Path) -> None:
    take(mixed, tenant)
    CliRunner().invoke(cli, ["quarantine", "erase", "", "--tenant", tenant])
    assert len(bad(tenant)) == len(BAD)


def test_the_quarantine_is_of_limited_size(tenant: str, csv: Callable[..., Path]) -> None:
    long = "x" * 50_000
    file = csv("time,value", f"2024-06-01,{long}", *(f"2024-06-01,x{k}" for k in range(quarantine.KEPT + 50)))
    done = take(file, tenant, "--interval", "none", code=1)
    assert counts(done) == (0, 0, 0, quarantine.KEPT + 51)
    rows = bad(tenant)
    assert len(rows) == quarantine.KEPT
    longest = max((row["original"] for row in rows), key=len)
    assert (len(longest), longest[-1]) == (2000, "…")
    assert say("quarantine", "erase", "--all", "--tenant", tenant).output == f"{quarantine.KEPT:,} rows erased\n"


def test_another_tenants_rows_are_not_seen_or_erased(tenant: str, mixed: Path) -> None:
    take(mixed, tenant)
    other = f"other-{uuid4().hex[:8]}"
    say("tenant", "add", other, "--zone", "UTC")
    assert bad(other) == []
    assert say("quarantine", "erase", "--all", "--tenant", other).output == "0 rows erased\n"
    assert kept(other).is_empty()
    assert len(bad(tenant)) == len(BAD)


# ---------------------------------------------------------------- out


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_came_in_goes_out(tenant: str, tmp_path: Path, ending: str) -> None:
    sent = hours(100, services=("shop", "a,b", 'say "hi"', "δωρεές", "two\nlines"))
    sent = sent.with_columns(y=pl.col("y") / 7)
    sent.write_csv(tmp_path / "in.csv")
    assert counts(take(tmp_path / "in.csv", tenant)) == (500, 0, 0, 0)
    file = tmp_path / f"out.{ending}"
    read = pl.read_parquet if ending == "parquet" else read_csv
    assert say("export", TABLE, file, "--tenant", tenant).output == f"500 rows of {TABLE} written to {file}\n"
    assert plain(read(file)) == plain(sent, "timestamp", "y")
    since, until = datetime(2024, 6, 2, tzinfo=UTC), datetime(2024, 6, 3, 12, tzinfo=UTC)
    said = say("export", TABLE, file, "--tenant", tenant, "--since", "2024-06-02", "--until", "2024-06-03 12:00:00")
    assert said.output.startswith("180 rows")
    part = sent.filter(pl.col("timestamp").is_between(since, until, closed="left"))
    assert plain(read(file)) == plain(part, "timestamp", "y")
    assert counts(take(file, tenant)) == (0, 0, 180, 0)  # what went out is what is there
    other = f"copy-{uuid4().hex[:8]}"
    say("tenant", "add", other, "--zone", "America/New_York")
    say("export", TABLE, file, "--tenant", tenant)
    assert counts(take(file, other)) == (500, 0, 0, 0)
    assert kept(other).equals(kept(tenant))


def read_csv(file: Path) -> pl.DataFrame:
    rows = pl.read_csv(file, schema_overrides={"time": pl.String()})
    return rows.with_columns(pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_zone="UTC"))


def test_out_goes_what_was_known(tenant: str, tmp_path: Path) -> None:
    hours(10).write_csv(tmp_path / "in.csv")
    take(tmp_path / "in.csv", tenant)
    file = tmp_path / "out.parquet"
    said = say("export", TABLE, file, "--tenant", tenant, "--as-of", "2024-06-01T04:30:00")
    assert said.output.startswith("4 rows")
    say("export", TABLE, file, "--tenant", tenant, "--since", "2025-01-01")
    assert pl.read_parquet(file).is_empty()
    assert CliRunner().invoke(cli, ["export", TABLE, str(file), "--since", "someday"]).exit_code == 2


# ---------------------------------------------------------------- the program itself


def test_a_refused_program_ends_with_1_and_a_line_that_is_no_result(tenant: str) -> None:
    done = subprocess.run([program(), "export", TABLE, "x.xlsx", "--tenant", tenant], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"foretell: InvalidRequest: x.xlsx: the name must end in .csv or .parquet\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_people_see_how_far_it_is(tenant: str, mixed: Path) -> None:
    ours, theirs = os.openpty()
    given = [program(), "import", TABLE, str(mixed), "--tenant", tenant, "--json"]
    env = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(given, stdout=subprocess.PIPE, stderr=theirs, env=env) as running:
        os.close(theirs)
        shown = b"".join(pieces(ours)).decode()
        said = running.stdout.read() if running.stdout else b""
    assert running.returncode == 0, shown
    assert "━" in shown
    assert shown.index("value       ← value") < shown.index("━")
    assert counts(json.loads(said)) == (2, 0, 0, len(BAD))  # what another program reads has no bar in it


def pieces(terminal: int) -> Iterator[bytes]:
    """What is written to a terminal until its other side is closed."""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # so Linux says that it is closed
            piece = b""
        if not piece:
            os.close(terminal)
            return
        yield piece


def seen(app: App) -> tuple[int, bool]:
    """How many batches of the tenant are in, and whether one is being written."""
    with app.house.stores.database.tenant(app.tenant) as connection:
        mark = registry.look(connection, app.tenant, [], [TABLE]).marks[TABLE]
        (locks,) = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE relation = 'traffic.metrics'::regclass"
            " AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()"
        ).fetchone() or (0,)
    return mark, bool(locks)


def wait(ready: Callable[[], bool], running: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert running is None or running.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def killed(given: list[str], app: App, batches: int, *, writing: bool) -> int:
    """Kill a program once so many batches are in, and the next is on its way; how many rows are there then."""
    with subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            wait(lambda: (now := seen(app))[0] > batches or (now[0] == batches and writing <= now[1]), running)
        finally:
            running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
    wait(lambda: not seen(app)[1])  # what was being written is undone
    with app.house.stores.database.tenant(app.tenant) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM traffic.metrics").fetchone() or (0,)
    return int(rows)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no signal that cannot be caught")
def test_killed_thrice_in_the_middle_it_is_completed_by_another_run(tenant: str, tmp_path: Path) -> None:
    """Killed while the first batch is being written, after it is, and while the third is being written."""
    file, out = tmp_path / "large.csv", tmp_path / "out.parquet"
    first, batch, total = datetime(2020, 1, 1, tzinfo=UTC), 100_000, 600_000
    stamps = pl.datetime_range(first, first + 29_999 * HOUR, "1h", eager=True)
    services = pl.DataFrame({"service": [f"s{k:02}" for k in range(20)]})
    sent = services.join(pl.DataFrame({"time": stamps}), how="cross").with_row_index("value")
    sent = sent.with_columns(pl.col("value").cast(pl.Float64()) / 8)
    sent.write_csv(file)
    given = [program(), "import", TABLE, str(file), "--tenant", tenant, "--interval", "1h", "--json"]
    rows = 0
    with App.open(tenant) as app:
        for batches, writing in ((0, True), (1, False), (2, True)):
            rows = killed(given, app, batches, writing=writing)
            assert batches * batch <= rows < total
            assert rows == seen(app)[0] * batch  # all of a batch or nothing of it
    done = subprocess.run(given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert counts(json.loads(done.stdout)) == (total - rows, 0, rows, 0)
    shown = done.stderr.decode()  # a pipe: the plan, and no progress
    assert len(shown.splitlines()) == 4
    assert not {"\r", "\x1b", "━", "%"} & set(shown)
    say("export", TABLE, out, "--tenant", tenant)
    found = pl.read_parquet(out)
    assert found.height == total
    wanted = sent.select("time", "service", "value").sort("time", "service")
    assert found.select("time", "service", "value").sort("time", "service").equals(wanted)


def test_what_is_done_is_said_as_json_too(tmp_path: Path) -> None:
    name = f"json-{uuid4().hex[:8]}"
    assert json.loads(say("tenant", "add", name, "--zone", "Asia/Riyadh", "--json").stdout) == {
        "tenant": name, "zone": "Asia/Riyadh",
    }  # fmt: skip
    written = json.loads(say("export", TABLE, tmp_path / "out.csv", "--tenant", name, "--json").stdout)
    assert written == {"table": TABLE, "file": str(tmp_path / "out.csv"), "rows": 0}
    assert json.loads(say("quarantine", "erase", "--all", "--tenant", name, "--json").stdout) == {"erased": 0}
