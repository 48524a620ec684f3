"""Whether a folder holds a pickle: a file that runs code when it is loaded."""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path

import numpy as np

NAMES = {".pkl", ".pickle", ".p", ".joblib", ".dill", ".cloudpickle"}


def pickles(folder: Path) -> list[str]:
    """The files under `folder` that are a pickle or hold one, by name, by opcodes, or in an archive."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            found += [name] if _suspect(name, path.read_bytes()) else []
    return found


def _suspect(name: str, content: bytes) -> bool:
    if Path(name).suffix.lower() in NAMES:
        return True
    if content.startswith(b"PK\x03\x04") and zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(_suspect(member, archive.read(member)) for member in archive.namelist())
    if content.startswith(b"\x93NUMPY"):
        return _objects(content)
    return _opcodes(content)


def _objects(content: bytes) -> bool:
    """Whether an array holds Python objects, which NumPy stores as a pickle."""
    try:
        np.load(io.BytesIO(content), allow_pickle=False)
    except ValueError as error:
        return "allow_pickle" in str(error)
    return False


def _opcodes(content: bytes) -> bool:
    """Whether the bytes begin with a pickle: opcodes up to its end, the newer protocols with their magic bytes."""
    try:
        end = next(place for code, _, place in pickletools.genops(content) if code.name == "STOP")
    except Exception:  # not a pickle: genops raises whatever it stumbles over
        return False
    return content[:1] == b"\x80" or (end or 0) + 1 == len(content.rstrip()) > 1
