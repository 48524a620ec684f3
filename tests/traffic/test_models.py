"""The seasonal baseline against an oracle; what the pattern learner knows of Ramadan, against known effects."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.traffic import DAY, ENTITY, FASTS, HOUR, history, local, metrics, utc

from foretell import Block, Forecaster, Frame, History, Study
from foretell.contract import QUESTION, Floats
from foretell.domains.traffic import LOAD, sample
from foretell.domains.traffic.features import features, outcomes, questions
from foretell.domains.traffic.models import SeasonalBaselineModel
from foretell.domains.traffic.schema import Settings
from foretell.engine.outcomes import settled
from foretell.errors import NotReady
from foretell.features.place import place

RIYADH = "Asia/Riyadh"


def learn(past: History) -> tuple[Study, Frame]:
    """Every question settled by now, as training sees it."""
    known = settled(LOAD, past, LOAD.questions(past))
    return LOAD.study(past, known.select("entity", "as_of", "at")), known.select("value", "known_at")


def ask(entity: str, at: list[datetime], step: int = 1) -> Frame:
    """Each hour, asked `step` hours ahead."""
    return pl.DataFrame([(entity, hour - HOUR * (step - 1), hour) for hour in at], schema=QUESTION, orient="row")


# ---------------------------------------------------------------- T3


def fast_of(moment: datetime) -> int:
    """The day of Ramadan in Riyadh, nights counted to the day that follows; 0 outside."""
    day = (moment + 3 * HOUR).date()
    setting = place(RIYADH, Settings()).prayers(day, ramadan=False)[4]
    assert setting is not None
    hijri = day + DAY if moment >= setting else day
    return next(((hijri - first).days + 1 for first, last in FASTS["SA"] if first <= hijri <= last), 0)


def by_hand(study: Study, known: Frame, told: dict[datetime, float], asked: list[datetime], now: datetime) -> Floats:
    """Mean of value relative to the mean of the four weeks before asking, per (fast, hour), or (weekday, hour)."""

    def level(as_of: datetime) -> float:
        window = [told[h] for h in (as_of - HOUR * k for k in range(1, 673)) if h in told]
        return sum(window) / len(window)

    levels: dict[datetime, float] = {}
    fasting: dict[tuple[int, int], list[float]] = defaultdict(list)
    weekly: dict[tuple[bool, int, int], list[float]] = defaultdict(list)
    for (as_of, at), value in zip(study.questions.select("as_of", "at").iter_rows(), known["value"], strict=True):
        if as_of not in levels:
            levels[as_of] = level(as_of)
        there, fast = at + 3 * HOUR, fast_of(at)
        ratio = value / levels[as_of]
        if fast:
            fasting[fast, there.hour].append(ratio)
        weekly[fast > 0, there.weekday(), there.hour].append(ratio)
    out = []
    for at in asked:
        there, fast = at + 3 * HOUR, fast_of(at)
        group = fasting[fast, there.hour] if fast else []
        group = group if len(group) >= 4 else weekly[fast > 0, there.weekday(), there.hour]
        out.append(sum(group) / len(group) * level(now))
    return np.array(out)


@pytest.fixture(scope="module")
def spring() -> History:
    """Ramadan 2024 and the weeks around it: load differs by day of the fast, by weekday and by hour."""
    random = np.random.default_rng(3)
    first, rows = local(RIYADH, 2024, 2, 8), []
    for k in range(24 * 95):
        at = first + HOUR * k
        there, fast = at + 3 * HOUR, fast_of(at)
        value = 100.0 + 5 * there.hour + (40 if there.weekday() == 4 else 0)
        value = value * (1.5 + fast / 20 if fast else 1.0) * float(random.lognormal(0, 0.05))
        if random.random() > 0.02:
            rows.append((at, value))
    return history(metrics(rows), first + HOUR * 24 * 95, RIYADH)


@pytest.mark.row("T3")
@pytest.mark.parametrize("now", [local(RIYADH, 2024, 4, 20), local(RIYADH, 2024, 3, 28)])
def test_the_baseline_is_hourly_averages_per_day_of_ramadan(spring: History, now: datetime) -> None:
    past = spring.cut(now)
    study, known = learn(past)
    model = SeasonalBaselineModel().fit(study, known)
    # Hours of every kind: days of a fast that were seen, later ones that were not, ordinary weekdays.
    coming = [
        local(RIYADH, 2024, 3, 12) + DAY * d + HOUR * h for d in (0, 3, 9, 20, 27, 36, 41) for h in (3, 12, 19, 22)
    ]
    asked = pl.DataFrame([(ENTITY, now, at) for at in coming], schema=QUESTION, orient="row")
    said = model.forecast(LOAD.study(past, asked)).rows
    told = {t: v for t, v in past["metrics"].select("time", "value").iter_rows()}  # noqa: C416
    np.testing.assert_allclose(said["point"].to_numpy(), by_hand(study, known, told, coming, now), rtol=1e-9)
    assert (said["q10"] <= said["q50"]).all()
    assert (said["q50"] <= said["q90"]).all()


@pytest.mark.row("T3")
def test_the_baseline_tells_the_days_of_ramadan_apart_and_weekdays_outside_it() -> None:
    """At one level: each (day of the fast, hour) has its own average; outside it each (weekday, hour)."""
    rows, value = [], []
    for fast in range(31):
        for weekday in range(7) if fast == 0 else [fast % 7]:
            for hour in range(24):
                for k in range(4):
                    rows.append((float(fast) if fast else None, float(fast > 0), float(weekday), float(hour), 50.0))
                    value.append(50.0 * (1 + (10 * fast if fast else weekday) + hour / 24) + k)
    names = ["fasting_day", "is_ramadan", "day_of_week", "hour", "average"]
    seen = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row").fill_null(float("nan"))
    asked = pl.DataFrame([(ENTITY, utc(2024, 1, 1), utc(2024, 1, 1))] * len(rows), schema=QUESTION, orient="row")
    study = Study(history=history(metrics([]), utc(2024, 1, 1)), questions=asked, features=Block.of(seen))
    model = SeasonalBaselineModel().fit(study, pl.DataFrame({"value": value}))
    told = np.repeat(np.array(value).reshape(-1, 4).mean(axis=1), 4)
    np.testing.assert_allclose(model.forecast(study).rows["point"].to_numpy(), told)
    doubled = Study(history=study.history, questions=asked, features=Block.of(seen.with_columns(average=100.0)))
    np.testing.assert_allclose(model.forecast(doubled).rows["point"].to_numpy(), 2 * told)


@pytest.mark.row("T3")
def test_a_saved_baseline_says_the_same(spring: History, tmp_path: Path) -> None:
    study, known = learn(spring)
    model = SeasonalBaselineModel().fit(study, known)
    model.save(tmp_path)
    again = SeasonalBaselineModel().load(tmp_path)
    assert_frame_equal(again.forecast(study).rows, model.forecast(study).rows, check_exact=True)


@pytest.mark.row("T3")
@pytest.mark.parametrize("gap", [10, 30, 40])
def test_weeks_without_metrics_do_not_spoil_the_averages(gap: int) -> None:
    """Load is 100, always; then nothing for a while; then 100 again. So the answer is 100."""
    first = utc(2024, 5, 1)
    hours = [*range(24 * 30), *range(24 * (30 + gap), 24 * (60 + gap))]
    whole = history(metrics([(first + HOUR * k, 100.0) for k in hours]), first + DAY * (60 + gap))
    study, known = learn(whole)
    asked = ask(ENTITY, [whole.now - HOUR * k for k in range(7 * 24)])  # every weekday
    said = SeasonalBaselineModel().fit(study, known).forecast(LOAD.study(whole, asked)).rows
    np.testing.assert_allclose(said["point"].to_numpy(), 100.0, rtol=1e-6)


@pytest.mark.row("T3")
@pytest.mark.parametrize("silent", [3, 29, 35])
def test_after_weeks_of_silence_the_baseline_still_knows_the_level(silent: int) -> None:
    """The newest value is weeks old but within what the task reads: about 100, or nothing, but never 1."""
    first = utc(2024, 5, 1)
    rows = metrics([(first + HOUR * k, 100.0) for k in range(24 * 60)])
    study, known = learn(history(rows, first + DAY * 60))
    model = SeasonalBaselineModel().fit(study, known)
    later = history(rows, first + DAY * (60 + silent))
    said = model.forecast(LOAD.study(later, ask(ENTITY, [later.now]))).rows["point"][0]
    assert said is None or np.isnan(said) or said == pytest.approx(100.0, rel=0.2)


# ---------------------------------------------------------------- T4

DONATIONS = "donations/requests_per_minute"


@dataclass(frozen=True)
class Trial:
    """Hours of Ramadan forecast by models that knew only what came before the first of them."""

    hours: list[datetime]
    actual: Floats
    effect: Floats  # what Ramadan multiplies the usual load by: the truth of the sample
    said: dict[str, Floats]

    def error(self, name: str) -> float:
        """Mean absolute error over the mean load."""
        return float(np.abs(self.said[name] - self.actual).mean() / self.actual.mean())

    def lift(self, name: str, effect: float) -> float:
        """The median of what a model multiplied the usual load of those hours by."""
        there = self.effect == effect
        usual = self.actual[there] / self.effect[there]
        return float(np.median(self.said[name][there] / usual))


@pytest.fixture(scope="module")
def world() -> History:
    whole = sample.sample(1).history
    return History(whole.standpoint, {"metrics": whole["metrics"].filter(pl.col("entity") == DONATIONS)})


def trial(world: History, start: datetime, days: int, step: int, names: list[str]) -> Trial:
    study, known = learn(world.cut(start))
    hours = [start + HOUR * k for k in range(step - 1, 24 * days)]
    asked = LOAD.study(world, ask(DONATIONS, hours, step))
    told = dict(world["metrics"].select("time", "value").iter_rows())
    models: dict[str, Forecaster] = {name: LOAD.candidates[name]().fit(study, known) for name in names}
    return Trial(
        hours=hours,
        actual=np.array([told[hour] for hour in hours]),
        effect=sample.effect(hours),
        said={name: model.forecast(asked).rows["point"].to_numpy() for name, model in models.items()},
    )


@pytest.fixture(scope="module")
def just_begun(world: History) -> Trial:
    """Three days of the fast are known; the next four, four hours ahead: a week ago there was none."""
    return trial(world, local(RIYADH, 2024, 3, 14), 4, 4, ["weekly_naive", "seasonal_baseline", "pattern_learner"])


@pytest.fixture(scope="module")
def a_week_in(world: History) -> Trial:
    """A week of the fast is known; the next four days."""
    return trial(world, local(RIYADH, 2024, 3, 18), 4, 4, ["weekly_naive", "pattern_learner"])


@pytest.mark.row("T4")
def test_when_ramadan_has_just_begun_the_learner_is_far_better_than_last_week(just_begun: Trial) -> None:
    assert just_begun.error("pattern_learner") < 0.55 * just_begun.error("weekly_naive")
    assert just_begun.error("pattern_learner") < 0.55 * just_begun.error("seasonal_baseline")


@pytest.mark.row("T4")
def test_after_three_days_the_learner_knows_the_direction_of_each_effect(just_begun: Trial) -> None:
    """Last week knows nothing of it: about 1 for each."""
    for effect in (sample.IFTAR, sample.TARAWEEH, sample.SUHOOR):
        assert just_begun.lift("weekly_naive", effect) == pytest.approx(1, abs=0.12)
    assert just_begun.lift("pattern_learner", sample.IFTAR) < 0.85
    assert just_begun.lift("pattern_learner", sample.TARAWEEH) > 1.4
    assert just_begun.lift("pattern_learner", sample.SUHOOR) > 1.6


@pytest.mark.row("T4")
@pytest.mark.parametrize(
    ("effect", "off"),
    [(sample.IFTAR, 0.12), (sample.TARAWEEH, 0.25), (sample.SUHOOR, 0.35), (sample.FAST, 0.08), (1.0, 0.1)],
    ids=["iftar", "taraweeh", "suhoor", "fast", "ordinary"],
)
def test_after_a_week_the_learner_knows_each_effect(a_week_in: Trial, effect: float, off: float) -> None:
    assert (a_week_in.effect == effect).sum() >= 4
    assert a_week_in.lift("pattern_learner", effect) == pytest.approx(effect, abs=off)


@pytest.mark.row("T4")
def test_after_a_week_the_learner_is_no_worse_than_last_week(a_week_in: Trial) -> None:
    """Now a week ago was Ramadan too: the hardest naive there is."""
    assert a_week_in.error("pattern_learner") < 1.1 * a_week_in.error("weekly_naive")
    assert a_week_in.error("pattern_learner") < 0.12


@pytest.mark.row("T4")
def test_an_ordinary_day_shows_nothing_of_ramadan(world: History) -> None:
    """Before the fast begins, at the same hours: no dip, no surge."""
    before = trial(world, local(RIYADH, 2024, 3, 4), 4, 4, ["pattern_learner"])
    assert (before.effect == 1).all()
    assert before.error("pattern_learner") < 0.1
    clock = np.array([(hour + 3 * HOUR).hour for hour in before.hours])
    for hour in (4, 18, 20):
        assert np.median((before.said["pattern_learner"] / before.actual)[clock == hour]) == pytest.approx(1, abs=0.12)


# ---------------------------------------------------------------- the candidates together


def test_every_candidate_answers_and_the_baseline_needs_no_training(world: History) -> None:
    past = world.cut(local(RIYADH, 2024, 3, 18))
    study, known = learn(past)
    asked = LOAD.study(past, ask(DONATIONS, [past.now + HOUR * k for k in range(4)]))
    assert LOAD.baseline == "weekly_naive"
    assert not LOAD.candidates["weekly_naive"]().needs_training
    assert {"seasonal_baseline", "pattern_learner", "boosted_19"} <= set(LOAD.candidates)
    for name in ("weekly_naive", "seasonal_baseline", "boosted_19"):
        rows = LOAD.candidates[name]().fit(study, known).forecast(asked).rows
        assert rows.height == 4
        assert rows.null_count().sum_horizontal()[0] == 0, name
        assert (rows["point"] > 0).all(), name


def test_a_learner_without_outcomes_says_what_is_missing() -> None:
    empty = history(metrics([(utc(2024, 3, 1), 1.0)]), utc(2024, 3, 2))
    asked = questions(empty)
    study = Study(history=empty, questions=asked, features=features(empty, asked))
    with pytest.raises(NotReady, match="more history"):
        LOAD.candidates["pattern_learner"]().fit(study, outcomes(empty, asked))


def test_the_sample_s_ramadan_is_the_announced_one() -> None:
    """The truth of T4 is itself held to the dates: effects begin on the eve's night and not before."""
    hours = [local(RIYADH, 2024, 3, 1) + HOUR * k for k in range(24 * 15)]
    effect = sample.effect(hours)
    first = hours[int(np.argmax(effect != 1))]
    assert first.astimezone(local(RIYADH, 2024, 3, 1).tzinfo) >= local(RIYADH, 2024, 3, 10, 19)
    assert first <= local(RIYADH, 2024, 3, 10, 21)
    assert (sample.END + 3 * HOUR).date() == date(2024, 4, 5)
    assert timedelta(0) <= sample.END - local(RIYADH, 2024, 3, 30) < timedelta(days=10)
