"""The peak of what was asked together: of questions of one entity and standpoint, the highest of the first hours."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from foretell.contract import Frame
from foretell.features.grid import Places, alike, distinct, micros


def tops(said: Frame, within: timedelta) -> tuple[Places, Places]:
    """For each question the number of its answer, and for each answer the row of its peak.

    That is the highest `point` among the questions less than `within` after `as_of`; of several the one with the widest
    band. An answer without such a question has any other.
    """
    as_of, entity = micros(said["as_of"]), said["entity"]
    _, which = distinct(as_of)
    if not alike(entity):
        names = entity.rank("dense").to_numpy().astype(np.int64)
        which = np.unique(which * (names.max() + 1) + names, return_inverse=True)[1]
    near = micros(said["at"]) < as_of + within // timedelta(microseconds=1)
    height = np.where(near, said["point"].to_numpy(), -np.inf)
    order = np.lexsort((said["q90"].to_numpy() - said["q10"].to_numpy(), height, which))
    last = np.append(which[order][1:] != which[order][:-1], True)
    return which, order[last]


def kept(rows: Frame, hours: int, share: float) -> Frame:
    """Whether each answer's peak stayed within `share` of what was said, over its first `hours` hours.

    One row an answer: `entity`, `as_of`, `known_at` and `held`, 1.0 or 0.0; null unless all those hours were asked and
    have a value.
    """
    near = pl.col("at") < pl.col("as_of") + timedelta(hours=hours)
    asked = rows.filter(near, pl.col("value").is_not_null())
    answers = asked.group_by("entity", "as_of", maintain_order=True).agg(
        pl.col("known_at").max(),
        there=pl.col("at").n_unique() == hours,
        off=(pl.col("value").max() - pl.col("point").max()).abs(),
        said=pl.col("point").max().abs(),
    )
    held = pl.when("there").then((pl.col("off") <= share * pl.col("said")).cast(pl.Float64))
    return answers.select("entity", "as_of", "known_at", held=held)
