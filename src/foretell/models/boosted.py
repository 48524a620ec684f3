"""Gradient-boosted trees (LightGBM): quantiles of a number, the chance of an event, a choice of classes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from foretell.contract import Block, Cost, Floats, Forecast, Frame, Study, quantile
from foretell.errors import NotReady

SHAPE: dict[str, Any] = {
    "learning_rate": 0.08,
    "num_leaves": 31,
    "min_data_in_leaf": 30,
    "lambda_l2": 1.0,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbosity": -1,
    "num_threads": 1,  # more threads spin against whatever else runs, and sum in another order
}


UNUSED = ("sklearn", "pandas")


def warm() -> None:
    """Import LightGBM before it is needed, at the start of a process, while no other thread imports anything.

    It would bring along scikit-learn and pandas, for callers who use those with it: five seconds and 100 MB, for
    nothing. Only on Linux: elsewhere scikit-learn, should it be needed later, has to be there first (LightGBM #6509).
    """
    hidden = [name for name in UNUSED if name not in sys.modules and sys.platform == "linux"]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: "not installed", as Python has it
    try:
        import lightgbm  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]


class Trees:
    """Boosters that share features; each is kept as the text it is saved as, so a reload changes nothing.

    Of more than `most` questions the older ones are evenly thinned; the newest tenth of that number all count.
    """

    needs_training = True

    def __init__(self, *, columns: Sequence[str], rounds: int, most: int, shape: dict[str, Any] | None = None) -> None:
        self.columns = list(columns)
        self.rounds = rounds
        self.most = most
        self.shape = SHAPE | (shape or {})
        self.boosters: list[Any] = []

    def _sample(self, study: Study, outcomes: Frame) -> tuple[Block, Frame]:
        """Features and outcomes of the questions to learn from; raises NotReady where there are none."""
        if outcomes.is_empty():
            raise NotReady("no settled outcome to learn from; bring more history")
        surplus = outcomes.height - self.most
        if surplus <= 0:
            return study.features, outcomes
        order = study.questions["as_of"].arg_sort().to_numpy()
        newest = self.most // 10
        old, new = order[:-newest], order[-newest:]
        thinned = old[np.linspace(0, len(old) - 1, self.most - len(new)).astype(int)]
        rows = np.sort(np.concatenate([thinned, new]))
        return study.features.rows(rows), outcomes[rows]

    def _grow(
        self, inputs: Floats, value: Floats, objectives: Sequence[dict[str, Any]], weight: Floats | None = None
    ) -> None:
        """One booster for each objective."""
        import lightgbm

        shape = self.shape | {"min_data_in_leaf": min(self.shape["min_data_in_leaf"], max(1, len(value) // 20))}
        data = lightgbm.Dataset(inputs, value, weight=weight, params=shape).construct()  # binned once for all

        def one(goal: dict[str, Any]) -> Any:
            return lightgbm.train(shape | goal, data, num_boost_round=self.rounds)

        # Boosters side by side, each with one thread: LightGBM's own threads spin, and crawl on a busy machine.
        with ThreadPoolExecutor(max_workers=2) as pool:
            grown = list(pool.map(one, objectives))
        self.boosters = [lightgbm.Booster(model_str=booster.model_to_string()) for booster in grown]

    def _save_trees(self, folder: Path) -> None:
        for place, booster in enumerate(self.boosters):
            (folder / f"trees-{place}.txt").write_text(booster.model_to_string())
        (folder / "columns.json").write_text(json.dumps(self.columns))  # another declaration may have others

    def _load_trees(self, folder: Path) -> None:
        import lightgbm

        paths = sorted(folder.glob("trees-*.txt"), key=lambda path: int(path.stem.split("-")[1]))
        self.boosters = [lightgbm.Booster(model_str=path.read_text()) for path in paths]
        if (columns := folder / "columns.json").exists():
            self.columns = json.loads(columns.read_text())


class BoostedQuantiles(Trees):
    """Quantile regression by boosted trees, one booster a level (pinball objective); the point is the median's.

    With `scale` (a feature, positive) it learns and says outcomes relative to it: what was learned at one
    level of load then holds at another. `where` a question's scale is missing, the mean outcome stands in.
    """

    cost = Cost(fit=0.05, forecast=0.02, most=24_000)

    def __init__(
        self,
        *,
        columns: Sequence[str],
        levels: tuple[float, ...],
        rounds: int = 120,
        most: int = 24_000,
        scale: str | None = None,
        shape: dict[str, Any] | None = None,
        lower: float | None = None,
    ) -> None:
        """`lower` bounds every quantile from below (0 for counts)."""
        super().__init__(columns=columns, rounds=rounds, most=most, shape=shape)
        self.levels, self.scale, self.lower = tuple(sorted(levels)), scale, lower
        self.usual = 1.0

    def _scales(self, features: Block) -> Floats:
        if self.scale is None:
            return np.ones(len(features))
        scale = features[self.scale]
        return np.where(np.nan_to_num(scale) > 0, scale, self.usual)

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Grow one booster for each level; return self."""
        features, outcomes = self._sample(study, outcomes)
        value = outcomes["value"].cast(pl.Float64).to_numpy()
        self.usual = float(np.abs(value).mean()) or 1.0
        goals = [{"objective": "quantile", "alpha": level} for level in self.levels]
        scale = self._scales(features)
        self._grow(features.of_names(self.columns), value / scale, goals, weight=np.sqrt(scale / scale.mean()))
        return self

    def forecast(self, study: Study) -> Forecast:
        """Quantiles in rising order (sorted: crossing ones are rearranged, Chernozhukov et al. 2010)."""
        inputs, scale = study.features.of_names(self.columns), self._scales(study.features)
        said = np.array([b.predict(inputs, num_threads=1) for b in self.boosters]).T * scale[:, None]
        said = np.sort(said, axis=1)
        if self.lower is not None:
            said = np.maximum(said, self.lower)
        middle = min(range(len(self.levels)), key=lambda k: abs(self.levels[k] - 0.5))
        names = ("point", *map(quantile, self.levels))
        return Forecast(rows=Block(names, said[:, [middle, *range(len(self.levels))]]).frame())

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM text, the rest as JSON."""
        self._save_trees(folder)
        (folder / "boosted.json").write_text(json.dumps({"usual": self.usual}))

    def load(self, folder: Path) -> Self:
        """Read the trees."""
        self._load_trees(folder)
        self.usual = json.loads((folder / "boosted.json").read_text())["usual"]
        return self


class BoostedMean(Trees):
    """The mean of a number that is never below zero and often zero, by boosted trees (Tweedie deviance), on arrays."""

    def __init__(self, *, rounds: int, power: float, shape: dict[str, Any] | None = None) -> None:
        """`power` is the variance's: between 1 (counts) and 2 (sizes alone)."""
        super().__init__(columns=(), rounds=rounds, most=0, shape=shape)
        self.power = power

    def learn(self, inputs: Floats, value: Floats, weight: Floats) -> Self:
        """Grow on one row of `inputs` a value, NaN where one is missing; return self."""
        self._grow(inputs, value, [{"objective": "tweedie", "tweedie_variance_power": self.power}], weight)
        return self

    def mean(self, inputs: Floats) -> Floats:
        """The expected value of each row."""
        said: Floats = self.boosters[0].predict(inputs, num_threads=1)
        return said

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM text."""
        self._save_trees(folder)

    def load(self, folder: Path) -> Self:
        """Read the trees."""
        self._load_trees(folder)
        return self


class BoostedSpread(Trees):
    """A number about zero, by boosted trees that large errors don't lead (Huber 1964), and its quantiles; on arrays."""

    def __init__(
        self, *, levels: tuple[float, ...], rounds: int, most: int, near: float, shape: dict[str, Any] | None = None
    ) -> None:
        """Errors beyond `near` count by their size, no more by its square."""
        super().__init__(columns=(), rounds=rounds, most=most, shape=shape)
        self.levels, self.near = levels, near

    def learn(self, inputs: Floats, value: Floats) -> Self:
        """Grow on one row of `inputs` a value; of too many the last ones. Return self."""
        goals: list[dict[str, Any]] = [{"objective": "huber", "alpha": self.near}]
        goals += [{"objective": "quantile", "alpha": level} for level in self.levels]
        self._grow(inputs[-self.most :], value[-self.most :], goals)
        return self

    def said(self, inputs: Floats) -> Floats:
        """The number, and its quantiles (n x 1 + levels)."""
        return np.column_stack([booster.predict(inputs, num_threads=1) for booster in self.boosters])

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM text."""
        self._save_trees(folder)

    def load(self, folder: Path) -> Self:
        """Read the trees."""
        self._load_trees(folder)
        return self


class BoostedChance(Trees):
    """The chance of an event by boosted trees (log loss), and what each column adds to its log-odds."""

    cost = Cost(fit=0.02, forecast=0.01)

    def __init__(
        self, *, columns: Sequence[str], rounds: int = 80, most: int = 24_000, shape: dict[str, Any] | None = None
    ) -> None:
        super().__init__(columns=columns, rounds=rounds, most=most, shape=shape)

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Grow one booster on outcomes 0 and 1; return self."""
        features, outcomes = self._sample(study, outcomes)
        value = outcomes["value"].cast(pl.Float64).to_numpy()
        self._grow(features.of_names(self.columns), value, [{"objective": "binary"}])
        return self

    def odds(self, study: Study) -> Floats:
        """The log-odds of each question."""
        said: Floats = self.boosters[0].predict(study.features.of_names(self.columns), num_threads=1, raw_score=True)
        return said

    def parts(self, features: Block) -> tuple[Floats, float]:
        """What each column adds to the log-odds (Lundberg et al. 2020; questions x columns), and their base."""
        said: Floats = self.boosters[0].predict(features.of_names(self.columns), num_threads=1, pred_contrib=True)
        return said[:, :-1], float(said[0, -1]) if len(said) else 0.0

    def forecast(self, study: Study) -> Forecast:
        """The chance, 0 to 1."""
        return Forecast(rows=pl.DataFrame({"chance": 1 / (1 + np.exp(-self.odds(study)))}))

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM text."""
        self._save_trees(folder)

    def load(self, folder: Path) -> Self:
        """Read the trees."""
        self._load_trees(folder)
        return self


class BoostedChoice(Trees):
    """A distribution over the classes seen in the history, by boosted trees (softmax)."""

    cost = Cost(fit=0.1, forecast=0.02)

    def __init__(
        self, *, columns: Sequence[str], rounds: int = 60, most: int = 24_000, shape: dict[str, Any] | None = None
    ) -> None:
        super().__init__(columns=columns, rounds=rounds, most=most, shape=shape)
        self.classes: list[str] = []

    def fit(self, study: Study, outcomes: Frame) -> Self:
        """Grow on outcomes that are class names; return self."""
        features, outcomes = self._sample(study, outcomes)
        self.classes = sorted(outcomes["value"].unique())
        code = {name: float(place) for place, name in enumerate(self.classes)}
        value = np.array([code[name] for name in outcomes["value"]])
        goal = {"objective": "multiclass", "num_class": max(2, len(self.classes))}
        self._grow(features.of_names(self.columns), value, [goal])
        return self

    def forecast(self, study: Study) -> Forecast:
        """One column `p:<class>` for each class, summing to 1."""
        said = self.boosters[0].predict(study.features.of_names(self.columns), num_threads=1)
        said = said[:, : len(self.classes)] / said[:, : len(self.classes)].sum(axis=1, keepdims=True)
        return Forecast(rows=pl.DataFrame({f"p:{name}": said[:, k] for k, name in enumerate(self.classes)}))

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM text, the classes as JSON."""
        self._save_trees(folder)
        (folder / "classes.json").write_text(json.dumps(self.classes))

    def load(self, folder: Path) -> Self:
        """Read the trees and classes."""
        self._load_trees(folder)
        self.classes = json.loads((folder / "classes.json").read_text())
        return self
