"""One learner across the whole catalogue, and for each product the methods that have served it best.

Both learn from the days of all products behind the questions they are given, at many more standpoints than were asked.
What is learned is relative to a product's own level, so that one model serves all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from foretell.contract import Cost, Floats, Forecast, Forecaster, Frame, History, Study
from foretell.domains.inventory import models
from foretell.domains.inventory.features import categories, ends, offers, panel
from foretell.domains.inventory.models import AT_LEAST, Expected, told
from foretell.domains.inventory.patterns import CV2, INTERVAL, NEW, SILENT
from foretell.features import days
from foretell.features.ahead import Seen
from foretell.features.dates import begins, micros, number, numbers
from foretell.features.days import HORIZON, WEEK, WINDOW, Days
from foretell.features.offers import Offers
from foretell.models import daily, weighed
from foretell.models.boosted import BoostedMean
from foretell.models.weights import weights

FEWEST = 3  # products, with fewer there is nothing to share
ROWS = 60_000  # days, and as many spans of days, to learn from
STANDPOINTS = 40  # old ones that are learned from at most
SETTLED = 7  # days, at least, between them
SPANS = np.array([WEEK, HORIZON])  # days whose mean is learned
SHAPE = {"learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 200, "lambda_l2": 5.0, "feature_fraction": 0.6,
         "bagging_fraction": 0.7, "bagging_freq": 1}  # fmt: skip
TREES = partial(BoostedMean, rounds=150, power=1.3, shape=SHAPE)
SPIKE, SURGE = 10.0, 3.0  # times its level a day counts at most in learning, and the mean of a span
TWO_YEARS = 560  # days of which the time of year is learned,
EIGHT_WEEKS = 56  # and of which sums of days are: fewer hold too few of them
JUDGED = 3  # old standpoints that methods are judged at, `HORIZON` days apart
GIVEN = 0.1  # share of the demand that spikes must have for the whole total to be kept
LEARNER = "learner"
SLOW = 0.01  # seconds of a fit
METHODS = (LEARNER, "weekday_mean", "eight_weeks", "steady", "croston_sba", "tsb")
WORST = 9.0  # a squared error relative to the level counts as this at most
SHRUNK = 20.0  # products of a category that are worth as much as what is usual


Lesson = tuple[Floats, Floats, Floats]  # features, what came, and the level that it is relative to


@dataclass(frozen=True)
class Learned:
    """Trees for single days and for the mean of the coming days, whether they know the time of year, and categories.

    How much there will be is learned of spans, for a sum has fewer spikes and clearer trends than its days; on which
    days, of days. Categories have places by how often their products sell. With little `begun`, spans say nothing.
    """

    days: BoostedMean
    spans: BoostedMean
    begun: int  # days that there were to learn from
    category: Mapping[str, float]

    @property
    def yearly(self) -> bool:
        """Whether the time of year is known."""
        return self.begun >= TWO_YEARS

    @classmethod
    def of(cls, history: History, until: int) -> Learned | None:
        """What the days before `until` teach; None with fewer than `FEWEST` products or too few days."""
        every = panel(history)
        if len(every.names) < FEWEST or until - every.first < 2 * AT_LEAST:
            return None
        told = categories(history, every.names, history.now)
        busy = days.state(every.before(until, np.arange(len(every.names))))["busy364"]  # how often each sells
        ranks = weighed.by_name(told, busy, SHRUNK)
        blank = cls(TREES(), TREES(), until - every.first, {name: rank for name, rank in ranks.items() if name})
        lessons = list(blank._lessons(history, every, until, told))
        for trees, most, part in ((blank.days, SPIKE, 0), (blank.spans, SURGE, 1)):
            whole = [np.concatenate([lesson[part][k] for lesson in lessons]) for k in range(3)]
            inputs, value, level = (each[~np.isnan(whole[1])] for each in whole)
            if len(value) < 2 * AT_LEAST:
                return None
            weight = np.sqrt(np.minimum(level, np.quantile(level, 0.99)))
            trees.learn(inputs, np.minimum(value / level, most), weight / weight.mean())
        return blank

    def _lessons(
        self, history: History, every: Days, until: int, told: Sequence[str]
    ) -> Iterator[tuple[Lesson, Lesson]]:
        """Of some products at some old standpoints: one of the days after each, and the mean of a span of them."""
        random, zone = np.random.default_rng(1), history.standpoint.zone
        planned = offers(history, every.names)
        last, first = until - SETTLED, max(every.first + AT_LEAST, until - WINDOW)
        apart = max(SETTLED if last - first > 8 * SETTLED else 3, (last - first) // STANDPOINTS)
        stood = range(last, first - 1, -apart)
        for day in stood:
            rows = np.sort(random.permutation(len(every.names))[: ROWS // len(stood) + 1])
            block = every.before(day, rows)
            kept = ((~np.isnan(block)).sum(axis=1) >= AT_LEAST) & (days.scale(block) > days.LEAST)
            rows = rows[kept]
            known = planned.known(micros(begins(day, zone)))
            seen = Seen(block[kept], self._codes([told[row] for row in rows]), known, rows, day, self.yearly)
            place, step = np.arange(len(rows)), random.integers(0, HORIZON, len(rows))
            after = every.after(day, rows, HORIZON)
            after[:, until - day :] = np.nan
            span = SPANS[random.integers(0, len(SPANS), len(rows))]
            total = days.mean(np.where(np.arange(HORIZON) < span[:, None], after, np.nan))
            total[span > 2 * (until - day)] = np.nan
            yield (seen.days(place, step), after[place, step], seen.level), (seen.spans(span), total, seen.level)

    def _codes(self, told: Sequence[str]) -> Floats:
        return np.array([self.category.get(name, np.nan) for name in told])

    def ahead(self, block: Floats, told: Sequence[str], planned: Offers, day: int, steps: int) -> Floats:
        """The mean of each of the coming days (products x steps, at least `HORIZON`), from a block of days before.

        `told` are the categories. The first week, and what is left of `HORIZON`, sum up to what was learned of spans.
        """
        seen = Seen(block, self._codes(told), planned, np.arange(len(block)), day, self.yearly)
        place, step = np.repeat(np.arange(len(block)), steps), np.tile(np.arange(steps), len(block))
        shape = self.days.mean(seen.days(place, step)).reshape(len(block), steps)
        if self.begun < EIGHT_WEEKS:
            alone: Floats = shape * seen.level[:, None]
            return alone
        week, whole = (self.spans.mean(seen.spans(np.full(len(block), span))) for span in SPANS)
        rest = np.maximum(HORIZON * whole - WEEK * week, 0.0) / (HORIZON - WEEK)
        week, rest = week / shape[:, :WEEK].mean(axis=1), rest / shape[:, WEEK:HORIZON].mean(axis=1)
        said: Floats = shape * np.where(np.arange(steps) < WEEK, week[:, None], rest[:, None]) * seen.level[:, None]
        return said

    def save(self, folder: Path) -> None:
        """Write both kinds of trees as text, the rest as JSON."""
        for name, trees in (("days", self.days), ("spans", self.spans)):
            (folder / name).mkdir()
            trees.save(folder / name)
        (folder / "learned.json").write_text(json.dumps({"begun": self.begun, "category": dict(self.category)}))

    @classmethod
    def load(cls, folder: Path) -> Learned | None:
        """Read what `save` wrote; None where nothing was learned."""
        if not (folder / "learned.json").exists():
            return None
        alone, spans = (TREES().load(folder / name) for name in ("days", "spans"))
        return cls(alone, spans, **_json(folder / "learned.json"))


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def learned(history: History, until: int) -> Learned | None:
    """The same for every candidate that asks: it takes seconds."""
    return history.once(lambda known: (Learned.of(known, until),), ("learned", until))[0]


def experts(history: History, found: Learned, names: Sequence[str], moment: datetime, steps: int) -> Experts:
    """What the learner and the quick methods expect of each of the coming days, of products that have sales.

    The quick methods know levels alone; which days are busy, and what a promotion does, the learner knows best.
    """
    zone = history.standpoint.zone
    every, day = panel(history), number(moment, zone)
    block = every.before(day, np.searchsorted(every.names, names))
    planned = offers(history, names).known(micros(moment))
    month = found.ahead(block, categories(history, names, moment), planned, day, max(steps, HORIZON))
    level = month[:, :HORIZON].mean(axis=1)
    shape = month[:, :steps] / np.maximum(level, days.LEAST)[:, None]
    said = {LEARNER: level, **days.levels(block)}
    return Experts(block, {name: level[:, None] * shape for name, level in said.items()})


@dataclass(frozen=True)
class Experts:
    """By name what each expects (products x days), and the days before."""

    block: Floats
    said: Mapping[str, Floats]

    @property
    def steps(self) -> int:
        """How many days are expected."""
        return int(self.said[LEARNER].shape[1])

    def total(self, method: str) -> float:
        """What a method expects of all products and days."""
        return float(self.said[method].sum())


def classed(block: Floats) -> list[str]:
    """The class of each product, as `patterns.kind` has it of one."""
    known, busy = ~np.isnan(block), block > 0
    sizes = np.where(busy, block, np.nan)
    size = days.mean(sizes)
    with np.errstate(invalid="ignore", divide="ignore"):
        interval = known.sum(axis=1) / busy.sum(axis=1)
        varied = days.mean(np.square(sizes - size[:, None])) / np.square(size) >= CV2
    rare = interval >= INTERVAL
    named = np.select([rare & varied, rare, varied], ["lumpy", "intermittent", "erratic"], "smooth")
    young = days.WINDOW - known.argmax(axis=1) < NEW
    dead = ~busy[:, -SILENT:].any(axis=1)
    return [str(name) for name in np.select([dead, young], ["dead", "new"], named)]


class Learner:
    """The learner alone; with `summed` as a Local is."""

    needs_training = True
    cost = Cost(fit=0.1, forecast=0.2)

    def __init__(self, *, summed: bool = False) -> None:
        self.summed = summed
        self.found: Learned | None = None

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - there is more in the history
        """Learn from the history behind the questions; return self."""
        self.found = learned(study.history, ends(study.history))
        return self

    def forecast(self, study: Study) -> Forecast:
        """Mean and quantiles; null where nothing was learned, and of a product with too few days."""
        found = {} if self.found is None else dict(self._said(study, self.found))
        return told(study, lambda entity, as_of, *_: found.get((entity, as_of)), summed=self.summed)

    def _said(self, study: Study, found: Learned) -> Iterator[tuple[tuple[str, datetime], Expected]]:
        """For each product and standpoint its mean and the methods behind it."""
        zone, sold = study.history.standpoint.zone, set(panel(study.history).names)
        for (as_of,), group in study.questions.partition_by("as_of", as_dict=True).items():
            names = sorted(sold.intersection(group["entity"]))
            if not names:
                continue
            steps = max(0, int(numbers(group["at"], zone).max()) - number(as_of, zone)) + 1
            for name, mean, by in self._answers(experts(study.history, found, names, as_of, steps), names):
                yield (name, as_of), Expected(mean, by)

    def _answers(self, said: Experts, names: Sequence[str]) -> Iterator[tuple[str, Floats, str]]:
        for name, mean in zip(names, said.said[LEARNER], strict=True):
            yield name, mean, LEARNER

    def save(self, folder: Path) -> None:
        """Write what was learned."""
        if self.found:
            self.found.save(folder)

    def load(self, folder: Path) -> Self:
        """Read it."""
        self.found = Learned.load(folder)
        return self


class Catalogue(Learner):
    """For each product the mean of the methods that have served it best, weighted by how well.

    Each is judged at old standpoints by the total of the days after them, the learner as it was fitted before them.
    A product's own judgements are weighed against those of its class, and half is the learner's anyway. The spikes that
    robust methods leave out are given back to all products in proportion: the catalogue's total is held to that of the
    last four weeks' steadied days, times what spikes add to a quarter of a year; the more the more they add.
    """

    cost = Cost(fit=0.2, forecast=0.2)

    def __init__(self, *, summed: bool = False) -> None:
        super().__init__(summed=summed)
        self.weights: dict[str, dict[str, float]] = {}  # by product
        self.classes: dict[str, dict[str, float]] = {}  # by class
        self.factor = 1.0

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn, judge, weigh; return self."""
        super().fit(study, outcomes)
        if self.found is None:
            return self
        history, until = study.history, ends(study.history)
        self._weigh(history, until)
        every = panel(history)
        said = experts(history, self.found, every.names, begins(until, history.standpoint.zone), HORIZON)
        ours = sum(float(mean.sum()) for _, mean, _ in self._answers(said, every.names))
        times, steady = days.spiked(said.block), said.total("steady")
        if ours > 0 and steady > 0:
            self.factor = (times * steady / ours) ** min(1.0, (1 - 1 / times) / GIVEN)
        return self

    def _weigh(self, history: History, until: int) -> None:
        every, zone = panel(history), history.standpoint.zone
        begun = until - every.first
        span = HORIZON if begun >= 4 * HORIZON else 2 * days.WEEK
        count = min(JUDGED, max(1, (begun - 3 * AT_LEAST) // span))
        before = learned(history, until - count * span) or self.found
        assert before is not None
        rows, wrong = np.arange(len(every.names)), []
        for k in range(1, count + 1):
            day = until - k * span
            said = experts(history, before, every.names, begins(day, zone), span)
            wrong.append(_errors(said, every.after(day, rows, span)))
        kinds = classed(every.before(until, rows))
        self.classes, self.weights = weights(np.stack(wrong), METHODS, every.names, kinds)

    def _answers(self, said: Experts, names: Sequence[str]) -> Iterator[tuple[str, Floats, str]]:
        kinds = classed(said.block)
        for k, name in enumerate(names):
            weight = self.weights.get(name) or self.classes.get(kinds[k]) or dict.fromkeys(METHODS, 1 / len(METHODS))
            mean = sum((said.said[method][k] * share for method, share in weight.items()), np.zeros(said.steps))
            by = ", ".join(f"{method} {share:.0%}" for method, share in sorted(weight.items(), key=lambda one: -one[1]))
            yield name, mean * self.factor, by

    def save(self, folder: Path) -> None:
        """Write what was learned and weighed, of all products in one file."""
        super().save(folder)
        told = {"weights": self.weights, "classes": self.classes, "factor": self.factor}
        (folder / "catalogue.json").write_text(json.dumps(told))

    def load(self, folder: Path) -> Self:
        """Read it."""
        super().load(folder)
        told = _json(folder / "catalogue.json")
        self.weights, self.classes, self.factor = told["weights"], told["classes"], told["factor"]
        return self


def _errors(said: Experts, true: Floats) -> Floats:
    """The squared error of each method's total relative to the product's level (products x methods), bounded.

    NaN of a product that had no level or no known day. Unknown days count for nobody.
    """
    known = ~np.isnan(true)
    level = days.scale(said.block) * known.sum(axis=1)
    sold = np.where(known, true, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        wrong = [np.square((np.where(known, said.said[m], 0.0).sum(axis=1) - sold) / level) for m in METHODS]
    return np.where((level > 0)[:, None], np.minimum(np.column_stack(wrong), WORST), np.nan)


def candidates(*, summed: bool = False) -> dict[str, Callable[[], Forecaster]]:
    """Every method, the baseline first: the quick ones, the learner and the best of all, then those that take long."""
    local = models.candidates(summed=summed)
    quick = {name: make for name, make in local.items() if daily.METHODS[name].seconds < SLOW}
    ours: dict[str, Callable[[], Forecaster]] = {
        LEARNER: partial(Learner, summed=summed),
        "catalogue": partial(Catalogue, summed=summed),
    }
    return {**quick, **ours, **local}
