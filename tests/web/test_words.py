"""Errors are told in the words of who sent a request, not of who typed a command."""

from __future__ import annotations

from collections.abc import Callable

from tests.web.conftest import Running


def test_a_file_that_can_not_be_read_is_answered_in_the_words_of_a_request(
    server: Running, token: Callable[..., str], tenant: str
) -> None:
    path, csv = "/v1/traffic/facts/metrics", {"Content-Type": "text/csv"}
    with server.client(token(tenant, "service")) as client:
        several = client.post(path, content=b"time,cpu,mem\n2024-06-01T00:00:00Z,1,2\n", headers=csv)
        auto = client.post(path, json={"rows": []}, params={"interval": "auto"})
    assert several.status_code == 422
    assert "map=value=cpu" in several.json()["detail"]
    assert "--" not in several.json()["detail"]
    assert auto.status_code == 422
    assert "interval=1h" in auto.json()["detail"]
