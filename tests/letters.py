"""A mail server and a chat over real SMTP and HTTP: what reaches them is kept; they refuse what they are told to."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

PASSWORD = "sesame"


@dataclass
class Mails:
    """A mail server on 127.0.0.1: `got` are the messages with whom they were for."""

    got: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    orders: deque[str] = field(default_factory=deque)  # what it says to the next messages instead of taking them
    strangers: set[str] = field(default_factory=set)  # whom it knows not
    port: int = 0

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:
        """Take a recipient that is known."""
        if address in self.strangers:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:
        """Take a message."""
        if self.orders:
            return self.orders.popleft()
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.got.append(([*envelope.rcpt_tos], message))
        return "250 taken"


@contextmanager
def mails(authority: trustme.CA | None = None) -> Iterator[Mails]:
    """A mail server; with an authority it has TLS (STARTTLS), and takes mail of `me` with the password alone."""
    told, more = Mails(), dict[str, Any]()
    if authority:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        more = {
            "tls_context": context, "require_starttls": True, "auth_required": True,
            "authenticator": _authenticated,
        }  # fmt: skip
    controller = _Anywhere(told, hostname="127.0.0.1", port=0, **more)
    controller.start()
    told.port = controller.port
    try:
        yield told
    finally:
        controller.stop()


def _authenticated(*given: Any) -> AuthResult:
    """Whether a password is the one; of another the server says so itself (`handled`)."""
    told = given[-1]
    return AuthResult(success=isinstance(told, LoginPassword) and told.password == PASSWORD.encode(), handled=False)


class _Anywhere(Controller):
    """A server at whichever port is free."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


class Chat(ThreadingHTTPServer):
    """An incoming webhook: `got` are the texts that came, by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Posted)
        self.got: list[tuple[str, str]] = []
        self.orders: deque[int] = deque()  # the statuses of the next answers

    @property
    def origin(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class _Posted(BaseHTTPRequestHandler):
    server: Chat

    def log_request(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Take a text."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.orders.popleft() if self.server.orders else 200
        if status == 200:
            self.server.got.append((self.path, json.loads(body)["text"]))
        answer = b"ok" if status == 200 else b"no"
        self.send_response(status)
        if status == 302:
            self.send_header("Location", f"{self.server.origin}/elsewhere")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@contextmanager
def chat() -> Iterator[Chat]:
    """A chat."""
    with Chat() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
