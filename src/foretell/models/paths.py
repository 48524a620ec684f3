"""Whole paths that a daily series may take: blocks of its own past about a forecast, times its own changes of level.

Bounds of single days do not add up: whether a shelf is empty on a day hangs on all the days before it. A path is
the forecast's mean, times what the series' recent days were relative to their weekday's mean, drawn in whole blocks so
that busy days stay together (moving-block bootstrap, Künsch 1989), times one change of level, as the series itself
has changed from one four weeks to the next. Zero days stay zero, so that lumpy demand stays lumpy.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np

from foretell.contract import Floats

WEEK = 7
SPAN = 28  # days that a level is the mean of
RECENT = 91  # days that blocks are drawn from at least
BUSY = 15  # days with a value that should be among them; further back is looked for them
WORLDS = 400
LONGEST = 460  # steps ahead
MOST = 4.0  # a level is said to rise or fall by this factor at most, and a day to have so often the most ever seen
FIFTHS = np.array([-1.28, -0.52, 0.0, 0.52, 1.28])  # the tenths, thirds and middle of a normal distribution
LATELY = 42  # days whose demands a level is known by
# How much levels usually change (log-normal): so many times the variance of the mean of the late demands, relative to
# its square, and no more than that. Set on public series (`bench/inventory.py`).
USUAL, WIDEST = 6.5, 0.8


def generator(entity: str, day: int) -> np.random.Generator:
    """The source of chance of one entity and day: the same draws whenever, and beside whomever, it is asked."""
    return np.random.default_rng([crc32(entity.encode()), day])


def weekdays(past: Floats) -> Floats:
    """The mean of each of the seven days that follow `past`, relative to the mean of all; 1.0 throughout if that is 0.

    Drawn towards 1 as if each weekday had been seen once more at the mean: a few weeks prove little.
    """
    level = float(past.mean()) if len(past) else 0.0
    if level <= 0:
        return np.ones(WEEK)
    place = (np.arange(len(past)) - len(past)) % WEEK
    total, count = np.bincount(place, past, minlength=WEEK), np.bincount(place, minlength=WEEK)
    found = (total / level + 1) / (count + 1)
    shares: Floats = found / found.mean()
    return shares


def recent(past: Floats) -> Floats:
    """The end of a series that says what its days are like now: at least `RECENT` days, more where most are zero."""
    busy = np.flatnonzero(past > 0)
    first = len(past) - RECENT
    if len(busy):
        first = min(first, int(busy[max(0, len(busy) - BUSY)]))
    return past[max(0, first) :]


def usual(past: Floats) -> Floats:
    """Logarithms of changes of level as series with so few demands of such sizes have them: five, evenly likely.

    Of n demands whose sizes vary by CV, their mean has a variance of (1 + CV²) / n, relative to its square: a level of
    few demands is hardly known, whatever the series did before.
    """
    late = past[-LATELY:]
    sizes = late[late > 0]
    error = (1 + float(sizes.var()) / float(sizes.mean()) ** 2) / len(sizes) if len(sizes) else 1.0
    found: Floats = min(WIDEST, USUAL * error) * FIFTHS
    return found


def changes(past: Floats, noise: float) -> Floats:
    """What the level of `SPAN` days was relative to that of as many before, at each week of the past; and `usual` ones.

    `noise` is the variance of a mean of `SPAN` days without any change of level, relative to its square: so much of the
    spread is taken out, for the blocks bring it again. A short past, or one that happened to be calm, says little of
    how levels change: what they usually do counts as fifteen more weeks.
    """
    own = np.zeros(0)
    ends = np.arange(len(past) - SPAN, SPAN - 1, -WEEK)
    if len(ends) and past.mean() > 0:
        total = np.concatenate([[0.0], np.cumsum(past)])
        after, before = total[ends + SPAN] - total[ends], total[ends] - total[ends - SPAN]
        little = float(past.mean()) * WEEK  # a few units more or less are no change of level
        logs = np.clip(np.log((after + little) / (before + little)), -np.log(MOST), np.log(MOST))
        spread = float(logs.var())
        own = (logs - logs.mean()) * (np.sqrt(max(0.0, 1 - noise / spread)) if spread > 0 else 0.0)
    factor = np.exp(np.concatenate([own, np.tile(usual(past), 3)]))
    found: Floats = factor / factor.mean()
    return found


def paths(past: Floats, mean: Floats, random: np.random.Generator, *, worlds: int = WORLDS) -> Floats:
    """Possible futures about the `mean` of the coming steps: steps x worlds, none below zero.

    `past` is the daily series without missing values, oldest first, that ends the day before the first step; at least
    `WEEK` days. A path's early steps are the same however many are asked for, up to `LONGEST`.
    """
    steps = len(mean)
    luck = random.random((worlds, 1 + -(-LONGEST // WEEK)))
    late = recent(past)
    shaped = weekdays(late)[(np.arange(len(late)) - len(late)) % WEEK] * max(float(late.mean()), 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(shaped > 1e-9, late / shaped, 0.0)
    average = float(ratio.mean())
    ratio = ratio / average if average > 0 else np.ones(len(ratio))
    begins = np.floor(luck[:, 1:] * (len(ratio) - WEEK + 1)).astype(np.int64)
    drawn = ratio[begins[:, : -(-steps // WEEK), None] + np.arange(WEEK)].reshape(worlds, -1)[:, :steps]
    sums = np.convolve(ratio, np.ones(WEEK), "valid")
    noise = float(sums.var()) / (WEEK * SPAN)
    made = (mean * drawn * _levels(changes(past, noise), luck[:, 0], steps)).T
    return _bounded(made, past, mean)


def _bounded(made: Floats, past: Floats, mean: Floats) -> Floats:
    """Paths none of whose days is beyond all reason: a lone spike would be multiplied with itself."""
    bounded: Floats = np.clip(made, 0.0, MOST * max(float(past.max(initial=0.0)), float(mean.max(initial=0.0))))
    return bounded


def _levels(changes: Floats, luck: Floats, steps: int) -> Floats:
    """The level in each world and step, relative to the forecast's; 1 on average."""
    change = changes[np.floor(luck * len(changes)).astype(np.int64)]
    # Beyond the span that it was measured on, a level walks on: its spread grows with the root of time.
    grown = np.sqrt(np.maximum(np.arange(1, steps + 1) / SPAN, 1.0))
    factor: Floats = np.exp(np.clip(np.log(change)[:, None] * grown, -np.log(MOST) * 2, np.log(MOST) * 2))
    factor /= factor.mean(axis=0)
    return factor


def errors_around(past: Floats, mean: Floats, random: np.random.Generator, *, worlds: int = WORLDS) -> Floats:
    """Possible futures about a `mean` that repeats last week: its own past errors, a week at a time, added.

    As `paths`; at least two weeks of `past`.
    """
    steps = len(mean)
    late = recent(past)
    wrong = late[WEEK:] - late[:-WEEK]
    luck = random.random((worlds, 1 + -(-LONGEST // WEEK)))
    begins = np.floor(luck[:, 1:] * max(1, len(wrong) - WEEK + 1)).astype(np.int64)
    drawn = wrong[(begins[:, : -(-steps // WEEK), None] + np.arange(WEEK)) % len(wrong)].reshape(worlds, -1)[:, :steps]
    return _bounded(((mean + drawn) * _levels(changes(past, 0.0), luck[:, 0], steps)).T, past, mean)
