"""Who should do an issue: the document's weighted score, from the record of everybody who has access to the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Ask, Choice, Cost, Floats, Forecast, Frame, History, Read, Study
from foretell.domains.agile.decide import there
from foretell.domains.agile.features import READS as OF_ISSUES
from foretell.domains.agile.features import SEEN, described, finished
from foretell.domains.agile.schema import AssignmentAnswer, AssignmentRequest, Matched, Suggestion
from foretell.domains.agile.sprints import MICROSECONDS
from foretell.errors import InvalidRequest, NotFound, NotReady
from foretell.features.asof import Known, Numbers, Record, latest, remembered
from foretell.features.grid import micros
from foretell.models.matching import matched
from foretell.models.nested import Nested, named
from foretell.models.scaled import Untrained

PERSON = Choice(of="the person who finishes it")
READS = (*OF_ISSUES, Read(table="members", window=SEEN, by="project"))
WEIGHTS = {"skill": 0.4, "workload": 0.3, "performance": 0.2, "availability": 0.1}  # the document's
BUSY = ((0, 1.0), (3, 0.8), (6, 0.5), (10, 0.3))  # open issues up to which the workload scores so much; beyond them 0.1
LEAST = 0.1
HALF_LIFE = 60.0  # days after which a finished issue counts half as much
MANY = 5  # finished issues of a type from which on somebody can be strong in it
DRAWN = 3.0
SHARP = 10.0  # by how much of the logarithm of the odds a whole point of the score is
WEEK, MONTH = 7.0, 30.0  # days since the last activity, up to which somebody is available, or half so


def members(history: History, asked: Frame) -> Frame:
    """Whoever had access to each question's project then: `place` of the question, and the newest row of the person."""
    return remembered(history, asked.select("project", "as_of"), _members)


def _members(history: History, asked: Frame) -> Frame:
    people = history["members"].select("project", "person").unique()
    pairs = asked.with_row_index("place").join(people, on="project").sort("place", "person")
    known = latest(history, pairs, "members", ("active", "name", "email"), by=("project", "person"))
    return pairs.hstack(known.get_columns()).filter(pl.col("active"))


def _pair(*columns: str) -> pl.Expr:
    return pl.concat_str(*columns, separator="\n")


def scores(history: History, asked: Frame) -> Frame:
    """The document's parts and `total`, their weighted sum: one row a question (`place`) and member (`person`).

    skill: twice the share of the person's finished issues that are of the type, 1 at most; workload: by open issues;
    performance: of the issues that were ever given to the person the share that is done; availability: 1 for who did
    anything within a week, 0.5 within a month, else 0. All in the project, by what was known at `as_of`.
    """
    return remembered(history, asked.select("entity", "project", "as_of"), _scores)


def _scores(history: History, asked: Frame) -> Frame:
    pairs = members(history, asked)
    kind = described(history, asked)["type"]
    pairs = pairs.with_columns(type=kind[pairs["place"].to_numpy()], key=_pair("project", "person"))
    moments, keys = micros(pairs["as_of"]), pairs["key"].to_list()
    past = history.stored.once(_past)
    every, _ = past["every"].at(keys, moments)
    same, _ = past["same"].at([f"{key}\n{of}" for key, of in zip(keys, pairs["type"], strict=True)], moments)
    ever, _ = past["ever"].at(keys, moments)
    n, mean = past["open"].at(keys, moments)
    open_: Floats = np.where(n > 0, n * mean, 0.0).round()
    parts = {
        "skill": np.minimum(2 * _share(same, every), 1.0),
        "workload": _by_load(open_),
        "performance": np.minimum(_share(every, ever), 1.0),
        "availability": _available(history.once(_active), keys, moments),
    }
    total = sum((weight * parts[name] for name, weight in WEIGHTS.items()), np.zeros(len(open_)))
    told = {**parts, "total": total, "open": open_, "same": same, "every": every}
    return pairs.select("place", "person", "name", "email", "type").with_columns(
        pl.Series(name, values) for name, values in told.items()
    )


def _past(history: History) -> dict[str, Record]:
    """What everybody finished, of each type too, was ever given, and what came to be and ceased to be open."""
    one = pl.lit(1.0).alias("one")
    done = finished(history).filter(pl.col("assignee") != "").with_columns(one, key=_pair("project", "assignee"))
    given = _given(history).with_columns(one)
    return {
        "every": Record.of(done, "key", "one"),
        "same": Record.of(done.with_columns(key=_pair("key", "type")), "key", "one"),
        "ever": Record.of(given, "key", "one"),
        "open": Record.of(_opened(given, done), "key", "one"),
    }


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _by_load(count: Floats) -> Floats:
    return np.select([count <= most for most, _ in BUSY], [score for _, score in BUSY], LEAST)


