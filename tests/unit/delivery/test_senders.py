"""Who may speak for which source."""

from typing import Any

import pytest

from libs.common.broker.transport import Message
from libs.common.delivery.senders import RegisteredClient, producer_of, refusal, type_allowed
from tests.support.makers import an_event

CLIENTS = {"shop": RegisteredClient("shop", "/platform/shop", ("com.shop.*", "platform.*"))}


def a_message(**given: Any) -> Message:
    made: dict[str, Any] = {
        "body": b"{}", "content_type": "application/json", "exchange": "reeve.events", "routing_key": "x",
        "message_id": "1", "type": "x",
    }  # fmt: skip
    return Message(**{**made, **given})


@pytest.mark.parametrize(
    ("app_id", "sender", "producer"),
    [
        ("gateway", None, "gateway"),
        ("gateway", "reeve_gateway", "gateway"),
        ("gateway", "guest", "gateway"),
        ("gateway", "shop", ""),
        ("gateway", "", ""),
        ("audit", "reeve_gateway", ""),
        ("", "shop", ""),
        ("somebody", None, ""),
    ],
)
def test_a_name_counts_only_when_the_broker_vouches_for_it(app_id: str, sender: str | None, producer: str) -> None:
    assert producer_of(a_message(app_id=app_id, sender=sender)) == producer


@pytest.mark.parametrize(
    ("sender", "app_id", "source", "type_", "reason"),
    [
        ("reeve_gateway", "gateway", "/reeve/gateway", "reeve.request.recorded.v1", None),
        ("reeve_gateway", "gateway", "/platform/shop", "com.shop.sold", None),
        ("reeve_gateway", "gateway", "/reeve/audit", "reeve.x.v1", "source_not_allowed"),
        ("reeve_settings", "settings", "/platform/shop", "com.shop.sold", "source_not_allowed"),
        ("shop", "", "/platform/shop", "com.shop.sold", None),
        ("shop", "", "/platform/shop", "platform.store.issue.v1", None),
        ("shop", "", "/platform/other", "com.shop.sold", "source_not_allowed"),
        ("shop", "", "/platform/shop", "com.bank.paid", "event_type_not_allowed"),
        ("shop", "", "/platform/shop", "reeve.setting.changed.v1", "source_not_allowed"),
        ("shop", "settings", "/reeve/settings", "reeve.setting.changed.v1", "source_not_allowed"),
        ("thief", "", "/platform/shop", "com.shop.sold", "sender_not_registered"),
        (None, "", "/platform/shop", "com.shop.sold", "sender_not_registered"),
        ("guest", "", "/platform/shop", "com.shop.sold", None),
        ("guest", "", "/platform/unknown", "com.shop.sold", "source_not_allowed"),
    ],
)
def test_a_sender_speaks_only_for_its_own(
    sender: str | None, app_id: str, source: str, type_: str, reason: str | None
) -> None:
    found = refusal(an_event(source=source, type=type_), a_message(sender=sender, app_id=app_id), CLIENTS)
    assert (found or "None").partition(":")[0] == str(reason)


@pytest.mark.parametrize(
    ("pattern", "event_type", "allowed"),
    [("com.shop.*", "com.shop.order.created.v1", True), ("com.shop.*", "com.shopping.x", False), ("*", "anything", True),
     ("com.*.v1", "com.a.b.v1", True), ("com.a", "com.a.b", False)],
)  # fmt: skip
def test_a_star_stands_for_any_characters(pattern: str, event_type: str, allowed: bool) -> None:
    assert type_allowed(event_type, [pattern]) is allowed
