"""What a revision tells: masking and versions, as pure decisions."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.settings.commands.outcomes import Ask, outcome_event
from services.settings.models import decisions
from services.settings.models.decisions import Revision, Stamp, changes, check_version, hint
from services.settings.models.errors import VersionConflict
from services.settings.models.settings import Definition, Given, SecretReference, Setting

STAMP = Stamp(datetime(2026, 1, 1, tzinfo=UTC), "admin-1")
ASK = Ask(at=STAMP.at, actor_id="admin-1", actor_type="admin")


def a_setting(value: str | None = '"old"', **definition: Any) -> Setting:
    """A setting at version 4; encrypted ones have a secret and no value."""
    own = Definition(**{"value_type": "string", **definition})
    secret = SecretReference(4, None) if own.is_encrypted else None
    return Setting("theme", own, None if own.is_encrypted else value, secret, 4, STAMP.at, None)


@pytest.mark.parametrize(
    ("value", "shown"), [("x" * 31, None), ("x" * 28 + "4242", "...4242"), ("", None), (5, None), (["x" * 40], None)]
)
def test_a_hint_shows_four_characters_of_32(value: Any, shown: str | None) -> None:
    assert hint(value) == shown


@pytest.mark.parametrize(("current", "expected"), [(4, 3), (4, 5), (None, 1)])
def test_another_version_conflicts(current: int | None, expected: int) -> None:
    setting = a_setting() if current else None
    with pytest.raises(VersionConflict) as caught:
        check_version("theme", setting, expected)
    assert caught.value.extra == {"current_version": current}


def test_no_expectation_fits_everything() -> None:
    check_version("theme", None, None)
    check_version("theme", a_setting(), 4)


HIDDEN = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50).map(
    "\N{SNOWMAN}".__add__
)


@given(HIDDEN, st.booleans())
def test_no_event_shows_a_hidden_value(secret: str, is_encrypted: bool) -> None:
    setting = a_setting('"an older value"', is_encrypted=is_encrypted, is_sensitive=not is_encrypted)
    revised = decisions.change(setting, Given(secret), STAMP)
    shown = replace(setting.definition, is_sensitive=False)
    revisions = [
        revised,
        decisions.create("theme", setting.definition, Given(secret), version=1, stamp=STAMP),
        decisions.replace_all(setting, setting.definition, Given(secret), STAMP),
        decisions.delete(revised.after, STAMP),
    ]
    if not is_encrypted:
        revisions.append(replace(decisions.replace_all(setting, shown, Given(secret), STAMP), after=revised.after))
    quoted = orjson.dumps(secret)[1:-1]
    for revision in revisions:
        assert quoted not in orjson.dumps(outcome_event(ASK, revision).data)
        assert secret not in repr(revision)


def test_a_value_that_becomes_sensitive_is_not_told_again() -> None:
    setting = a_setting()
    revision = decisions.define(setting, replace(setting.definition, is_sensitive=True), STAMP)
    assert changes(revision) == {"is_sensitive": {"old": False, "new": True}}
    assert outcome_event(ASK, revision).data["result"]["value"] == "[redacted]"


def test_a_creation_tells_what_is_not_empty() -> None:
    revision = decisions.create("theme", Definition("string", is_public=True), Given("dark"), version=1, stamp=STAMP)
    assert changes(revision) == {
        "value": {"old": None, "new": "dark"}, "value_type": {"old": None, "new": "string"},
        "category": {"old": None, "new": "general"}, "config_type": {"old": None, "new": "setting"},
        "is_public": {"old": None, "new": True},
    }  # fmt: skip


def test_the_same_value_again_is_a_version_too() -> None:
    revision: Revision = decisions.change(a_setting(), Given("old"), STAMP)
    assert (revision.after.version, changes(revision)) == (5, {"value": {"old": "old", "new": "old"}})
