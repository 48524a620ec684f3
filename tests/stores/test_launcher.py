"""Our own PostgreSQL: started once, shared, found again, stopped; whoever is killed, whenever; and nobody else's."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from foretell.errors import Misconfigured
from foretell.stores import account, launcher
from foretell.stores.launcher import default_home, start, state, stop
from foretell.stores.locks import held
from foretell.stores.server import SUPERUSER, Server

ROOT = os.geteuid() == 0
NOBODY = 65534
as_root = pytest.mark.skipif(not ROOT, reason="only root can be somebody else")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every account reaches, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="fh-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    for alive in [*folder.rglob("alive")]:
        with suppress(Misconfigured):
            stop(alive.parent)
        key = hashlib.sha256(os.fsencode(alive.parent)).hexdigest()[:10]
        for socket in Path("/tmp").glob(f"foretell-*-{key}"):
            socket.unlink() if socket.is_symlink() else shutil.rmtree(socket)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def wheel() -> Iterator[Path]:
    """A copy of the wheel in a folder of our own, to be found before the installed one."""
    site = Path(tempfile.mkdtemp(prefix="fh-", dir="/tmp"))
    site.chmod(0o755)
    package = account.installed(18).parent
    shutil.copytree(package / "pginstall18", site / package.name / "pginstall18")
    (site / package.name / "__init__.py").touch()
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, site / libraries.name)
    yield site
    shutil.rmtree(site)


def ask(server: Server, question: LiteralString) -> list[Any]:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        cursor = connection.execute(question)
        return cursor.fetchall() if cursor.description else []


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


def python(code: str, *arguments: object, uid: int | None = None, path: Path | None = None) -> list[Any]:
    """What `code` prints, a JSON value a line, in another process; as another user once all is imported."""
    become = f"os.setgroups([]); os.setgid({uid}); os.setuid({uid})" if uid is not None else ""
    code = (
        "import json, os, sys; from pathlib import Path; import psycopg; from foretell.errors import Misconfigured\n"
        "import encodings.ascii, encodings.idna; from foretell.stores.launcher import *; home = Path(sys.argv[1])\n"
        + become
        + "\n"
        + code
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,  # pipes: should the server hold them, this would not come back
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(path or "")},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---------------------------------------------------------------- it runs


@pytest.mark.parametrize("version", [16, 18])
def test_it_starts_is_found_stops_and_keeps_what_was_committed(place: Path, version: int) -> None:
    home = place / "parent" / "home"
    assert state(home).problems == ()
    assert not home.exists()  # to look starts nothing
    server = start(home, version=version)
    assert (server.version, server.home, server.user) == (version, home, SUPERUSER)
    assert ask(server, "show server_version")[0][0].startswith(str(version))
    ask(server, "create table kept as select 'İstanbul' as town")
    assert start(home) == server
    seen = state(home)
    assert (seen.running, seen.pid, seen.version, seen.socket) == (True, server.pid, version, server.socket)
    assert seen.problems == ()
    assert seen.size > 10_000_000
    assert "ready to accept connections" in seen.log.read_text()
    assert stop(home)
    assert not lives(server.pid)
    assert not stop(home)
    assert not state(home).running
    again = start(home, version=18)  # the folder's own version wins
    assert (again.version, again.password) == (version, server.password)
    assert ask(again, "select town from kept") == [("İstanbul",)]
    assert server.password not in repr(server)


def test_a_new_folder_gets_the_newest(place: Path) -> None:
    server = start(place / "home")
    assert server.version == 18
    assert ask(server, "select lower('ÇÂ'), current_setting('data_checksums'), current_setting('fsync')") == [
        ("çâ", "on", "on")
    ]


@pytest.mark.parametrize("name", ["with a space, 'quotes' \"and\" a % sign", "/".join(["a_rather_long_name"] * 13)])
def test_odd_paths(place: Path, name: str) -> None:
    server = start(place / name)
    assert ask(server, "select 1") == [(1,)]
    assert start(place / name).pid == server.pid
    assert mode(server.socket) == 0o700
    assert stop(place / name)


def test_only_its_own_folders_are_private_and_no_other_is_touched(place: Path) -> None:
    parent = place / "parent"
    parent.mkdir(mode=0o751)
    before = {each: (mode(each), each.stat().st_uid, each.stat().st_gid) for each in [parent, *parent.parents]}
    server = start(parent / "home")
    assert {each: (mode(each), each.stat().st_uid, each.stat().st_gid) for each in before} == before
    assert mode(server.home / "password") == 0o600
    assert mode(server.socket) == mode(server.data) == 0o700
    assert mode(server.home) & 0o067 == 0
    assert mode(server.home / "postgres.log") == 0o600


def test_the_server_holds_nothing_of_who_started_it(place: Path) -> None:
    home = place / "home"
    [pid] = python("print(start(home).pid)", home)  # comes back at once, though its output is a pipe
    assert start(home).pid == pid
    assert not held(home / "lock")
    if sys.platform == "linux":
        files = {name.readlink().name for name in Path(f"/proc/{pid}/fd").iterdir()}
        assert {"null", "postgres.log", "alive"} <= files
        assert "lock" not in files
        assert not [name for name in files if name.startswith("pipe")][2:]  # its own two at most
        assert os.getsid(pid) != os.getsid(0)
    assert stop(home)
    assert not held(home / "alive")


def test_many_at_once_share_one(place: Path) -> None:
    home = place / "home"
    code = "import sys; from pathlib import Path; from foretell.stores.launcher import start\n"
    code += "print(start(Path(sys.argv[1])).pid)"
    command = [sys.executable, "-c", code, str(home)]
    crowd = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    pids = {each.communicate(timeout=60)[0] for each in crowd}
    assert pids == {f"{start(home).pid}\n"}


def test_a_copy_has_its_own_server(place: Path) -> None:
    server = start(place / "home")
    copy = place / "copy"
    subprocess.run(["cp", "-a", server.home, copy], check=True)
    assert not state(copy).running
    assert not stop(copy)
    other = start(copy)
    assert other.pid != server.pid
    assert stop(copy)
    assert ask(server, "select 1") == [(1,)]


def test_a_folder_moved_under_its_server_can_still_be_stopped(place: Path) -> None:
    server = start(place / "home")
    (place / "home").rename(place / "moved")
    assert "type: foretell stop" in state(place / "moved").problems[0]
    assert stop(place / "moved")
    assert not lives(server.pid)
    assert start(place / "moved").password == server.password


def test_a_url_keeps_odd_characters(place: Path) -> None:
    server = start(place / "home")
    ask(server, """create database "a b/c?d" """)
    ask(server, """create role "o'n@e" login password 'p/w:%'""")
    with psycopg.connect(server.url("a b/c?d", user="o'n@e", password="p/w:%")) as connection:
        assert connection.execute("select current_database(), current_user").fetchone() == ("a b/c?d", "o'n@e")


# ---------------------------------------------------------------- nobody else gets in


def test_a_wrong_password_is_refused(place: Path) -> None:
    server = start(place / "home")
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.url(user=SUPERUSER, password=password))


@as_root
@pytest.mark.parametrize("name", ["home", "/".join(["a_rather_long_name"] * 13)])
def test_a_second_user_of_the_machine_is_refused(place: Path, name: str) -> None:
    home = place / name
    server = start(home)
    code = (
        "try: psycopg.connect(sys.argv[2])\n"
        "except psycopg.OperationalError as error: print(json.dumps(str(error)))\n"
        "try: (home / 'password').read_text()\n"
        "except PermissionError as error: print(json.dumps(str(error)))\n"
        "seen = state(home); print(json.dumps([seen.running, seen.problems]))\n"
    )
    connecting, reading, (runs, problems) = python(code, home, server.url(), uid=NOBODY)
    assert "Permission denied" in connecting
    assert "Permission denied" in reading
    assert not runs
    assert "FORETELL_HOME=" in problems[0]


@pytest.mark.parametrize("plant", ["link", "open", pytest.param("foreign", marks=as_root)])
def test_a_planted_socket_folder_is_refused(place: Path, plant: str) -> None:
    home = place / "/".join(["a_rather_long_name"] * 13)
    socket = start(home).socket
    assert socket.parent == Path("/tmp")
    stop(home)
    shutil.rmtree(socket)
    if plant == "link":
        (place / "elsewhere").mkdir(mode=0o700)
        socket.symlink_to(place / "elsewhere")
    else:
        socket.mkdir(mode=0o755 if plant == "open" else 0o700)
    if plant == "foreign":
        os.chown(socket, NOBODY, NOBODY)
    with pytest.raises(Misconfigured, match=rf"type: sudo rm -r '{socket}'"):
        start(home)
    socket.unlink() if plant == "link" else socket.rmdir()
    assert ask(start(home), "select 1") == [(1,)]


# ---------------------------------------------------------------- as whom


def test_the_default_home_is_one_that_its_server_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data/of mine")
    if ROOT:
        assert default_home() == Path("/var/lib/foretell")
    elif sys.platform == "linux":
        assert default_home() == Path("/data/of mine/foretell")
        monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
        assert default_home() == Path.home() / ".local/share/foretell"


@as_root
def test_an_ordinary_user_runs_it_too(place: Path, wheel: Path) -> None:
    mine = place / "mine"
    mine.mkdir()
    os.chown(mine, NOBODY, NOBODY)
    code = (
        "server = start(home)\n"
        "print(json.dumps([server.pid, os.stat(f'/proc/{server.pid}').st_uid, (home / 'password').stat().st_uid]))\n"
        "print(json.dumps([start(home) == server, state(home).problems, psycopg.connect(server.url()).closed]))\n"
        "print(json.dumps([stop(home), stop(home), start(home).version]))\n"
        "try: start(home.parents[1] / 'no')\n"
        "except Misconfigured as error: print(json.dumps(str(error)))\n"
    )
    home = mine / "home"
    who, found, ended, refused = python(code, home, uid=NOBODY, path=wheel)
    assert who[1:] == [NOBODY, NOBODY]
    assert found == [True, [], False]
    assert ended == [True, False, 18]
    assert "Permission denied" in refused
    assert "FORETELL_HOME=" in refused
    assert stop(home)
    assert re.search(r"belongs to .*FORETELL_HOME=", refusal(home))  # root does not take it over


@as_root
def test_root_runs_it_from_a_copy_where_its_account_cannot_reach_the_binaries(
    place: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(wheel))
    home = place / "home"
    try:
        wheel.chmod(0o700)
        server = start(home)
        [copy] = home.glob("bin-18-*")
        assert Path(f"/proc/{server.pid}/exe").readlink().is_relative_to(copy)
        assert ask(server, "create extension vector; select '[1,2]'::vector::text") == []
        assert mode(wheel) == 0o700
        stop(home)
        (home / "bin-18-0").mkdir()  # of an older wheel; gone when the next one comes
        shutil.rmtree(copy)
        start(home)
        assert [*home.glob("bin-18-*")] == [copy]
    finally:
        wheel.chmod(0o755)


@as_root
def test_root_is_told_where_to_go_when_its_account_cannot_reach_home(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(Misconfigured, match="type: FORETELL_HOME=/var/lib/foretell"):
        start(closed / "home")
    assert mode(closed) == 0o700


@as_root
def test_a_folder_of_another_container_is_served_by_the_account_that_owns_it(place: Path) -> None:
    home = place / "home"
    start(home)
    stop(home)
    for path in (home / "postgres", home / "socket", home / "password"):
        subprocess.run(["chown", "-R", "54321:54321", path], check=True)
    os.chown(home, 0, 54321)
    server = start(home)
    assert Path(f"/proc/{server.pid}").stat().st_uid == 54321
    assert ask(server, "select 1") == [(1,)]
    subprocess.run(["chown", "-R", "0:0", home / "postgres"], check=True)
    stop(home)
    with pytest.raises(Misconfigured, match="type: sudo chown -R foretell "):
        start(home)


# ---------------------------------------------------------------- what is wrong is said


def test_a_home_that_others_may_write_is_refused(place: Path) -> None:
    home = place / "home"
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(Misconfigured, match="type: chmod go-w"):
        start(home)
    assert "chmod go-w" in state(home).problems[0]
    assert mode(home) == 0o777


def test_a_server_that_dies_at_start_is_quoted(place: Path) -> None:
    home = place / "home"
    start(home)
    stop(home)
    with (home / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("nonsense = 1\n")
    with pytest.raises(Misconfigured, match=r'unrecognized configuration parameter "nonsense"'):
        start(home)
    assert not held(home / "lock")
    assert not held(home / "alive")


def test_broken_homes_are_refused_by_start_and_described_by_state(place: Path) -> None:
    home = place / "home"
    server = start(home)
    (home / "password").chmod(0o640)
    assert [problem.partition("type: ")[2] for problem in state(home).problems] == [f"chmod 600 '{home / 'password'}'"]
    stop(home)
    (home / "password").rename(home / "aside")
    assert "is gone, and nobody gets in without it; put it back, or begin anew: mv " in refusal(home)
    assert refusal(home) in state(home).problems
    (home / "password").write_text("another")
    assert "is not the password" in refusal(home)  # it runs now, and lets nobody in
    assert refusal(home) in state(home).problems
    assert stop(home)
    (home / "aside").rename(home / "password")
    (home / "password").chmod(0o600)
    for version, words in (("15\n", "PostgreSQL 16 and 18, not 15"), ("what", "is not PostgreSQL's; type: mv ")):
        (server.data / "PG_VERSION").write_text(version)
        assert words in refusal(home)
        assert refusal(home) in state(home).problems
    (server.data / "PG_VERSION").write_text("18\n")
    assert start(home).password == server.password
    (place / "file").touch()
    assert "FORETELL_HOME=" in refusal(place / "file")
    assert state(place / "file").running is False


def refusal(home: Path) -> str:
    with pytest.raises(Misconfigured) as refused:
        start(home)
    return str(refused.value)


def test_a_version_that_we_do_not_have_is_refused(place: Path) -> None:
    with pytest.raises(Misconfigured, match="PostgreSQL 16 and 18, not 17"):
        start(place / "home", version=17)


def test_a_long_log_begins_anew(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = place / "home"
    start(home)
    stop(home)
    monkeypatch.setattr(launcher, "_LOG_LIMIT", 100)
    start(home)
    assert "shut down at" in (home / "postgres.log").read_text()
    assert "fast shutdown" not in (home / "postgres.log").read_text()


# ---------------------------------------------------------------- killed


class Starters:
    """A process that forks starters for us, as often as we like: what they import is imported once."""

    CODE = (
        "import os, sys; from pathlib import Path; from foretell.stores.launcher import start\n"
        "for line in sys.stdin:\n"
        "    if child := os.fork(): print(child, flush=True)\n"
        "    else: os.setsid(); start(Path(line.rstrip('\\n'))); os._exit(0)\n"
    )

    def __init__(self) -> None:
        command = [sys.executable, "-c", self.CODE]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def start(self, home: Path) -> int:
        assert self.process.stdin
        assert self.process.stdout
        print(home, file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


@pytest.fixture
def starters() -> Iterator[Starters]:
    made = Starters()
    yield made
    made.process.communicate()


def kill(starter: int, home: Path, *, all_of_it: bool) -> None:
    if not all_of_it:
        os.kill(starter, signal.SIGKILL)
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(starter, signal.SIGKILL)
    with suppress(ProcessLookupError, FileNotFoundError, ValueError):
        os.kill(int((home / "postgres" / "postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)


def moments(longest: float, seed: int) -> list[float]:
    """Twenty random ones, one in each twentieth of `longest`."""
    chance = random.Random(seed)
    return [longest * (part + chance.random()) / 20 for part in range(20)]


def how_long(home: Path) -> float:
    began = time.monotonic()
    start(home)
    return time.monotonic() - began


def test_killed_at_twenty_moments_of_the_first_start(place: Path, starters: Starters) -> None:
    longest = how_long(place / "whole")
    stop(place / "whole")
    for number, moment in enumerate(moments(longest, seed=1)):
        home = place / str(number)
        starter = starters.start(home)
        time.sleep(moment)
        kill(starter, home, all_of_it=number % 2 == 1)
        server = start(home)
        ask(server, "create table kept as select 7 as n")
        assert ask(start(home), "select n from kept") == [(7,)], moment
        assert not [*home.glob(f"{account.UNFINISHED}*")], moment
        assert mode(home / "password") == 0o600
        assert stop(home)
        shutil.rmtree(home)


def test_killed_at_twenty_moments_of_a_later_start(place: Path, starters: Starters) -> None:
    home = place / "home"
    ask(start(home), "create table kept (n int)")
    stop(home)
    longest = how_long(home)
    for number, moment in enumerate(moments(longest, seed=2)):
        if number % 4 == 3:  # the next start has a crash to recover from
            os.kill(start(home).pid, signal.SIGKILL)
        else:
            stop(home)
        starter = starters.start(home)
        time.sleep(moment)
        kill(starter, home, all_of_it=number % 2 == 1)
        server = start(home)
        assert ask(server, "select count(*) from kept") == [(number,)], moment
        ask(server, "insert into kept values (1)")


def test_a_killed_server_comes_back_with_what_was_committed(place: Path) -> None:
    home = place / "home"
    server = start(home)
    ask(server, "create table kept as select generate_series(1, 10000) as n")
    os.kill(server.pid, signal.SIGKILL)
    again = start(home)
    assert again.pid != server.pid
    assert ask(again, "select count(*) from kept") == [(10_000,)]


def test_the_number_of_a_killed_server_may_be_anothers_now(place: Path) -> None:
    home = place / "home"
    server = start(home)
    owner = server.data.stat().st_uid
    files = (server.data / "postmaster.pid", server.socket / ".s.PGSQL.5432.lock")
    kept = [file.read_text().split("\n", 1)[1] for file in files]
    os.kill(server.pid, signal.SIGKILL)
    while held(home / "alive"):
        time.sleep(0.01)
    with subprocess.Popen(["sleep", "60"], user=owner if ROOT else None, cwd="/") as stranger:
        for file, rest in zip(files, kept, strict=True):
            file.write_text(f"{stranger.pid}\n{rest}")
        assert not state(home).running
        assert not stop(home)
        again = start(home)
        assert ask(again, "select 1") == [(1,)]
        assert stranger.poll() is None
        stranger.kill()
