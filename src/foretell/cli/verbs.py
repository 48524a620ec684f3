"""`foretell predict`, `train`, `backtest`, `models` and `predictions`: the verbs of `app` on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from foretell.cli.facts import JSON, TENANT
from foretell.errors import ForetellError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

AS_OF = click.option("--as-of", "as_of", help="Standing when: a moment with its offset, or `latest`; now if left out.")
SHOWN = 60  # characters of a request in a list
BUDGET = click.option("--budget", type=float, help="Seconds that the race may cost, as the candidates estimate.")


def asked_of(text: str, name: str = "--request", like: str = '{"service": "donations"}') -> dict[str, Any]:
    """What an option or argument of this name holds, which is like that. Raises InvalidRequest."""
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{name} is not JSON ({error}); write it like {like}") from None
    if not isinstance(asked, dict):
        raise InvalidRequest(f"{name} must be a JSON object: {like}")
    return asked


@click.command()
@click.argument("task")
@TENANT
@click.option("--request", default="{}", help='What is asked, as JSON: {"service": "donations"}')
@click.option("--each", is_flag=True, help="Answer it about everybody there is, a line each (inventory: each product).")
@click.option("--cache-bypass", is_flag=True, help="Work it out anew, whatever is kept.")
@AS_OF
@JSON
def predict(
    task: str, tenant: str, request: str, each: bool, cache_bypass: bool, as_of: str | None, as_json: bool
) -> None:
    """Answer a request of a TASK such as traffic.load."""
    from foretell.app import App
    from foretell.app.basis import Told
    from foretell.app.tenancy import as_of_told

    asked = asked_of(request)
    with App.open(tenant) as app:
        if each:
            for name, one in app.predict_each(task, asked, as_of=as_of_told(as_of), cache_bypass=cache_bypass):
                if isinstance(one, ForetellError):
                    click.echo(json.dumps({"name": name, "error": one.code, "detail": str(one)}))
                else:
                    told = Told.of(app.desk.task(task), one).model_dump(mode="json")
                    click.echo(json.dumps({"name": name, **told}))
            return
        said = app.predict(task, asked, as_of=as_of_told(as_of), cache_bypass=cache_bypass)
        answer = Told.of(app.desk.task(task), said)
    click.echo(answer.model_dump_json(indent=None if as_json else 2))


@click.command()
@click.argument("task")
@TENANT
@click.option(
    "--days", type=click.IntRange(1), help="Learn from the facts of the last so many days; of all if left out."
)
@BUDGET
@AS_OF
@JSON
def train(task: str, tenant: str, days: int | None, budget: float | None, as_of: str | None, as_json: bool) -> None:
    """Race the candidates of a TASK; the winner serves if it beats the model in service."""
    from rich.console import Console

    from foretell.app import App
    from foretell.app.tenancy import as_of_told
    from foretell.cli.skill import racing

    with App.open(tenant) as app, racing(Console(stderr=True)) as told:
        done, verdict = app.train(task, as_of=as_of_told(as_of), days=days, budget=budget, progress=told)
    card = done.model.card
    if as_json:
        what = {"tenant": tenant, "task": task, "version": card.version, "candidate": card.candidate}
        why = {"promoted": verdict.promote, "reason": verdict.reason}
        click.echo(json.dumps({**what, **why, "card": card.model_dump(mode="json")}))
        return
    _scores(card.scores, card.candidate, card.skipped)
    click.echo(f"{card.candidate} will answer: {card.reason}")
    click.echo(f"version {card.version} {'serves' if verdict.promote else 'does not serve'}: {verdict.reason}")


@click.command()
@click.argument("task")
@TENANT
@BUDGET
@AS_OF
@JSON
def backtest(task: str, tenant: str, budget: float | None, as_of: str | None, as_json: bool) -> None:
    """Ask every candidate of a TASK old questions, with the old knowledge."""
    from foretell.app import App
    from foretell.app.tenancy import as_of_told

    with App.open(tenant) as app:
        tested = app.backtest(task, as_of=as_of_told(as_of), budget=budget)
    scores = tested.scores()
    if as_json:
        click.echo(json.dumps({"scored": tested.asked.height, "scores": scores, "skipped": dict(tested.skipped)}))
        return
    click.echo(f"{tested.asked.height:,} questions, {tested.folds[0][0]:%Y-%m-%d} to {tested.folds[-1][1]:%Y-%m-%d}")
    _scores(scores, None, tested.skipped)


def _scores(scores: Mapping[str, Mapping[str, float | None]], winner: str | None, skipped: Mapping[str, str]) -> None:
    """Every candidate's errors; the winner is marked."""
    for name, measured in scores.items():
        figures = "  ".join(
            f"{metric} {'-' if value is None else f'{value:,.4g}'}" for metric, value in measured.items()
        )
        click.echo(f"{'→' if name == winner else ' '} {name:<20} {figures}")
    for name, why in skipped.items():
        click.echo(f"  {name} did not run: {why}")


