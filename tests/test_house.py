"""Each house rule catches what it forbids: one violation at a time is planted in a copy of the source."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tools import budgets, clock, docs, unused

ROOT = Path(__file__).resolve().parent.parent

FLOORS = "Imports go down only, and rooms on one floor do not open onto each other"
STRANGERS = "Domains are strangers to each other"
TERMINAL = "Only cli speaks to a terminal"
HTTP = "Only web speaks HTTP to callers"
DRIVERS = "Only stores opens drivers"
LEARNERS = "Only models knows the heavy learning libraries"
PICKLE = "No pickle, ever"
STORES = "Only app and upkeep open the stores"

SECOND_DOMAIN = {"domains.planted.rules": ""}

PLANTED: list[tuple[str, dict[str, str]]] = [
    # up a floor
    (FLOORS, {"errors": "import foretell.contract"}),
    (FLOORS, {"contract": "from foretell import metrics"}),
    (FLOORS, {"metrics": "from foretell.engine import train"}),
    (FLOORS, {"models.planted": "from foretell.domains import traffic"}),
    (FLOORS, {"settings": "", "features.planted": "import foretell.settings"}),
    (FLOORS, {"app": "", "engine.planted": "def later() -> None:\n    from foretell import app"}),
    (FLOORS, {"testing": "", "domains.traffic.planted": "from foretell.testing import *"}),
    (FLOORS, {"cli.planted": "", "app": "from foretell.cli import planted"}),
    # across a floor
    (FLOORS, {"engine.planted": "from foretell.domains.traffic import *"}),
    (FLOORS, {"domains.traffic.planted": "from foretell.engine import backtest"}),
    (FLOORS, {"stores.planted": "from foretell.engine import train"}),
    (FLOORS, {"features.planted": "from foretell import metrics"}),
    (FLOORS, {"models.planted": "from foretell.features import planted", "features.planted": ""}),
    (FLOORS, {"web.planted": "from foretell import cli"}),
    # a room nobody decided on
    (FLOORS, {"helpers": ""}),
    (FLOORS, {"utils.planted": ""}),
    # strangers
    (STRANGERS, {**SECOND_DOMAIN, "domains.planted.rules": "from foretell.domains.traffic import *"}),
    (STRANGERS, {**SECOND_DOMAIN, "domains.traffic.planted": "import foretell.domains.planted.rules"}),
    # libraries, each in its room
    *((TERMINAL, {"domains.traffic.planted": f"import {name}"}) for name in ("click", "rich.table")),
    (TERMINAL, {"engine.planted": "from matplotlib import pyplot"}),
    *((HTTP, {"domains.traffic.planted": f"import {name}"}) for name in ("fastapi", "starlette.requests")),
    (HTTP, {"metrics": "import uvicorn"}),
    *((DRIVERS, {"engine.planted": f"import {name}"}) for name in ("sqlalchemy.orm", "psycopg", "boto3", "obstore")),
    *((DRIVERS, {"domains.traffic.planted": f"import {name}"}) for name in ("redis", "valkey", "httpx")),
    (LEARNERS, {"features.planted": "def grow() -> None:\n    import lightgbm"}),
    (LEARNERS, {"engine.planted": "from scipy import stats"}),
    (LEARNERS, {"domains.traffic.planted": "from statsforecast.models import AutoETS"}),
    (STORES, {"cli.planted": "from foretell.stores import facts"}),
    (STORES, {"web.planted": "from foretell.stores.database import Database"}),
    *((PICKLE, {"models.planted": f"import {name}"}) for name in ("pickle", "joblib", "cloudpickle", "shelve")),
]

ALLOWED = {
    "app": "import time\nfrom foretell.engine import train\nfrom foretell.stores import planted\nNOW = time.time()",
    "cli.planted": "import click\nfrom foretell import app, upkeep",
    "stores.planted": "import psycopg, redis",
    "web.planted": "import fastapi\nfrom foretell import app",
    "models.planted": "import lightgbm, scipy",
    "features.planted": "from foretell import contract",
}


def plant(src: Path, module: str, code: str) -> Path:
    """Add code to a module of the copy, or make the module; every folder on the way becomes a package."""
    path = src / "foretell"
    for part in module.split(".")[:-1]:
        path /= part
        path.mkdir(exist_ok=True)
        (path / "__init__.py").touch()
    path /= module.rsplit(".", maxsplit=1)[-1]
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{before}\n{code}\n", encoding="utf-8")
    return path


def python(*words: str, cwd: Path) -> tuple[int, str]:
    """Run Python on the copy, not on the installed package; its exit status and all that it said."""
    env = {**os.environ, "PYTHONPATH": str(cwd), "COLUMNS": "200", "NO_COLOR": "1"}
    ran = subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


# One process lints one tree after the other: starting lint-imports takes longer than running it.
LINT = """
import contextlib, importlib, io, json, os, sys
from importlinter.cli import lint_imports

