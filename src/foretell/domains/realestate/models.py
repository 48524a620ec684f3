"""What can be in a race for who moves, and with which deal: what is usual, a line, and a line and trees together.

Trees by themselves are in no race for who moves: on the seeded world and on three public records they were as good with
a line, and where few people moved each candidate more is one more that is best by luck.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
import polars as pl

from foretell.contract import Block, Cost, Floats, Forecast, Forecaster, Frame, Study
from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.tables import Deal
from foretell.models.boosted import BoostedChance, BoostedChoice
from foretell.models.linear import LinearChance

NAMES, LEARNED = CATALOGUE.names(), CATALOGUE.learned()
PLACES = {name: k for k, name in enumerate(NAMES)}
SIMPLE = (
    "days_since_session", "session_count_30d", "session_count_365d", "days_since_transaction", "transaction_count",
)  # fmt: skip
SHAPE: dict[str, Any] = {
    "learning_rate": 0.04, "num_leaves": 12, "min_data_in_leaf": 60, "feature_fraction": 0.4, "lambda_l2": 20.0,
    "max_bin": 63,
}  # fmt: skip
DRAWN = 50.0  # ridge of the kinds: deals are few
RANKS = 101
TOLD = 5  # reasons on each side


class Usual:
    """The share of those asked about who did it, whoever is asked about."""

    needs_training = True
    cost = Cost()

    def __init__(self) -> None:
        self.rate = 0.5

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - alike for all
        """Learn the share; return self."""
        value = outcomes["value"].cast(pl.Float64)
        self.rate = float((value.sum() + 1) / (len(value) + 2))
        return self

    def forecast(self, study: Study) -> Forecast:
        """The same chance for everybody."""
        count = study.questions.height
        return Forecast(
            rows=pl.DataFrame({"chance": np.full(count, self.rate)}),
            evidence=pl.DataFrame({"usual": np.full(count, self.rate), "rank": np.full(count, 0.5)}),
        )

    def save(self, folder: Path) -> None:
        """Write the share."""
        (folder / "usual.json").write_text(json.dumps(self.rate))

    def load(self, folder: Path) -> Self:
        """Read the share."""
        self.rate = json.loads((folder / "usual.json").read_text())
        return self


class Census:
    """How many people move anywhere, until something is known of the tenant's own.

    8.7 % of the people of the United States moved in 2022 (Census Bureau, Current Population Survey, 2023).
    """

    needs_training = False
    cost = Cost()
    YEARLY = 0.087

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - nothing to learn
        """Learn nothing; return self."""
        return self

    def forecast(self, study: Study) -> Forecast:
        """The same chance for everybody, of as long a time as is asked about."""
        years = study.questions.select((pl.col("at") - pl.col("as_of")).dt.total_days() / 365.25).to_series()
        return Forecast(rows=pl.DataFrame({"chance": 1 - (1 - self.YEARLY) ** years.to_numpy()}))

    def save(self, folder: Path) -> None:
        """Nothing is learned."""

    def load(self, folder: Path) -> Self:  # noqa: ARG002
        """Return self."""
        return self


Part = LinearChance | BoostedChance


class Propensity:
    """The chance by one or more learners (the mean of their log-odds), with reasons where a question asks for them.

    Evidence: `usual`, the share of all; `rank`, the share of people who were less likely; `parts`, what each feature
    adds to the log-odds (null where reasons were not asked for), and `values`, the features.
    """

    needs_training = True

    def __init__(self, *makes: Callable[[], Part]) -> None:
        self.parts: list[Part] = [make() for make in makes]
        self.usual, self.ranks = 0.5, np.zeros(RANKS)
        every = [part.cost for part in self.parts]
        self.cost = Cost(fit=sum(c.fit for c in every), forecast=sum(c.forecast for c in every), most=60_000)

    def _odds(self, study: Study) -> Floats:
        return np.asarray(sum(part.odds(study) for part in self.parts) / len(self.parts))

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn each part, what is usual, and how the chances of the last time everybody was asked about lie."""
        for part in self.parts:
            part.fit(study, outcomes)
        self.usual = float(outcomes["value"].cast(pl.Float64).mean() or 0.0)  # type: ignore[arg-type]
        last = (study.questions["as_of"] == study.questions["as_of"].max()).arg_true().to_numpy().astype(np.int64)
        at = Study(history=study.history, questions=study.questions[last], features=study.features.rows(last))
        self.ranks = np.quantile(self._odds(at), np.linspace(0, 1, RANKS))
        return self

    def forecast(self, study: Study) -> Forecast:
        """The chance of each question, with its evidence."""
        odds = self._odds(study)
        rank = np.searchsorted(self.ranks, odds) / RANKS
        evidence = [pl.Series("usual", np.full(len(odds), self.usual)), pl.Series("rank", rank)]
        rows = pl.Series("chance", 1 / (1 + np.exp(-odds))).to_frame()
        if "reasons" in study.questions.columns:
            asked = [k for k, told in enumerate(study.questions["reasons"].to_list()) if told]
            why: list[list[dict[str, Any]] | None] = [None] * len(odds)
            if asked:
                for k, each in zip(asked, self._why(study.features.rows(np.array(asked))), strict=True):
                    why[k] = each
            evidence.append(pl.Series("why", why, dtype=WHY))
        return Forecast(rows=rows, evidence=pl.DataFrame(evidence))

    def _why(self, features: Block) -> list[list[dict[str, Any]]]:
        """The features that add most, and those that take most away."""
        added = np.zeros((len(features), len(NAMES)))
        for part in self.parts:
            where = [PLACES[name] for name in part.columns]
            added[:, where] += part.parts(features)[0] / len(self.parts)
        values = features.of_names(NAMES)
        out = []
        for adds, value in zip(added, values, strict=True):
            order = np.argsort(-adds, kind="stable")
            shown = [k for k in (*order[:TOLD], *order[-TOLD:]) if adds[k]]
            out.append(
                [
                    {"feature": NAMES[k], "adds": float(adds[k]), "value": None if np.isnan(value[k]) else value[k]}
                    for k in dict.fromkeys(shown)
                ]
            )
        return out

    def save(self, folder: Path) -> None:
        """Each part in a folder of its own, the rest as JSON."""
        for k, part in enumerate(self.parts):
            (folder / f"{k}").mkdir()
            part.save(folder / f"{k}")
        told = {"usual": self.usual, "ranks": self.ranks.tolist()}
        (folder / "propensity.json").write_text(json.dumps(told))

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote; return self."""
        for k, part in enumerate(self.parts):
            part.load(folder / f"{k}")
        told = json.loads((folder / "propensity.json").read_text())
        self.usual, self.ranks = told["usual"], np.array(told["ranks"])
        return self


WHY = pl.List(pl.Struct({"feature": pl.String, "adds": pl.Float64, "value": pl.Float64}))


class Shares:
    """How often each kind was, whoever is asked about (with one more of each); all alike before anything is learned."""

    cost = Cost()

    def __init__(self, *, learns: bool = True) -> None:
        self.needs_training = learns
        self.chance = dict.fromkeys(get_args(Deal), 1 / len(get_args(Deal)))

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - alike for all
        """Learn the shares; return self."""
        counts = dict(outcomes["value"].value_counts(sort=True).iter_rows())
        total = sum(counts.values()) + len(counts)
        self.chance = {name: (counts[name] + 1) / total for name in sorted(counts)}
        return self

    def forecast(self, study: Study) -> Forecast:
        """The same for everybody."""
        count = study.questions.height
        values = np.broadcast_to([*self.chance.values()], (count, len(self.chance)))
        return Forecast(rows=Block(tuple(f"p:{name}" for name in self.chance), values).frame())

    def save(self, folder: Path) -> None:
        """Write the shares."""
        (folder / "shares.json").write_text(json.dumps(self.chance))

    def load(self, folder: Path) -> Self:
        """Read the shares."""
        self.chance = json.loads((folder / "shares.json").read_text())
        return self


class Lines:
    """Each kind against the others by a line, scaled to sum to 1."""

    needs_training = True
    cost = Cost(fit=0.05, forecast=0.01, most=60_000)

    def __init__(self) -> None:
        self.lines: dict[str, LinearChance] = {}

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn a line for each kind there was; return self."""
        for name in outcomes["value"].unique().sort():
            hit = outcomes.select(value=(pl.col("value") == name).cast(pl.Float64))
            self.lines[name] = LinearChance(columns=LEARNED, ridge=DRAWN).fit(study, hit)
        return self

    def forecast(self, study: Study) -> Forecast:
        """One column for each kind."""
        said = np.column_stack([1 / (1 + np.exp(-line.odds(study))) for line in self.lines.values()])
        names = tuple(f"p:{name}" for name in self.lines)
        return Forecast(rows=Block(names, said / said.sum(axis=1, keepdims=True)).frame())

    def save(self, folder: Path) -> None:
        """Each line in a folder of its own, and their names."""
        for k, line in enumerate(self.lines.values()):
            (folder / f"{k}").mkdir()
            line.save(folder / f"{k}")
        (folder / "kinds.json").write_text(json.dumps([*self.lines]))

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote; return self."""
        names = json.loads((folder / "kinds.json").read_text())
        self.lines = {name: _line().load(folder / f"{k}") for k, name in enumerate(names)}
        return self


def _line(columns: Sequence[str] = LEARNED) -> LinearChance:
    return LinearChance(columns=columns)


def _trees() -> BoostedChance:
    return BoostedChance(columns=LEARNED, rounds=150, most=60_000, shape=SHAPE)


MOVE: Mapping[str, Callable[[], Forecaster]] = {
    "usual": Usual,
    "census": Census,
    "recency": partial(Propensity, partial(_line, SIMPLE)),
    "line": partial(Propensity, _line),
    "both": partial(Propensity, _line, _trees),
}
KIND: Mapping[str, Callable[[], Forecaster]] = {
    "shares": Shares,
    "even": partial(Shares, learns=False),
    "lines": Lines,
    "trees": partial(BoostedChoice, columns=LEARNED, rounds=60, shape=SHAPE),
}
