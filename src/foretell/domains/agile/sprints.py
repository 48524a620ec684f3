"""Sprints as they were at a moment, what they had promised, and how long it takes until what they hold is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from statistics import NormalDist

import numpy as np
import polars as pl

from foretell.contract import EPOCH, MICRO, Block, Floats, Forecaster, Frame, History, Quantity, Read, quantile
from foretell.domains.agile.features import READS, SEEN, finished
from foretell.features.asof import Known, Record, latest, remembered
from foretell.features.grid import micros
from foretell.models import throughput
from foretell.models.paths import generator
from foretell.models.scaled import Around, Given

SPRINT_READS = (*READS, Read(table="sprints", window=SEEN, by="project"))
DAYS = Quantity(unit="days", levels=(0.05, 0.1, 0.25, 0.5, 0.75, 0.85, 0.9, 0.95), lower=0.0)
PLAYED = {level: f"played_{quantile(level)}" for level in DAYS.levels}
MIDDLE = PLAYED[0.5]
MOMENTS = (0.0, 0.5)  # of a sprint's time at which it is asked how long it takes
LONGEST = 3  # times its planned length after which a sprint is given up
LATELY = 5  # sprints that a velocity is the mean of
WEEK = timedelta(days=7)
MICROSECONDS = 86_400_000_000
ROUGH, AMID = 0.35, 0.75  # log-normal: how far a sprint is from what is told, at its start and later
FILLED = 0.25  # log-log: how much longer a sprint takes that holds more than is usual, up to `FULL` times that
FULL = 2.0
WORKDAYS = 5.0  # a week, of a team without a past
LEAST = 0.2  # days: shorter ones count as so much

_around = partial(partial, Around, wide="rough", levels=DAYS.levels)
CANDIDATES: Mapping[str, Callable[[], Forecaster]] = {
    "velocity": _around("rule"),
    "planned": _around("left"),
    "played": partial(Given, PLAYED),
    "usual": _around("usual"),
}


def asked_at(history: History, shares: Sequence[float]) -> Frame:
    """Every sprint, asked about when these shares of its time were over, as it was planned when it began.

    A sprint that became known late begins then.
    """
    early = pl.col("known_at") <= pl.col("starts")
    begun = [
        pl.coalesce(pl.col(name).filter(early).last(), pl.col(name).first())
        for name in ("project", "starts", "ends", "known_at")
    ]
    plan = history["sprints"].sort("known_at", maintain_order=True).group_by("entity").agg(begun)
    starts = pl.max_horizontal("starts", "known_at")
    plan = plan.with_columns(starts=starts).filter(pl.col("starts") < pl.col("ends"))
    length = pl.col("ends") - pl.col("starts")
    moments = [plan.select("entity", "project", as_of=pl.col("starts") + length * one, at="ends") for one in shares]
    return pl.concat(moments).filter(pl.col("as_of") <= history.now).sort("as_of", "entity")


def held(history: History, asked: Frame, moment: pl.Series) -> Frame:
    """The issues in each question's sprint at its `moment`: `place` of the question, `entity`, `points`, `category`."""
    return remembered(history, asked.select("entity", moment.alias("as_of")), _held)


def _held(history: History, asked: Frame) -> Frame:
    pairs = asked.select("as_of", place=pl.int_range(pl.len()), sprint="entity")
    pairs = pairs.join(history.once(_ever), on="sprint").sort("place", "entity")
    known = latest(history, pairs, "issues", ("sprint", "points"))
    here = pairs.with_columns(known["points"]).filter((known["sprint"] == pairs["sprint"]).fill_null(False))
    moved = latest(history, here, "status_changes", ("category",))
    return here.select("place", "sprint", "as_of", "entity", "points", moved["category"].fill_null("todo"))


def _ever(history: History) -> Frame:
    """Which issues were ever in which sprint."""
    return history["issues"].filter(pl.col("sprint") != "").select("entity", "sprint").unique()


