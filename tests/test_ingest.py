"""Rows in: each rule rejects by its own words, and nothing is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from foretell import Frame, Table
from foretell.engine.ingest import Ingested, ingest
from foretell.errors import InvalidRequest

BERLIN = "Europe/Berlin"


class Row(BaseModel):
    key: str
    time: datetime
    value: float = Field(ge=0, lt=100)
    pieces: int = Field(default=1, gt=0, le=9)
    kind: Literal["a", "b"] = "a"
    day: date | None = None
    until: datetime | None = None
    open: bool = False
    share: float | None = Field(default=None, ge=0, le=1)


TABLE = Table(name="rows", row=Row, key=("key",), time="time")
GOOD: dict[str, Any] = {"key": "x", "time": "2024-05-01T12:00:00Z", "value": 1.5}


AS_TEXT = {"nan": "NaN", "inf": "inf", "-inf": "-inf"}  # which JSON can't say as numbers


def one(**changes: Any) -> Ingested:
    return ingest(TABLE, pl.DataFrame([GOOD | changes], strict=False), zone="UTC")


def rules(done: Ingested) -> list[str]:
    return done.rejected["rule"].to_list()


def test_a_good_row_comes_in_with_its_defaults() -> None:
    done = one()
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert done.rows.row(0, named=True) == {
        "key": "x", "time": noon, "value": 1.5, "pieces": 1, "kind": "a", "day": None, "until": None, "open": False,
        "share": None, "known_at": noon,
    }  # fmt: skip
    assert done.rejected.is_empty()
    assert done.notes == ()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"key": None}, "key is missing"),
        ({"value": None}, "value is missing"),
        ({"time": None}, "time is missing"),
        ({"value": "many"}, "value can't be read as a number"),
        ({"pieces": "many"}, "pieces can't be read as a"),
        ({"pieces": "2.5"}, "pieces can't be read as a"),
        (
            {"time": "noon"},
            "time can't be read as a time; write 2026-03-01T12:00:00Z, or 2026-03-01 12:00 by local clocks",
        ),
        (
            {"time": "02/03/2024"},
            "time names day and month in an order that was not said (as in 02/03/2026); say it with --dates dmy or",
        ),
        (
            {"time": "2024-02-30T12:00:00Z"},
            "time can't be read as a time that exists (2026-03-01T12:00:00Z, or 2026-03-01 12:00 by local clocks)",
        ),
        ({"day": "tomorrow"}, "day can't be read as a date"),
        ({"value": float("nan")}, "value is not a finite number"),
        ({"value": float("inf")}, "value is not a finite number"),
        ({"value": float("-inf")}, "value is not a finite number"),
        ({"value": "NaN"}, "value is not a finite number"),
        ({"value": -0.1}, "value must be ≥ 0"),
        ({"value": 100.0}, "value must be < 100"),
        ({"pieces": 0}, "pieces must be > 0"),
        ({"pieces": 10}, "pieces must be ≤ 9"),
        ({"share": 1.01}, "share must be ≤ 1"),
        ({"kind": "c"}, "kind must be one of a, b"),
        ({"kind": ""}, "kind must be one of a, b"),
    ],
)
def test_each_rule_rejects_in_its_own_words(changes: dict[str, Any], rule: str) -> None:
    done = one(**changes)
    assert done.rows.is_empty()
    assert [words.startswith(rule) for words in rules(done)] == [True]
    sent = GOOD | changes  # is kept, so that it can be mended
    assert json.loads(done.rejected["original"][0]) == {n: AS_TEXT.get(repr(v), v) for n, v in sent.items()}


def test_a_value_beyond_its_limits_is_told_what_to_do_about_it() -> None:
    hinted = replace(TABLE, hints={"value": "count the other way", "kind": "b is the second"})
    sent = pl.DataFrame(
        [GOOD | {"value": -1.0}, GOOD | {"kind": "c"}, GOOD | {"value": None}], infer_schema_length=None
    )
    assert rules(ingest(hinted, sent, zone="UTC")) == [
        "value must be ≥ 0; count the other way", "kind must be one of a, b; b is the second", "value is missing",
    ]  # fmt: skip


@pytest.mark.parametrize("changes", [{"value": 0}, {"value": 99.9}, {"pieces": 9}, {"pieces": "3"}, {"share": 0.0}])
def test_the_edges_of_the_bounds_are_inside(changes: dict[str, Any]) -> None:
    assert one(**changes).rows.height == 1


def test_a_fraction_is_not_quietly_cut_to_an_integer() -> None:
    done = one(pieces=2.7)
    assert [words.startswith("pieces can't be read as a") for words in rules(done)] == [True]
    assert one(pieces=2.0).rows["pieces"].to_list() == [2]


@pytest.mark.parametrize(("sent", "stored"), [(True, True), ("true", True), ("false", False), (None, False)])
def test_truth_can_be_sent_as_a_word(sent: Any, stored: bool) -> None:
    assert one(open=sent).rows["open"].to_list() == [stored]


def test_a_default_stands_in_for_what_is_missing_in_a_column_of_text() -> None:
    sent = pl.DataFrame([GOOD | {"key": key, "pieces": pieces} for key, pieces in (("a", "4"), ("b", None))])
    assert ingest(TABLE, sent, zone="UTC").rows["pieces"].to_list() == [4, 1]


def test_columns_that_are_missing_or_foreign_refuse_the_batch() -> None:
    with pytest.raises(InvalidRequest, match=r"rows misses time, value; its columns are key, time, value"):
        ingest(TABLE, pl.DataFrame({"key": ["x"]}), zone="UTC")
    with pytest.raises(InvalidRequest, match="has no place for colour"):
        ingest(TABLE, pl.DataFrame([GOOD | {"colour": "red"}]), zone="UTC")
    with pytest.raises(InvalidRequest, match=r"misses value and has no place for vaule"):
        ingest(TABLE, pl.DataFrame([{"key": "x", "time": "2024-05-01T12:00:00Z", "vaule": 1}]), zone="UTC")


def test_an_empty_batch_changes_nothing() -> None:
    done = ingest(TABLE, pl.DataFrame([GOOD]).head(0), zone="UTC")
    assert (done.rows.height, done.rejected.height, done.notes) == (0, 0, ())


# ---------------------------------------------------------------- rules across columns


class Trip(BaseModel):
    car: str
    time: datetime
    start: float
    end: float


TRIPS = Table(
    name="trips", row=Trip, key=("car", "time"), time="time", entity=("car",),
    rules={"a trip ends after it starts": pl.col("end") >= pl.col("start")},
)  # fmt: skip


@pytest.mark.parametrize("kind", [float, str])
def test_a_rule_across_columns_compares_what_will_be_stored(kind: Any) -> None:
    """Text from a CSV file is compared as the numbers it stands for: 9 < 10."""
    sent = pl.DataFrame(
        [
            {"car": c, "time": "2024-05-01T12:00:00Z", "start": kind(s), "end": kind(e)}
            for c, s, e in (("x", 9, 10), ("y", 10, 9))
        ]
    )
    done = ingest(TRIPS, sent, zone="UTC")
    assert done.rows["car"].to_list() == ["x"]
    assert rules(done) == ["a trip ends after it starts"]


# ---------------------------------------------------------------- repeated keys


def test_the_later_row_of_a_repeated_key_counts() -> None:
    sent = pl.DataFrame([GOOD | {"key": k, "value": v} for k, v in (("x", 1.0), ("y", 2.0), ("x", 3.0), ("x", -1.0))])
    done = ingest(TABLE, sent, zone="UTC")
    assert sorted(done.rows.select("key", "value").iter_rows()) == [("x", 3.0), ("y", 2.0)]
    assert rules(done) == ["value must be ≥ 0"]  # a broken correction corrects nothing
    assert len(done.notes) == 1
    assert done.notes[0].startswith("1 rows repeat the key")


ANY = st.fixed_dictionaries(
    {
        "key": st.one_of(st.none(), st.sampled_from(["x", "y", "z", ""])),
        "time": st.sampled_from(["2024-05-01T12:00:00Z", "2024-05-02T12:00:00Z", "never", "", None]),
        "value": st.one_of(st.none(), st.floats(allow_nan=True), st.just(5.0)),
        "pieces": st.one_of(st.none(), st.integers(-3, 12)),
        "kind": st.sampled_from(["a", "b", "c", None]),
    }
)


@given(st.lists(ANY, min_size=1, max_size=12))
@settings(max_examples=60)
def test_nothing_is_lost(batch: list[dict[str, Any]]) -> None:
    """Accepted + rejected + repeated = sent; and the same good rows sent again come out the same."""
    schema = {"key": pl.String(), "time": pl.String(), "value": pl.Float64(), "pieces": pl.Int64(), "kind": pl.String()}
    sent = pl.DataFrame(batch, schema=schema)
    done = ingest(TABLE, sent, zone=BERLIN)
    assert done.rows.height + done.rejected.height + done.repeated == len(batch)
    assert done.repeated == sum(int(note.split()[0]) for note in done.notes if "repeat the key" in note)
    assert done.rejected["rule"].null_count() == 0
    assert done.rejected.columns == ["rule", "original"]
    assert [json.loads(text).keys() for text in done.rejected["original"]] == [schema.keys()] * done.rejected.height
    for row in done.rows.iter_rows(named=True):
        Row.model_validate({name: row[name] for name in Row.model_fields})
    again = ingest(TABLE, done.rows.drop("known_at"), zone=BERLIN)
    assert again.rows.equals(done.rows)
    assert again.rejected.is_empty()


# ---------------------------------------------------------------- time


def times(*sent: Any, zone: str = BERLIN, dtype: Any = None) -> tuple[list[datetime | None], Ingested]:
    frame = pl.DataFrame({"key": [f"k{n}" for n in range(len(sent))], "time": pl.Series(sent, dtype=dtype)})
    done = ingest(TABLE, frame.with_columns(value=1.0), zone=zone)
    found = dict(done.rows.select("key", "time").iter_rows())
    return [found.get(f"k{n}") for n in range(len(sent))], done


def utc(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize("kind", ["text", "clock"])
def test_clock_times_are_local_and_those_that_never_were_are_rejected(kind: str) -> None:
    sent = ["2024-03-31T01:59:00", "2024-03-31T02:30:00", "2024-03-31T03:00:00", "2024-07-01T12:00:00"]
    said, done = times(*(sent if kind == "text" else [datetime.fromisoformat(text) for text in sent]))
    assert said == [utc(2024, 3, 31, 0, 59), None, utc(2024, 3, 31, 1), utc(2024, 7, 1, 10)]
    assert rules(done) == ["time does not exist in Europe/Berlin (clocks set forward)"]
    assert any("1 local times do not exist in Europe/Berlin" in note for note in done.notes)


def test_times_with_an_offset_are_taken_at_their_word() -> None:
    said, done = times("2024-10-27T02:30:00+02:00", "2024-10-27T02:30:00+01:00", "2024-05-01T12:00:00Z")
    assert said == [utc(2024, 10, 27, 0, 30), utc(2024, 10, 27, 1, 30), utc(2024, 5, 1, 12)]
    assert done.notes == ()
    aware = pl.Series([utc(2024, 7, 1, 10)]).dt.convert_time_zone("Asia/Tokyo")
    frame = pl.DataFrame({"key": ["x"], "time": aware, "value": [1.0]})
    assert ingest(TABLE, frame, zone=BERLIN).rows["time"].to_list() == [utc(2024, 7, 1, 10)]


def test_each_time_is_read_by_its_own_offset_in_a_mixed_column() -> None:
    said, done = times("2024-07-01T12:00:00Z", "2024-07-01T12:00:00", "2024-07-01T12:00:00+05:00")
    assert said == [utc(2024, 7, 1, 12), utc(2024, 7, 1, 10), utc(2024, 7, 1, 7)]
    assert done.rejected.is_empty()


@pytest.mark.parametrize(
    "text", ["2024-07-01T12:00", "2024-07-01 12:00:00", "2024-07-01T12:00:00.000000", "2024-07-01 12:00"]
)
def test_usual_spellings_of_a_time_are_read(text: str) -> None:
    assert times(text)[0] == [utc(2024, 7, 1, 10)]
    assert times("2024-05-01T12:00:00", text)[0][1] == utc(2024, 7, 1, 10)  # also beside another spelling


@pytest.mark.parametrize("sent", [["rubbish", "2024-07-01T12:00:00Z"], ["rubbish", "rubbish"], [None, None]])
def test_an_unreadable_time_spoils_no_other_row(sent: list[Any]) -> None:
    said, done = times(*sent, dtype=pl.String())
    assert said == [None, utc(2024, 7, 1, 12)] if sent[1] not in {None, "rubbish"} else said == [None, None]
    assert done.rows.height + done.rejected.height == 2


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("20140721", utc(2014, 7, 20, 22)),
        ("20140721T000000", utc(2014, 7, 20, 22)),
        ("20140721T1030", utc(2014, 7, 21, 8, 30)),
        ("20140721T103000Z", utc(2014, 7, 21, 10, 30)),
        ("2014/07/21", utc(2014, 7, 20, 22)),
        ("2014/7/21 9:05", utc(2014, 7, 21, 7, 5)),
        ("2014-07-21 00:00:00.000", utc(2014, 7, 20, 22)),
        ("01.01.2017 00:00", utc(2016, 12, 31, 23)),
        ("1.1.2017, 13:30", utc(2017, 1, 1, 12, 30)),
        ("21-Jul-2014", utc(2014, 7, 20, 22)),
        ("21 OCT 2014 3:05 PM", utc(2014, 10, 21, 13, 5)),
        ("July 21, 2014", utc(2014, 7, 20, 22)),
        ("21/Jul/2014:20:09:25 +0000", utc(2014, 7, 21, 20, 9, 25)),
        ("1496325600", utc(2017, 6, 1, 14)),
        ("1496325600000", utc(2017, 6, 1, 14)),
    ],
)
def test_what_can_mean_one_time_only_is_read(text: str, when: datetime) -> None:
    assert times(text)[0] == [when]
    assert times("2024-05-01T12:00:00Z", "noon", text)[0][2] == when  # also beside another form


def test_numbers_of_10_or_13_digits_are_unix_times_and_others_none() -> None:
    said, done = times(1496325600, 1496325600000, 20140721, 12)
    assert said == [utc(2017, 6, 1, 14), utc(2017, 6, 1, 14), utc(2014, 7, 20, 22), None]
    assert done.rejected.height == 1


@pytest.mark.parametrize("text", ["20140721", "2014-07-21 00:00:00.000", "21.7.2014", "2014/07/21", "21-Jul-2014"])
def test_a_day_is_read_in_many_forms(text: str) -> None:
    assert one(day=text).rows["day"].to_list() == [date(2014, 7, 21)]


def test_a_day_with_a_clock_time_is_not_quietly_cut() -> None:
    assert rules(one(day="2014-07-21 10:00")) == ["day can't be read as a date"]


def test_a_value_that_can_not_be_read_is_shown_beside_what_can() -> None:
    _, done = times("noon", "later", "2024-05-01T12:00:00Z")
    (note,) = done.notes
    assert note.startswith("2 values of time can't be read as a time, such as 'noon'; understood are 2026-03-01T12")
    (note,) = one(value="1,234").notes
    assert note.startswith("1 values of value can't be read as a number, such as '1,234'; understood are 1234.5")


@pytest.mark.parametrize("word", ["NA", "N/A", "null", "-"])
def test_words_for_nothing_are_nothing_but_in_text(word: str) -> None:
    assert one(share=word, pieces=word, day=word, key=word).rows.select("share", "pieces", "day", "key").row(0) == (
        None, 1, None, word
    )  # fmt: skip
    assert rules(one(value=word)) == ["value is missing"]
    assert json.loads(one(value=word).rejected["original"][0])["value"] == word


@pytest.mark.parametrize(
    ("zone", "day", "clock"),
    [
        ("America/Sao_Paulo", date(2014, 10, 19), "01:00"),
        ("America/Santiago", date(2024, 9, 8), "01:00"),
        ("Asia/Beirut", date(2024, 3, 31), "01:00"),
        ("America/Havana", date(2024, 3, 10), "01:00"),
        ("America/Havana", date(2024, 11, 3), "00:00"),  # whose midnight is twice
    ],
)
@pytest.mark.parametrize("kind", ["text", "date"])
def test_a_day_is_meant_from_its_first_moment(zone: str, day: date, clock: str, kind: str) -> None:
    (said,), done = times(day if kind == "date" else str(day), zone=zone)
    assert said is not None
    local = done.rows["time"].dt.convert_time_zone(zone)
    assert (local.dt.date()[0], f"{local[0]:%H:%M}") == (day, clock)
    sent = pl.DataFrame({"time": [str(day - timedelta(days=1)), str(day)], "value": 1.0})
    ends = ingest(LOADS, sent, zone=zone, interval=timedelta(days=1)).rows["known_at"].dt.convert_time_zone(zone)
    assert [f"{end:%Y-%m-%d %H:%M}" for end in ends] == [f"{day} {clock}", f"{day + timedelta(days=1)} 00:00"]


def test_a_clock_time_that_never_was_is_no_day_and_a_day_that_never_was_none() -> None:
    words = "time does not exist in America/Sao_Paulo (clocks set forward)"
    assert rules(times("2014-10-19 00:00", zone="America/Sao_Paulo")[1]) == [words]
    assert rules(times("2011-12-30", zone="Pacific/Apia")[1]) == [
        "time does not exist in Pacific/Apia (clocks set forward)"
    ]


def test_a_date_is_no_instant_by_guess() -> None:
    """A day sent where an instant belongs is local midnight, like any clock time without a zone."""
    assert times(date(2024, 7, 1))[0] == [utc(2024, 6, 30, 22)]


# ---------------------------------------------------------------- known_at and entity


class Meter(BaseModel):
    site: str
    unit: str
    time: datetime
    arrived: datetime | None = None


METERS = Table(
    name="meters", row=Meter, key=("site", "unit", "time"), time="time", entity=("site", "unit"), known_at="arrived"
)


def test_a_fact_is_known_when_it_arrived_or_else_when_it_happened() -> None:
    sent = [("s", "1", "2024-05-01T00:00:00Z", "2024-05-03T00:00:00Z"), ("s", "2", "2024-05-01T00:00:00Z", None)]
    done = ingest(METERS, pl.DataFrame(sent, schema=["site", "unit", "time", "arrived"], orient="row"), zone="UTC")
    assert done.rows["known_at"].to_list() == [utc(2024, 5, 3), utc(2024, 5, 1)]


NAMES = st.lists(st.text(alphabet="a/%2F5", max_size=4), min_size=2, max_size=2)


@given(st.lists(NAMES, min_size=1, max_size=10, unique_by=tuple))
@settings(max_examples=80)
def test_no_two_things_share_a_name(names: list[list[str]]) -> None:
    sent = pl.DataFrame(names, schema=["site", "unit"], orient="row").with_columns(time=pl.lit("2024-05-01T00:00:00Z"))
    rows: Frame = ingest(METERS, sent, zone="UTC").rows
    assert rows["entity"].n_unique() == len(names)
    for site, unit, entity in rows.select("site", "unit", "entity").iter_rows():
        assert entity.count("/") == 1
        parts = [part.replace("%2F", "/").replace("%25", "%") for part in entity.split("/")]
        assert parts == [site, unit]


def test_a_name_of_one_column_is_that_column() -> None:
    sent = pl.DataFrame([{"car": "a/b%", "time": "2024-05-01T12:00:00Z", "start": 1, "end": 2}])
    assert ingest(TRIPS, sent, zone="UTC").rows["entity"].to_list() == ["a/b%"]


# ---------------------------------------------------------------- hours that were twice


class Load(BaseModel):
    time: datetime
    value: float
    site: str = "one"
    arrived: datetime | None = None
    more: dict[str, Any] | None = None


LOADS = Table(name="loads", row=Load, key=("site", "time"), time="time", entity=("site",), known_at="arrived")


def local(clocks: str, sites: str = "") -> Ingested:
    """Values at these times of the night in which Berlin's clocks go from 03:00 back to 02:00, and of which site."""
    when = [f"2024-10-27T{clock}" for clock in clocks.split()]
    frame = pl.DataFrame({"time": when, "value": [1.0] * len(when), "site": list(sites) or ["one"] * len(when)})
    return ingest(LOADS, frame, zone=BERLIN)


