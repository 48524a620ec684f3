"""The catalogue walked, table by table and role by role; every hole it looks for is made once, and found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import polars as pl
import psycopg
import pytest
from psycopg import Connection

from foretell.app.declared import domains
from foretell.domains.traffic.schema import METRICS
from foretell.engine.ingest import ingest
from foretell.errors import Misconfigured
from foretell.stores import facts
from foretell.stores.access import (
    APP,
    DATABASE,
    ERASER,
    LOGIN,
    OPERATOR,
    OWNER,
    QUEUE,
    READER,
    ROLES,
    VISITOR,
    WORKER,
    url_of,
)
from foretell.stores.database import Database, checked
from foretell.stores.server import Server

MINE = "(tenant_id = NULLIF(current_setting('app.current_tenant'::text, true), ''::text))"
DECIDED = ("state", "decided_at", "decided_by", "decided_why", "approved")  # what people make of a recommendation
OPEN_TO_ALL = ("declared_tables", "alembic_version")  # they hold nothing of any tenant
QUEUED = ("workers", "jobs", "periodic_defers", "events")  # of the queue's library: whose jobs, and no more of anybody
FAR = (
    "state",
    "attempts",
    "progress",
    "doing",
    "notes",
    "cancelled",
    "result",
    "error",
    "message",
    "started_at",
    "ended_at",
)  # what becomes of a job
OPENED = (
    "public.tenants operators",
    "public.tenants workers",
    "public.schedules workers",
    "public.settings_changes workers",
)  # by table and policy: whose clocks show what
COUNTED = ("day", "spent", "failures", "rests_until")  # of providers, which are asked for all tenants together

OURS = """
WITH ours AS (
    SELECT c.oid, c.relkind, c.relispartition, c.relrowsecurity AND c.relforcerowsecurity AS forced, c.reloptions,
        c.relowner, n.nspname || '.' || c.relname AS name,
        EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id') AS of_tenants
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
), policies AS (
    SELECT o.name, p.polname,
        p.polcmd = '*' AND p.polroles = '{0}' AND p.polpermissive
        AND pg_get_expr(p.polqual, p.polrelid) = %(mine)s AND pg_get_expr(p.polwithcheck, p.polrelid) = %(mine)s
        AS closes, NOT p.polpermissive AS narrows
    FROM ours o JOIN pg_policy p ON p.polrelid = o.oid
), roles AS (SELECT unnest(%(roles)s::text[]) AS role)
"""
HOLES = {
    "row security is not forced": "SELECT name FROM ours WHERE of_tenants AND relkind IN ('r', 'p') AND NOT forced",
    "no policy keeps tenants apart": "SELECT name FROM ours WHERE of_tenants AND relkind IN ('r', 'p')"
    " AND name NOT IN (SELECT name FROM policies WHERE closes)",
    "a policy opens it": "SELECT name FROM policies WHERE NOT closes AND NOT narrows"
    " AND name || ' ' || polname <> ALL (%(opened)s)",
    "no policy can hold it": "SELECT name FROM ours WHERE relkind IN ('m', 'f')"
    " OR relkind = 'v' AND NOT coalesce(reloptions, '{}') && '{security_invoker=true,security_invoker=on}'",
    "a role is let in, and nobody's tenant is told": "SELECT DISTINCT name FROM ours, roles WHERE NOT of_tenants"
    " AND relkind <> 'S' AND name <> ALL (%(open)s)"
    " AND has_any_column_privilege(role, oid, 'SELECT, INSERT, UPDATE, REFERENCES')",
    "a role has a right on a part": "SELECT DISTINCT name FROM ours, roles WHERE relispartition"
    " AND (has_any_column_privilege(role, oid, 'SELECT, INSERT, UPDATE, REFERENCES')"
    " OR has_table_privilege(role, oid, 'DELETE, TRUNCATE, TRIGGER'))",
    "a role has a right on a sequence": "SELECT DISTINCT name FROM ours, roles WHERE relkind = 'S'"
    " AND has_sequence_privilege(role, oid, 'SELECT, USAGE, UPDATE')"
    " AND NOT (role = 'foretell_worker' AND name LIKE 'foretell_queue.%%')",
    "a role owns it": "SELECT name FROM ours, roles WHERE pg_has_role(role, relowner, 'MEMBER')",
    "a function has its owner's rights": "SELECT n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n"
    " ON n.oid = p.pronamespace WHERE p.prosecdef AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    " AND n.nspname || '.' || p.proname <> 'foretell_queue.deliver'",  # which adds to the queue, and tells nothing
    "something is done when it is touched": "SELECT name FROM ours JOIN pg_trigger t ON t.tgrelid = ours.oid"
    " WHERE NOT t.tgisinternal AND name NOT LIKE 'foretell_queue.%%'"
    " UNION SELECT name FROM ours o JOIN pg_rewrite r ON r.ev_class = o.oid"
    " WHERE r.rulename <> '_RETURN'",
    "it can point at another tenant's row": "SELECT name FROM ours JOIN pg_constraint f ON f.conrelid = ours.oid"
    " WHERE f.contype = 'f' AND of_tenants AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = f.conrelid"
    " AND a.attnum = ANY (f.conkey) AND a.attname = 'tenant_id')",
    "one tenant's row can stand in another's way": "SELECT name FROM ours JOIN pg_index i ON i.indrelid = ours.oid"
    " WHERE i.indisunique AND of_tenants AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid"
    " AND a.attnum = ANY (i.indkey)"
    " AND (a.attname = 'tenant_id' OR a.attidentity = 'a' OR a.atttypid = 'uuid'::regtype))",
    "a role can make things in it": "SELECT DISTINCT nspname FROM pg_namespace n, roles WHERE n.nspname !~ '^pg_'"
    " AND has_schema_privilege(role, n.oid, 'CREATE')",
    "tables to come are given away": "SELECT d.oid::text FROM pg_default_acl d",
    "it is above the policies": "SELECT role FROM roles JOIN pg_roles r ON r.rolname = role WHERE r.rolsuper"
    " OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication",
    "it can become another": "SELECT role FROM roles, pg_roles r WHERE r.rolname <> role"
    " AND pg_has_role(role, r.oid, 'MEMBER') AND NOT (role, r.rolname::text) IN (SELECT * FROM"
    " unnest(%(members)s::text[], %(of)s::text[]))",
}

KEPT_AGAIN = ("form", "day", "about", "known_at", "feature_values", "computed_at")
LOOKED_AT = (
    "counted", "null_rate", "mean_value", "std_dev", "min_value", "max_value", "drift", "last_updated",
    "category", "part", "feature_type", "data_type", "entity_type", "description", "computation", "version", "owner",
    "is_deprecated", "importance", "model_version",
)  # fmt: skip
SEEN_AGAIN = ("severity", "description", "evidence", "seen_at", "resolved_at")
MEANT = {
    (APP, "public.data_marks"): {"SELECT", "INSERT", "UPDATE (mark)", "UPDATE (recorded_at)"},
    **{
        (APP, f"public.{name}"): {"SELECT", "INSERT", "DELETE"}
        for name in ("quarantine", "ml_models", "answered", "ml_failures")
    },
    (APP, "public.recommendations"): {"SELECT", "INSERT"} | {f"UPDATE ({name})" for name in DECIDED},
    (APP, "public.ml_anomaly_detections"): {"SELECT", "INSERT"} | {f"UPDATE ({name})" for name in SEEN_AGAIN},
    (READER, "public.ml_predictions"): {"SELECT", "INSERT"},
    (APP, "public.ml_feature_values"): {"SELECT", "INSERT", "DELETE"} | {f"UPDATE ({name})" for name in KEPT_AGAIN},
    (APP, "public.ml_features"): {"SELECT", "INSERT", "DELETE"} | {f"UPDATE ({name})" for name in LOOKED_AT},
    **{(APP, f"public.{name}"): {"SELECT", "INSERT", "DELETE"} for name in ("ml_predictions", "ml_feedback")},
    (APP, "public.notices"): {"SELECT", "INSERT", "DELETE"} | {f"UPDATE ({n})" for n in ("sent_at", "sent", "error")},
    (APP, "public.imports"): {"SELECT", "INSERT", "DELETE", "UPDATE (undone_at)", "UPDATE (undone_by)"},
    (APP, "public.jobs"): {"SELECT", "INSERT", "DELETE"} | {f"UPDATE ({name})" for name in FAR},
    (APP, "public.schedules"): {"SELECT", "INSERT"} | {f"UPDATE ({n})" for n in ("cron", "enabled", "fired_at")},
    **{(WORKER, f"{QUEUE}.procrastinate_{name}"): {"SELECT", "INSERT", "UPDATE", "DELETE"} for name in QUEUED},
    **{
        (role, f"{QUEUE}.procrastinate_{name}"): set[str]()
        for role in (APP, READER, OPERATOR, ERASER)
        for name in QUEUED
    },
    **{(WORKER, f"public.{name}"): {"SELECT"} for name in ("tenants", "schedules", "settings_changes")},
    (WORKER, "public.house_runs"): {"SELECT", "INSERT"}
    | {f"UPDATE ({n})" for n in ("ended_at", "told", "error", "attempts")},
    (OPERATOR, "public.house_runs"): {"SELECT"},
    **{(role, "public.house_runs"): set[str]() for role in (APP, READER)},
    **{(role, "public.kept_answers"): {"SELECT", "INSERT", "UPDATE", "DELETE"} for role in (APP, READER)},
    (OPERATOR, "public.tenants"): {"SELECT", "INSERT", "UPDATE (zone)"},
    **{(role, f"public.{name}"): {"SELECT"} for role in ROLES for name in OPEN_TO_ALL},
    **{(role, "public.tenants"): {"SELECT"} for role in (APP, READER)},
    **{
        (ERASER, f"public.{name}"): {"SELECT", "DELETE"}
        for name in (
            "quarantine",
            "ml_predictions",
            "ml_feedback",
            "answered",
            "kept_answers",
            "recommendations",
            "ml_anomaly_detections",
            "ml_feature_values",
            "notices",
        )
    },
    **{(ERASER, f"public.{name}"): set[str]() for name in ("house_runs", "providers")},
    (ERASER, "public.data_marks"): {"SELECT", "INSERT", "UPDATE (mark)", "UPDATE (recorded_at)"},
    (ERASER, "public.audit"): {"SELECT", "INSERT", "UPDATE (details)"},
    (ERASER, "public.jobs"): {"SELECT"}
    | {f"UPDATE ({name})" for name in ("told", "notes", "result", "doing", "message")},
    (APP, "public.providers"): {"SELECT", "INSERT"} | {f"UPDATE ({name})" for name in COUNTED},
}


NAMING = {
    f"{domain.name}.{table.name}": {
        f"UPDATE ({column})" for column in (*table.persons, *(["entity"] if {*table.entity} & {*table.persons} else []))
    }
    for domain in domains().values()
    for table in domain.tables
}  # the columns of facts in which a person is named


VIEWS = ("_now", "_daily", "public.tenant_zones", "public.ml_forecasts")


def meant(role: str, table: str) -> set[str]:
    """The rights that a role should have on a table (no part of another): as named above, else as its kind has."""
    if table.endswith(VIEWS):
        return {"SELECT"} if role in (APP, READER) else set()
    # Who proves that nothing is left of a person sees every table that holds what is a tenant's.
    ours = {APP: {"SELECT", "INSERT"}, READER: {"SELECT"}, ERASER: {"SELECT"}}.get(role, set())
    of_facts = {APP: {"UPDATE (replaced_at)"}, ERASER: {"DELETE"} | NAMING.get(table, set())}.get(role, set())
    return MEANT.get((role, table), ours if table.startswith("public.") else ours | of_facts)


def rights(connection: Connection[Any]) -> dict[tuple[str, str], set[str]]:
    """The rights that each role really has on each table, by whichever way, PUBLIC and membership included."""
    names = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
    names += ["MAINTAIN"] if connection.info.server_version >= 17_00_00 else []
    told = connection.execute(
        OURS + ", whole AS (SELECT role, name, oid, what, has_table_privilege(role, oid, what) AS has"
        " FROM ours, roles, unnest(%(names)s::text[]) what WHERE relkind <> 'S')"
        " SELECT role, name, what FROM whole WHERE has UNION ALL"
        " SELECT role, name, what || ' (' || attname || ')' FROM whole JOIN pg_attribute a ON a.attrelid = oid"
        " WHERE NOT has AND what IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND NOT attisdropped"
        " AND has_column_privilege(role, oid, attnum, what)",
        {"mine": MINE, "roles": [*ROLES, LOGIN, VISITOR], "names": names},
    )
    found: dict[tuple[str, str], set[str]] = {}
    for role, name, what in told:
        found.setdefault((role, name), set()).add(what)
    return found


def holes(connection: Connection[Any]) -> set[str]:
    """Every way past the policies that the catalogue shows, in words."""
    values = {
        "mine": MINE, "roles": [*ROLES, LOGIN, VISITOR], "open": [
            *(f"public.{n}" for n in (*OPEN_TO_ALL, "house_runs", "providers")),
            *(f"{QUEUE}.procrastinate_{n}" for n in QUEUED),
        ],
        "opened": [*OPENED],
        "members": [*[LOGIN] * len(ROLES), VISITOR], "of": [*ROLES, READER],
    }  # fmt: skip
    found = {
        f"{name}: {words}"
        for words, query in HOLES.items()
        for (name,) in connection.execute((OURS + query).encode(), values)
    }
    for (role, name), has in rights(connection).items():
        found |= {f"{name}: {role} may {what}" for what in has - meant(role, name)}
    return found


@pytest.fixture
def owner(server: Server) -> Iterator[Connection[Any]]:
    """The owner in a transaction that leaves nothing behind."""
    with psycopg.connect(url_of(server, OWNER)) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def superuser(server: Server) -> Iterator[Connection[Any]]:
    with psycopg.connect(server.url(DATABASE)) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def plain(server: Server) -> Iterator[Connection[Any]]:
    """The login, as nobody's tenant and in no role yet."""
    with psycopg.connect(url_of(server, LOGIN)) as connection:
        yield connection
        connection.rollback()