def planned(history: History, asked: Frame) -> Frame:
    """`starts` and `ends` of each question's sprint as known at `as_of`, and `origin`, from when days are counted."""
    known = latest(history, asked, "sprints", ("starts", "ends"))
    return known.with_columns(asked["as_of"]).select("starts", "ends", origin=pl.max_horizontal("starts", "as_of"))


def total(rows: Frame, count: int, column: str | None = None) -> Floats:
    """The sum of a column over the rows of each question's place; without one, how many rows there are."""
    weights = rows[column].fill_null(0.0).to_numpy() if column else None
    found: Floats = np.bincount(rows["place"].to_numpy(), weights, minlength=count).astype(np.float64)
    return found


def promised(history: History, asked: Frame) -> Frame:
    """What each question's sprint had promised, and what became of it.

    `committed`: the points in it at `as_of`; `delivered`, of those in it when it ends (as planned then) the ones done;
    `known_at`, that end; both are null before it.
    """
    ends = planned(history, asked)["ends"]
    then, last = held(history, asked, asked["as_of"]), held(history, asked, ends)
    over = pl.when((ends > asked["as_of"]) & (ends <= history.now))
    done = total(last.filter(pl.col("category") == "done"), asked.height, "points")
    return asked.select(
        committed=pl.Series(total(then, asked.height, "points")),
        delivered=over.then(pl.Series(done)),
        known_at=over.then(ends),
    )


def past(history: History) -> Frame:
    """The sprints that are over, as they stood at their start: `entity`, `project`, `promised`; by their ends."""
    return history.stored.once(_past)


def _past(history: History) -> Frame:
    asked = asked_at(history, (0.0,))
    told = asked.select("entity", "project").hstack(promised(history, asked).get_columns())
    return told.filter(pl.col("known_at").is_not_null()).sort("known_at", "entity")


def velocities(history: History, asked: Frame) -> Floats:
    """The mean of the points that the project's last `LATELY` sprints delivered by `as_of`; NaN without any."""
    rows = past(history)
    known = Known.of(rows, "project")
    points = rows["delivered"].to_numpy()[known.order]
    spans = zip(*known.until(asked["project"], micros(asked["as_of"])), strict=True)
    return np.array([points[max(a, b - LATELY) : b].mean() if b > a else np.nan for a, b in spans])


# ---------------------------------------------------------------- until everything is done


def questions(history: History) -> Frame:
    """Every sprint at its start and half-way, where it had open issues."""
    asked = asked_at(history, MOMENTS)
    return asked.filter(pl.Series(total(_open(history, asked), asked.height) > 0))


def _open(history: History, asked: Frame) -> Frame:
    """What is in each question's sprint and not done, without the one issue that the question leaves out."""
    rows = held(history, asked, asked["as_of"]).filter(pl.col("category") != "done")
    if "without" not in asked.columns:
        return rows
    out = asked.select(place=pl.int_range(pl.len()), entity="without").drop_nulls()
    return rows.join(out, on=("place", "entity"), how="anti", maintain_order="left")


def outcomes(history: History, asked: Frame) -> Frame:
    """`value`, the days from the sprint's start (or `as_of`, if later) until the last issue in it at `as_of` is done.

    An issue that is taken out before the sprint ends is not waited for; one that is carried over is. It is known when
    the last is done or taken out. Void where nothing is left, or something is not done `LONGEST` planned lengths later.
    """
    plan = planned(history, asked)
    limit = plan["origin"] + (plan["ends"] - plan["starts"]) * LONGEST
    rows = _open(history, asked)
    place = rows["place"].to_numpy()
    rows = rows.select("place", "entity", "sprint", "as_of", ends=plan["ends"][place], limit=limit[place])
    done = rows.join(history["status_changes"].select("entity", "category", when="known_at"), on="entity")
    done = done.filter(pl.col("category") == "done", pl.col("when") > pl.col("as_of"))
    left = rows.join(history["issues"].select("entity", "known_at", other="sprint"), on="entity")
    left = left.filter(
        pl.col("other") != pl.col("sprint"), pl.col("known_at") > pl.col("as_of"), pl.col("known_at") < pl.col("ends")
    )
    for frame, name, column in ((done, "done", "when"), (left, "left", "known_at")):
        first = frame.group_by("place", "entity").agg(pl.col(column).min().alias(name))
        rows = rows.join(first, on=("place", "entity"), how="left")
    out = pl.col("left") <= pl.col("done").fill_null(pl.col("limit"))
    rows = rows.with_columns(done=pl.when(~out.fill_null(False)).then("done"), over=pl.when(out).then("left"))
    rows = rows.with_columns(over=pl.coalesce("over", "done"))
    late = pl.col("over").is_null() | (pl.col("over") > pl.col("limit"))
    whole = rows.group_by("place").agg(
        pl.col("limit").first(), late=late.any(), over=pl.col("over").max(), done=pl.col("done").max()
    )
    found = asked.select(place=pl.int_range(pl.len())).join(whole, on="place", how="left", maintain_order="left")
    known = pl.when("late").then("limit").otherwise("over")
    known = pl.when(known <= history.now).then(known)
    days = (pl.col("done") - plan["origin"]).dt.total_microseconds() / MICROSECONDS
    return found.select(value=pl.when(~pl.col("late") & known.is_not_null()).then(days), known_at=known)