@pytest.mark.parametrize(
    ("clocks", "utc_clocks"),
    [
        ("01:00 02:00 02:00 03:00", "23:00 00:00 01:00 02:00"),
        ("01:30 02:00 02:30 02:00 02:30 03:00", "23:30 00:00 00:30 01:00 01:30 02:00"),
        ("01:30 02:00 02:30 02:00 03:00", "23:30 00:00 00:30 01:00 02:00"),  # the second 02:30 was lost
        ("02:30 02:00 02:30 03:00", "00:30 01:00 01:30 02:00"),  # a batch that starts within the hour
    ],
)
def test_a_series_that_runs_through_a_doubled_hour_says_which_is_which(clocks: str, utc_clocks: str) -> None:
    done = local(clocks)
    assert [f"{time:%H:%M}" for time in done.rows["time"]] == utc_clocks.split()
    (note,) = done.notes
    assert note.endswith("they came in two runs, and the first was taken as the earlier")
    assert note.startswith(f"{sum(clock.startswith('02') for clock in clocks.split())} local times exist twice")


@pytest.mark.parametrize(
    "clocks",
    [
        "01:00 02:00 03:00",  # once only
        "02:00 02:00",  # nothing beside it: might be one hour sent twice
        "01:00 01:00 02:00 02:00 03:00 03:00",  # everything is sent twice
        "03:00 02:00 02:00 01:00",  # backwards
        "01:00 02:00 03:00 02:00 04:00",  # out of order
        "01:00 02:00 02:00 02:00 03:00",  # three of them
    ],
)
def test_a_doubled_hour_that_does_not_show_which_is_rejected_never_guessed(clocks: str) -> None:
    done = local(clocks)
    twice = [clock for clock in clocks.split() if clock == "02:00"]
    rule = "time exists twice in Europe/Berlin (clocks set back); send it with its offset from UTC (as in +02:00)"
    assert rules(done) == [rule] * len(twice)
    assert done.notes[0].startswith(f"{len(twice)} local times exist twice in Europe/Berlin")


