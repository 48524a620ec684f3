"""foretell: a prediction server for application backends. Its public names are the contract.

They are looked up when first used, so that the command line answers before Polars is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretell.contract import (
        Ask,
        Block,
        Chance,
        Choice,
        Cost,
        Domain,
        Forecast,
        Forecaster,
        Frame,
        Gate,
        History,
        Quantity,
        Read,
        Retrain,
        Rolling,
        Sample,
        Standpoint,
        Study,
        Table,
        Task,
    )

__all__ = [
    "Ask",
    "Block",
    "Chance",
    "Choice",
    "Cost",
    "Domain",
    "Forecast",
    "Forecaster",
    "Frame",
    "Gate",
    "History",
    "Quantity",
    "Read",
    "Retrain",
    "Rolling",
    "Sample",
    "Standpoint",
    "Study",
    "Table",
    "Task",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("foretell.contract"), name)
    raise AttributeError(f"module 'foretell' has no attribute {name!r}")
