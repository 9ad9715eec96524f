"""Secrets at rest: what opens, and above all what does not."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import ConfigError
from services.settings.models.errors import SecretUnreadable
from services.settings.secrets.keyring import Keyring, key_encryption_key, load_keyring
from services.settings.secrets.vault import NotOpened, SecretRecord, Slot, Vault, bound, opened, sealed

KEK = key_encryption_key(bytes(range(32)))
VAULT = Vault(Keyring(KEK))
SLOT = Slot("stripe_key", 3)
VECTORS = Path(os.environ.get("REEVE_TEST_VECTORS", Path(__file__).parents[4] / "shared" / "vectors"))
AES_GCM = VECTORS / "wycheproof" / "aes_gcm_test.json"


@given(st.binary(max_size=300))
def test_a_secret_opens_where_it_was_put(plain: bytes) -> None:
    assert VAULT.decrypt(VAULT.encrypt(plain, SLOT), SLOT) == plain


@pytest.mark.parametrize(
    "slot",
    [Slot("stripe_kez", 3), Slot("stripe_key", 2), Slot("stripe_key", 3, scope="account/1"), Slot("stripe_key3", 3)],
)
def test_a_secret_opens_nowhere_else(slot: Slot) -> None:
    with pytest.raises(SecretUnreadable):
        VAULT.decrypt(VAULT.encrypt(b"hidden", SLOT), slot)


@pytest.mark.parametrize("name", ["dek_id", "kek_id", "algorithm", "wrap_nonce", "wrapped_dek", "nonce", "ciphertext"])
def test_no_part_of_a_record_can_be_changed(name: str) -> None:
    record = VAULT.encrypt(b"hidden", SLOT)
    whole = getattr(record, name)
    for place in range(len(whole)):
        with pytest.raises(SecretUnreadable):
            VAULT.decrypt(dataclasses.replace(record, **{name: flipped(whole, place)}), SLOT)


@pytest.mark.parametrize("name", ["dek_id", "wrap_nonce", "wrapped_dek", "nonce", "ciphertext"])
def test_no_part_can_be_taken_from_another_record(name: str) -> None:
    record, other = VAULT.encrypt(b"hidden", SLOT), VAULT.encrypt(b"hidden", SLOT)
    with pytest.raises(SecretUnreadable):
        VAULT.decrypt(dataclasses.replace(record, **{name: getattr(other, name)}), SLOT)


@pytest.mark.parametrize("name", ["wrap_nonce", "wrapped_dek", "nonce", "ciphertext"])
def test_a_cut_record_does_not_open(name: str) -> None:
    record = VAULT.encrypt(b"hidden", SLOT)
    for size in (0, 1, 11):
        with pytest.raises(SecretUnreadable):
            VAULT.decrypt(dataclasses.replace(record, **{name: getattr(record, name)[:size]}), SLOT)


def test_equal_secrets_share_no_bytes() -> None:
    one, other = VAULT.encrypt(b"x" * 64, SLOT), VAULT.encrypt(b"x" * 64, SLOT)
    for name in ("dek_id", "wrap_nonce", "wrapped_dek", "nonce", "ciphertext"):
        assert getattr(one, name) != getattr(other, name)


def test_another_key_opens_nothing_and_an_older_one_still_does() -> None:
    newer = key_encryption_key(bytes(32))
    record = VAULT.encrypt(b"hidden", SLOT)
    with pytest.raises(SecretUnreadable):
        Vault(Keyring(newer)).decrypt(record, SLOT)
    both = Vault(Keyring(newer, KEK))
    assert both.decrypt(record, SLOT) == b"hidden"
    assert both.encrypt(b"hidden", SLOT).kek_id == newer.id


@given(st.lists(st.text(max_size=8), min_size=2, max_size=4), st.lists(st.text(max_size=8), min_size=2, max_size=4))
def test_different_parts_are_never_bound_alike(one: list[str], other: list[str]) -> None:
    alike = bound(Slot(one[0], 1), *one[1:]) == bound(Slot(other[0], 1), *other[1:])
    assert alike == (one == other)


def test_no_text_of_a_record_or_key_shows_what_is_hidden() -> None:
    record: SecretRecord = VAULT.encrypt(b"hidden", SLOT)
    assert record.ciphertext.hex() not in repr(record)
    assert repr(KEK.key) not in repr(KEK)
    assert repr(KEK) == f"KeyEncryptionKey(id='{KEK.id}')"


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "settings.kek"
    first = load_keyring(path)
    assert path.stat().st_mode & 0o777 == 0o400
    assert load_keyring(path).active == first.active
    path.chmod(0o600)
    load_keyring(path)
    assert path.stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize("content", [b"", b"not base64!", b"AAAA"])
def test_a_broken_key_file_stops_the_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.kek"
    path.write_bytes(content)
    path.chmod(0o400)
    with pytest.raises(ConfigError):
        load_keyring(path)


def test_a_key_file_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "settings.kek"
    load_keyring(path)
    path.chmod(0o444)
    with pytest.raises(ConfigError):
        load_keyring(path)


@pytest.mark.published_vectors
def test_the_published_vectors_of_aes_gcm_hold() -> None:
    checked = 0
    for group in json.loads(AES_GCM.read_text())["testGroups"]:
        for one in group["tests"]:
            key, nonce, beside, plain, ciphertext = (
                bytes.fromhex(one[name]) for name in ("key", "iv", "aad", "msg", "ct")
            )
            ciphertext += bytes.fromhex(one["tag"])
            ours = (group["keySize"], group["ivSize"]) == (256, 96)
            checked += ours
            if ours and one["result"] == "valid":
                assert opened(key, nonce, ciphertext, beside) == plain
                assert sealed(key, nonce, plain, beside) == ciphertext
            else:
                with pytest.raises(NotOpened):
                    opened(key, nonce, ciphertext, beside)
    assert checked == 66


def flipped(whole: Any, place: int) -> Any:
    """`whole` with one bit of one character or byte changed."""
    if isinstance(whole, bytes):
        return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    return whole[:place] + chr(ord(whole[place]) ^ 1) + whole[place + 1 :]
