"""Facts over HTTP: rows in by JSON, CSV and Parquet, out again, and told twice."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx
import polars as pl
import pytest
from tests.web.conftest import PATIENCE, Running, rows, tenancy

from foretell.app import App
from foretell.domains.traffic.sample import END
from foretell.web.door import LARGEST
from foretell.web.quick import HEAVY

FACTS = "/v1/traffic/facts/metrics"
PREDICT = "/v1/traffic/load/predict"
PARQUET = "application/vnd.apache.parquet"
HOUR = timedelta(hours=1)
FIRST = datetime(2024, 6, 1, tzinfo=UTC)

Row = dict[str, Any]


@pytest.fixture
def app() -> Iterator[App]:
    """A tenant that nobody has used before, on the clocks of Riyadh."""
    with tenancy() as made:
        yield made


@pytest.fixture
def client(app: App, server: Running, token: Callable[..., str]) -> Iterator[httpx.Client]:
    """A program that brings the tenant's facts."""
    with server.client(token(app.tenant, "service")) as asking:
        yield asking


def hours(number: int, service: str = "shop", first: datetime = FIRST) -> list[Row]:
    return [
        {"time": (first + HOUR * k).isoformat(), "value": 10.125 * k, "service": service} for k in range(number)
    ]  # fmt: skip


def as_json(sent: Sequence[Row]) -> bytes:
    return json.dumps({"rows": sent}).encode()


def as_csv(sent: Sequence[Row]) -> bytes:
    return pl.DataFrame(sent).write_csv().encode()


def as_parquet(sent: Sequence[Row]) -> bytes:
    file = io.BytesIO()
    shape = {"time": pl.String, "value": pl.Float64, "service": pl.String}
    told = pl.DataFrame(sent, schema=shape).with_columns(pl.col("time").str.to_datetime(time_zone="UTC"))
    told.write_parquet(file)
    return file.getvalue()


def bring(
    client: httpx.Client, body: bytes, kind: str = "application/json", key: str | None = None, **how: str
) -> httpx.Response:
    headers = {"Content-Type": kind} | ({"Idempotency-Key": key} if key else {})
    return client.post(FACTS, content=body, headers=headers, params=how)


def taken(answer: httpx.Response) -> tuple[int, int, int, int]:
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return told["accepted"], told["revised"], told["unchanged"], told["rejected"]


def kept(client: httpx.Client, **how: str | int) -> list[Row]:
    answer = client.get(FACTS, params=how)
    assert answer.status_code == 200, answer.text
    told: list[Row] = answer.json()["rows"]
    return told


