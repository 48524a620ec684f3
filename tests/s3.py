"""Enough of S3 for the store of blobs, over real HTTP: what obstore sends, signed or not, is kept in memory.

Put, get, head and delete of one object, delete of many, and lists; buckets are there when they are named.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest


class Server(ThreadingHTTPServer):
    """What is kept, by bucket/key."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_request(self, *_: object) -> None:
        """Say nothing."""

    def do_PUT(self) -> None:
        """Keep an object."""
        self.server.objects[self._key()] = self._body()
        self._say(200)

    def do_GET(self) -> None:
        """An object, or a list of a bucket."""
        asked = parse_qs(urlsplit(self.path).query)
        if "list-type" in asked:
            self._list(asked.get("prefix", [""])[0])
        elif (found := self.server.objects.get(self._key())) is None:
            self._say(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._say(200, found)

    def do_HEAD(self) -> None:
        """Whether an object is there."""
        self.do_GET()

    def do_DELETE(self) -> None:
        """Keep an object no longer."""
        self.server.objects.pop(self._key(), None)
        self._say(204)

    def do_POST(self) -> None:
        """Keep many no longer."""
        keys = [each.text or "" for each in ElementTree.fromstring(self._body()).iter() if each.tag.endswith("Key")]
        for key in keys:
            self.server.objects.pop(f"{self._key().split('/')[0]}/{key}", None)
        gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        self._say(200, f"<DeleteResult>{gone}</DeleteResult>".encode())

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _list(self, prefix: str) -> None:
        bucket = self._key().rstrip("/")
        found = {
            key.removeprefix(f"{bucket}/"): content
            for key, content in sorted(self.server.objects.items())
            if key.startswith(f"{bucket}/{prefix}")
        }
        each = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size>"
            f'<LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>"x"</ETag></Contents>'
            for key, content in found.items()
        )
        self._say(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{each}</ListBucketResult>".encode())

    def _say(self, status: int, content: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        self.send_header("Last-Modified", formatdate(usegmt=True))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def bucket(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a bucket that is there, for who reads the usual variables."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    told = {"ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "mine", "REGION": "us-east-1", "ALLOW_HTTP": "true"}
    told["ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
    for name, value in told.items():
        patch.setenv(f"AWS_{name}", value)
    try:
        yield "s3://models/foretell"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
