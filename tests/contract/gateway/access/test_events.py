"""The messages about who may act, as other programs read them."""

import pytest

from libs.common.events import access, approvals, users
from libs.common.events.catalog import Change, MessageData, new_event
from libs.common.events.envelope import decode, encode

MODELS = [
    one
    for area in (users, access, approvals)
    for one in vars(area).values()
    if isinstance(one, type) and issubclass(one, MessageData) and "TYPE" in vars(one)
]
BASIS = {"approval", "approval_id"}
APPROVAL = {"approval_id", "kind", "target", "asked_by"}
RELEASED = {
    "reeve.user.created.v1": {"user_id", "role", "is_active", "awaits_activation", "changes", *BASIS},
    "reeve.user.role_changed.v1": {"user_id", "role", "changes", *BASIS},
    "reeve.user.status_changed.v1": {"user_id", "is_active", "reason", "changes", *BASIS},
    "reeve.user.password_changed.v1": {"user_id", "sessions_ended"},
    "reeve.user.link_issued.v1": {"user_id", "link_id", "kind", "expires_at"},
    "reeve.user.activated.v1": {"user_id", "link_id", "changes"},
    "reeve.user.password_reset.v1": {"user_id", "link_id", "sessions_ended"},
    "reeve.user.updated.v1": {"user_id", "changes", *BASIS},
    "reeve.user.deleted.v1": {"user_id", "changes"},
    "reeve.user.erased.v1": {"user_id", "fields", "changes"},
    "reeve.user.sessions_revoked.v1": {"user_id", "count"},
    "reeve.users.bulk_changed.v1": {
        "operation", "role", "reason", "requested", "changed", "unchanged", "refused", "awaiting_approval",
    },
    "reeve.approval.requested.v1": {*APPROVAL, "expires_at", "proposed"},
    "reeve.approval.granted.v1": APPROVAL,
    "reeve.approval.rejected.v1": {*APPROVAL, "reason"},
    "reeve.approval.withdrawn.v1": APPROVAL,
    "reeve.approval.expired.v1": APPROVAL,
    "reeve.approval.failed.v1": {*APPROVAL, "failure", "outcome"},
    "reeve.role.changed.v1": {"name", "level", "permissions", "version", "changes"},
    "reeve.role.deleted.v1": {"name", "changes"},
    "reeve.access.requested.v1": {"request_id", "user_id", "permission", "reason"},
    "reeve.access.withdrawn.v1": {"request_id", "user_id", "permission"},
    "reeve.access.rejected.v1": {"request_id", "user_id", "permission", "reason"},
    "reeve.access.granted.v1": {"request_id", "user_id", "permission", "until", "changes"},
    "reeve.access.ended.v1": {"request_id", "user_id", "permission", "until", "reason", "changes"},
    "reeve.device.first_seen.v1": {"user_id", "session_id", "address_prefix", "device"},
    "reeve.session.started.v1": {"session_id", "user_id", "issuer"},
    "reeve.session.refreshed.v1": {"session_id", "user_id"},
    "reeve.session.proved.v1": {"session_id", "user_id"},
    "reeve.session.ended.v1": {"session_id", "user_id", "reason", "action"},
    "reeve.signing_key.rotated.v1": {"kid", "signs_from", "revokes_older"},
    "reeve.token.revoked.v1": {"client_id", "jti"},
    "reeve.sign_in.failed.v1": {"tried_email", "reason", "issuer", "outcome"},
    "reeve.client.registered.v1": {"client_id", "name", "source", "event_types", "scopes"},
    "reeve.client.deleted.v1": {"client_id", "source"},
}  # fmt: skip


def test_the_released_types_and_their_members_stay() -> None:
    assert {model.TYPE: set(model.model_fields) - {"origin"} for model in MODELS} == RELEASED


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.TYPE))
def test_each_example_is_a_message_that_travels(model: type[MessageData]) -> None:
    data = model.model_validate(model.EXAMPLE)
    event = new_event(data, subject="thing/1", actor_id="a", actor_type="admin")
    assert decode(encode(event)) == event
    assert model.model_validate(event.data) == data


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.TYPE))
def test_no_message_has_room_for_a_secret(model: type[MessageData]) -> None:
    assert not any(word in name for name in model.model_fields for word in ("password", "secret", "token", "hash"))


def test_a_change_without_an_old_value_leaves_it_out() -> None:
    data = users.UserCreated(
        user_id="u", role="viewer", is_active=True, awaits_activation=False, changes={"role": Change(new="viewer")}
    )
    assert new_event(data, subject="user/u").data["changes"] == {"role": {"new": "viewer"}}
