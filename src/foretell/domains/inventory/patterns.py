"""What kind of series it is: its week, its trend, its class, and why people should look at it themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from foretell.contract import Floats
from foretell.domains.inventory.features import Line, dated
from foretell.domains.inventory.schema import Class, Kinds, Pattern
from foretell.models.paths import weekdays

INTERVAL, CV2 = 1.32, 0.49  # where classes meet (Syntetos, Boylan & Croston 2005)
NEW = 60  # days of history, below which it is a new product
SILENT = 90  # days without any demand, after which it is a dead one
LOOKED = 182  # days that week and trend are found in
SURE = 0.01  # a pattern that is likelier by chance than this is none
GAP = 14  # days without a transaction that are a gap, where five usual intervals are not more
TENFOLD = 10.0
WRONG = 40.0  # MAPE in per cent


def kind(line: Line) -> Kinds:
    """The class of a series by the interval between demands and the squared variation of their sizes.

    Syntetos, Boylan & Croston (2005), "On the categorization of demand patterns". `interval` is the number of known
    days over those with demand. A series shorter than `NEW` days is new; without demand for `SILENT` days, or at all,
    dead.
    """
    known = line.value[~np.isnan(line.value)]
    sizes = known[known > 0]
    if not len(sizes) or not (line.filled[-SILENT:] > 0).any():
        return Kinds(name="dead", interval=None, size_cv2=None)
    interval = len(known) / len(sizes)
    cv2 = float(sizes.var() / sizes.mean() ** 2)
    name: Class
    if len(line.value) < NEW:
        name = "new"
    elif interval < INTERVAL:
        name = "smooth" if cv2 < CV2 else "erratic"
    else:
        name = "intermittent" if cv2 < CV2 else "lumpy"
    return Kinds(name=name, interval=interval, size_cv2=cv2)


def pattern(line: Line) -> Pattern:
    """Trend and week of the last half year."""
    past = line.filled[-LOOKED:]
    strength, p = weekly(past)
    slope, slope_p = trend(past)
    seasonal = p is not None and p < SURE
    last = (line.first + len(line.value) + 3) % 7  # the weekday of the day after the last; 1970 began on a Thursday
    return Pattern(
        trend=slope if slope_p is not None and slope_p < SURE else None,
        trend_p=slope_p,
        weekly_strength=strength,
        weekly_p=p,
        weekdays=[float(share) for share in np.roll(weekdays(past), last)] if seasonal else None,
    )


def weekly(past: Floats) -> tuple[float, float | None]:
    """How much the weekday says, 0 to 1, and how likely that is by chance; 0 and None in less than four weeks.

    Friedman's test (1937) of the seven days within each week, so that neither trend nor a single week counts; the
    strength is Kendall's W less what chance alone gives.
    """
    weeks = len(past) // 7
    if weeks < 4:
        return 0.0, None
    block = past[len(past) - weeks * 7 :].reshape(weeks, 7)
    above = (block[:, :, None] > block[:, None, :]).sum(axis=2)
    equal = (block[:, :, None] == block[:, None, :]).sum(axis=2)
    ranks = above + (equal + 1) / 2
    spread = float(np.square(ranks.sum(axis=0) - 4 * weeks).sum())
    ties = float((np.square(equal) - 1).sum())  # of t equal ones each gives t² - 1: t³ - t together
    most = (weeks**2 * 336 - weeks * ties) / 12
    if most <= 0:
        return 0.0, None
    agreement = spread / most
    half = weeks * 6 * agreement / 2
    p = math.exp(-half) * (1 + half + half**2 / 2)  # chi-squared with six degrees of freedom
    return max(0.0, (agreement * weeks - 1) / (weeks - 1)), p


def trend(past: Floats) -> tuple[float, float | None]:
    """The change over four weeks relative to the mean, and how likely it is by chance; 0 and None in too few weeks.

    Slope by Theil and Sen of the weeks' totals, significance by Mann and Kendall (1945), ties counted out.
    """
    weeks = len(past) // 7
    total = past[len(past) - weeks * 7 :].reshape(weeks, 7).sum(axis=1)
    if weeks < 8 or total.max() == total.min():
        return 0.0, None
    early, late = np.triu_indices(weeks, 1)
    rise = total[late] - total[early]
    score = float(np.sign(rise).sum())
    _, same = np.unique(total, return_counts=True)
    variance = (weeks * (weeks - 1) * (2 * weeks + 5) - float((same * (same - 1) * (2 * same + 5)).sum())) / 18
    z = max(0.0, abs(score) - 1) / math.sqrt(variance)
    slope = float(np.median(rise / (late - early)))
    return slope * 4 / float(total.mean()), math.erfc(z / math.sqrt(2))


def reasons(line: Line, mape: float | None) -> list[str]:
    """Why people should decide about a product, in words; empty where nothing speaks against a forecast."""
    return [*_gap(line), *_outliers(line), *_level(line), *_wrong(mape)]


def _gap(line: Line) -> Iterator[str]:
    places = np.flatnonzero(line.moved)
    between = np.diff(places)
    if not len(between):
        return
    longest, usual = int(between.max()) - 1, float(np.median(between))
    if longest >= max(GAP, 5 * usual):
        begin = dated(line.first + int(places[between.argmax()]) + 1)
        yield f"there is a gap of {longest} days without a transaction from {begin} on"


def _outliers(line: Line) -> Iterator[str]:
    value = np.nan_to_num(line.value)
    some = value[value > 0]
    if not len(some):
        return
    usual = float(np.median(some))
    found = np.flatnonzero(value > TENFOLD * usual)
    if len(found):
        days = ", ".join(f"{dated(line.first + int(k))} ({value[k]:,.6g})" for k in found[-3:])
        yield f"{len(found)} days had more than ten times the usual {usual:,.6g}: {days}"


def _level(line: Line) -> Iterator[str]:
    """Four weeks that all lie beyond the eight before them: two in 495 by chance."""
    past = line.filled[-84:]
    if len(past) < 84:
        return
    total = past.reshape(12, 7).sum(axis=1)
    before, now = total[:8], total[8:]
    was, is_now = float(before.mean()), float(now.mean())
    words = f"four weeks ago, from {was / 7:,.3g} to {is_now / 7:,.3g} a day; allow 60 days to learn it again"
    if now.min() > before.max() and is_now >= 1.5 * was:
        yield f"the level rose {words}"
    elif now.max() < before.min() and is_now * 1.5 <= was:
        yield f"the level fell {words}"


def _wrong(mape: float | None) -> Iterator[str]:
    if mape is not None and mape > WRONG:
        yield f"forecasts of single days were {mape:.0f} % wrong (MAPE), more than {WRONG:.0f} %"
