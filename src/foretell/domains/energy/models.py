"""What can be in a race for a plant's output: what was, physics, physics corrected, trees, and both together.

All speak in shares of capacity, and answer in kW. Each has an answer to every question: without a forecast of the
weather physics takes what is usual (the feature `physical` then is that already).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from foretell.contract import Block, Cost, Floats, Forecast, Frame, Quantity, Study, quantile
from foretell.domains.energy import corrections
from foretell.domains.energy.corrections import Correction
from foretell.domains.energy.physics import Light
from foretell.domains.energy.readings import plants
from foretell.domains.energy.schema import FEATURES, INDEX, PAST, SEEN
from foretell.domains.energy.tables import Kind
from foretell.features.grid import micros
from foretell.models.analogs import Analogs
from foretell.models.boosted import BoostedQuantiles
from foretell.models.residual import Leftovers

LEVELS = (0.03, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.97)
OUTPUT = Quantity(unit="kW", levels=LEVELS, lower=0.0)
MIDDLE = LEVELS.index(0.5)
ROUNDS: dict[Kind, int] = {"solar": 80, "wind": 120}
RATE: dict[Kind, float] = {"solar": 0.15, "wind": 0.1}
SHAPE: dict[str, Any] = {
    "num_leaves": 31, "min_data_in_leaf": 100, "feature_fraction": 0.4, "lambda_l2": 5.0, "max_bin": 63,
    "extra_trees": True,  # split where chance says (Geurts et al. 2006)
    "force_row_wise": False, "force_col_wise": True,  # four tenths of the columns a tree: a seventh less time
}  # fmt: skip
NEAR: dict[Kind, float] = {"solar": 25.0, "wind": 5.0}  # hours; found on public plants, as all of these
FEW, FEWEST = 300, 1500  # questions that trees for near hours are grown on, and trees of a plant's own
MOST_OWN = 12  # plants up to which each has trees of its own
EQUAL = 700  # outcomes of a plant with which trees are worth as much as corrected physics
# By what two hours of wind are alike, and how much each counts; beside trees of the plant's own, and of all plants.
ALIKE = {
    "east": 2.0, "north": 2.0, "hub_speed": 2.0, "hub_mean_13h": 1.5, "hour_sin": 0.8, "hour_cos": 0.8,
    "hub_speed_-3h": 1.0, "hub_speed_-1h": 1.0, "hub_speed_+1h": 1.0, "hub_speed_+3h": 1.0,
}  # fmt: skip
BESIDE_OWN, BESIDE_ALL = 0.2, 0.5
BLIND = 8  # of so many questions one is learned again as if there were no forecast of the weather
# How unsure physics is before anything was learned: beside its point p, spread about (NEVER + WIDEST p (1 - p)).
NEVER, WIDEST = 0.03, 0.5
NORMAL = np.array([-1.88, -1.28, -0.674, -0.253, 0.0, 0.253, 0.674, 1.28, 1.88])  # quantiles of a normal distribution
BELIEVED = (0.7, 1.2)  # by how much the last days may differ from physics to be believed
SKIES = np.array([0.08, 0.15, 0.38, 0.58, 0.68, 0.78, 0.9, 1.0, 1.05])  # of a clear sky's light, any weather
WINDS = np.array([0.0, 0.0, 0.04, 0.12, 0.18, 0.26, 0.42, 0.68, 0.88])  # of capacity, any weather


class Physical:
    """What physics says, with bands as unsure as it usually is; without weather, what any weather may bring.

    Nothing is learned, but where the last three days were known to come out higher or lower than physics said, so is
    what it says of the next.
    """

    needs_training = False
    cost = Cost(forecast=0.01)

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - nothing to learn
        """Learn nothing; return self."""
        return self

    def forecast(self, study: Study) -> Forecast:
        """Quantiles in kW."""
        lately = study.features["ratio_72h"]
        point = study.features["physical"] * np.where(np.isnan(lately), 1.0, np.clip(lately, *BELIEVED))
        spread = NEVER + WIDEST * point * (1 - np.minimum(point, 1))
        if self.kind == "solar":
            clear = study.features["clear_share"]
            spread = np.minimum(spread, clear / 2)  # what is little under any sky is surely little
            usual = clear[:, None] * SKIES
        else:
            usual = np.broadcast_to(WINDS, (len(point), len(WINDS)))
        blind = np.isnan(study.features["weather_age"])[:, None]
        said = np.where(blind, usual, np.clip(point[:, None] + spread[:, None] * NORMAL, 0, 1))
        return told(np.column_stack([point, said]) * study.features["capacity"][:, None])

    def save(self, folder: Path) -> None:
        """Nothing is learned."""

    def load(self, folder: Path) -> Self:  # noqa: ARG002
        """Return self."""
        return self


class Repeated:
    """A feature as the point, else what physics takes as usual; bands by what was left of it before."""

    needs_training = True
    cost = Cost(fit=0.01, forecast=0.01)

    def __init__(self, column: str) -> None:
        self.column = column
        self.left = Leftovers(LEVELS)

    def point(self, study: Study) -> Floats:
        """The share of capacity expected."""
        found = study.features[self.column]
        return np.where(np.isnan(found), study.features["smart"], found)

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn the bands; return self."""
        self.left.fit(self.point(study), ahead(study), shares(study, outcomes))
        return self

    def forecast(self, study: Study) -> Forecast:
        """Quantiles in kW; the point is the median, which is what leaves least."""
        said = np.sort(np.maximum(self.left.about(self.point(study), ahead(study)), 0.0), axis=1)
        if "clear_share" in study.features.names:  # without sun there is nothing
            said = said * (study.features["lit"] > 0)[:, None]
        return told(np.column_stack([said[:, MIDDLE], said]) * study.features["capacity"][:, None])

    def save(self, folder: Path) -> None:
        """Write what was left."""
        (folder / "left.json").write_text(json.dumps(self.left.to_dict()))

    def load(self, folder: Path) -> Self:
        """Read what was left."""
        self.left.read(json.loads((folder / "left.json").read_text()))
        return self