def tables(connection: Connection[Any]) -> dict[str, bool]:
    """All tables, and whether each is a part of another."""
    found = connection.execute(
        OURS + "SELECT name, relispartition FROM ours WHERE relkind IN ('r', 'p')", {"mine": MINE, "roles": []}
    )
    return dict(found.fetchall())


# ---------------------------------------------------------------- what there is


def test_there_is_no_way_past_the_policies(owner: Connection[Any]) -> None:
    walked = tables(owner)
    assert {"traffic.metrics", "toy.things", "toy.yearly", "toy.deeds"} <= {*walked}
    assert {f"public.{name}" for name in ("quarantine", "audit", "ml_models", "ml_feedback", "answered")} <= {*walked}
    assert {"public.settings_changes", "public.recommendations"} <= {*walked}
    assert walked["toy.yearly_rest"]
    assert sum(walked.values()) == 4 * 22  # of four tables that are stored by years
    assert holes(owner) == set()


def test_every_role_has_just_the_rights_meant_for_it(owner: Connection[Any]) -> None:
    has = rights(owner)
    whole = [name for name, part in tables(owner).items() if not part]
    whole += {name for _, name in has if name.endswith(VIEWS)}
    assert has == {(role, n): wants for role in (APP, READER, ERASER) for n in whole if (wants := meant(role, n))} | {
        (role, n): wants for role in (OPERATOR, WORKER) for n in whole if (wants := MEANT.get((role, n), set()))
    }


