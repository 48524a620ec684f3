"""A race as people see it: a bar while it runs, then every candidate's error beside the baseline's."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from foretell.app import App
from foretell.app.tenancy import AsOf
from foretell.contract import Quantity, Target
from foretell.engine.backtest import Backtest
from foretell.engine.model import Card
from foretell.engine.train import Trained
from foretell.metrics import DEFINITIONS


def race(console: Console, app: App, task: str, as_of: AsOf, *, budget: float | None = None) -> Trained:
    """Train a task, in `budget` seconds where they are given, and say who serves and how everyone did."""
    with _bar(console) as bar:
        job = bar.add_task("race", total=1)

        def told(name: str, done: int, total: int) -> None:
            bar.update(job, description=name, completed=done, total=total)

        trained, verdict = app.train(task, as_of=as_of, budget=budget, progress=told)
    card = trained.model.card
    _skill(console, app.desk.task(task).target, trained.backtest, card)
    console.print(f"serves: [bold]{card.candidate}[/] ({card.reason}; {verdict.reason})")
    return trained


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:>18}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
    )


def _skill(console: Console, target: Target, tested: Backtest, card: Card) -> None:
    """Every candidate's error beside the baseline's."""
    scores = card.scores
    first, last = tested.folds[0][0], tested.folds[-1][1]
    table = Table(
        title=f"{card.scored:,} questions asked of the past, {first:%d %b %Y} to {last:%d %b %Y}; "
        f"baseline: {card.baseline}",
        title_justify="left",
    )
    width = round(100 * (max(target.levels) - min(target.levels))) if isinstance(target, Quantity) else 100
    for heading in ("candidate", "MAE", "of baseline", "MAPE", "pinball of baseline", f"{width} % band covers"):
        table.add_column(heading, justify="left" if heading == "candidate" else "right")
    base = scores[card.baseline]
    for name, score in scores.items():
        mape = score["mape"]
        table.add_row(
            f"[bold]{name} ←[/]" if name == card.candidate else name,
            f"{score['mae']:,.4g}",
            f"{(score['mae'] or 0) / (base['mae'] or 1):.2f}",
            "-" if mape is None else f"{mape:.1f} %",
            f"{(score['pinball'] or 0) / (base['pinball'] or 1):.2f}",
            f"{100 * (score['coverage'] or 0):.0f} %",
        )
    console.print(table)
    for short, metric in (("MAE", "mae"), ("MAPE", "mape"), ("pinball", "pinball")):
        console.print(f"  [dim]{short}: {DEFINITIONS[metric]}[/]")
    for name, why in card.skipped.items():
        console.print(f"  {name} did not run: {why}")
