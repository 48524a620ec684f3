"""New files are tried once in a process of their own, which may crash: then they are not used."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

FINE = 86  # a loader that ends the process itself, with whatever code, has not passed

CHILD = """
import importlib, json, pathlib, resource, signal, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
told = json.loads(sys.argv[1])
signal.alarm(told["alarm"])
sys.path[:] = told["path"]
getattr(importlib.import_module(told["module"]), told["function"])(pathlib.Path(told["folder"]))
sys.exit(told["fine"])
"""


def try_in_child(load: str, folder: Path, *, seconds: float) -> str | None:
    """Call `load` ("module:function") on a folder in a fresh interpreter; None if it returns, else why it did not.

    The reason is the signal or the exit code (0 where it left without returning) with the last line of stderr, or that
    it took longer than `seconds`, imports included; it is then killed with all it started. The child finds modules
    where this process does, and has its rights: this contains a crash, not an attack.
    """
    module, _, function = load.partition(":")
    told = {"module": module, "function": function, "folder": str(folder), "path": sys.path, "fine": FINE}
    told["alarm"] = int(seconds) + 5  # the child's own end, should this process be killed while it waits
    with tempfile.TemporaryFile() as said:  # not a pipe: a grandchild could hold it open
        child = subprocess.Popen(  # noqa: S603 - our own interpreter, and a loader that the caller names
            [sys.executable, "-P", "-c", CHILD, json.dumps(told)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"took longer than {seconds:g} s"
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)  # and all that it started
                child.wait()
        if code == FINE:
            return None
        end = max(0, said.seek(0, os.SEEK_END) - 4096)
        said.seek(end)
        lines = said.read().decode(errors="replace").strip().splitlines()
    how = f"exit code {code}" if code >= 0 else next((s.name for s in signal.Signals if s == -code), f"signal {-code}")
    return f"{how}: {lines[-1][:300]}" if lines else how