def refused(answer: httpx.Response, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (told["status"], told["code"]) == (status, code)
    return str(told["detail"])


def test_json_csv_and_parquet_come_to_the_same(client: httpx.Client) -> None:
    sent = hours(30)
    assert taken(bring(client, as_json(sent))) == (30, 0, 0, 0)
    assert taken(bring(client, as_csv(sent), "text/csv; charset=utf-8")) == (0, 0, 30, 0)
    assert taken(bring(client, as_parquet(sent), PARQUET)) == (0, 0, 30, 0)
    found = kept(client)
    assert [(each["time"], each["value"], each["service"]) for each in found] == [
        (each["time"], each["value"], "shop") for each in sent
    ]
    assert all(each["known_at"] == each["time"] for each in found)


def test_the_same_again_changes_nothing_and_a_correction_revises(client: httpx.Client) -> None:
    sent = hours(10)
    assert taken(bring(client, as_json(sent))) == (10, 0, 0, 0)
    assert taken(bring(client, as_json(sent))) == (0, 0, 10, 0)
    mended = [*sent[:9], {**sent[9], "value": 7.5}, *hours(1, "desk")]
    assert taken(bring(client, as_csv(mended), "text/csv")) == (1, 1, 9, 0)
    assert next(each["value"] for each in kept(client) if each["time"] == sent[9]["time"]) == 7.5


def test_bad_toldare_set_apart_and_counted(client: httpx.Client, app: App) -> None:
    bad: list[Row] = [
        {"time": "someday", "value": 1},
        {"time": "2024-06-02T00:00:00Z", "value": -1},
        {"time": "2999-06-02T00:00:00Z", "value": 1},
        {"time": "2024-06-02T00:00:00Z"},
        {"time": "2024-06-02T00:00:00Z", "value": "many", "service": "shop"},
        {"time": "2024-06-02T00:00:00Z", "value": 1, "service": "a\x00b"},
        {"time": "2024-06-02T00:00:00Z", "value": 1, "metadata": {"a": "\x00"}},
    ]
    answer = bring(client, as_json([*hours(3), *bad]))
    assert taken(answer) == (3, 0, 0, len(bad))
    rules = answer.json()["rules"]
    assert sum(rules.values()) == len(bad)
    assert rules["value must be ≥ 0"] == 1
    assert app.quarantine.list("traffic.metrics").height == len(bad)
    assert len(kept(client)) == 3


def test_a_column_of_many_kinds_is_read_row_by_row(client: httpx.Client) -> None:
    values = [1, 2.5, "3", None, True, {"a": 1}, 10**30, float("nan")]
    sent = [{**row, "value": value} for row, value in zip(hours(len(values)), values, strict=True)]
    accepted, _, _, rejected = taken(bring(client, as_json(sent)))
    assert accepted + rejected == len(values)
    assert [each["value"] for each in kept(client)][:3] == [1.0, 2.5, 3.0]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b""),
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b'{"rows":{}}'),
        ("application/json", b'{"rows":[1]}'),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"rows":[{"time":1,"value":' + b"9" * 5000 + b"}]}"),
        ("text/csv", b""),
        ("text/csv", b'time,value\n"2024-06-01,1\n'),
        ("text/csv", b"time,value,value\n1,2,3\n"),
        ("text/csv", b"\x1f\x8b\x08\x00not gzip"),
        (PARQUET, b""),
        (PARQUET, b"PAR1PAR1"),
        (PARQUET, b"time,value\n2024-06-01,1\n"),
        (PARQUET, as_parquet(hours(3))[:-10]),
        ("application/json", b'{"rows":[{"time":"2024-06-01T00:00:00Z","value":1,"service":"\\ud800"}]}'),
        ("application/json", b'{"rows":[{"time":"2024-06-01T00:00:00Z","value":1,"\\ud800":1}]}'),
        ("application/json", b'{"rows":[{"time":"\xed\xa0\x80","value":1}]}'),
        ("text/csv", ",".join(f"c{k}" for k in range(5000)).encode() + b"\n"),
        ("text/plain", b"time,value\n"),
        ("multipart/form-data", b"x"),
    ],
)
def test_what_is_no_toldis_refused_with_words(client: httpx.Client, kind: str, body: bytes) -> None:
    assert refused(bring(client, body, kind), 422, "InvalidRequest")
    assert kept(client) == []


def test_a_kind_of_body_that_is_not_known_is_answered_with_those_that_are(client: httpx.Client) -> None:
    assert "text/csv" in refused(bring(client, as_csv(hours(1)), "text/html"), 422, "InvalidRequest")
    answer = client.post(FACTS, content=as_json(hours(1)))
    assert PARQUET in refused(answer, 422, "InvalidRequest")


def test_no_toldare_taken_as_none(client: httpx.Client) -> None:
    for kind, body in (
        ("application/json", b'{"rows":[]}'), ("text/csv", b"time,value\n"), (PARQUET, as_parquet([])),
    ):  # fmt: skip
        assert taken(bring(client, body, kind)) == (0, 0, 0, 0)