def shares(study: Study, outcomes: Frame) -> Floats:
    """Outcomes as shares of capacity."""
    found: Floats = outcomes["value"].cast(pl.Float64).to_numpy() / study.features["capacity"]
    return found


def ahead(study: Study) -> Floats:
    """Hours from the newest reading to the hour asked about; many where there is none."""
    return np.nan_to_num(study.features["gap"], nan=1e6)


class Corrected(Repeated):
    """Physics with what each plant's own readings teach about it, in words as evidence."""

    cost = Cost(fit=0.05, forecast=0.02)

    def __init__(self, kind: Kind) -> None:
        super().__init__("physical")
        self.kind: Kind = kind
        self.learned: dict[str, Correction] = {}

    def point(self, study: Study) -> Floats:
        """The share of capacity that corrected physics says."""
        said, found = study.features["physical"].copy(), plants(study.history)
        names, at = study.questions["entity"], micros(study.questions["at"])
        for name in names.unique():
            if name in self.learned:
                mine = np.flatnonzero((names == name).to_numpy())
                sites = found.sites.of(np.repeat(found.places(pl.Series([name])), len(mine)))
                light = Light(sites, at[mine]) if self.kind == "solar" else None
                said[mine] = corrections.applied(self.learned[name], sites, light, study.features.rows(mine))
        return said

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn the corrections of each plant, then the bands; return self."""
        names, share = study.questions["entity"], shares(study, outcomes)
        for name in names.unique().sort():
            mine = np.flatnonzero((names == name).to_numpy())
            self.learned[name] = corrections.learned(self.kind, study, share[mine], mine)
        return super().fit(study, outcomes)

    def forecast(self, study: Study) -> Forecast:
        """Quantiles in kW; `corrections` as evidence."""
        words = {name: "; ".join(one.words()) for name, one in self.learned.items()}
        named = pl.col("entity").replace_strict(words, default="", return_dtype=pl.String)
        return replace(super().forecast(study), evidence=study.questions.select(corrections=named))

    def save(self, folder: Path) -> None:
        """Write corrections and bands."""
        super().save(folder)
        (folder / "corrections.json").write_text(json.dumps(corrections.to_dict(self.learned)))

    def load(self, folder: Path) -> Self:
        """Read corrections and bands."""
        self.learned = corrections.read(json.loads((folder / "corrections.json").read_text()))
        return super().load(folder)


class Trees:
    """Boosted quantiles as shares of capacity: of all plants, and of each that has enough of its own.

    Those for later hours see the weather alone; those for the hours up to `NEAR` after the newest reading see readings,
    too, which tell nothing later that the weather doesn't tell better. Some questions are learned again without the
    weather: so there is something to say when a forecast is missing.
    """

    needs_training = True
    cost = Cost(fit=0.2, forecast=0.05, most=200_000)

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self.grown: dict[str, dict[str, BoostedQuantiles]] = {}  # by plant ("": all), and whether far or near

    def _fresh(self, part: str) -> BoostedQuantiles:
        unseen = ("capacity",) if part == "near" else ("capacity", "smart", *PAST, *INDEX)
        columns = [name for name in FEATURES[self.kind] if name not in unseen]
        return BoostedQuantiles(
            columns=columns, levels=LEVELS, rounds=ROUNDS[self.kind], most=30_000, scale="capacity", lower=0.0,
            shape=SHAPE | {"learning_rate": RATE[self.kind]},
        )  # fmt: skip

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Grow the trees, once for all who learn from the same study; return self."""
        key = ("trees", self.kind, id(study.features))  # kept beside the trees, so that no other gets this id
        _, self.grown = study.history.once(lambda _: (study.features, self._grown(study, outcomes)), key)
        return self

    def _grown(self, study: Study, outcomes: Frame) -> dict[str, dict[str, BoostedQuantiles]]:
        grown = {"": self._parts(study, outcomes)}
        names = study.questions["entity"]
        enough = sorted(name for name, n in names.value_counts().iter_rows() if n >= FEWEST)
        if names.n_unique() > 1 and len(enough) <= MOST_OWN:
            for name in enough:
                mine = np.flatnonzero((names == name).to_numpy())
                grown[name] = self._parts(_some(study, mine), outcomes[mine])
        return grown

    def _parts(self, study: Study, outcomes: Frame) -> dict[str, BoostedQuantiles]:
        """The trees for later hours and, of enough questions, for near ones."""
        near = np.flatnonzero(self.near(study))
        parts = {"far": self._fresh("far").fit(*self._blinded(study, outcomes))}
        if len(near) >= FEW:
            parts["near"] = self._fresh("near").fit(*self._blinded(_some(study, near), outcomes[near]))
        return parts

    def near(self, study: Study) -> Any:
        """Which questions are about hours so soon that readings tell of them."""
        return ahead(study) <= NEAR[self.kind]

    def _blinded(self, study: Study, outcomes: Frame) -> tuple[Study, Frame]:
        """The questions, and some of them again as if nobody had forecast the weather."""
        blind = np.arange(0, study.questions.height, BLIND)
        values = study.features.values[blind]
        values[:, [study.features.names.index(name) for name in SEEN[self.kind]]] = np.nan
        rows = np.concatenate([np.arange(study.questions.height), blind])
        both = Block(study.features.names, np.concatenate([study.features.values, values]))
        return replace(study, questions=study.questions[rows], features=both), outcomes[rows]

    def forecast(self, study: Study) -> Forecast:
        """Quantiles in kW."""
        names, near = study.questions["entity"].to_numpy(), self.near(study)
        said = np.empty((len(names), len(LEVELS) + 1))
        whose = np.array([name if name in self.grown else "" for name in names], dtype=object)
        for name in sorted(set(whose)):
            for part in ("far", "near"):
                mine = np.flatnonzero((whose == name) & (near == (part == "near")))
                if len(mine):
                    trees = self.grown[name].get(part, self.grown[name]["far"])
                    said[mine] = trees.forecast(_some(study, mine)).rows.to_numpy()
        return told(said)

    def save(self, folder: Path) -> None:
        """Write the trees, each part in a folder of its own."""
        places = [(name, part) for name, parts in self.grown.items() for part in parts]
        (folder / "trees.json").write_text(json.dumps(places))
        for place, (name, part) in enumerate(places):
            (folder / f"{place}").mkdir()
            self.grown[name][part].save(folder / f"{place}")

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote."""
        self.grown = {}
        for place, (name, part) in enumerate(json.loads((folder / "trees.json").read_text())):
            self.grown.setdefault(name, {})[part] = self._fresh(part).load(folder / f"{place}")
        return self


class Ensemble:
    """Corrected physics and what was learned: the mean of their quantiles, learning counting more the more there was.

    Physics is right early, learning late: of a plant with n outcomes its share is n / (n + `EQUAL`). That is trees,
    and of later hours of wind also what came of the plant's hours with the most similar weather.
    """

    needs_training = True
    cost = Cost(fit=0.06, forecast=0.08)  # beside `Trees`, who have grown theirs already

    def __init__(self, kind: Kind) -> None:
        self.corrected, self.trees = Corrected(kind), Trees(kind)
        self.analogs = Analogs(ALIKE, LEVELS) if kind == "wind" else None
        self.taught: dict[str, int] = {}

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Learn the corrections, grow the trees, keep what analogs are sought among; return self."""
        self.corrected.fit(study, outcomes)
        self.trees.fit(study, outcomes)
        if self.analogs is not None:
            self.analogs.fit(study, shares(study, outcomes))
        self.taught = dict(study.questions["entity"].value_counts(sort=True).iter_rows())
        return self

    def forecast(self, study: Study) -> Forecast:
        """Quantiles in kW; `corrections` as evidence."""
        physical, names = self.corrected.forecast(study), study.questions["entity"]
        counts = names.replace_strict(self.taught, default=0, return_dtype=pl.Float64).to_numpy()
        share = (counts / (counts + EQUAL))[:, None]
        said = share * self._learned(study) + (1 - share) * physical.rows.to_numpy()
        return replace(told(said), evidence=physical.evidence)

    def _learned(self, study: Study) -> Floats:
        """What trees say, and analogs where there are some."""
        said = self.trees.forecast(study).rows.to_numpy()
        if self.analogs is None:
            return said
        own = {name for name in self.taught if name in self.trees.grown or len(self.taught) == 1}
        share = np.where(study.questions["entity"].is_in(own).to_numpy(), BESIDE_OWN, BESIDE_ALL)[:, None]
        alike = self.analogs.quantiles(study) * study.features["capacity"][:, None]
        alike = np.column_stack([alike[:, MIDDLE], alike])
        sure = np.isnan(alike) | self.trees.near(study)[:, None]
        return np.where(sure, said, (1 - share) * said + share * np.nan_to_num(alike))

    def save(self, folder: Path) -> None:
        """Write all of them, and how much each plant has taught."""
        (folder / "taught.json").write_text(json.dumps(self.taught))
        for name, one in self._parts():
            (folder / name).mkdir()
            one.save(folder / name)

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote."""
        self.taught = json.loads((folder / "taught.json").read_text())
        for name, one in self._parts():
            one.load(folder / name)
        return self

    def _parts(self) -> list[tuple[str, Corrected | Trees | Analogs]]:
        parts: list[tuple[str, Corrected | Trees | Analogs]] = [("corrected", self.corrected), ("trees", self.trees)]
        return parts if self.analogs is None else [*parts, ("analogs", self.analogs)]


def _some(study: Study, places: Any) -> Study:
    return replace(study, questions=study.questions[places], features=study.features.rows(places))


def told(said: Floats) -> Forecast:
    """A forecast of rows of point and quantiles, kW."""
    return Forecast(rows=Block(("point", *map(quantile, LEVELS)), said).frame())
