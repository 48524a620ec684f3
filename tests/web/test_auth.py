"""Nobody comes in without a good token, and nobody does more than their role may, nor as anybody else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount
from tests.web.conftest import Running, rows, tenancy

from foretell.app.tokens import Keys
from foretell.settings import ForetellSettings
from foretell.web.server import create

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OPEN = {("GET", "/health"), ("GET", "/ready")}
AT_HOME = {("GET", "/docs"), ("GET", "/api/ml/docs"), ("GET", "/openapi.json")}
FROM_AFAR = {"X-Forwarded-For": "203.0.113.7"}
NUMBER = "00000000-0000-0000-0000-000000000000"

LOAD = "/v1/traffic/load"
ADMIN, BRINGS, READS, OPERATES = {"admin"}, {"admin", "service"}, {"admin", "service", "user"}, {"operator"}
PEOPLE = {"admin", "user"}
TASKS = (
    LOAD, *(f"/v1/inventory/{task}" for task in ("demand", "stockout")),
    *(f"/v1/agile/{task}" for task in ("effort", "points", "assignment", "duration", "delivery")),
    *(f"/v1/energy/{task}" for task in ("solar", "wind")),
    *(f"/v1/realestate/{task}" for task in ("move", "transaction_type", "contact", "market", "value")),
)  # fmt: skip
REPORTS = (
    *(f"/v1/agile/{report}" for report in ("sprint_risk", "project_summary", "anomalies", "scale")), "/v1/energy/watch",
)  # fmt: skip
ML = "/api/v1/ml"
SLASHED = {
    f"{ML}/predict-effort": "POST", f"{ML}/recommend-story-points": "POST", f"{ML}/suggest-assignment": "POST",
    f"{ML}/estimate-sprint-duration": "POST",
    f"{ML}/{{sprint_id:path}}/sprint-risk": "GET", f"{ML}/{{project_id:path}}/project-summary": "GET",
}  # fmt: skip
REPLAYED = (LOAD, "/v1/inventory/stockout")
FOR_EACH = (
    "/v1/inventory/demand", "/v1/inventory/stockout", "/v1/energy/solar", "/v1/energy/wind",
    *(f"/v1/realestate/{task}" for task in ("move", "transaction_type", "contact", "market", "value")),
)  # fmt: skip
OF_HOMES = {
    "move-probability": "move_probability", "transaction-type": "transaction_type", "contact-timing": "contact_timing",
    "property-value": "property_value",
}  # fmt: skip
AT = "2024-01-01T00:00:00Z"
ROWS: dict[str, dict[str, Any]] = {
    "/v1/traffic/facts/metrics": {"time": AT, "value": 1.0},
    "/v1/inventory/facts/movements": {"product": "a", "time": AT, "quantity": 1.0},
    "/v1/inventory/facts/products": {"product": "a", "time": AT, "price": 1.0},
    "/v1/inventory/facts/promotions": {"product": "a", "time": AT, "until": "2024-01-02T00:00:00Z"},
    "/v1/inventory/facts/stock_levels": {"product": "a", "time": AT, "on_hand": 1.0},
    "/v1/inventory/facts/incoming": {"product": "a", "order": "1", "time": AT, "quantity": 1.0, "known_at": AT},
    "/v1/inventory/facts/lead_times": {"product": "a", "time": AT, "days": 3.0},
    "/v1/agile/facts/workspaces": {"workspace": "w", "time": AT},
    "/v1/agile/facts/projects": {"project": "p", "time": AT},
    "/v1/agile/facts/members": {"project": "p", "person": "a", "time": AT},
    "/v1/agile/facts/sprints": {
        "sprint": "s",
        "project": "p",
        "time": AT,
        "starts": AT,
        "ends": "2024-01-09T00:00:00Z",
    },
    "/v1/agile/facts/issues": {"issue": "i", "project": "p", "time": AT, "title": "Fix it"},
    "/v1/agile/facts/status_changes": {"issue": "i", "project": "p", "time": AT, "category": "done"},
    "/v1/agile/facts/assignments": {"issue": "i", "project": "p", "time": AT, "person": "a"},
    "/v1/energy/facts/plants": {
        "plant": "a",
        "since": AT,
        "kind": "solar",
        "latitude": 0.0,
        "longitude": 0.0,
        "capacity_kw": 1.0,
    },
    "/v1/energy/facts/readings": {"plant": "a", "time": AT, "output_kw": 1.0},
    "/v1/energy/facts/observed": {"plant": "a", "time": AT, "provider": "b"},
    "/v1/energy/facts/forecasts": {"plant": "a", "time": AT, "provider": "b", "issued_at": AT},
    "/v1/agile/facts/worklogs": {"issue": "i", "project": "p", "time": AT, "hours": 1.0},
}
PERSON = {"person": "a", "time": AT}
OF_MOVE = {"entity_id": "a", "prediction_type": "MOVE_PROBABILITY"}
ROWS |= {
    **{f"/v1/realestate/facts/{table}": PERSON for table in ("people", "sessions", "searches", "contacts")},
    "/v1/realestate/facts/homes": {**PERSON, "property": "h"},
    "/v1/realestate/facts/properties": {"property": "h", "time": AT},
    "/v1/realestate/facts/documents": {**PERSON, "document": "d"},
    "/v1/realestate/facts/accesses": {**PERSON, "document": "d"},
    "/v1/realestate/facts/emails": {**PERSON, "email": "e"},
    "/v1/realestate/facts/alerts": {**PERSON, "alert": "e"},
    "/v1/realestate/facts/transactions": {"transaction": "t", "time": AT, "kind": "BUY"},
    "/v1/realestate/facts/agents": {"agent": "b", "time": AT},
    "/v1/realestate/facts/markets": {"area": "c", "time": AT, "index": 1.0, "known_at": AT},
}
NEW = {"project": "p", "title": "Fix it"}
DOCUMENTED = {"title": "Fix it", "issue_type": "bug", "project_id": "p", "issue_id": "i", "sprint_id": "s"}
OF_ISSUES = [f"{path}{slash}" for path, method in SLASHED.items() if method == "POST" for slash in ("", "/")]
REPORTED = [f"{path}/report" for path in REPORTS]
JIRA = {"issues": [{"key": "P-1", "fields": {"project": {"key": "P"}, "created": AT}}]}
OF_A_TASK = {
    ("POST", "predict"): READS,
    ("GET", "features"): READS,
    ("POST", "features"): READS,
    ("GET", "importance"): ADMIN,
    ("GET", "training-set"): ADMIN,
    ("GET", "models"): READS,
    ("GET", "models/{version}"): READS,
    ("GET", "predictions"): READS,
    ("POST", "train"): ADMIN,
    ("POST", "backtest"): ADMIN,
    ("POST", "models/{version}/promote"): ADMIN,
    ("POST", "models/{version}/pin"): ADMIN,
    ("POST", "unpin"): ADMIN,
    ("POST", "rollback"): ADMIN,
}
OF_A_DOMAIN = {
    ("POST", "predict"): READS,
    ("GET", "settings"): READS,
    ("GET", "settings/history"): READS,
    ("PATCH", "settings"): ADMIN,
}
MAY = {
    ("GET", "/metrics"): OPERATES,
    ("GET", "/v1"): READS,
    ("GET", "/v1/review"): READS,
    ("GET", "/v1/realestate/move/parity"): ADMIN,
    ("POST", "/v1/predictions/{prediction_id}/feedback"): READS,
    ("GET", "/v1/models/cache"): ADMIN,
    ("GET", "/v1/jobs"): ADMIN,
    ("POST", "/v1/jobs"): ADMIN,
    ("GET", "/v1/jobs/{job_id}"): ADMIN,
    ("POST", "/v1/jobs/{job_id}/cancel"): ADMIN,
    ("GET", "/v1/schedule"): ADMIN,
    ("GET", "/v1/notices"): ADMIN,
    ("POST", "/v1/notices/trial"): ADMIN,
    ("GET", "/v1/imports"): ADMIN,
    ("POST", "/v1/imports/{import_id}/undo"): ADMIN,
    ("PATCH", "/v1/schedule/{name}"): ADMIN,
    ("DELETE", "/v1/models/cache"): ADMIN,
    ("POST", "/v1/models/cache/preload"): ADMIN,
    ("GET", "/v1/settings"): READS,
    ("GET", "/v1/settings/history"): READS,
    ("PATCH", "/v1/settings"): ADMIN,
    ("GET", "/v1/recommendations"): READS,
    ("GET", "/v1/recommendations/{recommendation_id}"): READS,
    ("POST", "/v1/recommendations/{recommendation_id}/approve"): PEOPLE,
    ("POST", "/v1/recommendations/{recommendation_id}/reject"): PEOPLE,
    ("POST", "/api/ml/predict"): READS,
    ("POST", "/api/ml/train"): ADMIN,
    ("POST", "/forecast/demand"): READS,
    ("POST", "/predict/stockout"): READS,
    **{(method, f"{path}{slash}"): READS for path, method in SLASHED.items() for slash in ("", "/")},
    **{("POST", f"{ML}/{{project_id:path}}/project-summary{slash}"): READS for slash in ("", "/")},
    **{("POST", f"{path}/report"): READS for path in REPORTS},
    ("GET", "/v1/agile/anomalies/findings"): READS,
    ("GET", "/v1/energy/watch/findings"): READS,
    ("POST", "/v1/energy/watch/detect"): READS,
    ("GET", "/v1/energy/sources"): READS,
    ("POST", "/v1/energy/collect"): BRINGS,
    ("GET", "/api/v1/predict/solar"): READS,
    ("GET", "/api/v1/predict/wind"): READS,
    ("POST", "/v1/agile/anomalies/detect"): READS,
    **{("POST", f"{home}/v1/predict/{path}"): READS for home in ("", "/api/ml") for path in (*OF_HOMES, "batch")},
    **{
        ("GET", f"{home}/v1/models/{name}_model/health"): READS
        for home in ("", "/api/ml")
        for name in OF_HOMES.values()
    },
    **{
        (method, f"/v1/{domain}/people/{{person:path}}"): ADMIN
        for domain in ("agile", "realestate")
        for method in ("GET", "DELETE")
    },
    ("POST", "/v1/agile/import/jira"): BRINGS,
    ("POST", "/v1/agile/import/github"): BRINGS,
    **{("GET", path): READS for path in ROWS},
    **{("POST", path): BRINGS for path in ROWS},
    **{("POST", f"{path}/replay"): PEOPLE for path in REPLAYED},
    **{("POST", f"{path}/predictions"): READS for path in FOR_EACH},
    **{(method, f"{path}/{rest}"): who for path in TASKS for (method, rest), who in OF_A_TASK.items()},
    **{
        (method, f"/v1/{domain}/{rest}"): who
        for domain in ("traffic", "inventory", "agile", "energy", "realestate")
        for (method, rest), who in OF_A_DOMAIN.items()
    },
}
"""Which roles may do what; a path that is not here is one that nobody has thought about."""

Claims = dict[str, Any]


def paths(routes: list[BaseRoute], before: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every path with its methods, those of routers and mounted apps included."""
    for each in iter_route_contexts(routes):
        path = before + (each.path or "")
        if isinstance(each.original_route, Mount):
            yield from paths([*each.original_route.routes], path)
        else:
            yield path, set(getattr(each.original_route, "methods", None) or METHODS)


