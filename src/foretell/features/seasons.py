"""What is regular in a daily series, and what is not: trend, week, month and year, changes of level, days out of line.

Arrays are daily values, oldest first and without gaps; a `day` counts from 1970. A p value is the chance that no more
than luck looks at least as regular. All of it holds for lumpy series too, most of whose days are zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats

WEEK = 7
YEAR = 365.25
HARMONICS = (1, 2, 3, 4, 5)  # waves a year
HALFWAY = (0.5, 1.5, 2.5, 3.5, 4.5, 5.5)
YEARS = 731  # days that a year is looked for in: two, and the day that makes them whole
PHASES = 28  # of a month, whatever its length: its first day is in the first, its last in the last
MONTHS = 6  # complete ones, from which on a day of the month can be told
SIDE = 4  # weeks that a level lasts at least
SURE = 0.01  # a change of level that is likelier by chance than this is none
PLAIN = 2.4  # standard deviations, below which a change of level never is that sure
SHUFFLES = 499
NEAR = 29  # busy days around one that say what is usual
FAR = 5.0  # robust standard deviations away from what is usual is out of line,
TWICE = 0.4  # if it is about twice or half as much, too: on the scale of `_apart`
TENFOLD = 10.0

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """How strong something is, 0 to 1, and how likely that is by chance; 0 and None where there is too little."""

    strength: float = 0.0
    p: float | None = None


def trend(past: Floats) -> tuple[float, Found]:
    """The change over four weeks relative to the mean, and Kendall's tau, without its sign; nothing in eight weeks.

    Slope by Theil and Sen of the weeks' totals, significance by Mann and Kendall (1945), ties counted out.
    """
    total = _weeks(past).sum(axis=1)
    count = len(total)
    if count < 8 or total.max() == total.min():
        return 0.0, Found()
    early, late = np.triu_indices(count, 1)
    rise = total[late] - total[early]
    score = abs(float(np.sign(rise).sum()))
    _, same = np.unique(total, return_counts=True)
    variance = (count * (count - 1) * (2 * count + 5) - float((same * (same - 1) * (2 * same + 5)).sum())) / 18
    slope = float(np.median(rise / (late - early)))
    p = math.erfc(max(0.0, score - 1) / math.sqrt(2 * variance))
    return slope * 4 / float(total.mean()), Found(score / len(rise), p)


def weekly(past: Floats) -> Found:
    """Whether weeks repeat a shape, as `repeated` finds it; nothing in less than four."""
    return repeated(_weeks(past / _line(past)), 3)


def monthly(past: Floats, day: int) -> Found:
    """Whether calendar months repeat a shape, as `repeated` finds it; nothing in fewer than `MONTHS` complete ones.

    `day` is that of the first value.
    """
    days = np.datetime64(day, "D") + np.arange(len(past))
    months = days.astype("datetime64[M]")
    place = (months - months[0]).astype(np.int64)
    starts = months[0] + np.arange(place[-1] + 2).astype("timedelta64[M]")
    lengths = np.diff(starts.astype("datetime64[D]")).astype(np.int64)
    whole = np.bincount(place) == lengths
    if whole.sum() < MONTHS:
        return Found()
    phase = place * PHASES + phases(day, len(past))
    size = len(whole) * PHASES
    mean = np.bincount(phase, past / _line(past), size) / np.maximum(np.bincount(phase, minlength=size), 1)
    return repeated(mean.reshape(-1, PHASES)[whole], 5)


def phases(day: int, count: int) -> Numbers:
    """How far the month has gone on each of the days from `day` on: 0 on its first, `PHASES` - 1 on its last."""
    days = np.datetime64(day, "D") + np.arange(count)
    month = days.astype("datetime64[M]")
    begin = month.astype("datetime64[D]")
    length = ((month + 1).astype("datetime64[D]") - begin).astype(np.int64)
    found: Numbers = (days - begin).astype(np.int64) * PHASES // length
    return found


def repeated(blocks: Floats, harmonics: int) -> Found:
    """Whether blocks (periods x phases) repeat a shape; nothing in fewer than four that have one.

    The strength is the mean correlation of any two periods. Without a season, a period that is turned by some phases is
    as likely as it was. So the phase of each harmonic, of which each period has one vote, is held to be uniform
    (Rayleigh 1919), the harmonics taken together (Z² of Buccheri et al. 1983). Neither autocorrelation nor a single
    great day makes a season.
    """
    apart = blocks - blocks.mean(axis=1, keepdims=True)
    size = np.sqrt(np.square(apart).sum(axis=1))
    some = size > 1e-9 * np.abs(blocks).max(initial=0.0)
    apart = apart[some] / size[some, None]
    count = len(apart)
    if count < 4:
        return Found()
    strength = (count * float(np.square(apart.mean(axis=0)).sum()) - 1) / (count - 1)
    wave = np.fft.rfft(apart, axis=1)[:, 1 : harmonics + 1]
    length = np.abs(wave)
    there = length > 1e-9
    votes = np.where(there, wave / np.maximum(length, 1e-9), 0.0).sum(axis=0)
    half = float((np.square(np.abs(votes)) / np.maximum(there.sum(axis=0), 1)).sum())
    return Found(max(0.0, strength), math.exp(-half) * sum(half**k / math.factorial(k) for k in range(harmonics)))


def yearly(past: Floats) -> tuple[Found, Floats]:
    """Whether the last two years repeat a shape, and each day's share of it, about 1; nothing in less than two years.

    An F test of square roots of the weeks' totals: five harmonics of the year explain more beside a straight line than
    the six waves halfway between them do. In those, the two years are against each other; and they lie among
    the others, so that neither a level that wanders nor one that changed makes a season. The strength is the adjusted
    share of variance that the harmonics explain.
    """
    total = _weeks(past[-YEARS:]).sum(axis=1)
    if len(past) < YEARS - 1 or total.max() == total.min():
        return Found(), np.ones(len(past))
    level = np.sqrt(total)
    none, year, half, both = (base @ (base.T @ level) for base in _bases(len(level)))
    left = [float(np.square(level - fitted).sum()) for fitted in (none, year, half, both)]
    mine, other = max(left[2] - left[3], 0.0), max(left[1] - left[3], 1e-12)
    adjusted = left[1] / (len(level) - 12) / max(left[0] / (len(level) - 2), 1e-12)
    found = Found(min(1.0, max(0.0, 1 - adjusted)), _tail(other / (mine + other), len(HALFWAY), len(HARMONICS)))
    weeks = np.square(np.maximum(year, none / 3) / np.maximum(none, level.mean() / 10))
    share = np.repeat(weeks / weeks.mean(), WEEK)
    missing = len(past) - len(share)  # days before those weeks are as they were a year later
    return found, np.concatenate([share[np.arange(-missing, 0) % 364], share])


@lru_cache(maxsize=2)
def _bases(weeks: int) -> list[Floats]:
    """Orthonormal columns: a straight line alone, with the harmonics of the year, with the waves between, with both."""
    time = np.arange(weeks)
    line = [np.ones(weeks), time / weeks]
    angle = 2 * np.pi * WEEK * time / YEAR
    even, odd = ([wave(k * angle) for k in times for wave in (np.cos, np.sin)] for times in (HARMONICS, HALFWAY))
    return [np.linalg.qr(np.column_stack([*line, *add]))[0] for add in ([], even, odd, [*even, *odd])]


def _tail(unsaid: float, half: int, pairs: int) -> float:
    """The tail of F with 2 x `pairs` and 2 x `half` degrees of freedom: the share `unsaid` is that small by chance."""
    terms = (math.comb(half + k - 1, k) * (1 - unsaid) ** k for k in range(pairs))
    return unsaid**half * sum(terms)


def _weeks(past: Floats) -> Floats:
    """The whole weeks up to the end: weeks x 7."""
    return past[len(past) % WEEK :].reshape(-1, WEEK)


def _line(past: Floats) -> Floats:
    """The straight line through a series by least squares, nowhere below a tenth of its mean; 1 of an empty one."""
    mean = float(past.mean()) if len(past) else 0.0
    if mean <= 0:
        return np.ones(len(past))
    time = np.arange(len(past)) - (len(past) - 1) / 2
    slope = float((time * past).sum()) / max(float(np.square(time).sum()), 1.0)
    found: Floats = np.maximum(mean + slope * time, mean / 10)
    return found


def changes(past: Floats) -> list[int]:
    """The places of a series from which on its level is another.

    Binary segmentation (Scott & Knott 1974) of the square roots of the weeks' totals. A segment is split where its
    sides differ most, if so much is rare among shuffled weeks (a permutation test; autocorrelation, after Bartlett
    1935, counts as fewer weeks), and if a step says more than a straight line. The day is that within a week of the
    split which parts the days best.
    """
    begin = len(past) % WEEK
    edges = [0, *(begin + WEEK * split for split in _splits(np.sqrt(_weeks(past).sum(axis=1)), 0)), len(past)]
    return [_nearest(past, *around) for around in zip(edges, edges[1:], edges[2:], strict=False)]


def _splits(level: Floats, first: int) -> Iterator[int]:
    """The splits of weeks of which the first is `first`, in order."""
    count = len(level)
    if count < 2 * SIDE:
        return
    apart = level - level.mean()
    power = float(np.square(apart).sum())
    if power <= 1e-12 * float(np.square(level).sum()):
        return
    sides = np.arange(SIDE, count - SIDE + 1)
    weight = count / np.sqrt(sides * (count - sides) * power)
    found = np.abs(np.cumsum(apart)[sides - 1]) * weight
    split = int(sides[found.argmax()])
    left = apart - np.where(np.arange(count) < split, apart[:split].mean(), apart[split:].mean())
    time = np.arange(count) - (count - 1) / 2
    slope = apart - time * float((time * apart).sum() / np.square(time).sum())
    most = float(found.max()) * math.sqrt(_effective(level, left))
    if most < PLAIN or np.square(left).sum() >= np.square(slope).sum() or _rarely(most, apart, sides, weight) >= SURE:
        return
    yield from _splits(level[:split], first)
    yield first + split
    yield from _splits(level[split:], first + split)


def _effective(level: Floats, left: Floats) -> float:
    """The share of weeks that count, where each error says something about the next.

    Of what a split leaves, or of differences that other changes do not sway (Chakar et al. 2017), whichever says less.
    """
    power = float(np.square(left).sum())
    lag = float((left[1:] * left[:-1]).sum()) / power if power > 0 else 0.0
    one, two = (float(np.median(np.abs(level[k:] - level[:-k]))) for k in (1, 2))
    lag = min(max(0.0, min(lag, (two / one) ** 2 - 1 if one > 0 else 0.0)), 0.95)
    return (1 - lag) / (1 + lag)


def _rarely(most: float, apart: Floats, sides: Numbers, weight: Floats) -> float:
    """How often shuffled weeks are parted as much."""
    drawn = np.random.default_rng(len(apart)).permuted(np.tile(apart, (SHUFFLES, 1)), axis=1)
    found = (np.abs(np.cumsum(drawn, axis=1)[:, sides - 1]) * weight).max(axis=1)
    return (1 + int((found >= most).sum())) / (1 + SHUFFLES)


def _nearest(past: Floats, begin: int, split: int, end: int) -> int:
    """The day within a week of `split` that best parts the days from `begin` to `end`."""
    apart = past[begin:end] - past[begin:end].mean()
    near = np.arange(max(split - WEEK, begin + 1), min(split + WEEK + 1, end)) - begin
    parted = np.square(np.cumsum(apart)[near - 1]) / (near * (end - begin - near))
    return begin + int(near[parted.argmax()])


def outliers(value: Floats, groups: Sequence[Numbers]) -> tuple[Numbers, Floats]:
    """The places of days that are out of line, and what would have been usual on each.

    Usual is the median of the `NEAR` busy days around, times what the day's group usually has of that, for each of
    `groups` (its weekday, say). Out of line is `FAR` robust standard deviations of the logarithm (Hampel 1974) and
    about twice or half as much; and ten times as much, whatever the spread. A day without anything is out of line only
    where hardly any is. `value` is NaN where unknown.
    """
    known = ~np.isnan(value)
    some = known & (np.nan_to_num(value) > 0)
    week = np.arange(len(value)) % WEEK
    shut = np.bincount(week, some, WEEK) * 2 < np.bincount(week, known, WEEK)  # weekdays that mostly have nothing
    day = known & ~shut[week]
    place = np.flatnonzero(some | day if (day & ~some).sum() <= 0.02 * day.sum() else some)
    if not len(place):
        return place, np.zeros(0)
    seen = value[place]
    usual = _around(seen)
    for group in groups:
        usual = usual * _shares(seen / usual, group[place])
    apart = np.abs(_apart(seen, usual))
    spread = max(1.4826 * float(np.median(apart)), math.sqrt(math.pi / 2) * float(apart.mean()))
    out = (apart > max(FAR * spread, TWICE)) | (seen >= TENFOLD * usual)
    return place[out], usual[out]


def _apart(seen: Floats, usual: Floats) -> Floats:
    """How far apart on a logarithm, on which nothing at all is as far down as four times is up."""
    far: Floats = np.log((seen + 0.5 * usual) / (1.5 * usual))
    return far


def _around(seen: Floats) -> Floats:
    """The running median; at the ends, that of the first and the last days."""
    width = min(NEAR, len(seen))
    middle = np.median(np.lib.stride_tricks.sliding_window_view(seen, width), axis=1)
    found = np.pad(middle, (width // 2, width - 1 - width // 2), mode="edge")
    return np.where(found > 0, found, seen[seen > 0].mean() if (seen > 0).any() else 1.0)


def _shares(ratio: Floats, group: Numbers) -> Floats:
    """The median of each one's group; 1 where that is nothing."""
    found = np.ones(len(ratio))
    for each in np.unique(group):
        middle = float(np.median(ratio[group == each]))
        found[group == each] = middle if middle > 0 else 1.0
    return found