config, *trees = sys.argv[1:]
path, verdicts = list(sys.path), []
for tree in trees:
    os.chdir(tree)
    sys.path[:] = [tree, *path]
    importlib.invalidate_caches()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = lint_imports(config_filename=config, no_cache=True, no_logo=True)
    verdicts.append([status, said.getvalue()])
print(json.dumps(verdicts))
"""


@dataclass(frozen=True)
class Verdict:
    """What lint-imports said about one source tree."""

    status: int
    said: str

    @property
    def broken(self) -> list[str]:
        """The names of the contracts that the tree breaks."""
        return re.findall(r"^(.+) BROKEN", self.said, re.M)


def copy(home: Path) -> Path:
    """A copy of src."""
    return Path(shutil.copytree(ROOT / "src", home / "src", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> list[Verdict]:
    """Of each planting, in a copy of its own; after them of what is allowed, and of the copy as it is."""
    home = tmp_path_factory.mktemp("plantings")
    trees = []
    for number, planting in enumerate([*(planted for _, planted in PLANTED), ALLOWED, {}]):
        trees.append(copy(home / str(number)))
        for module, code in planting.items():
            plant(trees[-1], module, code)
    status, said = python("-c", LINT, str(ROOT / ".importlinter"), *map(str, trees), cwd=home)
    assert status == 0, said
    return [Verdict(*each) for each in json.loads(said)]


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """A copy of src."""
    return copy(tmp_path)


def test_the_source_keeps_every_contract(verdicts: list[Verdict]) -> None:
    untouched = verdicts[-1]
    assert (untouched.status, untouched.broken) == (0, []), untouched.said
    for contract in (FLOORS, STRANGERS, TERMINAL, HTTP, DRIVERS, LEARNERS, PICKLE, STORES):
        assert f"{contract} KEPT" in untouched.said


def test_what_the_floors_allow_is_allowed(verdicts: list[Verdict]) -> None:
    allowed = verdicts[-2]
    assert (allowed.status, allowed.broken) == (0, []), allowed.said


def told(planted: dict[str, str]) -> str:
    """A planting in a line, to name its test by."""
    return re.sub(r"\W+", "-", " ".join(f"{module} {code}" for module, code in planted.items()))[:70].strip("-")


@pytest.mark.parametrize(
    ("number", "contract"),
    [pytest.param(number, contract, id=told(planted)) for number, (contract, planted) in enumerate(PLANTED)],
)
def test_a_planted_import_breaks_its_contract_and_no_other(verdicts: list[Verdict], number: int, contract: str) -> None:
    assert (verdicts[number].status, verdicts[number].broken) == (1, [contract]), verdicts[number].said


def test_every_contract_has_a_planting() -> None:
    named = re.findall(r"^name = (.+)$", (ROOT / ".importlinter").read_text(), re.M)
    assert set(named) == {contract for contract, _ in PLANTED}


@pytest.mark.parametrize(
    "code",
    [
        "from datetime import datetime\nNOW = datetime.now()",
        "import datetime as dt\nTODAY = dt.date.today()",
        "import datetime\nNOW = datetime.datetime.utcnow()",
        "from time import time as seconds\nNOW = seconds()",
        "import time\nstarted = time.monotonic()",
        "import time\nstarted = time.perf_counter()",
        "from datetime import datetime\nclock = datetime.now  # handed on, read elsewhere",
    ],
)
def test_a_clock_is_recognised_however_it_is_spelled(code: str) -> None:
    (read,) = clock.clock_reads(code)
    assert read[0] == 2


def test_a_clock_is_read_in_app_cli_and_web_only(src: Path) -> None:
    assert clock.offenders(src) == []
    code = "import time\nSTARTED = time.time()"
    for room in ("app", "cli.planted", "web.planted"):
        plant(src, room, code)
    paths = [plant(src, room, code) for room in ("domains.traffic.planted", "engine.planted", "metrics")]
    assert [offence.split(":")[0] for offence in clock.offenders(src)] == [str(path) for path in paths]


@pytest.mark.parametrize("code", ["now = 1\nnow()", "import time\ntime.sleep(1)", "class datetime: ...\ndatetime.now"])
def test_what_reads_no_clock_is_left_alone(code: str) -> None:
    assert list(clock.clock_reads(code)) == []


def test_a_file_stays_under_400_lines(src: Path) -> None:
    assert budgets.offenders(src) == []
    path = src / "foretell" / "engine" / "planted.py"
    path.write_text("X = 1\n" * 399)
    assert budgets.offenders(src) == []
    path.write_text("X = 1\n" * 401)
    assert budgets.offenders(src) == [f"{path}: 401 lines; a file stays under 400"]


def test_a_function_has_at_most_60_lines(src: Path) -> None:
    path = src / "foretell" / "engine" / "planted.py"
    path.write_text("def fits() -> None:\n" + "    ...\n" * 59)
    assert budgets.offenders(src) == []
    path.write_text("class A:\n    async def long(self) -> None:\n" + "        ...\n" * 60)
    assert budgets.offenders(src) == [f"{path}:2: long has 61 lines; a function has at most 60"]


def test_a_domain_stays_under_2400_lines_without_what_it_declares(src: Path) -> None:
    home = src / "foretell" / "domains" / "planted"
    home.mkdir()
    (home / "sample").mkdir()
    counted = ("features", "decide", "models", "sun", "wind", "meters")
    for name in (*counted, "sample", "schema", "routes", "sample/world"):
        (home / f"{name}.py").write_text("X = 1\n" * 399)
    assert budgets.offenders(src) == []
    (home / "weather.py").write_text("X = 1\n" * 6)
    (offence,) = budgets.offenders(src)
    assert offence.startswith(f"{home}: 2400 lines")


def test_dead_code_is_found_and_declared_fields_are_not(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.vulture]\npaths = ["src"]\nmin_confidence = 60\n')
    (tmp_path / "src").mkdir()
    code = "class Row:\n    said: int\n    left = 1\n\n    def never(self) -> None: ...\n\n\nprint(Row)\n"
    (tmp_path / "src" / "rows.py").write_text(code)
    assert [re.sub(r" \(.*", "", each) for each in unused.offenders(tmp_path)] == [
        "src/rows.py:3: unused variable 'left'",
        "src/rows.py:5: unused method 'never'",
    ]


GRAPH = "# House\n\n<!-- import graph -->\n<!-- /import graph -->\n\nThe end.\n"


@pytest.fixture
def project(src: Path) -> Path:
    """A copy of src beside a few documents that hold."""
    root = src.parent
    (root / "docs").mkdir()
    (root / "README.md").write_text("# Planted\n\n[guide](docs/guide.md#start) [out](https://example.org/none)\n")
    (root / "docs" / "guide.md").write_text("[back](../README.md) [here](#start)\n\n```python\nprint(1)\n```\n")
    (root / "ARCHITECTURE.md").write_text(GRAPH)
    status, said = run_docs(root, "--write")
    assert status == 0, said
    return root


def run_docs(root: Path, *options: str) -> tuple[int, str]:
    """Run the documents' tool on a project, in a process that has not imported the package."""
    return python(str(ROOT / "tools" / "docs.py"), str(root), *options, cwd=root / "src")


