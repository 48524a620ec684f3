"""Folders of files, kept whole: content-addressed under a tenant, checked at every read.

A folder (a saved model) is packed into one blob whose address is the SHA-256 of its bytes. Under the store's root:

    {tenant}/blobs/{first two digits}/{address}    the blob
    {tenant}/quarantine/{address}                  a blob that was damaged or refused, as it was found
    {tenant}/quarantine/{address}.json             why
    {tenant}/ml_models/…, {tenant}/ml_datasets/…   files under names of their own, which others look for
    {tenant}/erasures/…                            whom everything was erased of, by a checksum of the name
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

import obstore
from obstore.store import LocalStore, MemoryStore, S3Store

from foretell.errors import BrokenDomain, Damaged, InvalidRequest, Misconfigured, NotFound, Unavailable, first_line

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, S3Config

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")  # no capitals: on some file systems Acme and acme are one folder
ADDRESS = re.compile(r"[0-9a-f]{64}")
REMOVING = "erasures/removing.json"  # is there while a tenant is being removed
ROOMS = ("ml_models", "ml_datasets", "erasures")
NAME = re.compile(rf"({'|'.join(ROOMS)})(/[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}){{1,8}}")  # of a file: never up, nor out


@dataclass(frozen=True, kw_only=True)
class Blob:
    """What was kept."""

    address: str  # SHA-256 of the packed folder, hexadecimal
    size: int  # bytes, packed


class Blobs:
    """Folders of files in `file:///a/folder` (made if it is not there), `memory:///` or `s3://bucket/prefix`.

    The bucket must be there. `?region=` and `&endpoint=` (of another server than Amazon's) may follow; what is left
    out, and the keys, are told by the variables that Amazon's own programs read (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, …).

    Safe to share between threads and processes. A tenant comes from the credential, never from a request. Everything
    raises Unavailable where the store itself fails: full, unreachable, forbidden.
    """

    def __init__(self, url: str) -> None:
        """Raise Misconfigured unless `url` is one that can be opened."""
        here = re.fullmatch(r"file://(/[^?#]*)", url)
        if not here and not url.startswith(("memory:///", "s3://")):
            raise Misconfigured(f"blobs: can't keep files in {url!r}; type file:///a/folder or s3://bucket/prefix")
        self._root: Path | None = None
        try:
            if here:
                self._root = Path(unquote(here[1]))
                self._root.parent.mkdir(parents=True, exist_ok=True)
                self._root.mkdir(mode=0o700, exist_ok=True)  # closed to others, and with it all that is inside
            self._store: ObjectStore = LocalStore(self._root) if self._root else _elsewhere(url)
        except (OSError, ValueError, obstore.exceptions.BaseError) as error:
            raise Misconfigured(f"blobs: {url!r} can't be opened ({first_line(error)})") from error

    def put(self, tenant: str, folder: Path) -> Blob:
        """Keep a folder and return its address and size; the same content again makes it young.

        When this returns, the blob outlasts a power cut; when it is interrupted, there is no blob. One found damaged
        under the same address is mended. Raises InvalidRequest for a bad tenant, BrokenDomain for a folder that holds
        anything but plain files and folders.
        """
        packed = pack(folder)
        address = hashlib.sha256(packed).hexdigest()
        key = _key(tenant, address)
        found = self._read(key)
        if found is not None and found != packed:
            # A copy: while others put or get this blob, its address is at no moment without one.
            self._note(tenant, address, _unlike(found))
            self._write(_key(tenant, address, "quarantine"), found)
        self._write(key, packed)  # also what is there already: it is young again, and no sweep takes it
        with _answering():
            self._settle(key)  # also where it was there: who wrote it may not have come this far
        return Blob(address=address, size=len(packed))

    def get(self, tenant: str, address: str, folder: Path) -> None:
        """Unpack a blob into `folder`, which is made if it is not there and must be empty.

        Nothing is parsed before its checksum is verified. Raises Damaged where it is not what was put, after moving it
        to quarantine; NotFound where there is none, with the reason where it is in quarantine; InvalidRequest for a bad
        tenant or address.
        """
        key = _key(tenant, address)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty")
        packed = self._read(key)
        if packed is None:
            why = self._why(tenant, address)
            raise NotFound(f"blob {address} of {tenant} {f'is in quarantine: it {why}' if why else 'does not exist'}")
        try:
            unpack(packed, address, folder)
        except Damaged as error:
            with suppress(NotFound):  # another process was quicker
                self.quarantine(tenant, address, str(error))
            raise Damaged(f"blob {address} of {tenant} {error}; it is in quarantine now") from error

    def sweep(self, tenant: str, needed: Collection[str], *, before: datetime) -> int:
        """Forget the blobs that nobody needs and that were put before a moment; returns how many.

        The moment leaves time to those whose blob is not on record yet.
        """
        with _answering():
            found = [each for page in obstore.list(self._store, f"{checked(tenant)}/blobs/") for each in page]
            old = [
                each["path"]
                for each in found
                if each["path"].rsplit("/", 1)[-1] not in needed and each["last_modified"] < before
            ]
            for path in old:
                with suppress(FileNotFoundError):
                    obstore.delete(self._store, path)
        return len(old)

    def quarantine(self, tenant: str, address: str, why: str) -> None:
        """Put a blob where no `get` finds it, with the reason beside it; raises NotFound where there is none."""
        key = _key(tenant, address)
        try:
            with _answering():
                obstore.head(self._store, key)
                self._note(tenant, address, why)  # before it goes: nothing is ever in there without a reason
                obstore.rename(self._store, key, _key(tenant, address, "quarantine"))
        except FileNotFoundError:
            raise NotFound(f"blob {address} of {tenant} does not exist") from None

    def erase(self, tenant: str, address: str, why: str) -> None:
        """Keep nothing of a blob but the reason, where quarantine keeps those; also of one that is there already."""
        key = _key(tenant, address)
        self._note(tenant, address, why)
        self._write(_key(tenant, address, "quarantine"), b"")
        with suppress(FileNotFoundError), _answering():
            obstore.delete(self._store, key)

    def write(self, tenant: str, name: str, content: bytes) -> None:
        """Keep a file under a name of its own (`ml_models/…`), in place of what was there: all or nothing.

        When this returns it outlasts a power cut. Raises InvalidRequest for a bad tenant or name.
        """
        key = _named(tenant, name)
        self._write(key, content)
        with _answering():
            self._settle(key)

    def read(self, tenant: str, name: str) -> bytes | None:
        """What is kept under a name; None where there is nothing. Raises InvalidRequest for a bad tenant or name."""
        return self._read(_named(tenant, name))

    def forget(self, tenant: str, name: str) -> None:
        """Keep nothing under a name. Raises InvalidRequest for a bad tenant or name."""
        with suppress(FileNotFoundError), _answering():
            obstore.delete(self._store, _named(tenant, name))

    def remove(self, tenant: str) -> int:
        """Keep nothing of a tenant, in no room; how many files went. What says that it is being removed goes last."""
        with _answering():
            found = [each["path"] for page in obstore.list(self._store, f"{checked(tenant)}/") for each in page]
            for path in sorted(found, key=lambda path: path.endswith(REMOVING)):
                with suppress(FileNotFoundError):
                    obstore.delete(self._store, path)
        if self._root:
            shutil.rmtree(self._root / tenant, ignore_errors=True)
        return len(found)

    def files(self, tenant: str) -> dict[str, int]:
        """Name and size in bytes of every file that has a name of its own, by name."""
        start = f"{checked(tenant)}/"
        with _answering():
            found = [
                (each["path"].removeprefix(start), each["size"])
                for room in ROOMS
                for page in obstore.list(self._store, f"{start}{room}/")
                for each in page
            ]
        return dict(sorted(one for one in found if NAME.fullmatch(one[0])))  # not what is half written

    def sizes(self, tenant: str) -> dict[str, int]:
        """Address and size in bytes of every blob of a tenant, by address; half-written ones are not among them."""
        return {name: size for name, size in self._list(tenant, "blobs") if ADDRESS.fullmatch(name)}

    def quarantined(self, tenant: str) -> dict[str, str]:
        """Address and reason of everything in a tenant's quarantine, by address."""
        names = (name for name, _ in self._list(tenant, "quarantine") if ADDRESS.fullmatch(name))
        return {name: self._why(tenant, name) or "no reason was kept" for name in names}

    def _list(self, tenant: str, room: str) -> list[tuple[str, int]]:
        with _answering():
            found = [each for page in obstore.list(self._store, f"{checked(tenant)}/{room}/") for each in page]
        return sorted((each["path"].rsplit("/", 1)[-1], each["size"]) for each in found)

    def _note(self, tenant: str, address: str, why: str) -> None:
        self._write(f"{_key(tenant, address, 'quarantine')}.json", json.dumps({"why": why}).encode())

    def _why(self, tenant: str, address: str) -> str | None:
        """The reason kept in quarantine; None where there is none."""
        kept = self._read(f"{_key(tenant, address, 'quarantine')}.json")
        with suppress(ValueError):  # a power cut can leave it empty
            return str(json.loads(kept)["why"]) if kept else None
        return None

    def _read(self, key: str) -> bytes | None:
        with suppress(FileNotFoundError), _answering():
            return bytes(obstore.get(self._store, key).bytes())
        return None

    def _write(self, key: str, content: bytes) -> None:
        """All or nothing: staged beside the key and renamed to it, or one upload; in parts, S3 would keep orphans."""
        with _answering(whole=True):
            obstore.put(self._store, key, content, mode="overwrite", use_multipart=False)

    def _settle(self, key: str) -> None:
        """Make a blob in a folder outlast a power cut, and closed to other users; other stores do so themselves.

        obstore renames without fsync. To do it after the name appears is soon enough: what names the blob is committed
        after `put`, and a name left without its bytes fails its checksum and is mended by the next `put`.
        """
        if self._root is None:
            return
        path = self._root / key
        for each in [path, *path.parents][: key.count("/") + 3]:  # up to what holds the root, which may be new too
            opened = os.open(each, os.O_RDONLY)
            try:
                if self._root in each.parents:
                    os.fchmod(opened, 0o600 if each == path else 0o700)
                os.fsync(opened)
            finally:
                os.close(opened)


def _elsewhere(url: str) -> ObjectStore:
    """The store at a URL that is no folder's; raises ValueError for one that can't be."""
    told = urlsplit(url)
    if told.scheme == "memory":
        return MemoryStore()
    if not told.netloc:
        raise ValueError("it names no bucket")
    more = dict(parse_qsl(told.query, strict_parsing=bool(told.query)))
    if unknown := sorted({*more} - {"region", "endpoint"}):
        raise ValueError(f"it may have region and endpoint, not {', '.join(unknown)}")
    config: S3Config = {"bucket": told.netloc}
    if "region" in more:
        config["region"] = more["region"]
    if "endpoint" in more:
        config["endpoint"] = more["endpoint"]
    plain: ClientConfig = {"allow_http": True} if more.get("endpoint", "").startswith("http://") else {}
    return S3Store(config=config, prefix=told.path.strip("/") or None, client_options=plain)


def pack(folder: Path) -> bytes:
    """A folder as a tar that depends on names and contents alone; raises BrokenDomain as `put` does.

    Not compressed: what a compressor makes differs from one version of its library to the next.
    """
    if not folder.is_dir():
        raise NotADirectoryError(folder)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive:
        for path in sorted(folder.rglob("*")):
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())  # its owner, mode and time say nothing
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise BrokenDomain(f"{info.name!r} can't be kept: a saved model is plain files and folders")
            content = path.read_bytes() if path.is_file() else b""
            info.type, info.size = (tarfile.REGTYPE if path.is_file() else tarfile.DIRTYPE), len(content)
            info.mode = 0o600 if path.is_file() else 0o700
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def unpack(packed: bytes, address: str, folder: Path) -> None:
    """Write what `pack` packed into a folder; raises Damaged, before it writes, if the address or an entry is wrong."""
    if hashlib.sha256(packed).hexdigest() != address:
        raise Damaged(_unlike(packed))
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:", encoding="utf-8") as archive:
            known = {PurePosixPath(): True}  # whether each is a folder
            for each in archive.getmembers():
                path = PurePosixPath(each.name)
                plain = each.type in {tarfile.REGTYPE, tarfile.DIRTYPE} and path.name != ".."
                if not plain or path in known or not known.get(path.parent):
                    raise Damaged(f"holds {each.name!r}, which is no plain file or folder in its own place")
                known[path] = each.type == tarfile.DIRTYPE
            for each in archive.getmembers():  # by hand: Python before 3.11.4 has no filter for them
                found = archive.extractfile(each)
                if found is None:
                    (folder / each.name).mkdir()
                else:
                    (folder / each.name).write_bytes(found.read())
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise Damaged(f"is no readable archive ({error})") from error