def routes() -> list[tuple[str, str]]:
    """Every method and path that there is."""
    return [(method, path) for path, methods in paths(create().routes) for method in sorted(methods)]


def filled(path: str) -> str:
    """The path of somebody's thing."""
    path = path.replace("{prediction_id}", NUMBER).replace("{recommendation_id}", NUMBER)
    path = (
        path.replace("{person:path}", "nobody")
        .replace("{sprint_id:path}", "nowhere")
        .replace("{project_id:path}", "nowhere")
    )
    path = (
        path.replace("{job_id}", NUMBER).replace("{import_id}", NUMBER).replace("/schedule/{name}", "/schedule/clean")
    )
    return path.replace("{version}", "20260101T000000-00000000")


@pytest.fixture(scope="module")
def empty(home: Path) -> Iterator[str]:
    """A tenant with a few facts and nothing else."""
    with tenancy() as made:
        made.import_("traffic.metrics", rows().tail(3))
        yield made.tenant


def test_every_path_is_open_or_has_its_roles() -> None:
    assert {*routes()} == {*MAY} | OPEN | AT_HOME


# ---------------------------------------------------------------- without a token

BODIES: list[dict[str, Any]] = [
    {},
    {"json": {}},
    {"content": b"{", "headers": {"content-type": "application/json"}},
    {"content": b"\xff\x00", "headers": {"content-type": "text/csv"}},
    {"params": {"as_of": "garbage", "limit": "x"}},
]


