"""Whatever a request within or beside the schema says: it is answered as the schema says, and never with a 500."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest
import schemathesis
from hypothesis import settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.web.conftest import Running, rows, tenancy

from foretell.app import App
from foretell.web.server import create

PARQUET = "application/vnd.apache.parquet"
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
SLOW = r"/(train|backtest|replay)$"

TIMES = st.sampled_from([
    "2024-04-04T20:00:00Z", "2024-04-04 20:00", "2024-03-31 02:30", "9999-12-31T23:59:59-14:00", "0001-01-01", "", "x",
])  # fmt: skip
VALUES = st.one_of(st.floats(), st.integers(), st.text(max_size=5), st.none(), st.booleans())
NAMES = st.sampled_from(["time", "value", "service", "metric_type", "known_at", "metadata", "entity", "tenant_id", ""])


def csv(columns: list[str], lines: list[list[Any]]) -> bytes:
    told = [",".join(columns), *(",".join(str(each) for each in line) for line in lines)]
    return "\n".join(told).encode("utf-8", "replace")


def parquet(times: list[int], values: list[float | None], unit: Any, cut: int) -> bytes:
    rows_ = min(len(times), len(values))
    file = io.BytesIO()
    pl.DataFrame(
        {"time": pl.Series(times[:rows_]).cast(pl.Datetime(unit, "UTC")), "value": values[:rows_]}
    ).write_parquet(file)
    return file.getvalue()[: len(file.getvalue()) - cut]


schemathesis.openapi.media_type(
    "text/csv",
    st.one_of(
        st.binary(max_size=50),
        st.builds(csv, st.lists(NAMES, max_size=4), st.lists(st.lists(TIMES | VALUES, max_size=4), max_size=4)),
        st.builds(csv, st.just(["time", "value"]), st.lists(st.tuples(TIMES, VALUES).map(list), max_size=4)),
    ),
)
schemathesis.openapi.media_type(
    PARQUET,
    st.one_of(
        st.binary(max_size=50),
        st.builds(
            parquet,
            st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
            st.lists(st.floats() | st.none(), max_size=3),
            st.sampled_from(["us", "ms", "ns"]),
            st.sampled_from([0, 0, 1, 20]),
        ),
    ),
)

SCHEMA = schemathesis.openapi.from_dict(create().openapi())


@pytest.fixture(scope="module")
def asked() -> Iterator[App]:
    """A tenant with a month of hours of the service that is meant where none is named, and a model."""
    with tenancy() as made:
        made.import_("traffic.metrics", rows().tail(24 * 28).with_columns(service=pl.lit("default")))
        made.train("traffic.load", as_of="latest", budget=0.01)
        yield made


@pytest.fixture(scope="module")
def brief() -> Iterator[App]:
    """A tenant with too little history to train: that is said at once."""
    with tenancy() as made:
        made.import_("traffic.metrics", rows().tail(100))
        yield made


@SCHEMA.exclude(path_regex=SLOW).parametrize()
@settings(max_examples=40)
def test_nothing_breaks(case: schemathesis.Case[Any], server: Running, token: Callable[..., str], asked: App) -> None:
    standing = {parameter.name for parameter in case.operation.query} & {"as_of"}
    for name in standing - {*(case.query or {})}:
        case.query[name] = "latest"
    for role in ("admin", "service"):
        case.call_and_validate(
            server.url, headers={"Authorization": f"Bearer {token(asked.tenant, role)}"}, checks=CHECKS
        )


@SCHEMA.include(path_regex=SLOW).parametrize()
@settings(max_examples=5)
def test_no_training_breaks(
    case: schemathesis.Case[Any], server: Running, token: Callable[..., str], brief: App
) -> None:
    case.call_and_validate(server.url, headers={"Authorization": f"Bearer {token(brief.tenant)}"}, checks=CHECKS)
