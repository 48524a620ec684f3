"""`foretell review` and `parity`: how it went of late, and whether groups of people are treated alike."""

from __future__ import annotations

import click

from foretell.cli.facts import JSON, TENANT

WORST = 10  # features shown


@click.command()
@TENANT
@click.option("--days", default=7, show_default=True, help="Of the last so many days.")
@JSON
def review(tenant: str, days: int, as_json: bool) -> None:
    """Show how features, models and drift did of late."""
    from foretell.app import App

    with App.open(tenant) as app:
        told = app.reviews.show(days=days)
    if as_json:
        click.echo(told.model_dump_json())
        return
    click.echo(f"features, worst first ({len(told.features)} looked at)")
    for one in told.features[:WORST]:
        figures = f"mean {_figure(one.mean_value)}  deviation {_figure(one.std_dev)}  drift {_figure(one.drift)}"
        click.echo(f"  {one.feature_name:<32} {one.worst_null_rate:>5.0%} missing  {figures}")
    click.echo("models")
    for each in told.models:
        sure, took = _figure(each.avg_confidence), _figure(each.avg_latency_ms)
        click.echo(f"  {each.model_name:<28} {each.version}  {each.prediction_count:,} predictions  confidence {sure}"
                   f"  {took} ms")  # fmt: skip
        for metric, value in (each.turned_out or {}).items():
            click.echo(f"      {metric} {_figure(value)}")
    click.echo("drift" if told.drift else "no drift")
    for day in told.drift:
        by = ", ".join(f"{name} {moved:+.2f}" for name, moved in day.feature_drift.items())
        click.echo(f"  {day.period_start:%Y-%m-%d}  {day.model_id}, {day.entities:,}: {by} standard deviations")


@click.command()
@click.argument("task")
@TENANT
@click.option("--by", required=True, help="A field of the request, as area.")
@click.option("--days", default=365, show_default=True, help="Of the last so many days.")
@JSON
def parity(task: str, tenant: str, by: str, days: int, as_json: bool) -> None:
    """Compare what TASK (realestate.move) said of whom: who was called high how often, and what became of them."""
    from foretell.app import App

    with App.open(tenant) as app:
        told = app.reviews.parity(task, by=by, days=days)
    if as_json:
        click.echo(told.model_dump_json())
        return
    click.echo(f"{told.task} since {told.since:%Y-%m-%d}; high is {told.called}")
    click.echo(f"{by:<20} people  chance   high  ratio  known  happened     gap")
    for one in (told.overall, *told.groups):
        name = "all" if one is told.overall else "not known" if one.value is None else one.value
        mark = {True: "FLAGGED", False: "", None: "" if one is told.overall else "nothing claimed"}[one.flagged]
        click.echo(
            f"{name:<20} {one.entities:>6,}  {one.chance:>6.3f}  {one.high:>5.1%}  {_figure(one.ratio):>5}"
            f"  {one.known:>5,}  {_figure(one.happened):>8}  {_figure(one.gap):>6}  {mark}".rstrip()
        )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
