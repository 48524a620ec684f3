"""How wrong the forecasts of load are, beside the weekly naive, on public series and with the old knowledge only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl
from bench.data import APPSERVER, MONTH, NASA, TETOUAN, TURKEY, Series, public, racing
from bench.report import goal, met, number, table

from foretell.contract import Rolling
from foretell.engine.backtest import Backtest, backtest

RACE = ("weekly_naive", "seasonal_baseline", "pattern_learner", "boosted_19")
OURS = "pattern_learner"
GOALS = {"mae": 0.50, "pinball": 0.60, "least": 0.77, "most": 0.83}


@dataclass(frozen=True)
class Test:
    """A series and the months it is tested on."""

    series: Series
    rolling: Rolling
    when: str


def _rolling(folds: int, span: timedelta) -> Rolling:
    return Rolling(folds=folds, span=span, every=timedelta(hours=4))


TESTS = (
    Test(APPSERVER, _rolling(12, MONTH), "last 12 months, refitted every month"),
    Test(TURKEY, _rolling(12, MONTH), "last 12 months, refitted every month"),
    Test(NASA, _rolling(3, timedelta(days=14)), "last 6 weeks of its 2 months, refitted every fortnight"),
    Test(TETOUAN, _rolling(3, MONTH), "last 3 months, refitted every month"),
)
NAMES = [test.series.name for test in TESTS]


def measure(name: str) -> dict[str, Any]:
    """The tables of one series, printed; raises MissingError without its file."""
    test = next(test for test in TESTS if test.series.name == name)
    history = public(test.series)
    tested = backtest(racing(*RACE), history, rolling=test.rolling, budget=float("inf"))
    step = (tested.asked["at"] - tested.asked["as_of"]).dt.total_hours() + 1
    near = step <= 4
    first, last = tested.folds[0][0], tested.folds[-1][1]
    print(f"{name}: {test.series.what}; {test.series.unit}; ", end="")
    print(
        f"{test.when}: {first:%Y-%m-%d} to {last:%Y-%m-%d}, origins every 4 h, 1 to 4 h ahead, "
        f"{near.sum():,} questions\n"
    )
    scores = tested.scores(near)
    return {
        "series": test.series.what,
        "unit": test.series.unit,
        "tested": [f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}"],
        "folds": len(tested.folds),
        "questions": int(near.sum()),
        "scores": _candidates(scores),
        "goals": _goals(scores),
        "steps": _steps(tested, step),
        "months": _months(tested, near, test.series.zone),
    }


def _candidates(scores: dict[str, dict[str, float | None]]) -> dict[str, Any]:
    base = scores[RACE[0]]
    found = {
        name: {
            "mae": score["mae"],
            "mae_of_baseline": _ratio(score["mae"], base["mae"]),
            "pinball_of_baseline": _ratio(score["pinball"], base["pinball"]),
            "coverage": score["coverage"],
            "interval_score_of_baseline": _ratio(score["interval_score"], base["interval_score"]),
            "mape": score["mape"],
        }
        for name, score in scores.items()
    }
    head = ["candidate", "MAE", "MAE of baseline", "pinball of baseline", "80 % band covers", "MAPE %"]
    keys = ("mae", "mae_of_baseline", "pinball_of_baseline", "coverage", "mape")
    table(head, [[name, *(number(of[key]) for key in keys)] for name, of in found.items()])
    return found


def _goals(scores: dict[str, dict[str, float | None]]) -> dict[str, Any]:
    base, ours = scores[RACE[0]], scores[OURS]
    mae, pinball = _ratio(ours["mae"], base["mae"]), _ratio(ours["pinball"], base["pinball"])
    covered = ours["coverage"] or 0.0
    goals = {
        f"MAE ≤ {GOALS['mae']} x weekly naive's": goal(mae, mae <= GOALS["mae"]),
        f"pinball < {GOALS['pinball']} x weekly naive's": goal(pinball, pinball < GOALS["pinball"]),
        "80 % band covers 0.77 to 0.83": goal(covered, GOALS["least"] <= covered <= GOALS["most"]),
    }
    rows = [[words, number(of["is"], 4), met(of["met"])] for words, of in goals.items()]
    table([f"{OURS}'s goal", "is", ""], rows)
    return goals


def _steps(tested: Backtest, step: pl.Series) -> dict[str, Any]:
    found = {}
    for ahead in range(1, 5):
        scores = tested.scores(step == ahead)
        ours = scores[OURS]
        found[str(ahead)] = {
            "mae": ours["mae"],
            "mae_of_baseline": _ratio(ours["mae"], scores[RACE[0]]["mae"]),
            "coverage": ours["coverage"],
        }
    head = [f"{OURS}, hours ahead", "MAE", "MAE of baseline", "80 % band covers"]
    table(head, [[ahead, *(number(figure) for figure in of.values())] for ahead, of in found.items()])
    return found


def _months(tested: Backtest, near: pl.Series, zone: str) -> dict[str, Any]:
    month = tested.asked["at"].dt.convert_time_zone(zone).dt.strftime("%Y-%m")
    found: dict[str, dict[str, float]] = {}
    for one in month.unique().sort():
        where = near & (month == one)
        if where.sum() >= 100:  # a few days at an edge say nothing of a month
            scores = tested.scores(where)
            of = _ratio(scores[OURS]["mae"], scores[RACE[0]]["mae"])
            found[one] = {
                "coverage": scores[OURS]["coverage"] or 0.0,
                "mae_of_baseline": of,
                "questions": int(where.sum()),
            }
    covered = {one: of["coverage"] for one, of in found.items()}
    worst, best = min(covered, key=lambda one: covered[one]), max(covered, key=lambda one: covered[one])
    ratios = [of["mae_of_baseline"] for of in found.values()]
    print(f"{OURS} over {len(found)} months: MAE of baseline {number(min(ratios))} to {number(max(ratios))};")
    print(f"80 % band covers {number(covered[worst])} ({worst}) to {number(covered[best])} ({best})\n", flush=True)
    return found


def _ratio(figure: float | None, base: float | None) -> float:
    return float("nan") if figure is None or not base else figure / base
