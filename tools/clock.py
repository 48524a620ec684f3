"""Time is an argument: only `app`, `cli` and `web` read the clock. Prints every other place that names it; exits 1."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {"app", "cli", "web"}  # rooms, a file or a folder each
CLOCKS = {
    *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
    "datetime.date.today",
    *(
        f"time.{name}{unit}"
        for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time")
        for unit in ("", "_ns")
    ),
    *(f"time.{name}" for name in ("localtime", "gmtime", "ctime", "strftime")),
}


def _names(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for: `dt` for `datetime` after `import datetime as dt`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(each.asname or each.name.split(".")[0]): each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {(each.asname or each.name): f"{node.module}.{each.name}" for each in node.names}
    return names


def _spelled(node: ast.expr, names: dict[str, str]) -> str:
    """The full name of an expression such as `dt.datetime.now`; empty if it is none."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute) and (owner := _spelled(node.value, names)):
        return f"{owner}.{node.attr}"
    return ""


def clock_reads(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of each clock that a file reads, or hands on for another to read."""
    tree = ast.parse(source)
    names = _names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := _spelled(node, names)) in CLOCKS:
            yield node.lineno, name


def offenders(src: Path) -> list[str]:
    """Every clock read in a package under `src` outside the rooms that may."""
    return [
        f"{path}:{line}: {name}; time is an argument, only {', '.join(sorted(ALLOWED))} read the clock"
        for path in sorted(src.rglob("*.py"))
        if path.relative_to(src).with_suffix("").parts[1:2] not in {(room,) for room in ALLOWED}
        for line, name in clock_reads(path.read_text(encoding="utf-8"))
    ]


def main() -> int:
    """Print the offenders of the source tree; 1 if there are any."""
    found = offenders(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "src")
    print("\n".join(found) if found else f"clock: read in {', '.join(sorted(ALLOWED))} only")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
