"""Real estate's tables: people and where they live, what they do with what is sent to them, deals, and markets.

What changes is told by a row a change, each with its time; the newest row known counts. A deed is known when it is
registered, months after the deal; a market's figures when they are published.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

import polars as pl
from pydantic import AwareDatetime, BaseModel, Field

from foretell.contract import Table

Id = Annotated[str, Field(min_length=1, max_length=200)]
Short = Annotated[str, Field(max_length=200)]
Count = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Money = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=-100, le=1000, allow_inf_nan=False)]
Grade = Annotated[float, Field(ge=0, le=100)]
Year = Annotated[int, Field(ge=1000, le=2200)]
Deal = Literal["BUY", "SELL", "REFINANCE", "INVESTMENT"]
EntityType = Literal["USER", "PROPERTY"]
Sent = Literal["sent", "open", "click", "reply", "bounce", "unsubscribe", "dismiss"]


class Person(BaseModel):
    """A person who is known from a time on, and the agent who looks after them then."""

    person: Id
    time: AwareDatetime
    agent: Short = ""


class Home(BaseModel):
    """A person lives in a property from a time on; with `active` false, no longer."""

    person: Id
    property: Id
    time: AwareDatetime
    owner: bool = True
    active: bool = True


class Described(BaseModel):
    """What a home is like; sizes in square metres.

    `area` is the market it is in, `street` the street or postcode in it: its homes are neighbours. `around` is
    the usual size of the homes about it.
    """

    area: Short = ""
    street: Short = ""
    kind: Short = ""
    bedrooms: Count | None = None
    bathrooms: Count | None = None
    size: Count | None = None
    land: Count | None = None
    floors: Count | None = None
    built: Year | None = None
    renovated: Year | None = None
    condition: Grade | None = None
    grade: Grade | None = None
    view: Grade | None = None
    waterfront: bool | None = None
    basement: Count | None = None
    around: Count | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None


class Property(Described):
    """A property, as it is from a time on, and the loan on it."""

    property: Id
    time: AwareDatetime
    loan: Money | None = None
    loan_rate: Percent | None = None


class Document(BaseModel):
    """A document that is there for a person from a time on."""

    document: Id
    person: Id
    time: AwareDatetime
    kind: Short = ""
    property: Short = ""


class Access(BaseModel):
    """A person looked at a document, took it with them, or passed it on."""

    person: Id
    document: Id
    time: AwareDatetime
    action: Literal["view", "download", "share"] = "view"
    seconds: Count | None = None


class Email(BaseModel):
    """Something happened with an e-mail to a person: it was sent, opened, a link in it was followed."""

    person: Id
    email: Id
    time: AwareDatetime
    event: Sent = "sent"
    campaign: Short = ""


class Session(BaseModel):
    """A visit of a person to the site or app: how long, and how many pages."""

    person: Id
    time: AwareDatetime
    seconds: Count | None = None
    pages: Count | None = None
    device: Short = ""


class Alert(BaseModel):
    """Something happened with an alert to a person: it was sent, opened, followed or waved away."""

    person: Id
    alert: Id
    time: AwareDatetime
    event: Sent = "sent"
    kind: Short = ""


class Search(BaseModel):
    """A person searched, saved a search, looked at a listing or marked one."""

    person: Id
    time: AwareDatetime
    action: Literal["search", "save", "view", "mark"] = "search"
    area: Short = ""
    price: Money | None = None


class Contact(BaseModel):
    """An agent tried to reach a person, who answered or did not."""

    person: Id
    time: AwareDatetime
    agent: Short = ""
    channel: Short = ""
    answered: bool = False


class Transaction(BaseModel):
    """A deal of a person about a property, done at `time`; `known_at` is when it was registered."""

    transaction: Id
    time: AwareDatetime
    kind: Deal
    person: Short = ""
    property: Short = ""
    area: Short = ""
    price: Money | None = None
    agent: Short = ""
    known_at: AwareDatetime | None = None


class Agent(BaseModel):
    """An agent, as they work from a time on."""

    agent: Id
    time: AwareDatetime
    name: Short = ""
    area: Short = ""
    active: bool = True


class Market(BaseModel):
    """A market in the month that begins at `time`; `known_at` is when that was published.

    `index` is a price index (any base), `mortgage_rate` and `unemployment` are per cent.
    """

    area: Id
    time: AwareDatetime
    index: Annotated[float, Field(gt=0, le=1e9)]
    median_price: Money | None = None
    sales: Count | None = None
    listings: Count | None = None
    days_on_market: Count | None = None
    mortgage_rate: Percent | None = None
    unemployment: Percent | None = None
    known_at: AwareDatetime


LATE = timedelta(days=120)  # after which a deal that was not registered is taken not to have been

OF = {"person": "person"}  # columns that name people, and as what
BY = {**OF, "agent": "agent"}

PEOPLE = Table(name="people", row=Person, key=("person", "time"), time="time", entity=("person",), persons=BY)
HOMES = Table(name="homes", row=Home, key=("person", "property", "time"), time="time", entity=("person",), persons=OF)
PROPERTIES = Table(name="properties", row=Property, key=("property", "time"), time="time", entity=("property",))
DOCUMENTS = Table(name="documents", row=Document, key=("document", "time"), time="time", entity=("person",), persons=OF)
ACCESSES = Table(
    name="accesses",
    row=Access,
    key=("person", "document", "time", "action"),
    time="time",
    entity=("person",),
    persons=OF,
)
EMAILS = Table(
    name="emails", row=Email, key=("person", "email", "time", "event"), time="time", entity=("person",), persons=OF
)
SESSIONS = Table(name="sessions", row=Session, key=("person", "time"), time="time", entity=("person",), persons=OF)
ALERTS = Table(
    name="alerts", row=Alert, key=("person", "alert", "time", "event"), time="time", entity=("person",), persons=OF
)
SEARCHES = Table(
    name="searches", row=Search, key=("person", "time", "action", "area"), time="time", entity=("person",), persons=OF
)
CONTACTS = Table(
    name="contacts", row=Contact, key=("person", "time", "channel"), time="time", entity=("person",), persons=BY
)
TRANSACTIONS = Table(
    name="transactions",
    row=Transaction,
    key=("transaction",),
    time="time",
    entity=("person",),
    known_at="known_at",
    persons=BY,
    hints={"kind": "a sale is SELL, a purchase BUY"},
    rules={"a deal can't be registered before it is done": pl.col("known_at") >= pl.col("time")},
)
AGENTS = Table(
    name="agents", row=Agent, key=("agent", "time"), time="time", entity=("agent",), persons={"agent": "agent"}
)
MARKETS = Table(
    name="markets",
    row=Market,
    key=("area", "time"),
    time="time",
    entity=("area",),
    known_at="known_at",
    rules={"a month's figures can't be known before it began": pl.col("known_at") >= pl.col("time")},
)

TABLES = (
    PEOPLE, HOMES, PROPERTIES, DOCUMENTS, ACCESSES, EMAILS, SESSIONS, ALERTS, SEARCHES, CONTACTS, TRANSACTIONS, AGENTS,
    MARKETS,
)  # fmt: skip
