"""What was said is on record with its number, and people can say how it turned out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import polars as pl
import pytest

from foretell.app import App
from foretell.app.tenancy import Tenancy
from foretell.domains.traffic.sample import END, ZONE, sample
from foretell.engine.predict import Prediction
from foretell.errors import InvalidRequest, NotFound

LOAD, ASKED = "traffic.load", {"service": "donations"}


def rows() -> pl.DataFrame:
    recent = pl.col("time") > END - timedelta(days=21)
    return sample(1).history["metrics"].filter(recent, pl.col("service") == "donations").drop("entity")


def fresh() -> App:
    made = App.open(f"ngo-{uuid4().hex[:8]}", zone=ZONE)
    made.import_("traffic.metrics", rows())
    return made


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with fresh() as made:
        yield made


@pytest.fixture(scope="module")
def other() -> Iterator[App]:
    """Another tenant with the same facts."""
    with fresh() as made:
        yield made


def said(app: App, **more: Any) -> Prediction:
    made = app.predict(LOAD, ASKED | more, as_of="latest")
    assert made.id
    return made


def test_every_answer_is_on_record_under_its_number() -> None:
    with fresh() as app:
        one = said(app, hours=3)
        (found,) = app.predictions.list(LOAD)
    assert found.feedback == []
    assert found.served.prediction_id == one.id
    assert found.served.answer == one.answer.model_dump(mode="json")
    assert found.served.request["hours"] == 3
    assert (found.served.method, found.served.version) == (one.method, one.card.version)
    assert (found.served.fallback, found.served.as_of) == (one.fallback, one.as_of)
    assert found.served.prediction_count == 3
    assert found.served.marks == {"traffic.metrics": 1}


def test_each_of_a_batch_has_a_number_of_its_own() -> None:
    with fresh() as app:
        good = (LOAD, ASKED)
        answers = app.predict_many([good, (LOAD, {"service": "nobody"}), good, (LOAD, {"hours": 99})], as_of="latest")
        numbers = [one.id for one in answers if isinstance(one, Prediction)]
        assert len({*numbers}) == 2
        assert {one.served.prediction_id for one in app.predictions.list(LOAD)} == {*numbers}


def test_the_last_come_first_page_by_page() -> None:
    with fresh() as app:
        numbers = [said(app).id for _ in range(5)]
        pages, before = [], None
        while page := app.predictions.list(LOAD, limit=2, before=before):
            pages.append([one.served.prediction_id for one in page])
            before = page[-1].served.predicted_at
        assert pages == [[numbers[4], numbers[3]], [numbers[2], numbers[1]], [numbers[0]]]


def test_pages_leave_nothing_of_a_batch_out() -> None:
    with fresh() as app:
        answers = app.predict_many([(LOAD, ASKED | {"hours": hours}) for hours in range(1, 6)], as_of="latest")
        seen, before = list[Any](), None
        while page := app.predictions.list(LOAD, limit=2, before=before):
            seen += [one.served.prediction_id for one in page]
            before = page[-1].served.predicted_at
        assert {*seen} == {one.id for one in answers if isinstance(one, Prediction)}


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_bounds(app: App, limit: int) -> None:
    with pytest.raises(InvalidRequest, match="1 to 1,000"):
        app.predictions.list(LOAD, limit=limit)


def test_an_unknown_task_or_tenant_has_no_predictions(app: App) -> None:
    with pytest.raises(NotFound, match=r"traffic\.load"):
        app.predictions.list("traffic.nothing")
    nobody = App(Tenancy(house=app.house, tenant="nobody-yet", who="me"))
    with pytest.raises(NotFound, match="foretell tenant add nobody-yet"):
        nobody.predictions.list(LOAD)


def test_feedback_is_kept_with_the_prediction_and_who_gave_it(app: App) -> None:
    one, silent = said(app), said(app)
    assert one.id
    begun = datetime.now(UTC)
    app.predictions.feedback(one.id, outcome=231.5)
    ayse = App(replace(app.desk, who="ayse"))
    ayse.predictions.feedback(one.id, outcome="late", helpful=False, note="ü")
    ayse.predictions.feedback(one.id, helpful=True)
    found = {each.served.prediction_id: each.feedback for each in app.predictions.list(LOAD)}
    assert [(f.given_by, f.outcome, f.helpful, f.note) for f in found[one.id]] == [
        ("somebody at this machine", 231.5, None, None),
        ("ayse", "late", False, "ü"),
        ("ayse", None, True, None),
    ]
    assert all(f.given_at and abs(f.given_at - begun) < timedelta(minutes=1) for f in found[one.id])
    assert silent.id
    assert found[silent.id] == []


@pytest.mark.parametrize("outcome", [0.0, "", -1.5])
def test_an_outcome_of_nothing_is_an_outcome(app: App, outcome: float | str) -> None:
    one = said(app)
    assert one.id
    app.predictions.feedback(one.id, outcome=outcome)
    (told,) = app.predictions.list(LOAD, limit=1)[0].feedback
    assert told.outcome == outcome


def test_feedback_needs_something_to_say(app: App) -> None:
    one = said(app)
    assert one.id
    for note in (None, ""):
        with pytest.raises(InvalidRequest, match="give an outcome, helpful or a note"):
            app.predictions.feedback(one.id, note=note)
    assert app.predictions.list(LOAD, limit=1)[0].feedback == []


@pytest.mark.parametrize(
    "bad",
    [{"outcome": float("nan")}, {"outcome": float("-inf")}, {"outcome": "a\0b"}, {"note": "\0"}, {"note": "\ud800"}],
)
def test_feedback_that_can_not_be_kept_is_refused(app: App, bad: dict[str, Any]) -> None:
    one = said(app)
    assert one.id
    with pytest.raises(InvalidRequest):
        app.predictions.feedback(one.id, **bad)
    assert app.predictions.list(LOAD, limit=1)[0].feedback == []


def test_a_request_that_can_not_be_kept_is_refused(app: App) -> None:
    for service in ("a\0b", "\ud800"):
        with pytest.raises(InvalidRequest):
            app.predict(LOAD, {"service": service}, as_of="latest")


def test_anothers_prediction_is_as_one_that_is_not_there(app: App, other: App) -> None:
    theirs = said(other)
    assert theirs.id
    words = []
    for number in (theirs.id, uuid4()):
        with pytest.raises(NotFound) as refused:
            app.predictions.feedback(number, helpful=False, note="not mine")
        words.append(str(refused.value).replace(str(number), "…"))
    assert words[0] == words[1] == "there is no prediction …"
    assert theirs.id not in {one.served.prediction_id for one in app.predictions.list(LOAD)}
    assert other.predictions.list(LOAD, limit=1)[0].feedback == []
