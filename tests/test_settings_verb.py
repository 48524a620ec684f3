"""Settings of a tenant: told field by field, kept with who and when, and of then for what is asked of then."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from time import sleep
from typing import Any
from uuid import uuid4

import pytest
from tests.deciding import LOAD, METRICS, neighbour, now, steady, tenancy, traffic, zone

from foretell.app import App
from foretell.app.tenant_settings import merged
from foretell.domains.traffic.sample import ZONE
from foretell.domains.traffic.schema import Settings
from foretell.errors import ForetellError, InvalidRequest, NotFound
from foretell.stores import decisions

OTHER = "Asia/Kathmandu"  # a quarter of an hour off everybody else


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    with tenancy() as made:
        yield made


def audited(app: App) -> list[tuple[Any, ...]]:
    with app.desk.inside() as connection:
        found: list[tuple[Any, ...]] = connection.execute(
            "SELECT who, action, subject, details FROM audit WHERE action = 'settings' ORDER BY audit_id"
        ).fetchall()
    return found


# ---------------------------------------------------------------- field by field


def test_before_anything_is_told_the_defaults_hold(app: App) -> None:
    assert traffic(app) == Settings()
    assert zone(app) == ZONE
    assert app.settings.history() == app.settings.history("traffic") == []


def test_a_field_is_told_and_the_others_stay(app: App) -> None:
    began = now()
    assert app.settings.change("traffic", {"safety_factor": 2}) == Settings(safety_factor=2)
    assert app.settings.change("traffic", {"country": "SA", "cooldown_minutes": 7}) == traffic(app)
    assert traffic(app) == Settings(safety_factor=2, country="SA", cooldown_minutes=7)
    history = app.settings.history("traffic")
    assert [(each.field, each.value) for each in history] == [
        ("safety_factor", 2), ("country", "SA"), ("cooldown_minutes", 7),
    ]  # fmt: skip
    assert {each.changed_by for each in history} == {app.desk.who}
    times = [each.changed_at for each in history]
    assert times == sorted(times)
    assert began - timedelta(seconds=1) <= times[0] <= now()
    assert history[0].changed_at.tzinfo is not None


def test_who_told_it_is_kept(app: App) -> None:
    App(replace(app.desk, who="ayse")).settings.change("traffic", {"country": "TR"})
    (one,) = app.settings.history("traffic")
    assert one.changed_by == "ayse"
    assert audited(app) == [("ayse", "settings", "traffic", {"country": "TR"})]


def test_none_goes_back_to_the_default(app: App) -> None:
    app.settings.change("traffic", {"safety_factor": 2, "hourly_cost_cap": 3})
    assert app.settings.change("traffic", {"safety_factor": None}) == Settings(hourly_cost_cap=3)
    assert traffic(app).safety_factor == 3.0
    assert [(each.field, each.value) for each in app.settings.history("traffic")][-1] == ("safety_factor", None)
    app.settings.change("tenant", {"zone": OTHER})
    app.settings.change("tenant", {"zone": None})
    assert zone(app) == ZONE


def test_objects_are_merged_and_lists_replaced(app: App) -> None:
    def services(patch: Any) -> dict[str, Any]:
        made = app.settings.change("traffic", {"services": patch})
        assert isinstance(made, Settings)
        return {name: each.model_dump(exclude_defaults=True) for name, each in made.services.items()}

    assert services({"a": {"capacity_per_pod": 50, "max_replicas": 9}}) == {
        "a": {"capacity_per_pod": 50, "max_replicas": 9}
    }
    assert services({"b": {"capacity_per_pod": 20}}).keys() == {"a", "b"}
    assert services({"a": {"max_replicas": None, "min_replicas": 2}})["a"] == {
        "capacity_per_pod": 50,
        "min_replicas": 2,
    }
    assert services({"a": None, "nobody": None}) == {"b": {"capacity_per_pod": 20}}
    assert services(None) == {}
    event = {"name": "launch", "start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}
    app.settings.change("traffic", {"events": [event, event]})
    app.settings.change("traffic", {"events": [{**event, "name": "campaign"}]})
    assert [each.name for each in traffic(app).events] == ["campaign"]


@pytest.mark.parametrize(("old", "patch", "new"), [  # RFC 7396, appendix A
    ({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}), ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}), ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}), (["a", "b"], ["c", "d"], ["c", "d"]), ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None), ({"a": "foo"}, "bar", "bar"), ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}), ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
])  # fmt: skip
def test_a_patch_is_that_of_the_standard(old: Any, patch: Any, new: Any) -> None:
    assert merged(old, patch) == new


# ---------------------------------------------------------------- what can't be


@pytest.mark.parametrize(("domain", "values", "words"), [
    ("traffic", {"colour": "red"}, "traffic has no setting colour; there are country, latitude"),
    ("traffic", {"zone": "Asia/Riyadh"}, "no setting zone"),
    ("tenant", {"country": "TR"}, "tenant has no setting country; there are zone"),
    ("traffic", {}, "nothing to set"),
    ("traffic", {"safety_factor": 0.5}, "safety_factor: .*greater than or equal to 1"),
    ("traffic", {"safety_factor": math.nan}, "safety_factor"),
    ("traffic", {"hourly_cost_cap": math.inf}, "hourly_cost_cap"),
    ("traffic", {"services": {"api": {"max_replicas": 51}}}, r"services\.api\.max_replicas"),
    ("traffic", {"services": {"api": {"min_replicas": 9, "max_replicas": 3}}}, r"services\.api.*min_replicas 9"),
    ("traffic", {"services": {"api": {"cores": 3}}}, r"services\.api\.cores"),
    ("traffic", {"services": [1]}, "services"),
    ("traffic", {"scale_in": "always"}, "scale_in: .*'never' or 'forecast'"),
    ("traffic", {"events": [{"name": "x", "start": "2026-03-01T00:00:00", "end": "2026-03-02T00:00:00Z"}]}, "events"),
    ("tenant", {"zone": "Mars/Olympus"}, "zone: .*no time zone 'Mars/Olympus'"),
    ("tenant", {"zone": "../../etc/passwd"}, "zone"),
    ("tenant", {"zone": ""}, "zone"),
    ("tenant", {"zone": 7}, "zone"),
    ("traffic", {"services": {"a\0b": {}}}, "text"),
    ("traffic", {"services": {"\ud800": {}}}, "text|surrog|unicode"),
])  # fmt: skip
def test_what_can_not_be_is_refused_and_nothing_is_kept(app: App, domain: str, values: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        app.settings.change(domain, values)
    assert ([*app.settings.history(domain)], audited(app)) == ([], [])


def test_one_wrong_field_keeps_the_good_ones_out_too(app: App) -> None:
    with pytest.raises(InvalidRequest):
        app.settings.change("traffic", {"country": "TR", "safety_factor": 0})
    assert traffic(app) == Settings()


def test_two_fields_that_do_not_go_together_are_seen_together(app: App) -> None:
    app.settings.change("traffic", {"services": {"api": {"max_replicas": 3}}})
    with pytest.raises(InvalidRequest, match="min_replicas 4 is more than max_replicas 3"):
        app.settings.change("traffic", {"services": {"api": {"min_replicas": 4}}})


@pytest.mark.parametrize("announced", [
    {"hijri_year": 1447, "month": 9, "start": "2020-01-01"}, {"hijri_year": 1, "month": 9, "start": "0622-04-01"},
])  # fmt: skip
def test_an_announcement_that_can_not_be_is_refused_when_it_is_told(app: App, announced: Any) -> None:
    """Else every prediction from then on is refused for it."""
    app.import_(METRICS, steady())
    with pytest.raises(InvalidRequest, match="announced"):
        app.settings.change("traffic", {"announced": [announced]})
    app.predict(LOAD, {"service": "api"})


@pytest.mark.parametrize(("start", "end"), [
    ("0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00Z"), ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"),
    ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
])  # fmt: skip
def test_an_event_of_any_time_is_refused_or_does_no_harm(app: App, start: str, end: str) -> None:
    app.import_(METRICS, steady())
    try:
        app.settings.change("traffic", {"events": [{"name": "x", "start": start, "end": end}]})
    except InvalidRequest:
        return
    app.predict(LOAD, {"service": "api"})


def test_values_of_python_are_taken_or_refused(app: App) -> None:
    values = {"announced": [{"hijri_year": 1448, "month": 10, "start": date(2027, 3, 9)}]}
    try:
        app.settings.change("traffic", values)
    except InvalidRequest:
        return
    assert traffic(app).announced[0].start == date(2027, 3, 9)


def test_unknown_domains_are_not_found(app: App) -> None:
    for verb in (app.settings.show, app.settings.history, lambda name: app.settings.change(name, {"zone": ZONE})):
        with pytest.raises(NotFound, match=r"there are .*traffic"):
            verb("weather")


@pytest.mark.parametrize("name", ["traffic.load", "traffic.nothing", "tenant.zone"])
def test_what_is_no_domain_takes_no_settings_that_would_never_hold(app: App, name: str) -> None:
    """A task's name is its domain's or nobody's; told under a name of its own it would be lost."""
    try:
        app.settings.change(name, {"safety_factor": 2})
    except ForetellError:
        return
    assert traffic(app).safety_factor == 2


