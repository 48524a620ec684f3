"""What the confidence of an answer is worth: its Brier score beside the base rate's, out of sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from bench.data import APPSERVER, HOUR, MONTH, NASA, TURKEY, Series, public, racing
from bench.report import goal, met, number, table

from foretell.contract import Rolling
from foretell.engine.backtest import backtest
from foretell.engine.train import choose
from foretell.engine.trust import learn

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
RACE = ("weekly_naive", "seasonal_baseline", "pattern_learner")


@dataclass(frozen=True)
class Test:
    """A series, its file and how often it was measured, and how its old answers are made."""

    series: Series
    rolling: Rolling
    file: str | None = None
    step: timedelta = HOUR


def _weeks(folds: int) -> Rolling:
    return Rolling(folds=folds, span=7 * DAY, every=4 * HOUR)


def _nab(file: str, zone: str, what: str, rolling: Rolling, step: timedelta = 5 * MINUTE) -> Test:
    return Test(Series(file, zone, "", what, column="value"), rolling, f"nab/{file}.csv", step)


YEAR = Rolling(folds=12, span=MONTH, every=4 * HOUR)
TWITTER = "mentions of a company on Twitter, two months of five minutes"
TESTS = {
    "appserver_cluster": Test(APPSERVER, YEAR),
    "turkey_consumption": Test(replace(TURKEY, what="national electricity; no factor was tuned on it"), YEAR),
    "nasa_http": Test(NASA, _weeks(6), "nasa_http/minute.csv.gz", MINUTE),
    "nyc_taxi": _nab(
        "nyc_taxi", "America/New_York", "taxi trips of New York, seven months of half hours", _weeks(24), 30 * MINUTE
    ),
    "twitter_amzn": _nab("Twitter_volume_AMZN", "UTC", TWITTER, _weeks(6)),
    "twitter_goog": _nab("Twitter_volume_GOOG", "UTC", TWITTER, _weeks(6)),
    "elb_request_count": _nab(
        "elb_request_count_8c0756", "UTC", "a load balancer's requests, two weeks of five minutes",
        Rolling(folds=6, span=DAY, every=HOUR),
    ),
}  # fmt: skip


def measure(name: str) -> dict[str, Any]:
    """The reliability of one series' confidence, printed; raises MissingError without its file."""
    test = TESTS[name]
    series, history, task = test.series, public(test.series, test.file, test.step), racing(*RACE)
    tested = backtest(task, history, rolling=test.rolling, budget=float("inf"))
    winner, _ = choose(task, tested)
    _, worth = learn(task, history, tested.asked.hstack(tested.forecasts[winner].get_columns()))
    if worth is None:
        print(f"{name}: {series.what}: too few answers to tell\n")
        return {"series": series.what, "goals": {}}
    print(f"{name}: {series.what}; forecast by {winner}, {worth.scored} answers scored in their order of time, each by")
    print("what was learned from outcomes known before; the chance that")
    print(f"{worth.meaning}\n")
    ratio = worth.brier / worth.base_brier
    rows = [
        [f"{worth.base_rate:.3f}", f"{worth.brier:.4f}", f"{worth.base_brier:.4f}", number(ratio), worth.serves],
    ]
    table(["", "base rate", "Brier", "base rate's", "ratio", "serves"], [[name, *row] for row in rows])
    bins = [[f"fifth {k}", f"{b.said:.3f}", f"{b.happened:.3f}", b.count] for k, b in enumerate(worth.bins, 1)]
    table(["answers, least sure first", "said", "happened", "answers"], bins)
    words = "Brier of confidence < the base rate's"
    goals = {words: goal(ratio, worth.serves == "factors")}
    table(["goal", "ratio", ""], [[words, number(ratio), met(worth.serves == "factors")]])
    return {"series": series.what, "winner": winner, **worth.model_dump(mode="json"), "goals": goals}
