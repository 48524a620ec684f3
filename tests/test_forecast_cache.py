"""A forecast is made once for the same facts, model and questions; every answer is on record all the same."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from time import sleep
from typing import Any
from uuid import uuid4

import polars as pl
import pytest

from foretell.app import App, shelf
from foretell.app.house import LASTING
from foretell.app.opening import add_tenant
from foretell.domains.traffic.sample import END, ZONE, sample
from foretell.domains.traffic.schema import LoadAnswer
from foretell.engine.predict import Prediction

LOAD, METRICS = "traffic.load", "traffic.metrics"
SMALL = {"current_replicas": 10, "capacity_per_pod": 50.0}
LARGE = {"current_replicas": 10, "capacity_per_pod": 1000.0, "cost_per_replica_hour": 1.0}


def rows(service: str | None = None) -> pl.DataFrame:
    """Three weeks of a service, both where none is named."""
    kept = sample(1).history["metrics"].filter(pl.col("time") > END - timedelta(days=21)).drop("entity")
    return kept if service is None else kept.filter(pl.col("service") == service)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """A tenant with facts and no model yet; what is trained here is not tried in a process of its own."""
    monkeypatch.setattr(shelf, "try_in_child", lambda *_, **__: None)
    with App.open(f"ngo-{uuid4().hex[:8]}", zone=ZONE) as made:
        made.import_(METRICS, rows())
        yield made


def ask(app: App, service: str = "donations", **more: Any) -> Prediction:
    return app.predict(LOAD, {"service": service} | more, as_of=more.pop("as_of", "latest"))


def train(app: App, hours: int = 0) -> str:
    """A new version, trained at a moment so long before the end."""
    trained, verdict = app.train(LOAD, as_of=END - timedelta(hours=hours), budget=0.0)
    assert verdict.promote
    return trained.model.card.version


def hours(said: Prediction) -> Any:
    assert isinstance(said.answer, LoadAnswer)
    return said.answer.hours


def replicas(said: Prediction) -> int:
    assert isinstance(said.answer, LoadAnswer)
    assert said.answer.scaling
    return said.answer.scaling.recommended_replicas


@pytest.mark.row("T14")
def test_a_forecast_is_made_once_until_facts_or_model_change_and_every_answer_is_on_record(app: App) -> None:
    first = train(app, hours=2)
    said = [ask(app), ask(app), ask(app, workload=SMALL), ask(app, workload=LARGE)]
    assert [one.cached for one in said] == [False, True, True, True]
    assert hours(said[0]) == hours(said[1]) == hours(said[2]) == hours(said[3])
    assert replicas(said[2]) != replicas(said[3])  # another decision on the same forecast
    second = train(app)
    said += [ask(app), ask(app)]
    app.import_(METRICS, rows("donations").tail(1).with_columns(value=pl.lit(7.0)))
    said += [ask(app), ask(app)]
    assert [one.cached for one in said[4:]] == [False, True, False, True]
    assert [one.card.version for one in said] == [first] * 4 + [second] * 4
    found = app.predictions.list(LOAD)
    assert [one.served.prediction_id for one in found] == [one.id for one in reversed(said)]
    assert [one.served.answer for one in found] == [one.answer.model_dump(mode="json") for one in reversed(said)]
    assert [one.served.marks[METRICS] for one in found] == [2, 2, 1, 1, 1, 1, 1, 1]


def test_another_service_moment_or_number_of_hours_is_another_forecast(app: App) -> None:
    assert not ask(app).cached
    assert not ask(app, "checkout").cached
    assert not ask(app, hours=5).cached
    assert not app.predict(LOAD, {"service": "donations"}, as_of=END - timedelta(hours=30)).cached
    for again in (ask(app), ask(app, "checkout"), ask(app, hours=5)):
        assert again.cached
    assert app.predict(LOAD, {"service": "donations"}, as_of=END - timedelta(hours=30)).cached


def test_new_facts_are_seen_at_once(app: App) -> None:
    before = ask(app)
    late = rows("donations").tail(1).with_columns(pl.col("time", "known_at") + timedelta(hours=1))
    app.import_(METRICS, late)
    after = ask(app)
    assert (before.cached, after.cached) == (False, False)
    assert (after.as_of, after.known_at) == (END + timedelta(hours=1), END + timedelta(hours=1))
    assert hours(after)[0].start == hours(before)[0].start + timedelta(hours=1)


def test_a_correction_is_seen_at_once(app: App) -> None:
    before = ask(app)
    app.import_(METRICS, rows("donations").with_columns(pl.col("value") * 2))
    after = ask(app)
    assert not after.cached
    assert [hour.expected for hour in hours(after)] == pytest.approx([2 * hour.expected for hour in hours(before)])


def test_facts_of_another_process_are_seen_at_once(app: App) -> None:
    ask(app)
    with App.open(app.tenant) as other:
        assert not ask(other).cached  # its memory is its own
        other.import_(METRICS, rows("donations").with_columns(pl.col("value") * 2))
    assert not ask(app).cached


def test_what_changes_no_fact_leaves_the_forecast(app: App) -> None:
    ask(app)
    app.import_(METRICS, rows())
    bad = rows("donations").tail(1).with_columns(value=pl.lit(-1.0))
    assert app.import_(METRICS, bad).rejected == 1
    assert ask(app).cached


def test_a_training_that_promotes_nothing_leaves_the_forecast(app: App) -> None:
    version = train(app, hours=2)
    ask(app)
    app.models.pin(LOAD, version)
    _, verdict = app.train(LOAD, as_of=END, budget=0.0)
    assert not verdict.promote
    again = ask(app)
    assert (again.cached, again.card.version) == (True, version)


def test_the_first_model_answers_at_once(app: App) -> None:
    before = ask(app)
    version = train(app)
    after = ask(app)
    assert (before.card.version, after.card.version) == ("untrained", version)
    assert (before.cached, after.cached) == (False, False)
    assert (before.fallback is None, after.fallback) == (False, None)


def test_after_a_rollback_no_answer_is_of_the_version_before_it(app: App) -> None:
    """What the older version said of the same facts before may serve again: it would say the same."""
    first = train(app, hours=2)
    older = ask(app)
    second = train(app)
    assert [ask(app).cached, ask(app).cached] == [False, True]
    assert app.models.rollback(LOAD) == first
    back = ask(app)
    assert back.card.version == first
    assert hours(back) == hours(older)
    assert not ask(app, hours=7).cached
    app.models.promote(LOAD, second)
    assert ask(app).card.version == second
    assert not ask(app, hours=7).cached


def test_a_rollback_in_another_process_is_seen_at_once(app: App) -> None:
    first, second = train(app, hours=2), train(app)
    assert ask(app).card.version == second
    with App.open(app.tenant) as other:
        other.models.rollback(LOAD)
    back = ask(app)
    assert (back.cached, back.card.version) == (False, first)


def test_a_recalibration_answers_at_once(app: App) -> None:
    train(app, hours=48)
    for k in range(24):
        app.predict(LOAD, {"service": "donations"}, as_of=END - timedelta(hours=30 + k))
    ask(app)
    version = app.recalibrate(LOAD, as_of="latest").card.version
    after = ask(app)
    assert (after.cached, after.card.version) == (False, version)


def test_nothing_is_said_again_after_five_minutes(app: App) -> None:
    assert LASTING == app.house.histories.lasting == 300.0
    app.house.histories.lasting = 0.5
    assert [ask(app).cached, ask(app).cached] == [False, True]
    sleep(0.6)
    assert [ask(app).cached, ask(app).cached] == [False, True]


def test_nothing_is_said_again_where_there_is_no_memory(app: App) -> None:
    app.house.histories.limit = 0
    assert [ask(app).cached, ask(app).cached] == [False, False]
    assert len(app.predictions.list(LOAD)) == 2


def test_other_settings_are_another_forecast(app: App) -> None:
    ask(app)
    app.settings.change("traffic", {"country": "SA"})
    assert [ask(app).cached, ask(app).cached] == [False, True]


def test_two_tenants_of_one_process_share_nothing(app: App) -> None:
    name = f"ngo-{uuid4().hex[:8]}"
    add_tenant(name, zone=ZONE)
    other = App(replace(app.desk, tenant=name))
    other.import_(METRICS, rows().with_columns(pl.col("value") * 3))
    mine, theirs = ask(app), ask(other)
    assert (mine.cached, theirs.cached) == (False, False)
    assert hours(theirs)[0].expected == pytest.approx(3 * hours(mine)[0].expected)
    app.import_(METRICS, rows("donations").tail(1).with_columns(value=pl.lit(7.0)))
    assert (ask(app).cached, ask(other).cached) == (False, True)
    assert [len(each.predictions.list(LOAD)) for each in (app, other)] == [2, 2]


def test_a_batch_that_is_asked_again_is_not_forecast_again(app: App) -> None:
    batch = [(LOAD, {"service": service}) for service in ("donations", "checkout", "nobody", "donations")]
    told = [
        [one.cached if isinstance(one, Prediction) else None for one in app.predict_many(batch, as_of="latest")]
        for _ in range(2)
    ]
    assert told == [[False, False, None, False], [True, True, None, True]]
    assert len(app.predictions.list(LOAD)) == 6


def test_threads_that_ask_at_once_are_all_answered_alike_and_all_on_record(app: App) -> None:
    train(app)
    with ThreadPoolExecutor(8) as pool:
        said = [*pool.map(lambda number: ask(app, workload=SMALL | {"current_replicas": number + 1}), range(24))]
    assert all(hours(one) == hours(said[0]) for one in said)
    assert sum(not one.cached for one in said) <= 8
    found = {one.served.prediction_id: one.served.answer for one in app.predictions.list(LOAD)}
    assert found == {one.id: one.answer.model_dump(mode="json") for one in said}


def test_threads_never_get_a_forecast_on_facts_older_than_those_they_saw(app: App) -> None:
    """Values grow with every import: once an import is through, no answer is of the values before it."""
    done, wrong = [1], list[str]()

    def reader(_: int) -> None:
        while done[-1] < 6:
            least = done[-1]
            found = ask(app)
            row = found.questions.height
            assert row == 4
            scale = hours(found)[0].expected / base
            if scale < least * 0.99:
                wrong.append(f"{scale} after {least}")

    base = hours(ask(app))[0].expected
    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(reader, number) for number in range(3)]
        for factor in range(2, 7):
            app.import_(METRICS, rows("donations").with_columns(pl.col("value") * factor))
            done.append(factor)
        for each in readers:
            each.result()
    assert wrong == []