@pytest.mark.parametrize("body", BODIES, ids=["nothing", "empty", "broken", "binary", "query"])
def test_the_anonymous_gets_in_nowhere(server: Running, body: dict[str, Any]) -> None:
    known = {*routes()} - OPEN
    with server.client() as client:
        client.headers.update(FROM_AFAR)
        for path in {path for _, path in known}:
            for method in METHODS:
                told = client.request(method, filled(path), **body)
                expected = {401} if (method, path) in known else {404, 405, 401}
                assert told.status_code in expected or (method, path) in OPEN, f"{method} {path}: {told.status_code}"


def test_health_and_readiness_are_open_to_all(server: Running) -> None:
    with server.client() as client:
        assert [client.get(path, headers=FROM_AFAR).status_code for _, path in sorted(OPEN)] == [200, 200]


def test_a_body_without_a_token_is_not_read(server: Running) -> None:
    """Only its beginning is sent: the answer comes all the same."""
    url = httpx.URL(server.url)
    lines = f"POST {LOAD}/predict HTTP/1.1", f"Host: {url.host}", "Content-Length: 9999999999", "", '{"service": "'
    with socket.create_connection((url.host, url.port), timeout=10) as line:
        line.sendall("\r\n".join(lines).encode())
        assert line.recv(100).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("path", ["/api/ml/predict", f"{LOAD}/predict", "/v1/traffic/predict"])
