"""The file of a backup: written whole or not at all, believed only when every part is what was written.

A zip, as small as a quick compressor makes it; the dump comes compressed, by pg_dump:

    database.dump             the database
    blobs/{tenant}/{address}  each blob that a model of that database names, as `blobs` packs it
    files/{tenant}/{name}     each file that these tenants have under a name of its own: manifests and data sets
    manifest.json             what made it, what is in it, and size and SHA-256 of each part
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from pydantic import BaseModel

from foretell.errors import Damaged, Misconfigured, NotFound, Refused
from foretell.stores.account import sync
from foretell.stores.blobs import ADDRESS, NAME, TENANT
from foretell.stores.locks import hold
from foretell.stores.migrations import HEAD

FORMAT = 2  # of the file; the first had no `files/`
DUMP, MANIFEST = "database.dump", "manifest.json"
CHUNK = 1 << 20  # bytes
QUICK = 1  # of zlib's levels: a higher one takes longer than it saves

_BROKEN = (BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error, zlib.error)  # of zipfile


class Part(BaseModel):
    """One file in the file."""

    size: int
    sha256: str


class Told(BaseModel):
    """What is in a backup; its manifest."""

    format: int = FORMAT
    foretell: str  # the version that made it
    tables_version: str  # of the engine's tables
    postgres: int  # major version of the server it was made from
    made_at: datetime  # by the database's clock: what was committed before is in it
    tenants: int
    rows: dict[str, int]  # by table
    blobs: int
    quarantined: list[str]  # blobs that are named but were in quarantine, with the reason: not in the file
    missing: list[str] = []  # blobs that are named but were nowhere, with the models they are of: not in the file
    roles: list[str]  # who has rights beside our own roles
    search_path: str | None
    parts: dict[str, Part]


# ---------------------------------------------------------------- to write it


@contextmanager
def made(file: Path) -> Iterator[ZipFile]:
    """An archive for its owner alone that gets the name `file` when all is written, and goes away if it is not.

    Raises Refused where `file` exists or is just being written, Misconfigured where it can't be.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        _free(file)
        if (handle := hold(part)) is None:  # a killed backup leaves the file, never the lock
            raise Refused(f"another backup is writing {part}; wait for it")
        with os.fdopen(handle, "w+b") as half:
            if os.fstat(handle).st_ino != part.stat().st_ino:
                raise Refused(f"another backup has just become {file}; give this one another name")
            try:
                os.fchmod(handle, 0o600)
                half.truncate(0)
                with ZipFile(half, "w", ZIP_DEFLATED, compresslevel=QUICK) as archive:
                    yield archive
                half.flush()
                os.fsync(handle)
                _free(file)
                part.rename(file)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        sync(file.parent)
    except OSError as error:
        raise Misconfigured(f"{file} can't be written ({error}); give another place") from error


def _free(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise Refused(f"{file} exists; give another name, or move it away: mv '{file}' '{file}.old'")


def add(archive: ZipFile, name: str, chunks: Iterable[bytes]) -> Part:
    """Add a part, and return what to put into the manifest: size and checksum before it is compressed."""
    digest, size = hashlib.sha256(), 0
    told = ZipInfo(name) if name == DUMP else name  # an entry of its own is stored as it is; one by name as the archive
    with archive.open(told, "w", force_zip64=True) as part:
        for chunk in chunks:
            part.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return Part(size=size, sha256=digest.hexdigest())


# ---------------------------------------------------------------- to read it


def opened(file: Path) -> ZipFile:
    """Open a file to read it; raises NotFound, Misconfigured where it can't be, Damaged where it is no whole zip."""
    try:
        return ZipFile(file)
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}") from None
    except _BROKEN as error:
        raise Damaged(f"{file} is no whole backup ({error}); take another one") from error
    except OSError as error:
        raise Misconfigured(f"{file} can't be read ({error})") from error


def verified(archive: ZipFile, file: Path) -> Told:
    """The manifest, after every part was found to be what it says.

    Raises as `manifest` does, and Damaged where a part is not.
    """
    told = manifest(archive, file)
    if sorted(archive.namelist()) != sorted([*told.parts, MANIFEST]) or DUMP not in told.parts:
        raise Damaged(f"{file} does not hold the parts that its {MANIFEST} names; take another backup")
    for name, part in told.parts.items():
        if _sum(archive, name) != part.sha256 or not (name == DUMP or _is_ours(name, part)):
            raise Damaged(f"{file}: {name} is not what was written; take another backup")
    return told


def manifest(archive: ZipFile, file: Path) -> Told:
    """What a file says is in it; no part is looked at.

    Raises Damaged where it says nothing that can be read, Misconfigured for a backup of a newer program.
    """
    names = archive.namelist()
    if MANIFEST not in names:
        raise Damaged(f"{file} is no backup of foretell: it has no {MANIFEST}")
    try:
        written = json.loads(archive.read(MANIFEST))
        if written["format"] > FORMAT or written["tables_version"] > HEAD:
            raise Misconfigured(
                f"{file} was made by foretell {written['foretell']}, with tables of version {written['tables_version']}"
                f" where this program knows {HEAD}; upgrade foretell"
            )
        return Told.model_validate(written)
    except (*_BROKEN, OSError, KeyError, TypeError) as error:
        raise Damaged(f"{file}: {MANIFEST} is not what was written; take another backup") from error


def _sum(archive: ZipFile, name: str) -> str | None:
    """The checksum of a part as it is; None where it can't be read whole."""
    digest = hashlib.sha256()
    with suppress(*_BROKEN, OSError), archive.open(name) as part:
        while chunk := part.read(CHUNK):
            digest.update(chunk)
        return digest.hexdigest()
    return None


def _is_ours(name: str, part: Part) -> bool:
    match name.split("/", maxsplit=2):
        case ["blobs", tenant, address]:
            return bool(TENANT.fullmatch(tenant) and ADDRESS.fullmatch(address)) and address == part.sha256
        case ["files", tenant, within]:
            return bool(TENANT.fullmatch(tenant) and NAME.fullmatch(within))
    return False
