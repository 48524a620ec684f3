"""What providers of weather are asked, and what is made of their answers: hours by their start, in our units."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from tests.providers import DAY, HOUR, WRONG, Sky, nasa, open_meteo, openweather, seen_by, sky

from foretell.contract import Frame, Get, Source, Standpoint, Wanted
from foretell.domains.energy.sources import SOURCES
from foretell.errors import InvalidRequest
from foretell.features.intervals import accumulated

NOW = datetime(2026, 3, 20, 10, 23, 45, tzinfo=UTC)
NEWEST = NOW.replace(minute=0, second=0)
BY = {source.name: source for source in SOURCES}
PLANTS = pl.DataFrame(
    {
        "plant": ["roof", "field", "hill"],
        "kind": ["solar", "solar", "wind"],
        "latitude": [52.52, 52.52, -33.4],
        "longitude": [13.41, 13.41, 151.5],
    }
)
COLUMNS = ("ghi", "dni", "dhi", "temperature", "humidity", "cloud_cover", "pressure", "precipitation",
           "wind_speed_10m", "wind_speed_100m", "wind_direction_10m", "wind_direction_100m")  # fmt: skip


class Nothing(BaseModel):
    """No settings."""


def wanted(source: Source, now: datetime = NOW, places: Frame = PLANTS) -> Wanted:
    """What a source is asked for at a moment."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    standing = Standpoint(tenant="t", now=now, zone="Europe/Berlin", settings=Nothing())
    return Wanted(standing=standing, places=places, since=hour - source.back, until=hour + source.ahead)


def body_of(name: str, get: Get, seen: Sky = sky) -> dict[str, Any]:
    """What the provider answers."""
    if name == "nasa_power":
        return nasa(get.query, seen)
    return openweather(get.query, NOW, seen) if name == "openweather" else open_meteo(get.query, seen)


def first(name: str) -> Get:
    return BY[name].requests(wanted(BY[name]))[0]


def parsed(name: str, get: Get, body: Mapping[str, Any] | bytes | None = None) -> Frame:
    told = body_of(name, get) if body is None else body
    return BY[name].parse(told if isinstance(told, bytes) else json.dumps(told).encode(), get)


# ---------------------------------------------------------------- requests


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_places_with_the_same_coordinates_are_asked_about_once(source: Source) -> None:
    gets = source.requests(wanted(source))
    assert [get.wanted.places["plant"].to_list() for get in gets] == [["roof", "field"], ["hill"]]
    assert [*gets[1].query.values()].count("-33.4000") == 1
    assert not any("key" in name or name == "appid" for get in gets for name in get.query)


def test_utc_and_our_units_are_asked_for() -> None:
    query = first("nasa_power").query
    assert (query["time-standard"], query["community"], query["format"]) == ("UTC", "RE", "JSON")
    assert (query["start"], query["end"]) == ("20260306", "20260313")
    assert len(query["parameters"].split(",")) <= 20
    query = first("open_meteo").query
    assert (query["timezone"], query["wind_speed_unit"]) == ("UTC", "ms")
    assert (query["start_date"], query["end_date"]) == ("2026-03-20", "2026-03-28")
    assert first("openweather").query["units"] == "metric"


def test_a_long_span_is_asked_for_in_parts_that_touch() -> None:
    source = BY["nasa_power"]
    asked = wanted(source, places=PLANTS[:1])
    asked = Wanted(standing=asked.standing, places=asked.places, since=asked.until - 800 * DAY, until=asked.until)
    gets = source.requests(asked)
    spans = [(get.wanted.since, get.wanted.until) for get in gets]
    assert len(spans) == 3
    assert [until for _, until in spans[:-1]] == [since for since, _ in spans[1:]]
    assert (spans[0][0], spans[-1][1]) == (asked.since, asked.until)


def test_a_request_of_many_variables_and_days_costs_what_open_meteo_counts() -> None:
    """https://open-meteo.com/en/pricing: four weeks of fifteen variables are 3.0 calls."""
    assert first("open_meteo").cost == 1.2
    assert first("open_meteo_runs").cost == 7 * 12 / 10
    asked = wanted(BY["open_meteo_archive"])
    asked = Wanted(standing=asked.standing, places=asked.places, since=asked.until - 27 * DAY - HOUR, until=asked.until)
    assert BY["open_meteo_archive"].requests(asked)[0].cost == pytest.approx(12 / 10 * 28 / 14)


# ---------------------------------------------------------------- what a stamp stands for


