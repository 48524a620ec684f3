"""A scale for a project without points, from answers to "which is bigger?"."""

from __future__ import annotations

import numpy as np
import polars as pl

from foretell.contract import History
from foretell.domains.agile.board import board
from foretell.domains.agile.decide import there
from foretell.domains.agile.schema import ScaleAnswer, ScaleRequest, Sized
from foretell.errors import InvalidRequest, NotFound
from foretell.models.pairs import strengths, telling

COMPARED = 10  # issues, if none are named
ENOUGH = 1.5  # answers an issue, for ten issues fifteen


def scale(request: ScaleRequest, history: History) -> ScaleAnswer:
    """Points for the issues compared. Raises NotFound for what is not there, InvalidRequest for a pair of others."""
    project = there(request.project, history)
    known = board(history).filter(pl.col("project") == project)
    titles = dict(history["issues"].sort("known_at", maintain_order=True).select("entity", "title").iter_rows())
    names = request.issues
    if names is None:
        named = {one for pair in request.pairs for one in (pair.larger, pair.smaller)}
        newest = known.filter(pl.col("category") != "done").sort("written", "entity", descending=True)["entity"]
        names = sorted(named) + [name for name in newest if name not in named][: max(0, COMPARED - len(named))]
    if unknown := sorted({*names} - {*known["entity"]}):
        raise NotFound(f"project {project!r} has no issue {', '.join(map(repr, unknown[:5]))}")
    place = {name: k for k, name in enumerate(dict.fromkeys(names))}
    if len(place) < 2:
        raise InvalidRequest(f"project {project!r} has fewer than two issues to compare; bring some, or name done ones")
    if other := [one for pair in request.pairs for one in (pair.larger, pair.smaller) if one not in place]:
        raise InvalidRequest(f"{other[0]!r} is not among the issues that are compared")
    pairs = [(place[pair.larger], place[pair.smaller]) for pair in request.pairs]
    size = strengths(pairs, len(place))
    steps = np.array(request.scale)
    middle = steps[(len(steps) - 1) // 2]
    points = steps[np.abs(np.log(middle * np.exp(size - np.median(size)))[:, None] - np.log(steps)).argmin(axis=1)]
    asked = np.bincount(np.array(pairs, dtype=np.int64).reshape(-1), minlength=len(place)).astype(np.float64)
    enough = len(pairs) >= ENOUGH * len(place)
    sized = [
        Sized(issue=name, title=titles[name], points=float(points[k]), answers=int(asked[k]))
        for name, k in place.items()
    ]
    return ScaleAnswer(
        project=project, issues=sorted(sized, key=lambda one: (one.points, one.issue)),
        agreement=float(np.mean([size[more] > size[less] for more, less in pairs])) if pairs else None,
        next=None if enough else [[*place][k] for k in telling(size, asked, pairs)], asked_enough=enough,
    )  # fmt: skip
