"""What a domain declares, and nothing above it.

Standing at `as_of`, knowing only what was known by then, what do we say about `entity` at `at`?
That triple is a question. A domain is a value made of the frozen dataclasses below; nothing here is
inherited from. Instants are UTC (`Datetime("us", "UTC")`); frames are Polars.

Column names with a fixed meaning, in every frame that crosses the contract:

    entity     about whom (text)
    as_of      standing when
    at         about when
    known_at   when a fact or an outcome became known
    value      the outcome; null while it is open, and for ever if it is void
"""

from foretell.contract.facts import (
    DTYPES,
    EPOCH,
    INSTANT,
    KEPT,
    MICRO,
    QUESTION,
    Approved,
    Frame,
    History,
    Kind,
    Read,
    Standpoint,
    Table,
    instants,
)
from foretell.contract.features import Catalogue, DataType, Feature, FeatureType
from foretell.contract.forecasts import (
    Block,
    Chance,
    Choice,
    Cost,
    Floats,
    Forecast,
    Forecaster,
    Quantity,
    Record,
    Study,
    Target,
    quantile,
)
from foretell.contract.replays import OURS, Past, Played, Policy, Replay, Replayed
from foretell.contract.sources import Get, Key, Quota, Source, Wanted
from foretell.contract.tasks import (
    Answer,
    Ask,
    Count,
    Domain,
    Finding,
    Format,
    Gate,
    Lookup,
    Members,
    Mixed,
    ModelStatus,
    Proposal,
    Proposing,
    RecommendationState,
    Report,
    Request,
    Retrain,
    Rolling,
    Route,
    Sample,
    Task,
    Trust,
)

__all__ = [
    "DTYPES",
    "EPOCH",
    "INSTANT",
    "KEPT",
    "MICRO",
    "OURS",
    "QUESTION",
    "Answer",
    "Approved",
    "Ask",
    "Block",
    "Catalogue",
    "Chance",
    "Choice",
    "Cost",
    "Count",
    "DataType",
    "Domain",
    "Feature",
    "FeatureType",
    "Finding",
    "Floats",
    "Forecast",
    "Forecaster",
    "Format",
    "Frame",
    "Gate",
    "Get",
    "History",
    "Key",
    "Kind",
    "Lookup",
    "Members",
    "Mixed",
    "ModelStatus",
    "Past",
    "Played",
    "Policy",
    "Proposal",
    "Proposing",
    "Quantity",
    "Quota",
    "Read",
    "RecommendationState",
    "Record",
    "Replay",
    "Replayed",
    "Report",
    "Request",
    "Retrain",
    "Rolling",
    "Route",
    "Sample",
    "Source",
    "Standpoint",
    "Study",
    "Table",
    "Target",
    "Task",
    "Trust",
    "Wanted",
    "instants",
    "quantile",
]
