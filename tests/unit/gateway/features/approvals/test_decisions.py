"""Who may decide a change, whether it may be asked for, and what its event says of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.features.approvals.commands import Approvals, Kind
from services.gateway.features.approvals.models import (
    MOST_PENDING,
    Approval,
    Asked,
    Basis,
    State,
    refuse_asking,
    refuse_decision,
    refuse_end,
)
from services.gateway.features.approvals.schemas import ApprovalResponse

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = Asked("user_role", "user/u", 3, {"role": "super_admin"}, {"role": {"old": "admin", "new": "super_admin"}})
WAITING = Approval(
    id="p", kind="user_role", target="user/u", version=3, inputs={"role": "super_admin"}, changes=ASKED.changes,
    asked_by="a", state=State.PENDING, expires_at=NOW, decided_by=None, decided_at=None, reason=None, failure=None,
    created_at=NOW,
)  # fmt: skip


def code(error: object) -> str | None:
    return getattr(error, "code", None)


@pytest.mark.parametrize("state", list(State))
def test_only_what_waits_is_decided_and_only_by_others(state: State) -> None:
    approval = replace(WAITING, state=state)
    ends = {State.PENDING: None, State.EXPIRED: "approval_expired"}
    assert code(refuse_decision(approval, by="a")) == "own_request"
    assert code(refuse_decision(approval, by="b")) == ends.get(state, "approval_decided")
    assert code(refuse_end(approval)) == ends.get(state, "approval_decided")


@pytest.mark.parametrize(
    ("waiting", "refusal"),
    [
        (WAITING, None),
        (replace(WAITING, asked_by="b"), "approval_exists"),
        (replace(WAITING, version=2), "approval_exists"),
        (replace(WAITING, inputs={"role": "other"}), "approval_exists"),
    ],
)
def test_the_same_asked_for_again_waits_already_and_another_is_refused(waiting: Approval, refusal: str | None) -> None:
    assert code(refuse_asking(ASKED, by="a", waiting=waiting, pending=MOST_PENDING)) == refusal


@given(st.integers(0, 2 * MOST_PENDING))
def test_one_asker_has_a_most_that_waits(pending: int) -> None:
    refusal = code(refuse_asking(ASKED, by="a", waiting=None, pending=pending))
    assert refusal == (None if pending < MOST_PENDING else "too_many_approvals")


def test_what_one_pair_of_eyes_did_is_severe_and_an_approved_change_names_its_approval() -> None:
    assert (Basis("none_available").severity, Basis("granted", "p").severity) == ("error", "warning")
    assert Basis("granted", "p").told() == {"approval": "granted", "approval_id": "p"}
    assert Basis("issuer").told() == {"approval": "issuer"}


def test_what_is_masked_is_shown_as_long_as_it_is_known() -> None:
    changes = {"email": {"new": "[redacted]"}, "role": {"new": "super_admin"}}
    waiting = replace(WAITING, changes=changes, inputs={"email": "a@example.com", "password_hash": "$argon2id"})
    shown = ApprovalResponse.of(waiting, permission="users:write", shows=("email", "name"))
    assert {name: one.new for name, one in shown.changes.items()} == {"email": "a@example.com", "role": "super_admin"}
    assert "$argon2id" not in shown.model_dump_json()
    decided = ApprovalResponse.of(replace(waiting, inputs={}), permission="users:write", shows=("email", "name"))
    assert decided.changes["email"].new == "[redacted]"


def test_two_kinds_of_one_name_are_a_mistake() -> None:
    async def nothing(*_: object) -> None:
        return None

    kind = Kind("one", "users:write", nothing, nothing)
    with pytest.raises(ValueError, match="one name"):
        Approvals([kind, kind])