def test_a_body_that_is_too_large_is_not_read_to_its_end(
    server: Running, token: Callable[..., str], empty: str, path: str
) -> None:
    """Said to be so beforehand, or found to be so on the way."""
    chunk = b"x" * 100_000
    with server.client(token(empty, "user")) as client:
        for content in (chunk * 90, iter([chunk] * 90)):
            told = client.post(path, content=content, headers={"content-type": "application/json"})
            assert told.status_code == 413
            assert "bytes at most" in told.json()["detail"]


TRICKS = [
    "//v1", "/v1/", "/health/../v1", "/health%2f..%2fv1", "/%76%31", "/V1", "/health;/../v1", "http://health/v1",
    "/v1%00", "/health/%2e%2e/v1",
]  # fmt: skip


@pytest.mark.parametrize("path", TRICKS)
def test_no_way_of_writing_a_path_opens_it(server: Running, path: str) -> None:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=10) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert line.recv(12).split()[1] in (b"401", b"404", b"307", b"400")


@pytest.mark.row("R13")
@pytest.mark.parametrize("said", ["", "Bearer", "Basic YTpi", "Token x", "Bearer x", "Bearer a.b.c", "é"])
def test_what_is_no_token_opens_nothing(server: Running, said: str) -> None:
    with server.client() as client:
        for path in ("/v1", "/metrics", f"{LOAD}/models"):
            told = client.get(path, headers={b"Authorization": said.encode("latin-1")})
            assert told.status_code == 401
            assert told.headers["WWW-Authenticate"] == "Bearer"
            assert told.json()["code"] == "Unauthorized"


def test_another_way_of_saying_who_asks_is_named(server: Running) -> None:
    with server.client() as client:
        for said, words in (
            ("Basic YTpi", "Basic is not taken here; send Authorization: Bearer <token>"),
            ("", "no token came with the request; send Authorization: Bearer <token>"),
            ("s3cret", "no token came with the request; send"),  # nothing of what may be one is told
        ):
            told = client.get("/v1", headers={"Authorization": said}).json()["detail"]
            assert told.startswith(words)


