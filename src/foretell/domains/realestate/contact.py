"""When a person is reached: from their own habits and everybody's, hour by hour of the week.

An hour of the week is `Mon 09`, by the tenant's clocks. A person is asked about whenever they were active, and the
outcome is the hour of the week in which they are active next, an hour or more later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Ask, Block, Cost, Floats, Forecast, Forecaster, Frame, History, Read, Study
from foretell.domains.realestate.people import known, settings
from foretell.domains.realestate.schema import ContactAnswer, ContactRequest, Slot
from foretell.errors import NotReady
from foretell.features.windows import Rows

SEEN = timedelta(days=36_525)
ACTIVE = ("sessions", "accesses", "emails", "alerts", "searches", "contacts")
READS = (
    Read(table="people", window=SEEN, columns=()),  # who was never active is answered too, if they are there
    *(Read(table=name, window=SEEN) for name in ACTIVE),
)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SLOTS = tuple(f"{day} {hour:02}" for day in DAYS for hour in range(24))
WEEK = len(SLOTS)
APART = timedelta(hours=1)
MOST = 60_000  # old questions
LEARNERS = 10_000  # people that are learned from: of few times each there are as many
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)  # times a person was active, from which on their own habits weigh more
STEPS = 60
FADING = 180.0  # days after which a time counts half
LEAST = 1e-4  # chance that any hour of the week has

Numbers = NDArray[np.int64]


def active(history: History) -> Frame:
    """When people were active, an hour apart at least: `entity`, `known_at`, `slot` (0 to 167), in order."""
    return history.stored.once(_active)


def _active(history: History) -> Frame:
    doing = pl.col("event").is_in(["open", "click", "reply"])
    of = {"emails": doing, "alerts": doing, "contacts": pl.col("answered")}
    told = [history[name].filter(of.get(name, pl.lit(value=True))).select("entity", "known_at") for name in ACTIVE]
    every = pl.concat(told).sort("entity", "known_at")
    before = pl.col("known_at").shift(1).over("entity")
    every = every.filter(before.is_null() | (pl.col("known_at") - before >= APART))
    local = pl.col("known_at").dt.convert_time_zone(history.standpoint.zone)
    return every.with_columns(slot=(local.dt.weekday().cast(pl.Int64) - 1) * 24 + local.dt.hour().cast(pl.Int64))


def questions(history: History) -> Frame:
    """Everybody, each time they were active; of very many times those of an even part of the people."""
    seen = active(history).sort("known_at", "entity")
    if seen.height > MOST:  # the newest of many people would be those of a day, of which nothing has come yet
        seen = seen.filter(pl.col("entity").hash(1) % 1000 < max(1, 1000 * MOST // seen.height))
    return seen.select("entity", as_of="known_at", at="known_at")


def outcomes(history: History, asked: Frame) -> Frame:
    """`value`, the hour of the week in which the person was active next, known then."""
    seen = active(history).select("entity", "slot", then="known_at")
    found = asked.select("entity", soon=pl.col("as_of") + APART).with_row_index("place").sort("soon")
    found = found.join_asof(
        seen.sort("then"), left_on="soon", right_on="then", by="entity", strategy="forward", check_sortedness=False,
        coalesce=False,
    ).sort("place")  # fmt: skip
    names = dict(enumerate(SLOTS))
    return found.select(value=pl.col("slot").replace_strict(names, return_dtype=pl.String), known_at="then")


def ask(request: ContactRequest, history: History) -> Ask:
    """One question. Raises NotReady for somebody of whom nothing is known."""
    if request.person not in known(history):
        raise NotReady(f"nothing is known of {request.person}; bring them into realestate.people")
    now = history.now
    return Ask(questions=pl.DataFrame({"entity": [request.person], "as_of": [now], "at": [now]}).cast(TYPES))


TYPES: Any = {"as_of": pl.Datetime("us", "UTC"), "at": pl.Datetime("us", "UTC")}


def _habits(study: Study) -> Iterator[tuple[Numbers, Floats, Floats]]:
    """For the questions of each person: their places, the times seen by then of each hour of the week, and how many.

    The times fade: one half a year old counts half of one of now.
    """
    rows = Rows(active(study.history), "entity")
    start, end = rows.of(study.questions["entity"])
    now = study.questions["as_of"].dt.epoch("us").to_numpy().astype(np.int64)
    last = rows.until(start, end, now)
    slot = rows.frame["slot"].to_numpy().astype(np.int64)
    order = np.argsort(start, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(start[order])) + 1):
        first, until = int(start[places[0]]), int(last[places].max())
        seen = np.zeros((len(places), WEEK))
        if until > first:
            age = (now[places, None] - rows.known[None, first:until]) / 86_400_000_000
            weight = np.where(np.arange(first, until) < last[places, None], 0.5 ** (np.maximum(age, 0) / FADING), 0.0)
            for k in range(WEEK):
                there = slot[first:until] == k
                if there.any():
                    seen[:, k] = weight[:, there].sum(axis=1)
        yield places, seen, (last[places] - first).astype(np.float64)


class Habit:
    """How often a person was active in each hour of the week, everything else being possible too."""

    needs_training = False
    cost = Cost(forecast=0.2)

    def __init__(self, more: float = 20.0) -> None:
        self.more = more  # times, spread over the week, that count beside those seen

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - nothing to learn
        """Learn nothing; return self."""
        return self

    def forecast(self, study: Study) -> Forecast:
        """The chance of each hour of the week."""
        chance, counts = np.zeros((study.questions.height, WEEK)), np.zeros(study.questions.height)
        for places, seen, count in _habits(study):
            chance[places] = (seen + self.more / WEEK) / (seen.sum(axis=1, keepdims=True) + self.more)
            counts[places] = count
        return told(chance, counts)

    def save(self, folder: Path) -> None:
        """Nothing is learned."""

    def load(self, folder: Path) -> Self:  # noqa: ARG002
        """Return self."""
        return self


def told(chance: Floats, counts: Floats) -> Forecast:
    """A forecast of hours of the week, with how many times each person was `seen`."""
    rows = Block(tuple(f"p:{name}" for name in SLOTS), chance).frame()
    return Forecast(rows=rows, evidence=pl.DataFrame({"seen": counts}))


class Blend:
    """Own habits, own hours on everybody's days, own days at everybody's hours, everybody's week, and any hour.

    How much each counts is learned for people seen so often, by expectation and maximisation (Dempster et al. 1977).
    """

    needs_training = True
    cost = Cost(fit=0.15, forecast=0.15, most=MOST)
    PARTS = 6

    def __init__(self) -> None:
        self.week = np.full(WEEK, 1 / WEEK)
        self.weights = np.full((len(SIZES) + 1, self.PARTS), 1 / self.PARTS)

    def _parts(self, seen: Floats) -> Floats:
        """What each part says (parts x questions x hours of the week)."""
        week = self.week.reshape(7, 24)
        total = seen.sum(axis=1)[:, None, None]
        own = np.where(total > 0, seen.reshape(-1, 7, 24) / np.where(total > 0, total, 1), week)
        hours, days = own.sum(axis=1, keepdims=True), own.sum(axis=2, keepdims=True)
        near = sum(np.roll(own.reshape(-1, WEEK), k, axis=1) * w for k, w in ((-1, 0.25), (0, 0.5), (1, 0.25)))
        by_hour = hours * (week / np.maximum(week.sum(axis=0), 1e-12))
        by_day = days * (week / np.maximum(week.sum(axis=1), 1e-12)[:, None])
        flat = [one.reshape(-1, WEEK) for one in (own, by_hour, by_day)]
        usual = np.broadcast_to(self.week, flat[0].shape)
        return np.stack([*flat, np.asarray(near), usual, np.full_like(flat[0], 1 / WEEK)])

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn everybody's week, and how much each part counts; return self."""
        names = {name: k for k, name in enumerate(SLOTS)}
        came = np.array([names[name] for name in outcomes["value"]], dtype=np.int64)
        self.week = (np.bincount(came, minlength=WEEK) + 1) / (len(came) + WEEK)
        said, size = np.zeros((self.PARTS, len(came))), np.zeros(len(came), dtype=np.int64)
        for places, seen, count in _habits(study):
            said[:, places] = self._parts(seen)[:, np.arange(len(places)), came[places]]
            size[places] = np.searchsorted(SIZES, count, side="right")
        for k in range(len(SIZES) + 1):
            some = said[:, size == k]
            weight = np.full(self.PARTS, 1 / self.PARTS)
            for _ in range(STEPS):
                share = weight[:, None] * some
                # One question of each part more, so that none is ruled out by a few.
                weight = (share / np.maximum(share.sum(axis=0), 1e-300)).sum(axis=1) + 1
                weight /= weight.sum()
            self.weights[k] = weight
        return self

    def forecast(self, study: Study) -> Forecast:
        """The chance of each hour of the week."""
        chance, counts = np.zeros((study.questions.height, WEEK)), np.zeros(study.questions.height)
        for places, seen, count in _habits(study):
            weight = self.weights[np.searchsorted(SIZES, count, side="right")]
            chance[places] = np.einsum("qp,pqs->qs", weight, self._parts(seen))
            counts[places] = count
        chance = np.maximum(chance, LEAST)
        return told(chance / chance.sum(axis=1, keepdims=True), counts)

    def save(self, folder: Path) -> None:
        """Write everybody's week and the weights."""
        (folder / "blend.json").write_text(json.dumps({"week": self.week.tolist(), "weights": self.weights.tolist()}))

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote; return self."""
        read = json.loads((folder / "blend.json").read_text())
        self.week, self.weights = np.array(read["week"]), np.array(read["weights"])
        return self


CANDIDATES: Mapping[str, Callable[[], Forecaster]] = {"habit": partial(Habit), "blend": Blend}


def decide(forecast: Forecast, request: ContactRequest, history: History) -> ContactAnswer:
    """The likeliest hours of the week in which the tenant may call."""
    (row,) = forecast.rows.rows()
    chance = dict(zip((name.removeprefix("p:") for name in forecast.rows.columns), row, strict=True))
    allowed = settings(history)
    best = sorted(
        (-chance.get(name, 0.0), k)
        for k, name in enumerate(SLOTS)
        if allowed.contact_from <= k % 24 < max(allowed.contact_until, allowed.contact_from + 1)
    )
    slots = [
        Slot(day=k // 24, hour=k % 24, at=upcoming(history, k), chance=min(1.0, -less), lift=-less * WEEK)
        for less, k in best[: request.count]
    ]
    seen = int(forecast.evidence["seen"][0])
    values = np.array([*chance.values()])
    sure = 1 + float((values * np.log(np.maximum(values, 1e-300))).sum()) / np.log(WEEK)
    day, hour = slots[0].day, slots[0].hour
    rests = f"on {seen} times they were active" if seen else "on everybody's habits: they were never active before"
    return ContactAnswer(
        person=request.person,
        best=slots,
        seen=seen,
        confidence=min(1.0, max(0.0, sure)),
        words=f"best on {DAYS[day]} between {hour}:00 and {hour + 1}:00, {slots[0].lift:.1f} times as likely as in an"
        f" hour picked blindly; it rests {rests}",
    )


def upcoming(history: History, slot: int) -> Any:
    """When the hour of the week begins next by the tenant's clocks, UTC."""
    local = history.now.astimezone(ZoneInfo(history.standpoint.zone)).replace(minute=0, second=0, microsecond=0)
    for days in range(8):
        day = local + timedelta(days=days)
        there = day.replace(hour=slot % 24)
        if there.weekday() == slot // 24 and there > local:
            return there.astimezone(ZoneInfo("UTC"))
    raise AssertionError


def headline(answer: Any) -> float:
    """The chance of the best hour."""
    return float(answer.best[0].chance)
