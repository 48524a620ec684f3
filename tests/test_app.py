"""The verbs of the app on traffic's sample world: what goes in, what comes out, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from foretell.app import App, shelf
from foretell.app.basis import Basis
from foretell.app.declared import domains
from foretell.domains.traffic.sample import END, ZONE, sample
from foretell.engine.model import Card
from foretell.engine.predict import Prediction
from foretell.errors import InvalidRequest, NotFound, NotReady
from foretell.stores import registry

HOUR = timedelta(hours=1)


def rows() -> pl.DataFrame:
    return sample(1).history["metrics"].filter(pl.col("service") == "donations").drop("entity")


def fresh() -> App:
    """The app of a tenant that nobody has used before."""
    return App.open(f"ngo-{uuid4().hex[:8]}", zone=ZONE)


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with fresh() as made:
        done = made.import_("traffic.metrics", rows())
        assert (done.accepted, done.rejected) == (rows().height, 0)
        made.train("traffic.load", as_of=END - timedelta(days=2), budget=3.0)
        yield made


def test_our_own_domains_come_in_by_the_public_door() -> None:
    assert domains()["traffic"].name == "traffic"


def test_before_training_the_answer_says_that_it_is_a_fallback() -> None:
    with fresh() as made:
        made.import_("traffic.metrics", rows())
        said = made.predict("traffic.load", {"service": "donations"}, as_of="latest")
    assert said.method == "weekly_naive"
    assert said.fallback == "no model of traffic.load has been trained yet"


def test_a_past_moment_is_answered_with_what_was_known_then(app: App) -> None:
    then = END - timedelta(days=1)
    said = app.predict("traffic.load", {"service": "donations"}, as_of=then)
    with fresh() as cut:
        cut.import_("traffic.metrics", rows().filter(pl.col("known_at") <= then))
        cut.train("traffic.load", as_of=END - timedelta(days=2), budget=3.0)
        assert cut.predict("traffic.load", {"service": "donations"}, as_of="latest").answer == said.answer
    assert said.fallback is None
    assert said.questions["at"].to_list() == [then + HOUR * k for k in range(4)]


def test_what_was_served_is_compared_with_what_happened() -> None:
    with fresh() as served:
        served.import_("traffic.metrics", rows())
        served.train("traffic.load", as_of=END - timedelta(days=2), budget=3.0)
        with pytest.raises(NotReady, match="no forecast"):
            served.watch("traffic.load")
        for hours in range(48, 0, -1):
            served.predict("traffic.load", {"service": "donations"}, as_of=END - HOUR * hours)
        turned_out = served.watch("traffic.load", as_of="latest")
        # At the end, the newest hour's outcome still waits for rows on their way, and three hours lie ahead.
        assert (turned_out["open"], turned_out["void"], turned_out["settled"]) == (1 + 2 + 3 + 4, 0, 48 * 4 - 10)
        assert 0 < (turned_out["mape"] or 0) < 20
        before = served.champion("traffic.load")
        after = served.recalibrate("traffic.load", as_of="latest")
        assert before is not None
        assert after.calibration is not None
        assert after.calibration != before.calibration
        assert after.calibration.counted == 48 * 4 - 10
        now = served.predict("traffic.load", {"service": "donations"}, as_of="latest")
        assert now.card.version == after.card.version != before.card.version


def test_another_process_serves_the_same_model(app: App) -> None:
    said = app.predict("traffic.load", {"service": "donations"}, as_of="latest")
    with App.open(app.tenant) as other:
        again = other.predict("traffic.load", {"service": "donations"}, as_of="latest")
    assert (again.answer, again.card, again.fallback) == (said.answer, said.card, None)


def test_a_damaged_model_file_falls_back_to_the_version_before_and_says_so(home: Path) -> None:
    with fresh() as made:
        made.import_("traffic.metrics", rows())
        made.train("traffic.load", as_of=END - timedelta(days=9), budget=3.0)
        first = made.champion("traffic.load")
        made.train("traffic.load", as_of=END - timedelta(days=2), budget=3.0)
        second = made.champion("traffic.load")
        assert first is not None
        assert second is not None
        assert first.card.version != second.card.version
        with made.house.stores.database.tenant(made.tenant) as connection:
            address = registry.model(connection, made.tenant, "traffic.load", second.card.version).blob
        blob = home / "blobs" / made.tenant / "blobs" / address[:2] / address
        blob.write_bytes(blob.read_bytes()[:-600])
        with App.open(made.tenant) as other:
            said = other.predict("traffic.load", {"service": "donations"}, as_of="latest")
    assert said.card.version == first.card.version
    assert said.fallback is not None
    assert second.card.version in said.fallback
    assert "damaged" in said.fallback


def test_a_model_of_another_foretell_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh() as made:
        made.import_("traffic.metrics", rows())
        with monkeypatch.context() as older:
            older.setattr(Card, "model_dump_json", lambda self, **how: json.dumps({"task": self.task}))
            older.setattr(shelf, "try_in_child", lambda *_, **__: None)
            made.train("traffic.load", as_of=END - timedelta(days=9), budget=3.0)
        with App.open(made.tenant) as other:
            said = other.predict("traffic.load", {"service": "donations"}, as_of="latest")
            assert said.method == "weekly_naive"
            assert said.fallback is not None
            assert "train again" in said.fallback
            other.train("traffic.load", as_of=END - timedelta(days=2), budget=3.0)
            assert other.predict("traffic.load", {"service": "donations"}, as_of="latest").fallback is None


def test_a_tenant_never_sees_anothers_facts_models_or_forecasts(app: App) -> None:
    app.predict("traffic.load", {"service": "donations"}, as_of="latest")
    with fresh() as other:
        assert other.facts("traffic.metrics").is_empty()
        assert other.champion("traffic.load") is None
        with pytest.raises(NotReady, match="no forecast"):
            other.watch("traffic.load")
        with pytest.raises(NotReady, match="has nothing yet"):
            other.predict("traffic.load", {"service": "donations"}, as_of="latest")


def test_somebody_unknown_is_told_apart_from_somebody_with_little(app: App) -> None:
    with pytest.raises(NotReady, match=r": there is no nobody/\w+ in traffic\.metrics, which has .*donations"):
        app.predict("traffic.load", {"service": "nobody"}, as_of="latest")


def test_a_batch_has_an_answer_or_an_error_for_each(app: App) -> None:
    good, wrong, unknown = app.predict_many(
        [
            ("traffic.load", {"service": "donations"}),
            ("traffic.load", {"service": "donations", "hours": 99}),
            ("traffic.load", {"service": "nobody"}),
        ],
        as_of="latest",
    )
    assert isinstance(good, Prediction)
    assert isinstance(wrong, InvalidRequest)
    assert "hours" in str(wrong)
    assert isinstance(unknown, NotReady)
    assert "donations/requests_per_minute" in str(unknown)


def test_a_correction_is_a_revision_and_the_past_can_be_asked_as_it_was() -> None:
    with fresh() as made:
        first = made.import_("traffic.metrics", rows())
        before = datetime.now(UTC)
        done = made.import_("traffic.metrics", rows().tail(1).with_columns(value=pl.lit(7.0)))
        assert (first.accepted, done.accepted, done.revised, done.unchanged) == (rows().height, 0, 1, 0)
        assert made.import_("traffic.metrics", rows().tail(1).with_columns(value=pl.lit(7.0))).unchanged == 1
        kept, old = made.facts("traffic.metrics"), made.facts("traffic.metrics", recorded=before)
    assert (kept.height, kept["value"][-1]) == (rows().height, 7.0)
    assert old["value"].to_list() == rows().sort("time")["value"].to_list()


@pytest.mark.row("T1")
def test_metrics_of_one_type_between_two_dates_come_in_the_order_of_their_times(app: App) -> None:
    since, until = END - timedelta(days=60), END - timedelta(days=30)
    found = app.facts("traffic.metrics", since=since, until=until, only={"metric_type": ["requests_per_minute"]})
    wanted = rows().filter(pl.col("time").is_between(since, until, closed="left")).sort("time")
    assert found.select("time", "value").equals(wanted.select("time", "value"))
    assert app.facts("traffic.metrics", only={"metric_type": ["cpu_usage"]}).is_empty()
    with pytest.raises(InvalidRequest, match="metric_type"):
        app.facts("traffic.metrics", only={"kind": ["cpu_usage"]})


def test_bad_rows_are_kept_apart_and_can_be_mended_or_erased() -> None:
    sent = pl.DataFrame({"time": ["2024-01-01 10:00", "2024-01-01 11:00"], "value": ["5", "-1"]})
    with fresh() as made:
        done = made.import_("traffic.metrics", sent, source="a.csv")
        assert (done.accepted, done.rejected, list(done.rules)) == (1, 1, ["value must be ≥ 0"])
        made.import_("traffic.metrics", sent, source="a.csv")
        (row,) = made.quarantine.list("traffic.metrics").iter_rows(named=True)
        assert (row["rule"], row["source"]) == ("value must be ≥ 0", "a.csv")
        assert made.quarantine.retry("traffic.metrics").rejected == 1
        assert made.quarantine.list().height == 1
        assert made.quarantine.erase(made.quarantine.list()["fingerprint"].to_list()) == 1
        assert made.quarantine.list().is_empty()


def test_refusals_say_what_there_is(app: App) -> None:
    with pytest.raises(NotFound, match="traffic"):
        app.predict("nothing.at_all", {})
    with pytest.raises(NotFound, match=r"traffic\.load"):
        app.train("traffic.nothing")
    with pytest.raises(NotFound, match=r"traffic\.metrics"):
        app.import_("traffic.nothing", rows())
    with pytest.raises(InvalidRequest, match="Europe/Athens"):
        App.open("ngo", zone="Mars/Olympus")
    with pytest.raises(NotFound, match="foretell tenant add nobody-yet"):
        App.open("nobody-yet")
    with pytest.raises(InvalidRequest, match="can't be a tenant"):
        App.open("../etc", zone="UTC")
    with pytest.raises(InvalidRequest, match="future"):
        app.predict("traffic.load", {"service": "donations"}, as_of=datetime.now(UTC) + HOUR)
    with fresh() as empty, pytest.raises(NotReady):
        empty.train("traffic.load")


def test_rows_may_be_a_pandas_frame_or_a_list(app: App) -> None:
    some = rows().select("service", "metric_type", "time", "known_at", "value").head(20)
    with fresh() as made:
        assert made.import_("traffic.metrics", some.to_pandas()).accepted == 20
        assert made.import_("traffic.metrics", some.to_dicts()).unchanged == 20
        for wrong, words in (("metrics.csv", "not str; for a file there is import_file"), ([1], "misses time, value")):
            with pytest.raises(InvalidRequest, match=words):
                made.import_("traffic.metrics", wrong)
    with pytest.raises(NotFound, match=r"formats to import: agile\.jira"):
        app.import_("agile.jirra", some)


def test_a_moment_may_be_text_and_needs_an_offset(app: App) -> None:
    then = END - timedelta(days=1)
    asked = {"service": "donations"}
    said = app.predict("traffic.load", asked, as_of=then.isoformat())
    assert said.answer == app.predict("traffic.load", asked, as_of=then).answer
    assert app.history("traffic.load", then.isoformat()).now == then
    plain = then.replace(tzinfo=None)
    for wrong in (plain, plain.isoformat(), f"{plain:%Y-%m-%d}"):
        with pytest.raises(InvalidRequest, match="has no offset; write") as error:
            app.predict("traffic.load", asked, as_of=wrong)
        told = str(error.value).split("write ")[1].split(" for UTC")[0]
        app.predict("traffic.load", asked, as_of=told)  # what is advised is taken


def test_a_model_that_stands_earlier_does_not_take_the_place_of_a_later_one() -> None:
    with fresh() as made:
        made.import_("traffic.metrics", rows())
        asked = {"service": "donations"}
        made.train("traffic.load", as_of=END - timedelta(days=1), budget=1.0)
        serving = made.predict("traffic.load", asked, as_of="latest").card.version
        trained, verdict = made.train("traffic.load", as_of=END - timedelta(days=3), budget=1.0)
        assert not verdict.promote
        assert verdict.reason.startswith("the model in service was trained as of later")
        assert trained.model.card.version != serving
        assert made.predict("traffic.load", asked, as_of="latest").card.version == serving


def test_an_answer_about_the_past_says_what_it_knew_in_hindsight(app: App) -> None:
    task = app.desk.task("traffic.load")
    for as_of, knew in (("latest", False), (END - timedelta(days=5), True)):
        said = app.predict("traffic.load", {"service": "donations"}, as_of=as_of)
        assert Basis.of(task, said).hindsight is knew