def test_the_login_itself_may_nothing_and_takes_on_our_roles_alone(plain: Connection[Any]) -> None:
    """So whoever gets their own SQL into a connection is kept to those: they see the list of tenants as operator,
    and any one tenant's data, one at a time; policies stand against mistakes, not against that. With `--read-only` it
    is another login, a member of the reader alone (`test_reader`).
    """
    found = plain.execute("SELECT rolname FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')").fetchall()
    assert {name for (name,) in found} == {LOGIN, *ROLES}
    assert LOGIN not in {role for role, _ in rights(plain)}
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        plain.execute("SELECT FROM traffic.metrics")


# ---------------------------------------------------------------- the walk can fail

PARTS = "CREATE TABLE toy.new PARTITION OF toy.yearly FOR VALUES FROM ('2040-01-01Z') TO ('2041-01-01Z')"
FORCED = "ALTER TABLE toy.new ENABLE ROW LEVEL SECURITY; ALTER TABLE toy.new FORCE ROW LEVEL SECURITY;"
PLANTED = {
    "CREATE TABLE toy.new (tenant_id text)": "toy.new: no policy keeps tenants apart",
    f"CREATE TABLE toy.new (tenant_id text); {FORCED} CREATE POLICY mine ON toy.new USING (tenant_id"
    " = current_setting('app.current_tenant', true))": "toy.new: no policy keeps tenants apart",
    f"{PARTS}": "toy.new: row security is not forced",
    "ALTER TABLE metrics NO FORCE ROW LEVEL SECURITY": "traffic.metrics: row security is not forced",
    "ALTER TABLE audit DISABLE ROW LEVEL SECURITY": "public.audit: row security is not forced",
    "ALTER TABLE toy.yearly_2024 DISABLE ROW LEVEL SECURITY": "toy.yearly_2024: row security is not forced",
    "ALTER POLICY tenant_isolation ON audit USING (true)": "public.audit: no policy keeps tenants apart",
    "ALTER POLICY tenant_isolation ON audit WITH CHECK (true)": "public.audit: no policy keeps tenants apart",
    "DROP POLICY tenant_isolation ON toy.yearly_rest": "toy.yearly_rest: no policy keeps tenants apart",
    "CREATE POLICY more ON quarantine FOR SELECT USING (true)": "public.quarantine: a policy opens it",
    "CREATE POLICY operators ON audit USING (true)": "public.audit: a policy opens it",
    "CREATE VIEW toy.new AS SELECT * FROM metrics": "toy.new: no policy can hold it",
    "CREATE MATERIALIZED VIEW toy.new AS SELECT * FROM metrics": "toy.new: no policy can hold it",
    f"CREATE TABLE toy.new (value float8); GRANT SELECT (value) ON toy.new TO {READER}": (
        "toy.new: a role is let in, and nobody's tenant is told"
    ),
    f"GRANT SELECT ON toy.yearly_2024 TO {APP}": "toy.yearly_2024: a role has a right on a part",
    f"GRANT SELECT (number) ON toy.yearly_2024 TO {READER}": "toy.yearly_2024: a role has a right on a part",
    "GRANT DELETE ON toy.yearly_rest TO PUBLIC": "toy.yearly_rest: a role has a right on a part",
    f"GRANT USAGE ON SEQUENCE audit_audit_id_seq TO {APP}": (
        "public.audit_audit_id_seq: a role has a right on a sequence"
    ),
    "CREATE FUNCTION toy.new() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM metrics'": (
        "toy.new: a function has its owner's rights"
    ),
    "CREATE FUNCTION toy.new() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE TRIGGER new BEFORE INSERT ON metrics FOR EACH ROW EXECUTE FUNCTION toy.new()": (
        "traffic.metrics: something is done when it is touched"
    ),
    "CREATE RULE new AS ON DELETE TO quarantine DO INSTEAD NOTHING": (
        "public.quarantine: something is done when it is touched"
    ),
    "CREATE UNIQUE INDEX ON audit (who) WHERE false": "public.audit: one tenant's row can stand in another's way",
    "CREATE TABLE toy.new (x bigint UNIQUE); ALTER TABLE toy.deeds ADD FOREIGN KEY (number) REFERENCES toy.new (x)": (
        "toy.deeds: it can point at another tenant's row"
    ),
    f"GRANT CREATE ON SCHEMA toy TO {APP}": "toy: a role can make things in it",
    f"GRANT DELETE ON audit TO {APP}": f"public.audit: {APP} may DELETE",
    f"GRANT DELETE ON ml_monitoring TO {APP}": f"public.ml_monitoring: {APP} may DELETE",
    f"GRANT DELETE ON ml_models TO {READER}": f"public.ml_models: {READER} may DELETE",
    f"GRANT UPDATE (pinned) ON ml_deployments TO {APP}": f"public.ml_deployments: {APP} may UPDATE (pinned)",
    f"GRANT UPDATE (answer) ON answered TO {APP}": f"public.answered: {APP} may UPDATE (answer)",
    "ALTER TABLE answered NO FORCE ROW LEVEL SECURITY": "public.answered: row security is not forced",
    "DROP POLICY tenant_isolation ON ml_feedback": "public.ml_feedback: no policy keeps tenants apart",
    "CREATE UNIQUE INDEX ON answered (request_key) WHERE false": (
        "public.answered: one tenant's row can stand in another's way"
    ),
    "ALTER TABLE recommendations DISABLE ROW LEVEL SECURITY": "public.recommendations: row security is not forced",
    "DROP POLICY tenant_isolation ON settings_changes": "public.settings_changes: no policy keeps tenants apart",
    f"GRANT UPDATE (value) ON settings_changes TO {APP}": f"public.settings_changes: {APP} may UPDATE (value)",
    f"GRANT UPDATE (action) ON recommendations TO {APP}": f"public.recommendations: {APP} may UPDATE (action)",
    "CREATE UNIQUE INDEX ON recommendations (subject) WHERE false": (
        "public.recommendations: one tenant's row can stand in another's way"
    ),
    f"GRANT UPDATE ON audit TO {READER}": f"public.audit: {READER} may UPDATE",
    f"GRANT UPDATE (version) ON ml_deployments TO {APP}": f"public.ml_deployments: {APP} may UPDATE (version)",
    f"GRANT TRUNCATE ON ml_deployments TO {APP}": f"public.ml_deployments: {APP} may TRUNCATE",
    f"GRANT UPDATE (value) ON metrics TO {APP}": f"traffic.metrics: {APP} may UPDATE (value)",
    f"GRANT SELECT ON metrics TO {OPERATOR}": f"traffic.metrics: {OPERATOR} may SELECT",
    f"GRANT INSERT ON audit TO {READER}": f"public.audit: {READER} may INSERT",
    f"GRANT SELECT ON metrics TO {LOGIN}": f"traffic.metrics: {LOGIN} may SELECT",
    "GRANT SELECT ON quarantine TO PUBLIC": f"public.quarantine: {OPERATOR} may SELECT",
}
PLANTED_ABOVE = {
    f"ALTER ROLE {APP} BYPASSRLS": f"{APP}: it is above the policies",
    f"ALTER ROLE {LOGIN} SUPERUSER": f"{LOGIN}: it is above the policies",
    f"GRANT {OWNER} TO {LOGIN}": f"{LOGIN}: it can become another",
    f"GRANT {APP} TO {VISITOR}": f"{VISITOR}: it can become another",
    f"GRANT {APP} TO {READER}": f"public.audit: {READER} may INSERT",
    f"GRANT pg_write_all_data TO {READER}": f"toy.yearly_2024: {READER} may INSERT",
    f"ALTER TABLE toy.deeds OWNER TO {APP}": "toy.deeds: a role owns it",
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT SELECT ON TABLES TO {READER}": "tables to come are given away",
}


