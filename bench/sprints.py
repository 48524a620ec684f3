"""What sprints deliver beside what they hold, on three public trackers: each model learns from the first four fifths.

The files have counts at four moments of a sprint and no dates: a sprint's number says its place in time. The same
features are made of them as of stored sprints, a board standing for a project, and given to the same forecasters; a
board's record is of its sprints with lower numbers, counted as over when the next one begins. Learned on the four
moments of the three trackers together, told at 30 % of the planned time. Because that order is an assumption, it is
also told with records that end where the learning ends.
"""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bench.data import MissingError
from bench.report import goal, met, number, table

from foretell.contract import INSTANT, Block, Floats, Forecast, Frame, History, Standpoint, Study
from foretell.domains.agile import delivery
from foretell.domains.agile.schema import Settings
from foretell.metrics import mae
from foretell.settings import ForetellSettings

TRACKERS = ("apache", "jboss", "jira")
ASKED, LEARNED = 30, 0.8  # per cent of a sprint's time, and share of the sprints
FIRST = datetime(2010, 1, 1, tzinfo=UTC)  # a day for each number
FLOWS = {"start": "_starttime", "added": "_added", "removed": "_removed"}
STATES = {"todo": "todo", "doing": "inprogress", "done": "done"}
GOALS = (0.75, 0.88)


def measure() -> dict[str, Any]:
    """The table, printed; raises MissingError without the files."""
    rows = pl.concat([_read(tracker, share) for tracker in TRACKERS for share in (0, 30, 50, 80)])
    learn, ask = rows.filter(pl.col("first")), rows.filter(~pl.col("first"), pl.col("elapsed") == ASKED / 100)
    over = rows.filter(pl.col("elapsed") == 0).sort("known_at")
    fitted = {
        name: make().fit(_study(learn, over), learn.select("value")) for name, make in delivery.CANDIDATES.items()
    }
    said = {name: one.forecast(_study(ask, over)) for name, one in fitted.items()}
    older = {"forest": fitted["forest"].forecast(_study(ask, over.filter(pl.col("first"))))}
    usual = learn.filter(pl.col("elapsed") == ASKED / 100).group_by("tracker").agg(median=pl.col("value").median())
    ask = ask.join(usual, on="tracker", how="left", maintain_order="left")
    found = {tracker: _scores(ask, said, tracker) for tracker in TRACKERS}
    blind = {tracker: _scores(ask, older, tracker) for tracker in TRACKERS}
    names = ("sprints", "median", *said, "share", "area")
    lines = [[tracker, *(number(one[name]) for name in names)] for tracker, one in found.items()]
    table(["tracker", "sprints", "MAE: median", *said, "forest / median", "AUC"], lines)
    without = ", ".join(f"{tracker} {one['share']:.3f} and {one['area']:.3f}" for tracker, one in blind.items())
    print(f"without records of the sprints asked about: {without}")
    worst = max(one["share"] for one in found.values())
    area = float(np.mean([one["area"] for one in found.values()]))
    covered = float(np.mean([one["covered"] for one in found.values()]))
    print(f"the forest's 80 % interval held {covered:.1%} (mean of the trackers, not yet calibrated)")
    print(f"MAE beside the median's on each tracker: {worst:.3f} (goal <= {GOALS[0]}): {met(worst <= GOALS[0])}")
    print(f"AUC of falling short, mean: {area:.3f} (goal >= {GOALS[1]}): {met(area >= GOALS[1])}\n")
    goals = {"mae": goal(worst, worst <= GOALS[0]), "auc": goal(area, area >= GOALS[1])}
    return {"trackers": found, "without_newer_records": blind, "goals": goals}


def _read(tracker: str, share: int) -> Frame:
    """The sprints of a tracker at a share of their time, in the order of their numbers."""
    folder = ForetellSettings().bench_data
    path = (folder or Path()) / "agile" / "sprint_delivery_tse2017" / f"{tracker}_iteration_{share}.csv.gz"
    if folder is None or not path.is_file():
        raise MissingError(f"there is no {path}; name the folder that has it: FORETELL_BENCH_DATA=<folder> make bench")
    with gzip.open(path, "rt", encoding="latin-1") as lines:
        head, *cells = [line.rstrip("\n").split(",") for line in lines]
    names = [*head[:2], *head[-16:]]
    rows = pl.DataFrame([[*row[:2], *row[-16:]] for row in cells], schema=names, orient="row").cast(pl.Float64)
    held = pl.sum_horizontal("vel_todo", "vel_inprogress", "vel_done")
    points = {name: pl.col(f"vel_{one.strip('_')}") for name, one in (FLOWS | STATES).items()}
    issues = {f"{name}_issues": pl.col(f"no_issue{one}") for name, one in (FLOWS | STATES).items()}
    place = pl.int_range(pl.len())
    begins = (pl.lit(FIRST, INSTANT) + place * pl.duration(hours=24)).cast(INSTANT)
    return rows.sort("sprintid").select(
        tracker=pl.lit(tracker), project=pl.lit(f"{tracker} ") + pl.col("boardid").cast(pl.Int64).cast(pl.String),
        as_of=begins, known_at=begins + pl.duration(hours=23), first=place < (pl.len() * LEARNED).floor(),
        value="vel_diff", committed=held, delivered=pl.max_horizontal(held + pl.col("vel_diff"), 0.0),
        planned_days="planday", elapsed=pl.lit(share / 100), team="no_teammember", **points, **issues,
    )  # fmt: skip


def _study(rows: Frame, over: Frame) -> Study:
    counts = {name: rows[name].to_numpy() for name in rows.columns if rows[name].dtype == pl.Float64}
    asked = rows.select("project", "as_of", entity="project", at="as_of")
    standing = Standpoint(tenant="bench", now=datetime(2030, 1, 1, tzinfo=UTC), zone="UTC", settings=Settings())
    features: Block = delivery.told(counts, delivery.record(over, asked))
    return Study(history=History(standing, {}), questions=asked, features=features)


def _scores(ask: Frame, said: dict[str, Forecast], tracker: str) -> dict[str, float]:
    here = ask["tracker"] == tracker
    value = ask["value"].filter(here).to_numpy()
    errors = {name: mae(value, one.rows["point"].filter(here).to_numpy()) for name, one in said.items()}
    median = mae(value, ask["median"].filter(here).to_numpy())
    low, high = (said["forest"].rows[name].filter(here).to_numpy() for name in ("q10", "q90"))
    return {
        "sprints": float(len(value)), "median": median, **errors, "share": errors["forest"] / median,
        "area": _area(value < 0, delivery.under(said["forest"])[here.to_numpy()]),
        "covered": float(np.mean((value >= low) & (value <= high))),
    }  # fmt: skip


def _area(happened: Any, chance: Floats) -> float:
    """The share of pairs, one where it happened and one where not, that the chance has in order; half of equal ones."""
    ours, others = chance[happened][:, None], chance[~happened][None]
    return float(((ours > others) + 0.5 * (ours == others)).mean())
