"""Sizes: a file stays under 400 lines, a domain under 2,400, a function at most 60. Prints what is over; exits 1."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = 400  # a file stays under it
DOMAIN = 2400  # so does a domain, its sample and its declarations as data not counted
FUNCTION = 60  # a function may have as many
UNCOUNTED = {"__init__.py", "sample.py", "schema.py", "tables.py", "routes.py"}
WORLDS = "sample"  # a folder of a sample is not counted either


def lines(path: Path) -> int:
    """How many lines a file has, blank ones and comments counted."""
    return len(path.read_text(encoding="utf-8").splitlines())


def long_files(src: Path) -> Iterator[str]:
    """Files at the limit or over it."""
    for path in sorted(src.rglob("*.py")):
        if (count := lines(path)) >= FILE:
            yield f"{path}: {count} lines; a file stays under {FILE}"


def large_domains(src: Path) -> Iterator[str]:
    """Domains at the limit or over it, without their sample, schema and routes."""
    for home in sorted(path for path in src.glob("*/domains/*") if path.is_dir()):
        count = sum(
            lines(path) for path in home.rglob("*.py") if path.name not in UNCOUNTED and path.parent.name != WORLDS
        )
        if count >= DOMAIN:
            yield f"{home}: {count} lines without {' and '.join(sorted(UNCOUNTED))}; a domain stays under {DOMAIN}"


def long_functions(src: Path) -> Iterator[str]:
    """Functions over the limit, from `def` to their last line."""
    for path in sorted(src.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > FUNCTION:
                    yield f"{path}:{node.lineno}: {node.name} has {count} lines; a function has at most {FUNCTION}"


def offenders(src: Path) -> list[str]:
    """Everything under `src` that is over its budget."""
    return [*long_files(src), *large_domains(src), *long_functions(src)]


def main() -> int:
    """Print the offenders of the source tree; 1 if there are any."""
    found = offenders(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "src")
    print("\n".join(found) if found else "budgets: all within")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
