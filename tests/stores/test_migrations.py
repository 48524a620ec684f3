"""A database of an older program is brought up with all that is in it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from psycopg.types.json import Jsonb
from tests.stores.conftest import declared

from foretell.stores import records, registry
from foretell.stores.access import LOGIN, OWNER, secret
from foretell.stores.database import Database, schema
from foretell.stores.migrate import migrate
from foretell.stores.migrations import HEAD
from foretell.stores.server import Server


@pytest.fixture
def old(server: Server) -> Iterator[str]:
    """The name of a database with the tables of the first version."""
    name = f"old_{uuid4().hex[:8]}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER {OWNER}".encode())
    owner = server.url(name, OWNER, secret(server, OWNER))
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(owner), poolclass=sa.NullPool)
    with engine.begin() as transaction:
        config = Config()
        config.set_main_option("script_location", "foretell.stores:migrations")
        config.attributes["connection"] = transaction
        command.upgrade(config, "0001")
    yield name
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_what_an_older_program_wrote_is_there_and_can_be_gone_on_with(server: Server, old: str) -> None:
    with psycopg.connect(server.url(old)) as connection:  # as no policy holds it
        connection.execute(
            "INSERT INTO ml_models (tenant_id, model_name, version, candidate, card, blob, size)"
            " VALUES ('acme', 'load', '1', 'c', '{}', 'b', 1)"
        )
        connection.execute(
            "INSERT INTO ml_deployments (tenant_id, model_name, version, deployed_by, reason)"
            " VALUES ('acme', 'load', '1', 'me', 'why')"
        )
        nothing = Jsonb({})
        connection.execute(
            "INSERT INTO ml_predictions (tenant_id, model_name, version, method, as_of, request, answer, questions,"
            " forecast, raw, marks, own_facts, prediction_count)"
            " VALUES ('acme', 'load', '1', 'm', now(), %s, %s, %s, %s, %s, %s, false, 1)",
            [nothing] * 6,
        )
    login = server.url(old, LOGIN, secret(server, LOGIN))
    assert schema(login, "foretell_app")[0] == "0001"
    migrate(server.url(old, OWNER, secret(server, OWNER)), declared(), login=LOGIN)
    migrate(server.url(old, OWNER, secret(server, OWNER)), declared(), login=LOGIN)  # a second time changes nothing
    assert schema(login, "foretell_app")[0] == HEAD
    database = Database(login, size=1)
    with database.tenant("acme") as connection:
        assert registry.look(connection, "acme", ["load"], []).deployed == {"load": ["1"]}
        assert registry.pinned(connection, "acme", "load") is None
        (one,) = records.newest(connection, "acme", "load", limit=9, before=None)
        said = records.Feedback(prediction_id=one.prediction_id, given_by="me", outcome=1.0, helpful=None, note=None)
        records.say(connection, "acme", said)
        assert len(records.feedback(connection, "acme", [one.prediction_id])) == 1
        records.log(connection, "acme", [one_more(one), one_more(one)])
        assert (
            len({each.predicted_at for each in records.newest(connection, "acme", "load", limit=9, before=None)}) == 3
        )
    database.close()


def one_more(of: records.Served) -> records.Served:
    return records.Served(**{**vars(of), "prediction_id": uuid4()})
