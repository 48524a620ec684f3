"""Who is asked about, what became of them, and what answers say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from foretell.contract import Block, Forecast, History
from foretell.domains.realestate import CONTACT, DOMAIN, MOVE, TYPE, contact, decide, models, people
from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.sample import END, sample, world
from foretell.domains.realestate.schema import ContactRequest, PersonRequest, Settings
from foretell.engine.backtest import backtest
from foretell.engine.predict import predict
from foretell.errors import NotReady
from foretell.models.boosted import BoostedChance
from foretell.models.linear import LinearChance

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def history() -> History:
    """The sample's world."""
    return sample(1).history


def told(history: History, **settings: Any) -> History:
    """The same under other settings."""
    return History(replace(history.standpoint, settings=Settings(**settings)), history.tables)


def deal(person: str, when: datetime, known: datetime, kind: str = "SELL") -> pl.DataFrame:
    """A deal of a person."""
    row = {"person": person, "entity": person, "time": when, "known_at": known, "kind": kind, "transaction": f"{when}"}
    times = {name: pl.col(name).dt.cast_time_unit("us").dt.replace_time_zone("UTC") for name in ("time", "known_at")}
    plain = {name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in row.items()}
    return pl.DataFrame([{**plain, "property": "", "area": "", "agent": "", "price": None}]).with_columns(**times)


def asked(person: str, when: datetime, days: int = 183) -> pl.DataFrame:
    """A question about a person."""
    frame = pl.DataFrame({"entity": [person], "as_of": [when], "at": [when + days * DAY]})
    return frame.with_columns(pl.col("as_of", "at").cast(pl.Datetime("us", "UTC")), property=None, area=None)


def test_an_outcome_is_known_when_every_deed_of_the_time_asked_about_should_be_in(history: History) -> None:
    start = datetime(2023, 1, 1, tzinfo=UTC)
    made = deal("p1", start + 20 * DAY, start + 60 * DAY)
    bare = History(history.standpoint, {**history.tables, "transactions": made})
    question = asked("p1", start)
    sure = start + (183 + 120) * DAY
    for moment, value in ((start + 90 * DAY, None), (sure - DAY, None), (sure, 1.0)):
        outcome = people.moved(bare.cut(moment), question)
        assert outcome["value"][0] == value
        assert outcome["known_at"][0] == (sure if value is not None else None)
    nobody = people.moved(bare.cut(sure), asked("p2", start))
    assert nobody["value"][0] == 0.0


def test_a_deed_that_comes_too_late_does_not_change_a_known_outcome(history: History) -> None:
    start = datetime(2023, 1, 1, tzinfo=UTC)
    made = deal("p1", start + 20 * DAY, start + 400 * DAY)
    bare = History(history.standpoint, {**history.tables, "transactions": made})
    assert people.moved(bare, asked("p1", start))["value"][0] == 0.0


def test_a_deal_of_another_kind_is_no_move_and_the_first_counts(history: History) -> None:
    start = datetime(2023, 1, 1, tzinfo=UTC)
    made = pl.concat(
        [
            deal("p1", start + 20 * DAY, start + 30 * DAY, "REFINANCE"),
            deal("p1", start + 50 * DAY, start + 60 * DAY, "BUY"),
        ]
    )
    bare = History(history.standpoint, {**history.tables, "transactions": made})
    assert people.moved(bare, asked("p1", start))["value"][0] == 1.0
    assert people.moved(told(bare, moves=["SELL"]), asked("p1", start))["value"][0] == 0.0
    assert people.dealt(bare, asked("p1", start))["value"][0] == "REFINANCE"
    nothing = people.dealt(bare, asked("p3", start))
    assert nothing["value"][0] is None
    assert nothing["known_at"][0] is not None


def test_who_has_left_a_home_is_no_longer_told_about_by_it(history: History) -> None:
    start, row = datetime(2023, 1, 1, tzinfo=UTC), history["homes"].head(1)
    person = str(row["person"][0])
    left = row.with_columns(
        time=pl.lit(start).cast(pl.Datetime("us", "UTC")), known_at=pl.lit(start).cast(pl.Datetime("us", "UTC")),
        active=pl.lit(value=False),
    )  # fmt: skip
    gone = History(history.standpoint, {**history.tables, "homes": pl.concat([history["homes"], left])})
    before, after = (people.lived(gone, asked(person, start + k * DAY)) for k in (-1, 1))
    assert before["property"][0] == row["property"][0]
    assert before["area"][0] is not None
    assert (after["property"][0], after["area"][0]) == (None, None)