# ---------------------------------------------------------------- with a bad token


def secret() -> str:
    return Keys.of(ForetellSettings()).secrets[0]


def claims(tenant: str, /, **other: Any) -> Claims:
    """Those of a good token, save `other`; None leaves one out."""
    told = {
        "sub": "eve", "tenant": tenant, "role": "admin", "iss": "foretell", "aud": "foretell",
        "exp": int(time.time()) + 600,
    }  # fmt: skip
    return {name: value for name, value in (told | other).items() if value is not None}


def signed(told: Claims, **header: Any) -> str:
    """A token signed with the right secret, whatever it says."""
    parts = [json.dumps(each).encode() for each in ({"alg": "HS256", "typ": "JWT", **header}, told)]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mark = hmac.digest(secret().encode(), text, hashlib.sha256)
    return b".".join([text, base64.urlsafe_b64encode(mark).rstrip(b"=")]).decode()


def tampered(told: Claims) -> str:
    """An admin's claims under the signature of a user's token."""
    head, _, mark = signed(told | {"role": "user"}).split(".")
    return f"{head}.{signed(told).split('.')[1]}.{mark}"


FORGED: Mapping[str, Callable[[Claims], str]] = {
    "other secret": lambda told: jwt.encode(told, "x" * 64, algorithm="HS256"),
    "empty secret": lambda told: signed(told).rsplit(".", 1)[0] + "." + base64.urlsafe_b64encode(b"").decode(),
    "alg none": lambda told: jwt.encode(told, None, algorithm="none"),  # type: ignore[arg-type] # a library with RSA wants a key
    "alg none, signed": lambda told: signed(told, alg="none"),
    "alg nOnE": lambda told: signed(told, alg="nOnE"),
    "HS512": lambda told: jwt.encode(told, secret(), algorithm="HS512"),
    "RS256 confusion": lambda told: signed(told, alg="RS256"),
    "no alg": lambda told: signed(told, alg=None),
    "crit": lambda told: signed(told, crit=["exp"]),
    "key in the header": lambda told: jwt.encode(
        told, "x" * 64, algorithm="HS256", headers={"jwk": {"kty": "oct", "k": "eHg"}, "kid": "../../dev/null"}
    ),
    "unsigned": lambda told: signed(told).rsplit(".", 1)[0] + ".",
    "tampered": tampered,
    "cut": lambda told: signed(told)[:-2],
}


@pytest.mark.row("R13")
@pytest.mark.parametrize("how", FORGED)
def test_a_forged_token_opens_nothing(server: Running, empty: str, how: str) -> None:
    assert refusals(server, FORGED[how](claims(empty))) == [401, 401, 401]


def refusals(server: Running, token: str) -> list[int]:
    """What our own paths, the documented ones and the operators' say to it."""
    with server.client(token) as client:
        asked = client.get(f"{LOAD}/models"), client.post("/api/ml/train", json={}), client.get("/metrics")
    return [told.status_code for told in asked]


NOT_GOOD: Mapping[str, Claims] = {
    "expired": {"exp": 1_700_000_000}, "no end": {"exp": None}, "odd end": {"exp": "tomorrow"},
    "not yet": {"nbf": 4_000_000_000}, "other issuer": {"iss": "somebody"}, "no issuer": {"iss": None},
    "odd issuer": {"iss": ["foretell"]}, "other audience": {"aud": "somebody"}, "no audience": {"aud": None},
    "no user": {"sub": None}, "blank user": {"sub": " "}, "odd user": {"sub": 7}, "no tenant": {"tenant": None},
    "no role": {"role": None}, "other role": {"role": "root"}, "roles": {"role": ["admin"]},
    "other case": {"role": "Admin"},
}  # fmt: skip
ODD = ["", "NGO", "a\0b", "\0", "../up", "ngo abc", "ngo\n", "%", "x" * 64, "ñgo", 7, ["ngo"], {"a": "b"}, True]


