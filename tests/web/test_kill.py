"""Processes that are killed or told to end in the middle, and files that are damaged: nothing is half done."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from tests.conftest import reachable
from tests.web.conftest import PATIENCE, Running, ended, rows, started, tenancy

from foretell.app import App
from foretell.domains.traffic.sample import END
from foretell.stores import launcher, registry

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

TASK = "traffic.load"
PREDICT, TRAIN = "/v1/traffic/load/predict", "/v1/traffic/load/train"
AS_OF = {"as_of": END.isoformat()}
ASKED = {"service": "donations"}
TABLES = ("ml_models", "ml_deployments", "ml_experiments")


@pytest.fixture(scope="module", autouse=True)
def house() -> Iterator[Path]:
    """A home of its own, whose server processes may be killed."""
    with reachable() as folder, pytest.MonkeyPatch.context() as change:
        change.setenv("FORETELL_HOME", str(folder))
        try:
            yield folder
        finally:
            launcher.stop(folder)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def app() -> Iterator[App]:
    """A tenant with the sample's hours that has trained nothing yet."""
    with tenancy() as made:
        made.import_("traffic.metrics", rows())
        yield made


def learned(app: App, days: int) -> str:
    """A version that was trained so many days before the end, and serves now."""
    done, verdict = app.train(TASK, as_of=END - timedelta(days=days), budget=0.5)
    version = done.model.card.version
    if not verdict.promote:
        app.models.promote(TASK, version)
    return version


def written(app: App) -> Mapping[str, int]:
    """How many rows there are of what a training writes."""
    with app.desk.transaction() as connection:
        counts = (
            connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() for table in TABLES
        )  # fmt: skip
        return {table: int((count or (0,))[0]) for table, count in zip(TABLES, counts, strict=True)}


def predicted_by(app: App) -> str:
    """The version that answers."""
    return app.predict(TASK, ASKED, as_of=END).card.version


def predicted(client: httpx.Client) -> dict[str, Any]:
    answer = client.post(PREDICT, params=AS_OF, json=ASKED)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["foretell"]
    return told


# ---------------------------------------------------------------- processes