def test_what_a_tenant_leaves_out_is_missing_and_what_is_given_counts(history: History) -> None:
    question = people.questions(history).tail(3)
    plain = people.features(history, question)
    assert not np.isnan(plain["session_count_30d"]).any()
    without = people.features(told(history, without=["behavioural"], without_features=["days_at_home"]), question)
    gone = {*CATALOGUE.names("behavioural"), "days_at_home"}
    assert all(np.isnan(without[name]).all() for name in gone)
    kept = [name for name in plain.names if name not in gone]
    assert np.array_equal(without.of_names(kept), plain.of_names(kept), equal_nan=True)
    given = question.with_columns(
        pl.Series(
            people.GIVEN, ['{"session_count_30d": 99.0}', '{"session_count_30d": null}', '{"session_count_30d": 0}']
        )
    )
    assert people.features(history, given)["session_count_30d"].tolist() == [99.0, plain["session_count_30d"][1], 0.0]


def test_protected_proxies_are_named_and_say_so_in_a_reason(history: History) -> None:
    guarded = {one.name: one.guard for one in CATALOGUE.features if one.guard}
    assert "days_at_home" in guarded
    assert "area_price_per_size_365d" in guarded
    evidence = pl.DataFrame({"why": [[{"feature": "days_at_home", "adds": 0.5, "value": 30.0}]]})
    forecast = Forecast(rows=pl.DataFrame({"chance": [0.3]}), evidence=evidence)
    answer = decide.move(forecast, PersonRequest(person="p1"), history)
    assert answer.reasons[0].guard == guarded["days_at_home"]


@pytest.mark.parametrize(
    ("chance", "rank", "fixed", "capacity"),
    [
        (0.75, 0.1, "HIGH", "LOW"), (0.74, 0.6, "MEDIUM", "MEDIUM"), (0.1, 0.9, "LOW", "HIGH"),
        (0.4, 0.8, "MEDIUM", "HIGH"),
    ],
)  # fmt: skip
def test_levels_are_of_fixed_chances_or_of_what_the_tenant_can_look_after(
    history: History, chance: float, rank: float, fixed: str, capacity: str
) -> None:
    assert decide.level(history, chance, rank) == fixed
    assert decide.level(told(history, by_capacity=True), chance, rank) == capacity


def test_a_chance_is_told_as_a_frequency_beside_what_is_usual(history: History) -> None:
    evidence = pl.DataFrame({"usual": [0.06], "rank": [0.9]})
    forecast = Forecast(rows=pl.DataFrame({"chance": [0.18]}), evidence=evidence)
    answer = decide.move(forecast, PersonRequest(person="p1"), history)
    assert answer.words == "18 of 100 like this move within 6 months; usual 6"
    assert answer.lift == pytest.approx(3.0)


def test_reasons_add_up_to_no_more_than_the_chance_and_order_by_what_they_add(history: History) -> None:
    lesson = people.questions(history).filter(pl.col("as_of") < END - 400 * DAY)
    outcomes = people.moved(history, lesson)
    model = MOVE.candidates["both"]().fit(MOVE.study(history, lesson), outcomes)
    question = lesson.tail(2).with_columns(reasons=pl.Series([True, False]))
    said = model.forecast(MOVE.study(history, question))
    assert said.evidence["why"][1] is None
    answer = decide.move(said.slice(0, 1), PersonRequest(person="p1"), history)
    added = [one.contribution for one in answer.reasons]
    assert added == sorted(added, reverse=True)
    assert all(0 < one <= answer.chance for one in added)
    assert all(one.contribution < 0 for one in answer.against)
    bare = model.forecast(MOVE.study(history, lesson.tail(2)))
    assert np.array_equal(bare.rows["chance"].to_numpy(), said.rows["chance"].to_numpy())


def test_nobody_is_made_up(history: History) -> None:
    with pytest.raises(NotReady, match="nothing is known of nobody"):
        decide.ask(PersonRequest(person="nobody"), history)


def test_before_any_model_the_answer_says_where_it_is_from(history: History) -> None:
    (said,) = predict([(MOVE, PersonRequest(person="p0000001"))], history, {})
    assert not isinstance(said, Exception)
    assert said.method == "census"
    assert said.fallback == "no model of realestate.move has been trained yet"
    assert said.answer.model_dump()["chance"] == pytest.approx(1 - (1 - 0.087) ** (183 / 365.25), rel=1e-3)


def test_chances_are_nearly_as_good_as_the_true_ones() -> None:
    made = world(3, people=1000, months=34)
    standing = replace(sample(1).history.standpoint, settings=Settings())
    history = History(standing, {**sample(1).history.tables, **made.tables})
    tested = backtest(replace(MOVE, candidates={n: MOVE.candidates[n] for n in ("usual", "line")}), history)
    rows = tested.asked.with_columns(said=tested.forecasts["line"]["chance"]).join(made.truth, on=["entity", "as_of"])
    value = rows["value"].cast(pl.Float64).to_numpy()

    def auc(chance: pl.Series) -> float:
        rank = chance.rank().to_numpy()
        hit = value == 1
        return float((rank[hit].sum() - hit.sum() * (hit.sum() + 1) / 2) / (hit.sum() * (~hit).sum()))

    assert auc(rows["true"]) > 0.6
    assert auc(rows["said"]) > auc(rows["true"]) - 0.05


