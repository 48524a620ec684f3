"""Makes the toys importable however pytest is started, hypothesis the same at every run, and a home to keep in."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import Phase, settings

ROOT = str(Path(__file__).parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

settings.register_profile(
    "house", derandomize=True, deadline=None, phases=(Phase.explicit, Phase.generate, Phase.shrink)
)
settings.load_profile("house")


@contextmanager
def reachable() -> Iterator[Path]:
    """A folder that the account of a PostgreSQL reaches, unlike pytest's own when root runs it."""
    folder = Path(tempfile.mkdtemp(prefix="fh-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder / "home"
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session", autouse=True)
def home() -> Iterator[Path]:
    """Where everything is kept that a test process keeps; nothing starts before it is used."""
    from foretell.settings import DOCUMENTED, KEYS
    from foretell.stores import launcher

    with reachable() as folder:
        os.environ["FORETELL_HOME"] = str(folder)
        os.environ["FORETELL_BEAT"] = "1"  # a worker that is lost is missed soon
        os.environ["FORETELL_BACKUP_AT"] = "off"  # tests may run at any hour
        for name in (
            *DOCUMENTED.values(),
            *KEYS.values(),
            "DB_HOST",
            "DB_NAME",
        ):  # what somebody's own machine tells other programs
            os.environ.pop(name, None)
        yield folder
        launcher.stop(folder)


@pytest.fixture(scope="module")
def alone() -> Iterator[Path]:
    """A home of the module's own: no server's worker does its jobs."""
    from foretell.stores import launcher

    with reachable() as folder, pytest.MonkeyPatch.context() as change:
        change.setenv("FORETELL_HOME", str(folder))
        try:
            yield folder
        finally:
            launcher.stop(folder)
