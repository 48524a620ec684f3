"""Every feature of a person, as data: made of what, how far back, in which range, and in words for people.

`docs/features.md` is made of this. Windows and days begin at midnight UTC. Rates are shares, money is the tenant's own.
"""

from __future__ import annotations

import math
from datetime import timedelta
from functools import partial

import polars as pl

from foretell.contract import Catalogue, Feature, Frame, History
from foretell.domains.realestate.tables import EntityType
from foretell.features.asof import newest

ONE = pl.lit(1)
DAY = timedelta(days=1)
WEEK, MONTH, QUARTER, YEAR = 7 * DAY, 30 * DAY, 90 * DAY, 365 * DAY
ZERO = "never: nothing counts as 0"
NONE = "nothing of the kind is known"
FIVE = 5 * YEAR
AGO = partial(Feature, how="since", kind="integer", missing="it has never happened")


def _event(name: str, *also: str) -> pl.Expr:
    return pl.col("event").is_in([name, *also])


def _first(key: str, name: str) -> pl.Expr:
    """Whether a row is the first such event of its mail or alert: opened twice is opened, whenever it was sent."""
    return _event(name) & pl.struct("entity", key, "event").is_first_distinct()


NEW_DAY = pl.struct("entity", pl.col("time").dt.date()).is_first_distinct()

documents = partial(Feature, group="behavioural", part="documents", table="accesses")
mails = partial(Feature, group="behavioural", part="email", table="emails")
visits = partial(Feature, group="behavioural", part="platform", table="sessions")
alerts = partial(Feature, group="behavioural", part="alerts", table="alerts")
searches = partial(Feature, group="behavioural", part="search", table="searches")

BEHAVIOURAL = (
    documents(name="doc_access_count_7d", how="sum", of=ONE, window=WEEK, kind="integer",
              words="documents looked at in the last 7 days"),
    documents(name="doc_access_count_30d", how="sum", of=ONE, window=MONTH, kind="integer",
              words="documents looked at in the last 30 days"),
    documents(name="doc_access_count_90d", how="sum", of=ONE, window=QUARTER, kind="integer",
              words="documents looked at in the last 90 days"),
    documents(name="doc_download_count_30d", how="sum", of=pl.col("action") == "download", window=MONTH,
              kind="integer", words="documents downloaded in the last 30 days"),
    documents(name="doc_share_count_90d", how="sum", of=pl.col("action") == "share", window=QUARTER, kind="integer",
              words="documents passed on in the last 90 days"),
    documents(name="doc_active_days_30d", how="sum", of=NEW_DAY, window=MONTH, kind="integer", high=31.0,
              words="days of the last 30 with a look at a document"),
    AGO(name="days_since_doc_access", group="behavioural", part="documents", table="accesses", of=pl.lit(value=True),
        words="days since the last look at a document"),
    mails(name="email_open_rate_30d", how="share", of=_first("email", "open"), per=_event("sent"), window=MONTH,
          missing="no e-mail was sent", words="e-mails opened in the last 30 days for each that was sent"),
    mails(name="email_open_rate_90d", how="share", of=_first("email", "open"), per=_event("sent"), window=QUARTER,
          missing="no e-mail was sent", words="e-mails opened in the last 90 days for each that was sent"),
    mails(name="email_click_rate_90d", how="share", of=_first("email", "click"), per=_event("sent"), window=QUARTER,
          missing="no e-mail was sent", words="e-mails followed in the last 90 days for each that was sent"),
    mails(name="email_click_count_30d", how="sum", of=_event("click"), window=MONTH, kind="integer",
          words="clicks in e-mails in the last 30 days"),
    mails(name="email_reply_count_90d", how="sum", of=_event("reply"), window=QUARTER, kind="integer",
          words="replies to e-mails in the last 90 days"),
    AGO(name="days_since_email_open", group="behavioural", part="email", table="emails", of=_event("open", "click"),
        words="days since an e-mail was last opened"),
    visits(name="session_count_7d", how="sum", of=ONE, window=WEEK, kind="integer",
           words="visits in the last 7 days"),
    visits(name="session_count_30d", how="sum", of=ONE, window=MONTH, kind="integer",
           words="visits in the last 30 days"),
    visits(name="session_count_90d", how="sum", of=ONE, window=QUARTER, kind="integer",
           words="visits in the last 90 days"),
    visits(name="session_count_365d", how="sum", of=ONE, window=YEAR, kind="integer",
           words="visits in the last year"),
    visits(name="session_minutes_30d", how="sum", of=pl.col("seconds") / 60, window=MONTH,
           words="minutes on the site in the last 30 days"),
    visits(name="session_pages_30d", how="share", of=pl.col("pages"), per=pl.col("pages").is_not_null(), window=MONTH,
           missing="no visit", words="pages a visit in the last 30 days"),
    visits(name="session_active_days_30d", how="sum", of=NEW_DAY, window=MONTH, kind="integer", high=31.0,
           words="days of the last 30 with a visit"),
    AGO(name="days_since_session", group="behavioural", part="platform", table="sessions", of=pl.lit(value=True),
        words="days since the last visit"),
    Feature(name="session_trend_90d", group="behavioural", part="platform", how="made", high=3.0,
            of=3 * pl.col("session_count_30d") / pl.col("session_count_90d"), missing="no visit in 90 days",
            words="visits of the last 30 days against the last 90 (1 is steady, 3 all of them new)"),
    alerts(name="alert_count_30d", how="sum", of=_event("sent"), window=MONTH, kind="integer",
           words="alerts in the last 30 days"),
    alerts(name="alert_open_rate_30d", how="share", of=_first("alert", "open"), per=_event("sent"), window=MONTH,
           missing="no alert was sent", words="alerts opened in the last 30 days for each that was sent"),
    alerts(name="alert_click_rate_90d", how="share", of=_first("alert", "click"), per=_event("sent"), window=QUARTER,
           missing="no alert was sent", words="alerts followed in the last 90 days for each that was sent"),
    AGO(name="days_since_alert_click", group="behavioural", part="alerts", table="alerts", of=_event("click"),
        words="days since an alert was last followed"),
    searches(name="search_count_7d", how="sum", of=pl.col("action") == "search", window=WEEK, kind="integer",
             words="searches in the last 7 days"),
    searches(name="search_count_30d", how="sum", of=pl.col("action") == "search", window=MONTH, kind="integer",
             words="searches in the last 30 days"),
    searches(name="saved_search_count_90d", how="sum", of=pl.col("action") == "save", window=QUARTER, kind="integer",
             words="searches saved in the last 90 days"),
    searches(name="listing_view_count_30d", how="sum", of=pl.col("action").is_in(["view", "mark"]), window=MONTH,
             kind="integer", words="listings looked at in the last 30 days"),
)  # fmt: skip