@pytest.mark.parametrize("name", ["nasa_power", "open_meteo", "open_meteo_archive", "openweather"])
def test_every_provider_tells_the_same_weather_of_the_same_hour(name: str) -> None:
    """Start of the hour, end of it, the three hours before: whatever it stamps."""
    get = first(name)
    rows = parsed(name, get)
    told = [column for column in COLUMNS if column in rows.columns]
    missing = {"nasa_power": 2, "openweather": 5}.get(name, 0)
    assert len(told) == len(COLUMNS) - missing
    assert rows["plant"].unique().sort().to_list() == ["field", "roof"]
    if name == "openweather":  # of the last stamp nothing is told that falls after it
        assert rows.filter(pl.col("precipitation").is_null())["time"].unique().to_list() == [rows["time"].max()]
        rows = rows.filter(pl.col("precipitation").is_not_null())
    for row in rows.iter_rows(named=True):
        assert {column: row[column] for column in told} == pytest.approx({c: sky(row["time"])[c] for c in told})
    hours = rows.filter(plant="roof")["time"]
    until = min(get.wanted.until, datetime(2026, 3, 25, 9, tzinfo=UTC)) if name == "openweather" else get.wanted.until
    since = get.wanted.since + (2 * HOUR if name == "openweather" else timedelta())  # the first stamp is of 12:00
    assert hours.to_list() == [since + k * HOUR for k in range(int((until - since) / HOUR))]


@pytest.fixture(scope="module")
def clear_day() -> Frame:
    """A clear day that was measured, by the minute: see `data/README.md`."""
    return pl.read_csv(Path(__file__).parent / "data" / "surfrad_alamosa_2016-01-01.csv", try_parse_dates=True)


ALAMOSA = pl.DataFrame({"plant": ["a"], "kind": ["solar"], "latitude": [37.70], "longitude": [-105.92]})


def noon(rows: Frame) -> float:
    """The middle of the light, by the clock of UTC, where each value stands for the hour from its time on."""
    hour = pl.col("time").dt.hour() + 0.5
    return float(rows.select((hour * pl.col("ghi")).sum() / pl.col("ghi").sum()).item())


@pytest.mark.parametrize("name", ["nasa_power", "open_meteo_archive", "since midnight"])
def test_three_conventions_of_a_day_that_was_measured(name: str, clear_day: Frame) -> None:
    """Stamped at the start of the hour, at its end, and summed since midnight: the sun stands highest at its noon."""
    now = datetime(2016, 1, 9, 0, 0, tzinfo=UTC)
    if name == "since midnight":
        sums = clear_day.select(pl.col("time") + HOUR, ghi=pl.col("ghi").cum_sum() * 3600)
        start = pl.DataFrame({"time": clear_day["time"][:1], "ghi": [9e9]}, schema=sums.schema)  # of the day before
        rows = accumulated(pl.concat([start, sums]), ["ghi"]).with_columns(pl.col("ghi") / 3600)[:-1]
    else:
        asked = wanted(BY[name], now, ALAMOSA)
        begin = datetime(2016, 1, 1, tzinfo=UTC)
        (get,) = BY[name].requests(Wanted(standing=asked.standing, places=ALAMOSA, since=begin, until=begin + DAY))
        rows = parsed(name, get, body_of(name, get, seen_by(clear_day)))
    told = [column for column in clear_day.columns if column != "time" and column in rows.columns]
    assert rows["time"].dt.replace_time_zone(None).to_list() == clear_day["time"].to_list()
    for column in told:
        assert rows[column].to_list() == pytest.approx(clear_day[column].to_list())
    # Longitude, and 3.3 minutes by which the sun was late that day (equation of time).
    assert noon(rows) == pytest.approx(12 + 105.92 / 15 + 3.3 / 60, abs=0.1)


# ---------------------------------------------------------------- when it is known


def test_observed_weather_is_known_when_its_provider_could_tell_it() -> None:
    for name, late in (("nasa_power", 7 * DAY), ("open_meteo_archive", 2 * DAY)):
        rows = parsed(name, first(name))
        assert (rows["known_at"] - rows["time"]).unique().to_list() == [late]
        assert rows["known_at"].max() <= NOW  # type: ignore[operator]


def test_a_forecast_is_issued_when_it_is_asked_for() -> None:
    for name, provider in (("open_meteo", "open_meteo"), ("openweather", "openweather")):
        rows = parsed(name, first(name))
        assert rows["issued_at"].unique().to_list() == [NOW]
        assert rows["provider"].unique().to_list() == [provider]
        assert rows["time"].min() >= NEWEST  # type: ignore[operator]


def test_an_earlier_run_was_out_eight_hours_after_it_can_have_begun() -> None:
    rows = parsed("open_meteo_runs", first("open_meteo_runs"))
    lead = (rows["time"] - rows["issued_at"]).unique().sort().to_list()
    assert lead == [day * DAY - 8 * HOUR for day in range(1, 8)]
    assert rows.select("plant", "time", "issued_at", "provider").is_unique().all()
    assert rows["issued_at"].max() <= NOW  # type: ignore[operator]


# ---------------------------------------------------------------- what is refused, and what is missing

