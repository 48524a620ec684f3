"""What the tests of inventory share: histories, standpoints, days that came with a request."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from foretell import History, Standpoint, Task
from foretell.contract import INSTANT
from foretell.domains.inventory import DEMAND, STOCKOUT
from foretell.domains.inventory.schema import Settings
from foretell.domains.inventory.tables import INCOMING, LEAD_TIMES, MOVEMENTS, STOCK_LEVELS
from foretell.engine.predict import Prediction, predict
from foretell.errors import ForetellError

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
LAST = date(2026, 2, 27)  # of the histories here: a Friday, days ago
HEAD = {"entity": pl.String(), "time": INSTANT, "known_at": INSTANT}
STORED = {
    "entity": pl.String(), "time": INSTANT, "quantity": pl.Float64(), "kind": pl.String(), "known_at": INSTANT,
}  # fmt: skip
NOTHING = {
    STOCK_LEVELS.name: pl.DataFrame(schema={**HEAD, "on_hand": pl.Float64()}),
    INCOMING.name: pl.DataFrame(schema={**HEAD, "order": pl.String(), "quantity": pl.Float64()}),
    LEAD_TIMES.name: pl.DataFrame(schema={**HEAD, "days": pl.Float64()}),
}


def world(
    rows: Iterable[tuple[str, datetime, float, str]] = (), *, now: datetime = NOW, zone: str = "Europe/Berlin"
) -> History:
    """Stored movements of products; none unless given."""
    sent = [(product, time, quantity, kind, time) for product, time, quantity, kind in rows]
    frame = pl.DataFrame(sent, schema=STORED, orient="row")
    standing = Standpoint(tenant="shop", now=now, zone=zone, settings=Settings())
    return History(standing, {MOVEMENTS.name: frame, **NOTHING})


def days(values: Iterable[float], last: date = LAST) -> list[dict[str, Any]]:
    """A history that ends on `last`, one row a day."""
    told = list(values)
    return [{"date": last - timedelta(days=len(told) - 1 - k), "quantity": value} for k, value in enumerate(told)]


def said(task: Task, stored: History | None = None, /, **request: Any) -> Prediction | ForetellError:
    """What a task says to a request."""
    (one,) = predict([(task, task.request.model_validate({"product": "it", **request}))], stored or world(), {})
    return one


def demand(stored: History | None = None, /, **request: Any) -> Any:
    """The answer about demand; raises what it was refused with."""
    return _answer(said(DEMAND, stored, **request))


def stockout(stored: History | None = None, /, **request: Any) -> Any:
    """The answer about an empty shelf; raises what it was refused with."""
    return _answer(said(STOCKOUT, stored, **request))


def _answer(one: Prediction | ForetellError) -> Any:
    if isinstance(one, ForetellError):
        raise one
    return one.answer
