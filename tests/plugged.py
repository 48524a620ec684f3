"""Domains of somebody else, installed by the public door: an entry point on the path."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def plugged(folder: Path, **domains: str) -> str:
    """A folder that, on the path, installs these domains (`skies="tests.toys.skies:DOMAIN"`); such a PYTHONPATH."""
    told = folder / "plugged-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    points = "\n".join(f"{name} = {where}" for name, where in domains.items())
    (told / "entry_points.txt").write_text(f"[foretell.domains]\n{points}\n")
    return os.pathsep.join(filter(None, (str(folder), str(ROOT), os.environ.get("PYTHONPATH"))))
