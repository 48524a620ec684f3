"""Measure forecasts against their baselines, and how fast they come.

Public data is read from the folder that FORETELL_BENCH_DATA names. A part whose data or library is missing is
skipped, named with what to type, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def parts() -> dict[str, Callable[[], dict[str, Any]]]:
    """Everything that is measured, by name."""
    from functools import partial

    from bench import (
        accuracy,
        answers,
        asof,
        calls,
        catalogue,
        confidence,
        daily,
        energy,
        homes,
        hours,
        inventory,
        jobs,
        movers,
        outlooks,
        people,
        ramadan,
        replay,
        scale,
        serve,
        speed,
        sprints,
        stateless,
        store,
        storypoints,
        tickets,
        vectors,
        vn2,
        world,
    )

    return {
        **{f"agile:{name}": partial(storypoints.measure, name) for name in storypoints.SETS},
        "agile:servicenow": people.measure,
        "agile:sprints": sprints.measure,
        "agile:world": world.measure,
        "agile:cesaw": hours.measure,
        **{f"agile:{name}": one for name, one in tickets.PARTS.items()},
        **{f"accuracy:{name}": partial(accuracy.measure, name) for name in accuracy.NAMES},
        **{f"calendar:{name}": partial(ramadan.measure, name) for name in ramadan.SECOND_YEARS},
        **{f"catalogue:{name}": partial(catalogue.measure, name) for name in catalogue.SETS},
        **{f"confidence:{name}": partial(confidence.measure, name) for name in confidence.TESTS},
        **{f"inventory:{name}": partial(inventory.measure, name) for name in inventory.SETS},
        **{f"energy:{name}": partial(energy.measure, name) for name in energy.PARTS},
        **{f"energy:{name}": one for name, one in outlooks.PARTS.items()},
        **{f"realestate:{name}": partial(movers.measure, name) for name in movers.PARTS},
        "realestate:bank": calls.measure,
        "realestate:features": vectors.measure,
        "realestate:daily": daily.measure,
        "realestate:feast": asof.measure,
        **{f"realestate:{name}": one for name, one in answers.PARTS.items()},
        **{f"realestate:{name}": partial(homes.measure, name) for name in homes.PARTS},
        "inventory:scale": scale.measure,
        "inventory:vn2": vn2.measure,
        **{f"jobs:{name}": one for name, one in jobs.PARTS.items()},
        **{f"replay:{name}": one for name, one in replay.PARTS.items()},
        **{f"speed:{name}": one for name, one in speed.PARTS.items()},
        **{f"store:{name}": one for name, one in store.PARTS.items()},
        **{f"serve:{name}": one for name, one in serve.PARTS.items()},
        **{f"stateless:{name}": one for name, one in stateless.PARTS.items()},
    }


def main() -> int:
    """Run the parts asked for; 1 if one was skipped."""
    sys.path[0] = str(ROOT)
    from bench import document
    from bench.data import MissingError
    from bench.report import heading, machine

    found = parts()
    asked = _asked(found)
    figures: dict[str, Any] = json.loads(asked.json.read_text()) if asked.json and asked.json.exists() else {}
    skipped = []
    for name in _chosen(found, asked.names):
        on = machine()
        heading(name)
        start = time.perf_counter()
        try:
            with document.printed() as text:
                figures[name] = found[name]()
        except MissingError as missing:
            skipped.append(f"{name} was skipped: {missing}")
            print(skipped[-1])
            continue
        figures[name] |= {"machine": on, "took_seconds": round(time.perf_counter() - start, 1)}
        if asked.json:
            asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        if asked.write:
            document.put(asked.write, name, f"{text.getvalue().strip()}\n\n{document.told(on)}")
    if rows := document.goals({name: figures[name] for name in found if name in figures}):
        heading("goals")
        document.shown(rows)
    if asked.write and (before := document.stood(asked.write)):
        with redirect_stdout(StringIO()) as text:
            document.shown(document.among(rows, before, [*found]))
        document.put(asked.write, "goals", text.getvalue().strip())
    if skipped:
        print("", *skipped, sep="\n", file=sys.stderr)
    return 1 if skipped else 0


def _asked(found: dict[str, Any]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = f"one of {', '.join(found)}, or what is before a colon; all, if none is named"
    parser.add_argument("names", nargs="*", metavar="NAME", help=choice)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, beside what it has")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace the tables in that document")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if not _chosen(found, [name])]:
        parser.error(f"no part is named {', '.join(unknown)}; there are {', '.join(found)}")
    return asked


def _chosen(found: dict[str, Any], names: list[str]) -> list[str]:
    return [part for part in found if not names or part in names or part.partition(":")[0] in names]


if __name__ == "__main__":
    sys.exit(main())
