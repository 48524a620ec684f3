"""Real estate: who will move, with which deal, when to call them, and what a home and its market are worth."""

from datetime import timedelta

from foretell.contract import Chance, Choice, Domain, Gate, Lookup, Rolling, Task
from foretell.domains.realestate import (
    appraise,
    contact,
    decide,
    market,
    models,
    people,
    routes,
    sample,
    value,
    valuers,
)
from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.schema import (
    ContactAnswer,
    ContactRequest,
    MarketAnswer,
    MarketRequest,
    MoveAnswer,
    PersonRequest,
    Settings,
    TypeAnswer,
    ValueAnswer,
    ValueRequest,
)
from foretell.domains.realestate.tables import TABLES

HOME = (
    Lookup(field="property", table="homes", column="property", by="person", of="person", optional=True),
    Lookup(field="area", table="properties", column="area", by="property", of="property", optional=True),
)
ROLLING = Rolling(folds=3, span=0.12)  # outcomes come late: of a length of time before now none is known

MOVE = Task(
    name="realestate.move",
    target=Chance(event="a person moves"),
    reads=people.READS,
    request=PersonRequest,
    answer=MoveAnswer,
    about=decide.about,
    lookups=HOME,
    ask=decide.ask,
    questions=people.questions,
    features=people.features,
    outcomes=people.moved,
    candidates=models.MOVE,
    decide=decide.move,
    headline=decide.move_headline,
    rolling=ROLLING,
    gate=Gate(metric="log_loss", least=100),
    budget=180.0,
    learners=people.LEARNERS,
    whom="person",
    vector=people.vector,
    routes=routes.MOVE,
)

TYPE = Task(
    name="realestate.transaction_type",
    target=Choice(of="kind"),
    reads=people.READS,
    request=PersonRequest,
    answer=TypeAnswer,
    about=decide.about,
    lookups=HOME,
    ask=decide.ask,
    questions=people.questions,
    features=people.features,
    outcomes=people.dealt,
    candidates=models.KIND,
    decide=decide.kind,
    headline=decide.kind_headline,
    rolling=ROLLING,
    gate=Gate(metric="log_loss", least=100),
    learners=people.LEARNERS,
    whom="person",
    vector=people.vector,
    routes=routes.KIND,
)

CONTACT = Task(
    name="realestate.contact",
    target=Choice(of="hour of the week"),
    reads=contact.READS,
    request=ContactRequest,
    answer=ContactAnswer,
    about=lambda request: {"entity": [request.person]},
    ask=contact.ask,
    questions=contact.questions,
    features=None,
    outcomes=contact.outcomes,
    candidates=contact.CANDIDATES,
    decide=contact.decide,
    headline=contact.headline,
    rolling=Rolling(folds=3, span=timedelta(days=30), every=timedelta(days=7)),
    gate=Gate(metric="log_loss", least=100),
    learners=contact.LEARNERS,
    whom="person",
    routes=routes.CONTACT,
)

MARKET = Task(
    name="realestate.market",
    target=market.INDEX,
    reads=market.READS,
    request=MarketRequest,
    answer=MarketAnswer,
    about=market.about,
    ask=market.ask,
    questions=market.questions,
    features=market.features,
    outcomes=market.outcomes,
    candidates=market.CANDIDATES,
    decide=market.decide,
    headline=market.headline,
    rolling=Rolling(folds=3, span=0.12),
    gate=Gate(metric="mape", least=100),
    whom="area",
)

VALUE = Task(
    name="realestate.value",
    target=valuers.MONEY,
    reads=value.READS,
    request=ValueRequest,
    answer=ValueAnswer,
    ask=appraise.ask,
    questions=value.questions,
    features=value.features,
    outcomes=value.outcomes,
    candidates=valuers.VALUE,
    decide=appraise.decide,
    headline=appraise.headline,
    rolling=Rolling(folds=3, span=0.1),
    gate=Gate(metric="mape", least=100),
    whom="property",
    routes=routes.VALUE,
)

DOMAIN = Domain(
    name="realestate",
    summary="who will move, with which deal, when to call, and what a home is worth",
    settings=Settings,
    tables=TABLES,
    tasks=[MOVE, TYPE, CONTACT, MARKET, VALUE],
    mixed=[routes.BATCH],
    catalogue=CATALOGUE,
    sample=sample.sample,
)