def statistics(pid: int) -> list[str]:
    """What /proc says of a process, from its state on; nothing of one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def alive(pid: int) -> bool:
    told = statistics(pid)
    return bool(told) and told[0] != "Z"


def children(pid: int) -> list[int]:
    numbers = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    return [each for each in numbers if (told := statistics(each)) and int(told[1]) == pid]


def family(pid: int) -> list[int]:
    """All processes below one."""
    return [each for child in children(pid) for each in (child, *family(child))]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def workers(server: Running) -> list[int]:
    """The processes of the pools, and the worker, which trains."""
    return [each for each in children(server.process.pid) if "spawn_main" in command(each)]


def worked(pid: int) -> float:
    """Seconds that a process has computed."""
    told = statistics(pid)
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK") if told else 0.0


def wait(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.02)


@contextmanager
def training(server: Running, token: str, seconds: float, **how: Any) -> Iterator[Future[dict[str, Any]]]:
    """A training on its way, that a worker has computed on for so long."""

    def train(client: httpx.Client) -> dict[str, Any]:
        return ended(client, client.post(TRAIN, params=AS_OF, json=how))

    with ThreadPoolExecutor(1) as thread, server.client(token) as client:
        before = {each: worked(each) for each in workers(server)}
        answer = thread.submit(train, client)
        wait(lambda: answer.done() or any(worked(each) - before.get(each, 0.0) > seconds for each in workers(server)))
        yield answer


# ---------------------------------------------------------------- the process that trains is killed


@contextmanager
def asking(server: Running, token: str, threads: int) -> Iterator[list[str]]:
    """Ask for predictions all the time, each of which must come; the numbers of those that came."""
    done, came = Event(), list[str]()

    def ask() -> None:
        with server.client(token) as client:
            while not done.is_set():
                came.append(predicted(client)["prediction_id"])

    with ThreadPoolExecutor(threads) as pool:
        asked = [pool.submit(ask) for _ in range(threads)]
        try:
            yield came
        finally:
            done.set()
        for each in asked:
            each.result()


def more(came: list[str]) -> None:
    """Wait for answers that came after now."""
    so_far = len(came)
    wait(lambda: len(came) > so_far + 2)


def test_a_killed_training_is_taken_up_again_and_makes_one_version(
    log: Path, app: App, token: Callable[..., str]
) -> None:
    served, admin = learned(app, 9), token(app.tenant)
    before = written(app)
    with started(log) as server, server.client(admin) as client, asking(server, admin, 2) as came:
        for place, seconds in enumerate((0.05, 1.5), 1):
            with training(server, admin, seconds) as answer:
                for each in workers(server):
                    os.kill(each, signal.SIGKILL)
                assert predicted(client)["version"] == served or place > 1
                assert client.get("/health").status_code == 200
                more(came)
                job = answer.result()
            assert (job["state"], job["result"]["task"]) == ("done", TASK)
            assert written(app)["ml_experiments"] == before["ml_experiments"] + place
        assert client.get("/ready").status_code == 200


# ---------------------------------------------------------------- the server is killed


def test_what_a_killed_server_was_training_is_trained_by_the_next(
    log: Path, app: App, token: Callable[..., str]
) -> None:
    served, admin = learned(app, 9), token(app.tenant)
    before = written(app)
    with started(log) as server:
        with training(server, admin, 0.5) as answer:
            below = [each for each in family(server.process.pid) if "postgres" not in command(each)]
            assert below
            server.process.kill()
            assert isinstance(answer.exception(), httpx.TransportError)
        wait(lambda: not any(alive(each) for each in below))
    assert written(app) == before
    assert predicted_by(app) == served
    with started(log) as server, server.client(admin) as client:
        (job,) = client.get("/v1/jobs").json()
        wait(lambda: client.get(f"/v1/jobs/{job['job_id']}").json()["ended_at"] is not None)
        job = client.get(f"/v1/jobs/{job['job_id']}").json()
        assert (job["state"], job["attempts"]) == ("done", 2)
        assert written(app)["ml_experiments"] == before["ml_experiments"] + 1


def test_what_was_answered_before_the_kill_is_in_the_ledger(log: Path, app: App, token: Callable[..., str]) -> None:
    learned(app, 9)
    user = token(app.tenant, "user")
    with started(log) as server:

        def ask() -> list[str]:
            answered: list[str] = []
            with server.client(user) as client:
                while True:
                    try:
                        answered.append(predicted(client)["prediction_id"])
                    except httpx.TransportError:
                        return answered

        with ThreadPoolExecutor(8) as threads:
            asking = [threads.submit(ask) for _ in range(8)]
            wait(lambda: len(app.predictions.list(TASK, limit=200)) == 200)
            server.process.kill()
            answered = {number for each in asking for number in each.result()}
    with app.desk.transaction() as connection:
        kept = {str(number) for (number,) in connection.execute("SELECT prediction_id FROM ml_predictions").fetchall()}
    assert len(answered) >= 190
    assert answered <= kept
    assert len(kept - answered) <= 8  # one a thread was on its way


# ---------------------------------------------------------------- the server is told to end


def test_a_server_told_to_end_leaves_nothing_half_done_and_no_process(
    log: Path, app: App, token: Callable[..., str]
) -> None:
    with started(log) as server, training(server, token(app.tenant), 0.3, budget=1.0) as answer:
        below = family(server.process.pid)
        server.process.terminate()
        assert server.process.wait(PATIENCE) == 0
        wait(lambda: not any(alive(each) and "postgres" not in command(each) for each in below))
        answer.exception()  # nobody answers any more
    assert "Traceback" not in log.read_text()
    (job,) = app.jobs.list()
    assert written(app) == dict.fromkeys(TABLES, int(job.state == "done"))
    with started(log):
        wait(lambda: app.jobs.get(job.job_id).state == "done")
    assert written(app) == dict.fromkeys(TABLES, 1)


# ---------------------------------------------------------------- files are damaged


def damage(house: Path, app: App, version: str) -> None:
    """Overwrite the middle of a version's file."""
    with app.desk.transaction() as connection:
        blob = registry.model(connection, app.tenant, TASK, version).blob
    (file,) = (each for each in house.rglob(blob) if "quarantine" not in each.parts)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + b"damaged" + whole[len(whole) // 2 + 7 :])


def test_a_damaged_model_gives_way_until_the_next_training(
    house: Path, log: Path, app: App, token: Callable[..., str]
) -> None:
    older, newer = learned(app, 9), learned(app, 2)
    damage(house, app, newer)
    with started(log) as server, server.client(token(app.tenant)) as client:
        for _ in range(2):
            told = predicted(client)
            assert told["version"] == older
            assert newer in told["fallback"]
        states = {each["version"]: each["state"] for each in client.get("/v1/traffic/load/models").json()}
        assert states == {newer: "serving", older: "kept"}
        assert client.post(f"/v1/traffic/load/models/{newer}/promote").status_code in (404, 500)
        how = {"as_of": (END - timedelta(days=1)).isoformat()}
        trained = ended(client, client.post(TRAIN, params=how, json={"budget": 0.5}))
        told = predicted(client)
        assert (told["version"], told["fallback"]) == (trained["result"]["version"], None)


def test_the_same_training_again_mends_a_damaged_model(
    house: Path, log: Path, app: App, token: Callable[..., str]
) -> None:
    learned(app, 9)
    newer = learned(app, 2)
    damage(house, app, newer)
    with started(log) as server, server.client(token(app.tenant)) as client:
        assert newer in predicted(client)["fallback"]
        how = {"as_of": (END - timedelta(days=2)).isoformat()}
        trained = ended(client, client.post(TRAIN, params=how, json={"budget": 0.5}))
        assert trained["result"]["version"] == newer
        told = predicted(client)
        assert (told["version"], told["fallback"]) == (newer, None)


# ---------------------------------------------------------------- many processes, one version


def test_after_a_rollback_every_process_answers_with_the_version_before(
    log: Path, app: App, token: Callable[..., str]
) -> None:
    older, newer = learned(app, 9), learned(app, 2)
    admin = token(app.tenant)
    with started(log, "--workers", "2") as server:

        def ask(_: int) -> str:
            with server.client(admin) as client:  # a connection of its own, for whichever process takes it
                version: str = predicted(client)["version"]
                return version

        with ThreadPoolExecutor(8) as threads, server.client(admin) as client:
            for path, serves in (
                ("rollback", older), (f"models/{newer}/promote", newer), ("rollback", older),
            ):  # fmt: skip
                assert set(threads.map(ask, range(40))) == {newer if serves == older else older}
                changed = client.post(f"/v1/traffic/load/{path}")
                assert (changed.status_code, changed.json()) == (200, {"version": serves})
                assert set(threads.map(ask, range(40))) == {serves}
