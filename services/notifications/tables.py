"""The columns of this service's own tables, as its stores see them. Identifiers are text on this side."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _moment(name: str) -> "Column[object]":
    return Column(name, DateTime(timezone=True))


turn = Table(
    "turn", metadata,
    Column("is_only", Boolean, primary_key=True), Column("last_position", BigInteger),
)  # fmt: skip

notifications = Table(
    "notifications", metadata,
    Column("position", BigInteger, primary_key=True),
    Column("id", Uuid(as_uuid=False)), Column("type", Text), Column("priority", Text), Column("title", Text),
    Column("message", Text), Column("action_required", Boolean), Column("action_url", Text), Column("metadata", JSONB),
    Column("recipient_id", Text),
    _moment("created_at"),
)  # fmt: skip

erased_users = Table(
    "erased_users", metadata,
    Column("user_id", Text, primary_key=True),
    _moment("erased_at"),
)  # fmt: skip

read_marks = Table(
    "read_marks", metadata,
    Column("admin_id", Text, primary_key=True), Column("read_up_to", BigInteger), Column("generation", Integer),
    _moment("read_at"),
)  # fmt: skip

reads = Table(
    "reads", metadata,
    Column("admin_id", Text, primary_key=True), Column("position", BigInteger, primary_key=True),
    Column("is_read", Boolean), Column("generation", Integer),
    _moment("changed_at"),
)  # fmt: skip

alerts = Table(
    "alerts", metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("alert_type", Text), Column("severity", Text), Column("title", Text), Column("description", Text),
    Column("affected_stores", JSONB), Column("affected_systems", JSONB), Column("occurrence_count", BigInteger),
    _moment("first_occurred_at"), _moment("last_occurred_at"),
    Column("is_resolved", Boolean), _moment("resolved_at"), Column("resolved_by_user_id", Text),
    Column("resolution_notes", Text), Column("is_acknowledged", Boolean), Column("acknowledged_by_user_id", Text),
    Column("assigned_to_user_id", Text), Column("fingerprint", Text), Column("labels", JSONB),
    Column("previous_alert_id", Uuid(as_uuid=False)),
)  # fmt: skip

deliveries = Table(
    "deliveries", metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("channel", Text), Column("kind", Text), Column("user_id", Text), Column("state", Text),
    Column("sealed", Text), Column("attempts", Integer), Column("last_error", Text), Column("correlation_id", Text),
    _moment("next_at"), _moment("created_at"), _moment("expires_at"), _moment("ended_at"),
)  # fmt: skip