home = partial(Feature, group="property", how="newest", by="property", table="properties", missing=NONE)
facts = partial(home, part="characteristics")
gone = partial(AGO, group="property", part="lifecycle")
money = partial(Feature, group="property", part="financial", how="made", missing=NONE)
around = partial(Feature, group="property", part="market context", by="area", table="deals", missing=NONE)
PER_SIZE = pl.when(pl.col("size") > 0).then(pl.col("price") / pl.col("size"))
MAY_STAND = "age, family status"

PROPERTY = (
    facts(name="property_bedrooms", of=pl.col("bedrooms"), words="bedrooms", guard=MAY_STAND),
    facts(name="property_bathrooms", of=pl.col("bathrooms"), words="bathrooms"),
    facts(name="property_size", of=pl.col("size"), words="size of the home, m²"),
    facts(name="property_land", of=pl.col("land"), words="size of the land, m²"),
    facts(name="property_condition", of=pl.col("condition"), words="condition", high=100.0),
    facts(name="property_grade", of=pl.col("grade"), words="grade of construction", high=100.0),
    Feature(name="property_age", group="property", part="characteristics", how="made", low=-50.0, missing=NONE,
            of=pl.col("as_of").dt.year() - pl.col("property_built"), words="age of the building, years"),
    facts(name="property_built", of=pl.col("built"), low=1000.0, words="year it was built in"),
    home(name="property_loan", part="financial", of=pl.col("loan"), words="loan on the home"),
    home(name="property_loan_rate", part="financial", of=pl.col("loan_rate"), words="rate of the loan, per cent"),
    Feature(name="property_price", group="property", part="financial", how="newest", by="property", table="deals",
            of=pl.col("price"), missing=NONE, words="price it was last sold for"),
    Feature(name="property_relative_price", group="property", part="financial", how="newest", by="property",
            table="deals", of=pl.col("relative"), missing=NONE, words="that price for a market index of 1"),
    money(name="property_value_by_index", of=pl.col("property_relative_price") * pl.col("market_index"),
          words="last price, moved with the market"),
    money(name="property_gain", low=-1.0, of=pl.col("property_value_by_index") / pl.col("property_price") - 1,
          words="gain in value since it was bought, as a share"),
    money(name="property_equity_share", low=-100.0, high=1.0,
          of=1 - pl.col("property_loan") / pl.col("property_value_by_index"),
          words="share of the value that is not owed"),
    around(name="area_price_per_size_365d", how="share", of=PER_SIZE, per=PER_SIZE.is_not_null(), window=YEAR,
           words="mean price a m² in the area in the last year", guard="origin, religion"),
    around(name="area_deals_90d", how="sum", of=ONE, window=QUARTER, kind="integer", missing=ZERO,
           words="deals in the area in the last 90 days", guard="origin, religion"),
    around(name="area_deals_365d", how="sum", of=ONE, window=YEAR, kind="integer", missing=ZERO,
           words="deals in the area in the last year", guard="origin, religion"),
    Feature(name="property_price_per_size", group="property", part="market context", how="made", missing=NONE,
            of=pl.col("property_value_by_index") / pl.col("property_size"), words="value a m²"),
    Feature(name="property_price_to_area", group="property", part="market context", how="made", missing=NONE,
            of=pl.col("property_price_per_size") / pl.col("area_price_per_size_365d"),
            words="value a m² against the area's"),
    Feature(name="property_deals", group="property", part="lifecycle", how="sum", by="property", table="deals", of=ONE,
            kind="integer", words="how often it was sold"),
    gone(name="days_since_property_deal", by="property", table="deals",
        of=pl.lit(value=True), words="days since it was last sold"),
    gone(name="days_at_home", table="homes", of=pl.col("active"),
        words="days since they moved in", guard="age"),
)  # fmt: skip