# ---------------------------------------------------------------- when to call


def active(person: str, times: list[datetime]) -> pl.DataFrame:
    """Visits of a person."""
    when = pl.Series(times).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame({"person": person, "entity": person, "time": when, "known_at": when})


def test_a_person_of_fixed_habits_is_called_then_by_the_tenants_clocks(history: History) -> None:
    tuesdays = [datetime(2024, 4, 2, 15, 20, tzinfo=UTC) + k * 7 * DAY for k in range(12)]  # 10:20 in Chicago
    tables = {**history.tables, "sessions": active("p1", tuesdays)}
    for name in ("accesses", "emails", "alerts", "searches", "contacts"):
        tables[name] = history[name].clear()
    bare = History(history.standpoint, tables)
    (said,) = predict([(CONTACT, ContactRequest(person="p1"))], bare, {})
    assert not isinstance(said, Exception)
    best = said.answer.model_dump()["best"][0]
    assert (best["day"], best["hour"]) == (1, 10)
    assert best["at"] > bare.now
    assert said.answer.model_dump()["seen"] == 12
    local = best["at"].astimezone(bare.now.tzinfo)
    assert local.minute == 0


def test_nobody_is_called_at_night(history: History) -> None:
    nights = [datetime(2024, 1, 2, 8, 20, tzinfo=UTC) + k * DAY for k in range(60)]  # 2:20 in Chicago
    bare = History(history.standpoint, {**history.tables, "sessions": active("p1", nights)})
    (said,) = predict([(CONTACT, ContactRequest(person="p1", count=24))], bare, {})
    assert not isinstance(said, Exception)
    assert all(8 <= one["hour"] < 20 for one in said.answer.model_dump()["best"])


def test_the_blend_says_of_somebody_unseen_what_everybody_does(history: History) -> None:
    asked_ = contact.questions(history).head(3000)
    outcomes = contact.outcomes(history, asked_)
    known = outcomes["value"].is_not_null()
    study = CONTACT.study(history, asked_.filter(known))
    blend = contact.Blend().fit(study, outcomes.filter(known))
    nobody = asked("stranger", END - DAY).select("entity", "as_of", "at")
    said = blend.forecast(CONTACT.study(history, nobody)).rows
    chance = said.to_numpy()[0]
    assert chance.sum() == pytest.approx(1)
    assert np.corrcoef(chance, blend.week)[0, 1] > 0.99


def test_each_task_has_a_day_one_answer() -> None:
    assert [task.name for task in (MOVE, TYPE, CONTACT)] == [task.name for task in DOMAIN.tasks][:3]
    for task in (MOVE, TYPE, CONTACT):
        assert any(not make().needs_training for make in task.candidates.values()), task.name


def test_a_block_of_features_has_every_name_once() -> None:
    names = CATALOGUE.names()
    assert len({*names}) == len(names)
    assert isinstance(Block(names, np.zeros((0, len(names)))), Block)


def test_a_new_model_learns_nothing_from_what_is_deprecated(history: History) -> None:
    old, *others = CATALOGUE.features
    after = replace(CATALOGUE, features=(replace(old, deprecated=True), *others))
    assert after.names() == CATALOGUE.names()  # it is still made
    assert after.learned() == CATALOGUE.names()[1:]
    for make in (MOVE.candidates["line"], MOVE.candidates["both"], TYPE.candidates["trees"]):
        made: Any = make()
        for part in getattr(made, "parts", [made]):
            assert tuple(part.columns) == CATALOGUE.learned()


def test_a_model_that_knows_a_feature_goes_on_with_it_after_it_is_deprecated(history: History, tmp_path: Path) -> None:
    def made(names: Sequence[str]) -> models.Propensity:
        return models.Propensity(
            lambda: LinearChance(columns=names),
            lambda: BoostedChance(columns=names, rounds=5, shape={"num_threads": 1}),
        )

    asked = people.questions(history).tail(400)
    study = MOVE.study(history, asked)
    happened = pl.DataFrame({"value": (study.features["session_count_30d"] > 1).astype(float)})
    before = made(CATALOGUE.names()).fit(study, happened)
    before.save(tmp_path)
    after = made(CATALOGUE.names()[1:]).load(tmp_path)
    assert after.forecast(study).rows.equals(before.forecast(study).rows)
