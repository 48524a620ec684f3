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
        for name in (
            *DOCUMENTED.values(),
            *KEYS.values(),
            "DB_HOST",
            "DB_NAME",
        ):  # what somebody's own machine tells other programs
            os.environ.pop(name, None)
        yield folder
        launcher.stop(folder)
