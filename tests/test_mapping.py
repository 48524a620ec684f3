"""Which column feeds which: what is given wins, what is guessed is told, and where two would do it asks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from foretell import Frame, Table
from foretell.engine.ingest import ingest
from foretell.engine.mapping import SYNONYMS, Plan, guess, length, regular
from foretell.errors import InvalidRequest

HOUR = timedelta(hours=1)


class Metric(BaseModel):
    time: datetime
    value: float
    service: str = "default"
    kind: Literal["load", "errors"] = "load"
    known_at: datetime | None = None


METRICS = Table(name="metrics", row=Metric, key=("service", "kind", "time"), time="time", known_at="known_at")


class Deed(BaseModel):
    parcel: str
    signed: date
    price: float
    area: float
    rooms: int | None = None


DEEDS = Table(name="deeds", row=Deed, key=("parcel", "signed"), time="signed", entity=("parcel",))


class Plot(Deed):
    owner: str = ""


PLOTS = Table(name="plots", row=Plot, key=("parcel", "signed"), time="signed", entity=("parcel",))


def series(step: timedelta = HOUR, rows: int = 48, **more: Any) -> Frame:
    start = datetime(2024, 5, 1, tzinfo=UTC)
    when = [(start + step * n).strftime("%Y-%m-%d %H:%M:%S") for n in range(rows)]
    return pl.DataFrame({"time": when, "value": [str(n) for n in range(rows)]} | more)


def named(names: dict[str, str], **more: Any) -> Frame:
    return series(**more).rename(names)


@pytest.mark.parametrize(
    ("names", "given", "columns", "why"),
    [
        ({}, {}, {"time": "time", "value": "value"}, {"time": "same name", "value": "same name"}),
        ({"time": "Time", "value": "VALUE"}, {}, {"time": "Time", "value": "VALUE"}, {"time": "same name"}),
        (
            {"time": "timestamp", "value": "y"},
            {},
            {"time": "timestamp", "value": "y"},
            {"value": "a usual name for it"},
        ),
        ({"time": "ds", "value": "Requests"}, {}, {"time": "ds", "value": "Requests"}, {"time": "a usual name for it"}),
        (
            {"time": "zeitpunkt", "value": "last"},
            {},
            {"time": "zeitpunkt", "value": "last"},
            {"time": "the only column of times", "value": "the only column of numbers"},
        ),
        ({"value": "rows"}, {"value": "rows"}, {"time": "time", "value": "rows"}, {"value": "given"}),
        ({"value": "time2"}, {"value": "time2"}, {"time": "time", "value": "time2"}, {"time": "same name"}),
    ],
)
def test_a_column_is_found(
    names: dict[str, str], given: dict[str, str], columns: dict[str, str], why: dict[str, str]
) -> None:
    plan = guess(METRICS, named(names), given)
    assert plan.columns == columns
    assert {name: plan.why[name] for name in why} == why


def test_what_is_given_wins_over_the_same_name() -> None:
    sample = series(other=["7"] * 48)
    plan = guess(METRICS, sample, {"value": "other"})
    assert (plan.columns["value"], plan.unused) == ("other", ("value",))
    assert plan.apply(sample)["value"].to_list() == ["7"] * 48


def test_a_typed_file_is_understood_alike() -> None:
    start = datetime(2024, 5, 1, tzinfo=UTC)
    typed = pl.DataFrame({"moment": [start + HOUR * n for n in range(9)], "n": range(9), "flag": [True] * 9})
    plan = guess(METRICS, typed, {})
    assert plan.columns == {"time": "moment", "value": "n"}
    assert plan.interval == HOUR


def test_the_free_name_and_the_choices_are_found() -> None:
    sample = series(unique_id=["a"] * 48, metric=["errors", "load"] * 24, note=["x"] * 48)
    plan = guess(METRICS, sample, {})
    assert (plan.columns["service"], plan.columns["kind"]) == ("unique_id", "metric")
    assert plan.why["kind"] == "all its values are choices"
    assert plan.unused == ("note",)


def test_two_that_would_do_equally_well_are_asked_about() -> None:
    words = "timestamp and date would do equally well for time; choose: --map time=timestamp or --map time=date"
    both = named({"time": "timestamp"}).with_columns(date=pl.col("timestamp"))
    with pytest.raises(InvalidRequest, match=words):
        guess(METRICS, both, {})
    assert guess(METRICS, both, {"time": "date"}).columns["time"] == "date"
    with pytest.raises(InvalidRequest, match="--map value=in or --map value=out"):
        guess(METRICS, named({"value": "in"}, out=["1"] * 48), {})
    with pytest.raises(InvalidRequest, match="--map value=VALUE or --map value=Value"):
        guess(METRICS, named({"value": "VALUE"}, Value=["1"] * 48), {})


def test_an_optional_column_that_two_would_do_for_stays_out() -> None:
    assert guess(METRICS, series(id=["a"] * 48, name=["b"] * 48), {}).unused == ("id", "name")


def test_a_usual_name_with_values_of_another_kind_is_no_candidate() -> None:
    """A column `count` of words is not the value; `date` beside a true time is."""
    assert guess(METRICS, named({"value": "amount"}, count=["many"] * 48), {}).columns["value"] == "amount"


def test_two_required_numbers_are_told_apart_by_name_only() -> None:
    sample = pl.DataFrame({"parcel": ["p"], "date": ["2024-05-01"], "price": ["1"], "value": ["2"]})
    with pytest.raises(InvalidRequest, match=r"no column .* looks like area; .*choose: --map area=COLUMN"):
        guess(DEEDS, sample.drop("value"), {})
    plan = guess(DEEDS, sample, {"area": "value"})
    assert plan.columns == {"parcel": "parcel", "signed": "date", "price": "price", "area": "value"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": "value"}, "table metrics has no column size; it has time, value, service, kind, known_at"),
        ({"value": "size"}, "the file has no column size; it has time, value"),
    ],
)
def test_names_that_do_not_exist_are_refused_with_those_that_do(given: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        guess(METRICS, series(), given)


def test_nothing_that_fits_is_refused_with_what_to_type() -> None:
    with pytest.raises(
        InvalidRequest, match=r"looks like time, value; it has a; choose: --map time=COLUMN --map value="
    ):
        guess(METRICS, pl.DataFrame({"a": ["x"]}), {})
    with pytest.raises(InvalidRequest, match="no column of the file looks like value"):
        guess(METRICS, series().drop("value"), {})


def test_a_later_batch_that_lost_a_column_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="there is no column value; there are time"):
        guess(METRICS, series(), {}).apply(series().drop("value"))


NAMES = sorted({name for names in SYNONYMS.values() for name in names.split()} | {"kind", "note", "Time", "VALUE"})
VALUES = ["1.5", "2024-05-01 12:00:00", "2024-05-01", "load", "word", "", None, '{"a": 1}']


@given(
    names=st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=7),
    values=st.lists(st.sampled_from(VALUES), min_size=7, max_size=7),
    given=st.dictionaries(st.sampled_from([*METRICS.kinds]), st.sampled_from(NAMES), max_size=2),
)
@settings(max_examples=300)
def test_no_column_of_a_file_is_used_twice(names: list[str], values: list[Any], given: dict[str, str]) -> None:
    sample = pl.DataFrame({name: [value] * 3 for name, value in zip(names, values, strict=False)})
    sample = sample.cast(pl.String())
    try:
        plan = guess(METRICS, sample, given)
    except InvalidRequest as error:
        assert given or "--map " in str(error)  # noqa: PT017 - either it knows, or it says what to type
        return
    used = [source for name, source in plan.columns.items() if name not in given]
    assert len(used) == len(set(used) - set(given.values()))
    assert sorted({*used, *given.values(), *plan.unused}) == sorted(names)
    assert {"time", "value"} <= plan.columns.keys() == plan.why.keys()
    assert given.items() <= plan.columns.items()
    assert plan.apply(sample).columns == [*plan.columns]
    assert len(plan.lines()) >= len(used)
    done = ingest(METRICS, plan.apply(sample), zone="UTC", interval=plan.interval)
    assert done.rows.height + done.rejected.height + done.repeated == 3


def test_a_column_may_feed_two_of_the_table_where_that_is_given() -> None:
    sample = pl.DataFrame({"id": ["a", "b"], "date": ["2024-05-01"] * 2, "price": ["1"] * 2, "area": ["2"] * 2})
    plan = guess(PLOTS, sample, {"parcel": "id", "owner": "id"})
    assert plan.apply(sample).select("parcel", "owner").rows() == [("a", "a"), ("b", "b")]
    assert plan.unused == ()


# ---------------------------------------------------------------- how people write


def written(stamps: list[str], values: list[str], **how: Any) -> tuple[Plan, Frame]:
    sample = pl.DataFrame({"time": stamps, "value": values})
    plan = guess(METRICS, sample, {}, interval=None, **how)
    return plan, ingest(METRICS, plan.apply(sample), zone="UTC").rows


@pytest.mark.parametrize(
    ("stamps", "form", "days"),
    [
        (["02/03/2024", "21/03/2024"], "dmy", ["03-02", "03-21"]),
        (["02/03/2024 10:00", "02/21/2024 10:00"], "mdy", ["02-03", "02-21"]),
        (["2-3-2024", "21-3-2024"], "dmy", ["03-02", "03-21"]),
        (["07/21/2014 08:09:25 PM", "7/1/2014 8:09:25 AM"], "mdy", ["07-21", "07-01"]),
    ],
)
def test_the_order_of_dates_is_told_by_all_of_them(stamps: list[str], form: str, days: list[str]) -> None:
    plan, rows = written(stamps, ["1", "2"])
    assert plan.forms == {"time": form}
    assert [f"{time:%m-%d}" for time in rows["time"]] == days
    assert any("comes first in its dates" in line for line in plan.lines())
    assert any("comes first in its dates" in line for line in plan.guessed())


def test_dates_in_no_order_or_both_are_refused_unless_it_is_said() -> None:
    either = ["02/03/2024", "04/05/2024"]
    with pytest.raises(InvalidRequest, match=r"'02/03/2024' for time, and no number tells .* --dates dmy"):
        written(either, ["1", "2"])
    with pytest.raises(InvalidRequest, match="both the first and the second number are above 12"):
        written(["13/03/2024", "03/14/2024"], ["1", "2"])
    for said, days in (("dmy", ["03-02", "05-04"]), ("mdy", ["02-03", "04-05"])):
        assert [f"{time:%m-%d}" for time in written(either, ["1", "2"], dates=said)[1]["time"]] == days
    sample = pl.DataFrame({"time": either, "value": ["1", "2"]})
    assert guess(METRICS, sample, {"time": "time"}, dates=None).forms == {}


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        (["1,5", "2"], [1.5, 2.0]),
        (["1.234,5", "1.500"], [1234.5, 1500.0]),
        (["1 234,5", "-0,125"], [1234.5, -0.125]),
        (["1\u202f234,5", "NA"], [1234.5]),
        (["0,125", "1,500"], [0.125, 1.5]),
        (["1,234", "2,500"], []),  # thousands, or not
        (["1,5", "2.5"], [2.5]),
        (["1,234.5", "1,5"], []),
        (["1,234,567", "1,5"], []),
    ],
)
def test_a_comma_is_a_decimal_mark_where_all_of_a_column_says_so(values: list[str], stored: list[float]) -> None:
    sample = pl.DataFrame({"time": ["2024-05-01", "2024-05-02"], "value": values})
    plan = guess(METRICS, sample, {"value": "value"}, interval=None)
    assert ingest(METRICS, plan.apply(sample), zone="UTC").rows["value"].to_list() == stored
    assert guess(METRICS, sample, {"value": "value"}, commas=False).forms == {}


def test_a_text_with_commas_or_slashes_stays_as_it_is() -> None:
    sample = series(service=["1,5"] * 48, id=["02/03/2024"] * 48)
    plan = guess(METRICS, sample, {"service": "service"})
    assert plan.forms == {}
    assert plan.apply(sample)["service"].unique().to_list() == ["1,5"]


# ---------------------------------------------------------------- what stamps stand for


@pytest.mark.parametrize(
    ("step", "interval", "words"),
    [
        (HOUR, HOUR, "stand for the hour from its stamp, known at its end; --interval none if it is a sample"),
        (HOUR / 4, HOUR / 4, "stand for the 15 minutes from its stamp"),
        (HOUR * 24, HOUR * 24, "stand for the day from its stamp"),
        (HOUR / 60, None, "a sample of the moment of its stamp, known then; --interval 1h if it stands for the hour"),
    ],
)
def test_regular_stamps_stand_for_what_follows_them(step: timedelta, interval: timedelta | None, words: str) -> None:
    plan = guess(METRICS, series(step), {})
    assert plan.interval == interval
    assert words in plan.lines()[-1]


def test_the_word_of_the_caller_counts() -> None:
    assert guess(METRICS, series(), {}, interval=None).interval is None
    plan = guess(METRICS, series(HOUR / 60), {}, interval=HOUR)
    assert (plan.interval, plan.lines()[-1]) == (
        HOUR,
        "each value stands for the hour from its stamp, known at its end",
    )
    with pytest.raises(InvalidRequest, match="--interval must be a length of time above zero"):
        guess(METRICS, series(), {}, interval=timedelta(0))
    deeds = pl.DataFrame({"parcel": ["p"], "signed": ["2024-05-01"], "price": ["1"], "area": ["2"]})
    assert guess(DEEDS, deeds, {}).timing == ""
    with pytest.raises(InvalidRequest, match="deeds has no column for when a fact became known; leave out --interval"):
        guess(DEEDS, deeds, {}, interval=HOUR)


def test_a_file_that_says_when_values_became_known_needs_no_interval() -> None:
    sample = series().with_columns(available_at=pl.col("time"))
    plan = guess(METRICS, sample, {})
    assert (plan.columns["known_at"], plan.interval, plan.timing) == ("available_at", None, "")


def test_the_interval_is_added_where_times_are_read() -> None:
    plan = guess(METRICS, series(), {})
    done = ingest(METRICS, plan.apply(series()), zone="UTC", interval=plan.interval)
    assert (done.rows["known_at"] - done.rows["time"]).unique().to_list() == [HOUR]


def test_each_series_has_steps_of_its_own() -> None:
    """A file in the order of time, of three services: each is hourly though its rows are not an hour apart."""
    three = pl.concat([series(service=[name] * 48) for name in "abc"]).sort("time")
    assert guess(METRICS, three, {}).interval == HOUR
    assert regular(three, "time", []) == HOUR  # the same stamp counts once
    holes = series().filter(pl.int_range(48) % 10 != 3)
    assert regular(holes, "time", []) == HOUR
    assert regular(series().filter(pl.int_range(48).is_in([0, 1, 3, 7, 15, 31])), "time", []) is None
    assert regular(series(rows=1), "time", []) is None


def test_the_plan_is_told_in_lines() -> None:
    plan = guess(METRICS, named({"time": "timestamp"}, note=["x"] * 48), {"value": "value"})
    assert plan.lines() == [
        "time  ← timestamp (a usual name for it)",
        "value ← value (given)",
        "not used: note",
        "each value is taken to stand for the hour from its stamp, known at its end;"
        " --interval none if it is a sample of that moment",
    ]
    assert Plan(columns={}, why={}, unused=()).lines() == []


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (HOUR, "hour"),
        (HOUR * 36, "36 hours"),
        (HOUR * 72, "3 days"),
        (HOUR / 2, "30 minutes"),
        (HOUR / 7200, "0.5 seconds"),
    ],
)
def test_lengths_are_said_as_people_say_them(span: timedelta, words: str) -> None:
    assert length(span) == words


# ---------------------------------------------------------------- units in names


class Output(BaseModel):
    time: datetime
    output_kw: float
    share_pct: float | None = None


class Ticket(BaseModel):
    issue: str
    time: datetime


ISSUES = Table(name="issues", row=Ticket, key=("issue", "time"), time="time")
OUTPUT = Table(name="output", row=Output, key=("time",), time="time")


@pytest.mark.parametrize(
    ("source", "said"),
    [("kwh", "kwh"), ("energy_kwh", "kwh"), ("Energy [kWh]", "kwh"), ("kwh_exported", "kwh"), ("power MW", "mw")],
)
def test_a_column_of_another_unit_is_not_guessed_and_can_be_given(source: str, said: str) -> None:
    sample = series().rename({"value": source})
    with pytest.raises(InvalidRequest) as refused:
        guess(OUTPUT, sample, {})
    words = f"{source} looks like {said}, and output_kw is in kw; convert it, or if it is in kw choose: "
    assert str(refused.value) == f"{words}--map output_kw={source}"
    assert guess(OUTPUT, sample, {"output_kw": source}).columns["output_kw"] == source


@pytest.mark.parametrize("source", ["output_kw", "kW", "power (kilowatts)", "power", "leistung", "temp_min", "w2"])
def test_a_column_of_the_same_unit_or_of_none_is_guessed(source: str) -> None:
    assert guess(OUTPUT, series().rename({"value": source}), {}).columns["output_kw"] == source


def numbers(*names: str) -> Frame:
    return pl.DataFrame({"time": ["2024-05-01 12:00"], **{name: ["1"] for name in names}})


@pytest.mark.parametrize(
    ("names", "taken", "why"),
    [
        (("temp_k", "power_kw", "dew_point", "pressure"), "power_kw", "the only column of numbers in kw"),
        (("energy_kwh", "Power [kW]"), "Power [kW]", "the only column of numbers in kw"),
        (("temp", "totalOutput", "pressure"), "totalOutput", "the only column of numbers with a like name"),
        (("temp", "outputs", "pressure"), "outputs", "the only column of numbers with a like name"),
    ],
)
def test_of_several_the_one_of_the_unit_or_of_a_like_name_wins(names: tuple[str, ...], taken: str, why: str) -> None:
    plan = guess(OUTPUT, numbers(*names), {})
    assert (plan.columns["output_kw"], plan.why["output_kw"]) == (taken, why)


def test_columns_that_share_nothing_with_what_is_wanted_are_not_proposed() -> None:
    with pytest.raises(InvalidRequest, match=r"^in_kw and out_kw would do equally well for output_kw; choose"):
        guess(OUTPUT, numbers("in_kw", "out_kw", "temp", "pressure", "dew_point"), {})
    with pytest.raises(InvalidRequest, match="no column of the file looks like output_kw; it has time, temp, pressure"):
        guess(OUTPUT, numbers("temp", "pressure", "dew_point", "wind"), {})


def test_a_shop_and_a_tracker_are_understood() -> None:
    assert guess(METRICS, numbers("units", "orders", "unit_price"), {}).columns["value"] == "units"
    issues = pl.DataFrame({"issuekey": ["A-1"], "created": ["2024-05-01 12:00"], "components": ["x"], "text": ["y"]})
    assert guess(ISSUES, issues, {}).columns == {"issue": "issuekey", "time": "created"}


def test_where_the_table_says_no_unit_any_will_do() -> None:
    assert guess(METRICS, series().rename({"value": "energy_kwh"}), {}).columns["value"] == "energy_kwh"


class Sky(BaseModel):
    place: str
    time: datetime
    ghi: float | None = None
    clouds: float | None = None


SKIES = Table(name="skies", row=Sky, key=("place", "time"), time="time")


def test_where_none_of_the_numbers_is_recognised_it_is_noted() -> None:
    bare = series(place=["a"] * 48, cloudiness=[50.0] * 48, words=["x"] * 48)
    words = "rows without any number: none was recognised as ghi, clouds; not used: value, cloudiness"
    assert guess(SKIES, bare, {}).bare == words
    assert guess(SKIES, bare, {"clouds": "cloudiness"}).bare == ""
    assert guess(SKIES, bare.rename({"cloudiness": "ghi"}), {}).bare == ""
    assert guess(SKIES, bare.drop("value", "cloudiness"), {}).bare == ""  # nothing there to be recognised
