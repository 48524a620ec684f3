"""Features that are kept: the same as those made anew, forgotten when facts come, and looked at every day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import polars as pl
import pytest
from psycopg.rows import dict_row
from tests.web.conftest import tenancy

from foretell.app import App
from foretell.app.refreshing import refresh
from foretell.contract import DataType, FeatureType, ModelStatus
from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.routes import BATCH, ModelType, PredictionType
from foretell.domains.realestate.sample import END, sample
from foretell.domains.realestate.schema import FeatureCategory
from foretell.domains.realestate.tables import EntityType
from foretell.engine.predict import Prediction
from foretell.web.server import create

TASK = "realestate.move"
PERSON = "p0000042"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def agency() -> Iterator[App]:
    """A tenant with people of the sample, moved to these days, and a model."""
    with tenancy() as app:
        bring(app)
        app.train(TASK, budget=30.0)
        yield app


def bring(app: App) -> None:
    """The sample's people, as if its world ended yesterday."""
    declared = {table.name: table for table in app.desk.domain("realestate").tables}
    ago = datetime.now(UTC).replace(microsecond=0) - DAY - END
    for name, rows in sample(1).history.tables.items():
        if rows.height:
            kept = rows.select(c for c in rows.columns if c in declared[name].kinds)
            app.import_(f"realestate.{name}", kept.with_columns(pl.col(pl.Datetime) + ago))


def kept(app: App) -> dict[str, dict[str, Any]]:
    """What is kept, by person."""
    with app.desk.transaction() as connection:
        rows = connection.execute("SELECT entity_id, feature_values FROM ml_feature_values ORDER BY 1").fetchall()
    return dict(rows)


def visit(app: App, person: str = PERSON) -> None:
    """A visit of a person, just now."""
    now = datetime.now(UTC)
    app.import_("realestate.sessions", pl.DataFrame({"person": [person], "time": [now], "pages": [3.0]}))


def chance(app: App, person: str = PERSON, **how: Any) -> Prediction:
    return app.predict(TASK, {"person": person}, **how)


def test_what_is_kept_is_what_facts_tell(agency: App) -> None:
    first = chance(agency)
    vector = kept(agency)[PERSON]
    assert {*vector} == {*CATALOGUE.names()}
    again = chance(agency)
    whole = chance(agency, as_of=again.as_of)  # on the facts themselves
    assert first.answer == again.answer.model_copy(update={"until": first.answer.until})  # type: ignore[attr-defined]
    assert again.answer.model_dump(exclude={"until"}) == whole.answer.model_dump(exclude={"until"})
    told = agency.features.compute(TASK, [{"person": PERSON}]).drop("entity", "as_of", "at").row(0, named=True)
    assert {name: vector[name] for name in told} == pytest.approx(told, nan_ok=True)
    assert again.known_at is not None


def test_a_fact_of_somebody_makes_what_is_kept_of_them_anew_and_of_nobody_else(agency: App) -> None:
    before = chance(agency).forecast.rows["chance"][0]
    chance(agency, "p0000007")
    visits = kept(agency)[PERSON]["session_count_7d"]
    visit(agency)
    assert PERSON not in kept(agency)
    assert "p0000007" in kept(agency)
    after = chance(agency)
    assert kept(agency)[PERSON]["session_count_7d"] == visits + 1
    assert after.forecast.rows["chance"][0] != before


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("properties", lambda home, area: {"property": home, "area": area, "condition": 5.0}),
        ("markets", lambda _, area: {"area": area, "index": 200.0, "known_at": datetime.now(UTC)}),
        ("homes", lambda home, _: {"person": PERSON, "property": home, "active": False}),
    ],
)
def test_so_does_a_fact_of_their_home_or_of_its_market(
    agency: App, table: str, row: Callable[[str, str], dict[str, Any]]
) -> None:
    facts = agency.history(TASK)
    home = str(facts["homes"].filter(pl.col("person") == PERSON)["property"][-1])
    area = str(facts["properties"].filter(pl.col("property") == home)["area"][-1])
    chance(agency)
    assert PERSON in kept(agency)
    told = {"time": datetime.now(UTC) - timedelta(seconds=1), **row(home, area)}
    agency.import_(f"realestate.{table}", pl.DataFrame([told]))
    assert PERSON not in kept(agency)