def _given(history: History) -> Frame:
    """Every time an issue was given to somebody, and when it was given on."""
    rows = history["assignments"].sort("known_at", maintain_order=True)
    rows = rows.with_columns(until=pl.col("known_at").shift(-1).over("entity"))
    return rows.filter(pl.col("person") != "").with_columns(key=_pair("project", "person"))


def _opened(given: Frame, done: Frame) -> Frame:
    """One more open issue of a person at the time that it was given, one less when it was given on, or done."""
    over = given.join(done.select("entity", over="known_at"), on="entity", how="left")
    over = over.with_columns(until=pl.min_horizontal("until", "over")).filter(
        pl.col("until").is_null() | (pl.col("until") > pl.col("known_at"))
    )
    more = over.select("key", "known_at", one=pl.lit(1.0))
    less = over.filter(pl.col("until").is_not_null()).select("key", known_at="until", one=pl.lit(-1.0))
    return pl.concat([more, less])


def _active(history: History) -> Known:
    """When everybody did anything."""
    seen = [
        history[name].filter(pl.col("person") != "").select("known_at", key=_pair("project", "person"))
        for name in ("worklogs", "assignments")
    ]
    rows = pl.concat([*seen, finished(history).select("known_at", key=_pair("project", "assignee"))])
    return Known.of(rows, "key")


def _available(seen: Known, keys: list[str], moments: Numbers) -> Floats:
    place, last = seen.last(keys, moments)
    days = np.where(place >= 0, (moments - last) / MICROSECONDS, np.inf)
    return np.select([days <= WEEK, days <= MONTH], [1.0, 0.5], 0.0)


def assigned(history: History, asked: Frame) -> Frame:
    """`value`, who had the issue when it was done, known then; void where nobody had."""
    over = finished(history).select("entity", "known_at", value=pl.col("assignee").replace("", None))
    found = asked.select("entity", "as_of").join(over, on="entity", how="left", maintain_order="left")
    closed = pl.col("known_at") > pl.col("as_of")
    return found.select(pl.when(closed).then(pl.col(name)).alias(name) for name in ("value", "known_at"))


class Weighted(Untrained):
    """The document's score, as chances: a whole point more is `SHARP` more in the logarithm of the odds."""

    cost = Cost(forecast=0.3)

    def forecast(self, study: Study) -> Forecast:
        """The chance of every member; null where a project has none."""
        told = scores(study.history, study.questions)
        weight = np.exp(SHARP * told["total"].to_numpy())
        return Forecast(rows=named(told["place"], told["person"], weight, study.questions.height))


class Experience:
    """Who has finished such issues before, the newer the more: from the broadest kind to the narrowest that is known.

    What is known of a narrow kind is drawn to what is known of the next broader one, as `DRAWN` issues count.
    """

    needs_training = True
    cost = Cost(fit=0.1, forecast=0.3)

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Count; return self."""
        last = study.questions.hstack(outcomes.select("value", over="known_at")).sort("over", "entity")
        last = last.unique("entity", keep="last", maintain_order=True)
        over = last["over"].dt.epoch("s").to_numpy()
        weight = 0.5 ** ((over.max() - over) / 86_400 / HALF_LIFE)
        self.counts = Nested.of(_kinds(study.history, last), last["value"].to_list(), weight.tolist())
        return self

    def forecast(self, study: Study) -> Forecast:
        """The chance of every member; null where a project has none."""
        told = members(study.history, study.questions).select("place", "person")
        kinds = _kinds(study.history, study.questions)
        chance = [self.counts.share(kinds[place], person, DRAWN, LEAST / 100) for place, person in told.iter_rows()]
        return Forecast(rows=named(told["place"], told["person"], np.array(chance), study.questions.height))

    def save(self, folder: Path) -> None:
        """Write the counts."""
        self.counts.save(folder)

    def load(self, folder: Path) -> Self:
        """Read them."""
        self.counts = Nested.load(folder)
        return self


def _kinds(history: History, asked: Frame) -> list[list[str]]:
    """What each question's issue is, from the broadest kind to the narrowest."""
    known = described(history, asked).with_columns(project=asked["project"])
    return [
        ["\n".join(parts[: k + 1]) for k in range(len(parts))]
        for parts in known.select("project", "reporter", "component", "type", "epic").iter_rows()
    ]


# ---------------------------------------------------------------- requests and answers