def test_each_series_is_looked_at_alone() -> None:
    done = local("01:00 01:00 02:00 02:00 02:00 03:00 03:00", "ababaab")
    kept = done.rows.filter(pl.col("site") == "a")["time"]
    assert [f"{time:%H:%M}" for time in kept] == ["23:00", "00:00", "01:00", "02:00"]
    assert [json.loads(text)["site"] for text in done.rejected["original"]] == ["b"]


def test_without_a_series_a_doubled_time_is_not_guessed() -> None:
    said, done = times("2024-10-27T01:30:00", "2024-10-27T02:30:00", "2024-10-27T02:30:00", "2024-10-27T03:30:00")
    assert said == [utc(2024, 10, 26, 23, 30), None, None, utc(2024, 10, 27, 2, 30)]
    assert done.rejected.height == 2


@given(
    zone=st.sampled_from([BERLIN, "America/Havana", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca"]),
    step=st.sampled_from([7, 15, 30, 60]),
    year=st.integers(2004, 2024),
    lost=st.sets(st.integers(0, 3000), max_size=600),
    cut=st.integers(0, 3000),
)
@settings(max_examples=60)
def test_of_local_times_each_is_read_as_it_was_or_rejected(
    zone: str, step: int, year: int, lost: set[int], cut: int
) -> None:
    """A year of a series in local time, with rows lost, in two batches: no row comes in at another instant."""
    every = pl.datetime_range(utc(year, 1, 1), utc(year + 1, 1, 1), f"{step}m", eager=True)
    naive = every.dt.convert_time_zone(zone).dt.replace_time_zone(None)
    near = naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").is_null()
    near = near | near.shift(1, fill_value=False) | near.shift(-1, fill_value=False)
    kept = near & ~pl.Series([n in lost for n in range(len(near))])
    sent = pl.DataFrame({"time": naive, "value": pl.int_range(len(naive), eager=True)}).filter(kept)
    done = [ingest(LOADS, part, zone=zone) for part in (sent[: cut % 40], sent[cut % 40 :])]
    rows = pl.concat([part.rows for part in done])
    assert rows["time"].to_list() == every.gather(rows["value"].cast(pl.Int64)).to_list()
    assert rows.height + sum(part.rejected.height for part in done) == sent.height


# ---------------------------------------------------------------- the future, and when things became known

NOW = utc(2024, 5, 1, 12)


@pytest.mark.parametrize(
    ("time", "arrived", "rule"),
    [
        ("2024-05-01T12:04:00Z", None, None),  # clocks differ
        ("2024-05-01T12:06:00Z", None, "time lies in the future; what is known beforehand says since when, in arrived"),
        ("2024-06-01T00:00:00Z", "2024-05-01T11:00:00Z", None),  # a forecast, an event that is planned
        ("2024-05-01T11:30:00Z", "2024-05-01T12:30:00Z", "arrived lies in the future"),
    ],
)
def test_nothing_is_known_before_it_is_known(time: str, arrived: str | None, rule: str | None) -> None:
    sent = pl.DataFrame([{"time": time, "value": 1.0, "arrived": arrived}], schema_overrides={"arrived": pl.String})
    assert rules(ingest(LOADS, sent, zone="UTC", now=NOW)) == ([rule] if rule else [])
    assert rules(ingest(LOADS, sent, zone="UTC")) == []


def test_where_facts_are_known_when_they_happen_none_happens_in_the_future() -> None:
    sent = pl.DataFrame([GOOD | {"time": "2024-05-01T12:06:00Z"}])
    assert rules(ingest(TABLE, sent, zone="UTC", now=NOW)) == ["time lies in the future"]


def test_with_an_interval_a_value_is_known_at_its_end() -> None:
    sent = pl.DataFrame(
        {"time": ["2024-05-01T10:00:00", "2024-05-01T12:00:00"], "arrived": [None, "2024-05-03T00:00:00"], "value": 1}
    )
    done = ingest(LOADS, sent, zone="UTC", interval=timedelta(hours=1))
    assert done.rows["known_at"].to_list() == [utc(2024, 5, 1, 11), utc(2024, 5, 3)]
    assert done.rows["arrived"].to_list() == done.rows["known_at"].to_list()
    running = ingest(LOADS, sent.drop("arrived"), zone="UTC", interval=timedelta(hours=1), now=NOW)
    assert rules(running) == ["arrived lies in the future"]  # the hour is not over
    with pytest.raises(InvalidRequest, match="rows has no column for when a fact became known"):
        ingest(TABLE, pl.DataFrame([GOOD]), zone="UTC", interval=timedelta(hours=1))


def test_a_day_ends_with_the_local_day() -> None:
    sent = pl.DataFrame({"time": ["2024-10-26", "2024-10-27", "2024-03-31"], "value": 1.0})
    done = ingest(LOADS, sent, zone=BERLIN, interval=timedelta(days=1))
    assert done.rows["known_at"].to_list() == [utc(2024, 10, 26, 22), utc(2024, 10, 27, 23), utc(2024, 3, 31, 22)]


# ---------------------------------------------------------------- what can't be stored, and what is kept of it


@pytest.mark.parametrize("number", [0, 30, 31])
def test_text_that_can_not_be_stored_is_rejected(number: int) -> None:
    done = one(key=f"a{chr(number)}b")
    assert rules(done) == ["key holds a character that can't be stored (number 0, 30 or 31)"]
    assert chr(number) not in done.rejected["original"][0]
    assert one(key="a\tb\n").rejected.is_empty()


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ('{"a": 1}', '{"a": 1}'),
        (' {"a": [1, {"b": null}]} ', '{"a": [1, {"b": null}]}'),
        ("{}", "{}"),
        (None, None),
        ({"a": 1, "b": "ü"}, '{"a":1,"b":"ü"}'),
        ({"a": b"b"}, '{"a": "b\'b\'"}'),
        ("[1]", False),
        ("1", False),
        ("{a: 1}", False),
        ('{"a": NaN}', False),
        ('{"a": "\\u0000"}', False),
        ("", False),
        (True, False),
    ],
)
def test_a_json_object_is_stored_as_its_text(sent: Any, stored: Any) -> None:
    done = ingest(LOADS, pl.DataFrame([{"time": "2024-05-01", "value": 1.0, "more": sent}]), zone="UTC")
    if stored is False:
        assert rules(done) == ["more can't be read as a JSON object"]
    else:
        assert done.rows["more"].to_list() == [stored]
        assert done.rows["more"].dtype == pl.String