def test_nothing_is_kept_that_was_made_while_facts_were_coming(agency: App) -> None:
    visit(agency)
    assert PERSON not in kept(agency)
    with agency.desk.transaction() as importing:
        importing.execute("SELECT FROM data_marks WHERE table_name = 'realestate.sessions' FOR UPDATE")
        chance(agency)
    assert PERSON not in kept(agency)
    chance(agency)
    assert PERSON in kept(agency)


def test_what_was_said_is_said_again_of_that_moment_whatever_came_later(agency: App) -> None:
    said = chance(agency)
    visit(agency)
    agency.import_(
        "realestate.transactions",
        pl.DataFrame([{"transaction": "late", "person": PERSON, "kind": "SELL", "time": datetime.now(UTC) - 90 * DAY,
                       "known_at": datetime.now(UTC)}]),
    )  # fmt: skip
    now = chance(agency)
    then = chance(agency, as_of=said.as_of)
    assert now.forecast.rows["chance"][0] != said.forecast.rows["chance"][0]
    assert then.forecast.rows.equals(said.forecast.rows)
    logged = next(one for one in agency.predictions.list(TASK, limit=10) if one.served.prediction_id == said.id)
    assert then.answer.model_dump(mode="json") == logged.served.answer


def test_no_tenant_finds_what_another_keeps(agency: App) -> None:
    chance(agency)
    with tenancy() as other:
        assert kept(other) == {}
        bring(other)
        assert kept(other) == {}
        told = other.features.compute(TASK, [{"person": PERSON}], names=["session_count_7d"])
        assert told["session_count_7d"][0] != kept(agency)[PERSON]["session_count_7d"]


def test_a_refresh_makes_everybody_s_features_anew_and_says_what_they_are_like(agency: App) -> None:
    task = agency.desk.task(TASK)
    chance(agency)
    first = refresh(agency.desk, task)
    assert (first["entities"], first["differ"]) == (300, 0)
    assert first["compared"] > 0
    assert len(kept(agency)) == 300
    with agency.desk.transaction() as connection:  # something that went wrong
        connection.execute(
            "UPDATE ml_feature_values SET feature_values = feature_values || '{\"session_count_7d\": 99}'"
            " WHERE entity_id = %s",
            [PERSON],
        )
    assert refresh(agency.desk, task)["differ"] == 1
    (notice,) = agency.notices.list()
    assert (notice.about, notice.severity, notice.findings[0]["evidence"]["differ"]) == (TASK, "high", 1)
    assert kept(agency)[PERSON]["session_count_7d"] != 99
    told = {one.feature_name: one for one in agency.features.statistics(TASK)}
    assert {*told} == {*CATALOGUE.names()}
    values = [vector["session_count_90d"] for vector in kept(agency).values()]
    assert told["session_count_90d"].mean_value == pytest.approx(sum(values) / 300)
    assert told["session_count_90d"].null_rate == 0
    assert told["market_listings"].null_rate == 1
    assert told["market_listings"].mean_value is None


