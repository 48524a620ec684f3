"""Models in memory: found there until they are an hour old or forgotten, loaded beforehand, each tenant's its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from tests.deciding import neighbour, tenancy

from foretell.app import App, memory, shelf
from foretell.app.memory import Stats
from foretell.domains.traffic.sample import END, sample
from foretell.errors import NotFound
from foretell.settings import ForetellSettings
from foretell.stores import registry

LOAD = "traffic.load"
pytestmark = pytest.mark.row("A9")


@pytest.fixture
def app(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """A tenant with a model that is on record and not in memory."""
    monkeypatch.setattr(shelf, "try_in_child", lambda *_, **__: None)
    recent = pl.col("time") > END - timedelta(days=28)
    with tenancy() as made:
        made.import_(
            "traffic.metrics",
            sample(1).history["metrics"].filter(recent, pl.col("service") == "donations").drop("entity"),
        )
        made.train(LOAD, as_of="latest", budget=0.0)
        yield made


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds pass."""
    now = [1000.0]
    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def ask(app: App) -> str:
    return app.predict(LOAD, {"service": "donations"}, as_of="latest").card.version


def counted(app: App) -> tuple[int, int, int]:
    """Models in memory, hits and misses."""
    stats = app.models.cache()
    return stats.cached, stats.hits, stats.misses


def test_a_model_is_loaded_once_and_then_found(app: App) -> None:
    assert app.models.cache() == Stats(cached=0, bytes=0, hits=0, misses=0)
    assert app.models.cache().hit_rate is None
    version = ask(app)
    for _ in range(3):
        assert ask(app) == version
    stats = app.models.cache()
    assert (stats.cached, stats.hits, stats.misses, stats.hit_rate) == (1, 3, 1, 0.75)
    assert stats.bytes == shelf.UNPACKED * app.models.list(LOAD)[0].size


def test_it_stays_for_an_hour_unless_told_otherwise(
    app: App, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app.house.models.lasting == ForetellSettings().cache_ttl == 3600.0
    ask(app)
    later(3600)
    ask(app)
    assert counted(app) == (1, 1, 1)
    later(1)
    assert counted(app) == (0, 1, 1)  # gone, though nobody asked for it
    ask(app)
    assert counted(app) == (1, 1, 2)
    monkeypatch.setenv("CACHE_TTL", "7200")
    with App.open(app.tenant) as other:
        ask(other)
        later(7200)
        assert counted(other) == (1, 0, 1)
        later(1)
        assert counted(other) == (0, 0, 1)


def test_what_is_loaded_again_has_its_checksum_verified(home: Path, app: App, later: Callable[[float], None]) -> None:
    version = ask(app)
    with app.desk.transaction() as connection:
        address = registry.model(connection, app.tenant, LOAD, version).blob
    file = home / "blobs" / app.tenant / "blobs" / address[:2] / address
    file.write_bytes(file.read_bytes()[:-600])
    assert app.predict(LOAD, {"service": "donations"}, as_of="latest").fallback is None
    later(3601)
    assert "damaged" in (app.predict(LOAD, {"service": "donations"}, as_of="latest").fallback or "")


def test_what_is_preloaded_is_found_by_who_asks_first(app: App) -> None:
    version = app.models.list(LOAD)[0].version
    assert app.models.preload([LOAD]) == {LOAD: version}
    assert ask(app) == version
    assert counted(app) == (1, 1, 1)
    everything = app.models.preload()
    assert {name for name, serves in everything.items() if serves} == {LOAD}
    assert {*everything} == {task.name for domain in app.house.domains.values() for task in domain.tasks}
    with pytest.raises(NotFound, match=r"no task 'traffic\.lod'"):
        app.models.preload([LOAD, "traffic.lod"])


def test_what_is_cleared_is_loaded_again(app: App) -> None:
    ask(app)
    assert (app.models.clear(), app.models.clear()) == (1, 0)
    assert counted(app) == (0, 0, 1)
    ask(app)
    ask(app)
    assert counted(app) == (1, 1, 2)


def test_a_tenant_sees_and_clears_its_own_alone(app: App) -> None:
    ask(app)
    other = neighbour(app)
    assert other.house is app.house
    assert other.models.cache() == Stats(cached=0, bytes=0, hits=0, misses=0)
    assert other.models.preload([LOAD]) == {LOAD: None}
    assert other.models.clear() == 0
    assert counted(app) == (1, 0, 1)


def test_many_threads_load_it_once(app: App) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len({*pool.map(lambda _: ask(app), range(16))}) == 1
    assert counted(app) == (1, 15, 1)