def ask(request: AssignmentRequest, history: History) -> Ask:
    """The issue, or the open issues of the sprint. Raises NotFound for what isn't there, NotReady without members."""
    subject = request.project, request.issue, request.sprint
    return history.once(lambda _: _asked(request, history), ("asked", *subject))


def _asked(request: AssignmentRequest, history: History) -> Ask:
    project = there(request.project or "", history)
    issues = history["issues"].filter(pl.col("project") == project)
    if request.issue is not None:
        wanted = [request.issue]
        if not (issues["entity"] == request.issue).any():
            raise NotFound(f"project {project!r} has no issue {request.issue!r}")
    else:
        last = issues.sort("known_at", maintain_order=True).group_by("entity").agg(pl.col("sprint").last())
        mine = last.filter(pl.col("sprint") == request.sprint)["entity"].sort()
        wanted = [name for name in mine if name not in {*finished(history)["entity"]}]
        if not wanted:
            raise InvalidRequest(f"sprint {request.sprint!r} of project {project!r} has no open issue")
    now = pl.Series([history.now] * len(wanted), dtype=INSTANT)
    asked = pl.DataFrame({"entity": wanted, "project": [project] * len(wanted), "as_of": now, "at": now})
    if members(history, asked).is_empty():
        raise NotReady(f"nobody is known to have access to {project!r}; bring who has into agile.members")
    return Ask(questions=asked)


def decide(forecast: Forecast, request: AssignmentRequest, history: History) -> AssignmentAnswer:
    """The best few for an issue, or who does which issue of a sprint, so that the scores are highest together.

    Where the document's score serves it is what they are ordered by; else the chance that somebody finishes it.
    """
    asked = ask(request, history).questions
    told = scores(history, asked)
    method = str(forecast.evidence["method"][0])
    rows = forecast.rows
    chance = [
        rows[f"p:{person}"][place] if f"p:{person}" in rows.columns else 0.0
        for place, person in told.select("place", "person").iter_rows()
    ]
    told = told.with_columns(chance=pl.Series(chance, dtype=pl.Float64).fill_null(0.0))
    by = "total" if method == "weighted" else "chance"
    ranked = told.sort("place", by, "total", "person", descending=[False, True, True, False])
    first = ranked.filter(pl.col("place") == 0) if request.issue is not None else ranked.head(0)
    return AssignmentAnswer(
        project=request.project or "", issue=request.issue, sprint=request.sprint, method=method,
        suggestions=[_suggestion(row, by) for row in first.head(request.top_n).iter_rows(named=True)],
        matched=[] if request.issue is not None else _matched(told, asked, by),
    )  # fmt: skip


def _suggestion(row: dict[str, Any], by: str) -> Suggestion:
    """A person with the reasons in figures; what they are ordered `by` comes first where it is not the total score."""
    same, every, open_ = (int(row[name]) for name in ("same", "every", "open"))
    strong = "Strong experience: " if same >= MANY and same * 2 >= every else ""
    why = [f"Finishes it with a chance of {row['chance']:.0%}; the order is by this"] if by == "chance" else []
    why.append(f"{strong}{same} of {every} finished issues were of type {row['type'] or 'none'}")
    why.append(f"Has {open_} open issues" if open_ else "Has no open issue")
    if row["performance"] >= 0.8 and every:
        why.append(f"Finishes {row['performance']:.0%} of what is given")
    if not row["availability"]:
        why.append("No activity for a month")
    return Suggestion(
        person=row["person"], name=row["name"] or row["person"], email=row["email"] or "", total_score=row["total"],
        skill_score=row["skill"], workload_score=row["workload"], performance_score=row["performance"],
        availability_score=row["availability"], chance=row["chance"], reasoning=why,
    )  # fmt: skip


def _matched(told: Frame, asked: Frame, by: str) -> list[Matched]:
    """Who does what, so that the sum of the scores is highest; nobody gets more than an even share, rounded up."""
    people = told["person"].unique().sort().to_list()
    table = np.zeros((asked.height, len(people)))
    column = {person: k for k, person in enumerate(people)}
    for place, person, score in told.select("place", "person", by).iter_rows():
        table[place, column[person]] = score
    return [
        Matched(issue=issue, person=people[k], score=float(table[row, k]))
        for row, (issue, k) in enumerate(zip(asked["entity"], matched(table), strict=True))
    ]


def headline(answer: AssignmentAnswer) -> float:
    """How surely somebody is named."""
    return max([one.chance for one in answer.suggestions], default=0.0) + sum(one.score for one in answer.matched)