@pytest.mark.parametrize("hole", PLANTED)
def test_a_hole_is_found(owner: Connection[Any], hole: str) -> None:
    owner.execute(hole.encode())
    assert PLANTED[hole] in holes(owner)


@pytest.mark.parametrize("hole", PLANTED_ABOVE)
def test_a_hole_that_only_a_superuser_can_make_is_found(superuser: Connection[Any], hole: str) -> None:
    superuser.execute(hole.encode())
    assert any(PLANTED_ABOVE[hole] in words for words in holes(superuser))


# ---------------------------------------------------------------- what is tried is refused

ALL_REFUSED = [
    "UPDATE ml_deployments SET version = '1'",
    "DELETE FROM ml_deployments",
    "UPDATE audit SET who = 'nobody'",
    "DELETE FROM audit",
    "UPDATE metrics SET value = 0",
    "UPDATE metrics SET tenant_id = 'other'",
    "UPDATE metrics SET recorded_at = now()",
    "DELETE FROM metrics",
    "TRUNCATE metrics",
    "TRUNCATE quarantine",
    "UPDATE data_marks SET tenant_id = 'other'",
    "UPDATE quarantine SET rule = ''",
    "UPDATE ml_predictions SET answer = '{}'",
    "UPDATE ml_models SET card = '{}'",
    "UPDATE ml_deployments SET pinned = false",
    "UPDATE ml_feedback SET note = ''",
    "UPDATE answered SET answer = '{}'",
    "TRUNCATE answered",
    "UPDATE settings_changes SET value = '1'",
    "UPDATE settings_changes SET changed_by = 'nobody'",
    "DELETE FROM settings_changes",
    "UPDATE recommendations SET action = '{}'",
    "UPDATE recommendations SET tenant_id = 'other'",
    "UPDATE recommendations SET expires_at = 'infinity'",
    "DELETE FROM recommendations",
    "SELECT nextval('settings_changes_change_id_seq')",
    "SELECT nextval('ml_feedback_feedback_id_seq')",
    "UPDATE tenants SET tenant_id = 'other'",
    "UPDATE providers SET provider = 'other'",
    "DELETE FROM providers",
    "DELETE FROM tenants",
    "INSERT INTO declared_tables VALUES ('a', 'b', 'c')",
    "UPDATE alembic_version SET version_num = '0'",
    "ALTER TABLE metrics DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE metrics NO FORCE ROW LEVEL SECURITY",
    "DROP POLICY tenant_isolation ON metrics",
    "CREATE POLICY more ON metrics USING (true)",
    "DROP TABLE quarantine",
    "CREATE TABLE public.new (x int)",
    "CREATE VIEW toy.new AS SELECT * FROM metrics",
    "CREATE FUNCTION toy.new() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    "CREATE SCHEMA new",
    "SELECT FROM toy.yearly_2024",
    "SELECT number FROM toy.yearly_rest",
    "UPDATE toy.yearly_2024 SET replaced_at = 'infinity'",
    "SELECT nextval('audit_audit_id_seq')",
    "SELECT last_value FROM audit_audit_id_seq",
    "SET ROLE foretell_owner",
    "SET ROLE foretell_super",
    "SET SESSION AUTHORIZATION foretell_owner",
    "SET SESSION AUTHORIZATION foretell_super",
    "GRANT foretell_owner TO foretell",
    "ALTER ROLE foretell BYPASSRLS",
    "SET session_replication_role = replica",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT rolpassword FROM pg_authid",
    "SELECT stavalues1 FROM pg_statistic",
    "SELECT lo_import('/etc/passwd')",
]
READER_REFUSED = [
    "INSERT INTO metrics DEFAULT VALUES",
    "UPDATE metrics SET replaced_at = now()",
    "INSERT INTO data_marks DEFAULT VALUES",
    "UPDATE data_marks SET mark = 9",
    *(f"DELETE FROM {n}" for n in ("quarantine", "ml_models", "answered")),
    *(f"INSERT INTO {n} DEFAULT VALUES" for n in ("quarantine", "audit", "ml_models", "ml_deployments", "tenants")),
    *(f"INSERT INTO {n} DEFAULT VALUES" for n in ("ml_feedback", "answered", "settings_changes", "recommendations")),
    "UPDATE recommendations SET state = 'approved'",
    "UPDATE providers SET spent = 0",
]
OPERATOR_REFUSED = [
    *(f"SELECT FROM {n}" for n in ("metrics", "toy.deeds", "data_marks", "quarantine", "audit", "ml_predictions")),
    *(f"SELECT FROM {n}" for n in ("ml_models", "ml_deployments", "ml_feedback", "answered")),
    *(f"SELECT FROM {n}" for n in ("settings_changes", "recommendations", "providers")),
    "UPDATE recommendations SET state = 'approved'",
    *(f"INSERT INTO {n} DEFAULT VALUES" for n in ("metrics", "ml_predictions", "audit", "ml_feedback", "answered")),
    *(f"DELETE FROM {n}" for n in ("quarantine", "ml_models", "answered")),
]
ERASED = ("DELETE FROM metrics", "DELETE FROM recommendations")  # what one role is there for
REFUSED = [(role, each) for each in ALL_REFUSED for role in ROLES if role != ERASER or each not in ERASED]
REFUSED += [(ERASER, f"INSERT INTO {n} DEFAULT VALUES") for n in ("metrics", "ml_predictions", "jobs", "ml_models")]
DELETED = [f"DELETE FROM {n}" for n in ("ml_feedback", "ml_predictions", "jobs")]
WORKER_REFUSED = [
    *(f"SELECT FROM {n}" for n in ("traffic.metrics", "data_marks", "audit", "ml_predictions", "ml_models", "jobs")),
    "UPDATE schedules SET cron = '* * * * *'",
    "INSERT INTO jobs DEFAULT VALUES",
    f"SELECT {QUEUE}.deliver('a', 'b', 'c', 'd', 1)",
]
QUEUE_REFUSED = [f"{deed} {QUEUE}.procrastinate_jobs" for deed in ("SELECT FROM", "DELETE FROM")]
REFUSED += [(role, each) for role in (READER, OPERATOR, WORKER) for each in DELETED]
REFUSED += [(role, each) for role in (APP, READER, OPERATOR) for each in QUEUE_REFUSED]
REFUSED += [(WORKER, each) for each in WORKER_REFUSED]
REFUSED += [(READER, each) for each in READER_REFUSED] + [(OPERATOR, each) for each in OPERATOR_REFUSED]