def test_a_struct_that_is_null_is_nothing() -> None:
    sent = pl.DataFrame({"time": ["2024-05-01", "2024-05-02"], "value": 1.0, "more": [{"a": 1}, None]})
    assert ingest(LOADS, sent, zone="UTC").rows["more"].to_list() == ['{"a":1}', None]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (datetime(2024, 5, 1, 12), "2024-05-01T12:00:00.000000"),  # noqa: DTZ001
        (utc(2024, 5, 1, 12), "2024-05-01T12:00:00.000000+00:00"),
        (date(2024, 5, 1), "2024-05-01"),
        (float("nan"), "NaN"),
        (1.5, 1.5),
        ([1, 2], [1, 2]),
        ({"a": True}, {"a": True}),
        (timedelta(hours=1), "1:00:00"),
        (b"\xff", "b'\\xff'"),
        ([b"a"], ["b'a'"]),
        (None, None),
    ],
)
def test_what_was_sent_is_kept_in_words(value: Any, kept: Any) -> None:
    done = one(value=-1.0, until=value)
    assert json.loads(done.rejected["original"][0])["until"] == kept


def test_a_long_row_is_kept_in_part() -> None:
    (kept,) = one(kind="ü" * 3000).rejected["original"]
    assert len(kept) == 2000
    assert kept.endswith("ü…")


