"""Forecast against truth, and cost against risk, as SVG."""

from __future__ import annotations

from io import StringIO
from itertools import cycle
from math import floor, log10
from pathlib import Path

import polars as pl

from foretell.contract import OURS, Replayed
from foretell.engine.backtest import Backtest


def draw(path: Path, tested: Backtest, candidate: str, unit: str, zone: str, *, days: int = 7) -> None:
    """Draw the last `days` of a backtest: what was forecast up to four hours before, its band, and what happened.

    Times are local times of `zone`. Writes `path` as SVG.
    """
    _prepare()
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


def curve(replayed: Replayed) -> str:
    """The later half's cost and risk of every policy, as SVG: one line a rule, the chosen policy marked."""
    _prepare()
    from matplotlib import pyplot

    rules: dict[str, list[tuple[float, float]]] = {}
    for policy in replayed.policies:
        told = [f"{name} {value}" for name, value in policy.settings.items() if isinstance(value, str)]
        rule = ", ".join([policy.family, *told]).replace("_", " ")
        later = policy.figures["later"]
        rules.setdefault(rule, []).append((later[replayed.cost], later[replayed.risk]))
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    shades = cycle(("#d94801", "#fdae6b", "#31a354", "#969696"))
    for rule, points in rules.items():
        ours = rule.startswith(OURS)
        colour, mark = ("#08519c" if rule == next(iter(rules)) else "#6baed6", "o") if ours else (next(shades), ".")
        axes.plot(*zip(*sorted(points), strict=True), color=colour, marker=mark, markersize=4, linewidth=1, label=rule)
    chosen = replayed.policy(replayed.chosen).figures["later"]
    spot, words = (chosen[replayed.cost], chosen[replayed.risk]), f"chosen before: {replayed.chosen}"
    axes.scatter(*spot, s=140, facecolors="none", edgecolors="black", linewidths=1.5, zorder=5, label=words)
    worst = max(1.0, *(risk for points in rules.values() for _, risk in points))
    linear = 10 ** (floor(log10(worst)) - 3)
    axes.set_yscale("symlog", linthresh=linear)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"{replayed.cost.replace('_', ' ')} ({replayed.units[replayed.cost]})")
    axes.set_ylabel(f"{replayed.units[replayed.risk]} (log scale above {linear:g})")
    axes.set_title(f"{replayed.subject}, {replayed.middle:%d %b %Y} to {replayed.end:%d %b %Y}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    drawn = StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return drawn.getvalue()


def _prepare() -> None:
    """Text stays text, and the same figures draw the same file."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "foretell"
