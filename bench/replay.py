"""What scaling on the forecast would have cost and risked, beside a reactive autoscaler and last week."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
from bench.data import APPSERVER, HOUR, NASA, Series, public
from bench.report import goal, met, number, ranged, spread, table

from foretell.contract import History, Replayed
from foretell.domains.traffic import LOAD
from foretell.engine.replay import replay
from foretell.models.boosted import warm

OURS = "pattern_learner"
RIVALS = {"reactive": "the reactive rule", "weekly_naive": "last week"}
YEAR = 5.0  # seconds that a year of hours may take
RUNS = 5
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Trial:
    """A series to replay, its file, and how often it was measured."""

    series: Series
    file: str | None = None
    step: timedelta = HOUR
    weeks: bool = True  # whether it has the four weeks that the features look back


def _nab(file: str, unit: str, *, weeks: bool, step: timedelta = 5 * MINUTE) -> Trial:
    return Trial(Series(file, "UTC", unit, "Numenta's benchmark", column="value"), f"nab/{file}.csv", step, weeks)


MINUTES = Trial(NASA, "nasa_http/minute.csv.gz", MINUTE)
NAB = (
    _nab("Twitter_volume_AMZN", "mentions", weeks=True),
    _nab("Twitter_volume_GOOG", "mentions", weeks=True),
    _nab("nyc_taxi", "passengers", weeks=True, step=30 * MINUTE),
    _nab("cpu_utilization_asg_misconfiguration", "%", weeks=True),
    _nab("elb_request_count_8c0756", "requests", weeks=False),
    _nab("ec2_network_in_257a54", "bytes", weeks=False),
    _nab("ec2_cpu_utilization_825cc2", "%", weeks=False),
    _nab("ec2_cpu_utilization_5f5533", "%", weeks=False),
    _nab("grok_asg_anomaly", "%", weeks=False),
)


def _history(trial: Trial) -> History:
    return public(trial.series, trial.file, trial.step)


def one(trial: Trial) -> dict[str, Any]:
    """One series, policy by policy; raises MissingError without its file."""
    told = replay(LOAD, _history(trial), OURS)
    print(f"{trial.series.name}: {trial.series.what}; measured every {trial.step // MINUTE} minutes")
    print(f"\n{told.line}\n")
    found = _beside(told)
    goals = {}
    for family, words in RIVALS.items():
        rows = [
            [name, *(number(cell) for cell in cells), number(cells[2] / cells[1] if cells[1] else None)]
            for name, *cells in found[family]["points"]
        ]
        head = [f"{words}, whole period", "replica-hours", "minutes under capacity", "ours for as many hours", "ratio"]
        table(head, rows)
        ratio = found[family]["ratio"]
        goals[f"minutes under capacity < {words}'s, for equal replica-hours"] = goal(ratio, ratio < 1)
    table(["goal: ours, of the other's", "is", ""], [[w, number(g["is"]), met(g["met"])] for w, g in goals.items()])
    return {"line": told.line, **found, "goals": goals}


def nab() -> dict[str, Any]:
    """The series of Numenta's benchmark, one row each; the goals are for those with four weeks to learn from."""
    found, rows = {}, []
    for trial in NAB:
        beside = _beside(replay(LOAD, _history(trial), OURS))
        found[trial.series.name] = beside
        cells = []
        for of in beside.values():
            won = f"{of['won']} of {len(of['points'])}"
            cells += [number(of["ours"]), number(of["theirs"]), number(of["ratio"]) if of["theirs"] else "-", won]
        rows.append([trial.series.name, "yes" if trial.weeks else "no", *cells])
    print("minutes under capacity for equal replica-hours, added up over all settings of the other; and at how many of")
    print("these ours has fewer or as many\n")
    head = ["series", "four weeks?"]
    table(head + [cell for words in RIVALS.values() for cell in ("ours", words, "ratio", "won")], rows)
    goals = {
        f"{trial.series.name}: fewer minutes than {words}": goal(
            found[trial.series.name][family]["ratio"], found[trial.series.name][family]["ratio"] < 1
        )
        for trial in NAB
        for family, words in RIVALS.items()
        if trial.weeks
    }
    return {"series": found, "goals": goals}


def year() -> dict[str, Any]:
    """How long a year of hours takes."""
    history = _history(Trial(APPSERVER))
    warm()
    took, loops = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        told = replay(LOAD, history, OURS)
        took.append(time.perf_counter() - start)
        start, total = time.perf_counter(), 0
        for k in range(1_000_000):
            total += k
        loops.append(1000 * (time.perf_counter() - start))
    seconds, loop = spread(took), spread(loops)
    days = (told.end - told.start).days
    print(f"{days} days of hourly standpoints, {len(told.policies)} policies, candidate and baseline fitted twice;")
    print(f"{ranged(seconds, ' s')}; a loop of a million steps in plain Python beside it {ranged(loop, ' ms')}\n")
    goals = {f"a year of hours is replayed in < {YEAR:g} s (median)": goal(seconds["median"], seconds["median"] < YEAR)}
    return {"seconds": seconds, "yardstick": loop, "goals": goals}


def _beside(told: Replayed) -> dict[str, Any]:
    """Ours against each rival: for every setting of it, ours for the same replica-hours over the whole period.

    Between two factors of ours the minutes are interpolated; a setting cheaper than our cheapest is left out.
    """
    figures = {
        family: [
            (p.figures["whole"]["replica_hours"], p.figures["whole"]["minutes_under"], p.name)
            for p in told.policies
            if p.family == family and p.settings.get("scale_in") != "daily"
        ]
        for family in ("forecast", *RIVALS)
    }
    curve = np.array(sorted(point[:2] for point in figures["forecast"]))
    found = {}
    for family in RIVALS:
        points = [
            (name, hours, minutes, float(np.interp(hours, curve[:, 0], curve[:, 1])))
            for hours, minutes, name in sorted(figures[family])
            if hours >= curve[0, 0]
        ]
        theirs, ours = sum(minutes for _, _, minutes, _ in points), sum(mine for *_, mine in points)
        won = sum(mine <= minutes for _, _, minutes, mine in points)
        ratio = ours / theirs if theirs else float("nan")
        found[family] = {"ours": ours, "theirs": theirs, "ratio": ratio, "won": won, "points": points}
    return found


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "nasa_http": partial(one, MINUTES),
    "appserver_cluster": partial(one, Trial(APPSERVER)),
    "nab": nab,
    "year": year,
}
