"""Measure forecasts against their baselines, and how fast they come: `python bench/run.py [names…] [--json FILE]`.

Public data is read from the folder that FORETELL_BENCH_DATA names. A part whose data or library is missing is
skipped, named with what to type, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def parts() -> dict[str, Callable[[], dict[str, Any]]]:
    """Everything that is measured, by name."""
    from functools import partial

    from bench import accuracy, ramadan, speed

    return {
        **{f"accuracy:{name}": partial(accuracy.measure, name) for name in accuracy.NAMES},
        **{f"calendar:{name}": partial(ramadan.measure, name) for name in ramadan.SECOND_YEARS},
        **{f"speed:{name}": one for name, one in speed.PARTS.items()},
    }


def main() -> int:
    """Run the parts asked for; 1 if one was skipped."""
    sys.path[0] = str(ROOT)
    from bench.data import MissingError
    from bench.report import heading, machine

    found = parts()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(found)}, or what is before a colon"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there too")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if not _chosen(found, [name])]
    if unknown:
        parser.error(f"no part is named {', '.join(unknown)}; there are {', '.join(found)}")
    figures: dict[str, Any] = {"machine": machine()}
    print(", ".join(f"{key} {value}" for key, value in figures["machine"].items()))
    skipped = []
    for name in _chosen(found, asked.names):
        heading(name)
        start = time.perf_counter()
        try:
            figures[name] = found[name]()
        except MissingError as missing:
            skipped.append(f"{name} was skipped: {missing}")
            print(skipped[-1])
            continue
        figures[name]["took_seconds"] = round(time.perf_counter() - start, 1)
        if asked.json:
            asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if skipped:
        print("", *skipped, sep="\n", file=sys.stderr)
    return 1 if skipped else 0


def _chosen(found: dict[str, Any], names: list[str]) -> list[str]:
    return [part for part in found if not names or part in names or part.partition(":")[0] in names]


if __name__ == "__main__":
    sys.exit(main())
