"""What was known of many, each at a moment of its own: declared features, all questions in one pass.

Rows lie by whom they are about, and then as they became known. What a question sees of them is a stretch of rows, whose
ends are found for all questions together; a sum over the stretch is the difference of two running sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import Block, Catalogue, Feature, Floats, Frame, History

Places = NDArray[np.int64]
DAY = 86_400_000_000  # microseconds
FINE = 1e6  # sums are kept in whole millionths: then they don't depend on what is added up before


class Rows:
    """The rows of a frame by group, each group's in the order in which they became known."""

    def __init__(self, frame: Frame, by: str) -> None:
        """`frame` has `known_at`; rows without a group belong to nobody."""
        self.frame = frame.filter(pl.col(by).is_not_null()).sort(by, "known_at", maintain_order=True)
        self.known: Places = self.frame["known_at"].dt.epoch("us").to_numpy().astype(np.int64)
        groups = self.frame.lazy().select(group=by, start=pl.int_range(pl.len(), dtype=pl.Int64))
        self.groups = (
            groups.group_by("group", maintain_order=True)
            .agg(pl.col("start").first(), end=pl.col("start").last() + 1)
            .collect()
        )

    def of(self, whom: pl.Series) -> tuple[Places, Places]:
        """Where the rows of each begin and end; an empty stretch of who has none."""
        found = whom.to_frame("group").join(self.groups, on="group", how="left", maintain_order="left")
        return (
            found["start"].fill_null(0).to_numpy().astype(np.int64),
            found["end"].fill_null(0).to_numpy().astype(np.int64),
        )

    def until(self, start: Places, end: Places, moments: Places) -> Places:
        """The place after the last row of each stretch that was known by its moment (bisection, all at once)."""
        low, high = start.copy(), end.copy()
        while (left := low < high).any():
            middle = (low + high) >> 1
            there = left & (self.known[np.where(left, middle, 0)] <= moments)
            low = np.where(there, middle + 1, low)
            high = np.where(left & ~there, middle, high)
        return low


def vectors(catalogue: Catalogue, history: History, asked: Frame, names: Sequence[str] | None = None) -> Block:
    """The features of each question (all of them, or those named), in the order of the questions.

    `asked` has `as_of` and the columns that features look for by. Features that others are made of are made too.
    """
    wanted = _needed(catalogue.features, names)
    now = asked["as_of"].dt.epoch("us").to_numpy().astype(np.int64)
    found: dict[str, pl.Series] = {}
    seen: dict[tuple[str, str], list[Feature]] = {}
    for one in wanted:
        if one.table is not None:
            seen.setdefault((one.table, one.by), []).append(one)
    for (table, by), some in seen.items():
        make = catalogue.frames.get(table)
        frame = history[table] if make is None else history.once(make, ("frame", table))
        found |= {name: pl.Series(name, value) for name, value in _of_rows(frame, by, some, asked[by], now).items()}
    every = asked.with_columns(found.values()).with_columns(pl.col(*found).fill_nan(None) if found else [])
    for some in _layers([one for one in wanted if one.how == "made"]):
        every = every.with_columns(_number(one.of).alias(one.name) for one in some)
    return Block.of(every.select(names if names is not None else [one.name for one in catalogue.features]))


def _needed(features: Sequence[Feature], names: Sequence[str] | None) -> list[Feature]:
    """The features named, and those that they are made of, in their order."""
    if names is None:
        return [*features]
    wanted = {*names}
    for one in reversed(features):
        if one.name in wanted and one.how == "made":
            wanted |= {*one.of.meta.root_names()}
    return [one for one in features if one.name in wanted]


def _layers(made: Sequence[Feature]) -> list[list[Feature]]:
    """Features that are made of others, those together of which none is made of another of them, in an order."""
    layers: list[list[Feature]] = []
    layer: dict[str, int] = {}
    for one in made:
        layer[one.name] = 1 + max((layer[name] for name in one.of.meta.root_names() if name in layer), default=-1)
        if layer[one.name] == len(layers):
            layers.append([])
        layers[layer[one.name]].append(one)
    return layers


def _of_rows(frame: Frame, by: str, features: Sequence[Feature], whom: pl.Series, now: Places) -> dict[str, Floats]:
    """The features of one table, all by the same column; of others' rows, as many as there may be, nothing is made."""
    rows = Rows(frame.filter(pl.col(by).is_in(whom.unique().implode())), by)
    start, end = rows.of(whom)
    last = rows.until(start, end, now)
    today = now // DAY * DAY
    since: dict[timedelta | None, Places] = {None: start}
    made = rows.frame.with_columns(_columns(features, by))
    out = {}
    for one in features:
        if one.window not in since:
            before = today - int(one.window.total_seconds() * 1e6) - 1 if one.window is not None else today
            since[one.window] = rows.until(start, last, before)
        first = since[one.window]
        out[one.name] = _of_stretch(one, made, first, last, today)
    return out


def _columns(features: Sequence[Feature], by: str) -> list[pl.Expr]:
    """What is added up or looked at, one or two columns a feature, as whole numbers where it is added up."""
    out = []
    for one in features:
        if one.how == "since":
            when = pl.when(one.of).then(pl.col("time").dt.epoch("us"))
            out.append(when.cum_max().forward_fill().over(by).alias(one.name))
        elif one.how == "newest":
            value = _number(one.of)
            when = pl.when(value.is_not_null()).then(pl.col("time"))
            # What is told late of an earlier time does not replace what is known of a later one.
            out.append(pl.when(when == when.cum_max()).then(value).forward_fill().over(by).alias(one.name))
        else:
            out += [_fine(one.of, one.name), *([] if one.per is None else [_fine(one.per, f"{one.name} per")])]
    return out


def _number(expression: pl.Expr) -> pl.Expr:
    """As a number; null where it can't be worked out, as a division by 0."""
    value = expression.cast(pl.Float64)
    return pl.when(value.is_finite()).then(value)


def _fine(expression: pl.Expr, name: str) -> pl.Expr:
    return (_number(expression).fill_null(0.0) * FINE).round().cast(pl.Int64).alias(name)


def _of_stretch(one: Feature, made: Frame, first: Places, last: Places, today: Places) -> Floats:
    if one.how in ("sum", "share"):
        total = _sums(made[one.name], first, last)
        if one.how == "sum":
            return total
        per = _sums(made[f"{one.name} per"], first, last)
        share: Floats = np.divide(total, per, out=np.full(len(total), np.nan), where=per != 0)
        return share
    values = made[one.name].cast(pl.Float64).to_numpy()  # where nothing is, NaN
    there = last > first
    found = np.full(len(last), np.nan)
    found[there] = values[last[there] - 1]
    if one.how == "newest":
        return found
    return np.asarray(np.maximum((today - found // DAY * DAY) // DAY, 0.0))


def _sums(values: pl.Series, first: Places, last: Places) -> Floats:
    running = np.concatenate([[0], np.cumsum(values.to_numpy().astype(np.int64))])
    return np.asarray((running[last] - running[first]) / FINE)
