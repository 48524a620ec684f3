"""From a person to questions, and from chances to what a human can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import Ask, Forecast, Frame, History, instants
from foretell.domains.realestate.catalogue import CATALOGUE
from foretell.domains.realestate.people import GIVEN, known, settings
from foretell.domains.realestate.schema import Level, MoveAnswer, PersonRequest, Reason, TypeAnswer
from foretell.errors import InvalidRequest, NotReady

TOP, UPPER = 0.8, 0.5  # ranks from which on, by capacity, a chance is HIGH, and MEDIUM
FEATURES = {one.name: one for one in CATALOGUE.features}


def about(request: PersonRequest) -> Mapping[str, Sequence[str]]:
    """Whose facts are read."""
    return {
        "entity": [request.person],
        "property": [request.property] if request.property else [],
        "area": [request.area] if request.area else [],
    }


def ask(request: PersonRequest, history: History) -> Ask:
    """One question, with what is given in the place of features.

    Raises NotReady for somebody of whom nothing is known, InvalidRequest for features that can't be.
    """
    if wrong := CATALOGUE.wrong(request.features or {}):
        raise InvalidRequest(f"features: {'; '.join(wrong[:5])}")
    if not request.features and request.person not in known(history):
        raise NotReady(f"nothing is known of {request.person}; bring them into realestate.people")
    days = timedelta(days=settings(history).move_days)
    # Series by series: a frame with a schema takes five times as long to make.
    row = [
        pl.Series("entity", [request.person], dtype=pl.String),
        instants("as_of", [history.now]),
        instants("at", [history.now + days]),
        pl.Series("property", [request.property], dtype=pl.String),
        pl.Series("area", [request.area], dtype=pl.String),
        pl.Series("reasons", [request.reasons], dtype=pl.Boolean),
    ]
    if request.features:
        row.append(pl.Series(GIVEN, [json.dumps(request.features)], dtype=pl.String))
    return Ask(questions=pl.DataFrame(row))


def move(forecast: Forecast, request: PersonRequest, history: History) -> MoveAnswer:
    """The chance, in words, with what speaks for it and against it."""
    chance = float(forecast.rows["chance"][0])
    told = forecast.evidence.row(0, named=True) if forecast.evidence.width else {}
    usual, rank = told.get("usual"), told.get("rank")
    days = settings(history).move_days
    words = f"{_hundred(chance)} like this move within {_span(days)}"
    reasons = _reasons(forecast.evidence, chance)
    return MoveAnswer(
        person=request.person,
        until=history.now + timedelta(days=days),
        chance=chance,
        confidence=max(chance, 1 - chance),
        level=level(history, chance, rank),
        usual=usual,
        lift=chance / usual if usual else None,
        rank=rank,
        words=words + (f"; usual {usual * 100:.3g}" if usual is not None else ""),
        reasons=[one for one in reasons if one.contribution > 0],
        against=[one for one in reversed(reasons) if one.contribution < 0],
    )


def _hundred(chance: float) -> str:
    """A chance as a frequency: 18 of 100, or 3 of 1,000 where it is small."""
    return f"{chance * 100:.0f} of 100" if chance >= 0.03 else f"{chance * 1000:.0f} of 1,000"


def _span(days: int) -> str:
    return f"{round(days / 30.4)} months" if days >= 60 else f"{days} days"


def level(history: History, chance: float, rank: float | None) -> Level:
    """HIGH, MEDIUM or LOW: by fixed thresholds, or by how many people the tenant can look after."""
    told = settings(history)
    if told.by_capacity and rank is not None:
        return "HIGH" if rank >= TOP else "MEDIUM" if rank >= UPPER else "LOW"
    return "HIGH" if chance >= told.high else "MEDIUM" if chance >= told.medium else "LOW"


def _reasons(evidence: Frame, chance: float) -> list[Reason]:
    """What each of the strongest features adds to the chance, those that add most first."""
    why = evidence["why"][0] if "why" in evidence.columns else None
    if why is None:
        return []
    odds = float(np.log(max(chance, 1e-12) / max(1 - chance, 1e-12)))
    return [
        Reason(
            feature=one["feature"],
            words=FEATURES[one["feature"]].words,
            value=one["value"],
            contribution=chance - 1 / (1 + float(np.exp(one["adds"] - odds))),
            guard=FEATURES[one["feature"]].guard,
        )
        for one in why
    ]


def kind(forecast: Forecast, request: PersonRequest, history: History) -> TypeAnswer:
    """The chance of each kind of deal, the likeliest first."""
    chances = {
        name.removeprefix("p:"): float(value)
        for name, value in zip(forecast.rows.columns, forecast.rows.row(0), strict=True)
    }
    ordered = dict(sorted(chances.items(), key=lambda one: -one[1]))
    return TypeAnswer(
        person=request.person,
        until=history.now + timedelta(days=settings(history).move_days),
        kind=next(iter(ordered)),
        confidence=min(1.0, next(iter(ordered.values()))),
        chances=ordered,
    )


def move_headline(answer: Any) -> float:
    """The chance."""
    return float(answer.chance)


def kind_headline(answer: Any) -> float:
    """The chance of the likeliest kind."""
    return float(answer.chances[answer.kind])
