"""Facts fetched on request, by a domain of somebody else whose sources are at a local server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.plugged import plugged
from tests.providers import providers
from tests.toys.skies import DOMAIN
from tests.web.conftest import started, tenancy


def test_programs_and_admins_collect_and_everybody_sees_how_it_went(tmp_path: Path, token: Callable[..., str]) -> None:
    path = plugged(tmp_path, skies="tests.toys.skies:DOMAIN")
    with providers(datetime.now(UTC)) as outside, tenancy() as app:
        urls = {f"FORETELL_URLS__{source.name.upper()}": outside.url for source in DOMAIN.sources}
        with started(tmp_path / "log", PYTHONPATH=path, **urls) as server:
            tenant = app.tenant
            with server.client(token(tenant, "user")) as user, server.client(token(tenant, "service")) as program:
                plant = {"plant": "p", "since": "2024-01-01T00:00Z", "kind": "solar", "latitude": 52, "longitude": 13}
                assert program.post("/v1/skies/facts/plants", json={"rows": [plant]}).json()["accepted"] == 1
                assert user.post("/v1/skies/collect").status_code == 403
                done = program.post("/v1/skies/collect")
                assert done.status_code == 200, done.text
                assert [(one["source"], one["wanted"], one["answered"]) for one in done.json()] == [
                    ("skies.open_meteo", 1, 1), ("skies.nasa_power", 1, 1),
                ]  # fmt: skip
                outside.always = {"/": "404"}
                (one,) = program.post("/v1/skies/collect", json={"source": "open_meteo"}).json()
                assert (one["answered"], one["tried"][0]["why"]) == (0, {"HTTP 404": 1})
                known = user.get("/v1/skies/sources").json()
                assert (known[0]["source"], known[0]["success"]) == ("skies.open_meteo", 0.5)
                assert known[3]["success"] == 1.0
                span = {"source": "nasa_power", "since": "2030-01-01T00:00:00Z"}
                assert program.post("/v1/skies/collect", json=span).status_code == 422
                missing = program.post("/v1/skies/collect", json={"source": "nobody"})
                assert missing.status_code == 404
                assert "skies.nasa_power" in missing.json()["detail"]
                assert user.get("/v1/traffic/sources").status_code == 404