def test_an_unknown_tenant_has_no_settings(app: App) -> None:
    nobody = App(replace(app.desk, tenant=f"ngo-{uuid4().hex[:8]}"))
    for ask in (
        nobody.settings.show,
        nobody.settings.history,
        lambda: nobody.settings.change("tenant", {"zone": ZONE}),
    ):
        with pytest.raises(NotFound, match="foretell tenant add"):
            ask()


# ---------------------------------------------------------------- audit, tenants, threads


@pytest.mark.row("T17")
def test_every_change_is_in_the_audit_log_by_the_same_transaction(app: App) -> None:
    app.settings.change("traffic", {"services": {"a": {"capacity_per_pod": 5}}})
    app.settings.change("traffic", {"services": {"b": {"capacity_per_pod": 6}}, "country": "TR"})
    app.settings.change("tenant", {"zone": OTHER})
    assert [(subject, sorted(details)) for _, _, subject, details in audited(app)] == [
        ("traffic", ["services"]), ("traffic", ["country", "services"]), ("tenant", ["zone"]),
    ]  # fmt: skip
    with app.desk.inside() as connection:
        deeds = connection.execute("SELECT xmin::text, at FROM audit WHERE action = 'settings' ORDER BY 1").fetchall()
        kept = connection.execute("SELECT DISTINCT xmin::text, domain FROM settings_changes ORDER BY 1").fetchall()
    assert [number for number, _ in deeds] == [number for number, _ in kept]


