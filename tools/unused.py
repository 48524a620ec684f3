"""No dead code: what vulture finds, without the declared fields of classes, which their users read.

Names that only third parties or frameworks use stand in tools/unused_allowed.py.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FINDING = re.compile(r"(?P<path>.+?):(?P<line>\d+): unused variable ")


def field_lines(path: Path) -> set[int]:
    """The lines on which classes of a file declare annotated fields."""
    return {
        node.lineno
        for owner in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, ast.AnnAssign)
    }


def is_field(finding: str, root: Path) -> bool:
    """Whether a line of vulture's names a declared field."""
    found = FINDING.match(finding)
    return found is not None and int(found["line"]) in field_lines(root / found["path"])


def offenders(root: Path) -> list[str]:
    """What vulture, as set up in pyproject.toml, finds unused under `root`."""
    vulture = [sys.executable, "-m", "vulture"]
    ran = subprocess.run(vulture, cwd=root, capture_output=True, text=True, check=False)
    if ran.returncode not in (0, 3):  # 3: it found something
        return [ran.stdout + ran.stderr]
    return [finding for finding in ran.stdout.splitlines() if not is_field(finding, root)]


def main() -> int:
    """Print what is unused; 1 if there is anything."""
    found = offenders(ROOT)
    print("\n".join(found) if found else "unused: nothing")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
