"""The columns of the gateway's own tables, as its stores see them. Identifiers are text on this side."""

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, DateTime, Integer, LargeBinary, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _id(name: str = "id") -> "Column[str]":
    return Column(name, Uuid(as_uuid=False), primary_key=True)


def _moment(name: str) -> "Column[object]":
    return Column(name, DateTime(timezone=True))


users = Table(
    "users", metadata,
    _id(),
    Column("email", Text), Column("name", Text), Column("role", Text), Column("is_active", Boolean),
    Column("password_hash", Text), Column("version", Integer), Column("created_by", Text),
    Column("permission_epoch", BigInteger), Column("number", BigInteger),
    _moment("created_at"), _moment("updated_at"), _moment("last_login_at"), _moment("erased_at"),
)  # fmt: skip

roles = Table(
    "roles", metadata,
    Column("name", Text, primary_key=True), Column("level", Text), Column("description", Text),
    Column("permissions", ARRAY(Text)), Column("version", Integer), Column("created_by", Text),
    _moment("created_at"), _moment("updated_at"),
)  # fmt: skip

access_requests = Table(
    "access_requests", metadata,
    _id(),
    Column("user_id", Uuid(as_uuid=False)), Column("permission", Text), Column("reason", Text), Column("state", Text),
    Column("decided_by", Text), Column("decision_reason", Text), Column("end_reason", Text),
    _moment("until"), _moment("decided_at"), _moment("ended_at"), _moment("created_at"),
)  # fmt: skip

approvals = Table(
    "approvals", metadata,
    _id(),
    Column("kind", Text), Column("target", Text), Column("version", Integer), Column("inputs", JSONB(none_as_null=True)),
    Column("changes", JSONB), Column("asked_by", Text), Column("state", Text), Column("decided_by", Text),
    Column("reason", Text), Column("failure", Text),
    _moment("expires_at"), _moment("decided_at"), _moment("created_at"),
)  # fmt: skip

sessions = Table(
    "sessions", metadata,
    _id(),
    Column("user_id", Uuid(as_uuid=False)), Column("ip_address", Text), Column("user_agent", Text),
    Column("is_active", Boolean), Column("end_reason", Text), Column("device_hash", LargeBinary),
    _moment("login_at"), _moment("last_seen_at"), _moment("expires_at"), _moment("logout_at"), _moment("proved_at"),
)  # fmt: skip

refresh_tokens = Table(
    "refresh_tokens", metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("session_id", Uuid(as_uuid=False)),
    _moment("created_at"), _moment("expires_at"), _moment("used_at"),
)  # fmt: skip

external_identities = Table(
    "external_identities", metadata,
    Column("issuer", Text, primary_key=True), Column("subject", Text, primary_key=True),
    Column("user_id", Uuid(as_uuid=False)),
    _moment("linked_at"),
)  # fmt: skip

external_sessions = Table(
    "external_sessions", metadata,
    _id("session_id"),
    Column("issuer", Text), Column("subject", Text), Column("sid", Text),
)  # fmt: skip

spent_tokens = Table(
    "spent_tokens", metadata,
    Column("digest", LargeBinary, primary_key=True),
    _moment("expires_at"),
)  # fmt: skip

clients = Table(
    "clients", metadata,
    _id(),
    Column("client_id", Text), Column("name", Text), Column("secret_hash", Text), Column("source", Text),
    Column("scopes", ARRAY(Text)), Column("event_types", ARRAY(Text)), Column("created_by", Text),
    Column("permission_epoch", BigInteger),
    _moment("created_at"), _moment("updated_at"),
)  # fmt: skip

operations = Table(
    "operations", metadata,
    _id(),
    Column("admin_id", Text), Column("action", Text), Column("subject", Text), Column("state", Text),
    Column("status", Integer), Column("result", JSONB), Column("error", JSONB), Column("correlation_id", Text),
    _moment("created_at"), _moment("completed_at"),
)  # fmt: skip

idempotency_keys = Table(
    "idempotency_keys", metadata,
    Column("caller", Text, primary_key=True), Column("key", Text, primary_key=True),
    Column("request_hash", LargeBinary), Column("status", Integer), Column("headers", JSONB),
    Column("body", LargeBinary),
    _moment("created_at"),
)  # fmt: skip

revoked_tokens = Table(
    "revoked_tokens", metadata,
    Column("jti", Text, primary_key=True), Column("client_id", Text),
    _moment("expires_at"), _moment("revoked_at"),
)  # fmt: skip

signing_keys = Table(
    "signing_keys", metadata,
    Column("kid", Text, primary_key=True), Column("public_key", LargeBinary), Column("locked_key", LargeBinary),
    _moment("created_at"), _moment("signs_from"), _moment("verifies_until"),
)  # fmt: skip

links = Table(
    "links", metadata,
    _id(),
    Column("user_id", Uuid(as_uuid=False)), Column("purpose", Text), Column("token_hash", LargeBinary),
    Column("state", Text),
    _moment("created_at"), _moment("expires_at"), _moment("ended_at"),
)  # fmt: skip

reset_requests = Table(
    "reset_requests", metadata,
    _id(),
    Column("email", Text), Column("origin", JSONB), Column("correlation_id", Text),
    _moment("created_at"),
)  # fmt: skip

notices = Table(
    "notices", metadata,
    _id(),
    Column("user_id", Uuid(as_uuid=False)), Column("kind", Text), Column("details", JSONB),
    Column("letter_id", Uuid(as_uuid=False)),
    _moment("created_at"), _moment("told_at"),
)  # fmt: skip

security_facts = Table(
    "security_facts", metadata,
    Column("id", BigInteger, primary_key=True), Column("position", BigInteger),
    Column("kind", Text), Column("user_id", Text), Column("client_id", Text), Column("session_id", Text),
    Column("place", Text), Column("ip_address", Text), Column("user_agent", Text), Column("key", Text),
    Column("weight", Integer), Column("details", JSONB),
    _moment("noted_at"),
)  # fmt: skip

security_rules = Table(
    "security_rules", metadata,
    Column("name", Text, primary_key=True), Column("kind", Text), Column("group_by", Text),
    Column("threshold", Integer), Column("window_seconds", Integer), Column("cooldown_seconds", Integer),
    Column("severity", Text), Column("enabled", Boolean), Column("description", Text),
    Column("is_builtin", Boolean), Column("version", Integer),
    _moment("created_at"), _moment("updated_at"),
)  # fmt: skip

security_events = Table(
    "security_events", metadata,
    _id(),
    Column("fingerprint", Text), Column("event_type", Text), Column("severity", Text), Column("rule", Text),
    Column("subject", Text), Column("count", BigInteger), Column("user_id", Text), Column("ip_address", Text),
    Column("user_agent", Text), Column("details", JSONB), Column("resolved", Boolean), Column("resolved_by", Text),
    Column("notes", Text), Column("outbox_position", BigInteger), Column("told_by", Text),
    Column("number", BigInteger),
    _moment("resolved_at"), _moment("created_at"), _moment("last_at"),
)  # fmt: skip
