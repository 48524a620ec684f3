"""Who moves, on a seeded world whose truth is known and on public records; and when people are active.

Everything is out of sample and in time order: learned from what was known at a mark, everybody known by then is asked,
and judged by what came after. `served` won the race that the engine holds at the mark, and is calibrated as in service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from bench import deals, regulars, seen
from bench.report import goal, met, number, table

from foretell import metrics
from foretell.contract import INSTANT, Block, Floats, Frame, History, Study
from foretell.domains.realestate import CONTACT, MOVE
from foretell.domains.realestate.people import settings
from foretell.domains.realestate.sample import world
from foretell.domains.realestate.schema import Settings
from foretell.engine.outcomes import join
from foretell.engine.train import Lesson, lesson, train

RACED = {name: MOVE.candidates[name] for name in ("recency", "line", "both")}
SHOWN, REGULARS = "shown what others did then", "BG/NBD"
FIFTHS = 5
WORLDS = {"1,000 people, mean of twelve worlds": (1000, 34, range(1, 13)), "100,000 people": (100_000, 34, range(1, 2))}
Scores = dict[str, float | None]


def measure(name: str) -> dict[str, Any]:
    """The figures of one part, printed; raises MissingError without its files."""
    return PARTS[name]()


def everybody(history: History, mark: datetime) -> Frame:
    """A question at the mark about each person known by then."""
    known = history["people"].filter(pl.col("known_at") <= mark).select(pl.col("entity").unique().sort())
    days = timedelta(days=settings(history).move_days)
    return known.with_columns(as_of=pl.lit(mark, INSTANT), at=pl.lit(mark + days, INSTANT))


def score(happened: Floats, chance: Floats) -> Scores:
    """Every figure of a set of chances, by its heading."""
    return {
        "AUC": metrics.auc(happened, chance),
        "lift of the top tenth": metrics.lift(happened, chance),
        "Brier": metrics.brier(happened, chance),
        "Brier of the base rate": metrics.brier(happened, np.full(len(happened), happened.mean())),
        "calibration error": metrics.calibration_error(happened, chance),
    }


def shown_others(taught: Lesson, study: Study, outcomes: Frame) -> Frame:
    """The chances by who is shown, beside what was known at the mark, what the others asked about did after it.

    Each fifth of the people is told of by a learner that saw the other four: nothing changed between what it learned
    and what it is asked, so what it misses is not in the features, or not to be learned from so many. It is the best
    of line and both, by AUC, in hindsight.
    """
    happened = outcomes["value"].cast(pl.Float64).to_numpy()
    part = np.random.default_rng(1).permutation(len(happened)) % FIFTHS
    found: dict[str, Floats] = {}
    for name in ("line", "both"):
        said = found.setdefault(name, np.empty(len(happened)))
        for k in range(FIFTHS):
            rows, hidden = (np.flatnonzero(one) for one in (part != k, part == k))
            learn = replace(
                taught.study,
                questions=pl.concat([taught.study.questions, study.questions[rows]], how="diagonal"),
                features=Block(
                    study.features.names, np.vstack([taught.study.features.values, study.features.rows(rows).values])
                ),
            )
            value = pl.concat(
                [one.select(pl.col("value").cast(pl.Float64)) for one in (taught.outcomes, outcomes[rows])]
            )
            ask = replace(study, questions=study.questions[hidden], features=study.features.rows(hidden))
            said[hidden] = MOVE.candidates[name]().fit(learn, value).forecast(ask).rows["chance"].to_numpy()
    best = max(found, key=lambda name: metrics.auc(happened, found[name]) or 0.0)
    return study.questions.select("entity", chance=pl.Series(found[best]))


def asked(
    history: History, mark: datetime, others: Mapping[str, Frame] | None = None, *, buys: bool = False
) -> dict[str, Any]:
    """What every candidate and the one that serves said at the mark; `others` have `entity` and a `chance` to judge.

    With `buys` so do marketing's model, and who was shown what others did after the mark.
    """
    trained = train(MOVE, history.cut(mark))
    questions = everybody(history, mark)
    study = MOVE.study(history.cut(mark), questions)
    outcomes = MOVE.outcomes(history, questions)
    if outcomes["value"].null_count():
        raise ValueError(f"outcomes of {mark} are not known yet")
    happened = outcomes["value"].to_numpy()
    said = {
        name: make().fit(trained.lesson.study, trained.lesson.outcomes).forecast(study).rows
        for name, make in RACED.items()
    }
    said["served"] = trained.model.forecast(study).rows
    judged = dict(others or {})
    if buys:
        judged[REGULARS] = regulars.chances(history, questions, mark)
        judged[SHOWN] = shown_others(trained.lesson, study, outcomes)
    for name, other in judged.items():
        said[name] = questions.select("entity").join(other, on="entity", how="left", maintain_order="left")
    scores = {name: score(happened, rows["chance"].to_numpy()) for name, rows in said.items()}
    return {
        "scores": scores,
        "asked": len(happened),
        "rate": float(happened.mean()),
        "learned_from": trained.lesson.outcomes.height,
        "served": trained.model.card.candidate,
    }


def shown(title: str, found: Mapping[str, Any]) -> None:
    """A table of the candidates' figures, with what was asked."""
    scores = found["scores"]
    table([title, *scores["served"]], [[name, *map(number, one.values())] for name, one in scores.items()])
    print(
        f"{found['asked']:,} asked, of whom {found['rate']:.1%} did it; learned from {found['learned_from']:,} "
        f"outcomes; {found['served']} serves\n"
    )


