"""What hinders a server is said before anything is started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from foretell.errors import Misconfigured
from foretell.settings import ForetellSettings
from foretell.web.server import prepare


def test_a_port_in_use_is_refused_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [str(Path(sys.executable).with_name("foretell")), "serve", "--port", str(port)]
        home = {"FORETELL_HOME": str(tmp_path / "none")}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | home)
    assert done.returncode == 2
    assert done.stdout == ""
    instead = port + 1 if port < 65535 else port - 1
    assert done.stderr == (
        f"foretell: Misconfigured: foretell can't answer on 127.0.0.1:{port}: another program listens there, perhaps"
        f" another foretell; type: foretell serve --port {instead}\n"
    )
    assert list(tmp_path.iterdir()) == []  # nothing was started


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_refused_at_once(host: str) -> None:
    with pytest.raises(Misconfigured, match=r"--host 127\.0\.0\.1"):
        prepare(ForetellSettings(host=host))


def test_it_says_that_it_answers_when_nothing_hinders_it_any_more() -> None:
    command = [str(Path(sys.executable).with_name("foretell")), "serve"]
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = {"FORETELL_SECRET": "short", "FORETELL_PORT": str(other.getsockname()[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | settings)
    assert done.returncode == 2
    assert "FORETELL_SECRET and FORETELL_SECRET_BEFORE need" in done.stderr
    assert "answers on" not in done.stderr
