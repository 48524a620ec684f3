"""What kind of series it is: its week, its trend, its class, and why people should look at it themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foretell.domains.inventory.schema import Change, Class, Kinds, Outlier, Pattern, Regular, Trend
from foretell.features import seasons
from foretell.features.dates import dated
from foretell.features.days import Line
from foretell.models.paths import weekdays

INTERVAL, CV2 = 1.32, 0.49  # where classes meet (Syntetos, Boylan & Croston 2005)
NEW = 60  # days of history, below which it is a new product
SILENT = 90  # days without any demand, after which it is a dead one
LOOKED = 182  # days that week and trend are found in
SURE = 0.01  # a pattern that is likelier by chance than this is none
WEEKS = 8  # days with transactions, all of one weekday, from which on they may be sums of weeks
GAP = 14  # days without a transaction that are a gap, where five usual intervals are not more
MUCH = 1.5  # times as much or as little is a level that people should look at,
LEARNING = 60  # for so many days
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
    """Trend and week of the last half year, month and year, changes of level, and days out of line."""
    past = line.filled
    year, share = seasons.yearly(past)
    found = [seasons.weekly(past[-LOOKED:]), seasons.monthly(past, line.first), year]
    # Bonferroni (1936): of several seasons that are looked for, each has to be so much surer.
    tested = sum(each.p is not None for each in found)
    week, month, whole = (_regular(each, tested) for each in found)
    if whole.detected:
        past = past / share
    change, rising = seasons.trend(past[-LOOKED:])
    day = line.first + len(line.value)
    last = (day + 3) % 7  # the weekday of the day after the last; 1970 began on a Thursday
    return Pattern(
        trend=Trend(change=change, **_regular(rising, 1).model_dump()),
        weekly=week, monthly=month, yearly=whole,
        weekdays=[float(each) for each in np.roll(weekdays(line.filled[-LOOKED:]), last)] if week.detected else None,
        changes=list(_changes(line, seasons.changes(past))),
        outliers=list(_outliers(line, week=week.detected, month=month.detected)),
    )  # fmt: skip


def _regular(found: seasons.Found, tested: int) -> Regular:
    p = None if found.p is None else min(1.0, found.p * tested)
    return Regular(strength=found.strength, p=p, detected=p is not None and p < SURE)


def _changes(line: Line, places: list[int]) -> Iterator[Change]:
    edges = [0, *places, len(line.filled)]
    for begin, split, end in zip(edges, edges[1:], edges[2:], strict=False):
        before, after = (float(line.filled[one:other].mean()) for one, other in ((begin, split), (split, end)))
        yield Change(date=dated(line.first + split), before=before, after=after)


def _outliers(line: Line, *, week: bool, month: bool) -> Iterator[Outlier]:
    count = len(line.value)
    groups = [np.arange(count) % 7] * week + [seasons.phases(line.first, count)] * month
    for place, usual in zip(*seasons.outliers(line.value, groups), strict=True):
        yield Outlier(date=dated(line.first + int(place)), value=float(line.value[place]), usual=float(usual))


def reasons(line: Line, found: Pattern, mape: float | None) -> list[str]:
    """Why people should decide about a product, in words; empty where nothing speaks against a forecast."""
    return [*silent(line), *_gap(line), *_summed(line), *_tenfold(found), *_level(line, found), *_wrong(mape)]


def silent(line: Line) -> Iterator[str]:
    """That a product is dead, and for how long nothing was sold; nothing of any other."""
    if kind(line).name == "dead":
        busy = np.flatnonzero(line.filled > 0)
        yield f"nothing was sold for {len(line.value) - 1 - busy[-1] if len(busy) else len(line.value)} days"


def _gap(line: Line) -> Iterator[str]:
    places = np.flatnonzero(line.moved)
    between = np.diff(places)
    if not len(between):
        return
    longest, usual = int(between.max()) - 1, float(np.median(between))
    if longest >= max(GAP, 5 * usual):
        begin = dated(line.first + int(places[between.argmax()]) + 1)
        yield f"there is a gap of {longest} days without a transaction from {begin} on"


def _summed(line: Line) -> Iterator[str]:
    """That all days are of one weekday, week by week: they may be sums of weeks, and other days seem without a sale."""
    places = np.flatnonzero(line.moved)
    between = np.diff(places)
    if len(places) >= WEEKS and not (between % 7).any() and np.median(between) == 7:
        name = f"{dated(line.first + int(places[0])):%A}s"
        yield f"all {len(places)} days with transactions are {name}: if they are sums of weeks, spread each over its " \
              "days, for they count as demand of that day alone"  # fmt: skip


def _tenfold(found: Pattern) -> Iterator[str]:
    great = [each for each in found.outliers if each.value >= seasons.TENFOLD * each.usual]
    if great:
        days = ", ".join(f"{each.date} ({each.value:,.6g} against {each.usual:,.6g})" for each in great[-3:])
        yield f"{len(great)} days had ten times the usual or more: {days}"


def _level(line: Line, found: Pattern) -> Iterator[str]:
    for last in found.changes[-1:]:
        how = "rose" if last.after > last.before else "fell"
        low, high = sorted((last.before, last.after))
        if high >= MUCH * low and (dated(line.first + len(line.value)) - last.date).days <= LEARNING:
            yield f"the level {how} on {last.date}, from {last.before:,.3g} to {last.after:,.3g} a day; " \
                  f"allow {LEARNING} days to learn it again"  # fmt: skip


def _wrong(mape: float | None) -> Iterator[str]:
    if mape is not None and mape > WRONG:
        yield f"forecasts of single days were {mape:.0f} % wrong (MAPE), more than {WRONG:.0f} %"