def _mean(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of several marks' or worlds' figures."""
    names = parts[0]["scores"]
    scores = {
        name: {key: float(np.mean([part["scores"][name][key] for part in parts])) for key in names[name]}
        for name in names
    }
    count = {key: sum(part[key] for part in parts) for key in ("asked", "learned_from")}
    served = ", ".join(sorted({part["served"] for part in parts}))
    return {"scores": scores, **count, "rate": float(np.mean([part["rate"] for part in parts])), "served": served}


def told(found: dict[str, Any], goals: dict[str, Any]) -> dict[str, Any]:
    """The goals as a table; the figures with them."""
    table(["goal", "is", ""], [[words, number(one["is"]), met(one["met"])] for words, one in goals.items()])
    return {"figures": found, "goals": goals}


def _world() -> dict[str, Any]:
    """Beside the true chances, which nobody could know."""
    mark = datetime(2023, 9, 1, tzinfo=UTC)  # by July 2024 every deed of the next 183 days is in
    found: dict[str, Any] = {}
    goals: dict[str, Any] = {}
    for words, (people, months, seeds) in WORLDS.items():
        parts = []
        for seed in seeds:
            made = world(seed, people, months)
            truth = made.truth.filter(pl.col("as_of") == mark).select("entity", chance="true")
            history = deals.history(made.tables, datetime(2024, 7, 1, tzinfo=UTC), Settings())
            parts.append(asked(history, mark, {"what can be known": seen.chances(made, mark), "the truth": truth}))
        found[words] = _mean(parts)
        shown(words, found[words])
        served, best, true = (found[words]["scores"][name] for name in ("served", "what can be known", "the truth"))
        gap, error = true["AUC"] - served["AUC"], served["calibration error"]
        lift, possible = (served["lift of the top tenth"] / each["lift of the top tenth"] for each in (true, best))
        goals |= {
            f"{words}: AUC below the truth's <= 0.02": goal(gap, gap <= 0.02),
            f"{words}: calibration error <= 0.02": goal(error, error <= 0.02),
            f"{words}: lift of the top tenth / the truth's >= 0.95": goal(lift, lift >= 0.95),
            f"{words}: lift of the top tenth / the possible one >= 0.95": goal(possible, possible >= 0.95),
        }
    return told(found, goals)


def _online_retail() -> dict[str, Any]:
    found: dict[str, Any] = {}
    goals: dict[str, Any] = {}
    for days, mark, least in ((30, datetime(2010, 11, 1, tzinfo=UTC), 0.74), (90, datetime(2010, 9, 1, tzinfo=UTC), 0)):
        history = deals.online_retail(Settings(move_days=days, deed_days=0, moves=["BUY"]))
        words = f"buys within {days} days from {mark:%Y-%m-%d}"
        found[words] = asked(history, mark, buys=True)
        shown(words, found[words])
        auc = found[words]["scores"]["served"]["AUC"]
        wanted = least or found[words]["scores"]["recency"]["AUC"]
        goals[f"{words}: AUC >= {number(wanted)}"] = goal(auc, auc >= wanted)
    return told(found, goals)


def _cdnow() -> dict[str, Any]:
    history = deals.cdnow(Settings(move_days=90, deed_days=0, moves=["BUY"]))
    found = asked(history, datetime(1998, 1, 1, tzinfo=UTC), buys=True)
    shown("buys within 90 days from 1998-01-01", found)
    auc = found["scores"]["served"]["AUC"]
    return told(found, {"AUC >= 0.82": goal(auc, auc >= 0.82)})


def _uk_resale() -> dict[str, Any]:
    history = deals.resales(Settings(move_days=730, deed_days=0, moves=["SELL"]))
    marks = [datetime(2017, month, 1, tzinfo=UTC) for month in (8, 11)] + [datetime(2018, 2, 1, tzinfo=UTC)]
    found = _mean([asked(history, mark) for mark in marks])
    shown("sold again within 24 months: mean of three marks", found)
    auc, simple = (found["scores"][name]["AUC"] for name in ("served", "recency"))
    return told(found, {f"AUC above that of recency and frequency, {number(simple)}": goal(auc, auc > simple)})


def _contact() -> dict[str, Any]:
    """Learned from what was known at the beginning of September; asked every day after on which somebody was active."""
    history = deals.online_retail(Settings())
    mark = datetime(2010, 9, 1, tzinfo=UTC)
    taught = lesson(CONTACT, history.cut(mark))
    every = join(CONTACT, history, CONTACT.questions(history).filter(pl.col("as_of") >= mark))
    every = every.filter(pl.col("state") == "settled")
    study = CONTACT.study(history, every.drop("value", "known_at", "state"))
    rows, found = [], {}
    for name, make in CONTACT.candidates.items():
        said = make().fit(taught.study, taught.outcomes).forecast(study).rows
        names = [column.removeprefix("p:") for column in said.columns]
        which = every["value"].replace_strict({hour: k for k, hour in enumerate(names)}, return_dtype=pl.Int64)
        given = said.to_numpy()[np.arange(every.height), which.to_numpy()]
        found[name] = metrics.log_loss(given)
        rows.append([name, number(found[name]), number(float(np.log(len(names)) - found[name]))])
    table(["the hour of the week of the next purchase", "log loss", "nats below any hour alike"], rows)
    print(f"{every.height:,} asked, learned from {taught.outcomes.height:,}; habit is the person's own histogram\n")
    better = found["blend"] / found["habit"]
    return told(found, {"log loss / that of the person's own histogram < 1": goal(better, better < 1)})


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "world": _world,
    "online_retail": _online_retail,
    "cdnow": _cdnow,
    "uk_resale": _uk_resale,
    "contact": _contact,
}