@click.group()
def models() -> None:
    """Versions of a model: which there are, which one serves."""


@models.command("list")
@click.argument("task")
@TENANT
@JSON
def models_list(task: str, tenant: str, as_json: bool) -> None:
    """Show the versions of a TASK, newest first."""
    from foretell.app import App

    with App.open(tenant) as app:
        found = app.models.list(task)
    if as_json:
        click.echo(json.dumps([vars(each) for each in found], default=str))
        return
    for each in found:
        click.echo(f"{each.version}  {each.state:<8}  {each.candidate:<20}  {each.reason or 'never served'}")


@models.command("card")
@click.argument("task")
@click.argument("version")
@TENANT
@JSON
def models_card(task: str, version: str, tenant: str, as_json: bool) -> None:
    """Show everything known about a VERSION."""
    from foretell.app import App

    with App.open(tenant) as app:
        click.echo(app.models.card(task, version).model_dump_json(indent=None if as_json else 2))


@models.command("promote")
@click.argument("task")
@click.argument("version")
@TENANT
@click.option("--reason", default="promoted by hand", show_default=True)
@JSON
def models_promote(task: str, version: str, tenant: str, reason: str, as_json: bool) -> None:
    """Let a VERSION serve."""
    from foretell.app import App

    with App.open(tenant) as app:
        _tell(app.models.promote(task, version, reason=reason), "serves", as_json)


@models.command("pin")
@click.argument("task")
@click.argument("version")
@TENANT
@click.option("--reason", default="pinned by hand", show_default=True)
@JSON
def models_pin(task: str, version: str, tenant: str, reason: str, as_json: bool) -> None:
    """Let a VERSION serve, whatever training finds."""
    from foretell.app import App

    with App.open(tenant) as app:
        _tell(app.models.pin(task, version, reason=reason), "serves, and is pinned", as_json)


@models.command("unpin")
@click.argument("task")
@TENANT
@JSON
def models_unpin(task: str, tenant: str, as_json: bool) -> None:
    """Let training promote again."""
    from foretell.app import App

    with App.open(tenant) as app:
        _tell(app.models.unpin(task), "serves, and is no longer pinned", as_json)


@models.command("rollback")
@click.argument("task")
@TENANT
@JSON
def models_rollback(task: str, tenant: str, as_json: bool) -> None:
    """Let the version serve again that served before."""
    from foretell.app import App

    with App.open(tenant) as app:
        _tell(app.models.rollback(task), "serves", as_json)


def _tell(version: str, what: str, as_json: bool) -> None:
    click.echo(json.dumps({"version": version}) if as_json else f"version {version} {what}")


@click.group()
def predictions() -> None:
    """What was said, and what came of it."""


@predictions.command("list")
@click.argument("task")
@TENANT
@click.option("--limit", default=20, show_default=True)
@JSON
def predictions_list(task: str, tenant: str, limit: int, as_json: bool) -> None:
    """Show the last predictions of a TASK."""
    from foretell.app import App

    with App.open(tenant) as app:
        found = app.predictions.list(task, limit=limit)
    if as_json:
        told: list[Any] = [{**vars(e.served), "feedback": [vars(said) for said in e.feedback]} for e in found]
        click.echo(json.dumps(told, default=str))
        return
    for each in found:
        one = each.served
        said = f", {len(each.feedback)} said something of it" if each.feedback else ""
        about = ", ".join(f"{k} {v}" for k, v in one.request.items() if isinstance(v, str | int | float) and v != "")
        when = f"{one.predicted_at:%Y-%m-%d %H:%M:%S} UTC"
        click.echo(f"{one.prediction_id}  {when}  {one.method}  {one.version}  {about[:SHOWN]}{said}")


@predictions.command("feedback")
@click.argument("prediction", type=click.UUID)
@TENANT
@click.option("--outcome", help="What happened: a number, or a word.")
@click.option("--helpful/--not-helpful", default=None, help="Whether the prediction helped.")
@click.option("--note", help="What else there is to say.")
@JSON
def predictions_feedback(
    prediction: UUID, tenant: str, outcome: str | None, helpful: bool | None, note: str | None, as_json: bool
) -> None:
    """Say what came of a PREDICTION, by its number."""
    from foretell.app import App

    with App.open(tenant) as app:
        app.predictions.feedback(prediction, outcome=_number(outcome), helpful=helpful, note=note)
    click.echo(json.dumps({"prediction_id": str(prediction), "kept": True}) if as_json else "kept")


def _number(text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