def _key(tenant: str, address: str, room: str = "blobs") -> str:
    if not ADDRESS.fullmatch(address):
        raise InvalidRequest(f"{address!r} is no address of a blob: 64 hexadecimal digits, in small letters")
    within = f"{address[:2]}/{address}" if room == "blobs" else address
    return f"{checked(tenant)}/{room}/{within}"


def _named(tenant: str, name: str) -> str:
    if not NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} is no name of a file: {' or '.join(ROOMS)}, then up to 8 plain words after /")
    return f"{checked(tenant)}/{name}"


def checked(tenant: str) -> str:
    """The name, if it can be a tenant's; raises InvalidRequest."""
    if not TENANT.fullmatch(tenant):
        raise InvalidRequest(f"{tenant!r} can't be a tenant: up to 63 of a-z, 0-9, - and _, a letter or digit first")
    return tenant


def _unlike(found: bytes) -> str:
    return f"is damaged: {len(found)} bytes with checksum {hashlib.sha256(found).hexdigest()} were found there"


@contextmanager
def _answering(*, whole: bool = False) -> Iterator[None]:
    """Raise what the driver raises as our own; a missing key stays FileNotFoundError.

    With `whole` no key can be missing, only the place itself.
    """
    try:
        yield
    except FileNotFoundError as error:
        if not whole:
            raise
        raise Unavailable(f"the store of blobs is not there ({first_line(error)}); is there such a bucket?") from error
    except (OSError, obstore.exceptions.BaseError) as error:
        raise Unavailable(f"the store of blobs fails ({first_line(error)}); try again") from error
