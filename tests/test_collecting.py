"""Facts fetched from providers that misbehave: what comes, who stands in, what is on record, and what is never told."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl
import pytest
from tests.providers import DAY, HOUR, KEY, Providers, providers, sky
from tests.toys import skies

from foretell.app import App
from foretell.app.collecting import Collected, Sources
from foretell.app.declared import domains
from foretell.app.house import House
from foretell.app.opening import add_tenant, stores
from foretell.app.tenancy import Tenancy
from foretell.contract import Domain, Quota
from foretell.errors import BrokenDomain, InvalidRequest, NotFound
from foretell.stores import providers as counted

NOW = datetime(2026, 3, 31, 10, 23, 45, tzinfo=UTC)  # two days after the clocks of Berlin were changed
HOURS = 8 * 24  # of a forecast
Make = Callable[..., "Place"]


class Place:
    """A tenant with plants, whose clock and sleep are the test's."""

    def __init__(self, app: App, server: Providers) -> None:
        self.app, self.server, self.slept = app, server, list[float]()
        self.now = NOW
        self.sources = Sources(
            desk=app.desk, now=lambda: self.now, sleep=self.slept.append, silence=0.5, whole=1.0
        )  # fmt: skip

    def collect(self, name: str = "skies.open_meteo", **span: datetime) -> Collected:
        """What came of one source."""
        (done,) = self.sources.collect(name, **span)
        return done

    def at(self, moment: datetime) -> Place:
        """The same place at another time."""
        self.now = moment
        return self

    def rows(self, table: str = "forecasts") -> pl.DataFrame:
        return self.app.facts(f"skies.{table}")

    def records(self) -> list[dict[str, Any]]:
        with self.app.desk.inside() as connection:
            found = connection.execute("SELECT details FROM audit WHERE action = 'collect' ORDER BY audit_id")
            return [details for (details,) in found.fetchall()]


@pytest.fixture
def server() -> Iterator[Providers]:
    with providers(NOW) as running:
        yield running


@contextmanager
def house(domain: Domain) -> Iterator[House]:
    """A house with one domain more than are installed."""
    installed = domains() | {domain.name: domain}
    opened = House(stores(installed), installed)
    try:
        yield opened
    finally:
        with opened.stores.database.nobody() as connection:  # as if no test had asked before
            connection.execute("UPDATE providers SET spent = 0, failures = 0, rests_until = NULL")
        opened.close()


@contextmanager
def placed(
    server: Providers, plants: int = 2, *, kind: str = "solar", domain: Domain = skies.DOMAIN
) -> Iterator[Place]:
    """A tenant that nobody has used before, with plants a degree apart."""
    name = f"t{uuid4().hex[:12]}"
    with house(domain) as opened:
        add_tenant(name, zone="Europe/Berlin")
        app = App(Tenancy(house=opened, tenant=name, who="a test"))
        rows = [
            {"plant": f"p{k}", "since": "2024-01-01T00:00Z", "kind": kind, "latitude": -50.0 + k, "longitude": 13.4}
            for k in range(plants)
        ]
        if rows:
            app.import_("skies.plants", pl.DataFrame(rows))
        yield Place(app, server)


