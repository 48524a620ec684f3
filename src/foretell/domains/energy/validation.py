"""How good readings are: what can't be, what is unlikely, what is missing; and a score of it all.

Nothing is dropped silently: a clean frame has a null where a number was not believed, and one row of a time that came
twice; the report counts each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import Floats, Frame, History
from foretell.domains.energy.physics import Light, Sites
from foretell.domains.energy.readings import Flags, Places, hours, impossible, plants
from foretell.domains.energy.schema import Quality
from foretell.domains.energy.tables import Kind
from foretell.domains.energy.weather import HOUR
from foretell.errors import InvalidRequest
from foretell.features.grid import micros

RANGES: Mapping[str, tuple[float, float]] = {
    "ghi": (0, 1500), "dni": (0, 1400), "dhi": (0, 1000), "temperature": (-60, 60), "humidity": (0, 100),
    "cloud_cover": (0, 100), "pressure": (500, 1090), "precipitation": (0, 300), "wind_speed_10m": (0, 75),
    "wind_speed_100m": (0, 90), "wind_direction_10m": (0, 360), "wind_direction_100m": (0, 360),
}  # fmt: skip
FLAT = 6  # hours of the very same output, not at the top, after which a meter is taken to hang
TOP = 0.95  # of capacity, where output may well stay the same
SPIKE = 0.6  # of capacity: an hour so far from both its neighbours, which agree within a third of it, is a spike
SHIFT = 0.75  # hours by which the middle of a solar day may not move from one ten days to the next
DAYS = 10
LOW = 0.7  # a score below it is a warning
LATELY = 720  # hours
TARGETS = ("output_kw", "energy_output", "power_kw", "power")


@dataclass(frozen=True)
class Judged:
    """What is wrong with which reading, by name; and the hours (of 1970) after which the clock seems to have jumped."""

    flags: Mapping[str, Flags]
    jumps: tuple[int, ...]
    missing: int

    @property
    def bad(self) -> Flags:
        """Which readings are not believed."""
        found: Flags = np.any([*self.flags.values()], axis=0)
        return found

    def parts(self) -> dict[str, float]:
        """The parts of the score: 1 where nothing is wrong."""
        count = len(self.bad)
        if not count:
            return {"complete": 0.0, "possible": 1.0, "plausible": 1.0, "clock": 1.0}
        unlikely = self.flags["flat"] | self.flags["spike"]
        impossible = self.bad & ~unlikely
        return {
            "complete": count / (count + self.missing), "possible": 1 - float(impossible.mean()),
            "plausible": 1 - float(unlikely.mean()), "clock": 0.8 ** len(self.jumps),
        }  # fmt: skip

    @property
    def score(self) -> float:
        """0 to 1: the product of the parts."""
        return float(np.prod([*self.parts().values()]))


def judged(kind: Kind, hour: Places, share: Floats, sites: Sites | None) -> Judged:
    """What is wrong with readings of one plant: `hour` (since 1970) rising, `share` of capacity (NaN: none).

    Without `sites` (one plant, as many rows) nothing is known of night and clock.
    """
    dark = np.zeros(len(hour), dtype=bool)
    light = None
    if kind == "solar" and sites is not None:
        light = Light(sites, hour * HOUR)
        dark = light.part <= 0
    there = ~np.isnan(share)
    known = np.where(there, share, 0.0)
    flags = {**impossible(known, dark), "flat": _flat(known, hour) & there, "spike": _spikes(known, hour) & there}
    gap = int(hour[-1] - hour[0]) + 1 - int(there.sum()) if len(hour) else 0
    jumps = _jumps(light, hour, np.where(dark, 0, known)) if light is not None else ()
    return Judged(flags, jumps, max(gap, 0))


def _flat(share: Floats, hour: Places) -> Flags:
    """Hours of a run of the very same output, neither nothing nor the top."""
    same = np.zeros(len(share), dtype=bool)
    if len(share) > 1:
        same[1:] = (share[1:] == share[:-1]) & (np.diff(hour) == 1) & (share[1:] > 1e-6) & (share[1:] < TOP)
    run = np.cumsum(~same)
    found: Flags = np.bincount(run, minlength=int(run.max(initial=0)) + 1)[run] >= FLAT
    return found


def _spikes(share: Floats, hour: Places) -> Flags:
    """Hours far from both neighbours, which are near each other."""
    found = np.zeros(len(share), dtype=bool)
    if len(share) > 2:
        before, here, after = share[:-2], share[1:-1], share[2:]
        near = (np.abs(before - after) < SPIKE / 3) & (hour[2:] - hour[:-2] == 2)
        found[1:-1] = near & (np.abs(here - (before + after) / 2) > SPIKE)
    return found


def _jumps(light: Light, hour: Places, share: Floats) -> tuple[int, ...]:
    """The first hours of days from which on the middle of the day's output comes earlier or later than before.

    By the sun's clock, so that the seasons move nothing.
    """
    clock = (hour + 0.5 + light.sites.longitude / 15) % 24
    day = ((hour + light.sites.longitude / 15) // 24).astype(np.int64)
    days, which = np.unique(day, return_inverse=True)
    total = np.bincount(which, np.maximum(share, 0))
    enough = total > 0.5
    middle = np.bincount(which, np.maximum(share, 0) * clock)[enough] / total[enough]
    days = days[enough]
    found: list[int] = []
    for k in range(DAYS, len(days) - DAYS + 1):
        moved = abs(float(np.median(middle[k : k + DAYS]) - np.median(middle[k - DAYS : k])))
        apart = not found or days[k] - found[-1] > DAYS
        if moved > SHIFT and apart:
            found.append(int(days[k]))
    return tuple(one * 24 for one in found)


# ---------------------------------------------------------------- stored readings


def recent(kind: Kind, history: History, names: list[str]) -> Quality:
    """The quality of the last 30 days of some plants' readings: the mean of their scores.

    Bands are widened by what is missing to a score of 1: by half of a score of 0.5.
    """
    found, every = plants(history), hours(history)
    now = int(history.now.timestamp()) // 3600
    scores, parts = [], []
    for name in names:
        if name not in every.grid.entities:
            continue
        hour = np.arange(now - LATELY, now)
        share = every.of(name, hour, told=True)
        begun = np.flatnonzero(~np.isnan(share))
        if not len(begun):
            continue
        hour, share = hour[begun[0] :], share[begun[0] :]
        one = judged(kind, hour, share, found.sites.of(np.full(len(hour), found.names.index(name))))
        scores.append(one.score)
        parts.append(one.parts())
    if not scores:
        return Quality(
            score=0.0, parts={"complete": 0.0}, warning="there are no readings of the last 30 days", widened=1.0
        )
    score = float(np.mean(scores))
    mean = {name: round(float(np.mean([each[name] for each in parts])), 4) for name in parts[0]}
    worst = min(mean, key=lambda name: mean[name])
    warning = f"readings of the last 30 days are poor: {worst} is {mean[worst]:.2f}" if score < LOW else None
    return Quality(score=round(score, 4), parts=mean, warning=warning, widened=round(2 - score, 4))


# ---------------------------------------------------------------- the document's face


class DataValidator:
    """Validates a frame of one plant's readings and weather, hourly, with a column `time` or `timestamp` (UTC).

    With its capacity and place it knows more: without them the highest output counts as the capacity, and night is not
    known.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        capacity_kw: float | None = None,
        latitude: float | None = None,
        longitude: float | None = None,
    ) -> None:
        if kind not in ("solar", "wind"):
            raise InvalidRequest(f"a plant is solar or wind, not {kind!r}")
        self.kind: Kind = kind
        self.capacity, self.latitude, self.longitude = capacity_kw, latitude, longitude

    def validate_dataframe(self, df: Any) -> tuple[Any, dict[str, Any]]:
        """The clean frame, of the kind that was given, in the order of time; and the report.

        The report has `data_quality_score` (0 to 1), its `parts`, `rows`, `duplicates`, `missing_hours`, `clock_jumps`
        (moments), `problems` (how many of each kind) and `warnings`. Raises InvalidRequest without times or numbers.
        """
        frame = df if isinstance(df, pl.DataFrame) else pl.from_pandas(df.reset_index(drop=False))
        name = next((one for one in ("time", "timestamp", "index") if one in frame.columns), None)
        if name is None or not frame[name].dtype.is_temporal():
            raise InvalidRequest("a frame to validate needs a column `time` or `timestamp` of datetimes")
        count = frame.height
        frame = frame.filter(pl.col(name).is_not_null()).sort(name, maintain_order=True)
        timeless = count - frame.height
        once = frame.unique(name, keep="last", maintain_order=True)
        doubles = frame.height - once.height
        clean, problems = _within(once)
        target = next((one for one in TARGETS if one in clean.columns), None)
        report: dict[str, Any] = {"rows": count, "duplicates": doubles, "without_time": timeless}
        wrong = sum(problems.values())
        parts = {"complete": 1.0, "possible": 1.0, "plausible": 1.0, "clock": 1.0}
        if target is not None and clean.height:
            clean, found, more = self._output(clean, name, target)
            problems |= {words: int(flag.sum()) for words, flag in found.flags.items() if flag.any()}
            parts = found.parts()
            report |= more
        cells = max(1, clean.height * sum(one in RANGES for one in clean.columns))
        parts["possible"] *= 1 - wrong / cells
        parts["unique"] = 1 - (doubles + timeless) / max(1, count)
        score = float(np.prod([*parts.values()])) if count else 0.0
        report |= {"data_quality_score": score, "parts": parts, "problems": problems}
        report["warnings"] = [f"data quality is {score:.2f}, below {LOW}"] if score < LOW else []
        return (clean if isinstance(df, pl.DataFrame) else clean.to_pandas()), report

    def _output(self, frame: Frame, name: str, target: str) -> tuple[Frame, Judged, dict[str, Any]]:
        """The frame without output that is not believed, why, and what is missing."""
        value = frame[target].cast(pl.Float64).fill_null(np.nan).to_numpy()
        hour = micros(frame[name].cast(pl.Datetime("us"))) // HOUR
        capacity = self.capacity or float(np.nanquantile(value, 0.999)) or 1.0
        sites = None
        if self.latitude is not None and self.longitude is not None:
            there = {"latitude": self.latitude, "longitude": self.longitude, "capacity_kw": capacity}
            empty = dict.fromkeys(("altitude", "inverter_limit_kw", "tilt", "azimuth", "hub_height_m", "rotor_m"))
            one = pl.DataFrame([{**there, **empty, "tracking": "fixed", "count": 1}])
            sites = Sites.read(one).of(np.zeros(len(hour), dtype=np.int64))
        found = judged(self.kind, hour, value / capacity, sites)
        kept = pl.Series(target, np.where(found.bad, np.nan, value)).fill_nan(None)
        jumps = pl.Series([one * HOUR for one in found.jumps], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")).to_list()
        return frame.with_columns(kept), found, {"missing_hours": found.missing, "clock_jumps": jumps}


def _within(frame: Frame) -> tuple[Frame, dict[str, int]]:
    """The frame with nulls where a number of the weather can't be, and how many of each column there were."""
    problems = {}
    for name, (low, high) in RANGES.items():
        if name not in frame.columns:
            continue
        value = frame[name].cast(pl.Float64)
        wrong = (~value.is_between(low, high)) & value.is_not_null()
        if wrong.any():
            problems[f"{name} out of range"] = int(wrong.sum())
            frame = frame.with_columns(value.set(wrong, None))
    return frame, problems
