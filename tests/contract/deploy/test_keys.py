"""Every service gets the keys that it needs and none that would let it act as another."""

import importlib
import stat
from pathlib import Path
from typing import Any

import pytest

from deploy import share_keys
from libs.common.broker.embedded import EmbeddedTransport
from libs.common.database.engine import Database
from services.gateway.upstream.inprocess import InProcessCarrier
from services.preparation import make_keys

NOWHERE = "postgresql://nobody@127.0.0.1:1/reeve"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """All key files, as the preparation leaves them."""
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def shared(tmp_path: Path, keys: Path) -> Path:
    """The folders of the services."""
    (tmp_path / "shared").mkdir()
    share_keys.share(keys, tmp_path / "shared")
    return tmp_path / "shared"


def _state(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    return {one.name: (one.read_bytes(), one.stat().st_mode, one.stat().st_mtime_ns) for one in folder.iterdir()}


def test_every_key_goes_to_somebody(keys: Path) -> None:
    assert {name for names in share_keys.SHARES.values() for name in names} == {one.name for one in keys.iterdir()}


def test_each_signs_with_its_own_key_and_opens_only_what_is_sealed_to_it(shared: Path) -> None:
    holders = {
        name: {folder.name for folder in shared.iterdir() if (folder / name).exists()}
        for name in (
            "gateway.key",
            "tokens.key",
            "audit.exports.key",
            "audit.receipts.key",
            "audit.sealing.key",
            "audit.sinks",
            "settings.key",
            "settings.kek",
            "notifications.key",
            "audit-log.key",
        )
    }
    assert holders == {
        "gateway.key": {"gateway"},
        "tokens.key": {"gateway"},
        "audit.exports.key": {"audit"},
        "audit.receipts.key": {"audit"},
        "audit.sealing.key": {"audit"},
        "audit.sinks": {"audit"},
        "settings.key": {"settings"},
        "settings.kek": {"settings"},
        "notifications.key": {"notifications"},
        "audit-log.key": {"audit-signer"},
    }


def test_private_halves_are_their_owners_alone(shared: Path) -> None:
    for file in shared.glob("*/*"):
        assert stat.S_IMODE(file.stat().st_mode) == (0o444 if file.suffix == ".pub" else 0o400), file


def test_sharing_again_touches_nothing(keys: Path, shared: Path) -> None:
    before = {folder.name: _state(folder) for folder in shared.iterdir()}

    share_keys.share(keys, shared)

    assert {folder.name: _state(folder) for folder in shared.iterdir()} == before


def test_a_renewed_key_replaces_the_old_one_and_what_does_not_belong_goes(keys: Path, shared: Path) -> None:
    (keys / "audit.cursors").write_bytes(b"new")
    (shared / "audit" / "settings.key").write_bytes(b"not yours")

    share_keys.share(keys, shared)

    assert (shared / "audit" / "audit.cursors").read_bytes() == b"new"
    assert not (shared / "audit" / "settings.key").exists()


def test_a_missing_key_is_one_line(
    keys: Path, shared: Path, no_variables: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_variables.setenv("REEVE_KEYS_DIR", str(keys))
    assert share_keys.main() == 2
    assert capsys.readouterr().err == "share_keys: REEVE_SHARED_KEYS_DIR must be set\n"

    no_variables.setenv("REEVE_SHARED_KEYS_DIR", str(shared))
    (keys / "settings.kek").unlink()

    assert share_keys.main() == 2
    assert capsys.readouterr().err == f"share_keys: {keys / 'settings.kek'}: No such file or directory\n"


@pytest.mark.parametrize("service", ["gateway", "audit", "settings", "notifications"])
async def test_a_service_is_built_from_its_own_keys_and_writes_none(
    shared: Path, no_variables: pytest.MonkeyPatch, service: str
) -> None:
    no_variables.setenv("REEVE_KEYS_DIR", str(shared / service))
    config = importlib.import_module(f"services.{service}.config").Config.load()
    app: Any = importlib.import_module(f"services.{service}.app")
    database, transport = Database(NOWHERE, schema=service, application="test"), EmbeddedTransport()
    more: dict[str, dict[str, Any]] = {
        "gateway": {"carrier": InProcessCarrier({})},
        "audit": {"search_database": Database(NOWHERE, schema=service, application="test")},
    }
    before = _state(shared / service)

    built = app.build(config, database=database, transport=transport, **more.get(service, {}))

    assert built.name == service
    assert _state(shared / service) == before
    await built.close()
    await database.close()