def test_what_features_are_and_are_worth_is_put_down_with_what_they_are_like(
    agency: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they are worth is worked out once for each version."""
    refresh(agency.desk, agency.desk.task(TASK))
    champion = agency.champion(TASK)
    assert champion is not None
    monkeypatch.setattr("foretell.app.importance.importance", lambda *_: pytest.fail("it is worked out again"))
    refresh(agency.desk, agency.desk.task(TASK))
    declared = {one.name: one for one in CATALOGUE.features}
    put_down = rows(agency)
    assert {one["feature_name"] for one in put_down} == {*declared}
    for one in put_down:
        feature = declared[one["feature_name"]]
        assert (one["category"], one["part"], one["description"]) == (feature.group, feature.part, feature.words)
        assert (one["feature_type"], one["data_type"], one["entity_type"]) == (feature.how, feature.kind, "USER")
        assert (one["version"], one["owner"], one["is_deprecated"]) == (1, "foretell", False)
        assert one["computation"] == feature.computation
        assert one["model_version"] == champion.card.version
    worth = {one["feature_name"]: one["importance"] for one in put_down}
    assert None not in worth.values()
    assert max(worth.values()) > 0
    assert "over rows of accesses by entity, in the last 7 days" in declared["doc_access_count_7d"].computation


def rows(app: App) -> list[dict[str, Any]]:
    """What is on record of features today."""
    with app.desk.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
        return list(cursor.execute("SELECT * FROM ml_features WHERE day = (SELECT max(day) FROM ml_features)"))


TABLES = {
    "ml_features": {
        "feature_name", "description", "category", "feature_type", "data_type", "entity_type", "computation", "version",
        "is_deprecated", "owner", "importance", "null_rate", "mean_value", "std_dev", "min_value", "max_value",
        "last_updated",
    },
    "ml_feature_values": {"entity_id", "feature_values", "day", "known_at", "computed_at"},
    "ml_models": {"model_name", "version", "candidate", "card", "created_at"},
    "ml_deployments": {"model_name", "version", "deployed_at", "deployed_by"},
    "ml_experiments": {"run_id", "parameters", "metrics", "version", "promoted"},
    "ml_predictions": {
        "model_name", "version", "confidence", "prediction_count", "predicted_at", "answer", "latency_ms",
    },
    "ml_feedback": {"prediction_id", "outcome", "helpful"},
    "ml_monitoring": {"model_id", "period_start", "metrics", "drift_detected", "feature_drift"},
}  # fmt: skip
ENUMERATIONS: dict[str, tuple[Any, set[str]]] = {  # as declared, and what the document prints of them
    "FeatureType": (FeatureType, set()),
    "FeatureCategory": (FeatureCategory, {"property", "transactional", "market", "temporal"}),
    "DataType": (DataType, set()),
    "EntityType": (EntityType, {"USER"}),
    "ModelType": (ModelType, {"MOVE_PROBABILITY"}),
    "ModelStatus": (ModelStatus, set()),
    "PredictionType": (PredictionType, {"MOVE_PROBABILITY", "TRANSACTION_TYPE"}),
}


@pytest.mark.row("R1")
def test_the_document_s_tables_and_enumerations(agency: App) -> None:
    chance(agency)
    refresh(agency.desk, agency.desk.task(TASK))
    with agency.desk.transaction() as connection:
        columns = connection.execute("SELECT table_name, column_name FROM information_schema.columns").fetchall()
        (filled,) = connection.execute(
            "SELECT array_agg(name) FROM (SELECT 'ml_features' AS name FROM ml_features UNION"
            " SELECT 'ml_feature_values' FROM ml_feature_values UNION SELECT 'ml_models' FROM ml_models UNION"
            " SELECT 'ml_experiments' FROM ml_experiments UNION SELECT 'ml_predictions' FROM ml_predictions) each"
        ).fetchone() or ([],)
    for table, wanted in TABLES.items():
        assert wanted <= {column for name, column in columns if name == table}, table
    assert {*filled} == {"ml_features", "ml_feature_values", "ml_models", "ml_experiments", "ml_predictions"}
    assert len(rows(agency)[0]) >= 15
    for name, (declared, printed) in ENUMERATIONS.items():
        assert printed <= {*get_args(declared)}, name
    # They are what is declared and answered, no list beside it.
    put_down = rows(agency)
    for column, declared in (("feature_type", FeatureType), ("category", FeatureCategory), ("data_type", DataType)):
        assert {one[column] for one in put_down} == {*get_args(declared)}, column
    assert {one["entity_type"] for one in put_down} <= {*get_args(EntityType)}
    assert {one.state for one in agency.models.list(TASK)} <= {*get_args(ModelStatus)}
    assert {*BATCH.of} == {*get_args(PredictionType)}
    schemas = create().openapi()["components"]["schemas"]
    for model, field, declared in (
        ("PredictionBody", "prediction_type", PredictionType), ("ChanceToldTold", "prediction_type", PredictionType),
        ("PredictionBody", "entity_type", EntityType), ("Definition", "feature_type", FeatureType),
        ("Definition", "data_type", DataType), ("Version", "state", ModelStatus),
    ):  # fmt: skip
        told = schemas[model]["properties"][field]
        assert [*get_args(declared)] == (told.get("enum") or told["anyOf"][0]["enum"]), (model, field)


def test_drift_is_of_the_mean_since_the_oldest_day_of_thirty(agency: App) -> None:
    refresh(agency.desk, agency.desk.task(TASK))
    with agency.desk.transaction() as connection:
        connection.execute(
            "INSERT INTO ml_features (tenant_id, task, feature_name, day, counted, null_rate, mean_value, std_dev)"
            " VALUES (%s, %s, 'property_size', current_date - 20, 300, 0, 100, 10)",
            [agency.tenant, TASK],
        )
    refresh(agency.desk, agency.desk.task(TASK))
    last = [one for one in agency.features.statistics(TASK) if one.feature_name == "property_size"][-1]
    assert last.mean_value is not None
    assert last.drift == pytest.approx((last.mean_value - 100) / 10)


def test_the_weekly_query_of_the_document_answers(agency: App) -> None:
    refresh(agency.desk, agency.desk.task(TASK))
    with agency.desk.transaction() as connection:
        rows = connection.execute(
            "SELECT feature_name, null_rate, mean_value, std_dev FROM ml_features"
            " WHERE last_updated >= NOW() - INTERVAL '7 days' ORDER BY null_rate DESC"
        ).fetchall()
    assert {name for name, *_ in rows} >= {*CATALOGUE.names()}


def test_tasks_that_make_the_same_keep_it_once(agency: App) -> None:
    visit(agency)
    agency.predict("realestate.transaction_type", {"person": PERSON})
    assert PERSON in kept(agency)
    with agency.desk.transaction() as connection:
        (tasks,) = connection.execute("SELECT array_agg(DISTINCT task) FROM ml_feature_values").fetchone() or ([],)
    assert tasks == [TASK]


def test_who_wants_nothing_remembered_is_answered_from_facts(agency: App) -> None:
    visit(agency)
    said = chance(agency, cache_bypass=True)
    assert PERSON not in kept(agency)
    assert chance(agency).forecast.rows.equals(said.forecast.rows)


def test_a_request_is_on_record_with_its_area_whether_it_was_kept_or_not(agency: App) -> None:
    chance(agency)
    assert PERSON in kept(agency)
    first, again = (chance(agency, cache_bypass=bypass) for bypass in (True, False))
    logged = {one.served.prediction_id: one.served.request for one in agency.predictions.list(TASK, limit=5)}
    assert logged[first.id]["area"] is not None  # type: ignore[index]
    assert logged[first.id] == logged[again.id]  # type: ignore[index]


def test_who_names_another_home_is_answered_of_that_one_and_nothing_of_it_is_kept(agency: App) -> None:
    there = chance(agency, "p0000007")
    before = kept(agency)["p0000007"]
    other = {"person": "p0000007", "property": "h0000042", "area": "nowhere"}
    moved = agency.predict(TASK, other)
    assert kept(agency)["p0000007"] == before
    told = agency.features.compute(TASK, [other])
    assert told["area_price_per_size_365d"].to_list() == [None]
    assert moved.forecast.rows["chance"][0] == agency.predict(TASK, other, cache_bypass=True).forecast.rows["chance"][0]
    assert moved.forecast.rows["chance"][0] != there.forecast.rows["chance"][0]
    with agency.desk.transaction() as connection:
        connection.execute("DELETE FROM ml_feature_values WHERE entity_id = 'p0000007'")
    agency.predict(TASK, other)
    assert "p0000007" not in kept(agency)


def test_it_is_a_job_that_is_due_every_day(agency: App) -> None:
    due = {one.name: one for one in agency.schedule.list()}
    assert due[f"refresh:{TASK}"].cron == "0 2,14 * * *"


def test_so_does_an_import_that_is_taken_back(agency: App) -> None:
    app, now = agency, datetime.now(UTC)
    before = chance(app).forecast.rows["chance"][0]
    visits = kept(app)[PERSON]["session_count_7d"]
    told = pl.DataFrame({"person": [PERSON] * 3, "time": [now - timedelta(seconds=k) for k in range(3)], "pages": 9.0})
    wrong = app.import_("realestate.sessions", told)
    assert chance(app).forecast.rows["chance"][0] != before
    assert kept(app)[PERSON]["session_count_7d"] == visits + 3
    app.imports.undo(wrong.import_id or "")
    assert PERSON not in kept(app)
    chance(app)
    assert kept(app)[PERSON]["session_count_7d"] == visits
