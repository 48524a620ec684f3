"""What a sprint delivers beside what it holds: asked at any moment of it, answered with the chance to fall short."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import polars as pl

from foretell.contract import Ask, Block, Floats, Forecast, Forecaster, Frame, History, Quantity, at_most, quantile
from foretell.domains.agile.duration import question
from foretell.domains.agile.schema import DeliveryAnswer, SprintRequest
from foretell.domains.agile.sprints import MICROSECONDS, asked_at, held, past, planned, promised, total
from foretell.features.asof import Known, latest
from foretell.features.grid import micros
from foretell.models.forest import Forest
from foretell.models.scaled import Given, Usual

DIFFERENCE = Quantity(unit="points", levels=(0.1, 0.25, 0.5, 0.75, 0.9))
MOMENTS = (0.0, 0.3, 0.5, 0.8)  # of a sprint's time at which it is asked
STATES = {"todo": "todo", "doing": "in_progress", "done": "done"}
FADING, USUAL = 0.8, 2.0  # a sprint counts so much of the next one; usual ones beside a project's own
RECORD = {"fell_short": 0.5, "nothing_done": 0.25, "share_done": 0.7}  # what is usual in a sprint with points
SAID = {"delivered": "point", "low": quantile(0.1), "high": quantile(0.9)}  # fields of an answer
LEARNED = (
    "planned_days", "elapsed", "team", "done", "doing", "todo", "done_issues", "doing_issues", "todo_issues",
    "added", "removed", "log_added", "log_removed", "log_start", "log_done", "log_open", "log_held", "log_issues",
    "points_an_issue", *RECORD,
)  # fmt: skip
BURNT = {level: f"burnt_{quantile(level)}" for level in DIFFERENCE.levels}


def questions(history: History) -> Frame:
    """Every sprint at the moments of it."""
    return asked_at(history, MOMENTS)


def outcomes(history: History, asked: Frame) -> Frame:
    """`value`, the points delivered when the sprint ends (as planned at `as_of`) minus those in it at `as_of`."""
    found = promised(history, asked)
    return found.select(pl.col("delivered") - pl.col("committed"), "known_at").rename({"delivered": "value"})


def features(history: History, asked: Frame) -> Block:
    """As `told`, of the sprint's issues as they were at `as_of` and at its start."""
    plan, n = planned(history, asked), asked.height
    begun = pl.Series(np.minimum(plan["starts"].to_numpy(), asked["as_of"].to_numpy())).dt.replace_time_zone("UTC")
    first, now = held(history, asked, begun), held(history, asked, asked["as_of"])
    rows = {"start": first, **{name: now.filter(pl.col("category") == one) for name, one in STATES.items()}}
    for name, one, other in (("added", now, first), ("removed", first, now)):
        rows[name] = one.join(other, on=("place", "entity"), how="anti")
    length, spent = (
        ((plan["ends"] if name == "ends" else asked[name]) - plan["starts"]).dt.total_microseconds().to_numpy()
        for name in ("ends", "as_of")
    )
    people = now.with_columns(latest(history, now, "assignments", ("person",))["person"])
    people = people.filter(pl.col("person") != "").unique(["place", "person"])
    counts = {name: total(one, n, "points") for name, one in rows.items()}
    counts |= {f"{name}_issues": total(one, n) for name, one in rows.items()}
    counts |= {"planned_days": length / MICROSECONDS, "elapsed": np.clip(spent / length, 0.0, 1.0)}
    return told(counts | {"team": total(people, n)}, record(past(history), asked))