REFUSED = {
    "html": "HTML", "truncated": "not whole JSON", "nothing": "not whole JSON", "null": "has no",
    "an error": "has no", "units": "comes in", "elsewhere": "of another place", "words": "something else than numbers",
}  # fmt: skip


@pytest.mark.parametrize("order", REFUSED)
@pytest.mark.parametrize("name", BY)
def test_what_was_not_asked_for_is_refused(name: str, order: str) -> None:
    get = first(name)
    with pytest.raises(InvalidRequest, match=REFUSED[order]):
        parsed(name, get, WRONG[order](body_of(name, get)))


@pytest.mark.parametrize("name", BY)
def test_local_time_and_another_year_are_refused(name: str) -> None:
    get = first(name)
    if name != "openweather":  # its stamps are seconds since 1970
        with pytest.raises(InvalidRequest, match=r"not in UTC|beside UTC"):
            parsed(name, get, WRONG["local"](body_of(name, get)))
    with pytest.raises(InvalidRequest, match="another time"):
        parsed(name, get, WRONG["another year"](body_of(name, get)))


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just([]), st.just({}),
    st.just(10**400), st.just("2026-03-20T00:00"),
)  # fmt: skip


@settings(max_examples=60)
@given(st.sampled_from(sorted(BY)), st.data())
def test_whatever_else_an_answer_holds_it_is_rows_or_refused(name: str, data: st.DataObject) -> None:
    """One thing somewhere in a good answer is another: nothing but InvalidRequest is raised."""
    get = first(name)
    body = body_of(name, get)
    within: Any = body
    while True:
        places = [*within] if isinstance(within, dict) else [*range(min(len(within), 3))]
        place = data.draw(st.sampled_from(places))
        if not isinstance(within[place], dict | list) or not within[place] or data.draw(st.integers(0, 3)) == 0:
            within[place] = data.draw(ODD)
            break
        within = within[place]
    try:
        rows = parsed(name, get, body)
    except InvalidRequest:
        return
    assert {"plant", "time", "provider"} <= set(rows.columns)


def test_columns_of_another_length_are_refused() -> None:
    get = first("open_meteo")
    body = body_of("open_meteo", get)
    body["hourly"]["cloud_cover"].pop()
    with pytest.raises(InvalidRequest, match="as many values"):
        parsed("open_meteo", get, body)
    body["hourly"]["time"][0] = "20.3.2026"
    with pytest.raises(InvalidRequest, match="another form"):
        parsed("open_meteo", get, body)


@pytest.mark.parametrize("name", ["nasa_power", "open_meteo_archive"])
def test_what_is_missing_is_null_and_an_hour_without_anything_has_no_row(name: str) -> None:
    source = BY[name]
    asked = wanted(source, places=PLANTS[:1])
    asked = Wanted(standing=asked.standing, places=asked.places, since=asked.since.replace(hour=0), until=asked.until)
    (get,) = source.requests(asked)
    body = body_of(name, get, lambda at: {} if at.hour == 20 else sky(at))
    rows = BY[name].parse(WRONG["missing"](body), get)
    some = rows.filter(pl.col("time") < asked.since + 4 * HOUR)
    assert some["temperature"].to_list() == [None, None, None, sky(asked.since + 3 * HOUR)["temperature"]]
    assert some["wind_speed_10m"].null_count() == 0
    assert 20 not in rows["time"].dt.hour()
    assert rows["ghi"].drop_nulls().min() >= 0  # type: ignore[operator]


def test_of_an_hour_that_comes_twice_the_later_counts() -> None:
    get = first("open_meteo")
    assert parsed("open_meteo", get, WRONG["twice"](body_of("open_meteo", get))).equals(parsed("open_meteo", get))


def test_other_units_that_nasa_is_known_to_use_are_turned_into_ours() -> None:
    get = first("nasa_power")
    body = body_of("nasa_power", get)
    parameters, units = body["properties"]["parameter"], body["parameters"]
    units["PS"]["units"], units["PRECTOTCORR"]["units"] = "hPa", "mm/day"
    parameters["PS"] = {stamp: 10 * value for stamp, value in parameters["PS"].items()}
    parameters["PRECTOTCORR"] = {stamp: 24 * value for stamp, value in parameters["PRECTOTCORR"].items()}
    rows = parsed("nasa_power", get, body)
    assert rows["pressure"].to_list() == pytest.approx(parsed("nasa_power", get)["pressure"].to_list())
    assert set(rows["precipitation"].round(6)) == {0.25}


def test_a_wind_that_turns_past_north_is_drawn_the_shorter_way() -> None:
    get = first("openweather")
    body = body_of("openweather", get)
    for number, stamp in enumerate(body["list"]):
        stamp["wind"]["deg"] = 350 if number % 2 else 20
    drawn = parsed("openweather", get, body)["wind_direction_10m"]
    assert drawn.is_between(0, 360).all()
    assert not drawn.is_between(21, 349).any()
