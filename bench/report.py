"""Tables for a terminal that are Markdown too, and verdicts."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shutil import which
from typing import Any


def heading(text: str) -> None:
    print(f"\n## {text}\n", flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; the first column is words, the others figures."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    wide = [max(len(row[k]) for row in cells) for k in range(len(head))]
    for place, row in enumerate(cells):
        padded = [cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, wide, strict=True))]
        print("| " + " | ".join(padded) + " |")
        if place == 0:
            print("| " + " | ".join("-" * w if k == 0 else "-" * (w - 1) + ":" for k, w in enumerate(wide)) + " |")
    print(flush=True)


def met(reached: bool) -> str:
    return "met" if reached else "NOT MET"


def number(figure: float | None, digits: int = 3) -> str:
    """A figure with thousands set apart above 1,000 and `digits` significant digits below."""
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:#.{digits}g}".rstrip(".")


def spread(figures: Sequence[float]) -> dict[str, float]:
    """Median, least and most of some repetitions, and how many there were."""
    return {"median": statistics.median(figures), "min": min(figures), "max": max(figures), "runs": len(figures)}


def goal(is_: float, holds: bool) -> dict[str, Any]:
    """A goal's figure and whether it was met, as it goes into the summary."""
    return {"is": is_, "met": holds}


def ranged(of: dict[str, float], unit: str = "") -> str:
    return f"{number(of['median'])}{unit} ({number(of['min'])} to {number(of['max'])})"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    git = which("git")
    head = [git, "rev-parse", "--short", "HEAD"] if git else [sys.executable, "-c", ""]
    commit = subprocess.run(head, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    packages = {name: version(name) for name in ("foretell", "polars", "lightgbm", "numpy")}
    return {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": load,
        **packages,
    }
