"""What a run printed, as the tables of a document: nobody copies figures by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from bench.report import met, number, table


class _Both(StringIO):
    """Keeps what is written, and shows it at once."""

    def write(self, text: str) -> int:
        sys.__stdout__ and sys.__stdout__.write(text)
        return super().write(text)

    def flush(self) -> None:
        if sys.__stdout__:
            sys.__stdout__.flush()


@contextmanager
def printed() -> Iterator[StringIO]:
    """What is printed meanwhile, kept and shown."""
    kept = _Both()
    with redirect_stdout(kept):
        yield kept


def put(path: Path, name: str, text: str) -> None:
    """Replace what stands between a part's markers; without markers, add them at the end."""
    opened, closed = f"<!-- bench {name} -->", f"<!-- /bench {name} -->"
    whole = path.read_text(encoding="utf-8") if path.exists() else ""
    if opened not in whole:
        whole += f"\n## {name}\n\n{opened}\n{closed}\n"
    before, _, rest = whole.partition(opened)
    path.write_text(f"{before}{opened}\n{text}\n{closed}{rest.partition(closed)[2]}", encoding="utf-8")


def told(machine: Mapping[str, Any]) -> str:
    """On what and when a part was measured, in a line."""
    code = f", commit {machine['commit']}" if machine["commit"] else ""
    return (
        f"*Measured {machine['day']}{code}: {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, Polars {machine['polars']}, LightGBM {machine['lightgbm']}.*"
    )


def goals(figures: Mapping[str, Mapping[str, Any]]) -> list[list[object]]:
    """Every goal of the parts that were measured, what is, and whether it was met."""
    return [
        [name, goal, number(of["is"], 4), met(of["met"])]
        for name, part in figures.items()
        for goal, of in part.get("goals", {}).items()
    ]


def shown(rows: Sequence[Sequence[object]]) -> None:
    """Print goals, and how many of them were met."""
    if rows:
        table(["part", "goal", "is", ""], rows)
        print(f"{sum(row[3] == met(True) for row in rows)} of {len(rows)} goals met")


def stood(path: Path) -> list[list[str]]:
    """The goals that a document tells of: part, goal, what is, and whether it was met; none without its markers."""
    block = path.read_text(encoding="utf-8").partition("<!-- bench goals -->")[2].partition("<!-- /bench goals -->")[0]
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in block.splitlines() if "|" in line]
    return lines[2:]


def among(rows: Sequence[Sequence[object]], before: Sequence[Sequence[object]], order: Sequence[str]) -> list[Any]:
    """The goals of before with those measured now in place of the same parts', in this order of the parts."""
    new = {row[0] for row in rows}
    every = [*(row for row in before if row[0] not in new and row[0] in order), *rows]
    return sorted(every, key=lambda row: order.index(str(row[0])))