@pytest.mark.parametrize("what", NOT_GOOD)
def test_a_token_with_bad_claims_opens_nothing(server: Running, empty: str, what: str) -> None:
    assert refusals(server, signed(claims(empty, **NOT_GOOD[what]))) == [401, 401, 401]


@pytest.mark.parametrize("name", ODD, ids=repr)
def test_a_token_of_what_can_not_be_a_tenant_opens_nothing(server: Running, name: Any) -> None:
    assert refusals(server, signed(claims("ngo", tenant=name))) == [401, 401, 401]


def test_the_forger_would_have_got_in_with_good_claims(server: Running, empty: str) -> None:
    with server.client(signed(claims(empty))) as client:
        assert client.get(f"{LOAD}/models").status_code == 200


def test_a_token_of_an_unknown_tenant_finds_nothing(server: Running) -> None:
    with server.client(signed(claims("ngo-nobody"))) as client:
        for method, path in MAY:
            if path != "/metrics":
                told = client.request(method, filled(path), **harmless(path, known=False))
                assert told.status_code == 404, f"{method} {path}: {told.text}"
                assert "ngo-nobody" in told.json()["detail"]


# ---------------------------------------------------------------- roles


def harmless(path: str, *, known: bool = True) -> dict[str, Any]:
    """A request that changes nothing of a tenant without models; a good one where the tenant is not `known`."""
    documented = {"service_name": "a", "current_replicas": 1, "capacity_per_pod": 1.0}
    good = {
        "/v1/predictions/{prediction_id}/feedback": {"helpful": True},
        "/v1/traffic/predict": {"requests": [{"task": "load", "request": {}}]},
        "/v1/inventory/predict": {"requests": [{"task": "demand", "request": {"product": "a"}}]},
        "/api/ml/predict": documented,
        "/forecast/demand": {"product_id": "a"},
        "/predict/stockout": {"product_id": "a", "current_stock_units": 1},
        "/v1/agile/predict": {"requests": [{"task": "points", "request": NEW}]},
        **{f"/v1/agile/{task}/predict": NEW for task in ("effort", "points")},
        "/v1/agile/assignment/predict": {"issue": "i"},
        **{f"/v1/agile/{task}/predict": {"sprint": "s"} for task in ("duration", "delivery")},
        **{path: {"project": "p"} for path in (*REPORTED, "/v1/agile/anomalies/detect")},
        "/v1/agile/sprint_risk/report": {"sprint": "s"},
        **{f"/v1/energy/watch/{verb}": {"plant": "a"} for verb in ("report", "detect")},
        "/v1/energy/predict": {"requests": [{"task": "solar", "request": {}}]},
        "/v1/realestate/predict": {"requests": [{"task": "move", "request": {"person": "a"}}]},
        **{f"/v1/realestate/{task}/predict": {"person": "a"} for task in ("move", "transaction_type", "contact")},
        "/v1/realestate/market/predict": {"area": "c"},
        "/v1/realestate/value/predict": {"property": "h"},
        **{f"{home}/v1/predict/{path}": {"entity_id": "a"} for home in ("", "/api/ml") for path in OF_HOMES},
        **{f"{home}/v1/predict/batch": {"requests": [OF_MOVE]} for home in ("", "/api/ml")},
        "/v1/jobs": {"kind": "clean"},
        "/v1/schedule/{name}": {"enabled": False},
        "/v1/agile/import/jira": JIRA,
        "/v1/agile/import/github": [{"number": 1, "title": "x", "created_at": AT, "html_url": "https://x.example/a/b"}],
        **dict.fromkeys(OF_ISSUES, DOCUMENTED),
        "/v1/inventory/demand/predict": {"product": "a"},
        "/v1/inventory/stockout/predict": {"product": "a", "current_stock_units": 1},
        "/v1/inventory/stockout/predictions": {"current_stock_units": 1},
        **{path: {"rows": [row]} for path, row in ROWS.items()},
    }
    if path.endswith("/settings"):
        told = {"/v1/settings": {"zone": "Asia/Riyadh"}, "/v1/inventory/settings": {"minimum_days": 40}}
        told |= {"/v1/agile/settings": {"stale_days": 40}, "/v1/energy/settings": {"nearby_km": 9}}
        told |= {"/v1/realestate/settings": {"move_days": 90}}
        return {"json": {} if known else told.get(path, {"country": "TR"})}
    if path.endswith("/parity"):
        return {"params": {"by": "area"}}
    if path.startswith("/api/v1/predict/"):
        return {"params": {"location_lat": 0, "location_lng": 0}}
    if known and path in ("/v1/jobs", "/v1/schedule/{name}"):
        return {"json": {}}
    if known and path.endswith(("train", "backtest", *ROWS)):
        return {"json": {"budget": -1, "days_history": -1}}
    return {"json": good.get(path.replace("/features", "/predict"), {})}


