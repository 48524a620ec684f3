"""A request that takes too long ends with 503; what it was about to write is not written, and its place is free."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from tests.deciding import above
from tests.web.conftest import PATIENCE, Running, rows, started, tenancy
from tests.web.test_inventory import body

from foretell.app import patience
from foretell.domains.traffic.sample import END
from foretell.errors import Unavailable
from foretell.stores import records
from foretell.web.office import THREADS

SECONDS = 6.0  # more than anything asked here takes on a busy machine, when nothing hinders it
PREDICT = "/v1/traffic/load/predict"
AS_OF = {"as_of": END.isoformat()}
ASKED = {"service": "donations"}
WRITTEN = ("ml_predictions", "ml_models", "ml_experiments", "ml_deployments")


@pytest.fixture(scope="module")
def server(home: Path, tenant: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(tmp_path_factory.mktemp("timeout") / "log", WORKER_TIMEOUT=f"{SECONDS}") as running:
        yield running


@pytest.fixture
def client(server: Running, tenant: str, token: Callable[..., str]) -> Iterator[httpx.Client]:
    with server.client(token(tenant)) as made:
        assert made.post(PREDICT, params=AS_OF, json=ASKED).status_code == 200  # and the model is in memory
        yield made


@contextmanager
def locked(home: Path, table: str) -> Iterator[None]:
    """Nobody can write to a table."""
    with above(home) as connection, connection.transaction():
        connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
        yield


def counted(home: Path) -> dict[str, int]:
    with above(home) as connection:
        counts = {each: connection.execute(f"SELECT count(*) FROM {each}".encode()).fetchone() for each in WRITTEN}
    return {name: int((count or (0,))[0]) for name, count in counts.items()}


def waited(client: httpx.Client, path: str, sent: Any) -> httpx.Response:
    """An answer that came when the time was over, and not long after."""
    began = time.monotonic()
    told = client.post(path, params=AS_OF, json=sent)
    assert SECONDS - 0.5 < time.monotonic() - began < 2 * SECONDS
    return told


def until(client: httpx.Client, path: str, **how: Any) -> httpx.Response:
    """What is answered as soon as it is 200."""
    for _ in range(20):
        told = client.post(path, **how)
        if told.status_code == 200:
            return told
        time.sleep(1)
    raise AssertionError(told.text)


@pytest.mark.row("I8")
def test_requests_over_the_time_end_with_503_write_nothing_and_free_their_place(
    client: httpx.Client, home: Path, server: Running
) -> None:
    before = counted(home)
    with locked(home, "ml_predictions"), ThreadPoolExecutor(2 * THREADS) as crowd:
        answers = [crowd.submit(waited, client, PREDICT, ASKED) for _ in range(2 * THREADS)]
        for each in answers:
            told = each.result()
            assert (told.status_code, told.json()["code"]) == (503, "Unavailable")
            assert told.headers["content-type"] == "application/problem+json"
            assert int(told.headers["retry-after"]) > 0
            assert "longer than this server lets one take" in told.json()["detail"]
        with server.client() as anybody:
            assert anybody.get("/health").status_code == 200
    assert counted(home) == before
    assert client.post(PREDICT, params=AS_OF, json=ASKED).status_code == 200
    time.sleep(1)  # for anything that went on
    assert counted(home) == before | {"ml_predictions": before["ml_predictions"] + 1}
    assert "was given up after 6 s" in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/api/ml/predict", {"service_name": "donations", "current_replicas": 1, "capacity_per_pod": 9,
                             "cost_per_replica_hour": 0.05}),
        ("/forecast/demand", body(40)),
    ],
)  # fmt: skip
@pytest.mark.row("I8")
def test_documented_paths_say_so_in_their_own_shape(client: httpx.Client, home: Path, path: str, sent: Any) -> None:
    with locked(home, "ml_predictions"):
        told = waited(client, path, sent)
    assert told.status_code == 503
    assert set(told.json()) == {"detail", "foretell"}
    assert "longer than this server lets one take" in told.json()["detail"]
    assert told.json()["foretell"]["code"] == "Unavailable"


def test_heavy_work_over_the_time_is_ended_and_the_next_is_done(
    server: Running, token: Callable[..., str], home: Path
) -> None:
    with tenancy() as app:
        app.import_("traffic.metrics", rows())
        with server.client(token(app.tenant)) as client:
            few = rows().tail(3).with_columns(pl.col("value") + 1)
            few.write_parquet(path := home.parent / "few.parquet")
            parquet: dict[str, Any] = {
                "content": path.read_bytes(),
                "headers": {"Content-Type": "application/vnd.apache.parquet"},
            }
            began = time.monotonic()
            with locked(home, "traffic.metrics"):  # however quick it should be, it does not come to its end
                told = client.post("/v1/traffic/facts/metrics", **parquet)
                assert (told.status_code, told.json()["code"]) == (503, "Unavailable")
                assert SECONDS - 0.5 < time.monotonic() - began < 2 * SECONDS
                # The same process does it: it would wait for the lock until it is given up, were it not free again.
                assert until(client, "/v1/traffic/load/backtest", params=AS_OF, json={"budget": 0.01})
            assert until(client, "/v1/traffic/facts/metrics", **parquet).json()["revised"] == 3
    assert "Traceback" not in server.log.read_text()


def test_a_training_that_somebody_waits_for_too_long_goes_on(
    server: Running, token: Callable[..., str], home: Path
) -> None:
    with tenancy() as app:
        app.import_("traffic.metrics", rows())
        with server.client(token(app.tenant)) as client:
            with locked(home, "ml_models"):
                told = waited(client, "/api/ml/train", {"days_history": 60})
                assert told.status_code == 503
                assert "longer than this server lets one take" in told.json()["detail"]
                (job,) = client.get("/v1/jobs").json()
                assert job["state"] in ("waiting", "running")
            end = time.monotonic() + PATIENCE
            while not (job := client.get(f"/v1/jobs/{job['job_id']}").json())["ended_at"]:
                assert time.monotonic() < end
                time.sleep(0.2)
            assert (job["state"], job["attempts"]) == ("done", 1)
            assert [each.version for each in app.models.list("traffic.load")] == [job["result"]["version"]]
    assert "Traceback" not in server.log.read_text()


# ---------------------------------------------------------------- what a thread does meanwhile


def test_what_was_computed_for_too_long_is_not_kept() -> None:
    with tenancy() as app, patience.until(time.monotonic() + 0.3):
        with pytest.raises(Unavailable, match="longer than"), app.desk.transaction() as connection:  # noqa: PT012
            records.audit(connection, app.tenant, "me", "did", "it", {})
            time.sleep(0.5)
        with pytest.raises(Unavailable, match="longer than"), app.desk.transaction():
            pass
        with patience.until(None), app.desk.transaction() as connection:
            assert connection.execute("SELECT count(*) FROM audit").fetchone() == (0,)


def test_a_statement_that_takes_too_long_is_cancelled() -> None:
    with tenancy() as app:
        began = time.monotonic()
        with patience.until(began + 0.5), pytest.raises(Unavailable), app.desk.transaction() as connection:
            connection.execute("SELECT pg_sleep(30)")
        assert time.monotonic() - began < 10
        with app.desk.transaction() as connection:  # and the connection is as before
            assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
