"""Answers: whom they are about, that they add up, what if, why; and the watch."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.energy import HOUR, NOW, PANELS, TURBINE, history, hours, read

from foretell.contract import Floats, History
from foretell.domains.energy import DOMAIN, SOLAR, WATCH, WIND
from foretell.domains.energy.outlook import worlds
from foretell.domains.energy.sample import sample
from foretell.domains.energy.schema import OutputAnswer, OutputRequest, WatchAnswer, WatchRequest
from foretell.engine.predict import Prediction, predict
from foretell.engine.train import train
from foretell.errors import InvalidRequest, NotFound


@cache
def world() -> History:
    return sample(1).history


@cache
def models() -> dict[str, Any]:
    return {task.name: train(task, world()).model for task in (SOLAR, WIND)}


def said(kind: str, trained: bool = True, seen: History | None = None, **request: Any) -> Prediction:
    task = SOLAR if kind == "solar" else WIND
    (one,) = predict([(task, OutputRequest(**request))], seen or world(), models() if trained else {})
    if not isinstance(one, Prediction):
        raise one
    return one


def answer(kind: str, trained: bool = True, seen: History | None = None, **request: Any) -> OutputAnswer:
    told = said(kind, trained, seen, **request).answer
    assert isinstance(told, OutputAnswer)
    return told


def test_a_plant_is_answered_by_the_hour_with_bands_and_what_it_rests_on() -> None:
    told = answer("solar", plant="roof", hours=48)
    assert told.hours[0].start == world().now.replace(minute=0) + HOUR
    assert [later.start - one.start for one, later in zip(told.hours, told.hours[1:], strict=False)] == [HOUR] * 47
    assert all(0 <= hour.low_kw <= hour.expected_kw <= hour.high_kw <= 80 for hour in told.hours)
    night = [hour for hour in told.hours if hour.start.hour in (0, 1, 2)]
    assert night
    assert all(hour.high_kw == 0 for hour in night)
    assert told.weather.providers == ["sample"]
    assert told.weather.age_hours == pytest.approx(9 + 20 / 60, abs=0.01)
    assert told.weather.hours_covered < told.weather.hours_asked  # the run of midnight reaches 48 hours
    assert told.historical_context
    assert told.method in ("physical", "corrected", "boosted", "ensemble", "smart_persistence")
    assert told.track_record.hours > 100


@pytest.mark.row("E8")
def test_the_first_day_is_answered_by_physics_and_says_so() -> None:
    one = said("wind", trained=False, plant="hill", hours=24)
    assert one.method == "physical"
    assert "no model of energy.wind has been trained" in (one.fallback or "")
    assert isinstance(one.answer, OutputAnswer)
    assert one.answer.energy_kwh.expected > 0


def test_sums_have_bands_narrower_than_the_sum_of_the_hours() -> None:
    told = answer("wind", plant="shore", hours=48)
    low, high = (sum(getattr(hour, name) for hour in told.hours) for name in ("low_kw", "high_kw"))
    energy = told.energy_kwh
    assert low < energy.low < energy.expected < energy.high < high
    assert sum(day.energy_kwh.expected for day in told.days) == pytest.approx(energy.expected)
    assert sum(day.hours for day in told.days) == 48


@pytest.mark.parametrize(("kind", "plant"), [("solar", "field"), ("wind", "hill"), ("solar", None), ("wind", None)])
def test_what_is_expected_of_hours_adds_up_to_days_and_to_all(kind: str, plant: str | None) -> None:
    told = answer(kind, plant=plant, hours=48)
    assert sum(hour.expected_kw for hour in told.hours) == pytest.approx(told.energy_kwh.expected)
    for day in told.days:
        mine = [hour.expected_kw for hour in told.hours if hour.start.date() == day.date]
        assert sum(mine) == pytest.approx(day.energy_kwh.expected)
        assert day.energy_kwh.low <= day.energy_kwh.expected <= day.energy_kwh.high
    assert all(hour.low_kw <= hour.expected_kw <= hour.high_kw for hour in told.hours)


def test_a_fleet_is_the_sum_of_its_plants() -> None:
    fleet, roof, field = (answer("solar", hours=24, plant=of) for of in (None, "roof", "field"))
    assert fleet.plants == ["field", "roof"]
    assert fleet.capacity_kw == 2080
    alone = roof.energy_kwh.expected + field.energy_kwh.expected
    assert fleet.energy_kwh.expected == pytest.approx(alone)
    assert fleet.energy_kwh.high < roof.energy_kwh.high + field.energy_kwh.high


def test_worlds_keep_each_hours_quantiles_and_what_went_together() -> None:
    times = hours(24 * 50)
    day = np.repeat(np.random.default_rng(3).uniform(0, 1, 50), 24) * 3000  # a day is all high or all low
    both = history({"a": TURBINE, "b": TURBINE}, read("a", times, day) + read("b", times, day))
    quantiles: Floats = np.tile(np.linspace(100, 900, 9), (48, 1))
    made = worlds(both, ["a", "b"], int(NOW.timestamp()) // 3600 + 15, 24, quantiles)
    assert np.quantile(made, 0.5, axis=1) == pytest.approx(np.full(48, 500.0), abs=20)
    apart = np.corrcoef(made[:24].sum(axis=0), made[24:].sum(axis=0))[0, 1]
    assert apart > 0.5
    alone = worlds(both, ["a"], int(NOW.timestamp()) // 3600 + 15, 24, quantiles[:24])
    assert np.array_equal(alone, made[:24])  # whoever else is asked about


@pytest.mark.row("E15")
def test_what_if_multiplies_what_physics_multiplies_and_costs_no_forecast() -> None:
    seen = sample(1).history
    plain = said("wind", seen=seen, plant="shore", hours=24)
    more = said("wind", seen=seen, plant="shore", hours=24, what_if={"extra_turbines": 1})
    assert more.cached
    assert isinstance(plain.answer, OutputAnswer)
    assert isinstance(more.answer, OutputAnswer)
    assert more.answer.capacity_kw == 9000
    assert more.answer.energy_kwh.expected == pytest.approx(1.5 * plain.answer.energy_kwh.expected, rel=0.02)
    roof = answer("solar", plant="roof", hours=48)
    steep = answer("solar", plant="roof", hours=48, what_if={"tilt": 90.0})
    twice = answer("solar", plant="roof", hours=48, what_if={"capacity_kw": 160.0})
    assert steep.energy_kwh.expected < 0.7 * roof.energy_kwh.expected
    assert twice.energy_kwh.expected == pytest.approx(2 * roof.energy_kwh.expected, rel=0.05)


@pytest.mark.row("E15")
@pytest.mark.parametrize(
    ("kind", "plant", "wrong", "there"),
    [
        ("solar", "roof", {"extra_turbines": 2}, "a solar plant has no extra_turbines; .* capacity_kw, tilt, azimuth"),
        ("wind", "hill", {"tilt": 2}, "a wind plant has no tilt; .* capacity_kw, extra_turbines"),
        ("wind", "hill", {"capacity_kw": 9.0, "tilt": 2, "azimuth": 3}, "no tilt, azimuth; "),
    ],
)
def test_a_what_if_that_the_plant_does_not_have_is_an_error(
    kind: str, plant: str, wrong: dict[str, Any], there: str
) -> None:
    with pytest.raises(InvalidRequest, match=there):
        answer(kind, False, plant=plant, what_if=wrong)
    with pytest.raises(NotFound):
        answer("solar", False, plant="hill", what_if={"extra_turbines": 1})


@pytest.mark.row("E15")
@pytest.mark.parametrize(("kind", "plant"), [("solar", "field"), ("wind", "shore")])
def test_reasons_add_up_to_what_is_expected(kind: str, plant: str) -> None:
    told = answer(kind, plant=plant, hours=48)
    assert sum(reason.effect_kwh for reason in told.reasons) == pytest.approx(told.energy_kwh.expected, rel=1e-3)
    assert len(told.reasons) >= 2
    assert told.reasons[-1].words.startswith("by what readings of its own have taught it is")


@pytest.mark.row("E15")
def test_a_what_if_is_a_reason_of_its_own() -> None:
    plain = answer("solar", plant="roof", hours=48)
    twice = answer("solar", plant="roof", hours=48, what_if={"capacity_kw": 160.0})
    *others, last = twice.reasons
    more = twice.energy_kwh.expected - plain.energy_kwh.expected
    assert others == plain.reasons
    assert (last.words, last.effect_kwh) == (f"with capacity_kw 160 it is {more:,.0f} kWh more", round(more, 3))
    less = answer("solar", plant="roof", hours=48, what_if={"tilt": 90.0, "azimuth": 0}).reasons[-1]
    assert less.effect_kwh < 0
    assert less.words.startswith("with tilt 90, azimuth 0 it is ")
    assert less.words.endswith(" kWh less")
    assert answer("solar", plant="roof", hours=48, what_if={}).reasons == plain.reasons


@pytest.mark.row("E15")
@pytest.mark.parametrize(
    ("kind", "where", "words"),
    [
        ("solar", (48.0, 11.0), ["a clear sky would give", "of 10 hours nobody has forecast the weather"]),
        ("solar", (55.52, 8.2), ["a clear sky would give 4.41 kWh", "clouds and heat take 11%"]),
        ("wind", (48.0, 11.0), ["of 12 hours nobody has forecast the weather: they count as usual"]),
        ("wind", (40.4, -3.6), ["wind of 5.3 m/s on average at the hub gives 1.48 kWh of 12.00 kWh at full power"]),
    ],
)
def test_where_no_reading_has_taught_anything_no_reason_says_so(
    kind: str, where: tuple[float, float], words: list[str]
) -> None:
    told = answer(kind, latitude=where[0], longitude=where[1], hours=12)
    assert len(told.reasons) == len(words)
    assert all(reason.words.startswith(start) for reason, start in zip(told.reasons, words, strict=True))
    assert sum(reason.effect_kwh for reason in told.reasons) == pytest.approx(told.energy_kwh.expected, abs=0.01)


@pytest.mark.row("E15")
def test_a_plant_without_readings_was_taught_by_others_or_by_none() -> None:
    bare = answer("wind", False, history({"it": TURBINE}), plant="it", hours=12)
    assert [reason.effect_kwh for reason in bare.reasons] == [9000.0]
    seen = world()
    others = History(seen.standpoint, {**seen.tables, "readings": seen["readings"].filter(pl.col("plant") != "hill")})
    told = answer("wind", True, others, plant="hill", hours=12).reasons
    assert not any("its own" in reason.words for reason in told)


@pytest.mark.row("E9")
def test_a_place_is_the_nearest_plant_or_a_kw_there() -> None:
    near = answer("solar", latitude=40.45, longitude=-3.65, hours=12)
    assert (near.plants, near.nearest) == (["roof"], "roof")
    assert near.distance_km == pytest.approx(7.0, abs=0.5)
    assert near.historical_context
    far = said("solar", latitude=48.0, longitude=11.0, hours=12)
    told = far.answer
    assert isinstance(told, OutputAnswer)
    assert not told.historical_context
    assert told.capacity_kw == 1.0
    assert far.method == "physical"
    words = "no solar plant is within 25 km: what a kW there would put out, by physics"
    assert (far.fallback, told.method) == (words, "physical")
    assert far.own_facts
    assert 0 < max(hour.expected_kw for hour in told.hours) < 1
    assert told.weather.hours_covered == 0
    borrowed = answer("solar", latitude=55.52, longitude=8.2, hours=12)  # beside a wind plant, whose weather it has
    assert borrowed.weather.hours_covered == 12
    assert not borrowed.historical_context


def test_an_unknown_plant_and_a_kind_without_plants_are_not_found() -> None:
    with pytest.raises(NotFound, match="roof"):
        answer("solar", plant="shore")
    with pytest.raises(NotFound, match="bring plants"):
        answer("wind", False, history({"it": PANELS}))


# ---------------------------------------------------------------- the watch

TIMES = hours(24 * 60)


def watched(spoil: Any, **site: Any) -> WatchAnswer:
    """A wind plant, or panels, over sixty days of weather as observed, spoilt from the day given by `spoil`."""
    import polars as pl

    from foretell.domains.energy import physics
    from foretell.domains.energy.physics import Light
    from foretell.domains.energy.readings import plants
    from foretell.domains.energy.tables import WEATHER
    from foretell.features.grid import micros

    base = PANELS if site.pop("solar", False) else TURBINE
    random = np.random.default_rng(4)
    speed = np.repeat(random.uniform(4, 14, len(TIMES) // 6), 6) + random.normal(0, 0.3, len(TIMES))
    ghi = random.uniform(300, 900, len(TIMES))
    sites = plants(history({"it": base})).sites.of(np.zeros(len(TIMES), dtype=np.int64))
    told = {name: np.full(len(TIMES), np.nan) for name in WEATHER} | {"wind_speed_100m": speed, "ghi": ghi}
    if base is PANELS:
        light = Light(sites, micros(pl.Series(TIMES)))
        ghi = told["ghi"] = np.minimum(ghi, light.clear)
        share = physics.solar(sites, light, told)
    else:
        share = physics.wind(sites, told)
    column = "ghi" if base is PANELS else "wind_speed_100m"
    seen = [
        {"plant": "it", "time": at, "provider": "p", column: float(one), "known_at": at}
        for at, one in zip(TIMES, told[column], strict=True)
    ]
    output = spoil(share.copy()) * (100.0 if base is PANELS else 3000.0)
    found = WATCH.compute(WatchRequest(plant="it"), history({"it": base}, read("it", TIMES, output), observed=seen))
    assert isinstance(found, WatchAnswer)
    return found


def spoilt(change: Any, days: int = 10) -> Any:
    def spoil(share: Floats) -> Floats:
        share[-24 * days :] = change(share[-24 * days :])
        return share

    return spoil


@pytest.mark.row("E15")
def test_a_sound_plant_has_no_trouble() -> None:
    told = watched(lambda share: share * 0.9)
    assert told.troubles == []
    assert told.output_kwh == pytest.approx(told.usual_kwh, rel=0.02)


@pytest.mark.row("E15")
@pytest.mark.parametrize(
    ("name", "change", "solar"),
    [
        ("outage", lambda share: np.concatenate([share[:100], np.zeros(60), share[160:]]), False),
        ("underperformance", lambda share: share * 0.75, False),
        ("soiling", lambda share: share * 0.75, True),
        ("curtailment", lambda share: np.minimum(share, 0.4), False),
    ],
)
def test_what_goes_wrong_is_named_with_the_energy_it_cost(name: str, change: Any, solar: bool) -> None:
    plain, told = watched(lambda share: share, solar=solar), watched(spoilt(change), solar=solar)
    lost = plain.output_kwh - told.output_kwh
    first = told.troubles[0]
    assert first.kind == name
    assert first.lost_kwh == pytest.approx(lost, rel=0.35)
    assert first.since >= NOW - timedelta(days=15)
    (finding, *_) = WATCH.findings(told)  # type: ignore[misc]
    assert finding.kind == name
    assert finding.evidence["lost_kwh"] > 0


def test_a_plant_that_is_not_there_is_not_watched() -> None:
    with pytest.raises(NotFound):
        WATCH.compute(WatchRequest(plant="x"), world())


def test_readings_of_a_plant_that_nobody_told_of_are_named_and_stop_no_watch() -> None:
    seen = history(
        {"it": TURBINE}, read("it", TIMES, np.full(len(TIMES), 90.0)) + read("stray", TIMES[-9:], np.ones(9))
    )
    with pytest.raises(NotFound, match=r"no plant 'stray', but there are readings of it: energy\.plants must tell"):
        WATCH.compute(WatchRequest(plant="stray"), seen)
    assert WATCH.watched
    assert list(WATCH.watched(seen)) == ["it"]


def test_the_sample_knows_every_request() -> None:
    assert set(DOMAIN.sample(2).requests) == {"energy.solar", "energy.wind", "energy.watch"}
