"""Questions, outcomes and features in time: which forecast was at hand, which reading was known."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.energy import HOUR, NOW, PANELS, TURBINE, history, hours, read

from foretell.contract import INSTANT, Block, Frame, History, Task
from foretell.domains.energy import DOMAIN, SOLAR, WIND
from foretell.domains.energy.features import FARTHEST, features, framed, outcomes, questions
from foretell.domains.energy.weather import KEPT
from foretell.errors import BrokenDomain
from foretell.features.grid import micros
from foretell.testing import check_domain

TIMES = hours(24 * 20)


def asked(as_of: datetime, *at: datetime, plant: str = "it") -> Frame:
    def moments(*times: datetime) -> Any:
        return micros(pl.Series(times, dtype=INSTANT))

    return framed([plant] * len(at), np.repeat(moments(as_of), len(at)), moments(*at))


def issued(at: datetime, when: datetime, speed: float, provider: str = "p") -> dict[str, Any]:
    return {"plant": "it", "time": at, "issued_at": when, "provider": provider, "wind_speed_100m": speed}


@pytest.mark.row("E4")
def test_the_newest_forecast_issued_by_then_counts_and_no_later_one() -> None:
    at = NOW + timedelta(hours=20)
    rows = [
        issued(at, NOW - timedelta(hours=30), 5.0),
        issued(at, NOW - timedelta(hours=6), 6.0),
        issued(at, NOW + timedelta(minutes=1), 7.0),
    ]
    world = history({"it": TURBINE}, read("it", TIMES, np.full(len(TIMES), 900.0)), rows, now=NOW + timedelta(days=2))
    for moment, speed, age in ((NOW - timedelta(hours=7), 5.0, 23.0), (NOW, 6.0, 6.0), (NOW + HOUR, 7.0, 59 / 60)):
        made = features("wind", world, asked(moment, at))
        assert made["wind_speed_100m"].tolist() == [speed]
        assert made["weather_age"].tolist() == pytest.approx([age])
    before = features("wind", world, asked(NOW - timedelta(hours=40), at))
    assert np.isnan(before["wind_speed_100m"]).all()
    assert np.isnan(before["weather_age"]).all()
    late = features("wind", world, asked(NOW + KEPT + timedelta(hours=1), at))
    assert np.isnan(late["wind_speed_100m"]).all()  # so old a run counts as none


def test_without_a_forecast_physics_takes_what_is_usual_and_observed_weather_is_none() -> None:
    seen = [{"plant": "it", "time": NOW + HOUR, "provider": "p", "wind_speed_100m": 15.0, "known_at": NOW}]
    world = history({"it": TURBINE}, read("it", TIMES, np.full(len(TIMES), 900.0)), observed=seen)
    made = features("wind", world, asked(NOW, NOW + HOUR))
    assert np.isnan(made["hub_speed"]).all()
    assert made["physical"].tolist() == pytest.approx([0.3])  # the last week's mean


@pytest.mark.row("E4")
def test_a_reading_counts_from_when_it_was_known() -> None:
    rows = read("it", TIMES, np.arange(len(TIMES), dtype=float))
    rows[-1]["known_at"] = NOW + timedelta(minutes=30)  # it comes late
    world = history({"it": TURBINE}, rows, now=NOW + timedelta(hours=5))
    first, then = (features("wind", world, asked(NOW + timedelta(minutes=m), NOW + HOUR)) for m in (0, 35))
    assert first["last"][0] * 3000 == pytest.approx(len(TIMES) - 2)
    assert then["last"][0] * 3000 == pytest.approx(len(TIMES) - 1)
    assert (first["reading_age"][0], then["reading_age"][0]) == (2.0, 1.0)


def test_an_outcome_is_the_hours_mean_known_at_its_end_void_after_a_week() -> None:
    output = np.full(len(TIMES), 500.0)
    output[5] = np.nan
    world = history({"it": TURBINE}, read("it", TIMES, output))
    told = outcomes(world, asked(TIMES[2], TIMES[4], TIMES[5], TIMES[-1], NOW + HOUR))
    assert told["value"].to_list() == [500.0, None, 500.0, None]
    assert told["known_at"].to_list() == [TIMES[4] + HOUR, TIMES[5] + HOUR + timedelta(days=7), TIMES[-1] + HOUR, None]


def test_old_questions_come_by_at_every_hour_and_of_panels_by_day_alone() -> None:
    world = history({"it": TURBINE, "sun": PANELS}, read("it", TIMES, np.full(len(TIMES), 1.0)) + read(
        "sun", TIMES, np.full(len(TIMES), 1.0)))  # fmt: skip
    wind, solar = questions("wind", world), questions("solar", world)
    assert set(wind["entity"]) == {"it"}
    assert set(solar["entity"]) == {"sun"}
    assert wind["as_of"].dt.hour().n_unique() > 12
    ahead = (wind["at"] - wind["as_of"]).dt.total_hours()
    assert ahead.min() == 0
    assert 100 < ahead.max() < FARTHEST  # type: ignore[operator]
    assert solar["at"].dt.hour().is_between(3, 20).all()


def test_of_many_plants_standpoints_are_further_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    world = history({"it": TURBINE}, read("it", TIMES, np.full(len(TIMES), 1.0)))
    every = questions("wind", world).height
    monkeypatch.setattr("foretell.domains.energy.features.MANY", every // 3)
    assert questions("wind", world).height < every / 2


# ---------------------------------------------------------------- leaks


def peeking(history: History, asked: Frame) -> Block:
    """The features, but of a later run of the weather: the newest of all."""
    later = asked.with_columns(as_of=pl.lit(history.now, INSTANT))
    return features("wind", history, later)


@pytest.mark.row("E4")
def test_a_task_that_uses_a_later_forecast_run_is_caught() -> None:
    check_domain(DOMAIN, deep=False)
    leaky = Task(**{**vars(WIND), "features": peeking})
    broken = type(DOMAIN)(**{**vars(DOMAIN), "tasks": [leaky], "reports": []})
    with pytest.raises(BrokenDomain, match="cutting the future away changes feature"):
        check_domain(_only(broken), deep=False)


def _only(domain: Any) -> Any:
    """The domain with a sample that has requests for its task alone."""

    def sample(seed: int) -> Any:
        whole = DOMAIN.sample(seed)
        return type(whole)(history=whole.history, requests={WIND.name: whole.requests[WIND.name]})

    return type(domain)(**{**vars(domain), "sample": sample})


def test_the_domain_keeps_the_contract() -> None:
    """But for its networks, which take a minute each; `test_sequence` holds small ones to the same."""
    tasks = [
        Task(**{**vars(task), "candidates": {name: make for name, make in task.candidates.items() if name != network}})
        for task, network in ((SOLAR, "lstm"), (WIND, "gru"))
    ]
    check_domain(type(DOMAIN)(**{**vars(DOMAIN), "tasks": tasks}))


def test_features_are_the_same_alone_and_among_others() -> None:
    world = DOMAIN.sample(1).history
    every = questions("wind", world)
    few = every.sample(40, seed=1)
    whole = dict(zip(every.rows(), features("wind", world, every).values, strict=True))
    make = partial(features, "wind", world)
    for row, values in zip(few.rows(), make(few).values, strict=True):
        assert np.allclose(values, whole[row], equal_nan=True)
