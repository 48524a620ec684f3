"""`foretell demo`: the main job on packaged real data."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import polars as pl
from rich.console import Console

from foretell import upkeep
from foretell.app import App
from foretell.app.tokens import Keys, Who
from foretell.cli.demo_people import people
from foretell.cli.demo_plants import plants
from foretell.cli.demo_shop import shop
from foretell.cli.demo_team import team
from foretell.cli.jobs import beside
from foretell.cli.picture import curve, draw
from foretell.cli.skill import race
from foretell.engine.predict import Prediction
from foretell.errors import Refused
from foretell.settings import ForetellSettings

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Story:
    """One packaged series, and what its owner would ask."""

    title: str
    file: str
    column: str
    per: float  # the file's values hold this many of the unit
    unit: str
    zone: str
    as_of: datetime | Literal["latest"]
    days: int  # of history to learn from
    runs: int | None = None  # replicas of it
    service: dict[str, float] = field(default_factory=dict)  # what a replica can do and costs


STORIES = (
    Story(
        "a cluster of four application servers, 2018",
        "appserver_cluster",
        "requests",
        60,
        "requests/min",
        "Europe/Berlin",
        "latest",
        400,
        18,
        {"capacity_per_pod": 250, "cost_per_replica_hour": 0.05},
    ),
    Story(
        "Turkey's electricity in Ramadan 2018, in place of a site's requests: public data with two Ramadans",
        "turkey_consumption",
        "mwh",
        1,
        "MWh",
        "Europe/Istanbul",
        datetime(2018, 6, 5, 16, tzinfo=UTC),
        420,
    ),
)


def run(pictures: Path, *, once: bool) -> None:
    """Load, race, show skill against the baseline, answer, replay, draw; without `once`, serve until told to end."""
    console = Console(width=112)
    settings = ForetellSettings()
    ran = upkeep.doctor(settings, {}).running
    pictures.mkdir(parents=True, exist_ok=True)
    for place, story in enumerate(STORIES):
        console.rule(f"[bold]{story.title}")
        with App.open(f"demo-{story.file}", zone=story.zone) as app:
            _load(app, story, console)
            if story.service:
                rules = {"services": {story.file: story.service}, "safety_factor": 1.5, "scale_in": "forecast"}
                app.settings.change("traffic", rules)
            trained = race(console, app, "traffic.load", story.as_of)
            _answer(console, app, story)
            if place == 0:
                drawn = pictures / "forecast.svg"
                draw(drawn, trained.backtest, trained.model.card.candidate, story.unit, story.zone)
                console.print(f"forecast against truth, last week: [bold]{drawn}[/]\n")
    _replay(console, STORIES[0], pictures / "replay.svg")
    shop(console)
    team(console)
    plants(console)
    people(console)
    try:
        if not once:
            _serve(console, settings)
    finally:
        if not ran:
            upkeep.stop(settings)


def _replay(console: Console, story: Story, picture: Path) -> None:
    """What a story's scaling would have cost and risked, had it been followed for the later half of the history."""
    console.rule(f"[bold]before you trust it: {story.title}")
    with App.open(f"demo-{story.file}") as app:
        told = app.replay("traffic.load", {"service": story.file}, as_of=story.as_of)
    picture.write_text(curve(told))
    console.print(told.line)
    console.print(f"cost against risk, every rule: [bold]{picture}[/]\n")


def _serve(console: Console, settings: ForetellSettings) -> None:
    """Answer over HTTP, and say how to ask: the documented paths, as of the data's last hour."""
    from foretell.web.server import prepare, serve

    story, port = STORIES[0], _port()
    keys = Keys.of(settings)
    token = keys.issue(Who(tenant=f"demo-{story.file}", user="demo", role="admin"), days=1)
    console.rule("[bold]the server; Ctrl-C ends it")
    asked = {"service_name": story.file, "current_replicas": story.runs, **story.service}
    for path, body in (("train", {"days_history": 90}), ("predict", asked)):
        print(  # noqa: T201 - a line to copy, whatever the width of the terminal
            f"\ncurl -X POST 'http://127.0.0.1:{port}/api/ml/{path}?as_of=latest' -H 'Authorization: Bearer {token}'"
            f" -H 'Content-Type: application/json' -d '{json.dumps(body)}'",
            flush=True,
        )
    told = ForetellSettings(host="127.0.0.1", port=port, workers=1)
    prepare(told)
    with beside(told):
        serve(told)


def _port() -> int:
    """8000, or another that is free."""
    for port in (8000, 0):
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                free.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(free.getsockname()[1])
    raise Refused("no port of this machine is free")


def _load(app: App, story: Story, console: Console) -> None:
    """Import a packaged file as its owner would, and say what became of its rows."""
    with as_file(files("foretell") / "samples" / f"{story.file}.csv.gz") as path:
        table = pl.read_csv(path)
    local = pl.col("timestamp").str.to_datetime()
    end = local.max() if story.as_of == "latest" else story.as_of.replace(tzinfo=None)
    sent = table.filter(local > end - timedelta(days=story.days)).select(
        time="timestamp", value=pl.col(story.column) / story.per, service=pl.lit(story.file)
    )
    done = app.import_("traffic.metrics", sent, interval=HOUR, source=f"{story.file}.csv.gz")
    console.print(
        f"tenant {app.tenant}: {done.accepted:,} rows accepted, {done.unchanged:,} there already,"
        f" {done.rejected} rejected; quality {100 * done.quality.score:.1f} %",
        *done.notes,
        sep="\n",
    )


def _answer(console: Console, app: App, story: Story) -> None:
    """The next four hours as of the data's last hour, and the replicas for them."""
    request = {"service": story.file, "workload": story.runs and {"current_replicas": story.runs}}
    said: Prediction = app.predict("traffic.load", request, as_of=story.as_of)
    answer = said.answer.model_dump()
    zone = ZoneInfo(story.zone)
    for hour in answer["hours"]:
        start: datetime = hour["start"].astimezone(zone)
        console.print(
            f"  {start:%a %d %b %H:%M}  {hour['expected']:>10,.0f} {story.unit}"
            f"   (80 of 100 such hours: {hour['low']:,.0f} to {hour['high']:,.0f})"
        )
    if scaling := answer["scaling"]:
        console.print(
            f"  replicas: {scaling['current_replicas']} → [bold]{scaling['recommended_replicas']}[/]"
            f" ({scaling['cost_impact_hourly']:+.2f} an hour): {scaling['reason']}; for a human to approve"
        )
    console.print(
        f"  confidence {answer['confidence']:.2f} ({answer['confidence_is']}), trigger {answer['trigger'] or 'none'},"
        f" method {answer['method']},"
        f" model {said.card.version}\n"
    )