@pytest.fixture(autouse=True)
def addresses(home: object, server: Providers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every source is asked at the local server, and one key is told."""
    for source in skies.DOMAIN.sources:
        monkeypatch.setenv(f"FORETELL_URLS__{source.name.upper()}", server.url)
    monkeypatch.setenv("OPENWEATHER_API_KEY", KEY)


@pytest.fixture
def place(server: Providers) -> Iterator[Place]:
    with placed(server) as made:
        yield made


def with_source(name: str, **changed: Any) -> Domain:
    """The domain with something else of one source."""
    sources = [replace(one, **changed) if one.name == name else one for one in skies.DOMAIN.sources]
    return replace(skies.DOMAIN, sources=sources)


# ---------------------------------------------------------------- what comes


def test_a_domain_is_collected_from_whoever_it_names_for_each_plant(server: Providers) -> None:
    with placed(server, 2) as place:
        hill = {"plant": "hill", "since": "2024-01-01T00:00Z", "kind": "wind", "latitude": 60.0, "longitude": 5.0}
        place.app.import_("skies.plants", pl.DataFrame([hill]))
        done = {one.source: one for one in place.sources.collect("skies")}
        assert {name: (one.wanted, one.answered) for name, one in done.items()} == {
            "skies.open_meteo": (3, 3), "skies.nasa_power": (2, 2), "skies.open_meteo_archive": (1, 1),
        }  # fmt: skip
        assert all(one.tried[0].requests == one.wanted and not one.tried[0].why for one in done.values())
        rows = place.rows()
        assert rows.height == 3 * HOURS
        assert rows["time"].min() == NOW.replace(minute=0, second=0)
        seen = rows.filter(plant="hill").row(5, named=True)
        assert {name: seen[name] for name in sky(seen["time"])} == pytest.approx(sky(seen["time"]))
        observed = place.rows("observed")
        assert observed.group_by("plant").agg(pl.col("provider").unique().first()).sort("plant").rows() == [
            ("hill", "open_meteo"), ("p0", "nasa_power"), ("p1", "nasa_power"),
        ]  # fmt: skip
        assert done["skies.nasa_power"].newest == observed["known_at"].max()


def test_the_same_answer_again_changes_nothing(place: Place) -> None:
    for name in ("skies.open_meteo", "skies.nasa_power", "skies.open_meteo_archive", "skies.open_meteo_runs"):
        (first,), (again,) = place.collect(name).tried, place.collect(name).tried
        assert first.accepted > 0
        assert (again.accepted, again.revised, again.unchanged) == (0, 0, first.accepted)
    place.now += timedelta(hours=12)
    (later,) = place.collect("skies.nasa_power").tried
    assert (later.accepted, later.revised) == (2 * 12, 0)


def test_hours_are_whole_across_a_change_of_clocks(place: Place) -> None:
    """The tenant's clocks jumped on 29 March: of that day there are 24 hours, and each is its own."""
    done = place.collect("skies.open_meteo_archive")
    day = place.rows("observed").filter(pl.col("time").dt.date() == datetime(2026, 3, 29, tzinfo=UTC).date())
    assert day.filter(plant="p0")["time"].dt.hour().to_list() == [*range(10)]  # up to two days ago
    before = place.rows("observed").filter(pl.col("time").dt.date() == datetime(2026, 3, 28, tzinfo=UTC).date())
    assert before.filter(plant="p0")["time"].dt.hour().to_list() == [*range(24)]
    assert done.tried[0].rejected == 0


def test_a_span_of_ones_own_is_for_one_source_and_ends_where_nothing_can_be_known(place: Place) -> None:
    since = datetime(2025, 1, 1, tzinfo=UTC)
    done = place.collect("skies.nasa_power", since=since, until=since + 3 * DAY)
    assert (done.since, done.until, done.tried[0].accepted) == (since, since + 3 * DAY, 2 * 72)
    done = place.collect("skies.nasa_power", since=NOW - 8 * DAY, until=NOW)
    assert done.until == NOW.replace(minute=0, second=0) - 7 * DAY
    with pytest.raises(InvalidRequest, match="a span is for one source"):
        place.sources.collect("skies", since=since)
    with pytest.raises(InvalidRequest, match="nothing is in that span"):
        place.collect("skies.nasa_power", since=NOW - 2 * DAY)


def test_who_has_no_sources_or_plants_is_told_so(server: Providers) -> None:
    with placed(server, 0) as place:
        assert list(place.sources.collect("skies")) == []
        assert server.asked == []
        with pytest.raises(NotFound, match=r"skies.nasa_power"):
            place.sources.collect("skies.nasa")
        with pytest.raises(NotFound, match="none of traffic"):
            place.sources.list("traffic")


# ---------------------------------------------------------------- what is tried again


@pytest.mark.parametrize(
    ("order", "wait"),
    [("503", 0.5), ("500", 0.5), ("429", 0.5), ("429 in 7 s", 7.0), ("429 by date", 30.0), ("cut", 0.5),
     ("silent", 0.5), ("drip", 0.5)],
)  # fmt: skip
def test_what_passes_is_tried_again_after_a_wait(place: Place, order: str, wait: float) -> None:
    place.server.orders.extend([order, None, order, order, order, None])
    done = place.collect()
    assert (done.answered, done.tried[0].requests, done.tried[0].retries, done.tried[0].why) == (2, 6, 4, {})
    assert place.rows().height == 2 * HOURS
    waits = place.slept
    most = [wait if wait >= 1 else 0.5 * 2**k for k in (0, 0, 1, 2)]
    assert len(waits) == 4
    assert all(least <= told <= max(2 * least, wait) for told, least in zip(waits, most, strict=True))
    assert wait >= 1 or len(set(waits)) == 4  # by lot


@pytest.mark.parametrize(
    "order", ["html", "truncated", "nothing", "units", "local", "elsewhere", "400", "404", "moved"]
)
def test_what_will_not_get_better_is_not_tried_again_and_another_stands_in(place: Place, order: str) -> None:
    place.server.orders.extend([order])
    done = place.collect()
    first, second = done.tried
    assert (done.wanted, done.answered) == (2, 2)
    assert (first.wanted, first.answered, first.requests, first.retries) == (2, 1, 2, 0)
    assert sum(first.why.values()) == 1
    assert (second.source, second.wanted, second.answered) == ("skies.openweather", 1, 1)
    assert place.server.paths() == ["/v1/forecast", "/v1/forecast", "/data/2.5/forecast"]
    kept = place.rows().group_by("plant").agg(pl.col("provider").unique()).sort("plant")
    assert kept.rows() == [("p0", ["openweather"]), ("p1", ["open_meteo"])]


def test_when_all_are_down_nothing_is_raised_and_the_last_good_data_stay(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.collect()
    before = place.rows()
    place.now += timedelta(hours=12)
    place.server.always = {"/": "503"}
    with caplog.at_level(logging.WARNING, logger="foretell"):
        done = place.collect()
    assert (done.wanted, done.answered, done.newest) == (2, 0, NOW)
    assert [(one.requests, one.why) for one in done.tried] == [(8, {"HTTP 503": 2}), (8, {"HTTP 503": 2})]
    assert place.rows().equals(before)
    assert "nothing came for 2 of 2 places" in caplog.text
    assert f"{NOW:%Y-%m-%d %H:%M}" in caplog.text


def test_a_bad_row_is_kept_apart_and_the_good_ones_go_in(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    hot = NOW.replace(minute=0, second=0) + 5 * HOUR
    monkeypatch.setattr("tests.providers.sky.__defaults__", ())
    usual = sky
    monkeypatch.setattr(
        "tests.providers.open_meteo.__defaults__",
        (lambda at: usual(at) | ({"ghi": 5000.0} if at == hot else {}),),
    )
    (tried,) = place.collect().tried
    assert (tried.accepted, tried.rejected) == (2 * (HOURS - 1), 2)
    assert place.app.quarantine.list("skies.forecasts")["rule"].to_list() == ["ghi must be ≤ 2000"] * 2


# ---------------------------------------------------------------- who is left alone


def test_who_fails_again_and_again_is_left_alone_for_a_while_by_every_tenant(server: Providers) -> None:
    server.always = {"/v1": "500"}
    with placed(server, 5) as place, placed(server, 1) as neighbour:
        first, second = place.collect().tried
        assert first.requests == 3 * 4  # then it rests, and the others are not even tried
        assert second.answered == 5
        assert sorted(first.why.values()) == [2, 3]
        assert any("left alone until 2026-03-31 10:38" in words for words in first.why)
        neighbours = neighbour.collect().tried
        assert [one.requests for one in neighbours] == [0, 1]
        place.now = neighbour.now = NOW + timedelta(minutes=16)
        assert neighbour.collect().tried[0].requests == 4  # one more try, and it rests for twice as long
        assert place.sources.list("skies")[0].rests_until == place.now + timedelta(minutes=30)
        place.now += timedelta(minutes=31)
        server.always = {}
        assert place.collect().tried[0].answered == 5
        assert place.sources.list("skies")[0].rests_until is None


def test_who_wants_to_be_asked_much_later_is_left_alone_until_then(place: Place) -> None:
    place.server.orders.extend(["429 in an hour"])
    first, second = place.collect().tried
    assert (first.requests, first.retries, second.answered) == (1, 0, 2)
    assert place.sources.list("skies")[0].rests_until == NOW + timedelta(hours=1)
    assert place.slept == []


def test_one_bad_place_does_not_keep_the_others_from_being_asked(server: Providers) -> None:
    with placed(server, 8) as place:
        server.orders.extend(["400"] * 7)
        done = place.collect()
        assert done.tried[0].requests == 8
        assert done.answered == 8
        assert place.sources.list("skies")[0].rests_until is None


def test_a_quota_is_of_all_tenants_together_and_of_a_day(server: Providers) -> None:
    domain = with_source("open_meteo", quota=Quota(minute=1e9, day=3.7))  # 1.2 a request
    with placed(server, 2, domain=domain) as place, placed(server, 2, domain=domain) as neighbour:
        assert place.collect().tried[0].requests == 2
        first, second = neighbour.collect().tried
        assert (first.requests, second.requests) == (1, 1)
        assert first.why == {"the 3.7 requests that open_meteo takes a day are used up": 1}
        assert neighbour.sources.list("skies")[0].spent == pytest.approx(3.6)
        neighbour.now += timedelta(days=1)
        assert neighbour.collect().tried[0].requests == 2
        assert neighbour.sources.list("skies")[0].spent == pytest.approx(2.4)


def test_requests_keep_the_distance_that_the_provider_wants(server: Providers) -> None:
    with placed(server, 4, domain=with_source("open_meteo", quota=Quota(minute=6, day=1e9))) as place:
        place.collect()
        assert place.slept == pytest.approx([12.0] * 3, abs=1.0)  # ten seconds, and two tenths of one for its cost


# ---------------------------------------------------------------- keys


def test_without_its_key_a_source_is_not_asked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENWEATHER_API_KEY")
    done = place.collect("skies.openweather")
    assert (done.answered, place.server.asked) == (0, [])
    assert "FORETELL_KEYS__OPENWEATHER" in next(iter(done.tried[0].why))
    assert not place.sources.list("skies")[1].ready
    monkeypatch.setenv("FORETELL_KEYS__OPENWEATHER", "wrong")
    for _ in range(2):
        done = place.collect("skies.openweather")
    assert done.tried[0].why == {"HTTP 401": 1, **{words: 1 for words in done.tried[0].why if "left alone" in words}}
    monkeypatch.setenv("FORETELL_KEYS__OPENWEATHER", KEY)
    place.now += timedelta(hours=1)
    assert place.collect("skies.openweather").answered == 2


@pytest.mark.parametrize("order", [None, "503", "silent", "moved", "html", "cut", "400"])
def test_a_key_is_in_no_log_error_or_record(
    place: Place, order: str | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_KEYS__OPEN_METEO", KEY)
    place.server.always = {"/": order} if order else {}
    with caplog.at_level(logging.DEBUG):
        done = place.collect()
    assert place.server.asked[0][1]["apikey"] == KEY
    told = caplog.text + done.model_dump_json() + json.dumps(place.records()) + repr(place.sources.list("skies"))
    with place.app.desk.inside() as connection:
        told += str(connection.execute("SELECT details FROM audit").fetchall())
    assert "open_meteo" in told
    assert KEY not in told


def test_a_key_may_go_into_a_header_and_one_that_can_not_is_not_told(
    server: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foretell.contract import Key

    with placed(server, 1, domain=with_source("nasa_power", key=Key(name="X-Key", place="header"))) as place:
        monkeypatch.setenv("FORETELL_KEYS__NASA_POWER", "seven\nlines ü")
        done = place.collect("skies.nasa_power")
        assert done.tried[0].answered == 0
        assert "seven" not in done.model_dump_json()
        monkeypatch.setenv("FORETELL_KEYS__NASA_POWER", KEY)
        place.now += timedelta(hours=1)
        assert place.collect("skies.nasa_power").tried[0].answered == 1
        assert "X-Key" not in server.asked[-1][1]


# ---------------------------------------------------------------- on record


def test_every_attempt_is_on_record_with_its_numbers(place: Place) -> None:
    place.server.orders.extend(["503", None, "html"])
    done = place.collect()
    (record,) = place.records()
    assert record == done.model_dump(mode="json")
    first, second = record["tried"]
    assert (first["requests"], first["retries"], first["answered"], first["accepted"]) == (3, 1, 1, HOURS)
    assert first["why"] == {"its answer is HTML or XML, not JSON": 1}
    assert (second["source"], second["requests"], second["answered"]) == ("skies.openweather", 1, 1)
    known = place.sources.list("skies")[0]
    assert (known.success, known.fallback, known.every_hours) == (1.0, "skies.openweather", 12.0)
    assert known.collected_at is not None


def test_of_providers_that_misbehave_one_time_in_five_more_than_95_of_100_places_are_answered(
    server: Providers,
) -> None:
    """Twenty plants, four goes; every kind of failure that there is, by lot. What was answered is all stored."""
    rng = np.random.default_rng(5)
    kinds = ["503", "500", "429", "429 in 7 s", "cut", "html", "truncated", "units", "missing", "twice", "400"]
    server.orders.extend(str(rng.choice(kinds)) if rng.random() < 0.2 else None for _ in range(2000))
    with placed(server, 20) as place:
        answered = sum(
            one.answered for k in range(4) for one in place.at(NOW + k * timedelta(hours=12)).sources.collect("skies")
        )
        known = {one.source: one for one in place.sources.list("skies")}
        assert answered > 0.95 * 4 * 40
        assert all(known[f"skies.{name}"].success > 0.95 for name in ("open_meteo", "nasa_power"))  # type: ignore[operator]
        stored = place.rows().select("plant", "issued_at").unique().height
        assert stored == sum(record["answered"] for record in place.records() if record["table"] == "skies.forecasts")


# ---------------------------------------------------------------- a source that does not keep its word


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"requests": lambda wanted: 1 / 0}, "requests: ZeroDivisionError"),
        ({"parse": lambda body, get: get.query["nothing"]}, "parse: KeyError"),
        ({"parse": lambda body, get: pl.DataFrame({"plants": ["p0"]})}, "misses plant"),
    ],
)
def test_a_source_that_breaks_the_contract_is_named(server: Providers, changed: Any, words: str) -> None:
    with (
        placed(server, 1, domain=with_source("open_meteo", **changed)) as place,
        pytest.raises(BrokenDomain, match=rf"skies.open_meteo: .*{words}"),
    ):
        place.collect()


def test_a_source_without_places_is_asked_once(server: Providers) -> None:
    """As an index of a market would be: the answer is of everybody."""
    nasa = next(one for one in skies.DOMAIN.sources if one.name == "nasa_power")

    def requests(wanted: Any) -> Any:
        assert wanted.places.height == 1
        berlin = pl.DataFrame({"plant": ["market"], "latitude": [52.5], "longitude": [13.4]})
        return nasa.requests(replace(wanted, places=berlin))

    def of_all(wanted: Any) -> Any:
        return [replace(get, wanted=replace(get.wanted, places=wanted.places)) for get in requests(wanted)]

    def parse(body: bytes, get: Any) -> Any:
        berlin = pl.DataFrame({"plant": ["market"], "latitude": [52.5], "longitude": [13.4]})
        return nasa.parse(body, replace(get, wanted=replace(get.wanted, places=berlin)))

    domain = with_source("nasa_power", places=None, whose=pl.lit(True), requests=of_all, parse=parse)
    with placed(server, 0, domain=domain) as place:
        (done,) = place.sources.collect("skies")
        assert (done.source, done.wanted, done.answered) == ("skies.nasa_power", 1, 1)
        assert place.rows("observed")["plant"].unique().to_list() == ["market"]


def test_what_is_known_of_a_provider_is_counted_exactly_under_a_crowd(place: Place) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def spend(_: int) -> bool:
        with place.app.desk.transaction() as connection:
            return counted.spend(connection, "crowd", cost=1.0, quota=20, now=NOW)

    with ThreadPoolExecutor(8) as crowd:
        assert sum(crowd.map(spend, range(60))) == 20
