"""What a server says: how long queries and trainings took, in the words that the inventory document looks for."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.web.conftest import Running, ended, rows, started, tenancy
from tests.web.test_inventory import body

from foretell.app import logs
from foretell.domains.traffic.sample import END

AS_OF = {"as_of": END.isoformat()}
TRAINING = r"^INFO: .* Training time: (\d+\.\d) ms tenant={} task={}$"
QUERY = r"^{}: .* Query time: (\d+\.\d) ms tenant={} task={}$"


def said(running: Running, line: str, *names: str) -> list[float]:
    """The milliseconds of the log's lines of a form."""
    return [float(each) for each in re.findall(line.format(*names), running.log.read_text(), re.MULTILINE)]


@pytest.mark.row("I12")
def test_the_times_of_trainings_fits_and_queries_are_told(
    alone: Path, tmp_path: Path, token: Callable[..., str]
) -> None:
    with tenancy() as app, started(tmp_path / "log", LOG_LEVEL="DEBUG") as running:
        app.import_("traffic.metrics", rows())
        with running.client(token(app.tenant)) as client:
            put = client.post("/v1/traffic/load/train", params=AS_OF, json={"budget": 0.1})
            assert ended(client, put)["state"] == "done"
            (took,) = said(running, TRAINING, app.tenant, "traffic.load")
            assert took > 1
            assert len(said(running, QUERY, r"\w+", app.tenant, "traffic.load")) == 1
            asked = {"service": "donations"}
            for _ in range(2):  # the second time nothing is read
                assert client.post("/v1/traffic/load/predict", params=AS_OF, json=asked).status_code == 200
            assert len(said(running, QUERY, r"\w+", app.tenant, "traffic.load")) == 2
            assert client.post("/forecast/demand", json=body(60)).status_code == 200
            assert len(said(running, TRAINING, app.tenant, "inventory.demand")) == 1
        assert '"POST /forecast/demand HTTP/1.1" 200' in running.log.read_text()


@pytest.mark.row("I12")
def test_a_slow_query_is_told_at_the_default_level_and_a_quick_one_is_not(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", logger="foretell")
    with tenancy() as app:
        app.import_("traffic.metrics", rows())
        monkeypatch.setattr(logs, "SLOW", 60.0)
        app.history("traffic.load")
        assert "Query time" not in caplog.text
        monkeypatch.setattr(logs, "SLOW", 0.0)
        app.history("traffic.load")
        assert re.search(rf"Query time: \d+\.\d ms tenant={app.tenant} task=traffic.load", caplog.text)


@pytest.mark.row("I12")
def test_the_level_is_honoured_and_an_option_wins(alone: Path, tmp_path: Path, token: Callable[..., str]) -> None:
    with tenancy() as app:
        for option, there in (([], True), (["--log-level", "ERROR"], False)):
            begun = started(tmp_path / f"log{there}", *option, LOG_LEVEL="info", FORETELL_PORT="1", ML_PORT="2")
            with begun as running, running.client(token(app.tenant)) as client:
                assert client.post("/forecast/demand", json=body(60)).status_code == 200
                told = running.log.read_text()
                assert ("Training time" in told, "Uvicorn running on" in told) == (there, there)
                assert "Query time" not in told
                assert "POST /forecast" not in told