def features(history: History, asked: Frame) -> Block:
    """What is known of a sprint to say how long it takes.

    In days: `length` (planned), `left` of it, `rule` (by `velocity`), and `PLAYED`, quantiles of the days played
    through with `weeks` of the past; zero weeks: a rough guess about what is `left`. `usual` is what is left, times
    what the project's sprints took beside that (the median, one as planned among them), longer or shorter where this
    one holds more or less than they did. Whether it is `amid` (0 or 1), and how `rough` all this is (of the logarithm);
    open `points` and `issues`, `velocity` (points a sprint; NaN without a past), `workdays` (a week).
    """
    return remembered(history, asked, _features)


def _features(history: History, asked: Frame) -> Block:
    known = _known(history, asked)
    took, full = history.stored.once(_records)
    whose, moments = _whose(asked, known).to_list(), micros(asked["as_of"])
    fuller = _beside_left(known, known[MIDDLE]) - full.median(whose, moments)
    within = np.clip(fuller, -math.log(FULL), math.log(FULL))
    more = np.nan_to_num(FILLED * within + (fuller - within))
    usual = known["left"] * np.exp(took.median(whose, moments, 0.0) + more) * (known[MIDDLE] > 0)
    return Block((*known.names, "usual"), np.column_stack([known.values, usual]))


def _records(history: History) -> tuple[Record, Record]:
    """What sprints took, and what they should have by what they held, beside what was left of them; in logarithms."""
    over = history.once(_lasted).filter(pl.col("value").is_not_null())
    known = _known(history, over)
    full = np.where(known["weeks"] > 0, _beside_left(known, known[MIDDLE]), np.nan)  # else it is but a guess
    rows = over.select("known_at", whose=_whose(over, known), took=_beside_left(known, over["value"].to_numpy()))
    rows = rows.with_columns(full=pl.Series(full).fill_nan(None))
    return Record.of(rows, "whose", "took"), Record.of(rows, "whose", "full")


def _whose(asked: Frame, known: Block) -> pl.Series:
    """Of whom and when: sprints of one project, at their start or amid them, are like each other."""
    return asked["project"] + pl.Series(np.where(known["amid"] > 0, "\namid", "\nstart"))


def _beside_left(known: Block, days: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(days, LEAST) / known["left"]))


