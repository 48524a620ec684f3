"""The seasonal naive: what was, one season ago. Needs no training, so it answers from the first day."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Self

import polars as pl

from foretell.contract import Cost, Forecast, Frame, History, Study, quantile

Series = Callable[[History], Frame]
"""The regular series behind a history: `entity`, `time` (start of the step), `value` (null where missing).

A value is known at the end of its step, unless the series has a column `known_at`.
"""


class SeasonalNaive:
    """Says the newest known value a whole number of seasons before; the band is its own past errors.

    Seasons of whole days are counted on the tenant's clocks.
    """

    needs_training = False
    cost = Cost(forecast=0.02)

    def __init__(
        self,
        *,
        series: Series,
        season: timedelta,
        step: timedelta,
        levels: tuple[float, ...],
        window: timedelta,
        tries: int = 4,
    ) -> None:
        """`step` is the length of one value; `window` how far back errors are remembered for the band.

        Where the value a season ago is missing, up to `tries` seasons further back are asked.
        """
        self.series, self.season, self.step, self.levels = series, season, step, levels
        self.window, self.tries = window, tries

    def fit(self, study: Study, outcomes: Frame) -> Self:  # noqa: ARG002 - nothing to learn
        """Learn nothing; return self."""
        return self

    def forecast(self, study: Study) -> Forecast:
        """Point and quantiles; null for an entity without a single season of history."""
        series = self.series(study.history).sort("entity", "time")
        if "known_at" not in series.columns:
            series = series.with_columns(known_at=pl.col("time") + self.step)
        asked = study.questions.select("entity", "as_of", "at").with_row_index("place")
        season = self.season // timedelta(microseconds=1)
        ahead = (pl.col("at") + self.step - pl.col("as_of")).dt.total_microseconds()
        back = ((ahead + season - 1) // season).clip(1)  # whole seasons until the value was known
        asked = asked.with_columns(back=back)
        for k in range(self.tries):
            past = self._before((pl.col("back") + k) * season, study.history.standpoint.zone)
            asked = asked.with_columns(past=past).join(
                series.select("entity", past="time", **{f"v{k}": "value", f"known{k}": "known_at"}),
                on=["entity", "past"],
                how="left",
            )
        point = pl.coalesce(pl.when(pl.col(f"known{k}") <= pl.col("as_of")).then(f"v{k}") for k in range(self.tries))
        spread = self._spread(series)
        asked = (
            asked.with_columns(point=point)
            .sort("as_of")
            .join_asof(spread.sort("known"), left_on="as_of", right_on="known", by="entity", check_sortedness=False)
            .sort("place")
        )
        columns = [(pl.col("point") + pl.col(quantile(q)).fill_null(0)).alias(quantile(q)) for q in self.levels]
        return Forecast(rows=asked.select("point", *columns))

    def _before(self, span: pl.Expr, zone: str) -> pl.Expr:
        """So many microseconds before `at`; whole days by the clocks of the zone, which may have been set meanwhile."""
        plain = pl.col("at") - pl.duration(microseconds=span)
        if self.season % timedelta(days=1):
            return plain
        clock = pl.col("at").dt.convert_time_zone(zone).dt.replace_time_zone(None) - pl.duration(microseconds=span)
        then = clock.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        return then.dt.convert_time_zone("UTC").fill_null(plain)

    def _spread(self, series: Frame) -> Frame:
        """Quantiles of the seasonal difference over the window, at each moment a value became known."""
        season, steps = int(self.season / self.step), int(self.window / self.step)
        # A value that arrived late is left out of the band: then every row is known at the end of its step.
        prompt = pl.when(pl.col("known_at") <= pl.col("time") + self.step).then("value")
        error = prompt - prompt.shift(season)
        about = prompt - prompt.rolling_median(steps, min_samples=2)
        rolled = [
            pl.coalesce(
                of.rolling_quantile(q, interpolation="linear", window_size=steps, min_samples=least)
                .forward_fill()
                .over("entity")
                for of, least in ((error, 24), (about, 2))
            ).alias(quantile(q))
            for q in self.levels
        ]
        return series.select("entity", (pl.col("time") + self.step).alias("known"), *rolled)

    def save(self, folder: Path) -> None:
        """Write an empty state: all there is to know is in the history."""
        (folder / "naive.json").write_text(json.dumps({}))

    def load(self, folder: Path) -> Self:  # noqa: ARG002
        """Return self."""
        return self
