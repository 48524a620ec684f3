"""A person's traces wherever they are kept, shown or taken away; and facts that are old enough, taken away.

Facts name a person in the columns that their tables declare. What the engine wrote down (predictions, jobs, findings)
names one where a value, or a name, in its JSON is the person's. Everything here is done as the role `foretell_eraser`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from foretell.contract import Table
from foretell.stores.facts import moved, table_name, turn

LEDGER = "ml_predictions"
WRITTEN: Mapping[str, tuple[str, Sequence[str], Sequence[str]]] = {
    LEDGER: ("model_name", (), ("request", "answer", "questions", "forecast", "raw")),
    "recommendations": ("model_name", ("subject",), ("action", "approved")),
    "ml_anomaly_detections": ("report", ("subject",), ("evidence",)),
    "ml_feature_values": ("task", ("entity_id",), ("about",)),
    "notices": ("about", ("subject",), ("findings",)),
}
"""What goes where it names a person: the column that says of which domain it is, texts, and JSON."""

BESIDE: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "ml_feedback": (("note",), ("outcome",)), "kept_answers": ((), ("card",)),
    "recommendations": (("subject",), ("action", "approved")),
}  # fmt: skip
"""What goes with a prediction: what was said of it, its answer that was kept, what was recommended by it."""

ELSEWHERE: Mapping[str, str] = {
    "quarantine": "table_name", "jobs": "subject", "ml_models": "model_name", "ml_experiments": "model_name",
    "ml_deployments": "model_name", "ml_monitoring": "model_id", "ml_features": "task", "ml_failures": "model_name",
    "settings_changes": "domain", "imports": "table_name",
}  # fmt: skip
"""Which column says of which domain a row is, in what is left as it is but for a name in it."""


@dataclass(frozen=True, kw_only=True)
class Whom:
    """A person of a tenant's domain, as what its tables name them (`person`, `agent`)."""

    tenant: str
    domain: str
    kind: str
    name: str

    @property
    def values(self) -> dict[str, Any]:
        """What statements about them are given."""
        inside = _plain(json.dumps(self.name, ensure_ascii=False))
        return {
            "tenant": self.tenant, "name": self.name, "inside": f"%{inside}%", "domain": f"{_plain(self.domain)}.%",
        }  # fmt: skip

    def columns(self, table: Table) -> list[str]:
        """The columns of a table that name such people."""
        return [column for column, kind in table.persons.items() if kind == self.kind]