def told(counts: Mapping[str, Floats], record: Mapping[str, Floats]) -> Block:
    """What is known of sprints in numbers, from points and issues (at the start, added, removed, and in each state).

    And from `planned_days`, `elapsed` and `team`:
    `scale`, `BURNT` by the rule that what is done so far goes on (at the start: as past sprints did), from nothing more
    to all of it; and `LEARNED`: shares of what is held or was at the start, and logarithms.
    """
    points, issues = (sum((counts[name + kind] for name in STATES), np.zeros(1)) for kind in ("", "_issues"))
    done, elapsed = counts["done"], counts["elapsed"]
    made = {name: counts[name] for name in ("planned_days", "elapsed", "team")} | dict(record) | {"scale": points + 1}
    for name in STATES:
        made |= {name: counts[name] / (points + 1), f"{name}_issues": counts[f"{name}_issues"] / (issues + 1)}
    made |= {name: counts[name] / (counts["start"] + 1) for name in ("added", "removed")}
    made |= {f"log_{name}": np.log(counts[name] + 1) for name in ("start", "added", "removed", "done")}
    made |= {"log_open": np.log(points - done + 1), "log_held": np.log(points + 1), "log_issues": np.log(issues + 1)}
    burnt = np.divide(done, elapsed, out=record["share_done"] * points, where=elapsed > 0)
    short = np.clip(burnt, done, np.maximum(points, done)) - points
    burning = {
        name: short + ((0.5 - level) * 2 * (done - points - short) if level < 0.5 else (1 - 2 * level) * short)
        for level, name in BURNT.items()
    }
    return Block.of_columns(made | burning | {"points_an_issue": points / (issues + 1)})


def record(over: Frame, asked: Frame) -> dict[str, Floats]:
    """What the project's sprints with points were like that were over by `as_of`, by the names of `RECORD`.

    `over` has `project`, `known_at`, `committed` and `delivered`. Newer ones count more.
    """
    done, held_ = pl.col("delivered"), pl.col("committed")
    like = over.filter(held_ > 0).select(
        "project", "known_at", fell_short=(done < held_).cast(pl.Float64), nothing_done=(done <= 0).cast(pl.Float64),
        share_done=(done / held_).clip(0, 2),
    )  # fmt: skip
    known, usual = Known.of(like, "project"), np.array([*RECORD.values()])
    rows, out = like.select(*RECORD).to_numpy()[known.order], np.empty((asked.height, len(RECORD)))
    for k, (first, last) in enumerate(zip(*known.until(asked["project"], micros(asked["as_of"])), strict=True)):
        weight = FADING ** np.arange(last - first)[::-1]
        out[k] = (weight @ rows[first:last] + USUAL * usual) / (weight.sum() + USUAL)
    return dict(zip(RECORD, out.T, strict=True))


CANDIDATES: Mapping[str, Callable[[], Forecaster]] = {
    "usual": partial(Usual, levels=DIFFERENCE.levels, by="project"),
    "burn_rate": partial(Given, BURNT),
    "forest": partial(Forest, columns=LEARNED, levels=DIFFERENCE.levels, scale="scale", bounds=(-1.0, 1.5)),
}


def ask(request: SprintRequest, history: History) -> Ask:
    """The sprint as it is. Raises NotFound for one that is not there, Refused for one that is over."""
    return Ask(questions=question(request, history))


def under(said: Forecast) -> Floats:
    """The chance of each question that less is delivered than committed: the share of worlds, else by the quantiles."""
    if said.draws is not None:
        return np.asarray((said.draws < -1e-9).mean(axis=1))
    return at_most(said.rows.select(map(quantile, DIFFERENCE.levels)).to_numpy(), DIFFERENCE.levels, -1e-6)


def decide(forecast: Forecast, request: SprintRequest, history: History) -> DeliveryAnswer:
    """The points, and the chance to fall short."""
    asked = question(request, history)
    committed = float(total(held(history, asked, asked["as_of"]), 1, "points")[0])
    row = forecast.rows.row(0, named=True)
    said = {name: max(0.0, committed + row[column]) for name, column in SAID.items()}
    return DeliveryAnswer(
        project=request.project or "", sprint=request.sprint, ends=asked["at"][0], committed=committed,
        difference=said["delivered"] - committed, **said, under=float(under(forecast)[0]),
        method=str(forecast.evidence["method"][0]), reasoning=forecast.record.reason if forecast.record else "",
    )  # fmt: skip


def headline(answer: DeliveryAnswer) -> float:
    """The points delivered."""
    return answer.delivered
