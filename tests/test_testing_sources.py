"""The public checks of sources: a sound one passes, and each way to break a rule is caught and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import polars as pl
import pytest
from tests.toys.skies import DOMAIN

from foretell.contract import Domain, Get, Key, Wanted
from foretell.errors import BrokenDomain
from foretell.testing import check_domain

NASA = next(source for source in DOMAIN.sources if source.name == "nasa_power")
numbers = count()


def of(**changed: Any) -> Domain:
    return replace(DOMAIN, sources=[replace(NASA, **{"fallback": None} | changed)])


def each(change: Callable[[Get], Get]) -> Domain:
    return of(requests=lambda wanted: [change(get) for get in NASA.requests(wanted)])


def elsewhere(wanted: Wanted) -> list[Get]:
    return [*NASA.requests(replace(wanted, places=wanted.places.with_columns(pl.col("latitude") + 1)))]


def nothing(body: bytes, get: Get) -> pl.DataFrame:
    return pl.DataFrame({"body": [body], "path": [get.path]})


def test_sound_sources_pass() -> None:
    check_domain(DOMAIN)
    check_domain(of())


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        (of(table="weather"), "there is no table weather"),
        (of(places="sites"), "there is no table sites"),
        (of(fallback="another"), "another is no source of observed"),
        (replace(DOMAIN, sources=[replace(NASA, fallback="open_meteo"), *DOMAIN.sources[:1]]), "open_meteo is no"),
        (replace(DOMAIN, sources=[NASA, NASA]), "same name"),
        (of(back=timedelta(days=7)), "nothing lies between"),
        (each(lambda get: replace(get, query={**get.query, "at": str(next(numbers))})), "not the same twice"),
        (each(lambda get: replace(get, path="api")), "begins with /"),
        (replace(of(key=Key(name="community")), name="skies"), "the key is added"),
        (of(requests=elsewhere), "not wanted"),
        (of(parse=nothing), "is no answer, and gives 1 rows"),
        (of(parse=lambda body, get: {}[body]), "KeyError"),
    ],
)
def test_what_breaks_a_rule_is_caught(domain: Domain, words: str) -> None:
    with pytest.raises(BrokenDomain, match=words):
        check_domain(domain)