def test_documents_that_hold_pass(project: Path) -> None:
    status, said = run_docs(project)
    assert status == 0, said
    text = (project / "ARCHITECTURE.md").read_text()
    assert "engine --> contract" in text
    assert text.endswith("The end.\n")


def test_an_outdated_import_graph_is_caught_and_redrawn(project: Path) -> None:
    plant(project / "src", "features.planted", "from foretell import errors")
    plant(project / "src", "metrics", "from foretell.domains import traffic")
    status, said = run_docs(project)
    assert status == 1
    assert "the import graph is not the code's" in said
    assert run_docs(project, "--write")[0] == 0
    assert "metrics --> domains" in (project / "ARCHITECTURE.md").read_text()
    assert run_docs(project)[0] == 0


def test_a_missing_import_graph_is_caught(project: Path) -> None:
    (project / "ARCHITECTURE.md").write_text("# House\n")
    status, said = run_docs(project)
    assert status == 1
    assert "no import graph" in said


@pytest.mark.parametrize(
    ("text", "offence"),
    [
        ("one\n\n[gone](docs/none.md)\n", "3: no such file: docs/none.md"),
        ("[gone](none.md#anchor)\n", "1: no such file: none.md"),
        ("![gone](figures/none.svg)\n", "1: no such file: figures/none.svg"),
        ("See [this][1].\n\n[1]: none.md\n", "3: no such file: none.md"),
    ],
)
def test_a_broken_link_is_caught(tmp_path: Path, text: str, offence: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert list(docs.broken_links(page)) == [f"{page}:{offence}"]


def test_links_that_lead_somewhere_pass(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "a file.md").touch()
    page.write_text(
        "[a](page.md#x) [b](a%20file.md) [c](mailto:a@example.org) [d](.)\n`[e](none.md)`\n\n```\n[f](none.md)\n```\n"
    )
    assert list(docs.broken_links(page)) == []


def test_an_example_that_does_not_compile_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("one\n\n```python\nx = 1\ny = = 2\n```\n\n```sh\nfor for\n```\n")
    (offence,) = docs.broken_examples(page)
    assert offence.startswith(f"{page}:5: the example does not compile")


def test_an_example_in_a_list_is_read_and_what_follows_too(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("- a list\n\n  ```python\n  x = 1\n  ```\n\n[gone](none.md)\n")
    assert list(docs.broken_examples(page)) == []
    assert list(docs.broken_links(page)) == [f"{page}:7: no such file: none.md"]


def test_every_make_target_is_explained() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (.*)$", text, re.M)[0].split())
    assert targets >= {"demo", "test", "check", "bench", "install"}
    assert targets == set(re.findall(r"^([a-z]+):.*## ", text, re.M))