deals = partial(Feature, group="transactional", table="transactions")
history = partial(deals, part="history", how="sum", kind="integer")
pattern = partial(deals, part="patterns")
agent = partial(Feature, group="transactional", part="agent", table="contacts")
BETWEEN = (pl.col("time") - pl.col("time").shift(1).over("entity")).dt.total_days()

TRANSACTIONAL = (
    history(name="transaction_count", of=ONE, words="deals ever"),
    history(name="buy_count", of=pl.col("kind") == "BUY", words="purchases ever"),
    history(name="sell_count", of=pl.col("kind") == "SELL", words="sales ever"),
    history(name="refinance_count", of=pl.col("kind") == "REFINANCE", words="loans taken anew, ever"),
    AGO(name="days_since_transaction", group="transactional", part="history", table="transactions",
        of=pl.lit(value=True), words="days since the last deal"),
    pattern(name="transaction_count_365d", how="sum", of=ONE, window=YEAR, kind="integer",
            words="deals in the last year"),
    pattern(name="transaction_count_5y", how="sum", of=ONE, window=FIVE, kind="integer",
            words="deals in the last five years"),
    pattern(name="investment_count", how="sum", of=pl.col("kind") == "INVESTMENT", kind="integer",
            words="investments ever"),
    pattern(name="transaction_mean_price", how="share", of=pl.col("price"), per=pl.col("price").is_not_null(),
            missing=NONE, words="mean price of their deals"),
    pattern(name="transaction_mean_gap", how="share", of=BETWEEN, per=BETWEEN.is_not_null(), missing=NONE, low=None,
            words="mean days between their deals"),
    agent(name="contact_count_90d", how="sum", of=ONE, window=QUARTER, kind="integer",
          words="times an agent reached out in the last 90 days"),
    agent(name="contact_answer_rate_365d", how="share", of=pl.col("answered"), per=ONE, window=YEAR, high=1.0,
          missing="nobody reached out", words="share of an agent's calls of the last year that were answered"),
    AGO(name="days_since_contact", group="transactional", part="agent", table="contacts", of=pl.lit(value=True),
        words="days since an agent last reached out"),
)  # fmt: skip

market = partial(Feature, group="market", how="newest", by="area", table="months", missing=NONE)
conditions, economy, season = (partial(market, part=part) for part in ("conditions", "economy", "season"))


def _gain(months: int) -> pl.Expr:
    """By what share the index has risen in so many months."""
    return pl.col("index") / pl.col("index").shift(months).over("area") - 1


def _mean(column: str) -> pl.Expr:
    return pl.col(column).rolling_mean(12).over("area")