def _known(history: History, asked: Frame) -> Block:
    """All features but the usual."""
    plan, n = planned(history, asked), asked.height
    length, left = (
        ((plan["ends"] - plan[name]).dt.total_microseconds() / MICROSECONDS).to_numpy() for name in ("starts", "origin")
    )
    amid = (left < 0.9 * length).astype(np.float64)
    left = np.where(left > 0, left, length)
    rows, velocity = _open(history, asked), velocities(history, asked)
    points = total(rows, n, "points")
    with np.errstate(divide="ignore", invalid="ignore"):
        rule = np.where(velocity > 0, points / velocity * length, left)
    played, weeks, workdays = _played(history, asked, plan, rows)
    rough, away = np.where(amid > 0, AMID, ROUGH), [NormalDist().inv_cdf(level) for level in DAYS.levels]
    played = np.where(weeks[:, None] > 0, played, left[:, None] * np.exp(np.outer(rough, away)))
    nothing = total(rows, n) == 0
    columns = {"length": length, "left": left, "points": points, "issues": total(rows, n), "velocity": velocity}
    columns |= {"amid": amid, "rough": rough, "rule": np.where(nothing, 0.0, rule), "weeks": weeks}
    columns["workdays"] = workdays
    played[nothing] = 0.0
    return Block.of_columns(columns | {name: played[:, k] for k, name in enumerate(PLAYED.values())})


def _played(history: History, asked: Frame, plan: Frame, rows: Frame) -> tuple[Floats, Floats, Floats]:
    """Quantiles of days for each question, the weeks of the past that they were drawn from, and days worked in one."""
    over = history.stored.once(_done)
    points = rows.group_by("place").agg("points")
    open_ = dict(zip(points["place"].to_list(), points["points"].to_list(), strict=True))
    out, weeks = np.zeros((asked.height, len(DAYS.levels))), np.zeros(asked.height)
    workdays = np.full(asked.height, WORKDAYS)
    where = asked.select("entity", "project", "as_of").hstack(plan.get_columns())
    for k, (sprint, project, as_of, starts, ends, origin) in enumerate(where.iter_rows()):
        known = over.get(project, np.empty((2, 0)))
        when, done = known[:, known[0] <= _at(as_of)]
        if not len(done) or k not in open_:
            continue
        first = origin - -(-(origin - as_of) // WEEK) * WEEK  # whole weeks before a start that is yet to come
        sizes, todo = throughput.sizes(done, open_[k])
        ago = (_at(first) - when) / MICROSECONDS
        drawn = throughput.weekly(ago, sizes, _spans(history, project, _at(as_of), _at(first)))
        if not drawn.any():
            continue
        weeks[k], workdays[k] = len(drawn), throughput.worked(drawn).sum()
        span, random = math.ceil(LONGEST * ((ends - starts) / WEEK)) + 1, generator(sprint, origin.toordinal())
        days = throughput.days(drawn, todo, weeks=span, random=random)
        out[k] = np.quantile(days, DAYS.levels)
    return out, weeks, workdays


def _at(moment: datetime) -> int:
    return (moment - EPOCH) // MICRO


def _done(history: History) -> dict[str, Floats]:
    """When the issues of each project were finished (microseconds), and their points, NaN of none; in that order."""
    rows = finished(history).select("project", pl.col("known_at").dt.epoch("us"), "points")
    return {name: each.drop("project").to_numpy().T for (name,), each in rows.group_by("project", maintain_order=True)}


def _spans(history: History, project: str, as_of: int, first: int) -> Floats:
    """When the project had something to do: from each sprint's start until all it held was done, as known at `as_of`.

    Since and until, in days before `first`.
    """
    begun, known, took = history.stored.once(_begun).get(project, np.empty((3, 0)))
    since = ((first - begun) / MICROSECONDS)[begun < first]
    took = np.where(known <= as_of, took, np.inf)[begun < first]
    return np.column_stack([since, np.maximum(since - took, 0.0)])


def _begun(history: History) -> dict[str, Floats]:
    """When each project's sprints began, when it was known how long they took (microseconds), and that (days)."""
    told = [pl.col(name).dt.epoch("us").cast(pl.Float64).fill_null(np.inf) for name in ("as_of", "known_at")]
    rows = history.once(_lasted).unique("entity", keep="first")
    rows = rows.select("project", *told, pl.col("value").fill_null(np.inf))
    return {name: each.drop("project").to_numpy().T for (name,), each in rows.group_by("project")}


def _lasted(history: History) -> Frame:
    """Sprints, at their start and half-way, with how long they took."""
    asked = asked_at(history, MOMENTS)
    return asked.hstack(outcomes(history, asked).get_columns())
