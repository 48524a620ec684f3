"""What is looked at every week, by the document's own queries and by ours; and what areas were told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from click.testing import CliRunner
from tests.realestate.test_vectors import PERSON, TASK, bring
from tests.web.conftest import tenancy

from foretell.app import App
from foretell.app.refreshing import refresh
from foretell.cli import cli
from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.sample import PEOPLE
from foretell.errors import InvalidRequest, NotFound, NotReady
from foretell.stores import records

# As the document prints them, but for the sum: it counts predictions of many requests.
QUALITY = """
SELECT
    feature_name,
    null_rate,
    mean_value,
    std_dev
FROM ml_features
WHERE last_updated >= NOW() - INTERVAL '7 days'
ORDER BY null_rate DESC;
"""
PERFORMANCE = """
SELECT
    model_name,
    version,
    SUM(prediction_count),
    AVG(confidence) as avg_confidence
FROM ml_predictions
WHERE predicted_at >= NOW() - INTERVAL '7 days'
GROUP BY model_name, version;
"""
DRIFT = """
SELECT
    model_id,
    period_start,
    drift_detected,
    feature_drift
FROM ml_monitoring
WHERE period_start >= NOW() - INTERVAL '7 days'
AND drift_detected = true;
"""
OF_PEOPLE = (TASK, "realestate.transaction_type")  # they make the same features
LONG_AGO = timedelta(days=400)  # since then every outcome is known


@pytest.fixture(scope="module")
def agency() -> Iterator[App]:
    """A tenant with the sample's people, moved to these days, and a small model.

    It was looked at three times: with nothing to compare, when a feature had drifted, and once more after that.
    """
    with tenancy() as app:
        bring(app)
        app.train(TASK, budget=5.0)
        refresh(app.desk, app.desk.task(TASK))
        with app.desk.transaction() as connection:
            for name, count, mean in (("property_size", 300, 100), ("session_count_90d", 5, 5000)):
                connection.execute(
                    "INSERT INTO ml_features (tenant_id, task, feature_name, day, counted, null_rate, mean_value,"
                    " std_dev) VALUES (%s, %s, %s, current_date - 20, %s, 0, %s, 10)",
                    [app.tenant, TASK, name, count, mean],
                )
        for _ in range(2):
            refresh(app.desk, app.desk.task(TASK))
        app.predict(TASK, {"person": PERSON}, as_of=datetime.now(UTC) - LONG_AGO)
        app.watch(TASK)  # how forecasts turned out stands beside
        yield app


def asked(app: App, query: str) -> list[tuple[Any, ...]]:
    """What a query answers in a transaction of the tenant."""
    with app.desk.transaction() as connection:
        found: list[tuple[Any, ...]] = connection.execute(query.encode()).fetchall()
    return found


def looks(app: App) -> list[tuple[Any, ...]]:
    return asked(
        app,
        "SELECT model_id, prediction_count, drift_detected, feature_drift, period_end - period_start"
        " FROM ml_monitoring WHERE feature_drift IS NOT NULL ORDER BY monitoring_id",
    )


@pytest.mark.row("R10")
def test_a_refresh_says_what_has_drifted_and_health_tells_it(agency: App) -> None:
    drift = {one.feature_name: one.drift for one in agency.features.statistics(TASK)}
    size, sessions = drift["property_size"], drift["session_count_90d"]
    assert size is not None
    assert sessions is not None
    assert size > 0.5
    assert sessions < -100  # of a handful, which says nothing
    day, found = timedelta(days=1), {"property_size": round(size, 3)}
    nothing: list[tuple[Any, ...]] = [(name, PEOPLE, None, {}, day) for name in OF_PEOPLE]  # there was nothing before
    assert looks(agency) == nothing + [(name, PEOPLE, True, found, day) for name in OF_PEOPLE]  # the same is no news
    assert [agency.models.health(name).drift_detected for name in OF_PEOPLE] == [True, True]
    assert agency.models.health("realestate.contact").drift_detected is None
    (notice,) = agency.notices.list()  # told once, though it was found twice
    assert (notice.about, notice.severity, notice.findings[0]["kind"]) == (TASK, "medium", "drift")
    assert notice.findings[0]["evidence"] == found
    with tenancy() as app:
        bring(app)
        refresh(app.desk, app.desk.task(TASK))
        assert app.models.health(TASK).drift_detected is None


@pytest.mark.row("R10")
def test_the_three_weekly_queries_of_the_document_answer(agency: App) -> None:
    said = [agency.predict(f"realestate.{name}", {"person": PERSON}).answer for name in ("transaction_type", "contact")]
    agency.predict("realestate.value", {"property": "h0000042"})
    features = asked(agency, QUALITY)
    assert {name for name, *_ in features} >= {*CATALOGUE.names()}
    rates = [rate for _, rate, *_ in features]
    assert rates == sorted(rates, reverse=True)
    models = {name: (version, count, sure) for name, version, count, sure in asked(agency, PERFORMANCE)}
    assert {*models} == {*OF_PEOPLE, "realestate.contact", "realestate.value"}
    assert all(0 < sure <= 1 for _, _, sure in models.values())
    assert models[TASK][0] == agency.models.list(TASK)[0].version
    assert [models[f"realestate.{name}"][2] for name in ("transaction_type", "contact")] == [
        pytest.approx(one.confidence)  # type: ignore[attr-defined]
        for one in said
    ]
    assert models["realestate.value"][1:] == (2, 0.8)  # now and later; four of five
    drifted = asked(agency, DRIFT)
    assert {(name, one["property_size"] > 0.5) for name, _, _, one in drifted} == {(name, True) for name in OF_PEOPLE}
    with tenancy() as other:
        assert [asked(other, query) for query in (QUALITY, PERFORMANCE, DRIFT)] == [[], [], []]


def test_the_review_is_the_three_of_them(agency: App) -> None:
    told = agency.reviews.show()
    assert [one.feature_name for one in told.features if one.null_rate == 1][:1]
    rates = [one.worst_null_rate for one in told.features]
    assert rates == sorted(rates, reverse=True)
    assert len(told.features) == len(CATALOGUE.names())  # a row each, of its newest day
    queried = {(name, version): (count, sure) for name, version, count, sure in asked(agency, PERFORMANCE)}
    assert {(one.model_name, one.version): (one.prediction_count, one.avg_confidence) for one in told.models} == queried
    (move,) = (one for one in told.models if one.model_name == TASK)
    assert move.turned_out is not None
    assert move.turned_out["settled"] == 1
    assert {(one.model_id, one.entities) for one in told.drift} == {(name, PEOPLE) for name in OF_PEOPLE}
    with pytest.raises(InvalidRequest, match="1 or more"):
        agency.reviews.show(days=0)


def test_the_review_on_the_command_line(agency: App) -> None:
    said = CliRunner().invoke(cli, ["review", "--tenant", agency.tenant, "--days", "7"])
    assert said.exit_code == 0, said.output
    assert "100% missing" in said.output
    assert "property_size +" in said.output
    told = json.loads(CliRunner().invoke(cli, ["review", "--tenant", agency.tenant, "--json"]).output)
    assert {one["model_name"] for one in told["models"]} >= {TASK}


def plant(app: App) -> None:
    """Predictions of everybody long ago, as if areas had been told otherwise: `loud` high far more often than `quiet`.

    `few` are ten people; who is where has nothing to do with who moved.
    """
    then = datetime.now(UTC) - LONG_AGO
    assert len([*app.predict_each(TASK, {"reasons": False}, as_of=then)]) == PEOPLE
    with app.desk.transaction() as connection:
        served = records.served(connection, app.tenant, TASK)
        connection.execute("DELETE FROM ml_predictions WHERE tenant_id = %s", [app.tenant])
        for k, one in enumerate(sorted(served, key=lambda one: one.request["person"])):
            area = "few" if k < 10 else "loud" if k % 3 == 0 else "quiet"
            level = "HIGH" if area == "few" or k % (5 if area == "loud" else 20) < 2 else "LOW"
            request, answer = {**one.request, "area": area}, {**one.answer, "level": level}
            records.log(connection, app.tenant, [replace(one, request=request, answer=answer, prediction_id=uuid4())])


def test_an_area_that_is_called_high_more_often_is_flagged_and_few_people_are_not() -> None:
    with tenancy() as app:
        bring(app)
        with pytest.raises(NotReady, match="nothing was said"):
            app.reviews.parity(TASK, by="area")
        plant(app)
        found = app.reviews.parity(TASK, by="area")
        by = {one.value: one for one in found.groups}
        assert {name: one.flagged for name, one in by.items()} == {"loud": True, "quiet": True, "few": None}
        assert by["loud"].high == pytest.approx(0.4, abs=0.05)
        assert by["quiet"].high == pytest.approx(0.1, abs=0.05)
        moved = app.history(TASK)["transactions"].filter(pl.col("kind").is_in(["BUY", "SELL"]))
        assert found.overall.known == PEOPLE
        assert found.overall.happened is not None
        assert 0 < found.overall.happened < moved["entity"].n_unique() / PEOPLE
        assert found.overall.gap == pytest.approx(found.overall.chance - found.overall.happened)
        said = CliRunner().invoke(cli, ["parity", TASK, "--tenant", app.tenant, "--by", "area"])
        assert said.exit_code == 0, said.output
        assert [line.split()[0] for line in said.output.splitlines() if "FLAGGED" in line] == ["quiet", "loud"]
        assert "nothing claimed" in said.output
        as_json = CliRunner().invoke(cli, ["parity", TASK, "--tenant", app.tenant, "--by", "area", "--json"])
        assert json.loads(as_json.output) == found.model_dump(mode="json")
        with pytest.raises(NotFound, match="have no 'street'; they have person, property, area"):
            app.reviews.parity(TASK, by="street")
        with pytest.raises(NotFound, match="parity is of chances"):
            app.reviews.parity("realestate.value", by="property")
        assert {one.value for one in app.reviews.parity(TASK, by="reasons").groups} == {"false"}
        app.predict(TASK, {"person": PERSON, "features": {"session_count_7d": 3}})
        with pytest.raises(InvalidRequest, match="many values"):
            app.reviews.parity(TASK, by="features")


def test_parity_of_what_was_said_is_by_the_areas_of_then(agency: App) -> None:
    assert len([*agency.predict_each(TASK, {"reasons": False})]) == PEOPLE
    found = agency.reviews.parity(TASK, by="area", days=1)
    facts = agency.history(TASK)
    homes = facts["homes"].sort("known_at").group_by("person").last().filter("active")
    lived = homes.join(facts["properties"].sort("known_at").group_by("property").last(), on="property")
    there = dict(lived.group_by("area").len().iter_rows())
    assert {one.value: one.entities for one in found.groups if one.value} == there
    assert found.overall.entities == PEOPLE
    assert found.overall.known == 1  # who was asked about long ago
