"""A real S3 server for the store of blobs, over real HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from moto.server import ThreadedMotoServer

KEYS = {"ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "mine"}


@contextmanager
def server(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with one bucket, `models`; its keys are in the usual variables."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells every request
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in KEYS.items():
        patch.setenv(f"AWS_{name}", value)
    try:
        httpx.put(f"http://{host}:{port}/models").raise_for_status()
        yield f"http://{host}:{port}"
        httpx.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()  # else the next server has all of it
    finally:
        running.stop()


@contextmanager
def bucket(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a place in a bucket of that server."""
    with server(patch) as address:
        yield f"s3://models/foretell?region=us-east-1&endpoint={address}"
