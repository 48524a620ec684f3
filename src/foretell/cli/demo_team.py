"""The demo's team: story points that teams of open-source projects gave, said from what an issue's title tells."""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import as_file, files

import polars as pl
from rich.console import Console

from foretell.app import App
from foretell.cli.skill import race
from foretell.domains.agile.schema import PointsAnswer

FILE = "story_points"
OPEN = timedelta(days=14)  # the file does not say when an issue was done: that is made up
NEW = {"project": "MULE", "title": "HTTP connector ignores the configured response timeout", "type": "bug"}


def team(console: Console) -> None:
    """Load, race, show skill against the base rate, answer: the points of a new issue, and what that is worth."""
    console.rule("[bold]issues of three open-source projects, and the points their teams gave")
    with App.open(f"demo-{FILE.replace('_', '-')}", zone="UTC") as app:
        with as_file(files("foretell") / "samples" / f"{FILE}.csv.gz") as path:
            issues = pl.read_csv(path).with_columns(time=pl.col("created").str.to_datetime(time_zone="UTC"))
        done = app.import_("agile.issues", issues.drop("created"), source=f"{FILE}.csv.gz")
        over = issues.select("issue", "project", time=pl.col("time") + OPEN, category=pl.lit("done"))
        app.import_("agile.status_changes", over, source="taken as done two weeks after they were written")
        console.print(f"tenant {app.tenant}: {done.accepted:,} issues accepted, {done.unchanged:,} there already")
        race(console, app, "agile.points", "latest")
        said = app.predict("agile.points", NEW, as_of="latest")
    answer = PointsAnswer.model_validate(said.answer)
    chances = ", ".join(f"{name}: {chance:.0%}" for name, chance in answer.distribution.items() if chance >= 0.01)
    console.print(
        f"“{NEW['title']}” of {answer.project}: [bold]{answer.points:g} points[/] ({chances}), by {said.method}"
        f"\n  what that is worth: {answer.badge.words}\n"
    )
