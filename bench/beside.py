"""What is measured beside, in environments of their own: MLflow's server on our boosters, a second load generator."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from shutil import which
from typing import Any

from bench.data import MissingError
from bench.load import Plan
from bench.service import ROOT, Place, free_port, program, ready

MLFLOW, AUTOCANNON = "3.17.2", "8.0.0"
KEPT = ROOT / ".uv" / "bench"  # what is installed for the measurement alone, once
ROWS = 4  # hours ahead, as in our request


@contextmanager
def mlflow(here: Place, tenant: str) -> Iterator[Plan]:
    """`mlflow models serve` with the boosters of a tenant's champion, until the block ends; how to ask it."""
    beside = (f"{name}=={version(name)}" for name in ("lightgbm", "numpy"))
    python = environment(f"mlflow-{MLFLOW}", f"mlflow=={MLFLOW}", *beside)  # without CUDA, which neither needs
    folder, log = here.folder / "mlflow", here.folder / "mlflow.log"
    (folder / "trees").mkdir(parents=True)
    (told,) = here.child("trees", tenant, str(folder / "trees"))
    aside = {**os.environ, "MLFLOW_TRACKING_URI": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true"}
    _done([str(python), str(ROOT / "bench" / "wrapped.py"), str(folder / "trees"), str(folder / "model")], env=aside)
    port = free_port()
    command = [str(python.with_name("mlflow")), "models", "serve", "--model-uri", str(folder / "model")]
    aside["PATH"] = f"{python.parent}{os.pathsep}{aside['PATH']}"  # it starts its uvicorn by name
    with program([*command, "--port", str(port), "--env-manager", "local"], log, aside) as process:
        ready(process, port, "/ping", log)
        draw = random.Random(1)  # noqa: S311 - any figures do
        rows = [[draw.uniform(0, 2) for _ in told["columns"]] for _ in range(ROWS)]
        body = json.dumps({"dataframe_split": {"columns": told["columns"], "data": rows}})
        yield Plan(port=port, path="/invocations", body=body, seconds=0)


def environment(name: str, *wanted: str) -> Path:
    """The Python that has these packages, in a folder of that name, made where it is not there.

    Raises MissingError without uv, or where they can't be installed.
    """
    folder = KEPT / name
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        uv = which("uv", path=f"{ROOT / '.uv' / 'bin'}{os.pathsep}{os.environ['PATH']}")
        if uv is None:
            raise MissingError("uv is not there; type: make bench")
        print(f"installing {wanted[0]} into {folder.relative_to(ROOT)}", flush=True)
        _done([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
        _done([uv, "pip", "install", "--quiet", "--python", str(python), *wanted])
        (folder / "made").touch()
    return python


def autocannon(plan: Plan) -> dict[str, Any]:
    """The figures of a plan by autocannon; raises MissingError where there is no Node.js."""
    folder = KEPT / f"autocannon-{AUTOCANNON}"
    node, npm = which("node"), which("npm")
    if node is None or npm is None:
        raise MissingError("Node.js and npm are not there; on Debian or Ubuntu type: apt-get install nodejs npm")
    if not (folder / "made").exists():
        print(f"installing autocannon {AUTOCANNON} into {folder.relative_to(ROOT)}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        _done([npm, "install", "--silent", "--no-audit", "--prefix", str(folder), f"autocannon@{AUTOCANNON}"])
        (folder / "made").touch()
    command = [node, str(ROOT / "bench" / "second.cjs"), str(folder / "node_modules" / "autocannon")]
    told: dict[str, Any] = json.loads(_done(command, said=json.dumps(asdict(plan))).splitlines()[-1])
    if told["wrong"]:
        raise RuntimeError(f"{told['wrong']} of autocannon's requests were refused")
    return told


def _done(command: list[str], *, env: dict[str, str] | None = None, said: str | None = None) -> str:
    done = subprocess.run(command, env=env, input=said, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return done.stdout
