"""Inventory: from daily demand to the day the shelf is empty."""

from datetime import timedelta

from foretell.contract import Domain, Gate, Rolling, Task
from foretell.domains.inventory import catalogue, decide, features, models, replay, routes, sample, stockout, supply
from foretell.domains.inventory.schema import DemandAnswer, DemandRequest, Settings, StockoutAnswer, StockoutRequest
from foretell.domains.inventory.tables import INCOMING, LEAD_TIMES, MOVEMENTS, PRODUCTS, PROMOTIONS, STOCK_LEVELS

# Weeks, so that the standpoints of young products, a week apart, have folds as well.
ROLLING = Rolling(folds=(features.ORIGINS - 1) * features.SPAN // 7 + 1, span=timedelta(days=7))
KEPT = timedelta(hours=24)

DEMAND = Task(
    name="inventory.demand",
    target=models.DEMAND,
    reads=features.READS,
    request=DemandRequest,
    answer=DemandAnswer,
    about=decide.about,
    ask=decide.ask,
    questions=features.questions,
    features=None,
    outcomes=features.outcomes,
    candidates=catalogue.candidates(),
    decide=decide.decide,
    headline=decide.headline,
    rolling=ROLLING,
    gate=Gate(metric="rmse", skill=0.0, least=14),
    meanwhile="ensemble",
    budget=120.0,
    waiting=0.45,
    whom="product",
    lasting=KEPT,
    routes=[routes.FORECAST],
)

STOCKOUT = Task(
    name="inventory.stockout",
    target=models.USED,
    reads=(*features.READS, *supply.READS),
    request=StockoutRequest,
    answer=StockoutAnswer,
    about=decide.about,
    ask=stockout.ask,
    questions=features.totals,
    features=None,
    outcomes=features.used,
    candidates=catalogue.candidates(summed=True),
    decide=stockout.decide,
    headline=stockout.headline,
    rolling=ROLLING,
    gate=Gate(metric="rmse", skill=0.0, least=4),
    meanwhile="ensemble",
    budget=120.0,
    waiting=0.45,
    whom="product",
    lasting=KEPT,
    routes=[routes.STOCKOUT],
    proposing=supply.PROPOSING,
    replay=replay.REPLAY,
)

DOMAIN = Domain(
    name="inventory",
    summary="from daily demand to the day the shelf is empty",
    settings=Settings,
    tables=[MOVEMENTS, PRODUCTS, PROMOTIONS, STOCK_LEVELS, INCOMING, LEAD_TIMES],
    tasks=[DEMAND, STOCKOUT],
    sample=sample.sample,
)