def test_times_that_other_programs_can_not_hold_are_rejected() -> None:
    said, done = times("20240-05-01T12:00:00", "9999-12-31T12:00:00Z", "2024-05-01T12:00:00Z")
    assert said == [None, None, utc(2024, 5, 1, 12)]
    assert (
        rules(done)
        == ["time can't be read as a time that exists (2026-03-01T12:00:00Z, or 2026-03-01 12:00 by local clocks)"] * 2
    )
    assert rules(one(day="10000-01-01")) == ["day can't be read as a date"]


@pytest.mark.parametrize("name", ["key", "pieces", "share", "day", "until", "open"])
@pytest.mark.parametrize("value", [[1.0], {"a": 1}, b"1"])
def test_a_value_of_a_foreign_kind_is_rejected(name: str, value: Any) -> None:
    assert [words.startswith(f"{name} can't be read as") for words in rules(one(**{name: value}))] == [True]


@pytest.mark.parametrize("name", ["pieces", "share", "open"])
def test_a_day_is_no_number(name: str) -> None:
    assert [words.startswith(f"{name} can't be read as") for words in rules(one(**{name: date(1970, 1, 2)}))] == [True]


def test_blanks_around_a_number_are_no_part_of_it() -> None:
    assert one(value=" 1.5 ", pieces=" 3").rows.select("value", "pieces").row(0) == (1.5, 3)
