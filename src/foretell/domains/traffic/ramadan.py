"""What Ramadan does to the hours of a day, learned by hour and taken out of the numbers before trees see them.

When Ramadan begins, the weeks that say what is usual lay outside it, and when it ends, inside it. With one Ramadan in a
history trees can't learn twenty-four such shifts from rows; a mean by hour can. It is learned from hours whose Ramadan
share differs from that of their reference weeks, relative to the level of the day, and shrunk towards none.
"""

from __future__ import annotations

import numpy as np

from foretell.contract import Block, Floats

SHRINK = 12.0  # the weight of "no effect", in questions


def learn(features: Block, value: Floats) -> Floats:
    """The mean log effect of Ramadan on each hour of the day (24 numbers that sum to 0), from settled outcomes."""
    column = {name: features[name] for name in (*_STATE, "scale", "mean_24", "days_from_eid", "days_from_adha")}
    change = column["is_ramadan"] - _usual(column["ramadan_weeks"])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(np.clip(value / column["scale"], 0.1, 10)) - np.log(np.clip(column["mean_24"], 0.1, 10))
    feast = (np.abs(column["days_from_eid"] - 1) <= 2) | (np.abs(column["days_from_adha"] - 1.5) <= 2.5)
    seen = np.isfinite(ratio) & ~feast
    hour = column["hour"].astype(int)
    moved = np.bincount(hour[seen], (ratio * change)[seen], 24)
    shape: Floats = moved / (np.bincount(hour[seen], np.square(change)[seen], 24) + SHRINK)
    shape -= shape.mean()
    return shape


def _usual(weeks: Floats) -> Floats:
    """How much of the effect the usual value has in it: a median of four does not feel the first week, nor the last."""
    return np.clip((weeks - 1) / 2, 0.0, 1.0)


def undo(features: Block, shape: Floats) -> Block:
    """The features as if Ramadan did not change the shape of days: `scale` with the effect, ratios without it."""
    state = {name: features[name] for name in _STATE}
    now, weeks = state["is_ramadan"], state["ramadan_weeks"]
    if not (now.any() or weeks.any()):
        return features
    hour = state["hour"].astype(int)
    newest = hour - state["step"].astype(int)
    change, change_then = now - _usual(weeks), state["ramadan_yesterday"] - _usual(weeks)
    here, begun = shape[hour], shape[newest % 24]
    # Of the four weeks before, those in Ramadan: the latest while it lasts, the oldest when it is over.
    before = [np.where(now > 0, state["ramadan_day"] > 7 * k, weeks >= 5 - k) for k in (1, 2, 3, 4)]
    path, lift = here - begun, here * change
    week = (now - np.mean(before, axis=0)) * path - lift
    logs = {
        "scale": lift,
        "level": lift,
        "next": (here - begun) * change,
        "last": -begun * change,
        "last_2": -shape[(newest - 1) % 24] * change,
        "last_3": -shape[(newest - 2) % 24] * change,
        "ratio_24": -here * change_then,
        "carried_24": (now - state["ramadan_yesterday"]) * path - lift,
        "carried_days": -lift,
        "carried_168": (now - before[0]) * path - lift,
        **dict.fromkeys(("carried_week", "carried_least", "carried_most"), week),
        **dict.fromkeys(("yesterday", "before", "week_1", "week_2", "week_3", "week_4", "weeks_spread"), -lift),
    }
    undone = dict(zip(features.names, features.values.T, strict=True))
    return Block.of_columns(undone | {name: undone[name] * np.exp(log) for name, log in logs.items()})


_STATE = ("hour", "step", "is_ramadan", "ramadan_day", "ramadan_weeks", "ramadan_yesterday")
