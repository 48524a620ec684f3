"""Who buys again, by the model that marketing uses: BG/NBD (Fader, Hardie & Lee 2005), from dates of purchases alone.

Somebody buys at a rate of their own (gamma over people), and after each purchase is lost with a chance of their own
(beta over people). Its four numbers are those of most likelihood of what was known at the mark.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.special import gammaln

from foretell.contract import Floats, Frame, History

WEEK = timedelta(days=7).total_seconds()


def chances(history: History, questions: Frame, mark: datetime) -> Frame:
    """Of each person asked about at the mark (`entity`) the `chance` to buy until the question's `at`.

    Days with a purchase count, not purchases. Raises ValueError where the search for the four numbers fails.
    """
    days = pl.col("time").dt.truncate("1d")
    bought = history["transactions"].filter(pl.col("known_at") <= mark, pl.col("kind") == "BUY")
    told = bought.group_by("entity").agg(count=days.n_unique(), first=days.min(), last=days.max())
    told = questions.select("entity", "at").join(told, on="entity", how="left", maintain_order="left")
    seconds = {name: told[name].dt.epoch("s").to_numpy() for name in ("first", "last", "at")}
    again = told["count"].to_numpy() - 1.0
    recency = (seconds["last"] - seconds["first"]) / WEEK
    age = (mark.timestamp() - seconds["first"]) / WEEK
    r, alpha, a, b = _likeliest(again, recency, age)
    lost = a / (b + np.maximum(again, 1) - 1) * ((alpha + age) / (alpha + recency)) ** (r + again)
    alive = 1 / (1 + np.where(again > 0, lost, 0.0))
    ahead = (seconds["at"] - mark.timestamp()) / WEEK
    chance = alive * (1 - ((alpha + age) / (alpha + age + ahead)) ** (r + again))
    return told.select("entity", chance=pl.Series(chance))


def _likeliest(again: Floats, recency: Floats, age: Floats) -> tuple[float, float, float, float]:
    """r, alpha, a and b of most likelihood (equation 6 of the paper)."""
    later = np.maximum(again, 1)

    def unlikely(logs: Floats) -> float:
        r, alpha, a, b = np.exp(logs)
        both = gammaln(r + again) - gammaln(r) + r * np.log(alpha)
        both += gammaln(a + b) + gammaln(b + again) - gammaln(b) - gammaln(a + b + again)
        lost = np.log(a) - np.log(b + later - 1) - (r + again) * np.log(alpha + recency)
        here = -(r + again) * np.log(alpha + age)
        return -float((both + np.logaddexp(here, np.where(again > 0, lost, -np.inf))).sum())

    found = minimize(unlikely, [-1.0, 1.0, -0.5, 0.5], method="Nelder-Mead", options={"maxiter": 4000})
    if not found.success:
        raise ValueError(f"no four numbers of most likelihood were found: {found.message}")
    r, alpha, a, b = np.exp(found.x)
    return float(r), float(alpha), float(a), float(b)
