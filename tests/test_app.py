"""The verbs of the app on traffic's sample world: what goes in, what comes out, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from foretell.app import App, domains
from foretell.domains.traffic.sample import END, ZONE, sample
from foretell.engine.predict import Prediction
from foretell.errors import InvalidRequest, Misconfigured, NotFound, NotReady

HOUR = timedelta(hours=1)


def rows() -> pl.DataFrame:
    return sample(1).history["metrics"].filter(pl.col("service") == "donations").drop("entity")


@pytest.fixture(scope="module")
def app() -> App:
    made = App("ngo", zone=ZONE)
    done = made.import_("traffic.metrics", rows())
    assert (done.rows.height, done.rejected.height) == (rows().height, 0)
    made.train("traffic.load", as_of=END - timedelta(days=2), budget=3.0)
    return made


def test_our_own_domains_come_in_by_the_public_door() -> None:
    assert domains()["traffic"].name == "traffic"


def test_before_training_the_answer_says_that_it_is_a_fallback() -> None:
    fresh = App("ngo", zone=ZONE)
    fresh.import_("traffic.metrics", rows())
    said = fresh.predict("traffic.load", {"service": "donations"}, as_of="latest")
    assert said.method == "weekly_naive"
    assert said.fallback == "no model of traffic.load has been trained yet"


def test_a_past_moment_is_answered_with_what_was_known_then(app: App) -> None:
    then = END - timedelta(days=1)
    said = app.predict("traffic.load", {"service": "donations"}, as_of=then)
    cut = App("ngo", zone=ZONE)
    cut.import_("traffic.metrics", rows().filter(pl.col("known_at") <= then))
    cut.champions = app.champions
    assert cut.predict("traffic.load", {"service": "donations"}, as_of="latest").answer == said.answer
    assert said.fallback is None
    assert said.questions["at"].to_list() == [then + HOUR * k for k in range(4)]


def test_what_was_served_is_compared_with_what_happened(app: App) -> None:
    served = App("ngo", zone=ZONE)
    served.facts, served.champions = app.facts, dict(app.champions)
    with pytest.raises(NotReady, match="no forecast"):
        served.watch("traffic.load")
    for hours in range(48, 0, -1):
        served.predict("traffic.load", {"service": "donations"}, as_of=END - HOUR * hours)
    turned_out = served.watch("traffic.load", as_of="latest")
    # At the end, the newest hour's outcome still waits for rows on their way, and three hours lie ahead.
    assert (turned_out["open"], turned_out["void"], turned_out["settled"]) == (1 + 2 + 3 + 4, 0, 48 * 4 - 10)
    assert 0 < (turned_out["mape"] or 0) < 20
    before = served.champions["traffic.load"].calibration
    after = served.recalibrate("traffic.load", as_of="latest")
    assert after.calibration is not None
    assert after.calibration != before
    assert after.calibration.counted == 48 * 4 - 10


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


def test_a_later_row_with_the_same_key_corrects_the_earlier() -> None:
    made = App("ngo", zone=ZONE)
    made.import_("traffic.metrics", rows())
    made.import_("traffic.metrics", rows().tail(1).with_columns(value=pl.lit(7.0)))
    kept = made.facts["traffic", "metrics"]
    assert kept.height == rows().height
    assert kept["value"][-1] == 7.0


def test_refusals_say_what_there_is(app: App) -> None:
    with pytest.raises(NotFound, match="traffic"):
        app.predict("nothing.at_all", {})
    with pytest.raises(NotFound, match=r"traffic\.load"):
        app.train("traffic.nothing")
    with pytest.raises(NotFound, match=r"traffic\.metrics"):
        app.import_("traffic.nothing", rows())
    with pytest.raises(Misconfigured, match="Europe/Athens"):
        App("ngo", zone="Mars/Olympus")
    with pytest.raises(InvalidRequest, match="future"):
        app.predict("traffic.load", {"service": "donations"}, as_of=datetime.now(UTC) + HOUR)
    with pytest.raises(NotReady):
        App("ngo").train("traffic.load")
