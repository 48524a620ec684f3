"""A replay decides with the knowledge of then, chooses on the earlier half and is judged on the later."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import BaseModel
from tests.toys import DAY, HOUR, START, plain
from tests.toys.plain import Told

from foretell import Cost, Frame, History, Study, Task
from foretell.cli.picture import curve
from foretell.contract import Past, Played, Policy, Replay, Replayed
from foretell.engine.replay import choose, replay
from foretell.errors import InvalidRequest, NotFound, NotReady


class About(BaseModel):
    entity: str = "a"


class Last(Told):
    """The newest value known at each standpoint, and the mean of what was learned."""

    def fit(self, study: Study, outcomes: Frame) -> Last:
        self.seen.append(("fit", study, outcomes))
        self.learned = float(outcomes["value"].mean())  # type: ignore[arg-type]
        self.point = self.newest
        return self

    def newest(self, study: Study) -> pl.Series:
        known = study.history["values"].select("entity", "value", as_of="known_at").sort("as_of")
        asked = study.questions.with_row_index("place").sort("as_of")
        said = asked.join_asof(known, on="as_of", by="entity", check_sortedness=False).sort("place")
        return said["value"].fill_null(0.0) + self.learned


def play(request: About, past: Past) -> Played:
    """Hold so much more than is forecast: it costs what is held, and what happened may be more."""
    happened = past.history["values"].select("entity", "value", at="time")
    policies = []
    for family, said in (("forecast", past.ours), ("naive", past.baseline)):
        both = said.join(happened, on=["entity", "at"], how="left", maintain_order="left")
        early = both["as_of"] < past.middle
        for more in (0.0, 1.0, 2.0, 5.0):
            held = both["point"] + more
            each = pl.DataFrame({"cost": held, "risk": (both["value"] > held).cast(pl.Float64)})
            parts = {"earlier": early, "later": ~early, "whole": early | ~early}
            figures = {part: each.filter(where).sum().row(0, named=True) for part, where in parts.items()}
            policies.append(Policy(name=f"{family} {more:g}", family=family, settings={"more": more}, figures=figures))
    return Played(policies=tuple(policies), against="naive 1", assumed={}, notes=())


def subject(request: About, history: History) -> str:
    if request.entity not in history["values"]["entity"]:
        raise NotFound(f"there is no {request.entity}")
    return request.entity


REPLAY = Replay(
    request=About, horizon=HOUR, units={"cost": "m", "risk": "times"}, cost="cost", risk="risk", subject=subject,
    play=play,
)  # fmt: skip


def task(replayed: Replay | None = REPLAY, **candidates: Callable[[], Any]) -> Task:
    return plain.task({"zero": Told, "last": Last, **candidates}, replay=replayed)


def spied(history: History, **asked: Any) -> tuple[Replayed, Past]:
    """A replay of `last`, and what its simulation was given."""
    given: list[Past] = []

    def spy(request: About, past: Past) -> Played:
        given.append(past)
        return play(request, past)

    return replay(task(replace(REPLAY, play=spy)), history, "last", **asked), given[0]


def test_it_is_the_later_half_of_what_can_be_asked_in_two_halves() -> None:
    told, past = spied(plain.history(days=20))
    assert (told.start, told.middle, told.end) == (START + 10 * DAY, START + 15 * DAY, START + 20 * DAY)
    for said in (past.ours, past.baseline):
        assert said["as_of"].to_list() == [told.start + HOUR * k for k in range(240)]
        assert said["entity"].unique().to_list() == ["a"]
        assert said.columns == ["entity", "as_of", "at", "point", "q10", "q50", "q90"]
    assert (past.baseline["point"] == 0).all()
    told = replay(task(), plain.history(days=20), "last", start=START + 4 * DAY, end=START + 8 * DAY)
    assert (told.start, told.middle, told.end) == tuple(START + k * DAY for k in (4, 6, 8))


@pytest.mark.parametrize("late", [HOUR, 3 * DAY])
def test_each_half_is_fitted_on_what_was_known_before_it(late: timedelta) -> None:
    seen: list[tuple[str, Study, Frame | None]] = []
    told = replay(task(last=lambda: Last(seen=seen)), plain.history(days=20, late=late), "last")
    fits = sorted(
        (study.history.now, outcomes) for what, study, outcomes in seen if what == "fit" and outcomes is not None
    )
    assert [now for now, _ in fits] == [told.start, told.middle]
    for now, outcomes in fits:
        newest = outcomes["known_at"].max()
        assert isinstance(newest, datetime)
        assert now - 2 * HOUR < newest <= now
    assert all(study.history.now <= told.end for _, study, _ in seen)


@pytest.mark.parametrize("days", [12, 14.5, 17])
def test_changing_the_future_changes_nothing_that_was_said_before_it(days: float) -> None:
    history, moment = plain.history(days=20), START + days * DAY
    other = pl.when(pl.col("known_at") > moment).then(pl.col("value") * 7 + 100).otherwise("value")
    changed = History(history.standpoint, {"values": history["values"].with_columns(value=other)})
    (_, one), (_, two) = spied(history), spied(changed)
    before = pl.col("as_of") <= moment
    assert one.ours.filter(before).height == 24 * (days - 10) + 1
    assert_frame_equal(one.ours.filter(before), two.ours.filter(before), check_exact=True)
    assert not one.ours["point"].equals(two.ours["point"])


def test_the_later_half_does_not_choose() -> None:
    history, moment = plain.history(days=20, noise=2), START + 15 * DAY
    other = pl.when(pl.col("known_at") > moment).then(pl.col("value") * 3).otherwise("value")
    changed = History(history.standpoint, {"values": history["values"].with_columns(value=other)})
    one, two = replay(task(), history, "last"), replay(task(), changed, "last")
    assert one.chosen == two.chosen
    assert [p.figures["later"] for p in one.policies] != [p.figures["later"] for p in two.policies]


def _policy(name: str, cost: float, risk: float, family: str = "forecast") -> Policy:
    figures = {"cost": cost, "risk": risk}
    return Policy(name=name, family=family, settings={}, figures={"earlier": figures, "later": {"cost": 0, "risk": 0}})


@pytest.mark.parametrize(
    ("money", "chosen"), [(1.0, "cheap"), (2.0, "middle"), (2.5, "middle"), (9.0, "sure"), (0.5, "cheap")]
)
def test_of_ours_the_least_risk_for_as_much_money_is_chosen(money: float, chosen: str) -> None:
    ours = [_policy("sure", 5, 0), _policy("dear", 6, 0), _policy("middle", 2, 3), _policy("cheap", 1, 9)]
    played = Played(
        policies=(*ours, _policy("other", money, 1, "naive"), _policy("best", 0, 0, "naive")), against="other",
        assumed={}, notes=(),
    )  # fmt: skip
    assert choose(played, "cost", "risk").name == chosen


def test_it_is_an_answer_in_json() -> None:
    told = replay(task(), plain.history(days=20), "last", request=About(entity="b"))
    assert Replayed.model_validate_json(told.model_dump_json()) == told
    assert (told.task, told.subject, told.candidate, told.baseline) == ("plain", "b", "last", "zero")
    later = {policy.name: policy.figures["later"] for policy in told.policies}
    paid = later[told.chosen]["cost"]
    near = min((abs(later[f"naive {more}"]["cost"] - paid), f"naive {more}") for more in (0, 1, 2, 5))[1]
    words = [f"{name}: cost {of['cost']:,.0f} and {of['risk']:,.0f} times" for name, of in later.items()]
    ours, other = (words[list(later).index(name)] for name in (told.chosen, near))
    assert told.line == f"16 Jan 2024 to 21 Jan 2024, chosen before: {ours}; nearest in cost: {other}"
    assert told.policy(told.chosen).family == "forecast"


def test_the_baseline_too_can_be_replayed() -> None:
    told = replay(task(), plain.history(days=20), "zero")
    ours, naive = ([p.figures for p in told.policies if p.family == family] for family in ("forecast", "naive"))
    assert ours == naive


def test_what_cannot_be_replayed_is_refused_in_words() -> None:
    history = plain.history(days=20)
    with pytest.raises(NotFound, match="no decisions to replay"):
        replay(task(None), history, "last")
    with pytest.raises(NotFound, match="there are zero, last"):
        replay(task(), history, "best")
    with pytest.raises(NotFound, match="there is no c"):
        replay(task(), history, "last", request=About(entity="c"))
    with pytest.raises(InvalidRequest, match="starts at 2023-12-31 00:00 UTC; a can be asked about from 2024-01-01"):
        replay(task(), history, "last", start=START - DAY)
    with pytest.raises(InvalidRequest, match="ends at 2024-01-22 00:00 UTC; a can be asked"):
        replay(task(), history, "last", end=START + 21 * DAY)
    with pytest.raises(InvalidRequest, match="starts at 2024-01-06"):
        replay(task(), history, "last", start=START + 5 * DAY, end=START + 4 * DAY)
    with pytest.raises(InvalidRequest, match=r"last would take about .* replay fewer days"):
        replay(task(last=lambda: Last(cost=Cost(forecast=1000))), history, "last")


def test_too_little_history_is_named() -> None:
    with pytest.raises(NotReady, match="2 days at least are replayed"):
        replay(task(), plain.history(days=3), "last")
    with pytest.raises(NotReady, match=r"24 settled outcomes before 2024-01-02 are too few.*at least 30"):
        replay(task(), plain.history(days=20), "last", start=START + DAY)
    with pytest.raises(NotReady, match="too little history to ask"):
        replay(
            replace(task(), questions=lambda history: plain.TASK.questions(history).clear()), plain.history(), "last"
        )


def test_a_method_that_never_answers_is_named() -> None:
    silent = task(last=lambda: Told(lambda study: pl.repeat(None, study.questions.height, eager=True)))
    with pytest.raises(NotReady, match="last has too little history of a to answer"):
        replay(silent, plain.history(days=20), "last")


def test_the_picture_shows_every_rule_the_units_and_the_choice() -> None:
    told = replay(task(), plain.history(days=20), "last")
    drawn = curve(told)
    texts = " ".join("".join(n.itertext()) for n in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text"))
    for words in ("forecast", "naive", f"chosen before: {told.chosen}", "cost (m)", "times", "16 Jan 2024"):
        assert words in texts
    assert curve(told) == drawn
