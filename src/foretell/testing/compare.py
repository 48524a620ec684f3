"""Whether two frames, forecasts or answers say the same; where they first do not, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Forecast, Frame
from foretell.errors import BrokenDomain

CLOSE = 1e-9  # of the numbers' size: sums over fewer rows round differently


def about(questions: Frame, place: int) -> str:
    """A question in words."""
    entity, as_of, at = questions.select("entity", "as_of", "at").row(place)
    return f"the question about {entity} at {at:%Y-%m-%d %H:%M:%S}, asked at {as_of:%Y-%m-%d %H:%M:%S}"


def same(
    where: str, what: str, questions: Frame, one: Frame, two: Frame, *, said: tuple[str, str], exact: bool = False
) -> None:
    """Raise BrokenDomain unless both frames say the same of each question; `what` may name the `{column}`.

    A missing value may be null or NaN. Numbers may differ by rounding, unless `exact`. A class that one of them does
    not know has no chance there.
    """
    one, two = _with_classes(one, two), _with_classes(two, one)
    for frame, which in zip((one, two), said, strict=True):
        if frame.height != questions.height:
            words = what.replace("{column}", "the number of rows")
            raise BrokenDomain(f"{where}: {words}: {frame.height} rows for {questions.height} questions {which}")
    if other := set(one.columns) ^ set(two.columns):
        words = what.replace("{column}", "the columns")
        raise BrokenDomain(f"{where}: {words}: {', '.join(sorted(other))} not both {said[0]} and {said[1]}")
    for column in one.columns:
        places = _unequal(one[column], two[column], exact).nonzero()[0]
        if len(places):
            place = int(places[0])
            values = _first(one[column], two[column], place, exact)
            raise BrokenDomain(
                f"{where}: {what.replace('{column}', column)} of {len(places)} of {questions.height} questions; "
                f"for {about(questions, place)}: {values[0]!r} {said[0]}, {values[1]!r} {said[1]}"
            )


def _with_classes(one: Frame, two: Frame) -> Frame:
    """A frame with the classes of another: without a chance, or missing where nothing is said."""
    more = [name for name in two.columns if name.startswith("p:") and name not in one.columns]
    if not more:
        return one
    own = [name for name in one.columns if name.startswith("p:")]
    silent = pl.any_horizontal(pl.col(own).is_null() | pl.col(own).cast(pl.Float64).is_nan()) if own else pl.lit(True)
    return one.with_columns(pl.when(~silent).then(0.0).alias(name) for name in more)


def _first(one: pl.Series, two: pl.Series, place: int, exact: bool) -> tuple[Any, Any]:
    """The two values at a place; of worlds the first that differ."""
    a, b = one[place], two[place]
    if isinstance(a, pl.Series) and isinstance(b, pl.Series) and len(a) == len(b) and a.dtype == b.dtype == pl.Float64:
        world = int(_unequal(a, b, exact).argmax())
        return a[world], b[world]
    return a, b


def _unequal(one: pl.Series, two: pl.Series, exact: bool) -> NDArray[np.bool_]:
    if isinstance(one.dtype, pl.Array) and one.dtype == two.dtype and one.dtype.inner == pl.Float64:
        a, b = (c.explode(empty_as_null=False, keep_nulls=False) for c in (one, two))
        return np.asarray(_unequal(a, b, exact).reshape(len(one), -1).any(axis=1))
    plain = [c.dtype.is_numeric() or c.dtype in (pl.Boolean, pl.Null) for c in (one, two)]
    if not all(plain):
        if one.dtype != two.dtype:
            return np.ones(len(one), dtype=bool)
        return (~one.eq_missing(two)).to_numpy().astype(bool)
    x, y = (c.cast(pl.Float64).fill_null(np.nan).to_numpy() for c in (one, two))
    gone = np.isnan(x) | np.isnan(y)
    if exact:
        return np.asarray(np.where(gone, np.isnan(x) != np.isnan(y), x != y))
    there = np.abs(x[np.isfinite(x)])
    size = np.fmax(np.fmax(np.abs(x), np.abs(y)), np.median(there) if len(there) else 0.0)
    with np.errstate(invalid="ignore"):
        far = (np.abs(x - y) > CLOSE * size) | ((np.isinf(x) | np.isinf(y)) & (x != y))
    return np.asarray(np.where(gone, np.isnan(x) != np.isnan(y), far))


def flat(forecast: Forecast) -> Frame:
    """Everything a forecast says, as one frame: rows, worlds and evidence."""
    frames = [forecast.rows]
    if forecast.draws is not None:
        worlds = np.asarray(forecast.draws, dtype=np.float64)
        frames.append(pl.DataFrame({"draws": pl.Series(worlds, dtype=pl.Array(pl.Float64, worlds.shape[1]))}))
    if forecast.evidence.width:
        frames.append(forecast.evidence.select(pl.all().name.prefix("evidence ")))
    return pl.concat(frames, how="horizontal")


def apart(one: Any, two: Any, path: str = "the answer") -> str | None:
    """Where two answers (dumped) differ by more than rounding, in words; None where they don't."""
    if isinstance(one, float) and isinstance(two, float):
        equal = math.isclose(one, two, rel_tol=CLOSE, abs_tol=1e-12) or (math.isnan(one) and math.isnan(two))
        return None if equal else f"{path}: {one!r} and {two!r}"
    if isinstance(one, Mapping) and isinstance(two, Mapping) and one.keys() == two.keys():
        return next((words for key in one if (words := apart(one[key], two[key], f"{path}.{key}"))), None)
    if _listed(one) and _listed(two) and len(one) == len(two):
        pairs = enumerate(zip(one, two, strict=True))
        return next((words for k, (a, b) in pairs if (words := apart(a, b, f"{path}[{k}]"))), None)
    return None if one == two else f"{path}: {one!r} and {two!r}"


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
