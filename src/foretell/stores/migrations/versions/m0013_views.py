"""Views for people and their tools: the clocks of each tenant, and forecasts a row a question."""

from alembic import op

from foretell.stores.access import APP, READER

revision = "0013"
down_revision = "0012"

ZONES = """
CREATE VIEW tenant_zones WITH (security_invoker = true) AS
SELECT tenant_id, coalesce((
    SELECT value #>> '{}' FROM settings_changes s
    WHERE s.tenant_id = t.tenant_id AND s.domain = 'tenant' AND s.field = 'zone' ORDER BY change_id DESC LIMIT 1
), zone) AS zone
FROM tenants t
"""
# The ledger keeps questions and what was said to them by column.
FORECASTS = """
CREATE VIEW ml_forecasts WITH (security_invoker = true) AS
SELECT p.tenant_id, p.prediction_id, p.model_name, p.version, p.method, p.fallback, p.predicted_at,
    q.entity, q.as_of::timestamptz AS as_of, q.at::timestamptz AS at,
    (SELECT jsonb_object_agg(f.key, f.value -> (q.place - 1)::int) FROM jsonb_each(p.forecast) f) AS forecast
FROM ml_predictions p, ROWS FROM (
    jsonb_array_elements_text(p.questions -> 'entity'), jsonb_array_elements_text(p.questions -> 'as_of'),
    jsonb_array_elements_text(p.questions -> 'at')
) WITH ORDINALITY q(entity, as_of, at, place)
"""


def upgrade() -> None:
    """Add two views; those of a domain's tables are made with their declaration."""
    for view in (ZONES, FORECASTS):
        op.execute(view.replace("::", r"\:\:"))  # a colon begins a parameter
    op.execute(f"GRANT SELECT ON tenant_zones, ml_forecasts TO {APP}, {READER}")
