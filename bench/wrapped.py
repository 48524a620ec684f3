"""Our boosters as an MLflow model, by the Python that has MLflow: `wrapped.py TREES MODEL` saves it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightgbm
import mlflow.pyfunc  # type: ignore[import-not-found, unused-ignore]
import numpy as np


class Quantiles(mlflow.pyfunc.PythonModel):  # type: ignore[misc, unused-ignore]
    """One booster a level, asked with one thread each; levels in rising order, as ours."""

    def load_context(self, context: Any) -> None:
        """Read the boosters; MLflow calls it once."""
        paths = sorted(Path(context.artifacts["trees"]).glob("trees-*.txt"))
        self.boosters = [lightgbm.Booster(model_str=path.read_text()) for path in paths]

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's names
        """Three quantiles a row."""
        inputs = model_input.to_numpy()
        said = np.column_stack([booster.predict(inputs, num_threads=1) for booster in self.boosters])
        return np.sort(said, axis=1).tolist()


if __name__ == "__main__":
    mlflow.pyfunc.save_model(
        sys.argv[2], python_model=Quantiles(), artifacts={"trees": sys.argv[1]}, pip_requirements=["lightgbm"]
    )
