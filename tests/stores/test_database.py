"""Connections are shared, and who may open them stands nowhere in the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from tests.deciding import tenancy

import foretell
from foretell.app import App
from foretell.stores.database import Database

LOGIN = re.compile(r"\w+://[^\s/:@'\"{}]+:(?P<secret>[^\s@'\"]+)@")
SHOWN = {"password", "…", "shine"}  # what stands for one in words to type
MANY, SIZE = 24, 3


@pytest.fixture
def app(home: object) -> Iterator[App]:
    with tenancy() as made:
        yield made


@pytest.mark.row("E2")
def test_many_transactions_share_few_connections(app: App) -> None:
    database, together = Database(app.house.stores.database.url, size=SIZE), Barrier(SIZE)

    def one(_: int) -> int:
        with database.tenant(app.tenant) as connection:
            together.wait(30)  # so many are open at once
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        return int(row[0])

    try:
        with ThreadPoolExecutor(max_workers=MANY) as threads:
            assert len({*threads.map(one, range(MANY))}) == SIZE
    finally:
        database.close()


@pytest.mark.row("E2")
def test_no_credential_stands_in_the_code() -> None:
    root = Path(foretell.__file__).parent
    found = {
        (path.name, each["secret"])
        for path in root.rglob("*.py")
        for each in LOGIN.finditer(path.read_text(encoding="utf-8"))
        if not each["secret"].startswith("{")
    }
    assert {secret for _, secret in found} <= SHOWN, found
    assert LOGIN.search("postgresql://me:hunter2@db/x")
