"""The command line: it answers at once, runs the main job, and refuses in one line."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import httpx
import pytest

from foretell.cli import main

TEXT = "{http://www.w3.org/2000/svg}text"


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


def test_the_demo_shows_it_all_and_ends_in_a_server_that_answers_the_lines_it_prints(tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    folder.mkdir()
    command = [str(Path(sys.executable).with_name("foretell")), "demo", "--pictures", str(folder)]
    log = tmp_path / "log"
    with log.open("w") as out:
        demo = subprocess.Popen(command, stdout=out, stderr=out, text=True)
        try:
            train, predict = _asked(demo, log)
        finally:
            demo.send_signal(signal.SIGINT)
            try:
                demo.wait(60)
            except subprocess.TimeoutExpired:
                demo.kill()
    said = log.read_text()
    assert demo.returncode == 0, said
    for words in (
        "weekly_naive", "seasonal_baseline", "pattern_learner", "80 % band covers", "replicas: 18 →",
        "iftar_approaching", "mean absolute error", "minutes under capacity",
    ):  # fmt: skip
        assert words in said
    for name, drawn in {"forecast.svg": ("what happened", "80 % band"), "replay.svg": ("reactive", "fixed")}.items():
        texts = " ".join("".join(node.itertext()) for node in ET.parse(folder / name).iter(TEXT))
        assert all(word in texts for word in drawn), texts
    assert train["data_stats"]["days_of_data"] >= 60
    assert len(predict["predictions"]["values"]) == 4
    assert predict["scaling_recommendation"]["requires_approval"] is True


def _asked(demo: subprocess.Popen[str], log: Path) -> list[dict[str, Any]]:
    """What the two lines that the demo prints are answered, typed as they stand there."""
    end = time.monotonic() + 400
    lines: list[str] = []
    while len(lines) < 2:
        assert demo.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)
        lines = [line for line in log.read_text().splitlines() if line.startswith("curl ") and line.endswith("'")]
    told = []
    for line in lines:
        words = shlex.split(line)
        (url,) = (word for word in words if word.startswith("http"))
        headers = dict(words[k + 1].split(": ", 1) for k, word in enumerate(words) if word == "-H")
        asked = httpx.Request(words[words.index("-X") + 1], url, headers=headers, content=words[words.index("-d") + 1])
        with httpx.Client(timeout=120, trust_env=False, transport=httpx.HTTPTransport(retries=8)) as client:
            answer = client.send(asked)
        assert answer.status_code == 200, answer.text
        told.append(answer.json())
    return told


def test_a_refusal_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["foretell", "check", "nothing"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert (
        capsys.readouterr().err
        == "foretell: NotFound: no domain 'nothing'; there are agile, energy, inventory, realestate, traffic\n"
    )