def _plain(text: str) -> str:
    """A text as LIKE looks for it, nothing in it standing for something else."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _any(columns: Sequence[str], told: str) -> sql.Composed:
    return sql.SQL(" OR ").join(sql.SQL(told).format(sql.Identifier(column)) for column in columns)


def _names(texts: Sequence[str], parts: Sequence[str]) -> sql.Composed:
    """Whether a row names the person: as one of its texts, or in its JSON."""
    exact, inside = _any(texts, "{} = %(name)s"), _any(parts, "{}::text LIKE %(inside)s")
    return sql.SQL("({})").format(
        sql.SQL(" OR ").join(each for each, some in ((exact, texts), (inside, parts)) if some)
    )


# ---------------------------------------------------------------- facts


def facts_of(connection: Connection[Any], whom: Whom, table: Table) -> list[dict[str, Any]]:
    """The facts that name a person, each with all its revisions, as they are stored."""
    columns = whom.columns(table)
    if not columns:
        return []
    query = sql.SQL("SELECT to_jsonb(t) - 'tenant_id' FROM {} t WHERE tenant_id = %(tenant)s AND ({}) ORDER BY {}")
    asked = query.format(table_name(whom.domain, table), _any(columns, "{} = %(name)s"), sql.Identifier(table.time))
    return [row for (row,) in connection.execute(asked, whom.values)]


def take_facts(connection: Connection[Any], whom: Whom, table: Table, instead: str) -> tuple[int, int]:
    """Take a person out of a table, superseded revisions included: how many rows went, how many lost the name alone.

    A fact about the person goes. Where it is about something else and only names them, the name goes; where it can't be
    without one it gets another, `instead`, which is nobody's.
    """
    columns, gone, blanked = whom.columns(table), 0, 0
    if not columns:
        return 0, 0
    recorded, name = turn(connection, whom.tenant, f"{whom.domain}.{table.name}"), table_name(whom.domain, table)
    for column in columns:
        field = table.row.model_fields[column]
        needed, about = column in table.key or field.is_required(), table.entity == (column,)
        where = sql.SQL("WHERE tenant_id = %(tenant)s AND {} = %(name)s").format(sql.Identifier(column))
        if needed and about:
            gone += connection.execute(sql.SQL("DELETE FROM {} {}").format(name, where), whom.values).rowcount
            continue
        other = instead if needed or (about and field.default is None) else field.default
        changed = [column, *(["entity"] if about else [])]
        sets = sql.SQL(", ").join(sql.SQL("{} = %(other)s").format(sql.Identifier(each)) for each in changed)
        change = sql.SQL("UPDATE {} SET {} {}").format(name, sets, where)
        blanked += connection.execute(change, {**whom.values, "other": other}).rowcount
    if gone or blanked:
        moved(connection, whom.tenant, f"{whom.domain}.{table.name}", recorded)
    return gone, blanked


def forget_facts(connection: Connection[Any], tenant: str, domain: str, table: Table, kept: timedelta) -> int:
    """Forget the facts that happened, and were recorded, longer ago than `kept`; how many rows, revisions included."""
    recorded, name = turn(connection, tenant, f"{domain}.{table.name}"), table_name(domain, table)
    old = sql.SQL("DELETE FROM {} WHERE tenant_id = %s AND {} < %s AND recorded_at < %s")
    before = recorded - kept
    gone = connection.execute(old.format(name, sql.Identifier(table.time)), [tenant, before, before]).rowcount
    if gone:
        moved(connection, tenant, f"{domain}.{table.name}", recorded)
        connection.execute(
            "DELETE FROM ml_feature_values WHERE tenant_id = %s AND starts_with(task, %s)", [tenant, f"{domain}."]
        )
    return gone


# ---------------------------------------------------------------- what was written down


def written_of(connection: Connection[Any], whom: Whom) -> dict[str, list[dict[str, Any]]]:
    """What was written down that names a person, by table; with it what was said of the predictions."""
    out = {}
    for name, (domain, texts, parts) in WRITTEN.items():
        query = sql.SQL(
            "SELECT to_jsonb(t) - 'tenant_id' FROM {} t WHERE tenant_id = %(tenant)s AND {} LIKE %(domain)s AND {}"
        ).format(sql.Identifier(name), sql.Identifier(domain), _names(texts, parts))
        out[name] = [row for (row,) in connection.execute(query, whom.values)]
    numbers = [row["prediction_id"] for row in out[LEDGER]]
    said = connection.execute(
        "SELECT to_jsonb(t) - 'tenant_id' FROM ml_feedback t WHERE tenant_id = %s AND prediction_id = ANY(%s::uuid[])",
        [whom.tenant, numbers],
    )
    return {
        **out,
        "ml_feedback": [row for (row,) in said],
        "quarantine": [told for _, told in _rejected(connection, whom)],
    }


def take_written(connection: Connection[Any], whom: Whom) -> dict[str, int]:
    """Take away what was written down that names a person; how many rows, by table.

    With a prediction go what was said of it, what was recommended by it, and the answer that was kept.
    """
    numbers = [number for (number,) in _found(connection, whom, LEDGER, "prediction_id")]
    out = {}
    for name, (texts, parts) in BESIDE.items():
        gone = sql.SQL("DELETE FROM {} WHERE tenant_id = %(tenant)s AND (prediction_id = ANY(%(numbers)s) OR {})")
        done = connection.execute(
            gone.format(sql.Identifier(name), _names(texts, parts)), {**whom.values, "numbers": numbers}
        )
        out[name] = done.rowcount
    for name, (domain, texts, parts) in WRITTEN.items():
        gone = sql.SQL("DELETE FROM {} WHERE tenant_id = %(tenant)s AND {} LIKE %(domain)s AND {}")
        done = connection.execute(
            gone.format(sql.Identifier(name), sql.Identifier(domain), _names(texts, parts)), whom.values
        )
        out[name] = out.get(name, 0) + done.rowcount
    again = "DELETE FROM answered WHERE tenant_id = %(tenant)s AND answer::text LIKE %(inside)s"
    out["answered"] = connection.execute(again, whom.values).rowcount
    wrong = [fingerprint for fingerprint, _ in _rejected(connection, whom)]
    out["quarantine"] = connection.execute(
        "DELETE FROM quarantine WHERE tenant_id = %s AND fingerprint = ANY(%s)", [whom.tenant, wrong]
    ).rowcount
    return {**out, "jobs": _jobs(connection, whom), "audit": _audit(connection, whom)}


def _found(connection: Connection[Any], whom: Whom, name: str, wanted: str) -> list[tuple[Any, ...]]:
    domain, texts, parts = WRITTEN[name]
    query = sql.SQL("SELECT {} FROM {} WHERE tenant_id = %(tenant)s AND {} LIKE %(domain)s AND {}").format(
        sql.Identifier(wanted), sql.Identifier(name), sql.Identifier(domain), _names(texts, parts)
    )
    return connection.execute(query, whom.values).fetchall()


def _rejected(connection: Connection[Any], whom: Whom) -> list[tuple[str, dict[str, Any]]]:
    """The rows in quarantine that name a person, with their fingerprints; one too long to be kept whole counts too."""
    rows = connection.execute(
        "SELECT fingerprint, to_jsonb(t) - 'tenant_id', original FROM quarantine t"
        " WHERE tenant_id = %(tenant)s AND table_name LIKE %(domain)s",
        whom.values,
    ).fetchall()
    out = []
    for fingerprint, told, original in rows:
        try:
            named = mentions(json.loads(original), whom.name)
        except ValueError:
            named = json.dumps(whom.name, ensure_ascii=False) in original
        if named:
            out.append((fingerprint, told))
    return out


def _jobs(connection: Connection[Any], whom: Whom) -> int:
    """Take a name out of jobs; what they were told to do about others stays."""
    with connection.cursor(row_factory=dict_row) as cursor:
        jobs = cursor.execute(
            "SELECT job_id, told, notes, result, doing, message FROM jobs WHERE tenant_id = %(tenant)s"
            " AND subject LIKE %(domain)s FOR UPDATE",
            whom.values,
        ).fetchall()
    changed = 0
    for job in jobs:
        texts = {part: None if whom.name in (job[part] or "") else job[part] for part in ("doing", "message")}
        parts = {part: without(job[part], whom.name) for part in ("told", "notes", "result")}
        if {**texts, **parts} == {part: job[part] for part in (*texts, *parts)}:
            continue
        changed += 1
        plain = {part: None if value is None else Jsonb(value) for part, value in parts.items()}
        connection.execute(
            "UPDATE jobs SET told = %(told)s, notes = %(notes)s, result = %(result)s, doing = %(doing)s,"
            " message = %(message)s WHERE tenant_id = %(tenant)s AND job_id = %(job)s",
            {**plain, **texts, "tenant": whom.tenant, "job": job["job_id"]},
        )
    return changed


def _audit(connection: Connection[Any], whom: Whom) -> int:
    """Take a name out of what is told of deeds; who did what, and when, stays."""
    rows = connection.execute(
        "SELECT audit_id, details FROM audit WHERE tenant_id = %(tenant)s AND details::text LIKE %(inside)s",
        whom.values,
    ).fetchall()
    for number, details in rows:
        connection.execute(
            "UPDATE audit SET details = %s WHERE tenant_id = %s AND audit_id = %s",
            [Jsonb(without(details, whom.name)), whom.tenant, number],
        )
    return len(rows)


def mentions(value: Any, name: str) -> bool:
    """Whether a value of JSON is a name, or holds it as a value or a name."""
    if isinstance(value, Mapping):
        return any(str(key) == name or mentions(each, name) for key, each in value.items())
    if isinstance(value, list):
        return any(mentions(each, name) for each in value)
    return not isinstance(value, bool | None) and str(value).strip() == name


def without(value: Any, name: str) -> Any:
    """A value of JSON without what is a name or goes by it; null where it is one itself."""
    if isinstance(value, Mapping):
        return {key: without(each, name) for key, each in value.items() if name not in (key, each)}
    if isinstance(value, list):
        return [without(each, name) for each in value if each != name]
    return None if value == name else value


# ---------------------------------------------------------------- the proof, and the way back


def left(connection: Connection[Any], whom: Whom) -> dict[str, int]:
    """How many rows still name a person, by table: in any column of texts, or of JSON.

    Looked for in every table that has a tenant's rows, whatever it is for. A sentence that somebody wrote is not read.
    """
    columns = connection.execute(
        "SELECT n.nspname, c.relname, array_agg(a.attname::text) FILTER (WHERE t.typname = 'text'),"
        " array_agg(a.attname::text) FILTER (WHERE t.typname IN ('json', 'jsonb'))"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid"
        " JOIN pg_type t ON t.oid = a.atttypid"
        " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname IN ('public', %s) AND a.attnum > 0"
        " AND NOT a.attisdropped AND a.attname <> 'tenant_id' AND EXISTS (SELECT FROM pg_attribute k"
        " WHERE k.attrelid = c.oid AND k.attname = 'tenant_id') GROUP BY 1, 2 ORDER BY 1, 2",
        [whom.domain],
    ).fetchall()
    domains = {**ELSEWHERE, **{name: domain for name, (domain, _, _) in WRITTEN.items()}}
    out = {}
    for schema, name, texts, parts in columns:
        if not texts and not parts:
            continue
        mine: sql.Composable = sql.SQL("")
        if schema == "public" and name in domains:
            column = sql.Identifier(domains[name])
            mine = sql.SQL(" AND ({0} LIKE %(domain)s OR {0} = %(whole)s)").format(column)
        query = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = %(tenant)s{} AND {}").format(
            sql.Identifier(schema, name), mine, _names(texts or [], [*(texts or []), *(parts or [])])
        )
        found = connection.execute(query, {**whom.values, "whole": whom.domain}).fetchone()
        if found and found[0]:
            out[name if schema == "public" else f"{schema}.{name}"] = int(found[0])
    return out


def everybody(
    connection: Connection[Any], tenant: str, domain: str, tables: Sequence[Table], kind: str
) -> Iterator[str]:
    """Whoever is named anywhere as such a person, some more than once; and what may only look like a name."""
    for table in tables:
        for column in (column for column, told in table.persons.items() if told == kind):
            query = sql.SQL("SELECT DISTINCT {} FROM {} WHERE tenant_id = %s AND {} IS NOT NULL").format(
                sql.Identifier(column), table_name(domain, table), sql.Identifier(column)
            )
            yield from (name for (name,) in connection.execute(query, [tenant]))
    for name, (column, texts, parts) in WRITTEN.items():
        for part in (*(f"to_jsonb({text})" for text in texts), *parts):
            query = sql.SQL(
                "SELECT DISTINCT each #>> '{{}}' FROM {} t, jsonb_path_query({}, 'strict $.**') each"
                " WHERE tenant_id = %s AND {} LIKE %s AND jsonb_typeof(each) = 'string'"
            ).format(sql.Identifier(name), sql.SQL(part), sql.Identifier(column))
            yield from (found for (found,) in connection.execute(query, [tenant, f"{domain}.%"]))
