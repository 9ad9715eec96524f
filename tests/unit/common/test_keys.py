"""Key files: made once, readable by nobody else, and the same for all who start at once."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from libs.common import keys
from libs.common.errors import ConfigError


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_signing_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "assertions"
    first = keys.load_or_create_ed25519(path)
    second = keys.load_or_create_ed25519(path)
    assert first.private_bytes_raw() == second.private_bytes_raw()
    assert keys.load_ed25519_public(keys.public_path(path)).public_bytes_raw() == first.public_key().public_bytes_raw()


def test_a_sealing_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "sealing"
    private = keys.load_or_create_x25519(path)
    assert private == keys.load_or_create_x25519(path)
    assert len(private) == len(keys.load_x25519_public(keys.public_path(path))) == 32
    assert private != keys.load_x25519_public(keys.public_path(path))


def test_a_secret_is_made_once_in_its_size(tmp_path: Path) -> None:
    made = keys.load_or_create_secret(tmp_path / "cursor", 48)
    assert len(made) == 48
    assert made == keys.load_or_create_secret(tmp_path / "cursor", 48)


def test_private_halves_are_for_the_owner_alone(tmp_path: Path) -> None:
    keys.load_or_create_ed25519(tmp_path / "deep" / "signing")
    keys.load_or_create_x25519(tmp_path / "deep" / "sealing")
    keys.load_or_create_secret(tmp_path / "deep" / "secret")
    assert [mode(tmp_path / "deep" / name) for name in ("signing", "sealing", "secret")] == [0o600] * 3
    assert mode(tmp_path / "deep") == 0o700
    assert mode(tmp_path / "deep" / "signing.pub") == 0o644
    assert not list((tmp_path / "deep").glob(".*"))


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = set(pool.map(lambda _: keys.load_or_create_secret(tmp_path / "cursor"), range(64)))
    assert len(made) == 1


@pytest.mark.parametrize("loose", [0o644, 0o660, 0o604, 0o610])
def test_a_key_that_others_may_read_or_change_is_refused(tmp_path: Path, loose: int) -> None:
    keys.load_or_create_secret(tmp_path / "cursor")
    (tmp_path / "cursor").chmod(loose)
    with pytest.raises(ConfigError, match="others may read or change it"):
        keys.load_or_create_secret(tmp_path / "cursor")


def test_a_public_half_that_was_lost_or_changed_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "signing"
    key = keys.load_or_create_ed25519(path)
    keys.public_path(path).write_text("changed")
    keys.load_or_create_ed25519(path)
    assert keys.load_ed25519_public(keys.public_path(path)).public_bytes_raw() == key.public_key().public_bytes_raw()


@pytest.mark.parametrize("content", [b"", b"garbage", b"AAAA", b"\xff" * 32])
def test_a_broken_key_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    path.chmod(0o600)
    for load in (keys.load_or_create_ed25519, keys.load_or_create_x25519, keys.load_or_create_secret):
        with pytest.raises(ConfigError) as wrong:
            load(path)
        assert "\n" not in str(wrong.value)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    keys.load_or_create_ed25519(tmp_path / "signing")
    with pytest.raises(ConfigError):
        keys.load_or_create_x25519(tmp_path / "signing")
    with pytest.raises(ConfigError):
        keys.load_ed25519_public(tmp_path / "signing")


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be"):
        keys.load_or_create_secret(tmp_path / "file" / "cursor")
