"""Forecast against truth, as an SVG file."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from foretell.engine.backtest import Backtest


def draw(path: Path, tested: Backtest, candidate: str, unit: str, zone: str, *, days: int = 7) -> None:
    """Draw the last `days` of a backtest: what was forecast up to four hours before, its band, and what happened.

    Times are local times of `zone`. Writes `path` as SVG.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "foretell"  # the same forecast draws the same file
    from matplotlib import dates, pyplot

    said = tested.asked.hstack(tested.forecasts[candidate])
    first = said["at"].max() - pl.duration(days=days)
    near = said.filter((pl.col("at") > first) & ((pl.col("at") - pl.col("as_of")).dt.total_hours() < 4))
    near = near.unique("at", keep="first").sort("at").with_columns(pl.col("at").dt.convert_time_zone(zone))
    figure, axes = pyplot.subplots(figsize=(10, 3.6), layout="constrained")
    when = near["at"].dt.replace_time_zone(None).to_numpy()
    axes.fill_between(when, near["q10"], near["q90"], color="#9ecae1", label="80 % band", linewidth=0)
    axes.plot(when, near["point"], color="#08519c", linewidth=1.3, label=f"forecast ({candidate})")
    axes.plot(when, near["value"], color="#d94801", linewidth=1.0, label="what happened")
    axes.xaxis.set_major_formatter(dates.DateFormatter("%a %d %b"))  # type: ignore[no-untyped-call]
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=3, loc="upper left")
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
