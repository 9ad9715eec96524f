"""The shapes that callers of the public API rely on, as the service answers them."""

from services.audit import schemas
from services.audit.schemas import SearchQuery
from services.audit.store.search import CLOSED, EXACT, SHOWN
from services.gateway.features.audit.schemas import AuditRangeQuery, SearchAuditQuery

ENTRY = {
    "id", "sequence", "event_id", "event_type", "action", "target_type", "target_id", "admin_user_id", "admin_username",
    "actor_type", "outcome", "severity", "details", "changes", "ip_address", "user_agent", "request_id", "operation_id",
    "trace_id", "source", "created_at", "recorded_at", "redactions",
}  # fmt: skip
FILTERS = {
    "action", "target_type", "target_id", "admin_user_id", "outcome", "severity", "ip_address", "source", "request_id",
    "operation_id", "date_from", "date_to", "q",
}  # fmt: skip


def test_an_entry_has_exactly_the_public_members() -> None:
    shown = [column.rpartition(" AS ")[2] for column in SHOWN]
    assert set(shown) == ENTRY
    assert len(shown) == len(ENTRY)


def test_the_filters_are_the_public_ones_and_the_gateway_lets_each_through() -> None:
    asked = set(SearchQuery.model_fields)
    assert asked == FILTERS | {"sort", "limit", "skip", "cursor"}
    assert asked == set(SearchAuditQuery.model_fields)
    assert set(AuditRangeQuery.model_fields) == set(schemas.RangeQuery.model_fields) == {"date_from", "date_to"}


def test_each_exact_filter_is_sought_in_a_column_of_its_name() -> None:
    assert FILTERS - {"ip_address", "date_from", "date_to", "q"} == {*EXACT, *CLOSED}


def test_outcomes_and_severities_are_the_public_ones() -> None:
    assert CLOSED == {"outcome": ("success", "denied", "failure"), "severity": ("info", "warning", "error", "critical")}
    filled = SearchQuery.model_validate({name: list(values) for name, values in CLOSED.items()})
    assert {name: tuple(values) for name, values in filled.filters().exact.items()} == CLOSED
