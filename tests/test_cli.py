"""The command line: it answers at once, runs the main job, and refuses in one line."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from foretell.cli import cli, main


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['foretell', '--help']\n"
        "from foretell.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'polars', 'numpy', 'lightgbm', 'pydantic', 'rich', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout


def test_the_demo_shows_every_candidate_the_answer_and_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    done = CliRunner().invoke(cli, ["demo", "--once", "--picture", str(picture)])
    assert done.exit_code == 0, done.output
    for words in (
        "weekly_naive",
        "seasonal_baseline",
        "pattern_learner",
        "80 % band covers",
        "replicas: 8 →",
        "iftar_approaching",
        "mean absolute error",
    ):
        assert words in done.output
    drawn = ET.parse(picture).getroot()
    texts = " ".join("".join(node.itertext()) for node in drawn.iter("{http://www.w3.org/2000/svg}text"))
    assert "what happened" in texts
    assert "80 % band" in texts


def test_a_refusal_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["foretell", "check", "nothing"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capsys.readouterr().err == "foretell: NotFound: no domain 'nothing'; there are traffic\n"