MARKET = (
    conditions(name="market_index", of=pl.col("index"), words="the area's price index"),
    conditions(name="market_gain_3m", of=_gain(3), low=-1.0, words="rise of prices in three months, as a share"),
    conditions(name="market_gain_12m", of=_gain(12), low=-1.0, words="rise of prices in a year, as a share"),
    conditions(name="market_days", of=pl.col("days_on_market"), words="days until a home is sold"),
    conditions(name="market_listings", of=pl.col("listings"), words="homes for sale in the area"),
    economy(name="mortgage_rate", of=pl.col("mortgage_rate"), low=-5.0, words="mortgage rate, per cent"),
    economy(name="mortgage_rate_change_12m", low=-50.0, words="change of the mortgage rate in a year, points",
            of=pl.col("mortgage_rate") - pl.col("mortgage_rate").shift(12).over("area")),
    economy(name="unemployment", of=pl.col("unemployment"), high=100.0, words="unemployment, per cent",
            guard="origin"),
    season(name="market_supply_months", of=pl.col("listings") / pl.col("sales"), words="months until all are sold"),
    season(name="market_sales_to_mean", of=pl.col("sales") / _mean("sales"), words="sales against the year's mean"),
    season(name="market_listings_to_mean", of=pl.col("listings") / _mean("listings"),
           words="homes for sale against the year's mean"),
    season(name="market_days_to_mean", of=pl.col("days_on_market") / _mean("days_on_market"),
           words="days until a home is sold against the year's mean"),
    season(name="market_sales_last_year", of=pl.col("sales").shift(11).over("area") / _mean("sales"),
           words="sales in the coming month a year ago, against the year's mean"),
)  # fmt: skip

moment = partial(Feature, group="temporal", how="made")
AS_OF = pl.col("as_of")


def _round(part: pl.Expr, length: float, words: str, name: str) -> tuple[Feature, ...]:
    turn = part * (2 * math.pi / length)
    return tuple(
        moment(name=f"{name}_{wave}", part="cycles", of=getattr(turn, wave)(), low=-1.0, high=1.0,
               words=f"{words}, on a circle ({wave})")
        for wave in ("sin", "cos")
    )  # fmt: skip


TEMPORAL = (
    moment(name="month", part="time", of=AS_OF.dt.month(), kind="integer", low=1.0, high=12.0, words="month"),
    moment(name="quarter", part="time", of=AS_OF.dt.quarter(), kind="integer", low=1.0, high=4.0, words="quarter"),
    moment(name="day_of_month", part="time", of=AS_OF.dt.day(), kind="integer", low=1.0, high=31.0,
           words="day of the month"),
    moment(name="day_of_week", part="time", of=AS_OF.dt.weekday(), kind="integer", low=1.0, high=7.0,
           words="day of the week, Monday 1"),
    moment(name="week_of_year", part="time", of=AS_OF.dt.week(), kind="integer", low=1.0, high=53.0,
           words="week of the year"),
    moment(name="is_weekend", part="time", of=AS_OF.dt.weekday() > 5, kind="boolean", high=1.0, words="a weekend"),
    *_round(AS_OF.dt.month(), 12, "month", "month"),
    *_round(AS_OF.dt.weekday(), 7, "day of the week", "day_of_week"),
    *_round(AS_OF.dt.ordinal_day(), 365.25, "day of the year", "day_of_year"),
)  # fmt: skip


def dealt(history: History) -> Frame:
    """Deals that changed who owns a property, with its `size` and the price for an index of 1 (`relative`)."""
    sold = history["transactions"].filter(pl.col("kind").is_in(["BUY", "SELL", "INVESTMENT"]), pl.col("property") != "")
    # One deal may be told twice, by who bought and by who sold.
    sold = sold.sort("known_at", maintain_order=True).unique(["property", "time"], keep="first", maintain_order=True)
    asked = sold.with_columns(as_of="known_at", area=pl.col("area").fill_null(""))
    size = newest(asked, history["properties"], "property", ("size",))["size"]
    index = newest(asked.with_columns(as_of="time"), _indexed(history), "area", ("index",))["index"]
    return sold.with_columns(size, relative=pl.when(sold["price"] > 0).then(sold["price"] / index))


def _indexed(history: History) -> Frame:
    """Each market's index by the month it is of; a month published after a deal does not value that deal."""
    return history["markets"].sort("known_at", "time")


def months(history: History) -> Frame:
    """Markets in the order of their months; of a month told anew, as it was told last."""
    return history["markets"].sort("area", "known_at", "time")


PERSON: EntityType = "USER"
CATALOGUE = Catalogue(
    entity_type=PERSON,
    features=(*BEHAVIOURAL, *MARKET[:8], *PROPERTY, *TRANSACTIONAL, *MARKET[8:], *TEMPORAL),
    frames={"deals": dealt, "months": months},
)