def test_what_a_role_may_not_do_is_refused(plain: Connection[Any]) -> None:
    done = []
    for role, statement in REFUSED:
        with plain.transaction(force_rollback=True):
            plain.execute(f"SET LOCAL ROLE {role}".encode())
            plain.execute("SELECT set_config('app.current_tenant', 'mine', true)")
            try:
                plain.execute(statement.encode())
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable):
                continue  # what a role may not even see is not there for it
            done.append((role, statement))
    assert not done


def test_row_security_can_be_asked_to_be_off_but_then_nothing_is_read(plain: Connection[Any]) -> None:
    for role in (APP, READER):
        with plain.transaction(force_rollback=True):
            plain.execute(f"SET LOCAL ROLE {role}; SET LOCAL row_security = off".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                plain.execute("SELECT FROM metrics")


def test_the_owner_is_held_by_the_policies_too(owner: Connection[Any], database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        facts.write(connection, tenant, "traffic", METRICS, metrics("cpu_usage"))
    assert owner.execute("SELECT count(*) FROM metrics").fetchone() == (0,)
    owner.execute("SELECT set_config('app.current_tenant', %s, true)", [tenant])
    assert owner.execute("SELECT tenant_id FROM metrics").fetchall() == [(tenant,)]


@pytest.mark.parametrize(
    "above", [f"ALTER ROLE {APP} BYPASSRLS", f"ALTER ROLE {LOGIN} SUPERUSER", f"GRANT {OWNER}2 TO {LOGIN}"]
)
def test_a_login_or_role_above_the_policies_is_refused_at_start(server: Server, above: str) -> None:
    url = url_of(server, LOGIN)
    checked(url, APP)
    with psycopg.connect(server.url(DATABASE), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {OWNER}2 SUPERUSER".encode())
        connection.execute(above.encode())
        try:
            with pytest.raises(Misconfigured, match="tenants would not be kept apart"):
                checked(url, APP)
        finally:
            connection.execute(f"ALTER ROLE {APP} NOBYPASSRLS; ALTER ROLE {LOGIN} NOSUPERUSER".encode())
            connection.execute(f"DROP ROLE {OWNER}2".encode())
    checked(url, APP)


# ---------------------------------------------------------------- the table that the traffic document asks for

TYPES = (
    "requests_per_minute", "error_rate", "latency_p50", "latency_p95", "latency_p99", "cpu_usage", "memory_usage",
)  # fmt: skip


def metrics(*types: str) -> pl.DataFrame:
    sent = pl.DataFrame({"time": "2024-05-01T12:00Z", "value": 1.5, "metric_type": list(types)})
    done = ingest(METRICS, sent.with_columns(metadata=pl.lit('{"host": "a", "tags": [1, null]}')), zone="UTC")
    return done.rows


@pytest.mark.row("T11")
def test_metrics_are_stored_as_the_document_has_them(database: Database, tenant: str) -> None:
    with database.tenant(tenant) as connection:
        facts.write(connection, tenant, "traffic", METRICS, metrics(*TYPES, "unheard_of"))
        told = connection.execute(
            "SELECT attname, atttypid::regtype::text, attnotnull FROM pg_attribute"
            " WHERE attrelid = 'metrics'::regclass AND attname = ANY (%s)",
            [["time", "tenant_id", "metric_type", "value", "metadata"]],
        ).fetchall()
        assert {name: (kind, needed) for name, kind, needed in told} == {
            "time": ("timestamp with time zone", True),
            "tenant_id": ("text", True),
            "metric_type": ("text", True),
            "value": ("double precision", True),
            "metadata": ("jsonb", False),
        }
        stored = connection.execute(
            "SELECT metric_type, value, metadata FROM metrics WHERE time = '2024-05-01T12:00Z'"
        ).fetchall()
        assert sorted(stored) == [(kind, 1.5, {"host": "a", "tags": [1, None]}) for kind in sorted(TYPES)]
        found = connection.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'metrics'").fetchall()
        indexes = {cast("str", each).partition(" USING ")[2] for (each,) in found}
        assert {'btree (tenant_id, "time" DESC)', 'btree (tenant_id, metric_type, "time" DESC)'} <= indexes
        connection.execute("SELECT set_config('app.current_tenant', 'another', true)")
        assert connection.execute("SELECT count(*) FROM metrics").fetchone() == (0,)