def test_another_tenant_sees_nothing_of_it(app: App) -> None:
    other = neighbour(app)
    app.settings.change("traffic", {"safety_factor": 2})
    app.settings.change("tenant", {"zone": OTHER})
    assert (traffic(other), zone(other), other.settings.history("traffic")) == (Settings(), ZONE, [])
    other.settings.change("traffic", {"country": "TR"})
    assert traffic(app) == Settings(safety_factor=2)
    assert audited(other) == [(other.desk.who, "settings", "traffic", {"country": "TR"})]


def test_changes_at_once_lose_nothing(app: App) -> None:
    fields: dict[str, Any] = {
        "country": "TR", "safety_factor": 2.0, "hourly_cost_cap": 3.0, "cooldown_minutes": 7, "scale_in": "never",
        "hysteresis": 0.2, "madhab": "hanafi", "latitude": 41.0,
    }  # fmt: skip
    patches = [{name: value} for name, value in fields.items()]
    patches += [{"services": {f"s{k}": {"capacity_per_pod": k + 1}}} for k in range(16)]
    with App.open(app.tenant) as other, ThreadPoolExecutor(8) as pool:
        apps = [app, other] * len(patches)
        done = [pool.submit(each.settings.change, "traffic", patch) for each, patch in zip(apps, patches, strict=False)]
        for one in done:
            one.result()
    made = traffic(app)
    assert {name: getattr(made, name) for name in fields} == fields
    assert {name: each.capacity_per_pod for name, each in made.services.items()} == {f"s{k}": k + 1 for k in range(16)}
    assert len(app.settings.history("traffic")) == len(patches)
    times = [each.changed_at for each in app.settings.history("traffic")]
    assert times == sorted(times)


def test_what_held_at_a_moment_is_not_changed_afterwards(app: App) -> None:
    """Somebody who waits for their turn tells it when they have it, not when they began to wait."""
    app.settings.change("traffic", {"safety_factor": 2})
    with ThreadPoolExecutor(1) as pool:
        with app.desk.inside() as connection:
            decisions.alone(connection, app.tenant, "settings of traffic")
            waiting = pool.submit(app.settings.change, "traffic", {"safety_factor": 4})
            sleep(0.5)
            moment = now()
            held = traffic(app, moment)
        waiting.result()
    assert traffic(app).safety_factor == 4
    assert held.safety_factor == 2
    assert traffic(app, moment) == held
