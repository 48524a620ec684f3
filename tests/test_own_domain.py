"""The domain that the documentation prints keeps every rule, learns, and is found where it is installed."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tests.plugged import plugged

from foretell import Domain
from foretell.engine.predict import Prediction, predict
from foretell.engine.train import train
from foretell.testing import check_domain

PAGE = Path(__file__).parents[1] / "docs" / "own-domain.md"


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page's code as the module that it is."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "helpdesk.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield import_module("helpdesk")
    del sys.modules["helpdesk"]


def test_the_printed_domain_keeps_every_rule_and_learns(printed: Any) -> None:
    domain: Domain = printed.DOMAIN
    check_domain(domain)
    (task,), made = domain.tasks, domain.sample(2)
    model = train(task, made.history).model
    assert model.card.candidate == "boosted"
    (said,) = predict([(task, made.requests[task.name][0])], made.history, {task.name: model})
    assert isinstance(said, Prediction)
    answer = said.answer.model_dump()
    assert 0 <= answer["low"] <= answer["tickets"] <= answer["high"]
    assert answer["agents"] >= 1


def test_where_it_is_installed_it_is_found(printed: Any, tmp_path: Path, home: Path) -> None:
    """By the entry point that the page prints."""
    assert 'helpdesk = "helpdesk:DOMAIN"' in PAGE.read_text()
    path = plugged(tmp_path, helpdesk="helpdesk:DOMAIN")
    command = [str(Path(sys.executable).with_name("foretell")), "check", "helpdesk"]
    done = subprocess.run(
        command, env={"PYTHONPATH": path, "FORETELL_HOME": str(home)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "every check passed" in done.stdout
