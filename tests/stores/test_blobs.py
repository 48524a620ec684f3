"""Blobs: one address for one content, damage seen before anything is parsed, a crash that stays in the child."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.s3 import bucket, server
from tests.toys import START, ask, world

from foretell import Block, Frame, Study
from foretell.errors import BrokenDomain, Damaged, InvalidRequest, Misconfigured, NotFound, Unavailable
from foretell.models.boosted import BoostedQuantiles
from foretell.stores.blobs import Blobs, pack, unpack
from foretell.stores.trial import try_in_child

GOLDEN = "53671fba068f3437043a3b68c52b86849334db2c770282727ffba1c8ac60f6e2"  # of TREE
LEVELS = (0.1, 0.5, 0.9)
TREE = {"card.json": b"{}", "forecaster/trees-0.txt": b"tree\n", "forecaster/deep/er/ü b.npz": b"\0\xff"}


def plant(folder: Path, tree: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: the bytes of a file, None for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return plant(tmp_path / "source", TREE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "a root ü#%20"


@pytest.fixture(params=["file", "memory"])
def blobs(request: pytest.FixtureRequest, root: Path) -> Blobs:
    return Blobs(root.as_uri() if request.param == "file" else "memory:///")


@pytest.fixture
def filed(root: Path) -> Blobs:
    return Blobs(root.as_uri())


def where(root: Path, address: str, tenant: str = "acme") -> Path:
    return root / tenant / "blobs" / address[:2] / address


# ---------------------------------------------------------------- the same content, the same address


def test_a_folder_comes_back_as_it_was(blobs: Blobs, source: Path, tmp_path: Path) -> None:
    (source / "forecaster" / "empty").mkdir()
    kept = blobs.put("acme", source)
    blobs.get("acme", kept.address, tmp_path / "new" / "copy")
    assert contents(tmp_path / "new" / "copy") == contents(source)
    assert contents(source)["forecaster/empty"] is None
    assert blobs.sizes("acme") == {kept.address: kept.size}
    assert kept.size == len(pack(source))


def test_the_same_folder_twice_is_one_blob(filed: Blobs, source: Path, root: Path) -> None:
    first = filed.put("acme", source)
    path = where(root, first.address)
    written, old = path.read_bytes(), ages(root, first.address, DAY).stat().st_mtime
    assert filed.put("acme", source) == first
    assert path.read_bytes() == written
    assert path.stat().st_mtime > old + 1  # young again
    assert [each.name for each in root.rglob("*") if each.is_file()] == [first.address]


def test_the_address_is_the_same_on_every_machine(blobs: Blobs, source: Path) -> None:
    assert blobs.put("acme", source).address == GOLDEN


def test_order_times_and_modes_of_files_do_not_matter(blobs: Blobs, source: Path, tmp_path: Path) -> None:
    other = plant(tmp_path / "other", dict(reversed(TREE.items())))
    for path in other.rglob("*"):
        path.chmod(0o755)
        os.utime(path, (1e9, 1e9))
    assert blobs.put("acme", other) == blobs.put("acme", source)


@pytest.mark.parametrize("change", [{"card.json": b"{ }"}, {"card2.json": b"{}"}, {"forecaster/deep/er/x": b""}])
def test_other_content_has_another_address(
    blobs: Blobs, source: Path, tmp_path: Path, change: dict[str, bytes]
) -> None:
    assert blobs.put("acme", plant(tmp_path / "other", TREE | change)) != blobs.put("acme", source)
    assert len(blobs.sizes("acme")) == 2


NAME = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."}
)
TREES = st.recursive(st.binary(max_size=40), lambda inside: st.dictionaries(NAME, inside, max_size=4), max_leaves=8)


@given(st.dictionaries(NAME, TREES, max_size=4))
def test_packing_and_unpacking_is_the_identity(tree: dict[str, object]) -> None:
    def grow(folder: Path, branch: object) -> None:
        if isinstance(branch, dict):
            folder.mkdir()
            for name, inside in branch.items():
                grow(folder / name, inside)
        elif isinstance(branch, bytes):
            folder.write_bytes(branch)

    with tempfile.TemporaryDirectory() as place:
        before, after = Path(place, "before"), Path(place, "after")
        grow(before, tree)
        packed = pack(before)
        after.mkdir()
        unpack(packed, hashlib.sha256(packed).hexdigest(), after)
        assert contents(after) == contents(before)
        assert pack(after) == packed


def test_a_long_name_and_one_that_is_no_utf8_come_back(blobs: Blobs, tmp_path: Path) -> None:
    source = plant(tmp_path / "source", {"/".join(["x" * 200] * 4): b"1", os.fsdecode(b"\xff\xfe"): b"2"})
    blobs.get("acme", blobs.put("acme", source).address, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(source)


@pytest.mark.parametrize("make", [lambda p: p.symlink_to("card.json"), lambda p: p.symlink_to("/etc"), os.mkfifo])
def test_only_plain_files_are_kept(blobs: Blobs, source: Path, make: Callable[[Path], None]) -> None:
    make(source / "odd")
    with pytest.raises(BrokenDomain, match="'odd' can't be kept"):
        blobs.put("acme", source)
    assert not blobs.sizes("acme")


def test_a_folder_that_is_not_there_is_not_an_empty_one(blobs: Blobs, source: Path) -> None:
    for missing in (source / "none", source / "card.json"):
        with pytest.raises(NotADirectoryError):
            blobs.put("acme", missing)
    assert not blobs.sizes("acme")


def test_nothing_is_unpacked_among_other_files(blobs: Blobs, source: Path) -> None:
    address = blobs.put("acme", source).address
    with pytest.raises(FileExistsError, match="not empty"):
        blobs.get("acme", address, source)


# ---------------------------------------------------------------- damage


def flipped(sound: bytes) -> bytes:
    return sound[:700] + bytes([sound[700] ^ 1]) + sound[701:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "flipped": flipped,
    "truncated": lambda sound: sound[:-1],
    "longer": lambda sound: sound + b"\0",
    "empty": lambda sound: b"",
    "a sound archive of other content": lambda sound: archive(("card.json", b"other", tarfile.REGTYPE)),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_seen_before_anything_is_parsed(
    filed: Blobs, source: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    address = filed.put("acme", source).address
    damaged = DAMAGE[how](where(root, address).read_bytes())
    where(root, address).write_bytes(damaged)
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("parsed before its checksum was verified"))
        with pytest.raises(Damaged, match=f"{address} of acme is damaged: {len(damaged)} bytes") as raised:
            filed.get("acme", address, tmp_path / "copy")
    assert raised.value.code == "Damaged"
    assert not contents(tmp_path / "copy")
    assert not filed.sizes("acme")
    assert (root / "acme" / "quarantine" / address).read_bytes() == damaged
    assert json.loads((root / "acme" / "quarantine" / f"{address}.json").read_text()) == {
        "why": filed.quarantined("acme")[address]
    }
    assert hashlib.sha256(damaged).hexdigest() in filed.quarantined("acme")[address]
    with pytest.raises(NotFound, match="is in quarantine: it is damaged"):
        filed.get("acme", address, tmp_path / "copy")


def test_the_version_before_is_untouched_and_a_new_put_mends(
    filed: Blobs, source: Path, root: Path, tmp_path: Path
) -> None:
    before = filed.put("acme", plant(tmp_path / "before", {"card.json": b"1"})).address
    address = filed.put("acme", source).address
    where(root, address).write_bytes(b"half")
    with pytest.raises(Damaged):
        filed.get("acme", address, tmp_path / "copy")
    filed.get("acme", before, tmp_path / "copy")
    assert contents(tmp_path / "copy") == {"card.json": b"1"}
    filed.put("acme", source)
    filed.get("acme", address, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(source)


def test_a_put_does_not_trust_what_a_power_cut_left(filed: Blobs, source: Path, root: Path, tmp_path: Path) -> None:
    address = filed.put("acme", source).address
    where(root, address).write_bytes(b"")
    filed.put("acme", source)
    filed.get("acme", address, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(source)
    assert "0 bytes" in filed.quarantined("acme")[address]


def test_a_refused_blob_is_put_away(blobs: Blobs, source: Path, tmp_path: Path) -> None:
    address = blobs.put("acme", source).address
    blobs.quarantine("acme", address, "did not load: SIGABRT")
    assert blobs.quarantined("acme") == {address: "did not load: SIGABRT"}
    assert not blobs.sizes("acme")
    with pytest.raises(NotFound, match="it did not load: SIGABRT"):
        blobs.get("acme", address, tmp_path / "copy")
    with pytest.raises(NotFound, match="does not exist"):
        blobs.quarantine("acme", address, "again")
    assert blobs.quarantined("acme") == {address: "did not load: SIGABRT"}


def test_a_reason_lost_in_a_power_cut_is_no_crash(filed: Blobs, source: Path, root: Path, tmp_path: Path) -> None:
    address = filed.put("acme", source).address
    filed.quarantine("acme", address, "why")
    for torn in ("", '{"why'):
        (root / "acme" / "quarantine" / f"{address}.json").write_text(torn)
        assert filed.quarantined("acme") == {address: "no reason was kept"}
        with pytest.raises(NotFound, match="does not exist"):
            filed.get("acme", address, tmp_path / "copy")


Member = tuple[str, bytes, bytes]


def archive(*members: Member) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(content)
            info.linkname = "../../out" if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else ""
            made.addfile(info, io.BytesIO(content))
    return packed.getvalue()


FINE = ("card.json", b"{}", tarfile.REGTYPE)
TRICKS: dict[str, bytes] = {
    "absolute": archive(FINE, ("/tmp/out", b"x", tarfile.REGTYPE)),
    "up": archive(FINE, ("../out", b"x", tarfile.REGTYPE)),
    "up by a folder": archive(FINE, ("..", b"", tarfile.DIRTYPE), ("../out", b"x", tarfile.REGTYPE)),
    "in and up": archive(("a", b"", tarfile.DIRTYPE), ("a/../../out", b"x", tarfile.REGTYPE)),
    "the folder itself": archive(FINE, (".", b"x", tarfile.REGTYPE)),
    "a link": archive(FINE, ("out", b"", tarfile.SYMTYPE), ("out/x", b"x", tarfile.REGTYPE)),
    "a hard link": archive(FINE, ("out", b"", tarfile.LNKTYPE)),
    "a device": archive(FINE, ("out", b"", tarfile.CHRTYPE)),
    "a pipe": archive(FINE, ("out", b"", tarfile.FIFOTYPE)),
    "sparse": archive(FINE, ("out", b"", tarfile.GNUTYPE_SPARSE)),
    "twice": archive(FINE, FINE),
    "a file as a folder": archive(FINE, ("card.json/x", b"x", tarfile.REGTYPE)),
    "no archive": b"not an archive" * 100,
    "cut": archive(("card.json", b"x" * 4000, tarfile.REGTYPE))[:2000],
}


@pytest.mark.parametrize("how", TRICKS)
def test_a_hand_made_archive_stays_in_its_place(filed: Blobs, root: Path, tmp_path: Path, how: str) -> None:
    address = hashlib.sha256(TRICKS[how]).hexdigest()
    plant(root, {f"acme/blobs/{address[:2]}/{address}": TRICKS[how]})
    before = set(tmp_path.rglob("*"))
    with pytest.raises(Damaged, match=r"holds|no readable archive"):
        filed.get("acme", address, tmp_path / "deep" / "copy")
    made = {path for path in set(tmp_path.rglob("*")) - before if root not in path.parents}
    assert made == {tmp_path / "deep", tmp_path / "deep" / "copy"}
    assert list(filed.quarantined("acme")) == [address]


# ---------------------------------------------------------------- files under names of their own

MANIFEST = "ml_models/effort_prediction/1.0.0/20240101_120000/model.joblib"
DATA_SET = "ml_datasets/SHOP_1.x/story_points/training_set_20240101.parquet"


@pytest.fixture(params=["file", "memory", "s3"])
def anywhere(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Blobs]:
    with bucket(monkeypatch) as url:
        yield Blobs({"file": root.as_uri(), "memory": "memory:///", "s3": url}[request.param])


@pytest.mark.row("A8")
def test_a_file_is_found_under_its_name_until_it_is_forgotten(anywhere: Blobs, source: Path) -> None:
    assert (anywhere.files("acme"), anywhere.read("acme", MANIFEST)) == ({}, None)
    anywhere.forget("acme", MANIFEST)
    anywhere.write("acme", MANIFEST, b"{1}")
    anywhere.write("acme", MANIFEST, b"{}")
    anywhere.write("acme", DATA_SET, b"PAR1")
    address = anywhere.put("acme", source).address
    assert anywhere.files("acme") == {DATA_SET: 4, MANIFEST: 2}
    assert (anywhere.read("acme", MANIFEST), anywhere.read("acme", DATA_SET)) == (b"{}", b"PAR1")
    assert anywhere.sweep("acme", [], before=datetime.now(UTC) + DAY) == 1  # the blob, and no file
    assert anywhere.files("acme") == {DATA_SET: 4, MANIFEST: 2}
    assert address not in anywhere.sizes("acme")
    anywhere.forget("acme", MANIFEST)
    assert anywhere.files("acme") == {DATA_SET: 4}


def test_a_bucket_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    with server(monkeypatch) as address:
        lost = Blobs(f"s3://lost/place?region=us-east-1&endpoint={address}")
        for what in (lambda: lost.put("acme", source), lambda: lost.write("acme", MANIFEST, b"{}")):
            with pytest.raises(Unavailable, match="is there such a bucket"):
                what()
        for look in (lost.files, lost.sizes, lost.quarantined):
            with pytest.raises(Unavailable, match="404 Not Found"):
                look("acme")


@pytest.mark.row("A8")
def test_nobody_finds_the_files_of_another(anywhere: Blobs) -> None:
    anywhere.write("acme", MANIFEST, b"{}")
    assert (anywhere.files("acm"), anywhere.files("acme2"), anywhere.read("zeta", MANIFEST)) == ({}, {}, None)
    anywhere.forget("zeta", MANIFEST)
    assert anywhere.read("acme", MANIFEST) == b"{}"


BAD_NAMES = [
    "", "x", "ml_models", "ml_models/", "/ml_models/x", "ml_models//x", "ml_models/../x", "ml_models/..",
    "ml_models/x/.",
    "ml_models/x\n", "ml_models/ü", "ml_models/a b", "ml_models/a%2f", "ml_modelsx/a", f"ml_models/{'x' * 129}",
    f"ml_models{'/x' * 9}", f"blobs/{GOLDEN[:2]}/{GOLDEN}", "quarantine/x",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_leads_nowhere_else(filed: Blobs, root: Path, name: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: filed.write("acme", name, b"x"), lambda: filed.read("acme", name), lambda: filed.forget("acme", name),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidRequest, match="no name of a file"):
            call()
    assert not contents(root)


def test_files_are_their_owners_alone_and_half_written_ones_are_not_told(filed: Blobs, root: Path) -> None:
    filed.write("acme", MANIFEST, b"{}")
    path = root / "acme" / MANIFEST
    assert path.stat().st_mode & 0o777 == 0o600
    assert {each.stat().st_mode & 0o777 for each in path.parents if root in each.parents} == {0o700}
    path.with_name("model.joblib#1").write_bytes(b"{")  # as the store names what it has begun to write
    assert filed.files("acme") == {MANIFEST: 2}


# ---------------------------------------------------------------- tenants


@pytest.mark.parametrize(
    "tenant", ["", ".", "..", "a/b", "/a", "a/", "../b", "A", "a\n", "a b", "a\0", "ü", "a" * 64, "-a"]
)
def test_a_tenant_is_one_plain_word(blobs: Blobs, source: Path, tmp_path: Path, tenant: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: blobs.put(tenant, source),
        lambda: blobs.get(tenant, GOLDEN, tmp_path / "copy"),
        lambda: blobs.quarantine(tenant, GOLDEN, "why"),
        lambda: blobs.sizes(tenant),
        lambda: blobs.quarantined(tenant),
        lambda: blobs.files(tenant),
        lambda: blobs.write(tenant, MANIFEST, b""),
    ]
    for call in calls:
        with pytest.raises(InvalidRequest, match="can't be a tenant"):
            call()


@pytest.mark.parametrize("address", ["", GOLDEN[1:], GOLDEN.upper(), "../" * 21 + "x", GOLDEN + "\n"])
def test_an_address_is_a_checksum(blobs: Blobs, tmp_path: Path, address: str) -> None:
    with pytest.raises(InvalidRequest, match="no address"):
        blobs.get("acme", address, tmp_path / "copy")


@pytest.mark.row("T17")
def test_tenants_do_not_see_each_other(blobs: Blobs, source: Path, tmp_path: Path) -> None:
    address = blobs.put("acme", source).address
    for other in ("acm", "acme2", "blobs", "bolt"):
        with pytest.raises(NotFound, match="does not exist"):
            blobs.get(other, address, tmp_path / "copy")
        with pytest.raises(NotFound):
            blobs.quarantine(other, address, "why")
        assert not blobs.sizes(other)
        assert not blobs.quarantined(other)
    assert blobs.put("bolt", source).address == address
    blobs.quarantine("bolt", address, "why")
    blobs.get("acme", address, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(source)


# ---------------------------------------------------------------- the folder


@pytest.mark.parametrize("url", ["", "data", "/data", "file:data", "file://data", "ftp://x/y", "file:///a?b", "S3:/x"])
def test_an_unknown_url_is_told_what_to_type(url: str) -> None:
    with pytest.raises(Misconfigured, match="type file:///a/folder or s3://bucket/prefix"):
        Blobs(url)


def test_a_url_that_can_not_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for url in (
        (tmp_path / "file").as_uri(),
        (tmp_path / "file" / "in").as_uri(),
        "s3://",
        "file:///a%00b",
        "s3://a?key=b",
    ):
        with pytest.raises(Misconfigured, match="can't be opened"):
            Blobs(url)


def test_a_bucket_is_opened_by_its_url_alone() -> None:
    Blobs("s3://bucket/prefix")


def test_a_store_that_fails_is_unavailable(filed: Blobs, source: Path, root: Path) -> None:
    (root / "acme").write_text("in the way")
    with pytest.raises(Unavailable, match=r"fails \(.*\); try again") as raised:
        filed.put("acme", source)
    assert "\n" not in str(raised.value)


def test_a_disk_that_does_not_sync_is_unavailable(filed: Blobs, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(opened: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Unavailable, match="Input/output error"):
        filed.put("acme", source)


def test_nobody_else_can_read_the_folder(filed: Blobs, source: Path, root: Path) -> None:
    path = where(root, filed.put("acme", source).address)
    assert oct(path.stat().st_mode) == "0o100600"
    assert {oct(each.stat().st_mode) for each in path.parents if each == root or root in each.parents} == {"0o40700"}
    root.chmod(0o750)
    Blobs(root.as_uri()).put("acme", source)
    assert oct(root.stat().st_mode) == "0o40750"  # as its owner wants it


def test_a_blob_and_every_folder_above_it_are_on_disk_when_put_returns(
    filed: Blobs, source: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda opened: synced.append(os.fstat(opened).st_ino))
    for _ in range(2):  # again for one that was there: whoever wrote it may not have come so far
        synced.clear()
        path = where(root, filed.put("acme", source).address)
        assert synced == [each.stat().st_ino for each in (path, *path.parents)][:6]
        assert synced[-1] == root.parent.stat().st_ino


def test_many_threads_put_and_get_the_same_blob(filed: Blobs, root: Path, tmp_path: Path) -> None:
    source = plant(tmp_path / "source", {"big": random.Random(1).randbytes(1_000_000)})

    def one(place: int) -> str:
        address = filed.put("acme", source).address
        filed.get("acme", address, tmp_path / f"copy-{place}")
        assert contents(tmp_path / f"copy-{place}") == contents(source)
        return address

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(one, range(48)))) == 1
    assert len([path for path in root.rglob("*") if path.is_file()]) == 1
    assert not filed.quarantined("acme")


PUTS = """
import sys
from pathlib import Path
from foretell.stores.blobs import Blobs
blobs = Blobs(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
blobs.put("acme", Path(sys.argv[2]))
"""


def test_a_put_killed_at_any_moment_leaves_nothing_half(filed: Blobs, root: Path) -> None:
    size, staged = 24_000_000, []
    with tempfile.TemporaryDirectory() as place:
        folder = plant(Path(place, "source"), {"big": random.Random(2).randbytes(size)})
        for turn in range(12):
            (folder / "turn").write_text(str(turn))
            child = subprocess.Popen(
                [sys.executable, "-c", PUTS, root.as_uri(), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdout.readline()
            child.stdin.write(b"\n")
            child.stdin.flush()
            if turn % 3 == 2:
                time.sleep(0.02 * turn)  # anywhere
            else:  # just after the first bytes are on their way
                while child.poll() is None and not any(root.rglob("*#*")):
                    pass
                time.sleep(0.002 * turn)
            child.kill()
            child.communicate()
            half = [path for path in root.rglob("*#*") if path.stat().st_size < size]
            staged += half
            for address in filed.sizes("acme"):
                assert hashlib.sha256(where(root, address).read_bytes()).hexdigest() == address
            address = filed.put("acme", folder).address  # what the dead one left is in nobody's way
            filed.get("acme", address, Path(place, "copy"))
            assert contents(Path(place, "copy")) == contents(folder)
            assert list(filed.sizes("acme")) == [address]
            assert not filed.quarantined("acme")
            shutil.rmtree(Path(place, "copy"))
            shutil.rmtree(root / "acme")
    assert staged  # or none of them was killed in the middle


# ---------------------------------------------------------------- what nobody needs

DAY = timedelta(days=1)


def ages(root: Path, address: str, age: timedelta, tenant: str = "acme") -> Path:
    """Let a blob be so old; its file."""
    file, then = where(root, address, tenant), (datetime.now(UTC) - age).timestamp()
    os.utime(file, (then, then))
    return file


def three(blobs: Blobs, tmp_path: Path, tenant: str = "acme") -> list[str]:
    """The addresses of three blobs."""
    folders = [plant(tmp_path / f"made {number}", {"a": f"{number}".encode()}) for number in range(3)]
    return [blobs.put(tenant, folder).address for folder in folders]


def test_what_is_old_and_not_needed_is_forgotten(filed: Blobs, root: Path, tmp_path: Path) -> None:
    needed, young, old = three(filed, tmp_path)
    ages(root, needed, 2 * DAY)
    ages(root, old, 2 * DAY)
    assert filed.sweep("acme", {needed, "0" * 64}, before=datetime.now(UTC) - DAY) == 1
    assert {*filed.sizes("acme")} == {needed, young}
    assert filed.sweep("acme", {needed}, before=datetime.now(UTC) - DAY) == 0
    with pytest.raises(NotFound, match="does not exist"):
        filed.get("acme", old, tmp_path / "out")


def test_what_was_forgotten_can_be_put_again(filed: Blobs, root: Path, tmp_path: Path) -> None:
    *_, old = three(filed, tmp_path)
    ages(root, old, 2 * DAY)
    filed.sweep("acme", set(), before=datetime.now(UTC) - DAY)
    assert filed.put("acme", tmp_path / "made 2").address == old
    filed.get("acme", old, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == b"2"


def test_a_sweep_is_one_tenants_and_leaves_the_quarantine(filed: Blobs, root: Path, tmp_path: Path) -> None:
    mine, theirs = three(filed, tmp_path), three(filed, tmp_path, "zeta")
    for address in mine:
        ages(root, address, 2 * DAY)
        ages(root, address, 2 * DAY, "zeta")
    filed.quarantine("acme", mine[0], "it was bad")
    assert filed.sweep("acme", set(), before=datetime.now(UTC)) == 2
    assert filed.quarantined("acme") == {mine[0]: "it was bad"}
    assert filed.sizes("acme") == {}
    assert {*filed.sizes("zeta")} == {*theirs}
    assert filed.sweep("nobody", set(), before=datetime.now(UTC)) == 0
    with pytest.raises(InvalidRequest):
        filed.sweep("../acme", set(), before=datetime.now(UTC))


def test_a_store_in_memory_is_swept_too(tmp_path: Path) -> None:
    blobs = Blobs("memory:///")
    needed, *_ = three(blobs, tmp_path)
    assert blobs.sweep("acme", {needed}, before=datetime.now(UTC) - DAY) == 0
    assert blobs.sweep("acme", {needed}, before=datetime.now(UTC) + DAY) == 2
    assert [*blobs.sizes("acme")] == [needed]


def test_two_sweeps_at_once_do_not_hinder_each_other(
    filed: Blobs, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses, real = three(filed, tmp_path), obstore.delete
    for address in addresses:
        ages(root, address, 2 * DAY)

    def quicker(store: Any, path: Any) -> None:
        """Another process has swept in the meantime."""
        for address in addresses:
            where(root, address).unlink(missing_ok=True)
        real(store, path)

    monkeypatch.setattr(obstore, "delete", quicker)
    filed.sweep("acme", set(), before=datetime.now(UTC))
    assert filed.sizes("acme") == {}


def test_what_is_put_again_is_young_again(filed: Blobs, root: Path, source: Path) -> None:
    address = filed.put("acme", source).address
    ages(root, address, 2 * DAY)
    filed.put("acme", source)  # and before it is on record, another training sweeps
    assert filed.sweep("acme", set(), before=datetime.now(UTC) - DAY) == 0


# ---------------------------------------------------------------- a real model, and its trial in a child


def study() -> tuple[Study, Frame]:
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, 300)
    when = [START] * len(x)
    features = Block(("x",), x[:, None])
    asked = Study(history=world(START), questions=ask(["x"] * len(x), when, when), features=features)
    return asked, pl.DataFrame({"value": 1 + 3 * (x > 0.5) + rng.exponential(0.3, len(x))})


def learner() -> BoostedQuantiles:
    return BoostedQuantiles(columns=["x"], levels=LEVELS, rounds=10)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Frame]:
    folder = tmp_path_factory.mktemp("trained")
    seen, outcomes = study()
    model = learner().fit(seen, outcomes)
    model.save(folder)
    return folder, model.forecast(seen).rows


LOADERS = """
import os, subprocess, sys, time

def predict(folder):
    import numpy as np
    from foretell.models.boosted import BoostedQuantiles
    model = BoostedQuantiles(columns=["x"], levels=(0.1, 0.5, 0.9)).load(folder)
    for booster in model.boosters:
        booster.predict(np.linspace(0, 1, 50)[:, None])

def plain(folder):
    assert folder.is_dir(), folder
    sys.stderr.write("a warning\\n")

def broken(folder):
    raise ValueError("two\\nlines, the last of them long " + "x" * 1000)

def hang(folder):
    (folder / "grandchild").write_text(str(subprocess.Popen(["sleep", "60"]).pid))
    time.sleep(60)

def leave(folder):
    os._exit(0)

def exit(folder):
    sys.exit(0)

def killed(folder):
    os.kill(os.getpid(), 9)

def silent(folder):
    os._exit(3)
"""


@pytest.fixture
def loaders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path / "code", {"loaders.py": LOADERS.encode()})
    monkeypatch.syspath_prepend(str(tmp_path / "code"))


def test_a_boosted_model_goes_there_and_back_to_the_last_bit(
    blobs: Blobs, trained: tuple[Path, Frame], tmp_path: Path, loaders: None
) -> None:
    folder, said = trained
    blobs.get("acme", blobs.put("acme", folder).address, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(folder)
    assert_frame_equal(learner().load(tmp_path / "copy").forecast(study()[0]).rows, said, check_exact=True)
    assert try_in_child("loaders:predict", tmp_path / "copy", seconds=60) is None


def truncated(text: str) -> str:
    return text[: len(text) // 2]


def astray(text: str) -> str:
    """Children far outside the tree; the sizes of the trees, which would give it away, left out."""
    text = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^left_child=.*$", lambda line: re.sub(r"-?\d+", "99999999", line[0]), text, flags=re.MULTILINE)


@pytest.mark.parametrize(("spoil", "signal"), [(truncated, "SIGABRT"), (astray, "SIGSEGV")])
def test_a_model_that_kills_its_process_kills_only_the_child(
    trained: tuple[Path, Frame], tmp_path: Path, loaders: None, spoil: Callable[[str], str], signal: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained[0], copy)
    (copy / "trees-1.txt").write_text(spoil((copy / "trees-1.txt").read_text()))
    why = try_in_child("loaders:predict", copy, seconds=60)
    assert why is not None
    assert why.startswith(signal), why


@pytest.mark.parametrize(
    ("load", "why"),
    [
        ("loaders:plain", None),
        ("loaders:broken", "exit code 1: lines, the last of them long " + "x" * 271),
        ("loaders:leave", "exit code 0"),
        ("loaders:exit", "exit code 0"),
        ("loaders:silent", "exit code 3"),
        ("loaders:killed", "SIGKILL"),
        ("loaders:nothing", "exit code 1: AttributeError: module 'loaders' has no attribute 'nothing'"),
        ("no_such_module:load", "exit code 1: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_the_trial_says_what_happened(source: Path, loaders: None, load: str, why: str | None) -> None:
    assert try_in_child(load, source, seconds=60) == why


def test_a_loader_that_hangs_is_stopped_with_all_it_started(source: Path, loaders: None) -> None:
    began = time.monotonic()
    assert try_in_child("loaders:hang", source, seconds=1.5) == "took longer than 1.5 s"
    assert time.monotonic() - began < 5
    status = Path("/proc", (source / "grandchild").read_text(), "status")
    for _ in range(100):
        if not status.exists() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.02)
    pytest.fail("what the loader started still runs")
