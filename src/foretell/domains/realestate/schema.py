"""What is asked about people and homes, and what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.tables import Deal, Described, Id, Money

Share = Annotated[float, Field(ge=0, le=1)]
Hour = Annotated[int, Field(ge=0, le=24)]
Level = Literal["HIGH", "MEDIUM", "LOW"]


def _known(name: str) -> str:
    if name not in CATALOGUE.names():
        raise ValueError(f"no feature is named {name!r}; docs/features.md lists them")
    return name


FeatureName = Annotated[str, AfterValidator(_known)]
FeatureCategory = Literal["behavioural", "property", "transactional", "market", "temporal"]


class Settings(BaseModel):
    """What counts as a move, how soon, how chances are called, and what is left out.

    A deal that is registered later than `deed_days` after the time asked about counts as none. With `by_capacity` the
    most likely fifth of people are HIGH, the next three tenths MEDIUM; else chances from `high` and `medium` on.
    """

    move_days: Annotated[int, Field(ge=7, le=1830)] = 183
    moves: list[Deal] = ["BUY", "SELL"]
    deed_days: Annotated[int, Field(ge=0, le=365)] = 120
    high: Share = 0.75
    medium: Share = 0.4
    by_capacity: bool = False
    without: list[FeatureCategory] = []
    without_features: list[FeatureName] = []
    contact_from: Hour = 8
    contact_until: Hour = 20


class PersonRequest(BaseModel):
    """A person. `features` are taken instead of what facts say; without `reasons` none are worked out.

    The home they live in and its market are found in the facts where they are left out.
    """

    model_config = ConfigDict(extra="forbid")

    person: Id
    property: Id | None = None
    area: Id | None = None
    features: dict[FeatureName, float | None] | None = None
    reasons: bool = True


class Reason(BaseModel):
    """What a feature adds to the chance: by how much that would be less without it, everything else kept.

    `guard` says for what protected attribute it may stand, where it may.
    """

    feature: str
    words: str
    value: float | None
    contribution: float
    guard: str | None = None


class MoveAnswer(BaseModel):
    """How likely a person moves by `until`: so many in a hundred like them, and how many in a hundred usually do.

    `rank` is the share of people who are less likely. `confidence` is the chance of what is likelier, to move or to
    stay: 0.5 and above.
    """

    person: str
    until: datetime
    chance: Share
    confidence: Share
    level: Level
    usual: Share | None
    lift: float | None
    rank: Share | None
    words: str
    reasons: list[Reason]
    against: list[Reason]


class TypeAnswer(BaseModel):
    """Which kind of deal would be a person's next, if there is one by `until`; the likeliest first.

    `confidence` is the chance of that kind.
    """

    person: str
    until: datetime
    kind: str
    confidence: Share
    chances: dict[str, float]


class ContactRequest(BaseModel):
    """A person; the best `count` hours of a week are named, of those in which the tenant may call."""

    model_config = ConfigDict(extra="forbid")

    person: Id
    count: Annotated[int, Field(ge=1, le=24)] = 3


class Slot(BaseModel):
    """An hour of the week in the tenant's zone, Monday 0; `at` is the next one, UTC.

    `chance` is that the person's next activity falls into it, `lift` how often that is of an hour of the week picked
    blindly.
    """

    day: Annotated[int, Field(ge=0, le=6)]
    hour: Annotated[int, Field(ge=0, le=23)]
    at: datetime
    chance: Share
    lift: float


class ContactAnswer(BaseModel):
    """When a person is best reached, the best hour first.

    `seen` are the times they were active before; `confidence` is 1 where all their activity falls into one hour of the
    week, and 0 where every hour is alike: 1 less the entropy of the week's hours as a share of the greatest there is.
    """

    person: str
    best: list[Slot]
    seen: int
    confidence: Share
    words: str


class HomeDescribed(Described):
    """What a home is like that is not on record."""

    model_config = ConfigDict(extra="forbid")


class ValueRequest(BaseModel):
    """A home on record by its `property`, or one that is described; its value now and in so many months."""

    model_config = ConfigDict(extra="forbid")

    property: Id | None = None
    home: HomeDescribed | None = None
    horizon_months: Annotated[int, Field(ge=0, le=120)] = 12


class Comparable(BaseModel):
    """A home that was sold; `today` is its price as the market is now, for a home like the one asked about.

    `alike` is 1 where it stands in the same place, is just alike, and was sold this month.
    """

    property: str
    area: str
    sold: datetime
    price: Money
    today: Money
    distance_km: float | None
    alike: Share


class ValueReason(BaseModel):
    """By what factor something makes the value other than that of the usual home; all of them multiply to it."""

    words: str
    factor: float


class ValueAnswer(BaseModel):
    """What a home is worth today and at `at`, there with a range that four of five times holds what it is sold for.

    `last_price` is what it was last sold for, `last_price_today` that moved with the market. `usual` is the value of
    the usual home now, which `reasons` multiply to `value_today`. `market_year` is by what share prices rose there in a
    year, as far as deals tell. `confidence` is the chance that it is sold for `low` to `high`: the share of old
    sales that such a range held, or with fewer than a hundred what it is made to hold.
    """

    property: str | None
    at: datetime
    months: int
    value_today: Money
    value: Money
    low: Money
    high: Money
    confidence: Share
    last_price: Money | None
    last_sold: datetime | None
    last_price_today: Money | None
    usual: Money
    market_year: float
    deals: int
    comparables: list[Comparable]
    reasons: list[ValueReason]


class MarketRequest(BaseModel):
    """A market, and in how many months from now its index is asked for."""

    model_config = ConfigDict(extra="forbid")

    area: Id
    months: Annotated[int, Field(ge=1, le=60)] = 12


class MarketAnswer(BaseModel):
    """The price index of a market in the month that begins at `at`, with a range that holds it four of five times.

    `known` is the newest month published by now, `index_known` its index; `growth` is from there to `at`, as a share.
    """

    area: str
    at: datetime
    known: datetime
    index_known: float
    index: float
    low: float
    high: float
    growth: float
    growth_last_year: float | None