def test_times_beyond_all_years_are_set_apart(client: httpx.Client) -> None:
    def far(unit: Literal["us", "ms"]) -> bytes:
        file = io.BytesIO()
        times = pl.Series([2**62, -(2**62)]).cast(pl.Datetime(unit, "UTC"))
        pl.DataFrame({"time": times, "value": [1.0, 2.0]}).write_parquet(file)
        return file.getvalue()

    assert taken(bring(client, far("us"), PARQUET)) == (0, 0, 0, 2)
    assert bring(client, far("ms"), PARQUET).status_code in (200, 422)
    assert kept(client) == []


def test_clock_times_are_the_tenants_or_of_the_zone_that_is_given(client: httpx.Client) -> None:
    clock = b"time,value\n2024-06-01 12:00,1\n"
    assert taken(bring(client, clock, "text/csv")) == (1, 0, 0, 0)
    assert kept(client)[0]["time"] == "2024-06-01T09:00:00+00:00"
    assert taken(bring(client, clock, "text/csv", zone="America/New_York")) == (1, 0, 0, 0)
    assert kept(client)[1]["time"] == "2024-06-01T16:00:00+00:00"


@pytest.mark.parametrize("zone", ["Mars", "Europe", "../etc/passwd", "\x00", "é", "x" * 101])
def test_a_zone_that_is_none_is_refused(client: httpx.Client, zone: str) -> None:
    assert refused(bring(client, as_json(hours(1)), zone=zone), 422, "InvalidRequest")


def test_a_value_is_known_at_the_end_of_its_interval(client: httpx.Client) -> None:
    assert taken(bring(client, as_json(hours(2)), interval="1h")) == (2, 0, 0, 0)
    assert [each["known_at"] for each in kept(client)] == [
        (FIRST + HOUR * k).isoformat() for k in (1, 2)
    ]  # fmt: skip
    assert taken(bring(client, as_json(hours(1, "desk")), interval="15m")) == (1, 0, 0, 0)
    assert {each["known_at"] for each in kept(client)} >= {(FIRST + HOUR / 4).isoformat()}


@pytest.mark.parametrize("interval", ["", "0h", "-1h", "1", "99999999999d", "9" * 19 + "h", "\x00", "٣h"])
def test_an_interval_that_is_none_is_refused(client: httpx.Client, interval: str) -> None:
    assert "15m, 1h, 1d" in refused(bring(client, as_json(hours(1)), interval=interval), 422, "InvalidRequest")


def test_other_names_are_mapped(client: httpx.Client) -> None:
    sent = b"when,cpu,mem\n2024-06-01T00:00:00Z,1,2\n"
    refused(bring(client, sent, "text/csv"), 422, "InvalidRequest")
    assert taken(bring(client, sent, "text/csv", map="time=when,value=mem")) == (1, 0, 0, 0)
    assert kept(client)[0]["value"] == 2.0


def test_what_columns_were_taken_for_is_told(client: httpx.Client) -> None:
    rows = [{"zeit": "2024-06-01T00:00:00Z", "rpm": 5.0, "dienst": "api"}]
    answer = client.post(FACTS, json={"rows": rows})
    assert answer.status_code == 200
    notes = " ".join(answer.json()["notes"])
    assert "time was read from zeit" in notes
    assert "value was read from rpm" in notes
    assert "not used: dienst" in notes


def test_more_toldthan_a_request_takes_are_refused_with_the_line_to_type(client: httpx.Client, app: App) -> None:
    line = f"foretell import traffic.metrics FILE --tenant {app.tenant}"
    lines = "".join(f"{FIRST + timedelta(seconds=k):%Y-%m-%dT%H:%M:%SZ},{k}\n" for k in range(100_001))
    assert line in refused(bring(client, b"time,value\n" + lines.encode(), "text/csv"), 413, "TooLarge")
    many = b'{"rows":[' + b"{}," * 100_000 + b"{}]}"
    assert line in refused(bring(client, many), 413, "TooLarge")
    assert kept(client) == []