@pytest.mark.parametrize("role", ["admin", "service", "user", "operator"])
def test_each_role_may_do_what_the_docs_say_and_no_more(
    server: Running, token: Callable[..., str], empty: str, role: str
) -> None:
    with server.client(token(empty, role)) as client:
        for (method, path), roles in MAY.items():
            told = client.request(method, filled(path), **harmless(path))
            if role in roles:
                assert told.status_code not in (401, 403), f"{role}: {method} {path}: {told.text}"
            else:
                assert told.status_code == 403, f"{role}: {method} {path}: {told.text}"
                assert role in told.json()["detail"]


def test_who_may_not_is_not_told_what_is_wrong_with_the_body(
    server: Running, token: Callable[..., str], empty: str
) -> None:
    with server.client(token(empty, "user")) as client:
        broken: dict[str, Any] = {"content": b"{", "headers": {"content-type": "application/json"}}
        assert client.post("/api/ml/train", json={"days_history": 1}).status_code == 403
        assert client.post(f"{LOAD}/train", json={"days": 0}).status_code == 403
        assert client.post("/api/ml/train", **broken).status_code in (403, 422)


# ---------------------------------------------------------------- the claims alone


def test_tenant_and_role_come_from_the_claims_alone(
    server: Running, token: Callable[..., str], tenant: str, empty: str
) -> None:
    """Whoever says elsewhere that they are somebody else stays who they are."""
    names = ("tenant", "tenant_id", "tenant-id", "role", "user", "sub")
    said = {name: "admin" if name == "role" else tenant for name in names}
    headers = {f"X-{name.replace('_', '-')}": value for name, value in said.items()}
    documented = {"service_name": "donations", "current_replicas": 1, "capacity_per_pod": 1.0, **said}
    with server.client(token(empty, "user")) as client:
        client.headers.update(headers)
        client.cookies.update(said)
        client.params = httpx.QueryParams(said)
        assert client.get("/v1").json()["tenant"] == empty
        assert len(client.get("/v1/traffic/facts/metrics").json()["rows"]) == 3
        assert client.get(f"{LOAD}/models").json() == []
        assert client.post(f"{LOAD}/train", json=said).status_code == 403
        assert client.post("/api/ml/train", json=said).status_code == 403
        assert client.post("/api/ml/predict", json=documented).status_code == 404
        assert client.get("/metrics").status_code == 403


# ---------------------------------------------------------------- the description of it all


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_the_description_is_open_on_the_machine_itself(server: Running, path: str) -> None:
    with server.client() as client:
        assert client.get(path).status_code == 200
        assert client.get(path, headers={"Host": "localhost:8000"}).status_code == 200


AFAR = [
    FROM_AFAR, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=203.0.113.7"}, {"X-Real-IP": "203.0.113.7"},
    {"Via": "1.1 proxy"}, {"Host": "foretell.example"}, {"Host": "127.0.0.1.evil.example"}, {"Host": "10.0.0.7"},
]  # fmt: skip


@pytest.mark.parametrize("headers", AFAR, ids=str)
@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_the_description_needs_a_token_from_elsewhere(
    server: Running, token: Callable[..., str], empty: str, path: str, headers: dict[str, str]
) -> None:
    with server.client() as client:
        assert client.get(path, headers=headers).status_code == 401
    with server.client(token(empty, "user")) as client:
        assert client.get(path, headers=headers).status_code == 200
