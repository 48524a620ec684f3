"""A race as people see it: a bar while it runs, then every candidate's error beside the baseline's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from foretell.app import App
from foretell.app.tenancy import AsOf
from foretell.contract import Chance, Quantity, Target
from foretell.engine.backtest import Backtest
from foretell.engine.model import Card
from foretell.engine.train import Trained
from foretell.metrics import DEFINITIONS


def race(console: Console, app: App, task: str, as_of: AsOf, *, budget: float | None = None) -> Trained:
    """Train a task, in `budget` seconds where they are given, and say who serves and how everyone did."""
    with racing(console) as told:
        trained, verdict = app.train(task, as_of=as_of, budget=budget, progress=told)
    card = trained.model.card
    _skill(console, app.desk.task(task).target, trained.backtest, card)
    console.print(f"serves: [bold]{card.candidate}[/] ({card.reason}; {verdict.reason})")
    return trained


@contextmanager
def racing(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar while a race runs, on a terminal: what it is told is who is at work, the fits done and those to do."""
    columns = TextColumn("{task.description:>18}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        job = bar.add_task("race", total=1)

        def told(name: str, done: int, total: int) -> None:
            bar.update(job, description=name, completed=done, total=total)

        yield told


def _skill(console: Console, target: Target, tested: Backtest, card: Card) -> None:
    """Every candidate's error beside the baseline's."""
    scores = card.scores
    first, last = tested.folds[0][0], tested.folds[-1][1]
    table = Table(
        title=f"{card.scored:,} questions asked of the past, {first:%d %b %Y} to {last:%d %b %Y}; "
        f"baseline: {card.baseline}",
        title_justify="left",
    )
    figures, told_of = _figures(target)
    for heading in ("candidate", *figures):
        table.add_column(heading, justify="left" if heading == "candidate" else "right")
    base = scores[card.baseline]
    for name, score in scores.items():
        told = [form(score, base) for form in figures.values()]
        table.add_row(f"[bold]{name} ←[/]" if name == card.candidate else name, *told)
    console.print(table)
    for metric in told_of:
        console.print(f"  [dim]{metric.replace('_', ' ')}: {DEFINITIONS[metric]}[/]")
    for name, why in card.skipped.items():
        console.print(f"  {name} did not run: {why}")


Scores = Mapping[str, float | None]
Figure = Callable[[Scores, Scores], str]


def _of_numbers(target: Quantity) -> dict[str, Figure]:
    """What is told of a number's forecasts: an error, and what it is beside the baseline's."""
    width = round(100 * (max(target.levels) - min(target.levels)))
    return {
        "MAE": lambda mine, _: f"{mine['mae']:,.4g}",
        "of baseline": lambda mine, base: _ratio(mine, base, "mae"),
        "MAPE": lambda mine, _: "-" if mine["mape"] is None else f"{mine['mape']:.1f} %",
        "pinball of baseline": lambda mine, base: _ratio(mine, base, "pinball"),
        f"{width} % band covers": lambda mine, _: f"{100 * (mine['coverage'] or 0):.0f} %",
    }


OF_CHOICES: dict[str, Figure] = {
    "log loss": lambda mine, _: f"{mine['log_loss']:.3f}",
    "of baseline": lambda mine, base: _ratio(mine, base, "log_loss"),
    "right": lambda mine, _: f"{100 * (mine['accuracy'] or 0):.0f} %",
    "calibration error": lambda mine, _: f"{mine['calibration_error']:.3f}",
}


OF_CHANCES: dict[str, Figure] = {
    **{name: OF_CHOICES[name] for name in ("log loss", "of baseline")},
    "Brier": lambda mine, _: f"{mine['brier']:.3f}",
    "AUC": lambda mine, _: "-" if mine["auc"] is None else f"{mine['auc']:.3f}",
    "calibration error": OF_CHOICES["calibration error"],
}


def _figures(target: Target) -> tuple[Mapping[str, Figure], tuple[str, ...]]:
    """What is told of a target's forecasts, and the metrics that are explained."""
    if isinstance(target, Quantity):
        return _of_numbers(target), ("mae", "mape", "pinball")
    return (OF_CHANCES, ("log_loss", "auc")) if isinstance(target, Chance) else (OF_CHOICES, ("log_loss", "accuracy"))


def _ratio(mine: Scores, base: Scores, metric: str) -> str:
    return f"{(mine[metric] or 0) / (base[metric] or 1):.2f}"