def resident(pid: int) -> int:
    """Bytes of memory that a process has held at most."""
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123 - no file of ours
        (peak,) = (line for line in file if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


def test_a_body_without_end_is_refused_before_it_fills_the_memory(client: httpx.Client, server: Running) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 10 * LARGEST:
            sent += 1_000_000
            yield b" " * 1_000_000

    before = resident(server.process.pid)
    try:
        answer = client.post(FACTS, content=endless(), headers={"Content-Type": "text/csv"})
    except httpx.WriteError:
        pass  # the server has said what it had to say and hung up
    else:
        assert "foretell import" in refused(answer, 413, "TooLarge")
    assert resident(server.process.pid) - before < 3 * LARGEST
    assert kept(client) == []


def test_a_body_that_says_that_it_is_too_large_is_not_waited_for(
    server: Running, app: App, token: Callable[..., str]
) -> None:
    there = httpx.URL(server.url)
    lines = (
        f"POST {FACTS} HTTP/1.1", f"Host: {there.host}", f"Authorization: Bearer {token(app.tenant)}",
        "Content-Type: text/csv", f"Content-Length: {LARGEST + 1}", "", "",
    )  # fmt: skip
    with socket.create_connection((there.host, there.port or 80), timeout=PATIENCE) as caller:
        caller.sendall("\r\n".join(lines).encode())
        assert caller.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_small_file_of_much_is_not_unpacked(client: httpx.Client, server: Running) -> None:
    few = pl.DataFrame({"time": [FIRST], "value": [1.0], "service": ["x" * 20_000]})
    file = io.BytesIO()
    pl.concat([few] * 100_000).write_parquet(file)
    before = resident(server.process.pid)
    assert len(file.getvalue()) < HEAVY
    assert refused(bring(client, file.getvalue(), PARQUET), 413, "TooLarge")
    assert resident(server.process.pid) - before < LARGEST


def test_a_body_that_is_read_elsewhere_comes_to_the_same(client: httpx.Client, app: App) -> None:
    sent = hours(3000)
    body = as_json([*sent, {"time": "someday", "value": 1, "service": "shop"}])
    assert len(body) > HEAVY
    assert taken(bring(client, body)) == (3000, 0, 0, 1)
    assert taken(bring(client, as_parquet(sent), PARQUET)) == (0, 0, 3000, 0)
    assert app.quarantine.list("traffic.metrics").height == 1
    assert "JSON" in refused(bring(client, b"[" * (HEAVY + 1)), 422, "InvalidRequest")
    assert refused(bring(client, body, zone="Mars"), 422, "InvalidRequest")
    assert len(kept(client)) == 3000


@pytest.mark.parametrize("number", [5, 3000])
def test_a_request_with_a_key_is_answered_as_the_first_time(client: httpx.Client, number: int) -> None:
    sent = as_json([*hours(number), {"time": "someday", "value": 1, "service": "shop"}])
    first = bring(client, sent, key="a")
    assert taken(first) == (number, 0, 0, 1)
    assert bring(client, sent, key="a").json() == first.json()
    assert taken(bring(client, sent, key="b")) == (0, 0, number, 1)


def test_a_key_is_of_one_request(client: httpx.Client) -> None:
    sent = as_json(hours(5))
    bring(client, sent, key="a")
    assert "idempotency key" in refused(bring(client, as_json(hours(6)), key="a"), 409, "Refused")
    refused(bring(client, sent, key="a", interval="1h"), 409, "Refused")
    refused(bring(client, as_csv(hours(5)), "text/csv", key="a"), 409, "Refused")
    refused(bring(client, sent, key="x" * 201), 422, "InvalidRequest")
    assert len(kept(client)) == 5


def test_a_key_is_of_one_tenant(client: httpx.Client, server: Running, token: Callable[..., str]) -> None:
    bring(client, as_json(hours(5)), key="a")
    with tenancy() as other, server.client(token(other.tenant)) as asking:
        assert kept(asking) == []
        assert taken(bring(asking, as_json(hours(6)), key="a")) == (6, 0, 0, 0)
    assert len(kept(client)) == 5


def test_a_request_that_failed_leaves_its_key_free(client: httpx.Client) -> None:
    refused(bring(client, b"{", key="a"), 422, "InvalidRequest")
    assert taken(bring(client, as_json(hours(5)), key="a")) == (5, 0, 0, 0)


@pytest.mark.parametrize("number", [5, 3000])
def test_the_same_at_once_is_taken_once(client: httpx.Client, number: int) -> None:
    sent = as_json(hours(number))
    with ThreadPoolExecutor(8) as at_once:
        answers = [*at_once.map(lambda _: bring(client, sent, key="a"), range(8))]
    assert {taken(each) for each in answers} == {(number, 0, 0, 0)}
    assert len(kept(client)) == number


def test_facts_are_cut_by_time_by_knowledge_and_by_number(client: httpx.Client) -> None:
    taken(bring(client, as_json(hours(24)), interval="1h"))

    def found(**how: str | int) -> list[int]:
        return [datetime.fromisoformat(each["time"]).hour for each in kept(client, **how)]

    assert found() == [*range(24)]
    assert found(since="2024-06-01T03:00:00Z", until="2024-06-01T06:00:00Z") == [3, 4, 5]
    assert found(since="2024-06-01T06:00:00+03:00", limit=2) == [3, 4]
    assert found(as_of="2024-06-01T02:30:00Z") == [0, 1]
    assert found(as_of="latest") == [*range(24)]
    assert found(as_of="latest", since="2024-06-01T22:00:00Z") == [22, 23]
    assert found(until="0001-01-01T00:00:00+14:00") == found(since="9999-12-31T23:59:59-14:00") == []


@pytest.mark.parametrize(
    "how",
    [
        {"limit": 0}, {"limit": 100_001}, {"limit": "x"}, {"since": "2024-06-01T00:00:00"}, {"until": "someday"},
        {"as_of": "LATEST"}, {"as_of": "9999-12-31T23:59:59Z"},
    ],
)  # fmt: skip
def test_a_cut_that_is_none_is_refused(client: httpx.Client, how: dict[str, str | int]) -> None:
    assert refused(client.get(FACTS, params=how), 422, "InvalidRequest")


def test_only_who_may_brings_and_reads(app: App, server: Running, token: Callable[..., str]) -> None:
    for role, may_bring, may_read in (
        ("admin", 200, 200), ("service", 200, 200), ("user", 403, 200), ("operator", 403, 403),
    ):  # fmt: skip
        with server.client(token(app.tenant, role)) as asking:
            assert bring(asking, as_json(hours(1))).status_code == may_bring
            assert asking.get(FACTS).status_code == may_read
    with server.client() as nobody:
        assert bring(nobody, as_json(hours(1))).status_code == nobody.get(FACTS).status_code == 401


def test_after_new_facts_a_prediction_is_made_anew(client: httpx.Client, app: App) -> None:
    app.import_("traffic.metrics", rows().tail(24 * 21))

    def predicted() -> Row:
        answer = client.post(PREDICT, params={"as_of": END.isoformat()}, json={"service": "donations"})
        assert answer.status_code == 200, answer.text
        told: Row = answer.json()
        return told

    first, second = predicted(), predicted()
    assert (first["foretell"]["cached"], second["foretell"]["cached"]) == (False, True)
    newest = {"time": (END - HOUR).isoformat(), "value": 987.0, "service": "donations", "known_at": END.isoformat()}
    assert taken(bring(client, as_json([newest]))) == (0, 1, 0, 0)
    third = predicted()
    assert (third["foretell"]["cached"], third["answer"]["current"]) == (False, 987.0)
    assert taken(bring(client, as_json([newest]))) == (0, 0, 1, 0)
    assert predicted()["foretell"]["cached"]
